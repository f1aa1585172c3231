/* SPDX-License-Identifier: MIT */
/* IOSubMemoryDescriptor: a part of another descriptor's memory. */
#ifndef MEMREDIRECT_IOKIT_IOSUBMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_IOSUBMEMORYDESCRIPTOR_H

#include <IOKit/IOMemoryDescriptor.h>

class IOSubMemoryDescriptor : public IOMemoryDescriptor
{
public:
	/**
	 * withSubRange - describe a part
	 * @of: the whole; retained
	 * @offset: where the part begins in it
	 * @length: bytes; may be 0
	 * @options: a direction
	 *
	 * Return: a descriptor to be released; NULL: it would go past the end of @of.
	 */
	static OSPtr<IOSubMemoryDescriptor> withSubRange(IOMemoryDescriptor *of, IOByteCount offset, IOByteCount length,
							 IOOptionBits options);

	/** initSubRange - describe another part, or one of another descriptor; maps that exist are not affected */
	virtual bool initSubRange(IOMemoryDescriptor *parent, IOByteCount offset, IOByteCount length,
				  IODirection withDirection);

	IOByteCount readBytes(IOByteCount offset, void *bytes, IOByteCount withLength) override;
	IOByteCount writeBytes(IOByteCount offset, const void *bytes, IOByteCount withLength) override;
	IOReturn prepare(IODirection forDirection = kIODirectionNone) override;
	IOReturn complete(IODirection forDirection = kIODirectionNone) override;
	addr64_t getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options = 0) override;
	uint64_t getPreparationID() override;
	IOReturn setPurgeable(IOOptionBits newState, IOOptionBits *oldState) override;

protected:
	void free() override;
	IOReturn backing(struct mr_memory **ret_memory, uint64_t *ret_start) override;
	bool addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length) override;
	bool isInTask() const override;
	IOReturn copiesOnWrite(bool *ret_copies) override;

private:
	IOMemoryDescriptor *_parent = nullptr;
	IOByteCount _start = 0;
};

inline OSPtr<IOSubMemoryDescriptor> IOSubMemoryDescriptor::withSubRange(IOMemoryDescriptor *of, IOByteCount offset,
									IOByteCount length, IOOptionBits options)
{
	IOSubMemoryDescriptor *made = of ? new IOSubMemoryDescriptor : nullptr;

	if (made && !made->initSubRange(of, offset, length, options & kIOMemoryDirectionMask))
		OSSafeReleaseNULL(made);
	return made;
}

inline bool IOSubMemoryDescriptor::initSubRange(IOMemoryDescriptor *parent, IOByteCount offset, IOByteCount length,
						IODirection withDirection)
{
	if (!parent || offset > parent->getLength() || length > parent->getLength() - offset)
		return false;
	parent->retain();
	OSSafeRelease(_parent);
	_parent = parent;
	_start = offset;
	_length = length;
	_tag = parent->getTag();
	_flags = withDirection | kIOMemoryThreadSafe;
	return true;
}

inline void IOSubMemoryDescriptor::free()
{
	OSSafeRelease(_parent);
	IOMemoryDescriptor::free();
}

inline IOByteCount IOSubMemoryDescriptor::readBytes(IOByteCount offset, void *bytes, IOByteCount withLength)
{
	IOByteCount most = offset < _length ? _length - offset : 0;

	return _parent->readBytes(_start + offset, bytes, withLength < most ? withLength : most);
}

inline IOByteCount IOSubMemoryDescriptor::writeBytes(IOByteCount offset, const void *bytes, IOByteCount withLength)
{
	IOByteCount most = offset < _length ? _length - offset : 0;

	return _parent->writeBytes(_start + offset, bytes, withLength < most ? withLength : most);
}

inline IOReturn IOSubMemoryDescriptor::prepare(IODirection forDirection)
{
	return _parent->prepare(forDirection);
}

inline IOReturn IOSubMemoryDescriptor::complete(IODirection forDirection)
{
	return _parent->complete(forDirection);
}

inline uint64_t IOSubMemoryDescriptor::getPreparationID()
{
	return _parent->getPreparationID();
}

inline IOReturn IOSubMemoryDescriptor::setPurgeable(IOOptionBits newState, IOOptionBits *oldState)
{
	return _parent->setPurgeable(newState, oldState);
}

inline addr64_t IOSubMemoryDescriptor::getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options)
{
	IOByteCount found = 0;
	addr64_t address = offset < _length ? _parent->getPhysicalSegment(_start + offset, &found, options) : 0;

	if (length)
		*length = offset < _length && found > _length - offset ? _length - offset : found;
	return address;
}

inline IOReturn IOSubMemoryDescriptor::backing(struct mr_memory **ret_memory, uint64_t *ret_start)
{
	IOReturn error = _parent->backing(ret_memory, ret_start);

	if (error == kIOReturnSuccess)
		*ret_start += _start;
	return error;
}

inline bool IOSubMemoryDescriptor::addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length)
{
	if (offset >= _length || !_parent->addresses(_start + offset, ret_address, ret_length))
		return false;
	*ret_length = *ret_length < _length - offset ? *ret_length : _length - offset;
	return true;
}

inline bool IOSubMemoryDescriptor::isInTask() const
{
	return _parent->isInTask();
}

inline IOReturn IOSubMemoryDescriptor::copiesOnWrite(bool *ret_copies)
{
	return _parent->copiesOnWrite(ret_copies);
}

#endif
