/* SPDX-License-Identifier: MIT */
/*
 * A program whose memory is held by more than its page tables: by pipes, rings, futexes, stacks and other processes. It does what it is
 * told, one word on each line of its standard input, and answers on one line: "ok", "skip" and why, or "wrong" and what.
 *
 * It prints "ready ADDRESS-ADDRESS" first: a mapping of which the first bytes are used by what it is told, and the others never change.
 * Words are those of the table at the end. It ends with its standard input.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LENGTH ((size_t)8 << 20)
#define GUARD  ((size_t)2 << 20)
#define PAGE   ((size_t)4096)

/* What the first bytes are used for. */
#define FUTEX	0
#define COUNTER PAGE
#define SPLICED (2 * PAGE)
#define STACK	(16 * PAGE)
#define UNUSED	((size_t)1 << 20)

static unsigned char *memory;
static int pipes[2]; /* to a thread, or a child, or with spliced pages */
static int answers[2];
static pthread_t thread, joiner;

static const char *expect(bool condition, const char *sentence)
{
	return condition ? "ok" : sentence;
}

/* -- the bytes that never change -- */

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 31 + i / PAGE + 1);
}

static void fill(size_t from)
{
	for (size_t i = from; i < LENGTH; i++)
		memory[i] = byte_at(i);
}

static const char *check(void)
{
	for (size_t i = UNUSED; i < LENGTH; i++)
		if (memory[i] != byte_at(i))
			return "wrong: a byte is not what was written";
	return "ok";
}

/* -- pages that the kernel holds -- */

static const char *fill_pipe(void)
{
	struct iovec page = { memory + SPLICED, PAGE };

	memset(page.iov_base, 'a', PAGE);
	return expect(!pipe(pipes) && vmsplice(pipes[1], &page, 1, 0) == (ssize_t)PAGE, "skip: there is no vmsplice");
}

/* What has been spliced must not be written to, until it has been read; then the page is the program's own again. */
static const char *read_pipe(void)
{
	unsigned char got[PAGE], want[PAGE];

	memset(want, 'a', PAGE);
	if (read(pipes[0], got, PAGE) != (ssize_t)PAGE || memcmp(got, want, PAGE) != 0)
		return "wrong: a pipe does not have what was put into it";
	memset(want, 'b', PAGE);
	memset(memory + SPLICED, 'b', PAGE);
	return expect(!memcmp(memory + SPLICED, want, PAGE), "wrong: what has been read from a pipe cannot be written to");
}

/* A ring with the memory as its fixed buffer. */
static const char *pin(void)
{
	struct io_uring_params params = { 0 };
	struct iovec buffer = { memory, LENGTH };
	int ring = (int)syscall(SYS_io_uring_setup, 1, &params);

	if (ring < 0)
		return "skip: io_uring is not available";
	return expect(!syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1),
		      "skip: io_uring takes no fixed buffers here");
}

/* Where transfers could be asked for: a ring alone. */
static const char *make_ring(void)
{
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 1, &params);

	if (ring < 0)
		return "skip: io_uring is not available";
	return expect(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ring, IORING_OFF_SQ_RING) != MAP_FAILED,
		      "wrong: the ring cannot be mapped");
}

/* The same, with nothing mapped. */
static const char *make_unmapped_ring(void)
{
	struct io_uring_params params = { 0 };

	return expect(syscall(SYS_io_uring_setup, 1, &params) >= 0, "skip: io_uring is not available");
}

static const char *make_queue(void)
{
	aio_context_t context = 0;

	return expect(!syscall(SYS_io_setup, 1, &context), "skip: AIO is not available");
}

/* -- threads that wait -- */

static atomic_uint *futex(void)
{
	return (atomic_uint *)(memory + FUTEX);
}

/* With the key that processes share, which is that of the page's. */
static void *wait_for_wake(void *argument)
{
	while (!*futex())
		syscall(SYS_futex, futex(), FUTEX_WAIT, 0, NULL, NULL, 0);
	return argument;
}

static const char *wait_futex(void)
{
	*futex() = 0;
	return expect(!pthread_create(&thread, NULL, wait_for_wake, NULL), "wrong: no thread can be started");
}

static const char *wake_futex(void)
{
	*futex() = 1;
	if (syscall(SYS_futex, futex(), FUTEX_WAKE, INT_MAX, NULL, NULL, 0) != 1)
		return "wrong: nobody waits any more";
	return expect(!pthread_join(thread, NULL), "wrong: the thread that waited cannot be joined");
}

static void *wait_for_byte(void *argument)
{
	char byte;

	return read(pipes[0], &byte, 1) == 1 ? argument : NULL;
}

static void *join(void *argument)
{
	void *result = NULL;

	return !pthread_join(thread, &result) && result ? argument : NULL;
}

/* A thread whose stack, and the word by which it is joined, are in the memory; and one that joins it. */
static const char *wait_join(void)
{
	pthread_attr_t attributes;
	bool started;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, memory + STACK, UNUSED - STACK);
	started = !pipe(pipes) && !pthread_create(&thread, &attributes, wait_for_byte, memory) &&
		  !pthread_create(&joiner, NULL, join, memory);
	pthread_attr_destroy(&attributes);
	return expect(started, "wrong: no thread can be started");
}

static const char *end_thread(void)
{
	void *result = NULL;
	bool ended = write(pipes[1], "", 1) == 1 && !pthread_join(joiner, &result) && result;

	close(pipes[0]);
	close(pipes[1]);
	return expect(ended, "wrong: the thread has not been joined");
}

/* -- memory that shrinks and grows -- */

static const char *resize(void)
{
	if (mremap(memory, LENGTH, LENGTH / 2, 0) != memory || mremap(memory, LENGTH / 2, LENGTH, 0) != memory)
		return "wrong: mremap does not work any more";
	for (size_t i = LENGTH / 2; i < LENGTH; i++)
		if (memory[i])
			return "wrong: what has grown again is not zero";
	fill(LENGTH / 2);
	return "ok";
}

/* -- other processes -- */

static const char *share(void)
{
	void *mapped = mmap(memory, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	fill(0);
	return expect(mapped == memory, "wrong: there is no shared memory");
}

/* Count in the memory; to each byte, answer with the count in a variable of its own. */
static _Noreturn void count_up(void)
{
	volatile atomic_ulong *counter = (volatile atomic_ulong *)(memory + COUNTER);
	unsigned long own = *counter;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(pipes[1]);
	for (;;) {
		for (unsigned i = 0; i < 1000; i++)
			*counter = ++own;
		if (write(answers[1], &own, sizeof(own)) != sizeof(own) || read(pipes[0], &byte, 1) != 1)
			_exit(0);
	}
}

static const char *start_child(void)
{
	pid_t child = pipe(pipes) || pipe(answers) ? -1 : fork();

	if (!child)
		count_up();
	close(pipes[0]);
	return expect(child > 0, "wrong: no child can be started");
}

/* A thousand writes of the child's, each of which is here. */
static const char *compare_counts(void)
{
	unsigned long count = 0;

	if (read(answers[0], &count, sizeof(count)) != sizeof(count))
		return "wrong: the child has ended";
	if (*(volatile atomic_ulong *)(memory + COUNTER) != count)
		return "wrong: a write of another process is lost";
	return expect(write(pipes[1], "", 1) == 1, "wrong: the child has ended");
}

/* Wait, as vfork(2) does, for a child that reads a byte of the standard input. */
static const char *wait_for_child(void)
{
	static char byte;
	pid_t child = vfork();

	if (!child)
		_exit(read(STDIN_FILENO, &byte, 1) != 1);
	return expect(child > 0 && byte == '\n', "wrong: no child has read a byte");
}

/* -- */

static const struct {
	const char *word;
	const char *(*deed)(void);
} deeds[] = {
	{ "check", check },
	{ "fill-pipe", fill_pipe },
	{ "read-pipe", read_pipe },
	{ "pin", pin },
	{ "make-ring", make_ring },
	{ "make-unmapped-ring", make_unmapped_ring },
	{ "make-queue", make_queue },
	{ "wait-futex", wait_futex },
	{ "wake", wake_futex },
	{ "wait-join", wait_join },
	{ "end-thread", end_thread },
	{ "resize", resize },
	{ "share", share },
	{ "start-child", start_child },
	{ "compare-counts", compare_counts },
	{ "vfork", wait_for_child },
};

static const char *obey(const char *word)
{
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		if (strcmp(word, deeds[i].word) == 0)
			return deeds[i].deed();
	return "wrong: no such word";
}

int main(void)
{
	char line[64];

	/* between two that nobody may access: nothing joins it, and it can grow again */
	memory = mmap(NULL, LENGTH + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || mprotect(memory + GUARD, LENGTH, PROT_READ | PROT_WRITE))
		return 1;
	memory += GUARD;
	fill(0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %jx-%jx\n", (uintmax_t)(uintptr_t)memory, (uintmax_t)(uintptr_t)(memory + LENGTH));
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		puts(obey(line));
	}
	return 0;
}
