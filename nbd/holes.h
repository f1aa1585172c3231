/* SPDX-License-Identifier: MIT */
/*
 * Ranges of the export that the server has said to be zeroes, so that they need not be read.
 *
 * The server is asked when a read has brought nothing but zeroes, and is believed for a second: somebody else may write to the export,
 * too. What this memory writes is taken out at once; an answer to a question that a write has overtaken is dropped.
 */
#ifndef HOLES_H
#define HOLES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define HOLES 64

struct hole {
	uint64_t start;
	uint64_t end;
	uint64_t until; /* when it is forgotten */
};

struct holes {
	pthread_mutex_t lock; /* of all; nothing else is locked under it */
	struct hole holes[HOLES];
	unsigned count;
	unsigned next;	  /* to be overwritten, if all are taken */
	unsigned writing; /* writes under way */
	uint64_t writes;  /* so many have begun */
	unsigned futile;  /* answers in a row that named no hole */
	unsigned to_skip; /* occasions to ask that are let go by after those */
};

/* A question under way. */
struct question {
	struct holes *holes;
	uint64_t writes;
	uint64_t align;
	bool found;
};

void holes_init(struct holes *holes);
void holes_destroy(struct holes *holes);

/*
 * How much from @offset, of @length, is of one sort: zeroes (*@ret_zero), or not known to be.
 */
uint64_t holes_look(struct holes *holes, uint64_t offset, uint64_t length, bool *ret_zero);

/* About to write there; and done, whatever came of it. */
void holes_write_begin(struct holes *holes, uint64_t offset, uint64_t length);
void holes_write_end(struct holes *holes);

/* Whether it is time to ask the server. If so, the answer goes to holes_learn, extent by extent, and then to holes_answered. */
bool holes_ask(struct holes *holes, uint64_t align, struct question *ret_question);
int holes_learn(void *question, uint64_t offset, uint64_t length, bool zero);
void holes_answered(struct question *question);

#endif
