/* SPDX-License-Identifier: MIT */
/* What all stress tests share: how long, and which random numbers. */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stdint.h>

/* The seed of this run, printed when it is first asked for. MR_STRESS_SEED sets it. */
uint64_t stress_seed(void);

/* The next random number of a state that began with any number. */
uint64_t stress_random(uint64_t *state);

/* Begin to measure; whether the time of a test (MR_STRESS_SECONDS) is not over yet. */
double stress_begin(void);
bool stress_goes_on(double begin);

#endif
