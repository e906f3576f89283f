#!/usr/bin/env bash
# No name of the library can clash with one of a program or of another library: every global symbol of
# libito.a, and every symbol that libito.so exports, begins with ito_; those of libito.so carry the
# version of meson/ito.map, and the library's name is libito.so.N.    symbols.sh BUILD
set -euo pipefail
build=${1:?build directory}
root=$(cd "$(dirname "$0")/../.." && pwd)
status=0

# Prints the symbols of a file, but for the name of the version itself (of type A).
symbols() { # file, options of nm
    [ -f "$1" ] || { echo "$1 is not there" >&2; exit 1; }
    nm --extern-only --defined-only "${@:2}" "$1" | awk 'NF == 3 && $2 != "A" { print $3 }' | sort -u
}

check() { # file, pattern of good symbols, what is wrong with others, options of nm
    local found others
    found=$(symbols "$1" "${@:4}")
    grep -q '^ito_version' <<<"$found" || { echo "$1 does not define ito_version" >&2; exit 1; }
    others=$(grep -vE "$2" <<<"$found" || true)
    [ -n "$others" ] || return 0
    echo "$1: $(wc -l <<<"$others") global symbols $3:" "$(head -n 20 <<<"$others" | tr '\n' ' ')" >&2
    status=1
}

version=$(sed -n 's/^\(ITO_[0-9.]*\) {$/\1/p' "$root/meson/ito.map")
[ -n "$version" ] || { echo 'meson/ito.map names no version' >&2; exit 1; }
check "$build/libito.a" '^ito_' 'do not begin with ito_'
check "$build/libito.so" "^ito_.*@@${version//./\\.}$" "are not ito_...@@$version" --dynamic
soname=$(readelf -d "$build/libito.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[[ $soname =~ ^libito\.so\.[0-9]+$ ]] || { echo "$build/libito.so: its name is $soname" >&2; status=1; }
exit $status
