/* SPDX-License-Identifier: MIT */
/* What all verbs share: exit statuses, errors on one line, numbers on the command line. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stdint.h>

enum status {
	STATUS_DONE = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_CANNOT = 77, /* this kernel, or these privileges, do not allow it */
};

int verb_info(int argc, char **argv);
int verb_regions(int argc, char **argv);
int verb_snapshot(int argc, char **argv);
int verb_move(int argc, char **argv);
int verb_block(int argc, char **argv);
int verb_demo(int argc, char **argv);
int verb_bench(int argc, char **argv);

/* Print "memredirect: …" on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* complain, with a hint where help is; STATUS_USAGE. */
int usage_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A size as 4096, 64K, 10M, 1GiB. False: it is none, or 0. */
bool parse_size(const char *text, uint64_t *ret_size);

/* A number between @least and @most. */
bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number);

/* Seconds, with a fraction if wanted; more than 0. */
bool parse_seconds(const char *text, double *ret_seconds);

/* A time with its unit, as 500ms, 2s, 1.5s, 100us, in nanoseconds; more than 0, and not more than a day. */
bool parse_time(const char *text, uint64_t *ret_nanoseconds);

/* A size as "1.5 GiB", a time as "0.21 ms", in a buffer of the caller's. */
const char *show_size(uint64_t bytes, char buffer[32]);
const char *show_time(uint64_t nanoseconds, char buffer[32]);

/* Nanoseconds of the monotonic clock. */
uint64_t now(void);

#endif
