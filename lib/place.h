/* SPDX-License-Identifier: MIT */
/* Where the pages of private memory are to be: MR_PLACE_…. */
#ifndef PLACE_H
#define PLACE_H

#include <stdint.h>

/* 0; -EINVAL there is no such place; -EOPNOTSUPP it is not to be had here. Makes sentences. */
int place_check(uint32_t placement, unsigned node);

/* Have the pages of a new mapping of this process there. Makes sentences. */
int place_apply(uintptr_t address, uint64_t length, uint32_t placement, unsigned node);

#endif
