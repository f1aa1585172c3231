/* SPDX-License-Identifier: MIT */
/*
 * The job on an export of an NBD server: clients look things up in a map of it, through a cache that is a quarter of its size, while it is
 * redirected to a local copy and back, or moved here and back.
 *
 * The export's own bytes are what answers are checked against: they are read before. Unless --write is given, the export is opened
 * read-only and nothing of it is changed. With --write, clients change the words that are theirs, and what was there is put back at the end.
 */
#include <inttypes.h>
#include <memredirect-nbd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "command.h"
#include "demo.h"
#include "pattern.h"
#include "progress.h"

#define WORD	    sizeof(uint64_t)
#define SIZE_MOST   ((uint64_t)256 << 20)
#define CACHE_LEAST ((uint64_t)4 << 20)
#define PAGE	    ((uint64_t)4096)

enum kind { AWAY, BACK, BLOCK, SYNC, KIND_COUNT };

static const char *const looking[KIND_COUNT] = {
	[AWAY] = "redirect to a copy", [BACK] = "redirect back", [BLOCK] = "block, let go"
};
static const char *const writing[KIND_COUNT] = {
	[AWAY] = "move here", [BACK] = "move back", [BLOCK] = "block, let go", [SYNC] = "sync"
};

struct demo {
	const char *uri;
	bool write;
	uint64_t size;
	unsigned threads;
	struct mr_memory *export; /* all of it */
	struct mr_memory *shown;  /* the part that is mapped */
	struct mr_memory *local;
	uint64_t *right;   /* what the export had */
	uint8_t *versions; /* of each word, by its client: how often it has been changed */
	struct mr_map *map;
	uint64_t *words;
	bool is_away;
	struct clients clients;
	struct stalls kinds[KIND_COUNT];
	uint64_t most_waiters;
	uint64_t errors;
};

/* The word that belongs at @index when it has been changed @version times. */
static uint64_t word_at(const struct demo *demo, uint64_t index, uint8_t version)
{
	return demo->right[index] ^ version * UINT64_C(0x9e3779b97f4a7c15);
}

static void step(struct client *client, void *argument)
{
	struct demo *demo = argument;
	uint64_t own = demo->size / WORD / demo->threads;
	uint64_t index = pattern_random(&client->random) % own * demo->threads + client->index;
	uint64_t expected = word_at(demo, index, demo->versions[index]);
	uint64_t answer = __atomic_load_n(&demo->words[index], __ATOMIC_ACQUIRE);

	atomic_fetch_add_explicit(&client->bytes, WORD, memory_order_relaxed);
	if (answer != expected)
		client_error(client, "offset %" PRIu64 " is %#" PRIx64 ", not %#" PRIx64, index * WORD, answer, expected);
	if (!demo->write)
		return;
	expected = word_at(demo, index, ++demo->versions[index]);
	__atomic_store_n(&demo->words[index], expected, __ATOMIC_RELEASE);
	atomic_fetch_add_explicit(&client->writes, 1, memory_order_relaxed);
}

static bool fails(struct demo *demo, const char *what)
{
	complain("%s: %s", what, mr_error());
	demo->errors++;
	return false;
}

static uint32_t access_options(const struct demo *demo)
{
	return demo->write ? 0 : MR_MAP_READ_ONLY;
}

static bool block(struct demo *demo)
{
	static const struct timespec pause = { .tv_nsec = 20000 };
	struct mr_memory *shown = mr_map_memory(demo->map);
	uint64_t deadline = now() + UINT64_C(60000000000);

	if (mr_map_redirect(demo->map, NULL, 0, 0))
		return fails(demo, "the map could not be blocked");
	while (mr_map_waiters(demo->map) < demo->threads && now() < deadline)
		nanosleep(&pause, NULL);
	demo->most_waiters = mr_map_waiters(demo->map);
	if (demo->most_waiters != demo->threads) {
		complain("not every client waits in a blocked map");
		demo->errors++;
	}
	if (mr_map_redirect(demo->map, shown, access_options(demo), 0))
		return fails(demo, "the map could not be let go");
	return true;
}

static bool change(struct demo *demo, bool away)
{
	struct mr_memory *to = away ? demo->local : demo->shown;

	if (demo->write ? mr_map_move(demo->map, to, 0, 0, NULL, NULL) : mr_map_redirect(demo->map, to, MR_MAP_READ_ONLY, 0))
		return fails(demo, demo->write ? "a move failed" : "a redirect failed");
	demo->is_away = away;
	return true;
}

static bool operate(struct demo *demo, enum kind kind)
{
	switch (kind) {
	case AWAY:
	case BACK:
		return change(demo, kind == AWAY);
	case BLOCK:
		return block(demo);
	default:
		return !mr_memory_sync(demo->shown) || fails(demo, "what was written could not be synced");
	}
}

static bool work(struct demo *demo, double seconds)
{
	static const struct timespec breath = { .tv_nsec = 3000000 };
	uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9);
	unsigned kinds = demo->write ? KIND_COUNT : KIND_COUNT - 1;

	for (unsigned i = 0; (i < kinds || now() < end) && !demo_interrupted; i++) {
		nanosleep(&breath, NULL);
		clients_take(&demo->clients);
		if (!operate(demo, i % kinds))
			return false;
		if (!clients_go_on(&demo->clients)) {
			complain("a client hangs");
			demo->errors++;
			return false;
		}
		stalls_add(&demo->kinds[i % kinds], clients_take(&demo->clients));
		progress("%.0f s: %u operations, %s shown, %" PRIu64 " errors", (double)(now() - begin) / 1e9, i + 1,
			 demo->is_away ? "local memory" : "the export", demo->errors + clients_errors(&demo->clients));
	}
	return true;
}

static void *local_words(uint64_t length)
{
	void *words = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return words == MAP_FAILED ? NULL : words;
}

/* The part that is used: whole pages, as much as was asked for. */
static bool choose_size(struct demo *demo, uint64_t wanted)
{
	uint64_t length = mr_memory_length(demo->export);

	demo->size = wanted ? wanted : length < SIZE_MOST ? length : SIZE_MOST;
	if (demo->size > length) {
		complain("--size is %" PRIu64 " bytes, and the export has %" PRIu64, demo->size, length);
		return false;
	}
	demo->size -= demo->size % PAGE;
	if (demo->size / WORD < demo->threads) {
		complain("%s %" PRIu64 " bytes; a page at least is needed", wanted ? "--size is" : "the export has",
			 wanted ? wanted : length);
		return false;
	}
	return true;
}

/* Through a cache for @size bytes of it. */
static bool open_for(struct demo *demo, uint64_t size)
{
	uint64_t cache = size / 4 < CACHE_LEAST ? CACHE_LEAST : size / 4;
	int error = mr_memory_new_nbd(demo->uri, cache, demo->write ? 0 : MR_MEMORY_READ_ONLY, &demo->export);

	if (error)
		complain("the export cannot be used: %s", mr_error());
	return !error;
}

/* Once more, if the export is smaller than is used at most. */
static bool open_export(struct demo *demo, uint64_t wanted)
{
	uint64_t most = wanted ? wanted : SIZE_MOST;

	if (!open_for(demo, most))
		return false;
	if (demo->write && mr_memory_options(demo->export) & MR_MEMORY_READ_ONLY) {
		complain("the export is read-only, and --write is given");
		return false;
	}
	if (!choose_size(demo, wanted))
		return false;
	if (demo->size > most - PAGE || most / 4 <= CACHE_LEAST)
		return true;
	demo->export = mr_memory_unref(demo->export);
	return open_for(demo, demo->size);
}

static bool set_up(struct demo *demo, uint64_t wanted)
{
	if (!open_export(demo, wanted))
		return false;
	demo->right = local_words(demo->size);
	demo->versions = local_words(demo->size / WORD);
	if (!demo->right || !demo->versions) {
		complain("there is no memory for a copy of %" PRIu64 " bytes; --size takes less", demo->size);
		return false;
	}
	progress("reading the export");
	if (mr_memory_read(demo->export, 0, demo->right, demo->size))
		return fails(demo, "the export cannot be read");
	if (mr_memory_new_sub(demo->export, 0, demo->size, 0, &demo->shown) ||
	    mr_memory_new_buffer(demo->size, 0, &demo->local) || mr_memory_write(demo->local, 0, demo->right, demo->size) ||
	    mr_map_new(demo->shown, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | access_options(demo), 0, 0, &demo->map))
		return fails(demo, "the map could not be made");
	demo->words = mr_map_address(demo->map);
	return true;
}

/* As it was, durably. */
static bool put_back(struct demo *demo)
{
	if (!demo->write)
		return true;
	progress("putting back what was there");
	if (mr_memory_write(demo->export, 0, demo->right, demo->size) || mr_memory_sync(demo->export))
		return fails(demo, "what was there could not be put back");
	return true;
}

static void tear_down(struct demo *demo)
{
	mr_map_unref(demo->map);
	mr_memory_unref(demo->local);
	mr_memory_unref(demo->shown);
	mr_memory_unref(demo->export);
	if (demo->right)
		munmap(demo->right, demo->size);
	if (demo->versions)
		munmap(demo->versions, demo->size / WORD);
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
		mr_map_redirect(demo->map, demo->local, access_options(demo), 0);
	if (clients_stop(&demo->clients))
		return good;
	complain("a client does not end");
	demo->errors++;
	return false;
}

int demo_nbd(const struct demo_options *options)
{
	struct demo demo = { .uri = options->nbd, .write = options->write, .threads = options->threads };
	struct demo_result result = { .kinds = demo.kinds, .kind_count = KIND_COUNT, .threads = options->threads };
	bool good = set_up(&demo, options->size);

	for (unsigned i = 0; i < KIND_COUNT; i++)
		demo.kinds[i].name = (options->write ? writing : looking)[i];
	if (good)
		good = demo_measure_raw(demo.size, demo.threads, options->seconds / 5, &result.raw, &result.noise);
	if (!good) {
		tear_down(&demo);
		return STATUS_FAILED;
	}
	good = run(&demo, options->seconds);
	good = put_back(&demo) && good;
	result.size = demo.size;
	result.bytes_checked = clients_bytes(&demo.clients);
	result.writes = clients_writes(&demo.clients);
	result.most_waiters = demo.most_waiters;
	result.errors = demo.errors + clients_errors(&demo.clients) + !good;
	if (good)
		tear_down(&demo);
	return demo_report(&result, options->json);
}
