/* SPDX-License-Identifier: MIT */
/* Copies of tasks that stand still, with the registers of every thread. */
#include "frozen.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "copy.h"
#include "error.h"
#include "inject/plant.h"
#include "inject/visit.h"
#include "lines.h"
#include "process.h"
#include "regions.h"
#include "sys/sys.h"
#include "task.h"

/* The most that the registers of one type take. */
#define MOST_REGISTERS 16384

static const uint32_t types[] = { NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE };

#define TYPES (sizeof(types) / sizeof(*types))

struct frozen_thread {
	pid_t tid;
	uint64_t blocked;
	char name[32];
	struct mr_registers registers[TYPES];
	size_t count;
};

struct frozen {
	struct mr_task *of; /* a reference */
	struct plant plant;
	struct frozen_thread *threads;
	size_t count;
	uint64_t stall_ns;
	pid_t copy;
};

/* -- threads -- */

static int take_registers(struct frozen_thread *thread, uint32_t type)
{
	char buffer[MOST_REGISTERS];
	ssize_t length = sys_ptrace_get(thread->tid, type, buffer, sizeof(buffer));
	void *bytes;

	if (length == -ENODEV || length == -EINVAL) /* the processor has none of this type */
		return 0;
	if (length < 0)
		return fail_system((int)length, "the registers of thread %d cannot be had", (int)thread->tid);
	bytes = sys_allocate(1, (size_t)length);
	if (!bytes)
		return fail(-ENOMEM, "there is no memory for the registers of thread %d", (int)thread->tid);
	memcpy(bytes, buffer, (size_t)length);
	thread->registers[thread->count++] = (struct mr_registers){ type, (size_t)length, bytes };
	return 0;
}

static void read_name(const struct mr_task *task, pid_t tid, char name[32])
{
	char path[TASK_PATH], *line;
	struct lines lines;

	*name = '\0';
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)mr_task_pid(task), (int)tid);
	if (lines_open(&lines, path))
		return;
	line = lines_next(&lines);
	if (line)
		snprintf(name, 32, "%.31s", line);
	lines_close(&lines);
}

static int take_thread(struct frozen_thread *thread, const struct mr_task *task, pid_t tid)
{
	int error = 0;

	thread->tid = tid;
	read_name(task, tid, thread->name);
	sys_ptrace_get_mask(tid, &thread->blocked);
	for (size_t i = 0; !error && i < TYPES; i++)
		error = take_registers(thread, types[i]);
	return error;
}

/* The first thread of the process comes first. */
static int take_threads(struct frozen *frozen, const struct visit *visit)
{
	size_t next = 1;
	int error = 0;

	frozen->threads = sys_allocate(visit->count + 1, sizeof(*frozen->threads));
	if (!frozen->threads)
		return fail(-ENOMEM, "there is no memory for %zu threads", visit->count);
	for (size_t i = 0; !error && i < visit->count; i++) {
		bool first = visit->threads[i].tid == mr_task_pid(frozen->of);

		error = take_thread(&frozen->threads[first ? 0 : next++], frozen->of, visit->threads[i].tid);
	}
	frozen->count = next;
	if (!frozen->threads[0].tid) /* the first one has ended before the others */
		frozen->threads[0] = frozen->threads[--frozen->count];
	return error;
}

/* -- memory that is shared -- */

struct sharing {
	const struct plant *plant;
	uint64_t count;
};

static bool has_no_file(const char *name)
{
	static const char *const starts[] = { "/dev/zero", "/dev/shm/", "/memfd:", "/SYSV", "[anon_shmem" };

	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		if (strncmp(name, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

/* Have the copy make a range its own. */
static int list_shared(void *argument, const struct region *region)
{
	struct sharing *sharing = argument;
	struct agent_run range = { .from = region->start, .length = region->end - region->start };
	uint64_t at = plant_list(sharing->plant) + sharing->count * sizeof(range);

	if (!region->shared || !(region->protection & PROT_WRITE) || !has_no_file(region->name))
		return 0;
	if (sharing->count == AGENT_RUNS)
		return fail(-EOPNOTSUPP, "the process has more than %" PRIu64 " shared mappings", AGENT_RUNS);
	sharing->count++;
	return plant_write(sharing->plant, at, &range, sizeof(range));
}

/* -- the copy -- */

static int fork_copy(struct frozen *frozen)
{
	struct agent_command command = { .operation = AGENT_FORK };
	struct sharing sharing = { .plant = &frozen->plant };
	int64_t pid;
	int error = task_each_region(frozen->of, list_shared, &sharing);

	if (error)
		return error;
	command.arguments[0] = (int64_t)sharing.count;
	pid = plant_tell(&frozen->plant, &command);
	if (pid < 0)
		return fail_system((int)pid, "process %d can have no copy: its limits, or the system's, allow none",
				   (int)mr_task_pid(frozen->of));
	frozen->copy = (pid_t)pid;
	return 0;
}

/* In the helper. */
static int freeze(void *argument)
{
	struct frozen *frozen = argument;
	struct visit visit = { .task = frozen->of, .agent = frozen->plant.tid };
	int error;

	sys_run_first(frozen->plant.tid, true);
	visit.first = sys_run_first(0, true);
	error = visit_stop_all(&visit);
	if (!error)
		error = take_threads(frozen, &visit);
	if (!error)
		error = fork_copy(frozen);
	frozen->stall_ns = visit_end(&visit);
	sys_run_first(frozen->plant.tid, false);
	return error;
}

void frozen_free(struct frozen *frozen, bool inherited)
{
	if (inherited)
		plant_forget(&frozen->plant);
	else
		plant_end(&frozen->plant);
	for (size_t i = 0; i < frozen->count; i++)
		for (size_t j = 0; j < frozen->threads[i].count; j++)
			sys_free((void *)frozen->threads[i].registers[j].bytes);
	sys_free(frozen->threads);
	mr_task_unref(frozen->of);
	sys_free(frozen);
}

bool frozen_hides(const struct frozen *frozen, const struct region *region)
{
	return region->start == frozen->plant.area;
}

static int make(struct mr_task *task, struct frozen **ret_frozen)
{
	struct frozen *frozen = sys_allocate(1, sizeof(*frozen));
	int error;

	if (!frozen)
		return fail(-ENOMEM, "there is no memory for the object");
	frozen->of = mr_task_ref(task);
	error = plant_begin(&frozen->plant, task);
	if (!error)
		error = visit_by(freeze, frozen);
	if (error)
		frozen_free(frozen, false);
	else
		*ret_frozen = frozen;
	return error;
}

static int check_snapshot(const struct mr_task *task, struct mr_task **ret_copy)
{
	if (task_is_own(task))
		return fail(-EINVAL, "task is the calling process, which cannot stop itself; fork(2) makes a copy of it");
	if (task->frozen)
		return fail(-EINVAL, "task is a copy already, which stands still");
	if (!ret_copy)
		return fail(-EINVAL, "ret_copy is NULL; it must point to where the copy is to be put");
	return task_check(task);
}

int mr_task_snapshot(struct mr_task *task, struct mr_task **ret_copy, struct mr_report *ret_report)
{
	struct frozen *frozen;
	struct mr_task *made;
	struct copy copy;
	int error;

	error_call(__func__);
	error = check_snapshot(task, ret_copy);
	if (!error)
		error = copy_begin(&copy, NULL, 0, ret_report);
	if (!error)
		error = make(task, &frozen);
	if (error)
		return error;
	error = task_open(frozen->copy, &made);
	if (error) {
		frozen_free(frozen, false);
		return error;
	}
	made->frozen = frozen;
	copy_stalled(&copy, frozen->stall_ns);
	copy.report.rounds = 1;
	copy.report.method = MR_COPIED_GUARDED;
	copy_report(&copy, ret_report);
	*ret_copy = made;
	return 0;
}

/* -- telling of threads -- */

struct telling {
	const struct mr_task *task;
	int (*each)(void *arg, const struct mr_thread *thread);
	void *arg;
};

static int tell_running(void *argument, pid_t tid)
{
	const struct telling *telling = argument;
	char name[32];
	struct mr_thread thread = { .size = sizeof(thread), .tid = tid, .name = name };

	read_name(telling->task, tid, name);
	return telling->each(telling->arg, &thread);
}

static int tell_frozen(const struct telling *telling, const struct frozen *frozen)
{
	int result = 0;

	for (size_t i = 0; !result && i < frozen->count; i++) {
		const struct frozen_thread *found = &frozen->threads[i];
		struct mr_thread thread = { .size = sizeof(thread), .tid = found->tid, .name = found->name };

		thread.blocked = found->blocked;
		thread.registers = found->registers;
		thread.count = found->count;
		result = telling->each(telling->arg, &thread);
	}
	return result;
}

int mr_task_threads(struct mr_task *task, int (*each)(void *arg, const struct mr_thread *thread), void *arg)
{
	struct telling telling = { task, each, arg };
	int error;

	error_call(__func__);
	if (!each)
		return fail(-EINVAL, "each is NULL; it must be what is told of threads");
	error = task_check(task);
	if (error)
		return error;
	return task && task->frozen ? tell_frozen(&telling, task->frozen) : task_each_thread(task, tell_running, &telling);
}
