/* SPDX-License-Identifier: MIT */
/* memredirect VERB …: which verb it is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *does;
} verbs[] = {
	{ "info", verb_info, "what this kernel and these privileges allow, and what would enable the rest" },
	{ "regions", verb_regions, "what is mapped in a process, and what of it can be redirected" },
	{ "snapshot", verb_snapshot, "a core file of a process, of one instant, while it runs on" },
	{ "move", verb_move, "private memory of a process goes to huge pages, or another node, while it runs" },
	{ "block", verb_block, "accesses to memory of a process wait for a time" },
	{ "demo", verb_demo, "redirect, block and copy memory under readers and writers, and check every byte" },
	{ "bench", verb_bench, "what copies and moves of memory cost those who write, against what people use today" },
};

#define VERB_COUNT (sizeof(verbs) / sizeof(*verbs))

static int help(void)
{
	puts("usage: memredirect VERB [OPTIONS]\n\nReplace the memory behind a live mapping.\n");
	for (size_t i = 0; i < VERB_COUNT; i++)
		printf("  %-9s %s\n", verbs[i].name, verbs[i].does);
	puts("\n  memredirect VERB --help   the options of a verb\n"
	     "  memredirect --version     the version\n\n"
	     "Exit status: 0 done, 1 it failed, 2 bad usage, 77 this kernel cannot.");
	return STATUS_DONE;
}

static int run(int argc, char **argv)
{
	if (argc < 2)
		return usage_error("", "no verb is given");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
		return help();
	if (strcmp(argv[1], "--version") == 0) {
		puts("memredirect " VERSION);
		return STATUS_DONE;
	}
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	return usage_error("", "there is no verb \"%s\"", argv[1]);
}

/* What could not be printed, was not done: a full disk must not look like success. */
int main(int argc, char **argv)
{
	int status = run(argc, argv);

	if (!fflush(stdout) && !ferror(stdout))
		return status;
	complain("the output cannot be written: %s", strerror(errno));
	return status == STATUS_DONE ? STATUS_FAILED : status;
}
