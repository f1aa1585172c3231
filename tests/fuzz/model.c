/* SPDX-License-Identifier: MIT */
/* The model: leaves, memories and maps, and what must be in them. */
#include "model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kind.h"
#include "suite.h"

struct world world;
bool model_verbose;

void model_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s:%d: step %u: ", file, line, world.steps);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	abort();
}

void model_say(const char *format, ...)
{
	va_list arguments;

	if (!model_verbose)
		return;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
}

/* The sentence begins with the function's name, which ends at its parenthesis. */
static bool has_sentence(const char *call)
{
	size_t name = strcspn(call, "(");

	return !strncmp(mr_error(), call, name) && !strncmp(mr_error() + name, ": ", 2);
}

void model_expect(int result, int expected, const char *call, const char *file, int line)
{
	model_say("%u: %s = %d %s\n", world.steps, call, result, result ? mr_error() : "");
	if (result != expected)
		model_fail(file, line, "%s returned %d (%s) instead of %d (%s); mr_error: %s", call, result,
			   strerror(abs(result)), expected, strerror(abs(expected)), mr_error());
	if (expected < 0 && !has_sentence(call))
		model_fail(file, line, "after %s the sentence is \"%s\"", call, mr_error());
}

/* -- leaves -- */

static void make_file(struct leaf *leaf)
{
	leaf->fd = leaf->kind == LEAF_DISK ? disk_file(leaf->length) : memfd_create("leaf", MFD_CLOEXEC);
	require(leaf->fd >= 0, "no file: %s", strerror(errno));
	for (uint64_t i = 0; i < leaf->length; i++)
		leaf->bytes[i] = (uint8_t)(i * 7 + i / 251 + world.leaf_count);
	require(pwrite(leaf->fd, leaf->bytes, leaf->length, 0) == (ssize_t)leaf->length, "the file cannot be filled");
}

static void make_range(struct leaf *leaf)
{
	int flags = leaf->kind == LEAF_SHARED ? MAP_SHARED : MAP_PRIVATE;

	leaf->range = mmap(NULL, leaf->length, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	require(leaf->range != MAP_FAILED, "no range: %s", strerror(errno));
	for (uint64_t i = 0; i < leaf->length; i++)
		leaf->bytes[i] = (uint8_t)(i * 5 + i / 253 + world.leaf_count);
	memcpy(leaf->range, leaf->bytes, leaf->length);
}

struct leaf *leaf_new(enum leaf_kind kind, uint64_t pages)
{
	struct leaf *leaf = &world.leaves[world.leaf_count];

	if (world.leaf_count == LEAVES)
		return NULL;
	world.leaf_count++;
	*leaf = (struct leaf){ .kind = kind, .length = pages * PAGE, .fd = -1, .bytes = calloc(pages, PAGE) };
	require(leaf->bytes, "no memory");
	if (kind == LEAF_MEMFD || kind == LEAF_DISK)
		make_file(leaf);
	if (kind == LEAF_SHARED || kind == LEAF_PRIVATE)
		make_range(leaf);
	return leaf;
}

bool leaf_is_private(const struct leaf *leaf)
{
	return leaf->kind == LEAF_PRIVATE;
}

/* -- memories -- */

struct memory *memory_new(bool read_only)
{
	struct memory *memory = &world.memories[world.memory_count];

	if (world.memory_count == MEMORIES || memories_alive() >= MOST_MEMORIES)
		return NULL;
	world.memory_count++;
	*memory = (struct memory){ .read_only = read_only, .references = 1 };
	return memory;
}

void memory_append(struct memory *memory, struct leaf *leaf, uint64_t offset, uint64_t length)
{
	require(memory->piece_count < PIECES, "too many pieces");
	memory->pieces[memory->piece_count++] = (struct piece){ leaf, offset, length };
	memory->length += length;
}

size_t memories_alive(void)
{
	size_t count = 0;

	for (size_t i = 0; i < world.memory_count; i++)
		count += world.memories[i].references > 0;
	return count;
}

struct memory *memory_pick(void)
{
	size_t number = memories_alive() ? input_below(&world.input, (uint32_t)memories_alive()) : 0;

	for (size_t i = 0; i < world.memory_count; i++)
		if (world.memories[i].references && !number--)
			return &world.memories[i];
	return NULL;
}

/* The piece that holds the byte, and where in it. */
static const struct piece *find_piece(const struct memory *memory, uint64_t offset, uint64_t *ret_skip)
{
	for (size_t i = 0; i < memory->piece_count; i++) {
		if (offset < memory->pieces[i].length) {
			*ret_skip = offset;
			return &memory->pieces[i];
		}
		offset -= memory->pieces[i].length;
	}
	model_fail(__FILE__, __LINE__, "the model has no byte at this offset");
}

uint8_t *memory_byte(const struct memory *memory, uint64_t offset)
{
	uint64_t skip;
	const struct piece *piece = find_piece(memory, offset, &skip);

	return &piece->leaf->bytes[piece->offset + skip];
}

uint64_t memory_run(const struct memory *memory, uint64_t offset)
{
	uint64_t skip;

	return find_piece(memory, offset, &skip)->length - skip;
}

bool memory_is_private(const struct memory *memory)
{
	for (size_t i = 0; i < memory->piece_count; i++)
		if (leaf_is_private(memory->pieces[i].leaf))
			return true;
	return false;
}

bool memory_has_range(const struct memory *memory)
{
	for (size_t i = 0; i < memory->piece_count; i++)
		if (memory->pieces[i].leaf->range)
			return true;
	return false;
}

uint64_t memory_lead(const struct memory *memory, uint64_t offset)
{
	uint64_t skip;
	const struct piece *piece = find_piece(memory, offset, &skip);

	return (piece->offset + skip) % PAGE;
}

/* -- maps -- */

struct map *map_model_new(struct mr_map *handle, struct memory *memory, uint32_t options, uint64_t offset, uint64_t length)
{
	struct map *map = &world.maps[world.map_count++];

	*map = (struct map){ .handle = handle,
			     .references = 1,
			     .alive = true,
			     .mapped = true,
			     .options = options,
			     .memory = memory,
			     .offset = offset,
			     .length = length,
			     .address = mr_map_address(handle) };
	map->pages = ((uintptr_t)map->address % PAGE + length + PAGE - 1) / PAGE;
	return map;
}

size_t maps_alive(void)
{
	size_t count = 0;

	for (size_t i = 0; i < world.map_count; i++)
		count += world.maps[i].references > 0;
	return count;
}

struct map *map_pick(void)
{
	size_t number = maps_alive() ? input_below(&world.input, (uint32_t)maps_alive()) : 0;

	for (size_t i = 0; i < world.map_count; i++)
		if (world.maps[i].references && !number--)
			return &world.maps[i];
	return NULL;
}

struct map *map_whole(struct map *map)
{
	return map->parent ? map->parent : map;
}

bool map_is_there(const struct map *map)
{
	return map->mapped && (!map->parent || map->parent->mapped);
}

/* The page of the map that holds the byte, and where in that page it is. */
static uint64_t page_of(const struct map *map, uint64_t at, uint64_t *ret_skip)
{
	uint64_t place = (uintptr_t)map->address % PAGE + at;

	*ret_skip = place % PAGE;
	return place / PAGE;
}

uint8_t *map_byte(struct map *map, uint64_t at)
{
	struct map *whole = map_whole(map);
	uint64_t skip, page = page_of(whole, at + map->offset - whole->offset, &skip);

	if (whole->own && whole->own[page])
		return &whole->own[page][skip];
	return memory_byte(map->memory, map->offset + at);
}

uint64_t map_run(struct map *map, uint64_t at)
{
	struct map *whole = map_whole(map);
	uint64_t run = memory_run(map->memory, map->offset + at), left = map->length - at, skip;

	page_of(whole, at + map->offset - whole->offset, &skip);
	if (whole->own && run > PAGE - skip)
		run = PAGE - skip;
	return run < left ? run : left;
}

/* Give a copy-on-write map a page of its own, with what it shows now. */
static void take_page(struct map *whole, uint64_t page)
{
	uint64_t lead = (uintptr_t)whole->address % PAGE;
	uint8_t *own = calloc(1, PAGE);

	require(own, "no memory");
	for (uint64_t skip = 0; skip < PAGE; skip++) {
		uint64_t place = page * PAGE + skip;

		if (place >= lead && place - lead < whole->length)
			own[skip] = *map_byte(whole, place - lead);
	}
	whole->own[page] = own;
}

void map_store(struct map *map, uint64_t at, uint8_t value)
{
	struct map *whole = map_whole(map);
	uint64_t skip, page = page_of(whole, at + map->offset - whole->offset, &skip);

	if (!(whole->options & MR_MAP_COPY_ON_WRITE)) {
		*memory_byte(map->memory, map->offset + at) = value;
		return;
	}
	if (!whole->own[page])
		take_page(whole, page);
	whole->own[page][skip] = value;
}

void map_drop_pages(struct map *map)
{
	for (uint64_t page = 0; map->own && page < map->pages; page++)
		free(map->own[page]);
	free(map->own);
	map->own = NULL;
}

/* A unique copy-on-write map of what userfaultfd cannot watch is a copy from the start. */
static void copy_what_must_be(struct map *map)
{
	uint64_t lead = (uintptr_t)map->address % PAGE, skip;

	for (uint64_t page = 0; page < map->pages; page++) {
		uint64_t at = page ? page * PAGE - lead : 0;

		if (find_piece(map->memory, map->offset + at, &skip)->leaf->kind == LEAF_DISK)
			take_page(map, page);
	}
}

void map_show(struct map *map)
{
	map_drop_pages(map);
	if (!(map->options & MR_MAP_COPY_ON_WRITE))
		return;
	map->own = calloc(map->pages, sizeof(*map->own));
	require(map->own, "no memory");
	if (map->options & MR_MAP_UNIQUE)
		copy_what_must_be(map);
}
