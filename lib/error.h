/* SPDX-License-Identifier: MIT */
/* The sentence of this thread's last failure. */
#ifndef ERROR_H
#define ERROR_H

/*
 * Every public function that can fail begins with error_call(__func__), and every failure is made by fail(): deep down, where
 * the offending value is known, and passed up unchanged.
 */
void error_call(const char *function);

/* Note the sentence "function: what." and return @error, a negative errno. */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with the system's words for @error at the end. */
int fail_system(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
