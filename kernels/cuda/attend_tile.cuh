/* attend_tile.cuh - the parts of exact attention (attend.cu says what they must add up to) that its
 * kernels share: how a launch is cut, merging, a tile in registers. */
#ifndef FIMD_KERNELS_ATTEND_TILE_CUH
#define FIMD_KERNELS_ATTEND_TILE_CUH

#include <math.h>

#include "kernels/cuda/attend.cuh"

enum {
  COUNTER_BYTES = 4096,
  GROUP = 4,            /* tiles */
  BLOCK = 8,            /* tokens of a block of attend_parts */
  ONE_MOST = 4096,      /* keys: attend_one's fold is one block's work */
  ROWS_MOST = 4096,     /* rows of parts of one pass, if the cache is not huge */
  OWN_MOST = (ATTEND_KEYS - 1 + CUDA_EXACT + ATTEND_KEYS - 1) / ATTEND_KEYS,
  S_STRIDE = 72,        /* floats: 8 rows of float2 in different banks */
};

/* How a launch is cut. Passed to kernels by value. */
typedef struct attend_plan {
  int span, items;     /* tiles of a span; spans there may be */
  int own;             /* own tiles a token may have */
  int token0, tokens;  /* of this pass; a multiple of BLOCK */
  int head_blocks;     /* of block_heads heads, of a kv head */
  int block_heads;     /* up to 8 */
  int *counters;       /* [kv_heads * head_blocks] */
  float2 *ml;          /* [row][heads] */
  float *o;            /* [row][heads][head_dim] */
} attend_plan;

/* The heads of a block. */
typedef struct attend_heads {
  int kv, first, count;
} attend_heads;

__device__ __forceinline__ attend_heads heads_of(const cuda_attend &a, const attend_plan &p,
                                                 int i) {
  attend_heads h;
  int per_kv = a.heads / a.kv_heads;
  h.kv = i / p.head_blocks;
  h.first = h.kv * per_kv + i % p.head_blocks * p.block_heads;
  h.count = min(p.block_heads, (h.kv + 1) * per_kv - h.first);
  return h;
}

template <int D> __device__ __forceinline__ float exponent_scale() {
  return D == 64 ? 0.125f * 1.44269504f : 0.0883883476f * 1.44269504f;
}

/* ---- merging ----------------------------------------------------------------------------- */

__device__ __forceinline__ float merged(float x, float a, float y, float b) {
  return __fmaf_rn(x, a, __fmul_rn(y, b));
}

__device__ __forceinline__ float result(float o, float l) {
  return __fdiv_rn(o, l) * CUDA_INNER_SCALE;
}

/* ---- a tile, in registers ---------------------------------------------------------------- */

/* Masks for the halves of b0 (part 0) or b1 (part 1) of k-step ks: keys below `valid` stay. */
__device__ __forceinline__ uint32_t values_mask(int valid, int ks, int part, int c) {
  int key = 16 * ks + 8 * part + 2 * c;
  return (key < valid ? 0xffffu : 0u) | (key + 1 < valid ? 0xffff0000u : 0u);
}

/* Softens half H of the rows of S [8 keys-tiles][accumulator]: P as the A operand p[tile][H];
 * returns the rows' m. */
template <int H>
__device__ __forceinline__ float soften(float s[8][4], uint32_t p[8][2], int valid, float scale,
                                        int c) {
  if (valid < ATTEND_KEYS) {
#pragma unroll
    for (int i = 0; i < 16; i++)
      if (8 * (i / 2) + 2 * c + i % 2 >= valid) s[i / 2][2 * H + i % 2] = -INFINITY;
  }
  float m = s[0][2 * H];
#pragma unroll
  for (int i = 1; i < 16; i++) m = fmaxf(m, s[i / 2][2 * H + i % 2]);
  m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
  m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
  m = valid > 0 ? __fmul_rn(m, scale) : 0.f;
#pragma unroll
  for (int i = 0; i < 8; i++)
    p[i][H] = attend__pair(attend__exp2(__fmaf_rn(s[i][2 * H], scale, -m)),
                           attend__exp2(__fmaf_rn(s[i][2 * H + 1], scale, -m)));
  return m;
}

/* l[0], l[2]: the sums of rows lane / 4 and lane / 4 + 8. */
__device__ __forceinline__ void sums(float l[4], const uint32_t p[8][2]) {
  const uint32_t ones = 0x3c003c00u;
  l[0] = l[1] = l[2] = l[3] = 0.f;
#pragma unroll
  for (int ks = 0; ks < 4; ks++)
    device__mma(l, p[2 * ks][0], p[2 * ks][1], p[2 * ks + 1][0], p[2 * ks + 1][1], ones, ones);
}

/* ---- a tile and a warp's two tokens ------------------------------------------------------ */

/* How a warp's two tokens take a tile: the first of their span as it is, later ones merged. */
typedef struct attend_take {
  bool first, full;  /* full: both tokens have all keys of the tile */
  int valid[2];      /* keys of the tile that the token has; none if negative */
  float a[2], b[2];  /* of what there is, of the tile */
} attend_take;

/* o = o a + (P v) b, of both tokens where HALF is 2. Otherwise of token HALF alone, with v masked
 * for it. */
template <int D, int HALF>
__device__ __forceinline__ void product(float o[D / 8][4], const uint32_t p[8][2],
                                        uint32_t values, const attend_take &take, int lane) {
  const int from = HALF == 1 ? 2 : 0, to = HALF == 0 ? 2 : 4; /* of an accumulator */
#pragma unroll
  for (int db = 0; db < D / 8; db += 4) {
    float t[4][4] = {};
    __syncwarp(); /* holds the compiler back: more at a time, and registers run out */
#pragma unroll
    for (int k2 = 0; k2 < 2; k2++) {
      uint32_t r[4][4];
#pragma unroll
      for (int i = 0; i < 4; i++) attend__values<D>(r[i], values, db + i, k2, lane);
#pragma unroll
      for (int j = 0; j < 2; j++) {
        const int ks = 2 * k2 + j;
        uint32_t keep[2] = {~0u, ~0u};
        if (HALF < 2) {
          keep[0] = values_mask(take.valid[HALF & 1], ks, 0, lane & 3);
          keep[1] = values_mask(take.valid[HALF & 1], ks, 1, lane & 3);
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
          device__mma(t[i], p[2 * ks][0], p[2 * ks][1], p[2 * ks + 1][0], p[2 * ks + 1][1],
                      r[i][2 * j] & keep[0], r[i][2 * j + 1] & keep[1]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
      for (int e = from; e < to; e++) {
        float &x = o[db + i][e];
        x = merged(x, take.a[e / 2], t[i][e], take.b[e / 2]);
      }
    }
  }
}

/* One tile into a warp's state m[2], l[2], o. */
template <int D>
__device__ __forceinline__ void take_tile(float m[2], float l[2], float o[D / 8][4],
                                          const uint32_t q[D / 16][4], uint32_t keys,
                                          uint32_t values, attend_take &take, int lane) {
  float s[8][4], sum[4], part[2];
  uint32_t p[8][2];
  attend__scores<D, attend__at<D>>(s, q, keys, lane);
  part[0] = soften<0>(s, p, take.valid[0], exponent_scale<D>(), lane & 3);
  part[1] = soften<1>(s, p, take.valid[1], exponent_scale<D>(), lane & 3);
  sums(sum, p);
#pragma unroll
  for (int h = 0; h < 2; h++) {
    if (take.first) {
      m[h] = part[h], l[h] = sum[2 * h];
      take.a[h] = take.b[h] = 1.f; /* o is -0: -0 + x is x, for every x */
    } else if (take.valid[h] > 0) {
      float most = fmaxf(m[h], part[h]);
      take.a[h] = attend__exp2(__fsub_rn(m[h], most));
      take.b[h] = attend__exp2(__fsub_rn(part[h], most));
      m[h] = most;
      l[h] = merged(l[h], take.a[h], sum[2 * h], take.b[h]);
    }
  }
  if (take.full) {
    product<D, 2>(o, p, values, take, lane);
  } else {
    if (take.valid[0] > 0) product<D, 0>(o, p, values, take, lane);
    if (take.valid[1] > 0) product<D, 1>(o, p, values, take, lane);
  }
}

/* ---- where keys are --------------------------------------------------------------------- */

/* Requests 16 bytes of key and value: chunk `chunk` of slot `slot` to row `row` of a tile. */
template <int D>
__device__ __forceinline__ void request(const cuda_attend &a, char *keys, char *values, int kv,
                                        int slot, int row, int chunk) {
  size_t from = ((size_t)kv * a.slots + slot) * D + 8 * chunk;
  uint32_t to = attend__at<D>(row, chunk);
  device__copy16(keys + to, (const __half *)a.keys + from);
  device__copy16(values + to, (const __half *)a.values + from);
}

/* The slot of the token's key number s. */
__device__ __forceinline__ int slot_of(const cuda_step *step, int token, int ancestors, int s) {
  int j = s - step->kv_len;
  if (j < 0) return s;
  return step->kv_len + (j < ancestors ? step->ancestor[token][j] : token);
}

#endif
