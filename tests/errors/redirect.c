/* SPDX-License-Identifier: MIT */
/*
 * Every error of mr_map_redirect, on a live map and on a blocked one in which a client waits, over all kinds of memory; and that
 * each leaves all as it was (guarantee E).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "limit.h"
#include "refused.h"
#include "scene.h"
#include "wait.h"

#define WHERE 40

/* A map that is live, or blocked with a client waiting in it. */
struct case_state {
	struct scene scene;
	struct victim *victim;
	bool blocked;
};

static void case_begin(struct case_state *now, bool blocked)
{
	*now = (struct case_state){ .blocked = blocked };
	scene_make(&now->scene, suite_kind);
	if (!blocked)
		return;
	scene_block(&now->scene);
	now->victim = scene_victim(&now->scene, ACCESS_LOAD, WHERE);
}

/* All is as it was: what the map reports and shows, both memories, the client that waits. */
static void case_check(struct case_state *now)
{
	struct scene *scene = &now->scene;

	assert_int_equal(mr_map_is_blocked(scene->map), now->blocked);
	assert_ptr_equal(mr_map_memory(scene->map), scene->sample.memory);
	assert_ptr_equal(mr_map_address(scene->map), scene->address);
	assert_int_equal(mr_map_options(scene->map) & (MR_MAP_READ_ONLY | MR_MAP_COPY_ON_WRITE), scene->sample.backing.access);
	assert_memory_pattern(scene->sample.memory, SCENE_OLD);
	assert_memory_pattern(scene->other.memory, SCENE_NEW);
	if (!now->blocked) {
		assert_pattern(scene->address, 0, scene->length, SCENE_OLD);
		return;
	}
	assert_int_equal(mr_map_waiters(scene->map), 1);
	assert_false(victim_is_done(now->victim));
}

static void case_end(struct case_state *now)
{
	case_check(now);
	if (now->blocked) {
		scene_restore(&now->scene);
		scene_victim_end(now->victim, SCENE_OLD, WHERE);
	}
	assert_pattern(now->scene.address, 0, now->scene.length, SCENE_OLD);
	scene_free(&now->scene);
}

/* The body of a test, for a live map and for a blocked one. */
static void live_and_blocked(void (*body)(struct case_state *now))
{
	for (int blocked = 0; blocked < 2; blocked++) {
		struct case_state now;

		case_begin(&now, blocked);
		body(&now);
		case_end(&now);
	}
}

static void try_unknown_options(struct case_state *now)
{
	const uint32_t known = MR_MAP_READ_ONLY | MR_MAP_PREFAULT | MR_MAP_COPY_ON_WRITE | MR_MAP_CACHE_MASK;
	struct scene *scene = &now->scene;

	for (int bit = 0; bit < 32; bit++)
		if (!(known & UINT32_C(1) << bit))
			assert_refused(
				mr_map_redirect(scene->map, scene->other.memory, scene->other.access | UINT32_C(1) << bit, 0),
				EINVAL);
	case_check(now);
}

static void unknown_options(void **state)
{
	(void)state;
	live_and_blocked(try_unknown_options);
}

static void try_cache_modes(struct case_state *now)
{
	static const uint32_t modes[] = { MR_MAP_CACHE_INHIBIT, MR_MAP_CACHE_WRITE_THROUGH, MR_MAP_CACHE_WRITE_COMBINE };
	struct scene *scene = &now->scene;

	for (size_t i = 0; i < COUNT(modes); i++)
		assert_refused(mr_map_redirect(scene->map, scene->other.memory, scene->other.access | modes[i], 0), EOPNOTSUPP);
	for (uint32_t mode = MR_MAP_CACHE_WRITE_COMBINE + 0x100; mode <= MR_MAP_CACHE_MASK; mode += 0x100)
		assert_refused(mr_map_redirect(scene->map, scene->other.memory, scene->other.access | mode, 0), EINVAL);
}

static void cache_modes(void **state)
{
	(void)state;
	live_and_blocked(try_cache_modes);
}

static void try_null_with_more(struct case_state *now)
{
	static const uint32_t options[] = { MR_MAP_READ_ONLY, MR_MAP_PREFAULT, MR_MAP_COPY_ON_WRITE, MR_MAP_CACHE_COPYBACK,
					    MR_MAP_UNIQUE };
	struct scene *scene = &now->scene;

	for (size_t i = 0; i < COUNT(options); i++)
		assert_refused(mr_map_redirect(scene->map, NULL, options[i], 0), EINVAL);
	assert_refused(mr_map_redirect(scene->map, NULL, 0, 1), EINVAL);
	assert_refused(mr_map_redirect(scene->map, NULL, 0, kind_unit(suite_kind)), EINVAL);
	assert_refused(mr_map_redirect(scene->map, NULL, MR_MAP_READ_ONLY, 4096), EINVAL);
}

static void null_with_an_offset_or_options(void **state)
{
	(void)state;
	live_and_blocked(try_null_with_more);
}

static void try_past_the_end(struct case_state *now)
{
	struct scene *scene = &now->scene;
	struct mr_memory *shorter;

	assert_ok(mr_memory_new_sub(scene->other.memory, 0, scene->length - 1, 0, &shorter));
	assert_refused(mr_map_redirect(scene->map, shorter, scene->other.access, 0), ERANGE);
	assert_refused(mr_map_redirect(scene->map, scene->other.memory, scene->other.access, kind_unit(suite_kind)), ERANGE);
	assert_refused(mr_map_redirect(scene->map, scene->other.memory, scene->other.access, scene->length), ERANGE);
	assert_refused(
		mr_map_redirect(scene->map, scene->other.memory, scene->other.access, UINT64_MAX - kind_unit(suite_kind) + 1),
		ERANGE);
	assert_refused(mr_map_redirect(scene->map, scene->sample.memory, scene->sample.backing.access, kind_unit(suite_kind)),
		       ERANGE);
	mr_memory_unref(shorter);
}

static void past_the_end_of_the_new_backing(void **state)
{
	(void)state;
	live_and_blocked(try_past_the_end);
}

static void try_offset_elsewhere(struct case_state *now)
{
	struct scene *scene = &now->scene;
	struct backing longer;

	backing_make_other(&longer, suite_kind, 2 * scene->length, 3);
	assert_refused(mr_map_redirect(scene->map, longer.memory, longer.access, 1), EINVAL);
	assert_refused(mr_map_redirect(scene->map, longer.memory, longer.access, 8), EINVAL);
	assert_refused(mr_map_redirect(scene->map, longer.memory, longer.access, kind_unit(suite_kind) + 2048), EINVAL);
	backing_free(&longer);
}

static void offset_elsewhere_in_its_page(void **state)
{
	(void)state;
	live_and_blocked(try_offset_elsewhere);
}

static void try_read_only_memory(struct case_state *now)
{
	struct scene *scene = &now->scene;
	struct mr_memory *read_only;

	assert_ok(mr_memory_new_sub(scene->other.memory, 0, scene->length, MR_MEMORY_READ_ONLY, &read_only));
	assert_refused(mr_map_redirect(scene->map, read_only, 0, 0), EACCES);
	assert_refused(mr_map_redirect(scene->map, read_only, MR_MAP_PREFAULT, 0), EACCES);
	mr_memory_unref(read_only);
}

static void read_only_memory_for_writing(void **state)
{
	(void)state;
	live_and_blocked(try_read_only_memory);
}

/* Private memory of this process is somewhere else already. */
static void try_private_memory(struct case_state *now)
{
	struct scene *scene = &now->scene;
	char *bytes = mmap(NULL, scene->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_range range = { (uintptr_t)bytes, scene->length };
	struct mr_memory *private_memory;

	assert_ptr_not_equal(bytes, MAP_FAILED);
	pattern_fill(bytes, 0, scene->length, 6);
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &private_memory));
	assert_refused(mr_map_redirect(scene->map, private_memory, 0, 0), EOPNOTSUPP);
	assert_refused(mr_map_redirect(scene->map, private_memory, MR_MAP_READ_ONLY, 0), EOPNOTSUPP);
	assert_refused(mr_map_redirect(scene->map, private_memory, MR_MAP_COPY_ON_WRITE, 0), EOPNOTSUPP);
	assert_pattern(bytes, 0, scene->length, 6);
	mr_memory_unref(private_memory);
	munmap(bytes, scene->length);
}

static void private_memory_of_the_process(void **state)
{
	(void)state;
	live_and_blocked(try_private_memory);
}

static void map_that_is_unmapped(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_map_unmap(scene.map));
	assert_refused(mr_map_redirect(scene.map, scene.other.memory, scene.other.access, 0), ENXIO);
	assert_refused(mr_map_redirect(scene.map, NULL, 0, 0), ENXIO);
	scene_free(&scene);
}

/* With several things wrong, the first in the documented order is told. */
static void try_order(struct case_state *now)
{
	struct scene *scene = &now->scene;
	struct mr_memory *read_only, *shorter;

	assert_ok(mr_memory_new_sub(scene->other.memory, 0, scene->length, MR_MEMORY_READ_ONLY, &read_only));
	assert_ok(mr_memory_new_sub(read_only, 0, scene->length - 1, 0, &shorter));
	assert_refused(mr_map_redirect(scene->map, shorter, MR_MAP_UNIQUE | MR_MAP_CACHE_INHIBIT, 1), EINVAL);
	if (!kind_space) /* the driver has to look at the memory to know */
		assert_refused(mr_map_redirect(scene->map, shorter, MR_MAP_CACHE_INHIBIT, 1), EOPNOTSUPP);
	assert_refused(mr_map_redirect(scene->map, shorter, 0, 1), ERANGE);
	assert_refused(mr_map_redirect(scene->map, shorter, 0, 0), ERANGE);
	mr_memory_unref(shorter);
	assert_ok(mr_memory_new_sub(read_only, 8, scene->length - 8, 0, &shorter));
	assert_refused(mr_map_redirect(scene->map, shorter, 0, 0), ERANGE);
	mr_memory_unref(shorter);
	mr_memory_unref(read_only);
}

static void order_of_checks(void **state)
{
	(void)state;
	live_and_blocked(try_order);
}

/* An offset that does not fit is told before the access, since it cannot become right by other options. */
static void try_order_of_offset_and_access(struct case_state *now)
{
	struct scene *scene = &now->scene;
	struct backing longer;
	struct mr_memory *read_only;

	backing_make_other(&longer, suite_kind, 2 * scene->length, 3);
	assert_ok(mr_memory_new_sub(longer.memory, 0, 2 * scene->length, MR_MEMORY_READ_ONLY, &read_only));
	assert_refused(mr_map_redirect(scene->map, read_only, 0, 8), EINVAL);
	assert_refused(mr_map_redirect(scene->map, read_only, 0, 0), EACCES);
	mr_memory_unref(read_only);
	backing_free(&longer);
}

static void order_of_offset_and_access(void **state)
{
	(void)state;
	live_and_blocked(try_order_of_offset_and_access);
}

/* As many mappings as the process may have: a call works, or says -ENOMEM and leaves all as it was. */
static void check_at_the_limit(struct case_state *now, int result, unsigned seed)
{
	limit_leave();
	if (result) {
		assert_int_equal(result, -ENOMEM);
		case_check(now);
	} else if (seed) {
		assert_false(mr_map_is_blocked(now->scene.map));
		assert_pattern(now->scene.address, 0, now->scene.length, seed);
	} else {
		assert_true(mr_map_is_blocked(now->scene.map));
	}
}

static int redirect_at_the_limit(struct child *self, void *argument)
{
	struct case_state now;
	int result;

	(void)self;
	case_begin(&now, *(bool *)argument);
	assert_true(limit_reach());
	result = mr_map_redirect(now.scene.map, now.scene.other.memory, now.scene.other.access | MR_MAP_PREFAULT, 0);
	check_at_the_limit(&now, result, SCENE_NEW);
	return 0;
}

static int block_at_the_limit(struct child *self, void *argument)
{
	struct case_state now;

	(void)self;
	case_begin(&now, *(bool *)argument);
	assert_true(limit_reach());
	check_at_the_limit(&now, mr_map_redirect(now.scene.map, NULL, 0, 0), 0);
	return 0;
}

static int restore_at_the_limit(struct child *self, void *argument)
{
	struct case_state now;
	int result;

	(void)self;
	case_begin(&now, *(bool *)argument);
	assert_true(limit_reach());
	result = mr_map_redirect(now.scene.map, now.scene.sample.memory, now.scene.sample.backing.access, 0);
	check_at_the_limit(&now, result, SCENE_OLD);
	if (result)
		scene_restore(&now.scene);
	scene_victim_end(now.victim, SCENE_OLD, WHERE);
	assert_pattern(now.scene.address, 0, now.scene.length, SCENE_OLD);
	return 0;
}

static void at_the_limit_of_mappings(void **state)
{
	bool live = false, blocked = true;

	(void)state;
	if (!limit_can_be_reached()) {
		print_message("vm.max_map_count is too large to be reached here\n");
		skip();
	}
	assert_int_equal(child_run(redirect_at_the_limit, &live), 0);
	assert_int_equal(child_run(redirect_at_the_limit, &blocked), 0);
	assert_int_equal(child_run(block_at_the_limit, &live), 0);
	assert_int_equal(child_run(restore_at_the_limit, &blocked), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(unknown_options),
	TEST(cache_modes),
	TEST(null_with_an_offset_or_options),
	TEST(past_the_end_of_the_new_backing),
	TEST(offset_elsewhere_in_its_page),
	TEST(read_only_memory_for_writing),
	TEST_FOR(private_memory_of_the_process, NEED_LOCAL),
	TEST(map_that_is_unmapped),
	TEST(order_of_checks),
	TEST(order_of_offset_and_access),
	TEST(at_the_limit_of_mappings),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "errors of redirect", tests, COUNT(tests));
}
