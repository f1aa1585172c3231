/* SPDX-License-Identifier: MIT */
/*
 * What all stress tests share: a time to run, a seed, a watchdog, and the check that nothing was left behind.
 *
 *	MR_STRESS_SECONDS	how long each runs; 5 unless told
 *	MR_STRESS_DRIVER	set: over maps of the driver's
 *	MR_STRESS_SEED		the seed, as an earlier run has printed it; else a new one
 *
 * Exit status: 0 passed; 1 failed, and the output says what; 77 skipped.
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stdint.h>

#include <memredirect.h>

#include "dice.h"

/* Print the seed, start the watchdog, take stock of what the process holds. The dice of the main thread. */
struct dice stress_begin(const char *name);

/* The same for a test that is to run for longer than the 5 seconds of others, unless MR_STRESS_SECONDS says. */
struct dice stress_begin_for(const char *name, double seconds);

/* Whether there is time left. */
bool stress_goes_on(void);

/* Begin with a part of the time, 0 to 1; whether it is not up yet. For tests that take a while to set up. */
void stress_lap(double part);
bool stress_lap_goes_on(void);

/* Let others work until it is up. */
void stress_lap_wait(void);

/* Check that nothing was left behind, and say what was done. Return: the exit status. */
int stress_end(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Leave early: this machine lacks something. */
int stress_skip(const char *missing);

/* End the process as failed, from any thread. */
void stress_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));

#define require(condition, ...)                                                                                                \
	do {                                                                                                                   \
		if (!(condition))                                                                                              \
			stress_fail(__FILE__, __LINE__, __VA_ARGS__);                                                          \
	} while (0)

#define require_ok(call) stress_check_ok(call, #call, __FILE__, __LINE__)

void stress_check_ok(int result, const char *call, const char *file, int line);

/* Bytes that can be had without swapping. */
uint64_t stress_free_memory(void);

#endif
