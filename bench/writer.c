/* SPDX-License-Identifier: MIT */
/* A thread that writes to pages at a rate. */
#include "writer.h"

#include <string.h>
#include <time.h>

#include "measure.h"

#define PAGE 4096

/* What is written between two sleeps, at a rate. */
#define BATCH 10

/* How often one that never writes looks whether it is to stop. */
#define IDLE_NS 1000000

static uint64_t now_ns(void)
{
	return (uint64_t)(now_us() * 1e3);
}

static unsigned step_of(uint64_t ns)
{
	unsigned octave = 63 - (unsigned)__builtin_clzll(ns | 8);

	return octave * 8 + (unsigned)(ns >> (octave - 3) & 7);
}

static void note(struct writer *writer, uint64_t ns)
{
	atomic_fetch_add_explicit(&writer->operations, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&writer->steps[step_of(ns)], 1, memory_order_relaxed);
	if (ns > atomic_load_explicit(&writer->longest, memory_order_relaxed))
		atomic_store_explicit(&writer->longest, ns, memory_order_relaxed);
}

/* Not at all, if that is past: who was held up makes up for it. */
static void sleep_until(uint64_t ns)
{
	struct timespec at = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Wait until the next batch is due, or, idle, for a while. */
static void keep_rate(uint64_t rate, uint64_t *due)
{
	*due = rate ? *due + BATCH * UINT64_C(1000000000) / rate : now_ns() + IDLE_NS;
	sleep_until(*due);
}

static void *run(void *argument)
{
	struct writer *writer = argument;
	uint64_t random = 88172645463325252u, pages = writer->length / PAGE, next = 0, due = now_ns();
	unsigned done = 0;

	while (!atomic_load_explicit(&writer->stop, memory_order_relaxed)) {
		uint64_t before;

		if (writer->rate != AS_FAST_AS_IT_GOES && done++ % BATCH == 0)
			keep_rate(writer->rate, &due);
		if (!writer->rate)
			continue;
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		next = writer->sequential ? (next + 1) % pages : random % pages;
		before = now_ns();
		((volatile uint64_t *)writer->address)[next * (PAGE / 8)] = random;
		note(writer, now_ns() - before);
	}
	return NULL;
}

void writer_start(struct writer *writer, char *address, size_t length, uint64_t rate, bool sequential)
{
	memset(writer, 0, sizeof(*writer));
	writer->address = address;
	writer->length = length;
	writer->rate = rate;
	writer->sequential = sequential;
	writer->begin = now_ns();
	must_errno(pthread_create(&writer->thread, NULL, run, writer) == 0, "a writer");
}

void writer_stop(struct writer *writer)
{
	atomic_store(&writer->stop, 1);
	pthread_join(writer->thread, NULL);
}

void writer_reset(struct writer *writer)
{
	for (unsigned i = 0; i < WRITER_STEPS; i++)
		atomic_store(&writer->steps[i], 0);
	atomic_store(&writer->operations, 0);
	atomic_store(&writer->longest, 0);
	writer->begin = now_ns();
}

double writer_longest_us(const struct writer *writer)
{
	return (double)atomic_load(&writer->longest) / 1e3;
}

double writer_p999_us(const struct writer *writer)
{
	uint64_t all = atomic_load(&writer->operations), seen = 0;
	unsigned step = 0;

	while (step < WRITER_STEPS - 1 && (seen += atomic_load(&writer->steps[step])) < all - all / 1000)
		step++;
	return all ? writer_step_us(step) : 0;
}

double writer_step_us(unsigned step)
{
	return (double)((uint64_t)(8 + step % 8) << step / 8) / 8 / 1e3;
}

void writer_add_steps(const struct writer *writer, uint64_t steps[WRITER_STEPS])
{
	for (unsigned i = 0; i < WRITER_STEPS; i++)
		steps[i] += atomic_load(&writer->steps[i]);
}

uint64_t writer_operations(const struct writer *writer)
{
	return atomic_load(&writer->operations);
}

double writer_per_second(const struct writer *writer)
{
	return (double)atomic_load(&writer->operations) * 1e9 / (double)(now_ns() - writer->begin);
}
