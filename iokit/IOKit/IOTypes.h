/* SPDX-License-Identifier: MIT */
/* IOKit's types, of a 64-bit system. */
#ifndef MEMREDIRECT_IOKIT_IOTYPES_H
#define MEMREDIRECT_IOKIT_IOTYPES_H

#include <inttypes.h>

#include <IOKit/IOMapTypes.h>
#include <IOKit/IOReturn.h>
#include <libkern/OSTypes.h>
#include <mach/mach_types.h>

typedef UInt32 IOOptionBits;
typedef SInt32 IOFixed;
typedef UInt32 IOVersion;
typedef UInt32 IOItemCount;
typedef UInt32 IOCacheMode;

typedef UInt32 IOByteCount32;
typedef UInt64 IOByteCount64;
typedef IOByteCount64 IOByteCount;
#define PRIIOByteCount PRIu64

typedef UInt32 IOPhysicalAddress32;
typedef UInt64 IOPhysicalAddress64;
typedef UInt32 IOPhysicalLength32;
typedef UInt64 IOPhysicalLength64;
typedef IOPhysicalAddress64 IOPhysicalAddress;
typedef IOPhysicalLength64 IOPhysicalLength;
#define IOPhysical32(high, low) ((UInt64)(low) + ((UInt64)(high) << 32))
#define IOPhysSize		64

typedef mach_vm_address_t IOVirtualAddress;
typedef IOVirtualAddress IOLogicalAddress;

typedef struct {
	IOPhysicalAddress address;
	IOByteCount length;
} IOPhysicalRange;

typedef struct {
	IOVirtualAddress address;
	IOByteCount length;
} IOVirtualRange;

typedef IOVirtualRange IOAddressRange;

typedef struct {
	int value;
	const char *name;
} IONamedValue;

typedef unsigned int IOAlignment; /* a power of two: its exponent */

enum {
	kNanosecondScale = 1,
	kMicrosecondScale = 1000,
	kMillisecondScale = 1000 * 1000,
	kSecondScale = 1000 * 1000 * 1000,
	kTickScale = kSecondScale / 100,
};

#endif
