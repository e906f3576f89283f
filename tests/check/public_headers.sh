#!/usr/bin/env bash
# Each public header compiles alone, with no other header than the public ones, as C and as C++; and
# what C++ and other languages call, the plain functions, is usable from C++.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
headers=$("$root/meson/public_headers.sh" "$work")

warnings=(-Wall -Wextra -Wshadow -Werror)
declare -A compilers=([gcc]='gcc -std=c17' [clang]='clang -std=c17' [g++]='g++ -std=c++17'
                      [clang++]='clang++ -std=c++17')

status=0
for name in gcc clang g++ clang++; do
    command -v $name >/dev/null || continue
    suffix=c
    case $name in *++) suffix=cpp ;; esac
    for header in $headers; do
        printf '#include <ito/%s>\n#include <ito/%s>\n' "$header" "$header" >"$work/alone.$suffix"
        (cd "$work" && ${compilers[$name]} "${warnings[@]}" -I. -fsyntax-only "alone.$suffix") || {
            echo "$header does not compile alone with $name" >&2
            status=1
        }
    done
    if [ $suffix = cpp ]; then
        (cd "$work" && ${compilers[$name]} "${warnings[@]}" -I. -fsyntax-only \
            "$root/tests/check/plain_functions.cpp") || status=1
    fi
done
exit $status
