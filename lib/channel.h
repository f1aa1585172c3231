/* SPDX-License-Identifier: MIT */
/*
 * A channel: what this process has of a map of the driver's, and the requests that are made by it (linux/memredirect.h).
 *
 *   the exporter's  a control descriptor, which holds the map and the memory that it can show, and a map descriptor
 *   an importer's   a map descriptor alone
 *
 * What a map can show has to be taken hold of first: a backing, known by its number. A channel belongs to a map (map.h), whose lock
 * serialises what changes it.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "public.h"

struct channel {
	int control; /* -1: an importer's */
	int client;
	uint64_t span; /* whole pages */
};

/* Open /dev/memredirect. Return: the descriptor; -EOPNOTSUPP there is no driver; -EPERM it is not for this user. Makes sentences. */
int channel_open_control(void);

/* How the driver can be had here. */
enum mr_driver_access channel_access(void);

/* A new map of @span bytes. Makes sentences. */
int channel_open(uint64_t span, bool persist, struct channel **ret_channel);

/* The map that @fd, which is duplicated, is a descriptor of. -EBADF, -EINVAL it is none; -ENODEV it has been revoked. Makes sentences. */
int channel_import(int fd, struct channel **ret_channel);

/* A new descriptor of the map, for others. Makes sentences. */
int channel_export(const struct channel *channel);

/* Close the descriptors: an exporter's map ends with that, unless it persists. NULL is allowed. */
void channel_close(struct channel *channel);

/*
 * Take hold of [offset, offset + length) of @memory, in whole pages, with @control: the number of the backing. @access: MR_MAP_READ_ONLY
 * or 0; @cache: the mode, a field of map options. Makes sentences.
 */
int channel_hold(int control, const struct mr_memory *memory, uint64_t offset, uint64_t length, uint32_t access, uint32_t cache,
		 uint32_t *ret_backing);
void channel_drop(int control, uint32_t backing);

/* Let the map show a backing; nothing. Makes sentences. */
int channel_show(const struct channel *channel, uint32_t backing, uint32_t access);
int channel_block(const struct channel *channel);

/* Map it at @address, over what is there, or anywhere (0). Makes sentences. */
int channel_map(const struct channel *channel, uint32_t access, uintptr_t address, uintptr_t *ret_address);

/* Fill page tables of this process, as far as the map shows something. */
void channel_fill(const struct channel *channel, uintptr_t address);

bool channel_is_blocked(const struct channel *channel);
uint64_t channel_waiters(const struct channel *channel);

/* The physical address of the byte at @offset of an exporter's map. -EPERM. Makes sentences. */
int channel_physical(const struct channel *channel, uint64_t offset, uint64_t *ret_address, uint64_t *ret_length);

/* Copy from or to a physical range, which lies in whole pages. Makes sentences. */
int channel_copy_physical(int control, uint64_t address, void *buffer, uint64_t length, bool write);

/* Whether a physical range, whole pages, can be shown. Makes sentences. */
int channel_check_physical(int control, uint64_t address, uint64_t length, bool read_only);

#endif
