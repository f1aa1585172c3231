/* SPDX-License-Identifier: MIT */
/*
 * Memory as drivers allocate it, and their log.
 *
 * Allocations of a page or more are shared memory, which descriptors can map a second time (as with all memory of IOKit); a
 * fork's child shares them. Smaller ones are malloc's. Both are freed by their size.
 */
#ifndef MEMREDIRECT_IOKIT_IOLIB_H
#define MEMREDIRECT_IOKIT_IOLIB_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <IOKit/IOTypes.h>
#include <mach/vm_param.h>

/** IOMallocAligned - zeroed memory at a multiple of @alignment, a power of two; NULL if there is none */
inline void *IOMallocAligned(vm_size_t size, vm_offset_t alignment)
{
	void *memory = nullptr;

	if (size >= page_size && alignment <= page_size) {
		memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		return memory == MAP_FAILED ? nullptr : memory;
	}
	if (size >= page_size) /* what begins elsewhere could not be freed by its size */
		return nullptr;
	if (posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size))
		return nullptr;
	return memset(memory, 0, size);
}

/** IOFreeAligned - free what IOMallocAligned(@size) returned */
inline void IOFreeAligned(void *address, vm_size_t size)
{
	if (address && size >= page_size)
		munmap(address, size);
	else
		free(address);
}

inline void *IOMalloc(vm_size_t size)
{
	return IOMallocAligned(size, sizeof(void *) * 2);
}

inline void *IOMallocZero(vm_size_t size)
{
	return IOMalloc(size);
}

inline void IOFree(void *address, vm_size_t size)
{
	IOFreeAligned(address, size);
}

#define IONew(type, count)	       ((type *)IOMalloc(sizeof(type) * (count)))
#define IODelete(address, type, count) IOFree((address), sizeof(type) * (count))

/** IOLog - print to standard error, as printf does */
__attribute__((format(printf, 1, 2))) inline void IOLog(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
}

/** IOSleep - wait for so many milliseconds */
inline void IOSleep(unsigned milliseconds)
{
	struct timespec left = { static_cast<time_t>(milliseconds / 1000), static_cast<long>(milliseconds % 1000) * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

#endif
