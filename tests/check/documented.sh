#!/usr/bin/env bash
# Each public function and type has a comment of its own: see documented.awk. Public is what ito.h
# reaches. Modules that are named in `strict` fail the check; of the others the number is told.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
strict='.'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$root" "$work/ito"
echo '#include <ito/ito.h>' >"$work/all.c"
headers=$(cd "$work" && ${CC:-cc} -I. -M all.c | tr ' \\' '\n\n' | grep '^ito/' |
    xargs realpath --relative-to=ito/. | sort -u)

cd "$root"
missing=$(awk -f tests/check/documented.awk $headers)
others=$(grep -vE "$strict" <<<"$missing" | grep -c . || true)
[ "$others" = 0 ] || echo "$others public names in other modules have no comment of their own:
$(grep -vE "$strict" <<<"$missing" | sed 's/:.*//' | uniq -c)"
if failing=$(grep -E "$strict" <<<"$missing"); then
    echo "$failing" >&2
    echo 'These have no comment of their own.' >&2
    exit 1
fi
