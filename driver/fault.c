// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings of a map: how an access finds its page, waits, or fails.
 *
 * Page table entries are made in here, under map->sem, and not by the kernel after a fault function has returned a page: a
 * change might come in between, and would not find the entry. They are entries of bare page numbers (VM_PFNMAP), also for pages
 * that the kernel knows, so that nobody can pin them through the mapping and hold on to what a change has taken away.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "driver.h"
#include "trace.h"

/* Entries that a fault makes at once, if they lie in one aligned block of so many pages. */
#define AROUND 16

/* What a fault function here returns besides what the kernel knows: wait. */
#define FAULT_WAITS ((__force vm_fault_t)0x80000000)

static u64 page_in_map(const struct vm_area_struct *vma, unsigned long address)
{
	return vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT);
}

static pgprot_t protection(pgprot_t prot, u32 cache)
{
	switch (cache) {
	case MEMREDIRECT_CACHE_INHIBIT:
		return pgprot_noncached(prot);
	case MEMREDIRECT_CACHE_WRITE_COMBINE:
		return pgprot_writecombine(prot);
#ifdef pgprot_writethrough
	case MEMREDIRECT_CACHE_WRITE_THROUGH:
		return pgprot_writethrough(prot);
#endif
	default:
		return prot;
	}
}

/*
 * Make the entry of one page. What is mapped already stays. The flags say what the mapping allows; vm_page_prot would not,
 * since the kernel takes the right to write from it for mappings with a pfn_mkwrite.
 */
vm_fault_t view_insert(const struct view *view, u64 map_page, struct vm_area_struct *vma, unsigned long address, bool write)
{
	bool read_only = view->read_only && !broken(BROKEN_WRITABLE);
	u32 cache;
	unsigned long pfn = backing_pfn(view->backing, view->first + map_page, &cache);
	pgprot_t prot = vm_get_page_prot(vma->vm_flags & ~(read_only ? VM_WRITE : 0));

	if (write && read_only)
		return VM_FAULT_SIGSEGV;
	return vmf_insert_pfn_prot(vma, address, pfn, protection(prot, cache));
}

/* The page of the fault, and its neighbours behind it. */
static vm_fault_t view_fault(const struct view *view, struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long address = vmf->address & PAGE_MASK;
	unsigned long end = min(ALIGN(address + 1, AROUND * PAGE_SIZE), vma->vm_end);
	vm_fault_t result = view_insert(view, page_in_map(vma, address), vma, address, vmf->flags & FAULT_FLAG_WRITE);

	if (result != VM_FAULT_NOPAGE)
		return result;
	for (address += PAGE_SIZE; address < end; address += PAGE_SIZE)
		if (view_insert(view, page_in_map(vma, address), vma, address, false) != VM_FAULT_NOPAGE)
			break;
	return VM_FAULT_NOPAGE;
}

/* --- waiting --- */

static void waiter_enter(struct map *map, struct waiter *waiter)
{
	waiter->mm = current->mm;
	spin_lock(&map->waiters_lock);
	list_add(&waiter->list, &map->waiters);
	WRITE_ONCE(map->waiter_count, map->waiter_count + 1);
	spin_unlock(&map->waiters_lock);
	wake_up_all(&map->poll);
}

static void waiter_leave(struct map *map, struct waiter *waiter)
{
	spin_lock(&map->waiters_lock);
	list_del(&waiter->list);
	WRITE_ONCE(map->waiter_count, map->waiter_count - 1);
	spin_unlock(&map->waiters_lock);
	wake_up_all(&map->poll);
}

/*
 * A thread that can go back to user mode lets itself be interrupted by any signal, and comes again after its handler. One in a
 * system call cannot leave the fault but by a fatal signal: with others pending it would come back at once, again and again.
 */
static void map_wait(struct map *map, unsigned int flags)
{
	struct waiter waiter;

	waiter_enter(map, &waiter);
	if (flags & FAULT_FLAG_USER && flags & FAULT_FLAG_INTERRUPTIBLE && !broken(BROKEN_DEAF))
		wait_event_interruptible(map->wait, !map_waits(map));
	else
		wait_event_killable(map->wait, !map_waits(map));
	waiter_leave(map, &waiter);
}

/*
 * The lock of the fault goes before the wait, so that others can map, unmap and fork; from then on the mapping may be gone, and
 * the file, which is held, keeps the map and this module. Who cannot let go of the lock cannot wait: it would keep everybody
 * from ending the wait.
 */
static vm_fault_t fault_wait(struct map *map, struct vm_fault *vmf)
{
	unsigned int flags = vmf->flags;
	unsigned long address = vmf->address;
	struct file *file;

	if (current->flags & (PF_EXITING | PF_DUMPCORE) || !(flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	if (flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;
	if (map->flags & MEMREDIRECT_MAP_USER_ONLY && !(flags & FAULT_FLAG_USER) && !broken(BROKEN_KERNEL_WAITS))
		return VM_FAULT_SIGBUS;
	file = get_file(vmf->vma->vm_file);
	release_fault_lock(vmf);
	trace_memredirect_wait(map, address, true);
	map_wait(map, flags);
	trace_memredirect_wait(map, address, false);
	fput(file);
	return VM_FAULT_RETRY;
}

/* --- mappings of clients --- */

/* For tests alone: what goes wrong with entries that are made too late. */
static vm_fault_t fault_late(struct map *map, struct vm_fault *vmf)
{
	struct view view;

	down_read(&map->sem);
	view = map->view;
	if (map->state != MEMREDIRECT_STATE_MAPPED) {
		up_read(&map->sem);
		return FAULT_WAITS;
	}
	backing_get(view.backing);
	up_read(&map->sem);
	udelay(50);
	view_fault(&view, vmf);
	backing_put_later(view.backing);
	return VM_FAULT_NOPAGE;
}

static vm_fault_t map_fault_shown(struct map *map, struct vm_fault *vmf)
{
	vm_fault_t result;

	if (broken(BROKEN_INSERT_UNLOCKED) && READ_ONCE(map->state) != MEMREDIRECT_STATE_REVOKED)
		return fault_late(map, vmf);
	down_read(&map->sem);
	if (map->state == MEMREDIRECT_STATE_MAPPED)
		result = view_fault(&map->view, vmf);
	else
		result = map->state == MEMREDIRECT_STATE_REVOKED ? VM_FAULT_SIGBUS : FAULT_WAITS;
	up_read(&map->sem);
	return result;
}

static vm_fault_t map_fault(struct vm_fault *vmf)
{
	struct map *map = vmf->vma->vm_private_data;
	vm_fault_t result = map_fault_shown(map, vmf);

	return result == FAULT_WAITS ? fault_wait(map, vmf) : result;
}

/*
 * A write to a page that is mapped without the right to. If it may be written to, the entry goes, and the access comes again as
 * a fault that makes it anew: to let the kernel make it writable, after this has returned, would let it do so after a change to
 * read-only.
 */
static vm_fault_t map_pfn_mkwrite(struct vm_fault *vmf)
{
	struct map *map = vmf->vma->vm_private_data;
	vm_fault_t result = VM_FAULT_NOPAGE;

	down_read(&map->sem);
	if (map->state == MEMREDIRECT_STATE_MAPPED && map->view.read_only && !broken(BROKEN_WRITABLE))
		result = VM_FAULT_SIGSEGV;
	else
		zap_vma_ptes(vmf->vma, vmf->address & PAGE_MASK, PAGE_SIZE);
	up_read(&map->sem);
	return result;
}

/* For debuggers, one mapping at a time. They do not wait. */
static int view_access(const struct view *view, struct vm_area_struct *vma, unsigned long address, void *buffer, int length,
		       bool write)
{
	u64 offset = (view->first << PAGE_SHIFT) + ((u64)vma->vm_pgoff << PAGE_SHIFT) + (address - vma->vm_start);

	length = min_t(unsigned long, length, vma->vm_end - address);
	if (write && (view->read_only || !(vma->vm_flags & VM_WRITE)))
		return -EACCES;
	backing_copy(view->backing, offset, buffer, length, write);
	return length;
}

static int map_access(struct vm_area_struct *vma, unsigned long address, void *buffer, int length, int write)
{
	struct map *map = vma->vm_private_data;
	int result = -EFAULT;

	down_read(&map->sem);
	if (map->state == MEMREDIRECT_STATE_MAPPED || (broken(BROKEN_PEEK) && map->view.backing))
		result = view_access(&map->view, vma, address, buffer, length, write);
	up_read(&map->sem);
	return result;
}

/* --- mappings that a child has inherited, and that keep what was shown then --- */

struct kept {
	struct kref ref;
	struct view view; /* without a backing: nothing was shown */
};

static vm_fault_t kept_fault(struct vm_fault *vmf)
{
	const struct kept *kept = vmf->vma->vm_private_data;

	return kept->view.backing ? view_fault(&kept->view, vmf) : VM_FAULT_SIGSEGV;
}

static vm_fault_t kept_pfn_mkwrite(struct vm_fault *vmf)
{
	const struct kept *kept = vmf->vma->vm_private_data;

	if (kept->view.read_only)
		return VM_FAULT_SIGSEGV;
	zap_vma_ptes(vmf->vma, vmf->address & PAGE_MASK, PAGE_SIZE);
	return VM_FAULT_NOPAGE;
}

static int kept_access(struct vm_area_struct *vma, unsigned long address, void *buffer, int length, int write)
{
	const struct kept *kept = vma->vm_private_data;

	return kept->view.backing ? view_access(&kept->view, vma, address, buffer, length, write) : -EFAULT;
}

static void kept_open(struct vm_area_struct *vma)
{
	struct kept *kept = vma->vm_private_data;

	kref_get(&kept->ref);
}

/* The page tables have been emptied by now. The process's lock is held, maybe that of whoever the backing is charged to. */
static void kept_free(struct kref *ref)
{
	struct kept *kept = container_of(ref, struct kept, ref);

	if (kept->view.backing)
		backing_put_later(kept->view.backing);
	kfree(kept);
}

static void kept_close(struct vm_area_struct *vma)
{
	struct kept *kept = vma->vm_private_data;

	kref_put(&kept->ref, kept_free);
}

static const struct vm_operations_struct kept_vm_ops = {
	.open = kept_open,
	.close = kept_close,
	.fault = kept_fault,
	.pfn_mkwrite = kept_pfn_mkwrite,
	.access = kept_access,
};

/* Nobody can be told that a child cannot be made any more: a few dozen bytes have to be there. */
static void keep(struct map *map, struct vm_area_struct *vma)
{
	struct kept *kept = kzalloc(sizeof(*kept), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);

	kref_init(&kept->ref);
	down_read(&map->sem);
	if (map->state == MEMREDIRECT_STATE_MAPPED) {
		kept->view = map->view;
		backing_get(kept->view.backing);
	}
	up_read(&map->sem);
	vma->vm_private_data = kept;
	vma->vm_ops = &kept_vm_ops;
}

/* A mapping is split, moved, or, which shows in whose it is, inherited by a child. */
static void map_vma_open(struct vm_area_struct *vma)
{
	const struct client *client = vma->vm_file->private_data;

	if (vma->vm_mm != current->mm && client->flags & MEMREDIRECT_OPEN_KEEP_ON_FORK && !broken(BROKEN_FORK))
		keep(vma->vm_private_data, vma);
}

const struct vm_operations_struct map_vm_ops = {
	.open = map_vma_open,
	.fault = map_fault,
	.pfn_mkwrite = map_pfn_mkwrite,
	.access = map_access,
};
