/* SPDX-License-Identifier: MIT */
/* memredirect regions: what is mapped in a process, and what of it can be redirected. */
#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <memredirect.h>
#include <stdio.h>
#include <sys/mman.h>

#include "command.h"
#include "table.h"

enum { RANGE, LENGTH, RESIDENT, ACCESS, OFFSET, REDIRECTABLE, NAME, REASON, COLUMNS };

static const struct column columns[COLUMNS] = {
	{ "RANGE", SCOLS_JSON_STRING, false },	     { "SIZE", SCOLS_JSON_STRING, true },
	{ "RESIDENT", SCOLS_JSON_STRING, true },     { "ACCESS", SCOLS_JSON_STRING, false },
	{ "OFFSET", SCOLS_JSON_STRING, true },	     { "REDIRECT", SCOLS_JSON_STRING, false },
	{ "MAPPED FROM", SCOLS_JSON_STRING, false }, { "WHY NOT", SCOLS_JSON_STRING, false },
};

static const struct column json_columns[COLUMNS] = {
	{ "range", SCOLS_JSON_STRING, false },	  { "length", SCOLS_JSON_NUMBER, false },
	{ "resident", SCOLS_JSON_NUMBER, false }, { "access", SCOLS_JSON_STRING, false },
	{ "offset", SCOLS_JSON_NUMBER, false },	  { "redirectable", SCOLS_JSON_BOOLEAN, false },
	{ "name", SCOLS_JSON_STRING, false },	  { "reason", SCOLS_JSON_STRING, false },
};

struct listing {
	struct libscols_table *table;
	bool json;
};

static const char *show_bytes(uint64_t bytes, bool exact, char buffer[32])
{
	if (!exact)
		return show_size(bytes, buffer);
	snprintf(buffer, 32, "%" PRIu64, bytes);
	return buffer;
}

static int add(void *argument, const struct mr_region *region)
{
	const struct listing *listing = argument;
	char range[64], length[32], resident[32], access[5], offset[32];
	const char *cells[COLUMNS] = { [RANGE] = range, [ACCESS] = access, [OFFSET] = offset };

	snprintf(range, sizeof(range), "%012" PRIx64 "-%012" PRIx64, region->start, region->start + region->length);
	snprintf(access, sizeof(access), "%c%c%c%c", region->protection & PROT_READ ? 'r' : '-',
		 region->protection & PROT_WRITE ? 'w' : '-', region->protection & PROT_EXEC ? 'x' : '-',
		 region->shared ? 's' : 'p');
	snprintf(offset, sizeof(offset), listing->json ? "%" PRIu64 : "%" PRIx64, region->offset);
	cells[LENGTH] = show_bytes(region->length, listing->json, length);
	cells[RESIDENT] = show_bytes(region->resident, listing->json, resident);
	if (listing->json)
		cells[REDIRECTABLE] = region->redirectable ? "1" : "0";
	else
		cells[REDIRECTABLE] = region->redirectable ? "yes" : "no";
	cells[NAME] = region->name;
	cells[REASON] = region->reason;
	table_row(listing->table, cells, COLUMNS);
	return 0;
}

static int help(void)
{
	puts("usage: memredirect regions PID [--json]\n\n"
	     "List what is mapped in a process: where, how much of it is in main memory, what it is mapped from, and whether\n"
	     "other memory can be put behind it, or why not.\n\n"
	     "  PID        of the process, or of any thread of it\n"
	     "  --json     as JSON\n"
	     "  --help     this help\n"
	     "  --version  the version");
	return STATUS_DONE;
}

static int list(struct mr_task *task, bool json)
{
	struct listing listing = { .json = json };

	listing.table = table_new("regions", json ? json_columns : columns, COLUMNS, json);
	if (!listing.table) {
		complain("there is no memory for the table");
		return STATUS_FAILED;
	}
	if (mr_task_regions(task, add, &listing)) {
		complain("%s", mr_error());
		scols_unref_table(listing.table);
		return STATUS_FAILED;
	}
	table_print(listing.table, json, "");
	return STATUS_DONE;
}

int verb_regions(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct mr_task *task;
	bool json = false;
	uint64_t pid;
	int option, status;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'h':
			return help();
		case 'V':
			puts("memredirect " VERSION);
			return STATUS_DONE;
		default:
			return usage_error("regions", "regions does not know the option \"%s\"", argv[optind - 1]);
		}
	if (argc - optind != 1)
		return usage_error("regions", argc == optind ? "no PID is given" : "one PID is wanted");
	if (!parse_number(argv[optind], 1, INT32_MAX, &pid))
		return usage_error("regions", "\"%s\" is no PID", argv[optind]);
	if (mr_task_open((pid_t)pid, &task)) {
		complain("%s", mr_error());
		return STATUS_FAILED;
	}
	status = list(task, json);
	mr_task_unref(task);
	return status;
}
