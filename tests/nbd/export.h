/* SPDX-License-Identifier: MIT */
/* What the tests of exports share: words that say where they are, and a map of an export. */
#ifndef TEST_EXPORT_H
#define TEST_EXPORT_H

#include <memredirect-nbd.h>
#include <stdint.h>

#include "server.h"

#define KIB  ((uint64_t)1024)
#define MIB  ((uint64_t)1 << 20)
#define WORD sizeof(uint64_t)

/* The word that belongs at @offset in content @seed. */
static inline uint64_t word_of(uint64_t offset, uint64_t seed)
{
	uint64_t word = (offset / WORD + 1) * UINT64_C(0x9e3779b97f4a7c15) + seed * UINT64_C(0x94d049bb133111eb);

	return word ^ word >> 29;
}

/* A memory, and a map of all of it, which may be redirected. */
struct shown {
	struct mr_memory *memory;
	struct mr_map *map;
	uint64_t *words;
	uint64_t length;
};

void shown_open(struct shown *shown, const char *uri, uint64_t cache, uint32_t options);
void shown_close(struct shown *shown);

/* Fill, or check, [offset, offset + length) of the map: whole words. */
void shown_fill(struct shown *shown, uint64_t offset, uint64_t length, uint64_t seed);
void shown_check(const struct shown *shown, uint64_t offset, uint64_t length, uint64_t seed);

/* The same of the export, through a memory of its own. */
void export_check(const char *uri, uint64_t offset, uint64_t length, uint64_t seed);

#endif
