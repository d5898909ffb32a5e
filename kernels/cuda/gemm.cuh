/* gemm.cuh - products of 1 to 128 tokens, at the speed at which weights can be read.
 *
 * Both kernels add up alike, so that a token's sums do not depend on how many tokens there are:
 * the columns are 8 slices of whole units; within a slice one chain of mma.m16n8k16 in ascending
 * order, from zero; the slices' sums are added in f32, ascending. What differs is who does it.
 *
 * gemm__narrow, up to 64 tokens: a block's first 8 warps are the 8 slices of a tile, which stream
 * it straight into registers, several units ahead, and go on to its next tile without a stop.
 * More warps, one for each 8 tokens, take the sums from shared memory, add them up and finish; what
 * they need for that they have asked for before. Blocks: one per multiprocessor. Activations come
 * from the caches, or are kept in shared memory where they fit and are used again.
 *
 * gemm__wide (gemm_wide.cuh), on Hopper, where they do not fit: 32 to 128 tokens. A block's wgmmas
 * take 128 rows by up to 64 tokens, from a ring in shared memory. Either it walks over all slices,
 * or the blocks of a cluster share them out.
 *
 * Both ask for their first weights before device__wait(): while the launch before still runs. */
#ifndef FIMD_KERNELS_GEMM_CUH
#define FIMD_KERNELS_GEMM_CUH

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/fragment.cuh"
#include "kernels/cuda/launch.cuh"

/* Units in flight a warp: more of F16 are slower, fewer of Q8 too (NOTES.md). Of activations, which
 * come from the caches, half units. NG: groups of 8 tokens. */
template <int KIND, int NG> struct gemm_depth { enum { UNITS = 4 }; };
template <> struct gemm_depth<CUDA_F16, 1> { enum { UNITS = 3 }; };
template <> struct gemm_depth<CUDA_F16, 8> { enum { UNITS = 3 }; };
template <int NG> struct gemm_depth<CUDA_Q8, NG> { enum { UNITS = NG == 8 ? 4 : 6 }; };
template <> struct gemm_depth<CUDA_Q4, 1> { enum { UNITS = 5 }; };
template <> struct gemm_depth<CUDA_Q4M, 1> { enum { UNITS = 5 }; };

/* Threads of a block: a warp for each slice, and one that finishes for each group. Registers of a
 * thread: what a quarter of a multiprocessor has, shared by its warps. Sums of a tile that wait to
 * be finished lie in shared memory, twice if there is room. */
template <int NG> struct gemm_block {
  enum {
    THREADS = (CUDA_SLICES + NG) * 32,
    REGISTERS = NG == 8 ? 128 : 168,
    BUFFERS = NG == 8 ? 1 : 2,
    PARTIAL = BUFFERS * CUDA_SLICES * NG * 512, /* bytes */
    FIXED = PARTIAL + NG * 8 * 4,
  };
};

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

/* Blocks of 32 columns that a slice has at most, and whether a thread block can keep their
 * activations in shared memory. */
static __host__ __device__ inline int gemm__slice_blocks(int units) {
  return 2 * ((units + CUDA_SLICES - 1) / CUDA_SLICES);
}
template <int NG> static inline int gemm__held_bytes(int units) {
  return gemm__slice_blocks(units) * CUDA_SLICES * NG * 512;
}
template <int NG> static inline bool gemm__holds(const cuda_device *d, int units) {
  return gemm_block<NG>::FIXED + gemm__held_bytes<NG>(units) <= d->shared_most;
}

/* ---- narrow ------------------------------------------------------------------------------ */

/* Named barriers: sums of a tile are there, 2 of them; and are read. */
enum { NARROW_FULL = 1, NARROW_EMPTY = 3 };

/* A warp that finishes, of one group. partial[BUFFERS][slice][NG][lane]. */
template <int NG>
__device__ __forceinline__ void gemm__narrow_finish(const cuda_gemm &g, int tiles, int first,
                                                    int own, int n, const float4 *partial,
                                                    float *rms, int lane) {
  enum { THREADS = gemm_block<NG>::THREADS, BUFFERS = gemm_block<NG>::BUFFERS };
  epilogue_inputs in;
  int tile = g.tile0 + blockIdx.x, group = first + own;
  epilogue__fetch_fixed_any(g, tile, group, lane, n, in);
  device__wait();
  device__trigger();
  if (first * 8 >= n) return;
  bool real = group * 8 < n;
  if (real) {
    epilogue__fetch_x_any(g, tile, group, lane, n, in);
    if (g.ss) gemm__inverse_rms(g, group * 8, 8, n, 0, 1, lane, rms);
    __syncwarp();
  }
  for (int i = 0; i < tiles; i++, tile += gridDim.x) {
    epilogue_inputs next = in; /* asked for a tile ahead */
    if (i + 1 < tiles && real) epilogue__fetch_any(g, tile + gridDim.x, group, lane, n, next);
    int buffer = i % BUFFERS;
    device__barrier_sync(NARROW_FULL + buffer, THREADS);
    const float4 *from = partial + (buffer * CUDA_SLICES * NG + own) * 32 + lane;
    float4 sum = from[0];
#pragma unroll
    for (int s = 1; s < CUDA_SLICES; s++) sum = gemm__add(sum, from[s * NG * 32]);
    if (i + BUFFERS < tiles) device__barrier_arrive(NARROW_EMPTY + buffer, THREADS);
    float four[4] = {sum.x, sum.y, sum.z, sum.w};
    if (real) epilogue__finish_any(g, tile, group, lane, four, g.ss ? rms : NULL, n, in);
    in = next;
  }
}

/* grid (blocks, groups / NG); tiles blockIdx.x, + gridDim.x, ... HELD: all activations are kept in
 * shared memory, [slice][block of 32 columns][NG][512 bytes]. */
template <int KIND, int NG, bool HELD>
__global__ void __maxnreg__(gemm_block<NG>::REGISTERS)
  gemm__narrow(const __grid_constant__ cuda_gemm g) {
  enum {
    DEPTH = gemm_depth<KIND, NG>::UNITS, BYTES = fragment<KIND>::BYTES,
    THREADS = gemm_block<NG>::THREADS, BUFFERS = gemm_block<NG>::BUFFERS,
    HALVES = HELD ? 1 : NG == 1 ? 2 * DEPTH : NG == 2 ? 4 : 2, /* half units in flight */
    SOME = NG < 4 ? NG : 4, /* groups side by side */
  };
  static_assert(2 * DEPTH % HALVES == 0, "which registers is known to the compiler");
  extern __shared__ __align__(128) char narrow_memory[];
  float4 *partial = (float4 *)narrow_memory;
  float *rms = (float *)(narrow_memory + gemm_block<NG>::PARTIAL);
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = blockIdx.y * NG;
  int tiles = ((int)g.tiles - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x;
  int n = *g.count;
  if (warp >= CUDA_SLICES) {
    int own = warp - CUDA_SLICES;
    return gemm__narrow_finish<NG>(g, tiles, group, own, n, partial, rms + 8 * own, lane);
  }
  int u0 = gemm__slice_start(warp, g.units), mine = gemm__slice_start(warp + 1, g.units) - u0;
  int total = tiles * mine;

  fragment<KIND> a[DEPTH];
  uint4 b[HALVES][NG];
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
  /* A lane whose token does not exist reads the last one's: its sums go nowhere. */
  int at[NG];
#pragma unroll
  for (int j = 0; j < NG; j++) {
    int token = min(group * 8 + j * 8 + (lane >> 2), n - 1) - group * 8;
    at[j] = (token >> 3) * 512 + (token & 7) * 64;
  }
  const char *b0 = (const char *)g.b + (size_t)group * 512 + (lane & 3) * 16;
  size_t block_bytes = (size_t)g.groups * 512;
  char *held = narrow_memory + gemm_block<NG>::FIXED + lane * 16;
  if (HELD) held += warp * gemm__slice_blocks(g.units) * NG * 512;
  int b_half = 0;
  auto load_b = [&](int d) {
    const char *from = b0 + (size_t)(2 * u0 + b_half) * block_bytes;
#pragma unroll
    for (int j = 0; j < NG; j++) b[d][j] = *(const uint4 *)(from + at[j]);
    if (++b_half == 2 * mine) b_half = 0;
  };
  if (HELD) { /* a warp its slice's: no other needs them */
    const char *from = b0 + (size_t)(2 * u0) * block_bytes;
#pragma unroll 1
    for (int i = 0; i < 2 * mine; i++, from += block_bytes)
#pragma unroll
      for (int j = 0; j < NG; j++) device__copy16(held + (i * NG + j) * 512, from + at[j]);
    device__copy_commit();
    device__copy_wait<0>();
    __syncwarp();
  } else if (total > 0) {
#pragma unroll
    for (int d = 0; d < HALVES; d++) load_b(d);
  }

  float c[NG][4] = {};
  int done = 0, tile = 0;
  auto flush = [&]() {
    int buffer = tile % BUFFERS;
    if (tile >= BUFFERS) device__barrier_sync(NARROW_EMPTY + buffer, THREADS);
#pragma unroll
    for (int j = 0; j < NG; j++) {
      partial[((buffer * CUDA_SLICES + warp) * NG + j) * 32 + lane] =
        make_float4(c[j][0], c[j][1], c[j][2], c[j][3]);
      c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0;
    }
    device__barrier_arrive(NARROW_FULL + buffer, THREADS);
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
        const int half = (2 * d + block) % HALVES;
        uint32_t first[4], second[4];
        a[d].get(block, 0, first);
        a[d].get(block, 1, second);
        /* Several groups side by side: a product takes as long as eight of them. */
#pragma unroll
        for (int j0 = 0; j0 < NG; j0 += SOME) {
          uint4 v[SOME];
          if (HELD) {
            const char *from = held + ((2 * done + block) * NG + j0) * 512;
#pragma unroll
            for (int j = 0; j < SOME; j++) v[j] = *(const uint4 *)(from + j * 512);
          } else {
#pragma unroll
            for (int j = 0; j < SOME; j++) v[j] = b[half][j0 + j];
          }
#pragma unroll
          for (int j = 0; j < SOME; j++)
            device__mma(c[j0 + j], first[0], first[1], first[2], first[3], v[j].x, v[j].y);
#pragma unroll
          for (int j = 0; j < SOME; j++)
            device__mma(c[j0 + j], second[0], second[1], second[2], second[3], v[j].z, v[j].w);
        }
        if (NG > 1 && !HELD) load_b(half);
      }
      load_a(d);
      if (NG == 1) {
        load_b(2 * d);
        load_b(2 * d + 1);
      }
      if (++done == mine) {
        done = 0;
        flush();
      }
    }
  }
}

/* ---- launches ---------------------------------------------------------------------------- */

/* More tokens on Hopper: gemm_wide.cuh, instantiated in a file a kind. */
template <int KIND> cudaError_t gemm__launch_wide(const cuda_device *d, const cuda_gemm *g);

template <int KIND, int NG, bool HELD>
cudaError_t gemm__launch_narrow(const cuda_device *d, const cuda_gemm *g) {
  int blocks = g->tiles < d->sms ? g->tiles : d->sms;
  int shared = gemm_block<NG>::FIXED + (HELD ? gemm__held_bytes<NG>(g->units) : 0);
  launch_config c(d, dim3(blocks, g->groups / NG), gemm_block<NG>::THREADS, shared);
  return c.launch(gemm__narrow<KIND, NG, HELD>, *g);
}

/* To fill shared memory first pays where a block has several tiles. */
template <int KIND, int NG>
cudaError_t gemm__launch_groups(const cuda_device *d, const cuda_gemm *g) {
  return g->tiles >= 3 * d->sms && gemm__holds<NG>(d, g->units)
           ? gemm__launch_narrow<KIND, NG, true>(d, g)
           : gemm__launch_narrow<KIND, NG, false>(d, g);
}

template <int KIND> cudaError_t gemm__launch(const cuda_device *d, const cuda_gemm *g) {
  if (g->layout == LAYOUT_WGMMA) return gemm__launch_wide<KIND>(d, g);
  if (g->groups == 1) return gemm__launch_narrow<KIND, 1, false>(d, g);
  if (g->groups == 2) return gemm__launch_groups<KIND, 2>(d, g);
  if (g->groups % 8 == 0 && gemm__holds<8>(d, g->units))
    return gemm__launch_narrow<KIND, 8, true>(d, g);
  return g->groups % 4 == 0 ? gemm__launch_groups<KIND, 4>(d, g) : cudaErrorInvalidValue;
}

#endif
