/* SPDX-License-Identifier: MIT */
/*
 * A view: the mappings, side by side, that show a part of a memory.
 *
 *   base              base + lead = the map's address                               base + span
 *    |  segment 0      |              |  segment 1       |  segment 2                    |
 *
 * A view is planned from a memory, built at some base by a space, and moved by it: to the target, where clients see it, or
 * aside, where nobody does. Segments are whole pages of their sources; what they hold beyond the memory's own bytes is reached
 * as with mmap(2). A view that stands aside may lack the mappings of some segments (not parked), which are made anew when it is
 * placed; those that keep bytes that exist nowhere else are always there.
 */
#ifndef VIEW_H
#define VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"

struct segment {
	struct source *source; /* NULL: a hole, which nobody may access */
	uint64_t source_offset;
	uint64_t offset; /* in the view */
	uint64_t length;
	int protection; /* PROT_… */
	bool copied;	/* ordinary private memory with a copy of the source's bytes */
	bool keeps;	/* private: bytes that were written to it are nowhere else */
	bool parked;	/* its mapping is there while the view stands aside */
	bool shared;	/* of an adopted range: others may see what is written to it */
	bool hidden;	/* kept from children of fork(2) while it is blocked, in another process */
};

struct host;

struct view {
	struct host *host; /* where: another process; NULL: this one. Not a reference */
	uintptr_t base;	   /* where it stands; 0: nowhere */
	uint64_t span;	   /* whole pages */
	uint64_t lead;	   /* from the base to the first byte of the memory */
	uint64_t align;	   /* the base, modulo this power of two, is `phase` */
	uint64_t phase;
	uint32_t access;	 /* MR_MAP_READ_ONLY, MR_MAP_COPY_ON_WRITE */
	bool keeps;		 /* some segment does */
	bool adopted;		 /* the mappings are an adopted memory, not made to show one: they are parked, not discarded */
	struct channel *channel; /* of a map of the driver's, which has no segments; not owned */
	uint32_t backing;	 /* what the driver has hold of for it */
	size_t count;
	struct segment *segments;
};

/*
 * Plan the view, in @host, of [offset, offset + length) of @memory. @movable: it will be moved while clients access it. 0; -EINVAL the pieces
 * cannot stand side by side; -EOPNOTSUPP private memory, or such that cannot be had there; -ENOMEM. Makes sentences.
 */
int view_plan(struct view *view, struct host *host, const struct mr_memory *memory, uint64_t offset, uint64_t length,
	      uint32_t access, bool movable);

/*
 * The same for a map of the driver's, which takes hold of the memory: the view is of @channel, or, if there is none yet, of a new one
 * that is set. @options: access and cache mode, MR_MAP_PERSIST. Errors of channel_open and channel_hold; -EINVAL. Makes sentences.
 */
int view_plan_driver(struct view *view, struct channel **channel, const struct mr_memory *memory, uint64_t offset,
		     uint64_t length, uint32_t options);

/*
 * Widen the plan with holes so that it spans [start, start + span) and shows its first byte at @address. 0; -EINVAL that is not
 * possible. Makes sentences.
 */
int view_fit(struct view *view, uintptr_t start, uint64_t span, uintptr_t address);

/* Plan the view of what is mapped at [start, start + span) already, of @memory, which was made of it. Makes sentences. */
int view_of_range(struct view *view, const struct mr_memory *memory, uintptr_t start, uint64_t span);

/* Whether code may be run in any of it; and let it be, in all of it, of a plan that is not built yet. */
bool view_is_executable(const struct view *view);
void view_make_executable(struct view *view);

/* Whether all its mappings are there. */
bool view_stands_whole(const struct view *view);

/* Plan the same view once more; it is not built. -ENOMEM. Makes sentences. */
int view_copy(struct view *copy, const struct view *view);

/* Give every segment, wherever the view stands, the protection that @access asks for. Makes sentences. */
int view_protect(struct view *view, uint32_t access);

/* Free the plan; the mappings are not touched. */
void view_forget(struct view *view);

#endif
