#!/bin/sh
# SPDX-License-Identifier: MIT
# The documents say what is there: the README's example is the one that is compiled and run, links lead somewhere, verbs of ./run
# exist, every public function and error number has its place in a man page.
#   docs.sh SOURCE
# shellcheck disable=SC2013 # names are words
set -u
cd "$1" || exit 1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
failed=0

wrong() {
	echo "FAILED: $*"
	failed=1
}

# fenced LANGUAGE FILE: what stands in blocks of that language.
fenced() {
	awk -v fence="\`\`\`$1" '$0 == fence { inside = 1; next } /^```/ { inside = 0 } inside' "$2"
}

fenced c README.md >"$place/example"
sed -n '2,$p' examples/hello.c | diff - "$place/example" >/dev/null || wrong "the example in README.md is not examples/hello.c"

for file in README.md iokit/README.md driver/README.md doc/*.md; do
	fenced sh "$file" | while read -r line; do
		case $line in
		./run*) ./run help | grep -q "^  $(echo "$line" | awk '{ print $2 }') " || echo "$file: there is no verb in: $line" ;;
		esac
	done
	folder=$(dirname "$file")
	grep -oE '\]\([^)#:]+\)' "$file" | tr -d '])(' | while read -r link; do
		[ -e "$folder/$link" ] || echo "$file: the link $link leads nowhere"
	done
done >"$place/broken"
[ ! -s "$place/broken" ] || wrong "$(cat "$place/broken")"

for name in $(cat include/memredirect/*.h nbd/include/*.h | grep -v '^ \*' | grep -oE '\bmr_[a-z_]+\(' | tr -d '(' | sort -u); do
	grep -q "$name" doc/man/*.3.scd || wrong "$name is in no man page"
done
for name in $(cat README.md doc/*.md doc/man/*.scd | grep -oE '\b(mr|MR)_[A-Za-z_0-9]+' | grep -vE '_$|^MR_(STRESS|FAULT)' | sort -u); do
	grep -q "\b$name" include/memredirect/*.h nbd/include/*.h lib/*.h lib/sys/*.h || wrong "$name is in the documents and not in a header"
done
# Each public method of IOKit's classes has its row, and each IOReturn of the page is one.
for name in $(sed -nE '/^ *public:/,/^ *p(rotected|rivate):/s/^\t([a-zA-Z].*[ *&])?([a-zA-Z]+)\(.*/\2/p' iokit/IOKit/*.h | sort -u); do
	grep -q "\b$name\b" iokit/README.md || wrong "$name of IOKit is not in iokit/README.md"
done
for name in $(grep -hoE '\bkIO[A-Za-z0-9]+' iokit/README.md doc/man/*.scd | sort -u); do
	grep -q "\b$name\b" iokit/IOKit/*.h || wrong "$name is in the documents and not in IOKit's headers"
done
# number HEADER PAGES…: each error number that the header names is in one of the pages.
numbers() {
	header=$1
	shift
	for number in $(grep -oE '\-E[A-Z]+\b' "$header" | sort -u); do
		grep -q -- "$number" "$@" || wrong "$number of $header is in no man page"
	done
}
numbers include/memredirect/memory.h doc/man/mr_memory.3.scd
numbers include/memredirect/map.h doc/man/mr_map.3.scd doc/man/mr_map_redirect.3.scd
numbers include/memredirect/copy.h doc/man/mr_map_snapshot.3.scd doc/man/mr_map_redirect.3.scd
numbers include/memredirect/features.h doc/man/mr_features.3.scd
numbers include/memredirect/task.h doc/man/mr_task.3.scd
numbers nbd/include/memredirect-nbd.h doc/man/memredirect-nbd.3.scd

if command -v scdoc >/dev/null; then
	for page in doc/man/*.scd; do
		scdoc <"$page" >"$place/page" 2>"$place/warnings" || wrong "$page: $(cat "$place/warnings")"
		[ ! -s "$place/warnings" ] || wrong "$page: $(cat "$place/warnings")"
	done
fi
exit $failed
