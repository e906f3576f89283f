#!/bin/sh
# For `meson dist`: the tarball says which commit it is of.
set -e
"$MESON_SOURCE_ROOT/meson/commit.sh" "$MESON_SOURCE_ROOT" >"$MESON_DIST_ROOT/meson/commit"
