/* fast.c - the backend "cpu": choosing an instruction set, and the life of its objects.
 *
 * "cpu" takes the best level that the processor has; "cpu:avx2" and the like force one, for
 * tests and for measuring. */
#include "kernels/cpu/fast_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* ---- what the processor has ------------------------------------------------------------ */

enum { HAS_AVX2 = 1, HAS_AVX512 = 2, HAS_AMX = 4 };

#if defined(__x86_64__)

static bool bits(unsigned value, unsigned mask) { return (value & mask) == mask; }

static uint64_t saved_registers(void) {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

/* Both the processor and the system (which must save the registers) are asked. */
static int features(void) {
  unsigned a, b, c, d, c1, found = 0;
  const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
  if (!__get_cpuid(1, &a, &b, &c1, &d) || !bits(c1, fma | osxsave | avx | f16c)) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  uint64_t saved = saved_registers();
  const unsigned avx2 = 1u << 5, f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
  const unsigned vnni = 1u << 11, tile_bf16 = 1u << 22, tile = 1u << 24;
  if ((saved & 0x6) == 0x6 && bits(b, avx2)) found |= HAS_AVX2;
  if (found && (saved & 0xe6) == 0xe6 && bits(b, f | dq | bw | vl) && bits(c, vnni))
    found |= HAS_AVX512;
  if (found & HAS_AVX512 && (saved & 0x60000) == 0x60000 && bits(d, tile | tile_bf16))
    found |= HAS_AMX;
  return (int)found;
}

#else

static int features(void) { return 0; }

#endif

static const struct level_choice {
  const cpu_level *level;
  int needs;
} choices[] = {
#if defined(__x86_64__)
    {&cpu__amx, HAS_AMX},
    {&cpu__avx512, HAS_AVX512},
    {&cpu__avx2, HAS_AVX2},
#endif
    {&cpu__portable, 0},
};

static const cpu_level *choose_level(const char *variant, char *err, size_t errlen) {
  int have = features();
  bool known = !variant[0];
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
    const cpu_level *level = choices[i].level;
    if (variant[0] && strcmp(variant, level->variant) != 0) continue;
    known = true;
    if ((choices[i].needs & have) != choices[i].needs) continue;
    if (choices[i].needs == HAS_AMX && !cpu__amx_request()) continue;
    return level;
  }
  if (known) kernels__error(err, errlen, "this processor does not have \"%s\"", variant);
  else kernels__error(err, errlen, "the cpu backend has no variant \"%s\"", variant);
  return NULL;
}

/* ---- open and close -------------------------------------------------------------------- */

int fast__scratch_grow(scratch *s, size_t bytes) {
  if (bytes <= s->bytes) return KERNELS_OK;
  void *data = host__alloc(bytes);
  if (!data) return KERNELS_ENOMEM;
  host__free(s->data, s->bytes);
  *s = (scratch){data, bytes};
  return KERNELS_OK;
}

static void scratch_free(scratch *s) { host__free(s->data, s->bytes); }

static void fast_close(kernels *k) {
  fast *self = (fast *)k;
  pool__delete(self->pool);
  host__results_free(&self->results);
  scratch_free(&self->normed);
  scratch_free(&self->quants);
  scratch_free(&self->tiles);
  scratch_free(&self->expanded);
  scratch_free(&self->wide);
  scratch_free(&self->turns);
  scratch_free(&self->gathered);
  free(self->frequency);
  free(self);
}

static int fast_open(kernels **out, const char *variant, const kernels *model, char *err,
                     size_t errlen) {
  const cpu_level *level = choose_level(variant, err, errlen);
  if (!level) return KERNELS_EUNSUPPORTED;
  fast *self = calloc(1, sizeof *self);
  if (!self) return KERNELS_ENOMEM;
  const kernels_shape *s = &model->shape;
  int threads = model->options.threads > 0 ? model->options.threads : pool__cores();
  self->level = level;
  self->pool = pool__new(threads);
  self->frequency = calloc((size_t)s->head_dim / 2, sizeof *self->frequency);
  if (!self->pool || !self->frequency ||
      host__results_init(&self->results, model->options.max_out) != KERNELS_OK) {
    fast_close(&self->head);
    return KERNELS_ENOMEM;
  }
  for (int i = 0; i < s->head_dim / 2; i++)
    self->frequency[i] = (float)pow(s->rope_theta, -2.0 * i / s->head_dim);
  snprintf(self->head.description, sizeof self->head.description, "cpu (%s, %d thread%s)",
           level->name, threads, threads == 1 ? "" : "s");
  *out = &self->head;
  return KERNELS_OK;
}

/* ---- weights --------------------------------------------------------------------------- */

/* A matrix of the embedding's shape may never be multiplied with, and then packing it would be
 * a waste of memory: it is packed when it first is. */
static int fast_weight_load(kernels *k, kernels_role role, const kernels_matrix *parts,
                            int n_parts, int64_t rows, kernels_weight **out) {
  (void)role;
  fast *self = (fast *)k;
  cpu_weight *w = cpu__weight_new(parts, n_parts);
  if (!w) return KERNELS_ENOMEM;
  bool embedding = rows == k->shape.vocab && parts[0].cols == k->shape.hidden;
  int rc = embedding ? KERNELS_OK : cpu__weight_pack(w, self->level->k_step, self->pool);
  if (rc != KERNELS_OK) {
    cpu__weight_free(w);
    return rc;
  }
  *out = &w->head;
  return KERNELS_OK;
}

static void fast_weight_free(kernels *k, kernels_weight *w) {
  (void)k;
  cpu__weight_free((cpu_weight *)w);
}

/* ---- caches ---------------------------------------------------------------------------- */

static void fast_cache_free(kernels *k, kernels_cache *cache) {
  (void)k;
  fast_cache *c = (fast_cache *)cache;
  host__free(c->k, c->bytes);
  host__free(c->v, c->bytes);
  free(c);
}

static int fast_cache_new(kernels *k, int tokens, kernels_cache **out) {
  const kernels_shape *s = &k->shape;
  fast_cache *c = calloc(1, sizeof *c);
  if (!c) return KERNELS_ENOMEM;
  c->groups = (tokens + KEYS - 1) / KEYS;
  c->head_elements = host__mul(host__mul((size_t)c->groups, KEYS), (size_t)s->head_dim);
  c->bytes = host__mul(host__mul((size_t)s->layers, (size_t)s->kv_heads),
                       host__mul(c->head_elements, sizeof *c->k));
  c->k = host__alloc(c->bytes);
  c->v = host__alloc(c->bytes);
  if (!c->k || !c->v) {
    fast_cache_free(k, &c->head);
    return KERNELS_ENOMEM;
  }
  *out = &c->head;
  return KERNELS_OK;
}

static void move_slot(uint16_t *k, uint16_t *v, int dim, int from, int to) {
  size_t d = (size_t)dim;
  uint16_t *source = k + (size_t)(from / KEYS) * KEYS * d + from % KEYS;
  uint16_t *target = k + (size_t)(to / KEYS) * KEYS * d + to % KEYS;
  for (size_t i = 0; i < d; i++) target[KEYS * i] = source[KEYS * i];
  if (from != to) memcpy(v + (size_t)to * d, v + (size_t)from * d, d * sizeof *v);
}

static int fast_cache_move(kernels *k, kernels_cache *cache, const int32_t *from, int n, int to) {
  fast_cache *c = (fast_cache *)cache;
  for (int layer = 0; layer < k->shape.layers; layer++) {
    for (int kv = 0; kv < k->shape.kv_heads; kv++) {
      size_t at = fast_cache_at(c, &k->shape, layer, kv);
      for (int i = 0; i < n; i++)
        move_slot(c->k + at, c->v + at, k->shape.head_dim, from[i], to + i);
    }
  }
  return KERNELS_OK;
}

const kernels_backend kernels__cpu = {
    .name = "cpu",
    .open = fast_open,
    .close = fast_close,
    .weight_load = fast_weight_load,
    .weight_free = fast_weight_free,
    .buffer_new = host__buffer_new,
    .buffer_read = host__buffer_read,
    .buffer_free = host__buffer_free,
    .cache_element_bytes = sizeof(uint16_t),
    .cache_new = fast_cache_new,
    .cache_free = fast_cache_free,
    .cache_move = fast_cache_move,
    .begin = fast__begin,
    .embed = fast__embed,
    .qkv = fast__qkv,
    .attend = fast__attend,
    .project = fast__project,
    .gate_up = fast__gate_up,
    .head = fast__head,
    .end = fast__end,
    .logit = fast__logit,
    .logits = fast__logits,
};
