/* SPDX-License-Identifier: MIT */
/*
 * The main job, on memory of its own: one map, several backings, and all that can be done with them while clients go on.
 *
 * Each backing has a window, a second map of the same memory, through which this thread looks at it and copies it. Contents have
 * numbers (pattern.h), so that clients can tell which backing they see. Each write that a client counts must be found
 * in some backing at the end; what a move overwrites is noted.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <memredirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "demo.h"
#include "pattern.h"
#include "progress.h"

#define DEFAULT_SIZE (UINT64_C(1) << 30)
#define HUGE_PAGE    (UINT64_C(2) << 20)

/* Memory that is needed for each byte of the map: four backings and copies, and room. */
#define NEEDED 5

#define SAMPLES 64

enum kind { REDIRECT, PREFAULT, BLOCK, COPY, MOVE, SNAPSHOT, LIVE_MOVE, KIND_COUNT };

static const char *const kind_names[KIND_COUNT] = {
	[REDIRECT] = "redirect",	[PREFAULT] = "redirect, prefaulted",	      [BLOCK] = "block, let go",
	[COPY] = "block, copy, let go", [MOVE] = "block, copy, redirect to the copy", [SNAPSHOT] = "snapshot, live",
	[LIVE_MOVE] = "move, live",
};

struct backing {
	const char *name;
	struct mr_memory *memory;
	struct mr_map *window_map;
	char *window;
	unsigned content;
};

enum { FIRST, SECOND, FILE_BACKING, HUGE_BACKING, BACKING_COUNT };

struct demo {
	uint64_t size;
	unsigned threads;
	struct backing backings[BACKING_COUNT];
	unsigned shown; /* which backing */
	unsigned contents;
	struct mr_map *map;
	char *memory;
	struct mr_memory *copy_memory; /* where atomic copies go */
	struct mr_map *copy_map;
	char *copy;
	struct oracle oracle;
	struct clients clients;
	struct stalls kinds[KIND_COUNT];
	uint64_t overwritten; /* counted writes that a move replaced */
	uint64_t most_waiters;
	uint64_t errors;

	unsigned old; /* the backing that was taken away last, and what some of its counters were then */
	uint64_t places[SAMPLES];
	uint64_t values[SAMPLES];
	bool sampled;
};

static bool failed(const char *what)
{
	complain("%s: %s", what, mr_error());
	return false;
}

static void wrong(struct demo *demo, const char *what)
{
	if (demo->errors++ < 10)
		complain("%s", what);
}

/* A reader: one word, which must be right, and of the content that is shown. */
static void look(struct client *client, struct demo *demo, uint64_t page)
{
	unsigned block = (unsigned)(client->random >> 32) % PATTERN_BLOCKS;
	uint64_t before = atomic_load(&demo->oracle.sequence);
	uint64_t word = __atomic_load_n(pattern_word(demo->memory, page, block), __ATOMIC_ACQUIRE);
	unsigned expected = oracle_verdict(&demo->oracle, before);

	atomic_fetch_add_explicit(&client->bytes, sizeof(word), memory_order_relaxed);
	if (!pattern_is_right(word, page, block))
		client_error(client, "page %" PRIu64 " has %#" PRIx64 ", which is of no backing", page, word);
	else if (expected && pattern_id(word) != expected)
		client_error(client, "page %" PRIu64 " is of content %u, and %u is shown", page, pattern_id(word), expected);
}

static void step(struct client *client, void *argument)
{
	struct demo *demo = argument;
	uint64_t page = pattern_random(&client->random) % (demo->size / PATTERN_PAGE);

	if (client->index % 2) {
		pattern_count(demo->memory, page, client->index);
		atomic_fetch_add_explicit(&client->writes, 1, memory_order_relaxed);
	} else {
		look(client, demo, page);
	}
}

/* Counters of the backing that has just been taken away, to see later that nobody writes to it. */
static void sample(struct demo *demo, unsigned old)
{
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t page = (uint64_t)random() % (demo->size / PATTERN_PAGE);
		uint64_t writer = 1 + 2 * ((uint64_t)random() % (demo->threads / 2));

		demo->places[i] = page * (PATTERN_PAGE / sizeof(uint64_t)) + 1 + writer;
		demo->values[i] = ((uint64_t *)demo->backings[old].window)[demo->places[i]];
	}
	demo->old = old;
	demo->sampled = true;
}

static void check_sample(struct demo *demo)
{
	const uint64_t *words = (const uint64_t *)demo->backings[demo->old].window;

	for (unsigned i = 0; demo->sampled && i < SAMPLES; i++)
		if (words[demo->places[i]] != demo->values[i])
			wrong(demo, "a backing changed after it had been taken away");
	demo->sampled = false;
}

static bool redirect(struct demo *demo, unsigned to, uint32_t options)
{
	unsigned from = demo->shown;

	if (mr_map_redirect(demo->map, demo->backings[to].memory, options, 0))
		return failed("a redirect failed");
	demo->shown = to;
	if (to != from)
		sample(demo, from);
	return true;
}

static bool block(struct demo *demo)
{
	if (mr_map_redirect(demo->map, NULL, 0, 0))
		return failed("the map could not be blocked");
	return true;
}

static bool let_go(struct demo *demo)
{
	if (mr_map_redirect(demo->map, demo->backings[demo->shown].memory, 0, 0))
		return failed("the map could not be let go");
	return true;
}

/* Wait until every client waits: each has an access to make. */
static bool everyone_waits(struct demo *demo)
{
	static const struct timespec pause = { .tv_nsec = 20000 };
	uint64_t deadline = now() + UINT64_C(30000000000);

	while (mr_map_waiters(demo->map) < demo->threads) {
		if (now() > deadline) {
			wrong(demo, "not every client waits in a blocked map");
			return true;
		}
		nanosleep(&pause, NULL);
	}
	demo->most_waiters = demo->threads;
	return true;
}

static bool do_block(struct demo *demo)
{
	return block(demo) && everyone_waits(demo) && let_go(demo);
}

/*
 * The copy must be of one content, whole, and have all writes that had been counted before it, and none that was counted later, but
 * for those under way.
 */
static void check_copy(struct demo *demo, uint64_t before, uint64_t after, uint64_t sum_of_others)
{
	uint64_t sum = pattern_sum(demo->copy, demo->size) + sum_of_others + demo->overwritten;

	if (pattern_errors(demo->copy, demo->size, demo->backings[demo->shown].content))
		wrong(demo, "an atomic copy has pages of another content");
	if (sum < before || sum > after + demo->threads)
		wrong(demo, "an atomic copy does not have the writes that were counted");
}

static uint64_t sum_of_others(const struct demo *demo)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < BACKING_COUNT; i++)
		if (demo->backings[i].memory && i != demo->shown)
			sum += pattern_sum(demo->backings[i].window, demo->size);
	return sum;
}

static bool do_copy(struct demo *demo)
{
	uint64_t others = sum_of_others(demo), counted;

	if (!block(demo))
		return false;
	if (mr_memory_read(mr_map_memory(demo->map), 0, demo->copy, demo->size))
		return failed("the backing of a blocked map could not be read");
	counted = clients_writes(&demo->clients);
	if (!let_go(demo))
		return false;
	check_copy(demo, counted, counted, others);
	return true;
}

static bool do_snapshot(struct demo *demo)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .into = demo->copy_memory };
	uint64_t others = sum_of_others(demo), before = clients_writes(&demo->clients);
	struct mr_memory *copy;

	if (mr_map_snapshot(demo->map, &opts, &copy, NULL))
		return failed("a snapshot could not be taken");
	check_copy(demo, before, clients_writes(&demo->clients), others);
	mr_memory_unref(copy);
	return true;
}

/* After a move, what was moved from gets a content of its own, so that clients can tell it from the copy. */
static void renew(struct demo *demo, unsigned which, uint64_t sum)
{
	struct backing *backing = &demo->backings[which];

	if (pattern_sum(backing->window, demo->size) != sum)
		wrong(demo, "a backing changed after its bytes had been moved away");
	demo->sampled = false;
	backing->content = 1 + demo->contents++ % 255;
	pattern_fill(backing->window, demo->size, backing->content);
}

static bool stop_and_copy(struct demo *demo, unsigned to)
{
	if (!block(demo))
		return false;
	memcpy(demo->backings[to].window, demo->backings[demo->shown].window, demo->size);
	return redirect(demo, to, 0);
}

static bool move_live(struct demo *demo, unsigned to)
{
	if (mr_map_move(demo->map, demo->backings[to].memory, 0, 0, NULL, NULL))
		return failed("the map could not be moved");
	demo->shown = to;
	return true;
}

static bool do_move(struct demo *demo, unsigned to, bool (*move)(struct demo *demo, unsigned to))
{
	struct backing *from = &demo->backings[demo->shown], *target = &demo->backings[to];
	unsigned source = demo->shown;
	uint64_t sum;

	demo->overwritten += pattern_sum(target->window, demo->size);
	oracle_begin(&demo->oracle);
	target->content = from->content;
	if (!move(demo, to))
		return false;
	oracle_end(&demo->oracle, target->content);
	sum = pattern_sum(from->window, demo->size);
	renew(demo, source, sum);
	return true;
}

/* Any backing but the one that is shown; for redirects, those in memory only, whose pages no file system protects. */
static unsigned another(const struct demo *demo, unsigned among)
{
	unsigned next = demo->shown;

	do
		next = (next + 1) % among;
	while (!demo->backings[next].memory || next == demo->shown);
	return next;
}

static bool do_redirect(struct demo *demo, uint32_t options)
{
	unsigned to = another(demo, 2);
	bool good;

	oracle_begin(&demo->oracle);
	good = redirect(demo, to, options);
	oracle_end(&demo->oracle, demo->backings[demo->shown].content);
	return good;
}

static bool operate(struct demo *demo, enum kind kind)
{
	switch (kind) {
	case REDIRECT:
		return do_redirect(demo, 0);
	case PREFAULT:
		return do_redirect(demo, MR_MAP_PREFAULT);
	case BLOCK:
		return do_block(demo);
	case COPY:
		return do_copy(demo);
	case SNAPSHOT:
		return do_snapshot(demo);
	case LIVE_MOVE:
		return do_move(demo, another(demo, BACKING_COUNT), move_live);
	default:
		return do_move(demo, another(demo, BACKING_COUNT), stop_and_copy);
	}
}

static bool one_round(struct demo *demo, enum kind kind)
{
	static const struct timespec breath = { .tv_nsec = 3000000 };

	check_sample(demo);
	nanosleep(&breath, NULL);
	clients_take(&demo->clients);
	if (!operate(demo, kind))
		return false;
	if (!clients_go_on(&demo->clients)) {
		wrong(demo, "a client hangs");
		return false;
	}
	stalls_add(&demo->kinds[kind], clients_take(&demo->clients));
	return true;
}

static bool work(struct demo *demo, double seconds)
{
	static const enum kind order[] = { REDIRECT, PREFAULT, BLOCK,	  PREFAULT, COPY,     SNAPSHOT,
					   REDIRECT, PREFAULT, LIVE_MOVE, BLOCK,    PREFAULT, MOVE };
	uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);
	unsigned count = sizeof(order) / sizeof(*order);

	for (unsigned i = 0; (i < count || now() < end) && !demo_interrupted; i++) {
		if (!one_round(demo, order[i % count]))
			return false;
		progress("%.0f s: %u operations, %s shown, %" PRIu64 " errors", (double)(now() - begin) / 1e9, i + 1,
			 demo->backings[demo->shown].name, demo->errors + clients_errors(&demo->clients));
	}
	return true;
}

static bool add_backing(struct demo *demo, unsigned which, const char *name, struct mr_memory *memory)
{
	struct backing *backing = &demo->backings[which];

	*backing = (struct backing){ .name = name, .memory = memory };
	if (mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &backing->window_map))
		return failed("a backing could not be mapped");
	backing->window = mr_map_address(backing->window_map);
	backing->content = 1 + demo->contents++;
	progress("filling %s", name);
	pattern_fill(backing->window, demo->size, backing->content);
	return true;
}

static bool add_buffer(struct demo *demo, unsigned which, const char *name, uint32_t options)
{
	struct mr_memory *memory;

	if (mr_memory_new_buffer(demo->size, options, &memory))
		return failed("a buffer could not be made");
	return add_backing(demo, which, name, memory);
}

static int temporary_file(uint64_t size)
{
	const char *folder = getenv("TMPDIR");
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/memredirect-demo-XXXXXX", folder && *folder ? folder : "/var/tmp");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	unlink(path);
	if (!posix_fallocate(fd, 0, (off_t)size))
		return fd;
	close(fd);
	return -1;
}

static bool add_file(struct demo *demo)
{
	struct mr_memory *memory;
	int error, fd = temporary_file(demo->size);

	if (fd < 0) {
		complain("moving to a file is left out: there is no room for one in $TMPDIR or /var/tmp");
		return true;
	}
	error = mr_memory_new_fd(fd, 0, demo->size, 0, &memory);
	close(fd);
	return error ? failed("a file could not be used") : add_backing(demo, FILE_BACKING, "a file", memory);
}

static bool add_huge(struct demo *demo)
{
	struct mr_features features;

	if (demo->size % HUGE_PAGE) {
		complain("moving to huge pages is left out: %" PRIu64 " bytes are no multiple of 2 MiB", demo->size);
		return true;
	}
	if (mr_features(&features) || features.huge_2m_free < demo->size / HUGE_PAGE) {
		fprintf(stderr,
			"memredirect: moving to huge pages is left out: %" PRIu64
			" free ones of 2 MiB are needed, there are %" PRIu64 "\n",
			demo->size / HUGE_PAGE, features.huge_2m_free);
		return true;
	}
	return add_buffer(demo, HUGE_BACKING, "huge pages", MR_MEMORY_HUGE_2M);
}

static bool set_up(struct demo *demo)
{
	if (!add_buffer(demo, FIRST, "memory", 0) || !add_buffer(demo, SECOND, "other memory", 0) || !add_file(demo) ||
	    !add_huge(demo))
		return false;
	if (mr_memory_new_buffer(demo->size, 0, &demo->copy_memory) ||
	    mr_map_new(demo->copy_memory, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &demo->copy_map))
		return failed("there is no memory for copies");
	demo->copy = mr_map_address(demo->copy_map);
	memset(demo->copy, 1, demo->size); /* resident, so that a copy costs copying alone */
	if (mr_map_new(demo->backings[FIRST].memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &demo->map))
		return failed("the map could not be made");
	demo->memory = mr_map_address(demo->map);
	demo->oracle.shown = demo->backings[FIRST].content;
	if (!clients_start(&demo->clients, demo->threads, step, demo)) {
		complain("%u clients could not be started", demo->threads);
		return false;
	}
	return true;
}

static void tear_down(struct demo *demo)
{
	mr_map_unref(demo->map);
	for (unsigned i = 0; i < BACKING_COUNT; i++) {
		mr_map_unref(demo->backings[i].window_map);
		mr_memory_unref(demo->backings[i].memory);
	}
	mr_map_unref(demo->copy_map);
	mr_memory_unref(demo->copy_memory);
	clients_free(&demo->clients);
}

/* When all clients have ended, every write that was counted is in a backing, or was in one that a move has overwritten. */
static void check_sum(struct demo *demo)
{
	uint64_t sum = demo->overwritten;

	for (unsigned i = 0; i < BACKING_COUNT; i++)
		if (demo->backings[i].memory)
			sum += pattern_sum(demo->backings[i].window, demo->size);
	if (sum == clients_writes(&demo->clients))
		return;
	complain("%" PRIu64 " writes were counted, and %" PRIu64 " are found", clients_writes(&demo->clients), sum);
	demo->errors++;
}

static bool run(struct demo *demo, double seconds)
{
	bool good = set_up(demo);
	bool ended;

	if (!good)
		return false;
	good = work(demo, seconds);
	if (!good && mr_map_is_blocked(demo->map))
		let_go(demo);
	ended = clients_stop(&demo->clients);
	if (!ended)
		wrong(demo, "a client does not end");
	else if (good)
		check_sum(demo);
	return good && ended;
}

static uint64_t available_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kilobytes = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kilobytes) == 1)
			break;
	if (file)
		fclose(file);
	return kilobytes * 1024;
}

/* The size that was asked for, or what suits the machine; in whole pages. 0: it does not fit. */
static uint64_t choose_size(uint64_t wanted)
{
	uint64_t available = available_memory(), most = available / NEEDED;
	char size[32], room[32];

	if (!wanted && most < DEFAULT_SIZE) {
		wanted = most / HUGE_PAGE * HUGE_PAGE;
		if (wanted)
			complain("the map has %s: %s of memory are available", show_size(wanted, size),
				 show_size(available, room));
	}
	if (!wanted && most >= DEFAULT_SIZE)
		wanted = DEFAULT_SIZE;
	if (wanted && wanted <= most)
		return (wanted + PATTERN_PAGE - 1) / PATTERN_PAGE * PATTERN_PAGE;
	complain("a map of %s needs %d times as much memory, and %s are available; use --size %" PRIu64 "M or less",
		 show_size(wanted, size), NEEDED, show_size(available, room), most >> 20);
	return 0;
}

int demo_memory(const struct demo_options *options)
{
	struct demo demo = { .size = choose_size(options->size), .threads = options->threads };
	struct demo_result result = { .kinds = demo.kinds, .kind_count = KIND_COUNT, .threads = options->threads };
	bool good;

	if (!demo.size)
		return STATUS_FAILED;
	for (unsigned i = 0; i < KIND_COUNT; i++)
		demo.kinds[i].name = kind_names[i];
	if (!demo_measure_raw(demo.size, demo.threads, options->seconds / 5, &result.raw, &result.noise))
		return STATUS_FAILED;
	good = run(&demo, options->seconds);
	result.size = demo.size;
	result.bytes_checked = clients_bytes(&demo.clients);
	result.writes = clients_writes(&demo.clients);
	result.most_waiters = demo.most_waiters;
	result.errors = demo.errors + clients_errors(&demo.clients) + !good;
	if (good)
		tear_down(&demo);
	return demo_report(&result, options->json);
}
