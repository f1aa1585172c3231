/* SPDX-License-Identifier: MIT */
/* An export is a memory like any other: over nbdkit, its plugins and filters, and qemu-nbd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export.h"
#include "suite.h"
#include "wait.h"

/* Written through a map on a cache much smaller than it, synced, and read by somebody else. */
static void goes_and_comes_back(const char *uri, uint64_t cache)
{
	struct shown shown;

	shown_open(&shown, uri, cache, 0);
	shown_fill(&shown, 0, shown.length / WORD * WORD, 1);
	shown_check(&shown, 0, shown.length / WORD * WORD, 1);
	assert_ok(mr_memory_sync(shown.memory));
	export_check(uri, 0, shown.length / WORD * WORD, 1);
	shown_fill(&shown, 3 * KIB, 2 * KIB, 2);
	shown_close(&shown);
	export_check(uri, 3 * KIB, 2 * KIB, 2);
	export_check(uri, 5 * KIB, MIB, 1);
}

static void bytes_go_to_nbdkit_and_come_back(void **state)
{
	struct server server;

	(void)state;
	SERVE(&server, "nbdkit memory 48M");
	goes_and_comes_back(server.uri, 0);
	goes_and_comes_back(server.uri, 8 * MIB);
	server_remove(&server);
}

static void bytes_go_to_a_file_and_come_back(void **state)
{
	struct server server;

	(void)state;
	server_init(&server);
	server_file(&server, "disk", 48 * MIB);
	server_command(&server, "nbdkit file disk");
	server_start(&server);
	goes_and_comes_back(server.uri, 8 * MIB);
	server_remove(&server);
}

static void bytes_go_to_a_qcow2_image_and_come_back(void **state)
{
	struct server server;

	(void)state;
	server_init(&server);
	server_run(&server, "qemu-img create -q -f qcow2 disk.qcow2 48M");
	server_command(&server, "qemu-nbd --shared=8 --format=qcow2 disk.qcow2");
	server_start(&server);
	goes_and_comes_back(server.uri, 8 * MIB);
	server_end(&server);
	server_run(&server, "qemu-img check -q disk.qcow2");
	server_remove(&server);
}

static void delays_errors_and_a_slow_line_are_borne(void **state)
{
	struct server server;

	(void)state;
	SERVE(&server, "nbdkit --filter=error --filter=delay --filter=rate memory 16M rate=400M delay-read=2ms delay-write=2ms "
		       "error-pread-rate=10%% error-pwrite-rate=10%% error-zero-rate=10%% error-extents-rate=50%%");
	goes_and_comes_back(server.uri, 6 * MIB);
	server_remove(&server);
}

static void an_export_that_does_not_fill_its_last_page(void **state)
{
	struct server server;

	(void)state;
	SERVE(&server, "nbdkit memory 5000004");
	goes_and_comes_back(server.uri, 4 * MIB);
	server_remove(&server);
}

static void large_blocks_and_small_limits_are_heeded(void **state)
{
	struct server server;

	(void)state;
	SERVE(&server, "nbdkit --filter=blocksize-policy memory 16M blocksize-minimum=64K blocksize-preferred=64K "
		       "blocksize-maximum=128K blocksize-error-policy=error");
	goes_and_comes_back(server.uri, 6 * MIB);
	server_remove(&server);
	SERVE(&server, "nbdkit --filter=blocksize-policy memory 16M blocksize-minimum=512 blocksize-preferred=512K "
		       "blocksize-maximum=1M blocksize-error-policy=error");
	goes_and_comes_back(server.uri, 6 * MIB);
	server_remove(&server);
}

static void one_connection_is_enough(void **state)
{
	struct server server;

	(void)state;
	SERVE(&server, "nbdkit --filter=multi-conn --filter=log memory 16M multi-conn-mode=disable logfile=requests");
	goes_and_comes_back(server.uri, 6 * MIB);
	assert_int_equal(server_lines(&server, "requests", "Connect "), 4);
	server_remove(&server);
}

static void several_connections_are_used_where_they_may_be(void **state)
{
	struct server server;

	(void)state;
	SERVE(&server, "nbdkit --filter=log memory 16M logfile=requests");
	goes_and_comes_back(server.uri, 6 * MIB);
	assert_int_equal(server_lines(&server, "requests", "Connect "), 16);
	server_remove(&server);
}

static void sync_flushes(void **state)
{
	struct server server;
	struct shown shown;
	unsigned before;

	(void)state;
	SERVE(&server, "nbdkit --filter=log memory 16M logfile=requests");
	shown_open(&shown, server.uri, 0, 0);
	shown_fill(&shown, 0, MIB, 1);
	before = server_lines(&server, "requests", " Flush ");
	assert_ok(mr_memory_sync(shown.memory));
	assert_true(server_lines(&server, "requests", " Flush ") > before);
	shown_close(&shown);
	server_remove(&server);
}

static void holes_are_not_read(void **state)
{
	struct server server;
	struct shown shown;
	uint64_t sum = 0;

	(void)state;
	server_init(&server);
	server_file(&server, "disk", 512 * MIB);
	server_command(&server, "nbdkit --filter=log file disk logfile=requests");
	server_start(&server);
	shown_open(&shown, server.uri, 0, MR_MEMORY_READ_ONLY);
	for (uint64_t at = 0; at < shown.length; at += 64 * KIB)
		sum += shown.words[at / WORD];
	assert_int_equal(sum, 0);
	shown_close(&shown);
	/* All of it, in blocks of 64 KiB, would be 8192. */
	assert_true(server_lines(&server, "requests", " Read ") < 1000);
	assert_true(server_lines(&server, "requests", " Extents ") > 0);
	server_remove(&server);
}

static void what_is_written_to_a_hole_is_read_again(void **state)
{
	struct server server;
	struct shown shown;

	(void)state;
	server_init(&server);
	server_file(&server, "disk", 64 * MIB);
	server_command(&server, "nbdkit file disk");
	server_start(&server);
	shown_open(&shown, server.uri, 4 * MIB, 0);
	for (uint64_t at = 0; at < shown.length; at += 256 * KIB) {
		assert_int_equal(shown.words[at / WORD], 0);
		shown_fill(&shown, at, 64 * KIB, 7);
	}
	for (uint64_t at = 0; at < shown.length; at += 256 * KIB) {
		shown_check(&shown, at, 64 * KIB, 7);
		assert_int_equal(shown.words[(at + 64 * KIB) / WORD], 0);
	}
	shown_close(&shown);
	server_remove(&server);
}

/* nbdkit's cache calls a hole what has been written to it and not flushed. */
static void a_server_that_is_wrong_about_holes_is_not_believed(void **state)
{
	struct server server;
	struct shown shown;

	(void)state;
	server_init(&server);
	server_file(&server, "disk", 64 * MIB);
	server_command(&server, "nbdkit --filter=cache file disk cache=writeback");
	server_start(&server);
	shown_open(&shown, server.uri, 4 * MIB, 0);
	for (uint64_t at = 0; at < 32 * MIB; at += 256 * KIB)
		shown_fill(&shown, at, 4 * KIB, 3);
	for (unsigned round = 0; round < 3; round++) {
		for (uint64_t at = 32 * MIB; at < shown.length; at += 256 * KIB)
			assert_int_equal(shown.words[at / WORD], 0);
		for (uint64_t at = 0; at < 32 * MIB; at += 256 * KIB) {
			shown_check(&shown, at, 4 * KIB, 3);
			assert_int_equal(shown.words[(at + 128 * KIB) / WORD], 0);
		}
	}
	shown_close(&shown);
	server_remove(&server);
}

static void runs_of_zeroes_are_holes_again(void **state)
{
	struct server server;
	struct shown shown;
	struct stat about;
	char path[128];

	(void)state;
	server_init(&server);
	server_file(&server, "disk", 16 * MIB);
	server_command(&server, "nbdkit --filter=log file disk logfile=requests");
	server_start(&server);
	shown_open(&shown, server.uri, 0, 0);
	shown_fill(&shown, 0, 16 * MIB, 1);
	assert_ok(mr_memory_sync(shown.memory));
	assert_int_equal(server_lines(&server, "requests", " Zero "), 0);
	memset(shown.words, 0, 8 * MIB);
	assert_ok(mr_memory_sync(shown.memory));
	assert_true(server_lines(&server, "requests", " Zero ") > 0);
	shown_check(&shown, 8 * MIB, 8 * MIB, 1);
	shown_close(&shown);
	export_check(server.uri, 8 * MIB, 8 * MIB, 1);
	snprintf(path, sizeof(path), "%s/disk", server.folder);
	assert_int_equal(stat(path, &about), 0);
	assert_true((uint64_t)about.st_blocks * 512 <= 10 * MIB);
	server_remove(&server);
}

static void a_read_only_export_makes_read_only_memory(void **state)
{
	struct server server;
	struct shown shown;
	struct mr_map *map;

	(void)state;
	SERVE(&server, "nbdkit --readonly pattern 16M");
	assert_ok(mr_memory_new_nbd(server.uri, 0, 0, &shown.memory));
	assert_int_equal(mr_memory_options(shown.memory), MR_MEMORY_READ_ONLY);
	assert_error(mr_map_new(shown.memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map), EACCES);
	assert_error(mr_memory_write(shown.memory, 0, "x", 1), EACCES);
	mr_memory_unref(shown.memory);
	shown_open(&shown, server.uri, 0, MR_MEMORY_READ_ONLY);
	for (uint64_t at = 0; at < shown.length; at += WORD)
		assert_int_equal(__builtin_bswap64(shown.words[at / WORD]), at);
	shown_close(&shown);
	server_remove(&server);
}

static void exports_have_names(void **state)
{
	struct server server;
	struct mr_memory *memory;
	char uri[256];

	(void)state;
	SERVE(&server, "nbdkit --filter=exportname memory 1M exportname=there exportname-strict=true");
	snprintf(uri, sizeof(uri), "nbd+unix:///there?socket=%s", server.socket);
	assert_ok(mr_memory_new_nbd(uri, 0, 0, &memory));
	assert_int_equal(mr_memory_length(memory), MIB);
	mr_memory_unref(memory);
	snprintf(uri, sizeof(uri), "nbd+unix:///elsewhere?socket=%s", server.socket);
	assert_error(mr_memory_new_nbd(uri, 0, 0, &memory), ENOENT);
	assert_non_null(strstr(mr_error(), "elsewhere"));
	server_remove(&server);
}

/* A file of a user's key, as psktool(1) makes it. */
static void write_key(const struct server *server, const char *name, const char *key)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", server->folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file, "user:%s\n", key);
	fclose(file);
}

static void tls_lets_in_who_has_the_key(void **state)
{
	struct server server;
	struct mr_memory *memory;
	char uri[320];

	(void)state;
	server_init(&server);
	write_key(&server, "key", "00112233445566778899aabbccddeeff");
	write_key(&server, "other", "ffeeddccbbaa99887766554433221100");
	server_command(&server, "nbdkit --tls=require --tls-psk=%s/key memory 16M", server.folder);
	server_start(&server);
	snprintf(uri, sizeof(uri), "nbds+unix://user@/?socket=%s&tls-psk-file=%s/key", server.socket, server.folder);
	goes_and_comes_back(uri, 6 * MIB);
	snprintf(uri, sizeof(uri), "nbds+unix://user@/?socket=%s&tls-psk-file=%s/other", server.socket, server.folder);
	assert_error(mr_memory_new_nbd(uri, 0, 0, &memory), EPROTO);
	assert_non_null(strstr(mr_error(), "TLS"));
	assert_error(mr_memory_new_nbd(server.uri, 0, 0, &memory), EOPNOTSUPP);
	assert_non_null(strstr(mr_error(), "requires TLS"));
	server_remove(&server);
}

static int stop_after_the_first(void *arg, uint64_t done, uint64_t total)
{
	unsigned *calls = arg;

	(void)done;
	(void)total;
	return ++*calls > 1;
}

static void a_move_comes_and_goes_and_can_be_cancelled(void **state)
{
	struct mr_copy_opts stop = { .size = sizeof(stop), .progress = stop_after_the_first };
	struct mr_memory *local;
	struct server server;
	struct shown shown;
	unsigned calls = 0;

	(void)state;
	SERVE(&server, "nbdkit --filter=delay memory 32M delay-read=1ms");
	shown_open(&shown, server.uri, 4 * MIB, 0);
	shown_fill(&shown, 0, shown.length, 1);
	assert_ok(mr_memory_new_buffer(shown.length, 0, &local));
	stop.progress_arg = &calls;
	assert_error(mr_map_move(shown.map, local, 0, 0, &stop, NULL), ECANCELED);
	assert_ptr_equal(mr_map_memory(shown.map), shown.memory);
	shown_check(&shown, 0, shown.length, 1);
	assert_ok(mr_map_move(shown.map, local, 0, 0, NULL, NULL));
	shown_check(&shown, 0, shown.length, 1);
	shown_fill(&shown, 0, shown.length, 2);
	assert_ok(mr_map_move(shown.map, shown.memory, 0, 0, NULL, NULL));
	shown_check(&shown, 0, shown.length, 2);
	assert_ok(mr_memory_sync(shown.memory));
	export_check(server.uri, 0, shown.length, 2);
	shown_close(&shown);
	mr_memory_unref(local);
	server_remove(&server);
}

static void a_full_disk_is_told_by_sync_and_loses_nothing(void **state)
{
	struct server server;
	struct shown shown;
	char disk[128], ballast[144];

	(void)state;
	if (geteuid() != 0) {
		suite_skip("the right to mount a small file system");
		skip();
	}
	server_init(&server);
	snprintf(disk, sizeof(disk), "%s/small", server.folder);
	assert_int_equal(mkdir(disk, 0700), 0);
	assert_int_equal(mount("memredirect", disk, "tmpfs", 0, "size=12m"), 0);
	server_file(&server, "small/ballast", 0);
	server_run(&server, "fallocate -l 8M small/ballast");
	server_file(&server, "small/disk", 16 * MIB);
	server_command(&server, "nbdkit file small/disk");
	server_start(&server);
	shown_open(&shown, server.uri, 0, 0);
	shown_fill(&shown, 0, 10 * MIB, 1);
	assert_error(mr_memory_sync(shown.memory), ENOSPC);
	assert_non_null(strstr(mr_error(), "memredirect-nbd: the server answers"));
	shown_check(&shown, 0, 10 * MIB, 1);
	snprintf(ballast, sizeof(ballast), "%s/ballast", disk);
	assert_int_equal(unlink(ballast), 0);
	assert_ok(mr_memory_sync(shown.memory));
	export_check(server.uri, 0, 10 * MIB, 1);
	shown_close(&shown);
	server_kill(&server);
	assert_int_equal(umount(disk), 0);
	server_remove(&server);
}

static void two_memories_do_not_disturb_each_other(void **state)
{
	struct server one, other;
	struct shown first, second;

	(void)state;
	SERVE(&one, "nbdkit memory 8M");
	SERVE(&other, "nbdkit memory 8M");
	shown_open(&first, one.uri, 4 * MIB, 0);
	shown_open(&second, other.uri, 4 * MIB, 0);
	shown_fill(&first, 0, 8 * MIB, 1);
	shown_fill(&second, 0, 8 * MIB, 2);
	assert_ok(mr_map_redirect(first.map, second.memory, 0, 0));
	shown_check(&first, 0, 8 * MIB, 2);
	assert_ok(mr_map_redirect(first.map, first.memory, 0, 0));
	shown_check(&first, 0, 8 * MIB, 1);
	shown_close(&first);
	shown_close(&second);
	server_remove(&one);
	server_remove(&other);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(bytes_go_to_nbdkit_and_come_back),
		TEST(bytes_go_to_a_file_and_come_back),
		TEST(bytes_go_to_a_qcow2_image_and_come_back),
		TEST(delays_errors_and_a_slow_line_are_borne),
		TEST(an_export_that_does_not_fill_its_last_page),
		TEST(large_blocks_and_small_limits_are_heeded),
		TEST(one_connection_is_enough),
		TEST(several_connections_are_used_where_they_may_be),
		TEST(sync_flushes),
		TEST(holes_are_not_read),
		TEST(what_is_written_to_a_hole_is_read_again),
		TEST(a_server_that_is_wrong_about_holes_is_not_believed),
		TEST(runs_of_zeroes_are_holes_again),
		TEST(a_read_only_export_makes_read_only_memory),
		TEST(exports_have_names),
		TEST(tls_lets_in_who_has_the_key),
		TEST(a_move_comes_and_goes_and_can_be_cancelled),
		TEST(a_full_disk_is_told_by_sync_and_loses_nothing),
		TEST(two_memories_do_not_disturb_each_other),
	};

	return server_available() ? suite_run(argc, argv, "nbd memory", tests, COUNT(tests)) : SKIPPED;
}
