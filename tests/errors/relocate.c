/* SPDX-License-Identifier: MIT */
/* Moves and snapshots that are refused: places, mappings whose attributes could not be kept, processes that no code can be put into. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "refused.h"
#include "wait.h"

#define LENGTH (UINT64_C(64) << 10)

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

static struct child child;
static struct mr_task *task;
static char *memory; /* of the child, at the same address there and here */

/* Sleep until @parent, which has started this process, ends; it may have by now. */
static int live_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		pause();
	_exit(0);
}

/* -- a process, whose memory is prepared by a function -- */

static int be_target(struct child *self, void *argument)
{
	bool (*prepare)(void) = *(bool (**)(void))argument;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memset(memory, 7, LENGTH);
	if (prepare && !prepare())
		return SKIPPED;
	child_tell(self);
	while (pause())
		;
	return 0;
}

/* False: the machine cannot prepare that. */
static bool start(bool (*prepare)(void))
{
	int status;

	memory = free_place(3 * LENGTH, LENGTH);
	memory =
		mmap(memory + LENGTH, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_true(child_start(&child, be_target, &prepare));
	if (child_await(&child)) {
		assert_ok(mr_task_open(child.pid, &task));
		return true;
	}
	assert_true(child_wait(&child, &status));
	munmap(memory, LENGTH);
	return false;
}

static void end(void)
{
	int status;

	mr_task_unref(task);
	kill(child.pid, SIGKILL);
	assert_true(child_wait(&child, &status));
	munmap(memory, LENGTH);
}

static void refuse_move(const void *address, uint32_t kind, unsigned node, int fd, int number)
{
	const struct mr_place place = { .size = sizeof(place), .kind = kind, .node = node, .fd = fd };

	assert_refused(mr_task_move(task, (uintptr_t)address, &place, NULL, NULL), number);
}

static void refuse_snapshot(int number)
{
	struct mr_task *copy = UNTOUCHED;

	assert_refused(mr_task_snapshot(task, &copy, NULL), number);
	assert_ptr_equal(copy, UNTOUCHED);
}

/* A mapping that a child prepares is not moved to ordinary pages. */
static void refuse_mapping(bool (*prepare)(void), int number, const char *word)
{
	if (!start(prepare))
		skip();
	refuse_move(memory, MR_PLACE_ANON, 0, -1, number);
	if (!strstr(mr_error(), word))
		fail_msg("\"%s\" does not say \"%s\"", mr_error(), word);
	end();
}

/* Nothing is done to a process. */
static void refuse_process(int number, const char *word)
{
	refuse_move(memory, MR_PLACE_ANON, 0, -1, number);
	if (!strstr(mr_error(), word))
		fail_msg("\"%s\" does not say \"%s\"", mr_error(), word);
	refuse_snapshot(number);
	end();
}

/* -- places -- */

static void no_place(void **state)
{
	const struct mr_place small = { .size = 1, .kind = MR_PLACE_ANON };

	(void)state;
	assert_true(start(NULL));
	assert_refused(mr_task_move(task, (uintptr_t)memory, NULL, NULL, NULL), EINVAL);
	assert_refused(mr_task_move(task, (uintptr_t)memory, &small, NULL, NULL), EINVAL);
	assert_refused(mr_task_move(NULL, (uintptr_t)memory, &small, NULL, NULL), EINVAL);
	refuse_move(memory, 0, 0, -1, EINVAL);
	refuse_move(memory, 99, 0, -1, EINVAL);
	refuse_move(memory, MR_PLACE_NODE, 1000, -1, EINVAL);
	refuse_move(memory + 4096, MR_PLACE_ANON, 0, -1, EFAULT);
	refuse_move(memory - 4096, MR_PLACE_ANON, 0, -1, EFAULT);
	end();
}

static void no_file(void **state)
{
	int fd = memfd_create("short", MFD_CLOEXEC), reader, pipes[2];
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(fd >= 0 && reader >= 0);
	assert_int_equal(ftruncate(fd, LENGTH - 1), 0);
	assert_true(start(NULL));
	refuse_move(memory, MR_PLACE_FILE, 0, -1, EBADF);
	refuse_move(memory, MR_PLACE_FILE, 0, reader, EACCES);
	refuse_move(memory, MR_PLACE_FILE, 0, pipes[1], EINVAL);
	refuse_move(memory, MR_PLACE_FILE, 0, fd, ERANGE);
	end();
	close(fd);
	close(reader);
	close(pipes[0]);
	close(pipes[1]);
}

static void half_a_huge_page(void **state)
{
	(void)state;
	assert_true(start(NULL));
	refuse_move(memory, MR_PLACE_HUGE_2M, 0, -1, EOPNOTSUPP);
	end();
}

/* -- mappings -- */

static bool lock(void)
{
	return !syscall(SYS_mlock, memory, LENGTH); /* sanitizers leave it alone */
}

static bool share(void)
{
	return mmap(memory, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory;
}

static bool map_file(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	return mmap(memory, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == memory;
}

static bool close_to_all(void)
{
	return !mprotect(memory, LENGTH, PROT_NONE);
}

static bool grow_down(void)
{
	munmap(memory, LENGTH);
	return mmap(memory, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0) ==
	       memory;
}

static bool watch(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range = { (uintptr_t)memory, LENGTH }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	return uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api) && !ioctl(uffd, UFFDIO_REGISTER, &range);
}

static bool set_policy(void)
{
	unsigned long nodes = 1;

	return !syscall(SYS_mbind, memory, LENGTH, MPOL_BIND, &nodes, 8 * sizeof(nodes), 0);
}

static bool map_and_fork(void)
{
	int fd = memfd_create("memredirect", MFD_CLOEXEC);
	pid_t self = getpid(), sharer;

	if (ftruncate(fd, LENGTH) || mmap(memory, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != memory)
		return false;
	sharer = fork();
	if (!sharer)
		live_with(self);
	return sharer > 0;
}

static void locked_memory(void **state)
{
	(void)state;
	refuse_mapping(lock, EOPNOTSUPP, "\"lo\"");
}

static void shared_memory(void **state)
{
	(void)state;
	refuse_mapping(share, EOPNOTSUPP, "shared");
}

static void memory_of_a_file(void **state)
{
	(void)state;
	refuse_mapping(map_file, EOPNOTSUPP, "a file");
}

static void memory_that_nobody_may_access(void **state)
{
	(void)state;
	refuse_mapping(close_to_all, EOPNOTSUPP, "nothing may access it");
}

static void memory_that_grows_down(void **state)
{
	(void)state;
	refuse_mapping(grow_down, EOPNOTSUPP, "a stack");
}

static void memory_that_is_watched(void **state)
{
	(void)state;
	refuse_mapping(watch, EOPNOTSUPP, "userfaultfd");
}

static void memory_with_a_policy(void **state)
{
	(void)state;
	refuse_mapping(set_policy, EOPNOTSUPP, "policy");
}

static void a_memfd_that_a_child_has_too(void **state)
{
	(void)state;
	refuse_mapping(map_and_fork, EBUSY, "is shared with process");
}

/* -- processes -- */

static bool filter_calls(void)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &all };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void filtered_process(void **state)
{
	(void)state;
	if (!start(filter_calls))
		skip();
	refuse_process(EOPNOTSUPP, "seccomp");
}

static bool is_stopped(void *argument)
{
	char path[64], line[512] = "";
	FILE *file;

	(void)argument;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)child.pid);
	file = fopen(path, "r");
	if (file && !fgets(line, sizeof(line), file))
		*line = '\0';
	if (file)
		fclose(file);
	return strstr(line, ") T ") || strstr(line, ") t ");
}

static void stopped_process(void **state)
{
	(void)state;
	assert_true(start(NULL));
	kill(child.pid, SIGSTOP);
	assert_true(wait_until(is_stopped, NULL));
	refuse_process(EBUSY, "is stopped");
}

static void traced_process(void **state)
{
	int status;

	(void)state;
	assert_true(start(NULL));
	assert_int_equal(ptrace(PTRACE_SEIZE, child.pid, 0, 0), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, child.pid, 0, 0), 0);
	assert_int_equal(waitpid(child.pid, &status, __WALL), child.pid);
	refuse_move(memory, MR_PLACE_ANON, 0, -1, EBUSY);
	assert_non_null(strstr(mr_error(), "traced already"));
	refuse_snapshot(EBUSY);
	assert_int_equal(ptrace(PTRACE_DETACH, child.pid, 0, 0), 0);
	end();
}

static int live_with_target(void *argument)
{
	return live_with(*(const pid_t *)argument);
}

static bool share_all_memory(void)
{
	static char stack[16384] __attribute__((aligned(16)));
	static pid_t self;

	self = getpid();
	return clone(live_with_target, stack + sizeof(stack), CLONE_VM | SIGCHLD, &self) > 0;
}

static void process_that_shares_its_memory(void **state)
{
	(void)state;
	refuse_mapping(share_all_memory, EBUSY, "shares its memory");
}

/* The child that is named is the first one of a pid namespace. */
static void process_in_another_pid_namespace(void **state)
{
	int tells[2];
	pid_t parent, pid = 0;
	int status;

	(void)state;
	assert_int_equal(pipe2(tells, O_CLOEXEC), 0);
	memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	parent = fork();
	if (!parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWPID))
			_exit(SKIPPED);
		pid = fork();
		if (!pid)
			live_with(0); /* which is how it sees a parent outside of its namespace */
		_exit(write(tells[1], &pid, sizeof(pid)) != sizeof(pid) || waitpid(pid, NULL, 0) != pid);
	}
	close(tells[1]);
	if (read(tells[0], &pid, sizeof(pid)) == sizeof(pid)) {
		assert_ok(mr_task_open(pid, &task));
		refuse_move(memory, MR_PLACE_ANON, 0, -1, EOPNOTSUPP);
		assert_non_null(strstr(mr_error(), "pid namespace"));
		refuse_snapshot(EOPNOTSUPP);
		mr_task_unref(task);
		kill(pid, SIGKILL);
	}
	close(tells[0]);
	munmap(memory, LENGTH);
	assert_int_equal(waitpid(parent, &status, 0), parent);
	if (!pid)
		skip();
}

static void snapshot_bad_arguments(void **state)
{
	struct mr_task *copy, *again = UNTOUCHED, *own;

	(void)state;
	assert_true(start(NULL));
	assert_refused(mr_task_snapshot(task, NULL, NULL), EINVAL);
	assert_refused(mr_task_snapshot(NULL, &again, NULL), EINVAL);
	assert_ok(mr_task_open(getpid(), &own));
	assert_refused(mr_task_snapshot(own, &again, NULL), EINVAL);
	mr_task_unref(own);
	assert_ok(mr_task_snapshot(task, &copy, NULL));
	assert_refused(mr_task_snapshot(copy, &again, NULL), EINVAL);
	for (unsigned i = 0; i < 2; i++) { /* who is refused does not let others in */
		assert_refused(mr_task_snapshot(task, &again, NULL), EBUSY);
		assert_non_null(strstr(mr_error(), "another caller is at work"));
		assert_ptr_equal(again, UNTOUCHED);
	}
	mr_task_unref(copy);
	end();
}

static const struct CMUnitTest tests[] = {
	TEST(no_place),
	TEST(no_file),
	TEST(half_a_huge_page),
	TEST(locked_memory),
	TEST(shared_memory),
	TEST(memory_of_a_file),
	TEST(memory_that_nobody_may_access),
	TEST(memory_that_grows_down),
	TEST(memory_that_is_watched),
	TEST(memory_with_a_policy),
	TEST(a_memfd_that_a_child_has_too),
	TEST(filtered_process),
	TEST(stopped_process),
	TEST(traced_process),
	TEST(process_that_shares_its_memory),
	TEST(process_in_another_pid_namespace),
	TEST(snapshot_bad_arguments),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "errors about moves of other processes", tests, COUNT(tests));
}
