/* SPDX-License-Identifier: MIT */
/* A key-value store that saves itself to a file while it is written to, without fork(2): the file holds what was there at one instant. */
#include <fcntl.h>
#include <memredirect.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEYS (UINT64_C(1) << 20)

/* Two tables. Every put goes to the first one, then to the second: at any instant the first is at most one ahead. */
struct store {
	uint64_t first[KEYS];
	uint64_t second[KEYS];
};

static struct store *store;
static int end;

static void *put(void *argument)
{
	for (uint64_t i = 0; !__atomic_load_n(&end, __ATOMIC_RELAXED); i++) {
		__atomic_fetch_add(&store->first[i * 7919 % KEYS], 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&store->second[i * 7919 % KEYS], 1, __ATOMIC_SEQ_CST);
	}
	return argument;
}

static void must(int result)
{
	if (!result)
		return;
	fprintf(stderr, "%s\n", mr_error());
	exit(EXIT_FAILURE);
}

/* A file is as good a destination as memory. */
static struct mr_memory *new_file(void)
{
	char path[] = "/tmp/save-store-XXXXXX";
	struct mr_memory *file;
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, sizeof(struct store))) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	unlink(path);
	must(mr_memory_new_fd(fd, 0, sizeof(struct store), 0, &file));
	close(fd);
	return file;
}

int main(void)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .into = new_file() };
	struct mr_report report = { .size = sizeof(report) };
	struct mr_memory *memory, *saved;
	struct mr_map *map, *look;
	uint64_t ahead = 0;
	pthread_t writer;

	must(mr_memory_new_buffer(sizeof(struct store), 0, &memory));
	must(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_PREFAULT, 0, 0, &map));
	store = mr_map_address(map);
	if (pthread_create(&writer, NULL, put, NULL))
		return EXIT_FAILURE;
	must(mr_map_snapshot(map, &opts, &saved, &report));
	__atomic_store_n(&end, 1, __ATOMIC_RELAXED);
	pthread_join(writer, NULL);

	must(mr_map_new(saved, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_READ_ONLY, 0, 0, &look));
	for (uint64_t key = 0; key < KEYS; key++)
		ahead += ((struct store *)mr_map_address(look))->first[key] -
			 ((struct store *)mr_map_address(look))->second[key];
	printf("saved %llu bytes; a put waited for %.3f ms at most; the first table is %llu ahead\n",
	       (unsigned long long)report.bytes, (double)report.stall_ns / 1e6, (unsigned long long)ahead);
	mr_map_unref(look);
	mr_map_unref(map);
	mr_memory_unref(saved);
	mr_memory_unref(opts.into);
	mr_memory_unref(memory);
	return ahead <= 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
