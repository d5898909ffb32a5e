/* ngrams.c - the array of texts, and the lists of places. */
#include "engine/ngrams.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define FIRST_BITS 10
#define FIRST_CAPACITY 2048
#define GONE_MOST 200 /* places of texts that are gone, passed in one list at no charge */
#define CLEARED 6     /* chunks of a list that are cleared at once */
#define UNIT 4        /* words: the smallest chunk */
#define LINE 16       /* words: the largest one, a cache line */
#define SIZES 3       /* of chunks: 4, 8 and 16 words */
#define KIND_SHIFT 30 /* a list is the place itself, or a chunk's size and number */
#define PLACE_WORDS 5 /* that a list has at most for each of its places, and for one more: LINE */
#define SEARCHES 12   /* side by side */
#define WALKED 24     /* places of a list that are looked at before they are compared */

/* Of the tokens before end, the nearest one first: a level's hash goes on from a shorter one's. */
static uint64_t hash_on(uint64_t h, const int32_t *end, int from, int to) {
  for (int i = from + 1; i <= to; i++) h = (h ^ (uint32_t)end[-i]) * 0x9e3779b97f4a7c15u;
  return h;
}

static uint32_t hash_before(const int32_t *end, int length, int bits) {
  return (uint32_t)(hash_on(1, end, 0, length) >> (64 - bits));
}

int ngrams_init(ngrams *x, const int *levels, int n_levels) {
  memset(x, 0, sizeof *x);
  x->n_levels = n_levels;
  memcpy(x->levels, levels, (size_t)n_levels * sizeof *levels);
  int rc = ngrams_reserve(x, 1);
  if (rc != ENGINE_OK) {
    ngrams_free(x);
    return rc;
  }
  ngrams_push(x, NGRAMS_BORDER);
  return ENGINE_OK;
}

void ngrams_free(ngrams *x) {
  free(x->tokens);
  free(x->across);
  for (int l = 0; l < NGRAMS_LEVELS_MAX; l++) free(x->heads[l]);
  free(x->cells.memory);
  memset(x, 0, sizeof *x);
}

static void clear_cells(ngrams_cells *c) {
  memset(c->spare, 0, sizeof c->spare);
  c->used = LINE; /* the first is nobody's: 0 is none */
}

void ngrams_clear(ngrams *x) {
  for (int l = 0; l < x->n_levels; l++)
    memset(x->heads[l], 0, sizeof(uint32_t) << x->bits);
  clear_cells(&x->cells);
  x->n = 0;
  ngrams_push(x, NGRAMS_BORDER);
}

/* ---- lists ----------------------------------------------------------------------------- */

/* A chunk's first word is the list of older places; then its own, oldest first, and zeros. */
static uint32_t *chunk(const ngrams_cells *c, uint32_t list) {
  return c->words + (size_t)(list & ((1u << KIND_SHIFT) - 1)) * UNIT;
}

static int kind_of(uint32_t list) { return (int)(list >> KIND_SHIFT); } /* 0: a place */
static int words_of(int kind) { return UNIT << (kind - 1); }

static void give_back(ngrams_cells *c, uint32_t list) {
  *chunk(c, list) = c->spare[kind_of(list)];
  c->spare[kind_of(list)] = list;
}

/* A chunk of zeros. There is room. */
static uint32_t take_chunk(ngrams_cells *c, int kind) {
  uint32_t list = c->spare[kind];
  if (list != 0) {
    c->spare[kind] = *chunk(c, list);
  } else if (kind == SIZES) {
    list = (uint32_t)kind << KIND_SHIFT | (uint32_t)(c->used / UNIT);
    c->used += LINE;
  } else { /* half of a larger one */
    uint32_t number = take_chunk(c, kind + 1) & ((1u << KIND_SHIFT) - 1);
    list = (uint32_t)kind << KIND_SHIFT | number;
    give_back(c, list + (uint32_t)words_of(kind) / UNIT);
  }
  memset(chunk(c, list), 0, (size_t)words_of(kind) * sizeof(uint32_t));
  return list;
}

/* Where a chunk's zeros begin; its size where there are none. */
static int filled(const uint32_t *words, int size) {
  int from = 1;
  for (int half = size / 2; half > 0; half /= 2)
    if (words[from + half - 1] != 0) from += half;
  return from;
}

static void put_in(ngrams_cells *c, uint32_t *list, uint32_t place) {
  int kind = kind_of(*list);
  if (*list == 0) {
    *list = place;
    return;
  }
  if (kind > 0) {
    uint32_t *words = chunk(c, *list);
    int n = words_of(kind), i = filled(words, n);
    if (i < n) {
      words[i] = place;
      return;
    }
  }
  uint32_t fresh = take_chunk(c, kind < SIZES ? kind + 1 : SIZES), *words = chunk(c, fresh);
  words[0] = *list;
  words[1] = place;
  *list = fresh;
}

/* The newest one of the list, if it is this place. */
static void take_out(ngrams_cells *c, uint32_t *list, uint32_t place) {
  if (kind_of(*list) == 0) {
    if (*list == place) *list = 0;
    return;
  }
  uint32_t *words = chunk(c, *list), emptied = *list;
  int i = filled(words, words_of(kind_of(*list))) - 1;
  if (words[i] != place) return;
  words[i] = 0;
  if (i > 1) return;
  *list = words[0];
  give_back(c, emptied);
}

/* The place in the lists of its contexts, of which there are `run` tokens. */
static void list_place(uint32_t *const *heads, int bits, ngrams_cells *cells, const ngrams *x,
                       uint32_t place, int run) {
  const int32_t *end = x->tokens + place;
  uint64_t h = 1;
  int hashed = 0;
  if (*end == NGRAMS_BORDER) return;
  for (int l = 0; l < x->n_levels && x->levels[l] <= run; l++) {
    h = hash_on(h, end, hashed, x->levels[l]);
    hashed = x->levels[l];
    if (hashed > x->across[place]) put_in(cells, &heads[l][h >> (64 - bits)], place);
  }
}

/* ---- room ------------------------------------------------------------------------------ */

static int resize_cells(ngrams_cells *c, size_t words) {
  size_t shift = c->memory == NULL ? 0 : (size_t)((char *)c->words - (char *)c->memory);
  size_t line = LINE * sizeof *c->words;
  char *memory = realloc(c->memory, words * sizeof *c->words + line);
  if (memory == NULL) return ENGINE_ENOMEM;
  size_t now = (line - (uintptr_t)memory % line) % line;
  if (now != shift) memmove(memory + now, memory + shift, c->used * sizeof *c->words);
  c->memory = memory;
  c->words = (uint32_t *)(void *)(memory + now);
  c->capacity = words;
  return ENGINE_OK;
}

/* Words that the lists of all levels may have with `more` places beside the n. */
static size_t words_for(const ngrams *x, size_t used, uint32_t n, uint32_t more) {
  size_t each = (size_t)x->n_levels;
  size_t all = ((size_t)n + more) * PLACE_WORDS * each, next = used + (size_t)more * LINE * each;
  return (all < next ? all : next) + 4 * LINE;
}

bool ngrams_has_room(const ngrams *x, uint32_t more) {
  return x->bits > 0 && more < x->capacity - x->n && x->n + more < (uint32_t)2 << x->bits &&
         words_for(x, x->cells.used, x->n, more) <= x->cells.capacity;
}

void ngrams_drop(ngrams_growth *g) {
  for (int l = 0; l < NGRAMS_LEVELS_MAX; l++) {
    free(g->heads[l]);
    g->heads[l] = NULL;
  }
  free(g->cells.memory);
  g->cells = (ngrams_cells){0};
}

/* Larger tables with all that is there now. */
static int list_again(const ngrams *x, ngrams_growth *out) {
  bool failed = resize_cells(&out->cells, words_for(x, 0, 0, x->n)) != ENGINE_OK;
  clear_cells(&out->cells);
  for (int l = 0; l < x->n_levels && !failed; l++) {
    out->heads[l] = calloc((size_t)1 << out->bits, sizeof(uint32_t));
    failed = out->heads[l] == NULL;
  }
  if (failed) {
    ngrams_drop(out);
    return ENGINE_ENOMEM;
  }
  int run = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    list_place(out->heads, out->bits, &out->cells, x, i, run);
    run = x->tokens[i] == NGRAMS_BORDER ? 0 : run < NGRAMS_MATCH_MAX ? run + 1 : run;
  }
  resize_cells(&out->cells, out->cells.used); /* nearly always less than there might have been */
  return ENGINE_OK;
}

int ngrams_prepare(const ngrams *x, uint32_t more, ngrams_growth *out) {
  memset(out, 0, sizeof *out);
  if (more > NGRAMS_PLACES_MAX || x->n > NGRAMS_PLACES_MAX - more) return ENGINE_ENOMEM;
  uint32_t want = x->n + more + 1;
  out->capacity = x->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : x->capacity;
  while (out->capacity < want) out->capacity += out->capacity / 2;
  out->bits = x->bits < FIRST_BITS ? FIRST_BITS : x->bits;
  while ((uint32_t)2 << out->bits < want) out->bits++;
  int rc = out->bits == x->bits ? ENGINE_OK : list_again(x, out);
  size_t used = out->cells.memory != NULL ? out->cells.used : x->cells.used;
  out->words = words_for(x, used, x->n, more);
  if (rc == ENGINE_OK && out->words / UNIT < (size_t)1 << KIND_SHIFT) return ENGINE_OK;
  ngrams_drop(out);
  return ENGINE_ENOMEM;
}

int ngrams_commit(ngrams *x, ngrams_growth *g) {
  int rc = ENGINE_OK;
  if (g->capacity > x->capacity) {
    int32_t *tokens = realloc(x->tokens, (size_t)g->capacity * sizeof *tokens);
    if (tokens != NULL) x->tokens = tokens;
    uint8_t *across = realloc(x->across, g->capacity);
    if (across != NULL) x->across = across;
    if (tokens == NULL || across == NULL) rc = ENGINE_ENOMEM;
    else x->capacity = g->capacity;
  }
  ngrams_cells *cells = g->cells.memory != NULL ? &g->cells : &x->cells;
  if (rc == ENGINE_OK && g->words > cells->capacity)
    rc = resize_cells(cells, g->words + cells->used / 4);
  if (rc != ENGINE_OK || g->heads[0] == NULL) return rc;
  ngrams_cells old = x->cells;
  x->cells = g->cells;
  g->cells = old;
  for (int l = 0; l < x->n_levels; l++) {
    uint32_t *heads = x->heads[l];
    x->heads[l] = g->heads[l];
    g->heads[l] = heads;
  }
  x->bits = g->bits;
  return rc;
}

int ngrams_reserve(ngrams *x, uint32_t more) {
  if (ngrams_has_room(x, more)) return ENGINE_OK;
  ngrams_growth g;
  int rc = ngrams_prepare(x, more, &g);
  if (rc == ENGINE_OK) rc = ngrams_commit(x, &g);
  ngrams_drop(&g);
  return rc;
}

/* ---- texts ----------------------------------------------------------------------------- */

/* The place behind the last token is a border, too: who runs along a text stops there. */
static uint32_t put(ngrams *x, int32_t token) {
  uint32_t place = x->n++;
  x->tokens[place] = token;
  x->tokens[place + 1] = NGRAMS_BORDER;
  return place;
}

/* Tokens at the end since the last border. */
static int end_run(const ngrams *x) {
  int n = 0;
  while (n < NGRAMS_MATCH_MAX && (uint32_t)n < x->n && x->tokens[x->n - 1 - (uint32_t)n] >= 0) n++;
  return n;
}

void ngrams_push_across(ngrams *x, int32_t token, int across) {
  uint32_t place = put(x, token);
  x->across[place] = (uint8_t)(across < NGRAMS_MATCH_MAX ? across : NGRAMS_MATCH_MAX);
  list_place(x->heads, x->bits, &x->cells, x, place, x->run);
  x->run = token == NGRAMS_BORDER ? 0 : x->run < NGRAMS_MATCH_MAX ? x->run + 1 : x->run;
}

void ngrams_push(ngrams *x, int32_t token) { ngrams_push_across(x, token, 0); }

/* Does the place have a context of this length, with no border in it? */
static bool has_context(const ngrams *x, uint32_t place, int length) {
  if (place <= (uint32_t)length) return false;
  for (int i = 1; i <= length; i++)
    if (x->tokens[place - (uint32_t)i] == NGRAMS_BORDER) return false;
  return true;
}

void ngrams_truncate(ngrams *x, uint32_t n) {
  while (x->n > n && x->n > 1) {
    uint32_t place = --x->n;
    for (int l = 0; l < x->n_levels; l++) {
      if (!has_context(x, place, x->levels[l])) continue;
      uint32_t hash = hash_before(x->tokens + place, x->levels[l], x->bits);
      take_out(&x->cells, &x->heads[l][hash], place);
    }
  }
  x->tokens[x->n] = NGRAMS_BORDER;
  x->run = end_run(x);
}

void ngrams_erase(ngrams *x, uint32_t from, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) x->tokens[from + i] = NGRAMS_BORDER;
  x->run = end_run(x);
}

/* ---- looking up ------------------------------------------------------------------------ */

/* A list that is gone through. */
typedef struct walk {
  ngrams *x;
  uint32_t *head;
  uint32_t list; /* what is to be looked at next; 0: there is nothing */
  int at;        /* in its chunk, from above; 0: not begun */
  int length;    /* of its contexts */
  int hops, gone; /* places to be looked at; those passed that were taken out */
  int n;
  uint32_t places[WALKED]; /* [n] looked at */
} walk;

static void expect_list(const walk *w) {
  if (kind_of(w->list) > 0) __builtin_prefetch(chunk(&w->x->cells, w->list));
}

static void add_place(walk *w, uint32_t place) {
  const int32_t *end = w->x->tokens + place;
  __builtin_prefetch(end);
  __builtin_prefetch(end - w->length);
  w->places[w->n++] = place;
}

/* As many places as are wanted of the list's next chunk. */
static void advance(walk *w, int want) {
  if (kind_of(w->list) == 0) {
    add_place(w, w->list);
    w->list = 0;
    return;
  }
  const uint32_t *words = chunk(&w->x->cells, w->list);
  int i = w->at;
  if (i == 0) i = filled(words, words_of(kind_of(w->list))) - 1;
  while (i > 0 && w->n < want) add_place(w, words[i--]);
  w->at = i;
  if (i > 0) return;
  w->list = words[0];
  expect_list(w);
}

/* Goes on, until nothing is left to look at or there are as many as may be looked at. */
static void walk_all(walk *walks, int n) {
  for (bool more = true; more;) {
    more = false;
    for (int i = 0; i < n; i++) {
      walk *w = &walks[i];
      int want = w->hops < WALKED ? w->hops : WALKED;
      if (w->list == 0 || w->n >= want) continue;
      advance(w, want);
      more = true;
    }
  }
}

/* Is the place or what a level knows it by gone? A listed place has so many tokens before it. */
static bool is_gone(const int32_t *end, int length) {
  for (int i = 0; i <= length; i++)
    if (end[-i] == NGRAMS_BORDER) return true;
  return false;
}

/* Takes what is gone out of the list's first chunks. */
static void clear_list(ngrams_cells *c, const walk *w) {
  uint32_t *list = w->head;
  for (int k = 0; k < CLEARED && kind_of(*list) > 0; k++) {
    uint32_t *words = chunk(c, *list), emptied = *list;
    int n = words_of(kind_of(*list)), kept = 1;
    for (int i = 1; i < n && words[i] != 0; i++)
      if (!is_gone(w->x->tokens + words[i], w->length)) words[kept++] = words[i];
    for (int i = kept; i < n; i++) words[i] = 0;
    if (kept > 1) {
      list = words;
    } else {
      *list = words[0];
      give_back(c, emptied);
    }
  }
  if (*list != 0 && kind_of(*list) == 0 && is_gone(w->x->tokens + *list, w->length)) *list = 0;
}

static int agreement(const ngrams *x, uint32_t place, const int32_t *context, int len) {
  int most = len < NGRAMS_MATCH_MAX ? len : NGRAMS_MATCH_MAX, n = 0;
  while (n < most && (uint32_t)n < place) {
    int32_t id = context[len - 1 - n];
    if (id == NGRAMS_BORDER || x->tokens[place - 1 - (uint32_t)n] != id) break;
    n++;
  }
  return n;
}

static bool found_before(const ngrams_match *out, int n, uint32_t place) {
  for (int i = 0; i < n; i++)
    if (out[i].place == place) return true;
  return false;
}

/* What a list has, behind the matches of the longer levels, of which the next is `longer`. */
static void take_matches(ngrams_search *s, walk *w, int longer) {
  int before = s->n;
  for (;;) {
    for (int i = 0; i < w->n && s->n < s->max; i++) {
      if (is_gone(w->x->tokens + w->places[i], w->length)) {
        if (++w->gone > GONE_MOST) w->hops--;
        continue;
      }
      w->hops--;
      int agrees = agreement(w->x, w->places[i], s->context, s->len);
      if (agrees < w->length) continue;
      if (agrees >= longer && found_before(s->out, before, w->places[i])) continue;
      s->out[s->n++] = (ngrams_match){w->places[i], agrees};
    }
    if (w->hops <= 0 || w->list == 0 || s->n == s->max) return;
    w->n = 0;
    walk_all(w, 1);
  }
}

/* The lists of a search, shortest level first. Returns how many. */
static int begin_walks(const ngrams_search *s, int least, walk *walks) {
  ngrams *x = s->x;
  uint64_t h = 1;
  int count = 0, hashed = 0;
  for (int l = 0; l < x->n_levels && x->levels[l] <= s->len; l++) {
    h = hash_on(h, s->context + s->len, hashed, x->levels[l]);
    hashed = x->levels[l];
    if (hashed < least) continue;
    walk *w = &walks[count++];
    w->x = x;
    w->head = &x->heads[l][h >> (64 - x->bits)];
    w->length = hashed;
    w->hops = s->hops;
    w->at = w->gone = w->n = 0;
    __builtin_prefetch(w->head);
  }
  return count;
}

static void find_some(ngrams_search *s, int n, int least) {
  walk walks[SEARCHES * NGRAMS_LEVELS_MAX], *w = walks;
  int counts[SEARCHES], all = 0;
  for (int i = 0; i < n; i++) all += counts[i] = begin_walks(&s[i], least, walks + all);
  for (int i = 0; i < all; i++) {
    walks[i].list = *walks[i].head;
    expect_list(&walks[i]);
  }
  walk_all(walks, all);
  for (int i = 0; i < n; i++) {
    int longer = NGRAMS_MATCH_MAX + 1;
    s[i].n = 0;
    for (int k = counts[i] - 1; k >= 0 && s[i].n < s[i].max; k--) {
      take_matches(&s[i], &w[k], longer);
      longer = w[k].length;
    }
    w += counts[i];
  }
  for (int i = 0; i < all; i++) /* not before nobody is under way in a list */
    if (walks[i].gone > 0) clear_list(&walks[i].x->cells, &walks[i]);
}

void ngrams_find_all(ngrams_search *s, int n, int least) {
  for (int i = 0; i < n; i += SEARCHES)
    find_some(s + i, n - i < SEARCHES ? n - i : SEARCHES, least);
}

int ngrams_find(ngrams *x, const int32_t *context, int len, int least, int hops,
                ngrams_match *out, int max) {
  ngrams_search s = {.x = x, .context = context, .len = len, .hops = hops, .max = max, .out = out};
  ngrams_find_all(&s, 1, least);
  return s.n;
}

static size_t bytes_of(const ngrams *x, uint32_t capacity, int bits, size_t words) {
  return (size_t)capacity * (sizeof *x->tokens + sizeof *x->across) +
         ((size_t)x->n_levels * sizeof(uint32_t) << bits) + words * sizeof(uint32_t);
}

size_t ngrams_bytes(const ngrams *x) {
  return bytes_of(x, x->capacity, x->bits, x->cells.used);
}

/* The lists' words are those of an ordinary text; the memory that a worse one would need is never
 * touched. */
size_t ngrams_bytes_with(const ngrams *x, const ngrams_growth *g) {
  size_t used = g->cells.memory != NULL ? g->cells.used : x->cells.used;
  return bytes_of(x, g->capacity, g->bits, used);
}
