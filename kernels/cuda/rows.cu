/* rows.cu - what is done to rows: embedding, preparing for a norm.
 *
 * Small kernels; what matters is that they do not wait for anything: the first of a step reads
 * the host's numbers itself. */
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
