/* SPDX-License-Identifier: MIT */
/* Memories: how they are made of others, and how their bytes are copied. */
#include "memory.h"

#include <errno.h>
#include <inttypes.h>

#include "channel.h"
#include "error.h"
#include "pager/pager.h"
#include "physical.h"
#include "process.h"
#include "registry.h"
#include "space/space.h"
#include "sys/sys.h"
#include "task.h"
#include "view.h"

#define ALL_OPTIONS (MR_MEMORY_READ_ONLY | MR_MEMORY_HUGE_2M | MR_MEMORY_HUGE_1G)

/* The largest offset that a file can have. */
#define LAST_OFFSET ((uint64_t)INT64_MAX)

int memory_check(const struct mr_memory *memory)
{
	if (!memory)
		return fail(-EINVAL, "the memory is NULL; it must be one that mr_memory_new_… made");
	return process_owns(memory->generation, "memory");
}

int memory_range_check(const struct mr_memory *memory, uint64_t offset, uint64_t length)
{
	if (offset <= memory->length && length <= memory->length - offset)
		return 0;
	return fail(-ERANGE,
		    "offset %" PRIu64 " + length %" PRIu64 " is past the end of the memory, which has %" PRIu64 " bytes",
		    offset, length, memory->length);
}

const struct piece *memory_piece(const struct mr_memory *memory, uint64_t offset)
{
	size_t low = 0, high = memory->piece_count - 1;

	while (low < high) {
		size_t middle = low + (high - low + 1) / 2;

		if (memory->pieces[middle].start <= offset)
			low = middle;
		else
			high = middle - 1;
	}
	return &memory->pieces[low];
}

uint64_t memory_place(const struct mr_memory *memory, uint64_t offset)
{
	const struct piece *piece = memory_piece(memory, offset);

	return piece->source_offset + (offset - piece->start);
}

static int check_new(uint32_t options, uint32_t allowed, struct mr_memory **ret_memory)
{
	if (options & ~allowed)
		return fail(-EINVAL, "options %#" PRIx32 " have bits that are unknown here; allowed are %#" PRIx32, options,
			    allowed);
	if (!ret_memory)
		return fail(-EINVAL, "ret_memory is NULL; it must point to where the memory is to be put");
	return 0;
}

/* Free what a memory has, half built or whole. */
static void destroy(struct mr_memory *memory)
{
	physical_unpin(memory);
	if (memory->away)
		space_of(memory->parked->host)->discard(memory->parked);
	sys_free(memory->parked);
	pthread_mutex_destroy(&memory->pinning);
	for (size_t i = 0; i < memory->source_count; i++)
		source_close(&memory->sources[i]);
	for (size_t i = 0; i < memory->part_count; i++)
		mr_memory_unref(memory->parts[i]);
	sys_free(memory->sources);
	sys_free(memory->parts);
	sys_free(memory->pieces);
	sys_free(memory);
}

/* A memory with room for so many pieces, sources and parts; the parts are counted as they are filled in. */
static struct mr_memory *allocate(size_t pieces, size_t sources, size_t parts)
{
	struct mr_memory *memory = sys_allocate(1, sizeof(*memory));

	if (!memory)
		return NULL;
	pthread_mutex_init(&memory->pinning, NULL);
	memory->pieces = sys_allocate(pieces, sizeof(*memory->pieces));
	memory->sources = sources ? sys_allocate(sources, sizeof(*memory->sources)) : NULL;
	memory->parts = parts ? sys_allocate(parts, sizeof(struct mr_memory *)) : NULL;
	if (!memory->pieces || (sources && !memory->sources) || (parts && !memory->parts)) {
		destroy(memory);
		return NULL;
	}
	memory->references = 1;
	memory->generation = process_generation();
	return memory;
}

static int no_memory(void)
{
	return fail(-ENOMEM, "there is no memory for the object");
}

static void append_piece(struct mr_memory *memory, struct source *source, uint64_t source_offset, uint64_t length)
{
	memory->pieces[memory->piece_count++] = (struct piece){ source, source_offset, memory->length, length };
	memory->length += length;
}

static int new_leaf(uint32_t options, struct mr_memory **ret_memory)
{
	*ret_memory = allocate(1, 1, 0);
	if (!*ret_memory)
		return no_memory();
	(*ret_memory)->source_count = 1;
	(*ret_memory)->options = options;
	return 0;
}

static uint64_t huge_page(uint32_t options)
{
	if (options & MR_MEMORY_HUGE_2M)
		return UINT64_C(1) << 21;
	return options & MR_MEMORY_HUGE_1G ? UINT64_C(1) << 30 : 0;
}

static int check_buffer(uint64_t length, uint32_t options)
{
	uint64_t huge = huge_page(options);

	if (!length)
		return fail(-EINVAL, "length is 0; a buffer has at least one byte");
	if (options & MR_MEMORY_HUGE_2M && options & MR_MEMORY_HUGE_1G)
		return fail(-EINVAL, "options %#" PRIx32 " ask for huge pages of both 2 MiB and 1 GiB; ask for one", options);
	if (huge && length % huge)
		return fail(-EINVAL, "length %" PRIu64 " is no multiple of the huge page, %" PRIu64 " bytes", length, huge);
	if (length > LAST_OFFSET - sys_page_size())
		return fail(-ENOMEM, "length %" PRIu64 " is more than a file in memory can have", length);
	return 0;
}

/* Huge pages stay reserved for a file once it has been mapped shared, also when the mapping has gone. */
static int reserve_huge(int fd, uint64_t length)
{
	uintptr_t address;
	int error = sys_mmap(0, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0, &address);

	if (!error)
		sys_munmap(address, length);
	return error;
}

static int make_buffer(uint64_t length, uint32_t options, int *ret_fd)
{
	uint64_t page = huge_page(options) ? huge_page(options) : sys_page_size();
	unsigned huge = options & MR_MEMORY_HUGE_2M ? MFD_HUGETLB | MFD_HUGE_2MB : 0;
	int error, fd;

	huge |= options & MR_MEMORY_HUGE_1G ? MFD_HUGETLB | MFD_HUGE_1GB : 0;
	fd = sys_memfd("memredirect", huge);
	if (fd < 0 && huge && fd != -EMFILE && fd != -ENFILE)
		return fail(-ENOMEM, "this system has no huge pages of %" PRIu64 " bytes", page);
	if (fd < 0)
		return fail_system(fd, "a memfd cannot be made");
	error = sys_truncate(fd, (length + page - 1) / page * page);
	if (!error && huge)
		error = reserve_huge(fd, length);
	if (!error) {
		*ret_fd = fd;
		return 0;
	}
	sys_close(fd);
	if (huge)
		return fail(-ENOMEM,
			    "there are not enough free huge pages of %" PRIu64 " bytes for %" PRIu64 "; see vm.nr_hugepages",
			    page, length);
	return fail_system(error == -EFBIG || error == -EINVAL ? -ENOMEM : error, "a memfd cannot have %" PRIu64 " bytes",
			   length);
}

int memory_new_buffer(uint64_t length, uint32_t options, struct mr_memory **ret_memory)
{
	struct mr_memory *memory;
	int fd = -1, error = new_leaf(options, &memory);

	if (error)
		return error;
	error = make_buffer(length, options, &fd);
	if (!error)
		error = source_take_file(memory->sources, fd);
	if (error) {
		destroy(memory);
		return error;
	}
	memory->sources->steady = true;
	append_piece(memory, memory->sources, 0, length);
	*ret_memory = memory;
	return 0;
}

int mr_memory_new_buffer(uint64_t length, uint32_t options, struct mr_memory **ret_memory)
{
	int error;

	error_call(__func__);
	error = check_new(options, ALL_OPTIONS, ret_memory);
	if (!error)
		error = check_buffer(length, options);
	return error ? error : memory_new_buffer(length, options, ret_memory);
}

/* Only a regular file has an end that is known. */
static int check_end(int fd, uint64_t offset, uint64_t length)
{
	struct stat status;
	int error = sys_stat(fd, &status);

	if (error)
		return fail_system(error, "fd %d has no size that could be had", fd);
	if (!S_ISREG(status.st_mode) || offset + length <= (uint64_t)status.st_size)
		return 0;
	return fail(-EINVAL, "offset %" PRIu64 " + length %" PRIu64 " is past the end of the file, which has %" PRIu64 " bytes",
		    offset, length, (uint64_t)status.st_size);
}

int mr_memory_new_fd(int fd, uint64_t offset, uint64_t length, uint32_t options, struct mr_memory **ret_memory)
{
	struct mr_memory *memory;
	int error;

	error_call(__func__);
	error = check_new(options, MR_MEMORY_READ_ONLY, ret_memory);
	if (!error && !length)
		error = fail(-EINVAL, "length is 0; a memory has at least one byte");
	if (!error && sys_open_flags(fd) < 0)
		error = fail(-EBADF, "fd %d is not an open descriptor", fd);
	if (!error && (offset > LAST_OFFSET || length > LAST_OFFSET - offset))
		error = fail(-EOVERFLOW, "offset %" PRIu64 " + length %" PRIu64 " is more than a file can have", offset,
			     length);
	if (!error)
		error = new_leaf(options, &memory);
	if (error)
		return error;
	error = source_open_file(memory->sources, fd, offset, !(options & MR_MEMORY_READ_ONLY));
	if (!error)
		error = check_end(memory->sources->fd, offset, length);
	if (error) {
		destroy(memory);
		return error;
	}
	append_piece(memory, memory->sources, offset, length);
	*ret_memory = memory;
	return 0;
}

/* Without `write` nothing can be written. */
int mr_memory_new_pager(const struct mr_pager *pager, uint64_t length, uint64_t cache, uint32_t options,
			struct mr_memory **ret_memory)
{
	struct mr_memory *memory;
	struct pager *made;
	int error;

	error_call(__func__);
	error = check_new(options, MR_MEMORY_READ_ONLY, ret_memory);
	if (!error)
		error = pager_check(pager, length);
	if (!error)
		error = new_leaf(pager->write ? options : options | MR_MEMORY_READ_ONLY, &memory);
	if (error)
		return error;
	error = pager_new(pager, length, cache, &made);
	if (error) {
		destroy(memory);
		return error;
	}
	source_take_pager(memory->sources, made); /* from here on nothing fails: the end of a pager releases it */
	append_piece(memory, memory->sources, 0, length);
	*ret_memory = memory;
	return 0;
}

static int sync_piece(const struct piece *piece)
{
	struct source *source = piece->source;
	int error;

	if (source->pager)
		return pager_sync(source->pager, piece->source_offset, piece->length);
	if (source->kind != SOURCE_FILE || source->file_kind != FILE_REGULAR)
		return 0;
	error = sys_sync_data(source->fd);
	return error ? fail_system(error, "the file of %" PRIu64 " bytes at offset %" PRIu64 " cannot be synced", piece->length,
				   piece->start)
		     : 0;
}

int mr_memory_sync(struct mr_memory *memory)
{
	int error;

	error_call(__func__);
	error = memory_check(memory);
	if (error)
		return error;
	for (size_t i = 0; i < memory->piece_count; i++) {
		int failed = sync_piece(&memory->pieces[i]);

		error = error ? error : failed;
	}
	return error;
}

/* Gathering regions: how many, then what. */
struct gathering {
	struct mr_memory *memory;
	struct mr_task *task; /* NULL: this process */
	size_t count;
	uint64_t lead; /* bytes of the first page that are not asked for */
	uint64_t left; /* bytes that are asked for */
	bool read_only;
	bool any_access; /* adopting: take what is mapped as it is */
};

static int count_region(void *argument, const struct region *region)
{
	struct gathering *gathering = argument;

	(void)region;
	gathering->count++;
	return 0;
}

static int check_access(const struct gathering *gathering, const struct region *region)
{
	if (gathering->any_access)
		return 0;
	if (!(region->protection & PROT_READ))
		return fail(-EACCES, "what is mapped at %#" PRIxPTR " cannot be read", region->start);
	if (!gathering->read_only && !(region->protection & PROT_WRITE))
		return fail(-EACCES, "what is mapped at %#" PRIxPTR " cannot be written; ask for MR_MEMORY_READ_ONLY",
			    region->start);
	return 0;
}

static int take_region(void *argument, const struct region *region)
{
	struct gathering *gathering = argument;
	struct mr_memory *memory = gathering->memory;
	uint64_t offset, length = region->end - region->start - gathering->lead;
	struct source *source;
	int error = check_access(gathering, region);

	if (error)
		return error;
	if (memory->source_count == gathering->count)
		return fail(-EAGAIN, "the mappings at %#" PRIxPTR " were changed meanwhile", region->start);
	source = &memory->sources[memory->source_count];
	error = source_open_region(source, gathering->task, region, region->protection & PROT_WRITE, &offset);
	if (error)
		return error;
	memory->source_count++;
	if (length > gathering->left)
		length = gathering->left;
	append_piece(memory, source, offset + gathering->lead, length);
	gathering->left -= length;
	gathering->lead = 0;
	return 0;
}

static int walk_range(struct gathering *gathering, const struct mr_range *range, int (*each)(void *, const struct region *))
{
	uint64_t page = sys_page_size();

	gathering->lead = range->address % page;
	gathering->left = range->length;
	return regions_each(gathering->task, range->address - gathering->lead,
			    (range->address + range->length + page - 1) / page * page, each, gathering);
}

static int gather(struct gathering *gathering, const struct mr_range *ranges, size_t count)
{
	int error = 0;

	for (size_t i = 0; !error && i < count; i++)
		error = walk_range(gathering, &ranges[i], count_region);
	if (error)
		return error;
	gathering->memory = allocate(gathering->count, gathering->count, 0);
	if (!gathering->memory)
		return no_memory();
	for (size_t i = 0; !error && i < count; i++)
		error = walk_range(gathering, &ranges[i], take_region);
	if (error)
		destroy(gathering->memory);
	return error;
}

/* A blocked map has a cover where its memory was. */
static int check_open(const struct mr_range *range)
{
	bool blocked;

	registry_lock();
	blocked = mr_map_is_blocked(registry_find(NULL, range->address, range->address + range->length));
	registry_unlock();
	return blocked ? fail(-EBUSY, "the range at %#" PRIx64 " lies in a map that is blocked", range->address) : 0;
}

static int check_range(const struct mr_task *task, const struct mr_range *range, uint64_t *total)
{
	uint64_t most = UINT64_MAX - sys_page_size(); /* so that the end can be rounded up */

	if (!range->length)
		return fail(-EINVAL, "the range at %#" PRIx64 " has length 0; every range has at least one byte",
			    range->address);
	if (range->address > most || range->length > most - range->address)
		return fail(-EFAULT, "the range at %#" PRIx64 " of %" PRIu64 " bytes wraps around", range->address,
			    range->length);
	if (range->length > LAST_OFFSET - *total)
		return fail(-EOVERFLOW, "the ranges have more than %" PRIu64 " bytes together", LAST_OFFSET);
	*total += range->length;
	return task ? 0 : check_open(range);
}

int mr_memory_new_ranges(struct mr_task *task, const struct mr_range *ranges, size_t count, uint32_t options,
			 struct mr_memory **ret_memory)
{
	struct gathering gathering = { .read_only = options & MR_MEMORY_READ_ONLY };
	uint64_t total = 0;
	int error;

	error_call(__func__);
	error = check_new(options, MR_MEMORY_READ_ONLY, ret_memory);
	if (!error)
		error = task_check(task);
	gathering.task = task_is_own(task) ? NULL : task;
	if (!error && (!ranges || !count))
		error = fail(-EINVAL, "there are %zu ranges at %p; there must be one at least", count, (const void *)ranges);
	for (size_t i = 0; !error && i < count; i++)
		error = check_range(gathering.task, &ranges[i], &total);
	if (!error)
		error = gather(&gathering, ranges, count);
	if (error)
		return error;
	gathering.memory->options = options;
	*ret_memory = gathering.memory;
	return 0;
}

static int check_physical(const struct mr_range *ranges, size_t count)
{
	uint64_t page = sys_page_size(), total = 0;

	if (!ranges || !count)
		return fail(-EINVAL, "there are %zu ranges at %p; there must be one at least", count, (const void *)ranges);
	for (size_t i = 0; i < count; i++) {
		if (!ranges[i].length || ranges[i].length % page || ranges[i].address % page)
			return fail(-EINVAL,
				    "the physical range of %" PRIu64 " bytes at %#" PRIx64 " is not whole pages of %" PRIu64
				    " bytes",
				    ranges[i].length, ranges[i].address, page);
		if (ranges[i].length > LAST_OFFSET - total || ranges[i].address > UINT64_MAX - ranges[i].length)
			return fail(-EOVERFLOW, "the ranges have more than %" PRIu64 " bytes together, or wrap around",
				    LAST_OFFSET);
		total += ranges[i].length;
	}
	return 0;
}

/* Each source has a descriptor of its own, so that they are closed as all sources are. */
static int open_physical(struct mr_memory *memory, const struct mr_range *range, bool read_only)
{
	struct source *source = &memory->sources[memory->source_count];
	int error = source_open_physical(source, range->address, range->length, read_only);

	if (error)
		return error;
	memory->source_count++;
	append_piece(memory, source, 0, range->length);
	return 0;
}

int mr_memory_new_physical(const struct mr_range *ranges, size_t count, uint32_t options, struct mr_memory **ret_memory)
{
	struct mr_memory *memory;
	int error;

	error_call(__func__);
	error = check_new(options, MR_MEMORY_READ_ONLY, ret_memory);
	if (!error)
		error = check_physical(ranges, count);
	if (error)
		return error;
	memory = allocate(count, count, 0);
	if (!memory)
		return no_memory();
	memory->options = options;
	for (size_t i = 0; !error && i < count; i++)
		error = open_physical(memory, &ranges[i], options & MR_MEMORY_READ_ONLY);
	if (error)
		destroy(memory);
	else
		*ret_memory = memory;
	return error;
}

static int note_access(void *argument, const struct region *region)
{
	uint32_t *options = argument;

	if (!(region->protection & PROT_WRITE))
		*options |= MR_MEMORY_READ_ONLY;
	return 0;
}

int memory_adopt(struct mr_task *task, uintptr_t start, uint64_t length, struct mr_memory **ret_memory)
{
	struct gathering gathering = { .task = task, .any_access = true };
	struct mr_range range = { start, length };
	uint64_t page = sys_page_size();
	uint32_t options = 0;
	struct view *parked;
	int error = regions_each(task, start - start % page, (start + length + page - 1) / page * page, note_access, &options);

	if (error)
		return error;
	parked = sys_allocate(1, sizeof(*parked));
	if (!parked)
		return no_memory();
	error = gather(&gathering, &range, 1);
	if (error) {
		sys_free(parked);
		return error;
	}
	gathering.memory->options = options;
	gathering.memory->parked = parked;
	*ret_memory = gathering.memory;
	return 0;
}

/* Whether a mapping could stop, or start, at this byte of the source. */
static bool at_page(const struct piece *piece, uint64_t offset)
{
	uint64_t place = piece->source_offset + offset;

	if (source_is_private(piece->source))
		place += source_private_address(piece->source);
	return place % piece->source->page_size == 0;
}

static int check_part(const struct mr_memory *part, size_t index, size_t count, uint64_t total)
{
	const struct piece *last;
	int error = memory_check(part);

	if (error)
		return error;
	last = &part->pieces[part->piece_count - 1];
	if (index && !at_page(part->pieces, 0))
		return fail(-EINVAL, "part %zu does not begin at a page; every part but the first must", index);
	if (index + 1 < count && !at_page(last, last->length))
		return fail(-EINVAL, "part %zu, of %" PRIu64 " bytes, does not end at a page; every part but the last must",
			    index, part->length);
	if (part->length > LAST_OFFSET - total)
		return fail(-EOVERFLOW, "the parts have more than %" PRIu64 " bytes together", LAST_OFFSET);
	return 0;
}

/* @pieces: grows by those of all parts. */
static int check_parts(struct mr_memory *const *parts, size_t count, size_t *pieces)
{
	uint64_t total = 0;
	int error;

	if (!parts || !count)
		return fail(-EINVAL, "there are %zu parts at %p; there must be one at least", count, (const void *)parts);
	for (size_t i = 0; i < count; i++) {
		error = check_part(parts[i], i, count, total);
		if (error)
			return error;
		total += parts[i]->length;
		*pieces += parts[i]->piece_count;
	}
	return 0;
}

static void hold_part(struct mr_memory *memory, struct mr_memory *part)
{
	memory->parts[memory->part_count++] = mr_memory_ref(part);
	memory->options |= part->options & MR_MEMORY_READ_ONLY;
}

int mr_memory_new_multi(struct mr_memory *const *parts, size_t count, uint32_t options, struct mr_memory **ret_memory)
{
	struct mr_memory *memory;
	size_t pieces = 0;
	int error;

	error_call(__func__);
	error = check_new(options, MR_MEMORY_READ_ONLY, ret_memory);
	if (!error)
		error = check_parts(parts, count, &pieces);
	if (error)
		return error;
	memory = allocate(pieces, 0, count);
	if (!memory)
		return no_memory();
	memory->options = options;
	for (size_t i = 0; i < count; i++) {
		hold_part(memory, parts[i]);
		for (size_t j = 0; j < parts[i]->piece_count; j++)
			append_piece(memory, parts[i]->pieces[j].source, parts[i]->pieces[j].source_offset,
				     parts[i]->pieces[j].length);
	}
	*ret_memory = memory;
	return 0;
}

int mr_memory_new_sub(struct mr_memory *of, uint64_t offset, uint64_t length, uint32_t options, struct mr_memory **ret_memory)
{
	const struct piece *first, *last;
	struct mr_memory *memory;
	int error;

	error_call(__func__);
	error = check_new(options, MR_MEMORY_READ_ONLY, ret_memory);
	if (!error)
		error = memory_check(of);
	if (!error && !length)
		error = fail(-EINVAL, "length is 0; a memory has at least one byte");
	if (!error)
		error = memory_range_check(of, offset, length);
	if (error)
		return error;
	first = memory_piece(of, offset);
	last = memory_piece(of, offset + length - 1);
	memory = allocate((size_t)(last - first) + 1, 0, 1);
	if (!memory)
		return no_memory();
	memory->options = options;
	hold_part(memory, of);
	for (const struct piece *piece = first; piece <= last; piece++) {
		uint64_t skip = piece == first ? offset - piece->start : 0;
		uint64_t left = length - memory->length;
		uint64_t rest = piece->length - skip;

		append_piece(memory, piece->source, piece->source_offset + skip, rest < left ? rest : left);
	}
	*ret_memory = memory;
	return 0;
}

struct mr_memory *mr_memory_ref(struct mr_memory *memory)
{
	if (memory)
		atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);
	return memory;
}

struct mr_memory *mr_memory_unref(struct mr_memory *memory)
{
	if (memory && atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) == 1)
		destroy(memory);
	return NULL;
}

uint64_t mr_memory_length(const struct mr_memory *memory)
{
	return memory ? memory->length : 0;
}

uint32_t mr_memory_options(const struct mr_memory *memory)
{
	return memory ? memory->options : 0;
}

bool memory_is_paged(const struct mr_memory *memory, uint64_t offset, uint64_t length)
{
	const struct piece *last = memory_piece(memory, offset + length - 1);

	for (const struct piece *piece = memory_piece(memory, offset); piece <= last; piece++)
		if (piece->source->pager)
			return true;
	return false;
}

/* Copy piece by piece. */
int memory_copy(struct mr_memory *memory, uint64_t offset, void *buffer, uint64_t length, bool write)
{
	int error = 0;

	for (const struct piece *piece = memory_piece(memory, offset); !error && length; piece++) {
		uint64_t skip = offset - piece->start;
		uint64_t part = piece->length - skip < length ? piece->length - skip : length;

		if (write)
			error = source_write(piece->source, piece->source_offset + skip, buffer, part);
		else
			error = source_read(piece->source, piece->source_offset + skip, buffer, part);
		offset += part;
		buffer = (char *)buffer + part;
		length -= part;
	}
	return error;
}

static int check_transfer(const struct mr_memory *memory, uint64_t offset, const void *buffer, uint64_t length)
{
	int error = memory_check(memory);

	if (!error)
		error = memory_range_check(memory, offset, length);
	if (!error && !buffer && length)
		error = fail(-EINVAL, "buffer is NULL; it must hold %" PRIu64 " bytes", length);
	return error;
}

int mr_memory_read(struct mr_memory *memory, uint64_t offset, void *buffer, uint64_t length)
{
	int error;

	error_call(__func__);
	error = check_transfer(memory, offset, buffer, length);
	return error || !length ? error : memory_copy(memory, offset, buffer, length, false);
}

int mr_memory_write(struct mr_memory *memory, uint64_t offset, const void *buffer, uint64_t length)
{
	int error;

	error_call(__func__);
	error = check_transfer(memory, offset, buffer, length);
	if (!error && memory->options & MR_MEMORY_READ_ONLY)
		error = fail(-EACCES, "the memory is read-only; %" PRIu64 " bytes at offset %" PRIu64 " cannot be written",
			     length, offset);
	return error || !length ? error : memory_copy(memory, offset, (void *)buffer, length, true);
}

bool memory_is_steady(const struct mr_memory *memory, uint64_t offset, uint64_t length)
{
	const struct piece *last = memory_piece(memory, offset + length - 1);

	for (const struct piece *piece = memory_piece(memory, offset); piece <= last; piece++)
		if (!piece->source->steady)
			return false;
	return true;
}

/* Whether the part of @left that lies in [offset, offset + length) of its memory shares bytes with the same of @right. */
static bool pieces_overlap(const struct piece *left, uint64_t left_offset, const struct piece *right, uint64_t right_offset,
			   uint64_t length)
{
	uint64_t left_from = left->start > left_offset ? left->start : left_offset;
	uint64_t left_end = left->start + left->length;
	uint64_t right_from = right->start > right_offset ? right->start : right_offset;
	uint64_t right_end = right->start + right->length;
	uint64_t left_at = left->source_offset + (left_from - left->start);
	uint64_t right_at = right->source_offset + (right_from - right->start);

	left_end = left_end > left_offset + length ? left_offset + length : left_end;
	right_end = right_end > right_offset + length ? right_offset + length : right_end;
	if (left_from >= left_end || right_from >= right_end ||
	    !source_is_same(left->source, &left_at, right->source, &right_at))
		return false;
	return left_at < right_at + (right_end - right_from) && right_at < left_at + (left_end - left_from);
}

bool memory_overlaps(const struct mr_memory *left, uint64_t left_offset, const struct mr_memory *right, uint64_t right_offset,
		     uint64_t length)
{
	for (size_t i = 0; i < left->piece_count; i++)
		for (size_t j = 0; j < right->piece_count; j++)
			if (pieces_overlap(&left->pieces[i], left_offset, &right->pieces[j], right_offset, length))
				return true;
	return false;
}
