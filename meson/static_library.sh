#!/bin/sh
# One static library of several, whose global symbols all begin with ito_: those that do not are
# internal and become ito_private_NAME, in definitions and references alike, so that none clashes with
# a name of the program. Members stay apart: a program takes only those it needs.
#     static_library.sh OUT.a PART.a...
set -e
out=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A thin archive only names its members; this copies them.
{
    echo "CREATE $work/all.a"
    for part; do
        echo "ADDLIB $part"
    done
    printf 'SAVE\nEND\n'
} | "${AR:-ar}" -M
"${NM:-nm}" --extern-only --defined-only "$work/all.a" |
    awk 'NF == 3 && $3 !~ /^ito_/ { print $3, "ito_private_" $3 }' | sort -u >"$work/names"
"${OBJCOPY:-objcopy}" --enable-deterministic-archives --redefine-syms="$work/names" "$work/all.a" "$out"
