/* SPDX-License-Identifier: MIT */
/*
 * IOBufferMemoryDescriptor: a descriptor of a buffer of its own.
 *
 * The buffer is shared memory (mr_memory_new_buffer), zeroed, of `capacity` bytes, of which the first `length` are described. In a
 * task, it is mapped there for as long as the descriptor lives; getBytesNoCopy tells where.
 */
#ifndef MEMREDIRECT_IOKIT_IOBUFFERMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_IOBUFFERMEMORYDESCRIPTOR_H

#include <IOKit/IOMemoryDescriptor.h>

inline constexpr IOOptionBits kIOMemoryPhysicallyContiguous = 0x00000010;
inline constexpr IOOptionBits kIOMemoryPageable = 0x00000020;
inline constexpr IOOptionBits kIOMemoryPurgeable = 0x00000040;
inline constexpr IOOptionBits kIOMemoryHostPhysicallyContiguous = 0x00000080;
inline constexpr IOOptionBits kIOMemorySharingTypeMask = 0x000f0000;
inline constexpr IOOptionBits kIOMemoryUnshared = 0x00000000;
inline constexpr IOOptionBits kIOMemoryKernelUserShared = 0x00010000;
/* those that are noted with the descriptor */
inline constexpr IOOptionBits kIOBufferDescriptorMemoryFlags =
	kIOMemoryDirectionMask | kIOMemoryThreadSafe | kIOMemoryClearEncrypt | kIOMemoryMapperNone | kIOMemoryUseReserve;

#define _IOBUFFERMEMORYDESCRIPTOR_INTASKWITHOPTIONS_		 1
#define _IOBUFFERMEMORYDESCRIPTOR_HOSTPHYSICALLYCONTIGUOUS_	 1
#define IOBUFFERMEMORYDESCRIPTOR_SUPPORTS_INTASKWITHOPTIONS_TAGS 1

class IOBufferMemoryDescriptor : public IOGeneralMemoryDescriptor
{
public:
	/**
	 * inTaskWithOptions - a buffer, mapped in a task
	 * @inTask: this process; TASK_NULL: it is mapped nowhere
	 * @options: a direction; kIOMapPrefault; kIOMemoryPurgeable; kIOMemory(Host)PhysicallyContiguous, for which it is made of
	 * a huge page, if there is one that is large enough; a cache mode (default and copyback alone); others mean nothing here
	 * @capacity: bytes, at least one
	 * @alignment: of the address, a power of two
	 *
	 * Return: a descriptor to be released, whose length is @capacity; NULL: it cannot be, and mr_error() says why.
	 */
	static OSPtr<IOBufferMemoryDescriptor> inTaskWithOptions(task_t inTask, IOOptionBits options, vm_size_t capacity,
								 vm_offset_t alignment = 1);

	/** inTaskWithOptions - the tags are for the owner: see getVMTag */
	static OSPtr<IOBufferMemoryDescriptor> inTaskWithOptions(task_t inTask, IOOptionBits options, vm_size_t capacity,
								 vm_offset_t alignment, uint32_t kernTag, uint32_t userTag);

	/**
	 * inTaskWithPhysicalMask - a buffer whose physical addresses have no bit that is not in @physicalMask
	 *
	 * Return: NULL if the system gave other pages, or hides their addresses.
	 */
	static OSPtr<IOBufferMemoryDescriptor> inTaskWithPhysicalMask(task_t inTask, IOOptionBits options,
								      mach_vm_size_t capacity, mach_vm_address_t physicalMask);

	/** inTaskWithGuardPages - a buffer of whole pages, between two pages that nobody may access */
	static OSPtr<IOBufferMemoryDescriptor> inTaskWithGuardPages(task_t inTask, IOOptionBits options,
								    mach_vm_size_t capacity);

	/** withOptions - a buffer in this process */
	static OSPtr<IOBufferMemoryDescriptor> withOptions(IOOptionBits options, vm_size_t capacity, vm_offset_t alignment = 1);

	/** withCapacity - a buffer in this process */
	static OSPtr<IOBufferMemoryDescriptor> withCapacity(vm_size_t capacity, IODirection withDirection,
							    bool withContiguousMemory = false);

	/** withBytes - a buffer in this process, with a copy of @bytes */
	static OSPtr<IOBufferMemoryDescriptor> withBytes(const void *bytes, vm_size_t withLength, IODirection withDirection,
							 bool withContiguousMemory = false);

	/** withCopy - a buffer with a copy of what is at @source in this process */
	static OSPtr<IOBufferMemoryDescriptor> withCopy(task_t inTask, IOOptionBits options, vm_map_t sourceMap,
							mach_vm_address_t source, mach_vm_size_t size);

	virtual bool initWithPhysicalMask(task_t inTask, IOOptionBits options, mach_vm_size_t capacity,
					  mach_vm_address_t alignment, mach_vm_address_t physicalMask);

	/** setLength - describe the first @length bytes, at most the capacity; maps that exist keep their lengths */
	virtual void setLength(vm_size_t length);

	virtual void setDirection(IODirection direction);

	/** getCapacity - bytes of the buffer */
	virtual vm_size_t getCapacity() const;

	/** getBytesNoCopy - where the buffer is mapped; NULL: nowhere, or [start, start + withLength) is not within the length */
	virtual void *getBytesNoCopy();
	virtual void *getBytesNoCopy(vm_size_t start, vm_size_t withLength);

	/** appendBytes - add bytes behind the length, as many as there is room for, and lengthen it by them. Return: true */
	virtual bool appendBytes(const void *bytes, vm_size_t withLength);

	/**
	 * setPurgeable - whether the bytes may be lost; of buffers with kIOMemoryPurgeable
	 * @newState: kIOMemoryPurgeable…; volatile memory is kept, since nothing forces the system to lose it; empty loses it now
	 * @oldState: if not NULL, how it was
	 */
	IOReturn setPurgeable(IOOptionBits newState, IOOptionBits *oldState) override;

	/** setVMTags, getVMTag - a number of the owner's for its memory in the kernel, which is this process, too */
	void setVMTags(uint32_t kernelTag, uint32_t userTag);
	uint32_t getVMTag(vm_map_t map);

protected:
	void free() override;
	IOReturn backing(struct mr_memory **ret_memory, uint64_t *ret_start) override;
	bool setBacking(struct mr_memory *memory) override;
	bool addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length) override;
	bool isInTask() const override;

private:
	bool make(IOOptionBits options, mach_vm_size_t capacity, mach_vm_address_t physicalMask);
	bool place(IOOptionBits options, mach_vm_address_t alignment, uint64_t guard);
	bool obeys(mach_vm_address_t physicalMask);
	bool initGuarded(IOOptionBits options, mach_vm_size_t capacity);

	vm_size_t _capacity = 0;
	task_t _inTask = TASK_NULL;
	struct mr_map *_map = nullptr; /* under _lock while it may still be made */
	IOMemoryRoom _room;
	IOOptionBits _purgeable = 0; /* its state; 0: it cannot be changed */
	uint32_t _kernelTag = 0;
	uint32_t _userTag = 0;
};

#include <IOKit/detail/IOBufferMemoryDescriptor.ipp>

#endif
