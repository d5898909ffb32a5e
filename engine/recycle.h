/* recycle.h - what the model thought likely after a token, kept for the next time. Private to
 * engine/.
 *
 * Each verified row brings the model's best candidates for what follows it. They are kept by the
 * row's token, and by its last two tokens; when the same token stands at the end of a draft, they
 * are guesses. A later answer is mixed with what was there, half and half. */
#ifndef FIMD_ENGINE_RECYCLE_H
#define FIMD_ENGINE_RECYCLE_H

#include <stdint.h>

#define RECYCLE_WIDTH 8

typedef struct recycle_entry {
  int32_t ids[RECYCLE_WIDTH]; /* likeliest first; -1: no more */
  float share[RECYCLE_WIDTH]; /* of the width's probability */
} recycle_entry; /* one cache line: they come from memory one by one */

typedef struct recycle {
  recycle_entry *one; /* [vocab] in `memory`, by the token */
  recycle_entry *two; /* [1 << bits] in `memory`, by a hash of two */
  uint32_t *keys;     /* [1 << bits] owned: the two tokens' hash, 0 where empty */
  void *memory;       /* owned */
  int vocab;
} recycle;

int recycle_init(recycle *r, int vocab); /* 0 or ENGINE_ENOMEM */
void recycle_free(recycle *r);

/* ids[n], logits[n], best first: what followed `last`, in front of which `before` stood (-1: not
 * known). */
void recycle_learn(recycle *r, int32_t before, int32_t last, const int32_t *ids,
                   const float *logits, int n);
/* That both are wanted soon. */
void recycle_expect(const recycle *r, int32_t before, int32_t last);
/* NULL where there is nothing. */
const recycle_entry *recycle_after(const recycle *r, int32_t last);
const recycle_entry *recycle_after_two(const recycle *r, int32_t before, int32_t last);

#endif
