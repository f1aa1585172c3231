/* SPDX-License-Identifier: MIT */
/* Every error of the calls that make memories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "refused.h"
#include "scene.h"

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
	const struct mr_range bad[] = { { (uintptr_t)address + 3 * page, page },
					{ (uintptr_t)address + 2 * page, page + 1 },
					{ (uintptr_t)address + 4 * page - 1, page },
					{ (uintptr_t)address, 5 * page },
					{ 0, 1 },
					{ UINT64_MAX - 8191, 4096 },
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

static void new_private_of_wrong_arguments(void **state)
{
	(void)state;
	assert_refused(mr_memory_new_private(0, MR_PLACE_ANON, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_private(1, MR_PLACE_ANON, 0, NULL), EINVAL);
	assert_refused(mr_memory_new_private(1, 0, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_private(1, MR_PLACE_NODE + 1, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_private(1, MR_PLACE_NODE, 9999, &memory), EINVAL);
	assert_refused(mr_memory_new_private(UINT64_C(1) << 60, MR_PLACE_ANON, 0, &memory), ENOMEM);
	assert_refused(mr_memory_new_private(UINT64_MAX, MR_PLACE_ANON, 0, &memory), ENOMEM);
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
	REFUSED(new_private_of_wrong_arguments),
	REFUSED(new_sub_past_the_end),
	REFUSED(new_sub_of_wrong_arguments),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "errors of making memories", tests, COUNT(tests));
}
