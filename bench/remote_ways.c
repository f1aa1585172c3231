/* SPDX-License-Identifier: MIT */
/*
 * Ways to have the bytes of an export.
 *
 *	map		a map of mr_memory_new_nbd
 *	libnbd		nbd_pread of a page, each thread on a connection of its own
 *	file		mmap of a file of that size on a local disk, out of the page cache
 *	handler		a userfaultfd, whose one thread reads one page by nbd_pread, and copies it in
 */
#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <linux/userfaultfd.h>
#include <memredirect-nbd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "measure.h"
#include "remote.h"

#define REQUEST ((uint64_t)256 << 10)
#define DEPTH	16

static struct nbd_handle *handle(const char *uri)
{
	struct nbd_handle *nbd = nbd_create();

	must_errno(nbd && nbd_connect_uri(nbd, uri) == 0, "nbd_connect_uri");
	nbd_set_pread_initialize(nbd, false);
	return nbd;
}

static void hang_up(struct nbd_handle *nbd)
{
	nbd_shutdown(nbd, 0);
	nbd_close(nbd);
}

void remote_fill(const char *uri, uint64_t length)
{
	struct nbd_handle *nbd = handle(uri);
	unsigned char *bytes = malloc(REQUEST);

	must_errno(bytes, "malloc");
	for (uint64_t i = 0; i < REQUEST; i++)
		bytes[i] = (unsigned char)(i * 2654435761U >> 13 | 1);
	for (uint64_t at = 0; at < length; at += REQUEST)
		must_errno(nbd_pwrite(nbd, bytes, REQUEST, at, 0) == 0, "nbd_pwrite");
	free(bytes);
	hang_up(nbd);
}

static int count_down(void *under_way, int *error)
{
	must_errno(!*error, "a read");
	--*(unsigned *)under_way;
	return 1;
}

double remote_read_all(const char *uri, uint64_t length, bool keep)
{
	uint64_t room = keep ? length : REQUEST * DEPTH;
	struct nbd_handle *nbd = handle(uri);
	char *buffers = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned under_way = 0;
	double begun;

	must_errno(buffers != MAP_FAILED, "mmap");
	must_errno(nbd_set_pread_initialize(nbd, false) == 0, "nbd_set_pread_initialize");
	if (keep)
		madvise(buffers, room, MADV_NOHUGEPAGE);
	else
		memset(buffers, 1, room);
	begun = now_us();
	for (uint64_t at = 0; at < length || under_way;) {
		if (at < length && under_way < DEPTH) {
			nbd_completion_callback done = { .callback = count_down, .user_data = &under_way };

			under_way++;
			must_errno(nbd_aio_pread(nbd, buffers + at % room, REQUEST, at, done, 0) >= 0, "nbd_aio_pread");
			at += REQUEST;
		} else {
			must_errno(nbd_poll(nbd, -1) >= 0, "nbd_poll");
		}
	}
	begun = (double)length * 1e6 / (now_us() - begun);
	munmap(buffers, room);
	hang_up(nbd);
	return begun;
}

static uint64_t load(const char *bytes, uint64_t page)
{
	return *(const volatile uint64_t *)(bytes + page * REMOTE_PAGE);
}

/* -- a map -- */

struct shown {
	struct mr_memory *memory;
	struct mr_map *map;
};

static void *map_open(const char *uri, uint64_t length)
{
	struct shown *shown = calloc(1, sizeof(*shown));

	(void)length;
	must_errno(shown, "calloc");
	must(mr_memory_new_nbd(uri, 0, MR_MEMORY_READ_ONLY, &shown->memory), "an export");
	must(mr_map_new(shown->memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_READ_ONLY, 0, 0, &shown->map),
	     "a map");
	return shown;
}

static void *map_join(void *opened)
{
	return mr_map_address(((struct shown *)opened)->map);
}

static uint64_t map_access(void *joined, uint64_t page)
{
	return load(joined, page);
}

static void map_leave(void *joined)
{
	(void)joined;
}

static void map_close(void *opened)
{
	struct shown *shown = opened;

	mr_map_unref(shown->map);
	mr_memory_unref(shown->memory);
	free(shown);
}

const struct way way_map = { "a map", "map", map_open, map_join, map_access, map_leave, map_close };

/* -- libnbd -- */

static void *libnbd_open(const char *uri, uint64_t length)
{
	(void)length;
	return strdup(uri);
}

static void *libnbd_join(void *opened)
{
	return handle(opened);
}

static uint64_t libnbd_access(void *joined, uint64_t page)
{
	char bytes[REMOTE_PAGE];

	must_errno(nbd_pread(joined, bytes, REMOTE_PAGE, page * REMOTE_PAGE, 0) == 0, "nbd_pread");
	return load(bytes, 0);
}

static void libnbd_leave(void *joined)
{
	hang_up(joined);
}

const struct way way_libnbd = { "libnbd", "libnbd", libnbd_open, libnbd_join, libnbd_access, libnbd_leave, free };

/* -- a file -- */

struct file {
	char path[64];
	char *bytes;
	uint64_t length;
};

static void file_fill(int fd, uint64_t length)
{
	static char part[REQUEST];

	memset(part, 1, sizeof(part));
	for (uint64_t at = 0; at < length; at += REQUEST)
		must_errno(pwrite(fd, part, REQUEST, (off_t)at) == (ssize_t)REQUEST, "pwrite");
	must_errno(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "fsync");
}

static void *file_open(const char *uri, uint64_t length)
{
	struct file *file = calloc(1, sizeof(*file));
	int fd;

	(void)uri;
	must_errno(file, "calloc");
	snprintf(file->path, sizeof(file->path), "/var/tmp/memredirect-bench.XXXXXX");
	fd = mkstemp(file->path);
	must_errno(fd >= 0, "mkstemp");
	unlink(file->path);
	file_fill(fd, length);
	file->length = length;
	file->bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
	must_errno(file->bytes != MAP_FAILED, "mmap");
	close(fd);
	return file;
}

static void *file_join(void *opened)
{
	return ((struct file *)opened)->bytes;
}

static void file_close(void *opened)
{
	struct file *file = opened;

	munmap(file->bytes, file->length);
	free(file);
}

const struct way way_file = { "mmap of a local file", "file", file_open, file_join, map_access, map_leave, file_close };

/* -- one page at a time -- */

struct handler {
	char *bytes;
	uint64_t length;
	int uffd, stop[2];
	struct nbd_handle *nbd;
	pthread_t thread;
};

/* Several threads may wait for the same page: who comes second finds it there. */
static void serve_one(struct handler *handler, uint64_t address)
{
	static _Alignas(REMOTE_PAGE) char page[REMOTE_PAGE];
	struct uffdio_copy copy = { .dst = address & ~(uint64_t)(REMOTE_PAGE - 1), .src = (uint64_t)page, .len = REMOTE_PAGE };
	struct uffdio_range range = { copy.dst, REMOTE_PAGE };

	must_errno(nbd_pread(handler->nbd, page, REMOTE_PAGE, copy.dst - (uint64_t)handler->bytes, 0) == 0, "nbd_pread");
	if (ioctl(handler->uffd, UFFDIO_COPY, &copy))
		must_errno(errno == EEXIST && ioctl(handler->uffd, UFFDIO_WAKE, &range) == 0, "UFFDIO_COPY");
}

static void *serve(void *argument)
{
	struct handler *handler = argument;
	struct pollfd both[] = { { .fd = handler->uffd, .events = POLLIN }, { .fd = handler->stop[0], .events = POLLIN } };
	struct uffd_msg message;

	while (poll(both, 2, -1) > 0 && !both[1].revents)
		if (read(handler->uffd, &message, sizeof(message)) == sizeof(message) && message.event == UFFD_EVENT_PAGEFAULT)
			serve_one(handler, message.arg.pagefault.address);
	return NULL;
}

static void *handler_open(const char *uri, uint64_t length)
{
	struct handler *handler = calloc(1, sizeof(*handler));
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	must_errno(handler, "calloc");
	handler->length = length;
	handler->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (handler->uffd < 0) {
		free(handler);
		return NULL;
	}
	handler->bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must_errno(handler->bytes != MAP_FAILED && pipe(handler->stop) == 0, "mmap");
	madvise(handler->bytes, length, MADV_NOHUGEPAGE);
	range.range = (struct uffdio_range){ (uint64_t)handler->bytes, length };
	must_errno(ioctl(handler->uffd, UFFDIO_API, &api) == 0 && ioctl(handler->uffd, UFFDIO_REGISTER, &range) == 0,
		   "UFFDIO_REGISTER");
	handler->nbd = handle(uri);
	must_errno(pthread_create(&handler->thread, NULL, serve, handler) == 0, "pthread_create");
	return handler;
}

static void *handler_join(void *opened)
{
	return ((struct handler *)opened)->bytes;
}

static void handler_close(void *opened)
{
	struct handler *handler = opened;

	must_errno(write(handler->stop[1], "", 1) == 1, "write");
	pthread_join(handler->thread, NULL);
	hang_up(handler->nbd);
	munmap(handler->bytes, handler->length);
	close(handler->stop[0]);
	close(handler->stop[1]);
	close(handler->uffd);
	free(handler);
}

const struct way way_handler = { "one page at a time", "handler", handler_open, handler_join,
				 map_access,	       map_leave, handler_close };
