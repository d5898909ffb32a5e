#!/bin/bash
# Puts into build/editors what the editors' tests skip where it is missing: pyright, from npm, and
# for Emacs corfu, company and package-lint, from Debian's packages of them (the newer release's:
# Debian 12 has no corfu). Nothing is installed in the system.
set -eu
cd "$(dirname "$0")/../.."
INTO=$PWD/build/editors
RELEASE=trixie
PYRIGHT=pyright@1.1.414
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

pyright() {
  [ -x "$INTO/node_modules/.bin/pyright-langserver" ] && return
  command -v npm >/dev/null || { echo "missing: npm"; return 1; }
  npm install --prefix "$INTO" --omit=optional --ignore-scripts --no-audit --no-fund \
    --loglevel=error "$PYRIGHT"
}

# An apt of its own, which knows of nothing that is installed and touches nothing of the system's.
emacs_packages() {
  [ -d "$INTO/emacs/corfu" ] && return
  [ -f "$KEYRING" ] || { echo "missing: $KEYRING (apt-get install debian-archive-keyring)"; return 1; }
  local work mirror name
  work=$(mktemp -d)
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)\?\([^ ]*\).*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*debian* 2>/dev/null | head -1)
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,debs,files}
  : >"$work/status"
  echo "deb [signed-by=$KEYRING] $mirror $RELEASE main" >"$work/sources.list"
  local apt=(apt-get -qq -o Dir::State="$work/state" -o Dir::State::status="$work/status"
    -o Dir::Cache="$work/cache" -o Dir::Etc::sourcelist="$work/sources.list"
    -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o Acquire::Languages=none -o APT::Sandbox::User=root)
  "${apt[@]}" update
  (cd "$work/debs" && "${apt[@]}" download elpa-corfu elpa-company elpa-package-lint)
  for name in "$work"/debs/*.deb; do dpkg -x "$name" "$work/files"; done
  mkdir -p "$INTO/emacs"
  for name in company package-lint corfu; do
    mv "$work"/files/usr/share/emacs/site-lisp/elpa-src/$name-[0-9]* "$INTO/emacs/$name"
  done
  rm -rf "$work"
}

pyright
emacs_packages
echo "in $INTO: pyright; Emacs packages: $(ls "$INTO/emacs" | xargs)"
