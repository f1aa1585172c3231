/* SPDX-License-Identifier: MIT */
/*
 * Mach's types of addresses and tasks.
 *
 * A task is an address space. kernel_task and current_task() are both the calling process: what a driver maps into the kernel for
 * itself, it maps here. TASK_NULL is no task at all: memory without a place (IOBufferMemoryDescriptor), or physical addresses.
 */
#ifndef MEMREDIRECT_IOKIT_MACH_TYPES_H
#define MEMREDIRECT_IOKIT_MACH_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <mach/kern_return.h>

struct mr_task;
typedef struct mr_task *task_t;
typedef struct mr_task *vm_map_t; /* the map of a task is the task */

#define TASK_NULL ((task_t)0)

namespace memredirect_iokit
{
inline const task_t kernel_task = reinterpret_cast<task_t>(~uintptr_t{ 0 });
}
using memredirect_iokit::kernel_task;

/** current_task - the calling process */
inline task_t current_task()
{
	return kernel_task;
}

typedef int boolean_t;
typedef int vm_prot_t;
typedef uintptr_t vm_address_t;
typedef uintptr_t vm_offset_t;
typedef uintptr_t vm_size_t;
typedef uint64_t mach_vm_address_t;
typedef uint64_t mach_vm_offset_t;
typedef uint64_t mach_vm_size_t;
typedef uint64_t addr64_t;

#endif
