/* SPDX-License-Identifier: MIT */
/*
 * How a test program is made: a table of tests, each with a watchdog and a check for leaks around it.
 *
 *	program [KIND [PATTERN]]	KIND: the kind of memory, for programs whose tests run over kinds, or large:KIND for
 *					larger ones; "-" for other programs
 *					PATTERN: only the tests whose names match, for example '*signal*'
 *
 * Exit status: 0 all passed; 1 some failed; 77 skipped: something that all of them need is missing, and the output says what.
 */
#ifndef SUPPORT_SUITE_H
#define SUPPORT_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <memredirect.h>

#define SKIPPED 77

/* The kind of memory of this run. Only in programs that are started by suite_run_kind. */
extern const struct kind *suite_kind;

/* What a kind must have for a test to make sense with it; the others do not run that test. */
enum need {
	NEED_WRITABLE = 1,    /* clients may write through the map */
	NEED_SEEN = 2,	      /* the map shows what is written to the memory, and the other way round */
	NEED_DETACHED = 32,   /* it does not */
	NEED_OWN = 4,	      /* the map is not an adopted one */
	NEED_ADOPTED = 8,     /* it is */
	NEED_AGAIN = 16,      /* the memory can be mapped once more */
	NEED_LOCAL = 64,      /* the map is not the driver's, of which that does not hold (memredirect/driver.h) */
	NEED_INHERITED = 128, /* a child of fork has what the map showed */
};

#define TEST(function) cmocka_unit_test_setup_teardown(function, suite_begin, suite_end)
#define TEST_FOR(function, needs)                                                                                              \
	{                                                                                                                      \
#function, function, suite_begin, suite_end, (void *)(uintptr_t)(needs)                                        \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int suite_begin(void **state);
int suite_end(void **state);

int suite_run(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count);
int suite_run_kind(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count);

/* Say what is missing. Return: SKIPPED. */
int suite_skip(const char *missing);

/* What mr_features says, asked once. */
const struct mr_features *features(void);

/* The call returns 0. */
#define assert_ok(call) suite_check_ok(call, #call, __FILE__, __LINE__)

/* The call returns -@number, and mr_error has a sentence that starts with the function's name. */
#define assert_error(call, number) suite_check_error(call, number, #call, __FILE__, __LINE__)

/* The bytes at @address are the pattern @seed from @offset on. */
#define assert_pattern(address, offset, length, seed)                                                                          \
	assert_int_equal(pattern_mismatch(address, offset, length, seed), (uint64_t)(offset) + (uint64_t)(length))

/* The bytes of @memory are the pattern @seed. */
#define assert_memory_pattern(memory, seed) assert_int_equal(pattern_memory_mismatch(memory, seed), mr_memory_length(memory))

void suite_check_ok(int result, const char *call, const char *file, int line);
void suite_check_error(int result, int number, const char *call, const char *file, int line);

#endif
