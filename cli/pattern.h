/* SPDX-License-Identifier: MIT */
/*
 * The self-check of a page: in each block of 512 bytes a word that says which content, page and block it belongs to, so that one
 * load tells a stale, foreign, zero or torn page. Between them, in the first block, a counter for each writer.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#define PATTERN_PAGE	4096
#define PATTERN_BLOCKS	8
#define PATTERN_WRITERS 62 /* counters in a page */

/* Fill whole pages with content @id (1 to 255), and counters of 0. */
void pattern_fill(char *memory, uint64_t size, unsigned id);

/* The word of a page and block; whether it is right; and of which content. */
uint64_t *pattern_word(char *memory, uint64_t page, unsigned block);
bool pattern_is_right(uint64_t word, uint64_t page, unsigned block);
unsigned pattern_id(uint64_t word);

/* Count one write by @writer to @page. */
void pattern_count(char *memory, uint64_t page, unsigned writer);

/* All counters of all pages, together. */
uint64_t pattern_sum(const char *memory, uint64_t size);

/* How many words of all pages are not right, or not of content @id. */
uint64_t pattern_errors(char *memory, uint64_t size, unsigned id);

/* A random number for choosing places; @state is any number at first. */
uint64_t pattern_random(uint64_t *state);

#endif
