#!/bin/sh
# SPDX-License-Identifier: MIT
# Make a static library of one object in which only the public symbols are visible, so that whoever embeds it meets no other name.
#   localize.sh LD OBJCOPY AR IN.a OUT.a
set -eu
object=$5.o
"$1" -r -o "$object" --whole-archive "$4"
"$2" --localize-hidden "$object"
rm -f "$5"
"$3" rcs "$5" "$object"
rm -f "$object"
