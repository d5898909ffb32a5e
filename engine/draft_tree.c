/* draft_tree.c - the tree grows best first: what may follow a node waits among the candidates, the
 * likeliest of them is the next node, and so on until none pays any more. */
#include "engine/draft_internal.h"

#include <string.h>

#include "engine/internal.h"

/* Tokens that are voted for at one node, at most; and the bits of their hashes. */
#define TOKENS (DRAFT_CURSORS + 2 * RECYCLE_WIDTH + DRAFT_RECENT)
#define TOKEN_BITS 8
#define RECENT_CHANCE 0.1f /* of a node after which tokens near the cursor are worth while */
#define ALLOWED_SHARE 0.8f /* of the tokens that are guessed among those that are allowed */
#define SURE 15            /* guesses whose chances are taken at their word */
#define DOUBT 0.8f         /* of what a larger tree promises */

static const draft_thirst if_free = {.fewer = 6, .hops = 8, .chance = 0.03f};
/* Where a larger step takes longer. */
static const draft_thirst if_paid = {.fewer = 4, .hops = 5, .chance = 0.05f};

/* ---- what may follow a node ------------------------------------------------------------ */

/* Tokens and what is summed up for each. */
typedef struct ballot {
  uint8_t at[1 << TOKEN_BITS]; /* 1 + where a token stands, by hash */
  int n;
  int32_t ids[TOKENS];
  float weight[TOKENS];
} ballot;

static void begin_ballot(ballot *b) {
  memset(b->at, 0, sizeof b->at);
  b->n = 0;
}

/* A token that is not there yet comes in if its weight is `least`. */
static void vote(ballot *b, int32_t id, float weight, float least) {
  uint32_t slot = (uint32_t)id * 0x9e3779b9u >> (32 - TOKEN_BITS);
  while (b->at[slot] != 0 && b->ids[b->at[slot] - 1] != id)
    slot = (slot + 1) & ((1u << TOKEN_BITS) - 1);
  if (b->at[slot] != 0) {
    b->weight[b->at[slot] - 1] += weight;
  } else if (weight >= least) {
    b->ids[b->n] = id;
    b->weight[b->n] = weight;
    b->at[slot] = (uint8_t)++b->n;
  }
}

/* The tokens near the cursor, by how often they stand there. */
static void count_recent(drafter *d) {
  int from = d->n_context > DRAFT_KEPT ? d->n_context - DRAFT_KEPT : 0, all = 0;
  ballot b;
  begin_ballot(&b);
  for (int i = d->n_context - 1; i >= from; i--) {
    if (d->context[i] == NGRAMS_BORDER) continue;
    vote(&b, d->context[i], 1, b.n == DRAFT_RECENT ? 2 : 0); /* none besides these */
  }
  for (int i = 0; i < b.n; i++) all += (int)b.weight[i];
  draft_views *to = d->views;
  to->n_recent = b.n;
  to->recent_most = 0;
  for (int i = 0; i < b.n; i++) {
    float share = b.weight[i] / (float)all;
    to->recent[i] = b.ids[i];
    to->recent_share[i] = share;
    if (share > to->recent_most) to->recent_most = share;
  }
}

/* Lets a candidate wait, if it is among the best of as many as the tree has room for (which it has
 * for one at least). */
static void offer(drafter *d, draft_candidate c) {
  int room = d->terms.most - d->tree.n;
  if (d->end - d->first == room) {
    if (c.chance <= d->waiting[d->end - 1].chance) return;
    d->end--;
  }
  int i = d->end++;
  for (; i > d->first && d->waiting[i - 1].chance < c.chance; i--)
    d->waiting[i] = d->waiting[i - 1];
  d->waiting[i] = c;
}

/* What a candidate must have, to be the next node one day. */
static float least_chance(const drafter *d) {
  float least = d->terms.floor;
  if (d->slopes != NULL && d->expected * d->least[d->tree.n] > least)
    least = d->expected * d->least[d->tree.n];
  if (d->end - d->first == d->terms.most - d->tree.n && d->waiting[d->end - 1].chance > least)
    least = d->waiting[d->end - 1].chance;
  return least;
}

/* Offers what may follow a node, as far as it may be among the next nodes. */
static void expand(drafter *d, int node, float chance) {
  bool choosing = node == DRAFT_ROOT && d->terms.allow != NULL; /* chances are not final */
  float least = choosing ? d->terms.floor : least_chance(d), all = 1;
  float later[1 + DRAFT_OPINIONS] = {0};
  draft_view *v = &d->views->of[1 + node];
  draft_group groups[DRAFT_GROUPS];
  draft_opinion opinions[DRAFT_OPINIONS];
  int8_t of[DRAFT_CURSORS];
  ballot b;
  v->recent = draft__uses(d, ENGINE_SOURCE_PROMPT) && chance >= RECENT_CHANCE &&
              d->views->n_recent > 0;
  if (chance < least) return; /* nor do its children have more */
  begin_ballot(&b);
  int n = draft__make_groups(d, v, groups, of), n_opinions = draft__hear(d, d->views, v, opinions);
  for (int g = 0; g < n; g++) all += groups[g].weight;
  for (int i = 0; i < v->n_cursors; i++)
    if (of[i] >= 0) vote(&b, v->cursors[i].id, groups[of[i]].share, 0);
  for (int k = 0; k < n_opinions; k++) all += opinions[k].weight;
  for (int k = n_opinions - 1; k > 0; k--)
    later[k - 1] = later[k] + opinions[k].weight * opinions[k].most;
  float need = least / chance * all * 0.999f; /* rounding aside */
  for (int k = 0; k < n_opinions; k++) {
    const draft_opinion *o = &opinions[k];
    for (int i = 0; i < o->n; i++) vote(&b, o->ids[i], o->weight * o->share[i], need - later[k]);
  }
  for (int i = 0; i < b.n; i++) {
    if (b.weight[i] < need) continue;
    float c = chance * b.weight[i] / all;
    if (c < least || draft__is_special(d, b.ids[i])) continue;
    if (choosing && !d->terms.allow(d->terms.allow_user, b.ids[i])) continue;
    offer(d, (draft_candidate){.chance = c, .id = b.ids[i], .parent = (int16_t)node, .ahead = -1});
  }
}

/* Of the first tokens only some are allowed: their chances are those among them. */
static void only_allowed(drafter *d) {
  float sum = 0;
  for (int i = d->first; i < d->end; i++) sum += d->waiting[i].chance;
  for (int i = d->first; i < d->end && sum > 0; i++)
    d->waiting[i].chance *= ALLOWED_SHARE / sum;
}

/* ---- the tree -------------------------------------------------------------------------- */

static draft_view *new_view(drafter *d, int node, int32_t before, int32_t last) {
  draft_view *v = &d->views->of[1 + node];
  *v = (draft_view){.cursors = d->views->cursors + d->views->n_cursors,
                    .before = before, .last = last};
  return v;
}

/* Adds the candidate as the tree's next node, and offers what may follow it. */
static void add_node(drafter *d, draft_candidate *c) {
  draft_tree *t = &d->tree;
  const draft_view *from = &d->views->of[1 + c->parent];
  int node = t->n;
  draft_view *v = new_view(d, node, from->last, c->id);
  draft__follow(from, c->id, v);
  if (v->n_cursors < d->thirst->fewer && c->chance >= d->thirst->chance) draft__refresh(d, c, v);
  d->views->n_cursors += v->n_cursors;
  t->n++;
  t->ids[node] = c->id;
  t->parent[node] = c->parent;
  t->depth[node] = c->parent == DRAFT_ROOT ? 1 : t->depth[c->parent] + 1;
  t->chance[node] = c->chance;
  if (t->depth[node] < d->terms.depth && t->n < d->terms.most) expand(d, node, c->chance);
}

/* slope[n]: what one more of the nodes after the nth costs at least, in steps of that size. */
static void price(drafter *d) {
  const float *cost = d->terms.cost;
  int most = d->terms.most;
  d->slopes = cost == NULL ? NULL : d->slope;
  d->thirst = cost == NULL ? &if_free : &if_paid;
  if (cost == NULL) return;
  d->slope[most] = d->least[most] = 1e9f;
  for (int n = most - 1; n >= 0; n--) {
    float least = 1e9f * cost[n], part = 1;
    for (int further = 1; further <= 32 && n + further <= most; further *= 2, part /= 2) {
      float slope = (cost[n + further] - cost[n]) * part;
      if (slope < least) least = slope;
    }
    d->slope[n] = least / cost[n] / (n >= SURE ? DOUBT : 1);
    d->least[n] = d->slope[n] < d->least[n + 1] ? d->slope[n] : d->least[n + 1];
  }
}

/* How many of the nodes bring the most tokens per millisecond. What is chosen for what it promises
 * promises too much, so a large tree has to promise more (NOTES.md). */
static int best_size(const draft_tree *t, const float *cost) {
  double expected = 1, best = cost[0] > 0 ? 1 / cost[0] : 0;
  int size = 0;
  for (int n = 1; n <= t->n; n++) {
    expected += t->chance[n - 1];
    double score = expected / cost[n] * (n > SURE ? DOUBT : 1);
    if (score > best) {
      best = score;
      size = n;
    }
  }
  return size;
}

/* Asks for what is wanted soon, while there is something else to do. */
static void expect(const drafter *d) {
  for (int k = 0; k < DRAFT_KINDS; k += 16) __builtin_prefetch(&d->weight[k]);
  recycle_expect(&d->recycled, d->views->of[0].before, d->views->of[0].last);
}

static void expect_next(const drafter *d) {
  if (d->end - d->first < 2 || !draft__uses(d, ENGINE_SOURCE_RECYCLED)) return;
  const draft_candidate *c = &d->waiting[d->first + 1];
  recycle_expect(&d->recycled, d->views->of[1 + c->parent].last, c->id);
}

static void grow(drafter *d) {
  draft_view *root = new_view(d, DRAFT_ROOT, drafter_before(d), d->context[d->n_context - 1]);
  expect(d);
  price(d);
  draft__look_up(d, root);
  d->views->n_cursors = root->n_cursors;
  count_recent(d);
  expand(d, DRAFT_ROOT, 1);
  if (d->terms.allow != NULL) only_allowed(d);
  double start = engine__now_ms();
  while (d->first < d->end) {
    draft_candidate c = d->waiting[d->first++];
    /* The next ones are no likelier: none of them will pay. */
    if (d->slopes != NULL && c.chance < d->expected * d->slope[d->tree.n]) break;
    expect_next(d);
    d->expected += c.chance;
    add_node(d, &c);
  }
  d->counts.nodes = d->tree.n;
  d->counts.ms = engine__now_ms() - start;
  if (d->terms.cost != NULL) d->tree.n = best_size(&d->tree, d->terms.cost);
}

void draft_copy(draft_tree *to, const draft_tree *t) {
  size_t n = (size_t)t->n;
  to->n = t->n;
  memcpy(to->ids, t->ids, n * sizeof *t->ids);
  memcpy(to->parent, t->parent, n * sizeof *t->parent);
  memcpy(to->depth, t->depth, n * sizeof *t->depth);
  memcpy(to->chance, t->chance, n * sizeof *t->chance);
}

void drafter_build(drafter *d, const draft_terms *terms, draft_tree *out) {
  d->views = d->all_views + (d->lesson.views == d->all_views);
  d->terms = *terms;
  d->counts = (draft_counts){0};
  d->tree.n = d->first = d->end = d->n_aheads = d->views->n_cursors = 0;
  d->expected = 1;
  if (terms->most > 0 && terms->depth > 0 && d->n_context > 0) {
    if (terms->pool != NULL) pool__lock(terms->pool);
    grow(d);
    if (terms->pool != NULL) pool__unlock(terms->pool);
  }
  draft_copy(out, &d->tree);
}
