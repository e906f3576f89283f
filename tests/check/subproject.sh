#!/usr/bin/env bash
# Ito as a part of a project, by the recipe of docs/packages.md: without installation, without Criterion,
# and with none of its flags in the project's own files. What is asked for and cannot be had is refused in
# a sentence.    subproject.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "subproject.sh: $*" >&2; exit 1; }

# Every package of this machine but Criterion, and an Ito that is installed.
without_criterion() {
    local directory file
    mkdir "$work/pc"
    pkg-config --variable=pc_path pkg-config | tr : '\n' | while read -r directory; do
        for file in "$directory"/*.pc; do
            case ${file##*/} in
            criterion.pc | ito.pc | '*.pc') ;;
            *) ln -sf "$file" "$work/pc/" ;;
            esac
        done
    done
    export PKG_CONFIG_LIBDIR=$work/pc PKG_CONFIG_PATH=
}

# As for another processor: sleef.pc names a directory of headers, and these warn.
sleef_elsewhere() {
    mkdir "$work/sleef"
    { echo 'static inline char sleef_warns(int x) { return x; }'; echo '#include_next <sleef.h>'; } >"$work/sleef/sleef.h"
    sed "s|^Cflags:.*|Cflags: -I$work/sleef|" "$(readlink "$work/pc/sleef.pc")" >"$work/sleef.pc"
    mv "$work/sleef.pc" "$work/pc/sleef.pc"
}

block() { # fence
    awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } /^```/ { on = 0 } on' "$root/docs/packages.md"
}

make_project() {
    mkdir -p "$work/project/subprojects"
    cd "$work/project"
    block meson >meson.build
    echo "assert(dependency('ito').version() == ito.version()) # found without a fallback too" >>meson.build
    block ini >subprojects/ito.wrap
    ln -s "$root" subprojects/ito # as if it had been fetched
    cat >program.c <<'END'
#include <ito/ito.h>
#include <stdio.h>

int main(void)
{
    printf("%g\n", ito_item(ito_add(ito_scalar(1, ITO_F32), ito_scalar(2, ITO_F32))));
    return 0;
}
END
}

# Without optimisation, of which Meson warns, since that builds fast.
builds_and_runs() {
    meson setup build --buildtype=debug -Ddebug=false >said 2>&1 || fail "$(cat said)"
    grep -q 'WARNING: Ito is built without optimisation, many times slower' said || fail "$(cat said)"
    ninja -C build program >said 2>&1 || fail "$(tail -n 30 said)"
    ! grep -A2 'warning:' said | grep -q 'sleef' || fail "sleef.h warns: $(grep -m1 'warning:' said)"
    [ "$(build/program)" = 3 ] || fail "the program prints $(build/program)"
    ! ninja -C build -t targets all | grep -q 'subprojects/ito/\(examples\|tests\)' || fail 'programs or tests are built'
}

# The flags of program.c are those of Meson and Ito's headers.
leaks_no_flags() {
    local command
    command=$(ninja -C build -t commands program | grep -- ' -c [^ ]*program\.c$')
    [ -n "$command" ] || fail 'no command compiles program.c'
    ! grep -E -- ' -(fopenmp|pthread|Werror|Wvla|Wshadow|D_GNU_SOURCE|ffp-contract|I[^ ]*(cjson|sleef))' <<<"$command" ||
        fail "program.c has flags of Ito's"
}

# What `meson setup` says, and whether it succeeds, with these options.
says() { # yes or no; sentence; options...
    local good=yes
    meson setup "$work/alone" "$root" "${@:3}" >said 2>&1 || good=no
    rm -rf "$work/alone"
    [ $good = "$1" ] && grep -qF "$2" said || fail "meson setup ${*:3}: $(tail -n 5 said)"
}

without_criterion
sleef_elsewhere
make_project
says yes 'no tests: they need Criterion (Debian has it as libcriterion-dev)'
says no 'no tests: they need Criterion (Debian has it as libcriterion-dev)' -Dtests=enabled
says no 'tests run the programs of examples/: -Dtests=enabled needs -Dexamples=enabled' \
    -Dtests=enabled -Dexamples=disabled
says yes 'Build targets in project' -Dexamples=disabled
builds_and_runs
leaks_no_flags
