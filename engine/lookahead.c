/* lookahead.c - lookahead decoding's window of guesses (Jacobi iteration) and its n-gram pool.
 *
 * The window has W columns and N - 1 rows; cell (l, i) has position p + l + i, where p is the
 * current token's. For W = 5, N = 4:
 *
 *              column 0   1     2     3     4
 *     row 0   current   [p+1] [p+2] [p+3]  p+4     (2, 3), at p+5, sees what is in brackets,
 *     row 1      p+1     p+2   p+3  [p+4]  p+5     the current token and the KV cache
 *     row 2      p+2     p+3   p+4   p+5   p+6
 *     best       p+3     p+4   p+5   p+6   p+7
 *
 * A cell sees row 0 up to its own column (p .. p + i) and rows 1 .. l - 1 of its column (the
 * positions p + i + 1 .. p + i + l - 1): one sequence without a gap. The model's best token after
 * it belongs at p + l + i + 1, where cell (l + 1, i) is; so what comes after the last row would be
 * row N - 1, and read downwards each column is an n-gram that the model has written itself, a
 * token a step. After a step the n-grams go to the pool, the rows move up by one, and the best
 * tokens become the last row.
 *
 * Moving up keeps the positions if one token was accepted: (l, i) becomes (l - 1, i), and p has
 * grown by one. Cell (0, 0) is overwritten with the new current token. If k were accepted, the
 * columns stay where they are relative to the current token, so that their guesses slip k - 1
 * positions to the right. The authors' own implementation does so, too. The other way, to drop
 * k - 1 columns on the left and fill up on the right, would hold the positions but throw away
 * columns that the model has worked on. On the embedded model the two differ by no more than
 * chance: 2.24 tokens a step against 2.22 (W, N, G = 15, 5, 15; 16 source files), 1.62 against
 * 1.59 (10, 4, 8; the same) and 1.46 against 1.47 (10, 4, 8; 30 other files).
 *
 * A text begins with row 0 alone, of tokens of the context. In its first N - 2 steps there is a
 * row to add and none to give up. What keeps the positions then is to move the columns one to the
 * left. The column that leaves is the current token with what followed it, an n-gram of the text
 * itself, so it comes in again on the right, where a column is wanted.
 *
 * Cells are in row-major order, so the depths and masks are the same in every step, and fewer rows
 * are a prefix of them all.
 *
 * The pool: LOOKAHEAD_POOL_MAX n-grams at most, G for each first token; a full one gives up the
 * n-gram that was not seen for the longest time, of that token or of all. One array of them; each
 * is in its bucket's list and in a list of all, both in the order of when they were seen. */
#include "engine/lookahead.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/sampler.h"

#define W_MAX 32
#define N_MAX 16
#define G_MAX 64
#define BUCKETS 131072 /* of the pool: at most two tokens of a Qwen2 vocabulary share one */
#define NONE (-1)      /* no n-gram */

/* An n-gram of the pool, by number; its tokens but the first are in pool.tails. */
typedef struct ngram {
  int32_t first;        /* its first token */
  int32_t next;         /* in the bucket: the one seen before it */
  int32_t older, newer; /* among all */
} ngram;

typedef struct pool {
  int tail;      /* tokens of an n-gram but the first */
  int per_first; /* most n-grams with the same first token */
  int n;
  int32_t oldest, newest;
  ngram *ngrams;   /* [LOOKAHEAD_POOL_MAX] owned */
  int32_t *tails;  /* [LOOKAHEAD_POOL_MAX, tail] owned */
  int32_t *bucket; /* [BUCKETS] owned: the n-gram seen last */
} pool;

struct lookahead {
  int w, n;
  int rows;                              /* of the window, the current token's counted; 0: none */
  int32_t cells[LOOKAHEAD_ROWS_MAX + 1]; /* [n - 1, w] */
  int32_t depth[LOOKAHEAD_ROWS_MAX];
  uint64_t mask[LOOKAHEAD_ROWS_MAX * LOOKAHEAD_MASK_WORDS];
  pool pool;
  int32_t *guesses; /* [g, n - 1] owned */
};

/* ---- the pool -------------------------------------------------------------------------- */

/* ENGINE_OK or ENGINE_ENOMEM; pool_free after either. */
static int pool_init(pool *p, int tail, int per_first) {
  p->tail = tail;
  p->per_first = per_first;
  p->oldest = p->newest = NONE;
  p->ngrams = malloc(LOOKAHEAD_POOL_MAX * sizeof *p->ngrams);
  p->tails = malloc((size_t)LOOKAHEAD_POOL_MAX * (size_t)tail * sizeof *p->tails);
  p->bucket = malloc(BUCKETS * sizeof *p->bucket);
  if (p->ngrams == NULL || p->tails == NULL || p->bucket == NULL) return ENGINE_ENOMEM;
  for (int i = 0; i < BUCKETS; i++) p->bucket[i] = NONE;
  return ENGINE_OK;
}

static void pool_free(pool *p) {
  free(p->ngrams);
  free(p->tails);
  free(p->bucket);
}

static int32_t *pool_bucket(const pool *p, int32_t first) {
  return &p->bucket[(uint32_t)first % BUCKETS];
}

static int32_t *pool_tail(const pool *p, int32_t i) {
  return p->tails + (size_t)i * (size_t)p->tail;
}

static size_t pool_tail_bytes(const pool *p) { return (size_t)p->tail * sizeof *p->tails; }

/* *link, in the bucket, is i. */
static void pool_unlink(pool *p, int32_t i, int32_t *link) {
  const ngram *e = &p->ngrams[i];
  *link = e->next;
  *(e->older == NONE ? &p->oldest : &p->ngrams[e->older].newer) = e->newer;
  *(e->newer == NONE ? &p->newest : &p->ngrams[e->newer].older) = e->older;
}

static void pool_link(pool *p, int32_t i, int32_t first) {
  int32_t *bucket = pool_bucket(p, first);
  p->ngrams[i] = (ngram){.first = first, .next = *bucket, .older = p->newest, .newer = NONE};
  *(p->newest == NONE ? &p->oldest : &p->ngrams[p->newest].newer) = i;
  p->newest = *bucket = i;
}

/* The n-gram is the one seen last: as the same one, or in the place of one that is given up. */
static void pool_add(pool *p, int32_t first, const int32_t *tail) {
  int32_t *link = pool_bucket(p, first), *last = NULL, i = NONE;
  int same_first = 0; /* others; *last is the one of them seen longest ago, or the same n-gram */
  for (; *link != NONE; link = &p->ngrams[*link].next) {
    if (p->ngrams[*link].first != first) continue;
    last = link;
    if (memcmp(pool_tail(p, *link), tail, pool_tail_bytes(p)) == 0) break;
    same_first++;
  }
  if (*link != NONE || same_first == p->per_first) {
    i = *last;
  } else if (p->n == LOOKAHEAD_POOL_MAX) {
    i = p->oldest;
    last = pool_bucket(p, p->ngrams[i].first);
    while (*last != i) last = &p->ngrams[*last].next;
  }
  if (i != NONE)
    pool_unlink(p, i, last);
  else
    i = p->n++;
  memcpy(pool_tail(p, i), tail, pool_tail_bytes(p));
  pool_link(p, i, first);
}

int lookahead_guesses(lookahead *l, int32_t token, const int32_t **out) {
  const pool *p = &l->pool;
  int found = 0;
  for (int32_t i = *pool_bucket(p, token); i != NONE; i = p->ngrams[i].next) {
    if (p->ngrams[i].first != token) continue;
    memcpy(l->guesses + (size_t)found * (size_t)p->tail, pool_tail(p, i), pool_tail_bytes(p));
    found++;
  }
  *out = l->guesses;
  return found;
}

/* ---- the window ------------------------------------------------------------------------ */

/* Cell (l, i) is row l w + i - 1 of the step: cell (0, 0) is none. */
static void lay_out(lookahead *l) {
  int n = (l->n - 1) * l->w - 1;
  for (int row = 0; row < n; row++) {
    int level = (row + 1) / l->w, column = (row + 1) % l->w;
    uint64_t *mask = l->mask + row * LOOKAHEAD_MASK_WORDS;
    l->depth[row] = level + column;
    for (int seen = 0; seen < row; seen++) {
      int its_level = (seen + 1) / l->w, its_column = (seen + 1) % l->w;
      if (its_level == 0 ? its_column <= column : its_column == column)
        mask[seen / 64] |= (uint64_t)1 << (seen % 64);
    }
  }
}

bool lookahead_fits(int w, int n, int g) {
  return w >= 1 && w <= W_MAX && n >= 2 && n <= N_MAX && g >= 1 && g <= G_MAX &&
         (n - 1) * w - 1 <= LOOKAHEAD_ROWS_MAX;
}

int lookahead_new(lookahead **out, int w, int n, int g) {
  *out = NULL;
  if (!lookahead_fits(w, n, g)) return ENGINE_EINVAL;
  lookahead *l = calloc(1, sizeof *l);
  if (l == NULL) return ENGINE_ENOMEM;
  l->w = w;
  l->n = n;
  l->guesses = malloc((size_t)(n - 1) * (size_t)g * sizeof *l->guesses);
  if (pool_init(&l->pool, n - 1, g) != ENGINE_OK || l->guesses == NULL) {
    lookahead_delete(l);
    return ENGINE_ENOMEM;
  }
  lay_out(l);
  *out = l;
  return ENGINE_OK;
}

void lookahead_delete(lookahead *l) {
  if (l == NULL) return;
  pool_free(&l->pool);
  free(l->guesses);
  free(l);
}

void lookahead_begin(lookahead *l, const int32_t *context, int len) {
  uint64_t random = 0;
  l->rows = len < 1 ? 0 : 1;
  if (len < 1) return;
  l->cells[0] = context[len - 1];
  for (int i = 1; i < l->w; i++)
    l->cells[i] = context[sampler_spread(&random) % (uint64_t)len];
}

void lookahead_get_rows(lookahead *l, lookahead_rows *out) {
  *out = (lookahead_rows){
      .n = l->rows == 0 ? 0 : l->rows * l->w - 1,
      .ids = l->cells + 1,
      .depth = l->depth,
      .mask = l->mask,
  };
}

/* All rows are there, and tips[w] are the best tokens after the last one. The leftmost column,
 * which is the nearest to the text, is seen last. */
static void harvest(lookahead *l, const int32_t *tips) {
  int32_t tail[N_MAX - 1];
  for (int i = l->w - 1; i >= 0; i--) {
    for (int row = 1; row < l->rows; row++) tail[row - 1] = l->cells[row * l->w + i];
    tail[l->rows - 1] = tips[i];
    pool_add(&l->pool, l->cells[i], tail);
  }
}

static void rotate_columns(lookahead *l) {
  for (int row = 0; row < l->rows; row++) {
    int32_t *cells = l->cells + row * l->w, leftmost = cells[0];
    memmove(cells, cells + 1, (size_t)(l->w - 1) * sizeof *cells);
    cells[l->w - 1] = leftmost;
  }
}

void lookahead_update(lookahead *l, const int32_t *best, int32_t current_best,
                      const int32_t *accepted, int n_accepted) {
  if (l->rows == 0 || n_accepted < 1) return;
  int32_t tips[W_MAX];
  size_t bytes = (size_t)l->w * sizeof *tips;
  for (int i = 0; i < l->w; i++) {
    int row = (l->rows - 1) * l->w + i - 1;
    tips[i] = row < 0 ? current_best : best[row];
  }
  bool full = l->rows == l->n - 1;
  if (full) {
    harvest(l, tips);
    memmove(l->cells, l->cells + l->w, (size_t)(l->rows - 1) * bytes);
  } else {
    l->rows++;
  }
  memcpy(l->cells + (l->rows - 1) * l->w, tips, bytes);
  if (!full) rotate_columns(l);
  l->cells[0] = accepted[n_accepted - 1];
}
