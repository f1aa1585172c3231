/* SPDX-License-Identifier: MIT */
/*
 * A workload that checks itself, on an export much larger than the cache: threads write numbered versions of random pages and read them
 * again, one thread syncs; nothing that was written may ever be missing, nothing that was synced may be missing on the server's disk.
 *
 *	workload kills	the server, which forgets what it has not flushed, is killed a hundred times; at each time what is on its
 *			disk is compared with what had been synced
 *	workload errors	every request is late, and one in fifty fails
 *
 * MR_STRESS_SECONDS, from 300 on, makes the export 8 GiB and the cache 1 GiB. Two fifths of it are left for the last look at all of that.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "export.h"
#include "stress.h"
#include "thread.h"
#include "wait.h"

#define WRITERS 6
#define KILLS	100
#define PAGE	4096
#define WORDS	(PAGE / WORD)

/* Seconds that the header gives a server, and a busy machine's share. */
#define BOUND (40 + 15)

static struct {
	struct server server;
	struct shown shown;
	uint64_t pages;
	_Atomic uint32_t *versions; /* that the page's writer has stored */
	uint32_t *synced;	    /* that have been synced */
	uint32_t *begun;	    /* of the syncer's own */
	struct dice dice[WRITERS];
	_Atomic uint64_t accesses, syncs;
	_Atomic uint64_t longest_ns;
	atomic_bool stop;
	pthread_mutex_t lock; /* of `synced` */
} it;

static uint64_t stamp(uint64_t page, uint32_t version)
{
	return version ? page << 32 | version : 0;
}

/* The words of a page that say which version it is: the first, the last, and some between. */
static const unsigned marks[] = { 0, 1, WORDS / 3, WORDS / 2, WORDS - 1 };

static void page_check(const volatile uint64_t *words, uint64_t page, uint32_t version)
{
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		require(words[marks[i]] == stamp(page, version), "page %" PRIu64 " has %#" PRIx64 " at word %u, not version %u",
			page, words[marks[i]], marks[i], version);
}

static void page_write(volatile uint64_t *words, uint64_t page, uint32_t version)
{
	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
		words[marks[i]] = stamp(page, version);
}

static void note_time(double begun)
{
	uint64_t took = (uint64_t)((clock_now() - begun) * 1e9), longest = atomic_load(&it.longest_ns);

	while (took > longest && !atomic_compare_exchange_weak(&it.longest_ns, &longest, took))
		;
}

static void *write_and_read(void *argument)
{
	struct dice *dice = argument;
	uint64_t self = (uint64_t)(dice - it.dice), own = it.pages / WRITERS;

	while (!atomic_load(&it.stop)) {
		uint64_t page = dice_below(dice, own) * WRITERS + self;
		volatile uint64_t *words = it.shown.words + page * WORDS;
		uint32_t version = atomic_load(&it.versions[page]);
		double begun = clock_now();

		page_check(words, page, version);
		if (!dice_once_in(dice, 3)) {
			page_write(words, page, version + 1);
			atomic_store(&it.versions[page], version + 1);
		}
		note_time(begun);
		atomic_fetch_add(&it.accesses, 1);
	}
	return NULL;
}

/* Once, and note what has been synced. */
static void sync_once(bool must)
{
	for (uint64_t page = 0; page < it.pages; page++)
		it.begun[page] = atomic_load(&it.versions[page]);
	if (mr_memory_sync(it.shown.memory)) {
		require(!must, "%s", mr_error());
		return;
	}
	pthread_mutex_lock(&it.lock);
	memcpy(it.synced, it.begun, it.pages * sizeof(*it.synced));
	pthread_mutex_unlock(&it.lock);
	atomic_fetch_add(&it.syncs, 1);
}

static void *sync_always(void *argument)
{
	while (!atomic_load(&it.stop))
		sync_once(false);
	return argument;
}

/* The server is dead. What its disk has is what was synced, or newer. @exactly: nothing has been written since. */
static void disk_check(bool exactly)
{
	char path[128];
	uint64_t words[WORDS];
	int fd;

	snprintf(path, sizeof(path), "%s/disk", it.server.folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	require(fd >= 0, "there is no disk");
	for (uint64_t page = 0; page < it.pages; page++) {
		require(pread(fd, words, PAGE, (off_t)(page * PAGE)) == PAGE, "the disk is too short");
		for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
			uint64_t word = words[marks[i]];
			uint32_t version = (uint32_t)word;

			require(word == stamp(page, version), "page %" PRIu64 " has %#" PRIx64 " on the disk", page, word);
			require(version >= it.synced[page] && (!exactly || version == atomic_load(&it.versions[page])),
				"page %" PRIu64 " has version %u on the disk, and %u was synced", page, version,
				it.synced[page]);
		}
	}
	close(fd);
}

static void let_work(unsigned milliseconds)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)milliseconds * 1000000 }, NULL);
}

static bool has_synced_since(void *before)
{
	return atomic_load(&it.syncs) > *(uint64_t *)before;
}

/* Every fifth time not before something has been synced. */
static void kill_again_and_again(struct dice *dice)
{
	for (unsigned kill = 0; kill < KILLS; kill++) {
		uint64_t before = atomic_load(&it.syncs);

		let_work((unsigned)dice_below(dice, 100));
		if (kill % 5 == 0)
			require(wait_until(has_synced_since, &before), "nothing is synced any more");
		server_kill(&it.server);
		pthread_mutex_lock(&it.lock);
		disk_check(false);
		pthread_mutex_unlock(&it.lock);
		server_start(&it.server);
	}
}

static void set_up(struct dice *dice, uint64_t size, uint64_t cache, const char *command)
{
	server_init(&it.server);
	server_file(&it.server, "disk", size);
	server_command(&it.server, "%s", command);
	server_start(&it.server);
	require_ok(mr_memory_new_nbd(it.server.uri, cache, 0, &it.shown.memory));
	require_ok(mr_map_new(it.shown.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &it.shown.map));
	it.shown.words = mr_map_address(it.shown.map);
	it.pages = size / PAGE / WRITERS * WRITERS;
	it.versions = calloc(it.pages, sizeof(*it.versions));
	it.synced = calloc(it.pages, sizeof(*it.synced));
	it.begun = calloc(it.pages, sizeof(*it.begun));
	require(it.versions && it.synced && it.begun, "there is no memory");
	pthread_mutex_init(&it.lock, NULL);
	for (unsigned i = 0; i < WRITERS; i++)
		it.dice[i] = dice_split(dice);
}

static void tear_down(void)
{
	fprintf(stderr, "%" PRIu64 " accesses, %" PRIu64 " syncs; now all is compared\n", atomic_load(&it.accesses),
		atomic_load(&it.syncs));
	sync_once(true);
	for (uint64_t page = 0; page < it.pages; page++)
		page_check(it.shown.words + page * WORDS, page, atomic_load(&it.versions[page]));
	shown_close(&it.shown);
	server_kill(&it.server);
	disk_check(true);
	server_remove(&it.server);
	free(it.versions);
	free(it.synced);
	free(it.begun);
	pthread_mutex_destroy(&it.lock);
}

int main(int argc, char **argv)
{
	bool kills = argc > 1 && !strcmp(argv[1], "kills");
	const char *seconds = getenv("MR_STRESS_SECONDS");
	bool large = !kills && seconds && atoi(seconds) >= 300;
	struct thread writers[WRITERS], syncer;
	struct dice dice;

	if (!server_available())
		return 77;
	dice = stress_begin(kills ? "nbd workload kills" : "nbd workload errors");
	set_up(&dice, large ? 8192 * MIB : 96 * MIB, large ? 1024 * MIB : 12 * MIB,
	       kills ? "nbdkit --filter=cache file disk cache=writeback"
		     : "nbdkit --filter=error --filter=delay file disk delay-read=1ms delay-write=2ms "
		       "error-pread-rate=2% error-pwrite-rate=2% error-zero-rate=2% error-extents-rate=10%");
	stress_lap(0.6);
	for (unsigned i = 0; i < WRITERS; i++)
		require(thread_start(&writers[i], write_and_read, &it.dice[i]), "no thread");
	require(thread_start(&syncer, sync_always, NULL), "no thread");
	if (kills)
		kill_again_and_again(&dice);
	else
		stress_lap_wait();
	atomic_store(&it.stop, true);
	for (unsigned i = 0; i < WRITERS; i++)
		thread_join(&writers[i]);
	thread_join(&syncer);
	tear_down();
	require(atomic_load(&it.longest_ns) < BOUND * UINT64_C(1000000000), "somebody waited for %" PRIu64 " ms",
		atomic_load(&it.longest_ns) / 1000000);
	return stress_end("%" PRIu64 " accesses to %" PRIu64 " pages, %" PRIu64 " syncs; the longest access took %" PRIu64
			  " ms",
			  atomic_load(&it.accesses), it.pages, atomic_load(&it.syncs), atomic_load(&it.longest_ns) / 1000000);
}
