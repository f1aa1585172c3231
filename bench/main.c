/* SPDX-License-Identifier: MIT */
/* bench [--quick] FOLDER: measure all figures, print the table, and write JSON and points into FOLDER. */
#include <stdio.h>
#include <string.h>

#include "measure.h"

int main(int argc, char **argv)
{
	bool quick = argc == 3 && strcmp(argv[1], "--quick") == 0;

	if (argc != 2 + quick) {
		fprintf(stderr, "usage: bench [--quick] FOLDER\n");
		return 2;
	}
	bench_small(quick);
	bench_resume(quick);
	bench_maps(quick);
	bench_block(quick);
	bench_redirect(quick);
	bench_copies(quick);
	results(argv[argc - 1]);
	return 0;
}
