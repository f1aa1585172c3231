/* SPDX-License-Identifier: MIT */
/* What one way to copy or move memory did to one rate of writing, over some rounds; and the rows that are told of it. */
#ifndef OUTCOME_H
#define OUTCOME_H

#include "measure.h"
#include "writer.h"

/* What is copied or moved, and how it is written to meanwhile. */
struct setting {
	size_t length;
	bool huge;	 /* shared memory of huge pages of 2 MiB; private memory with transparent ones */
	bool sequential; /* writers go through the pages in order; or else at random */
	bool fresh;	 /* the destination has no pages yet; or else all */
	unsigned rounds;
};

#define RATES 3

extern const uint64_t rates[RATES];
extern const char *const rate_names[RATES];

enum { IDLE, MODEST, FULL };

struct outcome {
	struct series stall, p999; /* us: the longest write, and what 999 of 1000 stayed below */
	struct series per_second;  /* writes */
	struct series time;	   /* ms, until it was complete */
	struct series extra;	   /* MiB of memory at the peak, of the whole machine */
	struct series written;	   /* MiB of pages that were written to meanwhile, at most */
	uint64_t steps[WRITER_STEPS];
};

/* Measure @act(@argument) under a writer, and add to the outcome. @act says false: it cannot be done here. */
void outcome_measure(struct outcome *outcome, const struct setting *setting, char *address, uint64_t rate,
		     bool (*act)(void *argument), void *argument);

/* Tell of the medians. @noun: "copy" or "move". */
void outcome_tell(struct outcome *outcome, const char *noun, const struct setting *setting, const char *way, const char *rate);
void outcome_free(struct outcome *outcome);

/* Give points of the distribution of what writes took: us, and the share of writes that took longer. */
void outcome_points(const struct outcome *outcome, const char *curve);

/* Bytes that programs can still have. */
uint64_t memory_available(void);

#endif
