/* tokenizer_bpe.c - byte-pair encoding of one piece: the pair of least rank is merged first,
 * the leftmost where several have it, until no pair of neighbours is in the merge table.
 *
 * Pieces are mostly a few bytes long, where scanning an array for the least rank is fastest. A
 * piece can also be a megabyte of spaces, so longer ones keep the pairs in a heap: n log n. */
#include "engine/tokenizer_internal.h"

#include <stdlib.h>

#define SHORT_PIECE 40 /* bytes; above, the heap */
#define NO_MERGE UINT64_MAX

tokenizer_merge *tokenizer__merge_slot(const tokenizer *t, int32_t left, int32_t right) {
  uint64_t i = tokenizer__mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
  for (int probes = 0; probes < TOKENIZER_MAX_PROBES; probes++, i++) {
    tokenizer_merge *slot = &t->merges[i & t->merge_mask];
    if ((slot->left == left && slot->right == right) || slot->left < 0) return slot;
  }
  return NULL;
}

/* rank << 32 | id of the result, or NO_MERGE. */
static uint64_t merge_of(const tokenizer *t, int32_t left, int32_t right) {
  const tokenizer_merge *slot = tokenizer__merge_slot(t, left, right);
  return slot == NULL || slot->left < 0 ? NO_MERGE : slot->rank_id;
}

static size_t merge_short(const tokenizer *t, const char *piece, size_t len, int32_t *ids) {
  uint64_t ranks[SHORT_PIECE]; /* [n - 1] of ids[i], ids[i + 1] */
  size_t n = len;
  for (size_t i = 0; i < n; i++) ids[i] = t->byte_ids[(uint8_t)piece[i]];
  for (size_t i = 0; i + 1 < n; i++) ranks[i] = merge_of(t, ids[i], ids[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == NO_MERGE) break;
    ids[best] = (int32_t)(uint32_t)ranks[best];
    n--;
    for (size_t i = best + 1; i < n; i++) ids[i] = ids[i + 1];
    for (size_t i = best; i + 1 < n; i++) ranks[i] = ranks[i + 1];
    if (best > 0) ranks[best - 1] = merge_of(t, ids[best - 1], ids[best]);
    if (best + 1 < n) ranks[best] = merge_of(t, ids[best], ids[best + 1]);
  }
  return n;
}

/* ---- long pieces ----------------------------------------------------------------------- */

static void sift_down(uint64_t *heap, size_t n, size_t i) {
  uint64_t x = heap[i];
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= x) break;
    heap[i] = heap[child];
  }
  heap[i] = x;
}

static void push(uint64_t *heap, size_t *n, uint64_t x) {
  size_t i = (*n)++;
  for (; i > 0 && heap[(i - 1) / 2] > x; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
  heap[i] = x;
}

static int grow(tokenizer_scratch *scratch, size_t len) {
  if (len <= scratch->capacity) return ENGINE_OK;
  if (len > INT32_MAX) return ENGINE_ENOMEM;
  free(scratch->heap);
  free(scratch->ranks);
  free(scratch->links);
  scratch->capacity = 0;
  /* Each merge takes a pair out and puts at most two in: never more than 2 len. */
  scratch->heap = malloc(2 * len * sizeof *scratch->heap);
  scratch->ranks = malloc(len * sizeof *scratch->ranks);
  scratch->links = malloc(2 * len * sizeof *scratch->links);
  if (scratch->heap == NULL || scratch->ranks == NULL || scratch->links == NULL)
    return ENGINE_ENOMEM;
  scratch->capacity = len;
  return ENGINE_OK;
}

/* The symbols are a doubly linked list in place: next[i] and prev[i] are positions in ids. A
 * heap entry is rank << 32 | position of the left one; it is stale when the pair that now
 * begins there has another rank. */
static int merge_long(const tokenizer *t, tokenizer_scratch *scratch, const char *piece,
                      size_t len, int32_t *ids, size_t *used) {
  int status = grow(scratch, len);
  if (status != ENGINE_OK) return status;
  uint64_t *heap = scratch->heap, *ranks = scratch->ranks;
  int32_t *next = scratch->links, *prev = scratch->links + len, n = (int32_t)len;
  size_t pairs = 0;
  for (int32_t i = 0; i < n; i++) {
    ids[i] = t->byte_ids[(uint8_t)piece[i]];
    next[i] = i + 1 < n ? i + 1 : -1;
    prev[i] = i - 1;
  }
  for (int32_t i = 0; i < n; i++) {
    ranks[i] = i + 1 < n ? merge_of(t, ids[i], ids[i + 1]) : NO_MERGE;
    if (ranks[i] != NO_MERGE) heap[pairs++] = ranks[i] >> 32 << 32 | (uint32_t)i;
  }
  for (size_t i = pairs / 2; i-- > 0;) sift_down(heap, pairs, i);
  while (pairs > 0) {
    uint64_t top = heap[0];
    heap[0] = heap[--pairs];
    if (pairs > 0) sift_down(heap, pairs, 0);
    int32_t left = (int32_t)(uint32_t)top;
    if (ranks[left] == NO_MERGE || ranks[left] >> 32 != top >> 32) continue;
    int32_t right = next[left], after = next[right], before = prev[left];
    ids[left] = (int32_t)(uint32_t)ranks[left];
    ranks[right] = NO_MERGE;
    next[left] = after;
    if (after >= 0) prev[after] = left;
    ranks[left] =
        after >= 0 ? merge_of(t, ids[left], ids[after]) : NO_MERGE;
    if (ranks[left] != NO_MERGE)
      push(heap, &pairs, ranks[left] >> 32 << 32 | (uint32_t)left);
    if (before < 0) continue;
    ranks[before] = merge_of(t, ids[before], ids[left]);
    if (ranks[before] != NO_MERGE)
      push(heap, &pairs, ranks[before] >> 32 << 32 | (uint32_t)before);
  }
  size_t out = 0;
  for (int32_t i = 0; i >= 0; i = next[i]) ids[out++] = ids[i];
  *used = out;
  return ENGINE_OK;
}

int tokenizer__bpe(const tokenizer *t, tokenizer_scratch *scratch, const char *piece, size_t len,
                   int32_t *ids, size_t *n) {
  if (len > SHORT_PIECE) return merge_long(t, scratch, piece, len, ids, n);
  *n = merge_short(t, piece, len, ids);
  return ENGINE_OK;
}
