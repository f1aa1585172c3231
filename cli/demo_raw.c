/* SPDX-License-Identifier: MIT */
/* What the plain mmap(MAP_FIXED) costs clients, for comparison. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "demo.h"
#include "pattern.h"
#include "progress.h"

/* Between two operations, and as long as nothing is done: for clients to settle. */
static const struct timespec breath = { .tv_nsec = 5000000 };

struct raw {
	char *memory;
	uint64_t size;
};

/* Reads and writes, as the clients of the demo do. */
static void step(struct client *client, void *argument)
{
	const struct raw *raw = argument;
	uint64_t place = pattern_random(&client->random) % (raw->size / sizeof(uint64_t));
	volatile uint64_t *word = (uint64_t *)raw->memory + place;

	if (client->index % 2)
		*word = place;
	else
		(void)*word;
}

static int make_file(uint64_t size)
{
	int fd = memfd_create("memredirect-demo", MFD_CLOEXEC);
	char *memory;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -1;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -1;
	memset(memory, 1, size); /* resident before it is shown: only the replacing is to be measured */
	munmap(memory, size);
	return fd;
}

static bool swap(const struct raw *raw, int fd)
{
	return mmap(raw->memory, raw->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
}

/* What is mapped has page tables as it has after some use. */
static void touch(const struct raw *raw)
{
	for (uint64_t i = 0; i < raw->size; i += PATTERN_PAGE)
		(void)*(volatile char *)(raw->memory + i);
}

static bool measure(const struct raw *raw, const int fds[2], struct clients *clients, double seconds, struct stalls *result,
		    struct stalls *noise)
{
	uint64_t end = now() + (uint64_t)(seconds * 1e9);
	bool good = true;

	for (unsigned i = 0; good && !demo_interrupted && (i < 3 || (now() < end && i < 200)); i++) {
		touch(raw);
		nanosleep(&breath, NULL);
		clients_take(clients);
		nanosleep(&breath, NULL);
		stalls_add(noise, clients_take(clients));
		good = swap(raw, fds[i % 2]) && clients_go_on(clients);
		stalls_add(result, clients_take(clients));
		progress("measuring mmap(MAP_FIXED): %u", i + 1);
	}
	return good;
}

bool demo_measure_raw(uint64_t size, unsigned threads, double seconds, struct stalls *result, struct stalls *noise)
{
	struct raw raw = { .size = (size + PATTERN_PAGE - 1) / PATTERN_PAGE * PATTERN_PAGE };
	int fds[2] = { make_file(raw.size), make_file(raw.size) };
	struct clients clients;
	bool good = fds[0] >= 0 && fds[1] >= 0;

	raw.memory = good ? mmap(NULL, raw.size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0) : MAP_FAILED;
	good = raw.memory != MAP_FAILED && clients_start(&clients, threads, step, &raw);
	if (good) {
		good = measure(&raw, fds, &clients, seconds, result, noise);
		good &= clients_stop(&clients);
		clients_free(&clients);
	}
	if (!good)
		complain("mmap(MAP_FIXED) of %llu bytes cannot be measured: %m", (unsigned long long)size);
	if (raw.memory != MAP_FAILED)
		munmap(raw.memory, raw.size);
	close(fds[0]);
	close(fds[1]);
	return good;
}
