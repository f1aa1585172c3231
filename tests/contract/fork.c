/* SPDX-License-Identifier: MIT */
/* fork(2): the child keeps what it inherited, a blocked map is absent there, and its calls on inherited objects say -ECHILD. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "sanitizer.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

/* Start a child that looks when it is told to, do something in between, and see that all was well there. */
struct meeting {
	struct scene *scene;
	int told[2]; /* a pipe from the parent */
};

static void meeting_make(struct meeting *meeting, struct scene *scene)
{
	meeting->scene = scene;
	assert_int_equal(pipe(meeting->told), 0);
}

static void meeting_tell(struct meeting *meeting)
{
	assert_int_equal(write(meeting->told[1], "x", 1), 1);
}

static void meeting_await(struct meeting *meeting)
{
	char byte;

	assert_true(wait_readable(meeting->told[0]));
	assert_int_equal(read(meeting->told[0], &byte, 1), 1);
}

static void meeting_free(struct meeting *meeting)
{
	close(meeting->told[0]);
	close(meeting->told[1]);
}

static int keep_old_bytes(struct child *self, void *argument)
{
	struct meeting *meeting = argument;
	struct scene *scene = meeting->scene;

	assert_pattern(scene->address, 0, scene->length, SCENE_OLD);
	child_tell(self);
	meeting_await(meeting);
	assert_pattern(scene->address, 0, scene->length, SCENE_OLD);
	return 0;
}

static void fork_child_is_not_affected_by_later_redirects(void **state)
{
	struct meeting meeting;
	struct child child;
	struct scene scene;
	int status;

	(void)state;
	scene_make(&scene, suite_kind);
	meeting_make(&meeting, &scene);
	assert_true(child_start(&child, keep_old_bytes, &meeting));
	assert_true(child_await(&child));
	scene_switch(&scene);
	scene_block(&scene);
	meeting_tell(&meeting);
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, 0);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	meeting_free(&meeting);
	scene_free(&scene);
}

/* A child of a map that has been redirected sees what the map showed at the fork. */
static int keep_new_bytes(struct child *self, void *argument)
{
	struct scene *scene = argument;

	(void)self;
	assert_pattern(scene->address, 0, scene->length, SCENE_NEW);
	return 0;
}

static void fork_child_keeps_what_was_shown_last(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_switch(&scene);
	assert_int_equal(child_run(keep_new_bytes, &scene), 0);
	scene_block(&scene);
	scene_switch(&scene);
	assert_int_equal(child_run(keep_new_bytes, &scene), 0);
	scene_free(&scene);
}

static int find_nothing(struct child *self, void *argument)
{
	struct scene *scene = argument;

	(void)self;
	for (uint64_t offset = 0; offset < scene->length; offset += kind_unit(suite_kind) / 2)
		assert_true(access_is_absent(scene->address + offset));
	assert_true(access_is_absent(scene->address + scene->length - 8));
	return 0;
}

static void fork_blocked_map_is_absent_from_the_child(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	assert_int_equal(child_run(find_nothing, &scene), 0);
	assert_int_equal(mr_map_waiters(scene.map), 1);
	assert_false(victim_is_done(victim));
	assert_true(mr_map_is_blocked(scene.map));
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 8);
	scene_free(&scene);
}

/* What a block did to the map for forks ends with the block, and comes back with the next one. */
static void fork_map_is_there_again_after_a_block(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	scene_switch(&scene);
	assert_int_equal(child_run(keep_new_bytes, &scene), 0);
	scene_block(&scene);
	assert_int_equal(child_run(find_nothing, &scene), 0);
	scene_free(&scene);
}

static int be_refused(struct child *self, void *argument)
{
	struct scene *scene = argument;
	struct mr_memory *memory = scene->sample.memory, *made = NULL;
	uint64_t address, length;
	struct mr_map *map = NULL;
	char byte = 1;

	(void)self;
	assert_error(mr_memory_read(memory, 0, &byte, 1), ECHILD);
	assert_error(mr_memory_write(memory, 0, &byte, 1), ECHILD);
	assert_error(mr_memory_prepare(memory), ECHILD);
	assert_error(mr_memory_complete(memory), ECHILD);
	assert_error(mr_memory_physical_segment(memory, 0, &address, &length), ECHILD);
	assert_error(mr_memory_new_sub(memory, 0, 1, 0, &made), ECHILD);
	assert_error(mr_memory_new_multi(&memory, 1, 0, &made), ECHILD);
	assert_error(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_READ_ONLY, 0, 0, &map), ECHILD);
	assert_error(mr_map_redirect(scene->map, NULL, 0, 0), ECHILD);
	assert_error(mr_map_redirect(scene->map, scene->other.memory, scene->other.access, 0), ECHILD);
	assert_error(mr_map_unmap(scene->map), ECHILD);
	assert_error(mr_map_physical_address(scene->map, &address), ECHILD);
	assert_error(mr_map_physical_segment(scene->map, 0, &address, &length), ECHILD);
	assert_null(made);
	assert_null(map);
	return 0;
}

static void fork_calls_in_the_child_are_refused(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_int_equal(child_run(be_refused, &scene), 0);
	scene_block(&scene);
	assert_int_equal(child_run(be_refused, &scene), 0);
	scene_free(&scene);
}

/* The child's maps take no memory that it inherited. */
static int refuse_mixture(struct child *self, void *argument)
{
	struct scene *scene = argument;
	struct mr_memory *buffer;
	struct mr_map *map;

	(void)self;
	assert_ok(mr_memory_new_buffer(scene->length, 0, &buffer));
	assert_ok(mr_map_new(buffer, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	assert_error(mr_map_redirect(map, scene->other.memory, scene->other.access, 0), ECHILD);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, buffer, 0, 0));
	mr_map_unref(map);
	mr_memory_unref(buffer);
	return 0;
}

static void fork_child_cannot_mix_its_own_and_inherited_objects(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_int_equal(child_run(refuse_mixture, &scene), 0);
	scene_free(&scene);
}

static int free_what_was_inherited(struct child *self, void *argument)
{
	struct scene *scene = argument;

	(void)self;
	assert_null(mr_map_unref(scene->map));
	assert_pattern(scene->address, 0, scene->length, SCENE_OLD);
	assert_null(mr_memory_unref(scene->sample.memory));
	assert_null(mr_memory_unref(scene->sample.backing.memory));
	assert_null(mr_memory_unref(scene->other.memory));
	assert_pattern(scene->address, 0, scene->length, SCENE_OLD);
	return 0;
}

static void fork_unref_in_the_child_frees_and_leaves_the_bytes(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_int_equal(child_run(free_what_was_inherited, &scene), 0);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_block(&scene);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_free(&scene);
}

static int free_what_was_blocked(struct child *self, void *argument)
{
	struct scene *scene = argument;

	assert_null(mr_map_unref(scene->map));
	assert_null(mr_memory_unref(scene->sample.memory));
	assert_null(mr_memory_unref(scene->other.memory));
	return find_nothing(self, argument);
}

static void fork_unref_of_a_blocked_map_in_the_child(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	assert_int_equal(child_run(free_what_was_blocked, &scene), 0);
	assert_false(victim_is_done(victim));
	assert_int_equal(mr_map_waiters(scene.map), 1);
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 8);
	scene_free(&scene);
}

/* The child can do all that the parent can, with objects of its own. */
static int do_it_all(struct child *self, void *argument)
{
	struct victim *victim;
	struct scene scene;

	(void)self;
	(void)argument;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	scene_switch(&scene);
	scene_victim_end(victim, SCENE_NEW, 8);
	scene_free(&scene);
	return 0;
}

/* The child's pager gets addresses on which its parent's threads had their stacks, and a sanitizer takes them for that still. */
static void fork_child_has_a_service_of_its_own(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	if (SANITIZED && strstr(suite_kind->name, "pager"))
		skip();
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	assert_int_equal(child_run(do_it_all, NULL), 0);
	assert_false(victim_is_done(victim));
	assert_int_equal(mr_map_waiters(scene.map), 1);
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 8);
	scene_free(&scene);
}

/* A child of the child: the generations do not mix. */
static int have_a_child(struct child *self, void *argument)
{
	(void)self;
	assert_int_equal(child_run(do_it_all, argument), 0);
	assert_int_equal(child_run(be_refused, argument), 0);
	return 0;
}

static void fork_in_the_child(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, suite_kind);
	assert_int_equal(child_run(have_a_child, &scene), 0);
	scene_free(&scene);
}

static const struct CMUnitTest tests[] = {
	TEST_FOR(fork_child_is_not_affected_by_later_redirects, NEED_INHERITED),
	TEST_FOR(fork_child_keeps_what_was_shown_last, NEED_INHERITED),
	TEST(fork_blocked_map_is_absent_from_the_child),
	TEST_FOR(fork_map_is_there_again_after_a_block, NEED_INHERITED),
	TEST(fork_calls_in_the_child_are_refused),
	TEST(fork_child_cannot_mix_its_own_and_inherited_objects),
	TEST_FOR(fork_unref_in_the_child_frees_and_leaves_the_bytes, NEED_INHERITED),
	TEST(fork_unref_of_a_blocked_map_in_the_child),
	TEST(fork_child_has_a_service_of_its_own),
	TEST_FOR(fork_in_the_child, NEED_INHERITED),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "fork", tests, COUNT(tests));
}
