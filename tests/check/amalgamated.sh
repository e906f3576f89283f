#!/bin/sh
# The library as one source file: it compiles without a word, as README says, a program runs with it, and
# the library's own tests pass with it in place of libito.a.
#     amalgamated.sh BUILD
set -e
source=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "amalgamated: $1" >&2
    exit 1
}

python3 "$source/meson/amalgamate.py" "$work"
cp "$source/tests/check/amalgamated.c" "$work/yours.c"
cd "$work"
for cc in ${ITO_COMPILERS:-cc}; do
    $cc -O2 -Wall -Wextra -fopenmp -c ito.c 2>messages || fail "$(head -n 20 messages)"
    [ ! -s messages ] || fail "$cc says: $(head -n 20 messages)"
    $cc -O2 -Wall -Wextra -Werror -fopenmp yours.c ito.o -lm -o yours || fail "a program does not build with $cc"
    for isa in base ''; do
        ITO_ISA=$isa ./yours weights.safetensors >out || fail "the program fails: $(cat out)"
        grep -q 'loss [0-9.]*, 64 pixels' out || fail "the program prints: $(cat out)"
        grep -q 'weights.zip: is a zip archive, which this build, without zlib, does not read' out ||
            fail "a zip archive says: $(cat out)"
        grep -q 'linalg_inv: needs LAPACK, which this build is without' out || fail "linalg_inv says: $(cat out)"
    done
done
! nm --extern-only --defined-only ito.o | awk '{ print $3 }' | grep -v '^ito_' || fail 'names without ito_'
declared=$(sed -n 's/^ITO_API .*\b\(ito_[a-z0-9_]*\)(.*/\1/p' ito.h | sort -u)
nm --extern-only --defined-only ito.o | awk '{ print $3 }' | sort >defined
missing=$(echo "$declared" | comm -23 - defined)
[ -z "$missing" ] || fail "declared and not there: $missing"

# The tests see what is internal by its own name.
nm --extern-only --defined-only ito.o |
    awk '$3 ~ /^ito_private_/ { name = $3; sub(/^ito_private_/, "", name); print $3, name }' >names
objcopy --redefine-syms=names ito.o tested.o
# What needs LAPACK, and what knows of other instruction sets.
left_out='linalg/*|*/linalg_*|*/cholesky_*|*/logdet_*|operation_onnx/each_row_*'
left_out="$left_out|runtime/*_instruction_set_is_reported|runtime/tiles_that_are_forbidden_*"
status=0
for program in test_tensor test_autograd test_ops test_gpt test_vae; do
    cc -o "$program" "$build/tests/$program.p"/*.o tested.o "$build"/tests/libop_check.a -lcriterion -lcjson -lm \
        -fopenmp || fail "$program does not link"
    ITO_SOURCE=$source "./$program" --filter "!($left_out)" || status=1
done
exit $status
