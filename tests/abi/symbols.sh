#!/bin/sh
# SPDX-License-Identifier: MIT
# The libraries define the functions that the public headers declare, and no other global symbol; the shared one needs libc alone.
#   symbols.sh INCLUDE SHARED STATIC
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cat "$1"/memredirect/*.h | grep -v '^ \*' | grep -oE '\bmr_[a-z_]+\(' | tr -d '(' | sort -u >"$place/declared"
nm -D --defined-only "$2" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$place/shared"
nm -g --defined-only "$3" | awk 'NF == 3 { print $3 }' | grep -v '^__odr_asan' | sort -u >"$place/static"
for library in shared static; do
	diff "$place/declared" "$place/$library" || { echo "the $library library does not define just what is declared" >&2; exit 1; }
done
[ -s "$place/declared" ]

readelf -d "$2" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$place/needed"
if grep -vE '^(libc\.so|ld-linux|lib[atu]*san\.so|libm\.so)' "$place/needed"; then
	echo "the shared library needs more than libc" >&2
	exit 1
fi
