/* SPDX-License-Identifier: MIT */
/*
 * The address space of this process.
 *
 * Page tables are moved, not zapped and refilled: mremap between addresses that are equal modulo 1 GiB (2 MiB) moves whole tables,
 * in a time that hardly grows with the size. MREMAP_DONTUNMAP leaves the old mapping in place, empty. What an access to that
 * finds depends on the kind of mapping:
 *
 *   shared    the old bytes again, from the page cache: harmless, until the next mapping is moved over it
 *   private   zeroes, or the file's bytes: never to be seen, so it is watched by a userfaultfd before it is emptied, for missing
 *             pages, and for pages of the file that are in the page cache (MINOR)
 *
 * A range is blocked by a cover: an empty anonymous mapping that was watched before it was moved there, so that every access to
 * it waits. Any kind of mapping can be covered, those that cannot be watched themselves included. A fork leaves a cover
 * out of the child.
 */
#include "space/local.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>

#include "error.h"
#include "fault/service.h"
#include "pager/pager.h"
#include "sys/sys.h"
#include "view.h"

#define GIB (UINT64_C(1) << 30)

/* Tries to place a segment when others have used up the mappings that the process may have. */
#define PATIENCE 1000

#define NOBODY (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static bool is_small(uint64_t span)
{
	return span <= SMALL;
}

static int move(uintptr_t from, uint64_t length, uintptr_t to, int flags)
{
	int error;

	windows_enter();
	error = sys_mremap(from, length, length, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to, NULL);
	if (!error)
		windows_moved(from, length, to);
	windows_leave();
	return error;
}

/* Who waits in a window finds that there is nothing. */
static int unmap(uintptr_t address, uint64_t length)
{
	bool window;
	int error;

	windows_enter();
	error = sys_munmap(address, length);
	window = !error && windows_dropped(address, length);
	windows_leave();
	if (window)
		service_wake(address, length);
	return error;
}

void local_release(uintptr_t address, uint64_t length)
{
	while (length > SLICE && !unmap(address, SLICE)) { /* fails on a huge page that is larger */
		address += SLICE;
		length -= SLICE;
	}
	unmap(address, length);
}

static int local_reserve(uint64_t length, uint64_t align, uint64_t phase, uintptr_t *ret_address)
{
	uint64_t slack = align > sys_page_size() ? align : 0;
	uintptr_t room, address;
	int error = length > UINT64_MAX - slack ? -ENOMEM : sys_mmap(0, length + slack, PROT_NONE, NOBODY, -1, 0, &room);

	if (error)
		return fail_system(error, "there is no room for %" PRIu64 " bytes in the address space", length);
	address = room + (slack ? (phase - room) % align : 0);
	if (address > room)
		sys_munmap(room, address - room);
	if (address + length < room + length + slack)
		sys_munmap(address + length, room + slack - address);
	*ret_address = address;
	return 0;
}

static int local_claim(struct host *host, uintptr_t address, uint64_t length)
{
	uintptr_t got;
	int error = sys_mmap(address, length, PROT_NONE, NOBODY | MAP_FIXED_NOREPLACE, -1, 0, &got);

	(void)host;
	if (!error && got != address) { /* before Linux 4.17 the flag is a hint */
		sys_munmap(got, length);
		error = -EEXIST;
	}
	if (error == -EEXIST)
		return fail(-EEXIST, "something is mapped in the %" PRIu64 " bytes at %#" PRIxPTR " already", length, address);
	return error ? fail_system(error, "%" PRIu64 " bytes at %#" PRIxPTR " cannot be mapped", length, address) : 0;
}

/* Ordinary memory with the bytes of @segment, for copies on write that could not be kept safe otherwise. */
static int map_copy(const struct segment *segment, uintptr_t *ret_address)
{
	uintptr_t copy;
	int error = sys_mmap(0, segment->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &copy);

	if (error)
		return fail_system(error, "there is no memory for a copy of %" PRIu64 " bytes", segment->length);
	error = source_read(segment->source, segment->source_offset, (void *)copy, segment->length);
	if (!error && segment->protection != (PROT_READ | PROT_WRITE))
		error = sys_mprotect(copy, segment->length, segment->protection);
	if (error)
		sys_munmap(copy, segment->length);
	else
		*ret_address = copy;
	return error;
}

static bool is_paged(const struct segment *segment)
{
	return segment->source && segment->source->pager && !segment->copied;
}

/* A window is watched before anybody may access it. */
static int map_window(const struct segment *segment, uintptr_t *ret_address)
{
	uintptr_t address = 0;
	int error =
		source_map(segment->source, segment->source_offset, segment->length, PROT_NONE, 0, segment->keeps, 0, &address);

	if (error)
		return error;
	error = window_open(segment->source->pager, address, segment->length, segment->source_offset, segment->protection,
			    segment->keeps);
	if (error)
		sys_munmap(address, segment->length);
	else
		*ret_address = address;
	return error;
}

/* Map where the kernel likes. */
static int map_segment(const struct segment *segment, uintptr_t *ret_address)
{
	int error;

	if (segment->copied)
		return map_copy(segment, ret_address);
	if (is_paged(segment))
		return map_window(segment, ret_address);
	if (segment->source)
		return source_map(segment->source, segment->source_offset, segment->length, segment->protection, 0,
				  segment->keeps, 0, ret_address);
	error = sys_mmap(0, segment->length, PROT_NONE, NOBODY, -1, 0, ret_address);
	return error ? fail_system(error, "there is no room for %" PRIu64 " bytes", segment->length) : 0;
}

/* mmap over a range takes away what was there even when it then fails. For these it does not fail so late. */
static bool maps_in_one_step(const struct segment *segment)
{
	const struct source *source = segment->source;

	return source && !segment->copied && source->kind == SOURCE_FILE && !source->pager &&
	       (source->file_kind == FILE_SHMEM || source->file_kind == FILE_REGULAR);
}

/* Who waits in a window that was there is woken by whoever has done all of it. */
static int map_over(const struct segment *segment, uintptr_t address)
{
	uintptr_t got;
	int error;

	windows_enter();
	error = source_map(segment->source, segment->source_offset, segment->length, segment->protection, MAP_FIXED,
			   segment->keeps, address, &got);
	if (!error)
		windows_dropped(address, segment->length);
	windows_leave();
	return error;
}

/* Map at @address, over what is there; or fail, and leave that alone. */
static int build_segment(const struct segment *segment, uintptr_t address)
{
	uintptr_t got;
	int error;

	if (maps_in_one_step(segment))
		return map_over(segment, address);
	error = map_segment(segment, &got);
	if (error)
		return error;
	error = move(got, segment->length, address, 0);
	if (!error)
		return 0;
	unmap(got, segment->length);
	return fail_system(error, "%" PRIu64 " bytes cannot be moved to %#" PRIxPTR, segment->length, address);
}

static int local_build(struct view *view, uintptr_t base)
{
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++)
		error = build_segment(&view->segments[i], base + view->segments[i].offset);
	if (!error)
		view->base = base;
	return error;
}

int local_reserve_for(const struct view *view, uintptr_t target, uintptr_t *ret_address)
{
	uint64_t span = view->span;
	uint64_t align = span >= GIB ? GIB : span >= 2 * MIB ? 2 * MIB : sys_page_size();
	uint64_t phase = target % align;

	if (!target && view->segments[0].source)
		phase = view->segments[0].source_offset % align;
	if (align < view->align) {
		align = view->align;
		phase = target ? target % align : view->phase;
	} else if (!target && phase % view->align != view->phase) {
		phase = view->phase;
	}
	return local_reserve(span, align, phase, ret_address);
}

int local_build_aside(struct view *view, uintptr_t target)
{
	uintptr_t base;
	int error;

	if (view->count == 1 && view->span < 2 * MIB && view->align <= sys_page_size())
		return map_segment(view->segments, &view->base);
	error = local_reserve_for(view, target, &base);
	if (error)
		return error;
	error = local_build(view, base);
	if (error)
		local_release(base, view->span);
	return error;
}

static bool overlap(uintptr_t left, uintptr_t right, uint64_t span)
{
	return left < right + span && right < left + span;
}

/* Of three times the room that is needed, the target's range can take the middle at worst: one end is clear of it. */
int local_reserve_clear(const struct view *view, uintptr_t target, uintptr_t *ret_address)
{
	uint64_t span = view->span, unit = view->align, room = 3 * span + 2 * unit;
	uintptr_t start, base;
	int error;

	if (span > (UINT64_MAX - 2 * unit) / 3)
		return fail(-ENOMEM, "there is no room for %" PRIu64 " bytes in the address space", span);
	error = local_reserve(room, unit, target % unit, &start);
	if (error)
		return error;
	base = overlap(start, target, span) ? start + (room - span) / unit * unit : start;
	if (base > start)
		local_release(start, base - start);
	local_release(base + span, start + room - base - span);
	*ret_address = base;
	return 0;
}

static int local_build_clear(struct view *view, uintptr_t target)
{
	uintptr_t base;
	int error = local_reserve_clear(view, target, &base);

	if (error)
		return error;
	error = local_build(view, base);
	if (error)
		local_release(base, view->span);
	return error;
}

int local_protect_part(const struct view *view, uintptr_t address, uint64_t length, int protection)
{
	(void)view;
	return sys_mprotect(address, length, protection);
}

/*
 * Reading is enough: it maps shared pages writable where no file system has to be told of the first write, and of private pages
 * a write would make copies before anybody wrote.
 */
static int populate_segment(const struct segment *segment, uintptr_t start, uint64_t length)
{
	int error = 0;

	if (is_paged(segment))
		return window_populate(start, length);

	for (uint64_t done = 0; !error && done < length; done += SLICE) {
		uint64_t part = length - done < SLICE ? length - done : SLICE;

		error = sys_madvise(start + done, part, MADV_POPULATE_READ);
	}
	if (segment->source->file_kind == FILE_DEVICE && (error == -EFAULT || error == -EINVAL))
		return 0; /* its driver maps all at once */
	if (error == -EFAULT)
		return fail(-EIO, "%" PRIu64 " bytes of the memory cannot all be had; is the file shorter now, or broken?",
			    length);
	return error ? fail_system(error, "%" PRIu64 " bytes of the memory cannot be made resident", length) : 0;
}

int local_populate(const struct view *view, uint64_t offset, uint64_t length)
{
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++) {
		const struct segment *segment = &view->segments[i];
		uint64_t from = segment->offset, to = from + segment->length;

		from = from < offset ? offset : from;
		to = to > offset + length ? offset + length : to;
		if (from < to && segment->source && segment->protection & PROT_READ)
			error = populate_segment(segment, view->base + from, to - from);
	}
	return error;
}

/*
 * Under mlockall(MCL_FUTURE) an accessible mapping would be born with all its pages, and nobody would wait for them. So it becomes
 * accessible when it is not locked any more.
 */
static int prepare_cover(uintptr_t cover, uint64_t span, int protection)
{
	int error = sys_madvise(cover, span, MADV_DONTFORK);

	sys_munlock(cover, span);
	if (!error)
		error = sys_mprotect(cover, span, protection);
	return error ? error : service_watch(cover, span);
}

/* Where code may run, it is to wait, too, and not to be refused. */
static int make_cover(const struct view *view, uintptr_t *ret_cover)
{
	int protection = PROT_READ | PROT_WRITE | (view_is_executable(view) ? PROT_EXEC : 0);
	uint64_t span = view->span;
	int error = sys_mmap(0, span, PROT_NONE, NOBODY, -1, 0, ret_cover);

	if (error)
		return fail_system(error, "there is no room to cover %" PRIu64 " bytes", span);
	error = prepare_cover(*ret_cover, span, protection);
	if (!error)
		return 0;
	sys_munmap(*ret_cover, span);
	return fail_system(error, "an empty mapping of %" PRIu64 " bytes cannot be watched", span);
}

static int cannot_move(int error, const struct view *view, const struct segment *segment)
{
	uintptr_t address = view->base + segment->offset;

	if (error == -EBUSY)
		return fail(-EBUSY, "what is mapped at %#" PRIxPTR " belongs to another userfaultfd", address);
	if (error == -EINVAL || error == -EPERM || error == -EFAULT)
		return fail(-EOPNOTSUPP,
			    "the private memory at %#" PRIxPTR " is of a kind that cannot be blocked (anonymous and shmem can)",
			    address);
	return fail_system(error, "%" PRIu64 " bytes at %#" PRIxPTR " cannot be moved", segment->length, address);
}

static void unwatch_kept(const struct view *view, uintptr_t base, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view->segments[i].keeps && !is_paged(&view->segments[i]))
			service_unwatch(base + view->segments[i].offset, view->segments[i].length);
}

/* Private mappings of shmem have a page cache behind them; of adopted ones it is not known which they are. */
static int watch_segment(const struct segment *segment, uintptr_t start)
{
	int error;

	if (is_paged(segment)) /* nobody serves its faults while it is moved */
		return 0;
	error = segment->copied ? -EINVAL : service_watch_cached(start, segment->length);

	if (error == -EINVAL && (segment->copied || segment->source->kind == SOURCE_PRIVATE))
		error = service_watch(start, segment->length);
	return error;
}

static int watch_kept(const struct view *view)
{
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++) {
		const struct segment *segment = &view->segments[i];

		if (segment->keeps)
			error = watch_segment(segment, view->base + segment->offset);
		if (error) {
			unwatch_kept(view, view->base, i);
			return cannot_move(error, view, segment);
		}
	}
	return 0;
}

/* What a client found meanwhile were the old bytes, or it waits. */
void local_reoccupy(struct view *view, uintptr_t aside, size_t count)
{
	for (size_t i = 0; i < view->count; i++) {
		struct segment *segment = &view->segments[i];
		uintptr_t from = aside + segment->offset;

		if (i >= count || !segment->parked)
			local_release(from, segment->length);
		else
			for (int tries = PATIENCE; move(from, segment->length, view->base + segment->offset, 0) && tries;
			     tries--)
				sched_yield();
		segment->parked = true;
	}
}

bool local_can_vacate(const struct segment *segment)
{
	return segment->keeps ||
	       (segment->source && segment->source->page_size == sys_page_size() && segment->source->file_kind != FILE_DEVICE);
}

int local_vacate(struct view *view, uintptr_t aside)
{
	for (size_t i = 0; i < view->count; i++) {
		struct segment *segment = &view->segments[i];
		int error;

		segment->parked = local_can_vacate(segment);
		if (!segment->parked)
			continue;
		error = move(view->base + segment->offset, segment->length, aside + segment->offset, MREMAP_DONTUNMAP);
		if (error) {
			local_reoccupy(view, aside, i);
			return cannot_move(error, view, segment);
		}
	}
	return 0;
}

static void bytes_lost(const struct view *view)
{
	if (!view->keeps || !view->base)
		return;
	sources_lock();
	sources_lost(NULL, view->base, view->span);
	sources_unlock();
}

/* Other mappings have been put over those of @view. */
static void is_gone(struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		view->segments[i].parked = false;
	view->base = 0;
}

/*
 * Who waits for what a pager should read, or met a page that was just being moved, finds what has taken its place; and counts
 * as waiting for that alone.
 */
static void wake_paged(const struct view *view, uintptr_t target)
{
	for (size_t i = 0; i < view->count; i++)
		if (is_paged(&view->segments[i]))
			service_wake(target + view->segments[i].offset, view->segments[i].length);
}

/* Empty the target into @aside and put the cover over it; on failure, give @aside back. */
static int vacate_and_cover(struct view *view, uintptr_t aside, uintptr_t cover)
{
	int error = local_vacate(view, aside);

	if (error)
		return error;
	error = move(cover, view->span, view->base, 0);
	if (!error)
		return 0;
	local_reoccupy(view, aside, view->count);
	return fail_system(error, "%" PRIu64 " bytes at %#" PRIxPTR " cannot be covered", view->span, view->base);
}

/* Watching comes first: nobody may find an emptied private page. */
static int take_aside(struct view *view, uintptr_t aside, uintptr_t cover)
{
	uintptr_t target = view->base;
	int error = watch_kept(view);

	if (error) {
		local_release(aside, view->span);
		return error;
	}
	windows_enter();
	error = vacate_and_cover(view, aside, cover);
	windows_leave();
	unwatch_kept(view, error ? target : aside, view->count);
	if (error) {
		service_wake(target, view->span);
		return error;
	}
	wake_paged(view, target);
	if (view->keeps)
		sources_moved(NULL, target, view->span, aside);
	view->base = aside;
	return 0;
}

/* A small shared view is just covered: it is mapped again when it is placed. */
static int cover_only(struct view *view, uintptr_t cover)
{
	int error = move(cover, view->span, view->base, 0);

	if (error)
		return fail_system(error, "%" PRIu64 " bytes at %#" PRIxPTR " cannot be covered", view->span, view->base);
	wake_paged(view, view->base);
	is_gone(view);
	return 0;
}

static int shut_aside(struct view *view, uintptr_t cover)
{
	uintptr_t aside;
	int error = local_reserve_for(view, view->base, &aside);

	if (error)
		return error;
	if (view->keeps)
		sources_lock();
	error = take_aside(view, aside, cover);
	if (view->keeps)
		sources_unlock();
	return error;
}

static int local_shut(struct view *view)
{
	uintptr_t cover;
	int error = make_cover(view, &cover);

	if (error)
		return error;
	if (!view->keeps && is_small(view->span))
		error = cover_only(view, cover);
	else
		error = shut_aside(view, cover);
	if (error)
		sys_munmap(cover, view->span);
	return error;
}

static int place_segment(const struct view *view, const struct segment *segment, uintptr_t target)
{
	uintptr_t address = target + segment->offset;
	int error;

	if (!segment->parked)
		return build_segment(segment, address);
	error = move(view->base + segment->offset, segment->length, address, 0);
	return error ? fail_system(error, "%" PRIu64 " bytes cannot be moved to %#" PRIxPTR, segment->length, address) : 0;
}

/*
 * The first segment may fail, and nothing has happened. After it there is no way back that clients would not see; each further
 * one needs no more than the first did, so that it can fail only for what other threads take at this very moment, and for
 * that it waits.
 */
int local_place_all(const struct view *view, uintptr_t target)
{
	for (size_t i = 0; i < view->count; i++) {
		int error = place_segment(view, &view->segments[i], target);

		for (int tries = PATIENCE; error && i && tries; tries--) {
			sched_yield();
			error = place_segment(view, &view->segments[i], target);
		}
		if (error)
			return error;
	}
	return 0;
}

void local_leave(struct view *view, uintptr_t aside)
{
	for (size_t i = 0; i < view->count; i++) {
		if (aside && !view->segments[i].parked)
			local_release(aside + view->segments[i].offset, view->segments[i].length);
		view->segments[i].parked = true;
	}
}

static int local_place(struct view *view, uintptr_t target)
{
	int error;

	if (view->keeps)
		sources_lock();
	error = local_place_all(view, target);
	if (!error && view->keeps)
		sources_moved(NULL, view->base, view->span, target);
	if (view->keeps)
		sources_unlock();
	if (error)
		return error;
	local_leave(view, view->base);
	view->base = target;
	return 0;
}

static void local_open(struct host *host, uintptr_t target, uint64_t span)
{
	(void)host;
	service_wake(target, span);
}

/* Large private memory that may be dropped would be found empty between the two moves; small is zapped by the second one. */
bool local_can_swap(const struct view *shown, const struct view *next)
{
	return next->count == 1 && next->segments->parked && (!shown->keeps || is_small(shown->span));
}

static int swap_in(struct view *shown, struct view *next, uintptr_t aside)
{
	int error = aside ? local_vacate(shown, aside) : 0;

	if (error)
		return error;
	error = move(next->base, next->span, shown->base, 0);
	if (error) {
		if (aside)
			local_reoccupy(shown, aside, shown->count);
		return fail_system(error, "%" PRIu64 " bytes cannot be moved to %#" PRIxPTR, next->span, shown->base);
	}
	if (shown->keeps)
		sources_lost(NULL, shown->base, shown->span);
	if (next->keeps)
		sources_moved(NULL, next->base, next->span, shown->base);
	return 0;
}

int local_swap(struct view *shown, struct view *next)
{
	bool keeps = shown->keeps || next->keeps;
	uintptr_t target = shown->base, aside = 0;
	int error = is_small(shown->span) ? 0 : local_reserve_for(shown, target, &aside);

	if (error)
		return error;
	if (keeps)
		sources_lock();
	windows_enter();
	error = swap_in(shown, next, aside);
	windows_leave();
	if (keeps)
		sources_unlock();
	wake_paged(shown, target);
	if (error)
		return error;
	if (aside)
		shown->base = aside;
	else
		is_gone(shown);
	next->base = target;
	return 0;
}

/* Zapping what a large view shows would make clients wait for it; a cover has nothing to zap. */
static bool local_can_replace(const struct view *shown, const struct view *next)
{
	return next->count == 1 && maps_in_one_step(next->segments) && (!shown || is_small(shown->span));
}

static int local_replace(struct view *shown, struct view *next, uintptr_t target)
{
	int error = local_build(next, target);

	if (error || !shown)
		return error;
	wake_paged(shown, target);
	bytes_lost(shown);
	is_gone(shown);
	return 0;
}

void local_discard(struct view *view)
{
	bytes_lost(view);
	if (view->base)
		local_release(view->base, view->span);
	view_forget(view);
}

static int local_watch(struct host *host)
{
	(void)host;
	return service_acquire();
}

static void local_unwatch(struct host *host)
{
	(void)host;
	service_release();
}

static uint64_t local_waiters(struct host *host, uintptr_t target, uint64_t span)
{
	(void)host;
	return service_waiters(target, span);
}

static void local_give_back(struct host *host, uintptr_t address, uint64_t length)
{
	(void)host;
	local_release(address, length);
}

const struct space space_local = {
	.reserve = local_reserve,
	.claim = local_claim,
	.build = local_build,
	.build_aside = local_build_aside,
	.build_clear = local_build_clear,
	.protect_part = local_protect_part,
	.populate = local_populate,
	.watch = local_watch,
	.unwatch = local_unwatch,
	.shut = local_shut,
	.place = local_place,
	.open = local_open,
	.waiters = local_waiters,
	.can_swap = local_can_swap,
	.swap = local_swap,
	.can_replace = local_can_replace,
	.replace = local_replace,
	.look = service_look,
	.settle = service_settle,
	.raise = local_raise,
	.lower = local_lower,
	.hand_over = local_hand_over,
	.unprotect = local_unprotect,
	.let = local_let,
	.protect = local_protect,
	.wake = local_wake,
	.discard = local_discard,
	.release = local_give_back,
};
