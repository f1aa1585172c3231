/* SPDX-License-Identifier: MIT */
/* A live line of progress. */
#include "progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"

#define INTERVAL 100000000 /* ns */

static bool shown;

void progress(const char *format, ...)
{
	static uint64_t last;
	va_list arguments;

	if (!isatty(STDERR_FILENO) || (shown && now() - last < INTERVAL))
		return;
	last = now();
	shown = true;
	fputs("\r\033[K", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fflush(stderr);
}

void progress_end(void)
{
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
}
