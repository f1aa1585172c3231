/* SPDX-License-Identifier: MIT */
/*
 * The scene of most tests of redirect: a map of a kind, its own memory with one pattern, another memory with a second one, and
 * clients that access a word of the map.
 */
#ifndef SUPPORT_SCENE_H
#define SUPPORT_SCENE_H

#include "kind.h"
#include "pattern.h"
#include "victim.h"

enum { SCENE_OLD = 1, SCENE_NEW = 2 };

/* What clients store, or add. */
#define SCENE_VALUE UINT64_C(0x5eed5eed00000007)

struct scene {
	struct sample sample;
	struct backing other;
	struct mr_map *map; /* the sample's */
	char *address;
	uint64_t length;
};

void scene_make(struct scene *scene, const struct kind *kind);
void scene_free(struct scene *scene);

/* Redirect the map to NULL; to the other memory; to its own. */
void scene_block(struct scene *scene);
void scene_switch(struct scene *scene);
void scene_restore(struct scene *scene);

/* Whether an access of this sort to a blocked map waits here; where it does not, the kernel says EFAULT. */
bool scene_access_waits(enum access access);

/* Whether clients of the map can make it at all. */
bool scene_access_possible(const struct scene *scene, enum access access);

/* Start a client on the blocked map, and wait until it waits. */
struct victim *scene_victim(struct scene *scene, enum access access, uint64_t offset);

/* Wait for the end of a client whose access went to bytes of the pattern @seed at @offset, check what came of it, free it. */
void scene_victim_end(struct victim *victim, unsigned seed, uint64_t offset);

/* What the word at @offset of the pattern @seed is after the access. */
uint64_t scene_word_after(enum access access, unsigned seed, uint64_t offset);

/* The word at @offset of a memory, by mr_memory_read. */
uint64_t memory_word(struct mr_memory *memory, uint64_t offset);

#endif
