/* fast_portable.c - the level "portable": no intrinsics, for machines without AVX2.
 *
 * Also the definition of the vector functions that fast_body.h is written in: what is said here
 * with operators on short vectors, an extension that gcc and clang share and that compiles to
 * whatever the machine has, the other levels say with intrinsics. One difference: without a fused
 * instruction v_fma rounds twice, so this level's last bits are its own. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/fast.h"

typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef struct v16 { f4 v[4]; } v16;
typedef struct i16 { i4 v[4]; } i16;

enum { K_STEP = 2, FLOAT_TOKENS = 2, QK_ROWS = 3, PV_ROWS = 3, PV_VECTORS = 1 };

#define V static inline __attribute__((always_inline))
#define EACH for (int i = 0; i < 4; i++)
#define LANES for (int i = 0; i < 16; i++)

V v16 v_load(const float *p) {
  v16 r;
  memcpy(&r, p, sizeof r);
  return r;
}
V void v_store(float *p, v16 a) { memcpy(p, &a, sizeof a); }
V v16 v_set(float x) {
  f4 four = {x, x, x, x};
  return (v16){{four, four, four, four}};
}
V v16 v_zero(void) { return v_set(0); }
V v16 v_add(v16 a, v16 b) {
  EACH a.v[i] += b.v[i];
  return a;
}
V v16 v_sub(v16 a, v16 b) {
  EACH a.v[i] -= b.v[i];
  return a;
}
V v16 v_mul(v16 a, v16 b) {
  EACH a.v[i] *= b.v[i];
  return a;
}
V v16 v_div(v16 a, v16 b) {
  EACH a.v[i] /= b.v[i];
  return a;
}
V v16 v_fma(v16 a, v16 b, v16 c) { return v_add(v_mul(a, b), c); }
V f4 choose(i4 mask, f4 yes, f4 no) { return (f4)(((i4)yes & mask) | ((i4)no & ~mask)); }
V v16 v_max(v16 a, v16 b) {
  EACH a.v[i] = choose(a.v[i] > b.v[i], a.v[i], b.v[i]);
  return a;
}
V v16 v_min(v16 a, v16 b) {
  EACH a.v[i] = choose(a.v[i] < b.v[i], a.v[i], b.v[i]);
  return a;
}
V v16 v_abs(v16 a) {
  EACH a.v[i] = (f4)((i4)a.v[i] & 0x7fffffff);
  return a;
}
/* Sums over lanes fold the upper half onto the lower, down to one. */
V float v_sum(v16 a) {
  f4 four = (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
  return (four[0] + four[2]) + (four[1] + four[3]);
}
V float v_most(v16 a) {
  float lanes[16], most;
  v_store(lanes, a);
  most = lanes[0];
  LANES most = lanes[i] > most ? lanes[i] : most;
  return most;
}
V float v_first(v16 a) { return a.v[0][0]; }
/* To the nearest integer, ties to even; |a| < 2^22: 1.5 * 2^23 leaves no bits for a fraction. */
V v16 v_round(v16 a) {
  EACH a.v[i] = (a.v[i] + 0x1.8p23f) - 0x1.8p23f;
  return a;
}
/* To the nearest integer; |a| < 2^22. */
V i16 i_round(v16 a) {
  i16 r;
  a = v_round(a);
  EACH r.v[i] = __builtin_convertvector(a.v[i], i4);
  return r;
}
V v16 v_from_int(i16 a) {
  v16 r;
  EACH r.v[i] = __builtin_convertvector(a.v[i], f4);
  return r;
}
V int32_t i_sum(i16 a) {
  i4 four = (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]);
  return four[0] + four[1] + four[2] + four[3];
}
/* The sums of a's and of b's lanes. */
V void i_sums(i16 a, i16 b, int32_t *sum_a, int32_t *sum_b) {
  *sum_a = i_sum(a);
  *sum_b = i_sum(b);
}
/* 2^n for whole n in -126..127 */
V v16 v_power_of_two(v16 n) {
  EACH n.v[i] = (f4)((__builtin_convertvector(n.v[i], i4) + 127) << 23);
  return n;
}
/* a where x >= limit, else 0 */
V v16 v_zero_below(v16 a, v16 x, float limit) {
  f4 l = {limit, limit, limit, limit};
  EACH a.v[i] = (f4)((i4)a.v[i] & (x.v[i] >= l));
  return a;
}
/* The first n lanes (n may be negative), -infinity in the rest */
V v16 v_keep_first(v16 a, int n) {
  f4 absent = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  EACH {
    i4 lane = {4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3}, limit = {n, n, n, n};
    a.v[i] = choose(lane < limit, a.v[i], absent);
  }
  return a;
}
V v16 v_load_half(const uint16_t *p) {
  float lanes[16];
  LANES lanes[i] = kernels__half_to_float(p[i]);
  return v_load(lanes);
}
V v16 v_load_bf16(const uint16_t *p) {
  uint32_t bits[16];
  v16 r;
  LANES bits[i] = (uint32_t)p[i] << 16;
  memcpy(&r, bits, sizeof r);
  return r;
}

/* To the nearest half, ties to even; |x| <= 65504 or NaN. */
static uint16_t half_from_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
  if (magnitude < 0x38800000u) /* below 2^-14: units of 2^-24 */
    return (uint16_t)(sign | (uint32_t)((fabsf(x) * 0x1p24f + 0x1.8p23f) - 0x1.8p23f));
  uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
  return (uint16_t)(sign | ((rounded >> 13) - (112u << 10)));
}
V void v_store_half(uint16_t *p, v16 a) {
  float lanes[16];
  v_store(lanes, a);
  LANES p[i] = half_from_float(lanes[i]);
}

/* q as int16[32] */
V void store_quants(i16 q0, i16 q1, uint8_t *out) {
  int32_t wide[BLOCK];
  int16_t q[BLOCK];
  memcpy(wide, &q0, sizeof q0);
  memcpy(wide + 16, &q1, sizeof q1);
  for (int i = 0; i < BLOCK; i++) q[i] = (int16_t)wide[i];
  memcpy(out, q, sizeof q);
}

/* Steps 2p and 2p + 1 from the low and the high nibbles of pair p. */
V void unpack_nibbles(const uint8_t *w, uint8_t *out) {
  enum { STEP = PANEL * K_STEP };
  for (int pair = 0; pair < BLOCK / K_STEP / 2; pair++, w += STEP, out += 2 * STEP)
    for (int i = 0; i < STEP; i++) out[i] = w[i] & 15, out[STEP + i] = w[i] >> 4;
}

/* sum[tokens][32 rows]: exact dot products of columns from..to of a block of quants, each less
 * its zero point 2^zero_shift (none if that is negative); minus[which] of x is the sum needed. */
static void dot_block(const uint8_t *w, const act_block *const *x, int tokens, int from, int to,
                      int zero_shift, int which, i16 (*sum)[2]) {
  for (int t = 0; t < tokens; t++) {
    int16_t q[BLOCK];
    int32_t dot[PANEL], start = zero_shift < 0 ? 0 : x[t]->minus[which] * (1 << zero_shift);
    memcpy(q, x[t]->q, sizeof q);
    for (int i = 0; i < PANEL; i++) dot[i] = start;
    for (int k = from; k < to; k += K_STEP) {
      const uint8_t *pair = w + k * PANEL;
      for (int i = 0; i < PANEL; i++)
        dot[i] += (int16_t)pair[2 * i] * q[k] + (int16_t)pair[2 * i + 1] * q[k + 1];
    }
    memcpy(sum[t], dot, sizeof dot);
  }
}

#include "kernels/cpu/fast_body.h"

const cpu_level cpu__portable = {
    .variant = "portable",
    .name = "portable",
    .k_step = K_STEP,
    .norm = level_norm,
    .quantize = level_quantize,
    .multiply = level_multiply,
    .add = level_add,
    .glu = level_glu,
    .rotate = level_rotate,
    .logsumexp = level_logsumexp,
    .to_half = level_to_half,
    .attend = level_attend,
};
