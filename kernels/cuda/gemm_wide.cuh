/* gemm_wide.cuh - products of 32 to 128 tokens on Hopper, at the speed at which weights can be
 * read. The sums are gemm__narrow's, bit for bit: see gemm.cuh for their order.
 *
 * A block has 128 rows (8 tiles) by 32 or 64 tokens: two consumer warpgroups of wgmma, a tile
 * a warp. Weights are A, from registers; activations are B, from shared memory, as they lie
 * packed (LAYOUT_WGMMA; prefill_wgmma.cuh explains both). Warps 0 - 7 consume. Warps 8 and 9 fill
 * a ring of stages, a unit each, by bulk copies, of weights and of activations: the ring is what
 * is in flight, and covers the memory's latency several times. Warps 10 and 11 make the sums of
 * squares of the tokens meanwhile.
 *
 * Two blocks fit a multiprocessor, with some 100 KB of shared memory each: of a launch of up to
 * 264 blocks all run at once and share the bandwidth, so it does not matter that they are no
 * multiple of 132; else the next launch's blocks are there early and ask for their first weights
 * before device__wait(). A thread's registers allow for that only with setmaxnreg.
 *
 * Either a block walks over all 8 slices of the columns, the sum of those before in registers
 * (tall matrices: gate and up, head). Or, where that would leave multiprocessors idle, a cluster
 * of 8 blocks takes a slice each, or of 4 blocks two each, which must be kept apart: they are
 * added in ascending order at the end, through distributed shared memory, where the cluster's
 * warps share the pieces (a tile by 8 tokens) out among them. */
#ifndef FIMD_KERNELS_GEMM_WIDE_CUH
#define FIMD_KERNELS_GEMM_WIDE_CUH

#include "kernels/cuda/gemm.cuh"
#include "kernels/cuda/hopper.cuh"

enum {
  WIDE_TILES = 8, /* of a block; consumer warps */
  WIDE_CONSUMERS = WIDE_TILES * 32,
  WIDE_THREADS = 384,
  WIDE_WEIGHTS_WARP = WIDE_TILES,
  WIDE_ACTIVATIONS_WARP,
  WIDE_RMS_WARP, /* the first of two */
  WIDE_RMS_WARPS = 2,
  WIDE_RING = 100 * 1024, /* bytes */
  WIDE_BARRIER = 1,       /* named: of the consumers */
};

/* NG: groups of 8 tokens. */
template <int KIND, int NG> struct wide_stage {
  char b[2][NG * 512];
  char a[WIDE_TILES][fragment<KIND>::BYTES];
};

template <int KIND, int NG> struct wide_shared {
  enum { FIT = WIDE_RING / (int)sizeof(wide_stage<KIND, NG>), STAGES = FIT < 12 ? FIT : 12 };
  static_assert(sizeof(wide_stage<KIND, NG>) % 512 == 0, "the swizzle's atoms are aligned");
  static_assert(STAGES * sizeof(wide_stage<KIND, NG>) >= 2 * WIDE_TILES * NG * 512, "sums fit");
  /* When all is consumed: float4 sums[slice of the block's, 1 or 2][tile][group][lane]. */
  wide_stage<KIND, NG> stage[STAGES];
  float rms[NG * 8]; /* sums of squares at first */
  uint64_t full[STAGES], empty[STAGES], rms_full;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* What a block does. */
struct wide_place {
  int cluster, rank;
  int tile, tiles;        /* the first of its tiles, of g.w's; how many are real */
  int group;              /* of its first 8 tokens */
  int slice, slices;      /* the first; how many */
  int u0, u1;             /* units */
};

template <int NG> __device__ __forceinline__ wide_place wide__place(const cuda_gemm &g) {
  wide_place p;
  asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(p.cluster));
  int block = blockIdx.x / p.cluster, token_blocks = g.groups / NG;
  p.rank = blockIdx.x - block * p.cluster;
  /* Blocks of the same weights are neighbours, and run together. */
  int row = block / token_blocks;
  p.tile = row * WIDE_TILES;
  p.tiles = min((int)WIDE_TILES, g.tiles - p.tile);
  p.group = (block - row * token_blocks) * NG;
  p.slices = CUDA_SLICES / p.cluster;
  p.slice = p.rank * p.slices;
  p.u0 = gemm__slice_start(p.slice, g.units);
  p.u1 = gemm__slice_start(p.slice + p.slices, g.units);
  return p;
}

/* 16 bytes at this block's shared address `p`, of the cluster's block `rank`. */
__device__ __forceinline__ float4 wide__peer(const float4 *p, int rank) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(hopper__peer(p, rank)) : "memory");
  return v;
}

/* ---- tensor cores ------------------------------------------------------------------------ */

/* d[64, 8 NG] += a[64, 16] b[16, 8 NG]. */
__device__ __forceinline__ void wide__mma(float (&d)[16], const uint32_t a[4], uint64_t b) {
  asm volatile("{ .reg .pred p; setp.eq.b32 p, 0, 0; "
               "wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 "
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15}, "
               "{%16,%17,%18,%19}, %20, p, 1, 1, 0; }"
               : HOPPER_D16(0)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
__device__ __forceinline__ void wide__mma(float (&d)[32], const uint32_t a[4], uint64_t b) {
  asm volatile("{ .reg .pred p; setp.eq.b32 p, 0, 0; "
               "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15, "
               "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
               "{%32,%33,%34,%35}, %36, p, 1, 1, 0; }"
               : HOPPER_D16(0), HOPPER_D16(16)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/* A unit's 64 columns. Nothing is under way when it returns: registers that the tensor cores read
 * are safe up to the end of a basic block only (prefill__mma_hold in prefill_wgmma.cuh), and there
 * is time, for they are several times as fast as the memory. */
template <int KIND, int NG>
__device__ __forceinline__ void wide__multiply(float (&d)[4 * NG],
                                               const wide_stage<KIND, NG> &stage, int warp,
                                               int lane) {
  uint32_t a[4][4];
  fragment<KIND> weights;
  weights.template load<fragment_shared>(stage.a[warp], lane);
#pragma unroll
  for (int i = 0; i < 4; i++) weights.get(i >> 1, i & 1, a[i]);
  uint64_t b = hopper__tokens(stage.b);
  hopper__mma_fence();
#pragma unroll
  for (int i = 0; i < 4; i++) wide__mma(d, a[i], b + (i >> 1) * (NG * 512 / 16) + (i & 1) * 2);
  hopper__mma_commit();
  hopper__mma_wait<0>();
  hopper__mma_finish(d);
}

/* ---- the roles --------------------------------------------------------------------------- */

/* By one thread: weights, of the first stages before device__wait(). */
template <int KIND, int NG>
__device__ __forceinline__ void wide__fetch_weights(const cuda_gemm &g, wide_shared<KIND, NG> &s,
                                                    const wide_place &place) {
  enum { STAGES = wide_shared<KIND, NG>::STAGES, BYTES = fragment<KIND>::BYTES };
  size_t tile_bytes = (size_t)g.units * BYTES;
  const char *w = (const char *)g.w + place.tile * tile_bytes + (size_t)place.u0 * BYTES;
  hopper_slot slot = {0, 0};
#pragma unroll 1
  for (int u = place.u0; u < place.u1; u++, w += BYTES) {
    if (u - place.u0 >= STAGES) hopper__mbarrier_await(&s.empty[slot.at], slot.parity ^ 1);
    hopper__mbarrier_expect(&s.full[slot.at], place.tiles * BYTES);
    const char *from = w;
#pragma unroll 1
    for (int i = 0; i < place.tiles; i++, from += tile_bytes)
      hopper__copy(s.stage[slot.at].a[i], from, BYTES, &s.full[slot.at]);
    hopper__advance<STAGES>(slot);
  }
}

/* By one thread, after device__wait(). */
template <int KIND, int NG>
__device__ __forceinline__ void wide__fetch_activations(const cuda_gemm &g,
                                                        wide_shared<KIND, NG> &s,
                                                        const wide_place &place) {
  enum { STAGES = wide_shared<KIND, NG>::STAGES };
  size_t block_bytes = (size_t)g.groups * 512;
  const char *b = (const char *)g.b + (2 * place.u0) * block_bytes + (size_t)place.group * 512;
  /* What ordinary stores of the launch before left in memory, for the copies to read. */
  hopper__fence_async();
  hopper_slot slot = {0, 0};
#pragma unroll 1
  for (int u = place.u0; u < place.u1; u++, b += 2 * block_bytes) {
    if (u - place.u0 >= STAGES) hopper__mbarrier_await(&s.empty[slot.at], slot.parity ^ 1);
    hopper__mbarrier_expect(&s.full[slot.at], NG * 1024);
    if (g.groups == NG) { /* blocks of 32 columns follow one another */
      hopper__copy(s.stage[slot.at].b[0], b, NG * 1024, &s.full[slot.at]);
    } else {
      hopper__copy(s.stage[slot.at].b[0], b, NG * 512, &s.full[slot.at]);
      hopper__copy(s.stage[slot.at].b[1], b + block_bytes, NG * 512, &s.full[slot.at]);
    }
    hopper__advance<STAGES>(slot);
  }
}

/* Sums of squares of the tokens whose pieces the block finishes, by WIDE_RMS_WARPS warps: in the
 * order of gemm__inverse_rms. The consumers make the rest of it, which takes more registers than
 * these warps have. */
template <int KIND, int NG>
__device__ __forceinline__ void wide__squares(const cuda_gemm &g, wide_shared<KIND, NG> &s,
                                              const wide_place &place, int n, int warp, int lane) {
  int own = NG > place.cluster ? NG / place.cluster : 1; /* groups */
#pragma unroll 1
  for (int i = warp; i < own; i += WIDE_RMS_WARPS) {
    int first = ((place.rank & (NG - 1)) + i * place.cluster) * 8;
    float sum[8] = {};
    if (place.group * 8 + first < n) {
      const float *ss = g.ss + place.group * 8 + first;
#pragma unroll 1
      for (int tile = lane; tile < g.ss_tiles; tile += 96) {
        float4 v[3][2]; /* under way together */
#pragma unroll
        for (int k = 0; k < 3; k++) {
          v[k][0] = v[k][1] = make_float4(0, 0, 0, 0);
          if (tile + 32 * k >= g.ss_tiles) continue;
          const float4 *at = (const float4 *)(ss + (size_t)(tile + 32 * k) * g.ss_stride);
          v[k][0] = at[0];
          v[k][1] = at[1];
        }
#pragma unroll
        for (int k = 0; k < 3; k++) /* 0 changes no sum of squares */
#pragma unroll
          for (int h = 0; h < 2; h++) {
            sum[4 * h] += v[k][h].x, sum[4 * h + 1] += v[k][h].y;
            sum[4 * h + 2] += v[k][h].z, sum[4 * h + 3] += v[k][h].w;
          }
      }
    }
#pragma unroll
    for (int bit = 16; bit > 0; bit >>= 1)
#pragma unroll
      for (int k = 0; k < 8; k++) sum[k] += __shfl_xor_sync(0xffffffffu, sum[k], bit);
    if (lane == 0) {
      *(float4 *)&s.rms[first] = make_float4(sum[0], sum[1], sum[2], sum[3]);
      *(float4 *)&s.rms[first + 4] = make_float4(sum[4], sum[5], sum[6], sum[7]);
    }
  }
  __syncwarp();
  if (lane == 0) hopper__mbarrier_arrive(&s.rms_full);
}

/* The k-th piece of a consumer warp: tile * NG + group. */
template <int NG>
__device__ __forceinline__ int wide__piece(const wide_place &place, int k, int warp) {
  if (place.cluster == 1) return warp * NG + k;
  return place.rank + place.cluster * (warp + WIDE_TILES * k);
}

/* v[i] is of slice (start + i) % 8: their sum, in ascending order of slices. */
__device__ __forceinline__ float4 wide__chain(const float4 (&v)[CUDA_SLICES], int start) {
  float4 sum = v[0];
#pragma unroll
  for (int first = 0; first < CUDA_SLICES; first++) {
    if (first != start) continue;
    sum = v[(CUDA_SLICES - first) % CUDA_SLICES];
#pragma unroll
    for (int i = 1; i < CUDA_SLICES; i++)
      sum = gemm__add(sum, v[(CUDA_SLICES + i - first) % CUDA_SLICES]);
  }
  return sum;
}

/* What becomes of the sums, by all consumers, when they are in shared memory. A cluster's first
 * barrier is awaited here, the second arrived at. */
template <int OP, int NG>
__device__ __forceinline__ void wide__finish(const cuda_gemm &g, const float4 *sums,
                                             const float *rms, const wide_place &place, int n,
                                             int warp, int lane) {
  enum { SOME = 2 }; /* as many as a cluster's warp may have */
  /* NG / 8 or NG / 4 of a cluster's warp, rounded up: never more than SOME. */
  int count = place.cluster == 1 ? NG : SOME;
#pragma unroll 1
  for (int k = 0; k < count; k += SOME) {
    epilogue_inputs in[SOME];
    float four[SOME][4];
    bool mine[SOME];
#pragma unroll
    for (int i = 0; i < SOME; i++) {
      int piece = wide__piece<NG>(place, k + i, warp), tile = piece / NG;
      int group = place.group + piece % NG;
      mine[i] = tile < place.tiles && group * 8 < n;
      if (mine[i]) epilogue__fetch<OP>(g, g.tile0 + place.tile + tile, group, lane, n, in[i]);
    }
    if (place.cluster > 1) hopper__cluster_wait();
#pragma unroll
    for (int i = 0; i < SOME; i++) {
      if (!mine[i]) continue;
      const float4 *from = sums + wide__piece<NG>(place, k + i, warp) * 32 + lane;
      float4 sum;
      if (place.cluster == 1) {
        sum = *from;
      } else {
        float4 v[CUDA_SLICES]; /* the own slice first: else all would ask the same block at once */
        int shift = place.slices == 2;
#pragma unroll
        for (int j = 0; j < CUDA_SLICES; j++) {
          int slice = (place.slice + j) % CUDA_SLICES;
          v[j] = wide__peer(from + (slice & shift) * (WIDE_TILES * NG * 32), slice >> shift);
        }
        sum = wide__chain(v, place.slice);
      }
      four[i][0] = sum.x, four[i][1] = sum.y, four[i][2] = sum.z, four[i][3] = sum.w;
    }
    if (place.cluster > 1) hopper__cluster_arrive(); /* no more is read of the others */
#pragma unroll
    for (int i = 0; i < SOME; i++) {
      if (!mine[i]) continue;
      int piece = wide__piece<NG>(place, k + i, warp), j = piece % NG;
      epilogue__finish<OP>(g, g.tile0 + place.tile + piece / NG, place.group + j, lane, four[i],
                           g.ss ? rms + 8 * j : NULL, n, in[i]);
    }
  }
}

template <int KIND, int NG>
__device__ __forceinline__ void wide__consume(const cuda_gemm &g, wide_shared<KIND, NG> &s,
                                              const wide_place &place, int n, int warp, int lane) {
  float d[4 * NG], sum[4 * NG]; /* of this slice; of those before */
#pragma unroll
  for (int i = 0; i < 4 * NG; i++) d[i] = sum[i] = 0;
  hopper_slot slot = {0, 0};
  int u = place.u0;
#pragma unroll 1
  for (int slice = 0; slice < place.slices; slice++) {
    if (slice > 0) {
#pragma unroll
      for (int i = 0; i < 4 * NG; i++) {
        sum[i] = slice == 1 ? d[i] : __fadd_rn(sum[i], d[i]);
        d[i] = 0;
      }
    }
    int end = gemm__slice_start(place.slice + slice + 1, g.units);
#pragma unroll 1
    for (; u < end; u++) {
      hopper__mbarrier_await(&s.full[slot.at], slot.parity);
      wide__multiply<KIND, NG>(d, s.stage[slot.at], warp, lane);
      if (lane == 0) hopper__mbarrier_arrive(&s.empty[slot.at]);
      hopper__advance<wide_shared<KIND, NG>::STAGES>(slot);
    }
  }
  int thread = warp * 32 + lane;
  if (g.ss) {
    hopper__mbarrier_await(&s.rms_full, 0);
    if (thread < NG * 8) s.rms[thread] = 1.f / sqrtf(s.rms[thread] / (float)g.ss_width + g.eps);
  }
  device__barrier_sync(WIDE_BARRIER, WIDE_CONSUMERS); /* rms is there, and the ring is free */
  float4 *sums = (float4 *)s.stage, *own = sums + warp * NG * 32 + lane;
#pragma unroll
  for (int j = 0; j < NG; j++) {
    float4 last = make_float4(d[4 * j], d[4 * j + 1], d[4 * j + 2], d[4 * j + 3]);
    float4 before = make_float4(sum[4 * j], sum[4 * j + 1], sum[4 * j + 2], sum[4 * j + 3]);
    if (place.slices == CUDA_SLICES) last = gemm__add(before, last);
    if (place.slices == 2) {
      own[j * 32] = before;
      own[(WIDE_TILES * NG + j) * 32] = last;
    } else {
      own[j * 32] = last;
    }
  }
  if (place.cluster > 1) hopper__cluster_arrive();
  switch (g.op) {
  case CUDA_OP_QKV: wide__finish<CUDA_OP_QKV, NG>(g, sums, s.rms, place, n, warp, lane); break;
  case CUDA_OP_PROJECT:
    wide__finish<CUDA_OP_PROJECT, NG>(g, sums, s.rms, place, n, warp, lane);
    break;
  case CUDA_OP_GATE_UP:
    wide__finish<CUDA_OP_GATE_UP, NG>(g, sums, s.rms, place, n, warp, lane);
    break;
  default: wide__finish<CUDA_OP_HEAD, NG>(g, sums, s.rms, place, n, warp, lane);
  }
  if (place.cluster > 1) hopper__cluster_wait(); /* nobody leaves while its sums are read */
}

#endif /* sm_90a */

/* grid: row blocks * token blocks * cluster; cluster 1, 4 or 8. */
template <int KIND, int NG>
__global__ void __launch_bounds__(WIDE_THREADS, 2) gemm__wide(const __grid_constant__ cuda_gemm g) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char wide_memory[];
  wide_shared<KIND, NG> &s = *(wide_shared<KIND, NG> *)wide_memory;
  int warp = __shfl_sync(0xffffffffu, threadIdx.x >> 5, 0), lane = threadIdx.x & 31;
  wide_place place = wide__place<NG>(g);
  if (threadIdx.x == 0) {
    for (int i = 0; i < wide_shared<KIND, NG>::STAGES; i++) {
      hopper__mbarrier_init(&s.full[i], 2); /* weights, activations */
      hopper__mbarrier_init(&s.empty[i], WIDE_TILES);
    }
    hopper__mbarrier_init(&s.rms_full, WIDE_RMS_WARPS);
    hopper__mbarriers_made();
  }
  __syncthreads();
  int n = *g.count; /* of two launches back or more: may be read before the wait */
  if (warp < WIDE_TILES) {
    hopper__more_registers<96>();
    device__wait();
    device__trigger();
    wide__consume<KIND, NG>(g, s, place, n, warp, lane);
    return;
  }
  hopper__fewer_registers<48>();
  if (warp == WIDE_WEIGHTS_WARP) {
    if (lane == 0) wide__fetch_weights<KIND, NG>(g, s, place);
  } else {
    device__wait();
    device__trigger();
    if (warp == WIDE_ACTIVATIONS_WARP) {
      if (lane == 0) wide__fetch_activations<KIND, NG>(g, s, place);
    } else if (g.ss) {
      wide__squares<KIND, NG>(g, s, place, n, warp - WIDE_RMS_WARP, lane);
    }
  }
  __syncwarp();
  if (place.cluster == 1) return;
  hopper__cluster_arrive();
  hopper__cluster_wait();
  hopper__cluster_arrive();
  hopper__cluster_wait();
#endif
}

/* ---- launches ---------------------------------------------------------------------------- */

template <int KIND, int NG>
static cudaError_t wide__launch(const cuda_device *d, const cuda_gemm *g) {
  int shared = (int)sizeof(wide_shared<KIND, NG>);
  int blocks = (g->tiles + WIDE_TILES - 1) / WIDE_TILES * (g->groups / NG);
  /* Some 3/4 to 3/2 of the multiprocessors should have a block; twice as many can run at once. */
  int cluster = blocks * 8 <= d->sms * 3 / 2 ? 8 : blocks * 4 <= d->sms * 2 - 16 ? 4 : 1;
  auto kernel = gemm__wide<KIND, NG>;
  cudaError_t rc =
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
  if (rc == cudaSuccess)
    rc = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                              cudaSharedmemCarveoutMaxShared);
  if (rc != cudaSuccess) return rc;
  launch_config c(d, dim3(blocks * cluster), WIDE_THREADS, shared, cluster);
  return cudaLaunchKernelEx(&c.config, kernel, *g);
}

/* Declared in gemm.cuh, instantiated in gemm_wide_*.cu. */
template <int KIND> cudaError_t gemm__launch_wide(const cuda_device *d, const cuda_gemm *g) {
  if (g->layout != LAYOUT_WGMMA || !d->hopper) return cudaErrorInvalidValue;
  if (g->groups == 4) return wide__launch<KIND, 4>(d, g);
  if (g->groups % 8 == 0) return wide__launch<KIND, 8>(d, g);
  return cudaErrorInvalidValue;
}

#endif
