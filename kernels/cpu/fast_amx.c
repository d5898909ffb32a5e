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
  CHUNK = 4,                                    /* sums that are added up together */
  SUM = 512,                                    /* floats of a sum */
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

/* A sum is what two tiles hold at the end: 16 tokens x 32 rows of one block, or of its first or
 * second 16 columns where each has a scale. `amx_chunk` is CHUNK sums of one panel in a row. */
typedef struct amx_chunk {
  int first, n;      /* sums: block * halves + half */
  int token, tokens; /* first token, 0 or 16, and how many from there */
  const uint8_t *b;  /* the expanded panel */
  float *y;          /* first token's row of the panel */
} amx_chunk;

typedef struct amx_job {
  const uint8_t *x; /* act_block rows of the tokens */
  size_t x_stride;
  const uint8_t *a; /* tiles of tokens 0..15; those of 16..31 follow a_stride later */
  size_t a_stride;
  int tokens, blocks;
  size_t y_stride;
} amx_job;

INLINE int halves_of(cpu_kind kind) { return kind == CPU_Q8H ? 2 : 1; }

/* Works out sum i of the chunk in tiles 0 and 1, or 2 and 3 if odd. */
INLINE void tile_sum(cpu_kind kind, const amx_job *job, const amx_chunk *c, int i, bool odd) {
  int block = (c->first + i) / halves_of(kind), half = (c->first + i) % halves_of(kind);
  const uint8_t *a = job->a + (c->token ? job->a_stride : 0) + (size_t)block * A_BLOCK + half * 32;
  const uint8_t *b = c->b + (size_t)block * B_BLOCK + half * 512;
  _tile_loadd(6, b, 64);
  _tile_loadd(7, b + TILE_BYTES, 64);
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

INLINE void store_sum(bool odd, float *out) {
  if (odd) {
    _tile_stored(2, out, 64);
    _tile_stored(3, out + 256, 64);
  } else {
    _tile_stored(0, out, 64);
    _tile_stored(1, out + 256, 64);
  }
}

/* y += scales times sums, for `tokens` tokens from token t of the chunk on; sums in order. */
INLINE void add_tokens(cpu_kind kind, const amx_job *job, const amx_chunk *c, int t, int tokens,
                       const float (*sums)[SUM]) {
  v16 y0[4], y1[4];
  float *y = c->y + (size_t)t * job->y_stride;
  const uint8_t *row = job->x + (size_t)(c->token + t) * job->x_stride;
  UNROLL for (int j = 0; j < tokens; j++) {
    y0[j] = v_load(y + (size_t)j * job->y_stride);
    y1[j] = v_load(y + (size_t)j * job->y_stride + 16);
  }
  for (int i = 0; i < c->n; i++) {
    int block = (c->first + i) / halves_of(kind), half = (c->first + i) % halves_of(kind);
    const float *scale =
        (const float *)(const void *)(c->b + (size_t)block * B_BLOCK + 2 * TILE_BYTES);
    v16 s0 = v_load(scale + half * PANEL), s1 = v_load(scale + half * PANEL + 16);
    v16 m0 = v_load(scale + 32), m1 = v_load(scale + 48);
    const float *sum = sums[i] + 16 * t;
    UNROLL for (int j = 0; j < tokens; j++) {
      const act_block *x = block_at(row + (size_t)j * job->x_stride, block);
      v16 d = v_set(x->d);
      y0[j] = v_fma(v_load(sum + 16 * j), v_mul(s0, d), y0[j]);
      y1[j] = v_fma(v_load(sum + 256 + 16 * j), v_mul(s1, d), y1[j]);
      if (kind == CPU_Q4M) {
        v16 minus = v_set(x->minus_sum);
        y0[j] = v_fma(m0, minus, y0[j]);
        y1[j] = v_fma(m1, minus, y1[j]);
      }
    }
  }
  UNROLL for (int j = 0; j < tokens; j++) {
    v_store(y + (size_t)j * job->y_stride, y0[j]);
    v_store(y + (size_t)j * job->y_stride + 16, y1[j]);
  }
}

/* Part i of CHUNK of a chunk's additions: a few of its tokens. */
INLINE void add_part(cpu_kind kind, const amx_job *job, const amx_chunk *c, int i,
                     const float (*sums)[SUM]) {
  enum { TOKENS_OF_PART = 16 / CHUNK };
  int t = i * TOKENS_OF_PART;
  if (t + TOKENS_OF_PART <= c->tokens) {
    add_tokens(kind, job, c, t, TOKENS_OF_PART, sums);
  } else {
    for (; t < c->tokens; t++) add_tokens(kind, job, c, t, 1, sums);
  }
}

typedef struct amx_pipe {
  amx_chunk before; /* its sums are in sums[!turn], or the last of them still in tiles */
  bool turn, odd;   /* which half of sums, which pair of tiles comes next */
  float *unstored;  /* where the sum in the other pair of tiles belongs; NULL: none */
  float (*sums)[CHUNK][SUM]; /* [2] */
} amx_pipe;

/* The tiles work at one chunk while the vectors add up the one before: the processor runs the two
 * side by side where the program alternates between them. The sum of one pair of tiles is stored
 * only after the next was begun in the other pair, or the tiles would wait for their own latency;
 * and after the loads of the additions, which otherwise are held up as if they depended on it
 * where addresses agree in their last 12 bits. */
INLINE void pipe_chunk(cpu_kind kind, const amx_job *job, amx_pipe *pipe, const amx_chunk *now) {
  const float(*sums)[SUM] = (const float(*)[SUM])pipe->sums[!pipe->turn];
  for (int i = 0; i < now->n; i++) {
    tile_sum(kind, job, now, i, pipe->odd);
    if (i > 0) add_part(kind, job, &pipe->before, i, sums);
    if (pipe->unstored) store_sum(!pipe->odd, pipe->unstored);
    if (i == 0) add_part(kind, job, &pipe->before, i, sums);
    pipe->unstored = pipe->sums[pipe->turn][i];
    pipe->odd = !pipe->odd;
  }
  for (int i = now->n; i < CHUNK; i++) add_part(kind, job, &pipe->before, i, sums);
  pipe->before = *now;
  pipe->turn = !pipe->turn;
}

/* count panels times at most 32 tokens, a chunk of columns at a time so that A stays near. */
INLINE void amx_panels(cpu_kind kind, const amx_job *job, int count, const uint8_t *expanded,
                       float *y) {
  _Alignas(4096) float sums[2][CHUNK][SUM];
  amx_pipe pipe = {.sums = sums};
  int all = job->blocks * halves_of(kind);
  for (int t = 0; t < job->tokens; t++)
    memset(y + (size_t)t * job->y_stride, 0, (size_t)count * PANEL * sizeof(float));
  configure(kind == CPU_Q8H ? 16 : 32);
  for (int first = 0; first < all; first += CHUNK) {
    for (int p = 0; p < count; p++) {
      for (int token = 0; token < job->tokens; token += 16) {
        int left = job->tokens - token;
        amx_chunk now = {.first = first, .n = all - first < CHUNK ? all - first : CHUNK,
                         .token = token, .tokens = left < 16 ? left : 16,
                         .b = expanded + (size_t)p * (size_t)job->blocks * B_BLOCK,
                         .y = y + (size_t)token * job->y_stride + p * PANEL};
        pipe_chunk(kind, job, &pipe, &now);
      }
    }
  }
  store_sum(!pipe.odd, pipe.unstored);
  for (int i = 0; i < CHUNK; i++)
    add_part(kind, job, &pipe.before, i, (const float(*)[SUM])sums[!pipe.turn]);
  _tile_release();
}

static void amx_multiply(const cpu_segment *s, int64_t first, int count, const cpu_acts *x,
                         int token, int tokens, const uint8_t *expanded, float *y,
                         size_t y_stride) {
  if (!expanded) {
    level_multiply(s, first, count, x, token, tokens, NULL, y, y_stride);
    return;
  }
  amx_job job = {.x = x->q + (size_t)token * x->q_stride, .x_stride = x->q_stride,
                 .a = x->tiles + (size_t)token / 16 * x->tile_stride, .a_stride = x->tile_stride,
                 .tokens = tokens, .blocks = (int)(s->source.cols / BLOCK), .y_stride = y_stride};
  switch (s->kind) {
  case CPU_Q8: amx_panels(CPU_Q8, &job, count, expanded, y); break;
  case CPU_Q4: amx_panels(CPU_Q4, &job, count, expanded, y); break;
  case CPU_Q4M: amx_panels(CPU_Q4M, &job, count, expanded, y); break;
  default: amx_panels(CPU_Q8H, &job, count, expanded, y); break;
  }
}

const cpu_level cpu__amx = {
    .variant = "amx",
    .name = "amx-bf16, avx512-vnni",
    .k_step = K_STEP,
    .tile_tokens = 24,
    .tile_bytes = A_BLOCK,
    .expanded_bytes = B_BLOCK,
    .tile_row = amx_tile_row,
    .expand = amx_expand,
    .norm = level_norm,
    .quantize = level_quantize,
    .multiply = amx_multiply,
    .glu = level_glu,
    .rotate = level_rotate,
    .to_half = level_to_half,
    .attend = level_attend,
};
