/* draft.h - guesses for the next tokens, as one tree to be verified in one step. Private to
 * engine/.
 *
 * At every node the sources vote on what comes next: places in the pool and in the session's own
 * tokens whose context agrees (the longer, the better), earlier predictions of the model, n-grams
 * of the lookahead window. Votes of one kind (source, length of agreement, how many there are,
 * whether they are of one mind) share a weight; a token's chance is the weighted mean of its
 * shares (interpolated back-off). The weights learn from every verified token.
 *
 * The tree grows best first, and ends where another node adds less than the time it costs. */
#ifndef FIMD_ENGINE_DRAFT_H
#define FIMD_ENGINE_DRAFT_H

#include "engine/lookahead.h"
#include "engine/pool.h"
#include "engine/recycle.h"

#define DRAFT_NODES_MAX 112
#define DRAFT_CONTEXT 24 /* tokens before the cursor that are looked at */
#define DRAFT_ROOT (-1)

typedef struct draft_tree {
  int n;                          /* nodes, parents before children */
  int32_t ids[DRAFT_NODES_MAX];
  int parent[DRAFT_NODES_MAX];    /* DRAFT_ROOT: the current token */
  int depth[DRAFT_NODES_MAX];     /* 1: right after it */
  float chance[DRAFT_NODES_MAX];  /* that it will be accepted, by estimate */
} draft_tree;

void draft_copy(draft_tree *to, const draft_tree *t);

#define DRAFT_BIT(source) (1u << (source))

typedef struct drafter drafter;

/* Specials of the engine's vocabulary are never drafted. 0 or ENGINE_ENOMEM. */
int drafter_new(drafter **out, const engine *e);
void drafter_delete(drafter *d); /* NULL is a no-op */

/* The text is tokens[n] now. What it has in common with the last text is not indexed again. In a
 * fill-in-the-middle prompt, what the model continues is the prefix and what follows
 * <|fim_middle|>. 0 or ENGINE_ENOMEM. */
int drafter_begin(drafter *d, const int32_t *tokens, int n);
/* The text goes on. */
int drafter_push(drafter *d, const int32_t *ids, int n);

typedef struct draft_terms {
  unsigned sources;    /* bits */
  engine_pool *pool;   /* may be NULL */
  lookahead *window;   /* may be NULL; its guesses are of so many tokens: */
  int guess_length;
  int most;            /* nodes, 0..DRAFT_NODES_MAX */
  int depth;           /* of the deepest one at most */
  const float *cost;   /* [1 + most] ms of a step by its nodes; NULL: as many as there are */
  float floor;         /* least chance of a node that is looked at */
  bool (*allow)(void *user, int32_t id); /* of the first tokens; NULL: any */
  void *allow_user;
} draft_terms;

/* Fills *out. The pool is locked meanwhile. */
void drafter_build(drafter *d, const draft_terms *terms, draft_tree *out);
/* While the tree is verified: looks up what the next build will, by the likeliest outcomes, so that
 * it finds it nearby. Changes nothing else. The pool is locked for each. */
void drafter_rehearse(drafter *d);
/* After the verification of the tree that was built last: tokens[n] (n >= 1) came, the first n - 1
 * of them as nodes path[0..n-2]. */
void drafter_learn(drafter *d, const int32_t *tokens, const int *path, int n);
/* The weights follow from it here: whenever there is time, at the latest with the next lesson. */
void drafter_settle(drafter *d);
/* What the model thought likely, best first, after `last` with `before` in front of it (or -1). */
void drafter_saw(drafter *d, int32_t before, int32_t last, const int32_t *ids,
                 const float *logits, int n);

/* What the last build took. */
typedef struct draft_counts {
  int nodes;    /* that were added to the tree, and given up again where they did not pay */
  int look_ups; /* in each of the indexes */
  double ms;    /* for the nodes, from the first one on */
} draft_counts;
draft_counts drafter_get_counts(const drafter *d);

/* The token before the current one, or -1. */
int32_t drafter_before(const drafter *d);

/* For the last step of a prefill (decode.c), while it computes; user: an engine_session. Its drafter, if it
 * has one, begins the session's text. Where there is no memory for that, it is tried again before
 * the first guess. */
void engine__tell_drafter(void *user);
/* What an engine_drafter guesses with; for tests. */
const drafter *engine__drafter_of(const engine_drafter *d);

#endif
