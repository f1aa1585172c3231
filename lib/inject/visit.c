/* SPDX-License-Identifier: MIT */
/* Stopping threads of another process, and letting them go as they were. */
#include "inject/visit.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "error.h"
#include "sys/sys.h"
#include "task.h"

#define STACK (UINT64_C(256) << 10)

/* How long a thread may take to stop, and to do what it is told; in nanoseconds. */
#define PATIENCE UINT64_C(3000000000)

/* The longest time that a thread is given to do what it is told, before it is stopped again. */
#define LONGEST_NAP 50000000

/* How long to look for a change without sleeping, and how long to sleep then; in nanoseconds. */
#define PROMPT	  UINT64_C(2000000)
#define NAP	  50000
#define SHORT_NAP 10000

/* -- the helper -- */

struct errand {
	int (*body)(void *argument);
	void *argument;
	int result;
	pid_t parent;
};

/* Here as well as in the caller, which waits in clone: also thread-local variables are the caller's. */
static int run_errand(void *argument)
{
	struct errand *errand = argument;

	if (sys_die_with(errand->parent))
		errand->result = errand->body(errand->argument);
	sys_exit();
	return 0;
}

int visit_by(int (*body)(void *argument), void *argument)
{
	struct errand errand = { body, argument, -EINTR, sys_pid() };
	uintptr_t stack;
	int error = sys_mmap(0, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0, &stack);

	if (error)
		return fail_system(error, "there is no memory for the helper's stack");
	error = sys_helper(run_errand, &errand, stack + STACK);
	sys_munmap(stack, STACK);
	if (error)
		return fail_system(error, "a helper that stops threads cannot be started");
	return errand.result == -EINTR ? fail(-EINTR, "the helper that stops threads has been killed") : errand.result;
}

/* -- waiting -- */

static bool is_patient(uint64_t begin, bool first)
{
	uint64_t waited = sys_now() - begin;

	if (first)
		sys_sleep(SHORT_NAP);
	else if (waited > PROMPT)
		sys_sleep(NAP);
	else
		sched_yield();
	return waited < PATIENCE;
}

/* Take note of how a thread has stopped. */
static void note_stop(struct visited *thread, int status)
{
	int event = status >> 16, signal = WSTOPSIG(status);

	thread->stopped = true;
	if (!event && thread->signal_count < VISIT_SIGNALS)
		thread->signals[thread->signal_count++] = signal;
	thread->in_group_stop = event == SYS_EVENT_STOP && signal != SIGTRAP;
}

/* Wait until the thread stops. -ESRCH: it has ended. */
static int await_stop(const struct visit *visit, struct visited *thread)
{
	uint64_t begin = sys_now();
	int status, got;

	do {
		got = sys_wait_thread(thread->tid, &status);
		if (got < 0 || (got > 0 && !WIFSTOPPED(status)))
			return -ESRCH;
		if (got > 0) {
			note_stop(thread, status);
			return 0;
		}
	} while (is_patient(begin, visit->first));
	return fail(-EBUSY, "thread %d does not stop: it is in the kernel, waits for a child of vfork, or is frozen",
		    (int)thread->tid);
}

/* -- stopping -- */

static struct visited *append(struct visit *visit, pid_t tid)
{
	if (visit->count == visit->room) {
		size_t room = visit->room ? 2 * visit->room : 16;
		struct visited *threads = sys_resize(visit->threads, room, sizeof(*threads));

		if (!threads)
			return NULL;
		visit->threads = threads;
		visit->room = room;
	}
	visit->threads[visit->count] = (struct visited){ .tid = tid };
	visit->asked++;
	return &visit->threads[visit->count++];
}

/* Ask a thread to stop. -ESRCH: there is none any more. */
static int ask(struct visit *visit, pid_t tid)
{
	int error = sys_ptrace_seize(tid);

	if (error == -ESRCH)
		return error;
	if (error == -EPERM && task_tracer(tid))
		return fail(-EBUSY, "thread %d is traced already, by a debugger perhaps", (int)tid);
	if (error)
		return fail_system(error, "thread %d cannot be traced", (int)tid);
	if (!visit->since)
		visit->since = sys_now();
	if (!append(visit, tid))
		return fail(-ENOMEM, "there is no memory for the list of threads");
	return sys_ptrace_interrupt(tid);
}

/* A thread that has ended is forgotten. */
static int await_last(struct visit *visit)
{
	struct visited *thread = &visit->threads[visit->count - 1];
	int error = await_stop(visit, thread);

	if (error == -ESRCH)
		visit->count--;
	return error;
}

int visit_stop(struct visit *visit, pid_t tid, struct visited **ret_thread)
{
	int error = ask(visit, tid);

	if (!error)
		error = await_last(visit);
	if (!error)
		*ret_thread = &visit->threads[visit->count - 1];
	return error;
}

static bool knows(const struct visit *visit, pid_t tid)
{
	if (tid == visit->agent)
		return true;
	for (size_t i = 0; i < visit->count; i++)
		if (visit->threads[i].tid == tid)
			return true;
	return false;
}

static int ask_unknown(void *argument, pid_t tid)
{
	struct visit *visit = argument;
	int error = knows(visit, tid) ? 0 : ask(visit, tid);

	return error == -ESRCH ? 0 : error;
}

/* Wait for those from @first on. */
static int await_all(struct visit *visit, size_t first)
{
	int error = 0;

	for (size_t i = first; !error && i < visit->count; i++)
		if (!visit->threads[i].stopped) {
			error = await_stop(visit, &visit->threads[i]);
			if (error == -ESRCH) {
				visit->threads[i--] = visit->threads[--visit->count];
				error = 0;
			}
		}
	return error;
}

/*
 * Whoever is asked can start no more threads once it has stopped; who is not yet found is found the next time. One that ended meanwhile
 * makes up for none that was found: that one may have started another before it stopped.
 */
int visit_stop_all(struct visit *visit)
{
	uint64_t before;
	int error;

	do {
		before = visit->asked;
		error = task_each_thread(visit->task, ask_unknown, visit);
		if (!error)
			error = await_all(visit, 0);
	} while (!error && visit->asked != before);
	if (!error && !visit->count)
		error = fail(-ESRCH, "process %d has no threads any more", (int)mr_task_pid(visit->task));
	return error;
}

int visit_run_until(struct visit *visit, struct visited *thread, bool (*done)(pid_t tid, void *argument), void *argument)
{
	uint64_t begin = sys_now(), nap = 0;
	int error;

	/* Who is interrupted before a processor has come to it gets nowhere, so it is given more time each round. */
	do {
		error = sys_ptrace_continue(thread->tid, 0);
		if (!error && nap)
			sys_sleep(nap);
		if (!error)
			error = sys_ptrace_interrupt(thread->tid);
		nap = nap < LONGEST_NAP ? 2 * nap + SHORT_NAP : nap;
		if (!error)
			error = await_stop(visit, thread);
		if (error)
			return error == -ESRCH ? fail(-ESRCH, "thread %d has ended meanwhile", (int)thread->tid) : error;
		if (done(thread->tid, argument))
			return 0;
	} while (is_patient(begin, visit->first));
	return fail(-EBUSY, "thread %d does not go on: it is frozen, or no processor comes to it", (int)thread->tid);
}

/* All but the first of the signals that were held back are sent again; with the first it goes on. */
static void let_go(const struct visit *visit, const struct visited *thread)
{
	for (unsigned i = 1; i < thread->signal_count; i++)
		sys_signal_thread(visit->task->pid, thread->tid, thread->signals[i]);
	sys_ptrace_detach(thread->tid, thread->signal_count ? thread->signals[0] : 0);
}

uint64_t visit_end(struct visit *visit)
{
	uint64_t since = visit->since;

	for (size_t i = 0; i < visit->count; i++)
		if (visit->threads[i].stopped)
			let_go(visit, &visit->threads[i]);
	sys_free(visit->threads);
	*visit = (struct visit){ .task = visit->task, .agent = visit->agent };
	return since ? sys_now() - since : 0;
}
