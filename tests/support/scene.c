/* SPDX-License-Identifier: MIT */
/* The scene of most tests of redirect. */
#include "scene.h"

#include "suite.h"
#include "wait.h"

void scene_make(struct scene *scene, const struct kind *kind)
{
	scene->length = kind_length(kind);
	sample_make(&scene->sample, kind, scene->length, SCENE_OLD);
	backing_make_other(&scene->other, kind, scene->length, SCENE_NEW);
	scene->map = scene->sample.map;
	scene->address = scene->sample.address;
}

void scene_free(struct scene *scene)
{
	sample_free(&scene->sample);
	backing_free(&scene->other);
}

void scene_block(struct scene *scene)
{
	assert_ok(mr_map_redirect(scene->map, NULL, 0, 0));
	assert_true(mr_map_is_blocked(scene->map));
}

void scene_switch(struct scene *scene)
{
	assert_ok(mr_map_redirect(scene->map, scene->other.memory, scene->other.access, 0));
	assert_false(mr_map_is_blocked(scene->map));
}

void scene_restore(struct scene *scene)
{
	sample_restore(&scene->sample);
	assert_false(mr_map_is_blocked(scene->map));
}

bool scene_access_waits(enum access access)
{
	return !access_is_system_call(access) || features()->kernel_faults;
}

bool scene_access_possible(const struct scene *scene, enum access access)
{
	return !access_writes(access) || kind_writable(scene->sample.kind);
}

struct victim *scene_victim(struct scene *scene, enum access access, uint64_t offset)
{
	uint64_t waiters = mr_map_waiters(scene->map);
	struct victim *victim = victim_start(access, scene->address + offset, SCENE_VALUE);

	assert_non_null(victim);
	assert_true(wait_waiters(scene->map, waiters + 1));
	assert_false(victim_is_done(victim));
	return victim;
}

uint64_t scene_word_after(enum access access, unsigned seed, uint64_t offset)
{
	uint64_t word = pattern_word(seed, offset);

	if (access == ACCESS_ADD)
		return word + SCENE_VALUE;
	return access_writes(access) ? SCENE_VALUE : word;
}

void scene_victim_end(struct victim *victim, unsigned seed, uint64_t offset)
{
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.signal, 0);
	assert_int_equal(victim->outcome.error, 0);
	assert_int_equal(victim->outcome.returned, 8);
	if (victim->access == ACCESS_LOAD || victim->access == ACCESS_ADD || victim->access == ACCESS_WRITE)
		assert_int_equal(victim->outcome.seen, pattern_word(seed, offset));
	victim_free(victim);
}

uint64_t memory_word(struct mr_memory *memory, uint64_t offset)
{
	uint64_t word;

	assert_ok(mr_memory_read(memory, offset, &word, sizeof(word)));
	return word;
}
