/* SPDX-License-Identifier: MIT */
/*
 * Sweeps: an operation is done again and again, and each time another one of the allocations and system calls that it makes
 * fails, from the first one on until it makes no more.
 *
 * An operation that fails must have changed nothing: not what the map shows, reports or says of its being blocked, not what is
 * mapped anywhere, no descriptor, no thread. Done once more, it must then succeed. An operation that succeeds although something
 * failed must have done all of its work. After either, everything must go when it is let go.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "kind.h"

#define SWEEP_PARTS 4

/* What operations work on; each uses what it needs. */
struct fixture {
	const struct kind *kind;
	uint64_t length;
	struct sample sample; /* a map and its memory, with the pattern 1 */
	struct backing other; /* another memory, with the pattern 2 */
	struct mr_map *map;   /* what is made */
	struct mr_map *outer; /* what it may be found in */
	struct mr_memory *memory;
	struct mr_memory *parts[SWEEP_PARTS];
	struct mr_range ranges[SWEEP_PARTS];
	char *place;	   /* addresses where a map shall be made, or bytes */
	uint64_t physical; /* a physical address, and how far it is contiguous */
	uint64_t run;
	int fd;
	bool written; /* through the sample's copy-on-write map, to its last word */
};

struct operation {
	const char *name;
	const char *call; /* the function, with which the sentence of a failure begins */
	void (*set_up)(struct fixture *fixture);
	int (*act)(struct fixture *fixture);
	void (*check_before)(struct fixture *fixture); /* that all is as set_up left it; may be NULL */
	void (*check_after)(struct fixture *fixture);  /* that the work is done, all of it */
	void (*tear_down)(struct fixture *fixture);
};

/* Sweep over one operation, for a kind of memory (NULL: the operation has its own) and a length. */
void sweep(const struct operation *operation, const struct kind *kind, uint64_t length);

/* For operations on maps of a kind: make the sample, write to its map if it is copy-on-write, make the other; let go of them. */
void fixture_make(struct fixture *fixture);
void fixture_free(struct fixture *fixture);

/*
 * That the sample's map shows the pattern @seed, of @memory (and, while `written` holds, what was written), and is not blocked; and
 * that both memories have their bytes.
 */
void fixture_check_shown(struct fixture *fixture, const struct mr_memory *memory, unsigned seed);

/* That it is blocked, and reports @memory; and that both memories have their bytes. */
void fixture_check_blocked(struct fixture *fixture, const struct mr_memory *memory);

#endif
