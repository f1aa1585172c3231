/* SPDX-License-Identifier: MIT */
/*
 * The fault service: the process's one userfaultfd, and the thread that reads it.
 *
 * It runs while somebody has acquired it. The thread is needed because the kernel lets whoever moves a watched mapping wait until
 * the event that tells of it has been read (UFFD_FEATURE_EVENT_REMAP, without which such a move would walk all pages). It
 * also notes who waits. It touches no memory of clients and allocates nothing: it can never wait for what it serves.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "public.h"

/* Open a userfaultfd in the best way that works here. Return: it, or a negative errno; @ret_how says which way. */
int service_open_userfaultfd(enum mr_fault_access *ret_how);

/* Nested. -EOPNOTSUPP there is no userfaultfd; -EAGAIN, -ENOMEM, -EMFILE. Makes sentences. */
int service_acquire(void);
void service_release(void);

/*
 * Between acquire and release: let accesses to missing pages of a mapping wait, end that, wake those that wait. A mapping of a file
 * also finds pages in the page cache that it has not in its page table: watch_cached lets those wait, too.
 */
int service_watch(uintptr_t start, uint64_t length);
int service_watch_cached(uintptr_t start, uint64_t length);
void service_unwatch(uintptr_t start, uint64_t length);
void service_wake(uintptr_t start, uint64_t length);

/*
 * A range in which it matters who writes. Between enter and leave, @write is called for each write that meets a protected page, by any
 * thread and under the service's lock, while the writer waits: it may call service_let, and nothing else of this header.
 */
struct guard {
	uintptr_t start;
	uint64_t length;
	void (*write)(struct guard *guard, uintptr_t address);
	struct guard *next;
};

void service_guard_enter(struct guard *guard);
void service_guard_leave(struct guard *guard);

/*
 * Whether pages that were never touched can be protected (6.4 and later); begin to protect a mapping; let it keep out all accesses
 * that find no page, too (@cached: none in the page table), so that it can be emptied; protect, and let writers go on. service_let may
 * do nothing but let them try again. -EINVAL: it cannot be.
 */
bool service_protects_holes(void);
int service_guard(uintptr_t start, uint64_t length);
int service_guard_all(uintptr_t start, uint64_t length, bool cached);
int service_protect(uintptr_t start, uint64_t length);
void service_unprotect(uintptr_t start, uint64_t length);
void service_let(uintptr_t start, uint64_t length);

/* How many threads wait in [start, start + length) now. */
uint64_t service_waiters(uintptr_t start, uint64_t length);

/* Around fork, and in the child of one: the service of the parent is none of its. */
void service_lock(void);
void service_unlock(void);
void service_reset(void);

#endif
