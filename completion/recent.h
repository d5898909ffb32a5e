/* recent.h - finished answers, shown again where the text is again what it was.
 *
 * Deleting a character and typing it again, or going back and forth, should not make the model
 * think twice. An answer is found for every place within its own text: where its first bytes were
 * typed the rest is the answer, and what was shown of it then is shown on: polished anew behind the
 * typed brackets, it could change under the user's fingers. It is known again by all that it was
 * made from, compared byte by byte and not by a hash: the document's name, language and place in
 * the workspace, the text before the cursor and after it, the other documents, and the settings;
 * the model is that of the completion object. Texts are immutable snapshots, so keeping one costs
 * no copy, but its bytes; they are bounded, and the oldest answer makes room. Engine thread only. */
#ifndef FIMD_COMPLETION_RECENT_H
#define FIMD_COMPLETION_RECENT_H

#include "completion/reuse.h"

#define COMPLETION__RECENT_MAX 32
#define COMPLETION__RECENT_BYTES ((size_t)16 << 20) /* of texts and answers, all together */

/* What an answer is to be for. Borrowed. */
typedef struct completion__recent_key {
  const completion__view *views; /* [n_views] the document first */
  int n_views;
  size_t cursor; /* in its text */
  int budget;
  bool no_context;
  completion__reuse_terms terms;
} completion__recent_key;

typedef struct completion__answer {
  completion__slice text; /* borrowed */
  /* What is shown of it, and how many bytes after the cursor that replaces. Borrowed; s is NULL
   * where that is not known, or is not what was typed. */
  completion__slice shown;
  size_t absorb;
  completion__verdict verdict;
  int prompt_tokens, pieces; /* of the prompt that it came from */
} completion__answer;

typedef struct completion__recent_entry {
  char *uri;                /* owned */
  completion__text *text;   /* owned references, both */
  completion__place *place;
  size_t cursor;
  uint64_t others; /* a digest of the other documents' versions */
  int budget;
  bool no_context;
  completion__reuse_terms terms;
  completion__buffer written, shown; /* owned */
  completion__answer answer;
} completion__recent_entry;

/* The newest last. Zero-initialise. */
typedef struct completion__recent {
  completion__recent_entry entries[COMPLETION__RECENT_MAX]; /* [n] */
  int n;
  size_t bytes;
} completion__recent;

void completion__recent_clear(completion__recent *c); /* also frees */
/* *out is borrowed until the next call that is not this one. The answer that is found is the newest
 * then. */
bool completion__recent_find(completion__recent *c, const completion__recent_key *key,
                             completion__answer *out);
/* Copies. Where memory runs out, or a text is too large, it is not kept. */
void completion__recent_keep(completion__recent *c, const completion__recent_key *key,
                             const completion__answer *answer);

#endif
