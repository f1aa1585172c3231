/* SPDX-License-Identifier: MIT */
/* Every system call and allocation of the library. */
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifdef MR_FAULT_INJECTION
#include "sys/inject.h"

static _Thread_local long countdown;

void mr_inject_arm(long nth)
{
	countdown = nth;
}

bool mr_inject_disarm(void)
{
	bool delivered = countdown == 0;

	countdown = 0;
	return delivered;
}

/* The call that takes the countdown to 0 fails; it stays there, which tells disarm that it was delivered. */
static bool injected(void)
{
	if (countdown <= 0)
		return false;
	return --countdown == 0;
}
#else
static bool injected(void)
{
	return false;
}
#endif

/* The result of a system call as 0 or a count, or as a negative errno. */
static int outcome(long result)
{
	return result < 0 ? -errno : (int)result;
}

uint64_t sys_page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

void *sys_allocate(size_t count, size_t size)
{
	return injected() ? NULL : calloc(count, size);
}

void *sys_resize(void *memory, size_t count, size_t size)
{
	return injected() ? NULL : reallocarray(memory, count, size);
}

void sys_free(void *memory)
{
	free(memory);
}

/*
 * A race detector takes an mmap for a write of whoever calls it to the whole range. That is so for a new range; but over a live map
 * the kernel orders it with the accesses of clients, and the detector, which hooks the C library's function, must not see it.
 */
static void *map_over(uintptr_t address, uint64_t length, int protection, int flags, int fd, uint64_t offset)
{
#ifdef SYS_mmap2
	return (void *)syscall(SYS_mmap2, address, length, protection, flags, fd, offset / 4096);
#else
	return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
#endif
}

int sys_mmap(uintptr_t address, uint64_t length, int protection, int flags, int fd, uint64_t offset, uintptr_t *ret_address)
{
	void *got;

	if (injected())
		return -ENOMEM;
	if (flags & MAP_FIXED)
		got = map_over(address, length, protection, flags, fd, offset);
	else
		got = mmap((void *)address, length, protection, flags, fd, (off_t)offset);
	if (got == MAP_FAILED)
		return -errno;
	*ret_address = (uintptr_t)got;
	return 0;
}

int sys_mremap(uintptr_t from, uint64_t old_length, uint64_t new_length, int flags, uintptr_t to, uintptr_t *ret_address)
{
	void *got;

	if (injected())
		return -ENOMEM;
	got = mremap((void *)from, old_length, new_length, flags, (void *)to);
	if (got == MAP_FAILED)
		return -errno;
	if (ret_address)
		*ret_address = (uintptr_t)got;
	return 0;
}

int sys_munmap(uintptr_t address, uint64_t length)
{
	return outcome(munmap((void *)address, length));
}

int sys_mprotect(uintptr_t address, uint64_t length, int protection)
{
	return injected() ? -ENOMEM : outcome(mprotect((void *)address, length, protection));
}

int sys_madvise(uintptr_t address, uint64_t length, int advice)
{
	int result;

	if (injected())
		return -ENOMEM;
	do
		result = outcome(madvise((void *)address, length, advice));
	while (result == -EINTR || result == -EAGAIN);
	return result;
}

/* By number: sanitizers make the libc's functions do nothing. */
int sys_mlock(uintptr_t address, uint64_t length)
{
	return injected() ? -ENOMEM : outcome(syscall(SYS_mlock, address, length));
}

void sys_munlock(uintptr_t address, uint64_t length)
{
	syscall(SYS_munlock, address, length);
}

int sys_mincore(uintptr_t address, uint64_t length, unsigned char *ret_resident)
{
	return injected() ? -ENOMEM : outcome(mincore((void *)address, length, ret_resident));
}

int sys_memfd(const char *name, unsigned flags)
{
	int fd;

	if (injected())
		return -EMFILE;
	fd = memfd_create(name, flags | MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags | MFD_CLOEXEC);
	return outcome(fd);
}

int sys_dup(int fd)
{
	return injected() ? -EMFILE : outcome(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3));
}

int sys_open(const char *path, int flags)
{
	return injected() ? -EMFILE : outcome(syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0));
}

int sys_open_flags(int fd)
{
	return outcome(syscall(SYS_fcntl, fd, F_GETFL));
}

int sys_truncate(int fd, uint64_t length)
{
	return injected() ? -ENOMEM : outcome(ftruncate(fd, (off_t)length));
}

int sys_stat(int fd, struct stat *ret_stat)
{
	return injected() ? -ENOMEM : outcome(fstat(fd, ret_stat));
}

int sys_stat_path(const char *path, struct stat *ret_stat)
{
	return injected() ? -ENOMEM : outcome(stat(path, ret_stat));
}

int sys_file_system(int fd, uint64_t *ret_magic, uint64_t *ret_block)
{
	struct statfs buffer;

	if (injected())
		return -ENOMEM;
	if (fstatfs(fd, &buffer) < 0)
		return -errno;
	*ret_magic = (uint64_t)(unsigned int)buffer.f_type;
	*ret_block = (uint64_t)buffer.f_bsize;
	return 0;
}

void sys_close(int fd)
{
	if (fd >= 0)
		syscall(SYS_close, fd);
}

ssize_t sys_read(int fd, void *buffer, size_t length)
{
	long result;

	if (injected())
		return -EIO;
	do
		result = syscall(SYS_read, fd, buffer, length);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

ssize_t sys_pread(int fd, void *buffer, size_t length, uint64_t offset)
{
	long result;

	if (injected())
		return -EIO;
	do
		result = syscall(SYS_pread64, fd, buffer, length, offset);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

int sys_write(int fd, const void *buffer, size_t length)
{
	return outcome(syscall(SYS_write, fd, buffer, length));
}

int sys_eventfd(void)
{
	return injected() ? -EMFILE : outcome(syscall(SYS_eventfd2, 0, O_CLOEXEC | O_NONBLOCK));
}

int sys_poll(int first, int second)
{
	struct pollfd both[] = { { .fd = first, .events = POLLIN }, { .fd = second, .events = POLLIN } };

	syscall(SYS_ppoll, both, 2, NULL, NULL, 0);
	return both[1].revents != 0;
}

ssize_t sys_copy_from(void *to, uintptr_t from, size_t length)
{
	struct iovec local = { to, length };
	struct iovec remote = { (void *)from, length };
	ssize_t got;

	if (injected())
		return -ENOMEM;
	got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	return got < 0 ? -errno : got;
}

ssize_t sys_copy_to(uintptr_t to, const void *from, size_t length)
{
	struct iovec local = { (void *)from, length };
	struct iovec remote = { (void *)to, length };
	ssize_t got;

	if (injected())
		return -ENOMEM;
	got = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
	return got < 0 ? -errno : got;
}

ssize_t sys_copy_to_protected(uintptr_t to, const void *from, size_t length)
{
	ssize_t done;
	int fd;

	if (injected())
		return -ENOMEM;
	fd = outcome(syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC, 0));
	if (fd < 0)
		return fd;
	done = syscall(SYS_pwrite64, fd, from, length, to);
	if (done < 0)
		done = -errno;
	sys_close(fd);
	return done;
}

int sys_userfaultfd(int flags)
{
	return injected() ? -EMFILE : outcome(syscall(SYS_userfaultfd, flags));
}

int sys_userfaultfd_device(int flags)
{
	int device, uffd;

	if (injected())
		return -EMFILE;
	device = outcome(syscall(SYS_openat, AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0));
	if (device < 0)
		return device;
	uffd = outcome(ioctl(device, USERFAULTFD_IOC_NEW, flags));
	sys_close(device);
	return uffd;
}

int sys_uffd_api(int uffd, uint64_t features, uint64_t *ret_features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	if (injected())
		return -EINVAL;
	if (ioctl(uffd, UFFDIO_API, &api) < 0)
		return -errno;
	*ret_features = api.features;
	return 0;
}

void sys_uffd_unregister(int uffd, uintptr_t start, uint64_t length)
{
	struct uffdio_range range = { start, length };

	ioctl(uffd, UFFDIO_UNREGISTER, &range);
}

int sys_uffd_register(int uffd, uintptr_t start, uint64_t length, uint64_t modes)
{
	struct uffdio_register range = { .range = { start, length }, .mode = modes };
	int needed = modes & UFFDIO_REGISTER_MODE_WP ? _UFFDIO_WRITEPROTECT : _UFFDIO_ZEROPAGE;

	if (injected())
		return -ENOMEM;
	if (ioctl(uffd, UFFDIO_REGISTER, &range) < 0)
		return -errno;
	if (range.ioctls & UINT64_C(1) << needed)
		return 0;
	sys_uffd_unregister(uffd, start, length);
	return -EINVAL;
}

int sys_uffd_protect(int uffd, uintptr_t start, uint64_t length, bool protect)
{
	struct uffdio_writeprotect range = { { start, length }, protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };

	return protect && injected() ? -ENOMEM : outcome(ioctl(uffd, UFFDIO_WRITEPROTECT, &range));
}

void sys_uffd_wake(int uffd, uintptr_t start, uint64_t length)
{
	struct uffdio_range range = { start, length };

	ioctl(uffd, UFFDIO_WAKE, &range);
}

int sys_thread(void *(*body)(void *), void *argument, void *stack, size_t size, pthread_t *ret_thread)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int error;

	if (injected())
		return -EAGAIN;
	pthread_attr_init(&attributes);
	error = pthread_attr_setstack(&attributes, stack, size);
	if (!error) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(ret_thread, &attributes, body, argument);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	pthread_attr_destroy(&attributes);
	if (!error)
		pthread_setname_np(*ret_thread, "memredirect");
	return -error;
}

bool sys_thread_alive(uint32_t tid)
{
	return syscall(SYS_tgkill, getpid(), tid, 0) == 0;
}

uint64_t sys_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void sys_sleep(uint64_t nanoseconds)
{
	struct timespec left = { (time_t)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000) };

	while (syscall(SYS_nanosleep, &left, &left) < 0 && errno == EINTR)
		;
}
