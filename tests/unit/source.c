/* SPDX-License-Identifier: MIT */
/* Sources: private bytes that move, and what is found out about files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kind.h"
#include "pattern.h"
#include "source.h"
#include "suite.h"

#define PAGES 4

/* A source of PAGES private pages at @place. */
static void open_pages(struct source *source, char *place)
{
	uintptr_t start = (uintptr_t)place, end = start + PAGES * page_size();
	struct region region = { .start = start, .end = end, .whole_start = start, .whole_end = end, .name = "" };
	uint64_t offset = 1;

	region.protection = PROT_READ | PROT_WRITE;
	assert_int_equal(source_open_region(source, NULL, &region, true, &offset), 0);
	assert_int_equal(source->kind, SOURCE_PRIVATE);
	assert_int_equal(offset, 0);
	assert_int_equal(source_private_address(source), start);
}

static char *map_pages(unsigned seed)
{
	char *place = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(place, MAP_FAILED);
	pattern_fill(place, 0, PAGES * page_size(), seed);
	return place;
}

static void moved(const void *from, uint64_t pages, const void *to)
{
	sources_lock();
	sources_moved(NULL, (uintptr_t)from, pages * page_size(), (uintptr_t)to);
	sources_unlock();
}

/* What lies in the range that moves follows it; its bytes are read there. */
static void follows_a_move(void **state)
{
	char *here = map_pages(1), *there = map_pages(2), bytes[64];
	struct source source;

	(void)state;
	open_pages(&source, here);
	moved(here - page_size(), PAGES + 2, there - page_size());
	assert_int_equal(source_private_address(&source), (uintptr_t)there);
	assert_int_equal(source_read(&source, 8, bytes, sizeof(bytes)), 0);
	assert_pattern(bytes, 8, sizeof(bytes), 2);
	moved(there, PAGES, here);
	assert_int_equal(source_read(&source, 8, bytes, sizeof(bytes)), 0);
	assert_pattern(bytes, 8, sizeof(bytes), 1);
	source_close(&source);
	munmap(here, PAGES * page_size());
	munmap(there, PAGES * page_size());
}

static void stays_when_others_move(void **state)
{
	char *here = map_pages(1);
	struct source source;

	(void)state;
	open_pages(&source, here);
	moved(here + PAGES * page_size(), 1, here);
	moved(here - page_size(), 1, here + PAGES * page_size());
	assert_int_equal(source_private_address(&source), (uintptr_t)here);
	source_close(&source);
	munmap(here, PAGES * page_size());
}

/* Half here and half there is nowhere. */
static void is_lost_across_a_border(void **state)
{
	char *here = map_pages(1), byte;
	struct source source;

	(void)state;
	open_pages(&source, here);
	moved(here, PAGES - 1, here + 16 * page_size());
	assert_int_equal(source_private_address(&source), 0);
	assert_int_equal(source_read(&source, 0, &byte, 1), -EFAULT);
	assert_int_equal(source_write(&source, 0, &byte, 1), -EFAULT);
	source_close(&source);
	munmap(here, PAGES * page_size());
}

static void is_lost_when_told(void **state)
{
	char *here = map_pages(1);
	struct source source, other;

	(void)state;
	open_pages(&source, here);
	open_pages(&other, here);
	sources_lock();
	sources_lost(NULL, (uintptr_t)here + (PAGES - 1) * page_size(), page_size());
	sources_unlock();
	assert_int_equal(source_private_address(&source), 0);
	assert_int_equal(source_private_address(&other), 0);
	source_close(&source);
	source_close(&other);
	munmap(here, PAGES * page_size());
}

static void assert_file(int fd, enum file_kind kind, uint64_t unit)
{
	struct source source;

	assert_true(fd >= 0);
	assert_int_equal(source_open_file(&source, fd, 0, true), 0);
	assert_int_equal(source.kind, SOURCE_FILE);
	assert_int_equal(source.file_kind, kind);
	assert_int_equal(source.page_size, unit);
	assert_int_not_equal(source.fd, fd);
	assert_true(fcntl(source.fd, F_GETFD) & FD_CLOEXEC);
	source_close(&source);
	close(fd);
}

static void knows_files(void **state)
{
	(void)state;
	assert_file(memfd_with_pattern(page_size(), 1), FILE_SHMEM, page_size());
	if (!kind_missing(kind_find("file-tmpfs")))
		assert_file(tmpfs_file(page_size()), FILE_SHMEM, page_size());
	if (!kind_missing(kind_find("file-disk")))
		assert_file(disk_file(page_size()), FILE_REGULAR, page_size());
	assert_file(open("/dev/zero", O_RDWR | O_CLOEXEC), FILE_DEVICE, page_size());
}

static void knows_files_of_huge_pages(void **state)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(ftruncate(fd, (off_t)HUGE_PAGE), 0);
	assert_file(fd, FILE_HUGE, HUGE_PAGE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(follows_a_move), TEST(stays_when_others_move),    TEST(is_lost_across_a_border), TEST(is_lost_when_told),
		TEST(knows_files),    TEST(knows_files_of_huge_pages),
	};

	return suite_run(argc, argv, "source", tests, COUNT(tests));
}
