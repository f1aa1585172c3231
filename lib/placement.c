/* SPDX-License-Identifier: MIT */
/*
 * Where memory of another process can be moved to, and from.
 *
 *	kind		what becomes of it		what is refused, because it could not be kept
 *	ANON, THP, NODE	private and anonymous		locked and keyed memory, policies, what the kernel forbids
 *	HUGE_2M		private, of hugetlb		also: not whole huge pages, names, merging, MADV_WIPEONFORK, MAP_NORESERVE
 *	MEMFD, FILE	shared				the same, but for the size
 *
 * What a move has made shared is known by its name, and goes back while threads run. A file on a disk has no such name, and writes to it
 * cannot be made to wait: it is copied while threads are stopped, and only if nobody else has it mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "error.h"
#include "inject/pass.h"
#include "place.h"
#include "relocate.h"
#include "sys/sys.h"

#define HUGE (UINT64_C(2) << 20)

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif

/* A memfd of a move's is longer than its mapping, which can so be grown. */
#define ROOM (UINT64_C(1) << 40)

static const char memfd_name[] = "memredirect", memfd_path[] = "/memfd:memredirect (deleted)";

bool placement_is_plain(const struct relocation *move)
{
	return move->place.kind <= MR_PLACE_NODE;
}

/* -- the place -- */

static int check_file(int fd)
{
	struct stat status;
	int error = sys_stat(fd, &status);

	if (error)
		return fail_system(error, "place->fd is %d, which is no descriptor", fd);
	if (!S_ISREG(status.st_mode))
		return fail(-EINVAL, "place->fd is not of a regular file");
	if ((sys_open_flags(fd) & O_ACCMODE) != O_RDWR)
		return fail(-EACCES, "place->fd is not open for reading and writing");
	return 0;
}

int placement_check(const struct relocation *move)
{
	switch (move->place.kind) {
	case MR_PLACE_FILE:
		return check_file(move->place.fd);
	case MR_PLACE_HUGE_2M:
	case MR_PLACE_MEMFD:
		return 0;
	default:
		return place_check(move->place.kind, move->place.node);
	}
}

/* -- the mapping -- */

static bool is_one_of(const char *flag, const char *flags)
{
	for (const char *at = flags; *at; at += 3)
		if (at[0] == flag[0] && at[1] == flag[1])
			return true;
	return false;
}

/* Flags that mean nothing for a move, and those that the new mapping can be given. */
static bool is_kept(const struct relocation *move, const char *flag)
{
	static const char *const by_origin[] = {
		[ORIGIN_ANONYMOUS] = "", [ORIGIN_HUGE] = "ht de ", [ORIGIN_MEMFD] = "sh ms ", [ORIGIN_FILE] = "sh ms "
	};

	if (is_one_of(flag, "rd wr ex mr mw me ac sd hg nh dd dc ") || is_one_of(flag, by_origin[move->origin]))
		return true;
	return placement_is_plain(move) && is_one_of(flag, "nr wf mg ");
}

static int check_flags(const struct relocation *move)
{
	const struct survey *found = &move->found;

	for (const char *flag = found->flags; flag[0] && flag[1]; flag += flag[2] ? 3 : 2)
		if (!is_kept(move, flag))
			return fail(-EOPNOTSUPP,
				    "the mapping at %#" PRIx64
				    " has the attribute \"%.2s\" (VmFlags in smaps), which could not be kept",
				    move->address, flag);
	if (found->key)
		return fail(-EOPNOTSUPP, "the mapping at %#" PRIx64 " has the protection key %u, which could not be kept",
			    move->address, found->key);
	if (!placement_is_plain(move) && strncmp(found->name, "[anon:", 6) == 0)
		return fail(-EOPNOTSUPP, "the mapping at %#" PRIx64 " has the name %s, which only anonymous memory can have",
			    move->address, found->name);
	return 0;
}

/* And not of what programs share with their children, or by System V's calls. */
static bool is_of_file(const struct survey *found)
{
	static const char *const others[] = { "/dev/zero", "/SYSV", "/memfd:" };

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (strncmp(found->name, others[i], strlen(others[i])) == 0)
			return false;
	return found->region.inode && found->name[0] == '/';
}

/* What kind it is; and whether it can be moved for all that others would say of it. */
static const char *objection(struct relocation *move)
{
	const struct survey *found = &move->found;
	const char *reason = task_objection(move->task, found);

	move->origin = ORIGIN_ANONYMOUS;
	if (survey_has_flag(found, "ht"))
		move->origin = ORIGIN_HUGE;
	else if (strcmp(found->name, memfd_path) == 0)
		move->origin = ORIGIN_MEMFD;
	else if (found->region.shared && is_of_file(found))
		move->origin = ORIGIN_FILE;
	return move->origin == ORIGIN_FILE ? task_objection_to_any(found) : reason;
}

static int check_size(const struct relocation *move)
{
	const struct region *region = &move->found.region;
	struct stat status;

	if (move->place.kind == MR_PLACE_HUGE_2M && (region->start % HUGE || region->end % HUGE))
		return fail(-EOPNOTSUPP, "the mapping at %#" PRIx64 " does not begin and end between huge pages of 2 MiB",
			    move->address);
	if (move->place.kind != MR_PLACE_FILE || sys_stat(move->place.fd, &status))
		return 0;
	if ((uint64_t)status.st_size < region->end - region->start)
		return fail(-ERANGE, "the file has %" PRIu64 " bytes, and the mapping %" PRIu64, (uint64_t)status.st_size,
			    (uint64_t)(region->end - region->start));
	return 0;
}

int placement_check_mapping(struct relocation *move)
{
	const char *reason = objection(move);
	int error;

	if (reason)
		return fail(-EOPNOTSUPP, "the mapping at %#" PRIx64 " cannot be moved: %s", move->address, reason);
	if (!(move->found.region.protection & PROT_READ))
		return fail(-EOPNOTSUPP, "the mapping at %#" PRIx64 " cannot be read", move->address);
	error = check_flags(move);
	if (!error)
		error = check_size(move);
	return error ? error : placement_check_sharers(move);
}

/* -- others who have it -- */

struct search {
	const struct relocation *move;
	pid_t other;
};

static bool maps_it(const struct search *search, pid_t pid)
{
	const struct region *found = &search->move->found.region;
	char path[TASK_PATH], *line;
	struct region region;
	struct lines lines;
	bool does = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	if (lines_open(&lines, path))
		return false;
	while (!does && (line = lines_next(&lines)))
		does = region_parse(line, &region) && region.inode == found->inode && region.device == found->device;
	lines_close(&lines);
	return does;
}

static int look_at(void *argument, pid_t pid)
{
	struct search *search = argument;

	if (pid == search->move->task->pid || !maps_it(search, pid))
		return 0;
	search->other = pid;
	return 1;
}

int placement_check_sharers(const struct relocation *move)
{
	struct search search = { .move = move };

	if (!move->found.region.shared || sys_each_number("/proc", look_at, &search) != 1)
		return 0;
	return fail(-EBUSY, "the mapping at %#" PRIx64 " is shared with process %d, which would not follow", move->address,
		    (int)search.other);
}

/* -- what is staged -- */

/* @ret_fd: a memfd of the agent's, which nobody has but the mapping in the end. */
static int open_memfd(const struct relocation *move, int64_t *ret_fd)
{
	bool runs = move->found.region.protection & PROT_EXEC;
	uint64_t at = plant_list(&move->plant);
	int64_t fd = plant_write(&move->plant, at, memfd_name, sizeof(memfd_name)), error;

	if (!fd)
		fd = relocation_ask(move, SYS_memfd_create, (int64_t)at, MFD_CLOEXEC | (runs ? 0 : MFD_NOEXEC_SEAL), 0, 0, 0,
				    0);
	if (fd == -EINVAL) /* before Linux 6.3 */
		fd = relocation_ask(move, SYS_memfd_create, (int64_t)at, MFD_CLOEXEC, 0, 0, 0, 0);
	if (fd < 0)
		return fail_system((int)fd, "process %d can have no memfd", (int)move->task->pid);
	error = relocation_ask(move, SYS_ftruncate, fd, ROOM, 0, 0, 0, 0);
	if (error < 0)
		error = relocation_ask(move, SYS_ftruncate, fd, (int64_t)move->length, 0, 0, 0, 0);
	if (error < 0)
		return fail_system((int)error, "process %d can have no memfd of %" PRIu64 " bytes", (int)move->task->pid,
				   move->length);
	*ret_fd = fd;
	return 0;
}

static int pass_file(const struct relocation *move, int64_t *ret_fd)
{
	int64_t fd = plant_pass(&move->plant, move->place.fd);

	if (fd < 0)
		return fail_system((int)fd, "the file cannot be handed to process %d", (int)move->task->pid);
	*ret_fd = fd;
	return 0;
}

int placement_open(struct relocation *move, int64_t *ret_fd, int *ret_flags)
{
	*ret_fd = -1;
	*ret_flags = MAP_SHARED;
	if (move->place.kind == MR_PLACE_MEMFD)
		return open_memfd(move, ret_fd);
	if (move->place.kind == MR_PLACE_FILE)
		return pass_file(move, ret_fd);
	*ret_flags = MAP_PRIVATE | MAP_ANONYMOUS | (survey_has_flag(&move->found, "nr") ? MAP_NORESERVE : 0);
	if (move->place.kind == MR_PLACE_HUGE_2M)
		*ret_flags |= MAP_HUGETLB | MAP_HUGE_2MB;
	return 0;
}

/* -- userfaultfds -- */

/* The device, if this process may open it, makes one that waits for the kernel's accesses too, in whatever process. */
static int64_t open_by_device(const struct relocation *move)
{
	int device = sys_open("/dev/userfaultfd", O_RDWR);
	int64_t there, uffd;

	if (device < 0)
		return device;
	there = plant_pass(&move->plant, device);
	sys_close(device);
	if (there < 0)
		return there;
	uffd = relocation_ask(move, SYS_ioctl, there, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	relocation_ask(move, SYS_close, there, 0, 0, 0, 0, 0);
	return uffd;
}

/*
 * One that an ordinary user may have does for noting who writes. While mappings are exchanged it makes nobody wait but for accesses from user
 * mode: if the caller is killed just then, a system call may get EFAULT.
 */
static int64_t open_uffd(const struct relocation *move)
{
	int64_t uffd = relocation_ask(move, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0);

	if (uffd == -EPERM)
		uffd = open_by_device(move);
	if (uffd < 0 && uffd != -EMFILE && uffd != -ENFILE)
		uffd = relocation_ask(move, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY, 0, 0, 0, 0, 0);
	return uffd;
}

static int open_with(const struct relocation *move, uint64_t features, int64_t *ret_uffd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	uint64_t at = plant_list(&move->plant);
	int64_t uffd = open_uffd(move);
	int error;

	if (uffd < 0)
		return fail_system((int)uffd, "process %d can have no userfaultfd", (int)move->task->pid);
	error = plant_write(&move->plant, at, &api, sizeof(api));
	if (error)
		return error;
	if (relocation_ask(move, SYS_ioctl, uffd, UFFDIO_API, (int64_t)at, 0, 0, 0) < 0)
		return fail(-EOPNOTSUPP, "this kernel cannot track writes (UFFD_FEATURE_WP_ASYNC): it takes Linux 6.7");
	*ret_uffd = uffd;
	return 0;
}

int placement_open_uffds(struct relocation *move)
{
	const uint64_t features =
		UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	int error;

	if (move->origin == ORIGIN_FILE)
		return 0;
	error = open_with(move, features | UFFD_FEATURE_WP_ASYNC, &move->uffd);
	if (!error && move->origin != ORIGIN_ANONYMOUS)
		error = open_with(move, features, &move->barrier);
	return error;
}
