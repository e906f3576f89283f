#!/bin/sh
# The include directory of programs: ito/ holds the public headers, which are ito.h, those that it names
# and the lists (.def) that these include, and ito.hpp, as they lie once installed; examples/ the
# programs' own. Prints the public headers.
#     public_headers.sh DIRECTORY
set -e
source=$(cd "$(dirname "$0")/.." && pwd)
rm -rf "$1/ito" "$1/examples"
mkdir -p "$1/ito"
ln -s "$source/examples" "$1/examples"
headers=$(sed -n 's/^#include "\(.*\)"$/\1/p' "$source/ito.h")
lists=$(cd "$source" && for header in $headers; do
    sed -n "s|^#include \"\(.*\.def\)\"\$|${header%/*}/\1|p" "$header"
done)
for header in ito.h ito.hpp $headers $lists; do
    mkdir -p "$1/ito/$(dirname "$header")"
    ln -s "$source/$header" "$1/ito/$header"
    echo "$header"
done
