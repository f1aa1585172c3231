// SPDX-License-Identifier: MIT
// Descriptors: what they are asked, how their bytes are copied, what is refused.
#include "support.h"

static void objects_count_their_references(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(100, 0);
	IOMemoryMap *map;

	assert_int_equal(buffer->getRetainCount(), 1);
	buffer->retain();
	assert_int_equal(buffer->getRetainCount(), 2);
	buffer->release();
	map = buffer->map(kIOMapUnique);
	assert_int_equal(buffer->getRetainCount(), 2);
	buffer->release();
	assert_int_equal(map->getMemoryDescriptor()->getRetainCount(), 1);
	map->release();
}

static void a_descriptor_tells_what_it_was_made_with(void **)
{
	IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::withCapacity(5000, kIODirectionOut);
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddress(buffer->getBytesNoCopy(), 5000, kIODirectionIn);
	IOAddressRange given = { reinterpret_cast<IOVirtualAddress>(buffer->getBytesNoCopy()), 77 };
	IOMemoryDescriptor *options = IOMemoryDescriptor::withOptions(
		&given, 1, 0, kernel_task, kIOMemoryTypeVirtual | kIODirectionOut | kIOMemoryMapperNone);

	assert_int_equal(buffer->getLength(), 5000);
	assert_int_equal(buffer->getCapacity(), 5000);
	assert_int_equal(buffer->getDirection(), kIODirectionOut);
	buffer->setDirection(kIODirectionIn);
	assert_int_equal(buffer->getDirection(), kIODirectionIn);
	assert_int_equal(buffer->getTag(), 0);
	buffer->setTag(42);
	assert_int_equal(buffer->getTag(), 42);
	assert_int_equal(range->getLength(), 5000);
	assert_int_equal(range->getFlags() & kIOMemoryTypeMask, kIOMemoryTypeVirtual);
	assert_int_equal(options->getLength(), 77);
	assert_int_equal(options->getFlags(), kIOMemoryTypeVirtual | kIODirectionOut | kIOMemoryMapperNone);
	options->setMapperOptions(3);
	assert_int_equal(options->getMapperOptions(), 3);
	for (IOMemoryDescriptor *each : { static_cast<IOMemoryDescriptor *>(buffer), range, options })
		each->release();
}

static void bytes_are_appended_up_to_the_capacity(void **)
{
	IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::withBytes("hello", 5, kBoth);

	assert_int_equal(buffer->getLength(), 5);
	assert_int_equal(buffer->getCapacity(), 5);
	assert_memory_equal(buffer->getBytesNoCopy(), "hello", 5);
	buffer->setLength(2);
	assert_ptr_equal(buffer->getBytesNoCopy(1, 1), static_cast<char *>(buffer->getBytesNoCopy()) + 1);
	assert_null(buffer->getBytesNoCopy(1, 2));
	assert_null(buffer->getBytesNoCopy(2, 0));
	assert_null(buffer->getBytesNoCopy(1, ~vm_size_t{ 0 }));
	assert_true(buffer->appendBytes("xyzuvw", 6));
	assert_int_equal(buffer->getLength(), 5);
	assert_memory_equal(buffer->getBytesNoCopy(), "hexyz", 5);
	buffer->release();
}

static void a_copy_is_a_buffer_of_its_own(void **)
{
	char *memory = private_memory(3 * page_size, 8);
	IOBufferMemoryDescriptor *copy =
		IOBufferMemoryDescriptor::withCopy(kernel_task, kBoth | kIOMemoryPageable, kernel_task,
						   reinterpret_cast<mach_vm_address_t>(memory) + 5, 2 * page_size);

	assert_int_equal(copy->getLength(), 2 * page_size);
	memory[5] = 1;
	assert_int_equal(static_cast<char *>(copy->getBytesNoCopy())[0], 8);
	copy->release();
	munmap(memory, 3 * page_size);
	assert_null(IOBufferMemoryDescriptor::withCopy(kernel_task, kBoth, kernel_task, 4096, page_size));
}

static void bytes_are_copied_through_all_kinds(void **)
{
	IOBufferMemoryDescriptor *odd = buffer_of(100, 1), *even = buffer_of(50, 2);
	IOMemoryDescriptor *parts[2] = { odd, even };
	IOMemoryDescriptor *multi = IOMultiMemoryDescriptor::withDescriptors(parts, 2, kBoth);
	IOMemoryDescriptor *sub = IOSubMemoryDescriptor::withSubRange(multi, 90, 20, kBoth);
	uint8_t bytes[40];

	assert_int_equal(sub->readBytes(0, bytes, sizeof(bytes)), 20);
	assert_int_equal(bytes[9], 1);
	assert_int_equal(bytes[10], 2);
	memset(bytes, 3, sizeof(bytes));
	assert_int_equal(sub->writeBytes(5, bytes, sizeof(bytes)), 15);
	assert_int_equal(multi->readBytes(94, bytes, 1), 1);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(static_cast<uint8_t *>(odd->getBytesNoCopy())[95], 3);
	assert_int_equal(static_cast<uint8_t *>(even->getBytesNoCopy())[9], 3);
	assert_int_equal(static_cast<uint8_t *>(even->getBytesNoCopy())[10], 2);
	assert_int_equal(sub->readBytes(20, bytes, 1), 0);
	assert_int_equal(multi->readBytes(150, bytes, 1), 0);
	assert_null(multi->map()); /* parts that are not whole pages cannot stand side by side */
	for (IOMemoryDescriptor *each : { sub, multi, parts[0], parts[1] })
		each->release();
}

static void memory_that_cannot_be_written_is_not(void **)
{
	char *memory = private_memory(page_size, 6);
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddress(memory, page_size, kBoth);
	char byte = 1;

	mprotect(memory, page_size, PROT_READ);
	assert_int_equal(range->readBytes(0, &byte, 1), 1);
	assert_int_equal(byte, 6);
	assert_int_equal(range->writeBytes(0, &byte, 1), 0);
	range->release();
	munmap(memory, page_size);
}

static void what_is_not_mapped_is_refused_when_it_is_used(void **)
{
	char *memory = private_memory(page_size, 0);
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddress(memory, page_size, kBoth);
	char byte;

	munmap(memory, page_size);
	assert_non_null(range);
	assert_return(range->prepare(), kIOReturnVMError);
	assert_return(range->complete(), kIOReturnNotReady);
	assert_int_equal(range->readBytes(0, &byte, 1), 0);
	assert_null(range->map());
	assert_true(mr_error()[0]);
	assert_int_equal(range->getPhysicalAddress(), 0);
	range->release();
}

static void what_cannot_be_described_is_refused(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(page_size, 0);
	IOAddressRange wraps = { ~UINT64_C(0) - 10, 100 }, half = { 4096, UINT64_C(1) << 63 };
	IOAddressRange halves[2] = { half, half };
	IOMemoryDescriptor *none[1] = { nullptr };

	assert_null(IOMemoryDescriptor::withAddressRanges(&wraps, 1, kBoth, kernel_task));
	assert_null(IOMemoryDescriptor::withAddressRanges(&wraps, 1, kBoth, TASK_NULL));
	assert_null(IOMemoryDescriptor::withAddressRanges(halves, 2, kBoth, TASK_NULL));
	assert_null(IOMemoryDescriptor::withAddressRanges(nullptr, 1, kBoth, kernel_task));
	assert_null(IOMemoryDescriptor::withAddressRanges(&half, 0, kBoth, kernel_task));
	assert_null(IOMemoryDescriptor::withOptions(&half, 1, 0, kernel_task, kIOMemoryTypeUPL));
	assert_null(IOMemoryDescriptor::withOptions(&half, 1, 0, kernel_task, kIOMemoryTypeUIO));
	assert_null(IOMultiMemoryDescriptor::withDescriptors(none, 1, kBoth));
	assert_null(IOMultiMemoryDescriptor::withDescriptors(none, 0, kBoth));
	assert_null(IOSubMemoryDescriptor::withSubRange(nullptr, 0, 0, kBoth));
	assert_null(IOSubMemoryDescriptor::withSubRange(buffer, page_size, 1, kBoth));
	assert_null(IOBufferMemoryDescriptor::withOptions(kBoth, 0));
	assert_null(IOBufferMemoryDescriptor::withOptions(kBoth, 10, 3));
	assert_null(IOBufferMemoryDescriptor::withOptions(kBoth | kIOMapInhibitCache, 10));
	assert_null(IOBufferMemoryDescriptor::inTaskWithPhysicalMask(kernel_task, kBoth, page_size, 0xf000));
	assert_null(IOBufferMemoryDescriptor::inTaskWithOptions(kernel_task, kBoth | kIOMemoryPhysicallyContiguous,
								vm_size_t{ 1 } << 40));
	buffer->release();
}

static void buffers_begin_where_they_are_to(void **)
{
	for (vm_offset_t alignment = 1; alignment <= 4 << 20; alignment *= 4) {
		IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::withOptions(kBoth, 3 * page_size, alignment);

		assert_non_null(buffer);
		assert_int_equal(reinterpret_cast<uintptr_t>(buffer->getBytesNoCopy()) % alignment, 0);
		memset(buffer->getBytesNoCopy(), 1, 3 * page_size);
		buffer->release();
	}
}

static void physical_memory_tells_addresses_alone(void **)
{
	IOMemoryDescriptor *physical = IOMemoryDescriptor::withPhysicalAddress(0x12345000, 0x3000, kBoth);
	IOByteCount length;
	char byte;

	assert_int_equal(physical->getPhysicalAddress(), 0x12345000);
	assert_int_equal(physical->getPhysicalSegment(0x10, &length), 0x12345010);
	assert_int_equal(length, 0x2ff0);
	assert_int_equal(physical->getPhysicalSegment(0x3000, &length), 0);
	assert_int_equal(length, 0);
	assert_int_equal(physical->getPreparationID(), kIOPreparationIDAlwaysPrepared);
	assert_success(physical->prepare());
	assert_success(physical->complete());
	assert_null(physical->map());
	assert_int_equal(physical->readBytes(0, &byte, 1), 0);
	assert_return(physical->getPageCounts(&length, nullptr), kIOReturnUnsupported);
	physical->release();
}

/* The frame numbers are the same by whatever descriptor; or all are hidden. */
static void prepared_memory_tells_its_segments(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(4 * page_size, 1);
	IOMemoryDescriptor *parts[1] = { buffer };
	IOMemoryDescriptor *multi = IOMultiMemoryDescriptor::withDescriptors(parts, 1, kBoth);
	IOMemoryDescriptor *sub = IOSubMemoryDescriptor::withSubRange(multi, page_size + 16, page_size, kBoth);
	IOMemoryMap *map = sub->map(kIOMapUnique);
	IOByteCount length;
	addr64_t address;

	assert_success(sub->prepare());
	address = buffer->getPhysicalSegment(page_size + 16, &length);
	assert_int_equal(address != 0, features()->frame_numbers);
	assert_int_equal(length != 0, features()->frame_numbers);
	assert_int_equal(multi->getPhysicalSegment(page_size + 16, nullptr), address);
	assert_int_equal(sub->getPhysicalAddress(), address);
	assert_int_equal(map->getPhysicalAddress(), address);
	sub->getPhysicalSegment(8, &length);
	assert_true(length <= page_size - 8);
	assert_int_equal(sub->getPhysicalSegment(page_size, &length), 0);
	assert_int_equal(length, 0);
	assert_int_equal(map->getPhysicalSegment(page_size, &length), 0);
	assert_success(sub->complete());
	for (OSObject *each : { static_cast<OSObject *>(map), static_cast<OSObject *>(sub), static_cast<OSObject *>(multi),
				static_cast<OSObject *>(buffer) })
		each->release();
}

static void resident_pages_are_counted(void **)
{
	IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::withCapacity(8 * page_size, kBoth);
	IOMemoryDescriptor *sub = IOSubMemoryDescriptor::withSubRange(buffer, page_size, 2 * page_size, kBoth);
	IOByteCount resident = 99, dirty = 99;

	assert_success(buffer->getPageCounts(&resident, &dirty));
	assert_int_equal(resident, 0);
	assert_int_equal(dirty, 0);
	memset(static_cast<char *>(buffer->getBytesNoCopy()) + page_size, 1, 5 * page_size);
	assert_success(buffer->getPageCounts(&resident, &dirty));
	assert_int_equal(resident, 5);
	assert_int_equal(dirty, 5);
	assert_success(sub->getPageCounts(&resident, nullptr));
	assert_int_equal(resident, 2);
	sub->release();
	buffer->release();
}

static void purgeable_buffers_can_be_emptied(void **)
{
	IOBufferMemoryDescriptor *plain = buffer_of(page_size, 1);
	IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::inTaskWithOptions(
		kernel_task, kBoth | kIOMemoryPageable | kIOMemoryPurgeable, 2 * page_size);
	IOOptionBits state = 0;

	memset(buffer->getBytesNoCopy(), 7, 2 * page_size);
	assert_return(plain->setPurgeable(kIOMemoryPurgeableVolatile, &state), kIOReturnUnsupported);
	assert_return(buffer->setPurgeable(0, &state), kIOReturnBadArgument);
	assert_return(buffer->setPurgeable(5, &state), kIOReturnBadArgument);
	assert_success(buffer->setPurgeable(kIOMemoryPurgeableVolatile | kIOMemoryPurgeableVolatileGroup1, &state));
	assert_int_equal(state, kIOMemoryPurgeableNonVolatile);
	assert_success(buffer->setPurgeable(kIOMemoryPurgeableNonVolatile, &state));
	assert_int_equal(state, kIOMemoryPurgeableVolatile);
	assert_int_equal(static_cast<char *>(buffer->getBytesNoCopy())[page_size], 7);
	assert_success(buffer->setPurgeable(kIOMemoryPurgeableEmpty, nullptr));
	assert_success(buffer->setPurgeable(kIOMemoryPurgeableNonVolatile, &state));
	assert_int_equal(state, kIOMemoryPurgeableEmpty);
	assert_int_equal(static_cast<char *>(buffer->getBytesNoCopy())[page_size], 0);
	buffer->release();
	plain->release();
}

static void what_a_process_cannot_do_says_so(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(page_size, 1);

	assert_return(buffer->setOwnership(kernel_task, kIOMemoryLedgerTagDefault, 0), kIOReturnUnsupported);
	assert_return(buffer->performOperation(kIOMemoryIncoherentIOFlush, 0, 1), kIOReturnUnsupported);
	assert_return(buffer->dmaCommandOperation(0, nullptr, 0), kIOReturnUnsupported);
	buffer->release();
}

static void a_sub_can_be_made_another_one(void **)
{
	IOBufferMemoryDescriptor *first = buffer_of(page_size, 1), *second = buffer_of(page_size, 2);
	IOSubMemoryDescriptor *sub = IOSubMemoryDescriptor::withSubRange(first, 10, 20, kIODirectionIn);
	char byte = 0;

	assert_true(sub->initSubRange(second, 4, 8, kIODirectionOut));
	assert_int_equal(first->getRetainCount(), 1);
	assert_int_equal(sub->getLength(), 8);
	assert_int_equal(sub->getDirection(), kIODirectionOut);
	assert_int_equal(sub->readBytes(0, &byte, 1), 1);
	assert_int_equal(byte, 2);
	assert_false(sub->initSubRange(second, page_size, 1, kIODirectionOut));
	assert_int_equal(sub->getLength(), 8);
	sub->release();
	first->release();
	second->release();
}

static void allocations_of_all_sizes_are_zeroed_and_freed(void **)
{
	for (vm_size_t size : { vm_size_t{ 1 }, vm_size_t{ 100 }, page_size - 1, page_size, 5 * page_size + 1 }) {
		char *memory = static_cast<char *>(IOMallocAligned(size, 64));

		assert_non_null(memory);
		assert_int_equal(reinterpret_cast<uintptr_t>(memory) % 64, 0);
		assert_int_equal(memory[size - 1], 0);
		memset(memory, 1, size);
		IOFreeAligned(memory, size);
	}
	IOFree(nullptr, 10);
}

static const struct CMUnitTest tests[] = {
	TEST(objects_count_their_references),
	TEST(a_descriptor_tells_what_it_was_made_with),
	TEST(bytes_are_appended_up_to_the_capacity),
	TEST(a_copy_is_a_buffer_of_its_own),
	TEST(bytes_are_copied_through_all_kinds),
	TEST(memory_that_cannot_be_written_is_not),
	TEST(what_is_not_mapped_is_refused_when_it_is_used),
	TEST(what_cannot_be_described_is_refused),
	TEST(buffers_begin_where_they_are_to),
	TEST(physical_memory_tells_addresses_alone),
	TEST(prepared_memory_tells_its_segments),
	TEST(resident_pages_are_counted),
	TEST(purgeable_buffers_can_be_emptied),
	TEST(what_a_process_cannot_do_says_so),
	TEST(a_sub_can_be_made_another_one),
	TEST(allocations_of_all_sizes_are_zeroed_and_freed),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "descriptor", tests, COUNT(tests));
}
