#!/usr/bin/env bash
# No name of the library can clash with one of a program: every global symbol of libito.a, and every
# symbol that libito.so exports, begins with ito_.    symbols.sh BUILD
set -euo pipefail
build=${1:?build directory}
status=0

check() { # file, options of nm
    local symbols others
    [ -f "$1" ] || { echo "$1 is not there" >&2; exit 1; }
    symbols=$(nm --extern-only --defined-only "${@:2}" "$1" | awk 'NF == 3 { print $3 }' | sort -u)
    grep -qx ito_version <<<"$symbols" || { echo "$1 does not define ito_version" >&2; exit 1; }
    others=$(grep -v '^ito_' <<<"$symbols" || true)
    [ -n "$others" ] || return 0
    echo "$1: $(wc -l <<<"$others") global symbols do not begin with ito_:" \
        "$(head -n 20 <<<"$others" | tr '\n' ' ')" >&2
    status=1
}

check "$build/libito.so" --dynamic
check "$build/libito.a"
exit $status
