/* SPDX-License-Identifier: MIT */
/* Copying what is larger than any cache: non-temporal stores on x86, memcpy elsewhere. */
#include "sys/stream.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

#define LINE 64

/* Less is better left in the cache. */
#define WORTH_IT 16384

/* Both at a line's beginning; whole lines. */
static void stream_lines(__m128i *to, const __m128i *from, size_t lines)
{
	for (; lines; lines--, to += 4, from += 4) {
		__m128i a = _mm_load_si128(from), b = _mm_load_si128(from + 1);
		__m128i c = _mm_load_si128(from + 2), d = _mm_load_si128(from + 3);

		_mm_stream_si128(to, a);
		_mm_stream_si128(to + 1, b);
		_mm_stream_si128(to + 2, c);
		_mm_stream_si128(to + 3, d);
	}
	_mm_sfence();
}

void stream_copy(void *to, const void *from, size_t length)
{
	size_t whole = length / LINE * LINE;

	if (length < WORTH_IT || ((uintptr_t)to | (uintptr_t)from) % LINE) {
		memcpy(to, from, length);
		return;
	}
	stream_lines(to, from, whole / LINE);
	memcpy((char *)to + whole, (const char *)from + whole, length - whole);
}
#else
void stream_copy(void *to, const void *from, size_t length)
{
	memcpy(to, from, length);
}
#endif
