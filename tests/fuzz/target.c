/* SPDX-License-Identifier: MIT */
/*
 * The fuzz target: the input decides which calls are made, and in what order; the model says what must come of each. After every
 * call all maps are glanced at, now and then every byte is compared, and in the end nothing may be left behind.
 */
#include "target.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leak.h"
#include "model.h"

#define MOST_STEPS 400

static void forget_leaves(void)
{
	for (size_t i = 0; i < world.leaf_count; i++) {
		struct leaf *leaf = &world.leaves[i];

		if (leaf->fd >= 0)
			close(leaf->fd);
		if (leaf->range)
			munmap(leaf->range, leaf->length);
		free(leaf->bytes);
	}
}

static void play(void)
{
	for (world.steps = 1; world.steps < MOST_STEPS && !input_is_over(&world.input); world.steps++) {
		if (input_byte(&world.input) % 3)
			act_on_maps();
		else
			act_on_memories();
		check_all(model_verbose || world.steps % 64 == 0);
	}
	check_all(true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct holdings before;

	holdings_settle();
	holdings_take(&before);
	memset(&world, 0, sizeof(world));
	world.input = (struct input){ data, size, 0 };
	/* One in eight has maps of a mebibyte and more, whose page tables are moved. */
	world.unit = input_byte(&world.input) % 8 == 7 ? 72 : 1;
	play();
	let_go_of_all();
	forget_leaves();
	require(holdings_no_leak(&before), "something was left behind");
	return 0;
}
