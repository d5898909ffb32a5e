/* rows.cu - what is done to rows: embedding, preparing for a norm, the top of the logits.
 *
 * Small kernels; what matters is that they do not wait for anything: the first of a step reads
 * the host's numbers itself, the last writes the answer into the host's memory. */
#include <math.h>

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/launch.cuh"

enum { ROW_THREADS = 256 };

/* ---- the prepared form of x ---------------------------------------------------------------- */

/* Groups of 8 lanes take the tiles of 16 columns of row t: lane r has columns r and r + 8. get(k)
 * is x[t, k]. All threads of the block call this. */
template <class GET>
__device__ __forceinline__ void rows__prepare(GET get, int t, int width, const float *norm,
                                              const cuda_normed &to) {
  int r = threadIdx.x & 7, groups_of_8 = blockDim.x / 8, tiles = (width + 15) / 16;
  for (int base = 0; base < tiles; base += groups_of_8) { /* whole warps stay together */
    int tile = base + threadIdx.x / 8, k = 16 * tile + r;
    float low = tile < tiles && k < width ? get(k) : 0.f;
    float high = tile < tiles && k + 8 < width ? get(k + 8) : 0.f;
    float squares = epilogue__tile_squares(low, high, 0);
    if (tile >= tiles) continue;
    if (r == 0) to.ss[(size_t)tile * to.ss_stride + t] = squares;
    if (k < width)
      device__packed_store(to.packed, t, k, to.groups, to.layout,
                           low * norm[k] * CUDA_NORMED_SCALE);
    if (k + 8 < width)
      device__packed_store(to.packed, t, k + 8, to.groups, to.layout,
                           high * norm[k + 8] * CUDA_NORMED_SCALE);
  }
}

__global__ void __launch_bounds__(ROW_THREADS)
    rows__prepare_kernel(const cuda_step *step, const float *x, int width, const float *norm,
                         cuda_normed to) {
  device__wait();
  device__trigger();
  int t = blockIdx.x;
  if (t >= step->n) return;
  const float *row = x + (size_t)t * width;
  rows__prepare([&](int k) { return row[k]; }, t, width, norm, to);
}

cudaError_t cuda__prepare(const cuda_device *d, const cuda_step *step, int n, const float *x,
                          int width, const float *norm, const cuda_normed *to) {
  launch_config c(d, dim3(n), ROW_THREADS);
  return c.launch(rows__prepare_kernel, step, x, width, norm, *to);
}

/* ---- embedding ------------------------------------------------------------------------------ */

__device__ __forceinline__ float rows__half_at(const char *p) {
  return __half2float(*(const __half *)p);
}

/* Number (row, k) of a packed matrix in plain rows, in f32. */
__device__ float rows__element(const char *w, const float *scale, int kind, int units, int row,
                               int k) {
  int tile = row >> 4, half = (row >> 3) & 1, r = row & 7;
  int block = (k >> 5) & 1, inside = k & 31, c = inside >> 3, i = inside & 7, lane = 4 * r + c;
  size_t unit = (size_t)tile * units + (k >> 6);
  switch (kind) {
  case CUDA_F16: {
    const char *u = w + unit * 2048;
    float v = rows__half_at(u + (2 * block + half) * 512 + lane * 16 + 2 * i);
    return scale ? v * scale[tile] : v;
  }
  case CUDA_Q8: {
    const char *u = w + unit * (1024 + 64);
    int q = (int)(uint8_t)u[block * 512 + lane * 16 + 8 * half + i] - 128;
    return rows__half_at(u + 1024 + r * 8 + half * 4 + block * 2) * (float)q;
  }
  default: break;
  }
  int bytes = kind == CUDA_Q4 ? 512 + 64 : kind == CUDA_Q4M ? 512 + 128 : 512 + 256 + 128;
  const char *u = w + unit * bytes;
  int p = i >> 1, e = i & 1;
  uint32_t word = *(const uint32_t *)(u + lane * 16 + 8 * block + 4 * half);
  int q = (int)(word >> (4 * p + 16 * e)) & 15;
  if (kind == CUDA_Q4)
    return rows__half_at(u + 512 + r * 8 + half * 4 + block * 2) * (float)(q - 8);
  if (kind == CUDA_Q4M) {
    const char *s = u + 512 + r * 16 + half * 8 + block * 2;
    return rows__half_at(s) * (float)q - rows__half_at(s + 4);
  }
  uint32_t high = *(const uint32_t *)(u + 512 + lane * 8 + 4 * block);
  q |= (int)((high >> (2 * (4 * half + p) + 16 * e)) & 3) << 4;
  return rows__half_at(u + 768 + r * 16 + half * 8 + (2 * block + (c >> 1)) * 2) * (float)(q - 32);
}

/* The step's numbers from host memory to the device, by one block: a read over the bus takes a
 * microsecond, so there are few, and side by side. */
enum { NUMBERS_THREADS = 512 };

__device__ __forceinline__ void rows__copy_over(int32_t *to, const int32_t *from, int n) {
  for (int i = threadIdx.x; 4 * i < n; i += NUMBERS_THREADS) /* arrays are whole 16 bytes */
    ((int4 *)to)[i] = ((const int4 *)from)[i];
}

__global__ void __launch_bounds__(NUMBERS_THREADS) rows__numbers_kernel(const cuda_embed e) {
  device__wait();
  device__trigger();
  const cuda_step *from = &e.input->step;
  int4 head = *(const int4 *)from; /* n, kv_len, n_out, tree */
  uint32_t number = e.input->number;
  rows__copy_over(e.ids_here, e.ids, e.n);
  rows__copy_over(e.pos_here, e.pos, e.n);
  rows__copy_over(e.out, e.out_rows, e.n_out);
  if (threadIdx.x == 0) {
    *(int4 *)e.step = head;
    *e.number = number;
  }
  if (!head.w || head.x > CUDA_EXACT) return;
  rows__copy_over(e.step->ancestors, from->ancestors, head.x);
  rows__copy_over((int32_t *)e.step->ancestor, (const int32_t *)from->ancestor,
                  head.x * CUDA_EXACT / 4);
}

/* A block a token. A step of one row takes its few numbers over the bus here: a launch less. */
__global__ void __launch_bounds__(ROW_THREADS) rows__embed_kernel(const cuda_embed e) {
  __shared__ int32_t asked[6];
  device__wait();
  device__trigger();
  int t = blockIdx.x;
  bool alone = e.n == 1;
  if (threadIdx.x < 6) {
    const cuda_input *in = e.input;
    const int32_t *over[6] = {&in->step.kv_len, &in->step.n_out, (const int32_t *)&in->number,
                              e.ids, e.pos, e.out_rows};
    const int32_t *here[6] = {&e.step->n, NULL, NULL, e.ids_here + t, e.pos_here + t, NULL};
    const int32_t *at = alone ? over[threadIdx.x] : here[threadIdx.x];
    asked[threadIdx.x] = at ? *(const volatile int32_t *)at : 0;
  }
  __syncthreads();
  if (alone && threadIdx.x == 0) {
    *(int4 *)e.step = make_int4(1, asked[0], asked[1], 0);
    *e.number = (uint32_t)asked[2];
    e.out[0] = asked[5];
  }
  if (!alone && t >= asked[0]) return;
  int row = asked[3], pos = asked[4];
  for (int i = threadIdx.x; i < e.half; i += ROW_THREADS) {
    float sine, cosine;
    sincosf((float)pos * e.frequency[i], &sine, &cosine);
    e.turn[(size_t)t * e.half + i] = make_float2(cosine, sine);
  }
  if (!e.x) return; /* only the numbers are wanted */
  float *x = e.x + (size_t)t * e.width;
  auto get = [&](int k) {
    return rows__element((const char *)e.w, e.scale, e.kind, e.units, row, k);
  };
  for (int k = threadIdx.x; k < e.width; k += ROW_THREADS) x[k] = get(k);
  if (e.norm) rows__prepare(get, t, e.width, e.norm, e.normed);
}

cudaError_t cuda__embed(const cuda_device *d, const cuda_embed *e) {
  if (e->n > 1) {
    launch_config numbers(d, dim3(1), NUMBERS_THREADS);
    cudaError_t rc = numbers.launch(rows__numbers_kernel, *e);
    if (rc != cudaSuccess) return rc;
  }
  launch_config c(d, dim3(e->n), ROW_THREADS);
  return c.launch(rows__embed_kernel, *e);
}

cudaError_t cuda__probe(int *arch) {
  cudaFuncAttributes attributes = {};
  cudaError_t rc = cudaFuncGetAttributes(&attributes, rows__embed_kernel);
  *arch = attributes.binaryVersion;
  return rc;
}

/* ---- packing and unpacking, for callers that bring plain rows ------------------------------- */

__global__ void __launch_bounds__(ROW_THREADS)
    rows__pack_kernel(const cuda_step *step, const float *y, int width, float scale, void *packed,
                      int groups, int layout) {
  device__wait();
  device__trigger();
  int t = blockIdx.x;
  if (t >= step->n) return;
  for (int k = threadIdx.x; k < width; k += ROW_THREADS)
    device__packed_store(packed, t, k, groups, layout, y[(size_t)t * width + k] * scale);
}

__global__ void __launch_bounds__(ROW_THREADS)
    rows__unpack_kernel(const void *packed, int width, float scale, int groups, int layout,
                        float *y) {
  device__wait();
  device__trigger();
  int t = blockIdx.x;
  for (int k = threadIdx.x; k < width; k += ROW_THREADS)
    y[(size_t)t * width + k] =
        scale * rows__half_at((const char *)packed + device__packed_at(t, k, groups, layout));
}

cudaError_t cuda__pack_rows(const cuda_device *d, const cuda_step *step, int n, const float *y,
                            int width, float scale, void *packed, int groups, int layout) {
  launch_config c(d, dim3(n), ROW_THREADS);
  return c.launch(rows__pack_kernel, step, y, width, scale, packed, groups, layout);
}

cudaError_t cuda__unpack_rows(const cuda_device *d, int n, const void *packed, int width,
                              float scale, int groups, int layout, float *y) {
  launch_config c(d, dim3(n), ROW_THREADS);
  return c.launch(rows__unpack_kernel, packed, width, scale, groups, layout,
                            y);
}

__global__ void __launch_bounds__(ROW_THREADS)
    rows__gather_kernel(const cuda_step *step, const int32_t *out, int width, cuda_normed from,
                        cuda_normed to) {
  device__wait();
  device__trigger();
  int t = blockIdx.x;
  if (t >= step->n_out) return;
  int row = out[t], tiles = (width + 15) / 16;
  for (int k = threadIdx.x; k < width; k += ROW_THREADS)
    *(__half *)((char *)to.packed + device__packed_at(t, k, to.groups, to.layout)) =
        *(const __half *)((const char *)from.packed +
                          device__packed_at(row, k, from.groups, from.layout));
  for (int i = threadIdx.x; i < tiles; i += ROW_THREADS)
    to.ss[(size_t)i * to.ss_stride + t] = from.ss[(size_t)i * from.ss_stride + row];
}

cudaError_t cuda__gather(const cuda_device *d, const cuda_step *step, const int32_t *out, int n_out,
                         int width, const cuda_normed *from, const cuda_normed *to) {
  launch_config c(d, dim3(n_out), ROW_THREADS);
  return c.launch(rows__gather_kernel, step, out, width, *from, *to);
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

/* grid n_out. The last block to finish tells the host. */
__global__ void __launch_bounds__(TOP_ROW_WARPS * 32)
    top__rows_kernel(const cuda_step *step, int k, const top_key *candidates, uint32_t *finished,
                     const uint32_t *number, cuda_output *output) {
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
  if (lane != 0) return;
  __threadfence_system();
  if (atomicAdd(finished, 1) + 1 != (uint32_t)rows) return;
  *finished = 0;
  __threadfence_system();
  output->done = *number;
}

cudaError_t cuda__top_k(const cuda_device *d, const cuda_step *step, int n_out, int vocab, int k,
                        const float *logits, void *candidates, uint32_t *finished,
                        const uint32_t *number, cuda_output *output) {
  top_key *keys = (top_key *)candidates;
  launch_config chunks(d, dim3(CUDA_TOP_CHUNKS, n_out), ROW_THREADS);
  cudaError_t rc = chunks.launch(top__chunks_kernel, step, logits, vocab, k, keys);
  if (rc != cudaSuccess) return rc;
  launch_config rows(d, dim3(n_out), TOP_ROW_WARPS * 32);
  return rows.launch(top__rows_kernel, step, k, (const top_key *)keys, finished, number, output);
}

/* ---- the cache ------------------------------------------------------------------------------ */

/* A thread moves 16 bytes of a slot, slot after slot: from[i] >= to + i, ascending, so nothing is
 * overwritten before it was read. */
__global__ void rows__cache_move_kernel(uint4 *cache, int planes, size_t plane, int width,
                                        const int32_t *from, int n, int to) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= planes * width) return;
  uint4 *at = cache + (size_t)(i / width) * plane + i % width;
  for (int j = 0; j < n; j++) at[(size_t)(to + j) * width] = at[(size_t)from[j] * width];
}

cudaError_t cuda__cache_move(const cuda_device *d, void *cache, int planes, int slots, int head_dim,
                             const int32_t *from, int n, int to) {
  int width = head_dim / 8, threads = planes * width;
  rows__cache_move_kernel<<<(threads + 127) / 128, 128, 0, d->stream>>>(
      (uint4 *)cache, planes, (size_t)slots * width, width, from, n, to);
  return cudaGetLastError();
}
