#!/bin/sh
# SPDX-License-Identifier: MIT
# What is installed is all there, and a program that finds it by pkg-config builds and runs, shared and static.
#   installed.sh SOURCE BUILD
set -eu
command -v pkg-config >/dev/null || { echo "pkg-config is missing"; exit 77; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
DESTDIR=$place meson install -C "$2" --no-rebuild --quiet >/dev/null

pc=$(find "$place" -name memredirect.pc)
for file in memredirect.h memory.h map.h error.h features.h libmemredirect.so libmemredirect.a memredirect.pc; do
	[ -n "$(find "$place" -name "$file")" ] || { echo "$file is not installed" >&2; exit 1; }
done

cat >"$place/program.c" <<'PROGRAM'
#include <memredirect.h>
int main(void)
{
	struct mr_memory *memory;
	struct mr_map *map;

	if (mr_memory_new_buffer(4096, 0, &memory) || mr_map_new(memory, 0, 0, MR_MAP_ANYWHERE, 0, 0, &map))
		return 1;
	*(int *)mr_map_address(map) = 1;
	mr_map_unref(map);
	mr_memory_unref(memory);
	return 0;
}
PROGRAM
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$place
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
flags=$(pkg-config --cflags --libs memredirect)
# shellcheck disable=SC2086 # words
cc -o "$place/shared" "$place/program.c" $flags
LD_LIBRARY_PATH=$(dirname "$(find "$place" -name libmemredirect.so)") "$place/shared"
# shellcheck disable=SC2046 # words
cc -o "$place/static" "$place/program.c" $(pkg-config --cflags memredirect) "$(find "$place" -name libmemredirect.a)"
"$place/static"
