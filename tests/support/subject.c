/* SPDX-License-Identifier: MIT */
/* A process that notices whatever is done to it that it should not notice. */
#include "subject.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wait.h"

#define PAGE  4096
#define WORDS (PAGE / 8)
#define HUGE  (UINT64_C(2) << 20)

/* Where the library maps what it needs in other processes. */
#define FOREIGN (UINT64_C(1) << 44)

static struct {
	struct subject_status *status;
	uint64_t length;
	uint32_t baton; /* whose turn it is of the two that wake each other */
} self;

static bool goes_on(void)
{
	return !__atomic_load_n(&self.status->stop, __ATOMIC_RELAXED);
}

static void beat(unsigned thread)
{
	__atomic_fetch_add(&self.status->beats[thread], 1, __ATOMIC_RELAXED);
}

static void note_wrong(uint32_t line)
{
	uint32_t none = 0;

	__atomic_compare_exchange_n(&self.status->wrong, &none, line, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

#define expect(condition)                                                                                                      \
	do {                                                                                                                   \
		if (!(condition))                                                                                              \
			note_wrong(__LINE__);                                                                                  \
	} while (0)

static uint64_t mix(uint64_t word)
{
	word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
	return word ^ word >> 31;
}

/* A page tells how often it was written to, in its first word, and all others follow from that. */
static void fill_page(volatile uint64_t *page, uint64_t number, uint64_t version)
{
	page[0] = version;
	for (unsigned i = 1; i < WORDS; i += 37)
		page[i] = mix(number << 32 ^ version << 8 ^ i);
}

static bool page_is_right(const volatile uint64_t *page, uint64_t number, uint64_t version)
{
	if (page[0] != version)
		return false;
	for (unsigned i = 1; version && i < WORDS; i += 37)
		if (page[i] != mix(number << 32 ^ version << 8 ^ i))
			return false;
	return true;
}

/* Huge pages fit; and there is room on each side, so that it is a mapping of its own. */
static char *map(void)
{
	char *place = mmap(NULL, self.length + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (place != MAP_FAILED)
		place += HUGE - (uintptr_t)place % HUGE;
	if (place == MAP_FAILED || mprotect(place, self.length, PROT_READ | PROT_WRITE)) {
		note_wrong(__LINE__);
		_exit(1);
	}
	return place;
}

/* -- threads -- */

struct checker {
	unsigned number;
	char *memory;
	uint64_t *versions;
	uint64_t random;
};

static uint64_t next_random(struct checker *checker)
{
	return checker->random = mix(checker->random + UINT64_C(0x9e3779b97f4a7c15));
}

/* A page at random, of which some are never written to: it is as it was left, and then it is changed. */
static void *check(void *argument)
{
	struct checker *checker = argument;
	uint64_t pages = self.length / PAGE;

	while (goes_on()) {
		uint64_t page = next_random(checker) % pages;
		volatile uint64_t *bytes = (volatile uint64_t *)(checker->memory + page * PAGE);

		expect(page_is_right(bytes, page, checker->versions[page]));
		if (page % 4)
			fill_page(bytes, page, ++checker->versions[page]);
		beat(checker->number);
		if (next_random(checker) % 64 == 0)
			usleep(100);
	}
	for (uint64_t page = 0; page < pages; page++)
		expect(page_is_right((volatile uint64_t *)(checker->memory + page * PAGE), page, checker->versions[page]));
	return NULL;
}

/* Memory that only this thread writes to is checked by children, to whom it is private. */
static void *fork_children(void *argument)
{
	uint64_t pages = self.length / PAGE, version = 0;
	char *memory = map();

	(void)argument;
	while (goes_on()) {
		int status = 1;
		pid_t child;

		version++;
		for (uint64_t page = 0; page < pages; page += 5)
			fill_page((volatile uint64_t *)(memory + page * PAGE), page, version);
		child = fork();
		if (!child) {
			bool right = true;

			usleep(2000);
			for (uint64_t page = 0; page < pages; page += 5)
				right &= page_is_right((volatile uint64_t *)(memory + page * PAGE), page, version);
			_exit(!right);
		}
		for (uint64_t page = 0; page < pages; page += 15)
			fill_page((volatile uint64_t *)(memory + page * PAGE), page, version + 1);
		expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
		beat(SUBJECT_CHECKERS);
	}
	return NULL;
}

/* What is given back is zero afterwards, what is mapped anew too; and a mapping can grow. */
static void *give_back(void *argument)
{
	char *memory = (char *)self.status->given_back;
	uint64_t pages = self.length / PAGE;
	unsigned round = 0;

	(void)argument;
	for (; goes_on(); round++) {
		uint64_t page = mix(round) % pages;
		char *more = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		memset(memory + page * PAGE, 7, PAGE);
		expect(!madvise(memory + page * PAGE, PAGE, MADV_DONTNEED));
		expect(memory[page * PAGE + round % PAGE] == 0);
		memory[page * PAGE] = 1;
		expect(more != MAP_FAILED && more[PAGE] == 0);
		memset(more, 9, 4 * PAGE);
		more = mremap(more, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
		expect(more != MAP_FAILED && more[PAGE] == 9 && more[40 * PAGE] == 0);
		munmap(more, 64 * PAGE);
		beat(SUBJECT_CHECKERS + 1);
		if (round % 16 == 0)
			usleep(500);
	}
	return NULL;
}

/* Two threads that hand a baton to each other. */
static void *pass_baton(void *argument)
{
	uint32_t own = (uint32_t)(uintptr_t)argument;

	while (goes_on()) {
		while (__atomic_load_n(&self.baton, __ATOMIC_SEQ_CST) != own && goes_on()) {
			const struct timespec limit = { .tv_nsec = 100000000 };

			syscall(SYS_futex, &self.baton, FUTEX_WAIT_PRIVATE, !own, &limit, NULL, 0);
		}
		__atomic_store_n(&self.baton, !own, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &self.baton, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
		beat(SUBJECT_CHECKERS + 2 + own);
	}
	return NULL;
}

static int be_subject(struct child *child, void *argument)
{
	struct checker checkers[SUBJECT_CHECKERS];
	pthread_t threads[SUBJECT_CHECKERS + 4];
	unsigned count = 0;
	struct subject *subject = argument;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	self.status = subject->status;
	self.length = subject->length;
	for (unsigned i = 0; i < SUBJECT_CHECKERS; i++) {
		checkers[i] = (struct checker){ i, map(), calloc(self.length / PAGE, sizeof(uint64_t)), i + 1 };
		self.status->pages[i] = (uintptr_t)checkers[i].memory;
	}
	self.status->given_back = (uintptr_t)map();
	for (unsigned i = 0; i < SUBJECT_CHECKERS; i++)
		pthread_create(&threads[count++], NULL, check, &checkers[i]);
	pthread_create(&threads[count++], NULL, fork_children, NULL);
	pthread_create(&threads[count++], NULL, give_back, NULL);
	pthread_create(&threads[count++], NULL, pass_baton, NULL);
	pthread_create(&threads[count++], NULL, pass_baton, (void *)1);
	child_tell(child);
	while (count--)
		pthread_join(threads[count], NULL);
	return self.status->wrong != 0;
}

/* -- seen from outside -- */

bool subject_start(struct subject *subject, uint64_t length)
{
	subject->length = length;
	subject->status = mmap(NULL, sizeof(*subject->status), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (subject->status == MAP_FAILED)
		return false;
	subject->status->length = length;
	return child_start(&subject->child, be_subject, subject) && child_await(&subject->child);
}

struct progress {
	const struct subject_status *status;
	uint64_t before[SUBJECT_CHECKERS + 4];
};

/* Each thread has gone round twice: once it may have been on its way. */
static bool has_progressed(void *argument)
{
	const struct progress *progress = argument;

	for (unsigned i = 0; i < SUBJECT_CHECKERS + 4; i++)
		if (__atomic_load_n(&progress->status->beats[i], __ATOMIC_RELAXED) < progress->before[i] + 2)
			return false;
	return true;
}

bool subject_is_well(struct subject *subject)
{
	struct progress progress = { .status = subject->status };

	memcpy(progress.before, subject->status->beats, sizeof(progress.before));
	if (!wait_until(has_progressed, &progress)) {
		for (unsigned i = 0; i < SUBJECT_CHECKERS + 4; i++)
			fprintf(stderr, "thread %u of the subject: %ju, then %ju\n", i, (uintmax_t)progress.before[i],
				(uintmax_t)subject->status->beats[i]);
		return false;
	}
	if (subject->status->wrong)
		fprintf(stderr, "the subject's check in line %u failed\n", subject->status->wrong);
	return !subject->status->wrong;
}

static bool has_foreign_mapping(pid_t pid)
{
	char path[64], line[512];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "r");
	while (maps && fgets(line, sizeof(line), maps)) {
		uint64_t start = strtoull(line, NULL, 16);

		found |= start >= FOREIGN && start < 2 * FOREIGN;
	}
	if (maps)
		fclose(maps);
	return found;
}

static bool has_foreign_thread(pid_t pid)
{
	char path[64], name[64];
	struct dirent *entry;
	bool found = false;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	while (threads && (entry = readdir(threads))) {
		FILE *comm;

		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int)pid, entry->d_name);
		comm = fopen(path, "r");
		found |= comm && fgets(name, sizeof(name), comm) && strncmp(name, "memredirect", 11) == 0;
		if (comm)
			fclose(comm);
	}
	if (threads)
		closedir(threads);
	return found;
}

/* The kernel gives both the same image, unless somebody has written to it. */
static bool has_foreign_code(pid_t pid)
{
	const char *own = (const char *)getauxval(AT_SYSINFO_EHDR);
	uint64_t start = 0, end = 0, other = 0;
	char bytes[65536], path[64], line[512];
	ssize_t got = -1;
	FILE *maps;
	int memory;

	maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]"))
			sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end);
	if (maps)
		fclose(maps);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "r");
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]"))
			sscanf(line, "%" SCNx64, &other);
	if (maps)
		fclose(maps);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (memory >= 0 && other && end - start <= sizeof(bytes))
		got = pread(memory, bytes, end - start, (off_t)other);
	if (memory >= 0)
		close(memory);
	return got <= 0 || memcmp(own, bytes, (size_t)got) != 0;
}

static bool is_clean(void *argument)
{
	const struct subject *subject = argument;
	pid_t pid = subject->child.pid;

	return !has_foreign_mapping(pid) && !has_foreign_thread(pid) && !has_foreign_code(pid);
}

bool subject_is_clean(struct subject *subject)
{
	if (wait_until(is_clean, subject))
		return true;
	fprintf(stderr, "left in the subject: %s%s%s\n", has_foreign_mapping(subject->child.pid) ? "a mapping " : "",
		has_foreign_thread(subject->child.pid) ? "a thread " : "", has_foreign_code(subject->child.pid) ? "code" : "");
	return false;
}

void subject_abandon(struct subject *subject)
{
	kill(subject->child.pid, SIGKILL);
	waitpid(subject->child.pid, NULL, 0);
}

bool subject_end(struct subject *subject)
{
	int status = 0;
	bool well;

	__atomic_store_n(&subject->status->stop, 1, __ATOMIC_RELAXED);
	well = child_wait(&subject->child, &status) && status == 0 && !subject->status->wrong;
	if (!well)
		fprintf(stderr, "the subject ended with status %#x; line %u\n", status, subject->status->wrong);
	munmap(subject->status, sizeof(*subject->status));
	return well;
}
