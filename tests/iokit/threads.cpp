// SPDX-License-Identifier: MIT
// Objects that several threads use at once: maps are shared, dropped, unmapped and redirected by all of them, each byte that is seen is
// one of those that may be, and nothing is left behind.
#include "support.h"

static constexpr int kThreads = 4;

template <typename Body> static void in_threads(Body body)
{
	pthread_attr_t attributes;
	pthread_t threads[kThreads];
	struct Start {
		Body *body;
		int index;
	} starts[kThreads];

	pthread_attr_init(&attributes);
	for (int i = 0; i < kThreads; i++) {
		starts[i] = { &body, i };
		assert_int_equal(pthread_create(
					 &threads[i], &attributes,
					 [](void *argument) -> void * {
						 Start *start = static_cast<Start *>(argument);

						 (*start->body)(start->index);
						 return nullptr;
					 },
					 &starts[i]),
				 0);
	}
	for (pthread_t thread : threads)
		pthread_join(thread, nullptr);
	pthread_attr_destroy(&attributes);
}

static void sharing_and_dropping_maps()
{
	IOBufferMemoryDescriptor *buffer =
		IOBufferMemoryDescriptor::inTaskWithOptions(TASK_NULL, kBoth | kIOMemoryPageable, 4 * page_size);
	std::atomic<int> wrong{ 0 };

	in_threads([&](int index) {
		for (int i = 0; i < 300; i++) {
			uint64_t offset = i % 3 ? 0 : page_size;
			IOMemoryMap *map = buffer->createMappingInTask(kernel_task, 0, kIOMapAnywhere, offset, page_size);
			volatile std::atomic<int> *word;

			if (!map || !map->getAddress()) {
				wrong++;
				continue;
			}
			word = reinterpret_cast<volatile std::atomic<int> *>(map->getAddress() + 64 * index);
			word->store(i);
			wrong += word->load() != i;
			map->release();
		}
	});
	assert_int_equal(wrong, 0);
	assert_int_equal(buffer->getRetainCount(), 1);
	buffer->release();
}

static void redirecting_one_map()
{
	IOBufferMemoryDescriptor *buffers[kThreads];
	std::atomic<int> wrong{ 0 };
	IOMemoryMap *map;

	for (int i = 0; i < kThreads; i++)
		buffers[i] = buffer_of(2 * page_size, i + 1);
	map = buffers[0]->map(kIOMapUnique);
	in_threads([&](int index) {
		for (int i = 0; i < 200; i++) {
			wrong += map->redirect(buffers[(index + i) % kThreads], i % 2 ? kIOMapPrefault : IOOptionBits{ 0 }) !=
				 kIOReturnSuccess;
			if (features()->blocking && i % 16 == 0) {
				wrong += map->redirect(nullptr, 0) != kIOReturnSuccess;
				wrong += map->redirect(buffers[index], 0) != kIOReturnSuccess;
			}
			wrong += byte_of(map, page_size) < 1 || byte_of(map, page_size) > kThreads;
			wrong += map->getMapOptions() != (kIOMapUnique | kIOMapAnywhere);
		}
	});
	assert_int_equal(wrong, 0);
	map->release();
	for (IOBufferMemoryDescriptor *buffer : buffers) {
		assert_int_equal(buffer->getRetainCount(), 1);
		buffer->release();
	}
}

static void looking_up_late()
{
	char *memory = static_cast<char *>(IOMalloc(4 * page_size));
	std::atomic<int> wrong{ 0 };

	for (int round = 0; round < 20; round++) {
		IOMemoryDescriptor *range = IOMemoryDescriptor::withAddress(memory, 4 * page_size, kBoth);
		IOMemoryDescriptor *parts[2] = { range, range };
		IOMemoryDescriptor *multi = IOMultiMemoryDescriptor::withDescriptors(parts, 2, kBoth);

		in_threads([&](int index) {
			char byte = char(index);

			wrong += range->prepare() != kIOReturnSuccess;
			wrong += multi->writeBytes(uint64_t(index), &byte, 1) != 1;
			wrong += multi->readBytes(4 * page_size + uint64_t(index), &byte, 1) != 1 || byte != index;
			wrong += range->complete() != kIOReturnSuccess;
		});
		multi->release();
		range->release();
	}
	assert_int_equal(wrong, 0);
	IOFree(memory, 4 * page_size);
}

int main()
{
	sharing_and_dropping_maps();
	redirecting_one_map();
	looking_up_late();
	return 0;
}
