/* SPDX-License-Identifier: MIT */
/*
 * What differs between processors: a system call, and code that makes some in a stopped thread and then goes on where that was. An
 * architecture has a file here with these functions; there is x86-64.
 */
#ifndef INJECT_ARCH_H
#define INJECT_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#if defined(__x86_64__)
#include "inject/arch/x86_64.h"
#else
#define ARCH_NONE
#endif

/* The most that arch_write_… need. */
#define ARCH_CODE 480

/* The registers of a stopped thread. */
int arch_get_registers(pid_t tid, struct arch_registers *ret_registers);
int arch_set_registers(pid_t tid, const struct arch_registers *registers);

/* NULL, or why nothing can be injected into a thread with these registers: it runs 32-bit code, say. */
const char *arch_objection(const struct arch_registers *registers);

/* Whether the thread was interrupted in a system call that fails with EINTR because of it, instead of going on. */
bool arch_is_disturbed(const struct arch_registers *registers);

/* The address of its next instruction. */
uint64_t arch_instruction(const struct arch_registers *registers);

/* Let the thread go on at @address, in no system call. */
void arch_go_to(struct arch_registers *registers, uint64_t address);

/* A system call to be made in a stopped thread. */
struct arch_call {
	long number;
	uint64_t arguments[6];
};

/* Code that makes a call, and then goes on as @registers say. Nothing is written to any stack. Return: its length. */
size_t arch_write_call(char code[ARCH_CODE], const struct arch_registers *registers, const struct arch_call *call);

/* A thread to be started. */
struct arch_start {
	uint64_t stack; /* its stack pointer */
	uint64_t entry;
	uint64_t argument;
};

/*
 * Code that starts a thread, all signals blocked; the rest as above. It begins ARCH_DATA bytes behind @at, where it will be. @mask: the
 * signals that the stopped thread has blocked.
 */
#define ARCH_DATA 16
size_t arch_write_start(char code[ARCH_CODE], uint64_t at, const struct arch_registers *registers, uint64_t mask,
			const struct arch_start *start);

/* Code that unmaps [area, + length), which a thread runs on that ends there. */
size_t arch_write_leave(char code[ARCH_CODE], uint64_t area, uint64_t length);

#endif
