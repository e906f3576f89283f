#!/bin/sh
# The tables between `<!-- choices: KIND -->` and `<!-- end -->` are those of the library's lists.
#     choices.sh PROGRAM PAGE [--write]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v program="$1" '
    /^<!-- choices: .* -->$/ {
        print; fflush()
        kind = $3
        if (system("\"" program "\" " kind) != 0)
            exit 1
        inside = 1
        tables++
        next
    }
    /^<!-- end -->$/ { inside = 0 }
    !inside { print; fflush() }
    END { if (tables == 0) exit 1 }
    { fflush() }' "$2" >"$work/page"
if [ "${3:-}" = --write ]; then
    cp "$work/page" "$2"
else
    diff -u "$2" "$work/page"
fi
