/* SPDX-License-Identifier: MIT */
/*
 * Putting the agent into another process.
 *
 * The unused end of the vdso, which a debugger's privileges let us write to, takes a few instructions: first those that map the area,
 * then those that start a thread in it, at last those by which that thread leaves. The thread that runs the first two is stopped again
 * behind them, and only then is the place cleared: so nobody is ever in the middle of what is overwritten.
 *
 *	step		if the caller is killed before the next one
 *	write code	the end of the vdso has bytes that nobody looks at; the next caller clears them
 *	set registers	the thread goes on by itself, and there is an empty area
 *	write agent	the same
 *	set registers	the agent starts, hears nothing, and takes the area with it
 *	open pipes	the same, when the pipes end
 */
#include "inject/plant.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "error.h"
#include "inject/arch/arch.h"
#include "inject/visit.h"
#include "regions.h"
#include "sys/sys.h"
#include "task.h"

/* Where an area is looked for first: between what programs, heaps, and mappings begin with. */
#define AREA_FIRST (UINT64_C(1) << 44)
#define AREA_STEP  (UINT64_C(16) << 20)

/* How long the agent may take to appear, and to answer; in nanoseconds. */
#define PATIENCE UINT64_C(10000000000)
#define NAP	 20000
#define LONG_NAP 20000000

struct planting {
	struct plant *plant;
	uint64_t vdso, vdso_end;
	uint64_t place; /* for code: the unused end */
	uint64_t area;
	uint64_t old_area; /* that of a caller who was killed; 0: there is none */
	bool stained;	   /* such a one has used the place */
	const struct arch_start *start;
};

static uint64_t address_of_agent(uint64_t area)
{
	return area + AGENT_CODE;
}

/* -- the place -- */

static bool is_area(const struct region *region)
{
	return region->start >= AREA_FIRST && region->start % AREA_STEP == 0 && region->end - region->start == AGENT_AREA &&
	       region->protection == (PROT_READ | PROT_WRITE | PROT_EXEC) && !region->inode && !region->shared;
}

static int note_vdso(void *argument, const struct region *region)
{
	struct planting *planting = argument;

	if (strcmp(region->name, "[vdso]") == 0) {
		planting->vdso = region->start;
		planting->vdso_end = region->end;
	}
	if (is_area(region))
		planting->old_area = region->start;
	if (region->start < planting->area + AREA_STEP && planting->area < region->end + AREA_STEP)
		planting->area = (region->end + 2 * AREA_STEP) / AREA_STEP * AREA_STEP;
	return 0;
}

/* Behind all that the vdso, which is an ELF file of @length bytes, has. */
static uint64_t end_of_image(const Elf64_Ehdr *header, uint64_t length)
{
	uint64_t end = header->e_shoff + (uint64_t)header->e_shnum * header->e_shentsize;
	const Elf64_Phdr *part = (const Elf64_Phdr *)((const char *)header + header->e_phoff);

	if (header->e_phoff > length ||
	    header->e_phnum > (length - header->e_phoff) / sizeof(*part)) /* the process has changed it */
		return length;
	for (unsigned i = 0; i < header->e_phnum; i++)
		if (part[i].p_offset + part[i].p_filesz > end)
			end = part[i].p_offset + part[i].p_filesz;
	return (end + 15) / 16 * 16;
}

static int find_place(struct planting *planting)
{
	char image[16384] __attribute__((aligned(16)));
	uint64_t length = planting->vdso_end - planting->vdso, used;
	int error;

	if (!planting->vdso || length > sizeof(image))
		return fail(-EOPNOTSUPP, "process %d has no vdso that code could be put behind",
			    (int)mr_task_pid(planting->plant->task));
	error = task_copy(planting->plant->task, planting->vdso, image, length, false);
	if (error)
		return error;
	if (image[EI_CLASS] != ELFCLASS64)
		return fail(-EOPNOTSUPP, "process %d runs code of 32 bit", (int)mr_task_pid(planting->plant->task));
	used = end_of_image((const Elf64_Ehdr *)image, length);
	if (used > length || length - used < 2 * ARCH_CODE)
		return fail(-EOPNOTSUPP, "the vdso of process %d has no room for code behind it",
			    (int)mr_task_pid(planting->plant->task));
	planting->place = planting->vdso + used;
	for (uint64_t i = used; i < length; i++)
		planting->stained |= image[i] != 0;
	return 0;
}

/* -- whether it may be -- */

static int check_target(const struct mr_task *task)
{
	struct task_status status;
	int error = task_status(task->pid, &status);

	if (error)
		return error;
	if (status.tracer)
		return fail(-EBUSY, "process %d is traced already, by process %d", (int)task->pid, (int)status.tracer);
	if (status.state == 'T' || status.state == 't')
		return fail(-EBUSY, "process %d is stopped (SIGSTOP); continue it first", (int)task->pid);
	if (status.filtered)
		return fail(-EOPNOTSUPP, "process %d has a seccomp filter, which could kill it for a call of the agent's",
			    (int)task->pid);
	if (!task_sees_our_pids(task))
		return fail(-EOPNOTSUPP, "process %d is in another pid namespace; run this in that one (nsenter --pid --mount)",
			    (int)task->pid);
	return 0;
}

/* -- in the helper -- */

static bool is_outside(pid_t tid, void *argument)
{
	const struct planting *planting = argument;
	struct arch_registers registers;
	uint64_t at;

	if (arch_get_registers(tid, &registers))
		return false;
	at = arch_instruction(&registers);
	return (at < planting->place || at >= planting->vdso_end) &&
	       (at < planting->old_area || at >= planting->old_area + AGENT_AREA);
}

/* A stopped thread that can be used. */
struct choice {
	struct visit *visit;
	struct visited *thread;
	struct arch_registers registers;
	bool leader, any; /* the first thread; also one that will see EINTR */
	const char *objection;
};

static int try_thread(void *argument, pid_t tid)
{
	struct choice *choice = argument;
	struct visited *thread;
	int error;

	if (choice->leader != (tid == choice->visit->task->pid))
		return 0;
	error = visit_stop(choice->visit, tid, &thread);
	if (error == -ESRCH)
		return 0;
	if (!error)
		error = arch_get_registers(tid, &choice->registers);
	if (error)
		return error;
	choice->objection = arch_objection(&choice->registers);
	if (!thread->in_group_stop && !thread->signal_count && !choice->objection &&
	    (choice->any || !arch_is_disturbed(&choice->registers))) {
		choice->thread = thread;
		return 1;
	}
	visit_end(choice->visit);
	return 0;
}

/* One that will not notice is best; the first thread often waits in a call that is not made again. */
static int choose(struct choice *choice)
{
	const struct mr_task *task = choice->visit->task;
	int found = 0;

	for (unsigned pass = 0; !found && pass < 4; pass++) {
		choice->leader = pass % 2;
		choice->any = pass / 2;
		found = task_each_thread(task, try_thread, choice);
	}
	if (found < 0)
		return found;
	if (!found)
		return fail(choice->objection ? -EOPNOTSUPP : -EBUSY, "process %d has no thread that could be used: %s",
			    (int)task->pid,
			    choice->objection ? choice->objection : "all are stopped, or about to take a signal");
	return 0;
}

static int put_code(const struct planting *planting, const char *code)
{
	return task_copy(planting->plant->task, planting->place, (void *)code, ARCH_CODE, true);
}

static int clear(const struct mr_task *task, uint64_t place, uint64_t length)
{
	static const char nothing[16384];

	return task_copy(task, place, (void *)nothing, length, true);
}

/* A thread that got nowhere, for it is frozen, say, goes on as it was when it can. Return: @error. */
static int take_back(const struct planting *planting, const struct choice *choice, uint64_t entry, int error)
{
	struct arch_registers registers;

	if (!arch_get_registers(choice->thread->tid, &registers) && arch_instruction(&registers) == entry &&
	    !arch_set_registers(choice->thread->tid, &choice->registers))
		clear(planting->plant->task, planting->place, ARCH_CODE);
	return error;
}

/* Let the thread run the code, commit to which is one step, and come out of it. */
static int run_code(struct planting *planting, struct choice *choice, const char *code, uint64_t entry)
{
	struct arch_registers registers = choice->registers;
	int error = put_code(planting, code);

	if (error)
		return error;
	arch_go_to(&registers, entry);
	error = arch_set_registers(choice->thread->tid, &registers);
	if (!error)
		error = visit_run_until(choice->visit, choice->thread, is_outside, planting);
	return error == -EBUSY ? take_back(planting, choice, entry, error) : error;
}

/* Whether some thread of the target is in the place, or in an old area. */
static int is_used(struct planting *planting, struct visit *visit)
{
	int error = visit_stop_all(visit);

	for (size_t i = 0; !error && i < visit->count; i++)
		if (!is_outside(visit->threads[i].tid, planting))
			return 1;
	return error;
}

static int open_pipe(const struct mr_task *task, pid_t agent, int fd, int flags)
{
	char path[TASK_PATH];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/fd/%d", (int)task->pid, (int)agent, fd);
	return sys_open(path, flags);
}

/*
 * The agent of an old area may wait for its caller, who has been killed before it had the pipes: it is told to end. One whose caller had
 * them has closed this end, and ends by itself.
 */
static void dismiss(const struct planting *planting)
{
	const struct agent_command end = { .operation = AGENT_END };
	const struct mr_task *task = planting->plant->task;
	struct agent agent;
	int commands;

	if (!planting->old_area || task_copy(task, address_of_agent(planting->old_area), &agent, sizeof(agent), false) ||
	    agent.state != AGENT_READY)
		return;
	commands = open_pipe(task, (pid_t)agent.tid, AGENT_COMMANDS_END, O_WRONLY | O_NONBLOCK);
	if (commands < 0)
		return;
	sys_write_pipe(commands, &end, sizeof(end));
	sys_close(commands);
}

/* A caller was killed. What it had begun ends by itself; then its traces can be removed. */
static int clean(struct planting *planting)
{
	struct visit visit = { .task = planting->plant->task };
	uint64_t begin = sys_now();
	int used;

	while ((used = is_used(planting, &visit)) > 0 && sys_now() - begin < PATIENCE) {
		visit_end(&visit);
		dismiss(planting);
		sys_sleep(LONG_NAP);
	}
	if (used > 0)
		used = fail(-EBUSY, "the agent of another caller in process %d does not end", (int)visit.task->pid);
	if (!used)
		used = clear(visit.task, planting->place, planting->vdso_end - planting->place);
	visit_end(&visit);
	return used;
}

static int make_call(struct planting *planting, const struct arch_call *call)
{
	struct visit visit = { .task = planting->plant->task };
	struct choice choice = { .visit = &visit };
	char code[ARCH_CODE] = { 0 };
	int error = choose(&choice);

	if (!error) {
		arch_write_call(code, &choice.registers, call);
		error = run_code(planting, &choice, code, planting->place);
	}
	if (!error)
		error = clear(planting->plant->task, planting->place, ARCH_CODE);
	visit_end(&visit);
	return error;
}

static int unmap(struct planting *planting, uint64_t area)
{
	struct arch_call call = { SYS_munmap, { area, AGENT_AREA } };

	return make_call(planting, &call);
}

static int unmap_area(void *argument)
{
	struct planting *planting = argument;

	return unmap(planting, planting->area);
}

static int note_old_area(void *argument, const struct region *region)
{
	const struct planting *planting = argument;

	return is_area(region) && region->start == planting->old_area;
}

static int remove_traces(struct planting *planting)
{
	int error = clean(planting);

	if (error || !planting->old_area)
		return error;
	error = task_each_region(planting->plant->task, note_old_area, planting);
	return error > 0 ? unmap(planting, planting->old_area) : error;
}

static int map_area(void *argument)
{
	struct planting *planting = argument;
	struct arch_call call = { SYS_mmap, { planting->area, AGENT_AREA, PROT_READ | PROT_WRITE | PROT_EXEC } };
	int error = planting->stained || planting->old_area ? remove_traces(planting) : 0;

	call.arguments[3] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	call.arguments[4] = UINT64_MAX;
	return error ? error : make_call(planting, &call);
}

/* Behind the code stands that by which the agent leaves. The new thread may be in the code still when the one that started it is not. */
static int start_agent(void *argument)
{
	struct planting *planting = argument;
	struct visit visit = { .task = planting->plant->task };
	struct choice choice = { .visit = &visit };
	char code[ARCH_CODE] = { 0 }, leave[ARCH_CODE] = { 0 };
	uint64_t mask = 0;
	int error;

	arch_write_leave(leave, planting->area, AGENT_AREA);
	error = task_copy(visit.task, planting->place + ARCH_CODE, leave, ARCH_CODE, true);
	if (!error)
		error = choose(&choice);
	if (!error)
		error = sys_ptrace_get_mask(choice.thread->tid, &mask);
	if (!error) {
		arch_write_start(code, planting->place, &choice.registers, mask, planting->start);
		error = run_code(planting, &choice, code, planting->place + ARCH_DATA);
	}
	visit_end(&visit);
	return error;
}

/* -- the area -- */

static int note_area(void *argument, const struct region *region)
{
	struct planting *planting = argument;

	return is_area(region) && region->start == planting->area;
}

/* The code, and what it is to know. */
static int fill_area(struct planting *planting)
{
	const struct mr_task *task = planting->plant->task;
	struct agent agent = { .name = "memredirect" };
	uint64_t length = (uintptr_t)agent_code_end - (uintptr_t)agent_code;
	int found = task_each_region(task, note_area, planting), error;

	if (found < 0)
		return found;
	if (!found)
		return fail(-EAGAIN, "process %d did not map the agent's area at %#" PRIx64 ": there was no room for it",
			    (int)task->pid, planting->area);
	agent.list = planting->area + AGENT_CODE + AGENT_DATA;
	agent.accounts = agent.list + AGENT_LIST;
	agent.leave = planting->place + ARCH_CODE;
	error = task_copy(task, planting->area, (void *)agent_code, length, true);
	return error ? error : task_copy(task, address_of_agent(planting->area), &agent, sizeof(agent), true);
}

/* -- talking -- */

static int agent_says(const struct plant *plant, struct agent *ret_agent)
{
	uint64_t begin = sys_now();
	int error;

	do {
		error = task_copy(plant->task, address_of_agent(plant->area), ret_agent, sizeof(*ret_agent), false);
		if (error || ret_agent->state == AGENT_READY)
			return error;
		sys_sleep(NAP);
	} while (sys_now() - begin < PATIENCE);
	return fail(-EBUSY, "the agent in process %d does not start: no more threads may be, or it is frozen",
		    (int)plant->task->pid);
}

static int connect_agent(struct plant *plant)
{
	struct agent_command opened = { .operation = AGENT_OPENED };
	struct agent agent;
	int error = agent_says(plant, &agent);

	if (error)
		return error;
	if (agent.error)
		return fail_system((int)agent.error, "the agent in process %d can have no pipes", (int)plant->task->pid);
	plant->tid = (pid_t)agent.tid;
	plant->commands = open_pipe(plant->task, plant->tid, AGENT_COMMANDS_END, O_WRONLY);
	plant->results = open_pipe(plant->task, plant->tid, AGENT_RESULTS_END, O_RDONLY);
	if (plant->commands < 0 || plant->results < 0)
		return fail_system(plant->commands < 0 ? plant->commands : plant->results,
				   "the pipes of the agent in process %d cannot be opened", (int)plant->task->pid);
	return (int)plant_tell(plant, &opened);
}

int64_t plant_tell(const struct plant *plant, const struct agent_command *command)
{
	int64_t result;
	ssize_t got;

	if (sys_write_pipe(plant->commands, command, sizeof(*command)) != sizeof(*command))
		return fail(-ESRCH, "the agent in process %d is gone", (int)plant->task->pid);
	if (!sys_await(plant->results, PATIENCE))
		return fail(-EBUSY, "the agent in process %d does not answer: is the process stopped, or frozen?",
			    (int)plant->task->pid);
	got = sys_read(plant->results, &result, sizeof(result));
	return got == sizeof(result) ? result : fail(-ESRCH, "the agent in process %d is gone", (int)plant->task->pid);
}

int64_t plant_call(const struct plant *plant, long number, const int64_t arguments[6])
{
	struct agent_command command = { AGENT_CALL, { number } };

	memcpy(command.arguments + 1, arguments, 6 * sizeof(*arguments));
	return plant_tell(plant, &command);
}

uint64_t plant_list(const struct plant *plant)
{
	return plant->area + AGENT_CODE + AGENT_DATA;
}

int plant_write(const struct plant *plant, uint64_t address, const void *bytes, uint64_t length)
{
	return task_copy(plant->task, address, (void *)bytes, length, true);
}

/* -- all of it -- */

static int begin(struct planting *planting)
{
	struct plant *plant = planting->plant;
	struct arch_start start = {
		.stack = planting->area + AGENT_AREA - 8, /* as behind a call */
		.entry = planting->area + (uintptr_t)agent_main - (uintptr_t)agent_code,
		.argument = address_of_agent(planting->area),
	};
	int error = visit_by(map_area, planting);

	if (!error) {
		planting->start = &start;
		error = fill_area(planting);
		if (!error)
			error = visit_by(start_agent, planting);
		if (error)
			visit_by(unmap_area, planting);
	}
	plant->area = planting->area;
	plant->place = planting->place;
	if (!error)
		error = connect_agent(plant);
	return error ? error : clear(plant->task, planting->place, ARCH_CODE);
}

static int take_lock(struct plant *plant, const struct mr_task *task)
{
	char path[TASK_PATH];

	task_path(task, "mem", path);
	plant->lock = sys_open(path, O_RDONLY);
	if (plant->lock < 0)
		return fail_system(plant->lock, "%s cannot be opened", path);
	return sys_lock(plant->lock) ? fail(-EBUSY, "another caller is at work in process %d", (int)task->pid) : 0;
}

int plant_begin(struct plant *plant, const struct mr_task *task)
{
	struct planting planting = { .plant = plant, .area = AREA_FIRST };
	int error = check_target(task);

	*plant = (struct plant){ .commands = -1, .results = -1, .lock = -1 };
	if (!error)
		error = take_lock(plant, task);
	plant->task = task;
	if (!error)
		error = task_each_region(task, note_vdso, &planting);
	if (!error)
		error = find_place(&planting);
	if (!error)
		error = begin(&planting);
	if (error)
		plant_end(plant);
	return error;
}

static bool is_there(const struct plant *plant)
{
	char path[TASK_PATH];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)plant->task->pid, (int)plant->tid);
	return !sys_stat_path(path, &status);
}

int plant_guard(const struct plant *plant)
{
	int error = sys_own_descriptors(), guard = error;

	if (!error)
		guard = open_pipe(plant->task, plant->tid, AGENT_GUARD, O_WRONLY);
	return guard < 0 ? fail_system(guard, "the guard of the agent in process %d cannot be held", (int)plant->task->pid) : 0;
}

static void close_if_open(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

void plant_forget(struct plant *plant)
{
	close_if_open(&plant->commands);
	close_if_open(&plant->results);
	close_if_open(&plant->lock);
}

void plant_end(struct plant *plant)
{
	uint64_t begin = sys_now();

	close_if_open(&plant->commands);
	close_if_open(&plant->results);
	while (plant->tid && task_is_there(plant->task) && is_there(plant) && sys_now() - begin < PATIENCE)
		sys_sleep(NAP);
	if (plant->tid && task_is_there(plant->task) && !is_there(plant))
		clear(plant->task, plant->place, 2 * ARCH_CODE);
	if (plant->lock >= 0)
		sys_unlock(plant->lock); /* children may have it open */
	plant_forget(plant);
	*plant = (struct plant){ .commands = -1, .results = -1, .lock = -1 };
}
