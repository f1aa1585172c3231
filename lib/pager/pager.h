/* SPDX-License-Identifier: MIT */
/*
 * Paged memory, for the rest of the library: a memfd that holds what of a pager's bytes is cached, and holes where it has nothing.
 *
 * Nobody may map, read or write that file but by this header: a hole reads as zeroes. Mappings of it that clients see are windows: every
 * access to a page that is not mapped in a window, and every write to one that is clean, is a fault that is served here.
 */
#ifndef PAGER_H
#define PAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "public.h"

struct pager;

/* What is wrong with the arguments; a pager with one reference. Make sentences. */
int pager_check(const struct mr_pager *ops, uint64_t length);
int pager_new(const struct mr_pager *ops, uint64_t length, uint64_t cache, struct pager **ret_pager);
struct pager *pager_ref(struct pager *pager);

/* The last one writes back, and ends. */
void pager_unref(struct pager *pager);

/* Its file, to be mapped by those who open a window or hold pages; and which that is. */
int pager_fd(const struct pager *pager, uint64_t *ret_device, uint64_t *ret_inode);

/* Copy between it and @buffer. Makes sentences. */
int pager_read(struct pager *pager, uint64_t offset, void *buffer, uint64_t length);
int pager_write(struct pager *pager, uint64_t offset, const void *buffer, uint64_t length);

/* Write back what is dirty in the range, and flush. Makes sentences. */
int pager_sync(struct pager *pager, uint64_t offset, uint64_t length);

/*
 * Have all pages of a range in the cache, and keep them there, so that they can be mapped. @pinned: for a long time; undone by unpin. Makes
 * sentences. hold_present does so with what is there of it at its beginning, and returns how many bytes that are.
 */
int pager_hold(struct pager *pager, uint64_t offset, uint64_t length, bool pinned);
uint64_t pager_hold_present(struct pager *pager, uint64_t offset, uint64_t length);
void pager_let_go(struct pager *pager, uint64_t offset, uint64_t length, bool pinned);
void pager_unpin(struct pager *pager, uint64_t offset, uint64_t length);

/*
 * Make the mapping of [offset, offset + length) of the file at @start a window. It must not be accessible yet, and is made so: with
 * @protection. Makes sentences.
 */
int window_open(struct pager *pager, uintptr_t start, uint64_t length, uint64_t offset, int protection, bool copy_on_write);

/* Have pages of a window mapped that no access has asked for. Makes sentences. */
int window_populate(uintptr_t start, uint64_t length);

/*
 * Whoever moves or replaces mappings that may be windows does so between enter and leave (nested), in which no fault is served; and says
 * what has been moved, or is gone. dropped: whether there was something.
 */
void windows_enter(void);
void windows_leave(void);
void windows_moved(uintptr_t from, uint64_t length, uintptr_t to);
bool windows_dropped(uintptr_t start, uint64_t length);

/*
 * Let pages of a window that are under a guard be written to; or do nothing but let who waits try again. By whom a guard is told.
 * Elsewhere it is enough to wake: who tries again is told of.
 */
void windows_let(uintptr_t start, uint64_t length);

/*
 * The pager whose bytes a window at @address shows, with a reference; NULL: there is none. @inode: of what is mapped there, since whoever
 * was left a window with an adopted range may have unmapped it. @ret_offset: of the address in it.
 */
struct pager *windows_find(uintptr_t address, uint64_t inode, uint64_t *ret_offset);

/* In a child of fork. */
void windows_reset(void);

/* Forget windows that were left with an adopted range, and unmapped by whoever it was left to. */
void windows_forget(struct pager *pager);
void pagers_reset(void);

#endif
