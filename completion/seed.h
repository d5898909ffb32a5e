/* seed.h - a document's tokens in the n-gram pool, kept up with its edits.
 *
 * A text is tokenized in pieces that begin with a line that is not blank: the tokenizer's own
 * pattern ends a token there, so an edit needs only the pieces that it touches to be tokenized
 * again. Lines with a secret (secrets.h) are left out. Engine thread only. */
#ifndef FIMD_COMPLETION_SEED_H
#define FIMD_COMPLETION_SEED_H

#include "completion/document.h"

typedef struct completion__seed completion__seed;

/* Brings the pool up to the text; *seed is made where it is NULL. 0 or COMPLETION_ENOMEM, and then
 * the document is not in the pool (until the next sync). The pool is borrowed until delete. */
int completion__seed_sync(completion__seed **seed, engine_pool *pool, const engine *e,
                          completion__text *text);
/* Takes the document out of the pool. Any thread. NULL is a no-op. */
void completion__seed_delete(completion__seed *s);
/* The document's id in the pool. */
int64_t completion__seed_id(const completion__seed *s);

#endif
