/* SPDX-License-Identifier: MIT */
/* Where there is no code for the processor: nothing is put into other processes. */
#include <errno.h>

#include "error.h"
#include "inject/pass.h"
#include "inject/plant.h"

int plant_begin(struct plant *plant, const struct mr_task *task)
{
	(void)task;
	*plant = (struct plant){ .commands = -1, .results = -1 };
	return fail(-EOPNOTSUPP,
		    "there is no code for this processor that could be put into another process; there is for x86-64");
}

uint64_t plant_list(const struct plant *plant)
{
	return plant->area;
}

int plant_write(const struct plant *plant, uint64_t address, const void *bytes, uint64_t length)
{
	(void)plant, (void)address, (void)bytes, (void)length;
	return -EOPNOTSUPP;
}

int64_t plant_tell(const struct plant *plant, const struct agent_command *command)
{
	(void)plant, (void)command;
	return -EOPNOTSUPP;
}

int64_t plant_call(const struct plant *plant, long number, const int64_t arguments[6])
{
	(void)plant, (void)number, (void)arguments;
	return -EOPNOTSUPP;
}

int plant_guard(const struct plant *plant)
{
	(void)plant;
	return -EOPNOTSUPP;
}

int64_t plant_pass(const struct plant *plant, int fd)
{
	(void)plant, (void)fd;
	return -EOPNOTSUPP;
}

void plant_forget(struct plant *plant)
{
	(void)plant;
}

void plant_end(struct plant *plant)
{
	(void)plant;
}
