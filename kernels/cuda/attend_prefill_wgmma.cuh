/* attend_prefill_wgmma.cuh - causal attention of many tokens on Hopper, and what the kernel for
 * other cards shares with it.
 *
 * A block takes 128 tokens of one head: two consumer warpgroups of 64 tokens, a warp 16; and four
 * warps that fill a ring of tiles of 64 keys and values by cp.async, LAG of them on their way. q is
 * in registers as wgmma's A operand. S's accumulators, softened and packed to f16, are P's A
 * operand. While the tensor cores make P v of tile j, the warps soften tile j + 1; while they
 * soften, the tensor cores are also there for the other warpgroup. Blocks of the last tokens (most
 * keys) start first, heads of a kv head side by side.
 *
 * Registers that are A of a wgmma under way are safe from ptxas (13.0) within a basic block only,
 * so between an issue and its wait there is no branch: tiles that need a mask are the last, in a
 * loop of their own, and barriers are waited for before anything is issued.
 *
 * A tile in shared memory is head_dim / 64 panels of 64 rows by 64 dims, 128 bytes a row, chunk c
 * (16 bytes) of row r at c ^ (r % 8): wgmma's 128-byte swizzle. Slots that were never written are
 * zeros: their P is 0, but 0 times NaN is not. */
#ifndef FIMD_KERNELS_ATTEND_PREFILL_WGMMA_CUH
#define FIMD_KERNELS_ATTEND_PREFILL_WGMMA_CUH

#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/hopper.cuh"

enum {
  PANEL = ATTEND_KEYS * 128,  /* bytes */
  PREFILL_TOKENS = 128,
  PREFILL_CONSUMERS = 256,
  PREFILL_PRODUCERS = 128,
  PREFILL_RING = 6,
  PREFILL_LAG = 3,
};

__device__ __forceinline__ uint32_t panel_at(int row, int chunk) {
  return (uint32_t)((chunk >> 3) * PANEL + row * 128 + (((chunk ^ row) & 7) << 4));
}

/* o / l of rows token and token + 8, to the packed layout: of 32 columns, lane c has 2 c, 2 c + 1
 * of every 8, which are 16 bytes in a row in LAYOUT_WGMMA. */
template <int D>
__device__ __forceinline__ void prefill_store(const cuda_attend &a, const float o[D / 8][4],
                                              const float l[2], int token, int n, int head, int c) {
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float sum = l[h];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    float by = CUDA_INNER_SCALE / sum;
    int t = token + 8 * h;
    if (t >= n) continue;
#pragma unroll
    for (int b = 0; b < D / 32; b++) {
      uint32_t v[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        __half2 x = __halves2half2(device__half(o[4 * b + i][2 * h] * by),
                                   device__half(o[4 * b + i][2 * h + 1] * by));
        v[i] = *(uint32_t *)&x;
      }
      char *to = (char *)a.packed +
                 device__packed_at(t, head * D + 32 * b + 2 * c, a.groups, a.layout);
      if (a.layout == LAYOUT_WGMMA) {
        *(uint4 *)to = make_uint4(v[0], v[1], v[2], v[3]);
      } else {
#pragma unroll
        for (int i = 0; i < 4; i++) *(uint32_t *)(to + 16 * i) = v[i];
      }
    }
  }
}

/* ---- wgmma ------------------------------------------------------------------------------- */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

#define ATTEND_D4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define ATTEND_D16(i) \
  ATTEND_D4(i), ATTEND_D4((i) + 1), ATTEND_D4((i) + 2), ATTEND_D4((i) + 3)

/* d[64, 64] += (or, with add 0, =) a[64, 16] b[16, 64]. */
template <int TURNED>
__device__ __forceinline__ void wgmma(float (&d)[8][4], const uint32_t a[4], uint64_t b, int add) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,"
               "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
               "{%32,%33,%34,%35}, %36, p, 1, 1, %38; }"
               : ATTEND_D16(0), ATTEND_D16(4)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(TURNED));
}

/* d[64, 128] += (or, with add 0, =) a[64, 16] b[16, 128]. */
template <int TURNED>
__device__ __forceinline__ void wgmma(float (&d)[16][4], const uint32_t a[4], uint64_t b, int add) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,"
               "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,"
               "%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,"
               "%59,%60,%61,%62,%63}, "
               "{%64,%65,%66,%67}, %68, p, 1, 1, %70; }"
               : ATTEND_D16(0), ATTEND_D16(4), ATTEND_D16(8), ATTEND_D16(12)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(TURNED));
}

/* Until at most LEFT groups are under way; x, which one of the others wrote, may be read only
 * after: named so that no use moves above. */
template <int LEFT, int N> __device__ __forceinline__ void wgmma_wait(float (&x)[N][4]) {
  hopper__mma_wait<LEFT>();
#pragma unroll
  for (int i = 0; i < 4 * N; i++) asm volatile("" : "+f"(x[i / 4][i % 4])::"memory");
}

/* Matrix descriptor, 128-byte swizzle: groups of 8 rows 1024 bytes apart; turned matrices also
 * step from panel to panel (ignored by the others). */
__device__ __forceinline__ uint64_t matrix(uint32_t at) {
  return hopper__matrix<1, 1024, PANEL>(at);
}

template <int D>
__device__ __forceinline__ void issue_scores(float (&s)[8][4], const uint32_t q[D / 16][4],
                                             uint32_t keys) {
  hopper__mma_fence();
#pragma unroll
  for (int i = 0; i < D / 16; i++) /* 16 dims are 32 bytes of the row */
    wgmma<0>(s, q[i], matrix(keys + i / 4 * PANEL + i % 4 * 32), i > 0);
  hopper__mma_commit();
}

template <int D>
__device__ __forceinline__ void issue_product(float (&o)[D / 8][4], const uint32_t p[4][4],
                                              uint32_t values) {
  hopper__mma_fence();
#pragma unroll
  for (int i = 0; i < 4; i++) /* 16 keys are 16 rows of 128 bytes */
    wgmma<1>(o, p[i], matrix(values + i * 2048), 1);
  hopper__mma_commit();
}

#endif /* sm_90a */

/* ---- the kernel -------------------------------------------------------------------------- */

template <int D> struct prefill_ring {
  enum { HALF = ATTEND_KEYS * D * 2 };
  char tile[PREFILL_RING][2 * HALF]; /* keys, values */
  uint64_t full[PREFILL_RING], empty[PREFILL_RING];
};

/* A block's work. */
typedef struct prefill_work {
  int n, kv_len, head, kv, token0, tiles;
} prefill_work;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Tile j's slot and the parity of its use. */
__device__ __forceinline__ void ring_await_full(uint64_t *full, int j) {
  hopper__mbarrier_await(full + j % PREFILL_RING, j / PREFILL_RING & 1);
}

/* Tile j to its slot, by the producers; slots from `slots` on are zeros. */
template <int D>
__device__ __forceinline__ void ring_request(const cuda_attend &a, prefill_ring<D> &s, int kv,
                                             int j, int slots, int thread) {
  enum { CHUNKS = D / 8, ROWS = PREFILL_PRODUCERS / CHUNKS, HALF = prefill_ring<D>::HALF };
  static_assert(ROWS % 8 == 0, "a thread's rows lie alike");
  const int row = thread / CHUNKS, chunk = thread % CHUNKS, slot = j * ATTEND_KEYS + row;
  const size_t from = ((size_t)kv * a.slots + slot) * D + 8 * chunk;
  const __half *keys = (const __half *)a.keys + from, *values = (const __half *)a.values + from;
  char *to = s.tile[j % PREFILL_RING] + panel_at(row, chunk);
  if ((j + 1) * ATTEND_KEYS <= slots) {
#pragma unroll
    for (int i = 0; i < ATTEND_KEYS / ROWS; i++) {
      device__copy16(to + i * ROWS * 128, keys + i * ROWS * D);
      device__copy16(to + i * ROWS * 128 + HALF, values + i * ROWS * D);
    }
    return device__copy_commit();
  }
  for (int i = 0; i < ATTEND_KEYS / ROWS; i++) {
    if (slot + i * ROWS < slots) {
      device__copy16(to + i * ROWS * 128, keys + i * ROWS * D);
      device__copy16(to + i * ROWS * 128 + HALF, values + i * ROWS * D);
    } else {
      *(uint4 *)(to + i * ROWS * 128) = make_uint4(0, 0, 0, 0);
      *(uint4 *)(to + i * ROWS * 128 + HALF) = make_uint4(0, 0, 0, 0);
    }
  }
  device__copy_commit();
}

/* This thread's part of tile j is there: for wgmma too. */
__device__ __forceinline__ void ring_hand_over(uint64_t *full, int j) {
  hopper__fence_async();
  hopper__mbarrier_arrive(full + j % PREFILL_RING);
}

template <int D>
__device__ __forceinline__ void prefill_produce(const cuda_attend &a, prefill_ring<D> &s,
                                                const prefill_work &w, int thread) {
  bool waited = false; /* committed tiles are requested before */
  for (int j = 0; j < w.tiles; j++) {
    if (!waited && (j + 1) * ATTEND_KEYS > w.kv_len) {
      device__wait();
      device__trigger();
      waited = true;
    }
    if (j >= PREFILL_RING)
      hopper__mbarrier_await(s.empty + j % PREFILL_RING, (j / PREFILL_RING - 1) & 1);
    ring_request<D>(a, s, w.kv, j, w.kv_len + w.n, thread);
    if (j < PREFILL_LAG) continue;
    device__copy_wait<PREFILL_LAG>();
    ring_hand_over(s.full, j - PREFILL_LAG);
  }
  device__copy_wait<0>();
  for (int j = max(0, w.tiles - PREFILL_LAG); j < w.tiles; j++) ring_hand_over(s.full, j);
}

/* S of a tile to probabilities (times 2^m); m and l of the two rows go on; by: what o is to be
 * multiplied with. MASKED: keys below valid stay. l is this lane's part of the row. No branches. */
template <bool MASKED>
__device__ __forceinline__ void prefill_soften(float (&s)[8][4], float m[2], float l[2],
                                               float by[2], const int valid[2], float scale,
                                               int c) {
  if (MASKED) {
#pragma unroll
    for (int i = 0; i < 32; i++)
      s[i / 4][i % 4] = 8 * (i / 4) + 2 * c + i % 2 >= valid[i % 4 / 2] ? -INFINITY
                                                                        : s[i / 4][i % 4];
  }
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float most[2] = {s[0][2 * h], s[0][2 * h + 1]}, sum[2] = {0.f, 0.f};
#pragma unroll
    for (int i = 2; i < 16; i++) most[i % 2] = fmaxf(most[i % 2], s[i / 2][2 * h + i % 2]);
    float x = fmaxf(most[0], most[1]);
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
    x = fmaxf(m[h], x * scale); /* finite: every row has key 0 */
    by[h] = attend__exp2(m[h] - x);
    m[h] = x;
#pragma unroll
    for (int i = 0; i < 16; i++) {
      float &y = s[i / 2][2 * h + i % 2];
      y = attend__exp2(__fmaf_rn(y, scale, -x));
      sum[i % 2] += y;
    }
    l[h] = l[h] * by[h] + (sum[0] + sum[1]);
  }
}

__device__ __forceinline__ void prefill_pack(uint32_t (&p)[4][4], const float (&s)[8][4]) {
#pragma unroll
  for (int i = 0; i < 16; i++)
    p[i / 4][i % 4] = attend__pair(s[i / 4 * 2 + i % 4 / 2][i % 2 * 2],
                                   s[i / 4 * 2 + i % 4 / 2][i % 2 * 2 + 1]);
}

/* What a lane has of its two rows, token and token + 8 of its warp's. */
template <int D> struct prefill_rows_state {
  uint32_t q[D / 16][4], p[4][4]; /* A operands; p: of the last tile that was softened */
  float s[8][4], o[D / 8][4], m[2], l[2], by[2];
};

/* P v of tile j, and tile j + 1 up to its P. keys: what the first row has. */
template <int D, bool MASKED>
__device__ __forceinline__ void prefill_step(prefill_ring<D> &s, prefill_rows_state<D> &r, int j,
                                             int keys, float scale, int lane) {
  const int left = keys - (j + 1) * ATTEND_KEYS, valid[2] = {left, left + 8};
  const uint32_t now = device__shared_address(s.tile[j % PREFILL_RING]);
  const uint32_t next = device__shared_address(s.tile[(j + 1) % PREFILL_RING]);
  ring_await_full(s.full, j + 1);
  issue_scores<D>(r.s, r.q, next);
  issue_product<D>(r.o, r.p, now + prefill_ring<D>::HALF);
  wgmma_wait<1>(r.s);
  prefill_soften<MASKED>(r.s, r.m, r.l, r.by, valid, scale, lane & 3);
  wgmma_wait<0>(r.o);
  prefill_pack(r.p, r.s);
#pragma unroll
  for (int i = 0; i < D / 2; i++) r.o[i / 4][i % 4] *= r.by[i % 4 / 2];
  if (lane == 0) hopper__mbarrier_arrive(s.empty + j % PREFILL_RING);
}

/* A warpgroup's rows. */
template <int D>
__device__ __forceinline__ void prefill_consume(const cuda_attend &a, prefill_ring<D> &s,
                                                const prefill_work &w, float scale, int warp,
                                                int lane) {
  const int c = lane & 3, token = w.token0 + 16 * warp + (lane >> 2); /* and it + 8 */
  device__wait();
  device__trigger();
  prefill_rows_state<D> r;
#pragma unroll
  for (int h = 0; h < 2; h++)
    attend__query<D>(r.q, h, a.q + ((size_t)min(token + 8 * h, w.n - 1) * a.heads + w.head) * D,
                     token + 8 * h < w.n, c);
  const int first = w.kv_len + w.token0 + warp / 4 * 64; /* keys before the first row's own */
  const int mine = min(w.tiles, (first + 64 + ATTEND_KEYS - 1) / ATTEND_KEYS);
  const int whole = min(mine, (first + 1) / ATTEND_KEYS); /* tiles that need no mask */
  const int keys = w.kv_len + token + 1, valid[2] = {keys, keys + 8};
  r.m[0] = r.m[1] = -INFINITY;
  r.l[0] = r.l[1] = 0.f;
#pragma unroll
  for (int i = 0; i < D / 2; i++) r.o[i / 4][i % 4] = 0.f;

  ring_await_full(s.full, 0);
  issue_scores<D>(r.s, r.q, device__shared_address(s.tile[0]));
  wgmma_wait<0>(r.s);
  prefill_soften<true>(r.s, r.m, r.l, r.by, valid, scale, c);
  prefill_pack(r.p, r.s);
  int j = 0;
#pragma unroll 1
  for (; j + 1 < whole; j++) prefill_step<D, false>(s, r, j, keys, scale, lane);
#pragma unroll 1
  for (; j + 1 < mine; j++) prefill_step<D, true>(s, r, j, keys, scale, lane);
  issue_product<D>(r.o, r.p,
                   device__shared_address(s.tile[j % PREFILL_RING]) + prefill_ring<D>::HALF);
  wgmma_wait<0>(r.o);
  prefill_store<D>(a, r.o, r.l, token, w.n, w.head, c);
}

#endif /* sm_90a */

/* Block (head, tokens from the end). */
template <int D>
__global__ void __launch_bounds__(PREFILL_CONSUMERS + PREFILL_PRODUCERS, 1)
  attend_prefill_wgmma(const __grid_constant__ cuda_attend a, float scale) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char prefill_ring_memory[];
  prefill_ring<D> &s = *(prefill_ring<D> *)prefill_ring_memory;
  prefill_work w;
  w.n = a.step->n, w.kv_len = a.step->kv_len;
  w.head = blockIdx.x, w.kv = w.head / (a.heads / a.kv_heads);
  w.token0 = (gridDim.y - 1 - blockIdx.y) * PREFILL_TOKENS;
  if (w.token0 >= w.n) {
    device__wait();
    device__trigger();
    return;
  }
  w.tiles = (w.kv_len + min(w.n, w.token0 + PREFILL_TOKENS) + ATTEND_KEYS - 1) / ATTEND_KEYS;
  if (threadIdx.x == 0) {
    for (int i = 0; i < PREFILL_RING; i++) {
      hopper__mbarrier_init(s.full + i, PREFILL_PRODUCERS);
      hopper__mbarrier_init(s.empty + i, PREFILL_CONSUMERS / 32);
    }
  }
  __syncthreads();
  const int warp = __shfl_sync(0xffffffffu, threadIdx.x >> 5, 0), lane = threadIdx.x & 31;
  if (warp >= PREFILL_CONSUMERS / 32) {
    hopper__fewer_registers<40>();
    prefill_produce<D>(a, s, w, threadIdx.x - PREFILL_CONSUMERS);
  } else {
    hopper__more_registers<232>();
    prefill_consume<D>(a, s, w, scale, warp, lane);
  }
#endif
}

template <int D>
static cudaError_t attend_prefill_hopper(const cuda_device *d, const cuda_attend *a, dim3 grid,
                                         float scale) {
  return attend__launch(d, attend_prefill_wgmma<D>, grid, PREFILL_CONSUMERS + PREFILL_PRODUCERS,
                        sizeof(prefill_ring<D>), *a, scale);
}

#endif
