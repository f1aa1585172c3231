#!/bin/sh
# SPDX-License-Identifier: MIT
# The libraries define the functions that the public headers declare, and show no other name.
#   symbols.sh INCLUDE SHARED STATIC CC...
set -eu
include=$1 shared=$2 static=$3
shift 3
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
failed=0

# Names in two lists have to be the same: same WHAT EXPECTED FOUND
same() {
	if diff "$2" "$3" >"$place/difference"; then
		echo "ok: $1"
		return
	fi
	echo "failed: $1 (<: declared, >: found)"
	cat "$place/difference"
	failed=1
}

# The preprocessor takes the comments away, which name functions too.
printf '#include <memredirect.h>\n' | "$@" -E -P -I "$include" -x c - |
	grep -oE '\<mr_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >"$place/declared"
[ "$(wc -l <"$place/declared")" -ge 20 ] || { echo "the headers declare too little to be true"; exit 1; }

nm -D --defined-only --format=posix "$shared" >"$place/dynamic"
sed 's/$/@@MEMREDIRECT_0.1/' "$place/declared" >"$place/versioned"
awk '$2 != "A" { print $1 }' "$place/dynamic" | sort >"$place/exported"
same "the shared library exports what is declared, with its version" "$place/versioned" "$place/exported"

awk '$2 == "A" { print $1 }' "$place/dynamic" >"$place/nodes"
echo MEMREDIRECT_0.1 >"$place/releases"
same "the shared library has one version" "$place/releases" "$place/nodes"

nm -g --defined-only --format=posix "$static" | awk 'NF > 1 { print $1 }' | sort >"$place/global"
same "the static library shows what is declared" "$place/declared" "$place/global"

# __tls_get_addr, which is part of the C library, lives in the dynamic linker.
readelf -d "$shared" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' >"$place/needed"
echo libc.so.6 >"$place/libc"
same "the shared library needs the C library alone" "$place/libc" "$place/needed"

readelf -d "$shared" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p' >"$place/soname"
echo libmemredirect.so.0 >"$place/name"
same "the shared library's name has its version" "$place/name" "$place/soname"

if readelf -d "$shared" | grep -q 'FLAGS_1.*NODELETE'; then
	echo "ok: dlclose leaves the library, whose thread may be running, where it is"
else
	echo "failed: the shared library is not linked with -z nodelete"
	failed=1
fi
exit $failed
