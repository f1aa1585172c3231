/* SPDX-License-Identifier: MIT */
/* Maps in other processes: made, adopted, blocked, redirected, and unmapped, while the process looks. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "suite.h"
#include "wait.h"

#define PAGES 64

/* What both processes have: the other one does what it is told, and tells what came of it. */
struct wire {
	uint32_t order;	 /* how often something has been asked for */
	uint32_t answer; /* how often it has been done */
	uint32_t what;
	uint64_t address;
	uint64_t value;
	uint32_t failed;
};

enum { LOAD, STORE, CHECK, FORK_AND_LOAD, DROP, UNMAP, END };

struct other {
	struct child child;
	struct wire *wire;
	struct mr_task *task;
	char *private; /* PAGES pages, which hold the pattern 1 */
	char *shared;  /* the same, pattern 2 */
	uint64_t length;
};

static struct other other;

static bool load_in_child(uint64_t address, uint64_t *ret_signal)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		_exit(*(volatile char *)address & 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	*ret_signal = WIFSIGNALED(status) ? (uint64_t)WTERMSIG(status) : 0;
	return true;
}

static void obey(struct wire *wire)
{
	volatile uint64_t *word = (volatile uint64_t *)wire->address;

	switch (wire->what) {
	case LOAD:
		wire->value = *word;
		break;
	case STORE:
		*word = wire->value;
		break;
	case CHECK:
		wire->value = pattern_mismatch((const void *)wire->address, 0, other.length, wire->value);
		break;
	case FORK_AND_LOAD:
		wire->failed = !load_in_child(wire->address, &wire->value);
		break;
	case DROP:
		wire->failed = madvise((void *)wire->address, wire->value, MADV_DONTNEED) != 0;
		break;
	case UNMAP:
		wire->failed = munmap((void *)wire->address, wire->value) != 0;
		break;
	}
}

static int be_other(struct child *self, void *argument)
{
	struct wire *wire = other.wire;

	(void)argument;
	pattern_fill(other.private, 0, other.length, 1);
	pattern_fill(other.shared, 0, other.length, 2);
	child_tell(self);
	for (uint32_t done = 0;; done++) {
		if (!wait_word(&wire->order, done) || wire->what == END)
			return wire->what != END;
		obey(wire);
		__atomic_store_n(&wire->answer, done + 1, __ATOMIC_SEQ_CST);
		wait_wake(&wire->answer);
	}
}

/* A mapping that touches no other. */
static char *map(int flags)
{
	uint64_t page = page_size();
	char *room = mmap(NULL, other.length + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *place;

	assert_ptr_not_equal(room, MAP_FAILED);
	place = mmap(room + page, other.length, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	assert_ptr_equal(place, room + page);
	return place;
}

static void unmap(char *place)
{
	munmap(place - page_size(), other.length + 2 * page_size());
}

static void start(void)
{
	other.length = PAGES * page_size();
	other.wire = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(other.wire, MAP_FAILED);
	other.private = map(MAP_PRIVATE);
	other.shared = map(MAP_SHARED);
	assert_true(child_start(&other.child, be_other, NULL));
	assert_true(child_await(&other.child));
	assert_ok(mr_task_open(other.child.pid, &other.task));
}

/* Ask for something, without waiting for it. */
static void ask(uint32_t what, const void *address, uint64_t value)
{
	other.wire->what = what;
	other.wire->address = (uintptr_t)address;
	other.wire->value = value;
	__atomic_fetch_add(&other.wire->order, 1, __ATOMIC_SEQ_CST);
	wait_wake(&other.wire->order);
}

static bool is_answered(void)
{
	return __atomic_load_n(&other.wire->answer, __ATOMIC_SEQ_CST) == other.wire->order;
}

static uint64_t await(void)
{
	assert_true(is_answered() || wait_word(&other.wire->answer, other.wire->order - 1));
	assert_true(is_answered());
	assert_int_equal(other.wire->failed, 0);
	return other.wire->value;
}

static uint64_t order(uint32_t what, const void *address, uint64_t value)
{
	ask(what, address, value);
	return await();
}

static void finish(void)
{
	int status;

	mr_task_unref(other.task);
	ask(END, NULL, 0);
	assert_true(child_wait(&other.child, &status));
	assert_int_equal(status, 0);
	unmap(other.private);
	unmap(other.shared);
	munmap(other.wire, page_size());
}

static void expect_pattern(const void *address, uint64_t seed)
{
	assert_int_equal(order(CHECK, address, seed), other.length);
}

/* Whether some mapping or thread of the library's is in the other process. */
static int is_ours(void *argument, const struct mr_region *region)
{
	(void)argument;
	return region->start >= UINT64_C(1) << 44 && region->start < UINT64_C(1) << 45;
}

static void expect_clean(void)
{
	assert_int_equal(mr_task_regions(other.task, is_ours, NULL), 0);
}

static struct mr_memory *buffer(uint64_t seed)
{
	struct mr_memory *memory;
	char *bytes = malloc(other.length);

	assert_ok(mr_memory_new_buffer(other.length, 0, &memory));
	pattern_fill(bytes, 0, other.length, seed);
	assert_ok(mr_memory_write(memory, 0, bytes, other.length));
	free(bytes);
	return memory;
}

/* -- adopted -- */

static void block_and_let_go(char *place, uint64_t seed)
{
	struct mr_memory *memory;
	struct mr_map *adopted;
	uint64_t word, first;

	assert_ok(mr_map_adopt(other.task, place, other.length, 0, &adopted));
	assert_ptr_equal(mr_map_task(adopted), other.task);
	assert_ptr_equal(mr_map_address(adopted), place);
	assert_int_equal(mr_map_length(adopted), other.length);
	assert_int_equal(mr_map_options(adopted), MR_MAP_UNIQUE | MR_MAP_STATIC);
	memory = mr_map_memory(adopted);
	first = order(LOAD, place, 0);

	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	assert_true(mr_map_is_blocked(adopted));
	assert_int_equal(mr_map_waiters(adopted), 0);
	ask(LOAD, place, 0);
	assert_true(wait_waiters(adopted, 1));
	assert_false(is_answered());
	assert_ptr_equal(mr_map_memory(adopted), memory);
	assert_ok(mr_memory_read(memory, 0, &word, sizeof(word)));
	assert_int_equal(word, first);
	assert_memory_pattern(memory, seed);
	assert_false(is_answered());
	assert_ok(mr_map_redirect(adopted, memory, 0, 0));
	assert_int_equal(await(), first);
	assert_false(mr_map_is_blocked(adopted));
	expect_pattern(place, seed);
	mr_map_unref(adopted);
	expect_pattern(place, seed);
	expect_clean();
}

static void private_memory_is_blocked_and_let_go(void **state)
{
	(void)state;
	start();
	block_and_let_go(other.private, 1);
	finish();
}

static void shared_memory_is_blocked_and_let_go(void **state)
{
	(void)state;
	start();
	block_and_let_go(other.shared, 2);
	finish();
}

static __attribute__((noreturn)) int hold_and_wait(struct child *self, void *argument)
{
	struct mr_map *adopted;

	assert_ok(mr_task_open(other.child.pid, &other.task));
	assert_ok(mr_map_adopt(other.task, argument, other.length, 0, &adopted));
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	child_tell(self);
	for (;;)
		pause();
}

static bool answered(void *argument)
{
	(void)argument;
	return is_answered();
}

static bool clean(void *argument)
{
	(void)argument;
	return mr_task_regions(other.task, is_ours, NULL) == 0;
}

/* Whether the other process sleeps in this system call; -1: in a page fault. */
static bool sleeps_in(void *call)
{
	char path[64];
	long number;
	FILE *file;
	bool does;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)other.child.pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	does = fscanf(file, "%ld", &number) == 1 && number == *(const long *)call;
	fclose(file);
	return does;
}

/* SIGKILL of whoever blocks: the agent puts the bytes back, and nobody waits any more. */
static void kill_the_caller(char *place, uint64_t seed)
{
	long in_a_fault = -1;
	struct child caller;
	int status;

	assert_true(child_start(&caller, hold_and_wait, place));
	assert_true(child_await(&caller));
	ask(CHECK, place, seed);
	assert_true(wait_until(sleeps_in, &in_a_fault));
	assert_false(is_answered());
	kill(caller.pid, SIGKILL);
	assert_true(child_wait(&caller, &status));
	assert_true(wait_until(answered, NULL));
	assert_int_equal(await(), other.length);
	expect_pattern(place, seed);
	assert_true(wait_until(clean, NULL));
}

static void a_killed_caller_lets_go(void **state)
{
	(void)state;
	start();
	kill_the_caller(other.private, 1);
	kill_the_caller(other.shared, 2);
	block_and_let_go(other.private, 1);
	finish();
}

static void adopted_memory_is_redirected_and_comes_back(void **state)
{
	struct mr_memory *mine, *memory;
	struct mr_map *adopted;

	(void)state;
	start();
	memory = buffer(7);
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &adopted));
	mine = mr_memory_ref(mr_map_memory(adopted));
	assert_ok(mr_map_redirect(adopted, memory, 0, 0));
	assert_ptr_equal(mr_map_memory(adopted), memory);
	expect_pattern(other.private, 7);
	assert_memory_pattern(mine, 1);
	order(STORE, other.private, 42);
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	ask(LOAD, other.private, 0);
	assert_true(wait_waiters(adopted, 1));
	assert_ok(mr_map_redirect(adopted, mine, 0, 0));
	await();
	expect_pattern(other.private, 1);
	mr_map_unref(adopted);
	mr_memory_unref(mine);
	expect_pattern(other.private, 1);
	mr_memory_unref(memory);
	expect_clean();
	finish();
}

/* -- made -- */

static void a_map_is_made_redirected_and_unmapped(void **state)
{
	struct mr_memory *first, *second;
	struct mr_map *made;
	void *place;

	(void)state;
	start();
	first = buffer(3);
	second = buffer(4);
	assert_ok(mr_map_new(first, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &made));
	place = mr_map_address(made);
	expect_pattern(place, 3);
	assert_ok(mr_map_redirect(made, second, 0, 0));
	expect_pattern(place, 4);
	assert_ok(mr_map_redirect(made, NULL, 0, 0));
	ask(LOAD, place, 0);
	assert_true(wait_waiters(made, 1));
	assert_ok(mr_map_redirect(made, first, MR_MAP_PREFAULT, 0));
	await();
	expect_pattern(place, 3);
	order(STORE, place, 99);
	assert_ok(mr_map_unmap(made));
	assert_null(mr_map_address(made));
	mr_map_unref(made);
	expect_clean();
	mr_memory_unref(first);
	mr_memory_unref(second);
	finish();
}

/* -- what the process does meanwhile -- */

/* A child that is forked while the map is blocked has nothing there, rather than zeroes; one that is forked afterwards has it. */
static void a_child_of_the_process_has_no_blocked_memory(void **state)
{
	struct mr_map *adopted;

	(void)state;
	start();
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &adopted));
	assert_int_equal(order(FORK_AND_LOAD, other.private, 0), 0);
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	assert_int_equal(order(FORK_AND_LOAD, other.private, 0), SIGSEGV);
	assert_ok(mr_map_redirect(adopted, mr_map_memory(adopted), 0, 0));
	assert_int_equal(order(FORK_AND_LOAD, other.private, 0), 0);
	mr_map_unref(adopted);
	finish();
}

/* Who gives back pages that are blocked waits as well, and then they are zero, as ever. */
static void pages_that_are_given_back_meanwhile_are_zero(void **state)
{
	uint64_t page = page_size();
	long call = SYS_madvise;
	struct mr_map *adopted;

	(void)state;
	start();
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &adopted));
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	ask(DROP, other.private + page, page);
	assert_true(wait_until(sleeps_in, &call));
	assert_false(is_answered());
	assert_ok(mr_map_redirect(adopted, mr_map_memory(adopted), 0, 0));
	await();
	assert_int_equal(order(LOAD, other.private + page, 0), 0);
	assert_int_equal(order(CHECK, other.private, 1), page);
	mr_map_unref(adopted);
	finish();
}

/* What the process unmaps meanwhile stays unmapped, and the rest comes back. */
static void pages_that_are_unmapped_meanwhile_stay_so(void **state)
{
	uint64_t page = page_size();
	struct mr_map *adopted;

	(void)state;
	start();
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &adopted));
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	order(UNMAP, other.private + 2 * page, page);
	assert_ok(mr_map_redirect(adopted, mr_map_memory(adopted), 0, 0));
	assert_int_equal(order(FORK_AND_LOAD, other.private + 2 * page, 0), SIGSEGV);
	assert_int_equal(order(FORK_AND_LOAD, other.private + page, 0), 0);
	assert_int_equal(order(FORK_AND_LOAD, other.private + 3 * page, 0), 0);
	mr_map_unref(adopted);
	expect_clean();
	finish();
}

static void a_part_of_a_mapping_is_blocked_alone(void **state)
{
	uint64_t page = page_size(), first;
	struct mr_map *adopted;

	(void)state;
	start();
	first = order(LOAD, other.private + 3 * page, 0);
	assert_ok(mr_map_adopt(other.task, other.private + 3 * page, 2 * page, 0, &adopted));
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	order(STORE, other.private + 2 * page, order(LOAD, other.private + 2 * page, 0));
	order(STORE, other.private + 5 * page, order(LOAD, other.private + 5 * page, 0));
	ask(LOAD, other.private + 3 * page, 0);
	assert_true(wait_waiters(adopted, 1));
	assert_ok(mr_map_unmap(adopted));
	assert_int_equal(await(), first);
	mr_map_unref(adopted);
	expect_pattern(other.private, 1);
	finish();
}

/* -- kinds of memory, and ways to map it -- */

static void expect_all_redirects(struct mr_memory *first, struct mr_memory *second, uint32_t options)
{
	struct mr_map *made;
	void *place;

	assert_ok(mr_map_new(first, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | options, 0, 0, &made));
	place = mr_map_address(made);
	expect_pattern(place, 3);
	assert_ok(mr_map_redirect(made, NULL, 0, 0));
	ask(LOAD, place, 0);
	assert_true(wait_waiters(made, 1));
	assert_ok(mr_map_redirect(made, first, options, 0));
	await();
	expect_pattern(place, 3);
	assert_ok(mr_map_redirect(made, second, options, 0));
	expect_pattern(place, 4);
	mr_map_unref(made);
	expect_clean();
	mr_memory_unref(first);
	mr_memory_unref(second);
}

static void read_only_and_copied_on_write(void **state)
{
	struct mr_memory *memory;

	(void)state;
	start();
	expect_all_redirects(buffer(3), buffer(4), MR_MAP_READ_ONLY);
	memory = mr_memory_ref(buffer(3));
	expect_all_redirects(memory, buffer(4), MR_MAP_COPY_ON_WRITE);
	assert_memory_pattern(memory, 3);
	mr_memory_unref(memory);
	finish();
}

/* Several pieces: nobody sees one of the old beside one of the new. */
static void pieces_in_a_row(void **state)
{
	struct mr_memory *whole[2], *parts[2][2], *multi[2];

	(void)state;
	start();
	for (unsigned i = 0; i < 2; i++) {
		whole[i] = buffer(3 + i);
		assert_ok(mr_memory_new_sub(whole[i], 0, page_size(), 0, &parts[i][0]));
		assert_ok(mr_memory_new_sub(whole[i], page_size(), other.length - page_size(), 0, &parts[i][1]));
		assert_ok(mr_memory_new_multi(parts[i], 2, 0, &multi[i]));
		mr_memory_unref(parts[i][0]);
		mr_memory_unref(parts[i][1]);
		mr_memory_unref(whole[i]);
	}
	expect_all_redirects(multi[0], multi[1], 0);
	finish();
}

static void huge_pages(void **state)
{
	uint64_t huge = UINT64_C(2) << 20;
	struct mr_memory *memory;
	struct mr_map *made;
	uint64_t word = 77;
	void *place;

	(void)state;
	if (!features()->huge_2m_free) {
		print_message("skipped: there are no free huge pages of 2 MiB\n");
		return;
	}
	start();
	assert_ok(mr_memory_new_buffer(huge, MR_MEMORY_HUGE_2M, &memory));
	assert_ok(mr_memory_write(memory, 0, &word, sizeof(word)));
	assert_ok(mr_map_new(memory, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &made));
	place = mr_map_address(made);
	assert_int_equal(order(LOAD, place, 0), 77);
	assert_ok(mr_map_redirect(made, NULL, 0, 0));
	ask(LOAD, place, 0);
	assert_true(wait_waiters(made, 1));
	assert_ok(mr_map_redirect(made, memory, 0, 0));
	assert_int_equal(await(), 77);
	mr_map_unref(made);
	mr_memory_unref(memory);
	expect_clean();
	finish();
}

static void maps_of_a_process_are_shared_there_alone(void **state)
{
	struct mr_memory *memory;
	struct mr_map *here, *there, *again;

	(void)state;
	start();
	memory = buffer(5);
	assert_error(mr_map_new(memory, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_REFERENCE, 0, 0, &there), ENOENT);
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &here));
	assert_error(mr_map_new(memory, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_REFERENCE, 0, 0, &there), ENOENT);
	assert_ok(mr_map_new(memory, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_PREFAULT, 0, 0, &there));
	assert_ok(mr_map_new(memory, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_REFERENCE, 0, 0, &again));
	assert_ptr_equal(there, again);
	assert_ptr_not_equal(there, here);
	assert_error(mr_map_redirect(there, NULL, 0, 0), EPERM);
	expect_pattern(mr_map_address(there), 5);
	mr_map_unref(again);
	mr_map_unref(there);
	mr_map_unref(here);
	mr_memory_unref(memory);
	expect_clean();
	finish();
}

static void over_what_is_there(void **state)
{
	struct mr_memory *memory;
	struct mr_map *made;

	(void)state;
	start();
	memory = buffer(6);
	assert_error(mr_map_new(memory, other.task, other.private, MR_MAP_UNIQUE, 0, 0, &made), EEXIST);
	expect_pattern(other.private, 1);
	assert_ok(mr_map_new(memory, other.task, other.private, MR_MAP_UNIQUE | MR_MAP_OVERWRITE, 0, 0, &made));
	assert_ptr_equal(mr_map_address(made), other.private);
	expect_pattern(other.private, 6);
	mr_map_unref(made);
	mr_memory_unref(memory);
	expect_clean();
	finish();
}

/* -- copies -- */

static void a_map_is_copied_and_moved(void **state)
{
	struct mr_report report = { .size = sizeof(report) };
	struct mr_memory *copy, *to;
	struct mr_map *adopted;

	(void)state;
	start();
	to = buffer(9);
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &adopted));
	assert_ok(mr_map_snapshot(adopted, NULL, &copy, &report));
	assert_int_equal(report.method, MR_COPIED_STOPPED);
	assert_memory_pattern(copy, 1);
	expect_pattern(other.private, 1);
	assert_ok(mr_map_move(adopted, to, 0, 0, NULL, &report));
	assert_int_equal(report.method, MR_COPIED_STOPPED);
	assert_ptr_equal(mr_map_memory(adopted), to);
	expect_pattern(other.private, 1);
	assert_memory_pattern(to, 1);
	mr_map_unref(adopted);
	expect_pattern(other.private, 1);
	mr_memory_unref(to);
	mr_memory_unref(copy);
	expect_clean();
	finish();
}

/* -- ends -- */

static void a_process_that_has_died(void **state)
{
	struct mr_memory *memory;
	struct mr_map *adopted, *made;
	int status;

	(void)state;
	start();
	memory = buffer(8);
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &adopted));
	assert_ok(mr_map_new(memory, other.task, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &made));
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	kill(other.child.pid, SIGKILL);
	assert_true(child_wait(&other.child, &status));
	assert_error(mr_map_redirect(adopted, mr_map_memory(adopted), 0, 0), ESRCH);
	assert_error(mr_map_redirect(made, NULL, 0, 0), ESRCH);
	assert_int_equal(mr_map_waiters(adopted), 0);
	assert_error(mr_map_new(memory, other.task, NULL, MR_MAP_ANYWHERE, 0, 0, &made), ESRCH);
	assert_ok(mr_map_unmap(made));
	mr_map_unref(made);
	mr_map_unref(adopted);
	mr_memory_unref(memory);
	mr_task_unref(other.task);
	unmap(other.private);
	unmap(other.shared);
	munmap(other.wire, page_size());
}

static int use_inherited(struct child *self, void *argument)
{
	struct mr_map *inherited = argument;

	(void)self;
	assert_error(mr_map_redirect(inherited, NULL, 0, 0), ECHILD);
	mr_map_unref(inherited);
	return 0;
}

static void a_child_of_the_caller_lets_it_be(void **state)
{
	struct mr_map *adopted;

	(void)state;
	start();
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &adopted));
	assert_ok(mr_map_redirect(adopted, NULL, 0, 0));
	ask(CHECK, other.private, 1);
	assert_true(wait_waiters(adopted, 1));
	assert_int_equal(child_run(use_inherited, adopted), 0);
	assert_int_equal(mr_map_waiters(adopted), 1);
	assert_ok(mr_map_redirect(adopted, mr_map_memory(adopted), 0, 0));
	assert_int_equal(await(), other.length);
	mr_map_unref(adopted);
	finish();
}

/* -- refused -- */

struct special {
	uint64_t stack, vdso, file;
};

static int note_special(void *argument, const struct mr_region *region)
{
	struct special *special = argument;

	if (strcmp(region->name, "[stack]") == 0)
		special->stack = region->start;
	if (strcmp(region->name, "[vdso]") == 0)
		special->vdso = region->start;
	if (*region->name == '/' && !region->shared)
		special->file = region->start;
	return 0;
}

static void what_cannot_be_adopted(void **state)
{
	struct special search = { 0 };
	struct mr_map *first, *none;

	(void)state;
	start();
	assert_int_equal(mr_task_regions(other.task, note_special, &search), 0);
	assert_true(search.stack && search.vdso && search.file);
	assert_error(mr_map_adopt(other.task, (void *)search.stack, page_size(), 0, &none), EOPNOTSUPP);
	assert_error(mr_map_adopt(other.task, (void *)search.vdso, page_size(), 0, &none), EOPNOTSUPP);
	assert_error(mr_map_adopt(other.task, (void *)search.file, page_size(), 0, &none), EOPNOTSUPP);
	assert_error(mr_map_adopt(other.task, (void *)page_size(), page_size(), 0, &none), EFAULT);
	assert_error(mr_map_adopt(other.task, other.private, 0, 0, &none), EINVAL);
	assert_ok(mr_map_adopt(other.task, other.private, other.length, 0, &first));
	assert_error(mr_map_adopt(other.task, other.private + page_size(), page_size(), 0, &none), EEXIST);
	mr_map_unref(first);
	finish();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(private_memory_is_blocked_and_let_go),
		TEST(shared_memory_is_blocked_and_let_go),
		TEST(a_killed_caller_lets_go),
		TEST(adopted_memory_is_redirected_and_comes_back),
		TEST(a_map_is_made_redirected_and_unmapped),
		TEST(a_child_of_the_process_has_no_blocked_memory),
		TEST(pages_that_are_given_back_meanwhile_are_zero),
		TEST(pages_that_are_unmapped_meanwhile_stay_so),
		TEST(a_part_of_a_mapping_is_blocked_alone),
		TEST(read_only_and_copied_on_write),
		TEST(pieces_in_a_row),
		TEST(huge_pages),
		TEST(maps_of_a_process_are_shared_there_alone),
		TEST(over_what_is_there),
		TEST(a_map_is_copied_and_moved),
		TEST(a_process_that_has_died),
		TEST(a_child_of_the_caller_lets_it_be),
		TEST(what_cannot_be_adopted),
	};

	return suite_run(argc, argv, "foreign", tests, COUNT(tests));
}
