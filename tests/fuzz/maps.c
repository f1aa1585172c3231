/* SPDX-License-Identifier: MIT */
/* What can be done with maps: make, find and adopt them, redirect and block them, well or badly, store, ask, end them. */
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kind.h"
#include "suite.h"

#define ACCESS (MR_MAP_READ_ONLY | MR_MAP_COPY_ON_WRITE)
#define MODE   (ACCESS | MR_MAP_CACHE_MASK)

static struct mr_map *const untouched = (struct mr_map *)8;

static uint32_t below(uint32_t end)
{
	return input_below(&world.input, end);
}

/* -- making -- */

/* What is asked of mr_map_new. */
struct wish {
	struct memory *memory;
	uint32_t options;
	uint64_t offset;
	uint64_t length; /* as it will be; the call may get 0 for it */
};

/* A copy on write of a range's memory is a copy from the start where the process may not open its file. */
static bool can_be_copied_late(const struct memory *memory)
{
	return !memory_has_range(memory) || features()->frame_numbers;
}

static uint32_t roll_access(const struct memory *memory)
{
	uint32_t access = 0;

	if (below(4) == 3)
		access |= MR_MAP_READ_ONLY;
	if (below(4) == 3 && can_be_copied_late(memory))
		access |= MR_MAP_COPY_ON_WRITE;
	if (below(8) == 7)
		access |= MR_MAP_CACHE_COPYBACK;
	return access;
}

static bool roll_wish(struct wish *wish)
{
	struct memory *memory = memory_pick();

	if (!memory || world.map_count == MAPS || maps_alive() >= MOST_MAPS)
		return false;
	*wish = (struct wish){ .memory = memory, .options = roll_access(memory) };
	wish->offset = below(2) ? 0 : (uint64_t)below(65536) * (below(2) ? PAGE : 512) % memory->length;
	wish->length = memory->length - wish->offset;
	if (below(2))
		wish->length = 1 + (uint64_t)below(65536) * 128 % wish->length;
	if (below(2))
		wish->options |= MR_MAP_UNIQUE;
	if (below(3) == 2)
		wish->options |= MR_MAP_PREFAULT;
	return true;
}

/* Whether the pieces that the map would show can stand side by side. */
static bool can_stand(const struct wish *wish)
{
	uint64_t start = 0, end = wish->offset + wish->length;

	for (size_t i = 0; i < wish->memory->piece_count; i++) {
		const struct piece *piece = &wish->memory->pieces[i];
		uint64_t next = start + piece->length;

		if (start > wish->offset && start < end && piece->offset % PAGE)
			return false;
		if (next > wish->offset && next < end && (piece->offset + piece->length) % PAGE)
			return false;
		start = next;
	}
	return true;
}

/* Whether any of what the map would show is private memory. */
static bool shows_private(const struct memory *memory, uint64_t offset, uint64_t length)
{
	uint64_t start = 0;

	for (size_t i = 0; i < memory->piece_count; i++) {
		const struct piece *piece = &memory->pieces[i];

		if (leaf_is_private(piece->leaf) && start < offset + length && start + piece->length > offset)
			return true;
		start += piece->length;
	}
	return false;
}

/* What mr_map_new returns, apart from -EEXIST and -ENOENT. Two reasons to refuse at a time have no order: such are not asked. */
static bool predict(const struct wish *wish, int *ret_error)
{
	bool denied = wish->memory->read_only && !(wish->options & ACCESS);
	bool private = shows_private(wish->memory, wish->offset, wish->length);
	bool ragged = !can_stand(wish);

	*ret_error = denied ? -EACCES : private ? -EOPNOTSUPP : ragged ? -EINVAL : 0;
	return denied + private + ragged <= 1;
}

/* Whether @map, a live one that is not unique, can serve the wish. */
static bool serves(const struct map *map, const struct wish *wish)
{
	if (!map->alive || !map_is_there(map) || map->options & MR_MAP_UNIQUE || map->memory != wish->memory)
		return false;
	if ((map->options & MODE) != (wish->options & MODE))
		return false;
	return wish->offset >= map->offset && wish->offset + wish->length <= map->offset + map->length;
}

static bool is_exactly(const struct map *map, const struct wish *wish)
{
	return map->offset == wish->offset && map->length == wish->length;
}

static struct map *find_handle(const struct mr_map *handle)
{
	for (size_t i = 0; i < world.map_count; i++)
		if (world.maps[i].alive && world.maps[i].handle == handle)
			return &world.maps[i];
	return NULL;
}

static bool is_served(const struct wish *wish, bool exactly)
{
	for (size_t i = 0; i < world.map_count; i++)
		if (serves(&world.maps[i], wish) && (!exactly || is_exactly(&world.maps[i], wish)))
			return true;
	return false;
}

/* The whole map in which a new one lies. */
static struct map *find_outer(const struct wish *wish, const char *address)
{
	for (size_t i = 0; i < world.map_count; i++) {
		struct map *map = &world.maps[i];

		if (serves(map, wish) && address == map->address + (wish->offset - map->offset))
			return map_whole(map);
	}
	return NULL;
}

/* A map was made for the wish where the library liked. */
static void accept(const struct wish *wish, struct mr_map *handle, bool was_served, bool was_there)
{
	struct map *found = find_handle(handle), *map;

	require(!found || (was_there && serves(found, wish) && is_exactly(found, wish)),
		"a map is returned that does not serve");
	require(found || !was_there || wish->options & MR_MAP_UNIQUE, "a second map of the very same is made");
	if (found) {
		found->references++;
		return;
	}
	map = map_model_new(handle, wish->memory, wish->options, wish->offset, wish->length);
	if (was_served) {
		map->parent = find_outer(wish, map->address);
		require(map->parent, "a map is made beside one that could have served");
		map->parent->inside++;
		return;
	}
	require((uintptr_t)map->address % PAGE == memory_lead(map->memory, map->offset),
		"a map lies elsewhere within its page: at %p, for a lead of %" PRIu64, (void *)map->address,
		memory_lead(map->memory, map->offset));
	map_show(map);
}

static void say(const struct wish *wish, const char *what, ptrdiff_t number)
{
	model_say("%s %td: %" PRIu64 " bytes from %" PRIu64 " of memory %td (", what, number, wish->length, wish->offset,
		  wish->memory - world.memories);
	for (size_t i = 0; i < wish->memory->piece_count; i++) {
		const struct piece *piece = &wish->memory->pieces[i];

		model_say("%sleaf %td of kind %d: %" PRIu64 " from %" PRIu64, i ? ", " : "", piece->leaf - world.leaves,
			  piece->leaf->kind, piece->length, piece->offset);
	}
	model_say(") with %#" PRIx32 "\n", wish->options);
}

static void expect_new(const struct wish *wish, void *address, int error, struct mr_map **ret_map)
{
	uint64_t length = wish->offset + wish->length == wish->memory->length ? 0 : wish->length;

	say(wish, "make map", (ptrdiff_t)world.map_count);
	expect(mr_map_new(wish->memory->handle, NULL, address, wish->options, wish->offset, length, ret_map), error);
}

static void make_anywhere(void)
{
	struct mr_map *handle = untouched;
	bool served, there;
	struct wish wish;
	int error;

	if (!roll_wish(&wish) || !predict(&wish, &error))
		return;
	wish.options |= MR_MAP_ANYWHERE;
	served = !(wish.options & MR_MAP_UNIQUE) && is_served(&wish, false);
	there = served && is_served(&wish, true);
	if (below(6) == 5 && !(wish.options & MR_MAP_UNIQUE) && !error) {
		wish.options |= MR_MAP_REFERENCE;
		error = served ? 0 : -ENOENT;
	}
	expect_new(&wish, NULL, error, &handle);
	require(!error || handle == untouched, "a failed call has written its result");
	if (!error)
		accept(&wish, handle, served, there);
}

/* At an address that is free, or taken by a range of nobody's, or by another map. */
static void make_at(void)
{
	uint64_t lead, span;
	struct mr_map *handle = untouched;
	struct wish wish;
	char *place;
	int error;

	if (!roll_wish(&wish) || !predict(&wish, &error) || error)
		return;
	wish.options |= MR_MAP_UNIQUE;
	lead = memory_lead(wish.memory, wish.offset);
	span = (lead + wish.length + PAGE - 1) / PAGE * PAGE;
	place = free_place(span, PAGE);
	expect_new(&wish, place + (lead + 8) % PAGE, -EINVAL, &handle);
	if (below(2)) {
		require(mmap(place, span, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == place,
			"no room");
		expect_new(&wish, place + lead, -EEXIST, &handle);
		wish.options |= MR_MAP_OVERWRITE;
	}
	require(handle == untouched, "a failed call has written its result");
	expect_new(&wish, place + lead, 0, &handle);
	require(mr_map_address(handle) == place + lead, "the map is elsewhere");
	map_show(map_model_new(handle, wish.memory, wish.options, wish.offset, wish.length));
	expect_new(&wish, place + lead, -EEXIST, &handle);
}

static void make_badly(void)
{
	struct mr_map *handle = untouched;
	struct memory *memory = memory_pick();
	struct mr_memory *of = memory ? memory->handle : NULL;
	char *nowhere = (char *)(16 * PAGE);

	expect(mr_map_new(NULL, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &handle), -EINVAL);
	expect(mr_map_adopt(NULL, nowhere, 0, 0, &handle), -EINVAL);
	expect(mr_map_adopt(NULL, nowhere, PAGE, MR_MAP_READ_ONLY, &handle), -EINVAL);
	expect(mr_map_adopt(NULL, nowhere, PAGE, 0, &handle), -EFAULT);
	expect(mr_map_adopt(NULL, nowhere, UINT64_MAX, 0, &handle), -EINVAL);
	if (memory) {
		expect(mr_map_new(of, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, NULL), -EINVAL);
		expect(mr_map_new(of, NULL, NULL, 0, 0, 0, &handle), -EINVAL);
		expect(mr_map_new(of, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_OVERWRITE, 0, 0, &handle), -EINVAL);
		expect(mr_map_new(of, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_STATIC, 0, 0, &handle), -EINVAL);
		expect(mr_map_new(of, NULL, NULL, MR_MAP_ANYWHERE, memory->length, 0, &handle), -ERANGE);
		expect(mr_map_new(of, NULL, NULL, MR_MAP_ANYWHERE, 0, memory->length + 1, &handle), -ERANGE);
		expect(mr_map_new(of, NULL, NULL, MR_MAP_ANYWHERE, 1, UINT64_MAX, &handle), -ERANGE);
		expect(mr_map_new(of, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_CACHE_INHIBIT, 0, 0, &handle), -EOPNOTSUPP);
	}
	require(handle == untouched, "a failed call has written its result");
}

/* A new range, or most of it. Its memory is the map's. */
static void adopt(void)
{
	uint64_t pages = (1 + below(8)) * world.unit;
	struct mr_map *handle = untouched;
	struct memory *memory;
	uint64_t from, length;
	struct leaf *leaf;
	struct map *map;

	if (world.map_count == MAPS || maps_alive() >= MOST_MAPS)
		return;
	leaf = leaf_new(below(2) ? LEAF_PRIVATE : LEAF_SHARED, pages);
	memory = leaf ? memory_new(false) : NULL;
	if (!memory)
		return;
	from = below(4) == 3 ? below(4096) : 0;
	length = leaf->length - from - (below(4) == 3 ? below(4096) % (PAGE - from) : 0);
	expect(mr_map_adopt(NULL, leaf->range + from, length, 0, &handle), 0);
	memory_append(memory, leaf, from, length);
	memory->handle = mr_memory_ref(mr_map_memory(handle));
	memory->adopted = true;
	memory->lead = from;
	map = map_model_new(handle, memory, MR_MAP_UNIQUE | MR_MAP_STATIC, 0, length);
	memory->span = map->pages;
	handle = untouched;
	expect(mr_map_adopt(NULL, leaf->range + leaf->length - 1, 1, 0, &handle), -EEXIST);
}

/* -- redirecting -- */

static void redirect_badly(struct map *map)
{
	struct memory *memory = memory_pick();
	uint64_t room;

	expect(mr_map_redirect(NULL, NULL, 0, 0), -EINVAL);
	if (!(map->options & MR_MAP_UNIQUE)) {
		expect(mr_map_redirect(map->handle, NULL, 0, 0), -EPERM);
		return;
	}
	if (!map->mapped) {
		expect(mr_map_redirect(map->handle, NULL, 0, 0), -ENXIO);
		return;
	}
	expect(mr_map_redirect(map->handle, NULL, 0, PAGE), -EINVAL);
	expect(mr_map_redirect(map->handle, NULL, MR_MAP_READ_ONLY, 0), -EINVAL);
	if (!memory)
		return;
	room = memory->length >= map->length ? memory->length - map->length : 0;
	expect(mr_map_redirect(map->handle, memory->handle, MR_MAP_UNIQUE, 0), -EINVAL);
	expect(mr_map_redirect(map->handle, memory->handle, MR_MAP_CACHE_INHIBIT, 0), -EOPNOTSUPP);
	expect(mr_map_redirect(map->handle, memory->handle, ACCESS, room + 1), -ERANGE);
	expect(mr_map_redirect(map->handle, memory->handle, ACCESS, UINT64_MAX), -ERANGE);
}

/* Whether what the map shows at the page's beginning could be shown from there. */
static bool has_same_place(const struct map *map, const struct memory *memory, uint64_t offset)
{
	return memory_lead(memory, offset) == (uintptr_t)map->address % PAGE;
}

/* The adopted mappings that nobody shows now, and that fit the map. */
static bool is_parked_for(const struct map *map, const struct memory *memory)
{
	return memory->adopted && memory->away && memory_is_private(memory) && memory->span == map->pages &&
	       memory->lead == (uintptr_t)map->address % PAGE;
}

static bool is_same(const struct map *map, const struct wish *wish)
{
	return map->memory == wish->memory && map->offset == wish->offset && (map->options & MODE) == (wish->options & MODE);
}

/* The map shows something else, or in another way: what was written to it alone is dropped. */
static void change(struct map *map, const struct wish *wish)
{
	bool only_access = map->memory == wish->memory && wish->memory->adopted && map->offset == wish->offset;

	if (!only_access) {
		if (map->memory->adopted)
			map->memory->away = true;
		if (is_parked_for(map, wish->memory))
			wish->memory->away = false;
	}
	map->memory = wish->memory;
	map->offset = wish->offset;
	map->options = (map->options & ~MODE) | (wish->options & MODE);
	map_show(map);
}

/* What mr_map_redirect returns; false: several reasons to refuse, or an adopted range that another map could take, which is not tried. */
static bool predict_redirect(const struct map *map, const struct wish *wish, int *ret_error)
{
	const struct memory *memory = wish->memory;
	bool own = map->memory == memory && map->offset == wish->offset && memory->adopted;
	bool parked = is_parked_for(map, memory) && !wish->offset;
	bool movable = (own || parked) && !(wish->options & MR_MAP_COPY_ON_WRITE);
	bool private = shows_private(memory, wish->offset, wish->length) && !movable;
	bool denied = memory->read_only && !(wish->options & ACCESS);
	bool elsewhere = !has_same_place(map, memory, wish->offset);
	bool ragged = !can_stand(wish);

	*ret_error = elsewhere || ragged ? -EINVAL : denied ? -EACCES : private ? -EOPNOTSUPP : 0;
	if (parked && !(map->options & MR_MAP_STATIC))
		return false;
	return elsewhere + ragged + denied + private <= 1;
}

/* Something to redirect the map to; false: there is nothing. */
static bool roll_redirect(const struct map *map, struct wish *wish)
{
	*wish = (struct wish){ .memory = memory_pick(), .length = map->length };
	if (!(map->options & MR_MAP_UNIQUE) || !map->mapped || !wish->memory || wish->memory->length < map->length)
		return false;
	wish->options = roll_access(wish->memory);
	wish->offset = (uint64_t)below(9) * world.unit * PAGE;
	if (below(4) == 3)
		wish->offset += (uintptr_t)map->address % PAGE;
	if (wish->offset > wish->memory->length - map->length)
		wish->offset = below(2) ? 0 : wish->memory->length - map->length;
	return true;
}

static void redirect(struct map *map)
{
	uint32_t prefault = below(3) == 2 ? MR_MAP_PREFAULT : 0;
	struct wish wish;
	int error;

	if (!roll_redirect(map, &wish) || !predict_redirect(map, &wish, &error))
		return;
	say(&wish, "redirect map", map - world.maps);
	expect(mr_map_redirect(map->handle, wish.memory->handle, wish.options | prefault, wish.offset), error);
	if (error)
		return;
	map->blocked = false;
	if (!is_same(map, &wish))
		change(map, &wish);
}

/* -- copying -- */

static uint8_t *bytes_of(struct map *map)
{
	uint8_t *bytes = malloc(map->length);

	require(bytes, "no memory");
	for (uint64_t at = 0, run; at < map->length; at += run) {
		run = map_run(map, at);
		memcpy(bytes + at, map_byte(map, at), run);
	}
	return bytes;
}

/* Whether two parts of memories, of one length, have a byte in common; @same: besides that they are one part. */
static bool meet(const struct memory *left, uint64_t left_offset, const struct memory *right, uint64_t right_offset,
		 uint64_t length, bool same)
{
	for (uint64_t i = 0, run; i < length; i += run) {
		const uint8_t *byte = memory_byte(left, left_offset + i);

		run = memory_run(left, left_offset + i);
		run = run < length - i ? run : length - i;
		for (uint64_t j = 0, other; j < length; j += other) {
			const uint8_t *there = memory_byte(right, right_offset + j);

			other = memory_run(right, right_offset + j);
			other = other < length - j ? other : length - j;
			if (byte < there + other && there < byte + run && !(same && i == j))
				return true;
		}
	}
	return false;
}

/* Private pages of a file on a disk can be neither guarded nor blocked, and a map that is not unique may have such. */
static bool is_immovable(struct map *map)
{
	const struct map *whole = map_whole(map);
	uint64_t start = 0;

	if (whole->options & (MR_MAP_UNIQUE | MR_MAP_READ_ONLY) || !(whole->options & MR_MAP_COPY_ON_WRITE))
		return false;
	for (size_t i = 0; i < whole->memory->piece_count; i++) {
		const struct piece *piece = &whole->memory->pieces[i];

		if (piece->leaf->kind == LEAF_DISK && start < whole->offset + whole->length &&
		    start + piece->length > whole->offset)
			return true;
		start += piece->length;
	}
	return false;
}

/* A new memory, with what the map shows. */
static void snapshot(struct map *map)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .flags = below(4) == 3 ? MR_COPY_STOP : 0 };
	struct mr_memory *copy = (struct mr_memory *)untouched;
	struct memory *memory;
	struct leaf *leaf;
	uint8_t *bytes;

	if (!map_is_there(map)) {
		expect(mr_map_snapshot(map->handle, &opts, &copy, NULL), -ENXIO);
		return;
	}
	if (map->memory->references && !map->memory->read_only &&
	    meet(map->memory, map->offset, map->memory, 0, map->length, false)) {
		opts.into = map->memory->handle;
		expect(mr_map_snapshot(map->handle, &opts, &copy, NULL), -EINVAL);
	}
	opts.into = NULL;
	if (is_immovable(map)) {
		expect(mr_map_snapshot(map->handle, &opts, &copy, NULL), -EOPNOTSUPP);
		return;
	}
	leaf = leaf_new(LEAF_BUFFER, map->pages + 1);
	memory = leaf ? memory_new(false) : NULL;
	if (!memory)
		return;
	model_say("snapshot of map %td\n", map - world.maps);
	expect(mr_map_snapshot(map->handle, &opts, &copy, NULL), 0);
	bytes = bytes_of(map);
	memcpy(leaf->bytes, bytes, map->length);
	free(bytes);
	memory_append(memory, leaf, 0, map->length);
	memory->handle = copy;
}

/* Whether the wish is one that a move grants. What a move alone refuses has tests of its own. */
static bool can_be_moved_to(const struct map *map, const struct wish *wish)
{
	const struct memory *memory = wish->memory;

	if (memory->read_only || (wish->options & ACCESS) == ACCESS || (wish->options & ACCESS && memory_is_private(memory)))
		return false;
	if (memory == map->memory && wish->offset == map->offset)
		return false;
	return !meet(map->memory, map->offset, memory, wish->offset, map->length, false) &&
	       !meet(memory, wish->offset, memory, wish->offset, map->length, true);
}

static void move(struct map *map)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .flags = below(4) == 3 ? MR_COPY_STOP : 0 };
	struct wish wish;
	uint8_t *bytes;
	int error;

	if (!roll_redirect(map, &wish) || !predict_redirect(map, &wish, &error) || error || !can_be_moved_to(map, &wish))
		return;
	say(&wish, "move map", map - world.maps);
	bytes = bytes_of(map);
	expect(mr_map_move(map->handle, wish.memory->handle, wish.offset, wish.options, &opts, NULL), 0);
	for (uint64_t i = 0; i < map->length; i++)
		*memory_byte(wish.memory, wish.offset + i) = bytes[i];
	free(bytes);
	map->blocked = false;
	change(map, &wish);
}

static void block(struct map *map)
{
	if (!(map->options & MR_MAP_UNIQUE) || !map->mapped || !features()->blocking)
		return;
	model_say("block map %td\n", map - world.maps);
	expect(mr_map_redirect(map->handle, NULL, 0, 0), 0);
	map->blocked = true;
}

/* To what it showed before, in the way that it showed it. */
static void restore(struct map *map)
{
	if (!map->blocked || !map->memory->references)
		return;
	model_say("restore map %td\n", map - world.maps);
	expect(mr_map_redirect(map->handle, map->memory->handle, map->options & MODE, map->offset), 0);
	map->blocked = false;
}

/* -- using -- */

static bool can_store(const struct map *map)
{
	return map_is_there(map) && !map->blocked && !(map->options & MR_MAP_READ_ONLY);
}

static void store(struct map *map)
{
	uint64_t at = (uint64_t)below(65536) * 97 % map->length, count = 1 + below(20);
	uint8_t value = input_byte(&world.input);

	if (!can_store(map))
		return;
	model_say("store %" PRIu64 " bytes at %" PRIu64 " of map %td\n", count, at, map - world.maps);
	for (uint64_t i = at; i < map->length && i < at + count; i++) {
		((volatile uint8_t *)map->address)[i] = value;
		map_store(map, i, value);
	}
}

static void ask(struct map *map)
{
	uint64_t offset = (uint64_t)below(65536) * 61 % map->length, address, length;
	int result = mr_map_physical_segment(map->handle, offset, &address, &length);

	if (!map_is_there(map))
		require(result == -ENXIO, "an unmapped map was asked, and returned %d: %s", result, mr_error());
	else if (result)
		require(result == -ENODATA || (result == -EPERM && !features()->frame_numbers),
			"physical_segment returned %d: %s", result, mr_error());
	else
		require(length >= 1 && length <= map->length - offset, "a segment goes past the end of the map");
	expect(mr_map_physical_segment(map->handle, map->length, &address, &length), -ERANGE);
	expect(mr_map_physical_address(map->handle, NULL), -EINVAL);
}

static void check_thoroughly(struct map *map)
{
	check_map(map, true);
}

/* -- ending -- */

static void lose(struct map *map)
{
	map->mapped = false;
	map->blocked = false;
}

static void unmap(struct map *map)
{
	if (!map_is_there(map)) {
		expect(mr_map_unmap(map->handle), -ENXIO);
		return;
	}
	model_say("unmap map %td\n", map - world.maps);
	expect(mr_map_unmap(map->handle), 0);
	lose(map);
}

/* The last reference is gone: of the callers, or of the last map inside. */
static void end(struct map *map)
{
	if (map->references || map->inside)
		return;
	map->alive = false;
	lose(map);
	map_drop_pages(map);
	if (map->parent) {
		map->parent->inside--;
		end(map->parent);
	}
}

static void unref(struct map *map)
{
	model_say("unref map %td\n", map - world.maps);
	require(!mr_map_unref(map->handle), "unref returns something");
	map->references--;
	end(map);
}

static void ref_or_unref(struct map *map)
{
	if (below(3) < 2) {
		unref(map);
		return;
	}
	require(mr_map_ref(map->handle) == map->handle, "ref returns something else");
	map->references++;
}

void act_on_maps(void)
{
	static void (*const makers[])(void) = { make_anywhere, make_anywhere, make_anywhere, make_at, adopt, make_badly };
	static void (*const actions[])(struct map *
				       map) = { redirect, redirect, redirect,	  block,	  restore,
						snapshot, move,	    store,	  store,	  store,
						ask,	  unmap,    ref_or_unref, redirect_badly, check_thoroughly };
	struct map *map;

	if (below(4) == 3 || !maps_alive()) {
		makers[below(COUNT(makers))]();
		return;
	}
	map = map_pick();
	actions[below(COUNT(actions))](map);
}

/* The other way round, or in the order in which they were made. */
static size_t number_at(size_t i, size_t count, bool backwards)
{
	return backwards ? count - 1 - i : i;
}

static void let_go_of_maps(bool backwards)
{
	for (size_t i = 0; i < world.map_count; i++)
		for (struct map *map = &world.maps[number_at(i, world.map_count, backwards)]; map->references;)
			unref(map);
}

static void let_go_of_memories(bool backwards)
{
	for (size_t i = 0; i < world.memory_count; i++)
		for (struct memory *memory = &world.memories[number_at(i, world.memory_count, backwards)]; memory->references;
		     memory->references--)
			mr_memory_unref(memory->handle);
}

void let_go_of_all(void)
{
	uint32_t order = below(8);

	if (order & 1)
		let_go_of_memories(order & 2);
	let_go_of_maps(order & 4);
	let_go_of_memories(order & 2);
}
