/* SPDX-License-Identifier: MIT */
/* What the two jobs of the demo share. */
#ifndef DEMO_H
#define DEMO_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "clients.h"
#include "gauge.h"

struct mr_map;
struct mr_memory;

struct demo_options {
	uint64_t size; /* 0: what suits the machine, 1 GiB at most */
	double seconds;
	unsigned threads;
	bool json;
	const char *files[2]; /* NULL: the job on memory of its own */
	const char *nbd;      /* the URI of an export; NULL: no such job */
	bool write;	      /* to the export */
};

/* Set by SIGINT and SIGTERM: end early, with the table. */
extern volatile sig_atomic_t demo_interrupted;

/*
 * What the clients compare with. While an operation is under way, `sequence` is odd; when it has not changed over a look-up and is
 * even, that look-up must have found content `shown`.
 */
struct oracle {
	_Atomic uint64_t sequence;
	_Atomic unsigned shown;
};

void oracle_begin(struct oracle *oracle);
void oracle_end(struct oracle *oracle, unsigned shown);

/* What the oracle says after a look-up that began when @before was its sequence: 0: any content; else that one. */
unsigned oracle_verdict(struct oracle *oracle, uint64_t before);

/* The jobs; that on an export says so if this was built without libnbd. Return: an exit status. */
int demo_memory(const struct demo_options *options);
int demo_files(const struct demo_options *options);
int demo_nbd(const struct demo_options *options);

/* What a run has found. */
struct demo_result {
	struct stalls *kinds;
	unsigned kind_count;
	struct stalls raw;   /* mmap(MAP_FIXED) of the same size */
	struct stalls noise; /* while nothing was done */
	uint64_t size;
	uint64_t bytes_checked;
	uint64_t writes;
	uint64_t most_waiters;
	uint64_t errors;
	unsigned threads;
};

/* Print the table and free what is in it. Return: an exit status. */
int demo_report(struct demo_result *result, bool json);

/*
 * Measure what mmap(MAP_FIXED) of @size bytes costs @threads clients, between two files of memory: @raw, and @noise while nothing is
 * done. False: it cannot be done; a complaint says why.
 */
bool demo_measure_raw(uint64_t size, unsigned threads, double seconds, struct stalls *raw, struct stalls *noise);

#endif
