/* cli_replay_source.c - a repository as a source of holes: its recent commits for hunks, the files
 * of its newest commit for all else. The work tree is never read for either. */
#include <stdlib.h>
#include <string.h>

#include "grammars/grammars.h"
#include "lsp/buffer.h"
#include "lsp/cli_replay.h"

/* ---- what is code ------------------------------------------------------------------------ */

const char *replay__language(const char *path) {
  static const char *const data[] = {"json", "html", "css"};
  const grammars_language *l = grammars_find(NULL, path);
  if (l == NULL) return NULL;
  for (size_t i = 0; i < sizeof data / sizeof *data; i++)
    if (strcmp(l->name, data[i]) == 0) return NULL;
  return l->ids[0];
}

/* The path of the next entry, where it is a file of code; NULL for any other. */
static const char *next_entry(const char *list, size_t len, size_t *at) {
  const char *entry = list + *at;
  *at += strlen(entry) + 1;
  if (*at > len + 1) *at = len + 1;
  const char *path = strchr(entry, '\t');
  bool file = strncmp(entry, "100", 3) == 0; /* neither a link, a folder nor another repository */
  return file && path != NULL && replay__language(path + 1) != NULL ? path + 1 : NULL;
}

/* ---- the repository ---------------------------------------------------------------------- */

static bool take_files(replay_source *s, size_t len) {
  size_t entries = 0;
  for (size_t i = 0; i < len; i++) entries += s->tree[i] == '\0';
  s->files = malloc((entries + 1) * sizeof *s->files);
  if (s->files == NULL) return false;
  for (size_t at = 0; at < len;) {
    const char *path = next_entry(s->tree, len, &at);
    if (path != NULL) s->files[s->n_files++] = path;
  }
  return true;
}

bool replay__source_open(replay_source *s, const char *folder, int commits) {
  size_t len = 0;
  *s = (replay_source){.root = replay__git_root(folder)};
  if (s->root == NULL) {
    fprintf(stderr, "fimd: %s: not in a git repository\n", folder);
    return false;
  }
  s->head = replay__git_head(s->root);
  if (s->head != NULL) s->commits = replay__git_commits(s->root, s->head, commits);
  if (s->commits != NULL) s->tree = replay__git_list(s->root, s->head, NULL, &len);
  if (s->tree != NULL && take_files(s, len)) {
    for (char *p = s->commits; *p != '\0'; p++) {
      if (*p != '\n') continue;
      *p = '\0';
      s->n_commits++;
    }
    return true;
  }
  fprintf(stderr, "fimd: %s: git cannot say what is in its newest commit\n", s->root);
  replay__source_close(s);
  return false;
}

void replay__source_close(replay_source *s) {
  free(s->root);
  free(s->head);
  free(s->commits);
  free(s->tree);
  free(s->files);
  *s = (replay_source){0};
}

void replay__find_free(replay_find *f) {
  free(f->hole.text);
  free(f->path);
  *f = (replay_find){0};
}

/* ---- holes ------------------------------------------------------------------------------- */

static const char *commit_at(const replay_source *s, size_t i) {
  const char *id = s->commits;
  while (i-- > 0) id += strlen(id) + 1;
  return id;
}

/* The i-th hunk in code, with its path, owned by the caller. Returns how many were seen: all, where
 * there are no more than i. */
static size_t find_hunk(const char *diff, size_t len, size_t i, replay_hunk *out, char **path) {
  size_t at = 0, n = 0;
  *out = (replay_hunk){0};
  *path = NULL;
  while (replay__hunk_next(diff, len, &at, out)) {
    char *name = lsp__strndup(out->path, out->path_len);
    bool code = name != NULL && replay__language(name) != NULL;
    if (code && n++ == i) {
      *path = name;
      break;
    }
    free(name);
  }
  return n;
}

static int try_hunk(const replay_source *s, replay_random *r, replay_find *out) {
  size_t len, old_len;
  replay_hunk hunk;
  if (s->n_commits == 0) return 0;
  const char *commit = commit_at(s, replay__pick(r, (size_t)s->n_commits));
  char *diff = replay__git_diff(s->root, commit, &len), *old = NULL;
  if (diff == NULL) return 0;
  size_t n = find_hunk(diff, len, SIZE_MAX, &hunk, &out->path);
  int rc = 0;
  if (n > 0) {
    find_hunk(diff, len, replay__pick(r, n), &hunk, &out->path);
    snprintf(out->revision, sizeof out->revision, "%.72s^", commit);
    if (out->path != NULL) old = replay__git_file(s->root, out->revision, out->path, &old_len);
    if (old != NULL) rc = replay__hole_hunk(r, old, old_len, &hunk, &out->hole);
  }
  free(old);
  free(diff);
  return rc;
}

static int try_file(const replay_source *s, replay_kind kind, replay_random *r, replay_find *out) {
  size_t len;
  if (s->n_files == 0) return 0;
  out->path = strdup(s->files[replay__pick(r, (size_t)s->n_files)]);
  if (out->path == NULL) return -1;
  snprintf(out->revision, sizeof out->revision, "%.72s", s->head);
  char *text = replay__git_file(s->root, s->head, out->path, &len);
  int rc = 0;
  if (text != NULL && replay__text_is_fit(text, len))
    rc = kind == REPLAY_TAIL ? replay__hole_tail(r, text, len, &out->hole)
                             : replay__hole_node(r, kind, out->path, text, len, &out->hole);
  free(text);
  return rc;
}

int replay__source_try(const replay_source *s, replay_kind kind, replay_random *r,
                       replay_find *out) {
  *out = (replay_find){0};
  int rc = kind == REPLAY_HUNK ? try_hunk(s, r, out) : try_file(s, kind, r, out);
  if (rc == 1)
    out->language = replay__language(out->path);
  else
    replay__find_free(out);
  return rc;
}

int replay__neighbours(const replay_source *s, const replay_find *f, char **paths, int most) {
  const char *slash = strrchr(f->path, '/');
  char *folder = lsp__strndup(f->path, slash != NULL ? (size_t)(slash - f->path) + 1 : 0);
  size_t len = 0;
  char *list = folder != NULL ? replay__git_list(s->root, f->revision, folder, &len) : NULL;
  int n = 0;
  bool behind = false; /* the file itself: those before it give way to those next to it */
  for (size_t at = 0; list != NULL && at < len && n < most;) {
    const char *path = next_entry(list, len, &at);
    if (path == NULL || replay__language(path) != f->language) continue;
    if (strcmp(path, f->path) == 0) {
      behind = true;
      continue;
    }
    if (!behind && n == (most + 1) / 2) {
      free(paths[0]);
      memmove(paths, paths + 1, (size_t)--n * sizeof *paths);
    }
    paths[n] = strdup(path);
    if (paths[n] == NULL) break;
    n++;
  }
  free(list);
  free(folder);
  return n;
}
