/* Code that comes whole: the places edited last, and lines that look like those around the cursor. */
#include "completion/context.h"
#include "helper.h"

static completion__parser *parser;

static int set_up(void **state) {
  (void)state;
  return (parser = completion__parser_new(INFINITY)) == NULL;
}

static int tear_down(void **state) {
  (void)state;
  completion__parser_delete(parser);
  return 0;
}

/* ---- edits ------------------------------------------------------------------------------- */

static const completion__document one, two;

static void edit(completion__edits *e, const completion__document *d, char *text, size_t at,
                 size_t out, const char *in) {
  char *old = strdup(text);
  memmove(text + at + strlen(in), old + at + out, strlen(old + at + out) + 1);
  memcpy(text + at, in, strlen(in));
  completion__edits_note(e, d, slice(old), slice(text));
  free(old);
}

static void test_edits(void **state) {
  (void)state;
  completion__edits e = {.n = 0};
  char a[4000] = "", b[4000] = "";
  for (int i = 0; i < 60; i++) sprintf(a + strlen(a), "line %02d of the first text\n", i);
  strcpy(b, a);
  completion__edits_note(&e, &one, slice(a), slice(a));
  assert_int_equal(e.n, 0);
  edit(&e, &one, a, 500, 0, "@#%");
  edit(&e, &two, b, 30, 4, "");
  assert_int_equal(e.n, 2);
  assert_true(e.items[0].document == &two && e.items[0].start == 30 && e.items[0].end == 30);
  assert_true(e.items[1].document == &one && e.items[1].start == 500 && e.items[1].end == 503);
  edit(&e, &one, a, 0, 0, "0123456789"); /* moves what is behind it */
  assert_int_equal(e.n, 3);
  assert_true(e.items[2].start == 510 && e.items[2].end == 513);
  edit(&e, &one, a, 530, 0, "@@@"); /* nearly touches: one place, the newest */
  assert_int_equal(e.n, 3);
  assert_true(e.items[0].document == &one && e.items[0].start == 510 && e.items[0].end == 533);
  edit(&e, &one, a, 505, 40, ""); /* all of it is taken away */
  assert_true(e.n == 3 && e.items[0].start == 505 && e.items[0].end == 505);
  char *large = malloc(2000);
  memset(large, 'x', 1999), large[1999] = 0;
  edit(&e, &two, b, 1000, 0, large); /* nobody wrote that */
  assert_int_equal(e.n, 3);
  free(large);
  for (int i = 0; i < 20; i++) {
    char far[3000];
    memset(far, '.', sizeof far);
    far[2999] = 0;
    completion__document *d = (completion__document *)&two;
    char t[3100] = "";
    strcpy(t, far);
    edit(&e, d, t, (size_t)(i * 140), 0, "=");
    assert_true(e.n <= COMPLETION__EDITS_MAX);
  }
  completion__edits_forget(&e, &two);
  for (int i = 0; i < e.n; i++) assert_ptr_equal(e.items[i].document, &one);
}

/* Whatever happens, a place lies within its document and its lines are whole ones. */
static void test_edits_at_random(void **state) {
  (void)state;
  completion__edits e = {.n = 0};
  char texts[2][6000];
  unsigned seed = 9;
  for (int d = 0; d < 2; d++) {
    texts[d][0] = 0;
    for (int i = 0; i < 80; i++) sprintf(texts[d] + strlen(texts[d]), i % 7 ? "a\xC3\xA9 b%d\n" : "\n", i);
  }
  for (int i = 0; i < 2000; i++) {
    int d = (seed = seed * 1664525u + 1013904223u) / 65536 % 2;
    size_t len = strlen(texts[d]), at = (seed = seed * 1664525u + 1013904223u) / 65536 % (len + 1);
    size_t out = (seed = seed * 1664525u + 1013904223u) / 65536 % 9;
    static const char *const in[] = {"", "x", "\n", "\xC3\xA8", "long enough\nto matter\n"};
    while (at > 0 && completion__utf8_inside(texts[d][at])) at--;
    if (at + out > len) out = len - at;
    while (at + out < len && completion__utf8_inside(texts[d][at + out])) out++;
    edit(&e, d ? &two : &one, texts[d], at, out,
         in[len > 5000 ? 0 : (seed = seed * 1664525u + 1013904223u) / 65536 % 5]);
    for (int j = 0; j < e.n; j++) {
      const char *s = texts[e.items[j].document == &two];
      completion__text *t = completion__text_new(s, strlen(s), NULL);
      assert_true(e.items[j].start <= e.items[j].end && e.items[j].end <= t->len);
      size_t from, to;
      if (completion__edits_lines(&e.items[j], t, &from, &to)) {
        assert_true(from < to && to <= t->len && (from == 0 || s[from - 1] == '\n'));
        int lines = 1;
        for (size_t k = from; k < to; k++) lines += s[k] == '\n';
        assert_true(lines <= 16);
      }
      completion__text_release(t);
    }
  }
}

/* ---- in the context ---------------------------------------------------------------------- */

typedef struct fixture {
  completion__documents documents;
  completion__view views[8];
  int n_views;
  completion__edits edits;
  completion__context context;
} fixture;

static void put(fixture *f, const char *uri, const char *text) {
  completion_document d = {.uri = uri, .text = text, .len = strlen(text)};
  completion__document *known = completion__documents_find(&f->documents, uri);
  completion__text *old = known ? completion__text_hold(known->text) : NULL;
  assert_int_equal(completion__documents_set(&f->documents, &d), 0);
  if (known)
    completion__edits_note(&f->edits, known, completion__text_slice(old),
                           completion__text_slice(known->text));
  completion__text_release(old);
}

/* What was found for a cursor behind the first `at`, of which the prompt shows [0, to). */
static void look(fixture *f, const char *uri, const char *at, const char *to) {
  for (int i = 0; i < f->n_views; i++) completion__view_release(&f->views[i]);
  f->n_views = completion__documents_view(
      &f->documents, completion__documents_find(&f->documents, uri), f->views, 8);
  completion__slice t = completion__text_slice(f->views[0].text);
  completion__context_free(&f->context);
  completion__context_request r = {.parser = parser,
                                   .views = f->views,
                                   .n_views = f->n_views,
                                   .edits = &f->edits,
                                   .offset = completion__slice_find(t, 0, slice(at)) + strlen(at),
                                   .to = to ? completion__slice_find(t, 0, slice(to)) : t.len};
  assert_int_equal(completion__context_collect(&r, &f->context), 0);
}

static void done(fixture *f) {
  for (int i = 0; i < f->n_views; i++) completion__view_release(&f->views[i]);
  completion__context_free(&f->context);
  completion__documents_free(&f->documents);
}

/* The piece of that kind, its text owned; NULL: none. */
static char *piece(const fixture *f, completion__why why, int number) {
  for (int i = 0; i < f->context.n; i++) {
    completion__buffer b = {0};
    if (f->context.pieces[i].why != why || number--) continue;
    assert_int_equal(completion__context_text(&f->context.pieces[i], &b), 0);
    return b.s;
  }
  return NULL;
}

static void expect(const fixture *f, completion__why why, int number, const char *expected) {
  char *is = piece(f, why, number);
  if (!is || !expected) assert_true(is == expected);
  else assert_string_equal(is, expected);
  free(is);
}

static const char handlers[] =
    "package shop\n\nfunc helper() int {\n\treturn 1\n}\n\n"
    "func (s *Server) handleOrders(w http.ResponseWriter, r *http.Request) {\n"
    "\torders, err := s.store.ListOrders(r.Context())\n"
    "\tif err != nil {\n\t\thttp.Error(w, err.Error(), http.StatusInternalServerError)\n\t\treturn\n\t}\n"
    "\ts.writeJSON(w, orders)\n}\n\nfunc unrelated(alpha, beta, gamma int) int {\n\treturn alpha\n}\n";
static const char writing[] =
    "package shop\n\nfunc (s *Server) handleCustomers(w http.ResponseWriter, r *http.Request) {\n"
    "\tcustomers, err := s.store.ListCustomers(r.Context())\n"
    "\tif err != nil {\n\t\thttp.Error(w, err.Error(), http.StatusInternalServerError)\n\t\treturn\n\t}\n\t";

static void test_similar(void **state) {
  (void)state;
  static const char *const orders[][3] = {{"file:///w/a.go", "file:///w/b.py", "file:///w/c.go"},
                                          {"file:///w/c.go", "file:///w/a.go", "file:///w/b.py"}};
  for (int o = 0; o < 2; o++) {
    fixture f = {.n_views = 0};
    for (int i = 0; i < 3; i++)
      put(&f, orders[o][i], orders[o][i][8 + 2] == 'c' ? writing : handlers);
    look(&f, "file:///w/c.go", "return\n\t}\n\t", NULL);
    char *is = piece(&f, COMPLETION__WHY_SIMILAR, 0);
    assert_non_null(is);
    /* whole, and of the same language; the other document has the same words */
    assert_int_equal(strncmp(is, "func (s *Server) handleOrders(", 30), 0);
    assert_non_null(strstr(is, "\ts.writeJSON(w, orders)\n}\n"));
    assert_null(strstr(is, "unrelated"));
    free(is);
    expect(&f, COMPLETION__WHY_SIMILAR, 1, NULL);
    for (int i = 0; i < f.context.n; i++)
      assert_string_not_equal(f.context.pieces[i].path, "b.py");
    done(&f);
  }
}

/* Of the document itself only what the prompt does not show. */
static void test_similar_below(void **state) {
  (void)state;
  fixture f = {.n_views = 0};
  completion__buffer b = {0};
  completion__buffer_add(&b, writing);
  completion__buffer_add(&b, "\n}\n\n// below\n\n");
  completion__buffer_add(&b, handlers + strlen("package shop\n"));
  put(&f, "file:///w/c.go", b.s);
  look(&f, "file:///w/c.go", "return\n\t}\n\t", "// below");
  char *is = piece(&f, COMPLETION__WHY_SIMILAR, 0);
  assert_non_null(is);
  assert_int_equal(strncmp(is, "func (s *Server) handleOrders(", 30), 0);
  free(is);
  look(&f, "file:///w/c.go", "return\n\t}\n\t", NULL);
  expect(&f, COMPLETION__WHY_SIMILAR, 0, NULL);
  completion__buffer_free(&b);
  done(&f);
}

static void test_edited(void **state) {
  (void)state;
  fixture f = {.n_views = 0};
  char text[2000];
  put(&f, "file:///w/main.py", "x = 1\n");
  snprintf(text, sizeof text, "\n\n\ndef f():\n    a = 1\n    b = 2\n    c = 3\n    d = 4\n    e = 5\n");
  put(&f, "file:///w/other.py", text);
  look(&f, "file:///w/main.py", "x = 1", NULL);
  expect(&f, COMPLETION__WHY_EDITED, 0, NULL); /* opened, not edited */
  edit(&f.edits, &one, text, strlen(text) - 3, 1, "9"); /* a document that is not there */
  put(&f, "file:///w/other.py", text);
  look(&f, "file:///w/main.py", "x = 1", NULL);
  expect(&f, COMPLETION__WHY_EDITED, 0, "    c = 3\n    d = 4\n    e =95\n");
  put(&f, "file:///w/main.py", "x = 12\n"); /* shown anyway */
  look(&f, "file:///w/main.py", "x = 12", NULL);
  expect(&f, COMPLETION__WHY_EDITED, 0, "    c = 3\n    d = 4\n    e =95\n");
  expect(&f, COMPLETION__WHY_EDITED, 1, NULL);
  put(&f, "file:///w/third.py", "y = 1\n");
  put(&f, "file:///w/third.py", "y = 10\n"); /* the newest first */
  look(&f, "file:///w/main.py", "x = 12", NULL);
  expect(&f, COMPLETION__WHY_EDITED, 0, "y = 10\n");
  expect(&f, COMPLETION__WHY_EDITED, 1, "    c = 3\n    d = 4\n    e =95\n");
  done(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_edits),   cmocka_unit_test(test_edits_at_random),
      cmocka_unit_test(test_similar), cmocka_unit_test(test_similar_below),
      cmocka_unit_test(test_edited),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
