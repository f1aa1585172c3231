/* SPDX-License-Identifier: MIT */
/* demo --nbd, where the command was built without libnbd. */
#include "command.h"
#include "demo.h"

int demo_nbd(const struct demo_options *options)
{
	complain("%s cannot be used: this command was built without libnbd (meson's option nbd)", options->nbd);
	return STATUS_CANNOT;
}
