/* test_draft.c - guesses change the number of steps and nothing else: tokens, stops, sessions and
 * draws are those of plain decoding, whatever is guessed. On the embedded model. */
#include "tests/engine/golden.h"

#include <math.h>
#include <string.h>

#include "engine/draft_internal.h"
#include "engine/internal.h"

#define CONTEXT 256
#define TOKENS 24

static const char *const methods[] = {"prompt", "pool", "recycle", "all", "lookahead:4,3,4",
                                      "lookahead:8,4,8", "lookahead:1,2,1", "lookahead:5,8,3"};
#define N_METHODS (sizeof methods / sizeof *methods)

/* Under the sanitizers, ten times as slow, the same paths are taken less often. */
static bool sanitized(void) {
  const char *which = getenv("SANITIZE");
  return which != NULL && which[0] != '\0';
}

static engine *open_engine(int context) {
  engine *e;
  char err[512];
  const char *backend = getenv("FIMD_TEST_BACKEND"); /* tests/gpu/run.sh: cuda */
  engine_options o = {.context = context, .threads = 2, .backend = backend ? backend : "cpu"};
  if (engine_open(&e, &o, err, sizeof err) != ENGINE_OK) fail_msg("%s", err);
  return e;
}

static int setup(void **state) {
  *state = open_engine(CONTEXT);
  return 0;
}

static int teardown(void **state) {
  engine_close(*state);
  return 0;
}

static const char *const texts[] = {
    "<|fim_prefix|>def fibonacci(n):\n    if n < 2:\n        return n\n    return <|fim_suffix|>\n\n"
    "print(fibonacci(10))\n<|fim_middle|>",
    "<|fim_prefix|>static int max(int a, int b) {\n  <|fim_suffix|>\n}\n\nstatic int min(int a, "
    "int b) {\n  return a < b ? a : b;\n}\n<|fim_middle|>",
    "for i in range(10):\n    a = i + 1\nfor j in range(10):\n    a = j + 1\nfor k in range(",
};
#define N_TEXTS (sizeof texts / sizeof *texts)

static engine_tokens ids_of(engine *e, const char *text) {
  engine_tokens t = {0};
  assert_int_equal(engine_tokenize(e, text, strlen(text), true, &t), ENGINE_OK);
  return t;
}

static engine_draft draft_of(const char *method) {
  engine_draft d;
  assert_int_equal(engine_draft_parse(method, &d), ENGINE_OK);
  return d;
}

typedef struct sink {
  engine_tokens tokens;
  int calls, stop_at; /* > 0: ask to stop once there are so many */
} sink;

static int take(void *user, const engine_step *step) {
  sink *k = user;
  k->calls++;
  assert_true(step->n >= 1);
  assert_int_equal(engine_tokens_append(&k->tokens, step->ids, step->n), ENGINE_OK);
  return k->stop_at > 0 && k->tokens.n >= k->stop_at;
}

static engine_generate_result generate(engine_session *s, const engine_generate_params *p,
                                       sink *k) {
  engine_generate_result r;
  assert_int_equal(engine_session_generate(s, p, NULL, take, k, &r), ENGINE_OK);
  assert_int_equal(r.tokens, k->tokens.n);
  assert_true(r.accepted <= r.drafted);
  return r;
}

static void assert_tokens(const engine_tokens *got, const engine_tokens *expected,
                          const char *what) {
  if (got->n != expected->n ||
      memcmp(got->ids, expected->ids, (size_t)got->n * sizeof *got->ids) != 0)
    fail_msg("%s: other tokens (%d and %d)", what, got->n, expected->n);
}

/* Prompt, then generate, in a session of its own. */
static engine_generate_result run(engine *e, const engine_tokens *prompt,
                                  const engine_generate_params *p, engine_tokens *out) {
  engine_session *s;
  sink k = {0};
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  assert_int_equal(engine_session_sync(s, prompt->ids, prompt->n, NULL, NULL), ENGINE_OK);
  engine_generate_result r = generate(s, p, &k);
  int n;
  const int32_t *cached = engine_session_tokens(s, &n); /* what it holds is what came */
  assert_true(n >= prompt->n && n <= prompt->n + k.tokens.n);
  assert_memory_equal(cached, prompt->ids, (size_t)prompt->n * sizeof *cached);
  if (n > prompt->n)
    assert_memory_equal(cached + prompt->n, k.tokens.ids, (size_t)(n - prompt->n) * sizeof *cached);
  engine_session_delete(s);
  *out = k.tokens;
  return r;
}

/* A pool that knows the answer (after some of the prompt), wrong answers, and noise. */
static engine_pool *make_pool(engine *e, const engine_tokens *prompt, const engine_tokens *answer) {
  engine_pool *p;
  int64_t id;
  uint32_t seed = 1;
  assert_int_equal(engine_pool_new(&p, 0), ENGINE_OK);
  for (int wrong = 0; wrong < 3; wrong++) {
    engine_tokens t = {0};
    int from = prompt->n > 12 ? prompt->n - 12 : 0;
    engine_tokens_append(&t, prompt->ids + from, prompt->n - from);
    engine_tokens_append(&t, answer->ids, answer->n);
    if (wrong > 0 && answer->n > 4 * wrong) t.ids[t.n - answer->n + 4 * wrong] ^= 1;
    assert_int_equal(engine_pool_add(p, t.ids, t.n, &id), ENGINE_OK);
    engine_tokens_free(&t);
  }
  engine_tokens noise = {0};
  for (int i = 0; i < 2000; i++) {
    seed = seed * 1664525u + 1013904223u;
    engine_tokens_push(&noise, (int32_t)(seed >> 12) % engine_get_info(e)->vocab);
  }
  assert_int_equal(engine_pool_add(p, noise.ids, noise.n, &id), ENGINE_OK);
  assert_int_equal(engine_pool_open(p, &id), ENGINE_OK);
  assert_int_equal(engine_pool_splice(p, id, 0, 0, prompt->ids, prompt->n), ENGINE_OK);
  engine_pool_focus(p, id, NULL, 0);
  assert_int_equal(engine_pool_accept(p, answer->ids, answer->n), ENGINE_OK);
  engine_tokens_free(&noise);
  return p;
}

/* ---- greedy ------------------------------------------------------------------------------- */

static void test_greedy(void **state) {
  engine *e = *state;
  int tokens = sanitized() ? TOKENS / 2 : TOKENS;
  for (size_t i = sanitized() ? 1 : 0; i < N_TEXTS; i += sanitized() ? 2 : 1) {
    engine_tokens prompt = ids_of(e, texts[i]), plain = {0};
    engine_generate_params p = {.max_tokens = tokens, .ignore_stop = true};
    engine_generate_result r = run(e, &prompt, &p, &plain);
    assert_int_equal(plain.n, tokens);
    assert_int_equal(r.steps, tokens);
    assert_int_equal(r.drafted, 0);
    p.pool = make_pool(e, &prompt, &plain);
    for (size_t m = 0; m < N_METHODS; m++)
      for (int all = sanitized() ? 1 : 0; all < 2; all++) {
        engine_tokens got = {0};
        p.draft = draft_of(methods[m]);
        p.draft.all_of_them = all == 1;
        p.draft.most = sanitized() ? 6 : 20;
        r = run(e, &prompt, &p, &got);
        assert_tokens(&got, &plain, methods[m]);
        assert_int_equal(r.tokens, r.steps + r.accepted);
        bool knows = strcmp(methods[m], "pool") == 0 || strcmp(methods[m], "all") == 0;
        if (knows && all == 1 && r.steps > tokens / 2)
          fail_msg("%s: %d steps where the pool has the answer", methods[m], r.steps);
        engine_tokens_free(&got);
      }
    engine_pool_delete(p.pool);
    engine_tokens_free(&prompt);
    engine_tokens_free(&plain);
  }
}

/* A session that has decoded with guesses goes on as if it had not: in the same call's text, after
 * a change of the prompt, and with its stop tokens obeyed. */
static void test_sessions_go_on(void **state) {
  engine *e = *state;
  engine_session *with, *without;
  engine_tokens prompt = ids_of(e, texts[0]);
  assert_int_equal(engine_session_new(e, &with), ENGINE_OK);
  assert_int_equal(engine_session_new(e, &without), ENGINE_OK);
  for (int round = 0; round < 6; round++) {
    engine_generate_params p = {.max_tokens = 5 + round, .ignore_stop = round % 2 == 0};
    sink a = {0}, b = {0};
    if (round % 3 == 0) {
      prompt.ids[10 + round] = 100 + round;
      assert_int_equal(engine_session_sync(with, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
      assert_int_equal(engine_session_sync(without, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
    }
    engine_generate_result plain = generate(without, &p, &a);
    p.draft = draft_of("all");
    p.draft.all_of_them = true;
    engine_generate_result guessed = generate(with, &p, &b);
    assert_tokens(&b.tokens, &a.tokens, "a round");
    assert_int_equal(guessed.stop, plain.stop);
    engine_tokens_free(&a.tokens);
    engine_tokens_free(&b.tokens);
  }
  float *x = malloc(2 * 16384 * sizeof *x), *y = x + 16384;
  assert_int_equal(engine_session_sync(with, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_sync(without, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_logits(with, x), ENGINE_OK);
  assert_int_equal(engine_session_logits(without, y), ENGINE_OK);
  assert_memory_equal(x, y, 16384 * sizeof *x);
  free(x);
  engine_session_delete(with);
  engine_session_delete(without);
  engine_tokens_free(&prompt);
}

/* The last token that is asked for, and the last one for which there is room. */
static void test_limits(void **state) {
  engine *e = open_engine(96);
  (void)state;
  engine_tokens prompt = ids_of(e, texts[2]);
  for (int max = 1; max < 80; max += sanitized() ? 39 : max < 8 ? 1 : 23) {
    engine_tokens plain = {0}, got = {0};
    engine_generate_params p = {.max_tokens = max, .ignore_stop = true};
    engine_generate_result a = run(e, &prompt, &p, &plain);
    p.draft = draft_of(max % 2 ? "all" : "lookahead:8,4,8");
    p.draft.all_of_them = true;
    engine_generate_result b = run(e, &prompt, &p, &got);
    assert_tokens(&got, &plain, "a limit");
    assert_int_equal(a.stop, b.stop);
    assert_int_equal(a.tokens, b.tokens);
    engine_tokens_free(&plain);
    engine_tokens_free(&got);
  }
  engine_tokens_free(&prompt);
  engine_close(e);
}

/* The caller's stop comes after a step's tokens; the session holds no more than it was told. */
static void test_caller_stops(void **state) {
  engine *e = *state;
  engine_tokens prompt = ids_of(e, texts[2]), plain = {0};
  engine_generate_params p = {.max_tokens = TOKENS, .ignore_stop = true};
  run(e, &prompt, &p, &plain);
  p.pool = make_pool(e, &prompt, &plain);
  p.draft = draft_of("all");
  p.draft.all_of_them = true;
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  for (int stop = 1; stop < 12; stop += 5) {
    sink k = {.stop_at = stop};
    assert_int_equal(engine_session_sync(s, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
    engine_generate_result r = generate(s, &p, &k);
    assert_int_equal(r.stop, ENGINE_STOP_CALLER);
    assert_true(k.tokens.n >= stop && k.tokens.n <= TOKENS);
    assert_memory_equal(k.tokens.ids, plain.ids, (size_t)k.tokens.n * sizeof *plain.ids);
    engine_tokens_free(&k.tokens);
  }
  atomic_bool cancel;
  atomic_init(&cancel, true);
  engine_generate_result r;
  assert_int_equal(engine_session_generate(s, &p, &cancel, NULL, NULL, &r), ENGINE_OK);
  assert_int_equal(r.stop, ENGINE_STOP_CANCELLED);
  assert_int_equal(r.tokens, 0);
  engine_session_delete(s);
  engine_pool_delete(p.pool);
  engine_tokens_free(&plain);
  engine_tokens_free(&prompt);
}

/* Tokens that are dictated come out as they are, and are known where the pool has them. */
static void test_replay(void **state) {
  engine *e = *state;
  engine_tokens prompt = ids_of(e, texts[1]), text = ids_of(e, "return a > b ? a : b;"), got = {0};
  engine_generate_params p = {.max_tokens = text.n, .ignore_stop = true, .replay = text.ids,
                              .n_replay = text.n, .draft = draft_of("all")};
  p.draft.all_of_them = true;
  p.pool = make_pool(e, &prompt, &text);
  engine_generate_result r = run(e, &prompt, &p, &got);
  assert_tokens(&got, &text, "dictated");
  assert_true(r.accepted > text.n / 2);
  engine_tokens_free(&got);
  p.replay = (const int32_t[]){16384};
  p.n_replay = 1;
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  assert_int_equal(engine_session_sync(s, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_generate(s, &p, NULL, NULL, NULL, NULL), ENGINE_EINVAL);
  engine_session_delete(s);
  engine_pool_delete(p.pool);
  engine_tokens_free(&prompt);
  engine_tokens_free(&text);
}

static void assert_text(const engine_drafter *d, const engine_session *s) {
  const drafter *of = engine__drafter_of(d);
  assert_int_equal(of->n_text, s->n);
  assert_memory_equal(of->text, s->tokens, (size_t)s->n * sizeof *s->tokens);
}

/* The drafter hears of the text while the prompt is computed: the session's own in a sync, the
 * caller's where the device went in between; and tokens are the same whoever heard what. */
static void test_told(void **state) {
  engine *e = *state;
  engine_session *s;
  engine_drafter *mine;
  engine_tokens prompt = ids_of(e, texts[0]), other = ids_of(e, texts[2]), plain = {0};
  engine_generate_params p = {.max_tokens = 6, .ignore_stop = true};
  run(e, &other, &p, &plain);
  p.draft = draft_of("all");
  p.draft.all_of_them = true;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  assert_int_equal(engine_drafter_new(&mine, e), ENGINE_OK);
  const engine_tokens *const rounds[] = {&prompt, &other, &prompt, &other};
  for (int i = 0; i < 4; i++) {
    sink k = {0};
    assert_int_equal(engine_session_sync(s, rounds[i]->ids, rounds[i]->n, NULL, NULL), ENGINE_OK);
    if (i == 0) assert_null(s->drafter);
    else assert_text(s->drafter, s);
    const engine_drafter *own = s->drafter;
    if (i == 2) { /* all is computed in generate, and nothing is left to do after it */
      atomic_bool cancel;
      p.drafter = mine;
      p.max_tokens = 0;
      s->n_cached = 0;
      atomic_init(&cancel, true);
      assert_int_equal(engine_session_generate(s, &p, &cancel, NULL, NULL, NULL), ENGINE_OK);
      assert_int_equal(engine__drafter_of(mine)->n_text, 0); /* cancelled before */
      assert_int_equal(engine_session_generate(s, &p, NULL, NULL, NULL, NULL), ENGINE_OK);
      assert_text(mine, s);
      assert_ptr_equal(s->drafter, own);
      p.max_tokens = 6;
    }
    if (i == 3) s->n_cached = 0;
    generate(s, &p, &k);
    assert_text(i < 2 ? s->drafter : mine, s);
    if (i % 2 == 1) assert_tokens(&k.tokens, &plain, "told");
    engine_tokens_free(&k.tokens);
  }
  engine_drafter_delete(mine);
  engine_session_delete(s);
  engine_tokens_free(&prompt);
  engine_tokens_free(&other);
  engine_tokens_free(&plain);
}

/* A device that fails in the middle of guessing: an error, and then all is as before. */
static void test_failure(void **state) {
  engine *e = *state;
  engine_tokens prompt = ids_of(e, texts[0]), plain = {0}, got = {0};
  engine_generate_params p = {.max_tokens = 8, .ignore_stop = true};
  run(e, &prompt, &p, &plain);
  p.draft = draft_of("all");
  engine_session *s;
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  assert_int_equal(engine_session_sync(s, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_prepare(s), ENGINE_OK);
  engine__fail_step(e, ENGINE_EDEVICE, 2);
  assert_int_equal(engine_session_generate(s, &p, NULL, NULL, NULL, NULL), ENGINE_EDEVICE);
  engine_session_delete(s);
  run(e, &prompt, &p, &got);
  assert_tokens(&got, &plain, "after a failure");
  engine_tokens_free(&got);
  engine_tokens_free(&plain);
  engine_tokens_free(&prompt);
}

/* ---- sampling ----------------------------------------------------------------------------- */

static void test_draws(void **state) {
  engine *e = *state;
  engine_tokens prompt = ids_of(e, texts[2]);
  for (uint64_t seed = 0; seed < (sanitized() ? 2 : 6); seed++) {
    engine_tokens plain = {0}, got = {0};
    engine_generate_params p = {.max_tokens = TOKENS, .ignore_stop = true, .temperature = 0.8f,
                                .top_p = seed % 2 ? 0.9f : 0, .seed = seed};
    run(e, &prompt, &p, &plain);
    p.pool = make_pool(e, &prompt, &plain);
    p.draft = draft_of("all");
    p.draft.all_of_them = true;
    engine_generate_result r = run(e, &prompt, &p, &got);
    assert_tokens(&got, &plain, "draws of one seed");
    assert_true(r.accepted > 0);
    engine_pool_delete(p.pool);
    engine_tokens_free(&plain);
    engine_tokens_free(&got);
  }
  engine_tokens_free(&prompt);
}

/* The second token of many draws, guessed in the first step, against the model's own distribution
 * of it (given the first): Pearson's chi-square over the likeliest tokens and the rest. */
#define DRAWS 600
#define CLASSES 6

static void test_distribution(void **state) {
  engine *e = *state;
  engine_tokens prompt = ids_of(e, texts[2]);
  const float temperature = 1.5f;
  int vocab = engine_get_info(e)->vocab, counted = 0, seen[CLASSES + 1] = {0};
  engine_session *s;
  float *logits = malloc((size_t)vocab * sizeof *logits);
  assert_non_null(logits);
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  int32_t first = 0, best[CLASSES];
  double chance[CLASSES + 1], sum = 0, rest = 1;
  assert_int_equal(engine_session_sync(s, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_logits(s, logits), ENGINE_OK);
  for (int i = 1; i < vocab; i++)
    if (logits[i] > logits[first]) first = i;
  engine_tokens longer = {0};
  engine_tokens_append(&longer, prompt.ids, prompt.n);
  engine_tokens_push(&longer, first);
  assert_int_equal(engine_session_sync(s, longer.ids, longer.n, NULL, NULL), ENGINE_OK);
  assert_int_equal(engine_session_logits(s, logits), ENGINE_OK);
  for (int i = 0; i < vocab; i++) sum += exp(logits[i] / (double)temperature);
  for (int c = 0; c < CLASSES; c++) {
    best[c] = 0;
    for (int i = 1; i < vocab; i++)
      if (logits[i] > logits[best[c]]) best[c] = i;
    chance[c] = exp(logits[best[c]] / (double)temperature) / sum;
    rest -= chance[c];
    logits[best[c]] = -1e30f;
  }
  chance[CLASSES] = rest;
  /* The pool guesses the first token, and the likeliest ones after it. */
  engine_pool *pool;
  int64_t id;
  assert_int_equal(engine_pool_new(&pool, 0), ENGINE_OK);
  for (int c = 0; c < CLASSES; c++) {
    int32_t line[] = {prompt.ids[prompt.n - 2], prompt.ids[prompt.n - 1], first, best[c]};
    assert_int_equal(engine_pool_add(pool, line, 4, &id), ENGINE_OK);
  }
  int guessed = 0, draws = sanitized() ? 4 : DRAWS;
  for (int i = 0; i < draws; i++) {
    sink k = {0};
    engine_generate_params p = {.max_tokens = 2, .ignore_stop = true, .temperature = temperature,
                                .seed = (uint64_t)i, .draft = draft_of("pool"), .pool = pool};
    p.draft.all_of_them = true;
    assert_int_equal(engine_session_sync(s, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
    guessed += generate(s, &p, &k).accepted;
    if (k.tokens.ids[0] == first) {
      int c = 0;
      while (c < CLASSES && best[c] != k.tokens.ids[1]) c++;
      seen[c]++;
      counted++;
    }
    engine_tokens_free(&k.tokens);
  }
  double chi = 0;
  for (int c = 0; c <= CLASSES; c++) {
    double expected = chance[c] * counted;
    chi += (seen[c] - expected) * (seen[c] - expected) / expected;
  }
  assert_true(sanitized() || (counted > 50 && guessed > 50));
  if (chi > 22.46 && !sanitized()) /* 6 degrees of freedom, p = 0.001; the seeds are fixed */
    fail_msg("chi-square %.1f over %d draws", chi, counted);
  engine_pool_delete(pool);
  engine_session_delete(s);
  engine_tokens_free(&longer);
  engine_tokens_free(&prompt);
  free(logits);
}

/* ---- cost ---------------------------------------------------------------------------------- */

/* A curve that says that no guess ever pays is measured again, more and more seldom. */
static void test_cost(void **state) {
  engine *e = *state;
  engine_session *s;
  engine_tokens prompt = ids_of(e, texts[2]);
  assert_int_equal(engine_session_new(e, &s), ENGINE_OK);
  assert_int_equal(engine_session_sync(s, prompt.ids, prompt.n, NULL, NULL), ENGINE_OK);
  e->cost.load = 0;
  assert_int_equal(engine_session_prepare(s), ENGINE_OK);
  for (int rows = 2; rows <= COST_ROWS_MAX; rows++)
    assert_true(e->cost.ms[rows] >= e->cost.ms[rows - 1] && e->cost.ms[1] > 0);
  for (int rows = 2; rows <= COST_ROWS_MAX; rows++) e->cost.ms[rows] = 1e6f;
  int load = e->cost.load;
  sink k = {0};
  engine_generate_params p = {.max_tokens = 4, .ignore_stop = true, .draft = draft_of("all")};
  assert_int_equal(generate(s, &p, &k).drafted, 0);
  engine_tokens_free(&k.tokens);
  int steps = 0;
  for (int round = 0; round < 3; round++) {
    int waited = 0;
    e->cost.load = load;
    while (e->cost.load != 0 && waited < 100000) {
      cost_paid(&e->cost, false);
      waited++;
    }
    assert_true(waited < 100000 && waited > steps);
    steps = waited;
  }
  assert_int_equal(engine_session_prepare(s), ENGINE_OK); /* and is as it should be again */
  assert_int_equal(e->cost.load, load);
  assert_true(e->cost.ms[8] < 1e5f);
  cost_paid(&e->cost, true);
  assert_int_equal(e->cost.idle, 0);
  /* What a step took moves its size and those near it. */
  float before = e->cost.ms[16], far = e->cost.ms[64];
  cost_seen(&e->cost, 16, 2 * before);
  assert_true(e->cost.ms[16] > before && e->cost.ms[64] == far);
  engine_session_delete(s);
  engine_tokens_free(&prompt);
}

/* ---- trees -------------------------------------------------------------------------------- */

static void assert_trees(const draft_tree *a, const draft_tree *b) {
  assert_int_equal(a->n, b->n);
  for (int i = 0; i < a->n; i++) {
    assert_int_equal(a->ids[i], b->ids[i]);
    assert_int_equal(a->parent[i], b->parent[i]);
    assert_int_equal(a->depth[i], b->depth[i]);
    assert_true(a->chance[i] == b->chance[i]);
    assert_true(a->parent[i] >= DRAFT_ROOT && a->parent[i] < i);
    assert_true(i == 0 || a->chance[i] <= a->chance[i - 1]);
    for (int k = 0; k < i; k++) assert_true(a->parent[k] != a->parent[i] || a->ids[k] != a->ids[i]);
  }
}

/* Leads a drafter through the answer. Each step's tree is added to trees[n]. */
static int follow(drafter *d, const engine_tokens *answer, draft_terms terms, bool rehearses,
                  draft_tree *trees) {
  int n = 0, path[DRAFT_NODES_MAX + 1];
  const float logits[RECYCLE_WIDTH] = {5, 4, 3, 2, 1, 0, -1, -2};
  for (int at = 0; at < answer->n; n++) {
    const draft_tree *t = &trees[n];
    int came = 1, node = DRAFT_ROOT;
    terms.depth = answer->n - at;
    drafter_build(d, &terms, &trees[n]);
    if (rehearses) drafter_rehearse(d);
    drafter_settle(d);
    drafter_saw(d, drafter_before(d), answer->ids[at], answer->ids, logits, RECYCLE_WIDTH);
    for (int i = 0; i < t->n && at + came < answer->n; i++)
      if (t->parent[i] == node && t->ids[i] == answer->ids[at + came - 1])
        path[came++ - 1] = node = i;
    drafter_learn(d, answer->ids + at, path, came);
    assert_int_equal(drafter_push(d, answer->ids + at, came), ENGINE_OK);
    at += came;
  }
  return n;
}

/* The same input gives the same trees: whatever is rehearsed, whatever text was indexed before, and
 * whether a node's cost makes the tree smaller or only shows that the likeliest ones come first. */
static void test_trees(void **state) {
  engine *e = *state;
  static draft_tree a[200], b[200];
  float cost[65];
  engine_tokens answer = ids_of(e, "a = i + 1\nfor x in range(3):\n    a = x + 1\n    b = x + 2\n"
                                   "for i in range(10):\n    return a > b ? a : b;\n");
  for (int i = 0; i <= 64; i++) cost[i] = 1 + 0.02f * (float)i;
  for (size_t i = 0; i < N_TEXTS; i++)
    for (int priced = 0; priced < 2; priced++) {
      engine_tokens prompt = ids_of(e, texts[i]), other = ids_of(e, texts[(i + 1) % N_TEXTS]);
      engine_pool *p = make_pool(e, &prompt, &answer);
      drafter *d[2];
      int n[2];
      draft_terms terms = {.sources = DRAFT_BIT(ENGINE_SOURCE_WINDOW) - 1, .pool = p, .most = 64,
                           .floor = 0.001f, .cost = priced ? cost : NULL};
      for (int k = 0; k < 2; k++) {
        assert_int_equal(drafter_new(&d[k], e), ENGINE_OK);
        if (k == 1) assert_int_equal(drafter_begin(d[k], other.ids, other.n), ENGINE_OK);
        if (k == 1) assert_int_equal(drafter_begin(d[k], prompt.ids, prompt.n / 2), ENGINE_OK);
        for (int again = 0; again <= k; again++) /* nothing is left to do */
          assert_int_equal(drafter_begin(d[k], prompt.ids, prompt.n), ENGINE_OK);
        assert_int_equal(d[k]->session.n, 1 + prompt.n);
        n[k] = follow(d[k], &answer, terms, k == 1, k == 0 ? a : b);
        draft_counts counts = drafter_get_counts(d[k]);
        assert_true(counts.nodes >= 0 && counts.nodes <= 64 && counts.look_ups >= 1);
        assert_true(counts.ms >= 0);
        drafter_delete(d[k]);
      }
      assert_int_equal(n[0], n[1]);
      assert_true(n[0] < answer.n);
      for (int k = 0; k < n[0]; k++) assert_trees(&a[k], &b[k]);
      engine_pool_delete(p);
      engine_tokens_free(&prompt);
      engine_tokens_free(&other);
    }
  engine_tokens_free(&answer);
}

/* ---- words -------------------------------------------------------------------------------- */

static void test_parse(void **state) {
  static const char *const wrong[] = {"", "All", "pool ", "lookahead:", "lookahead:4,3",
                                      "lookahead:4,3,4,5", "lookahead:0,3,4", "lookahead:4,1,4",
                                      "lookahead:-4,3,4", "lookahead:40,3,4", "lookahead:32,16,4",
                                      "lookahead:4,3,4x", "lookahead:99999999999,3,4"};
  engine_draft d;
  (void)state;
  assert_int_equal(engine_draft_parse("none", &d), ENGINE_OK);
  assert_int_equal(d.sources, 0);
  for (size_t i = 0; i < N_METHODS; i++) {
    assert_int_equal(engine_draft_parse(methods[i], &d), ENGINE_OK);
    assert_int_not_equal(d.sources, 0);
  }
  assert_int_equal(engine_draft_parse("lookahead:15,5,15", &d), ENGINE_OK);
  assert_true(d.w == 15 && d.n == 5 && d.g == 15);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    if (engine_draft_parse(wrong[i], &d) != ENGINE_EINVAL) fail_msg("'%s' was taken", wrong[i]);
  for (int i = 0; i < ENGINE_SOURCES; i++)
    assert_true(strlen(engine_source_name((engine_source)i)) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_greedy),      cmocka_unit_test(test_sessions_go_on),
      cmocka_unit_test(test_limits),      cmocka_unit_test(test_caller_stops),
      cmocka_unit_test(test_replay),      cmocka_unit_test(test_failure),
      cmocka_unit_test(test_told),
      cmocka_unit_test(test_draws),       cmocka_unit_test(test_distribution),
      cmocka_unit_test(test_parse),
      cmocka_unit_test(test_cost),         cmocka_unit_test(test_trees),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
