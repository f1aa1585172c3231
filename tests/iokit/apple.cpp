// SPDX-License-Identifier: MIT
// What Apple's tests of these classes prove, each by a case of ours. Not here: IODMACommand and IOGuardPageMemoryDescriptor, which are
// classes of their own, and names of allocations, which Linux does not have.
#include "support.h"

static void multi_maps_parts_of_parts_in_order(void **)
{
	IOMemoryDescriptor *parts[3];
	IOMultiMemoryDescriptor *multi;
	IOAddressRange ranges[2];
	uint8_t *data = static_cast<uint8_t *>(IOMallocAligned(ptoa(8), page_size));
	const uint8_t expected[4] = { 0xd3, 0xd7, 0xd0, 0xd3 };
	IOMemoryMap *map;

	for (vm_size_t i = 0; i < ptoa(8); i++)
		data[i] = 0xd0 | uint8_t(atop(i));
	ranges[0] = { reinterpret_cast<IOVirtualAddress>(data + ptoa(4)), ptoa(4) };
	ranges[1] = { reinterpret_cast<IOVirtualAddress>(data), ptoa(4) };
	parts[0] = IOMemoryDescriptor::withAddressRanges(ranges, 2, kBoth, kernel_task);
	parts[1] = IOSubMemoryDescriptor::withSubRange(parts[0], ptoa(3), ptoa(2), kBoth);
	parts[2] = IOSubMemoryDescriptor::withSubRange(parts[0], ptoa(7), ptoa(1), kBoth);
	multi = IOMultiMemoryDescriptor::withDescriptors(parts, 3, kBoth, false);
	for (IOMemoryDescriptor *part : parts)
		part->release();
	assert_int_equal(multi->getLength(), ptoa(11));
	map = multi->createMappingInTask(kernel_task, 0, kIOMapAnywhere | kIOMapGuardedSmall, ptoa(7),
					 multi->getLength() - ptoa(7));
	multi->release();
	assert_non_null(map);
	assert_int_equal(map->getLength(), ptoa(4));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(byte_of(map, ptoa(i)), expected[i]);
		assert_int_equal(byte_of(map, ptoa(i + 1) - 1), expected[i]);
	}
	map->release();
	IOFreeAligned(data, ptoa(8));
}

static void dma_length_is_of_whole_pages(void **)
{
	uint8_t *data = static_cast<uint8_t *>(IOMallocAligned(ptoa(8), page_size));
	IOAddressRange ranges[2] = { { reinterpret_cast<IOVirtualAddress>(data + ptoa(4)), ptoa(4) },
				     { reinterpret_cast<IOVirtualAddress>(data), ptoa(4) } };
	IOMemoryDescriptor *one = IOMemoryDescriptor::withAddress(data, 2, kBoth);
	IOMemoryDescriptor *across = IOMemoryDescriptor::withAddress(data + page_size - 2, 4, kBoth);
	IOMemoryDescriptor *two = IOMemoryDescriptor::withAddressRanges(ranges, 2, kBoth, kernel_task);
	IOMemoryDescriptor *sub = IOSubMemoryDescriptor::withSubRange(two, ptoa(3), ptoa(2), kBoth);
	IOMemoryDescriptor *buffer = buffer_of(ptoa(8), 0);
	uint64_t offset = 1;

	assert_int_equal(one->getDMAMapLength(&offset), ptoa(1));
	assert_int_equal(offset, 0);
	assert_int_equal(across->getDMAMapLength(&offset), ptoa(2));
	assert_int_equal(offset, page_size - 2);
	assert_int_equal(two->getDMAMapLength(&offset), ptoa(8));
	assert_int_equal(offset, 0);
	assert_int_equal(sub->getDMAMapLength(&offset), ptoa(2));
	assert_int_equal(buffer->getDMAMapLength(&offset), ptoa(8));
	for (IOMemoryDescriptor *each : { one, across, sub, two, buffer })
		each->release();
	IOFreeAligned(data, ptoa(8));
}

static void remote_memory_tells_its_segments(void **)
{
	IOAddressRange ranges[2] = { { 0x1234567890123456, 0x1000 }, { 0x5432109876543210, 0x2000 } };
	IOMemoryDescriptor *remote = IOMemoryDescriptor::withAddressRanges(ranges, 2, kBoth | kIOMemoryRemote, TASK_NULL);
	IOByteCount offset = 0, length;
	int index = 0;

	assert_non_null(remote);
	assert_success(remote->prepare(kBoth));
	assert_true(remote->getFlags() & kIOMemoryRemote);
	for (;; offset += length, index++) {
		addr64_t address = remote->getPhysicalSegment(offset, &length, 0);

		if (!length)
			break;
		assert_true(index < 2 && address == ranges[index].address && length == ranges[index].length);
	}
	assert_int_equal(offset, remote->getLength());
	assert_success(remote->complete(kBoth));
	remote->release();
}

static void prefaulted_maps_are_there(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(ptoa(8), 5);
	IOMemoryMap *map;

	assert_success(buffer->prepare());
	map = buffer->map(kIOMapPrefault);
	assert_non_null(map);
	assert_int_equal(byte_of(map, 0), 5);
	map->release();
	assert_success(buffer->complete());
	buffer->release();
}

static void a_capacity_beyond_all_memory_is_refused(void **)
{
	assert_null(
		IOBufferMemoryDescriptor::inTaskWithPhysicalMask(kernel_task, kIOMemoryPageable | kIODirectionOut, ~0ULL, 0));
	assert_null(IOBufferMemoryDescriptor::inTaskWithOptions(kernel_task, kIODirectionOut, ~0ULL - 4095, page_size));
	assert_null(IOBufferMemoryDescriptor::inTaskWithGuardPages(kernel_task, kIODirectionOut, ~0ULL));
}

static void a_shortened_buffer_is_mapped_as_long_as_it_is(void **)
{
	IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::inTaskWithOptions(
		kernel_task, kIOMemoryDirectionOutIn | kIOMemoryKernelUserShared, 0x4000, 0x4000);

	assert_non_null(buffer);
	assert_int_equal(reinterpret_cast<uintptr_t>(buffer->getBytesNoCopy()) % 0x4000, 0);
	for (vm_size_t length : { 0x100, 0x200 }) {
		buffer->setLength(length);
		IOMemoryMap *map = buffer->createMappingInTask(current_task(), 0, kIOMapAnywhere, 0, 0);
		assert_non_null(map);
		assert_int_equal(map->getLength(), length);
		OSSafeReleaseNULL(map);
		assert_null(map);
	}
	buffer->setLength(0x4001);
	assert_int_equal(buffer->getLength(), 0x200);
	buffer->release();
}

static void nothing_can_be_prepared(void **)
{
	IOMemoryDescriptor *none = IOMemoryDescriptor::withAddressRange(0, 0, kIODirectionNone, current_task());

	assert_non_null(none);
	assert_success(none->prepare());
	assert_success(none->complete());
	none->release();
}

static void an_address_that_nobody_may_have_is_refused(void **)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kIODirectionIn | kIOMemoryPageable, ptoa(1));

	assert_non_null(buffer);
	assert_null(buffer->getBytesNoCopy());
	assert_null(buffer->createMappingInTask(kernel_task, 0x2000, 0));
	buffer->release();
}

static void preparations_nest(void **)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kIODirectionIn | kIOMemoryPageable, ptoa(4));
	uint64_t first;

	assert_int_equal(buffer->getPreparationID(), kIOPreparationIDUnprepared);
	assert_success(buffer->prepare(kIODirectionIn | kIODirectionPrepareNoZeroFill));
	first = buffer->getPreparationID();
	assert_true(first > kIOPreparationIDAlwaysPrepared);
	assert_success(buffer->prepare(kIODirectionIn));
	assert_int_equal(buffer->getPreparationID(), first);
	assert_success(buffer->complete(kIODirectionIn | kIODirectionCompleteWithDataValid));
	assert_success(buffer->complete(kIODirectionIn));
	assert_return(buffer->complete(), kIOReturnNotReady);
	assert_success(buffer->prepare());
	assert_int_not_equal(buffer->getPreparationID(), first);
	assert_success(buffer->complete());
	buffer->release();
}

/* A map of a part of a buffer, given by its address: writes to the buffer are seen by it, or not if it is copied on write. */
static void map_of_addresses(IOOptionBits options, uint8_t after)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(0x4018 + 0x800, 0);
	uint8_t *bytes = static_cast<uint8_t *>(buffer->getBytesNoCopy()) + 0x800;
	IOMemoryDescriptor *range;
	IOMemoryMap *map;

	for (int i = 0; i < 4; i++)
		memset(bytes + i * 0x1000, 0x11 * (i + 1), 4);
	range = IOMemoryDescriptor::withAddressRange(reinterpret_cast<mach_vm_address_t>(bytes), 0x4018,
						     kIODirectionOut | options, current_task());
	assert_non_null(range);
	map = range->map(kIOMapReadOnly);
	assert_non_null(map);
	for (int i = 0; i < 4; i++)
		assert_int_equal(byte_of(map, i * 0x1000), 0x11 * (i + 1));
	memset(bytes + 0x2000, 0x99, 4);
	assert_int_equal(byte_of(map, 0x2000), after);
	assert_int_equal(byte_of(map, 0x3000), 0x44);
	map->release();
	range->release();
	buffer->release();
}

static void maps_follow_the_memory(void **)
{
	map_of_addresses(0, 0x99);
}

static void copy_on_write_maps_do_not(void **)
{
	map_of_addresses(kIOMemoryMapCopyOnWrite, 0x33);
}

static void guarded_buffers_are_whole_pages(void **)
{
	for (vm_size_t capacity = page_size / 8; capacity < 4 * page_size; capacity += page_size / 8) {
		IOBufferMemoryDescriptor *buffer = IOBufferMemoryDescriptor::inTaskWithGuardPages(kernel_task, kBoth, capacity);
		uint8_t *bytes = static_cast<uint8_t *>(buffer->getBytesNoCopy());
		IOMemoryMap *map;

		assert_int_equal(buffer->getLength(), round_page(capacity));
		assert_int_equal(reinterpret_cast<uintptr_t>(bytes) % page_size, 0);
		for (vm_size_t i = 0; i < capacity; i++)
			bytes[i] = uint8_t(i);
		map = buffer->createMappingInTask(kernel_task, 0, kIOMapAnywhere | kIOMapUnique, 0, buffer->getLength());
		assert_int_equal(map->getLength(), buffer->getLength());
		assert_memory_equal(reinterpret_cast<void *>(map->getAddress()), bytes, capacity);
		map->release();
		buffer->release();
	}
}

static void a_context_is_kept_and_given_back(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(ptoa(1), 0), *first = buffer_of(1, 0), *second = buffer_of(1, 0);
	OSObject *current;

	assert_null(buffer->copyContext());
	buffer->setContext(nullptr);
	assert_null(buffer->copyContext());
	buffer->setContext(first);
	current = buffer->copyContext();
	assert_ptr_equal(current, first);
	OSSafeReleaseNULL(current);
	buffer->setContext(nullptr);
	assert_null(buffer->copyContext());
	buffer->setContext(second);
	buffer->release();
	assert_int_equal(first->getRetainCount(), 1);
	assert_int_equal(second->getRetainCount(), 1);
	first->release();
	second->release();
}

static void a_redirect_and_its_way_back(void **)
{
	IOBufferMemoryDescriptor *memories[2];
	IOMemoryMap *maps[2];

	for (int i = 0; i < 2; i++) {
		memories[i] = IOBufferMemoryDescriptor::inTaskWithOptions(
			TASK_NULL, kBoth | kIOMemoryPersistent | kIOMemoryPageable, 64 * 1024, page_size);
		assert_non_null(memories[i]);
		maps[i] = memories[i]->createMappingInTask(kernel_task, 0, kIOMapAnywhere | kIOMapUnique);
		assert_non_null(maps[i]);
		memset(reinterpret_cast<void *>(maps[i]->getVirtualAddress()), 0x11 * (i + 1), 64 * 1024);
	}
	assert_success(maps[0]->redirect(memories[1], 0, 0ULL));
	assert_int_equal(byte_of(maps[0], 0), 0x22);
	assert_int_equal(byte_of(maps[1], 0), 0x22); /* it is replaced, not exchanged: see iokit/README.md */
	assert_success(maps[0]->redirect(memories[0], 0, 0ULL));
	assert_int_equal(byte_of(maps[0], 0), 0x11);
	assert_int_equal(byte_of(maps[1], 0), 0x22);
	for (int i = 0; i < 2; i++) {
		maps[i]->release();
		memories[i]->release();
	}
}

/* The ranges of the last test: one; three, one behind the other and not whole pages; or three whose first two pages are exchanged. */
static UInt32 split(IOAddressRange *ranges, uint64_t data, uint64_t offset, uint64_t size, bool *ret_exchanged)
{
	*ret_exchanged = size > ptoa(2) && size <= ptoa(5) && !(offset & page_mask);
	if (size > ptoa(5)) {
		ranges[0] = { data + offset, 7634 };
		ranges[1] = { data + offset + 7634, 9870 };
		ranges[2] = { data + offset + 7634 + 9870, size - 7634 - 9870 };
		return 3;
	}
	if (*ret_exchanged) {
		ranges[0] = { data + offset + ptoa(1), ptoa(1) };
		ranges[1] = { data + offset, ptoa(1) };
		ranges[2] = { data + offset + ptoa(2), size - ptoa(2) };
		return 3;
	}
	ranges[0] = { data + offset, size };
	return 1;
}

/* Word @index of the memory tells its place in the data. */
static void check_window(IOMemoryDescriptor *memory, uint64_t offset, uint64_t size, uint64_t source, bool exchanged)
{
	IOMemoryMap *map = memory->createMappingInTask(kernel_task, 0, kIOMapAnywhere | kIOMapGuardedSmall, offset, size);
	const volatile uint32_t *words;

	assert_non_null(map);
	words = reinterpret_cast<const volatile uint32_t *>(map->getAddress());
	for (uint64_t at = 0; at < size; at += sizeof(*words)) {
		uint64_t place = source + offset + at;
		uint32_t copied = 0;

		if (exchanged && offset + at < ptoa(2))
			place ^= ptoa(1);
		assert_int_equal(words[at / sizeof(*words)], place / sizeof(*words));
		if (at % 0x1000 < 8) {
			assert_int_equal(memory->readBytes(offset + at, &copied, sizeof(copied)), sizeof(copied));
			assert_int_equal(copied, place / sizeof(*words));
		}
	}
	map->release();
}

static void windows_of_any_ranges_show_their_bytes(void **)
{
	static const uint64_t all = 16 << 20;
	uint32_t *words = static_cast<uint32_t *>(IOMallocAligned(all, page_size));
	uint64_t data = reinterpret_cast<uint64_t>(words);
	IOAddressRange ranges[3];

	for (uint64_t i = 0; i < all / sizeof(*words); i++)
		words[i] = uint32_t(i);
	for (uint64_t source = 0; source < all; source = (source << 2) + 0x40c)
		for (uint64_t size = 4; size < all - source - 1; size = (size << 2) + 0x3fc) {
			bool exchanged;
			UInt32 count = split(ranges, data, source, size, &exchanged);
			IOMemoryDescriptor *memory = IOMemoryDescriptor::withAddressRanges(ranges, count, kBoth, kernel_task);

			assert_non_null(OSDynamicCast(IOGeneralMemoryDescriptor, memory));
			assert_success(memory->prepare());
			for (uint64_t offset = 0; offset < size; offset = (offset << 1) + 0xf00)
				for (uint64_t part = 4; part < size - offset - 1; part = (part << 2) + 0x200)
					check_window(memory, offset, part, source, exchanged);
			assert_success(memory->complete());
			memory->release();
		}
	IOFreeAligned(words, all);
}

static const struct CMUnitTest tests[] = {
	TEST(multi_maps_parts_of_parts_in_order),
	TEST(dma_length_is_of_whole_pages),
	TEST(remote_memory_tells_its_segments),
	TEST(prefaulted_maps_are_there),
	TEST(a_capacity_beyond_all_memory_is_refused),
	TEST(a_shortened_buffer_is_mapped_as_long_as_it_is),
	TEST(nothing_can_be_prepared),
	TEST(an_address_that_nobody_may_have_is_refused),
	TEST(preparations_nest),
	TEST(maps_follow_the_memory),
	TEST(copy_on_write_maps_do_not),
	TEST(guarded_buffers_are_whole_pages),
	TEST(a_context_is_kept_and_given_back),
	TEST(a_redirect_and_its_way_back),
	TEST(windows_of_any_ranges_show_their_bytes),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "apple", tests, COUNT(tests));
}
