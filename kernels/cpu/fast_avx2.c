/* fast_avx2.c - the level "avx2" (with FMA and F16C): two registers make a vector of 16.
 *
 * Integer products: pairs of 16-bit activations times pairs of weights widened from 8 bits
 * (vpmaddwd). The 8-bit vpmaddubsw would do twice as many at a time but saturates, and 8-bit
 * activations are not precise enough to be worth that. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/fast.h"

typedef struct v16 { __m256 a, b; } v16;
typedef struct i16 { __m256i a, b; } i16;

enum { K_STEP = 2, FLOAT_TOKENS = 2, QK_ROWS = 6, PV_ROWS = 6, PV_VECTORS = 1 };

#define V static inline __attribute__((always_inline))

V v16 v_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
V void v_store(float *p, v16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
V v16 v_set(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
V v16 v_zero(void) { return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
V v16 v_add(v16 x, v16 y) { return (v16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
V v16 v_sub(v16 x, v16 y) { return (v16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
V v16 v_mul(v16 x, v16 y) { return (v16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
V v16 v_div(v16 x, v16 y) { return (v16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
V v16 v_max(v16 x, v16 y) { return (v16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
V v16 v_min(v16 x, v16 y) { return (v16){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
V v16 v_fma(v16 x, v16 y, v16 z) {
  return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
V v16 v_abs(v16 x) {
  __m256 sign = _mm256_set1_ps(-0.0f);
  return (v16){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
V float v_sum(v16 x) {
  __m256 eight = _mm256_add_ps(x.a, x.b);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
V float v_most(v16 x) {
  __m256 eight = _mm256_max_ps(x.a, x.b);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
V float v_first(v16 x) { return _mm256_cvtss_f32(x.a); }
V v16 v_round(v16 x) {
  return (v16){_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
               _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
V __m256 power_of_two(__m256 n) {
  __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
V v16 v_power_of_two(v16 n) { return (v16){power_of_two(n.a), power_of_two(n.b)}; }
V v16 v_zero_below(v16 x, v16 y, float limit) {
  __m256 l = _mm256_set1_ps(limit);
  return (v16){_mm256_and_ps(x.a, _mm256_cmp_ps(y.a, l, _CMP_GE_OQ)),
               _mm256_and_ps(x.b, _mm256_cmp_ps(y.b, l, _CMP_GE_OQ))};
}
V __m256 keep_first(__m256 x, int n, int lane) {
  __m256i index = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                   _mm256_set1_epi32(lane));
  __m256 keep = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), index));
  return _mm256_blendv_ps(_mm256_set1_ps(-__builtin_inff()), x, keep);
}
V v16 v_keep_first(v16 x, int n) { return (v16){keep_first(x.a, n, 0), keep_first(x.b, n, 8)}; }
V __m256 load_half(const uint16_t *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
V v16 v_load_half(const uint16_t *p) { return (v16){load_half(p), load_half(p + 8)}; }
V __m256 load_bf16(const uint16_t *p) {
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
V v16 v_load_bf16(const uint16_t *p) { return (v16){load_bf16(p), load_bf16(p + 8)}; }
V void v_store_half(uint16_t *p, v16 x) {
  enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
  _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(x.a, NEAREST));
  _mm_storeu_si128((__m128i *)(void *)(p + 8), _mm256_cvtps_ph(x.b, NEAREST));
}
V i16 i_round(v16 x) { return (i16){_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
V v16 v_from_int(i16 x) { return (v16){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
V void sums_of_eights(__m256i a, __m256i b, int32_t *sum_a, int32_t *sum_b) {
  __m256i pairs = _mm256_hadd_epi32(a, b), fours = _mm256_hadd_epi32(pairs, pairs);
  __m128i both =
      _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
  *sum_a = _mm_cvtsi128_si32(both);
  *sum_b = _mm_extract_epi32(both, 1);
}
V void i_sums(i16 x, i16 y, int32_t *sum_x, int32_t *sum_y) {
  sums_of_eights(_mm256_add_epi32(x.a, x.b), _mm256_add_epi32(y.a, y.b), sum_x, sum_y);
}

/* q as int16[32] */
V void store_quants(i16 q0, i16 q1, uint8_t *out) {
  __m256i first = _mm256_permute4x64_epi64(_mm256_packs_epi32(q0.a, q0.b), 0xd8);
  __m256i second = _mm256_permute4x64_epi64(_mm256_packs_epi32(q1.a, q1.b), 0xd8);
  _mm256_storeu_si256((__m256i *)(void *)out, first);
  _mm256_storeu_si256((__m256i *)(void *)(out + 32), second);
}

V void unpack_nibbles(const uint8_t *w, uint8_t *out) {
  __m256i mask = _mm256_set1_epi8(15);
  for (int pair = 0; pair < BLOCK / K_STEP / 2; pair++, w += 64, out += 128) {
    for (int i = 0; i < 64; i += 32) {
      __m256i both = _mm256_loadu_si256((const __m256i *)(const void *)(w + i));
      __m256i low = _mm256_and_si256(both, mask);
      __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
      _mm256_store_si256((__m256i *)(void *)(out + i), low);
      _mm256_store_si256((__m256i *)(void *)(out + 64 + i), high);
    }
  }
}

V __m256i widen(const uint8_t *p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Half of the rows at a time: with two sums for each of four tokens the registers suffice. */
V void dot_block(const uint8_t *w, const act_block *const *x, int tokens, int from, int to,
                 int zero_shift, int which, i16 (*sum)[2]) {
  for (int half = 0; half < 2; half++) {
    i16 s[4];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
      __m256i start = _mm256_setzero_si256();
      if (zero_shift >= 0) start = _mm256_set1_epi32(x[t]->minus[which] * (1 << zero_shift));
      s[t].a = s[t].b = start;
    }
#pragma GCC unroll 2
    for (int k = from; k < to; k += K_STEP) {
      const uint8_t *p = w + k * PANEL + half * 16 * K_STEP;
      __m256i w0 = widen(p), w1 = widen(p + 16);
#pragma GCC unroll 4
      for (int t = 0; t < tokens; t++) {
        int32_t pair;
        memcpy(&pair, x[t]->q + 2 * k, sizeof pair);
        __m256i q = _mm256_set1_epi32(pair);
        s[t].a = _mm256_add_epi32(s[t].a, _mm256_madd_epi16(w0, q));
        s[t].b = _mm256_add_epi32(s[t].b, _mm256_madd_epi16(w1, q));
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) sum[t][half] = s[t];
  }
}

#include "kernels/cpu/fast_body.h"

const cpu_level cpu__avx2 = {
    .variant = "avx2",
    .name = "avx2",
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
