/* SPDX-License-Identifier: MIT */
#ifndef MEMREDIRECT_IOKIT_KERN_RETURN_H
#define MEMREDIRECT_IOKIT_KERN_RETURN_H

typedef int kern_return_t;

#define KERN_SUCCESS 0

#endif
