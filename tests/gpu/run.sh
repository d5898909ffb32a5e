#!/usr/bin/env bash
# shellcheck disable=SC2317
# All that needs a GPU, on the machine that has one.
#
#   tests/gpu/run.sh [SECTION...]     all sections, or these:
#
#   ops           every op against doubles; errors
#   bits          a row's bits in every batch
#   golden        logits and greedy tokens against transformers, the embedded model
#   models        malformed models are refused, good small ones load and generate
#   draft         guesses change the steps and not the tokens nor their probabilities, the
#                 embedded model
#   lookahead     tokens a step and speed-up: own text of the embedded model, which must be the same
#                 by every method; replayed text at the true shapes (WORKSPACES, see pack.sh)
#   keys          what a keystroke costs from end to end, through the daemon (WORKSPACES, too)
#   prefill       large steps against small ones
#   transformers  greedy tokens against transformers in fp32, true 0.5B and 1.5B shapes
#   bench         fimd bench engine: 0.5B, 1.5B, 7B
#   peer          the same steps with llama.cpp, and the ratios (tests/gpu/peer.sh)
#   faults        too little memory, memory taken by others, kill -9 (tests/gpu/faults.py)
#   soak          SOAK_HOURS=0.15 of typing, with an eye on the GPU's memory (node, see pack.sh)
#   sanitizer     compute-sanitizer: memcheck, racecheck
#   big           14B and 32B; a model that does not fit is refused
#
# What is run comes from $BIN (a folder of programs, with lib/), else from $PACK, which is
# build/dev/bin.tar.xz (tests/gpu/pack.sh made it), else it is built here, into build/gpu.
# OUT=build/gpu-out: logs, whole. A table comes last; the exit status is 1 if anything failed.
# BUDGET=570: seconds. What would begin later than that is left out, and said to be.
# BACKEND=cuda: cpu:avx2 tries this script itself where there is no GPU.
set -u
cd "$(dirname "$0")/../.." || exit 1
repository=$PWD
OUT=${OUT:-build/gpu-out}
BUDGET=${BUDGET:-570}
BACKEND=${BACKEND:-cuda}
mkdir -p "$OUT"
OUT=$(realpath "$OUT")
table=$OUT/table.txt
: >"$table"
failed=0

# ---- the programs ---------------------------------------------------------------------------

unpack() {
  local folder=/tmp/fimd-gpu name at file
  rm -rf "$folder"
  mkdir -p "$folder"
  tar -C "$folder" -xJf "$1" || return 1
  while read -r name at file; do # see pack.sh
    dd if="$file" of="$folder/bin/$name" bs=1M seek="$at" oflag=seek_bytes conv=notrunc \
      status=none || return 1
  done <"$folder/bin/holes.txt"
  BIN=$folder/bin
}

# The programs of a build tree, under one roof.
gather() {
  local build=build/gpu programs p
  programs="fimd tests/kernels/test_ops tests/kernels/test_invariance tests/kernels/test_errors
    tests/engine/test_golden tests/engine/test_draft tests/engine/test_score
    tests/engine/test_malformed tests/gpu/test_cuda tests/gpu/bench_cuda"
  # shellcheck disable=SC2046
  timeout 1500 make BUILD=$build CUDA_ARCHS="${CUDA_ARCHS:-90a}" CUDA_BUILD=build/cuda90 \
    $(for p in $programs; do echo "$build/$p"; done) >"$OUT/build.log" 2>&1 || {
    tail -20 "$OUT/build.log"
    return 1
  }
  mkdir -p $build/bin
  for p in $programs; do ln -sf "$repository/$build/$p" $build/bin/; done
  BIN=$repository/$build/bin
}

if [ -z "${BIN:-}" ]; then
  pack=${PACK:-build/dev/bin.tar.xz}
  if [ -f "$pack" ]; then unpack "$pack"; else gather; fi || exit 1
fi
BIN=$(realpath "$BIN")
export BIN OUT BACKEND
export LD_LIBRARY_PATH=$BIN/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer

# ---- one step -------------------------------------------------------------------------------

# check NAME SECONDS COMMAND...: its log to $OUT/NAME.log, a line of the table. $note says which
# lines of the log are worth the table (a pattern of grep -E).
note='' expect=0
check() {
  local name=$1 limit=$2 start=$SECONDS rc verdict line left=$((BUDGET - SECONDS))
  shift 2
  if [ "$left" -lt 5 ]; then
    printf '%-28s %-9s %5s\n' "$name" 'NOT RUN' - >>"$table"
    failed=1
    return
  fi
  [ "$left" -lt "$limit" ] && limit=$left
  echo "== $name: $*"
  timeout -k 5 "$limit" "$@" >"$OUT/$name.log" 2>&1
  rc=$?
  verdict=ok
  if [ "$rc" = 124 ] || [ "$rc" = 137 ]; then
    verdict="over ${limit}s"
  elif [ "$rc" != "$expect" ]; then
    verdict="FAILED $rc"
  fi
  [ "$verdict" = ok ] || failed=1
  grep -E '^\[  (FAILED|ERROR)|\[ *LINE' "$OUT/$name.log" | head -8
  [ "$verdict" = ok ] || tail -15 "$OUT/$name.log"
  printf '%-28s %-9s %5d s\n' "$name" "$verdict" $((SECONDS - start)) >>"$table"
  if [ -n "$note" ]; then
    grep -E -- "$note" "$OUT/$name.log" | tail -"${lines:-4}" | while IFS= read -r line; do
      printf '    %.150s\n' "$line" >>"$table"
    done
  fi
}

# cmocka programs: which tests, on the GPU alone.
gpu_test() {
  local name=$1 limit=$2 only=$3
  shift 3
  FIMD_TEST_BACKENDS=$BACKEND,$BACKEND:plain FIMD_TEST_ONLY=$only check "$name" "$limit" "$@"
}

# ---- the sections ---------------------------------------------------------------------------

section_ops() {
  note='^\[  (PASSED|FAILED)|FIMD_TEST_SEED'
  gpu_test ops 120 '*' "$BIN/test_ops"
  gpu_test errors 60 '*' "$BIN/test_errors"
}

section_bits() {
  note='^\[  (PASSED|FAILED)|FIMD_TEST_SEED'
  gpu_test invariance 120 '*' "$BIN/test_invariance"
  note='differ$|other bits' lines=12
  gpu_test bits 200 'bits*' "$BIN/test_cuda"
  unset lines
}

section_prefill() {
  note='NMSE' lines=24
  gpu_test prefill 120 'prefill*' "$BIN/test_cuda"
  unset lines
}

section_golden() {
  note='^cuda.*(NMSE|equal)|^\[  (PASSED|FAILED)'
  check golden 200 "$BIN/test_golden"
}

section_models() {
  note='refused of [0-9]+,|^\[  (PASSED|FAILED)'
  gpu_test malformed 90 '*' "$BIN/test_malformed"
}

section_draft() {
  note='^\[  (PASSED|FAILED)'
  FIMD_TEST_BACKEND=$BACKEND check draft 120 "$BIN/test_draft"
  FIMD_TEST_BACKEND=$BACKEND check score 60 "$BIN/test_score"
}

# Unpacks the workspaces, once, for the section $1.
folder=/tmp/fimd-workspaces
workspaces() {
  local pack=${WORKSPACES:-build/dev/workspaces.tar.xz}
  [ -z "${unpacked:-}" ] || return 0
  if [ ! -f "$pack" ]; then
    echo "$1: no workspaces (tests/gpu/pack.sh --workspaces)" >>"$table"
    failed=1
    return 1
  fi
  rm -rf "$folder"
  mkdir -p "$folder" && tar -C "$folder" -xJf "$pack" && unpacked=1
}

# SIZE:TYPE... at which text is replayed; holes of each kind in each workspace.
SHAPES=${SHAPES:-1.5b:bf16 1.5b:q8_0 7b:bf16 7b:q8_0}
HOLES=${HOLES:-10}
section_lookahead() {
  local shape
  workspaces lookahead || return
  local own='^(none|prompt|pool|recycle|all|lookahead[^ ]*) +' # not the sources left out
  note="$own|^/tmp" lines=80
  check own 240 "$BIN/fimd" bench lookahead --backend "$BACKEND" --own --holes "$HOLES" \
    "$folder"/workspaces/*
  for shape in $SHAPES; do
    check "replay-${shape/:/-}" 240 "$BIN/fimd" bench lookahead --backend "$BACKEND" \
      --random-weights "$shape" --random-tokenizer "$folder/tokenizer" --holes "$HOLES" --quick \
      "$folder"/workspaces/*
  done
  unset lines
}

# End to end, through the daemon: SIZE:TYPE... with replayed text, and the embedded model's own.
KEYS=${KEYS:-1.5b:bf16 1.5b:q8_0 7b:bf16 7b:q8_0}
section_keys() {
  local shape
  workspaces keys || return
  note='^(first|new|other|next) | first50' lines=80
  check keys-own 120 "$BIN/fimd" bench keys --backend "$BACKEND" --own "$folder"/workspaces/*
  for shape in $KEYS; do
    check "keys-${shape/:/-}" 120 "$BIN/fimd" bench keys --backend "$BACKEND" \
      --random-weights "$shape" --random-tokenizer "$folder/tokenizer" "$folder"/workspaces/*
  done
  unset lines
}

section_faults() {
  note='FAIL|FAILED|as it should be|does not fit' lines=12
  check faults 120 python3 tests/gpu/faults.py --fimd "$BIN/fimd" --backend "$BACKEND"
  unset lines
}

# On the embedded model's own text.
section_soak() {
  local hours=${SOAK_HOURS:-0.15} pack=build/dev/node.tar.xz
  command -v node >/dev/null || { tar -C /tmp -xJf $pack && PATH=$PATH:/tmp; }
  note='^ |^[a-z]' lines=60
  FIMD=$BIN/fimd check soak 590 node tests/soak/soak.mjs --hours "$hours" -- --backend "$BACKEND"
  unset lines
}

section_transformers() {
  note='^(0.5b|1.5b|7b) |^all|REAL' lines=14
  check transformers 400 python3 tests/gpu/transformers_check.py \
    --fimd "$BIN/fimd" --backend "$BACKEND" --json "$OUT/transformers.json"
  unset lines
}

# bench NAME SIZE:TYPE: `fimd bench engine`, its key lines into the table.
bench() {
  note='^  (prefill|decode|step)|^ +[0-9]+ ' lines=20
  check "bench-${1/:/-}" "${2:-120}" \
    "$BIN/fimd" bench engine --backend "$BACKEND" --random-weights "$1"
  unset lines
}

section_bench() {
  local what
  for what in 0.5b:bf16 1.5b:bf16 1.5b:q8_0 1.5b:q4_k 7b:q8_0 7b:bf16; do bench "$what"; done
}

section_peer() {
  note='ratio|x$|^  |^[^ ]+ on |lacks' lines=60
  check peer 500 tests/gpu/peer.sh
  unset lines
}

# initcheck is left out: rows beyond a step's tokens are garbage on purpose (cuda.h), and read.
# Short: the sanitizers slow kernels down a hundredfold. A run cut off by its time with no error
# so far counts as one without error over what it saw.
sanitize() {
  local name=$1 tool=$2 limit=$3 only=$4
  shift 4
  local options="--tool $tool --error-exitcode 9 --print-limit 20"
  [ "$tool" = racecheck ] && options="$options --racecheck-report all"
  note='ERROR SUMMARY|RACECHECK SUMMARY|=========     at |Error:|^\[  (PASSED|FAILED)' lines=6
  local before=$failed
  # shellcheck disable=SC2086
  gpu_test "$name" "$limit" "$only" compute-sanitizer $options "$@"
  unset lines
  if grep -q "^$name  *over" "$table" &&
    ! grep -qE '^========= (Invalid|Error|Warning|Race|.*hazard|Program hit)' "$OUT/$name.log"; then
    failed=$before
    echo '    cut off by its time; no error until then' >>"$table"
  fi
}

section_sanitizer() {
  if ! command -v compute-sanitizer >/dev/null; then
    echo 'compute-sanitizer is not on this machine' >>"$table"
    failed=1
    return
  fi
  export FIMD_TEST_SEED=${FIMD_TEST_SEED:-1}
  sanitize memcheck-trees memcheck 90 'trees' "$BIN/test_invariance"
  sanitize memcheck-stale memcheck 60 'stale_slots' "$BIN/test_invariance"
  sanitize memcheck-ops memcheck 120 'every_type' "$BIN/test_ops"
  sanitize racecheck-trees racecheck 120 'trees' "$BIN/test_invariance"
  sanitize racecheck-ops racecheck 120 'every_type' "$BIN/test_ops"
  sanitize synccheck-ops synccheck 90 'every_type' "$BIN/test_ops"
  unset FIMD_TEST_SEED
}

section_big() {
  bench 14b:q8_0 180
  bench 32b:q4_k 180
  bench 32b:bf16 240
  note='GPU|memory|fit' expect=1
  check refused 60 \
    "$BIN/fimd" bench engine --backend "$BACKEND" --random-weights 7b:bf16 --gpu-memory 8GB
  expect=0
}

sections='ops bits golden models draft prefill transformers bench lookahead keys peer faults soak sanitizer big'
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $sections
for section in "$@"; do
  if ! declare -F "section_$section" >/dev/null; then
    echo "run.sh: there is no section '$section'; sections: $sections" >&2
    exit 2
  fi
done
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu,memory.used \
  --format=csv,noheader 2>/dev/null | tee "$OUT/gpu.txt"
# The tests pass over a backend that the machine lacks: make sure that it is there.
note='' check "is-there-$BACKEND" 60 "$BIN/fimd" generate --backend "$BACKEND" --ids '1 2 3' -n 4
[ $failed = 0 ] || exit 1
for section in "$@"; do "section_$section"; done

echo
echo "---- $(head -1 "$OUT/gpu.txt") -- $SECONDS s"
cat "$table"
exit $failed
