/* SPDX-License-Identifier: MIT */
/*
 * What is done with a memory of each kind, while its map is shown and while it is blocked, with each allocation and system call
 * failing in turn.
 *
 * Catches: a page that stays locked, a window that stays mapped, a reference that is kept; a prepare that counts although it
 * failed; bytes that were changed by a call that failed before it came to them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pattern.h"
#include "suite.h"
#include "sweep.h"

/* Bytes that are read and written: not whole pages, and across them. */
#define OFFSET 100

static uint64_t part_length(const struct fixture *fixture)
{
	return fixture->length - 2 * OFFSET;
}

static void set_up(struct fixture *fixture)
{
	fixture_make(fixture);
	fixture->place = calloc(1, fixture->length);
	assert_non_null(fixture->place);
}

static void set_up_blocked(struct fixture *fixture)
{
	set_up(fixture);
	assert_ok(mr_map_redirect(fixture->sample.map, NULL, 0, 0));
}

/* What will be written is a pattern of its own. */
static void set_up_to_write(struct fixture *fixture)
{
	set_up(fixture);
	pattern_fill(fixture->place, OFFSET, part_length(fixture), 3);
}

static void set_up_to_write_blocked(struct fixture *fixture)
{
	set_up_blocked(fixture);
	pattern_fill(fixture->place, OFFSET, part_length(fixture), 3);
}

static void tear_down(struct fixture *fixture)
{
	free(fixture->place);
	fixture_free(fixture);
}

static int read_part(struct fixture *fixture)
{
	return mr_memory_read(fixture->sample.memory, OFFSET, fixture->place, part_length(fixture));
}

static int write_part(struct fixture *fixture)
{
	return mr_memory_write(fixture->sample.memory, OFFSET, fixture->place, part_length(fixture));
}

static int prepare(struct fixture *fixture)
{
	return mr_memory_prepare(fixture->sample.memory);
}

static int ask_segment(struct fixture *fixture)
{
	return mr_memory_physical_segment(fixture->sample.memory, 0, &fixture->physical, &fixture->run);
}

static int take_window(struct fixture *fixture)
{
	return mr_memory_new_sub(fixture->sample.memory, OFFSET, part_length(fixture), 0, &fixture->memory);
}

static int put_in_row(struct fixture *fixture)
{
	struct mr_memory *parts[] = { fixture->sample.memory, fixture->other.memory, fixture->sample.memory };

	return mr_memory_new_multi(parts, COUNT(parts), 0, &fixture->memory);
}

static void shows_own(struct fixture *fixture)
{
	fixture_check_shown(fixture, fixture->sample.memory, 1);
}

static void blocks_own(struct fixture *fixture)
{
	fixture_check_blocked(fixture, fixture->sample.memory);
}

static void has_read(struct fixture *fixture)
{
	assert_pattern(fixture->place, OFFSET, part_length(fixture), 1);
}

static void is_written(struct fixture *fixture)
{
	assert_ok(mr_memory_read(fixture->sample.memory, OFFSET, fixture->place, part_length(fixture)));
	assert_pattern(fixture->place, OFFSET, part_length(fixture), 3);
	assert_ok(mr_memory_read(fixture->sample.memory, 0, fixture->place, OFFSET));
	assert_pattern(fixture->place, 0, OFFSET, 1);
}

/* Once, and no more. */
static void is_prepared(struct fixture *fixture)
{
	if (features()->frame_numbers)
		assert_ok(ask_segment(fixture));
	assert_ok(mr_memory_complete(fixture->sample.memory));
	assert_error(mr_memory_complete(fixture->sample.memory), EINVAL);
}

static void is_not_prepared(struct fixture *fixture)
{
	assert_error(mr_memory_complete(fixture->sample.memory), EINVAL);
}

static void set_up_prepared(struct fixture *fixture)
{
	set_up(fixture);
	assert_ok(prepare(fixture));
}

static void has_segment(struct fixture *fixture)
{
	assert_true(fixture->physical >= page_size());
	assert_in_range(fixture->run, 1, fixture->length);
}

static void is_window(struct fixture *fixture)
{
	assert_int_equal(mr_memory_length(fixture->memory), part_length(fixture));
	assert_ok(mr_memory_read(fixture->memory, 0, fixture->place, part_length(fixture)));
	assert_pattern(fixture->place, OFFSET, part_length(fixture), 1);
}

static void is_row(struct fixture *fixture)
{
	static const unsigned seeds[] = { 1, 2, 1 };

	assert_int_equal(mr_memory_length(fixture->memory), 3 * fixture->length);
	for (size_t i = 0; i < COUNT(seeds); i++) {
		assert_ok(mr_memory_read(fixture->memory, i * fixture->length, fixture->place, fixture->length));
		assert_pattern(fixture->place, 0, fixture->length, seeds[i]);
	}
}

static const struct operation operations[] = {
	{ "read", "mr_memory_read", set_up, read_part, shows_own, has_read, tear_down },
	{ "read while blocked", "mr_memory_read", set_up_blocked, read_part, blocks_own, has_read, tear_down },
	{ "prepare", "mr_memory_prepare", set_up, prepare, is_not_prepared, is_prepared, tear_down },
	{ "prepare while blocked", "mr_memory_prepare", set_up_blocked, prepare, is_not_prepared, is_prepared, tear_down },
	{ "sub", "mr_memory_new_sub", set_up, take_window, shows_own, is_window, tear_down },
	{ "multi", "mr_memory_new_multi", set_up, put_in_row, shows_own, is_row, tear_down },
};

static const struct operation writing[] = {
	{ "write", "mr_memory_write", set_up_to_write, write_part, NULL, is_written, tear_down },
	{ "write while blocked", "mr_memory_write", set_up_to_write_blocked, write_part, NULL, is_written, tear_down },
};

static const struct operation asking[] = {
	{ "segment", "mr_memory_physical_segment", set_up, ask_segment, shows_own, has_segment, tear_down },
	{ "segment while blocked", "mr_memory_physical_segment", set_up_blocked, ask_segment, blocks_own, has_segment,
	  tear_down },
	{ "segment, prepared", "mr_memory_physical_segment", set_up_prepared, ask_segment, shows_own, has_segment, tear_down },
};

static void sweep_all(const struct operation *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sweep(&all[i], suite_kind, kind_length(suite_kind));
}

static void using_a_memory(void **state)
{
	(void)state;
	sweep_all(operations, COUNT(operations));
}

static void writing_to_a_memory(void **state)
{
	(void)state;
	sweep_all(writing, COUNT(writing));
}

static void asking_a_memory(void **state)
{
	(void)state;
	if (features()->frame_numbers)
		sweep_all(asking, COUNT(asking));
	else
		skip();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST_FOR(using_a_memory, 0),
		TEST_FOR(writing_to_a_memory, NEED_WRITABLE),
		TEST_FOR(asking_a_memory, 0),
	};

	if (!features()->blocking)
		return suite_skip("blocking (userfaultfd)");
	return suite_run_kind(argc, argv, "memories, call by call", tests, COUNT(tests));
}
