/* SPDX-License-Identifier: MIT */
/* Ranges of a process's memory, as they are given on the command line. */
#include "ranges.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* START-END: hexadecimal, as in the list of regions, with or without 0x. */
static bool parse_addresses(const char *text, struct selection *selection)
{
	char *behind;

	if (!isxdigit((unsigned char)*text))
		return false;
	selection->start = strtoull(text, &behind, 16);
	if (*behind != '-' || !isxdigit((unsigned char)behind[1]))
		return false;
	selection->end = strtoull(behind + 1, &behind, 16);
	return !*behind && selection->start < selection->end;
}

static bool parse(const char *text, uint64_t least, struct selection *ret_selection)
{
	*ret_selection = (struct selection){ .text = text, .least = least };
	if (strcmp(text, "heap") == 0)
		return ret_selection->heap = true;
	if (strcmp(text, "all") == 0)
		return ret_selection->all = true;
	if (strncmp(text, "all:", 4) == 0)
		return ret_selection->all = parse_size(text + 4, &ret_selection->least);
	return parse_addresses(text, ret_selection);
}

int selections_parse(const char *verb, char **words, unsigned count, uint64_t least, struct selection **ret_selections)
{
	struct selection *selections = calloc((size_t)count + 1, sizeof(*selections));

	if (!selections) {
		complain("there is no memory for the ranges");
		return STATUS_FAILED;
	}
	for (unsigned i = 0; i < count; i++)
		if (!parse(words[i], least, &selections[i])) {
			free(selections);
			return usage_error(verb, "\"%s\" is no range", words[i]);
		}
	*ret_selections = selections;
	return STATUS_DONE;
}

bool selections_name(const struct selection *selections, unsigned count, const struct mr_region *region)
{
	for (unsigned i = 0; i < count; i++)
		if (selections[i].start < region->start + region->length && region->start < selections[i].end)
			return true;
	return false;
}

bool selections_are_met(const struct selection *selections, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!selections[i].met) {
			complain("nothing is mapped that \"%s\" selects", selections[i].text);
			return false;
		}
	return true;
}

static bool select_part(const struct selection *selection, const struct mr_region *region, struct mr_range *ret_part)
{
	uint64_t start = region->start, end = start + region->length;

	*ret_part = (struct mr_range){ start, region->length };
	if (selection->all)
		return region->length >= selection->least;
	if (selection->heap)
		return strcmp(region->name, "[heap]") == 0;
	start = start < selection->start ? selection->start : start;
	end = end > selection->end ? selection->end : end;
	*ret_part = (struct mr_range){ start, end - start };
	return start < end;
}

bool selection_part(struct selection *selections, unsigned count, const struct mr_region *region, struct mr_range *ret_part)
{
	*ret_part = (struct mr_range){ region->start, region->length };
	for (unsigned i = 0; i < count; i++)
		if (select_part(&selections[i], region, ret_part))
			return selections[i].met = true;
	return count == 0;
}
