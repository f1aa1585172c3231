/* SPDX-License-Identifier: MIT */
/* What all verbs share. */
#include "command.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static void say(const char *format, va_list arguments)
{
	fputs("memredirect: ", stderr);
	vfprintf(stderr, format, arguments);
}

void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

int usage_error(const char *verb, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	fprintf(stderr, "; see memredirect %s%s--help\n", verb, *verb ? " " : "");
	return STATUS_USAGE;
}

static int shift_of(const char *unit)
{
	static const struct {
		const char *name;
		int shift;
	} units[] = { { "", 0 },     { "B", 0 },  { "K", 10 },	{ "KB", 10 },  { "KiB", 10 }, { "M", 20 },  { "MB", 20 },
		      { "MiB", 20 }, { "G", 30 }, { "GB", 30 }, { "GiB", 30 }, { "T", 40 },   { "TB", 40 }, { "TiB", 40 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcasecmp(unit, units[i].name) == 0)
			return units[i].shift;
	return -1;
}

bool parse_size(const char *text, uint64_t *ret_size)
{
	uint64_t number;
	char *unit;
	int shift;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtoull(text, &unit, 10);
	shift = shift_of(unit);
	if (errno || !number || shift < 0 || number > UINT64_MAX >> shift)
		return false;
	*ret_size = number << shift;
	return true;
}

bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
	uint64_t number;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || *end || number < least || number > most)
		return false;
	*ret_number = number;
	return true;
}

bool parse_seconds(const char *text, double *ret_seconds)
{
	double number;
	char *end;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return false;
	number = strtod(text, &end);
	if (*end || !(number > 0) || number > 1e9)
		return false;
	*ret_seconds = number;
	return true;
}

bool parse_time(const char *text, uint64_t *ret_nanoseconds)
{
	static const struct {
		const char *name;
		double nanoseconds;
	} units[] = { { "s", 1e9 }, { "ms", 1e6 }, { "us", 1e3 }, { "m", 60e9 } };
	double number;
	char *unit;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return false;
	number = strtod(text, &unit);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcmp(unit, units[i].name) == 0) {
			number *= units[i].nanoseconds;
			*ret_nanoseconds = number >= 1 && number <= 86400e9 ? (uint64_t)number : 0;
			return *ret_nanoseconds;
		}
	return false;
}

const char *show_size(uint64_t bytes, char buffer[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double number = (double)bytes;
	size_t unit = 0;

	while (number >= 1024 && unit + 1 < sizeof(units) / sizeof(*units)) {
		number /= 1024;
		unit++;
	}
	snprintf(buffer, 32, number == (double)(uint64_t)number ? "%.0f %s" : "%.1f %s", number, units[unit]);
	return buffer;
}

const char *show_time(uint64_t nanoseconds, char buffer[32])
{
	double milliseconds = (double)nanoseconds / 1e6;

	snprintf(buffer, 32, milliseconds < 10 ? "%.3f ms" : "%.1f ms", milliseconds);
	return buffer;
}

uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}
