/* SPDX-License-Identifier: MIT */
/* What a process holds: mappings, descriptors, threads. */
#include "leak.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memredirect.h>

#include "sanitizer.h"
#include "wait.h"

#define TABLE_BYTES (16 * 1024 * 1024)

/* Room for a table, outside the heap; always at the same place, so that it counts alike before and after. */
static char table[TABLE_BYTES];

static size_t read_table(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got = 1;

	while (fd >= 0 && got > 0 && used < sizeof(table) - 1) {
		got = read(fd, table + used, sizeof(table) - 1 - used);
		used += got > 0 ? (size_t)got : 0;
	}
	if (fd < 0 || got)
		abort();
	close(fd);
	table[used] = '\0';
	return used;
}

/* The name of a line, behind five fields. */
static const char *line_name(const char *line)
{
	int name = 0;

	sscanf(line, "%*s %*s %*s %*s %*s %n", &name);
	return line + name;
}

static bool counts(const char *line)
{
	const char *name = line_name(line);
	const char *flags = strchr(line, ' ');

	if (!strncmp(name, "[heap]", 6) || !strncmp(name, "[stack]", 7))
		return false;
	return !SANITIZED || (flags && flags[4] == 's');
}

/* Keep the lines that count. */
static size_t filter_table(size_t *ret_lines)
{
	char *end;
	size_t kept = 0;

	*ret_lines = 0;
	for (char *line = table; (end = strchr(line, '\n')); line = end + 1) {
		size_t length = (size_t)(end - line) + 1;

		if (!counts(line))
			continue;
		memmove(table + kept, line, length);
		kept += length;
		++*ret_lines;
	}
	table[kept] = '\0';
	return kept;
}

static size_t count_entries(const char *path)
{
	DIR *directory = opendir(path);
	size_t count = 0;

	if (!directory)
		abort();
	for (const struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

size_t count_descriptors(void)
{
	return count_entries("/proc/self/fd") - 1;
}

/* A block and its end: the service starts and stops. */
static void use_once(void)
{
	struct mr_memory *memory = NULL;
	struct mr_map *map = NULL;

	if (mr_memory_new_buffer(1, 0, &memory) == 0 &&
	    mr_map_new(memory, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &map) == 0 &&
	    mr_map_redirect(map, NULL, 0, 0) == 0)
		mr_map_redirect(map, memory, 0, 0);
	mr_map_unref(map);
	mr_memory_unref(memory);
}

static bool is_single_threaded(void *argument)
{
	(void)argument;
	return count_entries("/proc/self/task") == 1;
}

/* One heap for all threads, since the heap of a thread is kept for the next one. */
void holdings_settle(void)
{
	static bool settled;

	if (settled)
		return;
	settled = true;
	mallopt(M_ARENA_MAX, 1);
	use_once();
	if (!SANITIZED)
		wait_until(is_single_threaded, NULL);
}

void holdings_take(struct holdings *holdings)
{
	holdings->descriptors = count_descriptors();
	holdings->threads = count_entries("/proc/self/task");
	read_table();
	holdings->table_length = filter_table(&holdings->mappings);
	holdings->table = malloc(holdings->table_length + 1);
	if (!holdings->table)
		abort();
	memcpy(holdings->table, table, holdings->table_length + 1);
}

void holdings_free(struct holdings *holdings)
{
	free(holdings->table);
	holdings->table = NULL;
}

/* Print the lines of one table that are not in the other. */
static void print_difference(const char *sign, const char *these, const char *those)
{
	for (const char *line = these, *end; (end = strchr(line, '\n')); line = end + 1) {
		size_t length = (size_t)(end - line) + 1;
		const char *found = memmem(those, strlen(those), line, length);

		if (!found)
			fprintf(stderr, "%s %.*s", sign, (int)length, line);
	}
}

static void print_differences(const struct holdings *before, const struct holdings *after)
{
	fprintf(stderr, "before: %zu mappings, %zu descriptors, %zu threads\n", before->mappings, before->descriptors,
		before->threads);
	fprintf(stderr, "after:  %zu mappings, %zu descriptors, %zu threads\n", after->mappings, after->descriptors,
		after->threads);
	print_difference("-", before->table, after->table);
	print_difference("+", after->table, before->table);
}

bool holdings_equal(const struct holdings *before, const struct holdings *after)
{
	bool equal = before->descriptors == after->descriptors && before->threads == after->threads &&
		     before->table_length == after->table_length && !strcmp(before->table, after->table);

	if (!equal)
		print_differences(before, after);
	return equal;
}

/* Neighbouring mappings that are alike may have become one meanwhile, so only their number counts here. */
static bool is_clean(void *argument)
{
	const struct holdings *before = argument;
	struct holdings now;
	bool clean;

	holdings_take(&now);
	clean = now.mappings <= before->mappings && now.descriptors <= before->descriptors && now.threads <= before->threads;
	holdings_free(&now);
	return clean;
}

bool holdings_no_leak(struct holdings *before)
{
	bool clean = wait_until(is_clean, before);

	if (!clean) {
		struct holdings now;

		holdings_take(&now);
		print_differences(before, &now);
		holdings_free(&now);
	}
	holdings_free(before);
	return clean;
}

char *mapping_lines(const void *address, size_t length)
{
	uintptr_t first = (uintptr_t)address, end = first + length, from, to;
	char *lines, *newline;
	size_t used = 0;

	lines = calloc(read_table() + 1, 2); /* addresses that are cut may be longer */
	if (!lines)
		abort();
	for (const char *line = table; (newline = strchr(line, '\n')); line = newline + 1) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) != 2)
			abort();
		if (from >= end || to <= first)
			continue;
		line = strchr(line, ' ');
		used += (size_t)sprintf(lines + used, "%" PRIxPTR "-%" PRIxPTR "%.*s", from > first ? from : first,
					to < end ? to : end, (int)(newline - line) + 1, line);
	}
	return lines;
}
