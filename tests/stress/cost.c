/* SPDX-License-Identifier: MIT */
/*
 * Guarantee G: the cost does not grow with the map.
 *
 *   faults	a thread touches every page of a map after a prefaulted redirect, and after a block that ended with the same backing.
 *		It may take a few page faults, for whatever the kernel likes, but as many in a large map as in a small one. The
 *		kernel counts them: this does not depend on speed
 *   stall	the longest time that an access takes across a prefaulted redirect of a large map, the best of several tries,
 *		against that across one mmap(MAP_FIXED) in the same run: a quarter at most
 *
 * Catches: pages that are zapped and faulted in again one by one; tables that are filled, or emptied, while clients wait.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crowd.h"
#include "kind.h"
#include "sanitizer.h"
#include "stress.h"
#include "suite.h"
#include "wait.h"

#define MIB	   (UINT64_C(1) << 20)
#define FEW_FAULTS 64
#define LARGE	   (256 * MIB)
#define TRIES	   200

static uint64_t faults_of_this_thread(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
}

/* Faults that it takes to touch every page. */
static uint64_t touch(const char *address, uint64_t length)
{
	uint64_t before = faults_of_this_thread();

	for (uint64_t offset = 0; offset < length; offset += page_size())
		(void)*(const volatile char *)(address + offset);
	return faults_of_this_thread() - before;
}

static struct mr_memory *make_filled(uint64_t length)
{
	struct mr_memory *memory;
	struct mr_map *map;

	require_ok(mr_memory_new_buffer(length, 0, &memory));
	require_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	memset(mr_map_address(map), 1, length);
	mr_map_unref(map);
	return memory;
}

static void check_few(uint64_t faults, uint64_t length, const char *what)
{
	require(faults <= FEW_FAULTS, "%s of %" PRIu64 " MiB made a client take %" PRIu64 " faults", what, length / MIB,
		faults);
}

/* @map shows the first of the two. */
static void count_faults(struct mr_map *map, struct mr_memory *const *memories, uint64_t length, const char *kind)
{
	const char *address = mr_map_address(map);

	touch(address, length);
	check_few(touch(address, length), length, "nothing at all");
	require_ok(mr_map_redirect(map, NULL, 0, 0));
	require_ok(mr_map_redirect(map, memories[0], 0, 0));
	check_few(touch(address, length), length, kind);
	require_ok(mr_map_redirect(map, memories[1], MR_MAP_PREFAULT, 0));
	check_few(touch(address, length), length, "a prefaulted redirect");
	require_ok(mr_map_redirect(map, NULL, 0, 0));
	require_ok(mr_map_redirect(map, memories[0], MR_MAP_PREFAULT, 0));
	check_few(touch(address, length), length, "a prefaulted redirect of a blocked map");
}

static void count_faults_shared(uint64_t length)
{
	struct mr_memory *memories[2] = { make_filled(length), make_filled(length) };
	struct mr_map *map;

	require_ok(mr_map_new(memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	count_faults(map, memories, length, "block and restore of shared memory");
	mr_map_unref(map);
	mr_memory_unref(memories[0]);
	mr_memory_unref(memories[1]);
}

static void count_faults_private(uint64_t length)
{
	struct mr_memory *memories[2] = { NULL, make_filled(length) };
	void *range = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_map *map;

	require(range != MAP_FAILED, "no memory");
	madvise(range, length, MADV_NOHUGEPAGE);
	memset(range, 1, length);
	require_ok(mr_map_adopt(NULL, range, length, 0, &map));
	memories[0] = mr_memory_ref(mr_map_memory(map));
	count_faults(map, memories, length, "block and restore of private memory");
	mr_map_unref(map);
	munmap(range, length);
	mr_memory_unref(memories[0]);
	mr_memory_unref(memories[1]);
}

/* A client that touches one page after the other, and keeps the longest time that it took. */
static struct {
	char *address;
	uint64_t longest; /* nanoseconds, since it was set to 0 */
	uint64_t touched;
} client;

static uint64_t now(void)
{
	return (uint64_t)(clock_now() * 1e9);
}

static void touch_on(struct worker *worker, void *argument)
{
	uint64_t offset = 0;

	(void)argument;
	while (crowd_goes_on(worker->crowd)) {
		uint64_t before = now(), took;

		__atomic_load_n(client.address + offset, __ATOMIC_SEQ_CST);
		took = now() - before;
		if (took > __atomic_load_n(&client.longest, __ATOMIC_RELAXED))
			__atomic_store_n(&client.longest, took, __ATOMIC_RELAXED);
		offset = (offset + page_size()) % LARGE;
		__atomic_fetch_add(&client.touched, 1, __ATOMIC_SEQ_CST);
	}
}

static bool has_touched(void *argument)
{
	return __atomic_load_n(&client.touched, __ATOMIC_SEQ_CST) >= *(uint64_t *)argument;
}

static void let_client_touch(uint64_t pages)
{
	uint64_t enough = __atomic_load_n(&client.touched, __ATOMIC_SEQ_CST) + pages;

	require(wait_until(has_touched, &enough), "the client does not go on");
}

/* The longest access across one call of @change. */
static uint64_t longest_across(void (*change)(void *argument, unsigned number), void *argument, unsigned number)
{
	let_client_touch(LARGE / page_size());
	__atomic_store_n(&client.longest, 0, __ATOMIC_SEQ_CST);
	change(argument, number);
	let_client_touch(1);
	return __atomic_load_n(&client.longest, __ATOMIC_SEQ_CST);
}

struct subject {
	struct mr_map *map;
	struct mr_memory *memories[2];
	void *range;
	int fds[2];
};

static void change_by_redirect(void *argument, unsigned number)
{
	struct subject *subject = argument;

	require_ok(mr_map_redirect(subject->map, subject->memories[(number + 1) % 2], MR_MAP_PREFAULT, 0));
}

static void change_by_mmap(void *argument, unsigned number)
{
	struct subject *subject = argument;

	require(mmap(subject->range, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, subject->fds[number % 2], 0) ==
			subject->range,
		"mmap failed");
}

static uint64_t best_of(unsigned tries, void (*change)(void *argument, unsigned number), struct subject *subject, char *address,
			uint64_t enough, struct dice *dice)
{
	static struct crowd crowd;
	uint64_t best = UINT64_MAX;

	client.address = address;
	crowd_start(&crowd, 1, dice, touch_on, NULL);
	for (unsigned i = 0; i < tries && best > enough; i++) {
		uint64_t longest = longest_across(change, subject, i);

		best = longest < best ? longest : best;
	}
	crowd_stop(&crowd);
	return best;
}

static void make_subject(struct subject *subject)
{
	for (unsigned i = 0; i < 2; i++) {
		subject->memories[i] = make_filled(LARGE);
		subject->fds[i] = memfd_with_pattern(LARGE, i);
	}
	require_ok(mr_map_new(subject->memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &subject->map));
	subject->range = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, subject->fds[0], 0);
	require(subject->range != MAP_FAILED, "no memory");
}

static void free_subject(struct subject *subject)
{
	munmap(subject->range, LARGE);
	mr_map_unref(subject->map);
	for (unsigned i = 0; i < 2; i++) {
		close(subject->fds[i]);
		mr_memory_unref(subject->memories[i]);
	}
}

/* Return: how many times shorter. */
static double compare_stalls(struct dice *dice)
{
	struct subject subject;
	uint64_t plain, ours;

	make_subject(&subject);
	plain = best_of(5, change_by_mmap, &subject, subject.range, 0, dice);
	ours = best_of(TRIES, change_by_redirect, &subject, mr_map_address(subject.map), plain / 4, dice);
	require(ours <= plain / 4, "a redirect lets a client wait for %" PRIu64 " us, a plain mmap for %" PRIu64 " us",
		ours / 1000, plain / 1000);
	free_subject(&subject);
	return (double)plain / (double)ours;
}

int main(void)
{
	static const uint64_t lengths[] = { 2 * MIB, 64 * MIB, 256 * MIB };
	struct dice dice = stress_begin("cost");
	double ratio;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	if (stress_free_memory() < 8 * LARGE)
		return stress_skip("2 GiB of free memory");
	do
		for (size_t i = 0; i < COUNT(lengths); i++) {
			count_faults_shared(lengths[i]);
			count_faults_private(lengths[i]);
		}
	while (stress_goes_on());
	if (SANITIZED)
		return stress_end("few faults; times are not compared under a sanitizer");
	ratio = compare_stalls(&dice);
	return stress_end("few faults; the shortest stall is %.0f times shorter than that of mmap(MAP_FIXED)", ratio);
}
