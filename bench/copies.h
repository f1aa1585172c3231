/* SPDX-License-Identifier: MIT */
/* Copies and moves of memory that others write to: what `memredirect bench` measures. */
#ifndef COPIES_H
#define COPIES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The figures, rows and points of copies and moves of @length bytes. @quick: fewer measurements, and no other sizes. False: there is not
 * enough memory.
 */
bool bench_copies(size_t length, bool quick);
void bench_moves(size_t length, bool quick);

#endif
