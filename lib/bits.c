/* SPDX-License-Identifier: MIT */
/* A bit for each of many pages. */
#include "bits.h"

#include "sys/sys.h"

uint64_t *bits_new(uint64_t count)
{
	return sys_allocate(count / 64 + 1, sizeof(uint64_t));
}

bool bits_has(const uint64_t *bits, uint64_t at)
{
	return bits[at / 64] >> at % 64 & 1;
}

void bits_set(uint64_t *bits, uint64_t from, uint64_t end)
{
	for (; from < end && from % 64; from++)
		bits[from / 64] |= UINT64_C(1) << from % 64;
	for (; end - from >= 64 && from < end; from += 64)
		bits[from / 64] = UINT64_MAX;
	for (; from < end; from++)
		bits[from / 64] |= UINT64_C(1) << from % 64;
}

uint64_t bits_next(const uint64_t *bits, uint64_t from, uint64_t end, bool value)
{
	const uint64_t flip = value ? 0 : UINT64_MAX;
	uint64_t word;

	while (from < end) {
		word = (bits[from / 64] ^ flip) >> from % 64;
		if (word) {
			from += (uint64_t)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from = (from / 64 + 1) * 64;
	}
	return end;
}
