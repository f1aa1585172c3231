/* SPDX-License-Identifier: MIT */
/*
 * A program of somebody else's, in the C and C++ that both have: a thread waits in a blocked map, is counted, and goes on with the
 * new bytes. Exit status: 0 it did; 1 it did not; 77 maps cannot be blocked here.
 */
#include <memredirect.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#define LENGTH	 65536
#define DEADLINE 30

static void *load(void *address)
{
	static char seen;

	seen = *(volatile char *)address;
	return &seen;
}

static struct mr_memory *buffer_of(char byte)
{
	struct mr_memory *memory = NULL;

	if (mr_memory_new_buffer(LENGTH, 0, &memory) || mr_memory_write(memory, 0, &byte, 1))
		return mr_memory_unref(memory);
	return memory;
}

static int await_waiter(const struct mr_map *map)
{
	time_t end = time(NULL) + DEADLINE;

	while (mr_map_waiters(map) != 1) {
		if (time(NULL) > end)
			return -1;
		sched_yield();
	}
	return 0;
}

/* What a thread reads that met the map while it was blocked; -1: it did not come to that. */
static int read_across(struct mr_map *map, struct mr_memory *next)
{
	pthread_t reader;
	void *seen;

	if (mr_map_redirect(map, NULL, 0, 0) || !mr_map_is_blocked(map))
		return -1;
	if (pthread_create(&reader, NULL, load, mr_map_address(map)))
		return -1;
	if (await_waiter(map) || mr_map_redirect(map, next, 0, 0))
		return -1;
	if (pthread_join(reader, &seen))
		return -1;
	return *(char *)seen;
}

static int run(void)
{
	struct mr_memory *first = buffer_of('1'), *second = buffer_of('2');
	struct mr_map *map = NULL;
	int seen = -1;

	if (first && second && !mr_map_new(first, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map))
		seen = read_across(map, second);
	if (seen != '2')
		fprintf(stderr, "read %d instead of '2'; mr_error: %s\n", seen, mr_error());
	mr_map_unref(map);
	mr_memory_unref(second);
	mr_memory_unref(first);
	return seen == '2' ? 0 : 1;
}

int main(void)
{
	struct mr_features features;

	if (mr_features(&features))
		return 1;
	if (!features.blocking) {
		printf("skipped: userfaultfd is missing here\n");
		return 77;
	}
	return run();
}
