/* toy.h - random models for the tests and benchmarks of kernels/: seeded numbers, matrices of
 * every type, and a forward pass over the ops. */
#ifndef FIMD_TESTS_KERNELS_TOY_H
#define FIMD_TESTS_KERNELS_TOY_H

#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- random numbers -------------------------------------------------------------------- */

typedef struct toy_random { uint64_t state; } toy_random;

static inline uint64_t toy_u64(toy_random *r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
static inline int toy_below(toy_random *r, int n) { return (int)(toy_u64(r) % (uint64_t)n); }
static inline float toy_unit(toy_random *r) { return (float)(toy_u64(r) >> 40) * 0x1p-24f; }

/* Roughly normal: mean 0, deviation 1, and now and then an outlier, as activations have. */
static inline float toy_normal(toy_random *r) {
  float x = 0;
  for (int i = 0; i < 12; i++) x += toy_unit(r);
  x -= 6;
  return toy_below(r, 200) == 0 ? 20 * x : x;
}

/* FIMD_TEST_SEED repeats a run; otherwise every run draws its own, and says which. */
static inline uint64_t toy_seed(void) {
  const char *given = getenv("FIMD_TEST_SEED");
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t seed = given ? strtoull(given, NULL, 0)
                        : (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec;
  printf("FIMD_TEST_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

/* ---- matrices -------------------------------------------------------------------------- */

static inline void *toy_alloc(size_t bytes) {
  void *p = malloc(bytes ? bytes : 1);
  if (!p) {
    fputs("out of memory\n", stderr);
    exit(1);
  }
  return p;
}

/* A half of about this value, |x| < 65504. */
static inline uint16_t toy_half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (fabsf(x) < 0x1p-14f) return (uint16_t)(sign | (uint32_t)(fabsf(x) * 0x1p24f));
  return (uint16_t)(sign | ((magnitude >> 13) - (112u << 10)));
}

static inline void toy_put_half(uint8_t *p, float x) {
  uint16_t h = toy_half(x);
  memcpy(p, &h, 2);
}

/* A positive scale within a factor of two of x. */
static inline float toy_scale(toy_random *r, float x) { return x * (0.5f + 1.5f * toy_unit(r)); }

/* Makes a block of random bytes into one of about `size`. */
static inline void toy_block(toy_random *r, kernels_type type, float size, uint8_t *p) {
  bool plain = kernels_type_block_elements(type) == 1;
  float x = plain ? toy_normal(r) * size : 0;
  uint32_t bits;
  memcpy(&bits, &x, 4);
  switch (type) {
  case KERNELS_F32: memcpy(p, &x, 4); break;
  case KERNELS_F16: toy_put_half(p, x); break;
  case KERNELS_BF16: p[0] = (uint8_t)(bits >> 16), p[1] = (uint8_t)(bits >> 24); break;
  case KERNELS_Q4_0: toy_put_half(p, toy_scale(r, size / 4)); break;
  case KERNELS_Q8_0: toy_put_half(p, toy_scale(r, size / 64)); break;
  case KERNELS_Q4_K:
    toy_put_half(p, toy_scale(r, size / 128));
    toy_put_half(p + 2, toy_scale(r, size / 24));
    break;
  case KERNELS_Q6_K: toy_put_half(p + 208, toy_scale(r, size / 1024)); break;
  }
}

/* Owned data; free with free((void *)m.data). Elements are of about 1/sqrt(cols). */
static inline kernels_matrix toy_matrix(toy_random *r, kernels_type type, int64_t rows,
                                        int64_t cols) {
  kernels_matrix m = {.type = type, .rows = rows, .cols = cols};
  int64_t bytes = kernels_matrix_bytes(&m);
  uint8_t *data = toy_alloc((size_t)bytes);
  for (int64_t i = 0; i < bytes; i += 8) {
    uint64_t random = toy_u64(r);
    memcpy(data + i, &random, bytes - i < 8 ? (size_t)(bytes - i) : 8);
  }
  for (int64_t i = 0; i < bytes; i += kernels_type_block_bytes(type))
    toy_block(r, type, 1.0f / sqrtf((float)cols), data + i);
  m.data = data;
  return m;
}

/* ---- a model --------------------------------------------------------------------------- */

typedef struct toy_layer {
  kernels_matrix qkv[3], o, gate_up[2], down;
  float *attn_norm, *mlp_norm, *bias;
} toy_layer;

typedef struct toy_model {
  kernels_shape shape;
  kernels_matrix embedding; /* also the head */
  float *final_norm;
  toy_layer *layers;
} toy_model;

static inline float *toy_floats(toy_random *r, size_t n, float mean, float deviation) {
  float *p = toy_alloc(n * sizeof *p);
  for (size_t i = 0; i < n; i++) p[i] = mean + deviation * toy_normal(r);
  return p;
}

/* v_type: of v and down, as files of mixed types have it. */
static inline toy_model toy_model_new(toy_random *r, const kernels_shape *s, kernels_type type,
                                      kernels_type v_type) {
  toy_model m = {.shape = *s};
  int q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim, hidden = s->hidden;
  m.embedding = toy_matrix(r, type, s->vocab, hidden);
  m.final_norm = toy_floats(r, (size_t)hidden, 1, 0.2f);
  m.layers = toy_alloc((size_t)s->layers * sizeof *m.layers);
  for (int i = 0; i < s->layers; i++) {
    toy_layer *l = &m.layers[i];
    l->qkv[0] = toy_matrix(r, type, q, hidden);
    l->qkv[1] = toy_matrix(r, type, kv, hidden);
    l->qkv[2] = toy_matrix(r, v_type, kv, hidden);
    l->o = toy_matrix(r, type, hidden, q);
    l->gate_up[0] = toy_matrix(r, type, s->intermediate, hidden);
    l->gate_up[1] = toy_matrix(r, type, s->intermediate, hidden);
    l->down = toy_matrix(r, v_type, hidden, s->intermediate);
    l->attn_norm = toy_floats(r, (size_t)hidden, 1, 0.2f);
    l->mlp_norm = toy_floats(r, (size_t)hidden, 1, 0.2f);
    l->bias = toy_floats(r, (size_t)(q + 2 * kv), 0, 0.5f);
  }
  return m;
}

static inline void toy_model_free(toy_model *m) {
  for (int i = 0; i < m->shape.layers; i++) {
    toy_layer *l = &m->layers[i];
    const kernels_matrix *all[] = {&l->qkv[0], &l->qkv[1], &l->qkv[2], &l->o,
                                   &l->gate_up[0], &l->gate_up[1], &l->down};
    for (size_t j = 0; j < sizeof all / sizeof *all; j++) free((void *)(uintptr_t)all[j]->data);
    free(l->attn_norm);
    free(l->mlp_norm);
    free(l->bias);
  }
  free((void *)(uintptr_t)m->embedding.data);
  free(m->final_norm);
  free(m->layers);
}

/* ---- the model on a backend ------------------------------------------------------------ */

typedef struct toy_device {
  kernels *k;
  const toy_model *model;
  kernels_cache *cache;
  kernels_weight *embedding;
  struct toy_device_layer {
    kernels_weight *qkv, *o, *gate_up, *down;
    kernels_buffer *attn_norm, *mlp_norm, *bias;
  } *layers;
  kernels_buffer *final_norm, *x, *q, *a, *h;
} toy_device;

static inline void toy_must(int rc, const char *call, const char *file, int line) {
  if (rc >= 0) return;
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, kernels_strstatus(rc));
  exit(1);
}
#define TOY_MUST(call) toy_must(call, #call, __FILE__, __LINE__)

static inline kernels_buffer *toy_upload(kernels *k, const float *data, size_t n) {
  kernels_buffer *b;
  TOY_MUST(kernels_buffer_new(k, data, n, &b));
  return b;
}

static inline kernels_weight *toy_load(kernels *k, kernels_role role, const kernels_matrix *parts,
                                       int n) {
  kernels_weight *w;
  TOY_MUST(kernels_weight_load(k, role, parts, n, &w));
  return w;
}

/* False if this machine cannot run the backend. */
static inline bool toy_device_open(toy_device *d, const toy_model *m, const char *backend,
                                   int threads, int max_batch, int tokens) {
  char err[256];
  kernels_options options = {.threads = threads, .max_batch = max_batch};
  *d = (toy_device){.model = m};
  int rc = kernels_open(&d->k, backend, &m->shape, &options, err, sizeof err);
  if (rc == KERNELS_EUNSUPPORTED) return false;
  TOY_MUST(rc);
  kernels *k = d->k;
  const kernels_shape *s = &m->shape;
  size_t batch = (size_t)max_batch, hidden = (size_t)s->hidden;
  size_t q = (size_t)(s->heads * s->head_dim), kv = (size_t)(s->kv_heads * s->head_dim);
  TOY_MUST(kernels_cache_new(k, tokens, &d->cache));
  d->embedding = toy_load(k, KERNELS_TABLE, &m->embedding, 1);
  d->layers = toy_alloc((size_t)s->layers * sizeof *d->layers);
  for (int i = 0; i < s->layers; i++) {
    const toy_layer *l = &m->layers[i];
    struct toy_device_layer *t = &d->layers[i];
    t->qkv = toy_load(k, KERNELS_QKV, l->qkv, 3);
    t->o = toy_load(k, KERNELS_PROJECT, &l->o, 1);
    t->gate_up = toy_load(k, KERNELS_GATE_UP, l->gate_up, 2);
    t->down = toy_load(k, KERNELS_PROJECT, &l->down, 1);
    t->attn_norm = toy_upload(k, l->attn_norm, hidden);
    t->mlp_norm = toy_upload(k, l->mlp_norm, hidden);
    t->bias = toy_upload(k, l->bias, q + 2 * kv);
  }
  d->final_norm = toy_upload(k, m->final_norm, hidden);
  d->x = toy_upload(k, NULL, batch * hidden);
  d->q = toy_upload(k, NULL, batch * q);
  d->a = toy_upload(k, NULL, batch * q);
  d->h = toy_upload(k, NULL, batch * (size_t)s->intermediate);
  return true;
}

/* FIMD_TEST_BACKENDS=cuda,cuda:plain: only these. Otherwise all that the machine has. */
static inline bool toy_device_open_wanted(toy_device *d, const toy_model *m, const char *backend,
                                          int threads, int max_batch, int tokens) {
  const char *list = getenv("FIMD_TEST_BACKENDS");
  bool wanted = list == NULL;
  while (!wanted && *list != '\0') {
    size_t n = strcspn(list, ",");
    wanted = n == strlen(backend) && strncmp(list, backend, n) == 0;
    list += n + (list[n] == ',');
  }
  return wanted && toy_device_open(d, m, backend, threads, max_batch, tokens);
}

static inline void toy_device_close(toy_device *d) {
  kernels *k = d->k;
  for (int i = 0; i < d->model->shape.layers; i++) {
    struct toy_device_layer *t = &d->layers[i];
    kernels_weight_free(k, t->qkv);
    kernels_weight_free(k, t->o);
    kernels_weight_free(k, t->gate_up);
    kernels_weight_free(k, t->down);
    kernels_buffer_free(k, t->attn_norm);
    kernels_buffer_free(k, t->mlp_norm);
    kernels_buffer_free(k, t->bias);
  }
  free(d->layers);
  kernels_weight_free(k, d->embedding);
  kernels_buffer *buffers[] = {d->final_norm, d->x, d->q, d->a, d->h};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) kernels_buffer_free(k, buffers[i]);
  kernels_cache_free(k, d->cache);
  kernels_close(k);
}

/* One whole step. */
static inline void toy_step(toy_device *d, const kernels_batch *b, kernels_result *result) {
  kernels *k = d->k;
  kernels_batch planned = *b;
  planned.plan = 1; /* always the ops below */
  int layers = d->model->shape.layers, replayed = kernels_begin(k, d->cache, &planned);
  TOY_MUST(replayed);
  if (replayed == 0) {
    TOY_MUST(kernels_embed(k, d->embedding, d->x, d->layers[0].attn_norm));
    for (int i = 0; i < layers; i++) {
      struct toy_device_layer *t = &d->layers[i];
      kernels_buffer *after = i + 1 < layers ? t[1].attn_norm : d->final_norm;
      TOY_MUST(kernels_qkv(k, i, d->x, t->attn_norm, t->qkv, t->bias, d->q));
      TOY_MUST(kernels_attend(k, i, d->q, d->a));
      TOY_MUST(kernels_project(k, d->a, t->o, d->x, t->mlp_norm));
      TOY_MUST(kernels_gate_up(k, d->x, t->mlp_norm, t->gate_up, d->h));
      TOY_MUST(kernels_project(k, d->h, t->down, d->x, after));
    }
    if (b->n_out > 0) TOY_MUST(kernels_head(k, d->x, d->final_norm, d->embedding));
  }
  TOY_MUST(kernels_end(k, result));
}

#endif
