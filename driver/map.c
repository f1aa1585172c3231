// SPDX-License-Identifier: GPL-2.0
/*
 * Maps: what clients have mapped. A map has an inode of its own, of a file system that nobody sees, so that its i_mapping has
 * the mappings of this map alone, and to take them all out of the page tables is one call of the kernel's.
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "driver.h"
#include "trace.h"

/* Pages that POPULATE fills before others may change mappings, or what is shown. */
#define SLICE 512

/* --- the file system of the maps' inodes --- */

static int memredirect_init_fs_context(struct fs_context *context)
{
	return init_pseudo(context, 0x6d656d72) ? 0 : -ENOMEM;
}

/* The owner keeps the module until the last mount is really gone, which may be after the last map is. */
static struct file_system_type map_fs_type = {
	.name = "memredirect",
	.owner = THIS_MODULE,
	.init_fs_context = memredirect_init_fs_context,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *map_mount;
static int map_mount_count;

static struct inode *inode_make(u64 length)
{
	struct inode *inode;
	int result = simple_pin_fs(&map_fs_type, &map_mount, &map_mount_count);

	if (result)
		return ERR_PTR(result);
	inode = alloc_anon_inode(map_mount->mnt_sb);
	if (IS_ERR(inode)) {
		simple_release_fs(&map_mount, &map_mount_count);
		return inode;
	}
	i_size_write(inode, length);
	return inode;
}

/* --- a map --- */

struct map *map_make(const struct memredirect_create *request)
{
	struct map *map = kzalloc(sizeof(*map), GFP_KERNEL_ACCOUNT);

	if (!map)
		return ERR_PTR(-ENOMEM);
	map->inode = inode_make(request->length);
	if (IS_ERR(map->inode)) {
		int result = PTR_ERR(map->inode);

		kfree(map);
		return ERR_PTR(result);
	}
	kref_init(&map->ref);
	map->flags = request->flags;
	map->length = request->length;
	map->owner = current->files;
	init_rwsem(&map->sem);
	map->state = MEMREDIRECT_STATE_EMPTY;
	map->generation = 1;
	init_waitqueue_head(&map->wait);
	init_waitqueue_head(&map->poll);
	spin_lock_init(&map->waiters_lock);
	INIT_LIST_HEAD(&map->waiters);
	return map;
}

/* No file of the map is left, so no mapping is, and nobody waits: a file is held by both. */
static void map_free(struct kref *ref)
{
	struct map *map = container_of(ref, struct map, ref);

	WARN_ON_ONCE(!list_empty(&map->waiters) || mapping_mapped(map->inode->i_mapping));
	backing_put(map->view.backing);
	iput(map->inode);
	simple_release_fs(&map_mount, &map_mount_count);
	kfree(map);
}

void map_put(struct map *map)
{
	kref_put(&map->ref, map_free);
}

/* Nobody can reach what was shown: the only way to it is out of all page tables, and no new entry is made meanwhile. */
static void map_zap(struct map *map)
{
	unmap_mapping_range(map->inode->i_mapping, 0, 0, 1);
}

static void map_set(struct map *map, enum memredirect_state state, const struct view *view)
{
	WRITE_ONCE(map->state, state);
	map->view = *view;
	WRITE_ONCE(map->generation, map->generation + 1);
}

/*
 * Let the map be in @state and show @view, for everybody at one instant. The caller has control->lock, or is the last to know
 * the map's control. The map takes hold of the view's backing itself.
 */
void map_change(struct map *map, enum memredirect_state state, const struct view *view)
{
	struct backing *before = map->view.backing;

	if (view->backing)
		backing_get(view->backing);
	down_write(&map->sem);
	map_set(map, state, view);
	if (!broken(BROKEN_LATE_ZAP))
		map_zap(map);
	up_write(&map->sem);
	if (broken(BROKEN_LATE_ZAP))
		map_zap(map);
	trace_memredirect_change(map);
	if (!broken(BROKEN_NO_WAKE))
		wake_up_all(&map->wait);
	wake_up_all(&map->poll);
	backing_put(before);
}

/* --- what can be asked of it --- */

static unsigned long map_waiters_of(struct map *map, const struct mm_struct *mm)
{
	const struct waiter *waiter;
	unsigned long count = 0;

	spin_lock(&map->waiters_lock);
	list_for_each_entry(waiter, &map->waiters, list) count += waiter->mm == mm;
	spin_unlock(&map->waiters_lock);
	return count;
}

void map_info(struct map *map, struct memredirect_info *info)
{
	info->flags = map->flags;
	info->length = map->length;
	info->waiters_here = map_waiters_of(map, current->mm);
	info->waiters = READ_ONCE(map->waiter_count);
	down_read(&map->sem);
	if (broken(BROKEN_COPY_LOCKED))
		might_fault();
	info->state = map->state;
	info->access = map->view.read_only ? MEMREDIRECT_INFO_READ_ONLY : 0;
	info->generation = map->generation;
	info->id = map->view.backing ? map->view.backing->id : 0;
	up_read(&map->sem);
}

__poll_t map_poll(struct map *map, u64 seen)
{
	__poll_t events = 0;

	if (READ_ONCE(map->generation) != seen)
		events |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(map->state) == MEMREDIRECT_STATE_REVOKED)
		events |= EPOLLHUP;
	return events;
}

/* --- filling page tables before they are needed --- */

/* A slice from @address on, of a mapping of the map. The process's lock is held. Return: where to go on, or an error. */
static long populate_slice(struct map *map, struct vm_area_struct *vma, unsigned long address, unsigned long end)
{
	int result = 0;

	end = min3(end, vma->vm_end, address + SLICE * PAGE_SIZE);
	down_read(&map->sem);
	if (map->state == MEMREDIRECT_STATE_REVOKED)
		result = -ENODEV;
	else if (map->state != MEMREDIRECT_STATE_MAPPED)
		result = -EAGAIN;
	for (; !result && address < end; address += PAGE_SIZE)
		if (view_insert(&map->view, vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT), vma, address, false) &
		    VM_FAULT_ERROR)
			result = -ENOMEM;
	up_read(&map->sem);
	return result ? result : (long)address;
}

static struct vm_area_struct *populate_find(const struct map *map, unsigned long address)
{
	struct vm_area_struct *vma = find_vma(current->mm, address);

	if (!vma || vma->vm_start > address || vma->vm_ops != &map_vm_ops || !vma_is_accessible(vma) ||
	    ((const struct client *)vma->vm_file->private_data)->map != map)
		return NULL;
	return vma;
}

int map_populate(struct map *map, const struct memredirect_populate *request)
{
	unsigned long address = request->address;
	u64 end;

	if (request->flags || !PAGE_ALIGNED(request->address) || !PAGE_ALIGNED(request->length))
		return -EINVAL;
	if (check_add_overflow(request->address, request->length, &end) || end > TASK_SIZE_MAX)
		return -EFAULT;
	while (address < end) {
		struct vm_area_struct *vma;
		long next;

		if (mmap_read_lock_killable(current->mm))
			return -EINTR;
		vma = populate_find(map, address);
		next = vma ? populate_slice(map, vma, address, end) : -EFAULT;
		mmap_read_unlock(current->mm);
		if (next < 0)
			return next;
		address = next;
		cond_resched();
	}
	return 0;
}

/* --- map descriptors --- */

static int client_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct client *client = file->private_data;
	struct map *map = client->map;
	u64 pages = map->length >> PAGE_SHIFT;

	/* A shared mapping of a descriptor that is read-only has VM_MAYSHARE alone. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -ENXIO;
	if (READ_ONCE(map->state) == MEMREDIRECT_STATE_REVOKED)
		return -ENODEV;
	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	/* A child that keeps what is shown, begins with empty page tables: copied entries might be of what is shown later. */
	if (client->flags & MEMREDIRECT_OPEN_KEEP_ON_FORK)
		vm_flags_set(vma, VM_WIPEONFORK);
	vma->vm_ops = &map_vm_ops;
	vma->vm_private_data = map;
	return 0;
}

static __poll_t client_poll(struct file *file, poll_table *table)
{
	struct client *client = file->private_data;

	poll_wait(file, &client->map->poll, table);
	return map_poll(client->map, READ_ONCE(client->seen));
}

static int client_release(struct inode *inode, struct file *file)
{
	struct client *client = file->private_data;

	map_put(client->map);
	kfree(client);
	return 0;
}

const struct file_operations map_fops = {
	.owner = THIS_MODULE,
	.mmap = client_mmap,
	.poll = client_poll,
	.unlocked_ioctl = client_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = client_release,
	.llseek = noop_llseek,
};

/* The file holds the module, as one that is opened by its name does. */
static struct file *map_open_file(struct map *map, int flags)
{
	struct file *file;

	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	ihold(map->inode);
	file = alloc_file_pseudo(map->inode, map_mount, "memredirect", flags, &map_fops);
	if (IS_ERR(file)) {
		iput(map->inode);
		module_put(THIS_MODULE);
	}
	return file;
}

struct file *map_open(struct map *map, u32 flags)
{
	struct client *client = kzalloc(sizeof(*client), GFP_KERNEL_ACCOUNT);
	struct file *file;

	if (!client)
		return ERR_PTR(-ENOMEM);
	file = map_open_file(map, flags & MEMREDIRECT_OPEN_READ_ONLY ? O_RDONLY : O_RDWR);
	if (IS_ERR(file)) {
		kfree(client);
		return file;
	}
	kref_get(&map->ref);
	client->map = map;
	client->flags = flags;
	file->private_data = client;
	return file;
}
