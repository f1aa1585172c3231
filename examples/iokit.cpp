// SPDX-License-Identifier: MIT
// IOKit's own words: a client reads through a unique mapping, whose backing is taken away, copied, and replaced.
#include <IOKit/IOBufferMemoryDescriptor.h>
#include <IOKit/IOLib.h>

#include <atomic>
#include <thread>

int main()
{
	const vm_size_t length = 1 << 20;
	IOBufferMemoryDescriptor *first = IOBufferMemoryDescriptor::withCapacity(length, kIODirectionInOut);
	IOBufferMemoryDescriptor *second = IOBufferMemoryDescriptor::withCapacity(length, kIODirectionInOut);
	IOMemoryMap *map = first ? first->createMappingInTask(current_task(), 0, kIOMapAnywhere | kIOMapUnique) : nullptr;
	std::atomic<bool> stop{ false };
	std::atomic<long> reads{ 0 }, wrong{ 0 };

	if (!second || !map) {
		IOLog("no memory: %s\n", mr_error());
		return 1;
	}
	memset(first->getBytesNoCopy(), 'a', length);
	std::thread client([&] {
		const volatile char *bytes = reinterpret_cast<const volatile char *>(map->getAddress());

		while (!stop) {
			char byte = bytes[reads++ % length];

			wrong += byte != 'a' && byte != 'b';
		}
	});

	for (int i = 0; i < 100; i++) {
		IOReturn result = map->redirect(nullptr, 0); /* from now on the client waits in its page fault */

		if (result == kIOReturnUnsupported) { /* without userfaultfd, the client is just shown the other memory */
			result = map->redirect(second, 0);
		} else if (result == kIOReturnSuccess) {
			first->readBytes(0, second->getBytesNoCopy(), length); /* a copy of one instant */
			memset(second->getBytesNoCopy(), 'b', length / 2);
			result = map->redirect(second, kIOMapPrefault);
		}
		if (result == kIOReturnSuccess)
			result = map->redirect(first, kIOMapPrefault);
		if (result != kIOReturnSuccess) {
			IOLog("redirect: %#x: %s\n", result, mr_error());
			return 1;
		}
	}
	stop = true;
	client.join();
	printf("%ld reads, %ld wrong\n", reads.load(), wrong.load());
	map->release();
	second->release();
	first->release();
	return wrong ? 1 : 0;
}
