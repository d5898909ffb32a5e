/* model_storage.c - what a model keeps alive (file mappings, converted vectors) and the list of
 * tensors that a format's reader fills.
 *
 * Weights are mapped, not read: matrices are used where they lie, pages come in when touched, and
 * several daemons share them. The price is that others can change them meanwhile (mapping.h). */
#include "engine/model_source.h"

#include "engine/mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- memory ---------------------------------------------------------------------------- */

typedef struct file {
  struct file *next;
  mapping *mapping;
} file;

/* Zeros by the page. */
typedef struct empty {
  struct empty *next;
  void *base;
  size_t size;
} empty;

typedef struct block {
  struct block *next;
  _Alignas(64) unsigned char bytes[];
} block;

struct model_storage {
  file *files;
  empty *empties;
  block *blocks;
};

model_storage *model__storage_new(void) { return calloc(1, sizeof(model_storage)); }

void model__storage_delete(model_storage *s) {
  if (!s) return;
  for (file *f = s->files, *next; f; f = next) {
    next = f->next;
    mapping_close(f->mapping);
    free(f);
  }
  for (empty *m = s->empties, *next; m; m = next) {
    next = m->next;
    munmap(m->base, m->size);
    free(m);
  }
  for (block *b = s->blocks, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(s);
}

void *model__storage_alloc(model_storage *s, size_t size) {
  if (size > SIZE_MAX - sizeof(block) - 64) return NULL;
  size_t whole = (sizeof(block) + size + 63) & ~(size_t)63;
  block *b = aligned_alloc(64, whole);
  if (!b) return NULL;
  b->next = s->blocks;
  s->blocks = b;
  return b->bytes;
}

void *model__storage_map_empty(model_storage *s, size_t size) {
  empty *m = malloc(sizeof *m);
  if (!m) return NULL;
  m->size = size;
  m->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m->base == MAP_FAILED) {
    free(m);
    return NULL;
  }
  m->next = s->empties;
  s->empties = m;
  return m->base;
}

int model__storage_map(model_storage *s, const char *path, const void **data, size_t *size,
                       char *err, size_t errlen) {
  file *f = malloc(sizeof *f);
  if (!f) {
    snprintf(err, errlen, "out of memory");
    return ENGINE_ENOMEM;
  }
  int status = mapping_open(&f->mapping, path, err, errlen);
  if (status) {
    free(f);
    return status;
  }
  f->next = s->files;
  s->files = f;
  *data = mapping_data(f->mapping, size);
  return 0;
}

bool model__storage_is_damaged(const model_storage *s) {
  for (const file *f = s->files; f; f = f->next)
    if (mapping_is_damaged(f->mapping)) return true;
  return false;
}

bool model__storage_is_changed(const model_storage *s) {
  for (const file *f = s->files; f; f = f->next)
    if (mapping_is_changed(f->mapping)) return true;
  return false;
}

/* ---- tensors --------------------------------------------------------------------------- */

int model__tensors_add(model_tensors *t, const model_tensor *tensor) {
  if (t->n == t->capacity) {
    int capacity = t->capacity ? t->capacity * 2 : 256;
    model_tensor *list = realloc(t->list, (size_t)capacity * sizeof *list);
    if (!list) return ENGINE_ENOMEM;
    t->list = list;
    t->capacity = capacity;
  }
  t->list[t->n++] = *tensor;
  return 0;
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len) {
  int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
  return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_tensors(const void *pa, const void *pb) {
  const model_tensor *a = pa, *b = pb;
  return compare_names(a->name.data, a->name.len, b->name.data, b->name.len);
}

int model__tensors_sort(model_tensors *t, char *err, size_t errlen) {
  if (t->n > 1) qsort(t->list, (size_t)t->n, sizeof *t->list, compare_tensors);
  for (int i = 1; i < t->n; i++) {
    const model_tensor *a = &t->list[i - 1], *b = &t->list[i];
    if (compare_tensors(a, b) != 0) continue;
    const model_tensor *later = a->at > b->at ? a : b;
    bytes where;
    bytes_init(&where, NULL, 0, later->file, err, errlen);
    bytes_about(&where, "tensor", later->name.data, later->name.len);
    return bytes_fail(&where, later->at, "its name is there twice");
  }
  return 0;
}

model_tensor *model__tensors_find(const model_tensors *t, const char *name) {
  size_t len = strlen(name);
  int low = 0, high = t->n;
  while (low < high) {
    int middle = low + (high - low) / 2;
    model_tensor *at = &t->list[middle];
    int order = compare_names(at->name.data, at->name.len, name, len);
    if (order == 0) return at;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return NULL;
}

void model__source_clear(model_source *src) {
  free(src->tensors.list);
  tokenizer_delete(src->tokenizer);
  memset(src, 0, sizeof *src);
}
