#!/bin/bash
# The tests of editors/emacs, in a real Emacs with the real daemon, in a home folder of their own.
# usage: run.sh [PART...]   parts, all without one: lint fit ghost sync watch daemon eglot menu
#   install screen
# FIMD: the daemon (default: build/cpu/fimd). EMACS: the editor. Exits 77 where that is missing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
emacs=${EMACS:-emacs}
export FIMD=${FIMD:-$root/build/cpu/fimd}
case $FIMD in /*) ;; *) FIMD=$PWD/$FIMD ;; esac

major=$("$emacs" -Q --batch --eval '(princ emacs-major-version)' 2>/dev/null)
if [ "${major:-0}" -lt 30 ]; then
  echo "skipped: there is no Emacs 30 or later (${major:-none} found)"
  exit 77
fi
if [ ! -x "$FIMD" ]; then
  echo "skipped: there is no daemon at $FIMD"
  exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/home" "$work/tmp" "$work/lisp"
export HOME=$work/home TMPDIR=$work/tmp XDG_CONFIG_HOME=$work/home/.config
unset EMACSLOADPATH
cp "$root"/editors/emacs/*.el "$work/lisp"
# What tests/editors/install.sh has put there; without it some tests are skipped.
packages=()
for name in "$root"/build/editors/emacs/*/; do packages+=(-L "$name"); done
PATH=$PATH:$root/build/editors/node_modules/.bin
failed=0

ert() { # NAME
  local log=$work/$1.log
  # Emacs may write neither into the checkout nor a native-compilation cache.
  "$emacs" -Q --batch --eval '(setq native-comp-jit-compilation nil load-prefer-newer t)' \
    -L "$work/lisp" -L "$here" "${packages[@]}" -l "fimd-test-$1" -f ert-run-tests-batch-and-exit \
    >"$log" 2>&1 </dev/null
  local status=$?
  sed -n 's/^   passed *[0-9/]* *\([^ ]*\).*/ok   \1/p; s/^  *FAILED *[0-9/]* *\([^ ]*\).*/FAIL \1/p
          s/^  skipped *[0-9/]* *\([^ ]*\).*/skipped: \1/p; /^     /p' "$log" | grep -v '^      '
  if [ $status != 0 ]; then
    failed=1
    sed 's/^/     |/' "$log" | cut -c1-300
  fi
}

# From nothing to the first ghost text, with the commands of editors/emacs/README.md.
newcomer() {
  local log=$work/install.log
  if (
    set -e
    export HOME=$work/newcomer XDG_CONFIG_HOME=$work/newcomer/.config
    mkdir -p "$HOME" "$work/bin" "$work/project"
    ln -sf "$FIMD" "$work/bin/fimd"
    PATH=$work/bin:$PATH
    printf 'int add(int a, int b) {\n}\n' >"$work/project/add.c"
    cd "$root"
    "$emacs" --batch --eval '(package-install-file (expand-file-name "editors/emacs/"))'
    echo "(add-hook 'prog-mode-hook #'fimd-mode)" >>~/.emacs.d/init.el
    # In batch Emacs reads neither of these by itself.
    "$emacs" --batch --eval '(package-activate-all)' -l "$HOME/.emacs.d/init.el" \
      --eval '(let ((vc-handled-backends nil) (end (+ (float-time) 120)))
                (switch-to-buffer (find-file-noselect "'"$work"'/project/add.c"))
                (end-of-line)
                (execute-kbd-macro (kbd "RET"))
                (while (not fimd-ghost-shown)
                  (when (> (float-time) end)
                    (message "%s %s %s" fimd-daemon-state fimd-daemon-detail fimd--why)
                    (kill-emacs 1))
                  (accept-process-output nil 0.05))
                (message "ghost text: %s" fimd-ghost-shown))'
  ) >"$log" 2>&1 </dev/null; then
    echo "ok   a new user's way, in a clean home folder"
  else
    echo "FAIL a new user's way, in a clean home folder"
    failed=1
    sed 's/^/     |/' "$log" | cut -c1-300
  fi
}

for part in "${@:-lint fit ghost sync watch daemon eglot menu install screen}"; do
  for name in $part; do
    case $name in
    lint)
      (cd "$work/lisp" && "$emacs" -Q --batch -L . "${packages[@]}" \
        -l "$here/fimd-test-lint.el" *.el 2>/dev/null) || failed=1
      ;;
    install) newcomer ;;
    screen)
      if command -v tmux >/dev/null; then
        mkdir "$work/screen"
        bash "$here/screen.sh" "$work/lisp" "$work/screen" || failed=1
      else
        echo "skipped: screen, there is no tmux"
      fi
      ;;
    *) ert "$name" ;;
    esac
  done
done
exit $failed
