/* SPDX-License-Identifier: MIT */
/*
 * What a process holds: mappings, descriptors, threads. Taken before and after something that must leave no trace.
 *
 * The heap and the stack may grow at any time and are left out; under a sanitizer so is anonymous private memory, of which its
 * run-time library takes and gives back pieces as it likes.
 */
#ifndef SUPPORT_LEAK_H
#define SUPPORT_LEAK_H

#include <stdbool.h>
#include <stddef.h>

struct holdings {
	size_t mappings;
	size_t descriptors;
	size_t threads;
	char *table; /* the mappings, a line each, as /proc/self/maps has them */
	size_t table_length;
};

/*
 * Make the C library and memredirect take once what they keep for good (a thread's stack, for one), so that it does not look like
 * a leak later. Done once in a process, by the first caller.
 */
void holdings_settle(void);

/* Take stock. The table is kept in memory that is not among the mappings counted. */
void holdings_take(struct holdings *holdings);
void holdings_free(struct holdings *holdings);

/* Whether both are the same, and their tables too; says on standard error what is not. */
bool holdings_equal(const struct holdings *before, const struct holdings *after);

/* Whether there is no more than before. Threads and mappings that are on their way out are waited for. Frees @before. */
bool holdings_no_leak(struct holdings *before);

/* Open descriptors, but for the one that it takes to count them. */
size_t count_descriptors(void);

/* What the kernel says of the mappings in [address, address + length): a line each; the caller frees it. */
char *mapping_lines(const void *address, size_t length);

#endif
