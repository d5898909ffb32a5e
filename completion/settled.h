/* settled.h - what the last prompt of a document was made of, kept while it is still right.
 *
 * Line by line the ranking of the context changes a little, and each change in front of the
 * prefix would throw the whole KV cache away. So the pieces that were chosen, and the place
 * where the prefix begins, stay as they are until they are wrong (a text changed), too large
 * or too small, or lack one of the pieces that matter most now. Similar code and edited places are
 * looked for only when the rest is chosen anew. Engine thread only. */
#ifndef FIMD_COMPLETION_SETTLED_H
#define FIMD_COMPLETION_SETTLED_H

#include "completion/context.h"
#include "engine/engine.h"

#define COMPLETION__SAMPLE 64 /* bytes by which the start of the prefix is known again */

/* What was found, chosen or not, as the outside is told. Owned. */
typedef struct completion__listed {
  completion_piece *pieces; /* [n]; their paths lie behind them */
  int n;
} completion__listed;

/* Empty where memory runs out. */
completion__listed completion__listed_make(const completion__context *context, const bool *chosen);
completion__listed completion__listed_copy(const completion__listed *l);
void completion__listed_free(completion__listed *l);

typedef struct completion__settled {
  completion__document *document; /* owned reference; NULL: nothing here */
  int budget;
  bool no_context;
  completion__document *others[COMPLETION__PIECES_MAX]; /* [n_others] owned references */
  completion__text *texts[COMPLETION__PIECES_MAX];      /* [n_others] likewise: what was read */
  int n_others;
  completion__buffer
      raw[COMPLETION__PIECES_MAX];  /* [n] owned: the pieces as they stand in a text */
  bool own[COMPLETION__PIECES_MAX]; /* [n] of the document itself */
  size_t at[COMPLETION__PIECES_MAX]; /* [n] where it stood last */
  /* [n] owned: the path of a file that is not open, or NULL */
  char *closed[COMPLETION__PIECES_MAX];
  int n;
  completion__listed listed; /* owned */
  engine_tokens repository; /* owned: the prompt up to <|fim_prefix|> */
  completion__buffer head;  /* owned: the prefix up to its window */
  size_t text_len;          /* of the document's text when it was last looked at */
  size_t from;              /* where the window begins */
  char sample[COMPLETION__SAMPLE];
  size_t n_sample;
} completion__settled;

void completion__settled_clear(completion__settled *s); /* also frees */

/* Are the document, its budget, all texts and pieces, and the start of the window as they were? */
bool completion__settled_holds(completion__settled *s, const completion__view *views, int n_views,
                               completion__workspace *workspace, int budget, bool no_context,
                               completion__slice before);

/* Are the pieces that matter most now, of those that stand outside [from, to), among it? */
bool completion__settled_has_best(const completion__settled *s, const completion__context *context);

/* Starts anew for the document with what the pieces chosen[context->n] say, and leaves
 * repository, head and from to the caller. False: out of memory, and nothing is kept. */
bool completion__settled_begin(completion__settled *s, const completion__view *views, int budget,
                               bool no_context, const completion__context *context,
                               const bool *chosen, completion__slice before, size_t from);

#endif
