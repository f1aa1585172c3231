/* SPDX-License-Identifier: MIT */
/* A thread that writes to random pages at a rate. */
#include "writer.h"

#include <string.h>
#include <time.h>

#include "measure.h"

#define PAGE 4096

/* What is written between two sleeps, at a rate. */
#define BATCH 10

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

static void sleep_for(double us)
{
	struct timespec pause = { .tv_sec = (time_t)(us / 1e6), .tv_nsec = (long)(us * 1e3) % 1000000000 };

	nanosleep(&pause, NULL);
}

static void *run(void *argument)
{
	struct writer *writer = argument;
	uint64_t random = 88172645463325252u;

	while (!atomic_load_explicit(&writer->stop, memory_order_relaxed)) {
		uint64_t before;

		if (writer->rate != AS_FAST_AS_IT_GOES &&
		    atomic_load_explicit(&writer->operations, memory_order_relaxed) % BATCH == 0)
			sleep_for(writer->rate ? BATCH * 1e6 / (double)writer->rate : 1e3);
		if (!writer->rate)
			continue;
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		before = now_ns();
		((volatile uint64_t *)writer->address)[random % (writer->length / PAGE) * (PAGE / 8)] = random;
		note(writer, now_ns() - before);
	}
	return NULL;
}

void writer_start(struct writer *writer, char *address, size_t length, uint64_t rate)
{
	memset(writer, 0, sizeof(*writer));
	writer->address = address;
	writer->length = length;
	writer->rate = rate;
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
	return all ? (double)((uint64_t)(8 + step % 8) << step / 8) / 8 / 1e3 : 0;
}

double writer_per_second(const struct writer *writer)
{
	return (double)atomic_load(&writer->operations) * 1e9 / (double)(now_ns() - writer->begin);
}
