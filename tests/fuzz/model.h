/* SPDX-License-Identifier: MIT */
/*
 * The model: what must be in every memory and map, byte by byte, after any calls.
 *
 *	leaf	bytes that exist once: a file, a buffer, a range. The model keeps its own copy
 *	memory	pieces of leaves in a row, with the handle that the library gave, and how many references are held here
 *	map	where a memory is shown. A copy-on-write map has pages of its own; a map inside another one has the other's
 *
 * What a call shall return is said by the model before the call is made; when anything is not as the model says, the process
 * aborts with a sentence.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <memredirect.h>

#include "input.h"

#define PAGE	 UINT64_C(4096)
#define LEAVES	 48
#define MEMORIES 48
#define MAPS	 48
#define PIECES	 16

/* How many may live at a time; the others are dead. */
#define MOST_MEMORIES 12
#define MOST_MAPS     8

enum leaf_kind {
	LEAF_BUFFER,
	LEAF_MEMFD,
	LEAF_DISK,
	LEAF_SHARED,  /* a range */
	LEAF_PRIVATE, /* a range */
};

struct leaf {
	enum leaf_kind kind;
	uint64_t length; /* whole pages, of which a buffer may have fewer bytes */
	uint8_t *bytes;
	int fd;	     /* or -1 */
	char *range; /* what is mapped for it until the end; or NULL */
};

struct piece {
	struct leaf *leaf;
	uint64_t offset;
	uint64_t length;
};

struct memory {
	struct mr_memory *handle;
	unsigned references; /* held here; the handle may live on in maps and other memories, but is not used then */
	bool read_only;
	uint64_t length;
	size_t piece_count;
	struct piece pieces[PIECES];

	/* An adopted range: how many pages, from where in the first one, and whether no map shows it. */
	bool adopted;
	bool away;
	uint64_t span;
	uint64_t lead;
};

struct map {
	struct mr_map *handle;
	unsigned references;
	unsigned inside; /* how many live maps lie inside it */
	bool alive;	 /* somebody has a reference */
	bool mapped;
	bool blocked;
	uint32_t options;
	struct memory *memory;
	uint64_t offset;
	uint64_t length;
	char *address;
	struct map *parent;
	uint64_t pages;
	uint8_t **own; /* of a copy-on-write map: each page that it has for itself, or NULL */
};

struct world {
	struct input input;
	uint64_t unit; /* pages; lengths are a few of them */
	unsigned steps;
	size_t leaf_count, memory_count, map_count;
	struct leaf leaves[LEAVES];
	struct memory memories[MEMORIES];
	struct map maps[MAPS];
};

extern struct world world;

/* Say each call on standard error. */
extern bool model_verbose;

/* Abort, with a sentence. */
void model_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));

#define require(condition, ...)                                                                                                \
	do {                                                                                                                   \
		if (!(condition))                                                                                              \
			model_fail(__FILE__, __LINE__, __VA_ARGS__);                                                           \
	} while (0)

/* Make a call that must return this, with a sentence if it is an error. */
#define expect(call, expected) model_expect(call, expected, #call, __FILE__, __LINE__)

void model_expect(int result, int expected, const char *call, const char *file, int line);

/* Say it on standard error, if each call is said. */
void model_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Leaves: NULL when there is no room for one more. */
struct leaf *leaf_new(enum leaf_kind kind, uint64_t pages);
bool leaf_is_private(const struct leaf *leaf);

/* Memories: the model of one, without a handle yet; a random live one, or NULL. */
struct memory *memory_new(bool read_only);
void memory_append(struct memory *memory, struct leaf *leaf, uint64_t offset, uint64_t length);
struct memory *memory_pick(void);
size_t memories_alive(void);

/* The byte at @offset, and how many follow it in one piece; whether any are private, or of a range; where it lies in its page. */
uint8_t *memory_byte(const struct memory *memory, uint64_t offset);
uint64_t memory_run(const struct memory *memory, uint64_t offset);
bool memory_is_private(const struct memory *memory);
bool memory_has_range(const struct memory *memory);
uint64_t memory_lead(const struct memory *memory, uint64_t offset);

/* Maps: the model of one; a random live one, or NULL. */
struct map *map_model_new(struct mr_map *handle, struct memory *memory, uint32_t options, uint64_t offset, uint64_t length);
struct map *map_pick(void);
size_t maps_alive(void);
struct map *map_whole(struct map *map);
bool map_is_there(const struct map *map);

/* What the map shows at byte @at, and how many follow it in one piece; a store may give a copy-on-write map a page of its own. */
uint8_t *map_byte(struct map *map, uint64_t at);
uint64_t map_run(struct map *map, uint64_t at);
void map_store(struct map *map, uint64_t at, uint8_t value);

/* Begin and end to show: drop pages of its own, and take those that are copied from the start. */
void map_show(struct map *map);
void map_drop_pages(struct map *map);

/* Whether the model and the library agree; @thorough: every byte of all of them. */
void check_map(struct map *map, bool thorough);
void check_all(bool thorough);

/* What can be done, each by the bytes of the input. */
void act_on_memories(void);
void act_on_maps(void);

/* Let go of everything, in an order that the input decides. */
void let_go_of_all(void);

#endif
