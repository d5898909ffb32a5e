#!/usr/bin/env bash
# Runs every test program, as many at a time as there are cores, and closes with one line that
# counts them. BUILD: the build folder; SANITIZE: what it was built with. Of the editors' tests it
# runs a part, and only once: the sanitizers see nothing new there. An editor that is not there is
# skipped.
#   tests/run.sh [PATTERN]   only the tests whose name contains it
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
only=${1:-}
export FIMD="$PWD/$build/fimd" FIMD_BUILD="$PWD/$build" SANITIZE="${SANITIZE:-}"
export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1
export TSAN_OPTIONS=halt_on_error=0:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp
results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT
mkdir -p "$build/tests"

run() { # name command...
  local name=$1 log="$build/tests/${1//\//_}.log" start=$SECONDS word=ok
  shift
  "$@" </dev/null >"$log" 2>&1
  case $name:$? in
    *:0) ;;
    tests/editors/*:77) word=skip ;;
    *) word=FAIL ;;
  esac
  : >"$results/$word.${name//\//_}"
  printf '%-5s %4d s  %s%s\n' "$word" $((SECONDS - start)) "$name" \
    "$([ "$word" = skip ] && tail -n 1 "$log" | sed 's/^/  /')"
  [ "$word" != FAIL ] || tail -n 40 "$log"
}
queue() { # the same, when a core is free
  case $1 in *"$only"*) ;; *) return ;; esac
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  run "$@" &
}

# The longest first, so that no core waits for it at the end.
shopt -s nullglob
if [ -z "$SANITIZE" ]; then
  queue tests/editors/neovim tests/editors/neovim/run.sh short
  queue tests/editors/emacs tests/editors/emacs/run.sh lint fit sync ghost
  queue tests/editors/vscode_unit tests/editors/vscode_unit.sh
fi
folders='engine kernels completion lsp' # with test_*.c
[ "$SANITIZE" != thread ] || folders='engine completion lsp' # of the others only what has threads:
[ "$SANITIZE" != thread ] || queue tests/kernels/test_pool "$build/tests/kernels/test_pool"
for t in $(printf 'tests/%s/test_*.c ' $folders); do queue "${t%.c}" "$build/${t%.c}"; done
[ "$SANITIZE" = thread ] || for t in tests/fuzz/fuzz_*.c; do queue "${t%.c}" "$build/${t%.c}"; done
for t in tests/protocol/test_*.mjs; do queue "${t%.mjs}" node "$t"; done
[ "$SANITIZE" = thread ] || for t in tests/scripts/test_*.sh; do queue "${t%.sh}" bash "$t"; done
wait

count() { find "$results" -name "$1.*" | wc -l; }
pass=$(count ok) fail=$(count FAIL) skip=$(count skip)
for f in "$results"/FAIL.*; do [ -e "$f" ] && echo "failed: ${f##*/FAIL.} (log in $build/tests)"; done
printf '%d passed, %d failed%s\n' "$pass" "$fail" "$([ "$skip" = 0 ] || echo ", $skip skipped")"
[ "$fail" = 0 ] && [ "$pass" -gt 0 ]
