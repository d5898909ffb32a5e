#!/bin/sh
# Prints the Neovim that the tests drive: FIMD_NVIM, one of the PATH, or the one that install.sh has
# put there, the first that is 0.12 or later. Status 77 where there is none.
build=$(cd "$(dirname "$0")/../../.." && pwd)/build
for nvim in "${FIMD_NVIM:-}" "$(command -v nvim-0.12)" "$(command -v nvim)" \
  "$build/nvim/usr/bin/nvim"; do
  [ -n "$nvim" ] && [ -x "$nvim" ] || continue
  "$nvim" --clean --headless +'exe has("nvim-0.12") ? "qa!" : "cq!"' >/dev/null 2>&1 || continue
  echo "$nvim"
  exit
done
exit 77
