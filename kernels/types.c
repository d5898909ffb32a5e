/* types.c - the element types of weight files and what their bytes mean.
 *
 * kernels_dequantize_row is the definition that every backend is held to, so it is written for
 * the reader: one loop a format, scalar, no alignment assumed. The block formats are GGML's:
 * a block is a run of consecutive elements of one row with its scales. */
#include "kernels/backend.h"

#include <string.h>

enum {
  BLOCK = 32,        /* elements of a Q4_0 or Q8_0 block */
  SUPER_BLOCK = 256, /* elements of a Q4_K or Q6_K block */
};

static const struct type_traits {
  kernels_type type;
  const char *name;
  int elements, bytes; /* of one block */
} traits[] = {
    {KERNELS_F32, "F32", 1, 4},
    {KERNELS_F16, "F16", 1, 2},
    {KERNELS_BF16, "BF16", 1, 2},
    {KERNELS_Q4_0, "Q4_0", BLOCK, 2 + 16},
    {KERNELS_Q8_0, "Q8_0", BLOCK, 2 + 32},
    {KERNELS_Q4_K, "Q4_K", SUPER_BLOCK, 2 + 2 + 12 + 128},
    {KERNELS_Q6_K, "Q6_K", SUPER_BLOCK, 128 + 64 + 16 + 2},
};

static const struct type_traits *find_type(kernels_type type) {
  for (size_t i = 0; i < sizeof traits / sizeof *traits; i++)
    if (traits[i].type == type) return &traits[i];
  return NULL;
}

const char *kernels_type_name(kernels_type type) {
  const struct type_traits *t = find_type(type);
  return t ? t->name : NULL;
}

int kernels_type_block_elements(kernels_type type) {
  const struct type_traits *t = find_type(type);
  return t ? t->elements : 0;
}

int kernels_type_block_bytes(kernels_type type) {
  const struct type_traits *t = find_type(type);
  return t ? t->bytes : 0;
}

int64_t kernels_matrix_bytes(const kernels_matrix *m) {
  const struct type_traits *t = m ? find_type(m->type) : NULL;
  if (!t || m->rows < 0 || m->cols < 0 || m->cols % t->elements != 0) return -1;
  int64_t row_bytes, bytes;
  if (__builtin_mul_overflow(m->cols / t->elements, (int64_t)t->bytes, &row_bytes)) return -1;
  if (__builtin_mul_overflow(row_bytes, m->rows, &bytes)) return -1;
  return bytes;
}

/* ---- scalars --------------------------------------------------------------------------- */

static float bits_to_float(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

float kernels__half_to_float(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u;
  uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) { /* zero, or a subnormal: mantissa * 2^-24, exact in a float */
    float f = (float)mantissa * 0x1p-24f;
    return sign ? -f : f;
  }
  if (exponent == 31) return bits_to_float(sign | 0x7f800000u | mantissa << 13);
  return bits_to_float(sign | (exponent + 112u) << 23 | mantissa << 13);
}

static uint16_t read_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static float read_half(const uint8_t *p) { return kernels__half_to_float(read_u16(p)); }

/* ---- rows ------------------------------------------------------------------------------ */

static void row_f16(const uint8_t *p, int64_t cols, float *out) {
  for (int64_t i = 0; i < cols; i++) out[i] = read_half(p + 2 * i);
}

static void row_bf16(const uint8_t *p, int64_t cols, float *out) {
  for (int64_t i = 0; i < cols; i++) out[i] = bits_to_float((uint32_t)read_u16(p + 2 * i) << 16);
}

/* Half a scale, then 16 bytes: low nibbles are elements 0..15, high nibbles 16..31, less 8. */
static void row_q4_0(const uint8_t *p, int64_t cols, float *out) {
  for (int64_t b = 0; b < cols / BLOCK; b++, p += 18, out += BLOCK) {
    float d = read_half(p);
    for (int i = 0; i < 16; i++) {
      out[i] = d * (float)((p[2 + i] & 15) - 8);
      out[16 + i] = d * (float)((p[2 + i] >> 4) - 8);
    }
  }
}

static void row_q8_0(const uint8_t *p, int64_t cols, float *out) {
  for (int64_t b = 0; b < cols / BLOCK; b++, p += 34, out += BLOCK) {
    float d = read_half(p);
    int8_t q[BLOCK];
    memcpy(q, p + 2, BLOCK);
    for (int i = 0; i < BLOCK; i++) out[i] = d * (float)q[i];
  }
}

void kernels__q4_k_scale(const uint8_t packed[12], int j, int *scale, int *minimum) {
  if (j < 4) {
    *scale = packed[j] & 63;
    *minimum = packed[j + 4] & 63;
  } else {
    *scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
    *minimum = (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
  }
}

/* Scale of the scales, scale of the minima, eight 6-bit (scale, minimum) pairs in 12 bytes, then
 * four runs of 32 bytes: low nibbles are one sub-block of 32, high nibbles the next. */
static void row_q4_k(const uint8_t *p, int64_t cols, float *out) {
  for (int64_t b = 0; b < cols / SUPER_BLOCK; b++, p += 144, out += SUPER_BLOCK) {
    float d = read_half(p), dmin = read_half(p + 2);
    const uint8_t *q = p + 16;
    for (int j = 0; j < 8; j++) {
      int scale, minimum;
      kernels__q4_k_scale(p + 4, j, &scale, &minimum);
      float s = d * (float)scale, m = dmin * (float)minimum;
      for (int i = 0; i < 32; i++)
        out[32 * j + i] = s * (float)((q[32 * (j / 2) + i] >> (j % 2 * 4)) & 15) - m;
    }
  }
}

/* 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, the scale of the scales.
 * In each half of 128 elements, run r of 32 takes nibbles from bytes 32 * (r % 2) (high ones for
 * r >= 2) and bit pair r of the 32 high bytes; a scale covers 16 elements; values less 32. */
static void row_q6_k(const uint8_t *p, int64_t cols, float *out) {
  for (int64_t b = 0; b < cols / SUPER_BLOCK; b++, p += 210, out += SUPER_BLOCK) {
    float d = read_half(p + 208);
    for (int half = 0; half < 2; half++) {
      const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
      for (int r = 0; r < 4; r++) {
        for (int i = 0; i < 32; i++) {
          int q = ((low[32 * (r % 2) + i] >> (r / 2 * 4)) & 15) | ((high[i] >> (2 * r)) & 3) << 4;
          int8_t scale = (int8_t)p[192 + 8 * half + 2 * r + i / 16];
          out[128 * half + 32 * r + i] = d * (float)scale * (float)(q - 32);
        }
      }
    }
  }
}

int kernels_dequantize_row(kernels_type type, const void *row, int64_t cols, float *out) {
  const struct type_traits *t = find_type(type);
  if (!t || cols < 0 || cols % t->elements != 0 || (cols > 0 && (!row || !out)))
    return KERNELS_EINVAL;
  switch (type) {
  case KERNELS_F32:
    if (cols > 0) memcpy(out, row, (size_t)cols * sizeof *out);
    break;
  case KERNELS_F16: row_f16(row, cols, out); break;
  case KERNELS_BF16: row_bf16(row, cols, out); break;
  case KERNELS_Q4_0: row_q4_0(row, cols, out); break;
  case KERNELS_Q8_0: row_q8_0(row, cols, out); break;
  case KERNELS_Q4_K: row_q4_k(row, cols, out); break;
  case KERNELS_Q6_K: row_q6_k(row, cols, out); break;
  }
  return KERNELS_OK;
}
