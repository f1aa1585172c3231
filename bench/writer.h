/* SPDX-License-Identifier: MIT */
/* A thread that writes to pages of a range at a rate, and what its writes took. */
#ifndef WRITER_H
#define WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Eight steps an octave of nanoseconds. */
#define WRITER_STEPS 512

struct writer {
	pthread_t thread;
	char *address;
	size_t length;
	bool sequential; /* in order; or else at random */
	uint64_t rate;	 /* pages a second; 0: none; UINT64_MAX: as fast as it goes */
	_Atomic int stop;
	_Atomic uint64_t operations;
	_Atomic uint64_t longest; /* ns */
	_Atomic uint64_t steps[WRITER_STEPS];
	uint64_t begin; /* ns */
};

#define AS_FAST_AS_IT_GOES UINT64_MAX

void writer_start(struct writer *writer, char *address, size_t length, uint64_t rate, bool sequential);
void writer_stop(struct writer *writer);

/* Forget what was until now. */
void writer_reset(struct writer *writer);

/* Since then: the longest write in us, what 999 of 1000 writes stayed below, and how many there were in a second. */
double writer_longest_us(const struct writer *writer);
double writer_p999_us(const struct writer *writer);
double writer_per_second(const struct writer *writer);
uint64_t writer_operations(const struct writer *writer);

/* Add how many writes took so long, by steps; and the time of a step, in us. */
void writer_add_steps(const struct writer *writer, uint64_t steps[WRITER_STEPS]);
double writer_step_us(unsigned step);

#endif
