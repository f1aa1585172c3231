/* SPDX-License-Identifier: MIT */
/* How many pages of a range are in memory, as the kernel tells it. */
#ifndef MEMREDIRECT_IOKIT_IOMEMORYPAGES_H
#define MEMREDIRECT_IOKIT_IOMEMORYPAGES_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <IOKit/IOTypes.h>
#include <mach/vm_param.h>

class IOMemoryPages
{
public:
	explicit IOMemoryPages(bool dirtyToo) : withDirty(dirtyToo)
	{
	}

	/* Add those of [address, address + length). */
	IOReturn count(mach_vm_address_t address, IOByteCount length)
	{
		mach_vm_address_t end = round_page_64(address + length);
		unsigned char there[256];
		IOByteCount found = 0;

		if (withDirty && isOfFile(address, end))
			return kIOReturnUnsupported;
		for (mach_vm_address_t at = trunc_page_64(address); at < end; at += sizeof(there) * page_size) {
			uint64_t pages = atop(end - at) < sizeof(there) ? atop(end - at) : sizeof(there);

			if (mincore(reinterpret_cast<void *>(at), ptoa(pages), there))
				return IOReturnFromErrno(errno == ENOMEM ? EFAULT : errno);
			for (uint64_t i = 0; i < pages; i++)
				found += there[i] & 1;
		}
		resident += found;
		dirty += found; /* what has no file is written nowhere else */
		return kIOReturnSuccess;
	}

	IOByteCount resident = 0;
	IOByteCount dirty = 0;

private:
	/* Whether a file that is on some disk is mapped in the range. */
	static bool isOfFile(mach_vm_address_t address, mach_vm_address_t end)
	{
		FILE *maps = fopen("/proc/self/maps", "re");
		bool found = !maps;
		char line[512];

		while (maps && !found && fgets(line, sizeof(line), maps)) {
			uint64_t from, to, inode = 0;
			int path = 0;

			if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %" SCNu64 " %n", &from, &to, &inode, &path) < 3)
				continue;
			found = from < end && to > address && inode && !isOfNoDisk(line + path);
		}
		if (maps)
			fclose(maps);
		return found;
	}

	static bool isOfNoDisk(const char *path)
	{
		static const char *const names[] = { "/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage", "/dev/shm/" };

		for (const char *name : names)
			if (!strncmp(path, name, strlen(name)))
				return true;
		return false;
	}

	bool withDirty;
};

#endif
