#!/bin/sh
# Which CUDA compiler can build the GPU part, and where its headers and libraries are.
#   toolkit.sh CACHE [NVCC]
# Prints "NVCC INCLUDE_DIR LIB_DIR", or nothing. Without NVCC it looks in PATH and the usual
# places. A compiler counts if it makes sm_90a code and has the runtime's header and static
# library; one that does not is passed over with a word on stderr. What was found is kept in
# CACHE.
set -u
cache=$1
want=${2:-}

if [ -s "$cache" ]; then
  read -r kept_want answer <"$cache"
  if [ "$kept_want" = "${want:-any}" ] && [ -x "${answer%% *}" ]; then
    echo "$answer"
    exit
  fi
fi

first_with() { # FILE DIR...: the first folder that has the file
  file=$1
  shift
  for d in "$@"; do
    if [ -e "$d/$file" ]; then echo "$d"; return; fi
  done
  return 1
}

try() { # NVCC
  nvcc=$1
  # Its own words first: NVCC may be a link or a script that runs the real one.
  said=$("$nvcc" --dryrun -x cu -c /dev/null -o /dev/null 2>&1) || true
  top=$(printf '%s\n' "$said" | sed -n 's/^#\$ TOP=//p')
  says() { printf '%s\n' "$said" | sed -n "s/^#\\\$ $1=//p" | tr -d '"' | tr ' ' '\n' | sed -n "s/^-$2//p"; }
  home=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  target=targets/$(uname -m)-linux
  include=$(first_with cuda_runtime_api.h $(says INCLUDES I) "$top/include" "$top/$target/include" "$home/include" \
    "$home/$target/include" /usr/local/cuda/include /usr/include) || { why="no cuda_runtime_api.h"; return 1; }
  lib=$(first_with libcudart_static.a $(says LIBRARIES L) "$top/lib64" "$top/$target/lib" "$top/lib" "$home/lib64" \
    "$home/$target/lib" "$home/lib" /usr/local/cuda/lib64 "/usr/lib/$(uname -m)-linux-gnu") ||
    { why="no libcudart_static.a"; return 1; }
  scratch=$(mktemp -d) || return 1
  echo '__global__ void probe(int *p) { *p = 1; }' >"$scratch/probe.cu"
  why=$("$nvcc" -I"$include" -gencode arch=compute_90a,code=sm_90a -c "$scratch/probe.cu" -o "$scratch/probe.o" 2>&1)
  made=$?
  rm -rf "$scratch"
  why=$(printf '%s' "$why" | tail -n 1)
  [ $made = 0 ]
}

for candidate in ${want:-$(command -v nvcc) /usr/local/cuda/bin/nvcc /usr/local/cuda-*/bin/nvcc}; do
  [ -x "$candidate" ] || continue
  why=
  if try "$candidate"; then
    mkdir -p "$(dirname "$cache")" && echo "${want:-any} $candidate $include $lib" >"$cache"
    echo "$candidate $include $lib"
    exit
  fi
  echo "$candidate cannot build the GPU part: $why" >&2
done
echo "building for the CPU alone" >&2
