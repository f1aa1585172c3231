/* SPDX-License-Identifier: MIT */
/* A thread reads a counter in a map. The memory behind the map is replaced under it; the thread never notices but for the value. */
#include <memredirect.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *wait_for_answer(void *word)
{
	while (__atomic_load_n((int *)word, __ATOMIC_ACQUIRE) != 42)
		;
	return NULL;
}

int main(void)
{
	struct mr_memory *old, *new;
	struct mr_map *map;
	pthread_t reader;
	int answer = 42;

	if (mr_memory_new_buffer(4096, 0, &old) || mr_memory_new_buffer(4096, 0, &new) ||
	    mr_memory_write(new, 0, &answer, sizeof(answer)) ||
	    mr_map_new(old, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map) ||
	    pthread_create(&reader, NULL, wait_for_answer, mr_map_address(map)) || mr_map_redirect(map, new, 0, 0)) {
		fprintf(stderr, "%s\n", mr_error());
		return EXIT_FAILURE;
	}
	pthread_join(reader, NULL);
	printf("the reader has seen %d\n", *(int *)mr_map_address(map));
	mr_map_unref(map);
	mr_memory_unref(old);
	mr_memory_unref(new);
	return EXIT_SUCCESS;
}
