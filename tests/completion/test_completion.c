/* Requests end to end, on the embedded model: every request is answered once, whatever happens
 * to it; the same request gives the same text; a keystroke costs a few tokens. */
#include "completion/completion.h"
#include "helper.h"

#include <pthread.h>

#define SAMPLES "tests/data/samples/"
#define URI "file:///w/a.py"

static engine *the_engine;
static completion *c;

static int open_engine(void **state) {
  (void)state;
  char err[256] = "";
  engine_options embedded = {0};
  if (engine_open(&the_engine, &embedded, err, sizeof err)) fail_msg("%s", err);
  return 0;
}

static int close_engine(void **state) {
  (void)state;
  engine_close(the_engine);
  return 0;
}

static const completion_options small = {.prompt_tokens = 128, .max_tokens = 24};

static int open_completion(void **state) {
  (void)state;
  return completion_new(&c, the_engine, &small);
}

static int close_completion(void **state) {
  (void)state;
  completion_delete(c);
  return 0;
}

/* ---- a request and what became of it --------------------------------------------------- */

typedef struct answer {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int done, updates;
  int status;
  char text[4096];
  size_t replace_start, replace_end;
  completion_stop stop;
  completion_stats stats;
  bool has_message;
  completion_why why;
  char others[COMPLETION_CANDIDATES_MAX][256];
  int n_others;
  char update[4096];
  int update_tokens;
  completion_job *cancel_on_update;
} answer;

static void answer_init(answer *a) {
  memset(a, 0, sizeof *a);
  pthread_mutex_init(&a->lock, NULL);
  pthread_cond_init(&a->changed, NULL);
}

static void on_done(void *user, const completion_result *r) {
  answer *a = user;
  pthread_mutex_lock(&a->lock);
  a->done++;
  a->status = r->status;
  a->has_message = r->message != NULL;
  a->why = r->why;
  assert_true(r->n_others < COMPLETION_CANDIDATES_MAX);
  a->n_others = r->n_others;
  for (int i = 0; i < r->n_others; i++)
    snprintf(a->others[i], sizeof a->others[i], "%s", r->others[i]);
  assert_true(r->final && r->len < sizeof a->text && r->text && r->text[r->len] == 0);
  memcpy(a->text, r->text, r->len + 1);
  a->replace_start = r->replace_start;
  a->replace_end = r->replace_end;
  a->stop = r->stop;
  a->stats = r->stats;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

static void on_update(void *user, const completion_result *r) {
  answer *a = user;
  pthread_mutex_lock(&a->lock);
  assert_true(!r->final && r->status == 0 && r->len > 0 && a->done == 0);
  a->updates++;
  snprintf(a->update, sizeof a->update, "%s", r->text);
  a->update_tokens = r->stats.tokens;
  if (a->cancel_on_update) completion_job_cancel(a->cancel_on_update);
  pthread_mutex_unlock(&a->lock);
}

static void wait_for(answer *a) {
  pthread_mutex_lock(&a->lock);
  while (!a->done) pthread_cond_wait(&a->changed, &a->lock);
  pthread_mutex_unlock(&a->lock);
  assert_int_equal(a->done, 1);
  assert_true(a->status == 0 ? !a->has_message : a->has_message && !a->text[0]);
}

static void set_text(const char *uri, const char *text) {
  completion_document d = {.uri = uri, .text = text, .len = strlen(text)};
  assert_int_equal(completion_document_set(c, &d), 0);
}

/* Sets the document, URI unless the query names one, to the text without its mark and asks at the
 * mark. */
static void ask_query(answer *a, const char *marked, completion_query q) {
  completion__slice before, after;
  split_at_cursor(marked, &before, &after);
  completion__buffer b = {0};
  completion__buffer_append(&b, before.s, before.len);
  completion__buffer_append(&b, after.s, after.len);
  if (!q.uri) q.uri = URI;
  set_text(q.uri, b.s);
  completion__buffer_free(&b);
  answer_init(a);
  q.offset = before.len;
  q.on_update = on_update;
  q.on_done = on_done;
  q.user = a;
  assert_int_equal(completion_start(c, &q, NULL), 0);
  wait_for(a);
  assert_true(a->status || (a->replace_start <= before.len && before.len <= a->replace_end));
}

static void ask_mode(answer *a, const char *uri, const char *marked, completion_mode mode) {
  ask_query(a, marked, (completion_query){.uri = uri, .mode = mode});
}

static void ask(answer *a, const char *uri, const char *marked) {
  ask_mode(a, uri, marked, COMPLETION_AUTO);
}

#define BOX                                  \
  "class Box:\n"                             \
  "    def __init__(self, width, height):\n" \
  "        self.width = width\n"             \
  "        self.height = height\n\n"         \
  "    def area(self):\n"                    \
  "        "
/* Several lines are to come here. */
#define THREE "class Box:\n    def __init__(self, width, height, depth):\n        "

#define BOX_END                \
  "\n\n"                       \
  "    def perimeter(self):\n" \
  "        return 2 * (self.width + self.height)\n"

/* ---- tests ----------------------------------------------------------------------------- */

static void test_same_text_twice(void **state) {
  (void)state;
  answer a, b;
  ask(&a, URI, BOX "<|>" BOX_END);
  assert_int_equal(a.status, 0);
  assert_true(a.text[0] && a.stats.tokens > 0 && a.stats.steps > 0);
  assert_true(a.stats.prompt_tokens > 20 && a.stats.prefilled_tokens > 0);
  ask(&b, URI, BOX "<|>" BOX_END);
  assert_string_equal(a.text, b.text);
  assert_int_equal(a.stop, b.stop);
  assert_int_equal(b.stats.tokens, 0); /* it was still known */
  /* and once more with nothing remembered */
  completion_delete(c);
  assert_int_equal(completion_new(&c, the_engine, &small), 0);
  ask(&b, URI, BOX "<|>" BOX_END);
  assert_string_equal(a.text, b.text);
  assert_int_equal(a.stats.tokens, b.stats.tokens);
}

/* With guesses and without: the same text, where words are healed, too. */
static void test_guesses_change_no_text(void **state) {
  (void)state;
  static const char *const places[] = {BOX "<|>" BOX_END, BOX "retu<|>" BOX_END,
                                       BOX "return self.wi<|>" BOX_END, THREE "<|>", "x = <|>\n"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    answer with, without;
    completion_options plain = small;
    plain.no_draft = true;
    completion_delete(c);
    assert_int_equal(completion_new(&c, the_engine, &small), 0);
    ask(&with, URI, places[i]);
    completion_delete(c);
    assert_int_equal(completion_new(&c, the_engine, &plain), 0);
    ask(&without, URI, places[i]);
    assert_string_equal(with.text, without.text);
    assert_int_equal(with.stats.tokens, without.stats.tokens);
    assert_int_equal(with.stop, without.stop);
    assert_int_equal(without.stats.drafted, 0);
    assert_true(with.stats.steps <= without.stats.steps);
  }
}

/* Guesses that reach beyond the line that was asked for: those in the answer count, no others. */
static void test_guesses_beyond_the_end(void **state) {
  (void)state;
  answer lines, line;
  completion_options all = small;
  assert_int_equal(engine_draft_parse("all", &all.draft), 0);
  all.draft.all_of_them = true;
  ask_mode(&lines, "file:///w/b.py", THREE "<|>", COMPLETION_MULTI_LINE);
  assert_non_null(strchr(lines.text, '\n'));
  completion_delete(c);
  assert_int_equal(completion_new(&c, the_engine, &all), 0);
  char text[8192];
  snprintf(text, sizeof text, "%s%s", THREE, lines.text);
  set_text("file:///w/b.py", text); /* from where it will be guessed */
  ask_mode(&line, URI, THREE "<|>", COMPLETION_SINGLE_LINE);
  assert_null(strchr(line.text, '\n'));
  assert_true(line.stats.steps < line.stats.tokens && line.stats.accepted > 0);
  assert_true(line.stats.accepted <= line.stats.tokens);
}

/* Several texts: the first as ever, the others different from it and from each other, also where
 * the first was known already; none where one is asked for. */
static void test_candidates(void **state) {
  (void)state;
  answer one, some, again;
  static const char *const places[] = {BOX "<|>" BOX_END, BOX "return self.<|>" BOX_END, "x = <|>\n"};
  int most = 0;
  for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
    ask_query(&one, places[p], (completion_query){0});
    assert_int_equal(one.n_others, 0);
    ask_query(&some, places[p], (completion_query){.candidates = 4});
    assert_string_equal(some.text, one.text);
    assert_true(some.n_others <= 3);
    if (some.n_others > most) most = some.n_others;
    for (int i = 0; i < some.n_others; i++) {
      assert_true(some.others[i][0] && strcmp(some.others[i], some.text) != 0);
      for (int k = 0; k < i; k++) assert_string_not_equal(some.others[i], some.others[k]);
    }
    assert_true(some.why.confidence > 0 && some.why.confidence <= 1);
    ask_query(&again, places[p], (completion_query){.candidates = 4});
    assert_int_equal(again.n_others, some.n_others);
    for (int i = 0; i < some.n_others; i++) assert_string_equal(again.others[i], some.others[i]);
  }
  assert_int_equal(most, 3);
  /* Steps are told of the first text alone. Without guesses, of which a slow machine makes fewer. */
  completion_options plain = small;
  plain.no_draft = true;
  assert_int_equal(completion_set_options(c, &plain), 0);
  ask_query(&one, "total = <|>\n", (completion_query){0});
  ask_query(&some, "total = <|>\n", (completion_query){.candidates = 4});
  assert_true(some.n_others > 0 && some.stats.steps > 0);
  assert_int_equal(some.stats.steps, one.stats.steps);
  assert_int_equal(completion_set_options(c, &small), 0);
  /* A part of another one is taken: its rest is known. */
  ask_query(&some, "x = <|>\n", (completion_query){.candidates = 4});
  bool went_on = false;
  for (int i = 0; i < some.n_others; i++) {
    size_t n = 0;
    while (some.others[i][n] && some.others[i][n] == some.text[n]) n++;
    if (strlen(some.others[i]) <= n + 1) continue;
    char marked[512];
    snprintf(marked, sizeof marked, "x = %.*s<|>\n", (int)n + 1, some.others[i]);
    ask_query(&one, marked, (completion_query){.automatic = true});
    if (one.why.source != COMPLETION_FROM_RECENT)
      fail_msg("%d: [%s] [%s] after [%s]: [%s] %s", i, some.text, some.others[i], marked, one.text,
               completion_strsource(one.why.source));
    assert_string_equal(one.text, some.others[i] + n + 1);
    assert_int_equal(one.stats.steps, 0);
    went_on = true;
  }
  assert_true(went_on);
  assert_int_equal(completion_start(c, &(completion_query){.uri = URI, .on_done = on_done,
                                                           .candidates = 6}, NULL),
                   COMPLETION_EINVAL);
}

/* A request that nobody made by hand is kept quiet where the options say so, and says why. */
static void test_kept_quiet(void **state) {
  (void)state;
  answer a;
  ask_query(&a, "x = <|>y + 1\n", (completion_query){.automatic = true});
  assert_true(!a.text[0] && a.stats.steps == 0 && a.stats.prefilled_tokens == 0);
  assert_int_equal(a.why.quiet, COMPLETION_QUIET_MID_LINE);
  assert_int_equal(a.why.source, COMPLETION_FROM_NOTHING);
  ask_query(&a, "x = <|>y + 1\n", (completion_query){0});
  assert_true(a.why.quiet != COMPLETION_QUIET_MID_LINE && a.stats.steps > 0);
  /* Nothing can be as sure as that; by hand it is shown all the same. */
  completion_options sure = small;
  sure.confidence = 0.99999f;
  assert_int_equal(completion_set_options(c, &sure), 0);
  ask_query(&a, "import os\nq<|>\n", (completion_query){.automatic = true});
  assert_true(!a.text[0] && a.stats.steps > 0);
  assert_int_equal(a.why.quiet, COMPLETION_QUIET_UNSURE);
  assert_true(a.why.confidence > 0 && a.why.confidence < 0.99999);
  ask_query(&a, "import os\nq<|>\n", (completion_query){0});
  assert_true(a.text[0] && a.why.quiet == COMPLETION_QUIET_NO);
  assert_int_equal(a.why.source, COMPLETION_FROM_RECENT);
}

/* What the editor has indented is not indented further. */
static void test_indented_line(void **state) {
  (void)state;
  static const struct {
    const char *uri, *marked;
  } cases[] = {
      {"file:///w/t.c", "int add(int a, int b) {\n  <|>"},
      {"file:///w/t.c", "static int square(int x)\n{\n\t<|>"},
      {"file:///w/t.c", "void f(int x) {\n  while (x) {\n    x--;\n  }\n}\n\nvoid g(int y) {\n  <|>"},
      {"file:///w/t.js", "function add(a, b) {\n  <|>"},
      {"file:///w/t.go", "func add(a, b int) int {\n\t<|>\n}\n"},
      {"file:///w/t.py", "def add(a, b):\n  <|>"},
  };
  answer a;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ask_query(&a, cases[i].marked, (completion_query){.uri = cases[i].uri});
    if (!a.text[0] || completion__is_blank(a.text[0]))
      fail_msg("%s: [%s]", cases[i].marked, a.text);
  }
}

/* For measuring: a text in the place of the model's own, also inside a word. */
static void test_replayed_text(void **state) {
  (void)state;
  answer a;
  ask_query(&a, BOX "<|>" BOX_END, (completion_query){.replay = "return 7 * self.width\n\n"});
  assert_string_equal(a.text, "return 7 * self.width");
  assert_true(a.stats.tokens > 3 && a.stats.steps <= a.stats.tokens + 2);
  ask_query(&a, BOX "x = se<|>" BOX_END, (completion_query){.replay = "lf.height + 42\n\n"});
  assert_string_equal(a.text, "lf.height + 42");
  ask_query(&a, BOX "x = se<|>" BOX_END,
            (completion_query){.replay = "lf.height + 43\n\n", .candidates = 4});
  assert_string_equal(a.text, "lf.height + 43");
}

/* An answer that stands in the text with the next request was accepted, and is in the pool then;
 * one that does not is not. */
static void test_accepted_answers(void **state) {
  (void)state;
  answer a, b;
  char text[8192];
  ask(&a, URI, BOX "<|>" BOX_END);
  assert_true(a.text[0]);
  size_t before = engine_pool_get_info(completion_pool(c)).live_tokens;
  ask(&b, URI, BOX "x = 1<|>" BOX_END);
  size_t rejected = engine_pool_get_info(completion_pool(c)).live_tokens - before;
  assert_true(rejected < 8); /* what was typed */
  ask(&a, URI, BOX "<|>" BOX_END);
  snprintf(text, sizeof text, "%s%s<|>%s", BOX, a.text, BOX_END);
  ask(&b, URI, text);
  size_t after = engine_pool_get_info(completion_pool(c)).live_tokens;
  engine_tokens t = {0};
  assert_int_equal(engine_tokenize(the_engine, a.text, strlen(a.text), false, &t), 0);
  assert_true(after >= before + 2 * (size_t)t.n - 2); /* in the document, and as accepted */
  engine_tokens_free(&t);
}

static void test_inside_a_word(void **state) {
  (void)state;
  answer a;
  ask(&a, URI, BOX "retu<|>" BOX_END);
  assert_int_equal(strncmp(a.text, "rn", 2), 0);
}

/* Types a text into a document, one character at a time, with a request after each. */
static int type_through(const char *before, const char *typed, const char *after, int *agreed) {
  int most = 0;
  answer a, last;
  for (size_t n = 0; n <= strlen(typed); n++) {
    completion__buffer b = {0};
    completion__buffer_add(&b, before);
    completion__buffer_append(&b, typed, n);
    completion__buffer_add(&b, "<|>");
    completion__buffer_add(&b, after);
    ask(&a, URI, b.s);
    completion__buffer_free(&b);
    assert_int_equal(a.status, 0);
    if (n && a.stats.prefilled_tokens > most) most = a.stats.prefilled_tokens;
    if (n && last.text[0] == typed[n - 1] && last.text[1]) { /* the keystroke agreed */
      assert_int_equal(a.stats.prefilled_tokens, 0);
      assert_int_equal(a.stats.tokens, 0);
      assert_string_equal(a.text, last.text + 1);
      ++*agreed;
    }
    last = a;
  }
  return most;
}

static void test_a_keystroke_costs_a_few_tokens(void **state) {
  (void)state;
  int agreed = 0;
  static const char *const typed[] = {"return self.width * 2",
                                      "if not self.hidden(now):", "zq = xx_yy_zz[\"k\"]"};
  for (size_t i = 0; i < 3; i++) {
    int most = type_through(BOX, typed[i], BOX_END, &agreed);
    if (most > 8) fail_msg("%d prompt tokens for a keystroke of \"%s\"", most, typed[i]);
  }
  assert_true(agreed > 0);
}

static void test_closer_added_by_the_editor(void **state) {
  (void)state;
  answer a;
  ask(&a, URI, BOX "return max<|>" BOX_END);
  ask(&a, URI, BOX "return max(<|>)" BOX_END);
  assert_int_equal(a.status, 0);
  assert_true(a.stats.prefilled_tokens <= 8);
  /* what is shown closes the bracket at most once */
  int depth = 1;
  for (const char *s = a.text; *s; s++) depth += (*s == '(') - (*s == ')');
  depth -= a.replace_end == a.replace_start; /* the editor's own stays */
  assert_true(depth >= 0);
}

static void test_updates(void **state) {
  (void)state;
  answer a;
  ask_mode(&a, URI, THREE "<|>", COMPLETION_MULTI_LINE);
  assert_int_equal(a.status, 0);
  assert_true(a.updates > 0);
  assert_int_equal(strncmp(a.text, a.update, strlen(a.update)), 0); /* the result goes on from it */
}

/* Cut short by max_tokens, of several lines whole ones are shown. */
static void test_limit(void **state) {
  (void)state;
  answer all, some;
  ask_mode(&all, URI, THREE "<|>", COMPLETION_MULTI_LINE);
  for (int n = 7; n < 12; n++) {
    completion_options few = small;
    few.max_tokens = n;
    assert_int_equal(completion_set_options(c, &few), 0);
    ask_mode(&some, URI, THREE "<|>", COMPLETION_MULTI_LINE);
    assert_true(some.stats.tokens <= n);
    assert_true(some.text[0] && strlen(some.text) < strlen(all.text));
    assert_int_equal(strncmp(all.text, some.text, strlen(some.text)), 0);
    assert_int_equal(all.text[strlen(some.text)], '\n');
    assert_int_equal(some.stop, COMPLETION_STOP_LIMIT);
  }
}

static void test_line_ends(void **state) {
  (void)state;
  answer a;
  ask_mode(&a, URI, "class Box:\r\n    def __init__(self, width, height, depth):\r\n        <|>",
           COMPLETION_MULTI_LINE);
  assert_int_equal(a.status, 0);
  assert_non_null(strchr(a.text, '\n'));
  for (const char *s = a.text; (s = strchr(s, '\n')); s++) assert_true(s > a.text && s[-1] == '\r');
}

static void test_selected_text(void **state) {
  (void)state;
  const char *text = BOX "return self.wi" BOX_END;
  set_text(URI, text);
  size_t at = strlen(BOX "return self.wi");
  answer a;
  answer_init(&a);
  completion_query q = {.uri = URI,
                        .offset = at,
                        .selected_text = "width",
                        .selected_start = at - 2,
                        .selected_end = at,
                        .on_done = on_done,
                        .user = &a};
  assert_int_equal(completion_start(c, &q, NULL), 0);
  wait_for(&a);
  assert_int_equal(a.status, 0);
  assert_true(a.text[0] == 0 || strncmp(a.text, "width", 5) == 0);
  if (a.text[0]) assert_int_equal(a.replace_start, at - 2);
  q.selected_start = at + 1;
  assert_int_equal(completion_start(c, &q, NULL), COMPLETION_EINVAL);
  q.selected_start = 3; /* another line */
  assert_int_equal(completion_start(c, &q, NULL), COMPLETION_EINVAL);
}

static void test_refused(void **state) {
  (void)state;
  answer a;
  answer_init(&a);
  set_text(URI, "a\xC3\xA9\n");
  completion_query q = {.uri = "file:///other", .on_done = on_done, .user = &a};
  completion_job *job = (completion_job *)1;
  assert_int_equal(completion_start(c, &q, &job), COMPLETION_EINVAL);
  assert_null(job);
  q.uri = URI;
  q.offset = 5;
  assert_int_equal(completion_start(c, &q, NULL), COMPLETION_EINVAL);
  q.offset = 2; /* inside a character */
  assert_int_equal(completion_start(c, &q, NULL), COMPLETION_EINVAL);
  q.offset = 0;
  q.on_done = NULL;
  assert_int_equal(completion_start(c, &q, NULL), COMPLETION_EINVAL);
  assert_int_equal(completion_start(c, NULL, NULL), COMPLETION_EINVAL);
  assert_int_equal(a.done, 0);
  completion_options wrong = {.temperature = -1};
  assert_int_equal(completion_set_options(c, &wrong), COMPLETION_EINVAL);
  completion_document d = {.uri = URI, .text = NULL, .len = 3};
  assert_int_equal(completion_document_set(c, &d), COMPLETION_EINVAL);
}

/* A job that keeps the engine thread until it is let go. */
typedef struct blocker {
  engine_job job;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool entered, go, left;
} blocker;

static void block(engine_job *job) {
  blocker *b = (blocker *)job;
  pthread_mutex_lock(&b->lock);
  b->entered = true;
  pthread_cond_broadcast(&b->changed);
  while (!b->go) pthread_cond_wait(&b->changed, &b->lock);
  b->left = true;
  pthread_cond_broadcast(&b->changed);
  pthread_mutex_unlock(&b->lock);
}

static void blocker_start(blocker *b) {
  memset(b, 0, sizeof *b);
  b->job.run = block;
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->changed, NULL);
  engine_post(the_engine, &b->job);
  pthread_mutex_lock(&b->lock);
  while (!b->entered) pthread_cond_wait(&b->changed, &b->lock);
  pthread_mutex_unlock(&b->lock);
}

static void blocker_end(blocker *b) {
  pthread_mutex_lock(&b->lock);
  b->go = true;
  pthread_cond_broadcast(&b->changed);
  while (!b->left) pthread_cond_wait(&b->changed, &b->lock);
  pthread_mutex_unlock(&b->lock);
}

static void test_cancel_while_queued(void **state) {
  (void)state;
  blocker b;
  blocker_start(&b);
  set_text(URI, BOX BOX_END);
  answer a[3];
  completion_job *jobs[3];
  for (int i = 0; i < 3; i++) {
    answer_init(&a[i]);
    completion_query q = {.uri = URI, .offset = strlen(BOX), .on_done = on_done, .user = &a[i]};
    assert_int_equal(completion_start(c, &q, &jobs[i]), 0);
  }
  completion_job_cancel(jobs[0]);
  completion_job_cancel(jobs[0]);
  completion_job_cancel(jobs[2]);
  completion_job_release(jobs[2]); /* before it ran */
  assert_int_equal(a[0].done + a[1].done + a[2].done, 0);
  set_text(URI, "changed = True\n"); /* the requests see the text of their time */
  blocker_end(&b);
  for (int i = 0; i < 3; i++) wait_for(&a[i]);
  assert_int_equal(a[0].status, COMPLETION_ECANCELLED);
  assert_int_equal(a[0].stop, COMPLETION_STOP_CANCELLED);
  assert_int_equal(a[1].status, 0);
  assert_int_equal(a[1].replace_start, strlen(BOX));
  assert_int_equal(a[2].status, COMPLETION_ECANCELLED);
  completion_job_cancel(jobs[0]); /* after it was over: nothing */
  completion_job_release(jobs[0]);
  completion_job_release(jobs[1]);
}

static void test_cancel_while_decoding(void **state) {
  (void)state;
  const char *text = THREE;
  set_text(URI, text);
  blocker b;
  blocker_start(&b);
  answer a;
  answer_init(&a);
  completion_query q = {.uri = URI,
                        .offset = strlen(text),
                        .mode = COMPLETION_MULTI_LINE,
                        .on_update = on_update,
                        .on_done = on_done,
                        .user = &a};
  completion_job *job;
  assert_int_equal(completion_start(c, &q, &job), 0);
  a.cancel_on_update = job;
  blocker_end(&b);
  wait_for(&a);
  assert_int_equal(a.updates, 1);
  assert_int_equal(a.status, COMPLETION_ECANCELLED);
  assert_int_equal(a.stats.tokens, a.update_tokens); /* no step after the one that it came in */
  completion_job_release(job);
  /* the next goes on where that one was, and gives what it would have given */
  answer again, fresh;
  completion__buffer marked = {0};
  completion__buffer_add(&marked, text);
  completion__buffer_add(&marked, "<|>");
  ask_mode(&again, URI, marked.s, COMPLETION_MULTI_LINE);
  assert_int_equal(again.status, 0);
  assert_true(again.stats.prefilled_tokens <= 1);
  completion_delete(c);
  assert_int_equal(completion_new(&c, the_engine, &small), 0);
  ask_mode(&fresh, URI, marked.s, COMPLETION_MULTI_LINE);
  assert_int_equal(strncmp(again.text, fresh.text, strlen(fresh.text)), 0);
  completion__buffer_free(&marked);
}

/* Cancels at whatever moment the race gives: one answer all the same. */
static void test_cancel_at_any_time(void **state) {
  (void)state;
  for (int i = 0; i < 12; i++) {
    char text[600];
    snprintf(text, sizeof text, "x%d = 1\n" BOX BOX_END, i);
    set_text(URI, text);
    answer a;
    answer_init(&a);
    completion_query q = {
        .uri = URI, .offset = strlen(text) - strlen(BOX_END), .on_done = on_done, .user = &a};
    completion_job *job;
    assert_int_equal(completion_start(c, &q, &job), 0);
    for (volatile int spin = 0; spin < i * i * 100000; spin++) continue;
    if (i % 3 == 0) completion_document_remove(c, URI);
    completion_job_cancel(job);
    if (i % 2) completion_job_release(job);
    wait_for(&a);
    assert_true(a.status == 0 || a.status == COMPLETION_ECANCELLED);
    assert_true(a.stats.late_steps <= 1); /* the one under way */
    if (i % 2 == 0) completion_job_release(job);
  }
}

static void test_delete_with_requests_under_way(void **state) {
  (void)state;
  answer a[4];
  for (int i = 0; i < 4; i++) {
    char uri[40];
    snprintf(uri, sizeof uri, "file:///w/%d.py", i);
    set_text(uri, BOX BOX_END);
    answer_init(&a[i]);
    completion_query q = {.uri = uri, .offset = strlen(BOX), .on_done = on_done, .user = &a[i]};
    assert_int_equal(completion_start(c, &q, NULL), 0);
  }
  completion_delete(c);
  for (int i = 0; i < 4; i++) assert_int_equal(a[i].done, 1);
  assert_int_equal(completion_new(&c, the_engine, &small), 0);
}

static void test_samples(void **state) {
  (void)state;
  static const char *const files[] = {"c/queue.c", "py/inventory.py", "ts/cache.ts",
                                      "go/limiter.go", "rs/tokens.rs"};
  for (size_t i = 0; i < 5; i++) {
    char path[100], uri[100];
    snprintf(path, sizeof path, SAMPLES "%s", files[i]);
    snprintf(uri, sizeof uri, "file:///w/%s", files[i]);
    completion__buffer b = read_sample(path);
    size_t middle = completion__line_end(completion__buffer_slice(&b), b.len / 2);
    for (int step = 0; step < 2;
         step++, middle = completion__line_end(completion__buffer_slice(&b), middle + 30)) {
      completion__buffer marked = {0};
      completion__buffer_append(&marked, b.s, middle - 4);
      completion__buffer_add(&marked, "<|>");
      completion__buffer_append(&marked, b.s + middle - 4, b.len - middle + 4);
      answer a;
      ask(&a, uri, marked.s);
      assert_int_equal(a.status, 0);
      assert_true(a.stats.prompt_tokens <= small.prompt_tokens + 8);
      assert_null(strstr(a.text, "<|"));
      completion__buffer_free(&marked);
    }
    completion__buffer_free(&b);
  }
}

static void test_a_model_without_fim(void **state) {
  (void)state;
  engine *other = NULL;
  char err[256] = "";
  engine_options options = {.model = "tests/data/tiny-random-hd128"};
  if (engine_open(&other, &options, err, sizeof err)) fail_msg("%s", err);
  completion *unfit = NULL;
  assert_int_equal(completion_new(&unfit, other, NULL), 0);
  completion_document d = {.uri = URI, .text = "x", .len = 1};
  assert_int_equal(completion_document_set(unfit, &d), 0);
  answer a;
  answer_init(&a);
  completion_query q = {.uri = URI, .on_done = on_done, .user = &a};
  assert_int_equal(completion_start(unfit, &q, NULL), COMPLETION_EUNFIT);
  assert_int_equal(a.done, 0);
  completion_delete(unfit);
  engine_close(other);
  completion_delete(NULL);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_completion, close_completion)
  const struct CMUnitTest tests[] = {
      TEST(test_same_text_twice),
      TEST(test_guesses_change_no_text),
      TEST(test_guesses_beyond_the_end),
      TEST(test_indented_line),
      TEST(test_replayed_text),
      TEST(test_candidates),
      TEST(test_kept_quiet),
      TEST(test_accepted_answers),
      TEST(test_inside_a_word),
      TEST(test_a_keystroke_costs_a_few_tokens),
      TEST(test_closer_added_by_the_editor),
      TEST(test_updates),
      TEST(test_limit),
      TEST(test_line_ends),
      TEST(test_selected_text),
      TEST(test_refused),
      TEST(test_cancel_while_queued),
      TEST(test_cancel_while_decoding),
      TEST(test_cancel_at_any_time),
      TEST(test_delete_with_requests_under_way),
      TEST(test_samples),
      cmocka_unit_test(test_a_model_without_fim),
  };
  return cmocka_run_group_tests(tests, open_engine, close_engine);
}
