/* SPDX-License-Identifier: MIT */
/*
 * The registry: all live maps that this process has made, by the process that they are in (NULL: this one) and address, so that no two hold the same page.
 *
 * Its lock also protects the lists of shareable maps that memories keep. It is a leaf: nothing is called under it.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

struct host;
struct mr_map;

void registry_lock(void);
void registry_unlock(void);

/* Enter @map with the range [start, end). 0; -EEXIST another map holds part of it; -ENOMEM. With the lock held. */
int registry_insert(const struct host *host, struct mr_map *map, uintptr_t start, uintptr_t end);

/* Take @map, which was entered with @start, out. With the lock held. */
void registry_remove(const struct host *host, const struct mr_map *map, uintptr_t start);

/* A map that holds part of [start, end), or NULL. With the lock held. */
struct mr_map *registry_find(const struct host *host, uintptr_t start, uintptr_t end);

/* In a child of fork: forget everything. */
void registry_reset(void);

#endif
