/* SPDX-License-Identifier: MIT */
/* How a Mach error number is put together: | system, 6 bits | subsystem, 12 | code, 14 |. */
#ifndef MEMREDIRECT_IOKIT_ERROR_H
#define MEMREDIRECT_IOKIT_ERROR_H

#include <mach/kern_return.h>

#define err_system(number)    ((signed)((((unsigned)(number)) & 0x3fU) << 26))
#define err_sub(number)	      ((signed)((((unsigned)(number)) & 0xfffU) << 14))
#define err_get_system(error) ((((unsigned)(error)) >> 26) & 0x3fU)
#define err_get_sub(error)    ((((unsigned)(error)) >> 14) & 0xfffU)
#define err_get_code(error)   (((unsigned)(error)) & 0x3fffU)

#endif
