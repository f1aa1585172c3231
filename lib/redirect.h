/* SPDX-License-Identifier: MIT */
/* The phases of a redirect to a memory, for others who show a map something else: move.c. With the map's lock held. They make sentences. */
#ifndef REDIRECT_H
#define REDIRECT_H

#include "map.h"

/* What is asked for, and what has to be let go of when it has been done. */
struct redirect {
	struct mr_map *map;
	struct mr_memory *backing;
	uint32_t options;
	uint64_t offset;
	struct view next;
	bool unparked;		      /* `next` was parked with the backing */
	struct view old;	      /* to be discarded, when the lock has been given back */
	struct mr_memory *old_memory; /* to be unreferenced, then */
};

/* Whether the map can be redirected at all, and whether options and offset suit it and the backing. */
int redirect_check(const struct redirect *redirect);

/* Find out which mappings will show the backing; build those that are not there, aside, and fill their page tables if that is asked for. */
int redirect_plan(struct redirect *redirect);
int redirect_stage(struct redirect *redirect);

/* Put the staged view in the place of what is shown, or of a block; then nothing can fail any more: note it. */
int redirect_commit(struct redirect *redirect);
void redirect_note(struct redirect *redirect);

/* Undo plan and stage. */
void redirect_abandon(struct redirect *redirect);

/* Let go of what note has left. Without the lock. */
void redirect_discard(struct redirect *redirect);

#endif
