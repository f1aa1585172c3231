/* SPDX-License-Identifier: MIT */
/*
 * Options of mappings. Those that memredirect has too, have the same values there (memredirect/map.h).
 *
 * These, and the other options, are constants and no enumerators: callers combine them across groups, which C++20 deprecates for
 * enumerators of different types.
 */
#ifndef MEMREDIRECT_IOKIT_IOMAPTYPES_H
#define MEMREDIRECT_IOKIT_IOMAPTYPES_H

inline constexpr unsigned kIODefaultMemoryType = 0;

/* Cache modes. Ordinary memory in a process takes default and copyback. */
inline constexpr unsigned kIODefaultCache = 0;
inline constexpr unsigned kIOInhibitCache = 1;
inline constexpr unsigned kIOWriteThruCache = 2;
inline constexpr unsigned kIOCopybackCache = 3;
inline constexpr unsigned kIOWriteCombineCache = 4;
inline constexpr unsigned kIOCopybackInnerCache = 5;
inline constexpr unsigned kIOPostedWrite = 6;
inline constexpr unsigned kIORealTimeCache = 7;
inline constexpr unsigned kIOPostedReordered = 8;
inline constexpr unsigned kIOPostedCombinedReordered = 9;

inline constexpr unsigned kIOMapAnywhere = 0x00000001; /* the address is ignored */

inline constexpr unsigned kIOMapCacheMask = 0x00000f00;
inline constexpr unsigned kIOMapCacheShift = 8;
inline constexpr unsigned kIOMapDefaultCache = kIODefaultCache << kIOMapCacheShift;
inline constexpr unsigned kIOMapInhibitCache = kIOInhibitCache << kIOMapCacheShift;
inline constexpr unsigned kIOMapWriteThruCache = kIOWriteThruCache << kIOMapCacheShift;
inline constexpr unsigned kIOMapCopybackCache = kIOCopybackCache << kIOMapCacheShift;
inline constexpr unsigned kIOMapWriteCombineCache = kIOWriteCombineCache << kIOMapCacheShift;
inline constexpr unsigned kIOMapCopybackInnerCache = kIOCopybackInnerCache << kIOMapCacheShift;
inline constexpr unsigned kIOMapPostedWrite = kIOPostedWrite << kIOMapCacheShift;
inline constexpr unsigned kIOMapRealTimeCache = kIORealTimeCache << kIOMapCacheShift;
inline constexpr unsigned kIOMapPostedReordered = kIOPostedReordered << kIOMapCacheShift;
inline constexpr unsigned kIOMapPostedCombinedReordered = kIOPostedCombinedReordered << kIOMapCacheShift;

inline constexpr unsigned kIOMapUserOptionsMask = 0x00000fff;

inline constexpr unsigned kIOMapReadOnly = 0x00001000;	/* writes fault */
inline constexpr unsigned kIOMapStatic = 0x01000000;	/* reported: the addresses were there before the map, and outlive it */
inline constexpr unsigned kIOMapReference = 0x02000000; /* succeed only if the mapping exists */
inline constexpr unsigned kIOMapUnique = 0x04000000;	/* never shared, and the only kind that may be redirected */
inline constexpr unsigned kIOMapPrefault = 0x10000000;	/* page tables are filled before the call returns */
inline constexpr unsigned kIOMapOverwrite = 0x20000000; /* with an address: replace what is mapped there */

inline constexpr unsigned kIOMapGuardedMask = 0xc0000000;  /* pages that nobody may access, before and behind it: */
inline constexpr unsigned kIOMapGuardedSmall = 0x40000000; /* one page */
inline constexpr unsigned kIOMapGuardedLarge = 0x80000000; /* 64 KiB */

#endif
