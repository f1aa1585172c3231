/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: what a map shows at one instant.
 *
 * At that instant a shield is raised over the map: every page is write-protected. The bytes are copied in blocks, and a block that has
 * been copied may be written to again. The caller's thread copies in order, at the pace it was given; what somebody waits to write to
 * is copied at once, by whoever hears of it first: the service's thread, the caller's, or, if it may take time, one beside them. Nothing
 * is in the copy alone: writes go to where they always go, so that forks, other maps of the memory, and a failure at any point find
 * every byte in its place.
 *
 *	block	TODO -> BUSY -> DONE, and the page can be written to; who writes to a block that is TODO has it copied or queued
 *
 * Where there can be no shield, the map is blocked for the whole copy. Where nobody can write, neither is needed.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>

#include "copy.h"
#include "error.h"
#include "space/space.h"
#include "sys/sys.h"
#include "worker.h"

/* What a writer waits for at most, besides the pages being huge. */
#define BLOCK (UINT64_C(128) << 10)

/* What is copied at once while nobody writes. */
#define RUN (UINT64_C(1) << 20)

/* How much of the target's page tables is filled at once, and how far before it is copied to. */
#define FILL  (UINT64_C(1) << 20)
#define AHEAD (4 * FILL)

/* How often the caller is told. */
#define TOLD (UINT64_C(4) << 20)

enum { TODO, BUSY, DONE };

typedef void release_pages(const struct shield *shield, uintptr_t start, uint64_t length);

struct block {
	uint64_t since; /* when somebody first waited; 0: nobody */
	uint8_t state;
};

struct snapshot {
	struct copy copy;
	struct mr_map *map;
	struct mr_map *whole;
	struct copy_end from, to;
	struct view target; /* the mapping of `to`, if it is ours */
	bool to_be_filled;  /* its page tables */

	/* Guarded. The lock protects what follows it, and comes after the service's. */
	struct shield shield;
	uint64_t block, blocks;
	struct worker server;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct block *states;
	uint64_t *queue; /* each block enters once */
	uint64_t head, tail;
	uint64_t faults, worst;
	uint64_t served;	/* blocks that somebody waited for */
	uint64_t position;	/* how far the copying in order is, about */
	uint64_t filled, ahead; /* the page tables of the target are, from here to there: offsets in it */
	int error;
	bool raised, stop;
};

/* -- the destination -- */

static int check_into(const struct mr_map *map, const struct mr_memory *into)
{
	int error = memory_check(into);

	if (error)
		return error;
	if (into->length < map->length)
		return fail(-ERANGE, "into has %" PRIu64 " bytes; the map has %" PRIu64, into->length, map->length);
	if (into->options & MR_MEMORY_READ_ONLY)
		return fail(-EACCES, "into is read-only");
	if (memory_overlaps(map->memory, map->offset, into, 0, map->length))
		return fail(-EINVAL, "into is, in part, what the map shows");
	return 0;
}

/* Map it, if it can be mapped; private memory of the process is written to by way of the memory. */
static int open_target(struct snapshot *snapshot, struct mr_memory *into)
{
	uint64_t length = snapshot->map->length;
	int error = view_plan(&snapshot->target, NULL, into, 0, length, 0, false);

	snapshot->to.memory = into;
	if (!error && memory_is_paged(into, 0, length)) {
		view_forget(&snapshot->target);
		return 0;
	}
	if (error == -ENOMEM)
		return error;
	if (error)
		return 0;
	error = space_local.build_aside(&snapshot->target, 0);
	if (error) {
		view_forget(&snapshot->target);
		return error;
	}
	snapshot->to.address = snapshot->target.base + snapshot->target.lead;
	snapshot->to.steady = memory_is_steady(into, 0, length);
	snapshot->to_be_filled = snapshot->to.steady && !snapshot->to.fresh;
	return 0;
}

static void close_target(struct snapshot *snapshot)
{
	space_local.discard(&snapshot->target);
}

/* The page tables of all of it, before anybody is made to wait. */
static int fill_target(struct snapshot *snapshot)
{
	const struct view *target = &snapshot->target;

	return snapshot->to_be_filled ? space_local.populate(target, 0, target->span) : 0;
}

/* Of a part, unless that has been done ahead. */
static int fill_part(struct snapshot *snapshot, uint64_t at, uint64_t length)
{
	uint64_t page = sys_page_size(), from = (snapshot->target.lead + at) / page * page;
	uint64_t to = (snapshot->target.lead + at + length + page - 1) / page * page;
	bool filled;

	if (!snapshot->to_be_filled)
		return 0;
	pthread_mutex_lock(&snapshot->lock);
	filled = from >= snapshot->filled && to <= snapshot->ahead;
	pthread_mutex_unlock(&snapshot->lock);
	return filled ? 0 : space_local.populate(&snapshot->target, from, to - from);
}

/* -- at rest, and stopped -- */

static int copy_at_rest(struct snapshot *snapshot)
{
	snapshot->copy.report.method = MR_COPIED_AT_REST;
	snapshot->from = copy_shown(snapshot->map);
	return copy_all(&snapshot->copy, &snapshot->from, &snapshot->to, snapshot->map->length);
}

static int copy_stopped(struct snapshot *snapshot)
{
	int error = fill_target(snapshot), stuck;
	uint64_t begin = sys_now();

	if (!error)
		error = map_block(snapshot->whole);
	if (error)
		return error;
	error = copy_at_rest(snapshot);
	stuck = copy_let_go(snapshot->whole);
	copy_stalled(&snapshot->copy, sys_now() - begin);
	snapshot->copy.report.method = MR_COPIED_STOPPED;
	return error ? error : stuck;
}

/* -- guarded -- */

static uintptr_t address_of(const struct snapshot *snapshot, uint64_t block)
{
	return snapshot->whole->start + block * snapshot->block;
}

static uint64_t length_of(const struct snapshot *snapshot, uint64_t block, uint64_t count)
{
	uint64_t left = snapshot->whole->span - block * snapshot->block;

	return left < count * snapshot->block ? left : count * snapshot->block;
}

/* Copy what of the blocks belongs to the map. */
static int copy_blocks(struct snapshot *snapshot, uint64_t block, uint64_t count)
{
	uintptr_t first = snapshot->map->address, end = first + snapshot->map->length;
	uintptr_t from = address_of(snapshot, block), to = from + length_of(snapshot, block, count);
	int error;

	from = from < first ? first : from;
	to = to > end ? end : to;
	if (from >= to)
		return 0;
	error = fill_part(snapshot, from - first, to - from);
	return error ? error : copy_bytes(&snapshot->from, &snapshot->to, from - first, to - from);
}

/* How many blocks from this one on, @most, are for the calling thread to copy now. */
static uint64_t claim(struct snapshot *snapshot, uint64_t block, uint64_t most)
{
	uint64_t count = 0;

	pthread_mutex_lock(&snapshot->lock);
	for (; count < most && snapshot->states[block + count].state == TODO; count++)
		snapshot->states[block + count].state = BUSY;
	pthread_mutex_unlock(&snapshot->lock);
	return count;
}

/* Set the state of blocks. Return: since when somebody has waited for one of them; 0: nobody has. With the lock held. */
static uint64_t set_states(struct snapshot *snapshot, uint64_t block, uint64_t count, uint8_t state)
{
	uint64_t since = 0;

	for (uint64_t i = block; i < block + count; i++) {
		snapshot->states[i].state = state;
		if (snapshot->states[i].since && (!since || snapshot->states[i].since < since))
			since = snapshot->states[i].since;
	}
	return since;
}

/* Copy claimed blocks, and let those go on who wait for them: by unprotect, or by let. */
static void serve_blocks(struct snapshot *snapshot, uint64_t block, uint64_t count, release_pages *release)
{
	int error = copy_blocks(snapshot, block, count);
	uint64_t since;

	pthread_mutex_lock(&snapshot->lock);
	set_states(snapshot, block, count, DONE);
	if (error && !snapshot->error)
		snapshot->error = error;
	pthread_mutex_unlock(&snapshot->lock);
	release(&snapshot->shield, address_of(snapshot, block), length_of(snapshot, block, count));
	pthread_mutex_lock(&snapshot->lock);
	since = set_states(snapshot, block, count, DONE);
	snapshot->served += since != 0;
	if (since && sys_now() - since > snapshot->worst)
		snapshot->worst = sys_now() - since;
	pthread_mutex_unlock(&snapshot->lock);
}

/* Whether copying takes nothing but instructions, so that whoever hears of a write may do it at once. */
static bool is_prompt(const struct snapshot *snapshot)
{
	return snapshot->from.address && snapshot->from.steady && snapshot->to.address && snapshot->to.steady &&
	       !snapshot->to.fresh;
}

/* What is to be done about a write to a block that is not copied yet: put it into the queue; or, true, copy it here and now. With the lock held. */
static bool take_up(struct snapshot *snapshot, uint64_t block)
{
	struct block *state = &snapshot->states[block];
	bool here = snapshot->raised && state->state == TODO && is_prompt(snapshot);

	if (!state->since) {
		state->since = sys_now();
		if (!here) {
			snapshot->queue[snapshot->tail++] = block;
			pthread_cond_signal(&snapshot->wanted);
		}
	}
	if (here)
		state->state = BUSY;
	return here;
}

/* Somebody is about to write to a block. */
static void want(struct guard *guard, uintptr_t address)
{
	struct snapshot *snapshot = (struct snapshot *)((char *)guard - offsetof(struct snapshot, shield.guard));
	const struct space *space = snapshot->whole->space;
	uint64_t block = (address - guard->start) / snapshot->block;
	bool done, here;

	pthread_mutex_lock(&snapshot->lock);
	snapshot->faults++;
	done = snapshot->states[block].state == DONE;
	here = !done && take_up(snapshot, block);
	pthread_mutex_unlock(&snapshot->lock);
	if (done)
		space->let(&snapshot->shield, address_of(snapshot, block), length_of(snapshot, block, 1));
	else if (here)
		serve_blocks(snapshot, block, 1, space->let);
}

/*
 * While nobody writes: fill page tables of the target, some way before the copying. Not before the shield is up, which takes the lock of the
 * address space that filling keeps busy. With the lock held, which is given back meanwhile.
 */
static bool fill_ahead(struct snapshot *snapshot)
{
	uint64_t span = snapshot->target.span, from, length;
	int error;

	if (snapshot->ahead <= snapshot->position) /* it was overtaken, or has not begun */
		snapshot->filled = snapshot->ahead = snapshot->position + AHEAD;
	from = snapshot->ahead;
	if (!snapshot->to_be_filled || !snapshot->raised || snapshot->faults || from >= span)
		return false;
	length = span - from < FILL ? span - from : FILL;
	pthread_mutex_unlock(&snapshot->lock);
	error = space_local.populate(&snapshot->target, from, length);
	pthread_mutex_lock(&snapshot->lock);
	if (error)
		return false; /* whoever copies there finds it out */
	snapshot->ahead = from + length;
	return true;
}

/* Serve what is wanted first. False: nothing is. With the lock held, which is given back meanwhile. */
static bool serve_wanted(struct snapshot *snapshot)
{
	uint64_t block;

	if (snapshot->head == snapshot->tail)
		return false;
	block = snapshot->queue[snapshot->head++];
	pthread_mutex_unlock(&snapshot->lock);
	if (claim(snapshot, block, 1))
		serve_blocks(snapshot, block, 1, snapshot->whole->space->unprotect);
	pthread_mutex_lock(&snapshot->lock);
	return true;
}

/*
 * The thread beside: what is wanted, until there is nothing more to come. But nobody may be let go before every page is protected: who
 * went on could write to one that is not, and its bytes would be later than the instant.
 */
static void *serve_beside(void *argument)
{
	struct snapshot *snapshot = argument;

	pthread_mutex_lock(&snapshot->lock);
	while (!snapshot->stop)
		if (!snapshot->raised || (!serve_wanted(snapshot) && !fill_ahead(snapshot)))
			pthread_cond_wait(&snapshot->wanted, &snapshot->lock);
	pthread_mutex_unlock(&snapshot->lock);
	return NULL;
}

/* How many blocks to copy at once: many, while nobody writes; none, if this one is done or under way. */
static uint64_t choose_run(struct snapshot *snapshot, uint64_t block, uint64_t *faults)
{
	uint64_t left = snapshot->blocks - block, most = RUN > snapshot->block ? RUN / snapshot->block : 1, now;
	uint64_t first = snapshot->map->address - snapshot->whole->start, at = block * snapshot->block;
	bool mine;

	pthread_mutex_lock(&snapshot->lock);
	mine = snapshot->states[block].state == TODO;
	now = snapshot->faults;
	snapshot->position = at > first ? at - first : 0;
	pthread_mutex_unlock(&snapshot->lock);
	if (!mine)
		return 0;
	most = now == *faults ? most : 1;
	*faults = now;
	return left < most ? left : most;
}

/* This thread has a processor, which the others may still be waiting for: so it looks, too, who wants to write. */
static void serve_others(struct snapshot *snapshot)
{
	uint64_t served;

	snapshot->whole->space->look();
	pthread_mutex_lock(&snapshot->lock);
	while (serve_wanted(snapshot))
		;
	served = snapshot->served;
	pthread_mutex_unlock(&snapshot->lock);
	copy_give_way(&snapshot->copy, served);
}

/* The caller's thread: all blocks in order, at the pace it was given. Nothing is claimed while it sleeps. */
static int copy_in_order(struct snapshot *snapshot)
{
	uint64_t first = snapshot->map->address - snapshot->whole->start, length = snapshot->map->length;
	uint64_t faults = 0, told = 0, run;
	int error = 0;

	for (uint64_t block = 0; !error && block < snapshot->blocks; block += run ? run : 1) {
		uint64_t at = block * snapshot->block;

		if (at >= first + told + TOLD && at < first + length) {
			told = at - first;
			error = copy_tell(&snapshot->copy, told, length);
		}
		run = error ? 0 : choose_run(snapshot, block, &faults);
		copy_pace(&snapshot->copy, run * snapshot->block);
		run = claim(snapshot, block, run);
		if (run)
			serve_blocks(snapshot, block, run, snapshot->whole->space->unprotect);
		serve_others(snapshot);
	}
	return error;
}

/* Wait until the last block that the thread beside has begun is done. */
static void end_server(struct snapshot *snapshot)
{
	pthread_mutex_lock(&snapshot->lock);
	snapshot->stop = true;
	pthread_cond_signal(&snapshot->wanted);
	pthread_mutex_unlock(&snapshot->lock);
	worker_join(&snapshot->server);
}

/*
 * From now on nobody begins to copy because somebody writes, and whoever has begun is done: the service's thread reads from where the
 * view stands now, and lowering the shield moves it. Who is still made to wait is woken by that.
 */
static void end_serving(struct snapshot *snapshot)
{
	end_server(snapshot);
	pthread_mutex_lock(&snapshot->lock);
	snapshot->raised = false;
	pthread_mutex_unlock(&snapshot->lock);
	snapshot->whole->space->settle();
}

static int copy_under_shield(struct snapshot *snapshot)
{
	const struct space *space = snapshot->whole->space;
	int error = space->raise(&snapshot->shield, &snapshot->whole->view);

	if (error)
		return error;
	copy_stalled(&snapshot->copy, snapshot->shield.stall_ns);
	snapshot->from = copy_shown(snapshot->map);
	pthread_mutex_lock(&snapshot->lock);
	snapshot->raised = true;
	pthread_cond_signal(&snapshot->wanted);
	pthread_mutex_unlock(&snapshot->lock);
	error = copy_in_order(snapshot);
	end_serving(snapshot);
	space->lower(&snapshot->shield);
	return error;
}

static int make_queue(struct snapshot *snapshot)
{
	const struct mr_map *whole = snapshot->whole;

	snapshot->block = whole->view.align > BLOCK ? whole->view.align : BLOCK;
	snapshot->blocks = (whole->span + snapshot->block - 1) / snapshot->block;
	snapshot->states = sys_allocate(snapshot->blocks, sizeof(*snapshot->states));
	snapshot->queue = sys_allocate(snapshot->blocks, sizeof(*snapshot->queue));
	if (snapshot->states && snapshot->queue)
		return 0;
	return fail(-ENOMEM, "there is no memory for the list of %" PRIu64 " blocks", snapshot->blocks);
}

static void free_queue(struct snapshot *snapshot)
{
	sys_free(snapshot->states);
	sys_free(snapshot->queue);
}

static int copy_guarded(struct snapshot *snapshot)
{
	int error = make_queue(snapshot);

	snapshot->shield.guard.write = want;
	pthread_mutex_init(&snapshot->lock, NULL);
	pthread_cond_init(&snapshot->wanted, NULL);
	if (!error)
		error = worker_start(&snapshot->server, serve_beside, snapshot);
	if (!error) {
		error = copy_under_shield(snapshot);
		if (!snapshot->stop)
			end_server(snapshot);
	}
	pthread_cond_destroy(&snapshot->wanted);
	pthread_mutex_destroy(&snapshot->lock);
	free_queue(snapshot);
	if (error || snapshot->error)
		return error ? error
			     : fail_system(snapshot->error, "some of the map's %" PRIu64 " bytes cannot be copied",
					   snapshot->map->length);
	copy_stalled(&snapshot->copy, snapshot->worst);
	snapshot->copy.report.bytes = snapshot->map->length;
	snapshot->copy.report.faults = snapshot->faults;
	snapshot->copy.report.method = MR_COPIED_GUARDED;
	return copy_tell(&snapshot->copy, snapshot->map->length, snapshot->map->length);
}

/* -- all of it -- */

static int copy_now(struct snapshot *snapshot)
{
	struct mr_map *whole = snapshot->whole;
	struct sentence before;
	int error;

	if (whole->blocked || (whole->options & MR_MAP_READ_ONLY && !whole->view.adopted)) {
		error = fill_target(snapshot);
		return error ? error : copy_at_rest(snapshot);
	}
	error = map_refresh(whole);
	if (!error)
		error = map_watch(whole);
	if (error)
		return error;
	error_keep(&before);
	error = snapshot->copy.opts.flags & MR_COPY_STOP ? -EOPNOTSUPP : copy_guarded(snapshot);
	if (error != -EOPNOTSUPP)
		return error;
	error_forgive(&before);
	return copy_stopped(snapshot);
}

static int copy_into(struct snapshot *snapshot, struct mr_memory *into)
{
	bool watching = snapshot->whole->watching;
	int error = open_target(snapshot, into);

	if (error)
		return error;
	error = copy_now(snapshot);
	close_target(snapshot);
	if (error)
		map_unwatch(snapshot->whole, watching);
	return error;
}

/* With the whole map's lock held. */
static int take(struct snapshot *snapshot, struct mr_memory **ret_copy)
{
	struct mr_memory *into = snapshot->copy.opts.into, *fresh = NULL;
	int error = mr_map_address(snapshot->map) ? 0 : map_unmapped();

	if (!error && into)
		error = check_into(snapshot->map, into);
	if (!error && !into)
		error = memory_new_buffer(snapshot->map->length, 0, &fresh);
	if (error)
		return error;
	snapshot->to.fresh = fresh;
	error = copy_into(snapshot, fresh ? fresh : into);
	if (error)
		mr_memory_unref(fresh);
	else
		*ret_copy = fresh ? fresh : mr_memory_ref(into);
	return error;
}

int mr_map_snapshot(struct mr_map *map, const struct mr_copy_opts *opts, struct mr_memory **ret_copy,
		    struct mr_report *ret_report)
{
	struct snapshot snapshot = { .map = map };
	int error;

	error_call(__func__);
	error = map_check(map);
	if (error)
		return error;
	if (!ret_copy)
		return fail(-EINVAL, "ret_copy is NULL; it must point to where the memory is to be put");
	error = copy_begin(&snapshot.copy, opts, MR_COPY_STOP, ret_report);
	snapshot.whole = copy_whole(map);
	if (!error && map_is_import(map))
		error = fail(-EPERM, "the map was imported; only the process that exports it can copy it");
	if (!error)
		error = map_lock(snapshot.whole);
	if (error)
		return error;
	snapshot.copy.report.rounds = 1;
	error = take(&snapshot, ret_copy);
	pthread_mutex_unlock(&snapshot.whole->lock);
	if (!error)
		copy_report(&snapshot.copy, ret_report);
	return error;
}
