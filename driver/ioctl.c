// SPDX-License-Identifier: GPL-2.0
/*
 * Requests. A table says of each how long it is, and what does it; one function takes it from its caller, and gives it back.
 *
 * What is given back, is written twice: as it came, before anything is done, which fails if it cannot be written, and as it is,
 * after. So a caller who passes memory that cannot be written to, has changed nothing. A caller who takes it away in between,
 * loses the answer; of those requests that make something, what they have made is taken back then (conclude).
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "driver.h"
#include "trace.h"

struct argument {
	union {
		struct memredirect_create create;
		struct memredirect_open open;
		struct memredirect_add_backing add_backing;
		struct memredirect_del_backing del_backing;
		struct memredirect_redirect redirect;
		struct memredirect_block block;
		struct memredirect_revoke revoke;
		struct memredirect_info info;
		struct memredirect_populate populate;
		struct memredirect_phys phys;
		struct memredirect_copy copy;
	};
	struct file *made; /* by OPEN */
};

/* --- what requests have in common --- */

/* The map, if there is one, with the lock; else an error, without it. */
static struct map *control_lock_map(struct control *control)
{
	if (mutex_lock_killable(&control->lock))
		return ERR_PTR(-EINTR);
	if (control->map)
		return control->map;
	mutex_unlock(&control->lock);
	return ERR_PTR(-ENXIO);
}

static bool is_expected(const struct map *map, u64 generation)
{
	return generation == MEMREDIRECT_ANY_GENERATION || generation == map->generation || broken(BROKEN_GENERATION);
}

/* The same for a change, which the map must be able to take. */
static struct map *control_lock_change(struct control *control, u64 generation)
{
	struct map *map = control_lock_map(control);
	int result;

	if (IS_ERR(map))
		return map;
	result = map->state == MEMREDIRECT_STATE_REVOKED ? -ENODEV : is_expected(map, generation) ? 0 : -ESTALE;
	if (!result)
		return map;
	mutex_unlock(&control->lock);
	return ERR_PTR(result);
}

/* A backing, held. */
static struct backing *control_backing(struct control *control, u32 id)
{
	struct backing *backing;

	if (mutex_lock_killable(&control->lock))
		return ERR_PTR(-EINTR);
	backing = xa_load(&control->backings, id);
	if (backing)
		backing_get(backing);
	mutex_unlock(&control->lock);
	return backing ? backing : ERR_PTR(-ENOENT);
}

/* --- CREATE, OPEN --- */

static int run_create(void *of, struct argument *argument)
{
	const struct memredirect_create *request = &argument->create;
	struct control *control = of;
	struct map *map;
	int result = 0;

	if (request->flags & ~(MEMREDIRECT_MAP_PERSIST | MEMREDIRECT_MAP_USER_ONLY) || !request->length ||
	    !PAGE_ALIGNED(request->length))
		return -EINVAL;
	if (request->length > MAX_LFS_FILESIZE)
		return -EOVERFLOW;
	if (mutex_lock_killable(&control->lock))
		return -EINTR;
	map = control->map ? ERR_PTR(-EEXIST) : map_make(request);
	if (IS_ERR(map))
		result = PTR_ERR(map);
	else
		smp_store_release(&control->map, map);
	mutex_unlock(&control->lock);
	return result;
}

static int run_open(void *of, struct argument *argument)
{
	struct memredirect_open *request = &argument->open;
	struct control *control = of;
	struct map *map;

	if (request->flags & ~(MEMREDIRECT_OPEN_READ_ONLY | MEMREDIRECT_OPEN_KEEP_ON_FORK) || request->pad)
		return -EINVAL;
	map = control_lock_change(control, MEMREDIRECT_ANY_GENERATION);
	if (IS_ERR(map))
		return PTR_ERR(map);
	mutex_unlock(&control->lock);
	request->fd = get_unused_fd_flags(O_CLOEXEC);
	if (request->fd < 0)
		return request->fd;
	argument->made = map_open(map, request->flags);
	if (!IS_ERR(argument->made))
		return 0;
	put_unused_fd(request->fd);
	return PTR_ERR(argument->made);
}

static void conclude_open(void *of, struct argument *argument, long result)
{
	if (!result) {
		fd_install(argument->open.fd, argument->made);
		return;
	}
	put_unused_fd(argument->open.fd);
	fput(argument->made);
}

/* --- backings --- */

static int run_add_backing(void *of, struct argument *argument)
{
	struct memredirect_add_backing *request = &argument->add_backing;
	struct backing *backing = backing_make(request);
	struct control *control = of;
	int result;

	if (IS_ERR(backing))
		return PTR_ERR(backing);
	mutex_lock(&control->lock);
	result = xa_alloc(&control->backings, &backing->id, backing, XA_LIMIT(1, MEMREDIRECT_MAX_BACKINGS), GFP_KERNEL_ACCOUNT);
	request->id = backing->id;
	mutex_unlock(&control->lock);
	if (!result)
		return 0;
	backing_put(backing);
	return result == -EBUSY ? -ENOSPC : result;
}

static void conclude_add_backing(void *of, struct argument *argument, long result)
{
	struct control *control = of;
	struct backing *backing;

	if (!result)
		return;
	mutex_lock(&control->lock);
	backing = xa_erase(&control->backings, argument->add_backing.id);
	mutex_unlock(&control->lock);
	backing_put(backing);
}

static int run_del_backing(void *of, struct argument *argument)
{
	const struct memredirect_del_backing *request = &argument->del_backing;
	struct control *control = of;
	struct backing *backing;
	int result = 0;

	if (request->flags || request->pad)
		return -EINVAL;
	if (mutex_lock_killable(&control->lock))
		return -EINTR;
	backing = xa_load(&control->backings, request->id);
	if (!backing)
		result = -ENOENT;
	else if (control->map && control->map->view.backing == backing && !broken(BROKEN_FREED))
		result = -EBUSY;
	else
		xa_erase(&control->backings, request->id);
	mutex_unlock(&control->lock);
	if (result)
		return result;
	if (broken(BROKEN_FREED) && control->map && control->map->view.backing == backing)
		backing_put(backing);
	backing_put(backing);
	return 0;
}

/* --- changes of what is shown --- */

void control_forget_deadline(struct control *control)
{
	control->deadline_flags = 0;
	cancel_delayed_work(&control->deadline);
}

static void control_set_deadline(struct control *control, u32 flags, u32 deadline_ms)
{
	unsigned long delay = msecs_to_jiffies(deadline_ms);

	control_forget_deadline(control);
	if (!flags || broken(BROKEN_DEADLINE))
		return;
	control->deadline_flags = flags;
	control->deadline_at = jiffies + delay;
	mod_delayed_work(memredirect_queue, &control->deadline, delay);
}

/* What was shown before a block, or nothing any more. */
static void control_end_block(struct control *control, bool back)
{
	struct map *map = control->map;
	const struct view before = map->view, nothing = {};

	control_forget_deadline(control);
	if (back)
		map_change(map, MEMREDIRECT_STATE_MAPPED, &before);
	else
		map_change(map, MEMREDIRECT_STATE_REVOKED, &nothing);
}

/* The work may come late, when another block has another deadline, or none. */
void control_deadline(struct work_struct *work)
{
	struct control *control = container_of(to_delayed_work(work), struct control, deadline);

	mutex_lock(&control->lock);
	if (control->deadline_flags && time_after_eq(jiffies, control->deadline_at))
		control_end_block(control, control->deadline_flags == MEMREDIRECT_BLOCK_THEN_RETURN);
	mutex_unlock(&control->lock);
}

/* Who made the map has ended. */
void control_let_go(struct control *control)
{
	struct map *map;

	if (broken(BROKEN_ORPHANS))
		return;
	mutex_lock(&control->lock);
	map = control->map;
	if (map) {
		bool stays = map->flags & MEMREDIRECT_MAP_PERSIST && map->view.backing;

		map->owner = NULL;
		if (map->state != MEMREDIRECT_STATE_REVOKED && !(stays && map->state == MEMREDIRECT_STATE_MAPPED))
			control_end_block(control, stays);
	}
	mutex_unlock(&control->lock);
}

static int redirect_check(const struct map *map, const struct backing *backing, const struct memredirect_redirect *request)
{
	if (!backing)
		return -ENOENT;
	if (request->offset >> PAGE_SHIFT > backing->pages ||
	    backing->pages - (request->offset >> PAGE_SHIFT) < map->length >> PAGE_SHIFT)
		return -ERANGE;
	if (backing->read_only && !(request->flags & MEMREDIRECT_REDIRECT_READ_ONLY))
		return -EACCES;
	return 0;
}

static bool is_shown(const struct map *map, const struct view *view)
{
	return map->state == MEMREDIRECT_STATE_MAPPED && map->view.backing == view->backing && map->view.first == view->first &&
	       map->view.read_only == view->read_only;
}

static int redirect_locked(struct control *control, struct map *map, const struct memredirect_redirect *request)
{
	const struct view view = {
		.backing = xa_load(&control->backings, request->id),
		.first = request->offset >> PAGE_SHIFT,
		.read_only = request->flags & MEMREDIRECT_REDIRECT_READ_ONLY,
	};
	int result = redirect_check(map, view.backing, request);

	if (result || is_shown(map, &view))
		return result;
	control_forget_deadline(control);
	map_change(map, MEMREDIRECT_STATE_MAPPED, &view);
	return 0;
}

static int run_redirect(void *of, struct argument *argument)
{
	struct memredirect_redirect *request = &argument->redirect;
	struct control *control = of;
	struct map *map;
	int result;

	if (request->flags & ~MEMREDIRECT_REDIRECT_READ_ONLY || request->pad || !PAGE_ALIGNED(request->offset))
		return -EINVAL;
	map = control_lock_change(control, request->generation);
	if (IS_ERR(map))
		return PTR_ERR(map);
	result = redirect_locked(control, map, request);
	request->generation = map->generation;
	mutex_unlock(&control->lock);
	return result;
}

static bool is_block(const struct memredirect_block *request)
{
	switch (request->flags) {
	case 0:
		return !request->deadline_ms && !request->pad;
	case MEMREDIRECT_BLOCK_THEN_REVOKE:
	case MEMREDIRECT_BLOCK_THEN_RETURN:
		return request->deadline_ms && !request->pad;
	default:
		return false;
	}
}

static int block_locked(struct control *control, struct map *map, const struct memredirect_block *request)
{
	const struct view view = map->view;

	if (request->flags == MEMREDIRECT_BLOCK_THEN_RETURN && !view.backing)
		return -EINVAL;
	if (map->state != MEMREDIRECT_STATE_BLOCKED)
		map_change(map, MEMREDIRECT_STATE_BLOCKED, &view);
	control_set_deadline(control, request->flags, request->deadline_ms);
	return 0;
}

static int run_block(void *of, struct argument *argument)
{
	struct memredirect_block *request = &argument->block;
	struct control *control = of;
	struct map *map;
	int result;

	if (!is_block(request))
		return -EINVAL;
	map = control_lock_change(control, request->generation);
	if (IS_ERR(map))
		return PTR_ERR(map);
	result = block_locked(control, map, request);
	request->generation = map->generation;
	mutex_unlock(&control->lock);
	return result;
}

static int run_revoke(void *of, struct argument *argument)
{
	struct memredirect_revoke *request = &argument->revoke;
	struct control *control = of;
	struct map *map;

	if (request->flags)
		return -EINVAL;
	map = control_lock_change(control, request->generation);
	if (IS_ERR(map))
		return PTR_ERR(map);
	control_end_block(control, false);
	request->generation = map->generation;
	mutex_unlock(&control->lock);
	return 0;
}

/* --- what can be asked --- */

static u32 milliseconds_left(const struct control *control)
{
	if (!control->deadline_flags)
		return 0;
	return time_after(control->deadline_at, jiffies)
		       ? max_t(u64, 1, min_t(u64, U32_MAX, jiffies_to_msecs(control->deadline_at - jiffies)))
		       : 1;
}

static int run_info(void *of, struct argument *argument)
{
	struct memredirect_info *info = &argument->info;
	struct control *control = of;
	struct map *map = control_lock_map(control);

	if (IS_ERR(map))
		return PTR_ERR(map);
	map_info(map, info);
	info->deadline_ms = milliseconds_left(control);
	WRITE_ONCE(control->seen, info->generation);
	mutex_unlock(&control->lock);
	return 0;
}

static int run_populate(void *of, struct argument *argument)
{
	struct control *control = of;
	struct map *map = control_lock_map(control);

	if (IS_ERR(map))
		return PTR_ERR(map);
	mutex_unlock(&control->lock);
	return map_populate(map, &argument->populate);
}

/* The part of a backing that is asked for, with the lock. */
static int phys_view(struct control *control, u32 id, struct view *ret_view, u64 *ret_length)
{
	if (id) {
		ret_view->backing = xa_load(&control->backings, id);
		ret_view->first = 0;
		if (!ret_view->backing)
			return -ENOENT;
		*ret_length = ret_view->backing->pages << PAGE_SHIFT;
		return 0;
	}
	if (!control->map)
		return -ENXIO;
	*ret_view = control->map->view;
	*ret_length = control->map->length;
	return ret_view->backing ? 0 : -ENODATA;
}

static int phys_locked(struct control *control, struct memredirect_phys *request)
{
	struct view view;
	u64 length, page;
	u32 cache;
	int result = phys_view(control, request->id, &view, &length);

	if (result)
		return result;
	if (request->offset >= length)
		return -ERANGE;
	page = view.first + (request->offset >> PAGE_SHIFT);
	request->address = PFN_PHYS(backing_pfn(view.backing, page, &cache)) + offset_in_page(request->offset);
	request->length = (backing_run(view.backing, page, view.first + (length >> PAGE_SHIFT)) << PAGE_SHIFT) -
			  offset_in_page(request->offset);
	request->generation = control->map ? control->map->generation : 0;
	return 0;
}

static int run_phys(void *of, struct argument *argument)
{
	struct memredirect_phys *request = &argument->phys;
	struct control *control = of;
	int result;

	if (request->flags || request->pad)
		return -EINVAL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (mutex_lock_killable(&control->lock))
		return -EINTR;
	result = phys_locked(control, request);
	mutex_unlock(&control->lock);
	return result;
}

/* --- bytes of a backing --- */

/* By way of a page of the kernel's: neither side of the copy may wait for the other with its page in hand. */
static int copy_slice(const struct backing *backing, u64 offset, char __user *user, void *buffer, size_t length, bool write)
{
	if (write && copy_from_user(buffer, user, length))
		return -EFAULT;
	backing_copy(backing, offset, buffer, length, write);
	return !write && copy_to_user(user, buffer, length) ? -EFAULT : 0;
}

static int copy_all(const struct backing *backing, struct memredirect_copy *request, bool write)
{
	char __user *user = u64_to_user_ptr(request->address);
	u64 length = request->length, done = 0;
	void *buffer = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	int result = buffer ? 0 : -ENOMEM;

	while (!result && done < length) {
		size_t part = min_t(u64, length - done, PAGE_SIZE);

		result = copy_slice(backing, request->offset + done, user + done, buffer, part, write);
		if (!result)
			done += part;
		if (!result && done < length && fatal_signal_pending(current))
			result = -EINTR;
		cond_resched();
	}
	free_page((unsigned long)buffer);
	request->length = done;
	return result;
}

static int copy_checked(const struct backing *backing, struct memredirect_copy *request, bool write)
{
	u64 length = backing->pages << PAGE_SHIFT;

	if (request->offset > length || request->length > length - request->offset)
		return -ERANGE;
	if (write && backing->read_only)
		return -EACCES;
	return copy_all(backing, request, write);
}

static int copy(struct control *control, struct memredirect_copy *request, bool write)
{
	struct backing *backing;
	int result;

	if (request->flags || request->pad)
		return -EINVAL;
	backing = control_backing(control, request->id);
	if (IS_ERR(backing))
		return PTR_ERR(backing);
	result = copy_checked(backing, request, write);
	backing_put(backing);
	return result;
}

static int run_read(void *of, struct argument *argument)
{
	return copy(of, &argument->copy, false);
}

static int run_write(void *of, struct argument *argument)
{
	return copy(of, &argument->copy, true);
}

/* --- of map descriptors --- */

static int run_client_info(void *of, struct argument *argument)
{
	struct memredirect_info *info = &argument->info;
	struct client *client = of;

	map_info(client->map, info);
	if (client->flags & MEMREDIRECT_OPEN_READ_ONLY)
		info->access |= MEMREDIRECT_INFO_DESCRIPTOR_READ_ONLY;
	info->deadline_ms = 0;
	info->id = 0;
	WRITE_ONCE(client->seen, info->generation);
	return 0;
}

static int run_client_populate(void *of, struct argument *argument)
{
	struct client *client = of;

	return map_populate(client->map, &argument->populate);
}

/* --- the table --- */

enum reply {
	REPLY_NONE,
	REPLY_DONE,   /* outputs, if it has been done */
	REPLY_ALWAYS, /* also after an error */
};

struct request {
	unsigned int command;
	u32 first_size; /* of the first version */
	u32 size;
	enum reply reply;
	int (*run)(void *of, struct argument *argument);
	void (*conclude)(void *of, struct argument *argument,
			 long result); /* after run has been done, and its reply given, or not */
};

#define SIZES(what, name) MEMREDIRECT_SIZE_##what, sizeof(struct memredirect_##name)

static const struct request control_requests[] = {
	{ MEMREDIRECT_CREATE, SIZES(CREATE, create), REPLY_NONE, run_create },
	{ MEMREDIRECT_OPEN, SIZES(OPEN, open), REPLY_DONE, run_open, conclude_open },
	{ MEMREDIRECT_ADD_BACKING, SIZES(ADD_BACKING, add_backing), REPLY_DONE, run_add_backing, conclude_add_backing },
	{ MEMREDIRECT_DEL_BACKING, SIZES(DEL_BACKING, del_backing), REPLY_NONE, run_del_backing },
	{ MEMREDIRECT_REDIRECT, SIZES(REDIRECT, redirect), REPLY_DONE, run_redirect },
	{ MEMREDIRECT_BLOCK, SIZES(BLOCK, block), REPLY_DONE, run_block },
	{ MEMREDIRECT_REVOKE, SIZES(REVOKE, revoke), REPLY_DONE, run_revoke },
	{ MEMREDIRECT_GET_INFO, SIZES(INFO, info), REPLY_DONE, run_info },
	{ MEMREDIRECT_POPULATE, SIZES(POPULATE, populate), REPLY_NONE, run_populate },
	{ MEMREDIRECT_GET_PHYS, SIZES(PHYS, phys), REPLY_DONE, run_phys },
	{ MEMREDIRECT_READ, SIZES(COPY, copy), REPLY_ALWAYS, run_read },
	{ MEMREDIRECT_WRITE, SIZES(COPY, copy), REPLY_ALWAYS, run_write },
};

static const struct request client_requests[] = {
	{ MEMREDIRECT_GET_INFO, SIZES(INFO, info), REPLY_DONE, run_client_info },
	{ MEMREDIRECT_POPULATE, SIZES(POPULATE, populate), REPLY_NONE, run_client_populate },
};

/* What the caller passes, as far as it is known here; the rest has to be zero. */
static int take_argument(struct argument *argument, const struct request *request, void __user *user, u32 *ret_size)
{
	u32 size;

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < request->first_size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	*ret_size = min(size, request->size);
	memset(argument, 0, sizeof(*argument));
	if (broken(BROKEN_TAIL))
		return copy_from_user(argument, user, *ret_size) ? -EFAULT : 0;
	return copy_struct_from_user(argument, request->size, user, size);
}

static long do_request(const struct request *request, void *of, void __user *user)
{
	struct argument argument;
	u32 size;
	long result = take_argument(&argument, request, user, &size);

	if (result)
		return result;
	if (request->reply && copy_to_user(user, &argument, size))
		return -EFAULT;
	result = request->run(of, &argument);
	if (result && request->reply != REPLY_ALWAYS)
		return result;
	if (request->reply && copy_to_user(user, &argument, size))
		result = -EFAULT;
	if (request->conclude)
		request->conclude(of, &argument, result);
	return result;
}

static long find_and_do(const struct request *requests, size_t count, unsigned int command, void *of, unsigned long argument)
{
	for (size_t i = 0; i < count; i++)
		if (requests[i].command == command)
			return do_request(&requests[i], of, (void __user *)argument);
	return -ENOTTY;
}

long control_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	return find_and_do(control_requests, ARRAY_SIZE(control_requests), command, file->private_data, argument);
}

long client_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	return find_and_do(client_requests, ARRAY_SIZE(client_requests), command, file->private_data, argument);
}
