/* SPDX-License-Identifier: MIT */
/*
 * One map in nine processes, by the kernel driver: eight clients, which know nothing but a descriptor, read a word of it; the memory behind
 * it is replaced, for all of them at one instant.
 */
#include <errno.h>
#include <memredirect.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS 8
#define LENGTH	(64 * 4096)

/* A program that is skipped says so by this status. */
#define SKIPPED 77

static void check(int result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s\n", mr_error());
	exit(result == -EOPNOTSUPP || result == -EPERM ? SKIPPED : EXIT_FAILURE);
}

/* A client gets a descriptor from its parent; over a Unix socket it would be the same. */
static void be_client(int fd, int told)
{
	struct mr_map *map;
	_Atomic long *word;
	char done = 1;

	check(mr_map_import(fd, NULL, MR_MAP_ANYWHERE | MR_MAP_READ_ONLY, &map));
	word = mr_map_address(map);
	if (*word != 1 || write(told, &done, 1) != 1)
		_exit(EXIT_FAILURE);
	while (*word == 1)
		;
	_exit(*word == 2 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static struct mr_memory *make_memory(long word)
{
	struct mr_memory *memory;

	check(mr_memory_new_buffer(LENGTH, 0, &memory));
	check(mr_memory_write(memory, 0, &word, sizeof(word)));
	return memory;
}

int main(void)
{
	struct mr_memory *old = make_memory(1), *new = make_memory(2);
	struct mr_map *map;
	int fd, ready[2], status, failed = 0;
	char done;

	check(mr_map_new(old, NULL, NULL, MR_MAP_ANYWHERE | MR_MAP_UNIQUE | MR_MAP_DRIVER, 0, 0, &map));
	fd = mr_map_export(map);
	check(fd);
	if (pipe(ready) != 0)
		return EXIT_FAILURE;
	for (int i = 0; i < CLIENTS; i++)
		if (fork() == 0)
			be_client(fd, ready[1]);
	close(ready[1]);
	for (int i = 0; i < CLIENTS; i++)
		if (read(ready[0], &done, 1) != 1)
			return EXIT_FAILURE;
	check(mr_map_redirect(map, new, 0, 0));
	for (int i = 0; i < CLIENTS; i++)
		failed += wait(&status) < 0 || status != 0;
	printf("%d of %d clients have seen the new memory\n", CLIENTS - failed, CLIENTS);
	close(fd);
	mr_map_unref(map);
	mr_memory_unref(old);
	mr_memory_unref(new);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
