/* SPDX-License-Identifier: MIT */
/* The limit of mappings (vm.max_map_count), reached: for a child process, which ends with it. */
#ifndef SUPPORT_LIMIT_H
#define SUPPORT_LIMIT_H

#include <stdbool.h>

/* Whether so many mappings can be made here in a reasonable time. */
bool limit_can_be_reached(void);

/* Make mappings until there are no more. False: there is no end to them. */
bool limit_reach(void);

/* Unmap some of them, so that there is room again for whatever comes next. */
void limit_leave(void);

#endif
