/* SPDX-License-Identifier: MIT */
/*
 * Making memories, with each allocation and system call failing in turn: buffers, descriptors of all sorts, ranges of the process, pagers.
 *
 * Catches: a descriptor, mapping or huge page that a failure keeps; a memory that is half made; a range that was changed because
 * somebody looked at it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"
#include "suite.h"
#include "sweep.h"

#define PAGES 8

static uint64_t length(void)
{
	return PAGES * page_size();
}

static int new_buffer(struct fixture *fixture)
{
	return mr_memory_new_buffer(length() - 100, 0, &fixture->memory);
}

static int new_buffer_huge(struct fixture *fixture)
{
	return mr_memory_new_buffer(HUGE_PAGE, MR_MEMORY_HUGE_2M, &fixture->memory);
}

static int new_fd(struct fixture *fixture)
{
	return mr_memory_new_fd(fixture->fd, 0, length(), 0, &fixture->memory);
}

static int new_fd_read_only(struct fixture *fixture)
{
	return mr_memory_new_fd(fixture->fd, 0, length(), MR_MEMORY_READ_ONLY, &fixture->memory);
}

static int new_fd_huge(struct fixture *fixture)
{
	return mr_memory_new_fd(fixture->fd, 0, HUGE_PAGE, 0, &fixture->memory);
}

static int new_private(struct fixture *fixture)
{
	return mr_memory_new_private(length() - 100, MR_PLACE_ANON, 0, &fixture->memory);
}

static int new_ranges(struct fixture *fixture)
{
	return mr_memory_new_ranges(NULL, fixture->ranges, 3, 0, &fixture->memory);
}

static int read_zeroes(void *argument, uint64_t offset, void *buffer, uint64_t bytes)
{
	(void)argument;
	(void)offset;
	memset(buffer, 0, bytes);
	return 0;
}

static int write_nowhere(void *argument, uint64_t offset, const void *buffer, uint64_t bytes)
{
	(void)argument;
	(void)offset;
	(void)buffer;
	(void)bytes;
	return 0;
}

/* A call that fails does not release the pager, which is the caller's still. */
static void release_what_was_made(void *argument)
{
	struct fixture *fixture = argument;

	assert_non_null(fixture->memory);
}

static int new_pager(struct fixture *fixture)
{
	struct mr_pager pager = {
		.size = sizeof(pager),
		.block = page_size(),
		.read = read_zeroes,
		.write = write_nowhere,
		.release = release_what_was_made,
		.arg = fixture,
	};

	return mr_memory_new_pager(&pager, length(), 0, 0, &fixture->memory);
}

static void set_up_nothing(struct fixture *fixture)
{
	fixture->fd = -1;
}

static void set_up_memfd(struct fixture *fixture)
{
	fixture->fd = memfd_with_pattern(length(), 1);
}

static void set_up_disk(struct fixture *fixture)
{
	fixture->fd = disk_file_with_pattern(length(), 1);
}

static void set_up_read_only(struct fixture *fixture)
{
	int writable = memfd_with_pattern(length(), 1);

	fixture->fd = reopen_read_only(writable);
	assert_true(fixture->fd >= 0);
	close(writable);
}

static void set_up_huge(struct fixture *fixture)
{
	fixture->fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	assert_true(fixture->fd >= 0);
	assert_int_equal(ftruncate(fixture->fd, (off_t)HUGE_PAGE), 0);
}

/*
 * Three ranges in one place, between which there are others:
 *
 *	private, two pages | - | a file, two pages | - | shared, two pages
 *
 * The first begins, and the last ends, within a page.
 */
static void set_up_ranges(struct fixture *fixture)
{
	uint64_t page = page_size();
	char *place = mmap(NULL, length(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *got;

	assert_ptr_not_equal(place, MAP_FAILED);
	fixture->fd = memfd_with_pattern(2 * page, 9);
	fixture->place = place;
	got = mmap(place + 3 * page, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fixture->fd, 0);
	assert_ptr_equal(got, place + 3 * page);
	got = mmap(place + 6 * page, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	assert_ptr_equal(got, place + 6 * page);
	pattern_fill(place, 0, length(), 1);
	fixture->ranges[0] = (struct mr_range){ (uintptr_t)place + 100, 2 * page - 100 };
	fixture->ranges[1] = (struct mr_range){ (uintptr_t)place + 3 * page, 2 * page };
	fixture->ranges[2] = (struct mr_range){ (uintptr_t)place + 6 * page, 2 * page - 100 };
}

static void ranges_are_untouched(struct fixture *fixture)
{
	assert_pattern(fixture->place, 0, length(), 1);
}

/* Zeroes, that can be written and read again. */
static void is_fresh(struct fixture *fixture)
{
	uint64_t word = 1, end = mr_memory_length(fixture->memory);

	assert_ok(mr_memory_read(fixture->memory, end - sizeof(word), &word, sizeof(word)));
	assert_int_equal(word, 0);
	word = 4711;
	assert_ok(mr_memory_write(fixture->memory, end - sizeof(word), &word, sizeof(word)));
	word = 0;
	assert_ok(mr_memory_read(fixture->memory, end - sizeof(word), &word, sizeof(word)));
	assert_int_equal(word, 4711);
}

static void has_pattern(struct fixture *fixture)
{
	assert_int_equal(mr_memory_length(fixture->memory), length());
	assert_memory_pattern(fixture->memory, 1);
}

static void has_ranges(struct fixture *fixture)
{
	static char bytes[64];
	uint64_t page = page_size();

	assert_int_equal(mr_memory_length(fixture->memory), 6 * page - 200);
	assert_ok(mr_memory_read(fixture->memory, 0, bytes, sizeof(bytes)));
	assert_pattern(bytes, 100, sizeof(bytes), 1);
	assert_ok(mr_memory_read(fixture->memory, 2 * page - 100, bytes, sizeof(bytes)));
	assert_pattern(bytes, 3 * page, sizeof(bytes), 1);
	assert_ok(mr_memory_read(fixture->memory, 4 * page - 100, bytes, sizeof(bytes)));
	assert_pattern(bytes, 6 * page, sizeof(bytes), 1);
	ranges_are_untouched(fixture);
}

static void tear_down(struct fixture *fixture)
{
	mr_memory_unref(fixture->memory);
	if (fixture->fd >= 0)
		close(fixture->fd);
	if (fixture->place)
		munmap(fixture->place, length());
}

#define NEW_FD "mr_memory_new_fd"

static const struct operation operations[] = {
	{ "a buffer", "mr_memory_new_buffer", set_up_nothing, new_buffer, NULL, is_fresh, tear_down },
	{ "a memfd", NEW_FD, set_up_memfd, new_fd, NULL, has_pattern, tear_down },
	{ "a file of a disk", NEW_FD, set_up_disk, new_fd, NULL, has_pattern, tear_down },
	{ "a read-only file", NEW_FD, set_up_read_only, new_fd_read_only, NULL, has_pattern, tear_down },
	{ "private memory", "mr_memory_new_private", set_up_nothing, new_private, NULL, is_fresh, tear_down },
	{ "a pager", "mr_memory_new_pager", set_up_nothing, new_pager, NULL, is_fresh, tear_down },
	{ "ranges", "mr_memory_new_ranges", set_up_ranges, new_ranges, ranges_are_untouched, has_ranges, tear_down },
};

static const struct operation huge[] = {
	{ "a buffer of huge pages", "mr_memory_new_buffer", set_up_nothing, new_buffer_huge, NULL, is_fresh, tear_down },
	{ "a file of huge pages", NEW_FD, set_up_huge, new_fd_huge, NULL, is_fresh, tear_down },
};

static void making_memories(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(operations); i++)
		sweep(&operations[i], NULL, 0);
}

static void making_memories_of_huge_pages(void **state)
{
	(void)state;
	if (features()->huge_2m_free < 2) {
		print_message("# skipped: no free huge pages of 2 MiB (vm.nr_hugepages)\n");
		skip();
	}
	for (size_t i = 0; i < COUNT(huge); i++)
		sweep(&huge[i], NULL, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(making_memories),
		TEST(making_memories_of_huge_pages),
	};

	return suite_run(argc, argv, "making memories, call by call", tests, COUNT(tests));
}
