/* SPDX-License-Identifier: MIT */
/* Clients: what an access comes to in every state of a map, from user mode and from system calls; nothing holds who waits. */
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "thread.h"

/* --- waiting --- */

static void accesses_to_an_empty_map_wait_for_the_first_redirect(void **state)
{
	struct scene scene = scene_make(2, 0, 0);
	struct reader reader;

	(void)state;
	reader_start(&reader, scene.at);
	assert_true(wait_waiting(scene.control, 1));
	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 7), 0, 0), 0);
	assert_int_equal(reader_end(&reader), 7);
	assert_int_equal(info(scene.control).waiters, 0);
	scene_end(&scene);
}

static struct scene shown(uint64_t pages, uint32_t map_flags, uint32_t open_flags, uint64_t value)
{
	struct scene scene = scene_make(pages, map_flags, open_flags);

	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, pages, value), 0, 0), 0);
	assert_int_equal(peek(scene.at), value);
	return scene;
}

static void a_block_holds_every_client_and_a_redirect_lets_them_go(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	uint32_t next = backing_fresh(scene.control, 2, 8);
	struct reader readers[4];

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	for (size_t i = 0; i < COUNT(readers); i++)
		reader_start(&readers[i], scene.at + i * 16);
	assert_true(wait_waiting(scene.map, COUNT(readers)));
	assert_int_equal(info(scene.map).waiters_here, 0);
	assert_int_equal(redirect_to(scene.control, next, 0, 0), 0);
	for (size_t i = 0; i < COUNT(readers); i++)
		assert_int_equal(reader_end(&readers[i]), 8);
	scene_end(&scene);
}

static void *read_here(void *at)
{
	return (void *)(uintptr_t) * (volatile uint64_t *)at;
}

static void threads_that_wait_are_counted_by_process(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	struct reader reader;
	struct thread threads[3];

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	reader_start(&reader, scene.at);
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_true(thread_start(&threads[i], read_here, (void *)scene.at));
	assert_true(wait_waiting(scene.map, 4));
	assert_int_equal(info(scene.map).waiters_here, 3);
	assert_int_equal(info(scene.control).waiters_here, 3);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	for (size_t i = 0; i < COUNT(threads); i++)
		assert_int_equal((uintptr_t)thread_join(&threads[i]), 7);
	assert_int_equal(reader_end(&reader), 7);
	scene_end(&scene);
}

static void a_waiting_client_can_be_killed(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	struct reader reader;

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	reader_start(&reader, scene.at);
	assert_true(wait_waiting(scene.control, 1));
	kill(reader.child.pid, SIGKILL);
	assert_int_equal(reader_end(&reader), GOT_SIGNAL | SIGKILL);
	assert_int_equal(info(scene.control).waiters, 0);
	scene_end(&scene);
}

/* A handler runs while the thread waits, and the access is done when the map shows something. */
static volatile uint64_t *handled;

static void on_signal(int number)
{
	(void)number;
	*handled += 1;
}

static int read_with_handler(struct child *self, void *argument)
{
	const struct scene *scene = argument;

	signal(SIGUSR1, on_signal);
	child_tell(self);
	return (int)*scene->at;
}

static bool was_handled(void *argument)
{
	return *handled == *(uint64_t *)argument;
}

static void signals_are_handled_during_the_wait_which_then_goes_on(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	struct child child;
	int status;

	(void)state;
	handled = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_true(child_start(&child, read_with_handler, &scene));
	assert_true(child_await(&child));
	for (uint64_t times = 1; times <= 20; times++) {
		assert_true(wait_waiting(scene.control, 1));
		kill(child.pid, SIGUSR1);
		assert_true(wait_until(was_handled, &times));
	}
	assert_true(wait_waiting(scene.control, 1));
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_true(child_wait(&child, &status));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	munmap((void *)handled, PAGE);
	scene_end(&scene);
}

static void a_waiting_client_can_be_stopped_and_continued(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	struct reader reader;
	siginfo_t change;

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	reader_start(&reader, scene.at);
	assert_true(wait_waiting(scene.control, 1));
	kill(reader.child.pid, SIGSTOP);
	assert_int_equal(waitid(P_PID, (id_t)reader.child.pid, &change, WSTOPPED), 0);
	assert_int_equal(change.si_code, CLD_STOPPED);
	assert_true(wait_waiting(scene.control, 0));
	kill(reader.child.pid, SIGCONT);
	assert_true(wait_waiting(scene.control, 1));
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(reader_end(&reader), 7);
	scene_end(&scene);
}

/* --- system calls --- */

struct transfer {
	const struct scene *scene;
	int from, to; /* a pipe */
	bool unprivileged;
};

static int read_into_map(struct child *self, void *argument)
{
	const struct transfer *transfer = argument;

	if (transfer->unprivileged && !child_drop_privileges())
		return 100;
	signal(SIGUSR1, on_signal);
	child_tell(self);
	return read(transfer->from, (void *)transfer->scene->at, 8) == 8 ? 0 : errno;
}

static void transfer_open(struct transfer *transfer, const struct scene *scene)
{
	const uint64_t word = 4711;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], &word, 8), 8);
	*transfer = (struct transfer){ scene, ends[0], ends[1], false };
}

static void transfer_close(const struct transfer *transfer)
{
	close(transfer->from);
	close(transfer->to);
}

static void an_unprivileged_client_in_a_system_call_waits_and_completes(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	uint32_t next = backing_fresh(scene.control, 2, 8);
	struct transfer transfer;
	struct child child;
	int status;

	(void)state;
	transfer_open(&transfer, &scene);
	transfer.unprivileged = true;
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_true(child_start(&child, read_into_map, &transfer));
	assert_true(wait_waiting(scene.control, 1));
	assert_int_equal(redirect_to(scene.control, next, 0, 0), 0);
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, 0);
	assert_int_equal(peek(scene.at), 4711);
	transfer_close(&transfer);
	scene_end(&scene);
}

static uint64_t cpu_ticks(pid_t pid)
{
	char path[64], line[1024];
	unsigned long user, system;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	assert_int_equal(sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
			 2);
	return user + system;
}

/* A signal that a system call cannot handle before its end, does not let it turn round and round meanwhile. */
static void a_system_call_with_a_signal_pending_sleeps(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	struct transfer transfer;
	struct child child;
	uint64_t before;
	int status;

	(void)state;
	handled = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	transfer_open(&transfer, &scene);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_true(child_start(&child, read_into_map, &transfer));
	assert_true(wait_waiting(scene.control, 1));
	kill(child.pid, SIGUSR1);
	before = cpu_ticks(child.pid);
	poll(NULL, 0, 1000);
	assert_true(cpu_ticks(child.pid) - before <= 20);
	assert_int_equal(info(scene.control).waiters, 1);
	assert_int_equal(*handled, 0);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, 0);
	assert_int_equal(*handled, 1);
	munmap((void *)handled, PAGE);
	transfer_close(&transfer);
	scene_end(&scene);
}

static void a_client_in_a_system_call_can_be_killed(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	struct transfer transfer;
	struct child child;
	int status;

	(void)state;
	transfer_open(&transfer, &scene);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_true(child_start(&child, read_into_map, &transfer));
	assert_true(wait_waiting(scene.control, 1));
	kill(child.pid, SIGKILL);
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, SIGKILL);
	transfer_close(&transfer);
	scene_end(&scene);
}

static void user_only_maps_let_no_system_call_wait(void **state)
{
	struct scene scene = shown(2, MEMREDIRECT_MAP_USER_ONLY, 0, 7);
	struct transfer transfer;
	struct reader reader;
	struct child child;
	int status;

	(void)state;
	transfer_open(&transfer, &scene);
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_RETURN, 3600000), 0);
	reader_start(&reader, scene.at);
	assert_true(wait_waiting(scene.control, 1));
	assert_true(child_start(&child, read_into_map, &transfer));
	assert_true(child_wait(&child, &status));
	assert_int_equal(WEXITSTATUS(status), EFAULT);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(reader_end(&reader), 7);
	assert_int_equal(write(transfer.to, (void *)scene.at, 8), 8);
	transfer_close(&transfer);
	scene_end(&scene);
}

static void pages_cannot_be_pinned_through_a_map(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	char path[] = "/var/tmp/driver.XXXXXX";
	struct iovec here = { &(uint64_t){ 0 }, 8 }, there = { (void *)scene.at, 8 };
	struct memredirect_segment nested = { .kind = MEMREDIRECT_USER, .offset = (uintptr_t)scene.at, .length = PAGE };
	int ends[2], file = mkstemp(path), direct;
	struct statfs system;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(process_vm_readv(getpid(), &here, 1, &there, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(vmsplice(ends[1], &there, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(backing_add(scene.control, &nested, 1, 0, 0, NULL), -EFAULT);
	assert_int_equal(ftruncate(file, 4096), 0);
	direct = open(path, O_RDWR | O_DIRECT);
	/* What is in memory alone is copied, and pinned by nobody. */
	if (direct >= 0 && !fstatfs(direct, &system) && system.f_type != TMPFS_MAGIC && system.f_type != RAMFS_MAGIC) {
		assert_int_equal(read(direct, (void *)scene.at, PAGE), -1);
		assert_int_equal(errno, EFAULT);
	}
	if (direct >= 0)
		close(direct);
	unlink(path);
	close(file);
	close(ends[0]);
	close(ends[1]);
	scene_end(&scene);
}

/* --- debuggers --- */

static int access_memory(pid_t pid, const volatile void *at, uint64_t *word, bool writes)
{
	char path[64];
	int file, result;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	file = open(path, O_RDWR | O_CLOEXEC);
	assert_true(file >= 0);
	result = (writes ? pwrite(file, word, 8, (off_t)(uintptr_t)at) : pread(file, word, 8, (off_t)(uintptr_t)at)) == 8
			 ? 0
			 : -errno;
	close(file);
	return result;
}

static void debuggers_see_and_change_what_is_shown(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	volatile uint64_t *at = scene.at + 512 - 1;
	uint64_t word = 0;

	(void)state;
	assert_int_equal(access_memory(getpid(), at, &word, false), 0);
	assert_int_equal(word, 7);
	word = 9;
	assert_int_equal(access_memory(getpid(), at, &word, true), 0);
	assert_int_equal(*at, 9);
	assert_int_equal(redirect_to(scene.control, 1, 0, MEMREDIRECT_REDIRECT_READ_ONLY), 0);
	assert_int_equal(access_memory(getpid(), at, &word, true), -EIO);
	scene_end(&scene);
}

static void debuggers_do_not_wait_and_see_nothing_of_a_blocked_map(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	uint64_t word = 0;

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(access_memory(getpid(), scene.at, &word, false), -EIO);
	assert_int_equal(revoke_map(scene.control), 0);
	assert_int_equal(access_memory(getpid(), scene.at, &word, false), -EIO);
	assert_int_equal(word, 0);
	scene_end(&scene);
}

/* --- what a mapping allows --- */

static void read_only_redirects_refuse_writes(void **state)
{
	struct scene scene = shown(4, 0, 0, 7);

	(void)state;
	assert_int_equal(poke(scene.at, 8), 8);
	assert_int_equal(redirect_to(scene.control, 1, 0, MEMREDIRECT_REDIRECT_READ_ONLY), 0);
	assert_int_equal(poke(scene.at, 9), GOT_SIGNAL | SIGSEGV);
	assert_int_equal(peek(scene.at), 8);
	/* Also where there is an entry in the page table already. */
	assert_int_equal(poke(scene.at, 9), GOT_SIGNAL | SIGSEGV);
	assert_int_equal(peek(scene.at), 8);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(poke(scene.at, 9), 9);
	scene_end(&scene);
}

static void mprotect_takes_the_right_to_write_and_gives_it_back(void **state)
{
	struct scene scene = shown(4, 0, 0, 7);

	(void)state;
	assert_int_equal(poke(scene.at, 8), 8);
	assert_int_equal(mprotect((void *)scene.at, scene.length, PROT_READ), 0);
	assert_int_equal(poke(scene.at, 9), GOT_SIGNAL | SIGSEGV);
	assert_int_equal(mprotect((void *)scene.at, scene.length, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(poke(scene.at, 9), 9);
	assert_int_equal(mprotect((void *)scene.at, PAGE, PROT_NONE), 0);
	assert_int_equal(peek(scene.at), GOT_SIGNAL | SIGSEGV);
	assert_int_equal(peek(scene.at + 512), 7);
	assert_int_equal(mprotect((void *)scene.at, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(redirect_to(scene.control, 1, 0, MEMREDIRECT_REDIRECT_READ_ONLY), 0);
	assert_int_equal(mprotect((void *)scene.at, PAGE, PROT_READ), 0);
	assert_int_equal(peek(scene.at), 9);
	assert_int_equal(mprotect((void *)scene.at, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(poke(scene.at, 10), GOT_SIGNAL | SIGSEGV);
	scene_end(&scene);
}

static void read_only_descriptors_cannot_be_made_writable(void **state)
{
	struct scene scene = shown(2, 0, MEMREDIRECT_OPEN_READ_ONLY, 7);

	(void)state;
	assert_int_equal(mprotect((void *)scene.at, PAGE, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(poke(scene.at, 9), GOT_SIGNAL | SIGSEGV);
	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 8), 0, 0), 0);
	assert_int_equal(peek(scene.at), 8);
	scene_end(&scene);
}

static void moved_and_split_mappings_show_what_the_map_shows(void **state)
{
	struct scene scene = shown(8, 0, 0, 7);
	char *room = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint64_t *moved;
	uint64_t pages[8];
	uint32_t numbered = backing_fresh(scene.control, 8, 0);

	(void)state;
	for (uint64_t page = 0; page < 8; page++) {
		pages[page] = 100 + page;
		assert_int_equal(backing_write(scene.control, numbered, page * PAGE, &pages[page], 8), 0);
	}
	moved = mremap((void *)(scene.at + 2 * 512), 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + PAGE);
	assert_ptr_equal(moved, room + PAGE);
	assert_int_equal(moved[0], 7);
	assert_int_equal(redirect_to(scene.control, numbered, 0, 0), 0);
	for (uint64_t page = 0; page < 3; page++)
		assert_int_equal(moved[page * 512], 102 + page);
	assert_int_equal(scene.at[5 * 512], 105);
	assert_int_equal(peek(scene.at + 2 * 512), GOT_SIGNAL | SIGSEGV);
	assert_ptr_equal(mremap((void *)moved, 3 * PAGE, 4 * PAGE, 0), MAP_FAILED);
	assert_int_equal(munmap((void *)(moved + 512), PAGE), 0);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(moved[2 * 512], 7);
	munmap(room, 16 * PAGE);
	scene_end(&scene);
}

/* Others in the process go on: mapping, unmapping, forking; and to unmap the range ends the wait. */
static int wait_and_unmap(struct child *self, void *argument)
{
	struct scene *scene = argument;
	pthread_t thread;
	void *other;

	(void)self;
	if (pthread_create(&thread, NULL, read_here, (void *)scene->at))
		return 1;
	if (!wait_waiting(scene->control, 1))
		return 2;
	other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (other == MAP_FAILED || munmap(other, PAGE))
		return 3;
	if (mprotect((void *)(scene->at + 512), PAGE, PROT_READ))
		return 4;
	if (munmap((void *)scene->at, PAGE))
		return 5;
	/* It still waits; when it is woken, there is nothing where it reads. */
	if (redirect_to(scene->control, 1, 0, 0))
		return 6;
	pthread_join(thread, NULL);
	return 7;
}

static void unmapping_goes_on_and_then_the_access_gets_sigsegv(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(child_run(wait_and_unmap, &scene), 128 + SIGSEGV);
	scene_end(&scene);
}

/* --- fork --- */

static void children_of_clients_are_clients(void **state)
{
	struct scene scene = shown(2, 0, 0, 7);
	struct reader reader;

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	reader_start(&reader, scene.at + 512);
	assert_true(wait_waiting(scene.control, 1));
	assert_int_equal(redirect_to(scene.control, backing_fresh(scene.control, 2, 8), 0, 0), 0);
	assert_int_equal(reader_end(&reader), 8);
	scene_end(&scene);
}

struct kept {
	const struct scene *scene;
	int go; /* an eventfd that says when the child may look */
};

/* The child's own child sees the same. */
static bool child_sees(const volatile uint64_t *at, uint64_t first, uint64_t second)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(peek(at) == first && peek(at + 512) == second ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int look_after_change(struct child *self, void *argument)
{
	const struct kept *kept = argument;
	volatile uint64_t *at = kept->scene->at;

	child_tell(self);
	if (!wait_readable(kept->go))
		return 1;
	if (peek(at) != 7 || peek(at + 512) != 7)
		return 2;
	if (poke(at, 70) != 70 || peek(at) != 70)
		return 3;
	return child_sees(at, 70, 7) ? 0 : 4;
}

static void child_keeps_through(void (*change)(struct scene *scene))
{
	struct scene scene = shown(2, 0, MEMREDIRECT_OPEN_KEEP_ON_FORK, 7);
	struct kept kept = { &scene, eventfd(0, EFD_CLOEXEC) };
	const uint64_t one = 1;
	struct child child;
	int status;

	assert_true(child_start(&child, look_after_change, &kept));
	assert_true(child_await(&child));
	change(&scene);
	assert_int_equal(write(kept.go, &one, sizeof(one)), sizeof(one));
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, 0);
	close(kept.go);
	scene_end(&scene);
}

static void change_by_redirect(struct scene *scene)
{
	assert_int_equal(redirect_to(scene->control, backing_fresh(scene->control, 2, 8), 0, 0), 0);
	assert_int_equal(backing_del(scene->control, 1), 0);
	assert_int_equal(peek(scene->at), 8);
}

static void change_by_block(struct scene *scene)
{
	assert_int_equal(block(scene->control, 0, 0), 0);
}

static void change_by_closing(struct scene *scene)
{
	assert_int_equal(revoke_map(scene->control), 0);
	close(scene->control);
	scene->control = -1;
	assert_int_equal(peek(scene->at), GOT_SIGNAL | SIGBUS);
}

static void kept_mappings_of_children_stay_as_they_were(void **state)
{
	(void)state;
	child_keeps_through(change_by_redirect);
	child_keeps_through(change_by_block);
	child_keeps_through(change_by_closing);
}

static void kept_mappings_are_absent_if_the_map_was_blocked_at_the_fork(void **state)
{
	struct scene scene = shown(2, 0, MEMREDIRECT_OPEN_KEEP_ON_FORK, 7);
	struct reader reader;

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	reader_start(&reader, scene.at);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(reader_end(&reader), GOT_SIGNAL | SIGSEGV);
	assert_int_equal(peek(scene.at), 7);
	scene_end(&scene);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(accesses_to_an_empty_map_wait_for_the_first_redirect),
		TEST(a_block_holds_every_client_and_a_redirect_lets_them_go),
		TEST(threads_that_wait_are_counted_by_process),
		TEST(a_waiting_client_can_be_killed),
		TEST(signals_are_handled_during_the_wait_which_then_goes_on),
		TEST(a_waiting_client_can_be_stopped_and_continued),
		TEST(an_unprivileged_client_in_a_system_call_waits_and_completes),
		TEST(a_system_call_with_a_signal_pending_sleeps),
		TEST(a_client_in_a_system_call_can_be_killed),
		TEST(user_only_maps_let_no_system_call_wait),
		TEST(pages_cannot_be_pinned_through_a_map),
		TEST(debuggers_see_and_change_what_is_shown),
		TEST(debuggers_do_not_wait_and_see_nothing_of_a_blocked_map),
		TEST(read_only_redirects_refuse_writes),
		TEST(mprotect_takes_the_right_to_write_and_gives_it_back),
		TEST(read_only_descriptors_cannot_be_made_writable),
		TEST(moved_and_split_mappings_show_what_the_map_shows),
		TEST(unmapping_goes_on_and_then_the_access_gets_sigsegv),
		TEST(children_of_clients_are_clients),
		TEST(kept_mappings_of_children_stay_as_they_were),
		TEST(kept_mappings_are_absent_if_the_map_was_blocked_at_the_fork),
	};
	int missing = device_missing();

	return missing ? missing : suite_run(argc, argv, "clients of the driver", tests, COUNT(tests));
}
