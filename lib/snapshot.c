/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: what a map shows at one instant.
 *
 * At that instant a shield is raised over the map: every page is write-protected. The bytes are copied in blocks, and a block that has
 * been copied may be written to again. The caller's thread copies in order, at the pace it was given; a thread beside it copies
 * what somebody waits to write to, at once. Nothing is in the copy alone: writes go to where they always go, so that forks,
 * other maps of the memory, and a failure at any point find every byte in its place.
 *
 *	block	TODO -> BUSY -> DONE, and the page can be written to; who writes to a block that is TODO has it put into the queue
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

/* How often the caller is told. */
#define TOLD (UINT64_C(4) << 20)

enum { TODO, BUSY, DONE };

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
	const struct space *space = snapshot->whole->space;
	uint64_t length = snapshot->map->length;
	int error = view_plan(&snapshot->target, into, 0, length, 0, false);

	snapshot->to.memory = into;
	if (error == -ENOMEM)
		return error;
	if (error)
		return 0;
	error = space->build_aside(&snapshot->target, 0);
	if (error) {
		view_forget(&snapshot->target);
		return error;
	}
	snapshot->to.address = snapshot->target.base + snapshot->target.lead;
	snapshot->to.steady = memory_is_steady(into, 0, length);
	if (snapshot->to.steady && !snapshot->to.fresh)
		error = space->populate(&snapshot->target);
	if (error)
		space->discard(&snapshot->target);
	return error;
}

static void close_target(struct snapshot *snapshot)
{
	snapshot->whole->space->discard(&snapshot->target);
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
	uint64_t begin = sys_now();
	int error = map_block(snapshot->whole), stuck;

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

	from = from < first ? first : from;
	to = to > end ? end : to;
	return from < to ? copy_bytes(&snapshot->from, &snapshot->to, from - first, to - from) : 0;
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

/* Copy claimed blocks, and let those go on who wait for them. */
static void serve_blocks(struct snapshot *snapshot, uint64_t block, uint64_t count)
{
	int error = copy_blocks(snapshot, block, count);
	uint64_t since;

	pthread_mutex_lock(&snapshot->lock);
	set_states(snapshot, block, count, DONE);
	if (error && !snapshot->error)
		snapshot->error = error;
	pthread_mutex_unlock(&snapshot->lock);
	snapshot->whole->space->unprotect(&snapshot->shield, address_of(snapshot, block), length_of(snapshot, block, count));
	pthread_mutex_lock(&snapshot->lock);
	since = set_states(snapshot, block, count, DONE);
	if (since && sys_now() - since > snapshot->worst)
		snapshot->worst = sys_now() - since;
	pthread_mutex_unlock(&snapshot->lock);
}

/* Somebody is about to write to a block. */
static void want(struct guard *guard, uintptr_t address)
{
	struct snapshot *snapshot = (struct snapshot *)((char *)guard - offsetof(struct snapshot, shield.guard));
	uint64_t block = (address - guard->start) / snapshot->block;
	struct block *state = &snapshot->states[block];
	bool done;

	pthread_mutex_lock(&snapshot->lock);
	snapshot->faults++;
	done = state->state == DONE;
	if (!done && !state->since) {
		state->since = sys_now();
		snapshot->queue[snapshot->tail++] = block;
		pthread_cond_signal(&snapshot->wanted);
	}
	pthread_mutex_unlock(&snapshot->lock);
	if (done)
		snapshot->whole->space->let(&snapshot->shield, address_of(snapshot, block), length_of(snapshot, block, 1));
}

/*
 * The thread beside: what is wanted, until there is nothing more to come. But nobody may be let go before every page is protected: who
 * went on could write to one that is not, and its bytes would be later than the instant.
 */
static void *serve_wanted(void *argument)
{
	struct snapshot *snapshot = argument;

	pthread_mutex_lock(&snapshot->lock);
	while (!snapshot->stop) {
		uint64_t block;

		if (!snapshot->raised || snapshot->head == snapshot->tail) {
			pthread_cond_wait(&snapshot->wanted, &snapshot->lock);
			continue;
		}
		block = snapshot->queue[snapshot->head++];
		pthread_mutex_unlock(&snapshot->lock);
		if (claim(snapshot, block, 1))
			serve_blocks(snapshot, block, 1);
		pthread_mutex_lock(&snapshot->lock);
	}
	pthread_mutex_unlock(&snapshot->lock);
	return NULL;
}

/* How many blocks to copy at once: many, while nobody writes; none, if this one is done or under way. */
static uint64_t choose_run(struct snapshot *snapshot, uint64_t block, uint64_t *faults)
{
	uint64_t left = snapshot->blocks - block, most = RUN > snapshot->block ? RUN / snapshot->block : 1, now;
	bool mine;

	pthread_mutex_lock(&snapshot->lock);
	mine = snapshot->states[block].state == TODO;
	now = snapshot->faults;
	pthread_mutex_unlock(&snapshot->lock);
	if (!mine)
		return 0;
	most = now == *faults ? most : 1;
	*faults = now;
	return left < most ? left : most;
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
			serve_blocks(snapshot, block, run);
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

static int copy_under_shield(struct snapshot *snapshot)
{
	const struct space *space = snapshot->whole->space;
	int error = space->raise(&snapshot->shield, &snapshot->whole->view);

	if (error)
		return error;
	copy_stalled(&snapshot->copy, snapshot->shield.stall_ns);
	pthread_mutex_lock(&snapshot->lock);
	snapshot->raised = true;
	pthread_cond_signal(&snapshot->wanted);
	pthread_mutex_unlock(&snapshot->lock);
	error = copy_in_order(snapshot);
	end_server(snapshot);
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

	snapshot->from = copy_shown(snapshot->map);
	snapshot->shield.guard.write = want;
	pthread_mutex_init(&snapshot->lock, NULL);
	pthread_cond_init(&snapshot->wanted, NULL);
	if (!error)
		error = worker_start(&snapshot->server, serve_wanted, snapshot);
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
	int error;

	if (whole->blocked || (whole->options & MR_MAP_READ_ONLY && !whole->view.adopted))
		return copy_at_rest(snapshot);
	error = map_refresh(whole);
	if (!error)
		error = map_watch(whole);
	if (error)
		return error;
	error = snapshot->copy.opts.flags & MR_COPY_STOP ? -EOPNOTSUPP : copy_guarded(snapshot);
	return error == -EOPNOTSUPP ? copy_stopped(snapshot) : error;
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
