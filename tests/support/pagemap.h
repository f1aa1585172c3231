/* SPDX-License-Identifier: MIT */
/* What the kernel says of the pages of this process (/proc/self/pagemap). */
#ifndef SUPPORT_PAGEMAP_H
#define SUPPORT_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the page is in the page tables. Ends the process if the kernel does not tell. */
bool page_is_present(const void *address);

/* Whether all pages of [address, address + length) are. */
bool pages_are_present(const void *address, uint64_t length);

/* The frame number of a present page; 0: hidden, or not present. */
uint64_t page_frame(const void *address);

#endif
