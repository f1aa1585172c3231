/* SPDX-License-Identifier: MIT */
/* Servers that lie about sizes, and URIs that lead nowhere: each is an error that says why. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "export.h"
#include "suite.h"
#include "thread.h"
#include "wait.h"

/* A server of this process's, of the oldest sort of handshake, which says what it is told to. */
struct liar {
	struct thread thread;
	char folder[64];
	struct sockaddr_un address;
	char uri[160];
	int listening;
	int stop[2];
	uint64_t sizes[2]; /* of the first connection, and of the others */
	unsigned accepted;
};

struct greeting {
	char magic[8];
	uint64_t old;
	uint64_t size;
	uint32_t flags;
	char zeroes[124];
} __attribute__((packed));

#define HAS_FLAGS 1
#define SEVERAL	  256

static void serve(struct liar *liar, int fd)
{
	struct greeting greeting = {
		.magic = "NBDMAGIC",
		.old = htobe64(UINT64_C(0x420281861253)),
		.size = htobe64(liar->sizes[liar->accepted > 0]),
		.flags = htonl(HAS_FLAGS | SEVERAL),
	};

	liar->accepted++;
	if (send(fd, &greeting, sizeof(greeting), MSG_NOSIGNAL) != sizeof(greeting))
		fprintf(stderr, "the client went away\n");
}

static void *lie(void *argument)
{
	struct liar *liar = argument;
	struct pollfd polled[2] = { { .fd = liar->listening, .events = POLLIN }, { .fd = liar->stop[0], .events = POLLIN } };
	int fds[64], count = 0;

	while (poll(polled, 2, -1) > 0 && !polled[1].revents && count < 64) {
		fds[count] = accept4(liar->listening, NULL, NULL, SOCK_CLOEXEC);
		if (fds[count] < 0)
			break;
		serve(liar, fds[count++]);
	}
	while (count)
		close(fds[--count]);
	return NULL;
}

static void liar_start(struct liar *liar, uint64_t first, uint64_t others)
{
	*liar = (struct liar){ .folder = "/var/tmp/memredirect-nbd.XXXXXX", .sizes = { first, others } };
	assert_non_null(mkdtemp(liar->folder));
	liar->address.sun_family = AF_UNIX;
	snprintf(liar->address.sun_path, sizeof(liar->address.sun_path), "%s/socket", liar->folder);
	snprintf(liar->uri, sizeof(liar->uri), "nbd+unix:///?socket=%s", liar->address.sun_path);
	liar->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(liar->listening, (struct sockaddr *)&liar->address, sizeof(liar->address)), 0);
	assert_int_equal(listen(liar->listening, 16), 0);
	assert_int_equal(pipe(liar->stop), 0);
	assert_true(thread_start(&liar->thread, lie, liar));
}

static void liar_end(struct liar *liar)
{
	assert_int_equal(write(liar->stop[1], "", 1), 1);
	shutdown(liar->listening, SHUT_RDWR);
	thread_join(&liar->thread);
	close(liar->listening);
	close(liar->stop[0]);
	close(liar->stop[1]);
	unlink(liar->address.sun_path);
	rmdir(liar->folder);
}

static void refused(uint64_t first, uint64_t others, int error)
{
	struct mr_memory *memory;
	struct liar liar;

	liar_start(&liar, first, others);
	assert_error(mr_memory_new_nbd(liar.uri, 0, 0, &memory), error);
	liar_end(&liar);
}

static void an_export_of_no_bytes_is_refused(void **state)
{
	(void)state;
	refused(0, 0, EINVAL);
}

static void an_export_larger_than_a_file_can_be_is_refused(void **state)
{
	(void)state;
	refused(UINT64_MAX, UINT64_MAX, EOVERFLOW);
	refused(INT64_MAX, INT64_MAX, EOVERFLOW);
}

static void connections_that_show_different_sizes_are_refused(void **state)
{
	(void)state;
	refused(MIB, 2 * MIB, ESTALE);
	assert_non_null(strstr(mr_error(), "2097152"));
}

static void a_size_that_the_reads_do_not_bear_out_is_an_error_of_the_read(void **state)
{
	struct mr_memory *memory;
	struct server server;
	char byte;

	(void)state;
	SERVE(&server, "nbdkit eval get_size=echo\t1048576 pread=echo\tshort");
	assert_ok(mr_memory_new_nbd(server.uri, 0, 0, &memory));
	assert_error(mr_memory_read(memory, 0, &byte, 1), EIO);
	mr_memory_unref(memory);
	server_remove(&server);
}

/* What does not come must not be taken for what the buffer had. */
static void a_read_that_succeeds_without_all_of_its_bytes_is_an_error(void **state)
{
	struct mr_memory *memory;
	struct server server;
	char byte;

	(void)state;
	SERVE(&server, TESTS "/withhold.py");
	assert_ok(mr_memory_new_nbd(server.uri, 0, 0, &memory));
	assert_error(mr_memory_read(memory, 0, &byte, 1), EPROTO);
	mr_memory_unref(memory);
	server_remove(&server);
}

static void uris_that_lead_nowhere(void **state)
{
	struct mr_memory *memory = NULL;
	struct server server;

	(void)state;
	assert_error(mr_memory_new_nbd(NULL, 0, 0, &memory), EINVAL);
	assert_error(mr_memory_new_nbd("", 0, 0, &memory), EINVAL);
	assert_error(mr_memory_new_nbd("no URI", 0, 0, &memory), EINVAL);
	assert_error(mr_memory_new_nbd("http://127.0.0.1/", 0, 0, &memory), EINVAL);
	assert_error(mr_memory_new_nbd("nbd+unix:///?socket=/nowhere/at/all", 0, 0, &memory), ENOENT);
	assert_error(mr_memory_new_nbd("nbd://127.0.0.1:1/", 0, 0, &memory), ECONNREFUSED);
	assert_non_null(strstr(mr_error(), "nbd://127.0.0.1:1/"));
	SERVE(&server, "nbdkit memory 1M");
	assert_error(mr_memory_new_nbd(server.uri, 0, MR_MEMORY_HUGE_2M, &memory), EINVAL);
	assert_error(mr_memory_new_nbd(server.uri, 0, 1U << 31, &memory), EINVAL);
	assert_error(mr_memory_new_nbd(server.uri, 0, 0, NULL), EINVAL);
	assert_null(memory);
	server_kill(&server);
	assert_error(mr_memory_new_nbd(server.uri, 0, 0, &memory), ECONNREFUSED);
	server_remove(&server);
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
	struct mr_memory *memory;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char folder[] = "/var/tmp/memredirect-nbd.XXXXXX", uri[160];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
	snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_error(mr_memory_new_nbd(uri, 0, 0, &memory), ETIMEDOUT);
	close(fd);
	unlink(address.sun_path);
	rmdir(folder);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_export_of_no_bytes_is_refused),
		TEST(an_export_larger_than_a_file_can_be_is_refused),
		TEST(connections_that_show_different_sizes_are_refused),
		TEST(a_size_that_the_reads_do_not_bear_out_is_an_error_of_the_read),
		TEST(a_read_that_succeeds_without_all_of_its_bytes_is_an_error),
		TEST(uris_that_lead_nowhere),
		TEST(a_server_that_says_nothing_is_given_up),
	};

	return server_available() ? suite_run(argc, argv, "nbd sizes", tests, COUNT(tests)) : SKIPPED;
}
