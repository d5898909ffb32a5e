/* test_replay.c - the figures of fimd replay against values worked out by hand and plain second
 * implementations, and the places where it cuts holes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "lsp/cli_replay.h"

#define NEAR 1e-9

/* ---- figures --------------------------------------------------------------------------- */

static double similarity(const char *a, const char *b) {
  return replay__similarity(a, strlen(a), b, strlen(b));
}

static void test_similarity(void **state) {
  (void)state;
  assert_float_equal(similarity("", ""), 1, NEAR);
  assert_float_equal(similarity("", "abc"), 0, NEAR);
  assert_float_equal(similarity("abc", ""), 0, NEAR);
  assert_float_equal(similarity("return x;", "return x;"), 1, NEAR);
  assert_float_equal(similarity("kitten", "sitting"), 1 - 3.0 / 7, NEAR);
  assert_float_equal(similarity("flaw", "lawn"), 0.5, NEAR);
  /* Characters, not bytes: one of two is another, though they share a byte. */
  assert_float_equal(similarity("a\xc3\xa9", "a\xc3\xa8"), 0.5, NEAR);
  assert_float_equal(similarity("\xe2\x82\xac", "e"), 0, NEAR);
}

/* The definition of the edit distance, without a table. */
static size_t edits(const char *a, const char *b) {
  if (*a == '\0' || *b == '\0') return strlen(a) + strlen(b);
  if (*a == *b) return edits(a + 1, b + 1);
  size_t x = edits(a + 1, b), y = edits(a, b + 1), z = edits(a + 1, b + 1);
  size_t best = x < y ? x : y;
  return 1 + (best < z ? best : z);
}

static void test_similarity_random(void **state) {
  (void)state;
  replay_random r = {7};
  for (int i = 0; i < 300; i++) {
    char a[7] = "", b[7] = "";
    size_t n = replay__pick(&r, 7), m = replay__pick(&r, 7);
    for (size_t k = 0; k < n; k++) a[k] = (char)('a' + replay__pick(&r, 3));
    for (size_t k = 0; k < m; k++) b[k] = (char)('a' + replay__pick(&r, 3));
    size_t longer = n > m ? n : m;
    double want = longer == 0 ? 1 : 1 - (double)edits(a, b) / (double)longer;
    assert_float_equal(similarity(a, b), want, NEAR);
  }
}

static void test_similarity_long(void **state) {
  (void)state;
  size_t len = REPLAY_COMPARED + 500;
  char *a = malloc(len);
  assert_non_null(a);
  memset(a, 'x', len);
  assert_float_equal(replay__similarity(a, len, a, len), 1, NEAR);
  assert_float_equal(replay__similarity(a, len, "y", 1), 0, NEAR);
  assert_true(replay__similarity(a, REPLAY_COMPARED, a, len) == 1);
  free(a);
}

static size_t repeated(const char *a, const char *b) {
  return replay__repeated(a, strlen(a), b, strlen(b));
}

static void test_repeated(void **state) {
  (void)state;
  assert_int_equal(repeated("x = 1;\n  return x;", "\n  return x;\n}\n"), 8);
  assert_int_equal(repeated("x = 1;\nreturn   x;  ", "return x;"), 8); /* blanks do not count */
  assert_int_equal(repeated("foo(", "bar)"), 0);
  assert_int_equal(repeated("", "abc"), 0);
  assert_int_equal(repeated("abc", ""), 0);
  assert_int_equal(repeated("aaa", "aab"), 2);
  assert_int_equal(repeated("}\n}\n});", "}\n}\n});"), 0); /* closers alone are no repetition */
  assert_int_equal(repeated("end", "end"), 3);
  assert_int_equal(repeated("return x", "return xy"), 7);
  assert_int_equal(repeated("return xy", "return x"), 0); /* what is shown goes on otherwise */
  assert_int_equal(repeated("\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9 1"), 3);
}

static replay_stop stop_of(const char *shown, const char *truth) {
  return replay__stop_of(shown, strlen(shown), truth, strlen(truth));
}

static void test_stop(void **state) {
  (void)state;
  assert_int_equal(stop_of("a;", "a;"), REPLAY_STOP_RIGHT);
  assert_int_equal(stop_of("a; ", "a;\n"), REPLAY_STOP_RIGHT);
  assert_int_equal(stop_of("a", "a;"), REPLAY_STOP_SHORT);
  assert_int_equal(stop_of("a;\nb;", "a;"), REPLAY_STOP_LONG);
  assert_int_equal(stop_of("a;", "a;\nb;"), REPLAY_STOP_SHORT);
  assert_int_equal(stop_of("x;", "a;"), REPLAY_STOP_RIGHT);
  assert_int_equal(stop_of("x;\ny;", "a;"), REPLAY_STOP_LONG);
  assert_int_equal(stop_of("x;", "a;\nb;"), REPLAY_STOP_SHORT);
}

static void test_leaked(void **state) {
  (void)state;
  assert_int_equal(replay__leaked("if (a <| b |> c)"), 0);
  assert_int_equal(replay__leaked("a<|fim_pad|>b<|endoftext|>"), 2);
  assert_int_equal(replay__leaked("<|<|file_sep|>"), 1);
  assert_int_equal(replay__leaked("<||> <|fim_pad|"), 0);
}

static replay_score score(const char *shown, const char *truth, size_t absorbed,
                          const char *after) {
  replay_score s;
  assert_true(replay__score(shown, truth, strlen(truth), absorbed, after, strlen(after), &s));
  return s;
}

static void test_score(void **state) {
  (void)state;
  replay_score s = score(NULL, "x", 0, "");
  assert_true(!s.shown && !s.exact && s.saved == 0);
  s = score("", "x", 0, "");
  assert_false(s.shown);
  s = score("b, c);", "b, c);", 0, "\n}\n");
  assert_true(s.shown && s.exact && !s.repeats && s.saved == 6 && s.stop == REPLAY_STOP_RIGHT);
  assert_float_equal(s.similarity, 1, NEAR);
  /* A hole of one line: its line counts, however much more is shown. */
  s = score("x;\nmore();", "x;", 0, "\n}\n");
  assert_true(s.exact && s.stop == REPLAY_STOP_LONG && s.saved == 2);
  /* A hole of several: all of it. */
  s = score("x;\nmore();", "x;\nless();", 0, "\n}\n");
  assert_true(!s.exact && s.stop == REPLAY_STOP_RIGHT && s.saved == 3);
  s = score("x;", "x;\nless();", 0, "\n}\n");
  assert_true(!s.exact && s.stop == REPLAY_STOP_SHORT);
  /* A closer that was there is not saved by being shown again. */
  s = score("b)", "b)", 1, ";\n");
  assert_true(s.exact && s.saved == 1);
  /* A repeated end, unless the truth has it as well. */
  s = score("x;\nreturn x;", "y;", 0, "\nreturn x;\n");
  assert_true(s.repeats);
  s = score("x;\nreturn x;", "y;\nreturn x;", 0, "\nreturn x;\n");
  assert_false(s.repeats);
  s = score("end;", "y;", 0, "\nend;\n"); /* shorter than REPLAY_REPEAT */
  assert_false(s.repeats);
  /* Half a character in common is none. */
  s = score("a\xc3\xa9", "a\xc3\xa8", 0, "");
  assert_int_equal(s.saved, 1);
}

static void test_sums(void **state) {
  (void)state;
  replay_sums s = {0};
  replay_outcome shown = {.score = {.shown = true, .exact = true, .similarity = 1, .saved = 4},
                          .errors_asked = 0, .errors_after = 1, .errors_true = 0,
                          .first_ms = 9, .typed_ms = {1, 2, 3}};
  replay_outcome not_parsed = {.score = {.shown = true}, .errors_asked = -1, .errors_after = -1};
  replay_outcome none = {.errors_asked = 0, .errors_after = 1, .errors_true = 0};
  assert_true(replay__sums_add(&s, &shown));
  assert_true(replay__sums_add(&s, &not_parsed));
  assert_true(replay__sums_add(&s, &none));
  assert_int_equal(s.holes, 3);
  assert_int_equal(s.shown, 2);
  assert_int_equal(s.exact, 1);
  assert_int_equal(s.parsed, 1);
  assert_int_equal(s.whole, 1);
  assert_int_equal(s.broken, 1);
  assert_int_equal(s.wrong, 1);
  assert_float_equal(s.last_ms[0], 3, NEAR);
  assert_float_equal(s.typed_ms[1], 2, NEAR);
  replay__sums_free(&s);
}

/* ---- holes ----------------------------------------------------------------------------- */

static const char diff[] =
    "diff --git a/a.c b/a.c\nindex 1..2 100644\n--- a/a.c\n+++ b/a.c\n"
    "@@ -2,2 +2,3 @@ int main(void) {\n-int old_one;\n--- a/trap.c\n"
    "+int new_one = 1;\n+++ b/trap.c\n+\n"
    "@@ -9,0 +11 @@\n+int another_one = 2;\n\\ No newline at end of file\n"
    "@@ -20,3 +22,0 @@\n-a\n-b\n-c\n"
    "diff --git \"a/odd\\n.c\" \"b/odd\\n.c\"\n--- \"a/odd\\n.c\"\n+++ \"b/odd\\n.c\"\n"
    "@@ -1 +1 @@\n-x\n+y\n"
    "diff --git a/with blank.py b/with blank.py\n--- a/with blank.py\t\n+++ b/with blank.py\t\n"
    "@@ -0,0 +1,2 @@\n+one\n+two\n";

static void test_hunks(void **state) {
  (void)state;
  static const struct {
    const char *path;
    int line, count, added;
  } want[] = {{"a.c", 2, 2, 3}, {"a.c", 9, 0, 1}, {"with blank.py", 0, 0, 2}};
  size_t at = 0, len = sizeof diff - 1;
  replay_hunk h = {0};
  for (int i = 0; i < 3; i++) {
    assert_true(replay__hunk_next(diff, len, &at, &h));
    assert_int_equal(h.path_len, strlen(want[i].path));
    assert_memory_equal(h.path, want[i].path, h.path_len);
    assert_int_equal(h.old_line, want[i].line);
    assert_int_equal(h.old_count, want[i].count);
    assert_int_equal(h.n_added, want[i].added);
  }
  assert_false(replay__hunk_next(diff, len, &at, &h));
  /* Cut short anywhere it finds no more than is there. */
  for (size_t cut = 0; cut < len; cut++) {
    char *copy = malloc(cut + 1);
    assert_non_null(copy);
    memcpy(copy, diff, cut);
    copy[cut] = '\0';
    int n = 0;
    h = (replay_hunk){0};
    for (at = 0; replay__hunk_next(copy, cut, &at, &h);) n++;
    assert_true(n <= 3 && at <= cut);
    free(copy);
  }
}

/* A file of numbered lines that is large enough. */
static char *numbered(int lines) {
  char *text = malloc((size_t)lines * 24 + 1), *o = text;
  assert_non_null(text);
  for (int i = 1; i <= lines; i++) o += sprintf(o, "  number(%02d, value);\n", i);
  return text;
}

static void test_hole_hunk(void **state) {
  (void)state;
  static const char added[] = "+first_line(1);\n+  second_line(2);\n+\n+short\n+fourth_line(4);\n";
  replay_hunk h = {.old_line = 3, .old_count = 2, .added = added, .n_added = 5};
  char *old = numbered(20);
  size_t len = strlen(old), line = len / 20;
  bool whole = false, later = false, last = false;
  for (uint64_t seed = 0; seed < 60; seed++) {
    replay_random r = {seed};
    replay_hole hole;
    int rc = replay__hole_hunk(&r, old, len, &h, &hole);
    assert_in_range(rc, 0, 1);
    if (rc == 0) {
      assert_null(hole.text);
      continue;
    }
    /* Before: lines 1 and 2 and what the commit put above. Behind: line 5 and on. */
    assert_memory_equal(hole.text, old, 2 * line);
    assert_memory_equal(hole.text + hole.to + 1, old + 4 * line, len - 4 * line);
    assert_int_equal(hole.to + 1 + len - 4 * line, hole.len);
    size_t n = hole.to - hole.from;
    const char *text = hole.text + hole.from;
    if (hole.from == 2 * line) {
      assert_int_equal(n, strlen("first_line(1);\n  second_line(2);"));
      assert_memory_equal(text, "first_line(1);\n  second_line(2);", n);
      assert_false(replay__hole_is_single(&hole));
      whole = true;
    } else if (*text == 's') {
      assert_int_equal(n, strlen("second_line(2);"));
      assert_memory_equal(text - 17, "first_line(1);\n  second_line(2);", 17 + n);
      assert_true(replay__hole_is_single(&hole));
      later = true;
    } else {
      assert_int_equal(n, strlen("fourth_line(4);"));
      assert_memory_equal(text, "fourth_line(4);", n);
      last = true;
    }
    free(hole.text);
  }
  assert_true(whole && later && last);
  free(old);
}

static void test_hole_hunk_at_end(void **state) {
  (void)state;
  char *old = numbered(20);
  size_t len = strlen(old) - 1; /* no last line end */
  replay_hunk h = {.old_line = 20, .added = "+added_line();\n", .n_added = 1};
  replay_random r = {0};
  replay_hole hole;
  assert_int_equal(replay__hole_hunk(&r, old, len, &h, &hole), 1);
  assert_memory_equal(hole.text, old, len);
  assert_string_equal(hole.text + len, "\nadded_line();\n");
  free(hole.text);
  /* Characters count, not bytes: some must be left when the first ones are typed. */
  h.added = "+\xf0\x9f\x98\x80\xf0\x9f\x98\x80\n";
  assert_int_equal(replay__hole_hunk(&r, old, len, &h, &hole), 0);
  /* A diff that does not fit the file is no reason to read past it. */
  h.old_line = 5000;
  h.old_count = 5000;
  if (replay__hole_hunk(&r, old, len, &h, &hole) == 1) free(hole.text);
  free(old);
}

static void test_hole_tail(void **state) {
  (void)state;
  char *text = numbered(20);
  size_t len = strlen(text);
  int found = 0;
  for (uint64_t seed = 0; seed < 200; seed++) {
    replay_random r = {seed}, again = {seed};
    replay_hole hole, same;
    int rc = replay__hole_tail(&r, text, len, &hole);
    assert_int_equal(replay__hole_tail(&again, text, len, &same), rc);
    if (rc != 1) continue;
    found++;
    assert_true(same.from == hole.from && same.to == hole.to);
    assert_string_equal(hole.text, text);
    assert_true(text[hole.to] == '\n' && text[hole.to - 1] == ';');
    assert_true(hole.to - hole.from >= REPLAY_HOLE_MIN && replay__hole_is_single(&hole));
    assert_true(text[hole.from - 1] == '(' || text[hole.from - 1] == ' ' ||
                text[hole.from] == '(' || text[hole.from] == ',');
    free(hole.text);
    free(same.text);
  }
  assert_true(found > 20);
  free(text);
}

static void test_hole_node(void **state) {
  (void)state;
  static const char text[] =
      "#include <stdio.h>\n\n/* A comment that goes on\n * over several lines. */\n"
      "int twice(int number) {\n  if (number > 1000) {\n    printf(\"%d\\n\", number);\n  }\n"
      "  return number * 2;\n}\n\nint main(void) { return twice(21) + twice(number_of_them); }\n"
      "/* padding padding padding padding */\n";
  size_t len = sizeof text - 1;
  bool statement = false, function = false;
  for (uint64_t seed = 0; seed < 100; seed++) {
    replay_random r = {seed};
    replay_hole hole;
    assert_int_equal(replay__hole_node(&r, REPLAY_NODE, "a.c", text, len, &hole), 1);
    assert_false(replay__hole_is_single(&hole));
    statement = statement || strncmp(text + hole.from, "if (number", 10) == 0;
    function = function || strncmp(text + hole.from, "int twice", 9) == 0;
    assert_true(text[hole.to - 1] == '}' && text[hole.to] == '\n');
    free(hole.text);
    assert_int_equal(replay__hole_node(&r, REPLAY_MIDDLE, "a.c", text, len, &hole), 1);
    assert_true(replay__hole_is_single(&hole));
    assert_true(text[hole.to] != '\n' && text[hole.from - 1] != '\n');
    assert_true(hole.to - hole.from >= REPLAY_HOLE_MIN);
    free(hole.text);
  }
  assert_true(statement && function);
  replay_random r = {0};
  replay_hole hole;
  assert_int_equal(replay__hole_node(&r, REPLAY_NODE, "a.unknown", text, len, &hole), 0);
}

static void test_fit(void **state) {
  (void)state;
  char text[300];
  memset(text, 'x', sizeof text);
  assert_true(replay__text_is_fit(text, sizeof text));
  assert_false(replay__text_is_fit(text, 10));
  static const char bad[] = {'\0', '\r', '\xff'};
  for (size_t i = 0; i < sizeof bad; i++) {
    text[100] = bad[i];
    assert_false(replay__text_is_fit(text, sizeof text));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_similarity),  cmocka_unit_test(test_similarity_random),
      cmocka_unit_test(test_similarity_long), cmocka_unit_test(test_repeated),
      cmocka_unit_test(test_stop),        cmocka_unit_test(test_leaked),
      cmocka_unit_test(test_score),       cmocka_unit_test(test_sums),
      cmocka_unit_test(test_hunks),       cmocka_unit_test(test_hole_hunk),
      cmocka_unit_test(test_hole_hunk_at_end), cmocka_unit_test(test_hole_tail),
      cmocka_unit_test(test_hole_node),   cmocka_unit_test(test_fit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
