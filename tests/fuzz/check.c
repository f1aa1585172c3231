/* SPDX-License-Identifier: MIT */
/* Whether the model and the library agree. */
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* How many places a check that is not thorough looks at. */
#define GLANCES 16

/* The first byte that differs; @length: none does. */
static uint64_t difference(const void *left, const void *right, uint64_t length)
{
	uint64_t at = 0;

	if (!memcmp(left, right, length))
		return length;
	while (((const uint8_t *)left)[at] == ((const uint8_t *)right)[at])
		at++;
	return at;
}

static void check_run(struct map *map, uint64_t at, uint64_t length)
{
	const uint8_t *expected = map_byte(map, at);
	uint64_t same = difference(map->address + at, expected, length);

	require(same == length, "map %td shows %#x at byte %" PRIu64 " of %" PRIu64 " instead of %#x", map - world.maps,
		(uint8_t)map->address[at + same], at + same, map->length, expected[same]);
}

static void check_bytes(struct map *map, bool thorough)
{
	for (uint64_t at = 0, run; thorough && at < map->length; at += run) {
		run = map_run(map, at);
		check_run(map, at, run);
	}
	for (uint64_t i = 0; !thorough && i < GLANCES; i++)
		check_run(map, i * map->length / GLANCES, 1);
	check_run(map, map->length - 1, 1);
}

void check_map(struct map *map, bool thorough)
{
	bool there = map_is_there(map);

	require(mr_map_address(map->handle) == (there ? map->address : NULL), "map %td is at %p instead of %p",
		map - world.maps, mr_map_address(map->handle), (void *)(there ? map->address : NULL));
	require(mr_map_length(map->handle) == map->length, "map %td has another length", map - world.maps);
	require(mr_map_options(map->handle) == map->options, "map %td has options %#" PRIx32 " instead of %#" PRIx32,
		map - world.maps, mr_map_options(map->handle), map->options);
	require(mr_map_memory(map->handle) == map->memory->handle, "map %td reports another memory", map - world.maps);
	require(mr_map_is_blocked(map->handle) == map->blocked, "map %td is blocked: %d", map - world.maps, !map->blocked);
	require(mr_map_waiters(map->handle) == 0, "somebody waits in map %td", map - world.maps);
	require(!mr_map_task(map->handle), "map %td is in another task", map - world.maps);
	if (there && !map->blocked)
		check_bytes(map, thorough);
}

/* Not worth being said. */
static void require_read(const struct memory *memory, uint8_t *bytes)
{
	int result = mr_memory_read(memory->handle, 0, bytes, memory->length);

	require(!result, "memory %td cannot be read: %d (%s)", memory - world.memories, result, mr_error());
}

static void check_memory(struct memory *memory)
{
	uint8_t *bytes = malloc(memory->length);

	require(bytes, "no memory");
	require(mr_memory_length(memory->handle) == memory->length, "a memory has another length");
	require(mr_memory_options(memory->handle) == (memory->read_only ? MR_MEMORY_READ_ONLY : 0),
		"a memory has other options");
	require_read(memory, bytes);
	for (uint64_t at = 0, run; at < memory->length; at += run) {
		uint64_t same;

		run = memory_run(memory, at);
		same = difference(bytes + at, memory_byte(memory, at), run);
		require(same == run, "memory %td has %#x at byte %" PRIu64 " of %" PRIu64 " instead of %#x",
			memory - world.memories, bytes[at + same], at + same, memory->length, *memory_byte(memory, at + same));
	}
	free(bytes);
}

void check_all(bool thorough)
{
	for (size_t i = 0; i < world.map_count; i++)
		if (world.maps[i].references)
			check_map(&world.maps[i], thorough);
	for (size_t i = 0; i < world.memory_count && thorough; i++)
		if (world.memories[i].references)
			check_memory(&world.memories[i]);
}
