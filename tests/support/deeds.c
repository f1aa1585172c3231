/* SPDX-License-Identifier: MIT */
/* What callers do to a subject. */
#include "deeds.h"

#include <errno.h>

static int snapshot(struct mr_task *task, const struct subject_status *status)
{
	struct mr_task *copy;
	int error = mr_task_snapshot(task, &copy, NULL);

	(void)status;
	if (!error)
		mr_task_unref(copy);
	return error;
}

static int move(struct mr_task *task, uint64_t address, uint32_t placement, uint32_t flags)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .flags = flags };
	struct mr_place place = { .size = sizeof(place), .kind = placement };

	return mr_task_move(task, address, &place, &opts, NULL);
}

static int move_to_huge(struct mr_task *task, const struct subject_status *status)
{
	return move(task, status->pages[0], MR_PLACE_THP, 0);
}

static int move_back(struct mr_task *task, const struct subject_status *status)
{
	return move(task, status->pages[0], MR_PLACE_ANON, 0);
}

static int move_stopped(struct mr_task *task, const struct subject_status *status)
{
	return move(task, status->pages[1], MR_PLACE_ANON, MR_COPY_STOP);
}

static int move_given_back(struct mr_task *task, const struct subject_status *status)
{
	return move(task, status->given_back, MR_PLACE_ANON, 0);
}

static int move_to_hugetlb(struct mr_task *task, const struct subject_status *status)
{
	int error = move(task, status->pages[0], MR_PLACE_HUGE_2M, 0);

	return error == -ENOMEM ? -EAGAIN : error; /* none is free, perhaps */
}

static int move_to_memfd(struct mr_task *task, const struct subject_status *status)
{
	return move(task, status->pages[1], MR_PLACE_MEMFD, 0);
}

/* It may be that an earlier deed has made it a kind of memory that a map cannot be of. */
static int hold(struct mr_task *task, uint64_t address, const struct subject_status *status, int (*deed)(struct mr_map *map))
{
	struct mr_map *map;
	int error = mr_map_adopt(task, (void *)address, status->length, 0, &map);

	if (error)
		return error == -EOPNOTSUPP ? -EAGAIN : error;
	error = deed(map);
	mr_map_unref(map);
	return error;
}

static int block_map(struct mr_map *map)
{
	int error = mr_map_redirect(map, NULL, 0, 0);

	return error ? error : mr_map_redirect(map, mr_map_memory(map), 0, 0);
}

static int copy_map(struct mr_map *map)
{
	struct mr_memory *copy;
	int error = mr_map_snapshot(map, NULL, &copy, NULL);

	if (!error)
		mr_memory_unref(copy);
	return error;
}

static int block(struct mr_task *task, const struct subject_status *status)
{
	return hold(task, status->pages[1], status, block_map);
}

static int block_given_back(struct mr_task *task, const struct subject_status *status)
{
	return hold(task, status->given_back, status, block_map);
}

static int copy(struct mr_task *task, const struct subject_status *status)
{
	return hold(task, status->pages[1], status, copy_map);
}

const struct deed deeds[] = {
	{ "snapshot", snapshot },
	{ "move", move_to_huge },
	{ "back", move_back },
	{ "stopped", move_stopped },
	{ "given-back", move_given_back },
	{ "memfd", move_to_memfd },
	{ "hugetlb", move_to_hugetlb },
	{ "block", block },
	{ "block-given-back", block_given_back },
	{ "copy", copy },
	{ NULL, NULL },
};

bool deed_may_be(int error)
{
	return error == -EAGAIN || error == -EBUSY;
}
