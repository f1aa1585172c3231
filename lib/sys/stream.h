/* SPDX-License-Identifier: MIT */
/* Copying what is larger than any cache. */
#ifndef STREAM_H
#define STREAM_H

#include <stddef.h>

/*
 * As memcpy, past the caches where the processor can do that: the target's lines are not read first, and what clients have in the
 * caches stays there.
 */
void stream_copy(void *to, const void *from, size_t length);

#endif
