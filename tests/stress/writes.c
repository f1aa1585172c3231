/* SPDX-License-Identifier: MIT */
/*
 * Guarantee D: nothing is lost. And B, for writers: a backing does not change any more when the redirect that took it away, or the
 * block, has returned.
 *
 * Three threads add to words of a map and count what they do, while it is redirected thousands of times between all kinds of
 * memory that clients can write, starting from private and shared ranges that were adopted too. Each time a memory is taken away its
 * sum is taken; when the memory is shown again, and at the end, the sum must still be that. All sums together are the count.
 *
 * Catches: a store that goes into pages which are then dropped; one that reaches the old memory late; one that waited and is
 * lost, or done twice; a private page that a move leaves behind; a restore that brings back other pages.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>

#include "crowd.h"
#include "pool.h"
#include "pattern.h"
#include "stress.h"
#include "suite.h"

#define MIB	(UINT64_C(1) << 20)
#define WRITERS 3

/* The sums of what has been added to each member, as it was when it was last taken away. */
static struct {
	struct pool pool;
	uint64_t sums[POOL_MOST];
	uint64_t *words;
} run;

static struct {
	uint64_t written, redirects, blocks;
} total;

static void add(struct worker *worker, void *argument)
{
	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = dice_below(&worker->dice, run.pool.length / 8) * 8;

		__atomic_fetch_add((uint64_t *)(run.pool.address + offset), 1, __ATOMIC_RELAXED);
		worker_count(worker);
	}
}

/* What has been added to all words of a memory since it was made. */
static uint64_t sum_of(const struct member *member)
{
	uint64_t length = mr_memory_length(member->memory), sum = 0;

	require_ok(mr_memory_read(member->memory, 0, run.words, length));
	for (uint64_t i = 0; i < length / 8; i++)
		sum += run.words[i] - pattern_word(member->seed, i * 8);
	return sum;
}

static size_t number_of(const struct member *member)
{
	return (size_t)(member - run.pool.members);
}

static void check_still(const struct member *member, const char *when)
{
	uint64_t sum = sum_of(member);

	require(sum == run.sums[number_of(member)],
		"%s was changed while it was not shown: its sum was %" PRIu64 " and is %" PRIu64 " %s", member->name,
		run.sums[number_of(member)], sum, when);
}

/* Nobody may write while the map is blocked; give them time to try. */
static void block(struct member *shown, struct dice *dice)
{
	require_ok(mr_map_redirect(run.pool.map, NULL, 0, 0));
	run.sums[number_of(shown)] = sum_of(shown);
	if (dice_once_in(dice, 4))
		sched_yield();
	check_still(shown, "during the block");
	require(mr_map_memory(run.pool.map) == shown->memory, "the blocked map reports another memory");
	total.blocks++;
}

/* All sums but that of the member that is shown now are known. */
static struct member *redirect_once(struct member *shown, struct dice *dice)
{
	struct showing to = pool_roll(&run.pool, dice);

	if (dice_once_in(dice, 3))
		block(shown, dice);
	if (to.member != shown && dice_once_in(dice, 4))
		check_still(to.member, "before it is shown again");
	require_ok(pool_redirect(&run.pool, to, pool_roll_prefault(dice)));
	if (to.member != shown) {
		run.sums[number_of(shown)] = sum_of(shown);
		if (dice_once_in(dice, 4))
			check_still(shown, "right after the redirect");
	}
	total.redirects++;
	return to.member;
}

/* The writers have stopped. */
static void settle(struct member *shown, uint64_t written)
{
	uint64_t found = 0;

	run.sums[number_of(shown)] = sum_of(shown);
	for (size_t i = 0; i < run.pool.count; i++) {
		check_still(&run.pool.members[i], "at the end");
		found += run.sums[i];
	}
	require(found == written, "%" PRIu64 " were written, %" PRIu64 " found", written, found);
	total.written += written;
}

static void live(uint64_t length, double part, struct dice *dice)
{
	const char *start = pool_roll_start(dice, length);
	static struct crowd writers;
	struct member *shown;

	pool_make(&run.pool, start, length, 2, POOL_WRITABLE);
	run.words = malloc(length + 2 * HUGE_PAGE);
	require(run.words, "no memory");
	for (size_t i = 0; i < run.pool.count; i++)
		run.sums[i] = 0;
	shown = &run.pool.members[0];
	crowd_start(&writers, WRITERS, dice, add, NULL);
	stress_lap(part);
	do
		shown = redirect_once(shown, dice);
	while (stress_lap_goes_on());
	if (mr_map_is_blocked(run.pool.map))
		require_ok(mr_map_redirect(run.pool.map, shown->memory, shown->access, 0));
	settle(shown, crowd_stop(&writers));
	free(run.words);
	pool_free(&run.pool);
}

int main(void)
{
	static const uint64_t lengths[] = { 4096, 65536, 65536, 2 * MIB, 65536, 4 * MIB };
	struct dice dice = stress_begin("writes");

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	for (size_t i = 0; i < 2 * COUNT(lengths); i++)
		live(lengths[i % COUNT(lengths)], 0.5 / COUNT(lengths), &dice);
	require(total.written > 0 && total.redirects > 0, "nothing was written");
	return stress_end("%" PRIu64 " writes found, %" PRIu64 " redirects, %" PRIu64 " blocks", total.written, total.redirects,
			  total.blocks);
}
