/* Finished answers that are found again: where all they depend on is the same, and only there. */
#include "completion/recent.h"
#include "helper.h"

#define A "file:///w/a.py"
#define B "file:///w/b.py"

static completion__documents documents;
static completion__recent recent;
static completion__view views[4];
static int n_views;

static void release_views(void) {
  while (n_views) completion__view_release(&views[--n_views]);
}

static int teardown(void **state) {
  (void)state;
  release_views();
  completion__recent_clear(&recent);
  completion__documents_free(&documents);
  documents = (completion__documents){0};
  return 0;
}

static void set_text(const char *uri, const char *text, size_t len) {
  completion_document d = {.uri = uri, .text = text, .len = len};
  assert_int_equal(completion__documents_set(&documents, &d), 0);
}

/* The document's text without its mark is set, unless it is NULL: only looked at. */
static completion__recent_key key_at(const char *uri, const char *marked) {
  completion__slice before, after;
  split_at_cursor(marked, &before, &after);
  completion__buffer b = {0};
  completion__buffer_append(&b, before.s, before.len);
  completion__buffer_append(&b, after.s, after.len);
  completion__document *known = completion__documents_find(&documents, uri);
  if (!known || !completion__slice_equal(completion__text_slice(known->text),
                                         completion__buffer_slice(&b)))
    set_text(uri, b.s, b.len);
  completion__buffer_free(&b);
  release_views();
  known = completion__documents_find(&documents, uri);
  n_views = completion__documents_view(&documents, known, views, 4);
  return (completion__recent_key){.views = views,
                                  .n_views = n_views,
                                  .cursor = before.len,
                                  .budget = 100,
                                  .terms = {.max_tokens = 8, .max_lines = 2}};
}

static void keep(const char *uri, const char *marked, const char *text) {
  completion__recent_key k = key_at(uri, marked);
  completion__answer a = {.text = slice(text), .verdict.stop = COMPLETION_STOP_LINE, .prompt_tokens = 7};
  completion__recent_keep(&recent, &k, &a);
}

/* NULL: nothing. */
static const char *find_key(const completion__recent_key *k) {
  static char text[64];
  completion__answer a;
  if (!completion__recent_find(&recent, k, &a)) return NULL;
  assert_int_equal(a.verdict.stop, COMPLETION_STOP_LINE);
  assert_int_equal(a.prompt_tokens, 7);
  snprintf(text, sizeof text, "%.*s", (int)a.text.len, a.text.len ? a.text.s : "");
  return text;
}

static const char *find(const char *uri, const char *marked) {
  completion__recent_key k = key_at(uri, marked);
  return find_key(&k);
}

static void test_back_and_forth(void **state) {
  (void)state;
  assert_null(find(A, "x = <|>\ny\n"));
  keep(A, "x = <|>\ny\n", "foo(1)");
  assert_string_equal(find(A, "x = <|>\ny\n"), "foo(1)");
  assert_string_equal(find(A, "x = f<|>\ny\n"), "oo(1)");
  assert_string_equal(find(A, "x = foo(1<|>\ny\n"), ")");
  assert_null(find(A, "x = foo(1)<|>\ny\n")); /* all was typed: a new question */
  assert_null(find(A, "x = foo(1)2<|>\ny\n"));
  assert_null(find(A, "x = g<|>\ny\n"));
  keep(A, "x = g<|>\ny\n", "(2)");
  assert_string_equal(find(A, "x = g<|>\ny\n"), "(2)");
  assert_string_equal(find(A, "x = <|>\ny\n"), "foo(1)"); /* g was deleted */
  assert_string_equal(find(A, "x = g(<|>\ny\n"), "2)");
  assert_null(find(A, "x =<|>\ny\n"));
}

static void keep_shown(const char *marked, const char *text, const char *shown, size_t absorb) {
  completion__recent_key k = key_at(A, marked);
  completion__answer a = {.text = completion__slice_of(text, strlen(text)),
                          .shown = completion__slice_of(shown, strlen(shown)),
                          .absorb = absorb};
  completion__recent_keep(&recent, &k, &a);
}

static void assert_shown(const char *marked, const char *shown, size_t absorb) {
  completion__recent_key k = key_at(A, marked);
  completion__answer a;
  assert_true(completion__recent_find(&recent, &k, &a));
  assert_non_null(a.shown.s);
  assert_int_equal(a.shown.len, strlen(shown));
  assert_memory_equal(a.shown.s, shown, strlen(shown));
  assert_int_equal(a.absorb, absorb);
}

static void test_what_was_shown(void **state) {
  (void)state;
  completion__answer a;
  keep_shown("x = <|>)\ny\n", "foo(1))", "foo(1)", 0); /* the last is there already */
  assert_shown("x = <|>)\ny\n", "foo(1)", 0);
  assert_shown("x = foo(<|>)\ny\n", "1)", 0);
  assert_null(find(A, "x = foo(1)<|>)\ny\n")); /* all that was shown was typed */
  keep_shown("x = <|>;\ny\n", "bar(", "bar();", 1); /* more was shown than written */
  assert_shown("x = bar<|>;\ny\n", "();", 1);
  assert_shown("x = bar(<|>;\ny\n", ");", 1);
  keep_shown("x = <|>,\ny\n", "one", "two", 0); /* what was typed is not what was shown */
  completion__recent_key k = key_at(A, "x = o<|>,\ny\n");
  assert_true(completion__recent_find(&recent, &k, &a));
  assert_null(a.shown.s);
  assert_int_equal(a.text.len, 2);
}

static void test_what_an_answer_depends_on(void **state) {
  (void)state;
  keep(A, "x = <|>\ny\n", "foo");
  assert_null(find(A, "z = <|>\ny\n"));
  assert_null(find(A, "x = <|>\nz\n"));
  assert_null(find(A, "x = <|>)\ny\n"));
  assert_null(find(A, "w\nx = <|>\ny\n"));
  completion__recent_key k = key_at(A, "x = <|>\ny\n");
  assert_non_null(find_key(&k));
#define CHANGED(field)          \
  do {                          \
    completion__recent_key o = k; \
    o.field = !o.field;         \
    assert_null(find_key(&o));  \
  } while (0)
  CHANGED(budget);
  CHANGED(no_context);
  CHANGED(terms.mode);
  CHANGED(terms.max_tokens);
  CHANGED(terms.max_lines);
  CHANGED(terms.temperature);
  CHANGED(terms.top_p);
  CHANGED(terms.seed);
#undef CHANGED
  assert_non_null(find_key(&k));
}

/* Another document is part of the prompt. */
static void test_other_documents(void **state) {
  (void)state;
  keep(A, "x = <|>\n", "foo");
  assert_null(find(B, "x = <|>\n"));      /* not the same document */
  assert_null(find(A, "x = <|>\n"));      /* and that one is open now */
  keep(A, "x = <|>\n", "bar");
  assert_string_equal(find(A, "x = <|>\n"), "bar");
  set_text(B, "changed", 7);
  assert_null(find(A, "x = <|>\n"));
  completion__documents_remove(&documents, B);
  assert_string_equal(find(A, "x = <|>\n"), "foo"); /* as it was */
  assert_int_equal(completion__documents_root_add(&documents, "/w"), 0);
  assert_null(find(A, "x = <|>\n")); /* the prompt would name another path */
}

static void test_nothing_is_an_answer(void **state) {
  (void)state;
  keep(A, "x = 1<|>\n", "");
  assert_string_equal(find(A, "x = 1<|>\n"), "");
  keep(A, "y<|>\n", "a\n  ");
  assert_null(find(A, "ya<|>\n")); /* blanks are none to what was typed */
}

static void test_bounds(void **state) {
  (void)state;
  char text[64];
  for (int i = 0; i <= COMPLETION__RECENT_MAX; i++) {
    if (i == COMPLETION__RECENT_MAX) assert_non_null(find(A, "x0 = <|>\n")); /* newest again */
    snprintf(text, sizeof text, "x%d = <|>\n", i);
    keep(A, text, "foo");
  }
  assert_int_equal(recent.n, COMPLETION__RECENT_MAX);
  assert_null(find(A, "x1 = <|>\n")); /* the oldest went */
  assert_non_null(find(A, "x0 = <|>\n"));
  size_t large = COMPLETION__RECENT_BYTES / 2 - 4;
  char *bytes = malloc(large + 4);
  assert_non_null(bytes);
  memset(bytes, 'x', large);
  memcpy(bytes + large, "<|>", 4);
  keep(A, bytes, "one");
  bytes[0] = 'y';
  keep(A, bytes, "two");
  assert_int_equal(recent.n, 2); /* no room for the small ones */
  assert_true(recent.bytes <= COMPLETION__RECENT_BYTES);
  assert_string_equal(find(A, bytes), "two");
  bytes[0] = 'z';
  keep(A, bytes, "three");
  assert_int_equal(recent.n, 2);
  assert_string_equal(find(A, bytes), "three");
  free(bytes);
  completion__recent_clear(&recent);
  assert_int_equal(recent.bytes, 0);
}

int main(void) {
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_back_and_forth),
      TEST(test_what_was_shown),
      TEST(test_what_an_answer_depends_on),
      TEST(test_other_documents),
      TEST(test_nothing_is_an_answer),
      TEST(test_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
