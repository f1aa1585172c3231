/* SPDX-License-Identifier: MIT */
/* Signals to clients that wait in a blocked map: handlers run, the access waits again, and counts once (guarantee C). */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

/* What the handler has done, and whether it may return. */
static uint32_t entered;
static uint32_t held;

static void on_signal(int number)
{
	int error = errno;

	(void)number;
	__atomic_fetch_add(&entered, 1, __ATOMIC_SEQ_CST);
	wait_wake(&entered);
	while (__atomic_load_n(&held, __ATOMIC_SEQ_CST))
		wait_word(&held, 1);
	errno = error;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	__atomic_store_n(&entered, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&held, 0, __ATOMIC_SEQ_CST);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

/* Send the signal, and wait until its handler has begun. */
static void interrupt(const struct victim *victim)
{
	uint32_t before = __atomic_load_n(&entered, __ATOMIC_SEQ_CST);

	assert_int_equal(syscall(SYS_tgkill, getpid(), victim->tid, SIGUSR1), 0);
	assert_true(wait_word(&entered, before));
}

static void let_handlers_return(void)
{
	__atomic_store_n(&held, 0, __ATOMIC_SEQ_CST);
	wait_wake(&held);
}

static void handlers_run(enum access access)
{
	uint64_t offset = kind_unit(suite_kind) + 24;
	struct victim *victim;
	struct scene scene;

	catch_signals();
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, access, offset);
	for (int i = 0; i < 10; i++) {
		interrupt(victim);
		assert_true(wait_waiters(scene.map, 1));
		assert_false(victim_is_done(victim));
	}
	scene_switch(&scene);
	scene_victim_end(victim, SCENE_NEW, offset);
	assert_int_equal(entered, 10);
	assert_int_equal(*(uint64_t *)(scene.address + offset), scene_word_after(access, SCENE_NEW, offset));
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_free(&scene);
}

static void redirect_C_handlers_run_and_the_load_waits_again(void **state)
{
	(void)state;
	handlers_run(ACCESS_LOAD);
}

static void redirect_C_handlers_run_and_the_store_waits_again(void **state)
{
	(void)state;
	handlers_run(ACCESS_STORE);
}

static void redirect_C_handlers_run_and_the_atomic_happens_once(void **state)
{
	(void)state;
	handlers_run(ACCESS_ADD);
}

static void redirect_C_a_thread_in_a_handler_counts_once(void **state)
{
	struct victim *first, *second;
	struct scene scene;

	(void)state;
	catch_signals();
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	first = scene_victim(&scene, ACCESS_LOAD, 8);
	second = scene_victim(&scene, ACCESS_LOAD, 8);
	__atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
	interrupt(first);
	assert_int_equal(mr_map_waiters(scene.map), 2);
	let_handlers_return();
	assert_true(wait_waiters(scene.map, 2));
	interrupt(second);
	assert_true(wait_waiters(scene.map, 2));
	scene_restore(&scene);
	scene_victim_end(first, SCENE_OLD, 8);
	scene_victim_end(second, SCENE_OLD, 8);
	assert_int_equal(mr_map_waiters(scene.map), 0);
	scene_free(&scene);
}

/* The map is let go while the handler runs: the access goes on when it returns. */
static void redirect_C_a_thread_in_a_handler_misses_no_wake(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	catch_signals();
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	__atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
	interrupt(victim);
	scene_switch(&scene);
	assert_false(victim_is_done(victim));
	let_handlers_return();
	scene_victim_end(victim, SCENE_NEW, 8);
	scene_free(&scene);
}

/* The map is let go and blocked again while the handler runs: the access waits on, and sees what comes then. */
static void redirect_C_a_thread_in_a_handler_waits_for_the_next_block_too(void **state)
{
	struct victim *victim;
	struct scene scene;

	(void)state;
	catch_signals();
	scene_make(&scene, suite_kind);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	__atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
	interrupt(victim);
	scene_switch(&scene);
	scene_block(&scene);
	let_handlers_return();
	assert_true(wait_waiters(scene.map, 1));
	assert_false(victim_is_done(victim));
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 8);
	scene_free(&scene);
}

/* A client that waits inside a system call, and the whole process, can be killed. */
static int wait_for_the_end(struct child *self, void *argument)
{
	enum access access = *(enum access *)argument;
	struct scene scene;

	scene_make(&scene, suite_kind);
	scene_block(&scene);
	if (scene_access_waits(access))
		scene_victim(&scene, access, 8);
	scene_victim(&scene, ACCESS_LOAD, 8);
	child_tell(self);
	pause();
	return 1;
}

static void killed_by(int number, enum access access)
{
	struct child child;
	int status;

	assert_true(child_start(&child, wait_for_the_end, &access));
	assert_true(child_await(&child));
	assert_int_equal(kill(child.pid, number), 0);
	assert_true(child_wait(&child, &status));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), number);
}

static void redirect_C_waiting_threads_can_be_killed(void **state)
{
	(void)state;
	killed_by(SIGKILL, ACCESS_LOAD);
	killed_by(SIGTERM, ACCESS_LOAD);
	killed_by(SIGKILL, ACCESS_WRITE);
	killed_by(SIGTERM, ACCESS_WRITE);
}

static const struct CMUnitTest tests[] = {
	TEST(redirect_C_handlers_run_and_the_load_waits_again),
	TEST_FOR(redirect_C_handlers_run_and_the_store_waits_again, NEED_WRITABLE),
	TEST_FOR(redirect_C_handlers_run_and_the_atomic_happens_once, NEED_WRITABLE),
	TEST_FOR(redirect_C_a_thread_in_a_handler_counts_once, NEED_LOCAL),
	TEST(redirect_C_a_thread_in_a_handler_misses_no_wake),
	TEST(redirect_C_a_thread_in_a_handler_waits_for_the_next_block_too),
	TEST(redirect_C_waiting_threads_can_be_killed),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run_kind(argc, argv, "signal", tests, COUNT(tests));
}
