/* SPDX-License-Identifier: MIT */
/* Memory of a pager whose pages were evicted, and cannot be read again: SIGBUS for each access, and the bytes when they can be read. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "kind.h"
#include "suite.h"
#include "victim.h"
#include "wait.h"

#define BLOCK  (UINT64_C(64) << 10)
#define LENGTH (128 * BLOCK)

static uint32_t broken;

static int read_zeroes(void *argument, uint64_t offset, void *buffer, uint64_t length)
{
	(void)argument;
	(void)offset;
	if (__atomic_load_n(&broken, __ATOMIC_ACQUIRE))
		return -EIO;
	memset(buffer, 0, length);
	return 0;
}

static int drop(void *argument, uint64_t offset, const void *buffer, uint64_t length)
{
	(void)argument;
	(void)offset;
	(void)buffer;
	(void)length;
	return 0;
}

/* Write to every page, in a cache that holds but some of them. */
static void evict_most(char *address)
{
	for (uint64_t offset = 0; offset < LENGTH; offset += page_size())
		*(uint64_t *)(address + offset) = 1;
}

static bool can_be_read(void *address)
{
	return access_try(ACCESS_LOAD, address, 0).signal == 0;
}

static void evicted_pages_that_cannot_be_read_are_refused(void **state)
{
	const struct mr_pager pager = { .size = sizeof(pager), .block = BLOCK, .read = read_zeroes, .write = drop };
	uint64_t refused = 0;
	struct mr_memory *memory;
	struct mr_map *map;
	char *address;

	(void)state;
	assert_ok(mr_memory_new_pager(&pager, LENGTH, LENGTH / 8, 0, &memory));
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map));
	address = mr_map_address(map);
	evict_most(address);
	assert_ok(mr_memory_sync(memory));
	__atomic_store_n(&broken, 1, __ATOMIC_RELEASE);
	for (uint64_t offset = 0; offset < LENGTH / 2; offset += 4 * BLOCK)
		refused += access_try(ACCESS_LOAD, address + offset, 0).signal == SIGBUS;
	assert_true(refused > 0);
	__atomic_store_n(&broken, 0, __ATOMIC_RELEASE);
	for (uint64_t offset = 0; offset < LENGTH / 2; offset += 4 * BLOCK)
		assert_true(wait_until(can_be_read, address + offset));
	mr_map_unref(map);
	mr_memory_unref(memory);
}

static const struct CMUnitTest tests[] = {
	TEST(evicted_pages_that_cannot_be_read_are_refused),
};

int main(int argc, char **argv)
{
	struct mr_memory *memory;
	const struct mr_pager pager = { .size = sizeof(pager), .read = read_zeroes };
	int error = mr_memory_new_pager(&pager, LENGTH, 0, 0, &memory);

	if (error == -EOPNOTSUPP)
		return suite_skip(mr_error());
	if (!error)
		mr_memory_unref(memory);
	return suite_run(argc, argv, "pages that are refused", tests, COUNT(tests));
}
