/* The prompt's layout, token by token, and its budget. The expected prompts are written out
 * with the special tokens' names and tokenized as the reference does. */
#include "completion/prompt.h"
#include "completion/window.h"
#include "helper.h"

static engine *the_engine;
static completion__parser *parser;

static int open_engine(void **state) {
  (void)state;
  char err[256] = "";
  engine_options options = {.backend = "cpu-reference"};
  if (engine_open(&the_engine, &options, err, sizeof err)) fail_msg("%s", err);
  parser = completion__parser_new(INFINITY);
  return parser == NULL;
}

static int close_engine(void **state) {
  (void)state;
  completion__parser_delete(parser);
  engine_close(the_engine);
  return 0;
}

typedef struct fixture {
  completion__settled *settled; /* NULL: each prompt from scratch */
  completion__documents documents;
  completion__view views[8];
  int n_views;
  completion__slice before, after;
  completion__prompt prompt;
} fixture;

static void set(fixture *f, const char *uri, const char *text, size_t len) {
  completion_document d = {.uri = uri, .text = text, .len = len};
  assert_int_equal(completion__documents_set(&f->documents, &d), 0);
}

/* Builds the prompt for the document at `offset` of its text. */
static int build_at(fixture *f, const char *uri, size_t offset, int budget, bool no_context) {
  for (int i = 0; i < f->n_views; i++) completion__view_release(&f->views[i]);
  completion__prompt_free(&f->prompt);
  f->n_views = completion__documents_view(
      &f->documents, completion__documents_find(&f->documents, uri), f->views, 8);
  completion__slice t = completion__text_slice(f->views[0].text);
  f->before = completion__slice_cut(t, 0, offset);
  f->after = completion__slice_cut(t, offset, t.len);
  completion__prompt_request r = {.engine = the_engine,
                                  .parser = parser,
                                  .views = f->views,
                                  .n_views = f->n_views,
                                  .before = f->before,
                                  .after = f->after,
                                  .budget = budget,
                                  .no_context = no_context,
                                  .settled = f->settled};
  return completion__prompt_build(&r, &f->prompt);
}

static int build(fixture *f, const char *uri, const char *marked, int budget, bool no_context) {
  completion__slice before, after;
  split_at_cursor(marked, &before, &after);
  completion__buffer b = {0};
  completion__buffer_append(&b, before.s, before.len);
  completion__buffer_append(&b, after.s, after.len);
  set(f, uri, b.s, b.len);
  completion__buffer_free(&b);
  return build_at(f, uri, before.len, budget, no_context);
}

static void done(fixture *f) {
  for (int i = 0; i < f->n_views; i++) completion__view_release(&f->views[i]);
  completion__prompt_free(&f->prompt);
  completion__documents_free(&f->documents);
}

static void append_text_of(const engine_tokens *t, int from, int to, completion__buffer *out) {
  for (int i = from; i < to; i++) {
    size_t len;
    const char *s = engine_token_text(the_engine, t->ids[i], &len);
    assert_int_equal(completion__buffer_append(out, s, len), 0);
  }
}

static void expect_prompt(const fixture *f, const char *expected) {
  engine_tokens t = {0};
  assert_int_equal(engine_tokenize(the_engine, expected, strlen(expected), true, &t), 0);
  completion__buffer got = {0};
  append_text_of(&f->prompt.tokens, 0, f->prompt.tokens.n, &got);
  assert_string_equal(got.s, expected);
  assert_int_equal(t.n, f->prompt.tokens.n);
  assert_memory_equal(t.ids, f->prompt.tokens.ids, (size_t)t.n * sizeof *t.ids);
  completion__buffer_free(&got);
  engine_tokens_free(&t);
}

static void test_file_level(void **state) {
  (void)state;
  fixture f = {0};
  assert_int_equal(build(&f, "file:///w/a.py", "def f(a):\n    return<|>\n\nf(1)\n", 512, false),
                   0);
  expect_prompt(&f, "<|fim_prefix|>def f(a):\n    return<|fim_suffix|>\n\nf(1)\n<|fim_middle|>");
  assert_int_equal(build(&f, "file:///w/a.py", "<|>", 512, false), 0);
  expect_prompt(&f, "<|fim_prefix|><|fim_suffix|><|fim_middle|>");
  done(&f);
}

static void test_users_text_is_no_command(void **state) {
  (void)state;
  fixture f = {0};
  const engine_special *s = &engine_get_info(the_engine)->special;
  assert_int_equal(build(&f, "file:///w/a.py",
                         "x = '<|fim_middle|>'\ny = <|>\nz = '<|endoftext|>'\n", 512, true),
                   0);
  int specials = 0;
  for (int i = 0; i < f.prompt.tokens.n; i++)
    specials += engine_token_is_special(the_engine, f.prompt.tokens.ids[i]);
  assert_int_equal(specials, 3);
  assert_int_equal(f.prompt.tokens.ids[0], s->fim_prefix);
  assert_int_equal(f.prompt.tokens.ids[f.prompt.tokens.n - 1], s->fim_middle);
  done(&f);
}

static void test_repository_level(void **state) {
  (void)state;
  fixture f = {0};
  assert_int_equal(completion__documents_root_add(&f.documents, "/home/me/shop"), 0);
  const char *helper = "def helper(a, b):\n    return a + b\n\n\ndef other(c):\n    return c\n";
  const char *base = "class Thing:\n    size = 1\n";
  set(&f, "file:///home/me/shop/src/helper.py", helper, strlen(helper));
  set(&f, "file:///home/me/shop/base.py", base, strlen(base));
  const char *text = "x = Thing()\ny = helper(<|>)\n";
  assert_int_equal(build(&f, "file:///home/me/shop/main.py", text, 512, false), 0);
  assert_int_equal(f.prompt.pieces, 2);
  expect_prompt(&f,
                "<|repo_name|>shop\n"
                "<|file_sep|>base.py\nclass Thing:\n    size = 1\n"
                "<|file_sep|>src/helper.py\ndef helper(a, b): ...\n"
                "<|file_sep|>main.py\n"
                "<|fim_prefix|>x = Thing()\ny = helper(<|fim_suffix|>)\n<|fim_middle|>");
  /* switched off */
  assert_int_equal(build(&f, "file:///home/me/shop/main.py", text, 512, true), 0);
  expect_prompt(&f, "<|fim_prefix|>x = Thing()\ny = helper(<|fim_suffix|>)\n<|fim_middle|>");
  /* no room for it */
  assert_int_equal(build(&f, "file:///home/me/shop/main.py", text, 34, false), 0);
  expect_prompt(&f, "<|fim_prefix|>x = Thing()\ny = helper(<|fim_suffix|>)\n<|fim_middle|>");
  done(&f);
}

static completion__buffer long_source(int functions) {
  completion__buffer b = {0};
  completion__buffer_add(&b, "import os\nimport sys\n\n\n");
  for (int i = 0; i < functions; i++) {
    char part[200];
    snprintf(
        part, sizeof part,
        "def function_%d(first, second):\n    total = first * %d + second\n    return total\n\n\n",
        i, i);
    completion__buffer_add(&b, part);
  }
  return b;
}

/* The prefix's text in the prompt: between its first token and <|fim_suffix|>. */
static completion__buffer prefix_of(const fixture *f) {
  const engine_special *s = &engine_get_info(the_engine)->special;
  int from = 0, to;
  while (f->prompt.tokens.ids[from] != s->fim_prefix) from++;
  for (to = from; f->prompt.tokens.ids[to] != s->fim_suffix;) to++;
  completion__buffer b = {0};
  append_text_of(&f->prompt.tokens, from + 1, to, &b);
  return b;
}

static void test_budget(void **state) {
  (void)state;
  fixture f = {0};
  completion__buffer b = long_source(120);
  set(&f, "file:///w/a.py", b.s, b.len);
  for (int budget = COMPLETION__PROMPT_MIN; budget < 1200; budget += 41) {
    size_t offset =
        completion__slice_find(completion__buffer_slice(&b), 0, slice("function_60(")) + 45;
    assert_int_equal(build_at(&f, "file:///w/a.py", offset, budget, budget % 2), 0);
    assert_true(f.prompt.tokens.n <= budget);
    assert_true(f.prompt.tokens.n > budget / 3); /* and not wasteful */
    completion__buffer prefix = prefix_of(&f);
    completion__slice line = completion__slice_cut(
        f.before, completion__line_start(f.before, f.before.len), f.before.len);
    assert_true(prefix.len >= line.len);
    assert_memory_equal(prefix.s + prefix.len - line.len, line.s,
                        line.len); /* it ends at the cursor */
    completion__buffer_free(&prefix);
  }
  assert_int_equal(build_at(&f, "file:///w/a.py", 10, COMPLETION__PROMPT_MIN - 1, false),
                   COMPLETION_EINVAL);
  completion__buffer_free(&b);
  done(&f);
}

static void test_one_long_line(void **state) {
  (void)state;
  fixture f = {0};
  completion__buffer b = {0};
  for (int i = 0; i < 4000; i++)
    completion__buffer_add(&b, i % 3 ? "x\xC3\xA9 + " : "(\xE2\x82\xAC) * ");
  set(&f, "file:///w/a.py", b.s, b.len);
  for (size_t offset = 0; offset <= b.len; offset += 1511) {
    size_t at = offset;
    while (at < b.len && completion__utf8_inside(b.s[at])) at++;
    assert_int_equal(build_at(&f, "file:///w/a.py", at, 200, false), 0);
    assert_true(f.prompt.tokens.n <= 200);
    completion__buffer prefix = prefix_of(&f);
    assert_int_equal(completion__utf8_valid(completion__buffer_slice(&prefix)),
                     prefix.len); /* cut between characters */
    completion__buffer_free(&prefix);
  }
  completion__buffer_free(&b);
  done(&f);
}

/* Going down the file line by line, the place where the prefix begins moves rarely. */
static void test_start_is_stable(void **state) {
  (void)state;
  fixture f = {0};
  completion__buffer b = long_source(120);
  set(&f, "file:///w/a.py", b.s, b.len);
  size_t at = completion__slice_find(completion__buffer_slice(&b), 0, slice("def function_60("));
  char last[40] = "";
  int moves = 0, lines = 64;
  for (int i = 0; i < lines; i++) {
    assert_int_equal(build_at(&f, "file:///w/a.py", at, 800, true), 0);
    completion__buffer prefix = prefix_of(&f);
    moves += i > 0 && strncmp(last, prefix.s, sizeof last - 1) != 0;
    snprintf(last, sizeof last, "%s", prefix.s);
    completion__buffer_free(&prefix);
    at = completion__line_end(completion__buffer_slice(&b), at) + 1;
  }
  assert_true(moves >= 1 && moves <= lines / 6);
  completion__buffer_free(&b);
  done(&f);
}

static void test_heads_of_what_is_left_out(void **state) {
  (void)state;
  fixture f = {0};
  completion__buffer b = {0};
  completion__buffer_add(&b,
                         "import decimal\n\n\nclass Account:\n    def __init__(self, owner):\n     "
                         "   self.owner = owner\n\n");
  for (int i = 0; i < 60; i++) {
    char part[100];
    snprintf(part, sizeof part, "    def rule_%d(self, amount):\n        return amount > %d\n\n", i,
             i);
    completion__buffer_add(&b, part);
  }
  completion__buffer_add(&b,
                         "    def check(self, amount):\n        return self.rule_3(amount) and ");
  set(&f, "file:///w/a.py", b.s, b.len);
  assert_int_equal(build_at(&f, "file:///w/a.py", b.len, 300, false), 0);
  completion__buffer prefix = prefix_of(&f);
  assert_true(strncmp(prefix.s, "import decimal\n", 15) == 0);
  assert_non_null(strstr(prefix.s, "class Account:\n"));
  assert_non_null(strstr(prefix.s, "def rule_3(self, amount): ...\n"));
  assert_null(strstr(prefix.s, "def rule_5(self"));
  assert_true(f.prompt.pieces >= 3);
  completion__buffer_free(&prefix);
  completion__buffer_free(&b);
  done(&f);
}

static void append_prompt(const fixture *f, completion__buffer *out) {
  append_text_of(&f->prompt.tokens, 0, f->prompt.tokens.n, out);
}

/* Line by line downwards, with another document's signatures in front: most prompts begin as
 * the one before did, up to the lines that are new. */
static void test_settled(void **state) {
  (void)state;
  completion__settled settled = {0};
  fixture f = {.settled = &settled};
  completion__buffer b = long_source(120);
  const char *helper = "def function_70(a, b):\n    return a\n\n\ndef total(c):\n    return c\n";
  set(&f, "file:///w/helper.py", helper, strlen(helper));
  set(&f, "file:///w/a.py", b.s, b.len);
  size_t at = completion__slice_find(completion__buffer_slice(&b), 0, slice("def function_60("));
  engine_tokens last = {0};
  int anew = 0, lines = 60;
  for (int i = 0; i < lines; i++) {
    assert_int_equal(build_at(&f, "file:///w/a.py", at, 900, false), 0);
    assert_true(f.prompt.tokens.n <= 900);
    int same = 0, n = f.prompt.tokens.n;
    while (same < n && same < last.n && last.ids[same] == f.prompt.tokens.ids[same]) same++;
    anew += same < n - 300; /* a quarter is the suffix */
    last.n = 0;
    assert_int_equal(engine_tokens_append(&last, f.prompt.tokens.ids, n), 0);
    at = completion__line_end(completion__buffer_slice(&b), at) + 1;
  }
  assert_true(anew <= lines / 6);
  engine_tokens_free(&last);

  /* what changed is not settled any more */
  completion__buffer text = {0};
  append_prompt(&f, &text);
  assert_non_null(strstr(text.s, "def total(c): ...\n"));
  const char *changed = "def total(c, d):\n    return c\n";
  set(&f, "file:///w/helper.py", changed, strlen(changed));
  assert_int_equal(build_at(&f, "file:///w/a.py", at, 900, false), 0);
  text.len = 0;
  append_prompt(&f, &text);
  assert_non_null(strstr(text.s, "def total(c, d): ...\n"));
  assert_null(strstr(text.s, "def total(c): ...\n"));

  /* nor after a jump to another place, or in another document */
  assert_int_equal(build_at(&f, "file:///w/a.py", 400, 900, false), 0);
  completion__buffer prefix = prefix_of(&f);
  assert_non_null(strstr(prefix.s, "import os\nimport sys\n\n\ndef function_0("));
  completion__buffer_free(&prefix);
  assert_int_equal(build_at(&f, "file:///w/helper.py", 3, 900, false), 0);
  prefix = prefix_of(&f);
  assert_slice(completion__buffer_slice(&prefix), "def");
  completion__buffer_free(&prefix);
  completion__buffer_free(&text);
  completion__buffer_free(&b);
  completion__settled_clear(&settled);
  done(&f);
}

static void test_heal(void **state) {
  (void)state;
  static const struct {
    const char *line, *healed;
  } cases[] = {
      {"", ""},
      {"foo", "foo"},
      {"x = foo", " foo"},
      {"a.foo", ".foo"},
      {"    ", "    "},
      {"x = ", " "},
      {"f(", "("},
      {"x +=", " +="},
      {"f();", "();"},
      {"a caf\xC3\xA9", " caf\xC3\xA9"},
      {"x = 12", ""},
      {"\tx", "\tx"},
      {"my_var", "_var"},
      {"__all", "all"},
      {"x1y", "y"},
      {"a = (x", "x"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    completion__slice line = slice(cases[i].line);
    size_t n = completion__window_heal(line);
    assert_true(n <= line.len);
    assert_slice(completion__slice_cut(line, line.len - n, line.len), cases[i].healed);
  }
  char longer[200];
  memset(longer, 'a', sizeof longer);
  assert_in_range(completion__window_heal(completion__slice_of(longer, sizeof longer)), 1, 32);
}

/* Piece by piece, remembered or not, a text has the tokens that it has as a whole. */
static void test_memo(void **state) {
  (void)state;
  static const char *const parts[] = {"\n",   "\n\n", " ",  "    ", "\t",      "\r",     "\r\n",
                                      "foo",  "Bar1", "()", ");",   "\xC3\xA9", "\xCC\x81", "\xC2\xA0",
                                      "\xE2\x80\xA8", "  // x", "'s", "12", "{\n", "\x0B", "\x01"};
  completion__memo *memo = calloc(1, sizeof *memo);
  unsigned seed = 4;
  for (int round = 0; round < 3000; round++) {
    completion__buffer b = {0};
    int n = (int)((seed = seed * 1664525u + 1013904223u) / 65536 % 24);
    for (int i = 0; i < n; i++)
      completion__buffer_add(&b, parts[(seed = seed * 1664525u + 1013904223u) / 65536 % 21]);
    engine_tokens whole = {0}, pieces = {0};
    assert_int_equal(engine_tokenize(the_engine, b.s ? b.s : "", b.len, false, &whole), 0);
    completion__slice t = completion__buffer_slice(&b);
    assert_int_equal(completion__memo_tokenize(memo, the_engine, t, &pieces), whole.n);
    assert_int_equal(completion__memo_tokenize(memo, the_engine, t, NULL), whole.n);
    assert_int_equal(pieces.n, whole.n);
    if (whole.n)
      assert_memory_equal(pieces.ids, whole.ids, (size_t)whole.n * sizeof *whole.ids);
    engine_tokens_free(&whole);
    engine_tokens_free(&pieces);
    completion__buffer_free(&b);
  }
  completion__memo_clear(memo);
  free(memo);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_file_level),
      cmocka_unit_test(test_users_text_is_no_command),
      cmocka_unit_test(test_repository_level),
      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_one_long_line),
      cmocka_unit_test(test_start_is_stable),
      cmocka_unit_test(test_heads_of_what_is_left_out),
      cmocka_unit_test(test_settled),
      cmocka_unit_test(test_heal),
      cmocka_unit_test(test_memo),
  };
  return cmocka_run_group_tests(tests, open_engine, close_engine);
}
