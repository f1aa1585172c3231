/* SPDX-License-Identifier: MIT */
/* A thread of the library's, with a stack of its own: all signals blocked, named "memredirect". */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>
#include <stdint.h>

struct worker {
	pthread_t thread;
	uintptr_t stack;
};

/* 0; -ENOMEM, -EAGAIN. Makes sentences. */
int worker_start(struct worker *worker, void *(*body)(void *argument), void *argument);

/* Wait for its end, and free the stack. */
void worker_join(struct worker *worker);

/* In a child of fork, where the thread is not: free the stack. */
void worker_forget(struct worker *worker);

#endif
