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
 * persistent, and may share out its last blocks by units (prefill_walk). Stages run on across
 * blocks, so that a block's first ones arrive while the last block is finished; and the first
 * warpgroup is kept some stages ahead of the second, so that one computes with the whole of the
 * tensor cores while the other finishes. */
#ifndef FIMD_KERNELS_PREFILL_WGMMA_CUH
#define FIMD_KERNELS_PREFILL_WGMMA_CUH

#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/prefill.cuh"

enum {
  PREFILL_WGMMA_THREADS = 384,
  PREFILL_WGMMA_TOKENS = 256,
  PREFILL_WGMMA_BLOCK = PREFILL_WGMMA_TOKENS * 64, /* bytes of 32 columns of activations */
  PREFILL_RMS_THREADS = 96,
  PREFILL_CONSUMER_WARPS = 8,
  PREFILL_LEAST_PART = 3,    /* units */
  PREFILL_LEAST_SHARED = 64, /* units of a block: for fewer the sums cost more than they save */
  PREFILL_LEAST_RANGE = 16,  /* units of a rank */
  PREFILL_SHARING_COST = 20, /* units' time, for leaving sums and taking them */
  PREFILL_SHARED_MOST = 56 << 20, /* bytes of both operands: Hopper's second cache has 50 MB */
  PREFILL_RANKS = 1024,
  PREFILL_GIVEN_BYTES = PREFILL_RANKS * 2 * 4,
  PREFILL_SUMS_BYTES = 64 * PREFILL_WGMMA_TOKENS * 4, /* of a warpgroup */
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

/* The 128 threads of a warpgroup. */
__device__ __forceinline__ void prefill__sync(int warpgroup) {
  device__barrier_sync(1 + warpgroup, 128);
}

/* ---- tensor cores ------------------------------------------------------------------------ */

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
               : HOPPER_D16(0), HOPPER_D16(16), HOPPER_D16(32), HOPPER_D16(48),
                 HOPPER_D16(64), HOPPER_D16(80), HOPPER_D16(96), HOPPER_D16(112)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

/* Keeps the registers of A where they are until here, by a store that is never made (`never`: 0,
 * which the compiler must not know). The tensor cores read them some time before the wait, but
 * ptxas (13.0) gives them away after the instruction if the wait is in another basic block. */
__device__ __forceinline__ void prefill__mma_hold(const uint32_t a[4], int never, void *shared) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %4, 0; "
               "@p st.volatile.shared.v4.u32 [%5], {%0,%1,%2,%3}; }" ::"r"(a[0]), "r"(a[1]),
               "r"(a[2]), "r"(a[3]), "r"(never), "r"(device__shared_address(shared)) : "memory");
}

/* ---- the roles --------------------------------------------------------------------------- */

/* Units from .. to - 1 of one of the op's blocks. */
struct prefill_part {
  int index, from, to;
};

/* What a block takes, the same for all of its roles: blocks of the op in turns. Where the last turn
 * would leave multiprocessors idle (g.scratch), the last one or two are shared out by units, in
 * ranges as long for each rank: what a rank takes is then the end of an op's block, some whole
 * ones, and the beginning of another. The rank that has a block's beginning finishes it, with the
 * sums of those that have the rest. They are the ranks after it, so the thread blocks before it,
 * which are there already. */
struct prefill_walk {
  int first, stride, count, units;
  int whole; /* blocks that are taken in turns */
  int rank, begin, end; /* units that are shared out, from block `whole` on */
  int row_blocks, token_blocks;
  __device__ __forceinline__ prefill_walk(const cuda_gemm &g) {
    first = blockIdx.x;
    stride = gridDim.x;
    units = g.units;
    row_blocks = (g.tiles + PREFILL_TILES - 1) / PREFILL_TILES;
    token_blocks = g.groups / (PREFILL_WGMMA_TOKENS / 8);
    count = row_blocks * token_blocks;
    whole = count;
    rank = begin = end = 0;
    if (g.scratch) {
      whole = max(0, count / stride - 1) * stride;
      rank = stride - 1 - first;
      begin = bound(rank);
      end = bound(rank + 1);
    }
  }
  /* Where a rank's units begin. */
  __device__ __forceinline__ int bound(int rank) const {
    int at = (count - whole) * units * rank / stride, behind = at % units;
    if (behind < PREFILL_LEAST_PART) return at - behind;
    return units - behind < PREFILL_LEAST_PART ? at + units - behind : at;
  }
  __device__ __forceinline__ prefill_part shared(int at) const {
    prefill_part part = {count, 0, 0};
    if (at < end) {
      int block = at / units;
      part.index = whole + block;
      part.from = at - block * units;
      part.to = min(units, part.from + end - at);
    }
    return part;
  }
  __device__ __forceinline__ prefill_part start() const {
    return first < whole ? prefill_part{first, 0, units} : shared(begin);
  }
  /* Over where index is `count`. */
  __device__ __forceinline__ prefill_part next(const prefill_part &part) const {
    if (part.index >= whole) return shared((part.index - whole) * units + part.to);
    return part.index + stride < whole ? prefill_part{part.index + stride, 0, units}
                                       : shared(begin);
  }
  __device__ __forceinline__ prefill_place place(int index) const {
    return prefill__place(index, row_blocks, token_blocks);
  }
  /* The first of a place's groups of 8 tokens. */
  __device__ __forceinline__ int group(prefill_place place) const {
    return place.token * (PREFILL_WGMMA_TOKENS / 8);
  }
};

/* By one thread. Weights of the first stages are asked for before device__wait(). */
template <int KIND>
__device__ __forceinline__ void prefill__produce(const cuda_gemm &g, prefill_shared<KIND> &s,
                                                 const prefill_walk &walk) {
  enum { STAGES = prefill_shared<KIND>::STAGES, BYTES = fragment<KIND>::BYTES };
  auto weights = [&](prefill_place place, int u, int at) {
    int tile = place.row * PREFILL_TILES;
    /* 1 or more. max() is for the machine code alone: without it ptxas makes another, which has
     * not been measured. */
    int tiles = max(0, min((int)PREFILL_TILES, g.tiles - tile));
    hopper__mbarrier_expect(&s.full[at], 2 * PREFILL_WGMMA_BLOCK + tiles * BYTES);
    const char *w = (const char *)g.w + ((size_t)tile * g.units + u) * BYTES;
    for (int i = 0; i < tiles; i++, w += (size_t)g.units * BYTES)
      hopper__copy(s.stage[at].a[i], w, BYTES, &s.full[at]);
  };
  auto activations = [&](prefill_place place, int u, int at) {
    int group = walk.group(place);
    const char *b = (const char *)g.b + ((size_t)(2 * u) * g.groups + group) * 512;
    for (int i = 0; i < 2; i++, b += (size_t)g.groups * 512)
      hopper__copy(s.stage[at].b[i], b, PREFILL_WGMMA_BLOCK, &s.full[at]);
  };

  prefill_part part = walk.start();
  int early = min((int)STAGES, part.to - part.from);
  prefill_place place = walk.place(part.index);
  for (int u = 0; u < early; u++) weights(place, part.from + u, u);
  device__wait();
  device__trigger();
  /* What ordinary stores of the launch before left in memory, for the copies to read. */
  hopper__fence_async();
  for (int u = 0; u < early; u++) activations(place, part.from + u, u);

  hopper_slot slot = {early % STAGES, early / STAGES};
  part.from += early;
  for (; part.index < walk.count; part = walk.next(part)) {
    place = walk.place(part.index);
    for (int u = part.from; u < part.to; u++) {
      hopper__mbarrier_await(&s.empty[slot.at], slot.parity ^ 1);
      weights(place, u, slot.at);
      activations(place, u, slot.at);
      hopper__advance<STAGES>(slot);
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
  hopper_slot slot = {0, 0};
  for (prefill_part part = walk.start(); part.index < walk.count; part = walk.next(part)) {
    if (part.from > 0) continue; /* another block finishes it */
    int t0 = walk.place(part.index).token * PREFILL_WGMMA_TOKENS;
    hopper__mbarrier_await(&s.rms_empty[slot.at], slot.parity ^ 1);
    for (int i = thread; i < PREFILL_WGMMA_TOKENS; i += PREFILL_RMS_THREADS)
      s.rms[slot.at][i] = prefill__inverse_rms(g, t0 + i, n);
    hopper__mbarrier_arrive(&s.rms_full[slot.at]);
    hopper__advance<2>(slot);
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
                                                  prefill_shared<KIND> &s, hopper_slot &slot,
                                                  int warp, int lane, int hand_over, int never) {
  enum { STAGES = prefill_shared<KIND>::STAGES };
  fragment<KIND> weights;
  uint32_t a[4][4];
  hopper__mbarrier_await(&s.full[slot.at], slot.parity);
  weights.template load<fragment_shared>(s.stage[slot.at].a[warp], lane);
  weights.get(0, 0, a[0]);
  weights.get(0, 1, a[1]);
#pragma unroll 1
  for (int u = 0; u < units; u++) {
    int now = slot.at;
    uint64_t b = hopper__tokens(s.stage[now].b);
    /* 16 columns are 32 bytes of a token. */
    hopper__mma_fence();
    prefill__mma(d, a[0], b, u);
    prefill__mma(d, a[1], b + 2, 1);
    hopper__mma_commit();
    weights.get(1, 0, a[2]);
    weights.get(1, 1, a[3]);
    hopper__mma_fence();
    prefill__mma(d, a[2], b + PREFILL_WGMMA_BLOCK / 16, 1);
    prefill__mma(d, a[3], b + PREFILL_WGMMA_BLOCK / 16 + 2, 1);
    hopper__mma_commit();
    hopper__advance<STAGES>(slot);
    if (u + 1 == hand_over) device__barrier_arrive(3, 256);
    hopper__mma_wait<1>();
    prefill__mma_hold(a[0], never, s.packed);
    prefill__mma_hold(a[1], never, s.packed);
    if (u + 1 < units) {
      hopper__mbarrier_await(&s.full[slot.at], slot.parity);
      weights.template load<fragment_shared>(s.stage[slot.at].a[warp], lane);
      weights.get(0, 0, a[0]);
      weights.get(0, 1, a[1]);
    }
    hopper__mma_wait<0>();
    prefill__mma_hold(a[2], never, s.packed);
    prefill__mma_hold(a[3], never, s.packed);
    if (lane == 0) hopper__mbarrier_arrive(&s.empty[now]);
  }
  hopper__mma_wait<0>();
  hopper__mma_finish(d);
}

/* ---- sums of a part ---------------------------------------------------------------------- */

__device__ __forceinline__ uint32_t *prefill__given(const cuda_gemm &g, int rank, int warpgroup) {
  return (uint32_t *)g.scratch + 2 * rank + warpgroup;
}

__device__ __forceinline__ float4 *prefill__sums(const cuda_gemm &g, int rank, int warpgroup,
                                                 int thread) {
  char *sums = (char *)g.scratch + PREFILL_GIVEN_BYTES;
  return (float4 *)(sums + (size_t)(2 * rank + warpgroup) * PREFILL_SUMS_BYTES) + thread;
}

/* Leaves a warpgroup's sums for the rank that finishes the block. */
__device__ __forceinline__ void prefill__give(const cuda_gemm &g, const float (&d)[128], int rank,
                                              int warpgroup, int thread) {
  float4 *to = prefill__sums(g, rank, warpgroup, thread);
#pragma unroll
  for (int i = 0; i < 32; i++)
    __stcg(to + 128 * i, make_float4(d[4 * i], d[4 * i + 1], d[4 * i + 2], d[4 * i + 3]));
  __threadfence();
  prefill__sync(warpgroup);
  if (thread == 0)
    asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(prefill__given(g, rank, warpgroup))
                 : "memory");
}

/* Adds them, once they are there, and leaves word that they may come again. */
__device__ __forceinline__ void prefill__take(const cuda_gemm &g, float (&d)[128], int rank,
                                              int warpgroup, int thread) {
  if (thread == 0) {
    uint32_t *given = prefill__given(g, rank, warpgroup), there;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(there) : "l"(given) : "memory");
    } while (!there);
    *given = 0;
    __threadfence();
  }
  prefill__sync(warpgroup);
  const float4 *from = prefill__sums(g, rank, warpgroup, thread);
#pragma unroll
  for (int i = 0; i < 32; i++) {
    float4 v = __ldcg(from + 128 * i);
    d[4 * i] += v.x;
    d[4 * i + 1] += v.y;
    d[4 * i + 2] += v.z;
    d[4 * i + 3] += v.w;
  }
}

template <int KIND, int OP>
__device__ __forceinline__ void prefill__consume(const cuda_gemm &g, prefill_shared<KIND> &s,
                                                 const prefill_walk &walk, int warp, int lane) {
  int warpgroup = warp >> 2;
  float d[128];
#pragma unroll
  for (int i = 0; i < 128; i++) d[i] = 0;
  hopper_slot slot = {0, 0}, rms_slot = {0, 0};

  device__wait();
  device__trigger();
  int n = *g.count;
  /* The second begins when the first is so many units into its first block. */
  prefill_part part = walk.start();
  int hand_over =
      warpgroup == 0 ? min((int)prefill_shared<KIND>::AHEAD, part.to - part.from) : 0;
  if (warpgroup == 1) device__barrier_sync(3, 256);
  for (; part.index < walk.count; part = walk.next(part)) {
    prefill_place place = walk.place(part.index);
    prefill__multiply<KIND>(d, part.to - part.from, s, slot, warp, lane, hand_over, g.kind < 0);
    hand_over = 0;
    int thread = (warp & 3) * 32 + lane;
    if (part.from > 0) {
      prefill__give(g, d, walk.rank, warpgroup, thread);
      continue;
    }
    int block_end = (part.index - walk.whole + 1) * g.units;
    if (part.to < g.units)
      for (int rank = walk.rank + 1; walk.bound(rank) < block_end; rank++)
        prefill__take(g, d, rank, warpgroup, thread);

    if (g.ss) hopper__mbarrier_await(&s.rms_full[rms_slot.at], rms_slot.parity);
    int tile = place.row * PREFILL_TILES + warpgroup * 4;
    prefill__finish_all<OP>(g, d, g.tile0 + tile, max(0, min(4, g.tiles - tile)),
                            walk.group(place), g.ss ? s.rms[rms_slot.at] : NULL, n,
                            s.packed[warpgroup], warpgroup, thread);
    if (g.ss) {
      __syncwarp();
      if (lane == 0) hopper__mbarrier_arrive(&s.rms_empty[rms_slot.at]);
      hopper__advance<2>(rms_slot);
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
      hopper__mbarrier_init(&s.full[i], 1);
      hopper__mbarrier_init(&s.empty[i], PREFILL_CONSUMER_WARPS);
    }
    for (int i = 0; i < 2; i++) {
      hopper__mbarrier_init(&s.rms_full[i], PREFILL_RMS_THREADS);
      hopper__mbarrier_init(&s.rms_empty[i], PREFILL_CONSUMER_WARPS);
    }
    hopper__mbarriers_made();
  }
  __syncthreads();
  if (warp >= PREFILL_CONSUMER_WARPS) {
    hopper__fewer_registers<40>();
    if (warp > PREFILL_CONSUMER_WARPS)
      prefill__make_rms<KIND>(g, s, walk, threadIdx.x - 32 * (PREFILL_CONSUMER_WARPS + 1));
    else if (lane == 0)
      prefill__produce<KIND>(g, s, walk);
  } else {
    hopper__more_registers<232>();
    prefill__consume<KIND, OP>(g, s, walk, warp, lane);
  }
#endif
}

static inline int prefill__blocks(const cuda_gemm *g) {
  int row_blocks = (g->tiles + PREFILL_TILES - 1) / PREFILL_TILES;
  return row_blocks * (g->groups / (PREFILL_WGMMA_TOKENS / 8));
}

/* Whether its blocks are shared out by units. Ranks are not at the same columns at the same time,
 * as blocks that are taken in turns are, so all of both operands must stay in the second cache. */
static inline bool prefill__shares(const cuda_device *d, const cuda_gemm *g) {
  int blocks = prefill__blocks(g), turns = (blocks + d->sms - 1) / d->sms;
  int range = blocks * g->units / d->sms;
  int64_t weights = (int64_t)g->tiles * g->units * cuda__unit_bytes((cuda_kind)g->kind);
  int64_t activations = (int64_t)g->groups * g->units * 1024;
  return d->hopper && d->prefill_scratch && g->units >= PREFILL_LEAST_SHARED &&
         range >= PREFILL_LEAST_RANGE && range + PREFILL_SHARING_COST < turns * g->units &&
         weights + activations <= PREFILL_SHARED_MOST;
}

template <int KIND, int OP>
cudaError_t prefill__launch_wgmma(const cuda_device *d, const cuda_gemm *op) {
  static_assert(sizeof(prefill_shared<KIND>) <= 227 * 1024, "what a block may have");
  cuda_gemm g = *op;
  int blocks = prefill__blocks(op);
  bool shares = prefill__shares(d, op);
  g.scratch = shares ? d->prefill_scratch : NULL;
  launch_config c(d, dim3(shares || blocks > d->sms ? d->sms : blocks), PREFILL_WGMMA_THREADS,
                  (int)sizeof(prefill_shared<KIND>));
  return c.launch(prefill__wgmma<KIND, OP>, g);
}

#endif
