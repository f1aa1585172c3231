/* SPDX-License-Identifier: MIT */
/* What copies of every sort have in common: two ends, options, a pace, progress, a report. */
#ifndef COPY_H
#define COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "map.h"
#include "memory.h"
#include "public.h"
#include "view.h"

/* Where bytes are: mapped at an address, or to be had by way of a memory alone. */
struct copy_end {
	uintptr_t address;    /* or 0 */
	struct mr_task *task; /* where that is; NULL: in this process */
	bool steady;	      /* no page at the address can go away */
	bool fresh;	      /* a new buffer: what is zero need not be written */
	struct mr_memory *memory;
	uint64_t offset; /* in the memory */
};

struct copy {
	struct mr_copy_opts opts;
	struct mr_report report;
	uint64_t begin;
	uint64_t paced;	 /* bytes since the pace was last looked at */
	uint64_t due;	 /* when they should be done */
	uint64_t let_go; /* how many had been let go when way was given last */
	uint64_t again;	 /* no way is given before */
};

/* Check and take over the options, and what @report says of itself. -EINVAL. Makes sentences. */
int copy_begin(struct copy *copy, const struct mr_copy_opts *opts, uint32_t flags, const struct mr_report *report);

/* Tell the caller's function how far it is. -ECANCELED. Makes sentences. */
int copy_tell(const struct copy *copy, uint64_t done, uint64_t total);

/* Wait until @length more bytes may be copied. */
void copy_pace(struct copy *copy, uint64_t length);

/*
 * Give way to those who have been let go, as many as @let_go until now, if there are new ones. They may be waiting for this very processor:
 * a scheduler likes to wake a thread where it last ran, and would let it wait there for as long as a time slice. If somebody else uses the
 * occasion to work for that long, it is not given again soon.
 */
void copy_give_way(struct copy *copy, uint64_t let_go);

/* Copy @length bytes at @at from the one to the other. Makes sentences. */
int copy_bytes(const struct copy_end *from, const struct copy_end *to, uint64_t at, uint64_t length);

/* All bytes of a map from an end that nobody changes, paced, with progress. Makes sentences. */
int copy_all(struct copy *copy, const struct copy_end *from, const struct copy_end *to, uint64_t length);

/* Note that clients may have been held up for so long. */
void copy_stalled(struct copy *copy, uint64_t nanoseconds);

/* Fill in the caller's report. */
void copy_report(struct copy *copy, struct mr_report *ret_report);

/* The map that has the view for @map. */
struct mr_map *copy_whole(struct mr_map *map);

/*
 * The bytes of @map as its clients see them; where they stand aside, if the map is blocked or another view of them has taken its place
 * under a shield. With the whole map's lock held.
 */
struct copy_end copy_shown(struct mr_map *map);

/* Let a map go that was blocked to be copied, however long others have what it takes. Makes sentences. */
int copy_let_go(struct mr_map *map);

/* How much is copied at a time, by plan; what is asked for now is copied in less (snapshot.c). */
#define COPY_PART (UINT64_C(1) << 20)

#endif
