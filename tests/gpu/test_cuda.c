/* test_cuda.c - what only a GPU shows: the bits of a row in every batch of 1 to 128 rows at many
 * context lengths, recorded steps among them; and prefill against small steps. */
#include "tests/kernels/toy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MOST = 128, CONTEXTS = 20, SLOTS = 4608 };

static const int contexts[CONTEXTS] = {0,   1,   15,  16,  63,   64,   65,   127,  128,  129,
                                       255, 256, 257, 511, 1000, 1024, 1025, 2048, 3333, 4400};

static const struct variety {
  const char *name;
  kernels_shape shape;
  kernels_type type, v_type;
} varieties[] = {
#define V(name, layers_, h, q, kv, d, i, v, t, vt)                                              \
  {name, {.layers = layers_, .hidden = h, .heads = q, .kv_heads = kv, .head_dim = d,            \
          .intermediate = i, .vocab = v, .rope_theta = 1e6f, .rms_eps = 1e-6f}, t, vt}
    V("mini q8_0", 2, 384, 6, 2, 64, 1024, 1000, KERNELS_Q8_0, KERNELS_Q8_0),
    V("0.5b bf16", 2, 896, 14, 2, 64, 4864, 2000, KERNELS_BF16, KERNELS_BF16),
    V("1.5b q4_k/q6_k", 1, 1536, 12, 2, 128, 8960, 2000, KERNELS_Q4_K, KERNELS_Q6_K),
    V("7b q4_0", 1, 3584, 28, 4, 128, 18944, 1000, KERNELS_Q4_0, KERNELS_Q4_0),
};
enum { VARIETIES = sizeof varieties / sizeof *varieties };

static int32_t ids[SLOTS + MOST], pos[SLOTS + MOST];

static void fill(toy_device *d, int upto) {
  for (int at = 0; at < upto;) {
    int n = upto - at < MOST ? upto - at : MOST;
    kernels_batch b = {.n = n, .ids = ids + at, .pos = pos + at, .kv_len = at};
    toy_step(d, &b, NULL);
    at += n;
  }
}

/* The row's logits and their logsumexp in a batch: its number is `row` of n, the others are of random tokens and see what they
 * like; the row itself sees the committed slots only. */
static void run_among(toy_device *d, toy_random *r, int n, int row, int kv_len, float *logits) {
  static int32_t some[MOST], where[MOST], out[MOST];
  static uint64_t mask[MOST * 2];
  int words = (n + 63) / 64, vocab = d->model->shape.vocab;
  memset(mask, 0, sizeof mask);
  for (int i = 0; i < n; i++) {
    some[i] = i == row ? ids[kv_len] : toy_below(r, vocab);
    where[i] = kv_len + (i == row ? 0 : toy_below(r, 9));
    out[i] = i;
    for (int j = 0; i != row && j < i; j++)
      if (toy_below(r, 4) == 0) mask[i * words + j / 64] |= UINT64_C(1) << j % 64;
  }
  kernels_batch b = {.n = n, .ids = some, .pos = where, .kv_len = kv_len, .mask = mask, .n_out = n,
                     .out = out, .top_k = 4, .want_logits = true, .want_logsumexp = true};
  kernels_result result;
  toy_step(d, &b, &result);
  memcpy(logits, result.logits + (size_t)row * (size_t)vocab, (size_t)vocab * sizeof *logits);
  logits[vocab] = result.logsumexp[row];
}

static void every_batch(const char *backend) {
  toy_random r = {toy_seed()};
  for (int v = 0; v < VARIETIES; v++) {
    toy_model m = toy_model_new(&r, &varieties[v].shape, varieties[v].type, varieties[v].v_type);
    toy_device d;
    if (!toy_device_open(&d, &m, backend, 0, 512, SLOTS + MOST)) {
      toy_model_free(&m);
      skip();
    }
    size_t row = (size_t)m.shape.vocab + 1;
    float *want = toy_alloc(row * sizeof *want), *got = toy_alloc(row * sizeof *got);
    for (int i = 0; i < SLOTS + MOST; i++) ids[i] = toy_below(&r, m.shape.vocab), pos[i] = i;
    fill(&d, contexts[CONTEXTS - 1]);
    int differ = 0, finite = 1;
    for (int c = 0; c < CONTEXTS; c++) {
      run_among(&d, &r, 1, 0, contexts[c], want);
      for (size_t i = 0; i < row; i++) finite &= isfinite(want[i]) != 0;
      for (int n = 1; n <= MOST; n++) {
        run_among(&d, &r, n, toy_below(&r, n), contexts[c], got);
        if (memcmp(want, got, row * sizeof *want) != 0 && differ++ < 10)
          printf("%s, %s: context %d, batch of %d: other bits (%.9g, alone %.9g)\n", backend,
                 varieties[v].name, contexts[c], n, got[0], want[0]);
      }
    }
    printf("%s, %s: %d contexts x 128 batches, %d differ\n", backend, varieties[v].name, CONTEXTS,
           differ);
    free(want);
    free(got);
    toy_device_close(&d);
    toy_model_free(&m);
    assert_true(finite);
    assert_int_equal(differ, 0);
  }
}

static void bits_in_every_batch(void **state) {
  (void)state;
  every_batch("cuda");
}

static void bits_in_every_batch_plain(void **state) {
  (void)state;
  every_batch("cuda:plain");
}

/* The logits of the last of ids[0 .. before + n - 1], in steps of 100, are near those of one step
 * for the last n; and those are the same whenever they are computed. */
static void compare_prefill(toy_device *d, const char *backend, const char *name, int vocab,
                            int before, int n, int times) {
  int last = n - 1;
  size_t row = (size_t)vocab, bytes = row * sizeof(float);
  float *want = toy_alloc(bytes), *first = toy_alloc(bytes);
  kernels_result result;
  for (int at = 0; at < before + n;) {
    int some = before + n - at < 100 ? before + n - at : 100, end = some - 1;
    kernels_batch step = {.n = some, .ids = ids + at, .pos = pos + at, .kv_len = at,
                          .n_out = 1, .out = &end, .top_k = 1, .want_logits = true};
    toy_step(d, &step, &result);
    at += some;
  }
  memcpy(want, result.logits, bytes);
  for (int at = 0; at < before;) { /* the same beginning */
    int some = before - at < 100 ? before - at : 100;
    kernels_batch step = {.n = some, .ids = ids + at, .pos = pos + at, .kv_len = at};
    toy_step(d, &step, NULL);
    at += some;
  }
  for (int i = 0; i < times; i++) {
    kernels_batch step = {.n = n, .ids = ids + before, .pos = pos + before, .kv_len = before,
                          .n_out = 1, .out = &last, .top_k = 1, .want_logits = true};
    toy_step(d, &step, &result);
    if (i == 0) memcpy(first, result.logits, bytes);
    if (memcmp(first, result.logits, bytes)) fail_msg("prefill %d differs from the first", i);
  }
  double error = 0, square = 0;
  for (size_t i = 0; i < row; i++) {
    error += pow((double)first[i] - want[i], 2);
    square += pow(want[i], 2);
  }
  printf("%s, %s: prefill of %d after %d: NMSE %.2g\n", backend, name, n, before, error / square);
  free(want);
  free(first);
  if (!(error < 1e-4 * square)) fail_msg("prefill differs from small steps");
}

/* A long prompt in one large step leaves what small steps leave, up to rounding. */
static void prefill_agrees(void **state) {
  (void)state;
  toy_random r = {toy_seed()};
  static const char *const backends[] = {"cuda", "cuda:plain"};
  for (int v = 0; v < VARIETIES; v++) {
    toy_model m = toy_model_new(&r, &varieties[v].shape, varieties[v].type, varieties[v].v_type);
    for (int i = 0; i < SLOTS; i++) ids[i] = toy_below(&r, m.shape.vocab), pos[i] = i;
    for (int b = 0; b < 2; b++) {
      toy_device d;
      if (!toy_device_open(&d, &m, backends[b], 0, 1024, 2048)) {
        toy_model_free(&m);
        skip();
      }
      static const int lengths[][2] = {{129, 0}, {255, 0}, {256, 7}, {300, 100}, {1024, 512}, {777, 300}};
      for (int c = 0; c < 6; c++)
        compare_prefill(&d, backends[b], varieties[v].name, m.shape.vocab, lengths[c][1],
                        lengths[c][0], 2);
      toy_device_close(&d);
    }
    toy_model_free(&m);
  }
}

/* At shapes where blocks share out their work (prefill_wgmma.cuh), with a rest of every size. */
static void prefill_shared_agrees(void **state) {
  (void)state;
  toy_random r = {toy_seed()};
  kernels_shape shape = {.layers = 1, .hidden = 1536, .heads = 12, .kv_heads = 2, .head_dim = 128,
                         .intermediate = 8960, .vocab = 512, .rope_theta = 1e6f, .rms_eps = 1e-6f};
  static const kernels_type types[] = {KERNELS_BF16, KERNELS_Q8_0, KERNELS_Q4_K, KERNELS_Q6_K};
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    toy_model m = toy_model_new(&r, &shape, types[t], types[t]);
    for (int i = 0; i < SLOTS; i++) ids[i] = toy_below(&r, m.shape.vocab), pos[i] = i;
    toy_device d;
    if (!toy_device_open(&d, &m, "cuda", 0, 2048, 2048)) {
      toy_model_free(&m);
      skip();
    }
    for (int n = 200; n <= 2000; n += 257)
      compare_prefill(&d, "cuda", kernels_type_name(types[t]), shape.vocab, 0, n, 20);
    toy_device_close(&d);
    toy_model_free(&m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bits_in_every_batch),
      cmocka_unit_test(bits_in_every_batch_plain),
      cmocka_unit_test(prefill_agrees),
      cmocka_unit_test(prefill_shared_agrees),
  };
  const char *only = getenv("FIMD_TEST_ONLY");
  if (only) cmocka_set_test_filter(only);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
