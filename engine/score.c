/* score.c - see score.h. */
#include "engine/score.h"

#include <math.h>

/* A device that has computed nonsense makes nothing likely. */
static float logprob(float logit, float logsumexp) {
  float p = logit - logsumexp;
  return p <= 0 ? p : -INFINITY;
}

static int find_logit(kernels *k, const kernels_result *r, int row, int vocab, int32_t id,
                      float *out) {
  const int32_t *top = r->top_ids + row * r->top_k;
  for (int i = 0; i < r->top_k; i++) {
    if (top[i] != id) continue;
    *out = r->top_logits[row * r->top_k + i];
    return KERNELS_OK;
  }
  if (r->logits == NULL) return kernels_logit(k, row, id, out);
  *out = r->logits[(size_t)row * (size_t)vocab + (size_t)id];
  return KERNELS_OK;
}

/* Token `at` was chosen after the row; row -1: by the caller, and there are no others. */
static void tell_others(score *s, int at, const kernels_result *r, int row, int32_t id) {
  int32_t *others = s->others + at * ENGINE_OTHERS;
  float *logprobs = s->other_logprobs + at * ENGINE_OTHERS;
  int n = 0;
  for (int i = 0; row >= 0 && i < r->top_k && n < ENGINE_OTHERS; i++) {
    if (r->top_ids[row * r->top_k + i] == id) continue;
    others[n] = r->top_ids[row * r->top_k + i];
    logprobs[n++] = logprob(r->top_logits[row * r->top_k + i], r->logsumexp[row]);
  }
  for (; n < ENGINE_OTHERS; n++) {
    others[n] = -1;
    logprobs[n] = -INFINITY;
  }
}

int score_step(score *s, kernels *k, const kernels_result *result, const score_path *path,
               engine_step *told) {
  for (int i = 0; i < told->n; i++) {
    int row = i == 0 ? 0 : 1 + path->nodes[i - 1];
    float logit;
    s->logprobs[i] = 0;
    if (!path->given[i]) {
      int rc = find_logit(k, result, row, path->vocab, told->ids[i], &logit);
      if (rc != KERNELS_OK) return rc;
      s->logprobs[i] = logprob(logit, result->logsumexp[row]);
    }
    tell_others(s, i, result, path->given[i] ? -1 : row, told->ids[i]);
  }
  told->logprobs = s->logprobs;
  told->others = s->others;
  told->other_logprobs = s->other_logprobs;
  return KERNELS_OK;
}
