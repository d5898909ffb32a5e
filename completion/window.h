/* window.h - how much of a text fits a number of tokens, and where its last token begins. */
#ifndef FIMD_COMPLETION_WINDOW_H
#define FIMD_COMPLETION_WINDOW_H

#include "completion/memo.h"

typedef struct completion__tokenizer {
  const engine *engine;
  completion__memo *memo; /* NULL: nothing is remembered */
} completion__tokenizer;

/* Appends the tokens of a user's text: no special ones. 0 or a completion_status. */
int completion__window_tokenize(completion__tokenizer e, completion__slice t, engine_tokens *out);
/* How many tokens, or a negative completion_status. */
int completion__window_count(completion__tokenizer e, completion__slice t);

/* The longest start of a text within the budget, whole lines where there is one: *end. Returns
 * its tokens or a negative completion_status. */
int completion__window_after(completion__tokenizer e, completion__slice after, int budget,
                             size_t *end);

/* Where the last part of a text begins that fits the budget: at its start, else at a line
 * whose number is a multiple of a coarse grid (so that it rarely moves), else at a line, else
 * inside the last line: *start. Returns its tokens or a negative completion_status. */
int completion__window_before(completion__tokenizer e, completion__slice before, int budget,
                              size_t *start);

/* How many bytes at the end of a line's text stand in a token that may not be complete, as the
 * Qwen2 pre-tokenizer splits: letters with the blank or mark before them, a run of marks, a
 * run of blanks. The model goes on better from before them, if what it writes is made to
 * begin with them. */
size_t completion__window_heal(completion__slice line);

#endif
