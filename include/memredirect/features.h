/* SPDX-License-Identifier: MIT */
/* What this kernel and these privileges allow. */
#ifndef MEMREDIRECT_FEATURES_H
#define MEMREDIRECT_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a userfaultfd, which blocking needs, can be had here; the best way that works. */
enum mr_fault_access {
	MR_FAULT_ACCESS_NONE,	   /* not at all: no map can be blocked; redirects of plain maps work */
	MR_FAULT_ACCESS_USER_ONLY, /* userfaultfd(2) with UFFD_USER_MODE_ONLY: accesses by system calls get EFAULT */
	MR_FAULT_ACCESS_DEVICE,	   /* /dev/userfaultfd: all accesses wait */
	MR_FAULT_ACCESS_SYSCALL,   /* userfaultfd(2): all accesses wait */
};

/** Whether maps of the driver's (MR_MAP_DRIVER) can be made here. */
enum mr_driver_access {
	MR_DRIVER_NONE,	  /* the module is not loaded */
	MR_DRIVER_DENIED, /* it is, but /dev/memredirect is not for this user; descriptors of others' maps can be imported */
	MR_DRIVER_READY,
};

/**
 * struct mr_features - what holds here
 * @page_size: bytes in a page
 * @fault_access: how blocking is done
 * @blocking: mr_map_redirect(map, NULL, …) works
 * @kernel_faults: accesses that the kernel makes for a system call wait too (false: they get EFAULT)
 * @minor_shmem: UFFD_FEATURE_MINOR_SHMEM is there
 * @minor_hugetlbfs: UFFD_FEATURE_MINOR_HUGETLBFS is there
 * @event_remap: UFFD_FEATURE_EVENT_REMAP is there (blocking needs it)
 * @wp_unpopulated: UFFD_FEATURE_WP_UNPOPULATED is there (6.4 and later)
 * @wp_async: UFFD_FEATURE_WP_ASYNC is there (6.7 and later)
 * @uffd_move: UFFDIO_MOVE is there (6.8 and later)
 * @frame_numbers: /proc/self/pagemap shows frame numbers, so that physical addresses can be had
 * @huge_2m_supported: huge pages of 2 MiB exist on this machine
 * @huge_1g_supported: huge pages of 1 GiB exist on this machine
 * @huge_2m_free: huge pages of 2 MiB that are free and not reserved, now
 * @huge_1g_free: huge pages of 1 GiB that are free and not reserved, now
 * @max_map_count: mappings that a process may have (vm.max_map_count); 0 if it cannot be read
 * @lock_limit: bytes that this process may lock (RLIMIT_MEMLOCK); UINT64_MAX: no limit
 * @descriptor_limit: descriptors that this process may have open (RLIMIT_NOFILE)
 * @driver: the kernel driver
 * @reserved_too: zero
 * @reserved: zero; later versions put their fields here
 */
struct mr_features {
	uint64_t page_size;
	enum mr_fault_access fault_access;
	bool blocking;
	bool kernel_faults;
	bool minor_shmem;
	bool minor_hugetlbfs;
	bool event_remap;
	bool wp_unpopulated;
	bool wp_async;
	bool uffd_move;
	bool frame_numbers;
	bool huge_2m_supported;
	bool huge_1g_supported;
	uint64_t huge_2m_free;
	uint64_t huge_1g_free;
	uint64_t max_map_count;
	uint64_t lock_limit;
	uint64_t descriptor_limit;
	enum mr_driver_access driver;
	uint32_t reserved_too;
	uint64_t reserved[15];
};

/**
 * mr_features - find out what this kernel and these privileges allow
 * @ret_features: filled in
 *
 * Everything is tried anew at each call (a few dozen microseconds), since limits and privileges change.
 *
 * Return: 0; -EINVAL @ret_features is NULL.
 */
int mr_features(struct mr_features *ret_features);

#ifdef __cplusplus
}
#endif

#endif
