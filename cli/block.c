/* SPDX-License-Identifier: MIT */
/* memredirect block: accesses to memory of a process wait for a time. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <memredirect.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "progress.h"
#include "ranges.h"
#include "table.h"

/* How often it is looked who waits, and whether the process is there still; in nanoseconds. */
#define GLANCE 10000000

struct piece {
	struct mr_range range;
	char name[64];
	bool named; /* by its addresses: it must be there, and such that it can be blocked */
	struct mr_map *map;
};

struct job {
	struct mr_task *task;
	struct selection *selections;
	unsigned selection_count;
	uint64_t time; /* nanoseconds */
	bool json;
	struct piece *pieces;
	size_t count, room;
	uint64_t held, most; /* nanoseconds; threads that waited at the same time */
	int signal;	     /* that ended it; 0: none */
};

static int help(void)
{
	puts("usage: memredirect block PID RANGE... --for TIME [--json]\n\n"
	     "Let every access of a process to some of its memory wait, then let it go on. Nothing is lost: what was read and written before is\n"
	     "there, and what waits is done afterwards, also when this command is killed.\n\n"
	     "  PID            of the process, or of any thread of it\n"
	     "  RANGE          START-END, heap, or all[:MINSIZE]\n"
	     "  --for TIME     500ms, 2s, 1.5s, 100us\n"
	     "  --json         report as JSON\n"
	     "  --help         this help\n"
	     "  --version      the version");
	return STATUS_DONE;
}

/* -- what is blocked -- */

static struct piece *append(struct job *job)
{
	if (job->count == job->room) {
		size_t room = job->room ? 2 * job->room : 32;
		struct piece *more = realloc(job->pieces, room * sizeof(*more));

		if (!more)
			return NULL;
		job->pieces = more;
		job->room = room;
	}
	return &job->pieces[job->count++];
}

/* What "all" and "heap" select is blocked if it can be. */
static int note_region(void *argument, const struct mr_region *region)
{
	struct job *job = argument;
	struct mr_range part;
	struct piece *piece;
	bool named;

	if (!selection_part(job->selections, job->selection_count, region, &part))
		return 0;
	named = selections_name(job->selections, job->selection_count, region);
	if (!region->redirectable && !named)
		return 0;
	piece = append(job);
	if (!piece)
		return -ENOMEM;
	*piece = (struct piece){ .range = part, .named = named };
	snprintf(piece->name, sizeof(piece->name), "%s", region->name);
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
	if (!job->count)
		complain("nothing that is selected can be blocked; memredirect regions says why");
	return job->count;
}

/* -- blocking -- */

/* What has gone since the list was made was not named, or is missed. */
static bool adopt(struct job *job)
{
	for (size_t i = 0; i < job->count; i++) {
		struct piece *piece = &job->pieces[i];
		int error = mr_map_adopt(job->task, (void *)piece->range.address, piece->range.length, 0, &piece->map);

		if (error && (piece->named || error != -EFAULT)) {
			complain("%s", mr_error());
			return false;
		}
	}
	return true;
}

static bool block(struct job *job)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->pieces[i].map && mr_map_redirect(job->pieces[i].map, NULL, 0, 0)) {
			complain("%s", mr_error());
			return false;
		}
	return true;
}

static bool let_go(struct job *job)
{
	bool all = true;

	for (size_t i = 0; i < job->count; i++) {
		struct piece *piece = &job->pieces[i];

		if (piece->map && mr_map_unmap(piece->map)) {
			complain("%s", mr_error());
			all = false;
		}
	}
	return all;
}

static int stop_at_first(void *argument, const struct mr_thread *thread)
{
	(void)argument;
	(void)thread;
	return 1;
}

static bool is_there(const struct job *job)
{
	if (mr_task_threads(job->task, stop_at_first, NULL) == 1)
		return true;
	complain("process %d has ended meanwhile", (int)mr_task_pid(job->task));
	return false;
}

static uint64_t count_waiters(const struct job *job)
{
	uint64_t count = 0;

	for (size_t i = 0; i < job->count; i++)
		count += mr_map_waiters(job->pieces[i].map);
	return count;
}

/* The signals that end it early are blocked, and taken here. */
static void make_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
}

static bool hold(struct job *job, uint64_t begin)
{
	uint64_t end = begin + job->time, at;
	sigset_t signals;

	make_signals(&signals);
	for (at = now(); at < end; at = now()) {
		uint64_t left = end - at < GLANCE ? end - at : GLANCE, waiters = count_waiters(job);
		struct timespec glance = { .tv_nsec = (long)left };

		job->most = waiters > job->most ? waiters : job->most;
		progress("blocked for %.1f of %.1f s; %" PRIu64 " threads wait", (double)(at - begin) / 1e9,
			 (double)job->time / 1e9, waiters);
		job->signal = sigtimedwait(&signals, NULL, &glance);
		if (job->signal > 0)
			break;
		job->signal = 0;
		if (!is_there(job))
			return false;
	}
	return true;
}

static bool block_and_hold(struct job *job)
{
	bool done = adopt(job) && block(job);
	uint64_t begin = now(), waiters;

	if (done)
		done = hold(job, begin);
	waiters = count_waiters(job);
	job->most = waiters > job->most ? waiters : job->most;
	progress_end();
	done &= let_go(job);
	job->held = now() - begin;
	for (size_t i = 0; i < job->count; i++)
		mr_map_unref(job->pieces[i].map);
	return done;
}

/* -- the report -- */

enum { RANGE, LENGTH, NAME, COLUMNS };

static const struct column columns[COLUMNS] = {
	{ "RANGE", SCOLS_JSON_STRING, false },
	{ "SIZE", SCOLS_JSON_STRING, true },
	{ "NAME", SCOLS_JSON_STRING, false },
};

static const struct column json_columns[COLUMNS] = {
	{ "range", SCOLS_JSON_STRING, false },
	{ "length", SCOLS_JSON_NUMBER, false },
	{ "name", SCOLS_JSON_STRING, false },
};

static void add_row(const struct job *job, struct libscols_table *table, const struct piece *piece)
{
	char range[64], size[32];
	const char *cells[COLUMNS] = { range, size, piece->name };

	snprintf(range, sizeof(range), "%012" PRIx64 "-%012" PRIx64, piece->range.address,
		 piece->range.address + piece->range.length);
	if (job->json)
		snprintf(size, sizeof(size), "%" PRIu64, piece->range.length);
	else
		show_size(piece->range.length, size);
	table_row(table, cells, COLUMNS);
}

static void report(const struct job *job)
{
	struct libscols_table *table = table_new("ranges", job->json ? json_columns : columns, COLUMNS, job->json);
	char rest[160], time[32];

	if (!table)
		return;
	for (size_t i = 0; i < job->count; i++)
		if (job->pieces[i].map)
			add_row(job, table, &job->pieces[i]);
	snprintf(rest, sizeof(rest), "\"held_ns\": %" PRIu64 ", \"most_waiters\": %" PRIu64 ", \"interrupted\": %s", job->held,
		 job->most, job->signal ? "true" : "false");
	table_print(table, job->json, rest);
	if (!job->json)
		printf("blocked for %s; at most %" PRIu64 " threads waited\n", show_time(job->held, time), job->most);
}

/* -- the verb -- */

static int run(struct job *job)
{
	sigset_t signals, before;
	bool done;

	if (!find(job))
		return STATUS_FAILED;
	make_signals(&signals);
	sigprocmask(SIG_BLOCK, &signals, &before);
	done = block_and_hold(job);
	if (done)
		report(job);
	if (done && job->signal)
		complain("interrupted by a signal (%s); all has been let go", strsignal(job->signal));
	sigprocmask(SIG_SETMASK, &before, NULL);
	return done && !job->signal ? STATUS_DONE : STATUS_FAILED;
}

static int open_and_run(struct job *job, pid_t pid)
{
	struct mr_features features;
	int status;

	if (!mr_features(&features) && features.fault_access == MR_FAULT_ACCESS_NONE) {
		complain("nothing can be blocked here; memredirect info says what would enable it");
		return STATUS_CANNOT;
	}
	if (mr_task_open(pid, &job->task)) {
		complain("%s", mr_error());
		return STATUS_FAILED;
	}
	if (mr_task_pid(job->task) == getpid()) {
		complain("process %d is this command, which cannot block itself", (int)pid);
		status = STATUS_FAILED;
	} else {
		status = run(job);
	}
	free(job->pieces);
	mr_task_unref(job->task);
	return status;
}

static int run_on(struct job *job, const char *time, char **words, int count)
{
	uint64_t pid;
	int status;

	if (!count || !parse_number(words[0], 1, INT32_MAX, &pid))
		return count ? usage_error("block", "\"%s\" is no PID", words[0]) : usage_error("block", "no PID is given");
	if (count == 1)
		return usage_error("block", "no RANGE is given; \"heap\" is one");
	if (!time)
		return usage_error("block", "no TIME is given; say --for 500ms, for example");
	if (!parse_time(time, &job->time))
		return usage_error("block", "\"%s\" is no TIME; 500ms and 2s are", time);
	job->selection_count = (unsigned)count - 1;
	status = selections_parse("block", words + 1, job->selection_count, 0, &job->selections);
	if (status != STATUS_DONE)
		return status;
	status = open_and_run(job, (pid_t)pid);
	free(job->selections);
	return status;
}

int verb_block(int argc, char **argv)
{
	static const struct option options[] = {
		{ "for", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct job job = { .task = NULL };
	const char *time = NULL;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (option) {
		case 'f':
			time = optarg;
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
			return usage_error("block", "block does not know the option \"%s\", or it lacks its value",
					   argv[optind - 1]);
		}
	return run_on(&job, time, argv + optind, argc - optind);
}
