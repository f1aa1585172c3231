/* SPDX-License-Identifier: MIT */
/* Memory of an NBD server, against other ways to read an export: what the figures need of each. */
#ifndef REMOTE_H
#define REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REMOTE_PAGE 4096

/* A way to have the bytes of an export, from nothing: opened anew for each measurement. */
struct way {
	const char *name;
	const char *curve;
	void *(*open)(const char *uri, uint64_t length); /* NULL: it cannot be had here */
	/* For each thread: something of its own, and an access to a page. */
	void *(*join)(void *opened);
	uint64_t (*access)(void *joined, uint64_t page);
	void (*leave)(void *joined);
	void (*close)(void *opened);
};

extern const struct way way_map, way_libnbd, way_file, way_handler;

/*
 * Bytes a second of reading all of the export in order by libnbd, with many requests of 256 KiB under way: into a few buffers again and again,
 * or into fresh memory, which keeps all of it as a map does.
 */
double remote_read_all(const char *uri, uint64_t length, bool keep);

/* Fill the export, so that nothing in it is a hole. */
void remote_fill(const char *uri, uint64_t length);

#endif
