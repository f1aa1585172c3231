/* SPDX-License-Identifier: MIT */
/* OSPtr<T>, which IOKit's methods return: here, a plain pointer with a reference for the caller to release. */
#ifndef MEMREDIRECT_IOKIT_OSPTR_H
#define MEMREDIRECT_IOKIT_OSPTR_H

#ifdef IOKIT_ENABLE_SHARED_PTR
#error "IOKIT_ENABLE_SHARED_PTR is not supported: methods return plain pointers, to be released by the caller"
#endif

template <typename T> using OSPtr = T *;

#endif
