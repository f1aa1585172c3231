/* SPDX-License-Identifier: MIT */
/* What the files of the local space share. */
#ifndef LOCAL_H
#define LOCAL_H

#include "space/space.h"

#define MIB (UINT64_C(1) << 20)

/* Up to here, zapping page tables is faster than moving them out of the way. */
#define SMALL MIB

/* What is unmapped, populated or protected in one call, so that others who change or fault in mappings get their turn. */
#define SLICE (16 * MIB)

void local_release(uintptr_t address, uint64_t length);
int local_build_aside(struct view *view, uintptr_t target);
int local_populate(const struct view *view, uint64_t offset, uint64_t length);
bool local_can_swap(const struct view *shown, const struct view *next);
int local_swap(struct view *shown, struct view *next);
void local_discard(struct view *view);

/* Where a view that will be moved to @target (0: is used where it is) should stand: page tables move whole. */
int local_reserve_for(const struct view *view, uintptr_t target, uintptr_t *ret_address);

/* Room for @view that is no gap of the range that it is for. */
int local_reserve_clear(const struct view *view, uintptr_t target, uintptr_t *ret_address);

int local_protect_part(const struct view *view, uintptr_t address, uint64_t length, int protection);

/* Huge pages and devices cannot be emptied in place: they have few entries, or are made anew at no cost. */
bool local_can_vacate(const struct segment *segment);

/*
 * Move the page tables of @view, which stands at its target, to @aside. When it fails, @aside is given back. reoccupy undoes it for the
 * first @count segments, and gives @aside back.
 */
int local_vacate(struct view *view, uintptr_t aside);
void local_reoccupy(struct view *view, uintptr_t aside, size_t count);

/* Move or map all segments of @view to @target; when the first fails, nothing has happened. */
int local_place_all(const struct view *view, uintptr_t target);

/* After a view has left @aside: give back what it had reserved there without using it. */
void local_leave(struct view *view, uintptr_t aside);

/* Copies while clients go on (local_shield.c). */
int local_raise(struct shield *shield, struct view *shown);
void local_lower(struct shield *shield);
int local_hand_over(struct shield *shield, struct view *next);
void local_unprotect(const struct shield *shield, uintptr_t start, uint64_t length);
void local_let(const struct shield *shield, uintptr_t start, uint64_t length);
int local_protect(const struct shield *shield, uintptr_t start, uint64_t length);
void local_wake(const struct shield *shield);

#endif
