/* cuda.h - what the files of the CUDA backend share: device layouts, arguments of the launches.
 * Included by C (gcc) and by CUDA C (nvcc).
 *
 * Everything the tensor cores read is f16, everything they add up is f32. Three layouts:
 *
 * WEIGHTS. A matrix is cut into tiles of 16 rows and units of 64 columns; a tile's units follow
 * one another, so that a warp streams a tile with 16 bytes a lane, and what a lane has loaded is
 * already (after dequantization) the A operand of mma.m16n8k16 and of wgmma from registers.
 * Lane l holds, of every 32 columns, columns 8 (l % 4) .. + 7 of rows l / 4 and l / 4 + 8. The
 * order of the rows in a tile is the op's: see cuda_rows below.
 *
 * ACTIVATIONS ("packed"): blocks of 8 tokens by 32 columns, 512 bytes, at block
 * (column / 32) * groups + token / 8, `groups` being the step's tokens / 8 rounded up to what the
 * kernel takes. In a block, token t % 8 has 64 bytes. Of its 32 columns, k = 8 c + 2 q + e lies
 * at 16 c + 4 q + 2 e (LAYOUT_MMA: lane 4 (t % 8) + c loads its 16 bytes at once), or at
 * 16 (q ^ (t % 8) / 2) + 4 c + 2 e (LAYOUT_WGMMA: the 64-byte swizzle of wgmma's shared memory).
 * Values are multiplied by a power of two first (below) and held to the range of f16. Rows
 * beyond the step's tokens are garbage, and may be: a column of B only reaches its own column of
 * the product. Columns beyond the matrix are finite, and meet weights that are 0.
 *
 * CACHE: [layer][key, value][kv head][slot][head_dim] f16. */
#ifndef FIMD_KERNELS_CUDA_H
#define FIMD_KERNELS_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  CUDA_TILE = 16,  /* rows of a tile */
  CUDA_UNIT = 64,  /* columns of a unit */
  CUDA_SLICES = 8, /* every sum over columns is 8 chains of units, added in ascending order:
                      slice s has units s * units / 8 .. (s + 1) * units / 8 - 1 */
  CUDA_EXACT = 128, /* rows of the largest step whose sums do not depend on its size */
  CUDA_PAD = 256,   /* larger steps are padded to whole multiples of this */
};

/* Powers of two that keep activations inside f16. x * norm is packed before its row is divided by
 * its root mean square, so it has the residual stream's range: up to 5e5 here. */
#define CUDA_NORMED_SCALE 0.125f
#define CUDA_INNER_SCALE 0.0625f /* of what kernels_project takes */

enum { LAYOUT_MMA = 0, LAYOUT_WGMMA = 1 };

/* How weights lie on the device: bytes of a unit (16 rows by 64 columns), and what a lane loads.
 * r = lane / 4, c = lane % 4; "half" = rows r (0) and r + 8 (1). */
typedef enum cuda_kind {
  CUDA_F16, /* [32-column block 0, 1][half][lane] 8 x f16; times scale[tile], a power of two */
  CUDA_Q8,  /* [block][lane] 2 halves x 8 bytes, 128 more than the number; then [r] f16
               scale[half][block] */
  CUDA_Q4,  /* [lane] word[block][half]; then [r] f16 scale[half][block]; number - 8 */
  CUDA_Q4M, /* as Q4; then [r] [half] f16 scale[block], minimum[block]; scale * number - minimum */
  CUDA_Q6,  /* as Q4; [lane] word[block] of high bits; [r] [half] f16 scale[16-column block];
               number - 32 */
  CUDA_KINDS
} cuda_kind;

#ifdef __CUDACC__
__host__ __device__
#endif
static inline int cuda__unit_bytes(cuda_kind kind) {
  switch (kind) {
  case CUDA_F16: return 2048;
  case CUDA_Q8: return 1024 + 64;
  case CUDA_Q4: return 512 + 64;
  case CUDA_Q4M: return 512 + 128;
  case CUDA_Q6: return 512 + 256 + 128;
  default: return 0;
  }
}

/* What of a matrix the 16 rows of tile i are. */
typedef enum cuda_rows {
  CUDA_ROWS_PLAIN, /* 16 i .. 16 i + 15 */
  CUDA_ROWS_TURNED, /* of q and k: 8 of a head's first half, and the 8 that they turn with; of v
                       plain */
  CUDA_ROWS_PAIRED, /* gate 8 i .. 8 i + 7, then up 8 i .. 8 i + 7 */
} cuda_rows;

/* The numbers of a step, on the device. The first four are moved as 16 bytes. A tree of one row is
 * none. */
typedef struct cuda_step {
  int32_t n, kv_len, n_out;
  int32_t tree;     /* 0: causal. Otherwise row i attends, of the step's own rows, to
                       ancestor[i][0 .. ancestors[i] - 1] (ascending) and to itself;
                       n <= CUDA_EXACT */
  int32_t ancestors[CUDA_EXACT];
  uint8_t ancestor[CUDA_EXACT][CUDA_EXACT];
} cuda_step;

/* ---- products (gemm.cuh, prefill.cuh) --------------------------------------------------- */

typedef enum cuda_op { CUDA_OP_QKV, CUDA_OP_PROJECT, CUDA_OP_GATE_UP, CUDA_OP_HEAD } cuda_op;

/* y[t, row] = W[row, :] . b[t, :] for a run of tiles of one kind, and what is done with y.
 * All pointers are device memory. Passed to kernels by value. */
typedef struct cuda_gemm {
  /* W */
  const void *w;      /* tile tile0's first unit */
  const float *scale; /* [tiles] or NULL for 1 */
  int kind, units;    /* units: of a tile */
  int tile0, tiles;   /* tiles tile0 .. tile0 + tiles - 1 of the op's matrix */
  /* b */
  const void *b; /* packed */
  int groups;    /* of 8 tokens, in b's layout and in that of every packed output */
  int layout;    /* of b */
  int out_layout; /* of the packed output */
  float inverse; /* 1 / the power of two that b was multiplied with */
  const float *ss; /* [ss_tiles, ss_stride] sums of squares of rows of 16 columns: y is divided by
                      sqrt(sum / ss_width + eps); NULL: it is not */
  int ss_tiles, ss_stride, ss_width;
  float eps;
  const int32_t *count; /* how many tokens there are */
  const cuda_step *step;
  /* what is done with y */
  int op;
  int rows; /* of W as a matrix: rows beyond are padding. gate_up: intermediate */
  /* QKV: + bias, turned; q[t, row] f32; keys and values to slots kv_len + t */
  const float *bias; /* [rows] or NULL */
  const float2 *turn; /* [t, head_dim / 2] cosine, sine of the token's angles */
  float *q;
  void *keys, *values; /* the layer's, f16 [kv head][slot][head_dim] */
  int heads, kv_heads, head_dim, slots;
  /* PROJECT: x[t, row] += y; and if norm: packed[t, row] = x * norm * CUDA_NORMED_SCALE,
   * ss_out[tile, t] = sum of the tile's x squared */
  float *x;          /* [t, rows] */
  const float *norm; /* [rows] of the op that comes next, or NULL */
  void *packed;      /* PROJECT: see above. GATE_UP: silu(gate) * up * CUDA_INNER_SCALE */
  float *ss_out;     /* [tile, ss_stride] */
  /* HEAD: logits[t, row] = y */
  float *logits;
  /* of many tokens, on Hopper, or NULL: see prefill_wgmma.cuh */
  void *scratch;
} cuda_gemm;

/* The device as the launches need to know it. */
typedef struct cuda_device {
  int sms;
  int shared_most;     /* bytes of shared memory that a block may have */
  int arch;            /* 90 for sm_90 */
  bool hopper;         /* clusters, wgmma, programmatic launches: built in and supported */
  bool early;          /* where hopper: the next launch may begin before the one before it ends */
  cudaStream_t stream;
  void *prefill_scratch; /* cuda__prefill_scratch bytes, zeroed at the start; or NULL */
} cuda_device;

/* One to CUDA_EXACT tokens (g->groups <= 16, in the layout that cuda__gemm_layout says): bit for
 * bit the same y for a token whatever the others. All launches here return a cudaError_t. */
cudaError_t cuda__gemm(const cuda_device *d, const cuda_gemm *g);
/* For so many groups and columns of W. */
int cuda__gemm_layout(const cuda_device *d, int groups, int cols);
/* Many tokens, groups a multiple of CUDA_PAD / 8. Takes LAYOUT_WGMMA on Hopper, LAYOUT_MMA
 * elsewhere: cuda__prefill_layout says which. */
cudaError_t cuda__gemm_prefill(const cuda_device *d, const cuda_gemm *g);
int cuda__prefill_layout(const cuda_device *d);
/* Bytes that products of many tokens share between blocks; 0: none. */
size_t cuda__prefill_scratch(const cuda_device *d);

/* ---- attention (attend.cu, attend_prefill.cu) ------------------------------------------- */

typedef struct cuda_attend {
  const float *q;            /* [n, heads * head_dim] turned, not yet scaled */
  const void *keys, *values; /* the layer's, f16 [kv head][slot][head_dim] */
  int heads, kv_heads, head_dim, slots;
  const cuda_step *step;
  int n;         /* the step's tokens, padded: grids are made for it; step->n is the real one */
  int kv_most;   /* step->kv_len + step->n is at most this, in every replay */
  void *packed;  /* a[t, heads * head_dim] * CUDA_INNER_SCALE */
  int groups, layout;
  void *partials;   /* scratch, cuda__attend_scratch bytes, 16-byte aligned, zeroed once at the
                       start: a launch may use counters in it, but must leave them 0 */
} cuda_attend;

/* Scratch for any step of a cache of `slots`. */
size_t cuda__attend_scratch(const kernels_shape *s, int slots);
/* n <= CUDA_EXACT, causal or tree. Exact: see attend.cu. */
cudaError_t cuda__attend(const cuda_device *d, const cuda_attend *a);
/* n > CUDA_EXACT, causal. */
cudaError_t cuda__attend_prefill(const cuda_device *d, const cuda_attend *a);

/* ---- rows (rows.cu) ---------------------------------------------------------------------- */

/* What the host hands a step: pinned host memory that the device reads itself, so that a recorded
 * step needs no copy. The arrays hold max_batch elements, out max_out. */
typedef struct cuda_input {
  cuda_step step;
  uint32_t number; /* of the step: the device writes it to cuda_output.done last */
  int32_t *ids, *pos, *out;
} cuda_input;

/* Where the prepared form of x lies: packed[t, k] = x * norm * CUDA_NORMED_SCALE, and the sums of
 * squares that its rows are divided by later. */
typedef struct cuda_normed {
  void *packed;
  float *ss; /* [tiles, ss_stride] */
  int groups, layout, ss_stride;
} cuda_normed;

/* x[t] = table[ids[t]]; if norm, also the prepared form; turn[t, i] = cosine, sine of pos[t] *
 * frequency[i]; and the step's numbers from host memory to the device. Comes first in every step:
 * one launch, or two. n: padded, for the grid; step->n the real one. Arrays begin at multiples of
 * 16 bytes and are whole multiples of 16 bytes long. */
typedef struct cuda_embed {
  const void *w;
  const float *scale; /* [tile] or NULL */
  int kind, units, width;
  const cuda_input *input; /* as the device sees it */
  const int32_t *ids, *pos, *out_rows; /* the input's */
  int32_t *ids_here, *pos_here;        /* their copies on the device */
  cuda_step *step;
  uint32_t *number;
  int32_t *out;           /* [max_out] on the device */
  const float *frequency; /* [half] */
  float2 *turn;           /* [t, half] */
  int half, n, n_out; /* n and n_out padded */
  float *x; /* NULL: only the numbers */
  const float *norm; /* or NULL */
  cuda_normed normed;
} cuda_embed;
cudaError_t cuda__embed(const cuda_device *d, const cuda_embed *e);
/* Whether this build has code for the current device; of which architecture (90: sm_90). */
cudaError_t cuda__probe(int *arch);

/* The prepared form of x[step->n, width]. */
cudaError_t cuda__prepare(const cuda_device *d, const cuda_step *step, int n, const float *x,
                          int width, const float *norm, const cuda_normed *to);
/* packed[t, k] = y[t, k] * scale, and back, for rows of the step. */
cudaError_t cuda__pack_rows(const cuda_device *d, const cuda_step *step, int n, const float *y,
                            int width, float scale, void *packed, int groups, int layout);
cudaError_t cuda__unpack_rows(const cuda_device *d, int n, const void *packed, int width,
                              float scale, int groups, int layout, float *y);
/* Rows out[0 .. step->n_out - 1] of the prepared x, as a batch of their own. */
cudaError_t cuda__gather(const cuda_device *d, const cuda_step *step, const int32_t *out, int n_out,
                         int width, const cuda_normed *from, const cuda_normed *to);

/* What the device tells the host: pinned host memory that the device writes itself. */
typedef struct cuda_output {
  volatile uint32_t done; /* = cuda_input.number when all below is written */
  int32_t ids[CUDA_EXACT * KERNELS_TOP_K_MAX];
  float logits[CUDA_EXACT * KERNELS_TOP_K_MAX];
  float logsumexp[CUDA_EXACT];
  float logit; /* see cuda__logit */
} cuda_output;

enum { CUDA_TOP_CHUNKS = 64 };
/* Of each row of logits[n_out, vocab], chunk by chunk: sums[n_out, CUDA_TOP_CHUNKS] = the largest,
 * and the sum of exp(logit - largest). */
cudaError_t cuda__sums(const cuda_device *d, const cuda_step *step, int n_out, int vocab,
                       const float *logits, float2 *sums);
/* The top k of each row of logits[n_out, vocab] to *output (as the device sees it), and its
 * logsumexp from the sums, unless they are NULL.
 * candidates: scratch of n_out * CUDA_TOP_CHUNKS * KERNELS_TOP_K_MAX numbers of 8 bytes; finished:
 * one counter, 0 before and after. */
cudaError_t cuda__top_k(const cuda_device *d, const cuda_step *step, int n_out, int vocab, int k,
                        const float *logits, void *candidates, const float2 *sums,
                        uint32_t *finished, const uint32_t *number, cuda_output *output);

/* Slots from[i] to to + i in every layer, key and value head: planes of [slots, head_dim]. from is
 * on the device. */
cudaError_t cuda__cache_move(const cuda_device *d, void *cache, int planes, int slots, int head_dim,
                             const int32_t *from, int n, int to);

/* ---- weights (pack.cu) ------------------------------------------------------------------- */

/* Raw rows of a part as the file has them, on the device: [rows, cols] of `type`. */
typedef struct cuda_raw {
  const void *data; /* row `first`'s first byte */
  int first, rows;  /* the first row that is there; how many the part has */
} cuda_raw;

typedef struct cuda_packing {
  kernels_type type;
  int64_t cols;
  size_t row_bytes; /* of a raw row */
  cuda_kind kind;
  cuda_rows rows;
  cuda_raw part[3];
  int head_dim, heads, kv_heads; /* CUDA_ROWS_TURNED */
  int tile0, tiles;              /* which tiles of the op's matrix to make */
  void *w;      /* tile tile0's */
  float *scale; /* tile tile0's, or NULL (all kinds but CUDA_F16) */
} cuda_packing;
cuda_kind cuda__kind_of(kernels_type type);
cudaError_t cuda__pack(const cuda_device *d, const cuda_packing *p);

#ifdef __cplusplus
}
#endif
#endif
