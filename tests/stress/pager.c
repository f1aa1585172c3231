/* SPDX-License-Identifier: MIT */
/*
 * A working set far larger than the cache of a pager, whose calls take their time and fail now and then: every word that was written is
 * found again, by two maps, by mr_memory_read, in snapshots, after blocks, redirects and moves, and at the end where the pager put it.
 *
 * With "moves": a crowd of writers, who all meet pages that have just been written back, while a move begins; again and again.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "kind.h"
#include "stress.h"
#include "suite.h"

#define PAGE	     UINT64_C(4096)
#define MOST_PAGES   UINT64_C(6144)
#define MOST_WORKERS 32

struct mode {
	const char *name;
	uint64_t pages, block, cache;
	unsigned workers;
	double seconds;
	bool calm; /* no call fails */
	void (*disturb)(struct dice *dice);
};

/* Where the bytes come from. */
static struct {
	char *bytes;
	atomic_uint_least64_t reads, writes, failed;
	atomic_bool released, calm;
} store;

/* What a page was last written to be, by the worker that has it alone. */
static atomic_uint_least64_t versions[MOST_PAGES];

static struct {
	const struct mode *mode;
	uint64_t length;
	struct mr_memory *memory, *other;
	struct mr_map *shown; /* is redirected, blocked and copied */
	struct mr_map *still;
	atomic_bool stop;
	atomic_uint_least64_t written, checked;
	pthread_rwlock_t gate; /* exclusively held while `shown` shows other memory, and to set `alone` */
	bool alone;	       /* `shown` is what all is written to and read from: its bytes may be elsewhere */
} run;

/* Now and then a call takes long, or fails; never twice running in one thread, so that trying again helps. */
static int hesitate(void)
{
	static _Thread_local struct dice dice;
	static _Thread_local bool failed;
	struct timespec little = { 0, 300000 };

	if (store.calm)
		return 0;
	if (!dice.state)
		dice.state = (uint64_t)(uintptr_t)&dice;
	if (dice_once_in(&dice, 8))
		nanosleep(&little, NULL);
	failed = !failed && dice_once_in(&dice, 200);
	store.failed += failed;
	return failed ? -EIO : 0;
}

static int read_store(void *argument, uint64_t offset, void *buffer, uint64_t length)
{
	(void)argument;
	require(offset < run.length && length <= run.length - offset && offset % run.mode->block == 0,
		"read of %" PRIu64 " at %" PRIu64, length, offset);
	store.reads++;
	memcpy(buffer, store.bytes + offset, length);
	return hesitate();
}

static int write_store(void *argument, uint64_t offset, const void *buffer, uint64_t length)
{
	(void)argument;
	require(offset < run.length && length <= run.length - offset && offset % PAGE == 0, "write of %" PRIu64 " at %" PRIu64,
		length, offset);
	store.writes++;
	memcpy(store.bytes + offset, buffer, length);
	return hesitate();
}

static void release_store(void *argument)
{
	(void)argument;
	require(!store.released, "released twice");
	store.released = true;
}

/* Every word of a page tells which page it is and how often it has been written. */
static uint64_t word(uint64_t page, uint64_t version, uint64_t place)
{
	return (page * 512 + place) * UINT64_C(0x9e3779b97f4a7c15) ^ version << 40;
}

static void check_page(const volatile uint64_t *words, uint64_t page, uint64_t version, const char *where)
{
	for (uint64_t place = 0; place < 512; place += 73)
		require(words[place] == word(page, version, place),
			"%s: word %" PRIu64 " of page %" PRIu64 " is not of version %" PRIu64, where, place, page, version);
	run.checked++;
}

static void write_page(volatile uint64_t *words, uint64_t page, uint64_t version)
{
	for (uint64_t place = 0; place < 512; place += 73)
		words[place] = word(page, version, place);
	run.written++;
}

/* A worker has every page that leaves its number. Some accesses are near one another, and some are in order. */
static void work_on(unsigned number, uint64_t page, struct dice *dice)
{
	struct mr_map *map = run.alone || dice_once_in(dice, 2) ? run.shown : run.still;
	volatile uint64_t *seen = (volatile uint64_t *)((char *)mr_map_address(map) + page * PAGE);
	uint64_t copy[512];

	(void)number;
	check_page(seen, page, versions[page], "map");
	if (dice_once_in(dice, 2))
		write_page(seen, page, ++versions[page]);
	if (run.alone || !dice_once_in(dice, 32))
		return;
	require_ok(mr_memory_read(run.memory, page * PAGE, copy, PAGE));
	check_page(copy, page, versions[page], "mr_memory_read");
	for (uint64_t place = 0; place < 512; place++)
		copy[place] = word(page, versions[page] + 1, place);
	require_ok(mr_memory_write(run.memory, page * PAGE, copy, PAGE));
	check_page(seen, page, ++versions[page], "map, after mr_memory_write");
}

static void *work(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;
	uint64_t pages = run.mode->pages, workers = run.mode->workers;
	struct dice dice = { number + 77 };

	while (!run.stop) {
		uint64_t page = dice_below(&dice, pages / workers) * workers + number;
		uint64_t count = dice_once_in(&dice, 16) ? 64 : 1;

		for (; count && page < pages && !run.stop; count--, page += workers) {
			pthread_rwlock_rdlock(&run.gate);
			work_on(number, page, &dice);
			pthread_rwlock_unlock(&run.gate);
		}
	}
	return NULL;
}

/* The cache is a memfd that nobody else has: what it holds is at most what was asked for. */
static uint64_t cache_holds(void)
{
	char name[64], path[64];
	struct stat status;

	for (int fd = 3; fd < 64; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, name, sizeof(name) - 1);
		name[length > 0 ? length : 0] = '\0';
		if (strstr(name, "memredirect-pager") && !fstat(fd, &status))
			return (uint64_t)status.st_blocks * 512;
	}
	return 0;
}

static void check_bound(void)
{
	uint64_t holds = cache_holds();

	require(holds <= run.mode->cache, "the cache holds %" PRIu64 " bytes", holds);
}

static void block_and_restore(void)
{
	require_ok(mr_map_redirect(run.shown, NULL, 0, 0));
	require_ok(mr_map_redirect(run.shown, run.memory, 0, 0));
}

/* To memory with nothing of it, while nobody looks. */
static void redirect_and_back(void)
{
	pthread_rwlock_wrlock(&run.gate);
	require_ok(mr_map_redirect(run.shown, run.other, 0, 0));
	require(*(uint64_t *)mr_map_address(run.shown) == 0, "the other memory is not shown");
	require_ok(mr_map_redirect(run.shown, run.memory, 0, 0));
	pthread_rwlock_unlock(&run.gate);
}

/* Each page of a snapshot is of a version that it has had. */
static void take_snapshot(void)
{
	struct mr_memory *copy;
	uint64_t words[512];

	require_ok(mr_map_snapshot(run.shown, NULL, &copy, NULL));
	for (uint64_t page = 0; page < run.mode->pages; page += 7) {
		uint64_t version;

		require_ok(mr_memory_read(copy, page * PAGE, words, PAGE));
		version = (words[0] ^ word(page, 0, 0)) >> 40;
		require(version <= versions[page] + 1, "page %" PRIu64 " of a snapshot has version %" PRIu64, page, version);
	}
	mr_memory_unref(copy);
}

static void set_alone(bool alone)
{
	pthread_rwlock_wrlock(&run.gate);
	run.alone = alone;
	pthread_rwlock_unlock(&run.gate);
}

/* Out of the pager and back into it, with clients that write through this map alone for as long. */
static void move_and_back(void)
{
	struct mr_memory *local;

	require_ok(mr_memory_new_buffer(run.length, 0, &local));
	set_alone(true);
	require_ok(mr_map_move(run.shown, local, 0, 0, NULL, NULL));
	require_ok(mr_map_move(run.shown, run.memory, 0, 0, NULL, NULL));
	set_alone(false);
	mr_memory_unref(local);
}

static void disturb(struct dice *dice)
{
	int error;

	switch (dice_below(dice, 40)) {
	case 0:
		take_snapshot();
		break;
	case 1:
		move_and_back();
		break;
	case 2:
	case 3:
		error = mr_memory_sync(run.memory); /* an earlier write may have failed */
		require(!error || error == -EIO, "sync returned %d", error);
		break;
	case 4:
	case 5:
	case 6:
		redirect_and_back();
		break;
	default:
		block_and_restore();
		check_bound();
	}
}

/* When all has been written back, the next write to each page is told of. */
static void move_just_then(struct dice *dice)
{
	(void)dice;
	require_ok(mr_memory_sync(run.memory));
	move_and_back();
}

static const struct mode modes[] = {
	{ "mixed", 6144, UINT64_C(16) << 10, UINT64_C(1) << 20, 4, 5, false, disturb },
	{ "moves", 2048, UINT64_C(64) << 10, UINT64_C(4) << 20, MOST_WORKERS, 20, true, move_just_then },
};

static void make(void)
{
	struct mr_pager pager = { .size = sizeof(pager),
				  .block = run.mode->block,
				  .read = read_store,
				  .write = write_store,
				  .release = release_store };

	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&run.gate, &attributes);
	store.bytes = malloc(run.length);
	require(store.bytes, "no memory");
	for (uint64_t i = 0; i < run.length / 8; i++)
		((uint64_t *)store.bytes)[i] = word(i / 512, 0, i % 512);
	require_ok(mr_memory_new_pager(&pager, run.length, run.mode->cache, 0, &run.memory));
	require_ok(mr_memory_new_buffer(run.length, 0, &run.other));
	require_ok(mr_map_new(run.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &run.shown));
	require_ok(mr_map_new(run.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &run.still));
}

static void end(void)
{
	mr_map_unref(run.shown);
	mr_map_unref(run.still);
	mr_memory_unref(run.memory);
	mr_memory_unref(run.other);
	require(store.released, "not released");
	for (uint64_t page = 0; page < run.mode->pages; page++)
		check_page((uint64_t *)(store.bytes + page * PAGE), page, versions[page], "where it came from");
	free(store.bytes);
}

int main(int argc, char **argv)
{
	struct thread workers[MOST_WORKERS];
	const struct mode *mode = &modes[argc > 1 && !strcmp(argv[1], modes[1].name)];
	struct dice dice = stress_begin_for("pager", mode->seconds);
	struct mr_pager probe = { .size = sizeof(probe), .read = read_store };
	struct mr_memory *memory;

	if (mr_memory_new_pager(&probe, 1, 0, 0, &memory) == -EOPNOTSUPP)
		return stress_skip("a userfaultfd that can watch shared memory (Linux 5.19)");
	mr_memory_unref(memory);
	if (!features()->kernel_faults)
		return stress_skip("a userfaultfd for accesses of the kernel");
	run.mode = mode;
	run.length = run.mode->pages * PAGE;
	store.calm = run.mode->calm;
	make();
	for (uintptr_t i = 0; i < run.mode->workers; i++)
		require(thread_start(&workers[i], work, (void *)i), "no thread");
	while (stress_goes_on())
		run.mode->disturb(&dice);
	run.stop = true;
	for (unsigned i = 0; i < run.mode->workers; i++)
		thread_join(&workers[i]);
	store.calm = true;
	end();
	return stress_end("%" PRIu64 " pages written, %" PRIu64 " checked; %" PRIu64 " reads and %" PRIu64
			  " writes, of which %" PRIu64 " failed",
			  run.written, run.checked, store.reads, store.writes, store.failed);
}
