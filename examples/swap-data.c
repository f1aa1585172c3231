/* SPDX-License-Identifier: MIT */
/*
 * A data set that is replaced under its readers: two editions of a table in files; readers look things up in a map of it, and each
 * answer is of one edition or the other, while the map is redirected from one to the other again and again.
 */
#include <memredirect.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENTRIES	 65536
#define READERS	 2
#define EDITIONS 500

static _Atomic int stop;
static _Atomic long wrong;
static const long *table;

static long entry(int edition, long key)
{
	return key * 2 + edition;
}

static void *look_up(void *argument)
{
	unsigned key = (unsigned)(size_t)argument;

	while (!stop) {
		long found;

		key = (key * 1103515245 + 12345) % ENTRIES;
		found = ((volatile const long *)table)[key];
		if (found != entry(0, key) && found != entry(1, key))
			wrong++;
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

static struct mr_memory *open_edition(int edition)
{
	FILE *file = tmpfile();
	struct mr_memory *memory;

	if (!file)
		exit(EXIT_FAILURE);
	for (long key = 0; key < ENTRIES; key++) {
		long value = entry(edition, key);

		fwrite(&value, sizeof(value), 1, file);
	}
	fflush(file);
	check(mr_memory_new_fd(fileno(file), 0, ENTRIES * sizeof(long), MR_MEMORY_READ_ONLY, &memory));
	fclose(file); /* the memory has a descriptor of its own */
	return memory;
}

int main(void)
{
	struct mr_memory *editions[2] = { open_edition(0), open_edition(1) };
	pthread_t readers[READERS];
	struct mr_map *map;

	check(mr_map_new(editions[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_READ_ONLY, 0, 0, &map));
	table = mr_map_address(map);
	for (size_t i = 0; i < READERS; i++)
		if (pthread_create(&readers[i], NULL, look_up, (void *)i))
			return EXIT_FAILURE;
	for (int i = 1; i <= EDITIONS; i++) {
		check(mr_map_redirect(map, editions[i % 2], MR_MAP_READ_ONLY | MR_MAP_PREFAULT, 0));
		if (table[ENTRIES - 1] != entry(i % 2, ENTRIES - 1))
			wrong++; /* when it has returned, nobody can see the old edition */
	}
	stop = 1;
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	printf("%d editions, %ld wrong answers\n", EDITIONS, (long)wrong);
	mr_map_unref(map);
	mr_memory_unref(editions[0]);
	mr_memory_unref(editions[1]);
	return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
