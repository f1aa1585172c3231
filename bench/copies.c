/* SPDX-License-Identifier: MIT */
/*
 * What a copy of memory costs those who write to it: a snapshot, against what people use today. Every rival copies to the same
 * destination. What fork and page faults copy is private memory, since they can copy no other.
 */
#include "copies.h"

#include <memredirect.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "outcome.h"
#include "rivals.h"

#define MIB ((size_t)1 << 20)

enum rival { SNAPSHOT, SNAPSHOT_PRIVATE, STOP_AND_COPY, FORK, PAGE_FAULTS, PLAIN, RIVALS };

static const char *const rival_names[RIVALS] = { "snapshot", "snapshot of private memory", "stop and copy",
						 "fork",     "page faults, 4 KiB",	   "memcpy" };

struct copies {
	struct setting setting;
	enum rival rival; /* which is measured now */
	struct mr_memory *shared, *into;
	struct mr_map *shared_map, *private_map, *into_map;
	char *private;
	char *to;
	struct outcome outcomes[RIVALS][RATES];
};

static void snapshot(struct copies *copies, struct mr_map *map, uint32_t flags)
{
	struct mr_copy_opts opts = { .size = sizeof(opts), .flags = flags, .into = copies->into };
	struct mr_memory *copy;

	must(mr_map_snapshot(map, &opts, &copy, NULL), "mr_map_snapshot");
	mr_memory_unref(copy);
}

static char *memory_of(const struct copies *copies, enum rival rival)
{
	return rival == SNAPSHOT || rival == STOP_AND_COPY || rival == PLAIN ? mr_map_address(copies->shared_map)
									     : copies->private;
}

static bool copy_once(void *argument)
{
	struct copies *copies = argument;
	size_t length = copies->setting.length;

	switch (copies->rival) {
	case SNAPSHOT:
		snapshot(copies, copies->shared_map, 0);
		return true;
	case SNAPSHOT_PRIVATE:
		snapshot(copies, copies->private_map, 0);
		return true;
	case STOP_AND_COPY:
		snapshot(copies, copies->shared_map, MR_COPY_STOP);
		return true;
	case FORK:
		copy_by_fork(copies->to, copies->private, length);
		return true;
	case PAGE_FAULTS:
		return copy_by_page_faults(copies->to, copies->private, length);
	default:
		memcpy(copies->to, memory_of(copies, copies->rival), length);
		return true;
	}
}

static void open_destination(struct copies *copies)
{
	must(mr_memory_new_buffer(copies->setting.length, 0, &copies->into), "memory");
	must(mr_map_new(copies->into, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &copies->into_map), "a map");
	copies->to = mr_map_address(copies->into_map);
	if (!copies->setting.fresh)
		memset(copies->to, 3, copies->setting.length);
}

static void close_destination(struct copies *copies)
{
	copies->into_map = mr_map_unref(copies->into_map);
	copies->into = mr_memory_unref(copies->into);
}

static void set_up(struct copies *copies)
{
	const struct setting *setting = &copies->setting;
	uint32_t pages = setting->huge ? MR_MEMORY_HUGE_2M : 0;

	must(mr_memory_new_buffer(setting->length, pages, &copies->shared), "memory");
	must(mr_map_new(copies->shared, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &copies->shared_map), "a map");
	copies->private = mmap(NULL, setting->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must_errno(copies->private != MAP_FAILED, "private memory");
	madvise(copies->private, setting->length, setting->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	must(mr_map_adopt(NULL, copies->private, setting->length, 0, &copies->private_map), "an adopted map");
	memset(mr_map_address(copies->shared_map), 1, setting->length);
	memset(copies->private, 2, setting->length);
	open_destination(copies);
}

static void tear_down(struct copies *copies)
{
	mr_map_unref(copies->shared_map);
	mr_map_unref(copies->private_map);
	mr_memory_unref(copies->shared);
	close_destination(copies);
	munmap(copies->private, copies->setting.length);
	for (unsigned i = 0; i < RIVALS * RATES; i++)
		outcome_free(&copies->outcomes[i / RATES][i % RATES]);
}

static void measure_all(struct copies *copies)
{
	for (unsigned round = 0; round < copies->setting.rounds; round++)
		for (unsigned i = 0; i < RIVALS * RATES; i++) {
			copies->rival = i / RATES;
			if (copies->setting.fresh) {
				close_destination(copies);
				open_destination(copies);
			}
			outcome_measure(&copies->outcomes[i / RATES][i % RATES], &copies->setting,
					memory_of(copies, copies->rival), rates[i % RATES], copy_once, copies);
		}
	for (unsigned i = 0; i < RIVALS * RATES; i++)
		outcome_tell(&copies->outcomes[i / RATES][i % RATES], "copy", &copies->setting, rival_names[i / RATES],
			     rate_names[i % RATES]);
}

#define MEDIAN(rival, rate, what) series_median(&copies->outcomes[rival][rate].what)

/* Writes a second as they came to be, and the longest. */
static void tell_rates(struct copies *copies)
{
	static const struct {
		enum rival rival;
		const char *curve;
	} curves[] = { { SNAPSHOT, "rate-snapshot" }, { FORK, "rate-fork" }, { PAGE_FAULTS, "rate-faults" } };

	for (unsigned i = 0; i < sizeof(curves) / sizeof(*curves); i++)
		for (unsigned rate = MODEST; rate < RATES; rate++)
			point(curves[i].curve, MEDIAN(curves[i].rival, rate, per_second),
			      MEDIAN(curves[i].rival, rate, stall) / 1e3);
}

/* At a rate that all can keep, they differ by no more than the last batch. */
#define KEPT 0.99

/* What is promised. */
static void tell_figures(struct copies *copies)
{
	figure("snapshot: longest write at 10,000 pages/s, against fork", "us", MEDIAN(SNAPSHOT, MODEST, stall),
	       MEDIAN(FORK, MODEST, stall), 0.02, false);
	figure("snapshot: time with idle writers, against memcpy", "ms", MEDIAN(SNAPSHOT, IDLE, time),
	       MEDIAN(PLAIN, IDLE, time), 1.5, false);
	figure("snapshot: time under a writer at full speed, against fork", "ms", MEDIAN(SNAPSHOT, FULL, time),
	       MEDIAN(FORK, FULL, time), 1, false);
	figure("snapshot: writes/s at 10,000 pages/s, against fork", "1/s", MEDIAN(SNAPSHOT, MODEST, per_second),
	       MEDIAN(FORK, MODEST, per_second), KEPT, true);
	figure("snapshot: writes/s at full speed, against fork", "1/s", MEDIAN(SNAPSHOT, FULL, per_second),
	       MEDIAN(FORK, FULL, per_second), 1, true);
	tell_rates(copies);
	outcome_points(&copies->outcomes[SNAPSHOT][MODEST], "latency-snapshot");
	outcome_points(&copies->outcomes[FORK][MODEST], "latency-fork");
	outcome_points(&copies->outcomes[PAGE_FAULTS][MODEST], "latency-faults");
}

/* The peak, against the copy and the pages written; page tables, which are a part in 512 of each mapping, are not to matter. */
static void tell_extra(struct copies *copies)
{
	figure("snapshot: memory at its peak, against the copy and what was written", "MiB", MEDIAN(SNAPSHOT, MODEST, extra),
	       (double)(copies->setting.length / MIB) + MEDIAN(SNAPSHOT, MODEST, written), 1.01, false);
}

static void tell_sizes(struct copies *copies)
{
	double mib = (double)(copies->setting.length / MIB);

	point("stall-snapshot", mib, MEDIAN(SNAPSHOT, MODEST, stall) / 1e3);
	point("stall-fork", mib, MEDIAN(FORK, MODEST, stall) / 1e3);
	point("stall-faults", mib, MEDIAN(PAGE_FAULTS, MODEST, stall) / 1e3);
	point("stall-stop", mib, MEDIAN(STOP_AND_COPY, MODEST, stall) / 1e3);
}

/* Whether there is room for three memories, and for what fork copies; @huge: and so many free huge pages. */
static bool has_room(const struct setting *setting)
{
	struct mr_features here;

	must(mr_features(&here), "mr_features");
	if (setting->huge && here.huge_2m_free < setting->length / (2 * MIB))
		return false;
	return memory_available() > 5 * (uint64_t)setting->length;
}

static bool run(struct setting setting, void (*tell)(struct copies *copies))
{
	static struct copies copies;

	if (!has_room(&setting)) {
		fprintf(stderr, "  left out: copies of %zu MiB in %s pages, for want of memory\n", setting.length / MIB,
			setting.huge ? "huge" : "small");
		return false;
	}
	memset(&copies, 0, sizeof(copies));
	copies.setting = setting;
	set_up(&copies);
	measure_all(&copies);
	if (tell)
		tell(&copies);
	if (!setting.huge && !setting.sequential && !setting.fresh)
		tell_sizes(&copies);
	tear_down(&copies);
	return true;
}

bool bench_copies(size_t length, bool quick)
{
	unsigned few = quick ? 1 : 3;
	bool done;

	if (!quick)
		run((struct setting){ .length = length / 4, .rounds = few }, NULL);
	done = run((struct setting){ .length = length, .rounds = quick ? 3 : 7 }, tell_figures);
	if (!done)
		return false;
	if (!quick)
		run((struct setting){ .length = length * 4, .rounds = few }, NULL);
	run((struct setting){ .length = length, .rounds = few, .sequential = true }, NULL);
	run((struct setting){ .length = length, .rounds = few, .huge = true }, NULL);
	return run((struct setting){ .length = length, .rounds = few, .fresh = true }, tell_extra);
}
