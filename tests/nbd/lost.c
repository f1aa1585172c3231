/* SPDX-License-Identifier: MIT */
/* Servers that are killed, hang, come back, come back as something else; and a process that is killed with dirty pages. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "export.h"
#include "leak.h"
#include "suite.h"
#include "thread.h"
#include "wait.h"

#define THREADS 8

/* Far more than reads are under way at once. */
#define CROWD 160

/* Each reads in a part of its own. */
#define PART (192 * KIB)

/* Seconds: what the header says of a server that refuses connections, and of one that hangs; and what a busy machine adds. */
#define GONE_BOUND    15
#define HANGING_BOUND 40
#define MACHINE	      15

static int read_nothing(void *arg, uint64_t offset, void *buffer, uint64_t length)
{
	(void)arg;
	(void)offset;
	(void)buffer;
	(void)length;
	return 0;
}

/* A pager that was left to its thread is freed when another one goes. */
static bool has_let_go(void *descriptors)
{
	struct mr_pager other = { .size = sizeof(other), .read = read_nothing };
	struct mr_memory *memory;

	assert_ok(mr_memory_new_pager(&other, MIB, 0, 0, &memory));
	mr_memory_unref(memory);
	return count_descriptors() <= *(size_t *)descriptors;
}

/* The last reference may go before the last call to a dead server has ended: a thread waits for that. */
static void close_and_wait(struct shown *shown, size_t descriptors)
{
	shown_close(shown);
	assert_true(wait_until(has_let_go, &descriptors));
}

static void file_server(struct server *server, const char *rest)
{
	server_init(server);
	server_file(server, "disk", 32 * MIB);
	server_command(server, "nbdkit %s", rest);
	server_start(server);
}

/* The file behind the server, past the server. */
static void disk_check(const struct server *server, uint64_t offset, uint64_t length, uint64_t seed)
{
	char path[128];
	uint64_t word;
	int fd;

	snprintf(path, sizeof(path), "%s/disk", server->folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (uint64_t at = offset; at < offset + length; at += WORD) {
		assert_int_equal(pread(fd, &word, WORD, (off_t)at), WORD);
		assert_int_equal(word, word_of(at, seed));
	}
	close(fd);
}

/* A thread that loads one word. */
struct loader {
	struct thread thread;
	const volatile uint64_t *word;
	uint64_t value;
	bool refused; /* SIGBUS */
	double took;
};

static _Thread_local sigjmp_buf *refusal;

static void on_bus_error(int number)
{
	(void)number;
	if (!refusal)
		abort();
	siglongjmp(*refusal, 1);
}

static void *load(void *argument)
{
	struct loader *loader = argument;
	double begun = clock_now();
	sigjmp_buf here;

	refusal = &here;
	if (sigsetjmp(here, 1) == 0)
		loader->value = *loader->word;
	else
		loader->refused = true;
	refusal = NULL;
	loader->took = clock_now() - begun;
	return NULL;
}

/* Each in another part of the export. */
static void loaders_start(struct loader *loaders, unsigned count, const struct shown *shown)
{
	signal(SIGBUS, on_bus_error);
	for (unsigned i = 0; i < count; i++) {
		loaders[i] = (struct loader){ .word = shown->words + (i + 1) * PART / WORD };
		assert_true(thread_start(&loaders[i].thread, load, &loaders[i]));
	}
	assert_true(wait_waiters(shown->map, count));
}

static void loaders_join(struct loader *loaders, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		thread_join(&loaders[i].thread);
	signal(SIGBUS, SIG_DFL);
}

static void who_waits_gets_its_bytes_when_the_server_is_back(void **state)
{
	struct loader loaders[THREADS];
	struct server server;
	struct shown shown;

	(void)state;
	file_server(&server, "file disk");
	shown_open(&shown, server.uri, 0, 0);
	shown_fill(&shown, 0, shown.length, 1);
	shown_close(&shown);
	shown_open(&shown, server.uri, 4 * MIB, 0);
	assert_int_equal(shown.words[0], word_of(0, 1));
	server_kill(&server);
	loaders_start(loaders, THREADS, &shown);
	server_start(&server);
	loaders_join(loaders, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_false(loaders[i].refused);
		assert_int_equal(loaders[i].value, word_of((i + 1) * PART, 1));
	}
	shown_check(&shown, 0, shown.length, 1);
	shown_close(&shown);
	server_remove(&server);
}

static void requests_under_way_are_made_again(void **state)
{
	struct loader loaders[THREADS];
	struct server server;
	struct shown shown;

	(void)state;
	file_server(&server, "--filter=delay file disk delay-read=500ms");
	shown_open(&shown, server.uri, 4 * MIB, 0);
	loaders_start(loaders, THREADS, &shown);
	server_kill(&server);
	server_start(&server);
	loaders_join(loaders, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_false(loaders[i].refused);
	shown_close(&shown);
	server_remove(&server);
}

/* The filter keeps what is written in a file without a name until it is flushed: killed, it has lost it. */
#define FORGETFUL "--filter=cache file disk cache=writeback"

static void what_was_acknowledged_and_not_flushed_is_written_again(void **state)
{
	struct server server;
	struct shown shown;

	(void)state;
	file_server(&server, FORGETFUL);
	shown_open(&shown, server.uri, 4 * MIB, 0);
	shown_fill(&shown, 0, shown.length, 1);
	server_kill(&server);
	server_start(&server);
	shown_check(&shown, 0, shown.length, 1);
	server_kill(&server);
	server_start(&server);
	assert_ok(mr_memory_sync(shown.memory));
	server_kill(&server);
	disk_check(&server, 0, shown.length, 1);
	server_start(&server);
	shown_close(&shown);
	server_remove(&server);
}

static _Noreturn void stay(void)
{
	for (;;)
		pause();
}

static int write_without_sync(struct child *self, void *argument)
{
	struct shown shown;

	shown_open(&shown, argument, 4 * MIB, 0);
	shown_fill(&shown, 0, shown.length, 1);
	child_tell(self);
	stay();
}

/* What makes the test above one: written by a process that dies then, too, it is forgotten. */
static void a_crash_of_both_loses_what_was_not_synced(void **state)
{
	struct server server;
	struct child child;
	uint64_t word;
	char path[128];
	int status, fd;

	(void)state;
	file_server(&server, "--filter=log " FORGETFUL " logfile=requests");
	assert_true(child_start(&child, write_without_sync, server.uri));
	assert_true(child_await(&child));
	assert_true(server_lines(&server, "requests", " Write ") > 0);
	kill(child.pid, SIGKILL);
	assert_true(child_wait(&child, &status));
	server_kill(&server);
	snprintf(path, sizeof(path), "%s/disk", server.folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &word, WORD, 0), WORD);
	assert_int_equal(word, 0);
	close(fd);
	server_remove(&server);
}

/* A server whose next flush fails while there is a file "fail", and which counts its writes. */
static const char failing[] = "#!/bin/sh\n"
			      "case $1 in\n"
			      "get_size) echo 1048576 ;;\n"
			      "can_write | can_flush) ;;\n"
			      "pread) dd if=disk bs=64K skip=$4 count=$3 iflag=count_bytes,skip_bytes ;;\n"
			      "pwrite) echo w >>writes; dd of=disk seek=$4 conv=notrunc oflag=seek_bytes ;;\n"
			      "flush) [ ! -e fail ] || { rm fail; echo EIO >&2; exit 1; } ;;\n"
			      "*) exit 2 ;;\n"
			      "esac\n";

static void a_failed_flush_has_all_written_again(void **state)
{
	struct server server;
	struct shown shown;
	char path[128];
	FILE *script;

	(void)state;
	server_init(&server);
	server_file(&server, "disk", MIB);
	snprintf(path, sizeof(path), "%s/script", server.folder);
	script = fopen(path, "we");
	assert_non_null(script);
	assert_true(fputs(failing, script) >= 0);
	assert_int_equal(fclose(script), 0);
	server_run(&server, "chmod +x script");
	server_command(&server, "nbdkit sh ./script");
	server_start(&server);
	shown_open(&shown, server.uri, 0, 0);
	shown_fill(&shown, 0, 64 * KIB, 1);
	server_file(&server, "fail", 0);
	assert_ok(mr_memory_sync(shown.memory));
	assert_int_equal(server_lines(&server, "writes", "w"), 2);
	disk_check(&server, 0, 64 * KIB, 1);
	shown_close(&shown);
	server_remove(&server);
}

static void a_redirect_lets_all_go_who_wait_for_a_dead_server(void **state)
{
	struct loader loaders[THREADS];
	struct mr_memory *local;
	struct server server;
	struct shown shown;
	size_t descriptors = count_descriptors();

	(void)state;
	file_server(&server, "file disk");
	shown_open(&shown, server.uri, 0, MR_MEMORY_READ_ONLY);
	assert_ok(mr_memory_new_buffer(shown.length, 0, &local));
	server_kill(&server);
	loaders_start(loaders, THREADS, &shown);
	assert_ok(mr_map_redirect(shown.map, local, MR_MAP_READ_ONLY, 0));
	loaders_join(loaders, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_false(loaders[i].refused);
		assert_int_equal(loaders[i].value, 0);
		assert_true(loaders[i].took < GONE_BOUND);
	}
	assert_ok(mr_map_unmap(shown.map));
	mr_memory_unref(local);
	close_and_wait(&shown, descriptors);
	server_remove(&server);
}

static void a_redirect_lets_all_go_who_wait_for_a_hanging_server(void **state)
{
	struct loader loaders[THREADS];
	struct mr_memory *local;
	struct server server;
	struct shown shown;
	size_t descriptors = count_descriptors();

	(void)state;
	file_server(&server, "file disk");
	shown_open(&shown, server.uri, 0, MR_MEMORY_READ_ONLY);
	assert_ok(mr_memory_new_buffer(shown.length, 0, &local));
	kill(server.pid, SIGSTOP);
	loaders_start(loaders, THREADS, &shown);
	assert_ok(mr_map_redirect(shown.map, local, MR_MAP_READ_ONLY, 0));
	loaders_join(loaders, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_false(loaders[i].refused);
	server_kill(&server);
	assert_ok(mr_map_unmap(shown.map));
	mr_memory_unref(local);
	close_and_wait(&shown, descriptors);
	server_remove(&server);
}

static void nobody_waits_longer_than_the_bound(void **state)
{
	struct loader loaders[THREADS];
	struct server server;
	struct shown shown;
	double begun;

	(void)state;
	/* That the rest is a hole would be known for a second. */
	file_server(&server, "--filter=noextents file disk");
	shown_open(&shown, server.uri, 0, 0);
	/* So little that nothing is read ahead of it. */
	shown_fill(&shown, 0, 4 * KIB, 1);
	server_kill(&server);
	loaders_start(loaders, THREADS, &shown);
	loaders_join(loaders, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_true(loaders[i].refused);
		assert_true(loaders[i].took < GONE_BOUND + MACHINE);
	}
	begun = clock_now();
	assert_true(mr_memory_sync(shown.memory) < 0);
	assert_non_null(strstr(mr_error(), "mr_memory_sync"));
	assert_non_null(strstr(mr_error(), "(memredirect-nbd: "));
	assert_true(clock_now() - begun < GONE_BOUND + MACHINE);
	/* What is dirty is still there, and goes when the server is back. */
	shown_check(&shown, 0, 4 * KIB, 1);
	server_start(&server);
	assert_ok(mr_memory_sync(shown.memory));
	server_kill(&server);
	disk_check(&server, 0, 4 * KIB, 1);
	server_start(&server);
	shown_close(&shown);
	server_remove(&server);
}

static void a_hanging_server_is_given_up_within_the_bound(void **state)
{
	struct loader loaders[CROWD];
	struct server server;
	struct shown shown;
	size_t descriptors = count_descriptors();

	(void)state;
	file_server(&server, "file disk");
	shown_open(&shown, server.uri, 0, MR_MEMORY_READ_ONLY);
	kill(server.pid, SIGSTOP);
	loaders_start(loaders, CROWD, &shown);
	loaders_join(loaders, CROWD);
	for (unsigned i = 0; i < CROWD; i++) {
		assert_true(loaders[i].refused);
		assert_true(loaders[i].took < HANGING_BOUND + MACHINE);
	}
	kill(server.pid, SIGCONT);
	server_kill(&server);
	close_and_wait(&shown, descriptors);
	server_remove(&server);
}

static void an_export_that_comes_back_with_another_size_is_refused(void **state)
{
	struct server server;
	struct shown shown;

	(void)state;
	file_server(&server, "file disk");
	shown_open(&shown, server.uri, 0, 0);
	shown_fill(&shown, 0, MIB, 1);
	server_kill(&server);
	server_file(&server, "disk", 16 * MIB);
	server_start(&server);
	assert_error(mr_memory_sync(shown.memory), ESTALE);
	shown_check(&shown, 0, MIB, 1);
	server_kill(&server);
	server_file(&server, "disk", 32 * MIB);
	server_start(&server);
	assert_ok(mr_memory_sync(shown.memory));
	shown_close(&shown);
	server_kill(&server);
	disk_check(&server, 0, MIB, 1);
	server_remove(&server);
}

static int die_with_dirty_pages(struct child *self, void *argument)
{
	struct shown shown;

	shown_open(&shown, argument, 0, 0);
	shown_fill(&shown, 0, 8 * MIB, 1);
	assert_ok(mr_memory_sync(shown.memory));
	shown_fill(&shown, 8 * MIB, 8 * MIB, 2);
	shown_fill(&shown, 0, MIB, 3);
	child_tell(self);
	stay();
}

static void a_process_that_is_killed_has_lost_what_it_did_not_sync_alone(void **state)
{
	struct server server;
	struct child child;
	int status;

	(void)state;
	file_server(&server, FORGETFUL);
	assert_true(child_start(&child, die_with_dirty_pages, server.uri));
	assert_true(child_await(&child));
	kill(child.pid, SIGKILL);
	assert_true(child_wait(&child, &status));
	assert_true(WIFSIGNALED(status));
	server_kill(&server);
	disk_check(&server, MIB, 7 * MIB, 1);
	server_remove(&server);
}

static void the_last_reference_goes_while_the_server_is_dead(void **state)
{
	struct server server;
	struct shown shown;
	double begun = clock_now();
	size_t descriptors = count_descriptors();

	(void)state;
	file_server(&server, "file disk");
	shown_open(&shown, server.uri, 0, 0);
	shown_fill(&shown, 0, MIB, 1);
	server_kill(&server);
	shown_close(&shown);
	assert_true(clock_now() - begun < HANGING_BOUND + MACHINE);
	/* A thread goes on trying, and is done when the server is back. */
	server_start(&server);
	assert_true(wait_until(has_let_go, &descriptors));
	server_kill(&server);
	disk_check(&server, 0, MIB, 1);
	server_remove(&server);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(who_waits_gets_its_bytes_when_the_server_is_back),
		TEST(requests_under_way_are_made_again),
		TEST(what_was_acknowledged_and_not_flushed_is_written_again),
		TEST(a_crash_of_both_loses_what_was_not_synced),
		TEST(a_failed_flush_has_all_written_again),
		TEST(a_redirect_lets_all_go_who_wait_for_a_dead_server),
		TEST(a_redirect_lets_all_go_who_wait_for_a_hanging_server),
		TEST(nobody_waits_longer_than_the_bound),
		TEST(a_hanging_server_is_given_up_within_the_bound),
		TEST(an_export_that_comes_back_with_another_size_is_refused),
		TEST(a_process_that_is_killed_has_lost_what_it_did_not_sync_alone),
		TEST(the_last_reference_goes_while_the_server_is_dead),
	};

	return server_available() ? suite_run(argc, argv, "nbd lost", tests, COUNT(tests)) : SKIPPED;
}
