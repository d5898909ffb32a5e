/* workspace_find.c - what is looked up in the workspace: the files that a text imports, and who
 * defines the names near a cursor. Imports are read by their words, not by each language's rules of
 * resolution: a word of an import line that is the name of a few files, or of their folder, means
 * them. */
#include <string.h>

#include "completion/workspace_internal.h"

#define IMPORT_BYTES ((size_t)16 << 10) /* of a text, read for its imports */
#define WORD_FILES 8                    /* of one name: more say nothing */

/* ---- imports --------------------------------------------------------------------------- */

static bool is_import(completion__slice line) {
  static const char *const starts[] = {"#include", "import ", "from ",     "use ",   "pub use ",
                                       "mod ",     "pub mod ", "export ",  "require", "\"",
                                       "extern crate "};
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
    if (completion__slice_starts(line, completion__slice_of(starts[i], strlen(starts[i]))))
      return true;
  completion__slice require = {"require(", 8};
  return completion__slice_find(line, 0, require) < line.len;
}

static bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

#define IMPORTS_MOST 64

typedef struct imports {
  const char *own;
  int files[IMPORTS_MOST]; /* [n] their numbers */
  int n;
} imports;

static void add_import(const completion__workspace *w, imports *all, int number) {
  if (strcmp(w->files[number].path, all->own) == 0) return;
  for (int i = 0; i < all->n; i++)
    if (all->files[i] == number) return;
  if (all->n < IMPORTS_MOST) all->files[all->n++] = number;
}

/* Files called so, then files of a folder called so; where there are many, none. */
static void add_named(const completion__workspace *w, completion__slice name, imports *all) {
  for (int pass = 0; pass < 2; pass++) {
    int found[WORD_FILES], n = 0;
    unsigned b = completion__file_bucket(name.s, name.len);
    for (int i = pass ? w->by_folder[b] : w->by_stem[b]; i >= 0;
         i = pass ? w->files[i].next_folder : w->files[i].next_stem) {
      const char *path = w->files[i].path;
      if (!completion__file_is_there(&w->files[i]) ||
          !completion__slice_equal(pass ? completion__file_folder(path) : completion__file_stem(path), name))
        continue;
      if (n == WORD_FILES) {
        n = 0;
        break;
      }
      found[n++] = i;
    }
    for (int i = 0; i < n; i++) add_import(w, all, found[i]);
  }
}

/* Locked. */
static void find_imports(const completion__workspace *w, completion__slice text, imports *all) {
  completion__slice head = completion__slice_cut(text, 0, IMPORT_BYTES);
  for (size_t at = 0; at < head.len && all->n < IMPORTS_MOST;) {
    size_t end = completion__line_end(head, at);
    completion__slice line = completion__slice_trim(completion__slice_cut(head, at, end));
    at = end + 1;
    if (!is_import(line)) continue;
    for (size_t i = 0; i < line.len;) {
      size_t from = i;
      while (i < line.len && is_name(line.s[i])) i++;
      if (i - from >= 2) add_named(w, completion__slice_cut(line, from, i), all);
      if (i == from) i++;
    }
  }
}

int completion__workspace_imports(completion__workspace *w, completion__slice text,
                                  const char *own, int64_t *ids, int max) {
  imports all = {.own = own};
  int n = 0;
  pthread_mutex_lock(&w->lock);
  find_imports(w, text, &all);
  for (int i = 0; i < all.n && n < max; i++)
    if (w->files[all.files[i]].id) ids[n++] = w->files[all.files[i]].id;
  pthread_mutex_unlock(&w->lock);
  return n;
}

/* ---- symbols --------------------------------------------------------------------------- */

typedef struct asking {
  const completion__symbols_query *query;
  completion__symbol_file *imported[IMPORTS_MOST];
  int n_imported;
  size_t folder; /* bytes of the own path up to its name */
  int name;      /* which is asked about */
} asking;

static void on_symbol(void *user, const completion__symbol *s, int files) {
  asking *a = user;
  const completion__symbols_query *q = a->query;
  if (strcmp(s->file->path, q->own) == 0) return;
  completion__nearness near = COMPLETION__FAR;
  if (strncmp(s->file->path, q->own, a->folder) == 0 && !strchr(s->file->path + a->folder, '/'))
    near = COMPLETION__SAME_FOLDER;
  for (int i = 0; i < a->n_imported; i++)
    if (a->imported[i] == s->file) near = COMPLETION__IMPORTED;
  q->on_symbol(q->user, a->name, s, near, files);
}

void completion__workspace_symbols(completion__workspace *w, const completion__symbols_query *q) {
  asking a = {.query = q};
  imports all = {.own = q->own};
  const char *name = strrchr(q->own, '/');
  a.folder = name ? (size_t)(name + 1 - q->own) : 0;
  pthread_mutex_lock(&w->lock);
  find_imports(w, q->text, &all);
  for (int i = 0; i < all.n; i++)
    if (w->files[all.files[i]].symbols) a.imported[a.n_imported++] = w->files[all.files[i]].symbols;
  for (a.name = 0; a.name < q->n_names; a.name++)
    completion__symbols_find(w->symbols, q->names[a.name], a.imported, a.n_imported, on_symbol, &a);
  pthread_mutex_unlock(&w->lock);
}

bool completion__workspace_has_symbol(completion__workspace *w, const char *path,
                                      completion__slice text) {
  pthread_mutex_lock(&w->lock);
  int i = completion__file_find(w, path);
  const completion__symbol_file *f = i >= 0 ? w->files[i].symbols : NULL;
  bool has = f && !f->hidden && completion__symbol_file_has(f, text);
  pthread_mutex_unlock(&w->lock);
  return has;
}
