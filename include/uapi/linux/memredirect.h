/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * memredirect - mappings whose memory can be replaced while processes use them: the driver's interface
 *
 * Words
 *   map         a length of bytes that any number of processes map with mmap(2), and that shows a backing, or nothing
 *   backing     memory, taken hold of by MEMREDIRECT_ADD_BACKING: segments in a row, each of whole pages
 *   segment     pages of a memfd, pages of a process, fresh pages of the kernel's, or a physical range
 *   redirect    let the map show another backing, for all processes at one instant
 *   block       let the map show nothing: every access waits in its page fault
 *   owner       the process that made the map (MEMREDIRECT_CREATE)
 *   generation  a number of the map's that grows with each change of what it shows; 1 in a new map
 *
 * Descriptors
 *   The control descriptor is an open /dev/memredirect. It has one map at most, and all requests work on it.
 *   A map descriptor, of MEMREDIRECT_OPEN, is for clients. It takes mmap(2), poll(2), MEMREDIRECT_GET_INFO and
 *   MEMREDIRECT_POPULATE, and there is no way from it to the control descriptor: who has it can use the map, and never redirect
 *   it. Both kinds are close-on-exec.
 *
 * States of a map
 *
 *   state    an access            entered by
 *   EMPTY    waits                CREATE
 *   BLOCKED  waits                BLOCK, unless REVOKED
 *   MAPPED   reaches the backing  REDIRECT, unless REVOKED; the deadline of a block with THEN_RETURN; letting go with PERSIST
 *   REVOKED  gets SIGBUS          REVOKE; the deadline of a block with THEN_REVOKE; letting go without PERSIST, or while EMPTY
 *
 *   A map is let go when its control descriptor is closed for the last time, or its owner ends, or executes another program and
 *   the control descriptor with close-on-exec: children that have inherited the control descriptor hold nothing up.
 *
 * What a change of state is, for each process that has the map mapped
 *   - Atomic: an access is done by the old backing or the new one; once one has been done by the new one, in any process, none
 *     is by the old one any more, in any process.
 *   - Complete when the request returns: nobody reaches the old backing through the map.
 *   - Waiting threads are woken by it. Until then they take signals (a thread waits again after a handler), can be stopped,
 *     traced, killed; a thread that waits within a system call reacts to SIGKILL alone. Mapping, unmapping and forking go on
 *     meanwhile.
 *   - A thread that may not wait (the kernel holds locks for it: FAULT_FLAG_ALLOW_RETRY is not there) gets SIGBUS, or its
 *     system call EFAULT. A futex in a map has to be a private one.
 *
 * mmap(2) of a map descriptor
 *   MAP_SHARED alone (else EINVAL), within the length (else ENXIO), of a map that is not REVOKED (else ENODEV), and without
 *   PROT_WRITE if the descriptor is read-only (else EACCES). The mapping cannot grow (mremap: EFAULT), is left out of core
 *   dumps, and no system call can pin its pages: O_DIRECT, vmsplice, process_vm_readv, RDMA, io_uring's fixed buffers and
 *   shared futexes get EFAULT, so that no pin can outlive a redirect. read(2), write(2) and other copies work, and so do
 *   ptrace(2) and /proc/PID/mem, which do not wait but fail (EIO) while there is nothing to see.
 *   A write to a map whose redirect was READ_ONLY gets SIGSEGV, as one to a mapping without PROT_WRITE does.
 *
 * poll(2)
 *   Of both descriptors: EPOLLIN when the generation is not what GET_INFO has last said through this descriptor (0, if it has
 *   not been asked); EPOLLHUP when the map is REVOKED. Of the control descriptor: EPOLLPRI while threads wait in the map,
 *   EPOLLERR before CREATE.
 *
 * Requests
 *   A request takes a pointer to its struct, whose first field is the struct's size as the caller knows it. A driver that knows
 *   a longer struct takes what is missing for zero, and writes nothing beyond @size; one that knows a shorter struct refuses
 *   what it does not know with E2BIG unless it is zero. Fields named pad must be zero. A failed request has changed nothing.
 *
 *   Errors of every request: ENOTTY no such request, or not of this kind of descriptor; EFAULT the struct or what it points to
 *   cannot be read or written; EINVAL @size is less than the first version's (MEMREDIRECT_SIZE_…), a flag is unknown, or a pad
 *   is not zero; E2BIG @size is more than a page, or what lies beyond the struct that the driver knows is not
 *   zero; ENOMEM. Of signals, SIGKILL alone interrupts one. Those that need a map: ENXIO there was no CREATE. Those that change
 *   what the map shows: ENODEV it is REVOKED; ESTALE the expected generation is given, and is not the map's.
 *
 *   Requests of one map are serialised, except ADD_BACKING, READ and WRITE, which go on side by side; those of different maps
 *   have nothing to do with each other.
 *
 * Limits
 *   - Physical addresses (GET_PHYS), devices that have been told of them, and what else refers to a backing's memory (the file,
 *     the process whose pages they are) do not follow a redirect.
 *   - While a thread waits within a system call, it may hold locks of the kernel's: a reader of a pipe waits, and cannot even
 *     be killed, while a write to that pipe from a blocked map waits. Set deadlines, or MEMREDIRECT_MAP_USER_ONLY.
 *   - Pages are mapped one by one, whatever their size.
 */
#ifndef _UAPI_LINUX_MEMREDIRECT_H
#define _UAPI_LINUX_MEMREDIRECT_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The character device, and how its requests are numbered: _IO, since sizes are in the structs. */
#define MEMREDIRECT_DEVICE "/dev/memredirect"
#define MEMREDIRECT_TYPE   0xE7

/* What the expected generation of a request is when any will do. */
#define MEMREDIRECT_ANY_GENERATION 0

/* Backings of a map, and segments of a backing. */
#define MEMREDIRECT_MAX_BACKINGS 65536
#define MEMREDIRECT_MAX_SEGMENTS 65536

/**
 * enum memredirect_state - what an access to the map does
 * @MEMREDIRECT_STATE_EMPTY: waits; the map has never shown anything
 * @MEMREDIRECT_STATE_BLOCKED: waits; the map is blocked
 * @MEMREDIRECT_STATE_MAPPED: reaches the backing
 * @MEMREDIRECT_STATE_REVOKED: gets SIGBUS
 */
enum memredirect_state {
	MEMREDIRECT_STATE_EMPTY = 0,
	MEMREDIRECT_STATE_BLOCKED = 1,
	MEMREDIRECT_STATE_MAPPED = 2,
	MEMREDIRECT_STATE_REVOKED = 3,
};

/**
 * struct memredirect_create - MEMREDIRECT_CREATE, of a control descriptor: make its map
 * @size: sizeof(struct memredirect_create)
 * @flags: MEMREDIRECT_MAP_PERSIST, MEMREDIRECT_MAP_USER_ONLY
 * @length: bytes, whole pages
 *
 * The map is EMPTY, and its owner is the calling process.
 *
 * MEMREDIRECT_MAP_PERSIST: when the map is let go, clients keep what it shows, or showed before it was blocked, instead of
 * SIGBUS. Another process that has the control descriptor then, can go on with it.
 *
 * MEMREDIRECT_MAP_USER_ONLY: accesses that the kernel makes for a system call do not wait: they fail with EFAULT while the map
 * is EMPTY or BLOCKED. No client can then wait with locks of the kernel's held.
 *
 * Errors: EEXIST this descriptor has its map; EINVAL @length is 0 or not whole pages; EOVERFLOW @length is more than a file can
 * have.
 */
struct memredirect_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 length;
};
#define MEMREDIRECT_MAP_PERSIST	  0x1
#define MEMREDIRECT_MAP_USER_ONLY 0x2
#define MEMREDIRECT_SIZE_CREATE	  16
#define MEMREDIRECT_CREATE	  _IO(MEMREDIRECT_TYPE, 0x00)

/**
 * struct memredirect_open - MEMREDIRECT_OPEN, of a control descriptor: a new map descriptor
 * @size: sizeof(struct memredirect_open)
 * @flags: MEMREDIRECT_OPEN_READ_ONLY, MEMREDIRECT_OPEN_KEEP_ON_FORK
 * @fd: the descriptor (output)
 * @pad: 0
 *
 * MEMREDIRECT_OPEN_READ_ONLY: mappings of it cannot be written to.
 *
 * MEMREDIRECT_OPEN_KEEP_ON_FORK: a child that inherits a mapping of it by fork(2) keeps what the map shows at that instant, and
 * is not affected by what is done with the map afterwards, revoking included. If the map is EMPTY, BLOCKED or REVOKED at that
 * instant, an access by the child gets SIGSEGV. Without this flag the child is a client as its parent is.
 *
 * Errors: ENODEV the map is REVOKED; EMFILE, ENFILE too many descriptors.
 */
struct memredirect_open {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 pad;
};
#define MEMREDIRECT_OPEN_READ_ONLY    0x1
#define MEMREDIRECT_OPEN_KEEP_ON_FORK 0x2
#define MEMREDIRECT_SIZE_OPEN	      16
#define MEMREDIRECT_OPEN	      _IO(MEMREDIRECT_TYPE, 0x01)

/**
 * enum memredirect_kind - what a segment is made of
 * @MEMREDIRECT_FILE: pages of a memfd, or of another file of tmpfs or hugetlbfs, by its descriptor. On Linux 6.11 and later;
 *	before, map the file (MAP_SHARED) and use MEMREDIRECT_USER: those are the same pages
 * @MEMREDIRECT_USER: pages that a process has mapped, anonymous ones and those of tmpfs and hugetlbfs; for a read-only backing
 *	those of any file. They are pinned: what the process maps there later is another matter
 * @MEMREDIRECT_KERNEL: fresh pages, zeroed
 * @MEMREDIRECT_PHYSICAL: a physical range: of a device, of memory that the kernel was told to leave alone, or of memory that is
 *	in use, whose user has to care for that it stays. Takes CAP_SYS_RAWIO, and a kernel that is not locked down
 */
enum memredirect_kind {
	MEMREDIRECT_FILE = 1,
	MEMREDIRECT_USER = 2,
	MEMREDIRECT_KERNEL = 3,
	MEMREDIRECT_PHYSICAL = 4,
};

/**
 * struct memredirect_segment - a segment of a backing
 * @kind: enum memredirect_kind
 * @flags: MEMREDIRECT_SEGMENT_CONTIGUOUS, of KERNEL: pages that are physically contiguous, and aligned to the power of two that
 *	holds them
 * @offset: FILE: from where in the file; USER: the address; PHYSICAL: the physical address; KERNEL: 0. A multiple of the page
 *	size
 * @length: bytes, whole pages; of a FILE, the last page may lie across the end of the file
 * @fd: FILE: the descriptor, opened for reading, and for writing too unless the backing is read-only; else 0. It is not needed
 *	later
 * @pid: USER: 0 for the calling process, else another one, as the caller's pid namespace counts, for which the caller needs
 *	CAP_SYS_PTRACE; else 0
 */
struct memredirect_segment {
	__u32 kind;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
	__s32 fd;
	__s32 pid;
};
#define MEMREDIRECT_SEGMENT_CONTIGUOUS 0x1

/**
 * enum memredirect_cache - how processors cache what a backing shows
 * @MEMREDIRECT_CACHE_DEFAULT: memory as memory is, devices uncached
 * @MEMREDIRECT_CACHE_INHIBIT: uncached
 * @MEMREDIRECT_CACHE_WRITE_THROUGH: writes go to memory at once
 * @MEMREDIRECT_CACHE_COPYBACK: as memory is; uncached, where the processor is told so of a device by other means (MTRRs)
 * @MEMREDIRECT_CACHE_WRITE_COMBINE: uncached, writes may be gathered
 *
 * A physical page has one mode at a time, in all mappings of it, or its contents would be undefined. So the mode belongs to the
 * backing, and not to a redirect, and memory that others map has the default: FILE and USER take DEFAULT and COPYBACK; KERNEL
 * takes INHIBIT and WRITE_COMBINE, too, and PHYSICAL all if it is no memory of the kernel's, which else takes DEFAULT and
 * COPYBACK.
 */
enum memredirect_cache {
	MEMREDIRECT_CACHE_DEFAULT = 0,
	MEMREDIRECT_CACHE_INHIBIT = 1,
	MEMREDIRECT_CACHE_WRITE_THROUGH = 2,
	MEMREDIRECT_CACHE_COPYBACK = 3,
	MEMREDIRECT_CACHE_WRITE_COMBINE = 4,
};

/**
 * struct memredirect_add_backing - MEMREDIRECT_ADD_BACKING, of a control descriptor with or without a map: take hold of memory
 * @size: sizeof(struct memredirect_add_backing)
 * @flags: MEMREDIRECT_BACKING_READ_ONLY
 * @segments: the address of an array of struct memredirect_segment
 * @count: segments in it, 1 to MEMREDIRECT_MAX_SEGMENTS
 * @segment_size: sizeof(struct memredirect_segment); a longer one is known as the size of a request is
 * @cache: enum memredirect_cache, for all segments
 * @id: of the backing, 1 or more (output)
 *
 * All pages are made resident and stay so, until MEMREDIRECT_DEL_BACKING, or the control descriptor's last close, and the last
 * child that keeps it (MEMREDIRECT_OPEN_KEEP_ON_FORK). Pages of FILE and USER count as locked by the caller (RLIMIT_MEMLOCK,
 * which CAP_IPC_LOCK lifts), those of KERNEL are charged to its memory control group. Takes time for each page, and can be
 * interrupted by SIGKILL.
 *
 * MEMREDIRECT_BACKING_READ_ONLY: it can be shown READ_ONLY alone, and not be written to; segments need be readable only.
 *
 * Errors: EINVAL an unknown kind or cache mode, no segments, or a segment of length 0, not of whole pages, or with a field that
 * its kind does not take; EOVERFLOW the lengths, or an offset and a length, do not fit; E2BIG too many segments; ENOSPC too
 * many backings; EOPNOTSUPP a cache mode, a file or memory that the kind does not take, or FILE before Linux 6.11; EBADF @fd;
 * EACCES @fd is not open for the access needed; EPERM PHYSICAL without CAP_SYS_RAWIO or locked down, another process's memory
 * without CAP_SYS_PTRACE, a file sealed against writing; ESRCH no such process; EFAULT USER: a page is not mapped, or not with
 * the access needed, or is of a device or of another map; EINVAL FILE: past the end of the file; EINVAL PHYSICAL: only in part
 * memory of the kernel's, or beyond what the processor can address; EBUSY PHYSICAL: it has another cache mode by others; ENOMEM
 * out of memory, the lock limit is reached, no contiguous pages.
 */
struct memredirect_add_backing {
	__u32 size;
	__u32 flags;
	__aligned_u64 segments;
	__u32 count;
	__u32 segment_size;
	__u32 cache;
	__u32 id;
};
#define MEMREDIRECT_BACKING_READ_ONLY 0x1
#define MEMREDIRECT_SIZE_SEGMENT      32
#define MEMREDIRECT_SIZE_ADD_BACKING  32
#define MEMREDIRECT_ADD_BACKING	      _IO(MEMREDIRECT_TYPE, 0x02)

/**
 * struct memredirect_del_backing - MEMREDIRECT_DEL_BACKING, of a control descriptor: forget a backing
 * @size: sizeof(struct memredirect_del_backing)
 * @flags: 0
 * @id: the backing
 * @pad: 0
 *
 * Errors: ENOENT there is no such backing; EBUSY the map shows it, or is blocked and would return to it.
 */
struct memredirect_del_backing {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 pad;
};
#define MEMREDIRECT_SIZE_DEL_BACKING 16
#define MEMREDIRECT_DEL_BACKING	     _IO(MEMREDIRECT_TYPE, 0x03)

/**
 * struct memredirect_redirect - MEMREDIRECT_REDIRECT, of a control descriptor: let the whole map show a backing
 * @size: sizeof(struct memredirect_redirect)
 * @flags: MEMREDIRECT_REDIRECT_READ_ONLY
 * @id: the backing
 * @pad: 0
 * @offset: from where in the backing, a multiple of the page size
 * @generation: the generation that the map must have, or MEMREDIRECT_ANY_GENERATION; the one that it has after the request
 *	(output)
 *
 * Ends a block, and its deadline. If the map shows just that, nothing happens, and the generation stays.
 * Takes time for each page of the map that clients have touched since the last one; they wait meanwhile.
 *
 * Errors: ENOENT there is no such backing; ERANGE it is too short; EINVAL @offset is not a multiple of the page size; EACCES it
 * is read-only, and this is not.
 */
struct memredirect_redirect {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 pad;
	__aligned_u64 offset;
	__aligned_u64 generation;
};
#define MEMREDIRECT_REDIRECT_READ_ONLY 0x1
#define MEMREDIRECT_SIZE_REDIRECT      32
#define MEMREDIRECT_REDIRECT	       _IO(MEMREDIRECT_TYPE, 0x04)

/**
 * struct memredirect_block - MEMREDIRECT_BLOCK, of a control descriptor: let the map show nothing
 * @size: sizeof(struct memredirect_block)
 * @flags: MEMREDIRECT_BLOCK_THEN_REVOKE or MEMREDIRECT_BLOCK_THEN_RETURN, with a deadline; else 0
 * @deadline_ms: milliseconds from now after which that happens by itself; 0: never
 * @pad: 0
 * @generation: as in struct memredirect_redirect
 *
 * The backing stays the map's: its bytes can be read and written (MEMREDIRECT_READ, MEMREDIRECT_WRITE, or where it comes from),
 * and a deadline with THEN_RETURN, or letting go with PERSIST, shows it again. Of a map that is BLOCKED already: replaces the
 * deadline, and the generation stays. An EMPTY map becomes BLOCKED, and has nothing to return to.
 *
 * Errors: EINVAL a flag without a deadline, a deadline without a flag or with both, or THEN_RETURN of a map that has never
 * shown anything.
 */
struct memredirect_block {
	__u32 size;
	__u32 flags;
	__u32 deadline_ms;
	__u32 pad;
	__aligned_u64 generation;
};
#define MEMREDIRECT_BLOCK_THEN_REVOKE 0x1
#define MEMREDIRECT_BLOCK_THEN_RETURN 0x2
#define MEMREDIRECT_SIZE_BLOCK	      24
#define MEMREDIRECT_BLOCK	      _IO(MEMREDIRECT_TYPE, 0x05)

/**
 * struct memredirect_revoke - MEMREDIRECT_REVOKE, of a control descriptor: end the map
 * @size: sizeof(struct memredirect_revoke)
 * @flags: 0
 * @generation: as in struct memredirect_redirect
 *
 * Every access, those that wait included, gets SIGBUS from now on, with MEMREDIRECT_MAP_PERSIST, too. Backings stay until they
 * are deleted; the one that was shown can be now.
 */
struct memredirect_revoke {
	__u32 size;
	__u32 flags;
	__aligned_u64 generation;
};
#define MEMREDIRECT_SIZE_REVOKE 16
#define MEMREDIRECT_REVOKE	_IO(MEMREDIRECT_TYPE, 0x06)

/**
 * struct memredirect_info - MEMREDIRECT_GET_INFO, of both descriptors: how the map is now
 * @size: sizeof(struct memredirect_info)
 * @flags: those of the map's CREATE (output)
 * @state: enum memredirect_state (output)
 * @access: MEMREDIRECT_INFO_READ_ONLY: what is shown, was redirected to READ_ONLY. MEMREDIRECT_INFO_DESCRIPTOR_READ_ONLY:
 *	mappings of this descriptor cannot be written to (output)
 * @generation: the map's (output)
 * @length: bytes in the map (output)
 * @waiters: threads that wait in it now, in all processes (output)
 * @waiters_here: of these, threads of the calling process (output)
 * @deadline_ms: milliseconds until the deadline of the block, at least 1; 0: there is none, or this is not the
 *	control descriptor (output)
 * @id: the backing that is shown, or was before the map was blocked; 0: none, or this is not the control descriptor (output)
 *
 * All outputs are of the same instant, but for @waiters and @waiters_here. A thread that has left its wait to run a signal
 * handler is not counted until it waits again. Outputs are ignored as inputs.
 */
struct memredirect_info {
	__u32 size;
	__u32 flags;
	__u32 state;
	__u32 access;
	__aligned_u64 generation;
	__aligned_u64 length;
	__aligned_u64 waiters;
	__aligned_u64 waiters_here;
	__u32 deadline_ms;
	__u32 id;
};
#define MEMREDIRECT_INFO_READ_ONLY	      0x1
#define MEMREDIRECT_INFO_DESCRIPTOR_READ_ONLY 0x2
#define MEMREDIRECT_SIZE_INFO		      56
#define MEMREDIRECT_GET_INFO		      _IO(MEMREDIRECT_TYPE, 0x07)

/**
 * struct memredirect_populate - MEMREDIRECT_POPULATE, of both descriptors: fill page tables of the caller's
 * @size: sizeof(struct memredirect_populate)
 * @flags: 0
 * @address: where to begin, a multiple of the page size
 * @length: bytes, whole pages
 *
 * What madvise(MADV_POPULATE_READ) is for other mappings. What is not there yet is mapped, as far as the map shows something: a
 * map that is redirected or blocked meanwhile is filled in part. Those pages that the mapping lets be written, can be written
 * without a fault.
 *
 * Errors: EINVAL @address or @length; EFAULT the range is not all mapped, and of this map; ENODEV the map is REVOKED; EAGAIN it
 * is EMPTY or BLOCKED.
 */
struct memredirect_populate {
	__u32 size;
	__u32 flags;
	__aligned_u64 address;
	__aligned_u64 length;
};
#define MEMREDIRECT_SIZE_POPULATE 24
#define MEMREDIRECT_POPULATE	  _IO(MEMREDIRECT_TYPE, 0x08)

/**
 * struct memredirect_phys - MEMREDIRECT_GET_PHYS, of a control descriptor: the physical address of a byte
 * @size: sizeof(struct memredirect_phys)
 * @flags: 0
 * @id: the backing to which @offset refers; 0: the map, as it shows its backing, or did before it was blocked
 * @pad: 0
 * @offset: the byte
 * @address: its physical address (output)
 * @length: bytes from it that are physically contiguous, within the backing or map (output)
 * @generation: the map's at that instant, 0 without one (output)
 *
 * True until the backing is deleted; of a map, for that generation. Takes CAP_SYS_ADMIN, as /proc/PID/pagemap does.
 *
 * Errors: EPERM; ENOENT there is no such backing; ERANGE @offset is past the end; ENODATA with @id 0, the map has no backing.
 */
struct memredirect_phys {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 pad;
	__aligned_u64 offset;
	__aligned_u64 address;
	__aligned_u64 length;
	__aligned_u64 generation;
};
#define MEMREDIRECT_SIZE_PHYS 48
#define MEMREDIRECT_GET_PHYS  _IO(MEMREDIRECT_TYPE, 0x09)

/**
 * struct memredirect_copy - MEMREDIRECT_READ, MEMREDIRECT_WRITE, of a control descriptor: copy from, or to, a backing
 * @size: sizeof(struct memredirect_copy)
 * @flags: 0
 * @id: the backing
 * @pad: 0
 * @offset: from where in the backing, in bytes
 * @address: of the caller's buffer
 * @length: bytes to copy; those that have been copied (output)
 *
 * Whatever the map does meanwhile. The buffer may lie in a map, and waits as any access does. A copy that fails or is
 * interrupted midway has done the first part, and says so in @length, with its error; devices are copied to and from in any
 * order, and by any width.
 *
 * Errors: ENOENT there is no such backing; ERANGE past its end; EACCES MEMREDIRECT_WRITE to a read-only one; EFAULT the buffer.
 */
struct memredirect_copy {
	__u32 size;
	__u32 flags;
	__u32 id;
	__u32 pad;
	__aligned_u64 offset;
	__aligned_u64 address;
	__aligned_u64 length;
};
#define MEMREDIRECT_SIZE_COPY 40
#define MEMREDIRECT_READ      _IO(MEMREDIRECT_TYPE, 0x0a)
#define MEMREDIRECT_WRITE     _IO(MEMREDIRECT_TYPE, 0x0b)

#endif
