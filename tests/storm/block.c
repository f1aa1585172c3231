/* SPDX-License-Identifier: MIT */
/*
 * Guarantee C: many threads wait in one map, and in the midst of signals.
 *
 * Would be caught: a waiting thread that is forgotten, counted twice, or comes back with anything but the new bytes; a signal that
 * lets an access through, or is lost.
 */
#include "kind.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "stress.h"
#include "suite.h"
#include "thread.h"
#include "wait.h"

#define THREADS 64
#define LENGTH	(16 * page_size())

static _Atomic uint64_t signals;

struct waiter {
	struct thread thread;
	uint64_t *word;
	uint64_t seen;
};

static void *wait_for_word(void *argument)
{
	struct waiter *waiter = argument;

	waiter->seen = __atomic_load_n(waiter->word, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start_waiters(struct waiter *waiters, struct mr_map *map)
{
	char *address = mr_map_address(map);

	for (unsigned i = 0; i < THREADS; i++) {
		waiters[i].word = (uint64_t *)(address + i * LENGTH / THREADS);
		assert_true(thread_start(&waiters[i].thread, wait_for_word, &waiters[i]));
	}
	assert_true(wait_waiters(map, THREADS));
}

static void end_waiters(struct waiter *waiters, uint64_t expected)
{
	for (unsigned i = 0; i < THREADS; i++) {
		thread_join(&waiters[i].thread);
		assert_int_equal(waiters[i].seen, expected);
	}
}

static void fill(struct mr_memory *memory, uint64_t value)
{
	for (uint64_t offset = 0; offset < LENGTH; offset += sizeof(value))
		assert_ok(mr_memory_write(memory, offset, &value, sizeof(value)));
}

static void make(struct mr_memory *memories[2], struct mr_map **map)
{
	for (unsigned i = 0; i < 2; i++) {
		assert_ok(mr_memory_new_buffer(LENGTH, 0, &memories[i]));
		fill(memories[i], i + 1);
	}
	assert_ok(mr_map_new(memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, map));
}

static void redirect_C_64_threads_wait_in_one_map(void **state)
{
	struct mr_memory *memories[2];
	struct waiter waiters[THREADS];
	struct mr_map *map;
	unsigned round = 0;
	double begin;

	(void)state;
	make(memories, &map);
	for (begin = stress_begin(); stress_goes_on(begin); round++) {
		assert_ok(mr_map_redirect(map, NULL, 0, 0));
		start_waiters(waiters, map);
		assert_ok(mr_map_redirect(map, memories[round % 2], 0, 0));
		end_waiters(waiters, round % 2 + 1);
		assert_int_equal(mr_map_waiters(map), 0);
	}
	mr_map_unref(map);
	for (unsigned i = 0; i < 2; i++)
		mr_memory_unref(memories[i]);
}

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals, 1);
}

static bool many_signals(void *argument)
{
	return atomic_load(&signals) >= *(uint64_t *)argument;
}

/* SIGPROF by the clock of the process, and to each waiting thread by its name. */
static void storm(struct waiter *waiters, struct mr_map *map)
{
	uint64_t before = atomic_load(&signals), enough;

	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < THREADS; i++)
			pthread_kill(waiters[i].thread.id, SIGPROF);
	enough = before + THREADS;
	assert_true(wait_until(many_signals, &enough));
	assert_true(wait_waiters(map, THREADS));
	assert_true(mr_map_is_blocked(map));
}

static void redirect_C_waits_in_a_storm_of_signals(void **state)
{
	struct itimerval interval = { { 0, 1000 }, { 0, 1000 } }, off = { 0 };
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART }, before;
	struct mr_memory *memories[2];
	struct waiter waiters[THREADS];
	struct mr_map *map;
	unsigned round = 0;
	double begin;

	(void)state;
	make(memories, &map);
	sigaction(SIGPROF, &action, &before);
	setitimer(ITIMER_PROF, &interval, NULL);
	for (begin = stress_begin(); stress_goes_on(begin); round++) {
		assert_ok(mr_map_redirect(map, NULL, 0, 0));
		start_waiters(waiters, map);
		storm(waiters, map);
		assert_ok(mr_map_redirect(map, memories[round % 2], 0, 0));
		end_waiters(waiters, round % 2 + 1);
	}
	setitimer(ITIMER_PROF, &off, NULL);
	sigaction(SIGPROF, &before, NULL);
	mr_map_unref(map);
	for (unsigned i = 0; i < 2; i++)
		mr_memory_unref(memories[i]);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(redirect_C_64_threads_wait_in_one_map),
		TEST(redirect_C_waits_in_a_storm_of_signals),
	};

	return suite_run(argc, argv, "stress block", tests, COUNT(tests));
}
