/* SPDX-License-Identifier: MIT */
/*
 * All live maps by process and address: an array of entries in ascending order. Ranges of a process do not overlap, so starts and ends ascend
 * together. An insertion moves what is behind it; 20,000 entries are half a megabyte, which moves faster than a page faults.
 */
#include "registry.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "sys/sys.h"

struct entry {
	const struct host *host;
	uintptr_t start;
	uintptr_t end;
	struct mr_map *map;
};

static struct {
	pthread_mutex_t lock; /* protects all below, and the lists of shareable maps */
	struct entry *entries;
	size_t count;
	size_t room;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

void registry_lock(void)
{
	pthread_mutex_lock(&registry.lock);
}

void registry_unlock(void)
{
	pthread_mutex_unlock(&registry.lock);
}

static bool ends_behind(const struct entry *entry, const struct host *host, uintptr_t address)
{
	return entry->host == host ? entry->end > address : (uintptr_t)entry->host > (uintptr_t)host;
}

/* The first entry that ends behind @address, where one that holds it must be; or count. */
static size_t first_behind(const struct host *host, uintptr_t address)
{
	size_t low = 0, high = registry.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ends_behind(&registry.entries[middle], host, address))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Whether the entry at @at, which ends behind the start of a range, holds part of it. */
static bool holds_part(size_t at, const struct host *host, uintptr_t end)
{
	return at < registry.count && registry.entries[at].host == host && registry.entries[at].start < end;
}

static int make_room(void)
{
	size_t room = registry.room ? registry.room * 2 : 16;
	struct entry *entries;

	if (registry.count < registry.room)
		return 0;
	entries = sys_resize(registry.entries, room, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	registry.entries = entries;
	registry.room = room;
	return 0;
}

int registry_insert(const struct host *host, struct mr_map *map, uintptr_t start, uintptr_t end)
{
	size_t at = first_behind(host, start);
	int error;

	if (holds_part(at, host, end))
		return -EEXIST;
	error = make_room();
	if (error)
		return error;
	memmove(&registry.entries[at + 1], &registry.entries[at], (registry.count - at) * sizeof(struct entry));
	registry.entries[at] = (struct entry){ host, start, end, map };
	registry.count++;
	return 0;
}

void registry_remove(const struct host *host, const struct mr_map *map, uintptr_t start)
{
	size_t at = first_behind(host, start);

	if (at == registry.count || registry.entries[at].map != map)
		return;
	registry.count--;
	memmove(&registry.entries[at], &registry.entries[at + 1], (registry.count - at) * sizeof(struct entry));
	if (registry.count)
		return;
	sys_free(registry.entries);
	registry.entries = NULL;
	registry.room = 0;
}

struct mr_map *registry_find(const struct host *host, uintptr_t start, uintptr_t end)
{
	size_t at = first_behind(host, start);

	return holds_part(at, host, end) ? registry.entries[at].map : NULL;
}

void registry_reset(void)
{
	sys_free(registry.entries);
	registry.entries = NULL;
	registry.count = 0;
	registry.room = 0;
	pthread_mutex_init(&registry.lock, NULL);
}
