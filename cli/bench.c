/* SPDX-License-Identifier: MIT */
/* memredirect bench: copies and moves of memory under writers, against what people use today. */
#include <getopt.h>
#include <memredirect.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "copies.h"
#include "measure.h"

#define GIB   (UINT64_C(1) << 30)
#define LEAST (UINT64_C(4) << 20)

struct wish {
	uint64_t size;
	bool quick, json;
	const char *folder;
};

static int help(void)
{
	puts("usage: memredirect bench [--size BYTES] [--quick] [--json] [--output FOLDER]\n\n"
	     "Measure what a copy (mr_map_snapshot) and a move (mr_map_move) of memory cost those who write to it, against\n"
	     "fork, write protection with service by page, stopping them, memcpy, and mmap(MAP_FIXED | MAP_POPULATE).\n\n"
	     "  --size BYTES      how much memory (default: 1GiB)\n"
	     "  --quick           fewer measurements, and of this size alone\n"
	     "  --json            print JSON\n"
	     "  --output FOLDER   also write results.json there, and the points of curves, for plots\n"
	     "  --help, --version");
	return STATUS_DONE;
}

/* Return: a status, or -1 to go on. */
static int take_option(int option, struct wish *wish)
{
	switch (option) {
	case 's':
		if (parse_size(optarg, &wish->size) && wish->size >= LEAST && wish->size % LEAST == 0)
			return -1;
		return usage_error("bench", "--size %s is no multiple of 4 MiB", optarg);
	case 'q':
		wish->quick = true;
		return -1;
	case 'j':
		wish->json = true;
		return -1;
	case 'o':
		wish->folder = optarg;
		return -1;
	case 'h':
		return help();
	case 'V':
		puts("memredirect " VERSION);
		return STATUS_DONE;
	default:
		return usage_error("bench", "there is no such option, or it lacks its value");
	}
}

static int measure(const struct wish *wish)
{
	if (!bench_copies(wish->size, wish->quick)) {
		complain("bench: there is not enough memory for 5 times the size; give a smaller --size");
		return STATUS_FAILED;
	}
	bench_moves(wish->size, wish->quick);
	if (wish->json)
		results_print_json();
	else
		results_print();
	if (wish->folder)
		results_write(wish->folder);
	return STATUS_DONE;
}

int verb_bench(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "quick", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ "output", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct wish wish = { .size = GIB };
	struct mr_features here;
	int option, status;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		status = take_option(option, &wish);
		if (status >= 0)
			return status;
	}
	if (optind < argc)
		return usage_error("bench", "\"%s\" is one argument too many", argv[optind]);
	if (wish.folder && access(wish.folder, W_OK))
		return usage_error("bench", "--output %s is no folder that can be written to", wish.folder);
	if (mr_features(&here) || !here.blocking) {
		complain("bench: nothing can be write-protected here: userfaultfd is missing (see memredirect info)");
		return STATUS_CANNOT;
	}
	results_talk(isatty(STDERR_FILENO));
	return measure(&wish);
}
