/* top.cu - what a step tells of its logits: the best of each row, and, where asked for, what their
 * probabilities are relative to (logsumexp).
 *
 * A row is cut into chunks, a block each, and one block a row folds them; the last block of all
 * writes the number of the step into the host's memory, behind the answer. Both orders are those of
 * the row alone, whatever else is in the step. The sums have a launch of their own, in steps that
 * ask for them: the others are as they were without. */
#include <math.h>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"

enum { ROW_THREADS = 256 };

/* ---- the sum of the logits ------------------------------------------------------------------- */

/* Over the lanes of a warp, every lane with the same bits: of two lanes each adds the other's to
 * its own. */
__device__ __forceinline__ float sums__warp_most(float x) {
#pragma unroll
  for (int i = 16; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, i));
  return x;
}
__device__ __forceinline__ float sums__warp_sum(float x) {
#pragma unroll
  for (int i = 16; i > 0; i /= 2) x = __fadd_rn(x, __shfl_xor_sync(0xffffffffu, x, i));
  return x;
}

/* exp(x - most), and nothing of what is no number or infinitely little. */
__device__ __forceinline__ float sums__term(float x, float most) {
  return x > -INFINITY ? expf(__fsub_rn(x, most)) : 0.f;
}

/* grid (chunks, n_out). A thread adds up its logits in ascending order, then come the lanes, then
 * the warps: one order for every row. The second reading is from the first cache. */
__global__ void __launch_bounds__(ROW_THREADS)
    sums__chunks_kernel(const cuda_step *step, const float *logits, int vocab, float2 *sums) {
  __shared__ float mosts[ROW_THREADS / 32], parts[ROW_THREADS / 32];
  const int row = blockIdx.y, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  device__wait();
  device__trigger();
  if (row >= step->n_out) return;
  const int chunk = (vocab + CUDA_TOP_CHUNKS - 1) / CUDA_TOP_CHUNKS, from = blockIdx.x * chunk;
  const int end = min(from + chunk, vocab);
  const float *x = logits + (size_t)row * vocab;
  float most = -INFINITY, sum = 0.f;
  for (int i = from + threadIdx.x; i < end; i += ROW_THREADS) most = fmaxf(most, x[i]);
  most = sums__warp_most(most);
  if (lane == 0) mosts[warp] = most;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < ROW_THREADS / 32; i++) most = fmaxf(most, mosts[i]);
  for (int i = from + threadIdx.x; i < end; i += ROW_THREADS)
    sum = __fadd_rn(sum, sums__term(x[i], most));
  sum = sums__warp_sum(sum);
  if (lane == 0) parts[warp] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  sum = parts[0];
#pragma unroll
  for (int i = 1; i < ROW_THREADS / 32; i++) sum = __fadd_rn(sum, parts[i]);
  sums[(size_t)row * CUDA_TOP_CHUNKS + blockIdx.x] = make_float2(most, sum);
}

cudaError_t cuda__sums(const cuda_device *d, const cuda_step *step, int n_out, int vocab,
                       const float *logits, float2 *sums) {
  launch_config c(d, dim3(CUDA_TOP_CHUNKS, n_out), ROW_THREADS);
  return c.launch(sums__chunks_kernel, step, logits, vocab, sums);
}

/* A row's logsumexp of its chunks', by one warp: the largest counts exp(0) = 1, so the sum is at
 * least 1, and its logarithm not below 0. -inf where the row has no number. */
__device__ __forceinline__ float sums__row(const float2 *chunks) {
  static_assert(CUDA_TOP_CHUNKS == 64, "two chunks a lane");
  const float2 a = chunks[threadIdx.x & 31], b = chunks[32 + (threadIdx.x & 31)];
  const float most = sums__warp_most(fmaxf(a.x, b.x));
  const float low = __fmul_rn(a.y, sums__term(a.x, most));
  const float high = __fmul_rn(b.y, sums__term(b.x, most));
  const float sum = sums__warp_sum(__fadd_rn(low, high));
  return most > -INFINITY ? __fadd_rn(most, logf(sum)) : most;
}

/* ---- the top of the logits ------------------------------------------------------------------- */

/* A logit and its token as one number: larger is better, and of equals the smaller token. Nothing
 * is 0, below every logit. -0 is 0, and what is no number is -inf. */
typedef unsigned long long top_key;

__device__ __forceinline__ uint32_t top__ordered(float v) {
  uint32_t bits = __float_as_uint(v == v ? __fadd_rn(v, 0.f) : -INFINITY);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ top_key top__key(uint32_t ordered, int id) {
  return (top_key)ordered << 32 | (uint32_t)~id;
}
__device__ __forceinline__ float top__value(top_key key) {
  uint32_t ordered = (uint32_t)(key >> 32);
  return __uint_as_float(ordered >> 31 ? ordered & 0x7fffffffu : ~ordered);
}

/* In a warp. */
__device__ __forceinline__ uint32_t top__most(uint32_t x) {
  return __reduce_max_sync(0xffffffffu, x);
}

/* k times the best of what a warp holds is left. put(i, key) is called by lane 0. */
template <int HELD, class PUT>
__device__ __forceinline__ void top__take(top_key (&held)[HELD], int k, PUT put) {
  for (int i = 0; i < k; i++) {
    top_key best = held[0];
#pragma unroll
    for (int j = 1; j < HELD; j++)
      if (held[j] > best) best = held[j];
    uint32_t high = top__most((uint32_t)(best >> 32));
    uint32_t low = top__most(high == (uint32_t)(best >> 32) ? (uint32_t)best : 0);
    best = (top_key)high << 32 | low;
    if ((threadIdx.x & 31) == 0) put(i, best);
#pragma unroll
    for (int j = 0; j < HELD; j++)
      if (held[j] == best) held[j] = 0;
  }
}

enum {
  TOP_HELD = 10, /* logits of a thread at a time: with 64 chunks, 163,840 of a row */
  TOP_WARPS = ROW_THREADS / 32,
  TOP_LIST = 64, /* of a warp's logits, that may be among the best */
};

/* A warp's logits that may be among its best k, to list[TOP_LIST]; how many. The k-th best of its
 * lanes' own best is a bound: what is below has k before it. */
__device__ __forceinline__ int top__list(const uint32_t (&ordered)[TOP_HELD], int first, int k,
                                         top_key *list) {
  const int lane = threadIdx.x & 31;
  uint32_t own = 0, bound = 0;
#pragma unroll
  for (int j = 0; j < TOP_HELD; j++) own = max(own, ordered[j]);
  for (int i = 0; i < k; i++) {
    bound = top__most(own);
    if (__ffs(__ballot_sync(0xffffffffu, own == bound)) == lane + 1) own = 0;
  }
  int n = 0;
#pragma unroll
  for (int j = 0; j < TOP_HELD; j++) {
    bool in = ordered[j] > 0 && ordered[j] >= bound;
    uint32_t all = __ballot_sync(0xffffffffu, in);
    int at = n + __popc(all & ((1u << lane) - 1));
    if (in && at < TOP_LIST) list[at] = top__key(ordered[j], first + j * ROW_THREADS);
    n += __popc(all);
  }
  if (n <= TOP_LIST) return n;
  top_key held[TOP_HELD]; /* many are equal */
#pragma unroll
  for (int j = 0; j < TOP_HELD; j++)
    held[j] = ordered[j] > 0 ? top__key(ordered[j], first + j * ROW_THREADS) : 0;
  __syncwarp();
  top__take(held, k, [&](int i, top_key key) { list[i] = key; });
  return k;
}

/* grid (chunks, n_out). */
__global__ void __launch_bounds__(ROW_THREADS)
    top__chunks_kernel(const cuda_step *step, const float *logits, int vocab, int k,
                       top_key *candidates) {
  __shared__ top_key list[TOP_WARPS][TOP_LIST], best[KERNELS_TOP_K_MAX];
  __shared__ int count[TOP_WARPS];
  const int row = blockIdx.y, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  device__wait();
  device__trigger();
  if (row >= step->n_out) return;
  const int chunk = (vocab + CUDA_TOP_CHUNKS - 1) / CUDA_TOP_CHUNKS, from = blockIdx.x * chunk;
  const int end = min(from + chunk, vocab);
  const float *x = logits + (size_t)row * vocab;
  if (threadIdx.x < k) best[threadIdx.x] = 0;
  for (int at = from; at < end || at == from; at += ROW_THREADS * TOP_HELD) {
    uint32_t ordered[TOP_HELD];
    const int first = at + threadIdx.x;
#pragma unroll
    for (int j = 0; j < TOP_HELD; j++) {
      int id = first + j * ROW_THREADS;
      ordered[j] = id < end ? top__ordered(x[id]) : 0;
    }
    int n = top__list(ordered, first, k, list[warp]);
    if (lane == 0) count[warp] = n;
    __syncthreads();
    if (warp == 0) {
      top_key held[2 * TOP_WARPS + 1];
#pragma unroll
      for (int j = 0; j < 2 * TOP_WARPS; j++) {
        int i = j % 2 * 32 + lane;
        held[j] = i < count[j / 2] ? list[j / 2][i] : 0;
      }
      held[2 * TOP_WARPS] = lane < k ? best[lane] : 0;
      __syncwarp();
      top__take(held, k, [&](int i, top_key key) { best[i] = key; });
    }
    __syncthreads();
  }
  top_key *to = candidates + ((size_t)row * CUDA_TOP_CHUNKS + blockIdx.x) * KERNELS_TOP_K_MAX;
  if (threadIdx.x < k) to[threadIdx.x] = best[threadIdx.x];
}

enum {
  TOP_ROW_WARPS = 4,
  TOP_ROW_HELD = CUDA_TOP_CHUNKS * KERNELS_TOP_K_MAX / (TOP_ROW_WARPS * 32),
};

/* grid n_out. The last block to finish tells the host, so it is here, before that, that the
 * logsumexp of a row is told, where SUMS. */
template <bool SUMS>
__global__ void __launch_bounds__(TOP_ROW_WARPS * 32)
    top__rows_kernel(const cuda_step *step, int k, const top_key *candidates, uint32_t *finished,
                     const uint32_t *number, cuda_output *output, const float2 *sums) {
  __shared__ top_key best[TOP_ROW_WARPS][KERNELS_TOP_K_MAX];
  const int row = blockIdx.x, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  device__wait();
  device__trigger();
  const int rows = step->n_out;
  if (row >= rows) return;
  const top_key *from = candidates + (size_t)row * CUDA_TOP_CHUNKS * KERNELS_TOP_K_MAX;
  top_key held[TOP_ROW_HELD];
#pragma unroll
  for (int j = 0; j < TOP_ROW_HELD; j++) {
    int i = j * (TOP_ROW_WARPS * 32) + threadIdx.x, chunk = i / k;
    held[j] = chunk < CUDA_TOP_CHUNKS ? from[chunk * KERNELS_TOP_K_MAX + i % k] : 0;
  }
  top__take(held, k, [&](int i, top_key key) { best[warp][i] = key; });
  __syncthreads();
  if (warp != 0) return;
  top_key few[TOP_ROW_WARPS * KERNELS_TOP_K_MAX / 32];
#pragma unroll
  for (int j = 0; j < TOP_ROW_WARPS * KERNELS_TOP_K_MAX / 32; j++) {
    int i = j * 32 + lane;
    few[j] = i % KERNELS_TOP_K_MAX < k ? best[i / KERNELS_TOP_K_MAX][i % KERNELS_TOP_K_MAX] : 0;
  }
  top__take(few, k, [&](int i, top_key key) {
    output->ids[row * k + i] = (int)~(uint32_t)key;
    output->logits[row * k + i] = top__value(key);
  });
  if (SUMS) {
    const float sum = sums__row(sums + (size_t)row * CUDA_TOP_CHUNKS);
    if (lane == 0) output->logsumexp[row] = sum;
  }
  if (lane != 0) return;
  __threadfence_system();
  if (atomicAdd(finished, 1) + 1 != (uint32_t)rows) return;
  *finished = 0;
  __threadfence_system();
  output->done = *number;
}

cudaError_t cuda__top_k(const cuda_device *d, const cuda_step *step, int n_out, int vocab, int k,
                        const float *logits, void *candidates, const float2 *sums,
                        uint32_t *finished, const uint32_t *number, cuda_output *output) {
  top_key *keys = (top_key *)candidates;
  launch_config chunks(d, dim3(CUDA_TOP_CHUNKS, n_out), ROW_THREADS);
  cudaError_t rc = chunks.launch(top__chunks_kernel, step, logits, vocab, k, keys);
  if (rc != cudaSuccess) return rc;
  launch_config rows(d, dim3(n_out), TOP_ROW_WARPS * 32);
  return rows.launch(sums ? top__rows_kernel<true> : top__rows_kernel<false>, step, k,
                     (const top_key *)keys, finished, number, output, sums);
}
