#!/usr/bin/env bash
# Runs every test program and closes with one line that counts them. BUILD: the build folder.
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
export FIMD="$PWD/$build/fimd" FIMD_BUILD="$PWD/$build"
pass=0 fail=0 failed=
run() { # name command...
  local name=$1; shift
  local log="$build/tests/$(echo "$name" | tr '/ ' '__').log"
  mkdir -p "$build/tests"
  if "$@" >"$log" 2>&1; then
    pass=$((pass + 1)); printf 'ok    %s\n' "$name"
  else
    fail=$((fail + 1)); failed="$failed $name"; printf 'FAIL  %s\n' "$name"; tail -n 40 "$log"
  fi
}
for t in $(find "$build"/tests/{kernels,engine,completion,lsp} -maxdepth 1 -name 'test_*' -type f -perm -u+x 2>/dev/null | sort); do
  src="${t#"$build"/}.c"
  [ -f "$src" ] && run "${src%.c}" "$t"
done
for t in tests/scripts/test_*.sh; do [ -f "$t" ] && run "${t%.sh}" bash "$t"; done
for t in tests/protocol/test_*.mjs; do [ -f "$t" ] && run "${t%.mjs}" node "$t"; done
[ -n "$failed" ] && printf '\nfailed:%s (logs in %s/tests)\n' "$failed" "$build"
printf '%d passed, %d failed\n' "$pass" "$fail"
[ "$fail" = 0 ] && [ "$pass" -gt 0 ]
