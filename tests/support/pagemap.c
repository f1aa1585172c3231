/* SPDX-License-Identifier: MIT */
/* What the kernel says of the pages of this process. */
#include "pagemap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kind.h"

#define PRESENT (UINT64_C(1) << 63)
#define FRAME	((UINT64_C(1) << 55) - 1)

static uint64_t entry_of(const void *address)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	if (fd < 0 ||
	    pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)address / page_size() * sizeof(entry))) != sizeof(entry))
		abort();
	close(fd);
	return entry;
}

bool page_is_present(const void *address)
{
	return entry_of(address) & PRESENT;
}

static long faults_of_thread(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage))
		abort();
	return usage.ru_minflt + usage.ru_majflt;
}

/* Of the driver's mappings the kernel does not tell: so it is whether reading them takes faults. */
static bool reading_takes_no_faults(const volatile char *address, uint64_t length)
{
	long before;

	faults_of_thread(); /* its own faults come before */
	before = faults_of_thread();
	for (uint64_t offset = 0; offset < length; offset += page_size())
		(void)address[offset];
	return faults_of_thread() == before;
}

bool pages_are_present(const void *address, uint64_t length)
{
	if (kind_space)
		return reading_takes_no_faults(address, length);
	for (uint64_t offset = 0; offset < length; offset += page_size())
		if (!page_is_present((const char *)address + offset))
			return false;
	return true;
}

uint64_t page_frame(const void *address)
{
	uint64_t entry = entry_of(address);

	return entry & PRESENT ? entry & FRAME : 0;
}
