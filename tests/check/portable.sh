#!/usr/bin/env bash
# The library's sources without what POSIX 2008 lacks, and with musl's headers where musl-gcc is there: names that
# are not declared fail. Nothing is linked: Debian has no SLEEF and no LAPACK for musl.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
sources=$(git -c safe.directory='*' ls-files 'tensor/*.c' 'autograd/*.c' 'nn/*.c' 'models/*.c' |
    grep -v -e '^tensor/kernels/' -e '^nn/mpi/' | xargs grep -L '_weights.h"') # those are made by the build

try() { # what, compiler, options
    printf '%s\n' $sources | xargs -P "$(nproc)" -n 8 "$2" -fsyntax-only -std=gnu17 -I. -DITO_BUILD \
        -Wall -Wextra -Werror -Wno-unknown-pragmas -Wno-unused -Wno-unused-parameter -Wno-overlength-strings \
        "${@:3}" || { echo "$1: the library does not compile" >&2; status=1; }
}

cjson=$(pkg-config --variable=includedir libcjson)/cjson
try 'POSIX alone' "${CC:-cc}" -DITO_POSIX -D_XOPEN_SOURCE=700 -I"$cjson"

if command -v musl-gcc >/dev/null; then
    headers=$(mktemp -d)
    trap 'rm -rf "$headers"' EXIT
    for header in zlib.h zconf.h sleef.h lapack.h lapack_config.h lapacke_mangling.h stb webp; do
        for there in /usr/include/$header /usr/include/*-linux-gnu/$header; do
            [ ! -e "$there" ] || ln -sf "$there" "$headers/"
        done
    done
    ln -s "$cjson" "$headers/cjson"
    for how in -D_GNU_SOURCE '-DITO_POSIX -D_XOPEN_SOURCE=700'; do
        # shellcheck disable=SC2086
        try "musl, $how" musl-gcc $how -I"$headers" -I"$headers/cjson"
    done
else
    echo 'musl-gcc is missing: not tried with musl' >&2
fi
exit $status
