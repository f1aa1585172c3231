/* SPDX-License-Identifier: MIT */
/* Writes that the server has acknowledged and not flushed yet: it may lose them when it dies, so they are kept until it has. */
#ifndef KEPT_H
#define KEPT_H

#include <stdint.h>

/* In the order in which they were acknowledged. */
struct kept {
	struct kept *next;
	uint64_t number; /* goes up */
	uint64_t offset;
	uint64_t length;
	unsigned char *bytes; /* NULL: zeroes */
};

struct keeper {
	struct kept *first, **end;
	uint64_t number; /* of the last one */
	uint64_t bytes;	 /* of copies, and of what each takes beside */
};

void keeper_init(struct keeper *keeper);

/* A copy of what is about to be written; @bytes NULL: zeroes. NULL: there is no memory for it. */
struct kept *kept_new(const void *bytes, uint64_t offset, uint64_t length);
void kept_free(struct kept *kept);

/* Takes @kept. */
void keeper_add(struct keeper *keeper, struct kept *kept);

/* All up to @number have been flushed. */
void keeper_drop(struct keeper *keeper, uint64_t number);

#endif
