/* SPDX-License-Identifier: MIT */
/* 20,000 maps of one memory: how fast they are made and freed against mmap and munmap, and what the library keeps for each. */
#include <malloc.h>
#include <memredirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "measure.h"

#define MAPS 20000
#define PAGE 4096

static double time_maps(struct mr_memory *memory, struct mr_map **maps, double *ret_bytes)
{
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	double begin = now_us(), time;

	for (unsigned i = 0; i < MAPS; i++)
		must(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &maps[i]), "a map");
	time = now_us() - begin;
	*ret_bytes = (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) / MAPS;
	begin = now_us();
	for (unsigned i = 0; i < MAPS; i++)
		mr_map_unref(maps[i]);
	return time + now_us() - begin;
}

static double time_raw(int file, void **maps)
{
	double begin = now_us();

	for (unsigned i = 0; i < MAPS; i++)
		maps[i] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	for (unsigned i = 0; i < MAPS; i++)
		munmap(maps[i], PAGE);
	return now_us() - begin;
}

void bench_maps(bool quick)
{
	void **maps = calloc(MAPS, sizeof(*maps));
	struct series ours = { 0 }, raw = { 0 };
	struct mr_memory *memory;
	int file = memory_file(PAGE);
	double bytes = 0;

	fprintf(stderr, "20,000 maps\n");
	must_errno(maps, "memory for maps");
	must(mr_memory_new_fd(file, 0, PAGE, 0, &memory), "a memory");
	for (unsigned i = 0; i < (quick ? 3 : 11); i++) {
		series_add(&ours, time_maps(memory, (struct mr_map **)maps, &bytes) / MAPS);
		series_add(&raw, time_raw(file, maps) / MAPS);
	}
	figure("a map made and freed / mmap + munmap", "us", series_median(&ours), series_median(&raw), 3, false);
	figure("library memory a map / 1 KiB", "B", bytes, 1024, 1, false);
	mr_memory_unref(memory);
	free(maps);
	series_free(&ours);
	series_free(&raw);
}
