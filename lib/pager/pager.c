/* SPDX-License-Identifier: MIT */
/* Pagers: how they are made, used without a map, synced, and how they end. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "error.h"
#include "pager/cache.h"
#include "process.h"
#include "sys/sys.h"

#define BLOCK	   (UINT64_C(64) << 10)
#define BLOCK_MOST (UINT64_C(64) << 20)
#define LEAST	   64

/* What is copied at a time between a buffer and the cache. */
#define BOUNCE 16384

/* How long the last unref waits for calls of which none returns. */
#define PATIENCE UINT64_C(10000000000)

#define TABLE (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* Pagers that could not be ended when they were let go of. */
static struct {
	pthread_mutex_t lock;
	struct pager *first;
} orphans = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* -- making -- */

static int check_ops(const struct mr_pager *ops)
{
	const unsigned char *bytes = (const unsigned char *)ops;

	if (!ops)
		return fail(-EINVAL, "pager is NULL; it must say where the bytes come from");
	if (ops->size < sizeof(*ops))
		return fail(-EINVAL, "pager->size is %zu; it must be sizeof(struct mr_pager), %zu", ops->size, sizeof(*ops));
	for (size_t i = sizeof(*ops); i < ops->size; i++)
		if (bytes[i])
			return fail(-EINVAL,
				    "pager has %zu bytes, and some behind the first %zu are not zero: they are not known here",
				    ops->size, sizeof(*ops));
	if (!ops->read)
		return fail(-EINVAL, "pager->read is NULL; bytes must come from somewhere");
	if (ops->block && (ops->block & (ops->block - 1) || ops->block < sys_page_size() || ops->block > BLOCK_MOST))
		return fail(-EINVAL, "pager->block is %" PRIu64 "; it must be 0 or a power of two from %" PRIu64 " to %" PRIu64,
			    ops->block, sys_page_size(), BLOCK_MOST);
	return 0;
}

int pager_check(const struct mr_pager *ops, uint64_t length)
{
	uint64_t block;
	int error = check_ops(ops);

	if (error)
		return error;
	if (!length)
		return fail(-EINVAL, "length is 0; a memory has at least one byte");
	block = ops->block ? ops->block : BLOCK;
	if (length > (uint64_t)INT64_MAX - block || (length - 1) / block >= NO_BLOCK - 1)
		return fail(-EOVERFLOW,
			    "length %" PRIu64 " is more than a file, or 2^32 - 2 blocks of %" PRIu64 " bytes, can have", length,
			    block);
	return 0;
}

static void describe(struct pager *pager, const struct mr_pager *ops, uint64_t length, uint64_t cache)
{
	uint64_t most;

	pager->ops = *ops;
	pager->length = length;
	pager->page = sys_page_size();
	pager->block = ops->block ? ops->block : BLOCK;
	pager->request = pager->block > REQUEST ? pager->block : REQUEST;
	pager->blocks = (uint32_t)((length + pager->block - 1) / pager->block);
	pager->block_pages = (uint32_t)(pager->block / pager->page);
	most = cache / pager->block + (cache % pager->block != 0);
	most = most < LEAST ? LEAST : most;
	pager->most = !cache || most > NO_BLOCK - 1 ? NO_BLOCK - 1 : (uint32_t)most;
	for (int i = 0; i < LISTS; i++)
		pager->lists[i] = (struct list){ NO_BLOCK, NO_BLOCK, 0 };
}

static uint64_t table_length(const struct pager *pager)
{
	return pager->blocks * sizeof(*pager->all);
}

static uint64_t dirty_length(const struct pager *pager)
{
	return ((uint64_t)pager->blocks * pager->block_pages + 63) / 64 * 8;
}

static uint64_t staging_length(const struct pager *pager)
{
	return (LOADERS + 1) * pager->request;
}

static int map_tables(struct pager *pager)
{
	uintptr_t all = 0, dirty = 0, staging = 0;
	int access = PROT_READ | PROT_WRITE;
	int error = sys_mmap(0, table_length(pager), access, TABLE, -1, 0, &all);

	if (!error)
		error = sys_mmap(0, dirty_length(pager), access, TABLE, -1, 0, &dirty);
	if (!error)
		error = sys_mmap(0, staging_length(pager), access, TABLE, -1, 0, &staging);
	pager->all = (struct block *)all;
	pager->dirty = (uint64_t *)dirty;
	pager->staging = (void *)staging;
	return error ? fail_system(error, "there is no room to keep count of %" PRIu64 " bytes", pager->length) : 0;
}

static int make_file(struct pager *pager)
{
	struct stat status;
	int error;

	pager->fd = sys_memfd("memredirect-pager", 0);
	if (pager->fd < 0)
		return fail_system(pager->fd, "a memfd cannot be made");
	error = sys_truncate(pager->fd, (pager->length + pager->page - 1) / pager->page * pager->page);
	if (!error)
		error = sys_stat(pager->fd, &status);
	if (!error) {
		pager->device = status.st_dev;
		pager->inode = status.st_ino;
	}
	return error ? fail_system(error, "a memfd cannot have %" PRIu64 " bytes", pager->length) : 0;
}

/* All but threads and locks. */
static void free_pager(struct pager *pager)
{
	if (pager->all)
		sys_munmap((uintptr_t)pager->all, table_length(pager));
	if (pager->dirty)
		sys_munmap((uintptr_t)pager->dirty, dirty_length(pager));
	if (pager->staging)
		sys_munmap((uintptr_t)pager->staging, staging_length(pager));
	if (pager->fd >= 0)
		sys_close(pager->fd);
	sys_free(pager);
}

static void destroy_locks(struct pager *pager)
{
	pthread_cond_destroy(&pager->wanted);
	pthread_cond_destroy(&pager->untidy);
	pthread_cond_destroy(&pager->changed);
	pthread_mutex_destroy(&pager->lock);
}

/* No more is read; the cleaner writes all back, and ends all. @done: there is none. */
static void stop_threads(struct pager *pager, bool done)
{
	pthread_mutex_lock(&pager->lock);
	pager->stopping = pager->closing = true;
	pager->done = done;
	pthread_cond_broadcast(&pager->wanted);
	pthread_cond_broadcast(&pager->changed);
	pthread_cond_broadcast(&pager->untidy);
	pthread_mutex_unlock(&pager->lock);
}

static int start_threads(struct pager *pager)
{
	int error = 0;

	while (!error && pager->loader_count < LOADERS) {
		error = worker_start(&pager->loaders[pager->loader_count], load_loader, pager);
		pager->loader_count += !error;
	}
	if (!error)
		error = worker_start(&pager->cleaner, cache_cleaner, pager);
	if (!error)
		return 0;
	stop_threads(pager, true);
	for (unsigned i = 0; i < pager->loader_count; i++)
		worker_join(&pager->loaders[i]);
	return error;
}

static void free_ended(void);

int pager_new(const struct mr_pager *ops, uint64_t length, uint64_t cache, struct pager **ret_pager)
{
	struct pager *pager = sys_allocate(1, sizeof(*pager));
	int error;

	if (!pager)
		return fail(-ENOMEM, "there is no memory for the object");
	free_ended();
	pager->references = 1;
	pager->generation = process_generation();
	pager->fd = -1;
	pthread_mutex_init(&pager->lock, NULL);
	pthread_cond_init(&pager->wanted, NULL);
	pthread_cond_init(&pager->untidy, NULL);
	pthread_cond_init(&pager->changed, NULL);
	describe(pager, ops, length, cache);
	error = map_tables(pager);
	if (!error)
		error = make_file(pager);
	if (!error)
		error = windows_acquire();
	if (error)
		goto free;
	error = start_threads(pager);
	if (!error) {
		*ret_pager = pager;
		return 0;
	}
	windows_release();
free:
	destroy_locks(pager);
	free_pager(pager);
	return error;
}

struct pager *pager_ref(struct pager *pager)
{
	atomic_fetch_add_explicit(&pager->references, 1, memory_order_relaxed);
	return pager;
}

int pager_fd(const struct pager *pager, uint64_t *ret_device, uint64_t *ret_inode)
{
	*ret_device = pager->device;
	*ret_inode = pager->inode;
	return pager->fd;
}

/* -- ending -- */

static void join_and_free(struct pager *pager)
{
	worker_join(&pager->cleaner);
	destroy_locks(pager);
	free_pager(pager);
}

/* Those that have come to their end since they were left alone. */
static void free_ended(void)
{
	struct pager **link = &orphans.first, *pager;

	pthread_mutex_lock(&orphans.lock);
	while ((pager = *link)) {
		bool closed;

		pthread_mutex_lock(&pager->lock);
		closed = pager->closed;
		pthread_mutex_unlock(&pager->lock);
		if (closed) {
			*link = pager->next_orphan;
			join_and_free(pager);
		} else {
			link = &pager->next_orphan;
		}
	}
	pthread_mutex_unlock(&orphans.lock);
}

/* Wait for the cleaner to have closed down. False: a write fails, or no call returns. */
static bool await_end(struct pager *pager)
{
	uint64_t progress, end;
	bool closed;

	pthread_mutex_lock(&pager->lock);
	progress = pager->progress;
	end = sys_now() + PATIENCE;
	while (!pager->closed && !pager->failing && sys_now() < end) {
		struct timespec until = { (time_t)(end / 1000000000), (long)(end % 1000000000) };

		pthread_cond_clockwait(&pager->changed, &pager->lock, CLOCK_MONOTONIC, &until);
		if (pager->progress == progress)
			continue;
		progress = pager->progress;
		end = sys_now() + PATIENCE;
	}
	closed = pager->closed;
	pthread_mutex_unlock(&pager->lock);
	return closed;
}

static void leave_alone(struct pager *pager)
{
	pthread_mutex_lock(&orphans.lock);
	pager->next_orphan = orphans.first;
	orphans.first = pager;
	pthread_mutex_unlock(&orphans.lock);
}

/* In a child of fork: the threads are not here, though locks say that they wait, and what the callbacks use is the parent's. */
static void abandon(struct pager *pager)
{
	for (unsigned i = 0; i < pager->loader_count; i++)
		worker_forget(&pager->loaders[i]);
	worker_forget(&pager->cleaner);
	free_pager(pager);
}

void pager_unref(struct pager *pager)
{
	if (atomic_fetch_sub_explicit(&pager->references, 1, memory_order_acq_rel) != 1)
		return;
	if (pager->generation != process_generation()) {
		abandon(pager);
		return;
	}
	stop_threads(pager, false);
	windows_release();
	if (await_end(pager))
		join_and_free(pager);
	else
		leave_alone(pager);
	free_ended();
}

void pagers_reset(void)
{
	pthread_mutex_init(&orphans.lock, NULL);
	orphans.first = NULL;
}

/* -- copying -- */

/* One block has been held by whoever copies. */
static void unhold(struct pager *pager, uint32_t block, bool pinned)
{
	struct block *it = &pager->all[block];

	it->holds--;
	it->pinned -= pinned;
	if (!it->holds)
		pthread_cond_broadcast(&pager->changed);
}

static int cannot_read(int error, uint64_t offset)
{
	if (error > 0 || error == -ENOENT)
		error = -EIO;
	return fail_system(error, "the pager cannot read the bytes at offset %" PRIu64, offset);
}

static int hold(struct pager *pager, uint32_t block, bool pinned)
{
	int error;

	pthread_mutex_lock(&pager->lock);
	error = load_and_hold(pager, block);
	if (!error)
		pager->all[block].pinned += pinned;
	pthread_mutex_unlock(&pager->lock);
	return error ? cannot_read(error, cache_start(pager, block)) : 0;
}

static void let_go(struct pager *pager, uint32_t block, bool pinned)
{
	pthread_mutex_lock(&pager->lock);
	unhold(pager, block, pinned);
	pthread_mutex_unlock(&pager->lock);
}

/* Between the caller's buffer, which may be anywhere, and ours: while nothing is held. */
static int copy_buffer(void *buffer, void *bounce, uint64_t length, bool write)
{
	ssize_t done = write ? sys_copy_in(bounce, buffer, length) : sys_copy_out(buffer, bounce, length);

	if (done == -ENOSYS || done == -EPERM) {
		memcpy(write ? bounce : buffer, write ? buffer : bounce, length);
		done = (ssize_t)length;
	}
	if (done == (ssize_t)length)
		return 0;
	return fail_system(done < 0 ? (int)done : -EFAULT, "%" PRIu64 " bytes at %p cannot be copied: the buffer is not there",
			   length, buffer);
}

static int file_failed(int64_t done, uint64_t offset)
{
	return fail_system(done < 0 ? (int)done : -ENOMEM, "the cache cannot hold the bytes at offset %" PRIu64, offset);
}

int pager_read(struct pager *pager, uint64_t offset, void *buffer, uint64_t length)
{
	char bounce[BOUNCE];
	int error = 0;

	for (uint64_t part; !error && length; length -= part, offset += part, buffer = (char *)buffer + part) {
		uint32_t block = (uint32_t)(offset / pager->block);
		uint64_t rest = pager->block - offset % pager->block;
		ssize_t done;

		part = length < BOUNCE ? length : BOUNCE;
		part = part < rest ? part : rest;
		error = hold(pager, block, false);
		if (error)
			break;
		done = sys_pread(pager->fd, bounce, part, offset);
		let_go(pager, block, false);
		error = done == (ssize_t)part ? copy_buffer(buffer, bounce, part, false) : file_failed(done, offset);
	}
	return error;
}

/* Soiling comes after the bytes: who writes back in between takes them, or finds the page dirty once more. */
static int write_part(struct pager *pager, uint64_t offset, const void *bytes, uint64_t length)
{
	uint32_t block = (uint32_t)(offset / pager->block);
	uint64_t first = offset / pager->page, end = (offset + length + pager->page - 1) / pager->page;
	int error = hold(pager, block, false);
	ssize_t done;

	if (error)
		return error;
	done = sys_pwrite(pager->fd, bytes, length, offset);
	pthread_mutex_lock(&pager->lock);
	if (done > 0)
		cache_soil(pager, first, end - first);
	unhold(pager, block, false);
	pthread_mutex_unlock(&pager->lock);
	return done == (ssize_t)length ? 0 : file_failed(done, offset);
}

int pager_write(struct pager *pager, uint64_t offset, const void *buffer, uint64_t length)
{
	char bounce[BOUNCE];
	int error = 0;

	for (uint64_t part; !error && length; length -= part, offset += part, buffer = (const char *)buffer + part) {
		uint64_t rest = pager->block - offset % pager->block;

		part = length < BOUNCE ? length : BOUNCE;
		part = part < rest ? part : rest;
		error = copy_buffer((void *)buffer, bounce, part, true);
		if (!error)
			error = write_part(pager, offset, bounce, part);
	}
	return error;
}

/* -- holding -- */

static uint32_t block_after(const struct pager *pager, uint64_t offset, uint64_t length)
{
	return (uint32_t)((offset + length - 1) / pager->block) + 1;
}

void pager_let_go(struct pager *pager, uint64_t offset, uint64_t length, bool pinned)
{
	uint32_t end = block_after(pager, offset, length);

	for (uint32_t block = (uint32_t)(offset / pager->block); block < end; block++)
		let_go(pager, block, pinned);
}

/* What is prepared stays: enough must be left for everybody else. */
static int reserve_pins(struct pager *pager, uint64_t count)
{
	bool room;

	pthread_mutex_lock(&pager->lock);
	room = pager->pins + count <= pager->most - LEAST / 2;
	pager->pins += room ? (uint32_t)count : 0;
	pthread_mutex_unlock(&pager->lock);
	return room ? 0
		    : fail(-ENOMEM, "the cache of %" PRIu64 " bytes cannot keep %" PRIu64 " bytes, and have room for others",
			   pager->most * pager->block, count * pager->block);
}

static void return_pins(struct pager *pager, uint64_t count)
{
	pthread_mutex_lock(&pager->lock);
	pager->pins -= (uint32_t)count;
	pthread_mutex_unlock(&pager->lock);
}

int pager_hold(struct pager *pager, uint64_t offset, uint64_t length, bool pinned)
{
	uint32_t first = (uint32_t)(offset / pager->block), end = block_after(pager, offset, length), block;
	int error = pinned ? reserve_pins(pager, end - first) : 0;

	if (error)
		return error;
	for (block = first; !error && block < end; block++)
		error = hold(pager, block, pinned);
	if (!error)
		return 0;
	for (block--; block-- > first;)
		let_go(pager, block, pinned);
	if (pinned)
		return_pins(pager, end - first);
	return error;
}

void pager_unpin(struct pager *pager, uint64_t offset, uint64_t length)
{
	pager_let_go(pager, offset, length, true);
	return_pins(pager, block_after(pager, offset, length) - (uint32_t)(offset / pager->block));
}

uint64_t pager_hold_present(struct pager *pager, uint64_t offset, uint64_t length)
{
	uint32_t block = (uint32_t)(offset / pager->block);
	uint64_t rest = pager->block - offset % pager->block;
	bool present;

	pthread_mutex_lock(&pager->lock);
	present = pager->all[block].state == PRESENT;
	pager->all[block].holds += present;
	pthread_mutex_unlock(&pager->lock);
	return !present ? 0 : rest < length ? rest : length;
}

/* -- syncing -- */

/* What is prepared may be written to past page tables: it counts as dirty. */
static void soil_pinned(struct pager *pager, uint64_t first, uint64_t end)
{
	pthread_mutex_lock(&pager->lock);
	for (uint64_t page = first, next; page < end && pager->pins; page = next) {
		const struct block *block = &pager->all[page / pager->block_pages];

		next = (page / pager->block_pages + 1) * pager->block_pages;
		next = next < end ? next : end;
		if (block->pinned && block->state == PRESENT)
			cache_soil(pager, page, next - page);
	}
	pthread_mutex_unlock(&pager->lock);
}

static int flush(struct pager *pager, struct sentence *ret_said)
{
	struct sentence before;
	int error;

	error_listen(&before);
	error = pager->ops.flush ? pager->ops.flush(pager->ops.arg) : 0;
	error_heard(&before, ret_said);
	return error > 0 ? -EIO : error;
}

static int take_write_error(struct pager *pager)
{
	int error;

	pthread_mutex_lock(&pager->lock);
	error = pager->write_error;
	pager->write_error = 0;
	pthread_mutex_unlock(&pager->lock);
	return error;
}

int pager_sync(struct pager *pager, uint64_t offset, uint64_t length)
{
	uint64_t first = offset / pager->page, end = (offset + length + pager->page - 1) / pager->page;
	int error, before;
	struct sentence said;
	uintptr_t staging;

	if (!pager->ops.write)
		return 0;
	error = sys_mmap(0, pager->request, PROT_READ | PROT_WRITE, TABLE, -1, 0, &staging);
	if (error)
		return fail_system(error, "there is no room for a buffer of %" PRIu64 " bytes", pager->request);
	soil_pinned(pager, first, end);
	error = cache_clean(pager, first, end, (void *)staging, &said);
	sys_munmap(staging, pager->request);
	before = take_write_error(pager);
	if (error) {
		error_note_system(error, "some of %" PRIu64 " bytes at offset %" PRIu64 " cannot be written back", length,
				  offset);
		error_add(&said);
		return error;
	}
	error = flush(pager, &said);
	if (error) {
		error_note_system(error, "the pager cannot flush");
		error_add(&said);
		return error;
	}
	return before ? fail_system(before, "an earlier attempt to write back had failed; all has been written since") : 0;
}
