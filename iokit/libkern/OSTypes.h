/* SPDX-License-Identifier: MIT */
/* The plain types of libkern. */
#ifndef MEMREDIRECT_IOKIT_OSTYPES_H
#define MEMREDIRECT_IOKIT_OSTYPES_H

#include <stdint.h>

typedef unsigned int UInt;
typedef signed int SInt;
typedef uint8_t UInt8;
typedef uint16_t UInt16;
typedef uint32_t UInt32;
typedef uint64_t UInt64;
typedef int8_t SInt8;
typedef int16_t SInt16;
typedef int32_t SInt32;
typedef int64_t SInt64;
typedef unsigned char Boolean;
typedef SInt32 OSStatus;

#endif
