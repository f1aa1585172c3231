/* SPDX-License-Identifier: MIT */
/* The self-check of a page. */
#include "pattern.h"

#include <string.h>

#define ID_SHIFT   56
#define WORDS	   (PATTERN_PAGE / sizeof(uint64_t))
#define BLOCK	   (WORDS / PATTERN_BLOCKS)
#define PLACE_MASK ((UINT64_C(1) << ID_SHIFT) - 1)

static uint64_t mix(uint64_t value)
{
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

static uint64_t place(uint64_t page, unsigned block)
{
	return mix(page * PATTERN_BLOCKS + block + 1) & PLACE_MASK;
}

uint64_t *pattern_word(char *memory, uint64_t page, unsigned block)
{
	return (uint64_t *)(memory + page * PATTERN_PAGE) + block * BLOCK;
}

void pattern_fill(char *memory, uint64_t size, unsigned id)
{
	for (uint64_t page = 0; page < size / PATTERN_PAGE; page++) {
		memset(memory + page * PATTERN_PAGE, 0, BLOCK * sizeof(uint64_t));
		for (unsigned block = 0; block < PATTERN_BLOCKS; block++)
			*pattern_word(memory, page, block) = (uint64_t)id << ID_SHIFT | place(page, block);
	}
}

bool pattern_is_right(uint64_t word, uint64_t page, unsigned block)
{
	return (word & PLACE_MASK) == place(page, block);
}

unsigned pattern_id(uint64_t word)
{
	return (unsigned)(word >> ID_SHIFT);
}

void pattern_count(char *memory, uint64_t page, unsigned writer)
{
	__atomic_fetch_add((uint64_t *)(memory + page * PATTERN_PAGE) + 1 + writer, 1, __ATOMIC_RELAXED);
}

uint64_t pattern_sum(const char *memory, uint64_t size)
{
	uint64_t sum = 0;

	for (uint64_t page = 0; page < size / PATTERN_PAGE; page++)
		for (unsigned writer = 0; writer < PATTERN_WRITERS; writer++)
			sum += *((const uint64_t *)(memory + page * PATTERN_PAGE) + 1 + writer);
	return sum;
}

uint64_t pattern_errors(char *memory, uint64_t size, unsigned id)
{
	uint64_t errors = 0;

	for (uint64_t page = 0; page < size / PATTERN_PAGE; page++)
		for (unsigned block = 0; block < PATTERN_BLOCKS; block++) {
			uint64_t word = *pattern_word(memory, page, block);

			errors += !pattern_is_right(word, page, block) || pattern_id(word) != id;
		}
	return errors;
}

uint64_t pattern_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*state);
}
