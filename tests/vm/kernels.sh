# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Kernels for the virtual machine, and what modules for them are compiled with. They come from Debian's packages, are unpacked
# into a cache, and not installed.

KERNELS=${XDG_CACHE_HOME:-${HOME:?}/.cache}/memredirect
TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# What kernel_get finds out: for those who include this.
kernel_version=
# shellcheck disable=SC2034
kernel_image=
kernel_folder=

say() {
	printf '== %s\n' "$*" >&2
}

die() {
	printf 'vm: %s\n' "$*" >&2
	exit 1
}

# newest PATTERN: of the packages whose names match, the one with the highest version.
newest() {
	apt-cache search -n "$1" | awk '{ print $1 }' | sort -V | tail -n 1
}

# fetch FOLDER PACKAGE…: unpack them there.
fetch() {
	local folder=$1 place package
	shift
	place=$(mktemp -d)
	say "downloading $*"
	for package in "$@"; do
		(cd "$place" && apt-get download -qq "$package" >log 2>&1) ||
			{ cat "$place/log" >&2; rm -rf "$place"; die "cannot download $package; maybe after: apt-get update"; }
	done
	mkdir -p "$folder"
	for package in "$place"/*.deb; do
		dpkg -x "$package" "$folder"
	done
	rm -rf "$place"
}

# The image of VERSION comes signed or not, with the same kernel in it.
image_package() {
	local package
	for package in "linux-image-$1-unsigned" "linux-image-$1"; do
		[ -z "$(apt-cache show "$package" 2>/dev/null)" ] || { echo "$package"; return; }
	done
	die "there is no package of the kernel $1"
}

# What the headers of VERSION need of the same source: the common ones, and the programs that compile modules.
companions() {
	apt-cache depends "linux-headers-$1" | sed -n 's/^ *Depends: \(linux-headers-.*-common\|linux-kbuild-[^ ]*\)$/\1/p'
}

# Unpack the kernel VERSION into FOLDER, and let its headers find each other there.
unpack_kernel() {
	local version=$1 folder=$2 packages
	mapfile -t packages < <(image_package "$version"; companions "$version")
	[ ${#packages[@]} = 3 ] || die "the packages of the kernel $version are not what they used to be: ${packages[*]}"
	fetch "$folder.new" "${packages[@]}" "linux-headers-$version"
	sed -i "s,/usr/src/,$folder/usr/src/," "$folder.new/usr/src/linux-headers-$version/Makefile"
	rm -rf "$folder.new/lib/modules"
	mv "$folder.new" "$folder"
}

# The newest of a series that Debian has, or, where its lists are not, that is in the cache already.
kernel_get_packaged() {
	local pattern=$1 cached=$2
	kernel_version=$(newest "$pattern" | sed 's/^linux-headers-//')
	[ -n "$kernel_version" ] || kernel_version=$(cd "$KERNELS" 2>/dev/null && compgen -G "$cached" | sort -V | tail -n 1)
	[ -n "$kernel_version" ] || die "no kernel matches $pattern; maybe after: apt-get update"
	[ -d "$KERNELS/$kernel_version" ] || unpack_kernel "$kernel_version" "$KERNELS/$kernel_version"
	kernel_image=$KERNELS/$kernel_version/boot/vmlinuz-$kernel_version
	kernel_folder=$KERNELS/$kernel_version/usr/src/linux-headers-$kernel_version
}

kernel_get_debug() {
	[ -e "$KERNELS/debug/ready" ] || die "the debug kernel is not built; once: ./run vm-kernel"
	kernel_version=$(cat "$KERNELS/debug/ready")
	# shellcheck disable=SC2034
	kernel_image=$KERNELS/debug/build/arch/x86/boot/bzImage
	kernel_folder=$KERNELS/debug/build
}

# kernel_get 6.1|6.12|debug
kernel_get() {
	local lock
	mkdir -p "$KERNELS"
	exec {lock}>"$KERNELS/lock"
	flock "$lock"
	case $1 in
	6.1) kernel_get_packaged '^linux-headers-6\.1\.0-[0-9]+-cloud-amd64$' '6.1.0-*-cloud-amd64' ;;
	6.12) kernel_get_packaged '^linux-headers-6\.12\.[0-9]+\+deb12-cloud-amd64$' '6.12.*-cloud-amd64' ;;
	debug) kernel_get_debug ;;
	*) die "there is no kernel $1; there are 6.1, 6.12 and debug" ;;
	esac
	exec {lock}>&-
}

# module_build FOLDER [MAKE'S ARGUMENTS…]: compile the driver for the kernel that was got; into FOLDER/driver/memredirect.ko.
module_build() {
	local folder=$1 lock
	shift
	mkdir -p "$folder/driver" "$folder/include"
	exec {lock}>"$folder/lock"
	flock "$lock"
	cp -u "$TREE"/driver/*.[ch] "$TREE/driver/Kbuild" "$folder/driver"
	cp -ru "$TREE/include/uapi" "$folder/include"
	if ! make -s -C "$kernel_folder" M="$folder/driver" "$@" modules >"$folder/log" 2>&1; then
		cat "$folder/log" >&2
		die "the module does not compile"
	fi
	exec {lock}>&-
}
