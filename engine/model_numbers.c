/* model_numbers.c - whether a model's values and scales are finite numbers.
 *
 * A stranger's NaN would make every logit NaN and every completion nonsense: better said when the
 * model is opened, with its place. Nothing less than a look at each block would do: a probe's
 * logits tell nothing of rows that the probe does not use, and a GPU cuts infinities off.
 *
 * It reads every page of the file, which the backend is about to do anyway. One core would take as
 * long for that as a GPU for the whole load, so all cores share it, piece by piece. */
#include "engine/model_source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (4 << 20)
#define MOST_THREADS 16 /* more do not read memory any faster */

/* ---- one run of blocks ----------------------------------------------------------------- */

static bool bad_half(const uint8_t *p) { return (p[1] & 0x7c) == 0x7c; }

#define LANES16(x) (UINT64_C(0x0001000100010001) * (x))
#define LANES32(x) (UINT64_C(0x0000000100000001) * (x))

/* True if any lane has all bits of its mask (which leaves out the sign, the top bit) set: an
 * infinity or a NaN. Eight bytes at a time: (v ^ mask) & mask is zero for a bad lane alone, and
 * adding `below`, all bits but the top ones, then leaves that lane's top bit clear. */
static bool any_bad_lane(const uint8_t *p, int64_t size, uint64_t mask, uint64_t below) {
  uint64_t top = ~below, good[4] = {top, top, top, top}, v[4];
  int64_t i = 0;
  for (; i + 32 <= size; i += 32) {
    memcpy(v, p + i, sizeof v);
    for (int k = 0; k < 4; k++) good[k] &= ((v[k] ^ mask) & mask) + below;
  }
  memset(v, 0, sizeof v);
  memcpy(v, p + i, (size_t)(size - i));
  for (int k = 0; k < 4; k++) good[k] &= ((v[k] ^ mask) & mask) + below;
  return (good[0] & good[1] & good[2] & good[3]) != top;
}

static bool any_bad_scale(const uint8_t *p, int64_t n, int block, int scale_at, int scales) {
  unsigned found = 0;
  for (int64_t i = 0; i < n; i++, p += block) {
    found |= bad_half(p + scale_at);
    if (scales == 2) found |= bad_half(p + scale_at + 2);
  }
  return found;
}

/* Whether bytes of a type (whole blocks) hold an infinite or NaN value or scale. */
static bool has_bad_number(kernels_type type, const uint8_t *p, int64_t size) {
  switch (type) {
  case KERNELS_F32: return any_bad_lane(p, size, LANES32(0x7f800000u), LANES32(0x7fffffffu));
  case KERNELS_F16: return any_bad_lane(p, size, LANES16(0x7c00u), LANES16(0x7fffu));
  case KERNELS_BF16: return any_bad_lane(p, size, LANES16(0x7f80u), LANES16(0x7fffu));
  case KERNELS_Q4_0: return any_bad_scale(p, size / 18, 18, 0, 1);
  case KERNELS_Q8_0: return any_bad_scale(p, size / 34, 34, 0, 1);
  case KERNELS_Q4_K: return any_bad_scale(p, size / 144, 144, 0, 2);
  case KERNELS_Q6_K: return any_bad_scale(p, size / 210, 210, 208, 1);
  }
  return true;
}

/* ---- all of them ------------------------------------------------------------------------ */

typedef struct scan {
  const model_tensors *tensors;
  int64_t *first;      /* [tensors->n + 1] owned: each tensor's first piece */
  _Atomic(int64_t) next; /* piece */
  _Atomic(int64_t) bad;  /* the first piece that has a bad number; first[n]: none is known */
} scan;

static int64_t piece_bytes(const model_tensor *t) {
  int64_t block = kernels_type_block_bytes(t->type);
  return PIECE_BYTES / block * block;
}

/* Pieces are given out in their order, so all before a bad one have been looked at, too. */
static void *scan_pieces(void *arg) {
  scan *s = arg;
  int i = 0;
  for (int64_t piece; (piece = atomic_fetch_add(&s->next, 1)) < atomic_load(&s->bad);) {
    while (piece >= s->first[i + 1]) i++;
    const model_tensor *t = &s->tensors->list[i];
    int64_t at = (piece - s->first[i]) * piece_bytes(t), size = t->bytes - at;
    if (size > piece_bytes(t)) size = piece_bytes(t);
    if (!has_bad_number(t->type, t->data + at, size)) continue;
    int64_t bad = atomic_load(&s->bad);
    while (piece < bad && !atomic_compare_exchange_weak(&s->bad, &bad, piece)) continue;
  }
  return NULL;
}

static void scan_all(scan *s, int64_t size) {
  pthread_t threads[MOST_THREADS - 1];
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  int n = 0;
  while (n < MOST_THREADS - 1 && n < cores - 1 && n < size / (2 * PIECE_BYTES) &&
         pthread_create(&threads[n], NULL, scan_pieces, s) == 0)
    n++;
  scan_pieces(s);
  while (n > 0) pthread_join(threads[--n], NULL);
}

int model__find_bad_number(const model_tensors *tensors, const model_tensor **out,
                           int64_t *block) {
  scan s = {.tensors = tensors};
  int64_t all = 0;
  int n = tensors->n;
  *out = NULL;
  s.first = malloc(((size_t)n + 1) * sizeof *s.first);
  if (!s.first) return ENGINE_ENOMEM;
  s.first[0] = 0;
  for (int i = 0; i < n; i++) {
    int64_t size = piece_bytes(&tensors->list[i]);
    all += tensors->list[i].bytes;
    s.first[i + 1] = s.first[i] + (tensors->list[i].bytes + size - 1) / size;
  }
  atomic_init(&s.bad, s.first[n]);
  scan_all(&s, all);
  int64_t bad = atomic_load(&s.bad);
  int i = 0;
  while (i < n && bad >= s.first[i + 1]) i++;
  if (i < n) {
    const model_tensor *t = *out = &tensors->list[i];
    int64_t size = kernels_type_block_bytes(t->type), last = t->bytes / size - 1;
    *block = (bad - s.first[i]) * (piece_bytes(t) / size);
    while (*block < last && !has_bad_number(t->type, t->data + *block * size, size)) ++*block;
  }
  free(s.first);
  return 0;
}
