/* SPDX-License-Identifier: MIT */
/*
 * A visit: threads of another process are stopped, looked at, and let go as they were.
 *
 * A visit is made by a helper, a process that shares all memory and descriptors with this one and ends with the visit. So it can have
 * tracees without this process's SIGCHLD handlers and waits ever meeting them; and whatever happens, its end lets every thread go.
 * To process.h it would be a child: nothing that it calls may ask for the process's generation (task_check does).
 *
 * Threads that the target starts meanwhile are not held up by the kernel: stop_all looks for them until there are none.
 */
#ifndef INJECT_VISIT_H
#define INJECT_VISIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mr_task;

/* How many signals can be held back from a thread; more are not looked for. */
#define VISIT_SIGNALS 8

struct visited {
	pid_t tid;
	int signals[VISIT_SIGNALS]; /* that it was about to take, and takes at the end */
	unsigned signal_count;
	bool stopped;
	bool in_group_stop;
};

struct visit {
	const struct mr_task *task;
	pid_t agent; /* which is left alone; 0: there is none */
	struct visited *threads;
	size_t count, room;
	uint64_t asked; /* threads so far, those that have ended included */
	uint64_t since; /* when the first thread was stopped */
	bool first;	/* the helper runs before all other threads (sys_run_first), and must not keep them from stopping */
};

/*
 * Run @body(argument) in a helper, all signals blocked, while the calling thread waits, and then let go whatever the helper holds.
 * Return: what @body returned. Makes sentences.
 */
int visit_by(int (*body)(void *argument), void *argument);

/* In a helper. Stop one thread; all threads. -ESRCH no such thread any more; -EBUSY it does not stop, or is traced. Makes sentences. */
int visit_stop(struct visit *visit, pid_t tid, struct visited **ret_thread);
int visit_stop_all(struct visit *visit);

/* Let a stopped thread run, taking no signal, until @done says so of it, stopped again; -EBUSY it did not come to that. Makes sentences. */
int visit_run_until(struct visit *visit, struct visited *thread, bool (*done)(pid_t tid, void *argument), void *argument);

/* Let all go. Return: nanoseconds since the first was stopped. */
uint64_t visit_end(struct visit *visit);

#endif
