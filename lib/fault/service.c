/* SPDX-License-Identifier: MIT */
/*
 * The fault service.
 *
 * Who waits: each fault that the kernel reports names its thread and address. A thread waits in one place at a time, so a later
 * report replaces an earlier one, and a thread that waits anew after a signal handler still counts once. Reports are read
 * and noted under one lock, which whoever wakes holds, too: a wake removes those that it wakes from the kernel's queue before it returns.
 * So when notes of a range are dropped with its wake, none of an old wait can appear again, and none of a new one is lost.
 */
#include "fault/service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "sys/sys.h"
#include "worker.h"

#define MOST_WAITERS 65536
#define FEATURES     (UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_THREAD_ID)
#define GUARDS	     (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
#define PAGING	     (GUARDS | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM)

/* What has been done about a fault, if it might be paged. */
enum { SETTLED, FRESH, DEFERRED };

struct waiter {
	struct service_fault fault;
	uint8_t state;
};

/*
 * `users` orders starting and stopping: it is held over both, and protects all fields but the notes, which `notes` protects.
 * The thread takes `notes` alone. Order: users, notes.
 */
static struct {
	pthread_mutex_t users;
	unsigned count;
	int uffd;
	int stop;	   /* an eventfd */
	uint64_t features; /* that were agreed on */
	uint64_t offered;  /* that the kernel has */
	struct worker worker;

	pthread_mutex_t notes;
	struct waiter *waiters; /* MOST_WAITERS, in memory that is touched as far as it is needed */
	size_t waiting;
	struct guard *guards;
	bool (*serve)(const struct service_fault *fault, bool patient);
	pthread_cond_t unserved;
	size_t fresh, deferred; /* how many waiters are in these states */
	bool end_faults;
} service = { .users = PTHREAD_MUTEX_INITIALIZER, .notes = PTHREAD_MUTEX_INITIALIZER, .unserved = PTHREAD_COND_INITIALIZER };

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

/* Give a note another state. With `notes` held. */
static void set_state(struct waiter *waiter, uint8_t state)
{
	service.fresh += (state == FRESH) - (size_t)(waiter->state == FRESH);
	service.deferred += (state == DEFERRED) - (size_t)(waiter->state == DEFERRED);
	waiter->state = state;
}

static struct waiter *find_waiter(uint32_t tid)
{
	for (size_t i = 0; i < service.waiting; i++)
		if (service.waiters[i].fault.tid == tid)
			return &service.waiters[i];
	return NULL;
}

static void note(const struct service_fault *fault)
{
	struct waiter *waiter = find_waiter(fault->tid);

	if (!waiter && service.waiting == MOST_WAITERS)
		return;
	if (!waiter) {
		waiter = &service.waiters[service.waiting++];
		*waiter = (struct waiter){ .state = SETTLED };
	}
	waiter->fault = *fault;
	set_state(waiter, service.serve ? FRESH : SETTLED);
}

static void drop_note(size_t index)
{
	set_state(&service.waiters[index], SETTLED);
	service.waiters[index] = service.waiters[--service.waiting];
}

static bool lies_in(uintptr_t address, uintptr_t start, uint64_t length)
{
	return address >= start && address - start < length;
}

/* Somebody writes to a protected page. False: that is no guard's. */
static bool tell_guard(uintptr_t address)
{
	for (struct guard *guard = service.guards; guard; guard = guard->next)
		if (lies_in(address, guard->start, guard->length)) {
			guard->write(guard, address);
			return true;
		}
	return false;
}

/* A write that matters to nobody any more met a page that is just being let go, or has been. */
static void take(const struct uffd_msg *message)
{
	uint64_t flags = message->arg.pagefault.flags;
	struct service_fault fault;

	if (message->event != UFFD_EVENT_PAGEFAULT)
		return;
	fault = (struct service_fault){ .address = message->arg.pagefault.address,
					.tid = message->arg.pagefault.feat.ptid,
					.write = flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP),
					.protected = flags & UFFD_PAGEFAULT_FLAG_WP };
	if (fault.protected && tell_guard(fault.address))
		return;
	if (fault.protected && !service.serve)
		sys_uffd_wake(service.uffd, fault.address - fault.address % sys_page_size(), sys_page_size());
	else
		note(&fault);
}

/* Read and note all there is. With `notes` held. */
static void drain(void)
{
	struct uffd_msg messages[16];
	ssize_t got;

	while ((got = sys_read(service.uffd, messages, sizeof(messages))) > 0)
		for (size_t i = 0; i < (size_t)got / sizeof(*messages); i++)
			take(&messages[i]);
}

/* What was read by another thread than the service's is for whoever calls service_next_fault. With `notes` held. */
static void drain_for_others(void)
{
	drain();
	if (service.fresh)
		pthread_cond_signal(&service.unserved);
}

/* If another thread is at it, it will have told. */
void service_look(void)
{
	if (pthread_mutex_trylock(&service.notes))
		return;
	drain_for_others();
	pthread_mutex_unlock(&service.notes);
}

void service_settle(void)
{
	pthread_mutex_lock(&service.notes);
	pthread_mutex_unlock(&service.notes);
}

/* A waiter in one of the states, which then counts as served; NULL: there is none. With `notes` held. */
static struct waiter *next_unserved(bool deferred)
{
	for (size_t i = 0; i < service.waiting && (service.fresh || (deferred && service.deferred)); i++) {
		struct waiter *waiter = &service.waiters[i];

		if (waiter->state == FRESH || (deferred && waiter->state == DEFERRED)) {
			set_state(waiter, SETTLED);
			return waiter;
		}
	}
	return NULL;
}

/* It could not be served without waiting. If the thread has gone on since, its note has too, or is another. With `notes` held. */
static void defer(const struct service_fault *fault)
{
	struct waiter *waiter = find_waiter(fault->tid);

	if (waiter && waiter->state == SETTLED && waiter->fault.address == fault->address) {
		set_state(waiter, DEFERRED);
		pthread_cond_signal(&service.unserved);
	}
}

/* With `notes` held, which is given back meanwhile: to serve takes it, too. */
static void serve_fresh(void)
{
	struct waiter *waiter;

	while ((waiter = next_unserved(false))) {
		bool (*server)(const struct service_fault *, bool) = service.serve;
		struct service_fault fault = waiter->fault;
		bool served;

		pthread_mutex_unlock(&service.notes);
		served = !server || server(&fault, false);
		pthread_mutex_lock(&service.notes);
		if (!served)
			defer(&fault);
	}
}

static void *serve(void *argument)
{
	while (!sys_poll(service.uffd, service.stop)) {
		pthread_mutex_lock(&service.notes);
		drain();
		serve_fresh();
		pthread_mutex_unlock(&service.notes);
	}
	return argument;
}

int service_next_fault(struct service_fault *ret_fault, uint64_t until)
{
	struct timespec end = { (time_t)(until / 1000000000), (long)(until % 1000000000) };
	struct waiter *waiter = NULL;
	int late = 0, ended;

	pthread_mutex_lock(&service.notes);
	while (!service.end_faults && !(waiter = next_unserved(true)) && !late)
		late = pthread_cond_clockwait(&service.unserved, &service.notes, CLOCK_MONOTONIC, &end);
	if (waiter)
		*ret_fault = waiter->fault;
	ended = service.end_faults;
	pthread_mutex_unlock(&service.notes);
	return ended ? -1 : waiter != NULL;
}

void service_end_faults(void)
{
	pthread_mutex_lock(&service.notes);
	service.end_faults = true;
	pthread_cond_signal(&service.unserved);
	pthread_mutex_unlock(&service.notes);
}

void service_set_server(bool (*server)(const struct service_fault *fault, bool patient))
{
	pthread_mutex_lock(&service.notes);
	service.serve = server;
	service.end_faults = false;
	pthread_mutex_unlock(&service.notes);
}

/* Agree on the most that this kernel has. A try that is refused leaves the descriptor as it was. */
static int agree(int uffd)
{
	static const uint64_t wishes[] = { FEATURES | PAGING | UFFD_FEATURE_WP_UNPOPULATED,
					   FEATURES | GUARDS | UFFD_FEATURE_WP_UNPOPULATED, FEATURES | PAGING,
					   FEATURES | GUARDS, FEATURES };
	int error = 0;

	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
		error = sys_uffd_api(uffd, wishes[i], &service.offered);
		service.features = wishes[i];
		if (!error)
			break;
	}
	return error;
}

static int open_uffd(void)
{
	enum mr_fault_access how;
	int error, uffd = service_open_userfaultfd(&how);

	if (uffd < 0 && (uffd == -EMFILE || uffd == -ENFILE || uffd == -ENOMEM))
		return fail_system(uffd, "a userfaultfd cannot be opened");
	if (uffd < 0)
		return fail(
			-EOPNOTSUPP,
			"a map cannot be blocked here: there is no userfaultfd (%s); `memredirect info` says what enables it",
			strerror(-uffd));
	error = agree(uffd);
	if (!error)
		return uffd;
	sys_close(uffd);
	return fail(-EOPNOTSUPP, "a map cannot be blocked here: this kernel's userfaultfd has no EVENT_REMAP and THREAD_ID");
}

static int map_table(uintptr_t *ret_table)
{
	int error = sys_mmap(0, MOST_WAITERS * sizeof(struct waiter), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, ret_table);

	return error ? fail_system(error, "there is no room for the fault service") : 0;
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
	error = map_table(&table);
	if (error)
		goto close_stop;
	service.waiters = (struct waiter *)table;
	service.waiting = service.fresh = service.deferred = 0;
	error = worker_start(&service.worker, serve, NULL);
	if (!error)
		return 0;
	sys_munmap(table, MOST_WAITERS * sizeof(struct waiter));
close_stop:
	sys_close(service.stop);
close_uffd:
	sys_close(service.uffd);
	return error;
}

/* All but the thread. */
static void drop(void)
{
	sys_munmap((uintptr_t)service.waiters, MOST_WAITERS * sizeof(struct waiter));
	sys_close(service.stop);
	sys_close(service.uffd);
}

static void stop(void)
{
	uint64_t one = 1;

	sys_write(service.stop, &one, sizeof(one));
	worker_join(&service.worker);
	drop();
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

/* With `notes` held. */
static void wake(uintptr_t start, uint64_t length)
{
	for (size_t i = 0; i < service.waiting;)
		if (lies_in(service.waiters[i].fault.address, start, length))
			drop_note(i);
		else
			i++;
	sys_uffd_wake(service.uffd, start, length);
}

void service_wake(uintptr_t start, uint64_t length)
{
	pthread_mutex_lock(&service.notes);
	wake(start, length);
	pthread_mutex_unlock(&service.notes);
}

void service_retry(const struct service_fault *fault)
{
	const struct waiter *waiter;

	pthread_mutex_lock(&service.notes);
	waiter = find_waiter(fault->tid);
	if (waiter && waiter->fault.address == fault->address && waiter->fault.protected == fault->protected)
		wake(fault->address - fault->address % sys_page_size(), sys_page_size());
	pthread_mutex_unlock(&service.notes);
}

void service_guard_enter(struct guard *guard)
{
	pthread_mutex_lock(&service.notes);
	guard->next = service.guards;
	service.guards = guard;
	pthread_mutex_unlock(&service.notes);
}

void service_guard_leave(struct guard *guard)
{
	pthread_mutex_lock(&service.notes);
	for (struct guard **link = &service.guards; *link; link = &(*link)->next)
		if (*link == guard) {
			*link = guard->next;
			break;
		}
	pthread_mutex_unlock(&service.notes);
}

bool service_protects_holes(void)
{
	return service.features & UFFD_FEATURE_WP_UNPOPULATED;
}

int service_guard(uintptr_t start, uint64_t length)
{
	if (!(service.features & UFFD_FEATURE_PAGEFAULT_FLAG_WP))
		return -EINVAL;
	return sys_uffd_register(service.uffd, start, length, UFFDIO_REGISTER_MODE_WP);
}

int service_guard_all(uintptr_t start, uint64_t length, bool cached)
{
	uint64_t modes = UFFDIO_REGISTER_MODE_WP | UFFDIO_REGISTER_MODE_MISSING;

	return sys_uffd_register(service.uffd, start, length, cached ? modes | UFFDIO_REGISTER_MODE_MINOR : modes);
}

/* While others change mappings, the kernel asks to come again. */
static int protect(uintptr_t start, uint64_t length, bool on)
{
	int error;

	while ((error = sys_uffd_protect(service.uffd, start, length, on)) == -EAGAIN)
		sched_yield();
	return error;
}

int service_protect(uintptr_t start, uint64_t length)
{
	return protect(start, length, true);
}

int service_try_protect(uintptr_t start, uint64_t length)
{
	return sys_uffd_protect(service.uffd, start, length, true);
}

void service_unprotect(uintptr_t start, uint64_t length)
{
	protect(start, length, false);
}

/* The thread that is to read the event may be this very one: it must not wait for that. */
void service_let(uintptr_t start, uint64_t length)
{
	if (sys_uffd_protect(service.uffd, start, length, false))
		sys_uffd_wake(service.uffd, start, length);
}

bool service_can_page(void)
{
	return (service.features & PAGING) == PAGING;
}

/* Both came with Linux 6.4. */
bool service_maps_protected(void)
{
	return service_protects_holes();
}

bool service_can_poison(void)
{
	return service.offered & UFFD_FEATURE_POISON;
}

int service_page(uintptr_t start, uint64_t length)
{
	return sys_uffd_register(service.uffd, start, length,
				 UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP);
}

int64_t service_map(uintptr_t start, uint64_t length, bool protect, bool patient)
{
	int64_t mapped;

	while ((mapped = sys_uffd_map(service.uffd, start, length, protect)) == -EAGAIN && patient)
		sched_yield();
	return mapped;
}

uint64_t service_fill(uintptr_t start, const char *bytes, uint64_t length)
{
	uint64_t done = 0;

	while (done < length) {
		int64_t copied = sys_uffd_copy(service.uffd, start + done, bytes + done, length - done, true);

		if (copied == -EAGAIN)
			sched_yield();
		else if (copied <= 0)
			break;
		else
			done += (uint64_t)copied;
	}
	return done;
}

int service_poison(uintptr_t start, uint64_t length, bool patient)
{
	int error;

	while ((error = sys_uffd_poison(service.uffd, start, length)) == -EAGAIN && patient)
		sched_yield();
	return error;
}

int service_unprotect_soon(uintptr_t start, uint64_t length)
{
	return sys_uffd_protect(service.uffd, start, length, false);
}

void service_wake_soon(uintptr_t start, uint64_t length)
{
	sys_uffd_wake(service.uffd, start, length);
}

bool service_is_guarded(uintptr_t start, uint64_t length)
{
	bool guarded = false;

	pthread_mutex_lock(&service.notes);
	for (struct guard *guard = service.guards; guard; guard = guard->next)
		guarded |= start < guard->start + guard->length && guard->start < start + length;
	pthread_mutex_unlock(&service.notes);
	return guarded;
}

/* A thread that has ended (it left the wait by way of a signal handler) waits no more. */
uint64_t service_waiters(uintptr_t start, uint64_t length)
{
	uint64_t count = 0;

	pthread_mutex_lock(&service.notes);
	drain_for_others();
	for (size_t i = 0; i < service.waiting; i++)
		if (lies_in(service.waiters[i].fault.address, start, length) && sys_thread_alive(service.waiters[i].fault.tid))
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
	if (service.count) {
		worker_forget(&service.worker);
		drop();
	}
	service.count = 0;
	service.guards = NULL;
	service.serve = NULL;
	pthread_cond_init(&service.unserved, NULL);
	pthread_mutex_init(&service.users, NULL);
	pthread_mutex_init(&service.notes, NULL);
}
