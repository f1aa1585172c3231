/* SPDX-License-Identifier: MIT */
/* Operations whose nth step fails. */
#include "sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leak.h"
#include "pattern.h"
#include "suite.h"
#include "sys/inject.h"
#include "wait.h"

/* No operation makes so many calls. */
#define MOST_STEPS 1000

/* What is written to a copy-on-write map. */
#define WRITTEN UINT64_C(0x3117731173)

/* What may not change when an operation fails. */
struct state {
	struct holdings holdings;
	char *lines; /* what is mapped where the sample's map is */
	struct mr_memory *memory;
	uint32_t options;
	void *address;
	bool blocked;
};

static void take(struct state *state, const struct fixture *fixture)
{
	const struct mr_map *map = fixture->sample.map;

	*state = (struct state){ .memory = mr_map_memory(map),
				 .options = mr_map_options(map),
				 .address = mr_map_address(map),
				 .blocked = mr_map_is_blocked(map) };
	if (map)
		state->lines = mapping_lines(fixture->sample.address, fixture->sample.length);
	holdings_take(&state->holdings);
}

static void free_state(struct state *state)
{
	holdings_free(&state->holdings);
	free(state->lines);
}

/* A thread that has been joined may be seen for a moment yet. */
static bool has_same_holdings(void *argument)
{
	const struct holdings *before = argument;
	struct holdings now;
	bool same;

	holdings_take(&now);
	same = now.descriptors == before->descriptors && now.threads == before->threads && !strcmp(now.table, before->table);
	holdings_free(&now);
	return same;
}

static void check_holdings(const struct holdings *before)
{
	struct holdings now;
	bool same;

	if (wait_until(has_same_holdings, (void *)before))
		return;
	holdings_take(&now);
	same = holdings_equal(before, &now);
	holdings_free(&now);
	assert_true(same);
}

static void check_state(const struct state *before, const struct fixture *fixture)
{
	struct state now;

	check_holdings(&before->holdings);
	take(&now, fixture);
	assert_ptr_equal(now.memory, before->memory);
	assert_int_equal(now.options, before->options);
	assert_ptr_equal(now.address, before->address);
	assert_int_equal(now.blocked, before->blocked);
	if (before->lines)
		assert_string_equal(now.lines, before->lines);
	free_state(&now);
}

/* An errno, and a sentence of the function that was called. */
static void check_failure(const struct operation *operation, int result)
{
	const char *sentence = mr_error();

	assert_in_range(-result, 1, 4095);
	assert_int_equal(strncmp(sentence, operation->call, strlen(operation->call)), 0);
	assert_true(strlen(sentence) > strlen(operation->call) + 8);
}

/* The operation has failed: nothing has changed, and it can be done now. */
static void recover(const struct operation *operation, struct fixture *fixture, const struct state *before, int result)
{
	check_failure(operation, result);
	check_state(before, fixture);
	if (operation->check_before)
		operation->check_before(fixture);
	assert_ok(operation->act(fixture));
}

/* Let step @nth fail. Return: whether the operation had so many. */
static bool sweep_step(const struct operation *operation, struct fixture *fixture, long nth, long *absorbed)
{
	struct holdings before;
	struct state state;
	bool delivered;
	int result;

	holdings_take(&before);
	operation->set_up(fixture);
	take(&state, fixture);
	mr_inject_arm(nth);
	result = operation->act(fixture);
	delivered = mr_inject_disarm();
	if (result && !delivered)
		print_error("without a failure, %s returned %d: %s\n", operation->name, result, mr_error());
	assert_true(!result || delivered);
	if (result)
		recover(operation, fixture, &state, result);
	else
		*absorbed += delivered;
	operation->check_after(fixture);
	free_state(&state);
	operation->tear_down(fixture);
	assert_true(holdings_no_leak(&before));
	return delivered;
}

void sweep(const struct operation *operation, const struct kind *kind, uint64_t length)
{
	struct fixture fixture = { .kind = kind, .length = length };
	long nth = 1, absorbed = 0;

	fprintf(stderr, "%s: ", operation->name); /* to know where an assertion failed */
	while (sweep_step(operation, &fixture, nth, &absorbed)) {
		fprintf(stderr, "%ld ", nth);
		assert_true(++nth < MOST_STEPS);
		fixture = (struct fixture){ .kind = kind, .length = length };
	}
	fprintf(stderr, "- %ld steps, of which %ld may fail unnoticed\n", nth - 1, absorbed);
}

static uint64_t *last_word(const struct fixture *fixture)
{
	return (uint64_t *)(fixture->sample.address + fixture->length) - 1;
}

void fixture_make(struct fixture *fixture)
{
	sample_make(&fixture->sample, fixture->kind, fixture->length, 1);
	backing_make_other(&fixture->other, fixture->kind, fixture->length, 2);
	fixture->written = kind_writable(fixture->kind) && fixture->kind->detached;
	if (fixture->written)
		*last_word(fixture) = WRITTEN;
}

void fixture_free(struct fixture *fixture)
{
	fixture->map = mr_map_unref(fixture->map);
	fixture->memory = mr_memory_unref(fixture->memory);
	for (size_t i = 0; i < SWEEP_PARTS; i++)
		fixture->parts[i] = mr_memory_unref(fixture->parts[i]);
	sample_free(&fixture->sample);
	backing_free(&fixture->other);
}

static void check_memories(struct fixture *fixture)
{
	assert_memory_pattern(fixture->sample.memory, 1);
	assert_memory_pattern(fixture->other.memory, 2);
}

void fixture_check_shown(struct fixture *fixture, const struct mr_memory *memory, unsigned seed)
{
	assert_false(mr_map_is_blocked(fixture->sample.map));
	assert_ptr_equal(mr_map_address(fixture->sample.map), fixture->sample.address);
	assert_ptr_equal(mr_map_memory(fixture->sample.map), memory);
	assert_pattern(fixture->sample.address, 0, fixture->length - 8, seed);
	assert_int_equal(*last_word(fixture), fixture->written ? WRITTEN : pattern_word(seed, fixture->length - 8));
	check_memories(fixture);
}

void fixture_check_blocked(struct fixture *fixture, const struct mr_memory *memory)
{
	assert_true(mr_map_is_blocked(fixture->sample.map));
	assert_ptr_equal(mr_map_address(fixture->sample.map), fixture->sample.address);
	assert_ptr_equal(mr_map_memory(fixture->sample.map), memory);
	check_memories(fixture);
}
