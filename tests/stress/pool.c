/* SPDX-License-Identifier: MIT */
/* One map, and memories of all kinds to which it can be redirected. */
#include "pool.h"

#include <string.h>

#include <memredirect.h>

#include "pattern.h"
#include "stress.h"
#include "suite.h"

/* The kinds that differ in how they are replaced. */
static const char *const few[] = { "buffer", "file-disk", "multi", "cow-buffer", "buffer-huge", "ranges" };
static const char *const two[] = { "buffer", "cow-buffer" };

static bool is_among(const struct kind *kind, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(kind->name, names[i]))
			return true;
	return false;
}

/* A page of each of two memories, and more of a third. */
static bool is_multi(const struct kind *kind)
{
	return strstr(kind->name, "multi") != NULL;
}

/* Huge pages that are free, less those that private copies of huge memory could take. */
static bool has_huge_pages(uint64_t bytes)
{
	struct mr_features now;

	require_ok(mr_features(&now));
	return now.huge_2m_free >= bytes / HUGE_PAGE + 4;
}

static bool is_large_enough(const struct pool *pool, const struct kind *kind)
{
	if (kind->huge)
		return pool->length % HUGE_PAGE == 0 && has_huge_pages(pool->length + pool->spare * HUGE_PAGE);
	return !is_multi(kind) || pool->length > 2 * page_size();
}

static bool is_wanted(const struct pool *pool, const struct kind *kind, unsigned flags)
{
	if (kind->adopted || kind_missing(kind))
		return false;
	if ((flags & POOL_FEW && !is_among(kind, few, COUNT(few))) || (flags & POOL_TWO && !is_among(kind, two, COUNT(two))))
		return false;
	if (flags & POOL_WRITABLE && (!kind_writable(kind) || kind->detached))
		return false;
	return is_large_enough(pool, kind);
}

static void add(struct pool *pool, const struct kind *kind)
{
	struct member *member = &pool->members[pool->count];

	*member = (struct member){ .name = kind->name, .unit = kind_unit(kind), .seed = (unsigned)pool->count + 1 };
	backing_make(&member->backing, kind, pool->length + pool->spare * member->unit, member->seed);
	member->memory = member->backing.memory;
	member->access = member->backing.access;
	pool->count++;
}

/* The kernel places mappings from above: so far below, nothing comes between the choice of a place and its use. */
#define DISTANCE (UINT64_C(64) << 30)

/* Huge pages can be shown where 2 MiB begin. */
static void make_sample(struct pool *pool, const char *start)
{
	const struct kind *kind = kind_find(kind_space && kind_missing(kind_find(start)) ? "buffer" : start);
	uint64_t align = pool->length % HUGE_PAGE ? page_size() : HUGE_PAGE;

	require(kind, "there is no kind %s", start);
	sample_make_at(&pool->sample, kind, pool->length, 1, free_place(pool->length + DISTANCE, align));
	pool->map = pool->sample.map;
	pool->address = pool->sample.address;
	pool->members[pool->count++] = (struct member){ .memory = pool->sample.memory,
							.name = kind->name,
							.access = pool->sample.backing.access,
							.seed = 1,
							.unit = kind_unit(kind),
							.fixed = true };
}

void pool_make(struct pool *pool, const char *start, uint64_t length, uint64_t spare, unsigned flags)
{
	*pool = (struct pool){ .length = length, .spare = spare };
	make_sample(pool, start);
	for (size_t i = 0; i < kind_count; i++)
		if (is_wanted(pool, &kinds[i], flags))
			add(pool, &kinds[i]);
}

/* The first member is the sample's. */
void pool_free(struct pool *pool)
{
	sample_free(&pool->sample);
	for (size_t i = 1; i < pool->count; i++)
		backing_free(&pool->members[i].backing);
	pool->count = 0;
}

struct showing pool_roll(struct pool *pool, struct dice *dice)
{
	struct member *member = &pool->members[dice_below(dice, pool->count)];
	uint64_t offset = member->fixed ? 0 : dice_below(dice, pool->spare + 1) * member->unit;

	return (struct showing){ member, offset };
}

int pool_redirect(struct pool *pool, struct showing to, uint32_t extra)
{
	return mr_map_redirect(pool->map, to.member->memory, to.member->access | extra, to.offset);
}

uint32_t pool_roll_prefault(struct dice *dice)
{
	return dice_once_in(dice, 2) ? MR_MAP_PREFAULT : 0;
}

uint64_t showing_word(struct showing what, uint64_t offset)
{
	return pattern_word(what.member->seed, what.offset + offset);
}

const char *pool_roll_start(struct dice *dice, uint64_t length)
{
	static const char *const starts[] = { "buffer",		"multi",	"adopted-private", "adopted-private",
					      "adopted-shared", "adopted-file", "adopted-mixed" };
	const struct kind *start = kind_find(starts[dice_below(dice, COUNT(starts))]);

	return kind_missing(start) || (is_multi(start) && length <= 2 * page_size()) ? "buffer" : start->name;
}
