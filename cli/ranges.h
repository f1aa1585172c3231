/* SPDX-License-Identifier: MIT */
/* Ranges of a process's memory, as they are given on the command line: START-END, heap, all, all:MINSIZE. */
#ifndef RANGES_H
#define RANGES_H

#include <memredirect.h>

struct selection {
	uint64_t start, end;
	uint64_t least; /* of all: regions that are smaller are left out */
	bool heap, all;
	bool met; /* some region has been selected by it */
	const char *text;
};

/* What a word on the command line selects; "all" leaves out regions below @least. False: it is none. */
bool selection_parse(const char *text, uint64_t least, struct selection *ret_selection);

/* The part of a region that is selected by one of @count; false: none of it. No selections select all. */
bool selection_part(struct selection *selections, unsigned count, const struct mr_region *region, struct mr_range *ret_part);

#endif
