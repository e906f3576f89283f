#!/bin/sh
# Writes docs/operations.md from the table of operations, which the program `operations` prints, and
# from the first sentence of each function's comment; or compares, and fails if a public operation
# has no row there.    operations.sh PROGRAM SOURCE_ROOT [--write]
set -eu
program=$1
root=$2
page=$root/docs/operations.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" --lines >"$work/lines"

cat "$root"/autograd/ops*.h >"$work/headers"
# name, tab, first sentence: of every function that gives a tensor.
awk '
    /^#define ito_[a-z0-9_]+\(/ && FNR == NR { sub(/^#define ito_/, ""); sub(/\(.*/, ""); macro[$0] = 1 }
    FNR == NR { next }
    /^\/\*\*/ { comment = ""; inside = 1 }
    inside {
        line = $0
        sub(/^\/\*\*[ ]?/, "", line)
        sub(/^ \*[ ]?/, "", line)
        end = sub(/[ ]*\*\/.*$/, "", line)
        if (line ~ /^ *@/)
            over = 1
        if (!over && line != "")
            comment = comment (comment == "" ? "" : " ") line
        if (end || $0 ~ /\*\//)
            inside = over = 0
        next
    }
    /^ITO_API ito_tensor \*/ { declaration = "" ; open = 1 }
    open {
        declaration = declaration $0
        if (index(declaration, "(")) {
            open = 0
            sub(/^ITO_API ito_tensor \*\(?ito_/, "", declaration)
            match(declaration, /^[a-z0-9_]+/)
            name = substr(declaration, 1, RLENGTH)
            short = name
            if (sub(/_(with|to)$/, "", short) && short in macro)
                name = short
            sentence = comment
            if (match(sentence, /[.;:](  *|$)/))
                sentence = substr(sentence, 1, RSTART - 1)
            gsub(/\|/, "\\|", sentence)
            gsub(/  +/, " ", sentence)
            if (name !~ /_$/)
                print name "\t" sentence
        }
    }
' "$work/headers" "$work/headers" | grep -v '^\(custom\|jvp\)	' >"$work/functions"

missing=$(cut -f1 "$work/functions" | sort -u | while read -r name; do
    cut -f2 "$work/lines" | grep -qx "$name" || printf ' ito_%s' "$name"
done)
if [ -n "$missing" ]; then
    echo "tests/autograd/operations/*.def: no row for$missing" >&2
    exit 1
fi

{
    cat <<'END'
# Operations

Every operation, as the tests' table has it (tests/autograd/operations/): written by
`tests/docs/operations.sh build/tests/operations . --write`. The headers autograd/ops*.h say what each takes,
refuses and costs. Shapes are an example's. "Any order": backward can be differentiated again, checked
against finite differences twice. Forward mode (`ito_jvp`) passes through all that have a gradient. The result
and gradients of each with a PyTorch name were compared with PyTorch's in f64.
END
    awk -F '\t' '
        NR == FNR { if (!($1 in meaning)) meaning[$1] = $2; next }
        $1 != family {
            family = $1
            printf "\n## %s\n\n| operation | what it is | PyTorch | shapes | dtypes | gradient |\n", family
            print "| --- | --- | --- | --- | --- | --- |"
        }
        { printf "| `ito_%s` | %s | %s | %s | %s | %s |\n", $2, meaning[$2], $3, $4, $5, $6; count++
          derivable += $6 != "none" }
        END { printf "\n%d operations, %d of them with a gradient.\n", count, derivable }
    ' "$work/functions" "$work/lines"
} >"$work/page"

if [ "${3-}" = --write ]; then
    cp "$work/page" "$page"
elif ! diff -u "$page" "$work/page"; then
    echo "docs/operations.md differs from the library; $0 $program $root --write" >&2
    exit 1
fi
