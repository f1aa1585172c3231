/* SPDX-License-Identifier: MIT */
/*
 * Memory that is there already: a private array is adopted, its bytes are moved to a file, where they are worked on through the same
 * addresses, and back again.
 */
#include <memredirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH (16 * 4096)

static void check(int result)
{
	if (result < 0) {
		fprintf(stderr, "%s\n", mr_error());
		exit(EXIT_FAILURE);
	}
}

/* Block, copy what is shown, and let go with the copy: nobody who uses the map can tell when. */
static void move_to(struct mr_map *map, struct mr_memory *to)
{
	char *bytes = malloc(LENGTH);

	if (!bytes)
		exit(EXIT_FAILURE);
	check(mr_map_redirect(map, NULL, 0, 0));
	check(mr_memory_read(mr_map_memory(map), 0, bytes, LENGTH));
	check(mr_memory_write(to, 0, bytes, LENGTH));
	check(mr_map_redirect(map, to, 0, 0));
	free(bytes);
}

int main(void)
{
	char *array = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *file = tmpfile();
	struct mr_memory *private, *in_file;
	struct mr_map *map;
	char first[16] = "";

	if (array == MAP_FAILED || !file || ftruncate(fileno(file), LENGTH))
		return EXIT_FAILURE;
	strcpy(array, "hello");
	check(mr_map_adopt(NULL, array, LENGTH, 0, &map));
	private = mr_memory_ref(mr_map_memory(map)); /* keep its bytes while the map shows something else */
	check(mr_memory_new_fd(fileno(file), 0, LENGTH, 0, &in_file));

	move_to(map, in_file);
	strcat(array, ", file");
	if (pread(fileno(file), first, sizeof(first) - 1, 0) < 0 || strcmp(first, "hello, file"))
		return EXIT_FAILURE;
	printf("in the file: %s\n", first);

	move_to(map, private);
	strcat(array, " and back");
	if (pread(fileno(file), first, sizeof(first) - 1, 0) < 0 || strcmp(first, "hello, file"))
		return EXIT_FAILURE;
	printf("in memory: %s\n", array);

	mr_map_unref(map); /* an adopted range stays mapped, with the backing that it has */
	mr_memory_unref(private);
	mr_memory_unref(in_file);
	return strcmp(array, "hello, file and back") ? EXIT_FAILURE : EXIT_SUCCESS;
}
