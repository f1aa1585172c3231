/* SPDX-License-Identifier: MIT */
/* An export: the connections to it, lost and made anew, and what the server has not made durable yet. */
#ifndef EXPORT_H
#define EXPORT_H

#include "connection.h"

struct export;

/*
 * The bounds, in nanoseconds.
 *
 * A server that owes an answer and says nothing for EXPORT_PATIENCE is taken for lost. A lost server may come back for EXPORT_AWAY; who
 * waits for it until then fails after that, and who comes later fails at the first attempt, EXPORT_ATTEMPT at most.
 */
#define EXPORT_PATIENCE (20 * SECOND)
#define EXPORT_AWAY	(10 * SECOND)
#define EXPORT_ATTEMPT	(1 * SECOND)

/* Connect, for the first time. */
int export_open(const char *uri, struct export **ret_export, struct words *ret_words);

/* Nobody may be using it any more. */
void export_close(struct export *export);

const struct facts *export_facts(const struct export *export);

/*
 * Make a request, on whichever connection, as often as connections are lost or the server fails in passing, within the bounds. Not for
 * REQUEST_FLUSH. A write that is acknowledged is kept, and written anew on further connections, until it is known to be durable.
 *
 * Return: 0; the server's answer; what prevents a connection (-ECONNREFUSED …); -ETIMEDOUT the server does not answer; -ESTALE the export
 * is not what it was; -ENOMEM.
 */
int export_run(struct export *export, const struct request *request);

/* Make durable what has been acknowledged. As above. */
int export_flush(struct export *export);

/*
 * Whether what the server says of holes can be believed. There are servers (nbdkit with a cache that writes back) that know of no write in that
 * before it has been flushed: so nothing of ours may be unflushed, and the first call flushes what others have left.
 */
bool export_is_settled(struct export *export);

/* Why a request failed just now with @result, in words; "" if they are not known. */
void export_words(struct export *export, int result, struct words *ret_words);

#endif
