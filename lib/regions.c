/* SPDX-License-Identifier: MIT */
/* The kernel's list of what is mapped in this process, read line by line with a buffer on the stack. */
#include "regions.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "sys/sys.h"

struct walk {
	uintptr_t next; /* the first byte that no region has covered yet */
	uintptr_t end;
	int (*each)(void *argument, const struct region *region);
	void *argument;
};

static bool parse(const char *line, struct region *ret_region)
{
	char flags[5];
	int path = 0;

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %*s %" SCNu64 " %n", &ret_region->start, &ret_region->end,
		   flags, &ret_region->offset, &ret_region->inode, &path) != 5)
		return false;
	ret_region->protection =
		(flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0) | (flags[2] == 'x' ? PROT_EXEC : 0);
	ret_region->shared = flags[3] == 's';
	ret_region->name = line + path;
	return true;
}

/* Tell of one line. Return: non-zero to stop. */
static int tell(struct walk *walk, const char *line)
{
	struct region region;
	uintptr_t behind;

	if (!parse(line, &region))
		return fail(-EIO, "/proc/self/maps has a line that is not understood: \"%.80s\"", line);
	if (region.end <= walk->next)
		return 0;
	if (region.start > walk->next)
		return fail(-EFAULT, "nothing is mapped at %#" PRIxPTR "; the whole range must be", walk->next);
	behind = region.end < walk->end ? region.end : walk->end;
	region.whole_start = region.start;
	region.whole_end = region.end;
	region.offset += walk->next - region.start;
	region.start = walk->next;
	region.end = behind;
	walk->next = behind;
	return walk->each(walk->argument, &region);
}

/* Tell of the whole lines in buffer[0, used), until the range is covered. @ret_used: bytes of the broken line that is left. */
static int tell_lines(struct walk *walk, char *buffer, size_t *used)
{
	char *line = buffer, *newline;
	int stop = 0;

	while (!stop && walk->next < walk->end && (newline = memchr(line, '\n', *used - (size_t)(line - buffer)))) {
		*newline = '\0';
		stop = tell(walk, line);
		line = newline + 1;
	}
	*used -= (size_t)(line - buffer);
	memmove(buffer, line, *used);
	return stop;
}

int regions_each(uintptr_t start, uintptr_t end, int (*each)(void *argument, const struct region *region), void *argument)
{
	struct walk walk = { start, end, each, argument };
	char buffer[8192];
	size_t used = 0;
	ssize_t got = 1;
	int result = 0;
	int fd = sys_open("/proc/self/maps", O_RDONLY);

	if (fd < 0)
		return fail_system(fd, "/proc/self/maps cannot be opened; /proc must be mounted");
	while (!result && walk.next < end && got > 0) {
		got = sys_read(fd, buffer + used, sizeof(buffer) - used);
		used += got > 0 ? (size_t)got : 0;
		if (got < 0)
			result = fail_system((int)got, "/proc/self/maps cannot be read");
		else
			result = tell_lines(&walk, buffer, &used);
	}
	sys_close(fd);
	if (!result && walk.next < end)
		result = fail(-EFAULT, "nothing is mapped at %#" PRIxPTR "; the whole range must be", walk.next);
	return result;
}
