/* SPDX-License-Identifier: MIT */
/*
 * fork during redirects: a child has, in every page, the bytes of one of the memories, or nothing at all while the map was blocked.
 *
 * Would be caught: a child that inherits a map half replaced: zeroes of an emptied private mapping, or pages that are missing.
 */
#include "kind.h"

#include <sys/wait.h>
#include <unistd.h>

#include "clients.h"
#include "pattern.h"
#include "stress.h"
#include "suite.h"
#include "thread.h"
#include "victim.h"

struct forker {
	struct thread thread;
	char *address;
	uint64_t length;
	_Atomic bool stop;
	_Atomic uint64_t children;
	_Atomic uint64_t absent;
	_Atomic uint64_t wrong;
};

enum { ALL_THERE, ABSENT, WRONG };

/* In the child: each page is of one memory, the same for all pages. */
static int look(const struct forker *forker)
{
	unsigned seed = 0;

	if (access_is_absent(forker->address))
		return ABSENT;
	for (unsigned i = 1; i <= MEMORIES; i++)
		if (*(uint64_t *)forker->address == pattern_word(i, 0))
			seed = i;
	for (uint64_t offset = 0; seed && offset < forker->length; offset += page_size())
		if (*(uint64_t *)(forker->address + offset) != pattern_word(seed, offset))
			return WRONG;
	return seed ? ALL_THERE : WRONG;
}

static void *fork_on(void *argument)
{
	struct forker *forker = argument;
	int status;

	while (!atomic_load(&forker->stop)) {
		pid_t child = fork();

		if (!child)
			_exit(look(forker));
		if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) == WRONG)
			atomic_fetch_add(&forker->wrong, 1);
		else if (WEXITSTATUS(status) == ABSENT)
			atomic_fetch_add(&forker->absent, 1);
		atomic_fetch_add(&forker->children, 1);
	}
	return NULL;
}

static void stress(const char *name, bool blocks)
{
	const struct kind *kind = kind_find(name);
	struct backing others[MEMORIES];
	struct forker forker = { 0 };
	struct sample sample;
	double begin;

	sample_make(&sample, kind, kind_length(kind), 1);
	for (unsigned i = 1; i < MEMORIES; i++)
		backing_make_other(&others[i], kind, sample.length, i + 1);
	forker.address = sample.address;
	forker.length = sample.length;
	assert_true(thread_start(&forker.thread, fork_on, &forker));
	for (begin = stress_begin(); stress_goes_on(begin);)
		for (unsigned i = 0; i < MEMORIES; i++) {
			if (blocks)
				assert_ok(mr_map_redirect(sample.map, NULL, 0, 0));
			assert_ok(mr_map_redirect(sample.map, i ? others[i].memory : sample.memory,
						  i ? others[i].access : kind->access, 0));
		}
	atomic_store(&forker.stop, true);
	thread_join(&forker.thread);
	assert_true(forker.children > 0);
	assert_int_equal(forker.wrong, 0);
	if (!blocks)
		assert_int_equal(forker.absent, 0);
	sample_free(&sample);
	for (unsigned i = 1; i < MEMORIES; i++)
		backing_free(&others[i]);
}

static void fork_during_redirects_of_a_buffer(void **state)
{
	(void)state;
	stress("buffer", false);
}

static void fork_during_redirects_of_several_pieces(void **state)
{
	(void)state;
	stress("multi", false);
}

static void fork_during_redirects_of_private_memory(void **state)
{
	(void)state;
	stress("adopted-private", false);
}

static void fork_during_redirects_of_copies_on_write(void **state)
{
	(void)state;
	stress("cow-buffer", false);
}

static void fork_during_blocks(void **state)
{
	(void)state;
	stress("buffer", true);
}

static void fork_during_blocks_of_private_memory(void **state)
{
	(void)state;
	stress("adopted-private", true);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(fork_during_redirects_of_a_buffer),
		TEST(fork_during_redirects_of_several_pieces),
		TEST(fork_during_redirects_of_private_memory),
		TEST(fork_during_redirects_of_copies_on_write),
		TEST(fork_during_blocks),
		TEST(fork_during_blocks_of_private_memory),
	};

	return suite_run(argc, argv, "stress fork", tests, COUNT(tests));
}
