/* SPDX-License-Identifier: MIT */
/* Hosts: agents in other processes, and what they have. */
#include "space/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "error.h"
#include "process.h"
#include "sys/sys.h"
#include "task.h"

static struct {
	pthread_mutex_t lock;
	struct host *first;
} hosts = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* -- hosts -- */

void foreign_lock(void)
{
	pthread_mutex_lock(&hosts.lock);
}

void foreign_unlock(void)
{
	pthread_mutex_unlock(&hosts.lock);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

/* An agent ends with the last of its pipe's ends: a child must not have one. */
void foreign_reset(void)
{
	for (struct host *host = hosts.first; host; host = host->next) {
		if (host->planted)
			plant_forget(&host->plant);
		close_fd(&host->socket);
	}
	hosts.first = NULL;
	pthread_mutex_init(&hosts.lock, NULL);
}

struct mr_task *foreign_task(const struct host *host)
{
	return host ? host->task : NULL;
}

bool foreign_is_there(const struct host *host)
{
	return !host || task_is_there(host->task);
}

static struct host *allocate(struct mr_task *task)
{
	struct host *host = sys_allocate(1, sizeof(*host));

	if (!host)
		return NULL;
	host->references = 1;
	host->generation = process_generation();
	host->task = mr_task_ref(task);
	host->socket = host->agent_socket = -1;
	host->probe = -1;
	pthread_mutex_init(&host->lock, NULL);
	return host;
}

int foreign_find(struct mr_task *task, struct host **ret_host)
{
	struct host *host;

	foreign_lock();
	for (host = hosts.first; host; host = host->next)
		if (host->task->pid == task->pid && task_is_there(host->task))
			break;
	if (host) {
		host->references++;
	} else {
		host = allocate(task);
		if (host) {
			host->next = hosts.first;
			hosts.first = host;
		}
	}
	foreign_unlock();
	if (!host)
		return fail(-ENOMEM, "there is no memory for what is kept of process %d", (int)task->pid);
	*ret_host = host;
	return 0;
}

struct host *foreign_ref(struct host *host)
{
	if (!host)
		return NULL;
	foreign_lock();
	host->references++;
	foreign_unlock();
	return host;
}

static void destroy(struct host *host)
{
	if (host->planted && host->generation == process_generation())
		plant_end(&host->plant);
	close_fd(&host->socket);
	for (struct blocked *next, *blocked = host->blocked; blocked; blocked = next) {
		next = blocked->next;
		sys_free(blocked);
	}
	pthread_mutex_destroy(&host->lock);
	mr_task_unref(host->task);
	sys_free(host);
}

/* The lock is held until the agent is gone: whoever looks for a host of the process meanwhile gets none whose agent would be in the way. */
void foreign_unref(struct host *host)
{
	if (!host)
		return;
	foreign_lock();
	if (!--host->references) {
		for (struct host **at = &hosts.first; *at; at = &(*at)->next)
			if (*at == host) {
				*at = host->next;
				break;
			}
		destroy(host);
	}
	foreign_unlock();
}

/* -- the agent -- */

/* With the host's lock held, as all below. */
int host_plant(struct host *host)
{
	int error = host->planted ? 0 : plant_begin(&host->plant, host->task);

	host->planted |= !error;
	return error;
}

int64_t host_ask(struct host *host, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	const int64_t arguments[6] = { (int64_t)a, (int64_t)b, (int64_t)c, (int64_t)d, (int64_t)e, (int64_t)f };

	return plant_call(&host->plant, number, arguments);
}

/* A call with one argument that points to @size bytes; they are read back. */
static int64_t ask_with(struct host *host, long number, uint64_t a, uint64_t b, void *bytes, size_t size, uint64_t d)
{
	uint64_t at = plant_list(&host->plant);
	int64_t error = plant_write(&host->plant, at, bytes, size);

	if (!error)
		error = number == SYS_socketpair ? host_ask(host, number, a, b, 0, at, 0, 0)
						 : host_ask(host, number, a, b, at, d, 0, 0);
	if (error >= 0 && task_copy(host->task, at, bytes, size, false))
		return -ESRCH;
	return error;
}

void host_close(struct host *host, int64_t fd)
{
	if (fd >= 0)
		host_ask(host, SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
}

/* -- descriptors -- */

/* The agent makes a pair of sockets, of which this process takes one. -EINVAL before Linux 6.9: it is a thread that has it. */
static int connect_socket(struct host *host)
{
	int32_t pair[2] = { -1, -1 };
	int pidfd;
	int64_t error;

	if (host->socket >= 0)
		return 0;
	pidfd = sys_pidfd_of_thread(host->plant.tid);
	if (pidfd < 0)
		return pidfd;
	error = ask_with(host, SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, pair, sizeof(pair), 0);
	if (error >= 0) {
		host->socket = sys_take_descriptor(pidfd, pair[1]);
		host_close(host, pair[1]);
		if (host->socket < 0) {
			host_close(host, pair[0]);
			error = host->socket;
		}
		host->agent_socket = pair[0];
	}
	sys_close(pidfd);
	return error < 0 ? (int)error : 0;
}

/* What recvmsg fills in, where the agent can have it. */
struct parcel {
	struct msghdr message;
	struct iovec bytes;
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	char byte;
};

static int64_t receive(struct host *host)
{
	uint64_t at = plant_list(&host->plant);
	struct parcel parcel = {
		.message = { .msg_iov = (struct iovec *)(at + offsetof(struct parcel, bytes)),
			     .msg_iovlen = 1,
			     .msg_control = (void *)(at + offsetof(struct parcel, control)),
			     .msg_controllen = sizeof(parcel.control) },
		.bytes = { (void *)(at + offsetof(struct parcel, byte)), 1 },
	};
	int64_t got = plant_write(&host->plant, at, &parcel, sizeof(parcel));
	int32_t fd = -1;

	if (!got)
		got = host_ask(host, SYS_recvmsg, (uint64_t)host->agent_socket, at, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0, 0, 0);
	if (got < 0)
		return got;
	if (task_copy(host->task, at, &parcel, sizeof(parcel), false))
		return -ESRCH;
	memcpy(&fd, parcel.control + CMSG_LEN(0), sizeof(fd));
	return parcel.message.msg_controllen >= CMSG_LEN(sizeof(fd)) ? fd : -EMFILE;
}

/* Return: the descriptor that the agent has now. */
int64_t host_pass(struct host *host, int fd)
{
	int64_t got = connect_socket(host);

	if (got == -EINVAL) {
		uint64_t at = plant_list(&host->plant);
		char path[TASK_PATH];

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)sys_pid(), fd);
		got = plant_write(&host->plant, at, path, sizeof(path));
		return got ? got
			   : host_ask(host, SYS_openat, (uint64_t)AT_FDCWD, at,
				      (uint64_t)((sys_open_flags(fd) & O_ACCMODE) | O_CLOEXEC), 0, 0, 0);
	}
	if (got >= 0)
		got = sys_send_descriptor(host->socket, fd);
	if (got >= 0)
		got = receive(host);
	if (got < 0 && host->socket >= 0) { /* nobody knows what is in it */
		close_fd(&host->socket);
		host_close(host, host->agent_socket);
	}
	return got;
}

/* -- userfaultfds -- */

/* Without privilege in the process, by way of the device, which this process may open. */
static int64_t open_by_device(struct host *host)
{
	int device = sys_open("/dev/userfaultfd", O_RDWR);
	int64_t there, uffd;

	if (device < 0)
		return device;
	there = host_pass(host, device);
	sys_close(device);
	if (there < 0)
		return there;
	uffd = host_ask(host, SYS_ioctl, (uint64_t)there, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	host_close(host, there);
	return uffd;
}

static int64_t open_uffd(struct host *host)
{
	int64_t uffd = host_ask(host, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0);

	if (uffd == -EPERM)
		uffd = open_by_device(host);
	return uffd >= 0 ? uffd : host_ask(host, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, 0, 0, 0, 0, 0);
}

int64_t host_open_uffd(struct host *host, bool removes)
{
	struct uffdio_api api = { .api = UFFD_API };
	int64_t uffd = open_uffd(host), error;

	api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS;
	if (removes)
		api.features |= UFFD_FEATURE_EVENT_REMOVE;
	if (uffd < 0)
		return fail_system((int)uffd, "process %d can have no userfaultfd", (int)host->task->pid);
	error = ask_with(host, SYS_ioctl, (uint64_t)uffd, UFFDIO_API, &api, sizeof(api), 0);
	if (error >= 0)
		return uffd;
	host_close(host, uffd);
	return fail_system((int)error, "this kernel cannot block memory of other processes (userfaultfd of Linux 5.14)");
}
