/* SPDX-License-Identifier: MIT */
/* Prepared memory and physical addresses, against what /proc/self/pagemap says, over all kinds of memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pagemap.h"
#include "scene.h"
#include "suite.h"

/* KiB that this process has locked. */
static unsigned long locked(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long amount = 0;
	char line[256];
	int found = 0;

	assert_non_null(file);
	while (!found && fgets(line, sizeof(line), file))
		found = sscanf(line, "VmLck: %lu", &amount) == 1;
	fclose(file);
	assert_int_equal(found, 1);
	return amount;
}

static void touch(const char *address, uint64_t length)
{
	for (uint64_t offset = 0; offset < length; offset += page_size())
		*(const volatile char *)(address + offset);
}

static uint64_t physical(const char *address)
{
	return page_frame(address) * page_size() + (uintptr_t)address % page_size();
}

/* How many bytes from @address on are contiguous, at most @most. */
static uint64_t contiguous(const char *address, uint64_t most)
{
	uint64_t start = physical(address), length = page_size() - (uintptr_t)address % page_size();

	while (length < most && physical(address + length) == start + length)
		length += page_size();
	return length < most ? length : most;
}

/* What was answered for the byte at @address, when @most bytes are left. */
static void check_segment(const char *address, uint64_t most, uint64_t got_address, uint64_t got_length)
{
	assert_int_not_equal(page_frame(address), 0);
	assert_int_equal(got_address, physical(address));
	assert_int_equal(got_length, contiguous(address, most));
}

/* The segments of the memory, from one to the next, and from some odd places, while @address shows it. */
static void check_memory(struct mr_memory *memory, const char *address)
{
	uint64_t length = mr_memory_length(memory), at, run;

	touch(address, length);
	for (uint64_t offset = 0; offset < length; offset += run) {
		assert_ok(mr_memory_physical_segment(memory, offset, &at, &run));
		check_segment(address + offset, length - offset, at, run);
	}
	for (uint64_t offset = 1; offset < length; offset += length / 5) {
		assert_ok(mr_memory_physical_segment(memory, offset, &at, &run));
		check_segment(address + offset, length - offset, at, run);
	}
	assert_ok(mr_memory_physical_segment(memory, length - 1, &at, &run));
	check_segment(address + length - 1, 1, at, run);
}

static void physical_segments_of_memory(void **state)
{
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_memory_prepare(sample.memory));
	check_memory(sample.memory, sample.address);
	assert_ok(mr_memory_complete(sample.memory));
	sample_free(&sample);
}

static void physical_segments_of_a_map(void **state)
{
	uint64_t at, run, offset = page_size() + 9;
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_memory_prepare(sample.memory));
	touch(sample.address, sample.length);
	assert_ok(mr_map_physical_address(sample.map, &at));
	assert_int_equal(at, physical(sample.address));
	assert_ok(mr_map_physical_segment(sample.map, 0, &at, &run));
	check_segment(sample.address, sample.length, at, run);
	assert_ok(mr_map_physical_segment(sample.map, offset, &at, &run));
	check_segment(sample.address + offset, sample.length - offset, at, run);
	assert_ok(mr_map_physical_segment(sample.map, sample.length - 1, &at, &run));
	check_segment(sample.address + sample.length - 1, 1, at, run);
	assert_ok(mr_memory_complete(sample.memory));
	sample_free(&sample);
}

/* Of the memory that the map shows now, and while it is blocked of the one that it had. */
static void physical_address_follows_a_redirect(void **state)
{
	uint64_t before, blocked, after;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_memory_prepare(scene.sample.memory));
	assert_ok(mr_memory_prepare(scene.other.memory));
	touch(scene.address, scene.length);
	assert_ok(mr_map_physical_address(scene.map, &before));
	scene_block(&scene);
	assert_ok(mr_map_physical_address(scene.map, &blocked));
	assert_int_equal(blocked, before);
	scene_switch(&scene);
	touch(scene.address, scene.length);
	assert_ok(mr_map_physical_address(scene.map, &after));
	assert_int_not_equal(after, before);
	assert_int_equal(after, physical(scene.address));
	assert_ok(mr_memory_complete(scene.sample.memory));
	assert_ok(mr_memory_complete(scene.other.memory));
	scene_free(&scene);
}

/* Of a copy-on-write map: the page that the map shows, which after a write is one of its own. */
static void physical_address_of_a_written_page(void **state)
{
	uint64_t memory_address, map_address, run;
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_memory_prepare(sample.memory));
	*(uint64_t *)sample.address = SCENE_VALUE;
	assert_ok(mr_memory_physical_segment(sample.memory, 0, &memory_address, &run));
	assert_ok(mr_map_physical_address(sample.map, &map_address));
	assert_int_equal(map_address, physical(sample.address));
	assert_int_not_equal(map_address, memory_address);
	assert_ok(mr_memory_complete(sample.memory));
	sample_free(&sample);
}

static void physical_addresses_are_hidden(void **state)
{
	uint64_t at = 1, run = 2;
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_memory_prepare(sample.memory));
	touch(sample.address, sample.length);
	assert_error(mr_memory_physical_segment(sample.memory, 0, &at, &run), EPERM);
	assert_error(mr_map_physical_address(sample.map, &at), EPERM);
	assert_error(mr_map_physical_segment(sample.map, 0, &at, &run), EPERM);
	assert_int_equal(at, 1);
	assert_int_equal(run, 2);
	assert_ok(mr_memory_complete(sample.memory));
	sample_free(&sample);
}

static void prepare_is_nested(void **state)
{
	unsigned long before;
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	before = locked();
	assert_ok(mr_memory_prepare(sample.memory));
	assert_ok(mr_memory_prepare(sample.memory));
	assert_ok(mr_memory_complete(sample.memory));
	if (!suite_kind->huge)
		assert_true(locked() >= before + sample.length / 1024);
	assert_ok(mr_memory_complete(sample.memory));
	assert_int_equal(locked(), before);
	assert_error(mr_memory_complete(sample.memory), EINVAL);
	assert_ok(mr_memory_prepare(sample.memory));
	assert_ok(mr_memory_complete(sample.memory));
	assert_int_equal(locked(), before);
	assert_pattern(sample.address, 0, sample.length, 1);
	sample_free(&sample);
}

static void prepare_ends_with_the_last_reference(void **state)
{
	unsigned long before = locked();
	struct sample sample;

	(void)state;
	sample_make(&sample, suite_kind, kind_length(suite_kind), 1);
	assert_ok(mr_memory_prepare(sample.memory));
	assert_ok(mr_memory_prepare(sample.memory));
	sample_free(&sample);
	assert_int_equal(locked(), before);
}

/* Prepared memory can be redirected to and from like any other, and stays prepared. */
static void prepared_memory_can_be_redirected(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_ok(mr_memory_prepare(scene.sample.memory));
	scene_switch(&scene);
	scene_block(&scene);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	if (features()->frame_numbers && !suite_kind->detached)
		check_memory(scene.sample.memory, scene.address);
	assert_ok(mr_memory_complete(scene.sample.memory));
	scene_free(&scene);
}

/* A fresh buffer has no pages before it is touched, or prepared. */
static void physical_address_of_what_is_not_resident(void **state)
{
	uint64_t at = 1, run = 2;
	struct mr_memory *memory;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_memory_new_buffer(4 * page_size(), 0, &memory));
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	assert_error(mr_memory_physical_segment(memory, 0, &at, &run), ENODATA);
	assert_error(mr_map_physical_address(map, &at), ENODATA);
	assert_error(mr_map_physical_segment(map, page_size(), &at, &run), ENODATA);
	assert_int_equal(at, 1);
	assert_int_equal(run, 2);
	assert_ok(mr_memory_prepare(memory));
	check_memory(memory, mr_map_address(map));
	assert_ok(mr_memory_complete(memory));
	mr_map_unref(map);
	mr_memory_unref(memory);
}

/* The kernel's tables of pages do not tell of the driver's mappings: there it is what tests/driver asks. */
static const struct CMUnitTest shown[] = {
	TEST_FOR(physical_segments_of_memory, NEED_SEEN | NEED_LOCAL),
	TEST_FOR(physical_segments_of_a_map, NEED_LOCAL),
	TEST_FOR(physical_address_follows_a_redirect, NEED_LOCAL),
	TEST_FOR(physical_address_of_a_written_page, NEED_DETACHED),
	TEST_FOR(physical_address_of_what_is_not_resident, NEED_LOCAL),
	TEST(prepare_is_nested),
	TEST(prepare_ends_with_the_last_reference),
	TEST_FOR(prepared_memory_can_be_redirected, NEED_LOCAL),
};

static const struct CMUnitTest hidden[] = {
	TEST(physical_addresses_are_hidden),
	TEST(prepare_is_nested),
	TEST(prepare_ends_with_the_last_reference),
	TEST(prepared_memory_can_be_redirected),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	if (features()->frame_numbers)
		return suite_run_kind(argc, argv, "physical", shown, COUNT(shown));
	return suite_run_kind(argc, argv, "physical addresses hidden", hidden, COUNT(hidden));
}
