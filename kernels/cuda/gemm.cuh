/* gemm.cuh - products of 1 to 128 tokens, at the speed at which weights can be read.
 *
 * Both kernels add up alike, so that a token's sums do not depend on how many tokens there are:
 * the columns are 8 slices of whole units; within a slice one chain of mma.m16n8k16 in ascending
 * order, from zero; the slices' sums are added in f32, ascending. What differs is who does it.
 *
 * gemm__narrow, up to 8 tokens (more only where there are no clusters): a block's 8 warps are the
 * 8 slices of a tile, which stream it straight into registers, several units ahead, and go on to
 * the block's next tile without a stop. A ninth warp takes the sums from shared memory, adds them
 * up and finishes; what it needs for that it has asked for before. Blocks: one per
 * multiprocessor, so that the next launch's block fits beside it and can begin to stream.
 *
 * gemm__wide, 16 to 64 tokens a block: eight warps of a tile each (128 rows) share the
 * activations, which come through shared memory by unit. Either a block walks over all slices,
 * or, where that would leave multiprocessors idle, a cluster of 8 blocks takes a slice each and
 * adds up through distributed shared memory. A ninth warp works out the rows' norms meanwhile.
 *
 * Both ask for their first weights before device__wait(): while the launch before still runs. */
#ifndef FIMD_KERNELS_GEMM_CUH
#define FIMD_KERNELS_GEMM_CUH

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/launch.cuh"

/* Units in flight a warp: what fits the registers. */
template <int KIND> struct gemm_depth { enum { NARROW = 4, WIDE = 3 }; };
template <> struct gemm_depth<CUDA_F16> { enum { NARROW = 3, WIDE = 2 }; };
template <> struct gemm_depth<CUDA_Q4> { enum { NARROW = 5, WIDE = 4 }; };
template <> struct gemm_depth<CUDA_Q4M> { enum { NARROW = 5, WIDE = 4 }; };

enum { GEMM_THREADS = (CUDA_SLICES + 1) * 32, GEMM_STREAMS = CUDA_SLICES * 32 };
/* A thread's: two blocks fit a multiprocessor, of this launch or of the next. */
enum { GEMM_REGISTERS = 112 };

__device__ __forceinline__ int gemm__slice_start(int slice, int units) {
  return (int)((long long)slice * units / CUDA_SLICES);
}

__device__ __forceinline__ float4 gemm__add(float4 a, float4 b) {
  return make_float4(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z),
                     __fadd_rn(a.w, b.w));
}

/* rms[i] of tokens first + i, i < count, by `warps` warps, this being number `warp`. */
__device__ __forceinline__ void gemm__inverse_rms(const cuda_gemm &g, int first, int count, int n,
                                                  int warp, int warps, int lane, float *rms) {
  for (int i = 4 * warp; i < count; i += 4 * warps) {
    float sum[4] = {0, 0, 0, 0};
    if (first + i < n) /* what lies beyond n in the row of ss is not used */
      for (int j = lane; j < g.ss_tiles; j += 32) {
        float4 v = *(const float4 *)(g.ss + (size_t)j * g.ss_stride + first + i);
        sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w;
      }
#pragma unroll
    for (int k = 0; k < 4; k++) {
#pragma unroll
      for (int bit = 16; bit > 0; bit >>= 1)
        sum[k] += __shfl_xor_sync(0xffffffffu, sum[k], bit);
      if (lane == 0) rms[i + k] = 1.f / sqrtf(sum[k] / (float)g.ss_width + g.eps);
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
  if (g.ss) gemm__inverse_rms(g, group * 8, NT * 8, n, 0, 1, lane, rms);
  __syncwarp();
  for (int i = 0; i < tiles; i++) {
    int tile = g.tile0 + blockIdx.x + i * gridDim.x;
    epilogue_inputs in;
    epilogue__fetch_any(g, tile, group, lane, n, in);
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
  enum { DEPTH = gemm_depth<KIND>::NARROW, BYTES = fragment<KIND>::BYTES };
  __shared__ float4 partial[2][CUDA_SLICES][NT][32];
  __shared__ float rms[NT * 8];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = blockIdx.y * NT;
  int tiles = ((int)g.tiles - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;
  if (warp == CUDA_SLICES) {
    device__wait();
    device__trigger();
    int n = *g.count;
    if (group * 8 < n) gemm__narrow_finish<NT>(g, tiles, group, n, partial, rms, lane);
    return;
  }
  int u0 = gemm__slice_start(warp, g.units), mine = gemm__slice_start(warp + 1, g.units) - u0;
  int total = tiles * mine;

  fragment<KIND> a[DEPTH];
  uint4 b[DEPTH][2]; /* NT == 1: the unit's activations, read as early as its weights */
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
  int n = *g.count;
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

/* ---- wide -------------------------------------------------------------------------------- */

enum { WIDE_WARPS = 8, WIDE_STAGES = 4 };

template <int NT> constexpr int gemm__wide_shared() {
  return WIDE_STAGES * NT * 1024 + WIDE_WARPS * NT * 512 + NT * 32;
}

__device__ __forceinline__ int gemm__cluster_size() {
#if __CUDA_ARCH__ >= 900
  int n;
  asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(n));
  return n;
#else
  return 1;
#endif
}

__device__ __forceinline__ void gemm__cluster_sync() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                   : "memory");
#endif
}

/* 16 bytes at this block's shared address `p`, of the cluster's block `rank`. */
__device__ __forceinline__ float4 gemm__peer(const float4 *p, int rank) {
  float4 v = make_float4(0, 0, 0, 0);
#if __CUDA_ARCH__ >= 900
  uint32_t at = (uint32_t)__cvta_generic_to_shared(p), peer;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(peer) : "r"(at), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(peer) : "memory");
#endif
  return v;
}

/* grid (row blocks * cluster, groups / NT); cluster 1 or 8. */
template <int KIND, int NT>
__global__ void __maxnreg__(GEMM_REGISTERS) gemm__wide(const __grid_constant__ cuda_gemm g) {
#if __CUDA_ARCH__ >= 900 /* launched on Hopper only */
  enum { DEPTH = gemm_depth<KIND>::WIDE, BYTES = fragment<KIND>::BYTES, SOME = NT == 4 ? 4 : 2 };
  extern __shared__ __align__(128) char shared[];
  char *stages = shared;
  float4 *sums = (float4 *)(shared + WIDE_STAGES * NT * 1024); /* [warp][group][lane] */
  float *rms = (float *)(sums + WIDE_WARPS * NT * 32);
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = blockIdx.y * NT;
  int cluster = gemm__cluster_size(), rank = cluster > 1 ? blockIdx.x % cluster : 0;
  int block_tile = blockIdx.x / cluster * WIDE_WARPS;
  int slices = CUDA_SLICES / cluster, slice = rank * slices, last_slice = slice + slices;
  int n;
  if (warp == WIDE_WARPS) {
    device__wait();
    device__trigger();
    n = *g.count;
    if (g.ss) gemm__inverse_rms(g, group * 8, NT * 8, n, 0, 1, lane, rms);
  } else {
    int u0 = gemm__slice_start(slice, g.units), u1 = gemm__slice_start(last_slice, g.units);
    int tile = min(block_tile + warp, g.tiles - 1);
    const char *weights = (const char *)g.w + ((size_t)tile * g.units + u0) * BYTES;
    fragment<KIND> a[DEPTH];
    int loading = u0;
    auto load_a = [&](int d) {
      if (loading >= u1) return;
      loading++;
      a[d].template load<fragment_global>(weights, lane);
      weights += BYTES;
    };
#pragma unroll
    for (int d = 0; d < DEPTH; d++) load_a(d);

    device__wait();
    device__trigger();
    n = *g.count;
    size_t block_bytes = (size_t)g.groups * 512;
    const char *b0 = (const char *)g.b + (size_t)group * 512;
    int copying = u0;
    auto copy_b = [&]() { /* one unit: 2 blocks of NT * 512 bytes */
      if (copying < u1) {
        char *to = stages + (copying - u0) % WIDE_STAGES * (NT * 1024);
        const char *from = b0 + (size_t)(2 * copying) * block_bytes;
#pragma unroll
        for (int i = threadIdx.x; i < NT * 64; i += GEMM_STREAMS)
          device__copy16(to + i * 16, from + (i >= NT * 32 ? block_bytes - NT * 512 : 0) + i * 16);
      }
      copying++;
      device__copy_commit();
    };
#pragma unroll
    for (int i = 0; i < WIDE_STAGES - 1; i++) copy_b();

    float c[NT][4] = {};
    int slice_end = gemm__slice_start(slice + 1, g.units);
    bool first_slice = true;
    /* This warp's sums so far: of the slices before. */
    float4 *own = sums + warp * NT * 32 + lane;
    auto end_slice = [&]() {
#pragma unroll
      for (int j = 0; j < NT; j++) {
        float4 now = make_float4(c[j][0], c[j][1], c[j][2], c[j][3]);
        own[j * 32] = first_slice ? now : gemm__add(own[j * 32], now);
        c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0;
      }
      first_slice = false;
      slice++;
      slice_end = gemm__slice_start(slice + 1, g.units);
    };
    for (int u = u0; u < u1; u += DEPTH) {
#pragma unroll
      for (int d = 0; d < DEPTH; d++) {
        if (u + d >= u1) break;
        while (u + d == slice_end) end_slice(); /* an empty slice's sums are zero */
        device__copy_wait<WIDE_STAGES - 2>();
        device__barrier_sync(1, GEMM_STREAMS); /* the unit is here; all are done with the oldest */
        copy_b();
        const char *unit = stages + (u + d - u0) % WIDE_STAGES * (NT * 1024) + lane * 16;
#pragma unroll
        for (int block = 0; block < 2; block++) {
          uint32_t first[4], second[4];
          a[d].get(block, 0, first);
          a[d].get(block, 1, second);
#pragma unroll
          for (int some = 0; some < NT; some += SOME) {
            uint4 v[SOME];
#pragma unroll
            for (int j = 0; j < SOME; j++)
              v[j] = *(const uint4 *)(unit + (block * NT + some + j) * 512);
#pragma unroll
            for (int j = 0; j < SOME; j++)
              device__mma(c[some + j], first[0], first[1], first[2], first[3], v[j].x, v[j].y);
#pragma unroll
            for (int j = 0; j < SOME; j++)
              device__mma(c[some + j], second[0], second[1], second[2], second[3], v[j].z, v[j].w);
          }
        }
        load_a(d);
      }
    }
    while (slice < last_slice) end_slice();
  }

  if (cluster == 1) {
    __syncthreads(); /* rms */
    int tile = block_tile + warp;
    if (warp == WIDE_WARPS || tile >= g.tiles) return;
#pragma unroll 1
    for (int j = 0; j < NT && (group + j) * 8 < n; j++) {
      epilogue_inputs in;
      epilogue__fetch_any(g, g.tile0 + tile, group + j, lane, n, in);
      float4 v = sums[(warp * NT + j) * 32 + lane];
      float four[4] = {v.x, v.y, v.z, v.w};
      epilogue__finish_any(g, g.tile0 + tile, group + j, lane, four, g.ss ? rms + 8 * j : NULL, n,
                           in);
    }
    return;
  }
  /* The block's 8 tiles by NT groups are shared out to the cluster's warps: one each at most. */
  int piece = rank + CUDA_SLICES * warp, j = piece % NT, tile = block_tile + piece / NT;
  bool mine = warp < NT && tile < g.tiles && (group + j) * 8 < n;
  epilogue_inputs in;
  if (mine) epilogue__fetch_any(g, g.tile0 + tile, group + j, lane, n, in);
  gemm__cluster_sync();
  if (mine) {
    float4 v[CUDA_SLICES];
#pragma unroll
    for (int s = 0; s < CUDA_SLICES; s++) v[s] = gemm__peer(sums + piece * 32 + lane, s);
#pragma unroll
    for (int s = 1; s < CUDA_SLICES; s++) v[0] = gemm__add(v[0], v[s]);
    float four[4] = {v[0].x, v[0].y, v[0].z, v[0].w};
    epilogue__finish_any(g, g.tile0 + tile, group + j, lane, four, g.ss ? rms + 8 * j : NULL, n,
                         in);
  }
  gemm__cluster_sync(); /* nobody leaves while its sums are read */
#endif
}

/* ---- launches ---------------------------------------------------------------------------- */

template <int KIND, int NT> cudaError_t gemm__launch_narrow(const cuda_device *d, const cuda_gemm *g) {
  int blocks = g->tiles < d->sms ? g->tiles : d->sms;
  launch_config c(d, dim3(blocks, g->groups / NT), GEMM_THREADS);
  return cudaLaunchKernelEx(&c.config, gemm__narrow<KIND, NT>, *g);
}

template <int KIND, int NT> cudaError_t gemm__launch_wide(const cuda_device *d, const cuda_gemm *g) {
  int rows = (g->tiles + WIDE_WARPS - 1) / WIDE_WARPS;
  int shared = gemm__wide_shared<NT>(), cluster = rows >= d->sms ? 1 : CUDA_SLICES;
  cudaError_t rc = cudaFuncSetAttribute(gemm__wide<KIND, NT>,
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
  if (rc != cudaSuccess) return rc;
  launch_config c(d, dim3(rows * cluster, g->groups / NT), GEMM_THREADS, shared, cluster);
  return cudaLaunchKernelEx(&c.config, gemm__wide<KIND, NT>, *g);
}

template <int KIND> cudaError_t gemm__launch(const cuda_device *d, const cuda_gemm *g) {
  if (g->groups == 1) return gemm__launch_narrow<KIND, 1>(d, g);
  if (d->hopper) {
    if (g->groups == 2) return gemm__launch_wide<KIND, 2>(d, g);
    if (g->groups == 4) return gemm__launch_wide<KIND, 4>(d, g);
    if (g->groups % 8 == 0) return gemm__launch_wide<KIND, 8>(d, g);
  } else {
    if (g->groups == 2) return gemm__launch_narrow<KIND, 2>(d, g);
    if (g->groups % 4 == 0) return gemm__launch_narrow<KIND, 4>(d, g);
  }
  return cudaErrorInvalidValue;
}

#endif
