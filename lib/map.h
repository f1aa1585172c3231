/* SPDX-License-Identifier: MIT */
/*
 * A map, inside.
 *
 *   state      mapped  blocked  view stands      what is at the target
 *   shown      yes     no       at the target    the view
 *   blocked    yes     yes      aside or nowhere a cover
 *   unmapped   no      no       nowhere          nothing (adopted: the view, which is not the library's any more)
 *
 * A map that lies inside another (`parent`) has no view of its own and is never blocked.
 */
#ifndef MAP_H
#define MAP_H

#include <pthread.h>
#include <stdatomic.h>

#include "public.h"
#include "view.h"

struct host;
struct space;

struct mr_map {
	_Atomic uint32_t references;
	uint32_t generation;
	const struct space *space;
	struct host *host;    /* a reference: the process that the map is in; NULL: this one */
	struct mr_task *task; /* the same, as the caller named it; a reference */
	uintptr_t address;
	uint64_t length;
	uintptr_t start; /* the whole pages that the map holds; those of the parent, for a map inside */
	uint64_t span;
	struct mr_map *parent; /* a reference */

	/* What accessors read without a lock; changed under `lock`. */
	_Atomic uint32_t options;
	_Atomic(struct mr_memory *) memory; /* a reference */
	_Atomic bool mapped;
	_Atomic bool blocked;

	struct mr_map *next; /* those of `memory` that can be shared, by the registry's lock */
	struct mr_map **link;

	pthread_mutex_t lock;	 /* serialises what changes the map; protects the rest. Comes before all other locks */
	uint64_t offset;	 /* in `memory` */
	struct view view;	 /* of an adopted memory: its segments are found anew when they are needed */
	bool watching;		 /* has acquired what blocking needs */
	bool executable;	 /* code ran, or could run, in the range that was adopted: so it can in what it shows later */
	struct channel *channel; /* of a map of the driver's, while it is mapped; not of one that lies inside another */
};

/* 0, or what is wrong with @map as an argument. Makes sentences. */
int map_check(const struct mr_map *map);

/* 0 if cache mode and access of @options are possible for @memory; @driver: as far as the driver is not asked. Makes sentences. */
int map_check_cache(uint32_t options, bool driver);
int map_check_access(const struct mr_memory *memory, uint32_t options);

/* Whether it shows what another process's map of the driver's does. */
bool map_is_import(const struct mr_map *map);

/* -ENXIO with its sentence. */
int map_unmapped(void);

/* Take @map->lock. -EDEADLK: the thread has it, from within the progress function of a copy. Makes sentences. */
int map_lock(struct mr_map *map);

/* Whether @map shows the private bytes of an adopted memory, which must survive whatever it is redirected to. */
bool map_keeps_adopted(const struct mr_map *map);

/*
 * Of redirect.c, with the lock held; they make sentences. Find the segments of an adopted range anew; get what blocking and guarding
 * need; block; put a blocked map's view back and let its waiters go.
 */
int map_refresh(struct mr_map *map);
int map_watch(struct mr_map *map);
int map_block(struct mr_map *map);
int map_restore(struct mr_map *map);

/* A redirect or copy that fails leaves no thread and no descriptor behind. @watching: whether it had those before. */
void map_unwatch(struct mr_map *map, bool watching);

#endif
