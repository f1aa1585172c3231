/* SPDX-License-Identifier: MIT */
/*
 * What a copy of memory costs those who write to it: a snapshot, against what people use today. Every destination is resident before,
 * and every rival copies to the same one. What fork and page faults copy is private memory, since they can copy no other.
 */
#include <memredirect.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "measure.h"
#include "rivals.h"
#include "writer.h"

enum rival { SNAPSHOT, SNAPSHOT_PRIVATE, STOP_AND_COPY, FORK, PAGE_FAULTS, PLAIN, RIVALS };

static const char *const rival_names[RIVALS] = { "snapshot", "snapshot of private memory", "stop and copy",
						 "fork",     "page faults, 4 KiB",	   "memcpy" };

static const uint64_t rates[] = { 0, 10000, AS_FAST_AS_IT_GOES };
static const char *const rate_names[] = { "idle", "10,000 pages/s", "full speed" };

#define RATES (sizeof(rates) / sizeof(*rates))

struct outcome {
	struct series stall, p999, per_second, time; /* us, us, 1/s, ms */
};

struct copies {
	size_t length;
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

static bool copy_once(struct copies *copies, enum rival rival)
{
	switch (rival) {
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
		copy_by_fork(copies->to, copies->private, copies->length);
		return true;
	case PAGE_FAULTS:
		return copy_by_page_faults(copies->to, copies->private, copies->length);
	default:
		memcpy(copies->to, memory_of(copies, rival), copies->length);
		return true;
	}
}

static void settle(void)
{
	static const struct timespec pause = { .tv_nsec = 50000000 };

	nanosleep(&pause, NULL);
}

static void measure(struct copies *copies, enum rival rival, size_t rate)
{
	struct outcome *outcome = &copies->outcomes[rival][rate];
	struct writer writer;
	double begin;

	writer_start(&writer, memory_of(copies, rival), copies->length, rates[rate]);
	settle();
	writer_reset(&writer);
	begin = now_us();
	if (copy_once(copies, rival)) {
		series_add(&outcome->time, (now_us() - begin) / 1e3);
		series_add(&outcome->per_second, writer_per_second(&writer));
		series_add(&outcome->stall, writer_longest_us(&writer));
		series_add(&outcome->p999, writer_p999_us(&writer));
	}
	writer_stop(&writer);
}

static void set_up(struct copies *copies)
{
	must(mr_memory_new_buffer(copies->length, 0, &copies->shared), "memory");
	must(mr_memory_new_buffer(copies->length, 0, &copies->into), "memory");
	must(mr_map_new(copies->shared, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE, 0, 0, &copies->shared_map), "a map");
	must(mr_map_new(copies->into, NULL, NULL, MR_MAP_ANYWHERE, 0, 0, &copies->into_map), "a map");
	copies->private = mmap(NULL, copies->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must_errno(copies->private != MAP_FAILED, "private memory");
	madvise(copies->private, copies->length, MADV_NOHUGEPAGE);
	must(mr_map_adopt(NULL, copies->private, copies->length, 0, &copies->private_map), "an adopted map");
	copies->to = mr_map_address(copies->into_map);
	memset(mr_map_address(copies->shared_map), 1, copies->length);
	memset(copies->private, 2, copies->length);
	memset(copies->to, 3, copies->length);
}

static void tear_down(struct copies *copies)
{
	mr_map_unref(copies->shared_map);
	mr_map_unref(copies->private_map);
	mr_map_unref(copies->into_map);
	mr_memory_unref(copies->shared);
	mr_memory_unref(copies->into);
	munmap(copies->private, copies->length);
	for (unsigned i = 0; i < RIVALS * RATES; i++) {
		struct outcome *outcome = &copies->outcomes[i / RATES][i % RATES];

		series_free(&outcome->stall);
		series_free(&outcome->p999);
		series_free(&outcome->per_second);
		series_free(&outcome->time);
	}
}

static void print(struct copies *copies)
{
	printf("\n%-28s %-15s %12s %12s %12s %10s\n", "COPY OF MEMORY UNDER A WRITER", "RATE", "LONGEST, us", "P99.9, us",
	       "WRITES/s", "TIME, ms");
	for (unsigned rival = 0; rival < RIVALS; rival++)
		for (unsigned rate = 0; rate < RATES; rate++) {
			struct outcome *outcome = &copies->outcomes[rival][rate];

			if (outcome->time.count)
				printf("%-29s %-15s %12.1f %12.2f %12.0f %10.1f\n", rival_names[rival], rate_names[rate],
				       series_median(&outcome->stall), series_median(&outcome->p999),
				       series_median(&outcome->per_second), series_median(&outcome->time));
		}
	printf("\n");
}

static double median(struct copies *copies, enum rival rival, unsigned rate, size_t member)
{
	return series_median((struct series *)((char *)&copies->outcomes[rival][rate] + member));
}

#define MEDIAN(rival, rate, what) median(copies, rival, rate, offsetof(struct outcome, what))

static void tell(struct copies *copies)
{
	figure("snapshot: longest write at 10,000 pages/s, against fork", "us", MEDIAN(SNAPSHOT, 1, stall),
	       MEDIAN(FORK, 1, stall), 0.02, false);
	figure("snapshot: time with no writer, against memcpy", "ms", MEDIAN(SNAPSHOT, 0, time), MEDIAN(PLAIN, 0, time), 1.5,
	       false);
	figure("snapshot: time under a writer at full speed, against fork", "ms", MEDIAN(SNAPSHOT, 2, time),
	       MEDIAN(FORK, 2, time), 1, false);
	figure("snapshot: writes/s at 10,000 pages/s, against fork", "1/s", MEDIAN(SNAPSHOT, 1, per_second),
	       MEDIAN(FORK, 1, per_second), 1, true);
	figure("snapshot: writes/s at full speed, against fork", "1/s", MEDIAN(SNAPSHOT, 2, per_second),
	       MEDIAN(FORK, 2, per_second), 1, true);
}

void bench_copies(bool quick)
{
	struct copies copies = { .length = quick ? (size_t)256 << 20 : (size_t)1 << 30 };
	unsigned rounds = quick ? 3 : 7;

	set_up(&copies);
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned rival = 0; rival < RIVALS; rival++)
			for (unsigned rate = 0; rate < RATES; rate++)
				measure(&copies, rival, rate);
	print(&copies);
	tell(&copies);
	tear_down(&copies);
}
