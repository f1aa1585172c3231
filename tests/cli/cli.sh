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
for verb in info regions demo bench; do
	expect 0 "help of $verb" $verb --help
	has "memredirect $verb"
	expect 0 "version of $verb" $verb --version
done

# A device that is always full.
if [ -w /dev/full ]; then
	for arguments in "info" "info --json" "--help" "demo --help"; do
		got=0
		# shellcheck disable=SC2086 # words
		"$command" $arguments >/dev/full 2>"$place/err" || got=$?
		[ "$got" = 1 ] || wrong "$arguments to a full device: exit status $got, not 1"
		grep -q '^memredirect: ' "$place/err" || wrong "$arguments to a full device: $(cat "$place/err")"
	done
fi

# A core file takes the place of a file, and of nothing else.
sleep 1000 &
sleeper=$!
mkfifo "$place/pipe"
got=0
"$command" snapshot "$sleeper" -o "$place/pipe" >"$place/out" 2>"$place/err" || got=$?
kill "$sleeper"
case $got in
1 | 77) grep -q '^memredirect: ' "$place/err" || wrong "a core file over a pipe: $(cat "$place/err")" ;;
*) wrong "a core file over a pipe: exit status $got" ;;
esac
[ -p "$place/pipe" ] || wrong "a core file has replaced a pipe"

usage "no verb"
usage "unknown verb" frobnicate
usage "unknown option of info" info --frobnicate
usage "argument of info" info now
usage "unknown option of regions" regions --frobnicate
usage "no process" regions
usage "a process that is none" regions init
usage "two processes" regions 1 2
usage "unknown option of demo" demo --frobnicate
usage "argument of demo" demo now
usage "size that is none" demo --size many
usage "size of 0" demo --size 0
usage "size that is missing" demo --size
usage "seconds that are none" demo --seconds soon
usage "negative seconds" demo --seconds -1
usage "one thread" demo --threads 1
usage "unknown option of bench" bench --frobnicate
usage "argument of bench" bench now
usage "size of bench that is no multiple" bench --size 5M
usage "folder that is not there" bench --output "$place/none"
usage "one file" demo --files "$command"
usage "a URI that is missing" demo --nbd
usage "writing without an export" demo --write
usage "files and an export" demo --files "$command" "$command" --nbd nbd://127.0.0.1:1/
usage "size with files" demo --files "$command" "$command" --size 64K

expect 0 info info
has userfaultfd
has max-map-count
expect 0 "info as JSON" info --json
is_json
has '"features"'

sleep 1000 &
other=$!
expect 0 regions regions $other
has "^RANGE .*MAPPED FROM"
has "rw-p .* yes .*\[heap\]"
has "\[stack\] .*a stack that grows"
expect 0 "regions as JSON" regions $other --json
is_json
has '"redirectable": *true'
usage "no process to block" block
usage "no range to block" block $other
usage "no time to block for" block $other heap
usage "a time that is none" block $other heap --for soon
usage "a time without a unit" block $other heap --for 5
expect 0 "help of block" block --help
has "memredirect block"
if "$command" info | grep -q '^blocking *yes'; then
	expect 0 block block $other heap --for 100ms
	has '^blocked for'
	expect 0 "block as JSON" block $other all --for 50ms --json
	is_json
	has '"most_waiters"'
	expect 1 "block of nothing" block $other 1000-2000 --for 50ms
	"$command" block $other heap --for 600s 2>"$place/err" &
	block=$!
	tries=0
	while ! grep -q memredirect /proc/$other/task/*/comm && [ $tries -lt 300 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	kill -TERM $block
	got=0
	wait $block || got=$?
	[ $got = 1 ] || wrong "block that is ended by SIGTERM: exit status $got"
	grep -q '^memredirect: interrupted' "$place/err" || wrong "block that is ended: $(cat "$place/err")"
	grep -q memredirect /proc/$other/task/*/comm && wrong "block: something is left in the process"
fi
kill $other
wait $other 2>/dev/null
expect 1 "regions of a process that has ended" regions $other
grep -q "^memredirect: .*no process $other" "$place/err" || wrong "regions of none: $(cat "$place/err")"

if ! "$command" info | grep -q '^blocking *yes'; then
	expect 77 "demo where nothing can be blocked" demo --size 64K --seconds 1
	expect 77 "bench where nothing can be blocked" bench --size 4M --quick
	exit $failed
fi
expect 0 demo demo --size 256K --seconds 1
has '^0 errors$'
expect 0 "demo as JSON" demo --size 4M --seconds 1 --threads 3 --json
is_json
has '"errors": 0'
expect 1 "demo that does not fit" demo --size 4096T --seconds 1
grep -q '^memredirect: .*--size' "$place/err" || wrong "demo that does not fit: no size is named"

# On an export, which has its bytes afterwards.
if "$command" demo --nbd nbd+unix:///?socket=/nowhere --seconds 1 2>&1 | grep -q 'without libnbd'; then
	expect 77 "demo on an export, without libnbd" demo --nbd nbd+unix:///?socket=/nowhere
elif command -v nbdkit >/dev/null; then
	expect 1 "demo on an export that is not there" demo --nbd 'nbd+unix:///?socket=/nowhere'
	grep -q '^memredirect: .*No such file' "$place/err" || wrong "demo on no export: $(cat "$place/err")"
	head -c 8M /dev/urandom >"$place/disk"
	cp "$place/disk" "$place/before"
	nbdkit --foreground --unix "$place/socket" file "$place/disk" &
	server=$!
	for _ in $(seq 300); do
		[ ! -S "$place/socket" ] || break
		sleep 0.1
	done
	expect 0 "demo on an export" demo --nbd "nbd+unix:///?socket=$place/socket" --seconds 1
	has '^0 errors$'
	expect 0 "demo that writes to an export" demo --nbd "nbd+unix:///?socket=$place/socket" --write --seconds 1 --json
	is_json
	has '"errors": 0'
	expect 1 "an export that is too small" demo --nbd "nbd+unix:///?socket=$place/socket" --size 1G
	kill $server
	wait $server 2>/dev/null
	cmp -s "$place/disk" "$place/before" || wrong "demo on an export: it has changed"
fi

expect 0 bench bench --size 4M --quick --output "$place"
has '^snapshot .*10,000 pages/s'
has '^move .*full speed'
has 'snapshot: time with idle writers, against memcpy'
cp "$place/results.json" "$place/out"
is_json
expect 0 "bench as JSON" bench --size 4M --quick --json
is_json
has '"copies_and_moves"'
expect 1 "bench that does not fit" bench --size 4096T
grep -q '^memredirect: .*--size' "$place/err" || wrong "bench that does not fit: no size is named"

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
