/* SPDX-License-Identifier: MIT */
/* Ranges of this process, or of physical memory. Included by IOKit/IOMemoryDescriptor.h. */
#ifndef MEMREDIRECT_IOKIT_DETAIL_IOGENERALMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_DETAIL_IOGENERALMEMORYDESCRIPTOR_H

/* Numbers of preparations, from behind those that mean something else. */
inline std::atomic<uint64_t> IOMemoryPreparations{ kIOPreparationIDAlwaysPrepared };

inline bool IOGeneralMemoryDescriptor::initWithOptions(void *buffers, UInt32 count, UInt32 offset, task_t task,
						       IOOptionBits options, IOMapper *mapper)
{
	const IOAddressRange *ranges = static_cast<const IOAddressRange *>(buffers);
	IOOptionBits type = options & kIOMemoryTypeMask;
	IOByteCount sum = 0, end;

	(void)offset;
	(void)mapper;
	if (!ranges || !count || (type != kIOMemoryTypeVirtual && type != kIOMemoryTypePhysical))
		return false;
	if (_ranges || (type == kIOMemoryTypeVirtual && task != kernel_task)) /* it is not made a second time */
		return false;
	_ranges = static_cast<IOAddressRange *>(calloc(count, sizeof(*_ranges)));
	if (!_ranges)
		return false;
	for (UInt32 i = 0; i < count; i++) {
		IOAddressRange *last = _rangesCount ? &_ranges[_rangesCount - 1] : nullptr;

		if (__builtin_add_overflow(ranges[i].address, ranges[i].length + page_mask, &end) ||
		    ranges[i].length + page_mask < page_mask || __builtin_add_overflow(sum, ranges[i].length, &sum))
			return false;
		if (last && last->address + last->length == ranges[i].address && type == kIOMemoryTypeVirtual)
			last->length += ranges[i].length;
		else if (ranges[i].length)
			_ranges[_rangesCount++] = ranges[i];
	}
	_length = sum;
	_flags = options;
	return true;
}

inline void IOGeneralMemoryDescriptor::free()
{
	mr_memory_unref(_memory);
	::free(_ranges);
	IOMemoryDescriptor::free();
}

inline bool IOGeneralMemoryDescriptor::isPhysical() const
{
	return (_flags & kIOMemoryTypeMask) == kIOMemoryTypePhysical;
}

inline bool IOGeneralMemoryDescriptor::rangeAt(IOByteCount offset, mach_vm_address_t *ret_address,
					       IOByteCount *ret_length) const
{
	for (UInt32 i = 0; i < _rangesCount; i++) {
		if (offset < _ranges[i].length) {
			*ret_address = _ranges[i].address + offset;
			*ret_length = _ranges[i].length - offset;
			return true;
		}
		offset -= _ranges[i].length;
	}
	return false;
}

inline bool IOGeneralMemoryDescriptor::addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length)
{
	return !isPhysical() && rangeAt(offset, ret_address, ret_length);
}

/* The driver's, in whole pages; kIOReturnUnsupported where it is not there, or not for this user. With the lock. */
inline IOReturn IOGeneralMemoryDescriptor::lookUpPhysical(struct mr_range *ranges)
{
	int error;

	for (UInt32 i = 0; i < _rangesCount; i++) {
		uint64_t start = i ? ranges[i].address : trunc_page_64(ranges[i].address);
		uint64_t end = ranges[i].address + ranges[i].length;

		if (i + 1 == _rangesCount)
			end = round_page_64(end);
		ranges[i] = { start, end - start };
	}
	error = mr_memory_new_physical(ranges, _rangesCount, 0, &_memory);
	_lead = _ranges[0].address & page_mask;
	return error == -EPERM ? kIOReturnUnsupported : IOReturnFromErrno(error);
}

/* Find the memory at the ranges. With the lock. */
inline IOReturn IOGeneralMemoryDescriptor::lookUp()
{
	struct mr_range *ranges;
	int error;

	if (_memory)
		return kIOReturnSuccess;
	if (!_rangesCount)
		return kIOReturnBadArgument;
	ranges = static_cast<struct mr_range *>(calloc(_rangesCount, sizeof(*ranges)));
	if (!ranges)
		return kIOReturnNoMemory;
	for (UInt32 i = 0; i < _rangesCount; i++)
		ranges[i] = { _ranges[i].address, _ranges[i].length };
	if (isPhysical()) {
		IOReturn result = lookUpPhysical(ranges);

		::free(ranges);
		return result;
	}
	error = mr_memory_new_ranges(nullptr, ranges, _rangesCount, 0, &_memory);
	if (error == -EACCES)
		error = mr_memory_new_ranges(nullptr, ranges, _rangesCount, MR_MEMORY_READ_ONLY, &_memory);
	::free(ranges);
	return IOReturnFromErrno(error);
}

inline IOReturn IOGeneralMemoryDescriptor::backing(struct mr_memory **ret_memory, uint64_t *ret_start)
{
	IOMemoryLocked locked(&_lock);
	IOReturn error = lookUp();

	if (error != kIOReturnSuccess)
		return error;
	*ret_memory = mr_memory_ref(_memory);
	*ret_start = _lead;
	return kIOReturnSuccess;
}

inline bool IOGeneralMemoryDescriptor::setBacking(struct mr_memory *memory)
{
	struct mr_memory *before;

	{
		IOMemoryLocked locked(&_lock);

		if (_wireCount || isPhysical())
			return false;
		before = _memory;
		_memory = memory;
	}
	mr_memory_unref(before);
	return true;
}

inline IOReturn IOGeneralMemoryDescriptor::prepare(IODirection forDirection)
{
	IOMemoryLocked locked(&_lock);
	IOReturn error;
	int result;

	(void)forDirection;
	if (isPhysical())
		return kIOReturnSuccess;
	error = _length ? lookUp() : kIOReturnSuccess;
	if (error != kIOReturnSuccess)
		return error;
	result = _memory ? mr_memory_prepare(_memory) : 0;
	if (result)
		return result == -EPERM || result == -ENOMEM ? kIOReturnCannotWire : IOReturnFromErrno(result);
	if (!_wireCount++)
		_preparationID = ++IOMemoryPreparations;
	return kIOReturnSuccess;
}

inline IOReturn IOGeneralMemoryDescriptor::complete(IODirection forDirection)
{
	IOMemoryLocked locked(&_lock);

	(void)forDirection;
	if (isPhysical())
		return kIOReturnSuccess;
	if (!_wireCount)
		return kIOReturnNotReady;
	if (!--_wireCount)
		_preparationID = kIOPreparationIDUnprepared;
	return _memory ? IOReturnFromErrno(mr_memory_complete(_memory)) : kIOReturnSuccess;
}

inline uint64_t IOGeneralMemoryDescriptor::getPreparationID()
{
	IOMemoryLocked locked(&_lock);

	return isPhysical() ? static_cast<uint64_t>(kIOPreparationIDAlwaysPrepared) : _preparationID;
}

inline addr64_t IOGeneralMemoryDescriptor::getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options)
{
	uint64_t address = 0, found = 0, start;
	struct mr_memory *memory;

	(void)options;
	if (offset < _length && isPhysical()) {
		rangeAt(offset, &address, &found);
	} else if (offset < _length && backing(&memory, &start) == kIOReturnSuccess) {
		if (mr_memory_physical_segment(memory, start + offset, &address, &found))
			address = found = 0;
		mr_memory_unref(memory);
		found = found < _length - offset ? found : _length - offset;
	}
	if (length)
		*length = found;
	return address;
}

#endif
