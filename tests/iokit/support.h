/* SPDX-License-Identifier: MIT */
/* What the tests of the IOKit headers share. */
#ifndef IOKIT_SUPPORT_H
#define IOKIT_SUPPORT_H

#include <IOKit/IOBufferMemoryDescriptor.h>
#include <IOKit/IOLib.h>
#include <IOKit/IOMultiMemoryDescriptor.h>
#include <IOKit/IOSubMemoryDescriptor.h>

extern "C" {
#include "suite.h"
#include "wait.h"
}

#include <csignal>
#include <initializer_list>
#include <thread>

static constexpr IOOptionBits kBoth = kIODirectionInOut;

/* A buffer in this process, each byte of it @value. */
static inline IOBufferMemoryDescriptor *buffer_of(vm_size_t length, int value)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(current_task(), kBoth | kIOMemoryPageable, length);

	assert_non_null(buffer);
	memset(buffer->getBytesNoCopy(), value, length);
	return buffer;
}

/* The byte at @offset of a map. */
static inline uint8_t byte_of(IOMemoryMap *map, uint64_t offset)
{
	return *reinterpret_cast<volatile uint8_t *>(map->getVirtualAddress() + offset);
}

static inline void set_byte(IOMemoryMap *map, uint64_t offset, uint8_t value)
{
	*reinterpret_cast<volatile uint8_t *>(map->getVirtualAddress() + offset) = value;
}

/* Private memory of this process, each byte of it @value. */
static inline char *private_memory(size_t length, int value)
{
	void *memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return static_cast<char *>(memset(memory, value, length));
}

#define assert_success(call)	  assert_int_equal((call), kIOReturnSuccess)
#define assert_return(call, code) assert_int_equal((uint32_t)(call), (uint32_t)(code))

#endif
