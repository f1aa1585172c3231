/* SPDX-License-Identifier: MIT */
/*
 * Shields in the address space of this process: every page of a view write-protected at one instant.
 *
 * Protecting goes page by page, and who writes meanwhile waits for the end of it. Of shared memory, another view (the twin) can be
 * built and protected aside, and swapped in by moving page tables: nobody waits for more than that. When the shield is lowered, the
 * first view is swapped in again. Both show the same pages, so that nothing is ever in one of them alone.
 *
 *	            at the target       aside
 *	before      shown               -
 *	raised      twin, protected     shown          or, in place: shown, protected
 *	lowered     shown               -
 *	handed over next                shown, and the twin is gone
 *
 * Everything that is registered with the userfaultfd alone, or protected, is so in slices: the kernel walks all of it under a lock.
 */
#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "pager/pager.h"
#include "process.h"
#include "space/local.h"
#include "sys/sys.h"

/* Do something to each slice of a range, until it fails. */
static int in_slices(uintptr_t start, uint64_t length, int (*act)(uintptr_t start, uint64_t length))
{
	int error = 0;

	for (uint64_t done = 0; !error && done < length; done += SLICE)
		error = act(start + done, length - done < SLICE ? length - done : SLICE);
	return error;
}

static int unguard(uintptr_t start, uint64_t length)
{
	service_unprotect(start, length);
	service_unwatch(start, length);
	return 0;
}

static int cannot_guard(int error, uintptr_t start, uint64_t length)
{
	if (error == -EINVAL || error == -EPERM || error == -EBUSY)
		return fail(-EOPNOTSUPP, "%" PRIu64 " bytes at %#" PRIxPTR " are of a kind that cannot be write-protected",
			    length, start);
	return fail_system(error, "%" PRIu64 " bytes at %#" PRIxPTR " cannot be write-protected", length, start);
}

/* A window of a pager's memory, which is watched as long as it is mapped, and where what is not dirty is protected. */
static bool is_paged(const struct segment *segment)
{
	return segment->source && segment->source->pager && !segment->copied;
}

static int register_segment(const struct segment *segment, uintptr_t start)
{
	int error;

	if (is_paged(segment)) /* it is watched for good */
		return service_maps_protected() ? 0 : cannot_guard(-EINVAL, start, segment->length);
	error = service_protects_holes() ? 0 : sys_madvise(start, segment->length, MADV_POPULATE_READ);
	if (!error)
		error = service_guard(start, segment->length);
	return error ? cannot_guard(error, start, segment->length) : 0;
}

/* Undo register_in_place for the first @count segments. */
static void lower_in_place(const struct view *view, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (view->segments[i].source && !is_paged(&view->segments[i]))
			in_slices(view->base + view->segments[i].offset, view->segments[i].length, unguard);
}

static int register_in_place(const struct view *view)
{
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++) {
		if (view->segments[i].source)
			error = register_segment(&view->segments[i], view->base + view->segments[i].offset);
		if (error)
			lower_in_place(view, i);
	}
	return error;
}

/* Nobody is let through before all is protected: that is the instant. */
static int protect_in_place(const struct view *view)
{
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++) {
		uintptr_t start = view->base + view->segments[i].offset;

		if (view->segments[i].source)
			error = in_slices(start, view->segments[i].length, service_protect);
		if (error)
			error = cannot_guard(error, start, view->segments[i].length);
	}
	return error;
}

static int raise_in_place(struct shield *shield)
{
	uint64_t begin;
	int error = register_in_place(shield->shown);

	if (error)
		return error;
	begin = sys_now();
	error = protect_in_place(shield->shown);
	shield->stall_ns = sys_now() - begin;
	if (error)
		lower_in_place(shield->shown, shield->shown->count);
	return error;
}

static bool can_have_twin(const struct view *shown)
{
	const struct segment *only = shown->segments;

	return shown->span > SMALL && shown->count == 1 && !shown->keeps && only->source && only->source->kind == SOURCE_FILE &&
	       !is_paged(only) && only->source->file_kind == FILE_SHMEM && local_can_swap(shown, shown);
}

/* Build and protect the twin aside. Where pages that are not there can be protected, too, its page tables need not be filled. */
static int make_twin(struct shield *shield)
{
	struct view *twin = &shield->twin;
	int error = view_copy(twin, shield->shown);

	if (!error)
		error = local_build_aside(twin, shield->shown->base);
	if (!error && !service_protects_holes())
		error = local_populate(twin, 0, twin->span);
	if (!error) {
		error = service_guard(twin->base, twin->span);
		if (!error)
			error = in_slices(twin->base, twin->span, service_protect);
		if (error)
			error = cannot_guard(error, shield->shown->base, twin->span);
	}
	if (error)
		local_discard(twin);
	return error;
}

static int swap_views(struct view *shown, struct view *next)
{
	int error;

	process_gate_enter();
	error = local_swap(shown, next);
	process_gate_leave();
	return error;
}

static int raise_twin(struct shield *shield)
{
	uint64_t begin;
	int error = make_twin(shield);

	if (error)
		return error;
	begin = sys_now();
	error = swap_views(shield->shown, &shield->twin);
	shield->stall_ns = sys_now() - begin;
	if (error)
		local_discard(&shield->twin);
	return error;
}

int local_raise(struct shield *shield, struct view *shown)
{
	int error;

	shield->guard.start = shown->base;
	shield->guard.length = shown->span;
	shield->shown = shown;
	shield->twin = (struct view){ 0 };
	shield->stall_ns = 0;
	shield->handed_over = false;
	windows_enter(); /* whoever maps pages of a pager knows from now on that they must be protected */
	service_guard_enter(&shield->guard);
	windows_leave();
	error = can_have_twin(shown) ? raise_twin(shield) : raise_in_place(shield);
	if (error) {
		service_guard_leave(&shield->guard);
		service_wake(shown->base, shown->span);
	}
	return error;
}

/* Without room to swap it back, the twin stays, as what it is: the same view, once it is not protected any more. */
static void keep_twin(struct shield *shield)
{
	struct view other = *shield->shown;

	in_slices(shield->guard.start, shield->guard.length, unguard);
	*shield->shown = shield->twin;
	shield->twin = other;
}

void local_lower(struct shield *shield)
{
	struct view *shown = shield->shown;

	if (!shield->twin.base)
		lower_in_place(shown, shown->count);
	else if (!shield->handed_over && swap_views(&shield->twin, shown))
		keep_twin(shield);
	service_guard_leave(&shield->guard);
	service_wake(shield->guard.start,
		     shield->guard.length); /* also who wrote to a page of a pager since, and was told of to the guard */
	local_discard(&shield->twin);
}

/* What is emptied must keep out everybody: also those who would find the page in the page cache. */
static int guard_all_of(const struct segment *segment, uintptr_t start)
{
	bool anonymous = segment->copied;
	int error;

	if (is_paged(segment))
		return 0;
	error = anonymous ? -EINVAL : service_guard_all(start, segment->length, true);

	if (error == -EINVAL && (anonymous || segment->source->kind == SOURCE_PRIVATE))
		error = service_guard_all(start, segment->length, false);
	return error;
}

static int guard_all(const struct view *view)
{
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++) {
		const struct segment *segment = &view->segments[i];
		uintptr_t start = view->base + segment->offset;

		if (local_can_vacate(segment))
			error = guard_all_of(segment, start);
		if (error)
			return cannot_guard(error, start, segment->length);
	}
	return 0;
}

/* Empty @last, which stands at the target, into @aside, and place @next there. */
static int replace(struct view *last, struct view *next, uintptr_t aside)
{
	uintptr_t target = last->base;
	int error = local_vacate(last, aside);

	if (error)
		return error;
	error = local_place_all(next, target);
	if (error) {
		local_reoccupy(last, aside, last->count);
		return error;
	}
	if (last->keeps)
		sources_moved(NULL, target, last->span, aside);
	if (next->keeps)
		sources_moved(NULL, next->base, next->span, target);
	return 0;
}

int local_hand_over(struct shield *shield, struct view *next)
{
	struct view *last = shield->twin.base ? &shield->twin : shield->shown;
	uintptr_t target = last->base, aside;
	int error = guard_all(last);

	if (!error)
		error = local_reserve_for(last, target, &aside);
	if (!error) {
		windows_enter();
		error = replace(last, next, aside);
		windows_leave();
	}
	service_wake(target, last->span); /* those who met an emptied page */
	if (error)
		return error;
	local_leave(next, next->base);
	next->base = target;
	last->base = aside;
	shield->handed_over = true;
	return 0;
}

/* Act on the part of each segment that lies in the range: older kernels protect within one mapping only. */
static int in_segments(const struct shield *shield, uintptr_t start, uint64_t length,
		       int (*act)(const struct segment *segment, uintptr_t start, uint64_t length))
{
	const struct view *view = shield->shown;
	uintptr_t end = start + length;
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++) {
		uintptr_t from = shield->guard.start + view->segments[i].offset, to = from + view->segments[i].length;

		from = from < start ? start : from;
		to = to > end ? end : to;
		if (view->segments[i].source && from < to)
			error = act(&view->segments[i], from, to - from);
	}
	return error;
}

/* Of a pager's memory nothing is let be written to before somebody writes: it would count as written. */
static int unprotect(const struct segment *segment, uintptr_t start, uint64_t length)
{
	if (is_paged(segment))
		service_wake(start, length);
	else
		service_unprotect(start, length);
	return 0;
}

static int let(const struct segment *segment, uintptr_t start, uint64_t length)
{
	if (is_paged(segment))
		windows_let(start, length);
	else
		service_let(start, length);
	return 0;
}

static int protect(const struct segment *segment, uintptr_t start, uint64_t length)
{
	(void)segment;
	return service_try_protect(start, length);
}

void local_unprotect(const struct shield *shield, uintptr_t start, uint64_t length)
{
	in_segments(shield, start, length, unprotect);
}

void local_let(const struct shield *shield, uintptr_t start, uint64_t length)
{
	in_segments(shield, start, length, let);
}

int local_protect(const struct shield *shield, uintptr_t start, uint64_t length)
{
	int error = in_segments(shield, start, length, protect);

	return error && error != -EAGAIN ? cannot_guard(error, start, length) : error;
}

void local_wake(const struct shield *shield)
{
	service_wake(shield->guard.start, shield->guard.length);
}
