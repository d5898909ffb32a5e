/* gemm.cuh - products of 1 to 128 tokens, at the speed at which weights can be read.
 *
 * Both kernels add up alike, so that a token's sums do not depend on how many tokens there are:
 * the columns are 8 slices of whole units; within a slice one chain of mma.m16n8k16 in ascending
 * order, from zero; the slices' sums are added in f32, ascending. What differs is who does it.
 *
 * gemm__narrow, up to 8 tokens (more only where there is no wgmma): a block's 8 warps are the
 * 8 slices of a tile, which stream it straight into registers, several units ahead, and go on to
 * the block's next tile without a stop. A ninth warp takes the sums from shared memory, adds them
 * up and finishes; what it needs for that it has asked for before. Blocks: one per
 * multiprocessor.
 *
 * gemm__wide (gemm_wide.cuh), 16 to 128 tokens on Hopper: a block's wgmmas take 128 rows by up
 * to 64 tokens, from a ring in shared memory. Either it walks over all slices, or the blocks of a
 * cluster share them out.
 *
 * Both ask for their first weights before device__wait(): while the launch before still runs. */
#ifndef FIMD_KERNELS_GEMM_CUH
#define FIMD_KERNELS_GEMM_CUH

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/launch.cuh"

/* Units in flight a warp, with their activations: what fits the registers. Fewer are slower, and so
 * are more with their activations asked for later (NOTES.md). */
template <int KIND> struct gemm_depth { enum { UNITS = 4 }; };
template <> struct gemm_depth<CUDA_F16> { enum { UNITS = 3 }; };
template <> struct gemm_depth<CUDA_Q4> { enum { UNITS = 5 }; };
template <> struct gemm_depth<CUDA_Q4M> { enum { UNITS = 5 }; };

enum { GEMM_THREADS = (CUDA_SLICES + 1) * 32, GEMM_STREAMS = CUDA_SLICES * 32 };
/* A thread's. At most 96 would let two blocks share a multiprocessor (18 warps are 5 for one of its
 * four parts), and the next launch begin earlier; what was measured of that is in NOTES.md. */
enum { GEMM_REGISTERS = 112 };

__device__ __forceinline__ int gemm__slice_start(int slice, int units) {
  return (int)((long long)slice * units / CUDA_SLICES);
}

__device__ __forceinline__ float4 gemm__add(float4 a, float4 b) {
  return make_float4(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z),
                     __fadd_rn(a.w, b.w));
}

/* rms[i] of tokens first + i, i < count, by `warps` warps, this being number `warp`. A lane sums
 * tiles lane, lane + 32, ... ascending; then the lanes are added by halves. */
__device__ __forceinline__ void gemm__inverse_rms(const cuda_gemm &g, int first, int count, int n,
                                                  int warp, int warps, int lane, float *rms) {
  for (int i = 4 * warp; i < count && first + i < n; i += 4 * warps) {
    float sum[4] = {0, 0, 0, 0};
#pragma unroll 4
    for (int j = lane; j < g.ss_tiles; j += 32) {
      float4 v = *(const float4 *)(g.ss + (size_t)j * g.ss_stride + first + i);
      sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
    }
#pragma unroll
    for (int bit = 16; bit > 0; bit >>= 1)
#pragma unroll
      for (int k = 0; k < 4; k++) sum[k] += __shfl_xor_sync(0xffffffffu, sum[k], bit);
    if (lane < 4) {
      float mine = lane == 0 ? sum[0] : lane == 1 ? sum[1] : lane == 2 ? sum[2] : sum[3];
      rms[i + lane] = 1.f / sqrtf(mine / (float)g.ss_width + g.eps);
    }
  }
}

/* ---- narrow ------------------------------------------------------------------------------ */

/* Named barriers: sums of a tile are there, 2 of them; and are read. */
enum { NARROW_FULL = 1, NARROW_EMPTY = 3 };

/* The ninth warp. */
template <int NT>
__device__ __forceinline__ void gemm__narrow_finish(const cuda_gemm &g, int tiles, int group, int n,
                                                    float4 (*partial)[CUDA_SLICES][NT][32],
                                                    float *rms, int lane) {
  epilogue_inputs in;
  int tile = g.tile0 + blockIdx.x;
  epilogue__fetch_fixed_any(g, tile, group, lane, n, in);
  device__wait();
  device__trigger();
  if (group * 8 >= n) return;
  epilogue__fetch_x_any(g, tile, group, lane, n, in);
  if (g.ss) gemm__inverse_rms(g, group * 8, NT * 8, n, 0, 1, lane, rms);
  __syncwarp();
  for (int i = 0; i < tiles; i++) {
    if (i > 0) epilogue__fetch_any(g, tile += gridDim.x, group, lane, n, in);
    device__barrier_sync(NARROW_FULL + (i & 1), GEMM_THREADS);
#pragma unroll 1
    for (int j = 0; j < NT && (group + j) * 8 < n; j++) {
      if (j > 0) epilogue__fetch_any(g, tile, group + j, lane, n, in);
      float4 sum = partial[i & 1][0][j][lane];
#pragma unroll
      for (int s = 1; s < CUDA_SLICES; s++) sum = gemm__add(sum, partial[i & 1][s][j][lane]);
      float four[4] = {sum.x, sum.y, sum.z, sum.w};
      epilogue__finish_any(g, tile, group + j, lane, four, g.ss ? rms + 8 * j : NULL, n, in);
    }
    if (i + 2 < tiles) device__barrier_arrive(NARROW_EMPTY + (i & 1), GEMM_THREADS);
  }
}

/* grid (blocks, groups / NT); tiles blockIdx.x, + gridDim.x, ... */
template <int KIND, int NT>
__global__ void __maxnreg__(GEMM_REGISTERS) gemm__narrow(const __grid_constant__ cuda_gemm g) {
  enum { DEPTH = gemm_depth<KIND>::UNITS, BYTES = fragment<KIND>::BYTES };
  __shared__ float4 partial[2][CUDA_SLICES][NT][32];
  __shared__ float rms[NT * 8];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = blockIdx.y * NT;
  int tiles = ((int)g.tiles - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;
  int n = *g.count;
  if (warp == CUDA_SLICES) return gemm__narrow_finish<NT>(g, tiles, group, n, partial, rms, lane);
  int u0 = gemm__slice_start(warp, g.units), mine = gemm__slice_start(warp + 1, g.units) - u0;
  int total = tiles * mine;

  fragment<KIND> a[DEPTH];
  uint4 b[DEPTH][2]; /* NT == 1: the units' activations */
  const char *next = (const char *)g.w + ((size_t)blockIdx.x * g.units + u0) * BYTES;
  size_t to_next_tile = ((size_t)gridDim.x * g.units - mine) * BYTES;
  int loaded = 0, in_tile = 0;
  auto load_a = [&](int d) {
    if (loaded >= total) return;
    a[d].template load<fragment_global>(next, lane);
    next += BYTES;
    loaded++;
    if (++in_tile == mine) in_tile = 0, next += to_next_tile;
  };
#pragma unroll
  for (int d = 0; d < DEPTH; d++) load_a(d);

  device__wait();
  device__trigger();
  if (group * 8 >= n) return;
  /* A lane whose token does not exist reads that of the last: fewer bytes, and its sums go
   * nowhere. */
  int token = lane >> 2, last = n - 1 - group * 8;
  if (NT == 1 && token > last) token = last;
  const char *b0 = (const char *)g.b + (size_t)group * 512 + token * 64 + (lane & 3) * 16;
  size_t block_bytes = (size_t)g.groups * 512;
  int b_unit = 0;
  auto load_b = [&](int d) {
    const char *at = b0 + (size_t)(2 * (u0 + b_unit)) * block_bytes;
    b[d][0] = *(const uint4 *)at;
    b[d][1] = *(const uint4 *)(at + block_bytes);
    if (++b_unit == mine) b_unit = 0;
  };
  if (NT == 1 && total > 0) {
#pragma unroll
    for (int d = 0; d < DEPTH; d++) load_b(d);
  }

  float c[NT][4] = {};
  int done = 0, tile = 0;
  auto flush = [&]() {
    if (tile >= 2) device__barrier_sync(NARROW_EMPTY + (tile & 1), GEMM_THREADS);
#pragma unroll
    for (int j = 0; j < NT; j++) {
      partial[tile & 1][warp][j][lane] = make_float4(c[j][0], c[j][1], c[j][2], c[j][3]);
      c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0;
    }
    device__barrier_arrive(NARROW_FULL + (tile & 1), GEMM_THREADS);
    tile++;
  };
  if (mine == 0)
    for (int i = 0; i < tiles; i++) flush();
  for (int i = 0; i < total; i += DEPTH) {
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
      if (i + d >= total) break;
#pragma unroll
      for (int block = 0; block < 2; block++) {
        uint32_t first[4], second[4];
        a[d].get(block, 0, first);
        a[d].get(block, 1, second);
#pragma unroll
        for (int j = 0; j < NT; j++) {
          uint4 v = b[d][block];
          if (NT > 1)
            v = *(const uint4 *)(b0 + (size_t)(2 * (u0 + done) + block) * block_bytes + j * 512);
          device__mma(c[j], first[0], first[1], first[2], first[3], v.x, v.y);
          device__mma(c[j], second[0], second[1], second[2], second[3], v.z, v.w);
        }
      }
      load_a(d);
      if (NT == 1) load_b(d);
      if (++done == mine) {
        done = 0;
        flush();
      }
    }
  }
}

/* ---- launches ---------------------------------------------------------------------------- */

/* 16 tokens and more on Hopper: gemm_wide.cuh, instantiated in a file a kind. */
template <int KIND> cudaError_t gemm__launch_wide(const cuda_device *d, const cuda_gemm *g);

template <int KIND, int NT>
cudaError_t gemm__launch_narrow(const cuda_device *d, const cuda_gemm *g) {
  int blocks = g->tiles < d->sms ? g->tiles : d->sms;
  launch_config c(d, dim3(blocks, g->groups / NT), GEMM_THREADS);
  return c.launch(gemm__narrow<KIND, NT>, *g);
}

template <int KIND> cudaError_t gemm__launch(const cuda_device *d, const cuda_gemm *g) {
  if (g->layout == LAYOUT_WGMMA) return gemm__launch_wide<KIND>(d, g);
  if (g->groups == 1) return gemm__launch_narrow<KIND, 1>(d, g);
  if (g->groups == 2) return gemm__launch_narrow<KIND, 2>(d, g);
  if (g->groups % 4 == 0) return gemm__launch_narrow<KIND, 4>(d, g);
  return cudaErrorInvalidValue;
}

#endif
