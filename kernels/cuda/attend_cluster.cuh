/* attend_cluster.cuh - exact attention in one launch on Hopper: a cluster of C = 8 or 16 blocks for
 * the heads of a kv head (up to 8) and up to CLUSTER_TOKENS tokens.
 *
 * Block r of the cluster takes groups r, r + C, ... of 4 tiles, one a round; two warps ("a pair")
 * have a tile. They hold it in registers as the A operands of S^T = K q^T (a warp has 32 keys) and
 * of o^T = V^T P^T (a warp has half of the dims), so that keys and values are read from shared
 * memory once, however many tokens there are, and for committed tiles before the wait for the
 * kernel that makes the query. (An element of a product has the same bits whichever of its two
 * factors is A.) Shared memory is then free for the next round's tile. Tokens follow one another,
 * P at a time: the pair exchanges S, both soften all of it, each makes its dims of o; the block
 * merges the group's tiles and sends the result straight to the shared memory of the block that
 * will fold it: block r owns 8 / C of the columns, slot r / (C / 8). After one barrier of the
 * cluster the owners fold the groups, from the left, on top of the rounds before.
 *
 * In a tree, tiles with a draft's keys are each token's own: block t computes token t's, gathered,
 * a pair each, after the last round's; the owners merge them one by one.
 *
 * What is latency here: wait, query, S, exchange, P v, exchange, cluster barrier, fold, store; of
 * memory, only the query and the step's own keys are read after the wait. */
#ifndef FIMD_KERNELS_ATTEND_CLUSTER_CUH
#define FIMD_KERNELS_ATTEND_CLUSTER_CUH

#include "kernels/cuda/attend_tile.cuh"
#include "kernels/cuda/hopper.cuh"

enum {
  CLUSTER_TOKENS = 2, /* of a cluster; more, one after another, are slower than attend_parts */
  CLUSTER_ROWS = 8,   /* of a step; more are faster in attend_parts */
  CLUSTER_THREADS = 256,
  CLUSTER_PAIRS = 4, /* = GROUP */
};

/* Dynamic shared memory of a block. P: tokens at a time; T: of the cluster. */
template <int D, int P, int C> struct cluster_memory {
  enum {
    W = ATTEND_SLOTS * D / C, /* columns that a block owns */
    TILE = ATTEND_KEYS * D * 2, /* bytes of keys, and of values */
    O_STRIDE = D + 4,
    WORK = P * ATTEND_SLOTS * (O_STRIDE > S_STRIDE ? (int)O_STRIDE : (int)S_STRIDE), /* floats */
    PARTS = C + OWN_MOST,
  };
  static __host__ __device__ constexpr int bytes(int tokens) {
    return CLUSTER_PAIRS * (2 * TILE + WORK * 4 + P * ATTEND_SLOTS * 8 + ATTEND_KEYS * 4) +
           tokens * (ATTEND_SLOTS * D * 2 + PARTS * (W * 4 + 8));
  }
  char *stage;   /* [pair][keys, values] */
  char *q;       /* [token] a tile of 8 rows of f16 */
  float *work;   /* [pair] S [token of P][slot][key], S_STRIDE; then o [..][slot][dim], O_STRIDE;
                    before all that the query in f32 [token][slot][dim] */
  float *m, *l;  /* [pair][token of P][slot] */
  float *o;      /* [part][token][W] of the columns owned; parts C .. are own tiles */
  float2 *ml;    /* [part][token] */
  int *slots;    /* [pair][key] of own tiles */
  __device__ __forceinline__ cluster_memory(char *at, int tokens) {
    stage = at, at += CLUSTER_PAIRS * 2 * TILE;
    q = at, at += tokens * ATTEND_SLOTS * D * 2;
    work = (float *)at, at += CLUSTER_PAIRS * WORK * 4;
    o = (float *)at, at += tokens * PARTS * W * 4;
    ml = (float2 *)at, at += tokens * PARTS * 8;
    m = (float *)at, at += CLUSTER_PAIRS * P * ATTEND_SLOTS * 4;
    l = (float *)at, at += CLUSTER_PAIRS * P * ATTEND_SLOTS * 4;
    slots = (int *)at;
  }
};

/* Four dims of a token and head. Nothing is m = -inf and -0: merging makes x of it, for every x. */
typedef struct cluster_state {
  float m, l;
  float4 o;
} cluster_state;

__device__ __forceinline__ cluster_state cluster__nothing() {
  cluster_state s;
  s.m = -INFINITY, s.l = -0.f, s.o = make_float4(-0.f, -0.f, -0.f, -0.f);
  return s;
}
__device__ __forceinline__ void cluster__merge(cluster_state &s, const cluster_state &v) {
  float most = fmaxf(s.m, v.m);
  float a = attend__exp2(__fsub_rn(s.m, most)), b = attend__exp2(__fsub_rn(v.m, most));
  s.m = most;
  s.l = merged(s.l, a, v.l, b);
  s.o.x = merged(s.o.x, a, v.o.x, b);
  s.o.y = merged(s.o.y, a, v.o.y, b);
  s.o.z = merged(s.o.z, a, v.o.z, b);
  s.o.w = merged(s.o.w, a, v.o.w, b);
}

#if __CUDA_ARCH__ >= 900

__device__ __forceinline__ void cluster__store(uint32_t at, float4 v) {
  asm volatile("st.shared::cluster.v4.f32 [%0], {%1,%2,%3,%4};" ::"r"(at), "f"(v.x), "f"(v.y),
               "f"(v.z), "f"(v.w) : "memory");
}
__device__ __forceinline__ void cluster__store(uint32_t at, float2 v) {
  asm volatile("st.shared::cluster.v2.f32 [%0], {%1,%2};" ::"r"(at), "f"(v.x), "f"(v.y)
               : "memory");
}

/* A warp's share of a tile: A operands. */
template <int D> struct cluster_tile {
  uint32_t k[D / 16][2][4]; /* [k-step][16 keys of the warp's 32] */
  uint32_t v[4][D / 32][4]; /* [k-step][16 dims of the warp's half] */

  /* `at`: the tile in shared memory, keys then values; half: which of the pair's warps. */
  __device__ __forceinline__ void load(uint32_t at, int half, int lane) {
    const int row = lane & 15, turned = (lane & 7) + (lane >> 4 << 3);
#pragma unroll
    for (int i = 0; i < D / 16; i++)
#pragma unroll
      for (int j = 0; j < 2; j++)
        attend__load(k[i][j],
                     at + attend__at<D>(32 * half + 16 * j + row, 2 * i + (lane >> 4)));
    at += ATTEND_KEYS * D * 2;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < D / 32; j++)
        attend__load_turned(v[i][j], at + attend__at<D>(16 * i + turned,
                                                        half * (D / 16) + 2 * j + (lane >> 3 & 1)));
  }

  /* The tile for P tokens whose queries follow one another at q: m, l and o to `m`, `l` and `work`.
   * left: the tile's keys that a token has, 64 or more for all. */
  template <int P>
  __device__ __forceinline__ void take(uint32_t q, const int left[P], float *work, float *m,
                                       float *l, int barrier, int half, int lane) const {
    const int g = lane >> 2, c = lane & 3, o_stride = D + 4;
    float s[P][2][4] = {};
#pragma unroll
    for (int i = 0; i < D / 32; i++) {
#pragma unroll
      for (int t = 0; t < P; t++) {
        uint32_t b[4];
        attend__keys<D>(b, q + t * ATTEND_SLOTS * D * 2, 0, i, lane);
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const uint32_t *x = k[2 * i + e / 2][e % 2];
          device__mma(s[t][e % 2], x[0], x[1], x[2], x[3], b[e / 2 * 2], b[e / 2 * 2 + 1]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < P * 8; i++) /* key g + 8 of (i & 2), slot 2 c + (i & 1) */
      work[(i / 8 * ATTEND_SLOTS + 2 * c + i % 2) * S_STRIDE + 32 * half + i / 4 % 2 * 16 +
           i / 2 % 2 * 8 + g] = s[i / 8][i / 4 % 2][i % 4];
    device__barrier_sync(barrier, 64);

    uint32_t p[P][8][2];
    bool full = true;
#pragma unroll
    for (int t = 0; t < P; t++) {
      float x[8][4], sum[4];
#pragma unroll
      for (int i = 0; i < 8; i++) {
        float2 y = *(const float2 *)(work + (t * ATTEND_SLOTS + g) * S_STRIDE + 8 * i + 2 * c);
        x[i][0] = y.x, x[i][1] = y.y;
        p[t][i][1] = 0;
      }
      float most = soften<0>(x, p[t], left[t], exponent_scale<D>(), c);
      full = full && left[t] >= ATTEND_KEYS;
      if (half == 0) {
        sums(sum, p[t]);
        if (c == 0) {
          m[t * ATTEND_SLOTS + g] = most;
          l[t * ATTEND_SLOTS + g] = sum[0];
        }
      }
    }

    float o[P][D / 32][4] = {};
    if (full) {
#pragma unroll
      for (int i = 0; i < 4 * P * (D / 32); i++) {
        const int ks = i / (P * (D / 32)), j = i / P % (D / 32), t = i % P;
        const uint32_t *x = v[ks][j];
        device__mma(o[t][j], x[0], x[1], x[2], x[3], p[t][2 * ks][0], p[t][2 * ks + 1][0]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < 4 * P; i++) {
        const int ks = i / P, t = i % P;
        const uint32_t low = values_mask(left[t], ks, 0, c), high = values_mask(left[t], ks, 1, c);
#pragma unroll
        for (int j = 0; j < D / 32; j++) {
          const uint32_t *x = v[ks][j];
          device__mma(o[t][j], x[0] & low, x[1] & low, x[2] & high, x[3] & high, p[t][2 * ks][0],
                      p[t][2 * ks + 1][0]);
        }
      }
    }
    device__barrier_sync(barrier, 64); /* both have read S */
#pragma unroll
    for (int i = 0; i < P * (D / 32) * 4; i++) /* dim g + 8 of (i & 2), slot 2 c + (i & 1) */
      work[(i / (D / 8) * ATTEND_SLOTS + 2 * c + i % 2) * o_stride + half * (D / 2) +
           i / 4 % (D / 32) * 16 + i / 2 % 2 * 8 + g] = o[i / (D / 8)][i / 4 % (D / 32)][i % 4];
  }
};

/* What a thread of a block knows. */
template <int D, int P, int C> struct cluster_block {
  typedef cluster_memory<D, P, C> memory;
  const cuda_attend &a;
  const memory s;
  attend_heads h;
  int tokens, token0, n, kv_len; /* tokens: of the cluster, a multiple of P */
  bool tree;
  int rank, pair, half, lane;
  int upto;    /* slots that the tokens' shared tiles lie in */
  int end;     /* shared tiles */
  int rounds;  /* one or more */
  int own;     /* the pair's keys of an own tile of token `rank`; none if 0 or less */

  __device__ __forceinline__ cluster_block(const cuda_attend &args, const attend_plan &p,
                                           char *shared)
      : a(args), s(shared, P == 1 ? 1 : p.tokens) {
    const int index = blockIdx.x / C, kv_blocks = a.kv_heads * p.head_blocks;
    h = heads_of(a, p, index % kv_blocks);
    tokens = P == 1 ? 1 : p.tokens, token0 = index / kv_blocks * tokens;
    n = a.step->n, kv_len = a.step->kv_len, tree = a.step->tree;
    rank = blockIdx.x % C, lane = threadIdx.x & 31;
    pair = threadIdx.x >> 6, half = threadIdx.x >> 5 & 1;
    upto = tree ? kv_len : kv_len + min(n, token0 + tokens);
    end = tree ? kv_len / ATTEND_KEYS : (upto + ATTEND_KEYS - 1) / ATTEND_KEYS;
    rounds = max(1, (end + GROUP * C - 1) / (GROUP * C));
    own = 0;
    if (tree && rank < tokens && token0 + rank < n)
      own = total_keys(rank) - (end + pair) * ATTEND_KEYS;
  }

  /* Of the cluster's token t, which is real. */
  __device__ __forceinline__ int total_keys(int t) const {
    return kv_len + 1 + (tree ? a.step->ancestors[token0 + t] : token0 + t);
  }
  /* Keys in shared tiles. A last odd token's neighbour takes its keys: no need to mask. */
  __device__ __forceinline__ int shared_keys(int t) const {
    return tree ? end * ATTEND_KEYS : kv_len + min(token0 + t, n - 1) + 1;
  }
  __device__ __forceinline__ int tile_of(int round) const {
    return (round * C + rank) * GROUP + pair;
  }
  __device__ __forceinline__ uint32_t stage_at() const {
    return device__shared_address(s.stage + pair * 2 * memory::TILE);
  }
  __device__ __forceinline__ void sync_pair() const { device__barrier_sync(1 + pair, 64); }

  /* Requests slots [from, to) of a tile, by the pair. */
  __device__ __forceinline__ void request_tile(int tile, int from, int to) const {
    char *keys = s.stage + pair * 2 * memory::TILE;
    const int first = tile * ATTEND_KEYS;
    if (first >= from && first + ATTEND_KEYS <= to) {
#pragma unroll
      for (int i = threadIdx.x & 63; i < ATTEND_KEYS * (D / 8); i += 64)
        request<D>(a, keys, keys + memory::TILE, h.kv, first + i / (D / 8), i / (D / 8),
                   i % (D / 8));
      return;
    }
    for (int i = threadIdx.x & 63; i < ATTEND_KEYS * (D / 8); i += 64) {
      int slot = first + i / (D / 8);
      if (slot >= from && slot < to)
        request<D>(a, keys, keys + memory::TILE, h.kv, slot, i / (D / 8), i % (D / 8));
    }
  }
  /* The slots of the pair's own tile to shared memory, then (after a barrier) its keys. */
  __device__ __forceinline__ void find_own() const {
    int i = threadIdx.x & 63, token = token0 + rank;
    if (i < own)
      s.slots[pair * ATTEND_KEYS + i] =
          slot_of(a.step, token, a.step->ancestors[token], (end + pair) * ATTEND_KEYS + i);
  }
  __device__ __forceinline__ void request_own() const {
    char *keys = s.stage + pair * 2 * memory::TILE;
    int rows = min(own, (int)ATTEND_KEYS);
    for (int i = threadIdx.x & 63; i < rows * (D / 8); i += 64)
      request<D>(a, keys, keys + memory::TILE, h.kv, s.slots[pair * ATTEND_KEYS + i / (D / 8)],
                 i / (D / 8), i % (D / 8));
  }

  /* Queries: [token][slot][4 dims], by all threads. */
  __device__ __forceinline__ bool has_query(int i) const {
    return i / (D / 4) % ATTEND_SLOTS < h.count && token0 + i / (D * 2) < n;
  }
  __device__ __forceinline__ void request_q() const {
    for (int i = threadIdx.x; i < tokens * (D * 2); i += CLUSTER_THREADS)
      if (has_query(i))
        device__copy16(s.work + 4 * i,
                       a.q + ((size_t)(token0 + i / (D * 2)) * a.heads + h.first) * D +
                           4 * (i % (D * 2)));
  }
  /* A thread's own requests have arrived: to f16. */
  __device__ __forceinline__ void convert_q() const {
    for (int i = threadIdx.x; i < tokens * (D * 2); i += CLUSTER_THREADS) {
      float4 v = make_float4(0.f, 0.f, 0.f, 0.f);
      if (has_query(i)) v = *(const float4 *)(s.work + 4 * i);
      __half2 low = __halves2half2(device__half(v.x), device__half(v.y));
      __half2 high = __halves2half2(device__half(v.z), device__half(v.w));
      int x = i % (D / 4);
      *(uint2 *)(s.q + i / (D * 2) * (ATTEND_SLOTS * D * 2) +
                 attend__at<D>(i / (D / 4) % ATTEND_SLOTS, x / 2) + x % 2 * 8) =
          make_uint2(*(uint32_t *)&low, *(uint32_t *)&high);
    }
  }
  __device__ __forceinline__ uint32_t q_at(int t) const {
    return device__shared_address(s.q + t * ATTEND_SLOTS * D * 2);
  }

  /* Dims 4 x .. of a slot, as part `part` of token t, to the block that owns them. */
  __device__ __forceinline__ void send(int part, int t, int slot, int x,
                                       const cluster_state &v) const {
    const int W = memory::W, to = slot * (C / 8) + 4 * x / W, row = part * tokens + t;
    cluster__store(hopper__peer(s.o + row * W + 4 * x % W, to), v.o);
    if (4 * x % W == 0) cluster__store(hopper__peer(s.ml + row, to), make_float2(v.m, v.l));
  }
  __device__ __forceinline__ cluster_state tile_state(int tile, int t, int slot, int x) const {
    cluster_state v;
    int row = (tile * P + t) * ATTEND_SLOTS + slot;
    v.m = s.m[row], v.l = s.l[row];
    v.o = *(const float4 *)(s.work + tile * memory::WORK +
                            (t * ATTEND_SLOTS + slot) * memory::O_STRIDE + 4 * x);
    return v;
  }

  /* The group's tiles of tokens t0 .. t0 + P - 1, merged and sent. By all threads. */
  __device__ __forceinline__ void merge_group(int round, int t0) const {
    const int group = round * C + rank;
#pragma unroll
    for (int i = threadIdx.x; i < P * ATTEND_SLOTS * (D / 4); i += CLUSTER_THREADS) {
      int x = i % (D / 4), slot = i / (D / 4) % ATTEND_SLOTS, j = i / (D * 2), t = t0 + j;
      if (slot >= h.count || token0 + t >= n) continue;
      int count = (shared_keys(t) + ATTEND_KEYS - 1) / ATTEND_KEYS - group * GROUP;
      if (count <= 0) continue;
      cluster_state sum = tile_state(0, j, slot, x);
      if (count >= GROUP) {
        cluster_state v[GROUP];
#pragma unroll
        for (int k = 1; k < GROUP; k++) v[k] = tile_state(k, j, slot, x);
#pragma unroll
        for (int k = 1; k < GROUP; k++) cluster__merge(sum, v[k]);
      } else {
        for (int k = 1; k < count; k++) cluster__merge(sum, tile_state(k, j, slot, x));
      }
      send(rank, t, slot, x, sum);
    }
  }

  /* An own tile, merged with nothing and sent, by the pair. */
  __device__ __forceinline__ void send_own() const {
    for (int i = threadIdx.x & 63; i < h.count * (D / 4); i += 64)
      send(C + pair, rank, i / (D / 4), i % (D / 4),
           tile_state(pair, 0, i / (D / 4), i % (D / 4)));
  }
};

/* A thread's share of the fold: 4 dims of a token, of those that the block owns. */
template <int D, int P, int C> struct cluster_fold {
  typedef cluster_memory<D, P, C> memory;
  cluster_state sum, group; /* group: what is not yet in sum */
  int t, x;
  int total, shared; /* tiles of the token; none: nothing to do */

  __device__ __forceinline__ cluster_fold(const cluster_block<D, P, C> &b) {
    sum = group = cluster__nothing();
    x = threadIdx.x % (memory::W / 4), t = threadIdx.x / (memory::W / 4);
    total = shared = 0;
    if (t >= b.tokens || b.token0 + t >= b.n || b.rank / (C / 8) >= b.h.count) return;
    total = (b.total_keys(t) + ATTEND_KEYS - 1) / ATTEND_KEYS;
    shared = b.tree ? b.end : total;
  }

  __device__ __forceinline__ cluster_state part(const cluster_block<D, P, C> &b, int i) const {
    const int row = i * b.tokens + t;
    float2 ml = b.s.ml[row];
    cluster_state v;
    v.m = ml.x, v.l = ml.y;
    v.o = *(const float4 *)(b.s.o + row * memory::W + 4 * x);
    return v;
  }
  __device__ __forceinline__ void round(const cluster_block<D, P, C> &b, int round) {
    if (total == 0) return;
    /* Groups that are whole, or end the token's keys. Eight at a time without a branch: loads and
     * powers overlap. */
    const int whole = shared == total ? (shared + GROUP - 1) / GROUP : shared / GROUP;
#pragma unroll
    for (int base = 0; base < C; base += 8) {
      const int here = whole - round * C - base;
      if (here >= 8) {
        cluster_state v[8];
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = part(b, base + i);
#pragma unroll
        for (int i = 0; i < 8; i++) cluster__merge(sum, v[i]);
      } else {
        for (int i = 0; i < here; i++) cluster__merge(sum, part(b, base + i));
      }
    }
    if (round + 1 < b.rounds) return;
    if (shared != total && shared % GROUP != 0) group = part(b, shared / GROUP - round * C);
    for (int i = shared; i < total; i++) {
      cluster__merge(group, part(b, C + i - shared));
      if ((i + 1) % GROUP != 0 && i + 1 != total) continue;
      cluster__merge(sum, group);
      group = cluster__nothing();
    }
  }
  __device__ __forceinline__ void store(const cluster_block<D, P, C> &b) const {
    if (total == 0) return;
    const int head = b.h.first + b.rank / (C / 8);
    const int k = head * D + b.rank % (C / 8) * memory::W + 4 * x;
    __half2 low = __halves2half2(device__half(result(sum.o.x, sum.l)),
                                 device__half(result(sum.o.y, sum.l)));
    __half2 high = __halves2half2(device__half(result(sum.o.z, sum.l)),
                                  device__half(result(sum.o.w, sum.l)));
    char *to = (char *)b.a.packed;
    *(__half2 *)(to + device__packed_at(b.token0 + t, k, b.a.groups, b.a.layout)) = low;
    *(__half2 *)(to + device__packed_at(b.token0 + t, k + 2, b.a.groups, b.a.layout)) = high;
  }
};

#endif /* sm_90 */

/* Clusters: [block of tokens][kv head's block of heads]. */
template <int D, int P, int C>
__global__ void __launch_bounds__(CLUSTER_THREADS, 1)
  attend_cluster(const __grid_constant__ cuda_attend a, const __grid_constant__ attend_plan p) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) char cluster_shared[];
  const cluster_block<D, P, C> b(a, p, cluster_shared);
  if (b.token0 >= b.n) { /* all of the cluster */
    device__wait();
    device__trigger();
    return;
  }
  hopper__cluster_arrive(); /* here: others may write to this block */
  cluster_tile<D> tile;
  int at = b.tile_of(0);
  const bool early = at >= b.end || (at + 1) * ATTEND_KEYS <= b.kv_len;
  if (at < b.end) b.request_tile(at, 0, b.kv_len);
  b.find_own();
  if (!early) {
    device__wait();
    device__trigger();
    b.request_tile(at, b.kv_len, b.upto);
    b.request_q();
  }
  device__copy_commit();
  device__copy_wait<0>();
  b.sync_pair();
  if (at < b.end) tile.load(b.stage_at(), b.half, b.lane);
  cluster_fold<D, P, C> fold(b);
  if (early) {
    device__wait();
    device__trigger();
    b.request_q();
    device__copy_commit();
    device__copy_wait<0>();
  }
  b.convert_q();
  __syncthreads();

  float *work = b.s.work + b.pair * cluster_memory<D, P, C>::WORK;
  float *m = b.s.m + b.pair * P * ATTEND_SLOTS, *l = b.s.l + b.pair * P * ATTEND_SLOTS;
#pragma unroll 1
  for (int round = 0; round < b.rounds; round++) {
    const bool last = round + 1 == b.rounds;
    at = b.tile_of(round);
    if (round > 0) {
      device__copy_wait<0>();
      b.sync_pair();
      tile.load(b.stage_at(), b.half, b.lane); /* always, so that none is kept till here */
      b.sync_pair();
    }
    if (last && b.own > 0) b.request_own();
    if (!last && b.tile_of(round + 1) < b.end) b.request_tile(b.tile_of(round + 1), 0, b.upto);
    device__copy_commit();
#pragma unroll 1
    for (int t = 0; t < b.tokens; t += P) {
      int left[P];
#pragma unroll
      for (int i = 0; i < P; i++) left[i] = b.shared_keys(t + i) - at * ATTEND_KEYS;
      if (left[P - 1] > 0) /* the last has the most keys */
        tile.template take<P>(b.q_at(t), left, work, m, l, 1 + b.pair, b.half, b.lane);
      __syncthreads();
      if (t == 0) hopper__cluster_wait(); /* round 0: all are here; later: have folded */
      b.merge_group(round, t);
      if (t + P < b.tokens || !last || b.tree) __syncthreads();
    }
    if (last && b.own > 0) {
      int left[1] = {b.own};
      device__copy_wait<0>();
      b.sync_pair();
      tile.load(b.stage_at(), b.half, b.lane);
      tile.template take<1>(b.q_at(b.rank), left, work, m, l, 1 + b.pair, b.half, b.lane);
      b.sync_pair();
      b.send_own();
    }
    hopper__cluster_arrive();
    hopper__cluster_wait();
    fold.round(b, round);
    if (!last) hopper__cluster_arrive();
  }
  fold.store(b);
#endif
}

/* ---- host -------------------------------------------------------------------------------- */

template <int D, int P, int C>
static cudaError_t attend_cluster_run(const cuda_device *d, const cuda_attend *a,
                                      const attend_plan *p, bool *done) {
  const int shared = cluster_memory<D, P, C>::bytes(p->tokens);
  const void *kernel = (const void *)attend_cluster<D, P, C>;
  cudaError_t rc = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        shared);
  if (rc == cudaSuccess && C > 8)
    rc = cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  if (rc != cudaSuccess) return rc;
  const int clusters = a->kv_heads * p->head_blocks * ((a->n + p->tokens - 1) / p->tokens);
  launch_config c(d, dim3((unsigned)(clusters * C)), CLUSTER_THREADS, shared, C);
  if (C > 8) { /* not every part can run these */
    int most = 0;
    cudaLaunchConfig_t asked = c.config; /* with the last attribute alone: the cluster */
    asked.attrs += asked.numAttrs - 1;
    asked.numAttrs = 1;
    rc = cudaOccupancyMaxActiveClusters(&most, attend_cluster<D, P, C>, &asked);
    if (rc != cudaSuccess || most < clusters) {
      cudaGetLastError();
      return cudaSuccess;
    }
  }
  *done = true;
  return cudaLaunchKernelEx(&c.config, attend_cluster<D, P, C>, *a, *p);
}

/* Whether it was done here: where caches are long and tokens few, a cluster's multiprocessors are
 * too few. Clusters of 16 for one token, where they spare a round. */
template <int D>
static cudaError_t attend_clusters(const cuda_device *d, const cuda_attend *a, attend_plan p,
                                   int tiles, bool *done) {
  *done = false;
  const int kv_blocks = a->kv_heads * p.head_blocks;
  if (a->n == 1) {
    p.tokens = 1;
    if (tiles > 8 * GROUP && tiles <= 8 * 16 * GROUP) {
      cudaError_t rc = attend_cluster_run<D, 1, 16>(d, a, &p, done);
      if (rc != cudaSuccess || *done) return rc;
    }
    if (tiles > 8 * 8 * GROUP) return cudaSuccess;
    return attend_cluster_run<D, 1, 8>(d, a, &p, done);
  }
  if (a->n > CLUSTER_ROWS) return cudaSuccess;
  /* Where all clusters can run at once: eight multiprocessors that belong together are not
   * everywhere left over. */
  p.tokens = CLUSTER_TOKENS;
  int used = kv_blocks * ((a->n + CLUSTER_TOKENS - 1) / CLUSTER_TOKENS) * 8;
  if (4 * used > 3 * d->sms || (tiles > 8 * 8 * GROUP && 2 * used < d->sms)) return cudaSuccess;
  return attend_cluster_run<D, 2, 8>(d, a, &p, done);
}

#endif
