/* SPDX-License-Identifier: MIT */
/*
 * A body that runs in a child process, and how it ends. An assertion that fails there ends the child with SIGABRT, which its
 * parent sees.
 */
#ifndef SUPPORT_CHILD_H
#define SUPPORT_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int pid_fd;
	int ready_fd; /* an eventfd: what the child has told */
};

/* Fork, and run @body, whose result is the child's exit status. False: fork failed. */
bool child_start(struct child *child, int (*body)(struct child *self, void *argument), void *argument);

/* In the child: tell the parent that it is ready. In the parent: wait for that; false: the child ended first, or the deadline passed. */
void child_tell(struct child *self);
bool child_await(struct child *child);

/* Wait for the child's end. @ret_status is as waitpid makes it. False: the deadline passed; the child has been killed. */
bool child_wait(struct child *child, int *ret_status);

/* All of it: the exit status; 128 + the number of the signal that killed the child; -1 if it did not start or did not end. */
int child_run(int (*body)(struct child *self, void *argument), void *argument);

/* In the child: become the ordinary user nobody, if it is root, and be one that can look at itself. False: that failed. */
bool child_drop_privileges(void);

#endif
