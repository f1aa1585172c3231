/* SPDX-License-Identifier: MIT */
/* Scripts for agents. */
#include "inject/script.h"

#include <errno.h>
#include <string.h>

#include "error.h"

void script_begin(struct script *script, const struct plant *plant)
{
	script->plant = plant;
	script->steps = script->account_count = script->booked = 0;
	script->data = AGENT_LIST;
	script->account = NULL;
	script->full = false;
}

struct agent_call script_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	return (struct agent_call){ { number, (int64_t)a, (int64_t)b, (int64_t)c, (int64_t)d, (int64_t)e, (int64_t)f } };
}

/* Whether steps and accounts leave room for @length bytes more. */
static bool has_room(struct script *script, uint64_t length)
{
	uint64_t used = script->steps * sizeof(struct agent_step) + script->booked;

	if (used + length > script->data)
		script->full = true;
	return !script->full;
}

void script_step(struct script *script, struct agent_call call, struct agent_call undo)
{
	struct agent_step *steps = (struct agent_step *)script->list;

	if (has_room(script, sizeof(*steps)))
		steps[script->steps++] = (struct agent_step){ call, undo };
}

void script_do(struct script *script, struct agent_call call)
{
	script_step(script, call, script_call(AGENT_NOTHING, 0, 0, 0, 0, 0, 0));
}

void script_insist(struct script *script, struct agent_call call)
{
	script_step(script, call, script_call(AGENT_AGAIN, 0, 0, 0, 0, 0, 0));
}

uint64_t script_data(struct script *script, const void *bytes, size_t length)
{
	uint64_t room = (length + 7) / 8 * 8;

	if (!has_room(script, room))
		return 0;
	script->data -= room;
	memcpy(script->list + script->data, bytes, length);
	return plant_list(script->plant) + script->data;
}

static void *book(struct script *script, size_t length)
{
	char *place = script->accounts + script->booked;

	if (script->booked + length > sizeof(script->accounts))
		script->full = true;
	if (!has_room(script, length))
		return NULL;
	script->booked += length;
	return place;
}

void script_account(struct script *script, uint64_t number)
{
	script->account = book(script, sizeof(*script->account));
	if (!script->account)
		return;
	*script->account = (struct agent_account){ .number = number };
	script->account_count++;
}

void script_add(struct script *script, struct agent_call call)
{
	struct agent_call *place = script->account ? book(script, sizeof(*place)) : NULL;

	if (!place)
		return;
	*place = call;
	script->account->count++;
}

int script_run(struct script *script)
{
	struct agent_command command = { AGENT_RUN, { (int64_t)script->steps, (int64_t)script->account_count } };
	uint64_t list = plant_list(script->plant), steps = script->steps * sizeof(struct agent_step);
	int error;

	if (script->full)
		return fail(-EOPNOTSUPP, "the map has too many pieces for another process");
	memcpy(script->list + steps, script->accounts, script->booked);
	error = plant_write(script->plant, list, script->list, steps + script->booked);
	if (!error)
		error = plant_write(script->plant, list + script->data, script->list + script->data, AGENT_LIST - script->data);
	return error ? error : (int)plant_tell(script->plant, &command);
}
