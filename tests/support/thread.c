/* SPDX-License-Identifier: MIT */
/* A thread whose stack is unmapped when it is joined. */
#include "thread.h"

#include <sys/mman.h>

/* Sanitizers keep most of a mebibyte there. */
#define STACK_BYTES (2 * 1024 * 1024)

bool thread_start(struct thread *thread, void *(*body)(void *argument), void *argument)
{
	pthread_attr_t attributes;
	int error;

	thread->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (thread->stack == MAP_FAILED)
		return false;
	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, thread->stack, STACK_BYTES);
	error = pthread_create(&thread->id, &attributes, body, argument);
	pthread_attr_destroy(&attributes);
	if (error)
		munmap(thread->stack, STACK_BYTES);
	return !error;
}

void *thread_join(struct thread *thread)
{
	void *result = NULL;

	pthread_join(thread->id, &result);
	munmap(thread->stack, STACK_BYTES);
	return result;
}
