/* SPDX-License-Identifier: MIT */
/*
 * Random requests, mappings, accesses, forks and closes at the device, by several processes at once, for a number of seconds.
 *
 *	driver_fuzz [SECONDS [SEED]]
 *
 * Nothing is asked of the answers: the kernel's log is what shows mistakes (./run vm reads it), and that all processes end. What they ask
 * for may well be to have their own memory written to, so that one of them may say that its stack was smashed. A
 * process that waits in a map that nobody lets go, is killed, and replaced by another: that is part of it. The seed is printed;
 * as far as processes can be repeated, it repeats them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/memredirect.h>

#define PAGE	  4096
#define MAP_PAGES 24
#define CONTROLS  4
#define MAPS	  6
#define RANGES	  8
#define WORKERS	  4
#define SKIPPED	  77

static uint64_t random_state;

static uint32_t any(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % limit;
}

static bool rarely(void)
{
	return any(16) == 0;
}

/* What a process works with. All of it is inherited by its children. */
static int controls[CONTROLS], maps[MAPS];
static struct {
	char *at;
	size_t length;
} ranges[RANGES];
static char *own;
static uint64_t *progress; /* of this worker, shared */

/* A request, of any kind. */
union bytes {
	uint32_t size;
	unsigned char byte[512];
	struct memredirect_create create;
	struct memredirect_open open;
	struct memredirect_add_backing add;
	struct memredirect_del_backing del;
	struct memredirect_redirect redirect;
	struct memredirect_block block;
	struct memredirect_populate populate;
	struct memredirect_phys phys;
	struct memredirect_copy copy;
};

static sigjmp_buf out;

static void on_signal(int number)
{
	(void)number;
	siglongjmp(out, 1);
}

/* Mostly right: a number of pages, an offset, an identifier, and now and then anything. */
static uint64_t some_number(uint32_t limit, uint64_t unit)
{
	static const uint64_t odd[] = {
		0, 1, 4095, UINT64_C(1) << 31, UINT64_C(1) << 40, INT64_MAX, UINT64_MAX, UINT64_MAX - 4095
	};

	return rarely() ? odd[any(sizeof(odd) / sizeof(odd[0]))] : any(limit) * unit;
}

static uint32_t some_flags(uint32_t known)
{
	return rarely() ? 1U << any(32) : any(4) ? 0 : any(known + 1) & known;
}

/* --- requests --- */

static void some_segment(struct memredirect_segment *segment)
{
	memset(segment, 0, sizeof(*segment));
	segment->kind = rarely() ? any(9) : 1 + any(3);
	segment->length = some_number(MAP_PAGES, PAGE);
	switch (segment->kind) {
	case MEMREDIRECT_USER:
		segment->offset = any(8) ? (uintptr_t)own + any(MAP_PAGES) * PAGE : (uintptr_t)ranges[any(RANGES)].at;
		if (rarely())
			segment->pid = getppid();
		break;
	case MEMREDIRECT_FILE:
		segment->fd = any(4) ? 3 : (int)any(20);
		segment->offset = some_number(MAP_PAGES, PAGE);
		break;
	case MEMREDIRECT_KERNEL:
		segment->flags = some_flags(MEMREDIRECT_SEGMENT_CONTIGUOUS);
		break;
	default:
		/* Memory that somebody uses is left alone: only addresses that there are not. */
		segment->offset = UINT64_C(1) << (52 + any(10));
		break;
	}
}

static void add_backing(int control, union bytes *bytes)
{
	struct memredirect_segment segments[4];

	for (size_t i = 0; i < 4; i++)
		some_segment(&segments[i]);
	bytes->add.flags = some_flags(MEMREDIRECT_BACKING_READ_ONLY);
	bytes->add.segments = rarely() ? some_number(1 << 20, PAGE) : (uintptr_t)segments;
	bytes->add.count = rarely() ? any(5) : 1 + any(4);
	bytes->add.segment_size = rarely() ? any(100) : sizeof(segments[0]);
	bytes->add.cache = any(8) ? 0 : any(6);
	ioctl(control, MEMREDIRECT_ADD_BACKING, bytes);
}

static void fill_copy(struct memredirect_copy *copy)
{
	copy->id = any(12);
	copy->offset = some_number(MAP_PAGES * 4, 1000);
	copy->length = some_number(MAP_PAGES, 1000);
	copy->address = any(3) ? (uintptr_t)own : (uintptr_t)ranges[any(RANGES)].at;
}

static void fill_change(unsigned int number, union bytes *bytes)
{
	if (number == 4) {
		bytes->redirect.flags = some_flags(MEMREDIRECT_REDIRECT_READ_ONLY);
		bytes->redirect.id = any(12);
		bytes->redirect.offset = any(4) ? 0 : some_number(MAP_PAGES, PAGE);
		bytes->redirect.generation = rarely() ? any(20) : 0;
	} else {
		bytes->block.flags = any(3);
		bytes->block.deadline_ms = rarely() ? (uint32_t)some_number(100, 1) : bytes->block.flags ? 1 + any(20) : 0;
	}
}

static void fill(unsigned int number, union bytes *bytes)
{
	unsigned int range = any(RANGES);

	switch (number) {
	case 0:
		bytes->create.size = MEMREDIRECT_SIZE_CREATE;
		bytes->create.flags = some_flags(MEMREDIRECT_MAP_PERSIST | MEMREDIRECT_MAP_USER_ONLY);
		bytes->create.length = rarely() ? some_number(MAP_PAGES, PAGE) : MAP_PAGES * PAGE;
		break;
	case 1:
		bytes->open.flags = some_flags(MEMREDIRECT_OPEN_READ_ONLY | MEMREDIRECT_OPEN_KEEP_ON_FORK);
		break;
	case 3:
		bytes->del.id = any(12);
		break;
	case 4:
	case 5:
		fill_change(number, bytes);
		break;
	case 8:
		bytes->populate.address = (uintptr_t)ranges[range].at + some_number(4, PAGE);
		bytes->populate.length = rarely() ? some_number(MAP_PAGES, PAGE) : ranges[range].length;
		break;
	case 9:
		bytes->phys.id = any(12);
		bytes->phys.offset = some_number(MAP_PAGES, 1000);
		break;
	case 10:
	case 11:
		fill_copy(&bytes->copy);
		break;
	default:
		break;
	}
}

static const uint32_t sizes[] = { MEMREDIRECT_SIZE_CREATE,	MEMREDIRECT_SIZE_OPEN,	   MEMREDIRECT_SIZE_ADD_BACKING,
				  MEMREDIRECT_SIZE_DEL_BACKING, MEMREDIRECT_SIZE_REDIRECT, MEMREDIRECT_SIZE_BLOCK,
				  MEMREDIRECT_SIZE_REVOKE,	MEMREDIRECT_SIZE_INFO,	   MEMREDIRECT_SIZE_POPULATE,
				  MEMREDIRECT_SIZE_PHYS,	MEMREDIRECT_SIZE_COPY,	   MEMREDIRECT_SIZE_COPY };

/* Revoking ends a map, so it is rare. */
static void some_request(void)
{
	static const unsigned char numbers[] = { 0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5, 5, 7, 8, 9, 10, 11 };
	unsigned int number = rarely() ? any(14) : numbers[any(sizeof(numbers))];
	int fd = rarely() ? maps[any(MAPS)] : controls[any(CONTROLS)];
	union bytes bytes;

	memset(&bytes, 0, sizeof(bytes));
	if (number < sizeof(sizes) / sizeof(sizes[0]))
		fill(number, &bytes);
	bytes.size = number < sizeof(sizes) / sizeof(sizes[0]) ? sizes[number] : any(512);
	if (rarely())
		bytes.size = any(512);
	if (rarely())
		bytes.byte[any(64)] ^= (unsigned char)(1U << any(8));
	if (number == 2)
		add_backing(fd, &bytes);
	else if (ioctl(fd, _IO(MEMREDIRECT_TYPE, number), rarely() ? NULL : (void *)&bytes) == 0 && number == 1) {
		unsigned int at = any(MAPS);

		close(maps[at]);
		maps[at] = bytes.open.fd;
	}
}

/* --- descriptors and mappings --- */

static void reopen(void)
{
	unsigned int at = any(CONTROLS);
	union bytes bytes;

	memset(&bytes, 0, sizeof(bytes));
	close(controls[at]);
	controls[at] = open(MEMREDIRECT_DEVICE, O_RDWR | O_CLOEXEC);
	fill(0, &bytes);
	ioctl(controls[at], MEMREDIRECT_CREATE, &bytes);
}

static void some_mapping(void)
{
	unsigned int at = any(RANGES);
	size_t pages = 1 + any(MAP_PAGES);

	if (ranges[at].at)
		munmap(ranges[at].at, ranges[at].length);
	ranges[at].length = pages * PAGE;
	ranges[at].at =
		mmap(NULL, ranges[at].length, (int)any(8), rarely() ? MAP_PRIVATE : MAP_SHARED | (any(8) ? 0 : MAP_POPULATE),
		     maps[any(MAPS)], (off_t)(any(MAP_PAGES) * PAGE));
	if (ranges[at].at == MAP_FAILED)
		ranges[at].at = NULL;
}

static void change_mapping(void)
{
	static const int advice[] = { MADV_NORMAL, MADV_DONTNEED,   MADV_WILLNEED,   MADV_DONTFORK,
				      MADV_DOFORK, MADV_KEEPONFORK, MADV_WIPEONFORK, MADV_DODUMP,
				      MADV_COLD,   MADV_PAGEOUT,    MADV_HUGEPAGE };
	unsigned int at = any(RANGES);
	char *moved;

	if (!ranges[at].at)
		return;
	switch (any(5)) {
	case 0:
		mprotect(ranges[at].at, any(MAP_PAGES) * PAGE % ranges[at].length + PAGE, (int)any(8));
		break;
	case 1:
		moved = mremap(ranges[at].at, ranges[at].length, ranges[at].length + (rarely() ? PAGE : 0), MREMAP_MAYMOVE);
		if (moved != MAP_FAILED)
			ranges[at].at = moved;
		break;
	case 2:
		munmap(ranges[at].at + ranges[at].length / 2 / PAGE * PAGE, PAGE);
		break;
	case 3:
		madvise(ranges[at].at, ranges[at].length, advice[any(sizeof(advice) / sizeof(advice[0]))]);
		break;
	default:
		mlock(ranges[at].at, ranges[at].length);
		break;
	}
}

/* One that has to wait, is woken by a timer; within a system call, by nobody but who kills it. */
static void some_access(void)
{
	const struct itimerval soon = { .it_value.tv_usec = 3000 }, never = { 0 };
	unsigned int at = any(RANGES);
	volatile char *byte = ranges[at].at ? ranges[at].at + any((uint32_t)ranges[at].length) : NULL;

	if (!byte)
		return;
	setitimer(ITIMER_REAL, &soon, NULL);
	if (!sigsetjmp(out, 1)) {
		struct iovec here = { own, 8 }, there = { (void *)byte, 8 };
		int pipe_ends[2];

		switch (any(8)) {
		case 0:
			*byte = 1;
			break;
		case 1:
			__atomic_fetch_add((volatile unsigned char *)byte, 1, __ATOMIC_SEQ_CST);
			break;
		case 2:
			if (!pipe(pipe_ends)) {
				if (write(pipe_ends[1], (void *)byte, 1) == 1)
					(void)!read(pipe_ends[0], (void *)byte, 1);
				close(pipe_ends[0]);
				close(pipe_ends[1]);
			}
			break;
		case 3:
			process_vm_readv(getpid(), &here, 1, &there, 1, 0);
			break;
		case 4: {
			int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

			(void)!pread(memory, own, 8, (off_t)(uintptr_t)byte);
			(void)!pwrite(memory, own, 8, (off_t)(uintptr_t)byte);
			close(memory);
			break;
		}
		default:
			(void)*byte;
			break;
		}
	}
	setitimer(ITIMER_REAL, &never, NULL);
}

static void act(void);

/* A child does a little with what it has inherited, and may be killed by its parent meanwhile. */
static void some_child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent) /* killed before that: nobody would end what may wait for good */
			_exit(0);
		for (uint32_t i = any(20); i > 0; i--)
			act();
		_exit(0);
	}
	if (pid < 0)
		return;
	poll(NULL, 0, (int)any(4));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void act(void)
{
	uint32_t what = any(100);
	struct pollfd poll_fd = { .fd = any(2) ? maps[any(MAPS)] : controls[any(CONTROLS)], .events = POLLIN | POLLPRI };

	if (what < 50)
		some_request();
	else if (what < 75)
		some_access();
	else if (what < 85)
		some_mapping();
	else if (what < 93)
		change_mapping();
	else if (what < 96)
		reopen();
	else if (what < 98)
		some_child();
	else
		poll(&poll_fd, 1, (int)any(3));
	__atomic_add_fetch(progress, 1, __ATOMIC_RELAXED);
}

/* --- workers --- */

static void work(uint64_t seed, uint64_t *count)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGALRM };
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	int file;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_state = seed * 0x9e3779b97f4a7c15 + 1;
	progress = count;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	/* Descriptor 3 is the file that segments are taken from. */
	file = memfd_create("fuzz", MFD_CLOEXEC);
	if (ftruncate(file, MAP_PAGES * PAGE) || dup2(file, 3) != 3)
		_exit(1);
	own = mmap(NULL, MAP_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < CONTROLS; i++)
		controls[i] = -1;
	for (size_t i = 0; i < MAPS; i++)
		maps[i] = -1;
	for (size_t i = 0; i < CONTROLS; i++)
		reopen();
	for (;;)
		if (!sigsetjmp(out, 1))
			act();
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static pid_t start(uint64_t seed, uint64_t *count)
{
	pid_t pid = fork();

	if (pid == 0)
		work(seed, count);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	double stop = now() + (argc > 1 ? atof(argv[1]) : 10);
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL), started = 0, done = 0;
	uint64_t *counts = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t before[WORKERS] = { 0 };
	pid_t workers[WORKERS];

	if (access(MEMREDIRECT_DEVICE, F_OK)) {
		printf("skipped: the driver (" MEMREDIRECT_DEVICE ") is missing here\n");
		return SKIPPED;
	}
	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	for (size_t i = 0; i < WORKERS; i++)
		workers[i] = start(seed + started++, &counts[i]);
	while (now() < stop) {
		poll(NULL, 0, 500);
		for (size_t i = 0; i < WORKERS; i++) {
			/* Who has not come on waits; who has, is replaced now and then all the same. */
			if (counts[i] != before[i] && counts[i] % 5) {
				before[i] = counts[i];
				continue;
			}
			end(workers[i]);
			workers[i] = start(seed + started++, &counts[i]);
		}
	}
	for (size_t i = 0; i < WORKERS; i++) {
		end(workers[i]);
		done += counts[i];
	}
	printf("%llu steps, by %llu processes\n", (unsigned long long)done, (unsigned long long)started);
	return done ? 0 : 1;
}
