#!/bin/sh
# Puts Neovim 0.12 into build/nvim where none is on the PATH: Debian's own package, which Debian 12
# and 13 do not have, with all libraries that it needs, unpacked there and told to use those. No
# root, and nothing of the system changes; 13 MB to fetch. For x86-64 Debian: others bring their
# own. Status 1, with one line, where it cannot be had.
set -eu
cd "$(dirname "$0")/../../.."
tests/editors/neovim/find.sh >/dev/null && exit
SUITE=forky # 0.12 from its first day on
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
into=$PWD/build/nvim
work=$PWD/build/nvim-apt

no() {
  rm -rf "$work" "$into"
  echo "Neovim 0.12 cannot be had here ($1): its tests are skipped"
  exit 1
}
command -v apt-get >/dev/null || no "there is no apt-get"
[ -f $KEYRING ] || no "this is not Debian"
[ "$(dpkg --print-architecture)" = amd64 ] || no "this is not amd64"
mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
  sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]+).*/\2/p' | head -1)
[ -n "$mirror" ] || no "apt has no archive"

# A world of its own for apt: nothing is installed there, so all that Neovim needs is fetched. A
# copy of the archive may be some weeks behind; its signature is looked at all the same.
rm -rf "$work" "$into"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$into"
: >"$work/status"
echo "deb [signed-by=$KEYRING] $mirror $SUITE main" >"$work/sources.list"
apt() {
  timeout 300 apt-get -qq -o Dir::State="$work/state" -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list" \
    -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null \
    -o Dir::Etc::preferencesparts=/dev/null -o Acquire::Languages=none -o Acquire::Retries=1 \
    -o Acquire::Check-Valid-Until=false \
    -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o APT::Install-Recommends=0 \
    -o APT::Sandbox::User="$(id -un)" -o APT::Update::Error-Mode=any "$@" >"$work/log" 2>&1
}
echo "fetching Neovim 0.12 into build/nvim"
apt update || no "no answer from the archive"
apt install -y --download-only neovim patchelf || no "no package of it in $SUITE"
for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$into"; done

# Its own loader and libraries for this one program: what it starts has the system's.
libraries=$into/usr/lib/x86_64-linux-gnu
loader=$into/usr/lib64/ld-linux-x86-64.so.2
"$loader" --library-path "$libraries" "$into/usr/bin/patchelf" --set-interpreter "$loader" \
  --force-rpath --set-rpath "$libraries" "$into/usr/bin/nvim" || no "it cannot be put there"
rm -rf "$work" "$into"/usr/share/doc "$into"/usr/share/man "$libraries/gconv"
tests/editors/neovim/find.sh >/dev/null || no "it does not run"
