/* fragment.cuh - a lane's share of a weight unit, from memory to the A operand of the tensor
 * cores. cuda.h has the layouts; pack.cu writes them.
 *
 * fragment<KIND> is what a lane loads of a unit (16 rows by 64 columns); get(block, step, a) gives
 * the four registers of mma.m16n8k16 (and of wgmma's A in registers) for columns 32 block +
 * 16 step of the unit: a[0], a[2] of row r = lane / 4; a[1], a[3] of row r + 8. Numbers are made
 * from their bits: 0x6400 | u is 1024 + u in f16, exactly. */
#ifndef FIMD_KERNELS_FRAGMENT_CUH
#define FIMD_KERNELS_FRAGMENT_CUH

#include "kernels/cuda/device.cuh"

__device__ __forceinline__ uint32_t fragment__bits(__half2 h) {
  uint32_t u;
  memcpy(&u, &h, 4);
  return u;
}
__device__ __forceinline__ __half2 fragment__half2(uint32_t u) {
  __half2 h;
  memcpy(&h, &u, 4);
  return h;
}
/* The low (0) or high (1) half of a word, twice. */
__device__ __forceinline__ __half2 fragment__both(uint32_t word, int which) {
  return fragment__half2(__byte_perm(word, 0, which ? 0x3232 : 0x1010));
}
/* (1024 + u) pairs: less `zero`, which is exact, times scale. */
__device__ __forceinline__ uint32_t fragment__scaled(uint32_t magic, float zero, __half2 scale) {
  __half2 number = __hsub2(fragment__half2(magic), __float2half2_rn(zero));
  return fragment__bits(__hmul2(number, scale));
}

/* How a lane reaches memory: straight from global, or from a copy in shared memory. */
struct fragment_global {
  static __device__ __forceinline__ uint4 get16(const void *p) { return device__stream16(p); }
  static __device__ __forceinline__ uint2 get8(const void *p) { return device__stream8(p); }
};
struct fragment_shared {
  static __device__ __forceinline__ uint4 get16(const void *p) { return *(const uint4 *)p; }
  static __device__ __forceinline__ uint2 get8(const void *p) { return *(const uint2 *)p; }
};

template <int KIND> struct fragment;

template <> struct fragment<CUDA_F16> {
  enum { BYTES = 2048 };
  uint4 q[4]; /* [block * 2 + half] */
  template <class M> __device__ __forceinline__ void load(const char *unit, int lane) {
#pragma unroll
    for (int i = 0; i < 4; i++) q[i] = M::get16(unit + i * 512 + lane * 16);
  }
  __device__ __forceinline__ void get(int block, int step, uint32_t a[4]) const {
    const uint4 &low = q[2 * block], &high = q[2 * block + 1];
    a[0] = step ? low.z : low.x;
    a[1] = step ? high.z : high.x;
    a[2] = step ? low.w : low.y;
    a[3] = step ? high.w : high.y;
  }
};

template <> struct fragment<CUDA_Q8> {
  enum { BYTES = 1024 + 64 };
  uint4 q[2]; /* [block]: x, y of row r; z, w of row r + 8 */
  uint2 s;    /* scales [block 0, 1] of row r; of row r + 8 */
  template <class M> __device__ __forceinline__ void load(const char *unit, int lane) {
    q[0] = M::get16(unit + lane * 16);
    q[1] = M::get16(unit + 512 + lane * 16);
    s = M::get8(unit + 1024 + (lane >> 2) * 8);
  }
  static __device__ __forceinline__ uint32_t pair(uint32_t word, int which, __half2 scale) {
    return fragment__scaled(__byte_perm(word, 0x64646464u, which ? 0x4342 : 0x4140), 1152.f, scale);
  }
  __device__ __forceinline__ void get(int block, int step, uint32_t a[4]) const {
    uint32_t low = step ? q[block].y : q[block].x, high = step ? q[block].w : q[block].z;
    __half2 low_scale = fragment__both(s.x, block), high_scale = fragment__both(s.y, block);
    a[0] = pair(low, 0, low_scale);
    a[1] = pair(high, 0, high_scale);
    a[2] = pair(low, 1, low_scale);
    a[3] = pair(high, 1, high_scale);
  }
};

/* Nibbles: pair p (columns 2p, 2p + 1 of the lane's eight) of a word at bits 4p and 4p + 16. */
__device__ __forceinline__ uint32_t fragment__nibbles(uint32_t word, int p) {
  return ((word >> (4 * p)) & 0x000f000fu) | 0x64006400u;
}

__device__ __forceinline__ uint32_t fragment__word(const uint4 &q, int block, int half) {
  return block ? (half ? q.w : q.z) : (half ? q.y : q.x);
}

template <> struct fragment<CUDA_Q4> {
  enum { BYTES = 512 + 64 };
  uint4 q; /* word[block][half] */
  uint2 s; /* as in Q8 */
  template <class M> __device__ __forceinline__ void load(const char *unit, int lane) {
    q = M::get16(unit + lane * 16);
    s = M::get8(unit + 512 + (lane >> 2) * 8);
  }
  __device__ __forceinline__ void get(int block, int step, uint32_t a[4]) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t word = fragment__word(q, block, half);
      __half2 scale = fragment__both(half ? s.y : s.x, block);
      a[half] = fragment__scaled(fragment__nibbles(word, 2 * step), 1032.f, scale);
      a[half + 2] = fragment__scaled(fragment__nibbles(word, 2 * step + 1), 1032.f, scale);
    }
  }
};

template <> struct fragment<CUDA_Q4M> {
  enum { BYTES = 512 + 128 };
  uint4 q;
  uint4 s; /* of row r: scales [block 0, 1], minima [block 0, 1]; of row r + 8 the same */
  template <class M> __device__ __forceinline__ void load(const char *unit, int lane) {
    q = M::get16(unit + lane * 16);
    s = M::get16(unit + 512 + (lane >> 2) * 16);
  }
  static __device__ __forceinline__ uint32_t pair(uint32_t magic, __half2 scale, __half2 least) {
    __half2 number = __hsub2(fragment__half2(magic), __float2half2_rn(1024.f));
    return fragment__bits(__hfma2(number, scale, __hneg2(least)));
  }
  __device__ __forceinline__ void get(int block, int step, uint32_t a[4]) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t word = fragment__word(q, block, half);
      __half2 scale = fragment__both(half ? s.z : s.x, block);
      __half2 least = fragment__both(half ? s.w : s.y, block);
      a[half] = pair(fragment__nibbles(word, 2 * step), scale, least);
      a[half + 2] = pair(fragment__nibbles(word, 2 * step + 1), scale, least);
    }
  }
};

template <> struct fragment<CUDA_Q6> {
  enum { BYTES = 512 + 256 + 128 };
  uint4 q;
  uint2 high; /* [block]: two bits of pair p of a half at 2 (4 half + p), and 16 further up */
  uint4 s;    /* of row r: scales of its four 16 columns; of row r + 8 the same */
  uint32_t sixteen; /* which of a block's two 16 columns the lane has */
  template <class M> __device__ __forceinline__ void load(const char *unit, int lane) {
    q = M::get16(unit + lane * 16);
    high = M::get8(unit + 512 + lane * 8);
    s = M::get16(unit + 768 + (lane >> 2) * 16);
    sixteen = (lane >> 1) & 1;
  }
  __device__ __forceinline__ uint32_t pair(uint32_t word, int block, int half, int p) const {
    uint32_t h = block ? high.y : high.x;
    int at = 2 * (4 * half + p);
    uint32_t top = (at >= 4 ? h >> (at - 4) : h << (4 - at)) & 0x00300030u;
    uint32_t scales = block ? (half ? s.w : s.y) : (half ? s.z : s.x);
    __half2 scale = fragment__half2(__byte_perm(scales, 0, sixteen ? 0x3232 : 0x1010));
    return fragment__scaled(fragment__nibbles(word, p) | top, 1056.f, scale);
  }
  __device__ __forceinline__ void get(int block, int step, uint32_t a[4]) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      uint32_t word = fragment__word(q, block, half);
      a[half] = pair(word, block, half, 2 * step);
      a[half + 2] = pair(word, block, half, 2 * step + 1);
    }
  }
};

#endif
