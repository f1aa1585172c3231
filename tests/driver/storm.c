/* SPDX-License-Identifier: MIT */
/*
 * Storms of redirects under readers in eight processes, while another one maps, moves, protects, forks and unmaps.
 *
 * Each redirect shows a backing all of whose words are a number that is higher than all before. A reader notes the highest
 * number that anybody has seen, or that a redirect has returned for, and then reads: less than that is a stale page, a page
 * that somebody should have been unable to reach. Backings are filled anew while they are not shown: more than the number that
 * is announced is one, too.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"

#define READERS	 8
#define PAGES	 32
#define BACKINGS 3
#define ROUNDS	 150
#define LOADS	 500

/* What all processes share. */
struct board {
	uint64_t announced; /* the number that is about to be shown */
	uint64_t seen;	    /* the highest that has been seen, or shown for sure */
	uint64_t stale, early;
	uint64_t loads[READERS];
	uint32_t stop;
};

struct storm {
	struct scene scene;
	struct board *board;
	unsigned index;
};

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void raise_to(uint64_t *word, uint64_t value)
{
	uint64_t now = load(word);

	while (now < value && !__atomic_compare_exchange_n(word, &now, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static int read_on(struct child *self, void *argument)
{
	struct storm *storm = argument;
	struct board *board = storm->board;
	unsigned index = storm->index;
	uint32_t random = index;

	child_tell(self);
	while (!__atomic_load_n(&board->stop, __ATOMIC_SEQ_CST)) {
		uint64_t least = load(&board->seen);
		uint64_t value = storm->scene.at[next_random(&random) % (PAGES * 512)];

		if (value < least)
			__atomic_add_fetch(&board->stale, 1, __ATOMIC_SEQ_CST);
		if (value > load(&board->announced))
			__atomic_add_fetch(&board->early, 1, __ATOMIC_SEQ_CST);
		raise_to(&board->seen, value);
		__atomic_add_fetch(&board->loads[index], 1, __ATOMIC_SEQ_CST);
	}
	return 0;
}

/* A child reads once, for what fork has to do with page tables. */
static void fork_once(const struct storm *storm, uint32_t *random)
{
	uint64_t least = load(&storm->board->seen);
	pid_t pid = fork();

	if (pid == 0) {
		if (storm->scene.at[next_random(random) % (PAGES * 512)] < least)
			__atomic_add_fetch(&storm->board->stale, 1, __ATOMIC_SEQ_CST);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static int churn(struct child *self, void *argument)
{
	const struct storm *storm = argument;
	struct board *board = storm->board;
	uint32_t random = 77;

	child_tell(self);
	while (!__atomic_load_n(&board->stop, __ATOMIC_SEQ_CST)) {
		uint64_t page = next_random(&random) % (PAGES - 4), least = load(&board->seen);
		char *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, storm->scene.map, (off_t)(page * PAGE));
		char *moved;

		if (at == MAP_FAILED || *(volatile uint64_t *)at < least)
			return 1;
		moved = mremap(at + PAGE, PAGE, PAGE, MREMAP_MAYMOVE);
		if (moved == MAP_FAILED || mprotect(at + 2 * PAGE, PAGE, PROT_READ))
			return 2;
		least = load(&board->seen);
		if (*(volatile uint64_t *)moved < least || *(volatile uint64_t *)(at + 2 * PAGE) < least)
			return 3;
		fork_once(storm, &random);
		munmap(moved, PAGE);
		munmap(at, 4 * PAGE);
	}
	return 0;
}

static bool readers_had_enough(const struct board *board)
{
	for (unsigned i = 0; i < READERS; i++)
		if (load(&board->loads[i]) < LOADS)
			return false;
	return true;
}

/* One round more: the next backing gets the next number, and is shown. */
static void redirect_once(struct storm *storm, const uint32_t *ids, volatile uint64_t **own, uint64_t number)
{
	size_t next = number % BACKINGS;

	if (own[next])
		for (size_t i = 0; i < PAGES * 512; i++)
			own[next][i] = number;
	else
		backing_fill(storm->scene.control, ids[next], PAGES, number);
	if (number % 8 == 0)
		assert_int_equal(block(storm->scene.control, 0, 0), 0);
	__atomic_store_n(&storm->board->announced, number, __ATOMIC_SEQ_CST);
	assert_int_equal(redirect_to(storm->scene.control, ids[next], 0, 0), 0);
	raise_to(&storm->board->seen, number);
}

static void rage(struct storm *storm, const uint32_t *ids, volatile uint64_t **own)
{
	double end = clock_now() + 240;
	uint64_t number = 0;

	do {
		redirect_once(storm, ids, own, ++number);
		assert_true(clock_now() < end);
		assert_int_equal(load(&storm->board->stale), 0);
		assert_int_equal(load(&storm->board->early), 0);
	} while (number < ROUNDS || !readers_had_enough(storm->board));
}

static void storm_over(const uint32_t *ids, volatile uint64_t **own, struct scene scene)
{
	struct storm storm = { .scene = scene };
	struct child readers[READERS], churner;
	int status;

	storm.board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (storm.index = 0; storm.index < READERS; storm.index++) {
		assert_true(child_start(&readers[storm.index], read_on, &storm));
		assert_true(child_await(&readers[storm.index]));
	}
	assert_true(child_start(&churner, churn, &storm));
	assert_true(child_await(&churner));
	rage(&storm, ids, own);
	__atomic_store_n(&storm.board->stop, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < READERS; i++) {
		assert_true(child_wait(&readers[i], &status));
		assert_int_equal(status, 0);
	}
	assert_true(child_wait(&churner, &status));
	assert_int_equal(status, 0);
	assert_int_equal(storm.board->stale, 0);
	assert_int_equal(storm.board->early, 0);
	munmap(storm.board, PAGE);
	scene_end(&storm.scene);
}

static void no_client_sees_what_was_after_any_has_seen_what_is(void **state)
{
	struct scene scene = scene_make(PAGES, 0, 0);
	volatile uint64_t *own[BACKINGS] = { NULL };
	uint32_t ids[BACKINGS];

	(void)state;
	for (size_t i = 0; i < BACKINGS; i++)
		ids[i] = backing_fresh(scene.control, PAGES, 0);
	storm_over(ids, own, scene);
}

/* The numbers are written by the owner of the pages, beside the map. */
static void nor_does_any_over_pages_of_a_process(void **state)
{
	struct scene scene = scene_make(PAGES, 0, 0);
	volatile uint64_t *own[BACKINGS];
	uint32_t ids[BACKINGS];

	(void)state;
	for (size_t i = 0; i < BACKINGS; i++) {
		struct memredirect_segment segment = { .kind = MEMREDIRECT_USER, .length = PAGES * PAGE };

		own[i] = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		segment.offset = (uintptr_t)own[i];
		assert_int_equal(backing_add(scene.control, &segment, 1, 0, 0, &ids[i]), 0);
	}
	storm_over(ids, own, scene);
	for (size_t i = 0; i < BACKINGS; i++)
		munmap((void *)own[i], PAGES * PAGE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(no_client_sees_what_was_after_any_has_seen_what_is),
		TEST(nor_does_any_over_pages_of_a_process),
	};
	int missing = device_missing();

	return missing ? missing : suite_run(argc, argv, "storms of redirects", tests, COUNT(tests));
}
