/* SPDX-License-Identifier: MIT */
/*
 * The fuzz target without a fuzzer: random inputs for a time, or inputs from files.
 *
 *	fuzz-model [--seconds N] [--seed S]	random inputs; the seed is printed, and so is each input's number when it fails
 *	fuzz-model [--seed S] --input N		the input of that number alone, saying each call
 *	fuzz-model FILE…			these inputs, saying each call if there is one
 *
 * Exit status: 0 passed; 2 bad usage; ended by SIGABRT when anything is not as it must be.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "model.h"
#include "suite.h"
#include "target.h"
#include "wait.h"

#define MOST_BYTES 2048

static uint64_t seed;

/* The watchdog's grace for one input. */
#define INPUT_SECONDS 120

static uint64_t mix(uint64_t word)
{
	word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
	return word ^ word >> 31;
}

/* Bytes that the seed and the number determine. */
static void run_random(uint64_t number)
{
	static uint8_t bytes[MOST_BYTES];
	uint64_t state = mix(seed + mix(number + 1));
	size_t size = 64 + state % (MOST_BYTES - 64);

	for (size_t i = 0; i < size; i++) {
		state += UINT64_C(0x9e3779b97f4a7c15);
		bytes[i] = (uint8_t)mix(state);
	}
	alarm(INPUT_SECONDS);
	LLVMFuzzerTestOneInput(bytes, size);
	alarm(0);
}

static int run_for(double seconds)
{
	double end = clock_now() + seconds;
	uint64_t number = 0;

	do {
		fprintf(stderr, "\rinput %" PRIu64 " ", number);
		run_random(number++);
	} while (clock_now() < end);
	fprintf(stderr, "\n");
	printf("fuzz-model: %" PRIu64 " inputs\n", number);
	return 0;
}

static int run_file(const char *path)
{
	static uint8_t bytes[1 << 16];
	FILE *file = fopen(path, "rbe");
	size_t size;

	if (!file) {
		perror(path);
		return 2;
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	LLVMFuzzerTestOneInput(bytes, size);
	return 0;
}

static int run_files(char *const *paths, int count)
{
	int status = 0;

	model_verbose = count == 1;
	for (int i = 0; i < count && !status; i++)
		status = run_file(paths[i]);
	return status;
}

static uint64_t new_seed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "input", required_argument, NULL, 'i' },
		{ 0 },
	};
	const char *input = NULL;
	double seconds = 10;

	seed = new_seed();
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 's')
			seconds = strtod(optarg, NULL);
		else if (option == 'r')
			seed = strtoull(optarg, NULL, 0);
		else if (option == 'i')
			input = optarg;
		else
			return 2;
	}
	if (optind < argc)
		return run_files(argv + optind, argc - optind);
	printf("fuzz-model: --seed %" PRIu64 "\n", seed);
	fflush(stdout);
	if (!input)
		return run_for(seconds);
	model_verbose = true;
	run_random(strtoull(input, NULL, 0));
	return 0;
}
