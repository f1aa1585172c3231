/* SPDX-License-Identifier: MIT */
/*
 * What a client notices of a prefaulted redirect: the longest gap between two of its accesses, and its throughput in the 100 ms
 * after, relative to before; against mmap(MAP_FIXED) of a file of memory over the same range. In turns, in one run.
 */
#include <memredirect.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"

#define MIB    (UINT64_C(1) << 20)
#define WINDOW 100000 /* us */

struct side {
	struct series gap;
	struct series throughput;
};

struct pair {
	size_t length;
	struct mr_memory *memories[2];
	struct mr_map *map;
	int files[2];
	char *raw;
};

static void set_up(struct pair *pair, size_t length)
{
	pair->length = length;
	for (unsigned i = 0; i < 2; i++) {
		pair->files[i] = memory_file(length);
		must(mr_memory_new_fd(pair->files[i], 0, length, 0, &pair->memories[i]), "a memory");
	}
	must(mr_map_new(pair->memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_PREFAULT, 0, 0, &pair->map),
	     "a map");
	pair->raw = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, pair->files[0], 0);
	must_errno(pair->raw != MAP_FAILED, "mmap");
}

static void tear_down(struct pair *pair)
{
	munmap(pair->raw, pair->length);
	mr_map_unref(pair->map);
	for (unsigned i = 0; i < 2; i++) {
		mr_memory_unref(pair->memories[i]);
		close(pair->files[i]);
	}
}

static void replace(struct pair *pair, bool ours, unsigned to)
{
	if (ours)
		must(mr_map_redirect(pair->map, pair->memories[to], MR_MAP_PREFAULT, 0), "a redirect");
	else
		must_errno(mmap(pair->raw, pair->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, pair->files[to], 0) !=
				   MAP_FAILED,
			   "mmap over a mapping");
}

/* All page tables there, as after some use. */
static void warm(char *address, size_t length)
{
	madvise(address, length, 22 /* MADV_POPULATE_READ */);
}

static void measure(struct pair *pair, bool ours, unsigned to, struct side *side)
{
	char *address = ours ? mr_map_address(pair->map) : pair->raw;
	struct client client;
	uint64_t before, after;

	warm(address, pair->length);
	client_start(&client, address, pair->length);
	client_count(&client, WINDOW / 2);
	before = client_count(&client, WINDOW);
	client_take_gap(&client);
	replace(pair, ours, to);
	after = client_count(&client, WINDOW);
	series_add(&side->gap, client_take_gap(&client));
	series_add(&side->throughput, before ? (double)after / (double)before : 0);
	client_stop(&client);
}

static void compare(uint64_t mebibytes, unsigned rounds, bool is_figure)
{
	struct side ours = { 0 }, raw = { 0 };
	struct pair pair;

	set_up(&pair, mebibytes * MIB);
	for (unsigned i = 1; i <= rounds; i++) {
		measure(&pair, true, i % 2, &ours);
		measure(&pair, false, i % 2, &raw);
	}
	point("gap-redirect", (double)mebibytes, series_median(&ours.gap) / 1e3);
	point("gap-mmap", (double)mebibytes, series_median(&raw.gap) / 1e3);
	if (is_figure) {
		figure("client gap, prefaulted redirect of 1 GiB / mmap(MAP_FIXED)", "us", series_median(&ours.gap),
		       series_median(&raw.gap), 0.01, false);
		figure("throughput in 100 ms after it / before it", "x", series_median(&ours.throughput), 1, 0.9, true);
	}
	series_free(&ours.gap);
	series_free(&ours.throughput);
	series_free(&raw.gap);
	series_free(&raw.throughput);
	tear_down(&pair);
}

void bench_redirect(bool quick)
{
	static const unsigned sizes[] = { 1, 4, 16, 64, 256 };

	fprintf(stderr, "prefaulted redirect\n");
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		compare(sizes[i], quick ? 3 : 9, false);
	compare(1024, quick ? 3 : 11, true);
}
