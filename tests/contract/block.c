/* SPDX-License-Identifier: MIT */
/*
 * A map that is redirected to NULL: every access waits, is counted, and goes on with the memory that comes (guarantees C, D and E),
 * over all kinds of memory.
 */
#include <errno.h>
#include <signal.h>

#include "leak.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

/* Where the client accesses: on the second unit's third word, so that not all is zero. */
static uint64_t somewhere(void)
{
	return kind_unit(suite_kind) + 16;
}

/* Without a full userfaultfd the kernel's own accesses fail while the map is blocked, and that is all that happens. */
static void check_fault_of_system_call(struct scene *scene, enum access access)
{
	struct outcome outcome = access_try(access, scene->address + somewhere(), SCENE_VALUE);

	assert_int_equal(outcome.returned, -1);
	assert_int_equal(outcome.error, EFAULT);
	assert_int_equal(outcome.signal, 0);
	assert_true(mr_map_is_blocked(scene->map));
	assert_int_equal(mr_map_waiters(scene->map), 0);
}

/* What the access wrote is in the memory that came, and nowhere else. */
static void check_traces(struct scene *scene, enum access access)
{
	uint64_t after = scene_word_after(access, SCENE_NEW, somewhere());
	uint64_t *word = (uint64_t *)(scene->address + somewhere());
	bool shows = !(scene->other.access & MR_MAP_COPY_ON_WRITE);

	assert_int_equal(*word, after);
	assert_int_equal(memory_word(scene->other.memory, somewhere()), shows ? after : pattern_word(SCENE_NEW, somewhere()));
	assert_memory_pattern(scene->sample.memory, SCENE_OLD);
}

static void waits_and_resumes(enum access access)
{
	struct victim *victim;
	struct scene scene;

	scene_make(&scene, suite_kind);
	scene_block(&scene);
	if (scene_access_waits(access)) {
		victim = scene_victim(&scene, access, somewhere());
		scene_switch(&scene);
		scene_victim_end(victim, SCENE_NEW, somewhere());
		check_traces(&scene, access);
	} else {
		check_fault_of_system_call(&scene, access);
	}
	scene_free(&scene);
}

static void redirect_C_load_waits_and_sees_the_new(void **state)
{
	(void)state;
	waits_and_resumes(ACCESS_LOAD);
}

static void redirect_C_store_waits_and_lands_in_the_new(void **state)
{
	(void)state;
	waits_and_resumes(ACCESS_STORE);
}

static void redirect_C_atomic_waits_and_lands_in_the_new(void **state)
{
	(void)state;
	waits_and_resumes(ACCESS_ADD);
}

static void redirect_C_read_call_waits_and_lands_in_the_new(void **state)
{
	(void)state;
	waits_and_resumes(ACCESS_READ);
}

static void redirect_C_write_call_waits_and_sees_the_new(void **state)
{
	(void)state;
	waits_and_resumes(ACCESS_WRITE);
}

static void redirect_C_blocked_map_reports_what_it_had(void **state)
{
	uint32_t options;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	options = mr_map_options(scene.map);
	assert_false(mr_map_is_blocked(scene.map));
	scene_block(&scene);
	assert_ptr_equal(mr_map_memory(scene.map), scene.sample.memory);
	assert_ptr_equal(mr_map_address(scene.map), scene.address);
	assert_int_equal(mr_map_length(scene.map), scene.length);
	assert_int_equal(mr_map_options(scene.map), options);
	assert_int_equal(mr_map_waiters(scene.map), 0);
	scene_free(&scene);
}

static void redirect_C_old_backing_keeps_its_bytes(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	assert_memory_pattern(mr_map_memory(scene.map), SCENE_OLD);
	if (scene.sample.backing.fd >= 0)
		assert_int_equal(pattern_file_mismatch(scene.sample.backing.fd, scene.length, SCENE_OLD), scene.length);
	scene_switch(&scene);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	if (scene.sample.backing.fd >= 0)
		assert_int_equal(pattern_file_mismatch(scene.sample.backing.fd, scene.length, SCENE_OLD), scene.length);
	scene_free(&scene);
}

static void redirect_C_memory_can_be_written_while_blocked(void **state)
{
	uint64_t value = SCENE_VALUE;
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, somewhere());
	assert_ok(mr_memory_write(scene.sample.memory, somewhere(), &value, sizeof(value)));
	assert_int_equal(memory_word(scene.sample.memory, somewhere()), value);
	assert_false(victim_is_done(victim));
	scene_restore(&scene);
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.seen, value);
	victim_free(victim);
	scene_free(&scene);
}

static void redirect_C_restored_map_shows_what_it_had(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, somewhere());
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, somewhere());
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_free(&scene);
}

static void redirect_C_restored_map_is_live_again(void **state)
{
	uint64_t *word;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	scene_restore(&scene);
	word = (uint64_t *)(scene.address + somewhere());
	*word = SCENE_VALUE;
	assert_int_equal(memory_word(scene.sample.memory, somewhere()), SCENE_VALUE);
	scene_free(&scene);
}

/* The last word of each page, or of every so many of them, up to the very last. */
static void redirect_C_every_page_waits(void **state)
{
	struct victim *victims[8];
	uint64_t offsets[8], step;
	size_t count = 0;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	step = (scene.length / kind_unit(suite_kind) + COUNT(victims) - 1) / COUNT(victims) * kind_unit(suite_kind);
	scene_block(&scene);
	for (uint64_t end = scene.length; end >= step && count < COUNT(victims); end -= step) {
		offsets[count] = end - 8;
		victims[count] = scene_victim(&scene, ACCESS_LOAD, end - 8);
		count++;
	}
	assert_true(count >= 2);
	assert_int_equal(mr_map_waiters(scene.map), count);
	scene_switch(&scene);
	for (size_t i = 0; i < count; i++)
		scene_victim_end(victims[i], SCENE_NEW, offsets[i]);
	assert_int_equal(mr_map_waiters(scene.map), 0);
	scene_free(&scene);
}

/* One client of each sort at once, some on the same page. */
static void redirect_C_all_waiters_are_counted_and_resume(void **state)
{
	struct victim *victims[ACCESS_FETCH];
	struct scene scene;
	uint64_t count = 0;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	for (enum access access = 0; access < ACCESS_FETCH; access++) {
		victims[access] = NULL;
		if (!scene_access_waits(access) || !scene_access_possible(&scene, access))
			continue;
		victims[access] = scene_victim(&scene, access, somewhere() + 8 * access);
		assert_int_equal(mr_map_waiters(scene.map), ++count);
	}
	assert_true(count >= 1);
	scene_switch(&scene);
	for (enum access access = 0; access < ACCESS_FETCH; access++)
		if (victims[access])
			scene_victim_end(victims[access], SCENE_NEW, somewhere() + 8 * access);
	assert_int_equal(mr_map_waiters(scene.map), 0);
	scene_free(&scene);
}

/* A client that lives on after its access, so that it could be mistaken for one that waits. */
struct survivor {
	struct thread thread;
	uint64_t *word;
	uint64_t seen;
	uint32_t done; /* it has seen the word */
	uint32_t end;  /* it may end */
};

static void *see_and_live_on(void *argument)
{
	struct survivor *survivor = argument;

	survivor->seen = __atomic_load_n(survivor->word, __ATOMIC_SEQ_CST);
	__atomic_store_n(&survivor->done, 1, __ATOMIC_SEQ_CST);
	wait_wake(&survivor->done);
	wait_word(&survivor->end, 0);
	return NULL;
}

static void redirect_C_clients_that_went_on_are_not_counted_any_more(void **state)
{
	struct survivor survivor = { 0 };
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	survivor.word = (uint64_t *)(scene.address + somewhere());
	assert_true(thread_start(&survivor.thread, see_and_live_on, &survivor));
	assert_true(wait_waiters(scene.map, 1));
	scene_restore(&scene);
	assert_true(wait_word(&survivor.done, 0));
	assert_int_equal(survivor.seen, pattern_word(SCENE_OLD, somewhere()));
	scene_block(&scene);
	assert_int_equal(mr_map_waiters(scene.map), 0);
	__atomic_store_n(&survivor.end, 1, __ATOMIC_SEQ_CST);
	wait_wake(&survivor.end);
	thread_join(&survivor.thread);
	scene_free(&scene);
}

static void redirect_C_blocking_twice_does_nothing(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, somewhere());
	scene_block(&scene);
	assert_int_equal(mr_map_waiters(scene.map), 1);
	assert_false(victim_is_done(victim));
	assert_ptr_equal(mr_map_memory(scene.map), scene.sample.memory);
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, somewhere());
	scene_free(&scene);
}

static void redirect_C_again_and_again(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	for (int round = 0; round < 12; round++) {
		struct victim *victim;

		scene_block(&scene);
		victim = scene_victim(&scene, ACCESS_LOAD, somewhere());
		if (round % 2)
			scene_restore(&scene);
		else
			scene_switch(&scene);
		scene_victim_end(victim, round % 2 ? SCENE_OLD : SCENE_NEW, somewhere());
	}
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_free(&scene);
}

static void redirect_C_prefault_while_blocked(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, somewhere());
	assert_ok(mr_map_redirect(scene.map, scene.other.memory, scene.other.access | MR_MAP_PREFAULT, 0));
	scene_victim_end(victim, SCENE_NEW, somewhere());
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	scene_free(&scene);
}

/* From a block to the same memory, but with other access: it was writable and is read-only now. */
static void redirect_C_to_the_same_memory_with_other_options(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, somewhere());
	assert_ok(mr_map_redirect(scene.map, scene.sample.memory, MR_MAP_READ_ONLY, 0));
	scene_victim_end(victim, SCENE_OLD, somewhere());
	assert_int_equal(access_try(ACCESS_STORE, scene.address, 1).signal, SIGSEGV);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	assert_ok(mr_map_redirect(scene.map, scene.sample.memory, 0, 0));
	assert_int_equal(access_try(ACCESS_STORE, scene.address, 1).signal, 0);
	scene_free(&scene);
}

/* A store that waits meets a map that has become read-only: it faults, and the bytes are whole. */
static void redirect_C_waiting_store_faults_if_the_map_comes_back_read_only(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_STORE, somewhere());
	assert_ok(mr_map_redirect(scene.map, scene.sample.memory, MR_MAP_READ_ONLY, 0));
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.signal, SIGSEGV);
	victim_free(victim);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_free(&scene);
}

static void redirect_D_store_before_is_in_the_old_backing(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	*(uint64_t *)(scene.address + somewhere()) = SCENE_VALUE;
	scene_block(&scene);
	assert_int_equal(memory_word(scene.sample.memory, somewhere()), SCENE_VALUE);
	scene_switch(&scene);
	assert_int_equal(memory_word(scene.sample.memory, somewhere()), SCENE_VALUE);
	assert_memory_pattern(scene.other.memory, SCENE_NEW);
	scene_free(&scene);
}

/* Several writers of several words, all of which wait, and then all land in the memory that came. */
static void redirect_D_every_store_that_waited_lands_in_the_new(void **state)
{
	struct victim *victims[6];
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	for (size_t i = 0; i < COUNT(victims); i++)
		victims[i] = scene_victim(&scene, ACCESS_ADD, somewhere());
	scene_switch(&scene);
	for (size_t i = 0; i < COUNT(victims); i++) {
		assert_true(victim_wait(victims[i]));
		victim_free(victims[i]);
	}
	assert_int_equal(*(uint64_t *)(scene.address + somewhere()),
			 pattern_word(SCENE_NEW, somewhere()) + COUNT(victims) * SCENE_VALUE);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_free(&scene);
}

/* What a redirect says to a map's face, and what it must leave alone. */
static void check_failures(struct scene *scene)
{
	struct mr_memory *small;

	assert_ok(mr_memory_new_sub(scene->other.memory, 0, scene->length - kind_unit(suite_kind), 0, &small));
	assert_error(mr_map_redirect(scene->map, small, scene->other.access, 0), ERANGE);
	assert_error(mr_map_redirect(scene->map, scene->other.memory, scene->other.access, kind_unit(suite_kind)), ERANGE);
	assert_error(mr_map_redirect(scene->map, scene->other.memory, MR_MAP_UNIQUE, 0), EINVAL);
	assert_error(mr_map_redirect(scene->map, NULL, MR_MAP_PREFAULT, 0), EINVAL);
	assert_error(mr_map_redirect(scene->map, NULL, 0, kind_unit(suite_kind)), EINVAL);
	assert_error(mr_map_redirect(scene->map, scene->other.memory, MR_MAP_CACHE_INHIBIT, 0), EOPNOTSUPP);
	mr_memory_unref(small);
}

static void redirect_E_failed_redirect_leaves_it_blocked(void **state)
{
	struct holdings before, after;
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, somewhere());
	holdings_take(&before);
	check_failures(&scene);
	holdings_take(&after);
	assert_true(holdings_equal(&before, &after));
	assert_true(mr_map_is_blocked(scene.map));
	assert_ptr_equal(mr_map_memory(scene.map), scene.sample.memory);
	assert_int_equal(mr_map_waiters(scene.map), 1);
	assert_false(victim_is_done(victim));
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, somewhere());
	holdings_free(&before);
	holdings_free(&after);
	scene_free(&scene);
}

static void redirect_E_failed_redirect_leaves_it_live(void **state)
{
	struct holdings before, after;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	holdings_take(&before);
	check_failures(&scene);
	holdings_take(&after);
	assert_true(holdings_equal(&before, &after));
	assert_false(mr_map_is_blocked(scene.map));
	assert_ptr_equal(mr_map_memory(scene.map), scene.sample.memory);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	holdings_free(&before);
	holdings_free(&after);
	scene_free(&scene);
}

static const struct CMUnitTest tests[] = {
	TEST(redirect_C_blocked_map_reports_what_it_had),
	TEST(redirect_C_old_backing_keeps_its_bytes),
	TEST(redirect_C_load_waits_and_sees_the_new),
	TEST_FOR(redirect_C_store_waits_and_lands_in_the_new, NEED_WRITABLE),
	TEST_FOR(redirect_C_atomic_waits_and_lands_in_the_new, NEED_WRITABLE),
	TEST_FOR(redirect_C_read_call_waits_and_lands_in_the_new, NEED_WRITABLE),
	TEST(redirect_C_write_call_waits_and_sees_the_new),
	TEST_FOR(redirect_C_memory_can_be_written_while_blocked, NEED_SEEN | NEED_WRITABLE),
	TEST(redirect_C_restored_map_shows_what_it_had),
	TEST_FOR(redirect_C_restored_map_is_live_again, NEED_SEEN | NEED_WRITABLE),
	TEST(redirect_C_every_page_waits),
	TEST(redirect_C_all_waiters_are_counted_and_resume),
	TEST(redirect_C_clients_that_went_on_are_not_counted_any_more),
	TEST(redirect_C_blocking_twice_does_nothing),
	TEST(redirect_C_again_and_again),
	TEST(redirect_C_prefault_while_blocked),
	TEST_FOR(redirect_C_to_the_same_memory_with_other_options, NEED_SEEN | NEED_WRITABLE),
	TEST_FOR(redirect_C_waiting_store_faults_if_the_map_comes_back_read_only, NEED_SEEN | NEED_WRITABLE),
	TEST_FOR(redirect_D_store_before_is_in_the_old_backing, NEED_SEEN | NEED_WRITABLE),
	TEST_FOR(redirect_D_every_store_that_waited_lands_in_the_new, NEED_WRITABLE),
	TEST(redirect_E_failed_redirect_leaves_it_blocked),
	TEST(redirect_E_failed_redirect_leaves_it_live),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "block", tests, COUNT(tests));
}
