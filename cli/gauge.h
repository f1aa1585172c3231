/* SPDX-License-Identifier: MIT */
/*
 * A gauge: the longest time between two ticks of a thread, and what such times were for each kind of operation.
 *
 * Time in which a thread could run, but another one had the processor, says nothing about memory, and is left out: the kernel
 * counts it for each thread (schedstat). Time in which a thread waits in a fault is counted.
 */
#ifndef GAUGE_H
#define GAUGE_H

#include <stdatomic.h>
#include <stdint.h>

struct gauge {
	_Atomic uint64_t longest; /* ns, since it was last taken */
	_Atomic uint64_t ticks;
	uint64_t last;
	uint64_t queued; /* ns, as it was last read */
	int schedstat;
};

/* By the thread that is measured: begin, tick after each access, end. */
void gauge_begin(struct gauge *gauge);
void gauge_end(struct gauge *gauge);
void gauge_tick(struct gauge *gauge);

/* By another thread: the longest gap since the last time; it begins anew. */
uint64_t gauge_take(struct gauge *gauge);

/* The stalls of one kind of operation. */
struct stalls {
	const char *name;
	uint64_t *times; /* ns */
	uint64_t count;
	uint64_t room;
};

void stalls_add(struct stalls *stalls, uint64_t time);
uint64_t stalls_longest(const struct stalls *stalls);
uint64_t stalls_median(struct stalls *stalls);
void stalls_free(struct stalls *stalls);

#endif
