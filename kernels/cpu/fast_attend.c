/* fast_attend.c - attention of the backend "cpu".
 *
 * An item of work is a tile of up to ATTEND_ROWS (token, head) rows of one KV head, which passes
 * over the keys in blocks of ATTEND_KEYS with a running softmax. What makes a row bit-equal in
 * every batch: its keys are counted off in the order of the slots that it attends to, so that
 * key i of the row is always lane i % KEYS of block i / ATTEND_KEYS, whatever slot it is in.
 * With a causal mask that is the cache's own layout. With a tree mask only the full groups
 * before the committed end are, and a row's further keys are gathered into groups of its own. */
#include "kernels/cpu/fast_state.h"

#include <math.h>
#include <string.h>

typedef struct attend_job {
  fast *self;
  const uint16_t *k, *v; /* of this layer: KV head h is at h * head_elements */
  size_t head_elements;
  const float *q; /* [n, heads * dim] */
  float *a;
  int dim, per_kv; /* query heads of a KV head */
  int tile_rows, tiles; /* of one KV head */
} attend_job;

/* A tree row's own groups: at most KEYS - 1 committed keys and every row of the batch. */
static int tail_groups(int max_batch) { return (max_batch + KEYS - 1 + KEYS - 1) / KEYS; }

static size_t tail_halves(const fast *self) {
  return 2 * (size_t)tail_groups(self->head.options.max_batch) * KEYS *
         (size_t)self->head.shape.head_dim;
}

static void tile_begin(attend_tile *tile, const attend_job *job, int kv, int row0, int rows) {
  float scale = 1.0f / sqrtf((float)job->dim);
  size_t heads = (size_t)job->self->head.shape.heads, dim = (size_t)job->dim;
  tile->rows = rows;
  tile->dim = job->dim;
  for (int r = 0; r < rows; r++) {
    size_t token = (size_t)((row0 + r) / job->per_kv), h = (size_t)((row0 + r) % job->per_kv);
    const float *q = job->q + (token * heads + (size_t)(kv * job->per_kv) + h) * dim;
    for (size_t i = 0; i < dim; i++) tile->q[r][i] = q[i] * scale;
    memset(tile->o[r], 0, dim * sizeof(float));
    memset(tile->sum[r], 0, sizeof tile->sum[r]);
    tile->most[r] = -INFINITY;
  }
}

static void tile_end(const attend_tile *tile, const attend_job *job, int kv, int row0) {
  size_t heads = (size_t)job->self->head.shape.heads, dim = (size_t)job->dim;
  for (int r = 0; r < tile->rows; r++) {
    size_t token = (size_t)((row0 + r) / job->per_kv), h = (size_t)((row0 + r) % job->per_kv);
    float *a = job->a + (token * heads + (size_t)(kv * job->per_kv) + h) * dim, sum = 0;
    for (int i = 0; i < 16; i++) sum += tile->sum[r][i];
    for (size_t i = 0; i < dim; i++) a[i] = tile->o[r][i] / sum;
  }
}

/* Takes groups first..last-1 into rows [row, row + n) of the tile. from[g - first] and so on are
 * the groups; limit[i] is how many keys row + i attends to, counted from key 0 of group 0. */
static void attend_groups(const cpu_level *level, attend_tile *tile, int row, int n,
                          const uint16_t *k, const uint16_t *v, int first, int last,
                          const int *limit) {
  size_t group_halves = KEYS * (size_t)tile->dim;
  for (int g = first; g < last;) {
    int end = (g / ATTEND_GROUPS + 1) * ATTEND_GROUPS, count = 0, seen[ATTEND_ROWS];
    const uint16_t *ks[ATTEND_GROUPS], *vs[ATTEND_GROUPS];
    for (int i = 0; i < n; i++) seen[i] = limit[i] - g * KEYS;
    for (; g < end && g < last; g++, count++) {
      ks[count] = k + (size_t)(g - first) * group_halves;
      vs[count] = v + (size_t)(g - first) * group_halves;
    }
    level->attend(tile, row, n, ks, vs, count, seen);
  }
}

/* ---- causal ---------------------------------------------------------------------------- */

static void causal_tile(attend_tile *tile, const attend_job *job, int kv, int row0) {
  const kernels_batch *b = &job->self->head.batch;
  const uint16_t *k = job->k + (size_t)kv * job->head_elements;
  const uint16_t *v = job->v + (size_t)kv * job->head_elements;
  int limit[ATTEND_ROWS], most = 0;
  for (int r = 0; r < tile->rows; r++)
    most = limit[r] = b->kv_len + (row0 + r) / job->per_kv + 1; /* ascending */
  attend_groups(job->self->level, tile, 0, tile->rows, k, v, 0, (most + KEYS - 1) / KEYS, limit);
}

/* ---- tree ------------------------------------------------------------------------------ */

static void gather_key(const uint16_t *k, const uint16_t *v, int dim, int slot, uint16_t *tail_k,
                       uint16_t *tail_v, int at) {
  size_t d = (size_t)dim;
  const uint16_t *source = k + (size_t)(slot / KEYS) * KEYS * d + slot % KEYS;
  uint16_t *target = tail_k + (size_t)(at / KEYS) * KEYS * d + at % KEYS;
  for (size_t i = 0; i < d; i++) target[KEYS * i] = source[KEYS * i];
  memcpy(tail_v + (size_t)at * d, v + (size_t)slot * d, d * sizeof *v);
}

/* The keys that `token` attends to from slot `first` on, in order; returns how many. */
static int gather_tail(const attend_job *job, const uint16_t *k, const uint16_t *v, int token,
                       int first, uint16_t *tail_k, uint16_t *tail_v) {
  const kernels_batch *b = &job->self->head.batch;
  const uint64_t *mask = b->mask + (size_t)token * (size_t)((b->n + 63) / 64);
  int count = 0;
  for (int slot = first; slot < b->kv_len; slot++)
    gather_key(k, v, job->dim, slot, tail_k, tail_v, count++);
  for (int j = 0; j <= token; j++)
    if (j == token || (mask[j / 64] >> (j % 64) & 1))
      gather_key(k, v, job->dim, b->kv_len + j, tail_k, tail_v, count++);
  return count;
}

/* A block must be taken in one piece, so the shared part ends at a whole block; what is left of
 * the committed groups up to there is each token's own too, but need not be copied. */
static void tree_tile(attend_tile *tile, const attend_job *job, int kv, int row0, int thread) {
  fast *self = job->self;
  const kernels_batch *b = &self->head.batch;
  const uint16_t *k = job->k + (size_t)kv * job->head_elements;
  const uint16_t *v = job->v + (size_t)kv * job->head_elements;
  size_t group_halves = KEYS * (size_t)job->dim;
  int full = b->kv_len / KEYS, shared = full / ATTEND_GROUPS * ATTEND_GROUPS;
  int limit[ATTEND_ROWS];
  for (int r = 0; r < tile->rows; r++) limit[r] = b->kv_len;
  attend_groups(self->level, tile, 0, tile->rows, k, v, 0, shared, limit);

  uint16_t *tail_k = (uint16_t *)self->gathered.data + (size_t)thread * tail_halves(self);
  uint16_t *tail_v = tail_k + tail_halves(self) / 2;
  for (int r = 0; r < tile->rows;) {
    int token = (row0 + r) / job->per_kv, n = 1;
    while (r + n < tile->rows && (row0 + r + n) / job->per_kv == token) n++;
    int keys = full * KEYS + gather_tail(job, k, v, token, full * KEYS, tail_k, tail_v);
    int groups = (keys + KEYS - 1) / KEYS;
    for (int i = 0; i < n; i++) limit[i] = keys;
    /* The first block mixes groups of the cache with gathered ones. */
    const uint16_t *ks[ATTEND_GROUPS], *vs[ATTEND_GROUPS];
    int count = 0, seen[ATTEND_ROWS];
    for (int g = shared; g < shared + ATTEND_GROUPS && g < groups; g++, count++) {
      size_t at = (size_t)(g < full ? g : g - full) * group_halves;
      ks[count] = (g < full ? k : tail_k) + at;
      vs[count] = (g < full ? v : tail_v) + at;
    }
    for (int i = 0; i < n; i++) seen[i] = keys - shared * KEYS;
    self->level->attend(tile, r, n, ks, vs, count, seen);
    int next = shared + ATTEND_GROUPS;
    if (next < groups)
      attend_groups(self->level, tile, r, n, tail_k + (size_t)(next - full) * group_halves,
                    tail_v + (size_t)(next - full) * group_halves, next, groups, limit);
    r += n;
  }
}

/* ---- the op ---------------------------------------------------------------------------- */

static void attend_item(void *arg, int item, int thread) {
  const attend_job *job = arg;
  /* Late tiles have most keys and so go first. */
  int tile_index = job->tiles - 1 - item / job->self->head.shape.kv_heads;
  int kv = item % job->self->head.shape.kv_heads, row0 = tile_index * job->tile_rows;
  int all = job->self->head.batch.n * job->per_kv;
  int rows = all - row0 < job->tile_rows ? all - row0 : job->tile_rows;
  _Alignas(64) attend_tile tile;
  tile_begin(&tile, job, kv, row0, rows);
  if (job->self->head.batch.mask) tree_tile(&tile, job, kv, row0, thread);
  else causal_tile(&tile, job, kv, row0);
  tile_end(&tile, job, kv, row0);
}

int fast__attend(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a) {
  fast *self = (fast *)k;
  const fast_cache *c = (const fast_cache *)k->cache;
  const kernels_shape *s = &k->shape;
  int threads = pool__threads(self->pool);
  if (k->batch.mask) {
    size_t bytes = host__mul(host__mul((size_t)threads, tail_halves(self)), sizeof(uint16_t));
    int rc = fast__scratch_grow(&self->gathered, bytes);
    if (rc != KERNELS_OK) return rc;
  }
  size_t at = fast_cache_at(c, s, layer, 0);
  attend_job job = {.self = self, .k = c->k + at, .v = c->v + at,
                    .head_elements = c->head_elements, .q = host__data(q), .a = host__data(a),
                    .dim = s->head_dim, .per_kv = s->heads / s->kv_heads};
  /* Small tiles where there would not be enough large ones for the threads. */
  int rows = k->batch.n * job.per_kv;
  job.tile_rows = ATTEND_ROWS;
  while (job.tile_rows > 3 && (rows + job.tile_rows - 1) / job.tile_rows * s->kv_heads < threads)
    job.tile_rows -= 3;
  job.tiles = (rows + job.tile_rows - 1) / job.tile_rows;
  pool__run(self->pool, job.tiles * s->kv_heads, attend_item, &job);
  return KERNELS_OK;
}
