/* SPDX-License-Identifier: MIT */
/* memredirect info: what holds here, and what would enable the rest. */
#include <getopt.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <memredirect.h>
#include <stdio.h>

#include "command.h"
#include "table.h"

enum { FEATURE, VALUE, MEANING, ENABLE, COLUMNS };

static const struct column columns[COLUMNS] = {
	{ "FEATURE", SCOLS_JSON_STRING, false },
	{ "VALUE", SCOLS_JSON_STRING, false },
	{ "MEANING", SCOLS_JSON_STRING, false },
	{ "TO ENABLE", SCOLS_JSON_STRING, false },
};

static const struct column json_columns[COLUMNS] = {
	{ "feature", SCOLS_JSON_STRING, false },
	{ "value", SCOLS_JSON_STRING, false },
	{ "meaning", SCOLS_JSON_STRING, false },
	{ "enable", SCOLS_JSON_STRING, false },
};

static void row(struct libscols_table *table, const char *feature, const char *value, const char *meaning, const char *enable)
{
	const char *cells[COLUMNS] = { feature, value, meaning, enable };

	table_row(table, cells, COLUMNS);
}

static void flag(struct libscols_table *table, const char *feature, bool holds, const char *meaning, const char *enable)
{
	row(table, feature, holds ? "yes" : "no", meaning, holds ? NULL : enable);
}

static void number(struct libscols_table *table, const char *feature, uint64_t value, const char *meaning, const char *enable)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	row(table, feature, value == UINT64_MAX ? "unlimited" : text, meaning, enable);
}

static const char *access_name(enum mr_fault_access access)
{
	switch (access) {
	case MR_FAULT_ACCESS_SYSCALL:
		return "userfaultfd(2)";
	case MR_FAULT_ACCESS_DEVICE:
		return "/dev/userfaultfd";
	case MR_FAULT_ACCESS_USER_ONLY:
		return "user mode only";
	case MR_FAULT_ACCESS_NONE:
		break;
	}
	return "none";
}

static void add_faults(struct libscols_table *table, const struct mr_features *features)
{
	static const char privilege[] =
		"run as root or with CAP_SYS_PTRACE; or sysctl vm.unprivileged_userfaultfd=1; or access to /dev/userfaultfd";

	row(table, "userfaultfd", access_name(features->fault_access), "how accesses are made to wait",
	    features->fault_access == MR_FAULT_ACCESS_NONE ? "a kernel with CONFIG_USERFAULTFD; no seccomp filter against it"
							   : NULL);
	flag(table, "blocking", features->blocking, "a map can be redirected to NULL",
	     "a kernel of Linux 5.11 or later with CONFIG_USERFAULTFD");
	flag(table, "kernel-faults", features->kernel_faults, "system calls wait on blocked maps too, instead of EFAULT",
	     privilege);
	flag(table, "event-remap", features->event_remap, "page tables of blocked maps are moved whole", "Linux 4.11 or later");
	flag(table, "minor-shmem", features->minor_shmem, "minor faults of shared memory can be caught", "Linux 5.14 or later");
	flag(table, "minor-hugetlbfs", features->minor_hugetlbfs, "minor faults of huge pages can be caught",
	     "Linux 5.13 or later");
	flag(table, "wp-unpopulated", features->wp_unpopulated, "first writes to untouched pages can be caught",
	     "Linux 6.4 or later");
	flag(table, "wp-async", features->wp_async, "written pages can be tracked without stopping writers",
	     "Linux 6.7 or later");
	flag(table, "uffd-move", features->uffd_move, "pages can be moved one by one", "Linux 6.8 or later");
	flag(table, "frame-numbers", features->frame_numbers, "physical addresses can be had",
	     "run as root or with CAP_SYS_ADMIN");
}

static void add_driver(struct libscols_table *table, const struct mr_features *features)
{
	static const char *const values[] = { "not loaded", "not for this user", "ready" };
	static const char *const ways[] = {
		"`./run install --driver`, then modprobe memredirect",
		"run as root, or be in the group that /dev/memredirect belongs to",
		NULL,
	};

	row(table, "driver", values[features->driver], "maps in several processes at once, physical memory, cache modes",
	    ways[features->driver]);
}

static void add_limits(struct libscols_table *table, const struct mr_features *features)
{
	number(table, "page-size", features->page_size, "bytes in a page", NULL);
	number(table, "huge-2m-free", features->huge_2m_free, "free huge pages of 2 MiB",
	       !features->huge_2m_supported ? "this machine has none of this size"
	       : features->huge_2m_free	    ? NULL
					    : "sysctl vm.nr_hugepages=NUMBER");
	number(table, "huge-1g-free", features->huge_1g_free, "free huge pages of 1 GiB",
	       !features->huge_1g_supported ? "this machine has none of this size"
	       : features->huge_1g_free	    ? NULL
					    : "boot with hugepagesz=1G hugepages=NUMBER, or write NUMBER to "
					      "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages");
	number(table, "max-map-count", features->max_map_count, "mappings a process may have; a blocked map takes two or more",
	       "more: sysctl vm.max_map_count=NUMBER");
	number(table, "lock-limit", features->lock_limit, "bytes that may be locked (mr_memory_prepare)",
	       features->lock_limit == UINT64_MAX ? NULL : "more: ulimit -l, or LimitMEMLOCK= of a service");
	number(table, "descriptor-limit", features->descriptor_limit, "descriptors; each buffer and file takes one",
	       "more: ulimit -n, or LimitNOFILE= of a service");
}

static int help(void)
{
	puts("usage: memredirect info [--json]\n\n"
	     "Print what this kernel and these privileges allow, one line each, and what would enable the rest.\n\n"
	     "  --json     as JSON\n"
	     "  --help     this help\n"
	     "  --version  the version");
	return STATUS_DONE;
}

static int print(bool json)
{
	struct mr_features features;
	struct libscols_table *table;

	if (mr_features(&features)) {
		complain("%s", mr_error());
		return STATUS_FAILED;
	}
	table = table_new("features", json ? json_columns : columns, COLUMNS, json);
	if (!table) {
		complain("there is no memory for a table");
		return STATUS_FAILED;
	}
	add_faults(table, &features);
	add_driver(table, &features);
	add_limits(table, &features);
	table_print(table, json, "");
	return STATUS_DONE;
}

int verb_info(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'V' },
						 { 0 } };
	bool json = false;
	int option;

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
			return usage_error("info", "info does not know the option \"%s\"", argv[optind - 1]);
		}
	if (optind < argc)
		return usage_error("info", "info takes no argument, and \"%s\" is one", argv[optind]);
	return print(json);
}
