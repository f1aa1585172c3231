/* SPDX-License-Identifier: MIT */
/* Threads of the library's. */
#include "worker.h"

#include "error.h"
#include "sys/sys.h"

#define STACK_SIZE  (UINT64_C(1) << 20)
#define STACK_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE)

int worker_start(struct worker *worker, void *(*body)(void *argument), void *argument)
{
	int error = sys_mmap(0, STACK_SIZE, PROT_READ | PROT_WRITE, STACK_FLAGS, -1, 0, &worker->stack);

	if (error)
		return fail_system(error, "there is no room for the stack of a thread");
	error = sys_thread(body, argument, (void *)worker->stack, STACK_SIZE, &worker->thread);
	if (!error)
		return 0;
	worker_forget(worker);
	return fail_system(error, "a thread of the library cannot be started");
}

void worker_join(struct worker *worker)
{
	pthread_join(worker->thread, NULL);
	worker_forget(worker);
}

void worker_forget(struct worker *worker)
{
	sys_munmap(worker->stack, STACK_SIZE);
}
