/* SPDX-License-Identifier: MIT */
/*
 * A memory: bytes that can be mapped (IOMemoryDescriptor and its subclasses).
 *
 * A memory is made once and does not change, apart from its bytes. It lives until the last reference is dropped; maps of it
 * hold one each. Its bytes are those of what it was made from: two memories of one file share them.
 */
#ifndef MEMREDIRECT_MEMORY_H
#define MEMREDIRECT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_memory;
struct mr_task;

/** A range of addresses in a task. */
struct mr_range {
	uint64_t address;
	uint64_t length;
};

/* Memory options. READ_ONLY passes on to every memory that is made of a read-only one. */
#define MR_MEMORY_READ_ONLY UINT32_C(0x00000001) /* nothing may be written through this memory or maps of it */
#define MR_MEMORY_HUGE_2M   UINT32_C(0x00000002) /* new_buffer: of huge pages of 2 MiB */
#define MR_MEMORY_HUGE_1G   UINT32_C(0x00000004) /* new_buffer: of huge pages of 1 GiB */

/**
 * mr_memory_new_buffer - fresh zeroed memory (IOBufferMemoryDescriptor)
 * @length: bytes
 * @options: MR_MEMORY_READ_ONLY, and MR_MEMORY_HUGE_2M or MR_MEMORY_HUGE_1G
 * @ret_memory: the new memory, with one reference
 *
 * Takes one descriptor (a memfd). Ordinary pages are allocated at their first touch; huge pages are reserved here, so that
 * no later access can fail for want of them.
 *
 * Return: 0; -EINVAL @length is 0, or no multiple of the huge page asked for, or both huge pages are asked for; -ENOMEM there
 * are not enough free huge pages, or @length is more than a file can have; -EMFILE, -ENFILE no descriptor is left.
 */
int mr_memory_new_buffer(uint64_t length, uint32_t options, struct mr_memory **ret_memory);

/**
 * mr_memory_new_fd - a range of anything that can be mapped: file, memfd, hugetlbfs, DAX, dma-buf, device
 * @fd: open for reading, and for writing unless MR_MEMORY_READ_ONLY. It is duplicated; the caller's may be closed
 * @offset: where the range starts in it, in bytes; it need not be whole pages
 * @length: bytes; it need not be whole pages
 * @options: MR_MEMORY_READ_ONLY
 * @ret_memory: the new memory, with one reference
 *
 * A map of it starts as far into a page as @offset does. A file that is truncated later gives SIGBUS past its end, as any
 * mapping of it does.
 *
 * Return: 0; -EBADF @fd is not an open descriptor; -EINVAL @length is 0, or the range goes past the end of a regular file;
 * -EACCES @fd was not opened with the access asked for, or is sealed against it; -EOVERFLOW @offset + @length is more than a
 * file can have; -ENODEV @fd cannot be mapped (a directory, a pipe, a socket); -EMFILE, -ENFILE no descriptor is left.
 */
int mr_memory_new_fd(int fd, uint64_t offset, uint64_t length, uint32_t options, struct mr_memory **ret_memory);

/**
 * mr_memory_new_ranges - memory that a task has mapped already, gathered in order (withAddressRanges)
 * @task: whose; NULL: the calling process
 * @ranges: @count ranges; none need be whole pages
 * @count: how many, at least one
 * @options: MR_MEMORY_READ_ONLY
 * @ret_memory: the new memory, with one reference
 *
 * It is that memory, no copy, and stays that memory when a map at those addresses is redirected. Shared memory is held: it
 * lives on when the range is unmapped, and can be mapped again. Private memory is not held, and lives as long as it is mapped;
 * it can be read, written, prepared and asked for segments, but not be mapped a second time (mr_map_new, mr_map_redirect:
 * -EOPNOTSUPP). Ranges that do not begin and end at pages, in the middle, can be read and written but not mapped (-EINVAL).
 *
 * Return: 0; -EFAULT part of a range is not mapped; -EACCES part of a range is not readable, or not writable and
 * MR_MEMORY_READ_ONLY was not given; -EBUSY a range lies in a map that is blocked; -EINVAL no range, or one of length 0;
 * -EOVERFLOW the lengths add up to too much; -EPERM, -ESRCH for the task.
 */
int mr_memory_new_ranges(struct mr_task *task, const struct mr_range *ranges, size_t count, uint32_t options,
			 struct mr_memory **ret_memory);

/* Where pages of private memory are: mr_memory_new_private, mr_task_move. */
#define MR_PLACE_ANON UINT32_C(1) /* pages of ordinary size, which stay that */
#define MR_PLACE_THP  UINT32_C(2) /* transparent huge pages, where the kernel has them */
#define MR_PLACE_NODE UINT32_C(3) /* a NUMA node */

/**
 * mr_memory_new_private - fresh zeroed private memory, for a map to go on with: what mmap(2) gives for MAP_PRIVATE | MAP_ANONYMOUS
 * @length: bytes
 * @placement: MR_PLACE_…
 * @node: for MR_PLACE_NODE: its number
 * @ret_memory: the new memory, with one reference
 *
 * A map of as many bytes that is redirected (mr_map_redirect) or moved (mr_map_move) to it, from offset 0, becomes private memory:
 * a child of fork(2) has a copy of its own, madvise(MADV_DONTNEED) makes zeroes. So an adopted private range can be moved to transparent
 * huge pages, or to another NUMA node, and stay what it is.
 *
 * Like any private memory it is in one place at a time. While a map shows it, another cannot (-EOPNOTSUPP), and mr_map_new never can; it
 * can be read, written, prepared and asked for segments, and takes snapshots (`into`), at any time. A map with MR_MAP_COPY_ON_WRITE,
 * from another offset, or of another length, cannot show it (-EOPNOTSUPP). Takes no descriptor.
 *
 * Return: 0; -EINVAL @length is 0, or there is no such placement or node; -EOPNOTSUPP transparent huge pages are off; -ENOMEM.
 */
int mr_memory_new_private(uint64_t length, uint32_t placement, unsigned node, struct mr_memory **ret_memory);

/**
 * mr_memory_new_multi - several memories in a row (IOMultiMemoryDescriptor)
 * @parts: @count memories; a reference to each is held
 * @count: how many, at least one
 * @options: MR_MEMORY_READ_ONLY
 * @ret_memory: the new memory, with one reference
 *
 * Return: 0; -EINVAL no part, or a part but the last does not end, or a part but the first does not begin, at a page (of its
 * own size); -EOVERFLOW the lengths add up to too much.
 */
int mr_memory_new_multi(struct mr_memory *const *parts, size_t count, uint32_t options, struct mr_memory **ret_memory);

/**
 * mr_memory_new_sub - a window of another memory (IOSubMemoryDescriptor)
 * @of: the memory; a reference is held
 * @offset: where the window starts in it, in bytes
 * @length: bytes
 * @options: MR_MEMORY_READ_ONLY
 * @ret_memory: the new memory, with one reference
 *
 * Return: 0; -ERANGE the window goes past the end of @of; -EINVAL @length is 0.
 */
int mr_memory_new_sub(struct mr_memory *of, uint64_t offset, uint64_t length, uint32_t options, struct mr_memory **ret_memory);

/**
 * mr_memory_ref - add a reference
 * @memory: a memory, or NULL
 *
 * Return: @memory.
 */
struct mr_memory *mr_memory_ref(struct mr_memory *memory);

/**
 * mr_memory_unref - drop a reference; the last one frees the memory
 * @memory: a memory, or NULL
 *
 * The last reference to a prepared memory lets go of what was prepared.
 *
 * Return: NULL.
 */
struct mr_memory *mr_memory_unref(struct mr_memory *memory);

/** mr_memory_length - bytes in @memory; 0 for NULL */
uint64_t mr_memory_length(const struct mr_memory *memory);

/** mr_memory_options - the options of @memory: as given, and MR_MEMORY_READ_ONLY if any of what it is made of is; 0 for NULL */
uint32_t mr_memory_options(const struct mr_memory *memory);

/**
 * mr_memory_read - copy bytes out of a memory
 * @memory: from here
 * @offset: where to start in it
 * @buffer: to here, @length bytes
 * @length: bytes; 0 does nothing
 *
 * Works whatever the maps of @memory are doing, blocked ones included. Not atomic towards writers.
 *
 * Return: 0; -ERANGE past the end of @memory; -EFAULT @buffer is not writable, or the bytes are gone (a truncated file, private
 * memory that was unmapped).
 */
int mr_memory_read(struct mr_memory *memory, uint64_t offset, void *buffer, uint64_t length);

/**
 * mr_memory_write - copy bytes into a memory
 * @memory: to here
 * @offset: where to start in it
 * @buffer: from here, @length bytes
 * @length: bytes; 0 does nothing
 *
 * Works whatever the maps of @memory are doing, blocked ones included. Not atomic towards readers.
 *
 * Return: 0; -ERANGE past the end of @memory; -EACCES @memory is read-only; -EFAULT as for mr_memory_read.
 */
int mr_memory_write(struct mr_memory *memory, uint64_t offset, const void *buffer, uint64_t length);

/**
 * mr_memory_prepare - make a memory resident and keep it so, for physical addresses
 * @memory: the memory
 *
 * Nested: each prepare takes one complete. The bytes count against the lock limit (RLIMIT_MEMLOCK) while it is prepared.
 * Pages stay resident; the kernel may still migrate them (compaction), after which a segment must be asked for again.
 * Private memory is locked where it is mapped, and is unlocked by the last complete, also where it had been locked before.
 *
 * Return: 0; -EPERM the lock limit is 0; -ENOMEM the lock limit is too low, or there is no memory.
 */
int mr_memory_prepare(struct mr_memory *memory);

/**
 * mr_memory_complete - undo one mr_memory_prepare
 * @memory: the memory
 *
 * Return: 0; -EINVAL @memory is not prepared.
 */
int mr_memory_complete(struct mr_memory *memory);

/**
 * mr_memory_physical_segment - the physical address of a byte, and how far memory is contiguous from it (getPhysicalSegment)
 * @memory: the memory
 * @offset: the byte
 * @ret_address: its physical address
 * @ret_length: bytes from it that are resident and physically contiguous, within @memory
 *
 * A snapshot: it stays true only while the memory is prepared and not migrated.
 *
 * Return: 0; -ERANGE @offset is past the end; -EPERM the system hides frame numbers (CAP_SYS_ADMIN shows them); -ENODATA the
 * page is not resident: prepare first.
 */
int mr_memory_physical_segment(struct mr_memory *memory, uint64_t offset, uint64_t *ret_address, uint64_t *ret_length);

#ifdef __cplusplus
}
#endif

#endif
