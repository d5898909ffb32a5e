/* test_workspace.c - folders of files in the pool: what gets in, what opening, closing, writing and
 * removing do to it, which files a text names, and ends at any time. */
#include <limits.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "completion/workspace_internal.h"
#include "folder_engine.h"

#include "engine/pool.h"

#define CANARY "CANARY_3f9a" /* stands in every file that must stay out */
#define LIST_MAX 2000

static engine_pool *pool;
static completion__workspace *w;

/* ---- a folder of our own ---------------------------------------------------------------- */

static int set_up(void **state) {
  (void)state;
  if (chdir(top) || system("rm -rf t && mkdir t") || engine_pool_new(&pool, 0)) return -1;
  w = completion__workspace_new(the_engine, pool);
  return w ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  completion__workspace_delete(w);
  engine_pool_delete(pool);
  return 0;
}

static void put_bytes(const char *path, const char *bytes, size_t len) {
  char whole[PATH_MAX + 64];
  snprintf(whole, sizeof whole, "%s", at(path));
  for (char *p = whole + strlen(top) + 1; (p = strchr(p, '/')); *p++ = '/') {
    *p = 0;
    mkdir(whole, 0777);
  }
  write_file(whole, bytes, len);
}

static void put(const char *path, const char *text) { put_bytes(path, text, strlen(text)); }

static void drop(const char *path) { assert_int_equal(remove(at(path)), 0); }

/* ---- what the pool has ------------------------------------------------------------------ */

/* How many texts of the workspace are these tokens; `hidden` ones, or those that show. */
static int count(const char *text, bool hidden) {
  engine_tokens t = {0};
  int n = 0;
  assert_int_equal(engine_tokenize(the_engine, text, strlen(text), false, &t), 0);
  pool__lock(pool);
  for (uint32_t i = 1; i < pool->n_texts; i++) {
    const pool_text *p = &pool->texts[i];
    n += p->kind == ENGINE_POOL_WORKSPACE && !p->gone && p->hidden == hidden &&
         (int)p->n == t.n &&
         memcmp(pool->workspace.grams.tokens + p->start, t.ids, p->n * sizeof *t.ids) == 0;
  }
  pool__unlock(pool);
  engine_tokens_free(&t);
  return n;
}

typedef struct list {
  char *paths[LIST_MAX];
  int n, end_after;
} list;

static int on_path(void *user, const char *path) {
  list *l = user;
  size_t n = strlen(at(""));
  assert_true(l->n < LIST_MAX && strncmp(path, at(""), n) == 0 && path[n] == '/');
  l->paths[l->n++] = strdup(path + n + 1);
  return l->n == l->end_after ? 77 : 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The files in the pool, sorted, each with a blank behind it; and their texts are as many. */
static void expect_files(const char *expected) {
  list l = {.n = 0};
  completion__buffer all = {0};
  completion__workspace_wait(w);
  assert_int_equal(completion__workspace_each(w, on_path, &l), 0);
  qsort(l.paths, (size_t)l.n, sizeof *l.paths, by_name);
  for (int i = 0; i < l.n; i++) {
    assert_int_equal(completion__buffer_add(&all, l.paths[i]), 0);
    assert_int_equal(completion__buffer_add(&all, " "), 0);
    free(l.paths[i]);
  }
  assert_string_equal(all.s ? all.s : "", expected);
  completion__buffer_free(&all);
  assert_int_equal(engine_pool_get_info(pool).texts, l.n);
  assert_false(completion__workspace_get_info(w).busy);
}

static void add(const char *path) { assert_int_equal(completion__workspace_add(w, at(path)), 0); }

static void changed(const char *path) { completion__workspace_changed(w, at(path)); }

/* ---- what gets in ----------------------------------------------------------------------- */

static void test_walk(void **state) {
  (void)state;
  expect_files(""); /* and waits for nothing */
  completion_workspace_info info = completion__workspace_get_info(w);
  assert_true(!info.busy && !info.status && !info.files && !info.bytes && !info.left_out);
  put("a.c", "int a;\n");
  put("sub/b.py", "b = 1\n");
  put("sub/deep/c.ts", "let c = 1\n");
  put("same.c", "int a;\n");
  put("empty.c", "");
  put(".gitignore", "ignored.c\n");
  put("ignored.c", CANARY);
  put("node_modules/m/x.js", CANARY);
  put(".hidden/x.c", CANARY);
  put(".env", CANARY);
  put("id_rsa", CANARY);
  put("key.c", "-----BEGIN RSA PRIVATE KEY-----\n" CANARY);
  put_bytes("binary.c", CANARY "\0", sizeof CANARY);
  put("picture.bin", CANARY);
  add("");
  expect_files(".gitignore a.c same.c sub/b.py sub/deep/c.ts ");
  assert_int_equal(count("int a;\n", false), 2);
  assert_int_equal(count("let c = 1\n", false), 1);
  assert_int_equal(count(CANARY, false) + count(CANARY, true), 0);
  info = completion__workspace_get_info(w);
  assert_int_equal(info.status, 0);
  assert_int_equal(info.files, 6); /* the empty one was read, too */
  assert_int_equal(info.bytes, 10 + 7 + 7 + 6 + 10);
  assert_int_equal(info.left_out, 4);
  assert_true(!info.cut && info.ms > 0);
  list l = {.end_after = 2};
  assert_int_equal(completion__workspace_each(w, on_path, &l), 77);
  assert_int_equal(l.n, 2);
  free(l.paths[0]), free(l.paths[1]);
}

static void test_no_such_folder(void **state) {
  (void)state;
  put("file.c", "int f;\n");
  add("nowhere");
  expect_files("");
  assert_int_equal(completion__workspace_get_info(w).status, COMPLETION_EINVAL);
  add("file.c");
  expect_files("");
  assert_int_equal(completion__workspace_get_info(w).status, COMPLETION_EINVAL);
  add("");
  expect_files("file.c ");
  assert_int_equal(completion__workspace_get_info(w).status, 0); /* of the last one */
  completion__workspace_remove(w, at("nowhere"));
  completion__workspace_remove(w, at("never/added"));
  expect_files("file.c ");
  completion__workspace_delete(NULL);
}

/* ---- open, closed, changed -------------------------------------------------------------- */

static void test_open_and_closed(void **state) {
  (void)state;
  put("a.c", "int a;\n");
  put("b.c", "int b;\n");
  completion__workspace_opened(w, at("b.c")); /* before it was read */
  add("");
  expect_files("a.c b.c ");
  assert_int_equal(count("int a;\n", false), 1);
  assert_int_equal(count("int b;\n", true), 1);
  completion__workspace_opened(w, at("a.c"));
  assert_int_equal(count("int a;\n", true), 1);
  completion__workspace_closed(w, at("a.c")); /* unchanged */
  expect_files("a.c b.c ");
  assert_int_equal(count("int a;\n", false), 1);
  completion__workspace_opened(w, at("a.c")); /* saved, and then closed */
  put("a.c", "int a2;\n");
  completion__workspace_closed(w, at("a.c"));
  expect_files("a.c b.c ");
  assert_int_equal(count("int a;\n", false) + count("int a;\n", true), 0);
  assert_int_equal(count("int a2;\n", false), 1);
  completion__workspace_opened(w, at("a.c")); /* in two windows */
  completion__workspace_opened(w, at("a.c"));
  completion__workspace_closed(w, at("a.c"));
  expect_files("a.c b.c ");
  assert_int_equal(count("int a2;\n", true), 1);
  drop("a.c");
  completion__workspace_closed(w, at("a.c"));
  expect_files("b.c ");
  put("b.c", "-----BEGIN PRIVATE KEY-----\n"); /* must not be read any more */
  completion__workspace_closed(w, at("b.c"));
  expect_files("");
  put("c.c", "int c;\n"); /* new, and never read before */
  completion__workspace_opened(w, at("c.c"));
  completion__workspace_closed(w, at("c.c"));
  completion__workspace_closed(w, at("c.c"));
  expect_files("c.c ");
  completion__workspace_opened(w, "/nowhere/x.c");
  completion__workspace_closed(w, "/nowhere/x.c");
  completion__workspace_opened(w, "untitled:1");
  expect_files("c.c ");
}

static void test_changed(void **state) {
  (void)state;
  put("a.c", "int a;\n");
  put(".gitignore", "ignored.c\n");
  add("");
  put("sub/new.c", "int n;\n");
  put("ignored.c", CANARY);
  put("sub/.env", CANARY);
  changed("sub/new.c"), changed("ignored.c"), changed("sub/.env"), changed("none.c");
  changed("../outside.c"), changed("sub"), changed(""), changed("sub/../a.c");
  completion__workspace_changed(w, "/etc/passwd");
  completion__workspace_changed(w, "relative.c");
  expect_files(".gitignore a.c sub/new.c ");
  assert_int_equal(count(CANARY, false), 0);
  for (int i = 0; i < 5; i++) { /* the same again costs nothing */
    changed("a.c");
    expect_files(".gitignore a.c sub/new.c ");
  }
  assert_true(pool->n_texts <= 4);
  put("a.c", "int a2;\n");
  changed("a.c");
  expect_files(".gitignore a.c sub/new.c ");
  assert_int_equal(count("int a;\n", false), 0);
  assert_int_equal(count("int a2;\n", false), 1);
  put("a.c", ""), changed("a.c");
  expect_files(".gitignore sub/new.c ");
  put("a.c", "int a3;\n"), changed("a.c");
  completion__workspace_opened(w, at("sub/new.c")); /* open, and written by somebody */
  put("sub/new.c", "int n2;\n"), changed("sub/new.c");
  expect_files(".gitignore a.c sub/new.c ");
  assert_int_equal(count("int n2;\n", true), 1);
  completion__workspace_closed(w, at("sub/new.c"));
  completion__workspace_wait(w);
  assert_int_equal(count("int n2;\n", false), 1);
  drop("a.c"), changed("a.c");
  expect_files(".gitignore sub/new.c ");
  drop("sub/new.c"), drop("sub/.env"), drop("sub"), changed("sub"); /* a folder, in one word */
  expect_files(".gitignore ");
}

/* ---- folders ---------------------------------------------------------------------------- */

static void test_folders(void **state) {
  (void)state;
  put("one/a.c", "int a;\n");
  put("two/a.c", "int a;\n");
  put("twofold/b.c", "int b;\n");
  add("one"), add("two"), add("twofold");
  expect_files("one/a.c two/a.c twofold/b.c ");
  completion__workspace_remove(w, at("two"));
  expect_files("one/a.c twofold/b.c ");
  changed("two/a.c"); /* no folder's any more */
  expect_files("one/a.c twofold/b.c ");
  add("two"); /* and again; a file of the first time is the second one's */
  expect_files("one/a.c two/a.c twofold/b.c ");
  completion__workspace_remove(w, at("two"));
  completion__workspace_remove(w, at("one"));
  expect_files("twofold/b.c ");
  add("one");
  completion__workspace_remove(w, at("one")); /* before it was walked, perhaps */
  completion__workspace_remove(w, at("twofold"));
  expect_files("");
}

/* One folder in another: a file stays as long as one of them does. */
static void test_folder_in_folder(void **state) {
  (void)state;
  put("a.c", "int a;\n");
  put("in/b.c", "int b;\n");
  for (int order = 0; order < 4; order++) {
    const char *first = order & 1 ? "" : "in", *second = order & 1 ? "in" : "";
    add(first), add(second);
    expect_files("a.c in/b.c ");
    completion__workspace_remove(w, at(order & 2 ? first : second));
    expect_files(*(order & 2 ? second : first) ? "in/b.c " : "a.c in/b.c ");
    completion__workspace_remove(w, at(order & 2 ? second : first));
    expect_files("");
  }
}

static void test_again(void **state) {
  (void)state;
  put("a.c", "int a;\n"), put("b.c", "int b;\n"), put("sub/c.c", "int c;\n");
  add("");
  expect_files("a.c b.c sub/c.c ");
  put("a.c", "int a2;\n"), put("d.c", "int d;\n");
  drop("b.c");
  put("sub/.gitignore", "c.c\n");
  assert_int_equal(completion__workspace_again(w, at("")), 0);
  expect_files("a.c d.c sub/.gitignore ");
  assert_int_equal(count("int a2;\n", false), 1);
  assert_int_equal(completion__workspace_get_info(w).files, 3);
  assert_int_equal(completion__workspace_again(w, at("")), 0);
  assert_int_equal(completion__workspace_again(w, at("nowhere")), 0);
  expect_files("a.c d.c sub/.gitignore ");
  completion__workspace_remove(w, at(""));
  assert_int_equal(completion__workspace_again(w, at("")), 0);
  expect_files("");
}

/* ---- imports ---------------------------------------------------------------------------- */

/* The files that the text names, sorted, each with a blank behind it. */
static void expect_imports(const char *text, const char *own, const char *expected) {
  int64_t ids[64];
  list l = {.n = 0};
  completion__buffer all = {0};
  int n = completion__workspace_imports(w, slice(text), at(own), ids, 64);
  for (int i = 0; i < n; i++) { /* each file's text is its own path */
    completion__buffer path = {0};
    const pool_text *t = &pool->texts[ids[i]];
    for (uint32_t k = 0; k < t->n; k++) {
      size_t len;
      int32_t token = pool->workspace.grams.tokens[t->start + k];
      const char *s = engine_token_text(the_engine, token, &len);
      assert_int_equal(completion__buffer_append(&path, s, len), 0);
    }
    l.paths[l.n++] = path.s;
  }
  qsort(l.paths, (size_t)l.n, sizeof *l.paths, by_name);
  for (int i = 0; i < l.n; i++) {
    assert_int_equal(completion__buffer_add(&all, l.paths[i]), 0);
    free(l.paths[i]);
  }
  assert_string_equal(all.s ? all.s : "", expected);
  completion__buffer_free(&all);
}

static void put_named(const char *path) {
  char text[128];
  snprintf(text, sizeof text, "%s ", path);
  put(path, text);
}

static void test_imports(void **state) {
  (void)state;
  static const char *const files[] = {
      "src/queue.h", "src/queue.c", "py/models/user.py", "py/views.py", "web/cache.ts",
      "web/user-list.tsx", "go/limiter/bucket.go", "go/limiter/clock.go", "rs/tokens.rs",
      "rs/lexer/mod.rs", "rs/parser.rs", "many/util.c", "main.c"};
  char path[32];
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) put_named(files[i]);
  for (int i = 0; i < 12; i++) snprintf(path, sizeof path, "many/%d/common.h", i), put_named(path);
  add("");
  completion__workspace_wait(w);
  expect_imports("#include <stdio.h>\n#include \"queue.h\"\nint x;\n", "main.c",
                 "src/queue.c src/queue.h ");
  expect_imports("#include \"queue.h\"\n", "src/queue.c", "src/queue.h "); /* itself is not */
  expect_imports("  #include \"src/queue.h\"\r\n", "src/main.c", "src/queue.c src/queue.h ");
  expect_imports("from models.user import User\nimport os\n", "py/views.py", "py/models/user.py ");
  expect_imports("import views\n", "py/main.py", "py/views.py ");
  expect_imports("import { a } from './cache'\n", "web/x.ts", "web/cache.ts ");
  expect_imports("const a = require('./user-list');\n", "web/x.ts", "web/user-list.tsx ");
  expect_imports("export * from \"./cache\"", "web/x.ts", "web/cache.ts ");
  expect_imports("import (\n\t\"fmt\"\n\t\"shop/limiter\"\n)\n", "go/main.go",
                 "go/limiter/bucket.go go/limiter/clock.go ");
  expect_imports("use crate::tokens::Token;\nmod lexer;\npub mod parser;\n", "rs/main.rs",
                 "rs/lexer/mod.rs rs/parser.rs rs/tokens.rs ");
  expect_imports("queue = 1\ncall(queue)\n// see queue\n", "main.c", ""); /* no import lines */
  expect_imports("#include \"common.h\"\n", "main.c", "");               /* too many say nothing */
  expect_imports("", "main.c", "");
  expect_imports("#include \"\xff\xfe\"\n#include\nimport\nimport ", "main.c", "");
  drop("src/queue.c"), changed("src/queue.c");
  for (int i = 0; i < 10; i++) { /* what is gone does not count */
    snprintf(path, sizeof path, "many/%d/common.h", i);
    drop(path), changed(path);
  }
  completion__workspace_wait(w);
  expect_imports("#include \"queue.h\"\n#include \"common.h\"\n", "main.c",
                 "many/10/common.h many/11/common.h src/queue.h ");
  int64_t ids[3] = {-7, -7, -7};
  completion__slice two = slice("#include \"queue.h\"\n#include \"common.h\"\n");
  assert_int_equal(completion__workspace_imports(w, two, at("main.c"), ids, 2), 2);
  assert_int_equal(ids[2], -7);
  assert_int_equal(completion__workspace_imports(w, two, at("main.c"), ids, 0), 0);
  completion__workspace_remove(w, at(""));
  assert_int_equal(completion__workspace_imports(w, two, at("main.c"), ids, 2), 0);
}

/* ---- ends and threads ------------------------------------------------------------------- */

#define BIG 400

static void put_big(void) {
  char path[64], text[4096];
  for (int i = 0; i < BIG; i++) {
    snprintf(path, sizeof path, "d%d/f%d.c", i % 20, i);
    int n = snprintf(text, sizeof text, "int f%d(int a) { return a * %d; }\n", i, i);
    while (n < 1500) n += snprintf(text + n, sizeof text - (size_t)n, "x[%d] = y%d;\n", n, i);
    put(path, text);
  }
}

/* Deleted, or the folder removed, at some point of the walk. */
static void test_end_while_walking(void **state) {
  (void)state;
  put_big();
  for (int round = 0; round < 12; round++) {
    add("");
    size_t some = (size_t)round * 10; /* files that are there by then */
    while (engine_pool_get_info(pool).texts < some) sched_yield();
    if (round % 2) {
      completion__workspace_remove(w, at(""));
      expect_files("");
    } else {
      completion__workspace_delete(w);
      engine_pool_delete(pool);
      assert_int_equal(engine_pool_new(&pool, 0), 0);
      assert_non_null(w = completion__workspace_new(the_engine, pool));
    }
  }
}

static void *come_and_go(void *arg) {
  int64_t ids[16];
  unsigned rng = *(unsigned *)arg;
  char path[PATH_MAX + 64];
  for (int i = 0; i < 300; i++) {
    rng = rng * 1664525u + 1013904223u;
    int k = (int)(rng >> 16) % BIG;
    snprintf(path, sizeof path, "%s/t/d%d/f%d.c", top, k % 20, k);
    completion__workspace_opened(w, path);
    completion__workspace_imports(w, slice("#include \"d2/f1.h\"\n"), path, ids, 16);
    if (i % 7 == 0) completion__workspace_changed(w, path);
    if (i % 50 == 0) (void)completion__workspace_get_info(w);
    completion__workspace_closed(w, path);
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  pthread_t threads[2];
  unsigned seeds[2] = {1, 2};
  put_big();
  put("other/x.c", "int x;\n");
  add("");
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &seeds[i]), 0);
  for (int i = 0; i < 20; i++) {
    add("other");
    completion__workspace_remove(w, at("other"));
  }
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  completion__workspace_wait(w);
  assert_int_equal(engine_pool_get_info(pool).texts, BIG + 1);
  for (uint32_t i = 1; i < pool->n_texts; i++)
    assert_true(pool->texts[i].gone || !pool->texts[i].hidden); /* all are closed */
}

/* ---- shortages -------------------------------------------------------------------------- */

#define PATIENCE_MS 60000.0

static void put_some(void) {
  put("a.c", "int first(int n) {\n  return n;\n}\n");
  put("sub/b.py", "def second(n):\n    return n\n");
  put("sub/deep/c.ts", "export function third(n: number) {\n  return n;\n}\n");
  put(".gitignore", "ignored.c\n");
  put("ignored.c", CANARY);
}

static void count_symbol(void *user, int name, const completion__symbol *s,
                         completion__nearness near, int files) {
  (void)name, (void)s, (void)near, (void)files;
  ++*(int *)user;
}

/* What was cut short comes to its end by itself: all files, and what they define. */
static void expect_all(const char *when) {
  double start = completion__now_ms();
  for (bool waits = true; waits;) {
    completion__workspace_wait(w);
    pthread_mutex_lock(&w->lock);
    waits = w->busy || w->again_at_ms > 0;
    pthread_mutex_unlock(&w->lock);
    if (completion__now_ms() - start > PATIENCE_MS) fail_msg("%s: it waits for ever", when);
    if (waits) usleep(200);
  }
  int n = 0;
  completion__slice names[] = {slice("first"), slice("second"), slice("third")};
  completion__symbols_query q = {.own = "", .names = names, .n_names = 3,
                                 .on_symbol = count_symbol, .user = &n};
  completion__workspace_symbols(w, &q);
  if (n != 3) fail_msg("%s: %d definitions of 3", when, n);
  expect_files(".gitignore a.c sub/b.py sub/deep/c.ts ");
  assert_int_equal(completion__workspace_get_info(w).status, 0);
}

static void begin_anew(void) {
  completion__workspace_delete(w);
  engine_pool_delete(pool);
  assert_int_equal(engine_pool_new(&pool, 0), 0);
  w = completion__workspace_new(the_engine, pool);
  assert_non_null(w);
  w->pause_ms = w->first_pause_ms = 0.5;
}

/* As many descriptors as are open, and a few more: the walk ends at another place for each. */
static void test_few_descriptors(void **state) {
  (void)state;
  struct rlimit before;
  put_some();
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  int cut = 0;
  for (unsigned more = 0; more < 7; more++) {
    begin_anew();
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(next >= 0);
    close(next);
    struct rlimit few = before;
    few.rlim_cur = (rlim_t)next + more;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    add("");
    completion__workspace_wait(w);
    pthread_mutex_lock(&w->lock);
    cut += w->again_at_ms > 0;
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_all("few descriptors");
  }
  assert_true(cut >= 3);
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || !defined __GLIBC__
#define SHORTAGES /* the sanitizers have an allocator of their own */
#else
#define SHORTAGES TEST(test_short_memory), TEST(test_changed_without_memory),

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static _Atomic long fails_from, fails; /* of the other threads' allocations; so many did */
static pthread_t the_tests;

static bool fails_now(void) {
  if (atomic_load(&fails_from) == 0 || pthread_equal(pthread_self(), the_tests)) return false;
  if (atomic_load(&fails_from) > 1) {
    atomic_fetch_sub(&fails_from, 1);
    return false;
  }
  atomic_fetch_add(&fails, 1);
  errno = ENOMEM;
  return true;
}

void *malloc(size_t size) { return fails_now() ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails_now() ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return fails_now() ? NULL : __libc_realloc(p, size); }

/* A walk that has no memory from the nth allocation on, until it has ended; whether it came so far. */
static bool walk_short(int n) {
  char when[32];
  snprintf(when, sizeof when, "allocation %d", n);
  completion__workspace_remove(w, at(""));
  atomic_store(&fails, 0);
  atomic_store(&fails_from, n);
  add("");
  completion__workspace_wait(w);
  atomic_store(&fails_from, 0);
  bool short_of_it = atomic_load(&fails) > 0;
  expect_all(when);
  return short_of_it;
}

/* For every n; and for some where the grammars' queries are not made yet, which takes long. */
static void test_short_memory(void **state) {
  (void)state;
  the_tests = pthread_self();
  put_some();
  int every = 1, some = 1;
  for (begin_anew(); walk_short(every); every++) {}
  assert_true(every > 50);
  do begin_anew();
  while (walk_short(some) && (some += 997));
  assert_true(some > every);
  print_message("%d allocations in a walk, about %d in the first\n", every - 1, some);
}

/* A known file stays while there is no memory to read it again, and is read when there is. */
static void test_changed_without_memory(void **state) {
  (void)state;
  the_tests = pthread_self();
  put_some();
  begin_anew();
  add("");
  expect_all("at first");
  put("a.c", "int first(int n) {\n  return n + 1;\n}\n");
  atomic_store(&fails_from, 1);
  changed("a.c");
  completion__workspace_wait(w);
  expect_files(".gitignore a.c sub/b.py sub/deep/c.ts ");
  assert_int_equal(count("int first(int n) {\n  return n;\n}\n", false), 1);
  atomic_store(&fails_from, 0);
  expect_all("then");
  assert_int_equal(count("int first(int n) {\n  return n + 1;\n}\n", false), 1);
}
#endif

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(test_walk),    TEST(test_no_such_folder),   TEST(test_open_and_closed),
      TEST(test_changed), TEST(test_folders),          TEST(test_folder_in_folder),
      TEST(test_again),   TEST(test_imports),          TEST(test_end_while_walking),
      TEST(test_threads), TEST(test_few_descriptors), SHORTAGES
  };
  return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
