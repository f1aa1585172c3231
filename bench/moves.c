/* SPDX-License-Identifier: MIT */
/*
 * What a move of memory costs those who write to it: mr_map_move, against stopping them for the whole copy, and against a copy that is put
 * in its place by mmap(MAP_FIXED | MAP_POPULATE), which loses what is written meanwhile.
 */
#include <fcntl.h>
#include <memredirect.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copies.h"
#include "outcome.h"

enum way { MOVE, STOP_AND_COPY, COPY_AND_MMAP, WAYS };

static const char *const way_names[WAYS] = { "move", "stop and copy", "memcpy, then mmap(MAP_FIXED | MAP_POPULATE)" };

struct moves {
	struct setting setting;
	enum way way;
	struct mr_memory *memories[2];
	struct mr_map *map;
	unsigned shown; /* which memory the map shows */
	char *mapped;	/* what mmap is tried on */
	char *copies[2];
	int fds[2];
	unsigned at; /* which file that shows */
	struct outcome outcomes[WAYS][RATES];
};

static bool move_once(void *argument)
{
	struct moves *moves = argument;
	struct mr_copy_opts opts = { .size = sizeof(opts), .flags = moves->way == STOP_AND_COPY ? MR_COPY_STOP : 0 };
	size_t length = moves->setting.length;

	if (moves->way != COPY_AND_MMAP) {
		moves->shown ^= 1;
		must(mr_map_move(moves->map, moves->memories[moves->shown], 0, 0, &opts, NULL), "mr_map_move");
		return true;
	}
	moves->at ^= 1;
	memcpy(moves->copies[moves->at], moves->mapped, length);
	must_errno(mmap(moves->mapped, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
			moves->fds[moves->at], 0) == moves->mapped,
		   "mmap");
	return true;
}

static void set_up(struct moves *moves)
{
	size_t length = moves->setting.length;

	for (unsigned i = 0; i < 2; i++) {
		moves->fds[i] = memory_file(length);
		must(mr_memory_new_fd(moves->fds[i], 0, length, 0, &moves->memories[i]), "memory");
		moves->copies[i] = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, moves->fds[i], 0);
		must_errno(moves->copies[i] != MAP_FAILED, "memory");
	}
	must(mr_map_new(moves->memories[0], NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_PREFAULT, 0, 0, &moves->map),
	     "a map");
	moves->mapped = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, moves->fds[0], 0);
	must_errno(moves->mapped != MAP_FAILED, "memory");
}

static void tear_down(struct moves *moves)
{
	munmap(moves->mapped, moves->setting.length);
	mr_map_unref(moves->map);
	for (unsigned i = 0; i < 2; i++) {
		munmap(moves->copies[i], moves->setting.length);
		mr_memory_unref(moves->memories[i]);
		close(moves->fds[i]);
	}
	for (unsigned i = 0; i < WAYS * RATES; i++)
		outcome_free(&moves->outcomes[i / RATES][i % RATES]);
}

void bench_moves(size_t length, bool quick)
{
	static struct moves moves;

	memset(&moves, 0, sizeof(moves));
	moves.setting = (struct setting){ .length = length, .rounds = quick ? 3 : 7 };
	set_up(&moves);
	for (unsigned round = 0; round < moves.setting.rounds; round++)
		for (unsigned i = 0; i < WAYS * RATES; i++) {
			moves.way = i / RATES;
			outcome_measure(&moves.outcomes[i / RATES][i % RATES], &moves.setting,
					moves.way == COPY_AND_MMAP ? moves.mapped : mr_map_address(moves.map), rates[i % RATES],
					move_once, &moves);
		}
	for (unsigned i = 0; i < WAYS * RATES; i++)
		outcome_tell(&moves.outcomes[i / RATES][i % RATES], "move", &moves.setting, way_names[i / RATES],
			     rate_names[i % RATES]);
	figure("move: longest write at 10,000 pages/s, against 1 ms", "us", series_median(&moves.outcomes[MOVE][MODEST].stall),
	       1000, 1, false);
	tear_down(&moves);
}
