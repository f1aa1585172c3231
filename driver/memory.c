// SPDX-License-Identifier: GPL-2.0
/*
 * Backings: memory that a map can show, taken hold of once, page by page, so that a redirect has nothing to do but to say
 * which.
 *
 * A backing is made in one go (backing_make) and does not change afterwards; who may see it then, needs no lock to look into
 * it. What a segment has taken hold of, it says in itself (held, folio_count, charged, io), so that segment_release undoes one
 * that is half made, too.
 */
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#ifdef CONFIG_X86
#include <asm/processor.h>
#include <asm/set_memory.h>
#endif

#include "compat.h"
#include "driver.h"
#include "trace.h"

/* Pages that are taken hold of, or let go of, before somebody else gets a turn. */
#define SLICE 512

#define NICELY (__GFP_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* --- what all segments of pages need --- */

/* Room for the numbers of so many pages: no more than there are. */
static int segment_room(struct segment *segment)
{
	if (segment->count > totalram_pages())
		return -ENOMEM;
	segment->pages = kvcalloc(segment->count, sizeof(*segment->pages), GFP_KERNEL | NICELY);
	return segment->pages ? 0 : -ENOMEM;
}

/* Charge the caller for locked pages. The process is noted first: it is who gets them back, even when it has ended by then. */
static int segment_charge(struct segment *segment)
{
	int result;

	mmgrab(current->mm);
	segment->mm = current->mm;
	result = account_locked_vm(segment->mm, segment->count, true);
	if (!result)
		segment->charged = segment->count;
	return result;
}

static void segment_uncharge(struct segment *segment)
{
	if (!segment->mm)
		return;
	if (segment->charged && !(broken(BROKEN_UNCHARGED) && segment->held < segment->count))
		account_locked_vm(segment->mm, segment->charged, false);
	mmdrop(segment->mm);
	segment->mm = NULL;
}

/* --- pages of a file --- */

#ifdef COMPAT_HAS_FILE_PINS

static bool is_sealed(struct inode *inode)
{
	unsigned int seals = 0;

	if (shmem_mapping(inode->i_mapping))
		seals = SHMEM_I(inode)->seals;
#ifdef CONFIG_HUGETLBFS
	else
		seals = HUGETLBFS_I(inode)->seals;
#endif
	return seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
}

static int file_check(struct file *file, bool read_only, u64 offset, u64 length)
{
	struct inode *inode = file_inode(file);

	if (!shmem_mapping(file->f_mapping) && !is_file_hugepages(file))
		return -EOPNOTSUPP;
	if (!(file->f_mode & FMODE_READ) || (!read_only && !(file->f_mode & FMODE_WRITE)))
		return -EACCES;
	if (!read_only && is_sealed(inode))
		return -EPERM;
	if (offset + length > round_up((u64)i_size_read(inode), PAGE_SIZE))
		return -EINVAL;
	return 0;
}

/* From pins of whole folios to pages: the first one is entered at @offset. */
static void file_spread(struct segment *segment, struct folio *const *folios, long count, pgoff_t offset, unsigned long want)
{
	unsigned long page = offset >> PAGE_SHIFT;

	for (long i = 0; i < count; i++, page = 0)
		for (; page < folio_nr_pages(folios[i]) && want; page++, want--)
			segment->pages[segment->held++] = folio_page(folios[i], page);
}

static int file_pin(struct segment *segment, struct file *file, u64 offset)
{
	while (segment->held < segment->count) {
		unsigned long want = min_t(unsigned long, segment->count - segment->held, SLICE);
		loff_t start = offset + ((u64)segment->held << PAGE_SHIFT);
		loff_t end = min_t(loff_t, start + ((loff_t)want << PAGE_SHIFT), i_size_read(file_inode(file)));
		struct folio **folios = segment->folios + segment->folio_count;
		pgoff_t first = 0;
		long pinned;

		if (fatal_signal_pending(current))
			return -EINTR;
		pinned = memfd_pin_folios(file, start, end - 1, folios, want, &first);
		if (pinned <= 0)
			return pinned ? pinned : -EINVAL;
		segment->folio_count += pinned;
		file_spread(segment, folios, pinned, first, want);
		cond_resched();
	}
	return 0;
}

static int file_take(struct segment *segment, struct file *file, u64 offset, bool read_only)
{
	int result = file_check(file, read_only, offset, segment->count << PAGE_SHIFT);

	if (!result)
		result = segment_room(segment);
	if (result)
		return result;
	segment->folios = kvcalloc(segment->count, sizeof(*segment->folios), GFP_KERNEL | NICELY);
	if (!segment->folios)
		return -ENOMEM;
	result = segment_charge(segment);
	return result ? result : file_pin(segment, file, offset);
}

static int segment_take_file(struct segment *segment, const struct memredirect_segment *request, bool read_only)
{
	struct file *file = fget(request->fd);
	int result;

	if (!file)
		return -EBADF;
	result = file_take(segment, file, request->offset, read_only);
	fput(file);
	return result;
}

static void segment_release_file(struct segment *segment, bool read_only)
{
	for (unsigned long i = 0; i < segment->folio_count; i++) {
		if (!read_only)
			set_page_dirty_lock(folio_page(segment->folios[i], 0));
		unpin_folios(&segment->folios[i], 1);
		if (i % SLICE == SLICE - 1)
			cond_resched();
	}
	kvfree(segment->folios);
}

#else

static int segment_take_file(struct segment *segment, const struct memredirect_segment *request, bool read_only)
{
	return -EOPNOTSUPP;
}

static void segment_release_file(struct segment *segment, bool read_only)
{
}

#endif

/* --- pages of a process --- */

/*
 * Whether pages of a mapping may be written to behind the back of the file that they belong to: of files in memory alone.
 * Others have to be told before a page gets dirty, which nobody does for a page that is mapped here. (6.5 and later refuse to
 * pin those; we say why.)
 */
static bool may_take(const struct vm_area_struct *vma, bool read_only)
{
	unsigned long magic;

	if (read_only || !vma->vm_file || !(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_PFNMAP)
		return true;
	magic = file_inode(vma->vm_file)->i_sb->s_magic;
	return magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC;
}

/* All mappings in the range. The caller holds the lock. */
static int user_check(struct mm_struct *mm, unsigned long address, unsigned long end, bool read_only)
{
	while (address < end) {
		struct vm_area_struct *vma = find_vma(mm, address);

		if (!vma || vma->vm_start > address)
			return -EFAULT;
		if (!may_take(vma, read_only))
			return -EOPNOTSUPP;
		address = vma->vm_end;
	}
	return 0;
}

/* A slice more. Return: 0, or an error; some pages may have been pinned before. */
static int user_pin_slice(struct segment *segment, struct mm_struct *mm, unsigned long address, bool read_only)
{
	unsigned long want = min_t(unsigned long, segment->count - segment->held, SLICE);
	long pinned;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	pinned = user_check(mm, address, address + want * PAGE_SIZE, read_only);
	if (!pinned)
		pinned = compat_pin_pages(mm, address, want, read_only ? 0 : FOLL_WRITE, segment->pages + segment->held);
	mmap_read_unlock(mm);
	if (fatal_signal_pending(current) && pinned <= 0)
		return -EINTR;
	if (pinned <= 0)
		return pinned ? pinned : -EFAULT;
	segment->held += pinned;
	return 0;
}

static int user_pin(struct segment *segment, struct mm_struct *mm, unsigned long address, bool read_only)
{
	while (segment->held < segment->count) {
		int result = user_pin_slice(segment, mm, address + segment->held * PAGE_SIZE, read_only);

		if (result)
			return result;
		cond_resched();
	}
	return 0;
}

/* The memory of process @pid, 0: the caller's. */
static struct mm_struct *user_memory(pid_t pid)
{
	struct task_struct *task;
	struct mm_struct *mm;
	struct pid *number;

	if (!pid) {
		mmget(current->mm);
		return current->mm;
	}
	number = find_get_pid(pid);
	task = get_pid_task(number, PIDTYPE_PID);
	put_pid(number);
	if (!task)
		return ERR_PTR(-ESRCH);
	mm = get_task_mm(task);
	put_task_struct(task);
	if (!mm)
		return ERR_PTR(-ESRCH);
	if (mm == current->mm || ns_capable(mm->user_ns, CAP_SYS_PTRACE))
		return mm;
	mmput(mm);
	return ERR_PTR(-EPERM);
}

static int segment_take_user(struct segment *segment, const struct memredirect_segment *request, bool read_only)
{
	struct mm_struct *mm;
	int result;

	if (request->offset + request->length > TASK_SIZE_MAX)
		return -EFAULT;
	mm = user_memory(request->pid);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	result = segment_room(segment);
	if (!result)
		result = segment_charge(segment);
	if (!result)
		result = user_pin(segment, mm, request->offset, read_only);
	mmput(mm);
	return result;
}

static void segment_release_user(struct segment *segment, bool read_only)
{
	for (unsigned long done = 0; done < segment->held; done += SLICE) {
		unpin_user_pages_dirty_lock(segment->pages + done, min_t(unsigned long, segment->held - done, SLICE),
					    !read_only);
		cond_resched();
	}
}

/* --- pages of the kernel's --- */

static int kernel_take_pages(struct segment *segment)
{
	while (segment->held < segment->count) {
		struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO | NICELY);

		if (!page)
			return -ENOMEM;
		if (fatal_signal_pending(current)) {
			__free_page(page);
			return -EINTR;
		}
		segment->pages[segment->held++] = page;
		cond_resched();
	}
	return 0;
}

/* One block of them, of which those at the end that are too many go back. */
static int kernel_take_contiguous(struct segment *segment)
{
	int order = get_order(segment->count << PAGE_SHIFT);
	struct page *block;

	if (order > compat_max_order)
		return -ENOMEM;
	block = alloc_pages(GFP_KERNEL | __GFP_ZERO | NICELY, order);
	if (!block)
		return -ENOMEM;
	split_page(block, order);
	for (u64 i = 0; i < 1ULL << order; i++)
		if (i < segment->count)
			segment->pages[segment->held++] = block + i;
		else
			__free_page(block + i);
	return 0;
}

static bool is_cached(u32 cache)
{
	return cache == MEMREDIRECT_CACHE_DEFAULT || cache == MEMREDIRECT_CACHE_COPYBACK;
}

/* The kernel's own mapping of the pages has to have the same mode. It is noted once it is set, for segment_release_kernel. */
static int kernel_set_cache(struct segment *segment, u32 cache)
{
	int result = -EOPNOTSUPP;

	if (is_cached(cache))
		return 0;
#ifdef CONFIG_X86
	if (cache == MEMREDIRECT_CACHE_INHIBIT)
		result = set_pages_array_uc(segment->pages, segment->count);
	else if (cache == MEMREDIRECT_CACHE_WRITE_COMBINE)
		result = set_pages_array_wc(segment->pages, segment->count);
#endif
	if (!result)
		segment->cache = cache;
	return result;
}

static int segment_take_kernel(struct segment *segment, const struct memredirect_segment *request, u32 cache)
{
	int result;

	if (cache == MEMREDIRECT_CACHE_WRITE_THROUGH)
		return -EOPNOTSUPP;
	segment->cache = MEMREDIRECT_CACHE_DEFAULT;
	result = segment_room(segment);
	if (!result && request->flags & MEMREDIRECT_SEGMENT_CONTIGUOUS)
		result = kernel_take_contiguous(segment);
	else if (!result)
		result = kernel_take_pages(segment);
	return result ? result : kernel_set_cache(segment, cache);
}

static void segment_release_kernel(struct segment *segment)
{
#ifdef CONFIG_X86
	if (!is_cached(segment->cache))
		set_pages_array_wb(segment->pages, segment->held);
#endif
	for (unsigned long i = 0; i < segment->held; i++) {
		__free_page(segment->pages[i]);
		if (i % SLICE == SLICE - 1)
			cond_resched();
	}
}

/* --- physical ranges --- */

static bool is_addressable(u64 last)
{
#ifdef CONFIG_X86
	if (boot_cpu_data.x86_phys_bits < 64 && last >> boot_cpu_data.x86_phys_bits)
		return false;
#endif
	return (phys_addr_t)last == last;
}

/* To map a device is what gives it its cache mode, and tells when others have it with another. */
static void __iomem *device_map(phys_addr_t address, size_t length, u32 cache)
{
	switch (cache) {
	case MEMREDIRECT_CACHE_INHIBIT:
#ifdef CONFIG_X86
		return ioremap_uc(address, length);
#else
		return ioremap(address, length);
#endif
	case MEMREDIRECT_CACHE_WRITE_THROUGH:
		return ioremap_wt(address, length);
	case MEMREDIRECT_CACHE_COPYBACK:
#ifdef CONFIG_X86
		return ioremap_cache(address, length);
#else
		return NULL;
#endif
	case MEMREDIRECT_CACHE_WRITE_COMBINE:
		return ioremap_wc(address, length);
	default:
		return ioremap(address, length);
	}
}

static int segment_take_physical(struct segment *segment, const struct memredirect_segment *request, u32 cache)
{
	int held;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (security_locked_down(LOCKDOWN_DEV_MEM))
		return -EPERM;
	if (!is_addressable(request->offset + request->length - 1))
		return -EINVAL;
	segment->pfn = request->offset >> PAGE_SHIFT;
	held = region_intersects(request->offset, request->length, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE);
	if (held == REGION_MIXED)
		return -EINVAL;
	segment->ram = held == REGION_INTERSECTS;
	if (segment->ram)
		return is_cached(cache) ? 0 : -EOPNOTSUPP;
	segment->io = device_map(request->offset, request->length, cache);
	return segment->io ? 0 : -EBUSY;
}

/* --- segments --- */

static int segment_take(struct segment *segment, const struct memredirect_segment *request, bool read_only, u32 cache)
{
	segment->count = request->length >> PAGE_SHIFT;
	segment->kind = request->kind;
	segment->cache = cache;
	segment->ram = true;
	switch (request->kind) {
	case MEMREDIRECT_FILE:
		return is_cached(cache) ? segment_take_file(segment, request, read_only) : -EOPNOTSUPP;
	case MEMREDIRECT_USER:
		return is_cached(cache) ? segment_take_user(segment, request, read_only) : -EOPNOTSUPP;
	case MEMREDIRECT_KERNEL:
		return segment_take_kernel(segment, request, cache);
	default:
		return segment_take_physical(segment, request, cache);
	}
}

/* Also one that is taken in part, or not at all. */
static void segment_release(struct segment *segment, bool read_only)
{
	switch (segment->kind) {
	case MEMREDIRECT_FILE:
		segment_release_file(segment, read_only);
		break;
	case MEMREDIRECT_USER:
		segment_release_user(segment, read_only);
		break;
	case MEMREDIRECT_KERNEL:
		segment_release_kernel(segment);
		break;
	default:
		if (segment->io)
			iounmap(segment->io);
	}
	kvfree(segment->pages);
	segment_uncharge(segment);
}

/* What can be said of a request before anything is taken. */
static int segment_check(const struct memredirect_segment *request)
{
	u32 flags = request->kind == MEMREDIRECT_KERNEL ? MEMREDIRECT_SEGMENT_CONTIGUOUS : 0;
	u64 end;

	if (request->kind < MEMREDIRECT_FILE || request->kind > MEMREDIRECT_PHYSICAL || request->flags & ~flags)
		return -EINVAL;
	if (!request->length || !PAGE_ALIGNED(request->length) || !PAGE_ALIGNED(request->offset))
		return -EINVAL;
	if ((request->kind != MEMREDIRECT_FILE && request->fd) || (request->kind != MEMREDIRECT_USER && request->pid) ||
	    (request->kind == MEMREDIRECT_KERNEL && request->offset) || request->pid < 0)
		return -EINVAL;
	if (check_add_overflow(request->offset, request->length, &end))
		return -EOVERFLOW;
	return request->kind == MEMREDIRECT_FILE && end > MAX_LFS_FILESIZE ? -EOVERFLOW : 0;
}

/* --- backings --- */

static void backing_free(struct backing *backing)
{
	for (u32 i = 0; i < backing->count; i++)
		segment_release(&backing->segments[i], backing->read_only);
	trace_memredirect_backing(backing, false);
	kvfree(backing);
}

static void backing_release_work(struct work_struct *work)
{
	backing_free(container_of(work, struct backing, release));
}

void backing_get(struct backing *backing)
{
	kref_get(&backing->ref);
}

static void backing_release(struct kref *ref)
{
	backing_free(container_of(ref, struct backing, ref));
}

static void backing_release_later(struct kref *ref)
{
	queue_work(memredirect_queue, &container_of(ref, struct backing, ref)->release);
}

void backing_put(struct backing *backing)
{
	if (backing)
		kref_put(&backing->ref, backing_release);
}

/* Where a process's lock may be held, which letting go takes. */
void backing_put_later(struct backing *backing)
{
	kref_put(&backing->ref, backing_release_later);
}

/* The next segment of the array that @at points to, and moves to. */
static int next_request(const char __user **at, u32 size, struct memredirect_segment *ret_request)
{
	int result = copy_struct_from_user(ret_request, sizeof(*ret_request), *at, size);

	*at += size;
	return result ? result : segment_check(ret_request);
}

static int backing_take(struct backing *backing, const struct memredirect_add_backing *request)
{
	const char __user *at = u64_to_user_ptr(request->segments);

	for (u32 i = 0; i < request->count; i++) {
		struct segment *segment = &backing->segments[i];
		struct memredirect_segment one;
		int result = next_request(&at, request->segment_size, &one);

		if (result)
			return result;
		segment->first = backing->pages;
		if (check_add_overflow(backing->pages, one.length >> PAGE_SHIFT, &backing->pages) ||
		    backing->pages > MAX_LFS_FILESIZE >> PAGE_SHIFT)
			return -EOVERFLOW;
		backing->count++;
		result = segment_take(segment, &one, backing->read_only, request->cache);
		if (result)
			return result;
	}
	return 0;
}

static int backing_check(const struct memredirect_add_backing *request)
{
	if (request->flags & ~MEMREDIRECT_BACKING_READ_ONLY || request->cache > MEMREDIRECT_CACHE_WRITE_COMBINE)
		return -EINVAL;
	if (!request->count || request->segment_size < MEMREDIRECT_SIZE_SEGMENT)
		return -EINVAL;
	if (request->count > MEMREDIRECT_MAX_SEGMENTS || request->segment_size > PAGE_SIZE)
		return -E2BIG;
	return 0;
}

struct backing *backing_make(const struct memredirect_add_backing *request)
{
	struct backing *backing;
	int result = backing_check(request);

	if (result)
		return ERR_PTR(result);
	backing = kvzalloc(struct_size(backing, segments, request->count), GFP_KERNEL | NICELY);
	if (!backing)
		return ERR_PTR(-ENOMEM);
	kref_init(&backing->ref);
	INIT_WORK(&backing->release, backing_release_work);
	backing->read_only = request->flags & MEMREDIRECT_BACKING_READ_ONLY;
	result = backing_take(backing, request);
	if (result) {
		backing_free(backing);
		return ERR_PTR(result);
	}
	trace_memredirect_backing(backing, true);
	return backing;
}

/* The segment that page @page is in. */
static const struct segment *backing_segment(const struct backing *backing, u64 page)
{
	u32 low = 0, high = backing->count - 1;

	while (low < high) {
		u32 middle = high - (high - low) / 2;

		if (backing->segments[middle].first <= page)
			low = middle;
		else
			high = middle - 1;
	}
	return &backing->segments[low];
}

static unsigned long segment_pfn(const struct segment *segment, u64 page)
{
	return segment->pages ? page_to_pfn(segment->pages[page]) : segment->pfn + page;
}

unsigned long backing_pfn(const struct backing *backing, u64 page, u32 *ret_cache)
{
	const struct segment *segment = backing_segment(backing, page);

	*ret_cache = segment->ram ? segment->cache : segment->cache ?: MEMREDIRECT_CACHE_INHIBIT;
	return segment_pfn(segment, page - segment->first);
}

/* How many pages from @page on are physically contiguous, up to page @last, which is not counted. */
u64 backing_run(const struct backing *backing, u64 page, u64 last)
{
	u32 cache;
	unsigned long pfn = backing_pfn(backing, page, &cache);
	u64 next = page;

	while (next < last) {
		const struct segment *segment = backing_segment(backing, next);
		u64 end = min(segment->first + segment->count, last);

		if (segment_pfn(segment, next - segment->first) != pfn + (next - page))
			break;
		if (!segment->pages) {
			next = end;
			continue;
		}
		while (next < end && segment_pfn(segment, next - segment->first) == pfn + (next - page))
			if (++next % (1 << 16) == 0)
				cond_resched();
		if (next < end)
			break;
	}
	return next - page;
}

/* --- the bytes --- */

static void copy_device(const struct segment *segment, u64 offset, void *buffer, size_t length, bool write)
{
	if (write)
		memcpy_toio(segment->io + offset, buffer, length);
	else
		memcpy_fromio(buffer, segment->io + offset, length);
}

static void copy_page_part(struct page *page, size_t offset, void *buffer, size_t length, bool write)
{
	char *bytes = kmap_local_page(page);

	if (write) {
		memcpy(bytes + offset, buffer, length);
		flush_dcache_page(page);
	} else {
		memcpy(buffer, bytes + offset, length);
	}
	kunmap_local(bytes);
}

/* Between a buffer of the kernel's and a backing, within which the range is. */
void backing_copy(const struct backing *backing, u64 offset, void *buffer, size_t length, bool write)
{
	while (length) {
		const struct segment *segment = backing_segment(backing, offset >> PAGE_SHIFT);
		u64 inside = offset - (segment->first << PAGE_SHIFT);
		size_t part = min_t(size_t, length, PAGE_SIZE - offset_in_page(offset));

		if (segment->ram)
			copy_page_part(pfn_to_page(segment_pfn(segment, inside >> PAGE_SHIFT)), offset_in_page(offset), buffer,
				       part, write);
		else
			copy_device(segment, inside, buffer, part, write);
		offset += part;
		buffer += part;
		length -= part;
	}
}
