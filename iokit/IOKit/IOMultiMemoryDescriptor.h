/* SPDX-License-Identifier: MIT */
/* IOMultiMemoryDescriptor: several descriptors in a row, as one. */
#ifndef MEMREDIRECT_IOKIT_IOMULTIMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_IOMULTIMEMORYDESCRIPTOR_H

#include <IOKit/IOMemoryDescriptor.h>

#define IOMULTIMEMORYDESCRIPTOR_SUPPORTS_GETPAGECOUNTS 1

class IOMultiMemoryDescriptor : public IOMemoryDescriptor
{
public:
	/**
	 * withDescriptors - describe the memory of several descriptors, end to end
	 * @descriptors: @withCount, in order; each is retained, and the array is copied
	 * @withDirection: of transfers; it should be theirs
	 *
	 * Lengths are those of now. To be mapped, each but the last has to end, and each but the first to begin, at a page.
	 *
	 * Return: a descriptor to be released; NULL: none is given, or the lengths add up to too much.
	 */
	static OSPtr<IOMultiMemoryDescriptor> withDescriptors(IOMemoryDescriptor **descriptors, UInt32 withCount,
							      IODirection withDirection, bool asReference = false);

	virtual bool initWithDescriptors(IOMemoryDescriptor **descriptors, UInt32 withCount, IODirection withDirection,
					 bool asReference = false);

	IOByteCount readBytes(IOByteCount offset, void *bytes, IOByteCount withLength) override;
	IOByteCount writeBytes(IOByteCount offset, const void *bytes, IOByteCount withLength) override;

	/** prepare - all of them, or none */
	IOReturn prepare(IODirection forDirection = kIODirectionNone) override;
	IOReturn complete(IODirection forDirection = kIODirectionNone) override;
	addr64_t getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options = 0) override;
	uint64_t getPreparationID() override;

	/** setPurgeable - of all; @oldState: that of the one that has lost most */
	IOReturn setPurgeable(IOOptionBits newState, IOOptionBits *oldState) override;

protected:
	void free() override;
	IOReturn backing(struct mr_memory **ret_memory, uint64_t *ret_start) override;
	bool addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length) override;
	bool isInTask() const override;
	IOReturn copiesOnWrite(bool *ret_copies) override;

private:
	IOMemoryDescriptor *partAt(IOByteCount *offset, IOByteCount *ret_length) const;
	IOReturn partMemory(UInt32 index, struct mr_memory **ret_memory);
	IOReturn lookUp();

	struct Part {
		IOMemoryDescriptor *descriptor;
		IOByteCount length;
	};
	Part *_parts = nullptr;
	UInt32 _partsCount = 0;
	struct mr_memory *_memory = nullptr; /* under _lock */
};

#include <IOKit/detail/IOMultiMemoryDescriptor.ipp>

#endif
