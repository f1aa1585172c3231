/* SPDX-License-Identifier: MIT */
/* A bit for each of many pages. */
#ifndef BITS_H
#define BITS_H

#include <stdbool.h>
#include <stdint.h>

/* All zero, to be freed by sys_free; there is a word behind the last bit's. NULL: there is no memory. */
uint64_t *bits_new(uint64_t count);

bool bits_has(const uint64_t *bits, uint64_t at);

/* Set those of [from, end). */
void bits_set(uint64_t *bits, uint64_t from, uint64_t end);

/* The first one from @from on that is @value; @end: there is none before. */
uint64_t bits_next(const uint64_t *bits, uint64_t from, uint64_t end, bool value);

#endif
