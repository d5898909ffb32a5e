/* draft_votes.c - votes of one kind share a weight: which kinds there are, what they weigh, and how
 * the weights learn from the tokens that come. */
#include "engine/draft_internal.h"

#include <math.h>
#include <string.h>

#define RATE 0.2f    /* of learning */
#define UNSEEN 1e-4f /* share of a token that nobody voted for in the weight of "none" */
#define BIG 6.0f     /* weights stay within exp(-BIG)..exp(BIG) */

/* ---- kinds ----------------------------------------------------------------------------- */

static int length_class(int length) {
  static const uint8_t of[] = {0, 0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6};
  return length >= 15 ? DRAFT_NO_CONTEXT - 1 : of[length];
}

static int count_class(int votes) { return votes >= 4 ? 2 : votes >= 2 ? 1 : 0; }

static int kind_of(int source, int length, int votes, bool agreed) {
  return ((source * DRAFT_LENGTHS + length) * DRAFT_COUNTS + count_class(votes)) * 2 + agreed;
}

void draft__default_weights(drafter *d) {
  static const float trust[ENGINE_SOURCES] = {0.3f, 0.5f, 0.0f, 0.3f, -0.3f, 0.3f, 0.5f, 0.0f};
  for (int s = 0; s < ENGINE_SOURCES; s++)
    for (int l = 0; l < DRAFT_LENGTHS; l++)
      for (int c = 0; c < DRAFT_COUNTS; c++)
        for (int a = 0; a < 2; a++)
          d->log_weight[((s * DRAFT_LENGTHS + l) * DRAFT_COUNTS + c) * 2 + a] =
              trust[s] + 0.7f * (float)l - 1.0f + (a ? 0.3f + 0.2f * (float)c : 0.0f);
  d->log_weight[kind_of(ENGINE_SOURCE_PROMPT, DRAFT_NO_CONTEXT, 1, false)] = -0.7f;
  for (int k = 0; k < DRAFT_KINDS; k++) d->weight[k] = expf(d->log_weight[k]);
}

/* Groups of equal kinds, from the view's cursors. of[i]: the group of cursor i, or -1. */
int draft__make_groups(const drafter *d, const draft_view *v, draft_group *groups, int8_t *of) {
  uint8_t at[ENGINE_SOURCES * DRAFT_LENGTHS] = {0}; /* 1 + a kind's group */
  int n = 0;
  for (int i = 0; i < v->n_cursors; i++) {
    const draft_cursor *c = &v->cursors[i];
    int length = length_class(c->length), cell = c->source * DRAFT_LENGTHS + length;
    of[i] = -1;
    if (c->id == NGRAMS_BORDER) continue;
    if (at[cell] == 0) {
      groups[n++] = (draft_group){.source = c->source, .length = (uint8_t)length, .agreed = true,
                            .token = c->id};
      at[cell] = (uint8_t)n;
    }
    draft_group *g = &groups[at[cell] - 1];
    g->votes++;
    g->agreed = g->agreed && g->token == c->id;
    of[i] = (int8_t)(at[cell] - 1);
  }
  for (int g = 0; g < n; g++) {
    groups[g].kind = (short)kind_of(groups[g].source, groups[g].length, groups[g].votes,
                                    groups[g].agreed);
    groups[g].weight = d->weight[groups[g].kind];
    groups[g].share = groups[g].weight / groups[g].votes;
  }
  return n;
}

/* What else is guessed after a node: the model's recycled predictions, and what stood near the
 * cursor. Returns how many opinions. */
int draft__hear(const drafter *d, const draft_views *all, const draft_view *v, draft_opinion *out) {
  const recycle_entry *entry[2] = {NULL, NULL};
  int n = 0;
  if (draft__uses(d, ENGINE_SOURCE_RECYCLED)) {
    entry[0] = recycle_after(&d->recycled, v->last);
    entry[1] = recycle_after_two(&d->recycled, v->before, v->last);
  }
  for (int i = 0; i < 2; i++) {
    if (entry[i] == NULL) continue;
    float top = entry[i]->share[0]; /* how sure the model was */
    int sure = i * 4 + (top > 0.9f ? 3 : top > 0.6f ? 2 : top > 0.3f);
    out[n].kind = (short)kind_of(ENGINE_SOURCE_RECYCLED, sure, 1, false);
    out[n].ids = entry[i]->ids;
    out[n].share = entry[i]->share;
    out[n].most = top;
    for (out[n].n = 0; out[n].n < RECYCLE_WIDTH && entry[i]->ids[out[n].n] >= 0;) out[n].n++;
    n++;
  }
  if (v->recent) {
    out[n].kind = (short)kind_of(ENGINE_SOURCE_PROMPT, DRAFT_NO_CONTEXT, 1, false);
    out[n].ids = all->recent;
    out[n].share = all->recent_share;
    out[n].most = all->recent_most;
    out[n++].n = all->n_recent;
  }
  for (int i = 0; i < n; i++) out[i].weight = d->weight[out[i].kind];
  return n;
}

/* ---- learning -------------------------------------------------------------------------- */

static void teach(drafter *d, int kind, float gradient) {
  float w = d->log_weight[kind] + RATE * gradient;
  d->log_weight[kind] = w > BIG ? BIG : w < -BIG ? -BIG : w;
  d->weight[kind] = expf(d->log_weight[kind]);
}

/* One step up the gradient of log(chance of id) in the logarithms of the weights. */
static void learn_at(drafter *d, const draft_views *from, const draft_view *v, int32_t id) {
  draft_group groups[DRAFT_GROUPS];
  draft_opinion opinions[DRAFT_OPINIONS];
  int8_t of[DRAFT_CURSORS];
  float share[DRAFT_GROUPS] = {0}, held[DRAFT_OPINIONS] = {0}, all = 1, mine = UNSEEN;
  int n = draft__make_groups(d, v, groups, of), n_opinions = draft__hear(d, from, v, opinions);
  for (int i = 0; i < v->n_cursors; i++)
    if (of[i] >= 0 && v->cursors[i].id == id) share[of[i]] += 1.0f / groups[of[i]].votes;
  for (int g = 0; g < n; g++) {
    all += groups[g].weight;
    mine += groups[g].weight * share[g];
  }
  for (int k = 0; k < n_opinions; k++) {
    const draft_opinion *o = &opinions[k];
    for (int i = 0; i < o->n; i++)
      if (o->ids[i] == id) held[k] = o->share[i];
    all += o->weight;
    mine += o->weight * held[k];
  }
  for (int g = 0; g < n; g++)
    teach(d, groups[g].kind, groups[g].weight * (share[g] / mine - 1 / all));
  for (int k = 0; k < n_opinions; k++)
    teach(d, opinions[k].kind, opinions[k].weight * (held[k] / mine - 1 / all));
}

void drafter_learn(drafter *d, const int32_t *tokens, const int *path, int n) {
  drafter_settle(d);
  if (d->n_context == 0 || d->terms.most < 1 || d->terms.depth < 1) return; /* nothing was built */
  draft_lesson *l = &d->lesson;
  l->views = d->views;
  l->n = n;
  memcpy(l->tokens, tokens, (size_t)n * sizeof *tokens);
  memcpy(l->path, path, (size_t)(n - 1) * sizeof *path);
}

void drafter_settle(drafter *d) {
  const draft_lesson *l = &d->lesson;
  if (l->views == NULL) return;
  for (int i = 0; i < l->n; i++) {
    int node = i == 0 ? DRAFT_ROOT : l->path[i - 1];
    learn_at(d, l->views, &l->views->of[1 + node], l->tokens[i]);
  }
  d->lesson.views = NULL;
}

void drafter_saw(drafter *d, int32_t before, int32_t last, const int32_t *ids,
                 const float *logits, int n) {
  recycle_learn(&d->recycled, before, last, ids, logits, n);
}
