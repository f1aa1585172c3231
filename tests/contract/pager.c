/* SPDX-License-Identifier: MIT */
/* Memory whose bytes come from elsewhere: when they come and go, what a failing or hanging pager does to whom, how it ends. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kind.h"
#include "pattern.h"
#include "scene.h"
#include "suite.h"
#include "thread.h"
#include "victim.h"
#include "wait.h"

#define SEED 7

/* How often a write is tried. */
#define TRIES 3

/* Where the bytes come from, what it is to do, and what it has been asked for. */
struct store {
	char *bytes;
	uint64_t length;
	atomic_int read_error, write_error, flush_error;
	_Atomic uint32_t shut;	   /* reads wait while it is 1 */
	_Atomic uint32_t full;	   /* writes do while this is */
	atomic_uint_least64_t bad; /* reads of the block with this offset fail, if it is not 0 */
	atomic_uint served;	   /* by read_one */
	_Atomic uint32_t seen;	   /* that it has */
	atomic_uint inside, most_inside, writing, reads, writes, flushes, released;
	atomic_bool used_after;
	atomic_bool doomed; /* writes that wait fail then, however often they are tried; the next ones do not */
};

static int read_store(void *argument, uint64_t offset, void *buffer, uint64_t length)
{
	struct store *store = argument;
	unsigned inside = ++store->inside;
	int error;

	store->used_after |= store->released != 0;
	store->reads++;
	while (inside > store->most_inside)
		store->most_inside = inside;
	while (store->shut)
		if (!wait_word((uint32_t *)&store->shut, 1))
			break;
	error = store->read_error;
	if (store->bad && store->bad >= offset && store->bad < offset + length)
		error = -EIO;
	if (!error)
		memcpy(buffer, store->bytes + offset, length);
	store->inside--;
	return error;
}

static int write_store(void *argument, uint64_t offset, const void *buffer, uint64_t length)
{
	struct store *store = argument;
	static _Thread_local unsigned failures;

	store->used_after |= store->released != 0;
	store->writes++;
	store->writing++;
	if (store->full && store->doomed)
		failures = TRIES;
	while (store->full)
		if (!wait_word((uint32_t *)&store->full, 1))
			break;
	store->writing--;
	if (failures) {
		failures--;
		return -EIO;
	}
	if (store->write_error) {
		mr_error_set("the store", "its shelves are full");
		return store->write_error;
	}
	memcpy(store->bytes + offset, buffer, length);
	return 0;
}

static int flush_store(void *argument)
{
	struct store *store = argument;

	store->flushes++;
	if (store->flush_error)
		mr_error_set("the store", "the clerk is away");
	return store->flush_error;
}

static void release_store(void *argument)
{
	struct store *store = argument;

	store->released++;
}

static void store_make(struct store *store, uint64_t length)
{
	memset(store, 0, sizeof(*store));
	store->length = length;
	store->bytes = malloc(length);
	assert_non_null(store->bytes);
	pattern_fill(store->bytes, 0, length, SEED);
}

static void store_free(struct store *store)
{
	assert_int_equal(store->released, 1);
	assert_false(store->used_after);
	free(store->bytes);
}

static void shut(struct store *store)
{
	store->shut = 1;
}

static void open_again(struct store *store)
{
	store->shut = 0;
	wait_wake((uint32_t *)&store->shut);
}

static struct mr_pager pager_of(struct store *store)
{
	return (struct mr_pager){ .size = sizeof(struct mr_pager),
				  .block = page_size(),
				  .read = read_store,
				  .write = write_store,
				  .flush = flush_store,
				  .release = release_store,
				  .arg = store };
}

static struct mr_memory *memory_of(struct store *store, uint64_t cache)
{
	struct mr_pager pager = pager_of(store);
	struct mr_memory *memory;

	assert_ok(mr_memory_new_pager(&pager, store->length, cache, 0, &memory));
	return memory;
}

static char *map_of(struct mr_memory *memory, uint32_t options, struct mr_map **ret_map)
{
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | options, 0, 0, ret_map));
	return mr_map_address(*ret_map);
}

/* A store, its memory, and a map of that. */
static char *begin(struct store *store, uint64_t length, uint64_t cache, uint32_t options, struct mr_memory **ret_memory,
		   struct mr_map **ret_map)
{
	store_make(store, length);
	*ret_memory = memory_of(store, cache);
	return map_of(*ret_memory, options, ret_map);
}

static void end(struct store *store, struct mr_memory *memory, struct mr_map *map)
{
	mr_map_unref(map);
	mr_memory_unref(memory);
	store_free(store);
}

static void bytes_come_when_touched_and_go_back_at_a_sync(void **state)
{
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 16 * page_size() + 100, 0, 0, &memory, &map);
	assert_int_equal(store.reads, 0);
	assert_pattern(address, 0, store.length, SEED);
	assert_true(store.reads > 0);
	assert_int_equal(store.writes, 0);
	address[5] = 'x';
	address[store.length - 1] = 'y';
	assert_ok(mr_memory_sync(memory));
	assert_int_equal(store.bytes[5], 'x');
	assert_int_equal(store.bytes[store.length - 1], 'y');
	assert_int_equal(store.flushes, 1);
	address[5] = 'z'; /* once more after it was written back */
	assert_ok(mr_memory_sync(memory));
	assert_int_equal(store.bytes[5], 'z');
	end(&store, memory, map);
}

static void the_last_unref_writes_back_flushes_and_releases(void **state)
{
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 8 * page_size(), 0, 0, &memory, &map);
	address[3 * page_size()] = 'x';
	mr_memory_unref(memory);
	assert_int_equal(store.released, 0);
	mr_map_unref(map);
	assert_int_equal(store.bytes[3 * page_size()], 'x');
	assert_int_equal(store.flushes, 1);
	store_free(&store);
}

static void all_ways_to_the_memory_see_the_same_bytes(void **state)
{
	struct mr_map *one, *two, *part;
	struct mr_memory *memory, *sub, *ranges;
	uint64_t page = page_size();
	struct mr_range range;
	struct store store;
	char *first, *second, *third, byte;

	(void)state;
	store_make(&store, 32 * page);
	memory = memory_of(&store, 0);
	assert_ok(mr_memory_new_sub(memory, 4 * page, 8 * page, 0, &sub));
	first = map_of(memory, 0, &one);
	second = map_of(memory, MR_MAP_PREFAULT, &two);
	third = map_of(sub, 0, &part);
	range = (struct mr_range){ (uintptr_t)first + 5 * page, page };
	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &ranges));
	first[5 * page] = 'a';
	assert_int_equal(second[5 * page], 'a');
	assert_int_equal(third[page], 'a');
	assert_ok(mr_memory_write(memory, 5 * page, "b", 1));
	assert_int_equal(first[5 * page], 'b');
	third[page] = 'c';
	assert_ok(mr_memory_read(ranges, 0, &byte, 1));
	assert_int_equal(byte, 'c');
	assert_ok(mr_memory_sync(sub));
	assert_int_equal(store.bytes[5 * page], 'c');
	second[5 * page] = 'd'; /* the sync has made it clean in every map */
	assert_ok(mr_memory_sync(ranges));
	assert_int_equal(store.bytes[5 * page], 'd');
	mr_memory_unref(ranges);
	mr_map_unref(part);
	mr_map_unref(two);
	mr_map_unref(one);
	mr_memory_unref(sub);
	mr_memory_unref(memory);
	store_free(&store);
}

/* What the kernel writes for mr_memory_read is dirty, and kept, as what clients write: also where the cache is far too small for it. */
static void what_is_read_into_a_map_of_it_is_written_to_it(void **state)
{
	uint64_t length = UINT64_C(16) << 20;
	struct mr_memory *memory, *other;
	struct store store;
	struct mr_map *map;
	char *address, *bytes = malloc(length);

	(void)state;
	assert_non_null(bytes);
	pattern_fill(bytes, 0, length, SEED + 1);
	address = begin(&store, length, 1, 0, &memory, &map);
	assert_ok(mr_memory_new_buffer(length, 0, &other));
	assert_ok(mr_memory_write(other, 0, bytes, length));
	assert_ok(mr_memory_read(other, 0, address, length));
	assert_pattern(address, 0, length, SEED + 1);
	assert_ok(mr_memory_sync(memory));
	assert_pattern(store.bytes, 0, length, SEED + 1);
	free(bytes);
	mr_memory_unref(other);
	end(&store, memory, map);
}

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
	fail_msg("there is no cache");
	return 0;
}

static void a_full_cache_writes_back_and_keeps_its_bound(void **state)
{
	uint64_t page = page_size(), length = 1024 * page, bound = 64 * page;
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, length, 1, 0, &memory, &map);
	for (uint64_t offset = 0; offset < length; offset += page) {
		assert_pattern(address + offset, offset, page, SEED);
		pattern_fill(address + offset, offset, page, SEED + 1);
		assert_true(cache_holds() <= bound);
	}
	assert_true(store.writes > 0);
	assert_pattern(address, 0, length, SEED + 1);
	assert_true(cache_holds() <= bound);
	mr_map_unref(map);
	mr_memory_unref(memory);
	assert_pattern(store.bytes, 0, length, SEED + 1);
	store_free(&store);
}

static bool can_be_read(void *address)
{
	return access_try(ACCESS_LOAD, address, 0).signal == 0;
}

/* Before, only signals can be sent, and no signal ends the fault of a system call. */
static bool system_calls_are_refused(void)
{
	unsigned major = 0, minor = 0;
	struct utsname name;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 6));
}

static void a_failing_read_is_sigbus_and_passes(void **state)
{
	struct mr_memory *memory, *other;
	struct outcome outcome;
	struct store store;
	struct mr_map *map;
	char *address, byte;

	(void)state;
	address = begin(&store, 8 * page_size(), 0, 0, &memory, &map);
	store.read_error = -EIO;
	assert_int_equal(access_try(ACCESS_LOAD, address, 0).signal, SIGBUS);
	assert_int_equal(store.reads, 3);
	assert_int_equal(access_try(ACCESS_STORE, address + 8, 1).signal, SIGBUS);
	if (system_calls_are_refused()) {
		outcome = access_try(ACCESS_WRITE, address + 16, 0);
		assert_int_equal(outcome.returned, -1);
		assert_int_equal(outcome.error, EFAULT);
	}
	assert_int_equal(mr_memory_read(memory, 0, &byte, 1), -EIO);
	store.read_error = 0;
	assert_pattern(address + page_size(), page_size(), page_size(), SEED);
	assert_true(wait_until(can_be_read, address));
	assert_pattern(address, 0, store.length, SEED);
	store.read_error = -EIO; /* what is there is there */
	assert_pattern(address, 0, store.length, SEED);
	assert_ok(mr_memory_new_buffer(store.length, 0, &other));
	assert_ok(mr_map_redirect(map, other, 0, 0));
	assert_int_equal(address[0], 0);
	mr_map_unref(map);
	mr_memory_unref(other);
	mr_memory_unref(memory);
	store_free(&store);
}

static void a_redirect_ends_a_refusal_at_once(void **state)
{
	struct mr_memory *memory, *other;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 8 * page_size(), 0, 0, &memory, &map);
	store.read_error = -EIO;
	assert_int_equal(access_try(ACCESS_LOAD, address, 0).signal, SIGBUS);
	assert_ok(mr_memory_new_buffer(store.length, 0, &other));
	assert_ok(mr_map_redirect(map, other, 0, 0));
	assert_int_equal(access_try(ACCESS_LOAD, address, 0).signal, 0);
	store.read_error = 0;
	assert_ok(mr_map_redirect(map, memory, 0, 0)); /* and back */
	assert_int_equal(access_try(ACCESS_LOAD, address, 0).signal, 0);
	store.read_error = -EIO;
	assert_int_equal(access_try(ACCESS_LOAD, address + 4 * page_size(), 0).signal, SIGBUS);
	store.read_error = 0;
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, memory, 0, 0));
	assert_pattern(address, 0, store.length, SEED);
	mr_map_unref(map);
	mr_memory_unref(other);
	mr_memory_unref(memory);
	store_free(&store);
}

/* Blocks beside it are read with it, ahead of time; and are not to blame. */
static void a_bad_block_is_refused_alone(void **state)
{
	uint64_t page = page_size(), length = 64 * page;
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	store_make(&store, length);
	store.bad = 33 * page;
	memory = memory_of(&store, 0);
	address = map_of(memory, 0, &map);
	for (uint64_t offset = 0; offset < length; offset += page)
		assert_int_equal(access_try(ACCESS_LOAD, address + offset, 0).signal, offset == store.bad ? SIGBUS : 0);
	assert_int_equal(access_try(ACCESS_LOAD, address + store.bad, 0).signal, SIGBUS);
	end(&store, memory, map);
}

/* More than reads are under way at once; each in another block. */
#define CROWD 64

static void crowd_start(struct victim **crowd, char *address)
{
	for (unsigned i = 0; i < CROWD; i++) {
		crowd[i] = victim_start(ACCESS_LOAD, address + (i + 1) * 3 * page_size(), 0);
		assert_non_null(crowd[i]);
	}
}

static int signal_of(struct victim *victim)
{
	int number;

	assert_true(victim_wait(victim));
	number = victim->outcome.signal;
	victim_free(victim);
	return number;
}

/* One who comes while the first ones are refused may have a read of its own. */
static void what_times_out_times_out_for_all_who_wait(void **state)
{
	uint64_t page = page_size(), length = 4 * CROWD * page;
	struct victim *crowd[CROWD];
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, length, 0, 0, &memory, &map);
	shut(&store);
	store.read_error = -ETIMEDOUT;
	crowd_start(crowd, address);
	assert_true(wait_waiters(map, CROWD));
	open_again(&store);
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(signal_of(crowd[i]), SIGBUS);
	assert_true(store.reads <= TRIES * CROWD / 2);
	store.read_error = 0;
	assert_true(wait_until(can_be_read, address + (CROWD * 3 * page)));
	assert_true(wait_until(can_be_read, address + 3 * page));
	end(&store, memory, map);
}

/* A store that serves one block; when that is there, the bad one times out, and the others wait. */
static int read_one(void *argument, uint64_t offset, void *buffer, uint64_t length)
{
	struct store *store = argument;

	if (offset == store->bad) {
		while (!store->seen)
			wait_word((uint32_t *)&store->seen, 0);
		return -ETIMEDOUT;
	}
	if (store->served++)
		return read_store(store, offset, buffer, length);
	memcpy(buffer, store->bytes + offset, length);
	return 0;
}

static bool somebody_is_served(void *argument)
{
	struct victim **crowd = argument;
	unsigned i = 1;

	while (i < CROWD && !victim_is_done(crowd[i]))
		i++;
	return i < CROWD;
}

static void what_times_out_alone_is_refused_alone(void **state)
{
	uint64_t page = page_size(), length = 4 * CROWD * page;
	struct victim *crowd[CROWD];
	struct mr_memory *memory;
	struct mr_pager pager;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	store_make(&store, length);
	store.bad = 3 * page;
	pager = pager_of(&store);
	pager.read = read_one;
	assert_ok(mr_memory_new_pager(&pager, length, 0, 0, &memory));
	address = map_of(memory, 0, &map);
	shut(&store);
	crowd_start(crowd, address);
	assert_true(wait_until(somebody_is_served, crowd));
	store.seen = 1;
	wait_wake((uint32_t *)&store.seen);
	assert_int_equal(signal_of(crowd[0]), SIGBUS);
	open_again(&store);
	for (unsigned i = 1; i < CROWD; i++)
		assert_int_equal(signal_of(crowd[i]), 0);
	end(&store, memory, map);
}

static void a_failing_write_keeps_its_bytes_and_is_told_of(void **state)
{
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 8 * page_size(), 0, 0, &memory, &map);
	address[0] = 'x';
	store.write_error = -ENOSPC;
	assert_error(mr_memory_sync(memory), ENOSPC);
	assert_error(mr_memory_sync(memory), ENOSPC);
	assert_non_null(strstr(mr_error(), "mr_memory_sync: some of"));
	assert_non_null(strstr(mr_error(), "(the store: its shelves are full)"));
	assert_int_equal(address[0], 'x');
	assert_int_equal(store.flushes, 0);
	store.write_error = 0;
	store.flush_error = -EIO;
	assert_error(mr_memory_sync(memory), EIO);
	assert_non_null(strstr(mr_error(), "(the store: the clerk is away)"));
	assert_int_equal(store.bytes[0], 'x');
	store.flush_error = 0;
	address[0] = 'y';
	assert_ok(mr_memory_sync(memory));
	assert_non_null(strstr(mr_error(), "the clerk is away")); /* calls that succeed leave it alone */
	end(&store, memory, map);
}

struct filling {
	struct store *store;
	char *address;
	uint64_t end;
};

static bool write_was_tried(void *argument)
{
	struct store *store = argument;

	return store->writes > 0;
}

static void a_full_cache_that_cannot_be_written_back_refuses_what_is_new(void **state)
{
	uint64_t page = page_size(), length = 256 * page, offset;
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, length, 1, 0, &memory, &map);
	store.write_error = -ENOSPC;
	for (offset = 0; offset < length && !access_try(ACCESS_STORE, address + offset, offset + 1).signal; offset += page)
		;
	assert_true(offset >= 32 * page && offset < length);
	assert_true(wait_until(write_was_tried, &store));
	for (uint64_t i = 0; i < offset; i += page) /* nothing dirty was dropped */
		assert_int_equal(*(uint64_t *)(address + i), i + 1);
	store.write_error = 0;
	assert_true(wait_until(can_be_read, address + offset));
	assert_error(mr_memory_sync(memory), ENOSPC);
	assert_ok(mr_memory_sync(memory));
	for (uint64_t i = 0; i < offset; i += page)
		assert_int_equal(*(uint64_t *)(store.bytes + i), i + 1);
	end(&store, memory, map);
}

/* Somebody who writes to pages that are far from one another. */
struct scatterer {
	char *address;
	uint64_t apart;
	atomic_uint done;
};

#define SCATTERED 128
#define ROOM	  64 /* blocks of the smallest cache */

static void *scatter(void *argument)
{
	struct scatterer *scatterer = argument;

	while (scatterer->done < SCATTERED) {
		char *word = scatterer->address + scatterer->done * scatterer->apart;

		if (access_try(ACCESS_STORE, word, scatterer->done + 1).signal)
			return scatterer;
		scatterer->done++;
	}
	return NULL;
}

static bool has_filled_the_cache(void *argument)
{
	struct scatterer *scatterer = argument;

	return scatterer->done >= ROOM;
}

static bool several_are_written(void *argument)
{
	struct store *store = argument;

	return store->writing > 2;
}

/* Several writes fail at once, all of which had begun before somebody came for room: the next one may do better. */
static void writes_that_had_begun_before_refuse_nobody(void **state)
{
	uint64_t apart = UINT64_C(512) << 10;
	struct scatterer scatterer = { .apart = apart };
	struct mr_memory *memory;
	struct thread thread;
	struct store store;
	struct mr_map *map;

	(void)state;
	scatterer.address = begin(&store, SCATTERED * apart, 1, 0, &memory, &map);
	store.full = 1;
	store.doomed = true;
	assert_true(thread_start(&thread, scatter, &scatterer));
	assert_true(wait_until(has_filled_the_cache, &scatterer));
	assert_true(wait_until(several_are_written, &store));
	assert_true(wait_waiters(map, 1));
	store.full = 0;
	wait_wake((uint32_t *)&store.full);
	assert_null(thread_join(&thread));
	assert_error(mr_memory_sync(memory), EIO); /* tells of those */
	assert_ok(mr_memory_sync(memory));
	for (uint64_t i = 0; i < SCATTERED; i++)
		assert_int_equal(*(uint64_t *)(store.bytes + i * apart), i + 1);
	end(&store, memory, map);
}

/* A block whose last page is not whole: that part of it is put there by a write, which a limit keeps from it; the first part is there by then. */
static void a_load_that_fails_halfway_can_be_had_later(void **state)
{
	uint64_t page = page_size(), length = 64 * page - 8;
	struct rlimit before, none;
	struct mr_memory *memory;
	struct mr_pager pager;
	struct outcome outcome;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	store_make(&store, length);
	pager = pager_of(&store);
	pager.block = 64 * page;
	assert_ok(mr_memory_new_pager(&pager, length, 0, 0, &memory));
	address = map_of(memory, 0, &map);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	outcome = access_try(ACCESS_STORE, address + page, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(outcome.signal, SIGBUS);
	assert_true(wait_until(can_be_read, address));
	assert_pattern(address, 0, length, SEED);
	address[page] = 'x';
	assert_ok(mr_memory_sync(memory));
	assert_int_equal(store.bytes[page], 'x');
	end(&store, memory, map);
}

static bool is_released(void *argument)
{
	struct store *store = argument;

	return store->released == 1;
}

/* Whoever makes the next pager, or drops one, frees what the first has left. */
static void reap(void)
{
	struct store store;

	store_make(&store, page_size());
	mr_memory_unref(memory_of(&store, 0));
	store_free(&store);
}

static void a_last_unref_that_cannot_write_back_goes_on_trying(void **state)
{
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 8 * page_size(), 0, 0, &memory, &map);
	address[page_size()] = 'x';
	store.write_error = -EIO;
	mr_memory_unref(memory);
	mr_map_unref(map);
	assert_int_equal(store.released, 0);
	store.write_error = 0;
	assert_true(wait_until(is_released, &store));
	assert_int_equal(store.bytes[page_size()], 'x');
	reap();
	store_free(&store);
}

#define MANY 8

static bool all_inside(void *argument)
{
	struct store *store = argument;

	return store->inside >= MANY;
}

static void start_many(struct victim **victims, char *address)
{
	for (unsigned i = 0; i < MANY; i++) {
		victims[i] = victim_start(ACCESS_LOAD, address + i * 8 * page_size(), 0);
		assert_non_null(victims[i]);
	}
}

static void end_many(struct victim **victims, int signal, const char *bytes)
{
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(victim_wait(victims[i]));
		assert_int_equal(victims[i]->outcome.signal, signal);
		if (bytes)
			assert_memory_equal(&victims[i]->outcome.seen, bytes + i * 8 * page_size(), 8);
		victim_free(victims[i]);
	}
}

static void faults_of_many_threads_are_under_way_at_once(void **state)
{
	struct victim *victims[MANY];
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 64 * page_size(), 0, 0, &memory, &map);
	shut(&store);
	start_many(victims, address);
	assert_true(wait_until(all_inside, &store));
	open_again(&store);
	end_many(victims, 0, store.bytes);
	end(&store, memory, map);
}

/* The pager hangs: whoever waits for it is let go by a redirect, at once. */
static void a_redirect_away_releases_all_who_wait(void **state)
{
	struct mr_memory *memory, *other;
	struct victim *victims[MANY];
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 64 * page_size(), 0, 0, &memory, &map);
	assert_ok(mr_memory_new_buffer(store.length, 0, &other));
	assert_ok(mr_memory_write(other, 0, store.bytes, store.length));
	shut(&store);
	start_many(victims, address);
	assert_true(wait_until(all_inside, &store));
	assert_ok(mr_map_redirect(map, other, 0, 0));
	end_many(victims, 0, store.bytes);
	assert_int_equal(store.shut, 1);
	open_again(&store);
	mr_map_unref(map);
	mr_memory_unref(other);
	mr_memory_unref(memory);
	store_free(&store);
}

/* Blocked, nobody waits for the pager; and back while it still hangs, all wait for it again. */
static void a_block_while_reads_are_under_way(void **state)
{
	struct victim *victims[MANY];
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 64 * page_size(), 0, 0, &memory, &map);
	shut(&store);
	start_many(victims, address);
	assert_true(wait_until(all_inside, &store));
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, memory, 0, 0));
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	open_again(&store);
	for (unsigned i = 0; i < MANY; i++)
		assert_false(victim_is_done(victims[i]));
	assert_ok(mr_map_redirect(map, memory, 0, 0));
	end_many(victims, 0, store.bytes);
	assert_pattern(address, 0, store.length, SEED);
	end(&store, memory, map);
}

static void an_unmap_while_reads_are_under_way(void **state)
{
	struct victim *victims[MANY];
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, 64 * page_size(), 0, 0, &memory, &map);
	shut(&store);
	start_many(victims, address);
	assert_true(wait_until(all_inside, &store));
	assert_ok(mr_map_unmap(map));
	end_many(victims, SIGSEGV, NULL);
	open_again(&store);
	end(&store, memory, map);
}

static void without_write_it_is_read_only(void **state)
{
	struct mr_map *map, *own;
	struct mr_memory *memory;
	struct mr_pager pager;
	struct store store;
	char *address;

	(void)state;
	store_make(&store, 8 * page_size());
	pager = pager_of(&store);
	pager.write = NULL;
	assert_ok(mr_memory_new_pager(&pager, store.length, 0, 0, &memory));
	assert_true(mr_memory_options(memory) & MR_MEMORY_READ_ONLY);
	assert_error(mr_memory_write(memory, 0, "x", 1), EACCES);
	assert_error(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EACCES);
	address = map_of(memory, MR_MAP_READ_ONLY, &map);
	assert_pattern(address, 0, store.length, SEED);
	address = map_of(memory, MR_MAP_COPY_ON_WRITE, &own);
	address[0] = 'x';
	assert_ok(mr_memory_sync(memory));
	assert_int_equal(store.flushes, 0);
	mr_map_unref(own);
	mr_map_unref(map);
	mr_memory_unref(memory);
	assert_pattern(store.bytes, 0, store.length, SEED);
	store_free(&store);
}

/* Also of copies on write, whose own pages stay when those of the memory go. */
static void copies_on_write_outlive_the_cache(void **state)
{
	uint64_t page = page_size(), length = 512 * page;
	struct mr_memory *memory, *copy;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, length, 1, MR_MAP_COPY_ON_WRITE, &memory, &map);
	for (uint64_t offset = 0; offset < length; offset += 2 * page)
		pattern_fill(address + offset, offset, page, SEED + 1);
	for (uint64_t offset = 0; offset < length; offset += page)
		assert_pattern(address + offset, offset, page, offset / page % 2 ? SEED : SEED + 1);
	assert_ok(mr_map_snapshot(map, NULL, &copy, NULL));
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, memory, MR_MAP_COPY_ON_WRITE, 0));
	for (uint64_t offset = 0; offset < length; offset += page)
		assert_pattern(address + offset, offset, page, offset / page % 2 ? SEED : SEED + 1);
	mr_memory_unref(copy);
	mr_map_unref(map);
	mr_memory_unref(memory);
	assert_pattern(store.bytes, 0, length, SEED);
	store_free(&store);
}

static void snapshots_and_moves_of_more_than_the_cache(void **state)
{
	uint64_t length = 1024 * page_size();
	struct mr_memory *memory, *copy, *local;
	struct store store;
	struct mr_map *map;
	char *address, *bytes = malloc(length);

	(void)state;
	assert_non_null(bytes);
	address = begin(&store, length, 1, 0, &memory, &map);
	assert_ok(mr_map_snapshot(map, NULL, &copy, NULL));
	assert_ok(mr_memory_read(copy, 0, bytes, length));
	assert_pattern(bytes, 0, length, SEED);
	assert_int_equal(store.writes, 0); /* a snapshot makes nothing dirty */
	assert_ok(mr_memory_new_buffer(length, 0, &local));
	assert_ok(mr_map_move(map, local, 0, 0, NULL, NULL));
	assert_pattern(address, 0, length, SEED);
	pattern_fill(address, 0, length, SEED + 1);
	assert_ok(mr_map_move(map, memory, 0, 0, NULL, NULL));
	assert_pattern(address, 0, length, SEED + 1);
	assert_ok(mr_memory_sync(memory));
	assert_pattern(store.bytes, 0, length, SEED + 1);
	free(bytes);
	mr_memory_unref(local);
	mr_memory_unref(copy);
	end(&store, memory, map);
}

static void what_is_prepared_stays(void **state)
{
	uint64_t page = page_size(), length = 512 * page, address = 0, run = 0;
	struct mr_memory *memory, *sub;
	struct store store;
	struct mr_map *map;
	char *shown;

	(void)state;
	store_make(&store, length);
	memory = memory_of(&store, 1);
	assert_error(mr_memory_prepare(memory), ENOMEM);
	assert_ok(mr_memory_new_sub(memory, page, 8 * page, 0, &sub));
	assert_ok(mr_memory_prepare(sub));
	shown = map_of(memory, 0, &map);
	assert_pattern(shown, 0, length, SEED);
	if (features()->frame_numbers)
		assert_ok(mr_memory_physical_segment(sub, 7 * page, &address, &run));
	store.reads = 0;
	assert_pattern(shown + page, page, 8 * page, SEED);
	assert_int_equal(store.reads, 0);
	assert_ok(mr_memory_complete(sub));
	mr_map_unref(map);
	mr_memory_unref(sub);
	mr_memory_unref(memory);
	store_free(&store);
}

static void accesses_in_order_have_more_read_at_once(void **state)
{
	uint64_t page = page_size(), length = 1024 * page;
	struct mr_memory *memory;
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, length, 0, 0, &memory, &map);
	for (uint64_t offset = 0; offset < length; offset += page)
		assert_int_equal(*(uint64_t *)(address + offset), pattern_word(SEED, offset));
	assert_true(store.reads < 1024 / 4);
	end(&store, memory, map);
}

static bool many_are_written(void *argument)
{
	struct store *store = argument;

	return store->writing >= MANY;
}

static void *sync_it(void *memory)
{
	return mr_memory_sync(memory) ? memory : NULL;
}

/* Pages here and there go back several at a time, for two who sync at once, too; and whoever touches another page meanwhile does not wait for that. */
static void syncs_have_many_writes_under_way_and_hold_no_read_up(void **state)
{
	uint64_t page = page_size(), length = UINT64_C(64) << 20, apart = UINT64_C(1) << 20;
	struct mr_memory *memory;
	struct thread syncers[2];
	struct store store;
	struct mr_map *map;
	char *address;

	(void)state;
	address = begin(&store, length, 0, 0, &memory, &map);
	for (uint64_t offset = 0; offset < length; offset += apart)
		memset(address + offset, 'w', page);
	store.full = 1;
	for (unsigned i = 0; i < 2; i++)
		assert_true(thread_start(&syncers[i], sync_it, memory));
	assert_true(wait_until(many_are_written, &store));
	for (uint64_t offset = 8 * page; offset < length; offset += apart)
		assert_int_equal(*(uint64_t *)(address + offset), pattern_word(SEED, offset));
	store.full = 0;
	wait_wake((uint32_t *)&store.full);
	for (unsigned i = 0; i < 2; i++)
		assert_null(thread_join(&syncers[i]));
	for (uint64_t offset = 0; offset < length; offset += apart)
		assert_int_equal(store.bytes[offset + page - 1], 'w');
	end(&store, memory, map);
}

static void other_memory_has_nothing_to_sync(void **state)
{
	struct mr_memory *memory;
	int fd;

	(void)state;
	assert_ok(mr_memory_new_buffer(page_size(), 0, &memory));
	assert_ok(mr_memory_sync(memory));
	mr_memory_unref(memory);
	fd = disk_file(page_size());
	if (fd < 0)
		return;
	assert_ok(mr_memory_new_fd(fd, 0, page_size(), 0, &memory));
	assert_ok(mr_memory_sync(memory));
	mr_memory_unref(memory);
	close(fd);
}

static const struct CMUnitTest tests[] = {
	TEST(bytes_come_when_touched_and_go_back_at_a_sync),
	TEST(the_last_unref_writes_back_flushes_and_releases),
	TEST(all_ways_to_the_memory_see_the_same_bytes),
	TEST(what_is_read_into_a_map_of_it_is_written_to_it),
	TEST(a_full_cache_writes_back_and_keeps_its_bound),
	TEST(a_failing_read_is_sigbus_and_passes),
	TEST(a_redirect_ends_a_refusal_at_once),
	TEST(a_bad_block_is_refused_alone),
	TEST(what_times_out_times_out_for_all_who_wait),
	TEST(what_times_out_alone_is_refused_alone),
	TEST(a_failing_write_keeps_its_bytes_and_is_told_of),
	TEST(a_full_cache_that_cannot_be_written_back_refuses_what_is_new),
	TEST(writes_that_had_begun_before_refuse_nobody),
	TEST(a_load_that_fails_halfway_can_be_had_later),
	TEST(a_last_unref_that_cannot_write_back_goes_on_trying),
	TEST(faults_of_many_threads_are_under_way_at_once),
	TEST(a_redirect_away_releases_all_who_wait),
	TEST(a_block_while_reads_are_under_way),
	TEST(an_unmap_while_reads_are_under_way),
	TEST(without_write_it_is_read_only),
	TEST(copies_on_write_outlive_the_cache),
	TEST(snapshots_and_moves_of_more_than_the_cache),
	TEST(what_is_prepared_stays),
	TEST(accesses_in_order_have_more_read_at_once),
	TEST(syncs_have_many_writes_under_way_and_hold_no_read_up),
	TEST(other_memory_has_nothing_to_sync),
};

int main(int argc, char **argv)
{
	struct mr_pager pager = { .size = sizeof(pager), .read = read_store };
	struct mr_memory *memory;

	if (mr_memory_new_pager(&pager, 1, 0, 0, &memory) == -EOPNOTSUPP)
		return suite_skip("a userfaultfd that can watch shared memory (Linux 5.19)");
	mr_memory_unref(memory);
	if (!features()->kernel_faults)
		return suite_skip("a userfaultfd for accesses of the kernel");
	return suite_run(argc, argv, "pager", tests, COUNT(tests));
}
