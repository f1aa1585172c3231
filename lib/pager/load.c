/* SPDX-License-Identifier: MIT */
/*
 * Loading: what is asked for, in which order, and how far ahead.
 *
 * Loaders, several threads, take blocks from two lists: what somebody waits for, and what was read ahead of time. Blocks that follow one
 * another go in one request. Read ahead is what an access pattern in order asks for: each time that it comes to a block that was marked
 * (the trip), twice as much as before is asked for.
 */
#include <errno.h>

#include "pager/cache.h"
#include "sys/sys.h"

#define TRIES	    3
#define FIRST_WAIT  UINT64_C(10000000)
#define WAIT_FACTOR 10

/* How far to read ahead at most. */
#define AHEAD_MOST (UINT64_C(8) << 20)

bool load_has_failed(const struct pager *pager, const struct block *block)
{
	return block->state == FAILED && block->failed > pager->forgiven && sys_now() - block->failed < LOAD_REFUSED;
}

void load_urgently(struct pager *pager, uint32_t block)
{
	struct block *it = &pager->all[block];

	if (it->state == LOADING || it->state == PRESENT || it->list == URGENT)
		return;
	cache_take(pager, block);
	it->state = QUEUED;
	cache_put(pager, block, URGENT, false);
	pthread_cond_signal(&pager->wanted);
}

static void queue_ahead(struct pager *pager, uint32_t first, uint32_t end)
{
	uint32_t most = (uint32_t)(pager->request / pager->block), queued = 0;

	for (uint32_t block = first; block < end; block++) {
		struct block *it = &pager->all[block];

		if (it->state != ABSENT)
			continue;
		it->state = QUEUED;
		cache_put(pager, block, AHEAD, false);
		if (queued++ % most == 0)
			pthread_cond_signal(&pager->wanted);
	}
}

static uint32_t most_ahead(const struct pager *pager)
{
	uint32_t most = (uint32_t)(AHEAD_MOST / pager->block);

	return most < pager->most / 4 ? most : pager->most / 4;
}

/* A stream has come to @block: the further it has come in order, the more is read. */
static void go_on(struct pager *pager, struct stream *stream, uint32_t block)
{
	uint32_t most = most_ahead(pager), left = pager->blocks - block - 1, from, end;

	stream->next = block + 1;
	if (stream->ahead < stream->next)
		stream->ahead = stream->next;
	if (stream->ahead - stream->next > stream->size / 2)
		return;
	stream->size = stream->size ? stream->size * 2 : 2;
	stream->size = stream->size < most ? stream->size : most;
	from = stream->ahead;
	end = stream->next + (stream->size < left ? stream->size : left);
	if (end <= from)
		return;
	pager->all[from].trip = true;
	queue_ahead(pager, from, end);
	stream->ahead = end;
}

void load_ahead(struct pager *pager, uint32_t block)
{
	struct stream *oldest = pager->streams;

	pager->all[block].trip = false;
	for (struct stream *stream = pager->streams; stream < pager->streams + STREAMS; stream++) {
		if (stream->used && block + 1 == stream->next)
			return;
		if (stream->used && block >= stream->next && block <= stream->ahead) {
			stream->used = ++pager->clock;
			go_on(pager, stream, block);
			return;
		}
		if (stream->used < oldest->used)
			oldest = stream;
	}
	*oldest = (struct stream){ .next = block + 1, .ahead = block + 1, .used = ++pager->clock };
}

int load_and_hold(struct pager *pager, uint32_t block)
{
	struct block *it = &pager->all[block];

	load_ahead(pager, block);
	while (it->state != PRESENT) {
		if (load_has_failed(pager, it))
			return it->error;
		load_urgently(pager, block);
		pthread_cond_wait(&pager->changed, &pager->lock);
	}
	it->holds++;
	return 0;
}

/* -- a loader -- */

struct request {
	uint32_t first, count;
	bool urgent;
};

/* Blocks that follow one another, from one of the lists. With the lock held. */
static bool take_request(struct pager *pager, struct request *request)
{
	uint32_t most = (uint32_t)(pager->request / pager->block);

	request->urgent = pager->lists[URGENT].count;
	if (!request->urgent && !pager->lists[AHEAD].count)
		return false;
	request->first = pager->lists[request->urgent ? URGENT : AHEAD].first;
	for (request->count = 0; request->count < most && request->first + request->count < pager->blocks; request->count++) {
		uint32_t block = request->first + request->count;

		if (pager->all[block].state != QUEUED || (!request->urgent && pager->all[block].list == URGENT) ||
		    (request->count && pager->all[block].alone))
			break;
		cache_take(pager, block);
		pager->all[block].state = LOADING;
		most = pager->all[block].alone ? 1 : most;
	}
	return true;
}

/* The blocks of the request from @from on are still to be read. With the lock held. */
static void put_back(struct pager *pager, const struct request *request, uint32_t from)
{
	for (uint32_t i = request->count; i-- > from;) {
		uint32_t block = request->first + i;

		pager->all[block].state = request->urgent ? QUEUED : ABSENT;
		if (request->urgent)
			cache_put(pager, block, URGENT, true);
	}
	pthread_cond_broadcast(&pager->wanted);
	pthread_cond_broadcast(&pager->changed);
}

/*
 * Room for the request, or for its first block if somebody waits for that. What nobody waits for is not read if that takes writing back. 0, or
 * a negative errno: then nothing is read. With the lock held.
 */
static int take_room(struct pager *pager, struct request *request)
{
	if (cache_take_room(pager, request->count))
		return 0;
	put_back(pager, request, request->urgent ? 1 : 0);
	if (!request->urgent)
		return -EAGAIN;
	request->count = 1;
	return cache_await_room(pager);
}

static void fail_block(struct pager *pager, uint32_t block, int error)
{
	struct block *it = &pager->all[block];

	it->state = FAILED;
	it->error = error;
	it->failed = sys_now();
}

/*
 * It cannot be had. If one of several blocks is to blame, the others must not suffer: each is asked for by itself. With the lock held.
 */
static void fail_request(struct pager *pager, const struct request *request, int error)
{
	for (uint32_t i = 0; i < request->count; i++)
		pager->all[request->first + i].alone = true;
	if (request->count > 1 || !request->urgent) {
		put_back(pager, request, 0);
		return;
	}
	fail_block(pager, request->first, error);
	pthread_cond_broadcast(&pager->changed);
}

/* What all wait for is not to be had, and they have waited as long as whoever has been told so. With the lock held, which is given back. */
static void fail_all_who_wait(struct pager *pager, int error)
{
	uint32_t block;

	while ((block = pager->lists[URGENT].first) != NO_BLOCK) {
		cache_take(pager, block);
		fail_block(pager, block, error);
	}
	pthread_cond_broadcast(&pager->changed);
	pthread_mutex_unlock(&pager->lock);
	windows_wake(pager, 0, pager->blocks);
	pthread_mutex_lock(&pager->lock);
}

static int fetch(struct pager *pager, const struct request *request, void *staging)
{
	uint64_t offset = cache_start(pager, request->first), length = cache_length(pager, request->first, request->count);
	uint64_t wait = FIRST_WAIT;
	int error, tries = request->urgent && request->count == 1 ? TRIES : 1;

	while ((error = pager->ops.read(pager->ops.arg, offset, staging, length)) && --tries && !pager->stopping) {
		sys_sleep(wait);
		wait *= WAIT_FACTOR;
	}
	return error > 0 ? -EIO : error;
}

/* With the lock held, which is given back meanwhile. */
static void serve_request(struct pager *pager, struct request *request, void *staging)
{
	int error = take_room(pager, request);
	bool roomy = !error, silent;
	uint64_t answers = pager->answers;

	pthread_mutex_unlock(&pager->lock);
	if (!error)
		error = fetch(pager, request, staging);
	silent = roomy && error == -ETIMEDOUT;
	if (!error)
		error = windows_load(pager, request->first, request->count, staging);
	pthread_mutex_lock(&pager->lock);
	pager->progress++;
	pager->answers += !error;
	if (!error)
		return;
	pager->used -= roomy ? request->count : 0;
	if (error != -EAGAIN || roomy)
		fail_request(pager, request, error);
	if (silent && pager->answers == answers)
		fail_all_who_wait(pager, error);
	pthread_mutex_unlock(&pager->lock);
	windows_wake(pager, request->first, request->count);
	pthread_mutex_lock(&pager->lock);
}

void *load_loader(void *argument)
{
	struct pager *pager = argument;
	struct request request;
	void *staging;

	pthread_mutex_lock(&pager->lock);
	staging = (char *)pager->staging + pager->loaders_begun++ * pager->request;
	while (!pager->done)
		if (!pager->stopping && take_request(pager, &request))
			serve_request(pager, &request, staging);
		else if (!cache_help(pager, staging))
			pthread_cond_wait(&pager->wanted, &pager->lock);
	pthread_mutex_unlock(&pager->lock);
	return NULL;
}
