/* SPDX-License-Identifier: MIT */
/*
 * Moving private memory of another process to other pages, while it runs.
 *
 *	stage		the agent maps as much memory elsewhere, of the kind that is wanted
 *	copy		all pages are write-protected, without making writers wait, and copied; then those that were written to, in
 *			rounds, until few are left
 *	stop		all threads are stopped; the mapping must be the same still
 *	settle		the pages that differ are copied, those that are gone are dropped
 *	swap		by the agent, in one go: what is there is parked, what is staged put in its place
 *	release		threads go on; what is parked is unmapped in slices
 *
 * Until the swap the process uses its own pages, and has lost nothing whatever dies. The swap is the agent's alone, which can die only with the
 * process. The new pages are private and anonymous, as the old ones were: fork, madvise, mremap and brk mean what they meant.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "bits.h"
#include "error.h"
#include "inject/visit.h"
#include "relocate.h"
#include "sys/sys.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA	     0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* What is staged and parked stands as far into this as what it is for: then page tables are moved whole. */
#define CONGRUENT (UINT64_C(1) << 30)

/* Where places for those are looked for. */
#define PLACES (UINT64_C(1) << 44)

/* Rounds of copying: so many at most, and none for less than this. */
#define MOST_ROUNDS  8
#define HASTY_ROUNDS 4
#define FEW	     (UINT64_C(1) << 20)

/* What is copied, and unmapped, by one command. */
#define PART  (UINT64_C(4) << 20)
#define SLICE (UINT64_C(4) << 20)

/* What is write-protected at once. */
#define PROTECTED (UINT64_C(32) << 20)

/* Regions that a scan tells of at once. */
#define SCANNED 256

/* -- what it is, and whether it can be moved -- */

static int take_mapping(void *argument, const struct survey *survey)
{
	struct relocation *move = argument;

	if (survey->region.end <= move->address)
		return 0;
	if (survey->region.start > move->address)
		return 1;
	move->found = *survey;
	return 1;
}

static int find_mapping(struct relocation *move)
{
	int result;

	move->found.region.end = 0;
	result = task_survey(move->task, take_mapping, move);
	if (result < 0)
		return result;
	if (move->found.region.start != move->address || !move->found.region.end)
		return fail(-EFAULT, "no mapping of process %d begins at %#" PRIx64 "; only whole mappings are moved",
			    (int)move->task->pid, move->address);
	return 0;
}

static bool is_watched(const struct relocation *move)
{
	return survey_has_flag(&move->found, "um") || survey_has_flag(&move->found, "uw") ||
	       survey_has_flag(&move->found, "ui");
}

/* The policy of a mapping stands behind its address, which begins the line. */
static int check_policy(const struct relocation *move)
{
	char path[TASK_PATH], *line, policy[32];
	unsigned long long start;
	struct lines lines;
	int error;

	task_path(move->task, "numa_maps", path);
	error = lines_open(&lines, path);
	if (error == -ENOENT) /* a kernel that knows no policies */
		return 0;
	if (error)
		return fail_system(error, "%s cannot be opened", path);
	while (!error && (line = lines_next(&lines)))
		if (sscanf(line, "%llx %31s", &start, policy) == 2 && start == move->address && strcmp(policy, "default") != 0)
			error = fail(-EOPNOTSUPP, "the mapping at %#" PRIx64 " has the NUMA policy %s, which could not be kept",
				     move->address, policy);
	lines_close(&lines);
	return error;
}

struct sharers {
	pid_t pid;
	pid_t other;
};

static int compare(void *argument, pid_t pid)
{
	struct sharers *sharers = argument;

	if (pid == sharers->pid || !sys_same_memory(pid, sharers->pid))
		return 0;
	sharers->other = pid;
	return 1;
}

/* What takes requests for transfers that go on while all threads are stopped, to pages that are pinned and not counted. */
static bool is_queue(const struct region *region)
{
	return strcmp(region->name, "/[aio] (deleted)") == 0 || strcmp(region->name, "anon_inode:[io_uring]") == 0;
}

static int find_queue(void *argument, const struct region *region)
{
	(void)argument;
	return is_queue(region);
}

/* Such queues need not be mapped; and devices that are given to the process use its memory as they like. */
static int find_device(void *argument, pid_t fd)
{
	static const char *const names[] = { "anon_inode:[io_uring]", "anon_inode:[vfio", "/dev/vfio/", "/dev/iommu" };
	const struct relocation *move = argument;
	char path[TASK_PATH], name[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)move->task->pid, (int)fd);
	length = sys_read_link(path, name, sizeof(name) - 1);
	name[length > 0 ? length : 0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			return 1;
	return 0;
}

static int refuse_queue(const struct relocation *move)
{
	return fail(
		-EOPNOTSUPP,
		"process %d does asynchronous I/O (AIO, io_uring) or has devices use its memory (VFIO), which may go on using old pages",
		(int)move->task->pid);
}

static int check_queues(const struct relocation *move)
{
	char path[TASK_PATH];
	int found;

	task_path(move->task, "fd", path);
	found = sys_each_number(path, find_device, (void *)move);
	if (found < 0)
		return fail_system(found, "%s cannot be read, so that it cannot be known whether devices use its memory", path);
	return found ? refuse_queue(move) : 0;
}

/* Others whose threads would not be stopped. */
static int check_process(struct relocation *move)
{
	struct sharers sharers = { .pid = move->task->pid };
	struct task_status status;
	int error = task_status(move->task->pid, &status);

	if (error)
		return error;
	if (status.pins)
		return fail(-EOPNOTSUPP,
			    "process %d has memory that is pinned for a device or io_uring, which would go on using old pages",
			    (int)move->task->pid);
	move->swapped = status.swapped;
	error = task_each_region(move->task, find_queue, NULL);
	if (error)
		return error < 0 ? error : refuse_queue(move);
	error = check_queues(move);
	if (error)
		return error;
	if (sys_each_number("/proc", compare, &sharers) == 1)
		return fail(-EBUSY, "process %d shares its memory with process %d, a vfork perhaps", (int)sharers.pid,
			    (int)sharers.other);
	return 0;
}

/* -- what the agent does -- */

int64_t relocation_ask(const struct relocation *move, long number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e,
		       int64_t f)
{
	const int64_t arguments[6] = { a, b, c, d, e, f };

	return plant_call(&move->plant, number, arguments);
}

/* An ioctl of its userfaultfd, with a struct that is put where its list is. */
static int64_t ask_uffd(const struct relocation *move, unsigned long request, const void *argument, size_t size)
{
	uint64_t at = plant_list(&move->plant);
	int error = plant_write(&move->plant, at, argument, size);

	return error ? error : relocation_ask(move, SYS_ioctl, move->uffd, (int64_t)request, (int64_t)at, 0, 0, 0);
}

/* -- places -- */

struct places {
	uint64_t at, length;
};

static int step_over(void *argument, const struct region *region)
{
	struct places *places = argument;

	if (region->start < places->at + places->length && places->at < region->end)
		places->at = (region->end + 2 * CONGRUENT - 1) / CONGRUENT * CONGRUENT;
	return 0;
}

/* Room for both, with one place's distance in between. */
static int find_places(struct relocation *move)
{
	uint64_t each = (move->length + 2 * CONGRUENT - 1) / CONGRUENT * CONGRUENT;
	struct places places = { PLACES + CONGRUENT, 2 * each + CONGRUENT };
	int error = task_each_region(move->task, step_over, &places);

	move->stage = places.at + move->start % CONGRUENT;
	move->park = move->stage + each;
	return error;
}

static int64_t advise(const struct relocation *move, bool wanted, int advice)
{
	return wanted ? relocation_ask(move, SYS_madvise, (int64_t)move->stage, (int64_t)move->length, advice, 0, 0, 0) : 0;
}

/* The pages come from one node, while they are filled in; @node < 0: from anywhere again. */
static int64_t bind_pages(const struct relocation *move, int node)
{
	uint64_t at = plant_list(&move->plant), nodes[16] = { 0 };
	int error;

	if (node < 0)
		return relocation_ask(move, SYS_mbind, (int64_t)move->stage, (int64_t)move->length, MPOL_DEFAULT, 0, 0, 0);
	if (node >= (int)(8 * sizeof(nodes)))
		return -EINVAL;
	nodes[node / 64] = UINT64_C(1) << node % 64;
	error = plant_write(&move->plant, at, nodes, sizeof(nodes));
	return error ? error
		     : relocation_ask(move, SYS_mbind, (int64_t)move->stage, (int64_t)move->length, MPOL_BIND, (int64_t)at,
				      8 * sizeof(nodes), 0);
}

static int64_t name_stage(const struct relocation *move)
{
	char name[96];
	uint64_t at = plant_list(&move->plant);
	int error;

	if (sscanf(move->found.name, "[anon:%80[^]]", name) != 1)
		return 0;
	error = plant_write(&move->plant, at, name, strlen(name) + 1);
	return error ? error
		     : relocation_ask(move, SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, (int64_t)move->stage,
				      (int64_t)move->length, (int64_t)at, 0);
}

/* All that the mapping has, but for pages. */
static int64_t dress_stage(const struct relocation *move)
{
	const struct survey *found = &move->found;
	bool thp = move->place.kind == MR_PLACE_THP, small = move->place.kind == MR_PLACE_ANON;
	bool either = move->place.kind != MR_PLACE_HUGE_2M;
	int64_t error = advise(move, thp || (!small && either && survey_has_flag(found, "hg")), MADV_HUGEPAGE);

	if (error >= 0)
		error = advise(move, small || (!thp && either && survey_has_flag(found, "nh")), MADV_NOHUGEPAGE);
	if (error >= 0)
		error = advise(move, survey_has_flag(found, "dd"), MADV_DONTDUMP);
	if (error >= 0)
		error = advise(move, survey_has_flag(found, "dc"), MADV_DONTFORK);
	if (error >= 0)
		error = advise(move, survey_has_flag(found, "wf"), MADV_WIPEONFORK);
	if (error >= 0)
		error = advise(move, survey_has_flag(found, "mg"), MADV_MERGEABLE);
	if (error >= 0 && move->place.kind == MR_PLACE_NODE)
		error = bind_pages(move, (int)move->place.node);
	return error >= 0 ? name_stage(move) : error;
}

/* Whether writes are noted: not those to a file on a disk, which is copied while threads are stopped. */
static bool tracks(const struct relocation *move)
{
	return move->origin != ORIGIN_FILE;
}

/* The agent maps both places, so that it can leave nothing behind. */
static int map_stage(struct relocation *move, int64_t fd, int flags)
{
	struct agent_command command = { .operation = AGENT_STAGE };
	int64_t error;

	command.arguments[0] = (int64_t)move->length;
	command.arguments[1] = (int64_t)move->stage;
	command.arguments[2] = move->found.region.protection | PROT_READ | PROT_WRITE;
	command.arguments[3] = flags;
	command.arguments[4] = fd;
	command.arguments[5] = (int64_t)move->park;
	error = plant_tell(&move->plant, &command);
	if (error >= 0)
		error = dress_stage(move);
	return error < 0 ? fail_system((int)error, "process %d cannot map %" PRIu64 " bytes more, of this kind",
				       (int)move->task->pid, move->length)
			 : 0;
}

static int make_stage(struct relocation *move)
{
	int64_t fd;
	int flags, error = find_places(move);

	if (!error)
		error = placement_open(move, &fd, &flags);
	if (error)
		return error;
	error = map_stage(move, fd, flags);
	if (fd >= 0)
		relocation_ask(move, SYS_close, fd, 0, 0, 0, 0, 0);
	return error;
}

/* -- whether it has changed -- */

struct change {
	const struct relocation *move;
	bool same, queue;
};

/* Whether the mapping is what it was when it was found. Its flags are not looked at again, which would take milliseconds. */
static int look_at(void *argument, const struct region *region)
{
	struct change *change = argument;
	const struct region *found = &change->move->found.region;

	change->queue |= is_queue(region);
	change->same |= region->start == found->start && region->end == found->end && region->protection == found->protection &&
			region->shared == found->shared && region->inode == found->inode &&
			strcmp(region->name, change->move->found.name) == 0;
	return 0;
}

static int check_unchanged(const struct relocation *move)
{
	struct change change = { .move = move };
	struct task_status status;
	int error = task_each_region(move->task, look_at, &change);

	if (!error && change.queue)
		error = refuse_queue(move);
	if (!error)
		error = task_status(move->task->pid, &status);
	if (!error)
		error = placement_check_sharers(move);
	if (error)
		return error;
	if (!change.same || (status.swapped && !move->swapped) || status.pins)
		return fail(-EAGAIN, "the mapping at %#" PRIx64 " was changed meanwhile; nothing has been done to it",
			    move->address);
	return 0;
}

/* -- copying -- */

/* Have the agent copy what has been gathered. */
static int flush(struct relocation *move)
{
	struct agent_command command = { AGENT_COPY, { (int64_t)move->run_count } };
	int64_t done;
	int error;

	if (!move->run_count)
		return 0;
	error = plant_write(&move->plant, plant_list(&move->plant), move->runs, move->run_count * sizeof(*move->runs));
	if (error)
		return error;
	done = plant_tell(&move->plant, &command);
	if (done != (int64_t)move->run_bytes)
		return fail_system(done < 0 ? (int)done : -EAGAIN, "the mapping at %#" PRIx64 " has changed meanwhile",
				   move->address);
	move->done += move->run_bytes;
	move->copy.report.bytes += move->run_bytes;
	move->run_count = move->run_bytes = 0;
	return 0;
}

/* Gather [from, end), offsets, to be copied, in parts. */
static int gather(struct relocation *move, uint64_t from, uint64_t end)
{
	int error = 0;

	for (uint64_t part; !error && from < end; from += part) {
		part = end - from < PART ? end - from : PART;
		move->runs[move->run_count++] = (struct agent_run){ move->start + from, move->stage + from, part };
		move->run_bytes += part;
		bits_set(move->copied, from / sys_page_size(), (from + part) / sys_page_size());
		if (move->run_bytes >= PART || move->run_count == AGENT_RUNS) {
			if (!move->hurries)
				copy_pace(&move->copy, move->run_bytes);
			error = flush(move);
			if (!error && !move->hurries)
				error = copy_tell(&move->copy, move->done, move->length);
		}
	}
	return error;
}

/* Call @each for runs of pages in one of the categories @any that are more than the zero page; @rearm: write-protect them again. */
static int scan(struct relocation *move, uint64_t any, bool rearm,
		int (*each)(struct relocation *move, const struct sys_page_region *found))
{
	struct sys_page_region found[SCANNED];
	uint64_t at = move->start, end = move->start + move->length;
	int count, error = 0;

	while (!error && at < end) {
		struct sys_scan scan = { .start = at, .end = end, .any = any, .none = SYS_PAGE_ZERO, .protect = rearm };

		count = sys_pagemap_scan(move->pagemap, &scan, found, SCANNED);
		if (count < 0)
			return fail_system(count, "the pages of process %d cannot be listed", (int)move->task->pid);
		for (int i = 0; !error && i < count; i++)
			error = each(move, &found[i]);
		at = scan.walked;
	}
	return error;
}

/* The pages that are there. Where nothing is swapped out, what looks swapped out is a mark of the write protection alone. */
static uint64_t present(const struct relocation *move)
{
	return SYS_PAGE_PRESENT | (move->swapped ? SYS_PAGE_SWAPPED : 0);
}

static int gather_found(struct relocation *move, const struct sys_page_region *found)
{
	return gather(move, found->start - move->start, found->end - move->start);
}

/*
 * In the helper, while nobody can change mappings: one that has grown since it was found would be cut in two, the part that is
 * watched and the other, and the process's own mremap(2) takes no two mappings.
 */
static int watch(void *argument)
{
	struct relocation *move = argument;
	struct uffdio_register watched = { .range = { move->start, move->length }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct visit visit = { .task = move->task, .agent = move->plant.tid };
	int64_t result;
	int error;

	sys_run_first(move->plant.tid, true);
	visit.first = sys_run_first(0, true);
	error = visit_stop_all(&visit);
	if (!error)
		error = check_unchanged(move);
	if (!error) {
		result = ask_uffd(move, UFFDIO_REGISTER, &watched, sizeof(watched));
		if (result < 0)
			error = fail_system((int)result, "writes to the mapping at %#" PRIx64 " cannot be tracked",
					    move->address);
	}
	copy_stalled(&move->copy, visit_end(&visit));
	sys_run_first(move->plant.tid, false);
	return error;
}

/* In parts, so that others who want to change mappings need not wait for all of it. */
static int protect_all(struct relocation *move)
{
	int64_t error = visit_by(watch, move);

	if (error)
		return (int)error;
	for (uint64_t at = 0, part; error >= 0 && at < move->length; at += part) {
		struct uffdio_writeprotect protect = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };

		part = move->length - at < PROTECTED ? move->length - at : PROTECTED;
		protect.range = (struct uffdio_range){ move->start + at, part };
		error = ask_uffd(move, UFFDIO_WRITEPROTECT, &protect, sizeof(protect));
	}
	return error < 0 ? fail_system((int)error, "writes to the mapping at %#" PRIx64 " cannot be tracked", move->address)
			 : 0;
}

/* One round. Return: bytes copied, or an error. */
static int64_t copy_round(struct relocation *move, bool first)
{
	int error;

	move->done = 0;
	if (first && move->origin == ORIGIN_MEMFD)
		error = gather(move, 0, move->length);
	else
		error = scan(move, first ? present(move) : SYS_PAGE_WRITTEN, !first, gather_found);
	if (!error)
		error = flush(move);
	move->copy.report.rounds++;
	return error ? error : (int64_t)move->done;
}

/* Until little is left, or it gets no less. */
static int copy_in_rounds(struct relocation *move)
{
	int64_t before = INT64_MAX, done = copy_round(move, true);

	for (unsigned round = 1; done >= (int64_t)FEW && done < before && round < MOST_ROUNDS; round++) {
		before = done;
		done = copy_round(move, false);
	}
	return done < 0 ? (int)done : 0;
}

/* -- while all threads are stopped -- */

/* Pages that are there and have not been copied. */
static int gather_missing(struct relocation *move, uint64_t from, uint64_t end)
{
	uint64_t page = sys_page_size();
	int error = 0;

	for (uint64_t at = from, to; !error && at < end; at = to) {
		bool copied = bits_has(move->copied, at / page);

		to = bits_next(move->copied, at / page, end / page, !copied) * page;
		if (!copied)
			error = gather(move, at, to);
	}
	return error;
}

static int settle_found(struct relocation *move, const struct sys_page_region *found)
{
	uint64_t from = found->start - move->start, end = found->end - move->start;

	if (!(found->categories & (SYS_PAGE_WRITTEN | present(move)))) /* a mark alone */
		return 0;
	bits_set(move->there, from / sys_page_size(), end / sys_page_size());
	return found->categories & SYS_PAGE_WRITTEN ? gather(move, from, end) : gather_missing(move, from, end);
}

/* The process has given pages back since they were copied: they are zero now. */
static int drop_gone(struct relocation *move)
{
	uint64_t page = sys_page_size(), count = move->length / page;
	int64_t result = 0;

	if (move->origin == ORIGIN_MEMFD) /* it gives nothing back */
		return 0;
	for (uint64_t i = 0; i < count / 64 + 1; i++)
		move->copied[i] &= ~move->there[i];
	for (uint64_t at = bits_next(move->copied, 0, count, true), to; result >= 0 && at < count;
	     at = bits_next(move->copied, to, count, true)) {
		to = bits_next(move->copied, at, count, false);
		if (!placement_is_plain(move)) {
			result = gather(move, at * page, to * page);
			continue;
		}
		result = relocation_ask(move, SYS_madvise, (int64_t)(move->stage + at * page), (int64_t)((to - at) * page),
					MADV_DONTNEED, 0, 0, 0);
	}
	if (result < 0)
		return fail_system((int)result, "pages that have gone cannot be dropped");
	return flush(move);
}

static int settle(struct relocation *move)
{
	int error;

	if (move->origin == ORIGIN_FILE || (move->origin == ORIGIN_MEMFD && !move->copy.report.rounds)) {
		error = gather(move, 0, move->length);
		return error ? error : flush(move);
	}
	error = scan(move, SYS_PAGE_WRITTEN | present(move), false, settle_found);

	if (!error)
		error = flush(move);
	return error ? error : drop_gone(move);
}

/* The stage gets the access that the mapping has. */
static int finish_stage(const struct relocation *move)
{
	int protection = move->found.region.protection;
	int64_t error = 0;

	if (move->place.kind == MR_PLACE_NODE)
		error = bind_pages(move, -1);
	if (error >= 0 && !(protection & PROT_WRITE))
		error = relocation_ask(move, SYS_mprotect, (int64_t)move->stage, (int64_t)move->length, protection, 0, 0, 0);
	return error < 0 ? fail_system((int)error, "the new memory cannot be finished") : 0;
}

static int check_budget(const struct relocation *move, const struct visit *visit)
{
	uint64_t budget = move->copy.opts.stall_budget_ns, held = sys_now() - visit->since;

	if (!budget || held <= budget)
		return 0;
	return fail(-EBUSY, "it would hold up process %d for more than the budget of %" PRIu64 " ns: %" PRIu64 " have passed",
		    (int)move->task->pid, budget, held);
}

static int swap(struct relocation *move)
{
	static const int64_t ways[] = { [ORIGIN_ANONYMOUS] = AGENT_PARK,
					[ORIGIN_HUGE] = AGENT_REPLACE,
					[ORIGIN_MEMFD] = AGENT_REPLACE,
					[ORIGIN_FILE] = AGENT_TRUST };
	struct agent_command command = { AGENT_SWAP, { (int64_t)move->start, ways[move->origin], move->uffd, move->barrier } };
	int64_t error;

	if (move->origin == ORIGIN_ANONYMOUS)
		command.arguments[3] = !survey_has_flag(&move->found, "dc");
	error = plant_tell(&move->plant, &command);
	return error < 0 ? fail_system((int)error, "the mapping at %#" PRIx64 " cannot be replaced", move->address) : 0;
}

/* Rounds in which nobody gets in between, so that next to nothing is left for the last one. */
static int copy_in_haste(struct relocation *move)
{
	bool stopped = move->copy.opts.flags & MR_COPY_STOP || !tracks(move);
	int64_t before = INT64_MAX, done = stopped ? 0 : copy_round(move, false);

	for (unsigned round = 1; done >= (int64_t)FEW / 4 && done < before && round < HASTY_ROUNDS; round++) {
		before = done;
		done = copy_round(move, false);
	}
	return done < 0 ? (int)done : 0;
}

/* In the helper. */
static int commit(void *argument)
{
	struct relocation *move = argument;
	struct visit visit = { .task = move->task, .agent = move->plant.tid };
	int error = plant_guard(&move->plant);

	move->hurries = sys_run_first(move->plant.tid, true);
	visit.first = sys_run_first(0, true);
	if (!error && move->hurries)
		error = copy_in_haste(move);
	move->hurries = true;
	if (!error)
		error = visit_stop_all(&visit);
	if (!error)
		error = check_unchanged(move);
	if (!error)
		error = settle(move);
	if (!error)
		error = finish_stage(move);
	if (!error)
		error = check_budget(move, &visit);
	if (!error)
		error = swap(move);
	copy_stalled(&move->copy, visit_end(&visit));
	sys_run_first(move->plant.tid, false);
	return error;
}

/* -- all of it -- */

/* In slices, so that other threads get the address space in between. What fails the agent's end makes good. */
static void release_parked(const struct relocation *move)
{
	struct agent_command command = { AGENT_RELEASE, { SLICE } };
	struct sentence before;

	error_keep(&before);
	while (plant_tell(&move->plant, &command) > 0)
		;
	error_forgive(&before);
}

static int move_with_agent(struct relocation *move)
{
	int error = placement_open_uffds(move);

	if (!error)
		error = make_stage(move);
	if (!error && tracks(move))
		error = protect_all(move);
	if (!error && tracks(move) && !(move->copy.opts.flags & MR_COPY_STOP))
		error = copy_in_rounds(move);
	if (!error)
		error = visit_by(commit, move);
	if (!error)
		release_parked(move);
	return error;
}

static int move_now(struct relocation *move)
{
	char path[TASK_PATH];
	int error;

	task_path(move->task, "pagemap", path);
	move->pagemap = sys_open(path, O_RDONLY);
	if (move->pagemap < 0)
		return fail_system(move->pagemap, "%s cannot be opened", path);
	error = move_with_agent(move);
	sys_close(move->pagemap);
	return error;
}

static int check(struct relocation *move)
{
	int error = find_mapping(move);

	if (!error)
		error = placement_check_mapping(move);
	if (!error)
		error = check_policy(move);
	return error ? error : check_process(move);
}

static int move_found(struct relocation *move)
{
	int error;

	move->start = move->found.region.start;
	move->length = move->found.region.end - move->start;
	move->copied = bits_new(move->length / sys_page_size());
	move->there = bits_new(move->length / sys_page_size());
	if (move->copied && move->there)
		error = move_now(move);
	else
		error = fail(-ENOMEM, "there is no memory to note pages in");
	sys_free(move->copied);
	sys_free(move->there);
	return error;
}

/* The agent of a caller who was killed may watch the mapping still: it has gone when another one is there. */
static int relocate(struct relocation *move)
{
	int error = placement_check(move);
	struct sentence before;
	bool again;

	if (error)
		return error;
	error_keep(&before);
	error = check(move);
	again = error && is_watched(move);
	if (error && !again)
		return error;
	error_forgive(&before);
	error = plant_begin(&move->plant, move->task);
	if (error)
		return error;
	sys_run_last(move->plant.tid);
	error = again ? check(move) : 0;
	if (!error)
		error = move_found(move);
	plant_end(&move->plant);
	return error;
}

int mr_task_move(struct mr_task *task, uint64_t address, const struct mr_place *place, const struct mr_copy_opts *opts,
		 struct mr_report *ret_report)
{
	struct relocation *move;
	int error;

	error_call(__func__);
	if (task_is_own(task) || task->frozen)
		return fail(-EINVAL, "task is the calling process, which cannot stop itself, or a copy, which stands still");
	if (!place || place->size < sizeof(*place))
		return fail(-EINVAL, "place is NULL, or its size is not that of struct mr_place");
	error = task_check(task);
	move = error ? NULL : sys_allocate(1, sizeof(*move));
	if (!error && !move)
		error = fail(-ENOMEM, "there is no memory for the work");
	if (!error)
		error = copy_begin(&move->copy, opts, MR_COPY_STOP, ret_report);
	if (!error) {
		move->task = task;
		move->address = address;
		move->place = *place;
		move->copy.report.method = opts && opts->flags & MR_COPY_STOP ? MR_COPIED_STOPPED : MR_COPIED_GUARDED;
		error = relocate(move);
	}
	if (!error)
		copy_report(&move->copy, ret_report);
	sys_free(move);
	return error;
}
