/* SPDX-License-Identifier: MIT */
/* bench [--quick] FOLDER: measure all figures, print the table, and write JSON and points into FOLDER. */
#include <stdio.h>
#include <string.h>

#include "copies.h"
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
	bench_copies(quick ? (size_t)256 << 20 : (size_t)1 << 30, quick);
	bench_moves(quick ? (size_t)256 << 20 : (size_t)1 << 30, quick);
	bench_remote(quick);
	results_print();
	results_write(argv[argc - 1]);
	return 0;
}
