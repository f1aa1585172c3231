// SPDX-License-Identifier: MIT
// Every constant has the value that Apple's headers give it. What is wrong here, does not compile.
#include <IOKit/IOBufferMemoryDescriptor.h>
#include <IOKit/IOTypes.h>

#include <type_traits>

#define HAS(name, value) static_assert(static_cast<UInt32>(name) == UINT32_C(value), #name)

HAS(kIOReturnSuccess, 0);
HAS(kIOReturnError, 0xe00002bc);
HAS(kIOReturnNoMemory, 0xe00002bd);
HAS(kIOReturnNoResources, 0xe00002be);
HAS(kIOReturnIPCError, 0xe00002bf);
HAS(kIOReturnNoDevice, 0xe00002c0);
HAS(kIOReturnNotPrivileged, 0xe00002c1);
HAS(kIOReturnBadArgument, 0xe00002c2);
HAS(kIOReturnLockedRead, 0xe00002c3);
HAS(kIOReturnLockedWrite, 0xe00002c4);
HAS(kIOReturnExclusiveAccess, 0xe00002c5);
HAS(kIOReturnBadMessageID, 0xe00002c6);
HAS(kIOReturnUnsupported, 0xe00002c7);
HAS(kIOReturnVMError, 0xe00002c8);
HAS(kIOReturnInternalError, 0xe00002c9);
HAS(kIOReturnIOError, 0xe00002ca);
HAS(kIOReturnCannotLock, 0xe00002cc);
HAS(kIOReturnNotOpen, 0xe00002cd);
HAS(kIOReturnNotReadable, 0xe00002ce);
HAS(kIOReturnNotWritable, 0xe00002cf);
HAS(kIOReturnNotAligned, 0xe00002d0);
HAS(kIOReturnBadMedia, 0xe00002d1);
HAS(kIOReturnStillOpen, 0xe00002d2);
HAS(kIOReturnRLDError, 0xe00002d3);
HAS(kIOReturnDMAError, 0xe00002d4);
HAS(kIOReturnBusy, 0xe00002d5);
HAS(kIOReturnTimeout, 0xe00002d6);
HAS(kIOReturnOffline, 0xe00002d7);
HAS(kIOReturnNotReady, 0xe00002d8);
HAS(kIOReturnNotAttached, 0xe00002d9);
HAS(kIOReturnNoChannels, 0xe00002da);
HAS(kIOReturnNoSpace, 0xe00002db);
HAS(kIOReturnPortExists, 0xe00002dd);
HAS(kIOReturnCannotWire, 0xe00002de);
HAS(kIOReturnNoInterrupt, 0xe00002df);
HAS(kIOReturnNoFrames, 0xe00002e0);
HAS(kIOReturnMessageTooLarge, 0xe00002e1);
HAS(kIOReturnNotPermitted, 0xe00002e2);
HAS(kIOReturnNoPower, 0xe00002e3);
HAS(kIOReturnNoMedia, 0xe00002e4);
HAS(kIOReturnUnformattedMedia, 0xe00002e5);
HAS(kIOReturnUnsupportedMode, 0xe00002e6);
HAS(kIOReturnUnderrun, 0xe00002e7);
HAS(kIOReturnOverrun, 0xe00002e8);
HAS(kIOReturnDeviceError, 0xe00002e9);
HAS(kIOReturnNoCompletion, 0xe00002ea);
HAS(kIOReturnAborted, 0xe00002eb);
HAS(kIOReturnNoBandwidth, 0xe00002ec);
HAS(kIOReturnNotResponding, 0xe00002ed);
HAS(kIOReturnIsoTooOld, 0xe00002ee);
HAS(kIOReturnIsoTooNew, 0xe00002ef);
HAS(kIOReturnNotFound, 0xe00002f0);
HAS(kIOReturnInvalid, 0xe0000001);
HAS(iokit_vendor_specific_err(5), 0xe3ff8005);
HAS(iokit_family_err(err_sub(1), 5), 0xe0004005);

HAS(kIODefaultMemoryType, 0);
HAS(kIODefaultCache, 0);
HAS(kIOInhibitCache, 1);
HAS(kIOWriteThruCache, 2);
HAS(kIOCopybackCache, 3);
HAS(kIOWriteCombineCache, 4);
HAS(kIOCopybackInnerCache, 5);
HAS(kIOPostedWrite, 6);
HAS(kIORealTimeCache, 7);
HAS(kIOPostedReordered, 8);
HAS(kIOPostedCombinedReordered, 9);

HAS(kIOMapAnywhere, 0x1);
HAS(kIOMapCacheMask, 0xf00);
HAS(kIOMapCacheShift, 8);
HAS(kIOMapDefaultCache, 0);
HAS(kIOMapInhibitCache, 0x100);
HAS(kIOMapWriteThruCache, 0x200);
HAS(kIOMapCopybackCache, 0x300);
HAS(kIOMapWriteCombineCache, 0x400);
HAS(kIOMapCopybackInnerCache, 0x500);
HAS(kIOMapPostedWrite, 0x600);
HAS(kIOMapRealTimeCache, 0x700);
HAS(kIOMapPostedReordered, 0x800);
HAS(kIOMapPostedCombinedReordered, 0x900);
HAS(kIOMapUserOptionsMask, 0xfff);
HAS(kIOMapReadOnly, 0x1000);
HAS(kIOMapStatic, 0x01000000);
HAS(kIOMapReference, 0x02000000);
HAS(kIOMapUnique, 0x04000000);
HAS(kIOMapPrefault, 0x10000000);
HAS(kIOMapOverwrite, 0x20000000);
HAS(kIOMapGuardedMask, 0xc0000000);
HAS(kIOMapGuardedSmall, 0x40000000);
HAS(kIOMapGuardedLarge, 0x80000000);

HAS(kIODirectionNone, 0);
HAS(kIODirectionIn, 1);
HAS(kIODirectionOut, 2);
HAS(kIODirectionOutIn, 3);
HAS(kIODirectionInOut, 3);
HAS(kIODirectionPrepareToPhys32, 0x4);
HAS(kIODirectionPrepareNoFault, 0x8);
HAS(kIODirectionPrepareReserved1, 0x10);
HAS(kIODirectionPrepareNonCoherent, 0x20);
HAS(kIODirectionCompleteWithError, 0x40);
HAS(kIODirectionCompleteWithDataValid, 0x80);

HAS(kIOMemoryDirectionMask, 0x7);
HAS(kIOMemoryTypeVirtual, 0x10);
HAS(kIOMemoryTypePhysical, 0x20);
HAS(kIOMemoryTypeUPL, 0x30);
HAS(kIOMemoryTypePersistentMD, 0x40);
HAS(kIOMemoryTypeUIO, 0x50);
HAS(kIOMemoryTypeVirtual64, 0x10);
HAS(kIOMemoryTypePhysical64, 0x20);
HAS(kIOMemoryTypeMask, 0xf0);
HAS(kIOMemoryAsReference, 0x100);
HAS(kIOMemoryBufferPageable, 0x400);
HAS(kIOMemoryMapperNone, 0x800);
HAS(kIOMemoryHostOnly, 0x1000);
HAS(kIOMemoryPersistent, 0x10000);
HAS(kIOMemoryMapCopyOnWrite, 0x20000);
HAS(kIOMemoryRemote, 0x40000);
HAS(kIOMemoryThreadSafe, 0x100000);
HAS(kIOMemoryClearEncrypt, 0x200000);
HAS(kIOMemoryUseReserve, 0x800000);
HAS(kIOMemoryLedgerTagDefault, 1);
HAS(kIOmemoryLedgerTagNetwork, 2);
HAS(kIOMemoryLedgerTagMedia, 3);
HAS(kIOMemoryLedgerTagGraphics, 4);
HAS(kIOMemoryLedgerTagNeural, 5);
HAS(kIOMemoryLedgerFlagNoFootprint, 1);
HAS(kIOMemoryPurgeableKeepCurrent, 1);
HAS(kIOMemoryPurgeableNonVolatile, 2);
HAS(kIOMemoryPurgeableVolatile, 3);
HAS(kIOMemoryPurgeableEmpty, 4);
HAS(kIOMemoryPurgeableVolatileGroup0, 0);
HAS(kIOMemoryPurgeableVolatileGroup1, 0x100);
HAS(kIOMemoryPurgeableVolatileGroup7, 0x700);
HAS(kIOMemoryPurgeableVolatileBehaviorFifo, 0);
HAS(kIOMemoryPurgeableVolatileBehaviorLifo, 0x40);
HAS(kIOMemoryPurgeableVolatileOrderingObsolete, 0x20);
HAS(kIOMemoryPurgeableVolatileOrderingNormal, 0);
HAS(kIOMemoryPurgeableFaultOnAccess, 0x2000);
HAS(kIOMemoryIncoherentIOFlush, 1);
HAS(kIOMemoryIncoherentIOStore, 2);
HAS(kIOMemoryClearEncrypted, 50);
HAS(kIOMemorySetEncrypted, 51);
HAS(kIOPreparationIDUnprepared, 0);
HAS(kIOPreparationIDUnsupported, 1);
HAS(kIOPreparationIDAlwaysPrepared, 2);

HAS(kIOMemoryPhysicallyContiguous, 0x10);
HAS(kIOMemoryPageable, 0x20);
HAS(kIOMemoryPurgeable, 0x40);
HAS(kIOMemoryHostPhysicallyContiguous, 0x80);
HAS(kIOMemorySharingTypeMask, 0xf0000);
HAS(kIOMemoryUnshared, 0);
HAS(kIOMemoryKernelUserShared, 0x10000);

HAS(kNanosecondScale, 1);
HAS(kMicrosecondScale, 1000);
HAS(kMillisecondScale, 1000000);
HAS(kSecondScale, 1000000000);
HAS(kTickScale, 10000000);

/* Types: sizes, signs, and which are the same. */
static_assert(sizeof(IOReturn) == 4 && std::is_signed_v<IOReturn> && kIOReturnError < 0);
static_assert(sizeof(IOOptionBits) == 4 && std::is_unsigned_v<IOOptionBits>);
static_assert(sizeof(IOByteCount) == 8 && sizeof(IOVirtualAddress) == 8 && sizeof(IOPhysicalAddress) == 8);
static_assert(std::is_same_v<IOByteCount, mach_vm_size_t> && std::is_same_v<IODirection, IOOptionBits>);
static_assert(sizeof(IOAddressRange) == 16 && std::is_same_v<IOAddressRange, IOVirtualRange>);
static_assert(sizeof(UInt8) == 1 && sizeof(UInt16) == 2 && sizeof(UInt32) == 4 && sizeof(UInt64) == 8);

/* The options that the library has, too, are passed on as they are. */
static_assert(kIOMapAnywhere == MR_MAP_ANYWHERE && kIOMapReadOnly == MR_MAP_READ_ONLY && kIOMapStatic == MR_MAP_STATIC);
static_assert(kIOMapReference == MR_MAP_REFERENCE && kIOMapUnique == MR_MAP_UNIQUE && kIOMapPrefault == MR_MAP_PREFAULT);
static_assert(kIOMapOverwrite == MR_MAP_OVERWRITE && kIOMapCacheMask == MR_MAP_CACHE_MASK);

int main()
{
	bool good = IOReturnFromErrno(0) == kIOReturnSuccess && IOReturnFromErrno(-EPERM) == kIOReturnNotPermitted &&
		    IOReturnFromErrno(EPERM) == kIOReturnNotPermitted && IOReturnFromErrno(-ENOMEM) == kIOReturnNoMemory &&
		    IOReturnFromErrno(-EOPNOTSUPP) == kIOReturnUnsupported && IOReturnFromErrno(-EBUSY) == kIOReturnBusy &&
		    IOReturnFromErrno(-ERANGE) == kIOReturnBadArgument && IOReturnFromErrno(-99999) == kIOReturnError;

	return good ? 0 : 1;
}
