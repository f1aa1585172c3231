#!/bin/sh
# SPDX-License-Identifier: MIT
# What a packager does: an install below DESTDIR, and a program built against it.
#   destdir.sh BUILD LIBDIR
set -eu
build=$1 libdir=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
meson install -C "$build" --no-rebuild --quiet --destdir "$place/root"
"$(dirname "$0")/consume.sh" "$libdir" "$place/root"
