/* SPDX-License-Identifier: MIT */
/*
 * Redirects beside a program that maps and unmaps all the time.
 *
 * Two threads map, fill, move, protect, empty and unmap ranges of their own, and check every byte of them before they let go; two
 * others redirect and block maps meanwhile, and check those. All take the addresses that others have just given back.
 *
 * Catches: a range that the library reserves, gives back and uses once more; a mapping that it puts where it has no right to, or
 * unmaps twice; an address that it takes for free because it was so a moment ago.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crowd.h"
#include "pattern.h"
#include "pool.h"
#include "stress.h"
#include "suite.h"

#define MIB	    (UINT64_C(1) << 20)
#define CHURNERS    2
#define REDIRECTORS 2
#define SLOTS	    16

/* A range of a churner's own. */
struct range {
	char *address;
	uint64_t length;
	unsigned seed;
	bool writable;
};

static struct pool pools[REDIRECTORS];

static void check(const struct range *range)
{
	uint64_t wrong = pattern_mismatch(range->address, 0, range->length, range->seed);

	require(wrong == range->length, "a range that is none of the library's was changed at %p",
		(void *)(range->address + wrong));
}

/* The library's ranges are often of these lengths too. */
static uint64_t roll_length(struct dice *dice)
{
	static const uint64_t lengths[] = { 4096, 8192, 65536, 65536 + 4096, MIB, 2 * MIB };

	return lengths[dice_below(dice, COUNT(lengths))];
}

static void map(struct range *range, struct dice *dice)
{
	int flags = dice_once_in(dice, 2) ? MAP_PRIVATE : MAP_SHARED;

	*range = (struct range){ .length = roll_length(dice),
				 .seed = 1000 + (unsigned)dice_below(dice, 1000),
				 .writable = true };
	range->address = mmap(NULL, range->length, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	require(range->address != MAP_FAILED, "no memory: %s", strerror(errno));
	pattern_fill(range->address, 0, range->length, range->seed);
}

static void unmap(struct range *range)
{
	check(range);
	munmap(range->address, range->length);
	range->address = NULL;
}

/* The rear half goes. */
static void cut(struct range *range)
{
	uint64_t rest = range->length / 2 / 4096 * 4096;

	if (!rest)
		return;
	munmap(range->address + rest, range->length - rest);
	range->length = rest;
}

static void move(struct range *range)
{
	void *place = mmap(NULL, range->length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *moved;

	require(place != MAP_FAILED, "no room: %s", strerror(errno));
	moved = mremap(range->address, range->length, range->length, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	require(moved == place, "mremap: %s", strerror(errno));
	range->address = moved;
}

static void protect(struct range *range)
{
	range->writable = !range->writable;
	mprotect(range->address, range->length, range->writable ? PROT_READ | PROT_WRITE : PROT_READ);
}

static void refill(struct range *range)
{
	if (!range->writable)
		protect(range);
	range->seed++;
	pattern_fill(range->address, 0, range->length, range->seed);
}

static void churn_one(struct range *range, struct dice *dice)
{
	if (!range->address) {
		map(range, dice);
		return;
	}
	switch (dice_below(dice, 8)) {
	case 0:
		cut(range);
		break;
	case 1:
		move(range);
		break;
	case 2:
		protect(range);
		break;
	case 3:
		refill(range);
		break;
	default:
		unmap(range);
		break;
	}
}

static void churn(struct worker *worker, void *argument)
{
	struct range ranges[SLOTS] = { 0 };

	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		churn_one(&ranges[dice_below(&worker->dice, SLOTS)], &worker->dice);
		worker_count(worker);
	}
	for (size_t i = 0; i < SLOTS; i++)
		if (ranges[i].address)
			unmap(&ranges[i]);
}

static void check_map(const struct pool *pool, struct showing shown)
{
	uint64_t wrong = pattern_mismatch(pool->address, shown.offset, pool->length, shown.member->seed) - shown.offset;

	require(wrong == pool->length, "the map is wrong at %#" PRIx64 " after a redirect to %s", wrong, shown.member->name);
}

/* A map of its own beside the pool's, made, blocked and ended each time. */
static void make_and_end(struct pool *pool, struct dice *dice)
{
	struct showing what = pool_roll(pool, dice);
	uint32_t options = MR_MAP_ANYWHERE | MR_MAP_UNIQUE | what.member->access;
	struct mr_map *map;

	require_ok(mr_map_new(what.member->memory, NULL, NULL, options, what.offset, pool->length, &map));
	require_ok(mr_map_redirect(map, NULL, 0, 0));
	if (dice_once_in(dice, 2)) {
		require_ok(mr_map_redirect(map, what.member->memory, what.member->access, what.offset));
		require(*(volatile uint64_t *)mr_map_address(map) == showing_word(what, 0), "a new map shows something else");
	}
	mr_map_unref(map);
}

static void redirect_on(struct worker *worker, void *argument)
{
	struct pool *pool = &pools[worker->index];

	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		struct showing to = pool_roll(pool, &worker->dice);

		if (dice_once_in(&worker->dice, 3))
			require_ok(mr_map_redirect(pool->map, NULL, 0, 0));
		require_ok(pool_redirect(pool, to, pool_roll_prefault(&worker->dice)));
		check_map(pool, to);
		make_and_end(pool, &worker->dice);
		worker_count(worker);
	}
}

int main(void)
{
	struct dice dice = stress_begin("churn");
	static struct crowd churners, redirectors;
	uint64_t churned, redirects;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	pool_make(&pools[0], "buffer", 65536, 1, 0);
	pool_make(&pools[1], "buffer", 2 * MIB, 1, POOL_FEW);
	crowd_start(&churners, CHURNERS, &dice, churn, NULL);
	crowd_start(&redirectors, REDIRECTORS, &dice, redirect_on, NULL);
	stress_lap(1);
	stress_lap_wait();
	redirects = crowd_stop(&redirectors);
	churned = crowd_stop(&churners);
	pool_free(&pools[0]);
	pool_free(&pools[1]);
	require(churned > 0 && redirects > 0, "nothing was done");
	return stress_end("%" PRIu64 " redirects beside %" PRIu64 " changes of other mappings", redirects, churned);
}
