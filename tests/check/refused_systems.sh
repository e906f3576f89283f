#!/usr/bin/env bash
# What Ito does not run on is refused when it is compiled, by one sentence.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0

refused() { # sentence, options of the compiler
    local said
    if said=$(printf '#include "tensor/base.h"\n' | ${CC:-cc} -ffreestanding -fsyntax-only -I. "${@:2}" -xc - 2>&1); then
        echo "compiled with ${*:2}" >&2
        status=1
    elif [ "$(grep -c 'error:' <<<"$said")" != 1 ] || ! grep -qF "#error \"$1\"" <<<"$said" &&
        ! grep -qF "error: \"$1\"" <<<"$said"; then
        printf 'with %s, in place of "%s":\n%s\n' "${*:2}" "$1" "$said" >&2
        status=1
    fi
}

refused 'Ito needs a little-endian processor: files are read into memory as they are.' \
    -U__BYTE_ORDER__ -D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__
if [ "$(uname -m)" = x86_64 ]; then
    refused 'Ito needs 64-bit pointers: the sizes of tensors have 64 bits.' -m32
fi
exit $status
