/* attend_prefill.cu - causal attention of many tokens: a running softmax over tiles of keys. Hopper
 * has its own kernel, in attend_prefill_wgmma.cuh; this is for all other cards.
 *
 * A block takes 128 tokens of one head, a warp 16. q is in registers as the A operand. Tiles of 64
 * keys and values come to shared memory by cp.async, three stages, and are used by all 8 warps;
 * S's accumulators, softened and packed to f16, are P's A operand. Blocks of the last tokens (most
 * keys) start first, heads of a kv head side by side.
 *
 * A tile in shared memory is head_dim / 64 panels of 64 rows by 64 dims, 128 bytes a row, chunk c
 * (16 bytes) of row r at c ^ (r % 8): free of conflicts for ldmatrix. Slots that were never written
 * are zeros: their P is 0, but 0 times NaN is not. */
#include <math.h>

#include "kernels/cuda/attend_prefill_wgmma.cuh"

enum { TOKENS = 128, WARPS = 8, STAGES = 3 };

/* ---- mma --------------------------------------------------------------------------------- */

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
    attend__query<D>(q, h, a.q + ((size_t)min(token + 8 * h, n - 1) * a.heads + head) * D,
                     token + 8 * h < n, c);
  /* Of the group of 4 warps; its last tokens may not be there. */
  const int last = kv_len + token0 + 64 * (warp / 4 + 1);
  const int mine = min(tiles, (last + ATTEND_KEYS - 1) / ATTEND_KEYS);
  const uint32_t shared = device__shared_address(attend_shared);
  const uint32_t half_stage = ATTEND_KEYS * D * 2;
  float s[8][4], o[D / 8][4] = {}, m[2] = {-INFINITY, -INFINITY}, l[2] = {}, by[2];
#pragma unroll 1
  for (int j = 0; j < tiles; j++) {
    const uint32_t stage = shared + j % STAGES * 2 * half_stage;
    device__copy_wait<0>();
    __syncthreads(); /* tile j + 1 is there, tile j - 1 done with */
    if (j + 2 < tiles) request_tile<D>(a, attend_shared, kv, j + 2, kv_len + n);
    if (j >= mine) continue;
    const int valid[2] = {kv_len + token + 1 - j * ATTEND_KEYS,
                          kv_len + token + 9 - j * ATTEND_KEYS};
    attend__scores<D, panel_at>(s, q, stage, lane);
    soften(s, p, m, l, by, valid, scale, c);
#pragma unroll
    for (int i = 0; i < D / 2; i++) o[i / 4][i % 4] *= by[i % 4 / 2];
    product<D>(o, p, stage + half_stage, lane);
  }
  prefill_store<D>(a, o, l, token, n, head, c);
}

template <int D> static cudaError_t prefill_run(const cuda_device *d, const cuda_attend *a) {
  dim3 grid((unsigned)a->heads, (unsigned)((a->n + TOKENS - 1) / TOKENS));
  float scale = (float)(1.4426950408889634 / sqrt((double)D));
  if (d->hopper) return attend_prefill_hopper<D>(d, a, grid, scale);
  return attend__launch(d, attend_prefill<D>, grid, 32 * WARPS, STAGES * 2 * ATTEND_KEYS * D * 2,
                        *a, scale);
}

cudaError_t cuda__attend_prefill(const cuda_device *d, const cuda_attend *a) {
  if (a->n < 1) return cudaErrorInvalidValue;
  if (a->head_dim == 64) return prefill_run<64>(d, a);
  if (a->head_dim == 128) return prefill_run<128>(d, a);
  return cudaErrorInvalidValue;
}
