/* SPDX-License-Identifier: MIT */
/*
 * The agent: a thread of the library's in another process, which makes memory system calls there.
 *
 * It is a thread, not a process, so that nobody can kill it and leave the target alive; it dies with the target, at an execve too,
 * and leaves no zombie. It has descriptors of its own (the target's are closed in its copy at once), blocks every signal, and has no
 * thread-local storage and no rseq. All that it owns is in one mapping, its area:
 *
 *	area		code | struct agent | list | accounts | stack
 *
 * It is told what to do through a pipe, and answers through another; the caller opens their ends by /proc. When the caller has gone
 * the pipe ends: then the agent ends what it had begun, unmaps what it had mapped, and leaves through a few instructions in the
 * unused end of the vdso, which unmap the area itself.
 *
 * Whatever must not stay as it is when the caller dies has an account: system calls that the agent makes when it ends. Steps that change
 * mappings are made together with the change of accounts by one command, which nothing can interrupt.
 *
 * It must not fault: a signal that it forces ends the target. So it touches nothing but its area, and copies by process_vm_writev.
 */
#ifndef INJECT_AGENT_H
#define INJECT_AGENT_H

#include <stdint.h>

enum agent_operation {
	AGENT_OPENED, /* the caller has its ends of the pipes */
	AGENT_CALL,   /* the system call arguments[0] with those behind it */
	AGENT_FORK, /* a copy of the process that does nothing, and has copies of the arguments[0] ranges in the list; its pid */
	AGENT_COPY, /* the runs in the list, arguments[0] of them; the result is the bytes copied */
	AGENT_STAGE, /* map arguments[0] bytes at [1] to be staged, of protection [2], flags [3], descriptor [4]; as much at [5] to park in */
	AGENT_SWAP, /* put what is staged at arguments[0]. [1]: an enum agent_swap; [2]: a userfaultfd; [3]: another, or what DOFORK takes */
	AGENT_RELEASE, /* unmap arguments[0] bytes of what is parked; the result is how many are left */
	AGENT_RUN, /* the steps in the list, arguments[0] of them, all or none; then arguments[1] accounts behind them are as they say */
	AGENT_END,
};

/*
 * What becomes of what was there. Threads must be stopped, for what is staged has only what was written until now. So the agent first makes
 * sure that nobody can write any more even if they are let go, and then looks whether the guard is held: a pipe that the helper who
 * stops them has open, which the kernel closes before it lets them go. If it is not, nothing is done.
 */
enum agent_swap {
	AGENT_PARK, /* private and anonymous: it is parked; who looks in between waits for the userfaultfd. [3]: children were to have it */
	AGENT_REPLACE, /* it is unmapped by the call that puts the new in its place; [2] is let go of, who writes waits for [3] */
	AGENT_TRUST,   /* the same, of a file on a disk, where nothing makes writers wait */
};

struct agent_command {
	uint64_t operation;
	int64_t arguments[7];
};

struct agent_run {
	uint64_t from, to, length;
};

/* A system call: its number, its arguments. */
struct agent_call {
	int64_t words[7];
};

/* Instead of a system call: nothing; put a range back that is blocked. */
#define AGENT_NOTHING (-1)
#define AGENT_RESTORE                                                                                                          \
	(-2) /* at [1] of length [2], from [3], blocked by the userfaultfd [4]; [5]: children of fork have it; [6]: another userfaultfd */

/* A call, and one that undoes it when a later step fails. If that is AGENT_AGAIN, the step is tried again for a while instead. */
#define AGENT_AGAIN (-3)

struct agent_step {
	struct agent_call call, undo;
};

/* Followed by its calls. No calls: there is no such account any more. */
struct agent_account {
	uint64_t number;
	uint64_t count;
};

/* What the caller and the agent share; written by the caller before the agent begins, but for what is said to be the agent's. */
struct agent {
	uint32_t state;			    /* the agent's: 0, then AGENT_READY */
	uint32_t tid;			    /* the agent's */
	int64_t error;			    /* the agent's: why it could not begin */
	uint64_t leave;			    /* the instructions that unmap the area and end the thread */
	uint64_t list;			    /* where the list is */
	uint64_t accounts, accounts_length; /* where accounts are; the agent's: how many bytes of them there are */
	uint64_t staged, staged_length;	    /* the agent's: what it has to unmap; 0: nothing */
	uint64_t parked, parked_length;
	int64_t copy;  /* pid of a fork; 0: none */
	int32_t pid;   /* the agent's: of the process */
	char name[16]; /* of the thread */
};

#define AGENT_READY 1

/* Its descriptors: those of three pipes, in the order in which they are made. The caller opens the ends, a helper that of the guard. */
enum { AGENT_COMMANDS, AGENT_COMMANDS_END, AGENT_RESULTS_END, AGENT_RESULTS, AGENT_GUARD, AGENT_GUARD_END };

/* The area. Code first; see plant.c. */
#define AGENT_CODE  UINT64_C(0x4000)
#define AGENT_LIST  UINT64_C(0x40000)
#define AGENT_BOOKS UINT64_C(0x20000)
#define AGENT_STACK UINT64_C(0x4000)
#define AGENT_DATA  UINT64_C(0x1000)
#define AGENT_AREA  (AGENT_CODE + AGENT_DATA + AGENT_LIST + AGENT_BOOKS + AGENT_STACK)
#define AGENT_RUNS  (AGENT_LIST / sizeof(struct agent_run))

/* Its code, which runs wherever it is copied to. */
extern const char agent_code[] __asm__("__start_memredirect_agent") __attribute__((visibility("hidden")));
extern const char agent_code_end[] __asm__("__stop_memredirect_agent") __attribute__((visibility("hidden")));

/* Where it begins, with the address of its struct. */
__attribute__((visibility("hidden"), noreturn)) void agent_main(struct agent *agent);

#endif
