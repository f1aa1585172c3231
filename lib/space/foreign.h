/* SPDX-License-Identifier: MIT */
/*
 * Hosts: other processes that maps are in. There is one for all maps of a process; it has the agent, from the first time on that one is
 * needed until the last map is freed.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#include <stdbool.h>
#include <stdint.h>

struct host;
struct mr_task;

/* The host of a task that is not the calling process's, with a reference. Makes sentences. */
int foreign_find(struct mr_task *task, struct host **ret_host);
struct host *foreign_ref(struct host *host);
void foreign_unref(struct host *host);

/* Its task, borrowed; NULL for NULL. */
struct mr_task *foreign_task(const struct host *host);

/* Whether the process is there still; NULL, this one, is. */
bool foreign_is_there(const struct host *host);

/* Whether what is mapped in [start, start + span) can be adopted: 0, -EFAULT, -EOPNOTSUPP. Makes sentences. */
int foreign_check(const struct host *host, uintptr_t start, uint64_t span);

/* Around fork, and in the child of one: the agents of the parent are none of its. */
void foreign_lock(void);
void foreign_unlock(void);
void foreign_reset(void);

#endif
