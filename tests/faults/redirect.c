/* SPDX-License-Identifier: MIT */
/*
 * Guarantee E, call by call: whatever fails in a redirect, the map is as it was, blocked if it was blocked.
 *
 * Each way of redirecting a map of each kind of memory, small (replaced in one call) and large (tables moved), with each of its
 * allocations and system calls failing in turn. Catches: a step that is not undone, or undone in part; a reference, mapping,
 * descriptor or thread that a failure leaves; a service that is not started again after it could not be.
 */
#include "pattern.h"
#include "suite.h"
#include "sweep.h"

#define LARGE (2 * HUGE_PAGE)

/* What was written to a copy-on-write map goes when another memory is shown. */
static int redirect(struct fixture *fixture, struct mr_memory *memory, uint32_t options)
{
	int result = mr_map_redirect(fixture->sample.map, memory, options, 0);

	if (!result && memory && memory != fixture->sample.memory)
		fixture->written = false;
	return result;
}

static int to_own(struct fixture *fixture)
{
	return redirect(fixture, fixture->sample.memory, fixture->sample.backing.access);
}

static int to_own_prefault(struct fixture *fixture)
{
	return redirect(fixture, fixture->sample.memory, fixture->sample.backing.access | MR_MAP_PREFAULT);
}

static int to_other(struct fixture *fixture)
{
	return redirect(fixture, fixture->other.memory, fixture->other.access);
}

static int to_other_prefault(struct fixture *fixture)
{
	return redirect(fixture, fixture->other.memory, fixture->other.access | MR_MAP_PREFAULT);
}

static int to_other_read_only(struct fixture *fixture)
{
	return redirect(fixture, fixture->other.memory, fixture->other.access | MR_MAP_READ_ONLY);
}

static int to_other_copied(struct fixture *fixture)
{
	return redirect(fixture, fixture->other.memory, fixture->other.access | MR_MAP_COPY_ON_WRITE);
}

static int to_null(struct fixture *fixture)
{
	return redirect(fixture, NULL, 0);
}

static int to_pieces(struct fixture *fixture)
{
	return redirect(fixture, fixture->memory, fixture->other.access);
}

static int to_pieces_copied(struct fixture *fixture)
{
	return redirect(fixture, fixture->memory, fixture->other.access | MR_MAP_COPY_ON_WRITE);
}

/* The states to begin with. */
static void set_up_blocked(struct fixture *fixture)
{
	fixture_make(fixture);
	assert_ok(to_null(fixture));
}

static void set_up_moved(struct fixture *fixture)
{
	fixture_make(fixture);
	assert_ok(to_other(fixture));
}

static void set_up_moved_blocked(struct fixture *fixture)
{
	set_up_moved(fixture);
	assert_ok(to_null(fixture));
}

/* A memory of several pieces: the other memory, its first half and its second half changed places twice. */
static void set_up_pieces(struct fixture *fixture)
{
	uint64_t half = fixture->length / 2;

	fixture_make(fixture);
	assert_ok(mr_memory_new_sub(fixture->other.memory, 0, half, 0, &fixture->parts[0]));
	assert_ok(mr_memory_new_sub(fixture->other.memory, half, half, 0, &fixture->parts[1]));
	assert_ok(mr_memory_new_multi(fixture->parts, 2, 0, &fixture->memory));
}

static void set_up_pieces_blocked(struct fixture *fixture)
{
	set_up_pieces(fixture);
	assert_ok(to_null(fixture));
}

/* What holds in them. */
static void shows_own(struct fixture *fixture)
{
	fixture_check_shown(fixture, fixture->sample.memory, 1);
}

static void shows_other(struct fixture *fixture)
{
	fixture_check_shown(fixture, fixture->other.memory, 2);
}

static void shows_pieces(struct fixture *fixture)
{
	fixture_check_shown(fixture, fixture->memory, 2);
}

static void blocks_own(struct fixture *fixture)
{
	fixture_check_blocked(fixture, fixture->sample.memory);
}

static void blocks_other(struct fixture *fixture)
{
	fixture_check_blocked(fixture, fixture->other.memory);
}

/* After the work is done, the map can be blocked and shown again. */
static void go_round(struct fixture *fixture, int (*back)(struct fixture *fixture))
{
	assert_ok(to_null(fixture));
	assert_ok(back(fixture));
}

static void shows_other_and_goes_on(struct fixture *fixture)
{
	shows_other(fixture);
	go_round(fixture, to_other);
	shows_other(fixture);
}

static void shows_pieces_and_goes_on(struct fixture *fixture)
{
	shows_pieces(fixture);
	go_round(fixture, to_own);
	shows_own(fixture);
}

static void shows_own_and_goes_on(struct fixture *fixture)
{
	shows_own(fixture);
	go_round(fixture, to_other);
	shows_other(fixture);
}

static void blocks_own_and_goes_on(struct fixture *fixture)
{
	blocks_own(fixture);
	assert_ok(to_own(fixture));
	shows_own(fixture);
}

#define CALL "mr_map_redirect"

static const struct operation operations[] = {
	{ "redirect", CALL, fixture_make, to_other, shows_own, shows_other_and_goes_on, fixture_free },
	{ "redirect, prefaulted", CALL, fixture_make, to_other_prefault, shows_own, shows_other_and_goes_on, fixture_free },
	{ "redirect, read-only", CALL, fixture_make, to_other_read_only, shows_own, shows_other_and_goes_on, fixture_free },
	{ "block", CALL, fixture_make, to_null, shows_own, blocks_own_and_goes_on, fixture_free },
	{ "restore", CALL, set_up_blocked, to_own, blocks_own, shows_own_and_goes_on, fixture_free },
	{ "restore, prefaulted", CALL, set_up_blocked, to_own_prefault, blocks_own, shows_own_and_goes_on, fixture_free },
	{ "redirect while blocked", CALL, set_up_blocked, to_other, blocks_own, shows_other_and_goes_on, fixture_free },
	{ "redirect while blocked, prefaulted", CALL, set_up_blocked, to_other_prefault, blocks_own, shows_other_and_goes_on,
	  fixture_free },
	{ "redirect back", CALL, set_up_moved, to_own, shows_other, shows_own_and_goes_on, fixture_free },
	{ "redirect back, prefaulted", CALL, set_up_moved, to_own_prefault, shows_other, shows_own_and_goes_on, fixture_free },
	{ "block after a redirect", CALL, set_up_moved, to_null, shows_other, blocks_other, fixture_free },
	{ "redirect back while blocked", CALL, set_up_moved_blocked, to_own, blocks_other, shows_own_and_goes_on,
	  fixture_free },
	{ "redirect to pieces", CALL, set_up_pieces, to_pieces, shows_own, shows_pieces_and_goes_on, fixture_free },
	{ "redirect to pieces while blocked", CALL, set_up_pieces_blocked, to_pieces, blocks_own, shows_pieces_and_goes_on,
	  fixture_free },
};

static const struct operation copying[] = {
	{ "redirect, copy on write", CALL, fixture_make, to_other_copied, shows_own, shows_other_and_goes_on, fixture_free },
	{ "redirect while blocked, copy on write", CALL, set_up_blocked, to_other_copied, blocks_own, shows_other_and_goes_on,
	  fixture_free },
	{ "redirect to pieces, copy on write", CALL, set_up_pieces, to_pieces_copied, shows_own, shows_pieces_and_goes_on,
	  fixture_free },
};

static void sweep_all(uint64_t length)
{
	for (size_t i = 0; i < COUNT(operations); i++)
		sweep(&operations[i], suite_kind, length);
	for (size_t i = 0; i < COUNT(copying); i++)
		sweep(&copying[i], suite_kind, length);
}

static void redirect_E_small(void **state)
{
	(void)state;
	sweep_all(kind_length(suite_kind));
}

static void redirect_E_large(void **state)
{
	(void)state;
	sweep_all(LARGE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST_FOR(redirect_E_small, 0),
		TEST_FOR(redirect_E_large, 0),
	};

	if (!features()->blocking)
		return suite_skip("blocking (userfaultfd)");
	return suite_run_kind(argc, argv, "redirect, call by call", tests, COUNT(tests));
}
