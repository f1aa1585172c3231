/* SPDX-License-Identifier: MIT */
/* Bytes that tell where they belong. */
#include "pattern.h"

#include <string.h>
#include <unistd.h>

#include <memredirect.h>

#define CHUNK 16384

uint64_t pattern_word(unsigned seed, uint64_t offset)
{
	uint64_t word = ((uint64_t)seed << 40) + offset / 8 + 1;

	word *= UINT64_C(0x9e3779b97f4a7c15);
	return word ^ word >> 29;
}

static uint8_t pattern_byte(unsigned seed, uint64_t offset)
{
	return (uint8_t)(pattern_word(seed, offset) >> offset % 8 * 8);
}

/* A word at any address. */
static void put_word(uint8_t *to, uint64_t word)
{
	memcpy(to, &word, sizeof(word));
}

static uint64_t get_word(const uint8_t *from)
{
	uint64_t word;

	memcpy(&word, from, sizeof(word));
	return word;
}

/* Words where they are whole, bytes at the ends; words are little-endian, as pattern_byte counts them. */
void pattern_fill(void *to, uint64_t offset, uint64_t length, unsigned seed)
{
	uint8_t *byte = to;

	for (uint64_t end = offset + length; offset < end;) {
		if (offset % 8 || end - offset < 8) {
			*byte++ = pattern_byte(seed, offset++);
			continue;
		}
		put_word(byte, pattern_word(seed, offset));
		byte += 8;
		offset += 8;
	}
}

uint64_t pattern_mismatch(const void *from, uint64_t offset, uint64_t length, unsigned seed)
{
	const uint8_t *byte = from;

	for (uint64_t end = offset + length; offset < end;) {
		if (offset % 8 == 0 && end - offset >= 8 && get_word(byte) == pattern_word(seed, offset)) {
			byte += 8;
			offset += 8;
		} else if (*byte++ != pattern_byte(seed, offset++)) {
			return offset - 1;
		}
	}
	return offset;
}

uint64_t pattern_memory_mismatch(struct mr_memory *memory, unsigned seed)
{
	uint64_t length = mr_memory_length(memory);
	uint8_t chunk[CHUNK];

	for (uint64_t offset = 0, part; offset < length; offset += part) {
		uint64_t wrong;

		part = length - offset < CHUNK ? length - offset : CHUNK;
		if (mr_memory_read(memory, offset, chunk, part))
			return UINT64_MAX;
		wrong = pattern_mismatch(chunk, offset, part, seed);
		if (wrong != offset + part)
			return wrong;
	}
	return length;
}

uint64_t pattern_file_mismatch(int fd, uint64_t length, unsigned seed)
{
	uint8_t chunk[CHUNK];

	for (uint64_t offset = 0, part; offset < length; offset += part) {
		uint64_t wrong;

		part = length - offset < CHUNK ? length - offset : CHUNK;
		if (pread(fd, chunk, part, (off_t)offset) != (ssize_t)part)
			return UINT64_MAX;
		wrong = pattern_mismatch(chunk, offset, part, seed);
		if (wrong != offset + part)
			return wrong;
	}
	return length;
}
