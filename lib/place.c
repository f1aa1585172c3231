/* SPDX-License-Identifier: MIT */
/* Where the pages of private memory are to be. */
#include "place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "lines.h"
#include "public.h"
#include "sys/sys.h"

static bool huge_pages_are_off(void)
{
	struct lines lines;
	const char *line;
	bool off;

	if (lines_open(&lines, "/sys/kernel/mm/transparent_hugepage/enabled"))
		return true;
	line = lines_next(&lines);
	off = !line || strstr(line, "[never]");
	lines_close(&lines);
	return off;
}

int place_check(uint32_t placement, unsigned node)
{
	struct stat status;
	char path[64];

	if (placement < MR_PLACE_ANON || placement > MR_PLACE_NODE)
		return fail(-EINVAL, "placement is %" PRIu32 "; it must be one of MR_PLACE_…", placement);
	if (placement == MR_PLACE_THP && huge_pages_are_off())
		return fail(
			-EOPNOTSUPP,
			"transparent huge pages are off (/sys/kernel/mm/transparent_hugepage/enabled is \"never\" or not there)");
	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", node);
	if (placement == MR_PLACE_NODE && sys_stat_path(path, &status))
		return fail(-EINVAL, "there is no NUMA node %u", node);
	return 0;
}

/* A kernel without transparent huge pages has none to keep away. */
int place_apply(uintptr_t address, uint64_t length, uint32_t placement, unsigned node)
{
	int error = 0;

	if (placement == MR_PLACE_NODE)
		error = sys_bind(address, length, node);
	else
		error = sys_madvise(address, length, placement == MR_PLACE_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (error == -EINVAL && placement == MR_PLACE_ANON)
		error = 0;
	return error ? fail_system(error, "%" PRIu64 " bytes cannot be placed where they are wanted", length) : 0;
}
