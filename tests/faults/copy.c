/* SPDX-License-Identifier: MIT */
/*
 * Snapshots and moves, call by call: whatever fails, the map is as it was, and nothing is left of the copy.
 *
 * Catches: a shield that stays up, a twin that stays in place or is unmapped with its pages, a thread that is not joined, a map that
 * stays blocked, a destination that stays mapped.
 */
#include "pattern.h"
#include "suite.h"
#include "sweep.h"

#define LARGE (2 * HUGE_PAGE)

/* The destination is `memory`; the copy goes to `parts[0]`. */
static void set_up(struct fixture *fixture)
{
	fixture_make(fixture);
	assert_ok(mr_memory_new_buffer(fixture->length, 0, &fixture->memory));
}

static void set_up_blocked(struct fixture *fixture)
{
	set_up(fixture);
	assert_ok(mr_map_redirect(fixture->sample.map, NULL, 0, 0));
}

static int take(struct fixture *fixture, struct mr_memory *into, uint32_t flags)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .into = into, .flags = flags };

	return mr_map_snapshot(fixture->sample.map, &opts, &fixture->parts[0], NULL);
}

static int snapshot(struct fixture *fixture)
{
	return take(fixture, NULL, 0);
}

static int snapshot_into(struct fixture *fixture)
{
	return take(fixture, fixture->memory, 0);
}

static int snapshot_stopped(struct fixture *fixture)
{
	return take(fixture, fixture->memory, MR_COPY_STOP);
}

static int move_with(struct fixture *fixture, uint32_t options, uint32_t flags)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .flags = flags };

	return mr_map_move(fixture->sample.map, fixture->memory, 0, options, &opts, NULL);
}

static int move(struct fixture *fixture)
{
	return move_with(fixture, 0, 0);
}

static int move_copied(struct fixture *fixture)
{
	return move_with(fixture, MR_MAP_COPY_ON_WRITE, 0);
}

static int move_stopped(struct fixture *fixture)
{
	return move_with(fixture, 0, MR_COPY_STOP);
}

static void shows_own(struct fixture *fixture)
{
	fixture_check_shown(fixture, fixture->sample.memory, 1);
}

static void blocks_own(struct fixture *fixture)
{
	fixture_check_blocked(fixture, fixture->sample.memory);
}

static uint64_t last_word(struct mr_memory *memory, uint64_t length)
{
	uint64_t word;

	assert_ok(mr_memory_read(memory, length - 8, &word, 8));
	return word;
}

/* All bytes; the last word is what was written through a copy-on-write map, or the pattern's. */
static void check_copy(struct fixture *fixture, struct mr_memory *copy)
{
	uint64_t end = fixture->length - 8;
	struct mr_map *look;

	assert_int_equal(mr_memory_length(copy), fixture->length);
	assert_ok(mr_map_new(copy, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &look));
	assert_pattern(mr_map_address(look), 0, end, 1);
	mr_map_unref(look);
	if (!fixture->written)
		assert_int_equal(last_word(copy, fixture->length), pattern_word(1, end));
	else
		assert_int_not_equal(last_word(copy, fixture->length), pattern_word(1, end));
}

static void has_copied(struct fixture *fixture)
{
	check_copy(fixture, fixture->parts[0]);
	shows_own(fixture);
	assert_ok(mr_map_redirect(fixture->sample.map, NULL, 0, 0));
	blocks_own(fixture);
}

static void has_copied_a_block(struct fixture *fixture)
{
	check_copy(fixture, fixture->parts[0]);
	blocks_own(fixture);
}

static void has_moved(struct fixture *fixture)
{
	check_copy(fixture, fixture->memory);
	fixture_check_shown(fixture, fixture->memory, 1);
	assert_ok(mr_map_redirect(fixture->sample.map, NULL, 0, 0));
	assert_ok(mr_map_redirect(fixture->sample.map, fixture->other.memory, fixture->other.access, 0));
}

#define SNAPSHOT "mr_map_snapshot"
#define MOVE	 "mr_map_move"

static const struct operation operations[] = {
	{ "snapshot", SNAPSHOT, set_up, snapshot, shows_own, has_copied, fixture_free },
	{ "snapshot into", SNAPSHOT, set_up, snapshot_into, shows_own, has_copied, fixture_free },
	{ "snapshot, stopped", SNAPSHOT, set_up, snapshot_stopped, shows_own, has_copied, fixture_free },
	{ "snapshot of a blocked map", SNAPSHOT, set_up_blocked, snapshot_into, blocks_own, has_copied_a_block, fixture_free },
	{ "move", MOVE, set_up, move, shows_own, has_moved, fixture_free },
	{ "move, copy on write", MOVE, set_up, move_copied, shows_own, has_moved, fixture_free },
	{ "move, stopped", MOVE, set_up, move_stopped, shows_own, has_moved, fixture_free },
	{ "move of a blocked map", MOVE, set_up_blocked, move, blocks_own, has_moved, fixture_free },
};

static void sweep_all(uint64_t length)
{
	for (size_t i = 0; i < COUNT(operations); i++)
		sweep(&operations[i], suite_kind, length);
}

static void copy_small(void **state)
{
	(void)state;
	sweep_all(kind_length(suite_kind));
}

static void copy_large(void **state)
{
	(void)state;
	sweep_all(LARGE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(copy_small),
		TEST(copy_large),
	};

	if (!features()->blocking)
		return suite_skip("blocking (userfaultfd)");
	return suite_run_kind(argc, argv, "copies, call by call", tests, COUNT(tests));
}
