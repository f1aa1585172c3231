/* SPDX-License-Identifier: MIT */
/*
 * The fault service: the process's one userfaultfd, and the thread that reads it.
 *
 * It runs while somebody has acquired it. The thread is needed because the kernel lets whoever moves a watched mapping wait until
 * the event that tells of it has been read (UFFD_FEATURE_EVENT_REMAP, without which such a move would walk all pages). It
 * also notes who waits. It touches no memory of clients that might make it wait, and allocates nothing: it can never wait for what it
 * serves.
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
 * thread and under the service's lock, while the writer waits: it may call service_let, and nothing else of this header, and it must
 * not wait for anybody.
 */
struct guard {
	uintptr_t start;
	uint64_t length;
	void (*write)(struct guard *guard, uintptr_t address);
	struct guard *next;
};

void service_guard_enter(struct guard *guard);
void service_guard_leave(struct guard *guard);

/* Tell guards of who writes now, if the service's thread has not come to it: it may have no processor. Between acquire and release. */
void service_look(void);

/* Wait until no guard is being told of a write. */
void service_settle(void);

/*
 * Whether pages that were never touched can be protected (6.4 and later); begin to protect a mapping; let it keep out all accesses
 * that find no page, too (@cached: none in the page table), so that it can be emptied; protect, and let writers go on. service_let may
 * do nothing but let them try again. service_try_protect does not wait while others change mappings, but says -EAGAIN: for callers that
 * hold a lock, since whoever changes them waits until the service's thread has read of it. -EINVAL: it cannot be.
 */
bool service_protects_holes(void);
int service_guard(uintptr_t start, uint64_t length);
int service_guard_all(uintptr_t start, uint64_t length, bool cached);
int service_protect(uintptr_t start, uint64_t length);
int service_try_protect(uintptr_t start, uint64_t length);
void service_unprotect(uintptr_t start, uint64_t length);
void service_let(uintptr_t start, uint64_t length);

/*
 * Memory whose pages come from elsewhere. @serve is told of each fault of a watched mapping that is no guard's: first by the service's
 * thread, which must not wait (@patient is false); if it then returns false, by whoever calls service_next_fault. It may call service_map,
 * service_poison, service_unprotect_soon, service_protect (patient), service_retry, and service_wake.
 */
struct service_fault {
	uintptr_t address;
	uint32_t tid;
	bool write;	/* the access was a write */
	bool protected; /* to a page that is there, but write-protected */
};

/* Have an access tried again, unless its thread has gone on since. */
void service_retry(const struct service_fault *fault);

/* NULL ends it. Between acquire and release. */
void service_set_server(bool (*serve)(const struct service_fault *fault, bool patient));

/* Wait for a fault that has not been served, until a time (of sys_now). 1; 0 there was none in time; -1 service_end_faults was called. */
int service_next_fault(struct service_fault *ret_fault, uint64_t until);
void service_end_faults(void);

/* Whether the kernel can do what paging takes; and without marking all that can be written as written; whether it can refuse a page. */
bool service_can_page(void);
bool service_maps_protected(void);
bool service_can_poison(void);

/* Begin to page a mapping: accesses to what is not mapped, and writes to what is protected, wait. -EINVAL: it cannot be. */
int service_page(uintptr_t start, uint64_t length);

/* Put bytes into pages that the file has not, and map these write-protected. Return: how many bytes, all unless a page is there or cannot be had. */
uint64_t service_fill(uintptr_t start, const char *bytes, uint64_t length);

/*
 * Map pages that the file has, as sys_uffd_map; refuse one for good: 0, or -EEXIST it has been mapped. -EAGAIN: try again, or, if one is
 * patient, never. service_unprotect_soon may fail so, too.
 */
int64_t service_map(uintptr_t start, uint64_t length, bool protect, bool patient);
int service_poison(uintptr_t start, uint64_t length, bool patient);
int service_unprotect_soon(uintptr_t start, uint64_t length);

/* Wake those whom a guard was told of, from within that; whether some of a range is a guard's. */
void service_wake_soon(uintptr_t start, uint64_t length);
bool service_is_guarded(uintptr_t start, uint64_t length);

/* How many threads wait in [start, start + length) now. */
uint64_t service_waiters(uintptr_t start, uint64_t length);

/* Around fork, and in the child of one: the service of the parent is none of its. */
void service_lock(void);
void service_unlock(void);
void service_reset(void);

#endif
