#!/usr/bin/env bash
# Runs every test program, as many at a time as there are cores, and closes with one line that
# counts them. BUILD: the build folder; SANITIZE: what it was built with.
#   tests/run.sh [PATTERN]   only the tests whose name contains it
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
only=${1:-}
export FIMD="$PWD/$build/fimd" FIMD_BUILD="$PWD/$build" SANITIZE="${SANITIZE:-}"
export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1
results=$(mktemp -d) || exit 1
trap 'rm -rf "$results"' EXIT
mkdir -p "$build/tests"

run() { # name command...
  local name=$1 log="$build/tests/${1//\//_}.log" start=$SECONDS word=ok
  shift
  "$@" </dev/null >"$log" 2>&1 || word=FAIL
  : >"$results/$word.${name//\//_}"
  printf '%-5s %4d s  %s\n' "$word" $((SECONDS - start)) "$name"
  [ "$word" = ok ] || tail -n 40 "$log"
}
queue() { # the same, when a core is free
  case $1 in *"$only"*) ;; *) return ;; esac
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  run "$@" &
}

# The longest first, so that no core waits for it at the end.
shopt -s nullglob
for t in tests/{engine,kernels,completion,lsp}/test_*.c; do queue "${t%.c}" "$build/${t%.c}"; done
for t in tests/protocol/test_*.mjs; do queue "${t%.mjs}" node "$t"; done
for t in tests/scripts/test_*.sh; do queue "${t%.sh}" bash "$t"; done
wait

pass=$(find "$results" -name 'ok.*' | wc -l) fail=$(find "$results" -name 'FAIL.*' | wc -l)
for f in "$results"/FAIL.*; do [ -e "$f" ] && echo "failed: ${f##*/FAIL.} (log in $build/tests)"; done
printf '%d passed, %d failed\n' "$pass" "$fail"
[ "$fail" = 0 ] && [ "$pass" -gt 0 ]
