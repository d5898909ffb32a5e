/* kernels.c - the door to the backends: opening by name, and every check of an argument.
 *
 * A backend sees only what passed here, so the checks are written once and all backends refuse
 * the same things. */
#include "kernels/backend.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
  DEFAULT_BATCH = 512,
  MAX_BATCH = 1 << 16,
  MAX_LAYERS = 1 << 12,
  MAX_WIDTH = 1 << 20, /* hidden, intermediate, heads * head_dim */
  MAX_VOCAB = 1 << 24,
  MAX_THREADS = 1 << 10,
  MAX_CACHE = 1 << 24, /* tokens */
};

static const kernels_backend *const backends[] = {
    &kernels__cpu_reference,
    &kernels__cpu,
#ifdef FIMD_CUDA
    &kernels__cuda,
#endif
};

const char *kernels_strstatus(int status) {
  switch (status) {
  case KERNELS_OK: return "success";
  case KERNELS_ENOMEM: return "out of memory";
  case KERNELS_EINVAL: return "an argument that the operation does not take";
  case KERNELS_EDEVICE: return "the device failed";
  case KERNELS_EUNSUPPORTED: return "not supported on this machine";
  }
  return "unknown status";
}

void kernels__error(char *err, size_t errlen, const char *format, ...) {
  if (!err || errlen == 0) return;
  va_list args;
  va_start(args, format);
  vsnprintf(err, errlen, format, args);
  va_end(args);
}

/* ---- opening --------------------------------------------------------------------------- */

static bool in_range(int value, int least, int most) { return value >= least && value <= most; }

static const char *shape_fault(const kernels_shape *s) {
  if (!in_range(s->layers, 1, MAX_LAYERS)) return "layers";
  if (!in_range(s->hidden, 1, MAX_WIDTH)) return "hidden";
  if (s->head_dim != 64 && s->head_dim != 128) return "head_dim (64 or 128)";
  if (!in_range(s->heads, 1, MAX_WIDTH / s->head_dim)) return "heads";
  if (!in_range(s->kv_heads, 1, s->heads) || s->heads % s->kv_heads != 0) return "kv_heads";
  if (!in_range(s->intermediate, 1, MAX_WIDTH)) return "intermediate";
  if (!in_range(s->vocab, 1, MAX_VOCAB)) return "vocab";
  if (!isfinite(s->rope_theta) || s->rope_theta <= 0) return "rope_theta";
  if (!isfinite(s->rms_eps) || s->rms_eps < 0) return "rms_eps";
  return NULL;
}

/* The backend whose name is `name` up to a colon; *variant is what follows the colon. */
static const kernels_backend *find_backend(const char *name, const char **variant) {
  size_t len = strcspn(name, ":");
  *variant = name[len] == ':' ? name + len + 1 : "";
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
    if (strlen(backends[i]->name) == len && memcmp(backends[i]->name, name, len) == 0)
      return backends[i];
  return NULL;
}

int kernels_open(kernels **out, const char *backend, const kernels_shape *shape,
                 const kernels_options *options, char *err, size_t errlen) {
  if (err && errlen > 0) err[0] = '\0';
  if (!out) return KERNELS_EINVAL;
  *out = NULL;
  if (!backend || !shape) {
    kernels__error(err, errlen, "no backend or no shape given");
    return KERNELS_EINVAL;
  }
  const char *fault = shape_fault(shape);
  if (fault) {
    kernels__error(err, errlen, "the model's shape cannot be used: %s", fault);
    return KERNELS_EINVAL;
  }
  kernels head = {.shape = *shape};
  if (options) head.options = *options;
  if (head.options.max_batch == 0) head.options.max_batch = DEFAULT_BATCH;
  if (head.options.max_out == 0) head.options.max_out = head.options.max_batch;
  if (!in_range(head.options.threads, 0, MAX_THREADS) ||
      !in_range(head.options.max_batch, 1, MAX_BATCH) ||
      !in_range(head.options.max_out, 1, head.options.max_batch)) {
    kernels__error(err, errlen, "threads, max_batch or max_out is out of range");
    return KERNELS_EINVAL;
  }
  const char *variant;
  head.backend = find_backend(backend, &variant);
  if (!head.backend) {
    if (strncmp(backend, "cuda", 4) == 0)
      kernels__error(err, errlen,
                     "this build has no CUDA backend (there was no CUDA compiler to make it)");
    else
      kernels__error(err, errlen, "there is no backend named \"%s\"", backend);
    return KERNELS_EUNSUPPORTED;
  }
  kernels *k = NULL;
  int rc = head.backend->open(&k, variant, &head, err, errlen);
  if (rc != KERNELS_OK) {
    if (err && errlen > 0 && !err[0]) kernels__error(err, errlen, "%s", kernels_strstatus(rc));
    return rc;
  }
  memcpy(head.description, k->description, sizeof head.description);
  *k = head;
  *out = k;
  return KERNELS_OK;
}

void kernels_close(kernels *k) {
  if (k) k->backend->close(k);
}

const char *kernels_description(const kernels *k) { return k ? k->description : ""; }
int kernels_max_batch(const kernels *k) { return k ? k->options.max_batch : 0; }

int kernels_exact_rows(const kernels *k) {
  if (!k) return 0;
  int rows = k->backend->exact_rows;
  return rows > 0 && rows < k->options.max_batch ? rows : k->options.max_batch;
}

int kernels_padded_rows(const kernels *k, int n) {
  return k && k->backend->padded_rows ? k->backend->padded_rows(n) : n;
}

void kernels_memory(kernels *k, size_t *available, size_t *total) {
  *available = *total = 0;
  if (k && k->backend->memory) k->backend->memory(k, available, total);
}

double kernels_copy_bandwidth(kernels *k) {
  return k && k->backend->copy_bandwidth ? k->backend->copy_bandwidth(k) : 0;
}

/* ---- weights, buffers, caches ---------------------------------------------------------- */

static int q_width(const kernels *k) { return k->shape.heads * k->shape.head_dim; }
static int kv_width(const kernels *k) { return k->shape.kv_heads * k->shape.head_dim; }

/* The rows of all parts, or -1 if they are not what the role takes. */
static int64_t part_rows(const kernels *k, kernels_role role, const kernels_matrix *parts,
                         int n_parts) {
  if (!k || !parts) return -1;
  int64_t want[3] = {0}, rows = 0;
  int n = 1;
  switch (role) {
  case KERNELS_TABLE: want[0] = k->shape.vocab; break;
  case KERNELS_PROJECT: want[0] = k->shape.hidden; break;
  case KERNELS_QKV: n = 3, want[0] = q_width(k), want[1] = want[2] = kv_width(k); break;
  case KERNELS_GATE_UP: n = 2, want[0] = want[1] = k->shape.intermediate; break;
  default: return -1;
  }
  if (n != n_parts) return -1;
  for (int i = 0; i < n_parts; i++) {
    const kernels_matrix *p = &parts[i];
    if (!p->data || p->rows != want[i] || p->cols < 1 || p->cols != parts[0].cols) return -1;
    if (p->cols > MAX_WIDTH || kernels_matrix_bytes(p) < 0) return -1;
    rows += p->rows;
  }
  return rows;
}

int kernels_weight_load(kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts,
                        kernels_weight **out) {
  if (!out) return KERNELS_EINVAL;
  *out = NULL;
  int64_t rows = part_rows(k, role, parts, n_parts);
  if (rows < 0) return KERNELS_EINVAL;
  kernels_weight *w = NULL;
  int rc = k->backend->weight_load(k, role, parts, n_parts, rows, &w);
  if (rc != KERNELS_OK) return rc;
  *w = (kernels_weight){.owner = k, .role = role, .rows = rows, .cols = parts[0].cols};
  *out = w;
  return KERNELS_OK;
}

int64_t kernels_weight_bytes(kernels *k, kernels_role role, const kernels_matrix *parts,
                             int n_parts) {
  if (part_rows(k, role, parts, n_parts) < 0) return -1;
  if (k->backend->weight_bytes) return k->backend->weight_bytes(k, role, parts, n_parts);
  int64_t bytes = 0;
  for (int i = 0; i < n_parts; i++) bytes += kernels_matrix_bytes(&parts[i]);
  return bytes;
}

void kernels_weight_free(kernels *k, kernels_weight *w) {
  if (k && w) k->backend->weight_free(k, w);
}

int kernels_buffer_new(kernels *k, const float *data, size_t count, kernels_buffer **out) {
  if (!out) return KERNELS_EINVAL;
  *out = NULL;
  if (!k || count == 0 || count > PTRDIFF_MAX / sizeof(float)) return KERNELS_EINVAL;
  kernels_buffer *b = NULL;
  int rc = k->backend->buffer_new(k, data, count, &b);
  if (rc != KERNELS_OK) return rc;
  *b = (kernels_buffer){.owner = k, .count = count};
  *out = b;
  return KERNELS_OK;
}

int kernels_buffer_read(kernels *k, const kernels_buffer *b, float *out, size_t count) {
  if (!k || !b || b->owner != k || (!out && count > 0) || count > b->count) return KERNELS_EINVAL;
  return count > 0 ? k->backend->buffer_read(k, b, out, count) : KERNELS_OK;
}

void kernels_buffer_free(kernels *k, kernels_buffer *b) {
  if (k && b) k->backend->buffer_free(k, b);
}

int kernels_cache_new(kernels *k, int tokens, kernels_cache **out) {
  if (!out) return KERNELS_EINVAL;
  *out = NULL;
  if (!k || !in_range(tokens, 1, MAX_CACHE)) return KERNELS_EINVAL;
  kernels_cache *c = NULL;
  int rc = k->backend->cache_new(k, tokens, &c);
  if (rc != KERNELS_OK) return rc;
  *c = (kernels_cache){.owner = k, .tokens = tokens};
  *out = c;
  return KERNELS_OK;
}

int64_t kernels_cache_bytes(const kernels *k, int tokens) {
  if (!k || !in_range(tokens, 1, MAX_CACHE)) return -1;
  return (int64_t)2 * k->shape.layers * kv_width(k) * tokens * k->backend->cache_element_bytes;
}

void kernels_cache_free(kernels *k, kernels_cache *c) {
  if (!k || !c) return;
  if (k->cache == c) {
    k->cache = NULL;
    k->in_step = false;
  }
  k->backend->cache_free(k, c);
}

int kernels_cache_move(kernels *k, kernels_cache *c, const int32_t *from, int n, int to) {
  if (!k || !c || c->owner != k || n < 0 || to < 0 || to > c->tokens - n || (n > 0 && !from))
    return KERNELS_EINVAL;
  for (int i = 0; i < n; i++) {
    if (from[i] < to + i || from[i] >= c->tokens) return KERNELS_EINVAL;
    if (i > 0 && from[i] <= from[i - 1]) return KERNELS_EINVAL;
  }
  return n > 0 ? k->backend->cache_move(k, c, from, n, to) : KERNELS_OK;
}

/* ---- one step -------------------------------------------------------------------------- */

static bool batch_ok(const kernels *k, const kernels_cache *c, const kernels_batch *b) {
  if (!in_range(b->n, 1, k->options.max_batch) || !b->ids || !b->pos) return false;
  if (b->kv_len < 0 || b->kv_len > c->tokens - b->n) return false;
  for (int i = 0; i < b->n; i++)
    if (!in_range(b->ids[i], 0, k->shape.vocab - 1) || b->pos[i] < 0) return false;
  if (!in_range(b->n_out, 0, k->options.max_out) || b->n_out > b->n) return false;
  if (b->n_out == 0) return true;
  if (!b->out || !in_range(b->top_k, 1, KERNELS_TOP_K_MAX) || b->top_k > k->shape.vocab)
    return false;
  for (int i = 0; i < b->n_out; i++) {
    if (!in_range(b->out[i], 0, b->n - 1)) return false;
    if (i > 0 && b->out[i] <= b->out[i - 1]) return false;
  }
  return true;
}

int kernels_begin(kernels *k, kernels_cache *c, const kernels_batch *batch) {
  if (!k || !c || c->owner != k || !batch || !batch_ok(k, c, batch)) return KERNELS_EINVAL;
  k->cache = c;
  k->batch = *batch;
  k->have_logits = false;
  int rc = k->backend->begin(k);
  k->in_step = rc >= 0;
  if (rc > 0) k->have_logits = true;
  return rc;
}

static bool weight_ok(const kernels *k, const kernels_weight *w, kernels_role role, int64_t cols) {
  return w && w->owner == k && w->role == role && w->cols == cols;
}

/* At least n rows of `width` floats. */
static bool buffer_ok(const kernels *k, const kernels_buffer *b, int n, int width) {
  return b && b->owner == k && b->count >= (size_t)n * (size_t)width;
}

static bool next_ok(const kernels *k, const kernels_buffer *next) {
  return !next || buffer_ok(k, next, 1, k->shape.hidden);
}

int kernels_embed(kernels *k, const kernels_weight *table, kernels_buffer *x,
                  const kernels_buffer *next) {
  if (!k || !k->in_step || !weight_ok(k, table, KERNELS_TABLE, k->shape.hidden) ||
      !buffer_ok(k, x, k->batch.n, k->shape.hidden) || !next_ok(k, next) || x == next)
    return KERNELS_EINVAL;
  return k->backend->embed(k, table, x, next);
}

int kernels_qkv(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
                const kernels_weight *w, const kernels_buffer *bias, kernels_buffer *q) {
  if (!k || !k->in_step || !in_range(layer, 0, k->shape.layers - 1)) return KERNELS_EINVAL;
  int rows = q_width(k) + 2 * kv_width(k), hidden = k->shape.hidden, n = k->batch.n;
  if (!weight_ok(k, w, KERNELS_QKV, hidden) || !buffer_ok(k, x, n, hidden) ||
      !buffer_ok(k, norm, 1, hidden) || (bias && !buffer_ok(k, bias, 1, rows)) ||
      !buffer_ok(k, q, n, q_width(k)) || q == x)
    return KERNELS_EINVAL;
  return k->backend->qkv(k, layer, x, norm, w, bias, q);
}

int kernels_attend(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a) {
  if (!k || !k->in_step || !in_range(layer, 0, k->shape.layers - 1) ||
      !buffer_ok(k, q, k->batch.n, q_width(k)) ||
      !buffer_ok(k, a, k->batch.n, q_width(k)) || q == a)
    return KERNELS_EINVAL;
  return k->backend->attend(k, layer, q, a);
}

int kernels_project(kernels *k, const kernels_buffer *y, const kernels_weight *w,
                    kernels_buffer *x, const kernels_buffer *next) {
  if (!k || !k->in_step || !w || !weight_ok(k, w, KERNELS_PROJECT, w->cols) ||
      !buffer_ok(k, y, k->batch.n, (int)w->cols) || !buffer_ok(k, x, k->batch.n, k->shape.hidden) ||
      y == x || !next_ok(k, next) || x == next)
    return KERNELS_EINVAL;
  return k->backend->project(k, y, w, x, next);
}

int kernels_gate_up(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                    const kernels_weight *w, kernels_buffer *h) {
  if (!k || !k->in_step) return KERNELS_EINVAL;
  int hidden = k->shape.hidden, inter = k->shape.intermediate, n = k->batch.n;
  if (!weight_ok(k, w, KERNELS_GATE_UP, hidden) || !buffer_ok(k, x, n, hidden) ||
      !buffer_ok(k, norm, 1, hidden) || !buffer_ok(k, h, n, inter) || h == x)
    return KERNELS_EINVAL;
  return k->backend->gate_up(k, x, norm, w, h);
}

int kernels_head(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                 const kernels_weight *w) {
  if (!k || !k->in_step || !weight_ok(k, w, KERNELS_TABLE, k->shape.hidden) ||
      !buffer_ok(k, x, k->batch.n, k->shape.hidden) || !buffer_ok(k, norm, 1, k->shape.hidden))
    return KERNELS_EINVAL;
  if (k->batch.n_out == 0) return KERNELS_OK;
  int rc = k->backend->head(k, x, norm, w);
  if (rc == KERNELS_OK) k->have_logits = true;
  return rc;
}

int kernels_end(kernels *k, kernels_result *result) {
  if (result) *result = (kernels_result){0};
  if (!k || !k->in_step) return KERNELS_EINVAL;
  k->in_step = false;
  bool whole = k->batch.n_out == 0 || k->have_logits;
  kernels_result found = {0};
  if (whole && k->batch.n_out > 0) {
    found.n_out = k->batch.n_out;
    found.top_k = k->batch.top_k;
  }
  int rc = k->backend->end(k, &found); /* also of a step that was given up: it may be recording */
  if (rc != KERNELS_OK) k->have_logits = false;
  if (!whole) return KERNELS_EINVAL;
  if (rc == KERNELS_OK && result) *result = found;
  return rc;
}

static bool has_row(const kernels *k, int row) {
  return k && !k->in_step && k->have_logits && in_range(row, 0, k->batch.n_out - 1);
}

int kernels_logit(kernels *k, int row, int32_t id, float *out) {
  if (!out || !has_row(k, row) || !in_range(id, 0, k->shape.vocab - 1)) return KERNELS_EINVAL;
  return k->backend->logit(k, row, id, out);
}

int kernels_logits(kernels *k, int row, const float **out) {
  if (!out || !has_row(k, row)) return KERNELS_EINVAL;
  return k->backend->logits(k, row, out);
}
