/* SPDX-License-Identifier: MIT */
/*
 * A program to be moved and snapshot that knows nothing of it, and whose memory checks itself.
 *	victim MODE
 * Each of its threads writes a table of its own in order, over and over, and looks whether it still has what was written. MODE is
 * what else it does:
 *	plain	nothing
 *	fork	children, one after another, look at the tables, too, and at what they write themselves
 *	churn	mappings come, grow, are emptied, move and go
 *	filter	nothing, with a seccomp filter that kills it for any system call that it does not need
 *
 * It prints "ready ADDRESS-ADDRESS", the range of its tables. When its standard input ends, it prints what it has done, and exits
 * with status 0 if nothing was ever wrong.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 2
#define WORDS	((size_t)1 << 20) /* in a table: 8 MiB */
#define BURST	((size_t)1 << 14) /* words that are written without a pause */
#define CHURNED ((size_t)4 << 20)
#define PAGE	4096

struct table {
	uint64_t *words;
	atomic_uint_fast64_t written; /* since the beginning; those below written % WORDS one time more than the others */
};

static struct table tables[THREADS];
static atomic_bool ending;
static unsigned long deeds; /* of the main thread */

static _Noreturn void die(const char *sentence)
{
	fprintf(stderr, "WRONG: %s (%s)\n", sentence, strerror(errno));
	_exit(1);
}

static uint64_t word(size_t index, uint64_t round)
{
	return (index + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ round;
}

/* Each word is written once it has been found to be what it was in the round before. */
static void *write_table(void *argument)
{
	struct table *table = argument;

	for (uint64_t round = 1; !ending; round++)
		for (size_t i = 0; i < WORDS && !ending; i++) {
			if (table->words[i] != word(i, round - 1))
				die("a word is not what was written");
			table->words[i] = word(i, round);
			table->written++;
			if (i % BURST == 0)
				nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		}
	return NULL;
}

static void check_table(const struct table *table, uint64_t written)
{
	for (size_t i = 0; i < WORDS; i++)
		if (table->words[i] != word(i, written / WORDS + (i < written % WORDS)))
			die("a word is not what was written, at the end");
}

/* -- fork -- */

/* The word that a thread was about to write when its address space was copied may be the next one, in each table. */
static void check_in_child(void)
{
	for (unsigned t = 0; t < THREADS; t++) {
		uint64_t written = tables[t].written, next = written % WORDS;

		for (size_t i = 0; i < WORDS; i++) {
			uint64_t round = written / WORDS + (i < next);

			if (tables[t].words[i] != word(i, round) && !(i == next && tables[t].words[i] == word(i, round + 1)))
				die("a child of fork finds a word that was never there");
		}
		memset(tables[t].words, 0xff, WORDS / 4);
	}
	_exit(0);
}

static void fork_one(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		check_in_child();
	if (child < 0 || waitpid(child, &status, 0) != child)
		die("fork does not work any more");
	if (status)
		die("a child did not end well");
}

/* -- mappings -- */

static void *map(size_t length)
{
	void *mapped = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapped == MAP_FAILED)
		die("mmap does not work any more");
	return mapped;
}

static void expect(const unsigned char *bytes, size_t length, int value)
{
	for (size_t i = 0; i < length; i += 64)
		if (bytes[i] != value)
			die(value ? "a byte of a new mapping is lost" : "memory that was given back is not zero");
}

static void churn_one(void)
{
	size_t length = CHURNED + deeds % 64 * PAGE;
	unsigned char *bytes = map(length);

	memset(bytes, 0x5a, length);
	bytes = mremap(bytes, length, 2 * length, MREMAP_MAYMOVE);
	if (bytes == MAP_FAILED)
		die("mremap does not work any more");
	expect(bytes, length, 0x5a);
	expect(bytes + length, length, 0);
	if (madvise(bytes, length / PAGE / 2 * PAGE, MADV_DONTNEED) || mprotect(bytes, PAGE, PROT_READ))
		die("madvise or mprotect does not work any more");
	expect(bytes, length / PAGE / 2 * PAGE, 0);
	expect(bytes + length / PAGE / 2 * PAGE, length - length / PAGE / 2 * PAGE, 0x5a);
	if (munmap(bytes, 2 * length))
		die("munmap does not work any more");
}

/* -- a filter -- */

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_futex),
		ALLOW(SYS_clock_nanosleep),
		ALLOW(SYS_restart_syscall),
		ALLOW(SYS_exit),
		ALLOW(SYS_rseq),
		ALLOW(SYS_set_robust_list),
		ALLOW(SYS_exit_group),
		ALLOW(SYS_madvise),
		ALLOW(SYS_munmap),
		ALLOW(SYS_rt_sigprocmask),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
		die("there is no seccomp filter to be had");
}

/* -- */

static void *wait_for_end(void *argument)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	ending = true;
	return argument;
}

static void start(pthread_t *thread, void *(*function)(void *), void *argument)
{
	if (pthread_create(thread, NULL, function, argument))
		die("no thread can be started");
}

/* The start of their range. */
static uint64_t *make_tables(void)
{
	uint64_t *words = map(THREADS * WORDS * sizeof(*words));

	for (unsigned t = 0; t < THREADS; t++) {
		tables[t].words = words + t * WORDS;
		for (size_t i = 0; i < WORDS; i++)
			tables[t].words[i] = word(i, 0);
	}
	return words;
}

int main(int argc, char **argv)
{
	const char *mode = argc == 2 ? argv[1] : "";
	pthread_t writers[THREADS], waiter;
	uint64_t *words = make_tables(), written = 0;

	setvbuf(stdout, NULL, _IONBF, 0); /* takes no system calls but write */
	for (unsigned t = 0; t < THREADS; t++)
		start(&writers[t], write_table, &tables[t]);
	start(&waiter, wait_for_end, NULL);
	if (strcmp(mode, "filter") == 0)
		filter();
	printf("ready %jx-%jx\n", (uintmax_t)(uintptr_t)words, (uintmax_t)(uintptr_t)(words + THREADS * WORDS));
	for (; !ending; deeds++)
		if (strcmp(mode, "fork") == 0)
			fork_one();
		else if (strcmp(mode, "churn") == 0)
			churn_one();
		else
			pthread_join(waiter, NULL);
	for (unsigned t = 0; t < THREADS; t++) {
		pthread_join(writers[t], NULL);
		check_table(&tables[t], tables[t].written);
		written += tables[t].written;
	}
	printf("ok, %ju words, %lu deeds\n", (uintmax_t)written, deeds);
	return 0;
}
