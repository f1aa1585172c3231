/* SPDX-License-Identifier: MIT */
/* The sentence of this thread's last failure. */
#ifndef ERROR_H
#define ERROR_H

/*
 * Every public function that can fail begins with error_call(__func__), and every failure is made by fail(): deep down, where
 * the offending value is known, and passed up unchanged.
 */
void error_call(const char *function);

/* Note the sentence "function: what."; the value is @error, a negative errno. Macros, so that who reads callers alone sees that. */
#define fail(error, ...) (error_note(__VA_ARGS__), (error))

/* The same, with the system's words for @error at the end. */
#define fail_system(error, ...) (error_note_system(error, __VA_ARGS__), (error))

void error_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void error_note_system(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A sentence, or "", and the function that the next one will begin with. */
struct sentence {
	const char *call;
	char text[512];
};

/* Before what may fail unnoticed: keep this thread's sentence; and have it again, when it has. */
void error_keep(struct sentence *ret_before);
void error_forgive(const struct sentence *before);

/*
 * Around callbacks, which may say why they fail (mr_error_set) and call the library: this thread's sentence is put aside, and is there again
 * afterwards. @ret_said: what was said meanwhile, or NULL.
 */
void error_listen(struct sentence *ret_before);
void error_heard(const struct sentence *before, struct sentence *ret_said);

/* Put that in brackets behind this thread's sentence. */
void error_add(const struct sentence *said);

#endif
