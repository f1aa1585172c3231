/* SPDX-License-Identifier: MIT */
/* The driver, as its tests use it. */
#include "device.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int device_missing(void)
{
	return access(MEMREDIRECT_DEVICE, F_OK) ? suite_skip("the driver (" MEMREDIRECT_DEVICE ")") : 0;
}

int request(int fd, unsigned int command, void *argument)
{
	return ioctl(fd, command, argument) < 0 ? -errno : 0;
}

int control_open(void)
{
	int control = open(MEMREDIRECT_DEVICE, O_RDWR | O_CLOEXEC);

	assert_true(control >= 0);
	return control;
}

int control_create(int control, uint64_t length, uint32_t flags)
{
	struct memredirect_create create = REQUEST(create, .length = length, .flags = flags);

	return request(control, MEMREDIRECT_CREATE, &create);
}

int map_open(int control, uint32_t flags)
{
	struct memredirect_open open = REQUEST(open, .flags = flags);
	int result = request(control, MEMREDIRECT_OPEN, &open);

	return result ? result : open.fd;
}

volatile uint64_t *map_at(int map, uint64_t length, int protection)
{
	void *at = mmap(NULL, length, protection, MAP_SHARED, map, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

struct scene scene_make(uint64_t pages, uint32_t map_flags, uint32_t open_flags)
{
	struct scene scene = { .control = control_open(), .length = pages * PAGE };

	assert_int_equal(control_create(scene.control, scene.length, map_flags), 0);
	scene.map = map_open(scene.control, open_flags);
	assert_true(scene.map >= 0);
	scene.at =
		map_at(scene.map, scene.length, open_flags & MEMREDIRECT_OPEN_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE);
	return scene;
}

void scene_end(struct scene *scene)
{
	if (scene->at)
		munmap((void *)scene->at, scene->length);
	if (scene->map >= 0)
		close(scene->map);
	if (scene->control >= 0)
		close(scene->control);
}

/* --- backings --- */

int backing_add(int control, const struct memredirect_segment *segments, uint32_t count, uint32_t flags, uint32_t cache,
		uint32_t *ret_id)
{
	struct memredirect_add_backing add = REQUEST(add_backing, .flags = flags, .segments = (uintptr_t)segments,
						     .count = count, .segment_size = sizeof(*segments), .cache = cache);
	int result = request(control, MEMREDIRECT_ADD_BACKING, &add);

	if (!result && ret_id)
		*ret_id = add.id;
	return result;
}

int backing_del(int control, uint32_t id)
{
	struct memredirect_del_backing del = REQUEST(del_backing, .id = id);

	return request(control, MEMREDIRECT_DEL_BACKING, &del);
}

uint32_t backing_fresh(int control, uint64_t pages, uint64_t value)
{
	struct memredirect_segment segment = { .kind = MEMREDIRECT_KERNEL, .length = pages * PAGE };
	uint32_t id = 0;

	assert_int_equal(backing_add(control, &segment, 1, 0, 0, &id), 0);
	backing_fill(control, id, pages, value);
	return id;
}

void backing_fill(int control, uint32_t id, uint64_t pages, uint64_t value)
{
	uint64_t words[PAGE / sizeof(uint64_t)];

	for (size_t i = 0; i < COUNT(words); i++)
		words[i] = value;
	for (uint64_t page = 0; page < pages; page++)
		assert_int_equal(backing_write(control, id, page * PAGE, words, PAGE), 0);
}

int backing_read(int control, uint32_t id, uint64_t offset, void *buffer, uint64_t length)
{
	struct memredirect_copy copy =
		REQUEST(copy, .id = id, .offset = offset, .address = (uintptr_t)buffer, .length = length);

	return request(control, MEMREDIRECT_READ, &copy);
}

int backing_write(int control, uint32_t id, uint64_t offset, const void *buffer, uint64_t length)
{
	struct memredirect_copy copy =
		REQUEST(copy, .id = id, .offset = offset, .address = (uintptr_t)buffer, .length = length);

	return request(control, MEMREDIRECT_WRITE, &copy);
}

/* --- what a map shows --- */

int redirect_to(int control, uint32_t id, uint64_t offset, uint32_t flags)
{
	struct memredirect_redirect redirect = REQUEST(redirect, .id = id, .offset = offset, .flags = flags);

	return request(control, MEMREDIRECT_REDIRECT, &redirect);
}

int block(int control, uint32_t flags, uint32_t deadline_ms)
{
	struct memredirect_block block = REQUEST(block, .flags = flags, .deadline_ms = deadline_ms);

	return request(control, MEMREDIRECT_BLOCK, &block);
}

int revoke_map(int control)
{
	struct memredirect_revoke revoke = REQUEST(revoke);

	return request(control, MEMREDIRECT_REVOKE, &revoke);
}

struct memredirect_info info(int fd)
{
	struct memredirect_info info = REQUEST(info);

	assert_int_equal(request(fd, MEMREDIRECT_GET_INFO, &info), 0);
	return info;
}

struct expected {
	int fd;
	uint64_t count;
};

static bool has_waiting(void *argument)
{
	const struct expected *expected = argument;

	return info(expected->fd).waiters == expected->count;
}

bool wait_waiting(int fd, uint64_t count)
{
	struct expected expected = { fd, count };

	return wait_until(has_waiting, &expected);
}

short wait_events(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	return poll(&poll_fd, 1, DEADLINE_SECONDS * 1000) > 0 ? poll_fd.revents : 0;
}

short events_now(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLPRI };

	poll(&poll_fd, 1, 0);
	return poll_fd.revents;
}

/* --- accesses --- */

static sigjmp_buf out;
static volatile sig_atomic_t caught;

static void on_fault(int number)
{
	caught = number;
	siglongjmp(out, 1);
}

static void catch_faults(struct sigaction *old)
{
	const struct sigaction action = { .sa_handler = on_fault };

	sigaction(SIGSEGV, &action, &old[0]);
	sigaction(SIGBUS, &action, &old[1]);
}

static void leave_faults(const struct sigaction *old)
{
	sigaction(SIGSEGV, &old[0], NULL);
	sigaction(SIGBUS, &old[1], NULL);
}

uint64_t peek(const volatile uint64_t *at)
{
	struct sigaction old[2];
	volatile uint64_t value;

	catch_faults(old);
	if (sigsetjmp(out, 1))
		value = GOT_SIGNAL | (uint64_t)caught;
	else
		value = *at;
	leave_faults(old);
	return value;
}

uint64_t poke(volatile uint64_t *at, uint64_t value)
{
	struct sigaction old[2];
	volatile uint64_t result = value;

	catch_faults(old);
	if (sigsetjmp(out, 1))
		result = GOT_SIGNAL | (uint64_t)caught;
	else
		*at = value;
	leave_faults(old);
	return result;
}

/* --- a child that reads --- */

struct reading {
	const volatile uint64_t *at;
	volatile uint64_t *answer;
};

static int read_and_tell(struct child *self, void *argument)
{
	const struct reading *reading = argument;

	child_tell(self);
	*reading->answer = peek(reading->at);
	return 0;
}

void reader_start(struct reader *reader, const volatile uint64_t *at)
{
	struct reading reading = { .at = at };

	reader->answer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(reader->answer, MAP_FAILED);
	reading.answer = reader->answer;
	assert_true(child_start(&reader->child, read_and_tell, &reading));
	assert_true(child_await(&reader->child));
}

uint64_t reader_end(struct reader *reader)
{
	uint64_t answer;
	int status;

	assert_true(child_wait(&reader->child, &status));
	answer = WIFSIGNALED(status) ? GOT_SIGNAL | (uint64_t)WTERMSIG(status) : *reader->answer;
	munmap((void *)reader->answer, PAGE);
	return answer;
}
