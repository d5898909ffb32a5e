/* pool.h - the tokens of the workspace, as a drafter sees them. Private to engine/; what the
 * outside does with a pool is in engine.h.
 *
 * Two indexes. The workspace's files, which do not change: one thread adds them in the
 * background, a slice at a time. And the live texts, which are small and change at every
 * keystroke: open documents, kept as their tokens and as the places where these stand in the
 * index, and completions that were accepted. An edit adds the new tokens with a little of what
 * surrounds them, and writes borders over the old ones; when the borders outweigh the text, the
 * live index is made anew. */
#ifndef FIMD_ENGINE_POOL_H
#define FIMD_ENGINE_POOL_H

#include <pthread.h>

#include "engine/engine.h"
#include "engine/ngrams.h"

#define POOL_IMPORTED_MOST 64
#define POOL_BLOCK 32 /* texts begin at multiples of it, so that a place tells its text */

typedef struct pool_text {
  engine_pool_kind kind;
  bool gone, hidden, imported;
  uint32_t start, n; /* workspace and accepted: its places */
  /* Open documents. */
  int32_t *tokens; /* [n] owned */
  uint32_t capacity;
  struct pool_span {
    uint32_t place, n;
  } *spans; /* [n_spans] owned: where tokens stand in the live index, in order */
  uint32_t n_spans, spans_capacity;
} pool_text;

typedef struct pool_index {
  ngrams grams;
  uint32_t *text_of_block; /* [blocks_capacity] owned: a text's number; by place / POOL_BLOCK */
  uint32_t blocks_capacity;
} pool_index;

struct engine_pool {
  pthread_mutex_t lock;   /* guards all but what the adding thread alone changes */
  atomic_int waiting;     /* threads that wait for it */
  pthread_mutex_t adding; /* one workspace text at a time; taken before lock */
  size_t max_bytes;
  pool_index workspace, live;
  pool_text *texts; /* [n_texts] owned; the first is unused */
  uint8_t *sources; /* [n_texts] owned: each text's engine_source now, or ENGINE_SOURCES */
  uint32_t n_texts, texts_capacity;
  uint32_t current; /* the text in focus, or 0 */
  uint32_t unused;  /* the first live text that is gone, the next one in its start; or 0 */
  uint32_t imported[POOL_IMPORTED_MOST]; /* [n_imported] texts that the one in focus names */
  int n_imported;
  uint32_t accepted[64]; /* texts, a ring */
  uint32_t n_accepted;
  uint32_t *removed; /* [n_removed] owned: files whose places are still to be swept */
  uint32_t n_removed, removed_capacity;
  size_t swept; /* places of the workspace that were */
  size_t workspace_tokens, workspace_texts, left_out;
  size_t live_tokens; /* of texts that are there */
};

/* Hold it while matches are followed. */
void pool__lock(engine_pool *p);
void pool__unlock(engine_pool *p);
/* Of a place of one of the indexes; ENGINE_SOURCES where it must not be used. Locked. */
static inline engine_source pool__source(const engine_pool *p, const pool_index *x,
                                         uint32_t place) {
  return (engine_source)p->sources[x->text_of_block[place / POOL_BLOCK]];
}
/* That the place's source is wanted soon. */
static inline void pool__expect(const pool_index *x, uint32_t place) {
  __builtin_prefetch(&x->text_of_block[place / POOL_BLOCK]);
}

#endif
