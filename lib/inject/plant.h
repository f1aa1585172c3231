/* SPDX-License-Identifier: MIT */
/* Putting the agent into another process, telling it what to do, and taking it out again. */
#ifndef INJECT_PLANT_H
#define INJECT_PLANT_H

#include <stdint.h>
#include <sys/types.h>

#include "inject/agent.h"

struct mr_task;

struct plant {
	const struct mr_task *task; /* not a reference */
	uint64_t area;
	uint64_t place; /* of the code by which the agent leaves */
	pid_t tid;	/* of the agent */
	int commands, results;
	int lock; /* an open file of its own: those who share a task keep each other out, too */
};

/*
 * Start an agent in @task. One thread of it is stopped twice, for some tens of microseconds. -EBUSY it is traced or stopped; -EOPNOTSUPP what
 * it is does not allow that; -EPERM. Makes sentences.
 */
int plant_begin(struct plant *plant, const struct mr_task *task);

/* Where the agent's list is, for plant_write. */
uint64_t plant_list(const struct plant *plant);
int plant_write(const struct plant *plant, uint64_t address, const void *bytes, uint64_t length);

/* Tell the agent to do something, and wait. Return: what came of it; -ESRCH the agent is gone. Makes sentences for what the pipes say alone. */
int64_t plant_tell(const struct plant *plant, const struct agent_command *command);

/* A system call of the agent's. */
int64_t plant_call(const struct plant *plant, long number, const int64_t arguments[6]);

/*
 * In a helper, with its threads stopped: the agent knows until the helper ends that they are. The helper has
 * descriptors of its own from then on. Makes sentences.
 */
int plant_guard(const struct plant *plant);

/* Close what it has open, in a child of fork; what the parent has stays, the lock included. */
void plant_forget(struct plant *plant);

/* Take it out, and wait until it is gone. */
void plant_end(struct plant *plant);

#endif
