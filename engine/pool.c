/* pool.c - texts in and out of the n-gram pool. */
#include "engine/pool.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES ((size_t)768 << 20)
#define SLICE 64      /* tokens added before it is looked whether somebody waits for the lock */
#define YIELDS 1000   /* to a thread that waits and is not scheduled */
#define LEAD 8        /* tokens before an edit that go along with it */
#define FOLLOW 24     /* tokens after it */
#define SPANS_MOST 512 /* pieces of a document before it is laid down in one again */
#define GARBAGE_MOST (1u << 17) /* borders in an index, beyond what is in proportion to its text */

#ifndef WL
#define WL 1, 2, 4
#endif
static const int workspace_levels[] = {WL};
static const int live_levels[] = {1, 2, 4};
enum { N_WORKSPACE_LEVELS = sizeof workspace_levels / sizeof *workspace_levels, N_LIVE_LEVELS = 3 };

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
  int rc = ngrams_init(&p->workspace.grams, workspace_levels, N_WORKSPACE_LEVELS);
  if (rc == ENGINE_OK) rc = ngrams_init(&p->live.grams, live_levels, N_LIVE_LEVELS);
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
  free(p->removed);
  ngrams_free(&p->workspace.grams);
  ngrams_free(&p->live.grams);
  free(p->workspace.text_of_block);
  free(p->live.text_of_block);
  pthread_mutex_destroy(&p->lock);
  pthread_mutex_destroy(&p->adding);
  free(p);
}

engine_source pool__source(const engine_pool *p, const pool_index *x, uint32_t place) {
  uint32_t number = x->text_of_block[place / POOL_BLOCK];
  const pool_text *t = &p->texts[number];
  if (t->gone || t->hidden) return ENGINE_SOURCES;
  if (number == p->current) return ENGINE_SOURCE_FILE;
  switch (t->kind) {
  case ENGINE_POOL_ACCEPTED: return ENGINE_SOURCE_ACCEPTED;
  case ENGINE_POOL_OPEN: return ENGINE_SOURCE_OPEN;
  default: return t->imported ? ENGINE_SOURCE_IMPORTED : ENGINE_SOURCE_WORKSPACE;
  }
}

/* ---- laying texts down ----------------------------------------------------------------- */

static int new_text(engine_pool *p, engine_pool_kind kind, uint32_t *number) {
  if (p->unused != 0) { /* nothing in an index is its any more */
    *number = p->unused;
    p->unused = p->texts[*number].start;
    p->texts[*number] = (pool_text){.kind = kind};
    return ENGINE_OK;
  }
  if (p->n_texts >= p->texts_capacity) {
    uint32_t capacity = p->texts_capacity < 64 ? 64 : p->texts_capacity * 2;
    pool_text *grown = realloc(p->texts, capacity * sizeof *grown);
    if (grown == NULL) return ENGINE_ENOMEM;
    p->texts = grown;
    p->texts_capacity = capacity;
  }
  *number = p->n_texts++;
  p->texts[*number] = (pool_text){.kind = kind};
  return ENGINE_OK;
}

static int reserve_blocks(pool_index *x, uint32_t places) {
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

/* Places that a text of n tokens takes at most: a border in front, and up to the next block. */
static uint32_t room_for(uint32_t n) { return n + 2 * POOL_BLOCK; }

/* Borders up to the start of a block, at least one. */
static void begin_text(pool_index *x, uint32_t number) {
  do ngrams_push(&x->grams, NGRAMS_BORDER);
  while (x->grams.n % POOL_BLOCK != 0);
  x->text_of_block[x->grams.n / POOL_BLOCK] = number;
}

static void push(pool_index *x, uint32_t number, int32_t token, int across) {
  x->text_of_block[x->grams.n / POOL_BLOCK] = number;
  ngrams_push_across(&x->grams, token, across);
}

/* Closes the last text, so that nothing runs out of it. */
static void end_text(pool_index *x) { ngrams_push(&x->grams, NGRAMS_BORDER); }

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
  begin_text(x, number);
  for (uint32_t i = 0; i < n; i++) {
    if (shared && i % SLICE == SLICE - 1) let_in(p);
    push(x, number, tokens[i], 0);
  }
  end_text(x);
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
    places += room_for(t->n);
  }
  pool__unlock(p);
  int rc = starts == NULL ? ENGINE_ENOMEM : ENGINE_OK;
  if (rc == ENGINE_OK) rc = ngrams_init(&fresh.grams, workspace_levels, N_WORKSPACE_LEVELS);
  if (rc == ENGINE_OK) rc = ngrams_reserve(&fresh.grams, places);
  if (rc == ENGINE_OK) rc = reserve_blocks(&fresh, fresh.grams.n + places);
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
  bool grow = n >= x->grams.capacity - x->grams.n;
  int rc = grow ? ngrams_prepare(&x->grams, n, &growth) : ENGINE_OK;
  if (rc == ENGINE_OK && grow && ngrams_bytes_with(&x->grams, &growth) > p->max_bytes) {
    ngrams_drop(&growth);
    return ENGINE_ETOOLONG;
  }
  pool__lock(p);
  if (rc == ENGINE_OK && grow) rc = ngrams_commit(&x->grams, &growth);
  if (rc == ENGINE_OK) rc = reserve_blocks(x, x->grams.n + n);
  pool__unlock(p);
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
  bool renew = p->swept > p->workspace_tokens / 2 + GARBAGE_MOST;
  pool__unlock(p);
  if (renew) renew_workspace(p); /* without memory for it the old one goes on */
  int rc = grow_workspace(p, room_for((uint32_t)n));
  pool__lock(p);
  if (rc == ENGINE_OK) rc = new_text(p, ENGINE_POOL_WORKSPACE, &number);
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

/* ---- live texts ------------------------------------------------------------------------ */

static int reserve_live(engine_pool *p, uint32_t room) {
  int rc = ngrams_reserve(&p->live.grams, room);
  return rc == ENGINE_OK ? reserve_blocks(&p->live, p->live.grams.n + room) : rc;
}

static int reserve_spans(pool_text *t, uint32_t n) {
  if (n <= t->spans_capacity) return ENGINE_OK;
  uint32_t capacity = n < 16 ? 16 : n + n / 2;
  struct pool_span *grown = realloc(t->spans, capacity * sizeof *grown);
  if (grown == NULL) return ENGINE_ENOMEM;
  t->spans = grown;
  t->spans_capacity = capacity;
  return ENGINE_OK;
}

/* The whole text in one piece. There is room. */
static void lay_down(engine_pool *p, uint32_t number, const int32_t *tokens) {
  pool_text *t = &p->texts[number];
  pool_index *x = &p->live;
  t->n_spans = 0;
  if (t->n == 0) return;
  begin_text(x, number);
  t->start = x->grams.n;
  for (uint32_t i = 0; i < t->n; i++) push(x, number, tokens[i], 0);
  end_text(x);
  if (t->kind == ENGINE_POOL_OPEN) {
    t->spans[0] = (struct pool_span){t->start, t->n};
    t->n_spans = 1;
  }
}

/* Borders over all that is of the text, copies beside its edits too: its blocks are its own. */
static void take_up(engine_pool *p, uint32_t number) {
  ngrams *x = &p->live.grams;
  for (uint32_t b = 0; b * POOL_BLOCK < x->n && b < p->live.blocks_capacity; b++) {
    if (p->live.text_of_block[b] != number) continue;
    uint32_t rest = x->n - b * POOL_BLOCK;
    ngrams_erase(x, b * POOL_BLOCK, rest < POOL_BLOCK ? rest : POOL_BLOCK);
    p->live.text_of_block[b] = 0; /* nobody's: the number may be used again */
  }
  p->texts[number].n_spans = 0;
}

/* The live index again, without its borders. */
static int renew_live(engine_pool *p) {
  pool_index old = p->live;
  uint32_t places = 0;
  for (uint32_t i = 1; i < p->n_texts; i++)
    if (p->texts[i].kind != ENGINE_POOL_WORKSPACE && !p->texts[i].gone)
      places += room_for(p->texts[i].n);
  p->live = (pool_index){0};
  int rc = ngrams_init(&p->live.grams, live_levels, N_LIVE_LEVELS);
  if (rc == ENGINE_OK) rc = reserve_live(p, places);
  if (rc != ENGINE_OK) {
    ngrams_free(&p->live.grams);
    free(p->live.text_of_block);
    p->live = old;
    return rc;
  }
  for (uint32_t i = 1; i < p->n_texts; i++) {
    pool_text *t = &p->texts[i];
    if (t->kind == ENGINE_POOL_WORKSPACE || t->gone) continue;
    lay_down(p, i, t->kind == ENGINE_POOL_OPEN ? t->tokens : old.grams.tokens + t->start);
  }
  ngrams_free(&old.grams);
  free(old.text_of_block);
  return ENGINE_OK;
}

/* Room for n more tokens, with the borders cleared away first where they are too many. */
static int make_room(engine_pool *p, uint32_t n) {
  if (p->live.grams.n > 2 * p->live_tokens + GARBAGE_MOST) {
    int rc = renew_live(p);
    if (rc != ENGINE_OK) return rc;
  }
  return reserve_live(p, room_for(n));
}

static pool_text *open_text(engine_pool *p, int64_t id) {
  if (id < 1 || id >= p->n_texts) return NULL;
  pool_text *t = &p->texts[id];
  return t->kind == ENGINE_POOL_OPEN && !t->gone ? t : NULL;
}

int engine_pool_open(engine_pool *p, int64_t *id) {
  uint32_t number = 0;
  pool__lock(p);
  int rc = new_text(p, ENGINE_POOL_OPEN, &number);
  pool__unlock(p);
  *id = number;
  return rc;
}

static int set_tokens(pool_text *t, uint32_t at, uint32_t removed, const int32_t *tokens,
                      uint32_t n) {
  uint32_t size = t->n - removed + n;
  if (size > t->capacity) {
    uint32_t capacity = size + size / 4 + 256;
    int32_t *grown = realloc(t->tokens, capacity * sizeof *grown);
    if (grown == NULL) return ENGINE_ENOMEM;
    t->tokens = grown;
    t->capacity = capacity;
  }
  if (t->n > at + removed)
    memmove(t->tokens + at + n, t->tokens + at + removed,
            (t->n - at - removed) * sizeof *tokens);
  if (n > 0) memcpy(t->tokens + at, tokens, n * sizeof *tokens);
  t->n = size;
  return ENGINE_OK;
}

/* Takes tokens at..at+removed-1 out of the spans, and splits the one that at stands in. Returns the
 * number of the span that begins at `at` then. There is room for two more spans. */
static uint32_t cut_spans(engine_pool *p, pool_text *t, uint32_t at, uint32_t removed) {
  uint32_t i = 0, from = 0;
  while (i < t->n_spans && from + t->spans[i].n <= at) from += t->spans[i++].n;
  if (i < t->n_spans && from < at) { /* split */
    struct pool_span *s = &t->spans[i];
    memmove(s + 1, s, (t->n_spans - i) * sizeof *s);
    t->n_spans++;
    s[0].n = at - from;
    s[1].place += at - from;
    s[1].n -= at - from;
    i++;
  }
  uint32_t end = i;
  while (removed > 0) {
    struct pool_span *s = &t->spans[end];
    uint32_t n = s->n < removed ? s->n : removed;
    ngrams_erase(&p->live.grams, s->place, n);
    removed -= n;
    s->place += n;
    s->n -= n;
    if (s->n == 0) end++;
  }
  memmove(t->spans + i, t->spans + end, (t->n_spans - end) * sizeof *t->spans);
  t->n_spans -= end - i;
  return i;
}

/* The tokens at..at+n-1 are new: adds them with what leads to them and what follows. */
static void add_piece(engine_pool *p, uint32_t number, uint32_t at, uint32_t n, uint32_t span) {
  pool_text *t = &p->texts[number];
  pool_index *x = &p->live;
  uint32_t lead = at < LEAD ? at : LEAD, rest = t->n - at - n;
  uint32_t follow = rest < FOLLOW ? rest : FOLLOW;
  begin_text(x, number);
  for (uint32_t i = at - lead; i < at; i++) push(x, number, t->tokens[i], NGRAMS_MATCH_MAX);
  uint32_t place = x->grams.n;
  for (uint32_t i = at; i < at + n; i++) push(x, number, t->tokens[i], 0);
  /* What follows has its own places; only the contexts across the seam are new. */
  for (uint32_t i = 0; i < follow; i++)
    push(x, number, t->tokens[at + n + i], i < NGRAMS_MATCH_MAX ? (int)i : NGRAMS_MATCH_MAX);
  end_text(x);
  if (n == 0) return;
  memmove(t->spans + span + 1, t->spans + span, (t->n_spans - span) * sizeof *t->spans);
  t->spans[span] = (struct pool_span){place, n};
  t->n_spans++;
}

int engine_pool_splice(engine_pool *p, int64_t id, int at, int removed, const int32_t *tokens,
                       int n) {
  pool__lock(p);
  pool_text *t = open_text(p, id);
  int rc = ENGINE_OK;
  if (t == NULL || at < 0 || removed < 0 || n < 0 || (uint32_t)at > t->n ||
      (uint32_t)removed > t->n - (uint32_t)at || (uint32_t)n > NGRAMS_PLACES_MAX / 4)
    rc = ENGINE_EINVAL;
  if (rc == ENGINE_OK) rc = make_room(p, t->n + (uint32_t)n + LEAD + FOLLOW);
  if (rc == ENGINE_OK) rc = reserve_spans(t, t->n_spans + 3);
  uint32_t before = t != NULL ? t->n : 0;
  if (rc == ENGINE_OK) rc = set_tokens(t, (uint32_t)at, (uint32_t)removed, tokens, (uint32_t)n);
  if (rc == ENGINE_OK) {
    p->live_tokens += t->n;
    p->live_tokens -= before;
    if (before == 0 || t->n == 0 || t->n_spans >= SPANS_MOST) {
      take_up(p, (uint32_t)id);
      lay_down(p, (uint32_t)id, t->tokens);
    } else {
      uint32_t span = cut_spans(p, t, (uint32_t)at, (uint32_t)removed);
      add_piece(p, (uint32_t)id, (uint32_t)at, (uint32_t)n, span);
    }
  }
  pool__unlock(p);
  return rc;
}

int engine_pool_accept(engine_pool *p, const int32_t *tokens, int n) {
  if (n < 1 || (uint32_t)n > NGRAMS_PLACES_MAX / 4) return ENGINE_EINVAL;
  uint32_t most = sizeof p->accepted / sizeof *p->accepted, number = 0;
  pool__lock(p);
  int rc = make_room(p, (uint32_t)n);
  bool again = rc == ENGINE_OK && p->n_accepted >= most;
  if (again) { /* the oldest one's number is used again */
    number = p->accepted[p->n_accepted % most];
    p->live_tokens -= p->texts[number].n;
    take_up(p, number);
  } else if (rc == ENGINE_OK) {
    rc = new_text(p, ENGINE_POOL_ACCEPTED, &number);
  }
  if (rc == ENGINE_OK) {
    p->accepted[p->n_accepted++ % most] = number;
    p->texts[number].n = (uint32_t)n;
    p->live_tokens += (size_t)n;
    lay_down(p, number, tokens);
  }
  pool__unlock(p);
  return rc;
}

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
      take_up(p, (uint32_t)id);
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
  }
  pool__unlock(p);
}

void engine_pool_hide(engine_pool *p, int64_t id, bool hidden) {
  pool__lock(p);
  if (id >= 1 && id < p->n_texts) p->texts[id].hidden = hidden;
  pool__unlock(p);
}

void engine_pool_focus(engine_pool *p, int64_t current, const int64_t *imported, int n) {
  pool__lock(p);
  p->current = open_text(p, current) != NULL ? (uint32_t)current : 0;
  for (int i = 0; i < p->n_imported; i++) p->texts[p->imported[i]].imported = false;
  p->n_imported = 0;
  for (int i = 0; i < n && p->n_imported < POOL_IMPORTED_MOST; i++) {
    if (imported[i] < 1 || imported[i] >= p->n_texts) continue;
    p->texts[imported[i]].imported = true;
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
