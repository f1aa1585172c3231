/* SPDX-License-Identifier: MIT */
/*
 * A pager, inside: blocks, and what is known of each.
 *
 *	state     the file has   is in the list   goes on to
 *	ABSENT    a hole         -                QUEUED, by a fault, a copy, or reading ahead; PRESENT, written as a whole
 *	QUEUED    a hole         urgent, ahead    LOADING, by a loader; ABSENT, read ahead of time and there is no room
 *	LOADING   a part         -                PRESENT; FAILED
 *	PRESENT   its bytes      clean, dirty     ABSENT, evicted: only if clean and held by nobody
 *	FAILED    a hole         -                ABSENT, after a while
 *
 * A page is dirty from before the first write to it until it has been written back. What makes that so: in every window a page is mapped
 * write-protected, unless it is dirty; and pages are mapped here alone, for a missing page and one that the file has both wait (MISSING,
 * MINOR). Who writes back first marks clean, then protects in all windows, then takes the bytes: a write that came before is in them, one
 * that comes later makes dirty again.
 *
 * Locks: the windows' (window.c), then a pager's, then none but the service's. Callbacks are called with none. The service's thread tries both, and leaves
 * what it cannot have to the server (window.c).
 */
#ifndef CACHE_H
#define CACHE_H

#include <pthread.h>
#include <stdatomic.h>

#include "error.h"
#include "pager/pager.h"
#include "worker.h"

#define STREAMS	 8
#define NO_BLOCK UINT32_MAX

#define LOADERS 16

/* Of these, those that help to write back at a time: the others are there for who waits. */
#define HELPERS (LOADERS / 2)

/* The most that is asked of `read` or `write` at once, if a block is not more. */
#define REQUEST (UINT64_C(512) << 10)

enum block_state { ABSENT, QUEUED, LOADING, PRESENT, FAILED };
enum block_list { NOWHERE, URGENT, AHEAD, CLEAN, DIRTY, LISTS };

struct block {
	uint32_t next, previous;
	uint32_t dirty_pages;
	uint16_t holds;	 /* it stays: copies, and what is prepared */
	uint16_t pinned; /* of these, prepared: counts as dirty */
	uint8_t state;
	uint8_t list;
	bool cleaning;	 /* it is being written back; in no list */
	bool alone;	 /* a request for it and others has failed */
	bool trip;	 /* who comes here reads in order: read further ahead */
	int error;	 /* FAILED: with this, */
	uint64_t failed; /* then */
};

struct list {
	uint32_t first, last, count;
};

/* Accesses in order: where the next one is expected, how far it has been read ahead. */
struct stream {
	uint32_t next, ahead, size;
	uint64_t used;
};

/* What is written back in one call, by several threads, each a part at a time. */
struct sweep {
	struct sweep *next;
	uint64_t page, end; /* that nobody has taken yet */
	unsigned busy;
	int result;
	struct sentence said; /* of that, by `write` */
	atomic_uint failures;
};

struct window;

struct pager {
	_Atomic uint32_t references;
	uint32_t generation;
	struct mr_pager ops;
	uint64_t length; /* bytes */
	uint64_t page, block, request;
	uint32_t blocks;
	uint32_t block_pages;
	uint32_t most; /* blocks that the cache may hold */
	int fd;
	uint64_t device, inode; /* of the file */

	struct window *windows; /* by the windows' lock */

	pthread_mutex_t lock;	/* protects what follows */
	pthread_cond_t wanted;	/* a loader has something to do */
	pthread_cond_t untidy;	/* the cleaner has */
	pthread_cond_t changed; /* a block's state, or room */
	struct block *all;
	uint64_t *dirty; /* a bit a page */
	uint64_t dirty_pages;
	struct list lists[LISTS];
	struct stream streams[STREAMS];
	uint64_t clock;
	uint32_t used;	      /* blocks LOADING or PRESENT */
	uint32_t needy;	      /* threads that wait for room */
	uint64_t begun;	      /* writes back */
	int write_error;      /* that no sync has told of */
	int stuck;	      /* what the last write back failed with; 0: it did not; */
	uint64_t stuck_at;    /* the number of that write */
	uint64_t progress;    /* calls that have returned */
	uint64_t answers;     /* reads that have succeeded */
	uint64_t forgiven;    /* what had failed by then is asked for anew: a map has been made or redirected here since */
	uint32_t pins;	      /* blocks that are pinned, as often as they are */
	struct sweep *sweeps; /* the oldest one first */
	unsigned helpers;
	bool stopping, closing, done, closed; /* nobody reads; the cleaner is to write all back; has; and has ended */
	bool failing;			      /* while it closes */

	unsigned loader_count, loaders_begun;
	struct worker loaders[LOADERS];
	void *staging; /* of the loaders, and then the cleaner */
	struct worker cleaner;
	struct pager *next_orphan;
};

/* -- cache.c: blocks and lists, with the lock held -- */

void cache_put(struct pager *pager, uint32_t block, enum block_list list, bool first);
void cache_take(struct pager *pager, uint32_t block);
uint64_t cache_start(const struct pager *pager, uint32_t block);
uint64_t cache_length(const struct pager *pager, uint32_t block, uint32_t count); /* bytes of the memory */

/* Mark [page, page + count) dirty. They are PRESENT. */
void cache_soil(struct pager *pager, uint64_t page, uint64_t count);
bool cache_is_dirty(const struct pager *pager, uint64_t page);

/* The bytes are there now, clean. */
void cache_arrived(struct pager *pager, uint32_t block);

/* Make room for that many blocks more, by what is clean, and take it. False: there is not enough of it. Wait for it, for one block: 0, or why not. */
bool cache_take_room(struct pager *pager, uint32_t count);
int cache_await_room(struct pager *pager);

/*
 * Write back what is dirty of [first, end) pages, with the help of loaders that have nothing to do. Without the lock. @staging: pager->request
 * bytes. The first error, a negative errno, and what was said of it; @ret_said may be NULL.
 */
int cache_clean(struct pager *pager, uint64_t first, uint64_t end, void *staging, struct sentence *ret_said);

/* Take a part of what is being written back. False: there is none. With the lock held, which is given back meanwhile. */
bool cache_help(struct pager *pager, void *staging);

/* The thread that writes back when room is needed, and at the end. */
void *cache_cleaner(void *argument);

/* -- load.c -- */

/* Have a block that is ABSENT, QUEUED, or FAILED long ago, read soon. With the lock held. */
void load_urgently(struct pager *pager, uint32_t block);

/* The block has been asked for in the course of things; read ahead, if that suits. With the lock held. */
void load_ahead(struct pager *pager, uint32_t block);

/* How long an access to what could not be read is refused. */
#define LOAD_REFUSED UINT64_C(1000000000)

/* Whether it failed, not long ago, and no map has been made or redirected here since. */
bool load_has_failed(const struct pager *pager, const struct block *block);

/* Wait until the block is there, and hold it. 0, or what `read` gave. With the lock held. */
int load_and_hold(struct pager *pager, uint32_t block);

void *load_loader(void *argument);

/* -- window.c -- */

void windows_enter_shared(void);
void windows_leave_shared(void);

/*
 * Put the bytes of blocks that are LOADING into the file, and let those go on who wait for them. 0; -ENOMEM: then the file has none of it. The
 * second: there is nothing to be had. Without locks.
 */
int windows_load(struct pager *pager, uint32_t first, uint32_t count, const char *bytes);
void windows_wake(struct pager *pager, uint32_t first, uint32_t count);

/* Write-protect pages in all windows. With both locks held. */
void windows_protect(struct pager *pager, uint64_t page, uint64_t count);

/* Begin and end to serve faults. Makes sentences. */
int windows_acquire(void);
void windows_release(void);

#endif
