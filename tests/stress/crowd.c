/* SPDX-License-Identifier: MIT */
/* Threads that do the same. */
#include "crowd.h"

#include "stress.h"

static void *run(void *argument)
{
	struct worker *worker = argument;

	worker->crowd->work(worker, worker->crowd->argument);
	return NULL;
}

void crowd_start(struct crowd *crowd, size_t count, struct dice *dice, void (*work)(struct worker *worker, void *argument),
		 void *argument)
{
	require(count <= CROWD_MOST, "a crowd has %d threads at most", CROWD_MOST);
	crowd->work = work;
	crowd->argument = argument;
	crowd->count = count;
	crowd->stop = false;
	for (size_t i = 0; i < count; i++) {
		crowd->workers[i] = (struct worker){ .crowd = crowd, .index = i, .dice = dice_split(dice) };
		require(thread_start(&crowd->workers[i].thread, run, &crowd->workers[i]), "no thread to be had");
	}
}

bool crowd_goes_on(const struct crowd *crowd)
{
	return !__atomic_load_n(&crowd->stop, __ATOMIC_ACQUIRE);
}

uint64_t crowd_join(struct crowd *crowd)
{
	for (size_t i = 0; i < crowd->count; i++)
		thread_join(&crowd->workers[i].thread);
	return crowd_done(crowd);
}

uint64_t crowd_stop(struct crowd *crowd)
{
	__atomic_store_n(&crowd->stop, true, __ATOMIC_RELEASE);
	return crowd_join(crowd);
}

uint64_t crowd_done(const struct crowd *crowd)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < crowd->count; i++)
		sum += __atomic_load_n(&crowd->workers[i].done, __ATOMIC_RELAXED);
	return sum;
}

void worker_count(struct worker *worker)
{
	__atomic_store_n(&worker->done, worker->done + 1, __ATOMIC_RELAXED);
}
