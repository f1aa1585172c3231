/* SPDX-License-Identifier: MIT */
/*
 * Every system call and allocation of the library, and the kernel's constants that are newer than a distribution's headers.
 *
 * All return 0 (or what is said) or a negative errno. None is a cancellation point. Those under "release" cannot fail for the
 * arguments that the library gives them, and are not made to fail by tests.
 */
#ifndef SYS_H
#define SYS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21U << 26)
#define MFD_HUGE_1GB (30U << 26)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef UFFD_FEATURE_MINOR_HUGETLBFS
#define UFFD_FEATURE_MINOR_HUGETLBFS (1ULL << 9)
#endif
#ifndef UFFD_FEATURE_MINOR_SHMEM
#define UFFD_FEATURE_MINOR_SHMEM (1ULL << 10)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1ULL << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1ULL << 13)
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1ULL << 14)
#endif
#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP (1ULL << 1)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1ULL << 15)
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1ULL << 16)
#endif
#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif
#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif

/* The size of an ordinary page. */
uint64_t sys_page_size(void);

/* Memory of the process's heap: zeroed; NULL when there is none. sys_resize may move @memory. */
void *sys_allocate(size_t count, size_t size);
void *sys_resize(void *memory, size_t count, size_t size);

/* The address space. @ret_address is where the mapping is. */
int sys_mmap(uintptr_t address, uint64_t length, int protection, int flags, int fd, uint64_t offset, uintptr_t *ret_address);
int sys_mremap(uintptr_t from, uint64_t old_length, uint64_t new_length, int flags, uintptr_t to, uintptr_t *ret_address);
int sys_mprotect(uintptr_t address, uint64_t length, int protection);
int sys_madvise(uintptr_t address, uint64_t length, int advice);

/* Have pages that are not there yet on one NUMA node, below 1024. */
int sys_bind(uintptr_t address, uint64_t length, unsigned node);
int sys_mlock(uintptr_t address, uint64_t length);
int sys_mincore(uintptr_t address, uint64_t length, unsigned char *ret_resident);

/* Files. sys_dup is close-on-exec, and never gives 0, 1 or 2. */
int sys_memfd(const char *name, unsigned flags);
int sys_dup(int fd);
int sys_open(const char *path, int flags);
int sys_open_flags(int fd);
int sys_truncate(int fd, uint64_t length);
int sys_stat(int fd, struct stat *ret_stat);
int sys_stat_path(const char *path, struct stat *ret_stat);
int sys_file_system(int fd, uint64_t *ret_magic, uint64_t *ret_block);
ssize_t sys_read(int fd, void *buffer, size_t length);
ssize_t sys_pread(int fd, void *buffer, size_t length, uint64_t offset);
ssize_t sys_pwrite(int fd, const void *buffer, size_t length, uint64_t offset);
int sys_write(int fd, const void *buffer, size_t length);
int sys_punch(int fd, uint64_t offset, uint64_t length); /* a hole: what was there is freed */
int sys_sync_data(int fd);
int sys_eventfd(void);

/* A request to a driver (ioctl). */
int sys_request(int fd, unsigned long request, void *argument);

/* To a pipe whose reader may have gone: -EPIPE, without a signal. */
int sys_write_pipe(int fd, const void *buffer, size_t length);

/* Whether @fd can be read, or is at its end, within that time. */
bool sys_await(int fd, uint64_t nanoseconds);

/* Have a file for oneself among those who ask (flock). -EWOULDBLOCK: somebody else has it. */
int sys_lock(int fd);
void sys_unlock(int fd);

int sys_poll(int first, int second);

/* Processes. A pidfd is close-on-exec; one is alive until its last thread has ended. */
pid_t sys_pid(void);
int sys_pidfd(pid_t pid);
bool sys_pidfd_alive(int pidfd);

/*
 * A pidfd of a thread (Linux 6.9), and a descriptor of whoever a pidfd is of; and sending a descriptor through a socket. All
 * close-on-exec.
 */
int sys_pidfd_of_thread(pid_t tid);
int sys_take_descriptor(int pidfd, int fd);
int sys_send_descriptor(int socket, int fd);

/*
 * Run @body in a process that shares all memory and descriptors with this one, all signals blocked, while the calling thread waits for
 * its end. In it: have it killed when @parent, which started it, dies (false: that has happened); give it descriptors of its own; end.
 */
int sys_helper(int (*body)(void *), void *argument, uintptr_t stack_end);
bool sys_die_with(pid_t parent);
int sys_own_descriptors(void);
void sys_exit(void);

/* Call @each for every entry of a folder that is a number, until it returns non-zero, which is then returned. */
int sys_each_number(const char *folder, int (*each)(void *argument, pid_t number), void *argument);

/* What a symbolic link says, without a zero behind it; cut at @room. */
ssize_t sys_read_link(const char *path, char *ret_name, size_t room);

/*
 * Threads of other processes. What has happened to one: 0 nothing yet, its tid, or -ECHILD. Registers are of a type NT_…; the result
 * is how many bytes there are.
 */
#define SYS_EVENT_STOP 128 /* PTRACE_EVENT_STOP */
int sys_wait_thread(pid_t tid, int *ret_status);
int sys_ptrace_seize(pid_t tid);
int sys_ptrace_interrupt(pid_t tid);
int sys_ptrace_continue(pid_t tid, int signal);
ssize_t sys_ptrace_get(pid_t tid, unsigned type, void *buffer, size_t size);
int sys_ptrace_set(pid_t tid, unsigned type, const void *buffer, size_t size);
void sys_signal_thread(pid_t process, pid_t tid, int signal);
int sys_ptrace_get_mask(pid_t tid, uint64_t *ret_mask);

/*
 * Who comes first: a thread may be let run before all ordinary ones, or after them. What the system does not allow stays as it was, and
 * false is returned. 0: the calling thread.
 */
bool sys_run_first(pid_t tid, bool first);
void sys_run_last(pid_t tid);

/*
 * Copy within this process, with an error instead of a signal where a page cannot be had. @own is the library's alone, or shared memory: its pages
 * are pinned meanwhile. Those of clients must not be: what is written to pinned pages is told to nobody, and a fork(2) copies them there and
 * then. Return: bytes copied.
 */
ssize_t sys_copy_in(void *own, const void *from, size_t length);
ssize_t sys_copy_out(void *to, const void *own, size_t length);

/* The same into private memory that is mapped read-only, as a debugger does it. */
ssize_t sys_copy_to_protected(uintptr_t to, const void *from, size_t length);

/*
 * Which pages of an address space are in one of the categories `any` and in none of `none`; `protect`: write-protect those that are told
 * of (WP_ASYNC). `walked` is set to where to go on. Return: how many regions.
 */
#define SYS_PAGE_WRITTEN (UINT64_C(1) << 1)
#define SYS_PAGE_PRESENT (UINT64_C(1) << 3)
#define SYS_PAGE_SWAPPED (UINT64_C(1) << 4)
#define SYS_PAGE_ZERO	 (UINT64_C(1) << 5)

struct sys_page_region {
	uint64_t start, end, categories;
};

struct sys_scan {
	uint64_t start, end, any, none, walked;
	bool protect;
};

int sys_pagemap_scan(int pagemap, struct sys_scan *scan, struct sys_page_region *ret_regions, size_t room);

/* Whether two processes have one address space. */
bool sys_same_memory(pid_t one, pid_t other);

/* userfaultfd: the three ways to one, and what is done with it. */
int sys_userfaultfd(int flags);
int sys_userfaultfd_device(int flags);
int sys_uffd_api(int uffd, uint64_t features, uint64_t *ret_features);

/*
 * Accesses wait, in the modes that are given: UFFDIO_REGISTER_MODE_… -EINVAL it cannot be; for missing pages alone, also huge pages. A
 * second registration replaces the modes, and leaves protected what is.
 */
int sys_uffd_register(int uffd, uintptr_t start, uint64_t length, uint64_t modes);

/* Writes wait, or those that did go on. -EAGAIN: mappings are being changed, and it is done in part. */
int sys_uffd_protect(int uffd, uintptr_t start, uint64_t length, bool protect);

/*
 * Map pages that the file behind a watched mapping has, write-protected if @protect says so; nobody is woken. Return: how many bytes from
 * @start on, or -EEXIST the first page is mapped, -EFAULT the file has it not, -EAGAIN mappings are being changed.
 */
int64_t sys_uffd_map(int uffd, uintptr_t start, uint64_t length, bool protect);

/*
 * Put bytes into pages that the file behind a watched mapping has not, and map these likewise. Return: how many bytes, or -EEXIST the file has
 * the first page, or it is mapped.
 */
int64_t sys_uffd_copy(int uffd, uintptr_t start, const void *bytes, uint64_t length, bool protect);

/* Have whoever accesses a page that is not there get SIGBUS, and wake who waits for it. */
int sys_uffd_poison(int uffd, uintptr_t start, uint64_t length);

/* A thread of the library's, named "memredirect": all signals blocked, on the stack that is given. */
int sys_thread(void *(*body)(void *), void *argument, void *stack, size_t size, pthread_t *ret_thread);
bool sys_thread_alive(uint32_t tid);

/* Send a thread of this process a SIGBUS for an access to @address, by si_addr; si_code is SI_QUEUE. */
void sys_bus_error(uint32_t tid, uintptr_t address);

/* Nanoseconds of the monotonic clock; let so many go by. */
uint64_t sys_now(void);
void sys_sleep(uint64_t nanoseconds);

/* Release. */
void sys_free(void *memory);
int sys_munmap(uintptr_t address, uint64_t length);
void sys_munlock(uintptr_t address, uint64_t length);
void sys_close(int fd);
void sys_request_release(int fd, unsigned long request, void *argument);
void sys_uffd_unregister(int uffd, uintptr_t start, uint64_t length);
void sys_ptrace_detach(pid_t tid, int signal);
void sys_uffd_wake(int uffd, uintptr_t start, uint64_t length);

#endif
