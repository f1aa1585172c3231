/* SPDX-License-Identifier: MIT */
/* Memories of a kind, and maps of them. */
#include "kind.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"
#include "suite.h"

static void make(struct backing *backing, const struct kind *kind, uint64_t length, unsigned seed, void *place)
{
	*backing = (struct backing){ .kind = kind, .length = length, .access = kind->access, .fd = -1 };
	assert_int_equal(length % kind_unit(kind), 0);
	kind->make(backing, seed, place);
}

void backing_make(struct backing *backing, const struct kind *kind, uint64_t length, unsigned seed)
{
	assert_false(kind->adopted);
	make(backing, kind, length, seed, NULL);
}

void backing_make_other(struct backing *backing, const struct kind *kind, uint64_t length, unsigned seed)
{
	backing_make(backing, kind->adopted ? kind_find("buffer") : kind, length, seed);
}

void backing_free(struct backing *backing)
{
	backing->memory = mr_memory_unref(backing->memory);
	for (size_t i = 0; i < BACKING_PARTS; i++)
		backing->parts[i] = mr_memory_unref(backing->parts[i]);
	if (backing->fd >= 0)
		close(backing->fd);
	if (backing->range)
		munmap(backing->range, backing->length);
	*backing = (struct backing){ .fd = -1 };
}

static void adopt(struct sample *sample)
{
	assert_ok(mr_map_adopt(NULL, sample->backing.range, sample->length, 0, &sample->map));
	sample->memory = mr_memory_ref(mr_map_memory(sample->map));
}

static void map(struct sample *sample, void *place)
{
	uint32_t options = MR_MAP_UNIQUE | sample->backing.access | (place ? 0 : MR_MAP_ANYWHERE);

	sample->memory = mr_memory_ref(sample->backing.memory);
	assert_ok(mr_map_new(sample->memory, NULL, place, options, 0, 0, &sample->map));
}

/* With @align, the place is looked for as late as possible, so that nothing else can take it. */
static void make_sample(struct sample *sample, const struct kind *kind, unsigned seed, void *place, uint64_t align)
{
	if (kind->adopted && align)
		place = free_place(sample->length, align);
	make(&sample->backing, kind, sample->length, seed, place);
	if (kind->adopted)
		adopt(sample);
	else
		map(sample, align ? free_place(sample->length, align) : place);
	sample->address = mr_map_address(sample->map);
	assert_non_null(sample->address);
	assert_int_equal(mr_map_length(sample->map), sample->length);
}

void sample_make(struct sample *sample, const struct kind *kind, uint64_t length, unsigned seed)
{
	*sample = (struct sample){ .kind = kind, .length = length };
	make_sample(sample, kind, seed, NULL, 0);
}

void sample_make_at(struct sample *sample, const struct kind *kind, uint64_t length, unsigned seed, void *place)
{
	*sample = (struct sample){ .kind = kind, .length = length };
	make_sample(sample, kind, seed, place, 0);
}

void sample_make_aligned(struct sample *sample, const struct kind *kind, uint64_t length, unsigned seed, uint64_t align)
{
	*sample = (struct sample){ .kind = kind, .length = length };
	make_sample(sample, kind, seed, NULL, align);
}

void sample_free(struct sample *sample)
{
	sample->map = mr_map_unref(sample->map);
	sample->memory = mr_memory_unref(sample->memory);
	backing_free(&sample->backing);
}

void sample_restore(struct sample *sample)
{
	assert_ok(mr_map_redirect(sample->map, sample->memory, sample->backing.access, 0));
}
