/* prefill.cuh - products of many tokens: what the two kernels for them share.
 *
 * y[t, row] = W[row, :] . b[t, :], 129 to 8,192 tokens. prefill_wgmma.cuh is for Hopper,
 * prefill_mma.cuh for all others; both walk over blocks of 128 rows (8 tiles) by some tokens and
 * end with prefill__finish.
 *
 * That is epilogue__op's arithmetic (epilogue.cuh), for 8 groups of 8 tokens at once: a token's
 * numbers here wait on x or on the cosines of its angles, which are at hand only if the loads of
 * all groups are under way before the first store (the compiler may not move them past one). */
#ifndef FIMD_KERNELS_PREFILL_CUH
#define FIMD_KERNELS_PREFILL_CUH

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/fragment.cuh"

enum {
  PREFILL_TILES = 8,  /* of a block */
  PREFILL_GROUPS = 8, /* of a call of prefill__finish */
  PREFILL_BAND = 8,   /* token blocks */
};

/* A column block, 32 columns of PREFILL_GROUPS groups. */
#define PREFILL_PACKED_BYTES (PREFILL_GROUPS * 512)

struct prefill_place {
  int row, token; /* blocks */
};

/* Blocks that run together should share weights and activations in the second cache: in order,
 * they take a band of token blocks, and in it a row block after the other. */
__device__ __forceinline__ prefill_place prefill__place(int index, int row_blocks,
                                                        int token_blocks) {
  int whole = row_blocks * PREFILL_BAND;
  int band = index / whole, inside = index - band * whole;
  int width = min((int)PREFILL_BAND, token_blocks - band * PREFILL_BAND);
  prefill_place at;
  at.row = inside / width;
  at.token = band * PREFILL_BAND + inside - at.row * width;
  return at;
}

/* 1 / root mean square of token t's row, to a few units in the last place; any number for t >= n.
 * No division or root with a slow path: that is a subroutine, and this runs in warps that have few
 * registers (prefill_wgmma.cuh). */
__device__ __forceinline__ float prefill__inverse_rms(const cuda_gemm &g, int t, int n) {
  float sum = 0;
  if (t < n) {
    const float *ss = g.ss + t;
#pragma unroll 8
    for (int i = 0; i < g.ss_tiles; i++) sum += ss[(size_t)i * g.ss_stride];
  }
  return rsqrtf(__fdividef(sum, (float)g.ss_width) + g.eps);
}

/* What a lane knows of its tile's rows r = lane / 4 and r + 8, whatever the token. */
struct prefill_rows {
  int tile;
  float scale;
  float low, high;         /* QKV: bias. PROJECT: norm * CUDA_NORMED_SCALE */
  bool has_low, has_high;  /* PROJECT: the rows exist */
  const float2 *turn;      /* QKV: of token 0, or NULL for v */
  float *q;                /* QKV: row r of token 0, or NULL for k and v */
  __half *cache;           /* QKV: row r of token 0, or NULL for q */
  int apart;               /* QKV: the other row less row r */
};

template <int OP>
__device__ __forceinline__ prefill_rows prefill__rows(const cuda_gemm &g, int tile, int lane) {
  prefill_rows p = {};
  int r = lane >> 2;
  p.tile = tile;
  p.scale = (g.scale ? g.scale[tile - g.tile0] : 1.f) * g.inverse;
  if (OP == CUDA_OP_PROJECT) {
    int row = 16 * tile + r;
    p.has_low = row < g.rows;
    p.has_high = row + 8 < g.rows;
    if (g.norm && p.has_low) p.low = g.norm[row] * CUDA_NORMED_SCALE;
    if (g.norm && p.has_high) p.high = g.norm[row + 8] * CUDA_NORMED_SCALE;
  }
  if (OP == CUDA_OP_QKV) {
    int dim = g.head_dim, half = dim / 2, per_head = dim / 16;
    int head = tile / per_head, i = tile % per_head;
    bool is_value = head >= g.heads + g.kv_heads;
    int d = is_value ? 16 * i + r : 8 * i + r;
    p.apart = is_value ? 8 : half;
    if (g.bias) {
      p.low = g.bias[head * dim + d];
      p.high = g.bias[head * dim + d + p.apart];
    }
    if (!is_value) p.turn = g.turn + d;
    if (head < g.heads) {
      p.q = g.q + head * dim + d;
    } else {
      int kv = is_value ? head - g.heads - g.kv_heads : head - g.heads;
      size_t slot = (size_t)kv * g.slots + g.step->kv_len;
      p.cache = (__half *)(is_value ? g.values : g.keys) + slot * dim + d;
    }
  }
  return p;
}

/* What prefill__finish needs from memory for PREFILL_GROUPS groups from `group` on. PROJECT: x,
 * in the order of the sums. QKV: cosine, sine of both tokens. */
template <int OP>
__device__ __forceinline__ void prefill__fetch(const cuda_gemm &g, const prefill_rows &p, int group,
                                               int lane, int n, float in[4 * PREFILL_GROUPS]) {
  int first = group * 8 + 2 * (lane & 3);
  if (OP == CUDA_OP_PROJECT) {
    const float *x = g.x + (size_t)first * g.rows + 16 * p.tile + (lane >> 2);
#pragma unroll
    for (int i = 0; i < 2 * PREFILL_GROUPS; i++) {
      int j = i >> 1, e = i & 1, t = 8 * j + e;
      const float *at = x + (size_t)t * g.rows;
      in[4 * j + e] = p.has_low && first + t < n ? at[0] : 0.f;
      in[4 * j + 2 + e] = p.has_high && first + t < n ? at[8] : 0.f;
    }
  }
  if (OP == CUDA_OP_QKV && p.turn) {
    const float2 *turn = p.turn + (size_t)first * (g.head_dim / 2);
#pragma unroll
    for (int i = 0; i < 2 * PREFILL_GROUPS; i++) {
      int j = i >> 1, e = i & 1, t = 8 * j + e;
      float2 v = make_float2(1.f, 0.f);
      if (first + t < n) v = turn[(size_t)t * (g.head_dim / 2)];
      in[4 * j + 2 * e] = v.x;
      in[4 * j + 2 * e + 1] = v.y;
    }
  }
}

/* Where packed numbers go: to g.packed, or to a copy in shared memory of a part of it. */
struct prefill_packed {
  void *to;
  int t0, k0; /* the first token and column there */
  int groups;
};

/* A NaN stays one: the cache must not hide it. */
__device__ __forceinline__ __half prefill__cached(float v) {
  return __float2half_rn(v != v ? v : fminf(fmaxf(v, -65504.f), 65504.f));
}

__device__ __forceinline__ void prefill__finish_qkv(const cuda_gemm &g, const prefill_rows &p,
                                                    int t, float low, float high, float cosine,
                                                    float sine) {
  low += p.low;
  high += p.high;
  if (p.turn) {
    float turned = low * cosine - high * sine;
    high = high * cosine + low * sine;
    low = turned;
  }
  if (p.q) {
    float *q = p.q + (size_t)t * (g.heads * g.head_dim);
    q[0] = low;
    q[p.apart] = high;
  } else {
    __half *cache = p.cache + (size_t)t * g.head_dim;
    cache[0] = prefill__cached(low);
    cache[p.apart] = prefill__cached(high);
  }
}

/* PREFILL_GROUPS groups from `group` on; all lanes of a warp together. sum: four a group, as the
 * tensor cores leave them; rms[0] is of the first group's first token, or rms is NULL; in: from
 * prefill__fetch; n: tokens of the step. Packed numbers of tokens beyond n and of rows that are
 * padding are finite. */
template <int OP, int LAYOUT>
__device__ __forceinline__ void prefill__finish(const cuda_gemm &g, const prefill_rows &p,
                                                int group, int lane, int n,
                                                const float sum[4 * PREFILL_GROUPS],
                                                const float *rms,
                                                const float in[4 * PREFILL_GROUPS],
                                                const prefill_packed &packed) {
  int r = lane >> 2, first = 2 * (lane & 3);
#pragma unroll
  for (int j = 0; j < PREFILL_GROUPS; j++) {
    float2 by = rms ? *(const float2 *)(rms + 8 * j + first) : make_float2(1.f, 1.f);
#pragma unroll
    for (int e = 0; e < 2; e++) {
      int t = (group + j) * 8 + first + e;
      bool real = t < n;
      float scale = p.scale * (e ? by.y : by.x);
      float low = sum[4 * j + e] * scale, high = sum[4 * j + 2 + e] * scale;
      if (OP == CUDA_OP_QKV) {
        if (real) prefill__finish_qkv(g, p, t, low, high, in[4 * j + 2 * e], in[4 * j + 2 * e + 1]);
      } else if (OP == CUDA_OP_GATE_UP) {
        /* The quotient to two units in the last place (0 where it is below 1e-36): it goes to f16,
         * and an exact one's branches would keep the 128 of a lane from running side by side. */
        float h = __fdividef(low, 1.f + expf(-low)) * high;
        device__packed_store(packed.to, t - packed.t0, 8 * p.tile + r - packed.k0, packed.groups,
                             LAYOUT, h * CUDA_INNER_SCALE);
      } else {
        int row = 16 * p.tile + r;
        bool has_low = real && p.has_low, has_high = real && p.has_high;
        float *x = g.x + (size_t)t * g.rows + row;
        low = has_low ? in[4 * j + e] + low : 0.f;
        high = has_high ? in[4 * j + 2 + e] + high : 0.f;
        if (has_low) x[0] = low;
        if (has_high) x[8] = high;
        if (g.norm) {
          device__packed_store(packed.to, t - packed.t0, row - packed.k0, packed.groups, LAYOUT,
                               low * p.low);
          device__packed_store(packed.to, t - packed.t0, row + 8 - packed.k0, packed.groups, LAYOUT,
                               high * p.high);
          float squares = epilogue__tile_squares(low, high, 2);
          if (real && r == 0) g.ss_out[(size_t)p.tile * g.ss_stride + t] = squares;
        }
      }
    }
  }
}

/* ---- launches: one a kind, each in its own file --------------------------------------------- */

cudaError_t prefill__f16(const cuda_device *d, const cuda_gemm *g);
cudaError_t prefill__q8(const cuda_device *d, const cuda_gemm *g);
cudaError_t prefill__q4(const cuda_device *d, const cuda_gemm *g);
cudaError_t prefill__q4m(const cuda_device *d, const cuda_gemm *g);
cudaError_t prefill__q6(const cuda_device *d, const cuda_gemm *g);

#endif
