/* SPDX-License-Identifier: MIT */
/*
 * 20,000 maps, all blocked at once, with a few threads waiting in some of them; then restored or redirected, checked, and freed.
 *
 * Catches: a cost for each map that grows with the number of maps; a waiter that is counted, or woken, for a map that is not its
 * own; a map that shows its neighbour's page; more than 1 KiB of the heap for a map; anything left behind.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kind.h"
#include "pattern.h"
#include "sanitizer.h"
#include "stress.h"
#include "suite.h"
#include "victim.h"
#include "wait.h"

#define MAPS	(SANITIZED ? 2000 : 20000)
#define VICTIMS 16
#define ADOPTED 200

/* What the C library keeps of what was freed: less than 4 bytes a map. */
#define HEAP_SLACK 65536

/* Two of the kernel's mappings for each at most, and room for all else. */
static bool is_room(uint64_t maps)
{
	return features()->max_map_count == 0 || features()->max_map_count > 2 * maps + 1000;
}

static struct mr_memory *make_memory(uint64_t length, unsigned seed)
{
	struct mr_memory *memory;
	struct mr_map *map;

	require_ok(mr_memory_new_buffer(length, 0, &memory));
	require_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	pattern_fill(mr_map_address(map), 0, length, seed);
	mr_map_unref(map);
	return memory;
}

/* Each map shows its own page of the memory. */
static struct mr_map **make_maps(struct mr_memory *memory, uint64_t count)
{
	struct mr_map **maps = calloc(count, sizeof(struct mr_map *));
	uint64_t page = page_size();

	require(maps, "no memory");
	for (uint64_t i = 0; i < count; i++)
		require_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, i * page, page, &maps[i]));
	return maps;
}

/* Each map is one page of a range of private memory. */
static struct mr_map **adopt_maps(char *range, uint64_t count)
{
	struct mr_map **maps = calloc(count, sizeof(struct mr_map *));

	require(maps, "no memory");
	for (uint64_t i = 0; i < count; i++)
		require_ok(mr_map_adopt(NULL, range + i * page_size(), page_size(), 0, &maps[i]));
	return maps;
}

static void start_victims(struct victim **victims, uint64_t *where, struct mr_map **maps, uint64_t count, struct dice *dice)
{
	for (size_t i = 0; i < VICTIMS; i++) {
		where[i] = count / VICTIMS * i + dice_below(dice, count / VICTIMS);
		victims[i] = victim_start(ACCESS_LOAD, mr_map_address(maps[where[i]]), 0);
		require(victims[i] && wait_waiters(maps[where[i]], 1), "a thread does not wait in map %" PRIu64, where[i]);
	}
	for (size_t i = 0; i < VICTIMS; i++)
		require(mr_map_waiters(maps[where[i]]) == 1, "%" PRIu64 " threads wait in map %" PRIu64 ", not one",
			mr_map_waiters(maps[where[i]]), where[i]);
	require(mr_map_waiters(maps[where[0] ? where[0] - 1 : 1]) == 0, "a thread waits in the neighbour of its map");
}

static void end_victims(struct victim **victims)
{
	for (size_t i = 0; i < VICTIMS; i++) {
		require(victim_wait(victims[i]) && !victims[i]->outcome.signal, "a waiting thread was not let go");
		victim_free(victims[i]);
	}
}

/* All maps blocked at once, then every other one shows @second, the rest what it showed. */
static void block_and_release(struct mr_map **maps, uint64_t count, struct mr_memory *second, struct dice *dice)
{
	struct victim *victims[VICTIMS];
	uint64_t where[VICTIMS];

	for (uint64_t i = 0; i < count; i++)
		require_ok(mr_map_redirect(maps[i], NULL, 0, 0));
	start_victims(victims, where, maps, count, dice);
	for (uint64_t i = 0; i < count; i++) {
		struct mr_memory *own = mr_map_memory(maps[i]);
		bool whole = mr_memory_length(own) == page_size();

		require(mr_map_is_blocked(maps[i]), "map %" PRIu64 " is not blocked", i);
		require_ok(mr_map_redirect(maps[i], i % 2 ? second : own, 0, i % 2 || !whole ? i * page_size() : 0));
	}
	end_victims(victims);
}

static void check_maps(struct mr_map **maps, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t offset = i * page_size();
		unsigned seed = i % 2 ? 2 : 1;

		require(!mr_map_is_blocked(maps[i]) && mr_map_waiters(maps[i]) == 0, "map %" PRIu64 " is blocked", i);
		require(pattern_mismatch(mr_map_address(maps[i]), offset, page_size(), seed) == offset + page_size(),
			"map %" PRIu64 " does not show its page", i);
	}
}

static void free_maps(struct mr_map **maps, uint64_t count, struct dice *dice)
{
	for (uint64_t i = count - 1; i; i--) {
		uint64_t other = dice_below(dice, i + 1);
		struct mr_map *swapped = maps[i];

		maps[i] = maps[other];
		maps[other] = swapped;
	}
	for (uint64_t i = 0; i < count; i++)
		mr_map_unref(maps[i]);
	free(maps);
}

static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

static void play_made(uint64_t count, struct dice *dice)
{
	struct mr_memory *first = make_memory(count * page_size(), 1), *second = make_memory(count * page_size(), 2);
	size_t before = heap_in_use(), each;
	struct mr_map **maps = make_maps(first, count);

	block_and_release(maps, count, second, dice);
	each = (heap_in_use() - before) / count - sizeof(struct mr_map *);
	require(SANITIZED || each <= 1024, "a map takes %zu bytes of the heap", each);
	check_maps(maps, count);
	free_maps(maps, count, dice);
	require(SANITIZED || heap_in_use() <= before + HEAP_SLACK, "the maps have left %zu bytes of the heap",
		heap_in_use() - before);
	mr_memory_unref(first);
	mr_memory_unref(second);
}

static void play_adopted(uint64_t count, struct dice *dice)
{
	struct mr_memory *second = make_memory(count * page_size(), 2);
	uint64_t length = count * page_size();
	char *range = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_map **maps;

	require(range != MAP_FAILED, "no memory");
	pattern_fill(range, 0, length, 1);
	maps = adopt_maps(range, count);
	block_and_release(maps, count, second, dice);
	check_maps(maps, count);
	free_maps(maps, count, dice);
	munmap(range, length);
	mr_memory_unref(second);
}

int main(void)
{
	struct dice dice = stress_begin("many");

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	if (!is_room(MAPS))
		return stress_skip("room for so many mappings (vm.max_map_count)");
	play_made(MAPS, &dice);
	play_adopted(ADOPTED, &dice);
	return stress_end("%d maps, and %d adopted ones", MAPS, ADOPTED);
}
