#!/usr/bin/env bash
# What is installed suffices: a program compiles against the headers and ito.pc and runs with the
# shared and with the static library.    installed.sh BUILD
set -euo pipefail
build=$(cd "${1:?build directory}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
pc=$(find "$work/root" -name ito.pc)
[ -n "$pc" ] || { echo "ito.pc is not installed" >&2; exit 1; }
cat >"$work/program.c" <<'END'
#include <ito/ito.h>
#include <stdio.h>

int main(void)
{
    ito_tensor *x = ito_requires_grad(ito_scalar(3, ITO_F32), true);
    if (ito_backward(ito_mul(x, x)) != ITO_OK)
        return 1;
    printf("%g\n", ito_item(ito_grad_of(x)));
    return 0;
}
END
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=
prefix=$work/root$(pkg-config --variable=prefix ito)
flags() { pkg-config --define-variable=prefix="$prefix" "$@" ito; }
libdir=$(flags --variable=libdir)

for kind in shared static; do
    if [ $kind = shared ]; then
        read -ra libs < <(flags --libs)
    else
        read -ra libs < <(flags --static --libs)
        libs=("${libs[@]/#-lito/$libdir/libito.a}")
    fi
    read -ra cflags < <(flags --cflags)
    ${CC:-cc} -std=c17 -Wall -Wextra -Werror "${cflags[@]}" "$work/program.c" \
        -o "$work/program" "${libs[@]}" "-Wl,-rpath,$libdir"
    printed=$("$work/program")
    [ "$printed" = 6 ] || { echo "$kind: the gradient of x^2 at 3 is $printed" >&2; exit 1; }
done
