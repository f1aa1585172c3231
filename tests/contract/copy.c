/* SPDX-License-Identifier: MIT */
/* Copies and moves of what a map shows, over all kinds of memory: mr_map_snapshot, mr_map_move. */
#include <errno.h>
#include <string.h>

#include "kind.h"
#include "pattern.h"
#include "scene.h"
#include "suite.h"
#include "thread.h"
#include "wait.h"

/* Enough for whatever a thread beside may do wrong. */
#define ROUNDS 20

static struct mr_report new_report(void)
{
	return (struct mr_report){ .size = sizeof(struct mr_report) };
}

static struct mr_memory *snapshot(struct scene *scene, const struct mr_copy_opts *opts, struct mr_report *report)
{
	struct mr_memory *copy;

	*report = new_report();
	assert_ok(mr_map_snapshot(scene->map, opts, &copy, report));
	return copy;
}

/* Whether writes to the map go on while it is copied, as the report has said. */
static bool is_guarded(struct scene *scene)
{
	struct mr_report report;

	mr_memory_unref(snapshot(scene, NULL, &report));
	return report.method == MR_COPIED_GUARDED;
}

/* -- snapshots -- */

static void snapshot_is_a_new_memory_of_the_same_bytes(void **state)
{
	struct mr_report report;
	struct mr_memory *copy;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	copy = snapshot(&scene, NULL, &report);
	assert_ptr_not_equal(copy, scene.sample.memory);
	assert_int_equal(mr_memory_length(copy), scene.length);
	assert_memory_pattern(copy, SCENE_OLD);
	assert_int_equal(report.bytes, scene.length);
	assert_int_equal(report.rounds, 1);
	assert_in_range(report.method, MR_COPIED_AT_REST, MR_COPIED_STOPPED);
	assert_true(report.total_ns >= report.stall_ns);
	assert_ptr_equal(mr_map_memory(scene.map), scene.sample.memory);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	mr_memory_unref(copy);
	scene_free(&scene);
}

static void snapshot_goes_into_a_memory_that_may_be_longer(void **state)
{
	struct mr_copy_opts opts = { .size = sizeof(opts) };
	struct mr_report report;
	struct mr_memory *copy;
	struct mr_map *look;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_memory_new_buffer(scene.length + page_size(), 0, &opts.into));
	assert_ok(mr_map_new(opts.into, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &look));
	copy = snapshot(&scene, &opts, &report);
	assert_ptr_equal(copy, opts.into);
	mr_memory_unref(opts.into);
	assert_pattern(mr_map_address(look), 0, scene.length, SCENE_OLD);
	assert_int_equal(*((char *)mr_map_address(look) + scene.length), 0);
	mr_map_unref(look);
	mr_memory_unref(copy);
	scene_free(&scene);
}

static void snapshot_keeps_what_was_there_and_the_map_what_is_stored(void **state)
{
	uint64_t last;
	struct mr_report report;
	struct mr_memory *copy;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	last = scene.length - 8;
	*(volatile uint64_t *)scene.address = SCENE_VALUE;
	copy = snapshot(&scene, NULL, &report);
	*(volatile uint64_t *)scene.address = SCENE_VALUE + 1;
	*(volatile uint64_t *)(scene.address + last) = SCENE_VALUE + 2;
	assert_int_equal(memory_word(copy, 0), SCENE_VALUE);
	assert_int_equal(memory_word(copy, last), pattern_word(SCENE_OLD, last));
	assert_int_equal(*(volatile uint64_t *)scene.address, SCENE_VALUE + 1);
	if (!suite_kind->detached) {
		assert_int_equal(memory_word(scene.sample.memory, 0), SCENE_VALUE + 1);
		assert_int_equal(memory_word(scene.sample.memory, last), SCENE_VALUE + 2);
	}
	mr_memory_unref(copy);
	scene_free(&scene);
}

static void snapshot_of_a_blocked_map_leaves_it_blocked(void **state)
{
	struct mr_report report;
	struct victim *victim;
	struct mr_memory *copy;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 40);
	copy = snapshot(&scene, NULL, &report);
	assert_int_equal(report.method, MR_COPIED_AT_REST);
	assert_memory_pattern(copy, SCENE_OLD);
	assert_true(mr_map_is_blocked(scene.map));
	assert_int_equal(mr_map_waiters(scene.map), 1);
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 40);
	mr_memory_unref(copy);
	scene_free(&scene);
}

static void snapshot_can_be_told_to_stop_clients(void **state)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .flags = MR_COPY_STOP };
	struct mr_report report;
	struct mr_memory *copy;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	copy = snapshot(&scene, &opts, &report);
	assert_int_equal(report.method, kind_writable(suite_kind) ? MR_COPIED_STOPPED : report.method);
	assert_memory_pattern(copy, SCENE_OLD);
	assert_false(mr_map_is_blocked(scene.map));
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	mr_memory_unref(copy);
	scene_free(&scene);
}

/* A writer that keeps two words of different pages equal, the first one ahead for an instant. */
struct pair {
	volatile uint64_t *first, *second;
	uint64_t count;
	uint32_t stop;
};

static void *write_pairs(void *argument)
{
	struct pair *pair = argument;

	while (!__atomic_load_n(&pair->stop, __ATOMIC_RELAXED)) {
		uint64_t next = pair->count + 1;

		__atomic_store_n(pair->first, next, __ATOMIC_SEQ_CST);
		__atomic_store_n(pair->second, next, __ATOMIC_SEQ_CST);
		__atomic_store_n(&pair->count, next, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void pair_start(struct pair *pair, struct thread *thread, struct scene *scene)
{
	*pair = (struct pair){ .first = (uint64_t *)(scene->address + scene->length - 8),
			       .second = (uint64_t *)(scene->address + 16) };
	*pair->first = *pair->second = 0;
	assert_true(thread_start(thread, write_pairs, pair));
}

/* Return: how many pairs were written. */
static uint64_t pair_stop(struct pair *pair, struct thread *thread)
{
	__atomic_store_n(&pair->stop, 1, __ATOMIC_RELAXED);
	thread_join(thread);
	assert_int_equal(*pair->first, pair->count);
	assert_int_equal(*pair->second, pair->count);
	return pair->count;
}

static void snapshot_is_of_one_instant(void **state)
{
	struct thread thread;
	struct scene scene;
	struct pair pair;

	(void)state;
	scene_make(&scene, suite_kind);
	pair_start(&pair, &thread, &scene);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = __atomic_load_n(&pair.count, __ATOMIC_SEQ_CST), first, second;
		struct mr_report report;
		struct mr_memory *copy = snapshot(&scene, NULL, &report);

		first = memory_word(copy, scene.length - 8);
		second = memory_word(copy, 16);
		assert_in_range(first, before, __atomic_load_n(&pair.count, __ATOMIC_SEQ_CST) + 1);
		assert_in_range(first - second, 0, 1);
		mr_memory_unref(copy);
	}
	pair_stop(&pair, &thread);
	scene_free(&scene);
}

/* What a progress function does, and has seen. */
struct watching {
	struct scene *scene;
	uint64_t calls, done, total;
	uint64_t stop_at; /* call */
	bool store, redirect;
	int result;
};

static int watch(void *argument, uint64_t done, uint64_t total)
{
	struct watching *watching = argument;

	watching->calls++;
	watching->done = done;
	watching->total = total;
	if (watching->store)
		*(volatile uint64_t *)(watching->scene->address + 8) += 1;
	if (watching->redirect)
		watching->result = mr_map_redirect(watching->scene->map, NULL, 0, 0);
	return watching->calls == watching->stop_at;
}

static void snapshot_tells_of_its_progress(void **state)
{
	struct watching watching = { 0 };
	struct mr_copy_opts opts = { .size = sizeof(opts), .progress = watch, .progress_arg = &watching };
	struct mr_report report;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	mr_memory_unref(snapshot(&scene, &opts, &report));
	assert_true(watching.calls > 0);
	assert_int_equal(watching.done, scene.length);
	assert_int_equal(watching.total, scene.length);
	scene_free(&scene);
}

static void snapshot_can_be_cancelled(void **state)
{
	struct scene scene;
	struct watching watching = { .scene = &scene, .stop_at = 1, .redirect = true };
	struct mr_copy_opts opts = { .size = sizeof(opts), .progress = watch, .progress_arg = &watching };
	struct mr_memory *copy = NULL;
	struct mr_report report = new_report();

	(void)state;
	scene_make(&scene, suite_kind);
	assert_error(mr_map_snapshot(scene.map, &opts, &copy, &report), ECANCELED);
	assert_non_null(strstr(mr_error(), "mr_map_snapshot: progress")); /* whatever progress called */
	assert_null(copy);
	assert_int_equal(report.bytes, 0);
	assert_false(mr_map_is_blocked(scene.map));
	assert_ptr_equal(mr_map_memory(scene.map), scene.sample.memory);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_switch(&scene);
	scene_restore(&scene);
	scene_free(&scene);
}

static void progress_may_store_to_the_map_and_not_redirect_it(void **state)
{
	struct watching watching = { .store = true, .redirect = true };
	struct mr_copy_opts opts = { .size = sizeof(opts), .progress = watch, .progress_arg = &watching };
	struct mr_report report;
	struct mr_memory *copy;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	watching.scene = &scene;
	watching.store = is_guarded(&scene);
	copy = snapshot(&scene, &opts, &report);
	assert_int_equal(watching.result, -EDEADLK);
	assert_int_equal(memory_word(copy, 8), pattern_word(SCENE_OLD, 8));
	if (watching.store)
		assert_int_equal(*(volatile uint64_t *)(scene.address + 8), pattern_word(SCENE_OLD, 8) + watching.calls);
	mr_memory_unref(copy);
	scene_free(&scene);
}

/* Two threads copy one map, and a third redirects it to what it shows: each waits for the others. */
static void *take_snapshots(void *argument)
{
	struct mr_map *map = argument;
	struct mr_memory *copy;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (mr_map_snapshot(map, NULL, &copy, NULL))
			return map;
		if (memory_word(copy, 0) != pattern_word(SCENE_OLD, 0))
			return map;
		mr_memory_unref(copy);
	}
	return NULL;
}

static void snapshots_of_one_map_wait_for_each_other_and_for_redirects(void **state)
{
	struct thread threads[2];
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	for (unsigned i = 0; i < 2; i++)
		assert_true(thread_start(&threads[i], take_snapshots, scene.map));
	for (unsigned i = 0; i < ROUNDS; i++) {
		scene_block(&scene);
		sample_restore(&scene.sample); /* a thread that copies may have stopped it again by now */
	}
	for (unsigned i = 0; i < 2; i++)
		assert_null(thread_join(&threads[i]));
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_free(&scene);
}

/* -- moves -- */

static uint32_t access_of(const struct scene *scene)
{
	return scene->other.access & ~MR_MAP_READ_ONLY;
}

/* Whether the other memory can be moved to: not if it is read-only. */
static bool can_move(const struct scene *scene)
{
	return !(mr_memory_options(scene->other.memory) & MR_MEMORY_READ_ONLY);
}

static void move_brings_every_byte_and_shows_them(void **state)
{
	struct mr_report report = new_report();
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	if (!can_move(&scene)) {
		assert_error(mr_map_move(scene.map, scene.other.memory, 0, scene.other.access, NULL, NULL), EACCES);
		scene_free(&scene);
		return;
	}
	assert_ok(mr_map_move(scene.map, scene.other.memory, 0, access_of(&scene), NULL, &report));
	assert_ptr_equal(mr_map_memory(scene.map), scene.other.memory);
	assert_ptr_equal(mr_map_address(scene.map), scene.address);
	assert_false(mr_map_is_blocked(scene.map));
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	assert_memory_pattern(scene.other.memory, SCENE_OLD);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	assert_true(report.bytes >= scene.length && report.rounds >= 1);
	*(volatile uint64_t *)scene.address = SCENE_VALUE;
	assert_int_equal(memory_word(scene.sample.memory, 0), pattern_word(SCENE_OLD, 0));
	scene_free(&scene);
}

static void move_takes_every_store_along(void **state)
{
	struct thread thread;
	struct scene scene;
	struct pair pair;

	(void)state;
	scene_make(&scene, suite_kind);
	if (can_move(&scene)) {
		pair_start(&pair, &thread, &scene);
		for (unsigned i = 0; i < ROUNDS / 2; i++) {
			assert_ok(mr_map_move(scene.map, scene.other.memory, 0, access_of(&scene), NULL, NULL));
			assert_ok(mr_map_move(scene.map, scene.sample.memory, 0, scene.sample.backing.access, NULL, NULL));
		}
		pair_stop(&pair, &thread);
		assert_ptr_equal(mr_map_memory(scene.map), scene.sample.memory);
	}
	scene_free(&scene);
}

static void move_lets_a_blocked_map_go(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	if (can_move(&scene)) {
		scene_block(&scene);
		victim = scene_victim(&scene, ACCESS_LOAD, 40);
		assert_ok(mr_map_move(scene.map, scene.other.memory, 0, access_of(&scene), NULL, NULL));
		scene_victim_end(victim, SCENE_OLD, 40);
		assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	}
	scene_free(&scene);
}

static void check_unmoved(struct scene *scene)
{
	assert_false(mr_map_is_blocked(scene->map));
	assert_ptr_equal(mr_map_memory(scene->map), scene->sample.memory);
	assert_pattern(scene->address, 0, scene->length, SCENE_OLD);
	scene_switch(scene);
	scene_restore(scene);
}

static void move_keeps_to_its_budget(void **state)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .stall_budget_ns = 1 };
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	if (can_move(&scene)) {
		assert_error(mr_map_move(scene.map, scene.other.memory, 0, access_of(&scene), &opts, NULL), EBUSY);
		check_unmoved(&scene);
	}
	scene_free(&scene);
}

static void move_can_be_cancelled(void **state)
{
	struct watching watching = { .stop_at = 1 };
	struct mr_copy_opts opts = { .size = sizeof(opts), .progress = watch, .progress_arg = &watching };
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	if (can_move(&scene)) {
		assert_error(mr_map_move(scene.map, scene.other.memory, 0, access_of(&scene), &opts, NULL), ECANCELED);
		check_unmoved(&scene);
	}
	scene_free(&scene);
}

static const struct CMUnitTest tests[] = {
	TEST(snapshot_is_a_new_memory_of_the_same_bytes),
	TEST(snapshot_goes_into_a_memory_that_may_be_longer),
	TEST_FOR(snapshot_keeps_what_was_there_and_the_map_what_is_stored, NEED_WRITABLE),
	TEST(snapshot_of_a_blocked_map_leaves_it_blocked),
	TEST(snapshot_can_be_told_to_stop_clients),
	TEST_FOR(snapshot_is_of_one_instant, NEED_WRITABLE),
	TEST(snapshot_tells_of_its_progress),
	TEST(snapshot_can_be_cancelled),
	TEST(progress_may_store_to_the_map_and_not_redirect_it),
	TEST(snapshots_of_one_map_wait_for_each_other_and_for_redirects),
	TEST(move_brings_every_byte_and_shows_them),
	TEST_FOR(move_takes_every_store_along, NEED_WRITABLE),
	TEST(move_lets_a_blocked_map_go),
	TEST(move_keeps_to_its_budget),
	TEST(move_can_be_cancelled),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "copy", tests, COUNT(tests));
}
