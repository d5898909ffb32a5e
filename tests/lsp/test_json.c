/* test_json.c - strict JSON in, JSON out, and JSON-RPC messages. JSONTestSuite itself is run by
 * tests/protocol/test_json_suite.mjs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "lsp/json.h"
#include "lsp/rpc.h"
#include "lsp/utf8.h"

/* Parses a copy of exactly this size, so that a sanitizer sees a read past it. */
static int parse(const char *text, size_t len, cJSON **out) {
  const char *why;
  size_t where;
  char *copy = malloc(len > 0 ? len : 1);
  assert_non_null(copy);
  memcpy(copy, text, len);
  int status = lsp__json_parse(copy, len, out, &why, &where);
  free(copy);
  assert_true(status == 0 || (why != NULL && where <= len));
  return status;
}

static cJSON *good(const char *text) {
  cJSON *tree;
  assert_int_equal(parse(text, strlen(text), &tree), LSP__OK);
  return tree;
}

static void test_refuses(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",      " ",      "{",       "[1,]",   "{\"a\":1,}", "{'a':1}",  "01",     "-",
      "1.",    ".5",     "1e",      "+1",     "nul",        "truex",    "\"\t\"", "\"\\x\"",
      "\"\\u12\"", "[1 2]",  "1 2",     "{\"a\" 1}", "{1:2}",  "[}",    "\"a",    "\"\\",
      "NaN",   "1e400",  "-1e400",  "\xEF\xBB\xBF{}", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\xFF",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    cJSON *tree;
    assert_int_equal(parse(texts[i], strlen(texts[i]), &tree), LSP__EINVAL);
    assert_null(tree);
  }
  /* An escaped zero byte is no escape, and not a want of memory. */
  cJSON *tree;
  assert_int_equal(parse("\"a\\\0b\"", 6, &tree), LSP__EINVAL);
}

static void test_bounds(void **state) {
  (void)state;
  cJSON *tree;
  lsp__buffer b = {0};
  for (int i = 0; i <= LSP__JSON_DEPTH; i++) lsp__buffer_puts(&b, i % 2 ? "[" : "{\"a\":");
  assert_int_equal(parse(b.data, b.len, &tree), LSP__ELIMIT);
  lsp__buffer_clear(&b, 0);
  lsp__buffer_puts(&b, "[0");
  for (int i = 0; i < LSP__JSON_VALUES; i++) lsp__buffer_puts(&b, ",0");
  lsp__buffer_puts(&b, "]");
  assert_int_equal(parse(b.data, b.len, &tree), LSP__ELIMIT);
  lsp__buffer_clear(&b, 0);
  for (int i = 0; i <= LSP__JSON_NUMBER; i++) lsp__buffer_puts(&b, "1");
  assert_int_equal(parse(b.data, b.len, &tree), LSP__ELIMIT);
  lsp__buffer_free(&b);
}

static void test_getters(void **state) {
  (void)state;
  cJSON *tree = good("{\"a\":1,\"A\":\"x\",\"a\":2,\"b\":true,\"c\":1.5,\"d\":{\"e\":{\"f\":-3}},"
                     "\"big\":9007199254740993,\"a\\u0000b\":4}");
  int64_t n = 7;
  bool flag = false;
  const char *s = NULL;
  assert_true(lsp__json_get_int(tree, "a", &n));
  assert_int_equal(n, 2); /* the last one counts */
  assert_true(lsp__json_get_string(tree, "A", &s));
  assert_string_equal(s, "x");
  assert_true(lsp__json_get_bool(tree, "b", &flag) && flag);
  assert_false(lsp__json_get_int(tree, "c", &n));
  assert_false(lsp__json_get_int(tree, "A", &n));
  assert_false(lsp__json_get_int(tree, "B", &n));
  assert_int_equal(n, 2);
  assert_true(lsp__json_to_int(lsp__json_path(tree, "d", "e", "f", NULL), &n));
  assert_int_equal(n, -3);
  assert_null(lsp__json_path(tree, "d", "x", "f", NULL));
  assert_null(lsp__json_path(tree, "a", "x", NULL));
  assert_null(lsp__json_get(NULL, "a"));
  cJSON_Delete(tree);
}

/* What goes in comes out: text in, the same value written again. */
static void round_trip(const char *text, const char *want) {
  cJSON *tree = good(text);
  size_t len;
  const char *s = lsp__json_take_text(tree, &len);
  assert_non_null(s);
  lsp__buffer b = {0};
  lsp__json_string_n(&b, s, len);
  assert_false(b.failed);
  assert_string_equal(b.data, want);
  lsp__buffer_free(&b);
  cJSON_Delete(tree);
}

static void test_strings(void **state) {
  (void)state;
  round_trip("\"\\u0000a\\u0000\"", "\"\\u0000a\\u0000\"");
  round_trip("\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"");
  round_trip("\"\\ud83d\"", "\"\\ud83d\"");
  round_trip("\"\\ude00\\ud83d\\ud83dx\"", "\"\\ude00\\ud83d\\ud83dx\"");
  round_trip("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u001f\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\"");
  round_trip("\"\xC3\xA9\\u00e9\x7F\"", "\"\xC3\xA9\xC3\xA9\x7F\"");
  round_trip("\"\"", "\"\"");
  size_t len;
  cJSON *tree = good("\"a\\u0000b\"");
  const char *s = lsp__json_take_text(tree, &len);
  assert_int_equal(len, 3);
  assert_memory_equal(s, "a\0b", 3);
  cJSON_Delete(tree);
}

static void test_writer(void **state) {
  (void)state;
  lsp__buffer b = {0};
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "a");
  lsp__json_begin(&b, '[');
  lsp__json_int(&b, -5);
  lsp__json_double(&b, 0.25);
  lsp__json_double(&b, 1e308 * 10);
  lsp__json_bool(&b, false);
  lsp__json_null(&b);
  lsp__json_begin(&b, '{');
  lsp__json_end(&b, '}');
  lsp__json_end(&b, ']');
  lsp__json_key(&b, "b\n");
  lsp__json_string(&b, "\x80" "ok\xF0\x9F" "{");
  lsp__json_end(&b, '}');
  assert_string_equal(b.data, "{\"a\":[-5,0.25,null,false,null,{}],\"b\\n\":\"\xEF\xBF\xBDok\xEF\xBF\xBD"
                              "\xEF\xBF\xBD{\"}");
  lsp__buffer_free(&b);
}

static void test_utf8(void **state) {
  (void)state;
  assert_int_equal(lsp__utf8_check("abcdefgh\xC3\xA9", 10), 10);
  assert_int_equal(lsp__utf8_check("abcdefgh\xC3", 9), 8);
  assert_int_equal(lsp__utf8_check("\xF4\x90\x80\x80", 4), 0);
  assert_int_equal(lsp__utf8_check("", 0), 0);
  /* All that one code point can be encodes and checks, but surrogates check as wrong. */
  for (uint32_t code = 0; code < 0x110000; code += code < 0x900 ? 1 : 97) {
    char out[4];
    size_t n = lsp__utf8_encode(code, out);
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    assert_int_equal(lsp__utf8_check(out, n), surrogate ? 0 : n);
    assert_int_equal(lsp__utf8_has_surrogates(out, n), surrogate);
    assert_int_equal(lsp__utf8_length((unsigned char)out[0]), n);
  }
  char text[] = "a\xED\xA0\xBD" "b\xED\xB8\x80\xED";
  lsp__utf8_replace_surrogates(text, sizeof text - 1);
  assert_string_equal(text, "a\xEF\xBF\xBD" "b\xEF\xBF\xBD\xED");
}

static void expect_message(const char *text, int kind, int code) {
  cJSON *tree = good(text);
  lsp__message m;
  lsp__message_read(tree, &m);
  assert_int_equal(m.kind, kind);
  if (kind == LSP__MESSAGE_INVALID) assert_int_equal(m.code, code);
  cJSON_Delete(tree);
}

static void test_messages(void **state) {
  (void)state;
  expect_message("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}", LSP__MESSAGE_REQUEST, 0);
  expect_message("{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"method\":\"m\",\"params\":null}",
                 LSP__MESSAGE_REQUEST, 0);
  expect_message("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":[]}", LSP__MESSAGE_NOTIFICATION, 0);
  expect_message("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}", LSP__MESSAGE_RESPONSE, 0);
  expect_message("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}", LSP__MESSAGE_RESPONSE, 0);
  expect_message("{\"jsonrpc\":\"2.0\",\"id\":1}", LSP__MESSAGE_INVALID, LSP__INVALID_REQUEST);
  expect_message("[]", LSP__MESSAGE_INVALID, LSP__INVALID_REQUEST);
  expect_message("{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"m\"}", LSP__MESSAGE_INVALID,
                 LSP__INVALID_REQUEST);
  expect_message("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":1}", LSP__MESSAGE_INVALID,
                 LSP__INVALID_REQUEST);
  expect_message("{\"id\":1,\"method\":\"m\"}", LSP__MESSAGE_INVALID, LSP__INVALID_REQUEST);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refuses), cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_getters), cmocka_unit_test(test_strings),
      cmocka_unit_test(test_writer),  cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_messages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
