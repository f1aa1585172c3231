/* SPDX-License-Identifier: MIT */
/*
 * Room in the address space for a map that shall begin at a certain alignment, or between guard pages.
 *
 *   base              hole                     hole + span                      base + length
 *    |  nobody's       |  the map is put here   |  nobody's                       |
 */
#ifndef MEMREDIRECT_IOKIT_IOMEMORYROOM_H
#define MEMREDIRECT_IOKIT_IOMEMORYROOM_H

#include <pthread.h>
#include <sys/mman.h>

#include <mach/vm_param.h>

/* And a lock that is held for as long as this object lives. */
class IOMemoryLocked
{
public:
	explicit IOMemoryLocked(pthread_mutex_t *mutex) : lock(mutex)
	{
		pthread_mutex_lock(lock);
	}
	~IOMemoryLocked()
	{
		pthread_mutex_unlock(lock);
	}
	IOMemoryLocked(const IOMemoryLocked &) = delete;
	IOMemoryLocked &operator=(const IOMemoryLocked &) = delete;

private:
	pthread_mutex_t *lock;
};

class IOMemoryRoom
{
public:
	/* A hole for @bytes that begin @inPage bytes into a multiple of @alignment, with @guard bytes free on both sides. */
	bool reserve(uint64_t bytes, uint64_t inPage, uint64_t alignment, uint64_t guard)
	{
		uint64_t slack = alignment > page_size ? alignment : 0, sum;
		void *got;

		if (__builtin_add_overflow(bytes, inPage + page_mask + slack + 2 * guard, &sum))
			return false;
		span = round_page_64(inPage + bytes);
		length = span + slack + 2 * guard;
		got = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (got == MAP_FAILED)
			return false;
		base = reinterpret_cast<uint64_t>(got);
		hole = base + guard;
		if (slack)
			hole += (alignment - hole % alignment) % alignment;
		return true;
	}

	/* The hole is not ours any more: what was put there has been taken away, and others may have been quicker. */
	void leave()
	{
		if (!base)
			return;
		if (hole > base)
			munmap(reinterpret_cast<void *>(base), hole - base);
		if (base + length > hole + span)
			munmap(reinterpret_cast<void *>(hole + span), base + length - hole - span);
		base = 0;
	}

	/* Nothing has been put into the hole. */
	void giveBack()
	{
		if (base)
			munmap(reinterpret_cast<void *>(base), length);
		base = 0;
	}

	uint64_t hole = 0;

private:
	uint64_t base = 0; /* 0: there is no room */
	uint64_t length = 0;
	uint64_t span = 0;
};

#endif
