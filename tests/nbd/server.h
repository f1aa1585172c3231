/* SPDX-License-Identifier: MIT */
/* An NBD server of a test's: a process on a unix socket in a folder of its own, ended by its pid, and with the test. */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVER_WORDS 24

struct server {
	pid_t pid; /* 0: it does not run */
	char folder[64];
	char socket[96];
	char uri[160];
	char words[SERVER_WORDS][256];
	size_t count;
};

/* Whether the programs are there; says what is not. */
bool server_available(void);

/* A folder for it; nothing runs. */
void server_init(struct server *server);

/*
 * The command line of the server, as printf makes it: words without quotes, divided by spaces. The server runs in
 * its folder, and is told of its socket beside them.
 */
void server_command(struct server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Start it, and wait until it listens. */
void server_start(struct server *server);

/* SIGKILL, and wait for its end. */
void server_kill(struct server *server);

/* SIGTERM, and wait for its end. */
void server_end(struct server *server);

/* End it, and remove the folder with what is in it. */
void server_remove(struct server *server);

/* A new file in its folder, of so many bytes (zeroes). */
void server_file(const struct server *server, const char *name, uint64_t size);

/* How many lines of the file in its folder contain @text. */
unsigned server_lines(const struct server *server, const char *name, const char *text);

/* Run a program to its end, in the folder; it has to succeed. */
void server_run(const struct server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A server on @uri, run as described, on which all is as it should be: init, command, start. */
#define SERVE(server, ...) (server_init(server), server_command(server, __VA_ARGS__), server_start(server))

#endif
