/* SPDX-License-Identifier: MIT */
/* The kernel's list of what is mapped in this process (/proc/self/maps). */
#ifndef REGIONS_H
#define REGIONS_H

#include <stdbool.h>
#include <stdint.h>

struct region {
	uintptr_t start;
	uintptr_t end;
	uintptr_t whole_start; /* the mapping's own bounds, before it was cut to what was asked for */
	uintptr_t whole_end;
	uint64_t offset;
	uint64_t inode; /* 0: anonymous */
	int protection; /* PROT_… */
	bool shared;
	const char *name; /* a path, "[heap]", … or "" */
};

/*
 * Call @each for every region that has a page in [start, end), in order, cut to that range, until it returns non-zero, which is
 * then returned. -EFAULT if a page of the range is not mapped (some regions may have been told by then); 0; or an error
 * from reading. Makes sentences.
 */
int regions_each(uintptr_t start, uintptr_t end, int (*each)(void *argument, const struct region *region), void *argument);

#endif
