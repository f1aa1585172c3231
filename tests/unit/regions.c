/* SPDX-License-Identifier: MIT */
/* The kernel's list of mappings, as it is told of mappings that are made here. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kind.h"
#include "regions.h"
#include "suite.h"

#define PAGES 16
#define MOST  8

static struct {
	uintptr_t page;
	char *place; /* PAGES pages: 0, 1 private | 2 read-only | 3 nothing | 4 to 7 a memfd from its page 2 on | the rest nothing */
	uintptr_t start;
	int fd;
} layout;

/* What was told. */
struct record {
	size_t count;
	struct region regions[MOST];
	char names[MOST][64];
	int stop; /* what the callback returns for the second region */
};

static int note(void *argument, const struct region *region)
{
	struct record *record = argument;

	assert_true(record->count < MOST);
	record->regions[record->count] = *region;
	strncpy(record->names[record->count], region->name, sizeof(record->names[0]) - 1);
	record->count++;
	return record->count == 2 ? record->stop : 0;
}

static int lay_out(void **state)
{
	uint64_t page = page_size();

	layout.page = page;
	layout.place = free_place(PAGES * page, page);
	layout.start = (uintptr_t)layout.place;
	layout.fd = memfd_create("two  words", MFD_CLOEXEC);
	assert_true(layout.fd >= 0 && ftruncate(layout.fd, (off_t)(8 * page)) == 0);
	mmap(layout.place, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(layout.place + 2 * page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(layout.place + 4 * page, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, layout.fd, (off_t)(2 * page));
	*state = NULL;
	return 0;
}

static int clear(void **state)
{
	(void)state;
	munmap(layout.place, PAGES * layout.page);
	close(layout.fd);
	return 0;
}

static int walk(uint64_t first, uint64_t end, struct record *record)
{
	return regions_each(NULL, layout.start + first * layout.page, layout.start + end * layout.page, note, record);
}

static void assert_bounds(const struct region *region, uint64_t first, uint64_t end)
{
	assert_int_equal(region->start, layout.start + first * layout.page);
	assert_int_equal(region->end, layout.start + end * layout.page);
}

static void tells_of_each_in_order(void **state)
{
	struct record record = { 0 };

	(void)state;
	assert_int_equal(walk(0, 3, &record), 0);
	assert_int_equal(record.count, 2);
	assert_bounds(&record.regions[0], 0, 2);
	assert_int_equal(record.regions[0].protection, PROT_READ | PROT_WRITE);
	assert_false(record.regions[0].shared);
	assert_int_equal(record.regions[0].inode, 0);
	assert_bounds(&record.regions[1], 2, 3);
	assert_int_equal(record.regions[1].protection, PROT_READ);
}

/* Cut to what was asked for, with the offset of what is left, and the bounds of the whole. */
static void cuts_and_keeps_the_whole(void **state)
{
	struct record record = { 0 };
	const struct region *region = record.regions;

	(void)state;
	assert_int_equal(walk(5, 7, &record), 0);
	assert_int_equal(record.count, 1);
	assert_bounds(region, 5, 7);
	assert_int_equal(region->whole_start, layout.start + 4 * layout.page);
	assert_int_equal(region->whole_end, layout.start + 8 * layout.page);
	assert_int_equal(region->offset, 3 * layout.page);
	assert_true(region->shared && region->inode);
	assert_string_equal(record.names[0], "/memfd:two  words (deleted)");
}

static void misses_a_hole(void **state)
{
	struct record record = { 0 };

	(void)state;
	assert_int_equal(walk(2, 5, &record), -EFAULT);
	record.count = 0;
	assert_int_equal(walk(3, 4, &record), -EFAULT);
	assert_int_equal(record.count, 0);
	assert_int_equal(walk(6, 9, &record), -EFAULT);
	assert_int_equal(regions_each(NULL, 0, layout.page, note, &record), -EFAULT);
}

static void stops_when_told(void **state)
{
	struct record record = { .stop = 7 };

	(void)state;
	assert_int_equal(walk(0, 3, &record), 7);
	assert_int_equal(record.count, 2);
}

struct count {
	size_t count;
	uintptr_t next;
};

static int count_one(void *argument, const struct region *region)
{
	struct count *count = argument;

	assert_int_equal(region->start, count->next);
	count->next = region->end;
	count->count++;
	return 0;
}

/* More lines than any buffer holds, which end anywhere in it. */
static void reads_a_long_list(void **state)
{
	uint64_t page = page_size(), pages = 1000;
	char *place = mmap(NULL, pages * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct count count = { 0, (uintptr_t)place };

	(void)state;
	assert_ptr_not_equal(place, MAP_FAILED);
	for (uint64_t i = 0; i < pages; i += 2)
		assert_int_equal(mprotect(place + i * page, page, PROT_NONE), 0);
	assert_int_equal(regions_each(NULL, (uintptr_t)place, (uintptr_t)place + pages * page, count_one, &count), 0);
	assert_int_equal(count.count, pages);
	assert_int_equal(count.next, (uintptr_t)place + pages * page);
	munmap(place, pages * page);
}

#define LAID_OUT(function) cmocka_unit_test_setup_teardown(function, lay_out, clear)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		LAID_OUT(tells_of_each_in_order), LAID_OUT(cuts_and_keeps_the_whole),
		LAID_OUT(misses_a_hole),	  LAID_OUT(stops_when_told),
		TEST(reads_a_long_list),
	};

	return suite_run(argc, argv, "regions", tests, COUNT(tests));
}
