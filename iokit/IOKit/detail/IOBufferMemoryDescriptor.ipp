/* SPDX-License-Identifier: MIT */
/* Buffers. Included by IOKit/IOBufferMemoryDescriptor.h. */
#ifndef MEMREDIRECT_IOKIT_DETAIL_IOBUFFERMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_DETAIL_IOBUFFERMEMORYDESCRIPTOR_H

/* --- how they are made --- */

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::inTaskWithOptions(task_t inTask, IOOptionBits options,
										   vm_size_t capacity, vm_offset_t alignment)
{
	return inTaskWithOptions(inTask, options, capacity, alignment, 0, 0);
}

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::inTaskWithOptions(task_t inTask, IOOptionBits options,
										   vm_size_t capacity, vm_offset_t alignment,
										   uint32_t kernTag, uint32_t userTag)
{
	IOBufferMemoryDescriptor *made = new IOBufferMemoryDescriptor;

	if (made && !made->initWithPhysicalMask(inTask, options, capacity, alignment, 0))
		OSSafeReleaseNULL(made);
	if (made)
		made->setVMTags(kernTag, userTag);
	return made;
}

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::inTaskWithPhysicalMask(task_t inTask, IOOptionBits options,
											mach_vm_size_t capacity,
											mach_vm_address_t physicalMask)
{
	IOBufferMemoryDescriptor *made = new IOBufferMemoryDescriptor;

	if (made && !made->initWithPhysicalMask(inTask, options, capacity, 1, physicalMask))
		OSSafeReleaseNULL(made);
	return made;
}

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::inTaskWithGuardPages(task_t inTask, IOOptionBits options,
										      mach_vm_size_t capacity)
{
	IOBufferMemoryDescriptor *made = new IOBufferMemoryDescriptor;

	if (made && (inTask != kernel_task || !made->initGuarded(options, capacity)))
		OSSafeReleaseNULL(made);
	return made;
}

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::withOptions(IOOptionBits options, vm_size_t capacity,
									     vm_offset_t alignment)
{
	return inTaskWithOptions(kernel_task, options, capacity, alignment);
}

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::withCapacity(vm_size_t capacity, IODirection withDirection,
									      bool withContiguousMemory)
{
	IOOptionBits sharing = withContiguousMemory ? kIOMemoryPhysicallyContiguous : kIOMemoryUnshared;

	return withOptions(withDirection | sharing, capacity);
}

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::withBytes(const void *bytes, vm_size_t withLength,
									   IODirection withDirection, bool withContiguousMemory)
{
	IOBufferMemoryDescriptor *made = withCapacity(withLength, withDirection, withContiguousMemory);

	if (made) {
		made->setLength(0);
		made->appendBytes(bytes, withLength);
	}
	return made;
}

inline OSPtr<IOBufferMemoryDescriptor> IOBufferMemoryDescriptor::withCopy(task_t inTask, IOOptionBits options,
									  vm_map_t sourceMap, mach_vm_address_t source,
									  mach_vm_size_t size)
{
	IOMemoryDescriptor *from = sourceMap ? withAddressRange(source, size, kIODirectionOut, sourceMap) : nullptr;
	IOBufferMemoryDescriptor *made = from ? inTaskWithOptions(inTask, options, size) : nullptr;
	mach_vm_address_t address;
	IOByteCount length;

	if (made &&
	    (!made->addresses(0, &address, &length) || from->readBytes(0, reinterpret_cast<void *>(address), size) != size))
		OSSafeReleaseNULL(made);
	OSSafeRelease(from);
	return made;
}

/* The memory: of one huge page, if it is to be contiguous and is more than a page. */
inline bool IOBufferMemoryDescriptor::make(IOOptionBits options, mach_vm_size_t capacity, mach_vm_address_t physicalMask)
{
	static constexpr uint64_t mib = 1 << 20;
	bool contiguous = options & (kIOMemoryPhysicallyContiguous | kIOMemoryHostPhysicallyContiguous) && capacity > page_size;
	int error;

	if (!contiguous)
		error = mr_memory_new_buffer(capacity, 0, &_memory);
	else if (capacity <= 2 * mib)
		error = mr_memory_new_buffer(2 * mib, MR_MEMORY_HUGE_2M, &_memory);
	else if (capacity <= 1024 * mib)
		error = mr_memory_new_buffer(1024 * mib, MR_MEMORY_HUGE_1G, &_memory);
	else
		error = -ENOMEM;
	return !error && obeys(physicalMask);
}

/* Whether all its pages are where the mask wants them. Addresses have 52 bits at most. */
inline bool IOBufferMemoryDescriptor::obeys(mach_vm_address_t physicalMask)
{
	static constexpr mach_vm_address_t all = (UINT64_C(1) << 52) - 1;
	uint64_t address, length;
	bool good = true;

	if (!physicalMask || (physicalMask & all) == all)
		return true;
	if (mr_memory_prepare(_memory))
		return false;
	for (uint64_t offset = 0; good && offset < _capacity; offset += length)
		good = !mr_memory_physical_segment(_memory, offset, &address, &length) &&
		       !((address | (address + length - 1)) & ~physicalMask);
	mr_memory_complete(_memory);
	return good;
}

/* Map it, for as long as it lives: unique, so that nobody else's map is this one. */
inline bool IOBufferMemoryDescriptor::place(IOOptionBits options, mach_vm_address_t alignment, uint64_t guard)
{
	IOOptionBits passed = kIOMapUnique | (options & (kIOMapPrefault | kIOMapCacheMask));
	int error;

	if (alignment <= page_size && !guard)
		return !mr_map_new(_memory, nullptr, nullptr, passed | MR_MAP_ANYWHERE, 0, _capacity, &_map);
	if (!_room.reserve(_capacity, 0, alignment, guard))
		return false;
	error = mr_map_new(_memory, nullptr, reinterpret_cast<void *>(_room.hole), passed | MR_MAP_OVERWRITE, 0, _capacity,
			   &_map);
	if (error)
		_room.giveBack();
	return !error;
}

inline bool IOBufferMemoryDescriptor::initWithPhysicalMask(task_t inTask, IOOptionBits options, mach_vm_size_t capacity,
							   mach_vm_address_t alignment, mach_vm_address_t physicalMask)
{
	if (_memory || !capacity || (inTask && inTask != kernel_task) || alignment & (alignment - 1))
		return false;
	_capacity = capacity;
	_length = capacity;
	_inTask = inTask;
	_flags = (options & kIOBufferDescriptorMemoryFlags) | kIOMemoryTypeVirtual64;
	if (options & kIOMemoryPageable)
		_flags |= kIOMemoryBufferPageable;
	if (options & kIOMemoryPurgeable)
		_purgeable = kIOMemoryPurgeableNonVolatile;
	return make(options, capacity, physicalMask) && (!inTask || place(options, alignment, 0));
}

inline bool IOBufferMemoryDescriptor::initGuarded(IOOptionBits options, mach_vm_size_t capacity)
{
	uint64_t sum;

	if (__builtin_add_overflow(capacity, page_mask, &sum) ||
	    options & (kIOMemoryPageable | kIOMemoryPhysicallyContiguous | kIOMemoryHostPhysicallyContiguous))
		return false;
	if (!initWithPhysicalMask(TASK_NULL, options, round_page_64(capacity), 1, 0))
		return false;
	_inTask = kernel_task;
	return place(options, page_size, page_size);
}

inline void IOBufferMemoryDescriptor::free()
{
	mr_map_unref(_map);
	_room.leave();
	IOGeneralMemoryDescriptor::free();
}

/* --- where its bytes are --- */

inline IOReturn IOBufferMemoryDescriptor::backing(struct mr_memory **ret_memory, uint64_t *ret_start)
{
	*ret_memory = mr_memory_ref(_memory);
	*ret_start = 0;
	return kIOReturnSuccess;
}

/* The buffer is its own. */
inline bool IOBufferMemoryDescriptor::setBacking(struct mr_memory *)
{
	return false;
}

/* A buffer that is in no task gets a mapping for this alone. */
inline bool IOBufferMemoryDescriptor::addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length)
{
	IOMemoryLocked locked(&_lock);

	if (offset >= _length || (!_map && !place(0, 1, 0)))
		return false;
	*ret_address = reinterpret_cast<mach_vm_address_t>(mr_map_address(_map)) + offset;
	*ret_length = _length - offset;
	return true;
}

inline bool IOBufferMemoryDescriptor::isInTask() const
{
	return _inTask != TASK_NULL;
}

/* --- what it is asked --- */

inline void IOBufferMemoryDescriptor::setLength(vm_size_t length)
{
	if (length <= _capacity)
		_length = length;
}

inline void IOBufferMemoryDescriptor::setDirection(IODirection direction)
{
	_flags = (_flags & ~IOOptionBits(kIOMemoryDirectionMask)) | (direction & kIOMemoryDirectionMask);
}

inline vm_size_t IOBufferMemoryDescriptor::getCapacity() const
{
	return _capacity;
}

inline void *IOBufferMemoryDescriptor::getBytesNoCopy()
{
	return _inTask ? mr_map_address(_map) : nullptr;
}

inline void *IOBufferMemoryDescriptor::getBytesNoCopy(vm_size_t start, vm_size_t withLength)
{
	if (!_inTask || start >= _length || withLength > _length - start)
		return nullptr;
	return static_cast<char *>(getBytesNoCopy()) + start;
}

inline bool IOBufferMemoryDescriptor::appendBytes(const void *bytes, vm_size_t withLength)
{
	IOByteCount before = _length, room = _capacity - before;

	withLength = withLength < room ? withLength : room;
	_length = before + withLength;
	writeBytes(before, bytes, withLength);
	return true;
}

inline IOReturn IOBufferMemoryDescriptor::setPurgeable(IOOptionBits newState, IOOptionBits *oldState)
{
	static constexpr IOOptionBits states = 0xf;
	IOOptionBits before = _purgeable, state = newState & states;
	mach_vm_address_t address;
	IOByteCount length;

	if (!before)
		return kIOReturnUnsupported;
	if (state < kIOMemoryPurgeableKeepCurrent || state > kIOMemoryPurgeableEmpty)
		return kIOReturnBadArgument;
	if (state == kIOMemoryPurgeableEmpty &&
	    (!addresses(0, &address, &length) ||
	     madvise(reinterpret_cast<void *>(address), round_page_64(_capacity), MADV_REMOVE)))
		return IOReturnFromErrno(errno);
	if (state != kIOMemoryPurgeableKeepCurrent)
		_purgeable = state;
	if (oldState)
		*oldState = before;
	return kIOReturnSuccess;
}

inline void IOBufferMemoryDescriptor::setVMTags(uint32_t kernelTag, uint32_t userTag)
{
	_kernelTag = kernelTag;
	_userTag = userTag;
}

inline uint32_t IOBufferMemoryDescriptor::getVMTag(vm_map_t map)
{
	return map == kernel_task ? _kernelTag : _userTag;
}

#endif
