/* test_types.c - the element types: sizes, and that kernels_dequantize_row reads what a packer
 * written from the format's description wrote. */
#include "tests/kernels/toy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const kernels_type types[] = {KERNELS_F32, KERNELS_F16, KERNELS_Q4_0, KERNELS_Q8_0,
                                     KERNELS_Q4_K, KERNELS_Q6_K, KERNELS_BF16};
enum { TYPES = sizeof types / sizeof *types };

static uint64_t seed;

static void sizes(void **state) {
  (void)state;
  static const int elements[TYPES] = {1, 1, 32, 32, 256, 256, 1};
  static const int bytes[TYPES] = {4, 2, 18, 34, 144, 210, 2};
  static const char *const names[TYPES] = {"F32", "F16", "Q4_0", "Q8_0", "Q4_K", "Q6_K", "BF16"};
  for (int i = 0; i < TYPES; i++) {
    assert_int_equal(kernels_type_block_elements(types[i]), elements[i]);
    assert_int_equal(kernels_type_block_bytes(types[i]), bytes[i]);
    assert_string_equal(kernels_type_name(types[i]), names[i]);
  }
  static const int unknown[] = {-1, 3, 9, 13, 15, 29, 31, 1 << 20};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    assert_null(kernels_type_name((kernels_type)unknown[i]));
    assert_int_equal(kernels_type_block_elements((kernels_type)unknown[i]), 0);
    assert_int_equal(kernels_type_block_bytes((kernels_type)unknown[i]), 0);
  }
}

static int64_t bytes_of(kernels_type type, int64_t rows, int64_t cols) {
  kernels_matrix m = {.type = type, .rows = rows, .cols = cols};
  return kernels_matrix_bytes(&m);
}

static void matrix_bytes(void **state) {
  (void)state;
  assert_int_equal(bytes_of(KERNELS_Q8_0, 3, 64), 3 * 68);
  assert_int_equal(bytes_of(KERNELS_Q4_K, 2, 512), 2 * 288);
  assert_int_equal(bytes_of(KERNELS_F32, 0, 5), 0);
  assert_int_equal(bytes_of(KERNELS_Q8_0, 3, 63), -1);
  assert_int_equal(bytes_of(KERNELS_Q6_K, 1, 128), -1);
  assert_int_equal(bytes_of(KERNELS_F32, -1, 4), -1);
  assert_int_equal(bytes_of(KERNELS_F32, 4, -1), -1);
  assert_int_equal(bytes_of((kernels_type)77, 1, 1), -1);
  assert_int_equal(bytes_of(KERNELS_F32, INT64_MAX, 1), -1);
  assert_int_equal(bytes_of(KERNELS_F32, 1, INT64_MAX), -1);
  assert_int_equal(bytes_of(KERNELS_F32, (int64_t)1 << 31, (int64_t)1 << 31), -1);
  assert_int_equal(bytes_of(KERNELS_F16, (int64_t)1 << 31, (int64_t)1 << 30), INT64_C(1) << 62);
  assert_int_equal(kernels_matrix_bytes(NULL), -1);
}

/* Same number; any NaN equals any. */
static bool same(float a, float b) {
  return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

/* What 1 sign, e exponent and m mantissa bits mean, by the definition. */
static float decode(uint32_t bits, int e, int m) {
  uint32_t mantissa = bits & ((1u << m) - 1), exponent = bits >> m & ((1u << e) - 1);
  int bias = (1 << (e - 1)) - 1;
  double sign = bits >> (e + m) ? -1 : 1;
  if (exponent == (1u << e) - 1) return mantissa ? NAN : (float)(sign * INFINITY);
  double fraction = ldexp(mantissa, -m);
  if (exponent == 0) return (float)(sign * ldexp(fraction, 1 - bias));
  return (float)(sign * ldexp(1 + fraction, (int)exponent - bias));
}

static void every_half(void **state) {
  (void)state;
  for (uint32_t bits = 0; bits < 1u << 16; bits++) {
    uint16_t in = (uint16_t)bits;
    float f16, bf16;
    assert_int_equal(kernels_dequantize_row(KERNELS_F16, &in, 1, &f16), 0);
    assert_int_equal(kernels_dequantize_row(KERNELS_BF16, &in, 1, &bf16), 0);
    assert_true(same(f16, decode(bits, 5, 10)));
    assert_true(same(bf16, decode(bits, 8, 7)));
  }
}

/* ---- packers --------------------------------------------------------------------------- */

static void set_bits(uint8_t *p, int at, int width, int value) {
  for (int i = 0; i < width; i++)
    if (value >> i & 1) p[(at + i) / 8] |= (uint8_t)(1 << (at + i) % 8);
}

/* Packs values[elements] and fills want with what they mean. Each names bit positions. */
static void pack_q8_0(toy_random *r, uint8_t *p, double *want) {
  uint16_t d = toy_half(toy_scale(r, 0.01f) * (toy_below(r, 2) ? 1 : -1));
  memcpy(p, &d, 2);
  for (int i = 0; i < 32; i++) {
    int q = toy_below(r, 256) - 128;
    p[2 + i] = (uint8_t)q;
    want[i] = (double)decode(d, 5, 10) * q;
  }
}

static void pack_q4_0(toy_random *r, uint8_t *p, double *want) {
  uint16_t d = toy_half(toy_scale(r, 0.01f) * (toy_below(r, 2) ? 1 : -1));
  memcpy(p, &d, 2);
  for (int i = 0; i < 32; i++) {
    int q = toy_below(r, 16);
    set_bits(p + 2, 8 * (i % 16) + (i < 16 ? 0 : 4), 4, q);
    want[i] = (double)decode(d, 5, 10) * (q - 8);
  }
}

static void pack_q4_k(toy_random *r, uint8_t *p, double *want) {
  uint16_t d = toy_half(toy_scale(r, 0.01f)), dmin = toy_half(toy_scale(r, 0.02f));
  memcpy(p, &d, 2);
  memcpy(p + 2, &dmin, 2);
  for (int j = 0; j < 8; j++) {
    int scale = toy_below(r, 64), minimum = toy_below(r, 64);
    uint8_t *s = p + 4;
    if (j < 4) {
      set_bits(s, 8 * j, 6, scale);
      set_bits(s, 8 * (j + 4), 6, minimum);
    } else {
      set_bits(s, 8 * (j + 4), 4, scale & 15);
      set_bits(s, 8 * (j + 4) + 4, 4, minimum & 15);
      set_bits(s, 8 * (j - 4) + 6, 2, scale >> 4);
      set_bits(s, 8 * j + 6, 2, minimum >> 4);
    }
    for (int i = 0; i < 32; i++) {
      int q = toy_below(r, 16);
      set_bits(p + 16, 8 * (32 * (j / 2) + i) + 4 * (j % 2), 4, q);
      want[32 * j + i] =
          (double)decode(d, 5, 10) * scale * q - (double)decode(dmin, 5, 10) * minimum;
    }
  }
}

static void pack_q6_k(toy_random *r, uint8_t *p, double *want) {
  uint16_t d = toy_half(toy_scale(r, 0.001f));
  memcpy(p + 208, &d, 2);
  for (int j = 0; j < 16; j++) {
    int scale = toy_below(r, 256) - 128;
    p[192 + j] = (uint8_t)scale;
    for (int i = 16 * j; i < 16 * (j + 1); i++) {
      int q = toy_below(r, 64), in_half = i % 128, low = i / 128 * 64 + in_half % 64;
      set_bits(p, 8 * low + (in_half < 64 ? 0 : 4), 4, q & 15);
      set_bits(p + 128, 8 * (i / 128 * 32 + i % 32) + 2 * (in_half / 32), 2, q >> 4);
      want[i] = (double)decode(d, 5, 10) * scale * (q - 32);
    }
  }
}

static void blocks(void **state) {
  (void)state;
  static const struct {
    kernels_type type;
    void (*pack)(toy_random *r, uint8_t *p, double *want);
  } packers[] = {{KERNELS_Q8_0, pack_q8_0}, {KERNELS_Q4_0, pack_q4_0}, {KERNELS_Q4_K, pack_q4_k},
                 {KERNELS_Q6_K, pack_q6_k}};
  toy_random r = {seed};
  for (size_t t = 0; t < sizeof packers / sizeof *packers; t++) {
    int n = kernels_type_block_elements(packers[t].type);
    int bytes = kernels_type_block_bytes(packers[t].type);
    for (int round = 0; round < 50; round++) {
      enum { BLOCKS = 3 };
      uint8_t data[1 + BLOCKS * 256] = {0};
      double want[BLOCKS * 256];
      float got[BLOCKS * 256 + 1];
      for (int b = 0; b < BLOCKS; b++) packers[t].pack(&r, data + 1 + b * bytes, want + b * n);
      got[BLOCKS * n] = 12345;
      /* from an odd address: no alignment is promised */
      assert_int_equal(kernels_dequantize_row(packers[t].type, data + 1, BLOCKS * n, got), 0);
      for (int i = 0; i < BLOCKS * n; i++)
        assert_true(fabs(got[i] - want[i]) <= 1e-6 * (fabs(want[i]) + 0.1));
      assert_true(got[BLOCKS * n] == 12345);
    }
  }
}

static void refusals(void **state) {
  (void)state;
  uint8_t data[256] = {0};
  float out[256] = {0};
  assert_int_equal(kernels_dequantize_row(KERNELS_Q8_0, data, 33, out), KERNELS_EINVAL);
  assert_int_equal(kernels_dequantize_row(KERNELS_Q4_K, data, 32, out), KERNELS_EINVAL);
  assert_int_equal(kernels_dequantize_row((kernels_type)5, data, 32, out), KERNELS_EINVAL);
  assert_int_equal(kernels_dequantize_row(KERNELS_F32, data, -1, out), KERNELS_EINVAL);
  assert_int_equal(kernels_dequantize_row(KERNELS_F32, NULL, 1, out), KERNELS_EINVAL);
  assert_int_equal(kernels_dequantize_row(KERNELS_F32, data, 1, NULL), KERNELS_EINVAL);
  assert_int_equal(kernels_dequantize_row(KERNELS_F32, NULL, 0, NULL), 0);
}

int main(void) {
  seed = toy_seed();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes),  cmocka_unit_test(matrix_bytes), cmocka_unit_test(every_half),
      cmocka_unit_test(blocks), cmocka_unit_test(refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
