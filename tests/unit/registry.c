/* SPDX-License-Identifier: MIT */
/* The registry of maps by address, against a table of pages that says for each whose it is. */
#include <errno.h>
#include <stdlib.h>

#include "registry.h"
#include "suite.h"

#define PAGE  UINT64_C(4096)
#define PAGES 512
#define MAPS  64

/* Maps are never looked into here: any addresses will do. */
static char objects[MAPS];

static struct mr_map *map_of(size_t number)
{
	return (struct mr_map *)&objects[number];
}

static int insert(size_t number, uint64_t first, uint64_t end)
{
	int error;

	registry_lock();
	error = registry_insert(NULL, map_of(number), first * PAGE, end * PAGE);
	registry_unlock();
	return error;
}

static void take_out(size_t number, uint64_t first)
{
	registry_lock();
	registry_remove(NULL, map_of(number), first * PAGE);
	registry_unlock();
}

static struct mr_map *find(uint64_t first, uint64_t end)
{
	struct mr_map *map;

	registry_lock();
	map = registry_find(NULL, first * PAGE, end * PAGE);
	registry_unlock();
	return map;
}

static void finds_what_touches(void **state)
{
	(void)state;
	assert_null(find(0, PAGES));
	assert_int_equal(insert(0, 10, 20), 0);
	assert_ptr_equal(find(0, PAGES), map_of(0));
	assert_ptr_equal(find(19, 30), map_of(0));
	assert_ptr_equal(find(5, 11), map_of(0));
	assert_ptr_equal(find(14, 15), map_of(0));
	assert_null(find(0, 10));
	assert_null(find(20, 30));
	take_out(0, 10);
	assert_null(find(0, PAGES));
}

static void refuses_what_overlaps(void **state)
{
	(void)state;
	assert_int_equal(insert(0, 10, 20), 0);
	assert_int_equal(insert(1, 10, 20), -EEXIST);
	assert_int_equal(insert(1, 5, 11), -EEXIST);
	assert_int_equal(insert(1, 19, 25), -EEXIST);
	assert_int_equal(insert(1, 12, 13), -EEXIST);
	assert_int_equal(insert(1, 5, 25), -EEXIST);
	assert_int_equal(insert(1, 5, 10), 0);
	assert_int_equal(insert(2, 20, 25), 0);
	assert_ptr_equal(find(9, 10), map_of(1));
	assert_ptr_equal(find(20, 21), map_of(2));
	take_out(0, 10);
	take_out(1, 5);
	take_out(2, 20);
}

/* A map that was never entered, or is out already, takes nothing with it. */
static void removes_only_its_own(void **state)
{
	(void)state;
	assert_int_equal(insert(0, 10, 20), 0);
	take_out(1, 10);
	take_out(1, 300);
	assert_ptr_equal(find(10, 11), map_of(0));
	take_out(0, 10);
	take_out(0, 10);
	assert_null(find(0, PAGES));
}

/* Where each map is, and whose each page is; -1: nobody's. */
struct model {
	uint64_t first[MAPS];
	uint64_t end[MAPS]; /* 0: not there */
	int owner[PAGES];
};

static bool is_free(const struct model *model, uint64_t first, uint64_t end)
{
	for (uint64_t page = first; page < end; page++)
		if (model->owner[page] >= 0)
			return false;
	return true;
}

static void set_owner(struct model *model, size_t number, int owner)
{
	for (uint64_t page = model->first[number]; page < model->end[number]; page++)
		model->owner[page] = owner;
}

static void enter_or_leave(struct model *model, size_t number, uint64_t first, uint64_t end)
{
	if (model->end[number]) {
		set_owner(model, number, -1);
		take_out(number, model->first[number]);
		model->end[number] = 0;
	} else if (is_free(model, first, end)) {
		assert_int_equal(insert(number, first, end), 0);
		model->first[number] = first;
		model->end[number] = end;
		set_owner(model, number, (int)number);
	} else {
		assert_int_equal(insert(number, first, end), -EEXIST);
	}
}

static void is_as_the_table(void **state)
{
	struct model model = { 0 };
	unsigned seed = 1;

	(void)state;
	for (size_t page = 0; page < PAGES; page++)
		model.owner[page] = -1;
	for (unsigned round = 0; round < 20000; round++) {
		uint64_t first = (uint64_t)rand_r(&seed) % (PAGES - 16), page = (uint64_t)rand_r(&seed) % PAGES;

		enter_or_leave(&model, (size_t)rand_r(&seed) % MAPS, first, first + 1 + (uint64_t)rand_r(&seed) % 16);
		assert_ptr_equal(find(page, page + 1), model.owner[page] < 0 ? NULL : map_of((size_t)model.owner[page]));
	}
	for (size_t number = 0; number < MAPS; number++)
		if (model.end[number])
			take_out(number, model.first[number]);
	assert_null(find(0, PAGES));
}

static void is_empty_after_a_reset(void **state)
{
	(void)state;
	assert_int_equal(insert(0, 10, 20), 0);
	registry_reset();
	assert_null(find(0, PAGES));
	assert_int_equal(insert(0, 10, 20), 0);
	take_out(0, 10);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(finds_what_touches), TEST(refuses_what_overlaps),	TEST(removes_only_its_own),
		TEST(is_as_the_table),	  TEST(is_empty_after_a_reset),
	};

	return suite_run(argc, argv, "registry", tests, COUNT(tests));
}
