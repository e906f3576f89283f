#!/bin/sh
# The bytes of a file as a list of numbers that C can include.    bytes.sh FILE OUT
set -e
od -An -v -tu1 "$1" | sed 's/\([0-9]\)\( \|$\)/\1,\2/g' >"$2"
