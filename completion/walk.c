/* walk.c - see walk.h.
 *
 * Every name is opened relative to the descriptor of the folder it was listed in and never
 * through a link, so that a folder exchanged during the walk cannot lead out of the root. The
 * way down is an array of open folders, not recursion. */
#include "completion/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "completion/completion.h"
#include "completion/ignore.h"
#include "completion/secrets.h"
#include "grammars/grammars.h"

#define FILE_BYTES ((size_t)1 << 20)
#define DATA_BYTES ((size_t)64 << 10)
#define TOTAL_BYTES ((size_t)256 << 20)
#define FILES 100000
#define DEPTH 64
#define DEPTH_MAX 256
#define ENTRIES_MAX 2000000 /* names looked at in one walk */
#define LINE_BYTES 400      /* average of a file; longer ones were not written by hand */

/* ---- what a name says ------------------------------------------------------------------ */

/* Of source code and of text that programmers write, beside the grammars' languages. */
static const char *const source_endings[] = {
    ".ac", ".ada", ".adb", ".adoc", ".ads", ".am", ".as", ".asm", ".astro", ".awk", ".bat",
    ".bazel", ".bzl", ".c++", ".cairo", ".capnp", ".cl", ".clj", ".cljc", ".cljs", ".cmake",
    ".cmd", ".coffee", ".comp", ".cr", ".csx", ".cue", ".d", ".dart", ".def", ".dhall", ".di",
    ".dockerfile", ".dpr", ".edn", ".eex", ".ejs", ".el", ".elm", ".erb", ".erl", ".ex", ".exs",
    ".f", ".f03", ".f90", ".f95", ".fbs", ".feature", ".fish", ".for", ".frag", ".fs", ".fsi",
    ".fsx", ".gd", ".glsl", ".gql", ".gradle", ".graphql", ".groovy", ".h++", ".haml", ".hbs",
    ".hcl", ".heex", ".hlsl", ".hrl", ".hs", ".hx", ".idl", ".inc", ".inl", ".ino", ".ispc",
    ".j2", ".jinja", ".jinja2", ".jl", ".jq", ".jsonnet", ".ksh", ".kt", ".kts", ".l", ".less",
    ".lhs", ".libsonnet", ".liquid", ".lisp", ".ll", ".m", ".m4", ".mak", ".md", ".mdx", ".metal",
    ".mk", ".ml", ".mli", ".mlir", ".mm", ".move", ".mustache", ".nim", ".ninja", ".nix", ".odin",
    ".pas", ".phtml", ".pl", ".pm", ".pp", ".prisma", ".proto", ".ps1", ".psm1", ".pug", ".purs",
    ".pxd", ".pxi", ".pyx", ".qml", ".r", ".raku", ".re", ".rego", ".rei", ".res", ".resi",
    ".rkt", ".rmd", ".rst", ".s", ".sass", ".sc", ".scala", ".scm", ".scss", ".sed", ".slim",
    ".sol", ".spec", ".sql", ".star", ".sv", ".svelte", ".svh", ".swift", ".t", ".tcc", ".tcl",
    ".td", ".templ", ".tex", ".tf", ".thrift", ".tmpl", ".toml", ".tpl", ".tpp", ".twig", ".txt",
    ".v", ".vala", ".vb", ".vert", ".vhd", ".vhdl", ".vim", ".vue", ".vy", ".wat", ".wgsl", ".y",
    ".yaml", ".yml", ".yy", ".zig", ".zsh", ".env.example", ".env.sample", ".env.template", NULL};
/* Written too, but more often data: only where short. */
static const char *const data_endings[] = {".avsc", ".json", ".json5", ".jsonc", ".xml",
                                           ".xsd",  ".xsl",  NULL};
static const char *const source_names[] = {
    "BUILD", "Brewfile", "Containerfile", "Dockerfile", "Fastfile", "GNUmakefile", "Gemfile",
    "Jenkinsfile", "Justfile", "Kbuild", "Kconfig", "Makefile", "Podfile", "Procfile", "README",
    "Rakefile", "SConscript", "SConstruct", "Vagrantfile", "WORKSPACE", "go.mod", "go.work",
    "meson.build", ".clang-format", ".clang-tidy", ".dockerignore", ".editorconfig", ".env.example",
    ".env.sample", ".env.template", ".gitattributes", ".gitignore", NULL};
static const char *const source_starts[] = {"Dockerfile.", "Makefile.", NULL};
/* Made by tools, however named before that. */
static const char *const generated_endings[] = {
    ".min.js", ".min.mjs", ".min.css", ".bundle.js", ".chunk.js", ".map", ".lock", ".lockb",
    "-lock.json", "-lock.yaml", ".lock.json", ".lock.hcl", ".svg", ".snap", ".pb.go", ".pb.h",
    ".pb.cc", "_pb2.py", "_pb2_grpc.py", ".g.dart", ".freezed.dart", ".g.cs", ".designer.cs",
    "dump.sql", "backup.sql", NULL};
static const char *const generated_names[] = {"go.sum",    "npm-shrinkwrap.json",
                                              ".pnp.cjs",  "compile_commands.json",
                                              ".pnp.loader.mjs", NULL};
static const char *const skipped_folders[] = {"node_modules", "__pycache__", NULL};
/* Where no repository's rules say what is built and what is not. */
static const char *const build_folders[] = {
    "target", "build", "dist", "out", "venv", "env", "_build", "obj", "coverage", "htmlcov",
    "bower_components", "site-packages", "Pods", "DerivedData", "cmake-build-debug",
    "cmake-build-release", NULL};

static bool is_name_of(const char *name, const char *const *list) {
  while (*list && strcasecmp(name, *list) != 0) list++;
  return *list != NULL;
}

static bool ends_in(const char *name, const char *const *list) {
  size_t len = strlen(name);
  for (size_t n; *list; list++)
    if ((n = strlen(*list)) < len && strcasecmp(name + len - n, *list) == 0) return true;
  return false;
}

static bool is_generated(const char *name) {
  return is_name_of(name, generated_names) || ends_in(name, generated_endings);
}

/* Bytes that a file of this name may have, 0: it is no source. */
static size_t most_bytes(const char *name, const completion__walk_limits *limits) {
  if (ends_in(name, data_endings))
    return limits->file_bytes < DATA_BYTES ? limits->file_bytes : DATA_BYTES;
  bool is = ends_in(name, source_endings) || is_name_of(name, source_names) ||
            grammars_find(NULL, name) != NULL;
  for (const char *const *s = source_starts; *s && !is; s++)
    is = strncmp(name, *s, strlen(*s)) == 0;
  return is ? limits->file_bytes : 0;
}

static bool is_skipped(const char *name, bool repository) {
  return name[0] == '.' || is_name_of(name, skipped_folders) ||
         (!repository && is_name_of(name, build_folders));
}

/* ---- what a text says ------------------------------------------------------------------ */

static bool is_text(completion__slice t) {
  return (t.len == 0 || !memchr(t.s, 0, t.len)) && completion__utf8_valid(t) == t.len;
}

static bool is_minified(completion__slice t) {
  size_t lines = 0;
  for (size_t at = 0; at < t.len; lines++) at = completion__line_end(t, at) + 1;
  return t.len / LINE_BYTES > lines || (lines && t.len > lines * LINE_BYTES);
}

bool completion__holds_secret(completion__slice t) {
  for (size_t at = 0; at < t.len;) {
    at = completion__slice_find(t, at, completion__slice_of("-----BEGIN ", 11));
    completion__slice line = completion__slice_cut(t, at, completion__line_end(t, at));
    size_t key = completion__slice_find(line, 0, completion__slice_of("PRIVATE KEY", 11));
    if (line.len && completion__slice_find(line, key, completion__slice_of("-----", 5)) < line.len)
      return true;
    at += line.len;
  }
  return false;
}

/* ---- one name -------------------------------------------------------------------------- */

typedef struct walk {
  completion__walk_limits limits;
  completion__walk_counts counts;
  completion__ignore rules;
  completion__buffer path; /* from the repository's top; a folder's ends with '/' */
  size_t above;            /* bytes of it that lead to root */
  completion__buffer text; /* of the last file read */
  bool repository;
} walk;

static void path_cut(walk *w, size_t len) {
  if (w->path.len <= len) return;
  w->path.len = len;
  w->path.s[len] = 0;
}

/* Whether the walk goes into the folder that `path` was made to end with; counts why not. */
static bool folder_wanted(walk *w, const char *name, int depth) {
  if (completion__is_secret(w->path.s)) w->counts.secret++;
  else if (is_skipped(name, w->repository) ||
           completion__ignore_matches(&w->rules, w->path.s, w->path.len - 1, true))
    w->counts.ignored++;
  else if (depth > w->limits.depth) w->counts.large++;
  else return true;
  return false;
}

/* Goes from the folder behind `parent` into the one called `name`: `path` grows by it and `rules`
 * by its. 1: *fd is its descriptor, owned; 0: it is not to be read; COMPLETION_ENOMEM. In the
 * latter two cases the caller sets path and rules back. */
static int folder_enter(walk *w, int parent, const char *name, int depth, int *fd) {
  int status = completion__buffer_add(&w->path, name);
  if (status == 0) status = completion__buffer_add(&w->path, "/");
  if (status < 0) return status;
  if (!folder_wanted(w, name, depth)) return 0;
  int f = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (f < 0) {
    if (completion__errno_is_short()) return COMPLETION_ENOMEM;
    w->counts.unreadable++;
    return 0;
  }
  struct stat st;
  if (fstatat(f, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0) {
    w->counts.ignored++; /* another repository */
  } else if ((status = completion__ignore_folder(&w->rules, f, w->path.len)) == 0) {
    *fd = f;
    return 1;
  } else if (status == COMPLETION_EINVAL) {
    w->counts.unreadable++;
    status = 0;
  }
  close(f);
  return status;
}

/* Reads the file called `name` in the folder behind `fd`; `path` grows by the name. 1: `text` has
 * it; 0: it is not to be read, the counts say why; COMPLETION_ENOMEM. */
static int file_read(walk *w, int fd, const char *name) {
  completion__walk_counts *c = &w->counts;
  if (completion__buffer_add(&w->path, name) < 0) return COMPLETION_ENOMEM;
  if (completion__is_secret(w->path.s)) return c->secret++, 0;
  if (completion__ignore_matches(&w->rules, w->path.s, w->path.len, false)) return c->ignored++, 0;
  if (is_generated(name)) return c->large++, 0;
  size_t most = most_bytes(name, &w->limits);
  if (most == 0) return 0;
  int status = completion__read_file(fd, name, most, &w->text);
  if (status < 0) return status;
  if (status == COMPLETION__READ_LARGE) return c->large++, 0;
  if (status == COMPLETION__READ_FAILED) return c->unreadable++, 0;
  if (status != COMPLETION__READ) return 0;
  completion__slice text = completion__slice_of(w->text.s, w->text.len);
  if (!is_text(text)) return c->binary++, 0;
  if (is_minified(text)) return c->large++, 0;
  if (completion__holds_secret(text)) return c->secret++, 0;
  if (completion__secrets_blank(w->text.s, w->text.len)) c->blanked++;
  return 1;
}

/* 1: *fd is root's descriptor, owned, and the rules are those that hold in it; 0: nothing in it
 * is to be read; negative. */
static int walk_open(walk *w, const char *root, int *fd) {
  char real[PATH_MAX];
  const char *above;
  int f = realpath(root, real) ? open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (f < 0) return completion__errno_is_short() ? COMPLETION_ENOMEM : COMPLETION_EINVAL;
  int status = completion__buffer_add(&w->path, real + 1);
  if (status == 0) status = completion__buffer_add(&w->path, "/");
  bool secret = status == 0 && completion__is_secret(w->path.s);
  path_cut(w, 0);
  if (status == 0) status = completion__ignore_open(&w->rules, real, &above, &w->repository);
  if (status == 0 && *above) status = completion__buffer_add(&w->path, above);
  if (status == 0 && *above) status = completion__buffer_add(&w->path, "/");
  w->above = w->path.len;
  if (status == 0) status = completion__ignore_folder(&w->rules, f, w->above);
  if (status == 0 && !secret) {
    *fd = f;
    return 1;
  }
  close(f);
  if (secret) w->counts.secret++;
  else if (status == 1) w->counts.ignored++;
  else if (status == COMPLETION_EINVAL) w->counts.unreadable++;
  return status == COMPLETION_ENOMEM ? status : 0;
}

static walk walk_begin(const completion__walk_limits *limits) {
  walk w = {0};
  if (limits) w.limits = *limits;
  completion__walk_limits *l = &w.limits;
  if (l->file_bytes == 0) l->file_bytes = FILE_BYTES;
  if (l->total_bytes == 0) l->total_bytes = TOTAL_BYTES;
  if (l->files <= 0) l->files = FILES;
  if (l->depth <= 0) l->depth = DEPTH;
  if (l->depth > DEPTH_MAX) l->depth = DEPTH_MAX;
  return w;
}

static void walk_end(walk *w) {
  completion__ignore_free(&w->rules);
  completion__buffer_free(&w->path);
  completion__buffer_free(&w->text);
}

/* ---- a folder's names ------------------------------------------------------------------ */

typedef struct folder {
  int fd;
  size_t path;              /* bytes of the walk's path that are its own */
  size_t rules;             /* lists of rules that were there before its own */
  completion__buffer bytes; /* its names, each after FILE_KIND or FOLDER_KIND */
  const char **names;       /* [n] owned, into bytes, sorted: files first */
  size_t n, next;
} folder;

#define FILE_KIND '0'
#define FOLDER_KIND '1'

static void folder_close(folder *f) {
  close(f->fd);
  completion__buffer_free(&f->bytes);
  free(f->names);
}

static int by_kind_and_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* 0: neither a file nor a folder, or none that the walk has anything to do with. */
static char entry_kind(int fd, const struct dirent *e) {
  struct stat st;
  const char *name = e->d_name;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".git") == 0) return 0;
  if (e->d_type == DT_REG) return FILE_KIND;
  if (e->d_type == DT_DIR) return FOLDER_KIND;
  if (e->d_type != DT_UNKNOWN || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  return S_ISREG(st.st_mode) ? FILE_KIND : S_ISDIR(st.st_mode) ? FOLDER_KIND : 0;
}

/* Fills bytes and n; *entries goes down to 0 at most. */
static int names_read(folder *f, DIR *dir, int *entries) {
  int status = 0;
  for (struct dirent *e; status == 0 && *entries > 0; --*entries) {
    errno = 0;
    e = readdir(dir);
    if (!e) return completion__errno_is_short() ? COMPLETION_ENOMEM : 0;
    char kind = entry_kind(f->fd, e);
    if (!kind) continue;
    status = completion__buffer_append(&f->bytes, &kind, 1);
    if (status == 0)
      status = completion__buffer_append(&f->bytes, e->d_name, strlen(e->d_name) + 1);
    f->n++;
  }
  return status;
}

/* Lists the folder behind f->fd. 0, 1: it cannot be listed, or COMPLETION_ENOMEM. */
static int folder_list(folder *f, int *entries) {
  int copy = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
  DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
  if (!dir) {
    int status = completion__errno_is_short() ? COMPLETION_ENOMEM : 1;
    if (copy >= 0) close(copy);
    return status;
  }
  int status = names_read(f, dir, entries);
  closedir(dir);
  if (status < 0 || f->n == 0) return status;
  f->names = malloc(f->n * sizeof *f->names);
  if (!f->names) return COMPLETION_ENOMEM;
  const char *at = f->bytes.s;
  for (size_t i = 0; i < f->n; i++, at += strlen(at) + 1) f->names[i] = at;
  qsort(f->names, f->n, sizeof *f->names, by_kind_and_name);
  return 0;
}

/* ---- the walk -------------------------------------------------------------------------- */

typedef struct journey {
  walk *w;
  folder *way; /* [n] from root to the folder the walk is in */
  int n;
  int entries; /* names that may still be listed */
  int (*on_file)(void *user, const char *path, const char *text, size_t len);
  void *user;
} journey;

/* Begins with the folder behind `fd`, which it takes over. */
static int step_in(journey *j, int fd, size_t rules) {
  folder *f = &j->way[j->n++];
  *f = (folder){.fd = fd, .path = j->w->path.len, .rules = rules};
  int status = folder_list(f, &j->entries);
  if (status > 0) j->w->counts.unreadable++;
  if (j->entries == 0) j->w->counts.cut = true;
  return status < 0 ? status : 0;
}

static void step_out(journey *j) {
  folder *f = &j->way[--j->n];
  completion__ignore_pop(&j->w->rules, f->rules);
  folder_close(f);
}

static int on_folder_name(journey *j, const folder *f, const char *name) {
  size_t rules = j->w->rules.n;
  int fd, status = folder_enter(j->w, f->fd, name, j->n, &fd);
  if (status > 0) return step_in(j, fd, rules);
  completion__ignore_pop(&j->w->rules, rules);
  return status;
}

static int on_file_name(journey *j, const folder *f, const char *name) {
  walk *w = j->w;
  completion__walk_counts *c = &w->counts;
  int status = file_read(w, f->fd, name);
  if (status <= 0) return status;
  size_t len = w->text.len;
  if (c->files >= w->limits.files || len > w->limits.total_bytes - c->bytes) {
    c->cut = true;
    return 0;
  }
  c->files++;
  c->bytes += len;
  return j->on_file(j->user, w->path.s + w->above, len ? w->text.s : "", len);
}

static int travel(journey *j, const atomic_bool *cancel) {
  int status = 0;
  while (status == 0 && j->n > 0 && !j->w->counts.cut) {
    folder *f = &j->way[j->n - 1];
    path_cut(j->w, f->path);
    if (cancel && atomic_load(cancel)) return COMPLETION_ECANCELLED;
    if (f->next == f->n) {
      step_out(j);
      continue;
    }
    const char *entry = f->names[f->next++];
    status = entry[0] == FILE_KIND ? on_file_name(j, f, entry + 1)
                                   : on_folder_name(j, f, entry + 1);
    if (completion__ignore_spent(&j->w->rules)) j->w->counts.cut = true;
  }
  return status;
}

int completion__walk(const char *root, const completion__walk_limits *limits,
                     const atomic_bool *cancel,
                     int (*on_file)(void *user, const char *path, const char *text, size_t len),
                     void *user, completion__walk_counts *counts) {
  walk w = walk_begin(limits);
  journey j = {.w = &w, .entries = ENTRIES_MAX, .on_file = on_file, .user = user};
  int fd, status = walk_open(&w, root, &fd);
  if (status > 0) {
    j.way = calloc((size_t)w.limits.depth + 1, sizeof *j.way);
    if (j.way) status = step_in(&j, fd, 0);
    else close(fd), status = COMPLETION_ENOMEM;
  }
  if (status == 0) status = travel(&j, cancel);
  while (j.n > 0) step_out(&j);
  free(j.way);
  if (counts) *counts = w.counts;
  walk_end(&w);
  return status;
}

/* ---- one file -------------------------------------------------------------------------- */

static bool is_relative(const char *path) {
  for (;;) {
    size_t n = strcspn(path, "/");
    if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && memcmp(path, "..", 2) == 0))
      return false;
    if (path[n] == 0) return true;
    path += n + 1;
  }
}

/* The file at `path` below the folder behind `fd`, which it takes over. */
static int descend(walk *w, int fd, const char *path) {
  char name[NAME_MAX + 1];
  int status = 1;
  for (int depth = 1; status > 0; depth++) {
    size_t n = strcspn(path, "/");
    bool last = path[n] == 0;
    if (n >= sizeof name) status = 0; /* no file has such a name */
    else memcpy(name, path, n), name[n] = 0;
    if (status > 0 && last) status = file_read(w, fd, name);
    if (last) break;
    int next = -1;
    if (status > 0) status = folder_enter(w, fd, name, depth, &next);
    if (status > 0) close(fd), fd = next;
    path += n + 1;
  }
  close(fd);
  return status;
}

/* Goes from the folder behind *fd, -1 where there is none, into the one that `path` was made to end
 * with: its rules come on top and *fd is exchanged. 1; 2: it is another repository; 0: not known
 * whether something in it is ignored; COMPLETION_ENOMEM. */
static int enter_open(walk *w, int *fd, const char *name) {
  if (*fd < 0) return 1;
  int f = openat(*fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool absent = f < 0 && errno == ENOENT;
  if (f < 0 && completion__errno_is_short()) return COMPLETION_ENOMEM;
  close(*fd);
  *fd = f;
  if (f < 0) return absent ? 1 : 0;
  struct stat st;
  if (fstatat(f, ".git", &st, AT_SYMLINK_NOFOLLOW) == 0) return 2;
  int status = completion__ignore_folder(&w->rules, f, w->path.len);
  return status == 0 ? 1 : status == COMPLETION_ENOMEM ? status : 0;
}

/* As completion__walk_shares for `path` below *fd; 2: *rest of it lies in another repository. */
static int descend_open(walk *w, int *fd, const char *path, const char **rest) {
  char name[NAME_MAX + 1];
  for (;; path += strlen(name) + 1) {
    size_t n = strcspn(path, "/");
    bool last = path[n] == 0;
    if (n >= sizeof name) return 0;
    memcpy(name, path, n), name[n] = 0;
    if (completion__buffer_add(&w->path, name) < 0) return COMPLETION_ENOMEM;
    if (completion__ignore_matches(&w->rules, w->path.s, w->path.len, !last)) return 0;
    if (!last && completion__buffer_add(&w->path, "/") < 0) return COMPLETION_ENOMEM;
    if (completion__is_secret(w->path.s)) return 0;
    if (last) return 1;
    *rest = path + n + 1;
    int status = enter_open(w, fd, name);
    if (status != 1) return status;
  }
}

int completion__walk_shares(const char *root, const char *path) {
  if (!is_relative(path)) return COMPLETION_EINVAL;
  walk w = walk_begin(NULL);
  const char *rest = NULL;
  int fd = -1, status = walk_open(&w, root, &fd);
  if (status == COMPLETION_EINVAL && errno == ENOENT)
    status = !completion__is_secret(path);
  else if (status > 0)
    status = descend_open(&w, &fd, path, &rest);
  if (fd >= 0) close(fd);
  walk_end(&w);
  if (status != 2) return status;
  completion__buffer inner = {0};
  status = completion__buffer_add(&inner, root);
  if (status == 0) status = completion__buffer_add(&inner, "/");
  if (status == 0) status = completion__buffer_append(&inner, path, (size_t)(rest - 1 - path));
  if (status == 0) status = completion__walk_shares(inner.s, rest);
  completion__buffer_free(&inner);
  return status;
}

int completion__walk_file(const char *root, const char *path,
                          int (*on_file)(void *user, const char *path, const char *text,
                                         size_t len),
                          void *user) {
  if (!is_relative(path)) return COMPLETION_EINVAL;
  walk w = walk_begin(NULL);
  int fd, status = walk_open(&w, root, &fd);
  if (status > 0) status = descend(&w, fd, path);
  if (status > 0 && on_file) {
    int rc = on_file(user, path, w.text.len ? w.text.s : "", w.text.len);
    if (rc) status = rc;
  }
  walk_end(&w);
  return status;
}

int completion__walk_allows(const char *root, const char *path) {
  return completion__walk_file(root, path, NULL, NULL);
}
