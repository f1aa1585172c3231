/* SPDX-License-Identifier: MIT */
/* Handing descriptors to an agent. */
#include "inject/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "sys/sys.h"
#include "task.h"

/* What recvmsg(2) fills in, where the agent's list is. */
struct letter {
	struct msghdr message;
	struct iovec bytes;
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	char byte;
};

static int64_t ask(const struct plant *plant, long number, int64_t a, int64_t b, int64_t c, int64_t d)
{
	const int64_t arguments[6] = { a, b, c, d, 0, 0 };

	return plant_call(plant, number, arguments);
}

static int64_t receive(const struct plant *plant, int socket)
{
	uint64_t at = plant_list(plant);
	struct letter letter = { .bytes = { (void *)(at + offsetof(struct letter, byte)), 1 } };
	int64_t result;
	int fd;

	letter.message.msg_iov = (struct iovec *)(at + offsetof(struct letter, bytes));
	letter.message.msg_iovlen = 1;
	letter.message.msg_control = (void *)(at + offsetof(struct letter, control));
	letter.message.msg_controllen = sizeof(letter.control);
	result = plant_write(plant, at, &letter, sizeof(letter));
	if (!result)
		result = ask(plant, SYS_recvmsg, socket, (int64_t)at, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0);
	if (result >= 0)
		result = task_copy(plant->task, at, &letter, sizeof(letter), false);
	if (result < 0)
		return result;
	memcpy(&fd, letter.control + CMSG_LEN(0), sizeof(fd));
	return letter.message.msg_controllen >= CMSG_LEN(sizeof(fd)) ? fd : -EMFILE;
}

/* @pair: of the agent's; @pidfd: of the agent. */
static int64_t send_through(const struct plant *plant, const int32_t pair[2], int pidfd, int fd)
{
	int own = sys_take_descriptor(pidfd, pair[1]);
	int64_t result = own < 0 ? own : sys_send_descriptor(own, fd);

	if (own >= 0)
		sys_close(own);
	return result < 0 ? result : receive(plant, pair[0]);
}

static int64_t pass_by_socket(const struct plant *plant, int pidfd, int fd)
{
	uint64_t at = plant_list(plant);
	int64_t result = ask(plant, SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, (int64_t)at);
	int32_t pair[2];

	if (result >= 0)
		result = task_copy(plant->task, at, pair, sizeof(pair), false);
	if (result < 0)
		return result;
	result = send_through(plant, pair, pidfd, fd);
	ask(plant, SYS_close, pair[0], 0, 0, 0);
	ask(plant, SYS_close, pair[1], 0, 0, 0);
	return result;
}

static int64_t pass_by_path(const struct plant *plant, int fd)
{
	uint64_t at = plant_list(plant);
	char path[TASK_PATH];
	int64_t error;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)sys_pid(), fd);
	error = plant_write(plant, at, path, sizeof(path));
	return error ? error : ask(plant, SYS_openat, AT_FDCWD, (int64_t)at, (sys_open_flags(fd) & O_ACCMODE) | O_CLOEXEC, 0);
}

int64_t plant_pass(const struct plant *plant, int fd)
{
	int pidfd = sys_pidfd_of_thread(plant->tid);
	int64_t result;

	if (pidfd == -EINVAL)
		return pass_by_path(plant, fd);
	if (pidfd < 0)
		return pidfd;
	result = pass_by_socket(plant, pidfd, fd);
	sys_close(pidfd);
	return result;
}
