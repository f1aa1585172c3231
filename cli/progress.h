/* SPDX-License-Identifier: MIT */
/* One line on standard error that is written anew, when that is a terminal. */
#ifndef PROGRESS_H
#define PROGRESS_H

void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void progress_end(void);

#endif
