/* SPDX-License-Identifier: MIT */
/* Backings: each kind of segment, what they refuse, what they cost, and what is left of them. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/memfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "pagemap.h"

#define HUGE (UINT64_C(2) << 20)

/* Files by descriptor: since 6.11. */
static bool has_files(void)
{
	struct utsname name;
	int major, minor;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	return major > 6 || (major == 6 && minor >= 11);
}

static int add(int control, struct memredirect_segment segment, uint32_t flags, uint32_t *ret_id)
{
	return backing_add(control, &segment, 1, flags, 0, ret_id);
}

static struct memredirect_segment of_user(const volatile void *address, uint64_t length)
{
	return (struct memredirect_segment){ .kind = MEMREDIRECT_USER, .offset = (uintptr_t)address, .length = length };
}

static struct memredirect_segment of_file(int fd, uint64_t offset, uint64_t length)
{
	return (struct memredirect_segment){ .kind = MEMREDIRECT_FILE, .fd = fd, .offset = offset, .length = length };
}

static struct memredirect_segment of_kernel(uint64_t length)
{
	return (struct memredirect_segment){ .kind = MEMREDIRECT_KERNEL, .length = length };
}

static volatile uint64_t *anonymous(uint64_t length)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* The map and *beside are the same memory: what one writes, the other reads. */
static void assert_same_memory(volatile uint64_t *map, volatile uint64_t *beside)
{
	static uint64_t value = 1000;

	*beside = ++value;
	assert_int_equal(*map, value);
	*map = ++value;
	assert_int_equal(*beside, value);
}

/* --- kinds --- */

static void pages_of_the_caller_are_its_pages(void **state)
{
	struct scene scene = scene_make(4, 0, 0);
	volatile uint64_t *own = anonymous(6 * PAGE);
	uint32_t id;

	(void)state;
	assert_int_equal(add(scene.control, of_user(own, 6 * PAGE), 0, &id), 0);
	assert_int_equal(redirect_to(scene.control, id, 2 * PAGE, 0), 0);
	for (uint64_t page = 0; page < 4; page++)
		assert_same_memory(scene.at + page * 512 + page, own + (page + 2) * 512 + page);
	scene_end(&scene);
	munmap((void *)own, 6 * PAGE);
}

static void pages_outlive_the_mapping_that_they_came_from(void **state)
{
	struct scene scene = scene_make(1, 0, 0);
	volatile uint64_t *own = anonymous(PAGE);
	uint32_t id;

	(void)state;
	own[0] = 5;
	assert_int_equal(add(scene.control, of_user(own, PAGE), 0, &id), 0);
	munmap((void *)own, PAGE);
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	assert_int_equal(scene.at[0], 5);
	scene_end(&scene);
}

struct other {
	volatile uint64_t *at;
};

_Noreturn static int have_and_wait(struct child *self, void *argument)
{
	const struct other *other = argument;

	other->at[0] = 31;
	child_tell(self);
	for (;;)
		pause();
}

static void pages_of_another_process_are_its_pages(void **state)
{
	struct scene scene = scene_make(1, 0, 0);
	struct other other = { anonymous(PAGE) };
	struct memredirect_segment segment = of_user(other.at, PAGE);
	struct child child;
	uint32_t id;
	int status;

	(void)state;
	other.at[0] = 30;
	assert_true(child_start(&child, have_and_wait, &other));
	assert_true(child_await(&child));
	segment.pid = child.pid;
	assert_int_equal(add(scene.control, segment, 0, &id), 0);
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	assert_int_equal(scene.at[0], 31);
	assert_int_equal(other.at[0], 30);
	kill(child.pid, SIGKILL);
	assert_true(child_wait(&child, &status));
	assert_int_equal(scene.at[0], 31);
	assert_int_equal(add(scene.control, segment, 0, &id), -ESRCH);
	scene_end(&scene);
	munmap((void *)other.at, PAGE);
}

static int memfd(uint64_t length, unsigned int flags)
{
	int fd = memfd_create("driver", MFD_CLOEXEC | flags);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)length), 0);
	return fd;
}

/* By descriptor, or, before that was, by way of a mapping. */
static int add_memfd(int control, int fd, uint64_t offset, uint64_t length, uint32_t *ret_id)
{
	void *at;
	int result;

	if (has_files())
		return add(control, of_file(fd, offset, length), 0, ret_id);
	at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	assert_ptr_not_equal(at, MAP_FAILED);
	result = add(control, of_user(at, length), 0, ret_id);
	munmap(at, length);
	return result;
}

static void a_memfd_is_shown_as_it_is(void **state)
{
	struct scene scene = scene_make(600, 0, 0);
	int fd = memfd(602 * PAGE, 0);
	volatile uint64_t *beside = map_at(fd, 602 * PAGE, PROT_READ | PROT_WRITE);
	uint32_t id;

	(void)state;
	beside[700] = 3;
	assert_int_equal(add_memfd(scene.control, fd, PAGE, 601 * PAGE, &id), 0);
	close(fd);
	assert_int_equal(redirect_to(scene.control, id, PAGE, 0), 0);
	for (uint64_t page = 0; page < 600; page += 13)
		assert_same_memory(scene.at + page * 512, beside + (page + 2) * 512);
	scene_end(&scene);
	munmap((void *)beside, 602 * PAGE);
}

/* What is cut off the file, stays with the map, with its bytes: nobody gets SIGBUS or another's page. */
static void a_memfd_that_is_truncated_keeps_its_pages_in_the_map(void **state)
{
	struct scene scene = scene_make(4, 0, 0);
	int fd = memfd(4 * PAGE, 0);
	uint64_t word = 77;
	uint32_t id;

	(void)state;
	assert_int_equal(pwrite(fd, &word, 8, 3 * PAGE), 8);
	assert_int_equal(add_memfd(scene.control, fd, 0, 4 * PAGE, &id), 0);
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	assert_int_equal(scene.at[0], 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(scene.at[3 * 512], 77);
	scene.at[0] = 1;
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(ftruncate(fd, 8 * PAGE), 0);
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	assert_int_equal(scene.at[0], 1);
	assert_int_equal(pread(fd, &word, 8, 0), 8);
	assert_int_equal(word, 0);
	close(fd);
	scene_end(&scene);
}

static void huge_pages_are_shown_as_they_are(void **state)
{
	struct scene scene = scene_make(512, 0, 0);
	int fd = memfd(2 * HUGE, MFD_HUGETLB);
	volatile uint64_t *beside = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t id;

	(void)state;
	if (beside == MAP_FAILED) {
		print_message("skipped: huge pages are missing here\n");
	} else {
		assert_int_equal(add_memfd(scene.control, fd, 0, 2 * HUGE, &id), 0);
		assert_int_equal(redirect_to(scene.control, id, 5 * PAGE, 0), 0);
		for (uint64_t page = 0; page < 512; page += 37)
			assert_same_memory(scene.at + page * 512, beside + (page + 5) * 512);
		assert_int_equal(revoke_map(scene.control), 0);
		assert_int_equal(backing_del(scene.control, id), 0);
		if (has_files()) {
			assert_int_equal(add(scene.control, of_file(fd, HUGE - PAGE, 3 * PAGE), 0, &id), 0);
			assert_int_equal(backing_del(scene.control, id), 0);
		}
		munmap((void *)beside, 2 * HUGE);
	}
	close(fd);
	scene_end(&scene);
}

static void files_on_disk_can_be_shown_read_only(void **state)
{
	struct scene scene = scene_make(1, 0, MEMREDIRECT_OPEN_READ_ONLY);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	volatile uint64_t *file = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	uint32_t id;

	(void)state;
	assert_ptr_not_equal(file, MAP_FAILED);
	assert_int_equal(add(scene.control, of_user(file, PAGE), MEMREDIRECT_BACKING_READ_ONLY, &id), 0);
	assert_int_equal(redirect_to(scene.control, id, 0, MEMREDIRECT_REDIRECT_READ_ONLY), 0);
	assert_memory_equal((void *)scene.at, (void *)file, PAGE);
	assert_int_equal(add(scene.control, of_user(file, PAGE), 0, &id), -EFAULT);
	assert_int_equal(backing_write(scene.control, id, 0, (void *)file, 8), -EACCES);
	munmap((void *)file, PAGE);
	close(fd);
	scene_end(&scene);
}

static void segments_of_all_kinds_make_one_backing(void **state)
{
	struct scene scene = scene_make(9, 0, 0);
	volatile uint64_t *own = anonymous(4 * PAGE);
	struct memredirect_segment segments[] = { of_user(own, PAGE), of_kernel(2 * PAGE), of_user(own + 512, PAGE),
						  of_kernel(3 * PAGE), of_user(own + 2 * 512, 2 * PAGE) };
	uint64_t first, last;
	uint32_t id;

	(void)state;
	for (uint64_t page = 0; page < 4; page++)
		own[page * 512] = 40 + page;
	assert_int_equal(backing_add(scene.control, segments, COUNT(segments), 0, 0, &id), 0);
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	assert_int_equal(scene.at[0], 40);
	assert_int_equal(scene.at[512], 0);
	assert_int_equal(scene.at[3 * 512], 41);
	assert_int_equal(scene.at[7 * 512], 42);
	assert_int_equal(scene.at[8 * 512], 43);
	assert_int_equal(backing_read(scene.control, id, 7 * PAGE, &first, 8), 0);
	assert_int_equal(backing_read(scene.control, id, 8 * PAGE, &last, 8), 0);
	assert_int_equal(first, 42);
	assert_int_equal(last, 43);
	scene_end(&scene);
	munmap((void *)own, 4 * PAGE);
}

static void fresh_pages_are_zero_and_contiguous_if_asked(void **state)
{
	struct memredirect_segment segment = of_kernel(100 * PAGE);
	struct memredirect_phys phys = REQUEST(phys);
	int control = control_open();
	uint64_t words[512];

	(void)state;
	segment.flags = MEMREDIRECT_SEGMENT_CONTIGUOUS;
	assert_int_equal(add(control, segment, 0, &phys.id), 0);
	for (uint64_t page = 0; page < 100; page++) {
		assert_int_equal(backing_read(control, phys.id, page * PAGE, words, PAGE), 0);
		for (size_t i = 0; i < 512; i++)
			assert_int_equal(words[i], 0);
	}
	phys.offset = 12;
	assert_int_equal(request(control, MEMREDIRECT_GET_PHYS, &phys), 0);
	assert_int_equal(phys.length, 100 * PAGE - 12);
	assert_int_equal((phys.address - 12) % (128 * PAGE), 0);
	assert_int_equal(phys.generation, 0);
	segment.length = UINT64_C(1) << 24;
	assert_int_equal(add(control, segment, 0, NULL), -ENOMEM);
	close(control);
}

/* --- physical addresses --- */

static void physical_addresses_are_those_of_pagemap(void **state)
{
	struct scene scene = scene_make(40, 0, 0);
	volatile uint64_t *own = anonymous(40 * PAGE);
	struct memredirect_phys phys = REQUEST(phys);
	uint32_t id;

	(void)state;
	assert_int_equal(add(scene.control, of_user(own, 40 * PAGE), 0, &id), 0);
	assert_int_equal(request(scene.control, MEMREDIRECT_GET_PHYS, &phys), -ENODATA);
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	for (phys.offset = 8; phys.offset < 40 * PAGE; phys.offset += PAGE) {
		assert_int_equal(peek(scene.at + phys.offset / 8), 0);
		assert_int_equal(request(scene.control, MEMREDIRECT_GET_PHYS, &phys), 0);
		assert_int_equal(phys.address, page_frame((char *)own + phys.offset) * PAGE + 8);
		assert_true(phys.length >= PAGE - 8 && phys.offset + phys.length <= 40 * PAGE);
	}
	assert_int_equal(request(scene.control, MEMREDIRECT_GET_PHYS, &phys), -ERANGE);
	phys.id = 99;
	assert_int_equal(request(scene.control, MEMREDIRECT_GET_PHYS, &phys), -ENOENT);
	phys = (struct memredirect_phys)REQUEST(phys);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(request(scene.control, MEMREDIRECT_GET_PHYS, &phys), 0);
	assert_int_equal(phys.generation, 3);
	scene_end(&scene);
	munmap((void *)own, 40 * PAGE);
}

static void memory_by_its_physical_address_is_that_memory(void **state)
{
	struct scene scene = scene_make(2, 0, 0);
	struct memredirect_segment fresh = of_kernel(2 * PAGE), range = { .kind = MEMREDIRECT_PHYSICAL, .length = 2 * PAGE };
	struct memredirect_phys phys = REQUEST(phys);
	uint32_t id;
	uint64_t word;

	(void)state;
	fresh.flags = MEMREDIRECT_SEGMENT_CONTIGUOUS;
	assert_int_equal(add(scene.control, fresh, 0, &phys.id), 0);
	assert_int_equal(request(scene.control, MEMREDIRECT_GET_PHYS, &phys), 0);
	range.offset = phys.address;
	assert_int_equal(add(scene.control, range, 0, &id), 0);
	assert_int_equal(backing_add(scene.control, &range, 1, 0, MEMREDIRECT_CACHE_INHIBIT, NULL), -EOPNOTSUPP);
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	scene.at[512] = 55;
	assert_int_equal(backing_read(scene.control, phys.id, PAGE, &word, 8), 0);
	assert_int_equal(word, 55);
	scene_end(&scene);
}

/* The memory behind a PCI bus that the virtual machine has (ivshmem): address and length of its third range. */
static bool device_range(struct memredirect_segment *ret_range)
{
	FILE *list = popen("grep -l 0x1110 /sys/bus/pci/devices/*/device 2>/dev/null", "r");
	char path[512] = "", line[128];
	unsigned long start, end;
	FILE *file;
	bool found = false;

	if (list && fgets(path, sizeof(path) - 16, list)) {
		strcpy(strrchr(path, '/'), "/resource");
		file = fopen(path, "r");
		for (int i = 0; file && i < 3; i++)
			found = fgets(line, sizeof(line), file) && i == 2 && sscanf(line, "%lx %lx", &start, &end) == 2;
		if (file)
			fclose(file);
	}
	if (list)
		pclose(list);
	if (found)
		*ret_range = (struct memredirect_segment){ .kind = MEMREDIRECT_PHYSICAL,
							   .offset = start,
							   .length = end + 1 - start };
	return found;
}

/* How the kernel says that it maps an address. */
static bool is_mapped_as(uint64_t address, const char *mode)
{

	FILE *list = fopen("/sys/kernel/debug/x86/pat_memtype_list", "r");
	char line[256], type[64];
	unsigned long start;
	bool found = false;

	while (list && fgets(line, sizeof(line), list))
		if (sscanf(line, "PAT: [mem 0x%lx-%*x] %63s", &start, type) == 2 && start == address && !strcmp(type, mode))
			found = true;
	if (list)
		fclose(list);
	return found;
}

static void devices_are_shown_in_every_cache_mode(void **state)
{
	static const struct {
		uint32_t cache;
		const char *mode;
	} modes[] = { { MEMREDIRECT_CACHE_DEFAULT, "uncached-minus" },
		      { MEMREDIRECT_CACHE_INHIBIT, "uncached" },
		      { MEMREDIRECT_CACHE_WRITE_THROUGH, "write-through" },
		      { MEMREDIRECT_CACHE_COPYBACK, NULL }, /* as the processor's ranges (MTRRs) have it */
		      { MEMREDIRECT_CACHE_WRITE_COMBINE, "write-combining" } };
	struct scene scene = scene_make(2, 0, 0);
	struct memredirect_segment range;
	uint64_t word;
	uint32_t id;

	(void)state;
	if (!device_range(&range)) {
		print_message("skipped: a PCI device with memory (ivshmem) is missing here\n");
		scene_end(&scene);
		return;
	}
	for (size_t i = 0; i < COUNT(modes); i++) {
		assert_int_equal(backing_add(scene.control, &range, 1, 0, modes[i].cache, &id), 0);
		if (modes[i].mode && !access("/sys/kernel/debug/x86/pat_memtype_list", R_OK))
			assert_true(is_mapped_as(range.offset, modes[i].mode));
		assert_int_equal(redirect_to(scene.control, id, PAGE, 0), 0);
		assert_int_equal(poke(scene.at + 3, 90 + i), 90 + i);
		assert_int_equal(backing_read(scene.control, id, PAGE + 24, &word, 8), 0);
		assert_int_equal(word, 90 + i);
		assert_int_equal(backing_write(scene.control, id, PAGE + 32, &word, 8), 0);
		assert_int_equal(peek(scene.at + 4), 90 + i);
		/* Off the device before its mode can be another. */
		assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 0), 0, 0), 0);
		assert_int_equal(backing_del(scene.control, id), 0);
	}
	scene_end(&scene);
}

static void fresh_pages_can_be_uncached(void **state)
{
	struct scene scene = scene_make(2, 0, 0);
	struct memredirect_segment segment = of_kernel(2 * PAGE);
	static const uint32_t modes[] = { MEMREDIRECT_CACHE_INHIBIT, MEMREDIRECT_CACHE_WRITE_COMBINE,
					  MEMREDIRECT_CACHE_COPYBACK };

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++) {
		uint32_t id;
		uint64_t word;

		assert_int_equal(backing_add(scene.control, &segment, 1, 0, modes[i], &id), 0);
		assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
		scene.at[5] = 60 + i;
		assert_int_equal(backing_read(scene.control, id, 40, &word, 8), 0);
		assert_int_equal(word, 60 + i);
	}
	assert_int_equal(backing_add(scene.control, &segment, 1, 0, MEMREDIRECT_CACHE_WRITE_THROUGH, NULL), -EOPNOTSUPP);
	scene_end(&scene);
}

/* --- what is refused --- */

static void segments_that_make_no_sense_are_refused(void **state)
{
	int control = control_open(), fd = memfd(2 * PAGE, 0), here = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	volatile uint64_t *own = anonymous(3 * PAGE);
	static const struct {
		struct memredirect_segment segment;
		int error;
	} wrong[] = {
		{ { .kind = 0, .length = 4096 }, EINVAL },
		{ { .kind = 5, .length = 4096 }, EINVAL },
		{ { .kind = UINT32_MAX, .length = 4096 }, EINVAL },
		{ { .kind = MEMREDIRECT_KERNEL, .length = 0 }, EINVAL },
		{ { .kind = MEMREDIRECT_KERNEL, .length = 4095 }, EINVAL },
		{ { .kind = MEMREDIRECT_KERNEL, .length = 4096, .offset = 4096 }, EINVAL },
		{ { .kind = MEMREDIRECT_KERNEL, .length = 4096, .flags = 2 }, EINVAL },
		{ { .kind = MEMREDIRECT_KERNEL, .length = 4096, .fd = 3 }, EINVAL },
		{ { .kind = MEMREDIRECT_KERNEL, .length = 4096, .pid = 1 }, EINVAL },
		{ { .kind = MEMREDIRECT_KERNEL, .length = UINT64_C(1) << 50 }, ENOMEM },
		{ { .kind = MEMREDIRECT_KERNEL, .length = -UINT64_C(4096) }, EOVERFLOW },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .offset = 1 }, EINVAL },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .fd = 1 }, EINVAL },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .pid = -1 }, EINVAL },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .flags = 1 }, EINVAL },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .offset = 0 }, EFAULT },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .offset = UINT64_C(1) << 47 }, EFAULT },
		{ { .kind = MEMREDIRECT_USER, .length = 8192, .offset = -UINT64_C(4096) }, EOVERFLOW },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .pid = 999999 }, ESRCH },
		{ { .kind = MEMREDIRECT_USER, .length = 4096, .pid = 2 }, ESRCH },
		{ { .kind = MEMREDIRECT_PHYSICAL, .length = 4096, .offset = 1 }, EINVAL },
		{ { .kind = MEMREDIRECT_PHYSICAL, .length = 4096, .offset = UINT64_C(1) << 60 }, EINVAL },
		{ { .kind = MEMREDIRECT_PHYSICAL, .length = UINT64_C(1) << 40 }, EINVAL },
		{ { .kind = MEMREDIRECT_PHYSICAL, .length = 4096, .offset = -UINT64_C(4096) }, EOVERFLOW },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct memredirect_segment both[] = { of_kernel(PAGE), wrong[i].segment };
		int error = backing_add(control, both, 2, 0, 0, NULL);

		if (error != -wrong[i].error)
			print_error("segment %zu\n", i);
		assert_int_equal(error, -wrong[i].error);
	}
	munmap((void *)(own + 2 * 512), PAGE);
	assert_int_equal(add(control, of_user(own, 3 * PAGE), 0, NULL), -EFAULT);
	mprotect((void *)own, PAGE, PROT_READ);
	assert_int_equal(add(control, of_user(own, 2 * PAGE), 0, NULL), -EFAULT);
	if (has_files()) {
		int sealed = memfd(PAGE, MFD_ALLOW_SEALING), reading;
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		reading = open(path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(add(control, of_file(-1, 0, PAGE), 0, NULL), -EBADF);
		assert_int_equal(add(control, of_file(999, 0, PAGE), 0, NULL), -EBADF);
		assert_int_equal(add(control, of_file(here, 0, PAGE), 0, NULL), -EOPNOTSUPP);
		assert_int_equal(add(control, of_file(control, 0, PAGE), 0, NULL), -EOPNOTSUPP);
		assert_int_equal(add(control, of_file(fd, 0, 3 * PAGE), 0, NULL), -EINVAL);
		assert_int_equal(add(control, of_file(fd, 2 * PAGE, PAGE), 0, NULL), -EINVAL);
		assert_int_equal(add(control, of_file(fd, INT64_MAX - PAGE + 1, PAGE), 0, NULL), -EOVERFLOW);
		assert_int_equal(add(control, of_file(reading, 0, PAGE), 0, NULL), -EACCES);
		assert_int_equal(add(control, of_file(reading, 0, PAGE), MEMREDIRECT_BACKING_READ_ONLY, NULL), 0);
		assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
		assert_int_equal(add(control, of_file(sealed, 0, PAGE), 0, NULL), -EPERM);
		assert_int_equal(add(control, of_file(sealed, 0, PAGE), MEMREDIRECT_BACKING_READ_ONLY, NULL), 0);
		/* The last page of a file that ends within it. */
		assert_int_equal(ftruncate(fd, PAGE + 1), 0);
		assert_int_equal(add(control, of_file(fd, 0, 2 * PAGE), 0, NULL), 0);
		close(sealed);
		close(reading);
	} else {
		assert_int_equal(add(control, of_file(fd, 0, PAGE), 0, NULL), -EOPNOTSUPP);
	}
	munmap((void *)own, 2 * PAGE);
	close(here);
	close(fd);
	close(control);
}

static void arrays_that_make_no_sense_are_refused(void **state)
{
	struct memredirect_segment segment = of_kernel(PAGE);
	struct {
		struct memredirect_segment segment;
		uint64_t more;
	} longer = { segment, 0 };
	struct memredirect_add_backing request_add =
		REQUEST(add_backing, .segments = (uintptr_t)&longer, .count = 1, .segment_size = sizeof(segment) - 1);
	int control = control_open();

	(void)state;
	assert_int_equal(request(control, MEMREDIRECT_ADD_BACKING, &request_add), -EINVAL);
	request_add.segment_size = 4097;
	assert_int_equal(request(control, MEMREDIRECT_ADD_BACKING, &request_add), -E2BIG);
	request_add.segment_size = sizeof(longer);
	assert_int_equal(request(control, MEMREDIRECT_ADD_BACKING, &request_add), 0);
	longer.more = 1;
	assert_int_equal(request(control, MEMREDIRECT_ADD_BACKING, &request_add), -E2BIG);
	assert_int_equal(backing_add(control, &segment, 0, 0, 0, NULL), -EINVAL);
	assert_int_equal(backing_add(control, &segment, MEMREDIRECT_MAX_SEGMENTS + 1, 0, 0, NULL), -E2BIG);
	assert_int_equal(backing_add(control, NULL, 1, 0, 0, NULL), -EFAULT);
	assert_int_equal(backing_add(control, &segment, 1, 0, 5, NULL), -EINVAL);
	segment = of_user(&segment, PAGE);
	segment.offset &= -PAGE;
	assert_int_equal(backing_add(control, &segment, 1, 0, MEMREDIRECT_CACHE_INHIBIT, NULL), -EOPNOTSUPP);
	close(control);
}

/* --- limits --- */

static void drop_capability(unsigned int capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		_exit(90);
	data[capability / 32].effective &= ~(1U << capability % 32);
	if (syscall(SYS_capset, &header, data))
		_exit(91);
}

static uint64_t locked_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long kib = UINT64_MAX;

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "VmLck: %lu kB", &kib);
	if (file)
		fclose(file);
	return kib;
}

static int reach_the_limit(struct child *self, void *argument)
{
	const struct rlimit limit = { 10 * PAGE, 10 * PAGE };
	volatile uint64_t *own = anonymous(16 * PAGE);
	int control = control_open();
	uint32_t id;

	(void)self;
	(void)argument;
	setrlimit(RLIMIT_MEMLOCK, &limit);
	drop_capability(CAP_IPC_LOCK);
	for (int i = 0; i < 3; i++) {
		if (locked_kib() != 0)
			return 1;
		if (add(control, of_user(own, 11 * PAGE), 0, &id) != -ENOMEM || locked_kib() != 0)
			return 2;
		if (add(control, of_user(own, 10 * PAGE), 0, &id) || locked_kib() != 40)
			return 3;
		if (add(control, of_user(own, PAGE), 0, NULL) != -ENOMEM || locked_kib() != 40)
			return 4;
		if (backing_del(control, id) || locked_kib() != 0)
			return 5;
		/* One that fails after it has been charged. */
		munmap((void *)(own + 15 * 512), PAGE);
		if (add(control, of_user(own + 10 * 512, 6 * PAGE), 0, NULL) != -EFAULT || locked_kib() != 0)
			return 6;
	}
	if (add(control, of_user(own, 5 * PAGE), 0, NULL) || close(control) || locked_kib() != 0)
		return 7;
	return 0;
}

static void locked_pages_are_charged_and_given_back(void **state)
{
	(void)state;
	assert_int_equal(child_run(reach_the_limit, NULL), 0);
}

static int ask_without(struct child *self, void *argument)
{
	volatile uint64_t *own = anonymous(PAGE);
	struct memredirect_segment segment = of_user(own, PAGE), range = { .kind = MEMREDIRECT_PHYSICAL, .length = PAGE };
	struct memredirect_phys phys = REQUEST(phys);
	int control = control_open();

	(void)self;
	(void)argument;
	segment.pid = getppid();
	drop_capability(CAP_SYS_PTRACE);
	if (add(control, segment, 0, NULL) != -EPERM)
		return 1;
	segment.pid = getpid();
	if (add(control, segment, 0, &phys.id))
		return 2;
	drop_capability(CAP_SYS_RAWIO);
	if (add(control, range, 0, NULL) != -EPERM)
		return 3;
	drop_capability(CAP_SYS_ADMIN);
	return request(control, MEMREDIRECT_GET_PHYS, &phys) == -EPERM ? 0 : 4;
}

static void capabilities_are_asked_for(void **state)
{
	(void)state;
	assert_int_equal(child_run(ask_without, NULL), 0);
}

static int open_as_nobody(struct child *self, void *argument)
{
	(void)self;
	(void)argument;
	return child_drop_privileges() && open(MEMREDIRECT_DEVICE, O_RDWR) < 0 && errno == EACCES ? 0 : 1;
}

static void the_device_is_roots_alone(void **state)
{
	(void)state;
	assert_int_equal(child_run(open_as_nobody, NULL), 0);
}

static void identifiers_come_and_go(void **state)
{
	int control = control_open();
	struct memredirect_segment segment = of_kernel(PAGE);
	uint32_t ids[100];

	(void)state;
	for (size_t i = 0; i < COUNT(ids); i++)
		assert_int_equal(add(control, segment, 0, &ids[i]), 0);
	for (size_t i = 0; i < COUNT(ids); i++)
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(ids[i], ids[j]);
	for (size_t i = 0; i < COUNT(ids); i += 2)
		assert_int_equal(backing_del(control, ids[i]), 0);
	for (size_t i = 0; i < COUNT(ids); i++)
		assert_int_equal(backing_del(control, ids[i]), i % 2 ? 0 : -ENOENT);
	assert_int_equal(backing_del(control, 0), -ENOENT);
	close(control);
}

static void what_is_shown_cannot_be_deleted(void **state)
{
	struct scene scene = scene_make(1, 0, 0);
	uint32_t id = backing_fresh(scene.control, 1, 1), other = backing_fresh(scene.control, 1, 2);

	(void)state;
	assert_int_equal(redirect_to(scene.control, id, 0, 0), 0);
	assert_int_equal(backing_del(scene.control, id), -EBUSY);
	assert_int_equal(peek(scene.at), 1);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(backing_del(scene.control, id), -EBUSY);
	assert_int_equal(redirect_to(scene.control, other, 0, 0), 0);
	assert_int_equal(backing_del(scene.control, id), 0);
	assert_int_equal(peek(scene.at), 2);
	scene_end(&scene);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(pages_of_the_caller_are_its_pages),
		TEST(pages_outlive_the_mapping_that_they_came_from),
		TEST(pages_of_another_process_are_its_pages),
		TEST(a_memfd_is_shown_as_it_is),
		TEST(a_memfd_that_is_truncated_keeps_its_pages_in_the_map),
		TEST(huge_pages_are_shown_as_they_are),
		TEST(files_on_disk_can_be_shown_read_only),
		TEST(segments_of_all_kinds_make_one_backing),
		TEST(fresh_pages_are_zero_and_contiguous_if_asked),
		TEST(physical_addresses_are_those_of_pagemap),
		TEST(memory_by_its_physical_address_is_that_memory),
		TEST(devices_are_shown_in_every_cache_mode),
		TEST(fresh_pages_can_be_uncached),
		TEST(segments_that_make_no_sense_are_refused),
		TEST(arrays_that_make_no_sense_are_refused),
		TEST(locked_pages_are_charged_and_given_back),
		TEST(capabilities_are_asked_for),
		TEST(the_device_is_roots_alone),
		TEST(identifiers_come_and_go),
		TEST(what_is_shown_cannot_be_deleted),
	};
	int missing = device_missing();

	return missing ? missing : suite_run(argc, argv, "backings of the driver", tests, COUNT(tests));
}
