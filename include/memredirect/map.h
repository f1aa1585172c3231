/* SPDX-License-Identifier: MIT */
/*
 * A map: a range of addresses that shows a memory (IOMemoryMap), and redirect, which replaces that memory.
 */
#ifndef MEMREDIRECT_MAP_H
#define MEMREDIRECT_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include <memredirect/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_map;

/* Map options. The values are those of IOKit where it has the option. */
#define MR_MAP_ANYWHERE	     UINT32_C(0x00000001) /* `address` is ignored; the library chooses */
#define MR_MAP_READ_ONLY     UINT32_C(0x00001000) /* writes fault */
#define MR_MAP_COPY_ON_WRITE UINT32_C(0x00002000) /* writes stay in this map, the memory does not see them */
#define MR_MAP_STATIC	     UINT32_C(0x01000000) /* reported for adopted maps: the range outlives the map */
#define MR_MAP_REFERENCE     UINT32_C(0x02000000) /* succeed only if a compatible map exists, and return it */
#define MR_MAP_UNIQUE	     UINT32_C(0x04000000) /* never shared, and the only kind that may be redirected */
#define MR_MAP_PREFAULT	     UINT32_C(0x10000000) /* page tables are filled before the call returns */
#define MR_MAP_OVERWRITE     UINT32_C(0x20000000) /* with an exact address: replace what is mapped there */

/* With the driver (see memredirect/driver.h). */
#define MR_MAP_DRIVER  UINT32_C(0x40000000) /* the map is made by the driver */
#define MR_MAP_PERSIST UINT32_C(0x80000000) /* with MR_MAP_DRIVER: who has imported it keeps the last backing when it goes */

/* The cache mode, a field of 4 bits. Ordinary memory takes DEFAULT and COPYBACK; that of devices takes all, with MR_MAP_DRIVER. */
#define MR_MAP_CACHE_MASK	   UINT32_C(0x00000f00)
#define MR_MAP_CACHE_SHIFT	   8
#define MR_MAP_CACHE_DEFAULT	   UINT32_C(0x00000000)
#define MR_MAP_CACHE_INHIBIT	   UINT32_C(0x00000100)
#define MR_MAP_CACHE_WRITE_THROUGH UINT32_C(0x00000200)
#define MR_MAP_CACHE_COPYBACK	   UINT32_C(0x00000300)
#define MR_MAP_CACHE_WRITE_COMBINE UINT32_C(0x00000400)

/**
 * mr_map_new - map a memory (createMappingInTask)
 * @memory: what to show; the map holds a reference
 * @task: where; NULL: the calling process
 * @address: where, unless MR_MAP_ANYWHERE; as far into a page as @offset of @memory is
 * @options: MR_MAP_ANYWHERE, OVERWRITE, READ_ONLY, UNIQUE, REFERENCE, PREFAULT, COPY_ON_WRITE, DRIVER, PERSIST, and a cache mode
 * @offset: from where in @memory
 * @length: bytes; 0: to the end of @memory
 * @ret_map: the map, with one reference
 *
 * Without MR_MAP_UNIQUE, an existing map of the same memory object that can serve the request (same access, cache mode and
 * copy-on-write; the range inside it; at @address, if that is asked for) is returned, or a map that lies inside it: the
 * pages are mapped once. A map that lies inside another keeps that one alive.
 *
 * A map takes whole pages of its memory: other bytes of its first and last page can be reached too, as with mmap(2).
 * With MR_MAP_UNIQUE | MR_MAP_COPY_ON_WRITE, memory that userfaultfd cannot watch (files of ext4, xfs …; huge pages) is
 * copied in full here, into ordinary private memory, since its private pages could not be kept safe while the map is blocked.
 * So is, with any MR_MAP_COPY_ON_WRITE, shared memory of mr_memory_new_ranges whose file the library cannot open (which takes
 * CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE).
 *
 * In another process, a map is of memory that has a descriptor: buffers, files, and several of these in a row. It is made, and later
 * changed, by a thread of the library's in that process, which is there from the first call that needs it until the last map in the process is
 * freed. If this process ends first, a map that is shown stays, with its bytes, and one that is blocked is let go first.
 *
 * Return: 0; -EINVAL MR_MAP_OVERWRITE with MR_MAP_ANYWHERE, MR_MAP_STATIC, an @address that is NULL or does not fit into its
 * page as the memory does, or memory whose pieces cannot stand side by side; -ERANGE past the end of @memory; -EACCES read-only
 * memory without MR_MAP_READ_ONLY or MR_MAP_COPY_ON_WRITE; -EEXIST some page of the range is taken, and MR_MAP_OVERWRITE was
 * not given, or another map of this library holds it; -ENOENT MR_MAP_REFERENCE, and there is no compatible map; -EOPNOTSUPP
 * a cache mode other than DEFAULT and COPYBACK, or private memory of a task, or, in another process, memory without a descriptor, or a
 * process that code cannot be put into (see mr_task_snapshot); -ENOMEM no room, or vm.max_map_count is reached; of another process:
 * -ESRCH it has ended, -EPERM, -EBUSY it is traced or stopped, or another caller is at work in it.
 */
int mr_map_new(struct mr_memory *memory, struct mr_task *task, void *address, uint32_t options, uint64_t offset,
	       uint64_t length, struct mr_map **ret_map);

/**
 * mr_map_adopt - take over a range that is mapped already, without disturbing it (setMapping)
 * @task: where; NULL: the calling process
 * @address: where the range begins
 * @length: bytes
 * @options: MR_MAP_UNIQUE and MR_MAP_STATIC are allowed, and implied
 * @ret_map: the map, with one reference
 *
 * mr_map_memory of the new map is the memory that is mapped there. While the map is redirected to another one, that memory
 * keeps its bytes for as long as it is referenced: hold a reference to redirect back to it.
 *
 * Private memory can be blocked and replaced if it is anonymous or of shmem; private mappings of other files, huge pages mapped
 * private, stacks that grow, the vdso, and ranges that another userfaultfd owns can be adopted and asked, but
 * mr_map_redirect says -EOPNOTSUPP.
 *
 * In another process, what could not be blocked or replaced is not adopted either. Nothing is done to the process before the first redirect.
 * Memory that it shares with others is blocked and replaced for it alone. Its own changes to the range meanwhile are kept: pages that
 * it unmaps stay unmapped, and giving back pages of a blocked range (MADV_DONTNEED) waits, too. If this process ends while the map is blocked, the
 * bytes are put back and those that wait go on; if it shows another memory then, it goes on showing that.
 *
 * A range that code may run in stays so, whatever memory it shows later; other maps are for data alone.
 *
 * The range must not hold what the library needs to work: the caller's stack, the heap that malloc(3) allocates small
 * objects from, the data of libraries.
 *
 * Return: 0; -EFAULT a page of the range is not mapped; -EEXIST another map holds part of it; -EINVAL @length is 0, or the range
 * wraps around; -EOPNOTSUPP the range holds the caller's stack or the library's own objects; or, of another process, a stack, the vdso, a
 * private mapping of a file, huge pages mapped private, a device, or what a userfaultfd watches; -ESRCH, -EPERM.
 */
int mr_map_adopt(struct mr_task *task, void *address, uint64_t length, uint32_t options, struct mr_map **ret_map);

/**
 * mr_map_redirect - replace the backing of a live map, or block it (IOMemoryMap::redirect)
 * @map: a map with MR_MAP_UNIQUE
 * @new_backing: what to show; the map takes a reference and drops that to the old backing. NULL: block
 * @options: MR_MAP_READ_ONLY, PREFAULT, COPY_ON_WRITE and a cache mode; they replace the map's access and cache mode. 0 for NULL
 * @offset: from where in @new_backing; 0 for NULL
 *
 * See memredirect.h for guarantees A to G. Blocking a blocked map, and redirecting a map that is not blocked to what it shows
 * already (same backing, options and offset), does nothing. Redirecting a blocked map to what it showed before is the
 * cheapest way on: its pages are put back. What a copy-on-write map had written is kept by that, and dropped by any
 * other redirect.
 *
 * Return, checked in this order: 0; -EPERM @map is not MR_MAP_UNIQUE; -ENXIO @map is unmapped; -ESRCH its task has died; -EINVAL
 * options other than those, or NULL with an offset or options; -EOPNOTSUPP another cache mode than DEFAULT and COPYBACK;
 * -ERANGE @offset + the map's length is past the end of @new_backing; -EINVAL @offset lies elsewhere within its page (of the
 * new backing's size) than the map's address; -EACCES read-only memory without READ_ONLY or COPY_ON_WRITE, or, for an adopted range
 * that code may run in, a file of a file system that is mounted noexec; -EOPNOTSUPP
 * what the map shows, or @new_backing, cannot be moved, or there is no userfaultfd: mr_error() says why; -EFAULT part of an
 * adopted range has been unmapped; -EBUSY part of it belongs to another userfaultfd; -ENOMEM no room, no huge pages,
 * vm.max_map_count; -EAGAIN, -EMFILE, -ENFILE no thread or descriptor for the service; -EIO the file could not be read.
 */
int mr_map_redirect(struct mr_map *map, struct mr_memory *new_backing, uint32_t options, uint64_t offset);

/**
 * mr_map_unmap - take a map out of the address space (unmap)
 * @map: the map; the object lives until its last reference is dropped
 *
 * All references lose it, and so do maps that lie inside it. A blocked map's range goes away, and threads that wait in it get
 * SIGSEGV, as on any unmapped address. An adopted map's range stays mapped, with the backing that it has; if it is blocked,
 * it is let go first.
 *
 * Return: 0; -ENXIO it is unmapped already.
 */
int mr_map_unmap(struct mr_map *map);

/**
 * mr_map_ref - add a reference
 * @map: a map, or NULL
 *
 * Return: @map.
 */
struct mr_map *mr_map_ref(struct mr_map *map);

/**
 * mr_map_unref - drop a reference; the last one unmaps, as mr_map_unmap does, and frees
 * @map: a map, or NULL
 *
 * Return: NULL.
 */
struct mr_map *mr_map_unref(struct mr_map *map);

/** mr_map_address - where the map begins (getAddress, getVirtualAddress); NULL once unmapped */
void *mr_map_address(const struct mr_map *map);

/** mr_map_length - bytes in the map (getLength, getSize); 0 for NULL */
uint64_t mr_map_length(const struct mr_map *map);

/** mr_map_task - the task that the map is in (getAddressTask), borrowed; NULL: the calling process */
struct mr_task *mr_map_task(const struct mr_map *map);

/**
 * mr_map_memory - the backing now (getMemoryDescriptor), borrowed
 * @map: the map
 *
 * A blocked map reports the backing that it had. A redirect by another thread may drop the map's reference at any time: who
 * shares a map with threads that redirect it holds references to the memories of its own.
 */
struct mr_memory *mr_map_memory(const struct mr_map *map);

/** mr_map_options - the options as given, with the access and cache mode of the last redirect (getMapOptions); 0 for NULL */
uint32_t mr_map_options(const struct mr_map *map);

/**
 * mr_map_physical_address - the physical address of the map's first byte (getPhysicalAddress)
 * @map: the map
 * @ret_address: the address
 *
 * Return: 0; -ENXIO unmapped; -EPERM, -ENODATA as for mr_map_physical_segment.
 */
int mr_map_physical_address(struct mr_map *map, uint64_t *ret_address);

/**
 * mr_map_physical_segment - the physical address of a byte of the map, and how far it is contiguous (getPhysicalSegment)
 * @map: the map
 * @offset: the byte
 * @ret_address: its physical address
 * @ret_length: bytes from it that are resident and physically contiguous, within the map
 *
 * For a blocked map: of the backing that it had. For a copy-on-write map: of the page that the map shows.
 *
 * Return: 0; -ENXIO unmapped; -ERANGE @offset is past the end; -EPERM the system hides frame numbers; -ENODATA the page is not
 * resident: prepare the memory first.
 */
int mr_map_physical_segment(struct mr_map *map, uint64_t offset, uint64_t *ret_address, uint64_t *ret_length);

/** mr_map_is_blocked - whether accesses to the map wait now: it is redirected to NULL, or stopped while a thread copies it */
bool mr_map_is_blocked(const struct mr_map *map);

/**
 * mr_map_waiters - threads of this process that wait in a fault on the map now
 * @map: the map
 *
 * They wait since it is blocked, or for a pager to read what they touch; 0 if it is neither, or is just being redirected, copied or moved.
 *
 * A thread counts once, however often signals make it wait anew, and counts while it runs a signal handler from within the
 * wait. At most 65536 waiting threads are counted in a process. Costs some microseconds.
 */
uint64_t mr_map_waiters(const struct mr_map *map);

#ifdef __cplusplus
}
#endif

#endif
