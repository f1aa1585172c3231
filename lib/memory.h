/* SPDX-License-Identifier: MIT */
/*
 * A memory, inside: pieces in a row, each a part of a source. A leaf owns its sources; a multi or sub memory takes over the
 * pieces of what it is made of, and holds references to that, so that nobody ever walks a tree.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "public.h"
#include "source.h"

struct piece {
	struct source *source;
	uint64_t source_offset;
	uint64_t start; /* in the memory */
	uint64_t length;
};

struct pin; /* what mr_memory_prepare holds for one piece (physical.c) */
struct view;

struct mr_memory {
	_Atomic uint32_t references;
	uint32_t generation;
	uint32_t options;
	uint64_t length;

	size_t piece_count;
	struct piece *pieces;
	size_t source_count; /* a leaf's */
	struct source *sources;
	size_t part_count; /* a multi's or sub's; references */
	struct mr_memory **parts;

	pthread_mutex_t pinning; /* protects the two below */
	uint64_t prepared;
	struct pin *pins; /* piece_count of them while prepared, else NULL */

	struct mr_map *maps; /* those that can be shared, by the registry's lock */

	/*
	 * An adopted memory: room for the view of it while its map shows something else, and whether that is so, by the registry's
	 * lock. NULL for any other.
	 */
	struct view *parked;
	bool away;
};

/* 0, or what is wrong with @memory as an argument: NULL, or inherited across a fork. Makes sentences. */
int memory_check(const struct mr_memory *memory);

/* 0 if [offset, offset + length) lies in @memory, else -ERANGE. Makes sentences. */
int memory_range_check(const struct mr_memory *memory, uint64_t offset, uint64_t length);

/* mr_memory_new_buffer, for a call that has another name. */
int memory_new_buffer(uint64_t length, uint32_t options, struct mr_memory **ret_memory);

/* Copy between the memory and @buffer; the range has been checked. Makes sentences. */
int memory_copy(struct mr_memory *memory, uint64_t offset, void *buffer, uint64_t length, bool write);

/* Whether nobody but this library can take pages of [offset, offset + length) away, so that plain instructions may copy it. */
bool memory_is_steady(const struct mr_memory *memory, uint64_t offset, uint64_t length);

/* Whether some of it comes from a pager. */
bool memory_is_paged(const struct mr_memory *memory, uint64_t offset, uint64_t length);

/* Whether some byte of the one range is a byte of the other. */
bool memory_overlaps(const struct mr_memory *left, uint64_t left_offset, const struct mr_memory *right, uint64_t right_offset,
		     uint64_t length);

/* The piece that holds the byte at @offset, which is in @memory. */
const struct piece *memory_piece(const struct mr_memory *memory, uint64_t offset);

/* Where the byte at @offset lies, as far as it matters for where in a page. */
uint64_t memory_place(const struct mr_memory *memory, uint64_t offset);

/* The memory that is mapped at [start, start + length) of @task (NULL: this process) now, to be adopted; read-only if it is not writable. Makes sentences. */
int memory_adopt(struct mr_task *task, uintptr_t start, uint64_t length, struct mr_memory **ret_memory);

#endif
