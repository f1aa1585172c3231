/* SPDX-License-Identifier: MIT */
/* How a test program is made. */
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kind.h"
#include "leak.h"
#include "sanitizer.h"

#define WATCHDOG_SECONDS (SANITIZED ? 240 : 90)

const struct kind *suite_kind;

static struct holdings before;
static timer_t last_resort;
static bool has_last_resort;

const struct mr_features *features(void)
{
	static struct mr_features here;

	if (!here.page_size && mr_features(&here))
		abort();
	return &here;
}

static void on_alarm(int number)
{
	static const char message[] = "watchdog: the test that runs now took too long\n";

	(void)number;
	if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* An alarm, and behind it a signal that ends also a process whose threads all wait in the kernel. */
static void watchdog_set(unsigned seconds)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	struct itimerspec end = { .it_value.tv_sec = seconds ? seconds + 10 : 0 };

	signal(SIGALRM, on_alarm);
	alarm(seconds);
	if (!has_last_resort)
		has_last_resort = timer_create(CLOCK_MONOTONIC, &event, &last_resort) == 0;
	if (has_last_resort)
		timer_settime(last_resort, 0, &end, NULL);
}

int suite_begin(void **state)
{
	(void)state;
	watchdog_set(WATCHDOG_SECONDS);
	holdings_settle();
	holdings_take(&before);
	return 0;
}

int suite_end(void **state)
{
	bool clean = holdings_no_leak(&before);

	(void)state;
	watchdog_set(0);
	if (!clean)
		fprintf(stderr, "the test left something behind\n");
	return clean ? 0 : -1;
}

int suite_skip(const char *missing)
{
	printf("skipped: %s is missing here\n", missing);
	return SKIPPED;
}

static int run(const char *pattern, const char *name, const struct CMUnitTest *tests, size_t count)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pattern)
		cmocka_set_test_filter(pattern);
	return _cmocka_run_group_tests(name, tests, count, NULL, NULL) ? 1 : 0;
}

static bool kind_has(const struct kind *kind, uintptr_t needs)
{
	return !((needs & NEED_WRITABLE && !kind_writable(kind)) || (needs & NEED_SEEN && kind->detached) ||
		 (needs & NEED_DETACHED && !kind->detached) || (needs & NEED_OWN && kind->adopted) ||
		 (needs & NEED_ADOPTED && !kind->adopted) || (needs & NEED_AGAIN && kind->singular) ||
		 (needs & NEED_LOCAL && kind_space) || (needs & NEED_INHERITED && kind->stays));
}

/* The tests that make sense with the kind. */
static int run_for_kind(const char *pattern, const char *name, const struct CMUnitTest *tests, size_t count)
{
	struct CMUnitTest *chosen = calloc(count, sizeof(*chosen));
	size_t chosen_count = 0;
	int failed;

	if (!chosen)
		abort();
	for (size_t i = 0; i < count; i++)
		if (kind_has(suite_kind, (uintptr_t)tests[i].initial_state))
			chosen[chosen_count++] = tests[i];
	failed = run(pattern, name, chosen, chosen_count);
	free(chosen);
	return failed;
}

int suite_run(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count)
{
	return run(argc > 2 ? argv[2] : NULL, name, tests, count);
}

/* Whether @name begins with @prefix, which it then is without. */
static bool take_prefix(const char **name, const char *prefix)
{
	size_t length = strlen(prefix);

	if (strncmp(*name, prefix, length) != 0)
		return false;
	*name += length;
	return true;
}

static const struct kind *find_kind(const char *name)
{
	kind_space = take_prefix(&name, "driver:") ? MR_MAP_DRIVER : 0;
	kind_large = take_prefix(&name, "large:");
	return kind_find(name);
}

int suite_run_kind(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count)
{
	char full_name[128];
	const char *missing;

	suite_kind = argc > 1 ? find_kind(argv[1]) : NULL;
	if (!suite_kind) {
		fprintf(stderr, "usage: %s [driver:][large:]KIND [PATTERN]; the kinds are:", argv[0]);
		for (size_t i = 0; i < kind_count; i++)
			fprintf(stderr, " %s", kinds[i].name);
		fprintf(stderr, "\n");
		return 2;
	}
	missing = kind_missing(suite_kind);
	if (missing)
		return suite_skip(missing);
	snprintf(full_name, sizeof(full_name), "%s over %s%s%s", name, kind_large ? "large " : "", suite_kind->name,
		 kind_space ? ", by the driver" : "");
	return run_for_kind(argc > 2 ? argv[2] : NULL, full_name, tests, count);
}

void suite_check_ok(int result, const char *call, const char *file, int line)
{
	if (!result)
		return;
	print_error("%s returned %d (%s) instead of 0; mr_error: %s\n", call, result, strerror(abs(result)), mr_error());
	_fail(file, line);
}

/* The sentence begins with the name of the call, which ends at its parenthesis, and goes on. */
static bool has_sentence(const char *call)
{
	const char *sentence = mr_error(), *from = call + (*call == '('); /* a name in parentheses is no macro */
	size_t name = strcspn(from, "()");

	return !strncmp(sentence, from, name) && !strncmp(sentence + name, ": ", 2) && strlen(sentence) > name + 8;
}

void suite_check_error(int result, int number, const char *call, const char *file, int line)
{
	if (result != -number) {
		print_error("%s returned %d (%s) instead of %d (%s); mr_error: %s\n", call, result, strerror(abs(result)),
			    -number, strerror(number), mr_error());
		_fail(file, line);
	}
	if (has_sentence(call))
		return;
	print_error("after %s mr_error does not start with the function's name: \"%s\"\n", call, mr_error());
	_fail(file, line);
}
