/* fast.h - the layouts that the backend "cpu" computes in, and what an instruction set level
 * must provide. Private to kernels/cpu/.
 *
 * Matrix products with block-quantized weights (Q8_0, Q4_0, Q4_K, Q6_K) are integer: activations
 * are quantized to 13 bits with one scale in every 32 (8 bits are not good enough, see NOTES.md),
 * and the sum of a block is an exact integer. Sums of blocks are then
 * added in float in the order of the columns. So an output does not depend on how an instruction
 * set comes by its integers or how many rows it takes at a time, and that is what makes a row
 * bit-equal in every batch and at every x86 level.
 *
 * Weights are packed in panels of PANEL rows so that one vector holds the same few columns of
 * many rows: sums need no horizontal additions and a panel is read from memory in one stream. */
#ifndef FIMD_KERNELS_CPU_FAST_H
#define FIMD_KERNELS_CPU_FAST_H

#include "kernels/cpu/host.h"
#include "kernels/cpu/pool.h"

enum {
  PANEL = 32,       /* rows (outputs) of a weight panel */
  BLOCK = 32,       /* columns of a quantized block */
  KEYS = 16,        /* keys of a group in the KV cache */
  ATTEND_GROUPS = 4, /* groups of an attention block: 64 keys per rescaling of the softmax */
  ATTEND_KEYS = KEYS * ATTEND_GROUPS,
  ATTEND_ROWS = 12, /* (token, head) rows of an attention tile */
  MAX_HEAD_DIM = 128,
  TOKEN_TILE = 32,  /* tokens that a matrix product keeps in its scratch */
};

/* ---- activations ----------------------------------------------------------------------- */

/* One block of 32 activations x = d * q, |q| <= ACT_MAX. A level with 16-bit products keeps q as
 * int16[32]; one with 8-bit products keeps int8 high[32], low[32], q = 256 * high + low. */
typedef struct act_block {
  uint8_t q[64];
  float d;
  float minus_sum;  /* -(sum of d * q) */
  int32_t minus[3]; /* -(sum of q): of the block, of its first and of its second half */
  float most;       /* largest magnitude */
  int32_t unused[2];
} act_block;

/* 32 * 128 * 4096 = 2^24: a block's sum of products with 8-bit weights is exact in a float too,
 * which the tiles of fast_amx.c need. */
#define ACT_MAX 4096

typedef struct cpu_acts {
  const float *f; /* [n, f_stride] */
  size_t f_stride;
  uint8_t *q; /* [n] rows of act_block[cols / 32], q_stride bytes apart; only if asked for */
  size_t q_stride;
  uint8_t *tiles; /* [n / 16, rounded up] the level's own, tile_stride bytes apart; or NULL */
  size_t tile_stride;
} cpu_acts;

/* ---- weights --------------------------------------------------------------------------- */

/* What a panel holds for 32 columns (quantized) or for one column (the rest). Quants are stored
 * unsigned with a zero point, in steps of k_step columns: [step][row of panel][column of step].
 * Nibbles: byte j of pair p holds byte j of step 2p (low half) and of step 2p + 1 (high half). */
typedef enum cpu_kind {
  CPU_Q8,   /* uint8[1024], zero point 128; half scale[32]: Q8_0 */
  CPU_Q4,   /* nibbles[512], zero point 8; half scale[32]: Q4_0 */
  CPU_Q4M,  /* nibbles[512]; float scale[32], min[32]; w = scale * q - min: Q4_K */
  CPU_Q8H,  /* uint8[1024], zero point 32; float scale[2][32], one per 16 columns: Q6_K */
  CPU_HALF, /* half[32] */
  CPU_BF16, /* bf16[32] */
  CPU_F32,  /* float[32] */
} cpu_kind;

static inline bool cpu_kind_is_quantized(cpu_kind kind) { return kind <= CPU_Q8H; }

/* A part of a weight: rows of one type, padded with zeros to whole panels. */
typedef struct cpu_segment {
  cpu_kind kind;
  kernels_matrix source; /* borrowed data */
  int64_t row0;          /* of this part in the weight */
  int64_t panels;
  size_t panel_bytes, bytes;
  uint8_t *data; /* [panels, panel_bytes], or NULL while not packed */
} cpu_segment;

typedef struct cpu_weight {
  kernels_weight head;
  bool quantized, floats; /* which activations its segments need */
  int n_segments;
  cpu_segment segments[];
} cpu_weight;

/* Lays out segments for the parts; nothing is packed. NULL: no memory. */
cpu_weight *cpu__weight_new(const kernels_matrix *parts, int n_parts);
void cpu__weight_free(cpu_weight *w);
/* Packs what is not packed yet: KERNELS_OK or KERNELS_ENOMEM. */
int cpu__weight_pack(cpu_weight *w, int k_step, pool *p);

/* ---- attention ------------------------------------------------------------------------- */

/* Up to ATTEND_ROWS rows of queries of one KV head with their running softmax. */
typedef struct attend_tile {
  int rows, dim;
  float q[ATTEND_ROWS][MAX_HEAD_DIM]; /* already times 1/sqrt(dim) */
  float o[ATTEND_ROWS][MAX_HEAD_DIM]; /* sum of p v */
  float sum[ATTEND_ROWS][16];         /* sum of p, in 16 lanes */
  float most[ATTEND_ROWS];            /* largest score so far */
} attend_tile;

/* ---- a level --------------------------------------------------------------------------- */

typedef struct cpu_level {
  const char *variant; /* what kernels_open calls it: "avx2" */
  const char *name;    /* what people read */
  int k_step;          /* columns interleaved in packed quants: 2 or 4 */

  /* out[n] = x * norm / sqrt(mean(x^2) + eps) */
  void (*norm)(const float *x, const float *norm, int n, float eps, float *out);
  /* n a multiple of 32 */
  void (*quantize)(const float *x, int n, act_block *out);
  /* y[tokens, y_stride]: column j of row t is row j of the panels [first, first + count) of the
   * segment times activation row `token` + t. expanded: those panels as `expand` left them, or
   * NULL; then tokens <= TOKEN_TILE and `token` is a multiple of 16. */
  void (*multiply)(const cpu_segment *s, int64_t first, int count, const cpu_acts *x, int token,
                   int tokens, const uint8_t *expanded, float *y, size_t y_stride);

  /* Optional, for products of quantized weights with at least tile_tokens rows (0: never): */
  int tile_tokens;
  size_t tile_bytes;     /* of a block of 16 tokens */
  size_t expanded_bytes; /* of a block of an expanded panel */
  /* A token's row of the tiles (64 bytes a row); blocks: what quantize made of x */
  void (*tile_row)(const float *x, int n, const act_block *blocks, uint8_t *row);
  void (*expand)(const cpu_segment *s, int64_t first, int count, uint8_t *out);

  /* y[n] += x */
  void (*add)(const float *x, int n, float *y);
  /* h = silu(gate) * up, all [n] */
  void (*glu)(const float *gate, const float *up, int n, float *h);
  /* turns the pairs (i, i + dim/2) of a head; turn: cosines[dim/2], sines[dim/2] */
  void (*rotate)(float *head, int dim, const float *turn);
  /* ln(sum of exp(x)), x[n]; most: the largest, NaN left out */
  float (*logsumexp)(const float *x, int n, float most);
  void (*to_half)(const float *x, int n, uint16_t *out); /* saturating, n a multiple of 16 */
  /* Takes one attention block of up to ATTEND_GROUPS groups of keys into rows [row, row + n) of
   * the tile: k[g] is half[dim][KEYS], v[g] is half[KEYS][dim]. seen[i] is how many of the
   * block's keys row + i attends to (the first ones; <= 0: none). */
  void (*attend)(attend_tile *tile, int row, int n, const uint16_t *const *k,
                 const uint16_t *const *v, int groups, const int *seen);
} cpu_level;

extern const cpu_level cpu__portable, cpu__avx2, cpu__avx512, cpu__amx;

/* For cpu__amx: asks the system for the tile registers; true if granted. */
bool cpu__amx_request(void);

#endif
