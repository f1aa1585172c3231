/* SPDX-License-Identifier: MIT */
/* What copies of every sort have in common. */
#include "copy.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>

#include "error.h"
#include "sys/stream.h"
#include "sys/sys.h"
#include "task.h"

/* Clients are kept from writing by page protection, which the thread sanitizer knows nothing of: it must not see the copying. */
#if defined(__SANITIZE_THREAD__)
#define BY_KERNEL true
#else
#define BY_KERNEL false
#endif

#define PAGE 4096
#define MIB  (UINT64_C(1) << 20)

/* How long to insist that a map which was blocked can be let go. */
#define PATIENCE 1000

/* How often the caller is told. */
#define TOLD (4 * MIB)

/* Giving way to somebody who was just let go takes less; in nanoseconds. */
#define LONG_WAY 300000

/* The first versions of what the caller gives. */
#define FIRST_OPTS   sizeof(struct mr_copy_opts)
#define FIRST_REPORT offsetof(struct mr_report, method)

static bool all_zero(const void *bytes, size_t length)
{
	const unsigned char *byte = bytes;

	return !length || (!*byte && !memcmp(byte, byte + 1, length - 1));
}

static int check_opts(const struct mr_copy_opts *opts, uint32_t flags)
{
	if (opts->size < FIRST_OPTS)
		return fail(-EINVAL, "opts->size is %zu; it must be sizeof(struct mr_copy_opts), %zu", opts->size, FIRST_OPTS);
	if (!all_zero((const char *)opts + FIRST_OPTS, opts->size - FIRST_OPTS))
		return fail(-EINVAL, "opts has %zu bytes, and some behind the first %zu are not zero: they are not known here",
			    opts->size, FIRST_OPTS);
	if (opts->flags & ~flags)
		return fail(-EINVAL, "flags %#" PRIx32 " have bits that are unknown here; allowed are %#" PRIx32, opts->flags,
			    flags);
	return 0;
}

int copy_begin(struct copy *copy, const struct mr_copy_opts *opts, uint32_t flags, const struct mr_report *report)
{
	int error = opts ? check_opts(opts, flags) : 0;

	if (!error && report && report->size && report->size < FIRST_REPORT)
		error = fail(-EINVAL, "ret_report->size is %zu; it must be sizeof(struct mr_report), %zu", report->size,
			     sizeof(struct mr_report));
	*copy = (struct copy){ .begin = sys_now() };
	if (!error && opts)
		copy->opts = *opts;
	copy->due = copy->begin;
	return error;
}

int copy_tell(const struct copy *copy, uint64_t done, uint64_t total)
{
	struct sentence before;
	int stop;

	if (!copy->opts.progress)
		return 0;
	error_listen(&before);
	stop = copy->opts.progress(copy->opts.progress_arg, done, total);
	error_heard(&before, NULL);
	if (!stop)
		return 0;
	return fail(-ECANCELED, "progress has stopped it after %" PRIu64 " of %" PRIu64 " bytes", done, total);
}

void copy_pace(struct copy *copy, uint64_t length)
{
	uint64_t rate = copy->opts.rate_mib_s * MIB, now;

	if (!rate || !length)
		return;
	now = sys_now();
	if (copy->due > now)
		sys_sleep(copy->due - now);
	else
		copy->due = now; /* what was missed is not made up for */
	copy->due += (uint64_t)((__extension__(unsigned __int128) length) * 1000000000 / rate);
}

void copy_give_way(struct copy *copy, uint64_t let_go)
{
	uint64_t begin = sys_now(), took;

	if (let_go == copy->let_go || begin < copy->again)
		return;
	copy->let_go = let_go;
	sched_yield();
	took = sys_now() - begin;
	if (took > LONG_WAY)
		copy->again = begin + 20 * took;
}

static int not_there(int error, uint64_t at, uint64_t length)
{
	return fail_system(error ? error : -EFAULT, "%" PRIu64 " bytes at offset %" PRIu64 " cannot be copied", length, at);
}

/* By instructions where nothing can happen, else by the kernel, which gives an error instead of a signal. */
static int copy_mapped(const struct copy_end *from, const struct copy_end *to, uint64_t at, uint64_t length)
{
	const char *source = (const char *)from->address + at;
	char *target = (char *)to->address + at;

	if (BY_KERNEL || !from->steady || !to->steady) {
		ssize_t done = sys_copy_in(target, source, length);

		return done == (ssize_t)length ? 0 : not_there(done < 0 ? (int)done : 0, at, length);
	}
	for (uint64_t part; length; source += part, target += part, length -= part) {
		part = to->fresh && length > PAGE ? PAGE : length;
		if (!to->fresh || !all_zero(source, part))
			stream_copy(target, source, part);
	}
	return 0;
}

static int copy_by_bounce(const struct copy_end *from, const struct copy_end *to, uint64_t at, uint64_t length)
{
	char bytes[16384];
	int error = 0;

	for (uint64_t part; !error && length; at += part, length -= part) {
		part = length < sizeof(bytes) ? length : sizeof(bytes);
		error = memory_copy(from->memory, from->offset + at, bytes, part, false);
		if (!error)
			error = memory_copy(to->memory, to->offset + at, bytes, part, true);
	}
	return error;
}

/* What is in another process is never mapped here. */
static int copy_by_task(const struct copy_end *from, const struct copy_end *to, uint64_t at, uint64_t length)
{
	char bytes[16384];
	int error = 0;

	for (uint64_t part; !error && length; at += part, length -= part) {
		struct copy_end here = { .address = (uintptr_t)bytes - at };

		part = length < sizeof(bytes) ? length : sizeof(bytes);
		if (from->task)
			error = task_copy(from->task, from->address + at, bytes, part, false);
		else
			error = copy_bytes(from, &here, at, part);
		if (!error && to->task)
			error = task_copy(to->task, to->address + at, bytes, part, true);
		else if (!error)
			error = copy_bytes(&here, to, at, part);
	}
	return error;
}

int copy_bytes(const struct copy_end *from, const struct copy_end *to, uint64_t at, uint64_t length)
{
	if (from->task || to->task)
		return copy_by_task(from, to, at, length);
	if (from->address && to->address)
		return copy_mapped(from, to, at, length);
	if (from->address)
		return memory_copy(to->memory, to->offset + at, (void *)(from->address + at), length, true);
	if (to->address)
		return memory_copy(from->memory, from->offset + at, (void *)(to->address + at), length, false);
	return copy_by_bounce(from, to, at, length);
}

int copy_all(struct copy *copy, const struct copy_end *from, const struct copy_end *to, uint64_t length)
{
	int error = 0;

	for (uint64_t at = 0, part; !error && at < length; at += part) {
		part = length - at < COPY_PART ? length - at : COPY_PART;
		copy_pace(copy, part);
		error = copy_bytes(from, to, at, part);
		copy->report.bytes += part;
		if (!error && ((at + part) % TOLD == 0 || at + part == length))
			error = copy_tell(copy, at + part, length);
	}
	return error;
}

void copy_stalled(struct copy *copy, uint64_t nanoseconds)
{
	if (nanoseconds > copy->report.stall_ns)
		copy->report.stall_ns = nanoseconds;
}

void copy_report(struct copy *copy, struct mr_report *ret_report)
{
	size_t size;

	if (!ret_report)
		return;
	size = ret_report->size ? ret_report->size : FIRST_REPORT;
	copy->report.total_ns = sys_now() - copy->begin;
	copy->report.size = size;
	memcpy(ret_report, &copy->report, size < sizeof(copy->report) ? size : sizeof(copy->report));
}

struct mr_map *copy_whole(struct mr_map *map)
{
	return map->parent ? map->parent : map;
}

/* What a pager has is read by way of the memory, so that a failure is an error and no signal. Copies on write are in page tables alone. */
static bool by_memory(const struct mr_map *map, const struct mr_map *whole)
{
	return !(whole->view.access & MR_MAP_COPY_ON_WRITE) && memory_is_paged(map->memory, map->offset, map->length);
}

struct copy_end copy_shown(struct mr_map *map)
{
	const struct mr_map *whole = copy_whole(map);
	struct copy_end end = { .memory = map->memory, .offset = map->offset };

	if (whole->view.channel)
		return end; /* the kernel gives nobody the pages of such a mapping */
	if (by_memory(map, whole))
		return end;
	if (!whole->blocked || view_stands_whole(&whole->view))
		end.address = whole->view.base + (map->address - whole->start);
	if (end.address)
		end.task = map->task;
	end.steady = end.address && !end.task && memory_is_steady(map->memory, map->offset, map->length);
	return end;
}

int copy_let_go(struct mr_map *map)
{
	int error = map_restore(map);

	for (int tries = PATIENCE; error && tries; tries--) {
		sched_yield();
		error = map_restore(map);
	}
	return error;
}
