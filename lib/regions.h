/* SPDX-License-Identifier: MIT */
/* The kernel's list of what is mapped in a task (/proc/PID/maps). */
#ifndef REGIONS_H
#define REGIONS_H

#include <stdbool.h>
#include <stdint.h>

struct mr_task;

struct region {
	uintptr_t start;
	uintptr_t end;
	uintptr_t whole_start; /* the mapping's own bounds, before it was cut to what was asked for */
	uintptr_t whole_end;
	uint64_t offset;
	uint64_t inode;	 /* 0: anonymous */
	uint64_t device; /* major and minor number, 32 bits each */
	int protection;	 /* PROT_… */
	bool shared;
	const char *name; /* a path, "[heap]", … or "" */
};

/* One line of a list of mappings. @ret_region->name points into it. False: it is none. */
bool region_parse(const char *line, struct region *ret_region);

/*
 * Call @each for every region of @task (NULL: this process) that has a page in [start, end), in order, cut to that range, until it returns non-zero, which is
 * then returned. -EFAULT if a page of the range is not mapped (some regions may have been told by then); 0; or an error
 * from reading. Makes sentences.
 */
int regions_each(const struct mr_task *task, uintptr_t start, uintptr_t end,
		 int (*each)(void *argument, const struct region *region), void *argument);

#endif
