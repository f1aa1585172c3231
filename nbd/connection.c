/* SPDX-License-Identifier: MIT */
/*
 * A connection: one handle of libnbd's, with many requests of many threads under way.
 *
 * There is no thread for it. Of those who wait for an answer on a connection one leads: it polls the socket, and has libnbd take in
 * what comes, for itself and for the others. When its own answer is there, it hands the lead to somebody who still waits. A thread that is alone
 * on a connection therefore does what a blocking read would do, and no more: nobody is woken but by the socket.
 *
 *   submit      libnbd sends what the socket takes at once, in the submitter's thread; if something is left, the leader, who may be
 *               polling for input alone, is kicked (an eventfd)
 *   lead        poll, nbd_aio_notify_…; answers come as callbacks, in which the waiting thread is signalled
 *   break       kick; the leader stops leading. When nobody leads and nobody submits, libnbd does nothing any more, and those who wait take
 *               their buffers back. libnbd may yet call back, when it is closed: what it calls back for is freed after that
 *
 * Locks: libnbd calls back with the handle's lock held, and the callback takes `lock`. So `lock` is never held over a call of libnbd's.
 */
#include "connection.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* The largest read or write, where the server does not say. */
#define MAXIMUM ((uint64_t)32 << 20)

/* A request that waits for its answer, or has been given up with its connection. */
struct waiter {
	struct waiter *next, **link;
	struct waiter *next_lost;
	pthread_cond_t wake;
	atomic_bool answered;
	int error;
	uint64_t due, came; /* bytes of a read */
	struct connection *connection;
	const struct request *request;
};

struct connection {
	struct nbd_handle *nbd;
	int kick;
	pthread_mutex_t lock; /* of what follows */
	struct waiter *waiters;
	struct waiter *lost; /* given up, and known to libnbd */
	unsigned load;
	unsigned submitting;
	bool led;
	atomic_bool broken;
	_Atomic uint64_t heard; /* when something last came from the server, or nothing was to come */
};

uint64_t clock_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* libnbd's last failure in this thread; @otherwise, if it has no number for it. */
static int failure(int otherwise, struct words *ret_words)
{
	int number = nbd_get_errno();
	const char *text = nbd_get_error();

	snprintf(ret_words->text, sizeof(ret_words->text), "%s", text ? text : strerror(number ? number : otherwise));
	return -(number ? number : otherwise);
}

/* Poll for what libnbd waits for, until @deadline, and let it go on. Return: 0, 1 it is past the deadline, or -1 as libnbd. */
static int step(struct connection *connection, uint64_t deadline)
{
	unsigned direction = nbd_aio_get_direction(connection->nbd);
	struct pollfd polled[2] = {
		{ .fd = nbd_aio_get_fd(connection->nbd) },
		{ .fd = connection->kick, .events = POLLIN },
	};
	uint64_t now = clock_now(), left = deadline > now ? deadline - now : 0, kicks;
	struct timespec time = { .tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND) };
	int ready;

	if (direction & LIBNBD_AIO_DIRECTION_READ)
		polled[0].events |= POLLIN;
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		polled[0].events |= POLLOUT;
	ready = ppoll(polled, 2, &time, NULL);
	if (ready < 0)
		return errno == EINTR || errno == EAGAIN || errno == ENOMEM ? 0 : -1;
	if (!ready)
		return 1;
	if (polled[1].revents && read(connection->kick, &kicks, sizeof(kicks)) < 0 && errno != EAGAIN)
		return -1;
	if (!polled[0].revents)
		return 0;
	atomic_store(&connection->heard, clock_now());
	/* An end or an error of the socket is found by reading, or by writing where libnbd waits to write alone. */
	if (direction & LIBNBD_AIO_DIRECTION_READ && polled[0].revents & (POLLIN | POLLHUP | POLLERR))
		return nbd_aio_notify_read(connection->nbd);
	return nbd_aio_notify_write(connection->nbd);
}

static int connect_by(struct connection *connection, const char *uri, uint64_t deadline, struct words *ret_words)
{
	int stepped;

	if (nbd_aio_connect_uri(connection->nbd, uri))
		return failure(EHOSTUNREACH, ret_words);
	while (!nbd_aio_is_ready(connection->nbd)) {
		if (nbd_aio_is_dead(connection->nbd) || nbd_aio_is_closed(connection->nbd)) {
			snprintf(ret_words->text, sizeof(ret_words->text), "the server ended the connection");
			return -ECONNRESET;
		}
		stepped = step(connection, deadline);
		if (stepped < 0)
			return failure(EPROTO, ret_words);
		if (stepped) {
			snprintf(ret_words->text, sizeof(ret_words->text), "the server does not answer");
			return -ETIMEDOUT;
		}
	}
	return 0;
}

/* The library prints nothing; what libnbd prints of LIBNBD_DEBUG while it makes a handle is all. */
static int prepare(struct nbd_handle *nbd)
{
	return nbd_set_debug(nbd, false) || nbd_set_pread_initialize(nbd, false) || nbd_set_uri_allow_local_file(nbd, true) ||
			       nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION)
		       ? -1
		       : 0;
}

int connection_open(const char *uri, uint64_t deadline, struct connection **ret_connection, struct words *ret_words)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int result = -ENOMEM;

	snprintf(ret_words->text, sizeof(ret_words->text), "%s", strerror(ENOMEM));
	if (!connection)
		return result;
	pthread_mutex_init(&connection->lock, NULL);
	connection->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (connection->kick < 0) {
		result = -errno;
		snprintf(ret_words->text, sizeof(ret_words->text), "eventfd: %s", strerror(-result));
		goto free_connection;
	}
	connection->nbd = nbd_create();
	result = connection->nbd && !prepare(connection->nbd) ? 0 : failure(ENOMEM, ret_words);
	if (!result)
		result = connect_by(connection, uri, deadline, ret_words);
	if (result)
		goto close_nbd;
	*ret_connection = connection;
	return 0;

close_nbd:
	nbd_close(connection->nbd);
	close(connection->kick);
free_connection:
	pthread_mutex_destroy(&connection->lock);
	free(connection);
	return result;
}

static void waiter_free(struct waiter *waiter)
{
	pthread_cond_destroy(&waiter->wake);
	free(waiter);
}

void connection_close(struct connection *connection)
{
	if (nbd_aio_is_ready(connection->nbd))
		nbd_aio_disconnect(connection->nbd, 0);
	nbd_close(connection->nbd);
	for (struct waiter *waiter = connection->lost, *next; waiter; waiter = next) {
		next = waiter->next_lost;
		waiter_free(waiter);
	}
	close(connection->kick);
	pthread_mutex_destroy(&connection->lock);
	free(connection);
}

/* A power of two, or 0: it is not given. */
static int block_size(struct connection *connection, int which, uint64_t *ret_size, struct words *ret_words)
{
	int64_t size = nbd_get_block_size(connection->nbd, which);

	if (size < 0)
		return failure(EPROTO, ret_words);
	*ret_size = (uint64_t)size;
	return 0;
}

static bool offers(int answer)
{
	return answer == 1;
}

int connection_facts(struct connection *connection, struct facts *ret_facts, struct words *ret_words)
{
	struct nbd_handle *nbd = connection->nbd;
	int64_t size = nbd_get_size(nbd);
	struct facts facts = {
		.size = (uint64_t)size,
		.read_only = offers(nbd_is_read_only(nbd)),
		.flush = offers(nbd_can_flush(nbd)),
		.durable = offers(nbd_can_fua(nbd)),
		.zero = offers(nbd_can_zero(nbd)),
		.extents = offers(nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION)),
		.several = offers(nbd_can_multi_conn(nbd)),
	};
	int result;

	if (size < 0)
		return failure(EOVERFLOW, ret_words);
	result = block_size(connection, LIBNBD_SIZE_MINIMUM, &facts.minimum, ret_words);
	if (!result)
		result = block_size(connection, LIBNBD_SIZE_PREFERRED, &facts.preferred, ret_words);
	if (!result)
		result = block_size(connection, LIBNBD_SIZE_MAXIMUM, &facts.maximum, ret_words);
	if (result)
		return result;
	facts.minimum = facts.minimum ? facts.minimum : 1;
	/* libnbd takes 64 MiB at most, whatever the server says. */
	facts.maximum = facts.maximum && facts.maximum < MAXIMUM ? facts.maximum / facts.minimum * facts.minimum : MAXIMUM;
	*ret_facts = facts;
	return 0;
}

/* In the thread of whoever leads or submits, the handle locked. */
static int answered(void *arg, int *error)
{
	struct waiter *waiter = arg;
	struct connection *connection = waiter->connection;

	pthread_mutex_lock(&connection->lock);
	waiter->error = *error;
	/* libnbd counts no chunks: what does not come would be what the buffer had. */
	if (!*error && waiter->came != waiter->due)
		waiter->error = EPROTO;
	atomic_store(&waiter->answered, true);
	pthread_cond_signal(&waiter->wake);
	pthread_mutex_unlock(&connection->lock);
	return 1;
}

static int count_chunk(void *arg, const void *bytes, size_t count, uint64_t offset, unsigned status, int *error)
{
	struct waiter *waiter = arg;

	(void)bytes;
	(void)offset;
	(void)error;
	waiter->came += status == LIBNBD_READ_ERROR ? 0 : count;
	return 0;
}

/* Extents come in pairs of a length and flags, from the offset that was asked for. */
static int take_extents(void *arg, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
	const struct waiter *waiter = arg;
	const struct request *request = waiter->request;

	if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || *error)
		return 0;
	for (size_t i = 0; i + 1 < count; i += 2) {
		if (request->extent(request->extent_arg, offset, entries[i], entries[i + 1] & LIBNBD_STATE_ZERO))
			break;
		offset += entries[i];
	}
	return 0;
}

static int64_t issue(struct connection *connection, const struct request *request, struct waiter *waiter)
{
	struct nbd_handle *nbd = connection->nbd;
	nbd_completion_callback done = { .callback = answered, .user_data = waiter };
	uint32_t flags = request->durable ? LIBNBD_CMD_FLAG_FUA : 0;

	switch (request->kind) {
	case REQUEST_READ:
		waiter->due = request->length;
		return nbd_aio_pread_structured(nbd, request->buffer, request->length, request->offset,
						(nbd_chunk_callback){ .callback = count_chunk, .user_data = waiter }, done, 0);
	case REQUEST_WRITE:
		return nbd_aio_pwrite(nbd, request->buffer, request->length, request->offset, done, flags);
	case REQUEST_ZERO:
		return nbd_aio_zero(nbd, request->length, request->offset, done, flags);
	case REQUEST_FLUSH:
		return nbd_aio_flush(nbd, done, 0);
	default:
		return nbd_aio_block_status(nbd, request->length, request->offset,
					    (nbd_extent_callback){ .callback = take_extents, .user_data = waiter }, done, 0);
	}
}

static void kick(struct connection *connection)
{
	static const uint64_t one = 1;

	/* It fails if the counter is full, and then the leader has been kicked. */
	if (write(connection->kick, &one, sizeof(one)) < 0)
		return;
}

/* Be the one who listens, until the own answer is there or the connection is lost. */
static void lead(struct connection *connection, struct waiter *waiter, uint64_t patience)
{
	while (!atomic_load(&waiter->answered) && !atomic_load(&connection->broken)) {
		if (step(connection, atomic_load(&connection->heard) + patience)) {
			atomic_store(&connection->broken, true);
			return;
		}
	}
}

/* Somebody who waits while nobody leads is woken, to lead. Under the lock. */
static void hand_on(struct connection *connection)
{
	if (!connection->led && connection->waiters)
		pthread_cond_signal(&connection->waiters->wake);
}

/* All find that the connection is lost. Under the lock. */
static void tell_all(struct connection *connection)
{
	for (struct waiter *waiter = connection->waiters; waiter; waiter = waiter->next)
		pthread_cond_signal(&waiter->wake);
}

/* Whether somebody has libnbd at work, which may be in the middle of anybody's buffer. Under the lock. */
static bool at_work(const struct connection *connection)
{
	return connection->led || connection->submitting;
}

/* Under the lock. */
static void await(struct connection *connection, struct waiter *waiter, uint64_t patience)
{
	while (!atomic_load(&waiter->answered) && (at_work(connection) || !atomic_load(&connection->broken))) {
		if (connection->led || atomic_load(&connection->broken)) {
			pthread_cond_wait(&waiter->wake, &connection->lock);
			continue;
		}
		connection->led = true;
		pthread_mutex_unlock(&connection->lock);
		lead(connection, waiter, patience);
		pthread_mutex_lock(&connection->lock);
		connection->led = false;
		if (atomic_load(&connection->broken))
			tell_all(connection);
	}
}

/* False: the connection is lost. */
static bool enter(struct connection *connection, struct waiter *waiter)
{
	bool entered;

	pthread_mutex_lock(&connection->lock);
	entered = !atomic_load(&connection->broken);
	if (entered) {
		if (!connection->load++)
			atomic_store(&connection->heard, clock_now());
		connection->submitting++;
		waiter->next = connection->waiters;
		waiter->link = &connection->waiters;
		if (waiter->next)
			waiter->next->link = &waiter->next;
		connection->waiters = waiter;
	}
	pthread_mutex_unlock(&connection->lock);
	return entered;
}

/* Under the lock. */
static void leave(struct connection *connection, struct waiter *waiter)
{
	connection->load--;
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	hand_on(connection);
}

/* Send it off. Return, with the lock held: 0, an error, or CONNECTION_LOST. */
static int submit(struct connection *connection, const struct request *request, struct waiter *waiter, struct words *ret_words)
{
	int result = issue(connection, request, waiter) < 0 ? failure(EIO, ret_words) : 0;

	if (result == -ENOTCONN || nbd_aio_is_dead(connection->nbd) || nbd_aio_is_closed(connection->nbd)) {
		connection_break(connection);
		result = result ? CONNECTION_LOST : 0;
	} else if (nbd_aio_get_direction(connection->nbd) & LIBNBD_AIO_DIRECTION_WRITE) {
		kick(connection);
	}
	pthread_mutex_lock(&connection->lock);
	connection->submitting--;
	if (atomic_load(&connection->broken))
		tell_all(connection);
	return result;
}

static const char lost[] = "the connection was lost, or the server does not answer";

static int outcome(const struct waiter *waiter, struct words *ret_words)
{
	if (!atomic_load(&waiter->answered) || waiter->error == ENOTCONN) {
		snprintf(ret_words->text, sizeof(ret_words->text), "%s", lost);
		return CONNECTION_LOST;
	}
	if (!waiter->error)
		return 0;
	snprintf(ret_words->text, sizeof(ret_words->text), "the server answers: %s", strerror(waiter->error));
	return -waiter->error;
}

int connection_run(struct connection *connection, const struct request *request, uint64_t patience, struct words *ret_words)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	bool known; /* to libnbd */
	int result;

	snprintf(ret_words->text, sizeof(ret_words->text), "%s", strerror(ENOMEM));
	if (!waiter)
		return -ENOMEM;
	waiter->connection = connection;
	waiter->request = request;
	pthread_cond_init(&waiter->wake, NULL);
	if (!enter(connection, waiter)) {
		snprintf(ret_words->text, sizeof(ret_words->text), "%s", lost);
		waiter_free(waiter);
		return CONNECTION_LOST;
	}
	result = submit(connection, request, waiter, ret_words);
	known = !result;
	if (known) {
		await(connection, waiter, patience);
		result = outcome(waiter, ret_words);
	}
	leave(connection, waiter);
	known = known && !atomic_load(&waiter->answered);
	if (known) {
		waiter->next_lost = connection->lost;
		connection->lost = waiter;
	}
	pthread_mutex_unlock(&connection->lock);
	if (result == CONNECTION_LOST)
		connection_break(connection);
	if (!known)
		waiter_free(waiter);
	return result;
}

void connection_break(struct connection *connection)
{
	pthread_mutex_lock(&connection->lock);
	atomic_store(&connection->broken, true);
	tell_all(connection);
	pthread_mutex_unlock(&connection->lock);
	kick(connection);
}

unsigned connection_load(struct connection *connection)
{
	unsigned load;

	pthread_mutex_lock(&connection->lock);
	load = connection->load;
	pthread_mutex_unlock(&connection->lock);
	return load;
}
