#!/bin/sh
# The commit of the sources, for --version: of a clone, or of a release's tarball by meson/dist.sh. Fails where
# they are neither, even if they lie in a clone of something else.
#     commit.sh SOURCE_ROOT
set -e
cd "$1"
if [ -f meson/commit ]; then
    cat meson/commit
    exit
fi
git() {
    command git --no-optional-locks -c safe.directory='*' "$@"
}
[ -z "$(git rev-parse --show-prefix)" ]
git describe --always --dirty --exclude='*'
