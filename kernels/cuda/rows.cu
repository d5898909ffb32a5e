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

struct top_pair {
  float value;
  int id;
};

__device__ __forceinline__ bool top__better(float value, int id, float than, int than_id) {
  return value > than || (value == than && id < than_id);
}

/* The best of the block's pairs, in every thread. room: one pair a warp. */
__device__ top_pair top__block_best(top_pair best, top_pair *room) {
#pragma unroll
  for (int bit = 16; bit > 0; bit >>= 1) {
    float value = __shfl_xor_sync(0xffffffffu, best.value, bit);
    int id = __shfl_xor_sync(0xffffffffu, best.id, bit);
    if (top__better(value, id, best.value, best.id)) best.value = value, best.id = id;
  }
  __syncthreads(); /* room was read */
  if ((threadIdx.x & 31) == 0) room[threadIdx.x >> 5] = best;
  __syncthreads();
  for (int i = 0; i < ROW_THREADS / 32; i++)
    if (top__better(room[i].value, room[i].id, best.value, best.id)) best = room[i];
  return best;
}

enum { TOP_HELD = 16 }; /* pairs a thread holds */

/* k times the best of what is left. put(i, pair) is called by thread 0. */
template <class PUT>
__device__ __forceinline__ void top__take(top_pair held[TOP_HELD], int k, top_pair *room, PUT put) {
  for (int i = 0; i < k; i++) {
    top_pair best = {-INFINITY, INT32_MAX};
#pragma unroll
    for (int j = 0; j < TOP_HELD; j++)
      if (top__better(held[j].value, held[j].id, best.value, best.id)) best = held[j];
    best = top__block_best(best, room);
    if (threadIdx.x == 0) put(i, best);
#pragma unroll
    for (int j = 0; j < TOP_HELD; j++)
      if (held[j].id == best.id) held[j].id = INT32_MAX, held[j].value = -INFINITY;
  }
}

/* grid (chunks, n_out). A chunk of more than ROW_THREADS * TOP_HELD logits is taken in pieces: a
 * thread first keeps the best TOP_HELD of its own, which hold all that can be among the best k. */
__global__ void __launch_bounds__(ROW_THREADS)
    top__chunks_kernel(const cuda_step *step, const float *logits, int vocab, int k,
                       top_pair *candidates) {
  __shared__ top_pair room[ROW_THREADS / 32];
  device__wait();
  device__trigger();
  int row = blockIdx.y;
  if (row >= step->n_out) return;
  int chunk = (vocab + CUDA_TOP_CHUNKS - 1) / CUDA_TOP_CHUNKS, from = blockIdx.x * chunk;
  int end = from + chunk < vocab ? from + chunk : vocab;
  const float *x = logits + (size_t)row * vocab;
  top_pair held[TOP_HELD];
#pragma unroll
  for (int j = 0; j < TOP_HELD; j++) {
    int id = from + j * ROW_THREADS + threadIdx.x;
    bool real = id < end;
    float v = real ? x[id] : -INFINITY;
    held[j].value = v == v ? v : -INFINITY;
    held[j].id = real ? id : INT32_MAX;
  }
  for (int id = from + TOP_HELD * ROW_THREADS + threadIdx.x; id < end; id += ROW_THREADS) {
    float v = x[id] == x[id] ? x[id] : -INFINITY, least = held[0].value;
    int worst = 0, least_id = held[0].id;
#pragma unroll
    for (int j = 1; j < TOP_HELD; j++)
      if (top__better(least, least_id, held[j].value, held[j].id))
        worst = j, least = held[j].value, least_id = held[j].id;
    bool in = top__better(v, id, least, least_id);
#pragma unroll
    for (int j = 0; j < TOP_HELD; j++)
      if (in && j == worst) held[j].value = v, held[j].id = id;
  }
  top_pair *to = candidates + ((size_t)row * CUDA_TOP_CHUNKS + blockIdx.x) * KERNELS_TOP_K_MAX;
  top__take(held, k, room, [&](int i, top_pair p) { to[i] = p; });
}

/* grid n_out. The last block to finish tells the host. */
__global__ void __launch_bounds__(ROW_THREADS)
    top__rows_kernel(const cuda_step *step, int k, const top_pair *candidates, uint32_t *finished,
                     const uint32_t *number, cuda_output *output) {
  __shared__ top_pair room[ROW_THREADS / 32];
  device__wait();
  device__trigger();
  int row = blockIdx.x, rows = step->n_out;
  if (row >= rows) return;
  top_pair held[TOP_HELD];
  const top_pair *from = candidates + (size_t)row * CUDA_TOP_CHUNKS * KERNELS_TOP_K_MAX;
#pragma unroll
  for (int j = 0; j < TOP_HELD; j++) {
    int i = j * ROW_THREADS + threadIdx.x, chunk = i / k;
    held[j] = {-INFINITY, INT32_MAX};
    if (chunk < CUDA_TOP_CHUNKS) held[j] = from[chunk * KERNELS_TOP_K_MAX + i % k];
  }
  top__take(held, k, room, [&](int i, top_pair p) {
    output->ids[row * k + i] = p.id;
    output->logits[row * k + i] = p.value;
  });
  if (threadIdx.x != 0) return;
  __threadfence_system();
  if (atomicAdd(finished, 1) + 1 != (uint32_t)rows) return;
  *finished = 0;
  __threadfence_system();
  output->done = *number;
}

cudaError_t cuda__top_k(const cuda_device *d, const cuda_step *step, int n_out, int vocab, int k,
                        const float *logits, void *candidates, uint32_t *finished,
                        const uint32_t *number, cuda_output *output) {
  top_pair *pairs = (top_pair *)candidates;
  launch_config chunks(d, dim3(CUDA_TOP_CHUNKS, n_out), ROW_THREADS);
  cudaError_t rc = chunks.launch(top__chunks_kernel, step, logits, vocab, k,
                                      pairs);
  if (rc != cudaSuccess) return rc;
  launch_config rows(d, dim3(n_out), ROW_THREADS);
  return rows.launch(top__rows_kernel, step, k, (const top_pair *)pairs,
                            finished, number, output);
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
