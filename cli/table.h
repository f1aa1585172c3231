/* SPDX-License-Identifier: MIT */
/* A table of results, as text or as JSON. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct libscols_table;

struct column {
	const char *name;
	int json_type; /* SCOLS_JSON_… */
	bool right;    /* aligned to the right */
};

/* A table that is called @name in JSON. NULL: no memory. */
struct libscols_table *table_new(const char *name, const struct column *columns, unsigned count, bool json);

/* Append a row; NULL cells are empty. */
void table_row(struct libscols_table *table, const char *const *cells, unsigned count);

/*
 * Print, and free. As JSON: one object that has the rows and then @rest, more members as text ("\"a\": 1, …"; "" for none).
 */
void table_print(struct libscols_table *table, bool json, const char *rest);

#endif
