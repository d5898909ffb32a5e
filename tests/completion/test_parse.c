/* test_parse.c - errors and nodes of a text, for those who measure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "completion/completion.h"

static int errors(const char *language, const char *text) {
  return completion_parse_errors(language, NULL, text, strlen(text));
}

static void test_errors(void **state) {
  (void)state;
  assert_int_equal(errors("c", ""), 0);
  assert_int_equal(errors("c", "int f(int a) { return g(a); }\n"), 0);
  assert_int_equal(errors("c", "int f(int a) { return g(a; }\n"), 1); /* one MISSING */
  assert_true(errors("c", "int f( { ] ) return )) ;;; @ #\n") >= 1);
  /* Each place counts, those deep in the tree too. */
  int one = errors("c", "void f(void) { if (a) { g(1; } }\n");
  int two = errors("c", "void f(void) { if (a) { g(1; } }\nvoid h(void) { if (a) { g(1; } }\n");
  assert_true(one == 1 && two == 2);
  assert_int_equal(errors("python", "def f(x):\n    return x\n"), 0);
  assert_true(errors("python", "def f(x:\n    return x\n") > 0);
  assert_int_equal(completion_parse_errors(NULL, "a.go", "package a\n", 10), 0);
  assert_int_equal(errors("no such language", "x"), COMPLETION_EINVAL);
}

static void test_too_large(void **state) {
  (void)state;
  size_t len = ((size_t)1 << 20) + 1;
  char *text = malloc(len);
  assert_non_null(text);
  memset(text, '\n', len);
  completion_node *nodes = (completion_node *)text;
  assert_int_equal(completion_parse_errors("c", NULL, text, len), COMPLETION_EINVAL);
  assert_int_equal(completion_parse_nodes("c", NULL, text, len, 1, 1, &nodes), COMPLETION_EINVAL);
  assert_null(nodes);
  free(text);
}

static void test_nodes(void **state) {
  (void)state;
  static const char text[] =
      "/* one\n two */\nint f(int a) {\n  if (a) {\n    g(a);\n  }\n  return 1;\n}\n"
      "int g(int a) {\n  return (;\n}\n";
  completion_node *nodes;
  size_t len = sizeof text - 1;
  int n = completion_parse_nodes("c", NULL, text, len, 2, 6, &nodes), function = 0, branch = 0;
  assert_true(n > 0);
  for (int i = 0; i < n; i++) {
    assert_true(nodes[i].start < nodes[i].end && nodes[i].end <= len);
    int lines = 1;
    for (size_t k = nodes[i].start; k < nodes[i].end; k++) lines += text[k] == '\n';
    assert_in_range(lines, 2, 6);
    assert_true(memchr(text + nodes[i].start, '(', nodes[i].end - nodes[i].start) != NULL);
    function += strncmp(text + nodes[i].start, "int f", 5) == 0;
    branch += strncmp(text + nodes[i].start, "if (a)", 6) == 0;
    assert_true(strncmp(text + nodes[i].start, "int g", 5) != 0); /* it is broken */
  }
  assert_true(function == 1 && branch == 1);
  free(nodes);
  assert_int_equal(completion_parse_nodes("c", NULL, "", 0, 1, 9, &nodes), 0);
  assert_null(nodes);
  assert_int_equal(completion_parse_nodes("?", NULL, "", 0, 1, 9, &nodes), COMPLETION_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_too_large),
      cmocka_unit_test(test_nodes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
