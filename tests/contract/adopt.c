/* SPDX-License-Identifier: MIT */
/* Maps that take over a range that is mapped already: mr_map_adopt. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kind.h"
#include "leak.h"
#include "pagemap.h"
#include "pattern.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

#define PAGES 10

static char *map_anonymous(int flags, int protection)
{
	char *address = mmap(NULL, PAGES * page_size(), PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(address, MAP_FAILED);
	pattern_fill(address, 0, PAGES * page_size(), 1);
	assert_int_equal(mprotect(address, PAGES * page_size(), protection), 0);
	return address;
}

static struct mr_memory *buffer_with_pattern(uint64_t length, unsigned seed)
{
	struct mr_memory *memory;
	char *bytes = malloc(length);

	assert_non_null(bytes);
	pattern_fill(bytes, 0, length, seed);
	assert_ok(mr_memory_new_buffer(length, 0, &memory));
	assert_ok(mr_memory_write(memory, 0, bytes, length));
	free(bytes);
	return memory;
}

static void adopt_reports_what_it_took(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ | PROT_WRITE);
	uint64_t length = PAGES * page_size();
	struct mr_map *map;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	assert_ptr_equal(mr_map_address(map), address);
	assert_int_equal(mr_map_length(map), length);
	assert_int_equal(mr_map_options(map), MR_MAP_UNIQUE | MR_MAP_STATIC);
	assert_null(mr_map_task(map));
	assert_false(mr_map_is_blocked(map));
	assert_non_null(mr_map_memory(map));
	assert_int_equal(mr_memory_length(mr_map_memory(map)), length);
	assert_memory_pattern(mr_map_memory(map), 1);
	mr_map_unref(map);
	munmap(address, length);
}

static void adopt_takes_the_options_that_it_implies(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ | PROT_WRITE);
	struct mr_map *map;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address, page_size(), MR_MAP_UNIQUE | MR_MAP_STATIC, &map));
	assert_int_equal(mr_map_options(map), MR_MAP_UNIQUE | MR_MAP_STATIC);
	mr_map_unref(map);
	munmap(address, PAGES * page_size());
}

/* The mapping, its pages and its bytes are as they were. */
static void adopt_disturbs_nothing(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ | PROT_WRITE), *before, *after;
	uint64_t length = PAGES * page_size();
	struct mr_map *map;

	(void)state;
	before = mapping_lines(address, length);
	assert_ok(mr_map_adopt(NULL, address + page_size(), 3 * page_size(), 0, &map));
	after = mapping_lines(address, length);
	assert_string_equal(before, after);
	assert_true(pages_are_present(address, length));
	free(after);
	mr_map_unref(map);
	after = mapping_lines(address, length);
	assert_string_equal(before, after);
	assert_pattern(address, 0, length, 1);
	free(after);
	free(before);
	munmap(address, length);
}

/* A part in the middle of a mapping: what lies beside it is not touched by redirects and blocks. */
static void adopt_the_middle_of_a_mapping(int flags)
{
	char *address = map_anonymous(flags, PROT_READ | PROT_WRITE);
	uint64_t page = page_size();
	struct mr_memory *buffer = buffer_with_pattern(4 * page, 2), *mine;
	struct mr_map *map;

	assert_ok(mr_map_adopt(NULL, address + 3 * page, 4 * page, 0, &map));
	mine = mr_memory_ref(mr_map_memory(map));
	assert_ok(mr_map_redirect(map, buffer, 0, 0));
	assert_pattern(address, 0, 3 * page, 1);
	assert_pattern(address + 3 * page, 0, 4 * page, 2);
	assert_pattern(address + 7 * page, 7 * page, 3 * page, 1);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_pattern(address, 0, 3 * page, 1);
	assert_pattern(address + 7 * page, 7 * page, 3 * page, 1);
	assert_ok(mr_map_redirect(map, mine, 0, 0));
	assert_pattern(address, 0, PAGES * page, 1);
	mr_map_unref(map);
	mr_memory_unref(mine);
	mr_memory_unref(buffer);
	munmap(address, PAGES * page);
}

static void adopt_the_middle_of_a_private_mapping(void **state)
{
	(void)state;
	adopt_the_middle_of_a_mapping(MAP_PRIVATE);
}

static void adopt_the_middle_of_a_shared_mapping(void **state)
{
	(void)state;
	adopt_the_middle_of_a_mapping(MAP_SHARED);
}

/* The range need not be whole pages; its pages are the map's as a whole. */
static void adopt_an_odd_range(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ | PROT_WRITE);
	uint64_t page = page_size(), length = 2 * page + 33;
	struct mr_memory *buffer = buffer_with_pattern(4 * page, 2), *mine;
	struct mr_map *map, *second = NULL;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address + 100, length, 0, &map));
	assert_ptr_equal(mr_map_address(map), address + 100);
	assert_int_equal(mr_map_length(map), length);
	mine = mr_memory_ref(mr_map_memory(map));
	assert_int_equal(mr_memory_length(mine), length);
	assert_error(mr_map_adopt(NULL, address + 2 * page + 4000, 8, 0, &second), EEXIST);
	assert_error(mr_map_redirect(map, buffer, 0, 0), EINVAL);
	assert_ok(mr_map_redirect(map, buffer, 0, page + 100));
	assert_pattern(address + 100, page + 100, length, 2);
	assert_ok(mr_map_redirect(map, mine, 0, 0));
	assert_pattern(address, 0, PAGES * page, 1);
	mr_map_unref(map);
	mr_memory_unref(mine);
	mr_memory_unref(buffer);
	munmap(address, PAGES * page);
}

static void adopt_a_read_only_range(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ);
	uint64_t length = PAGES * page_size();
	struct mr_memory *buffer = buffer_with_pattern(length, 2), *mine;
	struct mr_map *map;
	char byte = 1;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	mine = mr_memory_ref(mr_map_memory(map));
	assert_int_equal(mr_memory_options(mine) & MR_MEMORY_READ_ONLY, MR_MEMORY_READ_ONLY);
	assert_error(mr_memory_write(mine, 0, &byte, 1), EACCES);
	assert_ok(mr_map_redirect(map, buffer, MR_MAP_READ_ONLY, 0));
	assert_pattern(address, 0, length, 2);
	assert_ok(mr_map_redirect(map, mine, MR_MAP_READ_ONLY, 0));
	assert_pattern(address, 0, length, 1);
	assert_int_equal(access_try(ACCESS_STORE, address, 1).signal, SIGSEGV);
	mr_map_unref(map);
	mr_memory_unref(mine);
	mr_memory_unref(buffer);
	munmap(address, length);
}

/* A large piece of the heap, as malloc gives it. */
static void adopt_a_piece_of_the_heap(void **state)
{
	uint64_t page = page_size(), length = 64 * page;
	char *heap = aligned_alloc(page, 4 * length), *place = heap + length;
	struct mr_memory *buffer = buffer_with_pattern(length, 2), *mine;
	struct mr_map *map;

	(void)state;
	assert_non_null(heap);
	pattern_fill(heap, 0, 4 * length, 1);
	assert_ok(mr_map_adopt(NULL, place, length, 0, &map));
	mine = mr_memory_ref(mr_map_memory(map));
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, buffer, 0, 0));
	assert_pattern(place, 0, length, 2);
	assert_pattern(heap, 0, length, 1);
	assert_pattern(place + length, 2 * length, 2 * length, 1);
	assert_ok(mr_map_redirect(map, mine, 0, 0));
	assert_pattern(heap, 0, 4 * length, 1);
	mr_map_unref(map);
	mr_memory_unref(mine);
	mr_memory_unref(buffer);
	free(heap);
}

/* Pages that were never touched are zero before, meanwhile and afterwards. */
static void adopt_memory_that_was_never_touched(void **state)
{
	uint64_t page = page_size(), length = 4 * page;
	char *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct victim *victim;
	struct mr_map *map;

	(void)state;
	assert_ptr_not_equal(address, MAP_FAILED);
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	victim = victim_start(ACCESS_ADD, address + 2 * page, 5);
	assert_non_null(victim);
	assert_true(wait_waiters(map, 1));
	assert_int_equal(memory_word(mr_map_memory(map), 2 * page), 0);
	assert_ok(mr_map_redirect(map, mr_map_memory(map), 0, 0));
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.seen, 0);
	assert_int_equal(*(uint64_t *)(address + 2 * page), 5);
	assert_int_equal(*(uint64_t *)address, 0);
	victim_free(victim);
	mr_map_unref(map);
	munmap(address, length);
}

/* Nobody holds the memory but the map: it goes when the map is redirected away. */
static void adopt_and_forget_the_memory(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ | PROT_WRITE);
	uint64_t length = PAGES * page_size();
	struct mr_memory *buffer = buffer_with_pattern(length, 2);
	struct mr_map *map;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	assert_ok(mr_map_redirect(map, buffer, 0, 0));
	assert_pattern(address, 0, length, 2);
	mr_map_unref(map);
	mr_memory_unref(buffer);
	assert_pattern(address, 0, length, 2);
	munmap(address, length);
}

/* The memory of a map that has been freed, and shows another one now, still has its bytes, for as long as it is referenced. */
static void adopted_memory_outlives_its_map(int flags)
{
	char *address = map_anonymous(flags, PROT_READ | PROT_WRITE);
	uint64_t length = PAGES * page_size();
	struct mr_memory *buffer = buffer_with_pattern(length, 2), *mine;
	struct mr_map *map;

	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	mine = mr_memory_ref(mr_map_memory(map));
	assert_ok(mr_map_redirect(map, buffer, 0, 0));
	mr_map_unref(map);
	munmap(address, length);
	assert_memory_pattern(mine, 1);
	mr_memory_unref(mine);
	mr_memory_unref(buffer);
}

static void adopted_private_memory_outlives_its_map(void **state)
{
	(void)state;
	adopted_memory_outlives_its_map(MAP_PRIVATE);
}

static void adopted_shared_memory_outlives_its_map(void **state)
{
	(void)state;
	adopted_memory_outlives_its_map(MAP_SHARED);
}

/* Shared memory that was adopted is memory like any other: it can be mapped again. */
static void adopted_shared_memory_can_be_mapped_again(void **state)
{
	char *address = map_anonymous(MAP_SHARED, PROT_READ | PROT_WRITE);
	uint64_t length = PAGES * page_size();
	struct mr_map *map, *second;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	assert_ok(mr_map_new(mr_map_memory(map), NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &second));
	assert_pattern(mr_map_address(second), 0, length, 1);
	address[5] = 'x';
	assert_int_equal(((char *)mr_map_address(second))[5], 'x');
	mr_map_unref(second);
	mr_map_unref(map);
	munmap(address, length);
}

/* The memory as a copy on write of itself: what the map's clients store does not reach it, whatever was shown between. */
static void adopted_shared_memory_as_its_own_copy(void **state)
{
	char *address = map_anonymous(MAP_SHARED, PROT_READ | PROT_WRITE);
	uint64_t length = PAGES * page_size();
	struct mr_memory *mine;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	mine = mr_memory_ref(mr_map_memory(map));
	assert_ok(mr_map_redirect(map, mine, MR_MAP_READ_ONLY | MR_MAP_COPY_ON_WRITE, 0));
	for (unsigned round = 0; round < 4; round++) {
		if (round % 2)
			assert_ok(mr_map_redirect(map, NULL, 0, 0));
		assert_ok(mr_map_redirect(map, mine, MR_MAP_COPY_ON_WRITE | (round / 2 ? MR_MAP_CACHE_COPYBACK : 0), 0));
		assert_pattern(address, 0, length, 1);
		memset(address, 'x', length);
		assert_memory_pattern(mine, 1);
		assert_ok(mr_map_redirect(map, mine, 0, 0));
		assert_pattern(address, 0, length, 1);
	}
	mr_map_unref(map);
	mr_memory_unref(mine);
	munmap(address, length);
}

/* A round trip through several other memories, blocked and not, with what clients stored on the way. */
static void adopted_private_memory_survives_a_round_trip(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ | PROT_WRITE);
	uint64_t page = page_size(), length = PAGES * page;
	struct mr_memory *first = buffer_with_pattern(length, 2), *second = buffer_with_pattern(length, 3), *mine;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	mine = mr_memory_ref(mr_map_memory(map));
	for (uint64_t round = 0; round < PAGES; round++) {
		*(uint64_t *)(address + round * page) = SCENE_VALUE + round;
		assert_ok(mr_map_redirect(map, first, round % 2 ? MR_MAP_PREFAULT : 0, 0));
		assert_pattern(address, 0, length, 2);
		assert_ok(mr_map_redirect(map, NULL, 0, 0));
		assert_int_equal(memory_word(mine, round * page), SCENE_VALUE + round);
		assert_ok(mr_map_redirect(map, second, 0, 0));
		assert_pattern(address, 0, length, 3);
		if (round % 3)
			assert_ok(mr_map_redirect(map, NULL, 0, 0));
		assert_ok(mr_map_redirect(map, mine, 0, 0));
		for (uint64_t i = 0; i < PAGES; i++)
			assert_int_equal(*(uint64_t *)(address + i * page),
					 i <= round ? SCENE_VALUE + i : pattern_word(1, i * page));
	}
	mr_map_unref(map);
	mr_memory_unref(mine);
	mr_memory_unref(first);
	mr_memory_unref(second);
	munmap(address, length);
}

/* Instructions that return a number, and how they are made visible to the processor. */
static void write_function(void *address, uint16_t number)
{
#if defined(__x86_64__)
	const uint8_t code[] = { 0xb8, (uint8_t)number, (uint8_t)(number >> 8), 0, 0, 0xc3 };
#elif defined(__aarch64__)
	const uint32_t code[] = { 0x52800000u | (uint32_t)number << 5, 0xd65f03c0u };
#else
#error "write here a function that returns a number"
#endif
	memcpy(address, code, sizeof(code));
	__builtin___clear_cache(address, (char *)address + sizeof(code));
}

static void redirect_C_fetch_waits(void **state)
{
	char *address = map_anonymous(MAP_PRIVATE, PROT_READ | PROT_WRITE | PROT_EXEC);
	uint64_t length = PAGES * page_size();
	struct victim *victim;
	struct mr_map *map;

	(void)state;
	write_function(address + page_size(), 1234);
	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	assert_int_equal(access_try(ACCESS_FETCH, address + page_size(), 0).seen, 1234);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	victim = victim_start(ACCESS_FETCH, address + page_size(), 0);
	assert_non_null(victim);
	assert_true(wait_waiters(map, 1));
	assert_false(victim_is_done(victim));
	assert_ok(mr_map_redirect(map, mr_map_memory(map), 0, 0));
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.signal, 0);
	assert_int_equal(victim->outcome.seen, 1234);
	victim_free(victim);
	mr_map_unref(map);
	munmap(address, length);
}

/* What waits in a fetch, and what comes later, runs the code of the memory that the map shows by then. */
static void check_other_code(int sharing, uint32_t options)
{
	char *address = map_anonymous(sharing, PROT_READ | PROT_WRITE | PROT_EXEC), code[page_size()];
	struct victim *victim;
	struct mr_memory *own, *other;
	struct mr_map *map;

	write_function(address, 1234);
	write_function(code, 4321);
	assert_ok(mr_memory_new_buffer(PAGES * page_size(), 0, &other));
	assert_ok(mr_memory_write(other, 0, code, sizeof(code)));
	assert_ok(mr_map_adopt(NULL, address, PAGES * page_size(), 0, &map));
	own = mr_memory_ref(mr_map_memory(map));
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	victim = victim_start(ACCESS_FETCH, address, 0);
	assert_non_null(victim);
	assert_true(wait_waiters(map, 1));
	assert_ok(mr_map_redirect(map, other, options, 0));
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.signal, 0);
	assert_int_equal(victim->outcome.seen, 4321);
	victim_free(victim);
	assert_ok(mr_map_redirect(map, own, options, 0));
	assert_int_equal(access_try(ACCESS_FETCH, address, 0).seen, 1234);
	mr_map_unref(map);
	mr_memory_unref(own);
	mr_memory_unref(other);
	munmap(address, PAGES * page_size());
}

static void redirect_an_executable_range_to_other_code(void **state)
{
	(void)state;
	check_other_code(MAP_PRIVATE, 0);
	check_other_code(MAP_PRIVATE, MR_MAP_PREFAULT);
	check_other_code(MAP_SHARED, 0);
	check_other_code(MAP_SHARED, MR_MAP_READ_ONLY | MR_MAP_PREFAULT);
	check_other_code(MAP_SHARED, MR_MAP_COPY_ON_WRITE);
}

static const struct CMUnitTest tests[] = {
	TEST(adopt_reports_what_it_took),
	TEST(adopt_takes_the_options_that_it_implies),
	TEST(adopt_disturbs_nothing),
	TEST(adopt_the_middle_of_a_private_mapping),
	TEST(adopt_the_middle_of_a_shared_mapping),
	TEST(adopt_an_odd_range),
	TEST(adopt_a_read_only_range),
	TEST(adopt_a_piece_of_the_heap),
	TEST(adopt_memory_that_was_never_touched),
	TEST(adopt_and_forget_the_memory),
	TEST(adopted_private_memory_outlives_its_map),
	TEST(adopted_shared_memory_outlives_its_map),
	TEST(adopted_shared_memory_can_be_mapped_again),
	TEST(adopted_shared_memory_as_its_own_copy),
	TEST(adopted_private_memory_survives_a_round_trip),
	TEST(redirect_C_fetch_waits),
	TEST(redirect_an_executable_range_to_other_code),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "adopt", tests, COUNT(tests));
}
