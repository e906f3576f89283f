#!/bin/sh
# Writes the table of ONNX forms in docs/interchange.md from autograd/onnx/forms.def, or compares.
#     forms.sh SOURCE_ROOT [--write]
set -eu
page=$1/docs/interchange.md
work=$(mktemp)
trap 'rm -f "$work"' EXIT

awk '
    FNR == NR {
        if (match($0, /^ONNX_[A-Z]+\(/)) {
            kind = substr($0, 6, RLENGTH - 6)
            rest = substr($0, RLENGTH + 1)
            name = substr(rest, 1, index(rest, ",") - 1)
            text = substr(rest, index(rest, "\"") + 1)
            sub(/"\)$/, "", text)
            if (kind == "NONE")
                none[text] = none[text] (none[text] == "" ? "" : ", ") "`" name "`"
            else
                row[++rows] = "| `" name "` | " text " |"
            if (kind == "NONE" && none[text] !~ /,/)
                reason[++reasons] = text
        }
        next
    }
    /^<!-- forms -->/ {
        print
        print "\n| operation | in ONNX |\n| --- | --- |"
        for (i = 1; i <= rows; i++)
            print row[i]
        print "\n| without a form | why |\n| --- | --- |"
        for (i = 1; i <= reasons; i++)
            print "| " none[reason[i]] " | " reason[i] " |"
        print ""
        inside = 1
    }
    /^<!-- end of forms -->/ { inside = 0 }
    !inside { print }
' "$1/autograd/onnx/forms.def" "$page" >"$work"

if [ "${2-}" = --write ]; then
    cp "$work" "$page"
elif ! diff -u "$page" "$work"; then
    echo "docs/interchange.md differs from autograd/onnx/forms.def; $0 $1 --write" >&2
    exit 1
fi
