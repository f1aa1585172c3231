/* SPDX-License-Identifier: MIT */
/*
 * OSObject: what all objects of IOKit are. An object is made with one reference, which is its maker's; the last release frees it.
 * References may be taken and dropped by any thread.
 */
#ifndef MEMREDIRECT_IOKIT_OSOBJECT_H
#define MEMREDIRECT_IOKIT_OSOBJECT_H

#include <stdlib.h>

#include <atomic>
#include <new>

#include <libkern/OSTypes.h>

/* The object as @type, or NULL if it is not one. */
#define OSDynamicCast(type, object) dynamic_cast<type *>(object)

#define OSSafeRelease(object)                                                                                                  \
	do {                                                                                                                   \
		if (object)                                                                                                    \
			(object)->release();                                                                                   \
	} while (0)

#define OSSafeReleaseNULL(object)                                                                                              \
	do {                                                                                                                   \
		OSSafeRelease(object);                                                                                         \
		(object) = nullptr;                                                                                            \
	} while (0)

class OSObject
{
public:
	/** retain - add a reference */
	virtual void retain() const
	{
		references.fetch_add(1, std::memory_order_relaxed);
	}

	/** release - drop a reference; the last one frees the object */
	virtual void release() const
	{
		if (references.fetch_sub(1, std::memory_order_acq_rel) == 1)
			const_cast<OSObject *>(this)->free();
	}

	/** getRetainCount - how many references there are now */
	virtual int getRetainCount() const
	{
		return references.load(std::memory_order_relaxed);
	}

	/** init - what follows the making of an object. Return: whether it can be used */
	virtual bool init()
	{
		return true;
	}

	OSObject(const OSObject &) = delete;
	OSObject &operator=(const OSObject &) = delete;

	/* Objects begin as zeroes; without memory, new returns NULL. */
	static void *operator new(size_t size) noexcept
	{
		return calloc(1, size);
	}

	static void operator delete(void *object)
	{
		::free(object);
	}

protected:
	OSObject() = default;
	virtual ~OSObject() = default;

	/* The last reference is gone. Who overrides it, ends with that of the class above. */
	virtual void free()
	{
		delete this;
	}

	/* A reference, unless the last one is just being dropped. */
	bool retainIfAlive() const
	{
		int now = references.load(std::memory_order_relaxed);

		while (now && !references.compare_exchange_weak(now, now + 1))
			;
		return now != 0;
	}

private:
	mutable std::atomic<int> references{ 1 };
};

#endif
