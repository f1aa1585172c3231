/* SPDX-License-Identifier: MIT */
/* A redirect of 64 KiB, all pages in use, against mmap(MAP_FIXED) of a file of memory of that size. In turns. */
#include <memredirect.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure.h"

#define LENGTH 65536
#define PAGE   4096

static void touch(char *memory)
{
	for (unsigned i = 0; i < LENGTH; i += PAGE)
		memory[i]++;
}

void bench_small(bool quick)
{
	struct series redirects = { 0 }, raw = { 0 };
	struct mr_memory *memories[2];
	int files[2];
	struct mr_map *map;
	char *memory;

	fprintf(stderr, "redirect of 64 KiB\n");
	for (unsigned i = 0; i < 2; i++) {
		files[i] = memory_file(LENGTH);
		must(mr_memory_new_fd(files[i], 0, LENGTH, 0, &memories[i]), "a memory");
	}
	must(mr_map_new(memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map), "a map");
	memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, files[0], 0);
	must_errno(memory != MAP_FAILED, "mmap");
	for (unsigned i = 1; i <= (quick ? 1000 : 20000); i++) {
		double begin, middle;

		touch(mr_map_address(map));
		touch(memory);
		begin = now_us();
		must(mr_map_redirect(map, memories[i % 2], 0, 0), "a redirect");
		middle = now_us();
		mmap(memory, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, files[i % 2], 0);
		series_add(&raw, now_us() - middle);
		series_add(&redirects, middle - begin);
	}
	figure("redirect of 64 KiB / mmap(MAP_FIXED)", "us", series_median(&redirects), series_median(&raw), 1.5, false);
	munmap(memory, LENGTH);
	mr_map_unref(map);
	for (unsigned i = 0; i < 2; i++) {
		mr_memory_unref(memories[i]);
		close(files[i]);
	}
	series_free(&redirects);
	series_free(&raw);
}
