/* test_canaries.c - secrets of every kind planted in a workspace with real code, beside which
 * somebody opens, edits and completes with every method of guessing: no prompt but that of the
 * document they stand in has them, nor the pool of guesses. */
#include <pthread.h>

#include "completion/job.h"
#include "folder_engine.h"

#include "engine/pool.h"

#define CANARY "7fQ3canary9Zx1" /* in every secret */
#define BESIDE "beside_the_secret" /* in the line before each, which is nothing special */
#define TOKEN "ghp_abcdefgh" CANARY "ABCDEFGHIJKL"

static completion *c;

/* ---- what is planted -------------------------------------------------------------------- */

/* A secret as an ordinary file has it, between lines that may be shown. */
static const char *const lines[] = {
    "  const char *github = \"" TOKEN "\";",
    "  connect(\"postgres://admin:" CANARY "@db/x\");",
    "  const char *api_key = \"0123456789ab" CANARY "\";",
    "  jwt(\"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3.dozjgN" CANARY "\");",
    "  slack(\"xoxb-123456789012-" CANARY "\");",
};
#define LINES (sizeof lines / sizeof *lines)

static char *code_with(const char *secret, int number) {
  char *text = NULL;
  assert_true(asprintf(&text,
                       "static int " BESIDE "_%d(int x) {\n%s\n  return x + %d;\n}\n\n"
                       "const char *named_by_main_%d = \"" TOKEN "%d\";\n"
                       "int shown_to_main_%d(int first, int second);\n",
                       number, secret, number, number, number, number) > 0);
  return text;
}

static void plant(const char *path, const char *text) {
  char command[PATH_MAX + 128];
  snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", at(path));
  run(command);
  write_text(at(path), text);
}

static void plant_all(void) {
  static const char *const secret[] = {
      "w/.env",           "w/.npmrc",          "w/id_rsa",            "w/keys/server.pem",
      "w/.git/config.c",  "w/.git/hooks/a.c",  "w/ignored.c",         "w/build/made.c",
      "w/mine.c",         "w/.aws/credentials", "w/sub/.env.local",   "w/node_modules/m/a.js",
      "outside/secret.c", "outside/dir/b.c",   "w/passwords.txt",     "w/.hidden/a.c"};
  char text[512];
  snprintf(text, sizeof text, "int from_a_secret_file(int %s);\n%s\n", CANARY, lines[0]);
  for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) plant(secret[i], text);
  plant("w/key_inside.c", "int a;\n-----BEGIN RSA PRIVATE KEY-----\n" CANARY "\n");
  plant("w/.gitignore", "ignored.c\nbuild/\n");
  plant("w/.fimdignore", "mine.c\n");
  run("ln -s ../outside/secret.c t/w/link.c && ln -s ../outside/dir t/w/linked && "
      "cp -r /dev/null t/w/.git/HEAD");
  for (size_t i = 0; i < LINES; i++) {
    char path[32], *code = code_with(lines[i], (int)i);
    snprintf(path, sizeof path, "w/file_%zu.c", i);
    plant(path, code);
    free(code);
  }
}

/* ---- where canaries are looked for ------------------------------------------------------ */

static bool is_in(const int32_t *ids, size_t n, const char *words) {
  completion__buffer b = {0};
  for (size_t i = 0; i < n; i++) {
    size_t len = 0;
    const char *s = ids[i] < 0 ? "\n" : engine_token_text(the_engine, ids[i], &len);
    assert_int_equal(completion__buffer_append(&b, s, ids[i] < 0 ? 1 : len), 0);
  }
  bool is = b.s && strstr(b.s, words);
  completion__buffer_free(&b);
  return is;
}

/* Everything that is in memory for guesses, whatever it is marked as. */
static bool is_in_pool(const char *words) {
  engine_pool *pool = completion_pool(c);
  pool__lock(pool);
  bool is = is_in(pool->workspace.grams.tokens, pool->workspace.grams.n, words) ||
            is_in(pool->live.grams.tokens, pool->live.grams.n, words);
  for (uint32_t i = 1; i < pool->n_texts && !is; i++)
    is = pool->texts[i].tokens && is_in(pool->texts[i].tokens, pool->texts[i].n, words);
  pool__unlock(pool);
  return is;
}

static const char *uri_of(const char *path) {
  static char uri[PATH_MAX + 96];
  snprintf(uri, sizeof uri, "file://%s", at(path));
  return uri;
}

static void set(const char *path, const char *text) {
  completion_document d = {.uri = uri_of(path), .text = text, .len = strlen(text)};
  assert_int_equal(completion_document_set(c, &d), 0);
}

static bool is_prompted(const char *path, size_t offset, const char *words) {
  engine_tokens prompt = {0};
  assert_int_equal(completion_prompt(c, uri_of(path), offset, &prompt), 0);
  bool is = is_in(prompt.ids, (size_t)prompt.n, words);
  engine_tokens_free(&prompt);
  return is;
}

/* ---- a request -------------------------------------------------------------------------- */

typedef struct asked {
  pthread_mutex_t lock;
  pthread_cond_t over;
  bool done;
  char text[512];
} asked;

static void on_done(void *user, const completion_result *r) {
  asked *a = user;
  pthread_mutex_lock(&a->lock);
  assert_int_equal(r->status, 0);
  snprintf(a->text, sizeof a->text, "%s", r->text);
  a->done = true;
  pthread_cond_signal(&a->over);
  pthread_mutex_unlock(&a->lock);
}

/* Completes the document's end. The prompt that the model really had is looked at, too. */
static asked complete(const char *path, size_t offset, const char *replay, bool secret) {
  asked a = {.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
  completion_query q = {.uri = uri_of(path), .offset = offset, .replay = replay, .max_tokens = 4,
                        .on_done = on_done, .user = &a};
  if (replay) q.max_tokens = 64;
  assert_int_equal(completion_start(c, &q, NULL), 0);
  pthread_mutex_lock(&a.lock);
  while (!a.done) pthread_cond_wait(&a.over, &a.lock);
  pthread_mutex_unlock(&a.lock);
  is_prompted(path, offset, ""); /* and with it the engine thread is done with the request */
  const engine_tokens *had = &c->reuse.prompt.tokens;
  assert_int_equal(is_in(had->ids, (size_t)had->n, CANARY), secret);
  if (strstr(a.text, CANARY) && !replay) fail_msg("%s: an answer has it", path);
  return a;
}

/* ---- tests ------------------------------------------------------------------------------ */

static const char main_text[] =
    "#include \"file_0.c\"\n#include \"file_1.c\"\nint main(void) {\n"
    "  use(named_by_main_0, named_by_main_1, shown_to_main_0(1, 2), from_a_secret_file(3));\n"
    "  int y = shown_to_main_1(1, 2) + beside_the_secret_0(1);\n  return ";

static int set_up(void **state) {
  (void)state;
  if (chdir(top) || system("rm -rf t && mkdir t")) return -1;
  plant_all();
  return 0;
}

static void begin(const char *method) {
  completion_options o = {.prompt_tokens = 512};
  assert_int_equal(engine_draft_parse(method, &o.draft), 0);
  o.no_draft = o.draft.sources == 0;
  assert_int_equal(completion_new(&c, the_engine, &o), 0);
  assert_int_equal(completion_root_add(c, at("w")), 0);
  completion_workspace_wait(c);
}

/* Types in a document in which a secret stands, and completes it: its own prompt has the line. */
static void edit_secret(int number) {
  char path[32], *code = code_with(lines[number], number), typed[2048];
  snprintf(path, sizeof path, "w/file_%d.c", number);
  set(path, code);
  const char *words[] = {"static int edited", "static int edited_" BESIDE ";\n", NULL};
  for (int i = 0; words[i]; i++) {
    snprintf(typed, sizeof typed, "%s%s%s", code, words[i], i ? lines[number] : "");
    set(path, typed);
    complete(path, strlen(typed), NULL, true);
  }
  free(code);
}

static void expect_nothing(const char *what) {
  set("w/main.c", main_text);
  for (size_t end = strlen(main_text) - 2; end <= strlen(main_text); end++) {
    if (is_prompted("w/main.c", end, CANARY)) fail_msg("%s: a prompt has it", what);
    complete("w/main.c", end, NULL, false);
  }
  if (is_in_pool(CANARY)) fail_msg("%s: the pool has it", what);
}

static void test_methods(void **state) {
  (void)state;
  static const char *const methods[] = {"all", "pool", "prompt", "recycle", "lookahead", "none"};
  for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
    begin(methods[m]);
    bool reads = m < 2; /* the files of the workspace; the others only what is open */
    /* That they would be seen where they were: what stands beside them is. */
    set("w/main.c", main_text);
    assert_int_equal(is_prompted("w/main.c", strlen(main_text), "shown_to_main_0(int first"), reads);
    assert_int_equal(is_in_pool(BESIDE "_3"), reads);
    expect_nothing(methods[m]);
    for (int i = 0; i < (reads ? (int)LINES : 1); i++) edit_secret(i);
    static const char *const secret[] = {"w/.env", "w/ignored.c", "w/mine.c", "w/id_rsa",
                                         "w/key_inside.c"};
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
      completion__buffer text = read_sample(at(secret[i]));
      set(secret[i], text.s);
      complete(secret[i], text.len, NULL, true);
      completion__buffer_free(&text);
    }
    set("w/main.c", main_text);
    assert_true(is_prompted("w/main.c", strlen(main_text), "shown_to_main_0(int first"));
    expect_nothing(methods[m]);
    for (size_t i = 0; i < LINES; i++) { /* closed, their files are read again */
      char path[32];
      snprintf(path, sizeof path, "w/file_%zu.c", i);
      completion_document_remove(c, uri_of(path));
    }
    completion_workspace_wait(c);
    expect_nothing(methods[m]);
    completion_delete(c);
  }
}

/* A secret that the model wrote, as it stands above, and that was accepted. */
static void test_accepted(void **state) {
  (void)state;
  begin("all");
  static const char text[] = "int a;\nconst char *key = \"ghp_abcd",
                    rest[] = "efgh" CANARY "ABCDEFGHIJKL\";\n";
  set("w/new.c", text);
  asked a = complete("w/new.c", strlen(text), rest, false);
  assert_non_null(strstr(a.text, CANARY));
  char whole[1024];
  snprintf(whole, sizeof whole, "%s%s\n", text, a.text);
  set("w/new.c", whole);
  complete("w/new.c", strlen(whole), NULL, true);
  expect_nothing("accepted");
  completion_delete(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_methods, set_up),
                                     cmocka_unit_test_setup(test_accepted, set_up)};
  return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
