/* SPDX-License-Identifier: MIT */
/*
 * A space: how an address space is changed.
 *
 * A redirect, a copy and a move know maps, memories and the order of steps; a space knows how each step is done there: in this
 * process by system calls (local.c), in another one by an agent (foreign.c), of maps of the driver's by
 * requests (driver.c). Which process it is, a host says; NULL is this one. A view
 * has the host that it stands in. Each operation makes sentences, and when it fails, what is mapped is as it was before.
 *
 * The steps of a redirect, with what a client of the target sees after each:
 *
 *	build     next view at a base aside               the old bytes
 *	populate  its page tables                         the old bytes
 *	  shut    the shown view aside, a cover over it   waits
 *	  place   the next view at the target             the new bytes, or waits where a segment is not there yet
 *	  open    those that wait are woken               the new bytes
 *	  -- or, where one call can replace everything without a gap --
 *	  swap    the next view at the target             the old bytes, then the new ones
 *	discard   the old view                            the new bytes
 *
 * And of a copy while clients go on:
 *
 *	raise     every page write-protected, at once     reads; writes wait until the copier lets the page go
 *	lower     the same view without protection        all
 *	hand_over the next view at the target             the new bytes; what waited, too
 */
#ifndef SPACE_H
#define SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "fault/service.h"
#include "view.h"

/* What keeps those who write waiting while a view is copied. */
struct shield {
	struct guard guard; /* of the view's range; who is told of writes is the caller's to fill in */
	struct view *shown; /* the caller's view */
	struct view
		twin; /* stands at the target in its stead, if it was faster to protect another view of the same; or nothing */
	uint64_t stall_ns; /* how long clients were held up by raising it */
	bool handed_over;
};

struct host;

struct space {
	/* Take a range of addresses that is free: @length bytes at @phase modulo @align. Nobody can access it. In this process alone. */
	int (*reserve)(uint64_t length, uint64_t align, uint64_t phase, uintptr_t *ret_address);

	/* The same for an exact range. -EEXIST: some page of it is taken. */
	int (*claim)(struct host *host, uintptr_t address, uint64_t length);

	/* Make the mappings of @view in a range that was claimed. The range stays the caller's when it fails. */
	int (*build)(struct view *view, uintptr_t base);

	/* Reserve and build, at a base that suits moving the view to @target fast; @target 0: at a base of its own kind. */
	int (*build_aside)(struct view *view, uintptr_t target);

	/* The same, but not in a gap of the range that it is for, of which nothing is known. */
	int (*build_clear)(struct view *view, uintptr_t target);

	/* Give a part of @view, which is mapped at @address, another protection. 0 or a negative errno; makes no sentences. */
	int (*protect_part)(const struct view *view, uintptr_t address, uint64_t length, int protection);

	/* Fill the page tables of a part of @view: whole pages. */
	int (*populate)(const struct view *view, uint64_t offset, uint64_t length);

	/* Begin and end to need what shut and open need (a userfaultfd and the thread that reads it). */
	int (*watch)(struct host *host);
	void (*unwatch)(struct host *host);

	/* Block the range of @view, which stands at its target, and move it aside. -EOPNOTSUPP: it cannot be moved. */
	int (*shut)(struct view *view);

	/* Move @view, which stands aside, to @target, over a cover or over whatever may be dropped. */
	int (*place)(struct view *view, uintptr_t target);

	/* Let go those that wait in [target, target + span). */
	void (*open)(struct host *host, uintptr_t target, uint64_t span);

	/* How many threads wait there now. */
	uint64_t (*waiters)(struct host *host, uintptr_t target, uint64_t span);

	/*
	 * Replace @shown by @next in one step. Only for what can_swap allows: the one stands at the target, the other aside, and
	 * afterwards the other way round.
	 */
	bool (*can_swap)(const struct view *shown, const struct view *next);
	int (*swap)(struct view *shown, struct view *next);

	/* Make @next, which is not built, at @target over @shown (NULL: a cover), in one call. Only for what can_replace allows. */
	bool (*can_replace)(const struct view *shown, const struct view *next);
	int (*replace)(struct view *shown, struct view *next, uintptr_t target);

	/*
	 * Protect a view that stands at its target. -EOPNOTSUPP: some page of it cannot be. With what watch gives. hand_over puts @next
	 * at the target and the shown view aside, and lets go all who wait; it is called within the process's gate, with the sources'
	 * lock held. lower ends it, in any case, and cannot fail.
	 */
	int (*raise)(struct shield *shield, struct view *shown);
	void (*lower)(struct shield *shield);
	int (*hand_over)(struct shield *shield, struct view *next);

	/*
	 * Of a range under the shield: let it be written to again; the same, for whoever is told of writes, which may do nothing but let them
	 * try again; protect it again. -EAGAIN: others are changing mappings, and wait until somebody looks; let go of locks, and come again.
	 */
	void (*unprotect)(const struct shield *shield, uintptr_t start, uint64_t length);
	void (*let)(const struct shield *shield, uintptr_t start, uint64_t length);
	int (*protect)(const struct shield *shield, uintptr_t start, uint64_t length);

	/* Tell now of those who write, who would be told of soon: by a thread that has a processor, in case the service's has none. */
	void (*look)(void);

	/* Wait until whoever is being told of a write, by another thread, has done what is to be done about it. */
	void (*settle)(void);

	/* Wake those who were told of, and left waiting: they are told of again. */
	void (*wake)(const struct shield *shield);

	/* Unmap @view, wherever it stands, and forget it; large ones in slices, so that nobody waits for long. */
	void (*discard)(struct view *view);

	/* Give a range back. */
	void (*release)(struct host *host, uintptr_t address, uint64_t length);
};

extern const struct space space_local;
extern const struct space space_driver;
extern const struct space space_foreign;

static inline const struct space *space_of(const struct host *host)
{
	return host ? &space_foreign : &space_local;
}

#endif
