/* SPDX-License-Identifier: MIT */
/* A text file of the kernel's, line by line. */
#include "lines.h"

#include <fcntl.h>
#include <string.h>

#include "sys/sys.h"

int lines_open(struct lines *lines, const char *path)
{
	lines->fd = sys_open(path, O_RDONLY);
	lines->error = 0;
	lines->start = lines->used = 0;
	return lines->fd < 0 ? lines->fd : 0;
}

/* Read more behind what is left of the buffer. False: there is no more. */
static bool refill(struct lines *lines)
{
	ssize_t got;

	lines->used -= lines->start;
	memmove(lines->buffer, lines->buffer + lines->start, lines->used);
	lines->start = 0;
	got = sys_read(lines->fd, lines->buffer + lines->used, sizeof(lines->buffer) - 1 - lines->used);
	if (got < 0)
		lines->error = (int)got;
	if (got <= 0)
		return false;
	lines->used += (size_t)got;
	return true;
}

char *lines_next(struct lines *lines)
{
	char *line, *end;

	do {
		line = lines->buffer + lines->start;
		end = memchr(line, '\n', lines->used - lines->start);
		if (!end && lines->used - lines->start == sizeof(lines->buffer) - 1)
			end = lines->buffer + lines->used;
	} while (!end && refill(lines));
	if (!end)
		return NULL;
	*end = '\0';
	lines->start = (size_t)(end - lines->buffer) + (end < lines->buffer + lines->used);
	return line;
}

void lines_close(struct lines *lines)
{
	sys_close(lines->fd);
}
