/* draft_internal.h - what the drafter's files share.
 *
 * The text and its index are kept in draft.c. To build a tree, draft_tree.c takes the likeliest
 * candidate again and again; where the new node votes from is found or followed from its parent
 * (draft_places.c), and the votes are weighed (draft_votes.c), where the weights also learn from
 * what came. */
#ifndef FIMD_ENGINE_DRAFT_INTERNAL_H
#define FIMD_ENGINE_DRAFT_INTERNAL_H

#include "engine/draft.h"

#define DRAFT_CURSORS 40      /* places that a node follows */
#define DRAFT_REFRESH_MOST 24 /* places that a node below the root looks up */
#define DRAFT_KEPT 96         /* tokens before the cursor that may come again after any other */
#define DRAFT_RECENT 48       /* different ones of them */
#define DRAFT_LENGTHS 9       /* of agreement: 1, 2, 3, 4, 5-6, 7-9, 10-14, more; and none */
#define DRAFT_NO_CONTEXT (DRAFT_LENGTHS - 1)
#define DRAFT_COUNTS 3        /* votes: 1, 2-3, more */
#define DRAFT_KINDS (ENGINE_SOURCES * DRAFT_LENGTHS * DRAFT_COUNTS * 2)
#define DRAFT_GROUPS DRAFT_CURSORS /* kinds that one node may meet */
#define DRAFT_OPINIONS 3      /* that one node may hear */
#define DRAFT_INDEXES 3       /* the session's, and the pool's two */
#define DRAFT_AHEADS (2 * (1 + DRAFT_NODES_MAX))

/* When a node looks for more places than its parent's: if it has fewer, if it is so likely; and how
 * many it looks at for one length of context. */
typedef struct draft_thirst {
  int fewer, hops;
  float chance;
} draft_thirst;

typedef struct draft_cursor {
  const int32_t *next; /* where it votes from; in an index, so only while the pool is locked */
  int32_t id;          /* what it votes for: stays */
  uint8_t source, length, left; /* left: tokens before its end, where that is no border */
} draft_cursor;

typedef struct draft_group {
  short kind;  /* with count and unanimity, once both are known */
  uint8_t source, length, votes;
  bool agreed;
  int32_t token; /* the first one voted for */
  float weight, share; /* of the kind; of one of its votes in it */
} draft_group;

/* What is known at a node: the votes, as it was built. */
typedef struct draft_view {
  draft_cursor *cursors; /* [n_cursors] */
  int n_cursors;
  int32_t before, last;
  bool recent; /* what stood near the cursor was among the guesses */
} draft_view;

/* Guesses that come with shares of their own. */
typedef struct draft_opinion {
  short kind;
  float weight;
  const int32_t *ids; /* [n] */
  const float *share; /* [n] */
  float most;         /* of them */
  int n;
} draft_opinion;

typedef struct draft_candidate {
  float chance;
  int32_t id;
  int16_t parent;
  int16_t ahead; /* what was looked up for it: the number in aheads; or -1 */
} draft_candidate;

/* Places of a candidate's context, before it is known whether it becomes a node. */
typedef struct draft_ahead {
  int n[DRAFT_INDEXES];
  ngrams_match found[DRAFT_INDEXES][DRAFT_REFRESH_MOST];
} draft_ahead;

/* The guesses of one tree's nodes. */
typedef struct draft_views {
  draft_view of[1 + DRAFT_NODES_MAX]; /* the root's, and each node's */
  /* [n_cursors] theirs, one behind the other */
  draft_cursor cursors[(1 + DRAFT_NODES_MAX) * DRAFT_CURSORS];
  int n_cursors;
  int32_t recent[DRAFT_RECENT]; /* [n_recent] different tokens near the cursor */
  float recent_share[DRAFT_RECENT], recent_most; /* and the greatest */
  int n_recent;
} draft_views;

/* A verification that nothing was learned from yet. */
typedef struct draft_lesson {
  const draft_views *views; /* of the tree; NULL: none */
  int32_t tokens[DRAFT_NODES_MAX + 1]; /* [n], as drafter_learn has them */
  int path[DRAFT_NODES_MAX + 1];
  int n;
} draft_lesson;

struct drafter {
  const engine *engine;
  int vocab;
  uint8_t *special; /* [vocab / 8 + 1] owned: a bit for each token that is never guessed */
  ngrams session; /* of the tokens, one place each, after the border at 0 */
  int n_text;
  int32_t *text; /* [text_capacity] owned: the tokens */
  int text_capacity;
  int32_t context[2 * DRAFT_KEPT]; /* its last n_context are what leads to the cursor */
  int n_context;
  recycle recycled;
  float log_weight[DRAFT_KINDS], weight[DRAFT_KINDS]; /* the second is exp of the first */

  /* Of the last tree. */
  draft_terms terms;
  draft_tree tree;
  draft_counts counts;
  draft_views *all_views; /* [2] owned: of this tree, and of the one before */
  draft_views *views;     /* this one's, in it */
  draft_lesson lesson;
  const float *slopes; /* into slope, or NULL where nothing costs */
  float slope[1 + DRAFT_NODES_MAX]; /* what a node costs at least, by how many there are */
  float least[1 + DRAFT_NODES_MAX]; /* the least of these from there on */
  float expected; /* tokens of the step */
  const draft_thirst *thirst;
  draft_ahead *aheads;  /* [DRAFT_AHEADS] owned */
  int n_aheads;
  draft_candidate waiting[DRAFT_NODES_MAX]; /* from first to end: likeliest first */
  int first, end;
};

/* Special, or none that the model has. */
static inline bool draft__is_special(const drafter *d, int32_t id) {
  return id < 0 || id >= d->vocab || (d->special[id / 8] >> id % 8 & 1);
}

static inline bool draft__uses(const drafter *d, engine_source source) {
  return (d->terms.sources & DRAFT_BIT(source)) != 0;
}

/* ---- places (draft_places.c) ----------------------------------------------------------- */

/* The root's places. */
void draft__look_up(drafter *d, draft_view *v);
/* The parent's places that voted for the node's token, one further. */
void draft__follow(const draft_view *from, int32_t id, draft_view *v);
/* More places for the candidate, which is a node now and has few. */
void draft__refresh(drafter *d, draft_candidate *c, draft_view *v);

/* ---- votes (draft_votes.c) ------------------------------------------------------------- */

void draft__default_weights(drafter *d);
/* Groups of equal kinds, from the view's cursors. groups[DRAFT_GROUPS]: returns how many.
 * of[DRAFT_CURSORS]: the group of each cursor, or -1. */
int draft__make_groups(const drafter *d, const draft_view *v, draft_group *groups, int8_t *of);
/* What else is guessed after a node: the model's recycled predictions, and what stood near the
 * cursor. out[DRAFT_OPINIONS], returns how many. */
int draft__hear(const drafter *d, const draft_views *all, const draft_view *v, draft_opinion *out);

#endif
