#!/bin/sh
# SPDX-License-Identifier: MIT
# ./run install --prefix DIR, by an ordinary user in a tree of its own: everything is there, works, and can be built against.
#   install.sh SOURCE
set -eu
source=$1
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d "${TMPDIR:-/var/tmp}/memredirect-install.XXXXXX")
trap 'rm -rf "$place"' EXIT
prefix=$place/prefix
mkdir "$place/tree"
tar -C "$source" --exclude=./build --exclude=./.git -cf - . | tar -C "$place/tree" -xf -

if [ "$(id -u)" = 0 ]; then
	chown -R 65534:65534 "$place"
	set -- setpriv --reuid=65534 --regid=65534 --clear-groups
else
	set --
fi
HOME=$place "$@" "$place/tree/run" install --prefix "$prefix"

# The functions, of which each has a manual page.
functions=$(sed -n 's/^\t\(mr_[a-z0-9_]*\);$/\1/p' "$source/lib/memredirect.map")
failed=0
for file in bin/memredirect include/memredirect.h lib/libmemredirect.so lib/libmemredirect.so.0 lib/libmemredirect.a \
	lib/pkgconfig/memredirect.pc share/man/man1/memredirect.1 share/man/man7/memredirect.7 share/man/man4/memredirect.4 include/linux/memredirect.h \
	lib/libmemredirect-nbd.so lib/libmemredirect-nbd.so.0 lib/libmemredirect-nbd.a lib/pkgconfig/memredirect-nbd.pc \
	include/memredirect-nbd.h share/man/man3/memredirect-nbd.3 share/man/man3/mr_memory_new_nbd.3 \
	lib/pkgconfig/memredirect-iokit.pc share/man/man3/memredirect-iokit.3 \
	$(cd "$source/iokit" && find IOKit libkern mach -type f | sed 's,^,include/memredirect/iokit/,') \
	$(cd "$source/include" && find memredirect -name '*.h' | sed 's,^,include/,') \
	$(echo "$functions" | sed 's,.*,share/man/man3/&.3,'); do
	[ -e "$prefix/$file" ] || { echo "failed: $file is not installed"; failed=1; }
done
[ "$failed" = 0 ] || exit 1
echo "ok: everything is installed"

[ "$("$prefix/bin/memredirect" --version)" = "memredirect 0.1.0" ] || { echo "failed: the installed command does not run"; exit 1; }
echo "ok: the command runs"
"$here/consume.sh" "$prefix/lib"
