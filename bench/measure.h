/* SPDX-License-Identifier: MIT */
/* What all figures share: a clock, medians, a client thread that is measured, and how a result is told. */
#ifndef MEASURE_H
#define MEASURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Microseconds of the monotonic clock. */
double now_us(void);

/* Ends the program with what the library says, or what errno says, when it is wrong. */
void must(int result, const char *what);
void must_errno(bool good, const char *what);

/* A series of measurements. */
struct series {
	double *values;
	size_t count;
	size_t room;
};

void series_add(struct series *series, double value);
double series_median(struct series *series);
void series_free(struct series *series);

/* A shared mapping's file of memory, resident. */
int memory_file(size_t length);

/* A client: writes to pages all over a range, in a tight loop; the longest gap between two accesses, and how many there were. */
struct client {
	pthread_t thread;
	char *address;
	size_t length;
	_Atomic bool stop;
	_Atomic uint64_t operations;
	_Atomic double gap; /* us, the longest since it was taken */
	double queued;	    /* us that it waited for a processor, which is left out */
	int schedstat;
};

void client_start(struct client *client, char *address, size_t length);
double client_take_gap(struct client *client);
void client_stop(struct client *client);

/* Operations in the next @microseconds. */
uint64_t client_count(struct client *client, double microseconds);

/*
 * A figure: ours against the raw primitive. @limit: what the ratio shall not exceed (@at_least: not fall short of). Printed as a row,
 * and as JSON at the end.
 */
void figure(const char *name, const char *unit, double ours, double raw, double limit, bool at_least);

/* A row: what one way to copy or move memory cost those who write, medians. Strings stay the caller's, and live on. */
struct row {
	const char *noun, *way, *rate, *pages, *order, *destination;
	double mib, stall_us, p999_us, per_second, time_ms, extra_mib;
};
void row_tell(const struct row *row);

/* A point of a curve, for the plots. */
void point(const char *curve, double x, double y);

/* Whether each result is told on standard error when it is there; it is, unless this says otherwise. */
void results_talk(bool talk);

/* Print the tables; print JSON; write @folder/results.json and @folder/CURVE.dat. */
void results_print(void);
void results_print_json(void);
void results_write(const char *folder);

/* The figures. @quick: fewer measurements. */
void bench_redirect(bool quick);
void bench_block(bool quick);
void bench_resume(bool quick);
void bench_small(bool quick);
void bench_maps(bool quick);
void bench_remote(bool quick);

#endif
