/* SPDX-License-Identifier: MIT */
/* What all stress tests share. */
#include "stress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kind.h"
#include "leak.h"
#include "sanitizer.h"
#include "suite.h"
#include "wait.h"

/* What a test may take besides its time. */
#define GRACE_SECONDS (SANITIZED ? 300 : 120)

static struct {
	const char *name;
	double end;
	double lap_end;
	double seconds;
	struct holdings before;
} run;

static double seconds_wanted(double otherwise)
{
	const char *text = getenv("MR_STRESS_SECONDS");
	double seconds = text ? strtod(text, NULL) : otherwise;

	return seconds > 0 ? seconds : otherwise;
}

static uint64_t seed_wanted(void)
{
	const char *text = getenv("MR_STRESS_SEED");
	struct timespec now;

	if (text)
		return strtoull(text, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) ^ (uint64_t)getpid() << 40;
}

static void on_alarm(int number)
{
	static const char message[] = "watchdog: the stress test did not end\n";

	(void)number;
	if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* An alarm, and behind it a signal that ends also a process whose threads all wait in the kernel. */
static void watch(unsigned seconds)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	struct itimerspec end = { .it_value.tv_sec = seconds + 10 };
	timer_t last_resort;

	signal(SIGALRM, on_alarm);
	alarm(seconds);
	if (timer_create(CLOCK_MONOTONIC, &event, &last_resort) || timer_settime(last_resort, 0, &end, NULL))
		abort();
}

struct dice stress_begin_for(const char *name, double seconds)
{
	uint64_t seed = seed_wanted();

	setvbuf(stdout, NULL, _IOLBF, 0);
	setenv("CMOCKA_TEST_ABORT", "1", 1); /* where a helper's assertion fails, there the test ends */
	run.name = name;
	run.seconds = seconds_wanted(seconds);
	printf("%s: MR_STRESS_SEED=%" PRIu64 ", %g s\n", name, seed, run.seconds);
	watch((unsigned)run.seconds + GRACE_SECONDS);
	features();
	kind_space = getenv("MR_STRESS_DRIVER") ? MR_MAP_DRIVER : 0;
	holdings_settle();
	holdings_take(&run.before);
	run.end = clock_now() + run.seconds;
	return (struct dice){ seed };
}

struct dice stress_begin(const char *name)
{
	return stress_begin_for(name, 5);
}

bool stress_goes_on(void)
{
	return clock_now() < run.end;
}

void stress_lap(double part)
{
	run.lap_end = clock_now() + run.seconds * part;
}

bool stress_lap_goes_on(void)
{
	return clock_now() < run.lap_end;
}

static bool is_lap_over(void *argument)
{
	(void)argument;
	return !stress_lap_goes_on();
}

/* wait_until gives up at its deadline, long laps are longer. */
void stress_lap_wait(void)
{
	while (!wait_until(is_lap_over, NULL))
		;
}

int stress_end(const char *format, ...)
{
	va_list arguments;

	if (!holdings_no_leak(&run.before)) {
		fprintf(stderr, "%s: something was left behind\n", run.name);
		return 1;
	}
	printf("%s: ", run.name);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	return 0;
}

int stress_skip(const char *missing)
{
	holdings_free(&run.before);
	return suite_skip(missing);
}

void stress_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;
	char sentence[512];

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s:%d: %s\n", file, line, sentence);
	_exit(1);
}

void stress_check_ok(int result, const char *call, const char *file, int line)
{
	if (result)
		stress_fail(file, line, "%s returned %d (%s): %s", call, result, strerror(abs(result)), mr_error());
}

uint64_t stress_free_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = 0;

	if (!file)
		abort();
	while (!kib && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) != 1)
			kib = 0;
	fclose(file);
	return kib * 1024;
}
