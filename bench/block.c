/* SPDX-License-Identifier: MIT */
/* Block and restore: redirect to NULL, then to the same memory, from 1 MiB to 4 GiB, all pages mapped. */
#include <memredirect.h>
#include <stdio.h>

#include "measure.h"

#define MIB (UINT64_C(1) << 20)

static double block_and_restore(uint64_t mebibytes, unsigned rounds)
{
	struct series series = { 0 };
	struct mr_memory *memory;
	struct mr_map *map;
	double median;

	must(mr_memory_new_buffer(mebibytes * MIB, 0, &memory), "a buffer");
	must(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_PREFAULT, 0, 0, &map), "a map");
	for (unsigned i = 0; i < rounds; i++) {
		double begin = now_us();

		must(mr_map_redirect(map, NULL, 0, 0), "a block");
		must(mr_map_redirect(map, memory, 0, 0), "a restore");
		series_add(&series, now_us() - begin);
	}
	median = series_median(&series);
	series_free(&series);
	mr_map_unref(map);
	mr_memory_unref(memory);
	return median;
}

void bench_block(bool quick)
{
	static const unsigned sizes[] = { 1, 4, 16, 64, 256, 1024, 4096 };
	unsigned rounds = quick ? 20 : 200;
	double small = 0, large = 0;

	fprintf(stderr, "block and restore\n");
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		double time = block_and_restore(sizes[i], rounds);

		point("block", sizes[i], time);
		if (sizes[i] == 64)
			small = time;
		large = time;
	}
	figure("block + restore of 4 GiB / of 64 MiB", "us", large, small, 4, false);
}
