/* SPDX-License-Identifier: MIT */
/* Plans of mappings: which pages of which pieces stand where, and whether they can. No memory is mapped here. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "kind.h"
#include "suite.h"
#include "view.h"

#define MOST_PIECES 4

/* A memory of pieces that nobody will map. */
struct plan {
	struct source sources[MOST_PIECES];
	struct piece pieces[MOST_PIECES];
	struct mr_memory memory;
};

static void add(struct plan *plan, enum file_kind kind, uint64_t source_offset, uint64_t length)
{
	size_t i = plan->memory.piece_count++;

	plan->sources[i] = (struct source){ .kind = SOURCE_FILE, .file_kind = kind, .fd = -1 };
	plan->sources[i].page_size = kind == FILE_HUGE ? HUGE_PAGE : page_size();
	plan->pieces[i] = (struct piece){ &plan->sources[i], source_offset, plan->memory.length, length };
	plan->memory.pieces = plan->pieces;
	plan->memory.length += length;
}

static int plan_all(struct plan *plan, struct view *view, uint32_t access, bool movable)
{
	return view_plan(view, NULL, &plan->memory, 0, plan->memory.length, access, movable);
}

static void assert_segment(const struct view *view, size_t number, uint64_t source_offset, uint64_t offset, uint64_t length)
{
	assert_true(number < view->count);
	assert_int_equal(view->segments[number].source_offset, source_offset);
	assert_int_equal(view->segments[number].offset, offset);
	assert_int_equal(view->segments[number].length, length);
}

static void whole_pages_stand_as_they_are(void **state)
{
	uint64_t page = page_size();
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, 3 * page, 4 * page);
	assert_int_equal(plan_all(&plan, &view, 0, true), 0);
	assert_int_equal(view.count, 1);
	assert_int_equal(view.span, 4 * page);
	assert_int_equal(view.lead, 0);
	assert_int_equal(view.align, page);
	assert_int_equal(view.phase, 0);
	assert_false(view.keeps);
	assert_segment(&view, 0, 3 * page, 0, 4 * page);
	assert_int_equal(view.segments->protection, PROT_READ | PROT_WRITE);
	view_forget(&view);
	assert_null(view.segments);
	assert_int_equal(view.count, 0);
}

/* From byte 100 of its second page to byte 200 of its fourth. */
static void pages_are_rounded_outwards(void **state)
{
	uint64_t page = page_size();
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, page + 100, 2 * page + 100);
	assert_int_equal(plan_all(&plan, &view, MR_MAP_READ_ONLY, true), 0);
	assert_int_equal(view.lead, 100);
	assert_int_equal(view.span, 3 * page);
	assert_segment(&view, 0, page, 0, 3 * page);
	assert_int_equal(view.segments->protection, PROT_READ);
	view_forget(&view);
}

/* Two pages of the middle: the end of the first piece and the beginning of the second. */
static void a_part_takes_parts_of_pieces(void **state)
{
	uint64_t page = page_size();
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, 0, 4 * page);
	add(&plan, FILE_REGULAR, 8 * page, 4 * page);
	add(&plan, FILE_SHMEM, 0, page);
	assert_int_equal(view_plan(&view, NULL, &plan.memory, 3 * page, 2 * page, 0, true), 0);
	assert_int_equal(view.count, 2);
	assert_segment(&view, 0, 3 * page, 0, page);
	assert_segment(&view, 1, 8 * page, page, page);
	assert_ptr_equal(view.segments[1].source, &plan.sources[1]);
	view_forget(&view);
}

static void ragged_pieces_are_refused(void **state)
{
	uint64_t page = page_size();
	struct plan front = { 0 }, behind = { 0 };
	struct view view;

	(void)state;
	add(&front, FILE_SHMEM, 0, page + 100);
	add(&front, FILE_SHMEM, 0, page);
	assert_int_equal(plan_all(&front, &view, 0, true), -EINVAL);
	assert_null(view.segments);
	add(&behind, FILE_SHMEM, 0, page);
	add(&behind, FILE_SHMEM, 100, page);
	assert_int_equal(plan_all(&behind, &view, 0, true), -EINVAL);
	assert_null(view.segments);
}

static void private_memory_is_refused(void **state)
{
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, 0, page_size());
	add(&plan, FILE_SHMEM, 0, page_size());
	plan.sources[1].kind = SOURCE_PRIVATE;
	assert_int_equal(plan_all(&plan, &view, 0, true), -EOPNOTSUPP);
	assert_int_equal(plan_all(&plan, &view, MR_MAP_COPY_ON_WRITE, false), -EOPNOTSUPP);
	assert_null(view.segments);
}

/* A huge page behind two small ones: the base is two small pages before a huge page begins. */
static void huge_pages_demand_a_phase(void **state)
{
	uint64_t page = page_size();
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, 0, 2 * page);
	add(&plan, FILE_HUGE, HUGE_PAGE, HUGE_PAGE);
	add(&plan, FILE_SHMEM, 0, page);
	assert_int_equal(plan_all(&plan, &view, 0, true), 0);
	assert_int_equal(view.align, HUGE_PAGE);
	assert_int_equal(view.phase, HUGE_PAGE - 2 * page);
	assert_segment(&view, 1, HUGE_PAGE, 2 * page, HUGE_PAGE);
	view_forget(&view);
}

static void huge_pages_that_disagree_are_refused(void **state)
{
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_HUGE, 0, HUGE_PAGE);
	add(&plan, FILE_SHMEM, 0, page_size());
	add(&plan, FILE_HUGE, 0, HUGE_PAGE);
	assert_int_equal(plan_all(&plan, &view, 0, true), -EINVAL);
	assert_null(view.segments);
}

/* Part of a huge page takes all of it. */
static void huge_pages_are_whole(void **state)
{
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_HUGE, 4096, 8192);
	assert_int_equal(plan_all(&plan, &view, 0, true), 0);
	assert_int_equal(view.lead, 4096);
	assert_int_equal(view.span, HUGE_PAGE);
	assert_int_equal(view.align, HUGE_PAGE);
	view_forget(&view);
}

/* A private mapping of shmem can be watched; of anything else, what is moved is a copy. */
static void copies_on_write_are_kept(void **state)
{
	uint64_t page = page_size();
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, 0, page);
	add(&plan, FILE_REGULAR, 0, page);
	add(&plan, FILE_SHMEM, 0, page);
	plan.sources[2].kind = SOURCE_ALIAS; /* which has no file to map */
	assert_int_equal(plan_all(&plan, &view, MR_MAP_COPY_ON_WRITE, true), 0);
	assert_true(view.keeps && view.segments[0].keeps && view.segments[1].keeps && view.segments[2].keeps);
	assert_false(view.segments[0].copied);
	assert_true(view.segments[1].copied && view.segments[2].copied);
	view_forget(&view);
	assert_int_equal(plan_all(&plan, &view, MR_MAP_COPY_ON_WRITE, false), 0);
	assert_false(view.segments[1].copied);
	assert_true(view.segments[2].copied);
	view_forget(&view);
}

static void holes_fill_the_rest(void **state)
{
	uint64_t page = page_size();
	uintptr_t start = 100 * HUGE_PAGE;
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, 100, 50);
	assert_int_equal(plan_all(&plan, &view, 0, true), 0);
	assert_int_equal(view_fit(&view, start, 4 * page, start + page + 100), 0);
	assert_int_equal(view.count, 3);
	assert_int_equal(view.span, 4 * page);
	assert_int_equal(view.lead, page + 100);
	assert_null(view.segments[0].source);
	assert_segment(&view, 0, 0, 0, page);
	assert_segment(&view, 1, 0, page, page);
	assert_null(view.segments[2].source);
	assert_segment(&view, 2, 0, 2 * page, 2 * page);
	assert_int_equal(view.segments[2].protection, PROT_NONE);
	view_forget(&view);
}

static void what_fits_needs_no_holes(void **state)
{
	uintptr_t start = 100 * HUGE_PAGE;
	struct plan plan = { 0 };
	struct view view;

	(void)state;
	add(&plan, FILE_SHMEM, 0, 2 * page_size());
	assert_int_equal(plan_all(&plan, &view, 0, true), 0);
	assert_int_equal(view_fit(&view, start, 2 * page_size(), start), 0);
	assert_int_equal(view.count, 1);
	view_forget(&view);
}

static int fit(uint64_t source_offset, uint64_t length, enum file_kind kind, uint64_t span, uint64_t from)
{
	uintptr_t start = 100 * HUGE_PAGE;
	struct plan plan = { 0 };
	struct view view;
	int error;

	add(&plan, kind, source_offset, length);
	assert_int_equal(plan_all(&plan, &view, 0, true), 0);
	error = view_fit(&view, start, span, start + from);
	view_forget(&view);
	return error;
}

static void what_does_not_fit_is_refused(void **state)
{
	uint64_t page = page_size();

	(void)state;
	assert_int_equal(fit(100, page, FILE_SHMEM, 4 * page, 0), -EINVAL);
	assert_int_equal(fit(0, page, FILE_SHMEM, 4 * page, 100), -EINVAL);
	assert_int_equal(fit(0, page, FILE_HUGE, 4 * page, 0), -EINVAL);
	assert_int_equal(fit(page, page, FILE_HUGE, 4 * page, page), -EINVAL);
	assert_int_equal(fit(0, HUGE_PAGE, FILE_HUGE, 2 * HUGE_PAGE, page), -EINVAL);
	assert_int_equal(fit(0, HUGE_PAGE, FILE_HUGE, HUGE_PAGE, 0), 0);
	assert_int_equal(fit(0, page, FILE_HUGE, HUGE_PAGE, 0), 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(whole_pages_stand_as_they_are),
		TEST(pages_are_rounded_outwards),
		TEST(a_part_takes_parts_of_pieces),
		TEST(ragged_pieces_are_refused),
		TEST(private_memory_is_refused),
		TEST(huge_pages_demand_a_phase),
		TEST(huge_pages_that_disagree_are_refused),
		TEST(huge_pages_are_whole),
		TEST(copies_on_write_are_kept),
		TEST(holes_fill_the_rest),
		TEST(what_fits_needs_no_holes),
		TEST(what_does_not_fit_is_refused),
	};

	return suite_run(argc, argv, "view", tests, COUNT(tests));
}
