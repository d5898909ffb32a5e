/* memo.h - the tokens of lines, remembered.
 *
 * A prompt is tokenized several times over while it is fitted into its budget, and again at the
 * next keystroke, though hardly any of its lines have changed. The tokenizer's own pattern ends a
 * token where a line begins that is not blank, so the tokens of a text are those of its pieces that
 * begin there, one after another; each piece is looked up by its bytes. What is remembered has a
 * fixed number of places, and a newer piece takes the place of an older one. Engine thread only. */
#ifndef FIMD_COMPLETION_MEMO_H
#define FIMD_COMPLETION_MEMO_H

#include "completion/text.h"
#include "engine/engine.h"

#define COMPLETION__MEMO_PLACES 4096 /* a power of two */
#define COMPLETION__MEMO_BYTES 512   /* longer pieces are not kept */

/* Zero-initialise. */
typedef struct completion__memo {
  struct completion__memo_piece *places[COMPLETION__MEMO_PLACES]; /* owned */
} completion__memo;

void completion__memo_clear(completion__memo *m); /* also frees */

/* Appends the tokens of a user's text, as completion__window_tokenize does, and returns how many,
 * or a negative completion_status. out NULL: only counts. m NULL: nothing is remembered. */
int completion__memo_tokenize(completion__memo *m, const engine *e, completion__slice t,
                              engine_tokens *out);

#endif
