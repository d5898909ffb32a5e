/* Ignore rules: each kind by a table, many at random against git itself, those made to be slow;
 * and the names and texts that are secret. */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "completion/completion.h"
#include "completion/ignore.h"
#include "completion/walk.h"
#include "folder.h"

#define CASES 300

/* ---- a folder of our own ---------------------------------------------------------------- */

static char top[PATH_MAX]; /* absolute, free of links; the repository is top/work */

static int set_up(void **state) {
  (void)state;
  if (folder_make(top)) return -1;
  run("mkdir -p config/git && git init -q work");
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  return folder_remove(top);
}

/* Whether the rules on disk ignore the path in the folder `root`, itself or with a folder. */
static bool ignored_on_disk(const char *root, const char *path, bool folder) {
  completion__ignore g = {0};
  char full[PATH_MAX * 2];
  const char *above;
  bool repository, ignored = false;
  assert_int_equal(completion__ignore_open(&g, root, &above, &repository), 0);
  assert_true(repository);
  assert_string_equal(above, "");
  for (size_t at = 0, len = strlen(path); !ignored && at < len;) {
    snprintf(full, sizeof full, "%s/%.*s", root, (int)at, path);
    int fd = open(full, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_int_equal(completion__ignore_folder(&g, fd, at), 0);
    close(fd);
    size_t end = at + strcspn(path + at, "/");
    ignored = completion__ignore_matches(&g, path, end, end < len || folder);
    at = end + 1;
  }
  assert_false(completion__ignore_spent(&g));
  completion__ignore_free(&g);
  return ignored;
}

/* ---- each kind of rule ------------------------------------------------------------------ */

static bool is_ignored(const char *rules, const char *path) {
  completion__ignore g = {0};
  assert_int_equal(completion__ignore_add(&g, 0, slice(rules)), 0);
  size_t len = strlen(path);
  bool folder = path[len - 1] == '/', is = false;
  for (size_t i = 0; i < len && !is; i++)
    if (path[i] == '/') is = completion__ignore_matches(&g, path, i, true);
  if (!is && !folder) is = completion__ignore_matches(&g, path, len, false);
  completion__ignore_free(&g);
  return is;
}

static void test_rules(void **state) {
  (void)state;
  static const struct {
    const char *rules, *path; /* a folder's path ends with '/' */
    bool ignored;
  } cases[] = {
      {"", "a", false}, {"\n\n", "a", false}, {"# a\n", "# a", false}, {"\\#a\n", "#a", true},
      {"a", "a", true}, {"a\r\n", "a", true}, {"a\r", "a", true}, {"\xEF\xBB\xBF" "a\n", "a", true},
      {"a", "x/a", true}, {"a", "ab", false}, {"a", "A", false}, {"a", "a/x", true},
      {"/a", "a", true}, {"/a", "x/a", false}, {"a/b", "a/b", true}, {"a/b", "x/a/b", false},
      {"a/", "a", false}, {"a/", "a/", true}, {"a/", "x/a/y", true}, {"/a/", "a/y", true},
      {"a  ", "a", true}, {"a\\ ", "a ", true}, {"a\\  ", "a ", true}, {"a\t", "a", false},
      {" a", "a", false}, {" a", " a", true}, {"   ", " ", false},
      {"*.c\n!b.c", "a.c", true}, {"*.c\n!b.c", "b.c", false}, {"!b.c\n*.c", "b.c", true},
      {"\\!a", "!a", true}, {"!a", "!a", false}, {"a/\n!a/b", "a/b", true},
      {"a/*\n!a/b", "a/b", false}, {"a/*\n!a/b", "a/c", true},
      {"*", "a/b", true}, {"*.c", "x/a.c", true}, {"a*c", "abbc", true}, {"a*c", "ab/c", false},
      {"x/*.c", "x/a.c", true}, {"x/*.c", "x/y/a.c", false}, {"a?c", "abc", true},
      {"a?c", "ac", false}, {"x?y/z", "x/y/z", false},
      {"[ab]", "a", true}, {"[ab]", "c", false}, {"[!ab]", "c", true}, {"[^ab]", "a", false},
      {"[a-c]x", "bx", true}, {"[a-c]x", "dx", false}, {"[]a]", "]", true}, {"[a-]", "-", true},
      {"[\\]]", "]", true}, {"[a", "[a", false}, {"[a", "a", false}, {"x[!a]y", "x/y", false},
      {"/x[/]y", "x/y", false}, {"[[:digit:]]", "7", true}, {"[[:digit:]]", "x", false},
      {"[[:nothing:]]", "n", false}, {"[[:alpha:]_-z]", "_", true},
      {"**/a", "a", true}, {"**/a", "x/y/a", true}, {"**/a/b", "x/a/b", true},
      {"a/**", "a/x/y", true}, {"a/**", "a/", false}, {"a/**", "b/a/x", false},
      {"a/**/b", "a/b", true}, {"a/**/b", "a/x/y/b", true}, {"a/**/b", "a/xb", false},
      {"**/a*/**/b?/c", "x/ay/bz/c", true}, {"**/a*/**/b?/c", "ay/q/r/bz/c", true},
      {"**/a*/**/b?/c", "ay/q/r/b/c", false}, {"/**/x", "a/x", true}, {"a**", "abc", true},
      {"x/a**b", "x/a/b", false}, {"x/?a**b", "x/ya/b", false}, {"x/*a**b", "x/yazb", true},
      {"a\\b", "ab", true}, {"a\\", "a\\", false}, {"\\*", "*", true}, {"\\*", "a", false},
      {"/", "a", false}, {"//", "a", false}, {"!", "a", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (is_ignored(cases[i].rules, cases[i].path) != cases[i].ignored)
      fail_msg("%s: \"%s\"", cases[i].rules, cases[i].path);
}

/* Deeper lists win over shallower ones, and what is taken off no longer counts. */
static void test_stack(void **state) {
  (void)state;
  completion__ignore g = {0};
  assert_int_equal(completion__ignore_add(&g, 0, slice("*.c\n/k\n")), 0);
  assert_int_equal(completion__ignore_add(&g, 2, slice("!a.c\n/b.h\nd/e\n")), 0);
  assert_false(completion__ignore_matches(&g, "x/a.c", 5, false));
  assert_true(completion__ignore_matches(&g, "x/b.c", 5, false));
  assert_true(completion__ignore_matches(&g, "x/b.h", 5, false));
  assert_true(completion__ignore_matches(&g, "x/d/e", 5, false));
  assert_false(completion__ignore_matches(&g, "x/y/b.h", 7, false));
  assert_false(completion__ignore_matches(&g, "x/k", 3, false));
  completion__ignore_pop(&g, 1);
  assert_true(completion__ignore_matches(&g, "x/a.c", 5, false));
  assert_false(completion__ignore_matches(&g, "x/b.h", 5, false));
  completion__ignore_free(&g);

  char rule[5000];
  memset(rule, 'a', sizeof rule);
  assert_int_equal(completion__ignore_add(&g, 0, completion__slice_of(rule, sizeof rule)),
                   COMPLETION_EINVAL);
  rule[0] = '#'; /* only a comment */
  assert_int_equal(completion__ignore_add(&g, 0, completion__slice_of(rule, sizeof rule)), 0);
  completion__ignore_free(&g);
}

/* Every pattern here is exponential for a matcher that tries all there is. */
static void test_hostile(void **state) {
  (void)state;
  char name[256], deep[512], rule[4000];
  memset(name, 'a', 255), name[255] = 0;
  for (size_t i = 0; i < 510; i += 2) memcpy(deep + i, "a/", 2);
  deep[509] = 0;
  const char *units[] = {"*a", "**a", "*?", "[a]*", "*a*", "**/", "*/", "**/a/", "**/*/", "*[!b]",
                         "a*/**/"};
  for (size_t u = 0; u < sizeof units / sizeof units[0]; u++)
    for (size_t times = 1; times * strlen(units[u]) + 3 < sizeof rule; times *= 3) {
      size_t len = 0;
      for (size_t i = 0; i < times; i++) len += (size_t)sprintf(rule + len, "%s", units[u]);
      strcpy(rule + len, "b");
      completion__ignore g = {0};
      assert_int_equal(completion__ignore_add(&g, 0, slice(rule)), 0);
      assert_false(completion__ignore_matches(&g, name, 255, false));
      assert_false(completion__ignore_matches(&g, deep, 509, false));
      assert_true(g.steps < 2000000);
      completion__ignore_free(&g);
    }
}

/* When rules have used up their time, nothing comes out any more. */
static void test_spent(void **state) {
  (void)state;
  completion__ignore g = {0};
  assert_int_equal(completion__ignore_add(&g, 0, slice("x*y\n!a\n")), 0);
  assert_false(completion__ignore_matches(&g, "a", 1, false));
  g.steps = UINT64_MAX / 2;
  assert_true(completion__ignore_spent(&g));
  assert_true(completion__ignore_matches(&g, "a", 1, false));
  completion__ignore_free(&g);
}

/* ---- against git ------------------------------------------------------------------------ */

typedef struct paths {
  char path[200][128];
  bool folder[200];
  int n;
} paths;

static uint32_t seed;

static size_t at_random(size_t n) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % n;
}

#define ANY(list) ((list)[at_random(sizeof(list) / sizeof(list)[0])])

static void paths_add(paths *p, const char *path, bool folder) {
  if (p->n == 200) return;
  snprintf(p->path[p->n], sizeof p->path[0], "%s", path);
  p->folder[p->n++] = folder;
}

/* Makes folders and files of few names, so that rules hit. Those that cannot be are left out. */
static void make_tree(paths *p, int files) {
  static const char *const names[] = {"a",  "b",  "ab", "abc", "a.c", "b.c", "foo", "a b", "x",
                                      "#a", "!b", "a[", "a\\", "f*",  " a",  "a ",  "-",   "]"};
  char path[128];
  p->n = 0;
  for (int i = 0; i < files; i++) {
    size_t len = 0, parts = 1 + at_random(5);
    for (size_t k = 0; k < parts; k++) {
      len += (size_t)snprintf(path + len, sizeof path - len, "%s%s", k ? "/" : "", ANY(names));
      if (k + 1 == parts) {
        FILE *f = access(path, F_OK) == 0 ? NULL : fopen(path, "w");
        if (f) fclose(f), paths_add(p, path, false);
      } else if (mkdir(path, 0700) == 0) {
        paths_add(p, path, true);
      }
    }
  }
}

static size_t random_rule(const paths *p, char *rule) {
  static const char *const pieces[] = {
      "a", "b", "c", "ab", "foo", ".c", "*", "*", "*", "**", "?", "/", "/", "/", "**/", "/**",
      "/**/", "[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]", "[[:punct:]x]", "[[:space:]]", "\\*",
      "\\", "\\ ", "\\a", "!", " ", "[", "]", "[]a]", "[a-", "[\\]]", "[[:x]", "[[", "-", "#", "\t",
      "***", "*a", "a*", "[!]a-c]", "\\/", "[/]"};
  size_t len = 0;
  if (at_random(4) == 0) rule[len++] = '!';
  if (at_random(6) == 0) rule[len++] = '/';
  if (at_random(2) == 0 && p->n) { /* from a path, with a wildcard here and there */
    const char *s = p->path[at_random((size_t)p->n)];
    for (; *s; s++) switch (at_random(9)) {
        case 0: rule[len++] = '?'; break;
        case 1: rule[len++] = '*'; s += strcspn(s, "/") - 1; break;
        case 2:
          if (len && rule[len - 1] == '/') len += (size_t)sprintf(rule + len, "**/");
          /* fall through */
        default: rule[len++] = *s;
      }
  } else {
    for (size_t n = 1 + at_random(6); n > 0; n--)
      len += (size_t)sprintf(rule + len, "%s", ANY(pieces));
  }
  if (at_random(8) == 0) rule[len++] = '/';
  if (at_random(12) == 0) rule[len++] = ' ';
  return len;
}

static void make_rules(const paths *p, const char *path) {
  char text[4096];
  size_t len = 0;
  for (size_t n = 1 + at_random(4); n > 0; n--) {
    len += random_rule(p, text + len);
    size_t end = at_random(8);
    if (end == 0) text[len++] = '\r';
    if (end != 1 || n > 1) text[len++] = '\n';
  }
  write_file(path, text, len);
}

static void make_case(paths *p) {
  char path[160];
  run("rm -rf -- ..?* .[!.g]* .gitignore * ../config/git/ignore .git/info/exclude");
  make_tree(p, 25);
  if (at_random(5)) make_rules(p, ".gitignore");
  if (at_random(3) == 0) make_rules(p, ".git/info/exclude");
  if (at_random(3) == 0) make_rules(p, "../config/git/ignore");
  for (int i = 0, n = p->n; i < n; i++) {
    snprintf(path, sizeof path, "%s/.gitignore", p->path[i]);
    if (p->folder[i] && at_random(3) == 0) make_rules(p, path);
  }
}

/* Asks git about all paths and compares. */
static int compare(const paths *p, const char *root) {
  FILE *f = fopen("../asked", "wb");
  assert_non_null(f);
  for (int i = 0; i < p->n; i++) fwrite(p->path[i], 1, strlen(p->path[i]) + 1, f);
  fclose(f);
  int status = system("git check-ignore -z --stdin --no-index <../asked "
                      ">../answer");
  assert_true(status == 0 || status == 1 << 8); /* some, none */
  completion__buffer answer = read_sample("../answer");
  int n_ignored = 0;
  const char *at = answer.s, *end = answer.s + answer.len;
  for (int i = 0; i < p->n; i++) { /* git answers in the order asked */
    bool expected = at < end && strcmp(at, p->path[i]) == 0;
    if (expected) at += strlen(at) + 1, n_ignored++;
    if (ignored_on_disk(root, p->path[i], p->folder[i]) != expected) {
      (void)!system("tail -n +1 .gitignore */.gitignore .git/info/exclude ../config/git/ignore");
      fail_msg("seed %u: git %s \"%s\"", seed, expected ? "ignores" : "does not ignore",
               p->path[i]);
    }
  }
  assert_true(at == end);
  completion__buffer_free(&answer);
  return n_ignored;
}

static void test_as_git(void **state) {
  (void)state;
  char root[PATH_MAX + 8];
  static paths p;
  int n = 0, n_ignored = 0;
  snprintf(root, sizeof root, "%s/work", top);
  assert_int_equal(chdir(root), 0);
  for (uint32_t i = 0; i < CASES; i++) {
    seed = i * 7919 + (getenv("FIMD_TEST_SEED") ? (uint32_t)atoi(getenv("FIMD_TEST_SEED")) : 0);
    make_case(&p);
    n += p.n;
    n_ignored += compare(&p, root);
  }
  print_message("%d paths, %d ignored\n", n, n_ignored);
  assert_true(n_ignored > n / 10 && n_ignored < n - n / 10);
}

/* Every byte a name can have against every class and some ranges. */
static void test_classes_as_git(void **state) {
  (void)state;
  static const char *const sets[] = {
      "[[:alnum:]]", "[[:alpha:]]", "[[:blank:]]", "[[:cntrl:]]", "[[:digit:]]", "[[:graph:]]",
      "[[:lower:]]", "[[:print:]]", "[[:punct:]]", "[[:space:]]", "[[:upper:]]", "[[:xdigit:]]",
      "[![:alnum:]]", "[^[:print:][:cntrl:]]", "[+--]", "[--a]", "[]-a]", "[!]-a]", "[[-\\]]",
      "[\\a-\\c]", "[a\\-c]", "[[:digit:]-z]", "[a-c-z]", "[\x80-\xff]", "[z-a]", "[[:alpha]",
      "[[:]a]", "[[::]]", "[[:Alpha:]]", "[!!]", "[!^]", "[^!a]", "[[.a.]]", "?", "\\?",
      "[a-\\]]", "[*?]"};
  char root[PATH_MAX + 8];
  static paths p;
  snprintf(root, sizeof root, "%s/work", top);
  assert_int_equal(chdir(root), 0);
  run("rm -rf -- ..?* .[!.g]* .gitignore * ../config/git/ignore .git/info/exclude");
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
    char rule[64];
    snprintf(rule, sizeof rule, "x%s\n", sets[i]);
    write_text(".gitignore", rule);
    for (int half = 0; half < 2; half++) {
      p.n = 0;
      for (int c = half ? 128 : 1; c < (half ? 256 : 128); c++)
        if (c != '/') paths_add(&p, (char[]){'x', (char)c, 0}, false);
      compare(&p, root);
    }
  }
}

/* ---- where rules stand ------------------------------------------------------------------ */

static void test_repository(void **state) {
  (void)state;
  char root[PATH_MAX + 32];
  const char *above;
  bool repository;
  assert_int_equal(chdir(top), 0);
  run("rm -rf work && git init -q work && mkdir -p work/in/out/er work/gone/x plain/x");
  write_text("work/.gitignore", "/in/out/er/a\ngone\n*.o\n");
  write_text("work/in/.gitignore", "/out/er/b\n");
  write_text("work/in/.fimdignore", "!a.o\nc\n");
  write_text("work/.git/info/exclude", "excluded\n");
  write_text("config/git/ignore", "mine\n");

  completion__ignore g = {0};
  snprintf(root, sizeof root, "%s/work/in/out/er", top);
  assert_int_equal(completion__ignore_open(&g, root, &above, &repository), 0);
  assert_true(repository);
  assert_string_equal(above, "in/out/er");
  static const char *const out[] = {"a", "b", "c", "b.o", "excluded", "mine"};
  char path[64];
  for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) {
    size_t len = (size_t)snprintf(path, sizeof path, "in/out/er/%s", out[i]);
    assert_true(completion__ignore_matches(&g, path, len, false));
  }
  assert_false(completion__ignore_matches(&g, "in/out/er/a.o", 13, false));
  assert_false(completion__ignore_matches(&g, "in/out/er/d", 11, false));
  completion__ignore_free(&g);

  snprintf(root, sizeof root, "%s/work/gone/x", top);
  assert_int_equal(completion__ignore_open(&g, root, &above, &repository), 1);
  completion__ignore_free(&g);
  snprintf(root, sizeof root, "%s/plain/x", top);
  assert_int_equal(completion__ignore_open(&g, root, &above, &repository), 0);
  assert_false(repository);
  assert_string_equal(above, "");
  assert_true(completion__ignore_matches(&g, "mine", 4, false));
  completion__ignore_free(&g);

  /* The user's own file may be a link, and a worktree has the main repository's rules. */
  run("mv config/git/ignore config/linked && ln -s ../linked config/git/ignore && cd work && "
      "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && "
      "git worktree add -q ../tree 2>/dev/null");
  snprintf(root, sizeof root, "%s/tree", top);
  assert_int_equal(completion__ignore_open(&g, root, &above, &repository), 0);
  assert_true(repository);
  assert_true(completion__ignore_matches(&g, "excluded", 8, false));
  assert_true(completion__ignore_matches(&g, "mine", 4, false));
  assert_false(completion__ignore_matches(&g, "a.o", 3, false));
  completion__ignore_free(&g);
}

/* ---- secrets ---------------------------------------------------------------------------- */

static void test_secret_names(void **state) {
  (void)state;
  static const char *const secret[] = {
      ".env", ".env.local", ".ENV.Production", "a/b/.env", ".env.bak", "prod.env", ".envrc",
      "key.pem", "a/Server.KEY", "x.p12", "x.pfx", "x.jks", "x.keystore", "x.kdbx", "id_rsa",
      "id_rsa.pub", "id_dsa", "id_ecdsa_sk", "id_ed25519", "deploy_rsa", "x.ppk", ".netrc",
      "_netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials", "credentials",
      "credentials.json", "terraform.tfstate", "terraform.tfstate.backup", "prod.tfvars",
      "x.auto.tfvars.json", "secrets.yml", "secrets.yaml", "secrets.json", "Secrets.toml",
      "service-account.json", "service-account-prod.json", "my_service_account.json", ".htpasswd",
      ".aws/config", "home/.aws/x", ".ssh/known", ".gnupg/x", "x.gpg", "x.asc", "x.ovpn",
      ".kube/config", ".docker/config.json", "client_secret_1.json", "passwords.txt",
      "secrets/db.txt", "config/secrets/db.yaml", "secrets/token", "api_key.txt", "wp-config.php",
      ".bash_history", "vault_pass.txt", "config/database.yml", ".ssh/", "a/.aws/"};
  static const char *const open_to_all[] = {
      ".env.example", ".env.sample", ".env.template", ".env.production.example", "a/.env.example",
      "a.c", "environment.ts", "env.py", "key.c", "keys.py", "secret.rs", "secrets/manager.py",
      "password_reset.rb", "credentials.go", "monkey.json", "README.md", "passwords.md",
      "package.json", "aws/x.py", "tokenizer.json", "src/", "secrets/", "asc.c", "id.rs", ""};
  for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
    if (!completion__is_secret(secret[i])) fail_msg("%s is secret", secret[i]);
  for (size_t i = 0; i < sizeof open_to_all / sizeof open_to_all[0]; i++)
    if (completion__is_secret(open_to_all[i])) fail_msg("%s is no secret", open_to_all[i]);
  char name[400];
  memset(name, 'a', sizeof name), name[399] = 0;
  assert_true(completion__is_secret(name));
}

static void test_secret_texts(void **state) {
  (void)state;
  assert_true(completion__holds_secret(slice("x\n-----BEGIN RSA PRIVATE KEY-----\nMII\n")));
  assert_true(completion__holds_secret(slice("k = \"-----BEGIN PRIVATE KEY-----\\n\"")));
  assert_true(completion__holds_secret(slice("-----BEGIN PGP PRIVATE KEY BLOCK-----")));
  assert_true(completion__holds_secret(
      slice("-----BEGIN CERTIFICATE-----\nx\n-----BEGIN EC PRIVATE KEY-----\n")));
  assert_false(completion__holds_secret(slice("-----BEGIN PUBLIC KEY-----\nMII\n")));
  assert_false(completion__holds_secret(slice("a PRIVATE KEY-----\n")));
  assert_false(completion__holds_secret(
      slice("find(\"-----BEGIN \");\nfind(\"PRIVATE KEY-----\")")));
  assert_false(completion__holds_secret(slice("-----BEGIN ")));
  assert_false(completion__holds_secret(slice("")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rules),        cmocka_unit_test(test_stack),
      cmocka_unit_test(test_hostile),      cmocka_unit_test(test_spent),
      cmocka_unit_test(test_as_git),       cmocka_unit_test(test_classes_as_git),
      cmocka_unit_test(test_repository),   cmocka_unit_test(test_secret_names),
      cmocka_unit_test(test_secret_texts),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
