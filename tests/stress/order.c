/* SPDX-License-Identifier: MIT */
/*
 * Guarantee A, between threads: once one thread has seen the new backing, no other thread can see the old one.
 *
 * Each redirect shows a memory whose words all carry the next generation. Threads load words of different pages, one after the
 * other: what one has seen it tells the others through an atomic maximum, and nobody may load an older generation than was told
 * before its load. All pages are looked at, by instructions and by write(2), so that it matters in which order page tables and
 * pieces are replaced, and whether a TLB still has the old page.
 *
 * Catches: pieces or page tables that are replaced while others can still be read; a missing flush; a page faulted in from
 * the old mapping behind the back of the move.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crowd.h"
#include "pool.h"
#include "stress.h"
#include "suite.h"

#define MIB (UINT64_C(1) << 20)

struct scenario {
	const char *start;
	uint64_t length;
};

static const struct scenario scenarios[] = {
	{ "buffer", 4096 },
	{ "adopted-private", 65536 },
	{ "multi", 65536 },
	{ "adopted-shared", 2 * MIB },
	{ "adopted-private", 4 * MIB },
	{ "buffer", 16 * MIB },
};

static struct {
	struct pool pool;
	uint64_t told;	   /* the newest generation that any thread has seen */
	uint64_t finished; /* the generation of the last redirect that has returned */
} run;

/* The generation in the upper half, and where the word belongs in the lower one. */
static uint64_t compose(uint64_t generation, uint64_t offset)
{
	return generation << 32 | ((offset / 8 * 2654435761u + generation * 40503u) & UINT32_MAX);
}

static void tell(uint64_t generation)
{
	uint64_t told = __atomic_load_n(&run.told, __ATOMIC_SEQ_CST);

	while (told < generation &&
	       !__atomic_compare_exchange_n(&run.told, &told, generation, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

/* The least generation that may be seen from now on. */
static uint64_t least(void)
{
	uint64_t told = __atomic_load_n(&run.told, __ATOMIC_SEQ_CST);
	uint64_t finished = __atomic_load_n(&run.finished, __ATOMIC_SEQ_CST);

	return told > finished ? told : finished;
}

static void check(uint64_t offset, uint64_t value, uint64_t generation)
{
	require(value == compose(value >> 32, offset), "offset %#" PRIx64 " has %#" PRIx64 ", which belongs nowhere", offset,
		value);
	require(value >> 32 >= generation, "offset %#" PRIx64 " shows generation %" PRIu64 " after %" PRIu64 " has been seen",
		offset, value >> 32, generation);
	tell(value >> 32);
}

static void look_by_load(struct worker *worker, void *argument)
{
	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = dice_below(&worker->dice, run.pool.length / 8) * 8;
		uint64_t generation = least();

		check(offset, __atomic_load_n((uint64_t *)(run.pool.address + offset), __ATOMIC_SEQ_CST), generation);
		worker_count(worker);
	}
}

/* The kernel copies bytes, not words: a copy that is half old and half new tells nothing. */
static void look_by_call(struct worker *worker, void *argument)
{
	int fd = memfd_create("reader", MFD_CLOEXEC);

	(void)argument;
	require(fd >= 0, "no memfd: %s", strerror(errno));
	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = dice_below(&worker->dice, run.pool.length / 8) * 8, value = 0;
		uint64_t generation = least();
		ssize_t written = pwrite(fd, run.pool.address + offset, 8, 0);

		if (written < 0 && errno == EFAULT && !features()->kernel_faults)
			continue;
		require(written == 8, "write(2) from the map returned %zd: %s", written, strerror(errno));
		require(pread(fd, &value, 8, 0) == 8, "the value cannot be read back");
		if (value != compose(value >> 32, offset))
			continue;
		check(offset, value, generation);
		worker_count(worker);
	}
	close(fd);
}

static void fill(struct mr_memory *memory, uint64_t *words, uint64_t generation, uint64_t offset)
{
	for (uint64_t i = 0; i < run.pool.length / 8; i++)
		words[i] = compose(generation, i * 8);
	require_ok(mr_memory_write(memory, offset, words, run.pool.length));
}

/* The memory that is shown may not be filled: any other may, since nobody sees it. */
static struct showing roll_other(struct mr_memory *shown, struct dice *dice)
{
	struct showing to;

	do
		to = pool_roll(&run.pool, dice);
	while (to.member->memory == shown || mr_memory_options(to.member->memory) & MR_MEMORY_READ_ONLY);
	return to;
}

static uint64_t redirect_on(uint64_t generation, uint64_t *words, struct dice *dice)
{
	struct showing to = roll_other(mr_map_memory(run.pool.map), dice);

	fill(to.member->memory, words, generation, to.offset);
	if (dice_once_in(dice, 4))
		require_ok(mr_map_redirect(run.pool.map, NULL, 0, 0));
	require_ok(pool_redirect(&run.pool, to, pool_roll_prefault(dice)));
	__atomic_store_n(&run.finished, generation, __ATOMIC_SEQ_CST);
	return generation + 1;
}

/* Return: how many redirects. */
static uint64_t play(const struct scenario *scenario, struct dice *dice, uint64_t *loads)
{
	static struct crowd loaders, callers;
	uint64_t *words = malloc(scenario->length);
	uint64_t generation = 2;

	require(words, "no memory");
	pool_make(&run.pool, scenario->start, scenario->length, 1, 0);
	run.told = run.finished = 1;
	fill(run.pool.members[0].memory, words, 1, 0);
	crowd_start(&loaders, 3, dice, look_by_load, NULL);
	crowd_start(&callers, 1, dice, look_by_call, NULL);
	stress_lap(1.0 / COUNT(scenarios));
	do
		generation = redirect_on(generation, words, dice);
	while (stress_lap_goes_on());
	*loads += crowd_stop(&loaders) + crowd_stop(&callers);
	pool_free(&run.pool);
	free(words);
	return generation - 2;
}

int main(void)
{
	struct dice dice = stress_begin("order");
	uint64_t redirects = 0, loads = 0;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	for (size_t i = 0; i < COUNT(scenarios); i++)
		redirects += play(&scenarios[i], &dice, &loads);
	require(loads > 0, "nobody has looked");
	return stress_end("%" PRIu64 " redirects, %" PRIu64 " loads in order", redirects, loads);
}
