/* draft_places.c - the places that vote at a node: looked up by what leads to it, or its parent's,
 * followed by one token. */
#include "engine/draft_internal.h"

#define HOPS 24             /* places looked at for one length of context */
#define TOGETHER 4          /* candidates that are looked up at once */
#define OUTCOMES 32         /* of a step that are rehearsed */

/* Behind the first `fixed` ones nothing comes twice. */
static void add_cursor(draft_view *v, int fixed, const draft_cursor *c) {
  if (v->n_cursors == DRAFT_CURSORS) return;
  for (int i = 0; i < fixed; i++)
    if (v->cursors[i].next == c->next) return;
  v->cursors[v->n_cursors++] = *c;
}

static void look_in_window(drafter *d, int32_t last, draft_view *v) {
  const int32_t *guesses;
  int length = d->terms.guess_length;
  int count = lookahead_guesses(d->terms.window, last, &guesses);
  for (int i = 0; i < count; i++) {
    const int32_t *next = guesses + i * length;
    draft_cursor c = {next, *next, ENGINE_SOURCE_WINDOW, 1, (uint8_t)length};
    add_cursor(v, v->n_cursors, &c);
  }
}

/* The indexes that are asked: the session's, whose place is NULL, and the pool's. */
static int pick_indexes(const drafter *d, pool_index **out) {
  engine_pool *p = d->terms.pool;
  unsigned live = DRAFT_BIT(ENGINE_SOURCE_ACCEPTED) | DRAFT_BIT(ENGINE_SOURCE_FILE) |
                  DRAFT_BIT(ENGINE_SOURCE_OPEN);
  unsigned files = DRAFT_BIT(ENGINE_SOURCE_IMPORTED) | DRAFT_BIT(ENGINE_SOURCE_WORKSPACE);
  int n = 0;
  if (draft__uses(d, ENGINE_SOURCE_PROMPT)) out[n++] = NULL;
  if (p != NULL && (d->terms.sources & live)) out[n++] = &p->live;
  if (p != NULL && (d->terms.sources & files)) out[n++] = &p->workspace;
  return n;
}

/* One look-up in one index, up to `most` places in the workspace and half as many elsewhere. */
static ngrams_search search_of(drafter *d, pool_index *index, const int32_t *context,
                               int n, int hops, int most, ngrams_match *out) {
  bool workspace = d->terms.pool != NULL && index == &d->terms.pool->workspace;
  return (ngrams_search){.x = index != NULL ? &index->grams : &d->session, .context = context,
                         .len = n, .hops = hops, .max = workspace ? most : most / 2, .out = out};
}

/* Places of one index as the node's, behind `fixed` that it had before. */
static void add_matches(drafter *d, pool_index *index, const ngrams_match *found, int n,
                        int fixed, draft_view *v) {
  const int32_t *tokens = index != NULL ? index->grams.tokens : d->session.tokens;
  for (int i = 0; i < n && index != NULL; i++) pool__expect(index, found[i].place);
  for (int i = 0; i < n; i++) {
    engine_source source = ENGINE_SOURCE_PROMPT;
    if (index != NULL) source = pool__source(d->terms.pool, index, found[i].place);
    if (source == ENGINE_SOURCES || !draft__uses(d, source)) continue;
    const int32_t *next = tokens + found[i].place;
    draft_cursor c = {next, *next, (uint8_t)source, (uint8_t)found[i].length, 0};
    add_cursor(v, fixed, &c);
  }
}

/* The root's places. */
void draft__look_up(drafter *d, draft_view *v) {
  ngrams_match found[DRAFT_INDEXES][DRAFT_CURSORS];
  pool_index *index[DRAFT_INDEXES];
  ngrams_search s[DRAFT_INDEXES];
  int n = pick_indexes(d, index);
  for (int i = 0; i < n; i++)
    s[i] = search_of(d, index[i], d->context, d->n_context, HOPS, DRAFT_CURSORS, found[i]);
  ngrams_find_all(s, n, 1);
  if (d->terms.window != NULL && draft__uses(d, ENGINE_SOURCE_WINDOW))
    look_in_window(d, v->last, v);
  int fixed = v->n_cursors;
  for (int i = 0; i < n; i++) add_matches(d, index[i], found[i], s[i].n, fixed, v);
  d->counts.look_ups++;
}

/* Does the cursor go on with the token? */
static bool goes_on(const draft_cursor *c, int32_t id) {
  return c->id == id && (c->source != ENGINE_SOURCE_WINDOW || c->left > 1);
}

/* The parent's places that voted for the node's token, one further. */
void draft__follow(const draft_view *from, int32_t id, draft_view *v) {
  v->n_cursors = 0;
  for (int i = 0; i < from->n_cursors; i++) {
    const draft_cursor *c = &from->cursors[i];
    if (!goes_on(c, id)) continue;
    int length = c->length < NGRAMS_MATCH_MAX ? c->length + 1 : c->length;
    v->cursors[v->n_cursors++] = (draft_cursor){c->next + 1, c->next[1], c->source, (uint8_t)length,
                                          (uint8_t)(c->left > 0 ? c->left - 1 : 0)};
  }
}

/* Would the candidate as a node have so few places that it looks for more? */
static bool wants_more(const drafter *d, const draft_candidate *c) {
  const draft_view *from = &d->views->of[1 + c->parent];
  int n = 0, enough = d->thirst->fewer;
  if (c->chance < d->thirst->chance) return false;
  for (int i = 0; i < from->n_cursors && n < enough; i++) n += goes_on(&from->cursors[i], c->id);
  return n < enough;
}

/* The tokens that lead to what follows the candidate, at the end of out[DRAFT_CONTEXT]. */
static int context_of(const drafter *d, const draft_candidate *c, int32_t *out) {
  int n = 0;
  out[DRAFT_CONTEXT - ++n] = c->id;
  for (int at = c->parent; at != DRAFT_ROOT && n < DRAFT_CONTEXT; at = d->tree.parent[at])
    out[DRAFT_CONTEXT - ++n] = d->tree.ids[at];
  for (int i = d->n_context - 1; i >= 0 && n < DRAFT_CONTEXT; i--)
    out[DRAFT_CONTEXT - ++n] = d->context[i];
  return n;
}

/* Looks up the candidate's context, and together with it those of others that are next. */
static void look_ahead(drafter *d, draft_candidate *c) {
  int32_t context[TOGETHER][DRAFT_CONTEXT];
  ngrams_search s[TOGETHER * DRAFT_INDEXES];
  pool_index *index[DRAFT_INDEXES];
  int count = 0, n = pick_indexes(d, index), begin = d->n_aheads;
  for (int i = d->first - 1; i < d->end && count < TOGETHER; i++) {
    draft_candidate *other = i < d->first ? c : &d->waiting[i];
    if (other->chance < d->thirst->chance || (other != c && d->n_aheads > DRAFT_NODES_MAX)) break;
    if (other->ahead >= 0 || !wants_more(d, other)) continue;
    draft_ahead *a = &d->aheads[d->n_aheads];
    other->ahead = (int16_t)d->n_aheads++;
    int len = context_of(d, other, context[count]);
    for (int k = 0; k < n; k++)
      s[count * n + k] = search_of(d, index[k], context[count] + DRAFT_CONTEXT - len, len,
                                   d->thirst->hops, DRAFT_REFRESH_MOST, a->found[k]);
    count++;
  }
  ngrams_find_all(s, count * n, 1);
  for (int i = 0; i < count; i++)
    for (int k = 0; k < n; k++) d->aheads[begin + i].n[k] = s[i * n + k].n;
  d->counts.look_ups += count;
}

/* More places for the candidate, which is a node now and has few. */
void draft__refresh(drafter *d, draft_candidate *c, draft_view *v) {
  pool_index *index[DRAFT_INDEXES];
  int n = pick_indexes(d, index), fixed = v->n_cursors;
  if (c->ahead < 0) look_ahead(d, c);
  const draft_ahead *a = &d->aheads[c->ahead];
  for (int k = 0; k < n; k++) add_matches(d, index[k], a->found[k], a->n[k], fixed, v);
}

/* The likeliest tokens that are not in the tree: one of them may be what the step ends with. */
static int list_outcomes(const drafter *d, draft_candidate *out) {
  const draft_tree *t = &d->tree;
  int n = 0;
  for (int i = t->n; i < d->counts.nodes && n < OUTCOMES; i++) /* given up again */
    out[n++] = (draft_candidate){t->chance[i], t->ids[i], (int16_t)t->parent[i], -1};
  for (int i = d->first; i < d->end && n < OUTCOMES; i++) out[n++] = d->waiting[i];
  return n;
}

void drafter_rehearse(drafter *d) {
  draft_candidate outcome[OUTCOMES];
  int32_t context[DRAFT_CONTEXT];
  ngrams_match found[DRAFT_INDEXES][DRAFT_CURSORS];
  pool_index *index[DRAFT_INDEXES];
  ngrams_search s[DRAFT_INDEXES];
  if (d->n_context == 0 || d->terms.most < 1 || d->terms.depth < 1) return; /* nothing was built */
  int n = pick_indexes(d, index), all = list_outcomes(d, outcome);
  for (int i = 0; i < all; i++) {
    int len = context_of(d, &outcome[i], context);
    for (int k = 0; k < n; k++)
      s[k] = search_of(d, index[k], context + DRAFT_CONTEXT - len, len, HOPS, DRAFT_CURSORS,
                       found[k]);
    if (d->terms.pool != NULL) pool__lock(d->terms.pool);
    ngrams_find_all(s, n, 1);
    for (int k = 0; k < n; k++)
      for (int m = 0; m < s[k].n && index[k] != NULL; m++)
        pool__expect(index[k], found[k][m].place);
    if (d->terms.pool != NULL) pool__unlock(d->terms.pool);
    recycle_expect(&d->recycled, context[DRAFT_CONTEXT - 2], outcome[i].id);
  }
}
