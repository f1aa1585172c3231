/* SPDX-License-Identifier: MIT */
/*
 * Each allocation of each request fails in turn: the request says so and has changed nothing, or has been done in spite of it.
 * Takes a kernel with fault injection (the debug kernel), which counts the allocations of a thread and lets the nth one fail.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"

#define NTH "/proc/thread-self/fail-nth"

static int nth_file;

static void set_switch(const char *name, const char *value)
{
	char path[128];
	int file;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", name);
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, value, strlen(value)) < 0)
		print_error("%s cannot be set\n", path);
	close(file);
}

static void arm(int nth)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", nth);
	assert_true(pwrite(nth_file, text, strlen(text), 0) > 0);
}

/* Whether the nth allocation was there to fail. */
static bool disarm(void)
{
	char text[16] = "";

	assert_true(pread(nth_file, text, sizeof(text) - 1, 0) > 0);
	assert_true(pwrite(nth_file, "0", 1, 0) > 0);
	return atoi(text) == 0;
}

/* Do it, for n = 1, 2, … until nothing is hit any more. The operation undoes what it has done. */
static void sweep(int (*operation)(struct scene *scene))
{
	struct scene scene = scene_make(4, 0, 0);
	bool hit = true;
	int failures = 0;

	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 4, 11), 0, 0), 0);
	for (int nth = 1; hit; nth++) {
		int result, next;

		arm(nth);
		result = operation(&scene);
		hit = disarm();
		if (result && result != -ENOMEM && result != -ENFILE && result != -EFAULT && result != -ENOSPC)
			print_error("allocation %d: %d\n", nth, result);
		assert_true(!result || result == -ENOMEM || result == -ENFILE || result == -EFAULT || result == -ENOSPC);
		assert_true(!result || hit);
		failures += result != 0;
		assert_int_equal(peek(scene.at), 11);
		next = dup(0);
		assert_int_equal(next, scene.map + 1);
		close(next);
	}
	print_message("%d failures\n", failures);
	scene_end(&scene);
}

static int make_and_end(struct scene *scene)
{
	int control = open(MEMREDIRECT_DEVICE, O_RDWR | O_CLOEXEC), result;

	(void)scene;
	if (control < 0)
		return -errno;
	result = control_create(control, PAGE, 0);
	if (!result) {
		int map = map_open(control, 0);

		result = map < 0 ? map : 0;
		if (map >= 0)
			close(map);
	}
	close(control);
	return result;
}

static int map_more(struct scene *scene)
{
	int map = map_open(scene->control, 0);
	void *at;

	if (map < 0)
		return map;
	at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, map, 0);
	close(map);
	if (at == MAP_FAILED)
		return -errno;
	munmap(at, PAGE);
	return 0;
}

static int add_and_del(struct scene *scene, const struct memredirect_segment *segments, uint32_t count, uint32_t cache)
{
	uint32_t id;
	int result = backing_add(scene->control, segments, count, 0, cache, &id);

	return result ? result : backing_del(scene->control, id);
}

static int add_fresh(struct scene *scene)
{
	const struct memredirect_segment segments[] = {
		{ .kind = MEMREDIRECT_KERNEL, .length = 3 * PAGE },
		{ .kind = MEMREDIRECT_KERNEL, .length = 5 * PAGE, .flags = MEMREDIRECT_SEGMENT_CONTIGUOUS }
	};

	return add_and_del(scene, segments, 2, 0);
}

static int add_uncached(struct scene *scene)
{
	const struct memredirect_segment segment = { .kind = MEMREDIRECT_KERNEL, .length = 3 * PAGE };

	return add_and_del(scene, &segment, 1, MEMREDIRECT_CACHE_INHIBIT);
}

static int add_own(struct scene *scene)
{
	void *own = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct memredirect_segment segment = { .kind = MEMREDIRECT_USER, .offset = (uintptr_t)own, .length = 3 * PAGE };
	int result = own == MAP_FAILED ? -errno : add_and_del(scene, &segment, 1, 0);

	if (own != MAP_FAILED)
		munmap(own, 3 * PAGE);
	return result;
}

static int add_memfd(struct scene *scene)
{
	int fd = memfd_create("failures", MFD_CLOEXEC);
	struct memredirect_segment segment = { .kind = MEMREDIRECT_FILE, .fd = fd, .length = 3 * PAGE };
	int result;

	if (fd < 0)
		return -errno;
	result = ftruncate(fd, 3 * PAGE) ? -errno : add_and_del(scene, &segment, 1, 0);
	close(fd);
	return result;
}

static int redirect_there_and_back(struct scene *scene)
{
	uint32_t id;
	const struct memredirect_segment segment = { .kind = MEMREDIRECT_KERNEL, .length = 4 * PAGE };
	int result = backing_add(scene->control, &segment, 1, 0, 0, &id);

	if (result)
		return result;
	/* These need nothing. */
	if (redirect_to(scene->control, id, 0, 0) || block(scene->control, MEMREDIRECT_BLOCK_THEN_REVOKE, 1000000) ||
	    redirect_to(scene->control, 1, 0, 0) || backing_del(scene->control, id))
		return -EIO;
	return 0;
}

static int copy_a_page(struct scene *scene)
{
	static char bytes[4096];

	return backing_read(scene->control, 1, PAGE, bytes, sizeof(bytes));
}

static int populate_all(struct scene *scene)
{
	struct memredirect_populate populate = REQUEST(populate, .address = (uintptr_t)scene->at, .length = scene->length);

	return request(scene->map, MEMREDIRECT_POPULATE, &populate);
}

#define SWEEP(operation)                                                                                                       \
	static void allocations_fail_in_##operation(void **state)                                                              \
	{                                                                                                                      \
		(void)state;                                                                                                   \
		sweep(operation);                                                                                              \
	}

SWEEP(make_and_end)
SWEEP(map_more)
SWEEP(add_fresh)
SWEEP(add_uncached)
SWEEP(add_own)
SWEEP(add_memfd)
SWEEP(redirect_there_and_back)
SWEEP(copy_a_page)
SWEEP(populate_all)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(allocations_fail_in_make_and_end), TEST(allocations_fail_in_map_more),
		TEST(allocations_fail_in_add_fresh),	TEST(allocations_fail_in_add_uncached),
		TEST(allocations_fail_in_add_own),	TEST(allocations_fail_in_add_memfd),
		TEST(allocations_fail_in_copy_a_page),	TEST(allocations_fail_in_redirect_there_and_back),
		TEST(allocations_fail_in_populate_all),
	};
	int missing = device_missing();

	if (missing)
		return missing;
	nth_file = open(NTH, O_RDWR | O_CLOEXEC);
	if (nth_file < 0)
		return suite_skip("fault injection (" NTH ", of the debug kernel)");
	set_switch("failslab/ignore-gfp-wait", "N");
	set_switch("fail_page_alloc/ignore-gfp-wait", "N");
	set_switch("fail_page_alloc/min-order", "0");
	set_switch("failslab/verbose", "0");
	set_switch("fail_page_alloc/verbose", "0");
	return suite_run(argc, argv, "failing allocations in the driver", tests, COUNT(tests));
}
