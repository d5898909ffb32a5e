/* When a completion ends. Each case is a document with a cursor, what the model goes on to
 * write, and what is to be kept of it, for which reason. Each is judged whole and, as the
 * decode loop does, byte by byte: the verdict must be the same. */
#include "completion/stop.h"
#include "helper.h"

typedef struct stop_case {
  const char *file, *document, *written, *kept;
  completion_stop stop;
  completion_mode mode;
  int max_lines; /* 0: 8 */
} stop_case;

static completion_stop judge(const stop_case *c, bool byte_by_byte, size_t *keep) {
  completion__slice before, after, text = slice(c->written);
  split_at_cursor(c->document, &before, &after);
  completion__stop s;
  completion__stop_init(&s, grammars_find(NULL, c->file), before, after, c->mode, c->max_lines ? c->max_lines : 8);
  for (size_t n = byte_by_byte ? 1 : text.len; n < text.len; n++) {
    completion_stop stop = completion__stop_check(&s, completion__slice_cut(text, 0, n), false, keep);
    if (stop != COMPLETION_STOP_NONE) return stop;
  }
  completion_stop stop = completion__stop_check(&s, text, false, keep);
  if (stop == COMPLETION_STOP_NONE) stop = completion__stop_check(&s, text, true, keep);
  return stop;
}

static void check(const stop_case *cases, size_t n) {
  for (size_t i = 0; i < n; i++) {
    for (int byte_by_byte = 0; byte_by_byte < 2; byte_by_byte++) {
      size_t keep = 0;
      completion_stop stop = judge(&cases[i], byte_by_byte, &keep);
      if (stop != cases[i].stop || keep != strlen(cases[i].kept) || memcmp(cases[i].written, cases[i].kept, keep) != 0)
        fail_msg("case %zu (%s, %s): stop %s, kept \"%.*s\"", i, cases[i].file, byte_by_byte ? "by bytes" : "whole",
                 completion_strstop(stop), (int)keep, cases[i].written);
    }
  }
}
#define CHECK(cases) check(cases, sizeof cases / sizeof cases[0])

static void test_inside_a_line(void **state) {
  (void)state;
  static const stop_case cases[] = {
      {"a.c", "int x = <|>;\n", "f(1)\nint y;\n", "f(1)", COMPLETION_STOP_LINE, 0, 0},
      {"a.c", "  return <|>\n}\n", "a + b;\n}\n", "a + b;", COMPLETION_STOP_LINE, 0, 0},
      {"a.py", "x = foo(<|>)\n", "1, 2)\ny = 3\n", "1, 2)", COMPLETION_STOP_LINE, 0, 0},
      /* the line is complete: the next one is offered */
      {"a.py", "x = 1<|>\n", "\ny = 2\nz = 3\n", "\ny = 2", COMPLETION_STOP_LINE, 0, 0},
      {"a.py", "x = 1<|>\n", "\ny = 2\n", "", COMPLETION_STOP_LINE, COMPLETION_SINGLE_LINE, 0},
      /* ... unless it is there already */
      {"a.py", "x = 1<|>\nyellow = 2\n", "\nyellow = 2\nz = 3\n", "", COMPLETION_STOP_SUFFIX, 0, 0},
      {"a.py", "x = <|>\n", "1", "1", COMPLETION_STOP_NONE, 0, 0},
      /* text to the right: one line even at a block's start */
      {"a.c", "if (<|>a) {\n", "b && \n c", "b && ", COMPLETION_STOP_LINE, 0, 0},
  };
  CHECK(cases);
}

static void test_statement(void **state) {
  (void)state;
  static const stop_case cases[] = {
      {"a.c", "void f(void) {\n  int a;\n  <|>\n}\n", "a = 1;\n  b = 2;\n", "a = 1;", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "void f(void) {\n  int a;\n  <|>\n}\n", "a = g(1,\n        2);\n  b = 2;\n", "a = g(1,\n        2);",
       COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "void f(void) {\n  int a;\n  <|>\n}\n", "if (a) {\n    b();\n  }\n  c();\n", "if (a) {\n    b();\n  }",
       COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "void f(void) {\n  int a;\n  <|>\n}\n", "if (a)\n    b();\n  c();\n", "if (a)\n    b();", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "void f(void) {\n  int a;\n  <|>\n}\n", "// add\n  a++;\n  b++;\n", "// add\n  a++;", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "void f(void) {\n  int a;\n  <|>\n}\n", "puts(\"}\");\n  b = 2;\n", "puts(\"}\");", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "int a;\n\n<|>\n", "int f(int b) {\n  return b;\n}\n\nint c;\n", "int f(int b) {\n  return b;\n}", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.py", "def f():\n    a = 1\n    <|>\n", "if a:\n        b()\n    else:\n        c()\n    d()\n",
       "if a:\n        b()\n    else:\n        c()\n", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.py", "def f():\n    a = 1\n    <|>\n", "b = [\n        1,\n    ]\n    c = 2\n", "b = [\n        1,\n    ]", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.py", "def f():\n    a = 1\n    <|>\n", "return a\n\ndef g():\n", "return a", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.rb", "def f\n  a = 1\n  <|>\nend\n", "if a\n    b\n  end\n  c\n", "if a\n    b\n  end", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.lua", "local a = 1\n<|>\n", "local function f()\n  return a\nend\nprint(f())\n", "local function f()\n  return a\nend",
       COMPLETION_STOP_BLOCK, 0, 0},
      {"a.sh", "set -e\n<|>\n", "for f in *; do\n  echo $f\ndone\necho end\n", "for f in *; do\n  echo $f\ndone", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.py", "x = 1\n\n<|>\n", "@cached\ndef f():\n    return 1\n\ndef g():\n", "@cached\ndef f():\n    return 1\n\n", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "int a;\n\n<|>\n", "int f(int b)\n{\n  return b;\n}\n\nint c;\n", "int f(int b)\n{\n  return b;\n}", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.ts", "const xs = [\n  1,\n  <|>\n];\n", "2,\n  3,\n", "2,", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.rs", "fn f() {\n    let a = 1;\n    <|>\n}\n", "match a {\n        1 => b(),\n        _ => c('}'),\n    }\n    d();\n",
       "match a {\n        1 => b(),\n        _ => c('}'),\n    }", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.html", "<div>\n  <p>a</p>\n  <|>\n</div>\n", "<ul>\n    <li>b</li>\n  </ul>\n  <p>c</p>\n", "<ul>\n    <li>b</li>\n  </ul>",
       COMPLETION_STOP_BLOCK, 0, 0},
  };
  CHECK(cases);
}

static void test_block(void **state) {
  (void)state;
  static const stop_case cases[] = {
      /* to the end of the block; its closing line is there already */
      {"a.c", "int f(void) {\n  <|>\n}\n", "int a = 1;\n  return a;\n}\n\nint g", "int a = 1;\n  return a;\n", COMPLETION_STOP_BLOCK, 0, 0},
      /* ... or is not */
      {"a.c", "int f(void) {\n  <|>", "int a = 1;\n  return a;\n}\n\nint g", "int a = 1;\n  return a;\n}", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "int f(void) {<|>", "\n  return 1;\n}\n\nint g", "\n  return 1;\n}", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "int f(void) {<|>\n}\n", "\n  return 1;\n}\n\nint g", "\n  return 1;\n", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.c", "int f(void) {<|>}\n", "\n  return 1;\n}\n\nint g", "\n  return 1;\n}", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.py", "def f():\n    <|>\n", "a = 1\n    return a\n\ndef g():\n", "a = 1\n    return a\n\n", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.py", "if a:<|>\n", "\n    b()\nelse:\n    c()\nd()\n", "\n    b()\nelse:\n    c()\n", COMPLETION_STOP_BLOCK, 0, 0},
      {"a.py", "def f():\n    <|>\n", "\"\"\"One.\n\nTwo.\n    \"\"\"\n    return 1\nx = 2\n", "\"\"\"One.\n\nTwo.\n    \"\"\"\n    return 1\n",
       COMPLETION_STOP_BLOCK, 0, 0},
      {"a.go", "func f() {\n\t<|>\n}\n", "if a {\n\t\tb()\n\t} else {\n\t\tc()\n\t}\n\td()\n}\n", "if a {\n\t\tb()\n\t} else {\n\t\tc()\n\t}\n\td()\n",
       COMPLETION_STOP_BLOCK, 0, 0},
      /* two blank lines end anything */
      {"a.py", "def f():\n    <|>\n", "a = 1\n\n\n    b = 2\n", "a = 1", COMPLETION_STOP_BLOCK, 0, 0},
      /* asked for */
      {"a.c", "void f(void) {\n  int a;\n  <|>\n}\n", "a = 1;\n  b = 2;\n}\n", "a = 1;\n  b = 2;\n", COMPLETION_STOP_BLOCK,
       COMPLETION_MULTI_LINE, 0},
  };
  CHECK(cases);
}

static void test_repetition_and_limits(void **state) {
  (void)state;
  static const stop_case cases[] = {
      {"a.py", "def f():\n    <|>\n    return total\n", "total = 1\n    return total\n", "total = 1\n", COMPLETION_STOP_SUFFIX, 0, 0},
      {"a.py", "def f():\n    <|>\n", "a.append(1)\n    a.append(1)\n    a.append(1)\n    b()\n",
       "a.append(1)\n    a.append(1)\n", COMPLETION_STOP_REPEAT, 0, 0},
      {"a.c", "x = <|>\n", "abc, abc, abc, abc, abc, abc, abc, abc, abc, abc, abc", "abc, ", COMPLETION_STOP_REPEAT, 0, 0},
      {"a.py", "def f():\n    <|>\n", "a = 1\n    b = 2\n    c = 3\n", "a = 1\n    b = 2", COMPLETION_STOP_LIMIT, 0, 2},
      {"a.txt", "one\n<|>\n", "two\nthree\n", "two\nthree", COMPLETION_STOP_LIMIT, COMPLETION_MULTI_LINE, 2},
  };
  CHECK(cases);
}

static void test_hostile_text(void **state) {
  (void)state;
  unsigned seed = 7;
  static const char alphabet[] = "{}()[]\"'`\\\n\n  \t:;,=#/*<>|ab\xC3\xA9\xFF";
  char document[120], written[200];
  for (int round = 0; round < 20000; round++) {
    size_t n = 0, m = 0;
    for (; n < 90; n++) document[n] = alphabet[(seed = seed * 1664525u + 1013904223u) / 65536 % (sizeof alphabet - 1)];
    for (; m < 150; m++) written[m] = alphabet[(seed = seed * 1664525u + 1013904223u) / 65536 % (sizeof alphabet - 1)];
    completion__stop s;
    completion__stop_init(&s, grammars_at(round % 18), completion__slice_of(document, 50), completion__slice_of(document + 50, 40),
                          (completion_mode)(round % 3), 1 + round % 5);
    size_t keep;
    for (size_t len = 0; len <= m; len += 10) {
      completion__stop_check(&s, completion__slice_of(written, len), round % 2, &keep);
      assert_true(keep <= len);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_inside_a_line),        cmocka_unit_test(test_statement),
      cmocka_unit_test(test_block),                cmocka_unit_test(test_repetition_and_limits),
      cmocka_unit_test(test_hostile_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
