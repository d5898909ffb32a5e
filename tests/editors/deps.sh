#!/bin/sh
# What the editors' share of `make test` needs and this machine lacks: Neovim 0.12, and the npm
# packages of the extension for VS Code. Each is tried once for a build folder. What cannot be had
# is said, and its tests are skipped: nothing fails for want of an editor.
cd "$(dirname "$0")/../.." || exit
tried=build/editors-tried
mkdir -p $tried

once() { # name command...
  [ -e "$tried/$1" ] && return
  touch "$tried/$1"
  shift
  "$@"
}
packages() {
  cd editors/vscode || return
  [ node_modules/.package-lock.json -nt package-lock.json ] && return
  node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || return
  timeout 600 npm ci --ignore-scripts --no-audit --no-fund --prefer-offline --fetch-retries=1 \
    --loglevel=error >/dev/null 2>&1 ||
    echo "the packages of the extension for VS Code cannot be had here: its tests are skipped"
  touch -c node_modules/.package-lock.json
}
once neovim tests/editors/neovim/install.sh
(once vscode packages)
exit 0
