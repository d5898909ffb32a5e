/* What the model is shown besides the text around the cursor: the pieces that a reader would
 * look up, and not others, in the same order every time. */
#include "completion/context.h"
#include "helper.h"

#define SAMPLES "tests/data/samples/"

typedef struct fixture {
  completion__documents documents;
  completion__parser *parser;
  completion__view views[8];
  int n_views;
  completion__workspace *workspace;
  completion__edits edits;
  completion__context context;
} fixture;

static void add_document(fixture *f, const char *path) {
  char uri[256];
  snprintf(uri, sizeof uri, "file:///w/%s", path);
  char file[256];
  snprintf(file, sizeof file, SAMPLES "%s", path);
  completion__buffer b = read_sample(file);
  completion_document d = {.uri = uri, .text = b.s, .len = b.len};
  assert_int_equal(completion__documents_set(&f->documents, &d), 0);
  completion__buffer_free(&b);
}

/* Collects for a cursor behind the first `at` in the first document, of which the prompt shows
 * the lines from `above` to `below` around it. */
static void collect(fixture *f, const char *const *paths, const char *at, bool whole) {
  memset(f, 0, sizeof *f);
  f->parser = completion__parser_new(INFINITY);
  completion__documents_root_add(&f->documents, "/w");
  for (const char *const *p = paths; *p; p++) add_document(f, *p);
  char uri[256];
  snprintf(uri, sizeof uri, "file:///w/%s", paths[0]);
  f->n_views = completion__documents_view(
      &f->documents, completion__documents_find(&f->documents, uri), f->views, 8);
  completion__slice t = completion__text_slice(f->views[0].text);
  size_t offset = completion__slice_find(t, 0, slice(at));
  assert_true(offset < t.len);
  offset += strlen(at);
  size_t from = whole ? 0 : completion__line_start(t, offset),
         to = whole ? t.len : completion__line_end(t, offset);
  completion__context_request r = {.parser = f->parser,
                                   .views = f->views,
                                   .n_views = f->n_views,
                                   .workspace = f->workspace,
                                   .edits = &f->edits,
                                   .offset = offset,
                                   .from = from,
                                   .to = to};
  assert_int_equal(completion__context_collect(&r, &f->context), 0);
}

static void done(fixture *f) {
  completion__context_free(&f->context);
  for (int i = 0; i < f->n_views; i++) completion__view_release(&f->views[i]);
  completion__documents_free(&f->documents);
  completion__parser_delete(f->parser);
}

/* The rank of the piece that has the words, or -1. */
static int rank_of(const fixture *f, const char *words, completion__why *why) {
  for (int i = 0; i < f->context.n; i++) {
    completion__buffer b = {0};
    assert_int_equal(completion__context_text(&f->context.pieces[i], &b), 0);
    bool has = strstr(b.s, words) != NULL;
    completion__buffer_free(&b);
    if (has && why) *why = f->context.pieces[i].why;
    if (has) return i;
  }
  return -1;
}

static void expect(const fixture *f, const char *words, completion__why why) {
  completion__why is;
  if (rank_of(f, words, &is) < 0) fail_msg("no piece has \"%s\"", words);
  if (is != why) fail_msg("\"%s\" is there for reason %d", words, (int)is);
}

static void test_c(void **state) {
  (void)state;
  fixture f;
  const char *const paths[] = {"c/queue.c", "c/queue.h", "py/inventory.py", NULL};
  collect(&f, paths, "job *item = &q->items[", false);
  expect(&f, "#include \"queue.h\"", COMPLETION__WHY_IMPORT);
  expect(&f, "size_t queue_remove(queue *q, int id) {", COMPLETION__WHY_SCOPE);
  expect(&f, "static size_t slot_at(const queue *q, size_t index);\n", COMPLETION__WHY_REFERENCED);
  expect(&f, "typedef struct queue {", COMPLETION__WHY_REFERENCED); /* of the header */
  expect(&f, "typedef struct job {", COMPLETION__WHY_REFERENCED);
  assert_int_equal(rank_of(&f, "class Item", NULL), -1); /* another language's */
  assert_true(rank_of(&f, "queue_remove(queue *q, int id) {", NULL) <
              rank_of(&f, "#include", NULL));
  done(&f);
}

static void test_python(void **state) {
  (void)state;
  fixture f;
  const char *const paths[] = {"py/inventory.py", NULL};
  collect(&f, paths, "available = self.", false);
  expect(&f, "from dataclasses import dataclass, field", COMPLETION__WHY_IMPORT);
  expect(&f, "class Inventory:", COMPLETION__WHY_SCOPE);
  expect(&f, "    def reserve(self, sku: str, quantity: int) -> None:", COMPLETION__WHY_SCOPE);
  expect(&f, "def available(self, sku: str) -> int: ...\n", COMPLETION__WHY_REFERENCED);
  expect(&f, "class OutOfStock(Exception):", COMPLETION__WHY_REFERENCED);
  assert_true(rank_of(&f, "def available(", NULL) <
              rank_of(&f, "def to_order(", NULL)); /* further away */
  done(&f);
}

static void test_typescript(void **state) {
  (void)state;
  fixture f;
  const char *const paths[] = {"ts/cache.ts", "ts/types.ts", NULL};
  collect(&f, paths, "if (isExpired(", true);
  expect(&f, "export interface Entry<V> {\n  key: string;", COMPLETION__WHY_REFERENCED);
  expect(&f, "export function isExpired(entry: Entry<unknown>, now: number): boolean;\n",
         COMPLETION__WHY_REFERENCED);
  expect(&f, "export enum Eviction", COMPLETION__WHY_REFERENCED);
  expect(&f, "export interface CacheOptions", COMPLETION__WHY_REFERENCED);
  assert_int_equal(rank_of(&f, "class Cache", NULL), -1); /* the window shows all of it */
  done(&f);
}

static void test_go(void **state) {
  (void)state;
  fixture f;
  const char *const paths[] = {"go/limiter.go", NULL};
  collect(&f, paths, "bucket.refill(", false);
  expect(&f, "package limiter", COMPLETION__WHY_IMPORT);
  expect(&f, "func (l *Limiter) Allow(client string) error {", COMPLETION__WHY_SCOPE);
  expect(&f, "func (b *Bucket) refill(now time.Time)\n", COMPLETION__WHY_REFERENCED);
  expect(&f, "type Bucket struct {", COMPLETION__WHY_REFERENCED);
  done(&f);
}

static void test_rust(void **state) {
  (void)state;
  fixture f;
  const char *const paths[] = {"rs/tokens.rs", NULL};
  collect(&f, paths, "tokens.push(Token::Number(", false);
  expect(&f, "use std::fmt;", COMPLETION__WHY_IMPORT);
  expect(&f, "pub fn tokenize(text: &str) -> Result<Vec<Token>, ParseError> {",
         COMPLETION__WHY_SCOPE);
  expect(&f, "pub enum Token {", COMPLETION__WHY_REFERENCED);
  expect(&f, "pub enum ParseError {", COMPLETION__WHY_REFERENCED);
  done(&f);
}

static void test_same_every_time(void **state) {
  (void)state;
  fixture a, b;
  const char *const one[] = {"c/queue.c", "c/queue.h", "ts/types.ts", NULL};
  const char *const two[] = {"c/queue.c", "ts/types.ts", "c/queue.h",
                             NULL}; /* opened in another order */
  collect(&a, one, "q->items[slot_at(q, kept)] = ", false);
  collect(&b, two, "q->items[slot_at(q, kept)] = ", false);
  assert_int_equal(a.context.n, b.context.n);
  assert_true(a.context.n > 4);
  for (int i = 0; i < a.context.n; i++) {
    completion__buffer x = {0}, y = {0};
    completion__context_text(&a.context.pieces[i], &x);
    completion__context_text(&b.context.pieces[i], &y);
    assert_string_equal(x.s, y.s);
    if (i) assert_true(a.context.pieces[i - 1].score >= a.context.pieces[i].score);
    completion__buffer_free(&x);
    completion__buffer_free(&y);
  }
  done(&a);
  done(&b);
}

static void test_broken_code(void **state) {
  (void)state;
  static const char *const texts[] = {
      "", "{{{{(((", "def f(:\n  x = [\n", "\xFF\xFE\x00", "int f( { return \"", "}\n}\n}"};
  completion__parser *parser = completion__parser_new(INFINITY); /* queries are dear to compile */
  for (int l = 0; l < grammars_count(); l++)
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      fixture f = {.parser = parser};
      completion_document d = {.uri = "x",
                               .language_id = grammars_at(l)->ids[0],
                               .text = texts[i],
                               .len = strlen(texts[i])};
      assert_int_equal(completion__documents_set(&f.documents, &d), 0);
      f.n_views = completion__documents_view(&f.documents, f.documents.items[0], f.views, 8);
      for (size_t at = 0; at <= d.len; at++) {
        completion__context_request r = {
            .parser = parser, .views = f.views, .n_views = 1, .offset = at, .from = at, .to = at};
        assert_int_equal(completion__context_collect(&r, &f.context), 0);
        completion__context_free(&f.context);
      }
      f.parser = NULL;
      done(&f);
    }
  completion__parser_delete(parser);
}

static void test_places(void **state) {
  (void)state;
  completion__documents all = {0};
  completion_document d = {.uri = "file:///home/a%20b/repo/src/x%2Ey.c", .text = "", .len = 0};
  assert_int_equal(completion__documents_set(&all, &d), 0);
  assert_string_equal(all.items[0]->place->path, "x.y.c");
  assert_string_equal(all.items[0]->place->repository, "src");
  completion__documents_root_add(&all, "/home/a b/repo/");
  assert_string_equal(all.items[0]->place->path, "src/x.y.c");
  assert_string_equal(all.items[0]->place->repository, "repo");
  completion__documents_root_remove(&all, "/home/a b/repo");
  assert_string_equal(all.items[0]->place->path, "x.y.c");
  d.uri = "untitled:%zz\nx";
  assert_int_equal(completion__documents_set(&all, &d), 0);
  assert_null(strchr(all.items[1]->place->path, '\n'));
  completion__documents_free(&all);
}

static void test_line_ends(void **state) {
  (void)state;
  const char *raw = "a\r\nb\rc\r\n\r\nd";
  completion__text *t = completion__text_new(raw, strlen(raw), NULL);
  assert_slice(completion__text_slice(t), "a\nb\rc\n\nd");
  assert_true(t->crlf);
  static const size_t expected[] = {0, 1, 1, 2, 3, 4, 5, 5, 6, 6, 7, 8};
  for (size_t at = 0; at <= strlen(raw); at++)
    assert_int_equal(completion__text_offset(t, at), expected[at]);
  completion__text_release(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_c),           cmocka_unit_test(test_python),
      cmocka_unit_test(test_typescript),  cmocka_unit_test(test_go),
      cmocka_unit_test(test_rust),        cmocka_unit_test(test_same_every_time),
      cmocka_unit_test(test_broken_code), cmocka_unit_test(test_places),
      cmocka_unit_test(test_line_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
