/* SPDX-License-Identifier: MIT */
/* The public header, for the library's own files: everything that it declares is exported, and nothing else. */
#ifndef PUBLIC_H
#define PUBLIC_H

#pragma GCC visibility push(default)
#include <memredirect.h>
#pragma GCC visibility pop

#endif
