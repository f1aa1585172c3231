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

/*
 * What @count words on the command line of @verb select; "all" leaves out regions below @least. STATUS_DONE, and then the caller frees
 * them; else what is wrong has been told of.
 */
int selections_parse(const char *verb, char **words, unsigned count, uint64_t least, struct selection **ret_selections);

/* Whether the region, or a part of it, is selected by its addresses. */
bool selections_name(const struct selection *selections, unsigned count, const struct mr_region *region);

/* Whether each has selected something; one that has not is told of. */
bool selections_are_met(const struct selection *selections, unsigned count);

/* The part of a region that is selected by one of @count; false: none of it. No selections select all. */
bool selection_part(struct selection *selections, unsigned count, const struct mr_region *region, struct mr_range *ret_part);

#endif
