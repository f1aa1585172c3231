/* SPDX-License-Identifier: MIT */
/* Every error of the calls that make and use memories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "refused.h"
#include "scene.h"
#include "victim.h"

static struct mr_memory *memory;

static int untouched(void **state)
{
	int error = suite_begin(state);

	memory = UNTOUCHED;
	return error;
}

static int still_untouched(void **state)
{
	int error = suite_end(state);

	return memory == UNTOUCHED ? error : -1;
}

static struct mr_memory *buffer(uint64_t length, uint32_t options)
{
	struct mr_memory *made;

	assert_ok(mr_memory_new_buffer(length, options, &made));
	return made;
}

static void new_buffer_unknown_options(void **state)
{
	const uint32_t known = MR_MEMORY_READ_ONLY | MR_MEMORY_HUGE_2M | MR_MEMORY_HUGE_1G;

	(void)state;
	for (int bit = 0; bit < 32; bit++)
		if (!(known & UINT32_C(1) << bit))
			assert_refused(mr_memory_new_buffer(4096, UINT32_C(1) << bit, &memory), EINVAL);
}

static void new_buffer_null_result(void **state)
{
	(void)state;
	assert_refused(mr_memory_new_buffer(4096, 0, NULL), EINVAL);
}

static void new_buffer_length_0(void **state)
{
	(void)state;
	assert_refused(mr_memory_new_buffer(0, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_buffer(0, MR_MEMORY_HUGE_2M, &memory), EINVAL);
}

static void new_buffer_not_a_multiple_of_the_huge_page(void **state)
{
	(void)state;
	assert_refused(mr_memory_new_buffer(4096, MR_MEMORY_HUGE_2M, &memory), EINVAL);
	assert_refused(mr_memory_new_buffer(HUGE_PAGE + 1, MR_MEMORY_HUGE_2M, &memory), EINVAL);
	assert_refused(mr_memory_new_buffer(HUGE_PAGE, MR_MEMORY_HUGE_1G, &memory), EINVAL);
}

static void new_buffer_of_both_huge_pages(void **state)
{
	(void)state;
	assert_refused(mr_memory_new_buffer(UINT64_C(1) << 30, MR_MEMORY_HUGE_2M | MR_MEMORY_HUGE_1G, &memory), EINVAL);
}

/* More than any machine has. */
static void new_buffer_without_enough_huge_pages(void **state)
{
	(void)state;
	assert_refused(mr_memory_new_buffer(UINT64_C(1) << 46, MR_MEMORY_HUGE_2M, &memory), ENOMEM);
	assert_refused(mr_memory_new_buffer(UINT64_C(1) << 46, MR_MEMORY_HUGE_1G, &memory), ENOMEM);
}

static void new_buffer_longer_than_a_file(void **state)
{
	(void)state;
	assert_refused(mr_memory_new_buffer(UINT64_MAX, 0, &memory), ENOMEM);
	assert_refused(mr_memory_new_buffer((uint64_t)INT64_MAX + 1, 0, &memory), ENOMEM);
}

/* In a child that has all the descriptors that it may have. */
static int use_up_descriptors(struct child *self, void *argument)
{
	const struct rlimit limit = { 64, 64 };
	int fd = memfd_with_pattern(4096, 1);

	(void)self;
	(void)argument;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (dup(fd) >= 0)
		;
	assert_int_equal(errno, EMFILE);
	assert_error(mr_memory_new_buffer(4096, 0, &memory), EMFILE);
	assert_error(mr_memory_new_fd(fd, 0, 4096, 0, &memory), EMFILE);
	assert_ptr_equal(memory, UNTOUCHED);
	return 0;
}

static void new_without_a_descriptor_left(void **state)
{
	(void)state;
	assert_int_equal(child_run(use_up_descriptors, NULL), 0);
}

static void new_fd_unknown_options(void **state)
{
	int fd = memfd_with_pattern(4096, 1);

	(void)state;
	for (int bit = 1; bit < 32; bit++)
		assert_refused(mr_memory_new_fd(fd, 0, 4096, UINT32_C(1) << bit, &memory), EINVAL);
	close(fd);
}

static void new_fd_null_result(void **state)
{
	int fd = memfd_with_pattern(4096, 1);

	(void)state;
	assert_refused(mr_memory_new_fd(fd, 0, 4096, 0, NULL), EINVAL);
	close(fd);
}

static void new_fd_not_open(void **state)
{
	int fd = memfd_with_pattern(4096, 1);

	(void)state;
	close(fd);
	assert_refused(mr_memory_new_fd(fd, 0, 4096, 0, &memory), EBADF);
	assert_refused(mr_memory_new_fd(-1, 0, 4096, 0, &memory), EBADF);
}

static void new_fd_open_as_a_path_alone(void **state)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_refused(mr_memory_new_fd(fd, 0, 4096, MR_MEMORY_READ_ONLY, &memory), EBADF);
	close(fd);
}

static void new_fd_length_0(void **state)
{
	int fd = memfd_with_pattern(4096, 1);

	(void)state;
	assert_refused(mr_memory_new_fd(fd, 0, 0, 0, &memory), EINVAL);
	close(fd);
}

static void past_the_end(int fd)
{
	assert_refused(mr_memory_new_fd(fd, 0, 5001, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_fd(fd, 5000, 1, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_fd(fd, 1, 5000, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_fd(fd, UINT64_C(1) << 40, 1, 0, &memory), EINVAL);
	close(fd);
}

static void new_fd_past_the_end_of_a_file(void **state)
{
	(void)state;
	past_the_end(memfd_with_pattern(5000, 1));
	past_the_end(disk_file_with_pattern(5000, 1));
}

static void new_fd_of_an_empty_file(void **state)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_refused(mr_memory_new_fd(fd, 0, 1, 0, &memory), EINVAL);
	close(fd);
}

static void new_fd_without_the_access_asked_for(void **state)
{
	int both = disk_file_with_pattern(4096, 1), reading = reopen_read_only(both), writing;
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", both);
	writing = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(both >= 0 && reading >= 0 && writing >= 0);
	assert_refused(mr_memory_new_fd(reading, 0, 4096, 0, &memory), EACCES);
	assert_refused(mr_memory_new_fd(writing, 0, 4096, 0, &memory), EACCES);
	assert_refused(mr_memory_new_fd(writing, 0, 4096, MR_MEMORY_READ_ONLY, &memory), EACCES);
	close(both);
	close(reading);
	close(writing);
}

static void new_fd_sealed_against_writing(void **state)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct mr_memory *made;

	(void)state;
	assert_true(fd >= 0 && ftruncate(fd, 4096) == 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_refused(mr_memory_new_fd(fd, 0, 4096, 0, &memory), EACCES);
	if (mr_memory_new_fd(fd, 0, 4096, MR_MEMORY_READ_ONLY, &made) == 0)
		mr_memory_unref(made);
	close(fd);
}

static void new_fd_longer_than_a_file_can_be(void **state)
{
	int fd = memfd_with_pattern(4096, 1);

	(void)state;
	assert_refused(mr_memory_new_fd(fd, UINT64_MAX, 2, 0, &memory), EOVERFLOW);
	assert_refused(mr_memory_new_fd(fd, 1, UINT64_MAX, 0, &memory), EOVERFLOW);
	assert_refused(mr_memory_new_fd(fd, INT64_MAX, 1, 0, &memory), EOVERFLOW);
	close(fd);
}

static void new_fd_of_what_cannot_be_mapped(void **state)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ends[2], sockets[2];

	(void)state;
	assert_true(folder >= 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_refused(mr_memory_new_fd(folder, 0, 4096, MR_MEMORY_READ_ONLY, &memory), ENODEV);
	assert_refused(mr_memory_new_fd(ends[0], 0, 4096, MR_MEMORY_READ_ONLY, &memory), ENODEV);
	assert_refused(mr_memory_new_fd(sockets[0], 0, 4096, 0, &memory), ENODEV);
	close(folder);
	close(ends[0]);
	close(ends[1]);
	close(sockets[0]);
	close(sockets[1]);
}

/* Five pages, of which the fourth is not mapped. */
static char *pages_with_a_gap(void)
{
	uint64_t page = page_size();
	char *address = mmap(NULL, 5 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(address, MAP_FAILED);
	assert_int_equal(munmap(address + 3 * page, page), 0);
	return address;
}

static void free_pages_with_a_gap(char *address)
{
	munmap(address, 3 * page_size());
	munmap(address + 4 * page_size(), page_size());
}

static void new_ranges_not_mapped(void **state)
{
	uint64_t page = page_size();
	char *address = pages_with_a_gap();
	struct mr_range ranges[] = { { (uintptr_t)address, page }, { 0, 0 } };
	const struct mr_range bad[] = { { (uintptr_t)address + 3 * page, page },	 { (uintptr_t)address + 2 * page, page + 1 },
					{ (uintptr_t)address + 4 * page - 1, page }, { (uintptr_t)address, 5 * page },
					{ 0, 1 },				 { UINT64_MAX - 8191, 4096 },
					{ UINT64_MAX - 10, 100 } };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		ranges[1] = bad[i];
		assert_refused(mr_memory_new_ranges(NULL, &bad[i], 1, 0, &memory), EFAULT);
		assert_refused(mr_memory_new_ranges(NULL, ranges, 2, 0, &memory), EFAULT);
	}
	free_pages_with_a_gap(address);
}

static void new_ranges_empty(void **state)
{
	int here = 1;
	const struct mr_range ranges[] = { { (uintptr_t)&here, sizeof(here) }, { (uintptr_t)&here, 0 } };

	(void)state;
	assert_refused(mr_memory_new_ranges(NULL, ranges, 0, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_ranges(NULL, NULL, 1, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_ranges(NULL, ranges, 2, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_ranges(NULL, &ranges[1], 1, 0, &memory), EINVAL);
}

static void new_ranges_unknown_options_and_null_result(void **state)
{
	int here = 1;
	const struct mr_range range = { (uintptr_t)&here, sizeof(here) };

	(void)state;
	for (int bit = 1; bit < 32; bit++)
		assert_refused(mr_memory_new_ranges(NULL, &range, 1, UINT32_C(1) << bit, &memory), EINVAL);
	assert_refused(mr_memory_new_ranges(NULL, &range, 1, 0, NULL), EINVAL);
}

static void new_ranges_without_the_access(void **state)
{
	uint64_t page = page_size();
	char *address = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct mr_range whole = { (uintptr_t)address, 3 * page };

	(void)state;
	assert_ptr_not_equal(address, MAP_FAILED);
	assert_int_equal(mprotect(address + page, page, PROT_READ), 0);
	assert_refused(mr_memory_new_ranges(NULL, &whole, 1, 0, &memory), EACCES);
	assert_int_equal(mprotect(address + page, page, PROT_NONE), 0);
	assert_refused(mr_memory_new_ranges(NULL, &whole, 1, 0, &memory), EACCES);
	assert_refused(mr_memory_new_ranges(NULL, &whole, 1, MR_MEMORY_READ_ONLY, &memory), EACCES);
	munmap(address, 3 * page);
}

static void new_ranges_in_a_blocked_map(void **state)
{
	struct mr_range range;
	struct scene scene;

	(void)state;
	scene_make(&scene, kind_find("buffer"));
	scene_block(&scene);
	range = (struct mr_range){ (uintptr_t)scene.address + page_size(), page_size() };
	assert_refused(mr_memory_new_ranges(NULL, &range, 1, 0, &memory), EBUSY);
	assert_true(mr_map_is_blocked(scene.map));
	scene_free(&scene);
}

static void new_ranges_of_too_many_bytes(void **state)
{
	struct mr_range ranges[] = { { 4096, INT64_MAX - 8192 }, { 4096, INT64_MAX - 8192 } };

	(void)state;
	assert_refused(mr_memory_new_ranges(NULL, ranges, 2, 0, &memory), EOVERFLOW);
}

static void new_multi_of_nothing(void **state)
{
	struct mr_memory *part = buffer(4096, 0), *parts[] = { part, NULL };

	(void)state;
	assert_refused(mr_memory_new_multi(parts, 0, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_multi(NULL, 1, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_multi(parts, 2, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_multi(parts, 1, 0, NULL), EINVAL);
	for (int bit = 1; bit < 32; bit++)
		assert_refused(mr_memory_new_multi(parts, 1, UINT32_C(1) << bit, &memory), EINVAL);
	mr_memory_unref(part);
}

static void new_multi_of_parts_that_are_not_whole_pages(void **state)
{
	struct mr_memory *whole = buffer(4 * page_size(), 0), *odd = buffer(100, 0), *late, *parts[3] = { whole, odd, whole };

	(void)state;
	assert_ok(mr_memory_new_sub(whole, 8, page_size() - 8, 0, &late));
	assert_refused(mr_memory_new_multi(parts, 3, 0, &memory), EINVAL);
	parts[0] = odd;
	assert_refused(mr_memory_new_multi(parts, 2, 0, &memory), EINVAL);
	parts[0] = whole;
	parts[1] = late;
	assert_refused(mr_memory_new_multi(parts, 2, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_multi(parts, 3, 0, &memory), EINVAL);
	mr_memory_unref(late);
	mr_memory_unref(odd);
	mr_memory_unref(whole);
}

static void new_multi_of_too_many_bytes(void **state)
{
	struct mr_memory *large = buffer(UINT64_C(1) << 62, 0), *parts[3] = { large, large, large };

	(void)state;
	assert_refused(mr_memory_new_multi(parts, 3, 0, &memory), EOVERFLOW);
	mr_memory_unref(large);
}

static void new_sub_past_the_end(void **state)
{
	struct mr_memory *whole = buffer(10000, 0);

	(void)state;
	assert_refused(mr_memory_new_sub(whole, 0, 10001, 0, &memory), ERANGE);
	assert_refused(mr_memory_new_sub(whole, 10000, 1, 0, &memory), ERANGE);
	assert_refused(mr_memory_new_sub(whole, 9999, 2, 0, &memory), ERANGE);
	assert_refused(mr_memory_new_sub(whole, UINT64_MAX, 2, 0, &memory), ERANGE);
	assert_refused(mr_memory_new_sub(whole, 2, UINT64_MAX, 0, &memory), ERANGE);
	mr_memory_unref(whole);
}

static void new_sub_of_wrong_arguments(void **state)
{
	struct mr_memory *whole = buffer(10000, 0);

	(void)state;
	assert_refused(mr_memory_new_sub(NULL, 0, 1, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_sub(whole, 0, 0, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_sub(whole, 0, 1, 0, NULL), EINVAL);
	for (int bit = 1; bit < 32; bit++)
		assert_refused(mr_memory_new_sub(whole, 0, 1, UINT32_C(1) << bit, &memory), EINVAL);
	mr_memory_unref(whole);
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

/* The out parameter of all tests here is one that must never be written. */
#define REFUSED(function) cmocka_unit_test_setup_teardown(function, untouched, still_untouched)

static const struct CMUnitTest tests[] = {
	REFUSED(new_buffer_unknown_options),
	REFUSED(new_buffer_null_result),
	REFUSED(new_buffer_length_0),
	REFUSED(new_buffer_not_a_multiple_of_the_huge_page),
	REFUSED(new_buffer_of_both_huge_pages),
	REFUSED(new_buffer_without_enough_huge_pages),
	REFUSED(new_buffer_longer_than_a_file),
	REFUSED(new_without_a_descriptor_left),
	REFUSED(new_fd_unknown_options),
	REFUSED(new_fd_null_result),
	REFUSED(new_fd_not_open),
	REFUSED(new_fd_open_as_a_path_alone),
	REFUSED(new_fd_length_0),
	REFUSED(new_fd_past_the_end_of_a_file),
	REFUSED(new_fd_of_an_empty_file),
	REFUSED(new_fd_without_the_access_asked_for),
	REFUSED(new_fd_sealed_against_writing),
	REFUSED(new_fd_longer_than_a_file_can_be),
	REFUSED(new_fd_of_what_cannot_be_mapped),
	REFUSED(new_ranges_not_mapped),
	REFUSED(new_ranges_empty),
	REFUSED(new_ranges_unknown_options_and_null_result),
	REFUSED(new_ranges_without_the_access),
	REFUSED(new_ranges_in_a_blocked_map),
	REFUSED(new_ranges_of_too_many_bytes),
	REFUSED(new_multi_of_nothing),
	REFUSED(new_multi_of_parts_that_are_not_whole_pages),
	REFUSED(new_multi_of_too_many_bytes),
	REFUSED(new_sub_past_the_end),
	REFUSED(new_sub_of_wrong_arguments),
	REFUSED(copy_past_the_end),
	REFUSED(copy_to_read_only_memory),
	REFUSED(copy_with_wrong_arguments),
	REFUSED(copy_with_a_buffer_that_is_not_there),
	REFUSED(copy_of_a_truncated_file),
	REFUSED(complete_without_prepare),
	REFUSED(prepare_beyond_the_lock_limit),
	REFUSED(prepare_counts_against_the_lock_limit),
	REFUSED(physical_segment_of_wrong_arguments),
	REFUSED(physical_segment_of_what_is_not_resident),
	REFUSED(physical_segment_hidden_by_the_system),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "errors of memories", tests, COUNT(tests));
}
