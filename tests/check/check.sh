# The steps of ./run check, which sources this file. All are done; the end says which ones failed.

sources() { # tracked or to be: patterns
    git -c safe.directory='*' ls-files -co --exclude-standard -- "$@"
}

failed_steps=()
step() { # name, command...
    say "$1"
    "${@:2}" || { failed_steps+=("$1"); say "$1: FAILED"; }
}

# A build directory of its own for each compiler, all of them under build/.
build_in() { # directory, compiler, options...
    local cxx=${2/%gcc/g++}
    [ -f "$1/build.ninja" ] || CC=$2 CXX=${cxx/%clang/clang++} meson setup "$1" "${@:3}" || return
    ninja -C "$1"
}

check_format() {
    sources '*.c' '*.h' '*.cpp' '*.hpp' | xargs clang-format --dry-run -Werror
}

check_includes() {
    sources '*.c' '*.h' '*.def' | xargs awk -f tests/check/include_direction.awk
}

check_program_includes() {
    sources 'examples/*.c' 'examples/*.h' | xargs awk -f tests/check/program_includes.awk ito.h
}

# What they say beside errors they say by note(), so that --quiet silences it.
check_notes() {
    ! sources 'examples/*.c' ':!examples/common/messages.c' ':!examples/common/options.c' \
        ':!examples/common/program.c' ':!examples/common/progress.c' | xargs grep -n '[(, ]stderr[,)]'
}

# The version is written in three places.
check_versions() {
    local meson library debian
    meson=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)
    library=$(sed -n '/^const char \*ito_version/,/^}/s/.*"\(.*\)".*/\1/p' tensor/error.c)
    debian=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
    [ -n "$meson" ] && [ "$meson" = "$library" ] && [ "$meson" = "$debian" ] && return
    echo "versions differ: $meson in meson.build, $library in tensor/error.c, $debian in debian/changelog" >&2
    return 1
}

check_build_and_test() { # directory, compiler, options...
    build_in "$@" && run_tests "$1"
}

# Each instruction set below the best one.
check_isa() { # build directory, instruction set
    if [ "$2" != base ] && ! grep -qw "$2" /proc/cpuinfo; then
        say "this processor lacks $2"
        return 0
    fi
    ITO_ISA=$2 run_tests "$1"
}

# Clang, since GCC 12 breaks off (an internal error) where it instruments vector selections.
check_sanitized() {
    ASAN_OPTIONS=abort_on_error=1:detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        check_build_and_test "$@" --buildtype=debugoptimized -Dwerror=true \
        -Db_sanitize=address,undefined -Db_lundef=false -Dmpi=disabled
}

# Criterion does not start under ThreadSanitizer, so this is the plain program of tests/threads; with
# Clang, whose OpenMP library tells the sanitizer about its locks.
check_threads() { # build directory
    [ -f "$1/build.ninja" ] || CC=clang meson setup "$1" --buildtype=debugoptimized -Dwerror=true \
        -Db_sanitize=thread -Db_lundef=false || return
    ninja -C "$1" tests/threads && TSAN_OPTIONS=ignore_noninstrumented_modules=1 "$1/tests/threads"
}

cppcheck_files() { # options; files on stdin
    cppcheck --file-list=- --quiet --error-exitcode=1 --inline-suppr --std=c11 \
        --enable=warning,performance -j "$(nproc)" \
        --suppressions-list=tests/check/cppcheck.txt -D_GNU_SOURCE -D__x86_64__ -D__cppcheck__ "$@"
}

# The library, then programs, which include it as it is installed.
check_cppcheck() {
    local headers status=0
    headers=$(mktemp -d)
    meson/public_headers.sh "$headers" >"$headers/list"
    sources 'tensor/*.c' 'autograd/*.c' 'nn/*.c' 'models/*.c' |
        cppcheck_files -I. -DITO_BUILD -DKERNEL_ISA=base -DKERNEL_ELEM=f32 -DKERNEL_F64=0 \
            -DKERNEL_BF16=0 || status=1
    sources 'examples/*.c' | cppcheck_files -I"$headers" || status=1
    rm -rf "$headers"
    return $status
}

# The kernels' other variants differ in the vector header only.
check_tidy() { # build directory of clang
    sources 'tensor/*.c' 'autograd/*.c' 'nn/*.c' 'models/*.c' 'examples/*.c' |
        grep -v '^tensor/kernels/' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$1"
}

check_aarch64() {
    local status=0
    tests/check/aarch64.sh build/aarch64 || status=$?
    [ $status = 77 ] || return $status # it has said what is missing
}

check() { # quick or full
    step 'format' check_format
    step 'includes point one way' check_includes
    step 'big-endian and 32-bit systems are refused' tests/check/refused_systems.sh
    step 'the checks of includes, checked' tests/check/includes.sh
    step 'public headers alone, in C and C++' tests/check/public_headers.sh
    step 'public headers without warnings, where used' tests/check/header_use.sh
    step 'old names fail to compile' tests/check/renamed.sh
    step 'public names are documented' tests/check/documented.sh
    step 'programs include what is public' check_program_includes
    step 'programs speak by note()' check_notes
    step 'the version is one' check_versions
    if [ "$1" != quick ]; then
        step 'gcc: build and tests' \
            check_build_and_test build/gcc gcc -Dwerror=true
        step 'calls point one way' tests/check/link_direction.sh build/gcc
        step 'symbols begin with ito_' tests/check/symbols.sh build/gcc
        step 'the installed library, and the programs built with it' \
            tests/check/installed.sh build/gcc programs
        step 'the library as one file' env ITO_COMPILERS='gcc clang' \
            tests/check/amalgamated.sh build/gcc
        step 'the Python package' tests/check/python.sh build/gcc
        step 'ONNX files in onnxruntime' tests/check/onnx.sh build/gcc
        step 'Ito in a project of Meson, and without Criterion' tests/check/subproject.sh
        step 'the documentation as a site' docs
        step 'report.html in a browser' tests/check/report.sh build/gcc
        step 'tests with ITO_ISA=base' check_isa build/gcc base
        step 'tests with ITO_ISA=avx2' check_isa build/gcc avx2
        step 'tests with ITO_ISA=amx-emulated' check_isa build/gcc amx-emulated
        step 'clang: build and tests' \
            check_build_and_test build/clang clang -Dwerror=true
        step 'AddressSanitizer, UBSan: build and tests' check_sanitized build/sanitized clang
        step 'ThreadSanitizer' check_threads build/tsan
        step 'POSIX alone, and musl: the sources compile' tests/check/portable.sh
        step 'POSIX alone: build and tests' \
            check_build_and_test build/posix gcc -Dwerror=true -Dposix_only=true
        step 'without OpenMP: build and tests' \
            check_build_and_test build/one_thread clang -Dwerror=true -Dopenmp=disabled
        step 'AArch64: build, tests of kernels under qemu' check_aarch64
        step 'cppcheck' check_cppcheck
        step 'clang-tidy' check_tidy build/clang
    fi
    if [ ${#failed_steps[@]} -gt 0 ]; then
        printf 'failed: %s\n' "${failed_steps[@]}" >&2
        return 1
    fi
    say 'everything passed'
}
