/* prefill_wgmma.cuh - products of many tokens on Hopper.
 *
 * A block of 128 rows by 256 tokens: two consumer warpgroups of 64 rows each (a warp has a tile),
 * whose sums are the 128 f32 registers a thread of wgmma m64n256k16. Weights are A, from
 * registers: fragment<KIND> is that operand's layout already. Activations are B, from shared
 * memory: 8 tokens by 32 columns as they lie packed (LAYOUT_WGMMA) are one atom of the 64-byte
 * swizzle, and 256 tokens by 32 columns are 16 KB on end. So both arrive by plain bulk copies.
 *
 * The order of columns differs from memory's, alike in A and B: of a 32-column block, k slot
 * 8 q + 2 c + e of the tensor cores is column 8 c + 2 q + e. Lane c of four holds word q of its
 * eight columns for slots 8 q + 2 c, + 1 of A; 16-byte chunk q of a token's 64 bytes is slots
 * 8 q .. 8 q + 7 of B, and has that column at bytes 4 c + 2 e.
 *
 * Warps: 0 - 3 and 4 - 7 consume; 8 fills a ring of stages (a unit each, 64 columns); 9 - 11 make
 * the inverse root mean squares of the tokens while the products are under way. The grid is
 * persistent. Stages run on across blocks, so that a block's first ones arrive while the last
 * block is finished; and the first warpgroup is kept some stages ahead of the second, so that
 * one computes with the whole of the tensor cores while the other finishes. */
#ifndef FIMD_KERNELS_PREFILL_WGMMA_CUH
#define FIMD_KERNELS_PREFILL_WGMMA_CUH

#include "kernels/cuda/prefill.cuh"

/* 1, or 2: blocks of two row blocks and the same tokens are a cluster, each fetches half of the
 * activations for both. */
#ifndef PREFILL_CLUSTER
#define PREFILL_CLUSTER 1
#endif

enum {
  PREFILL_WGMMA_THREADS = 384,
  PREFILL_WGMMA_TOKENS = 256,
  PREFILL_WGMMA_BLOCK = PREFILL_WGMMA_TOKENS * 64, /* bytes of 32 columns of activations */
  PREFILL_RMS_THREADS = 96,
  PREFILL_CONSUMER_WARPS = 8,
};

template <int KIND> struct prefill_stage {
  char b[2][PREFILL_WGMMA_BLOCK];
  char a[PREFILL_TILES][fragment<KIND>::BYTES];
};

template <int KIND> struct prefill_shared {
  /* AHEAD: units that the first warpgroup is ahead of the second, 1 or more: what is to be
   * finished is hidden for that long, what is to be loaded is in time for the rest of the ring. */
  enum { STAGES = KIND == CUDA_F16 ? 4 : 5, AHEAD = STAGES - 2 };
  static_assert(sizeof(prefill_stage<KIND>) % 512 == 0, "the swizzle's atoms are aligned");
  prefill_stage<KIND> stage[STAGES];
  char packed[2][2 * PREFILL_PACKED_BYTES]; /* a warpgroup's output on its way to memory */
  float rms[2][PREFILL_WGMMA_TOKENS];
  uint64_t full[STAGES], empty[STAGES], rms_full[2], rms_empty[2];
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* ---- barriers and copies ----------------------------------------------------------------- */

__device__ __forceinline__ uint32_t prefill__address(const void *shared) {
  return (uint32_t)__cvta_generic_to_shared(shared);
}
__device__ __forceinline__ void prefill__barrier_init(uint64_t *barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(prefill__address(barrier)),
               "r"(arrivals) : "memory");
}
__device__ __forceinline__ void prefill__arrive(uint64_t *barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(prefill__address(barrier))
               : "memory");
}
/* At this barrier of every block of the cluster; by a whole warp. */
__device__ __forceinline__ void prefill__arrive_all(uint64_t *barrier, int lane) {
  if (PREFILL_CLUSTER == 1) {
    if (lane == 0) prefill__arrive(barrier);
  } else if (lane < PREFILL_CLUSTER) {
    asm volatile("{ .reg .b32 at; mapa.shared::cluster.u32 at, %0, %1; "
                 "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [at]; }" ::
                 "r"(prefill__address(barrier)), "r"(lane) : "memory");
  }
}
__device__ __forceinline__ void prefill__expect(uint64_t *barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::
               "r"(prefill__address(barrier)), "r"(bytes) : "memory");
}
/* Until the phase of that parity has completed. */
__device__ __forceinline__ void prefill__await(uint64_t *barrier, int parity) {
  uint32_t at = prefill__address(barrier), done;
  do {
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
                 "selp.u32 %0, 1, 0, p; }" : "=r"(done) : "r"(at), "r"(parity) : "memory");
  } while (!done);
}
__device__ __forceinline__ void prefill__copy(void *shared, const void *global, int bytes,
                                              uint64_t *barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
               "[%0], [%1], %2, [%3];" ::"r"(prefill__address(shared)), "l"(global), "r"(bytes),
               "r"(prefill__address(barrier)) : "memory");
}
/* What other blocks of the cluster have arrived at, too. */
__device__ __forceinline__ void prefill__await_all(uint64_t *barrier, int parity) {
  if (PREFILL_CLUSTER == 1) return prefill__await(barrier, parity);
  uint32_t at = prefill__address(barrier), done;
  do {
    asm volatile("{ .reg .pred p; "
                 "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2; "
                 "selp.u32 %0, 1, 0, p; }" : "=r"(done) : "r"(at), "r"(parity) : "memory");
  } while (!done);
}
/* To the same place of both blocks of the cluster. */
__device__ __forceinline__ void prefill__copy_both(void *shared, const void *global, int bytes,
                                                   uint64_t *barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
               ".multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(prefill__address(shared)),
               "l"(global), "r"(bytes), "r"(prefill__address(barrier)), "h"((uint16_t)3)
               : "memory");
}
/* All threads of the cluster. */
__device__ __forceinline__ void prefill__sync_cluster() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
/* The 128 threads of a warpgroup. */
__device__ __forceinline__ void prefill__sync(int warpgroup) {
  asm volatile("bar.sync %0, 128;" ::"r"(1 + warpgroup) : "memory");
}

/* ---- tensor cores ------------------------------------------------------------------------ */

__device__ __forceinline__ void prefill__mma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void prefill__mma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int N> __device__ __forceinline__ void prefill__mma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* Descriptor of B in shared memory: 64-byte swizzle (2), groups of 8 tokens 512 bytes apart. The
 * offset between columns (1) has no meaning under a swizzle. In units of 16 bytes. */
__device__ __forceinline__ uint64_t prefill__describe(const void *shared) {
  uint64_t start = (prefill__address(shared) & 0x3ffff) >> 4;
  return start | (uint64_t)1 << 16 | (uint64_t)(512 >> 4) << 32 | (uint64_t)2 << 62;
}

#define PREFILL_D4(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define PREFILL_D16(i) \
  PREFILL_D4(i), PREFILL_D4((i) + 4), PREFILL_D4((i) + 8), PREFILL_D4((i) + 12)

/* d[64, 256] = a[64, 16] b[16, 256], + d if `add`. */
__device__ __forceinline__ void prefill__mma(float (&d)[128], const uint32_t a[4], uint64_t b,
                                             int add) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %133, 0; "
               "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 "
               "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15, "
               "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31, "
               "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47, "
               "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63, "
               "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79, "
               "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95, "
               "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111, "
               "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}, "
               "{%128,%129,%130,%131}, %132, p, 1, 1, 0; }"
               : PREFILL_D16(0), PREFILL_D16(16), PREFILL_D16(32), PREFILL_D16(48),
                 PREFILL_D16(64), PREFILL_D16(80), PREFILL_D16(96), PREFILL_D16(112)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

/* Keeps the registers of A where they are until here, by a store that is never made (`never`: 0,
 * which the compiler must not know). The tensor cores read them some time before the wait, but
 * ptxas (13.0) gives them away after the instruction if the wait is in another basic block. */
__device__ __forceinline__ void prefill__mma_hold(const uint32_t a[4], int never, void *shared) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %4, 0; "
               "@p st.volatile.shared.v4.u32 [%5], {%0,%1,%2,%3}; }" ::"r"(a[0]), "r"(a[1]),
               "r"(a[2]), "r"(a[3]), "r"(never), "r"(prefill__address(shared)) : "memory");
}

/* The sums are the tensor cores' until here. */
__device__ __forceinline__ void prefill__mma_finish(float (&d)[128]) {
  prefill__mma_wait<0>();
#pragma unroll
  for (int i = 0; i < 128; i++) asm volatile("" : "+f"(d[i])::"memory");
}

/* ---- the roles --------------------------------------------------------------------------- */

/* Blocks that a block takes: the same for all of its roles. */
struct prefill_walk {
  int first, stride, count; /* of clusters of blocks */
  int row_blocks, token_blocks, rank;
  __device__ __forceinline__ prefill_walk(const cuda_gemm &g) {
    rank = blockIdx.x % PREFILL_CLUSTER;
    first = blockIdx.x / PREFILL_CLUSTER;
    stride = gridDim.x / PREFILL_CLUSTER;
    int rows = PREFILL_CLUSTER * PREFILL_TILES;
    row_blocks = (g.tiles + rows - 1) / rows;
    token_blocks = g.groups / (PREFILL_WGMMA_TOKENS / 8);
    count = row_blocks * token_blocks;
  }
  __device__ __forceinline__ prefill_place place(int index) const {
    prefill_place p = prefill__place(index, row_blocks, token_blocks);
    p.row = p.row * PREFILL_CLUSTER + rank;
    return p;
  }
};

/* A ring's next slot, and the parity of its use. */
struct prefill_slot {
  int at, parity;
};
template <int STAGES> __device__ __forceinline__ void prefill__advance(prefill_slot &slot) {
  if (++slot.at == STAGES) {
    slot.at = 0;
    slot.parity ^= 1;
  }
}

/* By one thread. Weights of the first stages are asked for before device__wait(). */
template <int KIND>
__device__ __forceinline__ void prefill__produce(const cuda_gemm &g, prefill_shared<KIND> &s,
                                                 const prefill_walk &walk) {
  enum { STAGES = prefill_shared<KIND>::STAGES, BYTES = fragment<KIND>::BYTES };
  auto weights = [&](prefill_place place, int u, int at) {
    int tile = place.row * PREFILL_TILES;
    int tiles = max(0, min((int)PREFILL_TILES, g.tiles - tile)); /* 0: a cluster's last block */
    prefill__expect(&s.full[at], 2 * PREFILL_WGMMA_BLOCK + tiles * BYTES);
    const char *w = (const char *)g.w + ((size_t)tile * g.units + u) * BYTES;
    for (int i = 0; i < tiles; i++, w += (size_t)g.units * BYTES)
      prefill__copy(s.stage[at].a[i], w, BYTES, &s.full[at]);
  };
  auto activations = [&](prefill_place place, int u, int at) {
    int group = place.token * (PREFILL_WGMMA_TOKENS / 8);
    const char *b = (const char *)g.b + ((size_t)(2 * u) * g.groups + group) * 512;
    for (int i = 0; i < 2; i++, b += (size_t)g.groups * 512)
      if (PREFILL_CLUSTER == 1)
        prefill__copy(s.stage[at].b[i], b, PREFILL_WGMMA_BLOCK, &s.full[at]);
      else if (i == walk.rank)
        prefill__copy_both(s.stage[at].b[i], b, PREFILL_WGMMA_BLOCK, &s.full[at]);
  };

  int early = min((int)STAGES, g.units);
  prefill_place place = walk.place(walk.first);
  for (int u = 0; u < early; u++) weights(place, u, u);
  device__wait();
  device__trigger();
  /* What ordinary stores of the launch before left in memory, for the copies to read. */
  asm volatile("fence.proxy.async;" ::: "memory");
  for (int u = 0; u < early; u++) activations(place, u, u);

  prefill_slot slot = {early % STAGES, early / STAGES};
  int u = early;
  for (int index = walk.first; index < walk.count; index += walk.stride, u = 0) {
    place = walk.place(index);
    for (; u < g.units; u++) {
      prefill__await_all(&s.empty[slot.at], slot.parity ^ 1);
      weights(place, u, slot.at);
      activations(place, u, slot.at);
      prefill__advance<STAGES>(slot);
    }
  }
}

/* By PREFILL_RMS_THREADS threads. */
template <int KIND>
__device__ __forceinline__ void prefill__make_rms(const cuda_gemm &g, prefill_shared<KIND> &s,
                                                  const prefill_walk &walk, int thread) {
  device__wait();
  device__trigger();
  if (!g.ss) return;
  int n = *g.count;
  prefill_slot slot = {0, 0};
  for (int index = walk.first; index < walk.count; index += walk.stride) {
    int t0 = walk.place(index).token * PREFILL_WGMMA_TOKENS;
    prefill__await(&s.rms_empty[slot.at], slot.parity ^ 1);
    for (int i = thread; i < PREFILL_WGMMA_TOKENS; i += PREFILL_RMS_THREADS)
      s.rms[slot.at][i] = prefill__inverse_rms(g, t0 + i, n);
    prefill__arrive(&s.rms_full[slot.at]);
    prefill__advance<2>(slot);
  }
}

/* What a warpgroup has in shared memory, PREFILL_GROUPS groups from `group` on of its four tiles
 * from `tile` on (`tiles` of them real), to g.packed. */
template <int OP>
__device__ __forceinline__ void prefill__copy_out(const cuda_gemm &g, const char *packed, int tile,
                                                  int tiles, int group, int thread) {
  enum { BLOCKS = OP == CUDA_OP_GATE_UP ? 1 : 2, CHUNKS = PREFILL_PACKED_BYTES / 16 };
#pragma unroll
  for (int i = thread; i < BLOCKS * CHUNKS; i += 128) {
    int block = i / CHUNKS;
    char *to = (char *)g.packed + ((size_t)(tile * BLOCKS / 4 + block) * g.groups + group) * 512 +
               (i - block * CHUNKS) * 16;
    /* A chunk's four words are of eight columns each. */
    int words = OP == CUDA_OP_GATE_UP ? tiles : 2 * tiles - 4 * block;
    const char *from = packed + i * 16;
    if (words >= 4) {
      *(uint4 *)to = *(const uint4 *)from;
      continue;
    }
#pragma unroll 1
    for (int w = 0; w < words; w++) ((uint32_t *)to)[w] = ((const uint32_t *)from)[w];
  }
}

/* A warpgroup's 64 rows by 256 tokens: tiles from `tile` of the op's matrix on, `tiles` real. */
template <int OP>
__device__ __forceinline__ void prefill__finish_all(const cuda_gemm &g, float (&d)[128], int tile,
                                                    int tiles, int group, const float *rms, int n,
                                                    char *packed, int warpgroup, int thread) {
  enum { BATCHES = PREFILL_WGMMA_TOKENS / 8 / PREFILL_GROUPS, SUMS = 4 * PREFILL_GROUPS };
  int warp = thread >> 5, lane = thread & 31;
  bool mine = warp < tiles;
  bool packs = OP == CUDA_OP_GATE_UP || (OP == CUDA_OP_PROJECT && g.norm);
  prefill_rows rows = {};
  if (mine) rows = prefill__rows<OP>(g, tile + warp, lane);
  float in[SUMS];
  if (mine) prefill__fetch<OP>(g, rows, group, lane, n, in);
#pragma unroll
  for (int i = 0; i < BATCHES; i++) {
    int from = group + i * PREFILL_GROUPS;
    prefill_packed to = {packed, from * 8, tile * (OP == CUDA_OP_GATE_UP ? 8 : 16), PREFILL_GROUPS};
    if (mine) {
      prefill__finish<OP, LAYOUT_WGMMA>(g, rows, from, lane, n, d + i * SUMS,
                                        rms ? rms + i * 8 * PREFILL_GROUPS : NULL, in, to);
      if (i + 1 < BATCHES) prefill__fetch<OP>(g, rows, from + PREFILL_GROUPS, lane, n, in);
    }
    if (packs) {
      prefill__sync(warpgroup);
      prefill__copy_out<OP>(g, packed, tile, tiles, from, thread);
      prefill__sync(warpgroup);
    }
  }
}

/* All units of a block, by two warpgroups. While a unit's products are under way, what comes next
 * is made ready in other registers. All have come to an end at the end of the loop's body: what
 * is held (prefill__mma_hold) then need not be carried around, which might copy it. The gap this
 * leaves is the other warpgroup's. */
template <int KIND>
__device__ __forceinline__ void prefill__multiply(float (&d)[128], int units,
                                                  prefill_shared<KIND> &s, prefill_slot &slot,
                                                  int warp, int lane, int hand_over, int never) {
  enum { STAGES = prefill_shared<KIND>::STAGES };
  fragment<KIND> weights;
  uint32_t a[4][4];
  prefill__await(&s.full[slot.at], slot.parity);
  weights.template load<fragment_shared>(s.stage[slot.at].a[warp], lane);
  weights.get(0, 0, a[0]);
  weights.get(0, 1, a[1]);
#pragma unroll 1
  for (int u = 0; u < units; u++) {
    int now = slot.at;
    uint64_t b = prefill__describe(s.stage[now].b);
    /* 16 columns are 32 bytes of a token. */
    prefill__mma_fence();
    prefill__mma(d, a[0], b, u);
    prefill__mma(d, a[1], b + 2, 1);
    prefill__mma_commit();
    weights.get(1, 0, a[2]);
    weights.get(1, 1, a[3]);
    prefill__mma_fence();
    prefill__mma(d, a[2], b + PREFILL_WGMMA_BLOCK / 16, 1);
    prefill__mma(d, a[3], b + PREFILL_WGMMA_BLOCK / 16 + 2, 1);
    prefill__mma_commit();
    prefill__advance<STAGES>(slot);
    if (u + 1 == hand_over) asm volatile("bar.arrive 3, 256;" ::: "memory");
    prefill__mma_wait<1>();
    prefill__mma_hold(a[0], never, s.packed);
    prefill__mma_hold(a[1], never, s.packed);
    if (u + 1 < units) {
      prefill__await(&s.full[slot.at], slot.parity);
      weights.template load<fragment_shared>(s.stage[slot.at].a[warp], lane);
      weights.get(0, 0, a[0]);
      weights.get(0, 1, a[1]);
    }
    prefill__mma_wait<0>();
    prefill__mma_hold(a[2], never, s.packed);
    prefill__mma_hold(a[3], never, s.packed);
    prefill__arrive_all(&s.empty[now], lane);
  }
  prefill__mma_finish(d);
}

template <int KIND, int OP>
__device__ __forceinline__ void prefill__consume(const cuda_gemm &g, prefill_shared<KIND> &s,
                                                 const prefill_walk &walk, int warp, int lane) {
  int warpgroup = warp >> 2;
  float d[128];
#pragma unroll
  for (int i = 0; i < 128; i++) d[i] = 0;
  prefill_slot slot = {0, 0}, rms_slot = {0, 0};

  device__wait();
  device__trigger();
  int n = *g.count;
  /* The second begins when the first is so many units into its first block. */
  int hand_over = warpgroup == 0 ? min((int)prefill_shared<KIND>::AHEAD, g.units) : 0;
  if (warpgroup == 1) asm volatile("bar.sync 3, 256;" ::: "memory");
  for (int index = walk.first; index < walk.count; index += walk.stride) {
    prefill_place place = walk.place(index);
    prefill__multiply<KIND>(d, g.units, s, slot, warp, lane, hand_over, g.kind < 0);
    hand_over = 0;

    if (g.ss) prefill__await(&s.rms_full[rms_slot.at], rms_slot.parity);
    int tile = place.row * PREFILL_TILES + warpgroup * 4;
    prefill__finish_all<OP>(g, d, g.tile0 + tile, max(0, min(4, g.tiles - tile)),
                            place.token * (PREFILL_WGMMA_TOKENS / 8),
                            g.ss ? s.rms[rms_slot.at] : NULL, n, s.packed[warpgroup], warpgroup,
                            (warp & 3) * 32 + lane);
    if (g.ss) {
      __syncwarp();
      if (lane == 0) prefill__arrive(&s.rms_empty[rms_slot.at]);
      prefill__advance<2>(rms_slot);
    }
  }
}

#endif /* sm_90a */

/* grid: blocks that run together, one a multiprocessor at most. */
template <int KIND, int OP>
__global__ void __launch_bounds__(PREFILL_WGMMA_THREADS, 1)
  prefill__wgmma(const __grid_constant__ cuda_gemm g) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char prefill_memory[];
  prefill_shared<KIND> &s = *(prefill_shared<KIND> *)prefill_memory;
  int warp = __shfl_sync(0xffffffffu, threadIdx.x >> 5, 0), lane = threadIdx.x & 31;
  prefill_walk walk(g);
  if (threadIdx.x == 0) {
    for (int i = 0; i < prefill_shared<KIND>::STAGES; i++) {
      prefill__barrier_init(&s.full[i], 1);
      prefill__barrier_init(&s.empty[i], PREFILL_CONSUMER_WARPS * PREFILL_CLUSTER);
    }
    for (int i = 0; i < 2; i++) {
      prefill__barrier_init(&s.rms_full[i], PREFILL_RMS_THREADS);
      prefill__barrier_init(&s.rms_empty[i], PREFILL_CONSUMER_WARPS);
    }
    /* The copies are to see them too. */
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __syncthreads();
  if (PREFILL_CLUSTER > 1) prefill__sync_cluster();
  if (warp >= PREFILL_CONSUMER_WARPS) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (warp > PREFILL_CONSUMER_WARPS)
      prefill__make_rms<KIND>(g, s, walk, threadIdx.x - 32 * (PREFILL_CONSUMER_WARPS + 1));
    else if (lane == 0)
      prefill__produce<KIND>(g, s, walk);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    prefill__consume<KIND, OP>(g, s, walk, warp, lane);
  }
  /* Another block's copies and arrivals may be on their way here until it is done. */
  if (PREFILL_CLUSTER > 1) prefill__sync_cluster();
#endif
}

template <int KIND, int OP>
cudaError_t prefill__launch_wgmma(const cuda_device *d, const cuda_gemm *g) {
  size_t shared = sizeof(prefill_shared<KIND>);
  static_assert(sizeof(prefill_shared<KIND>) <= 227 * 1024, "what a block may have");
  cudaError_t err = cudaFuncSetAttribute(prefill__wgmma<KIND, OP>,
                                         cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
  if (err != cudaSuccess) return err;
  int rows = PREFILL_CLUSTER * PREFILL_TILES;
  int clusters = (g->tiles + rows - 1) / rows * (g->groups / (PREFILL_WGMMA_TOKENS / 8));
  if (clusters > d->sms / PREFILL_CLUSTER) clusters = d->sms / PREFILL_CLUSTER;
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = PREFILL_CLUSTER;
  attributes[1].val.clusterDim.y = 1;
  attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(clusters * PREFILL_CLUSTER);
  config.blockDim = dim3(PREFILL_WGMMA_THREADS);
  config.dynamicSmemBytes = shared;
  config.stream = d->stream;
  config.attrs = attributes;
  config.numAttrs = PREFILL_CLUSTER > 1 ? 2 : 1;
  return cudaLaunchKernelEx(&config, prefill__wgmma<KIND, OP>, *g);
}

#endif
