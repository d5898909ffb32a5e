/* memory.c - whether a model fits the device, and if not, what would.
 *
 * Needed are the weights, one KV cache, the buffers of the largest step, and a margin for what
 * the driver and the backend take beside them. A person who reads the answer can do three things:
 * shorten the context, choose a smaller model, or a type of fewer bits; so it names what of each
 * would fit. */
#include "engine/memory.h"

#include <stdio.h>
#include <string.h>

#include "engine/family.h"

#define MARGIN ((int64_t)256 << 20)
#define LEAST_CONTEXT 1024 /* a shorter one is no help with code */
#define CONTEXT_STEP 256

static int64_t token_bytes(const kernels_shape *s, int element_bytes) {
  return (int64_t)2 * s->layers * s->kv_heads * s->head_dim * element_bytes;
}

/* All but the cache. */
static int64_t fixed_bytes(const memory_question *q, const kernels_shape *s, int64_t weights) {
  return weights + family_work_bytes(s, q->max_batch, q->max_out) + MARGIN;
}

static void add(char *err, size_t errlen, const char *text) {
  size_t n = strnlen(err, errlen);
  if (n < errlen) snprintf(err + n, errlen - n, "%s", text);
}

/* ---- the family ------------------------------------------------------------------------ */

/* The best types first. */
static const kernels_type choices[] = {KERNELS_BF16, KERNELS_Q8_0, KERNELS_Q4_0};
enum { N_CHOICES = sizeof choices / sizeof *choices };

static bool family_fits(const memory_question *q, const family_model *f, kernels_type type) {
  int64_t elements = family_matrix_elements(&f->shape, f->tied);
  int64_t weights = elements / kernels_type_block_elements(type) * kernels_type_block_bytes(type);
  int64_t cache = token_bytes(&f->shape, q->element_bytes) * q->context;
  return fixed_bytes(q, &f->shape, weights) + cache <= (int64_t)q->available;
}

/* "0.5B, 1.5B in BF16; 3B in Q8_0": each size in the best type that fits. */
static void add_family(const memory_question *q, char *err, size_t errlen) {
  bool any = false;
  for (int t = 0; t < N_CHOICES; t++) {
    bool first = true;
    for (const family_model *f = family_models; f->name != NULL; f++) {
      if (!f->published || !family_fits(q, f, choices[t])) continue;
      bool better = false;
      for (int u = 0; u < t; u++) better = better || family_fits(q, f, choices[u]);
      if (better) continue;
      add(err, errlen, !any ? "; of Qwen2.5-Coder would fit " : first ? "; " : ", ");
      add(err, errlen, f->name);
      any = true;
      first = false;
    }
    if (first) continue;
    add(err, errlen, " in ");
    add(err, errlen, kernels_type_name(choices[t]));
  }
  if (!any) add(err, errlen, "; no size of Qwen2.5-Coder would fit");
}

/* ---- the answer ------------------------------------------------------------------------ */

int memory_check(const memory_question *q, char *err, size_t errlen) {
  int64_t token = token_bytes(&q->shape, q->element_bytes), cache = token * q->context;
  int64_t fixed = fixed_bytes(q, &q->shape, q->weights), available = (int64_t)q->available;
  if (fixed + cache <= available) return ENGINE_OK;
  char limit[64] = "", text[160];
  if (q->limit > 0)
    snprintf(limit, sizeof limit, " (--gpu-memory allows %.1f GB)", (double)q->limit / 1e9);
  snprintf(err, errlen,
           "%.64s does not fit the GPU: it needs %.1f GB (weights %.1f GB, a KV cache of %d tokens "
           "%.1f GB, work space %.1f GB), and %.1f of %.1f GB are free%s",
           q->model, (double)(fixed + cache) / 1e9, (double)q->weights / 1e9, q->context,
           (double)cache / 1e9, (double)(fixed - q->weights) / 1e9, (double)available / 1e9,
           (double)q->total / 1e9, limit);
  int64_t most = (available - fixed) / token / CONTEXT_STEP * CONTEXT_STEP;
  if (available >= fixed && most >= LEAST_CONTEXT) {
    snprintf(text, sizeof text, "; it would fit with --context %lld", (long long)most);
    add(err, errlen, text);
  } else {
    add_family(q, err, errlen);
  }
  add(err, errlen, "; --backend cpu takes it to the CPU");
  return ENGINE_ENOMEM;
}
