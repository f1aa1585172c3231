/* SPDX-License-Identifier: MIT */
/*
 * The driver, as its tests use it: a map with its control and map descriptors, and requests that are written in one line.
 *
 * Functions that return int return 0, or a negative errno; those that do not, fail the test.
 */
#ifndef DRIVER_DEVICE_H
#define DRIVER_DEVICE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/memredirect.h>

#include "child.h"
#include "suite.h"
#include "wait.h"

#define PAGE UINT64_C(4096)

#define REQUEST(type, ...)                                                                                                     \
	{                                                                                                                      \
		.size = sizeof(struct memredirect_##type), __VA_ARGS__                                                         \
	}

/* What a test has: the map of @pages pages that is mapped at @at, and its two descriptors. */
struct scene {
	int control;
	int map;
	uint64_t length;
	volatile uint64_t *at;
};

/* 77, if the driver is not there; to be returned by main. */
int device_missing(void);

/* A request; 0, or a negative errno. */
int request(int fd, unsigned int command, void *argument);

int control_open(void);
int control_create(int control, uint64_t length, uint32_t flags);
int map_open(int control, uint32_t flags);
volatile uint64_t *map_at(int map, uint64_t length, int protection);

struct scene scene_make(uint64_t pages, uint32_t map_flags, uint32_t open_flags);
void scene_end(struct scene *scene);

/* Backings. fresh is of the kernel's pages, each of whose words is @value. */
int backing_add(int control, const struct memredirect_segment *segments, uint32_t count, uint32_t flags, uint32_t cache,
		uint32_t *ret_id);
int backing_del(int control, uint32_t id);
uint32_t backing_fresh(int control, uint64_t pages, uint64_t value);
void backing_fill(int control, uint32_t id, uint64_t pages, uint64_t value);
int backing_read(int control, uint32_t id, uint64_t offset, void *buffer, uint64_t length);
int backing_write(int control, uint32_t id, uint64_t offset, const void *buffer, uint64_t length);

int redirect_to(int control, uint32_t id, uint64_t offset, uint32_t flags);
int block(int control, uint32_t flags, uint32_t deadline_ms);
int revoke_map(int control);
struct memredirect_info info(int fd);

/* Wait until so many threads wait in the map; false: they did not. */
bool wait_waiting(int fd, uint64_t count);

/* Wait until poll says one of @events; what it says, without POLLNVAL or the like if the deadline has passed. */
short wait_events(int fd, short events);
short events_now(int fd);

/* What an access ends in: the value that it reads, or the signal that it gets, with bit 63. */
#define GOT_SIGNAL UINT64_C(0x8000000000000000)
uint64_t peek(const volatile uint64_t *at);
uint64_t poke(volatile uint64_t *at, uint64_t value);

/* A child that reads *at, and tells what came of it, as peek does. */
struct reader {
	struct child child;
	volatile uint64_t *answer;
};
void reader_start(struct reader *reader, const volatile uint64_t *at);
uint64_t reader_end(struct reader *reader);

#endif
