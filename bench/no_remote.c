/* SPDX-License-Identifier: MIT */
/* Memory of an NBD server, where there is no libnbd. */
#include <stdio.h>

#include "measure.h"

void bench_remote(bool quick)
{
	(void)quick;
	fprintf(stderr, "memory of an NBD server: not measured, since this was built without libnbd\n");
}
