/* pool_internal.h - what the pool's files share: texts laid down in an index, and what they are to
 * a drafter. Files of the workspace are in pool.c, live texts in pool_live.c. */
#ifndef FIMD_ENGINE_POOL_INTERNAL_H
#define FIMD_ENGINE_POOL_INTERNAL_H

#include "engine/pool.h"

#define POOL_GARBAGE_MOST (1u << 17) /* borders in an index, beyond its text's share */

/* ---- texts (pool.c); all locked -------------------------------------------------------- */

int pool__init_index(pool_index *x); /* of a zeroed one; 0 or ENGINE_ENOMEM */
/* To be called whenever one of the things that a text's source depends on has changed. */
void pool__set_source(engine_pool *p, uint32_t number);
/* The number of a text that has nothing laid down yet. 0 or ENGINE_ENOMEM. */
int pool__new_text(engine_pool *p, engine_pool_kind kind, uint32_t *number);
/* Room for so many places' texts. 0 or ENGINE_ENOMEM. */
int pool__reserve_blocks(pool_index *x, uint32_t places);

/* Places that a text of n tokens takes at most: a border in front, and up to the next block. */
static inline uint32_t pool__room_for(uint32_t n) { return n + 2 * POOL_BLOCK; }

/* Borders up to the start of a block, at least one. */
static inline void pool__begin_text(pool_index *x, uint32_t number) {
  do ngrams_push(&x->grams, NGRAMS_BORDER);
  while (x->grams.n % POOL_BLOCK != 0);
  x->text_of_block[x->grams.n / POOL_BLOCK] = number;
}

static inline void pool__push(pool_index *x, uint32_t number, int32_t token, int across) {
  x->text_of_block[x->grams.n / POOL_BLOCK] = number;
  ngrams_push_across(&x->grams, token, across);
}

/* Closes the last text, so that nothing runs out of it. */
static inline void pool__end_text(pool_index *x) { ngrams_push(&x->grams, NGRAMS_BORDER); }

/* ---- live texts (pool_live.c); all locked ---------------------------------------------- */

/* Borders over all that is of the text. */
void pool__take_up(engine_pool *p, uint32_t number);
/* The open document, or NULL where it is none. */
pool_text *pool__open_text(engine_pool *p, int64_t id);

#endif
