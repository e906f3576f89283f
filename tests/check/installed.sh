#!/usr/bin/env bash
# What is installed suffices: a program compiles against the headers and ito.pc and runs with the
# shared and with the static library; so it does by the recipes of docs/packages.md for pkg-config, Meson
# and CMake, and so does the one of docs/cookbook.md in C++, where these are there.
#     installed.sh BUILD [programs]
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

# Flags name this library and what it needs, each once.
flags_of_pkgconfig() {
    local said
    said=$(flags --cflags --libs ito)
    [ "$said" = "-I$prefix/include -L$libdir -lito " ] || fail "pkg-config ito: $said"
    said=$(flags --static --libs-only-other ito | tr -s ' ' '\n' | sort | uniq -d)
    [ -z "$said" ] || fail "pkg-config --static ito repeats $said"
}

files() {
    local file
    for file in "${libdir#"$prefix/"}/cmake/ito/itoConfig.cmake" share/doc/ito/{LICENSE,README.md,CHANGELOG.md,docs/tutorial.md} \
        bin/ito-{ddpm,classifier,toy} share/man/man1/ito-{ddpm,ddpm-train,classifier,toy}.1 \
        share/bash-completion/completions/ito-{ddpm,classifier,toy} \
        share/zsh/site-functions/_ito-ddpm \
        share/fish/vendor_completions.d/ito-{ddpm,classifier,toy}.fish; do
        compgen -G "$prefix/$file" >/dev/null || fail "$file is not installed"
    done
}

# The blocks of a page with this fence.
block() { # page, fence
    awk -v fence="\`\`\`$2" '$0 == fence { on = 1; next } /^```/ { on = 0 } on' "$root/docs/$1"
}

runs() { # program
    local printed
    printed=$(LD_LIBRARY_PATH=$libdir "$1") || fail "$1 fails"
    [ "$printed" = "$(flags --modversion ito) 6" ] || fail "$1 prints $printed"
}

by_cmake() { # kind of library, target
    mkdir "cmake-$1"
    cp program.c "cmake-$1"
    block packages.md cmake | sed "s/ito::ito/$2/" >"cmake-$1/CMakeLists.txt"
    cmake -S "cmake-$1" -B "cmake-$1/build" -DCMAKE_PREFIX_PATH="$prefix" >said 2>&1 &&
        cmake --build "cmake-$1/build" >>said 2>&1 || fail "CMake: $(cat said)"
    linked "$1" "cmake-$1/build/program"
    runs "cmake-$1/build/program"
}

# A version that is not installed is not taken.
cmake_refuses() {
    sed -i 's/ito 0\.2/ito 0.3/' cmake-shared/CMakeLists.txt
    ! cmake -S cmake-shared -B cmake-refused -DCMAKE_PREFIX_PATH="$prefix" >said 2>&1 || fail "CMake takes ito 0.3"
    grep -q 'with requested version "0.3"' said || fail "CMake: $(cat said)"
}

recipes() {
    mkdir "$work/pc" "$work/recipe"
    sed "s|^prefix=.*|prefix=$prefix|" "$pc" >"$work/pc/ito.pc"
    cp "$work/small.c" "$work/recipe/program.c"
    (
        cd "$work/recipe"
        export PKG_CONFIG_PATH=$work/pc
        local command
        command=$(sed -n 's/^    \(cc program\.c .*\)/\1/p' "$root/docs/packages.md")
        [ -n "$command" ] || fail "no recipe for pkg-config"
        eval "${command/#cc/"${cc[@]}"}"
        runs ./program
        block packages.md meson >meson.build
        meson setup by-meson >said 2>&1 && ninja -C by-meson >>said 2>&1 || fail "Meson: $(cat said)"
        linked shared by-meson/program
        runs by-meson/program
        if command -v cmake >/dev/null; then
            by_cmake shared ito::ito
            by_cmake static ito::static
            cmake_refuses
        else
            echo 'installed.sh: no cmake here: its recipe is not tried'
        fi
        if command -v "${CXX:-c++}" >/dev/null; then
            block cookbook.md cpp >program.cpp
            "${CXX:-c++}" -std=c++17 -Wall -Wextra -Werror program.cpp \
                $(pkg-config --cflags --libs ito) -o in-cpp
            [ "$(LD_LIBRARY_PATH=$libdir ./in-cpp)" = $'learned\nrefused' ] || fail "the program in C++"
        fi
    )
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
    local main kind shell
    mkdir "$work/objects"
    ln -s "$root/examples" "$work/examples"
    for shell in bash zsh fish; do
        "$root/models/incbin.sh" "completion_$shell" "$root/examples/ddpm/completion/ito-ddpm.$shell" \
            "$work/completion_$shell.h"
    done
    sed 's/@VCS_TAG@//' "$root/examples/ddpm/commit.h.in" >"$work/ddpm_commit.h"
    for main in "$root"/examples/*/main.c; do
        program "$(basename "${main%/main.c}")"
    done
    for kind in shared static; do
        "$work/ddpm-$kind" sample --n 1 --steps 2 --out "$work/$kind.png" >"$work/said" 2>&1 ||
            fail "sample, $kind: $(cat "$work/said")"
    done
    cmp "$work/shared.png" "$work/static.png" || fail "the libraries draw different images"
}

files
flags_of_pkgconfig
small_program
recipes
[ "${2:-}" != programs ] || all_programs
