/* SPDX-License-Identifier: MIT */
/*
 * An export: the connections to it, lost and made anew, and what the server has not made durable yet.
 *
 * A *session* is a set of connections that were made together: several, where the server says that what is written and flushed on one
 * holds for all. When one of them is lost, the session is over: the others are broken, and all requests under way are made again in the
 * next one. So within a session the server has not died, as far as anybody can tell.
 *
 *   session      new requests              requests under way
 *   none         the first makes one       -
 *   shown        run on a connection       are answered
 *   broken       the first makes one       come back as lost, and are new requests
 *
 * A server that dies may lose what it acknowledged and had not flushed. So each such write is kept (kept.h), and a new session begins with
 * writing them all, before anything else is read or written in it. Dropped are those that were acknowledged before a flush was sent,
 * when that flush succeeds in the session that all of them have been written in: it is the one that is shown, since each session writes
 * all. A write that is acknowledged in a session that has ended meanwhile does not count, and is made again.
 *
 * A flush that fails ends the session, too: a server may have dropped what it could not make durable (a kernel does that after a failed
 * fsync), so everything kept is written again.
 *
 * More than KEPT_MOST bytes are not kept: who writes then flushes first.
 *
 * A server that offers no flush, and no way of writing durably, is taken at its word: what it acknowledges is not kept.
 */
#include "export.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kept.h"

/* So many connections, where a server allows several. */
#define CONNECTIONS 4U

#define KEPT_MOST ((uint64_t)64 << 20)

/* A request that the server fails (EIO, ENOMEM) is made again so often, after pauses that begin at FIRST_PAUSE and grow fourfold. */
#define TRIES	    5
#define FIRST_PAUSE (2 * MILLISECOND)

/* Between two attempts to connect. */
#define RECONNECT_PAUSE (20 * MILLISECOND)

struct session {
	struct connection *connections[CONNECTIONS];
	unsigned count;
	unsigned users;
	bool broken;
};

struct export
{
	char *uri;
	struct facts facts;
	pthread_mutex_t lock;	 /* of what follows; nothing is waited for under it but `changed` */
	pthread_cond_t changed;	 /* session, connecting */
	struct session *session; /* NULL, or one that is not broken */
	bool connecting;
	_Atomic uint64_t away; /* since when nothing has been answered; 0: it has */
	struct keeper keeper;
	int refusal;		  /* what the last attempt to connect came to, if it failed; */
	uint64_t refused;	  /* when it did */
	struct words words;	  /* of the last failure, */
	int failure;		  /* which is this */
	atomic_bool unsettled;	  /* what others wrote may not be flushed, or we have written what cannot be */
	pthread_mutex_t flushing; /* one flush at a time; taken before `lock` */
};

static void pause_for(uint64_t nanoseconds)
{
	struct timespec time = { .tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR)
		;
}

static void note_words(struct export *export, int result, const struct words *words)
{
	pthread_mutex_lock(&export->lock);
	export->words = *words;
	export->failure = result == CONNECTION_LOST ? -ETIMEDOUT : result;
	pthread_mutex_unlock(&export->lock);
}

void export_words(struct export *export, int result, struct words *ret_words)
{
	pthread_mutex_lock(&export->lock);
	*ret_words = result == export->failure ? export->words : (struct words){ "" };
	pthread_mutex_unlock(&export->lock);
}

/* --- sessions --- */

static void session_free(struct session *session)
{
	for (unsigned i = 0; i < session->count; i++)
		connection_close(session->connections[i]);
	free(session);
}

static int same_facts(const struct facts *was, const struct facts *is, struct words *ret_words)
{
	if (was->size != is->size) {
		snprintf(ret_words->text, sizeof(ret_words->text), "the export has had %llu bytes, and has %llu now",
			 (unsigned long long)was->size, (unsigned long long)is->size);
		return -ESTALE;
	}
	if (!was->read_only && is->read_only) {
		snprintf(ret_words->text, sizeof(ret_words->text), "the export could be written to, and is read-only now");
		return -ESTALE;
	}
	if (was->minimum < is->minimum || was->maximum > is->maximum || (was->flush && !is->flush) ||
	    (was->durable && !is->durable) || (was->zero && !is->zero)) {
		snprintf(ret_words->text, sizeof(ret_words->text),
			 "the export allows less than before: other sizes of requests, no flush, or no writing of zeroes");
		return -ESTALE;
	}
	return 0;
}

/* A connection more; the first of all says what the export is. */
static int session_connect(struct export *export, struct session *session, uint64_t deadline, struct facts *ret_facts,
			   struct words *ret_words)
{
	struct connection *connection;
	int result = connection_open(export->uri, deadline, &connection, ret_words);

	if (result)
		return result;
	result = connection_facts(connection, ret_facts, ret_words);
	if (!result && export->facts.size)
		result = same_facts(&export->facts, ret_facts, ret_words);
	if (result) {
		connection_close(connection);
		return result;
	}
	session->connections[session->count++] = connection;
	return 0;
}

/* How long a server may be silent: as long as is left, if it has been away before. */
static uint64_t patience(const struct export *export)
{
	uint64_t away = atomic_load(&export->away), now = clock_now();

	if (!away)
		return EXPORT_PATIENCE;
	return away + EXPORT_AWAY > now + EXPORT_ATTEMPT ? away + EXPORT_AWAY - now : EXPORT_ATTEMPT;
}

static bool passing(int result)
{
	return result == -EIO || result == -ENOMEM || result == -EAGAIN || result == -EINTR;
}

/* A request that has failed @failed times, for now with @result: whether to make it again; if so, when this returns. */
static bool after_pause(int result, unsigned failed)
{
	if (!passing(result) || failed >= TRIES)
		return false;
	pause_for(FIRST_PAUSE << (2 * (failed - 1)));
	return true;
}

static int replay(struct export *export, struct session *session, const struct request *request, struct words *ret_words)
{
	unsigned failed = 0;
	int result;

	do
		result = connection_run(session->connections[0], request, patience(export), ret_words);
	while (result && after_pause(result, ++failed));
	return result == CONNECTION_LOST ? -ECONNRESET : result;
}

/* Write what is kept. Nobody else has the session yet, and nobody adds to what is kept while there is none. */
static int session_replay(struct export *export, struct session *session, struct words *ret_words)
{
	for (const struct kept *kept = export->keeper.first; kept; kept = kept->next) {
		struct request request = {
			.kind = kept->bytes ? REQUEST_WRITE : REQUEST_ZERO,
			.buffer = kept->bytes,
			.offset = kept->offset,
			.length = kept->length,
		};
		int result = replay(export, session, &request, ret_words);

		if (result)
			return result;
	}
	return 0;
}

static int session_new(struct export *export, uint64_t deadline, struct session **ret_session, struct words *ret_words)
{
	struct session *session = calloc(1, sizeof(*session));
	struct facts facts, other;
	int result;

	snprintf(ret_words->text, sizeof(ret_words->text), "%s", strerror(ENOMEM));
	if (!session)
		return -ENOMEM;
	result = session_connect(export, session, deadline, &facts, ret_words);
	if (!result && !export->facts.size)
		export->facts = facts;
	/* The server may want no more of them than it has; each one must show the same export. */
	while (!result && facts.several && session->count < CONNECTIONS) {
		result = session_connect(export, session, deadline, &other, ret_words);
		if (result && result != -ESTALE) {
			result = 0;
			break;
		}
	}
	if (!result)
		result = session_replay(export, session, ret_words);
	if (result) {
		session_free(session);
		return result;
	}
	*ret_session = session;
	return 0;
}

static void went_away(struct export *export)
{
	uint64_t never = 0;

	atomic_compare_exchange_strong(&export->away, &never, clock_now());
}

/* Make the session that is missing. Under the lock, which is let go meanwhile. */
static int renew(struct export *export)
{
	uint64_t limit = patience(export);
	struct session *session = NULL;
	struct words words;
	int result;

	export->connecting = true;
	pthread_mutex_unlock(&export->lock);
	result = session_new(export, clock_now() + limit, &session, &words);
	pthread_mutex_lock(&export->lock);
	export->connecting = false;
	if (result) {
		went_away(export);
		export->words = words;
		export->failure = export->refusal = result;
		export->refused = clock_now();
	} else {
		export->session = session;
	}
	pthread_cond_broadcast(&export->changed);
	return result;
}

/* Whether a server that does not answer has had its time. */
static bool overdue(const struct export *export)
{
	uint64_t away = atomic_load(&export->away);

	return away && clock_now() > away + EXPORT_AWAY;
}

static void wait_for_change(struct export *export, uint64_t until)
{
	struct timespec time = { .tv_sec = (time_t)(until / SECOND), .tv_nsec = (long)(until % SECOND) };

	pthread_cond_clockwait(&export->changed, &export->lock, CLOCK_MONOTONIC, &time);
}

/* The session, made if need be, used until session_put. */
static int session_get(struct export *export, struct session **ret_session)
{
	int result = 0;

	pthread_mutex_lock(&export->lock);
	while (!export->session) {
		if (export->connecting) {
			pthread_cond_wait(&export->changed, &export->lock);
			/* Who makes it has tried for all who wait. */
			if (export->session || export->connecting || !overdue(export))
				continue;
			result = export->refusal ? export->refusal : -ETIMEDOUT;
			break;
		}
		/* One attempt at a time, however many wait. */
		if (clock_now() < export->refused + RECONNECT_PAUSE) {
			wait_for_change(export, export->refused + RECONNECT_PAUSE);
			continue;
		}
		result = renew(export);
		if (result && (overdue(export) || result == -ENOMEM))
			break;
	}
	if (export->session) {
		result = 0;
		*ret_session = export->session;
		export->session->users++;
	}
	pthread_mutex_unlock(&export->lock);
	return result;
}

static void session_put(struct export *export, struct session *session)
{
	bool last;

	pthread_mutex_lock(&export->lock);
	last = !--session->users && session->broken;
	pthread_mutex_unlock(&export->lock);
	if (last)
		session_free(session);
}

/* One of its connections has been lost, or a flush has failed. */
static void session_break(struct export *export, struct session *session)
{
	bool first;

	pthread_mutex_lock(&export->lock);
	first = !session->broken;
	session->broken = true;
	if (first)
		export->session = NULL;
	pthread_mutex_unlock(&export->lock);
	went_away(export);
	for (unsigned i = 0; first && i < session->count; i++)
		connection_break(session->connections[i]);
}

/* The one that has least to do. */
static struct connection *choose(struct session *session)
{
	struct connection *least = session->connections[0];
	unsigned load = connection_load(least);

	for (unsigned i = 1; load && i < session->count; i++) {
		unsigned other = connection_load(session->connections[i]);

		if (other < load) {
			load = other;
			least = session->connections[i];
		}
	}
	return least;
}

/* --- requests --- */

/* Once, in this session. Return: as connection_run. */
static int run_once(struct export *export, struct session *session, const struct request *request)
{
	struct words words;
	int result = connection_run(choose(session), request, patience(export), &words);

	/* A server that is about to end says so, and may be followed by another. */
	if (result == -ESHUTDOWN)
		result = CONNECTION_LOST;
	if (result)
		note_words(export, result, &words);
	if (result == CONNECTION_LOST)
		session_break(export, session);
	else if (atomic_load(&export->away))
		atomic_store(&export->away, 0);
	return result;
}

/* What has been acknowledged counts if the session stands still: then the next one will write it again. */
static bool keep(struct export *export, struct session *session, struct kept *kept)
{
	bool stands;

	pthread_mutex_lock(&export->lock);
	stands = !session->broken;
	if (stands)
		keeper_add(&export->keeper, kept);
	pthread_mutex_unlock(&export->lock);
	return stands;
}

/* What a request has been through. */
struct history {
	uint64_t began;
	unsigned failed;
};

/* Whether it is to be made again after @result; if so, when this returns. */
static bool again(struct export *export, struct history *history, int result)
{
	if (result == CONNECTION_LOST)
		return !overdue(export) && clock_now() < history->began + EXPORT_PATIENCE + EXPORT_AWAY;
	return after_pause(result, ++history->failed);
}

/* @kept: NULL, or what is added to what is kept when it is done. */
static int run(struct export *export, const struct request *request, struct kept *kept)
{
	struct history history = { .began = clock_now() };
	struct session *session = NULL;
	int result;

	do {
		result = session_get(export, &session);
		if (result)
			return result;
		result = run_once(export, session, request);
		if (!result && kept && !keep(export, session, kept))
			result = CONNECTION_LOST;
		session_put(export, session);
	} while (result && again(export, &history, result));
	return result == CONNECTION_LOST ? -ETIMEDOUT : result;
}

static bool writes(const struct request *request)
{
	return request->kind == REQUEST_WRITE || request->kind == REQUEST_ZERO;
}

static bool keeps_too_much(struct export *export)
{
	bool much;

	pthread_mutex_lock(&export->lock);
	much = export->keeper.bytes > KEPT_MOST;
	pthread_mutex_unlock(&export->lock);
	return much;
}

static int run_kept(struct export *export, const struct request *request)
{
	struct kept *kept;
	int result;

	if (keeps_too_much(export)) {
		result = export_flush(export);
		if (result)
			return result;
	}
	kept = kept_new(request->kind == REQUEST_ZERO ? NULL : request->buffer, request->offset, request->length);
	if (!kept)
		return -ENOMEM;
	result = run(export, request, kept);
	if (result)
		kept_free(kept);
	return result;
}

int export_run(struct export *export, const struct request *request)
{
	struct request durable = *request;

	if (!writes(request))
		return run(export, request, NULL);
	if (export->facts.flush)
		return run_kept(export, request);
	durable.durable = export->facts.durable;
	if (!export->facts.durable)
		atomic_store(&export->unsettled, true);
	return run(export, &durable, NULL);
}

/* --- flushing --- */

/* All that is kept now. */
static uint64_t kept_now(struct export *export, bool *ret_any)
{
	uint64_t number;

	pthread_mutex_lock(&export->lock);
	number = export->keeper.number;
	*ret_any = export->keeper.first;
	pthread_mutex_unlock(&export->lock);
	return number;
}

/* Return: 0, or CONNECTION_LOST, since the session is over and the flush has said nothing about what has been written since. */
static int drop(struct export *export, struct session *session, uint64_t number)
{
	int result = 0;

	pthread_mutex_lock(&export->lock);
	if (session->broken)
		result = CONNECTION_LOST;
	else
		keeper_drop(&export->keeper, number);
	pthread_mutex_unlock(&export->lock);
	return result;
}

static int flush_once(struct export *export)
{
	static const struct request request = { .kind = REQUEST_FLUSH };
	struct session *session = NULL;
	uint64_t number;
	bool any;
	int result;

	kept_now(export, &any);
	if (!any)
		return 0;
	result = session_get(export, &session);
	if (result)
		return result;
	number = kept_now(export, &any);
	if (any)
		result = run_once(export, session, &request);
	if (!result)
		result = drop(export, session, number);
	else if (result != CONNECTION_LOST)
		session_break(export, session);
	session_put(export, session);
	return result;
}

int export_flush(struct export *export)
{
	struct history history = { .began = clock_now() };
	int result;

	if (!export->facts.flush)
		return 0;
	pthread_mutex_lock(&export->flushing);
	do
		result = flush_once(export);
	while (result && again(export, &history, result));
	pthread_mutex_unlock(&export->flushing);
	return result == CONNECTION_LOST ? -ETIMEDOUT : result;
}

bool export_is_settled(struct export *export)
{
	static const struct request request = { .kind = REQUEST_FLUSH };
	bool any;

	kept_now(export, &any);
	if (any)
		return false;
	if (!atomic_load(&export->unsettled))
		return true;
	if (!export->facts.flush || run(export, &request, NULL))
		return false;
	atomic_store(&export->unsettled, false);
	return true;
}

/* --- the export --- */

const struct facts *export_facts(const struct export *export)
{
	return &export->facts;
}

int export_open(const char *uri, struct export **ret_export, struct words *ret_words)
{
	struct export *export = calloc(1, sizeof(*export));
	int result = -ENOMEM;

	snprintf(ret_words->text, sizeof(ret_words->text), "%s", strerror(ENOMEM));
	if (!export)
		return result;
	keeper_init(&export->keeper);
	atomic_init(&export->unsettled, true);
	pthread_mutex_init(&export->lock, NULL);
	pthread_mutex_init(&export->flushing, NULL);
	pthread_cond_init(&export->changed, NULL);
	export->uri = strdup(uri);
	if (export->uri)
		result = session_new(export, clock_now() + EXPORT_AWAY, &export->session, ret_words);
	if (result) {
		export_close(export);
		return result;
	}
	if (!export->facts.flush)
		atomic_store(&export->unsettled, false);
	*ret_export = export;
	return 0;
}

void export_close(struct export *export)
{
	if (export->session)
		session_free(export->session);
	keeper_drop(&export->keeper, UINT64_MAX);
	pthread_cond_destroy(&export->changed);
	pthread_mutex_destroy(&export->flushing);
	pthread_mutex_destroy(&export->lock);
	free(export->uri);
	free(export);
}
