/* buffers.c - rows of activations and the KV cache on the device. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/state.h"

/* ---- buffers ------------------------------------------------------------------------------- */

size_t cuda__packed_bytes(const cuda_backend *c, int width) {
  size_t units = ((size_t)width + CUDA_UNIT - 1) / CUDA_UNIT;
  return units * CUDA_UNIT * (size_t)c->rows_most * 2;
}

int cuda__buffer_plain(cuda_backend *c, cuda_buffer *b) {
  b->is_packed = false;
  if (b->plain) return KERNELS_OK;
  return cuda__take(c, b->head.count * sizeof(float), false, (void **)&b->plain);
}

int cuda__buffer_packed(cuda_backend *c, cuda_buffer *b, int width) {
  b->is_packed = true;
  if (b->packed && b->width == width) return KERNELS_OK;
  if (b->packed) cuda__give(c, b->packed, cuda__packed_bytes(c, b->width));
  b->packed = NULL;
  b->width = width;
  /* What lies beyond the width is multiplied with zeros: it must be finite. */
  return cuda__take(c, cuda__packed_bytes(c, width), true, &b->packed);
}

int cuda__buffer_new(kernels *k, const float *data, size_t count, kernels_buffer **out) {
  cuda_backend *c = cuda__of(k);
  cuda_buffer *b = calloc(1, sizeof *b);
  if (!b) return KERNELS_ENOMEM;
  b->head.count = count;
  int rc = KERNELS_OK;
  if (data) {
    rc = cuda__buffer_plain(c, b);
    /* In the stream: a plain copy may still be under way when a kernel there begins. From pageable
     * memory: the data are taken before the call returns. */
    if (!rc)
      rc = cuda__check(c, cudaMemcpyAsync(b->plain, data, count * sizeof *data,
                                          cudaMemcpyHostToDevice, c->d.stream));
  }
  if (rc) {
    cuda__buffer_free(k, &b->head);
    return rc;
  }
  *out = &b->head;
  return KERNELS_OK;
}

/* The packed rows over whatever plain ones lie beneath. */
static int read_packed(cuda_backend *c, const cuda_buffer *b, float *out, size_t count) {
  size_t rows = count / (size_t)b->width < (size_t)b->rows ? count / (size_t)b->width
                                                           : (size_t)b->rows;
  size_t n = rows * (size_t)b->width;
  if (n == 0) return KERNELS_OK;
  float *plain;
  int rc = cuda__take(c, n * sizeof *plain, false, (void **)&plain);
  if (rc) return rc;
  rc = cuda__check(c, cuda__unpack_rows(&c->d, (int)rows, b->packed, b->width, 1 / CUDA_INNER_SCALE,
                                      b->groups, b->layout, plain));
  if (!rc) rc = cuda__check(c, cudaStreamSynchronize(c->d.stream));
  if (!rc) rc = cuda__check(c, cudaMemcpy(out, plain, n * sizeof *plain, cudaMemcpyDeviceToHost));
  cuda__give(c, plain, n * sizeof *plain);
  return rc;
}

int cuda__buffer_read(kernels *k, const kernels_buffer *buffer, float *out, size_t count) {
  cuda_backend *c = cuda__of(k);
  const cuda_buffer *b = (const cuda_buffer *)buffer;
  int rc = cuda__check(c, cudaStreamSynchronize(c->d.stream));
  if (rc) return rc;
  memset(out, 0, count * sizeof *out); /* never written: nothing to say */
  if (b->plain)
    rc = cuda__check(c, cudaMemcpy(out, b->plain, count * sizeof *out, cudaMemcpyDeviceToHost));
  if (!rc && b->is_packed) rc = read_packed(c, b, out, count);
  return rc;
}

void cuda__buffer_free(kernels *k, kernels_buffer *buffer) {
  cuda_backend *c = cuda__of(k);
  cuda_buffer *b = (cuda_buffer *)buffer;
  if (c->normed_x == buffer || c->normed_by == buffer) c->normed_x = c->normed_by = NULL;
  cuda__give(c, b->plain, b->head.count * sizeof(float));
  if (b->packed) cuda__give(c, b->packed, cuda__packed_bytes(c, b->width));
  cuda__graphs_drop(c, 0);
  free(b);
}

/* ---- the cache ----------------------------------------------------------------------------- */

static size_t layer_bytes(const kernels_shape *s, int tokens) {
  return (size_t)2 * (size_t)s->kv_heads * (size_t)s->head_dim * (size_t)tokens * 2;
}

int cuda__cache_new(kernels *k, int tokens, kernels_cache **out) {
  cuda_backend *c = cuda__of(k);
  cuda_cache *cache = calloc(1, sizeof *cache);
  if (!cache) return KERNELS_ENOMEM;
  cache->head.tokens = tokens;
  cache->layer = layer_bytes(&k->shape, tokens);
  cache->identity = ++c->caches;
  size_t scratch = cuda__attend_scratch(&k->shape, tokens);
  int rc = cuda__take(c, cache->layer * (size_t)k->shape.layers, true, (void **)&cache->data);
  if (!rc && scratch > c->partials_bytes) {
    cuda__graphs_drop(c, 0); /* they know the scratch's address */
    cudaStreamSynchronize(c->d.stream);
    cuda__give(c, c->partials, c->partials_bytes);
    c->partials = NULL;
    c->partials_bytes = 0;
    rc = cuda__take(c, scratch, true, &c->partials);
    if (!rc) c->partials_bytes = scratch;
  }
  if (rc) {
    cuda__cache_free(k, &cache->head);
    return rc;
  }
  *out = &cache->head;
  return KERNELS_OK;
}

void cuda__cache_free(kernels *k, kernels_cache *head) {
  cuda_backend *c = cuda__of(k);
  cuda_cache *cache = (cuda_cache *)head;
  cuda__graphs_drop(c, cache->identity);
  cuda__give(c, cache->data, cache->layer * (size_t)k->shape.layers);
  free(cache);
}

int cuda__cache_move_slots(kernels *k, kernels_cache *head, const int32_t *from, int n, int to) {
  cuda_backend *c = cuda__of(k);
  cuda_cache *cache = (cuda_cache *)head;
  const kernels_shape *s = &k->shape;
  for (int at = 0; at < n; at += CUDA_EXACT) {
    int some = n - at < CUDA_EXACT ? n - at : CUDA_EXACT;
    /* From pageable memory: the numbers are taken before the call returns. */
    cudaError_t e = cudaMemcpyAsync(c->moves, from + at, (size_t)some * sizeof *from,
                                    cudaMemcpyHostToDevice, c->d.stream);
    if (e == cudaSuccess)
      e = cuda__cache_move(&c->d, cache->data, s->layers * 2 * s->kv_heads, cache->head.tokens,
                           s->head_dim, c->moves, some, to + at);
    if (e != cudaSuccess) return cuda__check(c, e);
  }
  return KERNELS_OK;
}
