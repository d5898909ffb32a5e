/* test_invariance.c - a row's logits, and their logsumexp, are the same bits whatever else is in
 * the batch.
 *
 * Whole small models, every backend and level that the machine has. The yardstick is always the
 * row computed alone: one token a step on one thread. Everything is compared with memcmp. */
#include "tests/kernels/toy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const backends[] = {"cpu-reference", "cpu:portable", "cpu:avx2", "cpu:avx512",
                                       "cpu:amx", "cuda", "cuda:plain"};
enum { BACKENDS = sizeof backends / sizeof *backends, CPU_LEVELS = 5, TOKENS = 110, TOP_K = 4 };

static uint64_t seed;

static const struct variety {
  kernels_shape shape;
  kernels_type type, v_type;
} varieties[] = {
    {{.layers = 2, .hidden = 96, .heads = 6, .kv_heads = 2, .head_dim = 64, .intermediate = 160,
      .vocab = 100, .rope_theta = 1e5f, .rms_eps = 1e-6f}, KERNELS_Q8_0, KERNELS_Q8_0},
    {{.layers = 1, .hidden = 256, .heads = 6, .kv_heads = 2, .head_dim = 128, .intermediate = 256,
      .vocab = 90, .rope_theta = 1e6f, .rms_eps = 1e-6f}, KERNELS_Q4_K, KERNELS_Q6_K},
    {{.layers = 1, .hidden = 72, .heads = 7, .kv_heads = 1, .head_dim = 64, .intermediate = 40,
      .vocab = 70, .rope_theta = 1e6f, .rms_eps = 1e-6f}, KERNELS_BF16, KERNELS_F16},
    {{.layers = 1, .hidden = 64, .heads = 2, .kv_heads = 2, .head_dim = 64, .intermediate = 96,
      .vocab = 60, .rope_theta = 1e6f, .rms_eps = 1e-6f}, KERNELS_Q4_0, KERNELS_F32},
};
enum { VARIETIES = sizeof varieties / sizeof *varieties };

/* Runs tokens[from..from+n) and puts the logits of all n rows and their logsumexp at
 * out[n, vocab + 1]. */
static void run_rows(toy_device *d, const int32_t *ids, const int32_t *pos, int n, int kv_len,
                     const uint64_t *mask, float *out) {
  int32_t rows[TOKENS];
  for (int i = 0; i < n; i++) rows[i] = i;
  kernels_batch b = {.n = n, .ids = ids, .pos = pos, .kv_len = kv_len, .mask = mask, .n_out = n,
                     .out = rows, .top_k = TOP_K, .want_logits = true, .want_logsumexp = true};
  kernels_result r;
  size_t vocab = (size_t)d->model->shape.vocab;
  toy_step(d, &b, &r);
  for (size_t i = 0; i < (size_t)n; i++, out += vocab + 1) {
    memcpy(out, r.logits + i * vocab, vocab * sizeof *out);
    out[vocab] = r.logsumexp[i];
  }
}

typedef struct sequence {
  toy_model model;
  int32_t ids[TOKENS], pos[TOKENS];
  size_t row; /* floats of a row of logits and its logsumexp */
} sequence;

static sequence make_sequence(toy_random *r, const struct variety *v) {
  sequence s = {.model = toy_model_new(r, &v->shape, v->type, v->v_type),
                .row = (size_t)v->shape.vocab + 1};
  for (int i = 0; i < TOKENS; i++) s.ids[i] = toy_below(r, v->shape.vocab), s.pos[i] = i;
  return s;
}

static float *rows_new(const sequence *s) { return toy_alloc(TOKENS * s->row * sizeof(float)); }

static void expect_rows(const char *what, const char *backend, const sequence *s, const float *want,
                        const float *got, int n) {
  for (int i = 0; i < n; i++)
    if (memcmp(want + (size_t)i * s->row, got + (size_t)i * s->row, s->row * sizeof *want) != 0)
      fail_msg("%s, %s: row %d differs from the row alone", backend, what, i);
}

/* The rows one by one, one thread. False if the machine lacks the backend. */
static bool alone(const sequence *s, const char *backend, int n, float *out) {
  toy_device d;
  if (!toy_device_open_wanted(&d, &s->model, backend, 1, 1, TOKENS)) return false;
  for (int i = 0; i < n; i++)
    run_rows(&d, s->ids + i, s->pos + i, 1, i, NULL, out + (size_t)i * s->row);
  toy_device_close(&d);
  return true;
}

static void batch_sizes_and_threads(void **state) {
  (void)state;
  toy_random r = {seed};
  for (int v = 0; v < VARIETIES; v++) {
    sequence s = make_sequence(&r, &varieties[v]);
    float *want = rows_new(&s), *got = rows_new(&s);
    for (int b = 0; b < BACKENDS; b++) {
      if (!alone(&s, backends[b], TOKENS, want)) continue;
      for (int threads = 2; threads <= 3; threads++) {
        toy_device d;
        assert_true(toy_device_open_wanted(&d, &s.model, backends[b], threads, TOKENS, TOKENS));
        run_rows(&d, s.ids, s.pos, TOKENS, 0, NULL, got);
        expect_rows("one batch", backends[b], &s, want, got, TOKENS);
        memset(got, 0, TOKENS * s.row * sizeof *got);
        for (int at = 0; at < TOKENS;) {
          int n = 1 + toy_below(&r, toy_below(&r, 2) ? 8 : 60);
          if (n > TOKENS - at) n = TOKENS - at;
          run_rows(&d, s.ids + at, s.pos + at, n, at, NULL, got + (size_t)at * s.row);
          at += n;
        }
        expect_rows("random batches", backends[b], &s, want, got, TOKENS);
        toy_device_close(&d);
      }
    }
    free(want);
    free(got);
    toy_model_free(&s.model);
  }
}

/* A mask that allows what the causal one does. */
static void explicit_causal_mask(void **state) {
  (void)state;
  toy_random r = {seed + 1};
  enum { WORDS = (TOKENS + 63) / 64 };
  for (int v = 0; v < VARIETIES; v++) {
    sequence s = make_sequence(&r, &varieties[v]);
    float *want = rows_new(&s), *got = rows_new(&s);
    static uint64_t mask[TOKENS * WORDS];
    int kv_len = toy_below(&r, 40), n = 1 + toy_below(&r, TOKENS - kv_len), words = (n + 63) / 64;
    memset(mask, 0, sizeof mask);
    for (int i = 0; i < n; i++) /* bits at and beyond i are not the caller's to rely on */
      for (int j = 0; j < words * 64; j++)
        if (j < i || toy_below(&r, 2)) mask[i * words + j / 64] |= UINT64_C(1) << j % 64;
    for (int b = 0; b < BACKENDS; b++) {
      toy_device d;
      if (!toy_device_open_wanted(&d, &s.model, backends[b], 2, TOKENS, TOKENS)) continue;
      if (kv_len > 0) run_rows(&d, s.ids, s.pos, kv_len, 0, NULL, want);
      run_rows(&d, s.ids + kv_len, s.pos + kv_len, n, kv_len, NULL, want);
      run_rows(&d, s.ids + kv_len, s.pos + kv_len, n, kv_len, mask, got);
      expect_rows("explicit mask", backends[b], &s, want, got, n);
      toy_device_close(&d);
    }
    free(want);
    free(got);
    toy_model_free(&s.model);
  }
}

/* A random tree of drafts after kv_len committed tokens: every node must equal the last token of
 * its path fed in order; and after the deepest path is compacted, what follows must too. */
static void trees(void **state) {
  (void)state;
  toy_random r = {seed + 2};
  for (int v = 0; v < VARIETIES; v++) {
    sequence s = make_sequence(&r, &varieties[v]);
    enum { NODES = 48 };
    float *want = rows_new(&s), *got = rows_new(&s), *path_rows = rows_new(&s);
    int kv_len = 1 + toy_below(&r, 60), n = 2 + toy_below(&r, NODES - 1), words = (n + 63) / 64;
    int parent[NODES], depth[NODES], deepest = 0;
    int32_t pos[NODES];
    uint64_t mask[NODES] = {0};
    const int32_t *ids = s.ids + kv_len;
    for (int i = 0; i < n; i++) {
      parent[i] = i == 0 ? -1 : i - 1 - toy_below(&r, i < 6 ? i : 6);
      depth[i] = parent[i] < 0 ? 0 : depth[parent[i]] + 1;
      pos[i] = kv_len + depth[i];
      if (parent[i] >= 0)
        for (int w = 0; w < words; w++) mask[i * words + w] = mask[parent[i] * words + w];
      if (parent[i] >= 0) mask[i * words + parent[i] / 64] |= UINT64_C(1) << parent[i] % 64;
      if (depth[i] > depth[deepest]) deepest = i;
    }
    for (int b = 0; b < BACKENDS; b++) {
      toy_device tree, line;
      if (!toy_device_open_wanted(&tree, &s.model, backends[b], 2, TOKENS, TOKENS)) continue;
      assert_true(toy_device_open_wanted(&line, &s.model, backends[b], 1, TOKENS, TOKENS));
      run_rows(&tree, s.ids, s.pos, kv_len, 0, NULL, got);
      run_rows(&line, s.ids, s.pos, kv_len, 0, NULL, got);
      run_rows(&tree, ids, pos, n, kv_len, mask, got);
      int32_t path[NODES], path_ids[NODES], path_pos[NODES], from[NODES];
      int length = 0;
      for (int i = 0; i <= n; i++) {
        int leaf = i < n ? i : deepest; /* the deepest last, so that `line` holds it */
        length = 0;
        for (int node = leaf; node >= 0; node = parent[node]) path[length++] = node;
        for (int j = 0; j < length; j++) {
          int node = path[length - 1 - j];
          path_ids[j] = ids[node], path_pos[j] = kv_len + j, from[j] = kv_len + node;
        }
        run_rows(&line, path_ids, path_pos, length, kv_len, NULL, path_rows);
        memcpy(want + (size_t)leaf * s.row, path_rows + (size_t)(length - 1) * s.row,
               s.row * sizeof *want);
      }
      expect_rows("tree", backends[b], &s, want, got, n);

      TOY_MUST(kernels_cache_move(tree.k, tree.cache, from, length, kv_len));
      int32_t next_id = s.ids[0], next_pos = kv_len + length;
      run_rows(&tree, &next_id, &next_pos, 1, kv_len + length, NULL, got);
      run_rows(&line, &next_id, &next_pos, 1, kv_len + length, NULL, want);
      expect_rows("after compaction", backends[b], &s, want, got, 1);
      toy_device_close(&tree);
      toy_device_close(&line);
    }
    free(want);
    free(got);
    free(path_rows);
    toy_model_free(&s.model);
  }
}

/* Puts NaN into n slots from kv_len on. */
static void leave_nan(toy_device *d, int n, int kv_len) {
  size_t count = (size_t)n * (size_t)d->model->shape.hidden;
  float *nan = toy_alloc(count * sizeof *nan);
  for (size_t i = 0; i < count; i++) nan[i] = NAN;
  int32_t ids[TOKENS] = {0}, pos[TOKENS] = {0};
  kernels_batch b = {.n = n, .ids = ids, .pos = pos, .kv_len = kv_len};
  kernels_buffer *x = toy_upload(d->k, nan, count);
  TOY_MUST(kernels_begin(d->k, d->cache, &b));
  for (int i = 0; i < d->model->shape.layers; i++)
    TOY_MUST(kernels_qkv(d->k, i, x, d->layers[i].attn_norm, d->layers[i].qkv, NULL, d->q));
  TOY_MUST(kernels_end(d->k, NULL));
  kernels_buffer_free(d->k, x);
  free(nan);
}

/* What was in the cache beyond kv_len, or from a failed or longer step, leaves no trace. */
static void stale_slots(void **state) {
  (void)state;
  toy_random r = {seed + 3};
  sequence s = make_sequence(&r, &varieties[0]);
  float *want = rows_new(&s), *got = rows_new(&s);
  for (int b = 0; b < BACKENDS; b++) {
    if (!alone(&s, backends[b], 30, want)) continue;
    toy_device d;
    assert_true(toy_device_open_wanted(&d, &s.model, backends[b], 2, TOKENS, TOKENS));
    run_rows(&d, s.ids + 20, s.pos, 90, 0, NULL, got); /* other tokens, other positions */
    leave_nan(&d, 40, 30);
    run_rows(&d, s.ids, s.pos, 17, 0, NULL, got);
    run_rows(&d, s.ids + 17, s.pos + 17, 13, 17, NULL, got + 17 * s.row);
    expect_rows("stale slots", backends[b], &s, want, got, 30);
    toy_device_close(&d);
  }
  free(want);
  free(got);
  toy_model_free(&s.model);
}

/* All x86 levels with fused multiply-add compute the same bits: an answer seen on one machine
 * can be looked into on another. */
static void levels_agree(void **state) {
  (void)state;
  toy_random r = {seed + 4};
  for (int v = 0; v < VARIETIES; v++) {
    sequence s = make_sequence(&r, &varieties[v]);
    float *want = rows_new(&s), *got = rows_new(&s);
    bool have = false;
    for (int b = 2; b < CPU_LEVELS; b++) {
      toy_device d;
      if (!toy_device_open_wanted(&d, &s.model, backends[b], 2, TOKENS, TOKENS)) continue;
      run_rows(&d, s.ids, s.pos, TOKENS, 0, NULL, got);
      if (have) expect_rows("levels", backends[b], &s, want, got, TOKENS);
      else memcpy(want, got, TOKENS * s.row * sizeof *want);
      have = true;
      toy_device_close(&d);
    }
    free(want);
    free(got);
    toy_model_free(&s.model);
  }
}

int main(void) {
  seed = toy_seed();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(batch_sizes_and_threads), cmocka_unit_test(explicit_causal_mask),
      cmocka_unit_test(trees),                   cmocka_unit_test(stale_slots),
      cmocka_unit_test(levels_agree),
  };
  cmocka_set_test_filter(getenv("FIMD_TEST_ONLY")); /* a pattern, such as "trees" */
  return cmocka_run_group_tests(tests, NULL, NULL);
}
