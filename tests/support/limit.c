/* SPDX-License-Identifier: MIT */
/* The limit of mappings, reached. */
#include "limit.h"

#include <sys/mman.h>

#include "kind.h"
#include "suite.h"

#define MOST 1000000
#define ROOM 64

/* The last ones that were made, to be given back. */
static void *last[ROOM];
static int made;

bool limit_can_be_reached(void)
{
	return features()->max_map_count && features()->max_map_count < MOST;
}

/* Neighbours of different access do not become one mapping. */
bool limit_reach(void)
{
	for (made = 0; made < MOST; made++) {
		int protection = made % 2 ? PROT_READ : PROT_NONE;
		void *page = mmap(NULL, page_size(), protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			return true;
		last[made % ROOM] = page;
	}
	return false;
}

void limit_leave(void)
{
	for (int i = 0; i < ROOM && i < made; i++)
		munmap(last[i], page_size());
	made = 0;
}
