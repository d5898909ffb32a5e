/* backend.c - the "cuda" backend: opening a device, its memory, and the table of functions.
 *
 * The CUDA runtime is linked statically and finds the driver itself: without one, opening fails
 * with words, and nothing else of the program is touched. "cuda:plain" leaves out what only
 * Hopper has (clusters, wgmma, early launches), to test what other cards run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/state.h"

enum { LEAST_ARCH = 80, PAD_ROWS = CUDA_EXACT };

int cuda__status(cudaError_t e) {
  if (e == cudaSuccess) return KERNELS_OK;
  return e == cudaErrorMemoryAllocation ? KERNELS_ENOMEM : KERNELS_EDEVICE;
}

int cuda__check(cuda_backend *c, cudaError_t e) {
  int rc = cuda__status(e);
  if (rc == KERNELS_EDEVICE) c->failed = true;
  return rc;
}

/* ---- memory -------------------------------------------------------------------------------- */

int cuda__take(cuda_backend *c, size_t bytes, bool zero, void **out) {
  *out = NULL;
  size_t limit = c->head.options.memory_limit;
  if (bytes == 0) bytes = 16;
  if (limit != 0 && (bytes > limit || c->taken > limit - bytes)) return KERNELS_ENOMEM;
  cudaError_t e = cudaMalloc(out, bytes);
  if (e != cudaSuccess) {
    cudaGetLastError(); /* out of memory is not to be seen by the next launch */
    return cuda__status(e);
  }
  c->taken += bytes;
  if (zero) e = cudaMemsetAsync(*out, 0, bytes, c->d.stream);
  if (e == cudaSuccess) return KERNELS_OK;
  cuda__give(c, *out, bytes);
  *out = NULL;
  return cuda__status(e);
}

void cuda__give(cuda_backend *c, void *p, size_t bytes) {
  if (!p) return;
  cudaFree(p);
  c->taken -= bytes == 0 ? 16 : bytes;
}

static void cuda_memory(kernels *k, size_t *available, size_t *total) {
  cuda_backend *c = cuda__of(k);
  if (cudaMemGetInfo(available, total) != cudaSuccess) *available = *total = 0;
  size_t limit = k->options.memory_limit;
  if (limit == 0) return;
  size_t left = limit > c->taken ? limit - c->taken : 0;
  if (left < *available) *available = left;
}

/* The best of a few copies of half a gigabyte, or what there is room for. */
static double cuda_copy_bandwidth(kernels *k) {
  cuda_backend *c = cuda__of(k);
  enum { RUNS = 6, LEAST = 1 << 24 };
  size_t bytes = (size_t)1 << 29;
  void *from = NULL, *to = NULL;
  cudaEvent_t begin = NULL, end = NULL;
  double best = 0;
  while (bytes >= LEAST && cuda__take(c, bytes, true, &from)) bytes /= 2;
  if (!from || cuda__take(c, bytes, true, &to) || cudaEventCreate(&begin) != cudaSuccess ||
      cudaEventCreate(&end) != cudaSuccess)
    goto out;
  for (int i = 0; i < RUNS; i++) {
    float ms = 0;
    cudaEventRecord(begin, c->d.stream);
    cudaError_t e = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, c->d.stream);
    cudaEventRecord(end, c->d.stream);
    if (e != cudaSuccess || cudaEventSynchronize(end) != cudaSuccess ||
        cudaEventElapsedTime(&ms, begin, end) != cudaSuccess || ms <= 0)
      break;
    double gbps = 2 * (double)bytes / ms / 1e6;
    if (gbps > best) best = gbps;
  }
out:
  if (begin) cudaEventDestroy(begin);
  if (end) cudaEventDestroy(end);
  cuda__give(c, from, bytes);
  cuda__give(c, to, bytes);
  cudaGetLastError(); /* what could not be measured is no error of a step's */
  return best;
}

/* ---- opening ------------------------------------------------------------------------------- */

static int find_device(char *err, size_t errlen) {
  int count = 0;
  cudaError_t e = cudaGetDeviceCount(&count);
  if (e == cudaErrorInsufficientDriver)
    kernels__error(err, errlen, "no NVIDIA driver, or one too old for CUDA %d.%d (nvidia-smi says "
                   "which CUDA it supports)", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  else if (e == cudaErrorNoDevice || (e == cudaSuccess && count == 0))
    kernels__error(err, errlen, "no NVIDIA GPU found");
  else if (e != cudaSuccess)
    kernels__error(err, errlen, "the NVIDIA driver cannot be used: %s", cudaGetErrorString(e));
  else
    return KERNELS_OK;
  return KERNELS_EUNSUPPORTED;
}

static int describe(cuda_backend *c, bool plain, char *err, size_t errlen) {
  struct cudaDeviceProp p;
  cudaError_t e = cudaGetDeviceProperties(&p, 0);
  if (e == cudaSuccess) e = cudaSetDevice(0);
  if (e == cudaSuccess) e = cudaFree(NULL); /* makes the context: what is wrong shows here */
  if (e == cudaErrorMemoryAllocation) { /* no room for a context, let alone for a model */
    kernels__error(err, errlen,
                   "other programs hold nearly all of the GPU's %.1f GB (nvidia-smi lists them)",
                   (double)p.totalGlobalMem / 1e9);
    return KERNELS_ENOMEM;
  }
  if (e != cudaSuccess) {
    kernels__error(err, errlen, "the GPU cannot be used: %s", cudaGetErrorString(e));
    return cuda__status(e);
  }
  c->d.sms = p.multiProcessorCount;
  c->d.shared_most = (int)p.sharedMemPerBlockOptin;
  c->d.arch = p.major * 10 + p.minor;
  if (c->d.arch < LEAST_ARCH) {
    kernels__error(err, errlen, "%s has compute capability %d.%d; 8.0 (Ampere) is the least",
                   p.name, p.major, p.minor);
    return KERNELS_EUNSUPPORTED;
  }
  int built = 0;
  e = cuda__probe(&built);
  c->d.hopper = c->d.arch == 90 && built == 90 && !plain;
  if (e != cudaSuccess) {
    kernels__error(err, errlen, "this build has no code for %s (sm_%d): %s", p.name, c->d.arch,
                   cudaGetErrorString(e));
    return KERNELS_EUNSUPPORTED;
  }
  snprintf(c->head.description, sizeof c->head.description, "cuda (%.48s, sm_%d%s)", p.name,
           c->d.arch, plain ? ", plain" : "");
  return KERNELS_OK;
}

/* The angles' frequencies, as the model was trained: in f32 from exact powers. */
static int send_frequencies(cuda_backend *c) {
  const kernels_shape *s = &c->head.shape;
  float f[64];
  int half = s->head_dim / 2;
  for (int i = 0; i < half; i++)
    f[i] = (float)pow((double)s->rope_theta, -2.0 * i / s->head_dim);
  return cuda__status(cudaMemcpyAsync(c->frequency, f, (size_t)half * sizeof *f,
                                      cudaMemcpyHostToDevice, c->d.stream));
}

static int take_normed(cuda_backend *c, cuda_normed *n, int rows) {
  size_t tiles = ((size_t)c->head.shape.hidden + CUDA_TILE - 1) / CUDA_TILE;
  n->ss_stride = rows;
  int rc = cuda__take(c, cuda__packed_bytes(c, c->head.shape.hidden), true, &n->packed);
  if (!rc) rc = cuda__take(c, tiles * (size_t)rows * sizeof(float), true, (void **)&n->ss);
  return rc;
}

static int take_workspace(cuda_backend *c) {
  const kernels_shape *s = &c->head.shape;
  size_t rows = (size_t)c->rows_most, out = (size_t)c->head.options.max_out;
  size_t half = (size_t)s->head_dim / 2;
  if (out > CUDA_EXACT) out = CUDA_EXACT;
  int rc;
  if ((rc = cuda__status(cudaMallocHost((void **)&c->input, sizeof *c->input))) ||
      (rc = cuda__status(cudaMallocHost((void **)&c->output, sizeof *c->output))))
    return rc;
  memset(c->input, 0, sizeof *c->input);
  memset((void *)c->output, 0, sizeof *c->output);
  size_t ids = rows * sizeof(int32_t);
  size_t scratch = rows > CUDA_EXACT ? cuda__prefill_scratch(&c->d) : 0;
  if ((rc = cuda__status(cudaMallocHost((void **)&c->input->ids, ids))) ||
      (rc = cuda__status(cudaMallocHost((void **)&c->input->pos, ids))) ||
      (rc = cuda__status(cudaMallocHost((void **)&c->input->out, ids))))
    return rc;
  memset(c->input->ids, 0, ids);
  memset(c->input->pos, 0, ids);
  memset(c->input->out, 0, ids);
  if ((rc = cuda__take(c, sizeof *c->step, true, (void **)&c->step)) ||
      (rc = cuda__take(c, sizeof *c->number, true, (void **)&c->number)) ||
      (rc = cuda__take(c, sizeof *c->finished, true, (void **)&c->finished)) ||
      (rc = cuda__take(c, ids, true, (void **)&c->out)) ||
      (rc = cuda__take(c, ids, true, (void **)&c->ids)) ||
      (rc = cuda__take(c, ids, true, (void **)&c->pos)) ||
      (rc = cuda__take(c, CUDA_EXACT * sizeof(int32_t), true, (void **)&c->moves)) ||
      (rc = cuda__take(c, half * sizeof(float), false, (void **)&c->frequency)) ||
      (rc = cuda__take(c, rows * half * sizeof(float2), true, (void **)&c->turn)) ||
      (rc = cuda__take(c, out * (size_t)s->vocab * sizeof(float), false, (void **)&c->logits)) ||
      (rc = cuda__take(c, out * CUDA_TOP_CHUNKS * KERNELS_TOP_K_MAX * 8, false, &c->candidates)) ||
      (rc = cuda__take(c, out * CUDA_TOP_CHUNKS * sizeof(float2), false, (void **)&c->sums)) ||
      (scratch && (rc = cuda__take(c, scratch, true, &c->d.prefill_scratch))) ||
      (rc = take_normed(c, &c->normed, c->rows_most)) ||
      (rc = take_normed(c, &c->out_normed, CUDA_EXACT)))
    return rc;
  return send_frequencies(c);
}

static void cuda_close(kernels *k) {
  cuda_backend *c = cuda__of(k);
  if (c->d.stream) cudaStreamSynchronize(c->d.stream);
  cuda__graphs_drop(c, 0);
  cuda__staging_free(c);
  void *device[] = {c->step, c->number, c->finished, c->out, c->moves, c->ids, c->pos,
                    c->frequency, c->turn, c->logits, c->candidates, c->partials,
                    c->sums, c->normed.packed, c->normed.ss, c->out_normed.packed,
                    c->out_normed.ss, c->d.prefill_scratch};
  for (size_t i = 0; i < sizeof device / sizeof *device; i++)
    if (device[i]) cudaFree(device[i]);
  if (c->input) {
    if (c->input->ids) cudaFreeHost(c->input->ids);
    if (c->input->pos) cudaFreeHost(c->input->pos);
    if (c->input->out) cudaFreeHost(c->input->out);
    cudaFreeHost(c->input);
  }
  if (c->output) cudaFreeHost(c->output);
  if (c->host_logits) cudaFreeHost(c->host_logits);
  if (c->host_row) cudaFreeHost(c->host_row);
  if (c->d.stream) cudaStreamDestroy(c->d.stream);
  /* After a failure the context answers every call with it; only a new one is of use. */
  if (c->failed) cudaDeviceReset();
  free(c);
}

static int cuda_open(kernels **out, const char *variant, const kernels *model, char *err,
                     size_t errlen) {
  bool plain = strcmp(variant, "plain") == 0;
  if (*variant && !plain) {
    kernels__error(err, errlen, "\"%s\" is no variant of the cuda backend", variant);
    return KERNELS_EUNSUPPORTED;
  }
  int rc = find_device(err, errlen);
  if (rc) return rc;
  cuda_backend *c = calloc(1, sizeof *c);
  if (!c) return KERNELS_ENOMEM;
  c->head = *model;
  c->rows_most = model->options.max_batch;
  c->rows_most = c->rows_most > CUDA_EXACT ? (c->rows_most + CUDA_PAD - 1) / CUDA_PAD * CUDA_PAD
                                           : PAD_ROWS;
  rc = describe(c, plain, err, errlen);
  if (!rc) {
    rc = cuda__status(cudaStreamCreateWithFlags(&c->d.stream, cudaStreamNonBlocking));
    c->prefill_layout = cuda__prefill_layout(&c->d);
    if (!rc) rc = take_workspace(c);
    if (!rc) rc = cuda__status(cudaStreamSynchronize(c->d.stream));
    if (rc == KERNELS_ENOMEM)
      kernels__error(err, errlen, "%s: not enough memory for the work space",
                     c->head.description);
    else if (rc)
      kernels__error(err, errlen, "%s failed: %s", c->head.description,
                     cudaGetErrorString(cudaGetLastError()));
  }
  if (rc) {
    cuda_close(&c->head);
    return rc;
  }
  *out = &c->head;
  return KERNELS_OK;
}

const kernels_backend kernels__cuda = {
    .name = "cuda",
    .exact_rows = CUDA_EXACT,
    .padded_rows = cuda__padded_rows,
    .cache_element_bytes = 2,
    .open = cuda_open,
    .close = cuda_close,
    .memory = cuda_memory,
    .copy_bandwidth = cuda_copy_bandwidth,
    .weight_load = cuda__weight_load,
    .weight_bytes = cuda__weight_bytes,
    .weight_free = cuda__weight_free,
    .buffer_new = cuda__buffer_new,
    .buffer_read = cuda__buffer_read,
    .buffer_free = cuda__buffer_free,
    .cache_new = cuda__cache_new,
    .cache_free = cuda__cache_free,
    .cache_move = cuda__cache_move_slots,
    .begin = cuda__begin,
    .embed = cuda__op_embed,
    .qkv = cuda__op_qkv,
    .attend = cuda__op_attend,
    .project = cuda__op_project,
    .gate_up = cuda__op_gate_up,
    .head = cuda__op_head,
    .end = cuda__end,
    .logit = cuda__logit,
    .logits = cuda__logits,
};
