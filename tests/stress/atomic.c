/* SPDX-License-Identifier: MIT */
/*
 * Guarantees A and B: each access sees the old backing or the new one, and after the return of the redirect the new one alone.
 *
 *	atomic 4k | 64k | 2m | 64m | 1g		the size of the map
 *
 * Readers load words of a map, by instructions and by write(2), while one thread redirects it between all kinds of memory:
 * prefaulted or not, from various offsets, through NULL or not, to what it shows already, and with calls that must be refused in
 * between. Each word tells which memory and offset it belongs to.
 *
 * Catches: a zero page, or any other foreign byte, seen between two steps; a signal; a page of the old memory that can be
 * reached after the return; half an exchange of several pieces; a refused call that changed something; a private page found
 * empty; a wrong offset.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crowd.h"
#include "oracle.h"
#include "pattern.h"
#include "stress.h"
#include "suite.h"

#define MIB (UINT64_C(1) << 20)

struct size {
	const char *name;
	uint64_t length;
	unsigned flags;
	unsigned lives; /* how many maps are tried in the time */
	uint64_t needs; /* bytes of free memory */
};

static const struct size sizes[] = {
	{ "4k", 4096, 0, 8, 0 },
	{ "64k", 65536, 0, 8, 0 },
	{ "2m", 2 * MIB, 0, 4, 512 * MIB },
	{ "64m", 64 * MIB, POOL_FEW, 1, 2048 * MIB },
	{ "1g", 1024 * MIB, POOL_TWO, 1, 10240 * MIB },
};

/* How many of each. */
static struct {
	uint64_t loads, redirects, blocks, refused;
} total;

static uint64_t roll_word(struct dice *dice, const struct pool *pool)
{
	return dice_below(dice, pool->length / 8) * 8;
}

static void read_by_load(struct worker *worker, void *argument)
{
	struct oracle *oracle = argument;

	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = roll_word(&worker->dice, oracle->pool);
		uint64_t before = oracle_epoch(oracle);
		uint64_t value = __atomic_load_n((uint64_t *)(oracle->pool->address + offset), __ATOMIC_SEQ_CST);

		if (oracle_check(oracle, before, offset, value))
			worker_count(worker);
	}
}

/* By the kernel, on behalf of a system call. Without privilege it may say EFAULT instead of waiting. */
static void read_by_call(struct worker *worker, void *argument)
{
	struct oracle *oracle = argument;
	int fd = memfd_create("reader", MFD_CLOEXEC);

	require(fd >= 0, "no memfd: %s", strerror(errno));
	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = roll_word(&worker->dice, oracle->pool), value = 0;
		uint64_t before = oracle_epoch(oracle);
		ssize_t written = pwrite(fd, oracle->pool->address + offset, 8, 0);

		if (written < 0 && errno == EFAULT && !features()->kernel_faults)
			continue;
		require(written == 8, "write(2) from the map returned %zd: %s", written, strerror(errno));
		require(pread(fd, &value, 8, 0) == 8, "the value cannot be read back");
		if (oracle_check_copy(oracle, before, offset, value))
			worker_count(worker);
	}
	close(fd);
}

/* A call that must be refused, and change nothing (E). */
static void redirect_badly(struct pool *pool, struct dice *dice)
{
	struct showing to = pool_roll(pool, dice);
	int result;

	switch (dice_below(dice, 4)) {
	case 0:
		to.offset = mr_memory_length(to.member->memory) - pool->length + to.member->unit;
		result = pool_redirect(pool, to, 0);
		require(result == -ERANGE, "past the end: %d (%s)", result, mr_error());
		break;
	case 1:
		result = mr_map_redirect(pool->map, NULL, 0, 4096);
		require(result == -EINVAL, "NULL with an offset: %d", result);
		break;
	case 2:
		result = pool_redirect(pool, to, MR_MAP_CACHE_INHIBIT);
		require(result == -EOPNOTSUPP, "uncached: %d", result);
		break;
	default:
		if (mr_memory_length(to.member->memory) == pool->length)
			return;
		to.offset = 8;
		result = pool_redirect(pool, to, 0);
		require(result == -EINVAL, "an offset of 8 bytes: %d (%s)", result, mr_error());
		break;
	}
	total.refused++;
}

/* An adopted range, which cannot be built anew, is always shown with the access that it has. */
static uint32_t roll_options(struct dice *dice, struct showing to)
{
	return pool_roll_prefault(dice) | (!to.member->fixed && dice_once_in(dice, 4) ? MR_MAP_READ_ONLY : 0);
}

static void redirect_once(struct oracle *oracle, struct showing *shown, struct dice *dice)
{
	struct showing to = dice_once_in(dice, 6) ? *shown : pool_roll(oracle->pool, dice);

	oracle_open(oracle, to);
	if (dice_once_in(dice, 3)) {
		require_ok(mr_map_redirect(oracle->pool->map, NULL, 0, 0));
		total.blocks++;
		if (dice_once_in(dice, 4))
			redirect_badly(oracle->pool, dice);
		require(mr_map_is_blocked(oracle->pool->map), "the map is not blocked any more");
	}
	require_ok(pool_redirect(oracle->pool, to, roll_options(dice, to)));
	oracle_close(oracle);
	*shown = to;
	total.redirects++;
	if (dice_once_in(dice, 8))
		redirect_badly(oracle->pool, dice);
}

static void check_all(const struct pool *pool, struct showing shown)
{
	uint64_t end = shown.offset + pool->length;
	uint64_t wrong = pattern_mismatch(pool->address, shown.offset, pool->length, shown.member->seed);

	require(wrong == end, "in the end byte %#" PRIx64 " of the map is wrong", wrong - shown.offset);
	require(mr_map_memory(pool->map) == shown.member->memory, "in the end another memory is reported");
}

static void live(const struct size *size, struct dice *dice)
{
	static struct crowd loaders, callers;
	static struct oracle oracle;
	static struct pool pool;
	const char *start = size->flags & POOL_TWO ? "adopted-private" : pool_roll_start(dice, size->length);
	struct showing shown;

	pool_make(&pool, start, size->length, 3, size->flags);
	shown = (struct showing){ &pool.members[0], 0 };
	oracle_begin(&oracle, &pool, shown);
	crowd_start(&loaders, 2, dice, read_by_load, &oracle);
	crowd_start(&callers, 1, dice, read_by_call, &oracle);
	stress_lap(1.0 / size->lives);
	do
		redirect_once(&oracle, &shown, dice);
	while (stress_lap_goes_on());
	total.loads += crowd_stop(&loaders) + crowd_stop(&callers);
	check_all(&pool, shown);
	pool_free(&pool);
}

static const struct size *find_size(const char *name)
{
	for (size_t i = 0; name && i < COUNT(sizes); i++)
		if (!strcmp(sizes[i].name, name))
			return &sizes[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct size *size = find_size(argc > 1 ? argv[1] : NULL);
	struct dice dice;

	require(size, "usage: %s 4k|64k|2m|64m|1g", argv[0]);
	dice = stress_begin("atomic");
	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	if (stress_free_memory() < size->needs)
		return stress_skip("enough free memory for a map of this size");
	for (unsigned life = 0; life < size->lives; life++)
		live(size, &dice);
	require(total.loads > 0, "no reader has read anything");
	return stress_end("%" PRIu64 " redirects, %" PRIu64 " of them through NULL, %" PRIu64 " refused, %" PRIu64
			  " loads checked",
			  total.redirects, total.blocks, total.refused, total.loads);
}
