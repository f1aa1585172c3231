/* SPDX-License-Identifier: MIT */
/*
 * Physical addresses, from /proc/self/pagemap, which tells the frame behind each page of an address range. A memory that is
 * prepared has its pieces mapped (private ones are mapped already) and locked; of any other, a window is mapped to look.
 */
#include "physical.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "error.h"
#include "memory.h"
#include "pager/pager.h"
#include "sys/sys.h"
#include "task.h"

/* Pages that are looked at in one go: the entries of one page table. */
#define BATCH 512

#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_FRAME   ((UINT64_C(1) << 55) - 1)

/* The mapping that holds a piece. Private memory has none of its own: it is locked where it is, wherever it has moved to. */
struct pin {
	uintptr_t address; /* whole pages */
	uint64_t length;
	uint64_t lead; /* from the address to the piece's first byte */
};

/* A run of contiguous frames while it is followed from page to page. */
struct run {
	const struct mr_task *task; /* whose addresses they are */
	uint64_t address;	    /* of its first byte */
	uint64_t length;
};

static int hidden(void)
{
	return fail(-EPERM, "the system hides frame numbers from this process; CAP_SYS_ADMIN shows them");
}

/* An entry of a page that is there, as one of the stack is, has its frame number, or 0 where that is hidden. */
bool physical_is_shown(void)
{
	uint64_t page = sys_page_size(), entry = 0;
	volatile char here = 1;
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);
	ssize_t got;

	if (fd < 0)
		return false;
	got = sys_pread(fd, &entry, sizeof(entry), (uintptr_t)&here / page * sizeof(entry));
	sys_close(fd);
	return got == sizeof(entry) && entry & ENTRY_FRAME && here;
}

int physical_not_resident(uint64_t offset)
{
	if (!physical_is_shown())
		return hidden();
	return fail(-ENODATA, "the page at offset %" PRIu64 " is not resident; prepare the memory first", offset);
}

/* How many of the frames at the beginning of entries[0, count) go on from @next (0: from anywhere). -EPERM: they are hidden. */
static ssize_t count_frames(const uint64_t *entries, size_t count, uint64_t next)
{
	size_t i;

	for (i = 0; i < count && entries[i] & ENTRY_PRESENT; i++) {
		uint64_t frame = entries[i] & ENTRY_FRAME;

		if (!frame)
			return -EPERM;
		if (next && frame != next)
			break;
		next = frame + 1;
	}
	return (ssize_t)i;
}

static int read_entries(const struct mr_task *task, uintptr_t page_index, uint64_t *ret_entries, size_t count)
{
	char path[TASK_PATH];
	ssize_t got;
	int fd;

	task_path(task, "pagemap", path);
	fd = sys_open(path, O_RDONLY);
	if (fd == -EACCES || fd == -EPERM)
		return hidden();
	if (fd < 0)
		return fail_system(fd, "%s cannot be opened", path);
	got = sys_pread(fd, ret_entries, count * sizeof(*ret_entries), page_index * sizeof(*ret_entries));
	sys_close(fd);
	if (got == (ssize_t)(count * sizeof(*ret_entries)))
		return 0;
	return fail_system(got < 0 ? (int)got : -EIO, "%s cannot be read", path);
}

/*
 * Let @run, which is empty or ends where @address would go on, grow over @length bytes at @address, one batch at most.
 * Return: bytes that it has grown by, 0 where it ends.
 */
static int64_t grow(struct run *run, uintptr_t address, uint64_t length)
{
	uint64_t page = sys_page_size(), lead = address % page;
	uint64_t pages = (lead + length + page - 1) / page;
	size_t count = pages < BATCH ? (size_t)pages : BATCH;
	uint64_t entries[BATCH], bytes;
	ssize_t found;
	int error = read_entries(run->task, address / page, entries, count);

	if (error)
		return error;
	found = count_frames(entries, count, run->length ? (run->address + run->length) / page : 0);
	if (found < 0)
		return hidden();
	if (!found)
		return 0;
	if (!run->length)
		run->address = (entries[0] & ENTRY_FRAME) * page + lead;
	bytes = (uint64_t)found * page - lead;
	if (bytes > length)
		bytes = length;
	run->length += bytes;
	return (int64_t)bytes;
}

/* Grow @run over @length bytes at @address as far as it goes. Return: as grow. */
static int64_t grow_all(struct run *run, uintptr_t address, uint64_t length)
{
	uint64_t done = 0;
	int64_t step = 1;

	while (done < length && step > 0) {
		step = grow(run, address + done, length - done);
		done += step > 0 ? (uint64_t)step : 0;
	}
	return step < 0 ? step : (int64_t)done;
}

/* How many bytes at the beginning of a window are resident in the file's page cache. */
static uint64_t resident_bytes(const struct source *source, uintptr_t window, uint64_t length)
{
	uint64_t page = sys_page_size(), bytes = 0;
	unsigned char resident[BATCH];
	struct stat status;

	/* mincore looks into page tables for huge pages, and those of a new window are empty. */
	if (source->file_kind == FILE_HUGE)
		return !sys_stat(source->fd, &status) && status.st_blocks * INT64_C(512) >= status.st_size ? length : 0;
	if (sys_mincore(window, length, resident))
		return 0;
	while (bytes < length && resident[bytes / page] & 1)
		bytes += page;
	return bytes;
}

static int64_t look_through_window(struct run *run, const struct source *source, uint64_t offset, uint64_t length)
{
	uint64_t page = source->page_size, small = sys_page_size();
	uint64_t lead = offset % page, most = page > BATCH * small ? page : BATCH * small;
	uint64_t span = (lead + length + page - 1) / page * page, resident;
	int flags = source->file_kind == FILE_HUGE ? MAP_NORESERVE : 0;
	uintptr_t window;
	int64_t grown = 0;
	int error;

	if (span > most)
		span = most;
	if (length > span - lead)
		length = span - lead;
	error = source_map(source, offset - lead, span, PROT_READ, flags, false, 0, &window);
	if (error)
		return error;
	resident = resident_bytes(source, window + lead / small * small, span - lead / small * small);
	if (resident && !sys_madvise(window + lead / small * small, small, MADV_POPULATE_READ)) {
		sys_madvise(window + lead / small * small, resident, MADV_POPULATE_READ);
		grown = grow_all(run, window + lead, length);
	}
	sys_munmap(window, span);
	return grown;
}

/* Grow @run through a window of the source, one batch at most. Nobody may map what a pager's cache has not. */
static int64_t grow_in_window(struct run *run, const struct source *source, uint64_t offset, uint64_t length)
{
	int64_t grown = 0;

	if (!source->pager)
		return look_through_window(run, source, offset, length);
	length = pager_hold_present(source->pager, offset, length);
	if (length) {
		grown = look_through_window(run, source, offset, length);
		pager_let_go(source->pager, offset, 1, false);
	}
	return grown;
}

/* Let the run grow over a physical range, if it goes on there. */
static int64_t grow_by_frames(struct run *run, uint64_t address, uint64_t length)
{
	if (!run->length)
		run->address = address;
	else if (address != run->address + run->length)
		return 0;
	run->length += length;
	return (int64_t)length;
}

static int64_t grow_in_piece(struct run *run, struct mr_memory *memory, const struct piece *piece, uint64_t skip,
			     uint64_t length)
{
	struct source *source = piece->source;
	uint64_t done = 0;
	int64_t step = 1;

	run->task = source->task;
	if (source->kind == SOURCE_PHYSICAL)
		return grow_by_frames(run, source->address + piece->source_offset + skip, length);
	if (memory->pins && !source_is_private(source)) {
		const struct pin *pin = &memory->pins[piece - memory->pieces];

		return grow_all(run, pin->address + pin->lead + skip, length);
	}
	if (source_is_private(source)) {
		uintptr_t address = source_private_address(source);

		return address ? grow_all(run, address + piece->source_offset + skip, length) : 0;
	}
	while (done < length && step > 0) {
		step = grow_in_window(run, source, piece->source_offset + skip + done, length - done);
		done += step > 0 ? (uint64_t)step : 0;
	}
	return step < 0 ? step : (int64_t)done;
}

int physical_of_memory(struct mr_memory *memory, uint64_t offset, uint64_t most, uint64_t *ret_address, uint64_t *ret_length)
{
	const struct piece *piece = memory_piece(memory, offset);
	uint64_t at = offset, end = offset + most;
	struct run run = { 0 };
	int64_t step = 1;

	pthread_mutex_lock(&memory->pinning);
	while (at < end && step > 0) {
		uint64_t rest = piece->start + piece->length - at;
		uint64_t length = rest < end - at ? rest : end - at;

		step = grow_in_piece(&run, memory, piece, at - piece->start, length);
		at += step > 0 ? (uint64_t)step : 0;
		if (step != (int64_t)length)
			break;
		piece++;
	}
	pthread_mutex_unlock(&memory->pinning);
	if (!run.length)
		return step < 0 ? (int)step : physical_not_resident(offset);
	*ret_address = run.address;
	*ret_length = run.length;
	return 0;
}

int physical_of_address(const struct mr_task *task, uintptr_t address, uint64_t most, uint64_t *ret_address,
			uint64_t *ret_length)
{
	struct run run = { .task = task };
	int64_t grown = grow_all(&run, address, most);

	if (!run.length)
		return grown < 0 ? (int)grown : -ENODATA;
	*ret_address = run.address;
	*ret_length = run.length;
	return 0;
}

int mr_memory_physical_segment(struct mr_memory *memory, uint64_t offset, uint64_t *ret_address, uint64_t *ret_length)
{
	int error;

	error_call(__func__);
	error = memory_check(memory);
	if (error)
		return error;
	if (!ret_address || !ret_length)
		return fail(-EINVAL, "ret_address or ret_length is NULL; both must point to where the results are to be put");
	error = memory_range_check(memory, offset, 1);
	return error ? error : physical_of_memory(memory, offset, memory->length - offset, ret_address, ret_length);
}

/* Where the piece is mapped; a private one now. -EFAULT: it is not any more. */
static int locate(struct pin *pin, const struct piece *piece)
{
	struct source *source = piece->source;
	uintptr_t address;

	if (source->kind == SOURCE_FOREIGN)
		return fail(-EOPNOTSUPP, "the memory at offset %" PRIu64 " is private to process %d, which alone can lock it",
			    piece->start, (int)mr_task_pid(source->task));
	if (source->kind != SOURCE_PRIVATE)
		return 0;
	address = source_private_address(source);
	if (!address)
		return fail(-EFAULT, "the private memory at offset %" PRIu64 " has been unmapped", piece->start);
	pin->address = address + piece->source_offset;
	pin->lead = pin->address % source->page_size;
	pin->address -= pin->lead;
	return 0;
}

static void unpin_piece(struct pin *pin, const struct piece *piece)
{
	if (piece->source->kind == SOURCE_PHYSICAL)
		return;
	if (!source_is_private(piece->source)) {
		sys_munmap(pin->address, pin->length);
		if (piece->source->pager)
			pager_unpin(piece->source->pager, piece->source_offset, piece->length);
	} else if (!locate(pin, piece)) {
		sys_munlock(pin->address, pin->length);
	}
}

static int map_pin(struct pin *pin, const struct piece *piece)
{
	struct source *source = piece->source;
	int error = locate(pin, piece);

	if (error)
		return error;
	if (source->kind != SOURCE_PRIVATE)
		pin->lead = piece->source_offset % source->page_size;
	pin->length = (pin->lead + piece->length + source->page_size - 1) / source->page_size * source->page_size;
	if (source->kind == SOURCE_PRIVATE)
		return 0;
	if (source->pager)
		error = pager_hold(source->pager, piece->source_offset, piece->length, true);
	if (error)
		return error;
	error = source_map(source, piece->source_offset - pin->lead, pin->length, PROT_READ, 0, false, 0, &pin->address);
	if (error && source->pager)
		pager_unpin(source->pager, piece->source_offset, piece->length);
	return error;
}

/* A physical range has no other place to go to. */
static int pin_piece(struct pin *pin, const struct piece *piece)
{
	int error = piece->source->kind == SOURCE_PHYSICAL ? 0 : map_pin(pin, piece);

	if (piece->source->kind == SOURCE_PHYSICAL)
		return 0;
	if (error)
		return error;
	error = sys_mlock(pin->address, pin->length);
	if (!error)
		return 0;
	unpin_piece(pin, piece);
	if (error == -EAGAIN)
		error = -ENOMEM;
	return fail_system(error, "%" PRIu64 " bytes cannot be locked (see RLIMIT_MEMLOCK)", piece->length);
}

static int pin(struct mr_memory *memory)
{
	struct pin *pins = sys_allocate(memory->piece_count, sizeof(*pins));
	int error = 0;

	if (!pins)
		return fail(-ENOMEM, "there is no memory to note what is prepared");
	for (size_t i = 0; !error && i < memory->piece_count; i++) {
		error = pin_piece(&pins[i], &memory->pieces[i]);
		while (error && i--)
			unpin_piece(&pins[i], &memory->pieces[i]);
		if (error)
			break;
	}
	if (error)
		sys_free(pins);
	else
		memory->pins = pins;
	return error;
}

void physical_unpin(struct mr_memory *memory)
{
	for (size_t i = 0; memory->pins && i < memory->piece_count; i++)
		unpin_piece(&memory->pins[i], &memory->pieces[i]);
	sys_free(memory->pins);
	memory->pins = NULL;
}

int mr_memory_prepare(struct mr_memory *memory)
{
	int error;

	error_call(__func__);
	error = memory_check(memory);
	if (error)
		return error;
	pthread_mutex_lock(&memory->pinning);
	if (!memory->prepared)
		error = pin(memory);
	if (!error)
		memory->prepared++;
	pthread_mutex_unlock(&memory->pinning);
	return error;
}

int mr_memory_complete(struct mr_memory *memory)
{
	int error;

	error_call(__func__);
	error = memory_check(memory);
	if (error)
		return error;
	pthread_mutex_lock(&memory->pinning);
	if (!memory->prepared)
		error = fail(-EINVAL, "the memory is not prepared; each complete undoes one mr_memory_prepare");
	else if (!--memory->prepared)
		physical_unpin(memory);
	pthread_mutex_unlock(&memory->pinning);
	return error;
}
