/* SPDX-License-Identifier: MIT */
/* A call that must fail, with the errno that is documented, a sentence, and without a trace. */
#ifndef ERRORS_REFUSED_H
#define ERRORS_REFUSED_H

#include "leak.h"
#include "suite.h"

/* The call returns -@number, and mappings, descriptors and threads are afterwards what they were before. */
#define assert_refused(call, number)                                                                                           \
	do {                                                                                                                   \
		struct holdings before_, after_;                                                                               \
                                                                                                                               \
		holdings_take(&before_);                                                                                       \
		assert_error(call, number);                                                                                    \
		holdings_take(&after_);                                                                                        \
		assert_true(holdings_equal(&before_, &after_));                                                                \
		holdings_free(&before_);                                                                                       \
		holdings_free(&after_);                                                                                        \
	} while (0)

/* What out parameters hold beforehand, and must hold still. */
#define UNTOUCHED ((void *)0x5a5a5a5a5a5a5a50)

#endif
