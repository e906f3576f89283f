#!/bin/sh
# All man pages of programs, by themselves: one of each, and one of each command.
#     man_pages.sh DIRECTORY PROGRAM...
set -e
directory=$1
shift
rm -rf "$directory"
mkdir "$directory"
for program; do
    name=$(basename "$program")
    "$program" man >"$directory/$name.1"
    "$program" complete '' | cut -f1 | grep -v -e '^-' -e '^help$' | while read -r command; do
        "$program" man "$command" >"$directory/$name-$command.1"
    done
done
