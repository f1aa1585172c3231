/* SPDX-License-Identifier: MIT */
/* A table of results, by libsmartcols. */
#include "table.h"

#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct libscols_table *table_new(const char *name, const struct column *columns, unsigned count, bool json)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return NULL;
	scols_table_set_name(table, name);
	scols_table_enable_json(table, json);
	for (unsigned i = 0; i < count; i++) {
		struct libscols_column *column =
			scols_table_new_column(table, columns[i].name, 0, columns[i].right ? SCOLS_FL_RIGHT : 0);

		if (column)
			scols_column_set_json_type(column, columns[i].json_type);
	}
	return table;
}

void table_row(struct libscols_table *table, const char *const *cells, unsigned count)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	for (unsigned i = 0; line && i < count; i++)
		if (cells[i])
			scols_line_set_data(line, i, cells[i]);
}

/* The library prints a whole object; what is more goes before its last brace. */
static void print_json(struct libscols_table *table, const char *rest)
{
	char *text = NULL, *brace;

	if (scols_print_table_to_string(table, &text) || !text)
		return;
	brace = strrchr(text, '}');
	if (brace)
		*brace = '\0';
	printf("%s%s%s}\n", text, *rest ? "   ," : "", rest);
	free(text);
}

void table_print(struct libscols_table *table, bool json, const char *rest)
{
	if (json)
		print_json(table, rest);
	else
		scols_print_table(table);
	scols_unref_table(table);
}
