/* SPDX-License-Identifier: MIT */
/*
 * Guarantees A, B, D: random redirects of all kinds under readers and writers.
 *
 * Would be caught: a redirect that shows zeroes, another memory's bytes or a torn word at any time; an old page that a thread can
 * still read when the redirect has returned; a write that lands in a memory after the redirect that took it away has
 * returned; a write that is lost; a block through which a write comes.
 */
#include "kind.h"

#include <sched.h>
#include <stdio.h>

#include "clients.h"
#include "pattern.h"
#include "stress.h"
#include "suite.h"

struct run {
	struct sample sample;
	struct backing others[MEMORIES];
	struct mr_memory *memories[MEMORIES]; /* the sample's, and the others' */
	struct clients clients;
	uint64_t random;
	bool counted; /* what clients write is seen in the memories */
};

static uint64_t random_offset(struct run *run)
{
	uint64_t page = page_size();

	return stress_random(&run->random) % (run->sample.length / page) * page + page - sizeof(uint64_t);
}

static uint64_t word_of(struct mr_memory *memory, uint64_t offset)
{
	uint64_t word;

	assert_ok(mr_memory_read(memory, offset, &word, sizeof(word)));
	return word;
}

/* For a moment, nothing changes in a memory that nobody shows. */
static void check_still(struct run *run, struct mr_memory *memory)
{
	uint64_t offset = random_offset(run), word = word_of(memory, offset);

	for (unsigned i = stress_random(&run->random) % 4; i; i--)
		sched_yield();
	assert_int_equal(word_of(memory, offset), word);
}

static void block(struct run *run)
{
	struct mr_map *map = run->sample.map;

	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_true(mr_map_is_blocked(map));
	if (run->counted)
		check_still(run, mr_map_memory(map));
}

static uint32_t options_for(const struct run *run, unsigned index, uint64_t random)
{
	const struct kind *kind = index ? run->others[index].kind : run->sample.kind;
	uint32_t access = index ? run->others[index].access : kind->access;

	return access | (random & 1 ? MR_MAP_PREFAULT : 0);
}

static void one_redirect(struct run *run)
{
	uint64_t random = stress_random(&run->random);
	unsigned old = atomic_load(&run->clients.shown), next = (unsigned)(random >> 8) % MEMORIES;

	clients_redirect_begins(&run->clients);
	if ((random >> 16) % 3 == 0) {
		block(run);
		if ((random >> 20) % 2)
			next = old;
	}
	assert_ok(mr_map_redirect(run->sample.map, run->memories[next], options_for(run, next, random), 0));
	clients_redirect_ended(&run->clients, next);
	if (next != old && run->counted)
		check_still(run, run->memories[old]);
}

static void set_up(struct run *run, const struct kind *kind, uint64_t length)
{
	*run = (struct run){ .random = stress_seed() };
	sample_make(&run->sample, kind, length, 1);
	run->memories[0] = run->sample.memory;
	for (unsigned i = 1; i < MEMORIES; i++) {
		backing_make_other(&run->others[i], kind, length, i + 1);
		run->memories[i] = run->others[i].memory;
	}
	run->counted = kind_writable(kind) && !kind->detached;
	run->clients.address = run->sample.address;
	run->clients.length = run->sample.length;
	run->clients.memories = MEMORIES;
}

static void tear_down(struct run *run)
{
	sample_free(&run->sample);
	for (unsigned i = 1; i < MEMORIES; i++)
		backing_free(&run->others[i]);
}

static void stress(const struct kind *kind, uint64_t length)
{
	static struct run run;
	uint64_t redirects = 0, written, found = 0;
	double begin;

	set_up(&run, kind, length);
	clients_start(&run.clients, 2, run.counted ? 3 : 0);
	for (begin = stress_begin(); stress_goes_on(begin); redirects++)
		one_redirect(&run);
	written = clients_stop(&run.clients);
	assert_int_equal(run.clients.wrong, 0);
	assert_int_equal(run.clients.stale, 0);
	for (unsigned i = 0; run.counted && i < MEMORIES; i++)
		found += clients_additions(run.memories[i], i, run.sample.length);
	assert_int_equal(found, written);
	printf("# %llu redirects, %llu writes\n", (unsigned long long)redirects, (unsigned long long)written);
	tear_down(&run);
}

static void redirect_A_B_D_small(void **state)
{
	(void)state;
	stress(suite_kind, kind_length(suite_kind));
}

static void redirect_A_B_D_large(void **state)
{
	(void)state;
	stress(suite_kind, 4 * HUGE_PAGE);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST_FOR(redirect_A_B_D_small, 0),
		TEST_FOR(redirect_A_B_D_large, 0),
	};

	return suite_run_kind(argc, argv, "stress redirect", tests, COUNT(tests));
}
