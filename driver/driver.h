/* SPDX-License-Identifier: GPL-2.0 */
/*
 * memredirect: the driver's own objects
 *
 *   struct control                      an open /dev/memredirect
 *      | map        | backings (ids)
 *      v            v
 *   struct map --- struct backing       what is shown: a view, that is a backing and from where in it
 *      ^
 *   struct client   an open map descriptor; its mappings hold it (vm_file)
 *      ^
 *   struct kept     what a child has inherited by fork(2) of a mapping with KEEP_ON_FORK: a view that stays as it is
 *
 * Who holds what: a control holds its map, and its backings by their ids; a map its view's backing; a client its map; a kept
 * view its backing. Backings go when nobody holds them, and take hold of nothing themselves.
 *
 * Locks, in the order in which they are taken:
 *
 *   control->lock   the map and ids of a control; one change of state at a time. No user memory is touched under it, since that
 *                   might lie in a blocked map
 *   mmap_lock       the kernel's, of a process; or the lock of one mapping
 *   map->sem        what the map shows. Faults hold it shared from looking at what is shown until the page table has it; a change
 *                   holds it exclusively from before it is made until no page table has what was shown before. So no entry can be
 *                   made from what a change has replaced, and nobody sees the new while anybody can still see the old. Nobody
 *                   sleeps for long under it
 *   i_mmap_rwsem, page table locks: the kernel's
 *
 *   map->waiters_lock is taken alone.
 */
#ifndef MEMREDIRECT_DRIVER_H
#define MEMREDIRECT_DRIVER_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <linux/memredirect.h>

/*
 * A build with MEMREDIRECT_BROKEN leaves out one guarantee of its choice, the module parameter broken, so that the tests can be
 * seen to catch that. In every other build there is no such code.
 */
#ifdef MEMREDIRECT_BROKEN
extern int memredirect_broken;
#define broken(number) unlikely(READ_ONCE(memredirect_broken) == (number))
#else
#define broken(number) false
#endif

#define BROKEN_INSERT_UNLOCKED 1  /* page table entries are made after letting go of map->sem */
#define BROKEN_LATE_ZAP	       2  /* a change shows the new before nobody can see the old */
#define BROKEN_NO_WAKE	       3  /* a change does not wake who waits */
#define BROKEN_ORPHANS	       4  /* the owner's end changes nothing */
#define BROKEN_DEAF	       5  /* waiting threads take no signals */
#define BROKEN_WRITABLE	       6  /* a read-only redirect can be written to */
#define BROKEN_UNCHARGED       7  /* a backing that could not be made is still charged */
#define BROKEN_TAIL	       8  /* what is unknown beyond a request is ignored */
#define BROKEN_GENERATION      9  /* the expected generation is not looked at */
#define BROKEN_DEADLINE	       10 /* a block has no deadline */
#define BROKEN_FORK	       11 /* children are clients, whatever the descriptor says */
#define BROKEN_KERNEL_WAITS    12 /* system calls wait in maps that are USER_ONLY */
#define BROKEN_PEEK	       13 /* debuggers see what a blocked map showed */
#define BROKEN_FREED	       14 /* a backing is freed while it is shown (KASAN) */
#define BROKEN_COPY_LOCKED     15 /* user memory is touched under map->sem (lockdep) */

/* --- backings (memory.c) --- */

struct segment {
	u64 first; /* its first page, in the backing */
	u64 count; /* pages */
	u32 kind;
	u32 cache;
	bool ram; /* the kernel knows the pages: pages, or of a physical range by number */
	struct page **pages;
	unsigned long pfn;     /* of a physical range */
	void __iomem *io;      /* of a device */
	unsigned long held;    /* pages that have been taken hold of */
	struct folio **folios; /* of a file: its pins */
	unsigned long folio_count;
	struct mm_struct *mm; /* who is charged */
	unsigned long charged;
};

struct backing {
	struct kref ref;
	struct work_struct release;
	u32 id;
	bool read_only;
	u64 pages;
	u32 count;
	struct segment segments[];
};

struct view {
	struct backing *backing; /* or NULL */
	u64 first;		 /* page of it */
	bool read_only;
};

extern struct workqueue_struct *memredirect_queue;

struct backing *backing_make(const struct memredirect_add_backing *request);
void backing_get(struct backing *backing);
void backing_put(struct backing *backing);
void backing_put_later(struct backing *backing);
unsigned long backing_pfn(const struct backing *backing, u64 page, u32 *ret_cache);
u64 backing_run(const struct backing *backing, u64 page, u64 last);
void backing_copy(const struct backing *backing, u64 offset, void *buffer, size_t length, bool write);

/* --- maps (map.c) --- */

struct map {
	struct kref ref;
	u32 flags;
	u64 length;
	struct inode *inode; /* whose i_mapping has all mappings of it, and no others */
	const void *owner;   /* the table of descriptors of who made it; NULL: it has been let go */

	struct rw_semaphore sem;
	enum memredirect_state state;
	struct view view; /* in state BLOCKED, what was shown before */
	u64 generation;

	wait_queue_head_t wait; /* who waits in a fault */
	wait_queue_head_t poll;
	spinlock_t waiters_lock;
	struct list_head waiters;
	unsigned long waiter_count;
};

struct waiter {
	struct list_head list;
	struct mm_struct *mm;
};

struct client {
	struct map *map;
	u32 flags;
	u64 seen; /* the generation that GET_INFO has said */
};

extern const struct file_operations map_fops;

struct map *map_make(const struct memredirect_create *request);
void map_put(struct map *map);
struct file *map_open(struct map *map, u32 flags);
void map_change(struct map *map, enum memredirect_state state, const struct view *view);
void map_info(struct map *map, struct memredirect_info *info);
int map_populate(struct map *map, const struct memredirect_populate *request);
__poll_t map_poll(struct map *map, u64 seen);

static inline bool map_waits(const struct map *map)
{
	enum memredirect_state state = READ_ONCE(map->state);

	return state == MEMREDIRECT_STATE_EMPTY || state == MEMREDIRECT_STATE_BLOCKED;
}

/* --- mappings (fault.c) --- */

extern const struct vm_operations_struct map_vm_ops;

vm_fault_t view_insert(const struct view *view, u64 map_page, struct vm_area_struct *vma, unsigned long address, bool write);

/* --- controls (main.c) and their requests (ioctl.c) --- */

struct control {
	struct mutex lock;
	struct map *map; /* once made, it stays */
	struct xarray backings;
	u64 seen;
	struct delayed_work deadline;
	unsigned long deadline_at; /* jiffies */
	u32 deadline_flags;	   /* 0: there is none */
};

long control_ioctl(struct file *file, unsigned int command, unsigned long argument);
long client_ioctl(struct file *file, unsigned int command, unsigned long argument);
void control_deadline(struct work_struct *work);
void control_forget_deadline(struct control *control);
void control_let_go(struct control *control);

#endif
