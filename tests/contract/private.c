/* SPDX-License-Identifier: MIT */
/* Private memory of one's own: what it is, and that a map which is redirected or moved to it is private memory from then on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "suite.h"
#include "thread.h"

#define LENGTH (UINT64_C(4) << 20)

static struct mr_memory *fresh(uint64_t length, uint32_t placement)
{
	struct mr_memory *memory;

	assert_ok(mr_memory_new_private(length, placement, 0, &memory));
	return memory;
}

/* An adopted private range, which begins @phase bytes behind a huge page's place. */
static struct mr_map *adopt_range(uint64_t phase)
{
	char *place = (char *)free_place(LENGTH + phase, HUGE_PAGE) + phase;
	struct mr_map *map;

	assert_ptr_equal(mmap(place, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
			 place);
	madvise(place, LENGTH, MADV_NOHUGEPAGE); /* some systems have them without being asked */
	pattern_fill(place, 0, LENGTH, 1);
	assert_ok(mr_map_adopt(NULL, place, LENGTH, 0, &map));
	return map;
}

static void free_range(struct mr_map *map)
{
	char *place = mr_map_address(map);

	mr_map_unref(map);
	munmap(place, LENGTH);
}

/* KiB of transparent huge pages in the mapping that holds @address. */
static unsigned long huge_pages(const void *address)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long start, end, huge = 0;
	char line[512];
	bool here = false;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (uintptr_t)address >= start && (uintptr_t)address < end;
		if (here && sscanf(line, "AnonHugePages: %lu kB", &huge) == 1)
			break;
	}
	fclose(file);
	return huge;
}

/* What the child writes is its own. */
static int write_and_end(struct child *self, void *argument)
{
	(void)self;
	memset(argument, 0x55, LENGTH);
	return 0;
}

static void check_private(struct mr_map *map, unsigned seed)
{
	char *place = mr_map_address(map);

	assert_pattern(place, 0, LENGTH, seed);
	assert_int_equal(child_run(write_and_end, place), 0);
	assert_pattern(place, 0, LENGTH, seed);
	assert_int_equal(madvise(place, page_size(), MADV_DONTNEED), 0);
	assert_int_equal(*place, 0);
}

static void new_private_is_zeroes_that_can_be_written(void **state)
{
	struct mr_memory *memory = fresh(10000, MR_PLACE_ANON);
	static char bytes[10000];

	(void)state;
	assert_int_equal(mr_memory_length(memory), 10000);
	assert_int_equal(mr_memory_options(memory), 0);
	memset(bytes, 1, sizeof(bytes));
	assert_ok(mr_memory_read(memory, 0, bytes, sizeof(bytes)));
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	assert_ok(mr_memory_write(memory, 9997, "end", 3));
	assert_ok(mr_memory_read(memory, 9990, bytes, 10));
	assert_memory_equal(bytes + 7, "end", 3);
	assert_error(mr_memory_read(memory, 9998, bytes, 3), ERANGE);
	assert_ok(mr_memory_prepare(memory));
	assert_ok(mr_memory_complete(memory));
	mr_memory_unref(memory);
}

static void adopted_private_memory_moves_and_stays_private(void **state)
{
	static const uint32_t placements[] = { MR_PLACE_ANON, MR_PLACE_NODE };

	(void)state;
	for (size_t i = 0; i < COUNT(placements); i++) {
		struct mr_map *map = adopt_range(3 * page_size());
		struct mr_memory *memory;

		if (!mr_memory_new_private(LENGTH, placements[i], 0, &memory)) {
			assert_ok(mr_map_move(map, memory, 0, 0, NULL, NULL));
			assert_ptr_equal(mr_map_memory(map), memory);
			mr_memory_unref(memory);
			check_private(map, 1);
		}
		free_range(map);
	}
}

static void adopted_private_memory_moves_to_huge_pages(void **state)
{
	struct mr_map *map = adopt_range(0);
	struct mr_memory *memory;
	int error = mr_memory_new_private(LENGTH, MR_PLACE_THP, 0, &memory);

	(void)state;
	if (!error) {
		assert_int_equal(huge_pages(mr_map_address(map)), 0);
		assert_ok(mr_map_move(map, memory, 0, 0, NULL, NULL));
		assert_int_equal(huge_pages(mr_map_address(map)), LENGTH / 1024);
		check_private(map, 1);
		mr_memory_unref(memory);
	} else {
		assert_int_equal(error, -EOPNOTSUPP);
	}
	free_range(map);
}

struct writer {
	char *place;
	bool stop;
	uint64_t written;
};

static void *count_up(void *argument)
{
	struct writer *writer = argument;

	while (!__atomic_load_n(&writer->stop, __ATOMIC_ACQUIRE)) {
		uint64_t *word = (uint64_t *)(writer->place + writer->written % (LENGTH / page_size()) * page_size());

		__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
		writer->written++;
	}
	return NULL;
}

static void moves_to_private_memory_lose_no_write(void **state)
{
	struct writer writer = { 0 };
	struct mr_map *map = adopt_range(0);
	struct thread thread;
	uint64_t sum = 0;

	(void)state;
	writer.place = mr_map_address(map);
	memset(writer.place, 0, LENGTH);
	assert_true(thread_start(&thread, count_up, &writer));
	for (unsigned i = 0; i < 20; i++) {
		struct mr_memory *memory = fresh(LENGTH, MR_PLACE_ANON);

		assert_ok(mr_map_move(map, memory, 0, 0, NULL, NULL));
		mr_memory_unref(memory);
	}
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELEASE);
	thread_join(&thread);
	for (uint64_t offset = 0; offset < LENGTH; offset += page_size())
		sum += *(uint64_t *)(writer.place + offset);
	assert_int_equal(sum, writer.written);
	free_range(map);
}

/* Any map can go to it, and come back to it; what it shows meanwhile leaves its bytes alone. */
static void private_memory_is_redirected_to_and_away_from(void **state)
{
	struct mr_memory *memory = fresh(LENGTH, MR_PLACE_ANON), *buffer;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_memory_new_buffer(LENGTH, 0, &buffer));
	assert_ok(mr_map_new(buffer, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	pattern_fill(mr_map_address(map), 0, LENGTH, 2);
	assert_ok(mr_map_redirect(map, memory, MR_MAP_PREFAULT, 0));
	assert_int_equal(*(char *)mr_map_address(map), 0);
	pattern_fill(mr_map_address(map), 0, LENGTH, 3);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, buffer, 0, 0));
	assert_pattern(mr_map_address(map), 0, LENGTH, 2);
	assert_memory_pattern(memory, 3);
	assert_ok(mr_map_redirect(map, memory, 0, 0));
	check_private(map, 3);
	mr_map_unref(map);
	mr_memory_unref(memory);
	mr_memory_unref(buffer);
}

static void private_memory_is_in_one_place_at_a_time(void **state)
{
	struct mr_memory *memory = fresh(LENGTH, MR_PLACE_ANON), *buffer;
	struct mr_map *maps[2], *none = NULL;

	(void)state;
	assert_ok(mr_memory_new_buffer(2 * LENGTH, 0, &buffer));
	for (size_t i = 0; i < COUNT(maps); i++)
		assert_ok(mr_map_new(buffer, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, LENGTH, &maps[i]));
	assert_error(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &none), EOPNOTSUPP);
	assert_error(mr_map_redirect(maps[0], memory, MR_MAP_COPY_ON_WRITE, 0), EOPNOTSUPP);
	assert_ok(mr_map_redirect(maps[0], memory, 0, 0));
	assert_error(mr_map_redirect(maps[1], memory, 0, 0), EOPNOTSUPP);
	assert_error(mr_map_move(maps[1], memory, 0, 0, NULL, NULL), EOPNOTSUPP);
	assert_ok(mr_map_redirect(maps[0], buffer, 0, LENGTH));
	assert_ok(mr_map_move(maps[1], memory, 0, 0, NULL, NULL));
	mr_map_unref(maps[0]);
	mr_map_unref(maps[1]);
	mr_memory_unref(memory);
	mr_memory_unref(buffer);
}

static const struct CMUnitTest tests[] = {
	TEST(new_private_is_zeroes_that_can_be_written),     TEST(adopted_private_memory_moves_and_stays_private),
	TEST(adopted_private_memory_moves_to_huge_pages),    TEST(moves_to_private_memory_lose_no_write),
	TEST(private_memory_is_redirected_to_and_away_from), TEST(private_memory_is_in_one_place_at_a_time),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "private memory", tests, COUNT(tests));
}
