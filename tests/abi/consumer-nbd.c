/* SPDX-License-Identifier: MIT */
/* What a user of memory of NBD servers would write: it fails where there is none, and the sentence says why. */
#include <errno.h>
#include <memredirect-nbd.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct mr_memory *memory = NULL;
	int result = mr_memory_new_nbd("nbd+unix:///?socket=/nowhere/at/all", 0, 0, &memory);

	printf("%d: %s\n", result, mr_error());
	return !(result == -ENOENT && !memory && strncmp(mr_error(), "mr_memory_new_nbd: ", 19) == 0);
}
