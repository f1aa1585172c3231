/* SPDX-License-Identifier: MIT */
/* What the tests of exports share. */
#include "export.h"

#include "suite.h"

void shown_open(struct shown *shown, const char *uri, uint64_t cache, uint32_t options)
{
	assert_ok(mr_memory_new_nbd(uri, cache, options, &shown->memory));
	assert_ok(mr_map_new(shown->memory, NULL, NULL,
			     MR_MAP_ANYWHERE | MR_MAP_UNIQUE | (options & MR_MEMORY_READ_ONLY ? MR_MAP_READ_ONLY : 0), 0, 0,
			     &shown->map));
	shown->words = mr_map_address(shown->map);
	shown->length = mr_memory_length(shown->memory);
}

void shown_close(struct shown *shown)
{
	mr_map_unref(shown->map);
	mr_memory_unref(shown->memory);
}

void shown_fill(struct shown *shown, uint64_t offset, uint64_t length, uint64_t seed)
{
	for (uint64_t at = offset; at < offset + length; at += WORD)
		shown->words[at / WORD] = word_of(at, seed);
}

void shown_check(const struct shown *shown, uint64_t offset, uint64_t length, uint64_t seed)
{
	for (uint64_t at = offset; at < offset + length; at += WORD)
		if (shown->words[at / WORD] != word_of(at, seed))
			fail_msg("the word at %#llx is %#llx, not %#llx", (unsigned long long)at,
				 (unsigned long long)shown->words[at / WORD], (unsigned long long)word_of(at, seed));
}

void export_check(const char *uri, uint64_t offset, uint64_t length, uint64_t seed)
{
	struct shown shown;

	shown_open(&shown, uri, 0, MR_MEMORY_READ_ONLY);
	shown_check(&shown, offset, length, seed);
	shown_close(&shown);
}
