/* SPDX-License-Identifier: MIT */
/*
 * Guarantee F: redirects of one map are serialised; of different maps they run side by side.
 *
 *   same	several threads redirect one map, and block it, at random, under readers. Whenever they pause, the map must show
 *		what it reports, wholly, and every word ever read must be of some memory
 *   apart	8 threads redirect a map each, and check all of it after each redirect
 *   overtake	while one thread is within a redirect that has hundreds of megabytes to make resident, another one's redirects of
 *		a small map begin and end
 *
 * Catches: two redirects of one map that mix; state that tells of one and page tables that are of the other; maps that share
 * what they should not (a staging address, a list, the waiters); one lock around everything.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"
#include "pattern.h"
#include "pool.h"
#include "sanitizer.h"
#include "stress.h"
#include "suite.h"
#include "wait.h"

#define MIB	    (UINT64_C(1) << 20)
#define REDIRECTORS 4
#define OWNERS	    8

static struct {
	uint64_t redirects, rounds, loads;
} total;

/* -- same ------------------------------------------------------------------------------------------------------------------- */

static struct {
	struct pool pool;
	pthread_barrier_t begin, end;
} same;

static bool is_of_any(uint64_t value, uint64_t offset)
{
	for (size_t i = 0; i < same.pool.count; i++)
		for (uint64_t j = 0; j <= same.pool.spare; j++) {
			struct showing what = { &same.pool.members[i], j * same.pool.members[i].unit };

			if (showing_word(what, offset) == value)
				return true;
		}
	return false;
}

static void read_any(struct worker *worker, void *argument)
{
	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = dice_below(&worker->dice, same.pool.length / 8) * 8;
		uint64_t value = __atomic_load_n((uint64_t *)(same.pool.address + offset), __ATOMIC_SEQ_CST);

		require(is_of_any(value, offset), "offset %#" PRIx64 " has %#" PRIx64 ", which is of no memory", offset, value);
		worker_count(worker);
	}
}

static void redirect_some(struct worker *worker)
{
	for (uint64_t i = dice_below(&worker->dice, 16) + 1; i; i--) {
		if (dice_once_in(&worker->dice, 4))
			require_ok(mr_map_redirect(same.pool.map, NULL, 0, 0));
		else
			require_ok(pool_redirect(&same.pool, pool_roll(&same.pool, &worker->dice),
						 pool_roll_prefault(&worker->dice)));
		worker_count(worker);
	}
}

static void redirect_same(struct worker *worker, void *argument)
{
	(void)argument;
	for (;;) {
		pthread_barrier_wait(&same.begin);
		if (!crowd_goes_on(worker->crowd))
			return;
		redirect_some(worker);
		pthread_barrier_wait(&same.end);
	}
}

static struct member *find_member(struct pool *pool, const struct mr_memory *memory)
{
	for (size_t i = 0; i < pool->count; i++)
		if (pool->members[i].memory == memory)
			return &pool->members[i];
	stress_fail(__FILE__, __LINE__, "the map reports a memory that nobody gave it");
}

/* Whether all of the map is of this member, from one offset. */
static bool shows_wholly(const struct pool *pool, const struct member *member)
{
	for (uint64_t i = 0; i <= pool->spare; i++) {
		uint64_t offset = i * member->unit;

		if (pattern_mismatch(pool->address, offset, pool->length, member->seed) == offset + pool->length)
			return true;
	}
	return false;
}

/* Nobody redirects now. If the last one blocked the map, it is let go first. */
static void check_same(void)
{
	struct pool *pool = &same.pool;
	const struct member *member = find_member(pool, mr_map_memory(pool->map));

	if (mr_map_is_blocked(pool->map))
		require_ok(mr_map_redirect(pool->map, member->memory, member->access, 0));
	require(shows_wholly(pool, member), "the map does not show the memory that it reports, %s", member->name);
}

static void play_same(const char *start, uint64_t length, double part, struct dice *dice)
{
	static struct crowd redirectors, readers;

	pool_make(&same.pool, start, length, 1, 0);
	pthread_barrier_init(&same.begin, NULL, REDIRECTORS + 1);
	pthread_barrier_init(&same.end, NULL, REDIRECTORS + 1);
	crowd_start(&readers, 2, dice, read_any, NULL);
	crowd_start(&redirectors, REDIRECTORS, dice, redirect_same, NULL);
	stress_lap(part);
	do {
		pthread_barrier_wait(&same.begin);
		pthread_barrier_wait(&same.end);
		check_same();
		total.rounds++;
	} while (stress_lap_goes_on());
	__atomic_store_n(&redirectors.stop, true, __ATOMIC_RELEASE);
	pthread_barrier_wait(&same.begin);
	total.redirects += crowd_join(&redirectors);
	total.loads += crowd_stop(&readers);
	pthread_barrier_destroy(&same.begin);
	pthread_barrier_destroy(&same.end);
	pool_free(&same.pool);
}

/* -- apart ------------------------------------------------------------------------------------------------------------------ */

static struct pool pools[OWNERS];

static void redirect_own(struct worker *worker, void *argument)
{
	struct pool *pool = &pools[worker->index];

	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		struct showing to = pool_roll(pool, &worker->dice);
		uint64_t wrong;

		if (dice_once_in(&worker->dice, 3)) {
			require_ok(mr_map_redirect(pool->map, NULL, 0, 0));
			require(mr_map_is_blocked(pool->map) && mr_map_waiters(pool->map) == 0,
				"map %zu is not blocked, or is waited for", worker->index);
		}
		require_ok(pool_redirect(pool, to, pool_roll_prefault(&worker->dice)));
		wrong = pattern_mismatch(pool->address, to.offset, pool->length, to.member->seed) - to.offset;
		require(wrong == pool->length, "map %zu is wrong at %#" PRIx64 " after a redirect to %s", worker->index, wrong,
			to.member->name);
		worker_count(worker);
	}
}

static void play_apart(double part, struct dice *dice)
{
	static struct crowd owners;

	for (size_t i = 0; i < OWNERS; i++)
		pool_make(&pools[i], pool_roll_start(dice, 65536), i % 4 == 3 ? 2 * MIB : 65536, 1, i % 4 == 3 ? POOL_FEW : 0);
	crowd_start(&owners, OWNERS, dice, redirect_own, NULL);
	stress_lap(part);
	stress_lap_wait();
	total.redirects += crowd_stop(&owners);
	for (size_t i = 0; i < OWNERS; i++)
		pool_free(&pools[i]);
}

/* -- overtake --------------------------------------------------------------------------------------------------------------- */

#define LARGE ((SANITIZED ? 64 : 512) * MIB)

/* The epoch is odd while the large redirect runs. */
static struct {
	struct mr_map *map;
	uint64_t epoch;
} large;

static void redirect_large(struct worker *worker, void *argument)
{
	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		struct mr_memory *sparse;

		require_ok(mr_memory_new_buffer(LARGE, 0, &sparse));
		__atomic_fetch_add(&large.epoch, 1, __ATOMIC_SEQ_CST);
		require_ok(mr_map_redirect(large.map, sparse, MR_MAP_PREFAULT, 0));
		__atomic_fetch_add(&large.epoch, 1, __ATOMIC_SEQ_CST);
		mr_memory_unref(sparse);
		worker_count(worker);
	}
}

/* Whether a whole redirect of the small map has happened within a redirect of the large one. */
static bool has_overtaken(struct pool *small, struct dice *dice)
{
	uint64_t before = __atomic_load_n(&large.epoch, __ATOMIC_SEQ_CST);

	require_ok(pool_redirect(small, pool_roll(small, dice), 0));
	total.redirects++;
	return before % 2 && __atomic_load_n(&large.epoch, __ATOMIC_SEQ_CST) == before;
}

static void play_overtake(struct dice *dice)
{
	static struct crowd crowd;
	static struct pool small;
	struct mr_memory *first;
	double end = clock_now() + DEADLINE_SECONDS;

	pool_make(&small, "buffer", 4096, 1, 0);
	require_ok(mr_memory_new_buffer(LARGE, 0, &first));
	require_ok(mr_map_new(first, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &large.map));
	crowd_start(&crowd, 1, dice, redirect_large, NULL);
	while (!has_overtaken(&small, dice))
		require(clock_now() < end, "no redirect ends while that of another map runs");
	crowd_stop(&crowd);
	mr_map_unref(large.map);
	mr_memory_unref(first);
	pool_free(&small);
}

int main(void)
{
	struct dice dice = stress_begin("parallel");

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	play_same("buffer", 4096, 0.1, &dice);
	play_same("adopted-shared", 65536, 0.2, &dice);
	play_same("buffer", 2 * MIB, 0.1, &dice);
	play_apart(0.5, &dice);
	if (stress_free_memory() > 4 * LARGE)
		play_overtake(&dice);
	else
		printf("# too little free memory to see one redirect overtake another\n");
	require(total.redirects > 0 && total.loads > 0, "nothing was done");
	return stress_end("%" PRIu64 " redirects, %" PRIu64 " rounds, %" PRIu64 " loads", total.redirects, total.rounds,
			  total.loads);
}
