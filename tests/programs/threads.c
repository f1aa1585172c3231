/* SPDX-License-Identifier: MIT */
/* A program for core files to be taken of: each thread is in functions that are known by name, with values that are known. */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPARSE ((size_t)256 << 20)

/* Less than a huge page: what is larger is mapped at multiples of that. */
#define APART ((size_t)1 << 20)

static pthread_barrier_t all_wait;
static int ends[2];
int answer = 42;
char *sparse; /* much memory, of which three pages have been written to */
char *hollow; /* shared, of a file that has the first page alone */
char *apart;  /* shared, and kept from children: so it is not in the core */

/* Nobody ever writes. */
__attribute__((noinline)) static void wait_for_ever(void)
{
	char byte;

	while (read(ends[0], &byte, 1) != 0)
		continue;
}

__attribute__((noinline)) static void first_thread_waits(int number)
{
	pthread_barrier_wait(&all_wait);
	wait_for_ever();
	answer = number;
}

__attribute__((noinline)) static void second_thread_spins(volatile unsigned long *count)
{
	pthread_barrier_wait(&all_wait);
	for (;;)
		++*count;
}

static void *first(void *argument)
{
	first_thread_waits(1001);
	return argument;
}

static void *second(void *argument)
{
	unsigned long count = 0;

	second_thread_spins(&count);
	return argument;
}

int main(void)
{
	pthread_t threads[2];
	int file;

	/* First, so that a mapping which the copy makes anywhere is made there. */
	apart = mmap(NULL, APART, PROT_READ | PROT_WRITE, MAP_SHARED, memfd_create("apart", MFD_CLOEXEC), 0);
	sparse = mmap(NULL, SPARSE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	file = memfd_create("hollow", MFD_CLOEXEC);
	hollow = mmap(NULL, 4 * SPARSE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (sparse == MAP_FAILED || hollow == MAP_FAILED || apart == MAP_FAILED || ftruncate(file, 1) || pipe(ends))
		return 1;
	if (madvise(apart, APART, MADV_DONTFORK))
		return 1;
	hollow[0] = 'y';
	sparse[0] = sparse[SPARSE / 2] = sparse[SPARSE - 1] = 'x';
	pthread_barrier_init(&all_wait, NULL, 3);
	pthread_create(&threads[0], NULL, first, NULL);
	pthread_create(&threads[1], NULL, second, NULL);
	pthread_barrier_wait(&all_wait);
	puts("ready");
	fflush(stdout);
	wait_for_ever();
	return 0;
}
