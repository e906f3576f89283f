#!/bin/sh
# Compares the tables of choices in a page with the library: between "<!-- choices: KIND -->" and
# "<!-- end -->" stands what the program `choices` prints for KIND, and every kind has its table; so have the
# settings of the recipes. Other tables of another program and page: $KINDS.
# --write rewrites the tables.    choices.sh PROGRAM PAGE [--write]
set -eu
program=$1
page=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for kind in ${KINDS:-schedule timestep_law prediction time_input variance weighting objective sampler spacing recipe \
    recipe_settings optimizer ode_method}; do
    "$program" "$kind" >"$work/$kind"
    if [ "$(grep -cxF "<!-- choices: $kind -->" "$page")" != 1 ]; then
        echo "$page: one \"<!-- choices: $kind -->\" is needed" >&2
        exit 1
    fi
done

awk -v work="$work" '
    function endless() { inside = 0; print "a table without its end: " kind >"/dev/stderr"; exit 1 }
    /^<!-- end -->$/ { inside = 0 }
    !inside { print }
    /^<!-- choices: [a-z_]+ -->$/ {
        if (inside)
            endless()
        inside = 1
        kind = $3
        while ((getline line <(work "/" kind)) > 0)
            print line
    }
    END { if (inside) endless() }
' "$page" >"$work/page"

if [ "${3-}" = --write ]; then
    cat "$work/page" >"$page"
elif ! diff -u "$page" "$work/page"; then
    echo "$page: a table of choices differs from the library; $0 $program $page --write" >&2
    exit 1
fi
