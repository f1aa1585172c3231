/* SPDX-License-Identifier: MIT */
/* Several in a row. Included by IOKit/IOMultiMemoryDescriptor.h. */
#ifndef MEMREDIRECT_IOKIT_DETAIL_IOMULTIMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_DETAIL_IOMULTIMEMORYDESCRIPTOR_H

inline OSPtr<IOMultiMemoryDescriptor> IOMultiMemoryDescriptor::withDescriptors(IOMemoryDescriptor **descriptors,
									       UInt32 withCount, IODirection withDirection,
									       bool asReference)
{
	IOMultiMemoryDescriptor *made = new IOMultiMemoryDescriptor;

	if (made && !made->initWithDescriptors(descriptors, withCount, withDirection, asReference))
		OSSafeReleaseNULL(made);
	return made;
}

inline bool IOMultiMemoryDescriptor::initWithDescriptors(IOMemoryDescriptor **descriptors, UInt32 withCount,
							 IODirection withDirection, bool asReference)
{
	(void)asReference;
	if (_parts || !descriptors || !withCount)
		return false;
	_parts = static_cast<Part *>(calloc(withCount, sizeof(*_parts)));
	if (!_parts)
		return false;
	for (UInt32 i = 0; i < withCount; i++) {
		if (!descriptors[i] || __builtin_add_overflow(_length, descriptors[i]->getLength(), &_length))
			return false;
		descriptors[i]->retain();
		_parts[_partsCount++] = { descriptors[i], descriptors[i]->getLength() };
		if (!_tag)
			_tag = descriptors[i]->getTag();
	}
	_flags = withDirection;
	return true;
}

inline void IOMultiMemoryDescriptor::free()
{
	mr_memory_unref(_memory);
	for (UInt32 i = 0; i < _partsCount; i++)
		_parts[i].descriptor->release();
	::free(_parts);
	IOMemoryDescriptor::free();
}

/* The descriptor that has the byte at @offset, which becomes the offset in that one, and bytes from there; NULL: past the end. */
inline IOMemoryDescriptor *IOMultiMemoryDescriptor::partAt(IOByteCount *offset, IOByteCount *ret_length) const
{
	for (UInt32 i = 0; i < _partsCount; i++) {
		if (*offset < _parts[i].length) {
			*ret_length = _parts[i].length - *offset;
			return _parts[i].descriptor;
		}
		*offset -= _parts[i].length;
	}
	return nullptr;
}

inline bool IOMultiMemoryDescriptor::addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length)
{
	IOByteCount there, most;
	IOMemoryDescriptor *part = partAt(&offset, &most);

	if (!part || !part->addresses(offset, ret_address, &there))
		return false;
	*ret_length = there < most ? there : most;
	return true;
}

inline bool IOMultiMemoryDescriptor::isInTask() const
{
	for (UInt32 i = 0; i < _partsCount; i++)
		if (!_parts[i].descriptor->isInTask())
			return false;
	return true;
}

inline IOReturn IOMultiMemoryDescriptor::copiesOnWrite(bool *ret_copies)
{
	bool first = false;

	for (UInt32 i = 0; i < _partsCount; i++) {
		IOReturn error = _parts[i].descriptor->copiesOnWrite(ret_copies);

		if (error != kIOReturnSuccess)
			return error;
		if (!i)
			first = *ret_copies;
		if (*ret_copies != first)
			return kIOReturnUnsupported;
	}
	return kIOReturnSuccess;
}

inline IOReturn IOMultiMemoryDescriptor::partMemory(UInt32 index, struct mr_memory **ret_memory)
{
	struct mr_memory *memory;
	uint64_t start;
	IOReturn error = _parts[index].descriptor->backing(&memory, &start);

	if (error != kIOReturnSuccess)
		return error;
	error = IOReturnFromErrno(mr_memory_new_sub(memory, start, _parts[index].length, 0, ret_memory));
	mr_memory_unref(memory);
	return error;
}

/* With the lock. Parts of no length are left out. */
inline IOReturn IOMultiMemoryDescriptor::lookUp()
{
	struct mr_memory **memories;
	IOReturn error = kIOReturnSuccess;
	UInt32 count = 0;

	if (_memory)
		return kIOReturnSuccess;
	memories = static_cast<struct mr_memory **>(calloc(_partsCount, sizeof(*memories)));
	if (!memories)
		return kIOReturnNoMemory;
	for (UInt32 i = 0; error == kIOReturnSuccess && i < _partsCount; i++) {
		if (!_parts[i].length)
			continue;
		error = partMemory(i, &memories[count]);
		count += error == kIOReturnSuccess;
	}
	if (error == kIOReturnSuccess)
		error = IOReturnFromErrno(mr_memory_new_multi(memories, count, 0, &_memory));
	for (UInt32 i = 0; i < count; i++)
		mr_memory_unref(memories[i]);
	::free(memories);
	return error;
}

inline IOReturn IOMultiMemoryDescriptor::backing(struct mr_memory **ret_memory, uint64_t *ret_start)
{
	IOMemoryLocked locked(&_lock);
	IOReturn error = lookUp();

	if (error != kIOReturnSuccess)
		return error;
	*ret_memory = mr_memory_ref(_memory);
	*ret_start = 0;
	return kIOReturnSuccess;
}

inline IOByteCount IOMultiMemoryDescriptor::readBytes(IOByteCount offset, void *bytes, IOByteCount withLength)
{
	IOByteCount done = 0, copied = 1, most;

	while (done < withLength && copied) {
		IOByteCount at = offset + done;
		IOMemoryDescriptor *part = partAt(&at, &most);

		most = most < withLength - done ? most : withLength - done;
		copied = part ? part->readBytes(at, static_cast<char *>(bytes) + done, most) : 0;
		done += copied;
	}
	return done;
}

inline IOByteCount IOMultiMemoryDescriptor::writeBytes(IOByteCount offset, const void *bytes, IOByteCount withLength)
{
	IOByteCount done = 0, copied = 1, most;

	while (done < withLength && copied) {
		IOByteCount at = offset + done;
		IOMemoryDescriptor *part = partAt(&at, &most);

		most = most < withLength - done ? most : withLength - done;
		copied = part ? part->writeBytes(at, static_cast<const char *>(bytes) + done, most) : 0;
		done += copied;
	}
	return done;
}

inline IOReturn IOMultiMemoryDescriptor::prepare(IODirection forDirection)
{
	IOReturn error = kIOReturnSuccess;
	UInt32 done = 0;

	while (done < _partsCount && error == kIOReturnSuccess) {
		error = _parts[done].descriptor->prepare(forDirection);
		done += error == kIOReturnSuccess;
	}
	if (error != kIOReturnSuccess)
		while (done--)
			_parts[done].descriptor->complete(forDirection);
	return error;
}

inline IOReturn IOMultiMemoryDescriptor::complete(IODirection forDirection)
{
	IOReturn error = kIOReturnSuccess;

	for (UInt32 i = 0; i < _partsCount; i++) {
		IOReturn one = _parts[i].descriptor->complete(forDirection);

		error = one == kIOReturnSuccess ? error : one;
	}
	return error;
}

inline addr64_t IOMultiMemoryDescriptor::getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options)
{
	IOByteCount found = 0, most = 0;
	IOMemoryDescriptor *part = partAt(&offset, &most);
	addr64_t address = part ? part->getPhysicalSegment(offset, &found, options) : 0;

	if (length)
		*length = found < most ? found : most;
	return address;
}

/* Each preparation of a part is another number, and so each of all of them is. */
inline uint64_t IOMultiMemoryDescriptor::getPreparationID()
{
	uint64_t latest = kIOPreparationIDUnprepared;

	for (UInt32 i = 0; i < _partsCount; i++) {
		uint64_t one = _parts[i].descriptor->getPreparationID();

		if (one == kIOPreparationIDUnprepared || one == kIOPreparationIDUnsupported)
			return one;
		latest = one > latest ? one : latest;
	}
	return latest;
}

inline IOReturn IOMultiMemoryDescriptor::setPurgeable(IOOptionBits newState, IOOptionBits *oldState)
{
	IOOptionBits worst = kIOMemoryPurgeableNonVolatile, one;

	for (UInt32 i = 0; i < _partsCount; i++) {
		IOReturn error = _parts[i].descriptor->setPurgeable(newState, &one);

		if (error != kIOReturnSuccess)
			return error;
		worst = one > worst ? one : worst;
	}
	if (oldState)
		*oldState = worst;
	return kIOReturnSuccess;
}

#endif
