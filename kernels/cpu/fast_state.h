/* fast_state.h - the backend "cpu" at run time; shared by fast.c (life of objects), fast_ops.c
 * (matrix products) and fast_attend.c (attention). */
#ifndef FIMD_KERNELS_CPU_FAST_STATE_H
#define FIMD_KERNELS_CPU_FAST_STATE_H

#include "kernels/cpu/fast.h"

/* Grows and never shrinks; what it held is lost when it grows. */
typedef struct scratch {
  void *data;
  size_t bytes;
} scratch;

typedef struct fast {
  kernels head;
  const cpu_level *level;
  pool *pool;
  host_results results;
  scratch normed;  /* float [n, hidden] */
  scratch quants;  /* act_block rows */
  scratch tiles;   /* the level's tiles of them */
  scratch expanded; /* [threads, 2] lots of panels as the level's expand leaves them */
  size_t expanded_lot;
  scratch wide;    /* float [n, widest output] */
  scratch turns;   /* float [n, head_dim]: cosines, sines of each row's position */
  scratch gathered; /* half [threads, gathered_bytes]: keys and values of a tree row's tail */
  float *frequency; /* [head_dim / 2] rotary frequencies */
} fast;

/* Groups of KEYS keys; in every layer and KV head k[groups][head_dim][KEYS] and
 * v[groups][KEYS][head_dim], half precision. */
typedef struct fast_cache {
  kernels_cache head;
  int groups;
  size_t head_elements; /* halves of one KV head in one layer */
  size_t bytes;         /* of k and of v each */
  uint16_t *k, *v;
} fast_cache;

static inline size_t fast_cache_at(const fast_cache *c, const kernels_shape *s, int layer, int kv) {
  return ((size_t)layer * (size_t)s->kv_heads + (size_t)kv) * c->head_elements;
}

int fast__scratch_grow(scratch *s, size_t bytes); /* KERNELS_OK or KERNELS_ENOMEM */

/* fast_ops.c */
int fast__begin(kernels *k);
int fast__embed(kernels *k, const kernels_weight *table, kernels_buffer *x,
                const kernels_buffer *next);
int fast__qkv(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
              const kernels_weight *w, const kernels_buffer *bias, kernels_buffer *q);
int fast__project(kernels *k, const kernels_buffer *y, const kernels_weight *w, kernels_buffer *x,
                  const kernels_buffer *next);
int fast__gate_up(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                  const kernels_weight *w, kernels_buffer *h);
int fast__head(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
               const kernels_weight *w);
int fast__end(kernels *k, kernels_result *result);
int fast__logit(kernels *k, int row, int32_t id, float *out);
int fast__logits(kernels *k, int row, const float **out);

/* fast_attend.c */
int fast__attend(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a);

#endif
