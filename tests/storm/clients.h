/* SPDX-License-Identifier: MIT */
/*
 * Clients of a map with an oracle: readers that know which memory they must see, and writers whose writes are counted.
 *
 * Every word of memory i has the value pattern_word(i + 1, offset), but for the last word of each page: there writers add 1 at a
 * time. `sequence` is odd while a redirect is under way. A reader that finds it even and unchanged over a load must have
 * seen the memory that is shown; any other load may see any of them, and nothing else.
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

#define MEMORIES    4
#define MOST_CLIENTS 8

struct mr_memory;
struct clients;

struct client {
	struct clients *clients;
	struct thread thread;
	uint64_t random;
	bool writes;
	uint64_t done; /* loads, or additions */
};

struct clients {
	char *address;
	uint64_t length;
	unsigned memories; /* how many there are: seeds 1 to that */
	_Atomic uint64_t sequence;
	_Atomic unsigned shown;
	_Atomic bool stop;
	_Atomic uint64_t wrong; /* loads of what no memory has */
	_Atomic uint64_t stale; /* loads of a memory that was not shown */
	unsigned count;
	struct client all[MOST_CLIENTS];
};

/* Start so many readers and writers. Ends the test if that fails. */
void clients_start(struct clients *clients, unsigned readers, unsigned writers);

/* Stop them, join them, and return how many additions they made. */
uint64_t clients_stop(struct clients *clients);

/* Around a redirect to memory @shown. */
void clients_redirect_begins(struct clients *clients);
void clients_redirect_ended(struct clients *clients, unsigned shown);

/* The additions that memory @index, which was made with its pattern, has. */
uint64_t clients_additions(struct mr_memory *memory, unsigned index, uint64_t length);

#endif
