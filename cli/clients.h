/* SPDX-License-Identifier: MIT */
/*
 * The clients: threads that access one range of memory in a tight loop, with a gauge each. A client that meets SIGSEGV or SIGBUS
 * counts an error and goes on.
 */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gauge.h"

struct client {
	pthread_t thread;
	unsigned index;
	struct clients *clients;
	struct gauge gauge;
	uint64_t random;
	_Atomic uint64_t bytes;	 /* checked */
	_Atomic uint64_t writes; /* done */
	_Atomic uint64_t errors;
	sigjmp_buf fault;
};

struct clients {
	unsigned count;
	struct client *all;
	void (*step)(struct client *client, void *argument); /* one access */
	void *argument;
	_Atomic bool stop;
};

/* Start @count of them. False: not all could be started (those that were are stopped again). */
bool clients_start(struct clients *clients, unsigned count, void (*step)(struct client *client, void *argument),
		   void *argument);

/* Wait until each has made another access. False: one has not within the time that any stall may take; it hangs. */
bool clients_go_on(struct clients *clients);

/* The longest gap of any since the last time. */
uint64_t clients_take(struct clients *clients);

/* Stop and join them, and free what is there but for the counts. False: one hangs. */
bool clients_stop(struct clients *clients);

uint64_t clients_bytes(const struct clients *clients);
uint64_t clients_writes(const struct clients *clients);
uint64_t clients_errors(const struct clients *clients);
void clients_free(struct clients *clients);

/* Count an error of this client's, and print the first ones. */
void client_error(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
