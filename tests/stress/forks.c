/* SPDX-License-Identifier: MIT */
/*
 * fork(2) in the middle of redirects: the child keeps what it inherited.
 *
 * Maps of several kinds are redirected and blocked by threads of their own while children are forked one after the other. A child
 * looks at every page of every map: all are of one memory, or, if the map was blocked, all are absent. It looks again when the
 * parent has gone on redirecting. Calls on what it inherited say -ECHILD; letting go of that leaves the memory as it is; maps of
 * its own can be made, blocked and restored.
 *
 * Catches: a fork in the middle of an exchange, with zeroes, holes, or pieces of two memories in the child; a blocked map that
 * reads as zeroes there; a child whose memory follows the parent's redirects; a child that hangs on a lock that nobody holds.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "crowd.h"
#include "pattern.h"
#include "pool.h"
#include "stress.h"
#include "suite.h"
#include "victim.h"
#include "wait.h"

#define MIB  (UINT64_C(1) << 20)
#define MAPS 4

#define CHILD_DONE 64

static struct {
	struct pool pools[MAPS];
	struct crowd redirectors;
	int again; /* an eventfd: the child shall look again */
	uint64_t children, absent;
} run;

static void redirect_on(struct worker *worker, void *argument)
{
	struct pool *pool = &run.pools[worker->index];

	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		if (dice_once_in(&worker->dice, 3))
			require_ok(mr_map_redirect(pool->map, NULL, 0, 0));
		require_ok(pool_redirect(pool, pool_roll(pool, &worker->dice), pool_roll_prefault(&worker->dice)));
		worker_count(worker);
	}
}

/* Which memory, from where, has this word at its beginning; NULL: none. */
static struct showing find_showing(struct pool *pool, uint64_t word)
{
	for (size_t i = 0; i < pool->count; i++)
		for (uint64_t j = 0; j <= pool->spare; j++) {
			struct showing what = { &pool->members[i], j * pool->members[i].unit };

			if (showing_word(what, 0) == word)
				return what;
		}
	return (struct showing){ NULL, 0 };
}

static void check_absent(const struct pool *pool)
{
	for (uint64_t offset = 0; offset < pool->length; offset += page_size())
		require(access_is_absent(pool->address + offset), "the map is absent, but its page at %#" PRIx64 " is there",
			offset);
}

/* In the child. Return: whether the map is there. */
static bool look_at(struct pool *pool)
{
	struct outcome first = access_try(ACCESS_LOAD, pool->address, 0);
	struct showing what;
	uint64_t wrong;

	if (first.signal) {
		require(first.signal == SIGSEGV, "signal %d in a child", first.signal);
		check_absent(pool);
		return false;
	}
	what = find_showing(pool, first.seen);
	require(what.member, "the child's map begins with %#" PRIx64 ", which is of no memory", first.seen);
	wrong = pattern_mismatch(pool->address, what.offset, pool->length, what.member->seed) - what.offset;
	require(wrong == pool->length, "the child's map is of %s, but at %#" PRIx64 " it is not", what.member->name, wrong);
	return true;
}

static void check_strangers(struct pool *pool)
{
	struct mr_memory *memory = pool->members[0].memory, *sub;
	uint64_t word;

	require(mr_map_redirect(pool->map, NULL, 0, 0) == -ECHILD, "a child has blocked its parent's map");
	require(mr_map_redirect(pool->map, memory, 0, 0) == -ECHILD, "a child has redirected its parent's map");
	require(mr_map_unmap(pool->map) == -ECHILD, "a child has unmapped its parent's map");
	require(mr_memory_read(memory, 0, &word, 8) == -ECHILD, "a child has read its parent's memory");
	require(mr_memory_new_sub(memory, 0, 8, 0, &sub) == -ECHILD, "a child has made a window of its parent's memory");
	require(mr_map_waiters(pool->map) == 0, "somebody waits in a child's map");
}

/* The child's own map: blocked, waited for, restored. */
static void use_own_map(void)
{
	struct mr_memory *memory;
	struct victim *victim;
	struct mr_map *map;

	require_ok(mr_memory_new_buffer(4096, 0, &memory));
	require_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	require_ok(mr_map_redirect(map, NULL, 0, 0));
	victim = victim_start(ACCESS_ADD, mr_map_address(map), 3);
	require(victim && wait_waiters(map, 1), "a thread of the child does not wait");
	require_ok(mr_map_redirect(map, memory, 0, 0));
	require(victim_wait(victim) && *(uint64_t *)mr_map_address(map) == 3, "a thread of the child has not added");
	victim_free(victim);
	mr_map_unref(map);
	mr_memory_unref(memory);
}

/* Return: CHILD_DONE, and how many maps are absent. A child that fails ends otherwise. */
static int be_child(struct child *self, void *argument)
{
	bool there[MAPS];
	int absent = 0;
	uint64_t told;

	for (size_t i = 0; i < MAPS; i++) {
		there[i] = look_at(&run.pools[i]);
		absent += !there[i];
		check_strangers(&run.pools[i]);
	}
	child_tell(self);
	require(read(run.again, &told, sizeof(told)) == sizeof(told), "the parent does not go on");
	for (size_t i = 0; i < MAPS; i++)
		require(look_at(&run.pools[i]) == there[i], "a map of the child came or went");
	if (*(bool *)argument)
		use_own_map();
	for (size_t i = 0; i < MAPS; i++) {
		mr_map_unref(run.pools[i].map);
		require(look_at(&run.pools[i]) == there[i], "a map of the child went with its object");
	}
	return CHILD_DONE + absent;
}

static bool has_gone_on(void *argument)
{
	return crowd_done(&run.redirectors) >= *(uint64_t *)argument;
}

static void fork_once(struct dice *dice)
{
	bool with_own_map = dice_once_in(dice, 4);
	uint64_t enough, one = 1;
	struct child child;
	int status;

	require(child_start(&child, be_child, &with_own_map), "fork: %s", strerror(errno));
	if (child_await(&child)) {
		enough = crowd_done(&run.redirectors) + 8;
		require(wait_until(has_gone_on, &enough), "the parent's redirects do not go on");
		require(write(run.again, &one, sizeof(one)) == sizeof(one), "no eventfd");
	}
	require(child_wait(&child, &status), "the child does not end");
	require(WIFEXITED(status) && WEXITSTATUS(status) >= CHILD_DONE, "the child ended with status %#x", status);
	run.absent += (uint64_t)WEXITSTATUS(status) - CHILD_DONE;
	run.children++;
}

int main(void)
{
	struct dice dice = stress_begin("forks");
	uint64_t redirects;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	run.again = eventfd(0, EFD_CLOEXEC);
	require(run.again >= 0, "no eventfd");
	access_try(ACCESS_LOAD, &run.children, 0); /* its handlers are set before there are threads */
	pool_make(&run.pools[0], "adopted-private", 65536, 1, 0);
	pool_make(&run.pools[1], "multi", 65536, 1, 0);
	pool_make(&run.pools[2], "adopted-mixed", 4096 * 5, 1, 0);
	pool_make(&run.pools[3], "buffer", 2 * MIB, 1, POOL_FEW);
	crowd_start(&run.redirectors, MAPS, &dice, redirect_on, NULL);
	while (stress_goes_on())
		fork_once(&dice);
	redirects = crowd_stop(&run.redirectors);
	for (size_t i = 0; i < MAPS; i++)
		pool_free(&run.pools[i]);
	close(run.again);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	return stress_end("%" PRIu64 " children, to which %" PRIu64 " maps were absent, %" PRIu64 " redirects", run.children,
			  run.absent, redirects);
}
