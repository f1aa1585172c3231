/* SPDX-License-Identifier: MIT */
/*
 * The kernel driver, for what a process cannot do by itself: one redirect that reaches many processes at the same instant, physical and
 * device memory, cache modes, and a second map of private memory.
 *
 * MR_MAP_DRIVER lets mr_map_new make a map through it. What the other headers say holds for such a map, and in addition:
 *
 *   - Kernel-mode accesses wait as all others do while it is blocked, whatever privileges their process has.
 *   - Its memory may be buffers, memfds, files of tmpfs and hugetlbfs, private and shared memory of a task, physical ranges; files of
 *     other file systems with MR_MAP_READ_ONLY alone. Other memory: -EOPNOTSUPP. It is resident and held in place while the map shows
 *     it, and counts against the lock limit (RLIMIT_MEMLOCK, which CAP_IPC_LOCK lifts): -ENOMEM.
 *   - MR_MAP_CACHE_INHIBIT, WRITE_THROUGH and WRITE_COMBINE are for physical memory of devices; of other memory -EOPNOTSUPP.
 *   - MR_MAP_COPY_ON_WRITE is -EOPNOTSUPP.
 *   - mr_map_waiters counts threads of all processes; those that have left their wait to run a signal handler are not counted.
 *   - Physical segments come from the driver: memory that a map shows is always resident.
 *   - mr_map_snapshot and mr_map_move block it for the whole copy.
 *   - What it shows are pages, not mappings: what a file or a task puts in the place of pages later (a truncated file, MADV_DONTNEED)
 *     is not seen before the next redirect.
 *   - No system call can pin its pages: O_DIRECT, io_uring's fixed buffers, RDMA, vmsplice and process_vm_readv get EFAULT, so that no
 *     pin outlives a redirect. A futex in it has to be a private one. mr_memory_new_ranges of it is -EOPNOTSUPP.
 *   - A redirect takes time for each page that clients have touched, while they wait.
 *
 * Without the module, or where /dev/memredirect is not for the user, mr_map_new says -EOPNOTSUPP or -EPERM; see mr_features.
 */
#ifndef MEMREDIRECT_DRIVER_H
#define MEMREDIRECT_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include <memredirect/map.h>
#include <memredirect/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * mr_map_export - a descriptor of a map, for other processes
 * @map: a map with MR_MAP_DRIVER, made in this process; one that is shared must not lie inside another
 *
 * Whoever has the descriptor, by inheritance or SCM_RIGHTS, can map it with mr_map_import, without any privilege, and sees what
 * the map shows, at every instant; it cannot redirect it. The descriptor can be polled: POLLIN when the map shows something else
 * than before, POLLHUP when it has been revoked. Children of such a process are clients as it is.
 *
 * When the map is unmapped, or the process ends, clients get SIGBUS from then on, waiting ones included. With MR_MAP_PERSIST they keep what
 * it shows, or showed before it was blocked.
 *
 * Return: the descriptor, close-on-exec, which the caller closes; -EOPNOTSUPP the map is not the driver's, was imported, or lies
 * inside another; -ENXIO it is unmapped; -EMFILE, -ENFILE, -ENOMEM.
 */
int mr_map_export(struct mr_map *map);

/**
 * mr_map_import - map what another process exports
 * @fd: a descriptor of mr_map_export; it is duplicated, and may be closed
 * @address: where, at the beginning of a page, unless MR_MAP_ANYWHERE
 * @options: MR_MAP_ANYWHERE, OVERWRITE, READ_ONLY, UNIQUE, PREFAULT, DRIVER (implied)
 * @ret_map: the map, with one reference
 *
 * It has the whole pages of the exporter's map. mr_map_redirect, mr_map_snapshot and mr_map_move of it are -EPERM, mr_map_memory is
 * NULL: the memory is the exporter's. mr_map_is_blocked and mr_map_waiters say how the exporter's map is. Where the exporter shows
 * its memory MR_MAP_READ_ONLY, writes get SIGSEGV here, too.
 *
 * Return: 0; -EBADF @fd is not open; -EINVAL @fd is not of a map, options, or @address; -ENODEV the map has been revoked; -EACCES the
 * descriptor is read-only, and MR_MAP_READ_ONLY is not given; -EEXIST some page of the range is taken, and MR_MAP_OVERWRITE was not given,
 * or a map of this library holds it; -EOPNOTSUPP the driver is not there, nor is @fd of it; -EMFILE, -ENOMEM.
 */
int mr_map_import(int fd, void *address, uint32_t options, struct mr_map **ret_map);

/**
 * mr_memory_new_physical - physical ranges (IOMemoryDescriptor::withPhysicalAddress)
 * @ranges: @count ranges of whole pages, gathered in order
 * @count: how many, at least one
 * @options: MR_MEMORY_READ_ONLY
 * @ret_memory: the new memory, with one reference
 *
 * Memory of a device, memory that the kernel was told to leave alone, or memory in use, whose user has to care for that it stays.
 * A map of it takes MR_MAP_DRIVER (-EOPNOTSUPP otherwise). Bytes of devices are copied in any order, and by any width.
 *
 * Return: 0; -EINVAL no range, one that is not whole pages, or one that is only in part memory of the kernel's, or beyond what the
 * processor can address; -EOVERFLOW; -EOPNOTSUPP there is no driver; -EPERM not root (CAP_SYS_RAWIO), or the kernel is locked down.
 */
int mr_memory_new_physical(const struct mr_range *ranges, size_t count, uint32_t options, struct mr_memory **ret_memory);

#ifdef __cplusplus
}
#endif

#endif
