/* fast_body.h - the arithmetic of a level, written once over vectors of 16 floats or ints.
 *
 * Included by each fast_*.c after it has defined, for its instruction set, the types v16 and i16
 * and the small functions on them (see fast_portable.c for what each means), and:
 *   enum { K_STEP }                     columns of a step in packed quants
 *   enum { FLOAT_TOKENS }               tokens of a tile of float weights
 *   enum { QK_ROWS }                    rows of a tile of q k^T
 *   enum { PV_ROWS, PV_VECTORS }        rows and vectors of a tile of p v
 *   dot_block(w, x, tokens, from, to, zero_shift, which, sum)
 *   unpack_nibbles(w, out), store_quants(q0, q1, out)
 * Functions marked INLINE are meant to be instantiated with constant arguments.
 *
 * Order is part of the contract (see kernels.h). Every function here computes a row with the
 * same operations in the same order whatever else it computes beside it; there are no other
 * places to look at for that. */
#include "kernels/cpu/fast.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#ifndef UNROLL
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { TOKENS = 4 }; /* tokens of a tile of quantized weights */

/* ---- rows of floats -------------------------------------------------------------------- */

/* The first n < 16 elements, then zeros. */
INLINE v16 load_first(const float *p, int n) {
  float padded[16] = {0};
  memcpy(padded, p, (size_t)n * sizeof *p);
  return v_load(padded);
}

INLINE void store_first(float *p, int n, v16 v) {
  float padded[16];
  v_store(padded, v);
  memcpy(p, padded, (size_t)n * sizeof *p);
}

static void level_norm(const float *x, const float *norm, int n, float eps, float *out) {
  v16 squares = v_zero();
  int i = 0;
  for (; i + 16 <= n; i += 16) squares = v_fma(v_load(x + i), v_load(x + i), squares);
  if (i < n) squares = v_fma(load_first(x + i, n - i), load_first(x + i, n - i), squares);
  v16 scale = v_set(1.0f / sqrtf(v_sum(squares) / (float)n + eps));
  for (i = 0; i + 16 <= n; i += 16)
    v_store(out + i, v_mul(v_mul(v_load(x + i), scale), v_load(norm + i)));
  if (i < n)
    store_first(out + i, n - i,
                v_mul(v_mul(load_first(x + i, n - i), scale), load_first(norm + i, n - i)));
}

/* 1/d of a block whose largest magnitude this is, 0 where d is 0 or NaN. */
INLINE float act_inverse(float most) {
  return most > 1e-30f && most <= FLT_MAX ? ACT_MAX / most : 0;
}

INLINE i16 act_round(v16 x, v16 inverse) {
  v16 scaled = v_mul(x, inverse); /* only a NaN needs the bounds */
  return i_round(v_min(v_max(scaled, v_set(-ACT_MAX)), v_set(ACT_MAX)));
}

static void level_quantize(const float *x, int n, act_block *out) {
  for (int i = 0; i < n; i += BLOCK, out++) {
    v16 a = v_load(x + i), b = v_load(x + i + 16);
    float most = v_most(v_max(v_abs(a), v_abs(b)));
    v16 inverse = v_set(act_inverse(most));
    i16 qa = act_round(a, inverse), qb = act_round(b, inverse);
    store_quants(qa, qb, out->q);
    out->most = most;
    out->d = most > FLT_MAX ? NAN /* keeps what has overflowed visible in the result */
             : most > 1e-30f ? most * (1.0f / ACT_MAX) : 0;
    int32_t sum_a, sum_b;
    i_sums(qa, qb, &sum_a, &sum_b);
    out->minus[0] = -sum_a - sum_b;
    out->minus[1] = -sum_a;
    out->minus[2] = -sum_b;
    out->minus_sum = out->d * (float)out->minus[0];
  }
}

/* e^x within 3e-7 of the truth, relatively; exactly 0 below -87 and exactly 1 at 0. x = n ln 2 + r
 * with |r| <= ln(2)/2, then e^r by its series to r^6. */
INLINE v16 v_exp(v16 x) {
  v16 clamped = v_min(v_max(x, v_set(-87.0f)), v_set(88.0f));
  v16 n = v_round(v_mul(clamped, v_set(0x1.715476p+0f)));
  v16 r = v_fma(n, v_set(-0x1.62e4p-1f), clamped);
  r = v_fma(n, v_set(-0x1.7f7d1cp-20f), r);
  v16 p = v_set(1.0f / 720);
  p = v_fma(p, r, v_set(1.0f / 120));
  p = v_fma(p, r, v_set(1.0f / 24));
  p = v_fma(p, r, v_set(1.0f / 6));
  p = v_fma(p, r, v_set(0.5f));
  p = v_fma(p, r, v_set(1.0f));
  p = v_fma(p, r, v_set(1.0f));
  return v_zero_below(v_mul(p, v_power_of_two(n)), x, -87.0f);
}

INLINE v16 v_silu_mul(v16 gate, v16 up) {
  v16 one = v_set(1.0f);
  return v_mul(v_div(gate, v_add(one, v_exp(v_sub(v_zero(), gate)))), up);
}

static void level_glu(const float *gate, const float *up, int n, float *h) {
  int i = 0;
  for (; i + 16 <= n; i += 16) v_store(h + i, v_silu_mul(v_load(gate + i), v_load(up + i)));
  if (i < n)
    store_first(h + i, n - i,
                v_silu_mul(load_first(gate + i, n - i), load_first(up + i, n - i)));
}

/* A row of a large vocabulary is long: 16 lanes of float for a stretch of it, then a double. v_exp
 * makes nothing of a NaN, and exactly 1 of the largest, so the sum is never below 1. */
static float level_logsumexp(const float *x, int n, float most) {
  enum { STRETCH = 2048 };
  v16 largest = v_set(most);
  double sum = 0;
  if (most == -INFINITY) return most; /* no number among them */
  for (int from = 0; from < n; from += STRETCH) {
    int i = from, end = n - from < STRETCH ? n : from + STRETCH;
    v16 lanes = v_zero();
    for (; i + 16 <= end; i += 16) lanes = v_add(lanes, v_exp(v_sub(v_load(x + i), largest)));
    if (i < end) {
      v16 rest = v_keep_first(load_first(x + i, end - i), end - i);
      lanes = v_add(lanes, v_exp(v_sub(rest, largest)));
    }
    sum += (double)v_sum(lanes);
  }
  return (float)(most + log(sum));
}

static void level_add(const float *x, int n, float *y) {
  int i = 0;
  for (; i + 16 <= n; i += 16) v_store(y + i, v_add(v_load(y + i), v_load(x + i)));
  for (; i < n; i++) y[i] += x[i];
}

static void level_rotate(float *head, int dim, const float *turn) {
  int half = dim / 2;
  for (int i = 0; i < half; i += 16) {
    v16 c = v_load(turn + i), s = v_load(turn + half + i);
    v16 a = v_load(head + i), b = v_load(head + half + i);
    v_store(head + i, v_sub(v_mul(a, c), v_mul(b, s)));
    v_store(head + half + i, v_add(v_mul(b, c), v_mul(a, s)));
  }
}

static void level_to_half(const float *x, int n, uint16_t *out) {
  for (int i = 0; i < n; i += 16)
    v_store_half(out + i, v_min(v_max(v_load(x + i), v_set(-65504.0f)), v_set(65504.0f)));
}

/* ---- quantized weights ----------------------------------------------------------------- */

INLINE const act_block *block_at(const uint8_t *row, int b) {
  return (const act_block *)(const void *)(row + (size_t)b * sizeof(act_block));
}

/* Adds scale * d * (integer sum) for columns from..to of the block to the tile's sums. */
INLINE void add_block(const uint8_t *w, const act_block *const *x, int tokens, int from, int to,
                      int zero_shift, int which, v16 scale0, v16 scale1, v16 (*sum)[2]) {
  i16 dot[TOKENS][2];
  dot_block(w, x, tokens, from, to, zero_shift, which, dot);
  UNROLL for (int t = 0; t < tokens; t++) {
    v16 d = v_set(x[t]->d);
    sum[t][0] = v_fma(v_from_int(dot[t][0]), v_mul(scale0, d), sum[t][0]);
    sum[t][1] = v_fma(v_from_int(dot[t][1]), v_mul(scale1, d), sum[t][1]);
  }
}

/* How far ahead of its use a panel is asked for, in bytes: the processor's own guesses end at every
 * page and leave a fifth of the memory's speed unused. */
enum { PREFETCH = 4096, LINE = 64 };

/* y[tokens, 32] of one panel. x: row of the first token. fresh: the panel comes from memory. */
INLINE void quantized_tile(cpu_kind kind, bool fresh, int tokens, const uint8_t *w, int blocks,
                           const uint8_t *x, size_t x_stride, float *y, size_t y_stride) {
  v16 sum[TOKENS][2];
  UNROLL for (int t = 0; t < tokens; t++) sum[t][0] = sum[t][1] = v_zero();
  bool nibbles = kind == CPU_Q4 || kind == CPU_Q4M;
  size_t quant_bytes = nibbles ? PANEL * BLOCK / 2 : PANEL * BLOCK;
  size_t scale_bytes = kind == CPU_Q8 || kind == CPU_Q4 ? PANEL * 2 : PANEL * 8;
  for (int b = 0; b < blocks; b++) {
    if (fresh)
      for (size_t i = 0; i < quant_bytes + scale_bytes; i += LINE)
        __builtin_prefetch(w + PREFETCH + i);
    const act_block *rows[TOKENS];
    UNROLL for (int t = 0; t < tokens; t++) rows[t] = block_at(x + (size_t)t * x_stride, b);
    _Alignas(64) uint8_t unpacked[PANEL * BLOCK];
    const uint8_t *q = w;
    if (nibbles) {
      unpack_nibbles(w, unpacked);
      q = unpacked;
    }
    w += quant_bytes;
    if (kind == CPU_Q8 || kind == CPU_Q4) {
      const uint16_t *scale = (const uint16_t *)(const void *)w;
      add_block(q, rows, tokens, 0, BLOCK, kind == CPU_Q8 ? 7 : 3, 0, v_load_half(scale),
                v_load_half(scale + 16), sum);
    } else {
      const float *scale = (const float *)(const void *)w;
      v16 s0 = v_load(scale), s1 = v_load(scale + 16);
      v16 t0 = v_load(scale + 32), t1 = v_load(scale + 48);
      if (kind == CPU_Q4M) {
        add_block(q, rows, tokens, 0, BLOCK, -1, 0, s0, s1, sum);
        UNROLL for (int t = 0; t < tokens; t++) {
          v16 minus = v_set(rows[t]->minus_sum);
          sum[t][0] = v_fma(t0, minus, sum[t][0]);
          sum[t][1] = v_fma(t1, minus, sum[t][1]);
        }
      } else {
        add_block(q, rows, tokens, 0, BLOCK / 2, 5, 1, s0, s1, sum);
        add_block(q, rows, tokens, BLOCK / 2, BLOCK, 5, 2, t0, t1, sum);
      }
    }
    w += scale_bytes;
  }
  UNROLL for (int t = 0; t < tokens; t++) {
    v_store(y + (size_t)t * y_stride, sum[t][0]);
    v_store(y + (size_t)t * y_stride + 16, sum[t][1]);
  }
}

INLINE void quantized_panel(cpu_kind kind, const uint8_t *w, int blocks, const uint8_t *x,
                            size_t x_stride, int tokens, float *y, size_t y_stride) {
  if (tokens >= TOKENS) {
    quantized_tile(kind, true, TOKENS, w, blocks, x, x_stride, y, y_stride);
    while (tokens -= TOKENS, x += TOKENS * x_stride, y += TOKENS * y_stride, tokens >= TOKENS)
      quantized_tile(kind, false, TOKENS, w, blocks, x, x_stride, y, y_stride);
  }
  if (tokens == 3) quantized_tile(kind, true, 3, w, blocks, x, x_stride, y, y_stride);
  if (tokens == 2) quantized_tile(kind, true, 2, w, blocks, x, x_stride, y, y_stride);
  if (tokens == 1) quantized_tile(kind, true, 1, w, blocks, x, x_stride, y, y_stride);
}

/* ---- float weights --------------------------------------------------------------------- */

INLINE v16 load_weight(cpu_kind kind, const uint8_t *w, int half) {
  if (kind == CPU_HALF) return v_load_half((const uint16_t *)(const void *)w + 16 * half);
  if (kind == CPU_BF16) return v_load_bf16((const uint16_t *)(const void *)w + 16 * half);
  return v_load((const float *)(const void *)w + 16 * half);
}

INLINE void float_tile(cpu_kind kind, int tokens, const uint8_t *w, int cols, const float *x,
                       size_t x_stride, float *y, size_t y_stride) {
  v16 sum[FLOAT_TOKENS][2];
  UNROLL for (int t = 0; t < tokens; t++) sum[t][0] = sum[t][1] = v_zero();
  for (int k = 0; k < cols; k++) {
    v16 w0 = load_weight(kind, w, 0), w1 = load_weight(kind, w, 1);
    UNROLL for (int t = 0; t < tokens; t++) {
      v16 a = v_set(x[(size_t)t * x_stride + (size_t)k]);
      sum[t][0] = v_fma(w0, a, sum[t][0]);
      sum[t][1] = v_fma(w1, a, sum[t][1]);
    }
    w += kind == CPU_F32 ? PANEL * 4 : PANEL * 2;
  }
  UNROLL for (int t = 0; t < tokens; t++) {
    v_store(y + (size_t)t * y_stride, sum[t][0]);
    v_store(y + (size_t)t * y_stride + 16, sum[t][1]);
  }
}

INLINE void float_panel(cpu_kind kind, const uint8_t *w, int cols, const float *x, size_t x_stride,
                        int tokens, float *y, size_t y_stride) {
  for (; tokens >= FLOAT_TOKENS;
       tokens -= FLOAT_TOKENS, x += FLOAT_TOKENS * x_stride, y += FLOAT_TOKENS * y_stride)
    float_tile(kind, FLOAT_TOKENS, w, cols, x, x_stride, y, y_stride);
  for (; tokens > 0; tokens--, x += x_stride, y += y_stride)
    float_tile(kind, 1, w, cols, x, x_stride, y, y_stride);
}

static void level_multiply(const cpu_segment *s, int64_t first, int count, const cpu_acts *x,
                           int token, int tokens, const uint8_t *expanded, float *y,
                           size_t y_stride) {
  (void)expanded;
  int cols = (int)s->source.cols, blocks = cols / BLOCK;
  const uint8_t *w = s->data + (size_t)first * s->panel_bytes;
  bool quantized = cpu_kind_is_quantized(s->kind);
  const uint8_t *q = quantized ? x->q + (size_t)token * x->q_stride : NULL;
  const float *f = quantized ? NULL : x->f + (size_t)token * x->f_stride;
  size_t q_stride = x->q_stride, f_stride = x->f_stride;
  for (int i = 0; i < count; i++, w += s->panel_bytes, y += PANEL) {
    switch (s->kind) {
    case CPU_Q8: quantized_panel(CPU_Q8, w, blocks, q, q_stride, tokens, y, y_stride); break;
    case CPU_Q4: quantized_panel(CPU_Q4, w, blocks, q, q_stride, tokens, y, y_stride); break;
    case CPU_Q4M: quantized_panel(CPU_Q4M, w, blocks, q, q_stride, tokens, y, y_stride); break;
    case CPU_Q8H: quantized_panel(CPU_Q8H, w, blocks, q, q_stride, tokens, y, y_stride); break;
    case CPU_HALF: float_panel(CPU_HALF, w, cols, f, f_stride, tokens, y, y_stride); break;
    case CPU_BF16: float_panel(CPU_BF16, w, cols, f, f_stride, tokens, y, y_stride); break;
    case CPU_F32: float_panel(CPU_F32, w, cols, f, f_stride, tokens, y, y_stride); break;
    }
  }
}

/* ---- attention ------------------------------------------------------------------------- */

typedef struct score_tile {
  _Alignas(64) float s[ATTEND_ROWS][ATTEND_KEYS]; /* scores, then p = e^(s - most) */
  float rescale[ATTEND_ROWS];                     /* of what was summed before this block */
} score_tile;

/* s[rows, 16 keys] = q k^T for one group of keys, k[dim][16]. */
INLINE void score_rows(int rows, const float (*q)[MAX_HEAD_DIM], int dim, const uint16_t *k,
                       float (*s)[ATTEND_KEYS]) {
  v16 sum[ATTEND_ROWS];
  UNROLL for (int r = 0; r < rows; r++) sum[r] = v_zero();
  for (int d = 0; d < dim; d++) {
    v16 key = v_load_half(k + KEYS * d);
    UNROLL for (int r = 0; r < rows; r++) sum[r] = v_fma(v_set(q[r][d]), key, sum[r]);
  }
  UNROLL for (int r = 0; r < rows; r++) v_store(s[r], sum[r]);
}

static void score_group(int rows, const float (*q)[MAX_HEAD_DIM], int dim, const uint16_t *k,
                        float (*s)[ATTEND_KEYS]) {
  for (; rows >= QK_ROWS; rows -= QK_ROWS, q += QK_ROWS, s += QK_ROWS)
    score_rows(QK_ROWS, q, dim, k, s);
  for (; rows >= 3; rows -= 3, q += 3, s += 3) score_rows(3, q, dim, k, s);
  if (rows == 2) score_rows(2, q, dim, k, s);
  if (rows == 1) score_rows(1, q, dim, k, s);
}

/* One row's share of the softmax: scores become p, the row's maximum and sum are brought up to
 * date. Keys beyond `seen` count as absent: they add an exact zero. */
static void soften_row(attend_tile *tile, int row, float *s, float *rescale, int groups, int seen) {
  if (seen <= 0) {
    for (int g = 0; g < groups; g++) v_store(s + KEYS * g, v_zero());
    *rescale = 1.0f;
    return;
  }
  v16 most = v_set(tile->most[row]);
  for (int g = 0; g < groups; g++) {
    v16 v = v_load(s + KEYS * g);
    if (seen < KEYS * (g + 1)) v_store(s + KEYS * g, v = v_keep_first(v, seen - KEYS * g));
    most = v_max(most, v);
  }
  most = v_set(v_most(most));
  v16 old = v_exp(v_sub(v_set(tile->most[row]), most));
  v16 sum = v_mul(v_load(tile->sum[row]), old);
  for (int g = 0; g < groups; g++) {
    v16 p = v_exp(v_sub(v_load(s + KEYS * g), most));
    sum = v_add(sum, p);
    v_store(s + KEYS * g, p);
  }
  v_store(tile->sum[row], sum);
  tile->most[row] = v_first(most);
  *rescale = v_first(old);
}

/* o[rows, PV_VECTORS * 16] = o * rescale + p v, keys in order. v points at the columns. */
INLINE void add_values(int rows, float (*o)[MAX_HEAD_DIM], const float *rescale,
                       const float (*p)[ATTEND_KEYS], const uint16_t *const *v, int dim, int column,
                       int keys) {
  v16 sum[PV_ROWS][PV_VECTORS];
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int j = 0; j < PV_VECTORS; j++)
      sum[r][j] = v_mul(v_load(o[r] + column + 16 * j), v_set(rescale[r]));
  for (int key = 0; key < keys; key++) {
    const uint16_t *value = v[key / KEYS] + (size_t)(key % KEYS * dim + column);
    v16 x[PV_VECTORS];
    UNROLL for (int j = 0; j < PV_VECTORS; j++) x[j] = v_load_half(value + 16 * j);
    UNROLL for (int r = 0; r < rows; r++)
      UNROLL for (int j = 0; j < PV_VECTORS; j++)
        sum[r][j] = v_fma(v_set(p[r][key]), x[j], sum[r][j]);
  }
  UNROLL for (int r = 0; r < rows; r++)
    UNROLL for (int j = 0; j < PV_VECTORS; j++) v_store(o[r] + column + 16 * j, sum[r][j]);
}

static void level_attend(attend_tile *tile, int row, int n, const uint16_t *const *k,
                         const uint16_t *const *v, int groups, const int *seen) {
  score_tile scores;
  int keys = 0, dim = tile->dim;
  for (int r = 0; r < n; r++) keys = seen[r] > keys ? seen[r] : keys;
  if (keys > groups * KEYS) keys = groups * KEYS;
  for (int g = 0; g < groups; g++)
    score_group(n, (const float(*)[MAX_HEAD_DIM])tile->q + row, dim, k[g],
                (float(*)[ATTEND_KEYS])(void *)&scores.s[0][KEYS * g]);
  for (int r = 0; r < n; r++)
    soften_row(tile, row + r, scores.s[r], &scores.rescale[r], groups, seen[r]);
  for (int column = 0; column < dim; column += 16 * PV_VECTORS) {
    float(*o)[MAX_HEAD_DIM] = tile->o + row;
    const float(*p)[ATTEND_KEYS] = (const float(*)[ATTEND_KEYS])scores.s;
    const float *rescale = scores.rescale;
    int rows = n;
    for (; rows >= PV_ROWS; rows -= PV_ROWS, o += PV_ROWS, p += PV_ROWS, rescale += PV_ROWS)
      add_values(PV_ROWS, o, rescale, p, v, dim, column, keys);
    for (; rows >= 3; rows -= 3, o += 3, p += 3, rescale += 3)
      add_values(3, o, rescale, p, v, dim, column, keys);
    if (rows == 2) add_values(2, o, rescale, p, v, dim, column, keys);
    if (rows == 1) add_values(1, o, rescale, p, v, dim, column, keys);
  }
}
