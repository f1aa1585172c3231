/* SPDX-License-Identifier: MIT */
/* What this kernel and these privileges allow, found out by trying. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "channel.h"
#include "error.h"
#include "fault/service.h"
#include "physical.h"
#include "public.h"
#include "sys/sys.h"

/* A number in a file of /proc or /sys; false if there is none. */
static bool read_number(const char *path, uint64_t *ret_number)
{
	char text[32];
	ssize_t got;
	int fd = sys_open(path, O_RDONLY);

	if (fd < 0)
		return false;
	got = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	*ret_number = strtoull(text, NULL, 10);
	return true;
}

/* The kernel tells which features it knows when it is asked for none; the descriptor is used up by that. */
static void find_faults(struct mr_features *features)
{
	uint64_t bits = 0;
	int uffd = service_open_userfaultfd(&features->fault_access);

	if (uffd < 0)
		return;
	if (sys_uffd_api(uffd, 0, &bits))
		bits = 0;
	sys_close(uffd);
	features->event_remap = bits & UFFD_FEATURE_EVENT_REMAP;
	features->minor_shmem = bits & UFFD_FEATURE_MINOR_SHMEM;
	features->minor_hugetlbfs = bits & UFFD_FEATURE_MINOR_HUGETLBFS;
	features->wp_unpopulated = bits & UFFD_FEATURE_WP_UNPOPULATED;
	features->wp_async = bits & UFFD_FEATURE_WP_ASYNC;
	features->uffd_move = bits & UFFD_FEATURE_MOVE;
	features->blocking = features->event_remap && bits & UFFD_FEATURE_THREAD_ID;
	features->kernel_faults = features->blocking && features->fault_access != MR_FAULT_ACCESS_USER_ONLY;
}

static void find_huge_pages(const char *folder, bool *ret_supported, uint64_t *ret_free)
{
	char path[128];
	uint64_t free_pages = 0, reserved = 0;

	strcpy(path, folder);
	strcat(path, "/free_hugepages");
	*ret_supported = read_number(path, &free_pages);
	strcpy(path, folder);
	strcat(path, "/resv_hugepages");
	read_number(path, &reserved);
	*ret_free = free_pages > reserved ? free_pages - reserved : 0;
}

static uint64_t limit_of(int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

int mr_features(struct mr_features *ret_features)
{
	struct mr_features features = { .page_size = sys_page_size() };

	error_call(__func__);
	if (!ret_features)
		return fail(-EINVAL, "ret_features is NULL; it must point to where the features are to be put");
	find_faults(&features);
	features.driver = channel_access();
	features.frame_numbers = physical_is_shown();
	find_huge_pages("/sys/kernel/mm/hugepages/hugepages-2048kB", &features.huge_2m_supported, &features.huge_2m_free);
	find_huge_pages("/sys/kernel/mm/hugepages/hugepages-1048576kB", &features.huge_1g_supported, &features.huge_1g_free);
	read_number("/proc/sys/vm/max_map_count", &features.max_map_count);
	features.lock_limit = limit_of(RLIMIT_MEMLOCK);
	features.descriptor_limit = limit_of(RLIMIT_NOFILE);
	*ret_features = features;
	return 0;
}
