/* SPDX-License-Identifier: MIT */
/* Every system call and allocation of the library. */
#include "sys/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef MR_FAULT_INJECTION
#include "sys/inject.h"

static _Thread_local long countdown, death;
static pid_t doomed;

void mr_inject_arm(long nth)
{
	countdown = nth;
}

void mr_inject_arm_death(long nth)
{
	doomed = getpid();
	death = nth;
}

bool mr_inject_disarm(void)
{
	bool delivered = countdown == 0;

	countdown = death = 0;
	return delivered;
}

/* The call that takes the countdown to 0 fails; it stays there, which tells disarm that it was delivered. */
static void step(void)
{
	if (death <= 0 || --death)
		return;
	kill(doomed, SIGKILL);
	syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

static bool injected(void)
{
	step();
	if (countdown <= 0)
		return false;
	return --countdown == 0;
}
#else
static void step(void)
{
}

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

int sys_request(int fd, unsigned long request, void *argument)
{
	return injected() ? -ENOMEM : outcome(ioctl(fd, request, argument));
}

void sys_request_release(int fd, unsigned long request, void *argument)
{
	ioctl(fd, request, argument);
}

int sys_munmap(uintptr_t address, uint64_t length)
{
	step();
	return outcome(munmap((void *)address, length));
}

int sys_mprotect(uintptr_t address, uint64_t length, int protection)
{
	return injected() ? -ENOMEM : outcome(mprotect((void *)address, length, protection));
}

int sys_bind(uintptr_t address, uint64_t length, unsigned node)
{
	unsigned long mask[1024 / (8 * sizeof(long))] = { 0 };
	unsigned bits = 8 * sizeof(long);

	if (injected())
		return -ENOMEM;
	if (node >= 1024)
		return -EINVAL;
	mask[node / bits] = 1UL << node % bits;
	return outcome((int)syscall(SYS_mbind, address, length, MPOL_BIND, mask, 1025, 0));
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
	step();
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

ssize_t sys_pwrite(int fd, const void *buffer, size_t length, uint64_t offset)
{
	long result;

	if (injected())
		return -EIO;
	do
		result = syscall(SYS_pwrite64, fd, buffer, length, offset);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

int sys_write(int fd, const void *buffer, size_t length)
{
	return outcome(syscall(SYS_write, fd, buffer, length));
}

int sys_punch(int fd, uint64_t offset, uint64_t length)
{
	return injected() ? -ENOMEM
			  : outcome(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length));
}

int sys_sync_data(int fd)
{
	return injected() ? -EIO : outcome(syscall(SYS_fdatasync, fd));
}

int sys_write_pipe(int fd, const void *buffer, size_t length)
{
	const struct timespec now = { 0 };
	sigset_t pipe, before, pending;
	int result;

	step();
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	result = sys_write(fd, buffer, length);
	if (result == -EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

int sys_lock(int fd)
{
	return outcome(flock(fd, LOCK_EX | LOCK_NB));
}

void sys_unlock(int fd)
{
	step();
	flock(fd, LOCK_UN);
}

bool sys_await(int fd, uint64_t nanoseconds)
{
	struct timespec left = { .tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000) };
	struct pollfd one = { .fd = fd, .events = POLLIN };

	step();
	return syscall(SYS_ppoll, &one, 1, &left, NULL, 0) > 0;
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

pid_t sys_pid(void)
{
	return (pid_t)syscall(SYS_getpid);
}

int sys_pidfd(pid_t pid)
{
	return injected() ? -EMFILE : outcome(syscall(SYS_pidfd_open, pid, 0));
}

bool sys_pidfd_alive(int pidfd)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	struct timespec now = { 0 };

	return syscall(SYS_ppoll, &end, 1, &now, NULL, 0) == 0;
}

/* Bits that Debian's headers lack: PIDFD_THREAD is O_EXCL. */
int sys_pidfd_of_thread(pid_t tid)
{
	return injected() ? -EMFILE : outcome(syscall(SYS_pidfd_open, tid, O_EXCL));
}

int sys_take_descriptor(int pidfd, int fd)
{
	return injected() ? -EMFILE : outcome(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
}

int sys_send_descriptor(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(8))) = { 0 }, byte = 0;
	struct iovec bytes = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (injected())
		return -ENOMEM;
	return syscall(SYS_sendmsg, socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int sys_helper(int (*body)(void *), void *argument, uintptr_t stack_end)
{
	sigset_t all, before;
	int pid, status;

	if (injected())
		return -EAGAIN;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = outcome(clone(body, (void *)stack_end, CLONE_VM | CLONE_VFORK | CLONE_FILES, argument));
	while (pid > 0 && syscall(SYS_wait4, pid, &status, __WALL, NULL) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? pid : 0;
}

bool sys_die_with(pid_t parent)
{
	step();
	return !prctl(PR_SET_PDEATHSIG, SIGKILL) && syscall(SYS_getppid) == parent;
}

int sys_own_descriptors(void)
{
	return injected() ? -ENOMEM : outcome(unshare(CLONE_FILES));
}

void sys_exit(void)
{
	step();
	syscall(SYS_exit, 0);
}

int sys_wait_thread(pid_t tid, int *ret_status)
{
	return outcome(syscall(SYS_wait4, tid, ret_status, __WALL | WNOHANG, NULL));
}

int sys_each_number(const char *folder, int (*each)(void *argument, pid_t number), void *argument)
{
	DIR *directory = injected() ? NULL : opendir(folder);
	struct dirent *entry;
	int result = 0;

	if (!directory)
		return -errno;
	while (!result && (entry = readdir(directory)))
		if (*entry->d_name >= '0' && *entry->d_name <= '9')
			result = each(argument, (pid_t)strtol(entry->d_name, NULL, 10));
	closedir(directory);
	return result;
}

ssize_t sys_read_link(const char *path, char *ret_name, size_t room)
{
	ssize_t length = readlink(path, ret_name, room);

	step();
	return length < 0 ? -errno : length;
}

static int trace(int request, pid_t tid, uintptr_t address, uintptr_t data)
{
	return outcome(syscall(SYS_ptrace, request, tid, address, data));
}

int sys_ptrace_seize(pid_t tid)
{
	return injected() ? -EPERM : trace(PTRACE_SEIZE, tid, 0, 0);
}

int sys_ptrace_interrupt(pid_t tid)
{
	step();
	return trace(PTRACE_INTERRUPT, tid, 0, 0);
}

int sys_ptrace_continue(pid_t tid, int signal)
{
	step();
	return trace(PTRACE_CONT, tid, 0, (uintptr_t)signal);
}

void sys_signal_thread(pid_t process, pid_t tid, int signal)
{
	syscall(SYS_tgkill, process, tid, signal);
}

void sys_ptrace_detach(pid_t tid, int signal)
{
	step();
	trace(PTRACE_DETACH, tid, 0, (uintptr_t)signal);
}

ssize_t sys_ptrace_get(pid_t tid, unsigned type, void *buffer, size_t size)
{
	struct iovec bytes = { buffer, size };
	int error = injected() ? -EIO : trace(PTRACE_GETREGSET, tid, type, (uintptr_t)&bytes);

	return error ? error : (ssize_t)bytes.iov_len;
}

int sys_ptrace_set(pid_t tid, unsigned type, const void *buffer, size_t size)
{
	struct iovec bytes = { (void *)buffer, size };

	return injected() ? -EIO : trace(PTRACE_SETREGSET, tid, type, (uintptr_t)&bytes);
}

int sys_ptrace_get_mask(pid_t tid, uint64_t *ret_mask)
{
	return injected() ? -EIO : trace(PTRACE_GETSIGMASK, tid, sizeof(*ret_mask), (uintptr_t)ret_mask);
}

bool sys_run_first(pid_t tid, bool first)
{
	struct sched_param parameter = { .sched_priority = first ? 1 : 0 };

	step();
	return !syscall(SYS_sched_setscheduler, tid, first ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER, &parameter);
}

void sys_run_last(pid_t tid)
{
	step();
	setpriority(PRIO_PROCESS, (id_t)tid, 10);
}

/*
 * Copies by process_vm_readv(2) and process_vm_writev(2) within this process. They are called without libc's functions, which sanitizers take over:
 * copying what clients write meanwhile is no race, for who copies sees to it that what was written is copied again.
 */
static ssize_t copy_within(long call, const struct iovec *local, const struct iovec *remote)
{
	return syscall(call, getpid(), local, 1UL, remote, 1UL, 0UL);
}

/*
 * The remote side of such a copy is pinned, which the kernel refuses for mappings of bare page numbers, as those of the driver's are; its local
 * side is accessed as by any system call. Both are this process, so they change places before an error is believed.
 */
ssize_t sys_copy_in(void *own, const void *from, size_t length)
{
	struct iovec local = { (void *)from, length };
	struct iovec remote = { own, length };
	ssize_t got;

	if (injected())
		return -ENOMEM;
	got = copy_within(SYS_process_vm_writev, &local, &remote);
	if (got < 0 && errno == EFAULT)
		got = copy_within(SYS_process_vm_readv, &remote, &local);
	return got < 0 ? -errno : got;
}

ssize_t sys_copy_out(void *to, const void *own, size_t length)
{
	struct iovec local = { to, length };
	struct iovec remote = { (void *)own, length };
	ssize_t got;

	if (injected())
		return -ENOMEM;
	got = copy_within(SYS_process_vm_readv, &local, &remote);
	if (got < 0 && errno == EFAULT)
		got = copy_within(SYS_process_vm_writev, &remote, &local);
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

struct scan_argument {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, anyof, returned;
};

#define PAGEMAP_SCAN_NEW _IOWR('f', 16, struct scan_argument)
#define SCAN_PROTECT	 (UINT64_C(1) << 0)
#define SCAN_CHECK	 (UINT64_C(1) << 1)

int sys_pagemap_scan(int pagemap, struct sys_scan *scan, struct sys_page_region *ret_regions, size_t room)
{
	struct scan_argument argument = { .size = sizeof(argument), .start = scan->start, .end = scan->end };
	int count;

	argument.flags = scan->protect ? SCAN_PROTECT | SCAN_CHECK : 0;
	argument.vec = (uintptr_t)ret_regions;
	argument.vec_len = room;
	argument.inverted = scan->none;
	argument.mask = scan->none;
	argument.anyof = scan->any;
	argument.returned = scan->any;
	count = injected() ? -EIO : outcome(ioctl(pagemap, PAGEMAP_SCAN_NEW, &argument));
	scan->walked = argument.walk_end;
	return count;
}

bool sys_same_memory(pid_t one, pid_t other)
{
	return syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0) == 0;
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

struct map_argument {
	struct uffdio_range range;
	uint64_t mode;
	int64_t mapped;
};

#define UFFDIO_MAP     _IOWR(UFFDIO, 0x07, struct map_argument) /* UFFDIO_CONTINUE */
#define UFFDIO_NO_PAGE _IOWR(UFFDIO, 0x08, struct map_argument) /* UFFDIO_POISON */

int64_t sys_uffd_map(int uffd, uintptr_t start, uint64_t length, bool protect)
{
	struct map_argument argument = { .range = { start, length } };

	argument.mode = UFFDIO_CONTINUE_MODE_DONTWAKE | (protect ? UFFDIO_CONTINUE_MODE_WP : 0);
	if (ioctl(uffd, UFFDIO_MAP, &argument) < 0 && argument.mapped <= 0)
		return -errno;
	return argument.mapped;
}

int64_t sys_uffd_copy(int uffd, uintptr_t start, const void *bytes, uint64_t length, bool protect)
{
	struct uffdio_copy argument = { .dst = start, .src = (uintptr_t)bytes, .len = length };

	argument.mode = UFFDIO_COPY_MODE_DONTWAKE | (protect ? UFFDIO_COPY_MODE_WP : 0);
	if (injected())
		return -ENOMEM;
	if (ioctl(uffd, UFFDIO_COPY, &argument) < 0 && argument.copy <= 0)
		return -errno;
	return argument.copy;
}

int sys_uffd_poison(int uffd, uintptr_t start, uint64_t length)
{
	struct map_argument argument = { .range = { start, length } };

	return outcome(ioctl(uffd, UFFDIO_NO_PAGE, &argument));
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

/* The kernel lets a thread send others a code of its own faults only if it is the first of its process: so SI_QUEUE, not BUS_ADRERR. */
void sys_bus_error(uint32_t tid, uintptr_t address)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = SI_QUEUE, .si_addr = (void *)address };

	syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGBUS, &info);
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
