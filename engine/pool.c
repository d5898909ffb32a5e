/* pool.c - texts in and out of the n-gram pool: the workspace's files, and what any text is to a
 * drafter. Live texts are laid down in pool_live.c. */
#include "engine/pool_internal.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)768 << 20)
#define SLICE 64    /* tokens added before it is looked whether somebody waits for the lock */
#define YIELDS 1000 /* to a thread that waits and is not scheduled */

static const int levels[] = {1, 2, 4};
enum { N_LEVELS = sizeof levels / sizeof *levels };

int pool__init_index(pool_index *x) { return ngrams_init(&x->grams, levels, N_LEVELS); }

void pool__lock(engine_pool *p) {
  if (pthread_mutex_trylock(&p->lock) == 0) return;
  atomic_fetch_add(&p->waiting, 1);
  pthread_mutex_lock(&p->lock);
  atomic_fetch_sub(&p->waiting, 1);
}
void pool__unlock(engine_pool *p) { pthread_mutex_unlock(&p->lock); }

int engine_pool_new(engine_pool **out, size_t max_bytes) {
  *out = NULL;
  engine_pool *p = calloc(1, sizeof *p);
  if (p == NULL) return ENGINE_ENOMEM;
  p->max_bytes = max_bytes > 0 ? max_bytes : MAX_BYTES;
  p->n_texts = 1;
  pthread_mutex_init(&p->lock, NULL);
  pthread_mutex_init(&p->adding, NULL);
  int rc = pool__init_index(&p->workspace);
  if (rc == ENGINE_OK) rc = pool__init_index(&p->live);
  if (rc != ENGINE_OK) {
    engine_pool_delete(p);
    return rc;
  }
  *out = p;
  return ENGINE_OK;
}

void engine_pool_delete(engine_pool *p) {
  if (p == NULL) return;
  for (uint32_t i = 1; i < p->n_texts; i++) {
    free(p->texts[i].tokens);
    free(p->texts[i].spans);
  }
  free(p->texts);
  free(p->sources);
  free(p->removed);
  ngrams_free(&p->workspace.grams);
  ngrams_free(&p->live.grams);
  free(p->workspace.text_of_block);
  free(p->live.text_of_block);
  pthread_mutex_destroy(&p->lock);
  pthread_mutex_destroy(&p->adding);
  free(p);
}

/* To be called whenever one of these has changed. */
void pool__set_source(engine_pool *p, uint32_t number) {
  const pool_text *t = &p->texts[number];
  engine_source source = t->imported ? ENGINE_SOURCE_IMPORTED : ENGINE_SOURCE_WORKSPACE;
  if (t->kind == ENGINE_POOL_ACCEPTED) source = ENGINE_SOURCE_ACCEPTED;
  if (t->kind == ENGINE_POOL_OPEN) source = ENGINE_SOURCE_OPEN;
  if (number == p->current) source = ENGINE_SOURCE_FILE;
  if (number == 0 || t->gone || t->hidden) source = ENGINE_SOURCES;
  p->sources[number] = (uint8_t)source;
}

static int reserve_texts(engine_pool *p) {
  if (p->n_texts < p->texts_capacity) return ENGINE_OK;
  uint32_t capacity = p->texts_capacity < 64 ? 64 : p->texts_capacity * 2;
  pool_text *texts = realloc(p->texts, capacity * sizeof *texts);
  if (texts == NULL) return ENGINE_ENOMEM;
  p->texts = texts;
  uint8_t *sources = realloc(p->sources, capacity);
  if (sources == NULL) return ENGINE_ENOMEM;
  sources[0] = ENGINE_SOURCES;
  p->sources = sources;
  p->texts_capacity = capacity;
  return ENGINE_OK;
}

/* ---- laying texts down ----------------------------------------------------------------- */

int pool__new_text(engine_pool *p, engine_pool_kind kind, uint32_t *number) {
  int rc = ENGINE_OK;
  if (p->unused != 0) { /* nothing in an index is its any more */
    *number = p->unused;
    p->unused = p->texts[*number].start;
  } else {
    rc = reserve_texts(p);
    if (rc == ENGINE_OK) *number = p->n_texts++;
  }
  if (rc != ENGINE_OK) return rc;
  p->texts[*number] = (pool_text){.kind = kind};
  pool__set_source(p, *number);
  return ENGINE_OK;
}

int pool__reserve_blocks(pool_index *x, uint32_t places) {
  uint32_t want = places / POOL_BLOCK + 1, capacity = x->blocks_capacity;
  if (want <= capacity) return ENGINE_OK;
  if (capacity < 64) capacity = 64;
  while (capacity < want) capacity += capacity / 2;
  uint32_t *grown = realloc(x->text_of_block, capacity * sizeof *grown);
  if (grown == NULL) return ENGINE_ENOMEM;
  memset(grown + x->blocks_capacity, 0, (capacity - x->blocks_capacity) * sizeof *grown);
  x->text_of_block = grown;
  x->blocks_capacity = capacity;
  return ENGINE_OK;
}

/* ---- files of the workspace ------------------------------------------------------------ */

/* Borders over the files that were removed. By the adding thread, locked: growth reads the tokens
 * without the lock, so nobody else may change them. */
static void sweep(engine_pool *p) {
  for (uint32_t i = 0; i < p->n_removed; i++) {
    const pool_text *t = &p->texts[p->removed[i]];
    ngrams_erase(&p->workspace.grams, t->start, t->n);
    p->swept += t->n;
  }
  p->n_removed = 0;
}

/* Lets those in who wait: a mutex that is taken again at once would be taken before they wake. */
static void let_in(engine_pool *p) {
  if (atomic_load(&p->waiting) == 0) return;
  pool__unlock(p);
  for (int i = 0; i < YIELDS && atomic_load(&p->waiting) > 0; i++) sched_yield();
  pthread_mutex_lock(&p->lock);
}

static void add_text(engine_pool *p, pool_index *x, uint32_t number, const int32_t *tokens,
                     uint32_t n, bool shared) {
  pool__begin_text(x, number);
  for (uint32_t i = 0; i < n; i++) {
    if (shared && i % SLICE == SLICE - 1) let_in(p);
    pool__push(x, number, tokens[i], 0);
  }
  pool__end_text(x);
}

/* The workspace's index again, without what was swept: made beside the old one, which serves
 * meanwhile. By the adding thread, not locked. */
static int renew_workspace(engine_pool *p) {
  pool_index fresh = {0}, old = p->workspace;
  pool__lock(p);
  uint32_t n_texts = p->n_texts, places = 0;
  uint32_t *starts = calloc(n_texts, sizeof *starts); /* 0: not a file that is there */
  for (uint32_t i = 1; starts != NULL && i < n_texts; i++) {
    const pool_text *t = &p->texts[i];
    if (t->kind != ENGINE_POOL_WORKSPACE || t->gone) continue;
    starts[i] = t->start;
    places += pool__room_for(t->n);
  }
  pool__unlock(p);
  int rc = starts == NULL ? ENGINE_ENOMEM : ENGINE_OK;
  if (rc == ENGINE_OK) rc = pool__init_index(&fresh);
  if (rc == ENGINE_OK) rc = ngrams_reserve(&fresh.grams, places);
  if (rc == ENGINE_OK) rc = pool__reserve_blocks(&fresh, fresh.grams.n + places);
  for (uint32_t i = 1; rc == ENGINE_OK && i < n_texts; i++) {
    if (starts[i] == 0) continue;
    const int32_t *from = old.grams.tokens + starts[i];
    uint32_t n = 0;
    while (from[n] != NGRAMS_BORDER) n++;
    add_text(p, &fresh, i, from, n, false);
    starts[i] = fresh.grams.n - 1 - n;
  }
  pool__lock(p);
  for (uint32_t i = 1; rc == ENGINE_OK && i < n_texts; i++) {
    pool_text *t = &p->texts[i];
    if (starts[i] != 0) {
      t->start = starts[i];
    } else if (t->kind == ENGINE_POOL_WORKSPACE && t->gone) { /* nothing is its any more */
      *t = (pool_text){.kind = ENGINE_POOL_OPEN, .gone = true, .start = p->unused};
      pool__set_source(p, i);
      p->unused = i;
    }
  }
  if (rc == ENGINE_OK) {
    p->workspace = fresh;
    p->swept = 0;
    fresh = old;
  }
  pool__unlock(p);
  ngrams_free(&fresh.grams);
  free(fresh.text_of_block);
  free(starts);
  return rc;
}

/* Room for n more places; ENGINE_ETOOLONG: there would be more than max_bytes. */
static int grow_workspace(engine_pool *p, uint32_t n) {
  pool_index *x = &p->workspace;
  ngrams_growth growth = {0};
  if (n > NGRAMS_PLACES_MAX / 2 - x->grams.n) return ENGINE_ETOOLONG;
  bool grow = !ngrams_has_room(&x->grams, n);
  int rc = grow ? ngrams_prepare(&x->grams, n, &growth) : ENGINE_OK;
  if (rc == ENGINE_OK && grow && ngrams_bytes_with(&x->grams, &growth) > p->max_bytes) {
    ngrams_drop(&growth);
    return ENGINE_ETOOLONG;
  }
  pool__lock(p);
  if (rc == ENGINE_OK && grow) rc = ngrams_commit(&x->grams, &growth);
  if (rc == ENGINE_OK) rc = pool__reserve_blocks(x, x->grams.n + n);
  pool__unlock(p);
  ngrams_drop(&growth);
  return rc;
}

int engine_pool_add(engine_pool *p, const int32_t *tokens, int n, int64_t *id) {
  uint32_t number = 0;
  *id = 0;
  if (n < 1) return ENGINE_EINVAL;
  for (int i = 0; i < n && (uint32_t)n < NGRAMS_PLACES_MAX / 2; i++)
    if (tokens[i] < 0) return ENGINE_EINVAL;
  pthread_mutex_lock(&p->adding);
  pool__lock(p);
  sweep(p);
  bool renew = p->swept > p->workspace_tokens / 2 + POOL_GARBAGE_MOST;
  pool__unlock(p);
  if (renew) renew_workspace(p); /* without memory for it the old one goes on */
  int rc = grow_workspace(p, pool__room_for((uint32_t)n));
  pool__lock(p);
  if (rc == ENGINE_OK) rc = pool__new_text(p, ENGINE_POOL_WORKSPACE, &number);
  if (rc == ENGINE_OK) {
    p->texts[number].n = (uint32_t)n;
    p->workspace_tokens += (size_t)n;
    p->workspace_texts++;
    add_text(p, &p->workspace, number, tokens, (uint32_t)n, true);
    p->texts[number].start = p->workspace.grams.n - 1 - (uint32_t)n;
    *id = number;
  } else {
    p->left_out++;
  }
  pool__unlock(p);
  pthread_mutex_unlock(&p->adding);
  return rc;
}

/* ---- what texts there are -------------------------------------------------------------- */

/* For the next sweep. Without memory the text only stays hidden. */
static void note_removed(engine_pool *p, uint32_t number) {
  if (p->n_removed == p->removed_capacity) {
    uint32_t capacity = p->removed_capacity < 64 ? 64 : p->removed_capacity * 2;
    uint32_t *grown = realloc(p->removed, capacity * sizeof *grown);
    if (grown == NULL) return;
    p->removed = grown;
    p->removed_capacity = capacity;
  }
  p->removed[p->n_removed++] = number;
}

void engine_pool_remove(engine_pool *p, int64_t id) {
  pool__lock(p);
  if (id >= 1 && id < p->n_texts && !p->texts[id].gone &&
      p->texts[id].kind != ENGINE_POOL_ACCEPTED) { /* whose ids nobody was told */
    pool_text *t = &p->texts[id];
    t->gone = true;
    if (t->kind == ENGINE_POOL_WORKSPACE) {
      p->workspace_tokens -= t->n;
      p->workspace_texts--;
      note_removed(p, (uint32_t)id);
    } else {
      pool__take_up(p, (uint32_t)id);
      p->live_tokens -= t->n;
    }
    free(t->tokens);
    free(t->spans);
    t->tokens = NULL;
    t->spans = NULL;
    t->n_spans = t->capacity = t->spans_capacity = 0;
    if (t->kind != ENGINE_POOL_WORKSPACE) {
      t->n = 0;
      t->start = p->unused;
      p->unused = (uint32_t)id;
    }
    if (p->current == id) p->current = 0;
    pool__set_source(p, (uint32_t)id);
  }
  pool__unlock(p);
}

void engine_pool_hide(engine_pool *p, int64_t id, bool hidden) {
  pool__lock(p);
  if (id >= 1 && id < p->n_texts) {
    p->texts[id].hidden = hidden;
    pool__set_source(p, (uint32_t)id);
  }
  pool__unlock(p);
}

void engine_pool_focus(engine_pool *p, int64_t current, const int64_t *imported, int n) {
  pool__lock(p);
  uint32_t before = p->current;
  p->current = pool__open_text(p, current) != NULL ? (uint32_t)current : 0;
  if (before != 0) pool__set_source(p, before);
  if (p->current != 0) pool__set_source(p, p->current);
  for (int i = 0; i < p->n_imported; i++) {
    p->texts[p->imported[i]].imported = false;
    pool__set_source(p, p->imported[i]);
  }
  p->n_imported = 0;
  for (int i = 0; i < n && p->n_imported < POOL_IMPORTED_MOST; i++) {
    if (imported[i] < 1 || imported[i] >= p->n_texts) continue;
    p->texts[imported[i]].imported = true;
    pool__set_source(p, (uint32_t)imported[i]);
    p->imported[p->n_imported++] = (uint32_t)imported[i];
  }
  pool__unlock(p);
}

engine_pool_info engine_pool_get_info(engine_pool *p) {
  pool__lock(p);
  engine_pool_info info = {
      .texts = p->workspace_texts,
      .tokens = p->workspace_tokens,
      .live_tokens = p->live_tokens,
      .left_out = p->left_out,
      .bytes = ngrams_bytes(&p->workspace.grams) + ngrams_bytes(&p->live.grams),
  };
  pool__unlock(p);
  return info;
}
