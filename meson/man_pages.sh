#!/bin/sh
# All man pages of a program, by itself.
#     man_pages.sh PROGRAM DIRECTORY
set -e
rm -rf "$2"
mkdir "$2"
name=$(basename "$1")
"$1" man >"$2/$name.1"
"$1" complete '' | cut -f1 | grep -v -e '^-' -e '^help$' | while read -r command; do
    "$1" man "$command" >"$2/$name-$command.1"
done
