#!/bin/sh
# SPDX-License-Identifier: MIT
# libmemredirect-nbd shows the one function of its header, and needs libmemredirect, libnbd and the C library.
#   symbols-nbd.sh SHARED STATIC
set -eu
shared=$1 static=$2
failed=0

# same WHAT EXPECTED FOUND
same() {
	if [ "$2" = "$3" ]; then
		echo "ok: $1"
	else
		echo "failed: $1: $3, not $2"
		failed=1
	fi
}

same "the shared library exports what is declared, with its version" mr_memory_new_nbd@@MEMREDIRECT_NBD_0.1 \
	"$(nm -D --defined-only --format=posix "$shared" | awk '$2 != "A" { print $1 }' | xargs)"
same "the static library shows what is declared" mr_memory_new_nbd \
	"$(nm -g --defined-only --format=posix "$static" | awk 'NF > 1 { print $1 }' | xargs)"
same "the shared library needs few others" "libc.so.6 libmemredirect.so.0 libnbd.so.0" \
	"$(readelf -d "$shared" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | sort | xargs)"
same "the shared library's name has its version" libmemredirect-nbd.so.0 \
	"$(readelf -d "$shared" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')"
exit $failed
