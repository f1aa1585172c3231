/* SPDX-License-Identifier: MIT */
/* A body that runs in a child process, and how it ends. */
#include "child.h"

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wait.h"

#define NOBODY 65534

/*
 * The child dies with the test, takes signals as any program does, and leaves no core file behind. A failed assertion would go on
 * with the parent's next test: the test runner is told to abort instead.
 */
static void become_child(pid_t parent)
{
	const struct rlimit none = { 0, 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setrlimit(RLIMIT_CORE, &none);
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
}

bool child_start(struct child *child, int (*body)(struct child *self, void *argument), void *argument)
{
	pid_t parent = getpid();

	child->ready_fd = eventfd(0, EFD_CLOEXEC);
	if (child->ready_fd < 0)
		return false;
	fflush(NULL);
	child->pid = fork();
	if (child->pid == 0) {
		become_child(parent);
		_exit(body(child, argument));
	}
	child->pid_fd = child->pid > 0 ? (int)syscall(SYS_pidfd_open, child->pid, 0) : -1;
	if (child->pid_fd >= 0)
		return true;
	close(child->ready_fd);
	return false;
}

void child_tell(struct child *self)
{
	const uint64_t one = 1;

	if (write(self->ready_fd, &one, sizeof(one)) != sizeof(one))
		_exit(1);
}

bool child_await(struct child *child)
{
	struct pollfd fds[2] = { { .fd = child->ready_fd, .events = POLLIN }, { .fd = child->pid_fd, .events = POLLIN } };
	double end = clock_now() + DEADLINE_SECONDS;
	uint64_t told;

	while (poll(fds, 2, 1000) <= 0)
		if (clock_now() > end)
			return false;
	return fds[0].revents & POLLIN && read(child->ready_fd, &told, sizeof(told)) == sizeof(told);
}

bool child_wait(struct child *child, int *ret_status)
{
	bool ended = wait_readable(child->pid_fd);

	if (!ended)
		kill(child->pid, SIGKILL);
	if (waitpid(child->pid, ret_status, 0) != child->pid)
		ended = false;
	close(child->pid_fd);
	close(child->ready_fd);
	return ended;
}

int child_run(int (*body)(struct child *self, void *argument), void *argument)
{
	struct child child;
	int status;

	if (!child_start(&child, body, argument) || !child_wait(&child, &status))
		return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool child_drop_privileges(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
		return false;
	return prctl(PR_SET_DUMPABLE, 1) == 0;
}
