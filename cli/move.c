/* SPDX-License-Identifier: MIT */
/* memredirect move: memory of a process goes to other pages, while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <memredirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "ranges.h"
#include "table.h"

/* What "all" leaves out, unless a size is given: no huge page fits into less. */
#define LEAST (UINT64_C(2) << 20)

struct target {
	uint32_t placement;
	unsigned node;
	const char *path; /* of a file, which is made */
};

struct mapping {
	uint64_t start, length, resident;
	char name[64];
	const char *reason; /* why it is not moved; NULL: it is */
	bool moved;
	struct mr_report cost;
};

struct job {
	struct mr_task *task;
	struct target target;
	struct selection *selections;
	unsigned selection_count;
	bool dry, json, shows_progress;
	struct mapping *mappings;
	size_t count, room;
	bool failed;
};

static int help(void)
{
	puts("usage: memredirect move PID RANGE... --to BACKING [--dry-run] [--json]\n\n"
	     "Move private memory of a process to other pages, while it runs. It keeps its addresses and bytes.\n\n"
	     "  PID            of the process, or of any thread of it\n"
	     "  RANGE          START-END, heap, or all[:MINSIZE] (all mappings of 2 MiB, or MINSIZE, and more); whole mappings are moved\n"
	     "  --to BACKING   thp: transparent huge pages; anon: pages of ordinary size; node:N: a NUMA node; huge2m: huge pages of\n"
	     "                 2 MiB; memfd; file:PATH: a new file. The last three change what the process may rely on\n"
	     "  --dry-run      only say what would be moved\n"
	     "  --json         report as JSON\n"
	     "  --help         this help\n"
	     "  --version      the version");
	return STATUS_DONE;
}

static bool parse_target(const char *text, struct target *ret_target)
{
	uint64_t node;

	if (strcmp(text, "thp") == 0)
		*ret_target = (struct target){ .placement = MR_PLACE_THP };
	else if (strcmp(text, "anon") == 0)
		*ret_target = (struct target){ .placement = MR_PLACE_ANON };
	else if (strncmp(text, "node:", 5) == 0 && parse_number(text + 5, 0, 1023, &node))
		*ret_target = (struct target){ .placement = MR_PLACE_NODE, .node = (unsigned)node };
	else if (strcmp(text, "huge2m") == 0)
		*ret_target = (struct target){ .placement = MR_PLACE_HUGE_2M };
	else if (strcmp(text, "memfd") == 0)
		*ret_target = (struct target){ .placement = MR_PLACE_MEMFD };
	else if (strncmp(text, "file:", 5) == 0 && text[5])
		*ret_target = (struct target){ .placement = MR_PLACE_FILE, .path = text + 5 };
	else
		return false;
	return true;
}

static void warn(const struct target *target)
{
	if (target->placement == MR_PLACE_HUGE_2M)
		complain(
			"warning: the process can unmap, protect and give back whole huge pages only, and cannot grow the mapping; a child of "
			"fork(2) that writes to it dies when no huge page is free");
	if (target->placement == MR_PLACE_MEMFD || target->placement == MR_PLACE_FILE)
		complain(
			"warning: private memory becomes shared: after a fork(2) parent and child see each other's writes (a background save "
			"of redis, say, is wrong then); MADV_DONTNEED gives nothing back and does not zero; MADV_FREE fails");
	if (target->placement == MR_PLACE_FILE)
		complain("warning: the mapping cannot be grown any more: SIGBUS behind its end");
}

/* -- what is moved -- */

static struct mapping *append(struct job *job)
{
	if (job->count == job->room) {
		size_t room = job->room ? 2 * job->room : 32;
		struct mapping *more = realloc(job->mappings, room * sizeof(*more));

		if (!more)
			return NULL;
		job->mappings = more;
		job->room = room;
	}
	return &job->mappings[job->count++];
}

/* What "all" and "heap" select is moved if it can be; what is named by its addresses must be movable. */
static int note_region(void *argument, const struct mr_region *region)
{
	struct job *job = argument;
	struct mapping *mapping;
	struct mr_range part;
	bool named, region_is_movable = region->redirectable;

	if (!selection_part(job->selections, job->selection_count, region, &part))
		return 0;
	named = selections_name(job->selections, job->selection_count, region);
	if (!region->redirectable && !named)
		return 0;
	if (named && region->shared && region->name[0] == '/') /* the library knows better */
		region_is_movable = true;
	mapping = append(job);
	if (!mapping)
		return -ENOMEM;
	*mapping = (struct mapping){ .start = region->start, .length = region->length, .resident = region->resident };
	snprintf(mapping->name, sizeof(mapping->name), "%s", region->name);
	if (!region_is_movable)
		mapping->reason = strdup(region->reason);
	else if (part.length != region->length)
		mapping->reason = strdup("only whole mappings are moved, and the range ends within this one");
	job->failed |= mapping->reason != NULL;
	return 0;
}

static bool find(struct job *job)
{
	int error = mr_task_regions(job->task, note_region, job);

	if (error) {
		complain("%s", error == -ENOMEM ? "there is no memory for the list" : mr_error());
		return false;
	}
	if (!selections_are_met(job->selections, job->selection_count))
		return false;
	for (size_t i = 0; i < job->count; i++)
		if (job->mappings[i].reason) {
			complain("%012" PRIx64 "-%012" PRIx64 " cannot be moved: %s", job->mappings[i].start,
				 job->mappings[i].start + job->mappings[i].length, job->mappings[i].reason);
			return false;
		}
	return true;
}

/* -- moving -- */

static int show_progress(void *argument, uint64_t done, uint64_t total)
{
	const struct mapping *mapping = argument;
	char done_text[32], total_text[32];

	fprintf(stderr, "\r%012" PRIx64 ": %s of %s \033[K", mapping->start, show_size(done, done_text),
		show_size(total, total_text));
	return 0;
}

/* A file for a mapping, where there is none yet. */
static int make_file(const char *path, uint64_t length)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0 && !ftruncate(fd, (off_t)length))
		return fd;
	complain("%s cannot be made: %s", path, strerror(errno));
	if (fd >= 0) {
		unlink(path);
		close(fd);
	}
	return -1;
}

static int move_to(struct job *job, struct mapping *mapping, struct mr_place *place)
{
	struct mr_copy_opts opts = { .size = sizeof(opts) };
	int error;

	if (job->shows_progress) {
		opts.progress = show_progress;
		opts.progress_arg = mapping;
	}
	mapping->cost.size = sizeof(mapping->cost);
	error = mr_task_move(job->task, mapping->start, place, &opts, &mapping->cost);
	if (job->shows_progress)
		fputs("\r\033[K", stderr);
	return error;
}

static void move_one(struct job *job, struct mapping *mapping)
{
	struct mr_place place = { .size = sizeof(place), .kind = job->target.placement, .node = job->target.node, .fd = -1 };

	if (job->target.path) {
		place.fd = make_file(job->target.path, mapping->length);
		if (place.fd < 0) {
			mapping->reason = strdup("the file cannot be made");
			job->failed = true;
			return;
		}
	}
	mapping->moved = !move_to(job, mapping, &place);
	if (!mapping->moved) {
		mapping->reason = strdup(mr_error());
		complain("%s", mapping->reason);
		job->failed = true;
	}
	if (place.fd < 0)
		return;
	if (!mapping->moved)
		unlink(job->target.path);
	close(place.fd);
}

/* -- the table -- */

enum { RANGE, LENGTH, BEFORE, AFTER, STALL, TIME, NAME, RESULT, COLUMNS };

static const struct column columns[COLUMNS] = {
	{ "RANGE", SCOLS_JSON_STRING, false }, { "SIZE", SCOLS_JSON_STRING, true },    { "RESIDENT", SCOLS_JSON_STRING, true },
	{ "THEN", SCOLS_JSON_STRING, true },   { "PAUSE", SCOLS_JSON_STRING, true },   { "TIME", SCOLS_JSON_STRING, true },
	{ "NAME", SCOLS_JSON_STRING, false },  { "RESULT", SCOLS_JSON_STRING, false },
};

static const struct column json_columns[COLUMNS] = {
	{ "range", SCOLS_JSON_STRING, false },	  { "length", SCOLS_JSON_NUMBER, false },
	{ "resident", SCOLS_JSON_NUMBER, false }, { "resident_then", SCOLS_JSON_NUMBER, false },
	{ "pause_ns", SCOLS_JSON_NUMBER, false }, { "total_ns", SCOLS_JSON_NUMBER, false },
	{ "name", SCOLS_JSON_STRING, false },	  { "result", SCOLS_JSON_STRING, false },
};

struct after {
	const struct mapping *mapping;
	uint64_t resident;
};

static int note_after(void *argument, const struct mr_region *region)
{
	struct after *after = argument;

	if (region->start == after->mapping->start)
		after->resident = region->resident;
	return 0;
}

static const char *show(uint64_t value, bool json, bool time, char buffer[32])
{
	if (!json)
		return time ? show_time(value, buffer) : show_size(value, buffer);
	snprintf(buffer, 32, "%" PRIu64, value);
	return buffer;
}

static void add_row(struct job *job, struct libscols_table *table, const struct mapping *mapping)
{
	char range[64], texts[5][32];
	const char *cells[COLUMNS] = { [RANGE] = range, [NAME] = mapping->name };
	struct after after = { .mapping = mapping };

	snprintf(range, sizeof(range), "%012" PRIx64 "-%012" PRIx64, mapping->start, mapping->start + mapping->length);
	cells[LENGTH] = show(mapping->length, job->json, false, texts[0]);
	cells[BEFORE] = show(mapping->resident, job->json, false, texts[1]);
	if (mapping->moved) {
		mr_task_regions(job->task, note_after, &after);
		cells[AFTER] = show(after.resident, job->json, false, texts[2]);
		cells[STALL] = show(mapping->cost.stall_ns, job->json, true, texts[3]);
		cells[TIME] = show(mapping->cost.total_ns, job->json, true, texts[4]);
	}
	cells[RESULT] = mapping->moved ? "moved" : mapping->reason ? mapping->reason : "would be moved";
	table_row(table, cells, COLUMNS);
}

static void report(struct job *job)
{
	struct libscols_table *table = table_new("mappings", job->json ? json_columns : columns, COLUMNS, job->json);

	if (!table)
		return;
	for (size_t i = 0; i < job->count; i++)
		add_row(job, table, &job->mappings[i]);
	table_print(table, job->json, "");
}

/* -- the verb -- */

static int run(struct job *job)
{
	if (!find(job))
		return STATUS_FAILED;
	if (job->target.path && job->count > 1) {
		complain("a file takes one mapping, and these are %zu", job->count);
		return STATUS_FAILED;
	}
	if (job->count)
		warn(&job->target);
	for (size_t i = 0; !job->dry && i < job->count; i++)
		move_one(job, &job->mappings[i]);
	report(job);
	return job->failed ? STATUS_FAILED : STATUS_DONE;
}

static int open_and_run(struct job *job, pid_t pid)
{
	int status;

	if (mr_task_open(pid, &job->task)) {
		complain("%s", mr_error());
		return STATUS_FAILED;
	}
	job->shows_progress = isatty(STDERR_FILENO);
	status = run(job);
	for (size_t i = 0; i < job->count; i++)
		free((char *)job->mappings[i].reason);
	free(job->mappings);
	mr_task_unref(job->task);
	return status;
}

static int run_on(struct job *job, const char *to, char **words, int count)
{
	uint64_t pid;
	int status;

	if (!count || !parse_number(words[0], 1, INT32_MAX, &pid))
		return count ? usage_error("move", "\"%s\" is no PID", words[0]) : usage_error("move", "no PID is given");
	if (count == 1)
		return usage_error("move", "no RANGE is given; \"all\" is one");
	if (!to)
		return usage_error("move", "no BACKING is given; say --to thp, for example");
	if (!parse_target(to, &job->target))
		return usage_error(
			"move",
			"\"%s\" is no BACKING that memory can be moved to; thp, anon, node:N, huge2m, memfd and file:PATH are",
			to);
	job->selection_count = (unsigned)count - 1;
	status = selections_parse("move", words + 1, job->selection_count, LEAST, &job->selections);
	if (status != STATUS_DONE)
		return status;
	status = open_and_run(job, (pid_t)pid);
	free(job->selections);
	return status;
}

int verb_move(int argc, char **argv)
{
	static const struct option options[] = {
		{ "to", required_argument, NULL, 't' }, { "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },	{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },	{ 0 },
	};
	struct job job = { .task = NULL };
	const char *to = NULL;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (option) {
		case 't':
			to = optarg;
			break;
		case 'n':
			job.dry = true;
			break;
		case 'j':
			job.json = true;
			break;
		case 'h':
			return help();
		case 'V':
			puts("memredirect " VERSION);
			return STATUS_DONE;
		default:
			return usage_error("move", "move does not know the option \"%s\", or it lacks its value",
					   argv[optind - 1]);
		}
	return run_on(&job, to, argv + optind, argc - optind);
}
