/* SPDX-License-Identifier: MIT */
/* Bytes that tell where they belong: each is a function of a seed and of its offset in the memory. */
#ifndef SUPPORT_PATTERN_H
#define SUPPORT_PATTERN_H

#include <stdint.h>

struct mr_memory;

/* The word at @offset, a multiple of 8. */
uint64_t pattern_word(unsigned seed, uint64_t offset);

/* Fill @length bytes at @to with what belongs at @offset. */
void pattern_fill(void *to, uint64_t offset, uint64_t length, unsigned seed);

/* The first offset at which @from, which begins at @offset, is not as it should be; offset + length if there is none. */
uint64_t pattern_mismatch(const void *from, uint64_t offset, uint64_t length, unsigned seed);

/* The same for a memory as a whole, by mr_memory_read. UINT64_MAX: it could not be read. */
uint64_t pattern_memory_mismatch(struct mr_memory *memory, unsigned seed);

/* The same for @length bytes of a file. */
uint64_t pattern_file_mismatch(int fd, uint64_t length, unsigned seed);

#endif
