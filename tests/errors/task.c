/* SPDX-License-Identifier: MIT */
/* Every error of the calls about tasks. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "refused.h"
#include "wait.h"

static struct mr_task *task;
static struct mr_memory *memory;
static struct mr_map *map;

static int wait_for_end(struct child *self, void *argument)
{
	(void)argument;
	child_tell(self);
	while (pause())
		;
	return 0;
}

static void start(struct child *child)
{
	assert_true(child_start(child, wait_for_end, NULL));
	assert_true(child_await(child));
}

static void end(struct child *child)
{
	int status;

	kill(child->pid, SIGKILL);
	assert_true(child_wait(child, &status));
}

static void open_bad_arguments(void **state)
{
	(void)state;
	task = UNTOUCHED;
	assert_refused(mr_task_open(0, &task), EINVAL);
	assert_refused(mr_task_open(-5, &task), EINVAL);
	assert_refused(mr_task_open(getpid(), NULL), EINVAL);
	assert_ptr_equal(task, UNTOUCHED);
}

static void open_no_process(void **state)
{
	struct child child;

	(void)state;
	task = UNTOUCHED;
	start(&child);
	end(&child);
	assert_refused(mr_task_open(child.pid, &task), ESRCH);
	assert_ptr_equal(task, UNTOUCHED);
}

static int end_at_once(struct child *self, void *argument)
{
	(void)self;
	(void)argument;
	return 0;
}

static void open_process_that_has_ended(void **state)
{
	struct child child;
	siginfo_t info;
	int status;

	(void)state;
	assert_true(child_start(&child, end_at_once, NULL));
	assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
	assert_refused(mr_task_open(child.pid, &task), ESRCH);
	assert_true(child_wait(&child, &status));
}

static int open_as_nobody(struct child *self, void *argument)
{
	(void)self;
	assert_true(child_drop_privileges());
	assert_refused(mr_task_open(*(pid_t *)argument, &task), EPERM);
	return 0;
}

static void open_process_of_somebody_else(void **state)
{
	pid_t own = getpid();

	(void)state;
	if (geteuid() != 0)
		own = 1;
	assert_int_equal(child_run(open_as_nobody, &own), 0);
}

static int each(void *argument, const struct mr_region *region)
{
	(void)argument;
	(void)region;
	return 0;
}

static void calls_on_a_task_that_has_ended(void **state)
{
	int here;
	struct mr_range range = { (uintptr_t)&here, sizeof(here) };
	struct child child;

	(void)state;
	memory = UNTOUCHED;
	start(&child);
	assert_ok(mr_task_open(child.pid, &task));
	end(&child);
	assert_refused(mr_task_regions(task, each, NULL), ESRCH);
	assert_refused(mr_memory_new_ranges(task, &range, 1, 0, &memory), ESRCH);
	assert_refused(mr_map_adopt(task, &here, sizeof(here), 0, &map), ESRCH);
	assert_ptr_equal(memory, UNTOUCHED);
	mr_task_unref(task);
}

/* Not before it has been opened as it is now. */
static int run_another_program(struct child *self, void *argument)
{
	uint64_t opened;

	(void)self;
	if (read(*(int *)argument, &opened, sizeof(opened)) != sizeof(opened))
		return 1;
	execlp("sleep", "sleep", "1000", NULL);
	return 1;
}

static bool runs_another(void *argument)
{
	return mr_task_regions(argument, each, NULL) == -ESRCH;
}

static void calls_on_a_task_that_runs_another_program(void **state)
{
	int go = eventfd(0, 0);
	struct child child;

	(void)state;
	assert_true(go >= 0);
	assert_true(child_start(&child, run_another_program, &go));
	assert_ok(mr_task_open(child.pid, &task));
	assert_int_equal(eventfd_write(go, 1), 0);
	assert_true(wait_until(runs_another, task));
	close(go);
	mr_task_unref(task);
	end(&child);
}

static int use_inherited(struct child *self, void *argument)
{
	(void)self;
	(void)argument;
	assert_refused(mr_task_regions(task, each, NULL), ECHILD);
	assert_null(mr_task_unref(task));
	return 0;
}

static void calls_on_an_inherited_task(void **state)
{
	(void)state;
	assert_ok(mr_task_open(getpid(), &task));
	assert_int_equal(child_run(use_inherited, NULL), 0);
	mr_task_unref(task);
}

static void regions_bad_arguments(void **state)
{
	(void)state;
	assert_refused(mr_task_regions(NULL, NULL, NULL), EINVAL);
}

static void ranges_of_a_task(void **state)
{
	char *closed = mmap(NULL, page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *gap = free_place(page_size(), page_size());
	struct mr_range none = { (uintptr_t)gap, 1 }, silent = { (uintptr_t)closed, 1 };
	struct mr_range fixed = { (uintptr_t)ranges_of_a_task, 1 }, empty = { (uintptr_t)closed, 0 };
	struct child child;

	(void)state;
	memory = UNTOUCHED;
	start(&child);
	assert_ok(mr_task_open(child.pid, &task));
	assert_refused(mr_memory_new_ranges(task, &none, 1, 0, &memory), EFAULT);
	assert_refused(mr_memory_new_ranges(task, &silent, 1, 0, &memory), EACCES);
	assert_refused(mr_memory_new_ranges(task, &fixed, 1, 0, &memory), EACCES);
	assert_refused(mr_memory_new_ranges(task, &empty, 1, 0, &memory), EINVAL);
	assert_refused(mr_memory_new_ranges(task, NULL, 1, 0, &memory), EINVAL);
	assert_ptr_equal(memory, UNTOUCHED);
	munmap(closed, page_size());
	mr_task_unref(task);
	end(&child);
}

static void private_memory_of_a_task(void **state)
{
	char *place = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_range range = { (uintptr_t)place, page_size() };
	struct mr_memory *buffer, *private;
	struct child child;

	(void)state;
	map = UNTOUCHED;
	start(&child);
	assert_ok(mr_task_open(child.pid, &task));
	assert_ok(mr_memory_new_buffer(page_size(), 0, &buffer));
	assert_ok(mr_memory_new_ranges(task, &range, 1, 0, &private));
	assert_refused(mr_map_new(private, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EOPNOTSUPP);
	assert_refused(mr_map_new(private, task, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EOPNOTSUPP);
	assert_refused(mr_map_new(buffer, task, place, MR_MAP_UNIQUE, 0, 0, &map), EEXIST);
	assert_refused(mr_memory_prepare(private), EOPNOTSUPP);
	assert_ptr_equal(map, UNTOUCHED);
	mr_memory_unref(private);
	mr_memory_unref(buffer);
	mr_task_unref(task);
	munmap(place, page_size());
	end(&child);
}

static const struct CMUnitTest tests[] = {
	TEST(open_bad_arguments),
	TEST(open_no_process),
	TEST(open_process_that_has_ended),
	TEST(open_process_of_somebody_else),
	TEST(calls_on_a_task_that_has_ended),
	TEST(calls_on_a_task_that_runs_another_program),
	TEST(calls_on_an_inherited_task),
	TEST(regions_bad_arguments),
	TEST(ranges_of_a_task),
	TEST(private_memory_of_a_task),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "errors about tasks", tests, COUNT(tests));
}
