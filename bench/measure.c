/* SPDX-License-Identifier: MIT */
/* Clocks, medians, and the client that is measured. */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <memredirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096
#define STRIDE	(PAGE * 17 + 64)
#define NOTABLE 20 /* us */

double now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

void must(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, mr_error());
	exit(EXIT_FAILURE);
}

void must_errno(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(EXIT_FAILURE);
}

void series_add(struct series *series, double value)
{
	if (series->count == series->room) {
		series->room = series->room ? series->room * 2 : 64;
		series->values = reallocarray(series->values, series->room, sizeof(*series->values));
		must_errno(series->values, "memory for measurements");
	}
	series->values[series->count++] = value;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

double series_median(struct series *series)
{
	if (!series->count)
		return 0;
	qsort(series->values, series->count, sizeof(*series->values), compare);
	return series->values[series->count / 2];
}

void series_free(struct series *series)
{
	free(series->values);
	*series = (struct series){ 0 };
}

int memory_file(size_t length)
{
	int fd = memfd_create("memredirect-bench", MFD_CLOEXEC);
	char *memory;

	must_errno(fd >= 0 && ftruncate(fd, (off_t)length) == 0, "a memfd");
	memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must_errno(memory != MAP_FAILED, "mmap of a memfd");
	memset(memory, 1, length);
	munmap(memory, length);
	return fd;
}

/* The second number of schedstat: how long this thread could have run, but did not. */
static double queued_us(const struct client *client)
{
	unsigned long long running, waiting;
	char text[80];
	ssize_t got = pread(client->schedstat, text, sizeof(text) - 1, 0);

	if (got <= 0)
		return 0;
	text[got] = '\0';
	return sscanf(text, "%llu %llu", &running, &waiting) == 2 ? (double)waiting / 1e3 : 0;
}

static double without_queueing(struct client *client, double gap)
{
	double queued = queued_us(client), part = queued - client->queued;

	client->queued = queued;
	return gap > part ? gap - part : 0;
}

static void *run(void *argument)
{
	struct client *client = argument;
	size_t offset = 0;
	double last;

	client->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	client->queued = queued_us(client);
	last = now_us();
	while (!atomic_load_explicit(&client->stop, memory_order_relaxed)) {
		double time, gap;

		client->address[offset]++;
		offset = (offset + STRIDE) % client->length;
		time = now_us();
		gap = time - last;
		last = time;
		if (gap > NOTABLE) {
			gap = without_queueing(client, gap);
			last = now_us();
		}
		if (gap > atomic_load_explicit(&client->gap, memory_order_relaxed))
			atomic_store_explicit(&client->gap, gap, memory_order_relaxed);
		atomic_fetch_add_explicit(&client->operations, 1, memory_order_relaxed);
	}
	close(client->schedstat);
	return NULL;
}

void client_start(struct client *client, char *address, size_t length)
{
	*client = (struct client){ .address = address, .length = length };
	must_errno(pthread_create(&client->thread, NULL, run, client) == 0, "a client");
	while (!atomic_load(&client->operations))
		;
}

double client_take_gap(struct client *client)
{
	uint64_t before = atomic_load(&client->operations);

	while (atomic_load(&client->operations) < before + 2) /* one that waits has noted it by then */
		;
	return atomic_exchange(&client->gap, 0);
}

uint64_t client_count(struct client *client, double microseconds)
{
	struct timespec wait = { .tv_sec = (time_t)(microseconds / 1e6), .tv_nsec = (long)(microseconds * 1e3) % 1000000000 };
	uint64_t before = atomic_load(&client->operations);

	nanosleep(&wait, NULL);
	return atomic_load(&client->operations) - before;
}

void client_stop(struct client *client)
{
	atomic_store(&client->stop, true);
	pthread_join(client->thread, NULL);
}
