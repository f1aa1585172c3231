/* SPDX-License-Identifier: MIT */
/* A live map that is redirected: what its clients see, then and afterwards (guarantees A, B, D and G), over all kinds of memory. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "leak.h"
#include "pagemap.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

/* A thread that looks at a map all the time, or whenever it is asked to. */
struct watcher {
	struct thread thread;
	const char *address;
	uint64_t length;
	uint32_t stop;
	uint64_t looks;
	uint64_t strangers; /* words that belong to neither memory */
};

static void *watch(void *argument)
{
	struct watcher *watcher = argument;
	uint64_t offset = 0;

	while (!__atomic_load_n(&watcher->stop, __ATOMIC_ACQUIRE)) {
		uint64_t word = __atomic_load_n((const uint64_t *)(watcher->address + offset), __ATOMIC_SEQ_CST);

		if (word != pattern_word(SCENE_OLD, offset) && word != pattern_word(SCENE_NEW, offset))
			__atomic_fetch_add(&watcher->strangers, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&watcher->looks, 1, __ATOMIC_RELAXED);
		offset = (offset + 1096) % watcher->length;
	}
	return NULL;
}

static bool has_looked_anew(void *argument)
{
	struct watcher *watcher = argument;

	return __atomic_load_n(&watcher->looks, __ATOMIC_RELAXED) > 0;
}

static void watcher_start(struct watcher *watcher, const struct scene *scene)
{
	*watcher = (struct watcher){ .address = scene->address, .length = scene->length };
	assert_true(thread_start(&watcher->thread, watch, watcher));
	assert_true(wait_until(has_looked_anew, watcher));
}

static void watcher_stop(struct watcher *watcher)
{
	__atomic_store_n(&watcher->stop, 1, __ATOMIC_RELEASE);
	thread_join(&watcher->thread);
	assert_true(watcher->looks > 0);
	assert_int_equal(watcher->strangers, 0);
}

/* Redirect there and back @rounds times, and look at everything each time that a redirect has returned. */
static void there_and_back(struct scene *scene, int rounds, uint32_t options)
{
	for (int i = 0; i < rounds; i++) {
		assert_ok(mr_map_redirect(scene->map, scene->other.memory, scene->other.access | options, 0));
		assert_pattern(scene->address, 0, scene->length, SCENE_NEW);
		assert_ok(mr_map_redirect(scene->map, scene->sample.memory, scene->sample.backing.access | options, 0));
		assert_pattern(scene->address, 0, scene->length, SCENE_OLD);
	}
}

static void redirect_A_each_load_sees_the_old_or_the_new(void **state)
{
	struct watcher watcher;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	watcher_start(&watcher, &scene);
	there_and_back(&scene, 25, 0);
	there_and_back(&scene, 25, MR_MAP_PREFAULT);
	watcher_stop(&watcher);
	scene_free(&scene);
}

static void redirect_A_each_load_sees_the_old_or_the_new_across_blocks(void **state)
{
	struct watcher watcher;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	watcher_start(&watcher, &scene);
	for (int i = 0; i < 25; i++) {
		scene_block(&scene);
		if (i % 2)
			scene_restore(&scene);
		else
			scene_switch(&scene);
	}
	watcher_stop(&watcher);
	scene_free(&scene);
}

/* The map, all over, as another thread sees it. */
static uint64_t mismatch_seen_by_a_client(const struct scene *scene, unsigned seed)
{
	uint64_t step = scene->length / 128 / 8 * 8;

	for (uint64_t offset = 0; offset < scene->length; offset += step) {
		struct victim *victim = victim_start(ACCESS_LOAD, scene->address + offset, 0);
		bool same;

		assert_non_null(victim);
		assert_true(victim_wait(victim));
		same = victim->outcome.seen == pattern_word(seed, offset) && !victim->outcome.signal;
		victim_free(victim);
		if (!same)
			return offset;
	}
	return scene->length;
}

static void redirect_B_complete_on_return(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_int_equal(mismatch_seen_by_a_client(&scene, SCENE_OLD), scene.length);
	scene_switch(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	assert_int_equal(mismatch_seen_by_a_client(&scene, SCENE_NEW), scene.length);
	scene_restore(&scene);
	assert_int_equal(mismatch_seen_by_a_client(&scene, SCENE_OLD), scene.length);
	scene_free(&scene);
}

static void redirect_B_stores_reach_the_new_backing_alone(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_switch(&scene);
	for (uint64_t offset = 0; offset < scene.length; offset += 8)
		*(uint64_t *)(scene.address + offset) = SCENE_VALUE + offset;
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	for (uint64_t offset = 0; offset < scene.length; offset += kind_unit(suite_kind))
		assert_int_equal(memory_word(scene.other.memory, offset), SCENE_VALUE + offset);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_free(&scene);
}

/* Also by system calls, which find the new backing too. */
static void redirect_B_system_calls_reach_the_new_backing(void **state)
{
	struct outcome outcome;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_switch(&scene);
	outcome = access_try(ACCESS_WRITE, scene.address + 8, 0);
	assert_int_equal(outcome.error, 0);
	assert_int_equal(outcome.seen, pattern_word(SCENE_NEW, 8));
	if (kind_writable(suite_kind)) {
		outcome = access_try(ACCESS_READ, scene.address + 8, SCENE_VALUE);
		assert_int_equal(outcome.error, 0);
		assert_int_equal(*(uint64_t *)(scene.address + 8), SCENE_VALUE);
	}
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_free(&scene);
}

static void redirect_D_stores_before_are_in_the_old_backing(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	for (uint64_t offset = 0; offset < scene.length; offset += kind_unit(suite_kind))
		*(uint64_t *)(scene.address + offset) = SCENE_VALUE + offset;
	scene_switch(&scene);
	for (uint64_t offset = 0; offset < scene.length; offset += kind_unit(suite_kind))
		assert_int_equal(memory_word(scene.sample.memory, offset), SCENE_VALUE + offset);
	assert_memory_pattern(scene.other.memory, SCENE_NEW);
	scene_restore(&scene);
	for (uint64_t offset = 0; offset < scene.length; offset += kind_unit(suite_kind))
		assert_int_equal(*(uint64_t *)(scene.address + offset), SCENE_VALUE + offset);
	scene_free(&scene);
}

static void redirect_G_prefault_fills_the_page_tables_first(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_map_redirect(scene.map, scene.other.memory, scene.other.access | MR_MAP_PREFAULT, 0));
	assert_true(pages_are_present(scene.address, scene.length));
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	scene_free(&scene);
}

/* A memory of @kind behind the map of the sample, which is 2 MiB long and stands at a multiple of 2 MiB. */
static void show_kind(struct sample *sample, const struct kind *kind, uint32_t prefault)
{
	struct backing backing;

	backing_make(&backing, kind, HUGE_PAGE, SCENE_NEW);
	assert_ok(mr_map_redirect(sample->map, backing.memory, backing.access | prefault, 0));
	assert_ptr_equal(mr_map_memory(sample->map), backing.memory);
	assert_pattern(sample->address, 0, HUGE_PAGE, SCENE_NEW);
	if (kind_writable(kind)) {
		*(uint64_t *)(sample->address + HUGE_PAGE / 2) = SCENE_VALUE;
		assert_int_equal(memory_word(backing.memory, HUGE_PAGE / 2),
				 kind->detached ? pattern_word(SCENE_NEW, HUGE_PAGE / 2) : SCENE_VALUE);
	}
	assert_ok(mr_map_redirect(sample->map, NULL, 0, 0));
	assert_ok(mr_map_redirect(sample->map, backing.memory, backing.access | prefault, 0));
	if (kind_writable(kind))
		assert_int_equal(*(uint64_t *)(sample->address + HUGE_PAGE / 2), SCENE_VALUE);
	sample_restore(sample);
	assert_pattern(sample->address, 0, HUGE_PAGE, SCENE_OLD);
	backing_free(&backing);
}

static void show_every_kind(uint32_t prefault)
{
	struct sample sample;

	sample_make_aligned(&sample, suite_kind, HUGE_PAGE, SCENE_OLD, HUGE_PAGE);
	for (size_t i = 0; i < kind_count; i++)
		if (!kinds[i].adopted && !kind_missing(&kinds[i]))
			show_kind(&sample, &kinds[i], prefault);
	sample_free(&sample);
}

static void redirect_to_every_kind_and_back(void **state)
{
	(void)state;
	show_every_kind(0);
}

static void redirect_to_every_kind_and_back_with_prefault(void **state)
{
	(void)state;
	show_every_kind(MR_MAP_PREFAULT);
}

static void redirect_takes_an_offset(void **state)
{
	uint64_t unit = kind_unit(suite_kind);
	struct backing longer;
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, 3 * unit, SCENE_OLD);
	backing_make_other(&longer, suite_kind, 5 * unit, SCENE_NEW);
	for (uint64_t offset = 0; offset <= 2 * unit; offset += unit) {
		assert_ok(mr_map_redirect(sample.map, longer.memory, longer.access, offset));
		assert_pattern(sample.address, offset, 3 * unit, SCENE_NEW);
		assert_int_equal(mr_map_length(sample.map), 3 * unit);
	}
	sample_restore(&sample);
	assert_pattern(sample.address, 0, 3 * unit, SCENE_OLD);
	sample_free(&sample);
	backing_free(&longer);
}

static void redirect_keeps_place_length_and_uniqueness(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_switch(&scene);
	assert_ptr_equal(mr_map_address(scene.map), scene.address);
	assert_int_equal(mr_map_length(scene.map), scene.length);
	assert_int_equal(mr_map_options(scene.map) & MR_MAP_UNIQUE, MR_MAP_UNIQUE);
	assert_ptr_equal(mr_map_memory(scene.map), scene.other.memory);
	assert_null(mr_map_task(scene.map));
	scene_free(&scene);
}

static void redirect_options_replace_the_access(void **state)
{
	const uint32_t access = MR_MAP_READ_ONLY | MR_MAP_COPY_ON_WRITE | MR_MAP_CACHE_MASK;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_map_redirect(scene.map, scene.other.memory, MR_MAP_READ_ONLY, 0));
	assert_int_equal(mr_map_options(scene.map) & access, MR_MAP_READ_ONLY);
	assert_int_equal(access_try(ACCESS_STORE, scene.address, 1).signal, SIGSEGV);
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	assert_ok(mr_map_redirect(scene.map, scene.other.memory, MR_MAP_COPY_ON_WRITE | MR_MAP_CACHE_COPYBACK, 0));
	assert_int_equal(mr_map_options(scene.map) & access, MR_MAP_COPY_ON_WRITE | MR_MAP_CACHE_COPYBACK);
	assert_int_equal(access_try(ACCESS_STORE, scene.address, SCENE_VALUE).signal, 0);
	assert_int_equal(*(uint64_t *)scene.address, SCENE_VALUE);
	assert_memory_pattern(scene.other.memory, SCENE_NEW);
	assert_ok(mr_map_redirect(scene.map, scene.other.memory, 0, 0));
	assert_int_equal(mr_map_options(scene.map) & access, 0);
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	assert_int_equal(access_try(ACCESS_STORE, scene.address, SCENE_VALUE).signal, 0);
	assert_int_equal(memory_word(scene.other.memory, 0), SCENE_VALUE);
	scene_free(&scene);
}

static void redirect_to_what_is_shown_does_nothing(void **state)
{
	char *before, *after;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	if (kind_writable(suite_kind))
		*(uint64_t *)scene.address = SCENE_VALUE;
	before = mapping_lines(scene.address, scene.length);
	scene_restore(&scene);
	after = mapping_lines(scene.address, scene.length);
	assert_string_equal(before, after);
	if (kind_writable(suite_kind))
		assert_int_equal(*(uint64_t *)scene.address, SCENE_VALUE);
	free(before);
	free(after);
	scene_free(&scene);
}

/* The map alone holds the memory, and lets go of it when it is redirected away. What blocking needs is there already. */
static void redirect_holds_the_backing(void **state)
{
	struct mr_memory *buffer;
	struct sample sample;
	size_t held;

	(void)state;
	sample_make_aligned(&sample, suite_kind, HUGE_PAGE, SCENE_OLD, HUGE_PAGE);
	assert_ok(mr_map_redirect(sample.map, NULL, 0, 0));
	sample_restore(&sample);
	held = count_descriptors();
	assert_ok(mr_memory_new_buffer(HUGE_PAGE, 0, &buffer));
	assert_int_equal(count_descriptors(), held + 1);
	assert_ok(mr_map_redirect(sample.map, buffer, 0, 0));
	*(uint64_t *)sample.address = SCENE_VALUE;
	mr_memory_unref(buffer);
	assert_ptr_equal(mr_map_memory(sample.map), buffer);
	assert_int_equal(memory_word(buffer, 0), SCENE_VALUE);
	sample_restore(&sample);
	assert_int_equal(count_descriptors(), held);
	assert_pattern(sample.address, 0, HUGE_PAGE, SCENE_OLD);
	sample_free(&sample);
}

static const struct CMUnitTest tests[] = {
	TEST(redirect_A_each_load_sees_the_old_or_the_new),
	TEST(redirect_A_each_load_sees_the_old_or_the_new_across_blocks),
	TEST(redirect_B_complete_on_return),
	TEST_FOR(redirect_B_stores_reach_the_new_backing_alone, NEED_WRITABLE | NEED_SEEN),
	TEST(redirect_B_system_calls_reach_the_new_backing),
	TEST_FOR(redirect_D_stores_before_are_in_the_old_backing, NEED_WRITABLE | NEED_SEEN),
	TEST(redirect_G_prefault_fills_the_page_tables_first),
	TEST(redirect_to_every_kind_and_back),
	TEST(redirect_to_every_kind_and_back_with_prefault),
	TEST(redirect_takes_an_offset),
	TEST(redirect_keeps_place_length_and_uniqueness),
	TEST_FOR(redirect_options_replace_the_access, NEED_WRITABLE | NEED_LOCAL),
	TEST(redirect_to_what_is_shown_does_nothing),
	TEST(redirect_holds_the_backing),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "redirect", tests, COUNT(tests));
}
