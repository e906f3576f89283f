#!/bin/sh
# Runs a program of the documentation in a directory of its own: it exits with 0 and prints what the
# text says.    compare.sh PROGRAM EXPECTED
set -eu
program=$(realpath "$1")
expected=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$program" >printed
diff -u "$expected" printed
