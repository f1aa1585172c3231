/* SPDX-License-Identifier: MIT */
/* The process and its forks. */
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "error.h"
#include "fault/service.h"
#include "pager/pager.h"
#include "registry.h"
#include "source.h"
#include "space/foreign.h"

static struct {
	_Atomic uint32_t generation;
	_Atomic int pid;
	pthread_rwlock_t gate;
} process;

static pthread_once_t started = PTHREAD_ONCE_INIT;

/* Writers first: a fork must not starve behind redirects that follow one another. */
static void make_gate(void)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&process.gate, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

static void before_fork(void)
{
	pthread_rwlock_wrlock(&process.gate);
	sources_lock();
	registry_lock();
	service_lock();
	foreign_lock();
}

static void after_fork_in_parent(void)
{
	foreign_unlock();
	service_unlock();
	registry_unlock();
	sources_unlock();
	pthread_rwlock_unlock(&process.gate);
}

/* The child has one thread, the one that runs this: what the parent's threads held or used is made anew. */
static void become_child(void)
{
	service_reset();
	foreign_reset();
	registry_reset();
	sources_reset();
	windows_reset();
	pagers_reset();
	make_gate();
	atomic_store(&process.pid, getpid());
	atomic_fetch_add(&process.generation, 1);
}

static void start(void)
{
	make_gate();
	atomic_store(&process.pid, getpid());
	atomic_store(&process.generation, 1);
	pthread_atfork(before_fork, after_fork_in_parent, become_child);
}

/* A raw clone(2) runs no fork handlers: there the pid tells. */
uint32_t process_generation(void)
{
	pthread_once(&started, start);
	if (atomic_load_explicit(&process.pid, memory_order_relaxed) != getpid())
		become_child();
	return atomic_load_explicit(&process.generation, memory_order_relaxed);
}

int process_owns(uint32_t generation, const char *noun)
{
	if (generation == process_generation())
		return 0;
	return fail(-ECHILD, "the %s was made before a fork, in the parent process; make one in this process", noun);
}

void process_gate_enter(void)
{
	pthread_rwlock_rdlock(&process.gate);
}

void process_gate_leave(void)
{
	pthread_rwlock_unlock(&process.gate);
}
