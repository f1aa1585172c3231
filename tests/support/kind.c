/* SPDX-License-Identifier: MIT */
/* The kinds of memory that a map can show: how each is made. */
#include "kind.h"

#include <errno.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"
#include "suite.h"
#include "thread.h"

static void make_buffer_with(struct backing *backing, unsigned seed, uint32_t options)
{
	char *bytes = malloc(backing->length);

	assert_non_null(bytes);
	pattern_fill(bytes, 0, backing->length, seed);
	assert_ok(mr_memory_new_buffer(backing->length, options, &backing->memory));
	assert_ok(mr_memory_write(backing->memory, 0, bytes, backing->length));
	free(bytes);
}

static void make_buffer(struct backing *backing, unsigned seed, void *place)
{
	(void)place;
	make_buffer_with(backing, seed, 0);
}

static void make_buffer_huge(struct backing *backing, unsigned seed, void *place)
{
	(void)place;
	make_buffer_with(backing, seed, MR_MEMORY_HUGE_2M);
}

/* The descriptor stays open, as a second way to the bytes. */
static void make_of_fd(struct backing *backing, int fd, uint32_t options)
{
	assert_true(fd >= 0);
	assert_ok(mr_memory_new_fd(fd, 0, backing->length, options, &backing->memory));
	backing->fd = fd;
}

static void make_memfd(struct backing *backing, unsigned seed, void *place)
{
	(void)place;
	make_of_fd(backing, memfd_with_pattern(backing->length, seed), 0);
}

static void fill_by_map(int fd, uint64_t length, unsigned seed)
{
	char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(bytes, MAP_FAILED);
	pattern_fill(bytes, 0, length, seed);
	munmap(bytes, length);
}

static void make_file_tmpfs(struct backing *backing, unsigned seed, void *place)
{
	int fd = tmpfs_file(backing->length);

	(void)place;
	assert_true(fd >= 0);
	fill_by_map(fd, backing->length, seed);
	make_of_fd(backing, fd, 0);
}

static void make_file_disk(struct backing *backing, unsigned seed, void *place)
{
	(void)place;
	make_of_fd(backing, disk_file_with_pattern(backing->length, seed), 0);
}

static void make_file_read_only(struct backing *backing, unsigned seed, void *place)
{
	int writable = disk_file_with_pattern(backing->length, seed);

	(void)place;
	make_of_fd(backing, reopen_read_only(writable), MR_MEMORY_READ_ONLY);
	close(writable);
}

static void make_huge_fd(struct backing *backing, unsigned seed, void *place)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

	(void)place;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)backing->length), 0);
	fill_by_map(fd, backing->length, seed);
	make_of_fd(backing, fd, 0);
}

/* A window from the fourth page on, with other bytes on both sides. */
static void make_sub(struct backing *backing, unsigned seed, void *place)
{
	uint64_t lead = 3 * page_size();
	struct mr_memory *whole;
	char *bytes = calloc(1, backing->length + 2 * lead);

	(void)place;
	assert_non_null(bytes);
	pattern_fill(bytes + lead, 0, backing->length, seed);
	assert_ok(mr_memory_new_buffer(backing->length + 2 * lead, 0, &whole));
	assert_ok(mr_memory_write(whole, 0, bytes, backing->length + 2 * lead));
	assert_ok(mr_memory_new_sub(whole, lead, backing->length, 0, &backing->memory));
	backing->parts[0] = whole;
	free(bytes);
}

/* A page of a buffer, a page of a file, and a memfd for the rest. */
static void make_multi(struct backing *backing, unsigned seed, void *place)
{
	uint64_t page = page_size(), rest = backing->length - 2 * page;
	char *bytes = malloc(backing->length);
	int file = kind_space ? tmpfs_file(page) : disk_file(page), memfd = memfd_create("part", MFD_CLOEXEC);

	(void)place;
	assert_non_null(bytes);
	assert_true(file >= 0 && memfd >= 0 && backing->length > 2 * page);
	assert_int_equal(ftruncate(memfd, (off_t)rest), 0);
	pattern_fill(bytes, 0, backing->length, seed);
	assert_ok(mr_memory_new_buffer(page, 0, &backing->parts[0]));
	assert_ok(mr_memory_new_fd(file, 0, page, 0, &backing->parts[1]));
	assert_ok(mr_memory_new_fd(memfd, 0, rest, 0, &backing->parts[2]));
	assert_ok(mr_memory_new_multi(backing->parts, 3, 0, &backing->memory));
	assert_ok(mr_memory_write(backing->memory, 0, bytes, backing->length));
	close(file);
	close(memfd);
	free(bytes);
}

/* A pager's bytes are kept in a memfd. */
static int read_store(void *argument, uint64_t offset, void *buffer, uint64_t length)
{
	return pread((int)(intptr_t)argument, buffer, length, (off_t)offset) == (ssize_t)length ? 0 : -EIO;
}

static int write_store(void *argument, uint64_t offset, const void *buffer, uint64_t length)
{
	return pwrite((int)(intptr_t)argument, buffer, length, (off_t)offset) == (ssize_t)length ? 0 : -EIO;
}

static void release_store(void *argument)
{
	close((int)(intptr_t)argument);
}

static void make_pager(struct backing *backing, unsigned seed, void *place)
{
	int store = memfd_with_pattern(backing->length, seed);
	struct mr_pager pager = {
		.size = sizeof(pager),
		.block = page_size(),
		.read = read_store,
		.write = write_store,
		.release = release_store,
		.arg = (void *)(intptr_t)store,
	};

	(void)place;
	assert_true(store >= 0);
	assert_ok(mr_memory_new_pager(&pager, backing->length, 0, 0, &backing->memory));
	assert_true(threads_settle());
}

static const char *missing_paging(void)
{
	struct mr_pager pager = { .size = sizeof(pager), .read = read_store };
	struct mr_memory *memory;

	if (mr_memory_new_pager(&pager, 1, 0, 0, &memory) == -EOPNOTSUPP)
		return "a userfaultfd that can watch shared memory (Linux 5.19)";
	mr_memory_unref(memory);
	return features()->kernel_faults ? NULL : "a userfaultfd for accesses of the kernel";
}

static void map_range(struct backing *backing, unsigned seed, void *place, int flags, int fd)
{
	flags |= place ? MAP_FIXED_NOREPLACE : 0;
	backing->range = mmap(place, backing->length, PROT_READ | PROT_WRITE, flags, fd, 0);
	assert_ptr_not_equal(backing->range, MAP_FAILED);
	if (fd < 0)
		pattern_fill(backing->range, 0, backing->length, seed);
}

static void make_of_range(struct backing *backing)
{
	struct mr_range range = { (uintptr_t)backing->range, backing->length };

	assert_ok(mr_memory_new_ranges(NULL, &range, 1, 0, &backing->memory));
}

static void make_ranges(struct backing *backing, unsigned seed, void *place)
{
	(void)place;
	map_range(backing, seed, NULL, MAP_SHARED | MAP_ANONYMOUS, -1);
	make_of_range(backing);
}

static void make_ranges_file(struct backing *backing, unsigned seed, void *place)
{
	(void)place;
	backing->fd = disk_file_with_pattern(backing->length, seed);
	map_range(backing, seed, NULL, MAP_SHARED, backing->fd);
	make_of_range(backing);
}

/* The adopted ones: the range alone; the map makes the memory. */
static void make_adopted_private(struct backing *backing, unsigned seed, void *place)
{
	map_range(backing, seed, place, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void make_adopted_shared(struct backing *backing, unsigned seed, void *place)
{
	map_range(backing, seed, place, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static void make_adopted_file(struct backing *backing, unsigned seed, void *place)
{
	backing->fd = disk_file_with_pattern(backing->length, seed);
	map_range(backing, seed, place, MAP_SHARED, backing->fd);
}

/* Private memory up to the last page, which is of a memfd. */
static void make_adopted_mixed(struct backing *backing, unsigned seed, void *place)
{
	uint64_t page = page_size(), before = backing->length - page;
	int fd = memfd_create("last", MFD_CLOEXEC);
	char *last;

	assert_true(fd >= 0 && ftruncate(fd, (off_t)page) == 0);
	map_range(backing, seed, place, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	last = mmap(backing->range + before, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	assert_ptr_equal(last, backing->range + before);
	pattern_fill(last, before, page, seed);
	close(fd);
}

/* Private memory of this process, which the driver alone can map a second time. */
static void make_private(struct backing *backing, unsigned seed, void *place)
{
	(void)place;
	map_range(backing, seed, NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	make_of_range(backing);
}

static const char *missing_disk(void)
{
	int fd = disk_file(1);

	if (fd < 0)
		return "a folder on a disk's file system (TMPDIR or /var/tmp)";
	close(fd);
	return NULL;
}

static const char *missing_tmpfs(void)
{
	int fd = tmpfs_file(1);

	if (fd < 0)
		return "tmpfs at /dev/shm";
	close(fd);
	return NULL;
}

/* Its one file is a disk's, but for the driver, which shows those read-only alone. */
static const char *missing_multi(void)
{
	return kind_space ? missing_tmpfs() : missing_disk();
}

static const char *missing_huge(void)
{
	if (!features()->huge_2m_supported)
		return "huge pages of 2 MiB";
	return features()->huge_2m_free < 8 ? "8 free huge pages of 2 MiB (vm.nr_hugepages)" : NULL;
}

const struct kind kinds[] = {
	{ .name = "buffer", .make = make_buffer },
	{ .name = "buffer-huge", .make = make_buffer_huge, .huge = true, .missing = missing_huge },
	{ .name = "memfd", .make = make_memfd },
	{ .name = "file-tmpfs", .make = make_file_tmpfs, .missing = missing_tmpfs },
	{ .name = "file-disk",
	  .make = make_file_disk,
	  .missing = missing_disk,
	  .not_by_driver = "shows pages of a disk's files MR_MAP_READ_ONLY alone" },
	{ .name = "file-read-only", .make = make_file_read_only, .access = MR_MAP_READ_ONLY, .missing = missing_disk },
	{ .name = "huge-fd", .make = make_huge_fd, .huge = true, .missing = missing_huge },
	{ .name = "sub", .make = make_sub },
	{ .name = "multi", .make = make_multi, .missing = missing_multi },
	{ .name = "pager", .make = make_pager, .stays = true, .missing = missing_paging },
	{ .name = "ranges", .make = make_ranges },
	{ .name = "ranges-file",
	  .make = make_ranges_file,
	  .missing = missing_disk,
	  .not_by_driver = "shows pages of a disk's files MR_MAP_READ_ONLY alone" },
	{ .name = "ranges-private", .make = make_private, .driver = true },
	{ .name = "cow-buffer", .make = make_buffer, .access = MR_MAP_COPY_ON_WRITE, .detached = true },
	{ .name = "cow-file",
	  .make = make_file_disk,
	  .access = MR_MAP_COPY_ON_WRITE,
	  .detached = true,
	  .missing = missing_disk },
	{ .name = "cow-multi", .make = make_multi, .access = MR_MAP_COPY_ON_WRITE, .detached = true, .missing = missing_disk },
	{ .name = "cow-pager",
	  .make = make_pager,
	  .stays = true,
	  .access = MR_MAP_COPY_ON_WRITE,
	  .detached = true,
	  .missing = missing_paging },
	{ .name = "cow-huge",
	  .make = make_buffer_huge,
	  .access = MR_MAP_COPY_ON_WRITE,
	  .detached = true,
	  .huge = true,
	  .missing = missing_huge },
	{ .name = "adopted-private", .make = make_adopted_private, .adopted = true, .singular = true },
	{ .name = "adopted-shared", .make = make_adopted_shared, .adopted = true },
	{ .name = "adopted-file", .make = make_adopted_file, .adopted = true, .missing = missing_disk },
	{ .name = "adopted-mixed", .make = make_adopted_mixed, .adopted = true, .singular = true },
};

const size_t kind_count = sizeof(kinds) / sizeof(kinds[0]);

const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < kind_count; i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static const char *missing_for_driver(const struct kind *kind)
{
	if (features()->driver != MR_DRIVER_READY)
		return "the driver (/dev/memredirect)";
	if (kind->access & MR_MAP_COPY_ON_WRITE)
		return "copy on write, which maps of the driver's do not have,";
	if (kind->adopted)
		return "adopting, which the driver does not do,";
	if (strstr(kind->name, "pager"))
		return "memory of pagers, whose pages come and go, in maps of the driver's,";
	return kind->not_by_driver;
}

const char *kind_missing(const struct kind *kind)
{
	const char *missing = kind_space ? missing_for_driver(kind) : NULL;

	if (kind->driver && !kind_space)
		return "MR_MAP_DRIVER, without which private memory is not mapped twice,";
	if (missing)
		return missing;
	return kind->missing ? kind->missing() : NULL;
}

uint32_t kind_space;

uint64_t kind_unit(const struct kind *kind)
{
	return kind->huge ? HUGE_PAGE : page_size();
}

bool kind_large;

uint64_t kind_length(const struct kind *kind)
{
	if (kind->huge)
		return 2 * HUGE_PAGE;
	return kind_large ? HUGE_PAGE + HUGE_PAGE / 2 + 5 * page_size() : 8 * page_size();
}

bool kind_writable(const struct kind *kind)
{
	return !(kind->access & MR_MAP_READ_ONLY);
}
