/* SPDX-License-Identifier: MIT */
/*
 * From the call that lets a waiting thread go to that thread having its value: a redirect against a futex wake, in turns, with the
 * thread on another processor than the caller, and on the same one, where it runs as soon as the caller sleeps.
 */
#include <linux/futex.h>
#include <memredirect.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

#define LENGTH 65536

struct sleeper {
	pthread_t thread;
	volatile int *word; /* in a blocked map; NULL: waits for the futex */
	int futex;
	int processor;
	double resumed;
};

static void stay_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *sleep_until_let_go(void *argument)
{
	struct sleeper *sleeper = argument;

	stay_on(sleeper->processor);
	if (sleeper->word)
		(void)*sleeper->word;
	else
		syscall(SYS_futex, &sleeper->futex, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	sleeper->resumed = now_us();
	return NULL;
}

/* Long enough for it to be asleep, and for its processor to be idle. */
static void settle(void)
{
	static const struct timespec pause = { .tv_nsec = 300000 };

	nanosleep(&pause, NULL);
}

static double by_redirect(struct mr_map *map, struct mr_memory *to, int processor)
{
	struct sleeper sleeper = { .word = mr_map_address(map), .processor = processor };
	double begin;

	must(mr_map_redirect(map, NULL, 0, 0), "a block");
	must_errno(pthread_create(&sleeper.thread, NULL, sleep_until_let_go, &sleeper) == 0, "a thread");
	while (!mr_map_waiters(map))
		settle();
	settle();
	begin = now_us();
	must(mr_map_redirect(map, to, 0, 0), "a redirect");
	pthread_join(sleeper.thread, NULL);
	return sleeper.resumed - begin;
}

static double by_futex(int processor)
{
	struct sleeper sleeper = { .processor = processor };
	double begin;

	must_errno(pthread_create(&sleeper.thread, NULL, sleep_until_let_go, &sleeper) == 0, "a thread");
	settle();
	settle();
	begin = now_us();
	__atomic_store_n(&sleeper.futex, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &sleeper.futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	pthread_join(sleeper.thread, NULL);
	return sleeper.resumed - begin;
}

static void compare(const char *name, struct mr_map *map, struct mr_memory *const memories[2], int processor, unsigned rounds)
{
	struct series redirects = { 0 }, futexes = { 0 };

	for (unsigned i = 0; i < rounds; i++) {
		series_add(&redirects, by_redirect(map, memories[i / 2 % 2], processor));
		series_add(&futexes, by_futex(processor));
	}
	figure(name, "us", series_median(&redirects), series_median(&futexes), 2, false);
	series_free(&redirects);
	series_free(&futexes);
}

void bench_resume(bool quick)
{
	struct mr_memory *memories[2];
	struct mr_map *map;
	cpu_set_t before;

	fprintf(stderr, "redirect to resumed thread\n");
	sched_getaffinity(0, sizeof(before), &before);
	for (unsigned i = 0; i < 2; i++)
		must(mr_memory_new_buffer(LENGTH, 0, &memories[i]), "a buffer");
	must(mr_map_new(memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_PREFAULT, 0, 0, &map), "a map");
	stay_on(0);
	compare("redirect to resumed thread / futex wake, other processor", map, memories, 1, quick ? 200 : 2000);
	compare("redirect to resumed thread / futex wake, same processor", map, memories, 0, quick ? 200 : 2000);
	sched_setaffinity(0, sizeof(before), &before);
	mr_map_unref(map);
	for (unsigned i = 0; i < 2; i++)
		mr_memory_unref(memories[i]);
}
