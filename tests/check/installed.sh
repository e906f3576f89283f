#!/usr/bin/env bash
# What is installed suffices: a program compiles against the headers and ito.pc and runs with the
# shared and with the static library.    installed.sh BUILD [programs]
# With "programs" so do those of examples/, from their sources and flags of pkg-config alone.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:?build directory}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "installed.sh: $*" >&2; exit 1; }

DESTDIR=$work/root meson install -C "$build" --no-rebuild --quiet
pc=$(find "$work/root" -name ito.pc)
[ -n "$pc" ] || fail "ito.pc is not installed"
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=
prefix=$work/root$(pkg-config --variable=prefix ito)
flags() { pkg-config --define-variable=prefix="$prefix" "$@"; }
libdir=$(flags --variable=libdir ito)
read -ra cc <<<"${CC:-cc}"

compile() { # source, object, packages...
    local cflags
    read -ra cflags < <(flags --cflags "${@:3}")
    "${cc[@]}" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$work" "${cflags[@]}" \
        -c "$1" -o "$2"
}

link() { # shared or static, program, packages, objects...
    local libs packages
    read -ra packages <<<"$3"
    if [ "$1" = shared ]; then
        read -ra libs < <(flags --libs "${packages[@]}")
    else
        read -ra libs < <(flags --static --libs "${packages[@]}")
        libs=("${libs[@]/#-lito/$libdir/libito.a}")
    fi
    "${cc[@]}" "${@:4}" -o "$2" "${libs[@]}" "-Wl,-rpath,$libdir"
}

# Whether a program was linked as it was meant to be: a shared library may be found by accident.
linked() { # shared or static, program
    local needs=static
    ! readelf -d "$2" | grep -q 'NEEDED.*libito\.so' || needs=shared
    [ $needs = "$1" ] || fail "$2 is $needs"
}

small_program() {
    cat >"$work/small.c" <<'END'
#include <ito/ito.h>
#include <stdio.h>

int main(void)
{
    ito_tensor *x = ito_requires_grad(ito_scalar(3, ITO_F32), true);
    if (ito_backward(ito_mul(x, x)) != ITO_OK)
        return 1;
    printf("%s %g\n", ito_version(), ito_item(ito_grad_of(x)));
    return 0;
}
END
    compile "$work/small.c" "$work/small.o" ito
    local kind printed
    for kind in shared static; do
        link $kind "$work/small-$kind" ito "$work/small.o"
        linked $kind "$work/small-$kind"
        printed=$("$work/small-$kind")
        [ "$printed" = "$(flags --modversion ito) 6" ] ||
            fail "$kind: version and gradient of x^2 at 3 are $printed"
    done
}

# A program is a directory of examples/ with a main.c; its sources are there and in examples/common.
program() { # name of the directory
    local source object objects=() kind
    for source in $(cd "$root" && find examples/common "examples/$1" -name '*.c' | sort); do
        object=$work/objects/${source//\//-}.o
        [ -f "$object" ] || compile "$root/$source" "$object" ito zlib libcjson
        objects+=("$object")
    done
    for kind in shared static; do
        link $kind "$work/$1-$kind" 'ito zlib libcjson' "${objects[@]}" -lm
        linked $kind "$work/$1-$kind"
        "$work/$1-$kind" --help >"$work/said" 2>&1 || true # a program of subcommands may refuse it
        grep -q '^Usage: ' "$work/said" || fail "$1 --help, $kind: $(cat "$work/said")"
    done
}

all_programs() {
    local main kind
    mkdir "$work/objects"
    ln -s "$root/examples" "$work/examples"
    "$root/models/incbin.sh" ddpm_weights "$root/examples/ddpm/fashion-mnist.safetensors" \
        "$work/ddpm_weights.h"
    for main in "$root"/examples/*/main.c; do
        program "$(basename "${main%/main.c}")"
    done
    for kind in shared static; do
        "$work/ddpm-$kind" sample --n 1 --steps 2 --out "$work/$kind.png" >"$work/said" 2>&1 ||
            fail "sample, $kind: $(cat "$work/said")"
    done
    cmp "$work/shared.png" "$work/static.png" || fail "the libraries draw different images"
}

small_program
[ "${2:-}" != programs ] || all_programs
