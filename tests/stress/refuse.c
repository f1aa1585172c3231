/* SPDX-License-Identifier: MIT */
/*
 * Guarantee E: a redirect that fails leaves all as it was, blocked if it was blocked.
 *
 * Readers load from a map and writers add to it while redirects are asked for that must fail, for every reason that can be had
 * here: with the map shown (nobody may wait, or see anything else) and with the map blocked (nobody may come through, and all
 * wait on). Some fail early, in a check; some late, when the next memory has been built and cannot be made resident.
 *
 * Catches: a failing call that drops, swaps or unblocks anything, that wakes waiting threads, or leaves something behind.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crowd.h"
#include "leak.h"
#include "pattern.h"
#include "pool.h"
#include "stress.h"
#include "suite.h"
#include "wait.h"

#define LENGTH	65536
#define READERS 2
#define WRITERS 2

/* Words at odd places are added to, each by one writer; those at even places stay as they are. */
static struct {
	struct pool pool;
	struct mr_memory *cut;	   /* of a file that is too short by now */
	struct mr_memory *private; /* of private memory, which cannot be mapped a second time */
	struct mr_memory *ragged;  /* of pieces that cannot stand side by side */
	struct mr_memory *fixed;   /* read-only */
	void *range;
	uint64_t refused, blocks;
} run;

static void read_words(struct worker *worker, void *argument)
{
	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = dice_below(&worker->dice, LENGTH / 16) * 16;
		uint64_t value = __atomic_load_n((uint64_t *)(run.pool.address + offset), __ATOMIC_SEQ_CST);

		require(value == pattern_word(1, offset), "offset %#" PRIx64 " has %#" PRIx64, offset, value);
		worker_count(worker);
	}
}

static void add_to_words(struct worker *worker, void *argument)
{
	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		uint64_t place = dice_below(&worker->dice, LENGTH / 16 / WRITERS) * WRITERS + worker->index;
		uint64_t offset = place * 16 + 8;

		__atomic_fetch_add((uint64_t *)(run.pool.address + offset), 1, __ATOMIC_SEQ_CST);
		worker_count(worker);
	}
}

static uint64_t sum(void)
{
	static uint64_t words[LENGTH / 8];
	uint64_t sum = 0;

	require_ok(mr_memory_read(run.pool.members[0].memory, 0, words, LENGTH));
	for (uint64_t i = 1; i < LENGTH / 8; i += 2)
		sum += words[i] - pattern_word(1, i * 8);
	return sum;
}

static struct mr_memory *make_cut(void)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	struct mr_memory *memory;

	require(fd >= 0 && ftruncate(fd, LENGTH) == 0, "no memfd: %s", strerror(errno));
	require_ok(mr_memory_new_fd(fd, 0, LENGTH, 0, &memory));
	require(ftruncate(fd, LENGTH / 2) == 0, "the file cannot be cut");
	close(fd);
	return memory;
}

static struct mr_memory *make_private(void)
{
	struct mr_range range = { .length = LENGTH };
	struct mr_memory *memory;

	run.range = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require(run.range != MAP_FAILED, "no memory");
	range.address = (uintptr_t)run.range;
	require_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &memory));
	return memory;
}

/* Two ranges of shared memory of which the first does not end at a page. */
static struct mr_memory *make_ragged(void)
{
	void *shared = mmap(NULL, 2 * LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct mr_range ranges[2] = { { (uintptr_t)shared, LENGTH / 2 + 100 }, { (uintptr_t)shared + LENGTH, LENGTH } };
	struct mr_memory *memory;

	require(shared != MAP_FAILED, "no memory");
	require_ok(mr_memory_new_ranges(NULL, ranges, 2, 0, &memory));
	munmap(shared, 2 * LENGTH);
	return memory;
}

static void make(const char *start)
{
	pool_make(&run.pool, start, LENGTH, 1, POOL_WRITABLE);
	run.cut = make_cut();
	run.private = make_private();
	run.ragged = make_ragged();
	require_ok(mr_memory_new_buffer(LENGTH, MR_MEMORY_READ_ONLY, &run.fixed));
}

static void unmake(void)
{
	mr_memory_unref(run.cut);
	mr_memory_unref(run.private);
	mr_memory_unref(run.ragged);
	mr_memory_unref(run.fixed);
	munmap(run.range, LENGTH);
	pool_free(&run.pool);
}

struct refusal {
	struct mr_memory **memory; /* NULL: any of the pool */
	uint32_t options;
	uint64_t offset;
	int error;
	bool null;
};

static const struct refusal refusals[] = {
	{ &run.cut, MR_MAP_PREFAULT, 0, EIO, false },
	{ &run.private, 0, 0, EOPNOTSUPP, false },
	{ &run.ragged, 0, 0, EINVAL, false },
	{ &run.fixed, 0, 0, EACCES, false },
	{ &run.fixed, MR_MAP_READ_ONLY, 8, ERANGE, false },
	{ NULL, 0, LENGTH, ERANGE, false },
	{ NULL, 0, UINT64_MAX - 4095, ERANGE, false },
	{ NULL, 0, 16, EINVAL, false },
	{ NULL, MR_MAP_UNIQUE, 0, EINVAL, false },
	{ NULL, MR_MAP_CACHE_INHIBIT, 0, EOPNOTSUPP, false },
	{ NULL, MR_MAP_CACHE_MASK, 0, EINVAL, false },
	{ NULL, 0, 4096, EINVAL, true },
	{ NULL, MR_MAP_PREFAULT, 0, EINVAL, true },
};

/* A member with room behind the map. */
static struct mr_memory *roll_memory(struct dice *dice)
{
	return run.pool.members[1 + dice_below(dice, run.pool.count - 1)].memory;
}

static void be_refused(struct dice *dice)
{
	const struct refusal *refusal = &refusals[dice_below(dice, COUNT(refusals))];
	struct mr_memory *memory = refusal->memory ? *refusal->memory : roll_memory(dice);
	bool blocked = mr_map_is_blocked(run.pool.map);
	uint32_t options = mr_map_options(run.pool.map);
	int result = mr_map_redirect(run.pool.map, refusal->null ? NULL : memory, refusal->options, refusal->offset);

	require(result == -refusal->error, "refusal %td returned %d instead of %d: %s", refusal - refusals, result,
		-refusal->error, mr_error());
	require(mr_map_is_blocked(run.pool.map) == blocked, "refusal %td: the map is %s", refusal - refusals,
		blocked ? "let go" : "blocked");
	require(mr_map_memory(run.pool.map) == run.pool.members[0].memory && mr_map_options(run.pool.map) == options,
		"refusal %td has changed what the map reports", refusal - refusals);
	run.refused++;
}

/* All clients wait, while calls fail; then they are let go. */
static void play_blocked(struct dice *dice)
{
	const struct member *own = &run.pool.members[0];
	uint64_t before;

	require_ok(mr_map_redirect(run.pool.map, NULL, 0, 0));
	require(wait_waiters(run.pool.map, READERS + WRITERS), "%" PRIu64 " threads wait", mr_map_waiters(run.pool.map));
	before = sum();
	for (uint64_t i = dice_below(dice, 16); i; i--)
		be_refused(dice);
	sched_yield();
	require(mr_map_waiters(run.pool.map) == READERS + WRITERS, "a refused call has let threads go");
	require(sum() == before, "somebody has written while the map was blocked");
	require_ok(mr_map_redirect(run.pool.map, own->memory, own->access, 0));
	run.blocks++;
}

/* Return: how many accesses were made. */
static uint64_t play(const char *start, struct dice *dice)
{
	static struct crowd readers, writers;
	struct holdings before;
	uint64_t written, done;

	make(start);
	require_ok(mr_map_redirect(run.pool.map, NULL, 0, 0));
	require_ok(mr_map_redirect(run.pool.map, run.pool.members[0].memory, run.pool.members[0].access, 0));
	holdings_take(&before);
	crowd_start(&readers, READERS, dice, read_words, NULL);
	crowd_start(&writers, WRITERS, dice, add_to_words, NULL);
	stress_lap(0.2);
	do {
		for (uint64_t i = dice_below(dice, 64); i; i--)
			be_refused(dice);
		play_blocked(dice);
	} while (stress_lap_goes_on());
	written = crowd_stop(&writers);
	done = written + crowd_stop(&readers);
	require(sum() == written, "%" PRIu64 " were written, %" PRIu64 " found", written, sum());
	require(holdings_no_leak(&before), "refused calls have left something behind");
	unmake();
	return done;
}

int main(void)
{
	static const char *const starts[] = { "buffer", "multi", "adopted-private", "adopted-mixed", "adopted-file" };
	struct dice dice = stress_begin("refuse");
	uint64_t done = 0;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	for (size_t i = 0; i < COUNT(starts); i++)
		if (!kind_missing(kind_find(starts[i])))
			done += play(starts[i], &dice);
	require(done > 0, "no client has done anything");
	return stress_end("%" PRIu64 " calls refused, %" PRIu64 " blocks, %" PRIu64 " accesses", run.refused, run.blocks, done);
}
