#!/usr/bin/env bash
# Runs the commands of README.md's section "Programs", as they stand and in their order, in a directory
# of its own: each exits with 0. Programs are called through a wrapper that appends what makes the long
# ones short: two steps of training, few images.    commands.sh BUILD README.md
set -euo pipefail
build=$(realpath "$1")
readme=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/build/examples" "$work/bin"
export XDG_CACHE_HOME=$work/cache PATH=$work/bin:$PATH ITO_BUILD=$build

for program in ito-toy ito-ddpm ito-classifier; do
    cat >"$work/build/examples/$program" <<'END'
#!/usr/bin/env bash
program=$ITO_BUILD/examples/${0##*/}
case "${0##*/} $*" in
*--help*) exec "$program" "$@" ;;
'ito-toy '*) exec "$program" "$@" --steps 20 --n 50 ;;
'ito-ddpm sample '*) exec "$program" "$@" --n 10 --steps 2 ;;
'ito-ddpm train '*) exec "$program" "$@" --stop-at 2 --sample-every 0 ;;
'ito-ddpm eval '*--bits-per-dim*) exec "$program" "$@" --n 2 ;;
'ito-ddpm eval '*) exec "$program" "$@" --n 97 --steps 2 ;;
*) exec "$program" "$@" ;;
esac
END
    chmod +x "$work/build/examples/$program"
done
cat >"$work/bin/xdg-open" <<'END'
#!/bin/sh
test -s "$1"
END
chmod +x "$work/bin/xdg-open"

cd "$work"
awk '/^## / { here = $0 == "## Programs" } here && /^    / { sub(/^    /, ""); print }' "$readme" >commands
n=0
while read -r command <&3; do
    n=$((n + 1))
    bash -c "$command" </dev/null >said 2>&1 || {
        printf 'README.md: %s\n' "$command"
        cat said
        exit 1
    }
done 3<commands
[ $n -ge 10 ] || { echo "README.md has $n commands in its section Programs, and 10 are expected"; exit 1; }
