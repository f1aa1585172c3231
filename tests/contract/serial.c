/* SPDX-License-Identifier: MIT */
/* Redirects of one map are serialised, of different maps they do not wait for each other (guarantee F). */
#include "scene.h"
#include "suite.h"
#include "thread.h"
#include "wait.h"

#define ROUNDS 300

static void redirect_F_one_map_blocked_does_not_hold_up_others(void **state)
{
	struct scene blocked, other;
	struct victim *victim;

	(void)state;
	scene_make(&blocked, kind_find("buffer"));
	scene_block(&blocked);
	victim = scene_victim(&blocked, ACCESS_STORE, 8);
	for (size_t i = 0; i < kind_count; i++) {
		if (kind_missing(&kinds[i]))
			continue;
		scene_make(&other, &kinds[i]);
		scene_switch(&other);
		scene_block(&other);
		assert_int_equal(mr_map_waiters(other.map), 0);
		assert_int_equal(mr_map_waiters(blocked.map), 1);
		scene_restore(&other);
		assert_pattern(other.address, 0, other.length, SCENE_OLD);
		scene_free(&other);
	}
	assert_false(victim_is_done(victim));
	scene_restore(&blocked);
	scene_victim_end(victim, SCENE_OLD, 8);
	scene_free(&blocked);
}

/* Two maps of one memory are two: one blocked, the other live. */
static void redirect_F_two_maps_of_one_memory(void **state)
{
	struct mr_map *second;
	struct victim *victim;
	struct scene scene;
	uint64_t *word;

	(void)state;
	scene_make(&scene, kind_find("buffer"));
	assert_ok(mr_map_new(scene.sample.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &second));
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 16);
	assert_false(mr_map_is_blocked(second));
	word = (uint64_t *)((char *)mr_map_address(second) + 16);
	*word = SCENE_VALUE;
	assert_ok(mr_map_redirect(second, scene.other.memory, 0, 0));
	assert_int_equal(mr_map_waiters(scene.map), 1);
	scene_restore(&scene);
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.seen, SCENE_VALUE);
	victim_free(victim);
	mr_map_unref(second);
	scene_free(&scene);
}

/* One that redirects a map again and again. */
struct worker {
	struct thread thread;
	struct mr_map *map;
	struct mr_memory *memory; /* NULL: block */
	int failures;
};

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (int i = 0; i < ROUNDS; i++)
		worker->failures +=
			mr_map_redirect(worker->map, worker->memory, i % 3 || !worker->memory ? 0 : MR_MAP_PREFAULT, 0) != 0;
	return NULL;
}

static void redirect_F_of_one_map_by_several_threads(void **state)
{
	struct worker workers[4];
	struct scene scene;
	unsigned seed;

	(void)state;
	scene_make(&scene, kind_find("buffer"));
	for (size_t i = 0; i < COUNT(workers); i++) {
		struct mr_memory *memories[] = { scene.sample.memory, scene.other.memory, NULL };

		workers[i] = (struct worker){ .map = scene.map, .memory = memories[i % COUNT(memories)] };
		assert_true(thread_start(&workers[i].thread, work, &workers[i]));
	}
	for (size_t i = 0; i < COUNT(workers); i++) {
		thread_join(&workers[i].thread);
		assert_int_equal(workers[i].failures, 0);
	}
	seed = mr_map_memory(scene.map) == scene.other.memory ? SCENE_NEW : SCENE_OLD;
	assert_ok(mr_map_redirect(scene.map, mr_map_memory(scene.map), 0, 0));
	assert_pattern(scene.address, 0, scene.length, seed);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	assert_memory_pattern(scene.other.memory, SCENE_NEW);
	scene_free(&scene);
}

static void redirect_F_of_different_maps_by_several_threads(void **state)
{
	struct worker workers[6];
	struct scene scenes[3];

	(void)state;
	for (size_t i = 0; i < COUNT(scenes); i++)
		scene_make(&scenes[i], kind_find(i ? "multi" : "buffer"));
	for (size_t i = 0; i < COUNT(workers); i++) {
		struct scene *scene = &scenes[i / 2];

		workers[i] = (struct worker){ .map = scene->map, .memory = i % 2 ? scene->other.memory : scene->sample.memory };
		assert_true(thread_start(&workers[i].thread, work, &workers[i]));
	}
	for (size_t i = 0; i < COUNT(workers); i++) {
		thread_join(&workers[i].thread);
		assert_int_equal(workers[i].failures, 0);
	}
	for (size_t i = 0; i < COUNT(scenes); i++) {
		bool is_new = mr_map_memory(scenes[i].map) == scenes[i].other.memory;

		assert_pattern(scenes[i].address, 0, scenes[i].length, is_new ? SCENE_NEW : SCENE_OLD);
		scene_free(&scenes[i]);
	}
}

static const struct CMUnitTest tests[] = {
	TEST(redirect_F_one_map_blocked_does_not_hold_up_others),
	TEST(redirect_F_two_maps_of_one_memory),
	TEST(redirect_F_of_one_map_by_several_threads),
	TEST(redirect_F_of_different_maps_by_several_threads),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "serial", tests, COUNT(tests));
}
