/* SPDX-License-Identifier: MIT */
/* A thread whose stack is unmapped when it is joined. */
#include "thread.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wait.h"

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

/* One that has ended meanwhile does not run either. */
static bool runs(const char *tid)
{
	char path[64], line[512] = "";
	const char *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
	file = fopen(path, "re");
	if (!file)
		return false;
	fgets(line, sizeof(line), file);
	fclose(file);
	state = strrchr(line, ')'); /* behind the name */
	return state && strncmp(state, ") S", 3) != 0;
}

static bool others_sleep(void *argument)
{
	DIR *tasks = opendir("/proc/self/task");
	long self = syscall(SYS_gettid);
	bool asleep = tasks;
	struct dirent *entry;

	(void)argument;
	while (asleep && (entry = readdir(tasks)))
		asleep = entry->d_name[0] == '.' || atol(entry->d_name) == self || !runs(entry->d_name);
	if (tasks)
		closedir(tasks);
	return asleep;
}

bool threads_settle(void)
{
	return wait_until(others_sleep, NULL);
}
