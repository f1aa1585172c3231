/* SPDX-License-Identifier: MIT */
/* A host, inside: the agent in another process, descriptors for it, and userfaultfds of it. What is done with them: foreign.c. */
#ifndef HOST_H
#define HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/plant.h"
#include "inject/script.h"
#include "source.h"
#include "space/foreign.h"

/* A blocked range. */
struct blocked {
	uintptr_t start;
	uint64_t span;
	uintptr_t aside; /* where its mappings are */
	int64_t uffd;	 /* in the agent */
	struct blocked *next;
};

struct host {
	uint32_t references; /* by the lock of hosts */
	uint32_t generation;
	struct mr_task *task; /* a reference */
	struct host *next;    /* by the lock of hosts */

	pthread_mutex_t
		lock; /* serialises what the agent is told; protects all below. A leaf, but for the lock of tasks' sentences */
	bool planted;
	struct plant plant;
	int socket, agent_socket; /* for descriptors; -1: there is none */
	int64_t probe;		  /* a userfaultfd in the agent that watches nothing; -1: there is none */
	struct blocked *blocked;
	struct script script;
};

/* With the lock held, all of these. Have an agent. Makes sentences. */
int host_plant(struct host *host);

/* A system call of the agent's: what it returns. */
int64_t host_ask(struct host *host, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* Close a descriptor of the agent's; none, if it is negative. */
void host_close(struct host *host, int64_t fd);

/* Give the agent a descriptor. Return: which it is there, or a negative errno. */
int64_t host_pass(struct host *host, int fd);

/*
 * A userfaultfd of the process, in the agent, by which pages can be missing, minor, and protected. @removes: who gives back pages
 * (MADV_DONTNEED) waits until it is closed. Makes sentences.
 */
int64_t host_open_uffd(struct host *host, bool removes);

#endif
