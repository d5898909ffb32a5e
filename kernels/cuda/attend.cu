/* attend.cu - attention of one to CUDA_EXACT tokens over the cache, causal or as a tree.
 *
 * EXACT. The bits of a token's result are a function of its query and of its keys in order, and
 * of nothing else. Its keys are numbered: first the committed slots, then its ancestors among the
 * step's rows, ascending, then itself. When a draft's accepted path is compacted into the cache
 * its keys keep their numbers, so everything is cut by number, not by slot:
 *
 *   tile    64 keys [64 t, 64 t + 64), from nothing: S = q k^T on the tensor cores, head_dim
 *           ascending; m = the largest of S / sqrt(head_dim) (in powers of 2: times log2 e);
 *           P = 2^(S - m) as f16; l = P 1 and o = P v on the tensor cores, keys ascending
 *   group   four tiles, merged from the left;   result: the groups, merged from the left
 *   merge   (m, l, o) + (m', l', o'): M = max(m, m'); (M, l 2^(m - M) + l' 2^(m' - M), ...);
 *           nothing + x is x itself. Roundings are spelled out (__fmaf_rn): no kernel may differ.
 *
 * A row of mma.m16n8k16 depends on its own row of A only, so it does not matter which rows share
 * an instruction, nor which warp issues it. Keys beyond a token's last have S = -inf by selection,
 * P = 0, and v is masked to 0 in the registers: what is stored there (another token's value, or
 * the NaN of memory never written) cannot matter, not even through the alignment of exponents
 * inside the tensor core.
 *
 * On Hopper attend_cluster.cuh does it, except where a long cache meets few tokens. Otherwise
 * rows of an instruction are 2 tokens by up to 8 heads of one kv head, and there are three kernels:
 *
 * attend_one: one token, short contexts. A block of 8 warps takes one tile of one kv head, and
 *   all of its heads or, where there are multiprocessors to spare, some. The warps share S by keys
 *   (exchanged through shared memory) and o by dims. Parts go to scratch; the last block of the
 *   same heads merges them. Committed keys are requested before the wait for the kernel that
 *   makes the query.
 * attend_parts: a block of 4 warps takes 8 tokens and walks over `span` tiles (1 where blocks are
 *   few, else 4: a group), which all its tokens share through shared memory (two stages). A warp
 *   has two tokens, all heads of the kv head. Causal rows need nothing else: key s is in slot s.
 *   In a tree this serves the tiles below the first that has a draft's key; the others are each
 *   token's own, and a block each: gathered, and computed as in attend_one.
 * attend_fold: merges the parts of a token and head; a thread has one dim. The weights that they
 *   are merged with follow from all parts' m, side by side; what is left is a chain of products.
 *
 * Scratch: counters; then rows of parts [row][head] (m, l) and [row][head][head_dim] o. Row
 * item * tokens + t is token t's part of span `item`; own tiles follow. Where that would be much
 * memory (long caches) the tokens go in several passes over the same scratch. */
#include "kernels/cuda/attend_cluster.cuh"
#include "kernels/cuda/attend_tile.cuh"

/* ---- a tile of one token, shared by the warps of a block ---------------------------------- */

/* The tile's keys and values are in shared memory (visible to all); s_shared: 8 * S_STRIDE
 * floats. q has the token's heads in rows 0 .. 7, the others are 0. Writes row `row` of parts. */
template <int D, int WARPS>
__device__ __forceinline__ void tile_of_one(const cuda_attend &a, const attend_plan &p,
                                            attend_heads h, uint32_t keys, uint32_t values,
                                            float *s_shared, const uint32_t q[D / 16][4],
                                            int valid, size_t row) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, c = lane & 3;
#pragma unroll
  for (int i = 0; i < 8 / WARPS; i++) {
    int nt = warp * (8 / WARPS) + i;
    float s[4] = {};
#pragma unroll
    for (int kb = 0; kb < D / 32; kb++) {
      uint32_t r[4];
      attend__keys<D>(r, keys, nt, kb, lane);
      device__mma(s, q[2 * kb][0], 0, q[2 * kb][2], 0, r[0], r[1]);
      device__mma(s, q[2 * kb + 1][0], 0, q[2 * kb + 1][2], 0, r[2], r[3]);
    }
    *(float2 *)(s_shared + g * S_STRIDE + 8 * nt + 2 * c) = make_float2(s[0], s[1]);
  }
  __syncthreads();
  float s[8][4], l[4];
  uint32_t prob[8][2];
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float2 v = *(const float2 *)(s_shared + g * S_STRIDE + 8 * i + 2 * c);
    s[i][0] = v.x, s[i][1] = v.y;
    prob[i][1] = 0;
  }
  float m = soften<0>(s, prob, valid, exponent_scale<D>(), c);
  size_t at = row * a.heads + h.first + g;
  if (warp == 0) {
    sums(l, prob);
    if (c == 0 && g < h.count) p.ml[at] = make_float2(m, l[0]);
  }
  const int dims = D / 8 / WARPS;
  float o[dims][4] = {};
#pragma unroll
  for (int k2 = 0; k2 < 2; k2++) {
#pragma unroll
    for (int i = 0; i < dims; i++) {
      uint32_t r[4];
      attend__values<D>(r, values, warp * dims + i, k2, lane);
      if (valid < ATTEND_KEYS) {
#pragma unroll
        for (int j = 0; j < 4; j++) r[j] &= values_mask(valid, 2 * k2 + j / 2, j % 2, c);
      }
      device__mma(o[i], prob[4 * k2][0], 0, prob[4 * k2 + 1][0], 0, r[0], r[1]);
      device__mma(o[i], prob[4 * k2 + 2][0], 0, prob[4 * k2 + 3][0], 0, r[2], r[3]);
    }
  }
  if (g < h.count) {
#pragma unroll
    for (int i = 0; i < dims; i++)
      *(float2 *)(p.o + at * D + 8 * (warp * dims + i) + 2 * c) = make_float2(o[i][0], o[i][1]);
  }
}

/* ---- one token --------------------------------------------------------------------------- */

/* The weights (of the state, of the part) that one head's parts are merged with, from all tiles'
 * m: of tile t in its group to tile[t] (and its l), of group i in the result to group[i]. A state
 * that is nothing is -0 here, and its weights are 1: -0 + x is x, for every x. A lane has tiles
 * lane + 32 k. */
__device__ __forceinline__ void weights_of_head(const cuda_attend &a, const attend_plan &p,
                                                int head, int tiles, float4 *tile,
                                                float2 *group) {
  const int lane = threadIdx.x & 31;
  float before = -INFINITY; /* the largest m of all earlier rounds */
  for (int t = lane; t - lane < tiles; t += 32) {
    float2 ml = make_float2(-INFINITY, 0.f);
    if (t < tiles) ml = __ldcg(p.ml + (size_t)t * a.heads + head);
    float most = ml.x; /* of the group up to here */
    for (int by = 1; by < GROUP; by *= 2) {
      float x = __shfl_up_sync(0xffffffffu, most, by);
      if (lane % GROUP >= by) most = fmaxf(most, x);
    }
    float last = __shfl_up_sync(0xffffffffu, most, 1);
    float w[2] = {1.f, 1.f};
    if (t % GROUP) {
      w[0] = attend__exp2(__fsub_rn(last, most));
      w[1] = attend__exp2(__fsub_rn(ml.x, most));
    }
    if (t < tiles) tile[t] = make_float4(w[0], w[1], ml.y, 0.f);

    float whole = __shfl_sync(0xffffffffu, most, lane | (GROUP - 1)); /* the group's m */
    float all = fmaxf(whole, before);                                 /* of groups up to here */
    for (int by = GROUP; by < 32; by *= 2) {
      float x = __shfl_up_sync(0xffffffffu, all, by);
      if (lane >= by) all = fmaxf(all, x);
    }
    float earlier = __shfl_up_sync(0xffffffffu, all, GROUP);
    if (lane < GROUP) earlier = before;
    if (t % GROUP == 0 && t < tiles) {
      float2 v = make_float2(1.f, 1.f);
      if (t > 0)
        v = make_float2(attend__exp2(__fsub_rn(earlier, all)), attend__exp2(__fsub_rn(whole, all)));
      group[t / GROUP] = v;
    }
    before = __shfl_sync(0xffffffffu, all, 31);
  }
}

/* attend_one's end: what attend_fold does, with one block for all heads. The weights are made once,
 * by a warp for a head, while the first parts are on their way. */
template <int D>
__device__ __forceinline__ void fold_one(const cuda_attend &a, const attend_plan &p,
                                         attend_heads h, int tiles, float4 *tile, float2 *group) {
  const int batch = 32, most = ONE_MOST / ATTEND_KEYS, warp = threadIdx.x >> 5;
  const size_t stride = (size_t)a.heads * D;
  float2 part[batch];
  bool here = false;
  for (int i = threadIdx.x; i - threadIdx.x < h.count * (D / 2); i += 256) {
    const int slot = i / (D / 2), head = h.first + slot, dim = i % (D / 2) * 2;
    const bool real = slot < h.count;
    const float *from = p.o + (size_t)head * D + dim;
    float sum_l = -0.f, l = -0.f;
    float2 sum = make_float2(-0.f, -0.f), o = sum;
    for (int base = 0; base < tiles; base += batch) {
#pragma unroll
      for (int j = 0; j < batch; j++)
        if (real && base + j < tiles)
          part[j] = __ldcg((const float2 *)(from + (base + j) * stride));
      if (!here) {
        if (warp < h.count)
          weights_of_head(a, p, h.first + warp, tiles, tile + warp * most,
                          group + warp * (most / GROUP));
        __syncthreads();
        here = true;
      }
      if (!real) continue;
#pragma unroll
      for (int j = 0; j < batch; j++) {
        int t = base + j;
        if (t >= tiles) continue;
        float4 w = tile[slot * most + t];
        l = merged(l, w.x, w.z, w.y);
        o.x = merged(o.x, w.x, part[j].x, w.y);
        o.y = merged(o.y, w.x, part[j].y, w.y);
        if (t % GROUP == GROUP - 1 || t == tiles - 1) {
          float2 v = group[slot * (most / GROUP) + t / GROUP];
          sum_l = merged(sum_l, v.x, l, v.y);
          sum.x = merged(sum.x, v.x, o.x, v.y);
          sum.y = merged(sum.y, v.x, o.y, v.y);
          l = o.x = o.y = -0.f;
        }
      }
    }
    if (!real) continue;
    __half2 v = __halves2half2(device__half(result(sum.x, sum_l)),
                               device__half(result(sum.y, sum_l)));
    *(__half2 *)((char *)a.packed +
                 device__packed_at(0, head * D + dim, a.groups, a.layout)) = v;
  }
}

template <int D> __global__ void __launch_bounds__(256) attend_one(cuda_attend a, attend_plan p) {
  __shared__ __align__(128) char keys[ATTEND_KEYS * D * 2];
  __shared__ __align__(128) char values[ATTEND_KEYS * D * 2];
  __shared__ __align__(16) float s_shared[8 * S_STRIDE];
  __shared__ int last;
  const int lane = threadIdx.x & 31, g = lane >> 2, chunks = D / 8;
  const int kv_len = a.step->kv_len, len = kv_len + 1, tile = blockIdx.x;
  const int tiles = (len + ATTEND_KEYS - 1) / ATTEND_KEYS;
  if (tile >= tiles) {
    device__wait();
    device__trigger();
    return;
  }
  attend_heads h = heads_of(a, p, blockIdx.y);
  for (int i = threadIdx.x; i < ATTEND_KEYS * chunks; i += 256) {
    int slot = tile * ATTEND_KEYS + i / chunks;
    if (slot < kv_len) request<D>(a, keys, values, h.kv, slot, i / chunks, i % chunks);
  }
  device__wait();
  device__trigger();
  if (tile == tiles - 1 && threadIdx.x < chunks)
    request<D>(a, keys, values, h.kv, kv_len, kv_len % ATTEND_KEYS, threadIdx.x);
  device__copy_commit();
  uint32_t q[D / 16][4];
  attend__query<D>(q, 0, a.q + (size_t)(h.first + min(g, h.count - 1)) * D, g < h.count, lane & 3);
  device__copy_wait<0>();
  __syncthreads();
  tile_of_one<D, 8>(a, p, h, device__shared_address(keys), device__shared_address(values), s_shared,
                    q, min(ATTEND_KEYS, len - tile * ATTEND_KEYS), (size_t)tile * p.tokens);
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(p.counters + blockIdx.y, 1) == tiles - 1;
    __threadfence();
  }
  __syncthreads();
  if (!last) return;
  if (threadIdx.x == 0) p.counters[blockIdx.y] = 0;
  fold_one<D>(a, p, h, tiles, (float4 *)keys, (float2 *)values);
}

/* ---- parts: spans that tokens share ------------------------------------------------------- */

/* Tile `tile` of slots [0, slots) to a stage: keys, then values. */
template <int D>
__device__ __forceinline__ void request_tile(const cuda_attend &a, char *stage, int kv, int tile,
                                             int slots) {
  const int chunks = D / 8;
#pragma unroll 2
  for (int i = threadIdx.x; i < ATTEND_KEYS * chunks; i += 128) {
    int row = i / chunks, slot = tile * ATTEND_KEYS + row;
    if (slot < slots)
      request<D>(a, stage, stage + ATTEND_KEYS * D * 2, kv, slot, row, i % chunks);
  }
  device__copy_commit();
}

template <int D>
__device__ void part_of_span(const cuda_attend &a, const attend_plan &p, char *shared, int index) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, c = lane & 3;
  const int n = a.step->n, kv_len = a.step->kv_len, tree = a.step->tree;
  const int blocks = p.tokens / BLOCK, kv_blocks = a.kv_heads * p.head_blocks;
  const int block = index % blocks, item = index / blocks / kv_blocks, first = item * p.span;
  const attend_heads h = heads_of(a, p, index / blocks % kv_blocks);
  const int token0 = p.token0 + block * BLOCK, token = token0 + 2 * warp;
  int end = kv_len / ATTEND_KEYS;
  if (!tree) end = (kv_len + min(n, token0 + BLOCK) + ATTEND_KEYS - 1) / ATTEND_KEYS;
  int count = token0 < n ? min(p.span, end - first) : 0;
  int len[2]; /* a last odd token's neighbour takes its keys: no need to mask all tiles */
#pragma unroll
  for (int i = 0; i < 2; i++)
    len[i] = token >= n ? 0 : tree ? end * ATTEND_KEYS : kv_len + min(token + i, n - 1) + 1;

  /* Two stages. Committed tiles are requested before the wait. */
  const int stage_bytes = 2 * ATTEND_KEYS * D * 2;
  int issued = 0;
  for (; issued < 2 && issued < count && (first + issued + 1) * ATTEND_KEYS <= kv_len; issued++)
    request_tile<D>(a, shared + issued * stage_bytes, h.kv, first + issued, kv_len);
  device__wait();
  device__trigger();
  if (count <= 0) return;
  for (; issued < 2 && issued < count; issued++)
    request_tile<D>(a, shared + issued * stage_bytes, h.kv, first + issued, kv_len + n);

  uint32_t q[D / 16][4];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    size_t at = ((size_t)min(token + i, n - 1) * a.heads + h.first + min(g, h.count - 1)) * D;
    attend__query<D>(q, i, a.q + at, token + i < n && g < h.count, c);
    __syncwarp();
  }
  float m[2] = {}, l[2] = {}, o[D / 8][4];
#pragma unroll
  for (int i = 0; i < D / 2; i++) o[i / 4][i % 4] = -0.f;
#pragma unroll 1
  for (int j = 0; j < count; j++) {
    if (j + 1 < count) device__copy_wait<1>();
    else device__copy_wait<0>();
    __syncthreads();
    char *stage = shared + (j & 1) * stage_bytes;
    attend_take take = {};
    take.first = j == 0;
    /* Not max(0, min(64, x)) == 64: ptxas 13.0 makes VIMNMX.RELU of it and takes the comparison
     * from a predicate of that instruction which says something else. */
    take.full = true;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int left = len[i] - (first + j) * ATTEND_KEYS;
      take.full = take.full && left >= ATTEND_KEYS;
      take.valid[i] = min(ATTEND_KEYS, left);
    }
    if (take.valid[0] > 0 || take.valid[1] > 0) {
      uint32_t keys = device__shared_address(stage);
      take_tile<D>(m, l, o, q, keys, keys + ATTEND_KEYS * D * 2, take, lane);
    }
    __syncthreads();
    if (j + 2 < count) request_tile<D>(a, stage, h.kv, first + j + 2, kv_len + n);
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (token + i >= n || len[i] <= first * ATTEND_KEYS || g >= h.count) continue;
    size_t row = (size_t)item * p.tokens + (token + i - p.token0);
    size_t at = row * a.heads + h.first + g;
    if (c == 0) p.ml[at] = make_float2(m[i], l[i]);
#pragma unroll
    for (int d = 0; d < D / 8; d++)
      *(float2 *)(p.o + at * D + 8 * d + 2 * c) = make_float2(o[d][2 * i], o[d][2 * i + 1]);
  }
}

/* ---- parts: a tree's own tiles ------------------------------------------------------------ */

template <int D>
__device__ void part_of_one(const cuda_attend &a, const attend_plan &p, char *shared, int index) {
  const int lane = threadIdx.x & 31, g = lane >> 2, chunks = D / 8;
  const cuda_step *step = a.step;
  const int kv_len = step->kv_len, kv_blocks = a.kv_heads * p.head_blocks;
  const int which = index % p.own, t = index / p.own / kv_blocks, token = p.token0 + t;
  const attend_heads h = heads_of(a, p, index / p.own % kv_blocks);
  const int first = (kv_len / ATTEND_KEYS + which) * ATTEND_KEYS;
  int valid = 0, ancestors = 0;
  if (step->tree && token < step->n) {
    ancestors = step->ancestors[token];
    valid = min(ATTEND_KEYS, kv_len + ancestors + 1 - first);
  }
  char *keys = shared, *values = shared + ATTEND_KEYS * D * 2;
  float *s_shared = (float *)(shared + 2 * ATTEND_KEYS * D * 2);
  int *slots = (int *)(s_shared + 8 * S_STRIDE);
  if ((int)threadIdx.x < valid)
    slots[threadIdx.x] = slot_of(step, token, ancestors, first + threadIdx.x);
  __syncthreads();
  const int committed = max(0, min(valid, kv_len - first));
  for (int i = threadIdx.x; i < committed * chunks; i += 128)
    request<D>(a, keys, values, h.kv, slots[i / chunks], i / chunks, i % chunks);
  device__wait();
  device__trigger();
  if (valid <= 0) return;
  for (int i = committed * chunks + threadIdx.x; i < valid * chunks; i += 128)
    request<D>(a, keys, values, h.kv, slots[i / chunks], i / chunks, i % chunks);
  device__copy_commit();
  uint32_t q[D / 16][4];
  attend__query<D>(q, 0, a.q + ((size_t)token * a.heads + h.first + min(g, h.count - 1)) * D,
                   g < h.count, lane & 3);
  device__copy_wait<0>();
  __syncthreads();
  tile_of_one<D, 4>(a, p, h, device__shared_address(keys), device__shared_address(values), s_shared,
                    q, valid,
                    (size_t)p.items * p.tokens + (size_t)t * p.own + which);
}

/* Blocks: of spans, [item][kv head's block of heads][block of tokens]; then of own tiles,
 * [token][kv head's block of heads][tile]. */
template <int D> __global__ void __launch_bounds__(128) attend_parts(cuda_attend a, attend_plan p) {
  extern __shared__ uint4 attend_shared[];
  int index = blockIdx.x, spans = p.items * a.kv_heads * p.head_blocks * (p.tokens / BLOCK);
  if (index < spans) part_of_span<D>(a, p, (char *)attend_shared, index);
  else part_of_one<D>(a, p, (char *)attend_shared, index - spans);
}

/* ---- folding ------------------------------------------------------------------------------ */

enum { FOLD = 32 }; /* parts at a time */

/* The parts of a token: spans of its shared tiles, then its own tiles. */
typedef struct fold_parts {
  int spans, parts;
  int shared; /* tiles in spans */
  int span;
  /* How many parts stand before part i in its group. */
  __device__ __forceinline__ int place(int i) const {
    if (i < spans) return span == 1 ? i % GROUP : 0;
    int tile = shared + i - spans, start = tile - tile % GROUP;
    return span > 1 && start < shared ? 1 + i - spans : tile % GROUP;
  }
  __device__ __forceinline__ bool ends(int i) const { /* its group */
    return i + 1 == parts || place(i + 1) == 0;
  }
} fold_parts;

/* What is left of earlier rounds. */
typedef struct fold_carry {
  float all;   /* the largest m of all parts */
  float group; /* of those of the last one's group */
  float before; /* of those before that group */
} fold_carry;

/* The weights that part base + lane is merged with: (of its group so far, of the part, l, whether
 * it ends the group); and if it does, (of the result so far, of the group). A state that is nothing
 * is -0 here, and its weights are 1: -0 + x is x, for every x. */
__device__ __forceinline__ void fold_weights(const fold_parts &f, int base, float2 ml, int lane,
                                             fold_carry &carry, float4 *weight, float2 *whole) {
  const uint32_t all_lanes = 0xffffffffu;
  const int i = base + lane;
  const bool real = i < f.parts;
  const int place = real ? f.place(i) : 0;
  const float m = real ? ml.x : -INFINITY;
  float most = m, up = fmaxf(m, carry.all); /* of its group up to here; of all up to here */
  for (int by = 1; by < GROUP; by *= 2) {
    float x = __shfl_up_sync(all_lanes, most, by);
    if (place >= by && lane >= by) most = fmaxf(most, x);
  }
  if (place > lane) most = fmaxf(most, carry.group);
  for (int by = 1; by < 32; by *= 2) {
    float x = __shfl_up_sync(all_lanes, up, by);
    if (lane >= by) up = fmaxf(up, x);
  }
  float last = __shfl_up_sync(all_lanes, most, 1);
  if (lane == 0) last = carry.group;
  const int first = lane - place; /* the group's first part */
  float before = __shfl_sync(all_lanes, up, first > 0 ? first - 1 : 0);
  if (first == 0) before = carry.all;
  if (first < 0) before = carry.before;
  if (real) {
    const bool end = f.ends(i);
    float4 w = make_float4(1.f, 1.f, ml.y, end ? 1.f : 0.f);
    if (place > 0) {
      w.x = attend__exp2(__fsub_rn(last, most));
      w.y = attend__exp2(__fsub_rn(m, most));
    }
    weight[lane] = w;
    if (end) {
      float both = fmaxf(before, most);
      whole[lane] = base + first == 0 ? make_float2(1.f, 1.f)
                                      : make_float2(attend__exp2(__fsub_rn(before, both)),
                                                    attend__exp2(__fsub_rn(most, both)));
    }
  }
  carry.all = __shfl_sync(all_lanes, up, 31);
  carry.group = __shfl_sync(all_lanes, most, 31);
  carry.before = __shfl_sync(all_lanes, before, 31);
}

/* Block (head, token); a thread has a dim. The first warp makes the weights while all wait for
 * their parts. */
template <int D> __global__ void __launch_bounds__(D) attend_fold(cuda_attend a, attend_plan p) {
  __shared__ float4 weight[FOLD];
  __shared__ float2 whole[FOLD];
  const int head = blockIdx.x, t = blockIdx.y, token = p.token0 + t, lane = threadIdx.x & 31;
  const cuda_step *step = a.step;
  const bool tree = step->tree, real = token < step->n;
  const int len = step->kv_len + 1 + (tree && real ? step->ancestors[token] : token);
  const int tiles = (len + ATTEND_KEYS - 1) / ATTEND_KEYS;
  fold_parts f;
  f.span = p.span;
  f.shared = tree ? step->kv_len / ATTEND_KEYS : tiles;
  f.spans = (f.shared + p.span - 1) / p.span;
  f.parts = f.spans + tiles - f.shared;
  auto row_of = [&](int i) {
    int row = i < f.spans ? i * p.tokens + t : p.items * p.tokens + t * p.own + i - f.spans;
    return (size_t)row * a.heads + head;
  };
  device__wait();
  device__trigger();
  if (!real) return;
  float sum_l = -0.f, sum = -0.f, l = -0.f, o = -0.f;
  fold_carry carry = {-INFINITY, -INFINITY, -INFINITY};
#pragma unroll 1
  for (int base = 0; base < f.parts; base += FOLD) {
    float2 ml = make_float2(0.f, 0.f);
    if (threadIdx.x < 32 && base + lane < f.parts) ml = __ldcg(p.ml + row_of(base + lane));
    float part[FOLD];
#pragma unroll
    for (int j = 0; j < FOLD; j++)
      if (base + j < f.parts) part[j] = __ldcg(p.o + row_of(base + j) * D + threadIdx.x);
    if (base > 0) __syncthreads();
    if (threadIdx.x < 32) fold_weights(f, base, ml, lane, carry, weight, whole);
    __syncthreads();
#pragma unroll
    for (int j = 0; j < FOLD; j++) {
      if (base + j >= f.parts) break;
      float4 w = weight[j];
      l = merged(l, w.x, w.z, w.y);
      o = merged(o, w.x, part[j], w.y);
      if (w.w == 0.f) continue;
      float2 v = whole[j];
      sum_l = merged(sum_l, v.x, l, v.y);
      sum = merged(sum, v.x, o, v.y);
      l = o = -0.f;
    }
  }
  device__packed_store(a.packed, token, head * D + threadIdx.x, a.groups, a.layout,
                       result(sum, sum_l));
}

/* ---- host -------------------------------------------------------------------------------- */

static int divided(int x, int by) { return (x + by - 1) / by; }

/* Rows of parts of spans that scratch has room for; at least a block of tokens by all groups. */
static int rows_of_spans(int slots) {
  int tiles = divided(slots, ATTEND_KEYS), rows = BLOCK * divided(tiles, GROUP);
  if (rows < ROWS_MOST) rows = ROWS_MOST;
  return tiles < rows / CUDA_EXACT ? CUDA_EXACT * tiles : rows;
}

static size_t rows_of_scratch(int slots) {
  return (size_t)rows_of_spans(slots) + (size_t)CUDA_EXACT * OWN_MOST;
}

/* Bytes of (m, l), a whole number of 256. */
static size_t ml_bytes(int slots, int heads) {
  return (rows_of_scratch(slots) * (size_t)heads * sizeof(float2) + 255) / 256 * 256;
}

size_t cuda__attend_scratch(const kernels_shape *s, int slots) {
  return COUNTER_BYTES + ml_bytes(slots, s->heads) +
         rows_of_scratch(slots) * (size_t)s->heads * (size_t)s->head_dim * sizeof(float);
}

template <int D>
static cudaError_t attend_pass(const cuda_device *d, const cuda_attend *a, const attend_plan *p) {
  int kv_blocks = a->kv_heads * p->head_blocks;
  int n = a->n - p->token0 < p->tokens ? a->n - p->token0 : p->tokens;
  unsigned parts = (unsigned)(p->items * kv_blocks * (p->tokens / BLOCK) + n * kv_blocks * p->own);
  cudaError_t rc = attend__launch(d, attend_parts<D>, dim3(parts), 128, 2 * 2 * ATTEND_KEYS * D * 2,
                                  *a, *p);
  if (rc != cudaSuccess) return rc;
  return attend__launch(d, attend_fold<D>, dim3((unsigned)a->heads, (unsigned)n), D, 0, *a, *p);
}

template <int D> static cudaError_t attend_run(const cuda_device *d, const cuda_attend *a) {
  int keys = a->kv_most < a->slots ? a->kv_most : a->slots, room = rows_of_spans(a->slots);
  int tiles = divided(keys, ATTEND_KEYS), blocks = divided(a->n, BLOCK);
  attend_plan p = {};
  p.span = 1;
  p.items = tiles;
  int per_kv = a->heads / a->kv_heads;
  p.head_blocks = divided(per_kv, ATTEND_SLOTS);
  p.block_heads = per_kv < ATTEND_SLOTS ? per_kv : ATTEND_SLOTS;
  p.counters = (int *)a->partials;
  p.ml = (float2 *)((char *)a->partials + COUNTER_BYTES);
  p.o = (float *)((char *)a->partials + COUNTER_BYTES + ml_bytes(a->slots, a->heads));
  if (d->hopper) {
    bool done;
    cudaError_t rc = attend_clusters<D>(d, a, p, tiles, &done);
    if (rc != cudaSuccess || done) return rc;
  }
  int kv_blocks = a->kv_heads * p.head_blocks;
  if (a->n == 1 && keys <= ONE_MOST) {
    p.tokens = 1;
    /* Heads of a kv head in different blocks: keys are read twice, but then from L2, and what the
     * last block does at the end gets shorter. */
    while (p.block_heads > 1 && 2 * tiles * kv_blocks <= 4 * d->sms) {
      p.block_heads = divided(p.block_heads, 2);
      p.head_blocks = divided(per_kv, p.block_heads);
      kv_blocks = a->kv_heads * p.head_blocks;
    }
    return attend__launch(d, attend_one<D>, dim3((unsigned)tiles, (unsigned)kv_blocks), 256, 0, *a,
                          p);
  }
  p.own = divided(ATTEND_KEYS - 1 + a->n, ATTEND_KEYS);
  p.tokens = blocks * BLOCK;
  /* Single tiles while that gives no more than two rounds of blocks, two on a multiprocessor. */
  if (tiles * kv_blocks * blocks > 4 * d->sms || tiles * p.tokens > room) {
    p.span = GROUP;
    p.items = divided(tiles, GROUP);
    if (p.items * p.tokens > room) p.tokens = room / p.items / BLOCK * BLOCK;
  }
  for (; p.token0 < a->n; p.token0 += p.tokens) {
    cudaError_t rc = attend_pass<D>(d, a, &p);
    if (rc != cudaSuccess) return rc;
  }
  return cudaSuccess;
}

cudaError_t cuda__attend(const cuda_device *d, const cuda_attend *a) {
  if (a->n < 1 || a->n > CUDA_EXACT || a->kv_most < 1) return cudaErrorInvalidValue;
  if (a->head_dim == 64) return attend_run<64>(d, a);
  if (a->head_dim == 128) return attend_run<128>(d, a);
  return cudaErrorInvalidValue;
}
