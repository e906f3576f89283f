#!/usr/bin/env bash
# A program of an earlier version fails to compile with a name that CHANGELOG.md explains: each line of
# renamed.h does so, names what there is instead, and is of a name that the tree uses no more.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

complain() {
    echo "renamed.h: $*" >&2
    status=1
}

line='^#define (ito_[a-z0-9_]*|ITO_[A-Z0-9_]*) ITO_(RENAMED|REMOVED)\((\w+)(, (\w+))?\)$'
lines=$(grep -E '^#define \w+ ' "$root/renamed.h" || true)
names=()
new_names=()
while read -r text; do
    [ -n "$text" ] || continue
    if ! [[ $text =~ $line ]] || [ "${BASH_REMATCH[1]}" != "${BASH_REMATCH[3]}" ]; then
        complain "not a line as the others: $text"
        continue
    fi
    names+=("${BASH_REMATCH[1]}")
    new_names+=("${BASH_REMATCH[5]}")
done <<<"$lines"
[ "$lines" = "$(LC_ALL=C sort -u <<<"$lines")" ] || complain "the lines are not in order"

# Two made-up names first, so that the macros are tried also where the list is empty.
headers=$("$root/meson/public_headers.sh" "$work")
cat >"$work/program.c" <<'END'
#include <ito/ito.h>
#define ito_made_up ITO_RENAMED(ito_made_up, ito_version)
#define ITO_MADE_UP ITO_REMOVED(ITO_MADE_UP)
END
used=(ito_made_up ITO_MADE_UP "${names[@]}")
for i in "${!used[@]}"; do
    echo "void program_$i(void) { (void)(${used[i]}); }" >>"$work/program.c"
done
cp "$work/program.c" "$work/program.cpp"
for compiler in 'gcc -std=c17' 'clang -std=c17 -ferror-limit=0' 'g++ -std=c++17' \
    'clang++ -std=c++17 -ferror-limit=0'; do
    command -v "${compiler%% *}" >/dev/null || continue
    file=program.c
    [[ $compiler != *++* ]] || file=program.cpp
    ! (cd "$work" && $compiler -I. -fsyntax-only $file) 2>"$work/said" ||
        complain "${compiler%% *} takes a program of old names"
    for name in "${used[@]}"; do
        grep -qE "error: $name is (now|gone).* see CHANGELOG" "$work/said" ||
            complain "${compiler%% *} does not say what became of $name"
    done
done

for i in "${!names[@]}"; do
    name=${names[i]}
    grep -qw -- "$name" "$root/CHANGELOG.md" || complain "CHANGELOG.md does not explain $name"
    [ -z "${new_names[i]}" ] ||
        (cd "$root" && grep -qw -- "${new_names[i]}" $(grep -vx renamed.h <<<"$headers")) ||
        complain "$name became ${new_names[i]}, which is not public"
    # In double quotes it is a text, the key of a file say, not a name of the library.
    users=$(cd "$root" && git -c safe.directory='*' grep -lP --untracked -- "(?<![\"\\w])$name(?!\\w)" \
        '*.c' '*.h' '*.cpp' '*.def' '*.md' ':!renamed.h' ':!CHANGELOG.md' ':!notes-*.md') || continue
    complain "$name is still used in" $users
done
exit $status
