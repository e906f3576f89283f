#!/usr/bin/env bash
# No public header gives a warning with -Wall -Wextra -pedantic, and no macro of one where a program
# uses it: each macro with options with none of them, one and all (header_use.awk), and the others
# (header_use.c, header_use.cpp); in C11, C17, C23, C++17 and C++20, with each compiler that is there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
headers=$("$root/meson/public_headers.sh" "$work" | grep '\.h$')
(cd "$work/ito" && awk -f "$root/tests/check/header_use.awk" $headers) >"$work/options.c"
cat "$root/tests/check/header_use.c" "$work/options.c" >"$work/use.c"
# In C++ the functions that use options take handles as well.
{
    cat "$work/use.c" "$root/tests/check/header_use.cpp"
    sed 's/ito_tensor \*\([a-z0-9_]*\)\([,)]\)/ito::tensor \1\2/g; s/use_ito/handles_ito/' "$work/options.c"
} >"$work/use.cpp"
cd "$work"
status=0
for compiler in 'gcc c' 'clang c' 'g++ cpp' 'clang++ cpp'; do
    read -r name suffix <<<"$compiler"
    command -v "$name" >/dev/null || continue
    standards='c11 c17 c2x'
    [ $suffix = c ] || standards='c++17 c++20'
    for standard in $standards; do
        "$name" -std=$standard -Wall -Wextra -Wshadow -pedantic -Werror -I. -fsyntax-only use.$suffix ||
            { echo "header_use.sh: $name -std=$standard warns" >&2; status=1; }
    done
done
exit $status
