/* SPDX-License-Identifier: MIT */
/*
 * A script: steps that an agent makes as one, and what its accounts are afterwards (agent.h).
 *
 * It is put together here and then written to where the agent's list is: steps from the front, accounts behind them, what system
 * calls point to from the end downwards.
 */
#ifndef INJECT_SCRIPT_H
#define INJECT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/agent.h"
#include "inject/plant.h"

struct script {
	const struct plant *plant;
	uint64_t steps, account_count;
	uint64_t booked;	       /* bytes of accounts */
	uint64_t data;		       /* where in the list what is pointed to begins */
	struct agent_account *account; /* that is being written */
	bool full;		       /* there was no room for something */
	_Alignas(struct agent_step) char list[AGENT_LIST];
	_Alignas(struct agent_account) char accounts[AGENT_BOOKS];
};

void script_begin(struct script *script, const struct plant *plant);

struct agent_call script_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* One more step; one that needs no undoing; one that is tried again until it succeeds. */
void script_step(struct script *script, struct agent_call call, struct agent_call undo);
void script_do(struct script *script, struct agent_call call);
void script_insist(struct script *script, struct agent_call call);

/* Bytes that a step points to. Return: their address there. */
uint64_t script_data(struct script *script, const void *bytes, size_t length);

/* Afterwards the account of that number has the calls that are added next, and no others. */
void script_account(struct script *script, uint64_t number);
void script_add(struct script *script, struct agent_call call);

/* Have it done. -EOPNOTSUPP there are too many steps. Makes sentences for that, and for an agent that is gone, alone. */
int script_run(struct script *script);

#endif
