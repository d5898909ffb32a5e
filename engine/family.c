/* family.c - what is known of the models without their files: for random weights in a true shape
 * (model_random.c) and for saying which model would fit (memory.c). */
#include "engine/family.h"

#include <string.h>
#include <strings.h>

#define QWEN(layers, hidden, heads, kv, dim, ff, vocab) \
  {layers, hidden, heads, kv, dim, ff, vocab, 1e6f, 1e-6f}

const family_model family_models[] = {
    {"tiny", QWEN(2, 256, 4, 2, 64, 512, 1024), true, false},
    {"mini", {16, 384, 6, 2, 64, 1024, 16384, 1e5f, 1e-6f}, true, false},
    {"0.5B", QWEN(24, 896, 14, 2, 64, 4864, 151936), true, true},
    {"1.5B", QWEN(28, 1536, 12, 2, 128, 8960, 151936), true, true},
    {"3B", QWEN(36, 2048, 16, 2, 128, 11008, 151936), true, true},
    {"7B", QWEN(28, 3584, 28, 4, 128, 18944, 152064), false, true},
    {"14B", QWEN(48, 5120, 40, 8, 128, 13824, 152064), false, true},
    {"32B", QWEN(64, 5120, 40, 8, 128, 27648, 152064), false, true},
    {NULL, {0}, false, false},
};

const family_model *family_find(const char *name, size_t len) {
  for (const family_model *f = family_models; f->name != NULL; f++)
    if (strlen(f->name) == len && strncasecmp(f->name, name, len) == 0) return f;
  return NULL;
}

static int64_t qkv_rows(const kernels_shape *s) {
  return (int64_t)(s->heads + 2 * s->kv_heads) * s->head_dim;
}

int64_t family_layer_elements(const kernels_shape *s) {
  int64_t h = s->hidden, q = (int64_t)s->heads * s->head_dim;
  return h * qkv_rows(s) + h * q + 3 * h * s->intermediate;
}

int64_t family_matrix_elements(const kernels_shape *s, bool tied) {
  return family_layer_elements(s) * s->layers + (tied ? 1 : 2) * (int64_t)s->vocab * s->hidden;
}

int64_t family_parameters(const kernels_shape *s, bool tied) {
  return family_matrix_elements(s, tied) + s->layers * (2 * s->hidden + qkv_rows(s)) + s->hidden;
}

int64_t family_work_bytes(const kernels_shape *s, int max_batch, int max_out) {
  int64_t row = s->hidden + 2 * (int64_t)s->heads * s->head_dim + s->intermediate;
  return (row * max_batch + (int64_t)s->vocab * max_out) * (int64_t)sizeof(float);
}
