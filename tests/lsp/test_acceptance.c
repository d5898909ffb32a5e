/* test_acceptance.c - what was taken of a shown text, as the edits say; and how a request is
 * accounted for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "lsp/acceptance.h"
#include "lsp/json.h"
#include "lsp/why.h"

#define URI "file:///a.c"

/* A document with its cursor, and what is shown there. */
typedef struct scene {
  lsp__document *d;
  lsp__offer offer;
  lsp__acceptance count;
} scene;

static scene begin(const char *text) {
  scene s = {0};
  assert_int_equal(lsp__document_new(&s.d, URI, "c", 1, text, strlen(text)), 0);
  return s;
}

static void end(scene *s) {
  lsp__document_delete(s->d);
  lsp__offer_clear(&s->offer);
}

static void show(scene *s, size_t cursor, size_t start, size_t stop, const char *a, const char *b) {
  const char *texts[] = {a, b};
  const size_t lens[] = {strlen(a), b != NULL ? strlen(b) : 0};
  lsp__offer_show(&s->offer, &s->count, URI, cursor, start, stop, texts, lens, b != NULL ? 2 : 1);
}

/* All on line 0. */
static void edit(scene *s, int64_t from, int64_t to, const char *text) {
  uint64_t edits = s->d->edits;
  lsp__range range = {{0, from}, {0, to}};
  assert_int_equal(lsp__document_edit(s->d, range, LSP__UTF8, text, strlen(text)), 0);
  lsp__offer_edited(&s->offer, &s->count, s->d, edits);
}

static void expect(const scene *s, const lsp__acceptance *want) {
  const lsp__acceptance *c = &s->count;
  assert_int_equal(c->suggestions, want->suggestions);
  assert_int_equal(c->accepted, want->accepted);
  assert_int_equal(c->whole, want->whole);
  assert_int_equal(c->lines, want->lines);
  assert_int_equal(c->words, want->words);
  assert_int_equal(c->characters, want->characters);
  assert_int_equal(c->typed, want->typed);
}

static void test_whole(void **state) {
  (void)state;
  scene s = begin("x = ");
  show(&s, 4, 4, 4, "foo(bar);", NULL);
  assert_true(lsp__offer_stands(&s.offer, URI, 4));
  assert_false(lsp__offer_stands(&s.offer, URI, 3));
  assert_false(lsp__offer_stands(&s.offer, "file:///b.c", 4));
  edit(&s, 4, 4, "foo(bar);");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .accepted = 1, .whole = 1, .characters = 9});
  assert_null(s.offer.uri);
  end(&s);
  /* With a range: what was typed and the closer that the editor put there are replaced. */
  s = begin("f(ba)");
  show(&s, 4, 2, 5, "bar\xC3\xA9, 1);", NULL);
  edit(&s, 2, 5, "bar\xC3\xA9, 1);");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .accepted = 1, .whole = 1, .characters = 7});
  end(&s);
  /* The same as Neovim's diff has it. */
  s = begin("f(ba)");
  show(&s, 4, 2, 5, "bar)", NULL);
  edit(&s, 4, 4, "r");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .accepted = 1, .whole = 1, .characters = 2});
  end(&s);
}

static void test_parts(void **state) {
  (void)state;
  scene s = begin("x = ");
  show(&s, 4, 4, 4, "one two\nthree four\nfive", NULL);
  edit(&s, 4, 4, "one");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .accepted = 1, .words = 1, .characters = 3});
  assert_true(lsp__offer_stands(&s.offer, URI, 7));
  show(&s, 7, 7, 7, " two\nthree four\nfive", NULL); /* the rest, shown again */
  edit(&s, 7, 7, " two\nthree");
  expect(&s, &(lsp__acceptance){
                 .suggestions = 1, .accepted = 1, .words = 1, .lines = 1, .characters = 13});
  show(&s, 17, 17, 17, " four\nfive", NULL);
  end(&s);
  s = begin("x = ");
  show(&s, 4, 4, 4, "one two\nthree", NULL);
  edit(&s, 4, 4, "one two");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .accepted = 1, .lines = 1, .characters = 7});
  end(&s);
  /* The last word is a word, as parts were taken before. */
  s = begin("x = ");
  show(&s, 4, 4, 4, "one two", NULL);
  edit(&s, 4, 4, "one");
  edit(&s, 7, 7, " two");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .accepted = 1, .words = 2, .characters = 7});
  end(&s);
}

static void test_typed(void **state) {
  (void)state;
  scene s = begin("x = ");
  show(&s, 4, 4, 4, "f(a)", NULL);
  edit(&s, 4, 4, "f");
  show(&s, 5, 5, 5, "(a)", NULL);
  edit(&s, 5, 5, "()"); /* the editor closes it; the cursor is between */
  assert_true(lsp__offer_stands(&s.offer, URI, 6));
  show(&s, 6, 6, 7, "a)", NULL);
  edit(&s, 5, 6, ""); /* back, over what was typed through: it stands */
  assert_true(lsp__offer_stands(&s.offer, URI, 5));
  expect(&s, &(lsp__acceptance){.suggestions = 1, .typed = 2});
  edit(&s, 5, 5, "(");
  edit(&s, 6, 7, "a)");
  expect(&s, &(lsp__acceptance){
                 .suggestions = 1, .accepted = 1, .whole = 1, .characters = 2, .typed = 3});
  end(&s);
  /* To the end, a character at a time: nothing was accepted. */
  s = begin("");
  show(&s, 0, 0, 0, "\xC3\xA9z", NULL);
  edit(&s, 0, 0, "\xC3\xA9");
  edit(&s, 2, 2, "z");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .typed = 2});
  assert_null(s.offer.uri);
  end(&s);
}

static void test_not_taken(void **state) {
  (void)state;
  static const struct {
    int64_t from, to;
    const char *text;
  } edits[] = {{4, 4, "q"},     {4, 4, "fox"}, {0, 0, "foo"}, {3, 4, ""}, {0, 4, "foo("},
               {4, 4, "foo(b "}, {5, 6, "foo"}, {2, 3, "foo(bar)"}};
  for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
    scene s = begin("x = ;;");
    show(&s, 4, 4, 4, "foo(bar)", NULL);
    edit(&s, edits[i].from, edits[i].to, edits[i].text);
    expect(&s, &(lsp__acceptance){.suggestions = 1});
    assert_null(s.offer.uri);
    end(&s);
  }
  /* Of another document, or of several edits in one, nothing is known. */
  scene s = begin("x = ");
  show(&s, 4, 4, 4, "foo(bar)", NULL);
  lsp__document *other;
  assert_int_equal(lsp__document_new(&other, "file:///b.c", "c", 1, "    foo", 7), 0);
  lsp__offer_edited(&s.offer, &s.count, other, 0);
  assert_true(lsp__offer_stands(&s.offer, URI, 4));
  lsp__document_delete(other);
  lsp__offer_edited(&s.offer, &s.count, s.d, s.d->edits - 2);
  assert_null(s.offer.uri);
  expect(&s, &(lsp__acceptance){.suggestions = 1});
  end(&s);
}

static void test_several(void **state) {
  (void)state;
  scene s = begin("x = ");
  show(&s, 4, 4, 4, "foo(bar)", "baz + 1");
  edit(&s, 4, 4, "baz");
  assert_true(lsp__offer_stands(&s.offer, URI, 7));
  assert_int_equal(s.offer.n, 1);
  edit(&s, 7, 7, " + 1");
  expect(&s, &(lsp__acceptance){.suggestions = 1, .accepted = 1, .words = 1, .lines = 1,
                                .characters = 7});
  show(&s, 11, 11, 11, ";", NULL); /* another one */
  show(&s, 11, 11, 11, ";", NULL); /* the same */
  show(&s, 11, 11, 11, " + y;", NULL);
  assert_int_equal(s.count.suggestions, 3);
  end(&s);
}

/* Random edits: nothing outside of what there is is read, and counts fit. */
static void test_random(void **state) {
  (void)state;
  uint32_t seed = 11;
  static const char *const texts[] = {"a",  "ab", "()",     "abab", "b a",
                                      "\n", "",   "ab\nab", "((",   "aaa"};
  for (int round = 0; round < 3000; round++) {
    scene s = begin("ab(ab)ab");
    for (int i = 0; i < 12; i++) {
      seed = seed * 1664525 + 1013904223;
      size_t len = s.d->text.len, cursor = (seed >> 8) % (len + 1), start = cursor - cursor % 3;
      size_t stop = cursor + (len - cursor) % 3;
      const char *text = texts[(seed >> 20) % 10];
      if (seed % 3 == 0)
        show(&s, cursor, start, stop, text, (seed >> 24) % 2 ? texts[(seed >> 16) % 10] : NULL);
      else
        edit(&s, (int64_t)cursor, (int64_t)(seed % 2 ? cursor : stop), text);
      assert_true(s.count.accepted <= s.count.suggestions);
      assert_true(s.offer.uri == NULL || s.offer.cursor <= s.d->text.len);
    }
    end(&s);
  }
}

/* ---- why.h: what is copied is ours, and bounded */

static void test_why(void **state) {
  (void)state;
  enum { N = LSP__PIECES_MAX + 7 };
  completion_piece pieces[N];
  char path[N][32];
  for (int i = 0; i < N; i++) {
    snprintf(path[i], sizeof path[i], "src/%d \"quoted\".c", i);
    pieces[i] = (completion_piece){path[i], i % 2 ? "import" : NULL, i, 2, 1.0 / (i + 1), i < 3};
  }
  char extent[] = "block";
  const completion_why said = {.quiet = COMPLETION_QUIET_MID_LINE, .extent = extent,
                               .confidence = 0.25, .pieces = pieces, .n_pieces = N};
  lsp__why *w = lsp__why_new(&said);
  assert_non_null(w);
  memset(path, 'x', sizeof path);
  memset(extent, 'x', sizeof extent - 1);
  w->outcome = LSP__EMPTY;
  lsp__buffer b = {0};
  lsp__why_write(w, URI, &b);
  cJSON *tree;
  const char *text, *bad;
  size_t where;
  int64_t n;
  assert_int_equal(lsp__json_parse(b.data, b.len, &tree, &bad, &where), 0);
  const cJSON *list = lsp__json_get(tree, "pieces");
  assert_int_equal(cJSON_GetArraySize(list), LSP__PIECES_MAX);
  assert_true(lsp__json_get_int(tree, "piecesLeftOut", &n) && n == 7);
  assert_true(lsp__json_get_string(cJSON_GetArrayItem(list, 2), "path", &text));
  assert_string_equal(text, "src/2 \"quoted\".c");
  assert_true(lsp__json_get_string(tree, "extent", &text));
  assert_string_equal(text, "block");
  assert_true(lsp__json_get_string(tree, "quiet", &text));
  assert_string_equal(text, "midLine");
  assert_true(lsp__json_get_string(tree, "reason", &text));
  assert_string_equal(text, completion_strquiet(COMPLETION_QUIET_MID_LINE));
  char line[24];
  lsp__why_line(w, line, sizeof line); /* cut, not overrun */
  assert_true(strlen(line) == sizeof line - 1);
  cJSON_Delete(tree);
  lsp__buffer_free(&b);
  lsp__why_delete(w);
  w = lsp__why_new(NULL);
  assert_non_null(w);
  assert_int_equal(w->said.n_pieces, 0);
  lsp__why_delete(w);
  assert_string_equal(lsp__quiet_name((completion_quiet)99), "unknown");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole),     cmocka_unit_test(test_parts),
      cmocka_unit_test(test_typed),     cmocka_unit_test(test_not_taken),
      cmocka_unit_test(test_several),   cmocka_unit_test(test_random),
      cmocka_unit_test(test_why),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
