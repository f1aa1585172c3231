/* SPDX-License-Identifier: MIT */
/* Physical addresses: the frames behind pages, and keeping them resident. */
#ifndef PHYSICAL_H
#define PHYSICAL_H

#include <stdbool.h>
#include <stdint.h>

struct mr_memory;
struct mr_task;

/* Bytes at @offset of @memory that are contiguous in physical memory, @most at most, as mr_memory_physical_segment. */
int physical_of_memory(struct mr_memory *memory, uint64_t offset, uint64_t most, uint64_t *ret_address, uint64_t *ret_length);

/* The same of what is mapped at @address of @task (NULL: this process). -ENODATA: its page table entry is empty. Makes sentences, but for that. */
int physical_of_address(const struct mr_task *task, uintptr_t address, uint64_t most, uint64_t *ret_address,
			uint64_t *ret_length);

/* Undo all preparing of @memory, which nobody uses any more. */
void physical_unpin(struct mr_memory *memory);

/* For a page that is not resident: -ENODATA with its sentence, or -EPERM where nothing would be shown anyway. */
int physical_not_resident(uint64_t offset);

/* Whether the system shows frame numbers to this process. */
bool physical_is_shown(void);

#endif
