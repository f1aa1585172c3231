/* SPDX-License-Identifier: MIT */
/*
 * Snapshots are of one instant, and moves lose nothing: by the histories of those who write.
 *
 * Each writer goes through all pages in an order of its own, round after round, and stores the number of its round: a prefix of its
 * history is pages of one round, and then pages of the round before. A follower stores what it has read of the first writer's last number. Meanwhile the map is copied (guarded or
 * stopped, into memory that is there or not, cancelled now and then), moved, and the process forks. Each copy must hold a prefix of
 * every writer's history, and no number of the follower's that the first writer had not reached; in the end the map must hold all.
 *
 * Catches: a page that is copied late or early, a write that is let through before all pages are protected, a write that a move does
 * not notice.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crowd.h"
#include "pool.h"
#include "stress.h"
#include "suite.h"
#include "wait.h"

#define LENGTH	(UINT64_C(32) << 20)
#define PAGE	UINT64_C(4096)
#define PAGES	(LENGTH / PAGE)
#define WRITERS 2

/* The first words: where the first writer tells how many stores it has made, and the follower what it has read of that. */
#define TELL   0
#define FOLLOW 1

static struct {
	uint64_t *words;
	uint64_t snapshots, moves, cancelled, forks;
} run;

/* Each page has a word for each writer. */
static uint64_t place_of(size_t writer, uint64_t step)
{
	static const uint64_t strides[WRITERS] = { 1, 1237 };

	return step * strides[writer] % PAGES * (PAGE / 8) + 8 + writer;
}

static void write_history(struct worker *worker, void *argument)
{
	(void)argument;
	for (uint64_t step = 0; crowd_goes_on(worker->crowd); step++) {
		__atomic_store_n(&run.words[place_of(worker->index, step)], step / PAGES + 1, __ATOMIC_SEQ_CST);
		if (worker->index == 0)
			__atomic_store_n(&run.words[TELL], step + 1, __ATOMIC_SEQ_CST);
		worker_count(worker);
	}
}

static void follow(struct worker *worker, void *argument)
{
	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		__atomic_store_n(&run.words[FOLLOW], __atomic_load_n(&run.words[TELL], __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
		worker_count(worker);
	}
}

/* How many stores of the writer are in these words, which must be a prefix of its history. */
static uint64_t check_history(const uint64_t *words, size_t writer)
{
	uint64_t round = words[place_of(writer, 0)], count = 0;

	while (count < PAGES && words[place_of(writer, count)] == round)
		count++;
	for (uint64_t step = count; step < PAGES; step++)
		require(words[place_of(writer, step)] == round - 1,
			"writer %zu was at step %" PRIu64 " of round %" PRIu64 ", and step %" PRIu64 " is of round %" PRIu64,
			writer, count, round, step, words[place_of(writer, step)]);
	return round ? (round - 1) * PAGES + count : 0;
}

/* Return: how many stores are in them. */
static uint64_t check(const uint64_t *words)
{
	uint64_t first = check_history(words, 0), second = check_history(words, 1);

	require(words[FOLLOW] <= words[TELL], "the follower has read %" PRIu64 ", and the writer has told %" PRIu64,
		words[FOLLOW], words[TELL]);
	require(words[TELL] == first || words[TELL] + 1 == first,
		"the writer has told %" PRIu64 ", and %" PRIu64 " stores are there", words[TELL], first);
	return first + second;
}

static int stop_at(void *argument, uint64_t done, uint64_t total)
{
	(void)done;
	(void)total;
	return --*(int64_t *)argument == 0;
}

static void copy(struct dice *dice, struct mr_map *map, struct mr_memory *into, bool may_stop)
{
	int64_t calls = dice_below(dice, 4) ? 0 : 1 + (int64_t)dice_below(dice, 3);
	struct mr_copy_opts opts = { .size = sizeof(opts), .progress = stop_at, .progress_arg = &calls };
	struct mr_memory *copy;
	uint64_t *words;
	int result;

	opts.into = dice_below(dice, 2) ? into : NULL;
	opts.flags = may_stop && !dice_below(dice, 3) ? MR_COPY_STOP : 0;
	result = mr_map_snapshot(map, &opts, &copy, NULL);
	if (result == -ECANCELED) {
		run.cancelled++;
		return;
	}
	require(result == 0, "a snapshot returned %d: %s", result, mr_error());
	words = malloc(LENGTH);
	require(words, "no memory");
	require_ok(mr_memory_read(copy, 0, words, LENGTH));
	mr_memory_unref(copy);
	check(words);
	free(words);
	run.snapshots++;
}

static void move(struct dice *dice, struct mr_map *map, struct mr_memory *to)
{
	int64_t calls = dice_below(dice, 4) ? 0 : 1 + (int64_t)dice_below(dice, 2);
	struct mr_copy_opts opts = { .size = sizeof(opts), .progress = stop_at, .progress_arg = &calls };
	int result = mr_map_move(map, to, 0, 0, &opts, NULL);

	run.cancelled += result == -ECANCELED;
	run.moves += result == 0;
	require(result == 0 || result == -ECANCELED, "a move returned %d: %s", result, mr_error());
}

/* A child has the memory as it was at some instant while a copy was made. */
static void *fork_and_check(void *argument)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(__atomic_load_n(&run.words[FOLLOW], __ATOMIC_SEQ_CST) >
		      __atomic_load_n(&run.words[TELL], __ATOMIC_SEQ_CST));
	require(child > 0 && waitpid(child, &status, 0) == child && status == 0, "a child has seen something else");
	return argument;
}

/* @may_fork: no page of the map has to be blocked to be copied, which would leave it out of a child. */
static void act(struct dice *dice, struct mr_map *map, struct mr_memory *into, struct mr_memory *const *homes, bool moves,
		bool may_fork)
{
	struct thread forker;
	bool forks = may_fork && !dice_below(dice, 4);

	if (forks)
		require(thread_start(&forker, fork_and_check, NULL), "no thread to be had");
	if (!moves)
		copy(dice, map, into, !forks);
	else
		move(dice, map, mr_map_memory(map) == homes[0] ? homes[1] : homes[0]);
	if (forks)
		thread_join(&forker);
	run.forks += forks;
}

/* Return: how many stores were made. */
static uint64_t play(const char *start, struct dice *dice, bool may_fork)
{
	static struct crowd writers, followers;
	struct backing home, into, second;
	struct mr_memory *homes[2];
	struct sample sample;
	uint64_t written;

	sample_make(&sample, kind_find(start), LENGTH, 1);
	backing_make(&home, kind_find("memfd"), LENGTH, 2);
	backing_make(&into, kind_find("buffer"), LENGTH, 3);
	backing_make(&second, kind_find("buffer"), LENGTH, 4);
	homes[0] = home.memory;
	homes[1] = dice_below(dice, 2) ? sample.memory : second.memory;
	run.words = (uint64_t *)sample.address;
	memset(sample.address, 0, LENGTH);
	crowd_start(&writers, WRITERS, dice, write_history, NULL);
	crowd_start(&followers, 1, dice, follow, NULL);
	stress_lap(0.2);
	for (unsigned i = 0; i < 2 || stress_lap_goes_on(); i++)
		act(dice, sample.map, into.memory, homes, i % 3 == 1, may_fork);
	written = crowd_stop(&writers);
	crowd_stop(&followers);
	require(check(run.words) == written, "%" PRIu64 " stores were made, and not all are there", written);
	sample_free(&sample);
	backing_free(&home);
	backing_free(&into);
	backing_free(&second);
	return written;
}

int main(void)
{
	static const char *const starts[] = { "buffer", "adopted-private", "cow-buffer", "multi", "file-disk" };
	const size_t guarded = 3; /* the others have pages on a disk */
	struct dice dice = stress_begin_for("history", 60);
	uint64_t written = 0;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	for (size_t i = 0; i < COUNT(starts); i++)
		if (!kind_missing(kind_find(starts[i])))
			written += play(starts[i], &dice, i < guarded);
	require(run.snapshots + run.moves > 0, "nothing was copied");
	return stress_end("%" PRIu64 " snapshots, %" PRIu64 " moves, %" PRIu64 " cancelled, %" PRIu64 " forks, %" PRIu64
			  " stores",
			  run.snapshots, run.moves, run.cancelled, run.forks, written);
}
