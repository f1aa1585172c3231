/* SPDX-License-Identifier: MIT */
/*
 * Guarantee A, between threads: once one thread has seen the new memory, no thread sees the old one.
 *
 * A first thread waits until it sees another memory at one end of the map, and tells which redirect that was; a second one then
 * looks at the other end. Would be caught: page tables that are replaced piece by piece while others can be read.
 */
#include "kind.h"

#include <stdatomic.h>

#include "stress.h"
#include "suite.h"
#include "thread.h"

#define PAGES 64

struct run {
	uint64_t *first; /* a word on the first page, and one on the last page */
	uint64_t *last;
	_Atomic uint64_t seen; /* the newest number that the first thread has seen */
	_Atomic bool stop;
	_Atomic uint64_t wrong;
};

static void *watch_first(void *argument)
{
	struct run *run = argument;

	while (!atomic_load(&run->stop)) {
		uint64_t number = __atomic_load_n(run->first, __ATOMIC_SEQ_CST);

		if (number > atomic_load(&run->seen))
			atomic_store(&run->seen, number);
	}
	return NULL;
}

static void *watch_last(void *argument)
{
	struct run *run = argument;

	while (!atomic_load(&run->stop)) {
		uint64_t seen = atomic_load(&run->seen);

		if (__atomic_load_n(run->last, __ATOMIC_SEQ_CST) < seen)
			atomic_fetch_add(&run->wrong, 1);
	}
	return NULL;
}

/* Each memory gets a higher number, on both pages, before it is shown. */
static void number(struct mr_memory *memory, uint64_t number, uint64_t length)
{
	assert_ok(mr_memory_write(memory, 0, &number, sizeof(number)));
	assert_ok(mr_memory_write(memory, length - page_size(), &number, sizeof(number)));
}

static void make(struct mr_memory **memory, uint64_t length, bool multi)
{
	struct mr_memory *parts[2];

	if (!multi) {
		assert_ok(mr_memory_new_buffer(length, 0, memory));
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		assert_ok(mr_memory_new_buffer(length / 2, 0, &parts[i]));
	assert_ok(mr_memory_new_multi(parts, 2, 0, memory));
	for (unsigned i = 0; i < 2; i++)
		mr_memory_unref(parts[i]);
}

static void stress(uint64_t length, bool multi, uint32_t options)
{
	struct mr_memory *memories[2];
	struct thread threads[2];
	struct run run = { 0 };
	struct mr_map *map;
	uint64_t next = 1;
	double begin;

	for (unsigned i = 0; i < 2; i++)
		make(&memories[i], length, multi);
	assert_ok(mr_map_new(memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	run.first = mr_map_address(map);
	run.last = (uint64_t *)((char *)run.first + length - page_size());
	assert_true(thread_start(&threads[0], watch_first, &run));
	assert_true(thread_start(&threads[1], watch_last, &run));
	for (begin = stress_begin(); stress_goes_on(begin); next++) {
		number(memories[next % 2], next, length);
		assert_ok(mr_map_redirect(map, memories[next % 2], options, 0));
	}
	atomic_store(&run.stop, true);
	for (unsigned i = 0; i < 2; i++)
		thread_join(&threads[i]);
	assert_int_equal(run.wrong, 0);
	mr_map_unref(map);
	for (unsigned i = 0; i < 2; i++)
		mr_memory_unref(memories[i]);
}

static void redirect_A_no_thread_is_behind_another(void **state)
{
	(void)state;
	stress(PAGES * page_size(), false, 0);
}

static void redirect_A_no_thread_is_behind_another_large(void **state)
{
	(void)state;
	stress(8 * HUGE_PAGE, false, MR_MAP_PREFAULT);
}

static void redirect_A_no_thread_is_behind_another_pieces(void **state)
{
	(void)state;
	stress(PAGES * page_size(), true, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(redirect_A_no_thread_is_behind_another),
		TEST(redirect_A_no_thread_is_behind_another_large),
		TEST(redirect_A_no_thread_is_behind_another_pieces),
	};

	return suite_run(argc, argv, "stress order", tests, COUNT(tests));
}
