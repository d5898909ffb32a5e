/* context.h - what, beyond the text right around the cursor, the model should see.
 *
 * Pieces of the document itself that the prompt's window leaves out (the heads of the scopes
 * around the cursor, the imports, signatures of what is referenced nearby) and signatures of
 * the other open documents. Ranked; the order is a function of the texts alone, so that the
 * same request gives the same prompt. Engine thread only. */
#ifndef FIMD_COMPLETION_CONTEXT_H
#define FIMD_COMPLETION_CONTEXT_H

#include "completion/syntax.h"

#define COMPLETION__PIECES_MAX 64

typedef enum completion__why {
  COMPLETION__WHY_SCOPE, /* a scope around the cursor begins here */
  COMPLETION__WHY_IMPORT,
  COMPLETION__WHY_REFERENCED, /* its name stands near the cursor */
  COMPLETION__WHY_IMPORTED,   /* of a file whose name the document's imports mention */
} completion__why;

typedef struct completion__piece {
  int view;            /* which of the views; 0 is the document asked about */
  uint32_t start, end; /* bytes of its text */
  bool cut;            /* a body is left out: closed as a declaration is */
  completion__why why;
  double score;
} completion__piece;

typedef struct completion__context {
  completion__piece pieces[COMPLETION__PIECES_MAX]; /* best first */
  int n;
} completion__context;

/* Collects for a cursor at `offset` of views[0], of which the prompt shows [from, to). */
int completion__context_collect(completion__parser *p, const completion__view *views, int n_views,
                                size_t offset, size_t from, size_t to, const atomic_bool *cancel,
                                completion__context *out);

/* Appends the piece as it stands in a prompt, ending with a line end. */
int completion__context_text(const completion__view *views, const completion__piece *piece,
                             completion__buffer *out);

#endif
