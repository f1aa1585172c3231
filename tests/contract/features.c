/* SPDX-License-Identifier: MIT */
/* mr_features: what it says is what holds. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "pagemap.h"
#include "scene.h"
#include "suite.h"
#include "wait.h"

static uint64_t number_in(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t number = 0;

	if (file && fscanf(file, "%" SCNu64, &number) != 1)
		number = 0;
	if (file)
		fclose(file);
	return number;
}

static void features_limits_are_those_of_the_system(void **state)
{
	struct mr_features here;
	struct rlimit limit;

	(void)state;
	assert_ok(mr_features(&here));
	assert_int_equal(here.page_size, sysconf(_SC_PAGESIZE));
	assert_int_equal(here.max_map_count, number_in("/proc/sys/vm/max_map_count"));
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (geteuid() != 0)
		assert_int_equal(here.lock_limit, limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(here.descriptor_limit, limit.rlim_cur);
	for (size_t i = 0; i < COUNT(here.reserved); i++)
		assert_int_equal(here.reserved[i], 0);
}

static void features_huge_pages_are_those_of_the_system(void **state)
{
	static const char folder[] = "/sys/kernel/mm/hugepages/hugepages-2048kB";
	struct mr_features here;

	(void)state;
	assert_ok(mr_features(&here));
	assert_int_equal(here.huge_2m_supported, access(folder, F_OK) == 0);
	assert_true(here.huge_2m_free <= number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"));
	assert_int_equal(here.huge_1g_supported, access("/sys/kernel/mm/hugepages/hugepages-1048576kB", F_OK) == 0);
	assert_true(here.huge_1g_free <= number_in("/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"));
}

static void features_agree_with_each_other(void **state)
{
	struct mr_features here;

	(void)state;
	assert_ok(mr_features(&here));
	assert_int_equal(here.blocking, here.fault_access != MR_FAULT_ACCESS_NONE && here.event_remap);
	assert_int_equal(here.kernel_faults, here.fault_access >= MR_FAULT_ACCESS_DEVICE);
}

/* Kernel faults are what they are said to be: a system call waits, or gets EFAULT. */
static void check_kernel_faults(void)
{
	struct mr_features here;
	struct victim *victim;
	struct scene scene;

	assert_ok(mr_features(&here));
	scene_make(&scene, kind_find("buffer"));
	if (!here.blocking) {
		assert_error(mr_map_redirect(scene.map, NULL, 0, 0), EOPNOTSUPP);
		scene_free(&scene);
		return;
	}
	scene_block(&scene);
	victim = victim_start(ACCESS_WRITE, scene.address, 0);
	assert_non_null(victim);
	if (here.kernel_faults)
		assert_true(wait_waiters(scene.map, 1));
	else
		assert_true(victim_wait(victim));
	assert_int_equal(victim_is_done(victim), !here.kernel_faults);
	scene_restore(&scene);
	assert_true(victim_wait(victim));
	assert_int_equal(victim->outcome.error, here.kernel_faults ? 0 : EFAULT);
	victim_free(victim);
	scene_free(&scene);
}

static void features_kernel_faults_wait_or_not(void **state)
{
	(void)state;
	check_kernel_faults();
}

static void check_frame_numbers(void)
{
	struct mr_features here;
	int value = 1;

	assert_ok(mr_features(&here));
	assert_int_equal(here.frame_numbers, page_frame(&value) != 0);
}

static void features_frame_numbers_are_shown_or_not(void **state)
{
	(void)state;
	check_frame_numbers();
}

/* Without privileges it says what holds then, in the same program. */
static int ask_again(struct child *self, void *argument)
{
	struct mr_features here;

	(void)self;
	(void)argument;
	assert_true(child_drop_privileges());
	assert_ok(mr_features(&here));
	assert_int_equal(here.frame_numbers, false);
	if (!number_in("/proc/sys/vm/unprivileged_userfaultfd") && access("/dev/userfaultfd", R_OK | W_OK))
		assert_int_equal(here.kernel_faults, false);
	check_frame_numbers();
	check_kernel_faults();
	return 0;
}

static void features_follow_the_privileges(void **state)
{
	(void)state;
	assert_int_equal(child_run(ask_again, NULL), 0);
}

static int ask_with_limits(struct child *self, void *argument)
{
	const struct rlimit descriptors = { 40, 40 }, locks = { 4096, 4096 };
	struct mr_features here;

	(void)self;
	(void)argument;
	assert_true(child_drop_privileges());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &locks), 0);
	assert_ok(mr_features(&here));
	assert_int_equal(here.descriptor_limit, 40);
	assert_int_equal(here.lock_limit, 4096);
	return 0;
}

static void features_follow_the_limits(void **state)
{
	(void)state;
	assert_int_equal(child_run(ask_with_limits, NULL), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(features_limits_are_those_of_the_system),
	TEST(features_huge_pages_are_those_of_the_system),
	TEST(features_agree_with_each_other),
	TEST(features_kernel_faults_wait_or_not),
	TEST(features_frame_numbers_are_shown_or_not),
	TEST(features_follow_the_privileges),
	TEST(features_follow_the_limits),
};

int main(int argc, char **argv)
{
	return suite_run(argc, argv, "features", tests, COUNT(tests));
}
