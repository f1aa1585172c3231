/* SPDX-License-Identifier: MIT */
/* Maps: how they are made, shared, adopted, asked and unmapped. */
#include "map.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>

#include "channel.h"
#include "error.h"
#include "physical.h"
#include "process.h"
#include "registry.h"
#include "space/foreign.h"
#include "space/space.h"
#include "sys/sys.h"
#include "task.h"

#define NEW_OPTIONS                                                                                                            \
	(MR_MAP_ANYWHERE | MR_MAP_OVERWRITE | MR_MAP_READ_ONLY | MR_MAP_UNIQUE | MR_MAP_REFERENCE | MR_MAP_PREFAULT |          \
	 MR_MAP_COPY_ON_WRITE | MR_MAP_CACHE_MASK | MR_MAP_DRIVER | MR_MAP_PERSIST)
#define IMPORT_OPTIONS (MR_MAP_ANYWHERE | MR_MAP_OVERWRITE | MR_MAP_READ_ONLY | MR_MAP_UNIQUE | MR_MAP_PREFAULT | MR_MAP_DRIVER)
#define ACCESS	       (MR_MAP_READ_ONLY | MR_MAP_COPY_ON_WRITE)

/* Tries to let go of a range for good. */
#define PATIENCE 1000

int map_check(const struct mr_map *map)
{
	if (!map)
		return fail(-EINVAL, "the map is NULL; it must be one that mr_map_new or mr_map_adopt made");
	return process_owns(map->generation, "map");
}

int map_unmapped(void)
{
	return fail(-ENXIO, "the map has been unmapped");
}

bool map_is_import(const struct mr_map *map)
{
	return map->options & MR_MAP_DRIVER && !map->memory;
}

int map_check_cache(uint32_t options, bool driver)
{
	uint32_t mode = options & MR_MAP_CACHE_MASK;

	if (mode > MR_MAP_CACHE_WRITE_COMBINE)
		return fail(-EINVAL, "options %#" PRIx32 " have the unknown cache mode %" PRIu32, options,
			    mode >> MR_MAP_CACHE_SHIFT);
	if (!driver && mode != MR_MAP_CACHE_DEFAULT && mode != MR_MAP_CACHE_COPYBACK)
		return fail(-EOPNOTSUPP,
			    "options %#" PRIx32 " ask for cache mode %" PRIu32
			    "; memory in a process has DEFAULT and COPYBACK alone, without MR_MAP_DRIVER",
			    options, mode >> MR_MAP_CACHE_SHIFT);
	return 0;
}

int map_check_access(const struct mr_memory *memory, uint32_t options)
{
	if (!(memory->options & MR_MEMORY_READ_ONLY) || options & ACCESS)
		return 0;
	return fail(-EACCES, "the memory is read-only; options %#" PRIx32 " need MR_MAP_READ_ONLY or MR_MAP_COPY_ON_WRITE",
		    options);
}

static int check_task(const struct mr_task *task, uint32_t options)
{
	int error = task_check(task);

	if (error || task_is_own(task))
		return error;
	if (options & MR_MAP_DRIVER)
		return fail(-EOPNOTSUPP, "the driver makes maps in the calling process alone, not in %d; export one to that",
			    (int)mr_task_pid(task));
	if (!task->frozen)
		return 0;
	return fail(-EOPNOTSUPP, "the task is a copy of process %d, which stands still, and can have no maps",
		    (int)mr_task_pid(task));
}

/* The host of maps in @task, with a reference; NULL for the calling process. */
static int find_host(struct mr_task *task, struct host **ret_host)
{
	*ret_host = NULL;
	return task_is_own(task) ? 0 : foreign_find(task, ret_host);
}

/* What is asked of mr_map_new. */
struct request {
	struct mr_memory *memory;
	struct host *host; /* NULL: this process */
	uintptr_t address;
	uint32_t options;
	uint64_t offset;
	uint64_t length;
};

static int check_options(const struct request *request)
{
	uint32_t options = request->options;

	if (options & ~NEW_OPTIONS)
		return fail(-EINVAL, "options %#" PRIx32 " have bits that are unknown here; allowed are %#" PRIx32, options,
			    NEW_OPTIONS);
	if (options & MR_MAP_ANYWHERE && options & MR_MAP_OVERWRITE)
		return fail(-EINVAL,
			    "options %#" PRIx32 " have both MR_MAP_ANYWHERE and MR_MAP_OVERWRITE, which needs an address",
			    options);
	if (!(options & MR_MAP_ANYWHERE) && !request->address)
		return fail(-EINVAL, "address is NULL; give one, or MR_MAP_ANYWHERE");
	if (options & MR_MAP_PERSIST && !(options & MR_MAP_DRIVER))
		return fail(-EINVAL, "options %#" PRIx32 " have MR_MAP_PERSIST without MR_MAP_DRIVER", options);
	if (options & MR_MAP_DRIVER && options & MR_MAP_COPY_ON_WRITE)
		return fail(-EOPNOTSUPP,
			    "a map of the driver's, which options %#" PRIx32 " ask for, cannot be MR_MAP_COPY_ON_WRITE",
			    options);
	return map_check_cache(options, options & MR_MAP_DRIVER);
}

static int check_request(struct request *request)
{
	int error = check_options(request);

	if (!error && request->offset >= request->memory->length)
		error = fail(-ERANGE, "offset %" PRIu64 " is past the end of the memory, which has %" PRIu64 " bytes",
			     request->offset, request->memory->length);
	if (error)
		return error;
	if (!request->length)
		request->length = request->memory->length - request->offset;
	error = memory_range_check(request->memory, request->offset, request->length);
	return error ? error : map_check_access(request->memory, request->options);
}

/* Whether @map, which can be shared, shows what is asked for, in the way that is asked for. With the registry's lock held. */
static bool serves(const struct mr_map *map, const struct request *request)
{
	uint32_t mode = ACCESS | MR_MAP_CACHE_MASK | MR_MAP_DRIVER | MR_MAP_PERSIST;

	if (map->host != request->host || !mr_map_address(map) || (map->options & mode) != (request->options & mode))
		return false;
	if (request->offset < map->offset || request->offset - map->offset > map->length ||
	    request->length > map->length - (request->offset - map->offset))
		return false;
	return request->options & MR_MAP_ANYWHERE || request->address == map->address + (request->offset - map->offset);
}

static bool is_exactly(const struct mr_map *map, const struct request *request)
{
	return map->offset == request->offset && map->length == request->length;
}

/* A reference, unless the last one is just being dropped. */
static bool hold(struct mr_map *map)
{
	uint32_t references = atomic_load(&map->references);

	while (references && !atomic_compare_exchange_weak(&map->references, &references, references + 1))
		;
	return references;
}

/* A referenced map that can serve the request, and has the very extent of it if @exactly; or NULL. With the registry's lock held. */
static struct mr_map *find_serving(const struct request *request, bool exactly)
{
	for (struct mr_map *map = request->memory->maps; map; map = map->next)
		if (serves(map, request) && (!exactly || is_exactly(map, request)) && hold(map))
			return map;
	return NULL;
}

static struct mr_map *find_shareable(const struct request *request)
{
	struct mr_map *found = find_serving(request, true);

	return found ? found : find_serving(request, false);
}

/* Enter @map where requests look for maps to share. With the registry's lock held. */
static void offer(struct mr_map *map)
{
	struct mr_map **list = &atomic_load(&map->memory)->maps;

	map->next = *list;
	if (map->next)
		map->next->link = &map->next;
	map->link = list;
	*list = map;
}

/* With the registry's lock held. */
static void withdraw(struct mr_map *map)
{
	if (!map->link)
		return;
	*map->link = map->next;
	if (map->next)
		map->next->link = map->link;
	map->link = NULL;
}

static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

int map_lock(struct mr_map *map)
{
	if (!pthread_mutex_lock(&map->lock))
		return 0;
	return fail(-EDEADLK, "this thread is copying the map; the progress function of a copy may not call this for it");
}

static struct mr_map *allocate(struct host *host, struct mr_memory *memory, uint32_t options, uint64_t offset, uint64_t length)
{
	struct mr_map *map = sys_allocate(1, sizeof(*map));

	if (!map)
		return NULL;
	map->references = 1;
	map->generation = process_generation();
	map->space = options & MR_MAP_DRIVER ? &space_driver : space_of(host);
	map->host = foreign_ref(host);
	map->task = mr_task_ref(foreign_task(host));
	map->options = options;
	map->memory = mr_memory_ref(memory);
	map->offset = offset;
	map->length = length;
	init_lock(&map->lock);
	return map;
}

/* Free the object; nothing of it is mapped any more, or what is mapped stays. */
static void destroy(struct mr_map *map)
{
	if (map->watching)
		map->space->unwatch(map->host);
	view_forget(&map->view);
	channel_close(map->channel);
	pthread_mutex_destroy(&map->lock);
	mr_memory_unref(map->memory);
	mr_map_unref(map->parent);
	foreign_unref(map->host);
	mr_task_unref(map->task);
	sys_free(map);
}

static int no_memory(void)
{
	return fail(-ENOMEM, "there is no memory for the map object");
}

static int enter(struct mr_map *map)
{
	int error;

	registry_lock();
	error = registry_insert(map->host, map, map->start, map->start + map->span);
	registry_unlock();
	if (error == -EEXIST)
		return fail(-EEXIST, "another map holds part of the %" PRIu64 " bytes at %#" PRIxPTR, map->span, map->start);
	return error ? no_memory() : 0;
}

static void leave(struct mr_map *map)
{
	registry_lock();
	registry_remove(map->host, map, map->start);
	withdraw(map);
	registry_unlock();
}

static int populate(const struct mr_map *map)
{
	return map->options & MR_MAP_PREFAULT ? map->space->populate(&map->view, 0, map->view.span) : 0;
}

static int make_anywhere(struct mr_map *map)
{
	int error = map->space->build_aside(&map->view, 0);

	if (error)
		return error;
	map->start = map->view.base;
	map->span = map->view.span;
	map->address = map->start + map->view.lead;
	error = populate(map);
	if (!error)
		error = enter(map);
	if (error)
		map->space->discard(&map->view);
	return error;
}

static int make_in_free_range(struct mr_map *map)
{
	int error = map->space->claim(map->host, map->start, map->span);

	if (error)
		return error;
	error = map->space->build(&map->view, map->start);
	if (!error)
		error = populate(map);
	if (error)
		map->space->release(map->host, map->start, map->span);
	return error;
}

/* Whatever is there stays until everything that can fail has been done. */
static int make_over(struct mr_map *map)
{
	int error = map->space->build_clear(&map->view, map->start);

	if (error)
		return error;
	error = populate(map);
	if (!error)
		error = map->space->place(&map->view, map->start);
	if (error)
		map->space->discard(&map->view);
	return error;
}

static int make_at(struct mr_map *map, uintptr_t address)
{
	const struct view *view = &map->view;
	uintptr_t start = address - view->lead;
	int error;

	if (start > address || start % view->align != view->phase)
		return fail(-EINVAL,
			    "address %#" PRIxPTR " does not lie where the offset does within a page of %" PRIu64 " bytes",
			    address, view->align);
	if (view->span > UINTPTR_MAX - start)
		return fail(-ENOMEM, "%" PRIu64 " bytes at %#" PRIxPTR " would reach beyond the end of the address space",
			    view->span, start);
	map->address = address;
	map->start = start;
	map->span = view->span;
	error = enter(map);
	if (error)
		return error;
	error = map->options & MR_MAP_OVERWRITE ? make_over(map) : make_in_free_range(map);
	if (error)
		leave(map);
	return error;
}

static int make(const struct request *request, struct mr_map **ret_map)
{
	struct mr_map *map = allocate(request->host, request->memory, request->options, request->offset, request->length);
	int error;

	if (!map)
		return no_memory();
	if (request->options & MR_MAP_DRIVER)
		error = view_plan_driver(&map->view, &map->channel, request->memory, request->offset, request->length,
					 request->options);
	else
		error = view_plan(&map->view, map->host, request->memory, request->offset, request->length,
				  request->options & ACCESS, request->options & MR_MAP_UNIQUE);
	if (!error)
		error = request->options & MR_MAP_ANYWHERE ? make_anywhere(map) : make_at(map, request->address);
	if (error) {
		destroy(map);
		return error;
	}
	map->mapped = true;
	*ret_map = map;
	return 0;
}

/* A map of its own for a request that @outer, of which it takes over the reference, can serve but is not the same as. */
static int make_inside(struct mr_map *outer, const struct request *request, struct mr_map **ret_map)
{
	struct mr_map *map = allocate(request->host, request->memory, request->options, request->offset, request->length);

	if (!map) {
		mr_map_unref(outer);
		return no_memory();
	}
	map->address = outer->address + (request->offset - outer->offset);
	map->start = outer->start;
	map->span = outer->span;
	map->parent = outer->parent ? mr_map_ref(outer->parent) : outer;
	if (outer->parent)
		mr_map_unref(outer);
	map->mapped = true;
	registry_lock();
	offer(map);
	registry_unlock();
	*ret_map = map;
	return 0;
}

/* Fill the page tables of a map that is shared, for one more who asked for that. */
static int populate_shared(struct mr_map *map)
{
	struct mr_map *whole = map->parent ? map->parent : map;
	int error = map_lock(whole);

	if (error)
		return error;
	error = whole->mapped ? whole->space->populate(&whole->view, 0, whole->view.span) : map_unmapped();
	pthread_mutex_unlock(&whole->lock);
	return error;
}

static int share(struct mr_map *found, const struct request *request, struct mr_map **ret_map)
{
	struct mr_map *map = found;
	int error = is_exactly(found, request) ? 0 : make_inside(found, request, &map);

	if (error)
		return error;
	error = request->options & MR_MAP_PREFAULT ? populate_shared(map) : 0;
	if (error)
		mr_map_unref(map);
	else
		*ret_map = map;
	return error;
}

/* Make a map that can be shared; if another thread was faster, share its. */
static int make_shareable(const struct request *request, struct mr_map **ret_map)
{
	struct mr_map *map, *faster;
	int error = make(request, &map);

	if (error)
		return error;
	registry_lock();
	faster = find_shareable(request);
	if (!faster)
		offer(map);
	registry_unlock();
	if (!faster) {
		*ret_map = map;
		return 0;
	}
	mr_map_unref(map);
	return share(faster, request, ret_map);
}

static int make_or_share(const struct request *request, struct mr_map **ret_map)
{
	uint32_t options = request->options;
	struct mr_map *found = NULL;

	if (!(options & MR_MAP_UNIQUE)) {
		registry_lock();
		found = find_shareable(request);
		registry_unlock();
	}
	if (found)
		return share(found, request, ret_map);
	if (options & MR_MAP_REFERENCE)
		return fail(-ENOENT,
			    "there is no map that could be shared for offset %" PRIu64 " and length %" PRIu64 " of the memory",
			    request->offset, request->length);
	return options & MR_MAP_UNIQUE ? make(request, ret_map) : make_shareable(request, ret_map);
}

int mr_map_new(struct mr_memory *memory, struct mr_task *task, void *address, uint32_t options, uint64_t offset,
	       uint64_t length, struct mr_map **ret_map)
{
	struct request request = { .memory = memory, .address = (uintptr_t)address, .options = options, .offset = offset };
	int error;

	request.length = length;
	error_call(__func__);
	error = memory_check(memory);
	if (!error)
		error = check_task(task, options);
	if (!error && !ret_map)
		error = fail(-EINVAL, "ret_map is NULL; it must point to where the map is to be put");
	if (!error)
		error = check_request(&request);
	if (!error)
		error = find_host(task, &request.host);
	if (error)
		return error;
	error = make_or_share(&request, ret_map);
	foreign_unref(request.host);
	return error;
}

/* --- maps of the driver's, in several processes --- */

/* Its own lock is enough: no map that lies inside another is asked. */
static int export(struct mr_map *map)
{
	if (!mr_map_address(map))
		return map_unmapped();
	if (!(map->options & MR_MAP_DRIVER) || map_is_import(map))
		return fail(-EOPNOTSUPP,
			    "the map was not made with MR_MAP_DRIVER in this process; no other map can be exported");
	if (map->parent)
		return fail(-EOPNOTSUPP,
			    "the map lies inside a larger one of the same memory; ask for MR_MAP_UNIQUE to export it");
	return channel_export(map->channel);
}

int mr_map_export(struct mr_map *map)
{
	int error;

	error_call(__func__);
	error = map_check(map);
	if (!error)
		error = map_lock(map);
	if (error)
		return error;
	error = export(map);
	pthread_mutex_unlock(&map->lock);
	return error;
}

static int check_import(uintptr_t address, uint32_t options)
{
	if (options & ~IMPORT_OPTIONS)
		return fail(-EINVAL, "options %#" PRIx32 " have bits that are unknown here; allowed are %#" PRIx32, options,
			    IMPORT_OPTIONS);
	if (options & MR_MAP_ANYWHERE && options & MR_MAP_OVERWRITE)
		return fail(-EINVAL,
			    "options %#" PRIx32 " have both MR_MAP_ANYWHERE and MR_MAP_OVERWRITE, which needs an address",
			    options);
	if (!(options & MR_MAP_ANYWHERE) && (!address || address % sys_page_size()))
		return fail(-EINVAL, "address %#" PRIxPTR " does not begin a page; give one that does, or MR_MAP_ANYWHERE",
			    address);
	return 0;
}

static int import(struct mr_map *map, int fd, uintptr_t address)
{
	int error = channel_import(fd, &map->channel);

	if (error)
		return error;
	map->length = map->channel->span;
	map->view = (struct view){ .span = map->channel->span,
				   .align = sys_page_size(),
				   .access = map->options & MR_MAP_READ_ONLY,
				   .channel = map->channel };
	return map->options & MR_MAP_ANYWHERE ? make_anywhere(map) : make_at(map, address);
}

int mr_map_import(int fd, void *address, uint32_t options, struct mr_map **ret_map)
{
	struct mr_map *map;
	int error;

	error_call(__func__);
	if (!ret_map)
		return fail(-EINVAL, "ret_map is NULL; it must point to where the map is to be put");
	error = check_import((uintptr_t)address, options);
	if (error)
		return error;
	map = allocate(NULL, NULL, options | MR_MAP_DRIVER, 0, 0);
	if (!map)
		return no_memory();
	error = import(map, fd, (uintptr_t)address);
	if (error) {
		destroy(map);
		return error;
	}
	map->mapped = true;
	*ret_map = map;
	return 0;
}

/* The lock keeps the channel. */
static bool is_blocked_elsewhere(const struct mr_map *map)
{
	struct mr_map *locked = (struct mr_map *)map;
	int held = pthread_mutex_lock(&locked->lock);
	bool blocked = map->channel && channel_is_blocked(map->channel);

	if (!held)
		pthread_mutex_unlock(&locked->lock);
	return blocked;
}

/* Whether the range has a part of the stack that the calling thread runs on. */
static bool has_own_stack(uintptr_t address, uint64_t length)
{
	pthread_attr_t attributes;
	void *stack = NULL;
	size_t size = 0;

	if (pthread_getattr_np(pthread_self(), &attributes))
		return false;
	pthread_attr_getstack(&attributes, &stack, &size);
	pthread_attr_destroy(&attributes);
	return address < (uintptr_t)stack + size && (uintptr_t)stack < address + length;
}

static int check_adoption(const struct mr_task *task, uintptr_t address, uint64_t length, uint32_t options)
{
	uint64_t page = sys_page_size();

	if (options & ~(MR_MAP_UNIQUE | MR_MAP_STATIC))
		return fail(-EINVAL, "options %#" PRIx32 " have other bits than MR_MAP_UNIQUE and MR_MAP_STATIC", options);
	if (!length)
		return fail(-EINVAL, "length is 0; a map has at least one byte");
	if (address > UINTPTR_MAX - page || length > UINTPTR_MAX - page - address)
		return fail(-EINVAL, "the range of %" PRIu64 " bytes at %#" PRIxPTR " wraps around", length, address);
	if (task_is_own(task) && has_own_stack(address, length))
		return fail(-EOPNOTSUPP,
			    "the range of %" PRIu64 " bytes at %#" PRIxPTR " holds the stack of the calling thread", length,
			    address);
	return 0;
}

static bool holds(const struct mr_map *map, const void *object)
{
	return object && (uintptr_t)object >= map->start && (uintptr_t)object - map->start < map->span;
}

/* What the library would wait for while it blocks the range. */
static bool holds_own_objects(const struct mr_map *map)
{
	const struct mr_memory *memory = map->memory;

	return holds(map, map) || holds(map, memory) || holds(map, memory->pieces) || holds(map, memory->sources) ||
	       holds(map, memory->parked) || holds(map, mr_error()) || holds(map, map->space);
}

static int adopt(struct mr_map *map)
{
	struct mr_memory *memory;
	int error = map->host ? foreign_check(map->host, map->start, map->span) : 0;

	if (!error)
		error = memory_adopt(foreign_task(map->host), map->address, map->length, &memory);
	if (error)
		return error;
	map->memory = memory;
	if (memory->options & MR_MEMORY_READ_ONLY)
		map->options |= MR_MAP_READ_ONLY;
	if (!map->host && holds_own_objects(map))
		return fail(-EOPNOTSUPP, "the range of %" PRIu64 " bytes at %#" PRIxPTR " holds objects of this library",
			    map->length, map->address);
	map->view = (struct view){ .host = map->host,
				   .base = map->start,
				   .span = map->span,
				   .lead = map->address - map->start,
				   .access = map->options & MR_MAP_READ_ONLY,
				   .adopted = true };
	return 0;
}

static int adopt_range(struct host *host, uintptr_t address, uint64_t length, uint32_t options, struct mr_map **ret_map)
{
	struct mr_map *map = allocate(host, NULL, options | MR_MAP_UNIQUE | MR_MAP_STATIC, 0, length);
	uint64_t page = sys_page_size();
	int error;

	if (!map)
		return no_memory();
	map->address = address;
	map->start = map->address - map->address % page;
	map->span = (map->address + length + page - 1) / page * page - map->start;
	error = enter(map);
	if (!error) {
		error = adopt(map);
		if (error)
			leave(map);
	}
	if (error) {
		destroy(map);
		return error;
	}
	map->mapped = true;
	*ret_map = map;
	return 0;
}

int mr_map_adopt(struct mr_task *task, void *address, uint64_t length, uint32_t options, struct mr_map **ret_map)
{
	struct host *host;
	int error;

	error_call(__func__);
	if (!ret_map)
		return fail(-EINVAL, "ret_map is NULL; it must point to where the map is to be put");
	error = check_task(task, 0);
	if (!error)
		error = check_adoption(task, (uintptr_t)address, length, options);
	if (!error)
		error = find_host(task, &host);
	if (error)
		return error;
	error = adopt_range(host, (uintptr_t)address, length, options, ret_map);
	foreign_unref(host);
	return error;
}

bool map_keeps_adopted(const struct mr_map *map)
{
	return map->view.adopted && map->view.keeps;
}

/* Take the range out of the address space. With the lock held. */
static void vanish(struct mr_map *map)
{
	if (map->blocked) {
		map->space->release(map->host, map->start, map->span);
		map->space->open(map->host, map->start, map->span);
	}
	map->space->discard(&map->view);
	channel_close(map->channel); /* who waits, finds nothing mapped */
	map->channel = NULL;
}

static int unmap(struct mr_map *map)
{
	int error = 0;

	if (map->parent) {
		registry_lock();
		withdraw(map);
		registry_unlock();
		map->mapped = false;
		return 0;
	}
	if (map->options & MR_MAP_STATIC && map->blocked && foreign_is_there(map->host))
		error = map_restore(map);
	if (error)
		return error;
	leave(map);
	map->mapped = false;
	if (map->options & MR_MAP_STATIC)
		view_forget(&map->view);
	else
		vanish(map);
	map->blocked = false;
	return 0;
}

int mr_map_unmap(struct mr_map *map)
{
	int error;

	error_call(__func__);
	error = map_check(map);
	if (!error)
		error = map_lock(map);
	if (error)
		return error;
	error = map->mapped && mr_map_address(map) ? unmap(map) : map_unmapped();
	pthread_mutex_unlock(&map->lock);
	return error;
}

struct mr_map *mr_map_ref(struct mr_map *map)
{
	if (map)
		atomic_fetch_add_explicit(&map->references, 1, memory_order_relaxed);
	return map;
}

/* In a child of fork: what the child inherited stays, but for what only the library knows of. */
static void abandon(struct mr_map *map)
{
	if (map->blocked && !map->parent && !map->channel)
		map->space->discard(&map->view);
	map->watching = false;
	map->link = NULL;
}

/*
 * Letting go of a blocked adopted range moves its bytes back, which can fail while other threads use up the mappings that the process
 * may have. False: it does not come to pass; then the range and its bytes are better kept, blocked, than lost.
 */
static bool unmap_at_last(struct mr_map *map)
{
	for (unsigned tries = PATIENCE; tries; tries--) {
		if (!unmap(map))
			return true;
		sched_yield();
	}
	return false;
}

struct mr_map *mr_map_unref(struct mr_map *map)
{
	if (!map || atomic_fetch_sub_explicit(&map->references, 1, memory_order_acq_rel) != 1)
		return NULL;
	if (map->generation != process_generation())
		abandon(map);
	else if (map->mapped && !unmap_at_last(map))
		return NULL;
	destroy(map);
	return NULL;
}

void *mr_map_address(const struct mr_map *map)
{
	if (!map || !map->mapped || (map->parent && !map->parent->mapped))
		return NULL;
	return (void *)map->address;
}

uint64_t mr_map_length(const struct mr_map *map)
{
	return map ? map->length : 0;
}

struct mr_task *mr_map_task(const struct mr_map *map)
{
	return map ? map->task : NULL;
}

struct mr_memory *mr_map_memory(const struct mr_map *map)
{
	return map ? map->memory : NULL;
}

uint32_t mr_map_options(const struct mr_map *map)
{
	return map ? map->options : 0;
}

bool mr_map_is_blocked(const struct mr_map *map)
{
	return map && (map->blocked || (map_is_import(map) && is_blocked_elsewhere(map)));
}

/* Accesses wait where it is blocked, or where a pager reads what it shows. With the lock held. */
static uint64_t count_waiters(const struct mr_map *map)
{
	if (map->channel)
		return channel_waiters(map->channel);
	if (!map->blocked && !(map->memory && memory_is_paged(map->memory, map->offset, map->length)))
		return 0;
	return map->space->waiters(map->host, map->start, map->span);
}

/*
 * The lock keeps the service from being released meanwhile. A thread that copies the map has it already. Of a map that is not blocked and
 * is just being changed, nothing is said: that may take long.
 */
uint64_t mr_map_waiters(const struct mr_map *map)
{
	struct mr_map *locked = (struct mr_map *)map;
	uint64_t count = 0;
	int held;

	if (!map || map->generation != process_generation())
		return 0;
	held = map->blocked || map_is_import(map) ? pthread_mutex_lock(&locked->lock) : pthread_mutex_trylock(&locked->lock);
	if (held == EBUSY)
		return 0;
	count = count_waiters(map);
	if (!held)
		pthread_mutex_unlock(&locked->lock);
	return count;
}

static int find_by_driver(const struct mr_map *map, uint64_t offset, uint64_t most, uint64_t *ret_address, uint64_t *ret_length)
{
	uint64_t length;
	int error = channel_physical(map->channel, offset, ret_address, &length);

	if (!error)
		*ret_length = length < most ? length : most;
	return error;
}

/* Of what the map shows, where page tables say it; else of its memory. With the lock of the whole map held. */
static int find_segment(const struct mr_map *whole, const struct mr_map *map, uint64_t offset, uint64_t *ret_address,
			uint64_t *ret_length)
{
	uint64_t most = map->length - offset;
	uintptr_t at = map->address + offset;
	int error = -ENODATA;

	if (whole->channel && whole->channel->control >= 0)
		return find_by_driver(whole, at - whole->start, most, ret_address, ret_length);
	if (whole->view.base)
		error = physical_of_address(map->task, at - whole->start + whole->view.base, most, ret_address, ret_length);
	if (error == -ENODATA && (whole->view.access & MR_MAP_COPY_ON_WRITE))
		return physical_not_resident(offset);
	if (error == -ENODATA && map_is_import(map))
		return physical_not_resident(offset);
	if (error != -ENODATA)
		return error;
	return physical_of_memory(map->memory, map->offset + offset, most, ret_address, ret_length);
}

static int physical_segment(struct mr_map *map, uint64_t offset, uint64_t *ret_address, uint64_t *ret_length)
{
	struct mr_map *whole = map->parent ? map->parent : map;
	int error;

	if (offset >= map->length)
		return fail(-ERANGE, "offset %" PRIu64 " is past the end of the map, which has %" PRIu64 " bytes", offset,
			    map->length);
	error = map_lock(whole);
	if (error)
		return error;
	error = mr_map_address(map) ? find_segment(whole, map, offset, ret_address, ret_length) : map_unmapped();
	pthread_mutex_unlock(&whole->lock);
	return error;
}

int mr_map_physical_address(struct mr_map *map, uint64_t *ret_address)
{
	uint64_t length;
	int error;

	error_call(__func__);
	error = map_check(map);
	if (error)
		return error;
	if (!ret_address)
		return fail(-EINVAL, "ret_address is NULL; it must point to where the address is to be put");
	return physical_segment(map, 0, ret_address, &length);
}

int mr_map_physical_segment(struct mr_map *map, uint64_t offset, uint64_t *ret_address, uint64_t *ret_length)
{
	int error;

	error_call(__func__);
	error = map_check(map);
	if (error)
		return error;
	if (!ret_address || !ret_length)
		return fail(-EINVAL, "ret_address or ret_length is NULL; both must point to where the results are to be put");
	return physical_segment(map, offset, ret_address, ret_length);
}
