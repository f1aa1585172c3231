/* SPDX-License-Identifier: MIT */
/*
 * The end of a map, from several threads at once: unmap against redirect against unref, with clients inside.
 *
 * In each round a new map, made or adopted, is shared by threads that hold a reference each: two redirect and block it, one asks
 * all that can be asked, one unmaps it at any time (or nobody does, and the last unref is the end), and clients load from it until
 * they meet SIGSEGV. Until somebody begins to end the map, clients must see bytes of some memory, or wait.
 *
 * Catches: a redirect that puts a mapping where the map was, after its end; a client that waits for ever in a range that is gone; a
 * double free, a use after free (with a sanitizer); a call on an unmapped map that does not say -ENXIO; an adopted range that is
 * unmapped, or blocked, in the end; anything left behind.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "crowd.h"
#include "leak.h"
#include "pattern.h"
#include "pool.h"
#include "stress.h"
#include "suite.h"
#include "thread.h"
#include "victim.h"

#define LENGTH	65536
#define HOLDERS 5
#define CLIENTS 2

static struct {
	struct pool pool; /* its memories alone are used */
	struct mr_map *map;
	char *address;
	bool adopted;
	bool with_unmap;
	bool ending; /* somebody has begun to end the map */
	bool over;   /* all holders have let go */
	uint64_t rounds, redirects, faults, loads;
} run;

static void begin_to_end(void)
{
	__atomic_store_n(&run.ending, true, __ATOMIC_SEQ_CST);
}

static bool is_ending(void)
{
	return __atomic_load_n(&run.ending, __ATOMIC_SEQ_CST);
}

/* The memories are as long as the map, and all show the same pages but for the seed. */
static bool is_of_any(uint64_t value, uint64_t offset)
{
	for (size_t i = 0; i < run.pool.count; i++)
		if (value == pattern_word(run.pool.members[i].seed, offset))
			return true;
	return false;
}

static void redirect_on(struct dice *dice)
{
	for (uint64_t i = dice_below(dice, 20); i; i--) {
		struct showing to = pool_roll(&run.pool, dice);
		int result;

		if (dice_once_in(dice, 3))
			result = mr_map_redirect(run.map, NULL, 0, 0);
		else
			result = mr_map_redirect(run.map, to.member->memory, to.member->access | pool_roll_prefault(dice), 0);
		require(!result || result == -ENXIO, "redirect returned %d: %s", result, mr_error());
		require(!result || is_ending(), "a map that nobody has unmapped says -ENXIO");
		if (result)
			return;
		__atomic_fetch_add(&run.redirects, 1, __ATOMIC_RELAXED);
	}
}

static void ask_all(struct dice *dice)
{
	for (uint64_t i = dice_below(dice, 40); i; i--) {
		void *address = mr_map_address(run.map);
		uint64_t physical, length;
		int result;

		require(address == run.address || (!address && is_ending()), "the map is at %p instead of %p", address,
			(void *)run.address);
		require(mr_map_length(run.map) == LENGTH, "the map has another length");
		require(mr_map_options(run.map) & MR_MAP_UNIQUE, "the map is not unique any more");
		require(mr_map_waiters(run.map) <= CLIENTS, "more threads wait than there are");
		mr_map_is_blocked(run.map);
		result = mr_map_physical_segment(run.map, 0, &physical, &length);
		require(!result || result == -ENODATA || result == -EPERM || (result == -ENXIO && is_ending()),
			"physical_segment returned %d: %s", result, mr_error());
	}
}

static void unmap_some_time(struct dice *dice)
{
	int result;

	for (uint64_t i = dice_below(dice, 200); i; i--)
		sched_yield();
	begin_to_end();
	if (!run.with_unmap)
		return;
	result = mr_map_unmap(run.map);
	require(!result, "unmap returned %d: %s", result, mr_error());
	require(mr_map_unmap(run.map) == -ENXIO && !mr_map_address(run.map), "an unmapped map is not");
	require(mr_map_redirect(run.map, NULL, 0, 0) == -ENXIO, "an unmapped map is blocked");
}

struct holder {
	unsigned role;
	struct dice dice;
	struct thread thread;
};

static void *hold(void *argument)
{
	struct holder *holder = argument;

	if (holder->role < 2)
		redirect_on(&holder->dice);
	else if (holder->role == 2)
		ask_all(&holder->dice);
	else if (holder->role == 3)
		unmap_some_time(&holder->dice);
	begin_to_end();
	mr_map_unref(run.map);
	return NULL;
}

/* Load until the map is gone. After its end other mappings may be where it was. */
static void *visit(void *argument)
{
	struct holder *visitor = argument;

	while (!__atomic_load_n(&run.over, __ATOMIC_SEQ_CST)) {
		uint64_t offset = dice_below(&visitor->dice, LENGTH / 8) * 8;
		struct outcome outcome = access_try(ACCESS_LOAD, run.address + offset, 0);

		__atomic_fetch_add(&run.loads, 1, __ATOMIC_RELAXED);
		if (outcome.signal) {
			require(is_ending() && !run.adopted, "signal %d in a map that is there", outcome.signal);
			__atomic_fetch_add(&run.faults, 1, __ATOMIC_RELAXED);
			break;
		}
		require(is_ending() || is_of_any(outcome.seen, offset), "offset %#" PRIx64 " has %#" PRIx64, offset,
			outcome.seen);
	}
	return NULL;
}

static void make_map(struct dice *dice)
{
	struct showing first = pool_roll(&run.pool, dice);

	run.adopted = dice_once_in(dice, 3);
	if (run.adopted) {
		run.address = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		require(run.address != MAP_FAILED, "no memory: %s", strerror(errno));
		pattern_fill(run.address, 0, LENGTH, first.member->seed);
		require_ok(mr_map_adopt(NULL, run.address, LENGTH, 0, &run.map));
		return;
	}
	require_ok(mr_map_new(first.member->memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | first.member->access, 0,
			      LENGTH, &run.map));
	run.address = mr_map_address(run.map);
}

static void start(struct holder *holder, unsigned role, void *(*body)(void *argument), struct dice *dice)
{
	*holder = (struct holder){ .role = role, .dice = dice_split(dice) };
	require(thread_start(&holder->thread, body, holder), "no thread to be had");
}

/* What an adopted map leaves: the range, let go, with one memory in all of it. */
static void check_adopted(void)
{
	unsigned seed = 0;

	for (size_t i = 0; i < run.pool.count; i++)
		if (*(uint64_t *)run.address == pattern_word(run.pool.members[i].seed, 0))
			seed = run.pool.members[i].seed;
	require(seed && pattern_mismatch(run.address, 0, LENGTH, seed) == LENGTH, "the adopted range is not whole in the end");
	munmap(run.address, LENGTH);
}

static void play_round(struct dice *dice)
{
	struct holder holders[HOLDERS], clients[CLIENTS];

	make_map(dice);
	run.with_unmap = !dice_once_in(dice, 3);
	run.ending = run.over = false;
	for (unsigned i = 0; i < CLIENTS; i++)
		start(&clients[i], 0, visit, dice);
	for (unsigned i = 1; i < HOLDERS; i++)
		mr_map_ref(run.map);
	for (unsigned i = 0; i < HOLDERS; i++)
		start(&holders[i], i, hold, dice);
	for (unsigned i = 0; i < HOLDERS; i++)
		thread_join(&holders[i].thread);
	__atomic_store_n(&run.over, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < CLIENTS; i++)
		thread_join(&clients[i].thread);
	if (run.adopted)
		check_adopted();
	run.rounds++;
}

int main(void)
{
	struct dice dice = stress_begin("lifetime");
	struct holdings before;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	access_try(ACCESS_LOAD, &run.loads, 0); /* its handlers are set once, before there are threads */
	pool_make(&run.pool, "buffer", LENGTH, 0, 0);
	while (stress_goes_on()) {
		holdings_take(&before);
		for (unsigned i = 0; i < 20; i++)
			play_round(&dice);
		require(holdings_no_leak(&before), "maps have left something behind");
	}
	pool_free(&run.pool);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	return stress_end("%" PRIu64 " maps, %" PRIu64 " redirects, %" PRIu64 " loads, %" PRIu64 " of them into nothing",
			  run.rounds, run.redirects, run.loads, run.faults);
}
