/* SPDX-License-Identifier: MIT */
/*
 * A task, inside. A pidfd tells whether the process still is; a descriptor of /proc/PID/mem reads and writes the one address
 * space that the task is, whatever becomes of the pid.
 */
#ifndef TASK_H
#define TASK_H

#include <stdatomic.h>

#include "lines.h"
#include "public.h"
#include "regions.h"

struct mr_task {
	_Atomic uint32_t references;
	uint32_t generation;
	pid_t pid;
	bool own; /* the process that opened it */
	int pidfd;
	int mem;	       /* for reading and writing */
	struct frozen *frozen; /* it is a copy that stands still; else NULL */
};

/* 0 if @task, or NULL, can be asked; -ECHILD, or -ESRCH: it has ended. Makes sentences. */
int task_check(const struct mr_task *task);

/* The task of a process that is known to be there. Makes sentences. */
int task_open(pid_t process, struct mr_task **ret_task);

/* Whether its process is there still, and runs the same program. */
bool task_is_there(const struct mr_task *task);

/* Whether it has the numbers of processes that this process has. */
bool task_sees_our_pids(const struct mr_task *task);

/* Whether @task is the calling process: NULL, or opened with its own pid. */
bool task_is_own(const struct mr_task *task);

/* A path below /proc for @task, "self" for NULL: "/proc/PID/NAME". */
#define TASK_PATH 64
void task_path(const struct mr_task *task, const char *name, char ret_path[TASK_PATH]);

/* Copy @length bytes at @address of another task. -EFAULT: they are not there. Makes sentences. */
int task_copy(const struct mr_task *task, uint64_t address, void *buffer, uint64_t length, bool write);

/* Call @each for every thread of @task until it returns non-zero, which is then returned. Makes sentences. */
int task_each_thread(const struct mr_task *task, int (*each)(void *argument, pid_t tid), void *argument);

/* Call @each for every mapping of @task until it returns non-zero, which is then returned. Makes sentences. */
int task_each_region(const struct mr_task *task, int (*each)(void *argument, const struct region *region), void *argument);

/* What the kernel says of one mapping. */
struct survey {
	struct region region; /* its name is `name` */
	uint64_t resident, anonymous;
	unsigned key;	 /* of protection keys; 0: none */
	char flags[256]; /* of VmFlags: two letters and a space each */
	char name[4096];
	bool begun;
};

bool survey_has_flag(const struct survey *survey, const char *flag);

/* As task_each_region, with all that the kernel says, which takes it longer. */
int task_survey(const struct mr_task *task, int (*each)(void *argument, const struct survey *survey), void *argument);

/* Why other memory cannot be put behind a mapping; NULL: it can. */
const char *task_objection(const struct mr_task *task, const struct survey *survey);

/* The same, whatever its kind: what can be done with no mapping of this sort. */
const char *task_objection_to_any(const struct survey *survey);

/* What the kernel says of a process or thread. */
struct task_status {
	pid_t process;
	pid_t tracer; /* 0: none */
	char state;   /* as ps(1) shows it */
	bool has_memory;
	bool filtered; /* by seccomp */
	bool pins;     /* some of its memory is pinned, for devices or io_uring */
	bool swapped;  /* some is swapped out */
};

/* -ESRCH: there is none. Makes sentences. */
int task_status(pid_t pid, struct task_status *ret_status);

/* Who traces a thread; 0: nobody. */
pid_t task_tracer(pid_t tid);

#endif
