#!/usr/bin/env bash
# Debian's libraries for AArch64 in a directory of their own, for a cross build and for qemu. Nothing of the
# system is changed: apt has lists and a state of its own in the directory, and nothing is configured there.
#   tests/check/aarch64_root.sh DIRECTORY
set -euo pipefail
mkdir -p "$1"
root=$(cd "$1" && pwd)
[ ! -f "$root/complete" ] || exit 0

packages='libc6-dev libgomp1 libsleef-dev zlib1g-dev libcjson-dev liblapack-dev liblapacke-dev libstb-dev libcriterion-dev
          libwebp-dev'

mkdir -p "$root"/apt/state/lists/partial "$root"/apt/cache/archives/partial
: >"$root/apt/status"
apt=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$root/apt/state"
    -o Dir::State::status="$root/apt/status" -o Dir::Cache="$root/apt/cache" -o Debug::NoLocking=1
    -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=0 -qq)
# Of the system's sources, those of Debian: others need not have packages for AArch64.
sources=$root/apt/sources.list
if [ -f /etc/apt/sources.list.d/debian.sources ]; then
    sources=/etc/apt/sources.list.d/debian.sources
else
    grep -h '^deb .*debian' /etc/apt/sources.list >"$sources"
fi
apt+=(-o Dir::Etc::sourcelist="$sources" -o Dir::Etc::sourceparts=-)
apt-get "${apt[@]}" update
# shellcheck disable=SC2086
apt-get "${apt[@]}" --download-only -y install $packages
for package in "$root"/apt/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$root"
done
# What package scripts would do: LAPACK and BLAS where linkers, pkg-config and programs look for them.
libraries=$root/usr/lib/aarch64-linux-gnu
(cd "$libraries/pkgconfig" && ln -sf lapack-netlib.pc lapack.pc && ln -sf blas-netlib.pc blas.pc)
(cd "$libraries" && ln -sf lapack/lib* blas/lib* .)
# A linker of another system reads links from its own root.
find "$root" -type l -lname '/*' -printf '%p %l\n' | while read -r link to; do
    ln -sfr "$root$to" "$link"
done
rm -rf "$root/apt/cache"
touch "$root/complete"
