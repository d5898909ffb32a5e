/* The definition index: what files that are not open bring to the context, that nothing which must
 * not be read ever does, and that neither the order of reading nor that of opening matters. */
#include "completion/context.h"
#include "completion/prompt.h"
#include "folder_engine.h"

#define CANARY "canary_3f9a" /* defined in every file that must stay out */

static engine_pool *pool;
static completion__workspace *w;
static completion__parser *parser;
static completion__documents documents;
static completion__view views[8];
static int n_views;
static completion__context context;

static int parser_set_up(void **state) {
  parser = completion__parser_new(INFINITY);
  return parser ? group_set_up(state) : -1;
}

static int parser_tear_down(void **state) {
  completion__parser_delete(parser);
  return group_tear_down(state);
}

static int set_up(void **state) {
  (void)state;
  if (chdir(top) || system("rm -rf t && mkdir t") || chdir("t") || engine_pool_new(&pool, 0))
    return -1;
  w = completion__workspace_new(the_engine, pool);
  return w ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  for (int i = 0; i < n_views; i++) completion__view_release(&views[i]);
  n_views = 0;
  completion__context_free(&context);
  completion__documents_free(&documents);
  completion__workspace_delete(w);
  engine_pool_delete(pool);
  return 0;
}

static void put(const char *path, const char *text) {
  char command[PATH_MAX + 64];
  snprintf(command, sizeof command, "mkdir -p \"$(dirname %s)\"", path);
  run(command);
  write_text(path, text);
}

static void add(const char *folder) {
  assert_int_equal(completion__workspace_add(w, at(folder)), 0);
  assert_int_equal(completion__documents_root_add(&documents, at(folder)), 0);
  completion__workspace_wait(w);
}

static void open_text(const char *path, const char *text) {
  char uri[PATH_MAX + 64];
  snprintf(uri, sizeof uri, "file://%s", at(path));
  completion_document d = {.uri = uri, .text = text, .len = strlen(text)};
  bool known = completion__documents_find(&documents, uri) != NULL;
  assert_int_equal(completion__documents_set(&documents, &d), 0);
  if (!known) completion__workspace_opened(w, at(path));
}

/* The context at the end of a document, all of which the prompt shows. */
static void look(const char *path) {
  char uri[PATH_MAX + 64];
  snprintf(uri, sizeof uri, "file://%s", at(path));
  for (int i = 0; i < n_views; i++) completion__view_release(&views[i]);
  n_views = completion__documents_view(&documents, completion__documents_find(&documents, uri),
                                       views, 8);
  completion__context_free(&context);
  completion__workspace_wait(w);
  completion__context_request r = {.parser = parser,
                                   .views = views,
                                   .n_views = n_views,
                                   .workspace = w,
                                   .offset = views[0].text->len,
                                   .to = views[0].text->len};
  assert_int_equal(completion__context_collect(&r, &context), 0);
}

/* All pieces, as "path why: text", one after another. */
static char *listing(void) {
  completion__buffer b = {0};
  completion__buffer_add(&b, "");
  for (int i = 0; i < context.n; i++) {
    completion__buffer_add(&b, context.pieces[i].path);
    completion__buffer_add(&b, " ");
    completion__buffer_add(&b, completion__strwhy(context.pieces[i].why));
    completion__buffer_add(&b, ": ");
    assert_int_equal(completion__context_text(&context.pieces[i], &b), 0);
  }
  return b.s;
}

static void expect(const char *expected) {
  char *is = listing();
  assert_string_equal(is, expected);
  free(is);
}

static void test_not_open(void **state) {
  (void)state;
  put("lib/frob.c", "/* x */\n\nint frob_widget(int w, char *name) {\n  return w;\n}\n");
  put("notes.md", "frob_widget(\n");
  put("other.py", "def frob_widget(a):\n    pass\n"); /* another language's */
  add("");
  open_text("main.c", "int main(void) {\n  frob_widget(");
  look("main.c");
  expect("lib/frob.c referenced: int frob_widget(int w, char *name);\n");
  assert_int_equal(context.pieces[0].line, 2);
  open_text("main.c", "int main(void) {\n  int frob_widget = "); /* not used as a function */
  look("main.c");
  expect("");
  open_text("main.c", "int frob_widget(int own);\nint main(void) {\n  frob_widget("); /* its own */
  look("main.c");
  expect("");
}

static void test_imported_first(void **state) {
  (void)state;
  put("far/pages.py", "def render(page, far):\n    pass\n");
  put("app/views.py", "def render(page, near):\n    pass\n");
  put("app/same.py", "def render(page, same):\n    pass\n");
  put("lib/tools.py", "def render(page, tool):\n    pass\n");
  add("");
  open_text("app/main.py", "from lib.tools import render\n\nrender(");
  look("app/main.py");
  expect("lib/tools.py referenced: def render(page, tool): ...\n"
         "app/same.py referenced: def render(page, same): ...\n"
         "app/views.py referenced: def render(page, near): ...\n"
         "far/pages.py referenced: def render(page, far): ...\n");
}

static void test_mentioned(void **state) {
  (void)state;
  put("gadget.h", "typedef struct gadget {\n  int teeth;\n} gadget;\n");
  put("make.h", "gadget *make_gadget(int n);\n");
  add("");
  open_text("main.c", "#include \"make.h\"\n#include \"gadget.h\"\nvoid f(void) {\n  x = make_gadget(");
  look("main.c");
  expect("make.h referenced: gadget *make_gadget(int n)\n"
         "gadget.h referenced: typedef struct gadget {\n  int teeth;\n} gadget;\n");
  open_text("main.c", "void f(void) {\n  x = make_gadget(");
  look("main.c");
  expect("make.h referenced: gadget *make_gadget(int n)\n"
         "gadget.h mentioned: typedef struct gadget {\n  int teeth;\n} gadget;\n");
}

static void test_common_names(void **state) {
  (void)state;
  for (int i = 0; i < COMPLETION__SYMBOLS_COMMON + 1; i++) {
    char path[32], text[64];
    snprintf(path, sizeof path, "m%d.py", i);
    snprintf(text, sizeof text, "def process(m%d):\n    pass\n", i);
    put(path, text);
  }
  add("");
  open_text("main.py", "process(");
  look("main.py");
  expect("");
  open_text("main.py", "import m3\nprocess(");
  look("main.py");
  expect("m3.py referenced: def process(m3): ...\n");
}

#define DEFINES "int " CANARY "(int secret_3f9a);\n"

static void test_what_must_not_be_read(void **state) {
  (void)state;
  put(".gitignore", "ignored.c\nbuilt/\n");
  put("ignored.c", DEFINES);
  put("built/x.c", DEFINES);
  put("node_modules/m/x.c", DEFINES);
  put(".hidden/x.c", DEFINES);
  put(".env", DEFINES);
  put("secrets.c", "-----BEGIN RSA PRIVATE KEY-----\n" DEFINES);
  put("../outside.c", DEFINES);
  run("ln -s ../outside.c link.c");
  put("fine.c", "int fine_one(int a);\n");
  add("");
  completion__workspace_changed(w, at("ignored.c"));
  completion__workspace_changed(w, at("built/x.c"));
  completion__workspace_changed(w, at("../outside.c"));
  completion__workspace_changed(w, at("link.c"));
  open_text("main.c", "int main(void) {\n  fine_one(" CANARY "(");
  look("main.c");
  expect("fine.c referenced: int fine_one(int a)\n");
  assert_true(completion__workspace_has_symbol(w, at("fine.c"), slice("int fine_one(int a)")));
  /* what may not be read any more is gone, from prompts that are settled too */
  completion__settled settled = {0};
  completion__slice text = completion__text_slice(views[0].text);
  for (int round = 0; round < 2; round++) {
    completion__prompt prompt;
    completion__prompt_request r = {.engine = the_engine,
                                    .parser = parser,
                                    .views = views,
                                    .n_views = n_views,
                                    .workspace = w,
                                    .before = text,
                                    .after = completion__slice_cut(text, text.len, text.len),
                                    .budget = 512,
                                    .settled = &settled};
    assert_int_equal(completion__prompt_build(&r, &prompt), 0);
    assert_int_equal(prompt.pieces, round == 0);
    assert_int_equal(prompt.listed.n, round == 0);
    if (round == 0) assert_string_equal(prompt.listed.pieces[0].why, "referenced");
    completion__prompt_free(&prompt);
    put(".gitignore", "*.c\n");
    completion__workspace_changed(w, at("fine.c"));
    completion__workspace_wait(w);
  }
  completion__settled_clear(&settled);
  look("main.c");
  expect("");
}

static void test_changes(void **state) {
  (void)state;
  put("one/a.c", "int part_one(int a);\n");
  put("two/b.c", "int part_two(int b);\n");
  add("one"), add("two");
  open_text("one/main.c", "int main(void) {\n  part_one(part_two(");
  look("one/main.c");
  expect("a.c referenced: int part_one(int a)\nb.c referenced: int part_two(int b)\n");
  put("one/a.c", "int part_one(int a, int more);\n");
  completion__workspace_changed(w, at("one/a.c"));
  look("one/main.c");
  expect("a.c referenced: int part_one(int a, int more)\nb.c referenced: int part_two(int b)\n");
  open_text("two/b.c", "int part_two(int unsaved);\n"); /* an open one is its editor's */
  look("one/main.c");
  expect("b.c referenced: int part_two(int unsaved)\n"
         "a.c referenced: int part_one(int a, int more)\n");
  char uri[PATH_MAX + 64];
  snprintf(uri, sizeof uri, "file://%s", at("two/b.c"));
  completion__workspace_closed(w, at("two/b.c"));
  completion__documents_remove(&documents, uri);
  look("one/main.c");
  expect("a.c referenced: int part_one(int a, int more)\nb.c referenced: int part_two(int b)\n");
  completion__workspace_remove(w, at("two"));
  look("one/main.c");
  expect("a.c referenced: int part_one(int a, int more)\n");
  assert_int_equal(remove("one/a.c"), 0);
  completion__workspace_changed(w, at("one/a.c"));
  look("one/main.c");
  expect("");
}

/* Files read in any order, and documents opened in any order, give the same pieces. */
static void test_same_in_any_order(void **state) {
  (void)state;
  enum { FILES = 24, ROUNDS = 6 };
  char *first = NULL;
  unsigned seed = 5;
  for (int round = 0; round < ROUNDS; round++) {
    int order[FILES];
    for (int i = 0; i < FILES; i++) order[i] = i;
    for (int i = FILES - 1; i > 0; i--) {
      int j = (int)((seed = seed * 1664525u + 1013904223u) / 65536 % (unsigned)(i + 1)), x = order[i];
      order[i] = order[j];
      order[j] = x;
    }
    add("");
    for (int i = 0; i < FILES; i++) {
      char path[32], text[200];
      snprintf(path, sizeof path, "d%d/f%d.py", order[i] % 3, order[i]);
      snprintf(text, sizeof text, "class Kind%d:\n    pass\n\ndef call%d(a: Kind%d, f%d):\n    pass\n",
               order[i] % 7, order[i] % 5, order[i] % 7, order[i]);
      put(path, text);
      completion__workspace_changed(w, at(path));
    }
    for (int i = 0; i < 3; i++) {
      char path[32];
      snprintf(path, sizeof path, "d0/open%d.py", (i + round) % 3);
      open_text(path, i + round == 2 ? "def call1(x):\n    pass\n" : "def call2(y):\n    pass\n");
    }
    for (int i = 0; i < 3; i++) {
      char path[32];
      snprintf(path, sizeof path, "d0/open%d.py", (i + round) % 3);
      open_text(path, (i + round) % 3 ? "def call1(x):\n    pass\n" : "def call2(y):\n    pass\n");
    }
    open_text("d1/main.py", "import f4, f7\ncall0(call1(call2(call3(call4(Kind3(");
    look("d1/main.py");
    char *now = listing();
    assert_true(context.n > 10);
    if (first) assert_string_equal(now, first);
    if (first) free(now);
    else first = now;
    tear_down(NULL);
    assert_int_equal(set_up(NULL), 0);
  }
  free(first);
}

/* ---- the index by itself ----------------------------------------------------------------- */

typedef struct tally {
  int n, sum;
} tally;

static void on_symbol(void *user, const completion__symbol *s, int files) {
  tally *t = user;
  assert_true(files > 0);
  t->n++;
  t->sum += atoi(s->file->shown);
}

/* Files that come and go, against an array. */
static void test_index(void **state) {
  (void)state;
  enum { FILES = 40, NAMES = 30 };
  completion__symbols *s = completion__symbols_new(0);
  completion__symbol_file *files[FILES] = {0};
  bool has[FILES][NAMES] = {{false}};
  unsigned seed = 11;
  for (int round = 0; round < 400; round++) {
    int f = (int)((seed = seed * 1664525u + 1013904223u) / 65536 % FILES);
    completion__symbols_remove(s, files[f]);
    files[f] = NULL;
    memset(has[f], 0, sizeof has[f]);
    if (round % 3) {
      completion__buffer b = {0};
      for (int i = 0; i < 4; i++) {
        int name = (int)((seed = seed * 1664525u + 1013904223u) / 65536 % NAMES);
        char line[64];
        snprintf(line, sizeof line, "def name%d():\n    pass\n", name);
        if (!has[f][name]) completion__buffer_add(&b, line);
        has[f][name] = true;
      }
      char path[32];
      snprintf(path, sizeof path, "/w/%d.py", f);
      assert_int_equal(completion__symbol_file_read(parser, path, 3, b.s, b.len, NULL, &files[f]), 0);
      assert_non_null(files[f]);
      assert_int_equal(completion__symbols_add(s, files[f]), 1);
      files[f]->hidden = f == 7;
      completion__buffer_free(&b);
    }
    for (int name = 0; name < NAMES; name++) {
      char text[16];
      snprintf(text, sizeof text, "name%d", name);
      tally is = {0}, all = {0}, expected = {0};
      completion__symbol_file *some[] = {files[3], files[8]};
      for (int i = 0; i < FILES; i++) all.n += has[i][name];
      for (int i = 0; i < FILES; i++) {
        bool counts = all.n <= COMPLETION__SYMBOLS_COMMON || i == 3 || i == 8;
        if (has[i][name] && i != 7 && counts) expected.n++, expected.sum += i;
      }
      if (!some[0]) some[0] = some[1];
      completion__symbols_find(s, slice(text), some, some[0] ? 1 + (some[1] && some[0] != some[1]) : 0,
                               on_symbol, &is);
      assert_int_equal(is.n, expected.n);
      assert_int_equal(is.sum, expected.sum);
    }
  }
  for (int f = 0; f < FILES; f++) completion__symbols_remove(s, files[f]);
  assert_int_equal(completion__symbols_bytes(s), 0);
  completion__symbols_delete(s);
}

static void test_bounds(void **state) {
  (void)state;
  completion__symbol_file *f;
  const char *text = "def one_function(a):\n    def inner(b):\n        pass\n\ndef ab():\n    pass\n";
  assert_int_equal(completion__symbol_file_read(parser, "/w/a.py", 3, text, strlen(text), NULL, &f), 0);
  assert_int_equal(f->n, 1); /* nothing local, nothing too short */
  size_t most = f->bytes + 100;
  completion__symbols *s = completion__symbols_new(most);
  assert_string_equal(f->shown, "a.py");
  assert_int_equal(completion__symbols_add(s, f), 1);
  assert_int_equal(completion__symbol_file_read(parser, "/w/b.py", 3, text, strlen(text), NULL, &f), 0);
  assert_int_equal(completion__symbols_add(s, f), 0); /* no room */
  assert_true(completion__symbols_bytes(s) <= most);
  completion__symbols_delete(s);
  const char *const others[] = {"/w/a.json", "/w/a.html", "/w/a.txt", "/w/empty.py"};
  for (int i = 0; i < 4; i++) {
    const char *t = i == 3 ? "" : "{\"one_key\": 1}";
    assert_int_equal(completion__symbol_file_read(parser, others[i], 3, t, strlen(t), NULL, &f), 0);
    assert_null(f);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_not_open),    TEST(test_imported_first),        TEST(test_mentioned),
      TEST(test_common_names), TEST(test_what_must_not_be_read), TEST(test_changes),
      TEST(test_same_in_any_order),
      cmocka_unit_test(test_index), cmocka_unit_test(test_bounds),
  };
  return cmocka_run_group_tests(tests, parser_set_up, parser_tear_down);
}
