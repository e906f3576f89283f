#!/usr/bin/env bash
# Each public header compiles alone, with no other header than the public ones, as C and as C++; and
# what C++ and other languages call, the plain functions, is usable from C++. Structs of options have
# the same defaults in C++ (type{}) as in C (ITO_DEFAULTS_type).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Without the lists, which are rows for a macro of the header that includes them.
headers=$("$root/meson/public_headers.sh" "$work" | grep -v '\.def$')

warnings=(-Wall -Wextra -Wshadow -pedantic -Werror)
declare -A compilers=([gcc]='gcc -std=c17' [clang]='clang -std=c17' [g++]='g++ -std=c++17'
                      [clang++]='clang++ -std=c++17')

# Prints the bytes of each struct of options at its defaults. Static, so that padding is zero.
defaults() {
    echo '#include <ito/ito.h>'
    echo '#include <stdio.h>'
    echo '#ifdef __cplusplus'
    echo '#define DEFAULTS(type) {}'
    echo '#else'
    echo '#define DEFAULTS(type) {ITO_DEFAULTS_##type}'
    echo '#endif'
    for type in $types; do
        echo "static const $type default_$type = DEFAULTS($type);"
    done
    echo 'static void show(const char *name, const void *p, size_t n) {'
    echo '    printf("%s", name);'
    echo '    for (size_t i = 0; i < n; i++)'
    echo '        printf(" %02x", ((const unsigned char *)p)[i]);'
    echo '    printf("\n");'
    echo '}'
    echo 'int main(void) {'
    for type in $types; do
        echo "    show(\"$type\", &default_$type, sizeof default_$type);"
    done
    echo '}'
}
types=$(cd "$work/ito" && sed -n 's/^#define ITO_DEFAULTS_\([a-z0-9_]*\) .*/\1/p' $headers | sort -u)
[ -n "$types" ] || { echo 'no struct of options found' >&2; exit 1; }

status=0
for name in gcc clang g++ clang++; do
    command -v $name >/dev/null || continue
    suffix=c
    case $name in *++) suffix=cpp ;; esac
    for header in $headers; do
        [ "$suffix,${header##*.}" != c,hpp ] || continue
        printf '#include <ito/%s>\n#include <ito/%s>\ntypedef int alone;\n' "$header" "$header" >"$work/alone.$suffix"
        (cd "$work" && ${compilers[$name]} "${warnings[@]}" -I. -fsyntax-only "alone.$suffix") || {
            echo "$header does not compile alone with $name" >&2
            status=1
        }
    done
    defaults >"$work/defaults.$suffix"
    (cd "$work" && ${compilers[$name]} -w -I. "defaults.$suffix" -o defaults && ./defaults >"$name.defaults") &&
        diff "$work/gcc.defaults" "$work/$name.defaults" || {
        echo "defaults of options differ between gcc and $name" >&2
        status=1
    }
    if [ $suffix = cpp ]; then
        (cd "$work" && ${compilers[$name]} "${warnings[@]}" -I. -fsyntax-only \
            "$root/tests/check/plain_functions.cpp") || status=1
    fi
done
exit $status
