/* SPDX-License-Identifier: MIT */
/* Waiting with a deadline: for a condition, a word, a descriptor. A time-out is for the caller to report as a failure. */
#ifndef SUPPORT_WAIT_H
#define SUPPORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct mr_map;

/*
 * Seconds after which what has not happened is taken not to happen any more: 30, or MR_DEADLINE_SECONDS in the environment,
 * which is for tests that are meant to fail.
 */
#define DEADLINE_SECONDS wait_deadline_seconds()
int wait_deadline_seconds(void);

/* Seconds on a clock that never goes back. */
double clock_now(void);

/* Wait until condition(argument) is true; false: the deadline passed. */
bool wait_until(bool (*condition)(void *argument), void *argument);

/* Wait until *word is no longer @value, perhaps by another process. Wake the waiters with wait_wake after a change. */
bool wait_word(uint32_t *word, uint32_t value);
void wait_wake(uint32_t *word);

/* Wait until @fd can be read. */
bool wait_readable(int fd);

/* Wait until mr_map_waiters(map) is @count. */
bool wait_waiters(const struct mr_map *map, uint64_t count);

#endif
