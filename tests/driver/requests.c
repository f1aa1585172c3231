/* SPDX-License-Identifier: MIT */
/* Requests: each with every wrong size, flag, pad, identifier and order, and what they answer when they are right. */
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"

/* Each request that is right: to a scene that has backing 1 of four pages, and shows it. */
struct right {
	const char *name;
	unsigned int command;
	uint32_t size;
	uint32_t first_flag; /* the lowest bit of its flags that is unknown */
	size_t pad;	     /* where its pad is, or 0 */
	bool client;	     /* map descriptors take it, too */
	bool ignores_flags;  /* they are an output */
};

static const struct right rights[] = {
	{ "CREATE", MEMREDIRECT_CREATE, sizeof(struct memredirect_create), 0x4, 0, false, false },
	{ "OPEN", MEMREDIRECT_OPEN, sizeof(struct memredirect_open), 0x4, offsetof(struct memredirect_open, pad), false,
	  false },
	{ "ADD_BACKING", MEMREDIRECT_ADD_BACKING, sizeof(struct memredirect_add_backing), 0x2, 0, false, false },
	{ "DEL_BACKING", MEMREDIRECT_DEL_BACKING, sizeof(struct memredirect_del_backing), 0x1,
	  offsetof(struct memredirect_del_backing, pad), false, false },
	{ "REDIRECT", MEMREDIRECT_REDIRECT, sizeof(struct memredirect_redirect), 0x2,
	  offsetof(struct memredirect_redirect, pad), false, false },
	{ "BLOCK", MEMREDIRECT_BLOCK, sizeof(struct memredirect_block), 0x4, offsetof(struct memredirect_block, pad), false,
	  false },
	{ "REVOKE", MEMREDIRECT_REVOKE, sizeof(struct memredirect_revoke), 0x1, 0, false, false },
	{ "GET_INFO", MEMREDIRECT_GET_INFO, sizeof(struct memredirect_info), 0, 0, true, true },
	{ "POPULATE", MEMREDIRECT_POPULATE, sizeof(struct memredirect_populate), 0x1, 0, true, false },
	{ "GET_PHYS", MEMREDIRECT_GET_PHYS, sizeof(struct memredirect_phys), 0x1, offsetof(struct memredirect_phys, pad), false,
	  false },
	{ "READ", MEMREDIRECT_READ, sizeof(struct memredirect_copy), 0x1, offsetof(struct memredirect_copy, pad), false,
	  false },
	{ "WRITE", MEMREDIRECT_WRITE, sizeof(struct memredirect_copy), 0x1, offsetof(struct memredirect_copy, pad), false,
	  false },
};

static const struct memredirect_segment one_page = { .kind = MEMREDIRECT_KERNEL, .length = 4096 };
static uint64_t buffer[512];

/* The bytes of a request that is right. */
static void fill(const struct right *right, const struct scene *scene, void *bytes)
{
	memset(bytes, 0, 8192);
	*(uint32_t *)bytes = right->size;
	switch (right->command) {
	case MEMREDIRECT_CREATE:
		((struct memredirect_create *)bytes)->length = PAGE;
		break;
	case MEMREDIRECT_ADD_BACKING: {
		struct memredirect_add_backing *add = bytes;

		add->segments = (uintptr_t)&one_page;
		add->count = 1;
		add->segment_size = sizeof(one_page);
		break;
	}
	case MEMREDIRECT_DEL_BACKING:
		((struct memredirect_del_backing *)bytes)->id = 2;
		break;
	case MEMREDIRECT_REDIRECT:
		((struct memredirect_redirect *)bytes)->id = 1;
		break;
	case MEMREDIRECT_POPULATE:
		((struct memredirect_populate *)bytes)->address = (uintptr_t)scene->at;
		((struct memredirect_populate *)bytes)->length = PAGE;
		break;
	case MEMREDIRECT_READ:
	case MEMREDIRECT_WRITE:
		((struct memredirect_copy *)bytes)->id = 1;
		((struct memredirect_copy *)bytes)->address = (uintptr_t)buffer;
		((struct memredirect_copy *)bytes)->length = 8;
		break;
	default:
		break;
	}
}

static struct scene shown(void)
{
	struct scene scene = scene_make(4, 0, 0);

	assert_int_equal(backing_fresh(scene.control, 4, 11), 1);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	return scene;
}

/* Nothing of it has changed: the state, the generation, what is shown, and how many backings and descriptors there are. */
static void assert_untouched(const struct scene *scene)
{
	struct memredirect_info now = info(scene->control);
	int next = dup(0);

	assert_int_equal(now.state, MEMREDIRECT_STATE_MAPPED);
	assert_int_equal(now.generation, 2);
	assert_int_equal(now.id, 1);
	assert_int_equal(peek(scene->at), 11);
	assert_int_equal(backing_del(scene->control, 2), -ENOENT);
	assert_int_equal(next, scene->map + 1);
	close(next);
}

static void each(void (*check)(const struct right *right, const struct scene *scene, void *bytes))
{
	void *bytes = malloc(8192);

	for (size_t i = 0; i < COUNT(rights); i++) {
		struct scene scene = shown();

		fill(&rights[i], &scene, bytes);
		check(&rights[i], &scene, bytes);
		assert_untouched(&scene);
		scene_end(&scene);
	}
	free(bytes);
}

static void check_short(const struct right *right, const struct scene *scene, void *bytes)
{
	for (uint32_t size = 0; size < right->size; size++) {
		*(uint32_t *)bytes = size;
		assert_int_equal(request(scene->control, right->command, bytes), -EINVAL);
	}
}

static void requests_that_are_too_short_are_refused(void **state)
{
	(void)state;
	each(check_short);
}

static void check_huge(const struct right *right, const struct scene *scene, void *bytes)
{
	*(uint32_t *)bytes = 4097;
	assert_int_equal(request(scene->control, right->command, bytes), -E2BIG);
	*(uint32_t *)bytes = UINT32_MAX;
	assert_int_equal(request(scene->control, right->command, bytes), -E2BIG);
}

static void requests_of_more_than_a_page_are_refused(void **state)
{
	(void)state;
	each(check_huge);
}

static void check_tail(const struct right *right, const struct scene *scene, void *bytes)
{
	char *tail = (char *)bytes + right->size;

	for (uint32_t more = 1; more <= 64; more++) {
		*(uint32_t *)bytes = right->size + more;
		tail[more - 1] = 1;
		assert_int_equal(request(scene->control, right->command, bytes), -E2BIG);
		tail[more - 1] = 0;
	}
}

static void what_is_unknown_beyond_a_request_must_be_zero(void **state)
{
	(void)state;
	each(check_tail);
}

static void longer_requests_with_zeroes_are_taken(void **state)
{
	struct scene scene = shown();
	struct {
		struct memredirect_info info;
		uint64_t more[4];
	} longer = { .info = { .size = sizeof(longer) } };

	(void)state;
	assert_int_equal(request(scene.control, MEMREDIRECT_GET_INFO, &longer), 0);
	assert_int_equal(longer.info.generation, 2);
	assert_int_equal(longer.more[0], 0);
	scene_end(&scene);
}

static void check_flags(const struct right *right, const struct scene *scene, void *bytes)
{
	uint32_t *flags = (uint32_t *)bytes + 1;

	if (right->ignores_flags)
		return;
	for (uint32_t flag = right->first_flag; flag; flag <<= 1) {
		*flags = flag;
		assert_int_equal(request(scene->control, right->command, bytes), -EINVAL);
	}
}

static void unknown_flags_are_refused(void **state)
{
	(void)state;
	each(check_flags);
}

static void check_pad(const struct right *right, const struct scene *scene, void *bytes)
{
	if (!right->pad)
		return;
	for (int bit = 0; bit < 32; bit++) {
		*(uint32_t *)((char *)bytes + right->pad) = 1U << bit;
		assert_int_equal(request(scene->control, right->command, bytes), -EINVAL);
	}
}

static void pads_must_be_zero(void **state)
{
	(void)state;
	each(check_pad);
}

static void check_address(const struct right *right, const struct scene *scene, void *bytes)
{
	char *edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(request(scene->control, right->command, NULL), -EFAULT);
	assert_int_equal(request(scene->control, right->command, (void *)-PAGE), -EFAULT);
	munmap(edge + PAGE, PAGE);
	for (uint32_t there = 1; there < right->size; there++) {
		memcpy(edge + PAGE - there, bytes, there);
		assert_int_equal(request(scene->control, right->command, edge + PAGE - there), -EFAULT);
	}
	munmap(edge, PAGE);
}

static void requests_that_cannot_be_read_are_refused(void **state)
{
	(void)state;
	each(check_address);
}

static void check_unwritable(const struct right *right, const struct scene *scene, void *bytes)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(page, bytes, right->size);
	mprotect(page, PAGE, PROT_READ);
	switch (right->command) {
	case MEMREDIRECT_CREATE:
	case MEMREDIRECT_DEL_BACKING:
	case MEMREDIRECT_POPULATE:
		break;
	default:
		assert_int_equal(request(scene->control, right->command, page), -EFAULT);
	}
	munmap(page, PAGE);
}

static void requests_whose_answer_cannot_be_written_do_nothing(void **state)
{
	(void)state;
	each(check_unwritable);
}

static void check_client(const struct right *right, const struct scene *scene, void *bytes)
{
	assert_int_equal(request(scene->map, right->command, bytes), right->client ? 0 : -ENOTTY);
}

static void clients_can_ask_and_fill_and_no_more(void **state)
{
	(void)state;
	each(check_client);
}

static void unknown_requests_are_refused(void **state)
{
	struct scene scene = shown();

	(void)state;
	for (unsigned int type = 0; type < 256; type++)
		for (unsigned int number = 0; number < 256; number++) {
			unsigned int command = _IO(type, number);

			if (type == MEMREDIRECT_TYPE && number <= 0xb)
				continue;
			/* Those that the kernel answers for every descriptor. */
			if (command == FIOCLEX || command == FIONCLEX || command == FIONBIO || command == FIOASYNC ||
			    type == 'X' || type == 'f' || type == 0x12 || type == 0)
				continue;
			assert_int_equal(request(scene.control, command, buffer), -ENOTTY);
			assert_int_equal(request(scene.map, command, buffer), -ENOTTY);
		}
	for (size_t i = 0; i < COUNT(rights); i++) {
		assert_int_equal(request(scene.control, _IOWR(MEMREDIRECT_TYPE, _IOC_NR(rights[i].command), char[64]), buffer),
				 -ENOTTY);
		assert_int_equal(request(scene.control, _IOR(MEMREDIRECT_TYPE, _IOC_NR(rights[i].command), char[16]), buffer),
				 -ENOTTY);
	}
	assert_untouched(&scene);
	scene_end(&scene);
}

static void before_create_there_is_no_map(void **state)
{
	int control = control_open();
	struct scene none = { .control = control };
	void *bytes = malloc(8192);

	(void)state;
	assert_int_equal(backing_fresh(control, 1, 5), 1);
	for (size_t i = 0; i < COUNT(rights); i++) {
		switch (rights[i].command) {
		case MEMREDIRECT_CREATE:
		case MEMREDIRECT_ADD_BACKING:
		case MEMREDIRECT_DEL_BACKING:
		case MEMREDIRECT_READ:
		case MEMREDIRECT_WRITE:
			continue;
		default:
			fill(&rights[i], &none, bytes);
			assert_int_equal(request(control, rights[i].command, bytes), -ENXIO);
		}
	}
	assert_int_equal(events_now(control) & POLLERR, POLLERR);
	assert_int_equal(backing_del(control, 1), 0);
	free(bytes);
	close(control);
}

static void a_control_has_one_map(void **state)
{
	int control = control_open();

	(void)state;
	assert_int_equal(control_create(control, 0, 0), -EINVAL);
	assert_int_equal(control_create(control, PAGE + 1, 0), -EINVAL);
	assert_int_equal(control_create(control, PAGE - 1, 0), -EINVAL);
	assert_int_equal(control_create(control, UINT64_C(1) << 63, 0), -EOVERFLOW);
	assert_int_equal(control_create(control, -PAGE, 0), -EOVERFLOW);
	assert_int_equal(control_create(control, PAGE, 0), 0);
	assert_int_equal(control_create(control, PAGE, 0), -EEXIST);
	assert_int_equal(info(control).length, PAGE);
	close(control);
}

static void redirects_check_what_they_are_told(void **state)
{
	struct scene scene = shown();
	struct memredirect_segment segment = { .kind = MEMREDIRECT_KERNEL, .length = 8 * PAGE };
	uint32_t read_only;

	(void)state;
	assert_int_equal(backing_add(scene.control, &segment, 1, MEMREDIRECT_BACKING_READ_ONLY, 0, &read_only), 0);
	assert_int_equal(redirect_to(scene.control, 0, 0, 0), -ENOENT);
	assert_int_equal(redirect_to(scene.control, 77, 0, 0), -ENOENT);
	assert_int_equal(redirect_to(scene.control, UINT32_MAX, 0, 0), -ENOENT);
	assert_int_equal(redirect_to(scene.control, 1, PAGE, 0), -ERANGE);
	assert_int_equal(redirect_to(scene.control, 1, -PAGE, 0), -ERANGE);
	assert_int_equal(redirect_to(scene.control, 1, 1, 0), -EINVAL);
	assert_int_equal(redirect_to(scene.control, read_only, 0, 0), -EACCES);
	assert_int_equal(redirect_to(scene.control, read_only, 5 * PAGE, MEMREDIRECT_REDIRECT_READ_ONLY), -ERANGE);
	assert_int_equal(info(scene.control).generation, 2);
	assert_int_equal(redirect_to(scene.control, read_only, 4 * PAGE, MEMREDIRECT_REDIRECT_READ_ONLY), 0);
	assert_int_equal(info(scene.control).access, MEMREDIRECT_INFO_READ_ONLY);
	assert_int_equal(backing_del(scene.control, read_only), -EBUSY);
	scene_end(&scene);
}

static void changes_can_depend_on_the_generation(void **state)
{
	struct scene scene = shown();
	uint32_t other = backing_fresh(scene.control, 4, 22);
	struct memredirect_redirect redirect = REQUEST(redirect, .id = other, .generation = 1);
	struct memredirect_block block_at = REQUEST(block, .generation = 9);
	struct memredirect_revoke revoke_at = REQUEST(revoke, .generation = UINT64_MAX);

	(void)state;
	assert_int_equal(request(scene.control, MEMREDIRECT_REDIRECT, &redirect), -ESTALE);
	assert_int_equal(request(scene.control, MEMREDIRECT_BLOCK, &block_at), -ESTALE);
	assert_int_equal(request(scene.control, MEMREDIRECT_REVOKE, &revoke_at), -ESTALE);
	assert_int_equal(peek(scene.at), 11);
	redirect.generation = 2;
	assert_int_equal(request(scene.control, MEMREDIRECT_REDIRECT, &redirect), 0);
	assert_int_equal(redirect.generation, 3);
	assert_int_equal(peek(scene.at), 22);
	block_at.generation = 3;
	assert_int_equal(request(scene.control, MEMREDIRECT_BLOCK, &block_at), 0);
	assert_int_equal(block_at.generation, 4);
	revoke_at.generation = 4;
	assert_int_equal(request(scene.control, MEMREDIRECT_REVOKE, &revoke_at), 0);
	assert_int_equal(revoke_at.generation, 5);
	scene_end(&scene);
}

static void what_is_shown_already_is_no_change(void **state)
{
	struct scene scene = shown();

	(void)state;
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), 0);
	assert_int_equal(info(scene.control).generation, 2);
	assert_int_equal(redirect_to(scene.control, 1, 0, MEMREDIRECT_REDIRECT_READ_ONLY), 0);
	assert_int_equal(info(scene.control).generation, 3);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(info(scene.control).generation, 4);
	scene_end(&scene);
}

static void a_revoked_map_takes_no_change(void **state)
{
	struct scene scene = shown();

	(void)state;
	assert_int_equal(revoke_map(scene.control), 0);
	assert_int_equal(revoke_map(scene.control), -ENODEV);
	assert_int_equal(block(scene.control, 0, 0), -ENODEV);
	assert_int_equal(redirect_to(scene.control, 1, 0, 0), -ENODEV);
	assert_int_equal(map_open(scene.control, 0), -ENODEV);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, scene.map, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	assert_int_equal(peek(scene.at), GOT_SIGNAL | SIGBUS);
	assert_int_equal(info(scene.control).id, 0);
	assert_int_equal(backing_del(scene.control, 1), 0);
	scene_end(&scene);
}

static void mappings_are_shared_and_within_the_map(void **state)
{
	struct scene scene = shown();
	int read_only = map_open(scene.control, MEMREDIRECT_OPEN_READ_ONLY);

	(void)state;
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, scene.map, 0), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, 5 * PAGE, PROT_READ, MAP_SHARED, scene.map, 0), MAP_FAILED);
	assert_int_equal(errno, ENXIO);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, scene.map, 4 * PAGE), MAP_FAILED);
	assert_int_equal(errno, ENXIO);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, read_only, 0), MAP_FAILED);
	assert_int_equal(errno, EACCES);
	assert_int_equal(info(read_only).access, MEMREDIRECT_INFO_DESCRIPTOR_READ_ONLY);
	assert_int_not_equal(fcntl(read_only, F_GETFD) & FD_CLOEXEC, 0);
	close(read_only);
	scene_end(&scene);
}

static void copies_stay_within_the_backing(void **state)
{
	struct scene scene = shown();
	uint64_t words[1024];

	(void)state;
	assert_int_equal(backing_read(scene.control, 1, 0, words, 4 * PAGE + 1), -ERANGE);
	assert_int_equal(backing_read(scene.control, 1, 4 * PAGE + 1, words, 0), -ERANGE);
	assert_int_equal(backing_read(scene.control, 1, UINT64_MAX, words, 8), -ERANGE);
	assert_int_equal(backing_read(scene.control, 1, 8, words, UINT64_MAX), -ERANGE);
	assert_int_equal(backing_read(scene.control, 1, 4 * PAGE, words, 0), 0);
	assert_int_equal(backing_read(scene.control, 9, 0, words, 8), -ENOENT);
	assert_int_equal(backing_read(scene.control, 1, 0, NULL, 8), -EFAULT);
	assert_int_equal(backing_write(scene.control, 1, 0, NULL, 8), -EFAULT);
	words[0] = 99;
	assert_int_equal(backing_write(scene.control, 1, PAGE - 3, words, 8), 0);
	assert_int_equal(((volatile unsigned char *)scene.at)[PAGE - 3], 99);
	assert_int_equal(backing_read(scene.control, 1, PAGE - 3, words + 1, 8), 0);
	assert_int_equal(words[1], 99);
	scene_end(&scene);
}

static void a_copy_that_fails_midway_says_how_far_it_came(void **state)
{
	struct scene scene = shown();
	char *place = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct memredirect_copy copy = REQUEST(copy, .id = 1, .address = (uintptr_t)place, .length = 4 * PAGE);

	(void)state;
	munmap(place + 2 * PAGE, PAGE);
	assert_int_equal(request(scene.control, MEMREDIRECT_READ, &copy), -EFAULT);
	assert_int_equal(copy.length, 2 * PAGE);
	assert_int_equal(*(uint64_t *)place, 11);
	munmap(place, 2 * PAGE);
	scene_end(&scene);
}

/* The buffer of a copy may lie in the map, also when that is blocked: others can go on, and let it. */
static int read_into_the_map(struct child *self, void *argument)
{
	struct scene *scene = argument;

	child_tell(self);
	return -backing_read(scene->control, 1, 0, (void *)scene->at, 8);
}

static void copies_to_a_blocked_map_wait_without_keeping_others(void **state)
{
	struct scene scene = shown();
	uint32_t other = backing_fresh(scene.control, 4, 22);
	struct child child;
	int status;

	(void)state;
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_true(child_start(&child, read_into_the_map, &scene));
	assert_true(wait_waiting(scene.control, 1));
	assert_int_equal(redirect_to(scene.control, other, 0, 0), 0);
	assert_true(child_wait(&child, &status));
	assert_int_equal(status, 0);
	assert_int_equal(peek(scene.at), 11);
	scene_end(&scene);
}

static void populating_needs_a_range_of_the_map(void **state)
{
	struct scene scene = shown(), other = shown();
	struct memredirect_populate populate = REQUEST(populate, .address = (uintptr_t)scene.at, .length = scene.length);

	(void)state;
	assert_int_equal(request(scene.map, MEMREDIRECT_POPULATE, &populate), 0);
	assert_int_equal(request(other.map, MEMREDIRECT_POPULATE, &populate), -EFAULT);
	populate.length = 64 * PAGE;
	assert_int_equal(request(scene.map, MEMREDIRECT_POPULATE, &populate), -EFAULT);
	populate.length = 1;
	assert_int_equal(request(scene.map, MEMREDIRECT_POPULATE, &populate), -EINVAL);
	populate.length = -PAGE;
	assert_int_equal(request(scene.map, MEMREDIRECT_POPULATE, &populate), -EFAULT);
	populate.length = PAGE;
	populate.address = (uintptr_t)buffer & -PAGE;
	assert_int_equal(request(scene.map, MEMREDIRECT_POPULATE, &populate), -EFAULT);
	populate.address = (uintptr_t)scene.at;
	assert_int_equal(block(scene.control, 0, 0), 0);
	assert_int_equal(request(scene.map, MEMREDIRECT_POPULATE, &populate), -EAGAIN);
	assert_int_equal(revoke_map(scene.control), 0);
	assert_int_equal(request(scene.map, MEMREDIRECT_POPULATE, &populate), -ENODEV);
	scene_end(&scene);
	scene_end(&other);
}

static void blocks_check_their_deadlines(void **state)
{
	struct scene scene = shown(), empty = scene_make(1, 0, 0);

	(void)state;
	assert_int_equal(block(scene.control, 0, 5), -EINVAL);
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_REVOKE, 0), -EINVAL);
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_RETURN, 0), -EINVAL);
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_RETURN | MEMREDIRECT_BLOCK_THEN_REVOKE, 5), -EINVAL);
	assert_int_equal(block(empty.control, MEMREDIRECT_BLOCK_THEN_RETURN, 5), -EINVAL);
	assert_int_equal(info(empty.control).state, MEMREDIRECT_STATE_EMPTY);
	assert_int_equal(info(scene.control).generation, 2);
	assert_int_equal(block(scene.control, MEMREDIRECT_BLOCK_THEN_RETURN, UINT32_MAX), 0);
	assert_true(info(scene.control).deadline_ms > 1000000);
	assert_int_equal(info(scene.map).deadline_ms, 0);
	scene_end(&scene);
	scene_end(&empty);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(requests_that_are_too_short_are_refused),
		TEST(requests_of_more_than_a_page_are_refused),
		TEST(what_is_unknown_beyond_a_request_must_be_zero),
		TEST(longer_requests_with_zeroes_are_taken),
		TEST(unknown_flags_are_refused),
		TEST(pads_must_be_zero),
		TEST(requests_that_cannot_be_read_are_refused),
		TEST(requests_whose_answer_cannot_be_written_do_nothing),
		TEST(clients_can_ask_and_fill_and_no_more),
		TEST(unknown_requests_are_refused),
		TEST(before_create_there_is_no_map),
		TEST(a_control_has_one_map),
		TEST(redirects_check_what_they_are_told),
		TEST(changes_can_depend_on_the_generation),
		TEST(what_is_shown_already_is_no_change),
		TEST(a_revoked_map_takes_no_change),
		TEST(mappings_are_shared_and_within_the_map),
		TEST(copies_stay_within_the_backing),
		TEST(a_copy_that_fails_midway_says_how_far_it_came),
		TEST(copies_to_a_blocked_map_wait_without_keeping_others),
		TEST(populating_needs_a_range_of_the_map),
		TEST(blocks_check_their_deadlines),
	};
	int missing = device_missing();

	return missing ? missing : suite_run(argc, argv, "requests of the driver", tests, COUNT(tests));
}
