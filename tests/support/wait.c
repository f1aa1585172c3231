/* SPDX-License-Identifier: MIT */
/* Waiting with a deadline. */
#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <memredirect.h>

int wait_deadline_seconds(void)
{
	const char *given = getenv("MR_DEADLINE_SECONDS");

	return given ? atoi(given) : 30;
}

double clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The conditions are those that the kernel does not tell about, so they are asked again and again. */
bool wait_until(bool (*condition)(void *argument), void *argument)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	double end = clock_now() + DEADLINE_SECONDS;

	while (!condition(argument)) {
		if (clock_now() > end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

bool wait_word(uint32_t *word, uint32_t value)
{
	double end = clock_now() + DEADLINE_SECONDS;
	const struct timespec pause = { .tv_sec = 1 };

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) {
		if (clock_now() > end)
			return false;
		syscall(SYS_futex, word, FUTEX_WAIT, value, &pause, NULL, 0);
	}
	return true;
}

void wait_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool wait_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	double end = clock_now() + DEADLINE_SECONDS;
	int ready;

	do
		ready = poll(&poll_fd, 1, 1000);
	while ((ready == 0 || (ready < 0 && errno == EINTR)) && clock_now() < end);
	return ready > 0;
}

struct expected_waiters {
	const struct mr_map *map;
	uint64_t count;
};

static bool has_waiters(void *argument)
{
	const struct expected_waiters *expected = argument;

	return mr_map_waiters(expected->map) == expected->count;
}

bool wait_waiters(const struct mr_map *map, uint64_t count)
{
	struct expected_waiters expected = { map, count };

	return wait_until(has_waiters, &expected);
}
