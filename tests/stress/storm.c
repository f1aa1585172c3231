/* SPDX-License-Identifier: MIT */
/*
 * Guarantee C: while a map is blocked every access waits, also when signals rain, and all that wait are counted.
 *
 * 64 threads make one access each to a blocked map (load, store, atomic addition, and read(2) and write(2) where the kernel's
 * accesses wait too), while SIGPROF comes from a timer of 1 ms of the process's time and from a thread that signals all of them
 * by turns. mr_map_waiters must be exactly 64, and stay so; no access may end; the backing may not change. Then the map is
 * redirected, to the same or to another memory, and every access must have happened there, once. Over the kinds of memory by turns.
 *
 * Catches: an access that comes through when a handler returns; a wait that is lost or counted twice; a wake that leaves a thread
 * behind; a signal that is not delivered to a waiting thread; bytes other than those of the new memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "pattern.h"
#include "pool.h"
#include "stress.h"
#include "suite.h"
#include "victim.h"
#include "wait.h"

#define CLIENTS 64
#define LENGTH	65536

/* What a client does in a round. Each has a word of its own, on a page that it shares with others. */
struct client {
	enum access access;
	uint64_t offset;
	uint64_t value; /* stored, added, or in the file that is read */
	uint64_t seen;
	int fd;
	uint32_t done;
};

static struct {
	struct pool pool;
	struct client clients[CLIENTS];
	uint32_t round; /* clients wait for it to change */
	uint32_t ended; /* clients that have made their access in this round */
	uint64_t signals;
} run;

static void on_signal(int number)
{
	(void)number;
	__atomic_fetch_add(&run.signals, 1, __ATOMIC_RELAXED);
}

static void make_access(struct client *client)
{
	uint64_t *word = (uint64_t *)(run.pool.address + client->offset);
	ssize_t got = 8;

	if (client->access == ACCESS_LOAD)
		client->seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
	else if (client->access == ACCESS_STORE)
		__atomic_store_n(word, client->value, __ATOMIC_SEQ_CST);
	else if (client->access == ACCESS_ADD)
		client->seen = __atomic_fetch_add(word, client->value, __ATOMIC_SEQ_CST);
	else if (client->access == ACCESS_READ)
		got = pread(client->fd, word, 8, 0);
	else
		got = pwrite(client->fd, word, 8, 0);
	require(got == 8, "%s of the blocked map returned %zd: %s", access_name(client->access), got, strerror(errno));
	if (client->access == ACCESS_WRITE)
		require(pread(client->fd, &client->seen, 8, 0) == 8, "the value cannot be read back");
}

static void wait_and_access(struct worker *worker, void *argument)
{
	struct client *client = &run.clients[worker->index];
	uint32_t round = 0;

	(void)argument;
	for (;;) {
		while (!wait_word(&run.round, round))
			;
		round++;
		if (!crowd_goes_on(worker->crowd))
			return;
		make_access(client);
		__atomic_store_n(&client->done, 1, __ATOMIC_RELEASE);
		__atomic_fetch_add(&run.ended, 1, __ATOMIC_ACQ_REL);
		wait_wake(&run.ended);
		worker_count(worker);
	}
}

static void start_round(void)
{
	__atomic_fetch_add(&run.round, 1, __ATOMIC_ACQ_REL);
	wait_wake(&run.round);
}

/* One signal for each client, about a thousand times a second for each. */
static void rain(struct worker *worker, void *argument)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct crowd *clients = argument;

	while (crowd_goes_on(worker->crowd)) {
		for (size_t i = 0; i < CLIENTS; i++)
			pthread_kill(clients->workers[i].thread.id, SIGPROF);
		worker_count(worker);
		nanosleep(&pause, NULL);
	}
}

static bool has_rained(void *argument)
{
	return __atomic_load_n(&run.signals, __ATOMIC_RELAXED) >= *(uint64_t *)argument;
}

/* A word of its own for each client; what it will do there. */
static void assign(struct dice *dice)
{
	unsigned sorts = features()->kernel_faults ? 5 : 3;

	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *client = &run.clients[i];

		client->access = (enum access)dice_below(dice, sorts);
		client->offset = (dice_below(dice, LENGTH / 8 / CLIENTS) * CLIENTS + i) * 8;
		client->value = dice_word(dice);
		client->seen = 0;
		client->done = 0;
		require(pwrite(client->fd, &client->value, 8, 0) == 8, "no file: %s", strerror(errno));
	}
	run.ended = 0;
}

static uint64_t word_of(struct showing what, uint64_t offset)
{
	uint64_t word;

	require_ok(mr_memory_read(what.member->memory, what.offset + offset, &word, 8));
	return word;
}

/* All of them wait, through the rain, and nothing happens. */
static void check_waiting(const uint64_t *words, struct showing shown)
{
	uint64_t enough = __atomic_load_n(&run.signals, __ATOMIC_RELAXED) + 2 * CLIENTS;

	require(wait_waiters(run.pool.map, CLIENTS), "%" PRIu64 " threads wait instead of %d", mr_map_waiters(run.pool.map),
		CLIENTS);
	require(wait_until(has_rained, &enough), "waiting threads take no signals");
	for (size_t i = 0; i < CLIENTS; i++) {
		require(!__atomic_load_n(&run.clients[i].done, __ATOMIC_ACQUIRE), "the %s of client %zu did not wait",
			access_name(run.clients[i].access), i);
		require(word_of(shown, run.clients[i].offset) == words[i], "client %zu has changed the old memory", i);
	}
	require(mr_map_waiters(run.pool.map) == CLIENTS, "%" PRIu64 " threads wait after signals, instead of %d",
		mr_map_waiters(run.pool.map), CLIENTS);
}

static void check_client(const struct client *client, uint64_t before, uint64_t after)
{
	bool writes = client->access == ACCESS_STORE || client->access == ACCESS_READ;
	uint64_t expected = client->access == ACCESS_ADD ? before + client->value : writes ? client->value : before;

	if (!writes)
		require(client->seen == before, "%s has seen %#" PRIx64 " instead of %#" PRIx64, access_name(client->access),
			client->seen, before);
	require(after == expected, "after %s there is %#" PRIx64 " instead of %#" PRIx64, access_name(client->access), after,
		expected);
}

static void wait_for_clients(void)
{
	for (uint32_t ended; (ended = __atomic_load_n(&run.ended, __ATOMIC_ACQUIRE)) < CLIENTS;)
		require(wait_word(&run.ended, ended), "%" PRIu32 " of %d accesses were made when the map was let go", ended,
			CLIENTS);
}

/* Who was served by a pager goes on before the service has taken note of it; from all others it has by the time that they are let go. */
static void check_nobody_waits(struct showing shown)
{
	if (strstr(shown.member->name, "pager"))
		while (mr_map_waiters(run.pool.map))
			sched_yield();
	require(mr_map_waiters(run.pool.map) == 0, "threads are counted as waiting that do not wait");
}

/* Return: what the map shows afterwards. */
static struct showing play_round(struct showing shown, struct dice *dice)
{
	struct showing to = dice_once_in(dice, 3) ? shown : pool_roll(&run.pool, dice);
	uint64_t words[CLIENTS];

	assign(dice);
	for (size_t i = 0; i < CLIENTS; i++)
		words[i] = word_of(shown, run.clients[i].offset);
	require_ok(mr_map_redirect(run.pool.map, NULL, 0, 0));
	start_round();
	check_waiting(words, shown);
	for (size_t i = 0; i < CLIENTS; i++)
		words[i] = word_of(to, run.clients[i].offset);
	require_ok(pool_redirect(&run.pool, to, pool_roll_prefault(dice)));
	wait_for_clients();
	check_nobody_waits(to);
	for (size_t i = 0; i < CLIENTS; i++)
		check_client(&run.clients[i], words[i], word_of(to, run.clients[i].offset));
	return to;
}

static void open_files(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		run.clients[i].fd = memfd_create("client", MFD_CLOEXEC);
		require(run.clients[i].fd >= 0, "no memfd: %s", strerror(errno));
	}
}

static void close_files(void)
{
	for (size_t i = 0; i < CLIENTS; i++)
		close(run.clients[i].fd);
}

static uint64_t play(const char *start, struct dice *dice)
{
	static struct crowd clients, cloud;
	struct showing shown;
	uint64_t rounds = 0;

	pool_make(&run.pool, start, LENGTH, 1, POOL_WRITABLE);
	shown = (struct showing){ &run.pool.members[0], 0 };
	run.round = 0;
	crowd_start(&clients, CLIENTS, dice, wait_and_access, NULL);
	crowd_start(&cloud, 1, dice, rain, &clients);
	stress_lap(0.25);
	do
		shown = play_round(shown, dice);
	while (rounds++, stress_lap_goes_on());
	crowd_stop(&cloud);
	__atomic_store_n(&clients.stop, true, __ATOMIC_RELEASE);
	start_round();
	crowd_join(&clients);
	pool_free(&run.pool);
	return rounds;
}

int main(void)
{
	static const char *const starts[] = { "buffer", "adopted-private", "multi", "adopted-mixed" };
	const struct itimerval timer = { { 0, 1000 }, { 0, 1000 } }, off = { 0 };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct dice dice = stress_begin("storm");
	uint64_t rounds = 0;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	open_files();
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &timer, NULL);
	for (size_t i = 0; i < COUNT(starts); i++)
		if (!kind_missing(kind_find(starts[i])))
			rounds += play(starts[i], &dice);
	setitimer(ITIMER_PROF, &off, NULL);
	close_files();
	require(rounds > 0, "no round was played");
	return stress_end("%" PRIu64 " rounds of %d waiting threads, %" PRIu64 " signals", rounds, CLIENTS, run.signals);
}
