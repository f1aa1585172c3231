/* SPDX-License-Identifier: MIT */
/*
 * Moves: what a map shows goes to another memory, and the map then shows that.
 *
 * A shield is raised over the map, which here does not keep writers waiting but notes what they write: the first write to a page since
 * it was copied marks it, and goes on. Round after round copies what is marked, until little is left. Then the shield holds: who
 * writes waits, who reads goes on. The last pages are copied, the next view takes the place of the shown one, and those that waited
 * write to the new memory. Until that step nothing has happened but copying: giving up at any point leaves the map as it was.
 *
 *	page	copied and protected -> (a write) marked and open -> protected again, then copied again
 *
 * Where there can be no shield, the map is blocked for the whole copy.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "copy.h"
#include "error.h"
#include "process.h"
#include "redirect.h"
#include "space/space.h"
#include "sys/sys.h"

#define WORD 64

/* Rounds at most; and what is so little that one more would not make it less. */
#define MOST_ROUNDS 32
#define LITTLE	    16

/* What putting the next view in place takes, besides the last pages. */
#define HAND_OVER_NS 50000

/* Bytes a nanosecond, until something has been measured. */
#define SPEED_AT_FIRST 4.0

struct move {
	struct copy copy;
	struct redirect redirect;
	struct mr_map *map;
	struct copy_end from, to;
	struct copy_end also; /* the copies of the next view, if it has such */
	struct view target;   /* a mapping to write the bytes to, if the next view cannot be written to */
	double speed;	      /* bytes a nanosecond, of the last round */

	/* Guarded. The lock protects what follows it, and comes after the service's. */
	struct shield shield;
	uint64_t page, pages;
	pthread_mutex_t lock;
	uint64_t *marks; /* a bit a page */
	uint64_t marked;
	uint64_t faults;
	bool hold;
};

/* -- the destination -- */

static bool has_copies(const struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->segments[i].copied)
			return true;
	return false;
}

/* Whether what is written to the view reaches its memory. */
static bool is_writable(const struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->segments[i].source && !(view->segments[i].protection & PROT_WRITE))
			return false;
	return view_stands_whole(view) && !(view->access & MR_MAP_COPY_ON_WRITE);
}

/* A mapping of its own to write to, since the next view cannot be. */
static int open_target(struct move *move)
{
	const struct redirect *redirect = &move->redirect;
	struct sentence before;
	int error;

	error_keep(&before);
	error = view_plan(&move->target, NULL, redirect->backing, redirect->offset, move->map->length, 0, false);
	if (error == -EOPNOTSUPP && move->map->channel) {
		error_forgive(&before);
		return 0; /* what the driver alone can map is written to by way of the memory */
	}
	if (error)
		return error;
	error = space_local.build_aside(&move->target, 0);
	if (error) {
		view_forget(&move->target);
		return error;
	}
	move->to.address = move->target.base + move->target.lead;
	return 0;
}

static int open_destination(struct move *move)
{
	struct redirect *redirect = &move->redirect;
	uintptr_t next = redirect->next.base + redirect->next.lead;

	move->to = (struct copy_end){ .memory = redirect->backing, .offset = redirect->offset };
	move->to.steady = memory_is_steady(redirect->backing, redirect->offset, move->map->length);
	if (memory_is_paged(redirect->backing, redirect->offset, move->map->length) &&
	    !(redirect->options & MR_MAP_COPY_ON_WRITE))
		return 0; /* by way of the memory: what is written so need not be read before */
	if (is_writable(&redirect->next)) {
		if (!move->map->host) /* what stands in another process is written to by way of the memory */
			move->to.address = next;
		return 0;
	}
	if (has_copies(&redirect->next) && redirect->options & MR_MAP_READ_ONLY)
		return fail(-EOPNOTSUPP, "what is copied for a copy-on-write map of this memory cannot be moved to read-only");
	if (has_copies(&redirect->next))
		move->also = (struct copy_end){ .address = next, .task = move->map->task };
	return open_target(move);
}

/* To the memory; and to the next view, where that has copies of its own. */
static int copy_both(struct move *move, uint64_t at, uint64_t length)
{
	int error = copy_bytes(&move->from, &move->to, at, length);

	if (!error && move->also.address)
		error = copy_bytes(&move->from, &move->also, at, length);
	return error;
}

/* Page tables of the next view, if it is there already. */
static int populate_next(struct move *move)
{
	const struct view *next = &move->redirect.next;

	if (memory_is_paged(move->redirect.backing, move->redirect.offset, move->map->length))
		return 0;
	return view_stands_whole(next) ? move->map->space->populate(next, 0, next->span) : 0;
}

/* -- guarded -- */

/* Somebody is about to write to a page. */
static void mark(struct guard *guard, uintptr_t address)
{
	struct move *move = (struct move *)((char *)guard - offsetof(struct move, shield.guard));
	uint64_t page = (address - guard->start) / move->page, bit = UINT64_C(1) << page % WORD;

	pthread_mutex_lock(&move->lock);
	move->faults++;
	if (!move->hold) {
		move->marked += !(move->marks[page / WORD] & bit);
		move->marks[page / WORD] |= bit;
		move->map->space->let(&move->shield, guard->start + page * move->page, move->page);
	}
	pthread_mutex_unlock(&move->lock);
}

/*
 * The marks of a word of pages, which are protected again before anybody can mark them anew. -EAGAIN: not now. The lock must not be kept
 * until then: the service's thread may be waiting for it, and others for that one.
 */
static int try_take_marks(struct move *move, uint64_t word, uint64_t *ret_marks)
{
	uint64_t marks, first;
	int error = 0;

	pthread_mutex_lock(&move->lock);
	marks = move->marks[word];
	if (marks) {
		first = (uint64_t)__builtin_ctzll(marks);
		error = move->map->space->protect(&move->shield, move->map->start + (word * WORD + first) * move->page,
						  (WORD - first - (uint64_t)__builtin_clzll(marks)) * move->page);
	}
	if (!error) {
		move->marks[word] = 0;
		move->marked -= (uint64_t)__builtin_popcountll(marks);
		*ret_marks = marks;
	}
	pthread_mutex_unlock(&move->lock);
	return error;
}

static int take_marks(struct move *move, uint64_t word, uint64_t *ret_marks)
{
	int error;

	while ((error = try_take_marks(move, word, ret_marks)) == -EAGAIN) {
		move->map->space->look();
		sched_yield();
	}
	return error;
}

/* This thread has a processor, which the service's may be waiting for, and so may who was let go. */
static void see_to_others(struct move *move)
{
	uint64_t let_go;

	move->map->space->look();
	pthread_mutex_lock(&move->lock);
	let_go = move->faults;
	pthread_mutex_unlock(&move->lock);
	copy_give_way(&move->copy, let_go);
}

/* Copy what of the pages [first, first + count) belongs to the map. */
static int copy_pages(struct move *move, uint64_t first, uint64_t count)
{
	uint64_t lead = move->map->address - move->map->start;
	uint64_t from = first * move->page, end = (first + count) * move->page;

	from = from < lead ? 0 : from - lead;
	end = end < lead ? 0 : end - lead;
	end = end > move->map->length ? move->map->length : end;
	if (from >= end)
		return 0;
	move->copy.report.bytes += end - from;
	return copy_both(move, from, end - from);
}

/* Copy the runs of pages that are marked in a word. */
static int copy_marked(struct move *move, uint64_t word, uint64_t marks)
{
	int error = 0;

	while (!error && marks) {
		uint64_t first = (uint64_t)__builtin_ctzll(marks), rest = ~(marks >> first);
		uint64_t count = rest ? (uint64_t)__builtin_ctzll(rest) : WORD - first;

		error = copy_pages(move, word * WORD + first, count);
		marks &= first + count < WORD ? ~UINT64_C(0) << (first + count) : 0;
	}
	return error;
}

/* What a round has taught of the copier's speed, if it had enough to do and was not held back. */
static void learn_speed(struct move *move, uint64_t bytes, uint64_t begin)
{
	uint64_t took = sys_now() - begin;

	if (!move->copy.opts.rate_mib_s && took && bytes >= COPY_PART)
		move->speed = (double)bytes / (double)took;
}

/* The first round: all pages. What is written meanwhile is marked, whether it has been copied yet or not. */
static int copy_everything(struct move *move)
{
	uint64_t begin = sys_now(), part = COPY_PART > move->page ? COPY_PART / move->page : 1;
	int error = 0;

	for (uint64_t first = 0; !error && first < move->pages; first += part) {
		uint64_t count = move->pages - first < part ? move->pages - first : part;

		copy_pace(&move->copy, count * move->page);
		error = copy_pages(move, first, count);
		see_to_others(move);
		if (!error && first / part % 4 == 3)
			error = copy_tell(&move->copy, move->copy.report.bytes, move->map->length);
	}
	learn_speed(move, move->copy.report.bytes, begin);
	return error;
}

/* One round over what is marked. @paced: with the caller's pace. */
static int sweep(struct move *move, bool paced)
{
	uint64_t words = (move->pages + WORD - 1) / WORD, begin = sys_now(), before = move->copy.report.bytes;
	int error = 0;

	for (uint64_t word = 0; !error && word < words; word++) {
		uint64_t marks = 0;

		error = take_marks(move, word, &marks);
		if (!error && paced && marks)
			copy_pace(&move->copy, (uint64_t)__builtin_popcountll(marks) * move->page);
		if (!error)
			error = copy_marked(move, word, marks);
		if (paced && marks)
			see_to_others(move);
	}
	learn_speed(move, move->copy.report.bytes - before, begin);
	return error;
}

static uint64_t left(struct move *move)
{
	uint64_t marked;

	pthread_mutex_lock(&move->lock);
	marked = move->marked;
	pthread_mutex_unlock(&move->lock);
	return marked;
}

/* How long the last round would take now. */
static uint64_t last_ns(struct move *move, uint64_t pages)
{
	return (uint64_t)((double)(pages * move->page) / move->speed) + HAND_OVER_NS;
}

static int too_long(struct move *move, uint64_t needed)
{
	return fail(-EBUSY, "the last bytes would hold clients up for %" PRIu64 " ns; stall_budget_ns is %" PRIu64, needed,
		    move->copy.opts.stall_budget_ns);
}

/* The end of a round: the caller is told. */
static int end_round(struct move *move, uint64_t bytes)
{
	move->copy.report.rounds++;
	return copy_tell(&move->copy, bytes, bytes);
}

/* Rounds over what is marked, until little is, or clients write as fast as we copy. */
static int copy_in_rounds(struct move *move)
{
	uint64_t budget = move->copy.opts.stall_budget_ns, before = move->pages, now = left(move);
	int error = 0;

	while (!error && move->copy.report.rounds < MOST_ROUNDS && now > LITTLE && now < before - before / 4) {
		before = now;
		error = sweep(move, true);
		if (!error)
			error = end_round(move, before * move->page);
		now = left(move);
	}
	if (!error && budget && last_ns(move, now) > budget)
		error = too_long(move, last_ns(move, now));
	return error;
}

static void set_hold(struct move *move, bool hold)
{
	pthread_mutex_lock(&move->lock);
	move->hold = hold;
	pthread_mutex_unlock(&move->lock);
}

/* Hold all who write, copy the last pages, show the next view. Within the gate, and with the sources' lock held. */
static int finish(struct move *move, uint64_t begin)
{
	uint64_t budget = move->copy.opts.stall_budget_ns, needed;
	int error;

	set_hold(move, true);
	error = sweep(move, false);
	needed = sys_now() - begin + HAND_OVER_NS;
	if (!error && budget && needed > budget)
		error = too_long(move, needed);
	if (!error)
		error = move->map->space->hand_over(&move->shield, &move->redirect.next);
	if (error) {
		set_hold(move, false);
		move->map->space->wake(&move->shield);
	}
	return error;
}

/* The sources' lock comes first: whoever has it to write to private memory may wait for the shield, and must still be let go. */
static int hand_over(struct move *move)
{
	uint64_t begin;
	int error;

	process_gate_enter();
	sources_lock();
	begin = sys_now();
	error = finish(move, begin);
	copy_stalled(&move->copy, sys_now() - begin);
	sources_unlock();
	process_gate_leave();
	return error;
}

static int move_under_shield(struct move *move)
{
	const struct space *space = move->map->space;
	int error = space->raise(&move->shield, &move->map->view);

	if (error)
		return error;
	copy_stalled(&move->copy, move->shield.stall_ns);
	move->from = copy_shown(move->map);
	error = copy_everything(move);
	if (!error)
		error = end_round(move, move->map->length);
	if (!error)
		error = populate_next(move);
	if (!error)
		error = copy_in_rounds(move);
	if (!error)
		error = hand_over(move);
	space->lower(&move->shield);
	return error;
}

static int make_marks(struct move *move)
{
	const struct mr_map *map = move->map;
	uint64_t words;

	move->page = map->view.align > sys_page_size() ? map->view.align : sys_page_size();
	move->pages = map->span / move->page;
	words = (move->pages + WORD - 1) / WORD;
	move->marks = sys_allocate(words, sizeof(*move->marks));
	return move->marks ? 0 : fail(-ENOMEM, "there is no memory for the marks of %" PRIu64 " pages", move->pages);
}

static int move_guarded(struct move *move)
{
	int error = make_marks(move);

	if (error)
		return error;
	move->shield.guard.write = mark;
	pthread_mutex_init(&move->lock, NULL);
	error = move_under_shield(move);
	pthread_mutex_destroy(&move->lock);
	sys_free(move->marks);
	move->copy.report.faults = move->faults;
	move->copy.report.method = MR_COPIED_GUARDED;
	return error;
}

/* -- at rest, and stopped -- */

static int move_at_rest(struct move *move)
{
	int error;

	move->from = copy_shown(move->map);
	move->copy.report.rounds = 1;
	move->copy.report.method = MR_COPIED_AT_REST;
	error = copy_all(&move->copy, &move->from, &move->to, move->map->length);
	if (!error && move->also.address)
		error = copy_bytes(&move->from, &move->also, 0, move->map->length);
	if (!error)
		error = populate_next(move);
	return error ? error : redirect_commit(&move->redirect);
}

static int move_stopped(struct move *move)
{
	uint64_t budget = move->copy.opts.stall_budget_ns, begin = sys_now();
	int error;

	if (budget && last_ns(move, move->map->length / sys_page_size()) > budget)
		return too_long(move, last_ns(move, move->map->length / sys_page_size()));
	error = map_block(move->map);
	if (error)
		return error;
	error = move_at_rest(move);
	if (error)
		copy_let_go(move->map);
	copy_stalled(&move->copy, sys_now() - begin);
	move->copy.report.method = MR_COPIED_STOPPED;
	return error;
}

/* -- all of it -- */

static int move_now(struct move *move)
{
	struct mr_map *map = move->map;
	struct sentence before;
	int error;

	if (map->blocked)
		return move_at_rest(move);
	error_keep(&before);
	error = move->copy.opts.flags & MR_COPY_STOP ? -EOPNOTSUPP : move_guarded(move);
	if (error != -EOPNOTSUPP)
		return error;
	error_forgive(&before);
	return move_stopped(move);
}

static int move_staged(struct move *move)
{
	bool watching = move->map->watching;
	int error = map_watch(move->map);

	if (!error)
		error = redirect_stage(&move->redirect);
	if (!error)
		error = open_destination(move);
	if (!error)
		error = move_now(move);
	space_local.discard(&move->target);
	if (error)
		map_unwatch(move->map, watching);
	return error;
}

/* What another process shares with others would be moved for it alone, and they would go on with the old bytes. */
static int check_shared(const struct mr_map *map)
{
	for (size_t i = 0; map->host && i < map->view.count; i++)
		if (map->view.segments[i].shared)
			return fail(
				-EOPNOTSUPP,
				"the map is of memory that process %d may share with others, which would not follow; redirect it instead",
				(int)mr_task_pid(map->task));
	return 0;
}

/* With the map's lock held. */
static int take(struct move *move)
{
	struct redirect *redirect = &move->redirect;
	struct mr_map *map = move->map;
	int error = redirect_check(redirect);

	if (!error && redirect->backing->options & MR_MEMORY_READ_ONLY)
		error = fail(-EACCES, "the memory to move to is read-only");
	if (!error && memory_overlaps(map->memory, map->offset, redirect->backing, redirect->offset, map->length))
		error = fail(-EINVAL, "the memory to move to is, in part, what the map shows");
	if (!error)
		error = map_refresh(map);
	if (!error)
		error = check_shared(map);
	if (!error)
		error = redirect_plan(redirect);
	if (!error)
		error = move_staged(move);
	if (error)
		redirect_abandon(redirect);
	else
		redirect_note(redirect);
	return error;
}

int mr_map_move(struct mr_map *map, struct mr_memory *to, uint64_t offset, uint32_t options, const struct mr_copy_opts *opts,
		struct mr_report *ret_report)
{
	struct redirect redirect = { .map = map, .backing = to, .options = options & ~MR_MAP_PREFAULT, .offset = offset };
	struct move move = { .redirect = redirect, .map = map, .speed = SPEED_AT_FIRST };
	int error;

	error_call(__func__);
	error = map_check(map);
	if (!error)
		error = memory_check(to);
	if (!error)
		error = copy_begin(&move.copy, opts, MR_COPY_STOP, ret_report);
	if (!error && move.copy.opts.into)
		error = fail(-EINVAL, "opts->into is %p; it is for mr_map_snapshot alone", (void *)move.copy.opts.into);
	if (!error)
		error = map_lock(map);
	if (error)
		return error;
	error = take(&move);
	pthread_mutex_unlock(&map->lock);
	redirect_discard(&move.redirect);
	if (!error)
		copy_report(&move.copy, ret_report);
	return error;
}
