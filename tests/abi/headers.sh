#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone, and twice, with all warnings, whatever the compiler.
#   headers.sh COMPILER LANGUAGE STANDARD INCLUDE [INCLUDE2]    INCLUDE2: what these headers include
set -eu
compiler=$1 language=$2 standard=$3 include=$4 others=${5-$4}
command -v "$compiler" >/dev/null || { echo "skipped: $compiler is missing here"; exit 77; }

failed=0
for header in $(cd "$include" && find . -name '*.h' | sed 's,^\./,,' | sort); do
	if printf '#include <%s>\n#include <%s>\n' "$header" "$header" |
		"$compiler" -x "$language" -std="$standard" -Wall -Wextra -Werror -pedantic -fsyntax-only -I "$include" -I "$others" -; then
		echo "ok: $header"
	else
		echo "failed: $header"
		failed=1
	fi
done
exit $failed
