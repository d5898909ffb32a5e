/* reference.c - the backend "cpu-reference": plain fp32, the judge of all others.
 *
 * One thread, one row at a time, weights dequantized as they are read, keys and values in fp32.
 * Every sum has one fixed order that does not depend on the batch: sums over columns run in
 * LANES interleaved partial sums (which a compiler can vectorise as written), sums over keys run
 * in the order of the slots attended to. */
#include "kernels/cpu/host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };

typedef struct reference {
  kernels head;
  host_results results;
  float *normed;  /* [max_batch, hidden] or [max_out, hidden] */
  float *row;     /* one dequantized row of a weight */
  size_t row_cols;
  float *wide;    /* [max_batch, max(q + 2 kv, 2 intermediate)] */
  float *turns;   /* [max_batch, head_dim/2, 2] cosine and sine of position * theta^(-2i/dim) */
  float *scores;  /* [cache tokens] */
  int32_t *slots; /* [cache tokens] */
  int room;       /* tokens of scores and slots */
} reference;

typedef struct reference_weight {
  kernels_weight head;
  int n_parts;
  kernels_matrix parts[];
} reference_weight;

typedef struct reference_cache {
  kernels_cache head;
  size_t bytes, width; /* of k and of v each; floats of a slot in one layer */
  float *k, *v;        /* [layers, tokens, kv_heads * head_dim] */
} reference_cache;

/* ---- arithmetic ------------------------------------------------------------------------ */

static float sum_lanes(const float s[LANES]) {
  float sum = 0;
  for (int j = 0; j < LANES; j++) sum += s[j];
  return sum;
}

static float dot(const float *restrict a, const float *restrict b, int n) {
  float s[LANES] = {0};
  int i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) s[j] += a[i + j] * b[i + j];
  for (int j = 0; i + j < n; j++) s[j] += a[i + j] * b[i + j];
  return sum_lanes(s);
}

static void rms_norm(const float *x, const float *norm, int n, float eps, float *out) {
  float scale = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
  for (int i = 0; i < n; i++) out[i] = x[i] * scale * norm[i];
}

/* y[n, stride] = W x, x[n, cols]; column r of y is row r of W. */
static int multiply(reference *self, const kernels_weight *weight, const float *x, int n, float *y,
                    size_t stride) {
  const reference_weight *w = (const reference_weight *)weight;
  size_t cols = (size_t)weight->cols;
  if (cols > self->row_cols) {
    float *row = realloc(self->row, cols * sizeof *row);
    if (!row) return KERNELS_ENOMEM;
    self->row = row;
    self->row_cols = cols;
  }
  for (int p = 0; p < w->n_parts; p++) {
    const kernels_matrix *m = &w->parts[p];
    const char *data = m->data;
    size_t row_bytes = host__row_bytes(m);
    for (int64_t r = 0; r < m->rows; r++, y++) {
      kernels_dequantize_row(m->type, data + (size_t)r * row_bytes, m->cols, self->row);
      for (int t = 0; t < n; t++)
        y[(size_t)t * stride] = dot(self->row, x + (size_t)t * cols, (int)cols);
    }
  }
  return KERNELS_OK;
}

/* Turns the pairs (i, i + dim/2) of one head by the angles of turn[dim/2, 2]. */
static void rotate(float *head, int dim, const float *turn) {
  for (int i = 0; i < dim / 2; i++) {
    float c = turn[2 * i], s = turn[2 * i + 1], a = head[i], b = head[i + dim / 2];
    head[i] = a * c - b * s;
    head[i + dim / 2] = b * c + a * s;
  }
}

/* ---- the backend ----------------------------------------------------------------------- */

static void reference_close(kernels *k) {
  reference *self = (reference *)k;
  host__results_free(&self->results);
  free(self->normed);
  free(self->row);
  free(self->wide);
  free(self->turns);
  free(self->scores);
  free(self->slots);
  free(self);
}

static int reference_open(kernels **out, const char *variant, const kernels *model, char *err,
                          size_t errlen) {
  if (variant[0]) {
    kernels__error(err, errlen, "cpu-reference has no variant \"%s\"", variant);
    return KERNELS_EUNSUPPORTED;
  }
  reference *self = calloc(1, sizeof *self);
  if (!self) return KERNELS_ENOMEM;
  const kernels_shape *s = &model->shape;
  size_t batch = (size_t)model->options.max_batch;
  size_t qkv = (size_t)(s->heads + 2 * s->kv_heads) * (size_t)s->head_dim;
  size_t gate_up = 2 * (size_t)s->intermediate, wide = qkv > gate_up ? qkv : gate_up;
  self->normed = calloc(batch, (size_t)s->hidden * sizeof(float));
  self->wide = calloc(batch, wide * sizeof(float));
  self->turns = calloc(batch, (size_t)s->head_dim * sizeof(float));
  if (!self->normed || !self->wide || !self->turns ||
      host__results_init(&self->results, model->options.max_out) != KERNELS_OK) {
    reference_close(&self->head);
    return KERNELS_ENOMEM;
  }
  strcpy(self->head.description, "cpu-reference");
  *out = &self->head;
  return KERNELS_OK;
}

static int reference_weight_load(kernels *k, kernels_role role, const kernels_matrix *parts,
                                 int n_parts, int64_t rows, kernels_weight **out) {
  (void)role;
  (void)k, (void)rows;
  reference_weight *w = calloc(1, sizeof *w + (size_t)n_parts * sizeof *parts);
  if (!w) return KERNELS_ENOMEM;
  w->n_parts = n_parts;
  memcpy(w->parts, parts, (size_t)n_parts * sizeof *parts);
  *out = &w->head;
  return KERNELS_OK;
}

static void reference_weight_free(kernels *k, kernels_weight *w) {
  (void)k;
  free(w);
}

static void reference_cache_free(kernels *k, kernels_cache *cache) {
  (void)k;
  reference_cache *c = (reference_cache *)cache;
  host__free(c->k, c->bytes);
  host__free(c->v, c->bytes);
  free(c);
}

static int reference_cache_new(kernels *k, int tokens, kernels_cache **out) {
  reference_cache *c = calloc(1, sizeof *c);
  if (!c) return KERNELS_ENOMEM;
  c->width = (size_t)k->shape.kv_heads * (size_t)k->shape.head_dim;
  c->bytes = host__mul(host__mul((size_t)k->shape.layers, (size_t)tokens),
                       c->width * sizeof(float));
  c->k = host__alloc(c->bytes);
  c->v = host__alloc(c->bytes);
  if (!c->k || !c->v) {
    reference_cache_free(k, &c->head);
    return KERNELS_ENOMEM;
  }
  *out = &c->head;
  return KERNELS_OK;
}

static size_t slot_at(const reference_cache *c, int layer, int slot) {
  return ((size_t)layer * (size_t)c->head.tokens + (size_t)slot) * c->width;
}

static int reference_cache_move(kernels *k, kernels_cache *cache, const int32_t *from, int n,
                                int to) {
  reference_cache *c = (reference_cache *)cache;
  for (int layer = 0; layer < k->shape.layers; layer++) {
    for (int i = 0; i < n; i++) {
      size_t source = slot_at(c, layer, from[i]), target = slot_at(c, layer, to + i);
      memmove(c->k + target, c->k + source, c->width * sizeof(float));
      memmove(c->v + target, c->v + source, c->width * sizeof(float));
    }
  }
  return KERNELS_OK;
}

static int reference_begin(kernels *k) {
  reference *self = (reference *)k;
  int half = k->shape.head_dim / 2;
  for (int i = 0; i < half; i++) {
    float frequency = (float)pow(k->shape.rope_theta, -(double)i / half);
    for (int t = 0; t < k->batch.n; t++) {
      float angle = (float)k->batch.pos[t] * frequency, *turn = self->turns + 2 * (t * half + i);
      turn[0] = (float)cos(angle);
      turn[1] = (float)sin(angle);
    }
  }
  int tokens = k->cache->tokens;
  if (tokens <= self->room) return KERNELS_OK;
  float *scores = realloc(self->scores, (size_t)tokens * sizeof *scores);
  if (scores) self->scores = scores;
  int32_t *slots = realloc(self->slots, (size_t)tokens * sizeof *slots);
  if (slots) self->slots = slots;
  if (!scores || !slots) return KERNELS_ENOMEM;
  self->room = tokens;
  return KERNELS_OK;
}

static int reference_embed(kernels *k, const kernels_weight *table, kernels_buffer *x,
                           const kernels_buffer *next) {
  (void)next;
  const reference_weight *w = (const reference_weight *)table;
  for (int t = 0; t < k->batch.n; t++) {
    int64_t row = k->batch.ids[t];
    const kernels_matrix *m = w->parts;
    while (row >= m->rows) row -= m++->rows;
    kernels_dequantize_row(m->type, (const char *)m->data + (size_t)row * host__row_bytes(m),
                           m->cols, host__data(x) + (size_t)t * (size_t)k->shape.hidden);
  }
  return KERNELS_OK;
}

static void norm_rows(reference *self, const kernels_buffer *x, const kernels_buffer *norm,
                      const int32_t *rows, int n) {
  size_t hidden = (size_t)self->head.shape.hidden;
  for (int i = 0; i < n; i++)
    rms_norm(host__data(x) + (size_t)(rows ? rows[i] : i) * hidden, host__data(norm), (int)hidden,
             self->head.shape.rms_eps, self->normed + (size_t)i * hidden);
}

static int reference_qkv(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
                         const kernels_weight *w, const kernels_buffer *bias, kernels_buffer *q) {
  reference *self = (reference *)k;
  const reference_cache *c = (const reference_cache *)k->cache;
  const kernels_shape *s = &k->shape;
  int dim = s->head_dim, q_width = s->heads * dim, kv_width = s->kv_heads * dim;
  size_t width = (size_t)(q_width + 2 * kv_width);
  norm_rows(self, x, norm, NULL, k->batch.n);
  int rc = multiply(self, w, self->normed, k->batch.n, self->wide, width);
  if (rc != KERNELS_OK) return rc;
  for (int t = 0; t < k->batch.n; t++) {
    float *y = self->wide + (size_t)t * width;
    if (bias)
      for (size_t i = 0; i < width; i++) y[i] += host__data(bias)[i];
    for (int h = 0; h < s->heads + s->kv_heads; h++)
      rotate(y + h * dim, dim, self->turns + t * dim);
    size_t slot = slot_at(c, layer, k->batch.kv_len + t);
    memcpy(host__data(q) + (size_t)t * (size_t)q_width, y, (size_t)q_width * sizeof *y);
    memcpy(c->k + slot, y + q_width, (size_t)kv_width * sizeof *y);
    memcpy(c->v + slot, y + q_width + kv_width, (size_t)kv_width * sizeof *y);
  }
  return KERNELS_OK;
}

/* The slots that row i attends to, in ascending order; returns how many. */
static int attended_slots(const kernels_batch *b, int i, int32_t *slots) {
  int n = 0;
  const uint64_t *mask = b->mask ? b->mask + (size_t)i * (size_t)((b->n + 63) / 64) : NULL;
  while (n < b->kv_len) slots[n] = n, n++;
  for (int j = 0; j < i; j++)
    if (!mask || (mask[j / 64] >> (j % 64) & 1)) slots[n++] = b->kv_len + j;
  slots[n++] = b->kv_len + i;
  return n;
}

/* a[dim] = softmax(q k^T * scale) v over n slots; k and v point at a head in slot 0. */
static void attend_head(const float *q, const float *k, const float *v, size_t stride,
                        const int32_t *slots, int n, int dim, float *scores, float *a) {
  float scale = 1.0f / sqrtf((float)dim), most = -INFINITY, sum = 0;
  for (int j = 0; j < n; j++) {
    scores[j] = dot(q, k + (size_t)slots[j] * stride, dim) * scale;
    most = fmaxf(most, scores[j]);
  }
  memset(a, 0, (size_t)dim * sizeof *a);
  for (int j = 0; j < n; j++) {
    const float *value = v + (size_t)slots[j] * stride;
    float p = expf(scores[j] - most);
    sum += p;
    for (int i = 0; i < dim; i++) a[i] += p * value[i];
  }
  for (int i = 0; i < dim; i++) a[i] /= sum;
}

static int reference_attend(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a) {
  reference *self = (reference *)k;
  const reference_cache *c = (const reference_cache *)k->cache;
  int dim = k->shape.head_dim, group = k->shape.heads / k->shape.kv_heads;
  for (int t = 0; t < k->batch.n; t++) {
    int n = attended_slots(&k->batch, t, self->slots);
    for (int h = 0; h < k->shape.heads; h++) {
      size_t at = ((size_t)t * (size_t)k->shape.heads + (size_t)h) * (size_t)dim;
      size_t kv = slot_at(c, layer, 0) + (size_t)(h / group) * (size_t)dim;
      attend_head(host__data(q) + at, c->k + kv, c->v + kv, c->width, self->slots, n, dim,
                  self->scores, host__data(a) + at);
    }
  }
  return KERNELS_OK;
}

static int reference_project(kernels *k, const kernels_buffer *y, const kernels_weight *w,
                             kernels_buffer *x, const kernels_buffer *next) {
  (void)next;
  reference *self = (reference *)k;
  size_t hidden = (size_t)k->shape.hidden, n = (size_t)k->batch.n;
  int rc = multiply(self, w, host__data(y), k->batch.n, self->normed, hidden);
  if (rc != KERNELS_OK) return rc;
  for (size_t i = 0; i < n * hidden; i++) host__data(x)[i] += self->normed[i];
  return KERNELS_OK;
}

static int reference_gate_up(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                             const kernels_weight *w, kernels_buffer *h) {
  reference *self = (reference *)k;
  size_t inter = (size_t)k->shape.intermediate;
  norm_rows(self, x, norm, NULL, k->batch.n);
  int rc = multiply(self, w, self->normed, k->batch.n, self->wide, 2 * inter);
  if (rc != KERNELS_OK) return rc;
  for (size_t t = 0; t < (size_t)k->batch.n; t++) {
    const float *gate = self->wide + 2 * t * inter, *up = gate + inter;
    for (size_t i = 0; i < inter; i++)
      host__data(h)[t * inter + i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
  }
  return KERNELS_OK;
}

static int reference_head(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                          const kernels_weight *w) {
  reference *self = (reference *)k;
  const kernels_batch *b = &k->batch;
  int rc = host__results_grow(&self->results, b->n_out, k->shape.vocab);
  if (rc != KERNELS_OK) return rc;
  norm_rows(self, x, norm, b->out, b->n_out);
  rc = multiply(self, w, self->normed, b->n_out, self->results.logits, (size_t)k->shape.vocab);
  if (rc != KERNELS_OK) return rc;
  for (int i = 0; i < b->n_out; i++) {
    const float *logits = self->results.logits + (size_t)i * (size_t)k->shape.vocab;
    float *top = self->results.top_logits + i * b->top_k;
    host__top_k(logits, k->shape.vocab, b->top_k, self->results.top_ids + i * b->top_k, top);
    if (b->want_logsumexp)
      self->results.logsumexp[i] = host__logsumexp(logits, k->shape.vocab, top[0]);
  }
  return KERNELS_OK;
}

static int reference_end(kernels *k, kernels_result *result) {
  host__results_get(&((reference *)k)->results, &k->batch, result);
  return KERNELS_OK;
}

static int reference_logits(kernels *k, int row, const float **out) {
  *out = ((reference *)k)->results.logits + (size_t)row * (size_t)k->shape.vocab;
  return KERNELS_OK;
}

static int reference_logit(kernels *k, int row, int32_t id, float *out) {
  const float *logits;
  reference_logits(k, row, &logits);
  *out = logits[id];
  return KERNELS_OK;
}

const kernels_backend kernels__cpu_reference = {
    .name = "cpu-reference",
    .open = reference_open,
    .close = reference_close,
    .weight_load = reference_weight_load,
    .weight_free = reference_weight_free,
    .buffer_new = host__buffer_new,
    .buffer_read = host__buffer_read,
    .buffer_free = host__buffer_free,
    .cache_element_bytes = sizeof(float),
    .cache_new = reference_cache_new,
    .cache_free = reference_cache_free,
    .cache_move = reference_cache_move,
    .begin = reference_begin,
    .embed = reference_embed,
    .qkv = reference_qkv,
    .attend = reference_attend,
    .project = reference_project,
    .gate_up = reference_gate_up,
    .head = reference_head,
    .end = reference_end,
    .logit = reference_logit,
    .logits = reference_logits,
};
