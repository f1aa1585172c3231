/* SPDX-License-Identifier: MIT */
/*
 * The same job on the user's own data: readers look things up in a read-only map of file A while it is redirected to B and
 * back. Each answer is checked against the files, which are also mapped as they are, by mmap.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <memredirect.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "demo.h"
#include "pattern.h"
#include "progress.h"

enum kind { REDIRECT, PREFAULT, BLOCK, KIND_COUNT };

static const char *const kind_names[KIND_COUNT] = {
	[REDIRECT] = "redirect", [PREFAULT] = "redirect, prefaulted", [BLOCK] = "block, let go"
};

struct file {
	const char *path;
	int fd;
	uint64_t size;
	const char *bytes; /* as mmap shows them */
	struct mr_memory *memory;
};

struct demo {
	struct file files[2];
	uint64_t size; /* of the shorter one */
	unsigned threads;
	unsigned shown;
	struct mr_map *map;
	const char *bytes;
	struct oracle oracle; /* content 1: the first file, 2: the second one */
	struct clients clients;
	struct stalls kinds[KIND_COUNT];
	uint64_t most_waiters;
	uint64_t errors;
};

/* Eight bytes at once where they lie so, else one. */
static uint64_t load(const char *bytes, uint64_t offset, uint64_t size)
{
	if (offset % sizeof(uint64_t) == 0 && size - offset >= sizeof(uint64_t))
		return __atomic_load_n((const uint64_t *)(bytes + offset), __ATOMIC_ACQUIRE);
	return (unsigned char)__atomic_load_n(bytes + offset, __ATOMIC_ACQUIRE);
}

static void step(struct client *client, void *argument)
{
	struct demo *demo = argument;
	uint64_t offset = pattern_random(&client->random) % demo->size;
	uint64_t before, answer, right[2];
	unsigned expected;

	if (offset % 4)
		offset -= offset % sizeof(uint64_t);
	before = atomic_load(&demo->oracle.sequence);
	answer = load(demo->bytes, offset, demo->size);
	expected = oracle_verdict(&demo->oracle, before);
	for (unsigned i = 0; i < 2; i++)
		right[i] = load(demo->files[i].bytes, offset, demo->size);
	atomic_fetch_add_explicit(&client->bytes, sizeof(answer), memory_order_relaxed);
	if (answer != right[0] && answer != right[1])
		client_error(client, "offset %" PRIu64 " is %#" PRIx64 ", and neither file has that", offset, answer);
	else if (expected && answer != right[expected - 1])
		client_error(client, "offset %" PRIu64 " is not what %s has, which is shown", offset,
			     demo->files[expected - 1].path);
}

static bool fails(struct demo *demo, const char *what)
{
	complain("%s: %s", what, mr_error());
	demo->errors++;
	return false;
}

static bool everyone_waits(struct demo *demo)
{
	static const struct timespec pause = { .tv_nsec = 20000 };
	uint64_t deadline = now() + UINT64_C(30000000000);

	while (mr_map_waiters(demo->map) < demo->threads && now() < deadline)
		nanosleep(&pause, NULL);
	demo->most_waiters = mr_map_waiters(demo->map);
	if (demo->most_waiters == demo->threads)
		return true;
	complain("not every client waits in a blocked map");
	demo->errors++;
	return true;
}

static bool redirect(struct demo *demo, unsigned to, uint32_t options)
{
	oracle_begin(&demo->oracle);
	if (mr_map_redirect(demo->map, demo->files[to].memory, options | MR_MAP_READ_ONLY, 0))
		return fails(demo, "a redirect failed");
	demo->shown = to;
	oracle_end(&demo->oracle, to + 1);
	return true;
}

static bool operate(struct demo *demo, enum kind kind)
{
	if (kind != BLOCK)
		return redirect(demo, !demo->shown, kind == PREFAULT ? MR_MAP_PREFAULT : 0);
	if (mr_map_redirect(demo->map, NULL, 0, 0))
		return fails(demo, "the map could not be blocked");
	return everyone_waits(demo) && redirect(demo, demo->shown, 0);
}

static bool work(struct demo *demo, double seconds)
{
	static const struct timespec breath = { .tv_nsec = 3000000 };
	uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);

	for (unsigned i = 0; (i < KIND_COUNT || now() < end) && !demo_interrupted; i++) {
		nanosleep(&breath, NULL);
		clients_take(&demo->clients);
		if (!operate(demo, i % KIND_COUNT))
			return false;
		if (!clients_go_on(&demo->clients)) {
			complain("a client hangs");
			demo->errors++;
			return false;
		}
		stalls_add(&demo->kinds[i % KIND_COUNT], clients_take(&demo->clients));
		progress("%.0f s: %u operations, %s shown, %" PRIu64 " errors", (double)(now() - begin) / 1e9, i + 1,
			 demo->files[demo->shown].path, demo->errors + clients_errors(&demo->clients));
	}
	return true;
}

static bool open_file(struct file *file)
{
	struct stat status;

	file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0 || fstat(file->fd, &status) < 0) {
		complain("%s cannot be opened: %s", file->path, strerror(errno));
		return false;
	}
	if (!S_ISREG(status.st_mode) || !status.st_size) {
		complain("%s is %s; a regular file with at least one byte is needed", file->path,
			 S_ISREG(status.st_mode) ? "empty" : "not a regular file");
		return false;
	}
	file->size = (uint64_t)status.st_size;
	return true;
}

static bool map_file(struct file *file, uint64_t size)
{
	file->bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file->fd, 0);
	if (file->bytes == MAP_FAILED) {
		complain("%s cannot be mapped: %s", file->path, strerror(errno));
		file->bytes = NULL;
		return false;
	}
	if (!mr_memory_new_fd(file->fd, 0, size, MR_MEMORY_READ_ONLY, &file->memory))
		return true;
	complain("%s cannot be used: %s", file->path, mr_error());
	return false;
}

static bool set_up(struct demo *demo)
{
	if (!open_file(&demo->files[0]) || !open_file(&demo->files[1]))
		return false;
	demo->size = demo->files[0].size < demo->files[1].size ? demo->files[0].size : demo->files[1].size;
	if (!map_file(&demo->files[0], demo->size) || !map_file(&demo->files[1], demo->size))
		return false;
	if (mr_map_new(demo->files[0].memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_READ_ONLY, 0, 0, &demo->map))
		return fails(demo, "the map could not be made");
	demo->bytes = mr_map_address(demo->map);
	demo->oracle.shown = 1;
	return true;
}

static void tear_down(struct demo *demo)
{
	mr_map_unref(demo->map);
	for (unsigned i = 0; i < 2; i++) {
		mr_memory_unref(demo->files[i].memory);
		if (demo->files[i].bytes)
			munmap((void *)demo->files[i].bytes, demo->size);
		if (demo->files[i].fd >= 0)
			close(demo->files[i].fd);
	}
	clients_free(&demo->clients);
}

static bool run(struct demo *demo, double seconds)
{
	bool good;

	if (!clients_start(&demo->clients, demo->threads, step, demo)) {
		complain("%u clients could not be started", demo->threads);
		return false;
	}
	good = work(demo, seconds);
	if (!good && mr_map_is_blocked(demo->map))
		redirect(demo, demo->shown, 0);
	if (clients_stop(&demo->clients))
		return good;
	complain("a client does not end");
	demo->errors++;
	return false;
}

int demo_files(const struct demo_options *options)
{
	struct demo demo = { .files = { { .path = options->files[0], .fd = -1 }, { .path = options->files[1], .fd = -1 } },
			     .threads = options->threads };
	struct demo_result result = { .kinds = demo.kinds, .kind_count = KIND_COUNT, .threads = options->threads };
	bool good = set_up(&demo);

	for (unsigned i = 0; i < KIND_COUNT; i++)
		demo.kinds[i].name = kind_names[i];
	if (good)
		good = demo_measure_raw(demo.size, demo.threads, options->seconds / 5, &result.raw, &result.noise);
	if (!good) {
		tear_down(&demo);
		return STATUS_FAILED;
	}
	good = run(&demo, options->seconds);
	result.size = demo.size;
	result.bytes_checked = clients_bytes(&demo.clients);
	result.most_waiters = demo.most_waiters;
	result.errors = demo.errors + clients_errors(&demo.clients) + !good;
	if (good)
		tear_down(&demo);
	return demo_report(&result, options->json);
}
