/* SPDX-License-Identifier: MIT */
/*
 * The kinds of memory that a map can show, so that one test body runs over all of them.
 *
 *   backing   a memory of a kind, filled with a pattern, with what it was made from
 *   sample    a backing and a unique map of all of it
 *
 * The making of them ends the test when it fails: that is not what the test is about.
 */
#ifndef SUPPORT_KIND_H
#define SUPPORT_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <memredirect.h>

#define BACKING_PARTS 3

#define HUGE_PAGE (UINT64_C(2) << 20)

struct backing {
	const struct kind *kind;
	struct mr_memory *memory;
	uint64_t length;
	uint32_t access; /* what a map of it takes: MR_MAP_READ_ONLY, MR_MAP_COPY_ON_WRITE, or 0 */
	int fd;		 /* the file that has its bytes from offset 0 on, open for reading; -1: none */
	char *range;	 /* what was mapped for it, `length` bytes */
	struct mr_memory *parts[BACKING_PARTS];
};

struct sample {
	const struct kind *kind;
	struct backing backing;
	struct mr_memory *memory; /* backing.memory, or what an adopted map reports */
	struct mr_map *map;
	uint64_t length;
	char *address;
};

struct kind {
	const char *name;
	bool huge; /* lengths and places are multiples of 2 MiB */
	uint32_t access;
	bool adopted;		      /* the map is there first, and its memory comes of it */
	bool detached;		      /* the map does not show what is written to the memory later, or may not */
	bool stays;		      /* a child of fork has nothing where the map is */
	bool singular;		      /* private memory, which cannot be mapped a second time */
	bool driver;		      /* maps of it are the driver's alone */
	const char *not_by_driver;    /* why the driver cannot show it; NULL: it can */
	const char *(*missing)(void); /* what this machine lacks for it, or NULL; may itself be NULL */
	void (*make)(struct backing *backing, unsigned seed, void *place);
};

extern const struct kind kinds[];
extern const size_t kind_count;

/* NULL: there is none of this name. */
const struct kind *kind_find(const char *name);

/* What this machine lacks for @kind, or NULL. */
const char *kind_missing(const struct kind *kind);

/* Lengths are multiples of it. */
uint64_t kind_unit(const struct kind *kind);

/* A length that is enough for most tests: several units, or more if the run is about large maps. */
uint64_t kind_length(const struct kind *kind);

/* Whether kind_length is one for which page tables are moved, not filled anew: some MiB, and not a round number. */
extern bool kind_large;

/*
 * MR_MAP_DRIVER when the run is about maps of the driver's, else 0. Every map that a test makes is made so; what it reports of its
 * options beyond that is compared.
 */
extern uint32_t kind_space;
#define mr_map_new(memory, task, address, options, offset, length, ret_map)                                                    \
	(mr_map_new)(memory, task, address, (options) | kind_space, offset, length, ret_map)
#define mr_map_options(map) ((mr_map_options)(map) & ~kind_space)

/* Whether clients may write through a map of it. */
bool kind_writable(const struct kind *kind);

/* A memory of @kind, which is not an adopted one, filled with the pattern @seed. */
void backing_make(struct backing *backing, const struct kind *kind, uint64_t length, unsigned seed);
void backing_free(struct backing *backing);

/* A memory that a map of @kind can be redirected to: of the same kind, or a buffer if that cannot be. */
void backing_make_other(struct backing *backing, const struct kind *kind, uint64_t length, unsigned seed);

/*
 * A memory of @kind and a unique map of it: anywhere; at @place, which making the memory must not take; or somewhere at a multiple of
 * @align.
 */
void sample_make(struct sample *sample, const struct kind *kind, uint64_t length, unsigned seed);
void sample_make_at(struct sample *sample, const struct kind *kind, uint64_t length, unsigned seed, void *place);
void sample_make_aligned(struct sample *sample, const struct kind *kind, uint64_t length, unsigned seed, uint64_t align);

/* Let go of the map, the memory, and what they were made from. */
void sample_free(struct sample *sample);

/* Redirect the map to its own memory, as it was. */
void sample_restore(struct sample *sample);

/* Addresses that nothing is mapped at, @length bytes at a multiple of @align. */
void *free_place(uint64_t length, uint64_t align);

uint64_t page_size(void);

/* A file of @length bytes without a name, open for reading and writing: on a disk's file system, on tmpfs. -1: none. */
int disk_file(uint64_t length);
int tmpfs_file(uint64_t length);

/* The same file, opened for reading alone. */
int reopen_read_only(int fd);

/* A memfd of @length bytes, filled with a pattern. */
int memfd_with_pattern(uint64_t length, unsigned seed);

/* The same for a disk's file. */
int disk_file_with_pattern(uint64_t length, unsigned seed);

#endif
