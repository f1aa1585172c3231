/* SPDX-License-Identifier: MIT */
/* Plans of the mappings that show a part of a memory. */
#include "view.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "channel.h"
#include "error.h"
#include "regions.h"
#include "space/foreign.h"
#include "space/space.h"
#include "sys/sys.h"

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

static int protection_of(uint32_t access)
{
	return access & MR_MAP_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;
}

/*
 * Whether a copy on write of @source has to be a copy from the start: a private mapping that cannot be blocked without losing what was
 * written to it, or one that cannot be made, for want of a file.
 */
static bool must_copy(const struct source *source, bool movable)
{
	return source->kind != SOURCE_FILE || (movable && source->file_kind != FILE_SHMEM);
}

static int check_piece(const struct view *view, const struct piece *piece)
{
	if (piece->source->kind == SOURCE_PHYSICAL)
		return fail(-EOPNOTSUPP, "the memory holds physical ranges, a map of which takes MR_MAP_DRIVER");
	if (view->host && piece->source->pager)
		return fail(-EOPNOTSUPP, "the memory has a pager, which serves maps in this process alone");
	if (!source_is_private(piece->source) && view->host && piece->source->kind != SOURCE_FILE)
		return fail(-EOPNOTSUPP,
			    "the memory has %" PRIu64 " bytes at offset %" PRIu64
			    " that have no descriptor here, by which another process could map them",
			    piece->length, piece->start);
	if (!source_is_private(piece->source))
		return 0;
	return fail(-EOPNOTSUPP,
		    "the memory holds private memory of a task (%" PRIu64 " bytes at offset %" PRIu64
		    " of it), which cannot be mapped a second time without the driver",
		    piece->length, piece->start);
}

/* Note that a mapping of pages of @page stands at @offset of the view. */
static int constrain(struct view *view, uint64_t page, uint64_t offset)
{
	uint64_t smaller = page < view->align ? page : view->align;
	uint64_t phase = (page - offset % page) % page;

	if (phase % smaller != view->phase % smaller)
		return fail(-EINVAL,
			    "pages of %" PRIu64 " bytes at offset %" PRIu64
			    " of the map cannot stand beside the other pieces of the memory",
			    page, offset);
	if (page > view->align) {
		view->align = page;
		view->phase = phase;
	}
	return 0;
}

/* Append [offset, end) of @memory, which lies in @piece. */
static int plan_piece(struct view *view, const struct piece *piece, uint64_t from, uint64_t length, bool last, bool movable)
{
	struct source *source = piece->source;
	struct segment *segment = &view->segments[view->count];
	uint64_t place = piece->source_offset + from - piece->start;
	uint64_t lead = place % source->page_size;
	bool copy_on_write = view->access & MR_MAP_COPY_ON_WRITE;
	int error = check_piece(view, piece);

	if (error)
		return error;
	if ((view->count && lead) || (!last && (place + length) % source->page_size))
		return fail(-EINVAL,
			    "a piece of the memory (%" PRIu64 " bytes at offset %" PRIu64
			    ") is not whole pages, and cannot stand beside"
			    " the others in a map",
			    piece->length, piece->start);
	if (!view->count)
		view->lead = lead;
	*segment = (struct segment){
		.source = source,
		.source_offset = place - lead,
		.offset = view->span,
		.length = round_up(lead + length, source->page_size),
		.protection = protection_of(view->access),
		.copied = copy_on_write && must_copy(source, movable),
		.keeps = copy_on_write,
		.parked = true,
	};
	view->count++;
	view->span += segment->length;
	return constrain(view, source->page_size, segment->offset);
}

static int allocate(struct view *view, size_t count)
{
	view->segments = sys_allocate(count, sizeof(*view->segments));
	return view->segments ? 0 : fail(-ENOMEM, "there is no memory for the plan of a map of %zu pieces", count);
}

int view_plan(struct view *view, struct host *host, const struct mr_memory *memory, uint64_t offset, uint64_t length,
	      uint32_t access, bool movable)
{
	const struct piece *first = memory_piece(memory, offset);
	const struct piece *last = memory_piece(memory, offset + length - 1);
	uint64_t end = offset + length;
	int error;

	*view = (struct view){ .host = host, .align = 1, .access = access, .keeps = access & MR_MAP_COPY_ON_WRITE };
	error = allocate(view, (size_t)(last - first) + 1);
	for (const struct piece *piece = first; !error && piece <= last; piece++) {
		uint64_t from = piece == first ? offset : piece->start;
		uint64_t to = piece == last ? end : piece->start + piece->length;

		error = plan_piece(view, piece, from, to - from, piece == last, movable);
	}
	if (error)
		view_forget(view);
	return error;
}

int view_plan_driver(struct view *view, struct channel **channel, const struct mr_memory *memory, uint64_t offset,
		     uint64_t length, uint32_t options)
{
	uint64_t page = sys_page_size(), lead = memory_place(memory, offset) % page, span = round_up(lead + length, page);
	uint32_t access = options & MR_MAP_READ_ONLY;
	int error = *channel ? 0 : channel_open(span, options & MR_MAP_PERSIST, channel);

	if (!error && span != (*channel)->span)
		error = fail(-EINVAL, "the offset lies elsewhere within a page of %" PRIu64 " bytes than the map's address",
			     page);
	if (!error && memory_is_paged(memory, offset, length))
		error = fail(-EOPNOTSUPP, "the memory comes from a pager, of whose pages the driver knows nothing");
	*view = (struct view){ .span = span, .lead = lead, .align = page, .access = access, .channel = *channel };
	if (!error)
		error = channel_hold((*channel)->control, memory, offset, length, access, options, &view->backing);
	if (error)
		view_forget(view);
	return error;
}

bool view_stands_whole(const struct view *view)
{
	if (!view->base)
		return false;
	for (size_t i = 0; i < view->count; i++)
		if (!view->segments[i].parked)
			return false;
	return true;
}

bool view_is_executable(const struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->segments[i].protection & PROT_EXEC)
			return true;
	return false;
}

void view_make_executable(struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->segments[i].source)
			view->segments[i].protection |= PROT_EXEC;
}

int view_copy(struct view *copy, const struct view *view)
{
	*copy = *view;
	copy->base = 0;
	if (allocate(copy, view->count))
		return -ENOMEM;
	memcpy(copy->segments, view->segments, view->count * sizeof(*view->segments));
	return 0;
}

void view_forget(struct view *view)
{
	sys_free(view->segments);
	*view = (struct view){ 0 };
}

static struct segment hole(uint64_t offset, uint64_t length)
{
	return (struct segment){ .offset = offset, .length = length, .protection = PROT_NONE };
}

/* Put holes of so many bytes before and behind. */
static int add_holes(struct view *view, uint64_t before, uint64_t behind)
{
	size_t lead = before != 0;
	struct segment *segments;

	if (!before && !behind)
		return 0;
	segments = sys_resize(view->segments, view->count + 2, sizeof(*segments));
	if (!segments)
		return fail(-ENOMEM, "there is no memory for the plan of a map of %zu pieces", view->count + 2);
	view->segments = segments;
	memmove(segments + lead, segments, view->count * sizeof(*segments));
	for (size_t i = lead; i < lead + view->count; i++)
		segments[i].offset += before;
	if (before)
		segments[0] = hole(0, before);
	view->count += lead;
	view->lead += before;
	view->span += before;
	if (behind)
		segments[view->count++] = hole(view->span, behind);
	view->span += behind;
	return 0;
}

int view_fit(struct view *view, uintptr_t start, uint64_t span, uintptr_t address)
{
	uintptr_t base = address - view->lead;

	if (base % view->align != view->phase)
		return fail(-EINVAL,
			    "the offset lies elsewhere within a page of %" PRIu64 " bytes than the map's address %#" PRIxPTR,
			    view->align, address);
	if (view->lead > address - start || view->span > span - (base - start))
		return fail(-EINVAL,
			    "pages of %" PRIu64 " bytes would reach beyond the map's range of %" PRIu64 " bytes at %#" PRIxPTR,
			    view->align, span, start);
	return add_holes(view, base - start, span - (base - start) - view->span);
}

/* Planning what is mapped already. */
struct survey {
	struct view *view;
	const struct mr_memory *memory;
	uintptr_t start;
	size_t room;
};

static int count_region(void *argument, const struct region *region)
{
	struct survey *survey = argument;

	(void)region;
	survey->room++;
	return 0;
}

static bool grows(const struct region *region)
{
	return strncmp(region->name, "[stack", 6) == 0;
}

/* One segment for what of the region lies in the piece that holds its byte at @from. */
static int survey_piece(struct survey *survey, const struct region *region, uint64_t *from)
{
	struct view *view = survey->view;
	uint64_t page = sys_page_size();
	uint64_t place = *from > view->lead ? *from - view->lead : 0;
	const struct piece *piece = memory_piece(survey->memory, place);
	uint64_t piece_end = round_up(view->lead + piece->start + piece->length, page);
	uint64_t end = region->end - survey->start < piece_end ? region->end - survey->start : piece_end;
	uint64_t at = piece->source_offset + place - piece->start;

	if (view->count == survey->room)
		return fail(-EAGAIN, "the mappings at %#" PRIxPTR " were changed meanwhile", region->start);
	view->segments[view->count++] = (struct segment){
		.source = piece->source,
		.source_offset = at - at % page,
		.offset = *from,
		.length = end - *from,
		.protection = region->protection,
		.keeps = source_is_private(piece->source),
		.shared = region->shared,
		.parked = true,
	};
	view->keeps |= source_is_private(piece->source);
	*from = end;
	return 0;
}

static int survey_region(void *argument, const struct region *region)
{
	struct survey *survey = argument;
	uint64_t from = region->start - survey->start;
	int error = 0;

	if (grows(region))
		return fail(-EOPNOTSUPP, "%s at %#" PRIxPTR " is a stack that grows, which cannot be moved", region->name,
			    region->start);
	while (!error && from < region->end - survey->start)
		error = survey_piece(survey, region, &from);
	return error;
}

int view_of_range(struct view *view, const struct mr_memory *memory, uintptr_t start, uint64_t span)
{
	struct survey survey = { .view = view, .memory = memory, .start = start, .room = memory->piece_count };
	uint64_t lead = view->lead;
	uint32_t access = view->access;
	const struct mr_task *task = foreign_task(view->host);
	int error = regions_each(task, start, start + span, count_region, &survey);

	*view = (struct view){ .host = view->host,
			       .base = start,
			       .span = span,
			       .lead = lead,
			       .align = sys_page_size(),
			       .access = access,
			       .adopted = true };
	if (!error)
		error = allocate(view, survey.room);
	if (!error)
		error = regions_each(task, start, start + span, survey_region, &survey);
	if (error)
		view_forget(view);
	return error;
}

static int protect(struct view *view, struct segment *segment, uint32_t access)
{
	int without = segment->protection & ~PROT_WRITE;
	int wanted = access & MR_MAP_READ_ONLY ? without : without | PROT_WRITE;
	int error = 0;

	if (wanted == segment->protection)
		return 0;
	if (segment->parked)
		error = space_of(view->host)->protect_part(view, view->base + segment->offset, segment->length, wanted);
	if (error)
		return fail_system(error, "the access of %" PRIu64 " bytes cannot be changed", segment->length);
	segment->protection = wanted;
	return 0;
}

int view_protect(struct view *view, uint32_t access)
{
	int error = 0;
	size_t i;

	for (i = 0; !error && i < view->count; i++)
		error = protect(view, &view->segments[i], access);
	if (!error) {
		view->access = access;
		return 0;
	}
	while (i--)
		protect(view, &view->segments[i], view->access);
	return error;
}
