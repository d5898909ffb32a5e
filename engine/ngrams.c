/* ngrams.c - the array of texts and its chains. */
#include "engine/ngrams.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define FIRST_BITS 10
#define FIRST_CAPACITY 2048
#define ERASED_MOST 200 /* places of texts that are gone, passed in one chain at no charge */

static uint32_t hash_before(const int32_t *end, int length, int bits) {
  uint64_t h = (uint64_t)length;
  for (int i = 1; i <= length; i++) h = (h ^ (uint32_t)end[-i]) * 0x9e3779b97f4a7c15u;
  return (uint32_t)(h >> (64 - bits));
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
  for (int l = 0; l < NGRAMS_LEVELS_MAX; l++) {
    free(x->previous[l]);
    free(x->heads[l]);
  }
  memset(x, 0, sizeof *x);
}

void ngrams_clear(ngrams *x) {
  for (int l = 0; l < x->n_levels; l++)
    memset(x->heads[l], 0, sizeof(uint32_t) << x->bits);
  x->n = 0;
  ngrams_push(x, NGRAMS_BORDER);
}

/* ---- room ------------------------------------------------------------------------------ */

void ngrams_drop(ngrams_growth *g) {
  for (int l = 0; l < NGRAMS_LEVELS_MAX; l++) {
    free(g->heads[l]);
    g->heads[l] = NULL;
  }
}

/* Does the place have a context of this length, with no border in it? */
static bool has_context(const ngrams *x, uint32_t place, int length) {
  if (place <= (uint32_t)length) return false;
  for (int i = 1; i <= length; i++)
    if (x->tokens[place - (uint32_t)i] == NGRAMS_BORDER) return false;
  return true;
}

int ngrams_prepare(const ngrams *x, uint32_t more, ngrams_growth *out) {
  memset(out, 0, sizeof *out);
  if (more > NGRAMS_PLACES_MAX || x->n > NGRAMS_PLACES_MAX - more) return ENGINE_ENOMEM;
  uint32_t want = x->n + more + 1;
  out->capacity = x->capacity < FIRST_CAPACITY ? FIRST_CAPACITY : x->capacity;
  while (out->capacity < want) out->capacity += out->capacity / 2;
  out->bits = x->bits < FIRST_BITS ? FIRST_BITS : x->bits;
  while ((uint32_t)2 << out->bits < want) out->bits++;
  if (out->bits == x->bits) return ENGINE_OK;
  for (int l = 0; l < x->n_levels; l++) {
    out->heads[l] = calloc((size_t)1 << out->bits, sizeof(uint32_t));
    if (out->heads[l] == NULL) {
      ngrams_drop(out);
      return ENGINE_ENOMEM;
    }
    /* A chain of the smaller table goes on serving both halves: what does not agree is seen so. */
    for (uint32_t i = 1; i < x->n; i++)
      if (x->previous[l][i] != i && has_context(x, i, x->levels[l]))
        out->heads[l][hash_before(x->tokens + i, x->levels[l], out->bits)] = i;
  }
  return ENGINE_OK;
}

int ngrams_commit(ngrams *x, ngrams_growth *g) {
  if (g->capacity > x->capacity) {
    int32_t *tokens = realloc(x->tokens, (size_t)g->capacity * sizeof *tokens);
    if (tokens != NULL) x->tokens = tokens;
    bool failed = tokens == NULL;
    for (int l = 0; l < x->n_levels && !failed; l++) {
      uint32_t *previous = realloc(x->previous[l], (size_t)g->capacity * sizeof *previous);
      if (previous != NULL) x->previous[l] = previous;
      failed = previous == NULL;
    }
    if (failed) {
      ngrams_drop(g);
      return ENGINE_ENOMEM;
    }
    x->capacity = g->capacity;
  }
  if (g->heads[0] != NULL) {
    for (int l = 0; l < x->n_levels; l++) {
      free(x->heads[l]);
      x->heads[l] = g->heads[l];
      g->heads[l] = NULL;
    }
    x->bits = g->bits;
  }
  return ENGINE_OK;
}

int ngrams_reserve(ngrams *x, uint32_t more) {
  if (x->bits > 0 && more < x->capacity - x->n && x->n + more < (uint32_t)2 << x->bits)
    return ENGINE_OK;
  ngrams_growth g;
  int rc = ngrams_prepare(x, more, &g);
  return rc == ENGINE_OK ? ngrams_commit(x, &g) : rc;
}

/* ---- texts ----------------------------------------------------------------------------- */

/* The place behind the last token is a border, too: who runs along a text stops there. */
static uint32_t put(ngrams *x, int32_t token) {
  uint32_t place = x->n++;
  x->tokens[place] = token;
  x->tokens[place + 1] = NGRAMS_BORDER;
  return place;
}

void ngrams_push_across(ngrams *x, int32_t token, int across) {
  uint32_t place = put(x, token);
  for (int l = 0; l < x->n_levels; l++) {
    x->previous[l][place] = place; /* in no chain */
    if (token == NGRAMS_BORDER || x->levels[l] <= across || !has_context(x, place, x->levels[l]))
      continue;
    uint32_t *head = &x->heads[l][hash_before(x->tokens + place, x->levels[l], x->bits)];
    x->previous[l][place] = *head;
    *head = place;
  }
}

void ngrams_push(ngrams *x, int32_t token) { ngrams_push_across(x, token, 0); }

void ngrams_truncate(ngrams *x, uint32_t n) {
  while (x->n > n && x->n > 1) {
    uint32_t place = --x->n;
    for (int l = 0; l < x->n_levels; l++) {
      if (!has_context(x, place, x->levels[l])) continue;
      uint32_t hash = hash_before(x->tokens + place, x->levels[l], x->bits);
      uint32_t older = x->heads[l][hash];
      if (older != place) continue;
      /* Before the tables grew the chain was that of other hashes, too: they end at their own. */
      do older = x->previous[l][older];
      while (older != 0 && hash_before(x->tokens + older, x->levels[l], x->bits) != hash);
      x->heads[l][hash] = older;
    }
  }
  x->tokens[x->n] = NGRAMS_BORDER;
}

void ngrams_erase(ngrams *x, uint32_t from, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) x->tokens[from + i] = NGRAMS_BORDER;
}

/* ---- looking up ------------------------------------------------------------------------ */

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

int ngrams_find(const ngrams *x, const int32_t *context, int len, int least, int hops,
                ngrams_match *out, int max) {
  int n = 0;
  for (int l = x->n_levels - 1; l >= 0 && n < max; l--) {
    int length = x->levels[l];
    if (length > len) continue;
    if (length < least) break;
    int longer = n; /* what the longer levels gave */
    uint32_t place = x->heads[l][hash_before(context + len, length, x->bits)];
    int passed = 0; /* places that were taken out */
    for (int hop = 0; place != 0 && hop < hops && n < max; hop++) {
      if (x->tokens[place] == NGRAMS_BORDER && passed < ERASED_MOST) passed++, hop--;
      int agrees = agreement(x, place, context, len);
      if (agrees >= length && x->tokens[place] != NGRAMS_BORDER &&
          !found_before(out, longer, place))
        out[n++] = (ngrams_match){place, agrees};
      place = x->previous[l][place];
    }
  }
  return n;
}

static size_t bytes_of(const ngrams *x, uint32_t capacity, int bits) {
  return (size_t)capacity * sizeof(int32_t) * (size_t)(1 + x->n_levels) +
         ((size_t)x->n_levels * sizeof(uint32_t) << bits);
}

size_t ngrams_bytes(const ngrams *x) { return bytes_of(x, x->capacity, x->bits); }

size_t ngrams_bytes_with(const ngrams *x, const ngrams_growth *g) {
  return bytes_of(x, g->capacity, g->bits);
}
