/* prompt.h - the fill-in-the-middle prompt, within a budget of tokens.
 *
 * File level: <|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>. Repository level, where other
 * files have something to say, in front of it: <|repo_name|>R, and for each of them
 * <|file_sep|>path and text. What changes least comes first, and where the prefix begins
 * moves in coarse steps only, so that the KV cache serves from one request to the next. */
#ifndef FIMD_COMPLETION_PROMPT_H
#define FIMD_COMPLETION_PROMPT_H

#include "completion/memo.h"
#include "completion/settled.h"

#define COMPLETION__PROMPT_MIN 32 /* tokens; a smaller budget is refused */

typedef struct completion__prompt_request {
  const engine *engine;
  completion__memo *memo; /* NULL: none */
  completion__parser *parser;
  const completion__view *views; /* [n_views] the document asked about first */
  int n_views;
  completion__workspace *workspace; /* what files that are not open define; NULL: nothing */
  const completion__edits *edits;   /* NULL: none */
  completion__slice before, after; /* what the prompt is to stand between */
  int budget;                      /* tokens, all included */
  bool no_context;
  const atomic_bool *cancel;    /* may be NULL */
  completion__settled *settled; /* read and renewed; NULL: always from scratch */
} completion__prompt_request;

typedef struct completion__prompt {
  engine_tokens tokens; /* owned: completion__prompt_free */
  int pieces;           /* of the context that found room */
  completion__listed listed; /* owned: all of it */
  double context_ms;    /* of it, spent on finding the context */
} completion__prompt;

/* 0, COMPLETION_ENOMEM, COMPLETION_EUNFIT (the model has no FIM tokens), COMPLETION_EINVAL
 * (the budget is below COMPLETION__PROMPT_MIN) or COMPLETION_ECANCELLED. */
int completion__prompt_build(const completion__prompt_request *r, completion__prompt *out);
void completion__prompt_free(completion__prompt *p);

#endif
