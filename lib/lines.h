/* SPDX-License-Identifier: MIT */
/* A text file of the kernel's, line by line, without allocating. */
#ifndef LINES_H
#define LINES_H

#include <stddef.h>

struct lines {
	int fd;
	int error; /* why there are no more lines; 0: they have ended */
	size_t start, used;
	char buffer[8192]; /* a longer line is told in parts */
};

/* 0, or a negative errno. */
int lines_open(struct lines *lines, const char *path);

/* The next line, without its end, valid until the next call; NULL: there is none, or an error. */
char *lines_next(struct lines *lines);

void lines_close(struct lines *lines);

#endif
