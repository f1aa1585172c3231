/* SPDX-License-Identifier: MIT */
/*
 * Guarantee F and lifetimes: several threads redirect, block, ask, unmap and let go of maps at once.
 *
 * Would be caught: two redirects of one map that overlap (a state that no order explains); redirects of different maps that get in
 * each other's way; a use after free or a lost range when unmap and unref meet a redirect (with sanitizers).
 */
#include "kind.h"

#include <stdatomic.h>

#include <errno.h>
#include <sched.h>

#include "stress.h"
#include "suite.h"
#include "thread.h"

#define THREADS 8
#define LENGTH	(16 * page_size())

struct run {
	struct mr_memory *memories[2];
	struct mr_map *map; /* shared, or the thread's own */
	_Atomic bool stop;
	_Atomic uint64_t wrong;
};

struct redirecter {
	struct thread thread;
	struct run *run;
	struct mr_map *map;
	uint64_t random;
	uint64_t done;
};

static void make_memories(struct run *run)
{
	for (uint64_t i = 0; i < 2; i++) {
		assert_ok(mr_memory_new_buffer(LENGTH, 0, &run->memories[i]));
		for (uint64_t offset = 0; offset < LENGTH; offset += page_size())
			assert_ok(mr_memory_write(run->memories[i], offset, &i, sizeof(i)));
	}
}

static struct mr_map *make_map(struct run *run)
{
	struct mr_map *map;

	assert_ok(mr_map_new(run->memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	return map;
}

static void free_memories(struct run *run)
{
	for (unsigned i = 0; i < 2; i++)
		mr_memory_unref(run->memories[i]);
}

/* A map of its own: after each redirect, both ends show what was asked for. */
static void *redirect_own(void *argument)
{
	struct redirecter *self = argument;

	while (!atomic_load(&self->run->stop)) {
		uint64_t random = stress_random(&self->random), which = random % 2;
		char *address = mr_map_address(self->map);

		if ((random >> 4) % 2 && mr_map_redirect(self->map, NULL, 0, 0))
			atomic_fetch_add(&self->run->wrong, 1);
		if (mr_map_redirect(self->map, self->run->memories[which], (random >> 8) % 2 ? MR_MAP_PREFAULT : 0, 0))
			atomic_fetch_add(&self->run->wrong, 1);
		if (*(uint64_t *)address != which || *(uint64_t *)(address + LENGTH - page_size()) != which)
			atomic_fetch_add(&self->run->wrong, 1);
		self->done++;
	}
	return NULL;
}

static void redirect_F_different_maps_side_by_side(void **state)
{
	struct redirecter all[THREADS];
	struct run run = { 0 };
	double begin;

	(void)state;
	make_memories(&run);
	for (unsigned i = 0; i < THREADS; i++) {
		all[i] = (struct redirecter){ .run = &run, .map = make_map(&run), .random = stress_seed() + i };
		assert_true(thread_start(&all[i].thread, redirect_own, &all[i]));
	}
	for (begin = stress_begin(); stress_goes_on(begin);)
		sched_yield();
	atomic_store(&run.stop, true);
	for (unsigned i = 0; i < THREADS; i++) {
		thread_join(&all[i].thread);
		assert_true(all[i].done > 0);
		mr_map_unref(all[i].map);
	}
	assert_int_equal(run.wrong, 0);
	free_memories(&run);
}

/* One map for all: any order is right, but each call succeeds, and at the end it shows what it reports. */
static void *redirect_shared(void *argument)
{
	struct redirecter *self = argument;

	while (!atomic_load(&self->run->stop)) {
		uint64_t random = stress_random(&self->random);
		struct mr_memory *memory = (random >> 4) % 4 ? self->run->memories[random % 2] : NULL;

		if (mr_map_redirect(self->map, memory, 0, 0))
			atomic_fetch_add(&self->run->wrong, 1);
		if (!mr_map_address(self->map) || mr_map_length(self->map) != LENGTH)
			atomic_fetch_add(&self->run->wrong, 1);
		mr_map_waiters(self->map);
		self->done++;
	}
	return NULL;
}

static void redirect_F_one_map_by_several_threads(void **state)
{
	struct redirecter all[THREADS];
	struct run run = { 0 };
	double begin;

	(void)state;
	make_memories(&run);
	run.map = make_map(&run);
	for (unsigned i = 0; i < THREADS; i++) {
		all[i] = (struct redirecter){ .run = &run, .map = run.map, .random = stress_seed() + i };
		assert_true(thread_start(&all[i].thread, redirect_shared, &all[i]));
	}
	for (begin = stress_begin(); stress_goes_on(begin);)
		sched_yield();
	atomic_store(&run.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		thread_join(&all[i].thread);
	assert_int_equal(run.wrong, 0);
	assert_ok(mr_map_redirect(run.map, run.memories[1], 0, 0));
	assert_ptr_equal(mr_map_memory(run.map), run.memories[1]);
	assert_int_equal(*(uint64_t *)mr_map_address(run.map), 1);
	mr_map_unref(run.map);
	free_memories(&run);
}

/* Each thread has a reference of its own: one redirects, one unmaps, one just lets go. */
static void *redirect_until_unmapped(void *argument)
{
	struct redirecter *self = argument;
	int result = 0;

	for (unsigned i = 0; !result; i++)
		result = mr_map_redirect(self->map, i % 3 ? self->run->memories[i % 2] : NULL, 0, 0);
	if (result != -ENXIO)
		atomic_fetch_add(&self->run->wrong, 1);
	mr_map_unref(self->map);
	return NULL;
}

static void *unmap(void *argument)
{
	struct redirecter *self = argument;

	for (uint64_t i = stress_random(&self->random) % 64; i; i--)
		sched_yield();
	if (mr_map_unmap(self->map) || mr_map_address(self->map))
		atomic_fetch_add(&self->run->wrong, 1);
	mr_map_unref(self->map);
	return NULL;
}

static void *let_go(void *argument)
{
	struct redirecter *self = argument;

	mr_map_is_blocked(self->map);
	mr_map_unref(self->map);
	return NULL;
}

static void unmap_meets_redirect_and_unref(void **state)
{
	void *(*const bodies[])(void *) = { redirect_until_unmapped, redirect_until_unmapped, unmap, let_go };
	struct redirecter all[COUNT(bodies)];
	struct run run = { 0 };
	uint64_t round = 0;
	double begin;

	(void)state;
	make_memories(&run);
	for (begin = stress_begin(); stress_goes_on(begin); round++) {
		struct mr_map *map = make_map(&run);

		for (unsigned i = 0; i < COUNT(bodies); i++) {
			all[i] = (struct redirecter){ .run = &run, .map = mr_map_ref(map), .random = stress_seed() + round };
			assert_true(thread_start(&all[i].thread, bodies[i], &all[i]));
		}
		mr_map_unref(map);
		for (unsigned i = 0; i < COUNT(bodies); i++)
			thread_join(&all[i].thread);
	}
	assert_int_equal(run.wrong, 0);
	free_memories(&run);
}

/* Requests for the same part of one memory, made and dropped by several threads: one mapping each time, and never a dead one. */
static void *share(void *argument)
{
	struct redirecter *self = argument;

	while (!atomic_load(&self->run->stop)) {
		uint64_t page = stress_random(&self->random) % (LENGTH / page_size());
		struct mr_map *map;

		if (mr_map_new(self->run->memories[1], NULL, NULL, MR_MAP_ANYWHERE, page * page_size(), 0, &map) ||
		    !mr_map_address(map) || *(volatile uint64_t *)mr_map_address(map) != 1)
			atomic_fetch_add(&self->run->wrong, 1);
		mr_map_unref(map);
		self->done++;
	}
	return NULL;
}

static void shared_maps_come_and_go(void **state)
{
	struct redirecter all[THREADS];
	struct run run = { 0 };
	double begin;

	(void)state;
	make_memories(&run);
	for (unsigned i = 0; i < THREADS; i++) {
		all[i] = (struct redirecter){ .run = &run, .random = stress_seed() + i };
		assert_true(thread_start(&all[i].thread, share, &all[i]));
	}
	for (begin = stress_begin(); stress_goes_on(begin);)
		sched_yield();
	atomic_store(&run.stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		thread_join(&all[i].thread);
	assert_int_equal(run.wrong, 0);
	free_memories(&run);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(redirect_F_different_maps_side_by_side),
		TEST(redirect_F_one_map_by_several_threads),
		TEST(unmap_meets_redirect_and_unref),
		TEST(shared_maps_come_and_go),
	};

	return suite_run(argc, argv, "stress race", tests, COUNT(tests));
}
