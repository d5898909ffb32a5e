#!/usr/bin/env bash
# A new user's way to the first ghost text, in a clean home folder: the three commands of README.md
# (make install, fimd setup, the editor), then keys on a real terminal, in tmux. What is on the
# screen is read from it, what was accepted from the saved file.
#   FIMD=build/cpu/fimd tests/editors/new_user/run.sh [neovim] [emacs]
# 77: no tmux, or neither editor.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
fimd=$(realpath "${FIMD:-$root/build/fimd}")
[ -x "$fimd" ] || { echo "skipped: there is no daemon at $fimd"; exit 77; }
command -v tmux >/dev/null || { echo "skipped: there is no tmux"; exit 77; }

work=$(mktemp -d)
socket=fimd-new-user-$$
failures=0 tried=0
mux() { tmux -L "$socket" -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

screen() { mux capture-pane -p; }
check() { # RESULT WHAT
  if [ "$1" = 0 ]; then echo "ok   $editor: $2"; else
    echo "FAIL $editor: $2"
    failures=$((failures + 1))
    screen 2>/dev/null | sed 's/ *$//; /^$/d; s/^/     |/'
  fi
}
await() { # COMMAND...: until it succeeds, for two minutes at most
  local end=$((SECONDS + 120))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}
# The line that was typed last, where the screen has more of it than was typed, without its blanks.
line() {
  screen | sed -n '/queue_count(/,$ s/^ *\(return [^ ].*[^ ]\) *$/\1/p' | head -1
}
has_ghost() { [ -n "$(line)" ]; }
shows() { screen | grep -qF -- "$1"; }
ended() { ! mux has-session 2>/dev/null; }
daemon() { pgrep -f "^$home/.local/bin/fimd" >/dev/null; }
no_daemon() { ! daemon; }
saved() { sed 's/^[[:space:]]*//' "$home/project/queue.c"; }

# A home folder with the editor, the tools of the system, and a project in it; nothing of fimd.
new_home() { # PROGRAM NAME: of the editor
  home=$work/$editor
  mkdir -p "$home/bin" "$home/project/.git"
  ln -s "$1" "$home/bin/$2"
  cp "$root"/tests/data/samples/c/queue.[ch] "$home/project"
  clean=(env -i HOME="$home" TERM=screen-256color LANG=C.UTF-8 SHELL=/bin/sh
    PATH="$home/bin:$home/.local/bin:/usr/bin:/bin")
}

# The first two commands. The build is there, so `all` is taken for done.
install_fimd() {
  "${clean[@]}" make -s -C "$root" -o all NVCC= BUILD="$(dirname "$fimd")" PREFIX="$home/.local" \
    install >"$work/log" 2>&1
  check $? "make install PREFIX=~/.local"
  "${clean[@]}" fimd setup "$editor" --write >>"$work/log" 2>&1
  check $? "fimd setup $editor --write"
  "${clean[@]}" fimd doctor "$editor" >>"$work/log" 2>&1
  check $? "fimd doctor $editor finds nothing to fix"
  [ $failures = 0 ] || sed 's/^/     |/' "$work/log"
}

# The third, and what a user types: a function at the end of the file, up to where text is awaited.
try() { # OPEN: the editor's command; keys: TO_END..., and SAVE...
  local text
  mux new-session -d -x 100 -y 50 -c "$home/project" "${clean[@]}" "${open[@]}" queue.c
  await shows 'queue' || { check 1 "${open[*]} queue.c"; return; }
  mux send-keys "${to_end[@]}"
  mux send-keys -l 'size_t queue_count(const queue *q) {'
  mux send-keys Enter
  mux send-keys -l 'return '
  await has_ghost
  check $? "ghost text on the screen"
  text=$(line)
  echo "     $text"
  daemon
  check $? "of the daemon that was installed"
  mux send-keys Tab
  mux send-keys "${save[@]}"
  await ended
  check $? "the editor saves and ends"
  saved | sed -n '/^size_t queue_count(const queue \*q) {$/{n;p;}' | grep -qxF -- "${text:-none}"
  check $? "Tab has put just that into the file, below the line that was typed"
  await no_daemon
  check $? "no daemon stays behind"
  mux kill-server 2>/dev/null
}

in_neovim() {
  local nvim open=(nvim) to_end=(G o) save=(Escape ':wq' Enter)
  nvim=$("$here/../neovim/find.sh") || { echo "skipped: no Neovim 0.12"; return; }
  tried=1
  new_home "$nvim" nvim
  install_fimd
  try
}

in_emacs() {
  local program open=(emacs -nw) to_end=('M->' Enter) save=(C-x C-s C-x C-c)
  program=$(command -v "${EMACS:-emacs}") || { echo "skipped: no Emacs"; return; }
  case $("$program" --version | head -1) in
    *' '[12]?.*) echo "skipped: no Emacs 30"; return ;;
  esac
  tried=1
  new_home "$program" emacs
  install_fimd
  try
}

[ $# -gt 0 ] || set -- neovim emacs
for editor; do
  case $editor in
    neovim | emacs) "in_$editor" ;;
    *) echo "usage: $0 [neovim] [emacs]"; exit 2 ;;
  esac
done
[ $failures = 0 ] || exit 1
[ $tried = 1 ] || exit 77
