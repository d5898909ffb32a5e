/* draft.c - votes, their weights, and the tree that is built of them. */
#include "engine/draft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

#define CURSORS 40          /* places that a node follows */
#define REFRESH 6           /* a node with fewer looks for more */
#define REFRESH_CHANCE 0.03f /* if it is likely enough to be worth that */
#define HOPS 24             /* places looked at for one length of context */
#define REFRESH_HOPS 8      /* the same, below the root */
#define REFRESH_MOST 24
#define KEPT 96             /* tokens before the cursor that may come again after any other */
#define RECENT 48           /* different ones of them */
#define RECENT_CHANCE 0.1f  /* of a node after which that is worth while */
#define LENGTHS 9           /* classes of agreement: 1, 2, 3, 4, 5-6, 7-9, 10-14, more; and none */
#define NO_CONTEXT (LENGTHS - 1)
#define COUNTS 3            /* votes: 1, 2-3, more */
#define KINDS (ENGINE_SOURCES * LENGTHS * COUNTS * 2)
#define GROUPS 40           /* kinds that one node may meet */
#define TOKENS 128          /* different tokens that are voted for at one node */
#define RATE 0.2f           /* of learning */
#define ALLOWED_SHARE 0.8f  /* of the tokens that are guessed among those that are allowed */
#define UNSEEN 1e-4f        /* share of a token that nobody voted for in the weight of "none" */
#define BIG 6.0f            /* weights stay within exp(-BIG)..exp(BIG) */

static const int session_levels[] = {1, 2, 4};
enum { N_SESSION_LEVELS = 3 };

typedef struct cursor {
  const int32_t *next; /* where it votes from; in an index, so only while the pool is locked */
  int32_t id;          /* what it votes for: stays */
  uint8_t source, length, left; /* left: tokens before its end, where that is no border */
} cursor;

typedef struct group {
  short kind;  /* with count and unanimity, once both are known */
  uint8_t source, length, votes;
  bool agreed;
  int32_t token; /* the first one voted for */
  float weight;
} group;

/* What is known at a node: the votes, as it was built. */
typedef struct view {
  cursor cursors[CURSORS];
  int n_cursors;
  int32_t before, last;
  bool recent; /* what stood near the cursor was among the guesses */
} view;

/* Guesses that come with shares of their own. */
typedef struct opinion {
  short kind;
  float weight;
  const int32_t *ids; /* [n] */
  const float *share; /* [n] */
  int n;
} opinion;

#define OPINIONS 3

typedef struct candidate {
  float chance;
  int parent;
  int32_t id;
} candidate;

struct drafter {
  const engine *engine;
  ngrams session; /* of the tokens, one place each, after the border at 0 */
  int n_text;
  int32_t *text; /* [text_capacity] owned: the tokens */
  int text_capacity;
  int32_t context[2 * KEPT]; /* its last n_context are what leads to the cursor */
  int n_context;
  int32_t recent[RECENT]; /* [n_recent] different tokens of it */
  float recent_share[RECENT];
  int n_recent;
  recycle recycled;
  float log_weight[KINDS], weight[KINDS]; /* the second is exp of the first */

  /* Of the last tree. */
  draft_terms terms;
  draft_tree tree;
  view *views; /* [1 + DRAFT_NODES_MAX] owned: the root's, and each node's */
  candidate waiting[DRAFT_NODES_MAX]; /* from first to end: likeliest first */
  int first, end;
};

/* ---- life ------------------------------------------------------------------------------ */

static int length_class(int length) {
  static const uint8_t of[] = {0, 0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6};
  return length >= 15 ? NO_CONTEXT - 1 : of[length];
}

static int count_class(int votes) { return votes >= 4 ? 2 : votes >= 2 ? 1 : 0; }

static int kind_of(int source, int length, int votes, bool agreed) {
  return ((source * LENGTHS + length) * COUNTS + count_class(votes)) * 2 + agreed;
}

static void default_weights(drafter *d) {
  static const float trust[ENGINE_SOURCES] = {0.3f, 0.5f, 0.0f, 0.3f, -0.3f, 0.3f, 0.5f, 0.0f};
  for (int s = 0; s < ENGINE_SOURCES; s++)
    for (int l = 0; l < LENGTHS; l++)
      for (int c = 0; c < COUNTS; c++)
        for (int a = 0; a < 2; a++)
          d->log_weight[((s * LENGTHS + l) * COUNTS + c) * 2 + a] =
              trust[s] + 0.7f * (float)l - 1.0f + (a ? 0.3f + 0.2f * (float)c : 0.0f);
  d->log_weight[kind_of(ENGINE_SOURCE_PROMPT, NO_CONTEXT, 1, false)] = -0.7f;
  for (int k = 0; k < KINDS; k++) d->weight[k] = expf(d->log_weight[k]);
}

int drafter_new(drafter **out, const engine *e) {
  *out = NULL;
  drafter *d = calloc(1, sizeof *d);
  if (d == NULL) return ENGINE_ENOMEM;
  d->engine = e;
  d->views = malloc((1 + DRAFT_NODES_MAX) * sizeof *d->views);
  int rc = d->views == NULL ? ENGINE_ENOMEM : ENGINE_OK;
  if (rc == ENGINE_OK) rc = ngrams_init(&d->session, session_levels, N_SESSION_LEVELS);
  if (rc == ENGINE_OK) rc = recycle_init(&d->recycled, engine_get_info(e)->vocab);
  if (rc != ENGINE_OK) {
    drafter_delete(d);
    return rc;
  }
  default_weights(d);
  *out = d;
  return ENGINE_OK;
}

void drafter_delete(drafter *d) {
  if (d == NULL) return;
  ngrams_free(&d->session);
  recycle_free(&d->recycled);
  free(d->text);
  free(d->views);
  free(d);
}

/* ---- the text -------------------------------------------------------------------------- */

static int32_t indexed(const drafter *d, int32_t id) {
  return engine_token_is_special(d->engine, id) ? NGRAMS_BORDER : id;
}

static int reserve_text(drafter *d, int n) {
  int rc = ngrams_reserve(&d->session, (uint32_t)n + 64);
  if (rc != ENGINE_OK || n <= d->text_capacity) return rc;
  int capacity = n + n / 2 + 256;
  int32_t *grown = realloc(d->text, (size_t)capacity * sizeof *grown);
  if (grown == NULL) return ENGINE_ENOMEM;
  d->text = grown;
  d->text_capacity = capacity;
  return ENGINE_OK;
}

static void add_context(drafter *d, const int32_t *ids, int n) {
  for (int i = n > KEPT ? n - KEPT : 0; i < n; i++) {
    if (d->n_context == 2 * KEPT) {
      memmove(d->context, d->context + KEPT, KEPT * sizeof *d->context);
      d->n_context = KEPT;
    }
    d->context[d->n_context++] = indexed(d, ids[i]);
  }
}

/* What leads to the cursor: the prefix, and what was written after <|fim_middle|>. */
static void find_context(drafter *d, const int32_t *tokens, int n) {
  const engine_special *s = &engine_get_info(d->engine)->special;
  int middle = n - 1, suffix, from = 0;
  d->n_context = 0;
  while (s->fim_middle >= 0 && middle >= 0 && tokens[middle] != s->fim_middle) middle--;
  if (s->fim_middle < 0 || middle < 0) {
    add_context(d, tokens, n);
    return;
  }
  for (suffix = middle; suffix > 0 && tokens[suffix] != s->fim_suffix;) suffix--;
  for (from = suffix; from > 0 && tokens[from - 1] != s->fim_prefix;) from--;
  add_context(d, tokens + from, suffix - from);
  add_context(d, tokens + middle + 1, n - middle - 1);
}

int drafter_begin(drafter *d, const int32_t *tokens, int n) {
  int same = 0, rc = reserve_text(d, n);
  if (rc != ENGINE_OK) return rc;
  while (same < n && same < d->n_text && d->text[same] == tokens[same]) same++;
  ngrams_truncate(&d->session, 1 + (uint32_t)same);
  for (int i = same; i < n; i++) ngrams_push(&d->session, indexed(d, tokens[i]));
  memcpy(d->text + same, tokens + same, (size_t)(n - same) * sizeof *tokens);
  d->n_text = n;
  find_context(d, tokens, n);
  d->tree.n = 0;
  return ENGINE_OK;
}

int drafter_push(drafter *d, const int32_t *ids, int n) {
  int rc = reserve_text(d, d->n_text + n);
  if (rc != ENGINE_OK) return rc;
  for (int i = 0; i < n; i++) ngrams_push(&d->session, indexed(d, ids[i]));
  memcpy(d->text + d->n_text, ids, (size_t)n * sizeof *ids);
  d->n_text += n;
  add_context(d, ids, n);
  return ENGINE_OK;
}

int32_t drafter_before(const drafter *d) {
  return d->n_context > 1 ? d->context[d->n_context - 2] : -1;
}

/* ---- votes ----------------------------------------------------------------------------- */

static bool uses(const drafter *d, engine_source source) {
  return (d->terms.sources & DRAFT_BIT(source)) != 0;
}

static void add_cursor(view *v, const int32_t *next, engine_source source, int length, int left) {
  if (v->n_cursors == CURSORS) return;
  for (int i = 0; i < v->n_cursors; i++)
    if (v->cursors[i].next == next) return;
  v->cursors[v->n_cursors++] = (cursor){next, *next, (uint8_t)source, (uint8_t)length,
                                        (uint8_t)left};
}

static void look_in_index(drafter *d, const pool_index *x, const int32_t *context, int n,
                          int hops, int max, view *v) {
  ngrams_match found[CURSORS];
  int count = ngrams_find(&x->grams, context, n, 1, hops, found, max);
  for (int i = 0; i < count; i++) {
    engine_source source = pool__source(d->terms.pool, x, found[i].place);
    if (source == ENGINE_SOURCES || !uses(d, source)) continue;
    add_cursor(v, x->grams.tokens + found[i].place, source, found[i].length, 0);
  }
}

static void look_in_session(drafter *d, const int32_t *context, int n, int hops, int max, view *v) {
  ngrams_match found[CURSORS];
  int count = ngrams_find(&d->session, context, n, 1, hops, found, max);
  for (int i = 0; i < count; i++)
    add_cursor(v, d->session.tokens + found[i].place, ENGINE_SOURCE_PROMPT, found[i].length, 0);
}

static void look_in_window(drafter *d, int32_t last, view *v) {
  const int32_t *guesses;
  int length = d->terms.guess_length;
  int count = lookahead_guesses(d->terms.window, last, &guesses);
  for (int i = 0; i < count; i++)
    add_cursor(v, guesses + i * length, ENGINE_SOURCE_WINDOW, 1, length);
}

/* Fills a node's places by its context[n]. */
static void look_up(drafter *d, const int32_t *context, int n, bool root, view *v) {
  const engine_pool *p = d->terms.pool;
  unsigned live = DRAFT_BIT(ENGINE_SOURCE_ACCEPTED) | DRAFT_BIT(ENGINE_SOURCE_FILE) |
                  DRAFT_BIT(ENGINE_SOURCE_OPEN);
  unsigned files = DRAFT_BIT(ENGINE_SOURCE_IMPORTED) | DRAFT_BIT(ENGINE_SOURCE_WORKSPACE);
  if (root && d->terms.window != NULL && uses(d, ENGINE_SOURCE_WINDOW))
    look_in_window(d, context[n - 1], v);
  int hops = root ? HOPS : REFRESH_HOPS, most = root ? CURSORS : REFRESH_MOST;
  if (uses(d, ENGINE_SOURCE_PROMPT)) look_in_session(d, context, n, hops, most / 2, v);
  if (p != NULL && (d->terms.sources & live))
    look_in_index(d, &p->live, context, n, hops, most / 2, v);
  if (p != NULL && (d->terms.sources & files))
    look_in_index(d, &p->workspace, context, n, hops, most, v);
}

/* The parent's places that voted for the node's token, one further. */
static void follow(const view *from, int32_t id, view *v) {
  v->n_cursors = 0;
  for (int i = 0; i < from->n_cursors; i++) {
    const cursor *c = &from->cursors[i];
    if (c->id != id) continue;
    if (c->source == ENGINE_SOURCE_WINDOW && c->left <= 1) continue;
    int length = c->length < NGRAMS_MATCH_MAX ? c->length + 1 : c->length;
    v->cursors[v->n_cursors++] = (cursor){c->next + 1, c->next[1], c->source,
                                          (uint8_t)length,
                                          (uint8_t)(c->left > 0 ? c->left - 1 : 0)};
  }
}

/* Groups of equal kinds, from the view's cursors. of[i]: the group of cursor i, or -1. */
static int make_groups(const drafter *d, const view *v, group *groups, short *of) {
  int n = 0;
  for (int i = 0; i < v->n_cursors; i++) {
    const cursor *c = &v->cursors[i];
    int length = length_class(c->length), g = 0;
    of[i] = -1;
    if (c->id == NGRAMS_BORDER) continue;
    while (g < n && (groups[g].source != c->source || groups[g].length != length)) g++;
    if (g == GROUPS) continue;
    if (g == n) {
      groups[n++] = (group){.source = c->source, .length = (uint8_t)length, .agreed = true,
                            .token = c->id};
    }
    groups[g].votes++;
    groups[g].agreed = groups[g].agreed && groups[g].token == c->id;
    of[i] = (short)g;
  }
  for (int g = 0; g < n; g++) {
    groups[g].kind = (short)kind_of(groups[g].source, groups[g].length, groups[g].votes,
                                    groups[g].agreed);
    groups[g].weight = d->weight[groups[g].kind];
  }
  return n;
}

/* What else is guessed after a node: the model's recycled predictions, and what stood near the
 * cursor. Returns how many opinions. */
static int hear(const drafter *d, const view *v, opinion *out) {
  const recycle_entry *entry[2] = {NULL, NULL};
  int n = 0;
  if (uses(d, ENGINE_SOURCE_RECYCLED)) {
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
    for (out[n].n = 0; out[n].n < RECYCLE_WIDTH && entry[i]->ids[out[n].n] >= 0;) out[n].n++;
    n++;
  }
  if (v->recent) {
    out[n].kind = (short)kind_of(ENGINE_SOURCE_PROMPT, NO_CONTEXT, 1, false);
    out[n].ids = d->recent;
    out[n].share = d->recent_share;
    out[n++].n = d->n_recent;
  }
  for (int i = 0; i < n; i++) out[i].weight = d->weight[out[i].kind];
  return n;
}

/* The tokens near the cursor, by how often they stand there. */
static void count_recent(drafter *d) {
  int from = d->n_context > KEPT ? d->n_context - KEPT : 0, all = 0;
  d->n_recent = 0;
  for (int i = d->n_context - 1; i >= from; i--) {
    int32_t id = d->context[i];
    int at = 0;
    while (at < d->n_recent && d->recent[at] != id) at++;
    if (id == NGRAMS_BORDER || at == RECENT) continue;
    if (at == d->n_recent) {
      d->recent[at] = id;
      d->recent_share[d->n_recent++] = 0;
    }
    d->recent_share[at]++;
    all++;
  }
  for (int i = 0; i < d->n_recent; i++) d->recent_share[i] /= (float)all;
}

/* ---- the tree -------------------------------------------------------------------------- */

/* Lets a candidate wait, if it is among the best of as many as the tree has room for (which it has
 * for one at least). */
static void offer(drafter *d, candidate c) {
  int room = d->terms.most - d->tree.n;
  if (d->end - d->first == room) {
    if (c.chance <= d->waiting[d->end - 1].chance) return;
    d->end--;
  }
  int i = d->end++;
  for (; i > d->first && d->waiting[i - 1].chance < c.chance; i--) d->waiting[i] = d->waiting[i - 1];
  d->waiting[i] = c;
}

typedef struct ballot {
  int32_t ids[TOKENS];
  float weight[TOKENS];
  int n;
} ballot;

static void vote(ballot *b, int32_t id, float weight) {
  int i = 0;
  while (i < b->n && b->ids[i] != id) i++;
  if (i == TOKENS) return;
  if (i == b->n) {
    b->ids[b->n] = id;
    b->weight[b->n++] = 0;
  }
  b->weight[i] += weight;
}

/* Offers what may follow a node. */
static void expand(drafter *d, int node, float chance) {
  view *v = &d->views[1 + node];
  group groups[GROUPS];
  opinion opinions[OPINIONS];
  short of[CURSORS];
  ballot b = {.n = 0};
  v->recent = uses(d, ENGINE_SOURCE_PROMPT) && chance >= RECENT_CHANCE && d->n_recent > 0;
  int n = make_groups(d, v, groups, of), n_opinions = hear(d, v, opinions);
  float all = 1;
  for (int g = 0; g < n; g++) all += groups[g].weight;
  for (int i = 0; i < v->n_cursors; i++)
    if (of[i] >= 0) vote(&b, v->cursors[i].id, groups[of[i]].weight / groups[of[i]].votes);
  for (int k = 0; k < n_opinions; k++) {
    const opinion *o = &opinions[k];
    all += o->weight;
    for (int i = 0; i < o->n; i++) vote(&b, o->ids[i], o->weight * o->share[i]);
  }
  for (int i = 0; i < b.n; i++) {
    float c = chance * b.weight[i] / all;
    if (c < d->terms.floor || engine_token_is_special(d->engine, b.ids[i])) continue;
    if (node == DRAFT_ROOT && d->terms.allow && !d->terms.allow(d->terms.allow_user, b.ids[i]))
      continue;
    offer(d, (candidate){c, node, b.ids[i]});
  }
}

/* Of the first tokens only some are allowed: their chances are those among them. */
static void only_allowed(drafter *d) {
  float sum = 0;
  for (int i = d->first; i < d->end; i++) sum += d->waiting[i].chance;
  for (int i = d->first; i < d->end && sum > 0; i++)
    d->waiting[i].chance *= ALLOWED_SHARE / sum;
}

/* Adds the candidate as the tree's next node, and offers what may follow it. */
static void add_node(drafter *d, const candidate *c) {
  draft_tree *t = &d->tree;
  int node = t->n++;
  t->ids[node] = c->id;
  t->parent[node] = c->parent;
  t->depth[node] = c->parent == DRAFT_ROOT ? 1 : t->depth[c->parent] + 1;
  t->chance[node] = c->chance;
  const view *from = &d->views[1 + c->parent];
  view *v = &d->views[1 + node];
  follow(from, c->id, v);
  v->before = from->last;
  v->last = c->id;
  v->recent = false;
  if (v->n_cursors < REFRESH && c->chance >= REFRESH_CHANCE) {
    int32_t context[DRAFT_CONTEXT];
    int n = 0;
    for (int at = node; at != DRAFT_ROOT && n < DRAFT_CONTEXT; at = t->parent[at])
      context[DRAFT_CONTEXT - ++n] = t->ids[at];
    for (int i = d->n_context - 1; i >= 0 && n < DRAFT_CONTEXT; i--)
      context[DRAFT_CONTEXT - ++n] = d->context[i];
    look_up(d, context + DRAFT_CONTEXT - n, n, false, v);
  }
  if (t->depth[node] < d->terms.depth && t->n < d->terms.most) expand(d, node, c->chance);
}

/* What one more of the next nodes costs at least, in steps of the current size. */
static float least_slope(const float *cost, int n, int most) {
  static const int further[] = {1, 2, 4, 8, 16, 32};
  float least = 1e9f;
  for (size_t i = 0; i < sizeof further / sizeof *further && n + further[i] <= most; i++) {
    float slope = (cost[n + further[i]] - cost[n]) / (float)further[i] / cost[n];
    if (slope < least) least = slope;
  }
  return least;
}

/* How many of the nodes bring the most tokens per millisecond. */
static int best_size(const draft_tree *t, const float *cost) {
  double expected = 1, best = cost[0] > 0 ? 1 / cost[0] : 0;
  int size = 0;
  for (int n = 1; n <= t->n; n++) {
    expected += t->chance[n - 1];
    if (expected / cost[n] > best) {
      best = expected / cost[n];
      size = n;
    }
  }
  return size;
}

void drafter_build(drafter *d, const draft_terms *terms, draft_tree *out) {
  d->terms = *terms;
  d->tree.n = 0;
  d->first = d->end = 0;
  if (terms->most > 0 && terms->depth > 0 && d->n_context > 0) {
    if (terms->pool != NULL) pool__lock(terms->pool);
    view *root = &d->views[0];
    root->n_cursors = 0;
    root->last = d->context[d->n_context - 1];
    root->before = drafter_before(d);
    count_recent(d);
    look_up(d, d->context, d->n_context, true, root);
    expand(d, DRAFT_ROOT, 1);
    if (terms->allow != NULL) only_allowed(d);
    float expected = 1;
    while (d->first < d->end) {
      candidate c = d->waiting[d->first++];
      /* The next ones are no likelier: none of them will pay. */
      if (terms->cost != NULL &&
          c.chance < expected * least_slope(terms->cost, d->tree.n, terms->most))
        break;
      expected += c.chance;
      add_node(d, &c);
    }
    if (terms->cost != NULL) d->tree.n = best_size(&d->tree, terms->cost);
    if (terms->pool != NULL) pool__unlock(terms->pool);
  }
  *out = d->tree;
}

/* ---- learning -------------------------------------------------------------------------- */

static void teach(drafter *d, int kind, float gradient) {
  float w = d->log_weight[kind] + RATE * gradient;
  d->log_weight[kind] = w > BIG ? BIG : w < -BIG ? -BIG : w;
  d->weight[kind] = expf(d->log_weight[kind]);
}

/* One step up the gradient of log(chance of id) in the logarithms of the weights. */
static void learn_at(drafter *d, const view *v, int32_t id) {
  group groups[GROUPS];
  opinion opinions[OPINIONS];
  short of[CURSORS];
  float share[GROUPS] = {0}, held[OPINIONS] = {0}, all = 1, mine = UNSEEN;
  int n = make_groups(d, v, groups, of), n_opinions = hear(d, v, opinions);
  for (int i = 0; i < v->n_cursors; i++)
    if (of[i] >= 0 && v->cursors[i].id == id) share[of[i]] += 1.0f / groups[of[i]].votes;
  for (int g = 0; g < n; g++) {
    all += groups[g].weight;
    mine += groups[g].weight * share[g];
  }
  for (int k = 0; k < n_opinions; k++) {
    const opinion *o = &opinions[k];
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
  if (d->n_context == 0 || d->terms.most < 1 || d->terms.depth < 1) return; /* nothing was built */
  for (int i = 0; i < n; i++) {
    int node = i == 0 ? DRAFT_ROOT : path[i - 1];
    learn_at(d, &d->views[1 + node], tokens[i]);
  }
}

void drafter_saw(drafter *d, int32_t before, int32_t last, const int32_t *ids,
                 const float *logits, int n) {
  recycle_learn(&d->recycled, before, last, ids, logits, n);
}
