/* test_engine.c - sessions, the decode loop and the engine thread, on the embedded model. */
#include "tests/engine/golden.h"

#include <pthread.h>
#include <string.h>

#include "engine/engine.h"

static engine *open_with(const engine_options *o) {
  engine *e;
  char err[512];
  if (engine_open(&e, o, err, sizeof err) != ENGINE_OK) fail_msg("%s", err);
  return e;
}

static int setup(void **state) {
  *state = open_with(&(engine_options){.context = 256, .threads = 2, .backend = "cpu"});
  return 0;
}

static int teardown(void **state) {
  engine_close(*state);
  return 0;
}

static engine_session *new_session(engine *e) {
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  return s;
}

static void text_ids(const engine *e, const char *text, engine_tokens *t) {
  assert_int_equal(engine_tokenize(e, text, strlen(text), false, t), ENGINE_OK);
  assert_true(t->n > 0);
}

typedef struct sink {
  engine_tokens tokens;
  int stop_after;      /* > 0: ask to stop then */
  atomic_bool *cancel; /* set at the first token, if not NULL */
} sink;

static int take(void *user, const engine_step *step) {
  sink *k = user;
  assert_int_equal(engine_tokens_append(&k->tokens, step->ids, step->n), ENGINE_OK);
  if (k->cancel != NULL) atomic_store(k->cancel, true);
  return k->stop_after > 0 && k->tokens.n >= k->stop_after;
}

static engine_generate_result generate(engine_session *s, int max, bool raw, const atomic_bool *cancel,
                                       sink *k) {
  engine_generate_params p = {.max_tokens = max, .ignore_stop = raw};
  engine_generate_result r;
  assert_int_equal(engine_session_generate(s, &p, cancel, take, k, &r), ENGINE_OK);
  return r;
}

/* ---- opening ------------------------------------------------------------------------------ */

static void test_info(void **state) {
  const engine_info *i = engine_get_info(*state);
  assert_int_equal(i->layers, 16);
  assert_int_equal(i->vocab, 16384);
  assert_int_equal(i->context, 256);
  assert_int_equal(i->trained_context, 2048);
  assert_int_equal(i->special.fim_prefix, 16378);
  assert_int_equal(i->special.file_sep, 16383);
  assert_string_equal(i->types, "Q8_0");
  assert_true(i->parameters > 31000000 && i->parameters < 32000000);
  assert_true(engine_token_is_stop(*state, i->special.endoftext));
  assert_false(engine_token_is_stop(*state, 100));
  assert_false(engine_token_is_stop(*state, -1));
}

static void refuse(const engine_options *o, int status, const char *word) {
  engine *e = (engine *)1;
  char err[512] = "";
  assert_int_equal(engine_open(&e, o, err, sizeof err), status);
  assert_null(e);
  if (strstr(err, word) == NULL) fail_msg("'%s' is not in: %s", word, err);
}

static void test_open_errors(void **state) {
  (void)state;
  refuse(&(engine_options){.model = "./no-such-file.gguf"}, ENGINE_ENOTFOUND, "no-such-file.gguf");
  refuse(&(engine_options){.model = "Qwen/No-Such-Model"}, ENGINE_ENOTFOUND, "download");
  refuse(&(engine_options){.model = "Makefile"}, ENGINE_EFORMAT, "Makefile");
  refuse(&(engine_options){.backend = "abacus"}, ENGINE_EINVAL, "abacus");
  refuse(&(engine_options){.threads = -1}, ENGINE_EINVAL, "threads");
  refuse(&(engine_options){.context = 1 << 30}, ENGINE_EINVAL, "context");
  engine_close(NULL);
  engine_session_delete(NULL);
}

/* ---- sessions ----------------------------------------------------------------------------- */

static void test_sync_reuses_the_common_prefix(void **state) {
  engine *e = *state;
  engine_session *s = new_session(e);
  engine_tokens t = {0};
  int computed, n;
  text_ids(e, "int main(void) { return add(1, 2); }\n", &t);
  assert_int_equal(engine_session_sync(s, t.ids, t.n, NULL, &computed), ENGINE_OK);
  assert_int_equal(computed, t.n);
  assert_int_equal(engine_session_sync(s, t.ids, t.n, NULL, &computed), ENGINE_OK);
  assert_int_equal(computed, 1); /* the last token always gives the logits anew */
  t.ids[5] = t.ids[5] == 7 ? 8 : 7;
  assert_int_equal(engine_session_sync(s, t.ids, t.n, NULL, &computed), ENGINE_OK);
  assert_int_equal(computed, t.n - 5);
  const int32_t *held = engine_session_tokens(s, &n);
  assert_int_equal(n, t.n - 1);
  assert_memory_equal(held, t.ids, (size_t)n * sizeof *held);
  engine_tokens_free(&t);
  engine_session_delete(s);
}

/* What was reused must give the very same logits as what is computed afresh. */
static void test_reuse_is_exact(void **state) {
  engine *e = *state;
  size_t bytes = (size_t)engine_get_info(e)->vocab * sizeof(float);
  float *fresh = malloc(bytes), *reused = malloc(bytes);
  engine_tokens t = {0};
  text_ids(e, "static int parse(const char *text, size_t len) { for (size_t i = 0; i < len", &t);
  engine_session *s = new_session(e);
  assert_int_equal(engine_session_sync(s, t.ids, t.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_logits(s, fresh), ENGINE_OK);
  engine_session_delete(s);
  s = new_session(e);
  sink k = {0};
  assert_int_equal(engine_session_sync(s, t.ids, t.n - 9, NULL, NULL), ENGINE_OK);
  generate(s, 6, true, NULL, &k); /* leaves other tokens in the cache, to be rewound */
  for (int n = t.n - 5; n <= t.n; n++)
    assert_int_equal(engine_session_sync(s, t.ids, n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_logits(s, reused), ENGINE_OK);
  assert_memory_equal(fresh, reused, bytes);
  engine_tokens_free(&k.tokens);
  engine_tokens_free(&t);
  engine_session_delete(s);
  free(fresh);
  free(reused);
}

static void test_sync_errors(void **state) {
  engine_session *s = new_session(*state);
  int32_t ids[300] = {0};
  assert_int_equal(engine_session_sync(s, ids, 0, NULL, NULL), ENGINE_EINVAL);
  assert_int_equal(engine_session_sync(s, ids, 257, NULL, NULL), ENGINE_ETOOLONG);
  ids[3] = 16384;
  assert_int_equal(engine_session_sync(s, ids, 4, NULL, NULL), ENGINE_EINVAL);
  ids[3] = -1;
  assert_int_equal(engine_session_sync(s, ids, 4, NULL, NULL), ENGINE_EINVAL);
  float unused;
  assert_int_equal(engine_session_logits(s, &unused), ENGINE_EINVAL);
  engine_generate_params p = {.max_tokens = 1};
  assert_int_equal(engine_session_generate(s, &p, NULL, NULL, NULL, NULL), ENGINE_EINVAL);
  ids[3] = 0;
  assert_int_equal(engine_session_sync(s, ids, 4, NULL, NULL), ENGINE_OK);
  p.temperature = -1;
  assert_int_equal(engine_session_generate(s, &p, NULL, NULL, NULL, NULL), ENGINE_EINVAL);
  engine_session_delete(s);
}

static void test_cancelled_prefill_leaves_a_valid_session(void **state) {
  engine *e = *state;
  engine_session *s = new_session(e);
  int32_t ids[200];
  for (int i = 0; i < 200; i++) ids[i] = 100 + i;
  atomic_bool cancel = true;
  int n, computed;
  assert_int_equal(engine_session_sync(s, ids, 200, &cancel, NULL), ENGINE_ECANCELLED);
  engine_session_tokens(s, &n);
  assert_true(n < 200);
  atomic_store(&cancel, false);
  assert_int_equal(engine_session_sync(s, ids, 200, &cancel, &computed), ENGINE_OK);
  assert_int_equal(computed, 200 - n);
  engine_session_delete(s);
}

/* ---- decoding ----------------------------------------------------------------------------- */

static void test_stops(void **state) {
  engine *e = *state;
  engine_session *s = new_session(e);
  engine_tokens t = {0};
  text_ids(e, "def main():\n    ", &t);

  sink k = {.stop_after = 3};
  assert_int_equal(engine_session_sync(s, t.ids, t.n, NULL, NULL), ENGINE_OK);
  engine_generate_result r = generate(s, 10, true, NULL, &k);
  assert_int_equal(r.stop, ENGINE_STOP_CALLER);
  assert_int_equal(r.tokens, 3);
  assert_int_equal(k.tokens.n, 3);
  engine_tokens_free(&k.tokens);

  atomic_bool cancel = false;
  k = (sink){.cancel = &cancel};
  r = generate(s, 10, true, &cancel, &k);
  assert_int_equal(r.stop, ENGINE_STOP_CANCELLED);
  assert_int_equal(r.tokens, 1); /* seen before the next step */
  engine_tokens_free(&k.tokens);

  k = (sink){0};
  r = generate(s, 0, true, NULL, &k);
  assert_int_equal(r.stop, ENGINE_STOP_MAX);
  assert_int_equal(r.steps, 0);

  r = generate(s, 1000, true, NULL, &k); /* a cache of 256 */
  assert_int_equal(r.stop, ENGINE_STOP_CONTEXT);
  assert_int_equal(t.n + 3 + 1 + r.tokens, 256 + 1);
  engine_tokens_free(&k.tokens);
  engine_tokens_free(&t);
  engine_session_delete(s);
}

/* A complete little function in FIM form: the model itself ends the middle. */
static void test_stop_token(void **state) {
  engine *e = *state;
  engine_session *s = new_session(e);
  engine_tokens t = {0};
  const char *text = "<|fim_prefix|>def add(a, b):\n    return a <|fim_suffix|>\n\nprint(add(1, 2))\n<|fim_middle|>";
  assert_int_equal(engine_tokenize(e, text, strlen(text), true, &t), ENGINE_OK);
  assert_int_equal(t.ids[0], engine_get_info(e)->special.fim_prefix);
  assert_int_equal(t.ids[t.n - 1], engine_get_info(e)->special.fim_middle);
  sink k = {0};
  assert_int_equal(engine_session_sync(s, t.ids, t.n, NULL, NULL), ENGINE_OK);
  engine_generate_result r = generate(s, 100, false, NULL, &k);
  assert_int_equal(r.stop, ENGINE_STOP_TOKEN);
  assert_int_equal(r.tokens, k.tokens.n);
  for (int i = 0; i < k.tokens.n; i++) assert_false(engine_token_is_stop(e, k.tokens.ids[i]));
  engine_tokens_free(&k.tokens);
  engine_tokens_free(&t);
  engine_session_delete(s);
}

static void sample(engine *e, const engine_tokens *prompt, uint64_t seed, sink *k) {
  engine_session *s = new_session(e);
  engine_generate_params p = {.max_tokens = 24, .temperature = 1.2f, .top_p = 0.95f, .seed = seed,
                              .ignore_stop = true};
  assert_int_equal(engine_session_sync(s, prompt->ids, prompt->n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_generate(s, &p, NULL, take, k, NULL), ENGINE_OK);
  engine_session_delete(s);
}

static void test_sampling_follows_its_seed(void **state) {
  engine *e = *state;
  engine_tokens t = {0};
  sink a = {0}, b = {0}, c = {0};
  text_ids(e, "import ", &t);
  sample(e, &t, 1, &a);
  sample(e, &t, 1, &b);
  sample(e, &t, 2, &c);
  assert_int_equal(a.tokens.n, 24);
  assert_memory_equal(a.tokens.ids, b.tokens.ids, 24 * sizeof(int32_t));
  assert_memory_not_equal(a.tokens.ids, c.tokens.ids, 24 * sizeof(int32_t));
  engine_tokens_free(&a.tokens);
  engine_tokens_free(&b.tokens);
  engine_tokens_free(&c.tokens);
  engine_tokens_free(&t);
}

/* ---- the engine thread -------------------------------------------------------------------- */

typedef struct board {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int ran, order[64];
  bool hold;
} board;

typedef struct numbered_job {
  engine_job job; /* first: the engine gives this back */
  board *board;
  int number;
  bool saw_cancel;
} numbered_job;

static void run_numbered(engine_job *job) {
  numbered_job *j = (numbered_job *)job;
  board *b = j->board;
  pthread_mutex_lock(&b->mutex);
  while (b->hold) pthread_cond_wait(&b->cond, &b->mutex);
  j->saw_cancel = atomic_load(&job->cancel);
  b->order[b->ran++] = j->number;
  pthread_cond_broadcast(&b->cond);
  pthread_mutex_unlock(&b->mutex);
}

static void test_jobs_run_once_in_order(void **state) {
  (void)state;
  engine *e = open_with(&(engine_options){.context = 64, .threads = 1, .backend = "cpu"});
  board b = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .hold = true};
  numbered_job jobs[50];
  for (int i = 0; i < 50; i++) {
    jobs[i] = (numbered_job){.job = {.run = run_numbered}, .board = &b, .number = i};
    engine_post(e, &jobs[i].job);
    if (i % 7 == 3) atomic_store(&jobs[i].job.cancel, true);
  }
  pthread_mutex_lock(&b.mutex);
  b.hold = false;
  pthread_cond_broadcast(&b.cond);
  while (b.ran < 50) pthread_cond_wait(&b.cond, &b.mutex);
  pthread_mutex_unlock(&b.mutex);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(b.order[i], i);
    assert_int_equal(jobs[i].saw_cancel, i % 7 == 3);
  }
  engine_close(e);
}

static void *close_engine(void *e) {
  engine_close(e);
  return NULL;
}

/* Jobs that are still queued when the engine closes run once, cancelled. */
static void test_closing_runs_out_the_queue(void **state) {
  (void)state;
  engine *e = open_with(&(engine_options){.context = 64, .threads = 1, .backend = "cpu"});
  board b = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
  numbered_job jobs[10];
  for (int i = 0; i < 10; i++) {
    jobs[i] = (numbered_job){.job = {.run = run_numbered}, .board = &b, .number = i};
    engine_post(e, &jobs[i].job);
  }
  pthread_t closer;
  assert_int_equal(pthread_create(&closer, NULL, close_engine, e), 0);
  assert_int_equal(pthread_join(closer, NULL), 0);
  assert_int_equal(b.ran, 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_info),
      cmocka_unit_test(test_open_errors),
      cmocka_unit_test(test_sync_reuses_the_common_prefix),
      cmocka_unit_test(test_reuse_is_exact),
      cmocka_unit_test(test_sync_errors),
      cmocka_unit_test(test_cancelled_prefill_leaves_a_valid_session),
      cmocka_unit_test(test_stops),
      cmocka_unit_test(test_stop_token),
      cmocka_unit_test(test_sampling_follows_its_seed),
      cmocka_unit_test(test_jobs_run_once_in_order),
      cmocka_unit_test(test_closing_runs_out_the_queue),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
