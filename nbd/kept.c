/* SPDX-License-Identifier: MIT */
/* Writes that the server has acknowledged and not flushed yet. */
#include "kept.h"

#include <stdlib.h>
#include <string.h>

void keeper_init(struct keeper *keeper)
{
	*keeper = (struct keeper){ 0 };
	keeper->end = &keeper->first;
}

struct kept *kept_new(const void *bytes, uint64_t offset, uint64_t length)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	kept->offset = offset;
	kept->length = length;
	if (bytes) {
		kept->bytes = malloc(length);
		if (!kept->bytes) {
			free(kept);
			return NULL;
		}
		memcpy(kept->bytes, bytes, length);
	}
	return kept;
}

void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	free(kept->bytes);
	free(kept);
}

static uint64_t cost(const struct kept *kept)
{
	return sizeof(*kept) + (kept->bytes ? kept->length : 0);
}

void keeper_add(struct keeper *keeper, struct kept *kept)
{
	kept->next = NULL;
	kept->number = ++keeper->number;
	keeper->bytes += cost(kept);
	*keeper->end = kept;
	keeper->end = &kept->next;
}

void keeper_drop(struct keeper *keeper, uint64_t number)
{
	while (keeper->first && keeper->first->number <= number) {
		struct kept *kept = keeper->first;

		keeper->first = kept->next;
		keeper->bytes -= cost(kept);
		kept_free(kept);
	}
	if (!keeper->first)
		keeper->end = &keeper->first;
}
