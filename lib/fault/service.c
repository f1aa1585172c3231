/* SPDX-License-Identifier: MIT */
/*
 * The fault service.
 *
 * Who waits: each fault that the kernel reports names its thread and address. A thread waits in one place at a time, so a later
 * report replaces an earlier one, and a thread that waits anew after a signal handler still counts once. Reports are read
 * and noted under one lock; a wake removes those that it wakes from the kernel's queue before it returns. So when notes of
 * a range are dropped after its wake, none of an old wait can appear again.
 */
#include "fault/service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>

#include "error.h"
#include "sys/sys.h"

#define STACK_SIZE   (UINT64_C(1) << 20)
#define MOST_WAITERS 65536
#define FEATURES     (UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_THREAD_ID)

struct waiter {
	uint32_t tid;
	uintptr_t address;
};

/*
 * `users` orders starting and stopping: it is held over both, and protects all fields but the notes, which `notes` protects.
 * The thread takes `notes` alone. Order: users, notes.
 */
static struct {
	pthread_mutex_t users;
	unsigned count;
	int uffd;
	int stop; /* an eventfd */
	pthread_t thread;
	uintptr_t stack;

	pthread_mutex_t notes;
	struct waiter *waiters; /* MOST_WAITERS, in memory that is touched as far as it is needed */
	size_t waiting;
} service = { .users = PTHREAD_MUTEX_INITIALIZER, .notes = PTHREAD_MUTEX_INITIALIZER };

int service_open_userfaultfd(enum mr_fault_access *ret_how)
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int uffd = sys_userfaultfd(flags);

	*ret_how = MR_FAULT_ACCESS_SYSCALL;
	if (uffd >= 0)
		return uffd;
	uffd = sys_userfaultfd_device(flags);
	*ret_how = MR_FAULT_ACCESS_DEVICE;
	if (uffd >= 0)
		return uffd;
	uffd = sys_userfaultfd(flags | UFFD_USER_MODE_ONLY);
	*ret_how = uffd >= 0 ? MR_FAULT_ACCESS_USER_ONLY : MR_FAULT_ACCESS_NONE;
	return uffd;
}

static void note(uint32_t tid, uintptr_t address)
{
	for (size_t i = 0; i < service.waiting; i++)
		if (service.waiters[i].tid == tid) {
			service.waiters[i].address = address;
			return;
		}
	if (service.waiting < MOST_WAITERS)
		service.waiters[service.waiting++] = (struct waiter){ tid, address };
}

/* Read and note all there is. With `notes` held. */
static void drain(void)
{
	struct uffd_msg messages[16];
	ssize_t got;

	while ((got = sys_read(service.uffd, messages, sizeof(messages))) > 0)
		for (size_t i = 0; i < (size_t)got / sizeof(*messages); i++)
			if (messages[i].event == UFFD_EVENT_PAGEFAULT)
				note(messages[i].arg.pagefault.feat.ptid, messages[i].arg.pagefault.address);
}

static void *serve(void *argument)
{
	while (!sys_poll(service.uffd, service.stop)) {
		pthread_mutex_lock(&service.notes);
		drain();
		pthread_mutex_unlock(&service.notes);
	}
	return argument;
}

static int open_uffd(void)
{
	enum mr_fault_access how;
	uint64_t features;
	int error, uffd = service_open_userfaultfd(&how);

	if (uffd < 0 && (uffd == -EMFILE || uffd == -ENFILE || uffd == -ENOMEM))
		return fail_system(uffd, "a userfaultfd cannot be opened");
	if (uffd < 0)
		return fail(
			-EOPNOTSUPP,
			"a map cannot be blocked here: there is no userfaultfd (%s); `memredirect info` says what enables it",
			strerror(-uffd));
	error = sys_uffd_api(uffd, FEATURES, &features);
	if (!error)
		return uffd;
	sys_close(uffd);
	return fail(-EOPNOTSUPP, "a map cannot be blocked here: this kernel's userfaultfd has no EVENT_REMAP and THREAD_ID");
}

static int map_memory(uint64_t length, int flags, uintptr_t *ret_address)
{
	int error = sys_mmap(0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0, ret_address);

	return error ? fail_system(error, "there is no room for the fault service") : 0;
}

static int start_thread(void)
{
	int error = sys_thread(serve, (void *)service.stack, STACK_SIZE, &service.thread);

	return error ? fail_system(error, "the thread of the fault service cannot be started") : 0;
}

static int start(void)
{
	uintptr_t table;
	int error;

	service.uffd = open_uffd();
	if (service.uffd < 0)
		return service.uffd;
	service.stop = sys_eventfd();
	error = service.stop < 0 ? fail_system(service.stop, "an eventfd cannot be made") : 0;
	if (error)
		goto close_uffd;
	error = map_memory(MOST_WAITERS * sizeof(struct waiter), MAP_NORESERVE, &table);
	if (error)
		goto close_stop;
	error = map_memory(STACK_SIZE, MAP_STACK | MAP_NORESERVE, &service.stack);
	if (error)
		goto unmap_table;
	service.waiters = (struct waiter *)table;
	service.waiting = 0;
	error = start_thread();
	if (!error)
		return 0;
	sys_munmap(service.stack, STACK_SIZE);
unmap_table:
	sys_munmap(table, MOST_WAITERS * sizeof(struct waiter));
close_stop:
	sys_close(service.stop);
close_uffd:
	sys_close(service.uffd);
	return error;
}

static void drop_memory(void)
{
	sys_munmap(service.stack, STACK_SIZE);
	sys_munmap((uintptr_t)service.waiters, MOST_WAITERS * sizeof(struct waiter));
	sys_close(service.stop);
	sys_close(service.uffd);
}

static void stop(void)
{
	uint64_t one = 1;

	sys_write(service.stop, &one, sizeof(one));
	pthread_join(service.thread, NULL);
	drop_memory();
}

int service_acquire(void)
{
	int error = 0;

	pthread_mutex_lock(&service.users);
	if (!service.count)
		error = start();
	if (!error)
		service.count++;
	pthread_mutex_unlock(&service.users);
	return error;
}

void service_release(void)
{
	pthread_mutex_lock(&service.users);
	if (!--service.count)
		stop();
	pthread_mutex_unlock(&service.users);
}

int service_watch(uintptr_t start, uint64_t length)
{
	return sys_uffd_register(service.uffd, start, length, UFFDIO_REGISTER_MODE_MISSING);
}

int service_watch_cached(uintptr_t start, uint64_t length)
{
	return sys_uffd_register(service.uffd, start, length, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR);
}

void service_unwatch(uintptr_t start, uint64_t length)
{
	sys_uffd_unregister(service.uffd, start, length);
}

static bool waits_in(const struct waiter *waiter, uintptr_t start, uint64_t length)
{
	return waiter->address >= start && waiter->address - start < length;
}

void service_wake(uintptr_t start, uint64_t length)
{
	sys_uffd_wake(service.uffd, start, length);
	pthread_mutex_lock(&service.notes);
	for (size_t i = 0; i < service.waiting;)
		if (waits_in(&service.waiters[i], start, length))
			service.waiters[i] = service.waiters[--service.waiting];
		else
			i++;
	pthread_mutex_unlock(&service.notes);
}

/* A thread that has ended (it left the wait by way of a signal handler) waits no more. */
uint64_t service_waiters(uintptr_t start, uint64_t length)
{
	uint64_t count = 0;

	pthread_mutex_lock(&service.notes);
	drain();
	for (size_t i = 0; i < service.waiting; i++)
		if (waits_in(&service.waiters[i], start, length) && sys_thread_alive(service.waiters[i].tid))
			count++;
	pthread_mutex_unlock(&service.notes);
	return count;
}

void service_lock(void)
{
	pthread_mutex_lock(&service.users);
	pthread_mutex_lock(&service.notes);
}

void service_unlock(void)
{
	pthread_mutex_unlock(&service.notes);
	pthread_mutex_unlock(&service.users);
}

void service_reset(void)
{
	if (service.count)
		drop_memory();
	service.count = 0;
	pthread_mutex_init(&service.users, NULL);
	pthread_mutex_init(&service.notes, NULL);
}
