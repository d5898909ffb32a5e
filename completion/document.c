/* document.c - see document.h. */
#include "completion/document.h"

#include <stdlib.h>
#include <string.h>

#include "completion/seed.h"
#include "completion/syntax.h"

/* ---- texts ----------------------------------------------------------------------------- */

completion__text *completion__text_new(const char *bytes, size_t len,
                                       const grammars_language *language) {
  completion__text *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  atomic_init(&t->refs, 1);
  t->language = language;
  t->raw_len = len;
  t->bytes = malloc(len + 1);
  if (!t->bytes) goto fail;
  size_t returns = 0;
  if (len && memchr(bytes, '\r', len))
    for (size_t i = 0; i + 1 < len; i++) returns += bytes[i] == '\r' && bytes[i + 1] == '\n';
  if (returns) {
    t->returns = malloc(returns * sizeof *t->returns);
    if (!t->returns) goto fail;
    for (size_t i = 0; i < len; i++) {
      if (bytes[i] == '\r' && i + 1 < len && bytes[i + 1] == '\n')
        t->returns[t->n_returns++] = i;
      else
        t->bytes[t->len++] = bytes[i];
    }
    const char *first = memchr(bytes, '\n', len);
    t->crlf = first && first > bytes && first[-1] == '\r';
  } else {
    if (len) memcpy(t->bytes, bytes, len);
    t->len = len;
  }
  t->bytes[t->len] = 0;
  return t;
fail:
  completion__text_release(t);
  return NULL;
}

completion__text *completion__text_hold(completion__text *t) {
  atomic_fetch_add(&t->refs, 1);
  return t;
}

void completion__text_release(completion__text *t) {
  if (!t || atomic_fetch_sub(&t->refs, 1) != 1) return;
  free(t->bytes);
  free(t->returns);
  free(t);
}

size_t completion__text_offset(const completion__text *t, size_t raw) {
  size_t low = 0, high = t->n_returns; /* how many were dropped before raw */
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (t->returns[middle] < raw)
      low = middle + 1;
    else
      high = middle;
  }
  return raw - low;
}

/* ---- places ---------------------------------------------------------------------------- */

static int hex(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* The file path of a file: uri, or the uri as it is; owned. NULL: out of memory. */
static char *path_of(const char *uri) {
  const char *from = uri;
  bool is_file = strncmp(uri, "file://", 7) == 0;
  if (is_file) {
    from = strchr(uri + 7, '/');
    if (!from) from = uri + 7;
  }
  char *path = malloc(strlen(from) + 1), *to = path;
  if (!path) return NULL;
  for (; *from; from++) {
    if (is_file && *from == '%' && from[1] && hex(from[1]) >= 0 && hex(from[2]) >= 0 &&
        (hex(from[1]) || hex(from[2]))) {
      *to++ = (char)(hex(from[1]) * 16 + hex(from[2]));
      from += 2;
    } else {
      *to++ = *from == '\n' || *from == '\r' ? ' ' : *from; /* it will stand on a line */
    }
  }
  *to = 0;
  return path;
}

static size_t base_name(const char *path, size_t len) {
  while (len && path[len - 1] != '/') len--;
  return len;
}

static completion__place *place_new(const char *repository, size_t repository_len, const char *path,
                                    bool in_root) {
  size_t path_len = strlen(path);
  completion__place *p = malloc(sizeof *p + repository_len + path_len + 2);
  if (!p) return NULL;
  atomic_init(&p->refs, 1);
  p->in_root = in_root;
  memcpy(p->repository, repository, repository_len);
  p->repository[repository_len] = 0;
  char *at = p->repository + repository_len + 1;
  memcpy(at, path, path_len + 1);
  p->path = at;
  return p;
}

/* The deepest root that holds the document; else its folder stands for the repository. */
static completion__place *place_of(const completion__documents *all, const char *path) {
  const char *root = NULL;
  for (int i = 0; i < all->n_roots; i++) {
    size_t n = strlen(all->roots[i]);
    if (strncmp(path, all->roots[i], n) == 0 && path[n] == '/' && (!root || n > strlen(root)))
      root = all->roots[i];
  }
  completion__place *p;
  if (root) {
    size_t n = strlen(root), base = base_name(root, n);
    p = place_new(root + base, n - base, path + n + 1, true);
  } else {
    size_t base = base_name(path, strlen(path));
    size_t folder_end = base ? base - 1 : 0, folder = base_name(path, folder_end);
    p = place_new(path + folder, folder_end - folder, path + base, false);
  }
  return p;
}

completion__place *completion__place_hold(completion__place *p) {
  atomic_fetch_add(&p->refs, 1);
  return p;
}

void completion__place_release(completion__place *p) {
  if (p && atomic_fetch_sub(&p->refs, 1) == 1) free(p);
}

/* ---- documents ------------------------------------------------------------------------- */

completion__document *completion__document_hold(completion__document *d) {
  atomic_fetch_add(&d->refs, 1);
  return d;
}

void completion__document_release(completion__document *d) {
  if (!d || atomic_fetch_sub(&d->refs, 1) != 1) return;
  completion__syntax_delete(d->syntax);
  completion__seed_delete(d->seed);
  completion__text_release(d->text);
  completion__place_release(d->place);
  free(d->uri);
  free(d->path);
  free(d);
}

void completion__documents_free(completion__documents *all) {
  for (int i = 0; i < all->n; i++) completion__document_release(all->items[i]);
  for (int i = 0; i < all->n_roots; i++) free(all->roots[i]);
  free(all->items);
  free(all->roots);
  *all = (completion__documents){0};
}

completion__document *completion__documents_find(completion__documents *all, const char *uri) {
  for (int i = 0; i < all->n; i++)
    if (strcmp(all->items[i]->uri, uri) == 0) return all->items[i];
  return NULL;
}

static int document_add(completion__documents *all, const char *uri, completion__document **out) {
  if (all->n == all->capacity) {
    int capacity = all->capacity ? all->capacity * 2 : 16;
    completion__document **grown = realloc(all->items, (size_t)capacity * sizeof *grown);
    if (!grown) return COMPLETION_ENOMEM;
    all->items = grown;
    all->capacity = capacity;
  }
  completion__document *d = calloc(1, sizeof *d);
  if (!d) return COMPLETION_ENOMEM;
  atomic_init(&d->refs, 1);
  d->uri = strdup(uri);
  d->path = path_of(uri);
  d->place = d->path ? place_of(all, d->path) : NULL;
  if (!d->uri || !d->place) {
    completion__document_release(d);
    return COMPLETION_ENOMEM;
  }
  all->items[all->n++] = d;
  *out = d;
  return 0;
}

int completion__documents_set(completion__documents *all, const completion_document *d) {
  if (!d || !d->uri || (!d->text && d->len) || d->len > COMPLETION__TEXT_MAX)
    return COMPLETION_EINVAL;
  completion__document *known = completion__documents_find(all, d->uri);
  completion__text *text =
      completion__text_new(d->text, d->len, grammars_find(d->language_id, d->uri));
  if (!text) return COMPLETION_ENOMEM;
  if (!known) {
    int status = document_add(all, d->uri, &known);
    if (status) {
      completion__text_release(text);
      return status;
    }
  }
  completion__text_release(known->text);
  known->text = text;
  known->used = text->serial = ++all->clock;
  return 0;
}

void completion__documents_remove(completion__documents *all, const char *uri) {
  for (int i = 0; uri && i < all->n; i++) {
    if (strcmp(all->items[i]->uri, uri) != 0) continue;
    completion__document_release(all->items[i]);
    all->items[i] = all->items[--all->n];
    return;
  }
}

/* Every document's place anew. Where memory runs out the old one stays. */
static void places_update(completion__documents *all) {
  for (int i = 0; i < all->n; i++) {
    completion__place *p = place_of(all, all->items[i]->path);
    if (!p) continue;
    completion__place_release(all->items[i]->place);
    all->items[i]->place = p;
  }
}

static size_t root_length(const char *path) {
  size_t len = strlen(path);
  while (len && path[len - 1] == '/') len--;
  return len;
}

static int root_find(const completion__documents *all, const char *path) {
  size_t len = root_length(path);
  for (int i = 0; i < all->n_roots; i++)
    if (strlen(all->roots[i]) == len && memcmp(all->roots[i], path, len) == 0) return i;
  return -1;
}

int completion__documents_root_add(completion__documents *all, const char *path) {
  if (!path) return COMPLETION_EINVAL;
  if (root_find(all, path) >= 0) return 0;
  char **grown = realloc(all->roots, ((size_t)all->n_roots + 1) * sizeof *grown);
  if (!grown) return COMPLETION_ENOMEM;
  all->roots = grown;
  char *root = strndup(path, root_length(path));
  if (!root) return COMPLETION_ENOMEM;
  all->roots[all->n_roots++] = root;
  places_update(all);
  return 0;
}

void completion__documents_root_remove(completion__documents *all, const char *path) {
  int i = path ? root_find(all, path) : -1;
  if (i < 0) return;
  free(all->roots[i]);
  all->roots[i] = all->roots[--all->n_roots];
  places_update(all);
}

/* ---- views ----------------------------------------------------------------------------- */

static void view_hold(completion__view *v, completion__document *d) {
  v->document = completion__document_hold(d);
  d->viewed = true;
  v->text = completion__text_hold(d->text);
  v->place = completion__place_hold(d->place);
}

int completion__documents_view(completion__documents *all, completion__document *first,
                               completion__view *views, int max) {
  if (max < 1) return 0;
  first->used = ++all->clock;
  view_hold(&views[0], first);
  int n = 1;
  uint64_t below = UINT64_MAX;
  while (n < max) { /* the newest of those older than the last: few documents, few rounds */
    completion__document *best = NULL;
    for (int i = 0; i < all->n; i++) {
      completion__document *d = all->items[i];
      if (d != first && d->used < below && (!best || d->used > best->used)) best = d;
    }
    if (!best) break;
    below = best->used;
    view_hold(&views[n++], best);
  }
  return n;
}

int completion__documents_rest(completion__documents *all, completion__document **rest, int max) {
  int viewed = 0, n = 0;
  for (int i = 0; i < all->n; i++) viewed += all->items[i]->viewed;
  for (; viewed > COMPLETION__TREES_MAX && n < max; viewed--) {
    completion__document *oldest = NULL;
    for (int i = 0; i < all->n; i++) {
      completion__document *d = all->items[i];
      if (d->viewed && (!oldest || d->used < oldest->used)) oldest = d;
    }
    oldest->viewed = false;
    rest[n++] = completion__document_hold(oldest);
  }
  return n;
}

void completion__view_release(completion__view *v) {
  completion__document_release(v->document);
  completion__text_release(v->text);
  completion__place_release(v->place);
  *v = (completion__view){0};
}
