/* SPDX-License-Identifier: MIT */
/* Files and addresses to make samples of. */
#include "kind.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pattern.h"
#include "suite.h"

uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

void *free_place(uint64_t length, uint64_t align)
{
	char *place = mmap(NULL, length + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(place, MAP_FAILED);
	munmap(place, length + align);
	return place + (align - (uintptr_t)place % align) % align;
}

static int unnamed_file(const char *folder, uint64_t length)
{
	char path[512];
	int fd;

	if (snprintf(path, sizeof(path), "%s/memredirect-test-XXXXXX", folder) >= (int)sizeof(path))
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -1;
	unlink(path);
	if (ftruncate(fd, (off_t)length) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool is_tmpfs(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

int disk_file(uint64_t length)
{
	const char *folders[] = { getenv("TMPDIR"), "/var/tmp", "/tmp" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		int fd = folders[i] ? unnamed_file(folders[i], length) : -1;

		if (fd >= 0 && !is_tmpfs(fd))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -1;
}

int tmpfs_file(uint64_t length)
{
	int fd = unnamed_file("/dev/shm", length);

	if (fd < 0 || is_tmpfs(fd))
		return fd;
	close(fd);
	return -1;
}

int reopen_read_only(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Piece by piece: an allocation of any size might take a place that was found free. */
static void write_pattern(int fd, uint64_t length, unsigned seed)
{
	char bytes[4096];

	for (uint64_t at = 0; at < length; at += sizeof(bytes)) {
		uint64_t count = length - at < sizeof(bytes) ? length - at : sizeof(bytes);

		pattern_fill(bytes, at, count, seed);
		assert_int_equal(pwrite(fd, bytes, count, (off_t)at), count);
	}
}

int memfd_with_pattern(uint64_t length, unsigned seed)
{
	int fd = memfd_create("pattern", MFD_CLOEXEC);

	assert_true(fd >= 0);
	write_pattern(fd, length, seed);
	return fd;
}

int disk_file_with_pattern(uint64_t length, unsigned seed)
{
	int fd = disk_file(length);

	assert_true(fd >= 0);
	write_pattern(fd, length, seed);
	return fd;
}
