/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels that the driver is built for, 6.1 to 6.12, in one place. */
#ifndef MEMREDIRECT_COMPAT_H
#define MEMREDIRECT_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}
#endif

/* The lock that a fault is handled under: the process's, or, since 6.4, that of the mapping. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
static inline void release_fault_lock(struct vm_fault *vmf)
{
	mmap_read_unlock(vmf->vma->vm_mm);
}
#endif

/* The highest order of pages that can be asked for. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define compat_max_order MAX_PAGE_ORDER
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define compat_max_order MAX_ORDER
#else
#define compat_max_order (MAX_ORDER - 1)
#endif

/*
 * Pin pages of @mm for good, whose lock the caller holds for reading, and holds afterwards. Before 6.5, long-term pins do not
 * go with letting go of the lock for a slow page.
 */
static inline long compat_pin_pages(struct mm_struct *mm, unsigned long address, unsigned long count, unsigned int gup_flags,
				    struct page **pages)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	int locked = 1;
	long pinned = pin_user_pages_remote(mm, address, count, gup_flags | FOLL_LONGTERM, pages, &locked);

	if (!locked)
		mmap_read_lock(mm);
	return pinned;
#else
	return pin_user_pages_remote(mm, address, count, gup_flags | FOLL_LONGTERM, pages, NULL, NULL);
#endif
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define COMPAT_HAS_FILE_PINS 1
#endif

#endif
