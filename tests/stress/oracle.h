/* SPDX-License-Identifier: MIT */
/*
 * The oracle of readers: a sequence lock around each redirect, and a history of what was shown.
 *
 * The epoch is even while no redirect is under way; in epoch 2k and at both its borders the map shows history[k]. A reader takes
 * the epoch before and after its load: in between the map showed history[before / 2] to history[(after + 1) / 2], and the value
 * must be of one of these. If both are the same even number, that is one alone: the backing of now.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdint.h>

#include "pool.h"

#define ORACLE_HISTORY 65536

struct oracle {
	struct pool *pool;
	uint64_t epoch;
	struct {
		struct member *member;
		uint64_t offset;
	} history[ORACLE_HISTORY];
};

void oracle_begin(struct oracle *oracle, struct pool *pool, struct showing first);

/* Around a redirect, by the one thread that redirects. */
void oracle_open(struct oracle *oracle, struct showing next);
void oracle_close(struct oracle *oracle);

uint64_t oracle_epoch(const struct oracle *oracle);

/* Check what one load found at @offset since the epoch @before. False: that is too long ago to be known. */
bool oracle_check(const struct oracle *oracle, uint64_t before, uint64_t offset, uint64_t value);

/* The same for a word that the kernel has copied, byte by byte in ascending order: the later ones may be newer. */
bool oracle_check_copy(const struct oracle *oracle, uint64_t before, uint64_t offset, uint64_t value);

#endif
