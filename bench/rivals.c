/* SPDX-License-Identifier: MIT */
/* Copies as they are made without this library. */
#include "rivals.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define PAGE 4096

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1ULL << 13)
#endif

void copy_by_fork(char *to, const char *from, size_t length)
{
	pid_t child = fork();
	int status;

	must_errno(child >= 0, "fork");
	if (!child) {
		memcpy(to, from, length);
		_exit(0);
	}
	must_errno(waitpid(child, &status, 0) == child && status == 0, "the child that copies");
}

struct protection {
	int uffd;
	int stop; /* a pipe's reading end */
	char *to, *from;
	_Atomic unsigned char *done; /* by page: 0, 1 being copied, 2 copied */
};

static void unprotect(const struct protection *protection, uint64_t start, uint64_t length)
{
	struct uffdio_writeprotect range = { .range = { start, length } };

	must_errno(ioctl(protection->uffd, UFFDIO_WRITEPROTECT, &range) == 0, "UFFDIO_WRITEPROTECT");
}

/* Copy the page, unless the other thread does. */
static void copy_page(struct protection *protection, size_t page)
{
	unsigned char none = 0;

	if (!atomic_compare_exchange_strong(&protection->done[page], &none, 1))
		return;
	memcpy(protection->to + page * PAGE, protection->from + page * PAGE, PAGE);
	atomic_store(&protection->done[page], 2);
	unprotect(protection, (uint64_t)protection->from + page * PAGE, PAGE);
}

static void *serve(void *argument)
{
	struct protection *protection = argument;
	struct pollfd both[] = { { .fd = protection->uffd, .events = POLLIN }, { .fd = protection->stop, .events = POLLIN } };
	struct uffd_msg message;

	while (poll(both, 2, -1) > 0 && !both[1].revents) {
		size_t page;

		if (read(protection->uffd, &message, sizeof(message)) != sizeof(message))
			continue;
		page = (message.arg.pagefault.address - (uint64_t)protection->from) / PAGE;
		if (atomic_load(&protection->done[page]) == 2)
			unprotect(protection, (uint64_t)protection->from + page * PAGE, PAGE);
		else
			copy_page(protection, page);
	}
	return NULL;
}

static bool protect(struct protection *protection, size_t length)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register range = { .range = { (uint64_t)protection->from, length }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect all = { .range = range.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	protection->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	return protection->uffd >= 0 && ioctl(protection->uffd, UFFDIO_API, &api) == 0 &&
	       ioctl(protection->uffd, UFFDIO_REGISTER, &range) == 0 && ioctl(protection->uffd, UFFDIO_WRITEPROTECT, &all) == 0;
}

bool copy_by_page_faults(char *to, char *from, size_t length)
{
	struct protection protection = { .to = to, .from = from, .done = calloc(length / PAGE, 1) };
	pthread_t server;
	int stop[2];

	must_errno(protection.done && pipe(stop) == 0, "a pipe");
	protection.stop = stop[0];
	if (!protect(&protection, length))
		return false;
	must_errno(pthread_create(&server, NULL, serve, &protection) == 0, "a thread");
	for (size_t page = 0; page < length / PAGE; page++)
		copy_page(&protection, page);
	close(stop[1]);
	pthread_join(server, NULL);
	close(stop[0]);
	close(protection.uffd);
	free((void *)protection.done);
	return true;
}
