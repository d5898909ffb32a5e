/* ignore.c - see ignore.h.
 *
 * Rules come with the repository, so from strangers: the matcher keeps two places to go back to
 * instead of recursing, works on the pattern as it is written, and counts its steps. */
#include "completion/ignore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "completion/completion.h"

#define FILE_MAX ((size_t)4 << 20) /* bytes of a rule file */
#define RULE_MAX 4096              /* bytes of a rule */
#define STEPS_MAX 4000000000u      /* of one walk: far beyond honest rules, some ten seconds */

typedef struct rule {
  uint32_t at, len; /* the pattern in the list's text, without '!', leading and closing '/' */
  uint32_t plain;   /* bytes it begins with that are no wildcard */
  bool negative;    /* '!' */
  bool folder;      /* closing '/' */
  bool name;        /* no other '/': matches a name in any folder below */
} rule;

struct completion__ignore_list {
  char *text;  /* owned */
  rule *rules; /* [n] owned, as they stand in the file */
  size_t n, capacity;
  size_t base;
};

/* ---- a pattern ------------------------------------------------------------------------- */

static bool is_between(unsigned char c, char first, char last) {
  return c >= (unsigned char)first && c <= (unsigned char)last;
}

/* Whether c is of a POSIX class, as git has them: in ASCII. -1: there is no such class. */
static int class_has(const char *name, size_t len, unsigned char c) {
  static const struct {
    char name[8];
    const char *ranges; /* pairs of first and last */
  } classes[] = {{"alnum", "09AZaz"}, {"alpha", "AZaz"}, {"blank", "\t\t  "},
                 {"cntrl", "\1\37\177\177"}, {"digit", "09"}, {"graph", "!~"}, {"lower", "az"},
                 {"print", " ~"}, {"punct", "!/:@[`{~"}, {"space", "\t\n\r\r  "}, {"upper", "AZ"},
                 {"xdigit", "09AFaf"}};
  for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
    if (strlen(classes[i].name) != len || memcmp(classes[i].name, name, len) != 0) continue;
    for (const char *r = classes[i].ranges; *r; r += 2)
      if (is_between(c, r[0], r[1])) return 1;
    return 0;
  }
  return -1;
}

/* Whether c is of the set whose '[' stands before *p, which is left behind its ']'. -1: the set
 * is not closed or has an unknown class, and the whole pattern matches nothing. */
static int set_has(const char **p, const char *end, unsigned char c) {
  const char *at = *p;
  bool negated = at < end && (*at == '!' || *at == '^'), has = false;
  if (negated) at++;
  unsigned char before = 0; /* what a range may begin with */
  for (bool first = true;; first = false) {
    if (at >= end) return -1;
    if (*at == ']' && !first) break;
    bool more = end - at > 1;
    const char *close = *at == '[' && more && at[1] == ':'
                            ? memchr(at + 2, ']', (size_t)(end - at) - 2)
                            : at;
    if (!close) return -1;
    if (*at == '-' && before && more && at[1] != ']') {
      at++;
      if (*at == '\\' && ++at == end) return -1;
      has |= c >= before && c <= (unsigned char)*at;
      before = 0;
    } else if (close > at + 2 && close[-1] == ':') {
      int in = class_has(at + 2, (size_t)(close - at) - 3, c);
      if (in < 0) return -1;
      has |= in;
      before = 0;
      at = close;
    } else {
      if (*at == '\\' && ++at == end) return -1;
      before = (unsigned char)*at;
      has |= c == before;
    }
    at++;
  }
  *p = at + 1;
  return has != negated;
}

/* Takes one character of the pattern at *p, no '*', and one of the text. 1: they agree, 0: they
 * do not, -1: the pattern matches nothing. */
static int one_matches(const char **p, const char *end, char c) {
  char k = *(*p)++;
  if (k == '?') return c != '/';
  if (k == '[') {
    int has = set_has(p, end, (unsigned char)c);
    return has > 0 ? c != '/' : has;
  }
  if (k == '\\') {
    if (*p == end) return -1;
    k = *(*p)++;
  }
  return k == c;
}

/* Whether the pattern [p, end) matches all of [s, s_end). '*' and '?' stay within a name. "**"
 * between slashes or at an end, where "at an end" means of what is given here (git too cuts off
 * what has no wildcard), stands for any number of folders.
 *
 * `name` is where the last '*' goes on and `deep` where the last "**" does. No earlier star is
 * worth a second try: what comes between two stars is matched as early as can be, and the later
 * star can take whatever an earlier one would have taken more. */
static bool glob(const char *p, const char *end, const char *s, const char *s_end,
                 uint64_t *steps) {
  const char *start = p;
  struct {
    const char *p, *s;
  } name = {NULL, NULL}, deep = {NULL, NULL};
  while (++*steps < STEPS_MAX) {
    if (p == end && s == s_end) return true;
    if (p < end && *p == '*') {
      const char *stars = p;
      while (p < end && *p == '*') p++;
      bool slash = p < end && *p == '/', escaped = end - p > 1 && p[0] == '\\' && p[1] == '/';
      if (p - stars > 1 && (stars == start || stars[-1] == '/') && (p == end || slash || escaped)) {
        deep.p = p = slash ? p + 1 : p;
        deep.s = s;
        name.p = NULL;
      } else {
        name.p = p;
        name.s = s;
      }
      continue;
    }
    if (p < end && s < s_end) {
      const char *before = p;
      int same = one_matches(&p, end, *s);
      if (same < 0) return false;
      *steps += (uint64_t)(p - before);
      if (same) {
        s++;
        continue;
      }
    }
    if (name.p && name.s < s_end && *name.s != '/') {
      s = ++name.s;
      p = name.p;
      continue;
    }
    name.p = NULL;
    if (!deep.p || deep.s == s_end) return false;
    bool folders = deep.p > start && deep.p[-1] == '/'; /* goes on after a slash only */
    const char *next = folders ? memchr(deep.s, '/', (size_t)(s_end - deep.s)) : deep.s;
    if (!next) return false;
    s = deep.s = next + 1;
    p = deep.p;
  }
  return false;
}

static bool is_wildcard(char c) { return c == '*' || c == '?' || c == '[' || c == '\\'; }

/* ---- a list of rules ------------------------------------------------------------------- */

/* Length of a line without its trailing blanks; one after a backslash stays. */
static size_t without_blanks(const char *line, size_t len) {
  size_t end = 0;
  for (size_t i = 0; i < len; i++) {
    if (line[i] == '\\' && i + 1 < len) end = ++i + 1;
    else if (line[i] != ' ') end = i + 1;
  }
  return end;
}

static int rule_add(completion__ignore_list *l, const char *line, size_t len) {
  rule r = {0};
  const char *p = line;
  len = without_blanks(line, len);
  if (len > RULE_MAX) return COMPLETION_EINVAL;
  if (len && *p == '!') r.negative = true, p++, len--;
  if (len && p[len - 1] == '/') r.folder = true, len--;
  r.name = len == 0 || !memchr(p, '/', len);
  if (len && *p == '/') p++, len--;
  if (len == 0) return 0;
  while (r.plain < len && !is_wildcard(p[r.plain])) r.plain++;
  r.at = (uint32_t)(p - l->text);
  r.len = (uint32_t)len;
  if (l->n == l->capacity) {
    size_t capacity = l->capacity ? l->capacity * 2 : 16;
    rule *grown = realloc(l->rules, capacity * sizeof *grown);
    if (!grown) return COMPLETION_ENOMEM;
    l->rules = grown;
    l->capacity = capacity;
  }
  l->rules[l->n++] = r;
  return 0;
}

static void list_free(completion__ignore_list *l) {
  free(l->text);
  free(l->rules);
}

static int list_read(completion__ignore_list *l, completion__slice t) {
  l->text = malloc(t.len ? t.len : 1);
  if (!l->text) return COMPLETION_ENOMEM;
  if (t.len) memcpy(l->text, t.s, t.len);
  t.s = l->text;
  size_t at = completion__slice_starts(t, completion__slice_of("\xEF\xBB\xBF", 3)) ? 3 : 0;
  for (size_t end; at < t.len; at = end + 1) {
    end = completion__line_end(t, at);
    const char *line = t.s + at;
    size_t len = strnlen(line, end - at); /* git's lines end at a NUL as well */
    if (len && line[len - 1] == '\r') len--;
    if (len == 0 || *line == '#') continue;
    int status = rule_add(l, line, len);
    if (status < 0) return status;
  }
  return 0;
}

static bool rule_matches(const completion__ignore_list *l, const rule *r, completion__slice t,
                         uint64_t *steps) {
  const char *p = l->text + r->at;
  ++*steps;
  if (r->plain > t.len || memcmp(p, t.s, r->plain) != 0) return false;
  if (r->plain == r->len) return t.len == r->len;
  char last = p[r->len - 1]; /* tells most texts apart, "*.o" from those it is not for */
  if (!strchr("*?]\\", last) && (t.len == 0 || t.s[t.len - 1] != last)) return false;
  return glob(p + r->plain, p + r->len, t.s + r->plain, t.s + t.len, steps);
}

/* ---- the stack ------------------------------------------------------------------------- */

void completion__ignore_pop(completion__ignore *g, size_t n) {
  while (g->n > n) list_free(&g->lists[--g->n]);
}

void completion__ignore_free(completion__ignore *g) {
  completion__ignore_pop(g, 0);
  free(g->lists);
  *g = (completion__ignore){0};
}

int completion__ignore_add(completion__ignore *g, size_t base, completion__slice text) {
  if (text.len > FILE_MAX) return COMPLETION_EINVAL;
  if (g->n == g->capacity) {
    size_t capacity = g->capacity ? g->capacity * 2 : 16;
    completion__ignore_list *grown = realloc(g->lists, capacity * sizeof *grown);
    if (!grown) return COMPLETION_ENOMEM;
    g->lists = grown;
    g->capacity = capacity;
  }
  completion__ignore_list l = {.base = base};
  int status = list_read(&l, text);
  if (status < 0) {
    list_free(&l);
    return status;
  }
  g->lists[g->n++] = l;
  return 0;
}

bool completion__ignore_spent(const completion__ignore *g) { return g->steps >= STEPS_MAX; }

bool completion__ignore_matches(completion__ignore *g, const char *path, size_t len, bool folder) {
  const char *slash = len ? memrchr(path, '/', len) : NULL;
  size_t name = slash ? (size_t)(slash - path) + 1 : 0;
  for (size_t i = g->n; i-- > 0;) {
    const completion__ignore_list *l = &g->lists[i];
    for (size_t k = l->n; k-- > 0;) {
      const rule *r = &l->rules[k];
      size_t from = r->name ? name : l->base;
      if (r->folder && !folder) continue;
      bool matches = rule_matches(l, r, completion__slice_of(path + from, len - from), &g->steps);
      if (completion__ignore_spent(g)) return true;
      if (matches) return !r->negative;
    }
  }
  return false;
}

/* ---- secrets --------------------------------------------------------------------------- */

/* Names of files, in lower case, and of folders whose files are all secret. */
static const char *const secret_files[] = {
    ".env", ".env[._-]*", ".envrc", "*.env", ".flaskenv", ".dev.vars*", "*.pem", "*.key", "*.p8",
    "*.p12", "*.pfx", "*.pkcs12", "*.jks", "*.jceks", "*.bks", "*.keystore", "*.kdb", "*.kdbx",
    "*.psafe3", "*.keychain*", "*.ppk", "*.pvk", "*.snk", "*.gpg", "*.pgp", "*.asc", "*.age",
    "*.ovpn", "*.rdp", "*.mobileprovision", "*.publishsettings", "*.tfstate*", "*.tfvars",
    "*.tfvars.json", "*.token", "*.secret", "*.secrets", "*.kubeconfig", "kubeconfig*", "*.wallet",
    "wallet.dat", "utc--*", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*_rsa", "*_dsa",
    "*_ecdsa", "*_ed25519", "ssh_host_*_key*", "authorized_keys", "known_hosts", "[._]netrc",
    ".pgpass", "pgpass.conf", ".my.cnf", ".mylogin.cnf", ".npmrc", ".yarnrc", ".yarnrc.yml",
    ".pypirc", "pip.conf", "nuget.config", ".git-credentials", ".gitconfig", "credentials",
    "*.passwd", "passwd", "shadow", ".htpasswd*", "htpasswd", ".dockercfg", ".dockerconfigjson",
    ".s3cfg", ".boto", "*rclone.conf", ".vault-token", "*vault[_-]pass*", ".terraformrc",
    "terraform.rc", ".esmtprc", ".msmtprc", ".fetchmailrc", ".muttrc", ".ftpconfig", ".ftppass",
    "sftp*.json", ".remote-sync.json", "filezilla.xml", "sitemanager.xml", "recentservers.xml",
    "wp-config.php*", "localsettings.php", "local_settings.py", "settings_local.py",
    "database.yml", "secrets.py", "secrets.h", "arduino_secrets.h", "secret_token.rb", "auth.json",
    "token.json", "token.txt", "*service[_-]account*.json", "*serviceaccount*.json",
    "*firebase*adminsdk*.json", "*[_-]key.json", "*[_-]keys.json", "key.json", "keys.json",
    "client_id*.json", "google-services.json", "googleservice-info.plist", "local.properties",
    "key*.properties", "kaggle.json", ".*_history", NULL};
static const char *const secret_folders[] = {
    ".aws", ".azure", ".ssh", ".gnupg", ".gpg", ".kube", ".docker", ".gcloud", ".oci", ".m2",
    ".gem", ".chef", ".fly", ".pki", ".putty", ".pulumi", ".kaggle", ".vault", ".vagrant",
    ".netlify", ".vercel", ".wrangler", ".databricks", ".secret", ".secrets", ".credentials",
    ".password-store", "*.keychain", "*.agilekeychain", NULL};
/* Names of plain data, where the name or that of a folder above it has one of these words. */
static const char *const secret_words[] = {
    "*secret*", "*password*", "*passwd*", "*passphrase*", "*credential*", "*private[_-]key*",
    "*privatekey*", "*api[_-]key*", "*apikey*", "*access[_-]key*", "*accesskey*", "*auth[_-]token*",
    "*access[_-]token*", "*refresh[_-]token*", "*recovery[_-]code*", "*mnemonic*", NULL};
static const char *const data_files[] = {
    "*.txt", "*.json*", "*.yml", "*.yaml", "*.toml", "*.ini", "*.cfg", "*.conf", "*.properties",
    "*.xml", "*.csv", "*.tsv", "*.plist", "*.enc", "*.dat", "*.db", "*.sql", "*.bak", "*.old",
    "*.orig", "*.backup", NULL};
static const char *const example_files[] = {".env*.example", ".env*.sample", ".env*.template",
                                            NULL};

static bool is_one_of(completion__slice name, const char *const *patterns) {
  uint64_t steps = 0;
  for (; *patterns; patterns++)
    if (glob(*patterns, *patterns + strlen(*patterns), name.s, name.s + name.len, &steps))
      return true;
  return false;
}

bool completion__is_secret(const char *path) {
  char lower[NAME_MAX + 1];
  bool word = false;
  for (size_t n; *path; path += n + 1) {
    n = strcspn(path, "/");
    if (n >= sizeof lower) return true; /* no file has such a name */
    for (size_t i = 0; i < n; i++)
      lower[i] = is_between((unsigned char)path[i], 'A', 'Z') ? (char)(path[i] + 32) : path[i];
    completion__slice name = completion__slice_of(lower, n);
    word = word || is_one_of(name, secret_words);
    if (path[n] == 0)
      return (is_one_of(name, secret_files) && !is_one_of(name, example_files)) ||
             (word && (!memchr(lower, '.', n) || is_one_of(name, data_files)));
    if (is_one_of(name, secret_folders)) return true;
  }
  return false;
}

bool completion_is_rules(const char *path) {
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  return strcmp(name, ".gitignore") == 0 || strcmp(name, ".fimdignore") == 0;
}

/* ---- rule files ------------------------------------------------------------------------ */

bool completion__errno_is_short(void) {
  return errno == ENOMEM || errno == EMFILE || errno == ENFILE;
}

int completion__read_file(int fd, const char *name, size_t most, completion__buffer *text) {
  text->len = 0;
  int file = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (file < 0) {
    if (completion__errno_is_short()) return COMPLETION_ENOMEM;
    bool absent = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO;
    return absent ? COMPLETION__READ_ABSENT : COMPLETION__READ_FAILED;
  }
  struct stat st;
  int status = COMPLETION__READ;
  if (fstat(file, &st) != 0) status = COMPLETION__READ_FAILED;
  else if (!S_ISREG(st.st_mode)) status = COMPLETION__READ_ABSENT;
  else if (st.st_size > 0 && (uintmax_t)st.st_size > most) status = COMPLETION__READ_LARGE;
  char part[16384];
  while (status == COMPLETION__READ) {
    ssize_t n = read(file, part, sizeof part);
    if (n == 0) break;
    if (n > 0) status = completion__buffer_append(text, part, (size_t)n);
    else if (completion__errno_is_short()) status = COMPLETION_ENOMEM;
    else if (errno != EINTR) status = COMPLETION__READ_FAILED;
    if (status == COMPLETION__READ && text->len > most) status = COMPLETION__READ_LARGE;
  }
  close(file);
  return status;
}

/* Puts the rules of one file on top; no file, no rules. Negative as completion__ignore_folder. */
static int add_file(completion__ignore *g, int fd, const char *name, size_t base) {
  completion__buffer text = {0};
  int status = completion__read_file(fd, name, FILE_MAX, &text);
  if (status == COMPLETION__READ && text.len > 0)
    status = completion__ignore_add(g, base, completion__slice_of(text.s, text.len));
  else if (status == COMPLETION__READ_ABSENT) status = 0;
  else if (status > 0) status = COMPLETION_EINVAL;
  completion__buffer_free(&text);
  return status;
}

int completion__ignore_folder(completion__ignore *g, int fd, size_t base) {
  int status = add_file(g, fd, ".gitignore", base);
  return status < 0 ? status : add_file(g, fd, ".fimdignore", base);
}

/* The same for a file of the user's or the repository's own: as git has it, one that cannot be
 * read is passed over, and a link is followed. */
static int add_path(completion__ignore *g, const char *path) {
  char real[PATH_MAX];
  int status = 0;
  if (realpath(path, real)) status = add_file(g, AT_FDCWD, real, 0);
  else if (completion__errno_is_short()) status = COMPLETION_ENOMEM;
  return status == COMPLETION_EINVAL ? 0 : status;
}

static int add_users(completion__ignore *g) {
  const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
  char path[PATH_MAX];
  int n = config && *config ? snprintf(path, sizeof path, "%s/git/ignore", config)
          : home && *home   ? snprintf(path, sizeof path, "%s/.config/git/ignore", home)
                            : -1;
  return n > 0 && n < (int)sizeof path ? add_path(g, path) : 0;
}

/* ---- the repository -------------------------------------------------------------------- */

/* Replaces `dir` by the path that the first line of a file says, after `key`: relative to
 * `from` unless absolute. 1; 0: there is no such line; COMPLETION_ENOMEM. */
static int path_from_file(char dir[PATH_MAX], const char *file, const char *key,
                          const char *from) {
  completion__buffer text = {0};
  char path[PATH_MAX];
  int n = -1;
  int status = completion__read_file(AT_FDCWD, file, PATH_MAX, &text);
  if (status == COMPLETION__READ && text.len > 0 &&
      strncmp(text.s, key, strlen(key)) == 0) {
    char *s = text.s + strlen(key);
    s[strcspn(s, "\r\n")] = 0;
    n = *s == '/' ? snprintf(path, sizeof path, "%s", s)
        : *s      ? snprintf(path, sizeof path, "%s/%s", from, s)
                  : -1;
  }
  completion__buffer_free(&text);
  if (status < 0) return status;
  if (n <= 0 || n >= (int)sizeof path) return 0;
  memcpy(dir, path, (size_t)n + 1);
  return 1;
}

static bool is_kind(const char *path, mode_t kind) {
  struct stat st;
  return stat(path, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

/* Whether the folder root[0..len] is a repository's top; `dir` gets its git directory. 1, 0 or
 * COMPLETION_ENOMEM. */
static int is_top(const char *root, size_t len, char dir[PATH_MAX]) {
  char top[PATH_MAX - 16], file[PATH_MAX + 8];
  if (snprintf(top, sizeof top, "%.*s", (int)len, root) >= (int)sizeof top) return 0;
  snprintf(dir, PATH_MAX, "%s/.git", top);
  if (is_kind(dir, S_IFREG)) return path_from_file(dir, dir, "gitdir: ", top);
  snprintf(file, sizeof file, "%s/HEAD", dir);
  return access(file, F_OK) == 0 && is_kind(dir, S_IFDIR);
}

static int add_repositorys(completion__ignore *g, char dir[PATH_MAX]) {
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/commondir", dir); /* of a worktree */
  int status = path_from_file(dir, path, "", dir);
  if (status < 0) return status;
  snprintf(path, sizeof path, "%s/info/exclude", dir);
  return add_path(g, path);
}

/* The folders from the top, root[0..top], down to the one above root. */
static int add_above(completion__ignore *g, const char *root, size_t top) {
  char path[PATH_MAX];
  const char *asked = root + top + 1;
  size_t len = strlen(root);
  if (len >= sizeof path) return COMPLETION_EINVAL;
  for (size_t at = top; at < len;) {
    memcpy(path, root, at + 1);
    path[at > 0 ? at : 1] = 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); /* may not be listed */
    if (fd < 0) return completion__errno_is_short() ? COMPLETION_ENOMEM : COMPLETION_EINVAL;
    int status = completion__ignore_folder(g, fd, at > top ? at - top : 0);
    close(fd);
    if (status < 0) return status;
    at += 1 + strcspn(root + at + 1, "/");
    if (completion__ignore_matches(g, asked, (size_t)(root + at - asked), true)) return 1;
  }
  return 0;
}

int completion__ignore_open(completion__ignore *g, const char *root, const char **above,
                            bool *repository) {
  char dir[PATH_MAX];
  size_t len = strlen(root), top = len > 1 ? len : 0;
  int found;
  while ((found = is_top(root, top, dir)) == 0 && top > 0)
    do top--;
    while (top > 0 && root[top] != '/');
  if (found < 0) return found;
  *repository = found;
  *above = found && top + 1 < len ? root + top + 1 : "";
  int status = add_users(g);
  if (status == 0 && found) status = add_repositorys(g, dir);
  return status == 0 && **above ? add_above(g, root, top) : status;
}
