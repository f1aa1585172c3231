/* SPDX-License-Identifier: MIT */
/* A crowd: threads that do the same until they are told to stop. */
#ifndef CROWD_H
#define CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dice.h"
#include "thread.h"

#define CROWD_MOST 128

struct crowd;

struct worker {
	struct crowd *crowd;
	size_t index;
	struct dice dice;
	uint64_t done; /* what the worker counts */
	struct thread thread;
};

struct crowd {
	void (*work)(struct worker *worker, void *argument);
	void *argument;
	size_t count;
	bool stop;
	struct worker workers[CROWD_MOST];
};

/* Start @count threads that run @work once each. */
void crowd_start(struct crowd *crowd, size_t count, struct dice *dice, void (*work)(struct worker *worker, void *argument),
		 void *argument);

/* For a worker: whether to go on. */
bool crowd_goes_on(const struct crowd *crowd);

/* Tell them to stop, and wait for them. The sum of what they counted. */
uint64_t crowd_stop(struct crowd *crowd);

/* Wait for them without telling. */
uint64_t crowd_join(struct crowd *crowd);

/* The sum of what has been counted until now. */
uint64_t crowd_done(const struct crowd *crowd);

/* For a worker: count one more. */
void worker_count(struct worker *worker);

#endif
