/* SPDX-License-Identifier: MIT */
/* Ranges of the export that the server has said to be zeroes. */
#include "holes.h"

#include "connection.h"

/* How long the server is believed. */
#define BELIEVED SECOND

/* At most so many occasions are let go by where asking has been of no use. */
#define MOST_TO_SKIP 1024U

void holes_init(struct holes *holes)
{
	*holes = (struct holes){ 0 };
	pthread_mutex_init(&holes->lock, NULL);
}

void holes_destroy(struct holes *holes)
{
	pthread_mutex_destroy(&holes->lock);
}

static void forget(struct holes *holes, unsigned i)
{
	holes->holes[i] = holes->holes[--holes->count];
}

uint64_t holes_look(struct holes *holes, uint64_t offset, uint64_t length, bool *ret_zero)
{
	uint64_t until = offset + length, now;

	*ret_zero = false;
	pthread_mutex_lock(&holes->lock);
	now = holes->count ? clock_now() : 0;
	for (unsigned i = 0; i < holes->count;) {
		const struct hole *hole = &holes->holes[i];

		if (hole->until < now) {
			forget(holes, i);
			continue;
		}
		if (hole->start <= offset && offset < hole->end) {
			*ret_zero = true;
			until = hole->end < offset + length ? hole->end : offset + length;
			break;
		}
		if (hole->start > offset && hole->start < until)
			until = hole->start;
		i++;
	}
	pthread_mutex_unlock(&holes->lock);
	return until - offset;
}

static void add(struct holes *holes, uint64_t start, uint64_t end)
{
	unsigned i = holes->count < HOLES ? holes->count++ : holes->next++ % HOLES;

	holes->holes[i] = (struct hole){ .start = start, .end = end, .until = clock_now() + BELIEVED };
}

void holes_write_begin(struct holes *holes, uint64_t offset, uint64_t length)
{
	pthread_mutex_lock(&holes->lock);
	holes->writing++;
	holes->writes++;
	/* Of a hole that is written to, the part before it stays, if there is one. */
	for (unsigned i = holes->count; i-- > 0;) {
		struct hole *hole = &holes->holes[i];

		if (hole->start >= offset + length || offset >= hole->end)
			continue;
		if (hole->start < offset)
			hole->end = offset;
		else
			forget(holes, i);
	}
	pthread_mutex_unlock(&holes->lock);
}

void holes_write_end(struct holes *holes)
{
	pthread_mutex_lock(&holes->lock);
	holes->writing--;
	pthread_mutex_unlock(&holes->lock);
}

bool holes_ask(struct holes *holes, uint64_t align, struct question *ret_question)
{
	bool ask;

	pthread_mutex_lock(&holes->lock);
	ask = !holes->writing && !holes->to_skip;
	if (holes->to_skip)
		holes->to_skip--;
	*ret_question = (struct question){ .holes = holes, .writes = holes->writes, .align = align };
	pthread_mutex_unlock(&holes->lock);
	return ask;
}

int holes_learn(void *arg, uint64_t offset, uint64_t length, bool zero)
{
	struct question *question = arg;
	struct holes *holes = question->holes;
	uint64_t mask = question->align - 1;
	uint64_t start = (offset + mask) & ~mask, end = (offset + length) & ~mask;
	int over;

	pthread_mutex_lock(&holes->lock);
	over = holes->writes != question->writes;
	if (!over && zero && start < end) {
		question->found = true;
		add(holes, start, end);
	}
	pthread_mutex_unlock(&holes->lock);
	return over;
}

void holes_answered(struct question *question)
{
	struct holes *holes = question->holes;

	pthread_mutex_lock(&holes->lock);
	if (question->found) {
		holes->futile = 0;
	} else {
		holes->futile = holes->futile ? holes->futile * 2 : 1;
		if (holes->futile > MOST_TO_SKIP)
			holes->futile = MOST_TO_SKIP;
		holes->to_skip = holes->futile;
	}
	pthread_mutex_unlock(&holes->lock);
}
