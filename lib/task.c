/* SPDX-License-Identifier: MIT */
/* Tasks: the address spaces of processes, and what is mapped in them. */
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "frozen.h"
#include "lines.h"
#include "process.h"
#include "regions.h"
#include "sys/sys.h"

void task_path(const struct mr_task *task, const char *name, char ret_path[TASK_PATH])
{
	if (task)
		snprintf(ret_path, TASK_PATH, "/proc/%d/%s", (int)task->pid, name);
	else
		snprintf(ret_path, TASK_PATH, "/proc/self/%s", name);
}

static int ended(pid_t pid)
{
	return fail(-ESRCH, "process %d has ended, or runs another program", (int)pid);
}

/* Reading from an address space that nobody uses any more gives nothing; from address 0 of one that is in use, an error. */
bool task_is_there(const struct mr_task *task)
{
	char byte;

	return sys_pidfd_alive(task->pidfd) && sys_pread(task->mem, &byte, 1, 0) != 0;
}

int task_check(const struct mr_task *task)
{
	int error = task ? process_owns(task->generation, "task") : 0;

	if (error || !task)
		return error;
	return task_is_there(task) ? 0 : ended(task->pid);
}

bool task_sees_our_pids(const struct mr_task *task)
{
	struct stat ours, theirs;
	char path[TASK_PATH];

	task_path(task, "ns/pid", path);
	return !sys_stat_path("/proc/self/ns/pid", &ours) && !sys_stat_path(path, &theirs) && ours.st_ino == theirs.st_ino;
}

bool task_is_own(const struct mr_task *task)
{
	return !task || task->own;
}

/* -- opening -- */

static void take_status_line(struct task_status *status, const char *line)
{
	unsigned long long number;
	int pid;

	if (sscanf(line, "Tgid: %d", &pid) == 1)
		status->process = pid;
	if (sscanf(line, "TracerPid: %d", &pid) == 1)
		status->tracer = pid;
	sscanf(line, "State: %c", &status->state);
	status->has_memory |= strncmp(line, "VmSize:", 7) == 0;
	status->filtered |= sscanf(line, "Seccomp: %llu", &number) == 1 && number;
	status->pins |= sscanf(line, "VmPin: %llu", &number) == 1 && number;
	status->swapped |= sscanf(line, "VmSwap: %llu", &number) == 1 && number;
}

int task_status(pid_t pid, struct task_status *ret_status)
{
	struct lines lines;
	char path[TASK_PATH], *line;
	int error;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	error = lines_open(&lines, path);
	if (error == -ENOENT || error == -ESRCH)
		return fail(-ESRCH, "there is no process %d", (int)pid);
	if (error)
		return fail_system(error, "%s cannot be opened; /proc must be mounted", path);
	*ret_status = (struct task_status){ 0 };
	while ((line = lines_next(&lines)))
		take_status_line(ret_status, line);
	lines_close(&lines);
	return ret_status->process ? 0 : fail(-ESRCH, "there is no process %d", (int)pid);
}

pid_t task_tracer(pid_t tid)
{
	struct task_status status;

	return task_status(tid, &status) ? 0 : status.tracer;
}

int task_each_thread(const struct mr_task *task, int (*each)(void *argument, pid_t tid), void *argument)
{
	char path[TASK_PATH];
	int error;

	task_path(task, "task", path);
	error = sys_each_number(path, each, argument);
	return error == -ENOENT ? ended(task->pid) : error;
}

static int check_status(pid_t pid, const struct task_status *status)
{
	if (status->state == 'Z' || status->state == 'X')
		return fail(-ESRCH, "process %d has ended, and waits for its parent to take notice", (int)pid);
	if (!status->has_memory)
		return fail(-EOPNOTSUPP, "process %d is a thread of the kernel's, which has no memory of its own", (int)pid);
	return 0;
}

static int open_pidfd(struct mr_task *task)
{
	task->pidfd = sys_pidfd(task->pid);
	if (task->pidfd == -ESRCH)
		return fail(-ESRCH, "there is no process %d", (int)task->pid);
	if (task->pidfd < 0)
		return fail_system(task->pidfd, "process %d cannot be opened", (int)task->pid);
	return 0;
}

static int open_mem(struct mr_task *task)
{
	char path[TASK_PATH];

	task_path(task, "mem", path);
	task->mem = sys_open(path, O_RDWR);
	if (task->mem == -EACCES || task->mem == -EPERM)
		return fail(-EPERM, "process %d may not be traced by this one: it takes the same user, or CAP_SYS_PTRACE",
			    (int)task->pid);
	if (task->mem == -ENOENT || task->mem == -ESRCH || (task->mem >= 0 && !sys_pidfd_alive(task->pidfd)))
		return ended(task->pid);
	if (task->mem < 0)
		return fail_system(task->mem, "the memory of process %d cannot be opened", (int)task->pid);
	return 0;
}

static void destroy(struct mr_task *task)
{
	if (task->frozen)
		frozen_free(task->frozen, task->generation != process_generation());
	if (task->mem >= 0)
		sys_close(task->mem);
	if (task->pidfd >= 0)
		sys_close(task->pidfd);
	sys_free(task);
}

int task_open(pid_t process, struct mr_task **ret_task)
{
	struct mr_task *task = sys_allocate(1, sizeof(*task));
	int error;

	if (!task)
		return fail(-ENOMEM, "there is no memory for the object");
	*task = (struct mr_task){ .references = 1, .generation = process_generation(), .pid = process, .pidfd = -1, .mem = -1 };
	task->own = process == sys_pid();
	error = open_pidfd(task);
	if (!error)
		error = open_mem(task);
	if (error)
		destroy(task);
	else
		*ret_task = task;
	return error;
}

int mr_task_open(pid_t pid, struct mr_task **ret_task)
{
	struct task_status status;
	int error;

	error_call(__func__);
	if (pid <= 0)
		return fail(-EINVAL, "pid is %d; it must be positive", (int)pid);
	if (!ret_task)
		return fail(-EINVAL, "ret_task is NULL; it must point to where the task is to be put");
	error = task_status(pid, &status);
	if (!error)
		error = check_status(pid, &status);
	return error ? error : task_open(status.process, ret_task);
}

struct mr_task *mr_task_ref(struct mr_task *task)
{
	if (task)
		atomic_fetch_add_explicit(&task->references, 1, memory_order_relaxed);
	return task;
}

struct mr_task *mr_task_unref(struct mr_task *task)
{
	if (task && atomic_fetch_sub_explicit(&task->references, 1, memory_order_acq_rel) == 1)
		destroy(task);
	return NULL;
}

pid_t mr_task_pid(const struct mr_task *task)
{
	return task ? task->pid : sys_pid();
}

/* -- bytes -- */

int task_copy(const struct mr_task *task, uint64_t address, void *buffer, uint64_t length, bool write)
{
	for (ssize_t done; length; address += (uint64_t)done, buffer = (char *)buffer + done, length -= (uint64_t)done) {
		done = write ? sys_pwrite(task->mem, buffer, length, address) : sys_pread(task->mem, buffer, length, address);
		if (!done)
			return ended(task->pid);
		if (done < 0)
			return fail_system(done == -EIO ? -EFAULT : (int)done,
					   "%" PRIu64 " bytes at %#" PRIx64 " of process %d cannot be copied", length, address,
					   (int)task->pid);
	}
	return 0;
}

/* -- regions -- */

int task_each_region(const struct mr_task *task, int (*each)(void *argument, const struct region *region), void *argument)
{
	struct region region;
	struct lines lines;
	char path[TASK_PATH], *line;
	int result;

	task_path(task, "maps", path);
	result = lines_open(&lines, path);
	if (result)
		return fail_system(result, "%s cannot be opened", path);
	while (!result && (line = lines_next(&lines)))
		if (region_parse(line, &region))
			result = each(argument, &region);
	if (!result && lines.error)
		result = fail_system(lines.error, "%s cannot be read", path);
	lines_close(&lines);
	return result;
}

bool survey_has_flag(const struct survey *survey, const char *flag)
{
	for (const char *at = survey->flags; at[0] && at[1]; at += at[2] ? 3 : 2)
		if (at[0] == flag[0] && at[1] == flag[1])
			return true;
	return false;
}

/* Take what a line says of the region that has begun. */
static void take_detail(struct survey *survey, const char *line)
{
	uint64_t kib;

	if (sscanf(line, "Rss: %" SCNu64, &kib) == 1 || sscanf(line, "Shared_Hugetlb: %" SCNu64, &kib) == 1 ||
	    sscanf(line, "Private_Hugetlb: %" SCNu64, &kib) == 1) {
		survey->resident += kib << 10;
		if (*line != 'R' && !survey->region.shared) /* huge pages are not counted as anonymous */
			survey->anonymous += kib << 10;
	}
	if (sscanf(line, "Anonymous: %" SCNu64, &kib) == 1 || sscanf(line, "Swap: %" SCNu64, &kib) == 1)
		survey->anonymous += kib << 10;
	if (sscanf(line, "ProtectionKey: %" SCNu64, &kib) == 1)
		survey->key = (unsigned)kib;
	if (strncmp(line, "VmFlags: ", 9) == 0)
		snprintf(survey->flags, sizeof(survey->flags), "%s", line + 9);
}

static void begin(struct survey *survey, const struct region *region)
{
	survey->region = *region;
	snprintf(survey->name, sizeof(survey->name), "%s", region->name);
	survey->region.name = survey->name;
	survey->resident = survey->anonymous = 0;
	survey->key = 0;
	*survey->flags = '\0';
	survey->begun = true;
}

static int survey_lines(struct lines *lines, int (*each)(void *, const struct survey *), void *argument)
{
	struct survey survey = { .begun = false };
	struct region region;
	int result = 0;
	char *line;

	while (!result && (line = lines_next(lines))) {
		if (!region_parse(line, &region)) {
			take_detail(&survey, line);
			continue;
		}
		if (survey.begun)
			result = each(argument, &survey);
		begin(&survey, &region);
	}
	if (!result && lines->error)
		return fail_system(lines->error, "the list of mappings cannot be read");
	return result || !survey.begun ? result : each(argument, &survey);
}

int task_survey(const struct mr_task *task, int (*each)(void *argument, const struct survey *survey), void *argument)
{
	char path[TASK_PATH];
	struct lines lines;
	int error;

	task_path(task, "smaps", path);
	error = lines_open(&lines, path);
	if (error == -EACCES || error == -EPERM)
		return fail(-EPERM, "%s cannot be opened: process %d may not be traced by this one", path,
			    (int)mr_task_pid(task));
	if (error)
		return fail_system(error, "%s cannot be opened", path);
	error = !task || task_is_there(task) ? survey_lines(&lines, each, argument) : ended(task->pid);
	lines_close(&lines);
	return error;
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* What kind of mapping it is, if that alone rules it out. */
const char *task_objection_to_any(const struct survey *survey)
{
	const char *name = survey->name;

	if (strcmp(name, "[vdso]") == 0 || starts_with(name, "[vvar") || strcmp(name, "[vsyscall]") == 0)
		return "it belongs to the kernel";
	if (survey_has_flag(survey, "gd"))
		return "it is a stack that grows";
	if (survey_has_flag(survey, "pf") || survey_has_flag(survey, "io"))
		return "it maps a device";
	if (survey_has_flag(survey, "sl"))
		return "it is sealed (mseal)";
	if (survey_has_flag(survey, "um") || survey_has_flag(survey, "uw") || survey_has_flag(survey, "ui"))
		return "a userfaultfd watches it";
	return survey->region.protection ? NULL : "nothing may access it";
}

/* Where moves have put what was private and anonymous. */
static const char moved_to_memfd[] = "/memfd:memredirect (deleted)", moved_to_huge[] = "/anon_hugepage (deleted)";

const char *task_objection(const struct mr_task *task, const struct survey *survey)
{
	const char *reason = task_objection_to_any(survey);

	if (reason)
		return reason;
	if (!task_is_own(task) && strcmp(survey->name, survey->region.shared ? moved_to_memfd : moved_to_huge) == 0)
		return NULL;
	if (survey->region.shared)
		return task_is_own(task) ? NULL : "it is shared: other processes that map it would not follow";
	if (survey_has_flag(survey, "ht"))
		return "it is private memory of huge pages";
	if (survey->region.inode && !(task_is_own(task) && starts_with(survey->name, "/memfd:")))
		return "it is a private mapping of a file";
	return NULL;
}

struct telling {
	const struct mr_task *task;
	int (*each)(void *arg, const struct mr_region *region);
	void *arg;
};

static int tell(void *argument, const struct survey *survey)
{
	const struct telling *telling = argument;
	const struct region *found = &survey->region;
	struct mr_region region = { .size = sizeof(region), .start = found->start, .length = found->end - found->start };

	if (telling->task && telling->task->frozen && frozen_hides(telling->task->frozen, found))
		return 0;
	region.offset = found->inode ? found->offset : 0;
	region.resident = survey->resident;
	region.anonymous = survey->anonymous;
	region.protection = (uint32_t)found->protection;
	region.shared = found->shared;
	region.name = survey->name;
	region.reason = task_objection(telling->task, survey);
	region.redirectable = !region.reason;
	return telling->each(telling->arg, &region);
}

int mr_task_regions(struct mr_task *task, int (*each)(void *arg, const struct mr_region *region), void *arg)
{
	struct telling telling = { task, each, arg };
	int error;

	error_call(__func__);
	if (!each)
		return fail(-EINVAL, "each is NULL; it must be what is told of regions");
	error = task_check(task);
	return error ? error : task_survey(task, tell, &telling);
}
