/* SPDX-License-Identifier: MIT */
/* What all descriptors do. Included by IOKit/IOMemoryDescriptor.h. */
#ifndef MEMREDIRECT_IOKIT_DETAIL_IOMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_DETAIL_IOMEMORYDESCRIPTOR_H

#include <IOKit/detail/IOMemoryPages.h>

/* What is asked of createMappingInTask. */
struct IOMemoryDescriptor::Request {
	task_t task;
	mach_vm_address_t address;
	IOOptionBits options;
	mach_vm_size_t offset;
	mach_vm_size_t length;

	bool has(IOOptionBits option) const
	{
		return (options & option) != 0;
	}

	bool hasOrdinaryCache() const
	{
		IOOptionBits mode = options & kIOMapCacheMask;

		return mode == kIOMapDefaultCache || mode == kIOMapCopybackCache;
	}
};

/* Nobody maps there, privileged or not: NULL pointers are to be caught. */
static constexpr mach_vm_address_t kIOMemoryLowest = 0x10000;
static constexpr uint64_t kIOMemoryGuardLarge = 0x10000;

/* --- how they are made --- */

inline OSPtr<IOMemoryDescriptor> IOMemoryDescriptor::withOptions(void *buffers, UInt32 count, UInt32 offset, task_t task,
								 IOOptionBits options, IOMapper *mapper)
{
	IOGeneralMemoryDescriptor *made = new IOGeneralMemoryDescriptor;

	if (made && !made->initWithOptions(buffers, count, offset, task, options, mapper))
		OSSafeReleaseNULL(made);
	return made;
}

inline OSPtr<IOMemoryDescriptor> IOMemoryDescriptor::withAddressRanges(IOAddressRange *ranges, UInt32 rangeCount,
								       IOOptionBits options, task_t task)
{
	options &= ~kIOMemoryTypeMask;
	return withOptions(ranges, rangeCount, 0, task, options | (task ? kIOMemoryTypeVirtual64 : kIOMemoryTypePhysical64));
}

inline OSPtr<IOMemoryDescriptor> IOMemoryDescriptor::withAddressRange(mach_vm_address_t address, mach_vm_size_t length,
								      IOOptionBits options, task_t task)
{
	IOAddressRange range = { address, length };

	return withAddressRanges(&range, 1, options, task);
}

inline OSPtr<IOMemoryDescriptor> IOMemoryDescriptor::withAddress(void *address, IOByteCount withLength,
								 IODirection withDirection)
{
	return withAddressRange(reinterpret_cast<mach_vm_address_t>(address), withLength, withDirection, kernel_task);
}

inline OSPtr<IOMemoryDescriptor> IOMemoryDescriptor::withPhysicalAddress(IOPhysicalAddress address, IOByteCount withLength,
									 IODirection withDirection)
{
	return withAddressRange(address, withLength, withDirection, TASK_NULL);
}

inline bool IOMemoryDescriptor::initWithOptions(void *, UInt32, UInt32, task_t, IOOptionBits, IOMapper *)
{
	return false;
}

inline void IOMemoryDescriptor::free()
{
	OSSafeReleaseNULL(_context);
	pthread_mutex_destroy(&_lock);
	OSObject::free();
}

/* --- what they are asked --- */

inline IODirection IOMemoryDescriptor::getDirection() const
{
	return _flags & kIOMemoryDirectionMask;
}

inline IOByteCount IOMemoryDescriptor::getLength() const
{
	return _length;
}

inline void IOMemoryDescriptor::setTag(IOOptionBits tag)
{
	_tag = tag;
}

inline IOOptionBits IOMemoryDescriptor::getTag()
{
	return _tag;
}

inline uint64_t IOMemoryDescriptor::getFlags()
{
	return _flags;
}

inline OSObject *IOMemoryDescriptor::copyContext() const
{
	IOMemoryLocked locked(const_cast<pthread_mutex_t *>(&_lock));

	if (_context)
		_context->retain();
	return _context;
}

inline void IOMemoryDescriptor::setContext(OSObject *context)
{
	OSObject *before;

	if (context)
		context->retain();
	pthread_mutex_lock(&_lock);
	before = _context;
	_context = context;
	pthread_mutex_unlock(&_lock);
	OSSafeRelease(before);
}

inline IOPhysicalAddress IOMemoryDescriptor::getPhysicalAddress()
{
	return getPhysicalSegment(0, nullptr);
}

inline uint64_t IOMemoryDescriptor::getPreparationID()
{
	return kIOPreparationIDUnsupported;
}

inline IOReturn IOMemoryDescriptor::setPurgeable(IOOptionBits, IOOptionBits *)
{
	return kIOReturnUnsupported;
}

inline IOReturn IOMemoryDescriptor::setOwnership(task_t, int, IOOptionBits)
{
	return kIOReturnUnsupported;
}

inline IOReturn IOMemoryDescriptor::performOperation(IOOptionBits, IOByteCount, IOByteCount)
{
	return kIOReturnUnsupported;
}

inline IOReturn IOMemoryDescriptor::dmaCommandOperation(DMACommandOps, void *, UInt) const
{
	return kIOReturnUnsupported;
}

inline void IOMemoryDescriptor::setMapperOptions(uint16_t options)
{
	_mapperOptions = options;
}

inline uint16_t IOMemoryDescriptor::getMapperOptions()
{
	return _mapperOptions;
}

inline IOReturn IOMemoryDescriptor::getPageCounts(IOByteCount *residentPageCount, IOByteCount *dirtyPageCount)
{
	IOMemoryPages pages(dirtyPageCount != nullptr);
	IOReturn error = kIOReturnSuccess;
	mach_vm_address_t address;
	IOByteCount length;

	for (IOByteCount offset = 0; error == kIOReturnSuccess && offset < _length; offset += length)
		error = addresses(offset, &address, &length) ? pages.count(address, length) : kIOReturnUnsupported;
	if (error != kIOReturnSuccess)
		return error;
	if (residentPageCount)
		*residentPageCount = pages.resident;
	if (dirtyPageCount)
		*dirtyPageCount = pages.dirty;
	return kIOReturnSuccess;
}

inline uint64_t IOMemoryDescriptor::getDMAMapLength(uint64_t *offset)
{
	uint64_t sum = 0, inPage = 0;
	mach_vm_address_t address;
	IOByteCount length;

	for (IOByteCount done = 0; done < _length && addresses(done, &address, &length); done += length) {
		if (!done)
			inPage = address & page_mask;
		sum += round_page_64(address + length) - trunc_page_64(address);
	}
	if (offset)
		*offset = inPage;
	return sum;
}

/* --- their bytes --- */

inline IOReturn IOMemoryDescriptor::backing(struct mr_memory **, uint64_t *)
{
	return kIOReturnUnsupported;
}

inline bool IOMemoryDescriptor::setBacking(struct mr_memory *)
{
	return false;
}

inline bool IOMemoryDescriptor::addresses(IOByteCount, mach_vm_address_t *, IOByteCount *)
{
	return false;
}

inline bool IOMemoryDescriptor::isInTask() const
{
	return true;
}

inline IOReturn IOMemoryDescriptor::copiesOnWrite(bool *ret_copies)
{
	*ret_copies = (_flags & kIOMemoryMapCopyOnWrite) != 0;
	return kIOReturnSuccess;
}

inline IOByteCount IOMemoryDescriptor::readBytes(IOByteCount offset, void *bytes, IOByteCount withLength)
{
	struct mr_memory *memory;
	uint64_t start;
	int error;

	if (offset >= _length || backing(&memory, &start) != kIOReturnSuccess)
		return 0;
	withLength = withLength < _length - offset ? withLength : _length - offset;
	error = mr_memory_read(memory, start + offset, bytes, withLength);
	mr_memory_unref(memory);
	return error ? 0 : withLength;
}

inline IOByteCount IOMemoryDescriptor::writeBytes(IOByteCount offset, const void *bytes, IOByteCount withLength)
{
	struct mr_memory *memory;
	uint64_t start;
	int error;

	if (offset >= _length || backing(&memory, &start) != kIOReturnSuccess)
		return 0;
	withLength = withLength < _length - offset ? withLength : _length - offset;
	error = mr_memory_write(memory, start + offset, bytes, withLength);
	mr_memory_unref(memory);
	return error ? 0 : withLength;
}

/* --- memory for a map --- */

/* Fill @length bytes of @to from @start on. */
static inline int IOMemoryCopy(struct mr_memory *from, uint64_t offset, struct mr_memory *to, uint64_t start, uint64_t length)
{
	static constexpr uint64_t most = 1 << 20;
	void *bytes = malloc(length < most ? length : most);
	int error = bytes ? 0 : -ENOMEM;

	for (uint64_t done = 0, part; !error && done < length; done += part) {
		part = length - done < most ? length - done : most;
		error = mr_memory_read(from, offset + done, bytes, part);
		if (!error)
			error = mr_memory_write(to, start + done, bytes, part);
	}
	::free(bytes);
	return error;
}

/* A buffer with what is asked for, from @inPage on: what a map that is made copy on write would show. */
inline IOReturn IOMemoryDescriptor::copyOf(const Request &request, uint64_t inPage, struct mr_memory **ret_memory,
					   uint64_t *ret_start)
{
	struct mr_memory *memory, *copy;
	uint64_t start, sum;
	IOReturn failure = backing(&memory, &start);
	int error;

	if (failure != kIOReturnSuccess)
		return failure;
	error = __builtin_add_overflow(inPage, request.length, &sum) ? -ENOMEM : mr_memory_new_buffer(sum, 0, &copy);
	if (!error) {
		error = IOMemoryCopy(memory, start + request.offset, copy, inPage, request.length);
		if (error)
			mr_memory_unref(copy);
	}
	mr_memory_unref(memory);
	if (error)
		return IOReturnFromErrno(error);
	*ret_memory = copy;
	*ret_start = inPage;
	return kIOReturnSuccess;
}

/* What a map shows: the memory, from where, with a reference for the caller. */
inline IOReturn IOMemoryDescriptor::memoryFor(const Request &request, uint64_t inPage, struct mr_memory **ret_memory,
					      uint64_t *ret_start)
{
	bool copies = false;
	IOReturn error = copiesOnWrite(&copies);

	if (error == kIOReturnSuccess && copies)
		return copyOf(request, inPage, ret_memory, ret_start);
	if (error == kIOReturnSuccess)
		error = backing(ret_memory, ret_start);
	if (error == kIOReturnSuccess)
		*ret_start += request.offset;
	return error;
}

/* --- maps --- */

/* Whether all that is asked for is mapped in this process already, in a row. */
inline bool IOMemoryDescriptor::isMappedAt(const Request &request, mach_vm_address_t *ret_address)
{
	struct mr_memory *memory;
	IOByteCount length;
	uint64_t start;
	bool copies;

	if (!isInTask() || copiesOnWrite(&copies) != kIOReturnSuccess || copies ||
	    !addresses(request.offset, ret_address, &length) || length < request.length ||
	    backing(&memory, &start) != kIOReturnSuccess)
		return false;
	mr_memory_unref(memory);
	return true;
}

/* A map object; its reference to this descriptor is taken. Those that can be shared are noted. */
inline IOMemoryMap *IOMemoryDescriptor::newMapping(const Request &request, mach_vm_address_t standing, struct mr_map *map)
{
	IOMemoryMap *made = new IOMemoryMap;

	if (!made)
		return nullptr;
	retain();
	made->fMemory = this;
	made->fOptions = request.options;
	made->fAddressTask = request.task;
	made->fOffset = request.offset;
	made->fLength = request.length;
	made->fStanding = standing;
	made->fMap = map;
	if (request.has(kIOMapUnique))
		return made;
	IOMemoryLocked locked(&_lock);
	made->fNext = _mappings;
	_mappings = made;
	return made;
}

inline void IOMemoryDescriptor::removeMapping(IOMemoryMap *mapping)
{
	IOMemoryLocked locked(&_lock);

	for (IOMemoryMap **at = &_mappings; *at; at = &(*at)->fNext)
		if (*at == mapping) {
			*at = mapping->fNext;
			return;
		}
}

/* A map that is there and serves, with a reference more, or a new one that lies inside it. */
inline IOMemoryMap *IOMemoryDescriptor::findServing(const Request &request)
{
	IOMemoryMap *found, *inside;

	pthread_mutex_lock(&_lock);
	for (found = _mappings; found; found = found->fNext)
		if (!found->fSuper && found->serves(request) && found->retainIfAlive())
			break;
	pthread_mutex_unlock(&_lock);
	if (!found || (found->fOffset == request.offset && found->fLength == request.length))
		return found;
	inside = newMapping(request, request.offset - found->fOffset, nullptr);
	if (inside)
		inside->fSuper = found;
	else
		found->release();
	return inside;
}

/* A map of what is mapped at @address already: it neither takes it over nor takes it away. */
inline IOMemoryMap *IOMemoryDescriptor::standing(const Request &request, mach_vm_address_t address)
{
	Request noted = request;

	noted.options |= kIOMapStatic;
	return newMapping(noted, address, nullptr);
}

/* A unique map of what is mapped at @address already. What it shows becomes this descriptor's memory, so that it can be shown again. */
inline IOMemoryMap *IOMemoryDescriptor::takeOver(const Request &request, mach_vm_address_t address)
{
	Request noted = request;
	IOMemoryMap *made;
	struct mr_map *map;

	noted.options |= kIOMapStatic | kIOMapUnique;
	if (mr_map_adopt(nullptr, reinterpret_cast<void *>(address), request.length, MR_MAP_UNIQUE, &map))
		return nullptr;
	made = newMapping(noted, 0, map);
	if (!made) {
		mr_map_unref(map);
		return nullptr;
	}
	if (request.length == _length && !setBacking(mr_memory_ref(mr_map_memory(map))))
		mr_memory_unref(mr_map_memory(map));
	return made;
}

/* How many guard bytes a map is to have on each side. */
static inline uint64_t IOMemoryGuardOf(IOOptionBits options)
{
	switch (options & kIOMapGuardedMask) {
	case 0:
		return 0;
	case kIOMapGuardedSmall:
		return page_size;
	default:
		return kIOMemoryGuardLarge;
	}
}

/* What a process cannot map by itself (physical memory, other cache modes), the kernel's driver may. */
static inline int IOMemoryMapNew(struct mr_memory *memory, mach_vm_address_t address, IOOptionBits options, uint64_t start,
				 uint64_t length, struct mr_map **ret_map)
{
	void *place = reinterpret_cast<void *>(address);
	int error = mr_map_new(memory, nullptr, place, options, start, length, ret_map);
	struct mr_features features;

	if (error != -EOPNOTSUPP || mr_features(&features) || features.driver != MR_DRIVER_READY)
		return error;
	return mr_map_new(memory, nullptr, place, options | MR_MAP_DRIVER, start, length, ret_map);
}

inline IOMemoryMap *IOMemoryDescriptor::mapAnew(const Request &request, IOReturn *ret_error)
{
	static constexpr IOOptionBits passed = kIOMapAnywhere | kIOMapReadOnly | kIOMapReference | kIOMapUnique |
					       kIOMapPrefault | kIOMapOverwrite | kIOMapCacheMask;
	IOOptionBits options = request.options & passed;
	uint64_t start, guard = IOMemoryGuardOf(request.options), inPage = request.address & page_mask;
	mach_vm_address_t address = request.address;
	struct mr_memory *memory;
	IOMemoryRoom room;
	IOMemoryMap *made;
	struct mr_map *map;
	IOByteCount ignored;

	if (request.has(kIOMapAnywhere) && !(addresses(request.offset, &inPage, &ignored)))
		inPage = request.offset;
	inPage &= page_mask;
	*ret_error = memoryFor(request, inPage, &memory, &start);
	if (*ret_error != kIOReturnSuccess)
		return nullptr;
	if (guard && request.has(kIOMapAnywhere) && room.reserve(request.length, inPage, page_size, guard)) {
		address = room.hole + inPage;
		options = (options & ~IOOptionBits(kIOMapAnywhere)) | kIOMapOverwrite;
	}
	*ret_error = IOReturnFromErrno(IOMemoryMapNew(memory, address, options, start, request.length, &map));
	mr_memory_unref(memory);
	made = *ret_error == kIOReturnSuccess ? newMapping(request, 0, map) : nullptr;
	if (!made && *ret_error == kIOReturnSuccess)
		mr_map_unref(map);
	if (made)
		made->fRoom = room;
	else
		room.giveBack();
	return made;
}

inline OSPtr<IOMemoryMap> IOMemoryDescriptor::createMappingInTask(task_t intoTask, mach_vm_address_t atAddress,
								  IOOptionBits options, mach_vm_size_t offset,
								  mach_vm_size_t length)
{
	Request request = { intoTask, atAddress, options, offset, length };
	mach_vm_address_t there;
	IOMemoryMap *made;
	bool isThere;
	IOReturn error;

	if (intoTask != kernel_task || offset >= _length)
		return nullptr;
	if (!length)
		request.length = _length - offset;
	if (request.length > _length - offset || (!request.has(kIOMapAnywhere) && atAddress < kIOMemoryLowest))
		return nullptr;
	if (request.has(kIOMapStatic))
		return setMapping(intoTask, atAddress, options);
	if (!request.has(kIOMapUnique) && (made = findServing(request)))
		return made;
	isThere =
		!request.has(kIOMapGuardedMask | kIOMapReference) && request.hasOrdinaryCache() && isMappedAt(request, &there);
	if (isThere && !request.has(kIOMapAnywhere) && there == atAddress)
		return request.has(kIOMapUnique) ? takeOver(request, there) : standing(request, there);
	isThere = isThere && request.has(kIOMapAnywhere) && !request.has(kIOMapUnique);
	if (isThere && !request.has(kIOMapReadOnly) && !offset)
		return standing(request, there);
	made = mapAnew(request, &error);
	if (!made && isThere && error == kIOReturnUnsupported)
		made = standing(request, there);
	return made;
}

inline OSPtr<IOMemoryMap> IOMemoryDescriptor::map(IOOptionBits options)
{
	return createMappingInTask(kernel_task, 0, options | kIOMapAnywhere, 0, _length);
}

inline OSPtr<IOMemoryMap> IOMemoryDescriptor::map(task_t intoTask, IOVirtualAddress atAddress, IOOptionBits options,
						  IOByteCount offset, IOByteCount length)
{
	return createMappingInTask(intoTask, atAddress, options, offset, length);
}

inline OSPtr<IOMemoryMap> IOMemoryDescriptor::setMapping(task_t task, IOVirtualAddress mapAddress, IOOptionBits options)
{
	Request request = { task, mapAddress, options & ~IOOptionBits(kIOMapAnywhere), 0, _length };

	if (task != kernel_task || !mapAddress || !_length)
		return nullptr;
	return request.has(kIOMapUnique) ? takeOver(request, mapAddress) : standing(request, mapAddress);
}

#endif
