/* SPDX-License-Identifier: MIT */
/* Redirects that fail for what the map is, what has become of its range, or what the system lacks. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "refused.h"
#include "scene.h"
#include "wait.h"

#define PAGES 6

static uint64_t length_here(void)
{
	return PAGES * page_size();
}

static struct mr_memory *new_buffer(void)
{
	struct mr_memory *memory;

	assert_ok(mr_memory_new_buffer(length_here(), 0, &memory));
	return memory;
}

static struct mr_map *adopt(void *address, uint64_t length)
{
	struct mr_map *map;

	assert_ok(mr_map_adopt(NULL, address, length, 0, &map));
	return map;
}

static void null_map(void **state)
{
	struct mr_memory *memory = new_buffer();

	(void)state;
	assert_refused(mr_map_redirect(NULL, memory, 0, 0), EINVAL);
	assert_refused(mr_map_redirect(NULL, NULL, 0, 0), EINVAL);
	mr_memory_unref(memory);
}

/* With everything else wrong as well. */
static void map_that_is_not_unique(void **state)
{
	struct mr_memory *memory = new_buffer();
	struct mr_map *map;

	(void)state;
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	assert_refused(mr_map_redirect(map, NULL, 0, 0), EPERM);
	assert_refused(mr_map_redirect(map, memory, 0, 0), EPERM);
	assert_refused(mr_map_redirect(map, memory, MR_MAP_UNIQUE, 77), EPERM);
	assert_refused(mr_map_redirect(map, NULL, MR_MAP_UNIQUE, 77), EPERM);
	assert_ok(mr_map_unmap(map));
	assert_refused(mr_map_redirect(map, memory, 0, 0), EPERM);
	mr_map_unref(map);
	mr_memory_unref(memory);
}

static void map_that_is_unmapped(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, kind_find("buffer"));
	assert_ok(mr_map_unmap(scene.map));
	assert_refused(mr_map_redirect(scene.map, NULL, 0, 0), ENXIO);
	assert_refused(mr_map_redirect(scene.map, scene.other.memory, MR_MAP_UNIQUE, 77), ENXIO);
	assert_refused(mr_map_redirect(scene.map, NULL, MR_MAP_UNIQUE, 77), ENXIO);
	scene_free(&scene);
}

/* A private mapping of a file that userfaultfd cannot watch: adopted and asked, but not redirected. */
static void adopted_private_mapping_of_a_file(void **state)
{
	int fd = disk_file_with_pattern(length_here(), 1);
	char *address = mmap(NULL, length_here(), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	struct mr_memory *memory = new_buffer();
	struct mr_map *map;

	(void)state;
	assert_ptr_not_equal(address, MAP_FAILED);
	address[0] = 'x';
	map = adopt(address, length_here());
	assert_refused(mr_map_redirect(map, NULL, 0, 0), EOPNOTSUPP);
	assert_refused(mr_map_redirect(map, memory, 0, 0), EOPNOTSUPP);
	assert_refused(mr_map_redirect(map, memory, MR_MAP_PREFAULT, 0), EOPNOTSUPP);
	assert_false(mr_map_is_blocked(map));
	assert_int_equal(address[0], 'x');
	assert_pattern(address + 1, 1, length_here() - 1, 1);
	address[1] = 'y';
	mr_map_unref(map);
	assert_int_equal(address[1], 'y');
	mr_memory_unref(memory);
	munmap(address, length_here());
	close(fd);
}

static void adopted_private_huge_pages(void **state)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	char *address;
	struct mr_map *map;

	(void)state;
	if (kind_missing(kind_find("buffer-huge"))) {
		print_message("skipped: %s\n", kind_missing(kind_find("buffer-huge")));
		skip();
	}
	address = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
	assert_ptr_not_equal(address, MAP_FAILED);
	pattern_fill(address, 0, HUGE_PAGE, 1);
	map = adopt(address, HUGE_PAGE);
	assert_refused(mr_map_redirect(map, NULL, 0, 0), EOPNOTSUPP);
	assert_false(mr_map_is_blocked(map));
	assert_pattern(address, 0, HUGE_PAGE, 1);
	mr_map_unref(map);
	munmap(address, HUGE_PAGE);
}

/* Adopted private memory that is away cannot be shown copy-on-write: it would have to exist twice. */
static void adopted_private_memory_copy_on_write(void **state)
{
	struct scene scene;

	(void)state;
	scene_make(&scene, kind_find("adopted-private"));
	scene_switch(&scene);
	assert_refused(mr_map_redirect(scene.map, scene.sample.memory, MR_MAP_COPY_ON_WRITE, 0), EOPNOTSUPP);
	assert_pattern(scene.address, 0, scene.length, SCENE_NEW);
	assert_memory_pattern(scene.sample.memory, SCENE_OLD);
	scene_restore(&scene);
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	scene_free(&scene);
}

/* The range was torn behind the library's back: nothing more happens to what is left of it. */
static void part_of_an_adopted_range_was_unmapped(void **state)
{
	uint64_t page = page_size();
	struct mr_memory *memory = new_buffer();
	char *address = mmap(NULL, length_here(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mr_map *map;

	(void)state;
	assert_ptr_not_equal(address, MAP_FAILED);
	pattern_fill(address, 0, length_here(), 1);
	map = adopt(address, length_here());
	assert_int_equal(munmap(address + 2 * page, page), 0);
	assert_refused(mr_map_redirect(map, NULL, 0, 0), EFAULT);
	assert_refused(mr_map_redirect(map, memory, 0, 0), EFAULT);
	assert_pattern(address, 0, 2 * page, 1);
	assert_true(access_is_absent(address + 2 * page));
	assert_pattern(address + 3 * page, 3 * page, 3 * page, 1);
	mr_map_unref(map);
	mr_memory_unref(memory);
	munmap(address, length_here());
}

/* Part of the range belongs to another userfaultfd. */
static void part_of_an_adopted_range_is_watched(void **state)
{
	struct uffdio_api api = { .api = UFFD_API };
	uint64_t page = page_size();
	char *address = mmap(NULL, length_here(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct mr_map *map;
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY), result;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
	assert_ptr_not_equal(address, MAP_FAILED);
	pattern_fill(address, 0, length_here(), 1);
	range.range.start = (uintptr_t)address + 2 * page;
	range.range.len = page;
	assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &range), 0);
	map = adopt(address, length_here());
	result = mr_map_redirect(map, NULL, 0, 0);
	assert_true(result == -EBUSY || result == -EOPNOTSUPP);
	assert_false(mr_map_is_blocked(map));
	assert_pattern(address, 0, length_here(), 1);
	mr_map_unref(map);
	close(fd);
	munmap(address, length_here());
}

/* A block takes descriptors and a thread for the first time, and there are none. */
static int block_without_descriptors(struct child *self, void *argument)
{
	const struct rlimit limit = { 64, 64 };
	struct victim *victim;
	struct scene scene;

	(void)self;
	(void)argument;
	scene_make(&scene, kind_find("buffer"));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (dup(STDERR_FILENO) >= 0)
		;
	assert_int_equal(errno, EMFILE);
	assert_error(mr_map_redirect(scene.map, NULL, 0, 0), EMFILE);
	assert_false(mr_map_is_blocked(scene.map));
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	for (int fd = 40; fd < 64; fd++)
		close(fd);
	scene_block(&scene);
	victim = scene_victim(&scene, ACCESS_LOAD, 8);
	scene_restore(&scene);
	scene_victim_end(victim, SCENE_OLD, 8);
	return 0;
}

static void no_descriptor_for_a_block(void **state)
{
	(void)state;
	assert_int_equal(child_run(block_without_descriptors, NULL), 0);
}

/* A user who may have no more processes gets no thread. */
static int block_without_threads(struct child *self, void *argument)
{
	const struct rlimit limit = { 1, 1 };
	struct scene scene;

	(void)self;
	(void)argument;
	assert_true(child_drop_privileges());
	scene_make(&scene, kind_find("buffer"));
	assert_int_equal(setrlimit(RLIMIT_NPROC, &limit), 0);
	assert_refused(mr_map_redirect(scene.map, NULL, 0, 0), EAGAIN);
	assert_false(mr_map_is_blocked(scene.map));
	assert_pattern(scene.address, 0, scene.length, SCENE_OLD);
	return 0;
}

static void no_thread_for_a_block(void **state)
{
	(void)state;
	assert_int_equal(child_run(block_without_threads, NULL), 0);
}

/* The pages of a file that has been cut short meanwhile cannot be filled in. */
static void prefault_of_a_truncated_file(void **state)
{
	int fd = disk_file_with_pattern(length_here(), 2);
	struct mr_memory *cut;
	struct sample sample;

	(void)state;
	sample_make(&sample, kind_find("buffer"), length_here(), 1);
	assert_ok(mr_memory_new_fd(fd, 0, length_here(), 0, &cut));
	assert_int_equal(ftruncate(fd, (off_t)page_size()), 0);
	assert_refused(mr_map_redirect(sample.map, cut, MR_MAP_PREFAULT, 0), EIO);
	assert_ptr_equal(mr_map_memory(sample.map), sample.memory);
	assert_pattern(sample.address, 0, sample.length, 1);
	mr_memory_unref(cut);
	close(fd);
	sample_free(&sample);
}

static const struct CMUnitTest tests[] = {
	TEST(null_map),
	TEST(map_that_is_not_unique),
	TEST(map_that_is_unmapped),
	TEST(adopted_private_mapping_of_a_file),
	TEST(adopted_private_huge_pages),
	TEST(adopted_private_memory_copy_on_write),
	TEST(part_of_an_adopted_range_was_unmapped),
	TEST(part_of_an_adopted_range_is_watched),
	TEST(no_descriptor_for_a_block),
	TEST(no_thread_for_a_block),
	TEST(prefault_of_a_truncated_file),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "redirects that cannot be", tests, COUNT(tests));
}
