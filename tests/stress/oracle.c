/* SPDX-License-Identifier: MIT */
/* What readers of a map that is redirected may see. */
#include "oracle.h"

#include <inttypes.h>

#include "stress.h"

static void remember(struct oracle *oracle, uint64_t number, struct showing what)
{
	uint64_t slot = number % ORACLE_HISTORY;

	__atomic_store_n(&oracle->history[slot].member, what.member, __ATOMIC_SEQ_CST);
	__atomic_store_n(&oracle->history[slot].offset, what.offset, __ATOMIC_SEQ_CST);
}

static struct showing recall(const struct oracle *oracle, uint64_t number)
{
	uint64_t slot = number % ORACLE_HISTORY;
	struct showing what;

	what.member = __atomic_load_n(&oracle->history[slot].member, __ATOMIC_SEQ_CST);
	what.offset = __atomic_load_n(&oracle->history[slot].offset, __ATOMIC_SEQ_CST);
	return what;
}

void oracle_begin(struct oracle *oracle, struct pool *pool, struct showing first)
{
	oracle->pool = pool;
	oracle->epoch = 0;
	remember(oracle, 0, first);
}

void oracle_open(struct oracle *oracle, struct showing next)
{
	uint64_t epoch = oracle->epoch;

	remember(oracle, epoch / 2 + 1, next);
	__atomic_store_n(&oracle->epoch, epoch + 1, __ATOMIC_SEQ_CST);
}

void oracle_close(struct oracle *oracle)
{
	__atomic_store_n(&oracle->epoch, oracle->epoch + 1, __ATOMIC_SEQ_CST);
}

uint64_t oracle_epoch(const struct oracle *oracle)
{
	return __atomic_load_n(&oracle->epoch, __ATOMIC_SEQ_CST);
}

/* Whether history from @before on is still there. */
static bool is_known(const struct oracle *oracle, uint64_t before)
{
	return oracle_epoch(oracle) / 2 - before / 2 < ORACLE_HISTORY - 2;
}

/* Say which memory the value is of, if any. */
static void complain(const struct oracle *oracle, uint64_t before, uint64_t after, uint64_t offset, uint64_t value)
{
	struct showing old = recall(oracle, before / 2);
	struct showing new = recall(oracle, (after + 1) / 2);
	const char *owner = value ? "no memory" : "none: it is zero";

	for (size_t i = 0; i < oracle->pool->count; i++) {
		struct member *member = &oracle->pool->members[i];

		for (uint64_t j = 0; j <= oracle->pool->spare; j++)
			if (showing_word((struct showing){ member, j * member->unit }, offset) == value)
				owner = member->name;
	}
	stress_fail(__FILE__, __LINE__,
		    "offset %#" PRIx64 ": read %#" PRIx64 ", which is of %s, in epochs %" PRIu64 " to %" PRIu64
		    ", between %s at %#" PRIx64 " and %s at %#" PRIx64,
		    offset, value, owner, before, after, old.member->name, old.offset, new.member->name, new.offset);
}

/* How many bytes of @value, from the one at @from on, are those of @expected. */
static unsigned equal_bytes(uint64_t value, uint64_t expected, unsigned from)
{
	unsigned count = 0;

	while (from + count < 8 && (value ^ expected) >> 8 * (from + count) << 56 == 0)
		count++;
	return count;
}

/* Whether the bytes are of what the map showed from @before to @after, one showing after the other; in one piece unless @copied. */
static bool is_right(const struct oracle *oracle, uint64_t before, uint64_t after, uint64_t offset, uint64_t value, bool copied)
{
	unsigned known = 0;

	for (uint64_t i = before / 2; i <= (after + 1) / 2 && known < 8; i++) {
		unsigned more = equal_bytes(value, showing_word(recall(oracle, i), offset), known);

		known = copied || more == 8 ? known + more : 0;
	}
	return known == 8;
}

static bool check(const struct oracle *oracle, uint64_t before, uint64_t offset, uint64_t value, bool copied)
{
	uint64_t after = oracle_epoch(oracle);
	bool right = is_known(oracle, before) && is_right(oracle, before, after, offset, value, copied);

	if (!is_known(oracle, before))
		return false;
	if (!right)
		complain(oracle, before, after, offset, value);
	return true;
}

bool oracle_check(const struct oracle *oracle, uint64_t before, uint64_t offset, uint64_t value)
{
	return check(oracle, before, offset, value, false);
}

bool oracle_check_copy(const struct oracle *oracle, uint64_t before, uint64_t offset, uint64_t value)
{
	return check(oracle, before, offset, value, true);
}
