#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone in C11, C17 and C++17, with every compiler that is there.
#   headers.sh INCLUDE
set -eu
warnings="-Wall -Wextra -Wpedantic -Werror -fsyntax-only"
found=

compile() { # COMPILER LANGUAGE STANDARD
	command -v "$1" >/dev/null || return 0
	found=yes
	for header in memredirect.h memredirect/error.h memredirect/features.h memredirect/map.h memredirect/memory.h; do
		# shellcheck disable=SC2086 # words
		echo "#include <$header>" | "$1" -x "$2" -std="$3" $warnings -I"$include" - || { echo "$header: $1 $3" >&2; exit 1; }
	done
}

include=$1
for standard in c11 c17; do
	compile gcc c $standard
	compile clang c $standard
done
compile g++ c++ c++17
compile clang++ c++ c++17
[ -n "$found" ] || { echo "no compiler" >&2; exit 77; }
