/* SPDX-License-Identifier: MIT */
/* What the library does not do: print, install signal handlers, change signal masks, let its thread take signals. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "leak.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

/* A bit of everything, failures too. */
static void use_everything(void)
{
	for (size_t i = 0; i < kind_count; i++) {
		struct victim *victim;
		struct scene scene;

		if (kind_missing(&kinds[i]))
			continue;
		scene_make(&scene, &kinds[i]);
		scene_switch(&scene);
		scene_block(&scene);
		victim = scene_victim(&scene, ACCESS_LOAD, 8);
		assert_error(mr_map_redirect(scene.map, NULL, 0, 1), EINVAL);
		scene_restore(&scene);
		scene_victim_end(victim, SCENE_OLD, 8);
		scene_free(&scene);
	}
}

static int print_nothing(struct child *self, void *argument)
{
	int fd = memfd_create("output", MFD_CLOEXEC);

	(void)self;
	(void)argument;
	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	use_everything();
	fflush(NULL);
	return lseek(fd, 0, SEEK_END) == 0 ? 0 : 1;
}

static void library_prints_nothing(void **state)
{
	(void)state;
	assert_int_equal(child_run(print_nothing, NULL), 0);
}

/* SIGSEGV and SIGBUS are the tests' own. */
static void library_installs_no_signal_handler(void **state)
{
	struct sigaction before[NSIG], after;

	(void)state;
	memset(before, 0, sizeof(before));
	for (int number = 1; number < NSIG; number++)
		sigaction(number, NULL, &before[number]);
	use_everything();
	for (int number = 1; number < NSIG; number++) {
		if (number == SIGSEGV || number == SIGBUS || sigaction(number, NULL, &after))
			continue;
		assert_ptr_equal((void *)after.sa_handler, (void *)before[number].sa_handler);
		assert_int_equal(after.sa_flags, before[number].sa_flags);
	}
}

static bool same_mask(const sigset_t *first, const sigset_t *second)
{
	for (int number = 1; number < NSIG; number++)
		if (sigismember(first, number) != sigismember(second, number))
			return false;
	return true;
}

static void library_leaves_the_signal_mask_alone(void **state)
{
	sigset_t some, old, before, after;

	(void)state;
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigaddset(&some, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &some, &old);
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	use_everything();
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	assert_true(same_mask(&before, &after));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The signals that a thread blocks, bit 0 for signal 1; 0 if it has gone. */
static uint64_t blocked_by(const char *thread)
{
	char path[300], line[256];
	unsigned long long mask = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%s/status", thread);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "SigBlk: %llx", &mask);
	if (file)
		fclose(file);
	return mask;
}

/* The signals that can be blocked, but for the two that the C library keeps to itself. */
static uint64_t all_signals(void)
{
	uint64_t all = 0;

	for (int number = 1; number <= SIGRTMAX; number++)
		if (number != SIGKILL && number != SIGSTOP && (number < 32 || number >= SIGRTMIN))
			all |= UINT64_C(1) << (number - 1);
	return all;
}

static void library_thread_blocks_every_signal(void **state)
{
	DIR *directory = opendir("/proc/self/task");
	struct scene scene;
	int others = 0;

	(void)state;
	assert_non_null(directory);
	scene_make(&scene, kind_find("buffer"));
	scene_block(&scene);
	for (const struct dirent *entry; (entry = readdir(directory));) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		assert_int_equal(blocked_by(entry->d_name) & all_signals(), all_signals());
		others++;
	}
	assert_true(others >= 1);
	closedir(directory);
	scene_free(&scene);
}

/* A signal to the process is not lost on it, and the program's own thread takes it. */
static volatile sig_atomic_t taker;

static void note_taker(int number)
{
	(void)number;
	taker = gettid();
}

static void library_thread_takes_no_signal_of_the_process(void **state)
{
	struct sigaction action = { .sa_handler = note_taker }, old;
	struct scene scene;

	(void)state;
	scene_make(&scene, kind_find("buffer"));
	scene_block(&scene);
	assert_int_equal(sigaction(SIGUSR2, &action, &old), 0);
	for (int i = 0; i < 20; i++) {
		taker = 0;
		kill(getpid(), SIGUSR2);
		assert_int_equal(taker, getpid());
	}
	sigaction(SIGUSR2, &old, NULL);
	scene_free(&scene);
}

/* There is one thread, while some map needs it, and none afterwards. */
static void library_has_one_thread_at_most(void **state)
{
	struct holdings before, now;
	struct scene scenes[3];

	(void)state;
	holdings_take(&before);
	for (size_t i = 0; i < COUNT(scenes); i++) {
		scene_make(&scenes[i], kind_find("buffer"));
		scene_block(&scenes[i]);
	}
	holdings_take(&now);
	assert_int_equal(now.threads, before.threads + 1);
	holdings_free(&now);
	for (size_t i = 0; i < COUNT(scenes); i++)
		scene_free(&scenes[i]);
	assert_true(holdings_no_leak(&before));
}

static const struct CMUnitTest tests[] = {
	TEST(library_prints_nothing),
	TEST(library_installs_no_signal_handler),
	TEST(library_leaves_the_signal_mask_alone),
	TEST(library_thread_blocks_every_signal),
	TEST(library_thread_takes_no_signal_of_the_process),
	TEST(library_has_one_thread_at_most),
};

int main(int argc, char **argv)
{
	if (!features()->blocking)
		return suite_skip("userfaultfd");
	return suite_run(argc, argv, "manners", tests, COUNT(tests));
}
