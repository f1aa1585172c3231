/* SPDX-License-Identifier: MIT */
/*
 * Maps of the driver's, in this process: any number of processes may have the same one mapped.
 *
 * A view of such a map is a backing, memory that the driver has taken hold of, and not mappings of its own: the map's one mapping stays
 * where it is, and shows whatever the driver says. So shut, swap and place are one request each, which is atomic for all processes,
 * and nobody waits but for page tables being emptied. A view that is shown has the map's address as its base; others have none.
 *
 * A view without a channel is an ordinary one, which copies need beside the map's: that is done as in any process (local.c).
 */
#include <errno.h>
#include <inttypes.h>

#include "channel.h"
#include "error.h"
#include "space/local.h"
#include "space/space.h"
#include "sys/sys.h"
#include "view.h"

static int driver_reserve(uint64_t length, uint64_t align, uint64_t phase, uintptr_t *ret_address)
{
	return space_local.reserve(length, align, phase, ret_address);
}

static int driver_claim(struct host *host, uintptr_t address, uint64_t length)
{
	return space_local.claim(host, address, length);
}

static int show(const struct view *view)
{
	return view->channel->control < 0 ? 0 : channel_show(view->channel, view->backing, view->access);
}

/* An exporter's mapping can always be written to, since the next redirect may allow it: the driver says what is allowed now. */
static int map_at(struct view *view, uintptr_t address)
{
	uint32_t access = view->channel->control < 0 ? view->access : 0;
	int error = show(view);

	return error ? error : channel_map(view->channel, access, address, &view->base);
}

static int driver_build(struct view *view, uintptr_t base)
{
	return view->channel ? map_at(view, base) : space_local.build(view, base);
}

/* The next view of a map that is there has no mapping to be built: the driver has hold of its memory. */
static int driver_build_aside(struct view *view, uintptr_t target)
{
	if (!view->channel)
		return space_local.build_aside(view, target);
	return target ? 0 : map_at(view, 0);
}

static int driver_build_clear(struct view *view, uintptr_t target)
{
	uintptr_t base;
	int error = local_reserve_clear(view, target, &base);

	if (error)
		return error;
	error = driver_build(view, base);
	if (error)
		local_release(base, view->span);
	return error;
}

static int driver_populate(const struct view *view, uint64_t offset, uint64_t length)
{
	if (!view->channel)
		return space_local.populate(view, offset, length);
	if (view->base)
		channel_fill(view->channel, view->base);
	return 0;
}

static int driver_watch(struct host *host)
{
	(void)host;
	return 0;
}

static void driver_unwatch(struct host *host)
{
	(void)host;
}

static int driver_shut(struct view *view)
{
	int error = channel_block(view->channel);

	if (!error)
		view->base = 0;
	return error;
}

static int move(const struct view *view, uintptr_t target)
{
	int error = sys_mremap(view->base, view->span, view->span, MREMAP_MAYMOVE | MREMAP_FIXED, target, NULL);

	return error ? fail_system(error, "the driver's map cannot be moved to %#" PRIxPTR, target) : 0;
}

static int driver_place(struct view *view, uintptr_t target)
{
	int error;

	if (!view->channel)
		return space_local.place(view, target);
	error = view->base ? move(view, target) : show(view);
	if (!error)
		view->base = target;
	return error;
}

/* The driver has woken them. */
static void driver_open(struct host *host, uintptr_t target, uint64_t span)
{
	(void)host;
	(void)target;
	(void)span;
}

/* Asked of the channel (map.c). */
static uint64_t driver_waiters(struct host *host, uintptr_t target, uint64_t span)
{
	(void)host;
	(void)target;
	(void)span;
	return 0;
}

static bool driver_can_swap(const struct view *shown, const struct view *next)
{
	(void)shown;
	(void)next;
	return true;
}

static int driver_swap(struct view *shown, struct view *next)
{
	int error = show(next);

	if (error)
		return error;
	next->base = shown->base;
	shown->base = 0;
	return 0;
}

static bool driver_can_replace(const struct view *shown, const struct view *next)
{
	(void)shown;
	(void)next;
	return false;
}

/* Page tables of other processes cannot be protected against writing: copies block the map. */
static int driver_raise(struct shield *shield, struct view *shown)
{
	(void)shield;
	(void)shown;
	return fail(-EOPNOTSUPP, "a map of the driver's is blocked while it is copied");
}

static void driver_discard(struct view *view)
{
	uintptr_t base = view->base;
	uint64_t span = view->span;

	if (!view->channel) {
		space_local.discard(view);
		return;
	}
	if (base)
		sys_munmap(base, span);
	if (view->channel->control >= 0)
		channel_drop(view->channel->control, view->backing);
	view_forget(view);
}

static void driver_release(struct host *host, uintptr_t address, uint64_t length)
{
	space_local.release(host, address, length);
}

static void driver_nothing(void)
{
}

const struct space space_driver = {
	.reserve = driver_reserve,
	.claim = driver_claim,
	.build = driver_build,
	.build_aside = driver_build_aside,
	.build_clear = driver_build_clear,
	.protect_part = local_protect_part,
	.populate = driver_populate,
	.watch = driver_watch,
	.unwatch = driver_unwatch,
	.shut = driver_shut,
	.place = driver_place,
	.open = driver_open,
	.waiters = driver_waiters,
	.can_swap = driver_can_swap,
	.swap = driver_swap,
	.can_replace = driver_can_replace,
	.raise = driver_raise,
	.look = driver_nothing,
	.settle = driver_nothing,
	.discard = driver_discard,
	.release = driver_release,
};
