/* model_random.c - a model of true shape without a file, for measuring (--random-weights).
 *
 * Values are about N(0, 0.02) in every format, norms are 1, biases small: as a model's own, so
 * that nothing overflows and clocks and power are those of real work. The same seed each time.
 *
 * On a device with memory of its own all layers are copied from ONE layer's matrices (and an own
 * head from the embedding table), so that the 64 GB of a 32B model in BF16 need 2.5 GB here. A
 * backend that computes where the weights lie gets memory for every layer: shared ones would be
 * read from the processor's caches, and measured too fast. */
#include "engine/family.h"
#include "engine/hf.h"
#include "engine/model_source.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DEVIATION 0.02f
#define TABLE (1 << 16)
#define CHUNK_BLOCKS 4096 /* filled from one seed, whatever the number of threads */
#define MAX_THREADS 16

/* ---- numbers --------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) { /* xorshift64* */
  uint64_t x = *state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  *state = x;
  return x * UINT64_C(2685821657736338717);
}

static uint64_t seed_of(uint64_t n) { /* splitmix64; never 0 */
  n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
  n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
  n ^= n >> 31;
  return n != 0 ? n : 1;
}

/* Normal numbers, from which the matrices draw. */
static void fill_table(float *table) {
  uint64_t state = seed_of(0);
  for (int i = 0; i < TABLE; i++) {
    double u = (double)((next_random(&state) >> 11) + 1) / 9007199254740993.0;
    double v = (double)(next_random(&state) >> 11) / 9007199254740992.0;
    table[i] = DEVIATION * (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
  }
}

static uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* For |x| < 1; what is too small for a normal half becomes 0. */
static uint16_t to_half(float x) {
  int exponent;
  float m = frexpf(fabsf(x), &exponent); /* m in [0.5, 1) */
  if (m == 0 || exponent < -13) return 0;
  unsigned bits = (unsigned)lrintf(m * 2048) - 1024 + ((unsigned)(exponent + 14) << 10);
  return (uint16_t)(bits | (x < 0 ? 0x8000u : 0));
}

/* ---- filling --------------------------------------------------------------------------- */

typedef struct filler {
  kernels_type type;
  const float *f32;    /* [TABLE] */
  const uint16_t *f16; /* [TABLE] the same as halves or bfloat16 */
  uint8_t *out;
  int64_t blocks;
  uint64_t seed;
  int part, parts; /* of the threads */
} filler;

static void put_half(uint8_t *p, float x) {
  uint16_t h = to_half(x);
  memcpy(p, &h, sizeof h);
}

/* With the sign that the bytes in its place have at random: the numbers' ranges are not
 * symmetric, and a mean other than 0 in all of a matrix would add up. */
static void put_signed(uint8_t *p, float x) { put_half(p, *p & 1 ? x : -x); }

/* Scales that give the block's random numbers DEVIATION. */
static void put_scales(kernels_type type, uint8_t *block) {
  switch (type) {
  case KERNELS_Q8_0: put_signed(block, DEVIATION / 73.9f); return; /* of -128..127 */
  case KERNELS_Q4_0: put_signed(block, DEVIATION / 4.64f); return; /* of -8..7 */
  case KERNELS_Q4_K: /* all sub-blocks: scale 32, minimum 32; less the mean of 0..15 */
    put_half(block, DEVIATION / 4.61f / 32);
    put_half(block + 2, DEVIATION / 4.61f / 32 * 7.5f);
    memset(block + 4, 0xa0, 8);
    memset(block + 12, 0, 4);
    return;
  case KERNELS_Q6_K: /* of -32..31, times sub-scales of 8 */
    memset(block + 192, 8, 16);
    put_signed(block + 208, DEVIATION / 18.5f / 8);
    return;
  default: return;
  }
}

static void fill_bytes(uint8_t *out, int64_t n, uint64_t *state) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t r = next_random(state);
    memcpy(out + i, &r, 8);
  }
  uint64_t r = next_random(state);
  if (i < n) memcpy(out + i, &r, (size_t)(n - i));
}

static void fill_chunk(const filler *f, int64_t first, int64_t count, uint64_t state) {
  int size = kernels_type_block_bytes(f->type);
  uint8_t *out = f->out + first * size;
  if (kernels_type_block_elements(f->type) > 1) {
    fill_bytes(out, count * size, &state);
    for (int64_t i = 0; i < count; i++) put_scales(f->type, out + i * size);
    return;
  }
  for (int64_t i = 0; i < count; i += 4) {
    uint64_t r = next_random(&state);
    for (int64_t j = i; j < count && j < i + 4; j++, r >>= 16) {
      const void *value = size == 4 ? (const void *)&f->f32[r & (TABLE - 1)]
                                     : (const void *)&f->f16[r & (TABLE - 1)];
      memcpy(out + j * size, value, (size_t)size);
    }
  }
}

static void *fill_part(void *arg) {
  const filler *f = arg;
  int64_t chunks = (f->blocks + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS;
  for (int64_t c = f->part; c < chunks; c += f->parts) {
    int64_t first = c * CHUNK_BLOCKS, left = f->blocks - first;
    fill_chunk(f, first, left < CHUNK_BLOCKS ? left : CHUNK_BLOCKS,
               seed_of(f->seed + (uint64_t)c));
  }
  return NULL;
}

/* Fills with as many threads as there are cores; a thread that cannot start is done without. */
static void fill(const filler *f) {
  filler parts[MAX_THREADS];
  pthread_t threads[MAX_THREADS];
  bool started[MAX_THREADS] = {false};
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  int n = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (int)cores;
  for (int i = 0; i < n; i++) {
    parts[i] = *f;
    parts[i].part = i;
    parts[i].parts = n;
    started[i] = i > 0 && pthread_create(&threads[i], NULL, fill_part, &parts[i]) == 0;
  }
  for (int i = 0; i < n; i++)
    if (!started[i]) fill_part(&parts[i]);
  for (int i = 0; i < n; i++)
    if (started[i]) pthread_join(threads[i], NULL);
}

/* ---- the model ------------------------------------------------------------------------- */

static const kernels_type types[] = {KERNELS_F32,  KERNELS_F16,  KERNELS_BF16, KERNELS_Q8_0,
                                     KERNELS_Q4_0, KERNELS_Q4_K, KERNELS_Q6_K};

static bool find_type(const char *name, kernels_type *out) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcasecmp(kernels_type_name(types[i]), name) == 0) {
      *out = types[i];
      return true;
    }
  return false;
}

static int parse(const char *spec, const family_model **f, kernels_type *type, char *err,
                 size_t errlen) {
  const char *colon = strchr(spec, ':');
  *f = colon != NULL ? family_find(spec, (size_t)(colon - spec)) : NULL;
  if (*f == NULL || !find_type(colon + 1, type)) {
    snprintf(err, errlen,
             "random weights: '%.40s' is not SIZE:TYPE, of 0.5b 1.5b 3b 7b 14b 32b mini tiny and "
             "f32 f16 bf16 q8_0 q4_0 q4_k q6_k", spec);
    return ENGINE_EINVAL;
  }
  int block = kernels_type_block_elements(*type);
  const kernels_shape *s = &(*f)->shape;
  int widths[] = {s->hidden, s->heads * s->head_dim, s->intermediate};
  for (int i = 0; i < 3; i++)
    if (widths[i] % block != 0) {
      snprintf(err, errlen,
               "random weights: %s has rows of %d values, and %s comes in blocks of %d",
               (*f)->name, widths[i], kernels_type_name(*type), block);
      return ENGINE_EINVAL;
    }
  return ENGINE_OK;
}

static int out_of_memory(char *err, size_t errlen) {
  snprintf(err, errlen, "out of memory");
  return ENGINE_ENOMEM;
}

/* Norms of 1 and small biases, the same for every layer. */
static int fill_vectors(model *m) {
  const kernels_shape *s = &m->shape;
  size_t bias = (size_t)(s->heads + 2 * s->kv_heads) * (size_t)s->head_dim;
  size_t hidden = (size_t)s->hidden;
  float *v = model__storage_alloc(m->storage, (hidden + bias) * sizeof *v);
  if (v == NULL) return ENGINE_ENOMEM;
  uint64_t state = seed_of(1);
  for (size_t i = 0; i < hidden; i++) v[i] = 1;
  for (size_t i = 0; i < bias; i++)
    v[hidden + i] = (float)((double)(next_random(&state) >> 11) / 9007199254740992.0 - 0.5) * 0.1f;
  m->final_norm = v;
  for (int i = 0; i < s->layers; i++) {
    m->layers[i].attn_norm = m->layers[i].mlp_norm = v;
    m->layers[i].qkv_bias = v + hidden;
  }
  return ENGINE_OK;
}

int model_open_random(model **out, const char *spec, const char *tokenizer_folder, char *err,
                      size_t errlen) {
  const family_model *f;
  kernels_type type;
  *out = NULL;
  int rc = parse(spec, &f, &type, err, errlen);
  if (rc != ENGINE_OK) return rc;
  model *m = calloc(1, sizeof *m);
  if (m == NULL) return out_of_memory(err, errlen);
  m->shape = f->shape;
  m->tied = f->tied;
  m->trained_context = 32768;
  m->random = true;
  m->random_type = type;
  snprintf(m->types, sizeof m->types, "%s", kernels_type_name(type));
  m->parameters = family_parameters(&f->shape, f->tied);
  m->weight_bytes = family_matrix_elements(&f->shape, f->tied) /
                        kernels_type_block_elements(type) * kernels_type_block_bytes(type) +
                    (m->parameters - family_matrix_elements(&f->shape, f->tied)) * 4;
  m->storage = model__storage_new();
  m->layers = calloc((size_t)f->shape.layers, sizeof *m->layers);
  m->name = malloc(32);
  m->path = strdup("random weights");
  if (m->name != NULL) snprintf(m->name, 32, "random-%s", f->name);
  if (m->storage == NULL || m->layers == NULL || m->name == NULL || m->path == NULL ||
      fill_vectors(m) != ENGINE_OK) {
    model_close(m);
    return out_of_memory(err, errlen);
  }
  if (tokenizer_folder != NULL)
    rc = hf_read_tokenizer(&m->tokenizer, m->storage, tokenizer_folder, m->shape.vocab, err,
                           errlen);
  if (rc != ENGINE_OK) {
    model_close(m);
    return rc;
  }
  *out = m;
  return ENGINE_OK;
}

/* Places a matrix at *at and moves it on. */
static kernels_matrix place(const model *m, const uint8_t **at, int64_t rows, int64_t cols) {
  kernels_matrix w = {.type = m->random_type, .rows = rows, .cols = cols, .data = *at};
  *at += kernels_matrix_bytes(&w);
  return w;
}

static void place_layer(const model *m, const uint8_t *at, model_layer *l) {
  const kernels_shape *s = &m->shape;
  int64_t q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim;
  l->q = place(m, &at, q, s->hidden);
  l->k = place(m, &at, kv, s->hidden);
  l->v = place(m, &at, kv, s->hidden);
  l->o = place(m, &at, s->hidden, q);
  l->gate = place(m, &at, s->intermediate, s->hidden);
  l->up = place(m, &at, s->intermediate, s->hidden);
  l->down = place(m, &at, s->hidden, s->intermediate);
}

int model_random_fill(model *m, bool share, char *err, size_t errlen) {
  const kernels_shape *s = &m->shape;
  int elements = kernels_type_block_elements(m->random_type);
  int block_size = kernels_type_block_bytes(m->random_type);
  int64_t layer = family_layer_elements(s) / elements; /* in blocks, as all here */
  int64_t table = (int64_t)s->vocab * s->hidden / elements;
  int tables = m->tied || share ? 1 : 2, layers = share ? 1 : s->layers;
  int64_t blocks = table * tables + layer * layers;
  uint8_t *data = model__storage_map_empty(m->storage, (size_t)(blocks * block_size));
  float *f32 = malloc(TABLE * sizeof *f32);
  uint16_t *f16 = malloc(TABLE * sizeof *f16);
  if (data == NULL || f32 == NULL || f16 == NULL) {
    free(f32);
    free(f16);
    snprintf(err, errlen, "no memory for %.1f GB of random weights",
             (double)(blocks * block_size) / 1e9);
    return ENGINE_ENOMEM;
  }
  fill_table(f32);
  for (int i = 0; i < TABLE; i++)
    f16[i] = m->random_type == KERNELS_F16 ? to_half(f32[i]) : to_bf16(f32[i]);
  fill(&(filler){.type = m->random_type, .f32 = f32, .f16 = f16, .out = data, .blocks = blocks,
                 .seed = 2});
  free(f32);
  free(f16);
  const uint8_t *at = data;
  m->embedding = m->head = place(m, &at, s->vocab, s->hidden);
  if (tables > 1) m->head = place(m, &at, s->vocab, s->hidden);
  for (int i = 0; i < s->layers; i++)
    place_layer(m, at + (share ? 0 : layer * block_size * i), &m->layers[i]);
  return ENGINE_OK;
}
