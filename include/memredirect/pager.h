/* SPDX-License-Identifier: MIT */
/*
 * Pagers: memory whose bytes come from elsewhere.
 *
 * The bytes of such a memory are read when they are first touched, kept in a cache, and written back: at mr_memory_sync, when the cache
 * is full, and at the last mr_memory_unref. It can be mapped, redirected to and away from, blocked, copied and moved as any other. All
 * maps of it show the same bytes at once.
 *
 * What is promised
 *   - A byte that was written is read again, by every map and by mr_memory_read, whatever has been evicted meanwhile.
 *   - Nothing dirty is dropped while the process lives. A failing write keeps its pages, dirty, and is tried again.
 *   - When mr_memory_sync returns 0, all that had been written before the call has gone through `write`, and then `flush`. A process that
 *     dies, or a system that fails, loses what was not synced; what was, is where the pager put it.
 *   - Threads wait for the bytes that they touch alone: many requests are under way at once, and one that takes long holds nobody else up.
 *   - While a map is blocked nobody waits for the pager; a redirect to other memory lets all go who wait for it, however long its
 *     callbacks take. But calls on one map take turns: it waits for a snapshot or move of the same map, which wait for the pager.
 *
 * Failures
 *   A read that fails is tried again twice, after 10 and 100 milliseconds. Then who waits for it gets SIGBUS (where a system call waits:
 *   EFAULT), as on a failing file mapping, and so does, for one second, who touches a page that somebody was refused. After that an access
 *   has it read anew; a redirect ends it at once. Without UFFDIO_POISON (before Linux 6.6) the signal is sent to the waiting thread
 *   instead, with the address of the access in si_addr; a system call then waits until the page can be had or the map is redirected.
 *   A read that fails with -ETIMEDOUT, while no other one has succeeded since it began, fails for all who wait to be served by then.
 *   A write that fails is tried again likewise; then mr_memory_sync fails, or, if the cache was being emptied, the next mr_memory_sync
 *   does, once. If the cache is full of what cannot be written back, an access to further pages fails as one does that cannot be read.
 *
 * Limits
 *   - It takes a userfaultfd, and Linux 5.19. Before 6.4 all that is mapped for writing counts as written.
 *   - A child of fork(2) has nothing where a map of such memory is: SIGSEGV there.
 *   - Without privilege (mr_features: kernel_faults is false) a system call that touches a page which is not mapped yet fails with EFAULT.
 *   - Transfers past the page tables (O_DIRECT, io_uring fixed buffers, RDMA) may write to memory that is prepared (mr_memory_prepare)
 *     alone: such pages stay, and count as written.
 *   - An adopted map that is unmapped while it shows such memory leaves that in its range, as any: the pager lives on with what is mapped
 *     there, and has to be synced before the last unref. It ends with it, if the range has been unmapped by then.
 *   - MR_MAP_PREFAULT and mr_memory_prepare read what they need; prefaulting stops where the cache is full.
 */
#ifndef MEMREDIRECT_PAGER_H
#define MEMREDIRECT_PAGER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_memory;

/**
 * struct mr_pager - where bytes come from and go to
 * @size: sizeof(struct mr_pager); what lies beyond the fields that the library knows must be zero
 * @block: preferred transfer in bytes, a power of two from a page to 64 MiB; 0: 64 KiB. Reads are whole blocks, one or several in a row,
 *	but for the end of the memory
 * @read: fill @buffer with @length bytes at @offset; 0 or a negative errno
 * @write: take @length bytes of @buffer to @offset, whole pages but for the end of the memory; 0 or a negative errno. NULL: the memory is
 *	read-only
 * @flush: make what was written durable; 0 or a negative errno. NULL: there is nothing to do
 * @release: the pager is needed no more; called once, after the last of all other calls. NULL: nothing to do. Not called in a child of fork
 * @arg: handed to each of them
 *
 * The callbacks run in threads of the library's, several at a time, also within mr_memory_sync and mr_memory_unref in the caller's thread.
 * They may block and allocate, but must not touch a map of the memory, or call the library for it. Of `write` and `flush`, mr_memory_sync tells
 * what they say of a failure by mr_error_set.
 */
struct mr_pager {
	size_t size;
	uint64_t block;
	int (*read)(void *arg, uint64_t offset, void *buffer, uint64_t length);
	int (*write)(void *arg, uint64_t offset, const void *buffer, uint64_t length);
	int (*flush)(void *arg);
	void (*release)(void *arg);
	void *arg;
};

/**
 * mr_memory_new_pager - memory whose bytes come from elsewhere
 * @pager: copied
 * @length: bytes; it need not be whole pages
 * @cache: how many bytes may be kept, rounded up to whole blocks, 64 of them at least; 0: all
 * @options: MR_MEMORY_READ_ONLY
 * @ret_memory: the new memory, with one reference
 *
 * Takes one descriptor (a memfd, the cache) and some threads. Beyond @cache, requests that are under way have buffers: up to 17, and one for each mr_memory_sync, of at most
 * 512 KiB or a block. A failed call has not called @pager->release.
 *
 * The last mr_memory_unref writes back what is dirty, flushes, and waits for all calls to end before it calls @pager->release. If a write
 * fails, or a call takes more than 10 seconds, it returns, and a thread of the library's goes on trying while the process lives.
 *
 * Return: 0; -EINVAL @length is 0, @pager->size or a block that is not as above, bytes behind the known fields that are not zero, no
 * @pager->read, huge pages asked for; -EOVERFLOW @length is more than a file or 2^32 - 2 blocks can have; -EOPNOTSUPP there is no
 * userfaultfd, or the kernel's cannot do what this takes; -EMFILE, -ENFILE no descriptor is left; -EAGAIN no thread could be started.
 */
int mr_memory_new_pager(const struct mr_pager *pager, uint64_t length, uint64_t cache, uint32_t options,
			struct mr_memory **ret_memory);

/**
 * mr_memory_sync - write back what is dirty, then flush
 * @memory: of any kind; a sub memory: its part, in whole pages
 *
 * When it returns 0, all bytes that had been written before the call are where they come from. Writers go on meanwhile. Of a pager that is
 * write and flush; of a file, what fdatasync(2) does. Other memory has no other place: nothing happens.
 *
 * Return: 0; what `write` or `flush` returned, now, or for an earlier write that nobody has been told of; the rest has been written all the
 * same. -ECHILD, -EINVAL as everywhere.
 */
int mr_memory_sync(struct mr_memory *memory);

#ifdef __cplusplus
}
#endif

#endif
