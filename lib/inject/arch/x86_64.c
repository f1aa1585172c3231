/* SPDX-License-Identifier: MIT */
/*
 * x86-64: code that makes system calls in a stopped thread.
 *
 * Every register that the code changes is loaded with its old value before the code jumps back; all values are in the code itself, so
 * that it needs no stack, and no instruction of it changes a flag (the kernel restores those over a system call). So there is one step
 * at which a thread is committed: when its instruction pointer is set. From then on it needs nobody.
 */
#include "inject/arch/arch.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sys/sys.h"

#define USER_CS 0x33

/* What the kernel leaves in rax of a thread that was interrupted in a system call. */
#define ERESTARTSYS	      512
#define ERESTARTNOINTR	      513
#define ERESTARTNOHAND	      514
#define ERESTART_RESTARTBLOCK 516

#define SYSCALL_LENGTH 2

/* The number of a register in an instruction. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11 };

struct writer {
	char *code;
	size_t length;
};

int arch_get_registers(pid_t tid, struct arch_registers *ret_registers)
{
	ssize_t got = sys_ptrace_get(tid, NT_PRSTATUS, &ret_registers->user, sizeof(ret_registers->user));

	return got < 0 ? (int)got : 0;
}

int arch_set_registers(pid_t tid, const struct arch_registers *registers)
{
	return sys_ptrace_set(tid, NT_PRSTATUS, &registers->user, sizeof(registers->user));
}

uint64_t arch_instruction(const struct arch_registers *registers)
{
	return registers->user.rip;
}

const char *arch_objection(const struct arch_registers *registers)
{
	return registers->user.cs == USER_CS ? NULL : "it runs code of 32 bit";
}

static bool in_system_call(const struct arch_registers *registers)
{
	return (long long)registers->user.orig_rax >= 0;
}

bool arch_is_disturbed(const struct arch_registers *registers)
{
	return in_system_call(registers) && (long long)registers->user.rax == -EINTR;
}

void arch_go_to(struct arch_registers *registers, uint64_t address)
{
	registers->user.orig_rax = (unsigned long long)-1;
	registers->user.rip = address;
}

/* As the kernel would let the thread go on: a system call that is to be made again is made again. */
static struct user_regs_struct resumed(const struct arch_registers *registers)
{
	struct user_regs_struct user = registers->user;

	if (!in_system_call(registers))
		return user;
	switch (-(long long)user.rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		user.rax = user.orig_rax;
		user.rip -= SYSCALL_LENGTH;
		break;
	case ERESTART_RESTARTBLOCK:
		user.rax = SYS_restart_syscall;
		user.rip -= SYSCALL_LENGTH;
		break;
	}
	return user;
}

static void append(struct writer *writer, const void *bytes, size_t length)
{
	memcpy(writer->code + writer->length, bytes, length);
	writer->length += length;
}

/* movabs $value, %register */
static void load(struct writer *writer, unsigned reg, uint64_t value)
{
	unsigned char instruction[10] = { reg < R8 ? 0x48 : 0x49, (unsigned char)(0xb8 + (reg & 7)) };

	memcpy(instruction + 2, &value, sizeof(value));
	append(writer, instruction, sizeof(instruction));
}

static void enter_kernel(struct writer *writer, long number)
{
	load(writer, RAX, (uint64_t)number);
	append(writer, "\x0f\x05", 2);
}

/*
 * All that system calls and their arguments change, as it was; then on where the thread was. The address to go to is behind the jump.
 */
static void go_on(struct writer *writer, const struct arch_registers *registers)
{
	struct user_regs_struct user = resumed(registers);
	uint64_t next = user.rip;

	load(writer, RDI, user.rdi);
	load(writer, RSI, user.rsi);
	load(writer, RDX, user.rdx);
	load(writer, R10, user.r10);
	load(writer, R8, user.r8);
	load(writer, R9, user.r9);
	load(writer, RCX, user.rcx);
	load(writer, R11, user.r11);
	load(writer, RAX, user.rax);
	append(writer, "\xff\x25\0\0\0\0", 6); /* jmp *0(%rip) */
	append(writer, &next, sizeof(next));
}

size_t arch_write_call(char code[ARCH_CODE], const struct arch_registers *registers, const struct arch_call *call)
{
	struct writer writer = { .code = code };

	load(&writer, RDI, call->arguments[0]);
	load(&writer, RSI, call->arguments[1]);
	load(&writer, RDX, call->arguments[2]);
	load(&writer, R10, call->arguments[3]);
	load(&writer, R8, call->arguments[4]);
	load(&writer, R9, call->arguments[5]);
	enter_kernel(&writer, call->number);
	go_on(&writer, registers);
	return writer.length;
}

/* The set of blocked signals becomes what stands at @set. */
static void block_signals(struct writer *writer, uint64_t set)
{
	load(writer, RDI, SIG_SETMASK);
	load(writer, RSI, set);
	load(writer, RDX, 0);
	load(writer, R10, sizeof(uint64_t));
	enter_kernel(writer, SYS_rt_sigprocmask);
}

size_t arch_write_start(char code[ARCH_CODE], uint64_t at, const struct arch_registers *registers, uint64_t mask,
			const struct arch_start *start)
{
	static const unsigned long flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
	const uint64_t sets[ARCH_DATA / sizeof(uint64_t)] = { UINT64_MAX, mask };
	struct writer writer = { .code = code };

	append(&writer, sets, sizeof(sets)); /* the code begins behind them */
	block_signals(&writer, at);
	load(&writer, RDI, flags);
	load(&writer, RSI, start->stack);
	load(&writer, RDX, 0);
	load(&writer, R10, 0);
	load(&writer, R8, 0);
	enter_kernel(&writer, SYS_clone);
	append(&writer, "\x48\x91", 2);	     /* xchg %rax, %rcx */
	append(&writer, "\xe3\x02", 2);	     /* jrcxz: over the next */
	append(&writer, "\xeb\x16", 2);	     /* jmp: over the new thread's */
	load(&writer, RDI, start->argument); /* 10 bytes */
	load(&writer, RAX, start->entry);    /* 10 bytes */
	append(&writer, "\xff\xe0", 2);	     /* jmp *%rax */
	block_signals(&writer, at + sizeof(uint64_t));
	go_on(&writer, registers);
	return writer.length;
}

size_t arch_write_leave(char code[ARCH_CODE], uint64_t area, uint64_t length)
{
	struct writer writer = { .code = code };

	load(&writer, RDI, area);
	load(&writer, RSI, length);
	enter_kernel(&writer, SYS_munmap);
	load(&writer, RDI, 0);
	enter_kernel(&writer, SYS_exit);
	return writer.length;
}
