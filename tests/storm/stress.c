/* SPDX-License-Identifier: MIT */
/* How long, and which random numbers. */
#include "stress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wait.h"

#define DEFAULT_SECONDS 2.0

uint64_t stress_seed(void)
{
	static uint64_t seed;
	const char *given = getenv("MR_STRESS_SEED");

	if (seed)
		return seed;
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)(clock_now() * 1e9) | 1;
	printf("# MR_STRESS_SEED=%" PRIu64 "\n", seed);
	return seed;
}

uint64_t stress_random(uint64_t *state)
{
	uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);

	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

double stress_begin(void)
{
	return clock_now();
}

bool stress_goes_on(double begin)
{
	const char *given = getenv("MR_STRESS_SECONDS");

	return clock_now() - begin < (given ? atof(given) : DEFAULT_SECONDS);
}
