/* SPDX-License-Identifier: MIT */
/* What callers do to a subject (subject.h). */
#ifndef SUPPORT_DEEDS_H
#define SUPPORT_DEEDS_H

#include <memredirect.h>
#include <stdbool.h>

#include "subject.h"

struct deed {
	const char *name;
	int (*act)(struct mr_task *task, const struct subject_status *status);
};

/* The last one has no name. */
extern const struct deed deeds[];

/* What may happen to a caller through no fault of anybody's: a fork of the subject, or a mapping that it changes, just then. */
bool deed_may_be(int error);

/* Exit statuses of children that do one. */
enum { DEED_DONE, DEED_REFUSED, DEED_FAILED };

#endif
