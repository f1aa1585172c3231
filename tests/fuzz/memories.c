/* SPDX-License-Identifier: MIT */
/* What can be done with memories: make them, well or badly, copy bytes, let go. */
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "kind.h"
#include "suite.h"

#define MOST_UNITS 8

/* What a failed call leaves alone. */
static struct mr_memory *const untouched = (struct mr_memory *)8;

static uint32_t below(uint32_t end)
{
	return input_below(&world.input, end);
}

static uint64_t roll_pages(void)
{
	return (1 + below(MOST_UNITS)) * world.unit;
}

/* A number from 1 to @most, often all or whole pages. */
static uint64_t roll_length(uint64_t most)
{
	uint64_t pages = most / PAGE;

	switch (below(4)) {
	case 0:
		return most;
	case 1:
		return pages ? (1 + below((uint32_t)pages)) * PAGE : most;
	default:
		return 1 + (uint64_t)below(65536) * 64 % most;
	}
}

/* An offset that leaves a byte, often at a page. */
static uint64_t roll_offset(uint64_t length)
{
	uint64_t offset = (uint64_t)below((uint32_t)(length / PAGE + 1)) * PAGE;

	if (below(3) == 2)
		offset += below(4096);
	return offset < length ? offset : 0;
}

static bool roll_read_only(void)
{
	return below(8) == 7;
}

/* -- making -- */

static void make_buffer(void)
{
	bool read_only = roll_read_only();
	struct leaf *leaf = leaf_new(LEAF_BUFFER, roll_pages());
	struct memory *memory = leaf ? memory_new(read_only) : NULL;

	if (!memory)
		return;
	memory_append(memory, leaf, 0, roll_length(leaf->length));
	expect(mr_memory_new_buffer(memory->length, read_only ? MR_MEMORY_READ_ONLY : 0, &memory->handle), 0);
}

static struct leaf *find_file(void)
{
	size_t start = below(LEAVES);

	for (size_t i = 0; i < world.leaf_count; i++)
		if (world.leaves[(start + i) % world.leaf_count].fd >= 0)
			return &world.leaves[(start + i) % world.leaf_count];
	return NULL;
}

/* Of a new file, or once more of one that is there. */
static void make_of_fd(void)
{
	bool read_only = roll_read_only();
	struct leaf *leaf = below(3) ? NULL : find_file();
	struct memory *memory;
	uint64_t offset;

	if (!leaf)
		leaf = leaf_new(below(4) == 3 ? LEAF_DISK : LEAF_MEMFD, roll_pages());
	memory = leaf ? memory_new(read_only) : NULL;
	if (!memory)
		return;
	offset = roll_offset(leaf->length);
	memory_append(memory, leaf, offset, roll_length(leaf->length - offset));
	expect(mr_memory_new_fd(leaf->fd, offset, memory->length, read_only ? MR_MEMORY_READ_ONLY : 0, &memory->handle), 0);
}

/* Of one or two parts of a range. */
static void make_of_ranges(void)
{
	bool read_only = roll_read_only();
	struct leaf *leaf = leaf_new(below(2) ? LEAF_SHARED : LEAF_PRIVATE, roll_pages());
	struct memory *memory = leaf ? memory_new(read_only) : NULL;
	struct mr_range ranges[2];
	size_t count = 1;
	uint64_t offset;

	if (!memory)
		return;
	offset = roll_offset(leaf->length);
	ranges[0] = (struct mr_range){ (uintptr_t)leaf->range + offset, roll_length(leaf->length - offset) };
	memory_append(memory, leaf, offset, ranges[0].length);
	if ((offset + ranges[0].length) % PAGE == 0 && below(2)) {
		ranges[count++] = (struct mr_range){ (uintptr_t)leaf->range, leaf->length };
		memory_append(memory, leaf, 0, leaf->length);
	}
	expect(mr_memory_new_ranges(NULL, ranges, count, read_only ? MR_MEMORY_READ_ONLY : 0, &memory->handle), 0);
}

/* Append [offset, offset + length) of another model. */
static void append_part(struct memory *memory, const struct memory *of, uint64_t offset, uint64_t length)
{
	for (size_t i = 0; i < of->piece_count && length; i++) {
		const struct piece *piece = &of->pieces[i];
		uint64_t part;

		if (offset >= piece->length) {
			offset -= piece->length;
			continue;
		}
		part = piece->length - offset < length ? piece->length - offset : length;
		memory_append(memory, piece->leaf, piece->offset + offset, part);
		offset = 0;
		length -= part;
	}
}

static void make_sub(void)
{
	struct memory *of = memory_pick();
	bool read_only = roll_read_only();
	struct memory *memory = of ? memory_new(read_only || of->read_only) : NULL;
	uint64_t offset, length;

	if (!memory)
		return;
	offset = roll_offset(of->length);
	length = roll_length(of->length - offset);
	append_part(memory, of, offset, length);
	expect(mr_memory_new_sub(of->handle, offset, length, read_only ? MR_MEMORY_READ_ONLY : 0, &memory->handle), 0);
}

static bool begins_at_page(const struct memory *memory)
{
	return memory->pieces[0].offset % PAGE == 0;
}

static bool ends_at_page(const struct memory *memory)
{
	const struct piece *last = &memory->pieces[memory->piece_count - 1];

	return (last->offset + last->length) % PAGE == 0;
}

/* Up to three, the first that is picked first; those that cannot stand beside the others make it -EINVAL. */
static void make_multi(void)
{
	struct memory *parts[3], *memory;
	struct mr_memory *handles[3], *refused = untouched;
	size_t count = 1 + below(3), pieces = 0;
	bool read_only = false, fits = true;

	for (size_t i = 0; i < count; i++) {
		parts[i] = memory_pick();
		if (!parts[i])
			return;
		handles[i] = parts[i]->handle;
		pieces += parts[i]->piece_count;
		read_only |= parts[i]->read_only;
		fits &= (!i || begins_at_page(parts[i])) && (i + 1 == count || ends_at_page(parts[i]));
	}
	if (!fits) {
		expect(mr_memory_new_multi(handles, count, 0, &refused), -EINVAL);
		require(refused == untouched, "a failed call has written its result");
		return;
	}
	memory = pieces <= PIECES ? memory_new(read_only) : NULL;
	if (!memory)
		return;
	for (size_t i = 0; i < count; i++)
		append_part(memory, parts[i], 0, parts[i]->length);
	expect(mr_memory_new_multi(handles, count, 0, &memory->handle), 0);
}

/* -- making badly -- */

static void make_badly(void)
{
	struct mr_range range = { 4096, 0 };
	struct mr_memory *refused = untouched;
	struct memory *of = memory_pick();
	struct leaf *file = find_file();

	expect(mr_memory_new_buffer(0, 0, &refused), -EINVAL);
	expect(mr_memory_new_buffer(PAGE, UINT32_C(0x100), &refused), -EINVAL);
	expect(mr_memory_new_buffer(PAGE, MR_MEMORY_HUGE_2M, &refused), -EINVAL);
	expect(mr_memory_new_buffer(HUGE_PAGE, MR_MEMORY_HUGE_2M | MR_MEMORY_HUGE_1G, &refused), -EINVAL);
	expect(mr_memory_new_buffer(PAGE, 0, NULL), -EINVAL);
	expect(mr_memory_new_fd(-1, 0, PAGE, 0, &refused), -EBADF);
	expect(mr_memory_new_ranges(NULL, &range, 1, 0, &refused), -EINVAL);
	expect(mr_memory_new_ranges(NULL, &range, 0, 0, &refused), -EINVAL);
	range.length = PAGE;
	expect(mr_memory_new_ranges(NULL, &range, 1, 0, &refused), -EFAULT);
	expect(mr_memory_new_multi(NULL, 1, 0, &refused), -EINVAL);
	expect(mr_memory_new_sub(NULL, 0, 1, 0, &refused), -EINVAL);
	if (file) {
		expect(mr_memory_new_fd(file->fd, 0, 0, 0, &refused), -EINVAL);
		expect(mr_memory_new_fd(file->fd, 1, file->length, 0, &refused), -EINVAL);
		expect(mr_memory_new_fd(file->fd, INT64_MAX, 1, 0, &refused), -EOVERFLOW);
		expect(mr_memory_new_fd(file->fd, 0, PAGE, MR_MEMORY_HUGE_2M, &refused), -EINVAL);
	}
	if (of) {
		expect(mr_memory_new_sub(of->handle, 0, 0, 0, &refused), -EINVAL);
		expect(mr_memory_new_sub(of->handle, of->length, 1, 0, &refused), -ERANGE);
		expect(mr_memory_new_sub(of->handle, 1, UINT64_MAX, 0, &refused), -ERANGE);
		expect(mr_memory_new_multi(&of->handle, 0, 0, &refused), -EINVAL);
	}
	require(refused == untouched, "a failed call has written its result");
}

/* -- using -- */

static void read_some(void)
{
	struct memory *memory = memory_pick();
	uint8_t bytes[9000], dummy;
	uint64_t offset, length;

	if (!memory)
		return;
	offset = roll_offset(memory->length);
	length = roll_length(memory->length - offset);
	if (length > sizeof(bytes))
		length = sizeof(bytes);
	expect(mr_memory_read(memory->handle, offset, bytes, length), 0);
	for (uint64_t i = 0; i < length; i++)
		require(bytes[i] == *memory_byte(memory, offset + i), "a memory has %#x instead of %#x", bytes[i],
			*memory_byte(memory, offset + i));
	expect(mr_memory_read(memory->handle, memory->length, &dummy, 1), -ERANGE);
	expect(mr_memory_read(memory->handle, 1, &dummy, UINT64_MAX), -ERANGE);
}

static void write_some(void)
{
	struct memory *memory = memory_pick();
	uint8_t bytes[9000], first = input_byte(&world.input);
	uint64_t offset, length;

	if (!memory)
		return;
	offset = roll_offset(memory->length);
	length = roll_length(memory->length - offset);
	if (length > sizeof(bytes))
		length = sizeof(bytes);
	for (uint64_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(first + i * 3);
	model_say("write %" PRIu64 " bytes at %" PRIu64 " of memory %td\n", length, offset, memory - world.memories);
	expect(mr_memory_write(memory->handle, memory->length, bytes, 1), -ERANGE);
	expect(mr_memory_write(memory->handle, offset, bytes, length), memory->read_only ? -EACCES : 0);
	for (uint64_t i = 0; i < length && !memory->read_only; i++)
		*memory_byte(memory, offset + i) = bytes[i];
}

/* Prepare, ask, complete: nothing of the bytes changes, and the count is kept. */
static void prepare(void)
{
	struct memory *memory = memory_pick();
	uint64_t offset, address, length;

	if (!memory || features()->lock_limit < 64 * HUGE_PAGE)
		return;
	offset = roll_offset(memory->length);
	expect(mr_memory_complete(memory->handle), -EINVAL);
	expect(mr_memory_prepare(memory->handle), 0);
	expect(mr_memory_prepare(memory->handle), 0);
	if (features()->frame_numbers) {
		expect(mr_memory_physical_segment(memory->handle, offset, &address, &length), 0);
		require(address % PAGE == memory_lead(memory, offset), "a physical address lies elsewhere in its page");
		require(length >= 1 && length <= memory->length - offset, "a physical segment goes past the end");
	}
	expect(mr_memory_physical_segment(memory->handle, memory->length, &address, &length), -ERANGE);
	expect(mr_memory_complete(memory->handle), 0);
	expect(mr_memory_complete(memory->handle), 0);
	expect(mr_memory_complete(memory->handle), -EINVAL);
}

static void ref_or_unref(void)
{
	struct memory *memory = memory_pick();

	if (!memory)
		return;
	if (below(3) == 2) {
		require(mr_memory_ref(memory->handle) == memory->handle, "ref returns something else");
		memory->references++;
	} else {
		require(!mr_memory_unref(memory->handle), "unref returns something");
		memory->references--;
	}
}

void act_on_memories(void)
{
	static void (*const actions[])(void) = { make_buffer, make_of_fd, make_of_ranges, make_sub, make_multi,	 make_badly,
						 read_some,   write_some, write_some,	  prepare,  ref_or_unref };

	actions[below(COUNT(actions))]();
}
