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
int sys_write(int fd, const void *buffer, size_t length);
int sys_eventfd(void);
int sys_poll(int first, int second);

/* Copy within this process, with an error instead of a signal where a page cannot be had. Return: bytes copied. */
ssize_t sys_copy_from(void *to, uintptr_t from, size_t length);
ssize_t sys_copy_to(uintptr_t to, const void *from, size_t length);

/* The same into private memory that is mapped read-only, as a debugger does it. */
ssize_t sys_copy_to_protected(uintptr_t to, const void *from, size_t length);

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

/* A thread of the library's, named "memredirect": all signals blocked, on the stack that is given. */
int sys_thread(void *(*body)(void *), void *argument, void *stack, size_t size, pthread_t *ret_thread);
bool sys_thread_alive(uint32_t tid);

/* Nanoseconds of the monotonic clock; let so many go by. */
uint64_t sys_now(void);
void sys_sleep(uint64_t nanoseconds);

/* Release. */
void sys_free(void *memory);
int sys_munmap(uintptr_t address, uint64_t length);
void sys_munlock(uintptr_t address, uint64_t length);
void sys_close(int fd);
void sys_uffd_unregister(int uffd, uintptr_t start, uint64_t length);
void sys_uffd_wake(int uffd, uintptr_t start, uint64_t length);

#endif
