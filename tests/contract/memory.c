/* SPDX-License-Identifier: MIT */
/* What a memory is and how its bytes are copied, over all kinds of memory. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"
#include "suite.h"

static void memory_knows_its_length_and_options(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_int_equal(mr_memory_length(sample.memory), kind_length(suite_kind));
	assert_int_equal(mr_memory_options(sample.memory) & MR_MEMORY_READ_ONLY,
			 kind_writable(suite_kind) ? 0 : MR_MEMORY_READ_ONLY);
	sample_free(&sample);
}

/* Pieces of all sizes from all places, across pages and parts. */
static void memory_read_gives_any_part(void **state)
{
	static const uint64_t lengths[] = { 1, 7, 8, 4095, 4096, 4097, 9000 };
	struct sample sample;
	char bytes[9002];

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (uint64_t offset = 0; offset + lengths[i] <= 20000; offset += 1499) {
			memset(bytes, 0x5a, sizeof(bytes));
			assert_ok(mr_memory_read(sample.memory, offset, bytes + 1, lengths[i]));
			assert_pattern(bytes + 1, offset, lengths[i], 1);
			assert_int_equal(bytes[0], 0x5a);
			assert_int_equal(bytes[1 + lengths[i]], 0x5a);
		}
	}
	sample_free(&sample);
}

static void memory_read_gives_the_whole_at_once(void **state)
{
	struct sample sample;
	char *bytes;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	bytes = malloc(sample.length);
	assert_non_null(bytes);
	assert_ok(mr_memory_read(sample.memory, 0, bytes, sample.length));
	assert_pattern(bytes, 0, sample.length, 1);
	free(bytes);
	sample_free(&sample);
}

/* Nothing beside the part is touched, and the map and the file show it. */
static void memory_write_changes_just_that_part(void **state)
{
	uint64_t offset = page_size() - 5, length = page_size() + 11;
	char bytes[70000];
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_in_range(length, 1, sizeof(bytes));
	pattern_fill(bytes, offset, length, 2);
	assert_ok(mr_memory_write(sample.memory, offset, bytes, length));
	assert_pattern(sample.address, 0, offset, 1);
	assert_pattern(sample.address + offset, offset, length, 2);
	assert_pattern(sample.address + offset + length, offset + length, sample.length - offset - length, 1);
	if (sample.backing.fd >= 0) {
		assert_int_equal(pread(sample.backing.fd, bytes, length, (off_t)offset), length);
		assert_pattern(bytes, offset, length, 2);
	}
	sample_free(&sample);
}

static void memory_shows_what_clients_store(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	for (uint64_t offset = 0; offset < sample.length; offset += kind_unit(suite_kind) / 2) {
		*(uint64_t *)(sample.address + offset) = SCENE_VALUE + offset;
		assert_int_equal(memory_word(sample.memory, offset), SCENE_VALUE + offset);
	}
	sample_free(&sample);
}

static void memory_of_a_copy_on_write_map_does_not_see_stores(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	for (uint64_t offset = 0; offset < sample.length; offset += kind_unit(suite_kind) / 2)
		*(uint64_t *)(sample.address + offset) = SCENE_VALUE + offset;
	assert_memory_pattern(sample.memory, 1);
	sample_free(&sample);
}

static void memory_copies_of_length_0_do_nothing(void **state)
{
	struct sample sample;
	char byte = 3;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_memory_read(sample.memory, sample.length, &byte, 0));
	assert_ok(mr_memory_read(sample.memory, 0, NULL, 0));
	assert_int_equal(byte, 3);
	if (kind_writable(suite_kind))
		assert_ok(mr_memory_write(sample.memory, sample.length, &byte, 0));
	assert_memory_pattern(sample.memory, 1);
	sample_free(&sample);
}

static void memory_can_be_read_while_its_map_is_blocked(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_map_redirect(sample.map, NULL, 0, 0));
	assert_memory_pattern(sample.memory, 1);
	assert_true(mr_map_is_blocked(sample.map));
	sample_restore(&sample);
	sample_free(&sample);
}

static void memory_can_be_written_while_its_map_is_blocked(void **state)
{
	struct sample sample;
	char bytes[100];

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_map_redirect(sample.map, NULL, 0, 0));
	pattern_fill(bytes, 10, sizeof(bytes), 2);
	assert_ok(mr_memory_write(sample.memory, 10, bytes, sizeof(bytes)));
	sample_restore(&sample);
	assert_pattern(sample.address, 0, 10, 1);
	assert_pattern(sample.address + 10, 10, sizeof(bytes), 2);
	assert_pattern(sample.address + 10 + sizeof(bytes), 10 + sizeof(bytes), sample.length - 10 - sizeof(bytes), 1);
	sample_free(&sample);
}

/* The buffer of a copy may be a map too, of any kind. */
static void memory_read_into_a_map(void **state)
{
	struct backing other;
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	backing_make_other(&other, suite_kind, sample.length, 2);
	assert_ok(mr_memory_read(other.memory, 0, sample.address, sample.length));
	assert_pattern(sample.address, 0, sample.length, 2);
	backing_free(&other);
	sample_free(&sample);
}

static void memory_lives_until_the_last_reference_is_dropped(void **state)
{
	struct backing backing;

	(void)state;
	backing_make(&backing, suite_kind, kind_length(suite_kind), 1);
	assert_ptr_equal(mr_memory_ref(backing.memory), backing.memory);
	assert_null(mr_memory_unref(backing.memory));
	assert_memory_pattern(backing.memory, 1);
	backing_free(&backing);
}

/* The map's reference, and that of what the memory is made of, are enough. */
static void memory_is_held_by_its_map(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	sample.memory = mr_memory_unref(sample.memory);
	sample.backing.memory = mr_memory_unref(sample.backing.memory);
	for (size_t i = 0; i < BACKING_PARTS; i++)
		sample.backing.parts[i] = mr_memory_unref(sample.backing.parts[i]);
	assert_pattern(sample.address, 0, sample.length, 1);
	assert_memory_pattern(mr_map_memory(sample.map), 1);
	sample_free(&sample);
}

static void memory_window_shows_its_part(void **state)
{
	uint64_t unit = kind_unit(suite_kind), odd = unit / 2 + 24;
	struct mr_memory *window, *inner;
	struct sample sample;
	char bytes[64];

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_memory_new_sub(sample.memory, odd, unit, 0, &window));
	assert_ok(mr_memory_new_sub(window, 16, 64, 0, &inner));
	assert_int_equal(mr_memory_length(window), unit);
	assert_int_equal(mr_memory_options(window) & MR_MEMORY_READ_ONLY, kind_writable(suite_kind) ? 0 : MR_MEMORY_READ_ONLY);
	assert_ok(mr_memory_read(window, unit - 64, bytes, sizeof(bytes)));
	assert_pattern(bytes, odd + unit - 64, sizeof(bytes), 1);
	assert_null(mr_memory_unref(window));
	assert_ok(mr_memory_read(inner, 0, bytes, sizeof(bytes)));
	assert_pattern(bytes, odd + 16, sizeof(bytes), 1);
	mr_memory_unref(inner);
	sample_free(&sample);
}

/* A second map shows the same bytes, and each what is stored through the other. */
static void memory_can_be_mapped_again(void **state)
{
	uint32_t access = kind_writable(suite_kind) ? 0 : MR_MAP_READ_ONLY;
	struct sample sample;
	struct mr_map *second;
	uint64_t *word;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_map_new(sample.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | access, 0, 0, &second));
	assert_ptr_not_equal(mr_map_address(second), sample.address);
	assert_pattern(mr_map_address(second), 0, sample.length, 1);
	word = mr_map_address(second);
	if (!access) {
		*word = SCENE_VALUE;
		assert_int_equal(*(uint64_t *)sample.address, SCENE_VALUE);
	}
	mr_map_unref(second);
	sample_free(&sample);
}

static const struct CMUnitTest tests[] = {
	TEST(memory_knows_its_length_and_options),
	TEST(memory_read_gives_any_part),
	TEST(memory_read_gives_the_whole_at_once),
	TEST_FOR(memory_write_changes_just_that_part, NEED_WRITABLE | NEED_SEEN),
	TEST_FOR(memory_shows_what_clients_store, NEED_WRITABLE | NEED_SEEN),
	TEST_FOR(memory_of_a_copy_on_write_map_does_not_see_stores, NEED_DETACHED),
	TEST(memory_copies_of_length_0_do_nothing),
	TEST(memory_can_be_read_while_its_map_is_blocked),
	TEST_FOR(memory_can_be_written_while_its_map_is_blocked, NEED_WRITABLE | NEED_SEEN),
	TEST_FOR(memory_read_into_a_map, NEED_WRITABLE),
	TEST_FOR(memory_lives_until_the_last_reference_is_dropped, NEED_OWN),
	TEST(memory_is_held_by_its_map),
	TEST(memory_window_shows_its_part),
	TEST_FOR(memory_can_be_mapped_again, NEED_AGAIN | NEED_SEEN),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "memory", tests, COUNT(tests));
}
