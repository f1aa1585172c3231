/* SPDX-License-Identifier: MIT */
/* mr_error: one sentence for each failure, that starts with the function's name and names the offending value. */
#include <errno.h>
#include <string.h>

#include "kind.h"
#include "scene.h"
#include "suite.h"
#include "thread.h"

static void *see_no_sentence(void *argument)
{
	bool *empty = argument;

	*empty = mr_error() && !*mr_error();
	return NULL;
}

static void *fail_elsewhere(void *argument)
{
	struct mr_memory *memory;
	bool *good = argument;

	*good = mr_memory_new_fd(-5, 0, 1, 0, &memory) == -EBADF && !strncmp(mr_error(), "mr_memory_new_fd: ", 18);
	return NULL;
}

static void sentence_is_empty_at_first(void **state)
{
	struct thread thread;
	bool empty = false;

	(void)state;
	assert_true(thread_start(&thread, see_no_sentence, &empty));
	thread_join(&thread);
	assert_true(empty);
}

static void sentence_starts_with_the_function(void **state)
{
	struct mr_memory *memory;

	(void)state;
	assert_int_equal(mr_memory_new_buffer(0, 0, &memory), -EINVAL);
	assert_int_equal(strncmp(mr_error(), "mr_memory_new_buffer: ", 22), 0);
	assert_int_equal(mr_map_unmap(NULL), -EINVAL);
	assert_int_equal(strncmp(mr_error(), "mr_map_unmap: ", 14), 0);
	assert_int_equal(mr_features(NULL), -EINVAL);
	assert_int_equal(strncmp(mr_error(), "mr_features: ", 13), 0);
}

static void sentence_is_the_threads_own(void **state)
{
	struct mr_memory *memory;
	struct thread thread;
	bool good = false;

	(void)state;
	assert_error(mr_memory_new_buffer(0, 0, &memory), EINVAL);
	assert_true(thread_start(&thread, fail_elsewhere, &good));
	thread_join(&thread);
	assert_true(good);
	assert_int_equal(strncmp(mr_error(), "mr_memory_new_buffer: ", 22), 0);
}

static void sentence_survives_calls_that_succeed(void **state)
{
	struct mr_memory *memory;
	char before[512];

	(void)state;
	assert_error(mr_memory_new_buffer(0, 0, &memory), EINVAL);
	strncpy(before, mr_error(), sizeof(before) - 1);
	before[sizeof(before) - 1] = '\0';
	assert_ok(mr_memory_new_buffer(1, 0, &memory));
	mr_memory_unref(memory);
	assert_string_equal(mr_error(), before);
}

#define assert_says(text)                                                                                                      \
	do {                                                                                                                   \
		if (!strstr(mr_error(), text))                                                                                 \
			fail_msg("\"%s\" is not in the sentence \"%s\"", text, mr_error());                                    \
	} while (0)

static void sentence_names_the_value(void **state)
{
	struct mr_memory *memory = NULL;
	struct mr_map *map = NULL;
	struct scene scene;

	(void)state;
	assert_error(mr_memory_new_fd(-7, 0, 1, 0, &memory), EBADF);
	assert_says("-7");
	assert_error(mr_memory_new_buffer(1, 0x40, &memory), EINVAL);
	assert_says("0x40");
	assert_error(mr_memory_new_buffer(12345, MR_MEMORY_HUGE_2M, &memory), EINVAL);
	assert_says("12345");
	scene_make(&scene, kind_find("buffer"));
	assert_error(mr_memory_new_sub(scene.sample.memory, 54321, 98765, 0, &memory), ERANGE);
	assert_says("54321");
	assert_says("98765");
	assert_error(mr_memory_read(scene.sample.memory, 33333, &map, 4444), ERANGE);
	assert_says("33333");
	assert_error(mr_map_new(scene.sample.memory, NULL, NULL, MR_MAP_ANYWHERE | 0x80000000u, 0, 0, &map), EINVAL);
	assert_says("0x80000001");
	assert_error(mr_map_new(scene.sample.memory, NULL, NULL, MR_MAP_ANYWHERE, 77777777, 0, &map), ERANGE);
	assert_says("77777777");
	assert_error(mr_map_redirect(scene.map, scene.other.memory, 0x80, 0), EINVAL);
	assert_says("0x80");
	assert_error(mr_map_redirect(scene.map, scene.other.memory, 0, 4096), ERANGE);
	assert_says("4096");
	assert_error(mr_map_redirect(scene.map, NULL, 0, 1234), EINVAL);
	assert_says("1234");
	scene_free(&scene);
}

/* No line break, a good length, no address of nothing: something for a log. */
static void sentence_is_one_line(void **state)
{
	struct mr_memory *memory;

	(void)state;
	assert_error(mr_memory_new_buffer(UINT64_MAX, 0, &memory), ENOMEM);
	assert_null(strchr(mr_error(), '\n'));
	assert_in_range(strlen(mr_error()), 30, 400);
}

static const struct CMUnitTest tests[] = {
	TEST(sentence_is_empty_at_first),	    TEST(sentence_starts_with_the_function), TEST(sentence_is_the_threads_own),
	TEST(sentence_survives_calls_that_succeed), TEST(sentence_names_the_value),	     TEST(sentence_is_one_line),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "sentence", tests, COUNT(tests));
}
