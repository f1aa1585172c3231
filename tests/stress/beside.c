/* SPDX-License-Identifier: MIT */
/*
 * Copies and moves of a map that is written to, while another map is blocked and let go all the time: nobody waits for ever, and no
 * write is lost.
 *
 * Catches: a copier that waits, with a lock that the service's thread needs, for mappings to stand still, while whoever changes them waits
 * for that thread.
 */
#include <inttypes.h>

#include "crowd.h"
#include "stress.h"
#include "suite.h"

#define LENGTH	(UINT64_C(1) << 20)
#define PAGE	UINT64_C(4096)
#define WRITERS 2

static void write_everywhere(struct worker *worker, void *argument)
{
	char *address = argument;

	while (crowd_goes_on(worker->crowd)) {
		__atomic_fetch_add((uint64_t *)(address + dice_below(&worker->dice, LENGTH / PAGE) * PAGE), 1,
				   __ATOMIC_SEQ_CST);
		worker_count(worker);
	}
}

static void block_and_let_go(struct worker *worker, void *argument)
{
	struct mr_map *map = argument;
	struct mr_memory *memory = mr_map_memory(map);

	while (crowd_goes_on(worker->crowd)) {
		require_ok(mr_map_redirect(map, NULL, 0, 0));
		require_ok(mr_map_redirect(map, memory, 0, 0));
		worker_count(worker);
	}
}

static uint64_t sum(const char *address)
{
	uint64_t all = 0;

	for (uint64_t offset = 0; offset < LENGTH; offset += PAGE)
		all += *(const uint64_t *)(address + offset);
	return all;
}

static void copy(struct mr_map *map)
{
	struct mr_memory *copy;

	require_ok(mr_map_snapshot(map, NULL, &copy, NULL));
	mr_memory_unref(copy);
}

static struct mr_map *map_of(uint64_t length, struct mr_memory **ret_memory)
{
	struct mr_map *map;

	require_ok(mr_memory_new_buffer(length, 0, ret_memory));
	require_ok(mr_map_new(*ret_memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	return map;
}

int main(void)
{
	static struct crowd writers, blocker;
	struct dice dice = stress_begin("beside");
	struct mr_memory *memories[2], *small;
	uint64_t rounds = 0, written, blocks;
	struct mr_map *map, *other;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	map = map_of(LENGTH, &memories[0]);
	other = map_of(PAGE, &small);
	require_ok(mr_memory_new_buffer(LENGTH, 0, &memories[1]));
	crowd_start(&writers, WRITERS, &dice, write_everywhere, mr_map_address(map));
	crowd_start(&blocker, 1, &dice, block_and_let_go, other);
	do {
		if (rounds % 8 == 7)
			copy(map);
		require_ok(mr_map_move(map, memories[++rounds % 2], 0, 0, NULL, NULL));
	} while (stress_goes_on());
	blocks = crowd_stop(&blocker);
	written = crowd_stop(&writers);
	require(sum(mr_map_address(map)) == written, "%" PRIu64 " of %" PRIu64 " writes are there", sum(mr_map_address(map)),
		written);
	mr_map_unref(map);
	mr_map_unref(other);
	mr_memory_unref(memories[0]);
	mr_memory_unref(memories[1]);
	mr_memory_unref(small);
	return stress_end("%" PRIu64 " copies and moves, %" PRIu64 " blocks, %" PRIu64 " writes", rounds, blocks, written);
}
