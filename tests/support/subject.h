/* SPDX-License-Identifier: MIT */
/*
 * A process that others do things to, and that notices whatever is wrong: its threads check and change pages of their own, fork children
 * that check what they inherited, give pages back and expect zeroes, map and unmap, and wake each other.
 */
#ifndef SUPPORT_SUBJECT_H
#define SUPPORT_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "child.h"

#define SUBJECT_CHECKERS 2

/* What it tells, in memory that both have. */
struct subject_status {
	uint64_t length; /* of each mapping that it tells of */
	uint32_t stop;
	uint32_t wrong;			      /* the line of the first check that failed; 0: none */
	uint64_t beats[SUBJECT_CHECKERS + 4]; /* of its threads */
	uint64_t pages[SUBJECT_CHECKERS];     /* where the memory of checkers is: a mapping of its own each */
	uint64_t given_back;		      /* memory of which pages are given back now and then */
};

struct subject {
	struct child child;
	struct subject_status *status;
	uint64_t length; /* of each mapping that it tells of */
};

/* Start one whose mappings have @length bytes each. */
bool subject_start(struct subject *subject, uint64_t length);

/* Whether all its threads go on, within the deadline, and none has seen anything wrong. Says what is not so. */
bool subject_is_well(struct subject *subject);

/* Whether nothing of the library's is in it: no thread, no mapping, no code. Waits for that. */
bool subject_is_clean(struct subject *subject);

/* Kill it. */
void subject_abandon(struct subject *subject);

/* Let it end by itself, and check that it ended well. */
bool subject_end(struct subject *subject);

#endif
