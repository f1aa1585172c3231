/* SPDX-License-Identifier: MIT */
/* A connection: one handle of libnbd's, with many requests of many threads under way. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_kind { REQUEST_READ, REQUEST_WRITE, REQUEST_ZERO, REQUEST_FLUSH, REQUEST_EXTENTS };

struct request {
	enum request_kind kind;
	bool durable; /* a write that is to be durable when it is answered (FUA) */
	void *buffer; /* of a read or a write */
	uint64_t offset;
	uint64_t length;
	int (*extent)(void *arg, uint64_t offset, uint64_t length,
		      bool zero); /* of REQUEST_EXTENTS, in order; not 0: no more */
	void *extent_arg;
};

/* What a server says of an export when a connection is made. */
struct facts {
	uint64_t size;
	uint64_t minimum;   /* each request is a multiple of this */
	uint64_t preferred; /* 0: it does not say */
	uint64_t maximum;   /* of a read or a write */
	bool read_only;
	bool flush;
	bool durable; /* FUA */
	bool zero;
	bool extents;
	bool several; /* connections at once */
};

/* Why something failed, in libnbd's words. */
struct words {
	char text[256];
};

/* What connection_run returns when the connection has been lost: the request has to be made again, on another one. */
#define CONNECTION_LOST 1

struct connection;

/*
 * Connect, or give up at @deadline (nanoseconds of the monotonic clock): -ETIMEDOUT; else what libnbd says: -EINVAL a URI that is none,
 * -ECONNREFUSED, -ENOENT no such socket or export …
 */
int connection_open(const char *uri, uint64_t deadline, struct connection **ret_connection, struct words *ret_words);

/* Nobody may be using it any more. */
void connection_close(struct connection *connection);

int connection_facts(struct connection *connection, struct facts *ret_facts, struct words *ret_words);

/*
 * Make a request and wait for the answer. When nothing at all is heard from the server for @patience nanoseconds, or somebody breaks the
 * connection, it is lost. When this returns, nobody uses the buffer any more.
 *
 * Return: 0; a negative errno, the server's answer; CONNECTION_LOST.
 */
int connection_run(struct connection *connection, const struct request *request, uint64_t patience, struct words *ret_words);

/* All who wait for an answer get CONNECTION_LOST, now and from now on. */
void connection_break(struct connection *connection);

/* How many requests are under way. */
unsigned connection_load(struct connection *connection);

/* Nanoseconds of the monotonic clock. */
uint64_t clock_now(void);

#define MILLISECOND ((uint64_t)1000000)
#define SECOND	    (1000 * MILLISECOND)

#endif
