/* SPDX-License-Identifier: MIT */
/*
 * Guarantees A and C, of bytes that a map has for itself: private pages with a file behind them.
 *
 * Every page of a copy-on-write map, and of an adopted private mapping of a memfd, is written; the file keeps other bytes. Readers load
 * words while the map is blocked and let go.
 *
 * Catches: a page of the file that is seen in the place of the private one, between two steps of a block.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crowd.h"
#include "kind.h"
#include "pattern.h"
#include "stress.h"
#include "suite.h"

#define LENGTH	(UINT64_C(8) << 20)
#define READERS 2

/* What the file has, and what the map's pages have. */
#define FILES 1
#define OWN   2

static void read_words(struct worker *worker, void *argument)
{
	char *address = argument;

	while (crowd_goes_on(worker->crowd)) {
		uint64_t offset = dice_below(&worker->dice, LENGTH / 8) * 8;
		uint64_t value = __atomic_load_n((uint64_t *)(address + offset), __ATOMIC_SEQ_CST);

		require(value == pattern_word(OWN, offset), "offset %#" PRIx64 " has %#" PRIx64 ", %s", offset, value,
			value == pattern_word(FILES, offset) ? "which is the file's" : "which is nobody's");
		worker_count(worker);
	}
}

/* Return: how many blocks. */
static uint64_t block_and_let_go(struct mr_map *map, uint32_t access)
{
	struct mr_memory *memory = mr_map_memory(map);
	uint64_t blocks = 0;

	do {
		require_ok(mr_map_redirect(map, NULL, 0, 0));
		require_ok(mr_map_redirect(map, memory, access, 0));
		blocks++;
	} while (stress_lap_goes_on());
	return blocks;
}

static uint64_t play(struct dice *dice, struct mr_map *map, uint32_t access)
{
	static struct crowd readers;
	uint64_t blocks;

	pattern_fill(mr_map_address(map), 0, LENGTH, OWN);
	crowd_start(&readers, READERS, dice, read_words, mr_map_address(map));
	stress_lap(0.5);
	blocks = block_and_let_go(map, access);
	require(crowd_stop(&readers) > 0, "no reader has read anything");
	return blocks;
}

static uint64_t play_copy_on_write(struct dice *dice)
{
	uint32_t options = MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_COPY_ON_WRITE;
	int fd = memfd_with_pattern(LENGTH, FILES);
	struct mr_memory *memory;
	struct mr_map *map;
	uint64_t blocks;

	require_ok(mr_memory_new_fd(fd, 0, LENGTH, 0, &memory));
	close(fd);
	require_ok(mr_map_new(memory, NULL, NULL, options, 0, 0, &map));
	blocks = play(dice, map, MR_MAP_COPY_ON_WRITE);
	mr_map_unref(map);
	mr_memory_unref(memory);
	return blocks;
}

static uint64_t play_adopted(struct dice *dice)
{
	int fd = memfd_with_pattern(LENGTH, FILES);
	char *range = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	struct mr_map *map;
	uint64_t blocks;

	require(range != MAP_FAILED, "a memfd cannot be mapped");
	close(fd);
	require_ok(mr_map_adopt(NULL, range, LENGTH, 0, &map));
	blocks = play(dice, map, 0);
	mr_map_unref(map);
	munmap(range, LENGTH);
	return blocks;
}

int main(void)
{
	struct dice dice = stress_begin("own");
	uint64_t blocks;

	if (!features()->blocking)
		return stress_skip("blocking (userfaultfd)");
	blocks = play_copy_on_write(&dice);
	blocks += play_adopted(&dice);
	return stress_end("%" PRIu64 " blocks", blocks);
}
