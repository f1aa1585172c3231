/* SPDX-License-Identifier: MIT */
/*
 * One access to memory, by the calling thread or by a thread of its own (a victim), with all that can come of it: a value, the
 * result of a system call, or a signal. A SIGSEGV or SIGBUS that an access raises is caught and becomes its outcome.
 */
#ifndef SUPPORT_VICTIM_H
#define SUPPORT_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "thread.h"

enum access {
	ACCESS_LOAD,
	ACCESS_STORE,
	ACCESS_ADD,   /* an atomic addition */
	ACCESS_READ,  /* read(2) of 8 bytes into the memory */
	ACCESS_WRITE, /* write(2) of 8 bytes from the memory */
	ACCESS_FETCH, /* a call of a function there that takes nothing and returns an int */
	ACCESS_COUNT
};

struct outcome {
	uint64_t seen;	  /* LOAD, WRITE, FETCH: the value; ADD: what was there before */
	ssize_t returned; /* READ, WRITE: what the call returned; else 8, or -1 after a signal */
	int error;	  /* READ, WRITE: errno of a failed call */
	int signal;	  /* SIGSEGV, SIGBUS, or 0 */
};

/* "load", "store", … */
const char *access_name(enum access access);

/* Whether the access changes the memory, and whether the kernel makes it on behalf of a system call. */
bool access_writes(enum access access);
bool access_is_system_call(enum access access);

/* Do it now. @value is what is stored, added, or read from the file. The address is a multiple of 8. */
struct outcome access_try(enum access access, void *address, uint64_t value);

/* Whether a load from @address raises SIGSEGV. */
bool access_is_absent(void *address);

struct victim {
	enum access access;
	void *address;
	uint64_t value;
	struct outcome outcome; /* once it is done */
	pid_t tid;
	uint32_t state;
	struct thread thread;
	bool joined;
};

/* Start a thread that does one access. NULL: there is no thread to be had. */
struct victim *victim_start(enum access access, void *address, uint64_t value);

bool victim_is_done(struct victim *victim);

/* Wait for the end of the access and of the thread. False: the deadline passed. */
bool victim_wait(struct victim *victim);

/* Free a victim that was waited for; NULL is allowed. */
void victim_free(struct victim *victim);

#endif
