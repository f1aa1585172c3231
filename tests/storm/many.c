/* SPDX-License-Identifier: MIT */
/*
 * Many maps, and many redirects of one: everything that was taken is given back.
 *
 * Would be caught: a mapping, descriptor, thread or piece of the heap that a redirect or a map keeps. (suite_end compares mappings,
 * descriptors and threads; the heap is compared here.)
 */
#include "kind.h"

#include <malloc.h>
#include <stdlib.h>

#include "sanitizer.h"
#include "suite.h"

#define MAPS	  20000
#define REDIRECTS 100000
#define MOST_BYTES 1024 /* of the library's memory for a map */

/* What the C library keeps of freed memory for the thread, and counts as in use. */
#define CACHED 65536

static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

/* All are blocked at once, unless the system allows too few mappings for that: two each. */
static bool room_for_all(void)
{
	return features()->max_map_count > 2 * MAPS + 1000;
}

static void make_and_block(struct mr_memory *memory, struct mr_map **maps)
{
	for (unsigned i = 0; i < MAPS; i++)
		assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &maps[i]));
	for (unsigned i = 0; i < MAPS; i++)
		assert_ok(mr_map_redirect(maps[i], NULL, 0, 0));
}

static void restore_and_free(struct mr_memory *memory, struct mr_map **maps)
{
	for (unsigned i = 0; i < MAPS; i++) {
		assert_true(mr_map_is_blocked(maps[i]));
		assert_ok(mr_map_redirect(maps[i], memory, 0, 0));
		assert_int_equal(*(volatile int *)mr_map_address(maps[i]), 4711);
	}
	for (unsigned i = 0; i < MAPS; i++)
		mr_map_unref(maps[i]);
}

static void maps_20000_made_blocked_restored_freed(void **state)
{
	struct mr_map **maps = calloc(MAPS, sizeof(*maps)); /* before the heap is looked at */
	struct mr_memory *memory;
	int value = 4711;
	size_t before, with;

	(void)state;
	assert_non_null(maps);
	if (!room_for_all()) {
		free(maps);
		print_message("# vm.max_map_count is too low for %d blocked maps\n", MAPS);
		skip();
	}
	assert_ok(mr_memory_new_buffer(page_size(), 0, &memory));
	assert_ok(mr_memory_write(memory, 0, &value, sizeof(value)));
	before = heap_in_use();
	make_and_block(memory, maps);
	with = heap_in_use();
	restore_and_free(memory, maps);
	if (!SANITIZED) {
		assert_true((with - before) / MAPS <= MOST_BYTES);
		assert_true(heap_in_use() <= before + CACHED);
	}
	mr_memory_unref(memory);
	free(maps);
}

static void redirects_100000_of_one_map(void **state)
{
	struct mr_memory *memories[2];
	struct mr_map *map;
	size_t before;

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_ok(mr_memory_new_buffer(4 * page_size(), 0, &memories[i]));
	assert_ok(mr_map_new(memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, memories[1], 0, 0));
	before = heap_in_use();
	for (unsigned i = 0; i < REDIRECTS; i++) {
		assert_ok(mr_map_redirect(map, i % 10 ? memories[i % 2] : NULL, i % 10 == 5 ? MR_MAP_PREFAULT : 0, 0));
		if (i % 10)
			*(volatile char *)mr_map_address(map) = 1;
	}
	assert_ok(mr_map_redirect(map, memories[1], 0, 0));
	if (!SANITIZED)
		assert_true(heap_in_use() <= before + CACHED);
	mr_map_unref(map);
	for (unsigned i = 0; i < 2; i++)
		mr_memory_unref(memories[i]);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(maps_20000_made_blocked_restored_freed),
		TEST(redirects_100000_of_one_map),
	};

	return suite_run(argc, argv, "stress many", tests, COUNT(tests));
}
