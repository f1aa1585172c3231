// SPDX-License-Identifier: MIT
// Maps: where they are, who shares them, what they show, and redirect.
#include "support.h"

extern "C" {
#include "victim.h"
}

static void *at(IOMemoryMap *map, uint64_t offset = 0)
{
	return reinterpret_cast<void *>(map->getAddress() + offset);
}

static void maps_that_fit_are_shared(void **)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kBoth | kIOMemoryPageable, 8 * page_size);
	IOMemoryMap *whole = buffer->map(), *again = buffer->map(), *part, *read_only, *unique;

	assert_ptr_equal(again, whole);
	again->release();
	part = buffer->createMappingInTask(kernel_task, 0, kIOMapAnywhere, 2 * page_size, page_size);
	assert_int_equal(part->getAddress(), whole->getAddress() + 2 * page_size);
	assert_int_equal(part->getLength(), page_size);
	read_only = buffer->map(kIOMapReadOnly);
	assert_int_not_equal(read_only->getAddress(), whole->getAddress());
	unique = buffer->map(kIOMapUnique);
	assert_int_not_equal(unique->getAddress(), whole->getAddress());
	whole->release(); /* the part keeps it */
	*static_cast<volatile char *>(at(part)) = 4;
	assert_int_equal(byte_of(unique, 2 * page_size), 4);
	assert_int_equal(byte_of(read_only, 2 * page_size), 4);
	for (IOMemoryMap *each : { part, read_only, unique })
		each->release();
	buffer->release();
}

static void a_reference_is_to_a_map_that_exists(void **)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kBoth | kIOMemoryPageable, 2 * page_size);
	IOMemoryMap *map, *reference;

	assert_null(buffer->map(kIOMapReference));
	map = buffer->map();
	reference = buffer->map(kIOMapReference);
	assert_ptr_equal(reference, map);
	reference->release();
	map->release();
	assert_null(buffer->map(kIOMapReference));
	buffer->release();
}

static void a_part_and_its_whole_share_pages(void **)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kBoth | kIOMemoryPageable, 4 * page_size);
	IOMemoryDescriptor *sub = IOSubMemoryDescriptor::withSubRange(buffer, page_size, page_size, kBoth);
	IOMemoryMap *whole = buffer->map(), *part = sub->map();

	assert_int_equal(part->getAddress(), whole->getAddress() + page_size);
	assert_ptr_equal(part->getMemoryDescriptor(), sub);
	assert_ptr_equal(whole->getMemoryDescriptor(), buffer);
	whole->release(); /* the part keeps it */
	set_byte(part, 0, 5);
	part->release();
	sub->release();
	buffer->release();
}

static void memory_of_this_process_is_mapped_already(void **)
{
	char *memory = private_memory(4 * page_size, 3);
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddress(memory + 100, 2 * page_size, kBoth);
	IOMemoryMap *map = range->map(), *part, *read_only;

	assert_ptr_equal(at(map), memory + 100);
	assert_true(map->getMapOptions() & kIOMapStatic);
	part = range->createMappingInTask(kernel_task, 0, kIOMapAnywhere, page_size, 10);
	assert_ptr_equal(at(part), memory + 100 + page_size);
	read_only = range->map(kIOMapReadOnly); /* private memory cannot be mapped a second time */
	assert_ptr_equal(at(read_only), memory + 100);
	assert_return(map->redirect(nullptr, 0), kIOReturnNotPermitted);
	assert_success(map->unmap());
	assert_null(at(map));
	assert_int_equal(memory[100], 3); /* it was there before, and stays */
	for (OSObject *each : { static_cast<OSObject *>(map), static_cast<OSObject *>(part), static_cast<OSObject *>(read_only),
				static_cast<OSObject *>(range) })
		each->release();
	munmap(memory, 4 * page_size);
}

static void private_memory_has_no_second_map(void **)
{
	char *memory = private_memory(2 * page_size, 3);
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddress(memory, 2 * page_size, kBoth);
	IOBufferMemoryDescriptor *buffer = buffer_of(2 * page_size, 1);
	IOMemoryMap *map = buffer->map(kIOMapUnique);

	assert_null(range->map(kIOMapUnique));
	assert_non_null(strstr(mr_error(), "private"));
	assert_return(map->redirect(range, 0), kIOReturnUnsupported);
	assert_int_equal(byte_of(map, 0), 1);
	map->release();
	buffer->release();
	range->release();
	munmap(memory, 2 * page_size);
}

/* Where it is, it can be taken over: then it can be redirected, and back. */
static void private_memory_is_redirected_where_it_is(void **)
{
	char *memory = private_memory(4 * page_size, 3), byte = 5;
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddress(memory, 4 * page_size, kBoth);
	IOBufferMemoryDescriptor *buffer = buffer_of(4 * page_size, 1);
	IOMemoryMap *map = range->createMappingInTask(kernel_task, reinterpret_cast<mach_vm_address_t>(memory), kIOMapUnique);
	struct victim *client;

	assert_ptr_equal(at(map), memory);
	if (features()->blocking) {
		assert_success(map->redirect(buffer, 0));
		assert_int_equal(memory[0], 1);
		assert_int_equal(range->writeBytes(0, &byte, 1), 1);
		assert_success(map->redirect(nullptr, 0));
		client = victim_start(ACCESS_ADD, memory + 8, 0);
		assert_success(map->redirect(range, 0));
		assert_true(victim_wait(client));
		victim_free(client);
		assert_int_equal(memory[0], 5);
		assert_int_equal(memory[1], 3);
	}
	map->release();
	assert_int_equal(memory[1], 3);
	range->release();
	buffer->release();
	munmap(memory, 4 * page_size);
}

static void an_established_mapping_is_shared(void **)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kBoth | kIOMemoryPageable, 2 * page_size);
	char *elsewhere = private_memory(2 * page_size, 0);
	IOMemoryMap *told = buffer->setMapping(kernel_task, reinterpret_cast<IOVirtualAddress>(elsewhere)), *map;

	assert_ptr_equal(at(told), elsewhere);
	map = buffer->map();
	assert_ptr_equal(map, told);
	map->release();
	told->release();
	map = buffer->setMapping(kernel_task, reinterpret_cast<IOVirtualAddress>(elsewhere), kIOMapUnique);
	assert_ptr_equal(at(map), elsewhere);
	if (features()->blocking)
		assert_success(map->redirect(buffer, 0));
	map->release();
	assert_null(buffer->setMapping(kernel_task, 0));
	assert_null(buffer->setMapping(TASK_NULL, reinterpret_cast<IOVirtualAddress>(elsewhere)));
	buffer->release();
	munmap(elsewhere, 2 * page_size);
}

static void a_map_is_put_where_it_is_to_be(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(2 * page_size, 6);
	char *place = private_memory(2 * page_size, 0);
	mach_vm_address_t address = reinterpret_cast<mach_vm_address_t>(place);
	IOMemoryMap *map;

	assert_null(buffer->createMappingInTask(kernel_task, address, 0)); /* it is taken */
	assert_null(buffer->createMappingInTask(kernel_task, 0, 0));
	assert_null(buffer->createMappingInTask(TASK_NULL, 0, kIOMapAnywhere));
	assert_null(buffer->map(kIOMapInhibitCache));
	assert_int_equal(place[0], 0);
	munmap(place, 2 * page_size);
	map = buffer->createMappingInTask(kernel_task, address, 0);
	assert_int_equal(map->getAddress(), address);
	assert_int_equal(byte_of(map, 0), 6);
	map->release();
	map = buffer->map(kernel_task, 0, kIOMapAnywhere | kIOMapUnique | kIOMapCopybackCache, page_size, page_size);
	assert_int_equal(map->getLength(), page_size);
	assert_int_equal(map->getMapOptions() & kIOMapCacheMask, kIOMapCopybackCache);
	map->release();
	buffer->release();
}

static void guard_pages_are_around_it(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(3 * page_size, 6);

	for (IOOptionBits guarded : { IOOptionBits(kIOMapGuardedSmall), IOOptionBits(kIOMapGuardedLarge) }) {
		uint64_t guard = guarded == kIOMapGuardedSmall ? page_size : 0x10000;
		IOMemoryMap *map = buffer->map(guarded | kIOMapUnique);
		char *before = static_cast<char *>(at(map)), *behind = before + 3 * page_size;

		assert_int_equal(byte_of(map, 3 * page_size - 1), 6);
		assert_true(access_is_absent(before - guard) && access_is_absent(before - 1));
		assert_true(access_is_absent(behind) && access_is_absent(behind + guard - 1));
		if (guarded == kIOMapGuardedLarge)
			assert_success(map->unmap());
		map->release();
	}
	buffer->release();
}

static void unmap_is_for_all_and_once(void **)
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kBoth | kIOMemoryPageable, 4 * page_size);
	IOMemoryMap *map = buffer->map(),
		    *part = buffer->createMappingInTask(kernel_task, 0, kIOMapAnywhere, page_size, page_size);
	IOMemoryMap *unique = buffer->map(kIOMapUnique);
	char *address = static_cast<char *>(at(map));
	IOByteCount length = 1;

	assert_success(map->unmap());
	assert_success(map->unmap());
	assert_int_equal(map->getAddress(), 0);
	assert_int_equal(part->getAddress(), 0);
	assert_true(access_is_absent(address));
	assert_int_equal(map->getLength(), 4 * page_size);
	assert_int_equal(part->getPhysicalSegment(0, &length), 0);
	assert_int_equal(length, 0);
	assert_success(unique->unmap());
	assert_return(unique->redirect(buffer, 0), kIOReturnNoDevice);
	assert_return(unique->redirect(nullptr, 0), kIOReturnNoDevice);
	for (IOMemoryMap *each : { map, part, unique })
		each->release();
	map = buffer->map(); /* those that are gone serve nobody */
	assert_int_not_equal(map->getAddress(), 0);
	assert_ptr_equal(map->getAddressTask(), current_task());
	map->taskDied();
	assert_null(map->getAddressTask());
	assert_int_equal(map->getAddress(), 0);
	map->release();
	buffer->release();
}

static void a_buffer_keeps_its_own_mapping(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(page_size, 2);
	IOMemoryMap *map = buffer->map();

	assert_ptr_equal(at(map), buffer->getBytesNoCopy());
	assert_success(map->unmap());
	assert_int_equal(*static_cast<char *>(buffer->getBytesNoCopy()), 2);
	map->release();
	buffer->release();
}

static void copies_on_write_are_copies(void **)
{
	char *memory = private_memory(3 * page_size, 3);
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddressRange(
		reinterpret_cast<mach_vm_address_t>(memory) + 8, 2 * page_size, kBoth | kIOMemoryMapCopyOnWrite, kernel_task);
	IOMemoryDescriptor *sub = IOSubMemoryDescriptor::withSubRange(range, 16, page_size, kBoth);
	IOMemoryMap *map = range->map(), *again = range->map(), *part = sub->map();

	assert_ptr_equal(map, again);
	assert_int_equal(map->getAddress() % page_size, 8);
	assert_int_equal(part->getAddress() % page_size, 24);
	memory[24] = 9;
	set_byte(map, 0, 7);
	assert_int_equal(byte_of(map, 16), 3);
	assert_int_equal(byte_of(part, 0), 3);
	assert_int_equal(memory[8], 3);
	for (OSObject *each : { static_cast<OSObject *>(map), static_cast<OSObject *>(again), static_cast<OSObject *>(part),
				static_cast<OSObject *>(sub), static_cast<OSObject *>(range) })
		each->release();
	munmap(memory, 3 * page_size);
}

static void parts_must_all_be_copied_or_none(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(page_size, 3);
	IOMemoryDescriptor *copied =
		IOMemoryDescriptor::withAddressRange(reinterpret_cast<mach_vm_address_t>(buffer->getBytesNoCopy()), page_size,
						     kBoth | kIOMemoryMapCopyOnWrite, kernel_task);
	IOMemoryDescriptor *mixed[2] = { buffer, copied }, *alike[2] = { copied, copied };
	IOMemoryDescriptor *multi = IOMultiMemoryDescriptor::withDescriptors(mixed, 2, kBoth);
	IOMemoryDescriptor *all = IOMultiMemoryDescriptor::withDescriptors(alike, 2, kBoth);
	IOMemoryMap *map = all->map();

	assert_null(multi->map());
	set_byte(map, page_size, 1);
	assert_int_equal(byte_of(map, 0), 3);
	assert_int_equal(*static_cast<char *>(buffer->getBytesNoCopy()), 3);
	map->release();
	for (IOMemoryDescriptor *each : { all, multi, copied, mixed[0] })
		each->release();
}

static void redirect_replaces_access_and_offset(void **)
{
	IOBufferMemoryDescriptor *first = buffer_of(2 * page_size, 1), *second = buffer_of(4 * page_size, 2);
	IOMemoryMap *map = first->map(kIOMapUnique);
	struct outcome outcome;

	static_cast<char *>(second->getBytesNoCopy())[page_size] = 3;
	assert_success(map->redirect(second, kIOMapReadOnly | kIOMapPrefault | kIOMapAnywhere, page_size));
	assert_int_equal(byte_of(map, 0), 3);
	assert_true(map->getMapOptions() & kIOMapReadOnly);
	assert_true(map->getMapOptions() & kIOMapUnique);
	outcome = access_try(ACCESS_STORE, at(map), 1);
	assert_int_equal(outcome.signal, SIGSEGV);
	assert_success(map->redirect(first, 0));
	assert_false(map->getMapOptions() & kIOMapReadOnly);
	set_byte(map, 0, 9);
	assert_int_equal(*static_cast<char *>(first->getBytesNoCopy()), 9);
	assert_int_equal(second->getRetainCount(), 1);
	assert_int_equal(first->getRetainCount(), 2);
	map->release();
	first->release();
	second->release();
}

static void redirect_that_cannot_be_leaves_all_as_it_was(void **)
{
	IOBufferMemoryDescriptor *first = buffer_of(2 * page_size, 1), *second = buffer_of(4 * page_size, 2);
	IOMemoryDescriptor *physical = IOMemoryDescriptor::withPhysicalAddress(0x1000, 4 * page_size, kBoth);
	IOMemoryMap *map = first->map(kIOMapUnique), *shared = second->map(kIOMapReadOnly);

	assert_return(shared->redirect(first, 0), kIOReturnNotPermitted);
	assert_return(shared->redirect(nullptr, 0), kIOReturnNotPermitted);
	assert_return(map->redirect(second, 0, 3 * page_size), kIOReturnBadArgument);
	assert_return(map->redirect(second, 0, ~mach_vm_size_t{ 0 }), kIOReturnBadArgument);
	assert_return(map->redirect(second, 0, 16), kIOReturnNotAligned);
	assert_return(map->redirect(second, kIOMapInhibitCache), kIOReturnUnsupported);
	assert_return(map->redirect(physical, 0), kIOReturnUnsupported);
	assert_ptr_equal(map->getMemoryDescriptor(), first);
	assert_int_equal(byte_of(map, 0), 1);
	assert_int_equal(second->getRetainCount(), 2);
	map->release();
	shared->release();
	for (IOMemoryDescriptor *each :
	     { static_cast<IOMemoryDescriptor *>(first), static_cast<IOMemoryDescriptor *>(second), physical })
		each->release();
}

static void redirect_to_a_copy_on_write_memory_shows_a_copy(void **)
{
	char *memory = private_memory(2 * page_size, 3);
	IOBufferMemoryDescriptor *buffer = buffer_of(page_size, 1);
	IOMemoryDescriptor *range = IOMemoryDescriptor::withAddressRange(
		reinterpret_cast<mach_vm_address_t>(memory) + 100, page_size, kBoth | kIOMemoryMapCopyOnWrite, kernel_task);
	IOMemoryMap *map = buffer->map(kIOMapUnique);

	assert_success(map->redirect(range, 0)); /* wherever in its page the memory is */
	memory[100] = 4;
	assert_int_equal(byte_of(map, 0), 3);
	map->release();
	range->release();
	buffer->release();
	munmap(memory, 2 * page_size);
}

static void blocked_clients_wait_and_find_the_new_memory(void **)
{
	IOBufferMemoryDescriptor *first = buffer_of(page_size, 1), *second = buffer_of(page_size, 2);
	IOMemoryMap *map = first->map(kIOMapUnique);
	struct victim *client;

	if (!features()->blocking) {
		assert_return(map->redirect(nullptr, 0), kIOReturnUnsupported);
	} else {
		assert_success(map->redirect(nullptr, kIOMapReadOnly, 5)); /* what is not used, does not matter */
		assert_success(map->redirect(nullptr, 0));
		assert_ptr_equal(map->getMemoryDescriptor(), first);
		client = victim_start(ACCESS_ADD, at(map), 1);
		assert_false(victim_is_done(client));
		assert_success(map->redirect(second, 0));
		assert_true(victim_wait(client));
		victim_free(client);
		assert_int_equal(byte_of(map, 0), 3);
		assert_int_equal(*static_cast<char *>(first->getBytesNoCopy()), 1);
	}
	map->release();
	first->release();
	second->release();
}

static void a_range_of_a_map_is_wired(void **)
{
	IOBufferMemoryDescriptor *buffer = buffer_of(4 * page_size, 1);
	IOMemoryMap *map = buffer->map(kIOMapUnique);

	assert_success(map->wireRange(kIODirectionIn, page_size, 10));
	assert_success(map->wireRange(0, page_size, 10));
	assert_return(map->wireRange(kIODirectionIn, 4 * page_size, 1), kIOReturnBadArgument);
	map->release();
	buffer->release();
}

static const struct CMUnitTest tests[] = {
	TEST(maps_that_fit_are_shared),
	TEST(a_reference_is_to_a_map_that_exists),
	TEST(a_part_and_its_whole_share_pages),
	TEST(memory_of_this_process_is_mapped_already),
	TEST(private_memory_has_no_second_map),
	TEST(private_memory_is_redirected_where_it_is),
	TEST(an_established_mapping_is_shared),
	TEST(a_map_is_put_where_it_is_to_be),
	TEST(guard_pages_are_around_it),
	TEST(unmap_is_for_all_and_once),
	TEST(a_buffer_keeps_its_own_mapping),
	TEST(copies_on_write_are_copies),
	TEST(parts_must_all_be_copied_or_none),
	TEST(redirect_replaces_access_and_offset),
	TEST(redirect_that_cannot_be_leaves_all_as_it_was),
	TEST(redirect_to_a_copy_on_write_memory_shows_a_copy),
	TEST(blocked_clients_wait_and_find_the_new_memory),
	TEST(a_range_of_a_map_is_wired),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "map", tests, COUNT(tests));
}
