/* SPDX-License-Identifier: MIT */
/*
 * Failures on demand, for the tests: the library that is built with MR_FAULT_INJECTION lets the nth allocation or system call
 * of a thread fail. Calls that only release something are never made to fail, as the kernel does not fail them either.
 */
#ifndef INJECT_H
#define INJECT_H

#include <stdbool.h>

/* Let the nth (1, 2, …) call from now on, by the calling thread, fail once. */
void mr_inject_arm(long nth);

/*
 * The same for death: at the nth call, those that release something included, the process dies by SIGKILL. What a helper of its calls
 * counts too, and takes both with it.
 */
void mr_inject_arm_death(long nth);

/* No failure any more; whether the one that was asked for has been delivered. */
bool mr_inject_disarm(void);

#endif
