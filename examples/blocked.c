/* SPDX-License-Identifier: MIT */
/*
 * An atomic copy: a writer keeps two counters equal, all the time. While the map is blocked its backing stands still, so that a copy
 * of it never has them differ by more than the one step that the writer is in the middle of.
 */
#include <memredirect.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define LENGTH (64 * 4096)
#define COPIES 1000

struct pair {
	_Atomic long first;
	char far_away[LENGTH / 2];
	_Atomic long second;
};

static _Atomic int stop;

static void *write_on(void *argument)
{
	struct pair *pair = argument;

	while (!stop) {
		atomic_fetch_add(&pair->first, 1);
		atomic_fetch_add(&pair->second, 1);
	}
	return NULL;
}

static void check(int result)
{
	if (result < 0) {
		fprintf(stderr, "%s\n", mr_error());
		exit(EXIT_FAILURE);
	}
}

int main(void)
{
	static struct pair copy;
	struct mr_memory *memory;
	struct mr_map *map;
	pthread_t writer;

	check(mr_memory_new_buffer(LENGTH, 0, &memory));
	check(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	if (pthread_create(&writer, NULL, write_on, mr_map_address(map)))
		return EXIT_FAILURE;
	for (int i = 0; i < COPIES; i++) {
		check(mr_map_redirect(map, NULL, 0, 0)); /* from here on every access waits */
		check(mr_memory_read(memory, 0, &copy, sizeof(copy)));
		check(mr_map_redirect(map, memory, 0, 0)); /* and goes on, as if nothing had been */
		if (copy.first - copy.second < 0 || copy.first - copy.second > 1) {
			fprintf(stderr, "copy %d is torn: %ld and %ld\n", i, copy.first, copy.second);
			return EXIT_FAILURE;
		}
	}
	stop = 1;
	pthread_join(writer, NULL);
	printf("%d copies, none torn; the last one has %ld\n", COPIES, copy.first);
	mr_map_unref(map);
	mr_memory_unref(memory);
	return EXIT_SUCCESS;
}
