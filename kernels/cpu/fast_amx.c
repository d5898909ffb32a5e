/* fast_amx.c - the level "amx": AVX-512 as in fast_avx512.c, and tiles where a step has rows
 * enough to fill them.
 *
 * Integers as bfloat16: an 8-bit weight, and each of the two parts 32 * high and low of an
 * activation of 13 bits, is exact in bfloat16, and every partial sum of a block is an integer of
 * at most 2^24, exact in the float accumulators. So the tiles (TDPBF16PS) give the same integers
 * as vpdpbusd in whatever order they add, both parts go into one accumulator, and what comes out
 * is a float already. The int8 tiles would need an accumulator for each part, to be stored, shifted
 * and converted, and in a block of 32 columns fill only half of a tile's depth.
 *
 * C[16 tokens, 16 rows] += A[16 tokens, 32 columns] B[32 columns, 16 rows] is one instruction.
 * A's tiles are made once a step by quantize, B's for a few panels at a time by expand. */
#include "kernels/cpu/fast_avx512.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu/fast_body.h"

enum {
  TILE_BYTES = 16 * 64,
  A_BLOCK = 2 * TILE_BYTES,                     /* high, low of 16 tokens */
  B_BLOCK = 2 * TILE_BYTES + 2 * PANEL * 4,     /* rows 0..15, 16..31; two lots of scales */
  NEAR_BLOCKS = 6, /* blocks whose A tiles stay in the first cache while panels pass: 24 KiB */
};

bool cpu__amx_request(void) {
#if defined(SYS_arch_prctl)
  enum { REQUEST = 0x1023, TILE_DATA = 18 };
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
  return false;
#endif
}

/* ---- tiles of activations -------------------------------------------------------------- */

/* Whole numbers of at most 8 significant bits, as bfloat16. */
static inline __m256i to_bf16(__m512i x) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(_mm512_cvtepi32_ps(x)), 16));
}

static inline void store_parts(i16 q, uint8_t *out) {
  __m512i high = _mm512_add_epi32(q, _mm512_set1_epi32(16));
  high = _mm512_and_si512(high, _mm512_set1_epi32(-32));
  _mm256_storeu_si256((__m256i *)(void *)out, to_bf16(high));
  _mm256_storeu_si256((__m256i *)(void *)(out + TILE_BYTES), to_bf16(_mm512_sub_epi32(q, high)));
}

/* A token's row in the tiles of its 16: block b is at A_BLOCK * b, high before low. */
static void amx_tile_row(const float *x, int n, const act_block *blocks, uint8_t *row) {
  for (int i = 0; i < n; i += BLOCK, blocks++, row += A_BLOCK) {
    v16 inverse = v_set(act_inverse(blocks->most));
    store_parts(act_round(v_load(x + i), inverse), row);
    store_parts(act_round(v_load(x + i + 16), inverse), row + 32);
  }
}

/* ---- tiles of weights ------------------------------------------------------------------ */

/* 16 rows x 4 columns of quants to two rows of a B tile, each of 16 pairs. */
static inline void expand_step(__m512i quads, __m512i zero, uint8_t *out) {
  __m512i mask = _mm512_set1_epi32(255), upper = _mm512_set1_epi32(-65536);
  __m512i f[4];
#pragma GCC unroll 4
  for (unsigned i = 0; i < 4; i++) {
    __m512i q = _mm512_and_si512(_mm512_srli_epi32(quads, 8 * i), mask);
    f[i] = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_sub_epi32(q, zero)));
  }
  __m512i first = _mm512_or_si512(_mm512_srli_epi32(f[0], 16), _mm512_and_si512(f[1], upper));
  __m512i second = _mm512_or_si512(_mm512_srli_epi32(f[2], 16), _mm512_and_si512(f[3], upper));
  _mm512_store_si512(out, first);
  _mm512_store_si512(out + 64, second);
}

static int zero_of(cpu_kind kind) {
  return kind == CPU_Q8 ? 128 : kind == CPU_Q4 ? 8 : kind == CPU_Q8H ? 32 : 0;
}

/* [panel][block] of B_BLOCK bytes: two tiles, float scale[32], then the kind's second float[32]. */
static void amx_expand(const cpu_segment *s, int64_t first, int count, uint8_t *out) {
  bool nibbles = s->kind == CPU_Q4 || s->kind == CPU_Q4M, halves = s->kind <= CPU_Q4;
  __m512i zero = _mm512_set1_epi32(zero_of(s->kind));
  size_t quants = nibbles ? PANEL * BLOCK / 2 : PANEL * BLOCK;
  int blocks = (int)(s->source.cols / BLOCK);
  for (int p = 0; p < count; p++) {
    const uint8_t *w = s->data + (size_t)(first + p) * s->panel_bytes;
    for (int b = 0; b < blocks; b++, out += B_BLOCK) {
      _Alignas(64) uint8_t unpacked[PANEL * BLOCK];
      const uint8_t *q = w;
      if (nibbles) {
        unpack_nibbles(w, unpacked);
        q = unpacked;
      }
      for (int step = 0; step < BLOCK / K_STEP; step++, q += 128) {
        expand_step(_mm512_loadu_si512(q), zero, out + 128 * step);
        expand_step(_mm512_loadu_si512(q + 64), zero, out + TILE_BYTES + 128 * step);
      }
      w += quants;
      float *scale = (float *)(void *)(out + 2 * TILE_BYTES);
      if (halves) {
        v_store(scale, v_load_half((const uint16_t *)(const void *)w));
        v_store(scale + 16, v_load_half((const uint16_t *)(const void *)w + 16));
        w += PANEL * 2;
      } else {
        memcpy(scale, w, PANEL * 8);
        w += PANEL * 8;
      }
    }
  }
}

/* ---- products -------------------------------------------------------------------------- */

/* Tiles 0..3: C of (tokens 0..15, 16..31) x (rows 0..15, 16..31). 4, 5: A high, low. 6, 7: B. */
struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t column_bytes[16];
  uint8_t rows[16];
};

/* columns: of a block that go into one sum, 32 or 16. */
static void configure(int columns) {
  struct tile_config c = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    c.rows[i] = (uint8_t)(i < 6 ? 16 : columns / 2);
    c.column_bytes[i] = (uint16_t)(i == 4 || i == 5 ? 2 * columns : 64);
  }
  _tile_loadconfig(&c);
}

typedef struct amx_job {
  const uint8_t *x; /* act_block rows of the tokens */
  size_t x_stride;
  const uint8_t *a; /* tiles of tokens 0..15; those of 16..31 follow a_stride later */
  size_t a_stride;
  int tokens;
  size_t y_stride;
} amx_job;

/* y[tokens, 32] += scales times sums[2][16 tokens][16 rows], for token `from` and on. */
INLINE void add_sums(cpu_kind kind, const amx_job *job, int block, int from, const float *scale,
                     bool second, const float *sums, float *y) {
  int tokens = job->tokens - from < 16 ? job->tokens - from : 16;
  const uint8_t *row = job->x + (size_t)from * job->x_stride + (size_t)block * sizeof(act_block);
  v16 s0 = v_load(scale + (second ? 32 : 0)), s1 = v_load(scale + (second ? 48 : 16));
  v16 m0 = v_load(scale + 32), m1 = v_load(scale + 48);
  y += (size_t)from * job->y_stride;
  for (int t = 0; t < tokens; t++, y += job->y_stride, row += job->x_stride) {
    const act_block *x = block_at(row, 0);
    v16 d = v_set(x->d);
    v16 y0 = v_fma(v_load(sums + 16 * t), v_mul(s0, d), v_load(y));
    v16 y1 = v_fma(v_load(sums + 256 + 16 * t), v_mul(s1, d), v_load(y + 16));
    if (kind == CPU_Q4M) {
      v16 minus = v_set(x->minus_sum);
      y0 = v_fma(m0, minus, y0);
      y1 = v_fma(m1, minus, y1);
    }
    v_store(y, y0);
    v_store(y + 16, y1);
  }
}

/* One sum of 16 tokens x 32 rows: of a block, or of its first or second 16 columns. */
typedef struct amx_sum {
  int block, token; /* first token: 0 or 16 */
  bool second;
  const uint8_t *b; /* of the block, in the expanded panel */
  float *y;         /* of the panel; NULL: no sum */
} amx_sum;

/* The tiles work out `now` in tiles 0 and 1 (odd: 2 and 3), and then the vectors add up `before`,
 * which is in the other two. The processor runs both side by side, and each has its own sums: with
 * the two within one 4 KiB page no load of one is taken for a load of what the other stores. */
INLINE void amx_sum_and_add(cpu_kind kind, const amx_job *job, bool odd, const amx_sum *now,
                            const amx_sum *before, float (*sums)[512]) {
  if (now->y) {
    const uint8_t *a = job->a + (now->token ? job->a_stride : 0) + (size_t)now->block * A_BLOCK;
    const uint8_t *b = now->b + (now->second ? 512 : 0);
    a += now->second ? 32 : 0;
    if (now->token == 0) { /* else they still hold them */
      _tile_loadd(6, b, 64);
      _tile_loadd(7, b + TILE_BYTES, 64);
    }
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + TILE_BYTES, 64);
    if (odd) {
      _tile_zero(2);
      _tile_zero(3);
      _tile_dpbf16ps(2, 4, 6);
      _tile_dpbf16ps(3, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(0, 5, 6);
      _tile_dpbf16ps(1, 5, 7);
    }
  }
  if (!before->y) return;
  float *sum = sums[!odd];
  if (odd) {
    _tile_stored(0, sum, 64);
    _tile_stored(1, sum + 256, 64);
  } else {
    _tile_stored(2, sum, 64);
    _tile_stored(3, sum + 256, 64);
  }
  add_sums(kind, job, before->block, before->token,
           (const float *)(const void *)(before->b + 2 * TILE_BYTES), before->second, sum,
           before->y);
}

/* count panels times at most 32 tokens, NEAR_BLOCKS at a time. */
INLINE void amx_panels(cpu_kind kind, const amx_job *job, int blocks, int count,
                       const uint8_t *expanded, float *y) {
  _Alignas(4096) float sums[2][512];
  amx_sum before = {.y = NULL}, none = before;
  bool two = job->tokens > 16, odd = false;
  for (int t = 0; t < job->tokens; t++)
    memset(y + (size_t)t * job->y_stride, 0, (size_t)count * PANEL * sizeof(float));
  configure(kind == CPU_Q8H ? 16 : 32);
  for (int near = 0; near < blocks; near += NEAR_BLOCKS) {
    int end = blocks - near < NEAR_BLOCKS ? blocks : near + NEAR_BLOCKS;
    for (int p = 0; p < count; p++) {
      const uint8_t *b = expanded + ((size_t)p * (size_t)blocks + (size_t)near) * B_BLOCK;
      /* of a block: tokens 0 and 16; of a block in halves: the first half's, the second's */
      int parts = (two ? 2 : 1) * (kind == CPU_Q8H ? 2 : 1);
      for (int i = 0; i < (end - near) * parts; i++, odd = !odd) {
        int part = i % parts;
        amx_sum now = {.block = near + i / parts, .token = two && part % 2 ? 16 : 0,
                       .second = part >= (two ? 2 : 1), .b = b + (size_t)(i / parts) * B_BLOCK,
                       .y = y + p * PANEL};
        if (odd) amx_sum_and_add(kind, job, true, &now, &before, sums);
        else amx_sum_and_add(kind, job, false, &now, &before, sums);
        before = now;
      }
    }
  }
  if (odd) amx_sum_and_add(kind, job, true, &none, &before, sums);
  else amx_sum_and_add(kind, job, false, &none, &before, sums);
  _tile_release();
}

static void amx_multiply(const cpu_segment *s, int64_t first, int count, const cpu_acts *x,
                         int token, int tokens, const uint8_t *expanded, float *y,
                         size_t y_stride) {
  if (!expanded) {
    level_multiply(s, first, count, x, token, tokens, NULL, y, y_stride);
    return;
  }
  int blocks = (int)(s->source.cols / BLOCK);
  amx_job job = {.x = x->q + (size_t)token * x->q_stride, .x_stride = x->q_stride,
                 .a = x->tiles + (size_t)token / 16 * x->tile_stride, .a_stride = x->tile_stride,
                 .tokens = tokens, .y_stride = y_stride};
  switch (s->kind) {
  case CPU_Q8: amx_panels(CPU_Q8, &job, blocks, count, expanded, y); break;
  case CPU_Q4: amx_panels(CPU_Q4, &job, blocks, count, expanded, y); break;
  case CPU_Q4M: amx_panels(CPU_Q4M, &job, blocks, count, expanded, y); break;
  default: amx_panels(CPU_Q8H, &job, blocks, count, expanded, y); break;
  }
}

const cpu_level cpu__amx = {
    .variant = "amx",
    .name = "amx-bf16, avx512-vnni",
    .k_step = K_STEP,
    .tile_tokens = 64, /* with fewer, expanding the weights costs more than the tiles save */
    .tile_bytes = A_BLOCK,
    .expanded_bytes = B_BLOCK,
    .tile_row = amx_tile_row,
    .expand = amx_expand,
    .norm = level_norm,
    .quantize = level_quantize,
    .multiply = amx_multiply,
    .add = level_add,
    .glu = level_glu,
    .rotate = level_rotate,
    .logsumexp = level_logsumexp,
    .to_half = level_to_half,
    .attend = level_attend,
};
