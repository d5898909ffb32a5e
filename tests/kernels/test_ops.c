/* test_ops.c - every op of every backend and level against a naive computation in double.
 *
 * The naive model below is written from kernels.h alone: dequantized weights, double sums in
 * plain loops. Outputs are poisoned first, and rows beyond the batch must stay so. */
#include "tests/kernels/toy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const backends[] = {"cpu-reference", "cpu:portable", "cpu:avx2", "cpu:avx512",
                                       "cpu:amx", "cuda", "cuda:plain"};
enum { BACKENDS = sizeof backends / sizeof *backends, SPARE_ROWS = 2, TOP_K = 5 };

static uint64_t seed;

/* ---- naive ----------------------------------------------------------------------------- */

static double *doubles(size_t n) {
  return memset(toy_alloc(n * sizeof(double)), 0, n * sizeof(double));
}

/* y[n, rows of all parts] = W x */
static double *naive_product(const kernels_matrix *parts, int n_parts, const double *x, int n) {
  int64_t cols = parts[0].cols, rows = 0, row = 0;
  for (int p = 0; p < n_parts; p++) rows += parts[p].rows;
  double *y = doubles((size_t)(n * rows));
  float *w = toy_alloc((size_t)cols * sizeof *w);
  for (int p = 0; p < n_parts; p++) {
    kernels_matrix one = {.type = parts[p].type, .rows = 1, .cols = cols};
    for (int64_t r = 0; r < parts[p].rows; r++, row++) {
      const char *data = (const char *)parts[p].data + r * kernels_matrix_bytes(&one);
      assert_int_equal(kernels_dequantize_row(one.type, data, cols, w), 0);
      for (int t = 0; t < n; t++)
        for (int64_t k = 0; k < cols; k++) y[t * rows + row] += (double)w[k] * x[t * cols + k];
    }
  }
  free(w);
  return y;
}

/* norm NULL: just to double */
static double *naive_norm(const float *x, const float *norm, int n, int cols, double eps) {
  double *y = doubles((size_t)n * (size_t)cols);
  for (int t = 0; t < n; t++) {
    double sum = 0;
    for (int i = 0; i < cols; i++) sum += (double)x[t * cols + i] * x[t * cols + i];
    double scale = 1 / sqrt(sum / cols + eps);
    for (int i = 0; i < cols; i++) {
      double v = x[t * cols + i];
      y[t * cols + i] = norm ? v * scale * norm[i] : v;
    }
  }
  return y;
}

static void naive_rotate(double *head, int dim, int pos, double theta) {
  for (int i = 0; i < dim / 2; i++) {
    double angle = pos * pow(theta, -2.0 * i / dim), a = head[i], b = head[i + dim / 2];
    head[i] = a * cos(angle) - b * sin(angle);
    head[i + dim / 2] = b * cos(angle) + a * sin(angle);
  }
}

/* All keys and values of one layer so far: kv[slot][k then v]. */
static double *naive_qkv(const toy_model *m, const float *x, const int32_t *pos, int n,
                         double *kv) {
  const kernels_shape *s = &m->shape;
  const toy_layer *l = &m->layers[0];
  int q = s->heads * s->head_dim, k = s->kv_heads * s->head_dim, all = q + 2 * k;
  double *y = naive_norm(x, l->attn_norm, n, s->hidden, s->rms_eps);
  double *wide = naive_product(l->qkv, 3, y, n), *out = doubles((size_t)(n * q));
  for (int t = 0; t < n; t++) {
    double *row = wide + t * all;
    for (int i = 0; i < all; i++) row[i] += l->bias[i];
    for (int h = 0; h < s->heads + s->kv_heads; h++)
      naive_rotate(row + h * s->head_dim, s->head_dim, pos[t], s->rope_theta);
    memcpy(out + t * q, row, (size_t)q * sizeof *row);
    memcpy(kv + t * 2 * k, row + q, (size_t)(2 * k) * sizeof *row);
  }
  free(y);
  free(wide);
  return out;
}

static double *naive_attend(const kernels_shape *s, const double *q, const double *kv,
                            const kernels_batch *b) {
  int dim = s->head_dim, width = 2 * s->kv_heads * dim, words = (b->n + 63) / 64;
  double *a = doubles((size_t)(b->n * s->heads * dim));
  double *p = doubles((size_t)(b->kv_len + b->n));
  for (int t = 0; t < b->n; t++) {
    for (int h = 0; h < s->heads; h++) {
      const double *query = q + (t * s->heads + h) * dim;
      double *out = a + (t * s->heads + h) * dim, sum = 0, most = -INFINITY;
      int kv_head = h / (s->heads / s->kv_heads);
      for (int pass = 0; pass < 2; pass++) {
        for (int j = 0; j <= b->kv_len + t; j++) {
          int row = j - b->kv_len;
          if (row >= 0 && row < t && b->mask && !(b->mask[t * words + row / 64] >> row % 64 & 1))
            continue;
          const double *key = kv + j * width + kv_head * dim, *value = key + width / 2;
          if (pass == 0) {
            p[j] = 0;
            for (int i = 0; i < dim; i++) p[j] += query[i] * key[i];
            p[j] /= sqrt(dim);
            most = fmax(most, p[j]);
          } else {
            sum += exp(p[j] - most);
            for (int i = 0; i < dim; i++) out[i] += exp(p[j] - most) * value[i];
          }
        }
      }
      for (int i = 0; i < dim; i++) out[i] /= sum;
    }
  }
  free(p);
  return a;
}

/* ---- comparing ------------------------------------------------------------------------- */

/* Mean squared error over mean square at most `bound`, and no single wild value. */
static void check(const char *backend, const char *what, const float *got, const double *want,
                  size_t n, double bound) {
  double error = 0, square = 0, worst = 0;
  for (size_t i = 0; i < n; i++) {
    double e = got[i] - want[i];
    if (!(fabs(e) < 1e30)) fail_msg("%s: %s[%zu] is %g, not %g", backend, what, i, got[i], want[i]);
    error += e * e;
    square += want[i] * want[i];
    worst = fmax(worst, fabs(e));
  }
  if (getenv("FIMD_TEST_VERBOSE"))
    printf("%-14s %-8s nmse %.2g worst %.2g\n", backend, what, error / square,
           worst / sqrt(square / (double)n));
  if (error > bound * square || worst > 300 * sqrt(bound * square / (double)n))
    fail_msg("%s: %s: error %g of square %g, worst %g of %zu", backend, what, error, square, worst,
             n);
}

/* A NaN that no arithmetic makes. */
static float poison(void) {
  uint32_t bits = 0x7fabcdefu;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

static kernels_buffer *poisoned(kernels *k, const float *rows, int n, int width) {
  size_t all = (size_t)(n + SPARE_ROWS) * (size_t)width, used = (size_t)n * (size_t)width;
  float *data = toy_alloc(all * sizeof *data), p = poison();
  for (size_t i = 0; i < all; i++) memcpy(&data[i], rows && i < used ? &rows[i] : &p, 4);
  kernels_buffer *b = toy_upload(k, data, all);
  free(data);
  return b;
}

/* Reads n rows; what follows must still be poison. Frees the buffer. */
static float *read_rows(kernels *k, kernels_buffer *b, int n, int width) {
  size_t all = (size_t)(n + SPARE_ROWS) * (size_t)width;
  float *data = toy_alloc(all * sizeof *data), p = poison();
  TOY_MUST(kernels_buffer_read(k, b, data, all));
  for (size_t i = (size_t)n * (size_t)width; i < all; i++) assert_memory_equal(&data[i], &p, 4);
  kernels_buffer_free(k, b);
  return data;
}

static bool is_cuda(const char *backend) { return strncmp(backend, "cuda", 4) == 0; }

/* ---- one case -------------------------------------------------------------------------- */

typedef struct test_case {
  toy_model model;
  kernels_batch batch;
  int32_t *ids, *pos, *out;
  uint64_t *mask;
  float *past, *x;   /* [kv_len, hidden], [n, hidden] */
  float *a, *h;      /* inputs of the projections */
  double *kv, *q, *attended, *after_o, *gated, *after_down, *logits;
} test_case;

static void add_to(double *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static test_case make_case(toy_random *r, const kernels_shape *shape, kernels_type type,
                           kernels_type v_type, int n, int kv_len, bool tree) {
  test_case c = {.model = toy_model_new(r, shape, type, v_type)};
  const kernels_shape *s = &c.model.shape;
  const toy_layer *l = &c.model.layers[0];
  int q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim, words = (n + 63) / 64;
  int inter = s->intermediate, hidden = s->hidden;
  c.ids = toy_alloc((size_t)n * sizeof *c.ids);
  c.pos = toy_alloc((size_t)(n + kv_len) * sizeof *c.pos);
  c.out = toy_alloc((size_t)n * sizeof *c.out);
  c.mask = memset(toy_alloc((size_t)(n * words) * sizeof *c.mask), 0,
                  (size_t)(n * words) * sizeof *c.mask);
  int n_out = 0;
  for (int i = 0; i < n; i++) {
    c.ids[i] = toy_below(r, s->vocab);
    c.pos[i] = kv_len + (tree ? i / 3 : i);
    if (i + 1 == n || toy_below(r, 3) == 0) c.out[n_out++] = i;
    for (int j = 0; j < i; j++)
      if (toy_below(r, 3) == 0) c.mask[i * words + j / 64] |= UINT64_C(1) << j % 64;
  }
  c.batch = (kernels_batch){.n = n, .ids = c.ids, .pos = c.pos, .kv_len = kv_len,
                            .mask = tree ? c.mask : NULL, .n_out = n_out, .out = c.out,
                            .top_k = TOP_K, .want_logits = true, .want_logsumexp = true};
  c.past = toy_floats(r, (size_t)kv_len * (size_t)hidden, 0, 1);
  c.x = toy_floats(r, (size_t)n * (size_t)hidden, 0, 1);
  c.a = toy_floats(r, (size_t)n * (size_t)q, 0, 1);
  c.h = toy_floats(r, (size_t)n * (size_t)inter, 0, 1);
  c.kv = doubles((size_t)(kv_len + n) * (size_t)(2 * kv));
  int32_t *past_pos = toy_alloc((size_t)(kv_len + 1) * sizeof *past_pos);
  for (int i = 0; i < kv_len; i++) past_pos[i] = i;
  free(naive_qkv(&c.model, c.past, past_pos, kv_len, c.kv));
  free(past_pos);
  c.q = naive_qkv(&c.model, c.x, c.pos, n, c.kv + kv_len * 2 * kv);
  c.attended = naive_attend(s, c.q, c.kv, &c.batch);
  double *a = naive_norm(c.a, NULL, n, q, 0), *h = naive_norm(c.h, NULL, n, inter, 0);
  c.after_o = naive_product(&l->o, 1, a, n);
  c.after_down = naive_product(&l->down, 1, h, n);
  add_to(c.after_o, c.x, (size_t)(n * hidden));
  add_to(c.after_down, c.x, (size_t)(n * hidden));
  free(a);
  free(h);
  double *y = naive_norm(c.x, l->mlp_norm, n, hidden, s->rms_eps);
  double *gu = naive_product(l->gate_up, 2, y, n);
  c.gated = doubles((size_t)n * (size_t)inter);
  for (int t = 0; t < n; t++)
    for (int i = 0; i < inter; i++) {
      double g = gu[t * 2 * inter + i];
      c.gated[t * inter + i] = g / (1 + exp(-g)) * gu[(t * 2 + 1) * inter + i];
    }
  free(y);
  free(gu);
  y = naive_norm(c.x, c.model.final_norm, n, hidden, s->rms_eps);
  for (int i = 0; i < n_out; i++)
    memmove(y + i * hidden, y + c.out[i] * hidden, (size_t)hidden * sizeof *y);
  c.logits = naive_product(&c.model.embedding, 1, y, n_out);
  free(y);
  return c;
}

static void free_case(test_case *c) {
  toy_model_free(&c->model);
  void *all[] = {c->ids, c->pos, c->out, c->mask, c->past, c->x, c->a, c->h, c->kv, c->q,
                 c->attended, c->after_o, c->gated, c->after_down, c->logits};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* Puts the keys and values of the case's past into the cache. */
static void fill_past(toy_device *d, const test_case *c, int max_batch) {
  const kernels_shape *s = &c->model.shape;
  int32_t ids[512] = {0}, pos[512];
  for (int from = 0; from < c->batch.kv_len;) {
    int left = c->batch.kv_len - from, n = left < max_batch ? left : max_batch;
    for (int i = 0; i < n; i++) pos[i] = from + i;
    kernels_batch b = {.n = n, .ids = ids, .pos = pos, .kv_len = from};
    TOY_MUST(kernels_begin(d->k, d->cache, &b));
    kernels_buffer *x = poisoned(d->k, c->past + from * s->hidden, n, s->hidden);
    TOY_MUST(kernels_qkv(d->k, 0, x, d->layers[0].attn_norm, d->layers[0].qkv, d->layers[0].bias,
                         d->q));
    TOY_MUST(kernels_end(d->k, NULL));
    kernels_buffer_free(d->k, x);
    from += n;
  }
}

/* Within what rounding the answer to a float and the sum's terms may make of it. */
static void check_logsumexp(const char *backend, const float *logits, int vocab, float got) {
  double most = -INFINITY, sum = 0;
  for (int i = 0; i < vocab; i++) most = fmax(most, logits[i]);
  for (int i = 0; i < vocab; i++) sum += exp(logits[i] - most);
  double want = most + log(sum), off = fabs(got - want);
  if (!(off <= 2e-6 + 2e-7 * fabs(want)) || !(got >= most))
    fail_msg("%s: logsumexp of %d logits is %.9g, not %.9g", backend, vocab, got, want);
}

static void check_head(const char *backend, const test_case *c, const kernels_result *r,
                       double bound) {
  int vocab = c->model.shape.vocab;
  assert_int_equal(r->n_out, c->batch.n_out);
  assert_int_equal(r->top_k, TOP_K);
  assert_non_null(r->logits);
  assert_non_null(r->logsumexp);
  check(backend, "logits", r->logits, c->logits, (size_t)(r->n_out * vocab), bound);
  for (int i = 0; i < r->n_out; i++) {
    const float *row = r->logits + i * vocab;
    check_logsumexp(backend, row, vocab, r->logsumexp[i]);
    for (int j = 0; j < TOP_K; j++) {
      int id = r->top_ids[i * TOP_K + j], better = 0;
      assert_in_range(id, 0, vocab - 1);
      assert_true(row[id] == r->top_logits[i * TOP_K + j]);
      for (int v = 0; v < vocab; v++) better += row[v] > row[id] || (row[v] == row[id] && v < id);
      assert_int_equal(better, j); /* its rank, ties by id */
    }
  }
}

static void run_case(const test_case *c, const char *backend, int threads) {
  const kernels_shape *s = &c->model.shape;
  const kernels_batch *b = &c->batch;
  int n = b->n, q_width = s->heads * s->head_dim, max_batch = n < 24 ? 24 : n;
  toy_device d;
  if (!toy_device_open_wanted(&d, &c->model, backend, threads, max_batch, b->kv_len + n)) return;
  bool reference = strcmp(backend, "cpu-reference") == 0, cuda = is_cuda(backend);
  /* fast: activations of 13 bits, keys and values of 11; cuda: everything of 11 */
  double products = reference ? 1e-12 : 3e-6, attention = reference ? 1e-9 : 1e-4;
  double turned = reference ? 1e-9 : 1e-5; /* angles of hundreds of radians in float */
  kernels *k = d.k;
  struct toy_device_layer *l = &d.layers[0];
  fill_past(&d, c, max_batch);
  TOY_MUST(kernels_begin(k, d.cache, b));

  kernels_buffer *x = poisoned(k, NULL, n, s->hidden);
  TOY_MUST(kernels_embed(k, d.embedding, x, NULL));
  float *got = read_rows(k, x, n, s->hidden), *row = toy_alloc((size_t)s->hidden * sizeof *row);
  const kernels_matrix *e = &c->model.embedding;
  for (int t = 0; t < n; t++) {
    kernels_matrix one = {.type = e->type, .rows = 1, .cols = e->cols};
    TOY_MUST(kernels_dequantize_row(
        e->type, (const char *)e->data + b->ids[t] * kernels_matrix_bytes(&one), e->cols, row));
    if (!cuda) assert_memory_equal(row, got + t * s->hidden, (size_t)s->hidden * sizeof *row);
    float most = 0;
    for (int i = 0; i < s->hidden; i++) most = fmaxf(most, fabsf(row[i]));
    /* There scales and minima are products rounded to f16, and their difference may be small. */
    for (int i = 0; i < s->hidden; i++) {
      float off = fabsf(row[i] - got[t * s->hidden + i]);
      if (!(off <= 4e-3f * most))
        fail_msg("%s, embed, %s: %g is %g of the largest", backend, kernels_type_name(e->type),
                 (double)off, (double)(off / most));
    }
  }
  free(row);
  free(got);

  x = poisoned(k, c->x, n, s->hidden);
  kernels_buffer *q = poisoned(k, NULL, n, q_width), *a = poisoned(k, NULL, n, q_width);
  TOY_MUST(kernels_qkv(k, 0, x, l->attn_norm, l->qkv, l->bias, q));
  TOY_MUST(kernels_attend(k, 0, q, a));
  got = read_rows(k, q, n, q_width);
  check(backend, "q", got, c->q, (size_t)(n * q_width), turned);
  free(got);
  got = read_rows(k, a, n, q_width);
  check(backend, "attend", got, c->attended, (size_t)(n * q_width), attention);
  free(got);

  kernels_buffer *h = poisoned(k, NULL, n, s->intermediate);
  TOY_MUST(kernels_gate_up(k, x, l->mlp_norm, l->gate_up, h));
  got = read_rows(k, h, n, s->intermediate);
  check(backend, "gate_up", got, c->gated, (size_t)(n * s->intermediate), 10 * products);
  free(got);

  TOY_MUST(kernels_head(k, x, d.final_norm, d.embedding));

  const float *inputs[] = {c->a, c->h};
  const double *wants[] = {c->after_o, c->after_down};
  for (int i = 0; i < 2; i++) {
    kernels_buffer *y = poisoned(k, inputs[i], n, i ? s->intermediate : q_width);
    kernels_buffer *sum = poisoned(k, c->x, n, s->hidden);
    TOY_MUST(kernels_project(k, y, i ? l->down : l->o, sum, i ? NULL : l->mlp_norm));
    got = read_rows(k, sum, n, s->hidden);
    check(backend, i ? "down" : "o", got, wants[i], (size_t)(n * s->hidden), products);
    free(got);
    kernels_buffer_free(k, y);
  }
  kernels_result result;
  TOY_MUST(kernels_end(k, &result));
  check_head(backend, c, &result, products);
  kernels_buffer_free(k, x);
  toy_device_close(&d);
}

static void run_everywhere(toy_random *r, const kernels_shape *s, kernels_type type,
                           kernels_type v_type, int n, int kv_len, bool tree) {
  if (getenv("FIMD_TEST_VERBOSE"))
    printf("-- %s/%s n %d kv %d%s\n", kernels_type_name(type), kernels_type_name(v_type), n, kv_len,
           tree ? " tree" : "");
  test_case c = make_case(r, s, type, v_type, n, kv_len, tree);
  for (int i = 0; i < BACKENDS; i++) run_case(&c, backends[i], 1 + toy_below(r, 3));
  free_case(&c);
}

/* ---- the cases ------------------------------------------------------------------------- */

#define SHAPE(h, q, kv, d, i, v)                                                         \
  {.layers = 1, .hidden = h, .heads = q, .kv_heads = kv, .head_dim = d, .intermediate = i, \
   .vocab = v, .rope_theta = 1e5f, .rms_eps = 1e-6f}

/* Every type, with widths that are no whole panels, over batches from 1 to 128 rows. */
static void every_type(void **state) {
  (void)state;
  static const kernels_type types[][2] = {
      {KERNELS_Q8_0, KERNELS_Q8_0}, {KERNELS_Q4_0, KERNELS_Q4_0}, {KERNELS_Q4_K, KERNELS_Q6_K},
      {KERNELS_Q6_K, KERNELS_Q4_K}, {KERNELS_F16, KERNELS_F16},   {KERNELS_BF16, KERNELS_BF16},
      {KERNELS_F32, KERNELS_F32},   {KERNELS_Q8_0, KERNELS_F16},  {KERNELS_BF16, KERNELS_Q4_0}};
  toy_random r = {seed};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    bool wide = kernels_type_block_elements(types[i][0]) == 256 ||
                kernels_type_block_elements(types[i][1]) == 256;
    bool blocks = kernels_type_block_elements(types[i][0]) > 1 ||
                  kernels_type_block_elements(types[i][1]) > 1;
    kernels_shape narrow = SHAPE(72, 3, 1, 64, 100, 77), middle = SHAPE(96, 4, 2, 64, 160, 203),
                  broad = SHAPE(256, 4, 2, 128, 512, 333);
    const kernels_shape *s = wide ? &broad : blocks ? &middle : &narrow;
    for (int round = 0; round < 3; round++) {
      static const int least[] = {1, 9, 64}, most[] = {8, 63, 128};
      int n = least[round] + toy_below(&r, most[round] - least[round] + 1);
      run_everywhere(&r, s, types[i][0], types[i][1], n, toy_below(&r, 80), toy_below(&r, 2));
    }
  }
}

/* Numbers of keys on both sides of the groups and blocks that backends count in. */
static void key_boundaries(void **state) {
  (void)state;
  toy_random r = {seed + 1};
  static const int lengths[] = {0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 255, 257, 300};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    kernels_shape s = SHAPE(64, 3, 1, 64, 64, 64), t = SHAPE(64, 14, 2, 128, 64, 64);
    for (int tree = 0; tree < 2; tree++)
      run_everywhere(&r, toy_below(&r, 2) ? &s : &t, KERNELS_Q8_0, KERNELS_Q8_0,
                     1 + toy_below(&r, tree ? 90 : 20), lengths[i], tree);
  }
}

/* The layers of real models, a token or two; the larger vocabularies are cut short. */
static void model_table(void **state) {
  (void)state;
  toy_random r = {seed + 2};
  kernels_shape mini = SHAPE(384, 6, 2, 64, 1024, 16384), half = SHAPE(896, 14, 2, 64, 4864, 999),
                one_and_half = SHAPE(1536, 12, 2, 128, 8960, 640);
  run_everywhere(&r, &mini, KERNELS_Q8_0, KERNELS_Q8_0, 2, 40, false);
  run_everywhere(&r, &half, KERNELS_Q8_0, KERNELS_Q8_0, 1, 5, false);
  run_everywhere(&r, &one_and_half, KERNELS_Q4_K, KERNELS_Q6_K, 1, 3, false);
}

/* Values that stress the fixed ranges: huge and tiny activations, zeros, saturating keys. */
static void extreme_activations(void **state) {
  (void)state;
  kernels_shape s = SHAPE(64, 2, 1, 64, 64, 96);
  toy_random r = {seed + 3};
  toy_model m = toy_model_new(&r, &s, KERNELS_Q8_0, KERNELS_Q8_0);
  for (int i = 0; i < BACKENDS; i++) {
    toy_device d;
    if (!toy_device_open_wanted(&d, &m, backends[i], 1, 8, 8)) continue;
    static const float wide[] = {0, 1e-42f, 1e-20f, 1e15f, 1e30f}, half[] = {0, 1e-2f, 1, 50, 1e3f};
    const float *scales = is_cuda(backends[i]) ? half : wide; /* f16 has its limits */
    int32_t ids[5] = {0}, pos[5] = {0, 1, 2, 3, 4}, out[5] = {0, 1, 2, 3, 4};
    kernels_batch b = {.n = 5, .ids = ids, .pos = pos, .n_out = 5, .out = out, .top_k = 3};
    float x[5 * 64];
    for (int t = 0; t < 5; t++)
      for (int j = 0; j < 64; j++) x[64 * t + j] = scales[t] * toy_normal(&r);
    kernels_buffer *y = toy_upload(d.k, x, 5 * 64), *zero = NULL;
    float zeros[5 * 64] = {0}, got[5 * 64];
    zero = toy_upload(d.k, zeros, 5 * 64);
    TOY_MUST(kernels_begin(d.k, d.cache, &b));
    TOY_MUST(kernels_project(d.k, y, d.layers[0].down, zero, NULL));
    TOY_MUST(kernels_buffer_read(d.k, zero, got, 5 * 64));
    double *want_x = naive_norm(x, NULL, 5, 64, 0);
    double *want = naive_product(&m.layers[0].down, 1, want_x, 5);
    for (int t = 0; t < 5; t++) {
      double most = 0;
      for (int j = 0; j < 64; j++) most = fmax(most, fabs(want[64 * t + j]));
      for (int j = 0; j < 64; j++) /* below 1e-30 a backend may take zero */
        assert_true(fabs(got[64 * t + j] - want[64 * t + j]) <= 2e-3 * most + 1e-28);
    }
    TOY_MUST(kernels_head(d.k, zero, d.final_norm, d.embedding));
    kernels_result result;
    TOY_MUST(kernels_end(d.k, &result));
    for (int j = 0; j < 15; j++) assert_in_range(result.top_ids[j], 0, s.vocab - 1);
    /* NaN in: no crash, ids in range, other rows as they were */
    float with_nan[5 * 64];
    memcpy(with_nan, x, sizeof x);
    with_nan[64 * 1 + 3] = NAN;
    kernels_buffer *bad = toy_upload(d.k, with_nan, 5 * 64);
    b.want_logsumexp = true;
    TOY_MUST(kernels_begin(d.k, d.cache, &b));
    TOY_MUST(kernels_head(d.k, bad, d.final_norm, d.embedding));
    TOY_MUST(kernels_end(d.k, &result));
    for (int j = 0; j < 15; j++) assert_in_range(result.top_ids[j], 0, s.vocab - 1);
    for (int j = 0; j < 3; j++) assert_true(result.top_logits[9 + j] == result.top_logits[9 + j]);
    assert_true(result.logsumexp[1] == result.logsumexp[1]);
    assert_true(isfinite(result.logsumexp[3]) && result.logsumexp[3] >= result.top_logits[9]);
    free(want);
    free(want_x);
    kernels_buffer_free(d.k, y);
    kernels_buffer_free(d.k, zero);
    kernels_buffer_free(d.k, bad);
    toy_device_close(&d);
  }
  toy_model_free(&m);
}

/* Rows of the head that are equal give equal logits: the smaller id comes first. */
static void ties(void **state) {
  (void)state;
  enum { VOCAB = 200, EQUAL = 60 };
  kernels_shape s = SHAPE(64, 2, 1, 64, 64, VOCAB);
  toy_random r = {seed + 4};
  toy_model m = toy_model_new(&r, &s, KERNELS_F32, KERNELS_F32);
  float *rows = (float *)(uintptr_t)m.embedding.data;
  for (int i = 0; i < EQUAL; i++)
    memcpy(rows + 64 * (1 + toy_below(&r, VOCAB - 1)), rows, 64 * sizeof *rows);
  for (int i = 0; i < BACKENDS; i++) {
    toy_device d;
    if (!toy_device_open_wanted(&d, &m, backends[i], 2, 4, 4)) continue;
    int32_t ids[] = {0, 1}, pos[] = {0, 1}, out[] = {0, 1};
    kernels_batch b = {.n = 2, .ids = ids, .pos = pos, .n_out = 2, .out = out,
                       .top_k = KERNELS_TOP_K_MAX, .want_logits = true};
    kernels_buffer *x = toy_upload(d.k, rows, 2 * 64); /* row 0 is likest to itself */
    TOY_MUST(kernels_begin(d.k, d.cache, &b));
    TOY_MUST(kernels_head(d.k, x, d.final_norm, d.embedding));
    kernels_result result;
    TOY_MUST(kernels_end(d.k, &result));
    for (int row = 0; row < 2; row++)
      for (int j = 1; j < KERNELS_TOP_K_MAX; j++) {
        int at = row * KERNELS_TOP_K_MAX + j;
        float before = result.top_logits[at - 1], now = result.top_logits[at];
        assert_true(before > now || (before == now && result.top_ids[at - 1] < result.top_ids[at]));
      }
    int equal = 0;
    for (int j = 0; j < KERNELS_TOP_K_MAX; j++)
      equal += result.top_logits[j] == result.logits[0];
    assert_true(equal > 1);
    kernels_buffer_free(d.k, x);
    toy_device_close(&d);
  }
  toy_model_free(&m);
}

/* Steps in which the sums are asked for, among others (recorded ones, too, where a backend does
 * that): nothing else in the answer changes. Logits from tiny to huge, vocabularies from smaller
 * than what a GPU cuts a row into to one of many stretches. And single logits, read afterwards. */
static void sums_and_single_logits(void **state) {
  (void)state;
  static const int vocabs[] = {17, 60, 1001, 20011};
  static const float scales[] = {1e-3f, 1, 30, 1000};
  enum { N = 3, N_OUT = 2, ROUNDS = 8 };
  toy_random r = {seed + 5};
  for (int v = 0; v < 4; v++) {
    kernels_shape s = SHAPE(64, 2, 1, 64, 64, vocabs[v]);
    toy_model m = toy_model_new(&r, &s, KERNELS_F32, KERNELS_F32);
    size_t all = (size_t)(N_OUT * s.vocab);
    float *rows = (float *)(uintptr_t)m.embedding.data, *logits = toy_alloc(all * sizeof *logits);
    for (int i = 0; i < 64 * s.vocab; i++) rows[i] *= scales[toy_below(&r, 4)];
    for (int i = 0; i < BACKENDS; i++) {
      toy_device d;
      if (!toy_device_open_wanted(&d, &m, backends[i], 2, N, N)) continue;
      int32_t ids[N] = {3, 1, 4}, pos[N] = {0, 1, 2}, out[N_OUT] = {0, 2}, top[N_OUT * TOP_K];
      kernels_batch b = {.n = N, .ids = ids, .pos = pos, .n_out = N_OUT, .out = out,
                         .top_k = TOP_K};
      for (int round = 0; round < ROUNDS; round++) {
        kernels_result result;
        const float *whole;
        float one = 0;
        b.want_logsumexp = round % 2 == 0;
        b.want_logits = round != 5;
        toy_step(&d, &b, &result);
        if (round == 0) memcpy(logits, result.logits, all * sizeof *logits);
        if (round == 0) memcpy(top, result.top_ids, sizeof top);
        if (b.want_logits) assert_memory_equal(logits, result.logits, all * sizeof *logits);
        assert_memory_equal(top, result.top_ids, sizeof top);
        assert_true((result.logsumexp != NULL) == b.want_logsumexp);
        for (int row = 0; row < N_OUT; row++) {
          int id = toy_below(&r, s.vocab);
          const float *of = logits + row * s.vocab;
          if (b.want_logsumexp) check_logsumexp(backends[i], of, s.vocab, result.logsumexp[row]);
          TOY_MUST(kernels_logit(d.k, row, id, &one));
          assert_memory_equal(&one, &of[id], sizeof one);
          TOY_MUST(kernels_logits(d.k, row, &whole));
          assert_memory_equal(whole, of, (size_t)s.vocab * sizeof *whole);
        }
        assert_int_equal(kernels_logit(d.k, N_OUT, 0, &one), KERNELS_EINVAL);
        assert_int_equal(kernels_logit(d.k, 0, s.vocab, &one), KERNELS_EINVAL);
        assert_int_equal(kernels_logit(d.k, -1, 0, &one), KERNELS_EINVAL);
        assert_int_equal(kernels_logits(d.k, N_OUT, &whole), KERNELS_EINVAL);
        assert_int_equal(kernels_logits(d.k, -1, &whole), KERNELS_EINVAL);
      }
      b.n_out = 0;
      b.want_logsumexp = true;
      kernels_result result;
      float one;
      toy_step(&d, &b, &result);
      assert_null(result.logsumexp);
      const float *whole;
      assert_int_equal(kernels_logit(d.k, 0, 0, &one), KERNELS_EINVAL);
      assert_int_equal(kernels_logits(d.k, 0, &whole), KERNELS_EINVAL);
      toy_device_close(&d);
    }
    free(logits);
    toy_model_free(&m);
  }
}

int main(void) {
  seed = toy_seed();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type),
      cmocka_unit_test(key_boundaries),
      cmocka_unit_test(model_table),
      cmocka_unit_test(extreme_activations),
      cmocka_unit_test(ties),
      cmocka_unit_test(sums_and_single_logits),
  };
  cmocka_set_test_filter(getenv("FIMD_TEST_ONLY")); /* a pattern, such as "trees" */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
