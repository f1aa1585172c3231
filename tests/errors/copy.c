/* SPDX-License-Identifier: MIT */
/* Every error of mr_map_snapshot and mr_map_move; and that each leaves all as it was. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "refused.h"

#define LENGTH UINT64_C(65536)

struct stage {
	struct backing backing;
	struct mr_memory *other;
	struct mr_map *map;
};

static void stage_make(struct stage *stage)
{
	backing_make(&stage->backing, kind_find("buffer"), LENGTH, 1);
	assert_ok(mr_memory_new_buffer(LENGTH, 0, &stage->other));
	assert_ok(mr_map_new(stage->backing.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &stage->map));
	/* From the first copy on the map has what guarding needs. */
	assert_ok(mr_map_move(stage->map, stage->other, 0, 0, NULL, NULL));
	assert_ok(mr_map_move(stage->map, stage->backing.memory, 0, 0, NULL, NULL));
}

static void stage_free(struct stage *stage)
{
	assert_false(mr_map_is_blocked(stage->map));
	if (mr_map_address(stage->map)) {
		assert_ptr_equal(mr_map_memory(stage->map), stage->backing.memory);
		assert_pattern(mr_map_address(stage->map), 0, LENGTH, 1);
	}
	assert_memory_pattern(stage->backing.memory, 1);
	mr_map_unref(stage->map);
	mr_memory_unref(stage->other);
	backing_free(&stage->backing);
}

/* Both calls, which must be refused in the same way. */
static void refuse_both(struct stage *stage, struct mr_memory *into, struct mr_copy_opts *opts, struct mr_report *report,
			int number)
{
	struct mr_memory *copy = UNTOUCHED, *to = into ? into : stage->other;

	opts->into = into;
	assert_refused(mr_map_snapshot(stage->map, opts, &copy, report), number);
	assert_ptr_equal(copy, UNTOUCHED);
	opts->into = NULL;
	assert_refused(mr_map_move(stage->map, to, 0, 0, opts, report), number);
}

static void copy_with_null(void **state)
{
	struct mr_memory *copy = UNTOUCHED;
	struct stage stage;

	(void)state;
	stage_make(&stage);
	assert_refused(mr_map_snapshot(NULL, NULL, &copy, NULL), EINVAL);
	assert_refused(mr_map_snapshot(stage.map, NULL, NULL, NULL), EINVAL);
	assert_refused(mr_map_move(NULL, stage.other, 0, 0, NULL, NULL), EINVAL);
	assert_refused(mr_map_move(stage.map, NULL, 0, 0, NULL, NULL), EINVAL);
	assert_ptr_equal(copy, UNTOUCHED);
	stage_free(&stage);
}

static void copy_with_wrong_options(void **state)
{
	struct {
		struct mr_copy_opts opts;
		uint64_t tail;
	} longer = { .opts = { .size = sizeof(longer) }, .tail = 1 };
	struct mr_copy_opts opts = { .size = sizeof(opts) - 1 };
	struct mr_report report = { .size = 8 };
	struct stage stage;

	(void)state;
	stage_make(&stage);
	refuse_both(&stage, NULL, &opts, NULL, EINVAL);
	opts.size = 0;
	refuse_both(&stage, NULL, &opts, NULL, EINVAL);
	opts = (struct mr_copy_opts){ .size = sizeof(opts), .flags = 0x80000000 };
	refuse_both(&stage, NULL, &opts, NULL, EINVAL);
	refuse_both(&stage, NULL, &longer.opts, NULL, EINVAL);
	opts.flags = 0;
	refuse_both(&stage, NULL, &opts, &report, EINVAL);
	opts.into = stage.other;
	assert_refused(mr_map_move(stage.map, stage.other, 0, 0, &opts, NULL), EINVAL);
	longer.tail = 0;
	assert_ok(mr_map_move(stage.map, stage.other, 0, 0, &longer.opts, NULL));
	assert_ok(mr_map_move(stage.map, stage.backing.memory, 0, 0, NULL, NULL));
	stage_free(&stage);
}

static void copy_to_a_wrong_memory(void **state)
{
	struct mr_copy_opts opts = { .size = sizeof(opts) };
	struct mr_memory *shorter, *fixed, *part;
	struct stage stage;

	(void)state;
	stage_make(&stage);
	assert_ok(mr_memory_new_buffer(LENGTH - 1, 0, &shorter));
	assert_ok(mr_memory_new_buffer(LENGTH, MR_MEMORY_READ_ONLY, &fixed));
	refuse_both(&stage, shorter, &opts, NULL, ERANGE);
	refuse_both(&stage, fixed, &opts, NULL, EACCES);
	refuse_both(&stage, stage.backing.memory, &opts, NULL, EINVAL);
	assert_ok(mr_memory_new_sub(stage.backing.memory, 0, LENGTH, 0, &part));
	refuse_both(&stage, part, &opts, NULL, EINVAL);
	mr_memory_unref(part);
	mr_memory_unref(shorter);
	mr_memory_unref(fixed);
	stage_free(&stage);
}

/* A part of what is shown, by way of another descriptor of the same file. */
static void copy_onto_itself(void **state)
{
	int fd = memfd_with_pattern(2 * LENGTH, 1);
	struct mr_copy_opts opts = { .size = sizeof(opts) };
	struct mr_memory *shown, *over, *beside, *copy = UNTOUCHED;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_memory_new_fd(fd, 0, LENGTH, 0, &shown));
	assert_ok(mr_memory_new_fd(fd, LENGTH - page_size(), LENGTH, 0, &over));
	assert_ok(mr_memory_new_fd(fd, LENGTH, LENGTH, 0, &beside));
	assert_ok(mr_map_new(shown, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	opts.into = over;
	assert_error(mr_map_snapshot(map, &opts, &copy, NULL), EINVAL);
	assert_error(mr_map_move(map, over, 0, 0, NULL, NULL), EINVAL);
	opts.into = beside;
	assert_ok(mr_map_snapshot(map, &opts, &copy, NULL));
	assert_memory_pattern(copy, 1);
	mr_memory_unref(copy);
	mr_map_unref(map);
	mr_memory_unref(shown);
	mr_memory_unref(over);
	mr_memory_unref(beside);
	close(fd);
}

static void copy_of_an_unmapped_map(void **state)
{
	struct mr_memory *copy = UNTOUCHED;
	struct stage stage;

	(void)state;
	stage_make(&stage);
	assert_ok(mr_map_unmap(stage.map));
	assert_refused(mr_map_snapshot(stage.map, NULL, &copy, NULL), ENXIO);
	assert_refused(mr_map_move(stage.map, stage.other, 0, 0, NULL, NULL), ENXIO);
	stage_free(&stage);
}

static void move_as_no_redirect_goes(void **state)
{
	struct mr_map *shared;
	struct stage stage;

	(void)state;
	stage_make(&stage);
	assert_ok(mr_map_new(stage.backing.memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &shared));
	assert_refused(mr_map_move(shared, stage.other, 0, 0, NULL, NULL), EPERM);
	mr_map_unref(shared);
	assert_refused(mr_map_move(stage.map, stage.other, 0, MR_MAP_UNIQUE, NULL, NULL), EINVAL);
	assert_refused(mr_map_move(stage.map, stage.other, 0, MR_MAP_CACHE_INHIBIT, NULL, NULL), EOPNOTSUPP);
	assert_refused(mr_map_move(stage.map, stage.other, 1, 0, NULL, NULL), ERANGE);
	assert_refused(mr_map_move(stage.map, stage.other, UINT64_MAX, 0, NULL, NULL), ERANGE);
	stage_free(&stage);
}

/* Bytes that are not there: a file that was cut. Whether clients are stopped for it or not. */
static void copy_of_a_truncated_file(void **state)
{
	int fd = memfd_with_pattern(LENGTH, 1);
	struct mr_memory *memory, *other, *copy = UNTOUCHED;
	struct mr_map *map;

	(void)state;
	assert_ok(mr_memory_new_fd(fd, 0, LENGTH, 0, &memory));
	assert_ok(mr_memory_new_buffer(LENGTH, 0, &other));
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	assert_int_equal(ftruncate(fd, (off_t)LENGTH / 2), 0);
	for (uint32_t flags = 0; flags <= MR_COPY_STOP; flags++) {
		struct mr_copy_opts opts = { .size = sizeof(opts), .flags = flags };

		assert_error(mr_map_snapshot(map, &opts, &copy, NULL), EFAULT);
		assert_error(mr_map_move(map, other, 0, 0, &opts, NULL), EFAULT);
		assert_ptr_equal(copy, UNTOUCHED);
		assert_ptr_equal(mr_map_memory(map), memory);
		assert_false(mr_map_is_blocked(map));
		assert_pattern(mr_map_address(map), 0, LENGTH / 2, 1);
	}
	mr_map_unref(map);
	mr_memory_unref(memory);
	mr_memory_unref(other);
	close(fd);
}

static int copy_in_the_child(struct child *self, void *argument)
{
	struct stage *stage = argument;
	struct mr_memory *copy = UNTOUCHED;

	(void)self;
	return mr_map_snapshot(stage->map, NULL, &copy, NULL) == -ECHILD &&
			       mr_map_move(stage->map, stage->other, 0, 0, NULL, NULL) == -ECHILD
		       ? 0
		       : 1;
}

static void copy_of_a_map_that_was_inherited(void **state)
{
	struct stage stage;

	(void)state;
	stage_make(&stage);
	assert_int_equal(child_run(copy_in_the_child, &stage), 0);
	stage_free(&stage);
}

static const struct CMUnitTest tests[] = {
	TEST(copy_with_null),		TEST(copy_with_wrong_options),		TEST(copy_to_a_wrong_memory),
	TEST(copy_onto_itself),		TEST(copy_of_an_unmapped_map),		TEST(move_as_no_redirect_goes),
	TEST(copy_of_a_truncated_file), TEST(copy_of_a_map_that_was_inherited),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "errors of copies and moves", tests, COUNT(tests));
}
