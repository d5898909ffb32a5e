/* fast_ops.c - the ops of the backend "cpu" around matrix products.
 *
 * A product is shared out as items of (some panels of rows) x (some tokens). An item computes
 * TOKEN_TILE tokens of a few panels into a small scratch that stays in the first cache, and
 * hands that to the op's finish, which adds, gates or stores: outputs pass through memory once. */
#include "kernels/cpu/fast_state.h"

#include <math.h>
#include <string.h>

enum {
  MAX_ITEM_PANELS = 8,
  ITEM_TOKENS = 128,             /* tokens of an item of a product */
  ITEM_TOKENS_EXPANDED = 512,    /* the same where the item's panels are expanded first */
  ROW_TOKENS = 8,                /* tokens of an item of row-wise work */
  STRIDE_PAD = 16,               /* floats, so that rows of scratch are no power of two apart */
  ITEM_WEIGHT_BYTES = 256 << 10, /* what an item's panels may take of the second cache */
};

static int least(int a, int b) { return a < b ? a : b; }
static int divide_up(int a, int b) { return (a + b - 1) / b; }

/* ---- activations ----------------------------------------------------------------------- */

typedef struct acts_job {
  fast *self;
  const float *x, *norm; /* norm NULL: x is taken as it is */
  const int32_t *rows;   /* [n] rows of x, or NULL: 0..n-1 */
  int n, cols;
  float *normed;
  cpu_acts acts;
  bool quantized;
} acts_job;

static void acts_item(void *arg, int item, int thread) {
  const acts_job *job = arg;
  const cpu_level *level = job->self->level;
  (void)thread;
  int end = least(job->n, (item + 1) * ROW_TOKENS);
  for (int t = item * ROW_TOKENS; t < end; t++) {
    const float *x = job->x + (size_t)(job->rows ? job->rows[t] : t) * (size_t)job->cols;
    if (job->norm) {
      float *out = job->normed + (size_t)t * (size_t)job->cols;
      level->norm(x, job->norm, job->cols, job->self->head.shape.rms_eps, out);
      x = out;
    }
    if (job->quantized) {
      act_block *blocks = (act_block *)(void *)(job->acts.q + (size_t)t * job->acts.q_stride);
      level->quantize(x, job->cols, blocks);
      if (job->acts.tiles)
        level->tile_row(x, job->cols, blocks,
                        job->acts.tiles + (size_t)(t / 16) * job->acts.tile_stride + t % 16 * 64);
    }
  }
}

/* Prepares a product with w: its activations, n rows of x, normed if norm is given; and w itself,
 * which may not be packed yet (that changes its memory, not its meaning, hence the cast). */
static int prepare_acts(fast *self, const kernels_weight *weight, const float *x, const float *norm,
                        const int32_t *rows, int n, cpu_acts *out) {
  cpu_weight *w = (cpu_weight *)(uintptr_t)weight;
  size_t cols = (size_t)weight->cols;
  int packed = cpu__weight_pack(w, self->level->k_step, self->pool);
  if (packed != KERNELS_OK) return packed;
  acts_job job = {.self = self, .x = x, .norm = norm, .rows = rows, .n = n, .cols = (int)cols,
                  .quantized = w->quantized};
  if (norm) {
    int rc = fast__scratch_grow(&self->normed, host__mul((size_t)n, cols * sizeof(float)));
    if (rc != KERNELS_OK) return rc;
    job.normed = self->normed.data;
  }
  if (w->quantized) {
    /* An odd number of cache lines, so that the rows of a tile do not share cache sets. */
    size_t lines = (cols / BLOCK * sizeof(act_block) + 63) / 64 | 1;
    int rc = fast__scratch_grow(&self->quants, host__mul((size_t)n, lines * 64));
    if (rc != KERNELS_OK) return rc;
    job.acts.q = self->quants.data;
    job.acts.q_stride = lines * 64;
    if (self->level->tile_tokens > 0 && n >= self->level->tile_tokens) {
      job.acts.tile_stride = cols / BLOCK * self->level->tile_bytes;
      size_t tiles = (size_t)divide_up(n, 16);
      rc = fast__scratch_grow(&self->tiles, host__mul(tiles, job.acts.tile_stride));
      if (rc != KERNELS_OK) return rc;
      job.acts.tiles = self->tiles.data;
    }
  }
  job.acts.f = norm ? job.normed : x;
  job.acts.f_stride = cols;
  if (norm || w->quantized)
    pool__run(self->pool, divide_up(n, ROW_TOKENS), acts_item, &job);
  *out = job.acts;
  return KERNELS_OK;
}

/* ---- expanded panels ------------------------------------------------------------------- */

/* Room for two lots of `panels` panels of w in every thread, where the level wants them. */
static int expand_grow(fast *self, const kernels_weight *w, int panels, const cpu_acts *x) {
  if (!x->tiles) return KERNELS_OK;
  size_t lot = host__mul((size_t)panels, (size_t)w->cols / BLOCK * self->level->expanded_bytes);
  self->expanded_lot = host__add(lot, 63) / 64 * 64;
  return fast__scratch_grow(&self->expanded,
                            host__mul(self->expanded_lot, 2 * (size_t)pool__threads(self->pool)));
}

/* The panels as the thread's lot 0 or 1, or NULL where they are multiplied as they are. */
static const uint8_t *expand_panels(fast *self, const cpu_segment *s, int64_t first, int count,
                                    const cpu_acts *x, int thread, int lot) {
  if (!x->tiles || !cpu_kind_is_quantized(s->kind)) return NULL;
  uint8_t *out = (uint8_t *)self->expanded.data + self->expanded_lot * (size_t)(2 * thread + lot);
  self->level->expand(s, first, count, out);
  return out;
}

/* ---- products -------------------------------------------------------------------------- */

typedef struct product product;

/* Takes rows [row, row + rows) of W times tokens [token, token + tokens): y[tokens, stride]. */
typedef void product_finish(const product *p, int64_t row, int rows, int token, int tokens,
                            const float *y, size_t stride);

struct product {
  fast *self;
  const cpu_weight *w;
  const cpu_acts *x;
  int n;
  product_finish *finish;
  float *out;
  size_t out_stride;
  int panels, item_tokens;      /* of an item */
  int token_items, panel_items; /* along the tokens; along the panels of all segments */
};

/* Item i of the panels of all segments: each segment has its own last, smaller item. */
static const cpu_segment *find_panels(const product *p, int i, int64_t *first, int *count) {
  const cpu_segment *s = p->w->segments;
  for (;; s++) {
    int items = (int)((s->panels + p->panels - 1) / p->panels);
    if (i < items) break;
    i -= items;
  }
  *first = (int64_t)i * p->panels;
  int64_t left = s->panels - *first;
  *count = left < p->panels ? (int)left : p->panels;
  return s;
}

static int64_t rows_of(const cpu_segment *s, int64_t first, int count) {
  int64_t left = s->source.rows - first * PANEL;
  return left < (int64_t)count * PANEL ? left : (int64_t)count * PANEL;
}

static void product_item(void *arg, int item, int thread) {
  const product *p = arg;
  int64_t first;
  int count;
  const cpu_segment *s = find_panels(p, item / p->token_items, &first, &count);
  int rows = (int)rows_of(s, first, count);
  _Alignas(64) float y[TOKEN_TILE * (MAX_ITEM_PANELS * PANEL + STRIDE_PAD)];
  int chunk = item % p->token_items, end = least(p->n, (chunk + 1) * p->item_tokens);
  const uint8_t *expanded = expand_panels(p->self, s, first, count, p->x, thread, 0);
  for (int t = chunk * p->item_tokens; t < end; t += TOKEN_TILE) {
    int tokens = least(TOKEN_TILE, end - t);
    size_t stride = (size_t)count * PANEL + STRIDE_PAD;
    p->self->level->multiply(s, first, count, p->x, t, tokens, expanded, y, stride);
    p->finish(p, s->row0 + first * PANEL, rows, t, tokens, y, stride);
  }
}

static int tokens_of_item(const cpu_acts *x) {
  return x->tiles ? ITEM_TOKENS_EXPANDED : ITEM_TOKENS;
}

/* Panels of an item: few enough to share out well, and to stay in cache between token tiles. */
static int item_panels(const fast *self, const cpu_weight *w, int n, const cpu_acts *x) {
  int64_t panels = 0, most = MAX_ITEM_PANELS;
  for (int i = 0; i < w->n_segments; i++) {
    const cpu_segment *s = &w->segments[i];
    int64_t fit = ITEM_WEIGHT_BYTES / (int64_t)(s->panel_bytes + 1) + 1;
    if (fit < most) most = fit;
    panels += s->panels;
  }
  int64_t share = panels * divide_up(n, tokens_of_item(x)) / (4 * pool__threads(self->pool)) + 1;
  return (int)(share < most ? share : most);
}

static int run_product(fast *self, const kernels_weight *weight, const cpu_acts *x, int n,
                       product_finish *finish, float *out, size_t out_stride) {
  const cpu_weight *w = (const cpu_weight *)weight;
  product p = {.self = self, .w = w, .x = x, .n = n, .finish = finish, .out = out,
               .out_stride = out_stride, .panels = item_panels(self, w, n, x),
               .item_tokens = tokens_of_item(x)};
  int rc = expand_grow(self, weight, p.panels, x);
  if (rc != KERNELS_OK) return rc;
  p.token_items = divide_up(n, p.item_tokens);
  for (int i = 0; i < w->n_segments; i++)
    p.panel_items += (int)((w->segments[i].panels + p.panels - 1) / p.panels);
  pool__run(self->pool, p.panel_items * p.token_items, product_item, &p);
  return KERNELS_OK;
}

static void finish_store(const product *p, int64_t row, int rows, int token, int tokens,
                         const float *y, size_t stride) {
  for (int t = 0; t < tokens; t++, y += stride)
    memcpy(p->out + (size_t)(token + t) * p->out_stride + row, y, (size_t)rows * sizeof *y);
}

static void finish_add(const product *p, int64_t row, int rows, int token, int tokens,
                       const float *y, size_t stride) {
  for (int t = 0; t < tokens; t++, y += stride)
    p->self->level->add(y, rows, p->out + (size_t)(token + t) * p->out_stride + row);
}

/* ---- gate and up ----------------------------------------------------------------------- */

/* Where gate and up fall into panels alike (two parts, or one of whole panels), an item computes
 * both of the same rows and writes only h. */
typedef struct gated {
  fast *self;
  const cpu_segment *gate, *up;
  int64_t up_first; /* panel of `up` that goes with panel 0 of `gate` */
  const cpu_acts *x;
  int n, panels, item_tokens, token_items;
  int64_t gate_panels;
  float *h;
} gated;

static void gated_item(void *arg, int item, int thread) {
  const gated *g = arg;
  size_t inter = (size_t)g->self->head.shape.intermediate;
  int64_t first = (int64_t)(item / g->token_items) * g->panels, left = g->gate_panels - first;
  int count = left < g->panels ? (int)left : g->panels;
  size_t row = (size_t)first * PANEL, width = (size_t)count * PANEL, stride = width + STRIDE_PAD;
  int rows = (int)(inter - row < width ? inter - row : width);
  _Alignas(64) float gate[TOKEN_TILE * (MAX_ITEM_PANELS / 2 * PANEL + STRIDE_PAD)];
  _Alignas(64) float up[TOKEN_TILE * (MAX_ITEM_PANELS / 2 * PANEL + STRIDE_PAD)];
  int chunk = item % g->token_items, end = least(g->n, (chunk + 1) * g->item_tokens);
  const cpu_level *level = g->self->level;
  int64_t up_first = g->up_first + first;
  const uint8_t *gate_x = expand_panels(g->self, g->gate, first, count, g->x, thread, 0);
  const uint8_t *up_x = expand_panels(g->self, g->up, up_first, count, g->x, thread, 1);
  for (int t = chunk * g->item_tokens; t < end; t += TOKEN_TILE) {
    int tokens = least(TOKEN_TILE, end - t);
    level->multiply(g->gate, first, count, g->x, t, tokens, gate_x, gate, stride);
    level->multiply(g->up, up_first, count, g->x, t, tokens, up_x, up, stride);
    for (int i = 0; i < tokens; i++)
      level->glu(gate + (size_t)i * stride, up + (size_t)i * stride, rows,
                 g->h + (size_t)(t + i) * inter + row);
  }
}

/* True if the weight's rows pair up by panels; fills gate, up, up_first, gate_panels. */
static bool find_pairs(const cpu_weight *w, int64_t inter, gated *g) {
  g->gate = &w->segments[0];
  if (w->n_segments == 2 && w->segments[1].row0 == inter) {
    g->up = &w->segments[1];
    g->up_first = 0;
  } else if (w->n_segments == 1 && inter % PANEL == 0) {
    g->up = g->gate;
    g->up_first = inter / PANEL;
  } else {
    return false;
  }
  g->gate_panels = (inter + PANEL - 1) / PANEL;
  return true;
}

typedef struct glu_job {
  fast *self;
  const float *wide; /* [n, 2 * intermediate] */
  float *h;
} glu_job;

static void glu_item(void *arg, int t, int thread) {
  const glu_job *job = arg;
  size_t inter = (size_t)job->self->head.shape.intermediate;
  const float *gate = job->wide + 2 * inter * (size_t)t;
  (void)thread;
  job->self->level->glu(gate, gate + inter, (int)inter, job->h + inter * (size_t)t);
}

int fast__gate_up(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                  const kernels_weight *w, kernels_buffer *h) {
  fast *self = (fast *)k;
  int n = k->batch.n, inter = k->shape.intermediate;
  cpu_acts acts;
  int rc = prepare_acts(self, w, host__data(x), host__data(norm), NULL, n, &acts);
  if (rc != KERNELS_OK) return rc;
  gated g = {.self = self, .x = &acts, .n = n, .h = host__data(h)};
  if (find_pairs((const cpu_weight *)w, inter, &g)) {
    g.panels = divide_up(item_panels(self, (const cpu_weight *)w, n, &acts), 2);
    g.item_tokens = tokens_of_item(&acts);
    g.token_items = divide_up(n, g.item_tokens);
    rc = expand_grow(self, w, g.panels, &acts);
    if (rc != KERNELS_OK) return rc;
    pool__run(self->pool, divide_up((int)g.gate_panels, g.panels) * g.token_items, gated_item, &g);
    return KERNELS_OK;
  }
  size_t width = 2 * (size_t)inter;
  rc = fast__scratch_grow(&self->wide, host__mul((size_t)n, width * sizeof(float)));
  if (rc != KERNELS_OK) return rc;
  rc = run_product(self, w, &acts, n, finish_store, self->wide.data, width);
  if (rc != KERNELS_OK) return rc;
  glu_job job = {.self = self, .wide = self->wide.data, .h = host__data(h)};
  pool__run(self->pool, n, glu_item, &job);
  return KERNELS_OK;
}

/* ---- the step and the other ops -------------------------------------------------------- */

static void turns_item(void *arg, int item, int thread) {
  fast *self = arg;
  int half = self->head.shape.head_dim / 2;
  int end = least(self->head.batch.n, (item + 1) * ROW_TOKENS);
  (void)thread;
  for (int t = item * ROW_TOKENS; t < end; t++) {
    float *turn = (float *)self->turns.data + 2 * (size_t)half * (size_t)t;
    for (int i = 0; i < half; i++) {
      float angle = (float)self->head.batch.pos[t] * self->frequency[i];
      turn[i] = cosf(angle);
      turn[half + i] = sinf(angle);
    }
  }
}

int fast__begin(kernels *k) {
  fast *self = (fast *)k;
  size_t bytes = (size_t)k->batch.n * (size_t)k->shape.head_dim * sizeof(float);
  int rc = fast__scratch_grow(&self->turns, bytes);
  if (rc != KERNELS_OK) return rc;
  pool__run(self->pool, divide_up(k->batch.n, ROW_TOKENS), turns_item, self);
  return KERNELS_OK;
}

int fast__embed(kernels *k, const kernels_weight *table, kernels_buffer *x,
                const kernels_buffer *next) {
  (void)next;
  const cpu_weight *w = (const cpu_weight *)table;
  for (int t = 0; t < k->batch.n; t++) {
    const cpu_segment *s = w->segments;
    int64_t row = k->batch.ids[t];
    while (row - s->row0 >= s->source.rows) s++;
    const char *data = s->source.data;
    kernels_dequantize_row(s->source.type,
                           data + (size_t)(row - s->row0) * host__row_bytes(&s->source),
                           s->source.cols, host__data(x) + (size_t)t * (size_t)k->shape.hidden);
  }
  return KERNELS_OK;
}

typedef struct qkv_job {
  fast *self;
  int layer;
  float *wide; /* [n, q + k + v] */
  const float *bias;
  float *q;
} qkv_job;

/* Adds the bias, turns q and k, stores q to the buffer and k and v to the cache. An item is a group
 * of the cache, so that no two threads write to the same lines of it. */
static void qkv_item(void *arg, int item, int thread) {
  const qkv_job *job = arg;
  const fast *self = job->self;
  const kernels_shape *s = &self->head.shape;
  const fast_cache *c = (const fast_cache *)self->head.cache;
  int dim = s->head_dim, q_width = s->heads * dim, width = q_width + 2 * s->kv_heads * dim;
  int before = self->head.batch.kv_len % KEYS, first = item * KEYS - before;
  int end = least(self->head.batch.n, first + KEYS);
  (void)thread;
  for (int t = first < 0 ? 0 : first; t < end; t++) {
    float *y = job->wide + (size_t)t * (size_t)width;
    const float *turn = (const float *)self->turns.data + (size_t)t * (size_t)dim;
    if (job->bias)
      for (int i = 0; i < width; i++) y[i] += job->bias[i];
    for (int h = 0; h < s->heads + s->kv_heads; h++) self->level->rotate(y + h * dim, dim, turn);
    memcpy(job->q + (size_t)t * (size_t)q_width, y, (size_t)q_width * sizeof *y);
    int slot = self->head.batch.kv_len + t;
    for (int h = 0; h < s->kv_heads; h++) {
      size_t at = fast_cache_at(c, s, job->layer, h);
      uint16_t *key = c->k + at + (size_t)(slot / KEYS) * KEYS * (size_t)dim + slot % KEYS;
      uint16_t half[MAX_HEAD_DIM];
      self->level->to_half(y + q_width + h * dim, dim, half);
      for (int i = 0; i < dim; i++) key[KEYS * i] = half[i];
      self->level->to_half(y + q_width + (s->kv_heads + h) * dim, dim,
                           c->v + at + (size_t)slot * (size_t)dim);
    }
  }
}

int fast__qkv(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
              const kernels_weight *w, const kernels_buffer *bias, kernels_buffer *q) {
  fast *self = (fast *)k;
  int n = k->batch.n;
  size_t width = (size_t)w->rows;
  cpu_acts acts;
  int rc = prepare_acts(self, w, host__data(x), host__data(norm), NULL, n, &acts);
  if (rc == KERNELS_OK)
    rc = fast__scratch_grow(&self->wide, host__mul((size_t)n, width * sizeof(float)));
  if (rc != KERNELS_OK) return rc;
  rc = run_product(self, w, &acts, n, finish_store, self->wide.data, width);
  if (rc != KERNELS_OK) return rc;
  qkv_job job = {.self = self, .layer = layer, .wide = self->wide.data,
                 .bias = bias ? host__data(bias) : NULL, .q = host__data(q)};
  pool__run(self->pool, divide_up(k->batch.kv_len % KEYS + n, KEYS), qkv_item, &job);
  return KERNELS_OK;
}

int fast__project(kernels *k, const kernels_buffer *y, const kernels_weight *w, kernels_buffer *x,
                  const kernels_buffer *next) {
  (void)next;
  fast *self = (fast *)k;
  cpu_acts acts;
  int rc = prepare_acts(self, w, host__data(y), NULL, NULL, k->batch.n, &acts);
  if (rc != KERNELS_OK) return rc;
  return run_product(self, w, &acts, k->batch.n, finish_add, host__data(x),
                     (size_t)k->shape.hidden);
}

static void top_k_item(void *arg, int i, int thread) {
  fast *self = arg;
  int vocab = self->head.shape.vocab, k = self->head.batch.top_k;
  const float *logits = self->results.logits + (size_t)i * (size_t)vocab;
  float *top = self->results.top_logits + i * k;
  (void)thread;
  host__top_k(logits, vocab, k, self->results.top_ids + i * k, top);
  if (self->head.batch.want_logsumexp)
    self->results.logsumexp[i] = self->level->logsumexp(logits, vocab, top[0]);
}

int fast__head(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
               const kernels_weight *w) {
  fast *self = (fast *)k;
  const kernels_batch *b = &k->batch;
  cpu_acts acts;
  int rc = host__results_grow(&self->results, b->n_out, k->shape.vocab);
  if (rc == KERNELS_OK)
    rc = prepare_acts(self, w, host__data(x), host__data(norm), b->out, b->n_out, &acts);
  if (rc != KERNELS_OK) return rc;
  rc = run_product(self, w, &acts, b->n_out, finish_store, self->results.logits,
                   (size_t)k->shape.vocab);
  if (rc != KERNELS_OK) return rc;
  pool__run(self->pool, b->n_out, top_k_item, self);
  return KERNELS_OK;
}

int fast__end(kernels *k, kernels_result *result) {
  host__results_get(&((fast *)k)->results, &k->batch, result);
  return KERNELS_OK;
}

int fast__logits(kernels *k, int row, const float **out) {
  *out = ((fast *)k)->results.logits + (size_t)row * (size_t)k->shape.vocab;
  return KERNELS_OK;
}

int fast__logit(kernels *k, int row, int32_t id, float *out) {
  const float *logits;
  fast__logits(k, row, &logits);
  *out = logits[id];
  return KERNELS_OK;
}
