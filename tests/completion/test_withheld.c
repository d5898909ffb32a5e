/* test_withheld.c - open documents that must not reach other documents' prompts and guesses:
 * secrets, ignored files, private keys; and that everything else does. */
#include "completion/completion.h"
#include "completion/walk.h"
#include "folder_engine.h"

#include "engine/pool.h"

#define CANARY "CANARY_7f31" /* stands where what is open says so */

static completion *c;

static int set_up(void **state) {
  (void)state;
  if (chdir(top) || system("rm -rf t && mkdir -p t/src")) return -1;
  return completion_new(&c, the_engine, NULL) || completion_root_add(c, at("src"));
}

static int tear_down(void **state) {
  (void)state;
  completion_delete(c);
  return 0;
}

/* ---- documents -------------------------------------------------------------------------- */

static const char *uri_of(const char *path) {
  static char uri[PATH_MAX + 96];
  snprintf(uri, sizeof uri, "%s%s", strchr(path, ':') ? "" : "file://",
           strchr(path, ':') ? path : at(path));
  return uri;
}

static void set(const char *path, const char *text) {
  completion_document d = {.uri = uri_of(path), .text = text, .len = strlen(text)};
  assert_int_equal(completion_document_set(c, &d), 0);
}

/* Opens it and edits it: a definition that main.c names, and a line that was just written. */
static void open_edited(const char *path) {
  set(path, "int named_by_main(int " CANARY "_argument) {\n  return 1;\n}\n");
  set(path, "int named_by_main(int " CANARY "_argument) {\n  return 1;\n}\n"
            "static int " CANARY "_edited = 12;\n");
}

static const char asker[] = "int main(void) {\n  int x = named_by_main(1);\n  return ";

static char *text_of(const engine_tokens *t) {
  completion__buffer b = {0};
  for (int i = 0; i < t->n; i++) {
    size_t len = 0;
    const char *s = engine_token_text(the_engine, t->ids[i], &len);
    assert_int_equal(completion__buffer_append(&b, s, len), 0);
  }
  return b.s;
}

/* Is it in the prompt of src/main.c, whose end is asked for? */
static bool is_prompted(const char *words) {
  engine_tokens prompt = {0};
  set("src/main.c", asker);
  assert_int_equal(completion_prompt(c, uri_of("src/main.c"), strlen(asker), &prompt), 0);
  char *text = text_of(&prompt);
  bool is = strstr(text, words) != NULL;
  assert_non_null(strstr(text, "int x = named_by_main"));
  free(text);
  engine_tokens_free(&prompt);
  return is;
}

/* Is it in the pool, in a document that is there? */
static bool is_guessed(const char *words) {
  engine_pool *pool = completion_pool(c);
  bool is = false;
  pool__lock(pool);
  for (uint32_t i = 1; i < pool->n_texts; i++) {
    const pool_text *p = &pool->texts[i];
    if (p->gone || !p->tokens || !p->n) continue;
    engine_tokens t = {.ids = p->tokens, .n = (int)p->n};
    char *text = text_of(&t);
    is = is || strstr(text, words) != NULL;
    free(text);
  }
  pool__unlock(pool);
  return is;
}

static void expect_shown(const char *path) {
  if (!is_prompted(CANARY "_argument") && !is_prompted(CANARY "_edited"))
    fail_msg("%s is not in the prompt", path);
  if (!is_guessed(CANARY)) fail_msg("%s is not guessed from", path);
}

static void expect_withheld(const char *path) {
  if (is_prompted(CANARY)) fail_msg("%s is in the prompt", path);
  if (is_guessed(CANARY)) fail_msg("%s is guessed from", path);
}

static void one(const char *path, bool shown) {
  open_edited(path);
  (shown ? expect_shown : expect_withheld)(path);
  completion_document_remove(c, uri_of(path));
  if (is_prompted(CANARY)) fail_msg("%s is closed", path);
}

/* ---- tests ------------------------------------------------------------------------------ */

static void test_which(void **state) {
  (void)state;
  run("cd t/src && mkdir -p .github inner/.git lib && touch inner/.git/HEAD");
  write_text("t/src/.gitignore", "ignored.c\nbuild/\n!kept.c\n");
  write_text("t/src/.fimdignore", "mine.c\n");
  write_text("t/src/lib/.gitignore", "generated.c\n");
  write_text("t/src/inner/.gitignore", "private.c\n");
  static const char *const shown[] = {
      "src/a.c",         "src/lib/a.c",   "src/kept.c",     "src/.github/w.yml", "src/inner/a.c",
      "src/lib/mine2.c", "src/new/a.c",   "src/new/b/a.c",  "other.c",           "none/other.c",
      "untitled:One",    "src/.env.example"};
  static const char *const withheld[] = {
      "src/.env",        "src/lib/.env.local", "src/id_rsa",        "src/lib/key.pem",
      "src/ignored.c",   "src/lib/ignored.c",  "src/build/a.c",     "src/new/build/a.c",
      "src/mine.c",      "src/lib/mine.c",     "src/lib/generated.c", "src/inner/private.c",
      "src/.aws/a.c",    ".env",               "none/.env",         "untitled:.env",
      "git:/w/.env?ref", "src/../src/a.c"};
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) one(shown[i], true);
  for (size_t i = 0; i < sizeof withheld / sizeof *withheld; i++) one(withheld[i], false);
}

/* Outside of the workspace's folders a repository's rules count all the same. */
static void test_other_repository(void **state) {
  (void)state;
  run("mkdir -p t/far/.git t/far/sub && touch t/far/.git/HEAD");
  write_text("t/far/.gitignore", "ignored.c\n");
  one("far/sub/a.c", true);
  one("far/sub/ignored.c", false);
  one("far/ignored.c", false);
}

/* Rules come and go while the document is open. */
static void test_rules_change(void **state) {
  (void)state;
  open_edited("src/a.c");
  expect_shown("src/a.c");
  write_text("t/src/.gitignore", "a.c\n");
  completion_file_changed(c, at("src/.gitignore"));
  expect_withheld("src/a.c");
  write_text("t/src/.gitignore", "");
  completion_root_changed(c, at("src"));
  expect_shown("src/a.c");
  write_text("t/.fimdignore", "a.c\n"); /* of a folder that becomes the root */
  completion_root_remove(c, at("src"));
  assert_int_equal(completion_root_add(c, at("")), 0);
  expect_withheld("src/a.c");
}

static void test_private_key(void **state) {
  (void)state;
  open_edited("src/a.c");
  expect_shown("src/a.c");
  set("src/a.c", "int named_by_main(int " CANARY "_argument);\n"
                 "char *k = \"-----BEGIN RSA PRIVATE KEY-----\"\n");
  expect_withheld("src/a.c");
  open_edited("src/a.c");
  expect_shown("src/a.c");
}

/* Such a document is completed itself, from its own text, and leaves nothing behind. */
static void test_own_prompt(void **state) {
  (void)state;
  const char text[] = "FIRST=" CANARY "\nSECOND=";
  engine_tokens prompt = {0};
  set("src/main.c", asker);
  set("src/.env", text);
  assert_int_equal(completion_prompt(c, uri_of("src/.env"), strlen(text), &prompt), 0);
  char *said = text_of(&prompt);
  assert_non_null(strstr(said, CANARY));
  free(said);
  engine_tokens_free(&prompt);
  assert_false(is_guessed(CANARY));
  expect_withheld("src/.env");
}

/* ---- the rules alone -------------------------------------------------------------------- */

static void test_shares(void **state) {
  (void)state;
  run("cd t && mkdir -p r/sub && ln -s sub r/link && ln -s gone r/dangling");
  write_text("t/r/.gitignore", "*.log\n/sub/out/\n");
  write_text("t/r/file.c", "");
  struct {
    const char *root, *path;
    int expected;
  } cases[] = {
      {"t/r", "a.c", 1},        {"t/r", "a.log", 0},       {"t/r", "sub/a.log", 0},
      {"t/r", "sub/out/a.c", 0}, {"t/r", "out/a.c", 1},    {"t/r", "new/out/a.log", 0},
      {"t/r", "link/a.c", 0},   {"t/r", "dangling/a.c", 0}, {"t/r", "file.c/a.c", 0},
      {"t/none", "a.c", 1},     {"t/none", ".env", 0},     {"t/none", "sub/.env", 0},
      {"t/r", "", COMPLETION_EINVAL},   {"t/r", "/a.c", COMPLETION_EINVAL},
      {"t/r", "../a.c", COMPLETION_EINVAL}, {"t/r/file.c", "a.c", COMPLETION_EINVAL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (completion__walk_shares(cases[i].root, cases[i].path) != cases[i].expected)
      fail_msg("%s in %s", cases[i].path, cases[i].root);
  if (geteuid() == 0) return; /* who may read everything */
  run("chmod 0 t/r/sub");
  assert_int_equal(completion__walk_shares("t/r", "sub/a.c"), 0);
  run("chmod 755 t/r/sub");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_which, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_other_repository, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_rules_change, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_private_key, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_own_prompt, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_shares, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
