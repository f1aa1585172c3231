/* SPDX-License-Identifier: MIT */
/*
 * Redirect: the order of steps. How each is done is the space's.
 *
 *	from      to            steps
 *	shown     NULL          shut
 *	blocked   same backing  place the view that stands aside, open
 *	shown     memory        replace, in one call, where that is fastest; or
 *	                        build, populate, swap; or, where a gap would be seen: build, populate, shut, place, open
 *	blocked   memory        replace, open; or build, populate, place, open
 *
 * Everything that can fail comes before the first step that clients see. A step that they see and that fails is undone by the
 * space. What the map showed is unmapped after the lock has been given back, when nobody waits.
 *
 * An adopted memory is its mappings: the view is not unmapped but parked with the memory, and taken from there when some map
 * shows it again.
 */
#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "map.h"
#include "process.h"
#include "redirect.h"
#include "registry.h"
#include "space/foreign.h"
#include "space/space.h"
#include "sys/sys.h"

#define ACCESS	(MR_MAP_READ_ONLY | MR_MAP_COPY_ON_WRITE)
#define MODE	(ACCESS | MR_MAP_CACHE_MASK)
#define ALLOWED (MODE | MR_MAP_PREFAULT)

/* The smallest huge page, whose page tables are moved whole. */
#define HUGE (UINT64_C(2) << 20)

static int check_state(const struct mr_map *map)
{
	if (map_is_import(map))
		return fail(-EPERM, "the map was imported; only the process that exports it can redirect it");
	if (!(map->options & MR_MAP_UNIQUE))
		return fail(-EPERM, "the map is not MR_MAP_UNIQUE; only a unique map can be redirected");
	if (!map->mapped)
		return map_unmapped();
	return foreign_is_there(map->host)
		       ? 0
		       : fail(-ESRCH, "process %d, which the map is in, has died", (int)mr_task_pid(map->task));
}

static int check_options(uint32_t options, bool driver)
{
	if (options & ~ALLOWED)
		return fail(-EINVAL, "options %#" PRIx32 " have bits that are unknown here; allowed are %#" PRIx32, options,
			    ALLOWED);
	if (driver && options & MR_MAP_COPY_ON_WRITE)
		return fail(-EOPNOTSUPP,
			    "a map of the driver's cannot be MR_MAP_COPY_ON_WRITE, as options %#" PRIx32 " ask for", options);
	return map_check_cache(options, driver);
}

static int check_target(const struct redirect *redirect)
{
	uint64_t offset = redirect->offset, length = redirect->map->length;
	int error;

	if (!redirect->backing) {
		if (!offset && !redirect->options)
			return 0;
		return fail(-EINVAL, "new_backing is NULL, with offset %" PRIu64 " and options %#" PRIx32 "; both must be 0",
			    offset, redirect->options);
	}
	error = check_options(redirect->options, redirect->map->options & MR_MAP_DRIVER);
	if (!error)
		error = memory_range_check(redirect->backing, offset, length);
	return error;
}

int redirect_check(const struct redirect *redirect)
{
	int error = check_state(redirect->map);

	return error ? error : check_target(redirect);
}

/* From the first time on until the map is freed. */
int map_watch(struct mr_map *map)
{
	int error = map->watching ? 0 : map->space->watch(map->host);

	if (!error)
		map->watching = true;
	return error;
}

void map_unwatch(struct mr_map *map, bool watching)
{
	if (watching || !map->watching || map->blocked)
		return;
	map->space->unwatch(map->host);
	map->watching = false;
}

/* The owner of an adopted range may have changed protections or split mappings since. */
int map_refresh(struct mr_map *map)
{
	struct view now = map->view;
	int error;

	if (!map->view.adopted || map->blocked)
		return 0;
	error = view_of_range(&now, map->memory, map->start, map->span);
	if (error)
		return error;
	view_forget(&map->view);
	map->view = now;
	map->executable = view_is_executable(&now);
	return 0;
}

int map_block(struct mr_map *map)
{
	int error = map_refresh(map);

	if (!error)
		error = map_watch(map);
	if (error)
		return error;
	process_gate_enter();
	error = map->space->shut(&map->view);
	if (!error)
		map->blocked = true;
	process_gate_leave();
	return error;
}

int map_restore(struct mr_map *map)
{
	int error;

	process_gate_enter();
	error = map->space->place(&map->view, map->start);
	if (!error) {
		map->space->open(map->host, map->start, map->span);
		map->blocked = false;
	}
	process_gate_leave();
	return error;
}

static bool is_shown(const struct redirect *redirect)
{
	const struct mr_map *map = redirect->map;

	return map->memory == redirect->backing && map->offset == redirect->offset &&
	       (map->options & MODE) == (redirect->options & MODE);
}

static bool all_parked(const struct view *view)
{
	for (size_t i = 0; i < view->count; i++)
		if (!view->segments[i].parked)
			return false;
	return true;
}

/*
 * The mappings of an adopted memory that no map shows, if they fit: they show the memory itself, never a copy on write. 0 with
 * redirect->unparked, or not; or an error.
 */
static int take_parked(struct redirect *redirect)
{
	struct mr_memory *backing = redirect->backing;
	const struct mr_map *map = redirect->map;

	registry_lock();
	if (backing->parked && backing->away && backing->parked->host == map->host &&
	    !(redirect->options & MR_MAP_COPY_ON_WRITE) && !redirect->offset && backing->parked->span == map->span &&
	    backing->parked->lead == map->address - map->start) {
		redirect->next = *backing->parked;
		redirect->unparked = true;
		backing->away = false;
	}
	registry_unlock();
	return redirect->unparked ? view_protect(&redirect->next, redirect->options & ACCESS) : 0;
}

/* Put mappings back where take_parked found them. */
static void park(struct mr_memory *memory, struct view *view)
{
	registry_lock();
	*memory->parked = *view;
	memory->away = true;
	registry_unlock();
	*view = (struct view){ 0 };
}

/* The driver takes hold of the memory; an adopted one stays where it is parked. */
static int plan_driver(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	int error = 0;

	if (map->address % sys_page_size() != memory_place(redirect->backing, redirect->offset) % sys_page_size())
		error = fail(-EINVAL, "offset %" PRIu64 " lies elsewhere within its page than the map's address %#" PRIxPTR,
			     redirect->offset, map->address);
	if (!error)
		error = map_check_access(redirect->backing, redirect->options);
	if (error)
		return error;
	return view_plan_driver(&redirect->next, &map->channel, redirect->backing, redirect->offset, map->length,
				redirect->options);
}

int redirect_plan(struct redirect *redirect)
{
	const struct mr_map *map = redirect->map;
	int error;

	if (map->channel)
		return plan_driver(redirect);
	error = take_parked(redirect);

	if (!error && !redirect->unparked)
		error = view_plan(&redirect->next, map->host, redirect->backing, redirect->offset, map->length,
				  redirect->options & ACCESS, true);
	if (!error && !redirect->unparked)
		error = view_fit(&redirect->next, map->start, map->span, map->address);
	if (!error && !redirect->unparked && map->executable)
		view_make_executable(&redirect->next);
	return error ? error : map_check_access(redirect->backing, redirect->options);
}

/* What stands elsewhere within a huge page than the map does, would be moved there page by page, and lose its huge pages: not while clients wait. */
static int bring_into_phase(struct redirect *redirect)
{
	const struct mr_map *map = redirect->map;
	uint64_t phase = map->start % HUGE, span = redirect->next.span;
	uintptr_t base;
	int error;

	if (map->host || span < HUGE || redirect->next.base % HUGE == phase)
		return 0;
	error = space_local.reserve(span, HUGE, phase, &base);
	if (error)
		return error;
	error = space_local.place(&redirect->next, base);
	if (error)
		space_local.release(NULL, base, span);
	return error;
}

int redirect_stage(struct redirect *redirect)
{
	const struct mr_map *map = redirect->map;
	int error = redirect->unparked ? bring_into_phase(redirect) : map->space->build_aside(&redirect->next, map->start);

	if (!error && redirect->options & MR_MAP_PREFAULT && redirect->next.base)
		error = map->space->populate(&redirect->next, 0, redirect->next.span);
	return error;
}

/* Block, place, let go: nobody sees the old bytes after the first step, and who meets a piece that is not there yet waits. */
static int exchange(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	int error = map->space->shut(&map->view);

	if (error)
		return error;
	error = map->space->place(&redirect->next, map->start);
	if (error)
		map->blocked = map->space->place(&map->view, map->start) != 0;
	if (!map->blocked)
		map->space->open(map->host, map->start, map->span);
	return error;
}

static int put_in_place(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	const struct space *space = map->space;
	int error;

	if (!map->blocked)
		return !map_keeps_adopted(map) && space->can_swap(&map->view, &redirect->next)
			       ? space->swap(&map->view, &redirect->next)
			       : exchange(redirect);
	error = space->place(&redirect->next, map->start);
	if (!error)
		space->open(map->host, map->start, map->span);
	return error;
}

int redirect_commit(struct redirect *redirect)
{
	int error;

	process_gate_enter();
	error = put_in_place(redirect);
	process_gate_leave();
	return error;
}

static int stage_and_commit(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	bool waits = !map->blocked && (map_keeps_adopted(map) || !map->space->can_swap(&map->view, &redirect->next));
	int error = waits ? map_watch(map) : 0;

	if (!error)
		error = redirect_stage(redirect);
	return error ? error : redirect_commit(redirect);
}

static bool can_replace(const struct redirect *redirect)
{
	const struct mr_map *map = redirect->map;

	if (redirect->unparked || redirect->options & MR_MAP_PREFAULT || (!map->blocked && map_keeps_adopted(map)))
		return false;
	return map->space->can_replace(map->blocked ? NULL : &map->view, &redirect->next);
}

static int replace(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	int error = map->space->replace(map->blocked ? NULL : &map->view, &redirect->next, map->start);

	if (!error && map->blocked)
		map->space->open(map->host, map->start, map->span);
	return error;
}

/* Within the gate: a child that is forked in the middle would take what its map shows for what stands aside. */
void redirect_note(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;

	process_gate_enter();
	redirect->old = map->view;
	redirect->old_memory = map->memory;
	map->view = redirect->next;
	map->memory = mr_memory_ref(redirect->backing);
	map->offset = redirect->offset;
	map->options = (map->options & ~MODE) | (redirect->options & MODE);
	map->blocked = false;
	if (redirect->old.adopted)
		park(redirect->old_memory, &redirect->old);
	process_gate_leave();
}

void redirect_abandon(struct redirect *redirect)
{
	if (redirect->unparked)
		park(redirect->backing, &redirect->next);
	else
		redirect->map->space->discard(&redirect->next);
}

void redirect_discard(struct redirect *redirect)
{
	redirect->map->space->discard(&redirect->old);
	mr_memory_unref(redirect->old_memory);
}

/* Redirect to a backing that the map does not show, or not in this way. */
static int show(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	int error = map_refresh(map);

	if (!error)
		error = redirect_plan(redirect);
	if (!error)
		error = can_replace(redirect) ? replace(redirect) : stage_and_commit(redirect);
	if (!error) {
		redirect_note(redirect);
		return 0;
	}
	redirect_abandon(redirect);
	return error;
}

/* An adopted memory with another access: it is its mappings, whose protection can be changed where they are. */
static int change_access(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	bool prefault = redirect->options & MR_MAP_PREFAULT;
	uint32_t before = map->view.access;
	int error = map_refresh(map);

	if (!error)
		error = map_check_access(redirect->backing, redirect->options);
	if (!error)
		error = view_protect(&map->view, redirect->options & ACCESS);
	if (!error && prefault && all_parked(&map->view))
		error = map->space->populate(&map->view, 0, map->view.span);
	if (!error && map->blocked)
		error = map_restore(map);
	if (error && map->view.access != before)
		view_protect(&map->view, before);
	if (!error)
		map->options = (map->options & ~MODE) | (redirect->options & MODE);
	return error;
}

static bool changes_access_only(const struct redirect *redirect)
{
	const struct mr_map *map = redirect->map;

	if (map->blocked && redirect->options & MR_MAP_PREFAULT && !all_parked(&map->view))
		return false;
	return redirect->backing == map->memory && map->view.adopted && redirect->offset == map->offset &&
	       !(redirect->options & MR_MAP_COPY_ON_WRITE);
}

static int go(struct redirect *redirect)
{
	struct mr_map *map = redirect->map;
	bool prefault = redirect->options & MR_MAP_PREFAULT;
	int error;

	if (!redirect->backing)
		return map->blocked ? 0 : map_block(map);
	if (!is_shown(redirect) && changes_access_only(redirect))
		return change_access(redirect);
	if (!is_shown(redirect) || (map->blocked && prefault && !all_parked(&map->view)))
		return show(redirect);
	error = prefault ? map->space->populate(&map->view, 0, map->view.span) : 0;
	return error || !map->blocked ? error : map_restore(map);
}

int mr_map_redirect(struct mr_map *map, struct mr_memory *new_backing, uint32_t options, uint64_t offset)
{
	struct redirect redirect = { .map = map, .backing = new_backing, .options = options, .offset = offset };
	bool watching;
	int error;

	error_call(__func__);
	error = map_check(map);
	if (!error && new_backing)
		error = memory_check(new_backing);
	if (!error)
		error = map_lock(map);
	if (error)
		return error;
	watching = map->watching;
	error = redirect_check(&redirect);
	if (!error)
		error = go(&redirect);
	if (!error && new_backing && options & MR_MAP_PREFAULT && map->channel)
		map->space->populate(&map->view, 0, map->span); /* there is nothing to fill before it is shown */
	if (error)
		map_unwatch(map, watching);
	pthread_mutex_unlock(&map->lock);
	redirect_discard(&redirect);
	return error;
}
