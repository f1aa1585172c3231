/* SPDX-License-Identifier: MIT */
/*
 * The agent's code. It is copied into another process, so it refers to nothing outside of it: no library, no constant that needs a
 * section of its own, no table of jumps. It is compiled without sanitizers and stack protection.
 */
#include "inject/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "inject/arch/arch.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef __WALL
#define __WALL 0x40000000
#endif

#define PAGE 4096

#define AGENT __attribute__((section("memredirect_agent"), used))

/* How long to wait for the caller to open its ends of the pipes; in seconds. */
#define PATIENCE 10

/* How often a step is tried that others keep from what it takes. */
#define TRIES 1000

/* What is unmapped at once, so that other threads get the address space in between. */
#define SLICE (4UL << 20)

#define call(...) arch_call(__VA_ARGS__)

AGENT static long call_7(const int64_t *a)
{
	return arch_call(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
}

/*
 * The call pins the pages of the other side, which is where the bytes go: a fork(2) meanwhile would not share pages of the process's that are
 * pinned, but copy them there and then, while other threads write.
 */
AGENT static long copy_run(int pid, const struct agent_run *run)
{
	struct iovec from = { (void *)run->from, run->length }, to = { (void *)run->to, run->length };

	return call(SYS_process_vm_writev, pid, (long)&from, 1, (long)&to, 1, 0);
}

AGENT static long copy_runs(const struct agent *agent, int64_t count)
{
	const struct agent_run *runs = (const struct agent_run *)agent->list;
	long bytes = 0;

	for (int64_t i = 0; i < count; i++) {
		long done = copy_run(agent->pid, &runs[i]);

		if (done < 0)
			return done;
		bytes += done;
	}
	return bytes;
}

/* Shared memory can be pinned: a fork shares it anyway. It is read here whatever its protection key. */
AGENT static long copy_shared(int pid, const struct agent_run *run)
{
	struct iovec from = { (void *)run->from, run->length }, to = { (void *)run->to, run->length };

	return call(SYS_process_vm_readv, pid, (long)&to, 1, (long)&from, 1, 0);
}

/* A mapping that children do not get is not here. */
AGENT static bool is_here(const struct agent_run *range)
{
	return !call(SYS_msync, (long)range->from, (long)range->length, MS_ASYNC, 0, 0, 0);
}

/* In a copy: memory that it shares with others becomes its own. What cannot be read stays empty. */
AGENT static long make_own(const struct agent_run *range)
{
	const int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	int pid = (int)call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	long own = call(SYS_mmap, 0, (long)range->length, protection, flags, -1, 0);
	struct agent_run run = { .from = range->from };

	if (own < 0)
		return own;
	for (uint64_t left = range->length; left; left -= run.length) {
		long done;

		run.to = (uint64_t)own + (run.from - range->from);
		run.length = left;
		done = copy_shared(pid, &run);
		run.length = done > 0 ? (uint64_t)done : PAGE;
		run.from += run.length;
	}
	return call(SYS_mremap, own, (long)range->length, (long)range->length, MREMAP_MAYMOVE | MREMAP_FIXED, (long)range->from,
		    0);
}

/* A copy does nothing, and goes when the agent goes. @told: where it says that it is complete. */
AGENT static void be_a_copy(const struct agent *agent, int64_t count, int told)
{
	const struct agent_run *ranges = (const struct agent_run *)agent->list;
	long error = 0;

	call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
	for (int64_t i = 0; i < count && error >= 0; i++)
		error = is_here(&ranges[i]) ? make_own(&ranges[i]) : 0;
	call(SYS_write, told, (long)&error, sizeof(error), 0, 0, 0);
	call(SYS_close_range, 0, ~0U, 0, 0, 0, 0);
	while (error >= 0 && call(SYS_getppid, 0, 0, 0, 0, 0, 0) == agent->pid)
		call(SYS_ppoll, 0, 0, 0, 0, 0, 0);
	call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
}

AGENT static void end_copy(struct agent *agent)
{
	if (!agent->copy)
		return;
	call(SYS_kill, agent->copy, SIGKILL, 0, 0, 0, 0);
	call(SYS_wait4, agent->copy, 0, __WALL, 0, 0, 0);
	agent->copy = 0;
}

/* Wait until the copy says that it is complete. */
AGENT static long await_copy(struct agent *agent, int told)
{
	long error = -ECHILD;

	if (call(SYS_read, told, (long)&error, sizeof(error), 0, 0, 0) != sizeof(error))
		error = -ECHILD;
	if (error >= 0)
		return agent->copy;
	end_copy(agent);
	return error;
}

AGENT static long make_copy(struct agent *agent, int64_t count)
{
	int told[2] = { -1, -1 };
	long pid, error = call(SYS_pipe2, (long)told, O_CLOEXEC, 0, 0, 0, 0);

	if (error < 0)
		return error;
	pid = call(SYS_clone, 0, 0, 0, 0, 0, 0);
	if (!pid)
		be_a_copy(agent, count, told[1]);
	call(SYS_close, told[1], 0, 0, 0, 0, 0);
	if (pid > 0) {
		agent->copy = pid;
		pid = await_copy(agent, told[0]);
	}
	call(SYS_close, told[0], 0, 0, 0, 0, 0);
	return pid;
}

AGENT static long map_at(uint64_t at, uint64_t length, long protection, long flags, long fd)
{
	long got = call(SYS_mmap, (long)at, (long)length, protection, flags | MAP_FIXED_NOREPLACE, fd, 0);

	return got < 0 || (uint64_t)got == at ? got : -EEXIST;
}

/* What it has mapped it notes before it answers: so nothing of it stays when the caller dies. */
AGENT static long stage(struct agent *agent, const int64_t *a)
{
	uint64_t length = (uint64_t)a[0];
	long error = map_at((uint64_t)a[5], length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

	if (error < 0)
		return error;
	agent->parked = (uint64_t)a[5];
	agent->parked_length = length;
	error = map_at((uint64_t)a[1], length, a[2], a[3], a[4]);
	if (error < 0)
		return error;
	agent->staged = (uint64_t)a[1];
	agent->staged_length = length;
	return 0;
}

AGENT static long release(struct agent *agent, uint64_t length)
{
	long error;

	if (length > agent->parked_length)
		length = agent->parked_length;
	error = length ? call(SYS_munmap, (long)agent->parked, (long)length, 0, 0, 0, 0) : 0;
	if (error < 0)
		return error;
	agent->parked += length;
	agent->parked_length -= length;
	return (long)agent->parked_length;
}

AGENT static long remap(uint64_t from, uint64_t length, uint64_t to, long flags)
{
	return call(SYS_mremap, (long)from, (long)length, (long)length, MREMAP_MAYMOVE | MREMAP_FIXED | flags, (long)to, 0);
}

AGENT static long place(struct agent *agent, uint64_t at)
{
	long error = remap(agent->staged, agent->staged_length, at, 0);

	if (error >= 0)
		agent->staged_length = 0;
	return error < 0 ? error : 0;
}

/* Whoever looks waits, and a child that is forked has nothing there rather than zeroes. */
AGENT static long watch(uint64_t at, uint64_t length, int uffd)
{
	struct uffdio_register watch = { .range = { at, length } };
	long error = call(SYS_madvise, (long)at, (long)length, MADV_DONTFORK, 0, 0, 0);

	if (error < 0)
		return error;
	watch.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
	return call(SYS_ioctl, uffd, UFFDIO_REGISTER, (long)&watch, 0, 0, 0);
}

/* Whether the threads were stopped until now, at least. */
AGENT static bool is_guarded(void)
{
	struct pollfd guard = { .fd = AGENT_GUARD };
	struct timespec now = { 0 };

	return call(SYS_ppoll, (long)&guard, 1, (long)&now, 0, 0, 0) == 0;
}

AGENT static void unpark(struct agent *agent, uint64_t at)
{
	if (remap(agent->parked, agent->staged_length, at, 0) >= 0)
		agent->parked_length = 0;
}

/*
 * Park what is at @at, and put what is staged in its place. In between there is nothing there: threads are held by the caller, or, if
 * it dies in the middle, wait for the userfaultfd, which the agent alone has. What they had written before is in what is parked.
 */
AGENT static long park_and_place(struct agent *agent, uint64_t at, int uffd, bool forks)
{
	struct uffdio_range range = { at, agent->staged_length };
	long error = watch(at, range.len, uffd);
	bool parked;

	if (error >= 0)
		error = remap(at, range.len, agent->parked, MREMAP_DONTUNMAP);
	parked = error >= 0;
	if (parked)
		error = is_guarded() ? place(agent, at) : -EINTR;
	if (error < 0 && parked)
		unpark(agent, at);
	if (error < 0 && forks)
		call(SYS_madvise, (long)at, (long)range.len, MADV_DOFORK, 0, 0, 0);
	call(SYS_ioctl, uffd, UFFDIO_WAKE, (long)&range, 0, 0, 0);
	return error;
}

/* From now on whoever writes waits for @uffd. */
AGENT static long hold_writers(uint64_t at, uint64_t length, int tracker, int uffd)
{
	struct uffdio_register watch = { .range = { at, length }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { { at, length }, UFFDIO_WRITEPROTECT_MODE_WP };
	long error = call(SYS_ioctl, tracker, UFFDIO_UNREGISTER, (long)&watch.range, 0, 0, 0);

	if (error >= 0)
		error = call(SYS_ioctl, uffd, UFFDIO_REGISTER, (long)&watch, 0, 0, 0);
	return error < 0 ? error : call(SYS_ioctl, uffd, UFFDIO_WRITEPROTECT, (long)&protect, 0, 0, 0);
}

AGENT static long replace(struct agent *agent, uint64_t at, int tracker, int uffd)
{
	struct uffdio_range range = { at, agent->staged_length };
	long error = hold_writers(at, range.len, tracker, uffd);

	if (error >= 0)
		error = is_guarded() ? place(agent, at) : -EINTR;
	if (error < 0)
		call(SYS_ioctl, uffd, UFFDIO_UNREGISTER, (long)&range, 0, 0, 0);
	call(SYS_ioctl, uffd, UFFDIO_WAKE, (long)&range, 0, 0, 0);
	return error;
}

AGENT static long swap(struct agent *agent, const int64_t *a)
{
	if (a[1] == AGENT_PARK)
		return park_and_place(agent, (uint64_t)a[0], (int)a[2], a[3] != 0);
	if (a[1] == AGENT_REPLACE)
		return replace(agent, (uint64_t)a[0], (int)a[2], (int)a[3]);
	return is_guarded() ? place(agent, (uint64_t)a[0]) : -EINTR;
}

/* -- steps and accounts -- */

/*
 * Whether the range is blocked still, as a whole. The process may have unmapped parts of it, or put other things there: those are not to
 * be touched.
 */
AGENT static bool is_held(const int64_t *a, uint64_t done, uint64_t length)
{
	struct uffdio_writeprotect none = { { (uint64_t)a[1] + done, length }, UFFDIO_WRITEPROTECT_MODE_DONTWAKE };
	struct uffdio_register probe = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	long error = call(SYS_msync, (long)none.range.start, (long)length, MS_ASYNC, 0, 0, 0);

	if (error >= 0)
		error = call(SYS_ioctl, a[4], UFFDIO_WRITEPROTECT, (long)&none, 0, 0, 0);
	if (error != -EAGAIN)
		return error >= 0;
	/* Somebody waits to give pages back, and nothing can be learnt that way. A mapping that is watched cannot be watched by another one. */
	for (probe.range = (struct uffdio_range){ none.range.start, PAGE }; length; length -= PAGE, probe.range.start += PAGE) {
		error = call(SYS_ioctl, a[6], UFFDIO_REGISTER, (long)&probe, 0, 0, 0);
		if (error >= 0)
			call(SYS_ioctl, a[6], UFFDIO_UNREGISTER, (long)&probe.range, 0, 0, 0);
		if (error != -EBUSY)
			return false;
	}
	return true;
}

AGENT static long put_back(const int64_t *a, uint64_t done, uint64_t length)
{
	const long at = a[1] + (long)done, from = a[3] + (long)done;
	long error = call(SYS_mremap, from, (long)length, (long)length, MREMAP_MAYMOVE | MREMAP_FIXED, at, 0);

	if (error >= 0 && a[5])
		call(SYS_madvise, at, (long)length, MADV_DOFORK, 0, 0, 0);
	return error < 0 ? error : 0;
}

/* Run by run of pages, where the process has changed what is mapped: what it has given up is dropped. */
AGENT static long restore_parts(const int64_t *a)
{
	const uint64_t length = (uint64_t)a[2];
	long error = 0;

	for (uint64_t at = 0, to; at < length && error >= 0; at = to) {
		bool held = is_held(a, at, PAGE);

		for (to = at + PAGE; to < length && is_held(a, to, PAGE) == held;)
			to += PAGE;
		error = held ? put_back(a, at, to - at) : call(SYS_munmap, a[3] + (long)at, (long)(to - at), 0, 0, 0, 0);
	}
	return error;
}

AGENT static long restore(const int64_t *a)
{
	return is_held(a, 0, (uint64_t)a[2]) ? put_back(a, 0, (uint64_t)a[2]) : restore_parts(a);
}

AGENT static long make_call(const struct agent_call *step)
{
	if (step->words[0] == AGENT_RESTORE)
		return restore(step->words);
	return step->words[0] < 0 ? 0 : call_7(step->words);
}

AGENT static long make_step(const struct agent_step *step)
{
	long error = make_call(&step->call);

	for (unsigned tries = TRIES; error < 0 && step->undo.words[0] == AGENT_AGAIN && tries; tries--) {
		call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
		error = make_call(&step->call);
	}
	return error;
}

AGENT static long make_steps(const struct agent_step *steps, int64_t count)
{
	long error = 0;
	int64_t i;

	for (i = 0; i < count && error >= 0; i++)
		error = make_step(&steps[i]);
	if (error >= 0)
		return 0;
	for (i -= 2; i >= 0; i--)
		make_call(&steps[i].undo);
	return error;
}

AGENT static uint64_t account_length(const struct agent_account *account)
{
	return sizeof(*account) + account->count * sizeof(struct agent_call);
}

/* Close the account of that number, if there is one. */
AGENT static void close_account(struct agent *agent, uint64_t number)
{
	uint64_t at = agent->accounts, end = at + agent->accounts_length, length;

	while (at < end && ((struct agent_account *)at)->number != number)
		at += account_length((struct agent_account *)at);
	if (at >= end)
		return;
	length = account_length((struct agent_account *)at);
	for (; at + length < end; at += sizeof(uint64_t))
		*(uint64_t *)at = *(uint64_t *)(at + length);
	agent->accounts_length -= length;
}

AGENT static void open_account(struct agent *agent, const struct agent_account *account)
{
	const uint64_t length = account_length(account);

	close_account(agent, account->number);
	if (!account->count)
		return;
	for (uint64_t at = 0; at < length; at += sizeof(uint64_t))
		*(uint64_t *)(agent->accounts + agent->accounts_length + at) = *(const uint64_t *)((uint64_t)account + at);
	agent->accounts_length += length;
}

AGENT static long run(struct agent *agent, int64_t count, int64_t accounts)
{
	const struct agent_step *steps = (const struct agent_step *)agent->list;
	uint64_t first = (uint64_t)(steps + count), at = first, room = 0;
	long error;

	for (int64_t i = 0; i < accounts; i++, at += account_length((struct agent_account *)at))
		room += account_length((struct agent_account *)at);
	if (room > AGENT_BOOKS - agent->accounts_length)
		return -ENOSPC;
	error = make_steps(steps, count);
	at = first;
	for (int64_t i = 0; error >= 0 && i < accounts; i++, at += account_length((struct agent_account *)at))
		open_account(agent, (struct agent_account *)at);
	return error;
}

/* What is blocked must be put back, however long others keep from it what that takes. */
AGENT static void settle(const struct agent_call *due)
{
	struct timespec nap = { .tv_nsec = 1000000 };

	while (make_call(due) < 0 && due->words[0] == AGENT_RESTORE)
		call(SYS_ppoll, 0, 0, (long)&nap, 0, 0, 0);
}

/* What the caller would have done. */
AGENT static void settle_accounts(struct agent *agent)
{
	uint64_t at = agent->accounts, end = at + agent->accounts_length;

	for (; at < end; at += account_length((struct agent_account *)at)) {
		const struct agent_account *account = (struct agent_account *)at;
		const struct agent_call *calls = (const struct agent_call *)(account + 1);

		for (uint64_t i = 0; i < account->count; i++)
			settle(&calls[i]);
	}
}

AGENT static long obey(struct agent *agent, const struct agent_command *command)
{
	const int64_t *a = command->arguments;

	if (command->operation == AGENT_CALL)
		return call_7(a);
	if (command->operation == AGENT_FORK)
		return make_copy(agent, a[0]);
	if (command->operation == AGENT_COPY)
		return copy_runs(agent, a[0]);
	if (command->operation == AGENT_SWAP)
		return swap(agent, a);
	if (command->operation == AGENT_RUN)
		return run(agent, a[0], a[1]);
	if (command->operation == AGENT_STAGE)
		return stage(agent, a);
	if (command->operation == AGENT_RELEASE)
		return release(agent, (uint64_t)a[0]);
	return 0;
}

/* Three pipes, and nothing else. */
AGENT static long open_pipes(void)
{
	int fds[2];
	long error = 0;

	call(SYS_close_range, 0, ~0U, 0, 0, 0, 0);
	for (int i = 0; i < 3 && error >= 0; i++)
		error = call(SYS_pipe2, (long)fds, O_CLOEXEC, 0, 0, 0, 0);
	return error;
}

/* Say that it is there, and wait until the caller has its ends: from then on the pipes end with the caller. */
AGENT static bool meet(struct agent *agent)
{
	struct pollfd heard = { .fd = AGENT_COMMANDS, .events = POLLIN };
	struct timespec patience = { .tv_sec = PATIENCE };

	agent->tid = (uint32_t)call(SYS_gettid, 0, 0, 0, 0, 0, 0);
	__atomic_store_n(&agent->state, AGENT_READY, __ATOMIC_RELEASE);
	if (agent->error || call(SYS_ppoll, (long)&heard, 1, (long)&patience, 0, 0, 0) != 1)
		return false;
	call(SYS_close, AGENT_COMMANDS_END, 0, 0, 0, 0, 0);
	call(SYS_close, AGENT_RESULTS_END, 0, 0, 0, 0, 0);
	call(SYS_close, AGENT_GUARD_END, 0, 0, 0, 0, 0);
	return true;
}

AGENT static void serve(struct agent *agent)
{
	struct agent_command command = { .operation = AGENT_END };
	long result;

	while (call(SYS_read, AGENT_COMMANDS, (long)&command, sizeof(command), 0, 0, 0) == sizeof(command)) {
		if (command.operation == AGENT_END)
			return;
		result = obey(agent, &command);
		call(SYS_write, AGENT_RESULTS, (long)&result, sizeof(result), 0, 0, 0);
	}
}

AGENT void agent_main(struct agent *agent)
{
	call(SYS_prctl, PR_SET_NAME, (long)agent->name, 0, 0, 0, 0);
	agent->pid = (int)call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	agent->error = open_pipes();
	if (meet(agent))
		serve(agent);
	settle_accounts(agent);
	end_copy(agent);
	if (agent->staged_length)
		call(SYS_munmap, (long)agent->staged, (long)agent->staged_length, 0, 0, 0, 0);
	while (agent->parked_length && release(agent, SLICE) >= 0)
		;
	((void (*)(void))agent->leave)();
	__builtin_unreachable();
}
