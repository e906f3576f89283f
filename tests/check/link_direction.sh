#!/usr/bin/env bash
# Calls point one way: no part of the library wants a symbol of a part to its right in
# tensor <- autograd <- nn <- models.    link_direction.sh BUILD
set -euo pipefail
build=${1:?build directory}
parts=(tensor autograd nn models)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for part in "${parts[@]}"; do
    archive=$build/$part/libito_$part.a
    [ -f "$archive" ] || { echo "$archive is not there" >&2; exit 1; }
    nm -A "$archive" 2>/dev/null | sed 's/.*[ :]\([A-Za-z]\) \([^ ]*\)$/\1 \2/' >"$work/symbols"
    awk '$1 == "U" { print $2 }' "$work/symbols" | sort -u >"$work/$part.wants"
    awk '$1 ~ /^[TDBRVW]$/ { print $2 }' "$work/symbols" | sort -u >"$work/$part.has"
    [ -s "$work/$part.has" ] || { echo "$archive defines nothing" >&2; exit 1; }
done

status=0
for ((i = 0; i < ${#parts[@]}; i++)); do
    for ((j = i + 1; j < ${#parts[@]}; j++)); do
        wrong=$(comm -12 "$work/${parts[i]}.wants" "$work/${parts[j]}.has")
        [ -z "$wrong" ] && continue
        echo "${parts[i]} must not call ${parts[j]}: ${wrong//$'\n'/, }" >&2
        status=1
    done
done
exit $status
