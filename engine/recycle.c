/* recycle.c - tables of earlier predictions. */
#include "engine/recycle.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define PAIRS_BITS 16

static uint32_t pair_hash(int32_t before, int32_t last) {
  uint64_t h = ((uint64_t)(uint32_t)before << 32 | (uint32_t)last) * 0x9e3779b97f4a7c15u;
  h ^= h >> 29;
  uint32_t key = (uint32_t)(h >> 16);
  return key != 0 ? key : 1;
}

int recycle_init(recycle *r, int vocab) {
  size_t line = sizeof(recycle_entry), pairs = (size_t)1 << PAIRS_BITS;
  *r = (recycle){.vocab = vocab};
  /* calloc: pages that are never used are never there. An empty entry's first share is 0. */
  r->memory = calloc((size_t)vocab + pairs + 1, line);
  r->keys = calloc(pairs, sizeof *r->keys);
  if (r->memory == NULL || r->keys == NULL) {
    recycle_free(r);
    return ENGINE_ENOMEM;
  }
  char *start = r->memory;
  start += (line - (uintptr_t)start % line) % line;
  r->one = (recycle_entry *)(void *)start;
  r->two = r->one + vocab;
  return ENGINE_OK;
}

void recycle_free(recycle *r) {
  free(r->memory);
  free(r->keys);
  memset(r, 0, sizeof *r);
}

/* Half of what was there, half of what came, the best of both. */
static void mix(recycle_entry *e, const int32_t *ids, const float *share, int n) {
  recycle_entry old = *e;
  int32_t all_ids[2 * RECYCLE_WIDTH];
  float all[2 * RECYCLE_WIDTH];
  int count = 0;
  bool fresh = !(old.share[0] > 0);
  for (int i = 0; i < n; i++) {
    all_ids[count] = ids[i];
    all[count++] = fresh ? share[i] : share[i] / 2;
  }
  for (int i = 0; !fresh && i < RECYCLE_WIDTH && old.ids[i] >= 0; i++) {
    int at = 0;
    while (at < n && all_ids[at] != old.ids[i]) at++;
    if (at < n) {
      all[at] += old.share[i] / 2;
    } else {
      all_ids[count] = old.ids[i];
      all[count++] = old.share[i] / 2;
    }
  }
  for (int i = 0; i < RECYCLE_WIDTH; i++) {
    int best = -1;
    for (int j = 0; j < count; j++)
      if (all[j] > 0 && (best < 0 || all[j] > all[best])) best = j;
    e->ids[i] = best < 0 ? -1 : all_ids[best];
    e->share[i] = best < 0 ? 0 : all[best];
    if (best >= 0) all[best] = 0;
  }
}

void recycle_learn(recycle *r, int32_t before, int32_t last, const int32_t *ids,
                   const float *logits, int n) {
  float share[RECYCLE_WIDTH], sum = 0;
  if (n > RECYCLE_WIDTH) n = RECYCLE_WIDTH;
  for (int i = 0; i < n; i++)
    if (ids[i] < 0) n = i; /* there are no more */
  if (n < 1 || last < 0 || last >= r->vocab) return;
  for (int i = 0; i < n; i++) sum += share[i] = expf(logits[i] - logits[0]);
  if (!(sum > 0) || !isfinite(sum)) return;
  for (int i = 0; i < n; i++) share[i] /= sum;
  mix(&r->one[last], ids, share, n);
  if (before < 0) return;
  uint32_t key = pair_hash(before, last), at = key >> (32 - PAIRS_BITS);
  if (r->keys[at] != key) memset(&r->two[at], 0, sizeof r->two[at]);
  r->keys[at] = key;
  mix(&r->two[at], ids, share, n);
}

void recycle_expect(const recycle *r, int32_t before, int32_t last) {
  if (last < 0 || last >= r->vocab) return;
  __builtin_prefetch(&r->one[last]);
  if (before < 0) return;
  uint32_t at = pair_hash(before, last) >> (32 - PAIRS_BITS);
  __builtin_prefetch(&r->keys[at]);
  __builtin_prefetch(&r->two[at]);
}

const recycle_entry *recycle_after(const recycle *r, int32_t last) {
  if (last < 0 || last >= r->vocab) return NULL;
  const recycle_entry *e = &r->one[last];
  return e->share[0] > 0 ? e : NULL;
}

const recycle_entry *recycle_after_two(const recycle *r, int32_t before, int32_t last) {
  if (before < 0 || last < 0) return NULL;
  uint32_t key = pair_hash(before, last), at = key >> (32 - PAIRS_BITS);
  return r->keys[at] == key ? &r->two[at] : NULL;
}
