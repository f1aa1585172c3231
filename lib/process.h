/* SPDX-License-Identifier: MIT */
/*
 * The process and its forks.
 *
 * Every object remembers the generation in which it was made. A child of fork(2) is a new generation, in which inherited
 * objects are strangers: their maps belong to the parent's service, locks may be held by threads that do not exist.
 *
 * A fork must not see a map half replaced. So whoever commits a change to the address space that takes more than one system
 * call holds the gate, shared; fork(2) takes it exclusively (pthread_atfork). The gate comes after a map's lock and before
 * the locks of sources, registry and service.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* The generation of the process that calls. */
uint32_t process_generation(void);

/* 0, or -ECHILD with a sentence: an object of @generation was inherited across a fork. */
int process_owns(uint32_t generation, const char *noun);

void process_gate_enter(void);
void process_gate_leave(void);

#endif
