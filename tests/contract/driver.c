/* SPDX-License-Identifier: MIT */
/* Maps of the driver's in several processes, physical memory, and each error of these calls. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "kind.h"
#include "pattern.h"
#include "scene.h"
#include "suite.h"
#include "victim.h"
#include "wait.h"

#define CLIENTS 8
#define ROUNDS	50

/* The device of the virtual machine's whose memory can be mapped (tests/vm/vm). */
#define DEVICE_VENDOR "0x1af4"
#define DEVICE_ID     "0x1110"

/* A map of the driver's, two memories, and what children share. */
struct stage {
	struct mr_memory *old, *new;
	struct mr_map *map;
	uint64_t length;
	char *address;
	int fd;
	struct shared {
		_Atomic uint64_t first_seen; /* the newest memory that some client has seen */
		_Atomic uint32_t mistakes, stop;
	} * shared;
};

static struct mr_memory *memory_with(uint64_t length, unsigned seed)
{
	struct mr_memory *memory;
	char *bytes = malloc(length);

	assert_non_null(bytes);
	pattern_fill(bytes, 0, length, seed);
	assert_ok(mr_memory_new_buffer(length, 0, &memory));
	assert_ok(mr_memory_write(memory, 0, bytes, length));
	free(bytes);
	return memory;
}

static void stage_make(struct stage *stage, uint32_t options)
{
	*stage = (struct stage){ .length = 8 * page_size() };
	stage->old = memory_with(stage->length, SCENE_OLD);
	stage->new = memory_with(stage->length, SCENE_NEW);
	assert_ok(mr_map_new(stage->old, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_DRIVER | options, 0, 0,
			     &stage->map));
	stage->address = mr_map_address(stage->map);
	stage->fd = mr_map_export(stage->map);
	assert_true(stage->fd >= 0);
	stage->shared = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(stage->shared, MAP_FAILED);
}

static void stage_free(struct stage *stage)
{
	mr_map_unref(stage->map);
	mr_memory_unref(stage->old);
	mr_memory_unref(stage->new);
	if (stage->fd >= 0)
		close(stage->fd);
	munmap(stage->shared, page_size());
}

static char *import_into(int fd, struct mr_map **ret_map)
{
	assert_ok(mr_map_import(fd, NULL, MR_MAP_ANYWHERE, ret_map));
	return mr_map_address(*ret_map);
}

/* -- one redirect, many processes -- */

/*
 * Memories have numbers, which grow, in each page. A client tells all others of the newest that it has seen; whoever then reads an older one,
 * has seen what nobody could any more.
 */
static int watch_numbers(struct child *self, void *argument)
{
	struct stage *stage = argument;
	struct shared *shared = stage->shared;
	struct mr_map *map;
	char *address = import_into(stage->fd, &map);

	child_tell(self);
	for (uint64_t at = 0; !shared->stop; at = (at + page_size()) % stage->length) {
		uint64_t known = atomic_load(&shared->first_seen);
		uint64_t seen = *(volatile _Atomic uint64_t *)(address + at);

		if (seen < known)
			shared->mistakes++;
		while (known < seen && !atomic_compare_exchange_weak(&shared->first_seen, &known, seen))
			;
	}
	mr_map_unref(map);
	return 0;
}

static struct mr_memory *numbered(uint64_t length, uint64_t number)
{
	struct mr_memory *memory;

	assert_ok(mr_memory_new_buffer(length, 0, &memory));
	for (uint64_t at = 0; at < length; at += page_size())
		assert_ok(mr_memory_write(memory, at, &number, sizeof(number)));
	return memory;
}

static bool number_was_seen(void *argument)
{
	struct stage *stage = argument;
	uint64_t now;

	assert_ok(mr_memory_read(mr_map_memory(stage->map), 0, &now, sizeof(now)));
	return atomic_load(&stage->shared->first_seen) >= now;
}

static void one_redirect_is_seen_by_eight_processes_at_once(void **state)
{
	struct child children[CLIENTS];
	struct stage stage;
	int status;

	(void)state;
	stage_make(&stage, 0);
	for (uint64_t number = 1; number <= ROUNDS; number++) {
		struct mr_memory *memory = numbered(stage.length, number);

		assert_ok(mr_map_redirect(stage.map, memory, 0, 0));
		mr_memory_unref(memory);
		for (int i = 0; number == 1 && i < CLIENTS; i++)
			assert_true(child_start(&children[i], watch_numbers, &stage) && child_await(&children[i]));
		assert_true(wait_until(number_was_seen, &stage));
	}
	stage.shared->stop = 1;
	for (int i = 0; i < CLIENTS; i++) {
		assert_true(child_wait(&children[i], &status));
		assert_int_equal(status, 0);
	}
	assert_int_equal(stage.shared->mistakes, 0);
	stage_free(&stage);
}

/* -- a client without privilege, in a system call -- */

static int read_into_map(struct child *self, void *argument)
{
	struct stage *stage = argument;
	struct mr_map *map;
	int ends[2];
	char *address;

	if (!child_drop_privileges() || pipe(ends) || write(ends[1], "memories", 8) != 8)
		return 2;
	address = import_into(stage->fd, &map);
	child_tell(self);
	if (read(ends[0], address + 16, 8) != 8)
		return 3;
	return memcmp(address + 16, "memories", 8) ? 4 : 0;
}

static void read_by_an_unprivileged_client_waits_then_completes(void **state)
{
	struct stage stage;
	struct child child;
	int status;
	char got[8];

	(void)state;
	stage_make(&stage, 0);
	assert_ok(mr_map_redirect(stage.map, NULL, 0, 0));
	assert_true(child_start(&child, read_into_map, &stage) && child_await(&child));
	assert_true(wait_waiters(stage.map, 1));
	assert_ok(mr_map_redirect(stage.map, stage.new, 0, 0));
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, 0);
	assert_ok(mr_memory_read(stage.new, 16, got, sizeof(got)));
	assert_memory_equal(got, "memories", 8);
	assert_memory_pattern(stage.old, SCENE_OLD);
	stage_free(&stage);
}

/* -- the exporter's end -- */

/* An exporter of its own, which gives its descriptor away over a socket, and may then be killed. */
struct exporter {
	int sockets[2];
	uint32_t options;
	bool blocked;
};

static void send_descriptor(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	assert_int_equal(sendmsg(socket, &message, 0), 1);
}

static int receive_descriptor(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	int fd;

	assert_int_equal(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
	assert_non_null(CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static int be_exporter(struct child *self, void *argument)
{
	struct exporter *exporter = argument;
	struct stage stage;

	stage_make(&stage, exporter->options);
	if (exporter->blocked)
		assert_ok(mr_map_redirect(stage.map, NULL, 0, 0));
	send_descriptor(exporter->sockets[1], stage.fd);
	child_tell(self);
	return pause();
}

/* An exporter that is killed while one thread here waits, or would, in an import of its map: what comes of the access. */
static struct outcome outcome_of_death(uint32_t options, bool blocked)
{
	struct exporter exporter = { .options = options, .blocked = blocked };
	struct victim *victim = NULL;
	struct outcome outcome;
	struct pollfd poller;
	struct child child;
	struct mr_map *map;
	char *address;
	int status, fd;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, exporter.sockets), 0);
	assert_true(child_start(&child, be_exporter, &exporter) && child_await(&child));
	fd = receive_descriptor(exporter.sockets[0]);
	address = import_into(fd, &map);
	assert_int_equal(mr_map_is_blocked(map), blocked);
	if (blocked) {
		victim = victim_start(ACCESS_LOAD, address + 8, 0);
		assert_non_null(victim);
		assert_true(wait_waiters(map, 1));
	} else {
		assert_pattern(address, 0, mr_map_length(map), SCENE_OLD);
	}
	kill(child.pid, SIGKILL);
	assert_true(child_wait(&child, &status));
	poller = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (!(options & MR_MAP_PERSIST)) {
		assert_int_equal(poll(&poller, 1, 30000), 1);
		assert_true(poller.revents & POLLHUP);
	}
	if (victim) {
		assert_true(victim_wait(victim));
		outcome = victim->outcome;
		victim_free(victim);
	} else {
		outcome = access_try(ACCESS_LOAD, address + 8, 0);
	}
	if (!(options & MR_MAP_PERSIST)) {
		struct mr_map *late;

		assert_error(mr_map_import(fd, NULL, MR_MAP_ANYWHERE, &late), ENODEV);
	}
	mr_map_unref(map);
	close(fd);
	close(exporter.sockets[0]);
	close(exporter.sockets[1]);
	return outcome;
}

static void death_of_the_exporter_revokes(void **state)
{
	(void)state;
	assert_int_equal(outcome_of_death(0, false).signal, SIGBUS);
}

static void death_of_the_exporter_ends_waits(void **state)
{
	(void)state;
	assert_int_equal(outcome_of_death(0, true).signal, SIGBUS);
}

static void persistent_maps_outlive_the_exporter(void **state)
{
	struct outcome outcome = outcome_of_death(MR_MAP_PERSIST, false);

	(void)state;
	assert_int_equal(outcome.signal, 0);
	assert_int_equal(outcome.seen, pattern_word(SCENE_OLD, 8));
	outcome = outcome_of_death(MR_MAP_PERSIST, true);
	assert_int_equal(outcome.signal, 0);
	assert_int_equal(outcome.seen, pattern_word(SCENE_OLD, 8));
}

static void unmapping_revokes(void **state)
{
	struct stage stage;
	struct mr_map *map;
	char *address;

	(void)state;
	stage_make(&stage, 0);
	address = import_into(stage.fd, &map);
	assert_pattern(address, 0, stage.length, SCENE_OLD);
	assert_ok(mr_map_unmap(stage.map));
	assert_int_equal(access_try(ACCESS_LOAD, address, 0).signal, SIGBUS);
	assert_error(mr_map_export(stage.map), ENXIO);
	mr_map_unref(map);
	stage_free(&stage);
}

/* -- imports -- */

static void imports_show_what_the_exporter_shows(void **state)
{
	struct stage stage;
	struct victim *victim;
	struct mr_map *map;
	uint64_t at, run;
	char *address;

	(void)state;
	stage_make(&stage, 0);
	address = import_into(stage.fd, &map);
	assert_int_equal(mr_map_length(map), stage.length);
	assert_true(mr_map_options(map) & MR_MAP_DRIVER);
	assert_null(mr_map_memory(map));
	assert_null(mr_map_task(map));
	assert_false(mr_map_is_blocked(map));
	assert_pattern(address, 0, stage.length, SCENE_OLD);
	*(uint64_t *)(address + 8) = SCENE_VALUE;
	assert_int_equal(*(uint64_t *)(stage.address + 8), SCENE_VALUE);
	assert_ok(mr_map_redirect(stage.map, NULL, 0, 0));
	assert_true(mr_map_is_blocked(map));
	victim = victim_start(ACCESS_LOAD, address + 16, 0);
	assert_non_null(victim);
	assert_true(wait_waiters(map, 1));
	assert_ok(mr_map_redirect(stage.map, stage.new, MR_MAP_READ_ONLY, 0));
	scene_victim_end(victim, SCENE_NEW, 16);
	assert_pattern(address, 0, stage.length, SCENE_NEW);
	assert_int_equal(access_try(ACCESS_STORE, address, 1).signal, SIGSEGV);
	assert_true(mr_map_physical_segment(map, 0, &at, &run) < 0);
	assert_ok(mr_map_unmap(map));
	assert_null(mr_map_address(map));
	assert_pattern(stage.address, 0, stage.length, SCENE_NEW);
	mr_map_unref(map);
	stage_free(&stage);
}

static void imports_are_placed_as_maps_are(void **state)
{
	struct stage stage;
	struct mr_map *map, *other;
	char *place;

	(void)state;
	stage_make(&stage, 0);
	place = free_place(stage.length, page_size());
	assert_ok(mr_map_import(stage.fd, place, MR_MAP_READ_ONLY | MR_MAP_PREFAULT, &map));
	assert_ptr_equal(mr_map_address(map), place);
	assert_pattern(place, 0, stage.length, SCENE_OLD);
	assert_int_equal(access_try(ACCESS_STORE, place, 1).signal, SIGSEGV);
	assert_error(mr_map_import(stage.fd, place, 0, &other), EEXIST);
	mr_map_unref(map);
	place = mmap(NULL, stage.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_error(mr_map_import(stage.fd, place, 0, &other), EEXIST);
	assert_ok(mr_map_import(stage.fd, place, MR_MAP_OVERWRITE, &map));
	assert_pattern(place, 0, stage.length, SCENE_OLD);
	mr_map_unref(map);
	stage_free(&stage);
}

static void import_errors(void **state)
{
	struct mr_memory *copy;
	struct stage stage;
	struct mr_map *map, *other;
	int pipes[2];

	(void)state;
	stage_make(&stage, 0);
	import_into(stage.fd, &map);
	assert_error(mr_map_redirect(map, stage.new, 0, 0), EPERM);
	assert_error(mr_map_redirect(map, NULL, 0, 0), EPERM);
	assert_error(mr_map_snapshot(map, NULL, &copy, NULL), EPERM);
	assert_error(mr_map_move(map, stage.new, 0, 0, NULL, NULL), EPERM);
	assert_error(mr_map_export(map), EOPNOTSUPP);
	assert_error(mr_map_import(-1, NULL, MR_MAP_ANYWHERE, &other), EBADF);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_error(mr_map_import(pipes[0], NULL, MR_MAP_ANYWHERE, &other), EINVAL);
	assert_error(mr_map_import(stage.fd, NULL, 0, &other), EINVAL);
	assert_error(mr_map_import(stage.fd, stage.address + 8, MR_MAP_OVERWRITE, &other), EINVAL);
	assert_error(mr_map_import(stage.fd, NULL, MR_MAP_ANYWHERE | MR_MAP_COPY_ON_WRITE, &other), EINVAL);
	assert_error(mr_map_import(stage.fd, NULL, MR_MAP_ANYWHERE, NULL), EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	mr_map_unref(map);
	stage_free(&stage);
}

static void export_errors(void **state)
{
	struct mr_map *map, *inside;
	struct stage stage;

	(void)state;
	stage_make(&stage, 0);
	assert_error(mr_map_export(NULL), EINVAL);
	assert_ok(mr_map_new(stage.old, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	assert_error(mr_map_export(map), EOPNOTSUPP);
	mr_map_unref(map);
	assert_ok(mr_map_new(stage.old, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_DRIVER, 0, 0, &map));
	assert_ok(mr_map_new(stage.old, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_DRIVER, page_size(), page_size(), &inside));
	assert_ptr_equal(mr_map_address(inside), (char *)mr_map_address(map) + page_size());
	assert_error(mr_map_export(inside), EOPNOTSUPP);
	mr_map_unref(inside);
	mr_map_unref(map);
	assert_true(fcntl(stage.fd, F_GETFD) & FD_CLOEXEC);
	stage_free(&stage);
}

static void what_maps_of_the_driver_refuse(void **state)
{
	static const uint32_t modes[] = { MR_MAP_CACHE_INHIBIT, MR_MAP_CACHE_WRITE_THROUGH, MR_MAP_CACHE_WRITE_COMBINE };
	uint32_t options = MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_DRIVER;
	struct mr_memory *again;
	struct mr_range range;
	struct stage stage;
	struct mr_map *map;

	(void)state;
	stage_make(&stage, 0);
	assert_error(mr_map_new(stage.old, NULL, NULL, options | MR_MAP_COPY_ON_WRITE, 0, 0, &map), EOPNOTSUPP);
	assert_error(mr_map_redirect(stage.map, stage.new, MR_MAP_COPY_ON_WRITE, 0), EOPNOTSUPP);
	assert_error(mr_map_new(stage.old, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_PERSIST, 0, 0, &map), EINVAL);
	for (size_t i = 0; i < COUNT(modes); i++) {
		assert_error(mr_map_new(stage.old, NULL, NULL, options | modes[i], 0, 0, &map), EOPNOTSUPP);
		assert_error(mr_map_redirect(stage.map, stage.new, modes[i], 0), EOPNOTSUPP);
	}
	range = (struct mr_range){ (uintptr_t)stage.address, stage.length };
	assert_error(mr_memory_new_ranges(NULL, &range, 1, 0, &again), EOPNOTSUPP);
	assert_pattern(stage.address, 0, stage.length, SCENE_OLD);
	stage_free(&stage);
}

/* -- physical memory -- */

static void physical_segments_come_from_the_driver(void **state)
{
	struct stage stage;
	uint64_t at, run, mapped, mapped_run;

	(void)state;
	stage_make(&stage, 0);
	for (int round = 0; round < 2; round++) {
		struct mr_memory *memory = mr_map_memory(stage.map);

		assert_ok(mr_memory_prepare(memory));
		for (uint64_t offset = 8; offset < stage.length; offset += page_size()) {
			assert_ok(mr_memory_physical_segment(memory, offset, &at, &run));
			assert_ok(mr_map_physical_segment(stage.map, offset, &mapped, &mapped_run));
			assert_int_equal(mapped, at);
			assert_true(mapped_run >= page_size() - offset % page_size() && mapped_run <= stage.length - offset);
		}
		assert_ok(mr_memory_complete(memory));
		assert_ok(mr_map_redirect(stage.map, NULL, 0, 0));
		assert_ok(mr_map_physical_address(stage.map, &mapped));
		assert_ok(mr_map_redirect(stage.map, stage.new, 0, 0));
	}
	stage_free(&stage);
}

/* Memory of a buffer by its frame: the same bytes, a second time. */
static void physical_memory_that_is_in_use(void **state)
{
	uint64_t page = page_size(), at, run;
	struct mr_memory *memory;
	struct mr_range range;
	struct stage stage;
	char bytes[16];

	(void)state;
	stage_make(&stage, 0);
	assert_ok(mr_map_physical_segment(stage.map, 0, &at, &run));
	range = (struct mr_range){ at, page };
	assert_ok(mr_memory_new_physical(&range, 1, 0, &memory));
	assert_int_equal(mr_memory_length(memory), page);
	assert_ok(mr_memory_physical_segment(memory, 8, &at, &run));
	assert_int_equal(at, range.address + 8);
	assert_int_equal(run, page - 8);
	assert_ok(mr_memory_read(memory, 8, bytes, sizeof(bytes)));
	assert_pattern(bytes, 8, sizeof(bytes), SCENE_OLD);
	memset(bytes, 0x5a, sizeof(bytes));
	assert_ok(mr_memory_write(memory, 8, bytes, sizeof(bytes)));
	assert_memory_equal(stage.address + 8, bytes, sizeof(bytes));
	assert_ok(mr_memory_prepare(memory));
	assert_ok(mr_memory_complete(memory));
	mr_memory_unref(memory);
	stage_free(&stage);
}

static bool has_text(const char *path, const char *text)
{
	char got[32] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool has = fd >= 0 && read(fd, got, sizeof(got) - 1) > 0 && !strncmp(got, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return has;
}

/* Where the memory of the virtual machine's device is; false: there is no such device. */
static bool find_device(struct mr_range *ret_range)
{
	for (int slot = 0; slot < 32; slot++) {
		unsigned long long start, end;
		char path[96], line[128] = { 0 };
		int fd;

		snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:00:%02x.0/vendor", (unsigned)slot);
		if (!has_text(path, DEVICE_VENDOR))
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:00:%02x.0/device", (unsigned)slot);
		if (!has_text(path, DEVICE_ID))
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:00:%02x.0/resource", (unsigned)slot);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return false;
		/* Lines of 57 bytes, one for each of the device's ranges; the third has the memory. */
		if (pread(fd, line, 57, 2 * 57) != 57 || sscanf(line, "%llx %llx", &start, &end) != 2)
			start = end = 0;
		close(fd);
		*ret_range = (struct mr_range){ start, end - start + 1 };
		return start;
	}
	return false;
}

static void cache_modes_of_a_device(void **state)
{
	static const uint32_t modes[] = { MR_MAP_CACHE_DEFAULT, MR_MAP_CACHE_INHIBIT, MR_MAP_CACHE_WRITE_COMBINE };
	struct mr_memory *memory;
	struct mr_range range;
	struct stage stage;
	struct mr_map *map;

	(void)state;
	if (!find_device(&range)) {
		print_message("skipped: there is no device with memory here\n");
		skip();
	}
	range.length = 8 * page_size();
	stage_make(&stage, 0);
	assert_ok(mr_memory_new_physical(&range, 1, 0, &memory));
	assert_error(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map), EOPNOTSUPP);
	for (size_t i = 0; i < COUNT(modes); i++) {
		uint64_t word = SCENE_VALUE + i, got = 0;

		assert_ok(
			mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_DRIVER | modes[i], 0, 0, &map));
		*(volatile uint64_t *)((char *)mr_map_address(map) + 64) = word;
		assert_ok(mr_memory_read(memory, 64, &got, sizeof(got)));
		assert_int_equal(got, word);
		assert_ok(mr_map_redirect(map, stage.new, 0, 0));
		assert_pattern(mr_map_address(map), 0, stage.length, SCENE_NEW);
		assert_ok(mr_map_redirect(map, memory, modes[i], 0));
		assert_int_equal(*(volatile uint64_t *)((char *)mr_map_address(map) + 64), word);
		mr_map_unref(map);
	}
	mr_memory_unref(memory);
	stage_free(&stage);
}

static void physical_errors(void **state)
{
	struct mr_range range = { 0x100000, page_size() };
	struct mr_memory *memory;

	(void)state;
	assert_error(mr_memory_new_physical(NULL, 1, 0, &memory), EINVAL);
	assert_error(mr_memory_new_physical(&range, 0, 0, &memory), EINVAL);
	assert_error(mr_memory_new_physical(&range, 1, MR_MEMORY_HUGE_2M, &memory), EINVAL);
	assert_error(mr_memory_new_physical(&range, 1, 0, NULL), EINVAL);
	range.address++;
	assert_error(mr_memory_new_physical(&range, 1, 0, &memory), EINVAL);
	range = (struct mr_range){ 0x100000, page_size() - 1 };
	assert_error(mr_memory_new_physical(&range, 1, 0, &memory), EINVAL);
	range.length = 0;
	assert_error(mr_memory_new_physical(&range, 1, 0, &memory), EINVAL);
}

static int be_refused(struct child *self, void *argument)
{
	struct mr_range range = { 0x100000, page_size() };
	struct mr_memory *memory;
	struct mr_map *map;

	(void)self;
	(void)argument;
	if (!child_drop_privileges())
		return 1;
	assert_error(mr_memory_new_physical(&range, 1, 0, &memory), EPERM);
	assert_ok(mr_memory_new_buffer(page_size(), 0, &memory));
	assert_error(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_DRIVER, 0, 0, &map), EPERM);
	mr_memory_unref(memory);
	return 0;
}

static void the_device_is_root_s_alone(void **state)
{
	(void)state;
	assert_int_equal(child_run(be_refused, NULL), 0);
}

/* -- without the driver -- */

static void without_the_driver(void **state)
{
	struct mr_range range = { 0x100000, page_size() };
	struct mr_memory *memory, *physical;
	struct mr_map *map;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_int_equal(features()->driver, MR_DRIVER_NONE);
	assert_ok(mr_memory_new_buffer(page_size(), 0, &memory));
	assert_error(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_DRIVER, 0, 0, &map), EOPNOTSUPP);
	assert_non_null(strstr(mr_error(), "modprobe"));
	assert_error(mr_memory_new_physical(&range, 1, 0, &physical), EOPNOTSUPP);
	assert_ok(mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &map));
	assert_error(mr_map_export(map), EOPNOTSUPP);
	mr_map_unref(map);
	assert_error(mr_map_import(fd, NULL, MR_MAP_ANYWHERE, &map), EOPNOTSUPP);
	assert_error(mr_map_import(-1, NULL, MR_MAP_ANYWHERE, &map), EOPNOTSUPP);
	close(fd);
	mr_memory_unref(memory);
}

static const struct CMUnitTest with_driver[] = {
	TEST(one_redirect_is_seen_by_eight_processes_at_once),
	TEST(read_by_an_unprivileged_client_waits_then_completes),
	TEST(death_of_the_exporter_revokes),
	TEST(death_of_the_exporter_ends_waits),
	TEST(persistent_maps_outlive_the_exporter),
	TEST(unmapping_revokes),
	TEST(imports_show_what_the_exporter_shows),
	TEST(imports_are_placed_as_maps_are),
	TEST(import_errors),
	TEST(export_errors),
	TEST(what_maps_of_the_driver_refuse),
	TEST(physical_segments_come_from_the_driver),
	TEST(physical_memory_that_is_in_use),
	TEST(cache_modes_of_a_device),
	TEST(physical_errors),
	TEST(the_device_is_root_s_alone),
};

static const struct CMUnitTest without_driver[] = {
	TEST(without_the_driver),
};

int main(int argc, char **argv)
{
	switch (features()->driver) {
	case MR_DRIVER_READY:
		return suite_run(argc, argv, "maps of the driver's", with_driver, COUNT(with_driver));
	case MR_DRIVER_NONE:
		return suite_run(argc, argv, "without the driver", without_driver, COUNT(without_driver));
	default:
		return suite_skip("the right to use /dev/memredirect");
	}
}
