/* SPDX-License-Identifier: MIT */
/* What the last failed call of this thread has to say. */
#ifndef MEMREDIRECT_ERROR_H
#define MEMREDIRECT_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * mr_error - this thread's last failure, as one sentence
 *
 * The sentence starts with the name of the function that failed, names the offending value, and says what was expected.
 *
 * Return: the sentence; "" if no call of this thread has failed yet. It is the library's, and is good until the next
 * failing call of this thread or the thread's end. Never NULL. Calls that succeed leave it alone.
 */
const char *mr_error(void);

/**
 * mr_error_set - say why a call of a library that is built on this one has failed
 * @function: the name of that call, as a string that lives as long as the thread
 * @sentence: what happened, in its words; copied, and cut at what fits
 *
 * mr_error then returns "FUNCTION: SENTENCE" in this thread. memredirect-nbd does so, and so may others that make pagers.
 */
void mr_error_set(const char *function, const char *sentence);

#ifdef __cplusplus
}
#endif

#endif
