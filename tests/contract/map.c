/* SPDX-License-Identifier: MIT */
/* How a memory is mapped: which part of it, where, with what access; over all kinds of memory that can be mapped. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "leak.h"
#include "pagemap.h"
#include "scene.h"
#include "suite.h"

#define SEED 1

static struct backing backing;

static void make_backing(void)
{
	backing_make(&backing, suite_kind, kind_length(suite_kind), SEED);
}

static void map_shows_the_whole_memory(void **state)
{
	struct mr_map *map;

	(void)state;
	make_backing();
	assert_ok(mr_map_new(backing.memory, NULL, NULL, MR_MAP_ANYWHERE | backing.access, 0, 0, &map));
	assert_int_equal(mr_map_length(map), backing.length);
	assert_ptr_equal(mr_map_memory(map), backing.memory);
	assert_null(mr_map_task(map));
	assert_int_equal(mr_map_options(map), MR_MAP_ANYWHERE | backing.access);
	assert_int_equal((uintptr_t)mr_map_address(map) % kind_unit(suite_kind), 0);
	assert_pattern(mr_map_address(map), 0, backing.length, SEED);
	assert_false(mr_map_is_blocked(map));
	assert_int_equal(mr_map_waiters(map), 0);
	mr_map_unref(map);
	backing_free(&backing);
}

/* Any offset and length, whole pages or not; the map stands as far into a page as the offset is. */
static void check_part(uint64_t offset, uint64_t length, uint32_t options)
{
	uint64_t rest = backing.length - offset;
	struct mr_map *map;

	assert_ok(mr_map_new(backing.memory, NULL, NULL, MR_MAP_ANYWHERE | backing.access | options, offset, length, &map));
	assert_int_equal(mr_map_length(map), length ? length : rest);
	assert_int_equal((uintptr_t)mr_map_address(map) % page_size(), offset % page_size());
	assert_pattern(mr_map_address(map), offset, length ? length : rest, SEED);
	mr_map_unref(map);
}

static void map_shows_any_part(void **state)
{
	static const uint64_t lengths[] = { 0, 1, 8, 100, 4095, 4096, 4097, 12289 };

	(void)state;
	make_backing();
	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (uint64_t offset = 0; offset + lengths[i] <= 7 * page_size(); offset += 1365) {
			check_part(offset, lengths[i], 0);
			check_part(offset, lengths[i], MR_MAP_UNIQUE);
		}
	}
	check_part(backing.length - 1, 0, MR_MAP_UNIQUE);
	check_part(backing.length - 1, 1, 0);
	backing_free(&backing);
}

/* A part whose ends are not pages can be blocked and redirected like any other. */
static void map_of_an_odd_part_can_be_redirected(void **state)
{
	uint64_t offset = page_size() + 100, length = 2 * page_size() + 77;
	struct backing other;
	struct mr_map *map;

	(void)state;
	make_backing();
	backing_make(&other, suite_kind, backing.length, 2);
	assert_ok(
		mr_map_new(backing.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | backing.access, offset, length, &map));
	assert_ok(mr_map_redirect(map, other.memory, other.access, offset));
	assert_pattern(mr_map_address(map), offset, length, 2);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, backing.memory, backing.access, offset));
	assert_pattern(mr_map_address(map), offset, length, SEED);
	if (!suite_kind->huge) {
		assert_ok(mr_map_redirect(map, other.memory, other.access, offset + 3 * page_size()));
		assert_pattern(mr_map_address(map), offset + 3 * page_size(), length, 2);
	}
	mr_map_unref(map);
	backing_free(&other);
	backing_free(&backing);
}

static void map_stands_exactly_where_it_was_asked_to(void **state)
{
	struct mr_map *map;
	char *place;

	(void)state;
	make_backing();
	place = free_place(backing.length, kind_unit(suite_kind));
	assert_ok(mr_map_new(backing.memory, NULL, place, MR_MAP_UNIQUE | backing.access, 0, 0, &map));
	assert_ptr_equal(mr_map_address(map), place);
	assert_pattern(place, 0, backing.length, SEED);
	assert_int_equal(mr_map_options(map), MR_MAP_UNIQUE | backing.access);
	mr_map_unref(map);
	assert_ok(mr_map_new(backing.memory, NULL, place + 40, backing.access, 40, 100, &map));
	assert_ptr_equal(mr_map_address(map), place + 40);
	assert_pattern(place + 40, 40, 100, SEED);
	mr_map_unref(map);
	backing_free(&backing);
}

/* A page is taken at the beginning, in the middle, at the end of the range: the request fails, and the page is as it was. */
static void map_exact_place_clobbers_nothing(void **state)
{
	struct holdings before, after;
	uint64_t unit, page;
	struct mr_map *map = NULL;
	char *place;

	(void)state;
	make_backing();
	unit = kind_unit(suite_kind);
	page = page_size();
	place = free_place(backing.length, unit);
	for (uint64_t taken = 0; taken < backing.length; taken += (backing.length / 2 - page / 2) / page * page) {
		char *neighbour = mmap(place + taken, page, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		assert_ptr_equal(neighbour, place + taken);
		pattern_fill(neighbour, taken, page, 9);
		holdings_take(&before);
		assert_error(mr_map_new(backing.memory, NULL, place, MR_MAP_UNIQUE | backing.access, 0, 0, &map), EEXIST);
		assert_null(map);
		assert_pattern(neighbour, taken, page, 9);
		holdings_take(&after);
		assert_true(holdings_equal(&before, &after));
		holdings_free(&before);
		holdings_free(&after);
		munmap(neighbour, page);
	}
	backing_free(&backing);
}

static void map_overwrites_what_was_there(void **state)
{
	uint32_t options = MR_MAP_UNIQUE | MR_MAP_OVERWRITE;
	uint64_t unit, whole;
	struct mr_map *map;
	char *place;

	(void)state;
	make_backing();
	unit = kind_unit(suite_kind);
	whole = backing.length + 2 * unit;
	place = mmap(free_place(whole, unit), whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		     -1, 0);
	assert_ptr_not_equal(place, MAP_FAILED);
	pattern_fill(place, 0, unit, 7);
	pattern_fill(place + unit + backing.length, 0, unit, 8);
	assert_ok(mr_map_new(backing.memory, NULL, place + unit, options | backing.access, 0, 0, &map));
	assert_ptr_equal(mr_map_address(map), place + unit);
	assert_pattern(place, 0, unit, 7);
	assert_pattern(place + unit, 0, backing.length, SEED);
	assert_pattern(place + unit + backing.length, 0, unit, 8);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, backing.memory, backing.access, 0));
	assert_pattern(place + unit, 0, backing.length, SEED);
	mr_map_unref(map);
	assert_true(access_is_absent(place + unit));
	munmap(place, whole);
	backing_free(&backing);
}

/* With nothing there to overwrite it is an exact place like any other. */
static void map_overwrites_nothing(void **state)
{
	struct mr_map *map;
	char *place;

	(void)state;
	make_backing();
	place = free_place(backing.length, kind_unit(suite_kind));
	assert_ok(mr_map_new(backing.memory, NULL, place, MR_MAP_OVERWRITE | backing.access, 0, 0, &map));
	assert_ptr_equal(mr_map_address(map), place);
	assert_pattern(place, 0, backing.length, SEED);
	mr_map_unref(map);
	backing_free(&backing);
}

static void map_anywhere_ignores_the_address(void **state)
{
	struct mr_map *map;
	char here = 1;

	(void)state;
	make_backing();
	assert_ok(mr_map_new(backing.memory, NULL, &here, MR_MAP_ANYWHERE | backing.access, 0, 0, &map));
	assert_ptr_not_equal(mr_map_address(map), &here);
	assert_pattern(mr_map_address(map), 0, backing.length, SEED);
	assert_int_equal(here, 1);
	mr_map_unref(map);
	backing_free(&backing);
}

static void map_read_only_faults_on_writes(void **state)
{
	struct outcome outcome;
	struct mr_map *map;
	char *address;

	(void)state;
	make_backing();
	assert_ok(mr_map_new(backing.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_READ_ONLY, 0, 0, &map));
	address = mr_map_address(map);
	assert_int_equal(access_try(ACCESS_STORE, address, 1).signal, SIGSEGV);
	assert_int_equal(access_try(ACCESS_ADD, address + 8, 1).signal, SIGSEGV);
	outcome = access_try(ACCESS_READ, address + 16, 1);
	assert_int_equal(outcome.returned, -1);
	assert_int_equal(outcome.error, EFAULT);
	assert_pattern(address, 0, backing.length, SEED);
	assert_int_equal(mr_map_options(map) & MR_MAP_READ_ONLY, MR_MAP_READ_ONLY);
	assert_memory_pattern(backing.memory, SEED);
	mr_map_unref(map);
	backing_free(&backing);
}

static void map_copy_on_write_keeps_writes_to_itself(void **state)
{
	static const uint32_t sharing[] = { 0, MR_MAP_UNIQUE };

	(void)state;
	make_backing();
	for (size_t i = 0; i < COUNT(sharing); i++) {
		struct mr_map *map;
		uint64_t *word;

		assert_ok(mr_map_new(backing.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_COPY_ON_WRITE | sharing[i], 0, 0,
				     &map));
		assert_pattern(mr_map_address(map), 0, backing.length, SEED);
		word = mr_map_address(map);
		*word = SCENE_VALUE;
		assert_int_equal(*word, SCENE_VALUE);
		assert_pattern((char *)mr_map_address(map) + 8, 8, backing.length - 8, SEED);
		assert_memory_pattern(backing.memory, SEED);
		mr_map_unref(map);
	}
	backing_free(&backing);
}

static void map_prefault_fills_the_page_tables(void **state)
{
	static const uint32_t sharing[] = { 0, MR_MAP_UNIQUE };

	(void)state;
	make_backing();
	for (size_t i = 0; i < COUNT(sharing); i++) {
		struct mr_map *map;

		assert_ok(mr_map_new(backing.memory, NULL, NULL,
				     MR_MAP_ANYWHERE | MR_MAP_PREFAULT | backing.access | sharing[i], 0, 0, &map));
		assert_true(pages_are_present(mr_map_address(map), backing.length));
		assert_pattern(mr_map_address(map), 0, backing.length, SEED);
		mr_map_unref(map);
	}
	backing_free(&backing);
}

static void map_takes_the_cache_modes_of_ordinary_memory(void **state)
{
	static const uint32_t modes[] = { MR_MAP_CACHE_DEFAULT, MR_MAP_CACHE_COPYBACK };

	(void)state;
	make_backing();
	for (size_t i = 0; i < COUNT(modes); i++) {
		struct mr_map *map;

		assert_ok(mr_map_new(backing.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | backing.access | modes[i], 0,
				     0, &map));
		assert_int_equal(mr_map_options(map) & MR_MAP_CACHE_MASK, modes[i]);
		mr_map_unref(map);
	}
	backing_free(&backing);
}

static const struct CMUnitTest tests[] = {
	TEST(map_shows_the_whole_memory),
	TEST(map_shows_any_part),
	TEST(map_of_an_odd_part_can_be_redirected),
	TEST(map_stands_exactly_where_it_was_asked_to),
	TEST(map_exact_place_clobbers_nothing),
	TEST(map_overwrites_what_was_there),
	TEST(map_overwrites_nothing),
	TEST(map_anywhere_ignores_the_address),
	TEST(map_read_only_faults_on_writes),
	TEST_FOR(map_copy_on_write_keeps_writes_to_itself, NEED_LOCAL),
	TEST(map_prefault_fills_the_page_tables),
	TEST(map_takes_the_cache_modes_of_ordinary_memory),
};

int main(int argc, char **argv)
{
	return suite_run_kind(argc, argv, "map", tests, COUNT(tests));
}
