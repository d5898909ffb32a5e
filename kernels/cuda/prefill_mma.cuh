/* prefill_mma.cuh - products of many tokens before Hopper.
 *
 * A block of 128 rows by 128 tokens, 8 warps of 32 rows by 64 tokens: mma.m16n8k16 with 64 f32
 * sums a lane. Weights (a unit of each of 8 tiles) and activations (LAYOUT_MMA, 64 columns) come
 * through a ring in shared memory with cp.async, as they lie in device memory; every read from
 * there is 16 bytes a lane on end. A lane's 16 bytes of activations are B of two steps, in
 * fragment<KIND>'s order of columns. Two blocks of 32 KB stages would not fit the 100 KB of an
 * sm_86 or sm_89 multiprocessor: one runs, several stages deep. */
#ifndef FIMD_KERNELS_PREFILL_MMA_CUH
#define FIMD_KERNELS_PREFILL_MMA_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/prefill.cuh"

enum {
  PREFILL_MMA_THREADS = 256,
  PREFILL_MMA_TOKENS = 128,
  PREFILL_MMA_BLOCK = PREFILL_MMA_TOKENS * 64, /* bytes of 32 columns of activations */
};

template <int KIND> struct prefill_mma_shared {
  enum { STAGES = KIND == CUDA_F16 || KIND == CUDA_Q8 ? 3 : 4 };
  struct {
    char b[2][PREFILL_MMA_BLOCK];
    char a[PREFILL_TILES][fragment<KIND>::BYTES];
  } stage[STAGES];
  float rms[PREFILL_MMA_TOKENS];
};

static_assert(sizeof(prefill_mma_shared<CUDA_F16>) <= 99 * 1024 &&
                sizeof(prefill_mma_shared<CUDA_Q8>) <= 99 * 1024 &&
                sizeof(prefill_mma_shared<CUDA_Q6>) <= 99 * 1024,
              "what a block may have of shared memory");

/* Unit u of a block's tiles and tokens to a stage. Rows of tiles that there are not are whatever
 * the stage had. */
template <int KIND>
__device__ __forceinline__ void prefill__mma_load(const cuda_gemm &g, prefill_mma_shared<KIND> &s,
                                                  prefill_place place, int u, int at) {
  enum { CHUNKS = fragment<KIND>::BYTES / 16, BLOCK = PREFILL_MMA_BLOCK / 16 };
  int tile = place.row * PREFILL_TILES, tiles = min((int)PREFILL_TILES, g.tiles - tile);
  const char *w = (const char *)g.w + ((size_t)tile * g.units + u) * fragment<KIND>::BYTES;
  for (int i = threadIdx.x; i < tiles * CHUNKS; i += PREFILL_MMA_THREADS) {
    int row = i / CHUNKS, chunk = i - row * CHUNKS;
    device__copy16(&s.stage[at].a[row][chunk * 16],
                   w + (size_t)row * g.units * fragment<KIND>::BYTES + chunk * 16);
  }
  int group = place.token * (PREFILL_MMA_TOKENS / 8);
#pragma unroll
  for (int i = threadIdx.x; i < 2 * BLOCK; i += PREFILL_MMA_THREADS) {
    int block = i / BLOCK, chunk = i % BLOCK;
    const char *b = (const char *)g.b + ((size_t)(2 * u + block) * g.groups + group) * 512;
    device__copy16(&s.stage[at].b[block][chunk * 16], b + chunk * 16);
  }
}

/* sum[tile][group][4] += a unit; a, b: this warp's first tile and group. */
template <int KIND>
__device__ __forceinline__ void prefill__mma_unit(float (&sum)[2][PREFILL_GROUPS][4],
                                                  const char *a, const char *b, int lane) {
  fragment<KIND> weights[2];
#pragma unroll
  for (int i = 0; i < 2; i++)
    weights[i].template load<fragment_shared>(a + i * fragment<KIND>::BYTES, lane);
#pragma unroll
  for (int block = 0; block < 2; block++) {
    uint32_t w[2][2][4];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      weights[i].get(block, 0, w[i][0]);
      weights[i].get(block, 1, w[i][1]);
    }
#pragma unroll
    for (int j = 0; j < PREFILL_GROUPS; j++) {
      uint4 q = *(const uint4 *)(b + block * PREFILL_MMA_BLOCK + j * 512 + lane * 16);
#pragma unroll
      for (int i = 0; i < 2; i++) {
        device__mma(sum[i][j], w[i][0][0], w[i][0][1], w[i][0][2], w[i][0][3], q.x, q.y);
        device__mma(sum[i][j], w[i][1][0], w[i][1][1], w[i][1][2], w[i][1][3], q.z, q.w);
      }
    }
  }
}

/* grid: a block each. */
template <int KIND, int OP>
__global__ void __launch_bounds__(PREFILL_MMA_THREADS, 1)
  prefill__mma_kernel(const __grid_constant__ cuda_gemm g) {
  enum { STAGES = prefill_mma_shared<KIND>::STAGES };
  extern __shared__ __align__(1024) char prefill_memory[];
  prefill_mma_shared<KIND> &s = *(prefill_mma_shared<KIND> *)prefill_memory;
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int row_blocks = (g.tiles + PREFILL_TILES - 1) / PREFILL_TILES;
  prefill_place place =
    prefill__place(blockIdx.x, row_blocks, g.groups / (PREFILL_MMA_TOKENS / 8));
  int tile = 2 * (warp >> 1), group = (warp & 1) * PREFILL_GROUPS; /* in the block */

  device__wait();
  device__trigger();
  int n = *g.count;
#pragma unroll
  for (int u = 0; u < STAGES - 1; u++) {
    if (u < g.units) prefill__mma_load<KIND>(g, s, place, u, u);
    device__copy_commit();
  }
  if (g.ss && threadIdx.x < PREFILL_MMA_TOKENS)
    s.rms[threadIdx.x] =
      prefill__inverse_rms(g, place.token * PREFILL_MMA_TOKENS + (int)threadIdx.x, n);

  float sum[2][PREFILL_GROUPS][4] = {};
  int at = 0;
  for (int u = 0; u < g.units; u++) {
    device__copy_wait<STAGES - 2>();
    __syncthreads(); /* unit u has arrived, unit u - 1 is done with */
    int next = u + STAGES - 1;
    if (next < g.units)
      prefill__mma_load<KIND>(g, s, place, next, at == 0 ? STAGES - 1 : at - 1);
    device__copy_commit();
    prefill__mma_unit<KIND>(sum, s.stage[at].a[tile], s.stage[at].b[0] + group * 512, lane);
    at = at + 1 == STAGES ? 0 : at + 1;
  }
  /* Nothing is left to wait for but s.rms, which the barriers above have shown to all. */
  group += place.token * (PREFILL_MMA_TOKENS / 8);
  tile += place.row * PREFILL_TILES;
  const float *rms = g.ss ? s.rms + (warp & 1) * PREFILL_GROUPS * 8 : NULL;
  prefill_packed packed = {g.packed, 0, 0, g.groups};
#pragma unroll
  for (int i = 0; i < 2; i++)
    if (tile + i < g.tiles) {
      prefill_rows rows = prefill__rows<OP>(g, g.tile0 + tile + i, lane);
      float in[4 * PREFILL_GROUPS];
      prefill__fetch<OP>(g, rows, group, lane, n, in);
      prefill__finish<OP, LAYOUT_MMA>(g, rows, group, lane, n, &sum[i][0][0], rms, in, packed);
    }
}

template <int KIND, int OP>
cudaError_t prefill__launch_mma(const cuda_device *d, const cuda_gemm *g) {
  int row_blocks = (g->tiles + PREFILL_TILES - 1) / PREFILL_TILES;
  launch_config c(d, dim3(row_blocks * (g->groups / (PREFILL_MMA_TOKENS / 8))),
                  PREFILL_MMA_THREADS, (int)sizeof(prefill_mma_shared<KIND>));
  return c.launch(prefill__mma_kernel<KIND, OP>, *g);
}

#endif
