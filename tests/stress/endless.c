/* SPDX-License-Identifier: MIT */
/*
 * 100,000 redirects of one map leave nothing behind: no mapping, descriptor, thread, heap or resident memory.
 *
 * They go by all ways between all kinds of memory: in one call, prefaulted, of several pieces, copied, adopted, through NULL, refused.
 * After a first part, which lets everything take what it keeps, the process is measured, and must be the same at the end.
 *
 * Catches: a leak of any of these, however small, in any way of redirecting.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "leak.h"
#include "pool.h"
#include "sanitizer.h"
#include "stress.h"
#include "suite.h"

#define REDIRECTS (SANITIZED ? 10000 : 100000)

/* What the C library may have more of at one time than at another: a table of mappings that is just being compared, for one. */
#define HEAP_SLACK     (256 * 1024)
#define RESIDENT_SLACK (4 * 1024 * 1024)

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t all, resident, shared;

	require(file && fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &all, &resident, &shared) == 3, "no /proc/self/statm");
	fclose(file);
	return (resident - shared) * page_size();
}

struct measure {
	struct holdings holdings;
	size_t heap;
	uint64_t resident;
};

/* With the map showing its first memory, so that the same things are there each time. */
static void measure(struct pool *pool, struct measure *measure)
{
	struct showing first = { &pool->members[0], 0 };

	require_ok(pool_redirect(pool, first, 0));
	holdings_take(&measure->holdings);
	measure->heap = mallinfo2().uordblks;
	measure->resident = resident_bytes();
}

static void redirect_some(struct pool *pool, uint64_t count, struct dice *dice)
{
	for (uint64_t i = 0; i < count; i++) {
		struct showing to = pool_roll(pool, dice);

		if (dice_once_in(dice, 4)) {
			require_ok(mr_map_redirect(pool->map, NULL, 0, 0));
		} else if (dice_once_in(dice, 8)) {
			require(mr_map_redirect(pool->map, to.member->memory, to.member->access, UINT64_MAX) == -ERANGE,
				"a redirect past the end was not refused");
		} else {
			require_ok(pool_redirect(pool, to, pool_roll_prefault(dice)));
			*(volatile char *)pool->address;
		}
	}
}

static void compare(struct measure *before, const struct measure *after)
{
	require(SANITIZED || after->heap <= before->heap + HEAP_SLACK, "the heap has grown from %zu to %zu bytes", before->heap,
		after->heap);
	require(SANITIZED || after->resident <= before->resident + RESIDENT_SLACK,
		"resident private memory has grown from %" PRIu64 " to %" PRIu64 " bytes", before->resident, after->resident);
	require(holdings_no_leak(&before->holdings), "redirects have left something behind");
}

static void play(const char *start, uint64_t length, uint64_t count, struct dice *dice)
{
	struct measure before, after;
	static struct pool pool;

	pool_make(&pool, start, length, 1, 0);
	redirect_some(&pool, count / 10, dice);
	measure(&pool, &before);
	redirect_some(&pool, count - count / 10, dice);
	measure(&pool, &after);
	holdings_free(&after.holdings);
	compare(&before, &after);
	pool_free(&pool);
}

int main(void)
{
	struct dice dice = stress_begin("endless");

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	play("adopted-private", 16384, REDIRECTS / 100 * 97, &dice);
	play("adopted-mixed", 16384, REDIRECTS / 100 * 2, &dice);
	play("buffer", HUGE_PAGE, REDIRECTS / 100, &dice);
	return stress_end("%d redirects", REDIRECTS);
}
