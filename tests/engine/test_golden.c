/* test_golden.c - logits and greedy tokens against transformers (tests/data/golden.json: the
 * embedded model; tests/data/tiny-random-hd128: head_dim 128, untied, bf16).
 *
 * Teacher-forced: every position is computed after the reference's own tokens, so that one fork
 * hides nothing. The reference ops are held to the golden file, each fast backend to the
 * reference ops. A run under a sanitizer (environment SANITIZE) looks at memory, not at digits:
 * it takes one of the eight prompts, as the plain ops are ten times slower there. */
#include "tests/engine/golden.h"

#include <math.h>
#include <string.h>

#include "engine/engine.h"

#define PROMPTS 8
#define STEPS 48
#define MAX_PROMPT 2048

typedef struct prompt {
  int32_t ids[MAX_PROMPT + STEPS]; /* the prompt, then the reference's greedy tokens */
  int n;
  float margin[STEPS];
  int32_t top_ids[10];
  float top_logits[10];
} prompt;

typedef struct fixture {
  int vocab;
  int n; /* prompts that are looked at */
  prompt prompts[PROMPTS];
  float *logits; /* [PROMPTS, STEPS, vocab] of the reference ops */
} fixture;

static engine *open_backend(const char *model, const char *backend) {
  engine *e;
  char err[512];
  engine_options o = {.model = model, .backend = backend, .threads = 2};
  int rc = engine_open(&e, &o, err, sizeof err);
  if (rc != ENGINE_OK) print_message("%s: %s\n", backend, err);
  return e;
}

static int argmax(const float *x, int n) {
  int best = 0;
  for (int i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

static void read_prompts(fixture *f) {
  cJSON *golden = golden_json("tests/data/golden.json");
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(golden, "generation");
  assert_int_equal(cJSON_GetArraySize(list), PROMPTS);
  for (int i = 0; i < PROMPTS; i++) {
    prompt *p = &f->prompts[i];
    const cJSON *entry = cJSON_GetArrayItem(list, i), *top;
    const cJSON *q8 = cJSON_GetObjectItemCaseSensitive(entry, "q8_0");
    p->n = golden_ints(cJSON_GetObjectItemCaseSensitive(entry, "ids"), p->ids, MAX_PROMPT);
    assert_int_equal(golden_ints(cJSON_GetObjectItemCaseSensitive(q8, "greedy"), p->ids + p->n, STEPS),
                     STEPS);
    assert_int_equal(golden_floats(cJSON_GetObjectItemCaseSensitive(q8, "margin"), p->margin, STEPS),
                     STEPS);
    int k = 0;
    cJSON_ArrayForEach(top, cJSON_GetObjectItemCaseSensitive(q8, "top10")) {
      assert_true(k < 10);
      p->top_ids[k] = cJSON_GetArrayItem(top, 0)->valueint;
      p->top_logits[k++] = (float)cJSON_GetArrayItem(top, 1)->valuedouble;
    }
    assert_int_equal(k, 10);
  }
  cJSON_Delete(golden);
}

/* Logits at every teacher-forced position of a prompt: out[STEPS, vocab]. */
static void force(engine *e, const prompt *p, float *out) {
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  for (int j = 0; j < STEPS; j++) {
    int computed;
    assert_int_equal(engine_session_sync(s, p->ids, p->n + j, NULL, &computed), ENGINE_OK);
    assert_int_equal(computed, j == 0 ? p->n : 1); /* what was there is reused */
    assert_int_equal(engine_session_logits(s, out + (size_t)j * (size_t)engine_get_info(e)->vocab),
                     ENGINE_OK);
  }
  engine_session_delete(s);
}

static int setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  assert_non_null(f);
  *state = f;
  const char *sanitize = getenv("SANITIZE");
  f->n = sanitize != NULL && sanitize[0] != '\0' ? 1 : PROMPTS;
  read_prompts(f);
  engine *e = open_backend(NULL, "cpu-reference");
  assert_non_null(e);
  f->vocab = engine_get_info(e)->vocab;
  f->logits = malloc((size_t)PROMPTS * STEPS * (size_t)f->vocab * sizeof *f->logits);
  assert_non_null(f->logits);
  for (int i = 0; i < f->n; i++)
    force(e, &f->prompts[i], f->logits + (size_t)i * STEPS * (size_t)f->vocab);
  engine_close(e);
  return 0;
}

static int teardown(void **state) {
  fixture *f = *state;
  free(f->logits);
  free(f);
  return 0;
}

static void test_reference(void **state) {
  const fixture *f = *state;
  double worst = 0;
  int checked = 0;
  for (int i = 0; i < f->n; i++) {
    const prompt *p = &f->prompts[i];
    const float *first = f->logits + (size_t)i * STEPS * (size_t)f->vocab;
    for (int k = 0; k < 10; k++) {
      double d = fabs((double)first[p->top_ids[k]] - p->top_logits[k]);
      if (d > worst) worst = d;
      assert_true(d <= 2e-3);
    }
    for (int j = 0; j < STEPS; j++) {
      if (p->margin[j] < 0.01f) continue;
      checked++;
      assert_int_equal(argmax(first + (size_t)j * (size_t)f->vocab, f->vocab), p->ids[p->n + j]);
    }
  }
  print_message("reference ops: worst top-10 error %.1e, argmax equal at %d of %d positions with a "
                "margin of 0.01\n", worst, checked, f->n * STEPS);
}

/* Normalised mean square error of y against x, both taken about x's mean: a shift that is common
 * to all logits changes nothing the model says, but is counted here all the same. */
static double nmse(const float *x, const float *y, int n) {
  double mean = 0, error = 0, power = 0;
  for (int i = 0; i < n; i++) mean += x[i];
  mean /= n;
  for (int i = 0; i < n; i++) {
    double d = (double)y[i] - x[i], c = x[i] - mean;
    error += d * d;
    power += c * c;
  }
  return error / power;
}

static void check_fast(const fixture *f, const char *backend) {
  engine *e = open_backend(NULL, backend);
  if (e == NULL) {
    assert_string_not_equal(backend, "cpu"); /* the other levels depend on the machine */
    return;
  }
  float *out = malloc((size_t)STEPS * (size_t)f->vocab * sizeof *out);
  assert_non_null(out);
  double worst = 0;
  int checked = 0;
  for (int i = 0; i < f->n; i++) {
    force(e, &f->prompts[i], out);
    for (int j = 0; j < STEPS; j++) {
      size_t row = (size_t)j * (size_t)f->vocab;
      double d = nmse(f->logits + (size_t)i * STEPS * (size_t)f->vocab + row, out + row, f->vocab);
      if (d > worst) worst = d;
      assert_true(d < 1e-4);
      if (f->prompts[i].margin[j] < 0.1f) continue;
      checked++;
      assert_int_equal(argmax(out + row, f->vocab), f->prompts[i].ids[f->prompts[i].n + j]);
    }
  }
  print_message("%s: worst NMSE %.1e, argmax equal at %d positions with a margin of 0.1\n",
                engine_get_info(e)->backend, worst, checked);
  free(out);
  engine_close(e);
}

static void test_fast(void **state) {
  static const char *const backends[] = {"cpu", "cpu:portable", "cpu:avx2", "cpu:avx512", "cpu:amx",
                                         "cuda", "cuda:plain"};
  for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) check_fast(*state, backends[i]);
}

typedef struct collected {
  int32_t ids[STEPS];
  int n;
} collected;

static int collect(void *user, const engine_step *step) {
  collected *c = user;
  for (int i = 0; i < step->n; i++) {
    assert_true(c->n < STEPS);
    c->ids[c->n++] = step->ids[i];
  }
  return 0;
}

static bool have_gpu(void) {
  engine *e = open_backend(NULL, "cuda");
  engine_close(e);
  return e != NULL;
}

/* Free-running greedy equals the reference up to the first margin under the bound. */
static void check_free(const fixture *f, const char *backend, float bound) {
  engine *e = open_backend(NULL, backend);
  assert_non_null(e);
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  int equal = 0;
  for (int i = 0; i < f->n; i++) {
    const prompt *p = &f->prompts[i];
    collected c = {.n = 0};
    engine_generate_params params = {.max_tokens = STEPS, .ignore_stop = true};
    engine_generate_result r;
    assert_int_equal(engine_session_sync(s, p->ids, p->n, NULL, NULL), ENGINE_OK);
    assert_int_equal(engine_session_generate(s, &params, NULL, collect, &c, &r), ENGINE_OK);
    assert_int_equal(c.n, STEPS);
    assert_int_equal(r.stop, ENGINE_STOP_MAX);
    for (int j = 0; j < STEPS && p->margin[j] >= bound; j++, equal++)
      assert_int_equal(c.ids[j], p->ids[p->n + j]);
  }
  print_message("%s: free-running greedy equal at the %d positions before the first near tie\n",
                backend, equal);
  assert_true(equal > 0);
  engine_session_delete(s);
  engine_close(e);
}

static void test_free_running(void **state) {
  check_free(*state, "cpu-reference", 0.01f);
  check_free(*state, "cpu", 0.1f);
  if (have_gpu()) check_free(*state, "cuda", 0.1f);
}

/* ---- the random model with head_dim 128 -------------------------------------------------- */

static void check_tiny_entry(engine *e, const cJSON *entry, bool reference) {
  int32_t ids[512], each[512];
  float last[512], margin[32], logits[512];
  int32_t greedy[32];
  int n = golden_ints(cJSON_GetObjectItemCaseSensitive(entry, "ids"), ids, 512 - 32);
  assert_int_equal(golden_ints(cJSON_GetObjectItemCaseSensitive(entry, "argmax_each"), each, 512), n);
  assert_int_equal(golden_floats(cJSON_GetObjectItemCaseSensitive(entry, "last_logits"), last, 512), 512);
  int steps = golden_ints(cJSON_GetObjectItemCaseSensitive(entry, "greedy"), greedy, 32);
  golden_floats(cJSON_GetObjectItemCaseSensitive(entry, "margin"), margin, 32);
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  for (int i = 1; i <= n; i++) {
    assert_int_equal(engine_session_sync(s, ids, i, NULL, NULL), ENGINE_OK);
    assert_int_equal(engine_session_logits(s, logits), ENGINE_OK);
    if (reference) assert_int_equal(argmax(logits, 512), each[i - 1]);
  }
  double worst = 0;
  for (int i = 0; i < 512; i++) worst = fmax(worst, fabs((double)logits[i] - last[i]));
  if (reference) assert_true(worst <= 2e-3);
  assert_true(nmse(last, logits, 512) < 1e-4);
  collected c = {.n = 0};
  engine_generate_params params = {.max_tokens = steps, .ignore_stop = true};
  assert_int_equal(engine_session_sync(s, ids, n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_generate(s, &params, NULL, collect, &c, NULL), ENGINE_OK);
  for (int j = 0; j < steps && (reference || margin[j] >= 0.1f); j++)
    assert_int_equal(c.ids[j], greedy[j]);
  engine_session_delete(s);
}

static void check_tiny(const char *backend) {
  engine *e = open_backend("tests/data/tiny-random-hd128", backend);
  assert_non_null(e);
  cJSON *golden = golden_json("tests/data/tiny-random-hd128/golden.json");
  const cJSON *entry;
  assert_true(cJSON_IsArray(golden) && cJSON_GetArraySize(golden) > 0);
  cJSON_ArrayForEach(entry, golden) {
    check_tiny_entry(e, entry, strcmp(backend, "cpu-reference") == 0);
  }
  cJSON_Delete(golden);
  engine_close(e);
}

static void test_tiny_reference(void **state) {
  (void)state;
  check_tiny("cpu-reference");
}

static void test_tiny_fast(void **state) {
  (void)state;
  check_tiny("cpu");
  if (have_gpu()) check_tiny("cuda");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reference),      cmocka_unit_test(test_fast),
      cmocka_unit_test(test_free_running),   cmocka_unit_test(test_tiny_reference),
      cmocka_unit_test(test_tiny_fast),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
