#!/bin/sh
# SPDX-License-Identifier: MIT
# The command as a user meets it: help, errors, info, and the demo on little memory.
#   cli.sh COMMAND
set -u
command=$1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
failed=0

# expect STATUS TITLE ARGUMENTS…: run, compare the exit status, keep what was printed.
expect() {
	status=$1
	title=$2
	shift 2
	got=0
	"$command" "$@" >"$place/out" 2>"$place/err" || got=$?
	[ "$got" = "$status" ] || wrong "$title: exit status $got, not $status: $(cat "$place/err")"
}

wrong() {
	echo "FAILED: $*"
	failed=1
}

# usage TITLE ARGUMENTS…: refused with status 2, and one line on standard error.
usage() {
	expect 2 "$@"
	[ "$(wc -l <"$place/err")" = 1 ] || wrong "$1: not one line: $(cat "$place/err")"
	grep -q '^memredirect: ' "$place/err" || wrong "$1: not the command's name: $(cat "$place/err")"
	[ ! -s "$place/out" ] || wrong "$1: something on standard output"
}

has() {
	grep -q -- "$1" "$place/out" || wrong "$title: no \"$1\" in: $(cat "$place/out")"
}

is_json() {
	if command -v python3 >/dev/null; then
		python3 -m json.tool <"$place/out" >/dev/null || wrong "$title: not JSON"
	fi
}

expect 0 help --help
has usage
expect 0 version --version
has 'memredirect [0-9]'
for verb in info demo; do
	expect 0 "help of $verb" $verb --help
	has "memredirect $verb"
	expect 0 "version of $verb" $verb --version
done

usage "no verb"
usage "unknown verb" frobnicate
usage "unknown option of info" info --frobnicate
usage "argument of info" info now
usage "unknown option of demo" demo --frobnicate
usage "argument of demo" demo now
usage "size that is none" demo --size many
usage "size of 0" demo --size 0
usage "size that is missing" demo --size
usage "seconds that are none" demo --seconds soon
usage "negative seconds" demo --seconds -1
usage "one thread" demo --threads 1
usage "one file" demo --files "$command"
usage "size with files" demo --files "$command" "$command" --size 64K

expect 0 info info
has userfaultfd
has max-map-count
expect 0 "info as JSON" info --json
is_json
has '"features"'

if ! "$command" info | grep -q '^blocking *yes'; then
	expect 77 "demo where nothing can be blocked" demo --size 64K --seconds 1
	exit $failed
fi
expect 0 demo demo --size 256K --seconds 1
has '^0 errors$'
expect 0 "demo as JSON" demo --size 4M --seconds 1 --threads 3 --json
is_json
has '"errors": 0'
expect 1 "demo that does not fit" demo --size 4096T --seconds 1
grep -q '^memredirect: .*--size' "$place/err" || wrong "demo that does not fit: no size is named"

head -c 100001 /dev/urandom >"$place/a"
head -c 300000 /dev/urandom >"$place/b"
printf x >"$place/one"
: >"$place/empty"
expect 0 "demo on files" demo --files "$place/a" "$place/b" --seconds 1
has '^0 errors$'
expect 0 "demo on a file of one byte" demo --files "$place/one" "$place/b" --seconds 0.5 --json
is_json
expect 1 "demo on a file that is not there" demo --files "$place/a" "$place/none"
expect 1 "demo on an empty file" demo --files "$place/a" "$place/empty"
expect 1 "demo on a folder" demo --files "$place" "$place/b"
exit $failed
