/* SPDX-License-Identifier: MIT */
/*
 * A thread whose stack is unmapped when it is joined. (The C library keeps the stacks that it makes for later threads, which would
 * look like a leak of mappings.)
 */
#ifndef SUPPORT_THREAD_H
#define SUPPORT_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct thread {
	pthread_t id;
	void *stack;
};

/* False: there is no thread to be had. */
bool thread_start(struct thread *thread, void *(*body)(void *argument), void *argument);

/* Wait for its end, without a deadline: for threads that are sure to end. Return: what the body returned. */
void *thread_join(struct thread *thread);

/*
 * Wait until all other threads sleep. One that has just been started makes room for itself (its arena, what a sanitizer keeps of it), and
 * may do so just where a range has gone away that is to be found empty. False: they did not within the deadline.
 */
bool threads_settle(void);

#endif
