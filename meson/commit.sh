#!/bin/sh
# The commit of the sources, for --version; fails where they are no clone: a tarball, even one that lies
# in a clone of something else.
#     commit.sh SOURCE_ROOT
set -e
cd "$1"
git() {
    command git --no-optional-locks -c safe.directory='*' "$@"
}
[ -z "$(git rev-parse --show-prefix)" ]
git describe --always --dirty --exclude='*'
