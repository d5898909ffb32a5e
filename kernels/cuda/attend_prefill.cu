/* attend_prefill.cu - causal attention of many tokens: a running softmax over tiles of keys.
 *
 * A block takes 128 tokens of one head: two groups of 4 warps, 64 tokens each, a warp 16. q is in
 * registers as the A operand. Tiles of 64 keys and values come to shared memory by cp.async, three
 * stages, and are used by all 8 warps; S's accumulators, softened and packed to f16, are P's A
 * operand. Blocks of the last tokens (most keys) start first, heads of a kv head side by side.
 *
 * Hopper: wgmma with A in registers. While the tensor cores make S of tile j + 1, the warps soften
 * tile j; then P v of tile j is issued. Elsewhere: mma.m16n8k16, whose fragments are the same.
 *
 * A tile in shared memory is head_dim / 64 panels of 64 rows by 64 dims, 128 bytes a row, chunk c
 * (16 bytes) of row r at c ^ (r % 8): both wgmma's 128-byte swizzle and free of conflicts for
 * ldmatrix. Slots that were never written are zeros: their P is 0, but 0 times NaN is not. */
#include <math.h>

#include "kernels/cuda/attend.cuh"

enum { TOKENS = 128, WARPS = 8, STAGES = 3, PANEL = ATTEND_KEYS * 128 /* bytes */ };

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define PREFILL_WGMMA 1
#else
#define PREFILL_WGMMA 0
#endif

__device__ __forceinline__ uint32_t panel_at(int row, int chunk) {
  return (uint32_t)((chunk >> 3) * PANEL + row * 128 + (((chunk ^ row) & 7) << 4));
}

/* ---- wgmma ------------------------------------------------------------------------------- */

#if PREFILL_WGMMA
/* d[64, 64] += (or, with add 0, =) a[64, 16] b[16, 64]. */
template <int TURNED>
__device__ __forceinline__ void wgmma(float (&d)[8][4], const uint32_t a[4], uint64_t b, int add) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,"
               "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
               "{%32,%33,%34,%35}, %36, p, 1, 1, %38; }"
               : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]),
                 "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]),
                 "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
                 "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]),
                 "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]),
                 "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
                 "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
                 "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3])
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
               : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]),
                 "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]),
                 "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
                 "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]),
                 "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]),
                 "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
                 "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
                 "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]),
                 "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]), "+f"(d[8][3]),
                 "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]),
                 "+f"(d[10][0]), "+f"(d[10][1]), "+f"(d[10][2]), "+f"(d[10][3]),
                 "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]),
                 "+f"(d[12][0]), "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]),
                 "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]), "+f"(d[13][3]),
                 "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]),
                 "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(TURNED));
}

__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Waits for all; what they wrote may be read only after: named so that no use moves above. */
template <int N, int M>
__device__ __forceinline__ void wgmma_wait(float (&x)[N][4], float (&y)[M][4]) {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
  for (int i = 0; i < 4 * N; i++) asm volatile("" : "+f"(x[i / 4][i % 4])::"memory");
#pragma unroll
  for (int i = 0; i < 4 * M; i++) asm volatile("" : "+f"(y[i / 4][i % 4])::"memory");
}

/* Matrix descriptor, 128-byte swizzle: groups of 8 rows 1024 bytes apart; turned matrices also
 * step from panel to panel (ignored by the others). */
__device__ __forceinline__ uint64_t matrix(uint32_t at) {
  return (uint64_t)((at & 0x3ffff) >> 4) | (uint64_t)(PANEL >> 4) << 16 |
         (uint64_t)(1024 >> 4) << 32 | 1ull << 62;
}

template <int D>
__device__ __forceinline__ void issue_scores(float (&s)[8][4], const uint32_t q[D / 16][4],
                                             uint32_t keys) {
  wgmma_fence();
#pragma unroll
  for (int i = 0; i < D / 16; i++) /* 16 dims are 32 bytes of the row */
    wgmma<0>(s, q[i], matrix(keys + i / 4 * PANEL + i % 4 * 32), i > 0);
  wgmma_commit();
}

template <int D>
__device__ __forceinline__ void issue_product(float (&o)[D / 8][4], const uint32_t p[4][4],
                                              uint32_t values) {
  wgmma_fence();
#pragma unroll
  for (int i = 0; i < 4; i++) /* 16 keys are 16 rows of 128 bytes */
    wgmma<1>(o, p[i], matrix(values + i * 2048), 1);
  wgmma_commit();
}
#endif

/* ---- mma --------------------------------------------------------------------------------- */

template <int D>
__device__ __forceinline__ void scores(float s[8][4], const uint32_t q[D / 16][4], uint32_t keys,
                                       int lane) {
#pragma unroll
  for (int i = 0; i < 32; i++) s[i / 4][i % 4] = 0.f;
#pragma unroll
  for (int kb = 0; kb < D / 32; kb++) {
#pragma unroll
    for (int half = 0; half < 8; half += 4) {
      uint32_t r[4][4];
#pragma unroll
      for (int i = 0; i < 4; i++)
        attend__load(r[i], keys + panel_at(8 * (half + i) + (lane & 7), 4 * kb + (lane >> 3)));
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const uint32_t *x = q[2 * kb + i / 4], *k = r[i % 4] + i / 4 * 2;
        device__mma(s[half + i % 4], x[0], x[1], x[2], x[3], k[0], k[1]);
      }
    }
  }
}

template <int D>
__device__ __forceinline__ void product(float o[D / 8][4], const uint32_t p[4][4], uint32_t values,
                                        int lane) {
#pragma unroll
  for (int k2 = 0; k2 < 2; k2++) {
#pragma unroll
    for (int db = 0; db < D / 8; db += 4) {
      uint32_t r[4][4];
#pragma unroll
      for (int i = 0; i < 4; i++)
        attend__load_turned(r[i], values + panel_at(32 * k2 + lane, db + i));
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const uint32_t *x = p[2 * k2 + i / 4], *v = r[i % 4] + i / 4 * 2;
        device__mma(o[db + i % 4], x[0], x[1], x[2], x[3], v[0], v[1]);
      }
    }
  }
}

/* ---- softmax ----------------------------------------------------------------------------- */

/* S of a tile to P, its A operand; m and l of the two rows go on; a: what o is to be multiplied
 * with. valid: how many of the tile's keys the rows have. l is this lane's part of the row. */
__device__ __forceinline__ void soften(float s[8][4], uint32_t p[4][4], float m[2], float l[2],
                                       float a[2], const int valid[2], float scale, int c) {
  if (valid[0] < ATTEND_KEYS || valid[1] < ATTEND_KEYS) {
#pragma unroll
    for (int i = 0; i < 32; i++)
      if (8 * (i / 4) + 2 * c + i % 2 >= valid[i % 4 / 2]) s[i / 4][i % 4] = -INFINITY;
  }
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float most = fmaxf(s[0][2 * h], s[0][2 * h + 1]), sum = 0;
#pragma unroll
    for (int i = 1; i < 8; i++) most = fmaxf(most, fmaxf(s[i][2 * h], s[i][2 * h + 1]));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    most = fmaxf(m[h], most * scale); /* finite: every row has key 0 */
    a[h] = attend__exp2(m[h] - most);
    m[h] = most;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float x = attend__exp2(__fmaf_rn(s[i][2 * h], scale, -most));
      float y = attend__exp2(__fmaf_rn(s[i][2 * h + 1], scale, -most));
      sum += x + y;
      p[i / 2][h + i % 2 * 2] = attend__pair(x, y);
    }
    l[h] = l[h] * a[h] + sum;
  }
}

/* ---- the kernel -------------------------------------------------------------------------- */

/* Tile `tile` to a stage: keys, then values; slots from `slots` on are zeros. */
template <int D>
__device__ __forceinline__ void request_tile(const cuda_attend &a, char *shared, int kv, int tile,
                                             int slots) {
  char *stage = shared + tile % STAGES * (2 * ATTEND_KEYS * D * 2);
#pragma unroll
  for (int i = threadIdx.x; i < ATTEND_KEYS * D / 8; i += 32 * WARPS) {
    int row = i / (D / 8), chunk = i % (D / 8), slot = tile * ATTEND_KEYS + row;
    char *to = stage + panel_at(row, chunk);
    if (slot < slots) {
      size_t from = ((size_t)kv * a.slots + slot) * D + 8 * chunk;
      device__copy16(to, (const __half *)a.keys + from);
      device__copy16(to + ATTEND_KEYS * D * 2, (const __half *)a.values + from);
    } else {
      *(uint4 *)to = *(uint4 *)(to + ATTEND_KEYS * D * 2) = make_uint4(0, 0, 0, 0);
    }
  }
  device__copy_commit();
}

/* o / l of rows token and token + 8, to the packed layout: of 32 columns, lane c has 2 c, 2 c + 1
 * of every 8, which are 16 bytes in a row in LAYOUT_WGMMA. */
template <int D>
__device__ __forceinline__ void store(const cuda_attend &a, const float o[D / 8][4],
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

/* Block (head, tokens from the end). */
template <int D>
__global__ void __launch_bounds__(32 * WARPS, 1) attend_prefill(cuda_attend a, float scale) {
  extern __shared__ __align__(1024) char attend_shared[];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, c = lane & 3;
  const int n = a.step->n, kv_len = a.step->kv_len, head = blockIdx.x;
  const int kv = head / (a.heads / a.kv_heads);
  const int token0 = (gridDim.y - 1 - blockIdx.y) * TOKENS, end = min(n, token0 + TOKENS);
  if (token0 >= n) {
    device__wait();
    device__trigger();
    return;
  }
  const int tiles = (kv_len + end + ATTEND_KEYS - 1) / ATTEND_KEYS;
  int issued = 0;
  for (; issued < 2 && (issued + 1) * ATTEND_KEYS <= kv_len; issued++)
    request_tile<D>(a, attend_shared, kv, issued, kv_len);
  device__wait();
  device__trigger();
  for (; issued < 2 && issued < tiles; issued++)
    request_tile<D>(a, attend_shared, kv, issued, kv_len + n);

  const int token = token0 + 16 * warp + (lane >> 2); /* this lane's rows: it and it + 8 */
  uint32_t q[D / 16][4], p[4][4];
#pragma unroll
  for (int h = 0; h < 2; h++)
    attend__query<D>(q, h, token + 8 * h < n
                     ? a.q + ((size_t)(token + 8 * h) * a.heads + head) * D : NULL, c);
  /* Of the group of 4 warps; its last tokens may not be there. */
  const int last = kv_len + token0 + 64 * (warp / 4 + 1);
  const int mine = min(tiles, (last + ATTEND_KEYS - 1) / ATTEND_KEYS);
  const uint32_t shared = (uint32_t)__cvta_generic_to_shared(attend_shared);
  const uint32_t half_stage = ATTEND_KEYS * D * 2;
  float s[8][4], o[D / 8][4] = {}, m[2] = {-INFINITY, -INFINITY}, l[2] = {}, by[2];
#if PREFILL_WGMMA
  float next[8][4];
  if (tiles > 1) device__copy_wait<1>();
  else device__copy_wait<0>();
  asm volatile("fence.proxy.async;" ::: "memory");
  __syncthreads();
  issue_scores<D>(s, q, shared);
  wgmma_wait(s, o);
#endif
#pragma unroll 1
  for (int j = 0; j < tiles; j++) {
    const uint32_t stage = shared + j % STAGES * 2 * half_stage;
    device__copy_wait<0>();
#if PREFILL_WGMMA
    asm volatile("fence.proxy.async;" ::: "memory");
#endif
    __syncthreads(); /* tile j + 1 is there, tile j - 1 done with */
    if (j + 2 < tiles) request_tile<D>(a, attend_shared, kv, j + 2, kv_len + n);
    if (j >= mine) continue;
    const int valid[2] = {kv_len + token + 1 - j * ATTEND_KEYS,
                          kv_len + token + 9 - j * ATTEND_KEYS};
#if PREFILL_WGMMA
    /* After the last tile S is of no use, but cheaper than a branch around what is in flight. */
    const int ahead = j + 1 < mine ? j + 1 : j;
    issue_scores<D>(next, q, shared + ahead % STAGES * 2 * half_stage);
#else
    scores<D>(s, q, stage, lane);
#endif
    soften(s, p, m, l, by, valid, scale, c);
#pragma unroll
    for (int i = 0; i < D / 2; i++) o[i / 4][i % 4] *= by[i % 4 / 2];
#if PREFILL_WGMMA
    issue_product<D>(o, p, stage + half_stage);
    wgmma_wait(next, o);
#pragma unroll
    for (int i = 0; i < 32; i++) s[i / 4][i % 4] = next[i / 4][i % 4];
#else
    product<D>(o, p, stage + half_stage, lane);
#endif
  }
  store<D>(a, o, l, token, n, head, c);
}

template <int D> static cudaError_t prefill_run(const cuda_device *d, const cuda_attend *a) {
  dim3 grid((unsigned)a->heads, (unsigned)((a->n + TOKENS - 1) / TOKENS));
  float scale = (float)(1.4426950408889634 / sqrt((double)D));
  return attend__launch(d, attend_prefill<D>, grid, 32 * WARPS, STAGES * 2 * ATTEND_KEYS * D * 2,
                        *a, scale);
}

cudaError_t cuda__attend_prefill(const cuda_device *d, const cuda_attend *a) {
  if (a->n < 1) return cudaErrorInvalidValue;
  if (a->head_dim == 64) return prefill_run<64>(d, a);
  if (a->head_dim == 128) return prefill_run<128>(d, a);
  return cudaErrorInvalidValue;
}
