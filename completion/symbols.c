/* symbols.c - see symbols.h.
 *
 * A file is one block of memory, its symbols linked into a chain for each name, so that a file
 * comes and goes at the cost of its own symbols. */
#include "completion/symbols.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS ((uint32_t)1 << 16)
#define NAME_MIN 3 /* bytes: shorter ones are not looked up */

struct completion__symbol_name {
  uint32_t hash;
  int n; /* symbols */
  completion__symbol *first;
  completion__symbol_name *next; /* in its bucket */
};

struct completion__symbols {
  size_t bytes, max_bytes;
  completion__symbol_name *buckets[BUCKETS];
};

static uint32_t hash_of(completion__slice t) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < t.len; i++) h = (h ^ (unsigned char)t.s[i]) * 16777619u;
  return h ^ h >> 15;
}

completion__symbols *completion__symbols_new(size_t max_bytes) {
  completion__symbols *s = calloc(1, sizeof *s);
  if (s) s->max_bytes = max_bytes ? max_bytes : COMPLETION__SYMBOLS_BYTES;
  return s;
}

void completion__symbols_delete(completion__symbols *s) {
  for (uint32_t b = 0; s && b < BUCKETS; b++)
    while (s->buckets[b]) completion__symbols_remove(s, s->buckets[b]->first->file);
  free(s);
}

size_t completion__symbols_bytes(const completion__symbols *s) { return s->bytes; }

/* ---- a file ---------------------------------------------------------------------------- */

/* Data and pages are no code that other code names. */
static bool is_data(const grammars_language *l) {
  return strcmp(l->name, "json") == 0 || strcmp(l->name, "html") == 0 ||
         strcmp(l->name, "css") == 0;
}

static int by_hash(const void *a, const void *b) {
  const completion__symbol *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return x->start < y->start ? -1 : x->start > y->start;
}

/* The block for those of definitions[count] that can be used from outside, at most
 * COMPLETION__SYMBOLS_OF_FILE; *out stays NULL where there are none. 0 or COMPLETION_ENOMEM. */
static int fill(const completion__text *t, const completion__definition *d, int count,
                const char *path, size_t shown, completion__symbol_file **out) {
  size_t strings = strlen(path) + 1, n = 0;
  for (int i = 0; i < count && n < COMPLETION__SYMBOLS_OF_FILE; i++) {
    if (d[i].local || d[i].name_len < NAME_MIN) continue;
    strings += d[i].name_len + d[i].end - d[i].start;
    n++;
  }
  if (!n) return 0;
  size_t bytes = sizeof(completion__symbol_file) + n * sizeof(completion__symbol) + strings;
  completion__symbol_file *f = malloc(bytes);
  if (!f) return COMPLETION_ENOMEM;
  char *to = (char *)&f->symbols[n];
  *f = (completion__symbol_file){.language = t->language, .bytes = bytes};
  size_t line_at = 0;
  int line = 0;
  for (int i = 0; (size_t)f->n < n; i++) {
    if (d[i].local || d[i].name_len < NAME_MIN) continue;
    completion__symbol *s = &f->symbols[f->n++];
    for (size_t at; (at = completion__line_end(completion__text_slice(t), line_at)) < d[i].start;
         line++)
      line_at = at + 1;
    *s = (completion__symbol){.start = d[i].start, .line = line, .kind = d[i].kind,
                              .cut = d[i].cut, .file = f};
    s->name = completion__slice_of(to, d[i].name_len);
    memcpy(to, t->bytes + d[i].name, s->name.len);
    to += s->name.len;
    s->text = completion__slice_of(to, d[i].end - d[i].start);
    memcpy(to, t->bytes + d[i].start, s->text.len);
    to += s->text.len;
    s->hash = hash_of(s->name);
  }
  memcpy(to, path, strlen(path) + 1);
  f->path = to;
  f->shown = to + shown;
  qsort(f->symbols, n, sizeof *f->symbols, by_hash);
  *out = f;
  return 0;
}

/* Whether memory ran out before all was found. */
static bool is_partial(const completion__parser *p, const completion__syntax *s,
                       const atomic_bool *cancel) {
  if (!s || p->starved) return true;
  return s->tree && !s->definitions_done && !(cancel && atomic_load(cancel));
}

int completion__symbol_file_read(completion__parser *p, const char *path, size_t shown,
                                 const char *text, size_t len, const atomic_bool *cancel,
                                 completion__symbol_file **out) {
  const grammars_language *l = grammars_find(NULL, path);
  *out = NULL;
  if (!l || is_data(l) || !len) return 0;
  completion__document d = {0};
  completion__text *t = completion__text_new(text, len, l);
  if (!t) return COMPLETION_ENOMEM;
  const completion__definition *definitions;
  int n = completion__syntax_definitions(p, &d, t, cancel, &definitions);
  int status = is_partial(p, d.syntax, cancel) ? COMPLETION_ENOMEM : 0;
  if (!status && n) status = fill(t, definitions, n, path, shown, out);
  completion__syntax_delete(d.syntax);
  completion__text_release(t);
  return status;
}

bool completion__symbol_file_has(const completion__symbol_file *file, completion__slice text) {
  for (int i = 0; file && i < file->n; i++)
    if (completion__slice_equal(file->symbols[i].text, text)) return true;
  return false;
}

/* ---- names ----------------------------------------------------------------------------- */

static completion__symbol_name **name_slot(completion__symbols *s, uint32_t hash) {
  completion__symbol_name **at = &s->buckets[hash % BUCKETS];
  while (*at && (*at)->hash != hash) at = &(*at)->next;
  return at;
}

static bool link_symbol(completion__symbols *s, completion__symbol *symbol) {
  completion__symbol_name **slot = name_slot(s, symbol->hash);
  if (!*slot) {
    completion__symbol_name *name = calloc(1, sizeof *name);
    if (!name) return false;
    name->hash = symbol->hash;
    *slot = name;
    s->bytes += sizeof *name;
  }
  completion__symbol_name *name = *slot;
  symbol->entry = name;
  symbol->next = name->first;
  symbol->previous = NULL;
  if (name->first) name->first->previous = symbol;
  name->first = symbol;
  name->n++;
  return true;
}

static void unlink_symbol(completion__symbols *s, completion__symbol *symbol) {
  completion__symbol_name *name = symbol->entry;
  if (!name) return;
  if (symbol->previous)
    symbol->previous->next = symbol->next;
  else
    name->first = symbol->next;
  if (symbol->next) symbol->next->previous = symbol->previous;
  if (--name->n) return;
  *name_slot(s, name->hash) = name->next;
  free(name);
  s->bytes -= sizeof *name;
}

int completion__symbols_add(completion__symbols *s, completion__symbol_file *file) {
  int status = s->bytes + file->bytes <= s->max_bytes;
  s->bytes += file->bytes;
  for (int i = 0; status == 1 && i < file->n; i++) {
    if (!link_symbol(s, &file->symbols[i])) status = COMPLETION_ENOMEM;
    else status = s->bytes <= s->max_bytes;
  }
  if (status != 1) completion__symbols_remove(s, file);
  return status;
}

void completion__symbols_remove(completion__symbols *s, completion__symbol_file *file) {
  if (!file) return;
  for (int i = 0; i < file->n; i++) unlink_symbol(s, &file->symbols[i]);
  s->bytes -= file->bytes;
  free(file);
}

/* ---- looking up ------------------------------------------------------------------------ */

static int first_of_hash(const completion__symbol_file *f, uint32_t hash) {
  int low = 0, high = f->n;
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (f->symbols[middle].hash < hash)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void completion__symbols_find(const completion__symbols *s, completion__slice name,
                              completion__symbol_file *const *first, int n_first,
                              void (*on_symbol)(void *user, const completion__symbol *symbol,
                                                int files),
                              void *user) {
  uint32_t hash = hash_of(name);
  const completion__symbol_name *entry = s->buckets[hash % BUCKETS];
  while (entry && entry->hash != hash) entry = entry->next;
  if (!entry) return;
  if (entry->n <= COMPLETION__SYMBOLS_COMMON) {
    int files = 0;
    for (const completion__symbol *x = entry->first; x; x = x->next)
      files += !x->next || x->next->file != x->file; /* a file's stand together */
    for (const completion__symbol *x = entry->first; x; x = x->next)
      if (!x->file->hidden && completion__slice_equal(x->name, name)) on_symbol(user, x, files);
    return;
  }
  for (int f = 0; f < n_first; f++) {
    const completion__symbol_file *file = first[f];
    for (int i = first_of_hash(file, hash); i < file->n && file->symbols[i].hash == hash; i++)
      if (!file->hidden && completion__slice_equal(file->symbols[i].name, name))
        on_symbol(user, &file->symbols[i], entry->n);
  }
}
