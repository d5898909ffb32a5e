/* test_document.c - documents: edits against a plain copy, the line index against one made
 * anew, positions in three encodings, halves of surrogate pairs. The npm text document is run
 * beside ours by tests/protocol/test_document_sync.mjs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "lsp/document.h"
#include "lsp/json.h"
#include "lsp/uri.h"

static lsp__document *make(const char *text) {
  lsp__document *d;
  assert_int_equal(lsp__document_new(&d, "test:", "text", 1, text, strlen(text)), LSP__OK);
  return d;
}

static lsp__range range(int64_t l1, int64_t c1, int64_t l2, int64_t c2) {
  return (lsp__range){{l1, c1}, {l2, c2}};
}

/* The line index is the one that the text would get anew. */
static void check_lines(const lsp__document *d) {
  lsp__document *fresh;
  assert_int_equal(lsp__document_new(&fresh, "x:", "", 1, d->text.data, d->text.len), LSP__OK);
  size_t n = 0;
  for (size_t s = 0; s <= d->text.len; s++) {
    const char *t = d->text.data;
    bool begins = s == 0 || t[s - 1] == '\n' || (t[s - 1] == '\r' && (s == d->text.len || t[s] != '\n'));
    if (!begins) continue;
    assert_true(n < d->line_count && n < fresh->line_count);
    assert_int_equal(d->lines[n], s);
    assert_int_equal(fresh->lines[n], s);
    n++;
  }
  assert_int_equal(d->line_count, n);
  assert_int_equal(fresh->line_count, n);
  lsp__document_delete(fresh);
}

static void edit(lsp__document *d, lsp__range r, lsp__encoding e, const char *text, const char *want) {
  assert_int_equal(lsp__document_edit(d, r, e, text, strlen(text)), LSP__OK);
  assert_string_equal(d->text.data, want);
  check_lines(d);
}

static void test_edits(void **state) {
  (void)state;
  lsp__document *d = make("one\r\ntwo\nthree");
  edit(d, range(1, 1, 1, 2), LSP__UTF16, "W", "one\r\ntWo\nthree");
  edit(d, range(0, 99, 1, 0), LSP__UTF16, " ", "one tWo\nthree"); /* past the line's end */
  edit(d, range(9, 0, 99, 5), LSP__UTF16, "\r", "one tWo\nthree\r"); /* past the text's end */
  edit(d, range(99, 0, 99, 0), LSP__UTF16, "\n", "one tWo\nthree\r\n"); /* makes one end of two */
  edit(d, range(1, 5, 1, 0), LSP__UTF16, "3", "one tWo\n3\r\n"); /* turned round */
  edit(d, range(-1, 5, 0, -3), LSP__UTF16, "x", "xone tWo\n3\r\n");
  edit(d, range(0, 0, 99, 0), LSP__UTF16, "", "");
  edit(d, range(0, 0, 0, 0), LSP__UTF16, "a\rb\nc\r\nd", "a\rb\nc\r\nd");
  lsp__document_delete(d);
}

static void test_encodings(void **state) {
  (void)state;
  static const char text[] = "x\xC3\xA9\xF0\x9F\x98\x80y\nz"; /* x é 😀 y */
  static const struct {
    lsp__encoding encoding;
    int64_t columns[5];
  } cases[] = {
      {LSP__UTF8, {0, 1, 3, 7, 8}}, {LSP__UTF16, {0, 1, 2, 4, 5}}, {LSP__UTF32, {0, 1, 2, 3, 4}}};
  static const size_t offsets[5] = {0, 1, 3, 7, 8};
  lsp__document *d = make(text);
  for (size_t c = 0; c < 3; c++)
    for (size_t i = 0; i < 5; i++) {
      lsp__position p = {0, cases[c].columns[i]};
      assert_int_equal(lsp__document_offset(d, p, cases[c].encoding), offsets[i]);
      p = lsp__document_position(d, offsets[i], cases[c].encoding);
      assert_int_equal(p.line, 0);
      assert_int_equal(p.character, cases[c].columns[i]);
    }
  /* Inside a character: its start. */
  for (int64_t i = 4; i < 7; i++)
    assert_int_equal(lsp__document_offset(d, (lsp__position){0, i}, LSP__UTF8), 3);
  assert_int_equal(lsp__document_offset(d, (lsp__position){0, 2}, LSP__UTF8), 1);
  assert_int_equal(lsp__document_offset(d, (lsp__position){0, 3}, LSP__UTF16), 3);
  assert_int_equal(lsp__document_offset(d, (lsp__position){0, INT64_MAX}, LSP__UTF8), 8);
  assert_int_equal(lsp__document_offset(d, (lsp__position){INT64_MAX, 0}, LSP__UTF32), 10);
  assert_int_equal(lsp__document_position(d, 9, LSP__UTF16).line, 1);
  assert_int_equal(lsp__document_position(d, 999, LSP__UTF16).character, 1);
  assert_int_equal(lsp__encoding_from_name("utf-32"), LSP__UTF32);
  assert_int_equal(lsp__encoding_from_name("UTF-8"), -1);
  lsp__document_delete(d);
}

/* An edit of one half of a pair, as UTF-16 editors can make it. */
static void test_halves(void **state) {
  (void)state;
  lsp__document *d = make("a\xF0\x9F\x98\x80" "b"); /* D83D DE00 */
  edit(d, range(0, 2, 0, 3), LSP__UTF16, "\xED\xB8\x81", "a\xF0\x9F\x98\x81" "b"); /* DE01 */
  edit(d, range(0, 1, 0, 2), LSP__UTF16, "\xED\xA0\xBE", "a\xF0\x9F\xA8\x81" "b"); /* D83E */
  edit(d, range(0, 2, 0, 2), LSP__UTF16, "-", "a\xED\xA0\xBE-\xED\xB8\x81" "b");   /* cut in two */
  assert_int_equal(lsp__document_position(d, d->text.len, LSP__UTF16).character, 5);
  edit(d, range(0, 2, 0, 3), LSP__UTF16, "", "a\xF0\x9F\xA8\x81" "b"); /* and together again */
  edit(d, range(0, 2, 0, 4), LSP__UTF16, "", "a\xED\xA0\xBE");
  edit(d, range(0, 2, 0, 2), LSP__UTF16, "\xED\xB8\x80", "a\xF0\x9F\xA8\x80");
  lsp__document_delete(d);
}

static void test_random(void **state) {
  (void)state;
  static const char *const pieces[] = {"", "a", "\n", "\r", "\r\n", "bc\nde", "\xC3\xA9", "    "};
  srand(7);
  lsp__document *d = make("");
  lsp__buffer plain = {0};
  lsp__buffer_puts(&plain, "");
  for (int round = 0; round < 4000; round++) {
    /* Offsets that are places of the text, turned into positions and back by the document. */
    size_t a = (size_t)rand() % (plain.len + 1), b = a + (size_t)rand() % 6;
    if (b > plain.len) b = plain.len;
    lsp__position start = lsp__document_position(d, a, LSP__UTF8);
    lsp__position stop = lsp__document_position(d, b, LSP__UTF8);
    a = lsp__document_offset(d, start, LSP__UTF8);
    b = lsp__document_offset(d, stop, LSP__UTF8);
    const char *text = plain.len > 300 ? "" : pieces[(size_t)rand() % 8];
    assert_int_equal(lsp__document_edit(d, (lsp__range){start, stop}, LSP__UTF8, text, strlen(text)), 0);
    lsp__buffer next = {0};
    lsp__buffer_append(&next, plain.data, a);
    lsp__buffer_puts(&next, text);
    lsp__buffer_append(&next, plain.data + b, plain.len - b);
    lsp__buffer_free(&plain);
    plain = next;
    assert_int_equal(d->text.len, plain.len);
    assert_memory_equal(d->text.data, plain.data, plain.len);
    check_lines(d);
  }
  lsp__buffer_free(&plain);
  lsp__document_delete(d);
}

static void test_changes(void **state) {
  (void)state;
  lsp__document *d = make("abc");
  const char *why = NULL;
  size_t where;
  static const struct {
    const char *json;
    int status;
    bool lost;
  } cases[] = {
      {"[{\"range\":{\"start\":{\"line\":0,\"character\":1},\"end\":{\"line\":0,\"character\":2}},"
       "\"rangeLength\":1,\"text\":\"\\u0000\"}]", LSP__OK, false},
      {"[]", LSP__OK, false},
      {"[{\"text\":5}]", LSP__EINVAL, true},
      {"[{\"range\":{\"start\":{\"line\":0,\"character\":0},\"end\":{\"line\":0,\"character\":0}},"
       "\"text\":\"x\"}]", LSP__OK, true}, /* an edit of what is lost */
      {"[{\"text\":\"found\"}]", LSP__OK, false},
      {"[{\"range\":[],\"text\":\"x\"}]", LSP__EINVAL, true},
      {"[{\"text\":\"again\"},{\"range\":null,\"text\":\"found\"}]", LSP__OK, false},
      {"{}", LSP__EINVAL, true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cJSON *tree;
    assert_int_equal(lsp__json_parse(cases[i].json, strlen(cases[i].json), &tree, &why, &where), 0);
    assert_int_equal(lsp__document_change(d, tree, LSP__UTF16, &why), cases[i].status);
    assert_int_equal(d->lost, cases[i].lost);
    if (i == 0) assert_memory_equal(d->text.data, "a\0c", 4);
    cJSON_Delete(tree);
  }
  assert_string_equal(d->text.data, "found");
  lsp__document_delete(d);
}

static void test_uris(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"file:///a/b.c", "/a/b.c"},     {"file:///a%20b/%C3%A9", "/a b/\xC3\xA9"},
      {"file://localhost/x", "/x"},    {"FILE:///x?q#f", "/x"},
      {"file://host/x", NULL},         {"http:///x", NULL},
      {"file:///a%00b", NULL},         {"file:///a%2", NULL},
      {"file:///a%zz", NULL},          {"untitled:x", NULL},
      {"file:", NULL},                 {"", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *path = lsp__uri_to_path(cases[i][0]);
    if (cases[i][1] == NULL)
      assert_null(path);
    else
      assert_string_equal(path, cases[i][1]);
    free(path);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_edits),  cmocka_unit_test(test_encodings),
      cmocka_unit_test(test_halves), cmocka_unit_test(test_random),
      cmocka_unit_test(test_changes), cmocka_unit_test(test_uris),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
