/* SPDX-License-Identifier: MIT */
/* A process that exits, execs or is killed with threads blocked goes at once, over all kinds of memory. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "sanitizer.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

#define WAITERS 8

#if SANITIZED
/*
 * At exit the address sanitizer looks for leaks, and stops all threads for that, which those that wait in a system call cannot. So no
 * looking for leaks in this program.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

/* In the child: a blocked map with clients of all sorts. */
static void block_with_waiters(struct scene *scene)
{
	enum access access = ACCESS_LOAD;

	scene_make(scene, suite_kind);
	scene_block(scene);
	for (int waiting = 0; waiting < WAITERS; access = (access + 1) % ACCESS_FETCH) {
		if (!scene_access_waits(access) || !scene_access_possible(scene, access))
			continue;
		scene_victim(scene, access, 8 * (uint64_t)waiting);
		waiting++;
	}
	assert_int_equal(mr_map_waiters(scene->map), WAITERS);
}

static int call_exit(struct child *self, void *argument)
{
	struct scene scene;

	(void)self;
	(void)argument;
	block_with_waiters(&scene);
	fclose(stdout);
	exit(42);
}

static int call_exit_at_once(struct child *self, void *argument)
{
	struct scene scene;

	(void)self;
	(void)argument;
	block_with_waiters(&scene);
	_exit(43);
}

static int execute(struct child *self, void *argument)
{
	char *const arguments[] = { "sh", "-c", "exit 44", NULL };
	struct scene scene;

	(void)self;
	(void)argument;
	block_with_waiters(&scene);
	execv("/bin/sh", arguments);
	return 1;
}

static int stay(struct child *self, void *argument)
{
	struct scene scene;

	(void)argument;
	block_with_waiters(&scene);
	child_tell(self);
	pause();
	return 1;
}

static int abort_here(struct child *self, void *argument)
{
	struct scene scene;

	(void)self;
	(void)argument;
	block_with_waiters(&scene);
	abort();
}

static void exit_with_threads_blocked(void **state)
{
	(void)state;
	assert_int_equal(child_run(call_exit, NULL), 42);
}

static void exit_at_once_with_threads_blocked(void **state)
{
	(void)state;
	assert_int_equal(child_run(call_exit_at_once, NULL), 43);
}

static void exec_with_threads_blocked(void **state)
{
	(void)state;
	assert_int_equal(child_run(execute, NULL), 44);
}

static void abort_with_threads_blocked(void **state)
{
	(void)state;
	assert_int_equal(child_run(abort_here, NULL), 128 + SIGABRT);
}

static void kill_with_threads_blocked(void **state)
{
	struct child child;
	int status;

	(void)state;
	assert_true(child_start(&child, stay, NULL));
	assert_true(child_await(&child));
	assert_int_equal(kill(child.pid, SIGKILL), 0);
	assert_true(child_wait(&child, &status));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* A program that is started while a map is blocked neither hangs nor lets the waiting client go. */
static void spawn_with_a_thread_blocked(void **state)
{
	char *const arguments[] = { "sh", "-c", "exit 45", NULL };
	struct victim *victim;
	struct scene scene;
	int status;
	pid_t pid;

	(void)state;
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	assert_int_equal(posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 45);
	assert_int_equal(mr_map_waiters(scene.map), 1);
	assert_false(victim_is_done(victim));
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 8);
	scene_free(&scene);
}

static const struct CMUnitTest tests[] = {
	TEST(exit_with_threads_blocked),  TEST(exit_at_once_with_threads_blocked), TEST(exec_with_threads_blocked),
	TEST(abort_with_threads_blocked), TEST(kill_with_threads_blocked),	   TEST(spawn_with_a_thread_blocked),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "end", tests, COUNT(tests));
}
