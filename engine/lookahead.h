/* lookahead.h - the window and the n-gram pool of lookahead decoding, private to engine/.
 *
 * Token logic only: the decode loop owns the batch, computes the rows given here beside its own,
 * and hands their best tokens back. What is guessed here never changes what is generated, only in
 * how many steps. One thread at a time. */
#ifndef FIMD_ENGINE_LOOKAHEAD_H
#define FIMD_ENGINE_LOOKAHEAD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct lookahead lookahead;

#define LOOKAHEAD_ROWS_MAX 112 /* rows of one step */
#define LOOKAHEAD_MASK_WORDS ((LOOKAHEAD_ROWS_MAX + 63) / 64)
#define LOOKAHEAD_POOL_MAX 65536 /* n-grams in the pool: 4 (n - 1) + 16 bytes each */

/* A window of w columns (1..32) and n - 1 rows, n-grams of n tokens (2..16), at most g of them
 * (1..64) for each first token; (n - 1) w - 1 <= LOOKAHEAD_ROWS_MAX. ENGINE_OK, ENGINE_EINVAL or
 * ENGINE_ENOMEM; on failure *out is NULL. Nothing is allocated after this. */
int lookahead_new(lookahead **out, int w, int n, int g);
/* Whether such a window can be made; allocates nothing. */
bool lookahead_fits(int w, int n, int g);
void lookahead_delete(lookahead *l); /* NULL is a no-op */

/* A new text: context[len] are its tokens up to and including the current one (borrowed during
 * the call). The window starts over with tokens that a fixed pseudo-random choice takes from the
 * context: the same context gives the same window. The pool stays as it is. With len < 1 there is
 * no window until the next begin. */
void lookahead_begin(lookahead *l, const int32_t *context, int len);

/* The rows of a step, the current token's own (cell (0, 0) of the window) left out. Every row
 * attends to the KV cache, to the current token and to itself, which the mask does not say.
 * Arrays are borrowed until the next begin or update. In a text's first n - 2 steps there are
 * fewer rows; with w = 1 there are none in the first. */
typedef struct lookahead_rows {
  int n;                /* 0..LOOKAHEAD_ROWS_MAX */
  const int32_t *ids;   /* [n] */
  const int32_t *depth; /* [n] position minus the current token's: 1 or more */
  const uint64_t *mask; /* [n, LOOKAHEAD_MASK_WORDS] bit j of row i: it attends to row j (j < i) */
} lookahead_rows;

void lookahead_get_rows(lookahead *l, lookahead_rows *out);

/* Guesses for what follows the token, the most recently seen first. Returns how many (0..g);
 * *out[that, n - 1] are distinct, borrowed until the next lookahead_guesses. */
int lookahead_guesses(lookahead *l, int32_t token, const int32_t **out);

/* After a step with the rows that lookahead_get_rows gave. best[i] is the model's best token after
 * row i, current_best the one after the current token; accepted[n_accepted] (1 or more) are the
 * tokens that follow the current one in the text now, the last of them the new current token.
 * Takes the n-grams into the pool and moves the window. Borrows both during the call. */
void lookahead_update(lookahead *l, const int32_t *best, int32_t current_best,
                      const int32_t *accepted, int n_accepted);

#endif
