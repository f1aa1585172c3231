/* SPDX-License-Identifier: MIT */
/* Every error of the calls that use memories: copies, prepare and complete, physical segments. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "refused.h"
#include "scene.h"

static struct mr_memory *buffer(uint64_t length, uint32_t options)
{
	struct mr_memory *made;

	assert_ok(mr_memory_new_buffer(length, options, &made));
	return made;
}

static void copy_past_the_end(void **state)
{
	struct mr_memory *whole = buffer(10000, 0);
	char bytes[4] = { 1, 1, 1, 1 };

	(void)state;
	assert_refused(mr_memory_read(whole, 9998, bytes, 3), ERANGE);
	assert_refused(mr_memory_read(whole, 10001, bytes, 0), ERANGE);
	assert_refused(mr_memory_read(whole, UINT64_MAX, bytes, 2), ERANGE);
	assert_refused(mr_memory_read(whole, 2, bytes, UINT64_MAX), ERANGE);
	assert_refused(mr_memory_write(whole, 9998, bytes, 3), ERANGE);
	assert_refused(mr_memory_write(whole, 10000, bytes, 1), ERANGE);
	assert_refused(mr_memory_write(whole, UINT64_MAX, bytes, 2), ERANGE);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(memory_word(whole, 9992), 0);
	mr_memory_unref(whole);
}

static void copy_to_read_only_memory(void **state)
{
	struct mr_memory *whole = buffer(100, MR_MEMORY_READ_ONLY);
	char byte = 1;

	(void)state;
	assert_refused(mr_memory_write(whole, 0, &byte, 1), EACCES);
	assert_int_equal(memory_word(whole, 0), 0);
	mr_memory_unref(whole);
}

static void copy_with_wrong_arguments(void **state)
{
	struct mr_memory *whole = buffer(100, 0);
	char byte = 1;

	(void)state;
	assert_refused(mr_memory_read(NULL, 0, &byte, 1), EINVAL);
	assert_refused(mr_memory_write(NULL, 0, &byte, 1), EINVAL);
	assert_refused(mr_memory_read(whole, 0, NULL, 1), EINVAL);
	assert_refused(mr_memory_write(whole, 0, NULL, 1), EINVAL);
	mr_memory_unref(whole);
}

/* A buffer that cannot be accessed, wholly or in part. (Where nothing is mapped, the library may map something itself.) */
static void copy_with_a_buffer_that_is_not_there(void **state)
{
	uint64_t page = page_size();
	char *address = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(address, MAP_FAILED);
	assert_int_equal(mprotect(address + 3 * page, page, PROT_NONE), 0);
	for (size_t i = 0; i < kind_count; i++) {
		struct sample sample;

		if (kind_missing(&kinds[i]))
			continue;
		sample_make(&sample, &kinds[i], kind_length(&kinds[i]), 1);
		assert_refused(mr_memory_read(sample.memory, 0, address + 3 * page, 8), EFAULT);
		assert_refused(mr_memory_read(sample.memory, 0, address + 2 * page, 2 * page), EFAULT);
		if (kind_writable(&kinds[i]))
			assert_refused(mr_memory_write(sample.memory, 0, address + 3 * page, 8), EFAULT);
		assert_memory_pattern(sample.memory, 1);
		sample_free(&sample);
	}
	munmap(address, 4 * page);
}

static void copy_of_a_truncated_file(void **state)
{
	int files[] = { memfd_with_pattern(8192, 1), disk_file_with_pattern(8192, 1) };

	(void)state;
	for (size_t i = 0; i < COUNT(files); i++) {
		struct mr_memory *made;
		char byte = 1;

		assert_ok(mr_memory_new_fd(files[i], 0, 8192, 0, &made));
		assert_int_equal(ftruncate(files[i], 4096), 0);
		assert_refused(mr_memory_read(made, 4096, &byte, 1), EFAULT);
		assert_refused(mr_memory_write(made, 5000, &byte, 1), EFAULT);
		assert_ok(mr_memory_read(made, 4095, &byte, 1));
		mr_memory_unref(made);
		close(files[i]);
	}
}

static void complete_without_prepare(void **state)
{
	struct mr_memory *whole = buffer(100, 0);

	(void)state;
	assert_refused(mr_memory_complete(whole), EINVAL);
	assert_refused(mr_memory_complete(NULL), EINVAL);
	assert_refused(mr_memory_prepare(NULL), EINVAL);
	assert_ok(mr_memory_prepare(whole));
	assert_ok(mr_memory_complete(whole));
	assert_refused(mr_memory_complete(whole), EINVAL);
	mr_memory_unref(whole);
}

/* As an ordinary user who may lock nothing, or little. */
static int prepare_with_limit(struct child *self, void *argument)
{
	const rlim_t allowed = *(const rlim_t *)argument;
	const struct rlimit limit = { allowed, allowed };
	struct mr_memory *large, *little;

	(void)self;
	assert_true(child_drop_privileges());
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	large = buffer(1 << 20, 0);
	little = buffer(1 << 14, 0);
	assert_refused(mr_memory_prepare(large), allowed ? ENOMEM : EPERM);
	assert_refused(mr_memory_complete(large), EINVAL);
	if (allowed)
		assert_ok(mr_memory_prepare(little));
	else
		assert_refused(mr_memory_prepare(little), EPERM);
	return 0;
}

static void prepare_beyond_the_lock_limit(void **state)
{
	rlim_t none = 0, some = 1 << 16;

	(void)state;
	assert_int_equal(child_run(prepare_with_limit, &none), 0);
	assert_int_equal(child_run(prepare_with_limit, &some), 0);
}

/* What was prepared counts against the limit until it is completed. */
static int prepare_twice(struct child *self, void *argument)
{
	const struct rlimit limit = { 3 << 15, 3 << 15 };
	struct mr_memory *first, *second;

	(void)self;
	(void)argument;
	assert_true(child_drop_privileges());
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	first = buffer(1 << 16, 0);
	second = buffer(1 << 16, 0);
	assert_ok(mr_memory_prepare(first));
	assert_refused(mr_memory_prepare(second), ENOMEM);
	assert_ok(mr_memory_complete(first));
	assert_ok(mr_memory_prepare(second));
	assert_ok(mr_memory_complete(second));
	return 0;
}

static void prepare_counts_against_the_lock_limit(void **state)
{
	(void)state;
	assert_int_equal(child_run(prepare_twice, NULL), 0);
}

static void physical_segment_of_wrong_arguments(void **state)
{
	struct mr_memory *whole = buffer(10000, 0);
	uint64_t address = 1, length = 2;

	(void)state;
	assert_ok(mr_memory_prepare(whole));
	assert_refused(mr_memory_physical_segment(NULL, 0, &address, &length), EINVAL);
	assert_refused(mr_memory_physical_segment(whole, 0, NULL, &length), EINVAL);
	assert_refused(mr_memory_physical_segment(whole, 0, &address, NULL), EINVAL);
	assert_refused(mr_memory_physical_segment(whole, 10000, &address, &length), ERANGE);
	assert_refused(mr_memory_physical_segment(whole, UINT64_MAX, &address, &length), ERANGE);
	assert_int_equal(address, 1);
	assert_int_equal(length, 2);
	mr_memory_unref(whole);
}

static void physical_segment_of_what_is_not_resident(void **state)
{
	struct mr_memory *whole = buffer(10000, 0);
	uint64_t address = 1, length = 2;

	(void)state;
	assert_refused(mr_memory_physical_segment(whole, 0, &address, &length), features()->frame_numbers ? ENODATA : EPERM);
	assert_int_equal(address, 1);
	assert_int_equal(length, 2);
	mr_memory_unref(whole);
}

static int ask_without_privileges(struct child *self, void *argument)
{
	uint64_t address = 1, length = 2;
	struct mr_memory *whole;

	(void)self;
	(void)argument;
	assert_true(child_drop_privileges());
	whole = buffer(10000, 0);
	assert_ok(mr_memory_prepare(whole));
	assert_refused(mr_memory_physical_segment(whole, 0, &address, &length), EPERM);
	assert_int_equal(address, 1);
	assert_int_equal(length, 2);
	return 0;
}

static void physical_segment_hidden_by_the_system(void **state)
{
	(void)state;
	assert_int_equal(child_run(ask_without_privileges, NULL), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(copy_past_the_end),
	TEST(copy_to_read_only_memory),
	TEST(copy_with_wrong_arguments),
	TEST(copy_with_a_buffer_that_is_not_there),
	TEST(copy_of_a_truncated_file),
	TEST(complete_without_prepare),
	TEST(prepare_beyond_the_lock_limit),
	TEST(prepare_counts_against_the_lock_limit),
	TEST(physical_segment_hidden_by_the_system),
	TEST(physical_segment_of_wrong_arguments),
	TEST(physical_segment_of_what_is_not_resident),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "errors of using memories", tests, COUNT(tests));
}
