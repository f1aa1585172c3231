/* SPDX-License-Identifier: MIT */
/* Which map requests share a map, and which get one of their own: compatible maps, MR_MAP_UNIQUE, MR_MAP_REFERENCE. */
#include <errno.h>

#include "kind.h"
#include "leak.h"
#include "pattern.h"
#include "suite.h"
#include "thread.h"
#include "victim.h"

#define PAGES 8

static struct mr_memory *memory;
static uint64_t page;

static void make_memory(void)
{
	char bytes[64 * 1024];

	page = page_size();
	assert_true(PAGES * page <= sizeof(bytes));
	pattern_fill(bytes, 0, PAGES * page, 1);
	assert_ok(mr_memory_new_buffer(PAGES * page, 0, &memory));
	assert_ok(mr_memory_write(memory, 0, bytes, PAGES * page));
}

static void free_memory(void)
{
	memory = mr_memory_unref(memory);
}

static struct mr_map *map_with(uint32_t options, uint64_t offset, uint64_t length)
{
	struct mr_map *map = NULL;

	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | options, offset, length, &map));
	assert_pattern(mr_map_address(map), offset, mr_map_length(map), 1);
	return map;
}

/* Whether the part at @offset of @outer is where @inner stands: the pages are mapped once. */
static bool lies_in(struct mr_map *inner, struct mr_map *outer, uint64_t offset)
{
	return (char *)mr_map_address(inner) == (char *)mr_map_address(outer) + offset;
}

static void share_the_same_request_gives_the_same_map(void **state)
{
	struct mr_map *first, *second;

	(void)state;
	make_memory();
	first = map_with(0, 0, 0);
	second = map_with(0, 0, 0);
	assert_ptr_equal(mr_map_address(first), mr_map_address(second));
	mr_map_unref(first);
	assert_pattern(mr_map_address(second), 0, PAGES * page, 1);
	mr_map_unref(second);
	free_memory();
}

static void share_a_part_lies_inside_the_whole(void **state)
{
	struct mr_map *whole, *part, *odd;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	part = map_with(0, 2 * page, 3 * page);
	odd = map_with(0, 5 * page + 17, 33);
	assert_true(lies_in(part, whole, 2 * page));
	assert_int_equal(mr_map_length(part), 3 * page);
	assert_true(lies_in(odd, whole, 5 * page + 17));
	assert_int_equal(mr_map_length(odd), 33);
	assert_ptr_equal(mr_map_memory(part), memory);
	mr_map_unref(part);
	mr_map_unref(odd);
	mr_map_unref(whole);
	free_memory();
}

/* A store through the one is seen through the other, and no more pages are mapped than before. */
static void share_takes_no_mapping_more(void **state)
{
	struct holdings before, after;
	struct mr_map *whole, *part;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	holdings_take(&before);
	part = map_with(0, page, page);
	holdings_take(&after);
	assert_int_equal(after.mappings, before.mappings);
	assert_int_equal(after.descriptors, before.descriptors);
	*(char *)mr_map_address(part) = 77;
	assert_int_equal(((char *)mr_map_address(whole))[page], 77);
	holdings_free(&before);
	holdings_free(&after);
	mr_map_unref(part);
	mr_map_unref(whole);
	free_memory();
}

static void share_a_part_keeps_the_whole_alive(void **state)
{
	struct mr_map *whole, *part;
	char *address;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	part = map_with(0, 3 * page, page);
	address = mr_map_address(part);
	mr_map_unref(whole);
	assert_ptr_equal(mr_map_address(part), address);
	assert_pattern(address, 3 * page, page, 1);
	mr_map_unref(part);
	assert_true(access_is_absent(address));
	free_memory();
}

/* Parts of parts, and a part of a whole that only a part holds any more. */
static void share_a_part_of_a_part(void **state)
{
	struct mr_map *whole, *part, *inner;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	part = map_with(0, 2 * page, 4 * page);
	mr_map_unref(whole);
	inner = map_with(0, 3 * page, page);
	assert_true(lies_in(inner, part, page));
	mr_map_unref(part);
	assert_pattern(mr_map_address(inner), 3 * page, page, 1);
	mr_map_unref(inner);
	free_memory();
}

static void share_unmap_of_the_whole_takes_its_parts_along(void **state)
{
	struct mr_map *whole, *part;
	char *address;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	part = map_with(0, page, page);
	address = mr_map_address(part);
	assert_ok(mr_map_unmap(whole));
	assert_null(mr_map_address(whole));
	assert_null(mr_map_address(part));
	assert_true(access_is_absent(address));
	assert_error(mr_map_unmap(part), ENXIO);
	mr_map_unref(part);
	mr_map_unref(whole);
	free_memory();
}

static void share_unmap_of_a_part_leaves_the_whole(void **state)
{
	struct mr_map *whole, *part;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	part = map_with(0, page, page);
	assert_ok(mr_map_unmap(part));
	assert_null(mr_map_address(part));
	assert_pattern(mr_map_address(whole), 0, PAGES * page, 1);
	mr_map_unref(part);
	assert_pattern(mr_map_address(whole), 0, PAGES * page, 1);
	mr_map_unref(whole);
	free_memory();
}

static void share_unmapped_maps_are_not_shared_any_more(void **state)
{
	struct mr_map *first, *second;

	(void)state;
	make_memory();
	first = map_with(0, 0, 0);
	assert_ok(mr_map_unmap(first));
	second = map_with(0, 0, 0);
	assert_null(mr_map_address(first));
	assert_non_null(mr_map_address(second));
	mr_map_unref(first);
	mr_map_unref(second);
	free_memory();
}

/* A part that has lost its whole is nowhere, and serves nobody. */
static void share_not_with_parts_of_an_unmapped_whole(void **state)
{
	struct mr_map *whole, *part, *later;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	part = map_with(0, page, 3 * page);
	assert_ok(mr_map_unmap(whole));
	assert_null(mr_map_address(part));
	later = map_with(0, 2 * page, page);
	assert_ptr_not_equal(later, part);
	assert_non_null(mr_map_address(later));
	assert_pattern(mr_map_address(later), 2 * page, page, 1);
	mr_map_unref(later);
	mr_map_unref(part);
	mr_map_unref(whole);
	free_memory();
}

/* What cannot serve: other access, another cache mode, copy-on-write, a range that is not inside. */
static void share_only_what_is_compatible(void **state)
{
	static const uint32_t others[] = { MR_MAP_READ_ONLY, MR_MAP_COPY_ON_WRITE, MR_MAP_CACHE_COPYBACK,
					   MR_MAP_READ_ONLY | MR_MAP_COPY_ON_WRITE };
	struct mr_map *first, *second;

	(void)state;
	make_memory();
	first = map_with(0, 0, 4 * page);
	for (size_t i = 0; i < COUNT(others); i++) {
		second = map_with(others[i], 0, 4 * page);
		assert_ptr_not_equal(mr_map_address(first), mr_map_address(second));
		mr_map_unref(second);
	}
	second = map_with(0, 2 * page, 4 * page);
	assert_false(lies_in(second, first, 2 * page));
	mr_map_unref(second);
	second = map_with(0, 0, 0);
	assert_ptr_not_equal(mr_map_address(first), mr_map_address(second));
	mr_map_unref(second);
	mr_map_unref(first);
	free_memory();
}

static void share_between_maps_of_the_same_access(void **state)
{
	static const uint32_t access[] = { MR_MAP_READ_ONLY, MR_MAP_COPY_ON_WRITE, MR_MAP_CACHE_COPYBACK };

	(void)state;
	make_memory();
	for (size_t i = 0; i < COUNT(access); i++) {
		struct mr_map *first = map_with(access[i], 0, 0), *second = map_with(access[i], page, page);

		assert_true(lies_in(second, first, page));
		mr_map_unref(first);
		mr_map_unref(second);
	}
	free_memory();
}

static void share_not_with_unique_maps(void **state)
{
	struct mr_map *shared, *unique, *second, *third;

	(void)state;
	make_memory();
	unique = map_with(MR_MAP_UNIQUE, 0, 0);
	shared = map_with(0, 0, 0);
	second = map_with(MR_MAP_UNIQUE, 0, 0);
	third = map_with(0, 0, 0);
	assert_ptr_not_equal(mr_map_address(unique), mr_map_address(shared));
	assert_ptr_not_equal(mr_map_address(unique), mr_map_address(second));
	assert_ptr_not_equal(mr_map_address(shared), mr_map_address(second));
	assert_ptr_equal(mr_map_address(shared), mr_map_address(third));
	mr_map_unref(third);
	mr_map_unref(second);
	mr_map_unref(shared);
	mr_map_unref(unique);
	free_memory();
}

static void share_not_between_memories(void **state)
{
	struct mr_memory *window;
	struct mr_map *first, *second;

	(void)state;
	make_memory();
	assert_ok(mr_memory_new_sub(memory, 0, PAGES * page, 0, &window));
	first = map_with(0, 0, 0);
	assert_ok(mr_map_new(window, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &second));
	assert_ptr_not_equal(mr_map_address(first), mr_map_address(second));
	assert_ptr_equal(mr_map_memory(second), window);
	mr_map_unref(first);
	mr_map_unref(second);
	mr_memory_unref(window);
	free_memory();
}

static void share_at_the_address_that_is_asked_for(void **state)
{
	struct mr_map *first, *second, *third;
	char *address;

	(void)state;
	make_memory();
	first = map_with(0, 0, 0);
	address = mr_map_address(first);
	assert_ok(mr_map_new(memory, NULL, address + page, 0, page, page, &second));
	assert_ptr_equal(mr_map_address(second), address + page);
	address = free_place(PAGES * page, page);
	assert_ok(mr_map_new(memory, NULL, address, 0, 0, 0, &third));
	assert_ptr_equal(mr_map_address(third), address);
	mr_map_unref(first);
	mr_map_unref(second);
	mr_map_unref(third);
	free_memory();
}

static void share_reference_finds_what_is_there(void **state)
{
	struct mr_map *first, *second, *part;
	char *address;

	(void)state;
	make_memory();
	first = map_with(0, 0, 0);
	second = map_with(MR_MAP_REFERENCE, 0, 0);
	part = map_with(MR_MAP_REFERENCE, page, 2 * page);
	assert_ptr_equal(mr_map_address(first), mr_map_address(second));
	assert_true(lies_in(part, first, page));
	address = mr_map_address(first);
	mr_map_unref(first);
	assert_pattern(address, 0, PAGES * page, 1);
	mr_map_unref(part);
	assert_pattern(address, 0, PAGES * page, 1);
	mr_map_unref(second);
	assert_true(access_is_absent(address));
	free_memory();
}

static void share_reference_makes_nothing(void **state)
{
	uint32_t options = MR_MAP_REFERENCE | MR_MAP_ANYWHERE;
	struct mr_map *map = NULL, *unique, *part;

	(void)state;
	make_memory();
	assert_error(mr_map_new(memory, NULL, NULL, options, 0, 0, &map), ENOENT);
	unique = map_with(MR_MAP_UNIQUE, 0, 0);
	part = map_with(0, page, page);
	assert_error(mr_map_new(memory, NULL, NULL, options, 0, 0, &map), ENOENT);
	assert_error(mr_map_new(memory, NULL, NULL, options | MR_MAP_READ_ONLY, page, page, &map), ENOENT);
	assert_null(map);
	mr_map_unref(unique);
	mr_map_unref(part);
	free_memory();
}

static void share_the_last_reference_unmaps(void **state)
{
	struct mr_map *first, *second;
	char *address;

	(void)state;
	make_memory();
	first = map_with(0, 0, 0);
	second = map_with(0, 0, 0);
	address = mr_map_address(first);
	assert_null(mr_map_unref(first));
	assert_false(access_is_absent(address));
	assert_null(mr_map_unref(second));
	assert_true(access_is_absent(address));
	free_memory();
}

static void share_maps_cannot_be_redirected(void **state)
{
	struct mr_map *map;

	(void)state;
	make_memory();
	map = map_with(0, 0, 0);
	assert_error(mr_map_redirect(map, NULL, 0, 0), EPERM);
	assert_error(mr_map_redirect(map, memory, 0, 0), EPERM);
	assert_pattern(mr_map_address(map), 0, PAGES * page, 1);
	mr_map_unref(map);
	free_memory();
}

/* Maps that are shared can be copied, a part of one too: guarded, stopped, and while clients of the whole go on. */
static void share_maps_can_be_copied(void **state)
{
	uint64_t from = 3 * page + 17, length = 2 * page;
	struct mr_map *whole, *part;

	(void)state;
	make_memory();
	whole = map_with(0, 0, 0);
	part = map_with(0, from, length);
	assert_true(lies_in(part, whole, from));
	for (uint32_t flags = 0; flags <= MR_COPY_STOP; flags++) {
		struct mr_copy_opts opts = { .size = sizeof(opts), .flags = flags };
		struct mr_report report = { .size = sizeof(report) };
		char bytes[2 * 4096];
		struct mr_memory *copy;

		assert_ok(mr_map_snapshot(part, &opts, &copy, &report));
		assert_int_equal(report.bytes, length);
		assert_int_equal(mr_memory_length(copy), length);
		assert_ok(mr_memory_read(copy, 0, bytes, length < sizeof(bytes) ? length : sizeof(bytes)));
		assert_pattern(bytes, from, length < sizeof(bytes) ? length : sizeof(bytes), 1);
		mr_memory_unref(copy);
		assert_ok(mr_map_snapshot(whole, &opts, &copy, NULL));
		assert_memory_pattern(copy, 1);
		mr_memory_unref(copy);
	}
	assert_pattern(mr_map_address(whole), 0, PAGES * page, 1);
	assert_false(mr_map_is_blocked(whole));
	mr_map_unref(part);
	mr_map_unref(whole);
	free_memory();
}

/* All threads that ask at once get the same pages. */
static void *ask(void *argument)
{
	struct mr_map **map = argument;

	if (mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, map))
		*map = NULL;
	return NULL;
}

static void share_between_threads(void **state)
{
	struct thread threads[8];
	struct mr_map *maps[8];

	(void)state;
	make_memory();
	for (int round = 0; round < 30; round++) {
		for (size_t i = 0; i < COUNT(threads); i++)
			assert_true(thread_start(&threads[i], ask, &maps[i]));
		for (size_t i = 0; i < COUNT(threads); i++)
			thread_join(&threads[i]);
		for (size_t i = 0; i < COUNT(threads); i++) {
			assert_non_null(maps[i]);
			assert_ptr_equal(mr_map_address(maps[i]), mr_map_address(maps[0]));
		}
		for (size_t i = 0; i < COUNT(threads); i++)
			mr_map_unref(maps[i]);
	}
	free_memory();
}

static const struct CMUnitTest tests[] = {
	TEST(share_the_same_request_gives_the_same_map),
	TEST(share_a_part_lies_inside_the_whole),
	TEST(share_takes_no_mapping_more),
	TEST(share_a_part_keeps_the_whole_alive),
	TEST(share_a_part_of_a_part),
	TEST(share_unmap_of_the_whole_takes_its_parts_along),
	TEST(share_unmap_of_a_part_leaves_the_whole),
	TEST(share_unmapped_maps_are_not_shared_any_more),
	TEST(share_not_with_parts_of_an_unmapped_whole),
	TEST(share_only_what_is_compatible),
	TEST(share_between_maps_of_the_same_access),
	TEST(share_not_with_unique_maps),
	TEST(share_not_between_memories),
	TEST(share_at_the_address_that_is_asked_for),
	TEST(share_reference_finds_what_is_there),
	TEST(share_reference_makes_nothing),
	TEST(share_the_last_reference_unmaps),
	TEST(share_maps_cannot_be_redirected),
	TEST(share_maps_can_be_copied),
	TEST(share_between_threads),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "share", tests, COUNT(tests));
}
