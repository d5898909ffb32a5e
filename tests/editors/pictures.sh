#!/bin/bash
# Draws editors/neovim/ghost.svg and editors/emacs/ghost.svg: the real editor and the real daemon
# $FIMD with its embedded model, in a terminal (tmux), and its screen as it was after the last key.
# usage: pictures.sh [neovim] [emacs]    FIMD_NVIM, EMACS: the editors
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export FIMD=${FIMD:-$root/build/cpu/fimd}
nvim=${FIMD_NVIM:-$(command -v nvim-0.12 || command -v nvim)}
emacs=${EMACS:-emacs}
unset EMACSLOADPATH VIM VIMRUNTIME NVIM NVIM_APPNAME

work=$(mktemp -d)
export HOME=$work XDG_CONFIG_HOME=$work XDG_STATE_HOME=$work XDG_DATA_HOME=$work \
  XDG_CACHE_HOME=$work
socket=fimd-picture-$$
mux() { tmux -L "$socket" -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; rm -rf "$work"' EXIT

fail() {
  echo "FAIL $1"
  mux capture-pane -p | sed 's/^/     |/'
  exit 1
}
await() { # COMMAND...: until it succeeds, for a minute at most
  local end=$((SECONDS + 60))
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "waited in vain for: $*"
    sleep 0.1
  done
}
shows() { mux capture-pane -p | grep -q -- "$1"; }

# What the terminal shows right of the cursor. The files end there, so that it is ghost text.
right_of_cursor() {
  mux capture-pane -p | sed -n "$(($(mux display-message -p '#{cursor_y}') + 1))p" |
    cut -c$(($(mux display-message -p '#{cursor_x}') + 1))-
}
has_ghost() { right_of_cursor | grep -q '[^ ]'; }
settled() { # it is there, and for a second no further line has come
  local before
  before=$(mux capture-pane -pe)
  has_ghost && sleep 1 && has_ghost && [ "$before" = "$(mux capture-pane -pe)" ]
}

# A file of the project: the sample, and what follows it on standard input.
project() { # SAMPLE NAME
  mkdir -p "$work/project/.git"
  { cat "$root/tests/data/samples/$1" && cat; } >"$work/project/$2"
  # An editor ends a file with a line end; here the last line is the one that is typed on.
  truncate -s -1 "$work/project/$2"
}

start() { # COMMAND...
  mux new-session -d -x 80 -y 18 -c "$work/project" \
    env TERM=tmux-256color COLORTERM=truecolor "$@" || exit 1
}

draw() { # FOLDER CURSOR
  await settled
  mux capture-pane -epN | node "$here/picture.mjs" "$root/editors/$1/ghost.svg" \
    "$(mux display-message -p '#{cursor_x},#{cursor_y}')" "$2" || exit 1
  mux kill-server
  echo "editors/$1/ghost.svg: $(wc -c <"$root/editors/$1/ghost.svg") bytes"
}

neovim() {
  project c/queue.c queue.c <<'TEXT'

bool queue_has(const queue *q, int priority) {
  for (size_t i = 0; i < q->count; i++)
TEXT
  cp "$root/tests/data/samples/c/queue.h" "$work/project"
  cat >"$work/init.lua" <<'LUA'
vim.opt.runtimepath:prepend(vim.env.FIMD_PLUGIN)
vim.o.shortmess = vim.o.shortmess .. 'I'
vim.o.number = true
vim.o.shiftwidth = 2
vim.o.expandtab = true
vim.o.showmode = false
vim.o.statusline = "%f %m%=%{v:lua.require'fimd'.statusline()}"
require('fimd').setup({ cmd = vim.env.FIMD })
LUA
  start FIMD_PLUGIN="$root/editors/neovim" "$nvim" --clean -u "$work/init.lua" queue.c
  await shows 'fimd: [0-9r]'
  mux send-keys 'GzzA {' Enter
  draw neovim bar
}

emacs() {
  project py/inventory.py inventory.py <<'TEXT'

    def find(self, name):
        """The first item with that name."""
        for item in
TEXT
  start "$emacs" -Q -nw -L "$root/editors/emacs" --eval "(progn
      (setq inhibit-startup-screen t fimd-program (getenv \"FIMD\") make-backup-files nil
            create-lockfiles nil load-prefer-newer t native-comp-jit-compilation nil)
      (menu-bar-mode -1)
      (load-theme 'modus-vivendi t)
      (require 'fimd)
      (add-hook 'prog-mode-hook #'fimd-mode))" inventory.py
  await shows 'Stock of a small shop'
  mux send-keys 'M->' C-l Space
  draw emacs block
}

[ -x "$FIMD" ] || { echo "there is no daemon at $FIMD"; exit 1; }
for editor in "${@:-neovim emacs}"; do
  for name in $editor; do
    case $name in
    neovim | emacs) "$name" ;;
    *) echo "there is no $name here"; exit 1 ;;
    esac
  done
done
