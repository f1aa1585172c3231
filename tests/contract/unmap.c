/* SPDX-License-Identifier: MIT */
/* A map that goes away, by unmap or with its last reference, live or blocked, over all kinds of memory. */
#include <errno.h>
#include <signal.h>

#include "leak.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

static void let_go_by_unmap(struct sample *sample)
{
	assert_ok(mr_map_unmap(sample->map));
	assert_null(mr_map_address(sample->map));
	assert_int_equal(mr_map_length(sample->map), sample->length);
	assert_false(mr_map_is_blocked(sample->map));
	assert_int_equal(mr_map_waiters(sample->map), 0);
}

static void let_go_by_unref(struct sample *sample)
{
	sample->map = mr_map_unref(sample->map);
	assert_null(sample->map);
}

/* At any page nothing is mapped; or, where a pager's threads are about, what one of them has mapped there since. */
static void check_absent(const struct sample *sample, unsigned seed)
{
	for (uint64_t offset = 0; offset < sample->length; offset += kind_unit(suite_kind)) {
		struct outcome outcome = access_try(ACCESS_LOAD, sample->address + offset, 0);

		if (outcome.signal != SIGSEGV && sample->kind->stays)
			assert_int_not_equal(outcome.seen, pattern_word(seed, offset));
		else
			assert_int_equal(outcome.signal, SIGSEGV);
	}
}

static void range_goes_away(void (*let_go)(struct sample *sample))
{
	struct sample sample;

	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	let_go(&sample);
	check_absent(&sample, 1);
	assert_memory_pattern(sample.memory, 1);
	sample_free(&sample);
}

static void unmap_takes_the_range_away(void **state)
{
	(void)state;
	range_goes_away(let_go_by_unmap);
}

static void last_unref_takes_the_range_away(void **state)
{
	(void)state;
	range_goes_away(let_go_by_unref);
}

static void unref_of_one_of_two_leaves_the_map(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ptr_equal(mr_map_ref(sample.map), sample.map);
	assert_null(mr_map_unref(sample.map));
	assert_pattern(sample.address, 0, sample.length, 1);
	assert_ok(mr_map_redirect(sample.map, NULL, 0, 0));
	sample_restore(&sample);
	sample_free(&sample);
}

static void unmap_twice_is_an_error(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_map_unmap(sample.map));
	assert_error(mr_map_unmap(sample.map), ENXIO);
	assert_error(mr_map_redirect(sample.map, NULL, 0, 0), ENXIO);
	assert_error(mr_map_redirect(sample.map, sample.memory, sample.backing.access, 0), ENXIO);
	sample_free(&sample);
}

/* Clients of each sort wait; then the range goes, and each meets an address at which nothing is mapped. */
static void waiters_meet_nothing(void (*let_go)(struct sample *sample))
{
	struct victim *victims[ACCESS_FETCH];
	struct scene scene;

	scene_make(&scene, suite_kind);
	scene_block(&scene);
	for (enum access access = 0; access < ACCESS_FETCH; access++) {
		bool possible = scene_access_waits(access) && scene_access_possible(&scene, access);

		victims[access] = possible ? scene_victim(&scene, access, 8 * access) : NULL;
	}
	let_go(&scene.sample);
	for (enum access access = 0; access < ACCESS_FETCH; access++) {
		if (!victims[access])
			continue;
		assert_true(victim_wait(victims[access]));
		assert_int_equal(victims[access]->outcome.signal, access_is_system_call(access) ? 0 : SIGSEGV);
		assert_int_equal(victims[access]->outcome.error, access_is_system_call(access) ? EFAULT : 0);
		victim_free(victims[access]);
	}
	check_absent(&scene.sample, SCENE_OLD);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_free(&scene);
}

static void unmap_while_blocked_gives_waiters_a_fault_signal(void **state)
{
	(void)state;
	waiters_meet_nothing(let_go_by_unmap);
}

static void last_unref_while_blocked_gives_waiters_a_fault_signal(void **state)
{
	(void)state;
	waiters_meet_nothing(let_go_by_unref);
}

/* Of two blocked maps of one memory, one goes away: the clients of the other one wait on. */
static void unmap_leaves_the_waiters_of_others_alone(void **state)
{
	uint32_t options = MR_MAP_UNIQUE | MR_MAP_ANYWHERE;
	struct victim *victim;
	struct mr_map *second;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_map_new(scene.sample.memory, NULL, NULL, options | scene.sample.backing.access, 0, 0, &second));
	scene_block(&scene);
	assert_ok(mr_map_redirect(second, NULL, 0, 0));
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	assert_int_equal(mr_map_waiters(second), 0);
	assert_ok(mr_map_unmap(second));
	assert_int_equal(mr_map_waiters(scene.map), 1);
	assert_false(victim_is_done(victim));
	assert_true(mr_map_is_blocked(scene.map));
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 8);
	mr_map_unref(second);
	scene_free(&scene);
}

/* The range of an adopted map was there before the map, and stays. */
static void adopted_range_stays(void (*let_go)(struct sample *sample))
{
	struct sample sample;

	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	let_go(&sample);
	assert_pattern(sample.address, 0, sample.length, 1);
	*(uint64_t *)sample.address = SCENE_VALUE;
	assert_int_equal(*(uint64_t *)sample.address, SCENE_VALUE);
	sample_free(&sample);
}

static void unmap_of_an_adopted_map_leaves_its_range(void **state)
{
	(void)state;
	adopted_range_stays(let_go_by_unmap);
}

static void last_unref_of_an_adopted_map_leaves_its_range(void **state)
{
	(void)state;
	adopted_range_stays(let_go_by_unref);
}

/* With the backing that it has, which is not the one that it was adopted with. */
static void adopted_range_stays_redirected(void (*let_go)(struct sample *sample))
{
	struct scene scene;

	scene_make(&scene, suite_kind);
	scene_switch(&scene);
	let_go(&scene.sample);
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	*(uint64_t *)scene.address = SCENE_VALUE;
	assert_int_equal(memory_word(scene.other.memory, 0), SCENE_VALUE);
	scene_free(&scene);
}

static void unmap_of_an_adopted_map_leaves_what_it_was_redirected_to(void **state)
{
	(void)state;
	adopted_range_stays_redirected(let_go_by_unmap);
}

static void last_unref_of_an_adopted_map_leaves_what_it_was_redirected_to(void **state)
{
	(void)state;
	adopted_range_stays_redirected(let_go_by_unref);
}

/* A blocked one is let go first: its clients go on with the bytes that they would have had. */
static void adopted_waiters_go_on(void (*let_go)(struct sample *sample))
{
	struct victim *victim;
	struct scene scene;

	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 16);
	let_go(&scene.sample);
	scene_victim_end(victim, SCENE_OLD, 16);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_free(&scene);
}

static void unmap_of_a_blocked_adopted_map_lets_its_waiters_go_on(void **state)
{
	(void)state;
	adopted_waiters_go_on(let_go_by_unmap);
}

static void last_unref_of_a_blocked_adopted_map_lets_its_waiters_go_on(void **state)
{
	(void)state;
	adopted_waiters_go_on(let_go_by_unref);
}

static void adopted_range_can_be_adopted_again(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	for (int round = 0; round < 3; round++) {
		mr_map_unref(sample.map);
		sample.memory = mr_memory_unref(sample.memory);
		assert_ok(mr_map_adopt(NULL, sample.address, sample.length, 0, &sample.map));
		sample.memory = mr_memory_ref(mr_map_memory(sample.map));
		assert_ok(mr_map_redirect(sample.map, NULL, 0, 0));
		sample_restore(&sample);
		assert_pattern(sample.address, 0, sample.length, 1);
	}
	sample_free(&sample);
}

static const struct CMUnitTest tests[] = {
	TEST_FOR(unmap_takes_the_range_away, NEED_OWN),
	TEST_FOR(last_unref_takes_the_range_away, NEED_OWN),
	TEST(unref_of_one_of_two_leaves_the_map),
	TEST(unmap_twice_is_an_error),
	TEST_FOR(unmap_while_blocked_gives_waiters_a_fault_signal, NEED_OWN),
	TEST_FOR(last_unref_while_blocked_gives_waiters_a_fault_signal, NEED_OWN),
	TEST_FOR(unmap_leaves_the_waiters_of_others_alone, NEED_AGAIN),
	TEST_FOR(unmap_of_an_adopted_map_leaves_its_range, NEED_ADOPTED),
	TEST_FOR(last_unref_of_an_adopted_map_leaves_its_range, NEED_ADOPTED),
	TEST_FOR(unmap_of_an_adopted_map_leaves_what_it_was_redirected_to, NEED_ADOPTED),
	TEST_FOR(last_unref_of_an_adopted_map_leaves_what_it_was_redirected_to, NEED_ADOPTED),
	TEST_FOR(unmap_of_a_blocked_adopted_map_lets_its_waiters_go_on, NEED_ADOPTED),
	TEST_FOR(last_unref_of_a_blocked_adopted_map_lets_its_waiters_go_on, NEED_ADOPTED),
	TEST_FOR(adopted_range_can_be_adopted_again, NEED_ADOPTED),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "unmap", tests, COUNT(tests));
}
