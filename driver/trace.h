/* SPDX-License-Identifier: GPL-2.0 */
/* What can be traced: events/memredirect in tracefs. A map is named by its inode's number, which /proc/PID/maps shows, too. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM memredirect

#if !defined(MEMREDIRECT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MEMREDIRECT_TRACE_H

#include <linux/tracepoint.h>

#include "driver.h"

/* clang-format off */

/* A map shows something else from now on. */
TRACE_EVENT(memredirect_change,
	TP_PROTO(const struct map *map),
	TP_ARGS(map),
	TP_STRUCT__entry(
		__field(unsigned long, map)
		__field(u32, state)
		__field(u32, id)
		__field(u64, generation)
		__field(unsigned long, waiters)
	),
	TP_fast_assign(
		__entry->map = map->inode->i_ino;
		__entry->state = map->state;
		__entry->id = map->view.backing ? map->view.backing->id : 0;
		__entry->generation = map->generation;
		__entry->waiters = map->waiter_count;
	),
	TP_printk("map=%lu state=%s backing=%u generation=%llu waiters=%lu", __entry->map,
		__print_symbolic(__entry->state, { MEMREDIRECT_STATE_EMPTY, "empty" }, { MEMREDIRECT_STATE_BLOCKED, "blocked" },
			{ MEMREDIRECT_STATE_MAPPED, "mapped" }, { MEMREDIRECT_STATE_REVOKED, "revoked" }),
		__entry->id, __entry->generation, __entry->waiters)
);

/* A thread begins, or ends, to wait. */
TRACE_EVENT(memredirect_wait,
	TP_PROTO(const struct map *map, unsigned long address, bool begins),
	TP_ARGS(map, address, begins),
	TP_STRUCT__entry(
		__field(unsigned long, map)
		__field(unsigned long, address)
		__field(bool, begins)
	),
	TP_fast_assign(
		__entry->map = map->inode->i_ino;
		__entry->address = address;
		__entry->begins = begins;
	),
	TP_printk("map=%lu address=%#lx %s", __entry->map, __entry->address, __entry->begins ? "begins" : "ends")
);

/* A backing has been made, or goes. */
TRACE_EVENT(memredirect_backing,
	TP_PROTO(const struct backing *backing, bool made),
	TP_ARGS(backing, made),
	TP_STRUCT__entry(
		__field(const void *, backing)
		__field(u64, pages)
		__field(u32, segments)
		__field(bool, made)
	),
	TP_fast_assign(
		__entry->backing = backing;
		__entry->pages = backing->pages;
		__entry->segments = backing->count;
		__entry->made = made;
	),
	TP_printk("backing=%p pages=%llu segments=%u %s", __entry->backing, __entry->pages, __entry->segments,
		__entry->made ? "made" : "goes")
);

/* clang-format on */

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
