#!/bin/sh
# Runs a program of the documentation in a directory of its own: it exits with 0 and prints what the
# text says. A number may be off by 0.015 or 2 %: instruction sets round differently, and a training
# run carries that on to the last digit printed.    compare.sh PROGRAM EXPECTED
set -eu
program=$(realpath "$1")
expected=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$program" >printed
awk '
    function number(s) { return s ~ /^[-+]?[0-9]+\.?[0-9]*(e[-+]?[0-9]+)?$/ }
    function near(a, b,  d) { d = a - b; d = d < 0 ? -d : d; b = b < 0 ? -b : b; return d <= 0.015 + 0.02 * b }
    { gsub(/[][(),:%]/, " & ") }
    FNR == NR { want[FNR] = $0; lines = FNR; next }
    {
        got++
        n = split(want[FNR], w); same = n == NF
        for (i = 1; i <= NF && same; i++)
            same = w[i] == $i || (number(w[i]) && number($i) && near($i, w[i]))
        if (!same) { printf "line %d: expected \"%s\", got \"%s\"\n", FNR, want[FNR], $0; bad = 1 }
    }
    END { if (got != lines) { print "expected " lines " lines"; bad = 1 } exit bad }
' "$expected" printed
