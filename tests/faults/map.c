/* SPDX-License-Identifier: MIT */
/*
 * Making, adopting, asking and ending maps of each kind of memory, with each allocation and system call failing in turn.
 *
 * Catches: a range that is taken or overwritten by a call that failed; a map that stays in a list that it should never have been
 * in; a reference that is lost or kept; an end of a map that does not happen because something else fails.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "leak.h"
#include "pattern.h"
#include "suite.h"
#include "sweep.h"

#define LARGE (2 * HUGE_PAGE)

static uint32_t access_of(const struct fixture *fixture)
{
	return fixture->other.access;
}

static int make(struct fixture *fixture, uint32_t options, void *address)
{
	return mr_map_new(fixture->other.memory, NULL, address, options | access_of(fixture), 0, 0, &fixture->map);
}

static int make_unique(struct fixture *fixture)
{
	return make(fixture, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, NULL);
}

static int make_unique_prefault(struct fixture *fixture)
{
	return make(fixture, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_PREFAULT, NULL);
}

static int make_shared(struct fixture *fixture)
{
	return make(fixture, MR_MAP_ANYWHERE, NULL);
}

static int make_shared_prefault(struct fixture *fixture)
{
	return make(fixture, MR_MAP_ANYWHERE | MR_MAP_PREFAULT, NULL);
}

static int make_at_place(struct fixture *fixture)
{
	return make(fixture, MR_MAP_UNIQUE, fixture->place);
}

static int make_over_place(struct fixture *fixture)
{
	return make(fixture, MR_MAP_UNIQUE | MR_MAP_OVERWRITE, fixture->place);
}

/* A map of the second page to the end, inside another one. */
static int make_inside(struct fixture *fixture)
{
	return mr_map_new(fixture->other.memory, NULL, NULL, MR_MAP_ANYWHERE | access_of(fixture), kind_unit(fixture->kind), 0,
			  &fixture->map);
}

static void set_up_place(struct fixture *fixture)
{
	fixture_make(fixture);
	fixture->place = free_place(fixture->length, HUGE_PAGE);
}

/* The place is taken, by memory with a pattern. */
static void set_up_taken_place(struct fixture *fixture)
{
	void *got;

	set_up_place(fixture);
	got = mmap(fixture->place, fixture->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		   -1, 0);
	assert_ptr_equal(got, fixture->place);
	pattern_fill(fixture->place, 0, fixture->length, 3);
}

static void place_is_untouched(struct fixture *fixture)
{
	assert_pattern(fixture->place, 0, fixture->length, 3);
}

static void place_is_free(struct fixture *fixture)
{
	char *lines = mapping_lines(fixture->place, fixture->length);

	assert_string_equal(lines, "");
	free(lines);
}

/* A map that can be shared is there, of all of the memory. */
static void set_up_shared(struct fixture *fixture)
{
	fixture_make(fixture);
	assert_ok(make_shared(fixture));
	fixture->outer = fixture->map;
	fixture->map = NULL;
}

static void shows_other(struct fixture *fixture)
{
	assert_pattern(mr_map_address(fixture->map), 0, fixture->length, 2);
	assert_ptr_equal(mr_map_memory(fixture->map), fixture->other.memory);
	assert_false(mr_map_is_blocked(fixture->map));
	fixture_check_shown(fixture, fixture->sample.memory, 1);
}

static void shows_other_at_place(struct fixture *fixture)
{
	assert_ptr_equal(mr_map_address(fixture->map), fixture->place);
	shows_other(fixture);
}

static void is_outer(struct fixture *fixture)
{
	assert_ptr_equal(fixture->map, fixture->outer);
	shows_other(fixture);
}

static void is_inside(struct fixture *fixture)
{
	uint64_t unit = kind_unit(fixture->kind);

	assert_ptr_equal(mr_map_address(fixture->map), (char *)mr_map_address(fixture->outer) + unit);
	assert_pattern(mr_map_address(fixture->map), unit, fixture->length - unit, 2);
}

/* A map that can be redirected must be one that can be blocked, right after it was made. */
static void shows_other_and_can_be_blocked(struct fixture *fixture)
{
	shows_other(fixture);
	assert_ok(mr_map_redirect(fixture->map, NULL, 0, 0));
	assert_ok(mr_map_redirect(fixture->map, fixture->other.memory, access_of(fixture), 0));
	shows_other(fixture);
}

/* -- adopting: what the sample has adopted is let go, and adopted again -- */

static void set_up_range(struct fixture *fixture)
{
	fixture_make(fixture);
	fixture->sample.map = mr_map_unref(fixture->sample.map);
}

static int adopt(struct fixture *fixture)
{
	return mr_map_adopt(NULL, fixture->sample.address, fixture->length, 0, &fixture->map);
}

static void range_is_untouched(struct fixture *fixture)
{
	assert_pattern(fixture->sample.address, 0, fixture->length, 1);
}

static void is_adopted(struct fixture *fixture)
{
	range_is_untouched(fixture);
	assert_ptr_equal(mr_map_address(fixture->map), fixture->sample.address);
	assert_memory_pattern(mr_map_memory(fixture->map), 1);
	assert_ok(mr_map_redirect(fixture->map, NULL, 0, 0));
	assert_memory_pattern(mr_map_memory(fixture->map), 1);
	assert_ok(mr_map_redirect(fixture->map, mr_map_memory(fixture->map), 0, 0));
	range_is_untouched(fixture);
}

/* -- asking -- */

static int ask_address(struct fixture *fixture)
{
	return mr_map_physical_address(fixture->sample.map, &fixture->physical);
}

static int ask_segment(struct fixture *fixture)
{
	return mr_map_physical_segment(fixture->sample.map, kind_unit(fixture->kind), &fixture->physical, &fixture->run);
}

static void set_up_resident(struct fixture *fixture)
{
	fixture_make(fixture);
	assert_pattern(fixture->sample.address, 0, 8, 1);
	assert_pattern(fixture->sample.address + kind_unit(fixture->kind), kind_unit(fixture->kind), 8, 1);
}

static void set_up_resident_blocked(struct fixture *fixture)
{
	set_up_resident(fixture);
	assert_ok(mr_memory_prepare(fixture->sample.memory));
	assert_ok(mr_map_redirect(fixture->sample.map, NULL, 0, 0));
}

static void has_physical(struct fixture *fixture)
{
	assert_true(fixture->physical >= page_size());
	fixture_check_shown(fixture, fixture->sample.memory, 1);
}

static void has_physical_blocked(struct fixture *fixture)
{
	assert_true(fixture->physical >= page_size());
	fixture_check_blocked(fixture, fixture->sample.memory);
}

/* -- ending -- */

static int unmap(struct fixture *fixture)
{
	return mr_map_unmap(fixture->sample.map);
}

static int let_go(struct fixture *fixture)
{
	fixture->sample.map = mr_map_unref(fixture->sample.map);
	return 0;
}

static void set_up_blocked(struct fixture *fixture)
{
	fixture_make(fixture);
	assert_ok(mr_map_redirect(fixture->sample.map, NULL, 0, 0));
}

static void set_up_moved_blocked(struct fixture *fixture)
{
	fixture_make(fixture);
	assert_ok(mr_map_redirect(fixture->sample.map, fixture->other.memory, fixture->other.access, 0));
	assert_ok(mr_map_redirect(fixture->sample.map, NULL, 0, 0));
}

/* What was adopted stays, with the backing that it has; anything else is gone. */
static void is_gone_but_for(struct fixture *fixture, unsigned seed)
{
	char *lines = mapping_lines(fixture->sample.address, fixture->length);

	if (fixture->kind->adopted)
		assert_pattern(fixture->sample.address, 0, fixture->length, seed);
	else
		assert_string_equal(lines, "");
	free(lines);
	if (fixture->sample.map)
		assert_null(mr_map_address(fixture->sample.map));
	assert_memory_pattern(fixture->other.memory, 2);
}

static void is_gone(struct fixture *fixture)
{
	is_gone_but_for(fixture, 1);
}

static void is_gone_after_redirect(struct fixture *fixture)
{
	is_gone_but_for(fixture, 2);
}

static void shows_own(struct fixture *fixture)
{
	fixture_check_shown(fixture, fixture->sample.memory, 1);
}

static void blocks_own(struct fixture *fixture)
{
	fixture_check_blocked(fixture, fixture->sample.memory);
}

static void blocks_other(struct fixture *fixture)
{
	fixture_check_blocked(fixture, fixture->other.memory);
}

static void tear_down(struct fixture *fixture)
{
	fixture->map = mr_map_unref(fixture->map);
	fixture->outer = mr_map_unref(fixture->outer);
	fixture_free(fixture);
}

static void tear_down_place(struct fixture *fixture)
{
	tear_down(fixture);
	munmap(fixture->place, fixture->length);
}

#define NEW	"mr_map_new"
#define SEGMENT "mr_map_physical_segment"

static const struct operation making[] = {
	{ "new", NEW, fixture_make, make_unique, shows_own, shows_other_and_can_be_blocked, tear_down },
	{ "new, prefaulted", NEW, fixture_make, make_unique_prefault, shows_own, shows_other_and_can_be_blocked, tear_down },
	{ "new at a place", NEW, set_up_place, make_at_place, place_is_free, shows_other_at_place, tear_down },
	{ "new over a place", NEW, set_up_taken_place, make_over_place, place_is_untouched, shows_other_at_place,
	  tear_down_place },
	{ "new, shared", NEW, fixture_make, make_shared, shows_own, shows_other, tear_down },
	{ "new, shared, prefaulted", NEW, fixture_make, make_shared_prefault, shows_own, shows_other, tear_down },
	{ "new, found", NEW, set_up_shared, make_shared, shows_own, is_outer, tear_down },
	{ "new, found, prefaulted", NEW, set_up_shared, make_shared_prefault, shows_own, is_outer, tear_down },
	{ "new, inside", NEW, set_up_shared, make_inside, shows_own, is_inside, tear_down },
};

static const struct operation adopting[] = {
	{ "adopt", "mr_map_adopt", set_up_range, adopt, range_is_untouched, is_adopted, tear_down },
};

static const struct operation asking[] = {
	{ "physical address", "mr_map_physical_address", set_up_resident, ask_address, shows_own, has_physical, tear_down },
	{ "physical segment", SEGMENT, set_up_resident, ask_segment, shows_own, has_physical, tear_down },
	{ "physical segment while blocked", SEGMENT, set_up_resident_blocked, ask_segment, blocks_own, has_physical_blocked,
	  tear_down },
};

static const struct operation ending[] = {
	{ "unmap", "mr_map_unmap", fixture_make, unmap, shows_own, is_gone, tear_down },
	{ "unmap while blocked", "mr_map_unmap", set_up_blocked, unmap, blocks_own, is_gone, tear_down },
	{ "unmap while blocked after a redirect", "mr_map_unmap", set_up_moved_blocked, unmap, blocks_other,
	  is_gone_after_redirect, tear_down },
	{ "unref", "mr_map_unref", fixture_make, let_go, NULL, is_gone, tear_down },
	{ "unref while blocked", "mr_map_unref", set_up_blocked, let_go, NULL, is_gone, tear_down },
	{ "unref while blocked after a redirect", "mr_map_unref", set_up_moved_blocked, let_go, NULL, is_gone_after_redirect,
	  tear_down },
};

static void sweep_all(const struct operation *operations, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sweep(&operations[i], suite_kind, kind_length(suite_kind));
	for (size_t i = 0; i < count; i++)
		sweep(&operations[i], suite_kind, LARGE);
}

static void making_a_map(void **state)
{
	(void)state;
	sweep_all(making, COUNT(making));
}

static void adopting_a_map(void **state)
{
	(void)state;
	sweep_all(adopting, COUNT(adopting));
}

static void asking_a_map(void **state)
{
	(void)state;
	if (features()->frame_numbers)
		sweep_all(asking, COUNT(asking));
	else
		skip();
}

static void ending_a_map(void **state)
{
	(void)state;
	sweep_all(ending, COUNT(ending));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST_FOR(making_a_map, NEED_OWN),
		TEST_FOR(adopting_a_map, NEED_ADOPTED),
		TEST_FOR(asking_a_map, 0),
		TEST_FOR(ending_a_map, 0),
	};

	if (!features()->blocking)
		return suite_skip("blocking (userfaultfd)");
	return suite_run_kind(argc, argv, "maps, call by call", tests, COUNT(tests));
}
