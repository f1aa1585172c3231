/* SPDX-License-Identifier: MIT */
/* What a copy or a move cost those who write. */
#include "outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB ((double)(1 << 20))

const uint64_t rates[RATES] = { 0, 10000, AS_FAST_AS_IT_GOES };
const char *const rate_names[RATES] = { "idle", "10,000 pages/s", "full speed" };

static void sleep_ms(long milliseconds)
{
	struct timespec pause = { .tv_nsec = milliseconds * 1000000 };

	nanosleep(&pause, NULL);
}

static double meminfo_kib(const char *field)
{
	FILE *file = fopen("/proc/meminfo", "re");
	size_t length = strlen(field);
	char line[128];
	double found = 0;

	must_errno(file, "/proc/meminfo");
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			found = strtod(line + length + 1, NULL);
	fclose(file);
	return found;
}

uint64_t memory_available(void)
{
	return (uint64_t)meminfo_kib("MemAvailable") * 1024;
}

/* Looks how much memory is free, from time to time. */
struct watch {
	pthread_t thread;
	_Atomic bool stop;
	double least; /* KiB */
};

static void *watch_memory(void *argument)
{
	struct watch *watch = argument;

	while (!atomic_load(&watch->stop)) {
		double now = meminfo_kib("MemFree");

		watch->least = now < watch->least ? now : watch->least;
		sleep_ms(5);
	}
	return NULL;
}

void outcome_measure(struct outcome *outcome, const struct setting *setting, char *address, uint64_t rate,
		     bool (*act)(void *argument), void *argument)
{
	struct watch watch = { .least = 1e18 };
	struct writer writer;
	double begin, before;
	bool done;

	writer_start(&writer, address, setting->length, rate, setting->sequential);
	sleep_ms(50);
	before = meminfo_kib("MemFree");
	must_errno(pthread_create(&watch.thread, NULL, watch_memory, &watch) == 0, "a thread");
	writer_reset(&writer);
	begin = now_us();
	done = act(argument);
	if (done) {
		series_add(&outcome->time, (now_us() - begin) / 1e3);
		series_add(&outcome->per_second, writer_per_second(&writer));
		series_add(&outcome->stall, writer_longest_us(&writer));
		series_add(&outcome->p999, writer_p999_us(&writer));
		series_add(&outcome->written, (double)writer_operations(&writer) * 4096 / MIB);
		writer_add_steps(&writer, outcome->steps);
	}
	writer_stop(&writer);
	atomic_store(&watch.stop, true);
	pthread_join(watch.thread, NULL);
	if (done)
		series_add(&outcome->extra, before > watch.least ? (before - watch.least) / 1024 : 0);
}

void outcome_tell(struct outcome *outcome, const char *noun, const struct setting *setting, const char *way, const char *rate)
{
	struct row row = {
		.noun = noun,
		.way = way,
		.rate = rate,
		.mib = (double)setting->length / MIB,
		.pages = setting->huge ? "2 MiB" : "4 KiB",
		.order = setting->sequential ? "sequential" : "random",
		.destination = setting->fresh ? "fresh" : "populated",
		.stall_us = series_median(&outcome->stall),
		.p999_us = series_median(&outcome->p999),
		.per_second = series_median(&outcome->per_second),
		.time_ms = series_median(&outcome->time),
		.extra_mib = series_median(&outcome->extra),
	};

	if (outcome->time.count)
		row_tell(&row);
}

void outcome_free(struct outcome *outcome)
{
	series_free(&outcome->stall);
	series_free(&outcome->p999);
	series_free(&outcome->per_second);
	series_free(&outcome->time);
	series_free(&outcome->extra);
	series_free(&outcome->written);
}

void outcome_points(const struct outcome *outcome, const char *curve)
{
	uint64_t all = 0, longer;

	for (unsigned i = 0; i < WRITER_STEPS; i++)
		all += outcome->steps[i];
	longer = all;
	for (unsigned i = 0; all && i < WRITER_STEPS && longer; i++) {
		if (outcome->steps[i])
			point(curve, writer_step_us(i), (double)longer / (double)all);
		longer -= outcome->steps[i];
	}
}
