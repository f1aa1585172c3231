/* SPDX-License-Identifier: MIT */
/*
 * A source: where bytes of a memory come from, and how they can be mapped.
 *
 *   FILE     a descriptor: mapped by mmap. With a pager, it is the cache of that: its mappings are windows (pager/pager.h)
 *   ALIAS    shared memory that has no descriptor here: a mapping of it that the library keeps, duplicated by mremap
 *   PRIVATE  bytes that live in page tables alone, at `address`, in this process. They cannot be mapped twice, only moved:
 *            whoever moves them (a redirect) says so by sources_moved, and every source that refers to them follows
 *   FOREIGN  the same in another task, at `address` there; whoever moves them by way of this library says so, too
 *   PHYSICAL a physical range, at `address`: the driver's alone to map and to copy
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "regions.h"

enum source_kind {
	SOURCE_FILE,
	SOURCE_ALIAS,
	SOURCE_PRIVATE,
	SOURCE_FOREIGN,
	SOURCE_PHYSICAL,
};

enum file_kind {
	FILE_SHMEM,   /* memfd, tmpfs: private mappings of it can be watched by userfaultfd */
	FILE_HUGE,    /* hugetlbfs */
	FILE_REGULAR, /* on a file system */
	FILE_DEVICE,  /* whatever else can be mapped */
};

struct source {
	enum source_kind kind;
	enum file_kind file_kind;
	uint64_t page_size;   /* of its mappings */
	int fd;		      /* FILE: owned. PHYSICAL: a descriptor of the driver's, owned. Else -1 */
	uint64_t device;      /* FILE: with the inode, which file it is */
	uint64_t inode;	      /* FILE, ALIAS */
	uint64_t file_offset; /* ALIAS: of its first byte in the file behind it */
	struct pager *pager;  /* FILE: a reference, and the descriptor is its; or NULL */
	bool steady;	      /* nobody but this library has the file: its pages stay */
	uint64_t length;      /* ALIAS, PRIVATE, FOREIGN, PHYSICAL: bytes at `address` */
	uintptr_t
		address; /* ALIAS: page aligned, owned. PRIVATE, FOREIGN: not owned; 0 when the bytes are gone; by the sources' lock */
	struct mr_task *task; /* FOREIGN: a reference */
	struct source *next;  /* PRIVATE, FOREIGN: the list of all, by the sources' lock */
	struct source **link;
};

/* Fill @source with a duplicate of @fd, which must be mappable at @offset. @writable: for writing, too. Makes sentences. */
int source_open_file(struct source *source, int fd, uint64_t offset, bool writable);

/* Fill @source with a descriptor that becomes its own, also on failure. */
int source_take_file(struct source *source, int fd);

/* Fill @source with the cache of @pager, a reference to which becomes its own. */
void source_take_pager(struct source *source, struct pager *pager);

/* Fill @source with what is mapped in @region of @task (NULL: this process), and set @ret_offset to where in the source it begins. */
int source_open_region(struct source *source, struct mr_task *task, const struct region *region, bool writable,
		       uint64_t *ret_offset);

/* Fill @source with a physical range, whole pages. -EOPNOTSUPP there is no driver; -EPERM; -EINVAL. Makes sentences. */
int source_open_physical(struct source *source, uint64_t address, uint64_t length, bool read_only);

/* Undo the opening; a zeroed source is allowed. */
void source_close(struct source *source);

/*
 * Map [offset, offset + length) of @source, whole pages of it: at @address if @flags has MAP_FIXED, replacing what is there,
 * else anywhere. @private: as a copy on write. Not for PRIVATE. Makes sentences.
 */
int source_map(const struct source *source, uint64_t offset, uint64_t length, int protection, int flags, bool copy_on_write,
	       uintptr_t address, uintptr_t *ret_address);

/* Copy @length bytes at @offset of @source to or from @buffer. Makes sentences. */
int source_read(struct source *source, uint64_t offset, void *buffer, uint64_t length);
int source_write(struct source *source, uint64_t offset, const void *buffer, uint64_t length);

/*
 * Whether the bytes at @left_at and @right_at are in one space of bytes; if so, make both count from the same place.
 */
bool source_is_same(struct source *left, uint64_t *left_at, struct source *right, uint64_t *right_at);

/* The sources' lock: exclusive while private bytes are on the move, so that nobody looks for them in between. */
void sources_lock(void);
void sources_unlock(void);

/* The same, shared: private bytes stay where they are. */
void sources_hold(void);
void sources_let_go(void);

/* Private bytes in [from, from + length) of @task (NULL: this process) are at @to now, or gone. With the lock held. */
void sources_moved(const struct mr_task *task, uintptr_t from, uint64_t length, uintptr_t to);
void sources_lost(const struct mr_task *task, uintptr_t from, uint64_t length);

/* Whether its bytes live in page tables alone, of this process or another: they cannot be mapped a second time. */
bool source_is_private(const struct source *source);

/* Where the bytes of such a source are now; 0: gone. */
uintptr_t source_private_address(struct source *source);

/* In a child of fork: the lock is free. */
void sources_reset(void);

#endif
