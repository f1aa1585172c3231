/* SPDX-License-Identifier: MIT */
/* What a pager reads and writes, as requests to an export. */
#ifndef PAGES_H
#define PAGES_H

#include <stdint.h>

struct export;
struct pages;

/* Takes @export. NULL: there is no memory for it. */
struct pages *pages_new(struct export *export);

/* With the export. */
void pages_free(struct pages *pages);

/* Callbacks of a struct mr_pager; @pages is a struct pages. */
int pages_read(void *pages, uint64_t offset, void *buffer, uint64_t length);
int pages_write(void *pages, uint64_t offset, const void *buffer, uint64_t length);
int pages_flush(void *pages);
void pages_release(void *pages);

#endif
