/* SPDX-License-Identifier: MIT */
/* Maps. Included by IOKit/IOMemoryDescriptor.h. */
#ifndef MEMREDIRECT_IOKIT_DETAIL_IOMEMORYMAP_H
#define MEMREDIRECT_IOKIT_DETAIL_IOMEMORYMAP_H

/* Whoever shares the pages, through a part of the memory for example, keeps them. */
inline void IOMemoryMap::free()
{
	if (fMemory.load())
		fMemory.load()->removeMapping(this);
	mr_map_unref(fMap);
	fRoom.leave();
	OSSafeRelease(fSuper);
	OSSafeRelease(fMemory.load());
	pthread_mutex_destroy(&fLock);
	OSObject::free();
}

/* With the lock of the descriptor. A map that lies inside another serves nobody: the other one does. */
inline bool IOMemoryMap::serves(const IOMemoryDescriptor::Request &request)
{
	static constexpr IOOptionBits mode = kIOMapReadOnly | kIOMapGuardedMask;
	IOVirtualAddress address = getVirtualAddress();

	if (!address || fAddressTask != request.task || (fOptions ^ request.options) & mode)
		return false;
	if (request.has(kIOMapCacheMask) && (fOptions ^ request.options) & kIOMapCacheMask)
		return false;
	if (request.offset < fOffset || request.offset - fOffset > fLength ||
	    request.length > fLength - (request.offset - fOffset))
		return false;
	return request.has(kIOMapAnywhere) || request.address == address + (request.offset - fOffset);
}

inline IOVirtualAddress IOMemoryMap::getVirtualAddress()
{
	IOVirtualAddress around;

	if (fGone)
		return 0;
	if (fMap)
		return reinterpret_cast<IOVirtualAddress>(mr_map_address(fMap));
	if (!fSuper)
		return fStanding;
	around = fSuper->getVirtualAddress();
	return around ? around + fStanding : 0;
}

inline mach_vm_address_t IOMemoryMap::getAddress()
{
	return getVirtualAddress();
}

inline IOByteCount IOMemoryMap::getLength()
{
	return fLength;
}

inline mach_vm_size_t IOMemoryMap::getSize()
{
	return getLength();
}

inline task_t IOMemoryMap::getAddressTask()
{
	return fAddressTask;
}

inline IOMemoryDescriptor *IOMemoryMap::getMemoryDescriptor()
{
	return fMemory;
}

inline IOOptionBits IOMemoryMap::getMapOptions()
{
	return fOptions;
}

inline IOPhysicalAddress IOMemoryMap::getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options)
{
	uint64_t address = 0, found = 0;

	if (offset < fLength && fMap) {
		if (mr_map_physical_segment(fMap, offset, &address, &found))
			address = found = 0;
	} else if (offset < fLength && getVirtualAddress()) {
		address = getMemoryDescriptor()->getPhysicalSegment(fOffset + offset, &found, options);
		found = found < fLength - offset ? found : fLength - offset;
	}
	if (length)
		*length = found;
	return address;
}

inline IOPhysicalAddress IOMemoryMap::getPhysicalAddress()
{
	return getPhysicalSegment(0, nullptr);
}

inline IOReturn IOMemoryMap::unmap()
{
	IOMemoryLocked locked(&fLock);
	int error = fMap && !fGone ? mr_map_unmap(fMap) : 0;

	if (error && error != -ENXIO)
		return IOReturnFromErrno(error);
	fGone = true;
	fRoom.leave();
	return kIOReturnSuccess;
}

inline void IOMemoryMap::taskDied()
{
	unmap();
	fAddressTask = nullptr;
}

/* With the lock. */
inline IOReturn IOMemoryMap::show(IOMemoryDescriptor *memory, IOOptionBits options, mach_vm_size_t offset)
{
	IOMemoryDescriptor::Request request = { fAddressTask, getVirtualAddress(), options, offset, fLength };
	uint64_t start, inPage = request.address & page_mask;
	struct mr_memory *shown;
	IOReturn error;
	int result;

	if (offset > memory->getLength() || fLength > memory->getLength() - offset)
		return kIOReturnBadArgument;
	if (!request.hasOrdinaryCache() && !(mr_map_options(fMap) & MR_MAP_DRIVER))
		return kIOReturnUnsupported;
	error = memory->memoryFor(request, inPage, &shown, &start);
	if (error != kIOReturnSuccess)
		return error;
	result = mr_map_redirect(fMap, shown, options, start);
	mr_memory_unref(shown);
	return result == -EINVAL ? kIOReturnNotAligned : IOReturnFromErrno(result);
}

inline IOReturn IOMemoryMap::redirect(IOMemoryDescriptor *newBackingMemory, IOOptionBits options, mach_vm_size_t offset)
{
	static constexpr IOOptionBits replaced = kIOMapReadOnly | kIOMapCacheMask;
	IOMemoryDescriptor *before = nullptr;
	IOReturn error;

	{
		IOMemoryLocked locked(&fLock);

		if (!(fOptions & kIOMapUnique))
			return kIOReturnNotPermitted;
		if (!getVirtualAddress())
			return kIOReturnNoDevice;
		if (!newBackingMemory)
			return IOReturnFromErrno(mr_map_redirect(fMap, nullptr, 0, 0));
		options &= replaced | kIOMapPrefault;
		error = show(newBackingMemory, options, offset);
		if (error == kIOReturnSuccess) {
			newBackingMemory->retain();
			before = fMemory.exchange(newBackingMemory);
			fOptions = (fOptions & ~replaced) | (options & replaced);
			fOffset = offset;
		}
	}
	OSSafeRelease(before);
	return error;
}

inline IOReturn IOMemoryMap::wireRange(uint32_t options, mach_vm_size_t offset, mach_vm_size_t length)
{
	mach_vm_address_t address = getVirtualAddress(), from = trunc_page_64(address + offset);
	int error;

	if (!address || offset > fLength || length > fLength - offset)
		return kIOReturnBadArgument;
	length = round_page_64(address + offset + length) - from;
	if (options & kIODirectionOutIn)
		error = mlock(reinterpret_cast<void *>(from), length);
	else
		error = munlock(reinterpret_cast<void *>(from), length);
	return error ? kIOReturnCannotWire : kIOReturnSuccess;
}

#endif
