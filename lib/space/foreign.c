/* SPDX-License-Identifier: MIT */
/*
 * The address space of another process, changed by an agent in it.
 *
 * What takes more than one system call is one script: the agent makes all of it or nothing, and changes its accounts with it. So there
 * is no instant at which the caller could die and leave something that nobody puts right:
 *
 *	state of a map		accounts		if the caller dies
 *	being built		munmap of the range	nothing is left
 *	shown			none			it stays, with its bytes
 *	blocked			restore, close		its mappings are put back, then those that wait go on
 *	shown, old one aside	munmap of the old one	the new one stays
 *
 * A mapping is blocked where it is: it is kept from children, watched by a userfaultfd for missing pages (and, of shared memory, for those
 * that only its page table lacks), and emptied: its page tables move aside. Huge pages, which cannot be moved so, are just unmapped, and found
 * again when nobody watches any more.
 *
 * Each blocked map has a userfaultfd of its own, which the agent holds and nobody reads. Its end wakes all who wait. Since nobody reads, those
 * who give back pages of the range meanwhile (MADV_DONTNEED) wait, too, and do it afterwards; and the kernel counts the waiters.
 *
 * Nobody touches a blocked range: not the agent, and not this process, to whom the bytes are where they stand aside.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "error.h"
#include "lines.h"
#include "space/host.h"
#include "space/space.h"
#include "sys/sys.h"
#include "task.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* What stands aside in the process stands in here, beyond the agent's area. */
#define ASIDE	  ((UINT64_C(1) << 44) + (UINT64_C(1) << 40))
#define ASIDE_END (UINT64_C(1) << 45)

/* Maps without an address stand below other mappings, but not so close to a stack. */
#define BELOW_STACK (256 * MIB)

/* Up to here, zapping page tables is faster than moving them out of the way. */
#define SMALL MIB

/* What is unmapped or populated by one command. */
#define SLICE (16 * MIB)

#define NOBODY (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
#define MOVE   (MREMAP_MAYMOVE | MREMAP_FIXED)

static const struct agent_call nothing = { { AGENT_NOTHING } };

static struct agent_call map_call(uintptr_t at, uint64_t length, int protection, int flags, int64_t fd, uint64_t offset)
{
	return script_call(SYS_mmap, at, length, (uint64_t)protection, (uint64_t)flags, (uint64_t)fd, offset);
}

static struct agent_call unmap_call(uintptr_t at, uint64_t length)
{
	return script_call(SYS_munmap, at, length, 0, 0, 0, 0);
}

static struct agent_call move_call(uintptr_t from, uint64_t length, uintptr_t to, int flags)
{
	return script_call(SYS_mremap, from, length, length, (uint64_t)(MOVE | flags), to, 0);
}

static struct agent_call advise_call(uintptr_t at, uint64_t length, int advice)
{
	return script_call(SYS_madvise, at, length, (uint64_t)advice, 0, 0, 0);
}

static struct script *begin(struct host *host)
{
	script_begin(&host->script, &host->plant);
	return &host->script;
}

/* Lock the host, and see that it has an agent. On failure it is not locked. */
static int enter(struct host *host)
{
	int error;

	pthread_mutex_lock(&host->lock);
	error = foreign_is_there(host) ? host_plant(host)
				       : fail(-ESRCH, "process %d, which the map is in, has died", (int)host->task->pid);
	if (error)
		pthread_mutex_unlock(&host->lock);
	return error;
}

static void leave(struct host *host)
{
	pthread_mutex_unlock(&host->lock);
}

/* -- where -- */

struct place {
	uint64_t length, align, phase;
	uintptr_t lower; /* where what is free now begins */
	uintptr_t clear; /* a range of @length that must not be touched; 0: there is none */
	uintptr_t found; /* 0: nothing yet */
	uintptr_t limit;
};

static bool overlap(uintptr_t left, uintptr_t right, uint64_t length)
{
	return left < right + length && right < left + length;
}

/* The first fitting place from @place->lower on, up to @end. */
static void try_low(struct place *place, uintptr_t end)
{
	uintptr_t at = place->lower + (place->phase - place->lower) % place->align;

	if (place->clear && overlap(at, place->clear, place->length)) {
		at = place->clear + place->length;
		at += (place->phase - at) % place->align;
	}
	if (at >= place->lower && at < end && place->length <= end - at)
		place->found = at;
}

static int step_aside(void *argument, const struct region *region)
{
	struct place *place = argument;

	if (region->end <= place->lower)
		return 0;
	if (region->start > place->lower)
		try_low(place, region->start < place->limit ? region->start : place->limit);
	if (place->lower < region->end)
		place->lower = region->end;
	return place->found || region->start >= place->limit;
}

/* The last fitting place of those below mappings. */
static int step_below(void *argument, const struct region *region)
{
	struct place *place = argument;
	uintptr_t end = region->start, at;

	if (strncmp(region->name, "[stack", 6) == 0)
		end = end > place->lower && end - place->lower > BELOW_STACK ? end - BELOW_STACK : place->lower;
	end -= end > place->lower ? sys_page_size() : 0;
	if (strcmp(region->name, "[vsyscall]") != 0 && end > place->lower && place->length < end - place->lower) {
		at = end - place->length;
		at -= (at - place->phase) % place->align;
		if (at > place->lower && at < end)
			place->found = at;
	}
	place->lower = region->end;
	return 0;
}

/* Page tables move whole between addresses that are equal modulo 1 GiB, or 2 MiB. */
static uint64_t alignment(const struct view *view)
{
	uint64_t align = view->span >= GIB ? GIB : view->span >= 2 * MIB ? 2 * MIB : sys_page_size();

	return align < view->align ? view->align : align;
}

/* Room in the process for @view, that suits moving it to or from @target. */
static int find_aside(const struct host *host, const struct view *view, uintptr_t target, uintptr_t *ret_address)
{
	struct place place = {
		.length = view->span, .align = alignment(view), .lower = ASIDE, .clear = target, .limit = ASIDE_END
	};
	int error;

	place.phase = target % place.align;
	error = task_each_region(host->task, step_aside, &place);
	if (error < 0)
		return error;
	if (!place.found)
		try_low(&place, ASIDE_END);
	if (!place.found)
		return fail(-ENOMEM, "process %d has no room for %" PRIu64 " bytes", (int)host->task->pid, view->span);
	*ret_address = place.found;
	return 0;
}

/* Room for a map that is to stay where it is. */
static int find_room(const struct host *host, const struct view *view, uintptr_t *ret_address)
{
	struct place place = { .length = view->span, .align = alignment(view), .lower = GIB };
	int error;

	place.phase = place.align > view->align && view->segments->source ? view->segments->source_offset % place.align : 0;
	if (place.phase % view->align != view->phase)
		place.phase = view->phase;
	error = task_each_region(host->task, step_below, &place);
	if (error < 0)
		return error;
	if (!place.found)
		return fail(-ENOMEM, "process %d has no room for %" PRIu64 " bytes", (int)host->task->pid, view->span);
	*ret_address = place.found;
	return 0;
}

/* -- building -- */

/* Descriptors that the agent has for the time of an operation: one a source. */
struct passed {
	const struct source *source;
	int fd;
};

struct shipment {
	struct passed *passed;
	size_t count;
};

static int64_t ship(struct host *host, struct shipment *shipment, const struct source *source)
{
	int64_t fd;

	for (size_t i = 0; i < shipment->count; i++)
		if (shipment->passed[i].source == source)
			return shipment->passed[i].fd;
	fd = host_pass(host, source->fd);
	if (fd >= 0)
		shipment->passed[shipment->count++] = (struct passed){ source, (int)fd };
	return fd;
}

static void end_shipment(struct host *host, struct shipment *shipment)
{
	for (size_t i = 0; i < shipment->count; i++)
		host_close(host, shipment->passed[i].fd);
	sys_free(shipment->passed);
	*shipment = (struct shipment){ 0 };
}

static int ship_all(struct host *host, struct shipment *shipment, const struct view *view)
{
	int64_t fd = 0;

	*shipment = (struct shipment){ .passed = sys_allocate(view->count, sizeof(*shipment->passed)) };
	if (!shipment->passed)
		return fail(-ENOMEM, "there is no memory for a list of descriptors");
	for (size_t i = 0; fd >= 0 && i < view->count; i++)
		if (view->segments[i].source && view->segments[i].source->kind == SOURCE_FILE && !view->segments[i].copied)
			fd = ship(host, shipment, view->segments[i].source);
	if (fd >= 0)
		return 0;
	end_shipment(host, shipment);
	return fail_system((int)fd, "process %d cannot be given the descriptor of a memory", (int)host->task->pid);
}

/* The call that maps a segment at @address. */
static struct agent_call build_call(struct host *host, struct shipment *shipment, const struct segment *segment,
				    uintptr_t address)
{
	int flags = segment->keeps ? MAP_PRIVATE : MAP_SHARED;

	if (!segment->source)
		return map_call(address, segment->length, PROT_NONE, NOBODY | MAP_FIXED, -1, 0);
	if (segment->copied)
		return map_call(address, segment->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				0);
	return map_call(address, segment->length, segment->protection, flags | MAP_FIXED, ship(host, shipment, segment->source),
			segment->source_offset);
}

/* Ordinary memory that a segment is gets the bytes of its source. */
static int fill_copy(struct host *host, const struct segment *segment, uintptr_t address)
{
	char bytes[16384];
	int64_t result = 0;

	for (uint64_t at = 0, part; !result && at < segment->length; at += part) {
		part = segment->length - at < sizeof(bytes) ? segment->length - at : sizeof(bytes);
		result = source_read(segment->source, segment->source_offset + at, bytes, part);
		if (!result)
			result = task_copy(host->task, address + at, bytes, part, true);
	}
	if (!result && !(segment->protection & PROT_WRITE))
		result = host_ask(host, SYS_mprotect, address, segment->length, (uint64_t)segment->protection, 0, 0, 0);
	return (int)result;
}

static int fill_copies(struct host *host, const struct view *view, uintptr_t base)
{
	int error = 0;

	for (size_t i = 0; !error && i < view->count; i++)
		if (view->segments[i].copied)
			error = fill_copy(host, &view->segments[i], base + view->segments[i].offset);
	return error;
}

static int cannot_map(int64_t error, const struct host *host, const struct view *view)
{
	return fail_system((int)error, "process %d cannot map %" PRIu64 " bytes of the memory", (int)host->task->pid,
			   view->span);
}

/* Unmap a range, and forget what is due about it. */
static void drop(struct host *host, uintptr_t at, uint64_t length)
{
	struct script *script;
	int64_t error = 0;

	for (; length > SLICE && error >= 0; at += SLICE, length -= SLICE)
		error = host_ask(host, SYS_munmap, at, SLICE, 0, 0, 0, 0);
	host_ask(host, SYS_munmap, at, length, 0, 0, 0, 0);
	script = begin(host);
	script_account(script, at);
	script_run(script);
}

/* Map all of @view at @base. @free: nothing may be there now. @stays: it does when the caller dies. */
static int build(struct host *host, struct view *view, uintptr_t base, bool free, bool stays)
{
	struct shipment shipment;
	struct script *script;
	int64_t error = ship_all(host, &shipment, view);

	if (error)
		return (int)error;
	script = begin(host);
	if (free)
		script_step(script, map_call(base, view->span, PROT_NONE, NOBODY | MAP_FIXED_NOREPLACE, -1, 0),
			    unmap_call(base, view->span));
	for (size_t i = 0; i < view->count; i++)
		script_do(script, build_call(host, &shipment, &view->segments[i], base + view->segments[i].offset));
	script_account(script, base);
	if (!stays)
		script_add(script, unmap_call(base, view->span));
	error = script_run(script);
	if (!error)
		error = fill_copies(host, view, base);
	if (error < 0 && free)
		drop(host, base, view->span);
	end_shipment(host, &shipment);
	if (error < 0)
		return cannot_map(error, host, view);
	for (size_t i = 0; i < view->count; i++)
		view->segments[i].parked = true;
	view->base = base;
	return 0;
}

static int foreign_claim(struct host *host, uintptr_t address, uint64_t length)
{
	struct script *script;
	int64_t error = enter(host);

	if (error)
		return (int)error;
	script = begin(host);
	script_do(script, map_call(address, length, PROT_NONE, NOBODY | MAP_FIXED_NOREPLACE, -1, 0));
	script_account(script, address);
	script_add(script, unmap_call(address, length));
	error = script_run(script);
	leave(host);
	if (error == -EEXIST)
		return fail(-EEXIST, "something is mapped in the %" PRIu64 " bytes at %#" PRIxPTR " of process %d already",
			    length, address, (int)host->task->pid);
	return error < 0 ? fail_system((int)error, "%" PRIu64 " bytes at %#" PRIxPTR " of process %d cannot be mapped", length,
				       address, (int)host->task->pid)
			 : 0;
}

static int foreign_build(struct view *view, uintptr_t base)
{
	int error = enter(view->host);

	if (error)
		return error;
	error = build(view->host, view, base, false, true);
	leave(view->host);
	return error;
}

static int foreign_build_aside(struct view *view, uintptr_t target)
{
	struct host *host = view->host;
	uintptr_t base;
	int error = enter(host);

	if (error)
		return error;
	error = target ? find_aside(host, view, target, &base) : find_room(host, view, &base);
	if (!error)
		error = build(host, view, base, true, !target);
	leave(host);
	return error;
}

static int foreign_protect_part(const struct view *view, uintptr_t address, uint64_t length, int protection)
{
	int64_t error = enter(view->host);

	if (error)
		return (int)error;
	error = host_ask(view->host, SYS_mprotect, address, length, (uint64_t)protection, 0, 0, 0);
	leave(view->host);
	return (int)error;
}

static int populate_segment(struct host *host, const struct segment *segment, uintptr_t start, uint64_t length)
{
	int64_t error = 0;

	for (uint64_t done = 0; error >= 0 && done < length; done += SLICE) {
		uint64_t part = length - done < SLICE ? length - done : SLICE;

		error = host_ask(host, SYS_madvise, start + done, part, MADV_POPULATE_READ, 0, 0, 0);
	}
	if (segment->source->file_kind == FILE_DEVICE && (error == -EFAULT || error == -EINVAL))
		return 0;
	if (error == -EFAULT)
		return fail(-EIO, "%" PRIu64 " bytes of the memory cannot all be had; is the file shorter now, or broken?",
			    length);
	return error < 0 ? fail_system((int)error, "%" PRIu64 " bytes of the memory cannot be made resident", length) : 0;
}

static int foreign_populate(const struct view *view, uint64_t offset, uint64_t length)
{
	int error = enter(view->host);

	if (error)
		return error;
	for (size_t i = 0; !error && i < view->count; i++) {
		const struct segment *segment = &view->segments[i];
		uint64_t from = segment->offset, to = from + segment->length;

		from = from < offset ? offset : from;
		to = to > offset + length ? offset + length : to;
		if (from < to && segment->source && segment->protection & PROT_READ)
			error = populate_segment(view->host, segment, view->base + from, to - from);
	}
	leave(view->host);
	return error;
}

/* -- blocking -- */

static struct blocked **find_blocked(struct host *host, uintptr_t start)
{
	struct blocked **at = &host->blocked;

	while (*at && (*at)->start != start)
		at = &(*at)->next;
	return at;
}

static struct blocked *new_blocked(struct host *host, const struct view *view)
{
	struct blocked *blocked = sys_allocate(1, sizeof(*blocked));

	if (!blocked)
		return NULL;
	*blocked = (struct blocked){ .start = view->base, .span = view->span, .uffd = -1, .next = host->blocked };
	host->blocked = blocked;
	return blocked;
}

/* The range is as it should be, or gone: those who wait go on. */
static void end_blocked(struct host *host, struct blocked **at)
{
	struct blocked *blocked = *at;

	*at = blocked->next;
	host_close(host, blocked->uffd);
	sys_free(blocked);
}

/* How a segment is blocked. A hole is: nobody may access it anyway. */
enum way { WAY_NONE, WAY_MOVE, WAY_UNMAP, WAY_IMPOSSIBLE };

static bool is_private(const struct segment *segment)
{
	return segment->keeps && !segment->shared;
}

static enum way way_to_block(const struct segment *segment)
{
	if (!segment->source)
		return WAY_NONE;
	if (is_private(segment) || segment->source->kind != SOURCE_FILE || segment->source->file_kind == FILE_SHMEM)
		return WAY_MOVE;
	return segment->source->file_kind == FILE_HUGE ? WAY_UNMAP : WAY_IMPOSSIBLE;
}

static struct agent_call watch_call(struct script *script, int64_t uffd, const struct segment *segment, uintptr_t at)
{
	struct uffdio_register watch = { .range = { at, segment->length } };

	watch.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP;
	if (segment->shared || (segment->source->kind == SOURCE_FILE && !segment->copied))
		watch.mode |= UFFDIO_REGISTER_MODE_MINOR;
	return script_call(SYS_ioctl, (uint64_t)uffd, UFFDIO_REGISTER, script_data(script, &watch, sizeof(watch)), 0, 0, 0);
}

/* In the order in which nobody can find an empty page: it is watched first, and children have none. */
static void shut_segment(struct script *script, int64_t uffd, const struct segment *segment, uintptr_t at, uintptr_t aside)
{
	uint64_t length = segment->length;
	enum way way = way_to_block(segment);

	if (way == WAY_NONE)
		return;
	if (segment->hidden)
		script_step(script, advise_call(at, length, MADV_DONTFORK), advise_call(at, length, MADV_DOFORK));
	script_do(script, watch_call(script, uffd, segment, at));
	if (way == WAY_MOVE)
		script_step(script, move_call(at, length, aside, MREMAP_DONTUNMAP), move_call(aside, length, at, 0));
	else
		script_do(script, advise_call(at, length, MADV_DONTNEED));
}

static struct agent_call restore_call(struct host *host, const struct blocked *blocked, const struct segment *segment,
				      uintptr_t at, uintptr_t from)
{
	return script_call(AGENT_RESTORE, at, segment->length, from, (uint64_t)blocked->uffd, segment->hidden,
			   (uint64_t)host->probe);
}

/* What lets a segment be seen again that is aside at @from, or is where it was. */
static struct agent_call return_call(struct host *host, const struct blocked *blocked, const struct segment *segment,
				     uintptr_t at, uintptr_t from)
{
	if (segment->parked)
		return restore_call(host, blocked, segment, at, from);
	return segment->hidden ? advise_call(at, segment->length, MADV_DOFORK) : nothing;
}

static void write_shut(struct host *host, const struct blocked *blocked, const struct view *view)
{
	struct script *script = begin(host);

	for (size_t i = 0; i < view->count; i++)
		shut_segment(script, blocked->uffd, &view->segments[i], view->base + view->segments[i].offset,
			     blocked->aside + view->segments[i].offset);
	script_account(script, view->base);
	for (size_t i = 0; i < view->count; i++)
		script_add(script, return_call(host, blocked, &view->segments[i], view->base + view->segments[i].offset,
					       blocked->aside + view->segments[i].offset));
	script_add(script, script_call(SYS_close, (uint64_t)blocked->uffd, 0, 0, 0, 0, 0));
}

/* Which segments of an adopted range children of the process have now. */
static int note_children(void *argument, const struct survey *survey)
{
	struct view *view = argument;

	for (size_t i = 0; i < view->count; i++) {
		struct segment *segment = &view->segments[i];
		uintptr_t at = view->base + segment->offset;

		if (at < survey->region.end && survey->region.start < at + segment->length)
			segment->hidden = !survey_has_flag(survey, "dc");
	}
	return survey->region.start >= view->base + view->span;
}

static int note_hidden(struct host *host, struct view *view)
{
	int result = 0;

	for (size_t i = 0; i < view->count; i++)
		view->segments[i].hidden = view->segments[i].source != NULL;
	if (view->adopted)
		result = task_survey(host->task, note_children, view);
	return result < 0 ? result : 0;
}

static int cannot_block(int64_t error, const struct view *view)
{
	if (error == -EBUSY)
		return fail(-EBUSY, "what is mapped at %#" PRIxPTR " belongs to another userfaultfd", view->base);
	if (error == -EINVAL || error == -EPERM || error == -EFAULT)
		return fail(-EOPNOTSUPP,
			    "some of the %" PRIu64 " bytes at %#" PRIxPTR
			    " are of a kind that cannot be blocked, or have changed",
			    view->span, view->base);
	return fail_system((int)error, "%" PRIu64 " bytes at %#" PRIxPTR " cannot be blocked", view->span, view->base);
}

/* Whoever gives back huge pages would wait for a reader of the userfaultfd; so does the agent. */
static int open_block(struct host *host, struct blocked *blocked, const struct view *view)
{
	bool removes = true;

	for (size_t i = 0; i < view->count; i++)
		removes &= way_to_block(&view->segments[i]) != WAY_UNMAP;
	if (host->probe < 0)
		host->probe = host_open_uffd(host, false);
	if (host->probe < 0)
		return (int)host->probe;
	blocked->uffd = host_open_uffd(host, removes);
	return blocked->uffd < 0 ? (int)blocked->uffd : 0;
}

static int check_ways(const struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (way_to_block(&view->segments[i]) == WAY_IMPOSSIBLE)
			return fail(-EOPNOTSUPP,
				    "what is mapped at %#" PRIxPTR
				    " of another process is of a file on a disk, or a device, which cannot be blocked there",
				    view->base + view->segments[i].offset);
	return 0;
}

static int shut(struct host *host, struct blocked *blocked, struct view *view)
{
	int error = check_ways(view);

	if (!error)
		error = note_hidden(host, view);
	if (!error)
		error = find_aside(host, view, view->base, &blocked->aside);
	if (!error)
		error = open_block(host, blocked, view);
	if (error)
		return error;
	for (size_t i = 0; i < view->count; i++)
		view->segments[i].parked = way_to_block(&view->segments[i]) == WAY_MOVE;
	write_shut(host, blocked, view);
	error = script_run(&host->script);
	return error ? cannot_block(error, view) : 0;
}

static int foreign_shut(struct view *view)
{
	struct host *host = view->host;
	struct blocked *blocked;
	int error = enter(host);

	if (error)
		return error;
	blocked = new_blocked(host, view);
	error = blocked ? 0 : fail(-ENOMEM, "there is no memory to note what is blocked");
	if (view->keeps)
		sources_lock();
	if (!error)
		error = shut(host, blocked, view);
	if (!error && view->keeps)
		sources_moved(host->task, view->base, view->span, blocked->aside);
	if (view->keeps)
		sources_unlock();
	if (error && blocked)
		end_blocked(host, find_blocked(host, view->base));
	else if (!error)
		view->base = blocked->aside;
	leave(host);
	if (error)
		for (size_t i = 0; i < view->count; i++)
			view->segments[i].parked = true;
	return error;
}

/* -- placing -- */

/* What was blocked comes back; or a view that was built aside takes the place of that, or of anything. */
static struct agent_call place_call(struct host *host, const struct blocked *blocked, struct shipment *shipment,
				    const struct view *view, const struct segment *segment, uintptr_t at)
{
	uintptr_t from = view->base + segment->offset;

	if (blocked && blocked->aside == view->base)
		return return_call(host, blocked, segment, at, from);
	if (!segment->parked)
		return build_call(host, shipment, segment, at);
	return blocked ? restore_call(host, blocked, segment, at, from) : move_call(from, segment->length, at, 0);
}

static void write_place(struct host *host, const struct blocked *blocked, struct shipment *shipment, const struct view *view,
			uintptr_t target)
{
	struct script *script = begin(host);

	for (size_t i = 0; i < view->count; i++) {
		const struct segment *segment = &view->segments[i];
		uintptr_t at = target + segment->offset;
		struct agent_call call = place_call(host, blocked, shipment, view, segment, at);

		if (i)
			script_insist(script, call);
		else
			script_do(script, call);
	}
	script_account(script, target);
	script_account(script, view->base);
	if (blocked && blocked->aside != view->base) {
		script_account(script, blocked->aside);
		script_add(script, unmap_call(blocked->aside, blocked->span));
	}
}

static int place(struct host *host, struct view *view, uintptr_t target)
{
	struct shipment shipment;
	int error = ship_all(host, &shipment, view);

	if (error)
		return error;
	write_place(host, *find_blocked(host, target), &shipment, view, target);
	error = script_run(&host->script);
	end_shipment(host, &shipment);
	return error ? fail_system(error, "%" PRIu64 " bytes cannot be moved to %#" PRIxPTR " of process %d", view->span,
				   target, (int)host->task->pid)
		     : 0;
}

static int foreign_place(struct view *view, uintptr_t target)
{
	struct host *host = view->host;
	int error = enter(host);

	if (error)
		return error;
	if (view->keeps)
		sources_lock();
	error = place(host, view, target);
	if (!error && view->keeps)
		sources_moved(host->task, view->base, view->span, target);
	if (view->keeps)
		sources_unlock();
	leave(host);
	if (error)
		return error;
	for (size_t i = 0; i < view->count; i++) {
		view->segments[i].parked = true;
		view->segments[i].hidden = false;
	}
	view->base = target;
	return 0;
}

static void foreign_open(struct host *host, uintptr_t target, uint64_t span)
{
	struct blocked **blocked;

	(void)span;
	if (enter(host))
		return;
	blocked = find_blocked(host, target);
	if (*blocked)
		end_blocked(host, blocked);
	leave(host);
}

/* As the kernel tells of a userfaultfd: those that wait in it. */
static uint64_t count_waiters(const struct host *host, int64_t uffd)
{
	char path[96], *line;
	unsigned long long count = 0;
	struct lines lines;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/fdinfo/%d", (int)host->task->pid, (int)host->plant.tid, (int)uffd);
	if (lines_open(&lines, path))
		return 0;
	while ((line = lines_next(&lines)) && sscanf(line, "total: %llu", &count) != 1)
		;
	lines_close(&lines);
	return count;
}

static uint64_t foreign_waiters(struct host *host, uintptr_t target, uint64_t span)
{
	struct blocked *blocked;
	uint64_t count = 0;

	(void)span;
	if (enter(host))
		return 0;
	blocked = *find_blocked(host, target);
	if (blocked)
		count = count_waiters(host, blocked->uffd);
	leave(host);
	return count;
}

/* -- swapping -- */

static bool foreign_can_swap(const struct view *shown, const struct view *next)
{
	(void)shown;
	return next->count == 1 && next->segments->parked;
}

/* Large shared views move aside, so that nobody waits until their pages are let go of; who finds them empty finds the same pages. */
static bool moves_aside(const struct view *shown)
{
	const struct segment *only = shown->segments;

	return shown->span > SMALL && !shown->keeps && shown->count == 1 && only->source &&
	       only->source->page_size == sys_page_size() && only->source->file_kind != FILE_DEVICE;
}

static int swap(struct host *host, struct view *shown, const struct view *next, uintptr_t *ret_aside)
{
	struct script *script;
	int error = 0;

	*ret_aside = 0;
	if (moves_aside(shown))
		error = find_aside(host, shown, shown->base, ret_aside);
	if (error)
		return error;
	script = begin(host);
	if (*ret_aside)
		script_step(script, move_call(shown->base, shown->span, *ret_aside, MREMAP_DONTUNMAP),
			    move_call(*ret_aside, shown->span, shown->base, 0));
	script_do(script, move_call(next->base, next->span, shown->base, 0));
	script_account(script, next->base);
	if (*ret_aside) {
		script_account(script, *ret_aside);
		script_add(script, unmap_call(*ret_aside, shown->span));
	}
	error = script_run(script);
	return error ? fail_system(error, "%" PRIu64 " bytes at %#" PRIxPTR " of process %d cannot be replaced", shown->span,
				   shown->base, (int)host->task->pid)
		     : 0;
}

static int foreign_swap(struct view *shown, struct view *next)
{
	uintptr_t target = shown->base, aside;
	int error = enter(shown->host);

	if (error)
		return error;
	error = swap(shown->host, shown, next, &aside);
	leave(shown->host);
	if (error)
		return error;
	shown->base = aside;
	next->base = target;
	return 0;
}

static bool foreign_can_replace(const struct view *shown, const struct view *next)
{
	(void)shown;
	(void)next;
	return false;
}

static int foreign_replace(struct view *shown, struct view *next, uintptr_t target)
{
	(void)shown;
	(void)next;
	(void)target;
	return fail(-EOPNOTSUPP, "views of other processes are not replaced in one call");
}

/* -- the rest -- */

static int foreign_watch(struct host *host)
{
	int error = enter(host);

	if (!error)
		leave(host);
	return error;
}

static void foreign_unwatch(struct host *host)
{
	(void)host;
}

/* Whoever wrote to it would have to be told of by a userfaultfd that somebody reads: copies block the map instead. */
static int foreign_raise(struct shield *shield, struct view *shown)
{
	(void)shield;
	return fail(-EOPNOTSUPP, "writes to %" PRIu64 " bytes of another process cannot be kept out one by one", shown->span);
}

static void foreign_discard(struct view *view)
{
	struct host *host = view->host;

	if (view->base && !enter(host)) {
		if (view->keeps) {
			sources_lock();
			sources_lost(host->task, view->base, view->span);
			sources_unlock();
		}
		drop(host, view->base, view->span);
		leave(host);
	}
	view_forget(view);
}

static void foreign_release(struct host *host, uintptr_t address, uint64_t length)
{
	if (enter(host))
		return;
	drop(host, address, length);
	leave(host);
}

const struct space space_foreign = {
	.claim = foreign_claim,
	.build = foreign_build,
	.build_aside = foreign_build_aside,
	.build_clear = foreign_build_aside,
	.protect_part = foreign_protect_part,
	.populate = foreign_populate,
	.watch = foreign_watch,
	.unwatch = foreign_unwatch,
	.shut = foreign_shut,
	.place = foreign_place,
	.open = foreign_open,
	.waiters = foreign_waiters,
	.can_swap = foreign_can_swap,
	.swap = foreign_swap,
	.can_replace = foreign_can_replace,
	.replace = foreign_replace,
	.raise = foreign_raise,
	.discard = foreign_discard,
	.release = foreign_release,
};

/* -- adopting -- */

struct checking {
	const struct mr_task *task;
	uintptr_t next, end;
	const char *reason;
	uintptr_t at;
};

/* A shared mapping is as good as a private one: it is this process that blocks it, and others go on with theirs. */
static int check_mapping(void *argument, const struct survey *survey)
{
	struct checking *checking = argument;
	struct survey mapping = *survey;

	if (survey->region.end <= checking->next)
		return 0;
	if (survey->region.start >= checking->end)
		return 1;
	if (survey->region.start > checking->next)
		return fail(-EFAULT, "nothing is mapped at %#" PRIxPTR " of process %d; the whole range must be",
			    checking->next, (int)checking->task->pid);
	if (survey->region.shared)
		mapping.region.inode = 0;
	mapping.region.shared = false;
	mapping.region.protection |= PROT_READ;
	checking->reason = task_objection(checking->task, &mapping);
	checking->at = survey->region.start;
	checking->next = survey->region.end;
	return checking->reason || checking->next >= checking->end;
}

int foreign_check(const struct host *host, uintptr_t start, uint64_t span)
{
	struct checking checking = { .task = host->task, .next = start, .end = start + span };
	int result = task_survey(host->task, check_mapping, &checking);

	if (result < 0)
		return result;
	if (checking.reason)
		return fail(-EOPNOTSUPP, "what is mapped at %#" PRIxPTR " of process %d cannot be adopted: %s", checking.at,
			    (int)host->task->pid, checking.reason);
	return checking.next >= checking.end
		       ? 0
		       : fail(-EFAULT, "nothing is mapped at %#" PRIxPTR " of process %d; the whole range must be",
			      checking.next, (int)host->task->pid);
}
