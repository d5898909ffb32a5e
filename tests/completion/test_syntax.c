/* Trees and definitions: an incremental parse equals a full one after any edit, in broken code
 * too; definitions have the signatures that a reader would copy. */
#include "completion/syntax.h"
#include "completion/tree_memory.h"
#include "helper.h"

#include <sys/resource.h>

static completion__text *text_of(const char *s, const char *file) {
  completion__text *t = completion__text_new(s, strlen(s), grammars_find(NULL, file));
  assert_non_null(t);
  return t;
}

static void assert_same_tree(const TSTree *a, const TSTree *b) {
  char *x = ts_node_string(ts_tree_root_node(a)), *y = ts_node_string(ts_tree_root_node(b));
  assert_string_equal(x, y);
  free(x);
  free(y);
}

/* Those that were kept up with the edits are those that a fresh look at the same tree finds. */
static void assert_same_definitions(completion__parser *p, completion__document *d,
                                    completion__text *t) {
  completion__document other = {.syntax = calloc(1, sizeof *other.syntax)};
  const completion__definition *a, *b;
  int n = completion__syntax_definitions(p, d, t, NULL, &a);
  other.syntax->text = completion__text_hold(t);
  other.syntax->tree = ts_tree_copy(d->syntax->tree);
  assert_int_equal(completion__syntax_definitions(p, &other, t, NULL, &b), n);
  for (int i = 0; i < n; i++) {
    assert_int_equal(a[i].name, b[i].name);
    assert_int_equal(a[i].name_len, b[i].name_len);
    assert_int_equal(a[i].start, b[i].start);
    assert_int_equal(a[i].end, b[i].end);
    assert_int_equal(a[i].whole_end, b[i].whole_end);
    assert_true(a[i].kind == b[i].kind && a[i].cut == b[i].cut && a[i].local == b[i].local);
  }
  completion__syntax_delete(other.syntax);
}

static void test_incremental_equals_full(void **state) {
  (void)state;
  static const char *const files[] = {
      "tests/data/samples/c/queue.c", "tests/data/samples/py/inventory.py",
      "tests/data/samples/ts/cache.ts", "tests/data/samples/go/limiter.go",
      "tests/data/samples/rs/tokens.rs"};
  static const char *const inserts[] = {"x",       "{",        "}",  "\n", "(", "\"",
                                        "if a:\n", "\xC3\xA9", "  ", "/*", ""};
  unsigned seed = 3;
  completion__parser *p = completion__parser_new(INFINITY), *fresh = completion__parser_new(INFINITY);
  for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
    completion__buffer b = read_sample(files[f]);
    completion__document d = {0}, other = {0};
    char *now = strdup(b.s);
    for (int edit = 0; edit < 60; edit++) {
      completion__text *t = text_of(now, files[f]);
      if (edit % 5 > 2) { /* moved along, and asked, before it is parsed */
        const completion__definition *found;
        assert_non_null(completion__syntax_near(p, &d, t, NULL));
        if (edit % 5 == 4) completion__syntax_definitions_near(p, &d, t, NULL, &found);
        if (edit % 10 == 8) completion__syntax_refresh(p, &d, NULL);
      }
      const TSTree *tree = completion__syntax_tree(p, &d, t, NULL);
      assert_non_null(tree);
      assert_ptr_equal(completion__syntax_tree(p, &d, t, NULL), tree);
      if (edit % 6 == 0) {
        const TSTree *full = completion__syntax_tree(fresh, &other, t, NULL);
        assert_non_null(full);
        assert_same_tree(tree, full);
        completion__syntax_delete(other.syntax);
        other.syntax = NULL;
      }
      if (edit % 3 != 1) assert_same_definitions(p, &d, t); /* and after two edits */
      completion__text_release(t);
      /* the next text: some bytes out, some in */
      size_t len = strlen(now);
      size_t at = (seed = seed * 1664525u + 1013904223u) / 65536 % (len + 1);
      size_t out = (seed = seed * 1664525u + 1013904223u) / 65536 % 12;
      const char *in = inserts[(seed = seed * 1664525u + 1013904223u) / 65536 % 11];
      while (at > 0 && completion__utf8_inside(now[at])) at--;
      if (at + out > len) out = len - at;
      while (at + out < len && completion__utf8_inside(now[at + out])) out++;
      char *next = malloc(len + strlen(in) + 1);
      snprintf(next, len + strlen(in) + 1, "%.*s%s%s", (int)at, now, in, now + at + out);
      free(now);
      now = next;
    }
    completion__syntax_delete(d.syntax);
    free(now);
    completion__buffer_free(&b);
  }
  completion__parser_delete(p);
  completion__parser_delete(fresh);
}

static void test_edit(void **state) {
  (void)state;
  TSInputEdit e;
  assert_false(completion__syntax_edit(slice("a\nb"), slice("a\nb"), &e));
  assert_true(completion__syntax_edit(slice("a\nbc\nd"), slice("a\nbxyc\nd"), &e));
  assert_int_equal(e.start_byte, 3);
  assert_int_equal(e.old_end_byte, 3);
  assert_int_equal(e.new_end_byte, 5);
  assert_int_equal(e.start_point.row, 1);
  assert_int_equal(e.start_point.column, 1);
  assert_int_equal(e.new_end_point.column, 3);
  /* never inside a character: e9 and e8 share their first byte */
  assert_true(completion__syntax_edit(slice("\xC3\xA9"), slice("\xC3\xA8"), &e));
  assert_int_equal(e.start_byte, 0);
  assert_int_equal(e.old_end_byte, 2);
}

static void expect_definition(const char *file, const char *s, const char *name,
                              const char *signature, bool cut) {
  completion__parser *p = completion__parser_new(INFINITY);
  completion__document d = {0};
  completion__text *t = text_of(s, file);
  const completion__definition *found;
  int n = completion__syntax_definitions(p, &d, t, NULL, &found);
  bool seen = false;
  for (int i = 0; i < n; i++) {
    completion__slice is = completion__slice_cut(completion__text_slice(t), found[i].name,
                                                 found[i].name + found[i].name_len);
    if (!completion__slice_equal(is, slice(name))) continue;
    seen = true;
    assert_slice(completion__slice_cut(completion__text_slice(t), found[i].start, found[i].end),
                 signature);
    if (found[i].cut != cut) fail_msg("%s: cut", name);
  }
  if (!seen) fail_msg("%s: %s not found among %d", file, name, n);
  completion__text_release(t);
  completion__syntax_delete(d.syntax);
  completion__parser_delete(p);
}

static void test_signatures(void **state) {
  (void)state;
  expect_definition("a.c", "static int *area(int w,\n                 int h) {\n  return 0;\n}\n",
                    "area", "static int *area(int w,\n                 int h)", true);
  expect_definition("a.h", "int area(int w);\n", "area", "int area(int w)", false);
  expect_definition("a.h", "typedef struct box {\n  int w;\n} box;\n", "box",
                    "typedef struct box {\n  int w;\n} box;", false);
  expect_definition("a.h", "#define SIDE 3 /* cm */\nint x;\n", "SIDE", "#define SIDE 3 /* cm */",
                    false);
  expect_definition("a.cpp",
                    "class Box {\n public:\n  int area() const { return w; }\n  int w;\n};\n",
                    "area", "int area() const", true);
  expect_definition("a.py", "class Box:\n    def area(self, s=\"a:b\") -> int:\n        return 1\n",
                    "area", "def area(self, s=\"a:b\") -> int:", true);
  expect_definition("a.ts", "export const area = (w: number): number => {\n  return w;\n};\n",
                    "area", "export const area = (w: number): number =>", true);
  expect_definition("a.ts", "export interface Box {\n  w: number;\n}\n", "Box",
                    "export interface Box {\n  w: number;\n}", false);
  expect_definition("a.go",
                    "package a\n\nfunc (b *Box) Area(s int) (int, error) {\n\treturn 1, nil\n}\n",
                    "Area", "func (b *Box) Area(s int) (int, error)", true);
  expect_definition(
      "a.rs",
      "impl Box {\n    pub fn area<T>(&self, t: T) -> i32 where T: Copy {\n        1\n    }\n}\n",
      "area", "pub fn area<T>(&self, t: T) -> i32 where T: Copy", true);
  expect_definition("a.java", "class A {\n  static int area(int w) {\n    return w;\n  }\n}\n",
                    "area", "static int area(int w)", true);
  expect_definition("a.rb", "def area(w)\n  w\nend\n", "area", "def area(w)", true);
}

static void test_bounds(void **state) {
  (void)state;
  completion__parser *p = completion__parser_new(INFINITY);
  const completion__definition *found;
  /* too large, no language, empty, cancelled */
  char *big = malloc(COMPLETION__SYNTAX_BYTES + 2);
  memset(big, ' ', COMPLETION__SYNTAX_BYTES + 1);
  big[COMPLETION__SYNTAX_BYTES + 1] = 0;
  const char *const texts[] = {big, "int a;", ""};
  const char *const names[] = {"a.c", "README", "a.c"};
  for (int i = 0; i < 3; i++) {
    completion__document d = {0};
    completion__text *t = text_of(texts[i], names[i]);
    assert_int_equal(completion__syntax_definitions(p, &d, t, NULL, &found), 0);
    completion__text_release(t);
    completion__syntax_delete(d.syntax);
  }
  atomic_bool cancel = true;
  completion__buffer b = {0};
  for (int i = 0; i < 3000; i++) completion__buffer_add(&b, "int f(int a) { return a; }\n");
  completion__document d = {0};
  completion__text *t = text_of(b.s, "a.c");
  assert_null(completion__syntax_tree(p, &d, t, &cancel));
  atomic_store(&cancel, false);
  assert_non_null(completion__syntax_tree(p, &d, t, &cancel)); /* and that is not held against it */
  completion__text_release(t);
  completion__syntax_delete(d.syntax);
  completion__buffer_free(&b);
  completion__parser_delete(p);
  free(big);
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SHORTAGES /* the sanitizers' allocator takes no such limit */
#else
#define SHORTAGES cmocka_unit_test(test_short_between_parses),

extern void *(*ts_current_malloc)(size_t size);

/* Marks this thread short, as tree-sitter's deleting of a tree does where there is no memory. */
static void run_short(void) {
  struct rlimit all, none;
  assert_int_equal(getrlimit(RLIMIT_AS, &all), 0);
  none = (struct rlimit){.rlim_cur = 1, .rlim_max = all.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
  void *p = ts_current_malloc(COMPLETION__TREE_RESERVE / 2);
  assert_int_equal(setrlimit(RLIMIT_AS, &all), 0);
  assert_non_null(p);
  completion__tree_memory_free(p);
  assert_true(completion__tree_memory_short());
}

/* Once there is memory again the next parse is as good as any, of a new text and of an edited one,
 * whose tree of before is not trusted. */
static void test_short_between_parses(void **state) {
  (void)state;
  completion__parser *p = completion__parser_new(INFINITY);
  completion__document d = {0};
  const char *const versions[] = {"int f(int a) { return a; }\n", "int f(int b) { return b; }\n"};
  for (int i = 0; i < 2; i++) {
    completion__text *t = text_of(versions[i], "a.c");
    completion__document fresh = {0};
    const completion__definition *found;
    run_short();
    const TSTree *tree = completion__syntax_tree(p, &d, t, NULL);
    assert_non_null(tree);
    assert_same_tree(tree, completion__syntax_tree(p, &fresh, t, NULL));
    assert_int_equal(completion__syntax_definitions(p, &d, t, NULL, &found), 1);
    completion__syntax_delete(fresh.syntax);
    completion__text_release(t);
  }
  completion__syntax_delete(d.syntax);
  completion__parser_delete(p);
  assert_int_equal(completion__tree_memory_in_use(), 0);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_incremental_equals_full),
      cmocka_unit_test(test_edit),
      cmocka_unit_test(test_signatures),
      cmocka_unit_test(test_bounds),
      SHORTAGES
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
