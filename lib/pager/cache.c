/* SPDX-License-Identifier: MIT */
/* The cache of a pager: which blocks are there, which pages are dirty, what goes when there is no room. */
#include "pager/cache.h"

#include <errno.h>
#include <time.h>

#include "sys/sys.h"

#define WORD 64

#define TIDY (UINT64_C(4) << 20)

/* Waits between tries of a write that fails, and between rounds of the cleaner's while writes do. */
#define TRIES	    3
#define FIRST_WAIT  UINT64_C(10000000)
#define WAIT_FACTOR 10
#define REST	    UINT64_C(100000000)
#define LONG_REST   UINT64_C(1000000000)

/* What fails in one go over all that is dirty, before it is given up for now. */
#define MOST_FAILURES 16

static struct block *at(const struct pager *pager, uint32_t block)
{
	return &pager->all[block];
}

void cache_put(struct pager *pager, uint32_t block, enum block_list list, bool first)
{
	struct list *into = &pager->lists[list];
	struct block *it = at(pager, block);

	it->list = (uint8_t)list;
	it->previous = first ? NO_BLOCK : into->last;
	it->next = first ? into->first : NO_BLOCK;
	if (it->previous != NO_BLOCK)
		at(pager, it->previous)->next = block;
	else
		into->first = block;
	if (it->next != NO_BLOCK)
		at(pager, it->next)->previous = block;
	else
		into->last = block;
	into->count++;
}

void cache_take(struct pager *pager, uint32_t block)
{
	struct block *it = at(pager, block);
	struct list *from = &pager->lists[it->list];

	if (it->list == NOWHERE)
		return;
	if (it->previous != NO_BLOCK)
		at(pager, it->previous)->next = it->next;
	else
		from->first = it->next;
	if (it->next != NO_BLOCK)
		at(pager, it->next)->previous = it->previous;
	else
		from->last = it->previous;
	from->count--;
	it->list = NOWHERE;
}

uint64_t cache_start(const struct pager *pager, uint32_t block)
{
	return block * pager->block;
}

uint64_t cache_length(const struct pager *pager, uint32_t block, uint32_t count)
{
	uint64_t left = pager->length - cache_start(pager, block);

	return left < count * pager->block ? left : count * pager->block;
}

bool cache_is_dirty(const struct pager *pager, uint64_t page)
{
	return pager->dirty[page / WORD] >> page % WORD & 1;
}

/* Whether what is clean or free is about to run out, while something could be written back. */
static bool is_untidy(const struct pager *pager)
{
	uint32_t reserve = pager->most / 8;

	return pager->lists[DIRTY].count &&
	       (pager->needy || (pager->used > pager->most - reserve && pager->lists[CLEAN].count < reserve));
}

static void soil_block(struct pager *pager, uint32_t block, uint32_t pages)
{
	struct block *it = at(pager, block);

	it->dirty_pages += pages;
	pager->dirty_pages += pages;
	if (it->list == CLEAN) {
		cache_take(pager, block);
		cache_put(pager, block, DIRTY, false);
	}
}

void cache_soil(struct pager *pager, uint64_t page, uint64_t count)
{
	for (uint64_t end = page + count; page < end; page++) {
		uint64_t *word = &pager->dirty[page / WORD], bit = UINT64_C(1) << page % WORD;

		if (*word & bit)
			continue;
		*word |= bit;
		soil_block(pager, (uint32_t)(page / pager->block_pages), 1);
	}
	if (is_untidy(pager))
		pthread_cond_signal(&pager->untidy);
}

void cache_arrived(struct pager *pager, uint32_t block)
{
	at(pager, block)->state = PRESENT;
	cache_put(pager, block, CLEAN, false);
}

/* The clean blocks from @block on, at most @most, that follow one another in the file as they do in the list: they go in one call. */
static uint32_t run_to_evict(const struct pager *pager, uint32_t block, uint32_t most)
{
	uint32_t count = 1;

	while (count < most && at(pager, block + count - 1)->next == block + count && !at(pager, block + count)->holds)
		count++;
	return count;
}

/* No window has a page of them mapped for writing; what is mapped for reading, the kernel takes away. */
static bool evict(struct pager *pager, uint32_t first, uint32_t count)
{
	if (sys_punch(pager->fd, cache_start(pager, first), count * pager->block))
		return false;
	for (uint32_t block = first; block < first + count; block++) {
		cache_take(pager, block);
		at(pager, block)->state = ABSENT;
		at(pager, block)->trip = false;
	}
	pager->used -= count;
	return true;
}

/* Of those that were needed longest ago, up to @most. */
static bool evict_some(struct pager *pager, uint32_t most)
{
	uint32_t block = pager->lists[CLEAN].first;

	while (block != NO_BLOCK && at(pager, block)->holds)
		block = at(pager, block)->next;
	return block != NO_BLOCK && evict(pager, block, run_to_evict(pager, block, most));
}

bool cache_take_room(struct pager *pager, uint32_t count)
{
	while (pager->used > pager->most - count)
		if (!evict_some(pager, pager->used - (pager->most - count)))
			return false;
	pager->used += count;
	if (is_untidy(pager))
		pthread_cond_signal(&pager->untidy);
	return true;
}

/* A try to write back that began before may have failed for other reasons than the next one. */
int cache_await_room(struct pager *pager)
{
	uint64_t begun = pager->begun;
	int error = 0;

	pager->needy++;
	while (!error && !cache_take_room(pager, 1)) {
		if (pager->stopping)
			error = -ESHUTDOWN;
		else if (pager->stuck && pager->stuck_at > begun)
			error = pager->stuck;
		else {
			pthread_cond_signal(&pager->untidy);
			pthread_cond_wait(&pager->changed, &pager->lock);
		}
	}
	pager->needy--;
	return error;
}

/* -- writing back -- */

/* Pages that are being written back. */
struct run {
	uint64_t page, count;
	uint64_t number; /* of those that have begun */
};

static bool can_clean(const struct pager *pager, uint64_t page)
{
	const struct block *block = at(pager, (uint32_t)(page / pager->block_pages));

	return cache_is_dirty(pager, page) && block->state == PRESENT && !block->cleaning;
}

static void each_block(struct pager *pager, const struct run *run, void (*act)(struct pager *pager, uint32_t block))
{
	uint32_t last = (uint32_t)((run->page + run->count - 1) / pager->block_pages);

	for (uint32_t block = (uint32_t)(run->page / pager->block_pages); block <= last; block++)
		act(pager, block);
}

static void begin_cleaning(struct pager *pager, uint32_t block)
{
	cache_take(pager, block);
	at(pager, block)->cleaning = true;
}

static void end_cleaning(struct pager *pager, uint32_t block)
{
	struct block *it = at(pager, block);

	it->cleaning = false;
	cache_put(pager, block, it->dirty_pages ? DIRTY : CLEAN, !it->dirty_pages);
}

static void mark_clean(struct pager *pager, const struct run *run)
{
	for (uint64_t page = run->page; page < run->page + run->count; page++) {
		pager->dirty[page / WORD] &= ~(UINT64_C(1) << page % WORD);
		at(pager, (uint32_t)(page / pager->block_pages))->dirty_pages--;
	}
	pager->dirty_pages -= run->count;
}

/* Take what is dirty from @page on, up to @end, as far as it is in one piece. Afterwards it is clean, and protected. */
static void take_run(struct pager *pager, uint64_t page, uint64_t end, struct run *run)
{
	uint64_t most = pager->request / pager->page;

	*run = (struct run){ .page = page };
	windows_enter_shared();
	pthread_mutex_lock(&pager->lock);
	while (run->count < most && page + run->count < end && can_clean(pager, page + run->count))
		run->count++;
	if (run->count) {
		each_block(pager, run, begin_cleaning);
		mark_clean(pager, run);
		run->number = ++pager->begun;
		windows_protect(pager, run->page, run->count);
	}
	pthread_mutex_unlock(&pager->lock);
	windows_leave_shared();
}

static int write_run(struct pager *pager, const struct run *run, void *staging, int tries, struct sentence *ret_said)
{
	uint64_t offset = run->page * pager->page, length = run->count * pager->page, wait = FIRST_WAIT;
	struct sentence before;
	int error;

	ret_said->text[0] = '\0';
	length = length < pager->length - offset ? length : pager->length - offset;
	if (sys_pread(pager->fd, staging, length, offset) != (ssize_t)length)
		return -EIO;
	error_listen(&before);
	while ((error = pager->ops.write(pager->ops.arg, offset, staging, length)) && --tries) {
		sys_sleep(wait);
		wait *= WAIT_FACTOR;
	}
	error_heard(&before, ret_said);
	return error;
}

static void clean_run(struct pager *pager, struct sweep *sweep, const struct run *run, void *staging)
{
	struct sentence said;
	int error = write_run(pager, run, staging, atomic_load(&sweep->failures) ? 1 : TRIES, &said);

	pthread_mutex_lock(&pager->lock);
	if (error) {
		cache_soil(pager, run->page, run->count);
		atomic_fetch_add(&sweep->failures, 1);
		if (!sweep->result) {
			sweep->result = error > 0 ? -EIO : error;
			sweep->said = said;
		}
	}
	each_block(pager, run, end_cleaning);
	pager->progress++;
	pager->stuck = error;
	pager->stuck_at = run->number;
	pthread_cond_broadcast(&pager->changed);
	pthread_mutex_unlock(&pager->lock);
}

/* The next page from @page on that is dirty and may be written back; what is just being written back is waited for. */
static uint64_t next_dirty(struct pager *pager, uint64_t page, uint64_t end)
{
	pthread_mutex_lock(&pager->lock);
	while (page < end) {
		struct block *block = at(pager, (uint32_t)(page / pager->block_pages));

		if (block->cleaning)
			pthread_cond_wait(&pager->changed, &pager->lock);
		else if (block->state != PRESENT || !block->dirty_pages)
			page = (page / pager->block_pages + 1) * pager->block_pages;
		else if (!cache_is_dirty(pager, page))
			page++;
		else
			break;
	}
	pthread_mutex_unlock(&pager->lock);
	return page;
}

static bool is_given_up(struct sweep *sweep)
{
	return atomic_load(&sweep->failures) >= MOST_FAILURES;
}

static void clean_part(struct pager *pager, struct sweep *sweep, uint64_t page, uint64_t end, void *staging)
{
	while (!is_given_up(sweep) && (page = next_dirty(pager, page, end)) < end) {
		struct run run;

		take_run(pager, page, end, &run);
		if (!run.count)
			continue;
		clean_run(pager, sweep, &run, staging);
		page = run.page + run.count;
	}
}

/* -- sweeps: parts are handed out to whoever has time -- */

static bool is_being_cleaned(const struct pager *pager, uint64_t page, uint64_t end)
{
	uint32_t last = (uint32_t)((end - 1) / pager->block_pages);

	for (uint32_t block = (uint32_t)(page / pager->block_pages); block <= last; block++)
		if (at(pager, block)->cleaning)
			return true;
	return false;
}

/*
 * The next block of the sweep that has dirty pages, or had just now, and what is left of one request from there on. Who helps leaves what is being
 * written back for another sweep to the one who has to wait for that. With the lock held.
 */
static bool take_part(struct pager *pager, struct sweep *sweep, bool helps, uint64_t *ret_page, uint64_t *ret_end)
{
	uint64_t most = pager->request / pager->page, pages = pager->block_pages, end;

	while (sweep->page < sweep->end && !at(pager, (uint32_t)(sweep->page / pages))->dirty_pages &&
	       !at(pager, (uint32_t)(sweep->page / pages))->cleaning)
		sweep->page = (sweep->page / pages + 1) * pages;
	if (sweep->page >= sweep->end || is_given_up(sweep))
		return false;
	end = (sweep->page / most + 1) * most;
	end = end < sweep->end ? end : sweep->end;
	if (helps && is_being_cleaned(pager, sweep->page, end))
		return false;
	*ret_page = sweep->page;
	*ret_end = sweep->page = end;
	return true;
}

/* Whoever takes a part calls the next one. With the lock held, which is given back meanwhile. */
static bool clean_next_part(struct pager *pager, struct sweep *sweep, bool helps, void *staging)
{
	uint64_t page, end;

	if (!take_part(pager, sweep, helps, &page, &end))
		return false;
	sweep->busy++;
	pthread_cond_signal(&pager->wanted);
	pthread_mutex_unlock(&pager->lock);
	clean_part(pager, sweep, page, end, staging);
	pthread_mutex_lock(&pager->lock);
	sweep->busy--;
	pthread_cond_broadcast(&pager->changed);
	return true;
}

bool cache_help(struct pager *pager, void *staging)
{
	struct sweep *sweep = pager->helpers < HELPERS ? pager->sweeps : NULL;

	pager->helpers++;
	while (sweep && !clean_next_part(pager, sweep, true, staging))
		sweep = sweep->next;
	pager->helpers--;
	return sweep;
}

static void end_sweep(struct pager *pager, struct sweep *sweep)
{
	struct sweep **link = &pager->sweeps;

	while (sweep->busy)
		pthread_cond_wait(&pager->changed, &pager->lock);
	while (*link != sweep)
		link = &(*link)->next;
	*link = sweep->next;
}

int cache_clean(struct pager *pager, uint64_t first, uint64_t end, void *staging, struct sentence *ret_said)
{
	struct sweep sweep = { .page = first, .end = end };
	struct sweep **link = &pager->sweeps;

	pthread_mutex_lock(&pager->lock);
	while (*link)
		link = &(*link)->next;
	*link = &sweep;
	while (clean_next_part(pager, &sweep, false, staging))
		;
	end_sweep(pager, &sweep);
	pthread_mutex_unlock(&pager->lock);
	if (ret_said)
		*ret_said = sweep.said;
	return sweep.result;
}

/* -- the cleaner -- */

static void rest(struct pager *pager, uint64_t nanoseconds)
{
	struct timespec until;
	uint64_t end = sys_now() + nanoseconds;

	until = (struct timespec){ (time_t)(end / 1000000000), (long)(end % 1000000000) };
	pthread_cond_clockwait(&pager->untidy, &pager->lock, CLOCK_MONOTONIC, &until);
}

/* What is written back in one go where room is needed. */
static uint64_t tidy_length(const struct pager *pager)
{
	return TIDY > pager->block ? TIDY : pager->block;
}

/* The dirty block that has been there longest, and those before it that are dirty, too. With the lock held. */
static uint32_t begin_of_run(const struct pager *pager)
{
	uint32_t block = pager->lists[DIRTY].first, most = (uint32_t)(tidy_length(pager) / pager->block);

	while (block && --most && at(pager, block - 1)->list == DIRTY)
		block--;
	return block;
}

static uint64_t pages_of(const struct pager *pager)
{
	return (pager->length + pager->page - 1) / pager->page;
}

/* With the lock held, which is given back meanwhile. */
static void tidy_up(struct pager *pager, void *staging)
{
	uint64_t page = (uint64_t)begin_of_run(pager) * pager->block_pages, end = page + tidy_length(pager) / pager->page;
	int error;

	end = end < pages_of(pager) ? end : pages_of(pager);
	pthread_mutex_unlock(&pager->lock);
	error = cache_clean(pager, page, end, staging, NULL);
	pthread_mutex_lock(&pager->lock);
	if (!error)
		return;
	pager->write_error = error;
	pthread_cond_broadcast(&pager->changed);
	if (!pager->closing)
		rest(pager, REST);
}

static int clean_and_flush(struct pager *pager, void *staging)
{
	int error = cache_clean(pager, 0, pages_of(pager), staging, NULL);

	return error || !pager->ops.flush ? error : pager->ops.flush(pager->ops.arg);
}

static void join_loaders(struct pager *pager)
{
	pthread_mutex_lock(&pager->lock);
	pager->done = true;
	pthread_cond_broadcast(&pager->wanted);
	pthread_mutex_unlock(&pager->lock);
	for (unsigned i = 0; i < pager->loader_count; i++)
		worker_join(&pager->loaders[i]);
}

/* Nobody asks for anything any more: write back all, with the loaders' help, however long it takes; then let the pager go. */
static void close_down(struct pager *pager, void *staging)
{
	if (pager->ops.write)
		while (clean_and_flush(pager, staging)) {
			pthread_mutex_lock(&pager->lock);
			pager->failing = true;
			pthread_cond_broadcast(&pager->changed);
			rest(pager, LONG_REST);
			pthread_mutex_unlock(&pager->lock);
		}
	join_loaders(pager);
	if (pager->ops.release)
		pager->ops.release(pager->ops.arg);
}

void *cache_cleaner(void *argument)
{
	struct pager *pager = argument;
	void *staging = (char *)pager->staging + LOADERS * pager->request;

	pthread_mutex_lock(&pager->lock);
	while (!pager->closing)
		if (is_untidy(pager))
			tidy_up(pager, staging);
		else
			pthread_cond_wait(&pager->untidy, &pager->lock);
	pthread_mutex_unlock(&pager->lock);
	close_down(pager, staging);
	pthread_mutex_lock(&pager->lock);
	pager->closed = true;
	pthread_cond_broadcast(&pager->changed);
	pthread_mutex_unlock(&pager->lock);
	return NULL;
}
