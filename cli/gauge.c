/* SPDX-License-Identifier: MIT */
/* Gaps between accesses. */
#include "gauge.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"

/* A shorter gap is not worth asking why. */
#define NOTABLE 20000 /* ns */

/* How long this thread has been ready to run and has not been running: the second number of its schedstat. */
static uint64_t queued(const struct gauge *gauge)
{
	unsigned long long running, waiting;
	char text[80];
	ssize_t got = pread(gauge->schedstat, text, sizeof(text) - 1, 0);

	if (got <= 0)
		return 0;
	text[got] = '\0';
	return sscanf(text, "%llu %llu", &running, &waiting) == 2 ? waiting : 0;
}

void gauge_begin(struct gauge *gauge)
{
	gauge->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	gauge->queued = queued(gauge);
	gauge->last = now();
}

void gauge_end(struct gauge *gauge)
{
	if (gauge->schedstat >= 0)
		close(gauge->schedstat);
}

void gauge_tick(struct gauge *gauge)
{
	uint64_t time = now(), gap = time - gauge->last;

	gauge->last = time;
	if (gap >= NOTABLE) {
		uint64_t total = queued(gauge), part = total - gauge->queued;

		gap -= part < gap ? part : gap;
		gauge->queued = total;
		gauge->last = now();
	}
	if (gap > atomic_load_explicit(&gauge->longest, memory_order_relaxed))
		atomic_store_explicit(&gauge->longest, gap, memory_order_relaxed);
	atomic_fetch_add_explicit(&gauge->ticks, 1, memory_order_release);
}

uint64_t gauge_take(struct gauge *gauge)
{
	return atomic_exchange(&gauge->longest, 0);
}

void stalls_add(struct stalls *stalls, uint64_t time)
{
	if (stalls->count == stalls->room) {
		uint64_t room = stalls->room ? stalls->room * 2 : 64;
		uint64_t *times = reallocarray(stalls->times, room, sizeof(*times));

		if (!times)
			return;
		stalls->times = times;
		stalls->room = room;
	}
	stalls->times[stalls->count++] = time;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

uint64_t stalls_longest(const struct stalls *stalls)
{
	uint64_t longest = 0;

	for (uint64_t i = 0; i < stalls->count; i++)
		if (stalls->times[i] > longest)
			longest = stalls->times[i];
	return longest;
}

uint64_t stalls_median(struct stalls *stalls)
{
	if (!stalls->count)
		return 0;
	qsort(stalls->times, stalls->count, sizeof(*stalls->times), compare);
	return stalls->times[stalls->count / 2];
}

void stalls_free(struct stalls *stalls)
{
	free(stalls->times);
}
