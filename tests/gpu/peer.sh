#!/usr/bin/env bash
# Times fimd and llama.cpp (b6673, CUDA) on the same files on the same GPU and prints the ratios.
#
#   tests/gpu/peer.sh [SIZE:TYPE...]     default: 1.5b:q8_0 1.5b:bf16 7b:q8_0
#
# The files are random weights of true shape (random_gguf.py), made here and removed. llama.cpp
# comes from build/dev/peer.tar.xz (tests/gpu/pack.sh --peer), or from $PEER, a folder of its
# libraries; cuBLAS from the CUDA toolkit, or from the Python packages that torch brings.
# BIN=folder of fimd (build/gpu), BACKEND=cuda, OUT=build/gpu-out, QUICK=1: few runs.
set -eu
cd "$(dirname "$0")/../.."
bin=${BIN:-build/gpu} backend=${BACKEND:-cuda} out=${OUT:-build/gpu-out}
work=$(mktemp -d "${TMPDIR:-/tmp}/fimd-peer-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
[ $# -gt 0 ] || set -- 1.5b:q8_0 1.5b:bf16 7b:q8_0

peer=${PEER:-}
if [ -z "$peer" ]; then
  tar -C "$work" -xJf build/dev/peer.tar.xz
  peer=$work/peer
fi

# Folders of the CUDA libraries that libggml-cuda.so wants.
libraries=$peer
packages=$(python3 -c 'import nvidia; print(*nvidia.__path__)' 2>/dev/null || true)
for name in libcudart.so.13 libcublas.so.13 libcublasLt.so.13; do
  # shellcheck disable=SC2086
  found=$(find -L /usr/local/cuda /usr/local/cuda-13* $packages -name $name 2>/dev/null | head -1)
  [ -z "$found" ] || libraries=$libraries:$(dirname "$found")
done
if [ -f "$peer/libggml-cuda.so" ]; then
  lacks=$(LD_LIBRARY_PATH=$libraries:${LD_LIBRARY_PATH:-} ldd "$peer/libggml-cuda.so" |
    awk '/not found/ { printf " %s", $1 }')
  [ -z "$lacks" ] || echo "llama.cpp lacks:$lacks"
fi

${CC:-cc} -std=c11 -O2 -D_GNU_SOURCE -I. tests/gpu/peer_gpu.c -o "$work/peer_gpu" -ldl

for model in "$@"; do
  name=${model/:/-}
  file=$work/$name.gguf
  echo "== $model"
  timeout 120 python3 tests/gpu/random_gguf.py "${model%%:*}" "${model##*:}" "$file"
  # Ours first: the file is in the page cache for both.
  timeout 180 "$bin/fimd" bench engine "$file" --backend "$backend" ${QUICK:+--quick} --json \
    >"$out/$name-ours.json"
  LD_LIBRARY_PATH=$libraries:${LD_LIBRARY_PATH:-} timeout 180 \
    "$work/peer_gpu" "$peer" "$file" ${QUICK:+--quick} >"$out/$name-peer.txt"
  rm "$file"
  python3 - "$model" "$out/$name-ours.json" "$out/$name-peer.txt" <<'PY'
import json, re, sys
model, ours_path, peer_path = sys.argv[1:]
with open(ours_path) as f:
    bench = json.load(f)
ours = {}
for row in bench["rows"]:
    ours[row["kind"], row["context" if row["kind"] == "decode" else "tokens"]] = row["ms"]
peer = {}
for line in open(peer_path):
    m = re.search(r"(prefill|decode|step) (\d+) best ([\d.]+) median ([\d.]+) ms", line)
    if m:
        key = m[1], int(m[2])
        peer[key] = min(float(m[4]), peer.get(key, 1e9))
names = {"prefill": "prefill of {}", "decode": "decode at {}", "step": "step of {} at 512"}
print(f"{model} on {bench['backend']}, medians")
print(f"  {'':20} {'llama.cpp ms':>13} {'fimd ms':>10} {'ratio':>8}")
for key in peer:
    if key in ours:
        print(f"  {names[key[0]].format(key[1]):20} {peer[key]:13.3f} {ours[key]:10.3f} "
              f"{peer[key] / ours[key]:7.2f}x")
PY
done
