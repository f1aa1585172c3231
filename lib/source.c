/* SPDX-License-Identifier: MIT */
/* Where bytes of a memory come from, and how they can be mapped. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "channel.h"
#include "error.h"
#include "pager/pager.h"
#include "sys/sys.h"
#include "task.h"

/* Bytes of a file that are mapped at a time in order to be copied. */
#define WINDOW (UINT64_C(32) << 20)

/* From here on, filling page tables in one go is faster than faulting page by page. */
#define WORTH_POPULATING (UINT64_C(64) << 10)

/* Bytes that are copied at a time through the stack. */
#define BOUNCE 16384

static struct {
	pthread_rwlock_t lock; /* protects the addresses of PRIVATE sources, and their list */
	struct source *privates;
} sources = { .lock = PTHREAD_RWLOCK_INITIALIZER };

void sources_lock(void)
{
	pthread_rwlock_wrlock(&sources.lock);
}

void sources_unlock(void)
{
	pthread_rwlock_unlock(&sources.lock);
}

void sources_hold(void)
{
	pthread_rwlock_rdlock(&sources.lock);
}

void sources_let_go(void)
{
	pthread_rwlock_unlock(&sources.lock);
}

void sources_reset(void)
{
	pthread_rwlock_init(&sources.lock, NULL);
}

/* Whether the bytes are in the process of @task; NULL: this one. */
static bool lives_in(const struct source *source, const struct mr_task *task)
{
	return task && source->task ? source->task->pid == task->pid : !task && !source->task;
}

static bool inside(const struct source *source, uintptr_t from, uint64_t length)
{
	return source->address >= from && source->address - from <= length &&
	       source->length <= length - (source->address - from);
}

static bool touches(const struct source *source, uintptr_t from, uint64_t length)
{
	return source->address < from + length && from < source->address + source->length;
}

/* A source that lies across the border of what moves has no one place any more: its bytes are lost to it. */
void sources_moved(const struct mr_task *task, uintptr_t from, uint64_t length, uintptr_t to)
{
	for (struct source *source = sources.privates; source; source = source->next)
		if (!lives_in(source, task))
			continue;
		else if (inside(source, from, length))
			source->address = source->address - from + to;
		else if (touches(source, from, length))
			source->address = 0;
}

void sources_lost(const struct mr_task *task, uintptr_t from, uint64_t length)
{
	for (struct source *source = sources.privates; source; source = source->next)
		if (lives_in(source, task) && touches(source, from, length))
			source->address = 0;
}

uintptr_t source_private_address(struct source *source)
{
	uintptr_t address;

	pthread_rwlock_rdlock(&sources.lock);
	address = source->address;
	pthread_rwlock_unlock(&sources.lock);
	return address;
}

/* @task: NULL for this process. */
static void open_private(struct source *source, struct mr_task *task, uintptr_t address, uint64_t length)
{
	*source = (struct source){ .kind = task ? SOURCE_FOREIGN : SOURCE_PRIVATE,
				   .fd = -1,
				   .page_size = sys_page_size(),
				   .address = address,
				   .length = length,
				   .task = mr_task_ref(task) };
	sources_lock();
	source->next = sources.privates;
	if (source->next)
		source->next->link = &source->next;
	source->link = &sources.privates;
	sources.privates = source;
	sources_unlock();
}

bool source_is_private(const struct source *source)
{
	return source->kind == SOURCE_PRIVATE || source->kind == SOURCE_FOREIGN;
}

static void close_private(struct source *source)
{
	sources_lock();
	*source->link = source->next;
	if (source->next)
		source->next->link = source->link;
	sources_unlock();
}

static void let_go_of_pager(struct pager *pager)
{
	windows_forget(pager);
	pager_unref(pager);
}

void source_close(struct source *source)
{
	if (source_is_private(source) && source->link)
		close_private(source);
	if (source->kind == SOURCE_FOREIGN)
		mr_task_unref(source->task);
	if (source->kind == SOURCE_ALIAS)
		sys_munmap(source->address, source->length);
	if (source->pager)
		let_go_of_pager(source->pager);
	else if ((source->kind == SOURCE_FILE || source->kind == SOURCE_PHYSICAL) && source->page_size)
		sys_close(source->fd);
}

static enum file_kind kind_of(const struct stat *status, uint64_t magic)
{
	if (!S_ISREG(status->st_mode))
		return S_ISBLK(status->st_mode) ? FILE_REGULAR : FILE_DEVICE;
	if (magic == HUGETLBFS_MAGIC)
		return FILE_HUGE;
	return magic == TMPFS_MAGIC ? FILE_SHMEM : FILE_REGULAR;
}

int source_take_file(struct source *source, int fd)
{
	struct stat status;
	uint64_t magic, block;
	int error = sys_stat(fd, &status);

	if (!error)
		error = sys_file_system(fd, &magic, &block);
	if (error) {
		sys_close(fd);
		return fail_system(error, "descriptor %d cannot be asked what it is", fd);
	}
	*source = (struct source){ .kind = SOURCE_FILE, .fd = fd, .file_kind = kind_of(&status, magic) };
	source->page_size = source->file_kind == FILE_HUGE ? block : sys_page_size();
	source->device = status.st_dev;
	source->inode = status.st_ino;
	return 0;
}

void source_take_pager(struct source *source, struct pager *pager)
{
	*source = (struct source){ .kind = SOURCE_FILE, .file_kind = FILE_SHMEM, .page_size = sys_page_size(), .pager = pager };
	source->fd = pager_fd(pager, &source->device, &source->inode);
}

/* Whether the file can be mapped as it will be: only the kernel knows (seals, devices, file systems). */
static int try_mapping(const struct source *source, uint64_t offset, bool writable)
{
	uintptr_t address;
	int flags = MAP_SHARED | (source->file_kind == FILE_HUGE ? MAP_NORESERVE : 0);
	int protection = PROT_READ | (writable ? PROT_WRITE : 0);
	int error =
		sys_mmap(0, source->page_size, protection, flags, source->fd, offset - offset % source->page_size, &address);

	if (!error)
		sys_munmap(address, source->page_size);
	return error == -EPERM ? -EACCES : error;
}

int source_open_file(struct source *source, int fd, uint64_t offset, bool writable)
{
	int error, copy;
	int flags = sys_open_flags(fd);

	if (flags < 0 || flags & O_PATH)
		return fail(-EBADF, "fd %d is not an open descriptor of a file", fd);
	if ((flags & O_ACCMODE) == O_WRONLY)
		return fail(-EACCES, "fd %d is open for writing only; a map needs it open for reading too", fd);
	if (writable && (flags & O_ACCMODE) != O_RDWR)
		return fail(-EACCES, "fd %d is open for reading only; open it for writing, or ask for MR_MEMORY_READ_ONLY", fd);
	copy = sys_dup(fd);
	if (copy < 0)
		return fail_system(copy, "fd %d cannot be duplicated", fd);
	error = source_take_file(source, copy);
	if (error)
		return error;
	error = try_mapping(source, offset, writable);
	if (!error)
		return 0;
	source_close(source);
	return fail_system(error, "fd %d cannot be mapped for %s", fd, writable ? "reading and writing" : "reading");
}

/*
 * The file behind a shared region, by the kernel's link to it (which takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE). Only a regular
 * file: opening a device makes another instance of it. The region is cut from a mapping whose bounds are in the link's name.
 */
static int open_linked(const struct mr_task *task, const struct region *region, bool writable)
{
	char name[48], path[TASK_PATH];
	struct stat status;
	int error;

	snprintf(name, sizeof(name), "map_files/%" PRIxPTR "-%" PRIxPTR, region->whole_start, region->whole_end);
	task_path(task, name, path);
	error = sys_stat_path(path, &status);
	if (error)
		return error;
	if (!S_ISREG(status.st_mode) || status.st_ino != region->inode)
		return -ENODEV;
	return sys_open(path, writable ? O_RDWR : O_RDONLY);
}

/* What an alias is an alias of: what is known to behave as ordinary pages do, or else a device. */
static enum file_kind kind_by_name(const struct region *region)
{
	static const char *const shmem[] = { "/dev/zero", "/dev/shm/", "/memfd:", "/SYSV" };
	struct stat status;

	for (size_t i = 0; i < sizeof(shmem) / sizeof(*shmem); i++)
		if (strncmp(region->name, shmem[i], strlen(shmem[i])) == 0)
			return FILE_SHMEM;
	if (!sys_stat_path(region->name, &status) && S_ISREG(status.st_mode) && status.st_ino == region->inode)
		return FILE_REGULAR;
	return FILE_DEVICE;
}

/* The same bytes, mapped once more: mremap with an old length of 0 does that for shared mappings. */
static int open_alias(struct source *source, const struct region *region)
{
	uint64_t length = region->end - region->start;
	uintptr_t address;
	int error = sys_mremap(region->start, 0, length, MREMAP_MAYMOVE, 0, &address);

	if (error)
		return error;
	*source = (struct source){
		.kind = SOURCE_ALIAS, .fd = -1, .page_size = sys_page_size(), .address = address, .length = length
	};
	source->file_kind = kind_by_name(region);
	source->inode = region->inode;
	source->file_offset = region->offset;
	return 0;
}

int source_open_region(struct source *source, struct mr_task *task, const struct region *region, bool writable,
		       uint64_t *ret_offset)
{
	struct pager *pager = task ? NULL : windows_find(region->start, region->inode, ret_offset);
	int fd, error;

	if (pager) {
		source_take_pager(source, pager);
		return 0;
	}
	*ret_offset = 0;
	if (region->shared) {
		fd = open_linked(task, region, writable);
		if (fd >= 0) {
			*ret_offset = region->offset;
			return source_take_file(source, fd);
		}
		if (strncmp(region->name, "/memredirect", 12) == 0)
			return fail(-EOPNOTSUPP,
				    "what is mapped at %#" PRIxPTR
				    " is a map of the driver's, whose pages nobody else can have",
				    region->start);
		error = task ? -EPERM : open_alias(source, region);
		if (!error || error == -ENOMEM)
			return error ? fail_system(error, "no room to map %#" PRIxPTR " once more", region->start) : 0;
	}
	open_private(source, task, region->start, region->end - region->start);
	return 0;
}

int source_open_physical(struct source *source, uint64_t address, uint64_t length, bool read_only)
{
	int fd = channel_open_control();
	int error = fd < 0 ? fd : channel_check_physical(fd, address, length, read_only);

	if (!error)
		*source = (struct source){ .kind = SOURCE_PHYSICAL,
					   .file_kind = FILE_DEVICE,
					   .fd = fd,
					   .page_size = sys_page_size(),
					   .address = address,
					   .length = length };
	else if (fd >= 0)
		sys_close(fd);
	return error;
}

static int map_alias(const struct source *source, uint64_t offset, uint64_t length, int protection, int flags,
		     uintptr_t address, uintptr_t *ret_address)
{
	int fixed = flags & MAP_FIXED ? MREMAP_FIXED : 0;
	int error = sys_mremap(source->address + offset, 0, length, MREMAP_MAYMOVE | fixed, address, &address);

	if (error)
		return error;
	error = sys_mprotect(address, length, protection);
	if (error && !fixed)
		sys_munmap(address, length);
	else if (!error)
		*ret_address = address;
	return error;
}

int source_map(const struct source *source, uint64_t offset, uint64_t length, int protection, int flags, bool copy_on_write,
	       uintptr_t address, uintptr_t *ret_address)
{
	int error;

	if (source->kind == SOURCE_FILE)
		error = sys_mmap(address, length, protection, flags | (copy_on_write ? MAP_PRIVATE : MAP_SHARED), source->fd,
				 offset, ret_address);
	else
		error = map_alias(source, offset, length, protection, flags, address, ret_address);
	if (error == -EPERM && protection & PROT_EXEC)
		return fail(-EACCES,
			    "%" PRIu64 " bytes at %" PRIu64
			    " of the memory are of a file whose code may not be run (see noexec in mount(8))",
			    length, offset);
	return error ? fail_system(error, "%" PRIu64 " bytes at %" PRIu64 " of the memory cannot be mapped", length, offset)
		     : 0;
}

/* Copy between memory of the library's own, or shared, and that of others. Devices cannot be copied by the kernel. */
static int copy(void *own, void *other, uint64_t length, bool out, bool device)
{
	while (length) {
		size_t part = length < WINDOW ? (size_t)length : (size_t)WINDOW;
		ssize_t done = out ? sys_copy_out(other, own, part) : sys_copy_in(own, other, part);

		if (done == -ENOSYS || done == -EPERM || (device && done == -EFAULT)) {
			memcpy(out ? other : own, out ? own : other, part);
			done = (ssize_t)part;
		}
		if (done <= 0)
			return fail_system(
				done ? (int)done : -EFAULT,
				"%" PRIu64
				" bytes cannot be copied: what is at %p, or at %p, is not there, or may not be accessed",
				length, other, own);
		own = (char *)own + done;
		other = (char *)other + done;
		length -= (uint64_t)done;
	}
	return 0;
}

/* Map the part of @source that holds [offset, offset + length), copy, unmap. */
static int copy_window(const struct source *source, uint64_t offset, void *buffer, uint64_t length, bool write)
{
	uint64_t lead = offset % source->page_size;
	uint64_t span = (lead + length + source->page_size - 1) / source->page_size * source->page_size;
	int flags = source->file_kind == FILE_HUGE ? MAP_NORESERVE : 0;
	uintptr_t address = 0;
	int error = source_map(source, offset - lead, span, PROT_READ | (write ? PROT_WRITE : 0), flags, false, 0, &address);

	if (error)
		return error;
	if (length >= WORTH_POPULATING)
		sys_madvise(address, span, MADV_POPULATE_READ); /* what cannot be had, the copy tells */
	error = copy((char *)address + lead, buffer, length, !write, source->file_kind == FILE_DEVICE);
	sys_munmap(address, span);
	return error;
}

/* The caller's buffer is looked at while no window is mapped: one could fill the very gap that a wrong pointer points at. */
static int copy_little(const struct source *source, uint64_t offset, void *buffer, uint64_t length, bool write)
{
	char bounce[BOUNCE];
	int error = write ? copy(bounce, buffer, length, false, false) : 0;

	if (!error)
		error = copy_window(source, offset, bounce, length, write);
	if (!error && !write)
		error = copy(bounce, buffer, length, true, false);
	return error;
}

/* A map may show the memory read-only: that is the map's access, not the memory's. */
static int write_private(uintptr_t address, void *buffer, uint64_t length)
{
	int error = copy(buffer, (void *)address, length, true, false);

	if (error != -EFAULT || sys_copy_to_protected(address, buffer, length) != (ssize_t)length)
		return error;
	return 0;
}

static int copy_at(const struct source *source, uintptr_t address, void *buffer, uint64_t length, bool write)
{
	if (source->task)
		return task_copy(source->task, address, buffer, length, write);
	return write ? write_private(address, buffer, length) : copy(buffer, (void *)address, length, false, false);
}

/*
 * Private bytes stay where they are while the lock is held, shared. The caller's buffer is not touched under it: it may lie in
 * a map that is blocked, whose release would wait for the lock.
 */
static int copy_private(struct source *source, uint64_t offset, void *buffer, uint64_t length, bool write)
{
	char bounce[BOUNCE];
	uintptr_t address;
	int error = 0;

	for (uint64_t part; !error && length; length -= part, offset += part, buffer = (char *)buffer + part) {
		part = length < BOUNCE ? length : BOUNCE;
		if (write)
			error = copy(bounce, buffer, part, false, false);
		if (error)
			break;
		pthread_rwlock_rdlock(&sources.lock);
		address = source->address;
		if (address)
			error = copy_at(source, address + offset, bounce, part, write);
		pthread_rwlock_unlock(&sources.lock);
		if (!address)
			return fail(-EFAULT, "the private memory that was at this place has been unmapped or torn apart");
		if (!error && !write)
			error = copy(bounce, buffer, part, true, false);
	}
	return error;
}

static int transfer(struct source *source, uint64_t offset, void *buffer, uint64_t length, bool write)
{
	int error = 0;

	if (source->pager)
		return write ? pager_write(source->pager, offset, buffer, length)
			     : pager_read(source->pager, offset, buffer, length);
	if (source_is_private(source))
		return copy_private(source, offset, buffer, length, write);
	if (source->kind == SOURCE_PHYSICAL)
		return channel_copy_physical(source->fd, source->address + offset, buffer, length, write);
	if (source->kind == SOURCE_ALIAS)
		return copy((char *)source->address + offset, buffer, length, !write, false);
	for (uint64_t part; !error && length; length -= part, offset += part, buffer = (char *)buffer + part) {
		part = length < WINDOW ? length : WINDOW;
		error = (part <= BOUNCE ? copy_little : copy_window)(source, offset, buffer, part, write);
	}
	return error;
}

int source_read(struct source *source, uint64_t offset, void *buffer, uint64_t length)
{
	return transfer(source, offset, buffer, length, false);
}

int source_write(struct source *source, uint64_t offset, const void *buffer, uint64_t length)
{
	return transfer(source, offset, (void *)buffer, length, true);
}

bool source_is_same(struct source *left, uint64_t *left_at, struct source *right, uint64_t *right_at)
{
	if (left->kind != right->kind)
		return false;
	if (left->kind == SOURCE_ALIAS) {
		*left_at += left->file_offset;
		*right_at += right->file_offset;
		return left->inode == right->inode;
	}
	if (left->kind == SOURCE_FILE)
		return left->device == right->device && left->inode == right->inode;
	if (left->kind == SOURCE_PHYSICAL) {
		*left_at += left->address;
		*right_at += right->address;
		return true;
	}
	if (left->kind == SOURCE_FOREIGN && left->task->pid != right->task->pid)
		return false;
	*left_at += source_private_address(left);
	*right_at += source_private_address(right);
	return true;
}
