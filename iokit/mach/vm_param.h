/* SPDX-License-Identifier: MIT */
/* Pages: how large, and sums with them. */
#ifndef MEMREDIRECT_IOKIT_VM_PARAM_H
#define MEMREDIRECT_IOKIT_VM_PARAM_H

#include <unistd.h>

#include <mach/mach_types.h>

/* In a namespace, so that they do not meet a C library's symbols of the same names. */
namespace memredirect_iokit
{
inline const vm_size_t page_size = static_cast<vm_size_t>(sysconf(_SC_PAGESIZE));
inline const vm_size_t page_mask = page_size - 1;
inline const int page_shift = __builtin_ctzl(page_size);
} // namespace memredirect_iokit
using memredirect_iokit::page_mask;
using memredirect_iokit::page_shift;
using memredirect_iokit::page_size;

#define PAGE_SIZE  page_size
#define PAGE_MASK  page_mask
#define PAGE_SHIFT page_shift

/* Bytes of so many pages, and pages of so many bytes. */
#define ptoa(pages) ((vm_size_t)(pages) << page_shift)
#define atop(bytes) ((vm_size_t)(bytes) >> page_shift)

#define trunc_page(address) ((vm_offset_t)(address) & ~page_mask)
#define round_page(address) (((vm_offset_t)(address) + page_mask) & ~page_mask)

#define trunc_page_64(address) ((uint64_t)(address) & ~(uint64_t)page_mask)
#define round_page_64(address) (((uint64_t)(address) + page_mask) & ~(uint64_t)page_mask)

#endif
