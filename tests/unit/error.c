/* SPDX-License-Identifier: MIT */
/* The sentence of the last failure: how it is composed, how long it can be, whose it is. */
#include <errno.h>
#include <string.h>

#include "suite.h"
#include "thread.h"

#undef fail /* cmocka's */
#include "error.h"

static void begins_with_the_call(void **state)
{
	(void)state;
	error_call("mr_some_call");
	assert_int_equal(fail(-EINVAL, "offset %d is odd", 7), -EINVAL);
	assert_string_equal(mr_error(), "mr_some_call: offset 7 is odd");
}

static void ends_with_the_system(void **state)
{
	(void)state;
	error_call("mr_some_call");
	assert_int_equal(fail_system(-ENOENT, "file %s", "x"), -ENOENT);
	assert_string_equal(mr_error(), "mr_some_call: file x: No such file or directory");
}

/* What the first failure was, the last one replaces; a call alone does not. */
static void keeps_the_last(void **state)
{
	(void)state;
	error_call("mr_first");
	(void)fail(-EINVAL, "a");
	error_call("mr_second");
	assert_string_equal(mr_error(), "mr_first: a");
	(void)fail(-ERANGE, "b");
	assert_string_equal(mr_error(), "mr_second: b");
}

/* However long the words are, the sentence ends somewhere, and there. */
static void is_cut(void **state)
{
	char words[2000];

	(void)state;
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	error_call("mr_long");
	assert_int_equal(fail(-EINVAL, "%s", words), -EINVAL);
	assert_in_range(strlen(mr_error()), 100, sizeof(words) - 1);
	assert_int_equal(strncmp(mr_error(), "mr_long: www", 12), 0);
	assert_int_equal(fail_system(-ENOMEM, "%s", words), -ENOMEM);
	assert_in_range(strlen(mr_error()), 100, sizeof(words) - 1);
	assert_int_equal(mr_error()[strlen(mr_error()) - 1], 'w');
}

static void *look_and_fail(void *argument)
{
	bool *empty = argument;

	*empty = !strcmp(mr_error(), "");
	error_call("mr_other");
	(void)fail(-EPERM, "elsewhere");
	return NULL;
}

static void is_of_the_thread(void **state)
{
	struct thread thread;
	bool empty = false;

	(void)state;
	error_call("mr_here");
	(void)fail(-EINVAL, "here");
	assert_true(thread_start(&thread, look_and_fail, &empty));
	thread_join(&thread);
	assert_true(empty);
	assert_string_equal(mr_error(), "mr_here: here");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(begins_with_the_call), TEST(ends_with_the_system), TEST(keeps_the_last), TEST(is_cut),
		TEST(is_of_the_thread),
	};

	return suite_run(argc, argv, "error", tests, COUNT(tests));
}
