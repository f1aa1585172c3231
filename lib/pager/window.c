/* SPDX-License-Identifier: MIT */
/*
 * Windows: mappings of pagers' files that clients see, and the faults that are met in them.
 *
 * A fault is served by the service's thread, if it has what it takes at once: a page is mapped, let be written to, or asked for. Else by
 * the server, a thread that can wait for locks. Neither calls a pager's callbacks.
 *
 * Locks: this one, shared by who looks for windows and acts on their pages, exclusively held by who moves mappings; then a pager's. Whoever
 * moves a watched mapping waits for the service's thread, which therefore only tries.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>

#include "error.h"
#include "fault/service.h"
#include "lines.h"
#include "pager/cache.h"
#include "regions.h"
#include "sys/sys.h"

/* What is put into a file in one go, with this lock held, for which moves wait. */
#define STEP (UINT64_C(128) << 10)

/* Loads after a fault in a window during which it is taken to want what is loaded. */
#define WARM 32

/* Pages that are refused now. */
#define MOST_REFUSED 1024

struct window {
	struct pager *pager; /* a reference: what an adopted map leaves behind is served as long as it stands */
	uintptr_t start;
	uint64_t length;
	uint64_t offset; /* in the file */
	bool copy_on_write;
	bool writable;
	unsigned heat;
	struct window *next, *sibling; /* all; those of the pager */
};

static struct {
	pthread_rwlock_t lock; /* protects the windows */
	struct window *first;
	struct window *gone; /* those that are to be freed once the lock is let go: the end of a pager takes it */

	pthread_mutex_t using; /* protects the two below; comes first */
	unsigned users;
	struct worker server;
} windows = { .using = PTHREAD_MUTEX_INITIALIZER };

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* How often this thread has entered. */
static _Thread_local unsigned depth;

/* Moves first: they are short, and clients wait for them. */
static void make_lock(void)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&windows.lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

void windows_enter(void)
{
	pthread_once(&once, make_lock);
	if (!depth++)
		pthread_rwlock_wrlock(&windows.lock);
}

void windows_leave(void)
{
	struct window *gone, *next;

	if (--depth)
		return;
	gone = windows.gone;
	windows.gone = NULL;
	pthread_rwlock_unlock(&windows.lock);
	for (; gone; gone = next) {
		next = gone->next;
		pager_unref(gone->pager);
		sys_free(gone);
	}
}

void windows_enter_shared(void)
{
	pthread_once(&once, make_lock);
	pthread_rwlock_rdlock(&windows.lock);
}

void windows_leave_shared(void)
{
	pthread_rwlock_unlock(&windows.lock);
}

void windows_reset(void)
{
	pthread_once(&once, make_lock);
	make_lock();
	pthread_mutex_init(&windows.using, NULL);
	if (windows.users)
		worker_forget(&windows.server);
	for (struct window *window = windows.first; window; window = window->next) {
		atomic_fetch_sub_explicit(&window->pager->references, 1, memory_order_relaxed);
		window->pager->windows = NULL;
	}
	windows.first = windows.gone = NULL;
	windows.users = 0;
	depth = 0;
}

/* -- what stands where -- */

static struct window *find(uintptr_t address)
{
	struct window *window = windows.first;

	while (window && (address < window->start || address - window->start >= window->length))
		window = window->next;
	return window;
}

static void drop_refusals(const struct window *window, uint64_t offset, uint64_t length, bool undo);

static void unlink_window(struct window *window)
{
	struct window **link = &windows.first;

	drop_refusals(window, 0, window->length, false);
	while (*link != window)
		link = &(*link)->next;
	*link = window->next;
	link = &window->pager->windows;
	while (*link != window)
		link = &(*link)->sibling;
	*link = window->sibling;
	window->next = windows.gone;
	windows.gone = window;
}

static void link_window(struct window *window)
{
	windows.first = window;
	window->pager->windows = window;
}

int window_open(struct pager *pager, uintptr_t start, uint64_t length, uint64_t offset, int protection, bool copy_on_write)
{
	struct window *window = sys_allocate(1, sizeof(*window));
	int error;

	if (!window)
		return fail(-ENOMEM, "there is no memory to note a mapping of a pager's memory");
	*window = (struct window){ .pager = pager, .start = start, .length = length, .offset = offset };
	window->copy_on_write = copy_on_write;
	window->writable = protection & PROT_WRITE;
	error = sys_madvise(start, length, MADV_DONTFORK);
	sys_munlock(start, length);
	if (!error)
		error = service_page(start, length);
	if (!error)
		error = sys_mprotect(start, length, protection);
	if (error) {
		sys_free(window);
		return fail_system(error, "%" PRIu64 " bytes of a pager's memory cannot be watched", length);
	}
	pager_ref(pager);
	windows_enter();
	window->next = windows.first;
	window->sibling = pager->windows;
	link_window(window);
	pthread_mutex_lock(&pager->lock);
	pager->forgiven = sys_now();
	pthread_mutex_unlock(&pager->lock);
	windows_leave();
	return 0;
}

bool windows_dropped(uintptr_t start, uint64_t length)
{
	struct window *next;
	bool some = false;

	for (struct window *window = windows.first; window; window = next) {
		uintptr_t end = start + length;

		next = window->next;
		if (window->start >= end || start >= window->start + window->length)
			continue;
		some = true;
		if (end >= window->start + window->length && start <= window->start) {
			unlink_window(window);
		} else if (start <= window->start) {
			drop_refusals(window, 0, window->length, true);
			window->offset += end - window->start;
			window->length -= end - window->start;
			window->start = end;
		} else {
			window->length = start - window->start;
		}
	}
	return some;
}

void windows_moved(uintptr_t from, uint64_t length, uintptr_t to)
{
	windows_dropped(to, length);
	for (struct window *window = windows.first; window; window = window->next)
		if (window->start >= from && window->start - from < length)
			window->start = window->start - from + to;
}

/* If that cannot be found out, it does. */
static bool stands(const struct window *window)
{
	bool found = false;
	struct lines lines;
	struct region region;
	char *line;

	if (lines_open(&lines, "/proc/self/maps"))
		return true;
	while (!found && (line = lines_next(&lines)))
		found = region_parse(line, &region) && region.inode == window->pager->inode &&
			region.start < window->start + window->length && window->start < region.end;
	found |= lines.error != 0;
	lines_close(&lines);
	return found;
}

void windows_forget(struct pager *pager)
{
	struct window *next;

	windows_enter();
	for (struct window *window = pager->windows; window; window = next) {
		next = window->sibling;
		if (!stands(window))
			unlink_window(window);
	}
	windows_leave();
}

struct pager *windows_find(uintptr_t address, uint64_t inode, uint64_t *ret_offset)
{
	struct pager *pager = NULL;
	struct window *window;

	windows_enter_shared();
	window = find(address);
	if (window && !window->copy_on_write && window->pager->inode == inode) {
		pager = pager_ref(window->pager);
		*ret_offset = window->offset + (address - window->start);
	}
	windows_leave_shared();
	return pager;
}

/* -- acting on pages, with both locks held -- */

/* Where [offset, offset + length) of the file is in the window; 0 bytes: nowhere. */
static uint64_t clip(const struct window *window, uint64_t offset, uint64_t length, uintptr_t *ret_start)
{
	uint64_t from = offset > window->offset ? offset : window->offset;
	uint64_t window_end = window->offset + window->length;
	uint64_t end = offset + length < window_end ? offset + length : window_end;

	if (from >= end)
		return 0;
	*ret_start = window->start + (from - window->offset);
	return end - from;
}

void windows_protect(struct pager *pager, uint64_t page, uint64_t count)
{
	for (struct window *window = pager->windows; window; window = window->sibling) {
		uintptr_t start = 0;
		uint64_t length = clip(window, page * pager->page, count * pager->page, &start);

		if (length && window->writable && !window->copy_on_write)
			service_protect(start, length);
	}
}

static uint64_t page_of(const struct window *window, uintptr_t address)
{
	return (window->offset + (address - window->start)) / window->pager->page;
}

/*
 * Map what of a range of the window the file has. Where pages cannot be mapped protected, they are written to without anybody's being
 * told: so they are dirty. False: it would take waiting.
 */
static bool map_range(struct window *window, uintptr_t start, uint64_t length, bool patient)
{
	uint64_t page = window->pager->page;
	bool protect = service_maps_protected();
	uintptr_t end = start + length;

	if (!protect && window->writable && !window->copy_on_write)
		cache_soil(window->pager, page_of(window, start), length / page);
	while (start < end) {
		int64_t mapped = service_map(start, end - start, protect, patient);

		if (mapped == -EAGAIN)
			return false;
		if (mapped <= 0 && mapped != -EEXIST)
			break;
		start += mapped > 0 ? (uint64_t)mapped : page;
	}
	return true;
}

static bool map_block(struct window *window, uint32_t block, bool patient)
{
	struct pager *pager = window->pager;
	uintptr_t start = 0;
	uint64_t length = clip(window, cache_start(pager, block), pager->block, &start);

	return !length || map_range(window, start, length, patient);
}

/* Mapped to be written to at once. 0, -EEXIST, -EAGAIN. */
static int map_dirty_page(struct window *window, uintptr_t address, bool patient)
{
	int64_t mapped;

	cache_soil(window->pager, page_of(window, address), 1);
	mapped = service_map(address, window->pager->page, false, patient);
	return mapped > 0 ? 0 : (int)mapped;
}

/* -- refusing -- */

/* A page that whoever accesses it gets SIGBUS for. With both locks held, and that of the table. */
struct refusal {
	struct window *window;
	uint64_t offset; /* in the window */
	uint64_t end;
};

static struct {
	pthread_mutex_t lock;
	size_t count;
	struct refusal table[MOST_REFUSED];
} refusals = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* It has not been mapped since: so nothing is lost. */
static void end_refusal(struct refusal *refusal)
{
	sys_madvise(refusal->window->start + refusal->offset, refusal->window->pager->page, MADV_DONTNEED);
	*refusal = refusals.table[--refusals.count];
}

/* Those in [start, start + length) of the window. @undo: also let the pages be accessed again. */
static void drop_refusals(const struct window *window, uint64_t offset, uint64_t length, bool undo)
{
	pthread_mutex_lock(&refusals.lock);
	for (size_t i = 0; i < refusals.count;) {
		struct refusal *refusal = &refusals.table[i];

		if (refusal->window != window || refusal->offset < offset || refusal->offset - offset >= length)
			i++;
		else if (undo)
			end_refusal(refusal);
		else
			*refusal = refusals.table[--refusals.count];
	}
	pthread_mutex_unlock(&refusals.lock);
}

static bool note_refusal(struct window *window, uintptr_t address)
{
	bool room;

	pthread_mutex_lock(&refusals.lock);
	room = refusals.count < MOST_REFUSED;
	if (room)
		refusals.table[refusals.count++] =
			(struct refusal){ window, address - window->start, sys_now() + LOAD_REFUSED };
	pthread_mutex_unlock(&refusals.lock);
	return room;
}

/* What a page that was evicted has left there, that it was protected, is in the way. */
static int poison(uintptr_t address, uint64_t length, bool patient)
{
	int error = service_poison(address, length, patient);

	if (error != -EEXIST)
		return error;
	if (patient)
		service_unprotect(address, length);
	else
		error = service_unprotect_soon(address, length);
	return error == -EAGAIN ? error : service_poison(address, length, patient);
}

/* Where the page cannot be refused, the thread is told alone. */
static bool refuse(struct window *window, const struct service_fault *fault, uintptr_t address, bool patient)
{
	int error = -ENOSPC;

	if (service_can_poison() && note_refusal(window, address)) {
		error = poison(address, window->pager->page, patient);
		if (error)
			drop_refusals(window, address - window->start, 1, false);
	}
	if (error && error != -EAGAIN)
		sys_bus_error(fault->tid, fault->address);
	return error != -EAGAIN;
}

/* When the next refusal ends. */
static uint64_t end_of_refusals(void)
{
	uint64_t end = sys_now() + LOAD_REFUSED;

	pthread_mutex_lock(&refusals.lock);
	for (size_t i = 0; i < refusals.count; i++)
		end = refusals.table[i].end < end ? refusals.table[i].end : end;
	pthread_mutex_unlock(&refusals.lock);
	return end;
}

/* Let what has been refused for long enough be asked for again. */
static void end_refusals(void)
{
	uint64_t now = sys_now();

	windows_enter_shared();
	for (struct window *window = windows.first; window; window = window->next) {
		pthread_mutex_lock(&window->pager->lock);
		pthread_mutex_lock(&refusals.lock);
		for (size_t i = 0; i < refusals.count;)
			if (refusals.table[i].window == window && refusals.table[i].end <= now)
				end_refusal(&refusals.table[i]);
			else
				i++;
		pthread_mutex_unlock(&refusals.lock);
		pthread_mutex_unlock(&window->pager->lock);
	}
	windows_leave_shared();
}

/* -- serving -- */

/*
 * Somebody writes to a page that is clean. Who writes in order is let write to the rest of the block. What is under a guard by now, though it
 * was not when the write came, is for the guard to let go: the write is told to it when it is tried again.
 */
static bool serve_write(struct window *window, uintptr_t address, bool patient)
{
	struct pager *pager = window->pager;
	uint64_t page = page_of(window, address), count = 1, in_block = page % pager->block_pages;
	const struct block *block = &pager->all[page / pager->block_pages];
	uint64_t room = (window->start + window->length - address) / pager->page;

	if (window->copy_on_write || (in_block && cache_is_dirty(pager, page - 1)))
		count = pager->block_pages - in_block;
	count = count < room ? count : room;
	if (service_is_guarded(address, pager->page))
		return true;
	if (service_is_guarded(address, count * pager->page))
		count = 1;
	if (block->state == PRESENT && !window->copy_on_write)
		cache_soil(pager, page, count);
	else if (!window->copy_on_write)
		return true; /* it has gone meanwhile: the access finds that */
	if (!patient)
		return service_unprotect_soon(address, count * pager->page) != -EAGAIN;
	service_unprotect(address, count * pager->page);
	return true;
}

static bool serve_present(struct window *window, uint32_t block, uintptr_t address, bool write, bool patient)
{
	struct pager *pager = window->pager;

	if (pager->all[block].list == CLEAN) { /* it was needed last */
		cache_take(pager, block);
		cache_put(pager, block, CLEAN, false);
	}
	load_ahead(pager, block);
	if (write && window->writable && !window->copy_on_write && !service_is_guarded(address, pager->page) &&
	    map_dirty_page(window, address, patient) == -EAGAIN)
		return false;
	return map_block(window, block, patient);
}

/* ret_wake: the access may be tried again. */
static bool serve_here(struct window *window, const struct service_fault *fault, bool patient, bool *ret_wake)
{
	struct pager *pager = window->pager;
	uintptr_t address = fault->address - fault->address % pager->page;
	uint32_t block = (uint32_t)(page_of(window, address) / pager->block_pages);
	struct block *it = &pager->all[block];

	window->heat = WARM;
	*ret_wake = true;
	if (fault->protected && it->state == LOADING && !window->copy_on_write) {
		*ret_wake = false; /* it is there already, and can be written to when all of its load is */
		return true;
	}
	if (fault->protected)
		return serve_write(window, address, patient);
	if (it->state == PRESENT)
		return serve_present(window, block, address, fault->write, patient);
	if (load_has_failed(pager, it))
		return refuse(window, fault, address, patient);
	*ret_wake = false;
	load_urgently(pager, block);
	load_ahead(pager, block);
	return true;
}

static bool lock_pager(struct pager *pager, bool patient)
{
	if (!patient)
		return !pthread_mutex_trylock(&pager->lock);
	pthread_mutex_lock(&pager->lock);
	return true;
}

static bool serve_in(struct window *window, const struct service_fault *fault, bool patient)
{
	struct pager *pager = window->pager;
	bool wake = false, served;

	if (!lock_pager(pager, patient))
		return false;
	served = serve_here(window, fault, patient, &wake);
	pthread_mutex_unlock(&pager->lock);
	if (served && wake) {
		uintptr_t start = 0;
		uint64_t length =
			clip(window, cache_start(pager, (uint32_t)(page_of(window, fault->address) / pager->block_pages)),
			     pager->block, &start);

		service_wake(start, length);
	}
	return served;
}

/* What is in no window: a map that is blocked, whose waiters wait; or a protected page, of a mapping that has just been let go. */
static bool serve(const struct service_fault *fault, bool patient)
{
	struct window *window;
	bool served = true;

	if (patient)
		windows_enter_shared();
	else if (pthread_rwlock_tryrdlock(&windows.lock))
		return false;
	window = find(fault->address);
	if (window)
		served = serve_in(window, fault, patient);
	else if (fault->protected)
		service_retry(fault);
	windows_leave_shared();
	return served;
}

/* What the service's thread could not serve. */
static void *serve_patiently(void *argument)
{
	struct service_fault fault;

	int next;

	while ((next = service_next_fault(&fault, end_of_refusals())) >= 0) {
		if (next)
			serve(&fault, true);
		end_refusals();
	}
	return argument;
}

static int start_serving(void)
{
	int error = service_acquire();

	if (error)
		return error;
	if (!service_can_page()) {
		service_release();
		return fail(
			-EOPNOTSUPP,
			"this kernel's userfaultfd cannot watch shared memory for missing, unmapped and protected pages (5.19 and later)");
	}
	service_set_server(serve);
	error = worker_start(&windows.server, serve_patiently, NULL);
	if (!error)
		return 0;
	service_set_server(NULL);
	service_release();
	return error;
}

int windows_acquire(void)
{
	int error = 0;

	pthread_once(&once, make_lock);
	pthread_mutex_lock(&windows.using);
	if (!windows.users)
		error = start_serving();
	if (!error)
		windows.users++;
	pthread_mutex_unlock(&windows.using);
	return error;
}

void windows_release(void)
{
	pthread_mutex_lock(&windows.using);
	if (!--windows.users) {
		service_end_faults();
		worker_join(&windows.server);
		service_set_server(NULL);
		service_release();
	}
	pthread_mutex_unlock(&windows.using);
}

/* -- what has been loaded -- */

/* Loaded bytes go into the file step by step, by way of a window that has them mapped at once, or past all. */
struct step {
	uint64_t length;
	struct window *window; /* NULL: past all */
	bool mapped;	       /* they are wanted in windows */
};

/* A window does without the file's own lock, for which all loaders would wait. With both locks held. */
static void choose_window(struct pager *pager, uint64_t offset, struct step *step)
{
	struct window *window = pager->windows;
	uintptr_t start;

	if (!step->mapped || step->length % pager->page || !service_maps_protected())
		return;
	while (window && (!window->heat || window->copy_on_write || clip(window, offset, step->length, &start) < step->length))
		window = window->sibling;
	step->window = window;
}

/* The next step of [offset, end). What tells that somebody has come so far is not mapped. With both locks held. */
static struct step next_step(struct pager *pager, uint64_t offset, uint64_t end)
{
	struct step step = { .length = STEP < end - offset ? STEP : end - offset,
			     .mapped = !pager->all[offset / pager->block].trip };
	uint64_t next = offset / pager->block * pager->block;

	while ((next += pager->block) < offset + step.length)
		if (pager->all[next / pager->block].trip == step.mapped)
			step.length = next - offset;
	choose_window(pager, offset, &step);
	return step;
}

/* Return: how many bytes from @offset on are there now; 0: there is no room for them. */
static uint64_t put_step(struct pager *pager, uint64_t offset, uint64_t end, const char *bytes, struct step *ret_step)
{
	struct step step;
	uint64_t done = 0;

	windows_enter_shared();
	pthread_mutex_lock(&pager->lock);
	step = next_step(pager, offset, end);
	pthread_mutex_unlock(&pager->lock);
	if (step.window)
		done = service_fill(step.window->start + (offset - step.window->offset), bytes, step.length);
	windows_leave_shared();
	if (!done) {
		step.window = NULL;
		done = sys_pwrite(pager->fd, bytes, step.length, offset) == (ssize_t)step.length ? step.length : 0;
	}
	*ret_step = step;
	return done;
}

/* ret_window: by way of which all has gone that is mapped; NULL: none, or several. */
static int put_all(struct pager *pager, uint64_t offset, uint64_t length, const char *bytes, const struct window **ret_window)
{
	uint64_t end = offset + length, done;
	bool first = true;
	struct step step;

	for (*ret_window = NULL; offset < end; offset += done, bytes += done) {
		done = put_step(pager, offset, end, bytes, &step);
		if (!done)
			return -ENOMEM;
		if (!step.mapped)
			continue;
		*ret_window = first || *ret_window == step.window ? step.window : NULL;
		first = false;
	}
	return 0;
}

/* What nobody has asked for yet is mapped where things are being asked for; but for the blocks that tell that somebody has come so far. */
static void show_in(struct window *window, uint32_t first, uint32_t count, bool filled)
{
	struct pager *pager = window->pager;
	uint32_t begin = first, end = first + count;

	if (!window->heat)
		return;
	window->heat--;
	if (filled)
		return;
	for (uint32_t block = first; block <= end; block++) {
		uintptr_t start = 0;
		uint64_t length;

		if (block < end && !pager->all[block].trip)
			continue;
		length = begin < block ? clip(window, cache_start(pager, begin), (block - begin) * pager->block, &start) : 0;
		if (length)
			map_range(window, start, length, true);
		begin = block + 1;
	}
}

static void end_refusals_of(struct window *window, uint32_t first, uint32_t count)
{
	uintptr_t start = 0;
	uint64_t length = clip(window, cache_start(window->pager, first), count * window->pager->block, &start);

	if (length)
		drop_refusals(window, start - window->start, length, true);
}

static void wake_all(const struct pager *pager, uint32_t first, uint32_t count)
{
	for (struct window *window = pager->windows; window; window = window->sibling) {
		uintptr_t start = 0;
		uint64_t length = clip(window, cache_start(pager, first), count * pager->block, &start);

		if (length)
			service_wake(start, length);
	}
}

static void end_all_refusals(struct pager *pager, uint32_t first, uint32_t count)
{
	for (struct window *window = pager->windows; window; window = window->sibling)
		end_refusals_of(window, first, count);
}

/* @filled: the window that has them mapped already. */
static void show(struct pager *pager, uint32_t first, uint32_t count, const struct window *filled)
{
	windows_enter_shared();
	pthread_mutex_lock(&pager->lock);
	for (uint32_t block = first; block < first + count; block++) {
		pager->all[block].alone = false;
		cache_arrived(pager, block);
	}
	for (struct window *window = pager->windows; window; window = window->sibling)
		show_in(window, first, count, window == filled);
	pthread_cond_broadcast(&pager->changed);
	pthread_mutex_unlock(&pager->lock);
	wake_all(pager, first, count);
	windows_leave_shared();
}

int windows_load(struct pager *pager, uint32_t first, uint32_t count, const char *bytes)
{
	const struct window *filled;
	int error;

	windows_enter_shared();
	pthread_mutex_lock(&pager->lock);
	end_all_refusals(pager, first, count);
	pthread_mutex_unlock(&pager->lock);
	windows_leave_shared();
	error = put_all(pager, cache_start(pager, first), cache_length(pager, first, count), bytes, &filled);
	if (error)
		sys_punch(pager->fd, cache_start(pager, first), count * pager->block);
	else
		show(pager, first, count, filled);
	return error;
}

void windows_wake(struct pager *pager, uint32_t first, uint32_t count)
{
	windows_enter_shared();
	wake_all(pager, first, count);
	windows_leave_shared();
}

/* -- for those who act on ranges of clients -- */

/* What is not there cannot be written to anyway. False: it was not all done. */
static bool unprotect_in(struct window *window, uintptr_t start, uint64_t length)
{
	struct pager *pager = window->pager;
	uint64_t page = page_of(window, start), end = page + length / pager->page;
	bool done = lock_pager(pager, false);

	if (!done)
		return false;
	for (uint64_t next; done && page < end; page = next) {
		uint32_t block = (uint32_t)(page / pager->block_pages);
		uintptr_t address = window->start + (page * pager->page - window->offset);

		next = (uint64_t)(block + 1) * pager->block_pages;
		next = next < end ? next : end;
		if (!window->copy_on_write && pager->all[block].state != PRESENT)
			continue;
		if (!window->copy_on_write)
			cache_soil(pager, page, next - page);
		done = service_unprotect_soon(address, (next - page) * pager->page) != -EAGAIN;
	}
	pthread_mutex_unlock(&pager->lock);
	return done;
}

static void unprotect(uintptr_t start, uint64_t length)
{
	uintptr_t end = start + length;

	while (start < end) {
		struct window *window = find(start);
		uint64_t part = window ? window->start + window->length - start : end - start;

		part = part < end - start ? part : end - start;
		if (window)
			unprotect_in(window, start, part);
		start += part;
	}
}

/* Whoever could not be let go finds the page protected again, and is told of anew. */
void windows_let(uintptr_t start, uint64_t length)
{
	if (!pthread_rwlock_tryrdlock(&windows.lock)) {
		unprotect(start, length);
		windows_leave_shared();
	}
	service_wake_soon(start, length);
}

int window_populate(uintptr_t start, uint64_t length)
{
	struct window *window;
	uintptr_t end = start + length;
	int error = 0;

	while (!error && start < end) {
		struct pager *pager = NULL;
		uint64_t offset = 0, part = 0;
		uint32_t block = 0;

		windows_enter_shared();
		window = find(start);
		if (window) {
			pager = pager_ref(window->pager);
			offset = window->offset + (start - window->start);
			block = (uint32_t)(offset / pager->block);
			part = pager->block - offset % pager->block;
			part = part < end - start ? part : end - start;
		}
		windows_leave_shared();
		if (!window)
			return 0;
		error = pager_hold(pager, offset, 1, false);
		if (!error) {
			windows_enter_shared();
			pthread_mutex_lock(&pager->lock);
			window = find(start);
			if (window && window->pager == pager)
				map_block(window, block, true);
			pthread_mutex_unlock(&pager->lock);
			windows_leave_shared();
			pager_let_go(pager, offset, 1, false);
		}
		pager_unref(pager);
		start += part;
	}
	return error;
}
