/* SPDX-License-Identifier: MIT */
/*
 * IOMemoryDescriptor and IOMemoryMap, over the library of memredirect.
 *
 *   IOMemoryDescriptor		bytes that can be mapped: what a memory (struct mr_memory) is, and its length, tag and direction
 *     IOGeneralMemoryDescriptor	ranges of this process, or physical ones
 *       IOBufferMemoryDescriptor	a buffer of its own
 *     IOMultiMemoryDescriptor		several in a row
 *     IOSubMemoryDescriptor		a part of one
 *   IOMemoryMap			addresses that show it: a map (struct mr_map), or what was mapped there already
 *
 * Names, values and behaviour are those that Apple documents; README.md beside these headers says, method by method, what is the
 * same, what differs, and what a process cannot do. Calls that return an object return NULL when they fail; mr_error() says why.
 * Objects may be used by any thread. What a descriptor describes is looked up when it is first prepared, mapped or copied.
 */
#ifndef MEMREDIRECT_IOKIT_IOMEMORYDESCRIPTOR_H
#define MEMREDIRECT_IOKIT_IOMEMORYDESCRIPTOR_H

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include <IOKit/IOTypes.h>
#include <libkern/c++/OSObject.h>
#include <libkern/c++/OSPtr.h>
#include <mach/vm_param.h>
#include <memredirect.h>

#include <IOKit/detail/IOMemoryRoom.h>

class IOMemoryDescriptor;
class IOMemoryMap;
class IOMapper;

#define kIOMapperSystem ((IOMapper *)nullptr)

/* The direction of a transfer, seen from the memory. */
inline constexpr IOOptionBits kIODirectionNone = 0x0;
inline constexpr IOOptionBits kIODirectionIn = 0x1;
inline constexpr IOOptionBits kIODirectionOut = 0x2;
inline constexpr IOOptionBits kIODirectionOutIn = kIODirectionOut | kIODirectionIn;
inline constexpr IOOptionBits kIODirectionInOut = kIODirectionIn | kIODirectionOut;

/* for prepare */
inline constexpr IOOptionBits kIODirectionPrepareToPhys32 = 0x00000004;
inline constexpr IOOptionBits kIODirectionPrepareNoFault = 0x00000008;
inline constexpr IOOptionBits kIODirectionPrepareReserved1 = 0x00000010;
inline constexpr IOOptionBits kIODirectionPrepareNoZeroFill = 0x00000010;
inline constexpr IOOptionBits kIODirectionPrepareNonCoherent = 0x00000020;

/* for complete */
inline constexpr IOOptionBits kIODirectionCompleteWithError = 0x00000040;
inline constexpr IOOptionBits kIODirectionCompleteWithDataValid = 0x00000080;
#define IODIRECTIONPREPARENONCOHERENTDEFINED	1
#define IODIRECTIONCOMPLETEWITHERRORDEFINED	1
#define IODIRECTIONCOMPLETEWITHDATAVALIDDEFINED 1

typedef IOOptionBits IODirection;

/* Options of descriptors. */
inline constexpr IOOptionBits kIOMemoryDirectionMask = 0x00000007;

inline constexpr IOOptionBits kIOMemoryDirectionNone = kIODirectionNone;
inline constexpr IOOptionBits kIOMemoryDirectionIn = kIODirectionIn;
inline constexpr IOOptionBits kIOMemoryDirectionOut = kIODirectionOut;
inline constexpr IOOptionBits kIOMemoryDirectionOutIn = kIODirectionOutIn;
inline constexpr IOOptionBits kIOMemoryDirectionInOut = kIODirectionInOut;

inline constexpr IOOptionBits kIOMemoryTypeVirtual = 0x00000010;
inline constexpr IOOptionBits kIOMemoryTypePhysical = 0x00000020;
inline constexpr IOOptionBits kIOMemoryTypeUPL = 0x00000030;
inline constexpr IOOptionBits kIOMemoryTypePersistentMD = 0x00000040;
inline constexpr IOOptionBits kIOMemoryTypeUIO = 0x00000050;
inline constexpr IOOptionBits kIOMemoryTypeVirtual64 = kIOMemoryTypeVirtual;
inline constexpr IOOptionBits kIOMemoryTypePhysical64 = kIOMemoryTypePhysical;
inline constexpr IOOptionBits kIOMemoryTypeMask = 0x000000f0;

inline constexpr IOOptionBits kIOMemoryAsReference = 0x00000100;
inline constexpr IOOptionBits kIOMemoryBufferPageable = 0x00000400;
inline constexpr IOOptionBits kIOMemoryMapperNone = 0x00000800;
inline constexpr IOOptionBits kIOMemoryHostOnly = 0x00001000;
inline constexpr IOOptionBits kIOMemoryPersistent = 0x00010000;
inline constexpr IOOptionBits kIOMemoryMapCopyOnWrite = 0x00020000; /* maps have a copy of the bytes, made with the map */
inline constexpr IOOptionBits kIOMemoryRemote = 0x00040000;
inline constexpr IOOptionBits kIOMemoryThreadSafe = 0x00100000;
inline constexpr IOOptionBits kIOMemoryClearEncrypt = 0x00200000;
inline constexpr IOOptionBits kIOMemoryUseReserve = 0x00800000;
#define IOMEMORYUSERESERVEDEFINED 1

inline constexpr int kIOMemoryLedgerTagDefault = 1;
inline constexpr int kIOmemoryLedgerTagNetwork = 2;
inline constexpr int kIOMemoryLedgerTagMedia = 3;
inline constexpr int kIOMemoryLedgerTagGraphics = 4;
inline constexpr int kIOMemoryLedgerTagNeural = 5;

inline constexpr int kIOMemoryLedgerFlagNoFootprint = 1;

inline constexpr IOOptionBits kIOMemoryPurgeableKeepCurrent = 1;
inline constexpr IOOptionBits kIOMemoryPurgeableNonVolatile = 2;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatile = 3;
inline constexpr IOOptionBits kIOMemoryPurgeableEmpty = 4;

inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup0 = 0 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup1 = 1 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup2 = 2 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup3 = 3 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup4 = 4 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup5 = 5 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup6 = 6 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileGroup7 = 7 << 8;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileBehaviorFifo = 0 << 6;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileBehaviorLifo = 1 << 6;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileOrderingObsolete = 1 << 5;
inline constexpr IOOptionBits kIOMemoryPurgeableVolatileOrderingNormal = 0 << 5;
inline constexpr IOOptionBits kIOMemoryPurgeableFaultOnAccess = 2 << 12;

/* Operations of performOperation. */
inline constexpr IOOptionBits kIOMemoryIncoherentIOFlush = 1;
inline constexpr IOOptionBits kIOMemoryIncoherentIOStore = 2;
inline constexpr IOOptionBits kIOMemoryClearEncrypted = 50;
inline constexpr IOOptionBits kIOMemorySetEncrypted = 51;

inline constexpr int kIOPreparationIDUnprepared = 0;
inline constexpr int kIOPreparationIDUnsupported = 1;
inline constexpr int kIOPreparationIDAlwaysPrepared = 2;

#define IOMEMORYDESCRIPTOR_SUPPORTS_GETDMAMAPLENGTH

/** A descriptor of memory: its bytes, wherever they are. It does not map them. */
class IOMemoryDescriptor : public OSObject
{
	friend class IOMemoryMap;
	friend class IOMultiMemoryDescriptor;
	friend class IOSubMemoryDescriptor;

public:
	typedef IOOptionBits DMACommandOps;

	/**
	 * withAddress - describe memory of this process
	 * @address: its first byte
	 * @withLength: bytes; may be 0
	 * @withDirection: of transfers
	 *
	 * Return: a descriptor to be released; NULL: the range wraps around, or there is no memory.
	 */
	static OSPtr<IOMemoryDescriptor> withAddress(void *address, IOByteCount withLength, IODirection withDirection);

	/**
	 * withAddressRange - describe memory of a task, or, with TASK_NULL, physical memory
	 * @options: a direction, kIOMemoryMapCopyOnWrite, and others of kIOMemory…, which getFlags reports
	 */
	static OSPtr<IOMemoryDescriptor> withAddressRange(mach_vm_address_t address, mach_vm_size_t length,
							  IOOptionBits options, task_t task);

	/** withAddressRanges - describe several ranges in a row, as one memory; the array is copied */
	static OSPtr<IOMemoryDescriptor> withAddressRanges(IOAddressRange *ranges, UInt32 rangeCount, IOOptionBits options,
							   task_t task);

	/** withPhysicalAddress - describe physical memory: its segments can be asked for; to map and copy it takes the driver, and root */
	static OSPtr<IOMemoryDescriptor> withPhysicalAddress(IOPhysicalAddress address, IOByteCount withLength,
							     IODirection withDirection);

	/**
	 * withOptions - what the others stand on
	 * @buffers: @count IOAddressRange
	 * @offset: not used
	 * @options: as for withAddressRange, and kIOMemoryTypeVirtual(64) or kIOMemoryTypePhysical(64); other types: NULL
	 * @mapper: not used
	 */
	static OSPtr<IOMemoryDescriptor> withOptions(void *buffers, UInt32 count, UInt32 offset, task_t task,
						     IOOptionBits options, IOMapper *mapper = kIOMapperSystem);

	virtual bool initWithOptions(void *buffers, UInt32 count, UInt32 offset, task_t task, IOOptionBits options,
				     IOMapper *mapper = kIOMapperSystem);

	/** getDirection - the direction that it was made with */
	virtual IODirection getDirection() const;

	/** getLength - bytes over all its ranges */
	virtual IOByteCount getLength() const;

	/** setTag, getTag - a number of the owner's */
	virtual void setTag(IOOptionBits tag);
	virtual IOOptionBits getTag();

	/** getFlags - the options that it was made with */
	uint64_t getFlags();

	/** copyContext, setContext - an object of the owner's, retained; copyContext adds a reference for the caller */
	OSObject *copyContext() const;
	void setContext(OSObject *context);

	/**
	 * readBytes, writeBytes - copy out of the memory, and into it, whatever maps of it are doing
	 *
	 * Return: how many bytes were copied: what there is from @offset on, at most @withLength; 0 past the end, and when they
	 * cannot be reached or written.
	 */
	virtual IOByteCount readBytes(IOByteCount offset, void *bytes, IOByteCount withLength);
	virtual IOByteCount writeBytes(IOByteCount offset, const void *bytes, IOByteCount withLength);

	/**
	 * prepare - make the memory resident and keep it so; to be paired with complete
	 *
	 * Return: kIOReturnSuccess; kIOReturnCannotWire at the lock limit (RLIMIT_MEMLOCK) or without memory; kIOReturnVMError
	 * nothing is mapped there.
	 */
	virtual IOReturn prepare(IODirection forDirection = kIODirectionNone) = 0;

	/** complete - undo one prepare. Return: kIOReturnSuccess; kIOReturnNotReady it is not prepared */
	virtual IOReturn complete(IODirection forDirection = kIODirectionNone) = 0;

	/**
	 * getPhysicalSegment - the physical address of a byte
	 * @length: if not NULL, bytes from there that are contiguous, or 0
	 *
	 * Return: the address; 0 past the end, not resident (prepare first), or hidden by the system (CAP_SYS_ADMIN shows it).
	 */
	virtual addr64_t getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options = 0) = 0;

	/** getPhysicalAddress - that of the first byte */
	IOPhysicalAddress getPhysicalAddress();

	/** getPreparationID - a number that is another one after each preparation; kIOPreparationIDUnprepared before */
	virtual uint64_t getPreparationID();

	/**
	 * getPageCounts - pages that are resident, and of these, those that are written nowhere else
	 *
	 * Return: kIOReturnSuccess; kIOReturnUnsupported @dirtyPageCount of memory that has a file, which the kernel keeps to itself.
	 */
	IOReturn getPageCounts(IOByteCount *residentPageCount, IOByteCount *dirtyPageCount);

	/** getDMAMapLength - bytes of the whole pages that the memory lies in; @offset: of its first byte in the first */
	uint64_t getDMAMapLength(uint64_t *offset = nullptr);

	/** setPurgeable - see IOBufferMemoryDescriptor. Return: kIOReturnUnsupported for other memory */
	virtual IOReturn setPurgeable(IOOptionBits newState, IOOptionBits *oldState);

	/* What a process cannot do. Return: kIOReturnUnsupported. */
	IOReturn setOwnership(task_t newOwner, int newLedgerTag, IOOptionBits newLedgerOptions);
	virtual IOReturn performOperation(IOOptionBits options, IOByteCount offset, IOByteCount length);
	virtual IOReturn dmaCommandOperation(DMACommandOps op, void *data, UInt dataSize) const;

	void setMapperOptions(uint16_t options);
	uint16_t getMapperOptions();

	/**
	 * createMappingInTask - map all or a part of the memory
	 * @intoTask: this process
	 * @atAddress: where, unless kIOMapAnywhere
	 * @options: kIOMapAnywhere, a cache mode, kIOMapReadOnly, kIOMapReference, kIOMapUnique, kIOMapPrefault, kIOMapGuarded…
	 * @offset: from where in the memory
	 * @length: bytes; 0: to the end
	 *
	 * Without kIOMapUnique, a map that exists and can serve is returned, with a reference more, or one that lies inside it.
	 * Memory of this process is mapped already: anywhere, not unique and writable, that is the map. Private memory cannot be
	 * mapped a second time: kIOMapUnique takes it where it is (at its own address), or fails.
	 *
	 * Return: a map to be released; NULL: it cannot be, and mr_error() says why.
	 */
	OSPtr<IOMemoryMap> createMappingInTask(task_t intoTask, mach_vm_address_t atAddress, IOOptionBits options,
					       mach_vm_size_t offset = 0, mach_vm_size_t length = 0);

	/** map - all of the memory into this process; kIOMapAnywhere is implied */
	virtual OSPtr<IOMemoryMap> map(IOOptionBits options = 0);

	/** map - as createMappingInTask, under its older name */
	virtual OSPtr<IOMemoryMap> map(task_t intoTask, IOVirtualAddress atAddress, IOOptionBits options,
				       IOByteCount offset = 0, IOByteCount length = 0);

	/**
	 * setMapping - tell of a mapping that was made elsewhere, so that it can be shared
	 * @options: with kIOMapUnique, the range is taken over, and can be redirected; what it shows then is this descriptor's memory
	 */
	virtual OSPtr<IOMemoryMap> setMapping(task_t task, IOVirtualAddress mapAddress, IOOptionBits options = 0);

protected:
	IOMemoryDescriptor() = default;
	void free() override;

	/* The memory that has the bytes, with a reference for the caller, and where they begin in it. */
	virtual IOReturn backing(struct mr_memory **ret_memory, uint64_t *ret_start);

	/* Take another memory for the same bytes; the reference is the descriptor's then. False: it has no memory of its own. */
	virtual bool setBacking(struct mr_memory *memory);

	/* The addresses of this process at which the byte at @offset and those behind it are mapped. False: nowhere. */
	virtual bool addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length);

	/* Whether these addresses are for clients, too. */
	virtual bool isInTask() const;

	/* Whether maps are to have a copy. kIOReturnUnsupported: some of it is, and some is not. */
	virtual IOReturn copiesOnWrite(bool *ret_copies);

	IOOptionBits _flags = 0;
	IOByteCount _length = 0;
	IOOptionBits _tag = 0;
	pthread_mutex_t _lock = PTHREAD_MUTEX_INITIALIZER; /* of what is looked up late, and of the list of maps */

private:
	struct Request;

	IOReturn copyOf(const Request &request, uint64_t inPage, struct mr_memory **ret_memory, uint64_t *ret_start);
	IOReturn memoryFor(const Request &request, uint64_t inPage, struct mr_memory **ret_memory, uint64_t *ret_start);
	bool isMappedAt(const Request &request, mach_vm_address_t *ret_address);
	IOMemoryMap *findServing(const Request &request);
	IOMemoryMap *newMapping(const Request &request, mach_vm_address_t standing, struct mr_map *map);
	IOMemoryMap *standing(const Request &request, mach_vm_address_t address);
	IOMemoryMap *takeOver(const Request &request, mach_vm_address_t address);
	IOMemoryMap *mapAnew(const Request &request, IOReturn *ret_error);
	void removeMapping(IOMemoryMap *mapping);

	IOMemoryMap *_mappings = nullptr; /* those that can be shared */
	OSObject *_context = nullptr;
	uint16_t _mapperOptions = 0;
};

/** Addresses of a task that show the memory of a descriptor. */
class IOMemoryMap : public OSObject
{
	friend class IOMemoryDescriptor;

public:
	/** getVirtualAddress, getAddress - where it begins; 0 once unmapped */
	virtual IOVirtualAddress getVirtualAddress();
	mach_vm_address_t getAddress();

	/** getLength, getSize - bytes */
	virtual IOByteCount getLength();
	mach_vm_size_t getSize();

	/** getAddressTask - the task it is in; TASK_NULL once the task has died */
	virtual task_t getAddressTask();

	/** getMemoryDescriptor - what it shows, borrowed; of a blocked map, what it showed before */
	virtual IOMemoryDescriptor *getMemoryDescriptor();

	/** getMapOptions - the options it was made with, with the access and cache mode of the last redirect */
	virtual IOOptionBits getMapOptions();

	/** getPhysicalSegment, getPhysicalAddress - as those of IOMemoryDescriptor, of what it shows */
	virtual IOPhysicalAddress getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options = 0);
	IOPhysicalAddress getPhysicalAddress();

	/** unmap - take it out of the task, whoever else has a reference. Return: kIOReturnSuccess, also when it is already */
	virtual IOReturn unmap();

	/** taskDied - note that the task is gone, and with it the addresses */
	virtual void taskDied();

	/**
	 * redirect - replace the memory that is shown
	 * @newBackingMemory: what to show; retained. NULL: every access waits, until the next redirect
	 * @options: kIOMapReadOnly, kIOMapPrefault and a cache mode; they replace the map's. Where it is mapped stays: other
	 * options of mappings are ignored
	 * @offset: from where in @newBackingMemory
	 *
	 * See mr_map_redirect for what clients see: each access finds the old bytes or the new ones, and nothing is lost.
	 *
	 * Return: kIOReturnSuccess; kIOReturnNotPermitted it was not made with kIOMapUnique; kIOReturnNoDevice it is unmapped;
	 * kIOReturnBadArgument past the end of the new memory; kIOReturnNotAligned @offset lies elsewhere in its page than the map
	 * does; kIOReturnUnsupported what it shows, or is to show, cannot be moved (mr_error() says why), or a cache mode other
	 * than default and copyback; others as IOReturnFromErrno makes them of mr_map_redirect's. A redirect that fails leaves
	 * everything as it was.
	 */
	virtual IOReturn redirect(IOMemoryDescriptor *newBackingMemory, IOOptionBits options, mach_vm_size_t offset = 0);

	/**
	 * wireRange - keep pages of it resident, until the next redirect
	 * @options: a direction: wire; 0: let go
	 */
	IOReturn wireRange(uint32_t options, mach_vm_size_t offset, mach_vm_size_t length);

protected:
	void free() override;

private:
	IOMemoryMap() = default;
	bool serves(const IOMemoryDescriptor::Request &request);
	IOReturn show(IOMemoryDescriptor *memory, IOOptionBits options, mach_vm_size_t offset);

	std::atomic<IOMemoryDescriptor *> fMemory{ nullptr };
	std::atomic<IOOptionBits> fOptions{ 0 };
	std::atomic<task_t> fAddressTask{ nullptr };
	std::atomic<bool> fGone{ false };
	mach_vm_size_t fOffset = 0; /* in the memory; under fLock */
	mach_vm_size_t fLength = 0;
	IOMemoryMap *fNext = nullptr;			   /* of the descriptor's maps */
	pthread_mutex_t fLock = PTHREAD_MUTEX_INITIALIZER; /* one redirect or unmap at a time */

	/* What has the addresses: one of these. */
	struct mr_map *fMap = nullptr;
	IOMemoryMap *fSuper = nullptr;	 /* another map, retained; this one lies inside, fStanding into it */
	mach_vm_address_t fStanding = 0; /* what was mapped there before */

	IOMemoryRoom fRoom; /* with guard pages */
};

/** Ranges of this process, or of physical memory. Made by the factories of IOMemoryDescriptor. */
class IOGeneralMemoryDescriptor : public IOMemoryDescriptor
{
	friend class IOMemoryDescriptor;

public:
	bool initWithOptions(void *buffers, UInt32 count, UInt32 offset, task_t task, IOOptionBits options,
			     IOMapper *mapper = kIOMapperSystem) override;
	IOReturn prepare(IODirection forDirection = kIODirectionNone) override;
	IOReturn complete(IODirection forDirection = kIODirectionNone) override;
	addr64_t getPhysicalSegment(IOByteCount offset, IOByteCount *length, IOOptionBits options = 0) override;
	uint64_t getPreparationID() override;

protected:
	IOGeneralMemoryDescriptor() = default;
	void free() override;
	IOReturn backing(struct mr_memory **ret_memory, uint64_t *ret_start) override;
	bool setBacking(struct mr_memory *memory) override;
	bool addresses(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length) override;

	bool isPhysical() const;

	struct mr_memory *_memory = nullptr; /* under _lock; once set, only setBacking replaces it */
	unsigned _wireCount = 0;	     /* under _lock */
	uint64_t _preparationID = kIOPreparationIDUnprepared;

private:
	IOReturn lookUp();
	IOReturn lookUpPhysical(struct mr_range *ranges);
	bool rangeAt(IOByteCount offset, mach_vm_address_t *ret_address, IOByteCount *ret_length) const;

	IOAddressRange *_ranges = nullptr; /* no two of them adjacent */
	UInt32 _rangesCount = 0;
	uint64_t _lead = 0; /* of physical memory: from the first page to its first byte */
};

#include <IOKit/detail/IOMemoryDescriptor.ipp>
#include <IOKit/detail/IOMemoryMap.ipp>
#include <IOKit/detail/IOGeneralMemoryDescriptor.ipp>

#endif
