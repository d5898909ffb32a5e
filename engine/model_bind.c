/* model_bind.c - from named tensors to a model: finds each weight, holds its shape against the
 * config, converts norms and biases to float, and refuses what is missing, left over or not a
 * number. The same for GGUF and Hugging Face files (model_source.h). */
#include "engine/model_source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct binder {
  model *m;
  model_source *src;
  char *err;
  size_t errlen;
  int64_t type_bytes[64]; /* by kernels_type: how much of the matrices has it */
} binder;

static int out_of_memory(char *err, size_t errlen) {
  if (errlen) snprintf(err, errlen, "out of memory");
  return ENGINE_ENOMEM;
}

/* ---- the shape ------------------------------------------------------------------------- */

static int field_fail(const model_source *src, model_field field, char *err, size_t errlen,
                      const char *words) {
  bytes where;
  bytes_init(&where, NULL, 0, src->config_file, err, errlen);
  return bytes_fail(&where, src->fields_at[field], "%s %s", src->names->fields[field], words);
}

int model__source_check(model_source *src, char *err, size_t errlen) {
  kernels_shape *s = &src->shape;
  const struct {
    model_field field;
    int64_t value, max;
  } ranges[] = {
      {MODEL_LAYERS, s->layers, MODEL_MAX_LAYERS},
      {MODEL_HIDDEN, s->hidden, MODEL_MAX_WIDTH},
      {MODEL_HEADS, s->heads, MODEL_MAX_HEADS},
      {MODEL_KV_HEADS, s->kv_heads, MODEL_MAX_HEADS},
      {MODEL_INTERMEDIATE, s->intermediate, MODEL_MAX_WIDTH},
      {MODEL_VOCAB, s->vocab, MODEL_MAX_VOCAB},
      {MODEL_CONTEXT, src->trained_context, MODEL_MAX_CONTEXT},
  };
  char words[160];
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    if (ranges[i].value >= 1 && ranges[i].value <= ranges[i].max) continue;
    snprintf(words, sizeof words, "is %lld; it must be 1 to %lld", (long long)ranges[i].value,
             (long long)ranges[i].max);
    return field_fail(src, ranges[i].field, err, errlen, words);
  }
  if (s->heads % s->kv_heads != 0) {
    snprintf(words, sizeof words, "is %d; it must divide the number of heads, %d", s->kv_heads,
             s->heads);
    return field_fail(src, MODEL_KV_HEADS, err, errlen, words);
  }
  bool derived = s->head_dim == 0;
  if (derived && s->hidden % s->heads != 0) {
    snprintf(words, sizeof words, "is %d; it must divide the width %d", s->heads, s->hidden);
    return field_fail(src, MODEL_HEADS, err, errlen, words);
  }
  if (derived) s->head_dim = s->hidden / s->heads;
  if (s->head_dim != 64 && s->head_dim != 128) {
    snprintf(words, sizeof words, "%s a head dimension of %d; 64 and 128 are supported",
             derived ? "gives" : "is", s->head_dim);
    return field_fail(src, derived ? MODEL_HEADS : MODEL_HEAD_DIM, err, errlen, words);
  }
  if (!(s->rope_theta >= 1.0f && s->rope_theta <= 1e12f))
    return field_fail(src, MODEL_ROPE_THETA, err, errlen, "must be a number of 1 to 1e12");
  if (!(s->rms_eps > 0.0f && s->rms_eps <= 1.0f))
    return field_fail(src, MODEL_RMS_EPS, err, errlen, "must be a number above 0 and up to 1");
  return 0;
}

/* ---- refusals -------------------------------------------------------------------------- */

static int tensor_fail(const binder *b, const model_tensor *t, uint64_t at, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));
static int tensor_fail(const binder *b, const model_tensor *t, uint64_t at, const char *format,
                       ...) {
  char words[320];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof words, format, args);
  va_end(args);
  bytes where;
  bytes_init(&where, NULL, 0, t->file, b->err, b->errlen);
  bytes_about(&where, "tensor", t->name.data, t->name.len);
  return bytes_fail(&where, at, "%s", words);
}

/* Last of all checks, as it reads all of the file. */
static int check_numbers(const binder *b) {
  const model_tensor *t;
  int64_t block;
  int status = model__find_bad_number(&b->src->tensors, &t, &block);
  if (status) return out_of_memory(b->err, b->errlen);
  if (!t) return 0;
  bool blocks = kernels_type_block_elements(t->type) > 1;
  return tensor_fail(b, t, t->data_at + (uint64_t)(block * kernels_type_block_bytes(t->type)),
                     "%s %lld is not a finite number", blocks ? "the scale of block" : "element",
                     (long long)block);
}

/* ---- matrices and vectors -------------------------------------------------------------- */

/* The tensor of a name, checked to be [rows, cols] (rows 0: a vector of cols). *out is NULL if
 * it is missing and optional. words: what the config calls the two. */
static int take(binder *b, const char *name, int64_t rows, int64_t cols, const char *words,
                bool optional, model_tensor **out) {
  model_tensor *t = *out = model__tensors_find(&b->src->tensors, name);
  if (!t) {
    if (optional) return 0;
    bytes where;
    bytes_init(&where, NULL, 0, b->src->config_file, b->err, b->errlen);
    bytes_about(&where, "tensor", name, strlen(name));
    return bytes_fail(&where, b->src->fields_at[MODEL_LAYERS],
                      "is missing from a model whose %s is %d",
                      b->src->names->fields[MODEL_LAYERS], b->src->shape.layers);
  }
  bool fits = rows ? t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols
                   : t->n_dims == 1 && t->dims[0] == cols;
  if (!fits) {
    char is[96], want[64];
    int n = 0;
    for (int i = 0; i < t->n_dims; i++)
      n += snprintf(is + n, sizeof is - (size_t)n, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
    if (rows) snprintf(want, sizeof want, "%lld, %lld", (long long)rows, (long long)cols);
    else snprintf(want, sizeof want, "%lld", (long long)cols);
    return tensor_fail(b, t, t->at, "its shape is [%s], but the config says [%s] (%s)", is, want,
                       words);
  }
  t->used = true;
  b->m->parameters += (rows ? rows : 1) * cols;
  b->m->weight_bytes += t->bytes;
  return 0;
}

/* The least alignment at which the elements of a type may be read. */
static size_t type_alignment(kernels_type type) { return type == KERNELS_F32 ? 4 : 2; }

static int bind_matrix(binder *b, const char *name, int64_t rows, int64_t cols, const char *words,
                       kernels_matrix *out) {
  model_tensor *t;
  int status = take(b, name, rows, cols, words, false, &t);
  if (status) return status;
  *out = (kernels_matrix){.type = t->type, .rows = rows, .cols = cols, .data = t->data};
  if (kernels_matrix_bytes(out) != t->bytes)
    return tensor_fail(b, t, t->at, "its size is %lld bytes, but the shape needs %lld",
                       (long long)t->bytes, (long long)kernels_matrix_bytes(out));
  b->type_bytes[t->type] += t->bytes;
  if ((uintptr_t)t->data % type_alignment(t->type) != 0) { /* safetensors allow it */
    void *copy = model__storage_alloc(b->m->storage, (size_t)t->bytes);
    if (!copy) return out_of_memory(b->err, b->errlen);
    memcpy(copy, t->data, (size_t)t->bytes);
    out->data = copy;
  }
  return 0;
}

/* Converts a vector into out[n]; leaves out alone if the tensor is optional and missing. */
static int bind_vector_into(binder *b, const char *name, int64_t n, const char *words,
                            bool optional, float *out) {
  model_tensor *t;
  int status = take(b, name, 0, n, words, optional, &t);
  if (status || !t) return status;
  if (t->type != KERNELS_F32 && t->type != KERNELS_F16 && t->type != KERNELS_BF16)
    return tensor_fail(b, t, t->at, "is a vector of type %s; F32, F16 and BF16 are supported",
                       kernels_type_name(t->type));
  uint8_t aligned[256 * sizeof(float)];
  int size = kernels_type_block_bytes(t->type), step = (int)sizeof aligned / 4;
  for (int64_t i = 0; i < n; i += step) {
    int64_t count = n - i < step ? n - i : step;
    memcpy(aligned, t->data + i * size, (size_t)(count * size));
    if (kernels_dequantize_row(t->type, aligned, count, out + i) != 0)
      return tensor_fail(b, t, t->at, "cannot be converted from %s", kernels_type_name(t->type));
  }
  return 0;
}

static int bind_vector(binder *b, const char *name, int64_t n, const char *words,
                       const float **out) {
  float *v = model__storage_alloc(b->m->storage, (size_t)n * sizeof *v);
  if (!v) return out_of_memory(b->err, b->errlen);
  *out = v;
  return bind_vector_into(b, name, n, words, false, v);
}

static int bind_layer(binder *b, int index, model_layer *layer) {
  const model_names *names = b->src->names;
  const kernels_shape *s = &b->src->shape;
  int64_t q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim;
  struct {
    model_layer_tensor tensor;
    int64_t rows, cols;
    const char *words;
    kernels_matrix *out;
  } matrices[] = {
      {MODEL_Q, q, s->hidden, "heads * head_dim, hidden", &layer->q},
      {MODEL_K, kv, s->hidden, "kv_heads * head_dim, hidden", &layer->k},
      {MODEL_V, kv, s->hidden, "kv_heads * head_dim, hidden", &layer->v},
      {MODEL_O, s->hidden, q, "hidden, heads * head_dim", &layer->o},
      {MODEL_GATE, s->intermediate, s->hidden, "intermediate, hidden", &layer->gate},
      {MODEL_UP, s->intermediate, s->hidden, "intermediate, hidden", &layer->up},
      {MODEL_DOWN, s->hidden, s->intermediate, "hidden, intermediate", &layer->down},
  };
  char prefix[64], name[128];
  int status = 0;
  snprintf(prefix, sizeof prefix, "%s%d.", names->layer, index);
#define NAMED(tensor) (snprintf(name, sizeof name, "%s%s", prefix, names->tensors[tensor]), name)
  for (size_t i = 0; i < sizeof matrices / sizeof *matrices && !status; i++)
    status = bind_matrix(b, NAMED(matrices[i].tensor), matrices[i].rows, matrices[i].cols,
                         matrices[i].words, matrices[i].out);
  if (!status)
    status = bind_vector(b, NAMED(MODEL_ATTN_NORM), s->hidden, "hidden", &layer->attn_norm);
  if (!status)
    status = bind_vector(b, NAMED(MODEL_MLP_NORM), s->hidden, "hidden", &layer->mlp_norm);
  if (status) return status;
  size_t size = (size_t)(q + 2 * kv) * sizeof(float);
  float *bias = model__storage_alloc(b->m->storage, size);
  if (!bias) return out_of_memory(b->err, b->errlen);
  memset(bias, 0, size);
  layer->qkv_bias = bias;
  status = bind_vector_into(b, NAMED(MODEL_Q_BIAS), q, "heads * head_dim", true, bias);
  if (!status)
    status = bind_vector_into(b, NAMED(MODEL_K_BIAS), kv, "kv_heads * head_dim", true, bias + q);
  if (!status)
    status =
        bind_vector_into(b, NAMED(MODEL_V_BIAS), kv, "kv_heads * head_dim", true, bias + q + kv);
#undef NAMED
  return status;
}

/* ---- the whole ------------------------------------------------------------------------- */

/* A tensor that the forward pass would not use means another model than it computes. */
static int check_all_used(const binder *b) {
  for (int i = 0; i < b->src->tensors.n; i++) {
    const model_tensor *t = &b->src->tensors.list[i];
    if (!t->used)
      return tensor_fail(b, t, t->at, "is not part of a Qwen2 model whose %s is %d",
                         b->src->names->fields[MODEL_LAYERS], b->src->shape.layers);
  }
  return 0;
}

/* "Q4_K+Q6_K": the matrices' types, most bytes first, as many as fit. */
static void name_types(binder *b, char *out, size_t outlen) {
  size_t n = 0;
  out[0] = 0;
  for (;;) {
    int best = -1;
    for (int i = 0; i < (int)(sizeof b->type_bytes / sizeof *b->type_bytes); i++)
      if (b->type_bytes[i] > 0 && (best < 0 || b->type_bytes[i] > b->type_bytes[best])) best = i;
    if (best < 0) return;
    b->type_bytes[best] = 0;
    const char *name = kernels_type_name((kernels_type)best);
    if (!name || n + strlen(name) + 2 > outlen) return;
    n += (size_t)snprintf(out + n, outlen - n, "%s%s", n ? "+" : "", name);
  }
}

int model__bind(model *m, model_source *src, char *err, size_t errlen) {
  binder b = {.m = m, .src = src, .err = err, .errlen = errlen};
  const model_names *names = src->names;
  const kernels_shape *s = &src->shape;
  m->shape = *s;
  m->trained_context = src->trained_context;
  m->parameters = m->weight_bytes = 0;
  int status = bind_matrix(&b, names->embedding, s->vocab, s->hidden, "vocab, hidden",
                           &m->embedding);
  if (!status) status = bind_vector(&b, names->final_norm, s->hidden, "hidden", &m->final_norm);
  if (status) return status;
  model_tensor *head = model__tensors_find(&src->tensors, names->head);
  m->tied = src->head == MODEL_HEAD_TIED || (src->head == MODEL_HEAD_IF_PRESENT && !head);
  if (m->tied) {
    m->head = m->embedding;
    if (head) head->used = true;
  } else {
    status = bind_matrix(&b, names->head, s->vocab, s->hidden, "vocab, hidden", &m->head);
    if (status) return status;
  }
  m->layers = calloc((size_t)s->layers, sizeof *m->layers);
  if (!m->layers) return out_of_memory(err, errlen);
  for (int i = 0; i < s->layers; i++)
    if ((status = bind_layer(&b, i, &m->layers[i])) != 0) return status;
  name_types(&b, m->types, sizeof m->types);
  m->tokenizer = src->tokenizer;
  src->tokenizer = NULL;
  status = check_all_used(&b);
  return status ? status : check_numbers(&b);
}
