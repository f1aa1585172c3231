/* SPDX-License-Identifier: MIT */
/*
 * memredirect - replace the memory behind a live mapping
 *
 * Words
 *   task      an address space: the calling process (a NULL struct mr_task *), or another one, by its pid
 *   memory    bytes that can be mapped: a buffer, a range of a file, ranges of a task, several memories in a row
 *   map       a range of addresses in one task that shows a memory. The addresses never change; the memory may
 *   backing   the memory that a map shows now
 *   redirect  replace the backing of a live map, atomically
 *   blocked   a map redirected to NULL: every access waits in its page fault
 *
 * `offset` counts from the start of a memory or map, `length` is bytes, `last` is inclusive, `end` is exclusive.
 *
 * Rules that hold for every call
 *   - Objects are opaque, reference counted and usable from any thread. X_new gives one reference, X_ref adds one, X_unref
 *     drops one; X_unref(NULL) is allowed; X_unref cannot fail and returns NULL.
 *   - A call that can fail returns 0 (or a count) or a negative errno. Out parameters come last, are named ret_… and are
 *     written only on success. mr_error() then says what happened, in one sentence.
 *   - A failed call changes nothing: not the mapping, not its backing, not its contents, not the number of descriptors.
 *   - Every call that takes an object may return -EINVAL for a NULL object or a NULL ret_… pointer, -ENOMEM, and, in a
 *     child of fork(2), -ECHILD for an object that it inherited (see "fork" below).
 *   - Unknown option bits are -EINVAL, everywhere.
 *   - The library prints nothing, never exits, installs no signal handler, reads no environment variable, and leaves the
 *     caller's signal mask alone. Its one thread, which runs only while some map needs it, blocks every signal.
 *   - No call may be made from a signal handler; calls are not cancellation points.
 *
 * Guarantees of mr_map_redirect
 *   A  Atomic. Each access sees the old backing or the new one, never anything else: no SIGSEGV, SIGBUS, zero page or
 *      mixture within an aligned word. Once one thread has seen the new backing, no thread can still see the old one or
 *      write to it.
 *   B  Complete on return. When it returns, no access of any thread can reach the old backing through the map.
 *   C  NULL blocks. From its return every access waits in its page fault until a redirect to a memory. The old backing keeps
 *      its bytes and is still what mr_map_memory reports. Waiting threads still take signals and can be killed; after a
 *      handler they wait again.
 *   D  Nothing is lost. Every store that completed before is in the old backing; every one that waited lands in the new.
 *   E  A failed redirect leaves all as it was, blocked if it was blocked.
 *   F  Redirects of one map are serialised; of different maps they run side by side.
 *   G  The cost does not grow with the map: what must be done page by page is done before or after, not while clients wait.
 *
 * fork
 *   The child keeps the memory that it inherited and is not affected by what the parent redirects later. A map that is
 *   blocked at the fork is absent from the child: SIGSEGV there, never stale or zero bytes. In the child, calls on inherited
 *   objects return -ECHILD; X_unref frees them and leaves the memory mapped. fork(2) waits for redirects that are being
 *   committed; a raw clone(2) does not, and may leave a map that is being redirected at that instant absent or empty.
 *
 * Limits
 *   - Pages that the kernel has pinned (O_DIRECT in flight, io_uring fixed buffers, RDMA, VFIO, vmsplice) go on referring to
 *     the old backing: finish such transfers first.
 *   - A system call that waits in a blocked map may hold a kernel lock meanwhile: while write(pipe, blocked) waits, a reader of
 *     that pipe waits too, and cannot even be killed. Keep blocks short.
 *   - Without privilege (mr_features: kernel_faults is false) only accesses from user mode wait, and a system call that
 *     touches a blocked range fails with EFAULT; so does one that meets the short block in which memory of several pieces,
 *     or private memory, is replaced.
 *   - A futex in shared memory is keyed by its file: whoever redirects wakes those that wait on one in the old backing.
 *   - Each map takes one mapping of the kernel's, a blocked one up to two for each piece of its memory: see vm.max_map_count.
 *   - munmap(2), mmap(2) or mremap(2) over a map, behind the library's back, is an error of the caller's.
 */
#ifndef MEMREDIRECT_H
#define MEMREDIRECT_H

#include <memredirect/copy.h>
#include <memredirect/driver.h>
#include <memredirect/error.h>
#include <memredirect/features.h>
#include <memredirect/map.h>
#include <memredirect/memory.h>
#include <memredirect/pager.h>
#include <memredirect/task.h>

#endif
