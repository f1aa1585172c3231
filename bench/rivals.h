/* SPDX-License-Identifier: MIT */
/* Copies of memory that others write to, as they are made without this library. */
#ifndef RIVALS_H
#define RIVALS_H

#include <stdbool.h>
#include <stddef.h>

/* A child of fork(2) copies its memory to @to, which it shares. @from is private memory. */
void copy_by_fork(char *to, const char *from, size_t length);

/*
 * All pages of @from, private memory, are write-protected by a userfaultfd; a thread copies each page of 4 KiB that somebody wants to
 * write to, and lets it go, while the caller copies the others in order. False: there is no such userfaultfd here.
 */
bool copy_by_page_faults(char *to, char *from, size_t length);

#endif
