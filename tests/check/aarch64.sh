#!/usr/bin/env bash
# Builds for AArch64 with Debian's cross compiler, and runs tests under qemu.
#   aarch64.sh BUILD [PROGRAM [OPTIONS]]    test_PROGRAM with these options; without one: those of kernels
# QEMU_CPU=cortex-a72 chooses a processor without BF16; qemu's own has it.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD/${1:?build directory}-root
build=$PWD/$1
shift
for tool in aarch64-linux-gnu-gcc qemu-aarch64-static apt-get dpkg-deb; do
    if ! command -v $tool >/dev/null; then
        echo "$tool is missing: nothing is built for AArch64 and tried" >&2
        exit 77
    fi
done

tests/check/aarch64_root.sh "$root"
if [ ! -f "$build/build.ninja" ]; then
    sed "s|@ROOT@|$root|" meson/aarch64.ini >"$root/aarch64.ini"
    meson setup "$build" --cross-file "$root/aarch64.ini" -Dwerror=true
fi
ninja -C "$build" "tests/test_${1:-tensor}"
aarch64-linux-gnu-gcc --sysroot="$root" -shared -fPIC -D_GNU_SOURCE \
    -DQEMU="\"$(command -v qemu-aarch64-static)\"" tests/check/qemu_exec.c -o "$root/qemu_exec.so"

export QEMU_LD_PREFIX=$root QEMU_SET_ENV=LD_PRELOAD=$root/qemu_exec.so ITO_SOURCE=$PWD OMP_WAIT_POLICY=passive
run() { # program, options
    qemu-aarch64-static "$build/tests/test_$1" "${@:2}"
}
if [ $# -gt 0 ]; then
    run "$@"
    exit
fi
# The kernels of every instruction set against plain loops, and what chooses among them.
status=0
for suite in runtime gemm_bf16 gemm_thin winograd conv_depthwise exponentials random; do
    run tensor --filter "$suite/*" || status=1
done
QEMU_CPU=cortex-a72 run tensor --filter 'runtime/*' || status=1
exit $status
