/* SPDX-License-Identifier: MIT */
/* The kernel's list of what is mapped in a task, read line by line with a buffer on the stack. */
#include "regions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "error.h"
#include "lines.h"
#include "task.h"

struct walk {
	uintptr_t next; /* the first byte that no region has covered yet */
	uintptr_t end;
	int (*each)(void *argument, const struct region *region);
	void *argument;
};

bool region_parse(const char *line, struct region *ret_region)
{
	unsigned major, minor;
	char flags[5];
	int path = 0;

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &ret_region->start, &ret_region->end,
		   flags, &ret_region->offset, &major, &minor, &ret_region->inode, &path) != 7)
		return false;
	ret_region->device = (uint64_t)major << 32 | minor;
	ret_region->protection =
		(flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0) | (flags[2] == 'x' ? PROT_EXEC : 0);
	ret_region->shared = flags[3] == 's';
	ret_region->name = line + path;
	ret_region->whole_start = ret_region->start;
	ret_region->whole_end = ret_region->end;
	return true;
}

/* Tell of one line. Return: non-zero to stop. */
static int tell(struct walk *walk, const char *line)
{
	struct region region;
	uintptr_t behind;

	if (!region_parse(line, &region))
		return fail(-EIO, "the list of mappings has a line that is not understood: \"%.80s\"", line);
	if (region.end <= walk->next)
		return 0;
	if (region.start > walk->next)
		return fail(-EFAULT, "nothing is mapped at %#" PRIxPTR "; the whole range must be", walk->next);
	behind = region.end < walk->end ? region.end : walk->end;
	region.offset += walk->next - region.start;
	region.start = walk->next;
	region.end = behind;
	walk->next = behind;
	return walk->each(walk->argument, &region);
}

int regions_each(const struct mr_task *task, uintptr_t start, uintptr_t end,
		 int (*each)(void *argument, const struct region *region), void *argument)
{
	struct walk walk = { start, end, each, argument };
	char path[TASK_PATH], *line;
	struct lines lines;
	int result;

	task_path(task, "maps", path);
	result = lines_open(&lines, path);
	if (result)
		return fail_system(result, "%s cannot be opened; /proc must be mounted", path);
	while (!result && walk.next < end && (line = lines_next(&lines)))
		result = tell(&walk, line);
	if (!result && lines.error)
		result = fail_system(lines.error, "%s cannot be read", path);
	lines_close(&lines);
	if (!result && walk.next < end)
		result = fail(-EFAULT, "nothing is mapped at %#" PRIxPTR "; the whole range must be", walk.next);
	return result;
}
