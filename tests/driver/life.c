/* SPDX-License-Identifier: MIT */
/* How maps end, and how they do not: the owner's death, descriptors that are inherited, deadlines, poll, unloading. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"

/* An owner in a process of its own, which hands its map over, and waits to be killed. */
struct owner {
	struct child child;
	int sockets[2];
	uint32_t map_flags;
	enum memredirect_state state;
	bool forks; /* a child of its own inherits the control descriptor, and lives on */
	int map;
	volatile uint64_t *at;
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
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	if (sendmsg(socket, &message, 0) != 1)
		_exit(10);
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
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

/* The grandchild ends with the socket, which is the test's. */
static void inherit_and_wait(const struct owner *owner)
{
	char none;

	if (fork())
		return;
	close(owner->sockets[1]);
	while (recv(owner->sockets[0], &none, 1, 0) > 0)
		;
	_exit(0);
}

_Noreturn static int own(struct child *self, void *argument)
{
	struct owner *owner = argument;
	struct scene scene = scene_make(2, owner->map_flags, 0);

	if (owner->state != MEMREDIRECT_STATE_EMPTY)
		assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 7), 0, 0), 0);
	if (owner->state == MEMREDIRECT_STATE_BLOCKED)
		assert_int_equal(block(scene.control, 0, 0), 0);
	send_descriptor(owner->sockets[0], scene.map);
	if (owner->forks)
		inherit_and_wait(owner);
	child_tell(self);
	for (;;)
		pause();
}

static void owner_start(struct owner *owner)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, owner->sockets), 0);
	assert_true(child_start(&owner->child, own, owner));
	assert_true(child_await(&owner->child));
	owner->map = receive_descriptor(owner->sockets[1]);
	owner->at = map_at(owner->map, 2 * PAGE, PROT_READ | PROT_WRITE);
}

static void owner_kill(struct owner *owner)
{
	int status;

	kill(owner->child.pid, SIGKILL);
	assert_true(child_wait(&owner->child, &status));
	assert_int_equal(status, SIGKILL);
}

static void owner_end(struct owner *owner)
{
	if (owner->at)
		munmap((void *)owner->at, 2 * PAGE);
	close(owner->map);
	close(owner->sockets[0]);
	close(owner->sockets[1]);
}

/* That the clock says so is asked for with a bound that a busy machine can hold; what must not be, is that it never comes. */
static void assert_revoked_soon(const struct owner *owner)
{
	double start = clock_now();

	assert_true(wait_events(owner->map, 0) & POLLHUP);
	assert_true(clock_now() - start < 1);
	assert_int_equal(peek(owner->at), GOT_SIGNAL | SIGBUS);
	assert_int_equal(info(owner->map).state, MEMREDIRECT_STATE_REVOKED);
}

static void the_owners_death_revokes_the_map(void **state)
{
	struct owner owner = { .state = MEMREDIRECT_STATE_MAPPED };

	(void)state;
	owner_start(&owner);
	assert_int_equal(peek(owner.at), 7);
	owner_kill(&owner);
	assert_revoked_soon(&owner);
	owner_end(&owner);
}

static void the_owners_death_ends_the_wait_of_its_clients(void **state)
{
	static const enum memredirect_state states[] = { MEMREDIRECT_STATE_EMPTY, MEMREDIRECT_STATE_BLOCKED };

	(void)state;
	for (size_t i = 0; i < COUNT(states); i++) {
		struct owner owner = { .state = states[i] };
		struct reader reader;

		owner_start(&owner);
		reader_start(&reader, owner.at);
		assert_true(wait_waiting(owner.map, 1));
		owner_kill(&owner);
		assert_revoked_soon(&owner);
		assert_int_equal(reader_end(&reader), GOT_SIGNAL | SIGBUS);
		owner_end(&owner);
	}
}

static void children_that_inherit_the_control_hold_nothing_up(void **state)
{
	struct owner owner = { .state = MEMREDIRECT_STATE_MAPPED, .forks = true };

	(void)state;
	owner_start(&owner);
	owner_kill(&owner);
	assert_revoked_soon(&owner);
	owner_end(&owner);
}

static void persistent_maps_keep_what_they_show(void **state)
{
	struct owner owner = { .state = MEMREDIRECT_STATE_MAPPED, .map_flags = MEMREDIRECT_MAP_PERSIST };

	(void)state;
	owner_start(&owner);
	assert_int_equal(poke(owner.at, 8), 8);
	owner_kill(&owner);
	assert_int_equal(peek(owner.at), 8);
	assert_int_equal(peek(owner.at + 512), 7);
	assert_int_equal(poke(owner.at + 512, 9), 9);
	assert_int_equal(info(owner.map).state, MEMREDIRECT_STATE_MAPPED);
	assert_int_equal(events_now(owner.map), 0);
	owner_end(&owner);
}

static void persistent_maps_that_are_blocked_return_to_what_they_showed(void **state)
{
	struct owner owner = { .state = MEMREDIRECT_STATE_BLOCKED, .map_flags = MEMREDIRECT_MAP_PERSIST };
	struct owner empty = { .state = MEMREDIRECT_STATE_EMPTY, .map_flags = MEMREDIRECT_MAP_PERSIST };
	struct reader reader;

	(void)state;
	owner_start(&owner);
	reader_start(&reader, owner.at);
	assert_true(wait_waiting(owner.map, 1));
	owner_kill(&owner);
	assert_int_equal(reader_end(&reader), 7);
	owner_end(&owner);
	owner_start(&empty);
	owner_kill(&empty);
	assert_revoked_soon(&empty);
	owner_end(&empty);
}

/* --- the control descriptor's ends --- */

static void closing_the_control_revokes_though_others_have_the_map(void **state)
{
	struct scene scene = scene_make(2, 0, 0);
	int copy = dup(scene.control);

	(void)state;
	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 7), 0, 0), 0);
	close(copy);
	assert_int_equal(peek(scene.at), 7);
	close(scene.control);
	scene.control = -1;
	assert_int_equal(peek(scene.at), GOT_SIGNAL | SIGBUS);
	scene_end(&scene);
}

static int own_and_execute(struct child *self, void *argument)
{
	struct owner *owner = argument;
	struct scene scene = scene_make(2, 0, 0);

	(void)self;
	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 7), 0, 0), 0);
	send_descriptor(owner->sockets[0], scene.map);
	inherit_and_wait(owner);
	child_tell(self);
	execl("/bin/sleep", "sleep", "1000", NULL);
	return 1;
}

static void executing_another_program_revokes(void **state)
{
	struct owner owner = { .map = -1 };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, owner.sockets), 0);
	assert_true(child_start(&owner.child, own_and_execute, &owner));
	owner.map = receive_descriptor(owner.sockets[1]);
	assert_true(wait_events(owner.map, 0) & POLLHUP);
	assert_int_equal(info(owner.map).state, MEMREDIRECT_STATE_REVOKED);
	owner_kill(&owner);
	owner_end(&owner);
}

/* A child that has inherited the control ends before its parent: that changes nothing. */
static int end_at_once(struct child *self, void *argument)
{
	(void)self;
	(void)argument;
	return 0;
}

static void the_end_of_a_child_of_the_owner_changes_nothing(void **state)
{
	struct scene scene = scene_make(2, 0, 0);

	(void)state;
	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 7), 0, 0), 0);
	assert_int_equal(child_run(end_at_once, NULL), 0);
	assert_int_equal(peek(scene.at), 7);
	assert_int_equal(info(scene.control).generation, 2);
	scene_end(&scene);
}

/* --- deadlines --- */

static struct scene shown(void)
{
	struct scene scene = scene_make(2, 0, 0);

	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 7), 0, 0), 0);
	return scene;
}

static void a_deadline_returns_to_what_was_shown(void **state)
{
	struct scene scene = shown();
	struct reader reader;

	(void)state;
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_RETURN, 100), 0);
	reader_start(&reader, scene.at);
	assert_int_equal(reader_end(&reader), 7);
	assert_int_equal(info(scene.control).state, MEMREDIRECT_STATE_MAPPED);
	assert_int_equal(info(scene.control).generation, 4);
	assert_int_equal(info(scene.control).deadline_ms, 0);
	scene_end(&scene);
}

static void a_deadline_revokes(void **state)
{
	struct scene scene = shown();
	struct reader reader;

	(void)state;
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_REVOKE, 100), 0);
	reader_start(&reader, scene.at);
	assert_int_equal(reader_end(&reader), GOT_SIGNAL | SIGBUS);
	assert_int_equal(info(scene.control).state, MEMREDIRECT_STATE_REVOKED);
	scene_end(&scene);
}

static void a_deadline_goes_with_its_block(void **state)
{
	struct scene scene = shown();

	(void)state;
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_REVOKE, 300), 0);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(block(scene.control, 0, 0), 0);
	poll(NULL, 0, 1000);
	assert_int_equal(info(scene.control).state, MEMREDIRECT_STATE_BLOCKED);
	assert_int_equal(info(scene.control).deadline_ms, 0);
	scene_end(&scene);
}

static void another_block_replaces_the_deadline(void **state)
{
	struct scene scene = shown();

	(void)state;
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_REVOKE, 300), 0);
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_RETURN, 3600000), 0);
	poll(NULL, 0, 1000);
	assert_int_equal(info(scene.control).state, MEMREDIRECT_STATE_BLOCKED);
	assert_int_equal(info(scene.control).generation, 3);
	assert_true(info(scene.control).deadline_ms > 3000000);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(info(scene.control).deadline_ms, 0);
	scene_end(&scene);
}

/* --- poll --- */

static void poll_tells_of_changes_and_waiters(void **state)
{
	struct scene scene = shown();
	struct reader reader;

	(void)state;
	assert_int_equal(events_now(scene.map) & POLLIN, POLLIN);
	info(scene.map);
	info(scene.control);
	assert_int_equal(events_now(scene.map), 0);
	assert_int_equal(events_now(scene.control), 0);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(wait_events(scene.map, POLLIN) & POLLIN, POLLIN);
	info(scene.map);
	assert_int_equal(events_now(scene.map), 0);
	assert_int_equal(events_now(scene.control) & POLLPRI, 0);
	reader_start(&reader, scene.at);
	assert_int_equal(wait_events(scene.control, POLLPRI) & POLLPRI, POLLPRI);
	assert_int_equal(events_now(scene.map) & POLLPRI, 0);
	assert_int_equal(revoke_map(scene.control), 0);
	assert_int_equal(wait_events(scene.map, POLLIN) & (POLLIN | POLLHUP), POLLIN | POLLHUP);
	assert_int_equal(reader_end(&reader), GOT_SIGNAL | SIGBUS);
	assert_int_equal(events_now(scene.control) & (POLLPRI | POLLHUP), POLLHUP);
	scene_end(&scene);
}

static int redirect_later(struct child *self, void *argument)
{
	const struct scene *scene = argument;

	child_tell(self);
	return -redirect_to(scene->control, 1, 0, MEMREDIRECT_REDIRECT_READ_ONLY);
}

static void poll_wakes_up_with_a_change(void **state)
{
	struct scene scene = shown();
	struct child child;
	int status;

	(void)state;
	info(scene.map);
	assert_true(child_start(&child, redirect_later, &scene));
	assert_int_equal(wait_events(scene.map, POLLIN) & POLLIN, POLLIN);
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, 0);
	scene_end(&scene);
}

/* --- tracepoints --- */

#define TRACING "/sys/kernel/tracing/"

static bool tracing_write(const char *name, const char *value)
{
	char path[128];
	int file;
	bool written;

	snprintf(path, sizeof(path), TRACING "%s", name);
	file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	written = file >= 0 && write(file, value, strlen(value)) == (ssize_t)strlen(value);
	if (file >= 0)
		close(file);
	return written;
}

static bool trace_has(const char *event, const char *what)
{
	FILE *trace = fopen(TRACING "trace", "r");
	char line[512];
	bool found = false;

	while (trace && fgets(line, sizeof(line), trace))
		found = found || (strstr(line, event) && strstr(line, what));
	if (trace)
		fclose(trace);
	return found;
}

static void changes_and_waits_can_be_traced(void **state)
{
	struct scene scene;
	struct reader reader;

	(void)state;
	if (access(TRACING "events/memredirect", F_OK)) {
		print_message("skipped: tracepoints are missing here\n");
		return;
	}
	assert_true(tracing_write("events/memredirect/enable", "1"));
	scene = shown();
	assert_int_equal(block(scene.control, 0, 0), 0);
	reader_start(&reader, scene.at);
	assert_true(wait_waiting(scene.control, 1));
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(reader_end(&reader), 7);
	scene_end(&scene);
	assert_true(tracing_write("events/memredirect/enable", "0"));
	assert_true(trace_has("memredirect_change: ", "state=blocked backing=1 generation=3"));
	assert_true(trace_has("memredirect_change: ", "state=mapped backing=1 generation=4"));
	assert_true(trace_has("memredirect_wait: ", "begins"));
	assert_true(trace_has("memredirect_wait: ", "ends"));
	assert_true(trace_has("memredirect_backing: ", "pages=2 segments=1 made"));
	assert_true(trace_has("memredirect_backing: ", "pages=2 segments=1 goes"));
	assert_true(tracing_write("trace", "\n"));
}

/* --- the module --- */

static int unload(void)
{
	return syscall(SYS_delete_module, "memredirect", O_NONBLOCK) ? -errno : 0;
}

static bool is_unused(void *argument)
{
	char count[16] = "";
	FILE *file = fopen("/sys/module/memredirect/refcnt", "r");

	(void)argument;
	if (!file || !fgets(count, sizeof(count), file))
		abort();
	fclose(file);
	return atoi(count) == 0;
}

/* That it can be unloaded in the end, is what comes after all tests in the virtual machine. */
static void the_module_cannot_be_unloaded_while_anything_is_open(void **state)
{
	struct scene scene;

	(void)state;
	assert_true(wait_until(is_unused, NULL));
	scene = shown();
	assert_true(unload() == -EWOULDBLOCK || unload() == -EBUSY);
	close(scene.control);
	scene.control = -1;
	assert_true(unload() == -EWOULDBLOCK || unload() == -EBUSY);
	close(scene.map);
	scene.map = -1;
	assert_int_equal(peek(scene.at), GOT_SIGNAL | SIGBUS);
	assert_true(unload() == -EWOULDBLOCK || unload() == -EBUSY);
	scene_end(&scene);
	assert_true(wait_until(is_unused, NULL));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_owners_death_revokes_the_map),
		TEST(the_owners_death_ends_the_wait_of_its_clients),
		TEST(children_that_inherit_the_control_hold_nothing_up),
		TEST(persistent_maps_keep_what_they_show),
		TEST(persistent_maps_that_are_blocked_return_to_what_they_showed),
		TEST(closing_the_control_revokes_though_others_have_the_map),
		TEST(executing_another_program_revokes),
		TEST(the_end_of_a_child_of_the_owner_changes_nothing),
		TEST(a_deadline_returns_to_what_was_shown),
		TEST(a_deadline_revokes),
		TEST(a_deadline_goes_with_its_block),
		TEST(another_block_replaces_the_deadline),
		TEST(poll_tells_of_changes_and_waiters),
		TEST(poll_wakes_up_with_a_change),
		TEST(changes_and_waits_can_be_traced),
		TEST(the_module_cannot_be_unloaded_while_anything_is_open),
	};
	int missing = device_missing();

	return missing ? missing : suite_run(argc, argv, "how the driver's maps end", tests, COUNT(tests));
}
