/* The walk: what comes out of made trees, in which order, and what must never come out;
 * limits, cancelling, folders exchanged on the way; and random trees against git ls-files. */
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "completion/completion.h"
#include "completion/walk.h"
#include "folder.h"

#define CANARY "CANARY-3f9a" /* stands in every file that must stay inside */

/* ---- a folder of our own ---------------------------------------------------------------- */

static char top[PATH_MAX]; /* where each test begins; its tree is top/t */

static int group_set_up(void **state) {
  (void)state;
  return folder_make(top);
}

static int set_up(void **state) {
  (void)state;
  return chdir(top) || system("rm -rf t outside && mkdir t");
}

static int group_tear_down(void **state) {
  (void)state;
  return folder_remove(top);
}

/* ---- a walk written down ---------------------------------------------------------------- */

typedef struct walked {
  completion__buffer paths; /* each with a '\n' */
  completion__walk_counts counts;
  int files;
  int end_after, end_with; /* on_file's answer at that file */
  atomic_bool cancel;
  int cancel_after;
  const char *command; /* run at the first file */
} walked;

static int on_file(void *user, const char *path, const char *text, size_t len) {
  walked *w = user;
  assert_int_equal(text[len], 0);
  assert_int_equal(strlen(text), len);
  if (strstr(text, CANARY)) fail_msg("%s came out", path);
  assert_int_equal(completion__buffer_add(&w->paths, path), 0);
  assert_int_equal(completion__buffer_add(&w->paths, "\n"), 0);
  if (++w->files == 1 && w->command) run(w->command);
  if (w->files == w->cancel_after) atomic_store(&w->cancel, true);
  return w->files == w->end_after ? w->end_with : 0;
}

static int go(walked *w, const char *root, const completion__walk_limits *limits) {
  int status = completion__walk(root, limits, &w->cancel, on_file, w, &w->counts);
  assert_int_equal(w->counts.files, w->files);
  return status;
}

static void expect_paths(const walked *w, const char *expected) {
  assert_string_equal(w->paths.s ? w->paths.s : "", expected);
}

/* A walk with defaults that must end well with just these files. */
static completion__walk_counts expect_walk(const char *root, const char *expected) {
  walked w = {0};
  assert_int_equal(go(&w, root, NULL), 0);
  expect_paths(&w, expected);
  completion__buffer_free(&w.paths);
  return w.counts;
}

/* completion__walk_allows must say of every path in the tree what the walk does. */
static void expect_allows_agrees(const char *root) {
  char command[128];
  walked w = {0};
  assert_int_equal(go(&w, root, NULL), 0);
  snprintf(command, sizeof command, "find %s -mindepth 1 -printf '%%P\\n' >found", root);
  run(command);
  completion__buffer found = read_sample("found");
  int allowed = 0;
  for (char *at = found.s, *end; at && *at; at = end + 1) {
    end = strchr(at, '\n');
    *end = 0;
    char line[PATH_MAX];
    snprintf(line, sizeof line, "\n%s\n", at);
    bool expected = w.paths.s && (strstr(w.paths.s, line) ||
                                  strncmp(w.paths.s, line + 1, strlen(line + 1)) == 0);
    if (completion__walk_allows(root, at) != expected) fail_msg("%s", at);
    allowed += expected;
  }
  assert_int_equal(allowed, w.files);
  completion__buffer_free(&found);
  completion__buffer_free(&w.paths);
}

/* ---- what comes out --------------------------------------------------------------------- */

static void test_by_kind(void **state) {
  (void)state;
  run("cd t && mkdir -p .git/refs .git/objects sub/b sub/a build node_modules/m __pycache__ "
      ".github .aws && touch .git/HEAD && mkfifo pipe.c && ln -s a.c link.c && ln -s . loop && "
      "ln -s ../.. sub/up && ln -s /etc/hostname sub/host.txt");
  static const char *const out[] = {"a.c", "Makefile", "b.PY", "README.md", "d.json", "sub/z.go",
                                    "sub/a/x.rs", "sub/b.c", "sub/b/x.rs", "build/made.c",
                                    ".env.example", "Dockerfile.dev"};
  for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "t/%s", out[i]);
    write_text(path, "text\n");
  }
  write_text("t/empty.c", "");
  static const char *const in[] = {
      ".env", "key.pem", "secrets.yml", "id_rsa", "sub/credentials.json", "sub/a/.env.local",
      "ignored.c", "sub/kept.c", "node_modules/m/x.js", "__pycache__/x.py", ".github/w.yml",
      ".aws/x.txt", "noending", "image.png", "app.min.js", "yarn.lock",
      "package-lock.json", "go.sum", "pic.svg", ".git/x.c", "mine.c"};
  for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "t/%s", in[i]);
    write_text(path, CANARY "\n");
  }
  write_text("t/.gitignore", "ignored.c\n!kept.c\n");
  write_text("t/sub/.gitignore", "");
  write_text("t/sub/.fimdignore", "kept.c\n");
  write_text("t/.fimdignore", "/mine.c\n");
  write_text("t/private.c", CANARY "\nchar *k = \"-----BEGIN RSA PRIVATE KEY-----\"\n");
  write_file("t/nul.c", CANARY "\n\0", sizeof CANARY + 1);
  write_text("t/latin.c", CANARY " caf\xe9\n");
  completion__walk_counts c = expect_walk(
      "t", ".env.example\n.gitignore\nDockerfile.dev\nMakefile\nREADME.md\na.c\nb.PY\nd.json\n"
           "empty.c\nbuild/made.c\nsub/.gitignore\nsub/b.c\nsub/z.go\nsub/a/x.rs\nsub/b/x.rs\n");
  assert_int_equal(c.bytes, 12 * 5 + 18);
  assert_int_equal(c.ignored, 6);
  assert_int_equal(c.secret, 8);
  assert_int_equal(c.binary, 2);
  assert_int_equal(c.large, 5);
  assert_int_equal(c.unreadable, 0);
  assert_false(c.cut);
  expect_allows_agrees("t");
  assert_int_equal(completion__walk_allows("t", ".git/x.c"), 0);
  assert_int_equal(completion__walk_allows("t", "loop/a.c"), 0);
  assert_int_equal(completion__walk_allows("t", "none.c"), 0);
  assert_int_equal(completion__walk_allows("t", "a.c/b.c"), 0);
}

/* Lines with a secret are blank in what comes out, and no others. */
static void test_blanked(void **state) {
  (void)state;
  write_text("t/a.c", "int a;\nchar *k = \"glpat-abcdefghijklmnop" CANARY "\";\nint b;\n");
  write_text("t/b.c", "int a;\n");
  completion__walk_counts c = expect_walk("t", "a.c\nb.c\n");
  assert_int_equal(c.blanked, 1);
  assert_int_equal(c.secret, 0);
}

/* A file of `line` bytes a line, '\n' included, at least `len` long. */
static void write_lines(const char *path, size_t len, size_t line, const char *first) {
  completion__buffer b = {0};
  assert_int_equal(completion__buffer_add(&b, first), 0);
  for (size_t i = b.len; b.len < len; i++)
    assert_int_equal(completion__buffer_append(&b, i % line == line - 1 ? "\n" : "x", 1), 0);
  write_file(path, b.s, b.len);
  completion__buffer_free(&b);
}

static void test_by_size(void **state) {
  (void)state;
  write_lines("t/fits.c", 1 << 20, 64, "");
  write_lines("t/long.c", (1 << 20) + 1, 64, CANARY "\n");
  write_lines("t/fits.json", 64 << 10, 64, "");
  write_lines("t/long.json", (64 << 10) + 1, 64, CANARY "\n");
  write_lines("t/wide.c", 8000, 400, "");
  write_lines("t/wider.c", 8020, 401, CANARY);
  write_lines("t/one.c", 401, 1000, CANARY);
  write_lines("t/line.c", 400, 1000, "");
  write_lines("t/late.c", 300000, 64, CANARY);
  FILE *f = fopen("t/late.c", "ab");
  assert_non_null(f);
  fputc(0, f), fclose(f);
  completion__walk_counts c = expect_walk("t", "fits.c\nfits.json\nline.c\nwide.c\n");
  assert_int_equal(c.large, 4);
  assert_int_equal(c.binary, 1);
  expect_allows_agrees("t");
}

static void test_without_repository(void **state) {
  (void)state;
  run("cd t && mkdir -p target build dist .venv venv out vendor src/build node_modules");
  static const char *const in[] = {"target/a.c", "build/a.c", "dist/a.c", ".venv/a.py",
                                   "venv/a.py", "out/a.c", "src/build/a.c", "node_modules/a.js",
                                   "src/b.c"};
  for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "t/%s", in[i]);
    write_text(path, CANARY);
  }
  write_text("t/vendor/a.c", "x\n");
  write_text("t/src/a.c", "x\n");
  write_text("t/.gitignore", "/src/b.c");
  expect_walk("t", ".gitignore\nsrc/a.c\nvendor/a.c\n");
  expect_allows_agrees("t");
  run("mkdir -p t/.ssh/x");
  write_text("t/.ssh/x/a.c", CANARY);
  assert_int_equal(expect_walk("t/.ssh/x", "").secret, 1);
}

static void test_other_repositories(void **state) {
  (void)state;
  run("git init -q t && mkdir t/src && git init -q t/src/inner && mkdir t/sub t/hg && mkdir t/.hg");
  write_text("t/src/inner/a.c", CANARY);
  write_text("t/sub/.git", "gitdir: ../.git/modules/sub\n");
  write_text("t/sub/a.c", CANARY);
  write_text("t/.hg/a.c", CANARY);
  write_text("t/src/a.c", "x");
  completion__walk_counts c = expect_walk("t", "src/a.c\n");
  assert_int_equal(c.ignored, 3);
  expect_allows_agrees("t");
}

static void test_roots(void **state) {
  (void)state;
  walked w = {0};
  assert_int_equal(go(&w, "t/none", NULL), COMPLETION_EINVAL);
  write_text("t/a.c", "x");
  assert_int_equal(go(&w, "t/a.c", NULL), COMPLETION_EINVAL);
  assert_int_equal(completion__walk_allows("t/none", "a.c"), COMPLETION_EINVAL);
  static const char *const bad[] = {"", "/a.c", "../t/a.c", "./a.c", "x//a.c", "a.c/", "x/../a.c"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(completion__walk_allows("t", bad[i]), COMPLETION_EINVAL);

  /* Inside a repository its rules hold from the top on. */
  run("git init -q t && mkdir -p t/in/src t/gone/src t/.ssh t/secrets/x t/in/build && "
      "ln -s t/in linked");
  write_text("t/.gitignore", "/in/src/b.c\ngone/\n");
  write_text("t/.git/info/exclude", "c.c\n");
  write_text("t/in/.gitignore", "/src/d.c\n");
  for (const char *s = "abcd"; *s; s++) {
    char path[64];
    snprintf(path, sizeof path, "t/in/src/%c.c", *s);
    write_text(path, *s == 'a' ? "x" : CANARY);
  }
  write_text("t/in/build/a.c", "x");
  write_text("t/gone/src/a.c", CANARY);
  write_text("t/.ssh/a.txt", CANARY);
  write_text("t/secrets/x/a.txt", CANARY);
  expect_walk("t/in/src", "a.c\n");
  expect_walk("linked", ".gitignore\nbuild/a.c\nsrc/a.c\n");
  expect_walk("t/in/../in/", ".gitignore\nbuild/a.c\nsrc/a.c\n");
  assert_int_equal(expect_walk("t/gone/src", "").ignored, 1);
  assert_int_equal(expect_walk("t/.ssh", "").secret, 1);
  assert_int_equal(expect_walk("t/secrets/x", "").secret, 1);
  expect_allows_agrees("t/in/src");
  assert_int_equal(completion__walk_allows("t/gone/src", "a.c"), 0);
  run("rm linked");
}

/* ---- what ends it ----------------------------------------------------------------------- */

static void make_five(void) {
  run("mkdir -p t/d/e");
  static const char *const names[] = {"t/a.c", "t/b.c", "t/d/c.c", "t/d/d.c", "t/d/e/e.c"};
  for (int i = 0; i < 5; i++) write_text(names[i], "0123456789");
}

static void test_limits(void **state) {
  (void)state;
  static const struct {
    completion__walk_limits limits;
    int files, large;
    bool cut;
  } cases[] = {
      {{.files = 3}, 3, 0, true},        {{.files = 5}, 5, 0, false},
      {{.total_bytes = 39}, 3, 0, true}, {{.total_bytes = 50}, 5, 0, false},
      {{.file_bytes = 9}, 0, 5, false},  {{.file_bytes = 10}, 5, 0, false},
      {{.depth = 1}, 4, 1, false},       {{.depth = 2}, 5, 0, false},
      {{.depth = 100000}, 5, 0, false},
      {{.total_bytes = SIZE_MAX, .file_bytes = SIZE_MAX}, 5, 0, false},
  };
  make_five();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    walked w = {0};
    assert_int_equal(go(&w, "t", &cases[i].limits), 0);
    assert_int_equal(w.files, cases[i].files);
    assert_int_equal(w.counts.large, cases[i].large);
    assert_int_equal(w.counts.cut, cases[i].cut);
    assert_int_equal(w.counts.bytes, 10 * w.files);
    completion__buffer_free(&w.paths);
  }
}

static void test_ended(void **state) {
  (void)state;
  make_five();
  for (int n = 0; n < 5; n++) {
    walked w = {.cancel_after = n};
    if (n == 0) atomic_store(&w.cancel, true);
    assert_int_equal(go(&w, "t", NULL), COMPLETION_ECANCELLED);
    assert_int_equal(w.files, n);
    completion__buffer_free(&w.paths);
  }
  const int values[] = {7, -77};
  for (int i = 0; i < 2; i++) {
    walked w = {.end_after = 4, .end_with = values[i]};
    assert_int_equal(go(&w, "t", NULL), values[i]);
    assert_int_equal(w.files, 4);
    completion__buffer_free(&w.paths);
  }
  walked w = {0};
  assert_int_equal(completion__walk("t", NULL, NULL, on_file, &w, NULL), 0);
  assert_int_equal(w.files, 5);
  completion__buffer_free(&w.paths);
}

static void test_deep(void **state) {
  (void)state;
  assert_int_equal(chdir("t"), 0);
  for (int depth = 1; depth <= 70; depth++) {
    assert_int_equal(mkdir("d", 0700) || chdir("d"), 0);
    write_text("f.c", depth > 64 ? CANARY : "x");
  }
  assert_int_equal(chdir(top), 0);
  walked w = {0};
  assert_int_equal(go(&w, "t", NULL), 0);
  assert_int_equal(w.files, 64);
  assert_int_equal(w.counts.large, 1);
  completion__buffer_free(&w.paths);
  expect_allows_agrees("t");
}

/* ---- what changes or cannot be read ----------------------------------------------------- */

/* Between being listed and being opened, a file or folder becomes a link, a pipe, or is gone. */
static void test_exchanged(void **state) {
  (void)state;
  run("mkdir -p outside/s t/folder/s t/gone t/file");
  write_text("outside/a.c", CANARY);
  write_text("outside/s/a.c", CANARY);
  write_text("t/a.c", "first");
  write_text("t/b.c", "x"), write_text("t/c.c", "x"), write_text("t/d.c", "x");
  write_text("t/folder/a.c", "x"), write_text("t/gone/a.c", "x"), write_text("t/zz.c", "last");
  walked w = {.command = "cd t && rm -r b.c c.c d.c folder gone file && ln -s ../outside/a.c b.c "
                         "&& mkfifo c.c && mkdir d.c && ln -s ../outside folder && mkfifo file"};
  assert_int_equal(go(&w, "t", NULL), 0);
  expect_paths(&w, "a.c\nzz.c\n");
  assert_int_equal(w.counts.unreadable, 3);
  completion__buffer_free(&w.paths);
}

static void test_unreadable(void **state) {
  (void)state;
  run("mkdir -p t/closed t/ruled t/huge t/linked t/long && touch t/closed/a.c t/no.c && "
      "truncate -s 5M t/huge/.gitignore && ln -s /dev/null t/linked/.gitignore");
  write_text("t/closed/a.c", CANARY), write_text("t/no.c", CANARY), write_text("t/a.c", "x");
  write_text("t/ruled/.gitignore", "a.c"), write_text("t/ruled/a.c", CANARY);
  write_text("t/ruled/b.c", CANARY), write_text("t/huge/a.c", CANARY);
  write_lines("t/long/.gitignore", 5000, 10000, ""), write_text("t/long/a.c", CANARY);
  write_text("t/linked/a.c", "x");
  run("mkdir t/first && echo '*' >t/first/.gitignore && touch t/first/.fimdignore");
  run("chmod 000 t/closed t/no.c t/ruled/.gitignore t/first/.fimdignore");
  bool root = geteuid() == 0; /* who may read all */
  if (root) assert_int_equal(seteuid(65534), 0);
  walked w = {0};
  int status = go(&w, "t", NULL);
  if (root) assert_int_equal(seteuid(0), 0);
  run("chmod 700 t/closed");
  assert_int_equal(status, 0);
  expect_paths(&w, "a.c\nlinked/a.c\n");
  assert_int_equal(w.counts.unreadable, 6);
  completion__buffer_free(&w.paths);
}

/* ---- against git ------------------------------------------------------------------------ */

static uint32_t seed;

static size_t at_random(size_t n) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % n;
}

#define ANY(list) ((list)[at_random(sizeof(list) / sizeof(list)[0])])

static void write_rules(const char *path) {
  static const char *const rules[] = {
      "*.c", "!a.c", "!*b*", "/a", "a/", "b/", "!b/", "a/b", "/a/*", "!/a/b", "**/a/c.c", "a/**",
      "!a/**/a.c", "**/b", "[ab].c", "!?.c", "d.c", "*", "!*/", "/*/*/", "ab*", "!ab/", "c.c"};
  char text[256];
  size_t len = 0;
  for (size_t n = 1 + at_random(4); n > 0; n--)
    len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", ANY(rules));
  write_file(path, text, len);
}

static void make_random_tree(void) {
  static const char *const folders[] = {"a", "b", "ab", "d"}, *const files[] = {"a.c", "b.c", "c.c",
                                                                              "d.c", "ab.c"};
  char path[128];
  for (int i = 0; i < 20; i++) {
    size_t len = 0;
    for (size_t parts = at_random(4); parts > 0; parts--) {
      len += (size_t)sprintf(path + len, "%s/", ANY(folders));
      mkdir(path, 0700);
      if (at_random(6) == 0) sprintf(path + len, ".gitignore"), write_rules(path);
      if (at_random(60) == 0) sprintf(path + len, ".git"), mkdir(path, 0700);
    }
    sprintf(path + len, "%s", ANY(files));
    write_text(path, "x");
  }
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of s in order, without those that end in .gitignore; the count. */
static int lines_of(char *s, char **lines) {
  int n = 0;
  for (char *line = strtok(s, "\n"); line; line = strtok(NULL, "\n")) {
    size_t len = strlen(line);
    if (len < 10 || strcmp(line + len - 10, ".gitignore") != 0) lines[n++] = line;
  }
  qsort(lines, (size_t)n, sizeof *lines, by_name);
  return n;
}

static void test_as_git(void **state) {
  (void)state;
  char *expected[100], *got[100];
  int some = 0;
  for (uint32_t i = 0; i < 200; i++) {
    run("rm -rf t && mkdir t && git init -q t && rm -rf t/.git/hooks");
    assert_int_equal(chdir("t"), 0);
    seed = i * 104729 + 1;
    make_random_tree();
    if (at_random(4)) write_rules(".gitignore");
    if (at_random(3) == 0) write_rules(".git/info/exclude");
    /* Folders with an empty .git are repositories to us but not to git. */
    run("find . -mindepth 2 -name .git | while read -r d; do git init -q \"$d/..\"; done; "
        "git -c core.quotePath=false ls-files -co --exclude-standard >../listed");
    assert_int_equal(chdir(top), 0);
    completion__buffer listed = read_sample("listed");
    assert_int_equal(completion__buffer_add(&listed, ""), 0);
    walked w = {0};
    assert_int_equal(completion__buffer_add(&w.paths, ""), 0);
    assert_int_equal(go(&w, "t", NULL), 0);
    int n = lines_of(listed.s, expected), n_got = lines_of(w.paths.s, got);
    for (int k = 0, g = 0; k < n || g < n_got; k++) {
      if (k < n && expected[k][strlen(expected[k]) - 1] == '/') continue; /* a repository */
      if (k == n || g == n_got || strcmp(expected[k], got[g]) != 0)
        fail_msg("case %u: git has %s, the walk %s", i, k < n ? expected[k] : "no more",
                 g < n_got ? got[g] : "no more");
      g++;
    }
    some += n_got;
    completion__buffer_free(&listed);
    completion__buffer_free(&w.paths);
    if (i % 10 == 0) expect_allows_agrees("t");
  }
  assert_true(some > 400);
  print_message("%d files\n", some);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_by_kind, set_up),
      cmocka_unit_test_setup(test_blanked, set_up),
      cmocka_unit_test_setup(test_by_size, set_up),
      cmocka_unit_test_setup(test_without_repository, set_up),
      cmocka_unit_test_setup(test_other_repositories, set_up),
      cmocka_unit_test_setup(test_roots, set_up),
      cmocka_unit_test_setup(test_limits, set_up),
      cmocka_unit_test_setup(test_ended, set_up),
      cmocka_unit_test_setup(test_deep, set_up),
      cmocka_unit_test_setup(test_exchanged, set_up),
      cmocka_unit_test_setup(test_unreadable, set_up),
      cmocka_unit_test_setup(test_as_git, set_up),
  };
  return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
