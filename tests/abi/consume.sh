#!/bin/sh
# SPDX-License-Identifier: MIT
# A program is built by what pkg-config says about an installed library, and runs: shared and static, C and C++.
#   consume.sh LIBDIR [SYSROOT]    LIBDIR: as installed; SYSROOT: below which (DESTDIR)
set -eu
libdir=$1 sysroot=${2-}
source=$(cd "$(dirname "$0")" && pwd)/consumer.c
iokit=$(cd "$(dirname "$0")/../iokit" && pwd)/document.cpp
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export PKG_CONFIG_PATH="$sysroot$libdir/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$sysroot"
version=$(pkg-config --modversion memredirect)
[ "$version" = 0.1.0 ] || { echo "failed: pkg-config knows version $version"; exit 1; }

# consume NAME COMPILER ARGUMENTS…: build the program so, and run it
consume() {
	name=$1
	shift
	"$@" -Wall -Wextra -Werror -pthread -o "$place/program"
	LD_LIBRARY_PATH=$sysroot$libdir "$place/program"
	echo "ok: $name"
}

# shellcheck disable=SC2046 # words
{
	consume "shared, C17" cc -std=c17 "$source" $(pkg-config --cflags --libs memredirect)
	readelf -d "$place/program" | grep -q 'NEEDED.*libmemredirect\.so\.0\]' || { echo "failed: it was not linked shared"; exit 1; }
	consume "all static" cc -std=c17 -static "$source" $(pkg-config --cflags --static --libs memredirect)
	consume "the library static" cc -std=c17 "$source" $(pkg-config --cflags memredirect) "$sysroot$libdir/libmemredirect.a"
	consume "shared, C++17" c++ -std=c++17 -x c++ "$source" -x none $(pkg-config --cflags --libs memredirect)
	consume "IOKit's interface, C++17" c++ -std=c++17 "$iokit" $(pkg-config --cflags --libs memredirect-iokit)
	consume "IOKit's interface, C++20" c++ -std=c++20 -Wno-deprecated-enum-enum-conversion "$iokit" \
		$(pkg-config --cflags --libs memredirect-iokit)
	if [ -e "$sysroot$libdir/pkgconfig/memredirect-nbd.pc" ]; then
		nbd=$(cd "$(dirname "$0")" && pwd)/consumer-nbd.c
		consume "memory of NBD servers, shared" cc -std=c17 "$nbd" $(pkg-config --cflags --libs memredirect-nbd)
		consume "memory of NBD servers, C++17" c++ -std=c++17 -x c++ "$nbd" -x none $(pkg-config --cflags --libs memredirect-nbd)
		consume "memory of NBD servers, both libraries static" cc -std=c17 "$nbd" $(pkg-config --cflags memredirect) \
			"$sysroot$libdir/libmemredirect-nbd.a" "$sysroot$libdir/libmemredirect.a" -lnbd
	fi
}
