/* test_score.c - the probabilities that come with the tokens, on the embedded model: against a
 * softmax in double of the logits of a session that is brought to each place, and the same bits
 * however many guesses a step verifies. */
#include "tests/engine/golden.h"

#include <math.h>
#include <string.h>

#include "engine/engine.h"

#define CONTEXT 256
#define TOKENS 20
#define CLOSE 1e-5 /* of logarithms: what floats of their size leave of a difference */

static int setup(void **state) {
  engine *e;
  char err[512];
  const char *backend = getenv("FIMD_TEST_BACKEND"); /* tests/gpu/run.sh: cuda */
  engine_options o = {.context = CONTEXT, .threads = 2, .backend = backend ? backend : "cpu"};
  if (engine_open(&e, &o, err, sizeof err) != ENGINE_OK) fail_msg("%s", err);
  *state = e;
  return 0;
}

static int teardown(void **state) {
  engine_close(*state);
  return 0;
}

static const char *const texts[] = {
    "<|fim_prefix|>static int max(int a, int b) {\n  <|fim_suffix|>\n}\n\nstatic int min(int a, "
    "int b) {\n  return a < b ? a : b;\n}\n<|fim_middle|>",
    "for i in range(10):\n    a = i + 1\nfor j in range(10):\n    a = j + 1\nfor k in range(",
};
#define N_TEXTS 2

static engine_tokens ids_of(engine *e, const char *text) {
  engine_tokens t = {0};
  assert_int_equal(engine_tokenize(e, text, strlen(text), true, &t), ENGINE_OK);
  return t;
}

/* Everything that came, one token after the other. */
typedef struct record {
  int32_t ids[TOKENS], others[TOKENS * ENGINE_OTHERS];
  float logprobs[TOKENS], other_logprobs[TOKENS * ENGINE_OTHERS];
  int n;
} record;

static int take(void *user, const engine_step *step) {
  record *r = user;
  size_t n = (size_t)step->n, at = (size_t)r->n, width = ENGINE_OTHERS;
  assert_true(step->n >= 1 && r->n + step->n <= TOKENS);
  assert_non_null(step->logprobs);
  assert_non_null(step->others);
  assert_non_null(step->other_logprobs);
  memcpy(r->ids + at, step->ids, n * sizeof *r->ids);
  memcpy(r->logprobs + at, step->logprobs, n * sizeof *r->logprobs);
  memcpy(r->others + width * at, step->others, width * n * sizeof *r->others);
  memcpy(r->other_logprobs + width * at, step->other_logprobs,
         width * n * sizeof *r->other_logprobs);
  r->n += step->n;
  return 0;
}

/* Prompt, then generate with scores, in a session of its own. */
static engine_generate_result run(engine *e, const engine_tokens *prompt,
                                  engine_generate_params p, record *out) {
  engine_session *s;
  engine_generate_result r;
  memset(out, 0, sizeof *out);
  p.score = true;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  assert_int_equal(engine_session_sync(s, prompt->ids, prompt->n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_generate(s, &p, NULL, take, out, &r), ENGINE_OK);
  assert_int_equal(r.tokens, out->n);
  engine_session_delete(s);
  return r;
}

/* ---- the yardstick ------------------------------------------------------------------------ */

static bool better(const float *logits, int a, int b) {
  return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

/* Place i of the record by its logits: the token's logarithm, and the likeliest of the rest. */
static void check_place(const record *r, int i, const float *logits, int vocab) {
  double sum = 0, most = -INFINITY;
  for (int v = 0; v < vocab; v++) most = fmax(most, logits[v]);
  for (int v = 0; v < vocab; v++) sum += exp(logits[v] - most);
  double all = most + log(sum), want = logits[r->ids[i]] - all;
  if (!(fabs(r->logprobs[i] - want) <= CLOSE) || r->logprobs[i] > 0)
    fail_msg("token %d: %.9g, not %.9g", i, r->logprobs[i], want);
  int before = -1; /* the one that was named last */
  for (int j = 0; j < ENGINE_OTHERS; j++) {
    int best = -1;
    for (int v = 0; v < vocab; v++)
      if (v != r->ids[i] && (before < 0 || better(logits, before, v)) &&
          (best < 0 || better(logits, v, best)))
        best = v;
    assert_int_equal(r->others[i * ENGINE_OTHERS + j], best);
    assert_true(fabs(r->other_logprobs[i * ENGINE_OTHERS + j] - (logits[best] - all)) <= CLOSE);
    before = best;
  }
}

/* All places from `from` on. */
static void check(engine *e, const engine_tokens *prompt, const record *r, int from) {
  engine_session *s;
  engine_tokens text = {0};
  int vocab = engine_get_info(e)->vocab;
  float *logits = malloc((size_t)vocab * sizeof *logits);
  assert_non_null(logits);
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  engine_tokens_append(&text, prompt->ids, prompt->n);
  for (int i = 0; i < r->n; i++) {
    if (i >= from) {
      assert_int_equal(engine_session_sync(s, text.ids, text.n, NULL, NULL), ENGINE_OK);
      assert_int_equal(engine_session_logits(s, logits), ENGINE_OK);
      check_place(r, i, logits, vocab);
    }
    engine_tokens_push(&text, r->ids[i]);
  }
  engine_tokens_free(&text);
  engine_session_delete(s);
  free(logits);
}

static void assert_same(const record *got, const record *want, const char *what) {
  assert_int_equal(got->n, want->n);
  for (int i = 0; i < want->n; i++)
    if (got->ids[i] != want->ids[i] || memcmp(&got->logprobs[i], &want->logprobs[i], 4) != 0)
      fail_msg("%s: token %d is %d (%.9g), not %d (%.9g)", what, i, got->ids[i], got->logprobs[i],
               want->ids[i], want->logprobs[i]);
  assert_memory_equal(got->others, want->others, sizeof want->others);
  assert_memory_equal(got->other_logprobs, want->other_logprobs, sizeof want->other_logprobs);
}

/* Runs again with guesses by every method, some of which know the answer. */
static void check_guessing(engine *e, const engine_tokens *prompt, engine_generate_params p,
                           const record *plain) {
  static const char *const methods[] = {"prompt", "pool", "recycle", "all", "lookahead:4,3,4"};
  int64_t id;
  int accepted = 0;
  engine_tokens known = {0};
  assert_int_equal(engine_pool_new(&p.pool, 0), ENGINE_OK);
  engine_tokens_append(&known, prompt->ids + prompt->n - 8, 8);
  engine_tokens_append(&known, plain->ids, plain->n);
  assert_int_equal(engine_pool_add(p.pool, known.ids, known.n, &id), ENGINE_OK);
  known.ids[known.n - 7] ^= 1;
  assert_int_equal(engine_pool_add(p.pool, known.ids, known.n, &id), ENGINE_OK);
  for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
    record got;
    assert_int_equal(engine_draft_parse(methods[m], &p.draft), ENGINE_OK);
    p.draft.all_of_them = true;
    p.draft.most = 12;
    accepted += run(e, prompt, p, &got).accepted;
    assert_same(&got, plain, methods[m]);
  }
  assert_true(accepted > plain->n); /* or it would say nothing */
  engine_tokens_free(&known);
  engine_pool_delete(p.pool);
}

/* ---- the tests ---------------------------------------------------------------------------- */

static void test_greedy(void **state) {
  for (int i = 0; i < N_TEXTS; i++) {
    engine_tokens prompt = ids_of(*state, texts[i]);
    engine_generate_params p = {.max_tokens = TOKENS, .ignore_stop = true};
    record plain;
    run(*state, &prompt, p, &plain);
    assert_int_equal(plain.n, TOKENS);
    for (int j = 0; j < TOKENS; j++) /* the chosen one is the likeliest */
      assert_true(plain.logprobs[j] >= plain.other_logprobs[j * ENGINE_OTHERS]);
    check(*state, &prompt, &plain, 0);
    check_guessing(*state, &prompt, p, &plain);
    engine_tokens_free(&prompt);
  }
}

/* Draws at a temperature that takes unlikely tokens, too; told at temperature 1. */
static void test_draws(void **state) {
  engine_tokens prompt = ids_of(*state, texts[1]);
  engine_generate_params p = {.max_tokens = TOKENS, .ignore_stop = true, .temperature = 1.8f,
                              .seed = 7};
  record plain;
  int unlikely = 0;
  run(*state, &prompt, p, &plain);
  check(*state, &prompt, &plain, 0);
  for (int i = 0; i < plain.n; i++)
    unlikely += plain.logprobs[i] < plain.other_logprobs[i * ENGINE_OTHERS + ENGINE_OTHERS - 1];
  assert_true(unlikely > 0);
  check_guessing(*state, &prompt, p, &plain);
  engine_tokens_free(&prompt);
}

/* Tokens that are dictated are as likely as the model finds them, though no logits are there. */
static void test_replay(void **state) {
  engine_tokens prompt = ids_of(*state, texts[0]), text = ids_of(*state, "while (a++ < b) a ^= 7;");
  engine_generate_params p = {.max_tokens = TOKENS, .ignore_stop = true, .replay = text.ids,
                              .n_replay = text.n < TOKENS ? text.n : TOKENS};
  record plain;
  run(*state, &prompt, p, &plain);
  assert_memory_equal(plain.ids, text.ids, (size_t)p.n_replay * sizeof *text.ids);
  check(*state, &prompt, &plain, 0);
  check_guessing(*state, &prompt, p, &plain);
  engine_tokens_free(&prompt);
  engine_tokens_free(&text);
}

/* The caller's choice: what is third best, three times. */
typedef struct chooser {
  int vocab, left;
} chooser;

static bool choose_third(void *user, const float *logits, int32_t *id) {
  chooser *c = user;
  int32_t best[3] = {-1, -1, -1};
  for (int j = 0; j < 3; j++)
    for (int v = 0; v < c->vocab; v++)
      if ((j < 1 || best[0] != v) && (j < 2 || best[1] != v) &&
          (best[j] < 0 || logits[v] > logits[best[j]]))
        best[j] = v;
  *id = best[2];
  return --c->left > 0;
}

static void test_healing(void **state) {
  enum { CHOSEN = 3 };
  engine_tokens prompt = ids_of(*state, texts[1]);
  chooser c = {.vocab = engine_get_info(*state)->vocab, .left = CHOSEN};
  engine_generate_params p = {.max_tokens = TOKENS, .ignore_stop = true, .choose = choose_third,
                              .choose_user = &c};
  record plain, got;
  run(*state, &prompt, p, &plain);
  for (int i = 0; i < CHOSEN; i++) {
    assert_true(plain.logprobs[i] == 0);
    for (int j = i * ENGINE_OTHERS; j < (i + 1) * ENGINE_OTHERS; j++) {
      assert_int_equal(plain.others[j], -1);
      assert_true(plain.other_logprobs[j] == -INFINITY);
    }
  }
  assert_true(plain.logprobs[CHOSEN] < 0);
  check(*state, &prompt, &plain, CHOSEN);
  /* In one step, where it is guessed what the caller will choose. */
  int64_t id;
  assert_int_equal(engine_pool_new(&p.pool, 0), ENGINE_OK);
  engine_tokens_append(&prompt, plain.ids, plain.n);
  assert_int_equal(engine_pool_add(p.pool, prompt.ids, prompt.n, &id), ENGINE_OK);
  prompt.n -= plain.n;
  assert_int_equal(engine_draft_parse("pool", &p.draft), ENGINE_OK);
  p.draft.all_of_them = true;
  c.left = CHOSEN;
  assert_true(run(*state, &prompt, p, &got).steps < TOKENS / 2);
  assert_same(&got, &plain, "healing");
  engine_pool_delete(p.pool);
  engine_tokens_free(&prompt);
}

static int take_none(void *user, const engine_step *step) {
  ++*(int *)user;
  assert_null(step->logprobs);
  assert_null(step->others);
  assert_null(step->other_logprobs);
  return 0;
}

/* Nobody asks: nothing is told, and the tokens are the same. */
static void test_off(void **state) {
  engine_session *s;
  engine_generate_params p = {.max_tokens = 4};
  int calls = 0, n;
  engine_tokens prompt = ids_of(*state, texts[1]);
  record scored;
  run(*state, &prompt, p, &scored);
  assert_int_equal(engine_session_new(*state, &s), ENGINE_OK);
  assert_int_equal(engine_session_sync(s, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_generate(s, &p, NULL, take_none, &calls, NULL), ENGINE_OK);
  assert_true(calls > 0);
  const int32_t *cached = engine_session_tokens(s, &n);
  assert_true(n > prompt.n && n - prompt.n <= scored.n);
  assert_memory_equal(cached + prompt.n, scored.ids, (size_t)(n - prompt.n) * sizeof *cached);
  engine_session_delete(s);
  engine_tokens_free(&prompt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_greedy),  cmocka_unit_test(test_draws), cmocka_unit_test(test_replay),
      cmocka_unit_test(test_healing), cmocka_unit_test(test_off),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
