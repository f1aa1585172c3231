/* SPDX-License-Identifier: MIT */
/*
 * A frozen task: a copy of another one that stands still. It is a child that the agent in the other one has forked, while all threads
 * were stopped, and that does nothing; it has their registers. The agent stays for as long as the copy does.
 */
#ifndef FROZEN_H
#define FROZEN_H

#include <stdbool.h>

struct region;
struct frozen;

/* End the copy, and take the agent out; in a child of fork (@inherited) only forget both. */
void frozen_free(struct frozen *frozen, bool inherited);

/* Whether a region is the library's own. */
bool frozen_hides(const struct frozen *frozen, const struct region *region);

#endif
