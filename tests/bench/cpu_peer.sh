#!/usr/bin/env bash
# Times kernels/ and llama.cpp side by side on the embedded model's shape and prints the ratios.
#
#   tests/bench/cpu_peer.sh            rounds of both in turn, the best of each counts
#
# THREADS=2 CONTEXT=512 ROUNDS=3 BACKEND=cpu BUILD=build
# PEER_LEVEL=haswell (or sapphirerapids, ...) keeps llama.cpp to one of its CPU libraries;
# with BACKEND=cpu:avx2 that compares the two on an older machine's instructions.
# CPU_TIME=1: one thread and its processor time, for a machine that others use too.
# llama.cpp comes prebuilt in the npm package @node-llama-cpp/linux-x64, installed below $BUILD.
set -eu
cd "$(dirname "$0")/../.."
threads=${THREADS:-2} context=${CONTEXT:-512} rounds=${ROUNDS:-3} backend=${BACKEND:-cpu}
build=${BUILD:-build}
work=$build/peer
model=engine/models/fimd-mini-31m-q8_0.gguf
mkdir -p "$work"

package=$work/node_modules/@node-llama-cpp/linux-x64
[ -d "$package" ] || npm install --silent --no-save --ignore-scripts --no-audit --no-fund \
  --prefix "$work" @node-llama-cpp/linux-x64@3.22.1 >&2
libraries=$package/bins/linux-x64
if [ -n "${PEER_LEVEL:-}" ]; then
  only=$work/only-$PEER_LEVEL
  mkdir -p "$only"
  for f in "$libraries"/libggml-base.so "$libraries"/libggml.*so* "$libraries"/libllama.*so* \
           "$libraries/libggml-cpu-$PEER_LEVEL.so"; do
    ln -sf "$(realpath "$f")" "$only/"
  done
  libraries=$only
fi

make -s BUILD="$build" "$build/libkernels.a" >&2
cc=${CC:-cc}
$cc -std=c11 -O2 -D_GNU_SOURCE tests/bench/peer_llamacpp.c -o "$work/peer_llamacpp" -ldl
$cc -std=c11 -O2 -D_GNU_SOURCE -I. tests/bench/bench_kernels.c "$build/libkernels.a" \
  -o "$work/bench_kernels" -lpthread -lm

options="--threads $threads --context $context${CPU_TIME:+ --cpu-time}"
for _ in $(seq "$rounds"); do
  # shellcheck disable=SC2086
  LD_LIBRARY_PATH=$libraries "$work/peer_llamacpp" "$libraries" "$model" $options | sed 's/^/peer /'
  # shellcheck disable=SC2086
  "$work/bench_kernels" --backend "$backend" $options | sed 's/^/ours /'
done | awk -v threads="${CPU_TIME:+1}" -v all="$threads" '
  $1 == "ours" && !/best/ { sub(/^ours /, ""); sub(/, loaded.*/, ""); name = $0 }
  /best/ {
    key = $2 " " $3
    if (!((key) in seen)) { seen[key] = 1; order[++n] = key }
    if (!(($1, key) in best) || $5 < best[$1, key]) best[$1, key] = $5
  }
  END {
    printf "%s against llama.cpp, %d thread(s), best of all rounds\n", name, threads ? threads : all
    printf "%-14s %12s %12s %8s\n", "tokens", "llama.cpp ms", "kernels ms", "times"
    for (i = 1; i <= n; i++)
      printf "%-14s %12.3f %12.3f %7.2fx\n", order[i], best["peer", order[i]], best["ours", order[i]],
             best["peer", order[i]] / best["ours", order[i]]
  }'
