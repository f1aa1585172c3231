/* SPDX-License-Identifier: MIT */
/* memredirect demo: its options, its oracle, and the report. */
#include "demo.h"

#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <memredirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "pattern.h"
#include "progress.h"
#include "table.h"

volatile sig_atomic_t demo_interrupted;

static void interrupt(int signal_number)
{
	(void)signal_number;
	demo_interrupted = 1;
}

void oracle_begin(struct oracle *oracle)
{
	atomic_fetch_add(&oracle->sequence, 1);
}

void oracle_end(struct oracle *oracle, unsigned shown)
{
	atomic_store(&oracle->shown, shown);
	atomic_fetch_add(&oracle->sequence, 1);
}

unsigned oracle_verdict(struct oracle *oracle, uint64_t before)
{
	unsigned shown = atomic_load(&oracle->shown);

	return before & 1 || atomic_load(&oracle->sequence) != before ? 0 : shown;
}

enum { OPERATION, TIMES, LONGEST, MEDIAN, RAW, COMPARED, COLUMNS };

static const struct column columns[COLUMNS] = {
	{ "OPERATION", SCOLS_JSON_STRING, false },	{ "TIMES", SCOLS_JSON_NUMBER, true },
	{ "LONGEST STALL", SCOLS_JSON_STRING, true },	{ "MEDIAN STALL", SCOLS_JSON_STRING, true },
	{ "MMAP(MAP_FIXED)", SCOLS_JSON_STRING, true }, { "MEDIAN/MMAP", SCOLS_JSON_STRING, true },
};

static const struct column json_columns[COLUMNS] = {
	{ "operation", SCOLS_JSON_STRING, false },	    { "times", SCOLS_JSON_NUMBER, true },
	{ "longest_stall_ns", SCOLS_JSON_NUMBER, true },    { "median_stall_ns", SCOLS_JSON_NUMBER, true },
	{ "mmap_fixed_stall_ns", SCOLS_JSON_NUMBER, true }, { "median_to_mmap_fixed", SCOLS_JSON_NUMBER, true },
};

static const char *time_cell(uint64_t time, bool json, char buffer[32])
{
	if (!json)
		return show_time(time, buffer);
	snprintf(buffer, 32, "%" PRIu64, time);
	return buffer;
}

static void add_kind(struct libscols_table *table, struct stalls *kind, uint64_t raw, bool json)
{
	char times[32], longest[32], median[32], raw_text[32], compared[32];
	uint64_t middle = stalls_median(kind);
	const char *cells[COLUMNS] = { kind->name };

	snprintf(times, sizeof(times), "%" PRIu64, kind->count);
	snprintf(compared, sizeof(compared), json ? "%.5f" : "%.3f", raw ? (double)middle / (double)raw : 0);
	cells[TIMES] = times;
	cells[LONGEST] = time_cell(stalls_longest(kind), json, longest);
	cells[MEDIAN] = time_cell(middle, json, median);
	cells[RAW] = time_cell(raw, json, raw_text);
	cells[COMPARED] = compared;
	table_row(table, cells, COLUMNS);
}

static void print_rest(const struct demo_result *result, uint64_t noise)
{
	char size[32], bytes[32], time[32];

	printf("\n%s of memory, %u clients; %s checked, %" PRIu64 " writes counted and found; at most %" PRIu64
	       " clients waited at once\n",
	       show_size(result->size, size), result->threads, show_size(result->bytes_checked, bytes), result->writes,
	       result->most_waiters);
	printf("longest gap while nothing was done (the machine's own noise): %s\n", show_time(noise, time));
	printf("%" PRIu64 " errors\n", result->errors);
}

static void print_json(struct libscols_table *table, const struct demo_result *result, uint64_t noise)
{
	char rest[512];

	snprintf(rest, sizeof(rest),
		 "\n   \"size\": %" PRIu64 ",\n   \"threads\": %u,\n   \"bytes_checked\": %" PRIu64 ",\n   \"writes\": %" PRIu64
		 ",\n   \"most_waiters\": %" PRIu64 ",\n   \"noise_ns\": %" PRIu64 ",\n   \"errors\": %" PRIu64 "\n",
		 result->size, result->threads, result->bytes_checked, result->writes, result->most_waiters, noise,
		 result->errors);
	table_print(table, true, rest);
}

int demo_report(struct demo_result *result, bool json)
{
	struct libscols_table *table = table_new("operations", json ? json_columns : columns, COLUMNS, json);
	uint64_t raw = stalls_median(&result->raw), noise = stalls_longest(&result->noise);

	progress_end();
	if (!table) {
		complain("there is no memory for a table");
		return STATUS_FAILED;
	}
	for (unsigned i = 0; i < result->kind_count; i++) {
		if (result->kinds[i].count)
			add_kind(table, &result->kinds[i], raw, json);
		stalls_free(&result->kinds[i]);
	}
	stalls_free(&result->raw);
	stalls_free(&result->noise);
	if (json) {
		print_json(table, result, noise);
	} else {
		table_print(table, false, "");
		print_rest(result, noise);
	}
	return result->errors ? STATUS_FAILED : STATUS_DONE;
}

static int help(void)
{
	puts("usage: memredirect demo [--size BYTES] [--seconds N] [--threads N] [--json]\n"
	     "       memredirect demo --files A B [--seconds N] [--threads N] [--json]\n"
	     "       memredirect demo --nbd URI [--write] [--size BYTES] [--seconds N] [--threads N] [--json]\n\n"
	     "Readers and writers use one map while it is redirected, blocked, atomically copied and moved; every byte that\n"
	     "they see is checked. With --files, readers look things up in file A while it is redirected to B and back.\n"
	     "With --nbd, they look things up in an export of an NBD server, which is not changed, while it is redirected to a\n"
	     "local copy and back; with --write, they change it meanwhile, it is moved here and back, and what was there is put\n"
	     "back at the end (whoever kills this command before that finds the export changed).\n\n"
	     "  --size BYTES   of the map, as 64K, 512M or 1GiB (default: 1 GiB, less on a small machine)\n"
	     "  --seconds N    how long (default: 10)\n"
	     "  --threads N    clients, half of them writers (default: as many as processors, 2 at least)\n"
	     "  --files A B    two files of any size; the map covers the shorter one\n"
	     "  --nbd URI      as nbd+unix:///EXPORT?socket=PATH or nbd://HOST/EXPORT; the first 256 MiB, or --size\n"
	     "  --write        change the export, and put back what was there\n"
	     "  --json         the results as JSON\n"
	     "  --help         this help\n"
	     "  --version      the version\n\n"
	     "Exit status: 0 all was right, 1 something was wrong or could not be done, 2 bad usage, 77 this kernel cannot.");
	return STATUS_DONE;
}

static int read_option(struct demo_options *options, int option, const char *value)
{
	uint64_t number;

	switch (option) {
	case 's':
		if (!parse_size(value, &options->size))
			return usage_error("demo", "--size takes a number of bytes such as 64K or 1GiB, not \"%s\"", value);
		break;
	case 't':
		if (!parse_seconds(value, &options->seconds))
			return usage_error("demo", "--seconds takes a number above 0, not \"%s\"", value);
		break;
	case 'n':
		if (!parse_number(value, 2, PATTERN_WRITERS, &number))
			return usage_error("demo", "--threads takes a number from 2 to %d, not \"%s\"", PATTERN_WRITERS, value);
		options->threads = (unsigned)number;
		break;
	case 'f':
		options->files[0] = value;
		break;
	case 'b':
		options->nbd = value;
		break;
	case 'w':
		options->write = true;
		break;
	default:
		options->json = true;
	}
	return STATUS_DONE;
}

/* Return: a status, or -1 to go on. */
static int read_options(struct demo_options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{ "size", required_argument, NULL, 's' },    { "seconds", required_argument, NULL, 't' },
		{ "threads", required_argument, NULL, 'n' }, { "files", required_argument, NULL, 'f' },
		{ "nbd", required_argument, NULL, 'b' },     { "write", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },	     { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },	     { 0 }
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:h", known, NULL)) != -1) {
		if (option == 'h')
			return help();
		if (option == 'V') {
			puts("memredirect " VERSION);
			return STATUS_DONE;
		}
		if (option == ':')
			return usage_error("demo", "the option \"%s\" needs a value", argv[optind - 1]);
		if (option == '?')
			return usage_error("demo", "demo does not know the option \"%s\"", argv[optind - 1]);
		if (read_option(options, option, optarg))
			return STATUS_USAGE;
		if (option == 'f' && optind < argc && argv[optind][0] != '-')
			options->files[1] = argv[optind++];
	}
	if (optind < argc)
		return usage_error("demo", "there is one argument too many, \"%s\"", argv[optind]);
	if (options->files[0] && !options->files[1])
		return usage_error("demo", "--files takes two files");
	if (options->files[0] && options->size)
		return usage_error("demo", "--size does not go with --files: the shorter file is the size");
	if (options->files[0] && options->nbd)
		return usage_error("demo", "--files does not go with --nbd");
	if (options->write && !options->nbd)
		return usage_error("demo", "--write goes with --nbd alone");
	return -1;
}

static unsigned default_threads(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	return processors < 2 ? 2 : processors > 16 ? 16 : (unsigned)processors;
}

static bool can_block(void)
{
	struct mr_features features;

	if (mr_features(&features) || !features.blocking) {
		complain("maps cannot be blocked here: there is no userfaultfd; memredirect info says what enables it");
		return false;
	}
	return true;
}

int verb_demo(int argc, char **argv)
{
	struct demo_options options = { .seconds = 10, .threads = default_threads() };
	struct sigaction action = { .sa_handler = interrupt };
	int status = read_options(&options, argc, argv);

	if (status >= 0)
		return status;
	if (!can_block())
		return STATUS_CANNOT;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (options.nbd)
		return demo_nbd(&options);
	return options.files[0] ? demo_files(&options) : demo_memory(&options);
}
