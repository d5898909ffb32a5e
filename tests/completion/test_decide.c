/* What is not asked for, and how much of what was written is shown: the gate, on texts that the
 * model is taken to have written. */
#include "completion/gate.h"
#include "completion/run.h"
#include "helper.h"

#include <math.h>

static completion c;
static completion__documents documents;

static int set_up(void **state) {
  (void)state;
  c.parser = completion__parser_new(INFINITY);
  return c.parser == NULL;
}

static int tear_down(void **state) {
  (void)state;
  completion__parser_delete(c.parser);
  completion__documents_free(&documents);
  return 0;
}

/* A run at the mark of the document, that has written the text. */
static void begin(completion__run *r, completion_job *j, const char *uri, const char *marked,
                  const char *written) {
  completion__slice before, after;
  completion__buffer text = {0};
  split_at_cursor(marked, &before, &after);
  assert_int_equal(completion__buffer_append(&text, before.s, before.len), 0);
  assert_int_equal(completion__buffer_append(&text, after.s, after.len), 0);
  completion_document d = {.uri = uri, .text = text.s ? text.s : "", .len = text.len};
  assert_int_equal(completion__documents_set(&documents, &d), 0);
  completion__buffer_free(&text);
  *j = (completion_job){.owner = &c, .options = {.max_lines = 8, .max_tokens = 64}};
  j->n_views = completion__documents_view(
      &documents, completion__documents_find(&documents, uri), j->views, 1);
  j->offset = before.len;
  *r = (completion__run){.j = j, .c = &c};
  assert_int_equal(completion__run_find_cursor(r), 0);
  completion__stop_init(&r->stop_rules, j->views[0].text->language, r->before, r->after,
                        COMPLETION_AUTO, 8);
  assert_int_equal(completion__buffer_add(&r->text, written), 0);
  r->keep = r->text.len;
}

static void end(completion__run *r) {
  completion__run_free(r);
  completion__view_release(&r->j->views[0]);
}

static void test_gate(void **state) {
  (void)state;
  static const struct {
    const char *uri, *marked, *written, *kept; /* kept NULL: nothing */
  } cases[] = {
      {"a.py", "x = <|>\n", "1 + 2", "1 + 2"},
      {"a.py", "x = <|>\n", "foo(1, 2)", "foo(1, 2)"},
      {"a.py", "x = <|>\n", "foo(1).bar(2,", "foo(1).bar"}, /* as far as it can be read */
      {"a.py", "def f():\n    <|>\n", "a = 1\n    return (a\n", "a = 1"},
      {"a.py", "def f():\n    <|>\n", "a = 1\n    b = )\n    c = 2", "a = 1"},
      {"a.py", "def f():\n    return 1\n<|>\n", "= = 3 (", NULL},
      {"a.py", "x = foo(<|>)\n", "1, 2)", "1, 2)"}, /* the closer is absorbed, not doubled */
      {"a.c", "int f(void) {\n  <|>\n}\n", "return 1;", "return 1;"},
      {"a.c", "int f(void) {\n  <|>\n}\n", "int x = 1;\n  if (x) {\n    x = 2;", "int x = 1;"},
      {"a.c", "int f(void) {\n  int x = g(<|>\n}\n", "1, 2", "1, 2"}, /* broken before, no more so */
      {"a.ts", "const f = <|>\n", "(a + b) * {", "(a + b)"},
      {"a.ts", "const f = <|>\n", "(a: number) => a + 1;", "(a: number) => a + 1;"},
      {"a.go", "package a\n\nfunc f() int {\n\t<|>\n}\n", "x := 1\n\treturn x", "x := 1\n\treturn x"},
      {"a.rs", "fn f() -> i32 {\n    <|>\n}\n", "let x = 1;\n    x }", "let x = 1;"},
      {"a.json", "{\"a\": [<|>]}\n", ", {", NULL},
      {"a.json", "{\"a\": [<|>]}\n", "1, {2", "1"},
      {"a.txt", "a <|>\n", ") ] }", ") ] }"}, /* no grammar */
  };
  size_t n = sizeof cases / sizeof *cases, ahead = 0;
  for (size_t k = 0; k < 2 * n; k++) {
    size_t i = k % n;
    completion_job j;
    completion__run r;
    begin(&r, &j, cases[i].uri, cases[i].marked, cases[i].written);
    size_t all = r.keep;
    if (k >= n) completion__decide_prepare(&r); /* makes no difference */
    ahead += r.baseline.open;
    assert_int_equal(completion__decide_shown(&r), 0);
    const char *kept = cases[i].kept ? cases[i].kept : "";
    if (r.keep != strlen(kept) || memcmp(r.text.s, kept, r.keep) != 0)
      fail_msg("%s %s + %s: kept \"%.*s\"", cases[i].uri, cases[i].marked, cases[i].written,
               (int)r.keep, r.text.s);
    assert_int_equal(r.verdict.quiet,
                     cases[i].kept ? COMPLETION_QUIET_NO : COMPLETION_QUIET_BROKEN);
    assert_int_equal(r.verdict.cut, (int)(all - r.keep));
    assert_int_equal(r.verdict.gated, strcmp(cases[i].uri, "a.txt") != 0);
    end(&r);
  }
  assert_int_not_equal(ahead, 0);
}

static void test_gate_off(void **state) {
  (void)state;
  completion_job j;
  completion__run r;
  begin(&r, &j, "b.py", "x = <|>\n", "foo(1, 2");
  j.options.no_gate = true;
  assert_int_equal(completion__decide_shown(&r), 0);
  assert_true(r.keep == r.text.len && !r.verdict.gated);
  end(&r);
}

/* Where there is no time for the grammar, that is said, and the text is shown as it is. */
static void test_gate_without_time(void **state) {
  (void)state;
  completion_job j;
  completion__run r;
  completion__parser *patient = c.parser;
  for (int hurried = 0; hurried < 2; hurried++) {
    begin(&r, &j, "d.py", "x = <|>\n", "foo(1, 2");
    if (hurried) c.parser = completion__parser_new(0);
    assert_non_null(c.parser);
    assert_int_equal(completion__decide_shown(&r), 0);
    assert_int_equal(r.verdict.unjudged, hurried);
    assert_int_equal(r.verdict.gated, !hurried);
    assert_int_equal(r.keep == r.text.len, hurried);
    end(&r);
  }
  completion__parser_delete(c.parser);
  c.parser = patient;
}

/* Where there is time for some of the questions only, that is said: else the text is what it is
 * with all the time. */
static void test_gate_hurried(void **state) {
  (void)state;
  static const char *const cases[][2] = {{"d.py", "x = 1\n<|>\n"}, {"e.py", "if (\n<|>\n"}};
  completion_job j;
  completion__run r;
  completion__parser *patient = c.parser;
  for (int i = 0; i < 2; i++) {
    size_t kept = 0;
    for (int n = 0; n < 200; n++) {
      begin(&r, &j, cases[i][0], cases[i][1], "y = f(1) + g(2) + 3 = 4 (");
      size_t all = r.text.len;
      if (n) c.parser = completion__parser_new(n / 8.0); /* of it the gate has a share */
      assert_non_null(c.parser);
      assert_int_equal(completion__decide_shown(&r), 0);
      if (n == 0) kept = r.keep;
      if (n == 0) assert_false(r.verdict.unjudged || r.verdict.hurried);
      if (r.verdict.unjudged) assert_int_equal(r.keep, all);
      if (!r.verdict.unjudged && !r.verdict.hurried) assert_int_equal(r.keep, kept);
      end(&r);
      if (n) completion__parser_delete(c.parser);
      c.parser = patient;
    }
  }
}

/* Each question says so where nothing is left for it. */
static void test_gate_short_of_time(void **state) {
  (void)state;
  completion_job j;
  completion__run r;
  begin(&r, &j, "e.py", "x = 1\n<|>\n", "= 3 (");
  completion__gate_budget b = completion__gate_begin(c.parser, NULL);
  const completion__view *v = &j.views[0];
  completion__slice none = {0};
  assert_int_equal(completion__gate_reads(&b, v->document, v->text, 6, 6, none), 1);
  assert_int_equal(completion__gate_reads(&b, v->document, v->text, 6, 6,
                                          completion__buffer_slice(&r.text)), 0);
  b.steps = 0;
  completion__gate g;
  assert_false(completion__gate_open(&g, &b, v->text->language, completion__text_slice(v->text), 6,
                                     6));
  assert_int_equal(completion__gate_reads(&b, v->document, v->text, 6, 6,
                                          completion__buffer_slice(&r.text)), -1);
  b.steps = 1;
  assert_true(completion__gate_open(&g, &b, v->text->language, completion__text_slice(v->text), 6,
                                    6));
  b.steps = 0;
  assert_int_equal(completion__gate_ask(&g, completion__buffer_slice(&r.text), 0),
                   COMPLETION__GATE_UNKNOWN);
  completion__gate_close(&g);
  end(&r);
}

/* What is parsed: the definition around the place, a bounded part of it where it is long. */
static void test_stretch(void **state) {
  (void)state;
  static const char *const cases[] = {
      /* [ and ] stand where the stretch begins and ends */
      "import a\n\n[def f():\n    x = 1\n\n    y = <|>\n    return 2\n]\ndef g():\n    pass\n",
      "int a;\n\n[int f(void)\n{\n  x = <|>;\n}]\nint g;\n",
      "int a(void) {\n}\n[static int\nf(void)\n{\n  <|>\n}]\nint g;\n",
      "[x = <|>]",
      "a = 1\n\n[b = 2\nc = <|>\nd = 4\n]\ne = 5\n",
      "[<|>]",
      "[{\n  \"a\": <|>\n}\n]",
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[256];
    size_t n = 0, at = 0, begin_at = 0, end_at = 0, from, to;
    for (const char *p = cases[i]; *p; p++) {
      if (*p == '[' && (p == cases[i] || p[-1] == '\n')) begin_at = n;
      else if (*p == ']') end_at = n;
      else if (strncmp(p, "<|>", 3) == 0) at = n, p += 2;
      else text[n++] = *p;
    }
    completion__gate_stretch(completion__slice_of(text, n), at, at, COMPLETION__GATE_BYTES,
                             &from, &to);
    if (from != begin_at || (to != end_at && to + 1 != end_at))
      fail_msg("case %zu: %zu..%zu, not %zu..%zu", i, from, to, begin_at, end_at);
  }
  char *large = malloc(100001);
  for (int i = 0; i < 100000; i++) large[i] = i % 50 == 49 ? '\n' : ' ';
  size_t from, to;
  completion__gate_stretch(completion__slice_of(large, 100000), 50000, 50000, 3000, &from,
                           &to);
  assert_true(from > 46000 && from < 50000 && to > 50000 && to < 54000);
  free(large);
}

static void test_popup_text_stands_in(void **state) {
  (void)state;
  completion_job j;
  completion__run r;
  begin(&r, &j, "c.py", "x = fo<|>\n", "(1, 2)");
  j.has_selection = true;
  j.selected_start = 4;
  j.selected_end = 6;
  assert_int_equal(completion__buffer_add(&j.selected, "foobar"), 0);
  assert_int_equal(completion__run_find_cursor(&r), 0);
  assert_int_equal(completion__decide_shown(&r), 0);
  assert_int_equal(r.keep, 6);
  assert_int_equal(r.verdict.errors, 0);
  completion__buffer_free(&j.selected);
  end(&r);
}

static void test_quiet(void **state) {
  (void)state;
  static const struct {
    const char *uri, *marked;
    completion_quiet off, on; /* with everything asked about; with everything allowed */
  } cases[] = {
      {"a.py", "x = <|>\n", COMPLETION_QUIET_NO, COMPLETION_QUIET_NO},
      {"a.py", "x = f(<|>)\n", COMPLETION_QUIET_NO, COMPLETION_QUIET_NO},
      {"a.py", "x = f(<|>):  \n", COMPLETION_QUIET_NO, COMPLETION_QUIET_NO},
      {"a.py", "x = <|>y + 1\n", COMPLETION_QUIET_MID_LINE, COMPLETION_QUIET_NO},
      {"a.py", "x = 1 # <|>\n", COMPLETION_QUIET_COMMENT, COMPLETION_QUIET_NO},
      {"a.py", "x = 'a<|>'\n", COMPLETION_QUIET_STRING, COMPLETION_QUIET_NO},
      {"a.py", "def f():\n    \"\"\"Does <|>\n", COMPLETION_QUIET_STRING, COMPLETION_QUIET_NO},
      {"a.c", "/* what\n * <|>\n */\n", COMPLETION_QUIET_COMMENT, COMPLETION_QUIET_NO},
      {"a.c", "int x; // a <|>\n", COMPLETION_QUIET_COMMENT, COMPLETION_QUIET_NO},
      {"a.c", "int x; // a\n<|>\n", COMPLETION_QUIET_NO, COMPLETION_QUIET_NO},
      {"a.go", "x := \"<|>\"\n", COMPLETION_QUIET_STRING, COMPLETION_QUIET_NO},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    completion_job j;
    completion__run r;
    begin(&r, &j, cases[i].uri, cases[i].marked, "");
    j.options.no_comments = j.options.no_strings = true;
    assert_int_equal(completion__decide_quiet(&r), COMPLETION_QUIET_NO); /* asked by hand */
    j.automatic = true;
    if (completion__decide_quiet(&r) != cases[i].off) fail_msg("%s", cases[i].marked);
    j.options.no_comments = j.options.no_strings = false;
    j.options.mid_line = true;
    if (completion__decide_quiet(&r) != cases[i].on) fail_msg("%s", cases[i].marked);
    end(&r);
  }
}

/* The geometric mean over the tokens of what is kept; those that the caller chose do not count. */
static void test_confidence(void **state) {
  (void)state;
  completion__token tokens[] = {
      {.end = 1, .others = {-1}}, {.end = 2, .logprob = -1}, {.end = 4, .logprob = -2},
      {.end = 6, .logprob = -9}};
  completion__run r = {.tokens = tokens, .n_tokens = 4};
  assert_float_equal(completion__run_confidence(&r, 6), exp(-4), 1e-9);
  assert_float_equal(completion__run_confidence(&r, 4), exp(-1.5), 1e-9);
  assert_float_equal(completion__run_confidence(&r, 3), exp(-1.5), 1e-9);
  assert_float_equal(completion__run_confidence(&r, 0), 0, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gate),
      cmocka_unit_test(test_gate_off),
      cmocka_unit_test(test_gate_without_time),
      cmocka_unit_test(test_gate_hurried),
      cmocka_unit_test(test_gate_short_of_time),
      cmocka_unit_test(test_stretch),
      cmocka_unit_test(test_popup_text_stands_in),
      cmocka_unit_test(test_quiet),
      cmocka_unit_test(test_confidence),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
