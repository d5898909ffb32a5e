/* test_peek.c - what is read of a message that cannot be taken: its id and its document, whole or
 * cut off anywhere; never a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lsp/peek.h"

/* Reads a copy that ends where the text does, so that a sanitizer sees a byte too many. */
static lsp__peek read_cut(const char *text, size_t len) {
  lsp__peek out;
  char *copy = malloc(len > 0 ? len : 1);
  assert_non_null(copy);
  memcpy(copy, text, len);
  lsp__peek_read(&out, copy, len);
  free(copy);
  return out;
}

static void expect(const char *text, const char *id, bool may_edit, const char *uri) {
  lsp__peek p = read_cut(text, strlen(text));
  char got[LSP__PEEK_TEXT + 2] = "null";
  if (p.id.kind == LSP__ID_INT) snprintf(got, sizeof got, "%lld", (long long)p.id.number);
  if (p.id.kind == LSP__ID_STRING) snprintf(got, sizeof got, "\"%s\"", p.id_text);
  assert_string_equal(got, id);
  assert_int_equal(p.may_edit, may_edit);
  assert_string_equal(p.uri, uri);
}

#define CHANGE "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/didChange\",\"params\":{"
#define REQUEST ",\"method\":\"a/b\",\"params\":{}}"

static void test_whole(void **state) {
  (void)state;
  expect("{\"id\":7" REQUEST, "7", false, "");
  expect(" { \"x\" : [1,{\"id\":3},\"}\"] , \"id\" : -12 " REQUEST, "-12", false, "");
  expect("{\"id\":\"a\\\"b\"" REQUEST, "\"a\"b\"", false, "");
  expect("{\"id\":1,\"id\":2" REQUEST, "2", false, "");
  expect("{\"params\":{\"id\":5},\"method\":\"a/b\"}", "null", false, "");
  expect("{\"id\":1.5" REQUEST, "null", false, "");
  expect("{\"id\":99999999999999999999" REQUEST, "null", false, "");
  expect("{\"id\":\"\\u0041\"" REQUEST, "null", false, "");
  expect(CHANGE "\"textDocument\":{\"version\":2,\"uri\":\"file:///a b.c\"},\"contentChanges\":[]}}",
         "null", true, "file:///a b.c");
  expect("{\"method\":\"textDocument\\/didChange\",\"params\":{\"textDocument\":{\"uri\":"
         "\"file:\\/\\/\\/a.c\"}}}", "null", true, "file:///a.c");
  expect("{\"method\":\"textDocument/didOpen\",\"params\":{}}", "null", true, "");
  expect("{\"method\":\"textDocument/didClose\",\"params\":{\"textDocument\":{\"uri\":\"u\"}}}",
         "null", false, "");
}

/* Where the method is not known, it may have been an edit; an answer to us gets none. */
static void test_unknown(void **state) {
  (void)state;
  expect("", "null", true, "");
  expect("nonsense", "null", false, "");
  expect("[[[[", "null", false, "");
  expect("{\"id\":3,\"result\":{}}", "null", true, "");
  expect("{\"params\":{\"textDocument\":{\"uri\":\"u\"},\"contentChanges\":[{\"text\":\"\\", "null",
         true, "u");
}

/* At every cut: what is found is right, and an edit is never taken for something else. */
static void test_cut(void **state) {
  (void)state;
  static const char request[] = "{\"jsonrpc\":\"2.0\",\"id\":1234,\"method\":\"a/b\",\"params\":{\"x\":1}}";
  static const char edit[] = CHANGE "\"textDocument\":{\"uri\":\"file:///abc\"},\"contentChanges\":["
                                    "{\"text\":\"\\\"method\\\":\\\"a/b\\\"\"}]}}";
  size_t ids = 0, uris = 0;
  for (size_t n = 0; n < sizeof request; n++) {
    lsp__peek p = read_cut(request, n);
    if (p.id.kind == LSP__ID_NULL) continue;
    assert_int_equal(p.id.kind, LSP__ID_INT);
    assert_int_equal(p.id.number, 1234);
    assert_false(p.may_edit);
    ids++;
  }
  for (size_t n = 0; n < sizeof edit; n++) {
    lsp__peek p = read_cut(edit, n);
    assert_true(p.may_edit);
    if (p.uri[0] == '\0') continue;
    assert_string_equal(p.uri, "file:///abc");
    uris++;
  }
  assert_true(ids > 10);
  assert_true(uris > 10);
}

static void test_long(void **state) {
  (void)state;
  char text[3 * LSP__PEEK_TEXT];
  int n = snprintf(text, sizeof text, CHANGE "\"textDocument\":{\"uri\":\"");
  memset(text + n, 'x', LSP__PEEK_TEXT);
  strcpy(text + n + LSP__PEEK_TEXT, "\"}}}");
  expect(text, "null", true, ""); /* too long to be kept: any document */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_unknown),
                                     cmocka_unit_test(test_cut), cmocka_unit_test(test_long)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
