#!/bin/bash
# Ghost text on a real terminal screen: Emacs in tmux, keys as a user presses them. What is on the
# screen and in the saved file is asserted; the times are printed only.
# usage: screen.sh FOLDER-OF-THE-LISP-FILES EMPTY-FOLDER   (FIMD: the daemon)
set -u
lisp=$1 work=$2
here=$(cd "$(dirname "$0")" && pwd)
socket=fimd-test-$$
failures=0
export FIMD_TEST_FIGURES=$work/figures
mux() { tmux -L "$socket" -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null' EXIT

check() { # RESULT WHAT
  if [ "$1" = 0 ]; then echo "ok   $2"; else
    echo "FAIL $2"
    failures=$((failures + 1))
    mux capture-pane -p | sed 's/^/     |/'
  fi
}
screen() { mux capture-pane -p; }
# The ghost text is what is shown slanted. All of it, on one line of the screen.
ghost() {
  mux capture-pane -pe |
    sed -n 's/.*\x1b\[\(0;\)\?3\(;[0-9;]*\)\?m\(\x1b\[[0-9;]*m\)*\([^\x1b]*\).*/\4/p' | head -1
}
keys() { mux send-keys "$@"; }
await() { # COMMAND...: until it succeeds, for a minute at most
  local end=$((SECONDS + 60))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.02
  done
}
shows() { screen | grep -qF -- "$1"; }
has_ghost() { [ -n "$(ghost)" ]; }
no_ghost() { ! has_ghost; }

mkdir -p "$work/project/.git"
cat >"$work/project/ring.c" <<'END'
#include <stdbool.h>
#include <stdlib.h>

struct ring {
  unsigned char *data;
  size_t capacity;
  size_t count;
};

bool ring_init(struct ring *r, size_t capacity) {
  r->data = malloc(capacity);
  if (r->data == NULL)@@
  r->capacity = capacity;
  r->count = 0;
  return true;
}
END
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  printf '\nint area_%d(int width, int height) {\n  int half = width / %d;\n' $i $i
  printf '  if (width > height)@@\n}\n'
done >>"$work/project/ring.c"

mux new-session -d -x 90 -y 30 \
  "env TERM=tmux-256color emacs -Q -nw -L '$lisp' -l '$here/screen-init.el' '$work/project/ring.c'"
ready() { screen | grep -q ' fimd' && ! screen | grep -q ' fimd:'; }
await ready
check $? "the mode line says that the daemon is ready"

keys F5
keys Space
await has_ghost
check $? "ghost text is on the screen"
[ $failures = 0 ] || exit 1
text=$(ghost)
line="  if (r->data == NULL) $text"
shows "$line"
check $? "it stands behind the cursor: $text"
x=$(mux display-message -p '#{cursor_x}')
[ "$x" = 23 ]
check $? "the cursor is in front of it"
keys "${text:0:1}"
await shows "$line"
check $? "a key that agrees leaves the line as it looks"
shorter() { [ "$(ghost)" = "${text:1}" ]; }
await shorter
check $? "the ghost text is shorter"
keys Tab
await no_ghost
check $? "TAB takes it"
keys C-x C-s
await grep -qxF -- "$line" "$work/project/ring.c"
check $? "the file has the line"
keys C-a
keys Tab
at() { [ "$(mux display-message -p '#{cursor_x}')" = "$1" ]; }
await at "$(sed -n "/malloc/{n;n;s/[^ ].*//;p}" "$work/project/ring.c" | tr -d '\n' | wc -c)"
check $? "TAB indents where no ghost text shows"

# From a key to the ghost text on the screen.
times=
for i in $(seq 12); do
  keys F5
  sleep 0.2
  no_ghost || { keys C-g; await no_ghost; }
  start=$(date +%s%N)
  keys Space
  for j in $(seq 60); do
    if has_ghost; then
      times="$times $((($(date +%s%N) - start) / 100000))"
      break
    fi
  done
  keys C-g
  sleep 0.1
done
keys F6
await test -s "$FIMD_TEST_FIGURES"
set -- $(printf '%s\n' $times | sort -n)
[ $# -gt 0 ]
check $? "ghost text came at $# of 12 places"
if [ $# -gt 0 ]; then
  p50=$(($# / 2 + 1)) p90=$(($# * 9 / 10 + 1))
  [ $p50 -gt $# ] && p50=$#
  [ $p90 -gt $# ] && p90=$#
  printf '     latency, key to screen: p50 %s ms, p90 %s ms; answers, says the daemon: %s, %s\n' \
    "$(echo "${!p50}" | sed 's/.$/.&/')" "$(echo "${!p90}" | sed 's/.$/.&/')" \
    $(cat "$FIMD_TEST_FIGURES")
fi
keys C-x C-s
keys C-x C-c
exit $((failures > 0))
