/* reuse.h - what one request leaves for the next, so that a keystroke costs a few tokens.
 *
 * The prompt stays anchored where a burst of typing began, as long as the text before the
 * anchor and after the cursor stays as it was; what was typed since is fed after
 * <|fim_middle|>, as if the model had written it, and so everything before it is in the KV
 * cache already. Where the typed text agrees with what was generated, the rest of that is the
 * answer, or if it was cut short the start of it. One anchor, as there is one KV cache.
 * Engine thread only. */
#ifndef FIMD_COMPLETION_REUSE_H
#define FIMD_COMPLETION_REUSE_H

#include "completion/document.h"
#include "completion/prompt.h"

#define COMPLETION__TYPED_BYTES 256 /* more than this after the anchor moves it */
#define COMPLETION__TYPED_TOKENS 64

/* What a prompt and its answer depend on besides the text. */
typedef struct completion__reuse_key {
  completion__document *document; /* borrowed */
  int budget;
  bool no_context;
} completion__reuse_key;

/* What an answer depends on besides the prompt. */
typedef struct completion__reuse_terms {
  completion_mode mode;
  int max_tokens, max_lines;
  float temperature, top_p;
  uint64_t seed;
  bool no_gate, no_polish;
} completion__reuse_terms;

/* What was decided about an answer. */
typedef struct completion__verdict {
  completion_stop stop;
  completion_quiet quiet; /* COMPLETION_QUIET_BROKEN where that is why nothing was kept */
  bool gated;             /* the grammar was asked: */
  int errors;             /* it finds with the answer, less those without */
  int cut;                /* bytes that it took away */
  bool unjudged;          /* it had no time to say anything, */
  bool hurried;           /* or none for all that it should have been asked */
  double confidence;      /* geometric mean of the tokens' probabilities; 0: not known */
} completion__verdict;

bool completion__reuse_same_terms(const completion__reuse_terms *a,
                                  const completion__reuse_terms *b);

typedef struct completion__reuse {
  completion__reuse_key key;        /* the document is an owned reference; NULL: nothing here */
  completion__buffer before, after; /* of the anchor */
  completion__prompt prompt;
  /* The last answer: */
  bool answered, complete;
  completion__reuse_terms terms;
  completion__buffer typed; /* between anchor and cursor */
  completion__buffer text;  /* generated; where complete, as far as it was kept */
  completion__verdict verdict; /* where complete */
  engine_tokens middle;     /* where not complete: the tokens of typed and text */
} completion__reuse;

void completion__reuse_clear(completion__reuse *r); /* also frees */

/* True where the anchor serves for a cursor between `before` and `after`; *typed is then how
 * many bytes at the end of `before` stand after the anchor. */
bool completion__reuse_fits(const completion__reuse *r, const completion__reuse_key *key,
                            completion__slice before, completion__slice after, size_t *typed);

/* Anchors the prompt (handed over on success) between `before` and `after`. */
int completion__reuse_anchor(completion__reuse *r, const completion__reuse_key *key,
                             completion__slice before, completion__slice after,
                             completion__prompt *prompt);

typedef enum completion__agreement {
  COMPLETION__DISAGREES = 0,
  COMPLETION__AGREES_DONE,   /* the rest is the answer */
  COMPLETION__AGREES_SO_FAR, /* the rest is the start of the answer: go on from `middle` */
} completion__agreement;

/* Does the last answer, on the same terms, begin with what was typed? *rest: borrowed. */
completion__agreement completion__reuse_agrees(const completion__reuse *r,
                                               const completion__reuse_terms *terms,
                                               completion__slice typed, completion__slice *rest);

/* Keeps an answer; middle is handed over (emptied). Out of memory: keeps none. */
void completion__reuse_keep(completion__reuse *r, const completion__reuse_terms *terms,
                            completion__slice typed, completion__slice text, bool complete,
                            const completion__verdict *verdict, engine_tokens *middle);

#endif
