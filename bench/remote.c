/* SPDX-License-Identifier: MIT */
/*
 * Reading an export of nbdkit's on a unix socket, 4 KiB an access: at random, in order (each thread its part), and mixed (64 pages in order from
 * wherever), by one to eight threads. Each measurement begins with nothing cached, and goes on for a second, or until all has been read.
 */
#include "remote.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define THREADS_MOST 8
#define RUN	     64
#define ROUNDS	     3

enum pattern { RANDOM, SEQUENTIAL, MIXED, PATTERNS };

static const char *const pattern_names[PATTERNS] = { "random", "sequential", "mixed" };

struct round {
	const struct way *way;
	void *opened;
	enum pattern pattern;
	unsigned threads;
	uint64_t pages;
	double end;
	_Atomic uint64_t accesses;
};

struct reader {
	struct round *round;
	unsigned index;
	uint64_t random;
	pthread_t thread;
};

/* The page of the nth access. */
static uint64_t page_of(struct reader *reader, uint64_t n, uint64_t before)
{
	const struct round *round = reader->round;
	uint64_t own = round->pages / round->threads;

	if (round->pattern == SEQUENTIAL)
		return reader->index * own + n;
	if (round->pattern == MIXED && n % RUN)
		return (before + 1) % round->pages;
	reader->random = reader->random * 6364136223846793005U + 1442695040888963407U;
	return (reader->random >> 33) % round->pages;
}

static void *read_pages(void *argument)
{
	struct reader *reader = argument;
	struct round *round = reader->round;
	void *joined = round->way->join(round->opened);
	uint64_t most = round->pages / round->threads, n = 0, page = 0;

	while (n < most && (n % 16 || now_us() < round->end)) {
		page = page_of(reader, n++, page);
		round->way->access(joined, page);
	}
	atomic_fetch_add(&round->accesses, n);
	round->way->leave(joined);
	return NULL;
}

/* MiB a second, of 4 KiB an access; 0: this way cannot be had here. */
static double measure_once(const struct way *way, const char *uri, uint64_t length, enum pattern pattern, unsigned threads,
			   double us)
{
	struct round round = { .way = way, .pattern = pattern, .threads = threads, .pages = length / REMOTE_PAGE };
	struct reader readers[THREADS_MOST];
	double begun;

	round.opened = way->open(uri, length);
	if (!round.opened)
		return 0;
	begun = now_us();
	round.end = begun + us;
	for (unsigned i = 0; i < threads; i++) {
		readers[i] = (struct reader){ .round = &round, .index = i, .random = i * 7919 + 1 };
		must_errno(pthread_create(&readers[i].thread, NULL, read_pages, &readers[i]) == 0, "pthread_create");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(readers[i].thread, NULL);
	begun = now_us() - begun;
	way->close(round.opened);
	return (double)atomic_load(&round.accesses) * REMOTE_PAGE / 1048576 * 1e6 / begun;
}

static double measure(const struct way *way, const char *uri, uint64_t length, enum pattern pattern, unsigned threads,
		      bool quick)
{
	struct series rates = { 0 };
	double median;

	for (unsigned i = 0; i < (quick ? 1 : ROUNDS); i++)
		series_add(&rates, measure_once(way, uri, length, pattern, threads, quick ? 3e5 : 1e6));
	median = series_median(&rates);
	series_free(&rates);
	fprintf(stderr, "  %-10s %u threads, %-20s %8.1f MiB/s\n", pattern_names[pattern], threads, way->name, median);
	return median;
}

static void tell(enum pattern pattern, unsigned threads, const struct way *way, double rate)
{
	char curve[64];

	snprintf(curve, sizeof(curve), "remote-%s-%s", pattern_names[pattern], way->curve);
	point(strdup(curve), threads, rate);
}

static void measure_all(const char *uri, uint64_t length, bool quick)
{
	static const struct way *const ways[] = { &way_map, &way_libnbd, &way_file, &way_handler };
	double rates[4];

	for (enum pattern pattern = RANDOM; pattern < PATTERNS; pattern++)
		for (unsigned threads = 1; threads <= THREADS_MOST; threads *= 2) {
			for (unsigned i = 0; i < 4; i++) {
				rates[i] = measure(ways[i], uri, length, pattern, threads, quick);
				tell(pattern, threads, ways[i], rates[i]);
			}
			if (pattern == RANDOM && threads == THREADS_MOST)
				figure("random reads of an export, 8 threads / one page at a time", "MiB/s", rates[0], rates[3],
				       3, true);
		}
}

static void measure_whole(const char *uri, uint64_t length, bool quick)
{
	struct series ours = { 0 }, raw = { 0 }, kept = { 0 };

	for (unsigned i = 0; i < (quick ? 1 : 2 * ROUNDS - 1); i++) {
		series_add(&raw, remote_read_all(uri, length, false) / 1048576);
		series_add(&kept, remote_read_all(uri, length, true) / 1048576);
		series_add(&ours, measure_once(&way_map, uri, length, SEQUENTIAL, 1, 60e6));
	}
	figure("an export read in order through a map / libnbd", "MiB/s", series_median(&ours), series_median(&raw), 0.8, true);
	figure("an export read in order through a map / libnbd, into fresh memory", "MiB/s", series_median(&ours),
	       series_median(&kept), 0.8, true);
	series_free(&kept);
	series_free(&ours);
	series_free(&raw);
}

static pid_t serve(const char *socket, uint64_t length)
{
	char size[32];
	pid_t pid = fork();

	if (!pid) {
		snprintf(size, sizeof(size), "%llu", (unsigned long long)length);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execlp("nbdkit", "nbdkit", "--foreground", "--unix", socket, "memory", size, NULL);
		_exit(127);
	}
	while (access(socket, F_OK)) {
		if (waitpid(pid, NULL, WNOHANG))
			return -1;
		usleep(1000);
	}
	return pid;
}

void bench_remote(bool quick)
{
	char folder[] = "/var/tmp/memredirect-bench.XXXXXX", socket[64], uri[128];
	uint64_t length = (uint64_t)(quick ? 128 : 512) << 20;
	pid_t server;

	fprintf(stderr, "memory of an NBD server\n");
	must_errno(mkdtemp(folder), "mkdtemp");
	snprintf(socket, sizeof(socket), "%s/socket", folder);
	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", socket);
	server = serve(socket, length);
	if (server > 0) {
		remote_fill(uri, length);
		measure_whole(uri, length, quick);
		measure_all(uri, length, quick);
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
	} else {
		fprintf(stderr, "  nbdkit is not installed: not measured\n");
	}
	unlink(socket);
	rmdir(folder);
}
