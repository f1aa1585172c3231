/* SPDX-License-Identifier: MIT */
/*
 * What a pager reads and writes, as requests to an export.
 *
 *   reads    leave out what is known to be zeroes, and ask about what follows when zeroes have been read (holes.h)
 *   writes   runs of zeroes apart from data; where the server's smallest block is larger than a page, the blocks at both ends are
 *            read, changed and written whole, by one thread at a time
 *   both     are cut to what the server takes at once
 */
#include "pages.h"

#include <errno.h>
#include <memredirect.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "holes.h"

/* Zeroes are written as such in runs of so many bytes, aligned. */
#define ZERO_RUN ((uint64_t)64 << 10)

/* How far the server is asked about holes, and the most zeroes in one request. */
#define FAR ((uint64_t)1 << 30)

struct pages {
	struct export *export;
	struct facts facts;
	struct holes holes;
	pthread_mutex_t edges; /* one thread at a time changes a part of a block */
};

struct pages *pages_new(struct export *export)
{
	struct pages *pages = calloc(1, sizeof(*pages));

	if (!pages)
		return NULL;
	pages->export = export;
	pages->facts = *export_facts(export);
	holes_init(&pages->holes);
	pthread_mutex_init(&pages->edges, NULL);
	return pages;
}

void pages_free(struct pages *pages)
{
	export_close(pages->export);
	holes_destroy(&pages->holes);
	pthread_mutex_destroy(&pages->edges);
	free(pages);
}

void pages_release(void *pages)
{
	pages_free(pages);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool is_zero(const unsigned char *bytes, uint64_t length)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, length - 1);
}

/* --- reading --- */

/* Ask, where that is of use, about what follows @offset. Whatever comes of that, the export can be read. */
static void ask(struct pages *pages, uint64_t offset)
{
	uint64_t length = least(pages->facts.size - offset, FAR) / pages->facts.minimum * pages->facts.minimum;
	struct question question;
	struct request request = {
		.kind = REQUEST_EXTENTS,
		.offset = offset,
		.length = length,
		.extent = holes_learn,
		.extent_arg = &question,
	};

	if (!pages->facts.extents || !length || !holes_ask(&pages->holes, pages->facts.minimum, &question))
		return;
	/* After the question has begun: what is written from now on has its answer dropped. */
	if (export_is_settled(pages->export))
		export_run(pages->export, &request);
	holes_answered(&question);
}

/* At most what the server takes at once. */
static int read_data(struct pages *pages, uint64_t offset, unsigned char *buffer, uint64_t length)
{
	struct request request = { .kind = REQUEST_READ, .buffer = buffer, .offset = offset, .length = length };
	int result = export_run(pages->export, &request);

	if (!result && is_zero(buffer, length))
		ask(pages, offset + length);
	return result;
}

int pages_read(void *arg, uint64_t offset, void *buffer, uint64_t length)
{
	struct pages *pages = arg;
	unsigned char *at = buffer;
	int result = 0;

	while (length && !result) {
		bool zero;
		uint64_t part = holes_look(&pages->holes, offset, length, &zero);

		if (zero) {
			memset(at, 0, part);
		} else {
			part = least(part, pages->facts.maximum);
			result = read_data(pages, offset, at, part);
		}
		offset += part;
		at += part;
		length -= part;
	}
	return result;
}

/* --- writing --- */

static int write_as(struct pages *pages, bool zero, uint64_t offset, const unsigned char *buffer, uint64_t length)
{
	struct request request = {
		.kind = zero ? REQUEST_ZERO : REQUEST_WRITE,
		.buffer = (void *)(uintptr_t)buffer,
		.offset = offset,
		.length = length,
	};

	return export_run(pages->export, &request);
}

/* How much from @buffer on is of one sort, and of which: a run of zeroes, or anything. */
static uint64_t run_of(const struct pages *pages, uint64_t offset, const unsigned char *buffer, uint64_t length, bool *ret_zero)
{
	uint64_t whole = ZERO_RUN > pages->facts.minimum ? ZERO_RUN : pages->facts.minimum;
	uint64_t run = 0;

	*ret_zero = false;
	while (run < length) {
		uint64_t part = least(whole - (offset + run) % whole, length - run);
		bool zero = pages->facts.zero && part == whole && is_zero(buffer + run, part);

		if (run && zero != *ret_zero)
			break;
		*ret_zero = zero;
		run += part;
	}
	return least(run, *ret_zero ? FAR : pages->facts.maximum);
}

/* Whole blocks of the server's. */
static int write_blocks(struct pages *pages, uint64_t offset, const unsigned char *buffer, uint64_t length)
{
	int result = 0;

	while (length && !result) {
		bool zero;
		uint64_t run = run_of(pages, offset, buffer, length, &zero);

		result = write_as(pages, zero, offset, buffer, run);
		offset += run;
		buffer += run;
		length -= run;
	}
	return result;
}

/* A part of one block of the server's. */
static int write_edge(struct pages *pages, uint64_t offset, const unsigned char *buffer, uint64_t length)
{
	uint64_t size = pages->facts.minimum, start = offset / size * size;
	unsigned char *block = malloc(size);
	int result;

	if (!block)
		return -ENOMEM;
	pthread_mutex_lock(&pages->edges);
	result = export_run(pages->export,
			    &(struct request){ .kind = REQUEST_READ, .buffer = block, .offset = start, .length = size });
	if (!result) {
		memcpy(block + (offset - start), buffer, length);
		result = write_as(pages, false, start, block, size);
	}
	pthread_mutex_unlock(&pages->edges);
	free(block);
	return result;
}

static int write_range(struct pages *pages, uint64_t offset, const unsigned char *buffer, uint64_t length)
{
	uint64_t size = pages->facts.minimum, part;
	int result = 0;

	while (length && !result) {
		if (offset % size || length < size) {
			part = least(size - offset % size, length);
			result = write_edge(pages, offset, buffer, part);
		} else {
			part = length / size * size;
			result = write_blocks(pages, offset, buffer, part);
		}
		offset += part;
		buffer += part;
		length -= part;
	}
	return result;
}

/* For mr_memory_sync: what it says of this failure. */
static int say(struct pages *pages, int result)
{
	struct words words;

	if (!result)
		return 0;
	export_words(pages->export, result, &words);
	if (*words.text)
		mr_error_set("memredirect-nbd", words.text);
	return result;
}

int pages_write(void *arg, uint64_t offset, const void *buffer, uint64_t length)
{
	struct pages *pages = arg;
	int result;

	holes_write_begin(&pages->holes, offset, length);
	result = write_range(pages, offset, buffer, length);
	holes_write_end(&pages->holes);
	return say(pages, result);
}

int pages_flush(void *arg)
{
	struct pages *pages = arg;

	return say(pages, export_flush(pages->export));
}
