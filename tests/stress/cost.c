/* SPDX-License-Identifier: MIT */
/*
 * Guarantee G: the cost does not grow with the map.
 *
 *   faults	a thread touches every page of a map after a prefaulted redirect, and after a block that ended with the same backing.
 *		It may take a few page faults, for whatever the kernel likes, but as many in a large map as in a small one. The
 *		kernel counts them: this does not depend on speed
 *
 * Catches: pages that are zapped and faulted in again one by one. How long clients wait is measured in bench/.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kind.h"
#include "stress.h"
#include "suite.h"

#define MIB	   (UINT64_C(1) << 20)
#define FEW_FAULTS 64
#define LARGE	   (256 * MIB)

static uint64_t faults_of_this_thread(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

/* Faults that it takes to touch every page. */
static uint64_t touch(const char *address, uint64_t length)
{
	uint64_t before = faults_of_this_thread();

	for (uint64_t offset = 0; offset < length; offset += page_size())
		(void)*(const volatile char *)(address + offset);
	return faults_of_this_thread() - before;
}

static struct mr_memory *make_filled(uint64_t length)
{
	struct mr_memory *memory;
	struct mr_map *map;

	require_ok(mr_memory_new_buffer(length, 0, &memory));
	require_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	memset(mr_map_address(map), 1, length);
	mr_map_unref(map);
	return memory;
}

static void check_few(uint64_t faults, uint64_t length, const char *what)
{
	require(faults <= FEW_FAULTS, "%s of %" PRIu64 " MiB made a client take %" PRIu64 " faults", what, length / MIB,
		faults);
}

/* @map shows the first of the two. */
static void count_faults(struct mr_map *map, struct mr_memory *const *memories, uint64_t length, const char *kind)
{
	const char *address = mr_map_address(map);

	touch(address, length);
	check_few(touch(address, length), length, "nothing at all");
	require_ok(mr_map_redirect(map, NULL, 0, 0));
	require_ok(mr_map_redirect(map, memories[0], 0, 0));
	check_few(touch(address, length), length, kind);
	require_ok(mr_map_redirect(map, memories[1], MR_MAP_PREFAULT, 0));
	check_few(touch(address, length), length, "a prefaulted redirect");
	require_ok(mr_map_redirect(map, NULL, 0, 0));
	require_ok(mr_map_redirect(map, memories[0], MR_MAP_PREFAULT, 0));
	check_few(touch(address, length), length, "a prefaulted redirect of a blocked map");
}

static void count_faults_shared(uint64_t length)
{
	struct mr_memory *memories[2] = { make_filled(length), make_filled(length) };
	struct mr_map *map;

	require_ok(mr_map_new(memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	count_faults(map, memories, length, "block and restore of shared memory");
	mr_map_unref(map);
	mr_memory_unref(memories[0]);
	mr_memory_unref(memories[1]);
}

static void count_faults_private(uint64_t length)
{
	struct mr_memory *memories[2] = { NULL, make_filled(length) };
	void *range = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_map *map;

	require(range != MAP_FAILED, "no memory");
	madvise(range, length, MADV_NOHUGEPAGE);
	memset(range, 1, length);
	require_ok(mr_map_adopt(NULL, range, length, 0, &map));
	memories[0] = mr_memory_ref(mr_map_memory(map));
	count_faults(map, memories, length, "block and restore of private memory");
	mr_map_unref(map);
	munmap(range, length);
	mr_memory_unref(memories[0]);
	mr_memory_unref(memories[1]);
}

int main(void)
{
	static const uint64_t lengths[] = { 2 * MIB, 64 * MIB, 256 * MIB };

	stress_begin("cost");
	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	if (stress_free_memory() < 8 * LARGE)
		return stress_skip("2 GiB of free memory");
	do
		for (size_t i = 0; i < COUNT(lengths); i++) {
			count_faults_shared(lengths[i]);
			count_faults_private(lengths[i]);
		}
	while (stress_goes_on());
	return stress_end("few faults");
}
