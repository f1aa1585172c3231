/* SPDX-License-Identifier: MIT */
/*
 * A task: the address space of a process (task_t). The calling process is NULL, or a task that was opened with its pid.
 *
 * What may be done to another process is what the kernel lets a debugger do: the same user, or CAP_SYS_PTRACE, and what a
 * security module adds to that.
 */
#ifndef MEMREDIRECT_TASK_H
#define MEMREDIRECT_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <memredirect/copy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_task;

/**
 * mr_task_open - the task of a process
 * @pid: of the process, or of any thread of it
 * @ret_task: the task, with one reference
 *
 * The process is not disturbed, and not kept alive. The task is that of the program that runs now: after an execve(2) of the
 * process, calls return -ESRCH. Takes two descriptors.
 *
 * Return: 0; -EINVAL @pid is not positive; -ESRCH there is no such process, or it has ended; -EPERM this process may not
 * trace it; -EOPNOTSUPP it is a thread of the kernel's, which has no memory; -EMFILE, -ENFILE no descriptor is left.
 */
int mr_task_open(pid_t pid, struct mr_task **ret_task);

/**
 * mr_task_ref - add a reference
 * @task: a task, or NULL
 *
 * Return: @task.
 */
struct mr_task *mr_task_ref(struct mr_task *task);

/**
 * mr_task_unref - drop a reference; the last one frees the task
 * @task: a task, or NULL
 *
 * Return: NULL.
 */
struct mr_task *mr_task_unref(struct mr_task *task);

/** mr_task_pid - the process's pid; for NULL, that of the calling process */
pid_t mr_task_pid(const struct mr_task *task);

/** One mapping of a task. It is valid during the call that tells of it. */
struct mr_region {
	size_t size;	     /* of this structure, as the library knows it */
	uint64_t start;	     /* the first address */
	uint64_t length;     /* bytes */
	uint64_t offset;     /* of its first byte in what it is mapped from */
	uint64_t resident;   /* bytes of it that are in main memory, those shared with others included */
	uint64_t anonymous;  /* bytes of it that no file has: written to, in main memory or swapped out */
	uint32_t protection; /* PROT_READ, PROT_WRITE, PROT_EXEC */
	bool shared;	     /* writes go to what it is mapped from; else they stay in the task */
	bool redirectable;   /* other memory can be put behind it while the task runs */
	const char *name;    /* a path, "[heap]", "[anon:…]", …; "" for anonymous memory */
	const char *reason;  /* why it is not redirectable; NULL if it is */
};

/**
 * mr_task_regions - what is mapped in a task, in the order of addresses
 * @task: the task; NULL: the calling process
 * @each: is told of each region; non-zero stops. It may call the library
 * @arg: passed on
 *
 * The list is not of one instant: a process that maps and unmaps meanwhile may have some regions told in one state and some in
 * another. Counting what is resident takes the kernel some milliseconds a GiB.
 *
 * Return: 0; what @each returned, if not 0; -ESRCH the process has ended, or runs another program; -EPERM this process may
 * not trace it any more; -EINVAL @each is NULL.
 */
int mr_task_regions(struct mr_task *task, int (*each)(void *arg, const struct mr_region *region), void *arg);

/**
 * mr_task_snapshot - a copy of a task, of one instant, that stands still while the task goes on
 * @task: the task, not the calling process's
 * @ret_copy: the copy: a task of its own, with one reference
 * @ret_report: what it cost, or NULL
 *
 * All threads of @task are stopped, its memory is made copy-on-write, as fork(2) does it, and the threads go on: @ret_report's
 * stall_ns is how long they were stopped. The bytes, the registers of every thread, and all mappings are of that instant. Memory that is
 * shared with other processes and has no file on disk is copied in that time; what is mapped shared from a file on disk is not, and shows
 * what the file has. Memory that the task keeps from its children (MADV_DONTFORK, MADV_WIPEONFORK) is not in the copy, or zero.
 *
 * The copy can be asked for its regions (mr_task_regions), its bytes (mr_memory_new_ranges) and its threads (mr_task_threads). While
 * it is there, the task has one more thread, named "memredirect", and one more child, which no wait(2) without __WALL sees; page by page
 * that the task writes to, the memory of both grows. The last unref, or this process's end, removes both and leaves nothing behind.
 *
 * Return: 0; -EINVAL @task is NULL, the calling process, or such a copy; -ESRCH the process has ended;
 * -EPERM it may not be traced; -EBUSY it is traced already, stopped, frozen, or another caller is at work in it; -EOPNOTSUPP it
 * has a seccomp filter, runs 32-bit code, is in another pid namespace, or the processor is none that is supported (x86-64 is);
 * -ENOMEM, -EAGAIN its limits allow no more memory or processes; -EINTR a helper process was killed.
 */
int mr_task_snapshot(struct mr_task *task, struct mr_task **ret_copy, struct mr_report *ret_report);

/* Kinds of places that memory is moved to (struct mr_place), besides MR_PLACE_ANON, _THP and _NODE of memory.h. */
#define MR_PLACE_HUGE_2M UINT32_C(4) /* private huge pages of 2 MiB (hugetlb) */
#define MR_PLACE_MEMFD	 UINT32_C(5) /* a memfd, mapped shared */
#define MR_PLACE_FILE	 UINT32_C(6) /* a file, mapped shared */

/** Where memory is moved to. What the kind does not need may be zero. */
struct mr_place {
	size_t size;   /* sizeof(struct mr_place) */
	uint32_t kind; /* MR_PLACE_… */
	unsigned node; /* MR_PLACE_NODE: its number */
	int fd; /* MR_PLACE_FILE: a regular file, open for reading and writing, at least as long as the mapping. It stays the caller's */
};

/**
 * mr_task_move - move memory of a task to other pages, while it runs
 * @task: the task, not the calling process's
 * @address: where the mapping begins: struct mr_region's start. Whole mappings are moved
 * @place: where to
 * @opts: how; NULL: all defaults. With MR_COPY_STOP threads are stopped for the whole copy. stall_budget_ns: how long they may be stopped;
 *	0: as long as it takes
 * @ret_report: what happened; NULL: not wanted
 *
 * The memory keeps its addresses and bytes. The pages are copied while threads run, in rounds of what was written meanwhile; at the end all
 * threads are stopped (@ret_report's stall_ns), what is left is copied, and the new pages take the place of the old ones. Protection,
 * name, and the flags for dumps, forks, reservation and merging are kept; a mapping whose attributes could not all be kept is refused.
 *
 * What can be moved is private anonymous memory, of ordinary or huge pages, and what a move has put into a memfd or file. With MR_PLACE_ANON, _THP
 * and _NODE it is private and anonymous afterwards: fork(2), madvise(2), mremap(2) and brk(2) do what they did to such memory. The others change
 * what the task may rely on:
 *
 *	MR_PLACE_HUGE_2M	mprotect(2), munmap(2) and MADV_DONTNEED of parts want whole huge pages, mremap(2) cannot grow it, a
 *				child of fork(2) that writes may find no huge page and die. The mapping must consist of whole ones
 *	MR_PLACE_MEMFD, _FILE	parent and child of fork(2) see each other's writes; MADV_DONTNEED gives nothing back and no zeroes,
 *				MADV_FREE fails. A mapping of a file cannot be grown
 *
 * A shared file that is mapped by other processes is refused. One on a disk is copied while threads are stopped, and is the one thing of
 * which something can be lost: what is written in the instant in which the caller is killed, between its last look and the exchange.
 *
 * Else nothing is lost, whoever dies when: until the pages are exchanged the task has its own, and what exchanges them lives in the task. If
 * this process is killed, the task goes on with one or the other.
 *
 * Return: 0; -EINVAL @task is NULL, the calling process, or a copy; @place or its kind, node or descriptor is none; -EBADF, -EACCES its
 * descriptor is not open, or not for reading and writing; -ERANGE the file is too short; -EFAULT no mapping begins at
 * @address; -EOPNOTSUPP it cannot be moved (mr_region's reason), an attribute could not be kept, memory of the task is pinned, it
 * does asynchronous I/O (AIO, io_uring) or has devices use its memory (VFIO), which may use pages that were there before (an io_uring that it
 * has neither mapped nor a descriptor of is not seen), transparent huge pages are off, the kernel is older than Linux 6.7, or the task is none that code can be put into (see
 * mr_task_snapshot); -EAGAIN the mapping was changed meanwhile; -EBUSY the budget is too small, the task is traced, stopped or shares its
 * memory, or this mapping, with another process, or another caller is at work in it; -ENOMEM also: not enough huge pages; -ECANCELED by progress; -ESRCH,
 * -EPERM, -EINTR as mr_task_snapshot. After all of these the memory is as it was.
 */
int mr_task_move(struct mr_task *task, uint64_t address, const struct mr_place *place, const struct mr_copy_opts *opts,
		 struct mr_report *ret_report);

/** Registers of a thread: a note as an ELF core file has it. */
struct mr_registers {
	uint32_t type; /* NT_PRSTATUS: struct user_regs_struct alone; NT_PRFPREG; NT_X86_XSTATE; see <elf.h> */
	size_t length; /* bytes */
	const void *bytes;
};

/** One thread of a task. It is valid during the call that tells of it. */
struct mr_thread {
	size_t size;			      /* of this structure, as the library knows it */
	pid_t tid;			      /* its number */
	const char *name;		      /* as it calls itself */
	uint64_t blocked;		      /* the signals that it blocks, bit 0 for signal 1; 0 if it runs */
	const struct mr_registers *registers; /* of a copy: @count of them */
	size_t count;			      /* 0 for a task that runs */
};

/**
 * mr_task_threads - the threads of a task
 * @task: the task; NULL: the calling process
 * @each: is told of each thread, the first one first; non-zero stops. It may call the library
 * @arg: passed on
 *
 * For what mr_task_snapshot has made, the threads are those that the task had, with their registers.
 *
 * Return: 0; what @each returned, if not 0; -ESRCH the process has ended; -EINVAL @each is NULL.
 */
int mr_task_threads(struct mr_task *task, int (*each)(void *arg, const struct mr_thread *thread), void *arg);

#ifdef __cplusplus
}
#endif

#endif
