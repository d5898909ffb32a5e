/* test_memory.c - what fits a device, models without files, progress, and steps that are timed. */
#include "tests/engine/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/family.h"
#include "engine/internal.h"
#include "engine/memory.h"

/* ---- what fits ---------------------------------------------------------------------------- */

static memory_question question(const char *size, kernels_type type, double free_gb) {
  const family_model *f = family_find(size, strlen(size));
  assert_non_null(f);
  return (memory_question){
      .model = size,
      .shape = f->shape,
      .weights = family_matrix_elements(&f->shape, f->tied) / kernels_type_block_elements(type) *
                 kernels_type_block_bytes(type),
      .context = 8192,
      .element_bytes = 2,
      .max_batch = 2048,
      .max_out = 128,
      .available = (size_t)(free_gb * 1e9),
      .total = (size_t)80e9,
  };
}

static void expect_words(const char *text, const char *const *words) {
  for (; *words != NULL; words++)
    if (strstr(text, *words) == NULL) fail_msg("'%s' is not in: %s", *words, text);
}

static void refused(const memory_question *q, const char *const *words) {
  char err[1024] = "";
  assert_int_equal(memory_check(q, err, sizeof err), ENGINE_ENOMEM);
  print_message("%s\n", err);
  expect_words(err, words);
}

static void test_what_fits(void **state) {
  (void)state;
  char err[1024] = "untouched";
  memory_question q = question("7B", KERNELS_Q8_0, 20);
  assert_int_equal(memory_check(&q, err, sizeof err), ENGINE_OK);
  assert_string_equal(err, "untouched");
  q = question("32B", KERNELS_BF16, 80);
  assert_int_equal(memory_check(&q, err, sizeof err), ENGINE_OK);
}

static void test_a_shorter_context_fits(void **state) {
  (void)state;
  memory_question q = question("7B", KERNELS_Q8_0, 10);
  q.context = 65536; /* 57,344 bytes a token: 3.8 GB */
  refused(&q, (const char *[]){"7B does not fit the GPU", "weights 8.1 GB",
                               "KV cache of 65536 tokens 3.8 GB", "10.0 of 80.0 GB are free",
                               "it would fit with --context ", "--backend cpu", NULL});
  char err[1024];
  memory_check(&q, err, sizeof err);
  int context = atoi(strstr(err, "--context ") + 10);
  assert_true(context >= 1024 && context < 65536 && context % 256 == 0);
  q.context = context;
  assert_int_equal(memory_check(&q, err, sizeof err), ENGINE_OK);
  q.context = context + 256;
  assert_int_equal(memory_check(&q, err, sizeof err), ENGINE_ENOMEM);
}

static void test_a_smaller_model_fits(void **state) {
  (void)state;
  memory_question q = question("32B", KERNELS_BF16, 12);
  q.limit = (size_t)12e9;
  refused(&q, (const char *[]){"weights 65.5 GB", "--gpu-memory allows 12.0 GB",
                               "would fit 0.5B, 1.5B, 3B in BF16; 7B in Q8_0; 14B in Q4_0", NULL});
  q.available = (size_t)100e6;
  refused(&q, (const char *[]){"no size of Qwen2.5-Coder would fit", NULL});
  char tight[40]; /* cut, not overrun */
  assert_int_equal(memory_check(&q, tight, sizeof tight), ENGINE_ENOMEM);
  assert_true(strlen(tight) < sizeof tight);
}

/* The table agrees with the published counts. */
static void test_family(void **state) {
  (void)state;
  static const struct {
    const char *name;
    double billions;
  } published[] = {{"0.5b", 0.494}, {"1.5B", 1.544}, {"3b", 3.086},
                   {"7B", 7.616},   {"14b", 14.77},  {"32B", 32.76}};
  for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
    const family_model *f = family_find(published[i].name, strlen(published[i].name));
    assert_non_null(f);
    double billions = (double)family_parameters(&f->shape, f->tied) / 1e9;
    assert_true(fabs(billions / published[i].billions - 1) < 2e-3);
  }
  assert_null(family_find("5B", 2));
}

/* ---- random weights ------------------------------------------------------------------------ */

static const char *const specs[] = {"tiny:f32",  "tiny:f16",  "tiny:bf16", "tiny:q8_0",
                                    "tiny:q4_0", "tiny:q4_k", "tiny:q6_k"};

static model *random_model(const char *spec, bool share) {
  model *m;
  char err[512];
  if (model_open_random(&m, spec, NULL, err, sizeof err) != ENGINE_OK) fail_msg("%s", err);
  if (model_random_fill(m, share, err, sizeof err) != ENGINE_OK) fail_msg("%s", err);
  return m;
}

/* Every format's values are about N(0, 0.02). */
static void test_random_values(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
    model *m = random_model(specs[i], false);
    const kernels_matrix *w = &m->layers[1].down;
    float *row = malloc((size_t)w->cols * sizeof *row);
    double sum = 0, squares = 0, most = 0;
    int64_t bytes = kernels_matrix_bytes(w) / w->rows;
    for (int64_t r = 0; r < w->rows; r++) {
      const uint8_t *at = (const uint8_t *)w->data + r * bytes;
      assert_int_equal(kernels_dequantize_row(w->type, at, w->cols, row), 0);
      for (int64_t c = 0; c < w->cols; c++) {
        sum += row[c];
        squares += (double)row[c] * row[c];
        if (fabs(row[c]) > most) most = fabs(row[c]);
      }
    }
    double n = (double)(w->rows * w->cols);
    if (fabs(sum / n) > 1e-3 || fabs(sqrt(squares / n) / 0.02 - 1) > 0.05 || most > 0.12)
      fail_msg("%s: mean %g, deviation %g, largest %g", specs[i], sum / n, sqrt(squares / n), most);
    free(row);
    model_close(m);
  }
}

static void test_random_sharing(void **state) {
  (void)state;
  model *own = random_model("tiny:q8_0", false), *again = random_model("tiny:q8_0", false);
  model *shared = random_model("tiny:q8_0", true);
  size_t bytes = (size_t)kernels_matrix_bytes(&own->layers[0].gate);
  assert_ptr_not_equal(own->layers[0].gate.data, own->layers[1].gate.data);
  assert_memory_not_equal(own->layers[0].gate.data, own->layers[1].gate.data, bytes);
  assert_memory_equal(own->layers[1].gate.data, again->layers[1].gate.data, bytes); /* one seed */
  assert_ptr_equal(shared->layers[0].gate.data, shared->layers[1].gate.data);
  assert_int_equal(own->weight_bytes, shared->weight_bytes);
  int64_t matrices = kernels_matrix_bytes(&own->embedding);
  for (int i = 0; i < 2; i++) {
    const model_layer *l = &own->layers[i];
    const kernels_matrix all[] = {l->q, l->k, l->v, l->o, l->gate, l->up, l->down};
    for (int j = 0; j < 7; j++) matrices += kernels_matrix_bytes(&all[j]);
  }
  assert_true(own->weight_bytes > matrices && own->weight_bytes < matrices + 20000);
  model_close(own);
  model_close(again);
  model_close(shared);
}

static engine *open_random(const char *spec, const char *backend, int max_batch) {
  engine *e;
  char err[512];
  engine_options o = {.random_weights = spec, .backend = backend, .threads = 1, .context = 512,
                      .max_batch = max_batch};
  if (engine_open(&e, &o, err, sizeof err) != ENGINE_OK) fail_msg("%s: %s", spec, err);
  return e;
}

/* An engine on random weights computes finite numbers, the same ones on both backends. */
static void test_random_engine(void **state) {
  (void)state;
  static const int32_t ids[] = {1, 500, 33, 1023, 7};
  for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
    float logits[2][1024];
    for (int b = 0; b < 2; b++) {
      engine *e = open_random(specs[i], b == 0 ? "cpu-reference" : "cpu", 0);
      engine_session *s;
      engine_tokens none = {0};
      assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
      assert_int_equal(engine_session_sync(s, ids, 5, NULL, NULL), ENGINE_OK);
      assert_int_equal(engine_session_logits(s, logits[b]), ENGINE_OK);
      assert_int_equal(engine_tokenize(e, "a", 1, false, &none), ENGINE_EINVAL);
      assert_int_equal(engine_get_info(e)->special.fim_prefix, -1);
      engine_session_delete(s);
      engine_close(e);
    }
    for (int v = 0; v < 1024; v++) {
      assert_true(isfinite(logits[0][v]));
      if (fabsf(logits[0][v] - logits[1][v]) > 0.05f)
        fail_msg("%s: logit %d is %g and %g", specs[i], v, logits[0][v], logits[1][v]);
    }
  }
}

static void test_random_errors(void **state) {
  (void)state;
  static const char *const bad[] = {"", ":", "1.5b", "1.5b:", "1.5b:q3_k", "9b:q8_0", "7b:q8_0:",
                                    "0.5b:q4_k", "mini:q6_k"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    engine *e = (engine *)1;
    char err[512] = "";
    assert_int_equal(engine_open(&e, &(engine_options){.random_weights = bad[i]}, err, sizeof err),
                     ENGINE_EINVAL);
    assert_null(e);
    assert_non_null(strstr(err, "random weights"));
  }
  engine *e;
  char err[512] = "";
  engine_options both = {.random_weights = "tiny:f32", .model = "x.gguf"};
  assert_int_equal(engine_open(&e, &both, err, sizeof err), ENGINE_EINVAL);
}

/* ---- progress ------------------------------------------------------------------------------ */

typedef struct progress {
  int n;
  double last, largest_step;
} progress;

static void on_progress(void *user, double done) {
  progress *p = user;
  assert_true(done > p->last && done <= 1 + 1e-9);
  if (done - p->last > p->largest_step) p->largest_step = done - p->last;
  p->last = done;
  p->n++;
}

static void test_progress_counts_bytes(void **state) {
  (void)state;
  progress p = {0};
  engine *e;
  char err[512];
  engine_options o = {.random_weights = "mini:q8_0", .backend = "cpu-reference", .threads = 1,
                      .context = 64, .on_progress = on_progress, .user = &p};
  assert_int_equal(engine_open(&e, &o, err, sizeof err), ENGINE_OK);
  assert_int_equal(p.n, 1 + 4 * 16);
  assert_true(p.last > 1 - 1e-9);
  /* the embedding table is a fifth of this model */
  assert_true(p.largest_step > 0.19 && p.largest_step < 0.21);
  engine_close(e);
}

/* ---- timed steps --------------------------------------------------------------------------- */

static void test_bench_steps(void **state) {
  (void)state;
  engine *e = open_random("tiny:bf16", "cpu", 64);
  engine_session *s;
  double ms = -1;
  int n;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  assert_int_equal(engine_bench_max_batch(e), 64);
  assert_int_equal(engine_bench_exact_rows(e), 64);
  assert_int_equal(engine_bench_step(s, 1, 1, 1, &ms), ENGINE_EINVAL); /* nothing is there yet */
  assert_int_equal(engine_bench_step(s, 0, 65, 1, &ms), ENGINE_EINVAL);
  assert_int_equal(engine_bench_step(s, 0, 8, 9, &ms), ENGINE_EINVAL);
  assert_int_equal(engine_bench_step(s, 0, 0, 0, &ms), ENGINE_EINVAL);
  assert_int_equal(engine_bench_step(s, 0, 64, 0, &ms), ENGINE_OK);
  assert_true(ms >= 0);
  assert_int_equal(engine_bench_step(s, 64, 64, 64, &ms), ENGINE_OK);
  assert_int_equal(engine_bench_step(s, 100, 1, 1, &ms), ENGINE_OK);
  engine_session_tokens(s, &n);
  assert_int_equal(n, 101);
  for (int kv = 101; kv < 512; kv++)
    assert_int_equal(engine_bench_step(s, kv, 1, 1, &ms), ENGINE_OK);
  assert_int_equal(engine_bench_step(s, 512, 1, 1, &ms), ENGINE_EINVAL); /* the cache is full */
  engine__fail_step(e, ENGINE_EDEVICE, 0);
  assert_int_equal(engine_bench_step(s, 10, 1, 1, &ms), ENGINE_EDEVICE);
  assert_int_equal(engine_bench_step(s, 10, 1, 1, &ms), ENGINE_EINVAL); /* all is lost */
  engine_session_delete(s);
  engine_close(e);
}

/* The bytes of a step, counted here once more: tied, so that the table counts as the head. */
static void test_bench_cost(void **state) {
  (void)state;
  engine *e = open_random("tiny:bf16", "cpu-reference", 64);
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  engine_bench_cost bare = engine_bench_step_cost(s, 0, 1, 0);
  engine_bench_cost with = engine_bench_step_cost(s, 0, 1, 1);
  assert_int_equal(with.bytes - bare.bytes, 1024 * 256 * 2);
  assert_true(with.flops - bare.flops == 2.0 * 1024 * 256);
  int64_t layer = 2 * (256 * 512 + 256 * 256 + 3 * 256 * 512) + 4 * (2 * 256 + 512);
  int64_t slot = kernels_cache_bytes(e->kernels, 1);
  assert_int_equal(bare.bytes, 2 * layer + slot);
  assert_int_equal(engine_bench_step_cost(s, 100, 8, 0).bytes, 2 * layer + 108 * slot);
  engine_session_delete(s);
  engine_close(e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_fits),
      cmocka_unit_test(test_a_shorter_context_fits),
      cmocka_unit_test(test_a_smaller_model_fits),
      cmocka_unit_test(test_family),
      cmocka_unit_test(test_random_values),
      cmocka_unit_test(test_random_sharing),
      cmocka_unit_test(test_random_engine),
      cmocka_unit_test(test_random_errors),
      cmocka_unit_test(test_progress_counts_bytes),
      cmocka_unit_test(test_bench_steps),
      cmocka_unit_test(test_bench_cost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
