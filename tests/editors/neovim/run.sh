#!/bin/sh
# The plug-in in real Neovim with the real daemon: each test_*.lua, or those that are named.
#   FIMD=build/cpu/fimd tests/editors/neovim/run.sh [short | NAME...]
# short: what `make test` runs, half a minute of it. FIMD_NVIM is the editor, else see find.sh.
# FIMD_TEST_PLUGINS: checkouts of blink.cmp and so on, for test_menus.lua.
# 77: no Neovim 0.12, or no daemon.
here=$(cd "$(dirname "$0")" && pwd)
unset VIM VIMRUNTIME NVIM NVIM_APPNAME XDG_CONFIG_HOME
nvim=$("$here/find.sh") || { echo "skipped: no Neovim 0.12"; exit 77; }
home=$(mktemp -d) || exit 1
trap 'rm -rf "$home"' EXIT INT TERM
if [ "${1:-}" = short ]; then
  export FIMD_TEST_SHORT=1
  set -- ghost typing streaming daemon servers popup
fi
if [ $# -eq 0 ]; then
  set -- ghost typing streaming daemon servers pyright commands popup
  [ -z "${FIMD_TEST_PLUGINS:-}" ] || set -- "$@" menus
fi
worst=0
for name; do
  echo "== $name"
  HOME=$home XDG_STATE_HOME=$home XDG_DATA_HOME=$home XDG_CACHE_HOME=$home TMPDIR=$home \
    LUA_PATH="$here/?.lua;;" NVIM_LOG_FILE=$home/log "$nvim" --clean -l "$here/test_$name.lua"
  code=$?
  [ $code -eq 77 ] && exit 77
  [ $code -ne 0 ] && worst=1
done
exit $worst
