/* SPDX-License-Identifier: MIT */
/* Copy-on-write maps: what clients write stays in the map, through blocks too, and goes with the next other backing. */
#include "scene.h"
#include "suite.h"
#include "wait.h"

/* Store a word into every second unit. */
static void write_some(struct scene *scene)
{
	for (uint64_t offset = 0; offset < scene->length; offset += 2 * kind_unit(suite_kind))
		*(uint64_t *)(scene->address + offset) = SCENE_VALUE + offset;
}

/* Whether the map shows just what write_some has stored, and the pattern elsewhere. */
static void check_written(struct scene *scene)
{
	uint64_t unit = kind_unit(suite_kind);

	for (uint64_t offset = 0; offset < scene->length; offset += 2 * unit) {
		assert_int_equal(*(uint64_t *)(scene->address + offset), SCENE_VALUE + offset);
		assert_pattern(scene->address + offset + 8, offset + 8, unit - 8, SCENE_OLD);
		if (offset + unit < scene->length)
			assert_pattern(scene->address + offset + unit, offset + unit, unit, SCENE_OLD);
	}
}

static void copy_on_write_hides_writes_from_the_memory(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	write_some(&scene);
	check_written(&scene);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	assert_int_equal(mr_map_options(scene.map) & MR_MAP_COPY_ON_WRITE, MR_MAP_COPY_ON_WRITE);
	scene_free(&scene);
}

static void copy_on_write_keeps_writes_across_a_block(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	write_some(&scene);
	for (int round = 0; round < 5; round++) {
		scene_block(&scene);
		assert_memory_pattern(scene.sample.memory, SCENE_OLD);
		scene_restore(&scene);
		check_written(&scene);
	}
	scene_free(&scene);
}

static void copy_on_write_keeps_writes_that_waited(void **state)
{
	uint64_t offset = kind_unit(suite_kind) + 8;
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_STORE, offset);
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, offset);
	assert_int_equal(*(uint64_t *)(scene.address + offset), SCENE_VALUE);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_block(&scene);
	scene_restore(&scene);
	assert_int_equal(*(uint64_t *)(scene.address + offset), SCENE_VALUE);
	scene_free(&scene);
}

static void copy_on_write_drops_writes_at_another_backing(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	write_some(&scene);
	scene_switch(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_free(&scene);
}

/* The same from a block to another backing and back. */
static void copy_on_write_drops_writes_at_another_backing_from_a_block(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	write_some(&scene);
	scene_block(&scene);
	scene_switch(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	scene_block(&scene);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	assert_memory_pattern(scene.other.memory, SCENE_NEW);
	scene_free(&scene);
}

static void copy_on_write_maps_do_not_see_each_other(void **state)
{
	uint32_t options = MR_MAP_UNIQUE | MR_MAP_ANYWHERE | MR_MAP_COPY_ON_WRITE;
	struct mr_map *second;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_map_new(scene.sample.memory, NULL, NULL, options, 0, 0, &second));
	write_some(&scene);
	assert_pattern(mr_map_address(second), 0, scene.length, SCENE_OLD);
	mr_map_unref(second);
	scene_free(&scene);
}

static void copy_on_write_shows_memory_to_readers_and_takes_system_calls(void **state)
{
	struct outcome outcome;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	outcome = access_try(ACCESS_READ, scene.address, SCENE_VALUE);
	assert_int_equal(outcome.error, 0);
	assert_int_equal(*(uint64_t *)scene.address, SCENE_VALUE);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_free(&scene);
}

static const struct CMUnitTest tests[] = {
	TEST_FOR(copy_on_write_hides_writes_from_the_memory, NEED_DETACHED),
	TEST_FOR(copy_on_write_keeps_writes_across_a_block, NEED_DETACHED),
	TEST_FOR(copy_on_write_keeps_writes_that_waited, NEED_DETACHED),
	TEST_FOR(copy_on_write_drops_writes_at_another_backing, NEED_DETACHED),
	TEST_FOR(copy_on_write_drops_writes_at_another_backing_from_a_block, NEED_DETACHED),
	TEST_FOR(copy_on_write_maps_do_not_see_each_other, NEED_DETACHED),
	TEST_FOR(copy_on_write_shows_memory_to_readers_and_takes_system_calls, NEED_DETACHED),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "copy_on_write", tests, COUNT(tests));
}
