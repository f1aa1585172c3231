/* SPDX-License-Identifier: MIT */
/* An ELF core file of a task that stands still. */
#ifndef CORE_H
#define CORE_H

#include <memredirect.h>

#include "ranges.h"

struct core {
	pid_t pid; /* of the process that the copy is of */
	struct mr_task *copy;
	struct selection *selections;
	unsigned selection_count;
	bool shows_progress;

	/* What it came to. */
	uint64_t regions, threads;
	uint64_t length;  /* of the file */
	uint64_t written; /* bytes of memory that are not zero */
};

/* Write the core file to @fd, which can be sought in. False, having complained: it is not complete. */
bool core_write(struct core *core, int fd);

#endif
