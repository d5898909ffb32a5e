/* fast_avx512.h - the vectors of fast_body.h in AVX-512, for the levels "avx512" and "amx". */
#ifndef FIMD_KERNELS_CPU_FAST_AVX512_H
#define FIMD_KERNELS_CPU_FAST_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/fast.h"

typedef __m512 v16;
typedef __m512i i16;

enum { K_STEP = 4, FLOAT_TOKENS = 4, QK_ROWS = 12, PV_ROWS = 6, PV_VECTORS = 4 };

#define V static inline __attribute__((always_inline))

V v16 v_load(const float *p) { return _mm512_loadu_ps(p); }
V void v_store(float *p, v16 x) { _mm512_storeu_ps(p, x); }
V v16 v_set(float x) { return _mm512_set1_ps(x); }
V v16 v_zero(void) { return _mm512_setzero_ps(); }
V v16 v_add(v16 x, v16 y) { return _mm512_add_ps(x, y); }
V v16 v_sub(v16 x, v16 y) { return _mm512_sub_ps(x, y); }
V v16 v_mul(v16 x, v16 y) { return _mm512_mul_ps(x, y); }
V v16 v_div(v16 x, v16 y) { return _mm512_div_ps(x, y); }
V v16 v_max(v16 x, v16 y) { return _mm512_max_ps(x, y); }
V v16 v_min(v16 x, v16 y) { return _mm512_min_ps(x, y); }
V v16 v_fma(v16 x, v16 y, v16 z) { return _mm512_fmadd_ps(x, y, z); }
V v16 v_abs(v16 x) { return _mm512_abs_ps(x); }
V float v_sum(v16 x) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
V float v_most(v16 x) {
  __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
V float v_first(v16 x) { return _mm512_cvtss_f32(x); }
V v16 v_round(v16 x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
V v16 v_power_of_two(v16 n) {
  __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}
V v16 v_zero_below(v16 x, v16 y, float limit) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y, _mm512_set1_ps(limit), _CMP_GE_OQ), x);
}
V v16 v_keep_first(v16 x, int n) {
  __mmask16 keep = n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);
  return _mm512_mask_blend_ps(keep, _mm512_set1_ps(-__builtin_inff()), x);
}
V v16 v_load_half(const uint16_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
V v16 v_load_bf16(const uint16_t *p) {
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
V void v_store_half(uint16_t *p, v16 x) {
  _mm256_storeu_si256((__m256i *)(void *)p,
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V i16 i_round(v16 x) { return _mm512_cvtps_epi32(x); }
V v16 v_from_int(i16 x) { return _mm512_cvtepi32_ps(x); }
V void sums_of_eights(__m256i a, __m256i b, int32_t *sum_a, int32_t *sum_b) {
  __m256i pairs = _mm256_hadd_epi32(a, b), fours = _mm256_hadd_epi32(pairs, pairs);
  __m128i both =
      _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
  *sum_a = _mm_cvtsi128_si32(both);
  *sum_b = _mm_extract_epi32(both, 1);
}
V __m256i halves_added(i16 x) {
  return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti32x8_epi32(x, 1));
}
V void i_sums(i16 x, i16 y, int32_t *sum_x, int32_t *sum_y) {
  sums_of_eights(halves_added(x), halves_added(y), sum_x, sum_y);
}

/* int8 high[32], low[32]: the low byte is signed, so the high one is of q + 128. */
V void store_quants(i16 q0, i16 q1, uint8_t *out) {
  __m512i half = _mm512_set1_epi32(128);
  __m128i *p = (__m128i *)(void *)out;
  _mm_storeu_si128(p, _mm512_cvtepi32_epi8(_mm512_srai_epi32(_mm512_add_epi32(q0, half), 8)));
  _mm_storeu_si128(p + 1, _mm512_cvtepi32_epi8(_mm512_srai_epi32(_mm512_add_epi32(q1, half), 8)));
  _mm_storeu_si128(p + 2, _mm512_cvtepi32_epi8(q0));
  _mm_storeu_si128(p + 3, _mm512_cvtepi32_epi8(q1));
}

V void unpack_nibbles(const uint8_t *w, uint8_t *out) {
  __m512i mask = _mm512_set1_epi8(15);
#pragma GCC unroll 4
  for (int pair = 0; pair < BLOCK / K_STEP / 2; pair++, w += 128, out += 256) {
#pragma GCC unroll 2
    for (int i = 0; i < 128; i += 64) {
      __m512i both = _mm512_loadu_si512(w + i);
      _mm512_store_si512(out + i, _mm512_and_si512(both, mask));
      _mm512_store_si512(out + 128 + i, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask));
    }
  }
}

V __m512i four_of(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

V void dot_block(const uint8_t *w, const act_block *const *x, int tokens, int from, int to,
                 int zero_shift, int which, i16 (*sum)[2]) {
  __m512i high[4][2], low[4][2];
#pragma GCC unroll 4
  for (int t = 0; t < tokens; t++) {
    __m512i start = _mm512_setzero_si512();
    if (zero_shift >= 0)
      start = _mm512_slli_epi32(_mm512_set1_epi32(x[t]->minus[which]), (unsigned)zero_shift);
    low[t][0] = low[t][1] = start;
    high[t][0] = high[t][1] = _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (int k = from; k < to; k += K_STEP) {
    __m512i w0 = _mm512_loadu_si512(w + k * PANEL), w1 = _mm512_loadu_si512(w + k * PANEL + 64);
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
      __m512i h = four_of(x[t]->q + k), l = four_of(x[t]->q + BLOCK + k);
      high[t][0] = _mm512_dpbusd_epi32(high[t][0], w0, h);
      high[t][1] = _mm512_dpbusd_epi32(high[t][1], w1, h);
      low[t][0] = _mm512_dpbusd_epi32(low[t][0], w0, l);
      low[t][1] = _mm512_dpbusd_epi32(low[t][1], w1, l);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++)
      sum[t][j] = _mm512_add_epi32(_mm512_slli_epi32(high[t][j], 8), low[t][j]);
}

#endif
