/* SPDX-License-Identifier: MIT */
/* Tasks: another process is opened, asked what it has mapped, and read and written, and never notices. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "suite.h"
#include "wait.h"

#define PAGES 16

/* What the other process has, at addresses that both know. */
struct layout {
	char *private; /* PAGES pages, the first half of them written to */
	char *shared;  /* of a file in memory */
	char *closed;  /* nothing may access it */
	uint64_t length;
	bool (*check)(const struct layout *layout); /* before it ends, if wanted */
	uint32_t go;				    /* in its own copy of this: set by the test, in the other process */
};

static struct layout layout;

static int be_other(struct child *self, void *argument)
{
	(void)argument;
	pattern_fill(layout.private, 0, layout.length / 2, 1);
	pattern_fill(layout.shared, 0, layout.length, 2);
	child_tell(self);
	while (!__atomic_load_n(&layout.go, __ATOMIC_ACQUIRE))
		usleep(1000);
	return layout.check && !layout.check(&layout);
}

static char *map(int protection, int flags)
{
	char *place = mmap(NULL, layout.length, protection, flags | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(place, MAP_FAILED);
	return place;
}

static struct mr_task *start(struct child *child, bool (*check)(const struct layout *layout))
{
	struct mr_task *task;

	layout = (struct layout){ .length = PAGES * page_size(), .check = check };
	layout.private = map(PROT_READ | PROT_WRITE, MAP_PRIVATE);
	layout.shared = map(PROT_READ | PROT_WRITE, MAP_SHARED);
	layout.closed = map(PROT_NONE, MAP_PRIVATE);
	assert_true(child_start(child, be_other, NULL));
	assert_true(child_await(child));
	assert_ok(mr_task_open(child->pid, &task));
	return task;
}

static struct mr_memory *ranges(struct mr_task *task, const void *address, uint64_t length, uint32_t options)
{
	struct mr_range range = { (uintptr_t)address, length };
	struct mr_memory *memory;

	assert_ok(mr_memory_new_ranges(task, &range, 1, options, &memory));
	return memory;
}

static void end(struct child *child, struct mr_task *task)
{
	struct mr_memory *go = ranges(task, &layout.go, sizeof(layout.go), 0);
	uint32_t one = 1;
	int status;

	assert_ok(mr_memory_write(go, 0, &one, sizeof(one)));
	mr_memory_unref(go);
	assert_true(child_wait(child, &status));
	assert_int_equal(status, 0);
	mr_task_unref(task);
	munmap(layout.private, layout.length);
	munmap(layout.shared, layout.length);
	munmap(layout.closed, layout.length);
}

/* -- opening -- */

static void a_task_is_the_process_of_any_of_its_threads(void **state)
{
	struct child child;
	struct mr_task *task = start(&child, NULL), *same;

	(void)state;
	assert_int_equal(mr_task_pid(task), child.pid);
	assert_ptr_equal(mr_task_ref(task), task);
	assert_null(mr_task_unref(task));
	assert_int_equal(mr_task_pid(NULL), getpid());
	assert_ok(mr_task_open((pid_t)syscall(SYS_gettid), &same));
	assert_int_equal(mr_task_pid(same), getpid());
	assert_null(mr_task_unref(same));
	assert_null(mr_task_unref(NULL));
	assert_null(mr_task_ref(NULL));
	end(&child, task);
}

static void the_task_of_the_calling_process_is_as_good_as_none(void **state)
{
	struct mr_memory *buffer, *memory;
	struct mr_task *task;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_task_open(getpid(), &task));
	assert_ok(mr_memory_new_buffer(page_size(), 0, &buffer));
	assert_ok(mr_map_new(buffer, task, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	strcpy(mr_map_address(map), "here");
	memory = ranges(task, mr_map_address(map), page_size(), 0);
	assert_ok(mr_map_redirect(map, NULL, 0, 0));
	assert_ok(mr_map_redirect(map, memory, 0, 0));
	assert_string_equal(mr_map_address(map), "here");
	mr_map_unref(map);
	mr_memory_unref(memory);
	mr_memory_unref(buffer);
	mr_task_unref(task);
}

/* -- regions -- */

struct search {
	uint64_t start;
	struct mr_region found;
	char name[64];
	unsigned count;
	uint64_t last;
	bool in_order;
};

static int look(void *argument, const struct mr_region *region)
{
	struct search *search = argument;

	search->in_order &= region->start >= search->last && region->length > 0;
	search->last = region->start + region->length;
	search->count++;
	if (search->start >= region->start && search->start < search->last) {
		search->found = *region;
		strncpy(search->name, region->name, sizeof(search->name) - 1);
	}
	return 0;
}

static struct search find(struct mr_task *task, const void *address)
{
	struct search search = { .start = (uintptr_t)address, .in_order = true };

	assert_ok(mr_task_regions(task, look, &search));
	assert_true(search.in_order);
	assert_true(search.found.length > 0);
	assert_int_equal(search.found.size, sizeof(struct mr_region));
	assert_int_equal(search.found.redirectable, search.found.reason == NULL);
	return search;
}

static void regions_tell_what_is_mapped(void **state)
{
	struct child child;
	struct mr_task *task = start(&child, NULL);
	struct search search = find(task, layout.private);
	int here;

	(void)state;
	assert_int_equal(search.found.protection, PROT_READ | PROT_WRITE);
	assert_false(search.found.shared);
	assert_true(search.found.redirectable);
	assert_true(search.found.resident >= layout.length / 2);
	assert_true(search.count > 5);

	search = find(task, layout.shared);
	assert_true(search.found.shared);
	assert_int_equal(search.found.start, (uintptr_t)layout.shared);
	assert_int_equal(search.found.length, layout.length);
	assert_int_equal(search.found.resident, layout.length);
	assert_int_equal(search.found.offset, 0);
	assert_string_equal(search.name, "/dev/zero (deleted)");
	assert_false(search.found.redirectable);

	search = find(task, layout.closed);
	assert_int_equal(search.found.protection, 0);
	assert_int_equal(search.found.resident, 0);
	assert_false(search.found.redirectable);

	assert_string_equal(find(task, &here).name, "[stack]");
	assert_false(find(task, (const void *)regions_tell_what_is_mapped).found.redirectable);
	end(&child, task);
}

/* Private ones are where a move to huge pages has put memory, and can be moved again. Others may map shared ones. */
static void huge_pages_are_redirectable_if_they_are_private(void **state)
{
	int flags = MAP_ANONYMOUS | MAP_HUGETLB, access = PROT_READ | PROT_WRITE;
	struct mr_task *task;
	struct child child;
	char *shared, *own;

	(void)state;
	if (kind_missing(kind_find("buffer-huge"))) {
		print_message("skipped: %s\n", kind_missing(kind_find("buffer-huge")));
		skip();
	}
	shared = mmap(NULL, HUGE_PAGE, access, flags | MAP_SHARED, -1, 0);
	own = mmap(NULL, HUGE_PAGE, access, flags | MAP_PRIVATE, -1, 0);
	assert_true(shared != MAP_FAILED && own != MAP_FAILED);
	shared[0] = own[0] = 'x';
	task = start(&child, NULL);
	assert_false(find(task, shared).found.redirectable);
	assert_true(find(task, own).found.redirectable);
	end(&child, task);
	munmap(shared, HUGE_PAGE);
	munmap(own, HUGE_PAGE);
}

static void regions_of_the_calling_process(void **state)
{
	char *place = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(find(NULL, place).found.redirectable);
	munmap(place, page_size());
}

static int stop_at_third(void *argument, const struct mr_region *region)
{
	(void)region;
	return ++*(int *)argument == 3 ? 33 : 0;
}

static void regions_stop_when_they_are_told_to(void **state)
{
	int count = 0;

	(void)state;
	assert_int_equal(mr_task_regions(NULL, stop_at_third, &count), 33);
	assert_int_equal(count, 3);
}

/* -- bytes -- */

static bool is_written(const struct layout *there)
{
	return pattern_mismatch(there->private, 0, there->length, 3) == there->length &&
	       pattern_mismatch(there->shared, 0, there->length, 4) == there->length;
}

static void memory_of_a_task_is_read_and_written(void **state)
{
	struct child child;
	struct mr_task *task = start(&child, is_written);
	struct mr_range both[] = { { (uintptr_t)layout.shared + 8, layout.length - 8 },
				   { (uintptr_t)layout.private, layout.length / 2 } };
	struct mr_memory *private, *shared, *gathered;
	char bytes[PAGES * 4096];

	(void)state;
	private = ranges(task, layout.private, layout.length, 0);
	shared = ranges(task, layout.shared, layout.length, 0);
	assert_ok(mr_memory_new_ranges(task, both, 2, MR_MEMORY_READ_ONLY, &gathered));
	assert_int_equal(mr_memory_length(gathered), layout.length * 3 / 2 - 8);
	assert_ok(mr_memory_read(gathered, layout.length - 8, bytes, layout.length / 2));
	assert_pattern(bytes, 0, layout.length / 2, 1);
	assert_ok(mr_memory_read(gathered, 0, bytes, layout.length - 8));
	assert_pattern(bytes, 8, layout.length - 8, 2);

	pattern_fill(bytes, 0, layout.length, 3);
	assert_ok(mr_memory_write(private, 0, bytes, layout.length));
	assert_memory_pattern(private, 3);
	pattern_fill(bytes, 0, layout.length, 4);
	assert_ok(mr_memory_write(shared, 0, bytes, layout.length));
	assert_memory_pattern(shared, 4);
	assert_int_equal(*layout.private, 0); /* that of this process */
	end(&child, task);
	mr_memory_unref(private);
	mr_memory_unref(shared);
	mr_memory_unref(gathered);
}

static void private_memory_ends_with_its_task(void **state)
{
	struct child child;
	struct mr_task *task = start(&child, NULL);
	struct mr_memory *memory = ranges(task, layout.private, layout.length, 0);
	char byte;

	(void)state;
	mr_task_ref(task);
	end(&child, task);
	assert_error(mr_memory_read(memory, 0, &byte, 1), ESRCH);
	mr_memory_unref(memory);
	mr_task_unref(task);
}

/* Which takes the file behind it, that only the privileged may open. Without that it is like private memory. */
static void a_copy_on_write_map_of_another_tasks_memory_is_a_copy(void **state)
{
	struct child child;
	struct mr_task *task = start(&child, NULL);
	struct mr_memory *memory = ranges(task, layout.shared, layout.length, 0);
	struct mr_map *map;

	(void)state;
	if (geteuid()) {
		assert_error(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_COPY_ON_WRITE, 0, 0, &map), EOPNOTSUPP);
	} else {
		assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_COPY_ON_WRITE, 0, 0, &map));
		assert_pattern(mr_map_address(map), 0, layout.length, 2);
		mr_map_unref(map);
	}
	mr_memory_unref(memory);
	end(&child, task);
}

static const struct CMUnitTest tests[] = {
	TEST(a_task_is_the_process_of_any_of_its_threads),
	TEST(the_task_of_the_calling_process_is_as_good_as_none),
	TEST(regions_tell_what_is_mapped),
	TEST(huge_pages_are_redirectable_if_they_are_private),
	TEST(regions_of_the_calling_process),
	TEST(regions_stop_when_they_are_told_to),
	TEST(memory_of_a_task_is_read_and_written),
	TEST(private_memory_ends_with_its_task),
	TEST(a_copy_on_write_map_of_another_tasks_memory_is_a_copy),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "tasks", tests, COUNT(tests));
}
