/* What the editor is shown. Each case: a document with a cursor, the text to be shown, what it
 * becomes and how much of what follows the cursor it takes the place of. */
#include "completion/polish.h"
#include "helper.h"

typedef struct polish_case {
  const char *file, *document, *text, *shown, *absorbed;
} polish_case;

static const completion__slice special[] = {{"<|fim_middle|>", 14}, {"<|endoftext|>", 13}};

static void polish_one(const char *file, const char *document, completion__slice text, bool crlf,
                       completion__buffer *out, completion__slice *absorbed) {
  completion__polish p = {.language = grammars_find(NULL, file), .special = special, .n_special = 2, .crlf = crlf};
  split_at_cursor(document, &p.before, &p.after);
  size_t absorb = 0;
  assert_int_equal(completion__polish_text(&p, text, out, &absorb), 0);
  assert_true(absorb <= p.after.len);
  *absorbed = completion__slice_cut(p.after, 0, absorb);
  assert_true(memchr(p.after.s, '\n', absorb) == NULL);
}

static void check(const polish_case *cases, size_t n) {
  for (size_t i = 0; i < n; i++) {
    completion__buffer out = {0};
    completion__slice absorbed;
    polish_one(cases[i].file, cases[i].document, slice(cases[i].text), false, &out, &absorbed);
    if (!completion__slice_equal(completion__buffer_slice(&out), slice(cases[i].shown)) ||
        !completion__slice_equal(absorbed, slice(cases[i].absorbed)))
      fail_msg("case %zu (%s): shown \"%s\", absorbed \"%.*s\"", i, cases[i].document, out.s ? out.s : "",
               (int)absorbed.len, absorbed.s);
    completion__buffer_free(&out);
  }
}
#define CHECK(cases) check(cases, sizeof cases / sizeof cases[0])

static void test_plain(void **state) {
  (void)state;
  static const polish_case cases[] = {
      {"a.c", "int x = <|>\n", "1;", "1;", ""},
      {"a.c", "int x = <|>\n", "1;  \n\t \n", "1;", ""},
      {"a.c", "int x = <|>\n", "", "", ""},
      {"a.c", "int x = <|>\n", " \n ", "", ""},
      {"a.c", "int x = <|>\n", " 1;", "1;", ""}, /* a blank is there already */
      {"a.c", "int x =<|>\n", " 1;", " 1;", ""},
      {"a.c", "void f(void) {\n  <|>\n}\n", "a();  \n  b(); \n", "a();\n  b();", ""},
  };
  CHECK(cases);
}

static void test_no_foreign_text(void **state) {
  (void)state;
  static const polish_case cases[] = {
      {"a.c", "int x = <|>\n", "1;<|fim_middle|>int y", "1;", ""},
      {"a.c", "int x = <|>\n", "1;<|endoftext|>", "1;", ""},
      {"a.c", "// <|>\n", "caf\xC3\xA9 \xE2\x82", "caf\xC3\xA9", ""},  /* half a character */
      {"a.c", "// <|>\n", "caf\xC3", "caf", ""},
      {"a.c", "// <|>\n", "a\xFF" "b", "a", ""},
  };
  CHECK(cases);
  completion__buffer out = {0};
  completion__slice absorbed;
  polish_one("a.c", "int x = <|>\n", completion__slice_of("1;\0y", 4), false, &out, &absorbed);
  assert_string_equal(out.s, "1;");
  completion__buffer_free(&out);
}

static void test_closers(void **state) {
  (void)state;
  static const polish_case cases[] = {
      /* what the line's tail has already is not shown again */
      {"a.c", "foo(<|>);\n", "a, b);", "a, b", ""},
      {"a.c", "foo(<|>)\n", "a, g(b))", "a, g(b)", ""},
      {"a.c", "foo(<|>)\n", "a, g(b)", "a, g(b)", ""},
      {"a.py", "print(\"<|>\")\n", "hello\")", "hello", ""},
      {"a.py", "print(\"<|>\")\n", "hello", "hello", ""},
      {"a.c", "x = <|> + b;\n", "a + b;", "a", ""},
      {"a.py", "x = [<|>]\n", "1, 2]", "1, 2", ""},
      /* the end of another word is no repetition */
      {"a.py", "x = <|>e\n", "tree", "tree", ""},
      /* a text that goes on behind them takes their place */
      {"a.c", "foo(<|>);\n", "a);\n  bar();", "a);\n  bar();", ");"},
      {"a.js", "foo(<|>)\n", "() => {\n  bar();\n})", "() => {\n  bar();\n})", ")"},
      {"a.c", "int f(void) {<|>}\n", "\n  return 1;\n}", "\n  return 1;\n}", "}"},
      {"a.py", "print(\"<|>\")\n", "a\", \"b", "a\", \"b", "\""},
      {"a.c", "foo(a[<|>]);\n", "i], b", "i], b", "]"},
      /* a closer that closes nothing ends the text */
      {"a.c", "int x = <|>\n", "1);", "1", ""},
      {"a.c", "foo(a, <|>\n", "b);", "b);", ""},
  };
  CHECK(cases);
}

static void test_lines_below(void **state) {
  (void)state;
  static const polish_case cases[] = {
      {"a.py", "def f():\n    <|>\n    return total\n", "total = 1\n    return total", "total = 1", ""},
      {"a.py", "def f():\n    <|>\n    b = 2\n    return b\n", "a = 1\n    b = 2\n    return b", "a = 1", ""},
      {"a.c", "int f(void) {\n  <|>\n}\n", "return 1;\n}", "return 1;", ""},
      {"a.c", "int f(void) {\n  if (a) {\n    <|>\n  }\n}\n", "b();\n  }", "b();", ""},
      /* the text's own closing line stays */
      {"a.c", "int f(void) {\n  <|>\n}\n", "if (a) {\n    b();\n  }", "if (a) {\n    b();\n  }", ""},
      /* it runs into them in the middle of a line; too little of that is a coincidence */
      {"a.js", "await <|>\n  calls.push(5)\n})\n", "next().then(() => { calls.push(5) })", "next().then(() => {", ""},
      {"a.js", "x = <|>\ncalls.pop()\n", "recalls.pop()", "recalls.pop()", ""},
      {"a.py", "x = <|>\nitems\n", "sorted(items)\nitems", "sorted(items)", ""},
  };
  CHECK(cases);
}

static void test_indentation(void **state) {
  (void)state;
  static const polish_case cases[] = {
      {"a.go", "func f() {\n\tx := 1\n\t<|>\n}\n", "if a {\n        b()\n    }", "if a {\n\t\tb()\n\t}", ""},
      {"a.c", "void f(void) {\n  int x;\n  <|>\n}\n", "if (a) {\n\t\tb();\n\t}", "if (a) {\n    b();\n  }", ""},
      {"a.c", "void f(void) {\n  int x;\n  <|>\n}\n", "if (a) {\n    b();\n  }", "if (a) {\n    b();\n  }", ""},
  };
  CHECK(cases);
}

static void test_line_ends(void **state) {
  (void)state;
  completion__buffer out = {0};
  completion__slice absorbed;
  polish_one("a.c", "void f(void) {\n  <|>\n}\n", slice("a();\n  b();\r\n  c();"), true, &out, &absorbed);
  assert_string_equal(out.s, "a();\r\n  b();\r\n  c();");
  completion__buffer_free(&out);
}

static void test_hostile_text(void **state) {
  (void)state;
  unsigned seed = 11;
  static const char alphabet[] = "{}()[]\"'`\\\n\n  \t:;,=#/*<>|ab\xC3\xA9\xFF";
  char document[120], written[120];
  for (int round = 0; round < 20000; round++) {
    for (size_t n = 0; n < 90; n++) document[n] = alphabet[(seed = seed * 1664525u + 1013904223u) / 65536 % (sizeof alphabet - 1)];
    for (size_t n = 0; n < 100; n++) written[n] = alphabet[(seed = seed * 1664525u + 1013904223u) / 65536 % (sizeof alphabet - 1)];
    completion__polish p = {.language = grammars_at(round % 18), .special = special, .n_special = 2, .crlf = round % 2,
                            .before = {document, 50}, .after = {document + 50, 40}};
    completion__buffer out = {0};
    size_t absorb = 0;
    assert_int_equal(completion__polish_text(&p, completion__slice_of(written, (size_t)round % 100), &out, &absorb), 0);
    assert_true(absorb <= p.after.len && (absorb == 0 || !memchr(p.after.s, '\n', absorb)));
    assert_int_equal(completion__utf8_valid(completion__buffer_slice(&out)), out.len);
    if (out.len) assert_false(out.s[out.len - 1] == '\n');
    completion__buffer_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),       cmocka_unit_test(test_no_foreign_text), cmocka_unit_test(test_closers),
      cmocka_unit_test(test_lines_below), cmocka_unit_test(test_indentation),     cmocka_unit_test(test_line_ends),
      cmocka_unit_test(test_hostile_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
