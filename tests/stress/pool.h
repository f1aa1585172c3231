/* SPDX-License-Identifier: MIT */
/*
 * A pool: one unique map, and memories of all kinds that this machine has, to any of which the map can be redirected.
 *
 * The first memory is what the map shows at first; if the map is an adopted one, that memory is the adopted range. Every word of
 * memory number i is pattern_word(i + 1, its offset).
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dice.h"
#include "kind.h"

#define POOL_MOST 32

/* Which kinds a pool has. */
enum {
	POOL_WRITABLE = 1, /* clients may write, and the memory has what they wrote */
	POOL_FEW = 2,	   /* one of each way of being replaced is enough: for large maps */
	POOL_TWO = 4,	   /* a shared and a private one: for very large maps */
};

struct member {
	struct backing backing;
	struct mr_memory *memory;
	const char *name;
	uint32_t access; /* what a redirect to it takes */
	unsigned seed;
	uint64_t unit; /* offsets are multiples of it */
	bool fixed;    /* can only be shown from offset 0: an adopted range */
};

struct pool {
	struct sample sample;
	struct mr_map *map; /* the sample's */
	char *address;
	uint64_t length; /* of the map */
	uint64_t spare;	 /* by which the other memories are longer, in their units */
	size_t count;
	struct member members[POOL_MOST];
};

/* The map is of the kind @start, and @length bytes long. */
void pool_make(struct pool *pool, const char *start, uint64_t length, uint64_t spare, unsigned flags);
void pool_free(struct pool *pool);

/* A member, and an offset from which it can be shown. */
struct showing {
	struct member *member;
	uint64_t offset;
};

struct showing pool_roll(struct pool *pool, struct dice *dice);

/* Redirect the map to it, with @extra options. What mr_map_redirect returns. */
int pool_redirect(struct pool *pool, struct showing to, uint32_t extra);

/* MR_MAP_PREFAULT or 0. */
uint32_t pool_roll_prefault(struct dice *dice);

/* What the map shows at @offset when it shows @what unwritten. */
uint64_t showing_word(struct showing what, uint64_t offset);

/* A kind for the map to start with: one that clients may write and see, often an adopted one. */
const char *pool_roll_start(struct dice *dice, uint64_t length);

#endif
