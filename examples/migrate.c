/* SPDX-License-Identifier: MIT */
/*
 * A worker moves from one process to another, its working set with it, by way of an NBD server; its client goes on counting all the time
 * but for milliseconds. Each process is in a network namespace of its own, if it may be, as two machines would be.
 *
 *	source		moves its map from local memory to the export, and syncs, while the client runs; stops it; syncs what is left
 *	destination	shows the export, lets the client run at once (what it touches is fetched), and moves the map to local memory
 */
#include <memredirect-nbd.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <signal.h>

#define SIZE  ((uint64_t)64 << 20)
#define WORDS (SIZE / sizeof(uint64_t))

/* What goes from one process to the other beside the working set. */
struct client {
	uint64_t counted, random;
	double last; /* when it counted last, ms */
	double longest;
};

static struct client client;
static uint64_t *words;
static atomic_bool stop;
static char uri[128];

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void must(int result)
{
	if (!result)
		return;
	fprintf(stderr, "%s\n", mr_error());
	exit(EXIT_FAILURE);
}

/* The client: counts in a word that it picks at random, some ten thousand times a second. */
static void *count(void *argument)
{
	while (!atomic_load(&stop)) {
		double now;

		client.random = client.random * 6364136223846793005U + 1442695040888963407U;
		words[(client.random >> 33) % WORDS]++;
		client.counted++;
		now = now_ms();
		client.longest = now - client.last > client.longest ? now - client.last : client.longest;
		client.last = now;
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	}
	return argument;
}

static struct mr_map *show(struct mr_memory *memory)
{
	struct mr_map *map;

	must(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	words = mr_map_address(map);
	return map;
}

static void source(int to_destination)
{
	struct mr_memory *local, *export;
	struct mr_map *map;
	pthread_t thread;

	must(mr_memory_new_buffer(SIZE, 0, &local));
	map = show(local);
	client.last = now_ms();
	pthread_create(&thread, NULL, count, NULL);
	sleep(1);
	must(mr_memory_new_nbd(uri, 0, 0, &export));
	must(mr_map_move(map, export, 0, 0, NULL, NULL));
	for (int round = 0; round < 4; round++)
		must(mr_memory_sync(export));
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	must(mr_memory_sync(export));
	if (write(to_destination, &client, sizeof(client)) != sizeof(client))
		exit(EXIT_FAILURE);
	printf("source: the longest pause was %.1f ms\n", client.longest);
	mr_map_unref(map);
	mr_memory_unref(export);
	mr_memory_unref(local);
}

static void destination(int from_source)
{
	struct mr_memory *local, *export;
	struct mr_map *map;
	pthread_t thread;
	uint64_t sum = 0;

	must(mr_memory_new_nbd(uri, 0, 0, &export));
	map = show(export);
	must(mr_memory_new_buffer(SIZE, 0, &local));
	if (read(from_source, &client, sizeof(client)) != sizeof(client))
		exit(EXIT_FAILURE);
	client.longest = 0;
	pthread_create(&thread, NULL, count, NULL);
	must(mr_map_move(map, local, 0, 0, NULL, NULL));
	sleep(1);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	for (uint64_t i = 0; i < WORDS; i++)
		sum += words[i];
	printf("destination: the longest pause was %.1f ms, the way here included; %llu counted, %llu found\n", client.longest,
	       (unsigned long long)client.counted, (unsigned long long)sum);
	mr_map_unref(map);
	mr_memory_unref(export);
	mr_memory_unref(local);
	if (sum != client.counted)
		exit(EXIT_FAILURE);
}

static pid_t start(void (*machine)(int), int fd)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNET))
		printf("in the network of all, for want of privilege\n");
	machine(fd);
	fflush(stdout);
	exit(EXIT_SUCCESS);
}

/* nbdkit on a socket; -1: there is none. */
static pid_t serve(const char *socket)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("nbdkit", "nbdkit", "--foreground", "--unix", socket, "memory", "64M", NULL);
		_exit(EXIT_FAILURE);
	}
	while (access(socket, F_OK))
		if (waitpid(pid, NULL, WNOHANG))
			return -1;
	return pid;
}

int main(void)
{
	char folder[] = "/tmp/migrate.XXXXXX", socket[64];
	int fds[2], status, failed = 0;
	pid_t server, machines[2];

	if (!mkdtemp(folder) || pipe(fds))
		return EXIT_FAILURE;
	snprintf(socket, sizeof(socket), "%s/socket", folder);
	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", socket);
	server = serve(socket);
	if (server < 0) {
		printf("skipped: nbdkit is missing here\n");
		rmdir(folder);
		return 77;
	}
	machines[0] = start(source, fds[1]);
	machines[1] = start(destination, fds[0]);
	close(fds[1]);
	for (int i = 0; i < 2; i++)
		failed |= waitpid(machines[i], &status, 0) < 0 || status;
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	unlink(socket);
	rmdir(folder);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
