/* SPDX-License-Identifier: MIT */
/* How memories are made: of nothing, of descriptors, of what is mapped, of other memories. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kind.h"
#include "leak.h"
#include "pattern.h"
#include "scene.h"
#include "suite.h"

static bool is_zero(struct mr_memory *memory)
{
	uint64_t length = mr_memory_length(memory);
	char *bytes = malloc(length);
	bool zero = true;

	assert_non_null(bytes);
	memset(bytes, 1, length);
	assert_ok(mr_memory_read(memory, 0, bytes, length));
	for (uint64_t i = 0; i < length; i++)
		zero = zero && !bytes[i];
	free(bytes);
	return zero;
}

static void buffer_is_zeroed_and_as_long_as_asked_for(void **state)
{
	static const uint64_t lengths[] = { 1, 100, 4095, 4096, 4097, 1000000 };

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct mr_memory *memory;

		assert_ok(mr_memory_new_buffer(lengths[i], 0, &memory));
		assert_int_equal(mr_memory_length(memory), lengths[i]);
		assert_int_equal(mr_memory_options(memory), 0);
		assert_true(is_zero(memory));
		assert_null(mr_memory_unref(memory));
	}
}

static void buffer_read_only_is_all_zero_for_good(void **state)
{
	struct mr_memory *memory;
	struct mr_map *map;
	char byte = 1;

	(void)state;
	assert_ok(mr_memory_new_buffer(5000, MR_MEMORY_READ_ONLY, &memory));
	assert_int_equal(mr_memory_options(memory), MR_MEMORY_READ_ONLY);
	assert_error(mr_memory_write(memory, 0, &byte, 1), EACCES);
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_READ_ONLY, 0, 0, &map));
	assert_int_equal(access_try(ACCESS_STORE, mr_map_address(map), 1).signal, SIGSEGV);
	assert_true(is_zero(memory));
	mr_map_unref(map);
	mr_memory_unref(memory);
}

static void buffers_are_apart(void **state)
{
	struct mr_memory *first, *second;
	uint64_t value = SCENE_VALUE;

	(void)state;
	assert_ok(mr_memory_new_buffer(4096, 0, &first));
	assert_ok(mr_memory_new_buffer(4096, 0, &second));
	assert_ok(mr_memory_write(first, 0, &value, sizeof(value)));
	assert_true(is_zero(second));
	mr_memory_unref(first);
	mr_memory_unref(second);
}

static void references_of_null_are_allowed(void **state)
{
	(void)state;
	assert_null(mr_memory_ref(NULL));
	assert_null(mr_memory_unref(NULL));
	assert_null(mr_map_ref(NULL));
	assert_null(mr_map_unref(NULL));
	assert_int_equal(mr_memory_length(NULL), 0);
	assert_int_equal(mr_memory_options(NULL), 0);
}

static void fd_can_be_closed_by_its_owner(void **state)
{
	int fd = memfd_with_pattern(10000, 1);
	struct mr_memory *memory;

	(void)state;
	assert_ok(mr_memory_new_fd(fd, 0, 10000, 0, &memory));
	close(fd);
	assert_memory_pattern(memory, 1);
	mr_memory_unref(memory);
}

/* None of the descriptors that the library opens is for programs that are started. */
static void descriptors_are_close_on_exec(void **state)
{
	int fd = memfd_with_pattern(10, 1), found = 0;
	bool was_open[256];
	struct mr_memory *memory;
	struct scene scene;

	(void)state;
	for (int i = 0; i < 256; i++)
		was_open[i] = fcntl(i, F_GETFD) >= 0;
	assert_ok(mr_memory_new_fd(fd, 0, 10, 0, &memory));
	scene_make(&scene, kind_find("buffer"));
	scene_block(&scene);
	for (int i = 0; i < 256; i++) {
		int flags = was_open[i] ? -1 : fcntl(i, F_GETFD);

		found += flags >= 0;
		assert_true(flags < 0 || flags == FD_CLOEXEC);
	}
	assert_in_range(found, 4, 10);
	scene_free(&scene);
	close(fd);
	mr_memory_unref(memory);
}

static void fd_range_need_not_be_whole_pages(void **state)
{
	int fd = memfd_with_pattern(40000, 1);

	(void)state;
	for (uint64_t offset = 0; offset < 20000; offset += 1777) {
		char bytes[10001];
		struct mr_memory *memory;
		struct mr_map *map;

		assert_ok(mr_memory_new_fd(fd, offset, sizeof(bytes), 0, &memory));
		assert_int_equal(mr_memory_length(memory), sizeof(bytes));
		assert_ok(mr_memory_read(memory, 0, bytes, sizeof(bytes)));
		assert_pattern(bytes, offset, sizeof(bytes), 1);
		assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
		assert_int_equal((uintptr_t)mr_map_address(map) % page_size(), offset % page_size());
		assert_pattern(mr_map_address(map), offset, sizeof(bytes), 1);
		mr_map_unref(map);
		mr_memory_unref(memory);
	}
	close(fd);
}

static void fd_range_may_end_where_the_file_does(void **state)
{
	int fd = disk_file_with_pattern(5001, 1);
	struct mr_memory *memory;

	(void)state;
	assert_ok(mr_memory_new_fd(fd, 1, 5000, 0, &memory));
	assert_int_equal(mr_memory_length(memory), 5000);
	close(fd);
	mr_memory_unref(memory);
}

static void memories_of_one_file_share_its_bytes(void **state)
{
	int fd = disk_file_with_pattern(8192, 1);
	struct mr_memory *first, *second;
	uint64_t value = SCENE_VALUE;

	(void)state;
	assert_ok(mr_memory_new_fd(fd, 0, 8192, 0, &first));
	assert_ok(mr_memory_new_fd(fd, 4096, 4096, 0, &second));
	assert_ok(mr_memory_write(first, 4096, &value, sizeof(value)));
	assert_int_equal(memory_word(second, 0), value);
	close(fd);
	mr_memory_unref(first);
	mr_memory_unref(second);
}

/* Each range is gathered in the order in which it is given, whatever its address, and is no copy. */
static void ranges_are_gathered_in_order(int flags)
{
	uint64_t page = page_size();
	char *bytes = mmap(NULL, 6 * page, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0), copy[3 * 4096];
	struct mr_range ranges[] = { { (uintptr_t)bytes + 4 * page, page }, { (uintptr_t)bytes, 2 * page } };
	uint64_t value = SCENE_VALUE;
	struct mr_memory *memory;

	assert_ptr_not_equal(bytes, MAP_FAILED);
	assert_true(3 * page <= sizeof(copy));
	pattern_fill(bytes + 4 * page, 0, page, 1);
	pattern_fill(bytes, page, 2 * page, 1);
	assert_ok(mr_memory_new_ranges(NULL, ranges, COUNT(ranges), 0, &memory));
	assert_int_equal(mr_memory_length(memory), 3 * page);
	assert_memory_pattern(memory, 1);
	assert_ok(mr_memory_write(memory, page, &value, sizeof(value)));
	assert_int_equal(*(uint64_t *)bytes, value);
	*(uint64_t *)(bytes + 4 * page) = value;
	assert_int_equal(memory_word(memory, 0), value);
	assert_ok(mr_memory_read(memory, 0, copy, 3 * page));
	assert_pattern(copy + 8, 8, page - 8, 1);
	mr_memory_unref(memory);
	munmap(bytes, 6 * page);
}

static void ranges_of_shared_memory_are_that_memory(void **state)
{
	(void)state;
	ranges_are_gathered_in_order(MAP_SHARED);
}

static void ranges_of_private_memory_are_that_memory(void **state)
{
	(void)state;
	ranges_are_gathered_in_order(MAP_PRIVATE);
}

/* Also of pieces of the heap, with any number of bytes. */
static void ranges_need_not_be_whole_pages(void **state)
{
	char *heap = malloc(300), bytes[250];
	struct mr_range ranges[] = { { (uintptr_t)heap + 7, 113 }, { (uintptr_t)heap + 150, 137 } };
	struct mr_memory *memory;

	(void)state;
	assert_non_null(heap);
	pattern_fill(heap + 7, 0, 113, 1);
	pattern_fill(heap + 150, 113, 137, 1);
	assert_ok(mr_memory_new_ranges(NULL, ranges, COUNT(ranges), 0, &memory));
	assert_int_equal(mr_memory_length(memory), sizeof(bytes));
	assert_memory_pattern(memory, 1);
	pattern_fill(bytes, 0, sizeof(bytes), 2);
	assert_ok(mr_memory_write(memory, 0, bytes, sizeof(bytes)));
	assert_pattern(heap + 7, 0, 113, 2);
	assert_pattern(heap + 150, 113, 137, 2);
	mr_memory_unref(memory);
	free(heap);
}

static void ranges_of_shared_memory_outlive_the_mapping(void **state)
{
	uint64_t length = 3 * page_size();
	char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct mr_range range = { (uintptr_t)bytes, length };
	struct mr_memory *memory;
	struct mr_map *map;

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	pattern_fill(bytes, 0, length, 1);
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &memory));
	munmap(bytes, length);
	assert_memory_pattern(memory, 1);
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	assert_pattern(mr_map_address(map), 0, length, 1);
	mr_map_unref(map);
	mr_memory_unref(memory);
}

static void ranges_of_private_memory_live_as_long_as_it_is_mapped(void **state)
{
	uint64_t length = 2 * page_size();
	char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_range range = { (uintptr_t)bytes, length };
	struct mr_memory *memory;
	char byte;

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &memory));
	assert_ok(mr_memory_read(memory, 0, &byte, 1));
	munmap(bytes, length);
	assert_error(mr_memory_read(memory, 0, &byte, 1), EFAULT);
	assert_error(mr_memory_write(memory, 0, &byte, 1), EFAULT);
	mr_memory_unref(memory);
}

static void ranges_read_only_of_constants(void **state)
{
	static const char constant[] = "these bytes lie in a part of the program that cannot be written";
	struct mr_range range = { (uintptr_t)constant, sizeof(constant) };
	struct mr_memory *memory = NULL;
	char bytes[sizeof(constant)];

	(void)state;
	assert_error(mr_memory_new_ranges(NULL, &range, 1, 0, &memory), EACCES);
	assert_null(memory);
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, MR_MEMORY_READ_ONLY, &memory));
	assert_ok(mr_memory_read(memory, 0, bytes, sizeof(bytes)));
	assert_string_equal(bytes, constant);
	assert_error(mr_memory_write(memory, 0, bytes, 1), EACCES);
	mr_memory_unref(memory);
}

/* Of a map of this library: the memory that the map shows when it is asked, also when the map shows another one later. */
static void ranges_in_a_map_stay_what_was_mapped(void **state)
{
	struct mr_memory *memory;
	struct mr_range range;
	struct scene scene;

	(void)state;
	scene_make(&scene, kind_find("buffer"));
	range = (struct mr_range){ (uintptr_t)scene.address, scene.length };
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &memory));
	scene_switch(&scene);
	assert_memory_pattern(memory, SCENE_OLD);
	scene_block(&scene);
	assert_memory_pattern(memory, SCENE_OLD);
	assert_ok(mr_map_redirect(scene.map, memory, 0, 0));
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	mr_memory_unref(memory);
	scene_free(&scene);
}

/* Private memory that is in an adopted map is still that memory while the map shows another one, or is blocked. */
static void ranges_of_private_memory_follow_it(void **state)
{
	struct mr_memory *memory;
	struct mr_range range;
	struct scene scene;
	uint64_t value = SCENE_VALUE;

	(void)state;
	scene_make(&scene, kind_find("adopted-private"));
	range = (struct mr_range){ (uintptr_t)scene.address, scene.length };
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &memory));
	scene_block(&scene);
	assert_memory_pattern(memory, SCENE_OLD);
	scene_switch(&scene);
	assert_memory_pattern(memory, SCENE_OLD);
	assert_ok(mr_memory_write(memory, 8, &value, sizeof(value)));
	scene_restore(&scene);
	assert_int_equal(*(uint64_t *)(scene.address + 8), value);
	mr_memory_unref(memory);
	scene_free(&scene);
}

static struct mr_memory *buffer_with_pattern(uint64_t offset, uint64_t length)
{
	struct mr_memory *memory;
	char *bytes = malloc(length);

	assert_non_null(bytes);
	pattern_fill(bytes, offset, length, 1);
	assert_ok(mr_memory_new_buffer(length, 0, &memory));
	assert_ok(mr_memory_write(memory, 0, bytes, length));
	free(bytes);
	return memory;
}

static void multi_is_its_parts_in_a_row(void **state)
{
	uint64_t page = page_size();
	struct mr_memory *parts[3] = { buffer_with_pattern(0, page), buffer_with_pattern(page, 3 * page),
				       buffer_with_pattern(4 * page, 100) };
	struct mr_memory *multi;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_memory_new_multi(parts, 3, 0, &multi));
	assert_int_equal(mr_memory_length(multi), 4 * page + 100);
	for (size_t i = 0; i < 3; i++)
		mr_memory_unref(parts[i]);
	assert_memory_pattern(multi, 1);
	assert_ok(mr_map_new(multi, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	assert_pattern(mr_map_address(map), 0, 4 * page + 100, 1);
	mr_map_unref(map);
	assert_ok(mr_map_new(multi, NULL, NULL, MR_MAP_ANYWHERE, page / 2, 2 * page, &map));
	assert_pattern(mr_map_address(map), page / 2, 2 * page, 1);
	mr_map_unref(map);
	mr_memory_unref(multi);
}

/* The same part twice: both places show the same bytes. */
static void multi_may_repeat_a_part(void **state)
{
	uint64_t page = page_size();
	struct mr_memory *part = buffer_with_pattern(0, page), *parts[2] = { part, part }, *multi;
	struct mr_map *map;
	char *address;

	(void)state;
	assert_ok(mr_memory_new_multi(parts, 2, 0, &multi));
	assert_ok(mr_map_new(multi, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	address = mr_map_address(map);
	address[5] = 'x';
	assert_int_equal(address[page + 5], 'x');
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, multi, 0, 0));
	address[page + 6] = 'y';
	assert_int_equal(address[6], 'y');
	mr_map_unref(map);
	mr_memory_unref(multi);
	mr_memory_unref(part);
}

/* The first part may begin, and the last may end, within a page. */
static void multi_may_be_odd_at_its_ends(void **state)
{
	uint64_t page = page_size();
	struct mr_memory *whole = buffer_with_pattern(0, 4 * page), *parts[2], *multi;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_memory_new_sub(whole, 10, 2 * page - 10, 0, &parts[0]));
	assert_ok(mr_memory_new_sub(whole, 2 * page, page + 1, 0, &parts[1]));
	assert_ok(mr_memory_new_multi(parts, 2, 0, &multi));
	assert_int_equal(mr_memory_length(multi), 3 * page - 9);
	assert_ok(mr_map_new(multi, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	assert_pattern(mr_map_address(map), 10, 3 * page - 9, 1);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, multi, 0, 0));
	assert_pattern(mr_map_address(map), 10, 3 * page - 9, 1);
	mr_map_unref(map);
	mr_memory_unref(multi);
	mr_memory_unref(parts[0]);
	mr_memory_unref(parts[1]);
	mr_memory_unref(whole);
}

static void multi_of_multi_and_a_window_across(void **state)
{
	uint64_t page = page_size();
	struct mr_memory *first[2] = { buffer_with_pattern(0, page), buffer_with_pattern(page, page) }, *second[2], *outer,
			 *window;
	char bytes[4096];

	(void)state;
	assert_ok(mr_memory_new_multi(first, 2, 0, &second[0]));
	second[1] = buffer_with_pattern(2 * page, page);
	assert_ok(mr_memory_new_multi(second, 2, 0, &outer));
	assert_memory_pattern(outer, 1);
	assert_ok(mr_memory_new_sub(outer, page - 100, page + 200, 0, &window));
	for (size_t i = 0; i < 2; i++) {
		mr_memory_unref(first[i]);
		mr_memory_unref(second[i]);
	}
	mr_memory_unref(outer);
	assert_ok(mr_memory_read(window, 50, bytes, page));
	assert_pattern(bytes, page - 50, page, 1);
	mr_memory_unref(window);
}

static void read_only_passes_on(void **state)
{
	uint64_t page = page_size();
	struct mr_memory *parts[2] = { buffer_with_pattern(0, page), NULL }, *multi, *window, *inner;
	char byte = 1;

	(void)state;
	assert_ok(mr_memory_new_buffer(page, MR_MEMORY_READ_ONLY, &parts[1]));
	assert_ok(mr_memory_new_multi(parts, 2, 0, &multi));
	assert_int_equal(mr_memory_options(multi), MR_MEMORY_READ_ONLY);
	assert_error(mr_memory_write(multi, 0, &byte, 1), EACCES);
	assert_ok(mr_memory_new_sub(parts[0], 0, page, MR_MEMORY_READ_ONLY, &window));
	assert_int_equal(mr_memory_options(window), MR_MEMORY_READ_ONLY);
	assert_error(mr_memory_write(window, 0, &byte, 1), EACCES);
	assert_ok(mr_memory_new_sub(window, 0, page, 0, &inner));
	assert_int_equal(mr_memory_options(inner), MR_MEMORY_READ_ONLY);
	assert_ok(mr_memory_write(parts[0], 0, &byte, 1));
	mr_memory_unref(inner);
	mr_memory_unref(window);
	mr_memory_unref(multi);
	mr_memory_unref(parts[0]);
	mr_memory_unref(parts[1]);
}

static const struct CMUnitTest tests[] = {
	TEST(buffer_is_zeroed_and_as_long_as_asked_for),
	TEST(buffer_read_only_is_all_zero_for_good),
	TEST(buffers_are_apart),
	TEST(references_of_null_are_allowed),
	TEST(fd_can_be_closed_by_its_owner),
	TEST(descriptors_are_close_on_exec),
	TEST(fd_range_need_not_be_whole_pages),
	TEST(fd_range_may_end_where_the_file_does),
	TEST(memories_of_one_file_share_its_bytes),
	TEST(ranges_of_shared_memory_are_that_memory),
	TEST(ranges_of_private_memory_are_that_memory),
	TEST(ranges_need_not_be_whole_pages),
	TEST(ranges_of_shared_memory_outlive_the_mapping),
	TEST(ranges_of_private_memory_live_as_long_as_it_is_mapped),
	TEST(ranges_read_only_of_constants),
	TEST(ranges_in_a_map_stay_what_was_mapped),
	TEST(ranges_of_private_memory_follow_it),
	TEST(multi_is_its_parts_in_a_row),
	TEST(multi_may_repeat_a_part),
	TEST(multi_may_be_odd_at_its_ends),
	TEST(multi_of_multi_and_a_window_across),
	TEST(read_only_passes_on),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "make", tests, COUNT(tests));
}
