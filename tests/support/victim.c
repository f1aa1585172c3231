/* SPDX-License-Identifier: MIT */
/* One access to memory, by the calling thread or by a thread of its own. */
#include "victim.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wait.h"

enum { STARTING, RUNNING, DONE };

/* The access that this thread is making, if it is. */
static __thread struct {
	sigjmp_buf back;
	volatile sig_atomic_t armed;
} attempt;

/* What handled the signals before, for faults that no attempt has made. */
static struct sigaction previous_segv, previous_bus;

const char *access_name(enum access access)
{
	static const char *const names[ACCESS_COUNT] = { "load", "store", "add", "read(2)", "write(2)", "fetch" };

	return names[access];
}

bool access_writes(enum access access)
{
	return access == ACCESS_STORE || access == ACCESS_ADD || access == ACCESS_READ;
}

bool access_is_system_call(enum access access)
{
	return access == ACCESS_READ || access == ACCESS_WRITE;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	struct sigaction *previous = number == SIGSEGV ? &previous_segv : &previous_bus;

	if (attempt.armed) {
		attempt.armed = 0;
		siglongjmp(attempt.back, number);
	}
	if (previous->sa_flags & SA_SIGINFO)
		previous->sa_sigaction(number, info, context);
	else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN)
		previous->sa_handler(number);
	else
		sigaction(number, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

/* The test runner sets its handlers anew for each test, so this is done for each access. */
static void catch_faults(int number, struct sigaction *previous)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER }, now;

	sigaction(number, NULL, &now);
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault)
		return;
	*previous = now;
	sigaction(number, &action, NULL);
}

static int descriptor_with(uint64_t value)
{
	int fd = memfd_create("access", MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, &value, sizeof(value), 0) != sizeof(value))
		abort();
	return fd;
}

static void make_access(enum access access, void *address, uint64_t value, int fd, struct outcome *outcome)
{
	uint64_t *word = address;

	switch (access) {
	case ACCESS_LOAD:
		outcome->seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
		break;
	case ACCESS_STORE:
		__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
		break;
	case ACCESS_ADD:
		outcome->seen = __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
		break;
	case ACCESS_READ:
		outcome->returned = read(fd, word, sizeof(*word));
		outcome->error = errno;
		break;
	case ACCESS_WRITE:
		outcome->returned = write(fd, word, sizeof(*word));
		outcome->error = errno;
		break;
	default:
		outcome->seen = (uint64_t)((int (*)(void))address)();
		break;
	}
}

/* Return: the number of the signal that came of it, or 0. */
static int attempt_access(enum access access, void *address, uint64_t value, int fd, struct outcome *outcome)
{
	int number = sigsetjmp(attempt.back, 1);

	if (number)
		return number;
	attempt.armed = 1;
	make_access(access, address, value, fd, outcome);
	attempt.armed = 0;
	return 0;
}

struct outcome access_try(enum access access, void *address, uint64_t value)
{
	struct outcome outcome = { .returned = sizeof(value) };
	int fd = access_is_system_call(access) ? descriptor_with(access == ACCESS_READ ? value : 0) : -1;

	catch_faults(SIGSEGV, &previous_segv);
	catch_faults(SIGBUS, &previous_bus);
	outcome.signal = attempt_access(access, address, value, fd, &outcome);
	if (outcome.signal)
		outcome.returned = -1;
	if (outcome.signal || outcome.returned == sizeof(value))
		outcome.error = 0;
	if (access == ACCESS_WRITE && outcome.returned == sizeof(value) && pread(fd, &outcome.seen, 8, 0) != 8)
		abort();
	if (fd >= 0)
		close(fd);
	return outcome;
}

bool access_is_absent(void *address)
{
	return access_try(ACCESS_LOAD, address, 0).signal == SIGSEGV;
}

static void set_state(struct victim *victim, uint32_t state)
{
	__atomic_store_n(&victim->state, state, __ATOMIC_RELEASE);
	wait_wake(&victim->state);
}

static void *run(void *argument)
{
	struct victim *victim = argument;

	victim->tid = (pid_t)syscall(SYS_gettid);
	set_state(victim, RUNNING);
	victim->outcome = access_try(victim->access, victim->address, victim->value);
	set_state(victim, DONE);
	return NULL;
}

struct victim *victim_start(enum access access, void *address, uint64_t value)
{
	struct victim *victim = calloc(1, sizeof(*victim));

	if (!victim)
		return NULL;
	*victim = (struct victim){ .access = access, .address = address, .value = value };
	if (!thread_start(&victim->thread, run, victim)) {
		free(victim);
		return NULL;
	}
	return wait_word(&victim->state, STARTING) ? victim : NULL;
}

bool victim_is_done(struct victim *victim)
{
	return __atomic_load_n(&victim->state, __ATOMIC_ACQUIRE) == DONE;
}

bool victim_wait(struct victim *victim)
{
	if (!wait_word(&victim->state, RUNNING))
		return false;
	if (!victim->joined)
		thread_join(&victim->thread);
	victim->joined = true;
	return true;
}

void victim_free(struct victim *victim)
{
	free(victim);
}
