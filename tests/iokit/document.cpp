// SPDX-License-Identifier: MIT
// A program written from IOKit's documentation alone: only IOKit's headers, names and promises. It compiles without a change.
#include <IOKit/IOBufferMemoryDescriptor.h>
#include <IOKit/IOLib.h>
#include <IOKit/IOMemoryDescriptor.h>
#include <IOKit/IOMultiMemoryDescriptor.h>
#include <IOKit/IOReturn.h>
#include <IOKit/IOSubMemoryDescriptor.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#define REQUIRE(what)                                                                                                          \
	do {                                                                                                                   \
		if (!(what)) {                                                                                                 \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                             \
			exit(1);                                                                                               \
		}                                                                                                              \
	} while (0)

static const vm_size_t kLength = 64 * 1024;

static IOBufferMemoryDescriptor *makeBuffer(int value)
{
	IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::inTaskWithOptions(
		kernel_task, kIODirectionInOut | kIOMemoryKernelUserShared, kLength, page_size);

	REQUIRE(buffer && buffer->getLength() == kLength && buffer->getCapacity() == kLength);
	REQUIRE(buffer->getDirection() == kIODirectionInOut);
	memset(buffer->getBytesNoCopy(), value, kLength);
	return buffer;
}

static volatile uint8_t *bytesOf(IOMemoryMap *map)
{
	return (volatile uint8_t *)map->getVirtualAddress();
}

static void redirectsToAnotherBuffer()
{
	IOBufferMemoryDescriptor *first = makeBuffer(1), *second = makeBuffer(2);
	IOMemoryMap *map = first->createMappingInTask(current_task(), 0, kIOMapAnywhere | kIOMapUnique);

	REQUIRE(map && map->getLength() == kLength && map->getSize() == kLength);
	REQUIRE(map->getAddress() == map->getVirtualAddress() && map->getAddressTask() == current_task());
	REQUIRE(map->getMapOptions() & kIOMapUnique);
	REQUIRE(map->getMemoryDescriptor() == first && bytesOf(map)[5] == 1);
	REQUIRE(map->redirect(second, 0, 0ULL) == kIOReturnSuccess);
	REQUIRE(map->getMemoryDescriptor() == second && bytesOf(map)[5] == 2);
	bytesOf(map)[5] = 7;
	REQUIRE(((uint8_t *)second->getBytesNoCopy())[5] == 7 && ((uint8_t *)first->getBytesNoCopy())[5] == 1);
	map->release();
	second->release();
	first->release();
}

static void accessHangsUntilThereIsBacking()
{
	IOBufferMemoryDescriptor *buffer = makeBuffer(1);
	IOBufferMemoryDescriptor *copy = IOBufferMemoryDescriptor::withCapacity(kLength, kIODirectionInOut);
	IOMemoryMap *map = buffer->createMappingInTask(current_task(), 0, kIOMapAnywhere | kIOMapUnique);
	std::atomic<int> seen{ -1 };
	uint8_t mark = 9;

	REQUIRE(map && copy);
	REQUIRE(map->redirect(NULL, 0) == kIOReturnSuccess);
	REQUIRE(map->getMemoryDescriptor() == buffer);
	std::thread client([&] { seen = bytesOf(map)[100]; });
	for (int i = 0; i < 20; i++) {
		IOSleep(1);
		REQUIRE(seen == -1);
	}
	/* an atomic copy, and a change that the client will find */
	REQUIRE(buffer->readBytes(0, copy->getBytesNoCopy(), kLength) == kLength);
	REQUIRE(!memcmp(copy->getBytesNoCopy(), buffer->getBytesNoCopy(), kLength));
	REQUIRE(buffer->writeBytes(100, &mark, 1) == 1);
	REQUIRE(seen == -1);
	REQUIRE(map->redirect(buffer, 0) == kIOReturnSuccess);
	client.join();
	REQUIRE(seen == 9 && ((uint8_t *)copy->getBytesNoCopy())[100] == 1);
	map->release();
	copy->release();
	buffer->release();
}

static void multiAndSubDescribeOthers()
{
	IOBufferMemoryDescriptor *buffers[2] = { makeBuffer(1), makeBuffer(2) };
	IOMemoryDescriptor *parts[2] = { buffers[0], buffers[1] };
	IOMultiMemoryDescriptor *multi = IOMultiMemoryDescriptor::withDescriptors(parts, 2, kIODirectionInOut);
	IOSubMemoryDescriptor *sub;
	IOMemoryMap *map, *other;

	REQUIRE(multi && multi->getLength() == 2 * kLength);
	sub = IOSubMemoryDescriptor::withSubRange(multi, kLength - page_size, 2 * page_size, kIODirectionInOut);
	REQUIRE(sub && sub->getLength() == 2 * page_size);
	map = sub->map();
	REQUIRE(map && map->getMemoryDescriptor() == sub && map->getLength() == 2 * page_size);
	REQUIRE(bytesOf(map)[page_size - 1] == 1 && bytesOf(map)[page_size] == 2);
	bytesOf(map)[page_size] = 3;
	REQUIRE(((uint8_t *)buffers[1]->getBytesNoCopy())[0] == 3);
	/* mappings are shared, unless they are to be unique */
	other = sub->map();
	REQUIRE(other == map && map->getRetainCount() >= 2);
	other->release();
	other = sub->map(kIOMapUnique);
	REQUIRE(other && other != map && other->getAddress() != map->getAddress());
	REQUIRE(other->redirect(multi, 0, kLength) == kIOReturnSuccess && bytesOf(other)[0] == 3);
	other->release();
	map->release();
	sub->release();
	multi->release();
	buffers[0]->release();
	buffers[1]->release();
}

static sigjmp_buf faulted;

static void onFault(int)
{
	siglongjmp(faulted, 1);
}

static bool writeFaults(volatile uint8_t *byte)
{
	volatile bool faults = true;

	signal(SIGSEGV, onFault);
	if (!sigsetjmp(faulted, 1)) {
		*byte = 1;
		faults = false;
	}
	signal(SIGSEGV, SIG_DFL);
	return faults;
}

static void readOnlyAndCopyOnWrite()
{
	IOBufferMemoryDescriptor *buffer = makeBuffer(4);
	IOMemoryMap *map = buffer->map(kIOMapReadOnly);
	IOMemoryDescriptor *range;

	REQUIRE(map && bytesOf(map)[0] == 4 && writeFaults(bytesOf(map)));
	map->release();
	range = IOMemoryDescriptor::withAddressRange((mach_vm_address_t)buffer->getBytesNoCopy(), kLength,
						     kIODirectionInOut | kIOMemoryMapCopyOnWrite, current_task());
	REQUIRE(range && range->getFlags() & kIOMemoryMapCopyOnWrite);
	map = range->map();
	REQUIRE(map && bytesOf(map)[0] == 4);
	bytesOf(map)[0] = 5;
	((uint8_t *)buffer->getBytesNoCopy())[1] = 6;
	REQUIRE(((uint8_t *)buffer->getBytesNoCopy())[0] == 4 && bytesOf(map)[1] == 4);
	map->release();
	range->release();
	buffer->release();
}

static void lengthsAreChecked()
{
	IOBufferMemoryDescriptor *buffer = makeBuffer(1),
				 *shorter = IOBufferMemoryDescriptor::withCapacity(page_size, kIODirectionInOut);
	IOMemoryDescriptor *none = IOMemoryDescriptor::withAddressRange(0, 0, kIODirectionNone, current_task());
	IOMemoryMap *map = buffer->createMappingInTask(current_task(), 0, kIOMapAnywhere | kIOMapUnique);
	uint8_t byte;

	REQUIRE(none && none->getLength() == 0 && none->prepare() == kIOReturnSuccess && none->complete() == kIOReturnSuccess);
	REQUIRE(!none->map());
	REQUIRE(!IOBufferMemoryDescriptor::inTaskWithPhysicalMask(kernel_task, kIODirectionOut, ~0ULL, 0));
	REQUIRE(!IOBufferMemoryDescriptor::withCapacity(0, kIODirectionOut));
	REQUIRE(!IOMemoryDescriptor::withAddressRange(~0ULL - 100, 4096, kIODirectionOut, current_task()));
	REQUIRE(!IOSubMemoryDescriptor::withSubRange(buffer, 1, kLength, kIODirectionOut));
	REQUIRE(!IOSubMemoryDescriptor::withSubRange(buffer, ~0ULL, 2, kIODirectionOut));
	REQUIRE(!buffer->createMappingInTask(current_task(), 0, kIOMapAnywhere, kLength, 1));
	REQUIRE(!buffer->createMappingInTask(current_task(), 0, kIOMapAnywhere, 1, kLength));
	REQUIRE(buffer->readBytes(kLength, &byte, 1) == 0 && buffer->readBytes(kLength - 1, &byte, 100) == 1);
	REQUIRE(map->redirect(shorter, 0) == kIOReturnBadArgument);
	REQUIRE(map->redirect(buffer, 0, page_size) == kIOReturnBadArgument);
	REQUIRE(map->getMemoryDescriptor() == buffer && bytesOf(map)[0] == 1);
	REQUIRE(map->unmap() == kIOReturnSuccess && map->getVirtualAddress() == 0);
	map->release();
	none->release();
	shorter->release();
	buffer->release();
}

int main()
{
	redirectsToAnotherBuffer();
	accessHangsUntilThereIsBacking();
	multiAndSubDescribeOthers();
	readOnlyAndCopyOnWrite();
	lengthsAreChecked();
	return 0;
}
