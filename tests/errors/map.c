/* SPDX-License-Identifier: MIT */
/* Every error of the calls that make and ask maps. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "limit.h"
#include "pattern.h"
#include "refused.h"
#include "scene.h"

#define LENGTH (4 * page_size())

/* A buffer to map, and an out parameter that must never be written. */
static struct mr_memory *memory;
static struct mr_map *map;

static int make_memory(void **state)
{
	int error = suite_begin(state);

	map = UNTOUCHED;
	return mr_memory_new_buffer(LENGTH, 0, &memory) ? -1 : error;
}

static int free_memory(void **state)
{
	memory = mr_memory_unref(memory);
	return suite_end(state) || map != UNTOUCHED ? -1 : 0;
}

static void new_unknown_options(void **state)
{
	const uint32_t known = MR_MAP_ANYWHERE | MR_MAP_OVERWRITE | MR_MAP_READ_ONLY | MR_MAP_UNIQUE | MR_MAP_REFERENCE |
			       MR_MAP_PREFAULT | MR_MAP_COPY_ON_WRITE | MR_MAP_CACHE_MASK | MR_MAP_DRIVER;

	(void)state;
	for (int bit = 0; bit < 32; bit++)
		if (!(known & UINT32_C(1) << bit))
			assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | UINT32_C(1) << bit, 0, 0, &map),
				       EINVAL);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_STATIC, 0, 0, &map), EINVAL);
}

/* Whoever holds addresses is known as well afterwards as before. */
static void new_beyond_the_end_of_the_address_space(void **state)
{
	char *place = free_place(3 * LENGTH, page_size()), *end = (char *)(UINTPTR_MAX - page_size() + 1);
	struct mr_map *maps[3];

	(void)state;
	for (size_t i = 0; i < COUNT(maps); i++) {
		assert_ok(mr_map_new(memory, NULL, place + i * LENGTH, MR_MAP_UNIQUE, 0, 0, &maps[i]));
		assert_refused(mr_map_new(memory, NULL, end, MR_MAP_UNIQUE, 0, 0, &map), ENOMEM);
		assert_refused(mr_map_new(memory, NULL, end, MR_MAP_UNIQUE | MR_MAP_OVERWRITE, 0, 0, &map), ENOMEM);
	}
	for (size_t i = 0; i < COUNT(maps); i++)
		assert_refused(mr_map_adopt(NULL, place + i * LENGTH, LENGTH, 0, &map), EEXIST);
	for (size_t i = 0; i < COUNT(maps); i++)
		mr_map_unref(maps[i]);
}

static void new_cache_modes(void **state)
{
	static const uint32_t modes[] = { MR_MAP_CACHE_INHIBIT, MR_MAP_CACHE_WRITE_THROUGH, MR_MAP_CACHE_WRITE_COMBINE };

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++)
		assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | modes[i], 0, 0, &map), EOPNOTSUPP);
	for (uint32_t mode = MR_MAP_CACHE_WRITE_COMBINE + 0x100; mode <= MR_MAP_CACHE_MASK; mode += 0x100)
		assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | mode, 0, 0, &map), EINVAL);
}

static void new_null_arguments(void **state)
{
	(void)state;
	assert_refused(mr_map_new(NULL, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EINVAL);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, NULL), EINVAL);
	assert_refused(mr_map_new(memory, NULL, NULL, 0, 0, 0, &map), EINVAL);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_OVERWRITE, 0, 0, &map), EINVAL);
}

static void new_overwrite_anywhere(void **state)
{
	(void)state;
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_OVERWRITE | MR_MAP_ANYWHERE, 0, 0, &map), EINVAL);
}

static void new_past_the_end(void **state)
{
	(void)state;
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, LENGTH, 0, &map), ERANGE);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, LENGTH, 1, &map), ERANGE);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, LENGTH + 1, &map), ERANGE);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 1, LENGTH, &map), ERANGE);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, UINT64_MAX, 2, &map), ERANGE);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 2, UINT64_MAX, &map), ERANGE);
}

static void new_read_only_memory_for_writing(void **state)
{
	struct mr_memory *read_only;

	(void)state;
	assert_ok(mr_memory_new_sub(memory, 0, LENGTH, MR_MEMORY_READ_ONLY, &read_only));
	assert_refused(mr_map_new(read_only, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EACCES);
	assert_refused(mr_map_new(read_only, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map), EACCES);
	mr_memory_unref(read_only);
}

static void new_address_elsewhere_in_its_page(void **state)
{
	char *place = free_place(2 * LENGTH, page_size());

	(void)state;
	assert_refused(mr_map_new(memory, NULL, place + 8, 0, 0, 0, &map), EINVAL);
	assert_refused(mr_map_new(memory, NULL, place, 0, 8, 100, &map), EINVAL);
	assert_refused(mr_map_new(memory, NULL, place + 16, MR_MAP_OVERWRITE, 8, 100, &map), EINVAL);
}

static void new_address_beyond_the_address_space(void **state)
{
	void *top = (void *)(UINTPTR_MAX - page_size() + 1);
	int result;

	(void)state;
	result = mr_map_new(memory, NULL, top, 0, 0, 0, &map);
	assert_true(result == -ENOMEM || result == -EINVAL || result == -EEXIST);
	result = mr_map_new(memory, NULL, top, MR_MAP_OVERWRITE, 0, 0, &map);
	assert_true(result == -ENOMEM || result == -EINVAL);
}

/* Taken by something else, or by another map of the library, whether it shows its memory or is blocked. */
static void new_place_is_taken(void **state)
{
	char *stranger = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *place;
	struct scene scene;

	(void)state;
	assert_ptr_not_equal(stranger, MAP_FAILED);
	pattern_fill(stranger, 0, LENGTH, 5);
	scene_make(&scene, kind_find("buffer"));
	place = scene.address + scene.length - page_size();
	assert_refused(mr_map_new(memory, NULL, stranger, 0, 0, 0, &map), EEXIST);
	assert_refused(mr_map_new(memory, NULL, scene.address, MR_MAP_UNIQUE, 0, 0, &map), EEXIST);
	assert_refused(mr_map_new(memory, NULL, place, MR_MAP_UNIQUE, 0, 0, &map), EEXIST);
	assert_refused(mr_map_new(memory, NULL, place, MR_MAP_UNIQUE | MR_MAP_OVERWRITE, 0, 0, &map), EEXIST);
	scene_block(&scene);
	assert_refused(mr_map_new(memory, NULL, place, MR_MAP_UNIQUE, 0, 0, &map), EEXIST);
	assert_refused(mr_map_new(memory, NULL, place, MR_MAP_UNIQUE | MR_MAP_OVERWRITE, 0, 0, &map), EEXIST);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	assert_pattern(stranger, 0, LENGTH, 5);
	scene_free(&scene);
	munmap(stranger, LENGTH);
}

static void new_reference_without_a_map(void **state)
{
	(void)state;
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_REFERENCE, 0, 0, &map), ENOENT);
}

/* A second map of private memory. */
static void new_of_private_memory(void **state)
{
	char *bytes = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_range range = { (uintptr_t)bytes, LENGTH };
	struct mr_memory *private_memory;

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	pattern_fill(bytes, 0, LENGTH, 5);
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &private_memory));
	assert_refused(mr_map_new(private_memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EOPNOTSUPP);
	assert_refused(mr_map_new(private_memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map), EOPNOTSUPP);
	assert_pattern(bytes, 0, LENGTH, 5);
	mr_memory_unref(private_memory);
	munmap(bytes, LENGTH);
}

/* Pieces of shared memory that begin or end within a page cannot stand side by side. */
static void new_of_pieces_that_do_not_fit(void **state)
{
	char *bytes = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct mr_range ranges[] = { { (uintptr_t)bytes, 100 }, { (uintptr_t)bytes + page_size(), page_size() } };
	struct mr_memory *pieces;

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	assert_ok(mr_memory_new_ranges(NULL, ranges, 2, 0, &pieces));
	assert_refused(mr_map_new(pieces, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EINVAL);
	mr_memory_unref(pieces);
	munmap(bytes, LENGTH);
}

static void new_more_than_the_address_space_has(void **state)
{
	struct mr_memory *large;

	(void)state;
	assert_ok(mr_memory_new_buffer(UINT64_C(1) << 62, 0, &large));
	assert_refused(mr_map_new(large, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), ENOMEM);
	assert_refused(mr_map_new(large, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map), ENOMEM);
	mr_memory_unref(large);
}

/* As many mappings as the process may have. */
static int map_at_the_limit(struct child *self, void *argument)
{
	uint32_t options = *(uint32_t *)argument | MR_MAP_ANYWHERE;
	struct holdings before, after;
	struct scene scene;
	int result;

	(void)self;
	memory = mr_memory_unref(memory);
	assert_ok(mr_memory_new_buffer(LENGTH, 0, &memory));
	scene_make(&scene, kind_find("buffer"));
	assert_true(limit_reach());
	limit_leave();
	holdings_take(&before);
	assert_true(limit_reach());
	result = mr_map_new(memory, NULL, NULL, options, 0, 0, &map);
	limit_leave();
	assert_int_equal(result, -ENOMEM);
	holdings_take(&after);
	assert_int_equal(after.descriptors, before.descriptors);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	return map == UNTOUCHED ? 0 : 1;
}

static void new_at_the_limit_of_mappings(void **state)
{
	uint32_t shared = 0, unique = MR_MAP_UNIQUE, copied = MR_MAP_UNIQUE | MR_MAP_COPY_ON_WRITE | MR_MAP_PREFAULT;

	(void)state;
	if (!limit_can_be_reached()) {
		print_message("vm.max_map_count is too large to be reached here\n");
		skip();
	}
	assert_int_equal(child_run(map_at_the_limit, &shared), 0);
	assert_int_equal(child_run(map_at_the_limit, &unique), 0);
	assert_int_equal(child_run(map_at_the_limit, &copied), 0);
}

static void adopt_what_is_not_mapped(void **state)
{
	uint64_t page = page_size();
	char *bytes = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	munmap(bytes + 2 * page, page);
	assert_refused(mr_map_adopt(NULL, bytes, LENGTH, 0, &map), EFAULT);
	assert_refused(mr_map_adopt(NULL, bytes + 2 * page, page, 0, &map), EFAULT);
	assert_refused(mr_map_adopt(NULL, bytes + page, page + 1, 0, &map), EFAULT);
	assert_refused(mr_map_adopt(NULL, bytes + 3 * page - 1, 2, 0, &map), EFAULT);
	assert_refused(mr_map_adopt(NULL, NULL, page, 0, &map), EFAULT);
	munmap(bytes, 2 * page);
	munmap(bytes + 3 * page, page);
}

static void adopt_what_another_map_holds(void **state)
{
	char *bytes = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_map *adopted;
	struct scene scene;

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	scene_make(&scene, kind_find("buffer"));
	assert_ok(mr_map_adopt(NULL, bytes + page_size(), page_size(), 0, &adopted));
	assert_refused(mr_map_adopt(NULL, scene.address, scene.length, 0, &map), EEXIST);
	assert_refused(mr_map_adopt(NULL, scene.address + 8, 8, 0, &map), EEXIST);
	assert_refused(mr_map_adopt(NULL, bytes, LENGTH, 0, &map), EEXIST);
	assert_refused(mr_map_adopt(NULL, bytes + page_size(), page_size(), 0, &map), EEXIST);
	assert_refused(mr_map_adopt(NULL, bytes + 2 * page_size() - 1, 1, 0, &map), EEXIST);
	scene_block(&scene);
	assert_refused(mr_map_adopt(NULL, scene.address, scene.length, 0, &map), EEXIST);
	scene_free(&scene);
	mr_map_unref(adopted);
	munmap(bytes, LENGTH);
}

static void adopt_with_wrong_arguments(void **state)
{
	char *bytes = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	assert_refused(mr_map_adopt(NULL, bytes, 0, 0, &map), EINVAL);
	assert_refused(mr_map_adopt(NULL, bytes, UINT64_MAX, 0, &map), EINVAL);
	assert_refused(mr_map_adopt(NULL, bytes, UINT64_MAX - (uintptr_t)bytes + 1, 0, &map), EINVAL);
	assert_refused(mr_map_adopt(NULL, (void *)(UINTPTR_MAX - 10), 100, 0, &map), EINVAL);
	assert_refused(mr_map_adopt(NULL, bytes, LENGTH, 0, NULL), EINVAL);
	munmap(bytes, LENGTH);
}

static void adopt_unknown_options(void **state)
{
	char *bytes = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(bytes, MAP_FAILED);
	for (int bit = 0; bit < 32; bit++)
		if (!((MR_MAP_UNIQUE | MR_MAP_STATIC) & UINT32_C(1) << bit))
			assert_refused(mr_map_adopt(NULL, bytes, LENGTH, UINT32_C(1) << bit, &map), EINVAL);
	munmap(bytes, LENGTH);
}

/* Called with a large frame, so that the page of the caller's is not the one that the library runs on. */
static __attribute__((noinline)) void adopt_from_below(uintptr_t page)
{
	volatile char room[16 * 4096];

	room[0] = 1;
	assert_refused(mr_map_adopt(NULL, (void *)page, page_size(), 0, &map), EOPNOTSUPP);
	assert_int_equal(room[0], 1);
}

static void adopt_the_stack(void **state)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0), page = here - here % page_size();

	(void)state;
	assert_refused(mr_map_adopt(NULL, (void *)page, page_size(), 0, &map), EOPNOTSUPP);
	assert_refused(mr_map_adopt(NULL, (void *)(page - 3 * page_size()), 4 * page_size(), 0, &map), EOPNOTSUPP);
	adopt_from_below(page);
}

static void unmap_of_nothing(void **state)
{
	struct scene scene;

	(void)state;
	assert_refused(mr_map_unmap(NULL), EINVAL);
	scene_make(&scene, kind_find("buffer"));
	assert_ok(mr_map_unmap(scene.map));
	assert_refused(mr_map_unmap(scene.map), ENXIO);
	scene_free(&scene);
}

static void physical_of_wrong_arguments(void **state)
{
	uint64_t address = 1, length = 2;
	struct scene scene;

	(void)state;
	scene_make(&scene, kind_find("buffer"));
	assert_refused(mr_map_physical_address(NULL, &address), EINVAL);
	assert_refused(mr_map_physical_address(scene.map, NULL), EINVAL);
	assert_refused(mr_map_physical_segment(NULL, 0, &address, &length), EINVAL);
	assert_refused(mr_map_physical_segment(scene.map, 0, NULL, &length), EINVAL);
	assert_refused(mr_map_physical_segment(scene.map, 0, &address, NULL), EINVAL);
	assert_refused(mr_map_physical_segment(scene.map, scene.length, &address, &length), ERANGE);
	assert_refused(mr_map_physical_segment(scene.map, UINT64_MAX, &address, &length), ERANGE);
	assert_ok(mr_map_unmap(scene.map));
	assert_refused(mr_map_physical_address(scene.map, &address), ENXIO);
	assert_refused(mr_map_physical_segment(scene.map, 0, &address, &length), ENXIO);
	assert_int_equal(address, 1);
	assert_int_equal(length, 2);
	scene_free(&scene);
}

static void physical_of_what_is_not_resident(void **state)
{
	int expected = features()->frame_numbers ? ENODATA : EPERM;
	uint64_t address = 1, length = 2;
	struct mr_map *fresh;

	(void)state;
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &fresh));
	assert_refused(mr_map_physical_address(fresh, &address), expected);
	assert_refused(mr_map_physical_segment(fresh, 0, &address, &length), expected);
	assert_int_equal(address, 1);
	assert_int_equal(length, 2);
	mr_map_unref(fresh);
}

static void getters_of_null(void **state)
{
	(void)state;
	assert_null(mr_map_address(NULL));
	assert_int_equal(mr_map_length(NULL), 0);
	assert_null(mr_map_task(NULL));
	assert_null(mr_map_memory(NULL));
	assert_int_equal(mr_map_options(NULL), 0);
	assert_false(mr_map_is_blocked(NULL));
	assert_int_equal(mr_map_waiters(NULL), 0);
	assert_refused(mr_features(NULL), EINVAL);
}

#define REFUSED(function) cmocka_unit_test_setup_teardown(function, make_memory, free_memory)

static const struct CMUnitTest tests[] = {
	REFUSED(new_unknown_options),
	REFUSED(new_cache_modes),
	REFUSED(new_beyond_the_end_of_the_address_space),
	REFUSED(new_null_arguments),
	REFUSED(new_overwrite_anywhere),
	REFUSED(new_past_the_end),
	REFUSED(new_read_only_memory_for_writing),
	REFUSED(new_address_elsewhere_in_its_page),
	REFUSED(new_address_beyond_the_address_space),
	REFUSED(new_place_is_taken),
	REFUSED(new_reference_without_a_map),
	REFUSED(new_of_private_memory),
	REFUSED(new_of_pieces_that_do_not_fit),
	REFUSED(new_more_than_the_address_space_has),
	REFUSED(new_at_the_limit_of_mappings),
	REFUSED(adopt_what_is_not_mapped),
	REFUSED(adopt_what_another_map_holds),
	REFUSED(adopt_with_wrong_arguments),
	REFUSED(adopt_unknown_options),
	REFUSED(adopt_the_stack),
	REFUSED(unmap_of_nothing),
	REFUSED(physical_of_wrong_arguments),
	REFUSED(physical_of_what_is_not_resident),
	REFUSED(getters_of_null),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "errors of maps", tests, COUNT(tests));
}
