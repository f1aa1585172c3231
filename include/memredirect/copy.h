/* SPDX-License-Identifier: MIT */
/*
 * Copies of what a map shows at one instant, and moves of it to another memory, while clients read and write.
 *
 * How it is done, as the report says:
 *
 *	MR_COPIED_AT_REST     nobody could write: the map was blocked already, or is read-only
 *	MR_COPIED_GUARDED     pages are write-protected at one instant; who writes to one waits until it has been copied (a snapshot),
 *	                      or until it has been noted that it must be copied once more (a move). Memfds, tmpfs, huge pages,
 *	                      private anonymous memory and copy-on-write maps of these
 *	MR_COPIED_STOPPED     the map was blocked for the whole copy: asked for by MR_COPY_STOP, or because some page of the map
 *	                      cannot be guarded (files on disk, devices), or the kernel cannot (no userfaultfd)
 *
 * What these calls have in common
 *   - They work on maps of any kind, those that are shared or adopted included. A map that is blocked stays so in a snapshot, and is
 *     let go by a move, as by any redirect to a memory.
 *   - Calls on one map are serialised: redirect, unmap, another snapshot or move of the same map wait until the one under way has
 *     ended. From its progress function they are -EDEADLK. Other calls, and those on other maps, go on side by side.
 *   - fork(2) may be called meanwhile; the child has the memory as it was at the fork, and is not part of the copy. A map that is
 *     stopped just then is absent from it, as any blocked one.
 *   - Clients are those who access this map. What others write to the same memory meanwhile (another map of it, another process,
 *     mr_memory_write) keeps its place in that memory, and may or may not be in the copy.
 *   - What a device writes to pages that the kernel has pinned (O_DIRECT in flight, io_uring fixed buffers, RDMA, VFIO) is noticed by
 *     nobody: finish such transfers first.
 *   - Cancelled or failed, they leave the map as it was, and every byte of it. What is in the destination is undefined then.
 *   - Without privilege (mr_features: kernel_faults is false), a system call that writes to a guarded page for a client fails with
 *     EFAULT until the page has been copied.
 */
#ifndef MEMREDIRECT_COPY_H
#define MEMREDIRECT_COPY_H

#include <stddef.h>
#include <stdint.h>

#include <memredirect/map.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of struct mr_copy_opts. */
#define MR_COPY_STOP UINT32_C(0x00000001) /* block the map for the whole copy */

/* How a copy was made: struct mr_report. */
#define MR_COPIED_AT_REST UINT64_C(1)
#define MR_COPIED_GUARDED UINT64_C(2)
#define MR_COPIED_STOPPED UINT64_C(3)

/* What happened. Grows at the end; the caller sets size to sizeof(struct mr_report), or to 0 for the fields up to `faults`. */
struct mr_report {
	size_t size;
	uint64_t bytes;	   /* copied, each as often as it was */
	uint64_t stall_ns; /* the longest time for which an access could have waited */
	uint64_t total_ns; /* of the whole call */
	uint64_t rounds;   /* over the map: 1 for a snapshot */
	uint64_t faults;   /* writes that met a guarded page */
	uint64_t method;   /* MR_COPIED_… */
};

/* How to copy. Grows at the end: zeroes are as if it were not given. */
struct mr_copy_opts {
	size_t size;		  /* sizeof(struct mr_copy_opts) */
	uint32_t flags;		  /* MR_COPY_… */
	uint32_t rate_mib_s;	  /* pace of the copier, in MiB a second; 0: as fast as it goes */
	uint64_t stall_budget_ns; /* mr_map_move: how long clients may be held up at the end; 0: the least possible */

	/*
	 * Called on the caller's thread now and then, and at the end, with the bytes copied in this round and to be copied; non-zero: stop,
	 * -ECANCELED. It may access the map, unless MR_COPY_STOP is given or the method turns out to be that (then all accesses wait), and
	 * may not redirect it.
	 */
	int (*progress)(void *arg, uint64_t done, uint64_t total);
	void *progress_arg;

	struct mr_memory *into; /* mr_map_snapshot: where the copy goes, from its offset 0; NULL: a new buffer */
};

/**
 * mr_map_snapshot - copy what the map shows at one instant, while its clients go on
 * @map: any map
 * @opts: how; NULL: all defaults
 * @ret_copy: the memory that holds the copy: a new buffer of the map's length, or `into` with a reference added
 * @ret_report: what happened; NULL: not wanted
 *
 * The copy holds, in every byte, what the map showed at one instant between call and return: each store that completed before that is in
 * it, none that began after. Which one it was is not known. The map's backing afterwards is what it was before, with every write in it.
 *
 * Return: 0; -ERANGE `into` is shorter than the map; -EINVAL `into` is, in part, what the map shows, an unknown flag, or a size
 * that is not known; -EACCES `into` is read-only; -ENXIO the map is unmapped; -ECANCELED progress said so; -EDEADLK called from
 * the progress function of a copy of this map; -EOPNOTSUPP what the map shows can be neither guarded nor blocked (see mr_map_redirect);
 * -EFAULT some bytes cannot be read (a truncated file) or written; -ENOMEM; -ECHILD @map, or `into`, was inherited across a fork.
 */
int mr_map_snapshot(struct mr_map *map, const struct mr_copy_opts *opts, struct mr_memory **ret_copy,
		    struct mr_report *ret_report);

/**
 * mr_map_move - move what the map shows to another memory, while its clients go on
 * @map: MR_MAP_UNIQUE, or adopted
 * @to: where the bytes go, and what the map shows afterwards
 * @offset: from where in @to
 * @options: as of mr_map_redirect
 * @opts: how; NULL: all defaults. `into` must be NULL
 * @ret_report: what happened; NULL: not wanted
 *
 * The bytes are copied in rounds, each of what was written during the one before. When little is left, or rounds do not get smaller
 * any more, those who write are held up until the last bytes are there, and then the map shows @to, as by mr_map_redirect with
 * MR_MAP_PREFAULT. Private memory that is to stay private goes to mr_memory_new_private. Every store is in @to then. Other maps of @to see the bytes; the old backing keeps those that it had at that instant.
 *
 * Return: 0; what mr_map_redirect returns for the same arguments; -EACCES @to is read-only; -EINVAL @to is, in part, what the map shows, an
 * unknown flag, a size that is not known, or `into`; -EBUSY the last bytes would take longer than stall_budget_ns; -ECANCELED progress
 * said so; -EDEADLK called from the progress function of a copy of this map; -EFAULT some bytes cannot be read or written.
 */
int mr_map_move(struct mr_map *map, struct mr_memory *to, uint64_t offset, uint32_t options, const struct mr_copy_opts *opts,
		struct mr_report *ret_report);

#ifdef __cplusplus
}
#endif

#endif
