/* score.h - how likely the model found what came, and what else it thought of. Private to engine/.
 *
 * All of it follows from what a step brings anyway (the best few logits) and one number a row, the
 * logarithm of the sum over the vocabulary; where the token that came is not among the best, its
 * logit is fetched. A row's numbers are the same bits in every step that computes it, so guesses
 * change no probability. */
#ifndef FIMD_ENGINE_SCORE_H
#define FIMD_ENGINE_SCORE_H

#include "engine/cost.h"
#include "engine/engine.h"
#include "kernels/kernels.h"

#define SCORE_TOKENS (COST_ROWS_MAX + 1)
/* Of the best logits a step must bring: the chosen one may be one of them. */
#define SCORE_TOP_K (ENGINE_OTHERS + 1)

/* As engine_step says it. */
typedef struct score {
  float logprobs[SCORE_TOKENS];
  int32_t others[SCORE_TOKENS * ENGINE_OTHERS];
  float other_logprobs[SCORE_TOKENS * ENGINE_OTHERS];
} score;

/* How a step's n tokens came. */
typedef struct score_path {
  const int *nodes;  /* [n - 1] of the tree: token i + 1 was chosen after row 1 + nodes[i] */
  const bool *given; /* [n] the caller chose it */
  int vocab;
} score_path;

/* Adds to *told, whose ids[n] are there, what *s is filled with. result: of the step that `k` has
 * just ended, with logsumexp. 0 or a negative kernels_status. */
int score_step(score *s, kernels *k, const kernels_result *result, const score_path *path,
               engine_step *told);

#endif
