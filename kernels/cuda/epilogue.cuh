/* epilogue.cuh - what becomes of a product's sums, the same for every kernel that makes them.
 *
 * A warp hands over a tile (16 rows of W) by 8 tokens as the tensor cores leave it: lane l has
 * sum[0], sum[1] of row l / 4 and tokens 2 (l % 4), + 1, and sum[2], sum[3] of row l / 4 + 8.
 * The order of rows in a tile (cuda.h) puts what belongs together into one lane.
 *
 * Roundings are spelled out (__fmaf_rn): left to itself the compiler contracts products and sums
 * differently from kernel to kernel, and the same token would get other bits in another batch. */
#ifndef FIMD_KERNELS_EPILOGUE_CUH
#define FIMD_KERNELS_EPILOGUE_CUH

#include "kernels/cuda/device.cuh"

/* 1 / root mean square of token t's row, by one warp: every lane gets it. */
__device__ __forceinline__ float epilogue__inverse_rms(const cuda_gemm &g, int t, int lane) {
  float sum = 0;
  for (int i = lane; i < g.ss_tiles; i += 32) sum += g.ss[(size_t)i * g.ss_stride + t];
#pragma unroll
  for (int bit = 16; bit > 0; bit >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, bit);
  return 1.f / sqrtf(sum / (float)g.ss_width + g.eps);
}

/* Sum of v[r]^2 + v[r + 8]^2 over the eight rows r of a tile, r in bits `shift` .. shift + 2 of
 * the lane: in one order, wherever a row is packed. */
__device__ __forceinline__ float epilogue__tile_squares(float low, float high, int shift) {
  float sum = __fmaf_rn(high, high, __fmul_rn(low, low));
#pragma unroll
  for (int bit = 0; bit < 3; bit++)
    sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 1 << (shift + bit)));
  return sum;
}

/* What a lane needs besides the sums: asked for early, so that it is there when they are. [e] are
 * its two tokens; low is row r = lane / 4 of the tile, high the one that shares its lane. */
struct epilogue_inputs {
  float scale;
  float low[2], high[2]; /* QKV: low[0], high[0] are the bias. PROJECT: x */
  float2 turn[2];        /* QKV. PROJECT: turn[0] is norm of low and high */
  int slot;              /* QKV: of token 0 */
};

__device__ __forceinline__ bool epilogue__is_value(const cuda_gemm &g, int tile) {
  return tile >= (g.heads + g.kv_heads) * (g.head_dim / 16);
}

/* Rows of low and high in W. */
template <int OP>
__device__ __forceinline__ void epilogue__rows(const cuda_gemm &g, int tile, int r, int *low,
                                               int *high) {
  *low = 16 * tile + r;
  *high = *low + 8;
  if (OP == CUDA_OP_QKV && !epilogue__is_value(g, tile)) {
    int per_head = g.head_dim / 16;
    *low = tile / per_head * g.head_dim + 8 * (tile % per_head) + r;
    *high = *low + g.head_dim / 2;
  }
  if (OP == CUDA_OP_GATE_UP) *low = *high = 8 * tile + r;
}

/* What no kernel of this layer has written: may be asked for before device__wait(). */
template <int OP>
__device__ __forceinline__ void epilogue__fetch_fixed(const cuda_gemm &g, int tile, int group,
                                                      int lane, int n, epilogue_inputs &in) {
  int r = lane >> 2, t = group * 8 + 2 * (lane & 3), low, high;
  in.scale = g.scale ? g.scale[tile - g.tile0] : 1.f;
  epilogue__rows<OP>(g, tile, r, &low, &high);
  if (OP == CUDA_OP_QKV) {
    in.low[0] = g.bias ? g.bias[low] : 0.f;
    in.high[0] = g.bias ? g.bias[high] : 0.f;
    in.slot = g.step->kv_len + t;
    if (!epilogue__is_value(g, tile)) {
      int half = g.head_dim / 2, d = low & (g.head_dim - 1);
      if (t < n) in.turn[0] = g.turn[(size_t)t * half + d];
      if (t + 1 < n) in.turn[1] = g.turn[(size_t)(t + 1) * half + d];
    }
  }
  if (OP == CUDA_OP_PROJECT && g.norm)
    in.turn[0] = make_float2(low < g.rows ? g.norm[low] : 0.f, high < g.rows ? g.norm[high] : 0.f);
}

/* And x, which one has: only after the wait. */
template <int OP>
__device__ __forceinline__ void epilogue__fetch_x(const cuda_gemm &g, int tile, int group, int lane,
                                                  int n, epilogue_inputs &in) {
  if (OP != CUDA_OP_PROJECT) return;
  int low = 16 * tile + (lane >> 2), t = group * 8 + 2 * (lane & 3);
  const float *x = g.x + (size_t)t * g.rows + low;
#pragma unroll
  for (int e = 0; e < 2; e++) {
    in.low[e] = low < g.rows && t + e < n ? x[(size_t)e * g.rows] : 0.f;
    in.high[e] = low + 8 < g.rows && t + e < n ? x[(size_t)e * g.rows + 8] : 0.f;
  }
}

template <int OP>
__device__ __forceinline__ void epilogue__fetch(const cuda_gemm &g, int tile, int group, int lane,
                                                int n, epilogue_inputs &in) {
  epilogue__fetch_fixed<OP>(g, tile, group, lane, n, in);
  epilogue__fetch_x<OP>(g, tile, group, lane, n, in);
}

__device__ __forceinline__ __half epilogue__cached(float v) {
  /* Unlike in activations, a NaN stays one: the cache must not hide it. */
  return __float2half_rn(v != v ? v : fminf(fmaxf(v, -65504.f), 65504.f));
}

__device__ __forceinline__ void epilogue__qkv(const cuda_gemm &g, int tile, int t, int e, int r,
                                              float low, float high, const epilogue_inputs &in) {
  int dim = g.head_dim, per_head = dim / 16, head = tile / per_head, i = tile % per_head;
  bool is_value = epilogue__is_value(g, tile);
  int d = is_value ? 16 * i + r : 8 * i + r, other = is_value ? d + 8 : d + dim / 2;
  low = __fadd_rn(low, in.low[0]);
  high = __fadd_rn(high, in.high[0]);
  if (!is_value) {
    float turned = __fmaf_rn(low, in.turn[e].x, -__fmul_rn(high, in.turn[e].y));
    high = __fmaf_rn(high, in.turn[e].x, __fmul_rn(low, in.turn[e].y));
    low = turned;
  }
  if (head < g.heads) {
    float *q = g.q + (size_t)t * g.heads * dim + head * dim;
    q[d] = low;
    q[other] = high;
    return;
  }
  int kv = is_value ? head - g.heads - g.kv_heads : head - g.heads;
  size_t slot = (size_t)kv * g.slots + in.slot + e;
  __half *to = (__half *)(is_value ? g.values : g.keys) + slot * dim;
  to[d] = epilogue__cached(low);
  to[other] = epilogue__cached(high);
}

__device__ __forceinline__ void epilogue__project(const cuda_gemm &g, int tile, int t, int e, int r,
                                                  float low, float high, bool real,
                                                  const epilogue_inputs &in) {
  int row = 16 * tile + r;
  bool has_low = real && row < g.rows, has_high = real && row + 8 < g.rows;
  float *x = g.x + (size_t)t * g.rows + row;
  low = has_low ? __fadd_rn(in.low[e], low) : 0.f;
  high = has_high ? __fadd_rn(in.high[e], high) : 0.f;
  if (has_low) x[0] = low;
  if (has_high) x[8] = high;
  if (!g.norm) return;
  if (has_low)
    device__packed_store(g.packed, t, row, g.groups, g.out_layout,
                         low * in.turn[0].x * CUDA_NORMED_SCALE);
  if (has_high)
    device__packed_store(g.packed, t, row + 8, g.groups, g.out_layout,
                         high * in.turn[0].y * CUDA_NORMED_SCALE);
  float squares = epilogue__tile_squares(low, high, 2);
  if (real && r == 0) g.ss_out[(size_t)tile * g.ss_stride + t] = squares;
}

/* All lanes of the warp call this together, after epilogue__fetch. rms[8]: 1 / root mean square of
 * the group's tokens, or NULL. group: of 8 tokens, in the step. n: tokens of the step. */
template <int OP>
__device__ __forceinline__ void epilogue__finish(const cuda_gemm &g, int tile, int group, int lane,
                                                 const float sum[4], const float *rms, int n,
                                                 const epilogue_inputs &in) {
  int r = lane >> 2, first = 2 * (lane & 3);
  float scale = in.scale * g.inverse;
#pragma unroll
  for (int e = 0; e < 2; e++) {
    int t = group * 8 + first + e;
    bool real = t < n;
    float by = rms ? __fmul_rn(scale, rms[first + e]) : scale;
    float low = __fmul_rn(sum[e], by), high = __fmul_rn(sum[2 + e], by);
    if (OP == CUDA_OP_QKV) {
      if (real) epilogue__qkv(g, tile, t, e, r, low, high, in);
    } else if (OP == CUDA_OP_GATE_UP) {
      int f = 8 * tile + r;
      float h = __fmul_rn(__fdiv_rn(low, __fadd_rn(1.f, expf(-low))), high);
      if (real && f < g.rows)
        device__packed_store(g.packed, t, f, g.groups, g.out_layout, h * CUDA_INNER_SCALE);
    } else if (OP == CUDA_OP_HEAD) {
      int row = 16 * tile + r;
      if (real && row < g.rows) g.logits[(size_t)t * g.rows + row] = low;
      if (real && row + 8 < g.rows) g.logits[(size_t)t * g.rows + row + 8] = high;
    } else {
      epilogue__project(g, tile, t, e, r, low, high, real, in);
    }
  }
}

template <int OP>
__device__ __forceinline__ void epilogue__op(const cuda_gemm &g, int tile, int group, int lane,
                                             const float sum[4], const float *rms, int n) {
  epilogue_inputs in;
  epilogue__fetch<OP>(g, tile, group, lane, n, in);
  epilogue__finish<OP>(g, tile, group, lane, sum, rms, n, in);
}

/* The same where the op is known at run time. */
__device__ __forceinline__ void epilogue__fetch_fixed_any(const cuda_gemm &g, int tile, int group,
                                                          int lane, int n, epilogue_inputs &in) {
  if (g.op == CUDA_OP_QKV) epilogue__fetch_fixed<CUDA_OP_QKV>(g, tile, group, lane, n, in);
  else if (g.op == CUDA_OP_PROJECT)
    epilogue__fetch_fixed<CUDA_OP_PROJECT>(g, tile, group, lane, n, in);
  else epilogue__fetch_fixed<CUDA_OP_HEAD>(g, tile, group, lane, n, in); /* gate_up as well */
}
__device__ __forceinline__ void epilogue__fetch_x_any(const cuda_gemm &g, int tile, int group,
                                                      int lane, int n, epilogue_inputs &in) {
  if (g.op == CUDA_OP_PROJECT) epilogue__fetch_x<CUDA_OP_PROJECT>(g, tile, group, lane, n, in);
}
__device__ __forceinline__ void epilogue__fetch_any(const cuda_gemm &g, int tile, int group,
                                                    int lane, int n, epilogue_inputs &in) {
  epilogue__fetch_fixed_any(g, tile, group, lane, n, in);
  epilogue__fetch_x_any(g, tile, group, lane, n, in);
}
__device__ __forceinline__ void epilogue__finish_any(const cuda_gemm &g, int tile, int group,
                                                     int lane, const float sum[4],
                                                     const float *rms, int n,
                                                     const epilogue_inputs &in) {
  switch (g.op) {
  case CUDA_OP_QKV:
    return epilogue__finish<CUDA_OP_QKV>(g, tile, group, lane, sum, rms, n, in);
  case CUDA_OP_PROJECT:
    return epilogue__finish<CUDA_OP_PROJECT>(g, tile, group, lane, sum, rms, n, in);
  case CUDA_OP_GATE_UP:
    return epilogue__finish<CUDA_OP_GATE_UP>(g, tile, group, lane, sum, rms, n, in);
  default: return epilogue__finish<CUDA_OP_HEAD>(g, tile, group, lane, sum, rms, n, in);
  }
}

#endif
