/* context.h - what, beyond the text right around the cursor, the model should see.
 *
 * Pieces of the document itself that the prompt's window leaves out, of the other open documents,
 * and of files of the workspace that are not open (symbols.h), in this order of rank:
 *   1. scope       the heads of the scopes around the cursor, the innermost first
 *   2. import      the document's own imports
 *   3. referenced  signatures and small types whose names stand near the cursor: by how near and how
 *                  often, those of imported files before those of other open documents, and these
 *                  before files that are not open, their own folder first
 *      edited      the places where text was changed last, in any document (edits.h), among them by
 *                  SCORE_EDITED, less the older they are
 *      similar     the lines most like those around the cursor (similar.h), likewise by
 *                  SCORE_SIMILAR
 *   4. mentioned   types that the best of the referenced signatures name
 *   5. imported    what else imported open documents define
 * Pieces of equal score go by their files' names and places. So the order is a function of the
 * texts and of the order of edits alone: the same request gives the same prompt, in whatever order
 * files were opened or read. Engine thread only. */
#ifndef FIMD_COMPLETION_CONTEXT_H
#define FIMD_COMPLETION_CONTEXT_H

#include "completion/edits.h"
#include "completion/workspace.h"

#define COMPLETION__PIECES_MAX 64

typedef enum completion__why {
  COMPLETION__WHY_SCOPE, /* a scope around the cursor begins here */
  COMPLETION__WHY_IMPORT,
  COMPLETION__WHY_REFERENCED, /* its name stands near the cursor */
  COMPLETION__WHY_EDITED,     /* text was changed here lately */
  COMPLETION__WHY_SIMILAR,    /* it looks like the code around the cursor */
  COMPLETION__WHY_MENTIONED,  /* a type that a referenced signature names */
  COMPLETION__WHY_IMPORTED,   /* of a file whose name the document's imports mention */
} completion__why;
const char *completion__strwhy(completion__why why); /* "scope", ... */

typedef struct completion__piece {
  int view;               /* which of the views; 0 is the document asked about; -1: not open */
  const char *key;        /* the file: its path, or the document's uri; borrowed, as is all below */
  const char *path;       /* of it, as the prompt has it */
  completion__slice text; /* as it stands there */
  uint32_t start, end;    /* where, in bytes */
  int line;               /* likewise, from 0; -1: completion__context_lines finds it */
  const grammars_language *language;
  bool cut; /* a body is left out: closed as a declaration is */
  completion__why why;
  double score;
} completion__piece;

typedef struct completion__context {
  completion__piece pieces[COMPLETION__PIECES_MAX]; /* best first */
  int n;
  struct completion__store *store; /* owned: the texts of files that are not open */
} completion__context;

typedef struct completion__context_request {
  completion__parser *parser;
  const completion__view *views; /* [n_views] */
  int n_views;
  completion__workspace *workspace; /* NULL: none */
  const completion__edits *edits;   /* NULL: none */
  size_t offset;                    /* of the cursor in views[0] */
  size_t from, to;                  /* of its text, what the prompt shows */
  bool signatures_only; /* leave out what is edited and similar; the trees may be a little old */
  const atomic_bool *cancel;        /* may be NULL */
} completion__context_request;

/* Collects; *out is the caller's to free, whatever is returned. 0 or COMPLETION_ENOMEM. */
int completion__context_collect(const completion__context_request *r, completion__context *out);
void completion__context_free(completion__context *c);

/* Finds the pieces' lines. */
void completion__context_lines(const completion__view *views, completion__context *c);

/* Appends the piece as it stands in a prompt, ending with a line end. */
int completion__context_text(const completion__piece *piece, completion__buffer *out);

/* ---- context.c and signatures.c -------------------------------------------------------- */

typedef struct completion__collecting {
  const completion__context_request *r;
  completion__context *out;
} completion__collecting;

/* Puts the piece where it ranks; one with the same words, or inside another, stays out. Its path,
 * key, text and language are found by its view where it has one. */
void completion__context_add(completion__collecting *c, completion__piece piece);
/* The same for what is borrowed for the call only. */
void completion__context_add_copy(completion__collecting *c, completion__piece piece);
/* The signatures: referenced, mentioned, imported. 0 or COMPLETION_ENOMEM. */
int completion__context_signatures(completion__collecting *c);

#endif
