/* SPDX-License-Identifier: MIT */
/*
 * Private memory of one's own: an anonymous mapping that is adopted before anybody has seen it, and parked. A map that is redirected or
 * moved to it takes the mapping itself, so that it is private there.
 */
#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "memory.h"
#include "place.h"
#include "space/space.h"
#include "sys/sys.h"
#include "view.h"

/* So that huge pages fit. */
#define HUGE (UINT64_C(2) << 20)

/* Of @span bytes that were reserved; they stay the caller's when it fails. */
static int fill_room(uintptr_t room, uint64_t span, uint32_t placement, unsigned node)
{
	uintptr_t got;
	int error = sys_mmap(room, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0, &got);

	if (error)
		return fail_system(error, "%" PRIu64 " bytes of private memory cannot be had", span);
	return place_apply(room, span, placement, node);
}

/* As if a map had shown it and gone on to something else. */
static int adopt_and_park(uintptr_t start, uint64_t length, uint64_t span, struct mr_memory **ret_memory)
{
	struct view view = { 0 };
	struct mr_memory *memory;
	int error = memory_adopt(NULL, start, length, &memory);

	if (error)
		return error;
	error = view_of_range(&view, memory, start, span);
	if (error) {
		mr_memory_unref(memory);
		return error;
	}
	*memory->parked = view;
	memory->away = true;
	*ret_memory = memory;
	return 0;
}

static int make(uint64_t length, uint32_t placement, unsigned node, struct mr_memory **ret_memory)
{
	uint64_t page = sys_page_size(), span = (length + page - 1) / page * page;
	uintptr_t room;
	int error = space_local.reserve(span, span < HUGE ? page : HUGE, 0, &room);

	if (error)
		return error;
	error = fill_room(room, span, placement, node);
	if (!error)
		error = adopt_and_park(room, length, span, ret_memory);
	if (error)
		space_local.release(NULL, room, span);
	return error;
}

int mr_memory_new_private(uint64_t length, uint32_t placement, unsigned node, struct mr_memory **ret_memory)
{
	int error;

	error_call(__func__);
	if (!ret_memory)
		return fail(-EINVAL, "ret_memory is NULL; it must point to where the memory is to be put");
	if (!length)
		return fail(-EINVAL, "length is 0; a memory has at least one byte");
	if (length > INT64_MAX)
		return fail(-ENOMEM, "length %" PRIu64 " is more than an address space has", length);
	error = place_check(placement, node);
	return error ? error : make(length, placement, node, ret_memory);
}
