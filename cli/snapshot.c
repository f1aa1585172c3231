/* SPDX-License-Identifier: MIT */
/* memredirect snapshot: an ELF core file of a process, of one instant, while it runs on. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <memredirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "core.h"
#include "ranges.h"
#include "table.h"

struct request {
	pid_t pid;
	const char *output;
	struct selection *selections;
	unsigned count;
	bool json;
};

static int help(void)
{
	puts("usage: memredirect snapshot PID [RANGE...] -o FILE [--json]\n\n"
	     "Write an ELF core file of a process, of one instant: its memory, and the registers of all threads. The process is\n"
	     "stopped for the time of a fork, and runs on while the file is written. gdb PROGRAM FILE opens it.\n\n"
	     "  PID                 of the process, or of any thread of it\n"
	     "  RANGE               START-END, heap, or all[:MINSIZE]: only this memory; without it all that no file has\n"
	     "  -o, --output FILE   where to write; what is there is replaced once the new file is complete\n"
	     "  --json              report as JSON\n"
	     "  --help              this help\n"
	     "  --version           the version");
	return STATUS_DONE;
}

enum { THREADS, REGIONS, WRITTEN, PAUSE, TIME, COLUMNS };

static void report(const struct request *request, const struct core *core, uint64_t stall_ns, uint64_t total_ns)
{
	static const struct column columns[COLUMNS] = {
		{ "THREADS", SCOLS_JSON_NUMBER, true }, { "REGIONS", SCOLS_JSON_NUMBER, true },
		{ "WRITTEN", SCOLS_JSON_STRING, true }, { "PAUSE", SCOLS_JSON_STRING, true },
		{ "TIME", SCOLS_JSON_STRING, true },
	};
	static const struct column json_columns[COLUMNS] = {
		{ "threads", SCOLS_JSON_NUMBER, false },  { "regions", SCOLS_JSON_NUMBER, false },
		{ "written", SCOLS_JSON_NUMBER, false },  { "pause_ns", SCOLS_JSON_NUMBER, false },
		{ "total_ns", SCOLS_JSON_NUMBER, false },
	};
	struct libscols_table *table = table_new("snapshot", request->json ? json_columns : columns, COLUMNS, request->json);
	char threads[32], regions[32], written[32], pause[32], total[32];
	const char *cells[COLUMNS] = { threads, regions, written, pause, total };

	if (!table)
		return;
	snprintf(threads, sizeof(threads), "%" PRIu64, core->threads);
	snprintf(regions, sizeof(regions), "%" PRIu64, core->regions);
	if (request->json) {
		snprintf(written, sizeof(written), "%" PRIu64, core->written);
		snprintf(pause, sizeof(pause), "%" PRIu64, stall_ns);
		snprintf(total, sizeof(total), "%" PRIu64, total_ns);
	} else {
		show_size(core->written, written);
		show_time(stall_ns, pause);
		show_time(total_ns, total);
	}
	table_row(table, cells, COLUMNS);
	table_print(table, request->json, "");
}

/* The file beside the one that is wanted, to be renamed when it is complete: over a file, never over a device or a pipe. */
static int open_beside(const char *output, char *path, size_t size)
{
	struct stat status;
	int fd = -1;

	if (!stat(output, &status) && !S_ISREG(status.st_mode)) {
		complain("%s cannot be written: it is there, and no regular file", output);
		return -1;
	}
	if (snprintf(path, size, "%s.XXXXXX", output) < (int)size)
		fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		complain("%s cannot be written: %s", output, strerror(errno));
	return fd;
}

static bool write_file(const struct request *request, struct core *core)
{
	char path[4096];
	int fd = open_beside(request->output, path, sizeof(path));
	bool done;

	if (fd < 0)
		return false;
	done = core_write(core, fd) && selections_are_met(request->selections, request->count);
	if (done && (fsync(fd) || rename(path, request->output))) {
		complain("%s cannot be written: %s", request->output, strerror(errno));
		done = false;
	}
	close(fd);
	if (!done)
		unlink(path);
	return done;
}

static int take(const struct request *request, struct mr_task *task)
{
	struct core core = { .pid = mr_task_pid(task), .selections = request->selections, .selection_count = request->count };
	struct mr_report cost = { .size = sizeof(cost) };
	uint64_t begin = now();
	bool done;
	int error = mr_task_snapshot(task, &core.copy, &cost);

	if (error) {
		complain("%s", mr_error());
		return error == -EOPNOTSUPP ? STATUS_CANNOT : STATUS_FAILED;
	}
	core.shows_progress = isatty(STDERR_FILENO);
	done = write_file(request, &core);
	mr_task_unref(core.copy);
	if (!done)
		return STATUS_FAILED;
	report(request, &core, cost.stall_ns, now() - begin);
	return STATUS_DONE;
}

static int run(const struct request *request)
{
	struct mr_task *task;
	int status;

	if (mr_task_open(request->pid, &task)) {
		complain("%s", mr_error());
		return STATUS_FAILED;
	}
	status = take(request, task);
	mr_task_unref(task);
	return status;
}

/* PID RANGE… */
static int run_on(struct request *request, char **words, int count)
{
	uint64_t pid;
	int status;

	if (!count)
		return usage_error("snapshot", "no PID is given");
	if (!parse_number(words[0], 1, INT32_MAX, &pid))
		return usage_error("snapshot", "\"%s\" is no PID", words[0]);
	if (!request->output)
		return usage_error("snapshot", "no FILE is given; say -o FILE");
	request->pid = (pid_t)pid;
	request->count = (unsigned)count - 1;
	status = selections_parse("snapshot", words + 1, request->count, 0, &request->selections);
	if (status != STATUS_DONE)
		return status;
	status = run(request);
	free(request->selections);
	return status;
}

int verb_snapshot(int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct request request = { 0 };
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1)
		switch (option) {
		case 'o':
			request.output = optarg;
			break;
		case 'j':
			request.json = true;
			break;
		case 'h':
			return help();
		case 'V':
			puts("memredirect " VERSION);
			return STATUS_DONE;
		default:
			return usage_error("snapshot", "snapshot does not know the option \"%s\", or it lacks its value",
					   argv[optind - 1]);
		}
	return run_on(&request, argv + optind, argc - optind);
}
