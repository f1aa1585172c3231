/* SPDX-License-Identifier: MIT */
/* Every error of mr_memory_new_pager and mr_memory_sync, and that a pager which was refused is not called. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"
#include "refused.h"

static struct mr_memory *memory;
static unsigned calls;

static int read_nothing(void *argument, uint64_t offset, void *buffer, uint64_t length)
{
	(void)argument;
	(void)offset;
	memset(buffer, 0, length);
	calls++;
	return 0;
}

static int write_nothing(void *argument, uint64_t offset, const void *buffer, uint64_t length)
{
	(void)argument;
	(void)offset;
	(void)buffer;
	(void)length;
	calls++;
	return 0;
}

static void count_release(void *argument)
{
	(void)argument;
	calls++;
}

static struct mr_pager good(void)
{
	return (struct mr_pager){
		.size = sizeof(struct mr_pager), .read = read_nothing, .write = write_nothing, .release = count_release
	};
}

static void refused(const struct mr_pager *pager, uint64_t length, uint32_t options, int number)
{
	calls = 0;
	memory = UNTOUCHED;
	assert_refused(mr_memory_new_pager(pager, length, 0, options, &memory), number);
	assert_ptr_equal(memory, UNTOUCHED);
	assert_int_equal(calls, 0);
}

static void arguments(void **state)
{
	struct mr_pager pager = good();

	(void)state;
	refused(NULL, 1, 0, EINVAL);
	refused(&pager, 0, 0, EINVAL);
	assert_refused(mr_memory_new_pager(&pager, 1, 0, 0, NULL), EINVAL);
	refused(&pager, 1, MR_MEMORY_HUGE_2M, EINVAL);
	refused(&pager, 1, MR_MEMORY_HUGE_1G, EINVAL);
	refused(&pager, 1, UINT32_C(1) << 31, EINVAL);
	pager.read = NULL;
	refused(&pager, 1, 0, EINVAL);
}

static void blocks(void **state)
{
	static const uint64_t bad[] = { 1, 512, 3 << 12, (1 << 16) + 4096, UINT64_C(128) << 20, UINT64_MAX };
	struct mr_pager pager = good();

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		pager.block = bad[i];
		refused(&pager, 1, 0, EINVAL);
	}
	pager.block = page_size() / 2;
	refused(&pager, 1, 0, EINVAL);
}

static void lengths(void **state)
{
	struct mr_pager pager = good();

	(void)state;
	refused(&pager, UINT64_MAX, 0, EOVERFLOW);
	refused(&pager, (uint64_t)INT64_MAX, 0, EOVERFLOW);
	pager.block = page_size();
	refused(&pager, page_size() << 32, 0, EOVERFLOW);
}

/* What a newer program hands to this library: fields that it does not know must be zero. */
static void sizes(void **state)
{
	struct {
		struct mr_pager known;
		uint64_t unknown;
	} pager = { .known = good() };

	(void)state;
	pager.known.size = sizeof(struct mr_pager) - 1;
	refused(&pager.known, 1, 0, EINVAL);
	pager.known.size = 0;
	refused(&pager.known, 1, 0, EINVAL);
	pager.known.size = sizeof(pager);
	pager.unknown = 1;
	refused(&pager.known, 1, 0, EINVAL);
	pager.unknown = 0;
	assert_ok(mr_memory_new_pager(&pager.known, 1, 0, 0, &memory));
	mr_memory_unref(memory);
	assert_int_equal(calls, 1);
}

static void read_only(void **state)
{
	struct mr_pager pager = good();
	struct mr_map *map = UNTOUCHED;

	(void)state;
	assert_ok(mr_memory_new_pager(&pager, page_size(), 0, MR_MEMORY_READ_ONLY, &memory));
	assert_refused(mr_memory_write(memory, 0, "x", 1), EACCES);
	assert_refused(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EACCES);
	assert_refused(mr_memory_read(memory, page_size(), &map, 1), ERANGE);
	assert_ptr_equal(map, UNTOUCHED);
	mr_memory_unref(memory);
}

static void syncing(void **state)
{
	(void)state;
	assert_refused(mr_memory_sync(NULL), EINVAL);
}

static const struct CMUnitTest tests[] = {
	TEST(arguments), TEST(blocks), TEST(lengths), TEST(sizes), TEST(read_only), TEST(syncing),
};

int main(int argc, char **argv)
{
	struct mr_pager pager = good();

	if (mr_memory_new_pager(&pager, 1, 0, 0, &memory) == -EOPNOTSUPP)
		return suite_skip("a userfaultfd that can watch shared memory (Linux 5.19)");
	mr_memory_unref(memory);
	calls = 0;
	return suite_run(argc, argv, "pager errors", tests, COUNT(tests));
}
