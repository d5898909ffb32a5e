/* pool_live.c - texts that change at every keystroke: open documents and accepted completions. */
#include "engine/pool_internal.h"

#include <stdlib.h>
#include <string.h>

#define LEAD 8         /* tokens before an edit that go along with it */
#define FOLLOW 24      /* tokens after it */
#define SPANS_MOST 512 /* pieces of a document before it is laid down in one again */

static int reserve_live(engine_pool *p, uint32_t room) {
  int rc = ngrams_reserve(&p->live.grams, room);
  return rc == ENGINE_OK ? pool__reserve_blocks(&p->live, p->live.grams.n + room) : rc;
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
  pool__begin_text(x, number);
  t->start = x->grams.n;
  for (uint32_t i = 0; i < t->n; i++) pool__push(x, number, tokens[i], 0);
  pool__end_text(x);
  if (t->kind == ENGINE_POOL_OPEN) {
    t->spans[0] = (struct pool_span){t->start, t->n};
    t->n_spans = 1;
  }
}

/* Borders over all that is of the text, copies beside its edits too: its blocks are its own. */
void pool__take_up(engine_pool *p, uint32_t number) {
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
      places += pool__room_for(p->texts[i].n);
  p->live = (pool_index){0};
  int rc = pool__init_index(&p->live);
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
  if (p->live.grams.n > 2 * p->live_tokens + POOL_GARBAGE_MOST) {
    int rc = renew_live(p);
    if (rc != ENGINE_OK) return rc;
  }
  return reserve_live(p, pool__room_for(n));
}

pool_text *pool__open_text(engine_pool *p, int64_t id) {
  if (id < 1 || id >= p->n_texts) return NULL;
  pool_text *t = &p->texts[id];
  return t->kind == ENGINE_POOL_OPEN && !t->gone ? t : NULL;
}

int engine_pool_open(engine_pool *p, int64_t *id) {
  uint32_t number = 0;
  pool__lock(p);
  int rc = pool__new_text(p, ENGINE_POOL_OPEN, &number);
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
  pool__begin_text(x, number);
  for (uint32_t i = at - lead; i < at; i++) pool__push(x, number, t->tokens[i], NGRAMS_MATCH_MAX);
  uint32_t place = x->grams.n;
  for (uint32_t i = at; i < at + n; i++) pool__push(x, number, t->tokens[i], 0);
  /* What follows has its own places; only the contexts across the seam are new. */
  for (uint32_t i = 0; i < follow; i++)
    pool__push(x, number, t->tokens[at + n + i], i < NGRAMS_MATCH_MAX ? (int)i : NGRAMS_MATCH_MAX);
  pool__end_text(x);
  if (n == 0) return;
  memmove(t->spans + span + 1, t->spans + span, (t->n_spans - span) * sizeof *t->spans);
  t->spans[span] = (struct pool_span){place, n};
  t->n_spans++;
}

int engine_pool_splice(engine_pool *p, int64_t id, int at, int removed, const int32_t *tokens,
                       int n) {
  pool__lock(p);
  pool_text *t = pool__open_text(p, id);
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
      pool__take_up(p, (uint32_t)id);
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
    pool__take_up(p, number);
  } else if (rc == ENGINE_OK) {
    rc = pool__new_text(p, ENGINE_POOL_ACCEPTED, &number);
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
