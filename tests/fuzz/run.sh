#!/usr/bin/env bash
# Runs every libFuzzer target for so many seconds, as many at a time as there are cores, and closes
# with a table. What is new stays in build/fuzz-corpus, reproducers in build/fuzz-findings.
#   tests/fuzz/run.sh SECONDS [TARGET...]    tests/fuzz/run.sh check: is there a libFuzzer?
# FUZZ_KEEP=FILE: executions are added to this file, a target and a count on each line.
set -u
cd "$(dirname "$0")/../.."
if [ "${1:-}" = check ]; then
  try=$(mktemp -d) || exit 1
  trap 'rm -rf "$try"' EXIT
  echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }' >"$try/a.c"
  if clang -fsanitize=fuzzer,address,undefined "$try/a.c" -o "$try/a" >/dev/null 2>&1; then exit 0; fi
  echo "make fuzz needs clang with its libFuzzer. Run:"
  echo "  sudo apt-get install -y clang 'libclang-rt-*-dev'"
  exit 1
fi
seconds=$1
shift
bin=build/fuzz/tests/fuzz out=build/fuzz-findings corpus=build/fuzz-corpus
[ $# -gt 0 ] || set -- $(cd tests/fuzz && ls fuzz_*.c | sed 's/^fuzz_//; s/\.c$//')
mkdir -p "$out" "$corpus"
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

one() { # target
  local t=$1 args=()
  mkdir -p "$corpus/$t"
  for d in "build/fuzz-seeds/$t" "tests/fuzz/seeds/$t" "tests/fuzz/crashers/$t"; do
    [ -d "$d" ] && args+=("$d")
  done
  [ -f "tests/fuzz/$t.dict" ] && args+=("-dict=tests/fuzz/$t.dict")
  # Leaks are looked for at the end: what the server keeps would be looked through each time.
  "$bin/fuzz_$t" "$corpus/$t" "${args[@]}" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=4096 \
    -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$out/$t-" >"$out/$t.log" 2>&1
  echo $? >"$out/$t.status"
}
rm -f "$out"/*.status
for t; do
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  one "$t" &
done
wait

bad=0
printf '%-16s %12s %10s  %s\n' target executions 'slowest, s' findings
for t; do
  n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$t.log")
  slow=$(sed -n 's/^stat::slowest_unit_time_sec: *//p' "$out/$t.log")
  found=none
  if [ "$(cat "$out/$t.status")" != 0 ]; then
    bad=1
    found=$(sed -n 's/.*Test unit written to //p' "$out/$t.log" | tail -n 1)
    found="${found:-see} ($out/$t.log)"
  fi
  printf '%-16s %12s %10s  %s\n' "$t" "${n:-?}" "${slow:-?}" "$found"
  [ -z "${FUZZ_KEEP:-}" ] || echo "$t ${n:-0}" >>"$FUZZ_KEEP"
done
exit $bad
