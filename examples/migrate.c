/* SPDX-License-Identifier: MIT */
/*
 * A worker moves from one process to another, its working set with it, by way of an NBD server, while its client goes on counting but for
 * milliseconds. Each has a network namespace of its own, as two machines would. Run it as nbdkit -U - memory 64M --run 'migrate "$uri"'
 */
#include <memredirect-nbd.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE  ((uint64_t)64 << 20)
#define WORDS (SIZE / sizeof(uint64_t))

/* The client: all there is of it but its words, so that it can go from one process to the other. */
static struct {
	uint64_t counted;
	double last, longest; /* when it counted last, and its longest pause; in ms */
} client;

static uint64_t *words;
static struct mr_map *map;
static struct mr_memory *export, *local;
static pthread_t thread;
static atomic_bool stop;

static void must(bool done)
{
	if (done)
		return;
	fprintf(stderr, "%s\n", *mr_error() ? mr_error() : "failed");
	exit(EXIT_FAILURE);
}

/* Counts in a word that it picks at random, some ten thousand times a second. */
static void *count(void *argument)
{
	while (!atomic_load(&stop)) {
		struct timespec time;
		double now;

		words[(++client.counted * 6364136223846793005U >> 33) % WORDS]++;
		clock_gettime(CLOCK_MONOTONIC, &time);
		now = (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
		client.longest = client.last > 0 && now - client.last > client.longest ? now - client.last : client.longest;
		client.last = now;
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	}
	return argument;
}

static void begin_in(struct mr_memory *memory)
{
	must(!mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	words = mr_map_address(map);
	must(!pthread_create(&thread, NULL, count, NULL));
}

static void end(const char *where)
{
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	printf("%s: the longest pause was %.1f ms\n", where, client.longest);
}

/* Moves from local memory to the export, and syncs, while the client runs; stops it, and syncs what is left. */
static void source(int to_destination)
{
	begin_in(local);
	sleep(1);
	must(!mr_map_move(map, export, 0, 0, NULL, NULL));
	for (int round = 0; round < 4; round++)
		must(!mr_memory_sync(export));
	end("source");
	must(!mr_memory_sync(export));
	must(write(to_destination, &client, sizeof(client)) == sizeof(client));
}

/* Shows the export and lets the client run at once, for what it touches is fetched; moves to local memory meanwhile. */
static void destination(int from_source)
{
	uint64_t sum = 0;

	must(read(from_source, &client, sizeof(client)) == sizeof(client));
	client.longest = 0;
	begin_in(export);
	must(!mr_map_move(map, local, 0, 0, NULL, NULL));
	sleep(1);
	end("destination, the way here included");
	for (uint64_t i = 0; i < WORDS; i++)
		sum += words[i];
	printf("%llu counted, %llu found\n", (unsigned long long)client.counted, (unsigned long long)sum);
	must(sum == client.counted);
}

int main(int argc, char **argv)
{
	int fds[2], pid, status = 0;

	must(argc == 2 && !pipe(fds) && (pid = fork()) >= 0);
	if (unshare(CLONE_NEWNET))
		printf("in the network of all, for want of privilege\n");
	must(!mr_memory_new_nbd(argv[1], 0, 0, &export));
	must(!mr_memory_new_buffer(SIZE, 0, &local));
	close(fds[!!pid]);
	pid ? destination(fds[0]) : source(fds[1]);
	mr_map_unref(map);
	mr_memory_unref(export);
	mr_memory_unref(local);
	must(!pid || (waitpid(pid, &status, 0) == pid && !status));
	return EXIT_SUCCESS;
}
